/*-------------------------------------------------------------------------
 *
 * faultlib.c
 *	  Disks that break: for LD_PRELOAD, under real servers, without root.
 *
 * The file that HA_FAULTS names holds the faults in force, a line each:
 *
 *		stall PREFIX	fsync and fdatasync do not come back
 *		eio PREFIX		... or fail with EIO
 *		enospc PREFIX	writes fail with ENOSPC
 *		erofs PREFIX	files can't be created, opened for writing or written
 *
 * for all files whose path, as the kernel has it, begins with PREFIX.  It is
 * looked at anew by each call, so what stalls goes on when its line has gone.
 *
 * What stalls can be ended by SIGKILL and by handlers that end the process, but,
 * like a process that waits for a real disk, takes no notice of others.
 *
 *-------------------------------------------------------------------------
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* By system call, since what we replace is what others would do it with. */
static ssize_t
read_faults(char *buf, size_t size)
{
	const char *file = getenv("HA_FAULTS");
	ssize_t		length;
	int			fd;

	if (file == NULL)
		return 0;
	fd = (int) syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	length = syscall(SYS_read, fd, buf, size - 1);
	syscall(SYS_close, fd);
	if (length < 0)
		length = 0;
	buf[length] = '\0';
	return length;
}

/* Is that fault in force for that path? */
static bool
is_struck(const char *path, const char *fault)
{
	char		buf[4096];
	char	   *save = NULL;
	size_t		length = strlen(fault);

	if (read_faults(buf, sizeof(buf)) == 0)
		return false;
	for (char *line = strtok_r(buf, "\n", &save); line != NULL;
		 line = strtok_r(NULL, "\n", &save))
	{
		const char *prefix = line + length + 1;

		if (strncmp(line, fault, length) == 0 && line[length] == ' ' &&
			strncmp(path, prefix, strlen(prefix)) == 0)
			return true;
	}
	return false;
}

static bool
fd_is_struck(int fd, const char *fault)
{
	char		name[64];
	char		path[PATH_MAX];
	int			keep = errno;
	ssize_t		length;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	length = readlink(name, path, sizeof(path) - 1);
	errno = keep;
	if (length <= 0)
		return false;
	path[length] = '\0';
	return is_struck(path, fault);
}

/* A path as the kernel would have it, if it is not to be followed further. */
static bool
path_is_struck(const char *path, const char *fault)
{
	char		whole[2 * PATH_MAX];
	char		cwd[PATH_MAX];

	if (path[0] == '/')
		return is_struck(path, fault);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return false;
	snprintf(whole, sizeof(whole), "%s/%s", cwd, path);
	return is_struck(whole, fault);
}

static bool
fails(int error)
{
	errno = error;
	return true;
}

static bool
sync_fails(int fd)
{
	struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};

	while (fd_is_struck(fd, "stall"))
		nanosleep(&moment, NULL);
	return fd_is_struck(fd, "eio") && fails(EIO);
}

static bool
write_fails(int fd)
{
	return (fd_is_struck(fd, "enospc") && fails(ENOSPC)) ||
		(fd_is_struck(fd, "erofs") && fails(EROFS));
}

static bool
open_fails(const char *path, int flags)
{
	return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0 &&
		path_is_struck(path, "erofs") && fails(EROFS);
}

/* The function that ours stands before. */
#define NEXT(name)	((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int
fsync(int fd)
{
	return sync_fails(fd) ? -1 : NEXT(fsync) (fd);
}

int
fdatasync(int fd)
{
	return sync_fails(fd) ? -1 : NEXT(fdatasync) (fd);
}

ssize_t
write(int fd, const void *buf, size_t size)
{
	return write_fails(fd) ? -1 : NEXT(write) (fd, buf, size);
}

ssize_t
pwrite(int fd, const void *buf, size_t size, off_t at)
{
	return write_fails(fd) ? -1 : NEXT(pwrite) (fd, buf, size, at);
}

ssize_t
pwrite64(int fd, const void *buf, size_t size, off64_t at)
{
	return write_fails(fd) ? -1 : NEXT(pwrite64) (fd, buf, size, at);
}

ssize_t
pwritev(int fd, const struct iovec *vec, int n, off_t at)
{
	return write_fails(fd) ? -1 : NEXT(pwritev) (fd, vec, n, at);
}

ssize_t
pwritev64(int fd, const struct iovec *vec, int n, off64_t at)
{
	return write_fails(fd) ? -1 : NEXT(pwritev64) (fd, vec, n, at);
}

static mode_t
mode_of(int flags, va_list args)
{
	return (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
}

int
open(const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_fails(path, flags) ? -1 : NEXT(open) (path, flags, mode);
}

int
open64(const char *path, int flags,...)
{
	va_list		args;
	mode_t		mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_fails(path, flags) ? -1 : NEXT(open64) (path, flags, mode);
}
