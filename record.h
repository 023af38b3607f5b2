/*-------------------------------------------------------------------------
 *
 * record.h
 *	  What a leader writes down for people: /history, pg_ha/last_failover.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RECORD_H
#define HA_RECORD_H

#include "cluster.h"
#include "dcs.h"
#include "lease.h"

/* The worker: the next transaction to send, if one is due. */
extern bool ha_record_next(const HaLease *lease, const HaLocal *local,
						   int64_t now, HaRequest *request);

/* Is the answer one for ha_record_answered? */
extern bool ha_record_is_mine(uint32_t tag);
extern void ha_record_answered(HaLease *lease, const HaAnswer *answer,
							   int64_t now);
extern void ha_record_unsent(int64_t now);

#endif							/* HA_RECORD_H */
