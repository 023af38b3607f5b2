/*-------------------------------------------------------------------------
 *
 * control.c
 *	  The control block: a small file that the worker and pg_ha_boot both map.
 *
 * Plain C.  Why it can be trusted:
 *
 * - A section is copied word by word with atomic loads and stores between two
 *	 looks at its sequence number, so a reader gets a whole section or none.  A
 *	 writer that died half way leaves the number odd: the section is unknown
 *	 until the next writer completes one.
 *
 * - All times in it are of CLOCK_BOOTTIME, and a deadline of ten days' uptime
 *	 would look like one far in the future to the next boot.  So the file names
 *	 the boot it was made in, and one of another boot is replaced by an empty
 *	 one.
 *
 * - Whoever opens it holds a lock on the directory meanwhile, so that nobody
 *	 maps a file that another one is about to replace.
 *
 * - One that another version of pg_ha has made is not read, since its sections may be
 *	 others.  It is replaced when nobody maps it any more, which a lock on the file
 *	 tells: a mapping keeps it, until the process has unmapped it or is dead.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

#define CONTROL_FILE		"control"
#define CONTROL_NEW_FILE	"control.new"
#define CONTROL_MAGIC		UINT64_C(0x6c7274635f616870)	/* "pha_ctrl" */
#define CONTROL_VERSION		9

/* Who maps a file of an earlier one does not tell so by a lock. */
#define FIRST_LOCKED_VERSION	8

/*
 * A write takes well below a microsecond, so a reader that still finds one
 * going on after some looks lets the writer have the processor in between.
 */
#define READ_TRIES			100
#define READ_SPINS			50

/* How long to wait for another process that is opening the file: 1 s. */
#define LOCK_TRIES			100
#define LOCK_PAUSE_NS		(10 * 1000 * 1000L)

/* Sections are copied in words, so they must consist of them. */
_Static_assert(sizeof(HaControlWorker) % sizeof(uint64_t) == 0, "whole words");
_Static_assert(sizeof(HaControlLease) % sizeof(uint64_t) == 0, "whole words");
_Static_assert(sizeof(HaControlBoot) % sizeof(uint64_t) == 0, "whole words");
_Static_assert(sizeof(HaControlQuestion) % sizeof(uint64_t) == 0,
			   "whole words");
_Static_assert(sizeof(HaControlPromise) % sizeof(uint64_t) == 0,
			   "whole words");

#define WORDS(type)			(sizeof(type) / sizeof(uint64_t))

/*
 * The file.  A sequence number is odd while its section is being written, and
 * 0 if it never was.
 */
struct HaControl
{
	uint64_t	magic;
	uint32_t	version;
	uint32_t	size;			/* of this struct; so far as every version */
	char		boot_id[40];	/* of the boot whose times these are */
	int64_t		deadline;
	uint64_t	starts;			/* a postmaster's pid << 32, and how many */
	uint64_t	replaces;		/* the version whose file was here before */

	uint64_t	worker_seq;
	uint64_t	worker[WORDS(HaControlWorker)];
	uint64_t	lease_seq;
	uint64_t	lease[WORDS(HaControlLease)];
	uint64_t	boot_seq;
	uint64_t	boot[WORDS(HaControlBoot)];
	uint64_t	question_seq;
	uint64_t	question[WORDS(HaControlQuestion)];
	uint64_t	promise_seq;
	uint64_t	promise[WORDS(HaControlPromise)];
};

/*
 * Sections.
 */

static void
write_section(uint64_t *seq, uint64_t *words, const void *value, size_t nwords)
{
	const char *from = value;
	uint64_t	before = __atomic_load_n(seq, __ATOMIC_RELAXED);
	uint64_t	odd = (before + 1) | 1; /* also if a dead writer left it odd */

	__atomic_store_n(seq, odd, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);	/* odd before any change */
	for (size_t i = 0; i < nwords; i++)
	{
		uint64_t	word;

		memcpy(&word, from + i * sizeof(word), sizeof(word));
		__atomic_store_n(&words[i], word, __ATOMIC_RELAXED);
	}
	__atomic_store_n(seq, odd + 1, __ATOMIC_RELEASE);
}

