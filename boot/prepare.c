/*-------------------------------------------------------------------------
 *
 * prepare.c
 *	  Make a data directory ready for the start of its server.
 *
 * Every file that is rewritten appears under its name complete and on disk, or
 * not at all.  standby.signal is put before anything else is prepared and taken
 * away after everything else: whoever starts the server meanwhile gets a
 * standby.
 *
 * The library, which is the fence, is given on the server's command line, where
 * no configuration file can take it away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "pqexpbuffer.h"

#include "datadir.h"
#include "directories.h"
#include "files.h"
#include "limits.h"
#include "prepare.h"
#include "probe.h"

#define PROBE_CONF_FILE		"pg_ha.probe.conf"

/* In pg_ha.conf, for a later pg_ha_boot: HaPrepared.raised. */
#define RAISED_MARK			"# As the primary has, and not as configured: "

/* What pg_ha alone sets, and postgresql.auto.conf would override. */
static const char *const managed_names[] = {
	"primary_conninfo", "primary_slot_name", "synchronous_standby_names",
	"recovery_target_timeline"
};

/*
 * Configuration files.
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

bool
ha_prepare_is_managed(const char *name)
{
	for (int i = 0; i < lengthof(managed_names); i++)
	{
		if (strcmp(name, managed_names[i]) == 0)
			return true;
	}
	return strncmp(name, "pg_ha.", 6) == 0;
}

/* ALTER SYSTEM outranks every file of ours, so these must not stand there. */
static bool
check_auto_conf(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		name[128];
	PQExpBufferData content;
	bool		ok;

	if (!ha_path_in(path, node->data_dir, "postgresql.auto.conf"))
		return false;
	if (!ha_exists_in(node->data_dir, "postgresql.auto.conf"))
		return true;
	initPQExpBuffer(&content);
	ok = ha_read_file(path, &content);
	for (const char *line = content.data; ok && *line != '\0';
		 line = next_line(line))
	{
		scan_name(line, name, sizeof(name));
		if (!ha_prepare_is_managed(name))
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
	SETTING_SOCKETS,			/* these only say which directories must be */
	SETTING_COLLECTOR,
	SETTING_LOG_DIRECTORY,
	SETTING_CONNECTIONS,		/* limits.c, with max_wal_senders */
	SETTING_WORKERS,
	SETTING_PREPARED,
	SETTING_LOCKS,
	NUM_SETTINGS
};

/*
 * Ask for the settings as they would be without pg_ha.conf, by a configuration
 * file for this purpose: else the file of the last start would answer, and no
 * change that the user made since then would ever count.
 */
static bool
probe_user_settings(const HaNode *node, const char *postgresql_conf,
					HaProbe *probes)
{
	static const char *const names[NUM_SETTINGS] = {
		"shared_preload_libraries", "wal_level", "max_wal_senders",
		"max_replication_slots", "wal_keep_size", "unix_socket_directories",
		"logging_collector", "log_directory", "max_connections",
		"max_worker_processes", "max_prepared_transactions",
		"max_locks_per_transaction"
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
	ha_append_setting(&conf, "include_if_exists", CLUSTER_CONF_FILE);
	ha_append_setting(&conf, "include", node->path);

	for (int i = 0; i < NUM_SETTINGS; i++)
		probes[i].name = names[i];
	ok = ha_path_in(path, node->data_dir, PROBE_CONF_FILE) &&
		!PQExpBufferDataBroken(conf) &&
		ha_replace_data_file(node, PROBE_CONF_FILE, conf.data, false);
	termPQExpBuffer(&conf);
	if (!ok)
		return false;
	ok = ha_probe_settings(node, path, probes, NUM_SETTINGS);
	if (unlink(path) != 0 && errno != ENOENT)
		pg_log_warning("could not remove file \"%s\": %m", path);
	return ok;
}

static bool
make_directories(const HaNode *node, const HaProbe *user)
{
	return ha_directories_make(node, user[SETTING_SOCKETS].value,
							   strcmp(user[SETTING_COLLECTOR].value, "on") == 0,
							   user[SETTING_LOG_DIRECTORY].value);
}

/*
 * Which limits are the primary's (limits.c), as lines of pg_ha.conf and for the command
 * line.  The latter also where the line of pg_ha.conf would do but for ALTER SYSTEM.
 */
static void
raise_limits(const HaNode *node, const HaProbe *user, PQExpBuffer conf,
			 HaPrepared *prepared)
{
	ControlFileData control;
	int			n = 0;

	if (!ha_datadir_control(node, &control))
		return;
	for (int i = 0; i < NUM_SETTINGS; i++)
	{
		int			limit = ha_limit_of_data(&control, user[i].name);
		int			wanted = atoi(user[i].value);

		if (limit > wanted && n < HA_NUM_LIMITS)
			snprintf(prepared->limits[n++], sizeof(prepared->limits[0]),
					 "%s=%d", user[i].name, limit);
		if (i == SETTING_WAL_SENDERS)
			wanted = Max(wanted, HA_MIN_WAL_SENDERS);
		if (limit <= wanted)
			continue;
		pg_log_info("starting with %s = %d as the primary has, since a standby must not have less (%d is configured)",
					user[i].name, limit, wanted);
		appendPQExpBuffer(conf, "%s = %d\n", user[i].name, limit);
		if (prepared->raised[0] != '\0')
			strlcat(prepared->raised, ",", sizeof(prepared->raised));
		strlcat(prepared->raised, user[i].name, sizeof(prepared->raised));
	}
}

/*
 * Write pg_ha.conf.  What a user may need more of is only ever raised: a
 * server with more slots than max_replication_slots, or with logical ones and
 * a lower wal_level, would not even start.
 */
static bool
write_conf(const HaNode *node, bool as_primary, const HaProbe *user,
		   HaPrepared *prepared)
{
	PQExpBufferData conf;
	const char *old = user[SETTING_LIBRARIES].value;
	bool		logical = strcmp(user[SETTING_WAL_LEVEL].value, "logical") == 0;
	bool		ok;

	snprintf(prepared->libraries, sizeof(prepared->libraries), "%s%s%s", old,
			 old[0] != '\0' && !list_has_pg_ha(old) ? ", " : "",
			 list_has_pg_ha(old) ? "" : "pg_ha");

	initPQExpBuffer(&conf);
	appendPQExpBufferStr(&conf,
						 "# Written by pg_ha_boot before a start: changes made here are lost.\n"
						 "# Put settings into the node file or into postgresql.conf.\n\n");
	ha_append_setting(&conf, "include_if_exists", CLUSTER_CONF_FILE);
	ha_append_setting(&conf, "include", node->path);
	appendPQExpBufferChar(&conf, '\n');
	ha_append_setting(&conf, "shared_preload_libraries", prepared->libraries);
	ha_append_setting(&conf, "pg_ha.state_dir", node->state_dir);
	ha_append_setting(&conf, "pg_ha.data_dir", node->data_dir);
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
					  Max(atoi(user[SETTING_WAL_SENDERS].value),
						  HA_MIN_WAL_SENDERS),
					  Max(atoi(user[SETTING_SLOTS].value), 16),
					  Max(atoi(user[SETTING_WAL_KEEP].value), 128));
	prepared->raised[0] = '\0';
	memset(prepared->limits, 0, sizeof(prepared->limits));
	if (!as_primary)
		raise_limits(node, user, &conf, prepared);
	appendPQExpBuffer(&conf, RAISED_MARK "%s\n", prepared->raised);
	ha_append_setting(&conf, "include_if_exists", MANAGED_CONF_FILE);
	ok = !PQExpBufferDataBroken(conf) &&
		(ha_data_file_is(node, CONF_FILE, conf.data) ||
		 ha_replace_data_file(node, CONF_FILE, conf.data, true));
	termPQExpBuffer(&conf);
	return ok;
}

void
ha_prepare_remember(const HaNode *node, HaPrepared *prepared)
{
	char		path[MAXPGPATH];
	PQExpBufferData conf;

	if (!ha_exists_in(node->data_dir, CONF_FILE) ||
		!ha_path_in(path, node->data_dir, CONF_FILE))
		return;
	initPQExpBuffer(&conf);
	if (ha_read_file(path, &conf))
	{
		for (const char *line = conf.data; *line != '\0';
			 line = next_line(line))
		{
			if (strncmp(line, RAISED_MARK, strlen(RAISED_MARK)) == 0)
				strlcpy(prepared->raised, line + strlen(RAISED_MARK),
						sizeof(prepared->raised));
		}
		prepared->raised[strcspn(prepared->raised, "\n")] = '\0';
	}
	termPQExpBuffer(&conf);
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
		ha_replace_file(path, content->data, st.st_mode & 0777, true);
}

/*
 * What the cluster's configuration sets is left as it is: the worker writes it.  If it
 * has not yet, an empty file spares the log a line for each process.
 */
static bool
add_cluster_conf(const HaNode *node)
{
	return ha_exists_in(node->data_dir, CLUSTER_CONF_FILE) ||
		ha_replace_data_file(node, CLUSTER_CONF_FILE, "", false);
}

#define TRIED_FILE	"cluster.conf.tried"
#define GOOD_FILE	"cluster.conf.good"

void
ha_prepare_note_tried(const HaNode *node)
{
	char		from[MAXPGPATH];
	char		to[MAXPGPATH];
	PQExpBufferData content;

	initPQExpBuffer(&content);
	if (ha_exists_in(node->data_dir, CLUSTER_CONF_FILE) &&
		ha_path_in(from, node->data_dir, CLUSTER_CONF_FILE) &&
		ha_path_in(to, node->state_dir, TRIED_FILE) &&
		ha_read_file(from, &content))
		(void) ha_replace_file(to, content.data, 0600, false);
	termPQExpBuffer(&content);
}

void
ha_prepare_keep_tried(const HaNode *node)
{
	char		tried[MAXPGPATH];
	char		good[MAXPGPATH];

	if (ha_path_in(tried, node->state_dir, TRIED_FILE) &&
		ha_path_in(good, node->state_dir, GOOD_FILE) &&
		rename(tried, good) != 0 && errno != ENOENT)
		pg_log_warning("could not rename file \"%s\": %m", tried);
}

bool
ha_prepare_roll_back(const HaNode *node)
{
	char		good[MAXPGPATH];
	PQExpBufferData content;
	bool		done = false;

	if (!ha_exists_in(node->state_dir, GOOD_FILE) ||
		!ha_path_in(good, node->state_dir, GOOD_FILE))
		return false;
	initPQExpBuffer(&content);
	if (ha_read_file(good, &content) &&
		!ha_data_file_is(node, CLUSTER_CONF_FILE, content.data) &&
		ha_replace_data_file(node, CLUSTER_CONF_FILE, content.data, true))
	{
		pg_log_warning("the settings of the cluster's configuration are taken back: the server did not start with them");
		pg_log_warning_hint("The server's log says why. Correct them with pg_ha_set_config().");
		done = true;
	}
	termPQExpBuffer(&content);
	return done;
}

/* pg_ha.conf, unless it is ready, and the line that includes it. */
static bool
write_configuration(const HaNode *node, bool as_primary, bool ready,
					HaPrepared *prepared)
{
	char		path[MAXPGPATH];
	char	   *real;
	PQExpBufferData content;
	HaProbe		user[NUM_SETTINGS];
	bool		ok;

	if (!ha_path_in(path, node->data_dir, "postgresql.conf"))
		return false;

	/* It may be a symbolic link, which is to stay one. */
	real = realpath(path, NULL);
	if (real == NULL)
	{
		pg_log_error("could not find file \"%s\": %m", path);
		return false;
	}
	initPQExpBuffer(&content);
	ok = ha_read_file(real, &content) &&
		(ready || (probe_user_settings(node, content.data, user) &&
				   make_directories(node, user) &&
				   write_conf(node, as_primary, user, prepared))) && add_include(real, &content);
	termPQExpBuffer(&content);
	free(real);
	return ok;
}

/*
 * The proof of the pudding.  A line behind our include or in
 * postgresql.auto.conf could make a standby stream from whom it likes, or leave
 * a server that somebody starts by hand without the library, which is the fence.
 */
static bool
check_effective(const HaNode *node, bool as_primary)
{
	static const char hint[] =
	"Look for it below the include of \"" CONF_FILE "\" in postgresql.conf, and in postgresql.auto.conf.";
	char		path[MAXPGPATH];
	HaProbe		probes[2] = {
		{.name = "shared_preload_libraries"},
		{.name = "primary_conninfo"}
	};

	if (!ha_path_in(path, node->data_dir, "postgresql.conf") ||
		!ha_probe_settings(node, path, probes, 2))
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

/*
 * Not synced: a crash of the machine leaves what it would have left a moment
 * earlier, and a leader that is about to start again can't wait for the disk.
 */
bool
ha_prepare_standby_signal(const HaNode *node)
{
	return ha_replace_data_file(node, "standby.signal", "", false);
}

#define MANAGED_HEADER \
	"# The pg_ha worker rewrites this file: changes made here are lost.\n"

/*
 * A standby follows nobody until the worker knows whom: a leader that is not
 * proven must not get its acknowledgements.  Names that stand in postgresql.conf
 * are not pg_ha's, and would keep it waiting for them when it leads.
 */
static bool
prepare_standby(const HaNode *node)
{
	return ha_replace_data_file(node, "standby.signal", "", true) &&
		ha_replace_data_file(node, MANAGED_CONF_FILE,
							 MANAGED_HEADER
							 "primary_conninfo = ''\n"
							 "primary_slot_name = ''\n"
							 "synchronous_standby_names = ''\n", true);
}

/*
 * A primary keeps what the worker wrote, names of synchronous standbys above
 * all.
 */
static bool
prepare_primary(const HaNode *node)
{
	if (ha_exists_in(node->data_dir, "recovery.signal"))
	{
		pg_log_error("\"recovery.signal\" stands in data directory \"%s\"",
					 node->data_dir);
		pg_log_error_hint("Finish the recovery to a point in time before pg_ha manages this server.");
		return false;
	}
	return ha_exists_in(node->data_dir, MANAGED_CONF_FILE) ||
		ha_replace_data_file(node, MANAGED_CONF_FILE, MANAGED_HEADER, true);
}

/* If this is undone by a crash of the machine, the server is a standby. */
static bool
remove_standby_signal(const HaNode *node)
{
	char		path[MAXPGPATH];

	if (!ha_path_in(path, node->data_dir, "standby.signal"))
		return false;
	if (unlink(path) == 0 || errno == ENOENT)
		return true;
	pg_log_error("could not remove file \"%s\": %m", path);
	return false;
}

/* standby.signal goes last, when nothing can fail any more. */
bool
ha_prepare(const HaNode *node, bool as_primary, bool again,
		   HaPrepared *prepared)
{
	bool		ready = again && prepared->libraries[0] != '\0' &&
	ha_exists_in(node->data_dir, CONF_FILE);

	return check_auto_conf(node) && add_cluster_conf(node) &&
		(as_primary ? prepare_primary(node) : prepare_standby(node)) &&
		write_configuration(node, as_primary, ready, prepared) &&
		(ready || check_effective(node, as_primary)) &&
		(!as_primary || remove_standby_signal(node));
}
