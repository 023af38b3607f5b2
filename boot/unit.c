/*-------------------------------------------------------------------------
 *
 * unit.c
 *	  Units of systemd that would start a server behind our back.
 *
 * systemd is not asked, since it need not run (in a container, in a rescue
 * system), and what counts is what it does at the next boot: start the units that
 * are linked from a "wants" or "requires" directory of its search path.  Such a
 * unit starts the server of a data directory if
 *
 * - it is Debian's, "postgresql@VERSION-NAME.service" or "postgresql.service", which
 *	 starts every cluster whose start.conf says auto; and the data_directory of that
 *	 cluster is this one, or
 *
 * - it has PGDATA for this directory in its environment, or runs pg_ctl or postgres
 *	 on it, or Patroni by a configuration that names it, or
 *
 * - the server belongs to it now.
 *
 * Units that run pg_ha_boot are meant to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pqexpbuffer.h"

#include "files.h"
#include "unit.h"

/* As of systemd.unit(5), without the user's. */
static const char default_path[] =
"/etc/systemd/system:/run/systemd/system:/run/systemd/generator:"
"/run/systemd/generator.late:/usr/lib/systemd/system:/lib/systemd/system";

typedef struct Search Search;

/* Something of that name in a directory; true ends the search. */
typedef bool (*Visit) (Search *search, const char *dir, const char *name);

struct Search
{
	const char *root;
	const char *data_dir;
	const char *wanted;			/* by is_enabled(): a unit */
	const char *version;		/* directories of Debian's clusters */
	Visit		visit_unit;
	char		its_unit[256];	/* in which the server runs now, "" = none */
	char	   *unit;			/* the result */
	size_t		size;
};

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length > strlen(end) &&
		strcmp(text + length - strlen(end), end) == 0;
}

