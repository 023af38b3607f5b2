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
 * In BOOT_LOOK, with data, and the store knows no system identifier.  true: this is
 * a server that was run without pg_ha until now, and what is to be done about that is
 * done: the primary is to lead from its start on, a standby to wait for that.
 */
extern bool ha_found_begin(HaBoot *b, const HaView *view,
						   const HaDataFacts *facts);

/* In BOOT_FOUND. */
extern void ha_found_step(HaBoot *b);

#endif							/* HA_FOUND_H */
