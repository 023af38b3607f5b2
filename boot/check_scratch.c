/*-------------------------------------------------------------------------
 *
 * check_scratch.c
 *	  What only a server can tell, told by one in a scratch directory.
 *
 * B02, B03: would initdb take these options?  P03: does the library load?  P20: do
 * the hba and ident files parse?  A data directory made for the purpose, which is
 * removed afterwards, answers with the server's own code, and no file of the node
 * is touched.  That takes a second or two, so it is not done before a start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <unistd.h>

#include "port.h"

#include "auth_files.h"
#include "bootstrap.h"
#include "files.h"
#include "preflight.h"
#include "programs.h"

#define MAX_OPTIONS			64

/* The last line of what a program said, which is what it ended for. */
static const char *
last_line(PQExpBuffer said)
{
	char	   *line;

	while (said->len > 0 && isspace((unsigned char) said->data[said->len - 1]))
		said->data[--said->len] = '\0';
	line = strrchr(said->data, '\n');
	return line != NULL ? line + 1 : said->data;
}

/* The first line that says "error: ...", which the later ones only explain. */
static const char *
error_line(PQExpBuffer said)
{
	char	   *error = strstr(said->data, "error: ");
	char	   *invalid = strstr(said->data, "initdb: ");

	if (error == NULL)
		error = invalid;
	if (error == NULL)
		return last_line(said);
	error[strcspn(error, "\n")] = '\0';
	return error;
}

/*
 * Initdb.
 */

static bool
refuse_reserved(HaPreflight *p)
{
	bool		ok = true;

	for (int i = 0; i < p->ninitdb_options; i++)
	{
		if (!ha_initdb_is_reserved(p->initdb_options[i]))
			continue;
		ha_report_error(&p->report, "B02", "Leave it out.",
						"initdb option \"%s\" is set by pg_ha_boot",
						p->initdb_options[i]);
		ok = false;
	}
	return ok;
}

/* Make the scratch cluster, with the options that are to be tried. */
static bool
make_cluster(HaPreflight *p, const char *dir)
{
	const char *argv[MAX_OPTIONS + HA_INITDB_DEFAULTS + 6] = {
		"initdb", "--no-sync", "--no-instructions", "-D", dir
	};
	int			n = 5;
	PQExpBufferData said;
	int			code;

	for (int i = 0; i < HA_INITDB_DEFAULTS; i++)
		argv[n++] = ha_initdb_defaults[i];
	for (int i = 0; i < p->ninitdb_options && i < MAX_OPTIONS; i++)
		argv[n++] = p->initdb_options[i];
	initPQExpBuffer(&said);
	code = ha_program_capture(&p->node, argv, -1, &said);
	if (code != 0)
		ha_report_error(&p->report, "B03",
						"Correct the options behind \"--\"; \"initdb --help\" lists them.",
						"initdb failed: exit status %d: %s", code,
						error_line(&said));
	termPQExpBuffer(&said);
	return code == 0;
}

/*
 * The library.
 */

/* Asked for something that depends on libraries, a server loads them first. */
static void
load_library(HaPreflight *p, const char *dir)
{
	const char *argv[] = {
		"postgres", "-D", dir, "-c", "shared_preload_libraries=pg_ha",
		"-C", "shared_memory_size", NULL
	};
	PQExpBufferData said;
	char	   *fatal;

	initPQExpBuffer(&said);
	if (ha_program_capture(&p->node, argv, -1, &said) != 0)
	{
		fatal = strstr(said.data, "FATAL:  ");
		if (fatal != NULL)
			fatal[strcspn(fatal, "\n")] = '\0';
		ha_report_error(&p->report, "P03",
						"Build and install pg_ha with the pg_config of these programs.",
						"library \"pg_ha\" does not load: %s",
						fatal != NULL ? fatal + strlen("FATAL:  ") :
						last_line(&said));
	}
	termPQExpBuffer(&said);
}

