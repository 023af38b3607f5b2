/*-------------------------------------------------------------------------
 *
 * handover.h
 *	  The server's part in a switchover: a checkpoint, commits held back, the WAL
 *	  stopped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HANDOVER_H
#define HA_HANDOVER_H

#include "postgres.h"

#include "cluster.h"

/* How far it is, for the rules. */
extern void ha_handover_gather(const HaView *view, HaLocal *local, int64_t now);

/*
 * Do what the plan says, or undo what it does not say any more.  The gate must be
 * as the plan wants it already.  True if the rules should look again at once.
 */
extern bool ha_handover_act(const HaPlan *plan, const HaView *view,
							HaLocal *local, int64_t now);

#endif							/* HA_HANDOVER_H */
