/*-------------------------------------------------------------------------
 *
 * processes.c
 *	  What /proc tells of other processes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "processes.h"

static size_t
read_proc_file(pid_t pid, const char *name, char *text, size_t size)
{
	char		path[64];
	size_t		length;
	int			fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	text[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = ha_read_all(fd, text, size);
	close(fd);
	return length;
}

void
ha_process_command(pid_t pid, char *command, size_t size)
{
	size_t		length = read_proc_file(pid, "cmdline", command, size);

	while (length > 0 && command[length - 1] == '\0')
		length--;
	for (size_t i = 0; i < length; i++)
	{
		if (command[i] == '\0')
			command[i] = ' ';
	}
}

/* "0::/system.slice/system-postgresql.slice/postgresql@15-main.service" */
void
ha_process_unit(pid_t pid, char *unit, size_t size)
{
	char		text[4096];
	char	   *end;
	char	   *start;

	unit[0] = '\0';
	read_proc_file(pid, "cgroup", text, sizeof(text));
	end = strstr(text, ".service");
	if (end == NULL)
		return;
	end[strlen(".service")] = '\0';
	start = strrchr(text, '/');
	strlcpy(unit, start != NULL ? start + 1 : text, size);
}

bool
ha_process_works_in(pid_t pid, const char *directory)
{
	char		path[64];
	struct stat process;
	struct stat ours;

	snprintf(path, sizeof(path), "/proc/%d/cwd", (int) pid);
	return stat(path, &process) == 0 && stat(directory, &ours) == 0 &&
		process.st_dev == ours.st_dev && process.st_ino == ours.st_ino;
}

/* "7f12c1a00000-7f12c1a01000 rw-s 00000000 00:01 19038293   /SYSV0012e33c (deleted)" */
bool
ha_process_has_segment(pid_t pid, uint64_t id)
{
	char		path[64];
	char		line[1024];
	bool		found = false;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int) pid);
	file = fopen(path, "re");
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
	{
		unsigned long long inode;
		char		name[8];

		found = sscanf(line, "%*s %*s %*s %*s %llu %5s", &inode, name) == 2 &&
			inode == id && strcmp(name, "/SYSV") == 0;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* Is one of its descriptors this "socket:[INODE]"? */
static bool
has_open(pid_t pid, const char *wanted)
{
	char		dir[64];
	char		path[512];
	char		target[64];
	struct dirent *entry;
	bool		found = false;
	DIR		   *stream;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int) pid);
	stream = opendir(dir);
	while (stream != NULL && !found && (entry = readdir(stream)) != NULL)
	{
		ssize_t		length;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		target[Max(length, 0)] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (stream != NULL)
		closedir(stream);
	return found;
}

pid_t
ha_process_with_socket(uint64_t inode)
{
	char		wanted[64];
	struct dirent *entry;
	pid_t		found = 0;
	DIR		   *proc = opendir("/proc");

	snprintf(wanted, sizeof(wanted), "socket:[%llu]",
			 (unsigned long long) inode);
	while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL)
	{
		pid_t		pid = atoi(entry->d_name);

		if (pid > 0 && has_open(pid, wanted))
			found = pid;
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}
