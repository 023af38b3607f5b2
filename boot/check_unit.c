/*-------------------------------------------------------------------------
 *
 * check_unit.c
 *	  P18: does systemd start a server on this data directory by itself?
 *
 * Looked for are enabled units (links in /etc/systemd/system/ *.wants) that
 *
 * - are Debian's, "postgresql@VERSION-NAME.service" or "postgresql.service", which
 *	 starts every cluster whose start.conf says auto; and the data_directory of that
 *	 cluster is this one, or
 *
 * - have PGDATA for this directory in their environment, or run pg_ctl or postgres on
 *	 it.
 *
 * Units that run pg_ha_boot are meant to.  Only files are read: systemd need not be
 * there, and need not be asked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "pqexpbuffer.h"

#include "check_unit.h"
#include "preflight.h"

/* The whole of a small file; false: there is none. */
static bool
read_text(const char *path, char *text, size_t size)
{
	FILE	   *file = fopen(path, "re");
	size_t		length;

	text[0] = '\0';
	if (file == NULL)
		return false;
	length = fread(text, 1, size - 1, file);
	text[length] = '\0';
	fclose(file);
	return true;
}

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

/*
 * Enabled units.
 */

/* Call back for each unit that something wants; until it returns true. */
static bool
visit_enabled(const char *root, bool (*visit) (const char *path,
											   const char *unit, void *arg),
			  void *arg)
{
	char		base[MAXPGPATH];
	char		dir[MAXPGPATH];
	char		path[MAXPGPATH];
	struct dirent *target;
	struct dirent *unit;
	bool		found = false;
	DIR		   *targets;
	DIR		   *units;

	snprintf(base, sizeof(base), "%s/etc/systemd/system", root);
	targets = opendir(base);
	while (targets != NULL && !found && (target = readdir(targets)) != NULL)
	{
		size_t		n = strlen(target->d_name);

		if (n < 6 || strcmp(target->d_name + n - 6, ".wants") != 0 ||
			snprintf(dir, sizeof(dir), "%s/%s", base, target->d_name) >= sizeof(dir))
			continue;
		units = opendir(dir);
		while (units != NULL && !found && (unit = readdir(units)) != NULL)
		{
			if (unit->d_name[0] != '.' &&
				snprintf(path, sizeof(path), "%s/%s", dir, unit->d_name) < sizeof(path))
			{
				found = visit(path, unit->d_name, arg);
			}
		}
		if (units != NULL)
			closedir(units);
	}
	if (targets != NULL)
		closedir(targets);
	return found;
}

static bool
has_name(const char *path, const char *unit, void *arg)
{
	return strcmp(unit, arg) == 0;
}

static bool
is_enabled(const char *root, const char *unit)
{
	return visit_enabled(root, has_name, (void *) unit);
}

/*
 * Debian's clusters.
 */

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
judge_cluster(const char *root, const char *cluster_dir, const char *version,
			  const char *name, const char *data_dir, char *unit, size_t size)
{
	char		path[MAXPGPATH];
	char		value[MAXPGPATH];

	snprintf(path, sizeof(path), "%s/postgresql.conf", cluster_dir);
	if (!read_data_directory(path, value, sizeof(value)))
		snprintf(value, sizeof(value), "/var/lib/postgresql/%s/%s", version, name);
	if (!is_same_directory(root, value, data_dir))
		return false;
	snprintf(unit, size, "postgresql@%s-%s.service", version, name);
	if (is_enabled(root, unit))
		return true;

	/* The umbrella's generator makes these units where start.conf says so. */
	return starts_by_itself(cluster_dir) && is_enabled(root, "postgresql.service");
}

static bool
find_debian_unit(const char *root, const char *data_dir, char *unit, size_t size)
{
	char		base[MAXPGPATH];
	char		dir[MAXPGPATH];
	char		cluster[MAXPGPATH];
	struct dirent *version;
	struct dirent *name;
	bool		found = false;
	DIR		   *versions;
	DIR		   *names;

	snprintf(base, sizeof(base), "%s/etc/postgresql", root);
	versions = opendir(base);
	while (versions != NULL && !found && (version = readdir(versions)) != NULL)
	{
		if (!isdigit((unsigned char) version->d_name[0]) ||
			snprintf(dir, sizeof(dir), "%s/%s", base, version->d_name) >= sizeof(dir))
			continue;
		names = opendir(dir);
		while (names != NULL && !found && (name = readdir(names)) != NULL)
		{
			if (name->d_name[0] != '.' &&
				snprintf(cluster, sizeof(cluster), "%s/%s", dir, name->d_name) < sizeof(cluster))
				found = judge_cluster(root, cluster, version->d_name,
									  name->d_name, data_dir, unit, size);
		}
		if (names != NULL)
			closedir(names);
	}
	if (versions != NULL)
		closedir(versions);
	return found;
}

/*
 * Units of others.
 */

typedef struct Search
{
	const char *data_dir;
	char	   *unit;
	size_t		size;
} Search;

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

static bool
judge_unit(const char *path, const char *unit, void *arg)
{
	Search	   *search = arg;
	char		text[16384];
	char	   *rest = text;
	char	   *line;

	if (!read_text(path, text, sizeof(text)) ||
		strstr(text, "pg_ha_boot") != NULL)
		return false;
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		if (!runs_server_on(line, search->data_dir))
			continue;
		strlcpy(search->unit, unit, search->size);
		return true;
	}
	return false;
}

bool
ha_unit_find_rival(const char *root, const char *data_dir, char *unit,
				   size_t size)
{
	Search		search = {.data_dir = data_dir,.unit = unit,.size = size};

	return find_debian_unit(root, data_dir, unit, size) ||
		visit_enabled(root, judge_unit, &search);
}

void
ha_check_units(HaPreflight *p)
{
	char		unit[256];

	if (p->ignore_unit ||
		!ha_unit_find_rival(p->root, p->node.data_dir, unit, sizeof(unit)))
		return;
	ha_report_error(&p->report, "P18",
					psprintf("As root: systemctl disable --now %s; where it is postgresql.service that starts it, write \"manual\" into the cluster's start.conf.  --ignore-unit leaves this out.",
							 unit),
					"%s is enabled and would start this server behind pg_ha's back",
					unit);
}
