/*-------------------------------------------------------------------------
 *
 * health.h
 *	  Is this server able to do its work?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HEALTH_H
#define HA_HEALTH_H

#include "pg_ha.h"

/*
 * Judge every check and fill in what *local says of health.  For the worker, which
 * calls it each turn: it looks at memory only and waits for nothing.
 */
extern void ha_health_look(HaLocal *local, int64 now);

/* The checks as the last look found them, HA_NCHECKS of them. */
extern const HaCheck *ha_health_checks(void);

extern const char *ha_health_name(HaCheckId id);

#endif							/* HA_HEALTH_H */
