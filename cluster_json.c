/*-------------------------------------------------------------------------
 *
 * cluster_json.c
 *	  The view: which key of the store goes where in it.
 *
 * Plain C and jansson.  Keys that have little to tell are read and written here, the
 * others have files of their own.  Anybody who can write to the store can put anything
 * there, so every reader checks type, range and form (key_json.h), and has one way to
 * say "no": the key counts as malformed.  For keys that guard an election (the leader,
 * term, sync and votes) a malformed one is reported with no revision, as if it did not
 * exist.  That fails safe: whatever is then decided, the txn that acts on it compares
 * the revision with 0, and the store refuses it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_json.h"
#include "config_values_json.h"
#include "failsafe_json.h"
#include "history_json.h"
#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "member_json.h"
#include "names.h"
#include "request_json.h"
#include "slots_json.h"
#include "term_json.h"
#include "wall_time.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

/*-------------------------------------------------------------------------
 * One function for each key of the cluster.  false: malformed.
 *-------------------------------------------------------------------------
 */

static bool
parse_config(const HaKv *kv, HaView *view)
{
	bool		ok;

	ok = ha_config_parse(kv->value, kv->length, &view->config,
						 view->config_error, sizeof(view->config_error));
	/* Also of what can't be read, so that a guarded write can replace it. */
	view->config.revision = kv->mod_revision;
	return ok;
}

static bool
parse_leader(const HaKv *kv, HaView *view)
{
	HaLeaderKey *leader = &view->leader;

	if (!is_text(kv) || !ha_name_is_valid(kv->value))
		return false;
	leader->present = true;
	memcpy(leader->name, kv->value, kv->length + 1);
	leader->create_revision = kv->create_revision;
	leader->mod_revision = kv->mod_revision;
	leader->lease = kv->lease;
	return true;
}

static bool
parse_heartbeat(const HaKv *kv, HaView *view)
{
	return ha_heartbeat_parse(kv, &view->heartbeat);
}

static bool
parse_term(const HaKv *kv, HaView *view)
{
	return ha_term_parse(kv, &view->term);
}

/* Add a name that must be valid, unless it is there already. */
static bool
add_standby(HaSync *sync, const char *name, size_t length)
{
	char		copy[HA_NAME_SIZE];

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, name, length);
	copy[length] = '\0';
	if (!ha_name_is_valid(copy))
		return false;
	for (int i = 0; i < sync->nstandbys; i++)
	{
		if (strcmp(sync->standbys[i], copy) == 0)
			return true;
	}
	if (sync->nstandbys == HA_MAX_MEMBERS)
		return false;
	memcpy(sync->standbys[sync->nstandbys++], copy, length + 1);
	return true;
}

/* "n2,n3", or null */
static bool
parse_standbys(json_t *value, HaSync *sync)
{
	const char *p = json_string_value(value);

	if (value == NULL)
		return true;
	if (p == NULL)
		return false;
	while (*p != '\0')
	{
		size_t		length = strcspn(p, ",");

		if (!add_standby(sync, p, length))
			return false;
		p += length;
		if (*p == ',')
			p++;
	}
	return true;
}

/*
 * Half of the names that may be elected is worse than none of them, so a
 * single one that can't be read makes the whole key malformed.
 */
static bool
parse_sync(const HaKv *kv, HaView *view)
{
	HaSync	   *sync = &view->sync;
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	memset(sync, 0, sizeof(*sync));
	take_name(json, "leader", sync->leader, &ok);
	sync->quorum = (int32_t) take_int(json, "quorum", 0, INT32_MAX, 0, &ok);
	ok = ok && parse_standbys(member_of(json, "sync_standby"), sync);
	sync->present = sync->leader[0] != '\0';
	json_decref(json);

	/* who may be elected by it, nobody can tell: so nobody is */
	if (!ok)
	{
		memset(sync, 0, sizeof(*sync));
		sync->present = true;
	}
	sync->mod_revision = kv->mod_revision;
	return ok;
}

