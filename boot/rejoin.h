/*-------------------------------------------------------------------------
 *
 * rejoin.h
 *	  From no running server to a server that may run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REJOIN_H
#define HA_REJOIN_H

#include "supervise.h"

/* One step of the states from BOOT_LOOK to BOOT_RELEASE. */
extern void ha_rejoin_step(HaBoot *b);

#endif							/* HA_REJOIN_H */
