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
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/logging.h"

#include "files.h"
#include "programs.h"

/* Locked by whoever works on the directory; names the process group. */
#define WORK_LOCK			"work.lock"
#define WORK_LOCK_FD		3
#define KILL_TRIES			500
#define KILL_PAUSE_US		10000L

/* Who says nothing for so long (ms) is said to go on. */
#define SILENCE				10000

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
 * Become the program at this path.  What it prints goes to our stderr unless out
 * is given.  But for the lock of the work, our sockets and files end here: a clone
 * that outlived us must not keep the HTTP port.
 */
pg_noreturn static void
become(const char *path, const char **argv, int in, int out, int err)
{
	if (in < 0)
		in = open("/dev/null", O_RDONLY);
	if (dup2(in, STDIN_FILENO) < 0 ||
		dup2(out >= 0 ? out : STDERR_FILENO, STDOUT_FILENO) < 0 ||
		(err >= 0 && dup2(err, STDERR_FILENO) < 0) ||
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

/*
 * A mere name is one of bin_dir, under its whole path, since PostgreSQL's programs
 * look for each other where they were called from.
 */
static bool
find_program(const HaNode *node, const char *name, char *path)
{
	if (!is_absolute_path(name))
		return ha_path_in(path, node->bin_dir, name);
	strlcpy(path, name, MAXPGPATH);
	return true;
}

void
ha_program_exec(const HaNode *node, const char **argv, int in, int out)
{
	char		path[MAXPGPATH];

	if (!find_program(node, argv[0], path))
		_exit(127);
	become(path, argv, in, out, -1);
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

/*
 * Listening to a program.
 */

/* Of what a failed program says, its first complaint tells most. */
typedef struct Said
{
	char		line[256];		/* that, or the first line of all */
	bool		is_complaint;
} Said;

static void
note_line(const char *line, Said *said)
{
	static const char *const marks[] = {"error:", "ERROR:", "FATAL:", "PANIC:"};
	bool		complains = false;

	for (int i = 0; i < lengthof(marks); i++)
		complains |= strstr(line, marks[i]) != NULL;
	if (said->line[0] == '\0' || (complains && !said->is_complaint))
		strlcpy(said->line, line, sizeof(said->line));
	said->is_complaint |= complains;
}

static void
pass_on_line(const char *name, const char *line, Said *said)
{
	if (line[0] == '\0')
		return;
	pg_log_info("%s: %s", name, line);
	note_line(line, said);
}

/*
 * Wait for more to come.  One that is silent shall not be taken for one that hangs.
 */
static void
wait_for_output(int fd, const char *name, time_t begun)
{
	struct pollfd wait = {.fd = fd,.events = POLLIN};

	while (poll(&wait, 1, SILENCE) == 0)
		pg_log_info("%s: goes on, for %d s now", name,
					(int) (time(NULL) - begun));
}

/* Pass on what comes, line by line, each with the program's name. */
static void
pass_on(int fd, const char *name, Said *said)
{
	char		chunk[1024];
	char		line[1024];
	time_t		begun = time(NULL);
	size_t		n = 0;
	ssize_t		got;

	do
	{
		wait_for_output(fd, name, begun);
		got = read(fd, chunk, sizeof(chunk));
		for (ssize_t i = 0; i < got; i++)
		{
			bool		ends = chunk[i] == '\n' || chunk[i] == '\r';

			if (!ends)
				line[n++] = chunk[i];
			if (!ends && n < sizeof(line) - 1)
				continue;
			line[n] = '\0';
			pass_on_line(name, line, said);
			n = 0;
		}
	} while (got > 0 || (got < 0 && errno == EINTR));
	line[n] = '\0';
	pass_on_line(name, line, said);
	close(fd);
}

/*
 * A daemon that the program left behind may keep the pipe open, and is waited for
 * then: nobody else may work on the data directory either.
 */
bool
ha_program_listen(const HaNode *node, const char **argv, const char *name,
				  char *end, size_t size)
{
	char		path[MAXPGPATH];
	Said		said = {""};
	int			out[2];
	int			status = -1;
	pid_t		pid;
	char	   *text;

	if (!find_program(node, argv[0], path) || pipe2(out, O_CLOEXEC) != 0 ||
		(pid = ha_program_fork()) < 0)
	{
		snprintf(end, size, "could not be started");
		return false;			/* and the process ends */
	}
	if (pid == 0)
		become(path, argv, -1, out[1], out[1]);
	close(out[1]);
	pass_on(out[0], name, &said);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (status == 0)
		return true;
	text = WIFEXITED(status) ? psprintf("exit status %d", WEXITSTATUS(status)) :
		wait_result_to_str(status);
	snprintf(end, size, "%s%s%s", text, said.line[0] != '\0' ? ": " : "", said.line);
	pfree(text);
	return false;
}
