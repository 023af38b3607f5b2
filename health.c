/*-------------------------------------------------------------------------
 *
 * health.c
 *	  Is this server able to do its work?  Judged from inside.
 *
 * Whether a disk works can only be told by using it, and who uses a disk that
 * does not work hangs.  So there is a process for just that, the probe: it writes
 * a small file and sees it through to the disk, again and again, and notes in
 * shared memory when it begins and how it ended.  The worker reads those notes.
 * An attempt that has not come back is as good a sign as one that failed.
 *
 * Nobody else's work is needed for that, so an idle server and a standby are
 * judged, too.  What sessions meet counts besides: if some wait for WAL to be
 * written and none is, this server leads nobody anywhere, whatever the probe met.
 *
 * A check that fails makes a standby no candidate at once: another one may be
 * well.  A leader bears with it for pg_ha.health_grace, since a failover has its
 * price, too; decide.c says what then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/wait_event.h"

#include "control.h"
#include "health.h"

#define PROBE_FILE			"pg_ha.probe"
#define PROBE_INTERVAL		1000

/* Slower than this is no failure of the disk, but may be the load on it. */
#define SLOW_AFTER			1000

/* A process that could not be started for so long never will be. */
#define PROBE_START_WAIT	10000

static const char *const names[HA_NCHECKS] = {
	"datadir", "wal_disk", "wal_write"
};

/*-------------------------------------------------------------------------
 * The probe: may hang
 *-------------------------------------------------------------------------
 */

/* The file's name in each place.  The directory is always the data directory. */
static const char *const probe_files[HA_NPROBES] = {
	PROBE_FILE, XLOGDIR "/" PROBE_FILE
};

static bool
tell_errno(char *trouble, const char *what)
{
	snprintf(trouble, HA_DETAIL_SIZE, "%s: %s", what, strerror(errno));
	return false;
}

/*
 * All processes stay in a directory that is moved away, and write there happily;
 * but who starts the server next would not find it.
 */
static bool
is_in_place(char *trouble)
{
	struct stat here;
	struct stat there;

	if (stat(".", &here) != 0 || stat(DataDir, &there) != 0)
		return tell_errno(trouble, "the data directory can't be found");
	if (here.st_dev != there.st_dev || here.st_ino != there.st_ino)
	{
		strlcpy(trouble, "the data directory is not the one that stands there",
				HA_DETAIL_SIZE);
		return false;
	}
	if (access(XLOG_CONTROL_FILE, F_OK) != 0)
		return tell_errno(trouble, "pg_control can't be found");
	return true;
}

/* A new file each time: an old one's blocks are there even on a full disk. */
static bool
takes_writes(const char *path, char *trouble)
{
	static const char block[BLCKSZ];
	int			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool		ok;

	if (fd < 0)
		return tell_errno(trouble, "could not create a file");
	errno = ENOSPC;				/* what a short write means */
	ok = write(fd, block, sizeof(block)) == sizeof(block) ||
		tell_errno(trouble, "could not write a file");
	ok = ok && (fsync(fd) == 0 || tell_errno(trouble, "could not fsync a file"));
	ok = (close(fd) == 0 || tell_errno(trouble, "could not close a file")) && ok;
	return (unlink(path) == 0 ||
			tell_errno(trouble, "could not remove a file")) && ok;
}

static void
probe(HaCheckId id)
{
	HaProbe    *noted = &ha_shared->probes[id];
	char		trouble[HA_DETAIL_SIZE] = "";
	int64		began_at = ha_now();
	bool		ok;

	SpinLockAcquire(&ha_shared->mutex);
	noted->began_at = began_at;
	SpinLockRelease(&ha_shared->mutex);

	ok = (id != HA_CHECK_DATADIR || is_in_place(trouble)) &&
		takes_writes(probe_files[id], trouble);

	SpinLockAcquire(&ha_shared->mutex);
	noted->began_at = 0;
	if (ok)
	{
		noted->good_at = ha_now();
		noted->bad_since = 0;
	}
	else
	{
		if (noted->bad_since == 0)
			noted->bad_since = began_at;
		memcpy(noted->trouble, trouble, sizeof(trouble));
	}
	SpinLockRelease(&ha_shared->mutex);
}

static void
leave(int code, Datum arg)
{
	SpinLockAcquire(&ha_shared->mutex);
	ha_shared->probe_pid = 0;
	for (int i = 0; i < HA_NPROBES; i++)
		ha_shared->probes[i].began_at = 0;
	SpinLockRelease(&ha_shared->mutex);
}

void
ha_probe_main(Datum arg)
{
	/* not the handler that ends the process anywhere: not under a spinlock */
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	before_shmem_exit(leave, (Datum) 0);
	SpinLockAcquire(&ha_shared->mutex);
	ha_shared->probe_pid = MyProcPid;
	SpinLockRelease(&ha_shared->mutex);

	while (!ShutdownRequestPending)
	{
		ResetLatch(MyLatch);
		for (int i = 0; i < HA_NPROBES && !ShutdownRequestPending; i++)
			probe(i);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 PROBE_INTERVAL, PG_WAIT_EXTENSION);
	}

	/* anything but 0, or a stray signal would be the end of the probe */
	proc_exit(1);
}

