/*-------------------------------------------------------------------------
 *
 * election.h
 *	  Who of the members takes the leader key, when nobody has it.
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ELECTION_H
#define HA_ELECTION_H

#include "cluster.h"

/*
 * A standby without a leader: detach, vote, elect.  Those that can't stand
 * detach too, since whoever goes on streaming from a former leader may confirm what
 * that still writes (S-2).
 */
extern void ha_elect(const HaConfig *config, const HaView *view,
					 const HaLocal *local, int64_t now, HaPlan *plan);

/* Take the key, with a timeline id if we are to be promoted. */
extern void ha_acquire(HaPlan *plan, const HaView *view, const HaLocal *local,
					   const char *why);

/* Is that a member that can be elected at this moment, if it wins? */
extern bool ha_may_stand(const HaView *view, const HaMember *member);

/*
 * Could somebody else than that member take over now: are there so many standbys
 * alive as may elect one of them?
 */
extern bool ha_others_may_lead(const HaView *view, const char *name);

/* May that member lead, as far as failsafe mode is concerned (S-9)? */
extern bool ha_failsafe_allows(const HaView *view, const char *name);

/* Have we promised a leader that lost the store not to lead, and till when (S-9)? */
extern bool ha_has_promised(const HaLocal *local, int64_t now);

/*
 * Neither a vote nor the key for one who promised, or may have, or is not asked;
 * but the owner of the last term is the only one who could ask.
 */
extern void ha_heed_failsafe(const HaConfig *config, const HaView *view,
							 const HaLocal *local, int64_t now, HaPlan *plan);

/* Does the operator's wish name somebody who is to lead now? */
extern bool ha_names_candidate(const HaFailover *wish);

/*
 * The largest LSN that the last leader is known to have reached: told through the
 * store, or in failsafe mode to us.
 */
extern uint64_t ha_leader_lsn(const HaView *view, const HaLocal *local);

/* How long votes are awaited from members that seem alive. */
extern int64_t ha_election_wait(const HaConfig *config);

/* How long a promotion may take before the key is given back. */
extern int64_t ha_promote_timeout(const HaConfig *config);

#endif							/* HA_ELECTION_H */
