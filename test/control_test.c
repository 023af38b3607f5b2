/*-------------------------------------------------------------------------
 *
 * control_test.c
 *	  The control block between processes that die at bad moments.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../control.h"

#define STRESS_KILLS	100

static int	ntests;
static int	nfailed;
static char dir[64];			/* holds everything this test makes */
static char state[128];			/* the state directory */
static char file[256];			/* the control file in it */
static char err[256];

static void
check(bool ok, int line, const char *what)
{
	ntests++;
	if (!ok)
		nfailed++;
	printf("%sok %d - %s\n", ok ? "" : "not ", ntests, what);
	if (!ok)
		printf("# at line %d, last error \"%s\"\n", line, err);
	fflush(stdout);
}

#define OK(condition, what) check((condition), __LINE__, what)

static HaControl *
must_open(void)
{
	HaControl  *control = ha_control_open(state, true, err, sizeof(err));

	if (control == NULL)
	{
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return control;
}

static HaControl *
try_open(bool create)
{
	err[0] = '\0';
	return ha_control_open(state, create, err, sizeof(err));
}

/* Find a value in the file, overwrite it there; its offset, or -1. */
static long
patch_file(const void *find, const void *put, size_t size)
{
	char		buf[65536];
	int			fd = open(file, O_RDWR);
	ssize_t		n = read(fd, buf, sizeof(buf));
	long		found = -1;

	for (ssize_t i = 0; i + (ssize_t) size <= n && found < 0; i++)
	{
		if (memcmp(buf + i, find, size) == 0)
			found = i;
	}
	if (found >= 0 && pwrite(fd, put, size, found) != (ssize_t) size)
		found = -1;
	close(fd);
	return found;
}

static void
test_open(void)
{
	HaControl  *control;
	HaControl  *other;
	HaControlWorker w;
	struct stat st;

	OK(try_open(false) == NULL && err[0] != '\0',
	   "nothing is made unless asked for");
	control = must_open();
	OK(stat(state, &st) == 0 && (st.st_mode & 07777) == 0700,
	   "the directory has mode 0700");
	OK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600,
	   "the file has mode 0600");
	OK(!ha_control_get_worker(control, &w) && w.pid == 0,
	   "a section never written is unknown");
	OK(ha_control_get_deadline(control) == 0, "the first deadline is 0");

	ha_control_set_deadline(control, INT64_C(0x123456789abcdef));
	other = must_open();
	OK(ha_control_get_deadline(other) == INT64_C(0x123456789abcdef),
	   "a deadline reaches who opens the file later");
	ha_control_set_deadline(other, 7);
	OK(ha_control_get_deadline(control) == 7, "and the other way round");

	OK(ha_control_starts(control, 4711) == 0, "no start is noted at first");
	ha_control_note_start(control, 4711);
	ha_control_note_start(control, 4711);
	OK(ha_control_starts(other, 4711) == 2, "starts are counted");
	OK(ha_control_starts(other, 4712) == 0, "those of another are not known");
	ha_control_note_start(control, 4712);
	OK(ha_control_starts(other, 4712) == 1 &&
	   ha_control_starts(other, 4711) == 0, "each postmaster begins anew");
	ha_control_close(other);
	ha_control_close(control);
	ha_control_close(NULL);
}

static void
test_sections(void)
{
	HaControl  *control = must_open();
	HaControlWorker w = {0};
	HaControlLease l = {0};
	HaControlBoot b = {0};
	HaControlWorker w2;
	HaControlLease l2;
	HaControlBoot b2;

	w.pid = 42;
	w.want = HA_WANT_REWIND;
	l.owner = HA_LEASE_BOOT;
	l.lease = 99;
	l.term = 3;
	b.pid = 43;
	b.supervising = true;
	snprintf(w.leader, sizeof(w.leader), "n1");
	memset(w.why, 'x', sizeof(w.why));	/* without an end */
	ha_control_set_worker(control, &w);
	ha_control_set_lease(control, &l);
	ha_control_set_boot(control, &b);
	OK(ha_control_get_worker(control, &w2) && w2.pid == 42 &&
	   w2.want == HA_WANT_REWIND && strcmp(w2.leader, "n1") == 0,
	   "the worker's section comes back");
	OK(strlen(w2.why) == sizeof(w2.why) - 1, "strings are ended by the reader");
	OK(ha_control_get_lease(control, &l2) && l2.lease == 99 && l2.term == 3 &&
	   l2.owner == HA_LEASE_BOOT, "the lease's section comes back");
	OK(ha_control_get_boot(control, &b2) && b2.pid == 43 && b2.supervising,
	   "pg_ha_boot's section comes back");
	ha_control_close(control);
}

