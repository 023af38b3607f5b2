/*-------------------------------------------------------------------------
 *
 * problem_json.c
 *	  Decision problems and plans as JSON.
 *
 * Plain C and jansson.  The structs of cluster.h stand here as tables: one line for each
 * field, so that a problem can name them all and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "config_values_json.h"
#include "fail.h"
#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "problem_json.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

/*-------------------------------------------------------------------------
 * Words
 *-------------------------------------------------------------------------
 */

/* Ours, as decision problems write them. */
static const char *const own_state_words[] = {
	"unknown", "stopped", "initdb", "cloning", "starting", "running",
	"stopping", "restarting", "rewinding", "start_failed", "crashed", NULL
};

static const char *const own_role_words[] = {
	"uninitialized", "starting", "standby", "primary", NULL
};

static const char *const sync_mode_words[] = {"off", "on", "quorum", NULL};

static const char *const verb_words[] = {
	"wait", "acquire", "reassert", "confirm", "renew", "suspend", "release",
	"give_up", "detach", "vote", "withdraw", "promote", "follow", "follow_source", "demote", "switchover",
	"prepare", "hold", "freeze", "hand_over", "yield", "testify",
	"rewind", "clear_failover", "set_failover", "set_sync", "set_names", "stop", NULL
};

const char *
ha_verb_name(HaVerb verb)
{
	return (unsigned) verb < LENGTH_OF(verb_words) - 1
		? verb_words[verb] : "wait";
}

/*-------------------------------------------------------------------------
 * Fields
 *-------------------------------------------------------------------------
 */

typedef enum FieldKind
{
	FIELD_BOOL,
	FIELD_INT32,
	FIELD_INT64,
	FIELD_UINT32,
	FIELD_UINT64,
	FIELD_TEXT,					/* char[size] */
	FIELD_WORD,					/* an enum; "of" are its words */
	FIELD_STRUCT,				/* "of" are its fields */
	FIELD_STRUCTS,				/* an array of them, with a count */
	FIELD_NAMES,				/* char[max][HA_NAME_SIZE], with a count */
} FieldKind;

typedef struct Field
{
	const char *name;
	FieldKind	kind;
	size_t		offset;
	size_t		size;			/* of the field, or of one element */
	const void *of;
	size_t		count;			/* offset of the int32_t that counts */
	int			max;
	int32_t		absent;			/* INT32: its default */
} Field;

#define PLAIN(type, field, its_kind) \
	{.name = #field, .kind = its_kind, .offset = offsetof(type, field), \
	 .size = sizeof(((type *) 0)->field)}
#define BOOL(type, field)	PLAIN(type, field, FIELD_BOOL)
#define INT32(type, field)	PLAIN(type, field, FIELD_INT32)
#define INT64(type, field)	PLAIN(type, field, FIELD_INT64)
#define UINT32(type, field) PLAIN(type, field, FIELD_UINT32)
#define UINT64(type, field) PLAIN(type, field, FIELD_UINT64)
#define TEXT(type, field)	PLAIN(type, field, FIELD_TEXT)
#define WORD(type, field, words) \
	{.name = #field, .kind = FIELD_WORD, .offset = offsetof(type, field), \
	 .of = words}
#define STRUCT(type, field, fields) \
	{.name = #field, .kind = FIELD_STRUCT, .offset = offsetof(type, field), \
	 .of = fields}
