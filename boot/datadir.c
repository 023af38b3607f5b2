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
 * - standby.signal is put before anything else is prepared and taken away
 *	 after everything else: whoever starts the server meanwhile gets a standby.
 *
 * - A child dies with pg_ha_boot; what it may leave behind (pg_basebackup's
 *	 WAL receiver outlives its parent) is found by a lock and killed before the
 *	 next work begins.  So no clone of an earlier life writes into the next
 *	 one.
 *
 * Programs are run with execv, never by a shell, and see no password: it goes
 * to libpq in the password file, and to initdb's server as a SCRAM verifier on
 * its standard input.
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
#include "common/saslprep.h"
#include "common/scram-common.h"
#include "fe_utils/string_utils.h"
#include "libpq-fe.h"
#include "port/pg_crc32c.h"
#include "pqexpbuffer.h"

#include "../control.h"
#include "datadir.h"

#define CONF_FILE			"pg_ha.conf"
#define MANAGED_CONF_FILE	"pg_ha.managed.conf"
#define PROBE_CONF_FILE		"pg_ha.probe.conf"

#define INITDB_MARKER		"initdb_in_progress"
#define CLONE_MARKER		"clone_in_progress"
#define REWIND_MARKER		"rewind_in_progress"

/* Locked by whoever works on the directory; names the process group. */
#define WORK_LOCK			"work.lock"
#define WORK_LOCK_FD		3
#define KILL_TRIES			500
#define KILL_PAUSE_US		10000L

static const char *const markers[] = {
	INITDB_MARKER, CLONE_MARKER, REWIND_MARKER
};

/* How long a rewind waits for the source's checkpoint after promotion. */
#define TIMELINE_WAIT_S		60
#define TIMELINE_POLL_US	100000L

#define SCRAM_ITERATIONS	4096
#define SCRAM_SALT_SIZE		16

/*
 * Functions that pg_rewind calls on the source (its documentation lists them).
 */
static const char *const rewind_functions[] = {
	"pg_catalog.pg_ls_dir(text, boolean, boolean)",
	"pg_catalog.pg_stat_file(text, boolean)",
	"pg_catalog.pg_read_binary_file(text)",
	"pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)"
};

/* What pg_ha alone sets, and postgresql.auto.conf would override. */
static const char *const managed_names[] = {
	"primary_conninfo", "primary_slot_name", "synchronous_standby_names",
	"recovery_target_timeline"
};

/*
 * Files.
 */

static bool
path_in(char *path, const char *dir, const char *name)
{
	if (snprintf(path, MAXPGPATH, "%s/%s", dir, name) < MAXPGPATH)
		return true;
	pg_log_error("path of file \"%s\" in \"%s\" is too long", name, dir);
	return false;
}

static bool
exists_in(const char *dir, const char *name)
{
	char		path[MAXPGPATH];
	struct stat st;

	return path_in(path, dir, name) && lstat(path, &st) == 0;
}

/* pg_fsync of a directory; unlike fsync_fname() it never ends the process. */
static bool
sync_directory(const char *path)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool		ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		pg_log_error("could not fsync directory \"%s\": %m", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
sync_parent(const char *path)
{
	char		parent[MAXPGPATH];

	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	return sync_directory(parent[0] != '\0' ? parent : ".");
}

static bool
write_all(int fd, const char *data, size_t length)
{
	while (length > 0)
	{
		ssize_t		n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (n == 0)
				errno = ENOSPC;
			return false;
		}
		data += n;
		length -= n;
	}
	return true;
}

/* Read text until it ends or the buffer is full; its length. */
static size_t
read_all(int fd, char *text, size_t size)
{
	size_t		length = 0;

	while (length < size - 1)
	{
		ssize_t		n = read(fd, text + length, size - 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += n;
	}
	text[length] = '\0';
	return length;
}

/* Give a file this content, all of it or (false, reported) none, durably. */
static bool
replace_file(const char *path, const char *content, mode_t mode)
{
	char		temp[MAXPGPATH];
	int			fd;
	bool		ok;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp))
	{
		pg_log_error("path \"%s\" is too long", path);
		return false;
	}
	if (unlink(temp) != 0 && errno != ENOENT)
		fd = -1;
	else
		fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok = fd >= 0 && fchmod(fd, mode) == 0 &&
		write_all(fd, content, strlen(content)) && fsync(fd) == 0;
	if (!ok)
		pg_log_error("could not write file \"%s\": %m", temp);
	if (fd >= 0 && close(fd) != 0 && ok)
	{
		pg_log_error("could not close file \"%s\": %m", temp);
		ok = false;
	}
	if (ok && rename(temp, path) != 0)
	{
		pg_log_error("could not rename file \"%s\": %m", temp);
		ok = false;
	}
	return ok && sync_parent(path);
}

