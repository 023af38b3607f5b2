/*-------------------------------------------------------------------------
 *
 * upgrade_data.c
 *	  A major upgrade and the data: pg_upgrade, and what is needed around it.
 *
 * The old data is read by the old programs and the new one by the new ones, so that
 * this program need be of neither version.  pg_upgrade copies, so the old data stays
 * whole whatever happens; it starts the old server, though, on a socket that nobody
 * else can reach, which writes a checkpoint or two.
 *
 * The new data is made beside the old one, in PGDATA.upgrade, and takes its place by
 * renaming.  Nothing of the old is deleted; nor may pg_upgrade leave its script that
 * would, since by then the new data has that name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/logging.h"
#include "mb/pg_wchar.h"
#include "pqexpbuffer.h"

#include "files.h"
#include "programs.h"
#include "upgrade_major.h"

#define MARK				"pg_ha|"
#define MAX_OPTIONS			24
#define DELETE_SCRIPT		"delete_old_cluster.sh"
#define PRIVATE_HBA			"hba.conf"

/*
 * What there is.
 */

int
ha_upgrade_version(const HaNode *node)
{
	const char *argv[] = {"postgres", "--version", NULL};
	PQExpBufferData said;
	int			version = 0;

	initPQExpBuffer(&said);
	if (ha_program_capture(node, argv, -1, &said) != 0 ||
		sscanf(said.data, "postgres (PostgreSQL) %d", &version) != 1 ||
		version < 10)
	{
		version = 0;
		pg_log_error("P02 cannot find \"postgres\" in \"%s\"", node->bin_dir);
		pg_log_error_hint("--old-bindir and --new-bindir name the directories of the programs of both versions.");
	}
	termPQExpBuffer(&said);
	return version;
}

int
ha_upgrade_data_version(const HaNode *node)
{
	char		path[MAXPGPATH];
	FILE	   *file = ha_path_in(path, node->data_dir, "PG_VERSION") ?
	fopen(path, "re") : NULL;
	int			version = 0;

	if (file == NULL || fscanf(file, "%d", &version) != 1 || version < 10)
	{
		version = 0;
		pg_log_error("P05 \"%s\" is no data directory", node->data_dir);
		pg_log_error_hint("Check -D.");
	}
	if (file != NULL)
		fclose(file);
	return version;
}

/* The text behind a label of pg_controldata, up to its line's end; "" = none. */
static const char *
find_value(const char *text, const char *label)
{
	const char *line = strstr(text, label);

	if (line == NULL)
		return "";
	line += strlen(label);
	return line + strspn(line, ": \t");
}

bool
ha_upgrade_data_facts(const HaNode *node, HaClusterData *data)
{
	const char *argv[] = {"pg_controldata", node->data_dir, NULL};
	PQExpBufferData said;
	unsigned	high = 0;
	unsigned	low = 0;
	bool		ok;

	memset(data, 0, sizeof(*data));
	data->version = ha_upgrade_data_version(node);
	if (data->version == 0)
		return false;
	initPQExpBuffer(&said);
	ok = ha_program_capture(node, argv, -1, &said) == 0 &&
		sscanf(find_value(said.data, "Latest checkpoint location"),
			   "%X/%X", &high, &low) == 2;
	if (ok)
	{
		data->sysid = strtoull(find_value(said.data, "Database system identifier"),
							   NULL, 10);
		data->timeline = atoi(find_value(said.data,
										 "Latest checkpoint's TimeLineID"));
		data->checkpoint_lsn = (uint64_t) high << 32 | low;
		data->shut_down = strncmp(find_value(said.data, "Database cluster state"),
								  "shut down\n", 10) == 0;
		data->checksums = atoi(find_value(said.data,
										  "Data page checksum version")) != 0;
		data->wal_segment_mb = atoi(find_value(said.data,
											   "Bytes per WAL segment")) /
			(1024 * 1024);
		ok = data->sysid != 0 && data->wal_segment_mb > 0;
	}
	if (!ok)
		pg_log_error("P05 \"%s/pg_controldata\" cannot read \"%s\": %s",
					 node->bin_dir, node->data_dir, said.data);
	termPQExpBuffer(&said);
	return ok;
}

/*
 * An empty cluster like the old one.
 */

