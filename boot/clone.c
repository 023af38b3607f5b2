/*-------------------------------------------------------------------------
 *
 * clone.c
 *	  Fill the data directory with a copy of the cluster's data.
 *
 * One child tries the methods in their order.  What a method says of itself is not
 * believed: only a data directory of this cluster is a clone.  And none is believed
 * before its child is gone and the caller has removed the marker, so a kill at any
 * moment leaves either no clone or a whole one.
 *
 * Before the first method begins, the leader has made this member's slot: from then
 * on it keeps all WAL that the new standby will ask for, however long the copying
 * takes, and the standby finds the slot when it comes.  A standby that is copied must
 * have come to where the slot begins, or there could be a gap between what the copy
 * has and what the leader keeps.  pg_basebackup does not use that slot itself: who
 * holds it is taken for a standby that confirms commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "../control.h"
#include "aside.h"
#include "clone.h"
#include "clone_config.h"
#include "datadir.h"
#include "programs.h"
#include "remote_source.h"

#define PROGRESS_EVERY		10000	/* ms between two lines of the log */
#define DRAIN_AFTER			200 /* ms for what a dead method has left to say */

/* What the loop sees of the child; two words of which each stands for itself. */
typedef struct Progress
{
	volatile int32 method;		/* in the list; -1 = none yet */
	volatile int32 percent;
} Progress;

static Progress *progress = NULL;

/* What a method prints, as it comes. */
typedef struct Output
{
	const HaCloneMethod *method;
	const char *source;
	int			fd;
	size_t		n;
	char		line[1024];
	char		last[256];		/* line that was no progress */
	int64_t		told_at;
} Output;

/*
 * Output.
 */

/* "  12345/67890 kB (18%), 0/1 tablespace" */
static bool
take_progress(Output *out)
{
	long long	done;
	long long	total;
	int			percent;

	if (out->method->program[0] != '\0' ||
		sscanf(out->line, " %lld/%lld kB (%d%%)", &done, &total, &percent) != 3)
		return false;
	progress->percent = Min(Max(percent, 0), 100);
	if (out->told_at == 0 || ha_now() - out->told_at >= PROGRESS_EVERY)
	{
		out->told_at = ha_now();
		pg_log_info("cloning from \"%s\": %d%%, %lld of %lld MB", out->source,
					percent, done / 1024, total / 1024);
	}
	return true;
}

