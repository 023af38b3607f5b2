/*-------------------------------------------------------------------------
 *
 * recovery.h
 *	  Make restored data a cluster of its own: recovery to its end or to a target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RECOVERY_H
#define HA_RECOVERY_H

#include "bootstrap.h"

/*
 * Recover what a command has restored, in a private server, and shut it down
 * cleanly.  Nothing of the recovery, and nothing that pg_ha manages, is set
 * afterwards.  false: why tells, with its code, or '' if the messages do.
 */
extern bool ha_recover(const HaNode *node, const HaBootstrap *how, char *why,
					   size_t whylen);

#endif							/* HA_RECOVERY_H */
