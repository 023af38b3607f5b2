/*-------------------------------------------------------------------------
 *
 * logical_slots.c
 *	  Logical slots of the configuration, made by processes of their own.
 *
 * A logical slot is made inside its database, and waits until all transactions that
 * run have ended.  The worker has no database, and may wait for nothing; so it starts
 * a process that may, one at a time, and looks in later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "control.h"
#include "logical_slots.h"
#include "pg_ha.h"

/* ms until another attempt at the same slot */
#define RETRY_INTERVAL	60000

/*
 * Is it time for an attempt?  Each slot has a time of its own, so that one which
 * can't be made is not in the way of others.
 */
static bool
is_due(const char *name, int64 now)
{
	static struct
	{
		char		name[HA_NAME_SIZE];
		int64		until;
	}			tried[HA_MAX_SLOT_SPECS];
	int			place = 0;

	for (int i = 0; i < lengthof(tried); i++)
	{
		if (strcmp(tried[i].name, name) == 0)
		{
			place = i;
			break;
		}
		if (tried[i].until < tried[place].until)
			place = i;
	}
	if (strcmp(tried[place].name, name) == 0 && now < tried[place].until)
		return false;
	strlcpy(tried[place].name, name, sizeof(tried[place].name));
	tried[place].until = now + RETRY_INTERVAL;
	return true;
}

void
ha_logical_slot_make(const HaSlotSpec *spec)
{
	static BackgroundWorkerHandle *maker = NULL;
	MemoryContext context = CurrentMemoryContext;
	BackgroundWorker process = {0};
	pid_t		pid;

	if ((maker != NULL &&
		 GetBackgroundWorkerPid(maker, &pid) != BGWH_STOPPED) ||
		!is_due(spec->name, ha_now()))
		return;
	if (maker != NULL)
		pfree(maker);
	maker = NULL;

	/* nobody reads it now: there is no maker */
	ha_shared->slot_to_make = *spec;
	process.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	process.bgw_start_time = BgWorkerStart_RecoveryFinished;
	process.bgw_restart_time = BGW_NEVER_RESTART;
	process.bgw_notify_pid = MyProcPid;
	strlcpy(process.bgw_name, "pg_ha slot maker", BGW_MAXLEN);
	strlcpy(process.bgw_type, "pg_ha slot maker", BGW_MAXLEN);
	strlcpy(process.bgw_library_name, "pg_ha", BGW_MAXLEN);
	strlcpy(process.bgw_function_name, "ha_slot_maker_main", BGW_MAXLEN);
	MemoryContextSwitchTo(TopMemoryContext);
	if (!RegisterDynamicBackgroundWorker(&process, &maker))
	{
		maker = NULL;
		ereport(LOG,
				(errmsg("could not start a process to make replication slot \"%s\"",
						spec->name),
				 errhint("You may need to increase max_worker_processes.")));
	}
	MemoryContextSwitchTo(context);
}

/* Names go in as values, so whatever they are they are nothing but names. */
static void
make_slot(const HaSlotSpec *spec)
{
	Oid			types[2] = {NAMEOID, NAMEOID};
	Datum		values[2];
	NameData	name;
	NameData	plugin;

	namestrcpy(&name, spec->name);
	namestrcpy(&plugin, spec->plugin);
	values[0] = NameGetDatum(&name);
	values[1] = NameGetDatum(&plugin);
	if (SPI_execute_with_args("SELECT pg_catalog.pg_create_logical_replication_slot($1, $2"
							  HA_FAILOVER_ARGUMENT ")",
							  2, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not call pg_create_logical_replication_slot()");
}

void
ha_slot_maker_main(Datum arg)
{
	HaSlotSpec	spec = ha_shared->slot_to_make;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(spec.database, NULL, 0);

	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
	make_slot(&spec);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	ereport(LOG,
			(errmsg("created permanent replication slot \"%s\" in database \"%s\"",
					spec.name, spec.database)));
	proc_exit(0);
}
