/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The server settings that pg_ha manages while the server runs.
 *
 * They stand in one file, included from the one that pg_ha_boot writes, and take
 * effect by a reload.  A reload says nothing about when a process has read it, so
 * the file carries a number, pg_ha.conf_epoch, whose assign hook notes in shared
 * memory what each process has applied.  That of the postmaster counts too: what it
 * forks knows the file as the postmaster does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender_private.h"
#include "storage/fd.h"

#include "compat.h"
#include "control.h"
#include "names.h"
#include "pg_ha.h"
#include "settings.h"

#define TEMP_FILE	HA_MANAGED_FILE ".tmp"

/* ms until a reload that came to nothing is asked for anew */
#define RELOAD_INTERVAL	5000

static int64 signalled_at;

/* A value inside single quotes of a configuration file. */
static void
append_quoted(StringInfo buf, const char *text)
{
	for (; *text; text++)
	{
		if (*text == '\'' || *text == '\\')
			appendStringInfoChar(buf, *text);
		if (*text != '\n' && *text != '\r')
			appendStringInfoChar(buf, *text);
	}
}

/* keyword=value of a conninfo string, inside a quoted configuration value. */
static void
append_conninfo(StringInfo buf, const char *keyword, const char *value)
{
	StringInfoData quoted;

	if (value == NULL || value[0] == '\0')
		return;
	initStringInfo(&quoted);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(&quoted, '\\');
		appendStringInfoChar(&quoted, *value);
	}
	appendStringInfo(buf, "%s=", keyword);
	append_quoted(buf, "'");
	append_quoted(buf, quoted.data);
	append_quoted(buf, "'");
	appendStringInfoChar(buf, ' ');
	pfree(quoted.data);
}

/* How this member presents itself to any server that it streams from. */
static void
append_credentials(StringInfo buf)
{
	append_conninfo(buf, "user", ha_replication_user);
	append_conninfo(buf, "passfile", ha_replication_passfile);
	append_conninfo(buf, "sslcert", ha_replication_sslcert);
	append_conninfo(buf, "sslkey", ha_replication_sslkey);
	append_conninfo(buf, "sslrootcert", ha_replication_sslrootcert);
	append_conninfo(buf, "sslmode",
					ha_replication_sslrootcert[0] ? "verify-ca" : "prefer");
	append_conninfo(buf, "connect_timeout", "3");
}

/*
 * The source may be a cluster with members of the same names, and counts a standby's
 * confirmation by its application_name: with the colon ours is nobody's there.
 */
static void
append_source(StringInfo buf, const HaStandbyCluster *source)
{
	char	   *name = psprintf("%s:%s", ha_scope, ha_member_name);

	appendStringInfoString(buf, "primary_conninfo = '");
	append_conninfo(buf, "host", source->host);
	append_conninfo(buf, "port", source->port);
	append_credentials(buf);
	append_conninfo(buf, "application_name", name);
	if (strchr(source->host, ',') != NULL)
		append_conninfo(buf, "target_session_attrs", "read-write");
	appendStringInfo(buf, "'\nprimary_slot_name = '%s'\n", source->slot);
	pfree(name);
}

static void
append_primary(StringInfo buf, const HaManaged *managed)
{
	char		slot[HA_NAME_SIZE];
	char		port[16];

	if (managed->follows[0] == '\0')
	{
		appendStringInfoString(buf, "primary_conninfo = ''\n"
							   "primary_slot_name = ''\n");
		return;
	}
	if (strcmp(managed->follows, HA_REMOTE_SOURCE) == 0)
	{
		append_source(buf, &managed->source);
		return;
	}
	snprintf(port, sizeof(port), "%d", managed->port);
	appendStringInfoString(buf, "primary_conninfo = '");
	append_conninfo(buf, "host", managed->host);
	append_conninfo(buf, "port", port);
	append_credentials(buf);
	append_conninfo(buf, "application_name", ha_member_name);
	if (managed->failover_slots)
		append_conninfo(buf, "dbname", HA_SYNC_SLOTS_DATABASE);
	appendStringInfoString(buf, "'\n");
	ha_slot_name(ha_member_name, slot);
	appendStringInfo(buf, "primary_slot_name = '%s'\n", slot);
	if (managed->failover_slots)
		appendStringInfoString(buf, HA_SYNC_SLOTS_SETTINGS);
}

