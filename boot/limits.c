/*-------------------------------------------------------------------------
 *
 * limits.c
 *	  What a standby must not have less of than its primary.
 *
 * A standby has to hold whatever its primary has at once: sessions, prepared
 * transactions, locks.  pg_control has the primary's limits, as far as they have been
 * replayed, and a standby with lower ones does not start.  So whoever starts as a
 * standby gets these, where the configuration has less (prepare.c), and shows in
 * its member key that a restart is pending for it.  They are given on the command
 * line too, where ALTER SYSTEM does not outrank them.
 *
 * Then any order of changes comes to its end without manual work.  Rising: standbys
 * that are restarted first have the new value already when the leader gets it.
 * Falling: the leader is restarted, tells its new value in the WAL, and standbys that
 * are restarted after it have replayed that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "limits.h"

int
ha_limit_of_data(const ControlFileData *control, const char *name)
{
	const struct
	{
		const char *name;
		int			value;
	}			limits[HA_NUM_LIMITS] =

	{
		{"max_connections", control->MaxConnections},
		{"max_worker_processes", control->max_worker_processes},
		{"max_wal_senders", control->max_wal_senders},
		{"max_prepared_transactions", control->max_prepared_xacts},
		{"max_locks_per_transaction", control->max_locks_per_xact},
	};

	for (int i = 0; i < lengthof(limits); i++)
	{
		if (strcmp(limits[i].name, name) == 0)
			return limits[i].value;
	}
	return -1;
}