static bool
parse_failover(const HaKv *kv, HaView *view)
{
	HaFailover *failover = &view->failover;
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	memset(failover, 0, sizeof(*failover));
	take_name(json, "leader", failover->leader, &ok);
	take_name(json, "member", failover->candidate, &ok);
	take_time(json, "scheduled_at", &failover->scheduled_at, &ok);
	failover->present = failover->leader[0] != '\0' ||
		failover->candidate[0] != '\0';
	failover->mod_revision = kv->mod_revision;
	json_decref(json);

	if (!ok)
		memset(failover, 0, sizeof(*failover));
	return ok;
}

static bool
parse_failsafe(const HaKv *kv, HaView *view)
{
	return ha_failsafe_parse(kv, &view->failsafe);
}

static bool
parse_change(const HaKv *kv, HaView *view)
{
	return ha_change_parse(kv, &view->change);
}

static bool
parse_refusal(const HaKv *kv, HaView *view)
{
	return ha_refusal_parse(kv, &view->refusal);
}

/* "" while a bootstrap runs, then the system identifier. */
static bool
parse_initialize(const HaKv *kv, HaView *view)
{
	uint64_t	sysid = 0;

	/* The key is there, so nobody else may bootstrap, whatever it says. */
	view->initialize_revision = kv->mod_revision;
	if (!is_text(kv))
		return false;
	for (const char *p = kv->value; *p != '\0'; p++)
	{
		if (*p < '0' || *p > '9' ||
			sysid > (UINT64_MAX - (uint64_t) (*p - '0')) / 10)
			return false;
		sysid = sysid * 10 + (uint64_t) (*p - '0');
	}
	view->sysid = sysid;
	return true;
}

/* It is shown to people: "1.4", "1.4beta2" or nothing. */
static bool
is_version(const char *text)
{
	return text[strspn(text, "0123456789.abcdefghijklmnopqrstuvwxyz")] == '\0';
}

/* Whatever it says, it is there, so no other one may be put. */
static bool
parse_identity(const HaKv *kv, HaView *view)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	view->identity_revision = kv->mod_revision;
	take_text(json, "uuid", view->cluster_uuid, sizeof(view->cluster_uuid),
			  &ok);
	ok = ok && ha_uuid_is_valid(view->cluster_uuid);

	/* whatever a later schema makes of the rest, its number stands here */
	view->schema = (int32_t) take_int(json, "schema", 1, INT32_MAX, 0, &ok);
	take_text(json, "needs", view->schema_since, sizeof(view->schema_since),
			  &ok);
	if (!is_version(view->schema_since))
	{
		memset(view->schema_since, 0, sizeof(view->schema_since));
		ok = false;
	}
	if (!ok)
		memset(view->cluster_uuid, 0, sizeof(view->cluster_uuid));
	json_decref(json);
	return ok;
}

static bool
parse_status(const HaKv *kv, HaView *view)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	view->optime = take_lsn(json, "optime", &ok);
	ok = ha_slot_book_parse(json, &view->slots) && ok;
	view->status_revision = kv->mod_revision;
	json_decref(json);
	return ok;
}

static bool
parse_history(const HaKv *kv, HaView *view)
{
	view->history_revision = kv->mod_revision;
	view->history_known = ha_history_parse(kv, view->history,
										   &view->nhistory);
	return true;				/* only where Patroni leads it matters */
}

static bool
parse_stop(const HaKv *kv, HaView *view)
{
	return ha_request_parse(kv, &view->stop);
}

/*-------------------------------------------------------------------------
 * Keys of members
 *-------------------------------------------------------------------------
 */

/*
 * Make room for a name in an array of structs that begin with one and are
 * sorted by it.  NULL if the name is there already, or there is no room; the
 * last one goes if the new one sorts before it, which *dropped tells.
 */
