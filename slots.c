/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  The replication slots of this server.
 *
 * slot_plan.c says what should be; here it is done.  pg_ha knows the slots that it
 * made by a mark in the slot itself, so whatever happens to the store, none of
 * somebody else's is dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/transam.h"
#include "access/twophase.h"
#include "replication/slot.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "control.h"
#include "logical_slots.h"
#include "names.h"
#include "pg_ha.h"
#include "settings.h"
#include "slots.h"

/*
 * Where a slot says who made it: a field that only logical slots use, that is
 * written together with the slot, and so is never apart from it.
 */
#define MARK	"pg_ha"

/* ms until what failed is tried again */
#define RETRY_INTERVAL	60000

/* ms between two plans that rest on the same view */
#define PLAN_INTERVAL	500

/*
 * Ephemeral until it is marked and holds its WAL: a crash before leaves no slot of
 * which nobody knows whose it is.
 */
static void
create_slot(const char *name)
{
	ha_slot_create(name);
	SpinLockAcquire(&MyReplicationSlot->mutex);
	namestrcpy(&MyReplicationSlot->data.plugin, MARK);
	SpinLockRelease(&MyReplicationSlot->mutex);
	ReplicationSlotReserveWal();
	ReplicationSlotPersist();
	ReplicationSlotRelease();
}

static void
drop_slot(const char *name)
{
	ReplicationSlotDrop(name, true);
}

static void
renew_slot(const char *name)
{
	drop_slot(name);
	create_slot(name);
}

/*
 * Releasing a slot also notes something in an array of all processes with a
 * database connection, at this one's place.  Without a connection it has none, and
 * somebody else's would be overwritten: here is one at the end that nobody uses.
 */
static void
take_spare_place(void)
{
	MyProc->pgxactoff = ProcGlobal->allProcCount + max_prepared_xacts - 1;
}

/*
 * Slot code raises errors and holds locks while it does: without a transaction
 * to abort, the cleaning up is ours.
 */
static bool
try_on_slot(void (*action) (const char *name), const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	take_spare_place();
	PG_TRY();
	{
		action(name);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		LWLockReleaseAll();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		ha_slots_clean_up();
		ereport(LOG,
				(errmsg("could not create or drop replication slot \"%s\": %s",
						name, error->message)));
		FreeErrorData(error);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/*
 * Change an unused slot without acquiring it, which would turn away whoever wants
 * to stream through it at that moment.  A slot is written with the next checkpoint,
 * as when a standby moves it: after a crash it keeps a little more.
 */
static void
move_slot(const char *name, uint64 lsn)
{
	ReplicationSlot *slot;
	bool		held_rows = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		TimestampTz at = GetCurrentTimestamp();

		SpinLockAcquire(&slot->mutex);
		if (slot->active_pid == 0 && !ha_slot_is_invalid(slot))
		{
			held_rows = TransactionIdIsValid(slot->data.xmin);
			slot->data.xmin = slot->effective_xmin = InvalidTransactionId;
			slot->data.restart_lsn = lsn;
			slot->just_dirtied = slot->dirty = true;
			ha_slot_touch(slot, at);
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	ReplicationSlotsComputeRequiredLSN();
	if (held_rows)
		ReplicationSlotsComputeRequiredXmin(false);
}

/* Mark a slot, which the lock keeps from becoming another one. */
static void
take_slot(const char *name)
{
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		if (slot->data.database == InvalidOid)
		{
			namestrcpy(&slot->data.plugin, MARK);
			slot->just_dirtied = slot->dirty = true;
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
}

/* Bytes as people read them. */
static const char *
pretty_size(uint64 bytes)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
															  Int64GetDatum((int64) bytes))));
}

static bool
create_task(const HaSlotTask *task)
{
	if (!try_on_slot(create_slot, task->slot))
		return false;
	if (task->why[0] != '\0')
		ereport(LOG,
				(errmsg("created replication slot \"%s\" for member \"%s\"",
						task->slot, task->why)));
	else
		ereport(LOG,
				(errmsg("created permanent replication slot \"%s\"",
						task->slot)));
	return true;
}

