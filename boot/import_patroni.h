/*-------------------------------------------------------------------------
 *
 * import_patroni.h
 *	  A node that is run from Patroni's configuration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_IMPORT_PATRONI_H
#define HA_IMPORT_PATRONI_H

#include "commands.h"

/*
 * Translate it into the node's state directory, and let the invocation be as if that
 * had been given: -c, and what is not there of -D, -b and the options of a bootstrap.
 * 0, or an exit code after reporting.
 */
extern int	ha_patroni_invocation(const char *path, HaInvocation *invocation);

/* The same again, for a reload; true if nothing is run from such a file. */
extern bool ha_patroni_refresh(void);

#endif							/* HA_IMPORT_PATRONI_H */
