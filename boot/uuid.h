/*-------------------------------------------------------------------------
 *
 * uuid.h
 *	  Which cluster this node belongs to, whatever its data looks like.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_UUID_H
#define HA_UUID_H

#include "supervise.h"

/* A new one; false: reported. */
extern bool ha_uuid_make(char *uuid);

/*
 * Which cluster a node has joined, by its state directory, and what that was called
 * then (HA_NAME_SIZE); "" if none.  false: reported.
 */
extern bool ha_uuid_recall(const HaNode *node, char *uuid, char *scope,
						   bool *founder);

/* The same for our own. */
extern bool ha_uuid_read(HaBoot *b);

/*
 * From now on this node belongs to the cluster of that uuid.  "founder": it has made
 * its data, and not started it yet.
 */
extern bool ha_uuid_join(HaBoot *b, const char *uuid, bool founder);

/* There is no data any more, so it belongs to no cluster. */
extern bool ha_uuid_forget(HaBoot *b);

/* Does the store show another cluster than the one that this node joined? */
extern bool ha_uuid_is_another(const HaBoot *b, const HaView *view);

/*
 * Does the data belong to the cluster that the store shows?  If not, that is
 * reported.  A node that belonged to none joins.
 */
extern bool ha_uuid_belongs(HaBoot *b, const HaView *view,
							const HaDataFacts *facts);

/* The same for a server that was found running, as soon as the store answers. */
extern void ha_uuid_check(HaBoot *b);

/*
 * While the server runs: join, if the cluster got its uuid only now, or give it one
 * if this node leads it and it has none.
 */
extern void ha_uuid_tend(HaBoot *b, const HaControlWorker *w);

#endif							/* HA_UUID_H */
