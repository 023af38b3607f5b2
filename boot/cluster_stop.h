/*-------------------------------------------------------------------------
 *
 * cluster_stop.h
 *	  The stop of the whole cluster; the rest of it is in request.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLUSTER_STOP_H
#define HA_CLUSTER_STOP_H

#include "../cluster.h"

struct HaBoot;

/* Is the cluster to stop?  Then that is what we were asked for. */
extern void ha_cluster_stop_look(struct HaBoot *b, const HaView *view);

/* Why our server has to be stopped now, if it has; else NULL. */
extern const char *ha_cluster_stop_serving(struct HaBoot *b,
										   const HaView *view);

#endif							/* HA_CLUSTER_STOP_H */