static bool
visit_directory(Search *search, const char *path, Visit visit)
{
	DIR		   *dir = opendir(path);
	struct dirent *entry;
	bool		found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
		found = entry->d_name[0] != '.' && visit(search, path, entry->d_name);
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* Does a line have that path as a word of its own? */
static bool
has_path(const char *line, const char *path)
{
	size_t		n = strlen(path);

	for (const char *at = strstr(line, path); at != NULL;
		 at = strstr(at + 1, path))
	{
		const char *end = at[n] == '/' ? at + n + 1 : at + n;

		if (*end == '\0' || strchr(" \t\r\n\"'", *end) != NULL)
			return at == line || strchr(" \t=\"'", at[-1]) != NULL;
	}
	return false;
}

/*
 * Enabled units.
 */

static bool
visit_link(Search *search, const char *dir, const char *name)
{
	return ends_with(name, ".service") && search->visit_unit(search, dir, name);
}

static bool
visit_target(Search *search, const char *dir, const char *name)
{
	char		path[MAXPGPATH];

	return (ends_with(name, ".wants") || ends_with(name, ".requires")) &&
		ha_path_in(path, dir, name) &&
		visit_directory(search, path, visit_link);
}

static bool
visit_enabled(Search *search, Visit visit_unit)
{
	const char *path = getenv("SYSTEMD_UNIT_PATH");
	char	   *list;
	char	   *rest;
	char	   *directory;
	bool		found = false;

	search->visit_unit = visit_unit;
	list = pg_strdup(path != NULL && path[0] != '\0' ? path : default_path);
	rest = list;
	while (!found && (directory = strsep(&rest, ":")) != NULL)
	{
		char		rooted[MAXPGPATH];

		snprintf(rooted, sizeof(rooted), "%s%s", search->root, directory);
		found = directory[0] == '/' &&
			visit_directory(search, rooted, visit_target);
	}
	free(list);
	return found;
}

static bool
is_wanted(Search *search, const char *dir, const char *name)
{
	return strcmp(name, search->wanted) == 0;
}

static bool
is_enabled(Search *search, const char *unit)
{
	search->wanted = unit;
	return visit_enabled(search, is_wanted);
}

/*
 * Debian's clusters.
 */

/* Do two paths lead to the same directory, or would they? */
static bool
is_same_directory(const char *root, const char *a, const char *b)
{
	char		rooted[MAXPGPATH];
	struct stat st_a;
	struct stat st_b;

	snprintf(rooted, sizeof(rooted), "%s%s", root, a);
	canonicalize_path(rooted);
	if (strcmp(a, b) == 0 || strcmp(rooted, b) == 0)
		return true;
	return stat(a, &st_a) == 0 && stat(b, &st_b) == 0 &&
		st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

/* data_directory = '...' of a postgresql.conf */
static bool
read_data_directory(const char *conf, char *value, size_t size)
{
	char		line[MAXPGPATH + 64];
	FILE	   *file = fopen(conf, "re");
	bool		found = false;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char	   *text = line + strspn(line, " \t");

		if (pg_strncasecmp(text, "data_directory", 14) != 0)
			continue;
		text += 14;
		text += strspn(text, " \t=");
		if (*text != '\'')
			continue;
		text++;
		text[strcspn(text, "'")] = '\0';
		strlcpy(value, text, size);
		found = true;			/* the last one wins */
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* The first word of start.conf; a cluster without one is started. */
static bool
starts_by_itself(const char *cluster_dir)
{
	char		path[MAXPGPATH];
	char		line[256];
	bool		automatic = true;
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/start.conf", cluster_dir);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char	   *word = line + strspn(line, " \t");

		if (*word == '#' || *word == '\n' || *word == '\0')
			continue;
		automatic = strncmp(word, "auto", 4) == 0;
		break;
	}
	if (file != NULL)
		fclose(file);
	return automatic;
}

/* Is this cluster on our data directory, and does something start it? */
static bool
visit_cluster(Search *search, const char *dir, const char *name)
{
	char		cluster[MAXPGPATH];
	char		path[MAXPGPATH];
	char		value[MAXPGPATH];

	if (!ha_path_in(cluster, dir, name) ||
		!ha_path_in(path, cluster, "postgresql.conf"))
		return false;
	if (!read_data_directory(path, value, sizeof(value)))
		snprintf(value, sizeof(value), "/var/lib/postgresql/%s/%s",
				 search->version, name);
	if (!is_same_directory(search->root, value, search->data_dir))
		return false;
	snprintf(search->unit, search->size, "postgresql@%s-%s.service",
			 search->version, name);
	if (is_enabled(search, search->unit))
		return true;

	/* The umbrella's generator makes these units where start.conf says so. */
	return starts_by_itself(cluster) &&
		is_enabled(search, "postgresql.service");
}

static bool
visit_version(Search *search, const char *dir, const char *name)
{
	char		path[MAXPGPATH];

	search->version = name;
	return isdigit((unsigned char) name[0]) && ha_path_in(path, dir, name) &&
		visit_directory(search, path, visit_cluster);
}

/*
 * Units of others.
 */

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

static bool
runs_server_on(const char *line, const char *data_dir)
{
	line += strspn(line, " \t");
	if (strncmp(line, "Environment=", 12) == 0)
		return strstr(line, "PGDATA=") != NULL && has_path(line, data_dir);
	return strncmp(line, "ExecStart=", 10) == 0 && has_path(line, data_dir) &&
		(strstr(line, "pg_ctl") != NULL || strstr(line, "bin/postgres") != NULL ||
		 strstr(line, "postmaster") != NULL);
}

/* "data_dir: ..." of Patroni's configuration, without asking what all of it means. */
static bool
names_data_dir(const char *path, const char *data_dir)
{
	static const char key[] = "data_dir:";
	char		line[MAXPGPATH + 64];
	FILE	   *file = fopen(path, "re");
	bool		found = false;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
	{
		const char *text = line + strspn(line, " \t");

		found = strncmp(text, key, strlen(key)) == 0 &&
			has_path(text + strlen(key), data_dir);
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* ExecStart=/usr/bin/patroni FILE, where %i is what the unit's name has behind its "@". */
static bool
runs_patroni_on(const Search *search, const char *name, const char *line)
{
	static const char program[] = "/patroni ";
	const char *word = strstr(line, program);
	const char *instance = strchr(name, '@');
	PQExpBufferData path;
	bool		found;

	line += strspn(line, " \t");
	if (strncmp(line, "ExecStart=", 10) != 0 || word == NULL)
		return false;
	word += strlen(program);
	word += strspn(word, " \t\"'");
	initPQExpBuffer(&path);
	appendPQExpBufferStr(&path, search->root);
	for (; *word != '\0' && strchr(" \t\r\"'", *word) == NULL; word++)
	{
		if (strncmp(word, "%i", 2) == 0 && instance != NULL)
		{
			appendPQExpBuffer(&path, "%.*s", (int) (strlen(instance + 1) - strlen(".service")),
							  instance + 1);
			word++;
		}
		else
			appendPQExpBufferChar(&path, *word);
	}
	found = !PQExpBufferDataBroken(path) &&
		names_data_dir(path.data, search->data_dir);
	termPQExpBuffer(&path);
	return found;
}

/*
 * A server that somebody started by hand may belong to the unit of his login, which
 * starts no servers.
 */
static bool
starts_server(const Search *search, const char *name, char *text)
{
	char	   *line;

	if (strstr(text, "pg_ha_boot") != NULL)
		return false;
	if (strcmp(name, search->its_unit) == 0 &&
		(strstr(text, "postgres") != NULL || strstr(text, "pg_ctl") != NULL))
		return true;
	while ((line = strsep(&text, "\n")) != NULL)
	{
		if (runs_server_on(line, search->data_dir) ||
			runs_patroni_on(search, name, line))
			return true;
	}
	return false;
}

static bool
visit_unit(Search *search, const char *dir, const char *name)
{
	char		path[MAXPGPATH];
	PQExpBufferData text;
	bool		found;

	if (!ha_path_in(path, dir, name) || access(path, R_OK) != 0)
		return false;
	initPQExpBuffer(&text);
	found = ha_read_file(path, &text) && starts_server(search, name, text.data);
	termPQExpBuffer(&text);
	if (found)
		strlcpy(search->unit, name, search->size);
	return found;
}

bool
ha_unit_find_rival(const char *root, const char *data_dir, pid_t pid,
				   char *unit, size_t size)
{
	Search		search = {.root = root,.data_dir = data_dir,.unit = unit,.size = size};
	char		debian[MAXPGPATH];

	unit_of_process(pid, search.its_unit, sizeof(search.its_unit));
	snprintf(debian, sizeof(debian), "%s/etc/postgresql", root);
	return visit_directory(&search, debian, visit_version) ||
		visit_enabled(&search, visit_unit);
}
