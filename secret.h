/*-------------------------------------------------------------------------
 *
 * secret.h
 *	  Passwords in files of their own.
 *
 * Plain C.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SECRET_H
#define HA_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* A password, or "user:password", with its NUL. */
#define HA_SECRET_SIZE		1024

/* "Basic " and such a secret in base64, with its NUL. */
#define HA_BASIC_SIZE		(8 + (HA_SECRET_SIZE + 2) / 3 * 4)

/*
 * The first line of a file that nobody else can read.  On failure *err says
 * why, without any of the content.
 */
extern bool ha_secret_read(const char *name, char *secret, size_t size,
						   char *err, size_t errlen);

/*
 * HTTP's "Basic ..." for the line "user:password" in such a file; "basic" holds
 * HA_BASIC_SIZE.
 */
extern bool ha_secret_basic(const char *name, char *basic, char *err,
							size_t errlen);

/* In a time that does not tell where they differ. */
extern bool ha_secret_is_equal(const char *a, const char *b);

#endif							/* HA_SECRET_H */
