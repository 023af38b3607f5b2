/*-------------------------------------------------------------------------
 *
 * check_data.c
 *	  What is the data directory, and could a server run on it?
 *
 * P03: its version.  P04: whose it is.  P05: what it is.  P09: where its links
 * lead.  P17: whether it could be rewound.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_control.h"
#include "port.h"

#include "files.h"
#include "preflight.h"

#define NAMES_SHOWN			3

/*
 * The verdict.
 */

/* "a, b, c, ..." of a directory, and how many there are. */
static int
list_names(const char *dir, char *names, size_t size)
{
	DIR		   *stream = opendir(dir);
	struct dirent *entry;
	int			n = 0;

	names[0] = '\0';
	while (stream != NULL && (entry = readdir(stream)) != NULL)
	{
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		n++;
		if (n <= NAMES_SHOWN)
			snprintf(names + strlen(names), size - strlen(names), "%s%s",
					 n > 1 ? ", " : "", entry->d_name);
		else if (n == NAMES_SHOWN + 1)
			strlcat(names, ", ...", size);
	}
	if (stream != NULL)
		closedir(stream);
	return n;
}

static bool
read_version(const char *dir, char *version, size_t size)
{
	char		path[MAXPGPATH];
	FILE	   *file;
	bool		ok;

	snprintf(path, sizeof(path), "%s/PG_VERSION", dir);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	ok = fgets(version, size, file) != NULL;
	if (ok)
		version[strcspn(version, "\r\n")] = '\0';
	fclose(file);
	return ok && version[0] != '\0' &&
		strspn(version, "0123456789.") == strlen(version);
}

static HaDirectory
judge(const HaPreflight *p, const char *names, int nnames, const char *version)
{
	struct stat st;

	if (lstat(p->node.data_dir, &st) != 0 && errno == ENOENT)
		return HA_DIR_ABSENT;
	if (p->facts.state == HA_DATA_EMPTY)
		return HA_DIR_EMPTY;
	if (p->facts.state == HA_DATA_TORN)
		return HA_DIR_HALF;
	if (p->facts.state == HA_DATA_CLUSTER)
		return HA_DIR_VALID;
	if (nnames == 1 && strcmp(names, "lost+found") == 0)
		return HA_DIR_LOST_FOUND;
	if (version[0] == '\0')
		return HA_DIR_FOREIGN;
	return strcmp(version, PG_MAJORVERSION) != 0 ?
		HA_DIR_OTHER_VERSION : HA_DIR_BROKEN;
}

static void
report_foreign(HaPreflight *p, const char *names, int nnames)
{
	const char *dir = p->node.data_dir;
	struct stat st;

	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
		ha_report_error(&p->report, "P05", "Point -D elsewhere.",
						"data directory \"%s\" is not a directory", dir);
	else if (access(dir, R_OK | X_OK) != 0)
		ha_report_error(&p->report, "P05", "See who owns it.",
						"data directory \"%s\" cannot be read: %m", dir);
	else
		ha_report_error(&p->report, "P05",
						"Empty it, or point -D elsewhere; pg_ha never deletes what is there by itself.",
						"data directory \"%s\" is not empty (%d entries: %s) and is not a PostgreSQL data directory (no PG_VERSION)",
						dir, nnames, names);
}

