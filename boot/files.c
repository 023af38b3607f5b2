/*-------------------------------------------------------------------------
 *
 * files.c
 *	  Small files that are there as a whole, and durably, or not at all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "common/logging.h"

#include "files.h"

bool
ha_path_in(char *path, const char *dir, const char *name)
{
	if (snprintf(path, MAXPGPATH, "%s/%s", dir, name) < MAXPGPATH)
		return true;
	pg_log_error("path of file \"%s\" in \"%s\" is too long", name, dir);
	return false;
}

bool
ha_exists_in(const char *dir, const char *name)
{
	char		path[MAXPGPATH];
	struct stat st;

	return ha_path_in(path, dir, name) && lstat(path, &st) == 0;
}

/* pg_fsync of a directory; unlike fsync_fname() it never ends the process. */
bool
ha_sync_directory(const char *path)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool		ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		pg_log_error("could not fsync directory \"%s\": %m", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool
ha_sync_parent(const char *path)
{
	char		parent[MAXPGPATH];

	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	return ha_sync_directory(parent[0] != '\0' ? parent : ".");
}

bool
ha_write_all(int fd, const char *data, size_t length)
{
	while (length > 0)
	{
		ssize_t		n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			if (n == 0)
				errno = ENOSPC;
			return false;
		}
		data += n;
		length -= n;
	}
	return true;
}

/* Read text until it ends or the buffer is full; its length. */
size_t
ha_read_all(int fd, char *text, size_t size)
{
	size_t		length = 0;

	while (length < size - 1)
	{
		ssize_t		n = read(fd, text + length, size - 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += n;
	}
	text[length] = '\0';
	return length;
}

int
ha_nameless_file(const char *content)
{
	int			fd = memfd_create("pg_ha", MFD_CLOEXEC);

	if (fd >= 0 && (!ha_write_all(fd, content, strlen(content)) ||
					lseek(fd, 0, SEEK_SET) != 0))
	{
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Give a file this content, all of it or (false, reported) none.
 *
 * What must outlive a crash of the machine is synced; on a busy disk that takes
 * seconds, for which a leader's lease may not last.
 */
bool
ha_replace_file(const char *path, const char *content, mode_t mode, bool durable)
{
	char		temp[MAXPGPATH];
	int			fd;
	bool		ok;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp))
	{
		pg_log_error("path \"%s\" is too long", path);
		return false;
	}
	if (unlink(temp) != 0 && errno != ENOENT)
		fd = -1;
	else
		fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok = fd >= 0 && fchmod(fd, mode) == 0 &&
		ha_write_all(fd, content, strlen(content)) &&
		(!durable || fsync(fd) == 0);
	if (!ok)
		pg_log_error("could not write file \"%s\": %m", temp);
	if (fd >= 0 && close(fd) != 0 && ok)
	{
		pg_log_error("could not close file \"%s\": %m", temp);
		ok = false;
	}
	if (ok && rename(temp, path) != 0)
	{
		pg_log_error("could not rename file \"%s\": %m", temp);
		ok = false;
	}
	return ok && (!durable || ha_sync_parent(path));
}

/* The same for a file of the data directory. */
bool
ha_replace_data_file(const HaNode *node, const char *name, const char *content,
					 bool durable)
{
	char		path[MAXPGPATH];

	if (!GetDataDirectoryCreatePerm(node->data_dir))
	{
		pg_log_error("could not read permissions of directory \"%s\": %m",
					 node->data_dir);
		return false;
	}
	return ha_path_in(path, node->data_dir, name) &&
		ha_replace_file(path, content, pg_file_create_mode, durable);
}

/* Remove a file if it is there, durably. */
bool
ha_remove_file(const char *dir, const char *name)
{
	char		path[MAXPGPATH];

	if (!ha_path_in(path, dir, name))
		return false;
	if (unlink(path) == 0)
		return ha_sync_directory(dir);
	if (errno == ENOENT)
		return true;
	pg_log_error("could not remove file \"%s\": %m", path);
	return false;
}

/* Read a text file into a buffer; false: reported. */
bool
ha_read_file(const char *path, PQExpBuffer content)
{
	char		buf[4096];
	ssize_t		n = -1;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && ((n = read(fd, buf, sizeof(buf))) > 0 ||
					   (n < 0 && errno == EINTR)))
	{
		if (n > 0)
			appendBinaryPQExpBuffer(content, buf, n);
	}
	if (n < 0)
		pg_log_error("could not read file \"%s\": %m", path);
	else if (PQExpBufferBroken(content))
		pg_log_error("out of memory");
	if (fd >= 0)
		close(fd);
	return n == 0 && !PQExpBufferBroken(content);
}

/* Has the file this content already? */
bool
ha_data_file_is(const HaNode *node, const char *name, const char *content)
{
	char		path[MAXPGPATH];
	PQExpBufferData present;
	bool		same;

	if (!ha_exists_in(node->data_dir, name) ||
		!ha_path_in(path, node->data_dir, name))
		return false;
	initPQExpBuffer(&present);
	same = ha_read_file(path, &present) && strcmp(present.data, content) == 0;
	termPQExpBuffer(&present);
	return same;
}
