/*-------------------------------------------------------------------------
 *
 * rest_json.c
 *	  HTTP: what is told of this member and of the cluster, in Patroni's JSON.
 *
 * jansson's setters free their value and return an error when memory is out; such a
 * field is missing then, which readers expect anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <time.h>

#include "../member_json.h"
#include "../standby_cluster.h"
#include "../tags_json.h"
#include "../json_build.h"
#include "../json_guard.h"
#include "../request_json.h"
#include "../wall_time.h"
#include "rest_parts.h"

#define US_PER_S			INT64CONST(1000000)

/*-------------------------------------------------------------------------
 * What stands in the store
 *-------------------------------------------------------------------------
 */

static json_t *
load_key(const HaRest *rest, const char *key)
{
	size_t		length;
	const char *text = ha_session_key(rest->session, key, &length);

	return text != NULL ? ha_json_load(text, length) : NULL;
}

/*
 * An object in any member's key, Patroni's too, as far as it is text, numbers and
 * switches: its tags, its restart that is scheduled.  Left out if there is nothing.
 */
static void
add_of_member(const HaRest *rest, json_t *json, const char *name,
			  const char *what)
{
	char		key[HA_KEY_SIZE];
	json_t	   *member;
	json_t	   *good = json_object();
	const char *field;
	json_t	   *value;

	snprintf(key, sizeof(key), "members/%s", name);
	member = load_key(rest, key);
	json_object_foreach(json_object_get(member, what), field, value)
	{
		if (json_is_string(value) || json_is_number(value) ||
			json_is_boolean(value))
			json_object_set(good, field, value);
	}
	if (json_object_size(good) > 0)
		json_object_set(json, what, good);
	json_decref(good);
	json_decref(member);
}

/*-------------------------------------------------------------------------
 * /patroni
 *-------------------------------------------------------------------------
 */

/* "2026-01-01 12:00:00.123456+00:00" */
static json_t *
time_json(int64_t us)
{
	time_t		seconds = us / US_PER_S;
	struct tm	utc;
	char		text[64];
	size_t		n;

	if (gmtime_r(&seconds, &utc) == NULL)
		return json_null();
	n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
	snprintf(text + n, sizeof(text) - n, ".%06d+00:00", (int) (us % US_PER_S));
	return json_string(text);
}

static void
add_server(json_t *json, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	char		text[64];

	if (w->server_version > 0)
		json_object_set_new(json, "server_version",
							json_integer(w->server_version));
	if (w->sysid != 0)
	{
		snprintf(text, sizeof(text), UINT64_FORMAT, w->sysid);
		json_object_set_new(json, "database_system_identifier",
							json_string(text));
	}
	if (w->postmaster_started_us > 0)
		json_object_set_new(json, "postmaster_start_time",
							time_json(w->postmaster_started_us));
	if (snap->pending_restart)
		json_object_set_new(json, "pending_restart", json_true());
}

/* Who streams from this primary; not from where, nor as whom. */
static void
add_standbys(json_t *json, const HaControlWorker *w)
{
	json_t	   *standbys = json_array();

	for (int i = 0; i < w->nstandbys && i < HA_MAX_MEMBERS; i++)
	{
		const HaControlStandby *standby = &w->standbys[i];
		const char *sync = !standby->sync ? "async" :
		w->synchronous_mode == HA_SYNC_QUORUM ? "quorum" : "sync";

		json_array_append_new(standbys,
							  json_pack("{s:s, s:s, s:s, s:i}",
										"application_name", standby->name,
										"state", standby->streaming ?
										"streaming" : "catchup",
										"sync_state", sync,
										"sync_priority", (int) standby->sync));
	}
	if (json_array_size(standbys) > 0)
		json_object_set(json, "replication", standbys);
	json_decref(standbys);
}

/*
 * Only of what is proven to be so at this moment.  Who is not to lead tells no position
 * while nobody does: members of Patroni would wait for one that has more than they.
 */
