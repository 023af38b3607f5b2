/*-------------------------------------------------------------------------
 *
 * start.h
 *	  What pg_ha_boot does with a server that is down.
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_START_H
#define HA_START_H

#include "cluster.h"

#include <stddef.h>

/*
 * The decisions that are left when the server is down, which pg_ha_boot makes
 * (S-7, S-17).
 */
typedef enum HaStart
{
	HA_START_STANDBY,			/* leave standby.signal, let the worker see */
	HA_START_PRIMARY,			/* same timeline, in place, under the key we
								 * still hold and have just re-put */
	HA_START_RELEASE,			/* release the key with the marker, then start
								 * as standby */
	HA_START_NOT,				/* stay down */
} HaStart;

typedef struct HaStartFacts
{
	bool		stop_requested; /* pg_ha_boot itself was told to stop */
	bool		demote_wanted;	/* the worker asked for this stop */
	bool		restart_wanted; /* an operator asked for a restart */
	bool		crashed;		/* the server ended without being asked */
	bool		was_primary;	/* pg_control: it ended as a primary, cleanly
								 * or not, and not in archive recovery */
	bool		reaped;			/* no process of the old server is left, or
								 * its deadline has passed */
	bool		key_is_ours;	/* a linearizable read after "reaped": the
								 * leader key is ours under the lease that the
								 * control block names, and the term is ours
								 * and confirmed */
	bool		others_may_lead;	/* a live member could take over now */
	bool		synchronous;	/* a standby in /sync holds all that was ever
								 * acknowledged */
	int64_t		primary_start_timeout;
	int32_t		crashes;		/* of this server as primary within the last
								 * minute */
} HaStartFacts;

/* So many crashes within a minute are taken for more to come. */
#define HA_CRASHES_BORNE	3

/*
 * Should a primary that has crashed so often within the last minute give way,
 * although it may be recovering from the latest?
 */
extern bool ha_crashes_too_often(const HaConfig *config, int32_t crashes,
								 bool others_may_lead);

extern HaStart ha_decide_start(const HaStartFacts *facts, char *why,
							   size_t whylen);

#endif							/* HA_START_H */
