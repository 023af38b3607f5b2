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
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false);
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
		ReplicationSlotCleanup();
		ereport(LOG,
				(errmsg("could not create or drop replication slot \"%s\": %s",
						name, error->message)));
		FreeErrorData(error);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

void
ha_slots_create(const HaView *view)
{
	static char refused[HA_MAX_MEMBERS][HA_NAME_SIZE];
	static int	nrefused = 0;

	for (int i = 0; i < view->nmembers; i++)
	{
		const char *member = view->members[i].name;
		char		slot[HA_NAME_SIZE];
		bool		skip = strcmp(member, ha_member_name) == 0;

		for (int j = 0; j < nrefused; j++)
			skip = skip || strcmp(refused[j], member) == 0;
		ha_slot_name(member, slot);
		if (skip || slot_exists(slot))
			continue;
		if (try_on_slot(create_slot, slot))
			ereport(LOG,
					(errmsg("created replication slot \"%s\" for member \"%s\"",
							slot, member)));
		else if (nrefused < HA_MAX_MEMBERS)
			strlcpy(refused[nrefused++], member, HA_NAME_SIZE);
	}
}

static int	slot_holder(const char *name);

void
ha_slots_drop(const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const char *member = view->members[i].name;
		char		slot[HA_NAME_SIZE];

		ha_slot_name(member, slot);
		if (slot_exists(slot) && slot_holder(slot) == 0 &&
			try_on_slot(drop_slot, slot))
			ereport(LOG,
					(errmsg("dropped replication slot \"%s\" of member \"%s\", which does not stream from here",
							slot, member)));
	}
}

/* The pid that holds a slot, 0 = nobody or no such slot. */
static int
slot_holder(const char *name)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);
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
ha_slots_standbys(const HaView *view, HaStandby *standbys)
{
	int			n = 0;

	for (int i = 0; i < view->nmembers && n < HA_MAX_MEMBERS; i++)
	{
		char		slot[HA_NAME_SIZE];
		int			pid;

		if (strcmp(view->members[i].name, ha_member_name) == 0)
			continue;
		ha_slot_name(view->members[i].name, slot);
		pid = slot_holder(slot);
		memset(&standbys[n], 0, sizeof(HaStandby));
		if (pid == 0 || !read_walsender(pid, &standbys[n]))
			continue;
		strlcpy(standbys[n].name, view->members[i].name, HA_NAME_SIZE);
		n++;
	}
	return n;
}

bool
ha_slots_walsenders_applied(int epoch)
{
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsnd = &WalSndCtl->walsnds[i];
		int			pid;

		SpinLockAcquire(&walsnd->mutex);
		pid = walsnd->pid;
		SpinLockRelease(&walsnd->mutex);
		if (pid != 0 && !ha_settings_applied_by(pid, epoch))
			return false;
	}
	return true;
}
