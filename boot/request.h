/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What operators ask of this node through the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_BOOT_REQUEST_H
#define HA_BOOT_REQUEST_H

#include "../cluster.h"
#include "datadir.h"

struct HaBoot;

typedef enum HaRequestStage
{
	REQUEST_NONE,				/* nothing is asked for */
	REQUEST_BEGUN,				/* taken up, nothing is lost yet */
	REQUEST_MOVED,				/* REINIT: the old data is aside; RESTART: the
								 * server was told to stop */
	REQUEST_ENDED,				/* only in memory.stage: done, or given up */
} HaRequestStage;

/* What the state directory remembers of the last request that was taken up. */
typedef struct HaRequestMemory
{
	char		id[HA_REQUEST_ID_SIZE];
	HaRequestStage stage;
	uint64_t	cluster_id;		/* etcd's, and ... */
	int64_t		revision;		/* ... its revision at that time */
} HaRequestMemory;

typedef struct HaDuty
{
	HaRequestMemory memory;
	HaRequestStage stage;
	HaMemberRequest request;	/* unless REQUEST_NONE */
	HaProgress	progress;		/* of the last one, for the member key */
	int64_t		taken_at;
	int64_t		judged_from;	/* reads before it are from before the end of
								 * before_stop */
	int64_t		remove_at;		/* when removing the key is tried next */
	int64_t		keep_at;		/* STOP, RESTART: when the leader lease is
								 * renewed next */
	int64_t		stopped_at;		/* STOP: when our own server was seen down */
	bool		steps_out;		/* RESTART: out of /sync, before the server
								 * stops */
	int64_t		stepped_out_at; /* ... since when it is; 0 = it is not yet */
	int			releases;		/* STOP: how often the key was given up */
} HaDuty;

/* Read what is remembered.  false: reported. */
extern bool ha_request_remember(struct HaBoot *b);

/* The server lives: why it has to be stopped now, if it has; else NULL. */
extern const char *ha_request_serving(struct HaBoot *b);

/* It is about to be stopped for a restart, which is noted.  false: given up. */
extern bool ha_request_begin_restart(struct HaBoot *b);

/*
 * No process of the server is left, "view" is of after that, and this node goes
 * on living.  true: there is nothing else to do in this round.
 */
extern bool ha_request_look(struct HaBoot *b, const HaView *view,
							const HaDataFacts *facts);

/* What the member key tells of it. */
extern void ha_request_describe(const struct HaBoot *b, HaMember *self);

/* Is a restart what the server is stopped for? */
extern bool ha_request_wants_restart(const struct HaBoot *b);

/* In each round of the loop. */
extern void ha_request_round(struct HaBoot *b);

/* Somebody has asked once more, so the clone that runs is not wanted. */
extern bool ha_request_is_replaced(const struct HaBoot *b);

#endif							/* HA_BOOT_REQUEST_H */