static void *
insert_by_name(void *array, int32_t *n, size_t size, const char *name,
			   bool *dropped)
{
	char	   *base = array;
	int			at = 0;

	while (at < *n && strcmp(base + at * size, name) < 0)
		at++;
	if (at < *n && strcmp(base + at * size, name) == 0)
		return NULL;
	*dropped = *n == HA_MAX_MEMBERS;
	if (*dropped)
	{
		if (at == HA_MAX_MEMBERS)
			return NULL;
		(*n)--;
	}
	memmove(base + (at + 1) * size, base + at * size, (*n - at) * size);
	memset(base + at * size, 0, size);
	memcpy(base + at * size, name, strlen(name) + 1);
	(*n)++;
	return base + at * size;
}

/* A member whose key can't be read is there, but in no known state. */
static bool
parse_member(const HaKv *kv, const char *name, HaView *view)
{
	bool		dropped = false;
	HaMember   *member;

	if (!ha_name_is_valid(name))
		return false;
	member = insert_by_name(view->members, &view->nmembers, sizeof(HaMember),
							name, &dropped);
	if (member == NULL)
		return false;
	return ha_member_parse(kv, member) && !dropped;
}

static bool
parse_vote(const HaKv *kv, const char *name, HaView *view)
{
	bool		dropped = false;
	HaVote		vote;
	HaVote	   *place;

	if (!ha_name_is_valid(name) || !ha_vote_parse(kv, &vote))
		return false;
	place = insert_by_name(view->votes, &view->nvotes, sizeof(HaVote), name,
						   &dropped);
	if (place == NULL)
		return false;

	/* With its padding: views are compared by memcmp. */
	memcpy(vote.name, place->name, sizeof(vote.name));
	memcpy(place, &vote, sizeof(vote));
	return !dropped;
}

/* One that can't be read is listed too, or nobody would ever remove it. */
static bool
parse_request(const HaKv *kv, const char *name, HaView *view)
{
	bool		dropped = false;
	HaMemberRequest *place;

	if (!ha_name_is_valid(name))
		return false;
	place = insert_by_name(view->requests, &view->nrequests,
						   sizeof(HaMemberRequest), name, &dropped);
	return place != NULL && ha_request_parse(kv, place) && !dropped;
}

static bool
parse_removed(const HaKv *kv, const char *name, HaView *view)
{
	bool		dropped = false;
	HaRemoved  *place;

	if (!ha_name_is_valid(name))
		return false;
	place = insert_by_name(view->removed, &view->nremoved, sizeof(HaRemoved),
						   name, &dropped);
	if (place == NULL)
		return false;
	place->mod_revision = kv->mod_revision;
	return !dropped;
}

/*-------------------------------------------------------------------------
 * The view
 *-------------------------------------------------------------------------
 */

static const struct
{
	const char *key;
	bool		(*parse) (const HaKv *kv, HaView *view);
}			keys[] =

{
	{"config", parse_config},
	{"leader", parse_leader},
	{"pg_ha/heartbeat", parse_heartbeat},
	{"pg_ha/term", parse_term},
	{"sync", parse_sync},
	{"failover", parse_failover},
	{"failsafe", parse_failsafe},
	{"pg_ha/last_failover", parse_change},
	{"pg_ha/refused", parse_refusal},
	{"pg_ha/stop", parse_stop},
	{"initialize", parse_initialize},
	{"pg_ha/identity", parse_identity},
	{"status", parse_status},
	{"history", parse_history},
};

