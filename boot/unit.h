/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  Units of systemd that would start a server behind our back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_UNIT_H
#define HA_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * An enabled unit, other than pg_ha's own, that starts the server of that data
 * directory: it names the directory, or it is the one in which the postmaster "pid"
 * runs now (0 = none does).  false: there is none.
 */
extern bool ha_unit_find_enabled(const char *data_dir, pid_t pid, char *unit,
								 size_t size);

#endif							/* HA_UNIT_H */
