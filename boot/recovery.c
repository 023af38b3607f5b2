/*-------------------------------------------------------------------------
 *
 * recovery.c
 *	  Make restored data a cluster of its own: recovery to its end or to a target.
 *
 * All settings of the recovery stand on the command line of the one server that
 * makes it, so none of them can outlive it.  What a backup tool has written into
 * postgresql.auto.conf is taken out when it has done its work: recovery targets
 * would stop a standby for ever, and what pg_ha manages must not stand there.
 *
 * That a target was reached is checked twice: the server refuses to end before it,
 * and the history of the new timeline must tell that it ended for that reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "common/logging.h"
#include "pqexpbuffer.h"

#include "datadir.h"
#include "files.h"
#include "prepare.h"
#include "private_server.h"
#include "probe.h"
#include "recovery.h"

#define POLL_US				100000L

/* Settings of the target, and how a timeline's history tells that it ended there. */
static const struct
{
	const char *setting;
	const char *before;			/* reason, up to what differs */
	const char *after;
}			targets[] =

{
	[HA_TARGET_NONE] = {"recovery_target", "no recovery target", "no recovery target"},
	[HA_TARGET_TIME] = {"recovery_target_time", "before ", "after "},
	[HA_TARGET_LSN] = {"recovery_target_lsn", "before LSN ", "after LSN "},
	[HA_TARGET_NAME] = {"recovery_target_name", "at restore point ", "at restore point "},
	[HA_TARGET_XID] = {"recovery_target_xid", "before transaction ", "after transaction "},
};

/* What must not stand in postgresql.auto.conf any more, nor what pg_ha sets. */
static const char *const past_settings[] = {
	"recovery_target", "recovery_target_action", "recovery_target_inclusive",
	"recovery_target_lsn", "recovery_target_name", "recovery_target_time",
	"recovery_target_xid"
};

/* What the data's origin had for its own life, and a copy must not have. */
static const char *const origin_settings[] = {
	"restore_command", "archive_cleanup_command", "recovery_end_command"
};

/*
 * Files.
 */

