/*-------------------------------------------------------------------------
 *
 * upgrade_major.c
 *	  "pg_ha_boot upgrade-major": the cluster's data becomes that of the next major
 *	  version of PostgreSQL, on the node of who led last, while all are stopped.
 *
 * In this order, so that at any moment either the old data counts or the new:
 *
 * 1. Look: nobody is there, and this data is the last leader's, cleanly shut down.
 * 2. Make the new data beside the old.  Until it is whole nothing has changed; an
 *	  interrupted attempt is put aside, and the next one begins anew.
 * 3. Write the journal: the new system identifier, and a new uuid.  From here on "run"
 *	  refuses this node, since it could not tell which data counts.
 * 4. Give the cluster both, in one transaction.  The old data is another cluster's now,
 *	  here and on every other node.  If others have written meanwhile, it fails, and
 *	  the old data still counts.
 * 5. Note the uuid as ours, put the new data into the place of the old, which goes
 *	  aside, and remove the journal.
 *
 * With a journal, the command goes on at step 4; each of the rest finds out by
 * itself whether it was done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"

#include "aside.h"
#include "commands.h"
#include "files.h"
#include "lock.h"
#include "postmaster.h"
#include "store.h"
#include "upgrade_major.h"
#include "uuid.h"

#define STANDBY_SIGNAL		"standby.signal"

enum
{
	OPTION_OLD_BINDIR = HA_OPTION_FIRST,
	OPTION_NEW_BINDIR,
	OPTION_CHECK
};

static const struct option upgrade_options[] = {
	{"old-bindir", required_argument, NULL, OPTION_OLD_BINDIR},
	{"new-bindir", required_argument, NULL, OPTION_NEW_BINDIR},
	{"check", no_argument, NULL, OPTION_CHECK},
	{NULL, 0, NULL, 0}
};

static const char *old_bindir = "";
static const char *new_bindir = "";
static bool check_only = false;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_OLD_BINDIR)
		old_bindir = text;
	else if (value == OPTION_NEW_BINDIR)
		new_bindir = text;
	else
		check_only = true;
	return true;
}

static int
read_arguments(const HaInvocation *invocation, HaUpgrade *u)
{
	if (!ha_invocation_is_complete(invocation))
		return HA_EXIT_CONFIGURATION;
	if (!is_absolute_path(old_bindir) || !is_absolute_path(new_bindir))
	{
		pg_log_error("the programs of both versions are needed");
		pg_log_error_hint("Give --old-bindir and --new-bindir, as absolute paths.");
		return HA_EXIT_CONFIGURATION;
	}
	if (!ha_node_read(invocation->config, invocation->data_dir, old_bindir,
					  &u->old))
		return HA_EXIT_CONFIGURATION;
	u->new = u->old;
	if (strlcpy(u->new.bin_dir, new_bindir, sizeof(u->new.bin_dir)) >=
		sizeof(u->new.bin_dir) ||
		snprintf(u->new.data_dir, sizeof(u->new.data_dir), "%s.upgrade",
				 u->old.data_dir) >= sizeof(u->new.data_dir))
	{
		pg_log_error("a path is too long");
		return HA_EXIT_CONFIGURATION;
	}
	u->check_only = check_only;
	u->old_version = ha_upgrade_version(&u->old);
	u->new_version = ha_upgrade_version(&u->new);
	return u->old_version == 0 || u->new_version == 0 ?
		HA_EXIT_CONFIGURATION : HA_EXIT_OK;
}

/*
 * The journal.
 */

static bool
write_journal(HaUpgrade *u)
{
	char		path[MAXPGPATH];
	char		line[MAXPGPATH + 128];

	snprintf(line, sizeof(line),
			 UINT64_FORMAT " " UINT64_FORMAT " %s %s\n",
			 u->old_sysid, u->new_sysid, u->uuid, u->aside);
	return ha_path_in(path, u->old.state_dir, HA_UPGRADE_JOURNAL) &&
		ha_replace_file(path, line, 0600, true);
}

