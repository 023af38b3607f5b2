/*-------------------------------------------------------------------------
 *
 * unit.c
 *	  Units of systemd that would start a server behind our back.
 *
 * systemd is not asked, since it need not run (in a container, in a rescue
 * system), and what counts is what it does at the next boot: start the units that
 * are linked from a "wants" or "requires" directory of its search path.  Debian's
 * generator puts those of its clusters there too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <unistd.h>

#include "pqexpbuffer.h"

#include "files.h"
#include "unit.h"

/* As of systemd.unit(5), without the user's. */
static const char default_path[] =
"/etc/systemd/system:/run/systemd/system:/run/systemd/generator:"
"/run/systemd/generator.late:/usr/lib/systemd/system:/lib/systemd/system";

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length > strlen(end) &&
		strcmp(text + length - strlen(end), end) == 0;
}

/* The unit that a process belongs to: the last ".service" of its cgroup. */
static void
unit_of_process(pid_t pid, char *unit, size_t size)
{
	char		path[64];
	char		line[1024];
	FILE	   *file;

	unit[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int) pid);
	file = pid > 0 ? fopen(path, "re") : NULL;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char	   *rest = line;
		char	   *part;

		while ((part = strsep(&rest, "/\n")) != NULL)
			if (ends_with(part, ".service"))
				strlcpy(unit, part, size);
	}
	if (file != NULL)
		fclose(file);
}

/* Does the text name that path, and not only the beginning of a longer one? */
static bool
mentions(const char *text, const char *path)
{
	size_t		length = strlen(path);

	for (const char *at = text; (at = strstr(at, path)) != NULL; at += length)
	{
		const char *behind = at + length;

		if (*behind == '/')
			behind++;
		if (*behind == '\0' || strchr(" \t\r\n'\"", *behind) != NULL)
			return true;
	}
	return false;
}

/*
 * A unit that runs pg_ha_boot is the one that is wanted.  A server that somebody
 * started by hand may belong to the unit of his login, which starts no servers.
 */
static bool
starts_server(const char *path, const char *data_dir, bool is_its_unit)
{
	PQExpBufferData content;
	bool		found;

	if (access(path, R_OK) != 0)
		return false;
	initPQExpBuffer(&content);
	found = ha_read_file(path, &content) &&
		strstr(content.data, "pg_ha_boot") == NULL &&
		(mentions(content.data, data_dir) ||
		 (is_its_unit && (strstr(content.data, "postgres") != NULL ||
						  strstr(content.data, "pg_ctl") != NULL)));
	termPQExpBuffer(&content);
	return found;
}

/* Look at the units that one directory of links wants. */
static bool
search_links(const char *links, const char *data_dir, const char *its_unit,
			 char *unit, size_t size)
{
	DIR		   *dir = opendir(links);
	struct dirent *entry;
	bool		found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];

		if (!ends_with(entry->d_name, ".service") ||
			!ha_path_in(path, links, entry->d_name))
			continue;
		found = starts_server(path, data_dir,
							  strcmp(entry->d_name, its_unit) == 0);
		if (found)
			strlcpy(unit, entry->d_name, size);
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static bool
search_directory(const char *directory, const char *data_dir,
				 const char *its_unit, char *unit, size_t size)
{
	DIR		   *dir = opendir(directory);
	struct dirent *entry;
	bool		found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
	{
		char		links[MAXPGPATH];

		if (ends_with(entry->d_name, ".wants") ||
			ends_with(entry->d_name, ".requires"))
			found = ha_path_in(links, directory, entry->d_name) &&
				search_links(links, data_dir, its_unit, unit, size);
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

bool
ha_unit_find_enabled(const char *data_dir, pid_t pid, char *unit, size_t size)
{
	const char *path = getenv("SYSTEMD_UNIT_PATH");
	char	   *list;
	char	   *rest;
	char	   *directory;
	char		its_unit[256];
	bool		found = false;

	unit_of_process(pid, its_unit, sizeof(its_unit));
	list = pg_strdup(path != NULL && path[0] != '\0' ? path : default_path);
	rest = list;
	while (!found && (directory = strsep(&rest, ":")) != NULL)
		found = directory[0] == '/' &&
			search_directory(directory, data_dir, its_unit, unit, size);
	free(list);
	return found;
}
