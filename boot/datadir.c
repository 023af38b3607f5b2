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
#include "libpq-fe.h"
#include "port/pg_crc32c.h"
#include "pqexpbuffer.h"

#include "../compat.h"
#include "../control.h"
#include "datadir.h"
#include "files.h"
#include "prepare.h"
#include "programs.h"

#define INITDB_MARKER		"initdb_in_progress"
#define CLONE_MARKER		"clone_in_progress"
#define REWIND_MARKER		"rewind_in_progress"

static const char *const markers[] = {
	INITDB_MARKER, CLONE_MARKER, REWIND_MARKER
};

/* How long a rewind waits for the source's checkpoint after promotion. */
#define TIMELINE_WAIT_S		60
#define TIMELINE_POLL_US	100000L

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

static bool
put_marker(const HaNode *node, const char *name)
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

static bool
remove_markers(const HaNode *node)
{
	for (int i = 0; i < lengthof(markers); i++)
	{
		if (!ha_remove_file(node->state_dir, markers[i]))
			return false;
	}
	return true;
}

/*
 * A base backup carries its source's settings along.  Those of pg_ha must be
 * gone before the marker is.
 */
bool
ha_datadir_finish(const HaNode *node)
{
	if (ha_exists_in(node->state_dir, CLONE_MARKER) &&
		!(ha_remove_file(node->data_dir, "postmaster.opts") &&
		  ha_remove_file(node->data_dir, CONF_FILE) &&
		  ha_remove_file(node->data_dir, MANAGED_CONF_FILE)))
		return false;
	return remove_markers(node);
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

/*
 * How libpq programs find the password and present themselves.  What else the
 * environment says of connections could lead them elsewhere.
 */
static bool
set_or_unset(const char *name, const char *value)
{
	return (value[0] != '\0' ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

static void
set_connection_environment(const HaNode *node)
{
	static const char *const others[] = {
		"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
		"PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGTARGETSESSIONATTRS",
		"PGREQUIREPEER"
	};

	for (int i = 0; i < lengthof(others); i++)
		unsetenv(others[i]);

	/*
	 * Not the name of a member: a stream of pg_basebackup reports what it has
	 * flushed, and must never be taken for a synchronous standby.
	 */
	if (!set_or_unset("PGPASSFILE", node->replication_passfile) ||
		!set_or_unset("PGSSLCERT", node->replication_sslcert) ||
		!set_or_unset("PGSSLKEY", node->replication_sslkey) ||
		!set_or_unset("PGSSLROOTCERT", node->replication_sslrootcert) ||
		!set_or_unset("PGSSLMODE", node->replication_sslrootcert[0] != '\0' ?
					  "verify-ca" : "") ||
		setenv("PGAPPNAME", "pg_ha clone", 1) != 0 ||
		setenv("PGCONNECT_TIMEOUT", "10", 1) != 0)
		_exit(1);
}

/*
 * It comes from the store, so from anybody: no list of hosts, no socket path.
 */
static bool
check_source(const char *host, int port)
{
	static const char allowed[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

	if (host[0] != '\0' && host[0] != '-' &&
		strspn(host, allowed) == strlen(host) && port >= 1 && port <= 65535)
		return true;
	pg_log_error("a member gives no usable address to copy from");
	pg_log_error_hint("Look at the conn_url of its member key.");
	return false;
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
ha_datadir_begin_initdb(const HaNode *node)
{
	return ha_work_end_leftovers(node) && check_is_empty(node) &&
		put_marker(node, INITDB_MARKER);
}

/*
 * Clone.
 */

pid_t
ha_datadir_start_clone(const HaNode *node, const char *host, int port)
{
	char		host_option[HA_HOST_SIZE + 16];
	char		port_option[32];
	const char *argv[] = {
		"pg_basebackup", "-D", node->data_dir, host_option, port_option,
		"-U", node->replication_user, "-X", "stream", "--checkpoint=fast",
		"--no-password", "-P", NULL
	};
	pid_t		pid;

	if (!check_source(host, port) || !ha_work_end_leftovers(node) ||
		!check_is_empty(node) || !put_marker(node, CLONE_MARKER))
		return -1;
	snprintf(host_option, sizeof(host_option), "--host=%s", host);
	snprintf(port_option, sizeof(port_option), "--port=%d", port);
	pid = ha_work_fork(node);
	if (pid == 0)
	{
		set_connection_environment(node);
		ha_program_exec(node, argv, -1, -1);
	}
	return pid;
}

/*
 * Rewind.
 */

/* What the source says of itself; zeros if it could not be asked. */
typedef struct Source
{
	uint64_t	sysid;
	uint32_t	timeline;		/* of its latest checkpoint */
} Source;

static void
ask_source(const HaNode *node, const char *host, const char *port,
		   Source *source)
{
	const char *const keywords[] = {
		"host", "port", "user", "dbname", "application_name",
		"connect_timeout", NULL
	};
	const char *const values[] = {
		host, port, node->replication_user, "postgres", node->name, "3", NULL
	};
	PGconn	   *conn = PQconnectdbParams(keywords, values, 0);
	PGresult   *result = NULL;

	memset(source, 0, sizeof(*source));
	if (PQstatus(conn) == CONNECTION_OK)
		result = PQexec(conn,
						"SELECT s.system_identifier, c.timeline_id"
						" FROM pg_catalog.pg_control_system() AS s,"
						" pg_catalog.pg_control_checkpoint() AS c");
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
	{
		source->sysid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
		source->timeline = strtoul(PQgetvalue(result, 0, 1), NULL, 10);
	}
	else
		pg_log_warning("could not ask %s:%s for its timeline: %s",
					   host, port, PQerrorMessage(conn));
	PQclear(result);
	PQfinish(conn);
}

/*
 * pg_rewind reads the source's control file, which tells of the promotion only
 * after the checkpoint that follows it: before, it would find nothing to do.
 */
static bool
wait_for_timeline(const HaNode *node, const char *host, int port,
				  uint64_t sysid, uint32_t timeline)
{
	int64_t		give_up_at = ha_now() + TIMELINE_WAIT_S * 1000;
	char		port_text[16];
	Source		source;

	snprintf(port_text, sizeof(port_text), "%d", port);

	/*
	 * A connection may die without a word; then this child dies by the alarm.
	 */
	alarm(TIMELINE_WAIT_S + 10);
	for (;;)
	{
		ask_source(node, host, port_text, &source);
		if (source.sysid != 0 && source.sysid != sysid)
		{
			pg_log_error("%s:%d is a server of another cluster", host, port);
			pg_log_error_hint("Look at the conn_url of its member key.");
			return false;
		}
		if (source.timeline == timeline)
			break;
		if (ha_now() >= give_up_at)
		{
			pg_log_error("%s:%d did not come to timeline %u within %d s, but is on %u",
						 host, port, timeline, TIMELINE_WAIT_S,
						 source.timeline);
			return false;
		}

		/* A server that does not answer is asked less often. */
		pg_usleep(TIMELINE_POLL_US * (source.sysid != 0 ? 1 : 10));
	}
	alarm(0);
	return true;
}

/* What the child does; it does not come back but by _exit. */
static void
rewind_from(const HaNode *node, const char *host, int port, uint64_t sysid,
			uint32_t timeline)
{
	PQExpBufferData source;
	char		target_option[HA_PATH_SIZE + 32];
	const char *argv[] = {
		"pg_rewind", target_option, NULL, "--no-ensure-shutdown", NULL
	};

	set_connection_environment(node);
	if (!wait_for_timeline(node, host, port, sysid, timeline))
		_exit(1);

	initPQExpBuffer(&source);
	appendPQExpBufferStr(&source, "--source-server=host=");
	appendConnStrVal(&source, host);
	appendPQExpBuffer(&source, " port=%d user=", port);
	appendConnStrVal(&source, node->replication_user);
	appendPQExpBufferStr(&source, " dbname=postgres");
	snprintf(target_option, sizeof(target_option), "--target-pgdata=%s",
			 node->data_dir);
	argv[2] = source.data;
	if (PQExpBufferDataBroken(source) || !put_marker(node, REWIND_MARKER))
		_exit(1);
	ha_program_exec(node, argv, -1, -1);
}

pid_t
ha_datadir_start_rewind(const HaNode *node, const char *host, int port,
						uint32_t timeline)
{
	HaDataFacts facts;
	pid_t		pid;

	if (!check_source(host, port) || !ha_work_end_leftovers(node) ||
		!make_state_dir(node))
		return -1;

	/*
	 * pg_rewind on a crashed directory would first recover it in a
	 * single-user server, past the point where it diverged.
	 */
	ha_datadir_facts(node, &facts);
	if (facts.state != HA_DATA_CLUSTER || !facts.clean)
	{
		pg_log_error("data directory \"%s\" was not shut down cleanly, so it cannot be rewound",
					 node->data_dir);
		pg_log_error_hint("Start it as a standby and stop it first, or clone anew.");
		return -1;
	}
	pid = ha_work_fork(node);
	if (pid == 0)
		rewind_from(node, host, port, facts.sysid, timeline);
	return pid;
}

/*
 * Moving aside.
 */

/* A name that is not taken yet. */
static bool
choose_aside(const char *path, const char *what, char *aside)
{
	time_t		now = time(NULL);
	struct tm	local;
	struct stat st;
	char		stamp[32];
	int			n;

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &local);
	n = snprintf(aside, MAXPGPATH, "%s.%s%s", path, what, stamp);
	for (int i = 2; n < MAXPGPATH && lstat(aside, &st) == 0; i++)
		n = snprintf(aside, MAXPGPATH, "%s.%s%s.%d", path, what, stamp, i);
	if (n < MAXPGPATH)
		return true;
	pg_log_error("path \"%s\" is too long", path);
	return false;
}

static void
warn_of_tablespaces(const char *aside)
{
	char		path[MAXPGPATH];

	if (!ha_path_in(path, aside, "pg_tblspc") || pg_check_dir(path) <= 1)
		return;
	pg_log_warning("the tablespaces that \"%s\" links to were left where they are",
				   path);
	pg_log_warning_hint("Move them aside as well before a clone needs their place.");
}

/*
 * Where PGDATA is a symbolic link, what it leads to is renamed, so that the
 * new one is made in the same file system as the old.
 */
static bool
move_aside(const HaNode *node, const char *what, char *aside)
{
	char	   *real;
	struct stat st;
	bool		ok = false;

	aside[0] = '\0';
	if (!ha_work_end_leftovers(node))
		return false;
	if (is_empty(node))
		return true;
	real = realpath(node->data_dir, NULL);
	if (real == NULL || stat(real, &st) != 0)
		pg_log_error("could not find directory \"%s\": %m", node->data_dir);
	else if (choose_aside(real, what, aside))
	{
		ok = rename(real, aside) == 0;
		if (!ok)
		{
			pg_log_error("could not rename directory \"%s\" to \"%s\": %m",
						 real, aside);
			pg_log_error_hint("The data directory cannot be a mount point itself, and its parent must be writable.");
		}
	}
	if (ok)
	{
		pg_log_info("the old data directory was moved to \"%s\"", aside);
		warn_of_tablespaces(aside);
		ok = mkdir(real, st.st_mode & 0777) == 0;
		if (!ok)
			pg_log_error("could not create directory \"%s\": %m", real);
		ok = ok && ha_sync_parent(real) && remove_markers(node);
	}
	free(real);
	return ok;
}

bool
ha_datadir_move_aside(const HaNode *node)
{
	char		aside[MAXPGPATH];

	return move_aside(node, "aside.", aside);
}

bool
ha_datadir_move_failed(const HaNode *node, char *moved)
{
	/* Nor may the marker condemn what somebody puts there by hand. */
	return move_aside(node, "failed-", moved) &&
		(moved[0] != '\0' || ha_remove_file(node->state_dir, INITDB_MARKER));
}