/* A writer died between making the number odd and making it even. */
static void
test_dead_writer(void)
{
	HaControl  *control = must_open();
	HaControlLease l = {.lease = INT64_C(0x0102030405060708)};
	HaControlLease l2;
	uint64_t	seq[2];
	uint64_t	odd[2];
	char		block[sizeof(seq) + sizeof(l)];
	long		at;
	int			fd;

	/* The number stands before the section: find the section, step back. */
	ha_control_set_lease(control, &l);
	at = patch_file(&l, &l, sizeof(l)) - (long) sizeof(seq[0]);
	fd = open(file, O_RDWR);
	OK(at > 0 && pread(fd, block, sizeof(block), at) == sizeof(block),
	   "the section's number is found in the file");
	memcpy(&seq[0], block, sizeof(seq[0]));
	OK(seq[0] != 0 && seq[0] % 2 == 0, "and it is even");

	odd[0] = seq[0] + 1;
	if (pwrite(fd, &odd[0], sizeof(odd[0]), at) != sizeof(odd[0]))
		at = -1;
	OK(at > 0 && !ha_control_get_lease(control, &l2) && l2.lease == 0,
	   "a section whose writer died is unknown");
	l.lease = 5;
	ha_control_set_lease(control, &l);
	OK(ha_control_get_lease(control, &l2) && l2.lease == 5,
	   "until the next writer has come");
	OK(pread(fd, &seq[1], sizeof(seq[1]), at) == sizeof(seq[1]) &&
	   seq[1] > odd[0] && seq[1] % 2 == 0, "with a new, even number");
	close(fd);
	ha_control_close(control);
}

/* Write sections whose fields all tell the same number, until killed. */
static void
write_for_ever(void)
{
	HaControl  *control = must_open();
	HaControlWorker w;

	memset(&w, 0, sizeof(w));
	for (uint64_t i = 1;; i++)
	{
		w.pid_start = w.postmaster_start = w.flush_lsn = i;
		w.replay_lsn = w.sysid = w.discarded_bytes = i;
		ha_control_set_worker(control, &w);
	}
}

/*
 * One writer after the other is killed in mid-work; a reader sees no mixture.
 */
