/*-------------------------------------------------------------------------
 *
 * auth_files.c
 *	  What the server's own parser says of files for hba_file and ident_file.
 *
 * A server in single-user mode reads neither of them, but shows both in its views, line
 * by line with what is wrong.  With ssl on, since "hostssl" is no mistake on a server
 * that may have it turned on later; a single-user server opens no certificate.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "auth_files.h"
#include "files.h"
#include "programs.h"

#define LINE_MARK			"pg_ha|"

/*
 * One line of a single-user server's output, 'r = "pg_ha|FILE|LINE|ERROR"	(typeid
 * ...'.
 */
static void
take_line(char *text, HaAuthFault take, void *arg)
{
	char	   *end = strstr(text, "\"\t(typeid");
	char	   *file = strsep(&text, "|");
	char	   *line = strsep(&text, "|");

	if (end == NULL || line == NULL || text == NULL)
		return;
	*end = '\0';
	take(arg, strcmp(file, "hba_file") == 0 ? "hba_file" : "ident_file", line,
		 text);
}

static void
take_output(PQExpBuffer said, HaAuthFault take, void *arg)
{
	char	   *rest = said->data;
	char	   *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char	   *mark = strstr(line, "\"" LINE_MARK);

		if (mark != NULL)
			take_line(mark + 1 + strlen(LINE_MARK), take, arg);
	}
}

bool
ha_auth_files_check(const HaNode *node, const char *dir, const char *hba,
					const char *ident, HaAuthFault take, void *arg,
					PQExpBuffer said)
{
	static const char statements[] =
	"SELECT '" LINE_MARK "hba_file|' || coalesce(line_number, 0) || '|' || error AS r"
	" FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL;\n"
	"SELECT '" LINE_MARK "ident_file|' || coalesce(line_number, 0) || '|' || error AS r"
	" FROM pg_catalog.pg_ident_file_mappings WHERE error IS NOT NULL;\n";
	char		hba_option[HA_TEXT_SIZE + 16];
	char		ident_option[HA_TEXT_SIZE + 32];
	const char *argv[] = {
		"postgres", "--single", "-D", dir, "-c", hba_option, "-c", ident_option,
		"-c", "ssl=on", "template1", NULL
	};
	int			in = ha_nameless_file(statements);
	bool		ok;

	snprintf(hba_option, sizeof(hba_option), "hba_file=%s", hba);
	if (ident != NULL)
		snprintf(ident_option, sizeof(ident_option), "ident_file=%s", ident);
	else
		snprintf(ident_option, sizeof(ident_option),
				 "ident_file=%s/pg_ident.conf", dir);
	ok = in >= 0 && ha_program_capture(node, argv, in, said) == 0;
	if (ok)
		take_output(said, take, arg);
	if (in >= 0)
		close(in);
	return ok;
}
