/*-------------------------------------------------------------------------
 *
 * fail.h
 *	  How plain C says what is wrong: into a buffer of the caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FAIL_H
#define HA_FAIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Always false, so that a function can end with it. */
__attribute__((format(printf, 3, 4)))
static inline bool
fail(char *err, size_t errlen, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(err, errlen, format, args);
	va_end(args);
	return false;
}

#endif							/* HA_FAIL_H */
