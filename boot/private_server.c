/*-------------------------------------------------------------------------
 *
 * private_server.c
 *	  A server that only this process can reach, on data that is being made.
 *
 * The data is no cluster's yet, so nobody may see it: the server has neither port
 * nor socket elsewhere than in a directory of mode 0700 in the state directory, and
 * its hba file lets in just the user who runs pg_ha_boot, by "peer".  Without our
 * library there is no fence and no worker, so it can write, and the store never
 * hears of it.
 *
 * What the data's own configuration says of replication is not heeded: restored
 * data would stream from its origin, or wait for the origin's standbys.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "files.h"
#include "postmaster.h"
#include "private_server.h"
#include "programs.h"

#define PRIVATE_DIR		"private"
#define HBA_FILE		"hba.conf"
#define IDENT_FILE		"ident.conf"
#define SOCKET_FILE		".s.PGSQL." HA_PRIVATE_PORT

#define MAX_SETTINGS	16

static const char *const left_behind[] = {
	HBA_FILE, IDENT_FILE, SOCKET_FILE, SOCKET_FILE ".lock"
};

/* Whatever the files of the data directory say. */
static const char *const always[] = {
	"listen_addresses=", "port=" HA_PRIVATE_PORT,
	"unix_socket_permissions=0700", "ssl=off",
	"shared_preload_libraries=", "session_preload_libraries=",
	"local_preload_libraries=", "logging_collector=off",
	"log_destination=stderr", "log_statement=none",
	"log_min_error_statement=panic", "log_min_duration_statement=-1",
	"log_min_duration_sample=-1", "log_transaction_sample_rate=0",
	"archive_cleanup_command=", "recovery_end_command=",
	"primary_conninfo=", "primary_slot_name=",
	"synchronous_standby_names=", "recovery_min_apply_delay=0",
	"restart_after_crash=off", "autovacuum=off"
};

void
ha_private_clean(const HaNode *node)
{
	char		dir[MAXPGPATH];
	char		path[MAXPGPATH];

	if (!ha_path_in(dir, node->state_dir, PRIVATE_DIR))
		return;
	for (int i = 0; i < lengthof(left_behind); i++)
	{
		if (ha_path_in(path, dir, left_behind[i]))
			unlink(path);
	}
	if (rmdir(dir) != 0 && errno != ENOENT)
		pg_log_warning("could not remove directory \"%s\": %m", dir);
}

/* As whom the user who runs this may come in. */
static bool
write_ident(const char *path, const char *superuser)
{
	const struct passwd *user = getpwuid(geteuid());
	char		lines[1024];

	if (user == NULL)
	{
		pg_log_error("could not look up effective user ID %ld",
					 (long) geteuid());
		return false;
	}
	snprintf(lines, sizeof(lines),
			 "boot \"%s\" \"%s\"\nboot \"%s\" \"postgres\"\n%s%s%s%s%s",
			 user->pw_name, user->pw_name, user->pw_name,
			 superuser[0] != '\0' ? "boot \"" : "",
			 superuser[0] != '\0' ? user->pw_name : "",
			 superuser[0] != '\0' ? "\" \"" : "", superuser,
			 superuser[0] != '\0' ? "\"\n" : "");
	return ha_replace_file(path, lines, 0600, false);
}

static bool
make_place(const HaNode *node, const char *superuser, HaPrivateServer *server,
		   char *hba, char *ident)
{
	struct sockaddr_un address;

	ha_private_clean(node);
	if (strlen(node->state_dir) + sizeof("/" PRIVATE_DIR "/" SOCKET_FILE) >
		sizeof(address.sun_path))
	{
		pg_log_error("path \"%s\" is too long for a socket in it",
					 node->state_dir);
		pg_log_error_hint("Set pg_ha.state_dir to a shorter path.");
		return false;
	}
	snprintf(server->dir, sizeof(server->dir), "%s/" PRIVATE_DIR,
			 node->state_dir);
	if (mkdir(server->dir, 0700) != 0)
	{
		pg_log_error("could not create directory \"%s\": %m", server->dir);
		return false;
	}
	return ha_path_in(hba, server->dir, HBA_FILE) &&
		ha_path_in(ident, server->dir, IDENT_FILE) &&
		ha_replace_file(hba, "local all all peer map=boot\n", 0600, false) &&
		write_ident(ident, superuser);
}

bool
ha_private_start(const HaNode *node, const char *superuser,
				 const char *const *settings, HaPrivateServer *server)
{
	const char *argv[2 * (lengthof(always) + MAX_SETTINGS) + 10];
	char		hba[MAXPGPATH];
	char		ident[MAXPGPATH];
	char		hba_option[MAXPGPATH + 16];
	char		ident_option[MAXPGPATH + 16];
	int			n = 0;

	memset(server, 0, sizeof(*server));
	if (!make_place(node, superuser, server, hba, ident))
		return false;
	snprintf(hba_option, sizeof(hba_option), "--hba_file=%s", hba);
	snprintf(ident_option, sizeof(ident_option), "--ident_file=%s", ident);

	argv[n++] = "postgres";
	argv[n++] = "-D";
	argv[n++] = node->data_dir;
	argv[n++] = "-k";
	argv[n++] = server->dir;
	argv[n++] = hba_option;
	argv[n++] = ident_option;
	for (int i = 0; i < lengthof(always); i++)
	{
		argv[n++] = "-c";
		argv[n++] = always[i];
	}
	for (int i = 0; i < MAX_SETTINGS && settings[i] != NULL; i++)
	{
		argv[n++] = "-c";
		argv[n++] = settings[i];
	}
	argv[n] = NULL;
	server->pid = ha_program_fork();
	if (server->pid == 0)
		ha_program_exec(node, argv, -1, -1);
	return server->pid > 0;
}

/*
 * postmaster.pid tells, as it does pg_ctl.  Not pg_control: that of a base backup
 * says "in production", as its source was, until recovery has begun.
 */
bool
ha_private_is_ready(const HaNode *node, const HaPrivateServer *server)
{
	HaPidFile	lines;

	return ha_postmaster_pid_file(node, lines) >= LOCK_FILE_LINE_PM_STATUS &&
		atol(lines[LOCK_FILE_LINE_PID]) == (long) server->pid &&
		strncmp(lines[LOCK_FILE_LINE_PM_STATUS], PM_STATUS_READY,
				strlen(PM_STATUS_READY)) == 0;
}

static bool
report_end(int status)
{
	char	   *text;

	if (status == 0)
		return true;
	text = wait_result_to_str(status);
	pg_log_error("the private server failed: %s", text);
	pfree(text);
	return false;
}

bool
ha_private_has_ended(HaPrivateServer *server)
{
	int			status;

	if (waitpid(server->pid, &status, WNOHANG) != server->pid)
		return false;
	server->pid = 0;
	report_end(status);
	return true;
}

bool
ha_private_stop(HaPrivateServer *server)
{
	int			status = -1;

	kill(server->pid, SIGINT);
	while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	server->pid = 0;
	return report_end(status);
}
