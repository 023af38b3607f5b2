/*-------------------------------------------------------------------------
 *
 * rules.h
 *	  What the files of pure rules have in common.
 *
 * Names and counts in a view come from hostile places: a name need not be terminated,
 * and a count need not be one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_RULES_H
#define HA_RULES_H

#include <string.h>

#include "cluster.h"

static inline bool
is_name(const char *a, const char *b)
{
	return strncmp(a, b, HA_NAME_SIZE) == 0;
}

static inline void
copy_name(char *to, const char *from)
{
	size_t		length = strnlen(from, HA_NAME_SIZE - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

/* A count as a bound of an index. */
static inline int
bounded(int32_t n, int32_t max)
{
	return n < 0 ? 0 : n > max ? max : n;
}

static inline int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif							/* HA_RULES_H */
