/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  What a standby must not have less of than its primary.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LIMITS_H
#define HA_LIMITS_H

#include "catalog/pg_control.h"

#define HA_NUM_LIMITS	5

/* By the name of its setting; -1 = that is no such limit. */
extern int	ha_limit_of_data(const ControlFileData *control, const char *name);

#endif							/* HA_LIMITS_H */