static void
add_position(json_t *json, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	json_t	   *xlog = json_object();

	if (snap->leader)
		json_object_set_new(xlog, "location", json_integer(w->flush_lsn));
	else
	{
		uint64_t	counts = w->counts_lsn != 0 ? w->counts_lsn : w->flush_lsn;

		json_object_set_new(xlog, "received_location", json_integer(counts));
		json_object_set_new(xlog, "replayed_location",
							json_integer(Min(w->replay_lsn, counts)));
		json_object_set_new(xlog, "replayed_timestamp",
							w->replayed_at_us != 0 ?
							time_json(w->replayed_at_us) : json_null());
		json_object_set_new(xlog, "paused", json_boolean(w->replay_paused));
	}
	json_object_set_new(json, "xlog", xlog);
	if (w->timeline != 0)
		json_object_set_new(json, "timeline",
							json_integer(!snap->leader && w->counts_lsn != 0 ?
										 w->counts_timeline : w->timeline));
	if (!snap->leader && w->streaming)
		json_object_set_new(json, "replication_state",
							json_string("streaming"));
	if (!snap->leader && w->sync_standby)
		json_object_set_new(json,
							w->synchronous_mode == HA_SYNC_QUORUM ?
							"quorum_standby" : "sync_standby", json_true());
}

static void
add_cluster(json_t *json, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	int64_t		seen = 0;

	if (snap->seen_at > 0)
		seen = time(NULL) - (snap->now - snap->seen_at) / 1000;
	json_object_set_new(json, "dcs_last_seen", json_integer(seen));
	if (w->pause)
		json_object_set_new(json, "pause", json_true());
	if (snap->unlocked)
		json_object_set_new(json, "cluster_unlocked", json_true());
	if (snap->failsafe_active)
		json_object_set_new(json, "failsafe_mode_is_active", json_true());
}

/* A primary that does not lead calls itself replica, as S-12 wants. */
static const char *
role_to_tell(const HaRestSnapshot *snap)
{
	if (snap->leader)
		return ha_role_name(HA_ROLE_PRIMARY);
	if (snap->standby_leader)
		return HA_STANDBY_LEADER;
	if (snap->state == HA_STATE_CLONING ||
		(snap->fresh && snap->worker.role == HA_ROLE_UNINITIALIZED))
		return ha_role_name(HA_ROLE_UNINITIALIZED);
	return ha_role_name(HA_ROLE_STANDBY);
}

/*
 * What is to be made anew counts as being made, from the request to the end: those who
 * wait for it look at nothing else.
 */
static HaMemberState
state_to_tell(const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaView *view = ha_session_last_view(rest->session);
	const HaMemberRequest *request = ha_find_request(view, rest->node->name);
	const HaMember *self = ha_find_member(view, rest->node->name);

	if (request != NULL && request->kind == HA_REQUEST_REINIT)
		return HA_STATE_CLONING;
	if (self != NULL && self->progress.kind == HA_REQUEST_REINIT &&
		self->progress.state == HA_PROGRESS_RUNNING)
		return HA_STATE_CLONING;
	return snap->state;
}

