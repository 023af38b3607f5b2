/*-------------------------------------------------------------------------
 *
 * server.c
 *	  This PostgreSQL: what it is doing, and what the worker can make it do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "replication/syncrep.h"
#include "replication/walreceiver.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "server.h"

/*
 * What the timeline descends from, by its history file.  Read once it is there:
 * a standby gets it only when it follows somebody on that timeline.
 */
static void
ancestry_facts(HaLocal *local)
{
	static TimeLineID known = 0;
	List	   *history;
	int			oldest;

	if (known == local->timeline)
		return;
	local->nancestors = 0;
	if (local->timeline <= 1)
		return;
	history = readTimeLineHistory(local->timeline);
	if (list_length(history) > 1)
		known = local->timeline;

	/* newest first, beginning with the timeline itself; we want the reverse */
	oldest = Min(list_length(history) - 1, HA_MAX_LINEAGE);
	for (int i = oldest; i > 0; i--)
	{
		TimeLineHistoryEntry *entry = list_nth(history, i);
		HaTimeline *ancestor = &local->ancestors[local->nancestors++];

		memset(ancestor, 0, sizeof(*ancestor));
		ancestor->timeline = entry->tli;
		ancestor->end_lsn = entry->end;
	}
	list_free_deep(history);
}

/* Does the startup process wait for WAL that nobody brings? */
static bool
startup_lacks_wal(void)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];

		if (proc->pid != 0 &&
			proc->wait_event_info == WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL)
			return true;
	}
	return false;
}

bool
ha_server_waits_for_session(pid_t startup)
{
	PGPROC	   *proc = AuxiliaryPidGetProc(startup);
	uint32		waits_for = proc != NULL ? proc->wait_event_info : 0;

	return (waits_for & 0xFF000000U) == PG_WAIT_LOCK ||
		(waits_for & 0xFF000000U) == PG_WAIT_BUFFER_PIN ||
		waits_for == WAIT_EVENT_RECOVERY_CONFLICT_SNAPSHOT ||
		waits_for == WAIT_EVENT_RECOVERY_CONFLICT_TABLESPACE;
}

/*
 * Is there WAL that replay has not come to since this server started?  It asks for
 * a walreceiver, or waits, only when it has found the end of what is here.
 */
static bool
is_replaying_own(XLogRecPtr received)
{
	static bool exhausted = false;

	exhausted = exhausted || received != InvalidXLogRecPtr ||
		startup_lacks_wal();
	return !exhausted;
}

/*
 * Recovery that can't even read its first record tells no position, and would be
 * helped by following somebody.  Where it is to begin stands in pg_control.
 */
static void
first_facts(XLogRecPtr *replayed, TimeLineID *timeline)
{
	static bool stuck = false;
	ControlFileData *file;
	bool		crc_ok;

	stuck = stuck || startup_lacks_wal();
	if (!stuck)
		return;
	file = get_controlfile(DataDir, &crc_ok);
	if (crc_ok)
	{
		*replayed = file->checkPoint;
		*timeline = file->checkPointCopy.ThisTimeLineID;
	}
	pfree(file);
}

static void
standby_facts(HaLocal *local)
{
	TimeLineID	replay_timeline = 0;
	TimeLineID	received_timeline = 0;
	XLogRecPtr	replayed;
	XLogRecPtr	received;

	/* A position that is read after replay has come to its end is not less. */
	local->replaying = is_replaying_own(GetWalRcvFlushRecPtr(NULL, NULL));
	replayed = GetXLogReplayRecPtr(&replay_timeline);
	received = GetWalRcvFlushRecPtr(NULL, &received_timeline);
	if (replay_timeline == 0)
		first_facts(&replayed, &replay_timeline);
	local->role = HotStandbyActive() ? HA_ROLE_STANDBY : HA_ROLE_STARTING;
	local->replay_lsn = replayed;
	local->flush_lsn = replayed;
	local->timeline = replay_timeline;
	if (received > replayed && received_timeline >= replay_timeline)
	{
		local->flush_lsn = received;
		local->timeline = received_timeline;
	}
	local->streaming = WalRcvStreaming();
	ancestry_facts(local);
}

static void
primary_facts(HaLocal *local)
{
	TimeLineID	timeline = 0;

	local->role = HA_ROLE_PRIMARY;
	local->replaying = false;
	local->flush_lsn = GetFlushRecPtr(&timeline);
	local->replay_lsn = local->flush_lsn;
	local->timeline = timeline;
	ancestry_facts(local);
}

