/*-------------------------------------------------------------------------
 *
 * fence.h
 *	  The gate in every backend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FENCE_H
#define HA_FENCE_H

#include "postgres.h"

/* Install the hooks; called once, from _PG_init. */
extern void ha_fence_install(void);

/*
 * The worker's side.  Raising wakes those that wait; lowering takes effect at
 * once for every check that follows.
 */
extern void ha_fence_set_deadline(int64 deadline);
extern int64 ha_fence_deadline(void);

#endif							/* HA_FENCE_H */