/* ANY 1 ("n2", "n3"); if all of them must, as Patroni writes it: 2 ("n2", "n3") */
static void
append_names(StringInfo buf, const HaManaged *managed)
{
	appendStringInfoString(buf, "synchronous_standby_names = '");
	if (managed->nnames > 0)
	{
		appendStringInfo(buf, "%s%d (", managed->any ? "ANY " : "",
						 managed->confirm);
		for (int i = 0; i < managed->nnames; i++)
			appendStringInfo(buf, "%s\"%s\"", i > 0 ? ", " : "",
							 managed->names[i]);
		appendStringInfoChar(buf, ')');
	}
	appendStringInfoString(buf, "'\n");
}

static bool
write_file(const char *text, int length)
{
	FILE	   *file = AllocateFile(TEMP_FILE, "w");
	bool		ok;

	if (file == NULL)
		return false;
	ok = fwrite(text, 1, length, file) == length;
	ok = (FreeFile(file) == 0) && ok;
	return ok && rename(TEMP_FILE, HA_MANAGED_FILE) == 0;
}

static void
signal_postmaster(void)
{
	signalled_at = ha_now();
	(void) kill(PostmasterPid, SIGHUP);
}

/*
 * The number in the file as an earlier worker left it; 0 if there is none.  Nobody
 * may have read that version yet, so its number must not be used again.
 */
static int
epoch_in_file(void)
{
	static const char name[] = "pg_ha.conf_epoch = ";
	FILE	   *file = AllocateFile(HA_MANAGED_FILE, PG_BINARY_R);
	char		line[MAXPGPATH];
	int			epoch = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, name, strlen(name)) == 0)
			epoch = atoi(line + strlen(name));
	}
	FreeFile(file);
	return epoch;
}

int
ha_settings_write(const HaManaged *managed)
{
	static int	epoch = 0;
	StringInfoData buf;
	bool		ok;

	if (epoch == 0)
		epoch = epoch_in_file();
	epoch = Max(epoch, ha_conf_epoch) + 1;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "# Written by pg_ha while the server runs; edits are lost.\n");
	append_primary(&buf, managed);
	append_names(&buf, managed);
	appendStringInfo(&buf, "pg_ha.conf_epoch = %d\n", epoch);
	ok = write_file(buf.data, buf.len);
	pfree(buf.data);
	if (!ok)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", HA_MANAGED_FILE)));
		return 0;
	}
	signal_postmaster();
	return epoch;
}

void
ha_settings_load(HaManaged *managed)
{
	const char *member;

	memset(managed, 0, sizeof(*managed));
	if (SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0' ||
		SyncRepConfig == NULL)
		return;
	managed->confirm = SyncRepConfig->num_sync;
	managed->any = SyncRepConfig->syncrep_method == SYNC_REP_QUORUM;
	member = SyncRepConfig->member_names;
	for (int i = 0; i < SyncRepConfig->nmembers; i++)
	{
		if (managed->nnames < HA_MAX_MEMBERS && ha_name_is_valid(member))
			strlcpy(managed->names[managed->nnames++], member, HA_NAME_SIZE);
		member += strlen(member) + 1;
	}
}

bool
ha_settings_in_effect(const HaManaged *managed)
{
	HaManaged	effective;
	bool		defined = (WalSndCtl->sync_standbys_status &
						   SYNC_STANDBY_DEFINED) != 0;

	ha_settings_load(&effective);
	if (effective.nnames != managed->nnames ||
		effective.confirm != managed->confirm ||
		effective.any != managed->any ||
		defined != (managed->nnames > 0))
		return false;
	for (int i = 0; i < managed->nnames; i++)
	{
		if (strcmp(effective.names[i], managed->names[i]) != 0)
			return false;
	}
	return true;
}

bool
ha_settings_applied_by(int pid, int epoch)
{
	for (int i = 0; i < ha_shared->nprocs; i++)
	{
		if (ha_shared->procs[i].pid == pid)
			return ha_shared->procs[i].epoch >= epoch;
	}
	return false;
}

bool
ha_settings_applied_by_type(int backend_type, int epoch)
{
	for (int i = 0; i < ha_shared->nprocs; i++)
	{
		if (ha_shared->procs[i].pid != 0 &&
			ha_shared->procs[i].backend_type == backend_type &&
			ha_shared->procs[i].epoch >= epoch)
			return true;
	}
	return false;
}

bool
ha_settings_told(int epoch)
{
	static int	asked_again = 0;
	uint64		told = pg_atomic_read_u64(&ha_shared->postmaster_read);
	bool		has_read = (int) (told >> 32) == epoch;

	if (has_read && (uint32) told >= 2)
		return true;

	/* the second time; and anew if another file of it could not be read */
	if ((has_read && asked_again != epoch) ||
		ha_now() - signalled_at > RELOAD_INTERVAL)
	{
		if (has_read)
			asked_again = epoch;
		signal_postmaster();
	}
	return false;
}
