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

#include "bootstrap.h"
#include "files.h"
#include "preflight.h"
#include "programs.h"

#define MAX_OPTIONS			64
#define LINE_MARK			"pg_ha|"

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

static bool
check_readable(HaPreflight *p, const char *setting, const char *path)
{
	if (access(path, R_OK) == 0)
		return true;
	ha_report_error(&p->report, "P20",
					"It belongs to the node, and pg_ha does not write it: put it there.",
					"%s \"%s\" cannot be read: %m", setting, path);
	return false;
}

/*
 * One line of a single-user server's output, 'r = "pg_ha|FILE|LINE|ERROR"	(typeid
 * ...'.
 */
static void
report_line(HaPreflight *p, char *text)
{
	char	   *end = strstr(text, "\"\t(typeid");
	char	   *file = strsep(&text, "|");
	char	   *line = strsep(&text, "|");

	if (end == NULL || line == NULL || text == NULL)
		return;
	*end = '\0';
	ha_report_error(&p->report, "P20",
					"The server would not start with it, or go on with what it had before.",
					"%s \"%s\": line %s: %s",
					strcmp(file, "hba_file") == 0 ? "hba_file" : "ident_file",
					p->settings[strcmp(file, "hba_file") == 0 ?
								HA_SETTING_HBA : HA_SETTING_IDENT].value,
					line, text);
}

/*
 * Have them parsed.  With ssl on, since "hostssl" is no mistake on a server that may
 * have it turned on later; a single-user server opens no certificate.
 */
static void
parse_files(HaPreflight *p, const char *dir)
{
	static const char statements[] =
	"SELECT '" LINE_MARK "hba_file|' || coalesce(line_number, 0) || '|' || error AS r"
	" FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL;\n"
	"SELECT '" LINE_MARK "ident_file|' || coalesce(line_number, 0) || '|' || error AS r"
	" FROM pg_catalog.pg_ident_file_mappings WHERE error IS NOT NULL;\n";
	char		hba[HA_TEXT_SIZE + 16];
	char		ident[HA_TEXT_SIZE + 16];
	const char *argv[] = {
		"postgres", "--single", "-D", dir, "-c", hba, "-c", ident,
		"-c", "ssl=on", "template1", NULL
	};
	PQExpBufferData said;
	int			in = ha_nameless_file(statements);

	snprintf(hba, sizeof(hba), "hba_file=%s",
			 p->settings[HA_SETTING_HBA].value);
	snprintf(ident, sizeof(ident), "ident_file=%s",
			 p->settings[HA_SETTING_IDENT].value);
	initPQExpBuffer(&said);
	if (in < 0 || ha_program_capture(&p->node, argv, in, &said) != 0)
		ha_report_warning(&p->report, "P20", "Look at the files yourself.",
						  "hba_file and ident_file were not checked: %s",
						  last_line(&said));
	else
	{
		char	   *rest = said.data;
		char	   *line;

		while ((line = strsep(&rest, "\n")) != NULL)
		{
			char	   *mark = strstr(line, "\"" LINE_MARK);

			if (mark != NULL)
				report_line(p, mark + 1 + strlen(LINE_MARK));
		}
	}
	if (in >= 0)
		close(in);
	termPQExpBuffer(&said);
}

static void
use_scratch(HaPreflight *p, const char *dir)
{
	bool		readable;

	if (!make_cluster(p, dir))
		return;
	if (!p->library_missing)
		load_library(p, dir);
	if (p->directory != HA_DIR_VALID || !p->has_settings)
		return;
	readable = check_readable(p, "hba_file", p->settings[HA_SETTING_HBA].value);
	readable &= check_readable(p, "ident_file",
							   p->settings[HA_SETTING_IDENT].value);
	if (readable)
		parse_files(p, dir);
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
