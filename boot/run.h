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

typedef struct HaRun
{
	const HaBootstrap *how;		/* how the first data is made */
	bool		init_only;		/* end when the cluster is made */
	bool		ignore_unit;	/* let other systemd units be enabled */
	const char *root;			/* where they are looked for; "" = here */
} HaRun;

/* Keep the node.  An exit code. */
extern int	ha_run(const HaNode *node, const HaRun *run);

#endif							/* HA_RUN_H */
