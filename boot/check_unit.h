/*-------------------------------------------------------------------------
 *
 * check_unit.h
 *	  Does systemd start a server on a data directory by itself?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CHECK_UNIT_H
#define HA_CHECK_UNIT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The name of an enabled unit that would start a server there, other than by
 * pg_ha_boot.  "root" is where /etc is, "" for this machine's own.
 */
extern bool ha_unit_find_rival(const char *root, const char *data_dir,
							   char *unit, size_t size);

#endif							/* HA_CHECK_UNIT_H */
