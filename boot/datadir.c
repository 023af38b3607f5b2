/*-------------------------------------------------------------------------
 *
 * datadir.c
 *	  The data directory while no server runs in it.
 *
 * What keeps an interruption at any instruction harmless:
 *
 * - Whatever leaves the directory unusable half way (initdb, a clone, a
 *	 rewind) first puts a marker into the state directory, durably.  While the
 *	 marker stands, a directory that is not empty is HA_DATA_TORN.  A marker is
 *	 only ever put after the directory was found fit for that very work, so
 *	 that a refused request does not condemn good data.
 *
 * - Every file that is rewritten appears under its name complete and on disk,
 *	 or not at all.
 *
 * - What earlier work left behind is killed before the next work begins.
 *
 * Programs see no password: it goes to libpq in the password file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "common/file_perm.h"
#include "common/logging.h"
#include "fe_utils/string_utils.h"
#include "port/pg_crc32c.h"
#include "pqexpbuffer.h"

#include "../compat.h"
#include "aside.h"
#include "datadir.h"
#include "files.h"
#include "prepare.h"
#include "programs.h"
#include "remote_source.h"

static const char *const markers[] = {
	HA_INITDB_MARKER, HA_CLONE_MARKER, HA_RESTORE_MARKER, HA_REWIND_MARKER,
	HA_ASIDE_MARKER
};

/*
 * Markers.
 */

/* It is there already, but for commands that work without a control block. */
static bool
make_state_dir(const HaNode *node)
{
	if (mkdir(node->state_dir, 0700) == 0)
		return ha_sync_parent(node->state_dir);
	if (errno == EEXIST)
		return true;
	pg_log_error("could not create directory \"%s\": %m", node->state_dir);
	return false;
}

bool
ha_datadir_put_marker(const HaNode *node, const char *name)
{
	char		path[MAXPGPATH];

	return make_state_dir(node) &&
		ha_path_in(path, node->state_dir, name) &&
		ha_replace_file(path,
						"While this file stands, the data directory is not used.\n",
						0600, true);
}

static bool
has_marker(const HaNode *node)
{
	for (int i = 0; i < lengthof(markers); i++)
	{
		if (ha_exists_in(node->state_dir, markers[i]))
			return true;
	}
	return false;
}

bool
ha_datadir_remove_markers(const HaNode *node)
{
	for (int i = 0; i < lengthof(markers); i++)
	{
		if (!ha_remove_file(node->state_dir, markers[i]))
			return false;
	}
	return true;
}

/*
 * A clone carries its source's settings along, and what a restore program wants of the
 * server.  What concerns pg_ha must be gone before the marker is.
 */
static bool
remove_foreign_files(const HaNode *node)
{
	static const char *const names[] = {
		"postmaster.opts", "postmaster.pid", "recovery.signal", CONF_FILE,
		MANAGED_CONF_FILE
	};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (!ha_remove_file(node->data_dir, names[i]))
			return false;
	}
	return true;
}

bool
ha_datadir_finish(const HaNode *node)
{
	bool		cloned = ha_exists_in(node->state_dir, HA_CLONE_MARKER) ||
	ha_exists_in(node->state_dir, HA_RESTORE_MARKER);

	return (!cloned || remove_foreign_files(node)) &&
		ha_datadir_remove_markers(node);
}

/*
 * Facts.
 */

static bool
is_empty(const HaNode *node)
{
	int			found = pg_check_dir(node->data_dir);

	return found == 0 || found == 1;
}

/* Does PG_VERSION name the major version that this program is built for? */
static bool
has_our_version(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		version[16] = "";
	FILE	   *file;

	if (!ha_path_in(path, node->data_dir, "PG_VERSION") ||
		(file = fopen(path, "r")) == NULL)
		return false;
	if (fgets(version, sizeof(version), file) != NULL)
		version[strcspn(version, "\n")] = '\0';
	fclose(file);
	return strcmp(version, PG_MAJORVERSION) == 0;
}

/*
 * Read pg_control.  Not by get_controlfile(), which ends the process if the
 * file is missing or short.
 */
bool
ha_datadir_control(const HaNode *node, struct ControlFileData *control)
{
	char		path[MAXPGPATH];
	struct stat st;
	pg_crc32c	crc;
	bool		ok;
	int			fd;

	if (!ha_path_in(path, node->data_dir, XLOG_CONTROL_FILE))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ok = fd >= 0 && fstat(fd, &st) == 0 &&
		st.st_size == PG_CONTROL_FILE_SIZE &&
		read(fd, control, sizeof(*control)) == sizeof(*control);
	if (fd >= 0)
		close(fd);
	if (!ok || control->pg_control_version != PG_CONTROL_VERSION)
		return false;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (char *) control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, control->crc);
}

void
ha_datadir_facts(const HaNode *node, HaDataFacts *facts)
{
	ControlFileData control;

	memset(facts, 0, sizeof(*facts));
	if (is_empty(node))
	{
		facts->state = HA_DATA_EMPTY;
		return;
	}
	facts->state = has_marker(node) ? HA_DATA_TORN : HA_DATA_STRANGE;

	/* With one of the others, it has been given up already. */
	facts->rewinding = ha_exists_in(node->state_dir, HA_REWIND_MARKER) &&
		!ha_exists_in(node->state_dir, HA_RESTORE_MARKER) &&
		!ha_exists_in(node->state_dir, HA_ASIDE_MARKER);
	facts->standby_signal = ha_exists_in(node->data_dir, "standby.signal");
	if (!has_our_version(node) || !ha_datadir_control(node, &control))
		return;

	if (facts->state != HA_DATA_TORN)
		facts->state = HA_DATA_CLUSTER;
	facts->sysid = control.system_identifier;
	facts->timeline = control.checkPointCopy.ThisTimeLineID;
	facts->checkpoint_lsn = control.checkPoint;
	facts->clean = control.state == DB_SHUTDOWNED ||
		control.state == DB_SHUTDOWNED_IN_RECOVERY;

	/*
	 * A fresh clone says "in production", as its source was when it was read.
	 */
	facts->was_primary = !ha_exists_in(node->data_dir, "backup_label") &&
		(control.state == DB_SHUTDOWNED || control.state == DB_SHUTDOWNING ||
		 control.state == DB_IN_PRODUCTION ||
		 control.state == DB_IN_CRASH_RECOVERY);
}

