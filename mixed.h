/*-------------------------------------------------------------------------
 *
 * mixed.h
 *	  Members of Patroni and of pg_ha in one cluster (S-11).
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_MIXED_H
#define HA_MIXED_H

#include "cluster.h"

/* Does Patroni run that member, as far as its key tells? */
extern bool ha_mixed_is_patroni(const HaMember *member);

/* The first member of Patroni that is there; NULL = there is none. */
extern const HaMember *ha_mixed_patroni(const HaView *view);

/*
 * ... whose Patroni does not guard the leader key as it must; NULL = there is none.
 * What it would need goes to *needed, which may be NULL.
 */
extern const HaMember *ha_mixed_too_old(const HaConfig *config,
										const HaView *view,
										const char **needed);

/* Is what is acknowledged no safer than Patroni makes it? */
extern bool ha_mixed_guarantees_less(const HaView *view);

/*
 * Does a member of Patroni lead, and does the term record tell nothing of that reign,
 * or not any more?
 */
extern bool ha_mixed_is_unrecorded(const HaView *view);

/* The key is gone, and /history tells of a later reign than the record does. */
extern bool ha_mixed_history_is_beyond(const HaView *view);

/* The newest timeline that a member of Patroni is known to have led; 0 = none is. */
extern uint32_t ha_mixed_last_timeline(const HaView *view);

/*
 * The record of such a reign, as far as the store shows it without contradiction.
 * False, and *term is not to be used, while it does not.
 */
extern bool ha_mixed_testimony(const HaView *view, HaTerm *term);

/* Who leads that reign, if it can be cloned; NULL if not, or if it is us. */
extern const HaMember *ha_mixed_source(const HaView *view, const char *name);

#endif							/* HA_MIXED_H */
