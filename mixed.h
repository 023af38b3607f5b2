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

#include <stddef.h>

/* Does Patroni run that member, as far as its key tells? */
extern bool ha_mixed_is_patroni(const HaMember *member);

/* The first member of Patroni that is there; NULL = there is none. */
extern const HaMember *ha_mixed_patroni(const HaView *view);

/*
 * ... whose Patroni runs and does not guard the leader key as it must; NULL = there is none.
 * What it would need goes to *needed, which may be NULL.
 */
extern const HaMember *ha_mixed_too_old(const HaConfig *config,
										const HaView *view,
										const char **needed);

/* ... and why, as a text for people; false, and '', if there is none. */
extern bool ha_mixed_too_old_why(const HaConfig *config, const HaView *view,
								 char *why, size_t size);

/* Is what is acknowledged no safer than Patroni makes it? */
extern bool ha_mixed_guarantees_less(const HaView *view);

/*
 * Does a member of Patroni lead, and does the term record tell nothing of that reign,
 * or not any more?
 */
extern bool ha_mixed_is_unrecorded(const HaView *view);

/* The key is gone, and /history tells of a later reign than the record does. */
extern bool ha_mixed_history_is_beyond(const HaView *view);

/*
 * Does the store show that somebody has led since the last of our leaders, who left no
 * record of it?
 */
extern bool ha_mixed_left_traces(const HaView *view);

/* The newest timeline that a member of Patroni is known to have led; 0 = none is. */
extern uint32_t ha_mixed_last_timeline(const HaView *view);

/*
 * The record of such a reign, as far as the store shows it without contradiction.
 * False, and *term is not to be used, while it does not.
 */
extern bool ha_mixed_testimony(const HaView *view, HaTerm *term);

/*
 * Does Patroni run this very server, under our name?  Then one of both must do nothing,
 * and that is us.  Not so if pg_ha_boot runs it, or it has the leader key by a lease of
 * ours: that is a Patroni elsewhere, to which somebody gave the same name, and which is
 * heeded only while it leads.
 */
extern bool ha_mixed_runs_us(const HaView *view, const HaLocal *local);

/*
 * Must this member, whose position that is, leave the key to a member of Patroni, or
 * first hear from one what was so after "since"?  Then the plan is to wait.
 */
extern bool ha_mixed_waits(const HaView *view, const HaLocal *local,
						   uint32_t timeline, uint64_t lsn, int64_t since,
						   int64_t now, HaPlan *plan);

/* Is there one who is yet to be heard? */
extern bool ha_mixed_wants_answers(const HaLocal *local, int64_t since,
								   int64_t now);

/* What it said then, if it is there; NULL = nothing. */
extern const HaPeer *ha_mixed_heard(const HaLocal *local, const char *name,
									int64_t since, int64_t now);

/*
 * Should a standby of ours not tell how far it is, since a member of Patroni may count
 * that for its quorum after the end of a reign of ours, though it is from before?
 */
extern bool ha_mixed_hides(const HaView *view, const char *name);

/*
 * Without a record, which the store may have lost: does it show that another one has
 * led, or on a timeline as new as that one?  For a server that was
 * never promoted, what is older than "initialize" is of a cluster that was there before.
 */
extern bool ha_mixed_led_without(const HaView *view, const char *name,
								 uint32_t timeline);

/* So many in /sync have said to have no more than that position. */
extern int	ha_mixed_supporters(const HaView *view, const HaLocal *local,
								uint32_t timeline, uint64_t lsn,
								int64_t since, int64_t now);

/* Who promoted to a timeline, as /history tells; '' = it does not. */
extern const char *ha_mixed_owner(const HaView *view, uint32_t timeline);

/* Who leads that reign, if it can be cloned; NULL if not, or if it is us. */
extern const HaMember *ha_mixed_source(const HaView *view, const char *name);

/* Has a member of Patroni led since, of whose reign there is no record? */
extern bool ha_mixed_led_since(const HaView *view, const HaLocal *local);

/* Is everybody in /failsafe there, as a member of ours? */
extern bool ha_mixed_failsafe_is_ours(const HaView *view);

/* Is there, or was there, one, as far as anybody could know? */
extern bool ha_mixed_beside(const HaView *view, const HaLocal *local);

#endif							/* HA_MIXED_H */
