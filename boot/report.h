/*-------------------------------------------------------------------------
 *
 * report.h
 *	  What checks have found: each with a code, a hint, and how bad it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REPORT_H
#define HA_REPORT_H

#include <jansson.h>
#include <stdbool.h>

typedef struct HaFinding
{
	char		code[8];		/* "P05" */
	bool		warning;		/* the node can run all the same */
	char	   *message;		/* one line, without the code */
	char	   *hint;			/* one line */
} HaFinding;

typedef struct HaReport
{
	int			nfindings;
	HaFinding  *findings;		/* in the order in which they were found */
} HaReport;

/* Add a finding.  Line breaks in what others have said become blanks. */
extern void ha_report_error(HaReport *report, const char *code,
							const char *hint, const char *fmt,...)
			__attribute__((format(printf, 4, 5)));
extern void ha_report_warning(HaReport *report, const char *code,
							  const char *hint, const char *fmt,...)
			__attribute__((format(printf, 4, 5)));

extern bool ha_report_has_errors(const HaReport *report);

/* The exit code that a code stands for. */
extern int	ha_report_code_exit(const char *code);

/* That of the most severe error: 12 over 10 over 11; 0 = there is none. */
extern int	ha_report_exit_code(const HaReport *report);

/* Tell everything in the way of pg_log_error and pg_log_warning. */
extern void ha_report_log(const HaReport *report);

/* The same as a JSON array; NULL: out of memory. */
extern json_t *ha_report_json(const HaReport *report);

extern void ha_report_free(HaReport *report);

#endif							/* HA_REPORT_H */
