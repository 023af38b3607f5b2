/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  Data that has to go: moved aside, and kept as long as was ordered.
 *
 * An interruption at any instruction is harmless.  While things are being moved a
 * marker stands, so a directory whose links have been led elsewhere is not started.
 * What was moved holds a file that says so: the next life neither moves it again, nor
 * could pruning take anything for a copy that pg_ha_boot has not made.
 *
 * A WAL directory or tablespace is moved only if this node's own data leads to it.
 * What a restore program left behind proves nothing of that kind: a copy of some
 * other server's files has that server's links.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/logging.h"
#include "common/relpath.h"

#include "aside.h"
#include "clone_config.h"
#include "datadir.h"
#include "files.h"
#include "programs.h"

/* Stands in every copy. */
#define TAG_FILE		"pg_ha.aside"
#define TAG_TEXT \
	"pg_ha_boot moved this directory aside.  It may be removed by pg_ha.keep_aside.\n"

#define INFIX			".aside."
#define FAILED_INFIX	".failed-"
#define SUFFIX_SIZE		48
#define COPIES_MAX		1024

static bool
is_empty(const char *path)
{
	int			found = pg_check_dir(path);

	return found == 0 || found == 1;
}

/* The entries of a directory, one a call, but for "." and "..". */
static const char *
next_entry(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL)
	{
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return entry->d_name;
	}
	return NULL;
}

/*
 * Moving.
 */

/* An infix and a stamp with which the name is not taken yet. */
static bool
choose_suffix(const char *path, const char *infix, char *suffix)
{
	time_t		now = time(NULL);
	struct tm	utc;
	struct stat st;
	char		aside[MAXPGPATH];
	size_t		length;
	int			n;

	gmtime_r(&now, &utc);
	length = strlcpy(suffix, infix, SUFFIX_SIZE);
	length += strftime(suffix + length, SUFFIX_SIZE - length, "%Y%m%dT%H%M%S",
					   &utc);
	n = snprintf(aside, sizeof(aside), "%s%s", path, suffix);
	for (int i = 2; n < sizeof(aside) && lstat(aside, &st) == 0; i++)
	{
		snprintf(suffix + length, SUFFIX_SIZE - length, ".%d", i);
		n = snprintf(aside, sizeof(aside), "%s%s", path, suffix);
	}
	if (n < sizeof(aside))
		return true;
	pg_log_error("path \"%s\" is too long", path);
	return false;
}

/* Without its tag a copy is kept for ever, which does no harm. */
static void
put_tag(const char *dir)
{
	char		path[MAXPGPATH];

	if (!ha_path_in(path, dir, TAG_FILE) ||
		!ha_replace_file(path, TAG_TEXT, 0600, false))
		pg_log_warning("the copy of \"%s\" will not be removed by pg_ha.keep_aside",
					   dir);
}

static bool
is_copy(const char *path)
{
	const char *name = last_dir_separator(path);

	return name != NULL && (strstr(name, INFIX) != NULL ||
							strstr(name, FAILED_INFIX) != NULL) &&
		ha_exists_in(path, TAG_FILE);
}

/* A bind mount only rename() knows of. */
bool
ha_can_be_renamed(const char *path)
{
	struct stat st;
	struct stat parent_st;
	char		parent[MAXPGPATH];

	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	if (parent[0] == '\0')
		strlcpy(parent, "/", sizeof(parent));
	if (stat(path, &st) == 0 && stat(parent, &parent_st) == 0 &&
		st.st_dev == parent_st.st_dev && access(parent, W_OK | X_OK) == 0)
		return true;
	pg_log_error("directory \"%s\" cannot be renamed", path);
	pg_log_error_hint("It cannot be a mount point itself, and its parent must be writable.");
	return false;
}

/* Rename a directory and leave an empty one in its place; aside: its new name. */
static bool
move_directory(const char *path, const char *suffix, const char *what,
			   char *aside)
{
	struct stat st;

	aside[0] = '\0';
	if (stat(path, &st) != 0 ||
		snprintf(aside, MAXPGPATH, "%s%s", path, suffix) >= MAXPGPATH)
	{
		pg_log_error("could not move %s \"%s\" aside", what, path);
		return false;
	}
	put_tag(path);
	if (rename(path, aside) != 0)
	{
		pg_log_error("could not rename %s \"%s\" to \"%s\": %m", what, path,
					 aside);
		pg_log_error_hint("It cannot be a mount point itself, and its parent must be writable.");
		return false;
	}
	pg_log_info("the old %s was moved to \"%s\"", what, aside);
	if (mkdir(path, st.st_mode & 0777) != 0)
	{
		pg_log_error("could not create directory \"%s\": %m", path);
		return false;
	}
	return ha_sync_parent(path);
}

