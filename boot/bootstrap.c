/*-------------------------------------------------------------------------
 *
 * bootstrap.c
 *	  What makes the first data directory of a cluster.
 *
 * In this order: the data itself, by initdb or by a command; its recovery, if it
 * was restored; pg_hba.conf; the replication role; what the user wants run on it;
 * everything onto the disk.  The caller has put a marker before and takes it away
 * after, so whatever is left when this process or the machine dies in between is
 * not taken for a cluster.
 *
 * The data is opened to nobody meanwhile: by single-user servers, and by one that
 * only this process can reach (private_server.c).
 *
 * A program that the user names is run without a shell, and is told what it needs
 * by its environment, in which there is no secret.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "pqexpbuffer.h"

#include "../hba_json.h"
#include "auth_files.h"
#include "bootstrap.h"
#include "datadir.h"
#include "files.h"
#include "private_server.h"
#include "probe.h"
#include "programs.h"
#include "recovery.h"
#include "role.h"

#define MAX_OPTIONS		128

/* Why it failed, for the parent; "" = what was logged tells. */
static char why[HA_BOOTSTRAP_WHY_SIZE];

static bool fail(const char *fmt,...) pg_attribute_printf(1, 2);

static bool
fail(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return false;
}

static bool
set_environment(const char *name, const char *value)
{
	return setenv(name, value, 1) == 0 || fail("B05 out of memory");
}

/*
 * The data.
 */

static bool
run_initdb(const HaNode *node, const HaBootstrap *how)
{
	const char *argv[MAX_OPTIONS + HA_INITDB_DEFAULTS + 5];
	char		wal_dir[HA_PATH_SIZE + 16];
	char		end[300];
	int			n = 0;

	snprintf(wal_dir, sizeof(wal_dir), "--waldir=%s", node->wal_dir);
	argv[n++] = "initdb";
	argv[n++] = "-D";
	argv[n++] = node->data_dir;
	if (node->wal_dir[0] != '\0')
		argv[n++] = wal_dir;
	for (int i = 0; i < HA_INITDB_DEFAULTS; i++)
		argv[n++] = ha_initdb_defaults[i];
	for (char **option = how->initdb_options; *option != NULL; option++)
	{
		if (n > MAX_OPTIONS)
			return fail("B03 initdb failed: too many options");
		argv[n++] = *option;
	}
	argv[n] = NULL;
	return ha_program_listen(node, argv, "initdb", end, sizeof(end)) ||
		fail("B03 initdb failed: %s", end);
}

static bool
run_command(const HaNode *node, const HaBootstrap *how)
{
	HaDataFacts facts;
	char		end[300];

	if (mkdir(node->data_dir, 0700) != 0 && errno != EEXIST)
		return fail("B05 could not create directory \"%s\": %s", node->data_dir,
					strerror(errno));
	if (!set_environment("PGDATA", node->data_dir) ||
		!set_environment("PG_HA_SCOPE", node->scope) ||
		!set_environment("PG_HA_NODE", node->name))
		return false;
	if (!ha_program_listen(node, (const char **) how->command,
						   "bootstrap command", end, sizeof(end)))
		return fail("B05 bootstrap command failed: %s", end);
	ha_datadir_facts(node, &facts);
	if (facts.sysid == 0)
		return fail("B05 bootstrap command made no data directory of PostgreSQL %s",
					PG_MAJORVERSION);
	return ha_recover(node, how, why, sizeof(why));
}

/*
 * pg_hba.conf.  Members reach each other by lines that come first: whatever else is
 * there, a "reject" or another method for everybody must not keep them from cloning.
 * The user's lines take the place of initdb's.
 */
