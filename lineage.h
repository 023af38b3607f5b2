/*-------------------------------------------------------------------------
 *
 * lineage.h
 *	  The cluster's history.
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LINEAGE_H
#define HA_LINEAGE_H

#include "cluster.h"

/*
 * So many timeline ids are left to members of Patroni, who promote themselves to the
 * next one that they know of.
 */
#define HA_PATRONI_TIMELINES	8

/*
 * Is a position part of the history that the term record tells?  Everything is
 * while no term was ever recorded.
 */
extern bool ha_on_lineage(const HaTerm *term, uint32_t timeline, uint64_t lsn);

/* Does the record know that timeline at all? */
extern bool ha_is_recorded(const HaTerm *term, uint32_t timeline);

/*
 * Is our WAL, up to that LSN, the cluster's?  An id alone does not say that it is
 * the same timeline, if somebody promoted a server by hand; where it began does.
 */
extern bool ha_is_on_history(const HaView *view, const HaLocal *local,
							 uint64_t lsn);

/*
 * In a standby cluster the record tells what its leader had from the source, which may
 * have been wrong: no position is better or worse for it.
 */
extern bool ha_history_is_elsewhere(const HaView *view);

/*
 * How far we have the cluster's history, in its own terms: the position that a vote
 * tells.  False if we have none of the history, or something else besides.
 */
extern bool ha_find_position(const HaView *view, const HaLocal *local,
							 uint32_t *timeline, uint64_t *lsn);

/*
 * The timeline id of our promotion: above everything that was ever used or
 * reserved, so that no two promotions can share one (B3).
 */
extern uint32_t ha_next_timeline(const HaView *view, const HaLocal *local);

#endif							/* HA_LINEAGE_H */
