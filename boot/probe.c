/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  What a server would make of its configuration files: postgres -C.
 *
 * Asked for a setting that does not depend on shared memory, the server reads its
 * files, prints, and ends before it looks at the lock file: so it can be asked
 * while another one runs in the same directory, and changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "files.h"
#include "probe.h"
#include "programs.h"

void
ha_append_setting(PQExpBuffer conf, const char *name, const char *value)
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

/*
 * "in" is what the server shall have as its standard input, -1 for nothing; "err"
 * where its messages go, -1 for our own.
 */
static void
start_probe(const HaNode *node, const char *data_dir, const char *config_file,
			int in, int err, HaProbe *probe)
{
	char		config_option[MAXPGPATH + 32];
	const char *argv[] = {
		"postgres", "-C", probe->name, "-D", data_dir,
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
	probe->pid = ha_program_fork();
	if (probe->pid == 0)
	{
		/* Who takes the messages wants to understand them. */
		if (err >= 0 &&
			(dup2(err, STDERR_FILENO) < 0 || setenv("LC_ALL", "C", 1) != 0))
			_exit(127);
		ha_program_exec(node, argv, in, out[1]);
	}
	close(out[1]);
	probe->fd = out[0];
}

/* The line that it printed; false: there is none, or it is too long. */
static bool
read_value(HaProbe *probe)
{
	size_t		length = 0;

	if (probe->fd >= 0)
	{
		length = ha_read_all(probe->fd, probe->value, sizeof(probe->value));
		close(probe->fd);
	}
	if (length == 0 || probe->value[length - 1] != '\n')
		return false;
	probe->value[length - 1] = '\0';
	return true;
}

static bool
finish_probe(HaProbe *probe)
{
	bool		has_value = read_value(probe);

	if (probe->pid <= 0 || !ha_program_wait(probe->pid, "postgres -C"))
		return false;
	if (!has_value)
		pg_log_error("the value of \"%s\" is too long", probe->name);
	return has_value;
}

bool
ha_probe_settings(const HaNode *node, const char *config_file, HaProbe *probes,
				  int nprobes)
{
	bool		ok = true;

	for (int i = 0; i < nprobes; i++)
		start_probe(node, node->data_dir, config_file, -1, -1, &probes[i]);
	for (int i = 0; i < nprobes; i++)
	{
		if (!finish_probe(&probes[i]))
			ok = false;
	}
	if (!ok)
		pg_log_error_hint("The messages of the server above tell why.");
	return ok;
}

static void
append_all(int fd, PQExpBuffer text)
{
	char		buf[4096];
	ssize_t		n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		appendBinaryPQExpBuffer(text, buf, n);
}

/*
 * The server reads the text as its standard input, by a path that every process
 * opens anew and so from its beginning.  All servers say the same, so one is
 * listened to.
 */
bool
ha_probe_text(const HaNode *node, const char *data_dir,
			  const char *configuration, HaProbe *probes, int nprobes,
			  PQExpBuffer said)
{
	int			file = ha_nameless_file(configuration);
	int			nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int			err[2];
	bool		ok = file >= 0 && nowhere >= 0 && pipe(err) == 0;

	if (ok)
	{
		for (int i = 0; i < nprobes; i++)
			start_probe(node, data_dir, "/proc/self/fd/0", file,
						i == 0 ? err[1] : nowhere, &probes[i]);
		close(err[1]);
		append_all(err[0], said);
		close(err[0]);
		for (int i = 0; i < nprobes; i++)
		{
			int			status = -1;

			if (!read_value(&probes[i]))
				ok = false;
			if (probes[i].pid <= 0 ||
				waitpid(probes[i].pid, &status, 0) != probes[i].pid ||
				status != 0)
				ok = false;
		}
	}
	if (file >= 0)
		close(file);
	if (nowhere >= 0)
		close(nowhere);
	return ok;
}

int
ha_probe_limits(const HaNode *node, char settings[][HA_LIMIT_SIZE])
{
	static const char *const names[HA_LIMITS] = {
		"max_connections", "max_worker_processes", "max_wal_senders",
		"max_prepared_transactions", "max_locks_per_transaction"
	};
	static HaProbe probes[HA_LIMITS];
	PQExpBufferData conf;
	PQExpBufferData said;
	bool		ok;

	for (int i = 0; i < HA_LIMITS; i++)
		probes[i].name = names[i];
	initPQExpBuffer(&conf);
	initPQExpBuffer(&said);
	ha_append_setting(&conf, "include", node->path);
	ok = !PQExpBufferDataBroken(conf) &&
		ha_probe_text(node, node->data_dir, conf.data, probes, HA_LIMITS, &said);
	for (int i = 0; ok && i < HA_LIMITS; i++)
		snprintf(settings[i], HA_LIMIT_SIZE, "%s=%.16s", names[i],
				 probes[i].value);
	termPQExpBuffer(&conf);
	termPQExpBuffer(&said);
	return ok ? HA_LIMITS : 0;
}