void
ha_server_facts(HaLocal *local)
{
	local->sysid = GetSystemIdentifier();
	if (RecoveryInProgress())
		standby_facts(local);
	else
		primary_facts(local);
}

uint64
ha_server_awaited_lsn(bool *has_archive)
{
	XLogRecPtr	received;

	*has_archive = recoveryRestoreCommand != NULL &&
		recoveryRestoreCommand[0] != '\0';
	if (!RecoveryInProgress())
		return 0;
	received = GetWalRcvFlushRecPtr(NULL, NULL);
	return received != 0 ? Max(received, GetXLogReplayRecPtr(NULL)) : 0;
}

void
ha_server_replay_facts(bool *paused, int64 *replayed_at_us)
{
	TimestampTz latest = RecoveryInProgress() ? GetLatestXTime() : 0;

	*paused = RecoveryInProgress() &&
		GetRecoveryPauseState() != RECOVERY_NOT_PAUSED;
	*replayed_at_us = latest == 0 ? 0 : latest + HA_UNIX_EPOCH;
}

/* One that still tries to connect counts as streaming for WalRcvStreaming(). */
bool
ha_server_receives(void)
{
	bool		connected;

	SpinLockAcquire(&WalRcv->mutex);
	connected = WalRcv->ready_to_display;
	SpinLockRelease(&WalRcv->mutex);
	return connected && WalRcvStreaming();
}

bool
ha_server_receiver_is_gone(void)
{
	pid_t		pid;

	SpinLockAcquire(&WalRcv->mutex);
	pid = WalRcv->pid;
	SpinLockRelease(&WalRcv->mutex);
	return pid == 0 && !WalRcvRunning();
}

/*
 * A file that holds only a comment: the server's search for an unused id sees
 * that it exists, and a standby that reads it finds no parent in it, so never
 * takes it for a timeline to follow.
 */
static bool
reserve_timeline(TimeLineID timeline)
{
	char		path[MAXPGPATH];
	FILE	   *file;
	bool		ok;

	TLHistoryFilePath(path, timeline);
	if (access(path, F_OK) == 0)
		return true;
	file = AllocateFile(path, "w");
	if (file == NULL)
		return false;
	ok = fputs("# reserved by pg_ha, never used here\n", file) >= 0;
	ok = fflush(file) == 0 && pg_fsync(fileno(file)) == 0 && ok;
	return FreeFile(file) == 0 && ok;
}

bool
ha_server_promote(uint32 timeline, uint32 reserved)
{
	FILE	   *file;

	/*
	 * Below our own too: a standby that comes from an older timeline asks for
	 * the file of every id in between, and a clone has only those of its own
	 * ancestors.
	 */
	for (uint32 id = 2; id < reserved; id++)
	{
		if (id == timeline)
			continue;
		if (!reserve_timeline(id))
		{
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not reserve timeline %u: %m", id)));
			return false;
		}
	}
	file = AllocateFile(PROMOTE_SIGNAL_FILE, "w");
	if (file == NULL || FreeFile(file) != 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m",
						PROMOTE_SIGNAL_FILE)));
		return false;
	}
	if (kill(PostmasterPid, SIGUSR1) != 0)
	{
		ereport(LOG, (errmsg("could not signal the postmaster: %m")));
		(void) unlink(PROMOTE_SIGNAL_FILE);
		return false;
	}
	return true;
}

void
ha_server_wake_startup(void)
{
	if (RecoveryInProgress())
		WakeupRecovery();
}

void
ha_server_request_checkpoint(void)
{
	RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
}

uint64
ha_server_confirmed_lsn(void)
{
	return *(volatile XLogRecPtr *) &WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
}

void
ha_server_end_for_limits(int64 now)
{
	static int64 look_at = 0;	/* the file is not read on every turn */
	ControlFileData *primary;
	bool		crc_ok;

	if (!RecoveryInProgress() ||
		GetRecoveryPauseState() != RECOVERY_PAUSED || now < look_at)
		return;
	look_at = now + 1000;
	primary = get_controlfile(DataDir, &crc_ok);
	if (crc_ok &&
		(primary->MaxConnections > MaxConnections ||
		 primary->max_worker_processes > max_worker_processes ||
		 primary->max_wal_senders > max_wal_senders ||
		 primary->max_prepared_xacts > max_prepared_xacts ||
		 primary->max_locks_per_xact > max_locks_per_xact))
	{
		ereport(LOG,
				(errmsg("ending this server, which has lower limits than its primary, to start it with those")));
		SetRecoveryPause(false);
	}
	pfree(primary);
}