static bool
read_section(const uint64_t *seq, const uint64_t *words, void *value,
			 size_t nwords)
{
	char	   *to = value;

	for (int try = 0; try < READ_TRIES; try++)
	{
		uint64_t	before = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

		if (before == 0)
			break;				/* never written */
		if (before & 1)
		{
			if (try >= READ_SPINS)
				sched_yield();
			continue;
		}
		for (size_t i = 0; i < nwords; i++)
		{
			uint64_t	word = __atomic_load_n(&words[i], __ATOMIC_RELAXED);

			memcpy(to + i * sizeof(word), &word, sizeof(word));
		}
		__atomic_thread_fence(__ATOMIC_ACQUIRE);	/* words come first */
		if (__atomic_load_n(seq, __ATOMIC_RELAXED) == before)
			return true;
	}
	memset(value, 0, nwords * sizeof(uint64_t));
	return false;
}

void
ha_control_set_worker(HaControl *control, const HaControlWorker *w)
{
	write_section(&control->worker_seq, control->worker, w,
				  WORDS(HaControlWorker));
}

bool
ha_control_get_worker(const HaControl *control, HaControlWorker *w)
{
	if (!read_section(&control->worker_seq, control->worker, w,
					  WORDS(HaControlWorker)))
		return false;

	/* The file may have been scribbled on; strings must end all the same. */
	w->why[sizeof(w->why) - 1] = '\0';
	w->target[sizeof(w->target) - 1] = '\0';
	w->leader[sizeof(w->leader) - 1] = '\0';
	w->version[sizeof(w->version) - 1] = '\0';
	return true;
}

void
ha_control_set_lease(HaControl *control, const HaControlLease *l)
{
	write_section(&control->lease_seq, control->lease, l,
				  WORDS(HaControlLease));
}

bool
ha_control_get_lease(const HaControl *control, HaControlLease *l)
{
	return read_section(&control->lease_seq, control->lease, l,
						WORDS(HaControlLease));
}

void
ha_control_set_boot(HaControl *control, const HaControlBoot *b)
{
	write_section(&control->boot_seq, control->boot, b, WORDS(HaControlBoot));
}

bool
ha_control_get_boot(const HaControl *control, HaControlBoot *b)
{
	if (!read_section(&control->boot_seq, control->boot, b,
					  WORDS(HaControlBoot)))
		return false;
	b->version[sizeof(b->version) - 1] = '\0';
	return true;
}

void
ha_control_set_question(HaControl *control, const HaControlQuestion *q)
{
	write_section(&control->question_seq, control->question, q,
				  WORDS(HaControlQuestion));
}

bool
ha_control_get_question(const HaControl *control, HaControlQuestion *q)
{
	if (!read_section(&control->question_seq, control->question, q,
					  WORDS(HaControlQuestion)))
		return false;
	q->question.name[sizeof(q->question.name) - 1] = '\0';
	return true;
}

void
ha_control_set_promise(HaControl *control, const HaControlPromise *p)
{
	write_section(&control->promise_seq, control->promise, p,
				  WORDS(HaControlPromise));
}

bool
ha_control_get_promise(const HaControl *control, HaControlPromise *p)
{
	if (!read_section(&control->promise_seq, control->promise, p,
					  WORDS(HaControlPromise)))
		return false;
	p->why[sizeof(p->why) - 1] = '\0';
	p->leader[sizeof(p->leader) - 1] = '\0';
	return true;
}

/*
 * Sequentially consistent: its order to the deadline in shared memory counts.
 */
void
ha_control_set_deadline(HaControl *control, int64_t deadline)
{
	__atomic_store_n(&control->deadline, deadline, __ATOMIC_SEQ_CST);
}

int64_t
ha_control_get_deadline(const HaControl *control)
{
	return __atomic_load_n(&control->deadline, __ATOMIC_SEQ_CST);
}

/* One writer, one word: nobody sees the number of another postmaster. */
void
ha_control_note_start(HaControl *control, int postmaster_pid)
{
	uint64_t	starts = ha_control_starts(control, postmaster_pid) + 1;

	__atomic_store_n(&control->starts,
					 (uint64_t) postmaster_pid << 32 | starts,
					 __ATOMIC_RELAXED);
}

uint32_t
ha_control_starts(const HaControl *control, int postmaster_pid)
{
	uint64_t	starts = __atomic_load_n(&control->starts, __ATOMIC_RELAXED);

	return starts >> 32 == (uint64_t) postmaster_pid ? (uint32_t) starts : 0;
}

/*
 * Opening.
 */

