/*-------------------------------------------------------------------------
 *
 * check_programs.c
 *	  Are the programs and the library there, and of the right version?
 *
 * P02: programs.  P03: their versions, and the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "port.h"

#include "files.h"
#include "preflight.h"
#include "programs.h"

/* What pg_ha_boot runs. */
static const char *const programs[] = {
	"postgres", "initdb", "pg_basebackup", "pg_rewind"
};

static bool
check_program(HaPreflight *p, const char *program)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), "%s/%s", p->node.bin_dir, program);
	if (p->node.bin_dir[0] != '\0' && access(path, X_OK) == 0)
		return true;
	ha_report_error(&p->report, "P02",
					"Install the server's programs, or say where they are with --bindir.",
					"cannot find \"%s\" in \"%s\"%s", program,
					p->node.bin_dir,
					p->node.bin_dir[0] != '\0' && errno == EACCES ?
					": it may not be executed" : "");
	return false;
}

/* Its major version, from "NAME (PostgreSQL) 15.4 (...)"; 0: it tells none. */
static int
ask_version(HaPreflight *p, const char *program)
{
	const char *argv[] = {program, "--version", NULL};
	PQExpBufferData said;
	const char *number;
	int			version = 0;

	initPQExpBuffer(&said);
	if (ha_program_capture(&p->node, argv, -1, &said) == 0)
	{
		number = strstr(said.data, "(PostgreSQL) ");
		if (number != NULL)
			version = atoi(number + strlen("(PostgreSQL) "));
	}
	termPQExpBuffer(&said);
	return version;
}

static bool
check_version(HaPreflight *p, const char *program)
{
	int			version = ask_version(p, program);

	if (version == atoi(PG_MAJORVERSION))
		return true;
	if (version == 0)
		ha_report_error(&p->report, "P03", "Run it by hand with --version.",
						"\"%s/%s\" does not tell its version",
						p->node.bin_dir, program);
	else
		ha_report_error(&p->report, "P03",
						"Give the programs of that version with --bindir, or the pg_ha that was built for the other one.",
						"\"%s/%s\" is of PostgreSQL %d, but pg_ha_boot was built for %s",
						p->node.bin_dir, program, version, PG_MAJORVERSION);
	return false;
}

/* Before a start the server's own version is enough: the rest comes with it. */
void
ha_check_programs(HaPreflight *p)
{
	bool		ok = true;

	for (int i = 0; i < lengthof(programs); i++)
	{
		if (!check_program(p, programs[i]) ||
			((i == 0 || !p->starting) && !check_version(p, programs[i])))
			ok = false;
	}
	p->programs_work = ok;
}

/* Does the server look for libraries where we can't tell? */
static bool
has_own_library_path(HaPreflight *p)
{
	HaProbe		probe = {.name = "dynamic_library_path"};
	PQExpBufferData text;
	PQExpBufferData said;
	bool		ok;

	initPQExpBuffer(&text);
	initPQExpBuffer(&said);
	ha_append_setting(&text, "include_if_exists", p->node.path);
	ok = ha_probe_text(&p->node, p->directory == HA_DIR_VALID ?
					   p->node.data_dir : "/", text.data, &probe, 1, &said);
	termPQExpBuffer(&text);
	termPQExpBuffer(&said);
	return ok && strcmp(probe.value, "$libdir") != 0;
}

/* Is it where that program, wherever it really is, would look? */
static bool
has_library(const HaPreflight *p, const char *program, char *directory)
{
	char		path[MAXPGPATH];
	char	   *real;

	snprintf(path, sizeof(path), "%s/%s", p->node.bin_dir, program);
	real = realpath(path, NULL);
	get_pkglib_path(real != NULL ? real : path, directory);
	free(real);
	return ha_exists_in(directory, "pg_ha.so");
}

/* "postgres" may be a script that starts the real one; then the others know. */
void
ha_check_library(HaPreflight *p)
{
	char		directory[MAXPGPATH];

	for (int i = lengthof(programs) - 1; i >= 0; i--)
	{
		if (has_library(p, programs[i], directory))
			return;
	}
	if (has_own_library_path(p))
		return;
	p->library_missing = true;
	ha_report_error(&p->report, "P03",
					"Run \"make install\" of pg_ha with the pg_config of these programs.",
					"library \"pg_ha\" not found in \"%s\"", directory);
}
