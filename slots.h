/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  The replication slots of this server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SLOTS_H
#define HA_SLOTS_H

#include "postgres.h"

#include "cluster.h"
#include "settings.h"
#include "slot_plan.h"

/*
 * Create, move and drop slots as slot_plan.c wants it; "leads" as there.  On the
 * leader also local->slots is brought up to date, the book that is told to the
 * others.  Trouble is logged, and what waits for the disk is tried again a minute
 * later; nothing waits for a disk that is sick.
 */
extern void ha_slots_manage(const HaView *view, HaLocal *local, bool leads,
							bool fresh, int64 now);

/*
 * Which members stream from here, and how much they have flushed: found through
 * their slots, which only one walsender can hold.  Returns how many.  Without
 * "lock" for when holders of locks may be dead.
 */
extern int	ha_slots_standbys(const HaView *view, HaStandby *standbys,
							  bool lock);

/* All there are, palloc'd; *n says how many. */
extern HaSlot *ha_slots_list(int *n);

/*
 * Has every walsender that could release waiting commits applied that version of
 * the managed file, and does it act on exactly those names?
 */
extern bool ha_slots_walsenders_applied(int epoch, const HaManaged *managed);

#endif							/* HA_SLOTS_H */
