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
 * Before a leader opens its gate for the first time: are the names in force at
 * least those in /sync?  If not, plan->names becomes what is missing to be so and
 * true is returned; the verb is the caller's.
 */
extern bool ha_quorum_restore(const HaConfig *config, const HaView *view,
							  const HaLocal *local, HaPlan *plan);

#endif							/* HA_QUORUM_H */