static bool
write_hba(const HaNode *node, const HaBootstrap *how)
{
	char		path[MAXPGPATH];
	PQExpBufferData hba;
	bool		ok;

	if (!ha_path_in(path, node->data_dir, "pg_hba.conf"))
		return false;
	initPQExpBuffer(&hba);
	ha_role_hba_lines(node, &hba);
	appendPQExpBufferChar(&hba, '\n');
	if (how->hba_file != NULL)
		appendPQExpBuffer(&hba, HA_HBA_BOOTSTRAP_MARK "%s\n", how->hba_file);
	ok = ha_read_file(how->hba_file != NULL ? how->hba_file : path, &hba) &&
		!PQExpBufferDataBroken(hba) &&
		ha_replace_data_file(node, "pg_hba.conf", hba.data, true);
	termPQExpBuffer(&hba);
	return ok || fail("B05 could not write pg_hba.conf");
}

/* Start the private server and wait until it accepts connections. */
static bool
start_private(const HaNode *node, const char *superuser,
			  const char *const *settings, HaPrivateServer *server)
{
	char		limits[HA_LIMITS][HA_LIMIT_SIZE];
	int			nlimits = ha_probe_limits(node, limits);
	const char *all[HA_LIMITS + 4];
	int			n = 0;

	while (*settings != NULL)
		all[n++] = *settings++;
	for (int i = 0; i < nlimits; i++)
		all[n++] = limits[i];
	all[n] = NULL;
	if (!ha_private_start(node, superuser, all, server))
		return false;
	while (!ha_private_is_ready(node, server))
	{
		if (ha_private_has_ended(server))
			return false;
		pg_usleep(20000L);
	}
	return true;
}

/* Of a copy the archive is the origin's. */
#define NO_ARCHIVE		"archive_mode=off"

/* A server that can't load the user's lines would not start, and then it is late. */
static bool
check_hba(const HaNode *node, const HaBootstrap *how)
{
	char		setting[MAXPGPATH + 32];
	const char *const settings[] = {
		setting, how->as_copy ? NO_ARCHIVE : NULL, NULL
	};
	HaPrivateServer server;

	if (how->hba_file == NULL)
		return true;
	snprintf(setting, sizeof(setting), "hba_file=%s/pg_hba.conf",
			 node->data_dir);
	return (start_private(node, "", settings, &server) &&
			ha_private_stop(&server)) ||
		fail("B05 the server refuses the lines of \"%s\"", how->hba_file);
}

/*
 * Rules in the cluster's configuration, which every member takes as soon as it runs.
 */

/* Only the first fault: the others may come from it. */
static void
take_fault(void *arg, const char *setting, const char *line, const char *error)
{
	bool	   *ok = arg;

	if (*ok)
		*ok = fail("B04 config.%s line %s: %s",
				   strcmp(setting, "hba_file") == 0 ? "pg_hba" : "pg_ident",
				   line, error);
}

/* Write the rules where the server can read them; "" if there are none. */
static bool
write_rules(const HaNode *node, const char *json, HaAuthFile file,
			char *path)
{
	char		err[256];
	char		name[64];
	char	   *text = ha_hba_from_config(json, file, err, sizeof(err));
	bool		ok = true;

	path[0] = '\0';
	snprintf(name, sizeof(name), "config.%s", ha_auth_file_name(file));
	if (text != NULL)
		ok = ha_path_in(path, node->state_dir, name) &&
			ha_replace_file(path, text, 0600, false);
	free(text);
	return ok;
}

static bool
check_config_rules(const HaNode *node, const HaBootstrap *how)
{
	char		hba[MAXPGPATH];
	char		ident[MAXPGPATH];
	char		own[MAXPGPATH];
	PQExpBufferData said;
	bool		ok = true;

	if (how->config_json == NULL)
		return true;
	if (!write_rules(node, how->config_json, HA_AUTH_HBA, hba) ||
		!write_rules(node, how->config_json, HA_AUTH_IDENT, ident) ||
		!ha_path_in(own, node->data_dir, "pg_hba.conf"))
		return fail("B05 could not write the rules of the configuration");
	initPQExpBuffer(&said);
	if ((hba[0] != '\0' || ident[0] != '\0') &&
		!ha_auth_files_check(node, node->data_dir, hba[0] != '\0' ? hba : own,
							 ident[0] != '\0' ? ident : NULL, take_fault, &ok,
							 &said))
		ok = fail("B05 the rules of the configuration could not be checked");
	termPQExpBuffer(&said);
	if (hba[0] != '\0')
		(void) unlink(hba);
	if (ident[0] != '\0')
		(void) unlink(ident);
	return ok;
}

