/*-------------------------------------------------------------------------
 *
 * switchover.h
 *	  The rules of a switchover: /failover, as the leader sees it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SWITCHOVER_H
#define HA_SWITCHOVER_H

#include "cluster.h"

/*
 * The leader's next step towards what an operator wants.  False, plan untouched,
 * if nothing is to be done now.
 */
extern bool ha_switchover_step(const HaConfig *config, const HaView *view,
							   const HaLocal *local, int64_t now, HaPlan *plan);

/*
 * A primary whose key is gone, or somebody else's, because it has just handed it
 * over: what to do.  False, plan untouched, if that is not so, or not any more.
 */
extern bool ha_switchover_gone(const HaConfig *config, const HaView *view,
							   const HaLocal *local, int64_t now, HaPlan *plan);

/*
 * To be called with each plan: remember in *local which wish can't be met, and why.
 * It is not tried again, even if nobody could be told yet.
 */
extern void ha_switchover_note(const HaPlan *plan, const HaView *view,
							   HaLocal *local);

/* Does an operator want this member to lead, now? */
extern bool ha_switchover_wants(const HaView *view, const char *name);

/* How long somebody who handed the key over leaves it to the other one. */
extern int64_t ha_hand_over_wait(const HaConfig *config);

#endif							/* HA_SWITCHOVER_H */
