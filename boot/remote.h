/*-------------------------------------------------------------------------
 *
 * remote.h
 *	  The source of a standby cluster, as pg_ha_boot deals with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REMOTE_H
#define HA_REMOTE_H

#include "supervise.h"

/*
 * Is this cluster a standby cluster, or to be made as one?  Then *source is where its
 * WAL comes from.  The store's configuration counts; while it has none, the one that
 * was given for a new cluster.
 */
extern bool ha_remote_source(const HaBoot *b, const HaView *view,
							 HaStandbyCluster *source);

/*
 * While the server runs: does the source have another history than this data?  Then
 * b->rejoin_why tells it.  Asks in a child when nothing comes.
 */
extern bool ha_remote_look(HaBoot *b, const HaControlWorker *w);

/* That child has ended. */
extern void ha_remote_answer(HaBoot *b, int status);

#endif							/* HA_REMOTE_H */