/* Read a small file of /proc whole; its length, or -1 with errno. */
static ssize_t
read_proc(const char *path, char *buf, size_t size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t		length = 0;
	ssize_t		n;
	int			saved_errno;

	if (fd < 0)
		return -1;
	do
	{
		n = read(fd, buf + length, size - 1 - length);
		if (n > 0)
			length += n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	buf[length] = '\0';
	return n < 0 ? -1 : (ssize_t) length;
}

static bool
is_ours_alone(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Open the state directory, made if "create"; -1 with err. */
static int
open_directory(const char *path, bool create, char *err, size_t errlen)
{
	struct stat st;
	int			fd;

	if (create && mkdir(path, 0700) != 0 && errno != EEXIST)
	{
		snprintf(err, errlen, "could not create directory \"%s\": %s",
				 path, strerror(errno));
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		snprintf(err, errlen, "could not open directory \"%s\": %s",
				 path, strerror(errno));
	else if (!is_ours_alone(&st))
		snprintf(err, errlen,
				 "directory \"%s\" must be owned by the server's user and not be writable by group or others",
				 path);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Bounded, for a process frozen in here must not freeze the others. */
static bool
lock_directory(int dir)
{
	const struct timespec pause = {0, LOCK_PAUSE_NS};

	for (int try = 0; try < LOCK_TRIES; try++)
	{
		if (flock(dir, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

static bool
boot_id(char *id, size_t size)
{
	if (read_proc("/proc/sys/kernel/random/boot_id", id, size) <= 0)
		return false;
	id[strcspn(id, "\n")] = '\0';
	return id[0] != '\0';
}

/*
 * Put an empty file in place.  It is complete before it gets its name, and its
 * blocks are allocated, since a store to a hole on a full disk is a SIGBUS.
 */
static bool
create_file(int dir, const char *id, uint32_t replaces)
{
	HaControl	empty;
	int			fd;
	bool		ok;

	memset(&empty, 0, sizeof(empty));
	empty.magic = CONTROL_MAGIC;
	empty.version = CONTROL_VERSION;
	empty.size = sizeof(empty);
	empty.replaces = replaces;
	snprintf(empty.boot_id, sizeof(empty.boot_id), "%s", id);

	if (unlinkat(dir, CONTROL_NEW_FILE, 0) != 0 && errno != ENOENT)
		return false;
	fd = openat(dir, CONTROL_NEW_FILE,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	errno = ENOSPC;				/* what a short write means */
	ok = write(fd, &empty, sizeof(empty)) == (ssize_t) sizeof(empty) &&
		fsync(fd) == 0;
	if (close(fd) != 0)
		ok = false;
	return ok && renameat(dir, CONTROL_NEW_FILE, dir, CONTROL_FILE) == 0 &&
		fsync(dir) == 0;
}

/* Of what version is this file?  0: no control file, or not all there. */
static uint32_t
version_of(int fd, const struct stat *st)
{
	struct
	{
		uint64_t	magic;
		uint32_t	version;
		uint32_t	size;
	}			head;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
		head.magic != CONTROL_MAGIC || head.size != st->st_size)
		return 0;
	return head.version;
}

static bool
is_of_our_version(int fd, const struct stat *st)
{
	return version_of(fd, st) == CONTROL_VERSION &&
		st->st_size == sizeof(HaControl);
}

/* Map a file of ours as it is, and keep it from being replaced meanwhile. */
static HaControl *
map_file(int fd, const struct stat *st, const char **fault)
{
	HaControl  *control;

	if (version_of(fd, st) == 0)
		*fault = "it is no control file, or is damaged";
	else if (!is_of_our_version(fd, st))
		*fault = "it was made by another version of pg_ha, which still runs here";
	else if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		*fault = strerror(errno);
	else
	{
		control = mmap(NULL, sizeof(HaControl), PROT_READ | PROT_WRITE,
					   MAP_SHARED, fd, 0);
		if (control != MAP_FAILED)
			return control;
		*fault = strerror(errno);
	}
	return NULL;
}

/*
 * The file as it is; NULL with err if it can't be used.  *replaces: it may be
 * replaced, as there is none (0), or one of that version which nobody uses; else -1.
 */
static HaControl *
open_file(int dir, int64_t *replaces, char *err, size_t errlen)
{
	HaControl  *control = NULL;
	const char *fault = NULL;
	struct stat st;
	int			fd;

	fd = openat(dir, CONTROL_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	*replaces = fd < 0 && errno == ENOENT ? 0 : -1;
	if (fd < 0 || fstat(fd, &st) != 0)
		fault = strerror(errno);
	else if (!S_ISREG(st.st_mode) || !is_ours_alone(&st))
		fault = "it is not a file of the server's user alone";
	else
	{
		control = map_file(fd, &st, &fault);
		if (control == NULL && version_of(fd, &st) >= FIRST_LOCKED_VERSION &&
			!is_of_our_version(fd, &st) &&
			flock(fd, LOCK_EX | LOCK_NB) == 0)
		{
			*replaces = version_of(fd, &st);
			fault = "it was made by another version of pg_ha";
		}
	}
	if (control == NULL)
		snprintf(err, errlen, "could not use file \"%s\": %s",
				 CONTROL_FILE, fault);
	if (fd >= 0)
		close(fd);				/* a mapping keeps the lock */
	return control;
}

/* Under the directory's lock: the file of this boot, made anew if need be. */
static HaControl *
open_locked(int dir, bool create, char *err, size_t errlen)
{
	char		id[sizeof(((HaControl *) NULL)->boot_id)];
	HaControl  *control;
	int64_t		replaces;

	if (!boot_id(id, sizeof(id)))
	{
		snprintf(err, errlen, "could not read the boot id: %s",
				 strerror(errno));
		return NULL;
	}
	control = open_file(dir, &replaces, err, errlen);
	if (control != NULL &&
		strncmp(control->boot_id, id, sizeof(id)) == 0)
		return control;
	if (control == NULL && (replaces < 0 || (replaces > 0 && !create)))
		return NULL;

	/* There is none, or every time in it is of another boot. */
	ha_control_close(control);
	if (!create)
	{
		snprintf(err, errlen, "there is no file \"%s\" of this boot",
				 CONTROL_FILE);
		return NULL;
	}
	if (!create_file(dir, id, (uint32_t) (replaces > 0 ? replaces : 0)))
	{
		snprintf(err, errlen, "could not create file \"%s\": %s",
				 CONTROL_FILE, strerror(errno));
		return NULL;
	}
	return open_file(dir, &replaces, err, errlen);
}

HaControl *
ha_control_open(const char *state_dir, bool create, char *err, size_t errlen)
{
	HaControl  *control = NULL;
	int			dir = open_directory(state_dir, create, err, errlen);

	if (dir < 0)
		return NULL;
	if (lock_directory(dir))
		control = open_locked(dir, create, err, errlen);
	else
		snprintf(err, errlen, "could not lock directory \"%s\": %s",
				 state_dir, strerror(errno));
	close(dir);					/* which also unlocks it */
	return control;
}

void
ha_control_close(HaControl *control)
{
	if (control != NULL)
		munmap(control, sizeof(HaControl));
}

bool
ha_control_is_replacement(const HaControl *control)
{
	return control->replaces != 0 &&
		__atomic_load_n(&control->boot_seq, __ATOMIC_RELAXED) == 0;
}

/*
 * The clock and processes.
 */

int64_t
ha_now(void)
{
	struct timespec ts;

	/*
	 * It can't fail on a kernel that we run on, and there is no second clock.
	 */
	if (clock_gettime(CLOCK_BOOTTIME, &ts) != 0)
		abort();
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Find out when a process started.  Returns false if that can't be told; true
 * with 0 if there is no such process.
 */
static bool
look_up_process(int pid, uint64_t *start_time)
{
	char		path[64];
	char		buf[2048];
	const char *p;

	*start_time = 0;
	if (pid <= 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_proc(path, buf, sizeof(buf)) < 0)
		return errno == ENOENT || errno == ESRCH;

	/*
	 * "pid (comm) state ppid ...".  The command may hold blanks and
	 * parentheses, but nothing after it does.
	 */
	p = strrchr(buf, ')');
	if (p == NULL || p[1] != ' ' || p[2] == '\0')
		return false;
	p += 2;
	if (*p == 'Z' || *p == 'X' || *p == 'x')
		return true;			/* dead, only not reaped */
	for (int field = 3; field < 22; field++)
	{
		p = strchr(p, ' ');
		if (p == NULL)
			return false;
		p++;
	}
	*start_time = strtoull(p, NULL, 10);
	return *start_time != 0;
}

uint64_t
ha_process_start_time(int pid)
{
	uint64_t	start_time;

	return look_up_process(pid, &start_time) ? start_time : 0;
}

/*
 * What can't be told counts as alive: to take a running server for a dead one
 * could cost data, the other mistake costs time.
 */
bool
ha_process_is_alive(int pid, uint64_t start_time)
{
	uint64_t	found;

	if (pid <= 0 || start_time == 0)
		return false;
	return !look_up_process(pid, &found) || found == start_time;
}