/* The same for a file of the data directory. */
static bool
replace_data_file(const HaNode *node, const char *name, const char *content)
{
	char		path[MAXPGPATH];

	if (!GetDataDirectoryCreatePerm(node->data_dir))
	{
		pg_log_error("could not read permissions of directory \"%s\": %m",
					 node->data_dir);
		return false;
	}
	return path_in(path, node->data_dir, name) &&
		replace_file(path, content, pg_file_create_mode);
}

/* Remove a file if it is there, durably. */
static bool
remove_file(const char *dir, const char *name)
{
	char		path[MAXPGPATH];

	if (!path_in(path, dir, name))
		return false;
	if (unlink(path) == 0)
		return sync_directory(dir);
	if (errno == ENOENT)
		return true;
	pg_log_error("could not remove file \"%s\": %m", path);
	return false;
}

/* Read a text file into a buffer; false: reported. */
static bool
read_file(const char *path, PQExpBuffer content)
{
	char		buf[4096];
	ssize_t		n = -1;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && ((n = read(fd, buf, sizeof(buf))) > 0 ||
					   (n < 0 && errno == EINTR)))
	{
		if (n > 0)
			appendBinaryPQExpBuffer(content, buf, n);
	}
	if (n < 0)
		pg_log_error("could not read file \"%s\": %m", path);
	else if (PQExpBufferBroken(content))
		pg_log_error("out of memory");
	if (fd >= 0)
		close(fd);
	return n == 0 && !PQExpBufferBroken(content);
}

/*
 * Markers.
 */

/* It is there already, but for verbs that work without a control block. */
static bool
make_state_dir(const HaNode *node)
{
	if (mkdir(node->state_dir, 0700) == 0)
		return sync_parent(node->state_dir);
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
		path_in(path, node->state_dir, name) &&
		replace_file(path,
					 "While this file stands, the data directory is not used.\n",
					 0600);
}

static bool
has_marker(const HaNode *node)
{
	for (int i = 0; i < lengthof(markers); i++)
	{
		if (exists_in(node->state_dir, markers[i]))
			return true;
	}
	return false;
}