#define ARRAY(type, field, its_kind, fields) \
	{.name = #field, .kind = its_kind, .offset = offsetof(type, field), \
	 .size = sizeof(((type *) 0)->field[0]), .of = fields, \
	 .count = offsetof(type, n##field), \
	 .max = sizeof(((type *) 0)->field) / sizeof(((type *) 0)->field[0])}
#define STRUCTS(type, field, fields) ARRAY(type, field, FIELD_STRUCTS, fields)
#define NAMES(type, field)	ARRAY(type, field, FIELD_NAMES, NULL)

/* A node that says nothing of its priority may be elected. */
#define PRIORITY(type, field) \
	{.name = #field, .kind = FIELD_INT32, .offset = offsetof(type, field), \
	 .absent = 1}

static const Field standby_cluster_fields[] = {
	BOOL(HaStandbyCluster, active),
	TEXT(HaStandbyCluster, host),
	TEXT(HaStandbyCluster, port),
	TEXT(HaStandbyCluster, slot),
	{.name = NULL}
};

static const Field config_fields[] = {
	BOOL(HaConfig, known),
	BOOL(HaConfig, pause),
	INT64(HaConfig, revision),
	INT64(HaConfig, ttl),
	INT64(HaConfig, loop_wait),
	INT64(HaConfig, retry_timeout),
	INT64(HaConfig, primary_start_timeout),
	INT64(HaConfig, maximum_lag_on_failover),
	WORD(HaConfig, synchronous_mode, sync_mode_words),
	BOOL(HaConfig, synchronous_mode_strict),
	INT32(HaConfig, synchronous_node_count),
	INT64(HaConfig, maximum_lag_on_syncnode),
	BOOL(HaConfig, failsafe_mode),
	BOOL(HaConfig, check_timeline),
	INT64(HaConfig, member_slots_ttl),
	INT64(HaConfig, member_slots_max_wal),
	STRUCT(HaConfig, standby_cluster, standby_cluster_fields),
	{.name = NULL}
};

static const Field leader_fields[] = {
	BOOL(HaLeaderKey, present),
	TEXT(HaLeaderKey, name),
	INT64(HaLeaderKey, create_revision),
	INT64(HaLeaderKey, mod_revision),
	INT64(HaLeaderKey, lease),
	{.name = NULL}
};

static const Field heartbeat_fields[] = {
	BOOL(HaHeartbeat, present),
	TEXT(HaHeartbeat, name),
	INT64(HaHeartbeat, mod_revision),
	INT64(HaHeartbeat, term),
	INT64(HaHeartbeat, ttl),
	UINT64(HaHeartbeat, lsn),
	BOOL(HaHeartbeat, released),
	UINT64(HaHeartbeat, released_lsn),
	BOOL(HaHeartbeat, crashed),
	BOOL(HaHeartbeat, failsafe),
	{.name = NULL}
};

static const Field timeline_fields[] = {
	UINT32(HaTimeline, timeline),
	UINT64(HaTimeline, end_lsn),
	TEXT(HaTimeline, owner),
	{.name = NULL}
};

static const Field term_fields[] = {
	BOOL(HaTerm, present),
	INT64(HaTerm, mod_revision),
	INT64(HaTerm, term),
	TEXT(HaTerm, owner),
	BOOL(HaTerm, intent),
	BOOL(HaTerm, standby),
	BOOL(HaTerm, foreign),
	BOOL(HaTerm, from_source),
	BOOL(HaTerm, left),
	UINT32(HaTerm, timeline),
	UINT64(HaTerm, begin_lsn),
	TEXT(HaTerm, timeline_owner),
	UINT32(HaTerm, reserved),
	INT64(HaTerm, unchecked_from),
	UINT64(HaTerm, reached),
	UINT64(HaTerm, lost_bytes),
	STRUCTS(HaTerm, lineage, timeline_fields),
	{.name = NULL}
};

static const Field member_fields[] = {
	TEXT(HaMember, name),
	INT64(HaMember, mod_revision),
	INT64(HaMember, lease),
	WORD(HaMember, state, own_state_words),
	WORD(HaMember, role, own_role_words),
	TEXT(HaMember, host),
	INT32(HaMember, port),
	TEXT(HaMember, conn_url),
	TEXT(HaMember, api_url),
	TEXT(HaMember, version),
	TEXT(HaMember, patroni),
	UINT32(HaMember, timeline),
	UINT64(HaMember, lsn),
	UINT64(HaMember, replay_lsn),
	BOOL(HaMember, streaming),
	BOOL(HaMember, standby_leader),
	BOOL(HaMember, nofailover),
	BOOL(HaMember, nosync),
	BOOL(HaMember, nostream),
	BOOL(HaMember, noloadbalance),
	TEXT(HaMember, replicatefrom),
	TEXT(HaMember, site),
	TEXT(HaMember, other_tags),
	PRIORITY(HaMember, failover_priority),
	PRIORITY(HaMember, sync_priority),
	BOOL(HaMember, pause),
	BOOL(HaMember, sick),
	TEXT(HaMember, identity),
	UINT64(HaMember, discarded_bytes),
	UINT32(HaMember, discarded_timeline),
	BOOL(HaMember, clonefrom),
	TEXT(HaMember, clone_method),
	INT32(HaMember, clone_percent),
	TEXT(HaMember, hba_source),
	TEXT(HaMember, hba_sha256),
	{.name = NULL}
};

static const Field vote_fields[] = {
	TEXT(HaVote, name),
	INT64(HaVote, mod_revision),
	INT64(HaVote, term),
	INT64(HaVote, term_revision),
	UINT32(HaVote, timeline),
	UINT64(HaVote, lsn),
	PRIORITY(HaVote, priority),
	BOOL(HaVote, withdrawn),
	{.name = NULL}
};

static const Field sync_fields[] = {
	BOOL(HaSync, present),
	INT64(HaSync, mod_revision),
	TEXT(HaSync, leader),
	INT32(HaSync, quorum),
	NAMES(HaSync, standbys),
	{.name = NULL}
};

static const Field failover_fields[] = {
	BOOL(HaFailover, present),
	INT64(HaFailover, mod_revision),
	TEXT(HaFailover, leader),
	TEXT(HaFailover, candidate),
	INT64(HaFailover, scheduled_at),
	{.name = NULL}
};

static const Field failsafe_fields[] = {
	BOOL(HaFailsafe, present),
	INT64(HaFailsafe, mod_revision),
	NAMES(HaFailsafe, members),
	{.name = NULL}
};

/* Without "config", which stands beside the view. */
static const Field view_fields[] = {
	BOOL(HaView, valid),
	INT64(HaView, sent_at),
	UINT64(HaView, cluster_id),
	INT64(HaView, raft_term),
	INT64(HaView, revision),
	STRUCT(HaView, leader, leader_fields),
	STRUCT(HaView, heartbeat, heartbeat_fields),
	STRUCT(HaView, term, term_fields),
	STRUCT(HaView, sync, sync_fields),
	STRUCT(HaView, failover, failover_fields),
	STRUCT(HaView, failsafe, failsafe_fields),
	INT64(HaView, initialize_revision),
	UINT64(HaView, sysid),
	INT64(HaView, identity_revision),
	TEXT(HaView, cluster_uuid),
	INT32(HaView, schema),
	TEXT(HaView, schema_since),
	UINT64(HaView, optime),
	INT64(HaView, status_revision),
	INT64(HaView, history_revision),
	BOOL(HaView, history_known),
	STRUCTS(HaView, history, timeline_fields),
	STRUCTS(HaView, members, member_fields),
	STRUCTS(HaView, votes, vote_fields),
	INT32(HaView, nmalformed),
	{.name = NULL}
};

static const Field standby_fields[] = {
	TEXT(HaStandby, name),
	BOOL(HaStandby, streaming),
	UINT64(HaStandby, flush_lsn),
	{.name = NULL}
};

static const Field peer_fields[] = {
	TEXT(HaPeer, name),
	INT64(HaPeer, asked_at),
	BOOL(HaPeer, answered),
	BOOL(HaPeer, primary),
	UINT32(HaPeer, timeline),
	UINT64(HaPeer, lsn),
	BOOL(HaPeer, nofailover),
	PRIORITY(HaPeer, failover_priority),
	{.name = NULL}
};

static const Field local_fields[] = {
	TEXT(HaLocal, name),
	INT64(HaLocal, wall_clock),
	UINT64(HaLocal, sysid),
	TEXT(HaLocal, cluster_uuid),
	WORD(HaLocal, role, own_role_words),
	UINT32(HaLocal, timeline),
	STRUCTS(HaLocal, ancestors, timeline_fields),
	UINT64(HaLocal, flush_lsn),
	UINT64(HaLocal, replay_lsn),
	BOOL(HaLocal, has_boot),
	BOOL(HaLocal, time_jumped),
	BOOL(HaLocal, stopping),
	INT64(HaLocal, starting_since),
	INT64(HaLocal, replay_moved_at),
	INT64(HaLocal, sick_since),
	TEXT(HaLocal, sick_check),
	TEXT(HaLocal, sick_detail),
	INT64(HaLocal, health_grace),
	BOOL(HaLocal, giving_up),
	TEXT(HaLocal, follows),
	TEXT(HaLocal, avoids),
	INT64(HaLocal, source_since),
	BOOL(HaLocal, detached),
	BOOL(HaLocal, replaying),
	UINT64(HaLocal, line_begins_at),
	BOOL(HaLocal, promoting),
	INT64(HaLocal, promoting_since),
	BOOL(HaLocal, streaming),
	BOOL(HaLocal, names_written),
	BOOL(HaLocal, names_in_force),
	INT32(HaLocal, sync_confirm),
	NAMES(HaLocal, sync_names),
	UINT64(HaLocal, names_lsn),
	BOOL(HaLocal, can_freeze),
	INT64(HaLocal, prepared_for),
	INT64(HaLocal, prepared_at),
	UINT64(HaLocal, prepared_lsn),
	INT64(HaLocal, refused),
	TEXT(HaLocal, refused_why),
	INT64(HaLocal, held_since),
	BOOL(HaLocal, drained),
	INT64(HaLocal, frozen_since),
	UINT64(HaLocal, frozen_lsn),
	UINT64(HaLocal, recovered_lsn),
	STRUCTS(HaLocal, standbys, standby_fields),
	BOOL(HaLocal, nofailover),
	PRIORITY(HaLocal, failover_priority),
	BOOL(HaLocal, nostream),
	TEXT(HaLocal, replicatefrom),
	INT64(HaLocal, lease_id),
	BOOL(HaLocal, holding),
	BOOL(HaLocal, reassert),
	INT64(HaLocal, put_at),
	BOOL(HaLocal, reign_checked),
	BOOL(HaLocal, reign_lost),
	INT64(HaLocal, deadline),
	INT64(HaLocal, heartbeat_seen_at),
	INT64(HaLocal, heartbeat_ttl),
	INT64(HaLocal, key_gone_since),
	BOOL(HaLocal, patroni_seen),
	BOOL(HaLocal, led_since),
	STRUCTS(HaLocal, peers, peer_fields),
	BOOL(HaLocal, blind),
	INT64(HaLocal, stay_out_until),
	INT64(HaLocal, wish_seen_at),
	INT64(HaLocal, handed_over_at),
	BOOL(HaLocal, op_in_flight),
	BOOL(HaLocal, vote_pending),
	BOOL(HaLocal, vote_unknown),
	BOOL(HaLocal, sync_pending),
	BOOL(HaLocal, sync_unknown),
	BOOL(HaLocal, bid),
	BOOL(HaLocal, failsafe_active),
	BOOL(HaLocal, promises_known),
	TEXT(HaLocal, promised_to),
	INT64(HaLocal, promised_until),
	INT64(HaLocal, promised_term),
	UINT64(HaLocal, promised_lsn),
	{.name = NULL}
};

typedef struct Problem
{
	HaConfig	config;
	HaView		view;
	HaLocal		local;
	int64_t		now;
} Problem;

static const Field problem_fields[] = {
	STRUCT(Problem, config, config_fields),
	STRUCT(Problem, view, view_fields),
	STRUCT(Problem, local, local_fields),
	INT64(Problem, now),
	{.name = NULL}
};

static void
set_defaults(const Field *fields, void *base)
{
	for (const Field *f = fields; f->name != NULL; f++)
	{
		if (f->kind == FIELD_INT32)
			memcpy((char *) base + f->offset, &f->absent, sizeof(int32_t));
	}
}

static bool
set_number(const Field *f, json_t *value, char *to)
{
	json_int_t	number = json_integer_value(value);
	int32_t		small = (int32_t) number;
	uint32_t	natural = (uint32_t) number;

	if (!json_is_integer(value))
		return false;
	switch (f->kind)
	{
		case FIELD_INT32:
			memcpy(to, &small, sizeof(small));
			return number >= INT32_MIN && number <= INT32_MAX;
		case FIELD_UINT32:
			memcpy(to, &natural, sizeof(natural));
			return number >= 0 && number <= UINT32_MAX;
		case FIELD_UINT64:
			memcpy(to, &number, sizeof(number));
			return number >= 0;
		default:
			memcpy(to, &number, sizeof(number));
			return true;
	}
}

static bool
set_text(json_t *value, char *to, size_t size)
{
	if (!json_is_string(value) || json_string_length(value) >= size)
		return false;
	memcpy(to, json_string_value(value), json_string_length(value) + 1);
	return true;
}

static bool
set_word(const Field *f, json_t *value, char *to)
{
	int			i = -1;

	if (json_is_string(value))
		i = find_word(f->of, json_string_value(value));
	memcpy(to, &i, sizeof(i));
	return i >= 0;
}

static bool set_struct(const Field *fields, const char *what, json_t *object,
					   char *base, char *err, size_t errlen);

static bool
set_array(const Field *f, json_t *array, char *base, char *err, size_t errlen)
{
	int32_t		n = (int32_t) json_array_size(array);
	json_t	   *element;
	size_t		i;

	if (!json_is_array(array) || json_array_size(array) > (size_t) f->max)
		return fail(err, errlen, "\"%s\" must be an array of at most %d",
					f->name, f->max);
	json_array_foreach(array, i, element)
	{
		char	   *to = base + f->offset + i * f->size;

		if (f->kind == FIELD_NAMES)
		{
			if (!set_text(element, to, f->size))
				return fail(err, errlen, "\"%s\" must hold names", f->name);
		}
		else
		{
			set_defaults(f->of, to);
			if (!set_struct(f->of, f->name, element, to, err, errlen))
				return false;
		}
	}
	memcpy(base + f->count, &n, sizeof(n));
	return true;
}

static bool
set_field(const Field *f, json_t *value, char *base, char *err, size_t errlen)
{
	char	   *to = base + f->offset;
	bool		ok = false;

	switch (f->kind)
	{
		case FIELD_STRUCT:
			return set_struct(f->of, f->name, value, to, err, errlen);
		case FIELD_STRUCTS:
		case FIELD_NAMES:
			return set_array(f, value, base, err, errlen);
		case FIELD_BOOL:
			*(bool *) to = json_is_true(value);
			ok = json_is_boolean(value);
			break;
		case FIELD_INT32:
		case FIELD_INT64:
		case FIELD_UINT32:
		case FIELD_UINT64:
			ok = set_number(f, value, to);
			break;
		case FIELD_TEXT:
			ok = set_text(value, to, f->size);
			break;
		case FIELD_WORD:
			ok = set_word(f, value, to);
			break;
	}
	return ok || fail(err, errlen, "\"%s\" has a value that does not fit",
					  f->name);
}

static bool
set_struct(const Field *fields, const char *what, json_t *object, char *base,
		   char *err, size_t errlen)
{
	const char *name;
	json_t	   *value;

	if (!json_is_object(object))
		return fail(err, errlen, "\"%s\" must be an object", what);
	json_object_foreach(object, name, value)
	{
		const Field *f = fields;

		while (f->name != NULL && strcmp(f->name, name) != 0)
			f++;
		if (f->name == NULL)
			return fail(err, errlen, "\"%s\" has no field \"%.64s\"", what,
						name);
		if (!json_is_null(value) && !set_field(f, value, base, err, errlen))
			return false;
	}
	return true;
}

bool
ha_problem_parse(const char *json, size_t length, HaConfig *config,
				 HaView *view, HaLocal *local, int64_t *now,
				 char *err, size_t errlen)
{
	json_t	   *root = ha_json_load(json, length);
	Problem    *problem = calloc(1, sizeof(Problem));
	bool		ok = false;

	if (problem == NULL)
		fail(err, errlen, "out of memory");
	else if (root == NULL)
		fail(err, errlen, "this is not valid JSON");
	else
	{
		ha_config_defaults(&problem->config);
		set_defaults(local_fields, &problem->local);
		ok = set_struct(problem_fields, "problem", root, (char *) problem,
						err, errlen);
	}
	if (ok)
	{
		*config = problem->config;
		*view = problem->view;
		view->config = problem->config;
		*local = problem->local;
		*now = problem->now;
	}
	json_decref(root);
	free(problem);
	return ok;
}

static json_t *
names_json(const HaPlan *plan)
{
	json_t	   *array = json_array();

	for (int i = 0; i < plan->nnames && i < HA_MAX_MEMBERS; i++)
	{
		if (json_array_append_new(array, text_json(plan->names[i])) != 0)
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
counted_json(const HaPlan *plan)
{
	json_t	   *array = json_array();

	for (int i = 0; i < plan->ncounted && i < HA_MAX_MEMBERS; i++)
	{
		if (json_array_append_new(array, json_integer(plan->counted[i])) != 0)
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

char *
ha_plan_json(const HaPlan *plan)
{
	json_t	   *json = ha_json_object();

	add(&json, "verb", text_json(ha_verb_name(plan->verb)));
	add(&json, "why", text_json(plan->why));
	if (plan->lead)
		add(&json, "lead", json_true());
	if (plan->follow[0] != '\0')
		add(&json, "follow", text_json(plan->follow));
	if (plan->wake_at != 0)
		add(&json, "wake_at", json_integer(plan->wake_at));
	if (plan->resume)
		add(&json, "resume", json_true());
	if (plan->ask)
		add(&json, "ask", json_true());
	if (plan->aside)
		add(&json, "aside", json_true());
	if (plan->looks_only)
		add(&json, "looks_only", json_true());
	if (plan->leaves_to != 0)
		add(&json, "leaves_to", lsn_json(plan->leaves_to));
	if (plan->reserve != 0)
		add(&json, "reserve", json_integer(plan->reserve));
	if (plan->ncounted > 0)
		add(&json, "counted", counted_json(plan));
	if (plan->verb == HA_SET_SYNC || plan->verb == HA_SET_NAMES ||
		plan->nnames > 0)
		add(&json, "names", names_json(plan));
	if (plan->confirm != 0)
		add(&json, "confirm", json_integer(plan->confirm));
	if (plan->any)
		add(&json, "any", json_true());
	if (plan->quorum != 0)
		add(&json, "quorum", json_integer(plan->quorum));
	if (plan->sync_on)
		add(&json, "sync_on", json_true());
	return dump(json);
}
