/*-------------------------------------------------------------------------
 *
 * postmaster.c
 *	  The processes of the server: start, find, signal, and end every one.
 *
 * Two questions decide whether somebody loses an order: is a postmaster of
 * this data directory alive (then a second one must not be started, and its
 * leader key not be given away), and is any backend of a dead one left (then
 * it may still acknowledge commits).
 *
 * The first is answered by the control block's pid and start time, which name
 * a process for ever, or by postmaster.pid if the process it names works in
 * our data directory.  Names and command lines are never looked at.
 *
 * The second is answered by the kernel.  A child subreaper becomes the parent
 * of every descendant whose own parent dies, in the same step in which that
 * parent becomes a zombie.  So once waitpid() has told us of the postmaster's
 * end, its orphans are our children; and a child keeps its pid until we reap
 * it, so killing our children by pid can't hit anybody else.
 *
 * A postmaster that an earlier pg_ha_boot started is no child of ours.  It is
 * watched through a pidfd, and its orphans are found by the shared memory that
 * they are attached to.  That is good enough to get rid of them, for no server
 * starts while one is left, but no proof that there is none: the caller then has
 * to wait for the lease's deadline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "../dcs.h"
#include "callbacks.h"
#include "postmaster.h"
#include "processes.h"

/* glibc 2.36 is the first to wrap these. */
static int
pidfd_open_process(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static int
pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

bool
ha_postmaster_adopt_orphans(void)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
		return true;
	pg_log_error("could not become the parent of orphaned processes: %m");
	return false;
}

/*
 * Starting.
 */

/* Nothing that pg_ha_boot has open is any business of the server. */
static void
close_our_files(void)
{
	long		max;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3, ~0U, 0) == 0)
		return;
#endif
	max = sysconf(_SC_OPEN_MAX);
	for (int fd = 3; fd < (max > 0 ? max : 1024); fd++)
		close(fd);
}