/* Let a link lead to another place, at once. */
static bool
redirect(const char *link, const char *target)
{
	char		temp[MAXPGPATH];

	if (snprintf(temp, sizeof(temp), "%s.new", link) < sizeof(temp) &&
		(unlink(temp) == 0 || errno == ENOENT) &&
		symlink(target, temp) == 0 && rename(temp, link) == 0)
		return true;
	pg_log_error("could not redirect symbolic link \"%s\": %m", link);
	return false;
}

/* Other servers may have their part of a tablespace's directory: refuse then. */
static bool
holds_only_ours(const char *tablespace)
{
	DIR		   *dir = opendir(tablespace);
	const char *name;
	bool		ok = dir != NULL;

	while (ok && (name = next_entry(dir)) != NULL)
		ok = strcmp(name, TABLESPACE_VERSION_DIRECTORY) == 0 ||
			strcmp(name, TAG_FILE) == 0;
	if (dir != NULL)
		closedir(dir);
	if (ok)
		return true;
	pg_log_error("tablespace directory \"%s\" holds more than this server's data, so it is not moved",
				 tablespace);
	pg_log_error_hint("Move aside what belongs to \"%s\" in it yourself.",
					  TABLESPACE_VERSION_DIRECTORY);
	return false;
}

/*
 * What a link leads to, malloc'd, if it is a link and there is something that was not
 * moved yet.
 */
static char *
find_target(const char *link)
{
	struct stat st;
	char	   *target;

	if (lstat(link, &st) != 0 || !S_ISLNK(st.st_mode))
		return NULL;
	target = realpath(link, NULL);
	if (target == NULL || (!is_empty(target) && !is_copy(target)))
		return target;
	free(target);
	return NULL;
}

/* Move what a link of the old data directory leads to. */
static bool
move_linked(const char *link, const char *suffix, const char *what)
{
	char	   *target = find_target(link);
	char		aside[MAXPGPATH];
	bool		ok;

	ok = target == NULL || (move_directory(target, suffix, what, aside) &&
							redirect(link, aside));
	free(target);
	return ok;
}

/* The same for a WAL directory: of another server nothing may be moved. */
static bool
holds_only_wal(const char *wal_dir)
{
	DIR		   *dir = opendir(wal_dir);
	const char *name;
	char		strange[MAXPGPATH] = "";

	while (dir != NULL && strange[0] == '\0' && (name = next_entry(dir)) != NULL)
	{
		size_t		digits = strspn(name, "0123456789ABCDEF");

		if (!((digits == 24 && (name[24] == '\0' || name[24] == '.')) ||
			  (digits == 8 && strcmp(name + 8, ".history") == 0) ||
			  strcmp(name, "archive_status") == 0 ||
			  strcmp(name, "summaries") == 0 ||
			  strncmp(name, "xlogtemp.", 9) == 0 ||
			  strncmp(name, "RECOVERY", 8) == 0 ||
			  name[0] == '.' || strcmp(name, TAG_FILE) == 0))
			strlcpy(strange, name, sizeof(strange));
	}
	if (dir != NULL)
		closedir(dir);
	if (dir != NULL && strange[0] == '\0')
		return true;
	pg_log_error("WAL directory \"%s\" holds more than WAL (\"%s\"), so it is not moved",
				 wal_dir, strange);
	pg_log_error_hint("pg_ha.wal_dir must be for this server alone.  Move aside what is in it yourself.");
	return false;
}

/* suffix: NULL = only see whether all of them can be moved. */
static bool
move_tablespaces(const char *data_dir, const char *suffix)
{
	char		path[MAXPGPATH];
	char		link[MAXPGPATH];
	DIR		   *dir;
	const char *name;
	bool		ok = ha_path_in(path, data_dir, "pg_tblspc");

	dir = ok ? opendir(path) : NULL;
	while (ok && dir != NULL && (name = next_entry(dir)) != NULL)
	{
		char	   *target;

		ok = ha_path_in(link, path, name);
		target = ok ? find_target(link) : NULL;
		if (target != NULL)
			ok = suffix == NULL ?
				holds_only_ours(target) && ha_can_be_renamed(target) :
				move_linked(link, suffix, "tablespace directory");
		free(target);
	}
	if (dir != NULL)
		closedir(dir);
	return ok;
}

