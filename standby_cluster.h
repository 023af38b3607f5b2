/*-------------------------------------------------------------------------
 *
 * standby_cluster.h
 *	  The rules of a cluster whose WAL comes from elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_STANDBY_CLUSTER_H
#define HA_STANDBY_CLUSTER_H

#include "cluster.h"

/* Does the WAL of this cluster come from elsewhere, as far as the view tells? */
extern bool ha_is_standby_cluster(const HaConfig *config, const HaView *view);

/* A standby that holds the leader key of such a cluster: what to do. */
extern void ha_standby_cluster_lead(const HaView *view, const HaLocal *local,
									HaPlan *plan);

/*
 * No leader is there to be followed, or it is us, and this server is short of
 * consistency: may it stream from the source?  False, plan untouched, if not.
 */
extern bool ha_standby_cluster_starting(const HaConfig *config,
										const HaView *view,
										const HaLocal *local, HaPlan *plan);

/*
 * A primary must not be in such a cluster, nor who is becoming one; in a pause it stays,
 * and its gate is shut.  False, plan untouched, if this server is neither, or the
 * cluster no such one.
 */
extern bool ha_standby_cluster_demotes(const HaConfig *config,
									   const HaView *view,
									   const HaLocal *local, HaPlan *plan);

#endif							/* HA_STANDBY_CLUSTER_H */
