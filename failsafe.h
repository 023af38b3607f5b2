/*-------------------------------------------------------------------------
 *
 * failsafe.h
 *	  Failsafe mode: leading without the store, by the promises of all (S-9).
 *
 * Plain C and pure: no clock, no I/O, no log.  Both sides are here.  The asking
 * side is a part of the leader's HaLease and driven through lease.h; the
 * answering side is one function.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FAILSAFE_H
#define HA_FAILSAFE_H

#include "cluster.h"
#include "control.h"
#include "dcs.h"
#include "peer.h"

/* One member that is asked in the round under way. */
typedef struct HaAsked
{
	char		name[HA_NAME_SIZE];
	char		url[HA_URL_SIZE];
	uint32_t	tag;			/* of the question that is out; 0 = none */
	bool		sent;
	bool		accepted;
} HaAsked;

typedef struct HaAsking
{
	/* /failsafe as this reign wrote it: what may stand in the store */
	bool		confirmed;
	HaFailsafe	list;			/* the last that is known to be written */
	bool		unsettled;		/* a later put may have replaced it, or may
								 * yet */
	HaFailsafe	maybe;			/* all whom those puts list */
	uint32_t	put_tag;		/* 0 = no put is in flight */
	HaFailsafe	put;			/* that one */
	uint32_t	put_done_tag;	/* no further put before a read sent after it */
	int64_t		put_due;
	bool		announced;		/* the proven heartbeat says that we may */
	bool		denial_lost;	/* one that says we may not can still land */

	/* the round under way */
	int64_t		began_at;		/* before the first question; 0 = no round */
	int64_t		ttl;			/* that all are asked for */
	int32_t		nasked;
	HaAsked		asked[HA_MAX_MEMBERS];
	int64_t		due;			/* of the next one */

	/* the last round in which all agreed, and the last that failed */
	int64_t		base;			/* 0 = none since the gate was opened */
	int64_t		base_ttl;
	int32_t		nagreed;
	char		trouble[HA_WHY_SIZE];	/* '' = the last round did not fail */
} HaAsking;

/* The gate is closed: whatever was asked before does not count (S-6). */
extern void ha_asking_void(HaAsking *asking);

/* The leader key is another one: what was put under the old one is past. */
extern void ha_asking_forget(HaAsking *asking);

/*
 * Should /failsafe be written?  Then *wanted is what it should say: all members
 * that have an api_url, and ourselves.
 */
extern bool ha_asking_wants_put(const HaAsking *asking, const HaView *view,
								const char *name, HaFailsafe *wanted);
extern void ha_asking_put_sent(HaAsking *asking, uint32_t tag,
							   const HaFailsafe *wanted);
extern void ha_asking_put_answered(HaAsking *asking, const HaAnswer *answer);

/*
 * Begin a round: whom to ask goes to asking->asked.  false: nobody may be asked
 * now, since it is not known who must be.  "view_is_newer": the view was read
 * after the last put.  "patroni_seen": members of Patroni were there, so one may be where
 * there is no member key.
 */
extern bool ha_asking_begin(HaAsking *asking, const HaView *view,
							bool view_is_newer, bool patroni_seen, const char *name,
							int64_t ttl, int64_t now);

/* The next question of the round, without its tag. */
extern bool ha_asking_next(HaAsking *asking, const HaView *view,
						   const char *name, int64_t term, uint64_t lsn,
						   HaPeerRequest *request, HaAsked **whom);
extern void ha_asking_answered(HaAsking *asking, const HaPeerAnswer *answer,
							   int64_t deadline, int64_t now);

/* Until when all have agreed; 0 = they have not. */
extern int64_t ha_asking_deadline(const HaAsking *asking);

/*
 * The answer to a leader's question, and the promise that goes with it.  "now"
 * must have been read after *question was, or the promise ends too early.  What
 * *promise holds already is kept.
 */
extern void ha_failsafe_answer(const HaView *view, const HaLocal *local,
							   const HaControlQuestion *question, int64_t now,
							   HaControlPromise *promise);

#endif							/* HA_FAILSAFE_H */
