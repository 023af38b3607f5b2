/*-------------------------------------------------------------------------
 *
 * note_cluster.h
 *	  Keep what the cluster looks like, for a start while etcd is away.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_NOTE_CLUSTER_H
#define HA_NOTE_CLUSTER_H

#include "supervise.h"

/* To be called now and then.  "sick": the worker says that a disk does not work. */
extern void ha_note_cluster(const HaBoot *b, bool sick);

#endif							/* HA_NOTE_CLUSTER_H */