static bool
check_is_empty(const HaNode *node)
{
	if (is_empty(node))
		return true;
	pg_log_error("data directory \"%s\" is not empty", node->data_dir);
	pg_log_error_hint("Nothing was changed.  Move it away first.");
	return false;
}

/*
 * The first data of a cluster: bootstrap.c makes it.
 */

bool
ha_datadir_begin_bootstrap(const HaNode *node, bool restore)
{
	return ha_work_end_leftovers(node) && check_is_empty(node) &&
		ha_aside_make_way(node) &&
		ha_datadir_put_marker(node,
							  restore ? HA_RESTORE_MARKER : HA_INITDB_MARKER);
}

/*
 * Rewind.
 */

/* What the child does; it does not come back but by _exit. */
static void
run_rewind(const HaNode *node, const HaSource *source)
{
	PQExpBufferData option;
	char		target_option[HA_PATH_SIZE + 32];
	const char *argv[] = {
		"pg_rewind", target_option, NULL, "--no-ensure-shutdown", NULL
	};

	initPQExpBuffer(&option);
	appendPQExpBufferStr(&option, "--source-server=");
	ha_source_conninfo(node, source, &option);
	snprintf(target_option, sizeof(target_option), "--target-pgdata=%s",
			 node->data_dir);
	argv[2] = option.data;
	if (PQExpBufferDataBroken(option) ||
		!ha_datadir_put_marker(node, HA_REWIND_MARKER))
		_exit(1);
	ha_program_exec(node, argv, -1, -1);
}

static void
rewind_from(const HaNode *node, const HaSource *source, uint64_t sysid,
			uint32_t timeline)
{
	ha_source_environment(node);
	if (!ha_source_wait_for_timeline(node, source, sysid, timeline))
		_exit(HA_REWIND_NOT_BEGUN);
	run_rewind(node, source);
}

/*
 * The same from a cluster that hands out timeline ids by itself: an id that both have
 * used says nothing, and pg_rewind would take one history for the other.  And only from
 * its primary: a standby may lack what is acknowledged, and is here.
 */
static void
rewind_from_remote(const HaNode *node, const HaStandbyCluster *remote,
				   const HaDataFacts *facts)
{
	HaSource	source;
	uint32_t	timeline;
	bool		is_primary;

	ha_source_environment(node);
	if (!ha_remote_choose(node, remote, facts->sysid, &source, &timeline,
						  &is_primary))
		_exit(HA_REWIND_NOT_BEGUN);
	if (!is_primary)
	{
		pg_log_warning("the source at %s:%d is a standby, so nothing is rewound to what it has",
					   source.host, source.port);
		_exit(HA_REWIND_NOT_BEGUN);
	}
	if (!ha_source_wait_for_timeline(node, &source, facts->sysid, timeline))
		_exit(HA_REWIND_NOT_BEGUN);
	if (timeline == facts->timeline)
	{
		pg_log_error("the source at %s:%d is on timeline %u, as this data is, and yet they have diverged",
					 source.host, source.port, timeline);
		_exit(1);
	}
	run_rewind(node, &source);
}

/*
 * pg_rewind on a crashed directory would first recover it in a single-user server,
 * past the point where it diverged.
 */
static bool
is_rewindable(const HaNode *node, HaDataFacts *facts)
{
	if (!ha_work_end_leftovers(node) || !make_state_dir(node))
		return false;
	ha_datadir_facts(node, facts);
	if (facts->state == HA_DATA_CLUSTER && facts->clean)
		return true;
	pg_log_error("data directory \"%s\" was not shut down cleanly, so it cannot be rewound",
				 node->data_dir);
	pg_log_error_hint("Start it as a standby and stop it first, or clone anew.");
	return false;
}

pid_t
ha_datadir_start_rewind_from_remote(const HaNode *node,
									const HaStandbyCluster *remote)
{
	HaDataFacts facts;
	pid_t		pid;

	if (!is_rewindable(node, &facts))
		return -1;
	pid = ha_work_fork(node);
	if (pid == 0)
		rewind_from_remote(node, remote, &facts);
	return pid;
}

pid_t
ha_datadir_start_rewind(const HaNode *node, const HaSource *source,
						uint32_t timeline)
{
	HaDataFacts facts;
	pid_t		pid;

	if (!ha_source_is_usable(source) || !is_rewindable(node, &facts))
		return -1;
	pid = ha_work_fork(node);
	if (pid == 0)
		rewind_from(node, source, facts.sysid, timeline);
	return pid;
}

bool
ha_datadir_move_aside(const HaNode *node)
{
	return ha_work_end_leftovers(node) && ha_aside_make_way(node);
}

bool
ha_datadir_move_failed(const HaNode *node, char *moved)
{
	moved[0] = '\0';
	return ha_work_end_leftovers(node) && ha_aside_move_failed(node, moved);
}
