/*-------------------------------------------------------------------------
 *
 * directories.c
 *	  P08: directories outside the data that a server needs to be there.
 *
 * What lies in a file system of its own, such as /run, is gone after a reboot.  It
 * is made again before each start.  Sockets are for other users too, so their
 * directories are open to all; logs are not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "common/username.h"

#include "directories.h"
#include "files.h"
#include "preflight.h"

#define SOCKET_MODE			0775
#define LOG_MODE			0700

/* One directory that a setting names. */
typedef struct Wanted
{
	const char *path;			/* absolute */
	const char *setting;
	mode_t		mode;
} Wanted;

static const char *
user_name(void)
{
	char	   *error = NULL;
	const char *name = get_user_name(&error);

	return name != NULL ? name : "postgres";
}

static void
report_missing(HaReport *report, const Wanted *w, int error)
{
	const char *user = user_name();

	ha_report_error(report, "P08",
					psprintf("As root: install -d -o %s -g %s %s, or add RuntimeDirectory=%s to the unit if it is below /run.",
							 user, user, w->path,
							 strncmp(w->path, "/run/", 5) == 0 ? w->path + 5 :
							 "postgresql"),
					"directory \"%s\" (%s) does not exist and cannot be created: %s",
					w->path, w->setting, strerror(error));
}

/* It is there: can it be used? */
static void
check_existing(HaReport *report, const Wanted *w, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode))
		ha_report_error(report, "P08",
						"Move what is there away, or set another path.",
						"\"%s\" (%s) is not a directory", w->path, w->setting);
	else if (access(w->path, W_OK | X_OK) != 0)
		ha_report_error(report, "P08",
						psprintf("As root: chown %s %s", user_name(), w->path),
						"directory \"%s\" (%s) is not writable by user %s (uid %u)",
						w->path, w->setting, user_name(), (unsigned) geteuid());
}

/* The part of a path that exists. */
static void
find_ancestor(const char *path, char *ancestor)
{
	struct stat st;

	strlcpy(ancestor, path, MAXPGPATH);
	do
		get_parent_directory(ancestor);
	while (ancestor[0] != '\0' && strcmp(ancestor, "/") != 0 &&
		   stat(ancestor, &st) != 0 && errno == ENOENT);
}

static void
check_wanted(HaReport *report, const Wanted *w)
{
	char		ancestor[MAXPGPATH];
	struct stat st;

	if (stat(w->path, &st) == 0)
		check_existing(report, w, &st);
	else if (errno != ENOENT)
		report_missing(report, w, errno);
	else
	{
		find_ancestor(w->path, ancestor);
		if (access(ancestor, W_OK | X_OK) != 0)
			report_missing(report, w, errno);
	}
}

/* The same mode for whatever is missing on the way.  0, or errno. */
static int
make(const char *path, mode_t mode)
{
	char		parent[MAXPGPATH];
	struct stat st;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	if (parent[0] != '\0' && strcmp(parent, "/") != 0 &&
		(errno = make(parent, mode)) != 0)
		return errno;
	if (mkdir(path, mode) != 0)
		return errno;

	/* Our umask is narrow; a set-group-ID bit comes from the parent. */
	if (stat(path, &st) != 0 ||
		chmod(path, mode | (st.st_mode & S_ISGID)) != 0)
		return errno;
	return 0;
}

static void
make_wanted(HaReport *report, const Wanted *w)
{
	struct stat st;
	int			error;

	if (stat(w->path, &st) == 0)
		check_existing(report, w, &st);
	else if ((error = make(w->path, w->mode)) != 0)
		report_missing(report, w, error);
	else
		pg_log_info("created directory \"%s\" (%s)", w->path, w->setting);
}

/*
 * Apply one of the two to a directory.  Relative paths are below the data
 * directory, where nothing is made unless there is data: else initdb and
 * pg_basebackup would find it not empty.
 */
static void
visit(const HaNode *node, bool has_data, HaReport *report, const char *path,
	  const char *setting, mode_t mode,
	  void (*what) (HaReport *report, const Wanted *w))
{
	char		absolute[MAXPGPATH];
	Wanted		w = {.path = absolute,.setting = setting,.mode = mode};

	if (is_absolute_path(path))
		strlcpy(absolute, path, sizeof(absolute));
	else if (!ha_path_in(absolute, node->data_dir, path))
		return;
	canonicalize_path(absolute);
	if (!has_data && path_is_prefix_of_path(node->data_dir, absolute))
		return;
	what(report, &w);
}

static void
visit_all(const HaNode *node, bool has_data, HaReport *report,
		  const char *sockets, bool collector, const char *log_directory,
		  void (*what) (HaReport *report, const Wanted *w))
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *name;

	strlcpy(list, sockets, sizeof(list));
	while ((name = strsep(&rest, ",")) != NULL)
	{
		size_t		n;

		name += strspn(name, " \t\"");
		n = strlen(name);
		while (n > 0 && strchr(" \t\"", name[n - 1]) != NULL)
			name[--n] = '\0';
		/* "@name" is an abstract socket, which needs no directory. */
		if (name[0] != '\0' && name[0] != '@')
			visit(node, has_data, report, name, "unix_socket_directories",
				  SOCKET_MODE, what);
	}
	if (collector && log_directory[0] != '\0')
		visit(node, has_data, report, log_directory, "log_directory",
			  LOG_MODE, what);
}

bool
ha_directories_make(const HaNode *node, const char *sockets, bool collector,
					const char *log_directory)
{
	HaReport	report = {0};
	bool		ok;

	visit_all(node, true, &report, sockets, collector, log_directory,
			  make_wanted);
	ok = !ha_report_has_errors(&report);
	ha_report_log(&report);
	ha_report_free(&report);
	return ok;
}

void
ha_check_directories(HaPreflight *p)
{
	visit_all(&p->node, p->directory == HA_DIR_VALID, &p->report,
			  p->settings[HA_SETTING_SOCKETS].value,
			  strcmp(p->settings[HA_SETTING_COLLECTOR].value, "on") == 0,
			  p->settings[HA_SETTING_LOG_DIRECTORY].value, check_wanted);
}