void
ha_check_directory(HaPreflight *p)
{
	const char *dir = p->node.data_dir;
	char		names[256];
	char		version[16] = "";
	int			nnames = list_names(dir, names, sizeof(names));

	read_version(dir, version, sizeof(version));
	ha_datadir_facts(&p->node, &p->facts);
	p->directory = judge(p, names, nnames, version);
	switch (p->directory)
	{
		case HA_DIR_LOST_FOUND:
			ha_report_error(&p->report, "P05",
							psprintf("initdb and pg_basebackup refuse a mount point: make a directory below it, such as \"%s/data\", and give that as -D.",
									 dir),
							"data directory \"%s\" is empty except lost+found",
							dir);
			break;
		case HA_DIR_OTHER_VERSION:
			ha_report_error(&p->report, "P03",
							"Give the programs of that version with --bindir and the pg_ha that was built for it, or run pg_upgrade.",
							"data directory \"%s\" was made by PostgreSQL %s, but the programs are of %s, so it is neither empty nor a data directory of this PostgreSQL version",
							dir, version, PG_MAJORVERSION);
			break;
		case HA_DIR_BROKEN:
			ha_report_error(&p->report, "P05",
							"Nothing tells that a copy of it is elsewhere, so pg_ha leaves it alone.  If it is not needed, move it away.",
							"data directory \"%s\" is half-initialised: it has PG_VERSION, but no usable pg_control",
							dir);
			break;
		case HA_DIR_FOREIGN:
			report_foreign(p, names, nnames);
			break;
		default:
			break;
	}
}

/* Only data that is kept needs its mode: initdb and pg_basebackup set their own. */
void
ha_check_owner(HaPreflight *p)
{
	const char *dir = p->node.data_dir;
	struct stat st;

	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
		return;					/* P05 tells what is wrong, if anything */
	if (st.st_uid != geteuid())
		ha_report_error(&p->report, "P04",
						"Run pg_ha_boot as the user that owns the data directory.",
						"data directory \"%s\" is owned by uid %u, but this is uid %u",
						dir, (unsigned) st.st_uid, (unsigned) geteuid());
	else if ((st.st_mode & (S_IWGRP | S_IRWXO)) != 0 &&
			 p->directory == HA_DIR_VALID)
		ha_report_error(&p->report, "P04",
						psprintf("Run: chmod 0700 \"%s\"", dir),
						"data directory \"%s\" has mode %04o, but must have 0700 or 0750",
						dir, (unsigned) (st.st_mode & 0777));
}

/*
 * Links.
 */

/* A place outside the data directory must be one that the server can use. */
static void
check_link(HaPreflight *p, const char *path, const char *what)
{
	char		target[MAXPGPATH];
	ssize_t		length = readlink(path, target, sizeof(target) - 1);
	struct stat st;
	const char *why = NULL;

	if (length < 0)
		return;					/* no link */
	target[length] = '\0';
	if (stat(path, &st) != 0)
		why = errno == ENOENT ? "which does not exist" : strerror(errno);
	else if (!S_ISDIR(st.st_mode))
		why = "which is not a directory";
	else if (access(path, R_OK | W_OK | X_OK) != 0)
		why = "which the server cannot write to";
	if (why != NULL)
		ha_report_error(&p->report, "P09",
						"Mount what belongs there, or make it accessible to the server's user.  Data that is missing cannot be replaced by an empty directory.",
						"%s points to \"%s\", %s", what, target, why);
}

void
ha_check_links(HaPreflight *p)
{
	char		path[MAXPGPATH];
	char		dir[MAXPGPATH];
	struct dirent *entry;
	DIR		   *stream;

	if (ha_path_in(path, p->node.data_dir, "pg_wal"))
		check_link(p, path, "pg_wal");
	if (!ha_path_in(dir, p->node.data_dir, "pg_tblspc") ||
		(stream = opendir(dir)) == NULL)
		return;
	while ((entry = readdir(stream)) != NULL)
	{
		char		what[NAME_MAX + 32];

		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			continue;
		snprintf(what, sizeof(what), "tablespace %s", entry->d_name);
		if (ha_path_in(path, dir, entry->d_name))
			check_link(p, path, what);
	}
	closedir(stream);
}

/* pg_rewind asks the same of pg_control. */
void
ha_check_rewind(HaPreflight *p)
{
	ControlFileData control;

	if (!ha_datadir_control(&p->node, &control) ||
		control.data_checksum_version != 0 || control.wal_log_hints)
		return;
	ha_report_warning(&p->report, "P17",
					  "pg_ha sets wal_log_hints, which takes effect with its first start; changes from before that cannot be rewound.  \"pg_checksums --enable\" while the server is down does more.",
					  "pg_rewind will not be possible (no data checksums and wal_log_hints was off)");
}
