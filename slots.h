/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  One physical replication slot for each other member.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SLOTS_H
#define HA_SLOTS_H

#include "postgres.h"

#include "cluster.h"
#include "settings.h"

/*
 * On the leader: create the slot of every other member that has none, or one that has
 * lost its WAL.  Trouble is logged, and the next attempt made a minute later.
 */
extern void ha_slots_create(const HaView *view);

/*
 * On a standby: drop the unused slots of members, which would hold back WAL that
 * nobody fetches here.  Slots that are not a member's are somebody else's and are
 * left alone.
 */
extern void ha_slots_drop(const HaView *view);

/*
 * Which members stream from here, and how much they have flushed: found through
 * their slots, which only one walsender can hold.  Returns how many.  Without
 * "lock" for when holders of locks may be dead.
 */
extern int	ha_slots_standbys(const HaView *view, HaStandby *standbys,
							  bool lock);

/* A slot of this server, whoever made it. */
typedef struct HaSlot
{
	char		name[HA_NAME_SIZE];
	bool		physical;
	bool		active;
	uint64		restart_lsn;	/* 0 = it keeps nothing */
} HaSlot;

/* All there are, palloc'd; *n says how many. */
extern HaSlot *ha_slots_list(int *n);

/*
 * Has every walsender that could release waiting commits applied that version of
 * the managed file, and does it act on exactly those names?
 */
extern bool ha_slots_walsenders_applied(int epoch, const HaManaged *managed);

#endif							/* HA_SLOTS_H */