/* What template0 is like, and the name of the first superuser, as JSON. */
static json_t *
ask_old(const HaNode *node)
{
	static const char statement[] =
	"SELECT '" MARK "' || pg_catalog.to_jsonb(d)::text || '|' ||"
	" (SELECT pg_catalog.jsonb_build_object('superuser', rolname)"
	" FROM pg_catalog.pg_authid WHERE oid = 10)::text || '|' AS r"
	" FROM pg_catalog.pg_database d WHERE datname = 'template0';\n";
	const char *argv[] = {
		"postgres", "--single", "-D", node->data_dir, "template1", NULL
	};
	PQExpBufferData said;
	int			in = ha_nameless_file(statement);
	json_t	   *database = NULL;

	initPQExpBuffer(&said);
	if (in >= 0 && ha_program_capture(node, argv, in, &said) == 0)
	{
		char	   *user = strstr(said.data, "\"" MARK);
		char	   *end = user == NULL ? NULL : strstr(user, "|\"\t(typeid");

		if (end != NULL)
		{
			char	   *locale;
			json_t	   *name;

			*end = '\0';
			user += 1 + strlen(MARK);
			locale = strsep(&user, "|");
			database = json_loads(locale, 0, NULL);
			name = user == NULL ? NULL : json_loads(user, 0, NULL);
			json_object_update(database, name);
			json_decref(name);
		}
	}
	if (database == NULL)
	{
		pg_log_error("U04 could not ask the old data for its encoding and locale: %s",
					 said.data);
		pg_log_error_hint("Does the server of version %d start on \"%s\"?",
						  ha_upgrade_data_version(node), node->data_dir);
	}
	termPQExpBuffer(&said);
	if (in >= 0)
		close(in);
	return database;
}