static bool
drop_task(const HaSlotTask *task, const HaSlotScene *scene)
{
	const HaSlot *slot = ha_find_slot(scene, task->slot);
	uint64		retained = slot != NULL && slot->restart_lsn != 0 &&
	slot->restart_lsn < scene->local->flush_lsn ?
	scene->local->flush_lsn - slot->restart_lsn : 0;

	if (!try_on_slot(drop_slot, task->slot))
		return false;
	ereport(LOG,
			(errmsg("dropped slot \"%s\" %s, had retained %s", task->slot,
					task->why, pretty_size(retained))));
	return true;
}

static bool
renew_task(const HaSlotTask *task)
{
	if (!try_on_slot(renew_slot, task->slot))
		return false;
	ereport(LOG,
			(errmsg("made replication slot \"%s\" anew, %s", task->slot,
					task->why)));
	return true;
}

/*
 * Those that wait for the disk are put off while that is sick, or has failed.  A
 * slot that can't be dropped, since somebody has just begun to use it, is no reason not
 * to create others.
 */
static void
carry_out(const HaSlotTask *task, const HaSlotScene *scene, int64 now)
{
	static int64 create_at = 0;
	static int64 drop_at = 0;
	int64	   *due = task->deed == HA_SLOT_DROP ? &drop_at : &create_at;
	bool		ok = true;

	if (task->deed == HA_SLOT_ADVANCE)
		move_slot(task->slot, task->lsn);
	else if (task->deed == HA_SLOT_CREATE_LOGICAL)
		ha_logical_slot_make(ha_slot_permanent(scene->config, task->slot));
	else if (task->deed == HA_SLOT_TAKE)
	{
		take_slot(task->slot);
		ereport(LOG,
				(errmsg("replication slot \"%s\" is pg_ha's now: member \"%s\" streams through it",
						task->slot, task->why)));
	}
	else if (task->deed == HA_SLOT_INHERIT)
	{
		take_slot(task->slot);
		ereport(LOG,
				(errmsg("replication slot \"%s\" is pg_ha's now: Patroni made it for member \"%s\"",
						task->slot, task->why)));
	}
	else if (now < *due || scene->local->sick_since != 0)
		return;
	else if (task->deed == HA_SLOT_CREATE)
		ok = create_task(task);
	else if (task->deed == HA_SLOT_RENEW)
		ok = renew_task(task);
	else
		ok = drop_task(task, scene);
	if (!ok)
		*due = now + RETRY_INTERVAL;
}

/* A file that it writes into each data directory, and nobody removes. */
static bool
patroni_was_here(void)
{
	static int	found = -1;

	if (found < 0)
		found = access("patroni.dynamic.json", F_OK) == 0;
	return found;
}

void
ha_slots_manage(const HaView *view, HaLocal *local, bool leads, bool fresh,
				int64 now)
{
	static int64 planned_at = 0;
	static int64 planned_by = 0;
	static int64 book_term = 0;
	HaSlotTask	tasks[HA_MAX_SLOT_TASKS];
	HaSlotScene scene = {0};
	int			n;

	if (!leads)
	{
		book_term = 0;
		local->slots.known = false;
	}
	if (now - planned_at < PLAN_INTERVAL && view->sent_at == planned_by)
		return;
	scene.config = &view->config;
	scene.view = view;
	scene.local = local;
	scene.slots = ha_slots_list(&scene.nslots);
	scene.leads = leads;
	scene.fresh = fresh;
	scene.after_patroni = patroni_was_here();
	if (now - planned_at <= 2 * view->config.loop_wait)
		scene.elapsed = now - planned_at;
	planned_at = now;
	planned_by = view->sent_at;

	if (leads && book_term != view->term.term)
	{
		ha_slot_book_begin(&scene, &local->slots);
		book_term = view->term.term;
	}
	n = ha_slot_plan(&scene, &local->slots, tasks);
	for (int i = 0; i < n; i++)
		carry_out(&tasks[i], &scene, now);
}

