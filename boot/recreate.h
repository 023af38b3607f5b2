/*-------------------------------------------------------------------------
 *
 * recreate.h
 *	  A cluster that the store has forgotten, or does not know yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RECREATE_H
#define HA_RECREATE_H

#include "supervise.h"

/*
 * There is data, but no initialize key.  True: that is being seen to, or waited
 * for.  False: it is not for us to do; start the server as what it is.
 */
extern bool ha_recreate(HaBoot *b, const HaView *view,
						const HaDataFacts *facts);

/* One step of BOOT_ADOPT. */
extern void ha_recreate_step(HaBoot *b);

/* While the server runs: remember the configuration, and put it back. */
extern void ha_recreate_tend(HaBoot *b, const HaControlWorker *w);

#endif							/* HA_RECREATE_H */
