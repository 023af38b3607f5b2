/*-------------------------------------------------------------------------
 *
 * programs.c
 *	  Running PostgreSQL's programs as children, and ending what they leave.
 *
 * Programs are run with execv, never by a shell.  A child dies with
 * pg_ha_boot.  What it may leave behind (pg_basebackup's WAL receiver outlives
 * its parent) is found by a lock and killed before the next work begins, so no
 * clone of an earlier life writes into the next one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "files.h"
#include "programs.h"

/* Locked by whoever works on the directory; names the process group. */
#define WORK_LOCK			"work.lock"
#define WORK_LOCK_FD		3
#define KILL_TRIES			500
#define KILL_PAUSE_US		10000L

/*
 * Fork; 0 in the child, which then has no signal handler of ours and dies with
 * its parent.  It must leave by _exit or exec, so as not to run what
 * pg_ha_boot registered for its own exit.
 */
pid_t
ha_program_fork(void)
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
 * What ha_program_exec() closes: all but the standard files and the lock of the work.
 */
static int	first_fd_to_close = STDERR_FILENO + 1;

/*
 * The same for work on the data directory, in a process group of its own.  The
 * lock is inherited by every process of the work and held until the last of
 * them is gone.
 */
pid_t
ha_work_fork(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		text[16];
	pid_t		pid;
	int			fd;

	if (!ha_path_in(path, node->state_dir, WORK_LOCK))
		return -1;
	pid = ha_program_fork();
	if (pid > 0)
		setpgid(pid, pid);		/* whoever of the two comes first */
	if (pid != 0)
		return pid;

	setpgid(0, 0);
	snprintf(text, sizeof(text), "%d\n", (int) getpid());
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
		ftruncate(fd, 0) == 0 && ha_write_all(fd, text, strlen(text)) &&
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
bool
ha_work_end_leftovers(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		text[16];
	bool		is_free = false;
	int			fd;

	if (!ha_path_in(path, node->state_dir, WORK_LOCK))
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
bool
ha_program_wait(pid_t pid, const char *program)
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
 * Become the program argv[0], of bin_dir if it is a mere name, under its whole path, since
 * PostgreSQL's programs look for each other where they were called from.  What
 * it prints goes to our stderr unless out is given.  But for the lock of the
 * work, our sockets and files end here: a clone that outlived us must not keep
 * the HTTP port.
 */
void
ha_program_exec(const HaNode *node, const char **argv, int in, int out)
{
	char		path[MAXPGPATH];

	if (is_absolute_path(argv[0]))
		strlcpy(path, argv[0], sizeof(path));
	else if (!ha_path_in(path, node->bin_dir, argv[0]))
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
bool
ha_program_run(const HaNode *node, const char **argv)
{
	pid_t		pid = ha_program_fork();

	if (pid == 0)
		ha_program_exec(node, argv, -1, -1);
	return pid > 0 && ha_program_wait(pid, argv[0]);
}

/* In plain English, since somebody may have to make sense of it. */
int
ha_program_capture(const HaNode *node, const char **argv, int in,
				   PQExpBuffer said)
{
	char		buf[4096];
	int			out[2];
	int			status = -1;
	ssize_t		n;
	pid_t		pid;

	if (pipe(out) != 0)
		return -1;
	pid = ha_program_fork();
	if (pid == 0)
	{
		if (dup2(out[1], STDERR_FILENO) < 0 || setenv("LC_ALL", "C", 1) != 0)
			_exit(127);
		ha_program_exec(node, argv, in, out[1]);
	}
	close(out[1]);
	while ((n = read(out[0], buf, sizeof(buf))) > 0)
		appendBinaryPQExpBuffer(said, buf, n);
	close(out[0]);
	if (pid <= 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
