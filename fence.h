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

/*
 * Let whoever comes to commit wait until then at the latest; 0 = not any more.
 * ha_fence_is_drained: has every commit ended that was past that point?
 */
extern void ha_fence_hold(int64_t until);
extern bool ha_fence_is_drained(void);

/*
 * After a start a primary whose commits waited for standbys shows nothing, since
 * recovery has made visible what nobody may have confirmed, until it is told to
 * (S-17).  For the rest of this life of the server.
 */
extern void ha_fence_show(void);
extern bool ha_fence_shows(void);

#endif							/* HA_FENCE_H */