static bool
move_all_linked(const char *data_dir, const char *suffix)
{
	char		wal[MAXPGPATH];

	return move_tablespaces(data_dir, suffix) &&
		ha_path_in(wal, data_dir, "pg_wal") &&
		move_linked(wal, suffix, "WAL directory");
}

/* Before anything is moved: can all of it be? */
static bool
can_be_moved(const char *data_dir, bool with_linked)
{
	char		wal[MAXPGPATH];
	char	   *target;
	bool		ok;

	if (!ha_can_be_renamed(data_dir) || !ha_path_in(wal, data_dir, "pg_wal"))
		return false;
	if (!with_linked)
		return true;
	target = find_target(wal);
	ok = move_tablespaces(data_dir, NULL) &&
		(target == NULL || (ha_can_be_renamed(target) && holds_only_wal(target)));
	free(target);
	return ok;
}

/*
 * The data directory could not be renamed after all.  Where its links led is moved,
 * and they with it, so it is whole, and must not be taken for what is left of a move.
 */
static void
take_marker_back(const HaNode *node, const char *data_dir, const char *aside)
{
	struct stat st;

	if (aside[0] == '\0' || lstat(aside, &st) == 0 || errno != ENOENT)
		return;
	ha_remove_file(node->state_dir, HA_ASIDE_MARKER);
	ha_remove_file(data_dir, TAG_FILE);
}

static void
warn_of_links(const char *data_dir)
{
	char		path[MAXPGPATH];

	if (!ha_path_in(path, data_dir, "pg_tblspc") || is_empty(path))
		return;
	pg_log_warning("the tablespaces that \"%s\" links to were left where they are",
				   path);
	pg_log_warning_hint("If they are this node's, move them aside before a clone needs their place.");
}

/*
 * Where the data directory is a symbolic link, what it leads to is renamed, so that
 * the new one is made in the same file system as the old.
 */
static bool
move_data(const HaNode *node, const char *infix, char *aside)
{
	char	   *real = realpath(node->data_dir, NULL);
	bool		foreign = ha_exists_in(node->state_dir, HA_RESTORE_MARKER);
	bool		resumed = ha_exists_in(node->state_dir, HA_ASIDE_MARKER);
	char		suffix[SUFFIX_SIZE];
	bool		ok = false;

	if (real == NULL)
		pg_log_error("could not find directory \"%s\": %m", node->data_dir);
	else if (choose_suffix(real, infix, suffix) &&
			 can_be_moved(real, !foreign) &&
			 ha_datadir_put_marker(node, HA_ASIDE_MARKER))
	{
		if (foreign)
			warn_of_links(real);
		if (foreign || move_all_linked(real, suffix))
		{
			ok = move_directory(real, suffix, "data directory", aside);
			if (!ok && !resumed)
				take_marker_back(node, real, aside);
		}
	}
	free(real);
	return ok;
}

/* moved: where the data directory has gone to, if it did. */
static bool
make_way(const HaNode *node, const char *infix, char *moved)
{
	char		suffix[SUFFIX_SIZE];
	char		aside[MAXPGPATH];

	if (!is_empty(node->data_dir) && !move_data(node, infix, moved))
		return false;
	if (node->wal_dir[0] != '\0' && !is_empty(node->wal_dir) &&
		!(holds_only_wal(node->wal_dir) && ha_can_be_renamed(node->wal_dir) &&
		  choose_suffix(node->wal_dir, infix, suffix) &&
		  move_directory(node->wal_dir, suffix, "WAL directory", aside)))
		return false;
	return ha_datadir_remove_markers(node);
}

bool
ha_aside_make_way(const HaNode *node)
{
	char		moved[MAXPGPATH];

	return make_way(node, INFIX, moved);
}

bool
ha_aside_move_failed(const HaNode *node, char *moved)
{
	moved[0] = '\0';
	return make_way(node, FAILED_INFIX, moved);
}

/*
 * Pruning.
 */

