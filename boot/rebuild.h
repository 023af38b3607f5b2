/*-------------------------------------------------------------------------
 *
 * rebuild.h
 *	  Data that a leader can't be followed with: clone, rewind, by the node's policy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REBUILD_H
#define HA_REBUILD_H

#include "supervise.h"

/*
 * There is no data: clone.  leader: NULL = there is none, but a method that needs
 * none.  One step of it; called again from BOOT_LOOK until the state is BOOT_CLONE.
 */
extern void ha_rebuild_clone(HaBoot *b, const HaView *view,
							 const HaMember *leader);

/* Can there be a clone now, though nobody leads? */
extern bool ha_rebuild_needs_no_leader(const HaBoot *b, const HaView *view);

/* An earlier life's work on the data was interrupted. */
extern void ha_rebuild_torn(HaBoot *b, const HaView *view,
							const HaDataFacts *facts);

/* The data has diverged, says the worker. */
extern void ha_rebuild_diverged(HaBoot *b, const HaView *view,
								const HaDataFacts *facts);

/* Give this data up and clone again, if pg_ha.rebuild_on_divergence allows it. */
extern void ha_rebuild_again(HaBoot *b, const char *why);

/* BOOT_CLONE and BOOT_REWIND */
extern void ha_rebuild_step_clone(HaBoot *b);
extern void ha_rebuild_step_rewind(HaBoot *b);

#endif							/* HA_REBUILD_H */