/* The pid that holds a slot, 0 = nobody or no such slot. */
static int
slot_holder(const char *name, bool lock)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, lock);
	int			pid = 0;

	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		pid = slot->active_pid;
		SpinLockRelease(&slot->mutex);
	}
	return pid;
}

static bool
read_walsender(int pid, HaStandby *standby)
{
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsnd = &WalSndCtl->walsnds[i];
		bool		found;

		SpinLockAcquire(&walsnd->mutex);
		found = walsnd->pid == pid;
		if (found)
		{
			standby->streaming = walsnd->state == WALSNDSTATE_STREAMING;
			standby->flush_lsn = walsnd->flush;
		}
		SpinLockRelease(&walsnd->mutex);
		if (found)
			return true;
	}
	return false;
}

int
ha_slots_standbys(const HaView *view, HaStandby *standbys, bool lock)
{
	int			n = 0;

	for (int i = 0; i < view->nmembers && n < HA_MAX_MEMBERS; i++)
	{
		char		slot[HA_NAME_SIZE];
		int			pid;

		if (strcmp(view->members[i].name, ha_member_name) == 0)
			continue;
		ha_slot_name(view->members[i].name, slot);
		pid = slot_holder(slot, lock);
		memset(&standbys[n], 0, sizeof(HaStandby));
		if (pid == 0 || !read_walsender(pid, &standbys[n]))
			continue;
		strlcpy(standbys[n].name, view->members[i].name, HA_NAME_SIZE);
		n++;
	}
	return n;
}

HaSlot *
ha_slots_list(int *n)
{
	HaSlot	   *slots = palloc0(Max(max_replication_slots, 1) * sizeof(HaSlot));

	*n = 0;
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		HaSlot	   *copy = &slots[*n];

		if (!slot->in_use)
			continue;
		(*n)++;
		SpinLockAcquire(&slot->mutex);
		memcpy(copy->name, NameStr(slot->data.name), HA_NAME_SIZE - 1);
		copy->physical = slot->data.database == InvalidOid;
		copy->ours = copy->physical &&
			strcmp(NameStr(slot->data.plugin), MARK) == 0;
		copy->active = slot->active_pid != 0;
		memcpy(copy->plugin, NameStr(slot->data.plugin), HA_NAME_SIZE - 1);
		copy->synced = ha_slot_is_synced(slot);
		copy->invalid = ha_slot_is_invalid(slot);
		copy->holds_rows = TransactionIdIsValid(slot->data.xmin);
		copy->restart_lsn = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return slots;
}

/*
 * A walsender that serves a base backup, or that has not begun to stream, can
 * release nobody, and reads a changed configuration before it can.  It may well
 * not do so for hours, so it must not be waited for.
 */
static bool
walsender_counts(const WalSnd *walsnd)
{
	return walsnd->pid != 0 && walsnd->state != WALSNDSTATE_STARTUP &&
		walsnd->state != WALSNDSTATE_BACKUP;
}

/* Should the walsender with that pid be one of a synchronous standby? */
static bool
is_named(int pid, const HaManaged *managed)
{
	for (int i = 0; i < managed->nnames; i++)
	{
		char		slot[HA_NAME_SIZE];

		ha_slot_name(managed->names[i], slot);
		if (slot_holder(slot, true) == pid)
			return true;
	}
	return false;
}

bool
ha_slots_walsenders_applied(int epoch, const HaManaged *managed)
{
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsnd = &WalSndCtl->walsnds[i];
		int			pid = 0;
		bool		synchronous = false;

		SpinLockAcquire(&walsnd->mutex);
		if (walsender_counts(walsnd))
		{
			pid = walsnd->pid;
			synchronous = walsnd->sync_standby_priority > 0;
		}
		SpinLockRelease(&walsnd->mutex);
		if (pid == 0)
			continue;

		/* that it has read the file is one thing, that it acts on it another */
		if (!ha_settings_applied_by(pid, epoch) ||
			synchronous != is_named(pid, managed))
			return false;
	}
	return true;
}