static bool
is_listed(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_past(const char *line, bool as_copy)
{
	char		name[64];
	size_t		n = 0;

	line += strspn(line, " \t");
	while (n < sizeof(name) - 1 && (isalnum((unsigned char) line[n]) ||
									line[n] == '_' || line[n] == '.'))
	{
		name[n] = pg_tolower((unsigned char) line[n]);
		n++;
	}
	name[n] = '\0';
	return ha_prepare_is_managed(name) ||
		is_listed(name, past_settings, lengthof(past_settings)) ||
		(as_copy && is_listed(name, origin_settings, lengthof(origin_settings)));
}

/* Take the lines out that have had their time. */
static bool
clean_auto_conf(const HaNode *node, bool as_copy)
{
	static const char file[] = "postgresql.auto.conf";
	char		path[MAXPGPATH];
	PQExpBufferData content;
	PQExpBufferData kept;
	bool		ok;

	if (!ha_exists_in(node->data_dir, file))
		return true;
	initPQExpBuffer(&content);
	initPQExpBuffer(&kept);
	ok = ha_path_in(path, node->data_dir, file) && ha_read_file(path, &content);
	for (const char *line = content.data; ok && *line != '\0';)
	{
		size_t		length = strcspn(line, "\n");

		if (line[length] == '\n')
			length++;
		if (!is_past(line, as_copy))
			appendBinaryPQExpBuffer(&kept, line, length);
		line += length;
	}
	ok = ok && !PQExpBufferDataBroken(kept) &&
		ha_replace_data_file(node, file, kept.data, true);
	termPQExpBuffer(&content);
	termPQExpBuffer(&kept);
	return ok;
}

/*
 * What a server of another life has left must not speak for this one: which node
 * it was, whom it followed, and that it runs.
 */
static bool
clear_origin(const HaNode *node, bool recover)
{
	static const char *const files[] = {
		CONF_FILE, MANAGED_CONF_FILE, "standby.signal", "postmaster.pid",
		"postmaster.opts"
	};

	for (int i = 0; i < lengthof(files); i++)
	{
		if (!ha_remove_file(node->data_dir, files[i]))
			return false;
	}
	return !recover ||
		ha_replace_data_file(node, "recovery.signal", "", true);
}

/*
 * The recovery itself.
 */

static bool
fail(char *why, size_t whylen, const char *text, const char *detail)
{
	snprintf(why, whylen, "%s%s", text, detail);
	return false;
}

/*
 * The last line of the history of the timeline that the data is on now tells why
 * the one before was left.
 */
static bool
ended_at_target(const HaNode *node, HaTargetKind kind, char *reason,
				size_t size)
{
	ControlFileData control;
	char		name[64];
	char		path[MAXPGPATH];
	char		line[1024];
	FILE	   *file;

	strlcpy(reason, "no new timeline was begun", size);
	if (!ha_datadir_control(node, &control))
		return false;
	snprintf(name, sizeof(name), "pg_wal/%08X.history",
			 control.checkPointCopy.ThisTimeLineID);
	if (!ha_path_in(path, node->data_dir, name) ||
		(file = fopen(path, "re")) == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		const char *tab = strrchr(line, '\t');

		line[strcspn(line, "\n")] = '\0';
		if (tab != NULL)
			strlcpy(reason, tab + 1, size);
	}
	fclose(file);
	return strncmp(reason, targets[kind].before,
				   strlen(targets[kind].before)) == 0 ||
		strncmp(reason, targets[kind].after, strlen(targets[kind].after)) == 0;
}

/* Start the server that recovers, with what the command line wants of it. */
static bool
start(const HaNode *node, const HaBootstrap *how, HaPrivateServer *server)
{
	const char *settings[16] = {
		/* what the origin had of connections and the like need not be matched */
		"hot_standby=off",
		/* how far it is, in the server's own words */
		"log_startup_progress_interval=10s"
	};
	char		restore[1024 + 32];
	char		target[1024 + 32];
	int			n = 2;

	if (how->as_copy)
		settings[n++] = "archive_mode=off"; /* the archive is the origin's */
	if (how->restore_command != NULL)
	{
		snprintf(restore, sizeof(restore), "restore_command=%s",
				 how->restore_command);
		settings[n++] = restore;
		settings[n++] = "recovery_target_action=promote";
		settings[n++] = "recovery_target_timeline=latest";

		/* those of the files must not be in force beside the one we give */
		settings[n++] = "recovery_target=";
		for (int i = HA_TARGET_TIME; i < lengthof(targets); i++)
		{
			static char unset[lengthof(targets)][64];

			if (i == (int) how->target_kind)
				continue;
			snprintf(unset[i], sizeof(unset[i]), "%s=", targets[i].setting);
			settings[n++] = unset[i];
		}
	}
	if (how->target_kind != HA_TARGET_NONE)
	{
		snprintf(target, sizeof(target), "%s=%s",
				 targets[how->target_kind].setting, how->target);
		settings[n++] = target;
	}
	settings[n] = NULL;
	return ha_private_start(node, "", settings, server);
}

static bool
wait_for_end(const HaNode *node, HaPrivateServer *server)
{
	while (!ha_private_is_ready(node, server))
	{
		if (ha_private_has_ended(server))
			return false;
		pg_usleep(POLL_US);
	}
	return ha_private_stop(server);
}

/* One in postgresql.conf is the user's to remove: a standby would stop there. */
static bool
check_nothing_left(const HaNode *node, char *why, size_t whylen)
{
	HaProbe		probes[lengthof(targets)];
	char		path[MAXPGPATH];

	for (int i = 0; i < lengthof(targets); i++)
		probes[i].name = targets[i].setting;
	if (!ha_path_in(path, node->data_dir, "postgresql.conf") ||
		!ha_probe_settings(node, path, probes, lengthof(targets)))
		return fail(why, whylen, "B05 could not read the configuration", "");
	for (int i = 0; i < lengthof(targets); i++)
	{
		if (probes[i].value[0] != '\0')
			return fail(why, whylen, "B05 postgresql.conf of the restored data sets ",
						targets[i].setting);
	}
	return true;
}

bool
ha_recover(const HaNode *node, const HaBootstrap *how, char *why, size_t whylen)
{
	HaPrivateServer server;
	char		reason[256];
	bool		targeted = how->target_kind != HA_TARGET_NONE;

	if (!clear_origin(node, how->restore_command != NULL) ||
		!start(node, how, &server))
		return fail(why, whylen, "B05 could not start the recovery", "");
	pg_log_info("recovering the restored data%s%s%s", targeted ? " to " : "",
				targeted ? targets[how->target_kind].setting + strlen("recovery_") : "",
				targeted ? "" : " to its end");
	if (!wait_for_end(node, &server))
		return fail(why, whylen, targeted ?
					"B07 recovery target not reached" : "B05 recovery failed",
					"; the server's messages above tell why");
	if (targeted && !ended_at_target(node, how->target_kind, reason,
									 sizeof(reason)))
		return fail(why, whylen, "B07 recovery target not reached: it ended with ",
					reason);
	if (targeted)
		pg_log_info("recovery ended %s", reason);
	if (!clean_auto_conf(node, how->as_copy))
		return fail(why, whylen, "B05 could not clean postgresql.auto.conf", "");
	return check_nothing_left(node, why, whylen);
}