static void
test_stress(void)
{
	HaControl  *control = must_open();
	HaControlWorker w;
	int			nread = 0;
	int			nmixed = 0;

	for (int i = 0; i < STRESS_KILLS; i++)
	{
		int64_t		kill_at = ha_now() + 5;
		pid_t		pid = fork();

		if (pid == 0)
			write_for_ever();
		while (ha_now() < kill_at)
		{
			if (!ha_control_get_worker(control, &w))
				continue;
			nread++;
			if (w.pid_start != w.discarded_bytes || w.sysid != w.flush_lsn ||
				w.pid_start != w.sysid)
				nmixed++;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	printf("# %d writers killed, %d sections read\n", STRESS_KILLS, nread);
	OK(nread > 0, "sections are read under writers that die");
	OK(nmixed == 0, "no section was ever a mixture of two");
	memset(&w, 0, sizeof(w));
	w.pid = 4711;
	ha_control_set_worker(control, &w);
	OK(ha_control_get_worker(control, &w) && w.pid == 4711,
	   "the next writer makes it whole again");
	ha_control_close(control);
}

/* Many open it at the same time: all must map the same file. */
static void
test_race(void)
{
	HaControl  *control;
	int			status;
	int			nfaults = 0;

	for (int round = 0; round < 20; round++)
	{
		unlink(file);
		for (int i = 1; i <= 8; i++)
		{
			if (fork() == 0)
			{
				control = must_open();
				while (ha_control_get_deadline(control) != i - 1)
					usleep(100);
				ha_control_set_deadline(control, i);
				_exit(0);
			}
		}
		alarm(20);				/* with two files, nobody would go on */
		while (wait(&status) > 0)
			nfaults += status != 0;
		alarm(0);
	}
	OK(nfaults == 0, "processes that open it at once share one file");
}

static void
test_other_boot(void)
{
	static const char other_boot[] = "00000000-0000-0000-0000-000000000000";
	char		boot[64] = "";
	FILE	   *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	HaControl  *control = must_open();
	HaControlWorker w = {.pid = 1};

	if (f != NULL && fgets(boot, sizeof(boot), f) != NULL)
		boot[strcspn(boot, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	ha_control_set_deadline(control, ha_now() + 1000000);
	ha_control_set_worker(control, &w);
	ha_control_close(control);
	OK(patch_file(boot, other_boot, strlen(other_boot)) > 0,
	   "the file names its boot");

	OK(try_open(false) == NULL, "one of another boot is not used");
	control = must_open();
	OK(ha_control_get_deadline(control) == 0 &&
	   !ha_control_get_worker(control, &w),
	   "and is replaced by an empty one, since its clock was another");
	ha_control_close(control);
}

/*
 * Another version may have other sections.  Its file is kept from us while anybody
 * maps it, also if that one has closed the file, and replaced when nobody does.
 */
static void
test_other_version(void)
{
	HaControl  *control = must_open();
	HaControlBoot b = {.pid = 1};
	uint32_t	version;
	uint32_t	other;
	int			fd = open(file, O_RDWR);
	int			ready[2];
	char		byte;
	pid_t		pid;

	OK(pipe(ready) == 0, "a pipe");
	OK(!ha_control_is_replacement(control), "a new file replaces nothing");
	OK(pread(fd, &version, sizeof(version), 8) == sizeof(version),
	   "the version stands behind the magic number");
	pid = fork();
	if (pid == 0)
	{
		HaControl  *mine = must_open();

		ha_control_set_deadline(mine, 99);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	OK(pid > 0 && read(ready[0], &byte, 1) == 1 &&
	   ha_control_get_deadline(control) == 99, "another process maps it");
	close(ready[0]);
	other = version + 1;
	OK(pwrite(fd, &other, sizeof(other), 8) == sizeof(other) &&
	   try_open(true) == NULL &&
	   strstr(err, "which still runs here") != NULL,
	   "one of another version is refused while two map it");
	ha_control_close(control);
	OK(try_open(true) == NULL, "and while one does");
	if (pid > 0)
	{
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	OK(try_open(false) == NULL &&
	   strstr(err, "another version") != NULL &&
	   pread(fd, &version, sizeof(version), 8) == sizeof(version) &&
	   version == other, "who creates nothing replaces nothing");
	control = try_open(true);
	OK(control != NULL && ha_control_get_deadline(control) == 0 &&
	   ha_control_is_replacement(control),
	   "it is replaced by an empty one when nobody does");
	if (control != NULL)
	{
		ha_control_set_boot(control, &b);
		OK(!ha_control_is_replacement(control),
		   "which is told to the first pg_ha_boot only");
		ha_control_close(control);
	}
	close(fd);
}

static void
test_refusals(void)
{
	struct stat st;
	uint64_t	magic;
	uint64_t	no_magic = 1;
	int			fd;

	chmod(state, 0770);
	OK(try_open(true) == NULL, "a directory that the group can write is refused");
	chmod(state, 0707);
	OK(try_open(true) == NULL, "and one that others can write");
	chmod(state, 0700);

	chmod(file, 0620);
	OK(try_open(true) == NULL, "a file that the group can write is refused");
	chmod(file, 0600);

	fd = open(file, O_RDONLY);
	if (read(fd, &magic, sizeof(magic)) != sizeof(magic) ||
		fstat(fd, &st) != 0)
		magic = 0;
	close(fd);
	patch_file(&magic, &no_magic, sizeof(magic));
	OK(try_open(true) == NULL, "a file of another kind is refused");
	patch_file(&no_magic, &magic, sizeof(magic));
	test_other_version();
	OK(truncate(file, st.st_size - 8) == 0 && try_open(true) == NULL,
	   "a file that is too short is refused");
	unlink(file);
	OK(symlink("/dev/zero", file) == 0 && try_open(true) == NULL,
	   "a symbolic link is refused");
	unlink(file);

	if (geteuid() == 0)
	{
		OK(chown(state, 12345, 0) == 0 && try_open(true) == NULL,
		   "somebody else's directory is refused");
		if (chown(state, 0, 0) != 0)
			printf("# could not give the directory back\n");
	}
	ha_control_close(must_open());
}

/* A child that waits for its end under a name made to confuse. */
static pid_t
start_confusing_process(void)
{
	int			ready[2];
	char		c;
	pid_t		pid;

	if (pipe(ready) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
	{
		prctl(PR_SET_NAME, "a) Z (b 1 2 3)");
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static void
test_processes(void)
{
	uint64_t	mine = ha_process_start_time(getpid());
	pid_t		pid = start_confusing_process();
	uint64_t	start = ha_process_start_time(pid);
	siginfo_t	info;

	OK(mine != 0 && ha_process_is_alive(getpid(), mine), "we are alive");
	OK(!ha_process_is_alive(getpid(), mine + 1),
	   "our pid with another start time is somebody else");
	OK(!ha_process_is_alive(getpid(), 0), "start time 0 names nobody");
	OK(ha_process_start_time(0) == 0 && ha_process_start_time(-1) == 0 &&
	   ha_process_start_time(0x7ffffff) == 0, "no process, no start time");
	OK(start >= mine && start < mine + 6000 && ha_process_is_alive(pid, start),
	   "a command name with blanks and parentheses does not confuse");

	kill(pid, SIGSTOP);
	OK(ha_process_is_alive(pid, start), "a stopped process is alive");
	kill(pid, SIGKILL);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	OK(ha_process_start_time(pid) == 0 && !ha_process_is_alive(pid, start),
	   "a zombie is dead");
	waitpid(pid, NULL, 0);
	OK(!ha_process_is_alive(pid, start), "and stays so when it is reaped");
}

static void
test_clock(void)
{
	struct timespec ts;
	int64_t		before = ha_now();

	clock_gettime(CLOCK_BOOTTIME, &ts);
	OK(before > 0 && ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - before < 1000,
	   "the clock is CLOCK_BOOTTIME in milliseconds");
}

int
main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/control_test.XXXXXX");
	if (mkdtemp(dir) == NULL)
	{
		printf("Bail out! could not make a directory: %s\n", strerror(errno));
		return 1;
	}
	snprintf(state, sizeof(state), "%s/data.pg_ha", dir);
	snprintf(file, sizeof(file), "%s/control", state);

	test_open();
	test_sections();
	test_dead_writer();
	test_stress();
	test_race();
	test_other_boot();
	test_refusals();
	test_processes();
	test_clock();

	unlink(file);
	rmdir(state);
	rmdir(dir);
	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
