/*-------------------------------------------------------------------------
 *
 * quorum.h
 *	  Who must confirm a commit, and who may be elected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_QUORUM_H
#define HA_QUORUM_H

#include "cluster.h"

/*
 * The next step of the leader towards the synchronous standbys it should have:
 * plan becomes SET_SYNC or SET_NAMES.  Returns false, plan untouched, if there is
 * nothing to do now.
 */
extern bool ha_quorum_step(const HaConfig *config, const HaView *view,
						   const HaLocal *local, HaPlan *plan);

/*
 * Before a leader opens its gate for the first time: do the names in force do for
 * /sync, and in strict mode is anybody waited for?  If not, plan->names becomes
 * what is missing to be so and true is returned; the verb is the caller's.
 */
extern bool ha_quorum_restore(const HaConfig *config, const HaView *view,
							  const HaLocal *local, HaPlan *plan);

/*
 * May clients see what crash recovery made visible (S-17)?  False while a member
 * could be elected that lacks some of it.
 */
extern bool ha_quorum_shows(const HaConfig *config, const HaView *view,
							const HaLocal *local);

/*
 * May this member be elected, as far as synchronous replication is concerned, with
 * the votes of so many others in /sync that have no more than it has?
 */
extern bool ha_quorum_may_elect(const HaView *view, const char *name, int votes);

#endif							/* HA_QUORUM_H */
