/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  What a unit test prints: TAP.
 *
 * For programs of one file: each has its own counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdio.h>

static int	ntests;
static int	nfailed;

static void
check(bool ok, int line, const char *name)
{
	ntests++;
	if (!ok)
		nfailed++;
	printf("%sok %d - %s\n", ok ? "" : "not ", ntests, name);
	if (!ok)
		printf("# failed at line %d\n", line);
}

#define OK(condition, name) check((condition), __LINE__, (name))

/* The plan, and what main() returns. */
static int
end_of_tests(void)
{
	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}

#endif							/* TAP_H */
