/*-------------------------------------------------------------------------
 *
 * standby_cluster_json.h
 *	  Where the WAL of a standby cluster comes from, as /config tells it.
 *
 *	"standby_cluster":{"host":"10.1.0.5","port":5432,"primary_slot_name":"b"}
 *	"standby_cluster":{"host":"10.1.0.5,10.1.0.6","port":"5432,5433"}
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_STANDBY_CLUSTER_JSON_H
#define HA_STANDBY_CLUSTER_JSON_H

#include <stddef.h>

#include "cluster.h"

struct json_t;

/* So many servers may be named. */
#define HA_MAX_SOURCES	8

/* One of them. */
typedef struct HaSourceServer
{
	char		host[HA_HOST_SIZE];
	int32_t		port;
} HaSourceServer;

/* As ha_config_parse: false says in err what is wrong; then *out is not to be used. */
extern bool ha_standby_cluster_parse(struct json_t *config,
									 HaStandbyCluster *out, char *err,
									 size_t errlen);

/* The servers it names, at most HA_MAX_SOURCES; 0 = it names none that could be. */
extern int	ha_standby_cluster_servers(const HaStandbyCluster *source,
									   HaSourceServer *servers);

/*
 * A change of the configuration that makes it a standby cluster of "source", with
 * nothing left of what it followed before.  malloc'd; NULL: out of memory.
 */
extern char *ha_standby_cluster_patch(const HaStandbyCluster *source);

#endif							/* HA_STANDBY_CLUSTER_JSON_H */
