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
 * The name of an enabled unit, other than pg_ha's own, that starts the server of
 * that data directory, or of the one in which its postmaster "pid" runs now (0 = none
 * does).  "root" is where /etc and the units are looked for, "" for this machine's
 * own.  false: there is none.
 */
extern bool ha_unit_find_rival(const char *root, const char *data_dir,
							   pid_t pid, char *unit, size_t size);

#endif							/* HA_UNIT_H */