static void
end_line(Output *out)
{
	out->line[out->n] = '\0';
	out->n = 0;
	for (char *c = out->line; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	if (out->line[0] == '\0' || take_progress(out))
		return;
	strlcpy(out->last, out->line, sizeof(out->last));
	pg_log_info("clone method \"%s\": %s", out->method->name, out->line);
}

/* false: there will be no more. */
static bool
read_some(Output *out)
{
	char		buf[4096];
	ssize_t		n = read(out->fd, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	for (ssize_t i = 0; i < n; i++)
	{
		if (buf[i] == '\n' || out->n >= sizeof(out->line) - 1)
			end_line(out);
		if (buf[i] != '\n')
			out->line[out->n++] = buf[i];
	}
	return n > 0;
}

/*
 * Log what the method prints until it has ended; its status.  What it leaves running
 * may keep the pipe open, and is ended by our parent.
 */
static int
follow(pid_t pid, Output *out)
{
	struct pollfd pfd = {.fd = out->fd,.events = POLLIN};
	int			status = 0;
	int64_t		drained_at = 0; /* 0 = it has not ended */
	bool		open = true;

	while (open && (drained_at == 0 || ha_now() < drained_at))
	{
		if (poll(&pfd, 1, DRAIN_AFTER) > 0)
			open = read_some(out);
		if (drained_at == 0 && waitpid(pid, &status, WNOHANG) == pid)
			drained_at = ha_now() + DRAIN_AFTER;
	}
	if (out->n > 0)
		end_line(out);
	while (drained_at == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

/*
 * The methods.
 */

static void
run_basebackup(const HaNode *node, const HaSource *source, int out)
{
	char		host[HA_HOST_SIZE + 16];
	char		port[32];
	char		rate[64];
	char		wal_dir[HA_PATH_SIZE + 16];
	char		mappings[HA_CLONE_MAPPINGS][HA_TEXT_SIZE];
	char		options[HA_CLONE_MAPPINGS][HA_TEXT_SIZE + 32];
	const char *argv[17 + HA_CLONE_MAPPINGS] = {
		"pg_basebackup", "-D", node->data_dir, "-d", HA_SOURCE_KEEPALIVES,
		host, port, "-U", node->replication_user, "-X", "stream",
		"--checkpoint=fast", "--no-password", "-P"
	};
	int			n = 14;
	int			nmappings = ha_clone_mappings(node, mappings);

	snprintf(host, sizeof(host), "--host=%s", source->host);
	snprintf(port, sizeof(port), "--port=%d", source->port);
	snprintf(rate, sizeof(rate), "--max-rate=%s", node->clone_max_rate);
	snprintf(wal_dir, sizeof(wal_dir), "--waldir=%s", node->wal_dir);
	if (node->clone_max_rate[0] != '\0')
		argv[n++] = rate;
	if (node->wal_dir[0] != '\0')
		argv[n++] = wal_dir;
	for (int i = 0; i < nmappings; i++)
	{
		snprintf(options[i], sizeof(options[i]), "--tablespace-mapping=%s",
				 mappings[i]);
		argv[n++] = options[i];
	}
	argv[n] = NULL;
	ha_program_exec(node, argv, -1, out);
}

/* What it must know is in its environment, and nothing secret. */
static void
run_program(const HaNode *node, const HaCloneMethod *method,
			const HaSource *source, int out)
{
	const char *argv[] = {method->program, NULL};
	PQExpBufferData conninfo;

	initPQExpBuffer(&conninfo);
	if (source != NULL)
		ha_source_conninfo(node, source, &conninfo);
	if (PQExpBufferDataBroken(conninfo) ||
		setenv("PGDATA", node->data_dir, 1) != 0 ||
		setenv("PG_HA_SCOPE", node->scope, 1) != 0 ||
		setenv("PG_HA_NODE", node->name, 1) != 0 ||
		setenv("PG_HA_CONNINFO", conninfo.data, 1) != 0 ||
		setenv("PG_HA_ROLE", "replica", 1) != 0)
		_exit(1);
	ha_program_exec(node, argv, -1, out);
}

static void
tell_failure(const Output *out, int status)
{
	const char *colon = out->last[0] != '\0' ? ": " : "";

	if (WIFSIGNALED(status))
		pg_log_error("C01 clone method \"%s\" failed: killed by signal %d%s%s",
					 out->method->name, WTERMSIG(status), colon, out->last);
	else
		pg_log_error("C01 clone method \"%s\" failed: exit status %d%s%s",
					 out->method->name, WEXITSTATUS(status), colon, out->last);
	pg_log_error_hint("What it has said is in the lines above.");
}

/* Did the method's program end well?  Else that is told. */
static bool
run_method(const HaNode *node, const HaCloneMethod *method,
		   const HaSource *source)
{
	Output		out = {.method = method,.source = source ? source->name : ""};
	int			pipe_fds[2];
	int			status;
	pid_t		pid;

	if (pipe(pipe_fds) != 0)
	{
		pg_log_error("could not create pipe: %m");
		return false;
	}
	pid = ha_program_fork();
	if (pid == 0)
	{
		if (dup2(pipe_fds[1], STDERR_FILENO) < 0)
			_exit(1);
		ha_source_environment(node);
		if (method->program[0] != '\0')
			run_program(node, method, source, pipe_fds[1]);
		else if (source != NULL)
			run_basebackup(node, source, pipe_fds[1]);
		_exit(1);
	}
	close(pipe_fds[1]);
	out.fd = pipe_fds[0];
	status = pid > 0 ? follow(pid, &out) : -1;
	close(pipe_fds[0]);
	if (pid > 0 && status != 0)
		tell_failure(&out, status);
	return pid > 0 && status == 0;
}

/*
 * The judgement.
 */

/* While the marker stands, the facts are those of pg_control alone. */
static HaCloneResult
judge(const HaNode *node, const HaCloneMethod *method, uint64_t sysid)
{
	HaDataFacts facts;

	ha_datadir_facts(node, &facts);
	if (facts.sysid != 0 && (sysid == 0 || facts.sysid == sysid))
		return HA_CLONE_DONE;
	if (facts.sysid == 0)
	{
		pg_log_error("C01 clone method \"%s\" failed: it has left no data directory of PostgreSQL %s in \"%s\"",
					 method->name, PG_MAJORVERSION, node->data_dir);
		pg_log_error_hint("It ended with exit status 0, but PG_VERSION or global/pg_control is missing or of another version.");
		return HA_CLONE_FAILED;
	}
	pg_log_error("C03 clone method \"%s\" produced a data directory of another cluster: system identifier " UINT64_FORMAT ", cluster \"%s\" has " UINT64_FORMAT,
				 method->name, facts.sysid, node->scope, sysid);
	pg_log_error_hint("See from which backup it restores.  Its data is moved aside.");
	return HA_CLONE_FOREIGN;
}

/* pg_basebackup has synced what it wrote; of others we don't know. */
static bool
sync_data(const HaNode *node, const HaCloneMethod *method)
{
	const char *argv[] = {"initdb", "--sync-only", "-D", node->data_dir, NULL};

	return method->program[0] == '\0' || ha_program_run(node, argv);
}

/* A program finds an empty directory, as the server wants it to be. */
static bool
make_data_dir(const HaNode *node, const HaCloneMethod *method)
{
	if (method->program[0] == '\0' || mkdir(node->data_dir, 0700) == 0 ||
		errno == EEXIST)
		return true;
	pg_log_error("could not create directory \"%s\": %m", node->data_dir);
	return false;
}

static HaCloneResult
try_method(const HaNode *node, const HaCloneMethod *method,
		   const HaSource *source, uint64_t sysid)
{
	HaCloneResult result;

	if (!method->keep_data && !ha_aside_make_way(node))
		return HA_CLONE_FAILED;
	if (!ha_datadir_put_marker(node, method->program[0] != '\0' ?
							   HA_RESTORE_MARKER : HA_CLONE_MARKER) ||
		!make_data_dir(node, method))
		return HA_CLONE_FAILED;
	if (source != NULL)
		pg_log_info("cloning from \"%s\" at %s:%d by method \"%s\"",
					source->name, source->host, source->port, method->name);
	else
		pg_log_info("cloning without a leader by method \"%s\"", method->name);
	if (!run_method(node, method, source))
		return HA_CLONE_FAILED;
	result = judge(node, method, sysid);
	if (result == HA_CLONE_DONE && !sync_data(node, method))
		result = HA_CLONE_FAILED;
	if (result == HA_CLONE_FOREIGN && !ha_aside_make_way(node))
		result = HA_CLONE_FAILED;
	return result;
}

/*
 * The child.
 */

/* pg_basebackup never does without a leader, whatever a node file says. */
static bool
can_run(const HaCloneMethod *method, int i, bool leader, uint32_t skip)
{
	return (skip & (1U << i)) == 0 &&
		(leader || (method->no_leader && method->program[0] != '\0'));
}

/* Whom to copy, after the leader has made our slot. */
static const HaSource *
choose_source(const HaNode *node, const HaCloneOrder *order)
{
	uint64_t	lsn = 0;

	if (!ha_source_wait_for_slot(node, &order->leader, order->slot_patience,
								 &lsn))
	{
		pg_log_warning("leader \"%s\" has not made a replication slot for this member within %d s",
					   order->leader.name, (int) (order->slot_patience / 1000));
		pg_log_warning_hint("Its log may say why, max_replication_slots for one.");
	}
	if (strcmp(order->source.name, order->leader.name) == 0)
		return &order->leader;
	if (lsn != 0 && ha_source_wait_for_replay(node, &order->source, lsn,
											  order->slot_patience))
		return &order->source;
	pg_log_warning("standby \"%s\" is not where the leader's WAL for this member begins, so the leader is cloned",
				   order->source.name);
	return &order->leader;
}

static HaCloneResult
clone(const HaNode *node, const HaCloneOrder *order)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			n = ha_clone_methods(node, methods);
	const HaSource *source = NULL;
	HaSource	remote;
	uint32_t	timeline;
	bool		is_primary;
	HaCloneResult result = HA_CLONE_FAILED;

	if (order->remote.active && ha_remote_choose(node, &order->remote,
												 order->sysid, &remote,
												 &timeline, &is_primary))
		source = &remote;
	else if (!order->remote.active && order->has_leader)
		source = choose_source(node, order);

	for (int i = 0; i < n; i++)
	{
		HaCloneResult one;

		if (!can_run(&methods[i], i, source != NULL, order->skip))
			continue;
		progress->percent = 0;
		progress->method = i;
		one = try_method(node, &methods[i], source, order->sysid);
		if (one == HA_CLONE_DONE)
			return one;
		if (one == HA_CLONE_FOREIGN)
			result = one;
	}
	return result;
}

pid_t
ha_clone_start(const HaNode *node, const HaCloneOrder *order)
{
	pid_t		pid;

	if (progress == NULL)
	{
		progress = mmap(NULL, sizeof(Progress), PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (progress == MAP_FAILED)
		{
			progress = NULL;
			pg_log_error("could not map shared memory: %m");
			return -1;
		}
		progress->method = -1;
	}
	if (!ha_work_end_leftovers(node) ||
		(order->has_leader && (!ha_source_is_usable(&order->leader) ||
							   !ha_source_is_usable(&order->source))))
		return -1;
	progress->percent = 0;
	pid = ha_work_fork(node);
	if (pid == 0)
		_exit(clone(node, order));
	return pid;
}

/*
 * Questions of the loop.
 */

void
ha_clone_progress(const HaNode *node, char *method, size_t size, int *percent)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			i = progress != NULL ? progress->method : -1;

	method[0] = '\0';
	*percent = 0;
	if (i < 0 || i >= ha_clone_methods(node, methods))
		return;
	strlcpy(method, methods[i].name, size);
	*percent = progress->percent;
}

uint32_t
ha_clone_last_method(void)
{
	return progress != NULL && progress->method >= 0 ?
		1U << progress->method : 0;
}

bool
ha_clone_has_method(const HaNode *node, bool leader, uint32_t skip)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			n = ha_clone_methods(node, methods);

	for (int i = 0; i < n; i++)
	{
		if (can_run(&methods[i], i, leader, skip))
			return true;
	}
	return false;
}

uint32_t
ha_clone_all_but_basebackup(const HaNode *node)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			n = ha_clone_methods(node, methods);
	uint32_t	others = 0;

	for (int i = 0; i < n; i++)
		others |= methods[i].program[0] != '\0' ? 1U << i : 0;
	return others;
}

bool
ha_clone_keeps_data(const HaNode *node)
{
	HaCloneMethod methods[HA_CLONE_METHODS];

	return ha_clone_methods(node, methods) > 0 && methods[0].keep_data;
}

const char *
ha_clone_method_names(const HaNode *node, char *buf, size_t size)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			n = ha_clone_methods(node, methods);

	buf[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		strlcat(buf, i > 0 ? ", " : "", size);
		strlcat(buf, methods[i].name, size);
	}
	return buf;
}
