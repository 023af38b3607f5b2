/*-------------------------------------------------------------------------
 *
 * ask.h
 *	  What SQL sessions have the worker write into the store.
 *
 * A session judges what it is asked for by the view that the worker published,
 * and puts together one guarded write: keys, each with the revision at which it
 * was seen, and what else must not have changed.  The worker, which alone talks to
 * the store, sends it as one transaction and hands the outcome back.  So a
 * decision that rested on an old view is never carried out.
 *
 * One write of one session is in progress at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ASK_H
#define HA_ASK_H

#include "cluster.h"
#include "dcs.h"

#define HA_ASK_VALUE_SIZE	(64 * 1024) /* of all values of one write */
#define HA_ASK_MAX_WRITES	6

typedef struct HaAskWrite
{
	char		key[HA_KEY_SIZE];
	int64_t		revision;		/* the key's mod_revision; 0 = it is not there */
	bool		remove;
	uint32_t	length;			/* of the value, with its NUL */
} HaAskWrite;

/*
 * A write that a session builds.  Zero it first.
 */
typedef struct HaAsk
{
	char		leader[HA_NAME_SIZE];	/* who must lead; '' = does not matter */
	int64_t		term_revision;	/* of the term record; 0 = does not matter */
	int			nwrites;
	HaAskWrite	writes[HA_ASK_MAX_WRITES];
	uint32_t	nvalues;		/* bytes used */
	char		values[HA_ASK_VALUE_SIZE];	/* one after the other */
} HaAsk;

typedef enum HaAskOutcome
{
	HA_ASK_DONE,
	HA_ASK_CHANGED,				/* a guard did not hold; nothing was written */
	HA_ASK_FAILED,				/* see the message */
} HaAskOutcome;

/* In shared memory.  Everything but "ask" is protected by HaShared's mutex. */
typedef struct HaAskSlot
{
	int			filling_pid;	/* the session that copies its write in; 0 =
								 * none */
	uint32_t	number;			/* of the newest write */
	uint32_t	answered;		/* of the newest answered one */
	HaAskOutcome outcome;
	char		message[256];
	HaAsk		ask;			/* belongs to the session while it fills, then
								 * to the worker */
} HaAskSlot;

/*
 * Sessions.  The first four build; an error is raised where a write would not
 * fit.  json is copied.
 */
extern void ha_ask_guard_leader(HaAsk *ask, const HaView *view);
extern void ha_ask_guard_term(HaAsk *ask, const HaView *view);
extern void ha_ask_put(HaAsk *ask, const char *key, int64_t revision,
					   const char *json);
extern void ha_ask_remove(HaAsk *ask, const char *key, int64_t revision);

/*
 * Have it written.  true: it stands in the store.  false: something that it rested
 * on has changed, look again.  Everything else is an error, one that says so if
 * the write may have been carried out all the same.
 */
extern bool ha_ask_try(const HaAsk *ask);

/* The same where a change is an error, too. */
extern void ha_ask_store(const HaAsk *ask);

/*
 * The worker: at its start; the next transaction to send, if there is one; what
 * came of it.
 */
extern void ha_ask_begin(void);
extern bool ha_ask_next(HaRequest *request, const HaView *view,
						int64_t timeout);
extern void ha_ask_unsent(void);
extern void ha_ask_answered(const HaAnswer *answer);

/* Is the answer one for ha_ask_answered? */
extern bool ha_ask_is_mine(uint32_t tag);

#endif							/* HA_ASK_H */
