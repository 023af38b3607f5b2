/*-------------------------------------------------------------------------
 *
 * leader.h
 *	  The leader key as pg_ha_boot sees it while its own server is down.
 *
 * Pure: what a view and the control block together say, and the txns on it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LEADER_H
#define HA_LEADER_H

#include "../cluster.h"
#include "../control.h"
#include "../dcs.h"

/*
 * Is the leader key ours, from a reign that was confirmed, as the control
 * block knows it?  "reput_is_open": a re-put of ours has no known outcome, so
 * that its mod_revision may be another than recorded.
 */
extern bool ha_leader_is_us(const HaView *view, const HaControlLease *lease,
							const char *name, bool reput_is_open);

/* Does a standby in /sync hold all that was ever acknowledged? */
extern bool ha_leader_is_synchronous(const HaView *view, const char *name);

/*
 * The member to clone or rewind from: another one that leads a confirmed
 * reign and runs as primary.  NULL = there is none now.
 */
extern const HaMember *ha_leader_source(const HaView *view, const char *name);

/*
 * The member to clone: a standby that streams from that leader and is tagged
 * clonefrom, the furthest of them, else the leader; which may be one of Patroni's whose
 * reign is not on record yet, for want of a standby of ours.  NULL = there is no
 * leader now.
 */
extern const HaMember *ha_leader_clone_source(const HaView *view,
											  const char *name);

/*
 * May pg_rewind be trusted with data that a primary wrote on "timeline"?  Not
 * if somebody else is, or may be, on record for that timeline id: it then
 * names two histories, and pg_rewind can't tell them apart.
 */
extern bool ha_leader_allows_rewind(const HaView *view, uint32_t timeline,
									const char *name);

/* The leader key anew under its lease, which voids every txn in flight. */
extern void ha_txn_reput(HaTxn *txn, const HaView *view,
						 const HaControlLease *lease, const char *name);

/*
 * All of a first reign, of a primary that was not pg_ha's before: the system
 * identifier, the leader key, the term, and a heartbeat; if there is none of these,
 * nor a list of who may be elected (S-1) or must be asked (S-9).  "history": what the timeline descends from, of a term.
 */
extern void ha_txn_found(HaTxn *txn, const HaControlLease *lease,
						 const char *name, uint64_t sysid, uint64_t lsn,
						 const HaTerm *history);

/* A heartbeat, if the leader key is still as the control block knows it. */
extern void ha_txn_heartbeat(HaTxn *txn, const HaControlLease *lease,
							 const char *name, uint64_t lsn);

/*
 * May /sync list this member as one that has confirmed commits?  Then its data must
 * not be replaced: by what is older it would vote with less than it has confirmed.
 */
extern bool ha_leader_may_count_on(const HaView *view, const char *name);

#endif							/* HA_LEADER_H */
