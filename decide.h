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

/*
 * What should this node do now?  Pure: the same four arguments give the same
 * plan, always; any bytes in the arguments give some valid plan.
 */
extern void ha_decide(const HaConfig *config, const HaView *view,
					  const HaLocal *local, int64_t now, HaPlan *plan);

#endif							/* HA_DECIDE_H */
