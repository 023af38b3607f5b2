/*-------------------------------------------------------------------------
 *
 * lease_parts.h
 *	  What the files of the protocol have in common: lease.c, lease_answers.c and
 *	  lease_txn.c.
 *
 * Everybody else has lease.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LEASE_PARTS_H
#define HA_LEASE_PARTS_H

#include "lease.h"
#include "rules.h"

#include <string.h>

/* Between two tries of what did not work; answers and events come meanwhile. */
#define OP_BACK_OFF		100

#define KEY_LEADER		"leader"
#define KEY_TERM		"pg_ha/term"
#define KEY_HEARTBEAT	"pg_ha/heartbeat"
#define KEY_VOTES		"pg_ha/votes/"
#define KEY_SYNC		"sync"
#define KEY_FAILOVER	"failover"
#define KEY_STATUS		"status"
#define KEY_HISTORY		"history"
#define KEY_FAILSAFE	"failsafe"
#define KEY_REMOVED		"pg_ha/removed/"
#define KEY_MEMBERS		"members/"
#define KEY_CHANGE		"pg_ha/last_failover"
#define KEY_REFUSED		"pg_ha/refused"

static inline int64_t
renewal_timeout(const HaLease *lease)
{
	return later(lease->lease_ttl / 4, 200);
}

/* Was the request with tag a sent after the one with tag b?  Tags wrap. */
static inline bool
is_later(uint32_t a, uint32_t b)
{
	return (int32_t) (a - b) > 0;
}

/* Both give the key up, the second to one who has all that was acknowledged. */
static inline bool
is_release(HaVerb verb)
{
	return verb == HA_RELEASE || verb == HA_HAND_OVER;
}

/*
 * lease.c.  Does the gate stay open by the promises of others only?  Is nothing but the
 * lease in the way of what we do?
 */
extern bool ha_lease_leads_by_promises(const HaLease *lease);
extern bool ha_lease_may_move(const HaLease *lease);

/* lease_txn.c: the key is ours, as it was when we last had proof of that. */
extern void ha_lease_guard_key(HaTxn *txn, const HaLease *lease);
extern void ha_lease_put_heartbeat(HaTxn *txn, const HaLease *lease,
								   const HaLocal *local, int64_t term);

/*
 * What the plan's verb writes, and what must be remembered of that until the answer.
 * false: nothing is to be written.
 */
extern bool ha_lease_build_op(HaLease *lease, const HaPlan *plan,
							  const HaLocal *local, int64_t now, HaTxn *txn);

#endif							/* HA_LEASE_PARTS_H */
