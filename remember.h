/*-------------------------------------------------------------------------
 *
 * remember.h
 *	  The cluster as it was seen last, for who starts while the store is away.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REMEMBER_H
#define HA_REMEMBER_H

#include <stddef.h>

#include "cluster.h"

/* In the state directory; pg_ha_boot writes it. */
#define HA_REMEMBER_FILE	"members"
#define HA_REMEMBER_SIZE	(256 * 1024)

/*
 * Members, leader and /sync, but no positions, which are of the past when they are
 * read.  malloc'd; NULL if memory is out.
 */
extern char *ha_remember_keys(const HaView *view);

/* What stands in the file: the keys, and as of when, in microseconds since 1970. */
extern char *ha_remember_json(const char *keys, int64_t as_of);

/*
 * The other way round.  *view is not valid, as it is no view of the present; false: the
 * text is none of ours.
 */
extern bool ha_remember_parse(const char *text, size_t length, HaView *view,
							  int64_t *as_of);

#endif							/* HA_REMEMBER_H */
