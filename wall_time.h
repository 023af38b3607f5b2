/*-------------------------------------------------------------------------
 *
 * wall_time.h
 *	  Times of day for people, as ISO 8601; nothing is decided by them but when
 *	  something that people have scheduled is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_WALL_TIME_H
#define HA_WALL_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define HA_TIME_SIZE	40

/* Unix time in milliseconds. */
extern int64_t ha_wall_clock(void);

/*
 * "2026-11-27T08:30:00.25+01:00" as Unix time in milliseconds.  A blank may stand
 * for the T and Z for the offset, which must not be left out.  False for anything
 * else, and for a year before 1971 or after 9998.
 */
extern bool ha_time_parse(const char *text, int64_t *ms);

/* The same in UTC with microseconds, as Patroni writes it. */
extern void ha_time_format(int64_t ms, char text[HA_TIME_SIZE]);

#endif							/* HA_WALL_TIME_H */
