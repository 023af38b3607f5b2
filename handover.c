/*-------------------------------------------------------------------------
 *
 * handover.c
 *	  The server's part in a switchover: a checkpoint, commits held back, the WAL
 *	  stopped.
 *
 * Which of them is due is decided in switchover.c.
 *
 * The WAL is stopped by the one lock without which no process writes or flushes
 * any.  With it in hand, and all that was written flushed, this server's WAL ends
 * at one LSN, for the standbys, for a crash, and for pg_ha_boot, which ends the
 * server by SIGQUIT.  No session need be ended for that: whoever wants to flush,
 * or finds the buffers full, waits.  The lock ends with the process that holds it,
 * so if the worker dies or is told to stop, everything goes on; and so it does
 * after a while in any case (FREEZE_LIMIT).
 *
 * It is the exception to the rule that locks are held for a few assignments.  The
 * worker does nothing meanwhile that writes WAL, or waits for somebody who may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "fence.h"
#include "handover.h"
#include "pg_ha.h"
#include "server.h"
#include "switchover.h"

/* How long commits are held back if nobody says so again, ms. */
#define HOLD_AHEAD			1000

/* A checkpoint that takes longer only lets this server come back later. */
#define CHECKPOINT_LIMIT	30000

/* The WAL stands still no longer than that, whatever is waited for. */
#define FREEZE_LIMIT		30000

/* Between two looks at whether it writes and flushes the same. */
#define FREEZE_TRIES		10

/* The checkpoint that was asked for: for which wish, where the WAL was, when. */
static int64 asked_for;
static XLogRecPtr asked_lsn;
static int64 asked_at;

/* Has a checkpoint been made that began after it was asked for? */
static bool
is_checkpoint_done(void)
{
	bool		crc_ok;
	ControlFileData *file = get_controlfile(DataDir, &crc_ok);
	bool		done = crc_ok && file->checkPointCopy.redo >= asked_lsn;

	pfree(file);
	return done;
}

static void
gather_checkpoint(const HaView *view, HaLocal *local, int64 now)
{
	if (asked_for == 0 || local->prepared_for == asked_for ||
		view->failover.mod_revision != asked_for)
		return;
	if (!is_checkpoint_done() && now - asked_at < CHECKPOINT_LIMIT)
		return;
	local->prepared_for = asked_for;
	local->prepared_at = now;
	local->prepared_lsn = local->flush_lsn;
}

void
ha_handover_gather(const HaView *view, HaLocal *local, int64 now)
{
	if (local->role == HA_ROLE_PRIMARY)
	{
		local->can_freeze = !XLogArchivingActive();
		gather_checkpoint(view, local, now);
	}
	else
		local->prepared_for = 0;
	local->drained = local->held_since != 0 && ha_fence_is_drained();
}

/* Once for each wish; on a standby it makes a restartpoint. */
static void
ask_for_checkpoint(const HaView *view, int64 now)
{
	if (asked_for == view->failover.mod_revision)
		return;
	asked_for = view->failover.mod_revision;
	asked_lsn = RecoveryInProgress() ? 0 : GetXLogInsertRecPtr();
	asked_at = now;
	ha_server_request_checkpoint();
}

/*
 * The end of what has been inserted.  Where the next record would begin on a new
 * page, its header is counted already, although nothing is there to be flushed.
 */
static XLogRecPtr
inserted_end(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		return end - SizeOfXLogLongPHD;
	if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return end - SizeOfXLogShortPHD;
	return end;
}

/*
 * Commits without waiting for the disk have been acknowledged, too, so first all
 * is flushed.  What is written and not flushed would be found after a crash: then
 * the end is not yet one number.
 */
static bool
freeze(uint64 *lsn)
{
	XLogRecPtr	end = inserted_end();

	XLogFlush(end);
	for (int i = 0; i < FREEZE_TRIES; i++)
	{
		XLogRecPtr	written;

		LWLockAcquire(WALWriteLock, LW_EXCLUSIVE);
		*lsn = GetFlushRecPtr(NULL);
		written = GetXLogWriteRecPtr();
		if (written == *lsn)
			return true;
		LWLockRelease(WALWriteLock);
		XLogFlush(written);
	}
	return false;
}

static void
thaw(HaLocal *local)
{
	if (local->frozen_since == 0)
		return;
	LWLockRelease(WALWriteLock);
	local->frozen_since = 0;
	local->frozen_lsn = 0;
}

static void
hold(HaLocal *local, int64 now)
{
	if (local->held_since == 0)
		local->held_since = now;
	ha_fence_hold(now + HOLD_AHEAD);
}

static void
stop_holding(HaLocal *local)
{
	if (local->held_since == 0)
		return;
	local->held_since = 0;
	ha_fence_hold(0);
}

/*
 * Does the WAL still have to stand still?  While the key is away, or on its way
 * back, what is written now would be lost if it does not come.
 */
static bool
stays_frozen(const HaPlan *plan, const HaLocal *local, int64 now)
{
	if (plan->lead || now - local->frozen_since > FREEZE_LIMIT)
		return false;
	switch (plan->verb)
	{
		case HA_WAIT:
		case HA_FREEZE:
		case HA_HAND_OVER:
		case HA_YIELD:
		case HA_ACQUIRE:
		case HA_REASSERT:
		case HA_CONFIRM:
			return true;
		default:
			return false;
	}
}

bool
ha_handover_act(const HaPlan *plan, const HaView *view, HaLocal *local,
				int64 now)
{
	if (local->frozen_since != 0 && !stays_frozen(plan, local, now))
		thaw(local);
	if (plan->verb == HA_HOLD || plan->verb == HA_FREEZE ||
		local->frozen_since != 0)
		hold(local, now);
	else
		stop_holding(local);

	if (plan->verb == HA_PREPARE ||
		(local->role == HA_ROLE_STANDBY && view->leader.present &&
		 ha_switchover_wants(view, local->name)))
		ask_for_checkpoint(view, now);
	if (plan->verb != HA_FREEZE || local->frozen_since != 0 ||
		!freeze(&local->frozen_lsn))
		return false;
	local->frozen_since = now;
	return true;
}
