/*-------------------------------------------------------------------------
 *
 * found.h
 *	  A cluster that is new to the store, made of data that is there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FOUND_H
#define HA_FOUND_H

#include "supervise.h"

/*
 * In BOOT_LOOK, with data, and the store knows no system identifier: record ours,
 * and lead from the start on if this is the primary of a cluster that pg_ha never
 * led.
 */
extern void ha_found_begin(HaBoot *b, const HaView *view,
						   const HaDataFacts *facts);

/* In BOOT_ADOPT. */
extern void ha_found_step(HaBoot *b);

#endif							/* HA_FOUND_H */
