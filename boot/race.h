/*-------------------------------------------------------------------------
 *
 * race.h
 *	  A new cluster: who makes it, and that only one does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RACE_H
#define HA_RACE_H

#include "supervise.h"

/*
 * The data directory is empty, and the store knows of no cluster: take part in the
 * race for it, or wait if that is not for us to do.
 */
extern void ha_race(HaBoot *b, const HaView *view);

/* One step of BOOT_RACE, BOOT_INITDB and BOOT_PUBLISH. */
extern void ha_race_step(HaBoot *b);

#endif							/* HA_RACE_H */