/* false: there is one that can't be read, which was reported. */
static bool
read_journal(HaUpgrade *u, bool *found)
{
	char		path[MAXPGPATH];
	FILE	   *file;
	int			n;

	*found = false;
	if (!ha_path_in(path, u->old.state_dir, HA_UPGRADE_JOURNAL))
		return false;
	file = fopen(path, "re");
	if (file == NULL && errno == ENOENT)
		return true;
	n = file == NULL ? 0 :
		fscanf(file, UINT64_FORMAT " " UINT64_FORMAT " %39s %1023[^\n]",
			   &u->old_sysid, &u->new_sysid, u->uuid, u->aside);
	if (file != NULL)
		fclose(file);
	*found = n == 4;
	if (n != 4)
		pg_log_error("U06 file \"%s\" does not tell how far the upgrade is",
					 path);
	return n == 4;
}

/* Where the old data goes: a place that is free. */
static void
choose_aside(HaUpgrade *u)
{
	struct stat st;
	int			n = 1;

	snprintf(u->aside, sizeof(u->aside), "%s.before-%d", u->old.data_dir,
			 u->new_version);
	while (lstat(u->aside, &st) == 0)
		snprintf(u->aside, sizeof(u->aside), "%s.before-%d.%d",
				 u->old.data_dir, u->new_version, ++n);
}

/*
 * Until the new data is whole.
 */

static int
check_versions(const HaUpgrade *u, HaClusterData *old)
{
	int			version = ha_upgrade_data_version(&u->old);

	if (version == 0)
		return HA_EXIT_CONFIGURATION;
	if (version != u->old_version || u->new_version < u->old_version)
	{
		pg_log_error("P03 the data is of PostgreSQL %d, the programs are of %d (old) and %d (new)",
					 version, u->old_version, u->new_version);
		pg_log_error_hint("Check --old-bindir and --new-bindir.");
		return HA_EXIT_CONFIGURATION;
	}
	if (!ha_upgrade_data_facts(&u->old, old))
		return HA_EXIT_CONFIGURATION;
	if (old->shut_down)
		return HA_EXIT_OK;
	pg_log_error("U03 the data was not shut down cleanly as a primary's");
	pg_log_error_hint("Run this on the node of the last leader.  If it crashed, start the cluster and stop it with pg_ha_stop_cluster().");
	return HA_EXIT_REFUSED;
}

/*
 * standby.signal is away meanwhile, since a server on the old data shall come up by
 * itself; it is back when this returns, and after a kill by the next attempt.
 */
static bool
make_data(HaUpgrade *u, const HaClusterData *old)
{
	bool		ok = ha_upgrade_discard(u) &&
	ha_remove_file(u->old.data_dir, STANDBY_SIGNAL) &&
	ha_upgrade_make_empty(u, old) && ha_upgrade_run(u);

	return ha_replace_data_file(&u->old, STANDBY_SIGNAL, "", true) && ok;
}

static int
prepare(HaUpgrade *u, HaDcs *dcs)
{
	HaClusterData old;
	HaClusterData new;
	HaAnswer	keys;
	HaView		view;
	int			code = check_versions(u, &old);

	/* once the cluster has its new identity there is no way back */
	if (code == HA_EXIT_OK && !ha_can_be_renamed(u->old.data_dir))
		code = HA_EXIT_CONFIGURATION;
	if (code == HA_EXIT_OK)
		code = ha_upgrade_ask_store(u, &old, dcs, &keys, &view);
	if (code != HA_EXIT_OK)
		return code;
	ha_dcs_answer_free(&keys);
	pg_log_info("upgrading \"%s\" of cluster \"%s\" from PostgreSQL %d to %d",
				u->old.data_dir, u->old.scope, u->old_version, u->new_version);
	if (!make_data(u, &old))
		return HA_EXIT_CONFIGURATION;
	if (u->check_only)
	{
		ha_upgrade_remove_new(u);
		printf("cluster \"%s\" can be upgraded to PostgreSQL %d\n",
			   u->old.scope, u->new_version);
		return HA_EXIT_OK;
	}
	if (!ha_upgrade_data_facts(&u->new, &new) || !ha_uuid_make(u->uuid))
		return HA_EXIT_TEMPORARY;
	u->old_sysid = old.sysid;
	u->new_sysid = new.sysid;
	choose_aside(u);
	return write_journal(u) ? HA_EXIT_OK : HA_EXIT_TEMPORARY;
}

/*
 * From then on.
 */

/* The old data counts again; it has not been touched. */
static int
give_up(HaUpgrade *u, const char *who)
{
	pg_log_error("U05 cluster \"%s\" is not as it was when the upgrade began: %s",
				 u->old.scope, who);
	pg_log_error_hint("The upgraded data lacks what was written since, and was moved aside.  Start this node with the old version; then stop the cluster with pg_ha_stop_cluster(), and begin anew.");
	if (ha_upgrade_discard(u))
		(void) ha_remove_file(u->old.state_dir, HA_UPGRADE_JOURNAL);
	return HA_EXIT_REFUSED;
}

