/*-------------------------------------------------------------------------
 *
 * term_json.h
 *	  Who led, who leads and who would: heartbeat, term and votes <-> what stands
 *	  in the store.
 *
 *	pg_ha/heartbeat	{"name":"n1","term":5,"ttl":10000,"lsn":123,
 *					 "released":true,"released_lsn":123,"failsafe":true}	(last three
 *					 optional)
 *	pg_ha/term		{"term":5,"owner":"n1","intent":true,"timeline":3,
 *					 "begin_lsn":123,"timeline_owner":"n1","reserved":4,
 *					 "reached":130,"lost_bytes":7,"lineage":[[1,100,"n2"],[2,123,"n3"]]}
 *	pg_ha/votes/N	{"term":5,"term_revision":77,"timeline":3,"lsn":123,
 *					 "priority":1}  or the same with "withdrawn":true
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_TERM_JSON_H
#define HA_TERM_JSON_H

#include "cluster.h"
#include "dcs.h"

/*
 * false: malformed, and all of it is zero then.  Whose vote it is stands in its key, and
 * is the caller's to say.
 */
extern bool ha_heartbeat_parse(const HaKv *kv, HaHeartbeat *heartbeat);
extern bool ha_term_parse(const HaKv *kv, HaTerm *term);
extern bool ha_vote_parse(const HaKv *kv, HaVote *vote);

/* Values as they are put.  malloc'd; NULL only when memory is out. */
extern char *ha_heartbeat_json(const HaHeartbeat *heartbeat);
extern char *ha_term_json(const HaTerm *term);
extern char *ha_vote_json(const HaVote *vote);

#endif							/* HA_TERM_JSON_H */
