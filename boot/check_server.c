/*-------------------------------------------------------------------------
 *
 * check_server.c
 *	  Does a server run already, and what would it make of its settings?
 *
 * P06: somebody else's server.  P01: what the server says of its files.  P16:
 * settings with which it could not run as a standby.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "catalog/pg_control.h"

#include "files.h"
#include "limits.h"
#include "postmaster.h"
#include "preflight.h"
#include "prepare.h"
#include "processes.h"

/* wal_level in pg_control; xlog.h, which names it, is not for programs. */
#define WAL_LEVEL_MINIMAL	0

/*
 * A server that runs.
 */

/*
 * Has our library told of this postmaster, or is it on its way?  What a server that
 * has only just been started was started with is all that there is.
 */
static bool
is_ours(const HaPreflight *p, const HaPostmaster *pm)
{
	HaControlWorker w;
	char		command[4096];

	if (p->control != NULL && ha_control_get_worker(p->control, &w) &&
		w.postmaster_pid == pm->pid && w.postmaster_start == pm->start)
		return true;
	if (p->control != NULL && ha_control_starts(p->control, pm->pid) > 0)
		return true;
	ha_process_command(pm->pid, command, sizeof(command));
	return strstr(command, "shared_preload_libraries=") != NULL &&
		strstr(command, "pg_ha") != NULL;
}

/* Who is it?  Its unit, where systemd started it. */
static void
report_running(HaPreflight *p, pid_t pid)
{
	char		unit[256];
	char		since[32] = "?";
	char		path[64];
	struct stat st;
	struct tm	local;

	snprintf(path, sizeof(path), "/proc/%d", (int) pid);
	if (stat(path, &st) == 0)
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M",
				 localtime_r(&st.st_mtime, &local));
	ha_process_unit(pid, unit, sizeof(unit));
	ha_report_error(&p->report, "P06",
					"Stop it, and see to it that nobody else starts it again; or make it a member with \"pg_ha_boot adopt\".",
					"server already runs on \"%s\" (pid %d, started %s%s%s)",
					p->node.data_dir, (int) pid, since,
					unit[0] != '\0' ? " by " : "", unit);
}

void
ha_check_running(HaPreflight *p)
{
	HaPostmaster pm = {.pidfd = -1};

	if (!ha_postmaster_attach(&pm, &p->node, p->control))
		return;
	p->server_runs = true;
	p->server_is_ours = is_ours(p, &pm);
	if (!p->server_is_ours)
		report_running(p, pm.pid);
	ha_postmaster_forget(&pm);
}

/*
 * Settings.
 */

static const char *const setting_names[HA_NUM_SETTINGS] = {
	[HA_SETTING_PORT] = "port",
	[HA_SETTING_LISTEN] = "listen_addresses",
	[HA_SETTING_SOCKETS] = "unix_socket_directories",
	[HA_SETTING_COLLECTOR] = "logging_collector",
	[HA_SETTING_LOG_DIRECTORY] = "log_directory",
	[HA_SETTING_CONNECTIONS] = "max_connections",
	[HA_SETTING_WORKERS] = "max_worker_processes",
	[HA_SETTING_WAL_SENDERS] = "max_wal_senders",
	[HA_SETTING_PREPARED] = "max_prepared_transactions",
	[HA_SETTING_LOCKS] = "max_locks_per_transaction",
	[HA_SETTING_HBA] = "hba_file",
	[HA_SETTING_IDENT] = "ident_file",
};

/*
 * One message of the server: "... LOG:  TEXT in file "FILE" line N" becomes
 * "FILE:N: TEXT".  Returns whether it was one that tells something.
 */
static bool
report_message(HaPreflight *p, char *line)
{
	static const char *const kinds[] = {"LOG:  ", "FATAL:  ", "postgres: "};
	char	   *text = NULL;
	char	   *place;
	char	   *quote;

	for (int i = 0; i < lengthof(kinds) && text == NULL; i++)
	{
		text = strstr(line, kinds[i]);
		if (text != NULL)
			text += strlen(kinds[i]);
	}
	if (text == NULL || strncmp(text, "skipping missing", 16) == 0 ||
		strstr(text, "contains errors") != NULL)
		return false;
	place = strstr(text, " in file \"");
	quote = place != NULL ? strstr(place, "\" line ") : NULL;
	if (quote == NULL)
	{
		ha_report_error(&p->report, "P01", "The message is the server's own.",
						"invalid configuration: %s", text);
		return true;
	}
	*place = *quote = '\0';
	ha_report_error(&p->report, "P01", "The message is the server's own.",
					"invalid configuration: %s:%d: %s",
					place + strlen(" in file \""),
					atoi(quote + strlen("\" line ")), text);
	return true;
}

