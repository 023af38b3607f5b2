/*-------------------------------------------------------------------------
 *
 * cluster_json.h
 *	  The view: which key of the store goes where in it.
 *
 * Plain C and jansson.  Keys that Patroni has are in Patroni's shape; our own
 * stand under pg_ha/.  Everything read is hostile input: size, depth, type,
 * range and names are checked; what fails a check is as if it were not there,
 * and is counted in view->nmalformed.
 *
 *	pg_ha/identity	{"uuid":"6f2c0a34-...","schema":1,"needs":"1.0"}
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLUSTER_JSON_H
#define HA_CLUSTER_JSON_H

#include "cluster.h"
#include "dcs.h"

/*
 * Build a view from the answer to a RANGE.  sent_at, cluster_id, raft_term and
 * revision come from the answer.  A /config that is absent or does not parse
 * leaves the defaults, or "last_config" if that is known.
 */
extern void ha_view_parse(const HaAnswer *answer, const HaConfig *last_config,
						  HaView *view);

/* Values as they are put.  malloc'd; NULL only when memory is out. */
extern char *ha_identity_json(const char *uuid);
extern char *ha_sync_json(const char *leader, int quorum, int nstandbys,
						  const char standbys[][HA_NAME_SIZE]);
extern char *ha_failover_json(const char *leader, const char *candidate);
extern char *ha_scheduled_json(const char *leader, const char *candidate,
							   int64_t at);

#endif							/* HA_CLUSTER_JSON_H */