/*
 * What the user wants run on it.
 */

static bool
run_post_init(const HaNode *node, const HaBootstrap *how,
			  const HaPrivateServer *server, const char *superuser)
{
	const char *psql[] = {
		"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", how->post_init[0], NULL
	};
	size_t		length = strlen(how->post_init[0]);
	bool		sql = length > 4 &&
	strcmp(how->post_init[0] + length - 4, ".sql") == 0;
	char		end[300];

	unsetenv("PGPASSFILE");
	unsetenv("PGSERVICE");
	if (!set_environment("PGHOST", server->dir) ||
		!set_environment("PGPORT", HA_PRIVATE_PORT) ||
		!set_environment("PGUSER", superuser) ||
		!set_environment("PGDATABASE", "postgres") ||
		!set_environment("PG_HA_SCOPE", node->scope) ||
		!set_environment("PG_HA_NODE", node->name))
		return false;
	return ha_program_listen(node, sql ? psql : (const char **) how->post_init,
							 "post-init", end, sizeof(end)) ||
		fail("B05 post-init failed: %s", end);
}

static bool
post_init(const HaNode *node, const HaBootstrap *how, const char *superuser)
{
	const char *const settings[] = {how->as_copy ? NO_ARCHIVE : NULL, NULL};
	HaPrivateServer server;
	bool		ok;

	if (how->post_init == NULL)
		return true;
	if (!start_private(node, superuser, settings, &server))
		return fail("B05 could not start the private server for post-init");
	ok = run_post_init(node, how, &server, superuser);
	if (!ha_private_stop(&server) && ok)
		ok = fail("B05 the private server for post-init did not stop");
	return ok;
}

/*
 * All of it, in the child.
 */

static bool
make_data(const HaNode *node, const HaBootstrap *how)
{
	const char *sync[] = {"initdb", "--sync-only", "-D", node->data_dir, NULL};
	char		superuser[NAMEDATALEN];
	bool		command = strcmp(how->method, "command") == 0;
	bool		ok;

	ok = command ? run_command(node, how) : run_initdb(node, how);
	if (!ok || !write_hba(node, how))
		return false;
	if (!ha_role_create(node, how->as_copy, superuser))
		return fail("B05 could not create role \"%s\"", node->replication_user);
	if (!check_hba(node, how) || !check_config_rules(node, how) ||
		!post_init(node, how, superuser))
		return false;
	return (ha_program_run(node, sync) && ha_sync_parent(node->data_dir)) ||
		fail("B05 could not sync the data directory");
}

pid_t
ha_bootstrap_start(const HaNode *node, const HaBootstrap *how, int *report)
{
	int			out[2];
	pid_t		pid;

	*report = -1;
	if (!ha_datadir_begin_bootstrap(node, how->command != NULL))
		return -1;
	if (pipe2(out, O_CLOEXEC) != 0)
	{
		pg_log_error("could not create pipe: %m");
		return -1;
	}
	pid = ha_work_fork(node);
	if (pid == 0)
	{
		bool		ok = make_data(node, how);

		ha_private_clean(node);
		if (!ok)
			ha_write_all(out[1], why, strlen(why));
		_exit(ok ? 0 : 1);
	}
	close(out[1]);
	if (pid < 0)
		close(out[0]);
	else
		*report = out[0];
	return pid;
}
