/*-------------------------------------------------------------------------
 *
 * config.h
 *	  The cluster's configuration in this server: judged, then in force.
 *
 * What stands in the store may have been put there by anybody.  It counts as a
 * whole or not at all: a document in which one setting of the server is wrong
 * changes nothing, on any member, and the last good one stays in force.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CONFIG_H
#define HA_CONFIG_H

#include "config_json.h"
#include "dcs.h"

/* Beside pg_ha.conf, which includes it before the node file. */
#define HA_CLUSTER_FILE		"pg_ha.cluster.conf"

/*
 * May the cluster's configuration set that parameter of the server?  NULL: yes.
 * Else why not, as the rest of a sentence that begins with its name.
 */
extern const char *ha_config_refusal(const char *parameter);

/*
 * Check one value with the server's own means; raises its error.  Nothing is
 * changed.
 */
extern void ha_config_check_value(const HaParameter *parameter);

/* The worker, at its start: what is in force. */
extern void ha_config_begin(void);

/*
 * The worker: judge the configuration in an answer to a RANGE, and if it is no good,
 * put the last good one in its place, before anybody acts on it.  While it may not
 * judge, since the process holds locks that an error would spoil, the last good one
 * stays.
 */
extern void ha_config_filter(HaAnswer *answer, bool may_judge);

/* Why the stored configuration is not in force; '' = it is. */
extern const char *ha_config_trouble(void);

/*
 * The worker: have the server read the settings of the last good configuration,
 * unless it has.  Writes a small file.
 */
extern void ha_config_apply(int64_t now);

/*
 * The settings of this server that wait for a restart, as this process knows after
 * it has read the configuration: names with commas between them.
 */
extern void ha_config_pending(char *names, size_t size);

/* One row of pg_ha_parameters(): a setting of the server in this process. */
typedef struct HaParameterState
{
	char	   *setting;		/* palloc'd; NULL = there is no such parameter */
	const char *file;			/* where it comes from; NULL = from no file */
	bool		pending_restart;
} HaParameterState;

extern void ha_config_state(const char *parameter, HaParameterState *state);

#endif							/* HA_CONFIG_H */
