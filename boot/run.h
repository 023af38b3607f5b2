/*-------------------------------------------------------------------------
 *
 * run.h
 *	  Start one node.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RUN_H
#define HA_RUN_H

#include "bootstrap.h"

/* Keep the node; "init_only": until its cluster is made.  An exit code. */
extern int	ha_run(const HaNode *node, const HaBootstrap *how, bool init_only);

#endif							/* HA_RUN_H */
