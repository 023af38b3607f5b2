/*-------------------------------------------------------------------------
 *
 * cluster_json.h
 *	  The nouns of cluster.h <-> what stands in the store.
 *
 * Plain C and jansson.  Keys that Patroni has are in Patroni's shape; our own
 * stand under pg_ha/.  Everything read is hostile input: size, depth, type,
 * range and names are checked; what fails a check is as if it were not there,
 * and is counted in view->nmalformed.
 *
 *	pg_ha/identity	{"uuid":"6f2c0a34-...","schema":1,"needs":"1.0"}
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
#ifndef HA_CLUSTER_JSON_H
#define HA_CLUSTER_JSON_H

#include "cluster.h"
#include "dcs.h"

struct json_t;

/* Defaults of a cluster without /config: ttl 10 s, loop_wait 2, retry 4. */
extern void ha_config_defaults(HaConfig *config);

/*
 * Parse /config.  Returns false and says why in err, in the words of the key
 * that is wrong, if any known key has a bad value or the timing rule
 * ttl >= loop_wait + 2 * retry_timeout is broken; *config is untouched then.
 * Unknown keys are Patroni's business or a later version's: they pass.
 */
extern bool ha_config_parse(const char *json, size_t length, HaConfig *config,
							char *err, size_t errlen);

/* The JSON object of the defaults, as first written to /config.  malloc'd. */
extern char *ha_config_default_json(void);

/* "[A-Za-z0-9_.-]{1,63}" */
extern bool ha_name_is_valid(const char *name);

/*
 * A boolean, or a word or number that Patroni takes for one.  false: it is neither,
 * and *out is as it was.
 */
extern bool ha_json_switch(struct json_t *value, bool *out);

/* Lower case, with its dashes. */
extern bool ha_uuid_is_valid(const char *uuid);

/*
 * Patroni's mapping of a member name to a replication slot name: lower case,
 * '-' and '.' become '_', anything else not in [a-z0-9_] becomes uNNNN, cut to
 * 63.  out must have HA_NAME_SIZE bytes.
 */
extern void ha_slot_name(const char *member, char *out);

/*
 * Build a view from the answer to a RANGE.  sent_at, cluster_id, raft_term and
 * revision come from the answer.  A /config that is absent or does not parse
 * leaves the defaults, or "last_config" if that is known.
 */
extern void ha_view_parse(const HaAnswer *answer, const HaConfig *last_config,
						  HaView *view);

/* Single keys, for watch events and control.  false: malformed. */
extern bool ha_heartbeat_parse(const HaKv *kv, HaHeartbeat *heartbeat);

/* Values as they are put.  malloc'd; NULL only when memory is out. */
extern char *ha_identity_json(const char *uuid);
extern char *ha_heartbeat_json(const HaHeartbeat *heartbeat);
extern char *ha_term_json(const HaTerm *term);
extern char *ha_vote_json(const HaVote *vote);
extern char *ha_sync_json(const char *leader, int quorum, int nstandbys,
						  const char standbys[][HA_NAME_SIZE]);
extern char *ha_failover_json(const char *leader, const char *candidate);
extern char *ha_scheduled_json(const char *leader, const char *candidate,
							   int64_t at);
extern char *ha_failsafe_json(const HaFailsafe *failsafe);

/*
 * The body of POST /failsafe.  Ours says three things more than Patroni's does,
 * "term", "ttl" and "lsn".  Parsing returns false for anything but an object whose
 * "name" is a member name and whose other members that we know are sane.
 */
extern char *ha_question_json(const HaQuestion *question, const char *conn_url,
							  const char *api_url);
extern bool ha_question_parse(const char *json, size_t length,
							  HaQuestion *question);

/*
 * A member key.  Fields in Patroni's order; lsn fields that are 0 are left out.
 * Tags that are at their default are left out.
 */
extern char *ha_member_json(const HaMember *member);

/* Patroni's words. */
extern const char *ha_member_state_name(HaMemberState state);
extern const char *ha_role_name(HaRole role);	/* primary, replica,
												 * uninitialized */
#define HA_STANDBY_LEADER	"standby_leader"	/* ... and a standby that
												 * leads a standby cluster */
extern const char *ha_verb_name(HaVerb verb);	/* "acquire", ... */

/*
 * Append [timeline, lsn, reason, ISO timestamp, new leader] lines for the newly
 * ended timeline to a /history value (NULL or malformed = start anew from
 * lineage).  malloc'd; NULL = it has them all, and is not to be written: that it was
 * would tell of a new reign (mixed.c).
 */
extern char *ha_history_json(const HaTerm *term, const char *old_value,
							 const char *iso_time);

/*
 * A whole decision problem, for pg_ha_decide(jsonb) and golden tests:
 * {"config":{...},"view":{...},"local":{...},"now":N} with the field names of
 * cluster.h; what is absent is zero (config: the defaults).  Unknown fields are
 * errors, so that a typing mistake does not test nothing.
 */
extern bool ha_problem_parse(const char *json, size_t length, HaConfig *config,
							 HaView *view, HaLocal *local, int64_t *now,
							 char *err, size_t errlen);

/*
 * {"verb":"acquire","why":"...","follow":"n2",...}: what is zero is left out, but
 * for "names" where they are the point of the plan.  "counted" are indexes into
 * the problem's votes, as in the plan.
 */
extern char *ha_plan_json(const HaPlan *plan);

#endif							/* HA_CLUSTER_JSON_H */
