/*-------------------------------------------------------------------------
 *
 * decide.h
 *	  The rules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DECIDE_H
#define HA_DECIDE_H

#include "cluster.h"

#include <stddef.h>

/*
 * What should this node do now?  Pure: the same four arguments give the same
 * plan, always; any bytes in the arguments give some valid plan.
 */
extern void ha_decide(const HaConfig *config, const HaView *view,
					  const HaLocal *local, int64_t now, HaPlan *plan);

/*
 * Is a position part of the history that the term record tells?  Everything is
 * while no term was ever recorded.
 */
extern bool ha_on_lineage(const HaTerm *term, uint32_t timeline, uint64_t lsn);

/*
 * Who promoted to a timeline ('' = nobody knows), in the record's memory; NULL = it
 * is not in the record.
 */
extern const char *ha_timeline_owner(const HaTerm *term, uint32_t timeline);

/* Is that the record of a reign of that member, as a member of ours? */
extern bool ha_term_is_of(const HaTerm *term, const char *name);

/* NULL = there is no such member. */
extern const HaMember *ha_find_member(const HaView *view, const char *name);

/* Is it among the standbys that /sync lists? */
extern bool ha_is_in_sync(const HaSync *sync, const char *name);

/* May that member lead, as far as failsafe mode is concerned (S-9)? */
extern bool ha_failsafe_allows(const HaView *view, const char *name);

/*
 * Could somebody else than that member take over now: are there so many standbys
 * alive as may elect one of them?
 */
extern bool ha_others_may_lead(const HaView *view, const char *name);

/*
 * The largest LSN that the last leader is known to have reached: told through the
 * store, or in failsafe mode to us.
 */
extern uint64_t ha_leader_lsn(const HaView *view, const HaLocal *local);

/*
 * So many timeline ids are left to members of Patroni, who promote themselves to the
 * next one that they know of.
 */
#define HA_PATRONI_TIMELINES	8

/* How long votes are awaited from members that seem alive. */
extern int64_t ha_election_wait(const HaConfig *config);

/* How long a promotion may take before the key is given back. */
extern int64_t ha_promote_timeout(const HaConfig *config);

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

#endif							/* HA_DECIDE_H */
