/*-------------------------------------------------------------------------
 *
 * alone.h
 *	  A server that was promoted without the cluster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ALONE_H
#define HA_ALONE_H

#include "datadir.h"
#include "supervise.h"

/*
 * In the state directory: somebody made a primary of this node's data while nobody
 * could know whether there was another.
 */
#define HA_ALONE_MARKER		"promoted_alone"

/*
 * Must this data be left alone for that?  Then why has been said.  "view" is NULL while
 * the store does not answer.
 */
extern bool ha_alone_refuses(HaBoot *b, const HaView *view,
							 const HaDataFacts *facts);

#endif							/* HA_ALONE_H */
