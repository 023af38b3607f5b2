/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  One physical replication slot for each other member.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "replication/slot.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "cluster_json.h"
#include "compat.h"
#include "control.h"
#include "pg_ha.h"
#include "settings.h"
#include "slots.h"

static bool
slot_exists(const char *name)
{
	return SearchNamedReplicationSlot(name, true) != NULL;
}

static void
create_slot(const char *name)
{
	ha_slot_create(name);
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotRelease();
}

static void
drop_slot(const char *name)
{
	ReplicationSlotDrop(name, true);
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
 * Has it lost its WAL, while its member is there and does not stream?  Then it holds
 * nothing for anybody and lets nobody stream through it.
 */
static bool
is_spoilt(const HaMember *member, const char *name)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);
	bool		spoilt = false;

	if (slot != NULL && !member->streaming)
	{
		SpinLockAcquire(&slot->mutex);
		spoilt = slot->active_pid == 0 && ha_slot_is_invalid(slot);
		SpinLockRelease(&slot->mutex);
	}
	return spoilt;
}

void
ha_slots_create(const HaView *view)
{
	static int64 retry_at = 0;
	int64		now = ha_now();

	if (now < retry_at)
		return;
	for (int i = 0; i < view->nmembers; i++)
	{
		const char *member = view->members[i].name;
		char		slot[HA_NAME_SIZE];

		ha_slot_name(member, slot);
		if (strcmp(member, ha_member_name) == 0)
			continue;
		if (is_spoilt(&view->members[i], slot) && try_on_slot(drop_slot, slot))
			ereport(LOG,
					(errmsg("dropped replication slot \"%s\" of member \"%s\", whose WAL had been removed",
							slot, member)));
		if (slot_exists(slot))
			continue;
		if (try_on_slot(create_slot, slot))
			ereport(LOG,
					(errmsg("created replication slot \"%s\" for member \"%s\"",
							slot, member)));
		else
			retry_at = now + 60000;
	}
}

static int	slot_holder(const char *name, bool lock);

void
ha_slots_drop(const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const char *member = view->members[i].name;
		char		slot[HA_NAME_SIZE];

		ha_slot_name(member, slot);
		if (slot_exists(slot) && slot_holder(slot, true) == 0 &&
			try_on_slot(drop_slot, slot))
			ereport(LOG,
					(errmsg("dropped replication slot \"%s\" of member \"%s\", which does not stream from here",
							slot, member)));
	}
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
		copy->active = slot->active_pid != 0;
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
