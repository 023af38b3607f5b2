/*-------------------------------------------------------------------------
 *
 * report.c
 *	  What checks have found: each with a code, a hint, and how bad it is.
 *
 * The exit code follows from the code alone, so that a reader of the table in
 * docs/check.md knows both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>

#include "common/logging.h"

#include "commands.h"
#include "report.h"

/* Codes that do not mean "mend the configuration". */
static const struct
{
	const char *code;
	int			exit_code;
}			exit_codes[] = {
	{"P05", HA_EXIT_REFUSED},
	{"P06", HA_EXIT_REFUSED},
	{"P10", HA_EXIT_TEMPORARY},
	{"P11", HA_EXIT_REFUSED},
	{"P12", HA_EXIT_REFUSED},
	{"P12b", HA_EXIT_REFUSED},
	{"P24", HA_EXIT_REFUSED},
};

int
ha_report_code_exit(const char *code)
{
	for (int i = 0; i < lengthof(exit_codes); i++)
	{
		if (strcmp(exit_codes[i].code, code) == 0)
			return exit_codes[i].exit_code;
	}
	return HA_EXIT_CONFIGURATION;
}

/* A message is one line, whatever a server or a library has said. */
static char *
one_line(char *text)
{
	size_t		n = strlen(text);

	while (n > 0 && isspace((unsigned char) text[n - 1]))
		text[--n] = '\0';
	for (char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	return text;
}

static void add(HaReport *report, const char *code, bool warning,
				const char *hint, const char *fmt, va_list args)
			pg_attribute_printf(5, 0);

static void
add(HaReport *report, const char *code, bool warning, const char *hint,
	const char *fmt, va_list args)
{
	HaFinding  *finding;
	char		message[4096];

	vsnprintf(message, sizeof(message), fmt, args);
	report->findings = pg_realloc(report->findings, sizeof(HaFinding) *
								  (report->nfindings + 1));
	finding = &report->findings[report->nfindings++];
	strlcpy(finding->code, code, sizeof(finding->code));
	finding->warning = warning;
	finding->message = one_line(pg_strdup(message));
	finding->hint = one_line(pg_strdup(hint));
}

void
ha_report_error(HaReport *report, const char *code, const char *hint,
				const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	add(report, code, false, hint, fmt, args);
	va_end(args);
}

void
ha_report_warning(HaReport *report, const char *code, const char *hint,
				  const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	add(report, code, true, hint, fmt, args);
	va_end(args);
}

bool
ha_report_has_errors(const HaReport *report)
{
	return ha_report_exit_code(report) != HA_EXIT_OK;
}

/* How much worse than nothing; refusing is the worst. */
static int
severity(int exit_code)
{
	switch (exit_code)
	{
		case HA_EXIT_REFUSED:
			return 3;
		case HA_EXIT_CONFIGURATION:
			return 2;
		case HA_EXIT_TEMPORARY:
			return 1;
		default:
			return 0;
	}
}

int
ha_report_exit_code(const HaReport *report)
{
	int			worst = HA_EXIT_OK;

	for (int i = 0; i < report->nfindings; i++)
	{
		int			code = ha_report_code_exit(report->findings[i].code);

		if (!report->findings[i].warning && severity(code) > severity(worst))
			worst = code;
	}
	return worst;
}

void
ha_report_log(const HaReport *report)
{
	for (int i = 0; i < report->nfindings; i++)
	{
		const HaFinding *f = &report->findings[i];

		if (f->warning)
		{
			pg_log_warning("%s %s", f->code, f->message);
			pg_log_warning_hint("%s", f->hint);
		}
		else
		{
			pg_log_error("%s %s", f->code, f->message);
			pg_log_error_hint("%s", f->hint);
		}
	}
}

json_t *
ha_report_json(const HaReport *report)
{
	json_t	   *list = json_array();

	for (int i = 0; i < report->nfindings; i++)
	{
		const HaFinding *f = &report->findings[i];
		json_t	   *one;

		/* What others have said need not be UTF-8; then only that is lost. */
		one = json_pack("{s:s, s:s, s:s*, s:s*}", "code", f->code,
						"severity", f->warning ? "warning" : "error",
						"message", f->message, "hint", f->hint);
		if (one == NULL)
			one = json_pack("{s:s, s:s, s:s}", "code", f->code,
							"severity", f->warning ? "warning" : "error",
							"message", "(not UTF-8)");
		if (one != NULL && !f->warning)
			json_object_set_new(one, "exit_code", json_integer(ha_report_code_exit(f->code)));
		json_array_append_new(list, one);
	}
	return list;
}

void
ha_report_free(HaReport *report)
{
	for (int i = 0; i < report->nfindings; i++)
	{
		pg_free(report->findings[i].message);
		pg_free(report->findings[i].hint);
	}
	pg_free(report->findings);
	memset(report, 0, sizeof(*report));
}
