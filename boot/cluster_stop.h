/*-------------------------------------------------------------------------
 *
 * cluster_stop.h
 *	  The stop of the whole cluster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLUSTER_STOP_H
#define HA_CLUSTER_STOP_H

#include "../cluster.h"
#include "../dcs.h"
#include "datadir.h"

struct HaBoot;

/* Why our server has to be stopped now, if it has; else NULL. */
extern const char *ha_cluster_stop_serving(struct HaBoot *b,
										   const HaView *view);

/* What is due in every round, whatever the state. */
extern void ha_cluster_stop_round(struct HaBoot *b);

/*
 * The leader is down and has the key: must it wait for the others?  When it gives
 * the key up, what belongs into the same txn?
 */
extern bool ha_cluster_stop_waits(struct HaBoot *b, const HaView *view,
								  const HaDataFacts *facts);
extern void ha_cluster_stop_release(struct HaBoot *b, const HaView *view,
									HaTxn *txn);

#endif							/* HA_CLUSTER_STOP_H */