/*
 * The hba and ident files.
 */

static void
take_fault(void *arg, const char *setting, const char *line, const char *error)
{
	HaPreflight *p = arg;

	ha_report_error(&p->report, "P20",
					"The server would not start with it, or go on with what it had before.",
					"%s \"%s\": line %s: %s", setting,
					p->settings[strcmp(setting, "hba_file") == 0 ?
								HA_SETTING_HBA : HA_SETTING_IDENT].value,
					line, error);
}

/* A node's own rules that are no good keep no server from starting. */
static void
take_local_fault(void *arg, const char *setting, const char *line,
				 const char *error)
{
	HaPreflight *p = arg;
	bool		hba = strcmp(setting, "hba_file") == 0;

	ha_report_warning(&p->report, "P20", "The server would go on with the rules that it had before.",
					  "pg_ha.local_%s \"%s\": line %s: %s", setting,
					  hba ? p->node.local_hba_file : p->node.local_ident_file,
					  line, error);
}

static void
parse_files(HaPreflight *p, const char *dir, const char *hba,
			const char *ident, HaAuthFault take)
{
	PQExpBufferData said;

	initPQExpBuffer(&said);
	if (!ha_auth_files_check(&p->node, dir, hba, ident, take, p, &said))
		ha_report_warning(&p->report, "P20", "Look at the files yourself.",
						  "hba_file and ident_file were not checked: %s",
						  last_line(&said));
	termPQExpBuffer(&said);
}

/* What the node file names. */
static void
check_local_files(HaPreflight *p, const char *dir)
{
	const char *const names[] = {"pg_ha.local_hba_file", "pg_ha.local_ident_file"};
	const char *const paths[] = {p->node.local_hba_file, p->node.local_ident_file};
	char		own[2][MAXPGPATH];
	const char *found[2];

	for (int i = 0; i < 2; i++)
	{
		snprintf(own[i], sizeof(own[i]), "%s/%s", dir,
				 i == 0 ? "pg_hba.conf" : "pg_ident.conf");
		found[i] = own[i];
		if (paths[i][0] == '\0')
			continue;
		if (access(paths[i], R_OK) == 0)
			found[i] = paths[i];
		else
			ha_report_warning(&p->report, "P20", "The server would go on with the rules that it had before.",
							  "%s \"%s\" cannot be read: %m", names[i],
							  paths[i]);
	}
	if (found[0] != own[0] || found[1] != own[1])
		parse_files(p, dir, found[0], found[1], take_local_fault);
}

static void
use_scratch(HaPreflight *p, const char *dir)
{
	if (!make_cluster(p, dir))
		return;
	if (!p->library_missing)
		load_library(p, dir);
	check_local_files(p, dir);
	if (p->directory == HA_DIR_VALID && p->has_settings &&
		access(p->settings[HA_SETTING_HBA].value, R_OK) == 0 &&
		access(p->settings[HA_SETTING_IDENT].value, R_OK) == 0)
		parse_files(p, dir, p->settings[HA_SETTING_HBA].value,
					p->settings[HA_SETTING_IDENT].value, take_fault);
}

void
ha_check_by_scratch(HaPreflight *p)
{
	const char *tmp = getenv("TMPDIR");
	char		base[MAXPGPATH];
	char		dir[MAXPGPATH + 16];

	if (!refuse_reserved(p))
		return;
	snprintf(base, sizeof(base), "%s/pg_ha_check.XXXXXX",
			 tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
	if (mkdtemp(base) == NULL)
	{
		ha_report_warning(&p->report, "P20", "Set TMPDIR to a directory with some 50 MB of space.",
						  "initdb, the library and hba_file were not tried: could not create directory \"%s\": %m",
						  base);
		return;
	}
	snprintf(dir, sizeof(dir), "%s/data", base);
	use_scratch(p, dir);
	rmtree(base, true);
}