/* In the child: become the server, with nothing of ours left on. */
static void
become_postmaster(const char *program, const char *const *argv)
{
	static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2,
	SIGCHLD, SIGPIPE};
	const char *complaint = ": could not be executed\n";
	sigset_t	none;

	for (int i = 0; i < lengthof(handled); i++)
		signal(handled[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* Ctrl-C at a terminal is for pg_ha_boot, which then stops us in order. */
	setsid();
	close_our_files();
	execv(program, (char *const *) argv);

	/* Just write(): another thread may have held a lock at the fork. */
	if (write(STDERR_FILENO, program, strlen(program)) < 0 ||
		write(STDERR_FILENO, complaint, strlen(complaint)) < 0)
		_exit(127);
	_exit(127);
}

bool
ha_postmaster_start(HaPostmaster *pm, const HaNode *node,
					const HaPrepared *prepared)
{
	char		program[HA_PATH_SIZE + 16];
	char		libraries_option[sizeof(prepared->libraries) + 32];
	const char *argv[5 + 2 * HA_NUM_LIMITS + 1] = {program, "-D", node->data_dir,
	"-c", libraries_option};
	char		grandparent[32];
	pid_t		pid;

	snprintf(program, sizeof(program), "%s/postgres", node->bin_dir);
	snprintf(libraries_option, sizeof(libraries_option),
			 "shared_preload_libraries=%s", prepared->libraries);
	for (int i = 0, n = 5; i < HA_NUM_LIMITS && prepared->limits[i][0] != '\0'; i++)
	{
		argv[n++] = "-c";
		argv[n++] = prepared->limits[i];
	}

	/*
	 * In a container a stale postmaster.pid may well name the pid that we or
	 * our parent have now.  The server knows that its parent is no server;
	 * for its grandparent it looks here, as pg_ctl tells it.
	 */
	snprintf(grandparent, sizeof(grandparent), "%d", (int) getppid());
	setenv("PG_GRANDPARENT_PID", grandparent, 1);

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_postmaster(program, argv);
	if (pid < 0)
	{
		pg_log_error("could not fork to start the server: %m");
		return false;
	}
	pm->pid = pid;
	pm->start = ha_process_start_time(pid);
	pm->child = true;
	pm->pidfd = -1;
	return true;
}

/*
 * Finding one that runs.
 */

int
ha_postmaster_pid_file(const HaNode *node, HaPidFile lines)
{
	char		path[HA_PATH_SIZE + 32];
	FILE	   *file;
	int			n = 0;

	snprintf(path, sizeof(path), "%s/postmaster.pid", node->data_dir);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	while (n < LOCK_FILE_LINE_PM_STATUS &&
		   fgets(lines[n + 1], MAXPGPATH, file) != NULL)
	{
		n++;
		lines[n][strcspn(lines[n], "\r\n")] = '\0';
	}
	fclose(file);
	return n;
}

/* The pid in postmaster.pid, also of a --single one; 0 = no such file. */
static pid_t
read_pid(const HaNode *node)
{
	HaPidFile	lines;
	long		pid = 0;

	if (ha_postmaster_pid_file(node, lines) >= LOCK_FILE_LINE_PID)
		pid = strtol(lines[LOCK_FILE_LINE_PID], NULL, 10);
	pid = labs(pid);			/* negative is a --single one */
	return pid <= INT_MAX ? (pid_t) pid : 0;
}

static bool
find_running(const HaNode *node, const HaControl *control, pid_t *pid,
			 uint64_t *start)
{
	HaControlWorker w;

	/* True even where somebody removed postmaster.pid or moved PGDATA. */
	if (control != NULL && ha_control_get_worker(control, &w) &&
		w.postmaster_pid > 0 &&
		ha_process_is_alive(w.postmaster_pid, w.postmaster_start))
	{
		*pid = w.postmaster_pid;
		*start = w.postmaster_start;
		return true;
	}

	*pid = read_pid(node);
	if (*pid == 0 || *pid == getpid() || !ha_process_works_in(*pid, node->data_dir))
		return false;
	*start = ha_process_start_time(*pid);
	return *start != 0;
}

bool
ha_postmaster_attach(HaPostmaster *pm, const HaNode *node,
					 const HaControl *control)
{
	pid_t		pid;
	uint64_t	start;
	int			pidfd;

	if (!find_running(node, control, &pid, &start))
		return false;
	pidfd = pidfd_open_process(pid);
	if (pidfd < 0)
		return false;

	/* The pid may have passed to somebody else before the pidfd held it. */
	if (!ha_process_is_alive(pid, start))
	{
		close(pidfd);
		return false;
	}
	pm->pid = pid;
	pm->start = start;
	pm->child = false;
	pm->pidfd = pidfd;
	return true;
}

bool
ha_postmaster_runs(const HaNode *node)
{
	HaPostmaster pm = {.pidfd = -1};
	char		err[HA_ERROR_SIZE];
	HaControl  *control = ha_control_open(node->state_dir, true, err,
										  sizeof(err));
	bool		runs;

	if (control == NULL)
	{
		pg_log_error("could not open the control block in \"%s\": %s",
					 node->state_dir, err);
		return true;
	}
	runs = ha_postmaster_attach(&pm, node, control);
	if (runs)
	{
		pg_log_error("P06 server already runs on \"%s\" (pid %d)",
					 node->data_dir, (int) pm.pid);
		pg_log_error_hint("Stop it first.");
		ha_postmaster_forget(&pm);
	}
	ha_control_close(control);
	return runs;
}

bool
ha_postmaster_has_ended(const HaPostmaster *pm)
{
	struct pollfd pfd = {.fd = pm->pidfd,.events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

void
ha_postmaster_forget(HaPostmaster *pm)
{
	if (pm->pidfd >= 0)
		close(pm->pidfd);
	pm->pid = 0;
	pm->pidfd = -1;
}

/*
 * Signalling and ending.
 */

void
ha_postmaster_signal(const HaPostmaster *pm, int signo)
{
	int			rc;

	if (pm->pid <= 0)
		return;
	rc = pm->child ? kill(pm->pid, signo) : pidfd_signal(pm->pidfd, signo);
	if (rc != 0 && errno != ESRCH)
		pg_log_error("could not send signal %d to the server (PID %d): %m",
					 signo, (int) pm->pid);
}

/* Parent and state of a process; false if it is gone. */
static bool
look_at_process(pid_t pid, pid_t *parent, char *state)
{
	char		path[64];
	char		buf[512];
	char	   *after_name;
	int			ppid;
	ssize_t		length;
	int			fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (length <= 0)
		return false;
	buf[length] = '\0';

	/* The name stands in parentheses and may contain any of them itself. */
	after_name = strrchr(buf, ')');
	if (after_name == NULL || sscanf(after_name + 1, " %c %d", state,
									 &ppid) != 2)
		return false;
	*parent = ppid;
	return true;
}

/* The next process of an open /proc that is a live child of "parent"; 0 = end. */
static pid_t
next_child(DIR *proc, pid_t parent)
{
	struct dirent *entry;

	while ((entry = readdir(proc)) != NULL)
	{
		pid_t		pid = atoi(entry->d_name);
		pid_t		its_parent;
		char		state;

		if (pid > 0 && look_at_process(pid, &its_parent, &state) &&
			its_parent == parent && state != 'Z' && state != 'X')
			return pid;
	}
	return 0;
}

void
ha_postmaster_kill_tree(const HaPostmaster *pm)
{
	DIR		   *proc;
	pid_t		pid;

	/* Stopped first, so that it neither forks nor reaps while we look. */
	ha_postmaster_signal(pm, SIGSTOP);
	proc = opendir("/proc");
	while (proc != NULL && (pid = next_child(proc, pm->pid)) != 0)
	{
		int			pidfd = pidfd_open_process(pid);
		pid_t		parent;
		char		state;

		if (pidfd < 0)
			continue;
		if (look_at_process(pid, &parent, &state) && parent == pm->pid)
			pidfd_signal(pidfd, SIGKILL);
		close(pidfd);
	}
	if (proc != NULL)
		closedir(proc);
	ha_postmaster_signal(pm, SIGKILL);
}

int
ha_children_kill(pid_t spare)
{
	DIR		   *proc = opendir("/proc");
	pid_t		pid;
	int			found = 0;

	if (proc == NULL)
	{
		pg_log_error("could not look for processes of the old server: %m");
		return 1;				/* for all we know */
	}
	while ((pid = next_child(proc, getpid())) != 0)
	{
		if (ha_callbacks_own(pid))
			continue;
		found++;
		if (pid != spare)
			kill(pid, SIGKILL);
	}
	closedir(proc);
	return found;
}

/* The id of the segment that postmaster.pid names; 0 = not known. */
static uint64_t
read_segment(const HaNode *node)
{
	HaPidFile	lines;
	unsigned long key = 0;
	unsigned long id = 0;

	/* one that somebody runs with --single is no orphan */
	if (ha_postmaster_pid_file(node, lines) < LOCK_FILE_LINE_SHMEM_KEY ||
		lines[LOCK_FILE_LINE_PID][0] == '-' ||
		sscanf(lines[LOCK_FILE_LINE_SHMEM_KEY], "%lu %lu", &key, &id) != 2)
		return 0;
	return id;
}

/* Every process of a server has its data directory as working directory. */
static bool
is_orphan(pid_t pid, const HaNode *node, uint64_t segment)
{
	return pid != getpid() && ha_process_works_in(pid, node->data_dir) &&
		ha_process_has_segment(pid, segment);
}

int
ha_orphans_kill(const HaNode *node)
{
	uint64_t	segment = read_segment(node);
	struct dirent *entry;
	int			found = 0;
	DIR		   *proc = segment != 0 ? opendir("/proc") : NULL;

	while (proc != NULL && (entry = readdir(proc)) != NULL)
	{
		pid_t		pid = atoi(entry->d_name);
		int			pidfd;

		if (pid <= 0 || !is_orphan(pid, node, segment))
			continue;
		found++;
		pidfd = pidfd_open_process(pid);
		if (pidfd < 0)
			continue;

		/* It may have been another's pid before the pidfd held it. */
		if (is_orphan(pid, node, segment))
			pidfd_signal(pidfd, SIGKILL);
		close(pidfd);
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}