/* Keys that we have no use for are somebody else's, not malformed. */
static bool
parse_key(const HaKv *kv, HaView *view)
{
	static const char members[] = "members/";
	static const char votes[] = "pg_ha/votes/";
	static const char requests[] = "pg_ha/requests/";
	static const char removed[] = "pg_ha/removed/";
	const char *name = strrchr(kv->key, '/');

	for (size_t i = 0; i < LENGTH_OF(keys); i++)
	{
		if (strcmp(kv->key, keys[i].key) == 0)
			return keys[i].parse(kv, view);
	}
	if (name == NULL)
		return true;
	name++;
	if (strncmp(kv->key, members, sizeof(members) - 1) == 0 &&
		name == kv->key + sizeof(members) - 1)
		return parse_member(kv, name, view);
	if (strncmp(kv->key, votes, sizeof(votes) - 1) == 0 &&
		name == kv->key + sizeof(votes) - 1)
		return parse_vote(kv, name, view);
	if (strncmp(kv->key, requests, sizeof(requests) - 1) == 0 &&
		name == kv->key + sizeof(requests) - 1)
		return parse_request(kv, name, view);
	if (strncmp(kv->key, removed, sizeof(removed) - 1) == 0 &&
		name == kv->key + sizeof(removed) - 1)
		return parse_removed(kv, name, view);
	return true;
}

void
ha_view_parse(const HaAnswer *answer, const HaConfig *last_config,
			  HaView *view)
{
	HaConfig	config;

	/* Copied first: it may be the one in *view. */
	if (last_config != NULL && last_config->known)
		config = *last_config;
	else
		ha_config_defaults(&config);
	config.revision = 0;

	memset(view, 0, sizeof(*view));
	view->config = config;
	view->valid = answer->status == HA_DCS_OK;
	view->sent_at = answer->sent_at;
	view->cluster_id = answer->cluster_id;
	view->raft_term = answer->raft_term;
	view->revision = answer->revision;

	for (int i = 0; i < answer->nkvs; i++)
	{
		if (!answer->kvs[i].deleted && !parse_key(&answer->kvs[i], view))
			view->nmalformed++;
	}
}

/*-------------------------------------------------------------------------
 * Writing
 *-------------------------------------------------------------------------
 */

char *
ha_identity_json(const char *uuid)
{
	json_t	   *json = ha_json_object();

	add(&json, "uuid", text_json(uuid));
	add(&json, "schema", json_integer(HA_CLUSTER_SCHEMA));
	add(&json, "needs", text_json(HA_SCHEMA_SINCE));
	return dump(json);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

char *
ha_sync_json(const char *leader, int quorum, int nstandbys,
			 const char standbys[][HA_NAME_SIZE])
{
	char		sorted[HA_MAX_MEMBERS][HA_NAME_SIZE];
	char		list[HA_MAX_MEMBERS * HA_NAME_SIZE] = "";
	size_t		used = 0;

	if (nstandbys > HA_MAX_MEMBERS)
		nstandbys = HA_MAX_MEMBERS;
	for (int i = 0; i < nstandbys; i++)
		snprintf(sorted[i], HA_NAME_SIZE, "%s", standbys[i]);
	if (nstandbys > 0)
		qsort(sorted, nstandbys, HA_NAME_SIZE, compare_names);
	for (int i = 0; i < nstandbys; i++)
		used += snprintf(list + used, sizeof(list) - used, "%s%s",
						 i > 0 ? "," : "", sorted[i]);
	return dump(json_pack("{s:o,s:i,s:o}", "leader", text_json(leader),
						  "quorum", quorum, "sync_standby",
						  nstandbys > 0 ? text_json(list) : json_null()));
}

char *
ha_failover_json(const char *leader, const char *candidate)
{
	return ha_scheduled_json(leader, candidate, 0);
}

char *
ha_scheduled_json(const char *leader, const char *candidate, int64_t at)
{
	char		time[HA_TIME_SIZE];
	json_t	   *json = ha_json_object();

	if (leader != NULL && leader[0] != '\0')
		add(&json, "leader", text_json(leader));
	if (candidate != NULL && candidate[0] != '\0')
		add(&json, "member", text_json(candidate));
	ha_time_format(at, time);
	if (at != 0)
		add(&json, "scheduled_at", text_json(time));
	return dump(json);
}