/*-------------------------------------------------------------------------
 * The judgement: must not hang
 *-------------------------------------------------------------------------
 */

static HaCheck checks[HA_NCHECKS];
static bool complained[HA_NCHECKS]; /* the log says that it fails */

const HaCheck *
ha_health_checks(void)
{
	return checks;
}

const char *
ha_health_name(HaCheckId id)
{
	return names[id];
}

static void
set_well(HaCheckId id, int64 now, const char *detail)
{
	HaCheck    *check = &checks[id];

	if (complained[id])
		ereport(LOG,
				(errmsg("health check \"%s\" is well again after %lld ms",
						names[id], (long long) (now - check->since))));
	complained[id] = false;
	if (check->since == 0 || !check->ok)
		check->since = now;
	check->ok = true;
	strlcpy(check->detail, detail, sizeof(check->detail));
}

static void
set_failed(HaCheckId id, int64 since, const char *detail)
{
	HaCheck    *check = &checks[id];

	if (!complained[id] || strcmp(check->detail, detail) != 0)
		ereport(LOG,
				(errmsg("health check \"%s\" fails: %s", names[id], detail)));
	complained[id] = true;
	check->ok = false;
	check->since = since;
	strlcpy(check->detail, detail, sizeof(check->detail));
}

/* Not worth a line in the log: at each start it is so for a moment. */
static void
set_unknown(HaCheckId id, int64 since)
{
	checks[id].ok = false;
	checks[id].since = since;
	strlcpy(checks[id].detail, "no write has come back yet",
			sizeof(checks[id].detail));
}

static void
judge_probe(HaCheckId id, int64 now, int64 slow_after)
{
	static int64 looked_first = 0;
	HaProbe		noted;
	bool		runs;

	if (looked_first == 0)
		looked_first = now;
	SpinLockAcquire(&ha_shared->mutex);
	noted = ha_shared->probes[id];
	runs = ha_shared->probe_pid != 0;
	SpinLockRelease(&ha_shared->mutex);

	if (noted.began_at != 0 && now - noted.began_at >= slow_after)
		set_failed(id, noted.bad_since != 0 ? noted.bad_since : noted.began_at,
				   "a write does not come back");
	else if (noted.bad_since != 0)
		set_failed(id, noted.bad_since, noted.trouble);
	else if (noted.good_at != 0)
		set_well(id, now, "takes writes");
	else if (runs || now - looked_first < PROBE_START_WAIT)
		set_unknown(id, looked_first);
	else
		set_well(id, now, "not probed: the process for it could not be started");
}

/* Does any process wait for WAL to reach the disk?  As pg_stat_activity looks. */
static bool
somebody_waits_for_wal(void)
{
	for (int i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const PGPROC *proc = &ProcGlobal->allProcs[i];
		uint32		event = *(volatile const uint32 *) &proc->wait_event_info;

		if (proc->pid == 0)
			continue;
		if (event == WAIT_EVENT_WAL_SYNC || event == WAIT_EVENT_WAL_WRITE ||
			event == WAIT_EVENT_WAL_INIT_SYNC ||
			event == WAIT_EVENT_WAL_INIT_WRITE ||
			event == (PG_WAIT_LWLOCK | WALWriteLock->tranche))
			return true;
	}
	return false;
}

/*
 * WAL that is inserted and not flushed means nothing, if nobody waits for it.
 * Somebody who waits at every single look, while nothing is flushed from one to
 * the next, waits in vain.
 */
static void
judge_wal_write(const HaLocal *local, int64 now, int64 slow_after)
{
	static uint64 flushed = 0;
	static int64 stalled_since = 0;

	if (local->role != HA_ROLE_PRIMARY || local->flush_lsn != flushed ||
		local->frozen_since != 0 || /* we stopped it ourselves */
		GetXLogInsertRecPtr() <= local->flush_lsn || !somebody_waits_for_wal())
		stalled_since = 0;
	else if (stalled_since == 0)
		stalled_since = now;
	flushed = local->flush_lsn;
	if (stalled_since != 0 && now - stalled_since >= slow_after)
		set_failed(HA_CHECK_WAL_WRITE, stalled_since,
				   "sessions wait for WAL to be flushed, and none is");
	else
		set_well(HA_CHECK_WAL_WRITE, now, local->role == HA_ROLE_PRIMARY ?
				 "nobody waits for long" : "a standby has none to write");
}

void
ha_health_look(HaLocal *local, int64 now)
{
	int64		slow_after = Max(SLOW_AFTER, local->health_grace / 2);

	for (int i = 0; i < HA_NPROBES; i++)
		judge_probe(i, now, slow_after);
	judge_wal_write(local, now, slow_after);

	local->sick_since = 0;
	for (int i = 0; i < HA_NCHECKS; i++)
	{
		if (checks[i].ok ||
			(local->sick_since != 0 && checks[i].since >= local->sick_since))
			continue;
		local->sick_since = checks[i].since;
		strlcpy(local->sick_check, names[i], sizeof(local->sick_check));
		strlcpy(local->sick_detail, checks[i].detail,
				sizeof(local->sick_detail));
	}
}