static const char *
text_of(json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

static void
add_option(const char **argv, const char *option, const char *value)
{
	int			n = 0;

	while (argv[n] != NULL)
		n++;
	Assert(n < MAX_OPTIONS - 1);
	argv[n] = value == NULL ? option : psprintf("%s=%s", option, value);
}

/* The provider of template0's locale: older versions know no other than libc. */
static void
add_locale(const char **argv, json_t *database)
{
	const char *provider = text_of(database, "datlocprovider");
	const char *locale = text_of(database, "datlocale");	/* from 17 on */

	add_option(argv, "--lc-collate", text_of(database, "datcollate"));
	add_option(argv, "--lc-ctype", text_of(database, "datctype"));
	if (locale == NULL)
		locale = text_of(database, "daticulocale");
	if (provider == NULL || provider[0] == 'c')
		add_option(argv, "--locale-provider", "libc");
	else
	{
		add_option(argv, "--locale-provider",
				   provider[0] == 'i' ? "icu" : "builtin");
		add_option(argv, provider[0] == 'i' ? "--icu-locale" :
				   "--builtin-locale", locale);
	}
	if (text_of(database, "daticurules") != NULL)
		add_option(argv, "--icu-rules", text_of(database, "daticurules"));
}

/* WAL that lies elsewhere lies beside that then, and that of earlier attempts, too. */
static void
add_wal_dir(const char **argv, const HaUpgrade *u)
{
	char		path[MAXPGPATH];
	char	   *target;
	char	   *wal;
	struct stat st;

	if (!ha_path_in(path, u->old.data_dir, "pg_wal") ||
		lstat(path, &st) != 0 || !S_ISLNK(st.st_mode) ||
		(target = realpath(path, NULL)) == NULL)
		return;
	wal = psprintf("%s.pg%d", target, u->new_version);
	for (int n = 2; lstat(wal, &st) == 0; n++)
		wal = psprintf("%s.pg%d.%d", target, u->new_version, n);
	add_option(argv, "--waldir", wal);
	pg_log_warning("the WAL of the new data will be in \"%s\"", wal);
}

bool
ha_upgrade_make_empty(HaUpgrade *u, const HaClusterData *old)
{
	const char *argv[MAX_OPTIONS] = {"initdb", "-D", u->new.data_dir};
	char		end[256];
	struct stat st;
	json_t	   *database = ask_old(&u->old);
	bool		ok;

	if (database == NULL)
		return false;
	strlcpy(u->superuser, text_of(database, "superuser"), sizeof(u->superuser));
	add_option(argv, "--encoding",
			   pg_encoding_to_char(json_integer_value(json_object_get(database, "encoding"))));
	add_locale(argv, database);
	add_option(argv, "--username", u->superuser);
	add_option(argv, "--wal-segsize", psprintf("%d", old->wal_segment_mb));
	add_option(argv, "--auth=trust", NULL); /* nobody can reach it */
	if (old->checksums)
		add_option(argv, "--data-checksums", NULL);
	else if (u->new_version >= 18)
		add_option(argv, "--no-data-checksums", NULL);
	if (stat(u->old.data_dir, &st) == 0 && (st.st_mode & S_IRGRP) != 0)
		add_option(argv, "--allow-group-access", NULL);
	add_wal_dir(argv, u);
	ok = ha_program_listen(&u->new, argv, "initdb", end, sizeof(end));
	if (!ok)
		pg_log_error("U04 initdb failed: %s", end);
	json_decref(database);
	return ok;
}

/*
 * The upgrade.
 */

/* All that end in .conf, with our includes and those that they include. */
static bool
copy_configuration(const HaUpgrade *u)
{
	DIR		   *dir = opendir(u->old.data_dir);
	struct dirent *entry;
	bool		ok = dir != NULL;

	while (ok && (entry = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];
		size_t		length = strlen(entry->d_name);
		PQExpBufferData content;
		struct stat st;

		if (length < 5 || strcmp(entry->d_name + length - 5, ".conf") != 0 ||
			!ha_path_in(path, u->old.data_dir, entry->d_name) ||
			stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		initPQExpBuffer(&content);
		ok = ha_read_file(path, &content) &&
			ha_replace_data_file(&u->new, entry->d_name, content.data, true);
		termPQExpBuffer(&content);
	}
	if (dir == NULL)
		pg_log_error("could not open directory \"%s\": %m", u->old.data_dir);
	else
		closedir(dir);
	return ok;
}

/*
 * Better to know it while the old data can still be started.  It also writes the
 * node's limits into pg_control, below which no standby would start (P16).
 */
static bool
try_configuration(const HaUpgrade *u)
{
	const char *argv[] = {
		"postgres", "--single", "-D", u->new.data_dir, "template1", NULL
	};
	PQExpBufferData said;
	int			in = ha_nameless_file("SELECT 1;\n");
	bool		ok;

	initPQExpBuffer(&said);
	ok = in >= 0 && ha_program_capture(&u->new, argv, in, &said) == 0;
	if (!ok)
	{
		pg_log_error("U04 PostgreSQL %d does not start with the configuration files of the old data: %s",
					 u->new_version, said.data);
		pg_log_error_hint("Nothing was changed.  Correct the files in \"%s\", or the node file, and run this command again.",
						  u->old.data_dir);
	}
	termPQExpBuffer(&said);
	if (in >= 0)
		close(in);
	return ok;
}

/* pg_upgrade has synced what it made, but not what came after. */
static bool
sync_data(const HaUpgrade *u)
{
	const char *argv[] = {"initdb", "--sync-only", "-D", u->new.data_dir, NULL};

	return ha_program_run(&u->new, argv);
}

/*
 * The old server has settings that are not for it now: who may connect, to which
 * cluster it belongs, whom commits wait for, where to archive.  In the cluster it would
 * be a primary that takes the leader key.
 */
static bool
run_pg_upgrade(const HaUpgrade *u, const char *private_dir)
{
	const char *argv[MAX_OPTIONS] = {"pg_upgrade"};
	char		end[256];

	add_option(argv, "--old-bindir", u->old.bin_dir);
	add_option(argv, "--new-bindir", u->new.bin_dir);
	add_option(argv, "--old-datadir", u->old.data_dir);
	add_option(argv, "--new-datadir", u->new.data_dir);
	add_option(argv, "--socketdir", private_dir);
	add_option(argv, "--username", u->superuser);
	add_option(argv, "--old-options",
			   psprintf("-c hba_file=%s/" PRIVATE_HBA
						" -c pg_ha.scope= -c synchronous_standby_names="
						" -c archive_mode=off", private_dir));
	if (u->check_only)
		add_option(argv, "--check", NULL);
	if (ha_program_listen(&u->new, argv, "pg_upgrade", end, sizeof(end)))
		return true;
	pg_log_error("U04 pg_upgrade failed: %s", end);
	pg_log_error_hint("The data in \"%s\" is as it was, and the cluster can be started as before.  See the files in \"%s/pg_upgrade_output.d\", correct what is wrong, and run this command again.",
					  u->old.data_dir, u->new.data_dir);
	return false;
}

/* A directory that nobody else can enter, so its sockets need no password. */
static bool
make_private_dir(char *dir)
{
	char		path[MAXPGPATH];

	if (mkdtemp(dir) == NULL)
	{
		pg_log_error("could not create directory \"%s\": %m", dir);
		return false;
	}
	return ha_path_in(path, dir, PRIVATE_HBA) &&
		ha_replace_file(path, "local all all trust\n", 0600, false);
}

bool
ha_upgrade_run(const HaUpgrade *u)
{
	static const char *const elsewhere[] = {
		"PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGUSER", "PGOPTIONS"
	};
	char		private_dir[] = "/tmp/pg_ha_upgrade.XXXXXX";
	bool		ok;

	for (int i = 0; i < lengthof(elsewhere); i++)
		unsetenv(elsewhere[i]);
	if (chdir(u->old.state_dir) != 0)
	{
		pg_log_error("could not change directory to \"%s\": %m",
					 u->old.state_dir);
		return false;
	}
	if (!make_private_dir(private_dir))
		return false;
	ok = run_pg_upgrade(u, private_dir) &&
		ha_remove_file(u->old.state_dir, DELETE_SCRIPT) &&
		copy_configuration(u) && try_configuration(u) && sync_data(u);
	(void) rmtree(private_dir, true);
	return ok;
}

/*
 * In its place.
 */

static bool
rename_directory(const char *from, const char *to)
{
	if (rename(from, to) == 0 && ha_sync_parent(to))
	{
		pg_log_info("moved \"%s\" to \"%s\"", from, to);
		return true;
	}
	pg_log_error("could not rename directory \"%s\" to \"%s\": %m", from, to);
	return false;
}

bool
ha_upgrade_swap(const HaUpgrade *u)
{
	struct stat st;
	HaNode		there = u->new;
	HaClusterData data;

	/* Which of the two renamings are done, the directories tell. */
	if (stat(u->new.data_dir, &st) == 0)
	{
		if (!ha_upgrade_data_facts(&u->new, &data))
			return false;
		if (data.sysid != u->new_sysid)
		{
			pg_log_error("U06 \"%s\" is not the data that was upgraded",
						 u->new.data_dir);
			return false;
		}
		if (stat(u->old.data_dir, &st) == 0 &&
			!rename_directory(u->old.data_dir, u->aside))
			return false;
		return rename_directory(u->new.data_dir, u->old.data_dir);
	}
	strlcpy(there.data_dir, u->old.data_dir, sizeof(there.data_dir));
	if (!ha_upgrade_data_facts(&there, &data))
		return false;
	if (data.sysid == u->new_sysid)
		return true;
	pg_log_error("U06 neither \"%s\" nor \"%s\" is the data that was upgraded",
				 u->new.data_dir, u->old.data_dir);
	pg_log_error_hint("The old data is in \"%s\", or still in its place.", u->aside);
	return false;
}

/* It may hold what somebody wants to see, and links to the old data's tablespaces. */
bool
ha_upgrade_discard(const HaUpgrade *u)
{
	char		to[MAXPGPATH];
	struct stat st;

	if (stat(u->new.data_dir, &st) != 0)
		return true;
	snprintf(to, sizeof(to), "%s.failed-%lld", u->new.data_dir,
			 (long long) time(NULL));
	return rename_directory(u->new.data_dir, to);
}

/* What was made just now for a look alone: there never was any data in it. */
void
ha_upgrade_remove_new(const HaUpgrade *u)
{
	char		path[MAXPGPATH];
	char	   *wal;
	struct stat st;

	/* rmtree() does not follow the link to WAL that lies elsewhere */
	if (ha_path_in(path, u->new.data_dir, "pg_wal") &&
		lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
		(wal = realpath(path, NULL)) != NULL)
		(void) rmtree(wal, true);
	(void) rmtree(u->new.data_dir, true);
}