static bool
remove_markers(const HaNode *node)
{
	for (int i = 0; i < lengthof(markers); i++)
	{
		if (!remove_file(node->state_dir, markers[i]))
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
	if (exists_in(node->state_dir, CLONE_MARKER) &&
		!(remove_file(node->data_dir, "postmaster.opts") &&
		  remove_file(node->data_dir, CONF_FILE) &&
		  remove_file(node->data_dir, MANAGED_CONF_FILE)))
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

	if (!path_in(path, node->data_dir, "PG_VERSION") ||
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
static bool
read_control_file(const HaNode *node, ControlFileData *control)
{
	char		path[MAXPGPATH];
	struct stat st;
	pg_crc32c	crc;
	bool		ok;
	int			fd;

	if (!path_in(path, node->data_dir, XLOG_CONTROL_FILE))
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
	facts->standby_signal = exists_in(node->data_dir, "standby.signal");
	if (!has_our_version(node) || !read_control_file(node, &control))
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
	facts->was_primary = !exists_in(node->data_dir, "backup_label") &&
		(control.state == DB_SHUTDOWNED || control.state == DB_SHUTDOWNING ||
		 control.state == DB_IN_PRODUCTION ||
		 control.state == DB_IN_CRASH_RECOVERY);
}

/*
 * Children.
 */

/*
 * Fork; 0 in the child, which then has no signal handler of ours and dies with
 * its parent.  It must leave by _exit or exec, so as not to run what
 * pg_ha_boot registered for its own exit.
 */
static pid_t
start_child(void)
{
	pid_t		parent = getpid();
	pid_t		pid;
	sigset_t	none;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		pg_log_error("could not fork: %m");
	if (pid != 0)
		return pid;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
		_exit(1);
	return 0;
}

/*
 * What become() closes: all but the standard files and the lock of the work.
 */
static int	first_fd_to_close = STDERR_FILENO + 1;

/*
 * The same for work on the data directory, in a process group of its own.  The
 * lock is inherited by every process of the work and held until the last of
 * them is gone.
 */
static pid_t
start_work(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		text[16];
	pid_t		pid;
	int			fd;

	if (!path_in(path, node->state_dir, WORK_LOCK))
		return -1;
	pid = start_child();
	if (pid > 0)
		setpgid(pid, pid);		/* whoever of the two comes first */
	if (pid != 0)
		return pid;

	setpgid(0, 0);
	snprintf(text, sizeof(text), "%d\n", (int) getpid());
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
		ftruncate(fd, 0) == 0 && write_all(fd, text, strlen(text)) &&
		dup2(fd, WORK_LOCK_FD) == WORK_LOCK_FD)
	{
		first_fd_to_close = WORK_LOCK_FD + 1;
		return 0;
	}
	pg_log_error("could not lock file \"%s\": %m", path);
	_exit(1);
}

/*
 * Kill what is left of earlier work.  While the lock is held, a process of the
 * group that the file names is alive, so the number cannot mean another group.
 */
static bool
end_leftovers(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		text[16];
	bool		is_free = false;
	int			fd;

	if (!path_in(path, node->state_dir, WORK_LOCK))
		return false;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return true;
	for (int i = 0; fd >= 0 && i < KILL_TRIES; i++)
	{
		ssize_t		n;

		is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
		if (is_free || errno != EWOULDBLOCK)
			break;
		n = pread(fd, text, sizeof(text) - 1, 0);
		text[Max(n, 0)] = '\0';
		if (atoi(text) > 1)
			kill(-atoi(text), SIGKILL);
		pg_usleep(KILL_PAUSE_US);
		errno = EWOULDBLOCK;
	}

	/* Emptied, so that its next owner is not taken for the last one. */
	if (!is_free || ftruncate(fd, 0) != 0)
	{
		pg_log_error("could not lock file \"%s\": %m", path);
		pg_log_error_hint("See which process still works on the data directory.");
		is_free = false;
	}
	if (fd >= 0)
		close(fd);
	return is_free;
}

/* True if it ended with exit code 0; else that is reported. */
static bool
wait_for(pid_t pid, const char *program)
{
	int			status;
	char	   *reason;

	while (waitpid(pid, &status, 0) < 0)
	{
		if (errno == EINTR)
			continue;
		pg_log_error("could not wait for \"%s\": %m", program);
		return false;
	}
	if (status == 0)
		return true;
	reason = wait_result_to_str(status);
	pg_log_error("program \"%s\" failed: %s", program, reason);
	pfree(reason);
	return false;
}

/*
 * Become the program argv[0] of bin_dir, under its whole path, since
 * PostgreSQL's programs look for each other where they were called from.  What
 * it prints goes to our stderr unless out is given.  But for the lock of the
 * work, our sockets and files end here: a clone that outlived us must not keep
 * the HTTP port.
 */
static void
become(const HaNode *node, const char **argv, int in, int out)
{
	char		path[MAXPGPATH];

	if (!path_in(path, node->bin_dir, argv[0]))
		_exit(127);
	if (in < 0)
		in = open("/dev/null", O_RDONLY);
	if (dup2(in, STDIN_FILENO) < 0 ||
		dup2(out >= 0 ? out : STDERR_FILENO, STDOUT_FILENO) < 0 ||
		close_range(first_fd_to_close, ~0U, 0) != 0)
		pg_log_error("could not prepare the files of \"%s\": %m", path);
	else
	{
		argv[0] = path;
		execv(path, (char *const *) argv);
		pg_log_error("could not execute \"%s\": %m", path);
	}
	_exit(127);
}

/* Run a program of bin_dir to its end. */
static bool
run(const HaNode *node, const char **argv)
{
	pid_t		pid = start_child();

	if (pid == 0)
		become(node, argv, -1, -1);
	return pid > 0 && wait_for(pid, argv[0]);
}

/*
 * How libpq programs find the password and present themselves.  What else the
 * environment says of connections could lead them elsewhere.
 */
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
	if (setenv("PGPASSFILE", node->replication_passfile, 1) != 0 ||
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
 * Initdb.
 */

/* The SCRAM verifier of a password, malloc'd; NULL: reported. */
static char *
build_verifier(const char *password)
{
	char		salt[SCRAM_SALT_SIZE];
	const char *error = "no randomness";
	char	   *prepared = NULL;
	char	   *verifier = NULL;
	pg_saslprep_rc rc = pg_saslprep(password, &prepared);

	/* As in libpq, a password that is no UTF-8 is taken as its bytes. */
	if (rc == SASLPREP_SUCCESS)
		password = prepared;
	if (rc == SASLPREP_OOM)
		error = "out of memory";
	else if (pg_strong_random(salt, sizeof(salt)))
		verifier = scram_build_secret(salt, sizeof(salt), SCRAM_ITERATIONS,
									  password, &error);
	if (verifier == NULL)
		pg_log_error("could not make a SCRAM verifier: %s", error);
	if (prepared != NULL)
	{
		explicit_bzero(prepared, strlen(prepared));
		free(prepared);
	}
	return verifier;
}

#define ROLE_IS_READY	"replication role ready"

/*
 * The statements, a line each.  The last prints ROLE_IS_READY, put together
 * from two pieces, if all before had their effect: a single-user server goes
 * on after errors and ends well.
 */
static void
build_role_sql(const HaNode *node, const char *verifier, PQExpBuffer sql)
{
	const char *role = node->replication_user;

	appendPQExpBuffer(sql,
					  "CREATE ROLE \"%s\" LOGIN REPLICATION PASSWORD '%s';\n",
					  role, verifier);
	for (int i = 0; i < lengthof(rewind_functions); i++)
		appendPQExpBuffer(sql, "GRANT EXECUTE ON FUNCTION %s TO \"%s\";\n",
						  rewind_functions[i], role);
	appendPQExpBuffer(sql,
					  "SELECT 'replication role ' || 'ready' AS result"
					  " FROM pg_catalog.pg_authid"
					  " WHERE rolname = '%s' AND rolcanlogin AND rolreplication"
					  " AND rolpassword = '%s'", role, verifier);
	for (int i = 0; i < lengthof(rewind_functions); i++)
		appendPQExpBuffer(sql,
						  " AND pg_catalog.has_function_privilege(oid, '%s', 'EXECUTE')",
						  rewind_functions[i]);
	appendPQExpBufferStr(sql, ";\n");
}

/* Feed the statements to a single-user server; did it say that it worked? */
static bool
run_single_user(const HaNode *node, PQExpBuffer sql)
{
	const char *argv[] = {
		"postgres", "--single", "-D", node->data_dir,
		"-c", "log_min_error_statement=panic",
		"-c", "shared_preload_libraries=", "postgres", NULL
	};
	int			in[2] = {-1, -1};
	int			out[2] = {-1, -1};
	char		output[16384];
	pid_t		pid;
	bool		fed;

	if (pipe(in) != 0 || pipe(out) != 0)
	{
		pg_log_error("could not create pipe: %m");
		return false;			/* and the process ends */
	}
	pid = start_child();
	if (pid == 0)
		become(node, argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (pid < 0)
		return false;

	/*
	 * The statements fit into the pipe, so neither side can block the other.
	 */
	signal(SIGPIPE, SIG_IGN);
	fed = write_all(in[1], sql->data, sql->len);
	close(in[1]);
	read_all(out[0], output, sizeof(output));
	close(out[0]);
	if (!wait_for(pid, "postgres --single"))
		return false;
	if (fed && strstr(output, ROLE_IS_READY) != NULL)
		return true;
	pg_log_error("could not create role \"%s\"", node->replication_user);
	pg_log_error_hint("The messages of the server above tell why.");
	return false;
}

static bool
create_role(const HaNode *node, const char *verifier)
{
	PQExpBufferData sql;
	bool		ok;

	initPQExpBuffer(&sql);
	build_role_sql(node, verifier, &sql);
	ok = !PQExpBufferDataBroken(sql) && run_single_user(node, &sql);
	termPQExpBuffer(&sql);
	return ok;
}

/* Members reach each other; initdb's own lines allow this host only. */
static bool
append_hba(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		lines[512];
	int			fd;
	bool		ok;

	if (!path_in(path, node->data_dir, "pg_hba.conf"))
		return false;
	snprintf(lines, sizeof(lines),
			 "\n# pg_ha: members clone and stream from each other (replication) and\n"
			 "# rewind from each other (postgres)\n"
			 "host    replication     \"%s\" samenet scram-sha-256\n"
			 "host    postgres        \"%s\" samenet scram-sha-256\n",
			 node->replication_user, node->replication_user);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ok = fd >= 0 && write_all(fd, lines, strlen(lines));
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok)
		pg_log_error("could not append to file \"%s\": %m", path);
	return ok;
}

/* What the child does. */
static bool
initdb(const HaNode *node)
{
	const char *make[] = {
		"initdb", "-D", node->data_dir, "--auth-local=peer",
		"--auth-host=scram-sha-256", "--data-checksums", "--encoding=UTF8",
		NULL
	};
	const char *sync[] = {"initdb", "--sync-only", "-D", node->data_dir, NULL};
	char		password[1024];
	char	   *verifier;

	if (!ha_node_password(node, password, sizeof(password)))
		return false;
	verifier = build_verifier(password);
	explicit_bzero(password, sizeof(password));
	return verifier != NULL && run(node, make) && append_hba(node) &&
		create_role(node, verifier) && run(node, sync) &&
		sync_parent(node->data_dir);
}

pid_t
ha_datadir_start_initdb(const HaNode *node)
{
	pid_t		pid;

	if (!end_leftovers(node) || !check_is_empty(node) ||
		!put_marker(node, INITDB_MARKER))
		return -1;
	pid = start_work(node);
	if (pid == 0)
		_exit(initdb(node) ? 0 : 1);
	return pid;
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

	if (!check_source(host, port) || !end_leftovers(node) ||
		!check_is_empty(node) || !put_marker(node, CLONE_MARKER))
		return -1;
	snprintf(host_option, sizeof(host_option), "--host=%s", host);
	snprintf(port_option, sizeof(port_option), "--port=%d", port);
	pid = start_work(node);
	if (pid == 0)
	{
		set_connection_environment(node);
		become(node, argv, -1, -1);
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
		"host", "port", "user", "dbname", "passfile", "application_name",
		"connect_timeout", NULL
	};
	const char *const values[] = {
		host, port, node->replication_user, "postgres",
		node->replication_passfile, node->name, "3", NULL
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
	become(node, argv, -1, -1);
}

pid_t
ha_datadir_start_rewind(const HaNode *node, const char *host, int port,
						uint32_t timeline)
{
	HaDataFacts facts;
	pid_t		pid;

	if (!check_source(host, port) || !end_leftovers(node) ||
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
	pid = start_work(node);
	if (pid == 0)
		rewind_from(node, host, port, facts.sysid, timeline);
	return pid;
}

/*
 * Moving aside.
 */

/* A name that is not taken yet. */
static bool
choose_aside(const char *path, char *aside)
{
	time_t		now = time(NULL);
	struct tm	local;
	struct stat st;
	char		stamp[32];
	int			n;

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &local);
	n = snprintf(aside, MAXPGPATH, "%s.aside.%s", path, stamp);
	for (int i = 2; n < MAXPGPATH && lstat(aside, &st) == 0; i++)
		n = snprintf(aside, MAXPGPATH, "%s.aside.%s.%d", path, stamp, i);
	if (n < MAXPGPATH)
		return true;
	pg_log_error("path \"%s\" is too long", path);
	return false;
}

static void
warn_of_tablespaces(const char *aside)
{
	char		path[MAXPGPATH];

	if (!path_in(path, aside, "pg_tblspc") || pg_check_dir(path) <= 1)
		return;
	pg_log_warning("the tablespaces that \"%s\" links to were left where they are",
				   path);
	pg_log_warning_hint("Move them aside as well before a clone needs their place.");
}

/*
 * Where PGDATA is a symbolic link, what it leads to is renamed, so that the
 * new one is made in the same file system as the old.
 */
bool
ha_datadir_move_aside(const HaNode *node)
{
	char		aside[MAXPGPATH];
	char	   *real;
	struct stat st;
	bool		ok = false;

	if (!end_leftovers(node))
		return false;
	if (is_empty(node))
		return true;
	real = realpath(node->data_dir, NULL);
	if (real == NULL || stat(real, &st) != 0)
		pg_log_error("could not find directory \"%s\": %m", node->data_dir);
	else if (choose_aside(real, aside))
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
		ok = ok && sync_parent(real) && remove_markers(node);
	}
	free(real);
	return ok;
}

/*
 * Preparing: asking the server's programs.
 */

/* A "postgres -C name" on its way. */
typedef struct Probe
{
	const char *name;
	pid_t		pid;
	int			fd;
	char		value[HA_TEXT_SIZE];
} Probe;

static void
start_probe(const HaNode *node, const char *config_file, Probe *probe)
{
	char		config_option[MAXPGPATH + 32];
	const char *argv[] = {
		"postgres", "-D", node->data_dir, "-C", probe->name,
		"-c", config_option, NULL
	};
	int			out[2];

	snprintf(config_option, sizeof(config_option), "config_file=%s",
			 config_file);
	probe->pid = -1;
	probe->fd = -1;
	if (pipe(out) != 0)
	{
		pg_log_error("could not create pipe: %m");
		return;
	}
	probe->pid = start_child();
	if (probe->pid == 0)
		become(node, argv, -1, out[1]);
	close(out[1]);
	probe->fd = out[0];
}

static bool
finish_probe(Probe *probe)
{
	size_t		length = 0;

	if (probe->fd >= 0)
	{
		length = read_all(probe->fd, probe->value, sizeof(probe->value));
		close(probe->fd);
	}
	if (probe->pid <= 0 || !wait_for(probe->pid, "postgres -C"))
		return false;
	if (length == 0 || probe->value[length - 1] != '\n')
	{
		pg_log_error("the value of \"%s\" is too long", probe->name);
		return false;
	}
	probe->value[length - 1] = '\0';
	return true;
}

/* Ask for several settings at once: each takes some 30 ms to be told. */
static bool
probe_settings(const HaNode *node, const char *config_file,
			   Probe *probes, int nprobes)
{
	bool		ok = true;

	for (int i = 0; i < nprobes; i++)
		start_probe(node, config_file, &probes[i]);
	for (int i = 0; i < nprobes; i++)
	{
		if (!finish_probe(&probes[i]))
			ok = false;
	}
	if (!ok)
		pg_log_error_hint("The messages of the server above tell why.");
	return ok;
}

/*
 * Preparing: configuration files.
 */

/* Scan the name that a line sets, folded; the text behind it and its "=". */
static const char *
scan_name(const char *line, char *name, size_t size)
{
	size_t		n = 0;

	line += strspn(line, " \t");
	while (n < size - 1 && (isalnum((unsigned char) *line) || *line == '_' ||
							*line == '.'))
		name[n++] = pg_tolower((unsigned char) *line++);
	name[n] = '\0';
	line += strspn(line, " \t");
	if (*line == '=')
		line++;
	return line + strspn(line, " \t");
}

/* Is it the line that includes pg_ha.conf? */
static bool
is_include_line(const char *line)
{
	static const char value[] = "'" CONF_FILE "'";
	char		name[64];
	const char *rest = scan_name(line, name, sizeof(name));

	if (strcmp(name, "include") != 0 && strcmp(name, "include_if_exists") != 0)
		return false;
	if (strncmp(rest, value, strlen(value)) != 0)
		return false;
	rest += strlen(value);
	rest += strspn(rest, " \t\r");
	return *rest == '\0' || *rest == '\n' || *rest == '#';
}

static const char *
next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end != NULL ? end + 1 : line + strlen(line);
}

/* A line "name = 'value'", quoted as the server's scanner undoes it. */
static void
append_setting(PQExpBuffer conf, const char *name, const char *value)
{
	appendPQExpBuffer(conf, "%s = '", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendPQExpBufferChar(conf, *value);
		appendPQExpBufferChar(conf, *value);
	}
	appendPQExpBufferStr(conf, "'\n");
}

/* Does shared_preload_libraries name our library? */
static bool
list_has_pg_ha(const char *list)
{
	char		copy[HA_TEXT_SIZE];
	char	   *rest = copy;
	char	   *item;

	strlcpy(copy, list, sizeof(copy));
	while ((item = strsep(&rest, ", \t\"")) != NULL)
	{
		if (strcmp(last_dir_separator(item) != NULL ?
				   last_dir_separator(item) + 1 : item, "pg_ha") == 0)
			return true;
	}
	return false;
}

/* ALTER SYSTEM outranks every file of ours, so these must not stand there. */
static bool
check_auto_conf(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		name[128];
	PQExpBufferData content;
	bool		ok;

	if (!path_in(path, node->data_dir, "postgresql.auto.conf"))
		return false;
	if (!exists_in(node->data_dir, "postgresql.auto.conf"))
		return true;
	initPQExpBuffer(&content);
	ok = read_file(path, &content);
	for (const char *line = content.data; ok && *line != '\0';
		 line = next_line(line))
	{
		bool		managed;

		scan_name(line, name, sizeof(name));
		managed = strncmp(name, "pg_ha.", 6) == 0;
		for (int i = 0; i < lengthof(managed_names); i++)
			managed |= strcmp(name, managed_names[i]) == 0;
		if (!managed)
			continue;
		pg_log_error("setting \"%s\" stands in \"%s\", where pg_ha cannot manage it",
					 name, path);
		pg_log_error_hint("Run ALTER SYSTEM RESET %s, or delete the line while the server is down.",
						  name);
		ok = false;
	}
	termPQExpBuffer(&content);
	return ok;
}

/* What pg_ha.conf is computed from: the settings without it, in this order. */
enum
{
	SETTING_LIBRARIES,
	SETTING_WAL_LEVEL,
	SETTING_WAL_SENDERS,
	SETTING_SLOTS,
	SETTING_WAL_KEEP,
	NUM_SETTINGS
};

/*
 * Ask for the settings as they would be without pg_ha.conf, by a configuration
 * file for this purpose: else the file of the last start would answer, and no
 * change that the user made since then would ever count.
 */
static bool
probe_user_settings(const HaNode *node, const char *postgresql_conf,
					Probe *probes)
{
	static const char *const names[NUM_SETTINGS] = {
		"shared_preload_libraries", "wal_level", "max_wal_senders",
		"max_replication_slots", "wal_keep_size"
	};
	char		path[MAXPGPATH];
	PQExpBufferData conf;
	bool		ok;

	initPQExpBuffer(&conf);
	for (const char *line = postgresql_conf; *line != '\0';
		 line = next_line(line))
	{
		if (!is_include_line(line))
			appendBinaryPQExpBuffer(&conf, line, next_line(line) - line);
	}
	appendPQExpBufferChar(&conf, '\n');
	append_setting(&conf, "include", node->path);

	for (int i = 0; i < NUM_SETTINGS; i++)
		probes[i].name = names[i];
	ok = !PQExpBufferDataBroken(conf) &&
		path_in(path, node->data_dir, PROBE_CONF_FILE) &&
		replace_data_file(node, PROBE_CONF_FILE, conf.data) &&
		probe_settings(node, path, probes, NUM_SETTINGS);
	termPQExpBuffer(&conf);
	return remove_file(node->data_dir, PROBE_CONF_FILE) && ok;
}

/*
 * Write pg_ha.conf.  What a user may need more of is only ever raised: a
 * server with more slots than max_replication_slots, or with logical ones and
 * a lower wal_level, would not even start.
 */
static bool
write_conf(const HaNode *node, const Probe *user)
{
	PQExpBufferData conf;
	char		libraries[HA_TEXT_SIZE + 16];
	const char *old = user[SETTING_LIBRARIES].value;
	bool		logical = strcmp(user[SETTING_WAL_LEVEL].value, "logical") == 0;
	bool		ok;

	snprintf(libraries, sizeof(libraries), "%s%s%s", old,
			 old[0] != '\0' && !list_has_pg_ha(old) ? ", " : "",
			 list_has_pg_ha(old) ? "" : "pg_ha");

	initPQExpBuffer(&conf);
	appendPQExpBufferStr(&conf,
						 "# Written by pg_ha_boot before each start: changes made here are lost.\n"
						 "# Put settings into the node file or into postgresql.conf.\n\n");
	append_setting(&conf, "include", node->path);
	appendPQExpBufferChar(&conf, '\n');
	append_setting(&conf, "shared_preload_libraries", libraries);
	append_setting(&conf, "pg_ha.state_dir", node->state_dir);
	appendPQExpBuffer(&conf,
					  "wal_level = %s\n"
					  "hot_standby = on\n"
					  "wal_log_hints = on\n"
					  "max_wal_senders = %d\n"
					  "max_replication_slots = %d\n"
					  "wal_keep_size = '%dMB'\n"
					  "wal_retrieve_retry_interval = '500ms'\n"
					  "recovery_target_timeline = 'latest'\n"
					  "restart_after_crash = on\n\n",
					  logical ? "logical" : "replica",
					  Max(atoi(user[SETTING_WAL_SENDERS].value), 16),
					  Max(atoi(user[SETTING_SLOTS].value), 16),
					  Max(atoi(user[SETTING_WAL_KEEP].value), 128));
	append_setting(&conf, "include_if_exists", MANAGED_CONF_FILE);
	ok = !PQExpBufferDataBroken(conf) &&
		replace_data_file(node, CONF_FILE, conf.data);
	termPQExpBuffer(&conf);
	return ok;
}

/* Add the include line to postgresql.conf if it has none. */
static bool
add_include(const char *path, PQExpBuffer content)
{
	struct stat st;

	for (const char *line = content->data; *line != '\0';
		 line = next_line(line))
	{
		if (is_include_line(line))
			return true;
	}
	if (stat(path, &st) != 0)
	{
		pg_log_error("could not stat file \"%s\": %m", path);
		return false;
	}
	if (content->len > 0 && content->data[content->len - 1] != '\n')
		appendPQExpBufferChar(content, '\n');
	appendPQExpBufferStr(content,
						 "\n# Added by pg_ha_boot.  Keep it the last line: what follows it overrides pg_ha.\n"
						 "include_if_exists = '" CONF_FILE "'\n");
	return !PQExpBufferBroken(content) &&
		replace_file(path, content->data, st.st_mode & 0777);
}

/* pg_ha.conf and the line that includes it. */
static bool
write_configuration(const HaNode *node)
{
	char		path[MAXPGPATH];
	char	   *real;
	PQExpBufferData content;
	Probe		user[NUM_SETTINGS];
	bool		ok;

	if (!path_in(path, node->data_dir, "postgresql.conf"))
		return false;

	/* It may be a symbolic link, which is to stay one. */
	real = realpath(path, NULL);
	if (real == NULL)
	{
		pg_log_error("could not find file \"%s\": %m", path);
		return false;
	}
	initPQExpBuffer(&content);
	ok = read_file(real, &content) &&
		probe_user_settings(node, content.data, user) &&
		write_conf(node, user) && add_include(real, &content);
	termPQExpBuffer(&content);
	free(real);
	return ok;
}

/*
 * The proof of the pudding.  A line behind our include or in
 * postgresql.auto.conf could leave the server without the library, which is
 * the fence, or make a standby stream from whom it likes.
 */
static bool
check_effective(const HaNode *node, bool as_primary)
{
	static const char hint[] =
	"Look for it below the include of \"" CONF_FILE "\" in postgresql.conf, and in postgresql.auto.conf.";
	char		path[MAXPGPATH];
	Probe		probes[2] = {
		{.name = "shared_preload_libraries"},
		{.name = "primary_conninfo"}
	};

	if (!path_in(path, node->data_dir, "postgresql.conf") ||
		!probe_settings(node, path, probes, 2))
		return false;
	if (!list_has_pg_ha(probes[0].value))
	{
		pg_log_error("\"shared_preload_libraries\" is overridden, and lacks pg_ha");
		pg_log_error_hint("%s", hint);
		return false;
	}
	if (!as_primary && probes[1].value[0] != '\0')
	{
		pg_log_error("\"primary_conninfo\" is overridden");
		pg_log_error_hint("%s", hint);
		return false;
	}
	return true;
}

bool
ha_datadir_put_standby_signal(const HaNode *node)
{
	return replace_data_file(node, "standby.signal", "");
}

#define MANAGED_HEADER \
	"# The pg_ha worker rewrites this file: changes made here are lost.\n"

/*
 * A standby follows nobody until the worker knows whom: a leader that is not
 * proven must not get its acknowledgements.
 */
static bool
prepare_standby(const HaNode *node)
{
	return ha_datadir_put_standby_signal(node) &&
		replace_data_file(node, MANAGED_CONF_FILE,
						  MANAGED_HEADER
						  "primary_conninfo = ''\n"
						  "primary_slot_name = ''\n");
}

/*
 * A primary keeps what the worker wrote, names of synchronous standbys above
 * all.
 */
static bool
prepare_primary(const HaNode *node)
{
	if (exists_in(node->data_dir, "recovery.signal"))
	{
		pg_log_error("\"recovery.signal\" stands in data directory \"%s\"",
					 node->data_dir);
		pg_log_error_hint("Finish the recovery to a point in time before pg_ha manages this server.");
		return false;
	}
	return exists_in(node->data_dir, MANAGED_CONF_FILE) ||
		replace_data_file(node, MANAGED_CONF_FILE, MANAGED_HEADER);
}

/* standby.signal goes last, when nothing can fail any more. */
bool
ha_datadir_prepare(const HaNode *node, bool as_primary)
{
	return check_auto_conf(node) &&
		(as_primary ? prepare_primary(node) : prepare_standby(node)) &&
		write_configuration(node) &&
		check_effective(node, as_primary) &&
		(!as_primary || remove_file(node->data_dir, "standby.signal"));
}
