/*-------------------------------------------------------------------------
 *
 * init.h
 *	  "pg_ha_boot init": what is different from a node that goes on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_INIT_H
#define HA_INIT_H

#include "supervise.h"

/*
 * Is there still a cluster to be made?  false: waits for who is making it, or ends,
 * which was reported.
 */
extern bool ha_init_goes_on(HaBoot *b, const HaView *view,
							const HaDataFacts *facts);

/* The store does not answer: end if it has not for long. */
extern void ha_init_waits_blindly(HaBoot *b);

#endif							/* HA_INIT_H */