char *
ha_rest_state_json(const HaRest *rest, const HaRestSnapshot *snap)
{
	json_t	   *json = json_object();
	json_t	   *tags;
	bool		running = snap->state == HA_STATE_RUNNING;
	char	   *text;

	json_object_set_new(json, "state",
						json_string(ha_member_state_name(state_to_tell(rest, snap))));
	json_object_set_new(json, "role", json_string(role_to_tell(snap)));
	if (running && snap->known)
		add_server(json, snap);
	if (running && snap->fresh && !snap->is_old &&
		(snap->leader ||
		 (snap->worker.role == HA_ROLE_STANDBY && !snap->worker.aside)))
		add_position(json, snap);
	if (snap->leader)
		add_standbys(json, &snap->worker);
	if (snap->known)
		add_cluster(json, snap);
	tags = ha_rest_tags(rest);
	if (json_object_size(tags) > 0)
		json_object_set(json, "tags", tags);
	json_decref(tags);
	add_of_member(rest, json, rest->node->name, "scheduled_restart");
	json_object_set_new(json, "patroni",
						json_pack("{s:s, s:s, s:s}",
								  "version", HA_VERSION,
								  "scope", rest->node->scope,
								  "name", rest->node->name));
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

/*-------------------------------------------------------------------------
 * /cluster, /history, /config: as the store was read last
 *-------------------------------------------------------------------------
 */

static const char *
role_in_cluster(const HaView *view, const HaMember *member)
{
	if (view->leader.present && strcmp(view->leader.name, member->name) == 0)
		return ha_is_standby_cluster(&view->config, view) ? HA_STANDBY_LEADER :
			"leader";
	if (!view->sync.present || !ha_is_in_sync(&view->sync, member->name))
		return "replica";
	return view->config.synchronous_mode == HA_SYNC_QUORUM ?
		"quorum_standby" : "sync_standby";
}

/* How far the leader is known to be; 0 = not known. */
static uint64_t
leader_position(const HaView *view)
{
	const HaMember *leader = view->leader.present ?
	ha_find_member(view, view->leader.name) : NULL;
	uint64_t	lsn = Max(view->optime, view->heartbeat.lsn);

	return leader != NULL ? Max(lsn, leader->lsn) : lsn;
}

static void
add_lsn(json_t *json, const char *name, const char *lag_name, uint64_t lsn,
		uint64_t leader)
{
	char		text[32];

	snprintf(text, sizeof(text), "%X/%X", (uint32) (lsn >> 32), (uint32) lsn);
	json_object_set_new(json, name, lsn != 0 ? json_string(text) :
						json_string("unknown"));
	json_object_set_new(json, lag_name, lsn != 0 && leader != 0 ?
						json_integer(leader > lsn ? leader - lsn : 0) :
						json_string("unknown"));
}

static json_t *
member_json(const HaRest *rest, const HaView *view, const HaMember *member)
{
	const char *role = role_in_cluster(view, member);
	bool		leads = strcmp(role, "leader") == 0;
	uint64_t	leader = leader_position(view);
	json_t	   *json = json_object();

	json_object_set_new(json, "name", json_string(member->name));
	json_object_set_new(json, "role", json_string(role));
	json_object_set_new(json, "state",
						json_string(!leads && member->streaming &&
									member->state == HA_STATE_RUNNING ?
									"streaming" :
									ha_member_state_name(member->state)));
	json_object_set_new(json, "api_url", json_string(member->api_url));
	json_object_set_new(json, "host", json_string(member->host));
	json_object_set_new(json, "port", json_integer(member->port));
	if (member->timeline != 0)
		json_object_set_new(json, "timeline", json_integer(member->timeline));
	if (member->pending_restart[0] != '\0')
		json_object_set_new(json, "pending_restart", json_true());
	add_of_member(rest, json, member->name, "scheduled_restart");
	add_of_member(rest, json, member->name, "tags");
	if (leads)
		return json;
	add_lsn(json, "receive_lsn", "receive_lag", member->lsn, leader);
	add_lsn(json, "replay_lsn", "replay_lag", member->replay_lsn, leader);
	add_lsn(json, "lsn", "lag", Max(member->lsn, member->replay_lsn), leader);
	return json;
}

static json_t *
scheduled_json(const HaFailover *wish)
{
	char		at[HA_TIME_SIZE];
	json_t	   *json = json_object();

	ha_time_format(wish->scheduled_at, at);
	json_object_set_new(json, "at", json_string(at));
	if (wish->leader[0] != '\0')
		json_object_set_new(json, "from", json_string(wish->leader));
	if (wish->candidate[0] != '\0')
		json_object_set_new(json, "to", json_string(wish->candidate));
	return json;
}

char *
ha_rest_cluster_json(const HaRest *rest)
{
	const HaView *view = ha_session_last_view(rest->session);
	json_t	   *json = json_object();
	json_t	   *members = json_array();

	for (int i = 0; i < view->nmembers; i++)
		json_array_append_new(members,
							  member_json(rest, view, &view->members[i]));
	json_object_set_new(json, "members", members);
	json_object_set_new(json, "scope", json_string(rest->node->scope));
	if (view->config.pause)
		json_object_set_new(json, "pause", json_true());
	if (view->failover.present && view->failover.scheduled_at != 0)
		json_object_set_new(json, "scheduled_switchover",
							scheduled_json(&view->failover));
	return dump(json);
}

char *
ha_rest_history_json(const HaRest *rest)
{
	json_t	   *json = load_key(rest, "history");

	if (!json_is_array(json))
	{
		json_decref(json);
		json = json_array();
	}
	return dump(json);
}

/* NULL also where there is none, or what stands there is no configuration. */
char *
ha_rest_config_json(const HaRest *rest)
{
	json_t	   *json = load_key(rest, "config");

	if (!json_is_object(json))
	{
		json_decref(json);
		return NULL;
	}
	return dump(json);
}

/* Of this node, as its file has them now. */
json_t *
ha_rest_tags(const HaRest *rest)
{
	HaMember	tags;

	memset(&tags, 0, sizeof(tags));
	ha_node_tags(rest->node, &tags);
	return ha_tags_json(&tags);
}