/* Bytes on disk. */
static int64_t
size_of(const char *path)
{
	struct stat st;
	char		child[MAXPGPATH];
	int64_t		size;
	const char *name;
	DIR		   *dir;

	if (lstat(path, &st) != 0)
		return 0;
	size = (int64_t) st.st_blocks * 512;
	if (!S_ISDIR(st.st_mode) || (dir = opendir(path)) == NULL)
		return size;
	while ((name = next_entry(dir)) != NULL)
	{
		if (ha_path_in(child, path, name))
			size += size_of(child);
	}
	closedir(dir);
	return size;
}

/*
 * Remove a directory that holds our tag, and the tag last, so that what an
 * interruption leaves is still known as a copy.
 */
static bool
remove_tagged(const char *path)
{
	char		child[MAXPGPATH];
	struct stat st;
	const char *name;
	DIR		   *dir = opendir(path);
	bool		ok = dir != NULL;

	while (ok && (name = next_entry(dir)) != NULL)
	{
		if (strcmp(name, TAG_FILE) == 0)
			continue;
		ok = ha_path_in(child, path, name) && lstat(child, &st) == 0 &&
			(S_ISDIR(st.st_mode) ? rmtree(child, true) : unlink(child) == 0);
	}
	if (dir != NULL)
		closedir(dir);
	ok = ok && ha_remove_file(path, TAG_FILE) && rmdir(path) == 0;
	if (!ok)
		pg_log_warning("could not remove \"%s\": %m", path);
	return ok;
}

/* Remove what a link of a copy leads to, if that is a copy as well. */
static int64_t
remove_linked(const char *dir, const char *name)
{
	char		link[MAXPGPATH];
	struct stat st;
	char	   *target;
	int64_t		size = 0;

	if (!ha_path_in(link, dir, name) || lstat(link, &st) != 0 ||
		!S_ISLNK(st.st_mode) || (target = realpath(link, NULL)) == NULL)
		return 0;
	if (is_copy(target))
	{
		size = size_of(target);
		if (!remove_tagged(target))
			size = 0;
	}
	free(target);
	return size;
}

static void
remove_copy(const char *path, int keep)
{
	char		tablespaces[MAXPGPATH];
	int64_t		size = size_of(path);
	const char *name;
	DIR		   *dir;

	size += remove_linked(path, "pg_wal");
	dir = ha_path_in(tablespaces, path, "pg_tblspc") ?
		opendir(tablespaces) : NULL;
	while (dir != NULL && (name = next_entry(dir)) != NULL)
		size += remove_linked(tablespaces, name);
	if (dir != NULL)
		closedir(dir);
	if (remove_tagged(path))
		pg_log_info("removed moved-aside copy \"%s\", " INT64_FORMAT " MB: pg_ha.keep_aside is %d",
					path, size / (1024 * 1024), keep);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The copies of a data directory, the oldest first; the names are malloc'd. */
static int
find_copies(const char *data_dir, char **copies)
{
	char		parent[MAXPGPATH];
	char		prefix[MAXPGPATH];
	char		path[MAXPGPATH];
	struct stat st;
	const char *name;
	DIR		   *dir;
	int			n = 0;

	strlcpy(parent, data_dir, sizeof(parent));
	get_parent_directory(parent);
	snprintf(prefix, sizeof(prefix), "%s" INFIX,
			 last_dir_separator(data_dir) + 1);
	dir = opendir(parent);
	while (dir != NULL && n < COPIES_MAX && (name = next_entry(dir)) != NULL)
	{
		/* A tag behind a link would be some other directory's. */
		if (strncmp(name, prefix, strlen(prefix)) == 0 &&
			ha_path_in(path, parent, name) && lstat(path, &st) == 0 &&
			S_ISDIR(st.st_mode) && is_copy(path))
			copies[n++] = pg_strdup(path);
	}
	if (dir != NULL)
		closedir(dir);
	qsort(copies, n, sizeof(copies[0]), compare_names);
	return n;
}

static void
prune(const HaNode *node)
{
	char	   *copies[COPIES_MAX];
	char	   *real = realpath(node->data_dir, NULL);
	int			keep = ha_clone_keep_aside(node);
	int			n = real != NULL ? find_copies(real, copies) : 0;

	for (int i = 0; i < n - keep; i++)
		remove_copy(copies[i], keep);
}

pid_t
ha_aside_start_pruning(const HaNode *node)
{
	pid_t		pid;

	if (ha_clone_keep_aside(node) < 0)
		return 0;
	pid = ha_program_fork();
	if (pid == 0)
	{
		prune(node);
		_exit(0);
	}
	return Max(pid, 0);
}