static int
publish(HaUpgrade *u, HaDcs *dcs)
{
	HaClusterData old;
	HaAnswer	keys;
	HaView		view;
	int			code = ha_upgrade_ask_store(u, NULL, dcs, &keys, &view);

	if (code != HA_EXIT_OK)
		return code;
	if (view.sysid == u->new_sysid &&
		strcmp(view.cluster_uuid, u->uuid) == 0)
		pg_log_info("cluster \"%s\" has its new identity already", u->old.scope);
	else if (view.sysid != u->old_sysid)
		code = give_up(u, "it has another system identifier");
	else if (!ha_upgrade_data_facts(&u->old, &old))
		code = HA_EXIT_CONFIGURATION;
	else if (!view.term.present ||
			 strcmp(view.term.owner, u->old.name) != 0 ||
			 view.term.timeline != old.timeline || view.term.intent)
		code = give_up(u, "somebody has led it since");
	else
		code = ha_upgrade_publish(u, dcs, &keys, &view);
	ha_dcs_answer_free(&keys);
	return code;
}

static int
finish(HaUpgrade *u)
{
	HaBoot	   *b = pg_malloc0(sizeof(HaBoot));
	bool		ok;

	b->node = u->old;
	ok = ha_uuid_join(b, u->uuid, false) && ha_upgrade_swap(u) &&
		ha_remove_file(u->old.state_dir, HA_UPGRADE_JOURNAL);
	pg_free(b);
	if (!ok)
	{
		pg_log_error_hint("Cluster \"%s\" has its new identity.  Run this command again to go on.",
						  u->old.scope);
		return HA_EXIT_TEMPORARY;
	}
	printf("cluster \"%s\" is upgraded to PostgreSQL %d; its system identifier is " UINT64_FORMAT "\n"
		   "the old data is in \"%s\"\n"
		   "Start this node first, with the programs of the new version, and run \"vacuumdb --all --analyze-in-stages\".\n"
		   "On each other node: move the data away (pg_ha_boot wipe), then start it; it becomes a copy.\n",
		   u->old.scope, u->new_version, u->new_sysid, u->aside);
	return HA_EXIT_OK;
}

static int
go_on(HaUpgrade *u)
{
	HaDcs	   *dcs = ha_store_open(&u->old);
	bool		found;
	int			code = HA_EXIT_OK;

	if (dcs == NULL)
		return HA_EXIT_CONFIGURATION;
	if (!read_journal(u, &found))
		code = HA_EXIT_REFUSED;
	else if (found && u->check_only)
	{
		pg_log_error("U01 an upgrade of this node is under way");
		pg_log_error_hint("Run this command again without --check: it goes on from where it was.");
		code = HA_EXIT_REFUSED;
	}
	else if (found)
		pg_log_info("going on with an upgrade that was interrupted");
	else
		code = prepare(u, dcs);
	if (code == HA_EXIT_OK && !u->check_only)
		code = publish(u, dcs);
	ha_dcs_close(dcs);
	if (code == HA_EXIT_OK && !u->check_only)
		code = finish(u);
	return code;
}

static int
upgrade_major(const HaInvocation *invocation)
{
	HaUpgrade  *u = pg_malloc0(sizeof(HaUpgrade));
	int			code = read_arguments(invocation, u);

	if (code == HA_EXIT_OK)
		code = ha_lock_take(u->old.state_dir);
	if (code == HA_EXIT_OK && ha_postmaster_runs(&u->old))
		code = HA_EXIT_REFUSED;
	if (code == HA_EXIT_OK)
		code = go_on(u);
	return code;
}

const HaCommand ha_command_upgrade_major = {
	.name = "upgrade-major",
	.arguments = "-D PGDATA -c NODEFILE --old-bindir=DIR --new-bindir=DIR [--check]",
	.summary = "upgrade the stopped cluster to another major version of PostgreSQL",
	.details =
	"  --old-bindir=DIR       the programs of the version that the data is of\n"
	"  --new-bindir=DIR       the programs of the version that it shall be of\n"
	"  --check                only tell whether it would work\n",
	.options = upgrade_options,
	.take_option = take_option,
	.go = upgrade_major,
};