static void
report_messages(HaPreflight *p, char *said)
{
	bool		told = false;
	char	   *rest = said;
	char	   *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		told |= report_message(p, line);
	if (!told && !p->starting)
		ha_report_error(&p->report, "P01", "Run \"postgres -C port\" by hand.",
						"the server's settings could not be read");
}

/*
 * What the server would have after a start: its own files, pg_ha.conf among them
 * if there has been a start, and the node file over them.
 */
static void
build_configuration(const HaPreflight *p, PQExpBuffer text)
{
	char		path[MAXPGPATH];

	if (p->directory == HA_DIR_VALID &&
		ha_path_in(path, p->node.data_dir, "postgresql.conf"))
		ha_append_setting(text, "include", path);
	ha_append_setting(text, "include", p->node.path);
}

/* Without data there is the node file alone. */
void
ha_check_settings(HaPreflight *p)
{
	PQExpBufferData text;
	PQExpBufferData said;

	initPQExpBuffer(&text);
	initPQExpBuffer(&said);
	build_configuration(p, &text);
	for (int i = 0; i < HA_NUM_SETTINGS; i++)
		p->settings[i].name = setting_names[i];
	p->has_settings = ha_probe_text(&p->node, p->directory == HA_DIR_VALID ?
									p->node.data_dir : "/", text.data,
									p->settings, HA_NUM_SETTINGS, &said);
	if (!p->has_settings)
		report_messages(p, said.data);
	termPQExpBuffer(&text);
	termPQExpBuffer(&said);
}

/* One of them, with the least that it ever is. */
static void
check_limit(HaPreflight *p, HaSettingName name, const ControlFileData *control,
			int floor)
{
	int			needed = ha_limit_of_data(control, setting_names[name]);
	int			value = Max(atoi(p->settings[name].value), floor);

	if (value < needed)
		ha_report_warning(&p->report, "P16",
						  "A standby must not have less. It gets the lower value at its first restart after the leader's.",
						  "%s = %d is lower than on the primary (%d), which it starts with as a standby",
						  setting_names[name], value, needed);
}

/*
 * A standby that has less than its primary had does not start, so it starts with
 * what that had (limits.c), which may surprise.
 */
void
ha_check_standby_settings(HaPreflight *p)
{
	ControlFileData control;

	/*
	 * Before a start, data that was never a member's is left to P12, which
	 * tells more of it.
	 */
	if ((p->starting && !ha_exists_in(p->node.data_dir, "pg_ha.conf")) ||
		!ha_datadir_control(&p->node, &control))
		return;
	check_limit(p, HA_SETTING_CONNECTIONS, &control, 0);
	check_limit(p, HA_SETTING_WORKERS, &control, 0);
	check_limit(p, HA_SETTING_WAL_SENDERS, &control, HA_MIN_WAL_SENDERS);
	check_limit(p, HA_SETTING_PREPARED, &control, 0);
	check_limit(p, HA_SETTING_LOCKS, &control, 0);
	if (control.wal_level == WAL_LEVEL_MINIMAL)
		ha_report_error(&p->report, "P16",
						"Start it once by hand with wal_level = replica, and stop it cleanly.",
						"the data was last written with wal_level = minimal, from which no standby can start");
}

/* Without either of them the server does not start, or lets nobody in. */
void
ha_check_auth_files(HaPreflight *p)
{
	for (int i = HA_SETTING_HBA; i <= HA_SETTING_IDENT; i++)
	{
		if (access(p->settings[i].value, R_OK) != 0)
			ha_report_error(&p->report, "P20",
							"It belongs to the node, and pg_ha does not write it: put it there.",
							"%s \"%s\" cannot be read: %m", setting_names[i],
							p->settings[i].value);
	}
}
