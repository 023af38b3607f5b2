/*-------------------------------------------------------------------------
 *
 * cluster_json.c
 *	  The nouns of cluster.h <-> what stands in the store.
 *
 * Plain C and jansson.  Anybody who can write to the store can put anything
 * there, so every reader below checks type, range and form, and has one way to
 * say "no": the key counts as malformed.  For keys that guard an election (the
 * leader, term, sync and votes) a malformed one is reported with no revision,
 * as if it did not exist.  That fails safe: whatever is then decided, the txn
 * that acts on it compares the revision with 0, and the store refuses it.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_json.h"
#include "fail.h"
#include "history_json.h"
#include "json_build.h"
#include "json_guard.h"
#include "request_json.h"
#include "slots_json.h"
#include "standby_cluster_json.h"
#include "tags_json.h"
#include "wall_time.h"


#define DAY_MS				INT64_C(86400000)
#define YEAR_MS				(365 * DAY_MS)

/* Patroni keeps all; nobody reads more, and the key must stay readable. */
#define MAX_HISTORY_LINES	500

/*-------------------------------------------------------------------------
 * Words
 *-------------------------------------------------------------------------
 */

/* In the order of their enums; Patroni's words, but for "rewinding". */
static const char *const state_words[] = {
	"unknown", "stopped", "initializing new cluster", "creating replica",
	"starting", "running", "stopping", "restarting", "starting",
	"start failed", "crashed", NULL
};

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

/* Other words that Patroni has for a state. */
static const struct
{
	const char *word;
	HaMemberState state;
}			patroni_states[] =

{
	{"initdb failed", HA_STATE_START_FAILED},
	{"running custom bootstrap script", HA_STATE_INITDB},
	{"custom bootstrap failed", HA_STATE_START_FAILED},
	{"starting after custom bootstrap", HA_STATE_STARTING},
	{"restart failed", HA_STATE_START_FAILED},
	{"stop failed", HA_STATE_STOPPING},
};

static const struct
{
	const char *word;
	HaRole		role;
}			patroni_roles[] =

{
	{"primary", HA_ROLE_PRIMARY},
	{"master", HA_ROLE_PRIMARY},
	{"promoted", HA_ROLE_PRIMARY},
	{"replica", HA_ROLE_STANDBY},
	{HA_STANDBY_LEADER, HA_ROLE_STANDBY},
	{"demoted", HA_ROLE_STANDBY},
	{"uninitialized", HA_ROLE_UNINITIALIZED},
};

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

/* -1 = not in the list */
static int
find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

const char *
ha_member_state_name(HaMemberState state)
{
	return (unsigned) state < LENGTH_OF(state_words) - 1
		? state_words[state] : "unknown";
}

const char *
ha_role_name(HaRole role)
{
	switch (role)
	{
		case HA_ROLE_PRIMARY:
			return "primary";
		case HA_ROLE_STANDBY:
		case HA_ROLE_STARTING:
			return "replica";
		case HA_ROLE_UNINITIALIZED:
			break;
	}
	return "uninitialized";
}

const char *
ha_verb_name(HaVerb verb)
{
	return (unsigned) verb < LENGTH_OF(verb_words) - 1
		? verb_words[verb] : "wait";
}

bool
ha_name_is_valid(const char *name)
{
	size_t		length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"abcdefghijklmnopqrstuvwxyz0123456789_.-");

	return length > 0 && length < HA_NAME_SIZE && name[length] == '\0';
}

void
ha_slot_name(const char *member, char *out)
{
	size_t		used = 0;

	for (const char *p = member; *p != '\0' && used < HA_NAME_SIZE - 1; p++)
	{
		unsigned char c = *p;
		char		part[8];
		size_t		length;

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')
			snprintf(part, sizeof(part), "%c", c);
		else if (c == '-' || c == '.')
			snprintf(part, sizeof(part), "_");
		else
			snprintf(part, sizeof(part), "u%04d", c);

		length = strlen(part);
		if (length > HA_NAME_SIZE - 1 - used)
			length = HA_NAME_SIZE - 1 - used;
		memcpy(out + used, part, length);
		used += length;
	}
	out[used] = '\0';
}

/*-------------------------------------------------------------------------
 * Reading leaves
 *
 * Each takes one member of an object.  What is absent or null is the default;
 * what is there but is not what it must be is the default too, and *ok becomes
 * false.  *ok never becomes true again, so that one look at the end is enough.
 *-------------------------------------------------------------------------
 */

static json_t *
member_of(json_t *object, const char *name)
{
	json_t	   *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

static int64_t
take_int(json_t *object, const char *name, int64_t min, int64_t max,
		 int64_t absent, bool *ok)
{
	json_t	   *value = member_of(object, name);

	if (value == NULL)
		return absent;
	if (json_is_integer(value) && json_integer_value(value) >= min &&
		json_integer_value(value) <= max)
		return json_integer_value(value);
	*ok = false;
	return absent;
}

static uint64_t
take_lsn(json_t *object, const char *name, bool *ok)
{
	return (uint64_t) take_int(object, name, 0, INT64_MAX, 0, ok);
}

static uint32_t
take_timeline(json_t *object, const char *name, bool *ok)
{
	return (uint32_t) take_int(object, name, 0, UINT32_MAX, 0, ok);
}

/* A boolean, or a word or number that Patroni takes for one. */
bool
ha_json_switch(json_t *value, bool *out)
{
	static const char *const words[] = {
		"off", "on", "false", "true", "no", "yes", "0", "1", NULL
	};
	int			i = -1;

	if (json_is_boolean(value))
		i = json_is_true(value);
	else if (json_is_string(value))
		i = find_word(words, json_string_value(value));
	else if (json_is_integer(value) && json_integer_value(value) >= 0 &&
			 json_integer_value(value) <= 1)
		i = (int) json_integer_value(value);

	if (i >= 0)
		*out = i % 2 == 1;
	return i >= 0;
}

static bool
take_bool(json_t *object, const char *name, bool *ok)
{
	json_t	   *value = member_of(object, name);
	bool		result = false;

	if (value != NULL && !json_is_boolean(value))
		*ok = false;
	else
		result = json_is_true(value);
	return result;
}

/* Printable ASCII without blanks and quotes, "" if absent. */
static void
take_text(json_t *object, const char *name, char *out, size_t size, bool *ok)
{
	json_t	   *value = member_of(object, name);
	const char *text = json_string_value(value);
	size_t		length = 0;

	out[0] = '\0';
	if (value == NULL)
		return;
	while (text != NULL && text[length] > ' ' && text[length] <= '~' &&
		   strchr("\"'\\", text[length]) == NULL)
		length++;
	if (text == NULL || text[length] != '\0' || length >= size)
		*ok = false;
	else
		memcpy(out, text, length + 1);
}

/* A member name; "" if absent or empty. */
static void
take_name(json_t *object, const char *name, char *out, bool *ok)
{
	json_t	   *value = member_of(object, name);
	const char *text = json_string_value(value);

	out[0] = '\0';
	if (value == NULL || (text != NULL && text[0] == '\0'))
		return;
	if (text == NULL || !ha_name_is_valid(text))
		*ok = false;
	else
		memcpy(out, text, strlen(text) + 1);
}

/* A time of day; absent or null is 0. */
static void
take_time(json_t *object, const char *name, int64_t *ms, bool *ok)
{
	json_t	   *value = member_of(object, name);
	const char *text = json_string_value(value);

	*ms = 0;
	if (value != NULL && !json_is_null(value) &&
		(text == NULL || strlen(text) != json_string_length(value) ||
		 !ha_time_parse(text, ms)))
		*ok = false;
}

/* The object that a key holds, or NULL. */
static json_t *
load_object(const HaKv *kv)
{
	json_t	   *json = ha_json_load(kv->value, kv->length);

	if (!json_is_object(json))
	{
		json_decref(json);
		return NULL;
	}
	return json;
}

/* Does a key hold plain text, without a NUL in it? */
static bool
is_text(const HaKv *kv)
{
	return kv->value != NULL && strlen(kv->value) == kv->length;
}

/*-------------------------------------------------------------------------
 * /config
 *-------------------------------------------------------------------------
 */

void
ha_config_defaults(HaConfig *config)
{
	memset(config, 0, sizeof(*config));
	config->ttl = 10000;
	config->loop_wait = 2000;
	config->retry_timeout = 4000;
	config->primary_start_timeout = 300000;
	config->maximum_lag_on_failover = 1048576;
	config->synchronous_node_count = 1;
	ha_slots_config_defaults(config);
}

static json_t *
config_default_object(void)
{
	return json_pack("{s:i,s:i,s:i,s:i,s:i}", "ttl", 10, "loop_wait", 2,
					 "retry_timeout", 4, "maximum_lag_on_failover", 1048576,
					 "primary_start_timeout", 300);
}

char *
ha_config_default_json(void)
{
	return dump(config_default_object());
}

/* Seconds, with fractions, into milliseconds. */
static bool
config_seconds(json_t *json, const char *name, double min, double max,
			   int64_t *out, char *err, size_t errlen)
{
	json_t	   *value = member_of(json, name);
	double		seconds = json_number_value(value);

	if (value == NULL)
		return true;
	if (!json_is_number(value) || !(seconds >= min && seconds <= max))
		return fail(err, errlen, "\"%s\" must be a number of seconds "
					"from %g to %.0f", name, min, max);
	*out = (int64_t) (seconds * 1000 + 0.5);
	return true;
}

static bool
config_int(json_t *json, const char *name, int64_t min, int64_t max,
		   int64_t *out, char *err, size_t errlen)
{
	bool		ok = true;

	*out = take_int(json, name, min, max, *out, &ok);
	return ok || fail(err, errlen, "\"%s\" must be an integer from %" PRId64
					  " to %" PRId64, name, min, max);
}

static bool
config_switch(json_t *json, const char *name, bool *out, char *err,
			  size_t errlen)
{
	json_t	   *value = member_of(json, name);

	return value == NULL || ha_json_switch(value, out) ||
		fail(err, errlen, "\"%s\" must be true or false", name);
}

static double
seconds_of(int64_t ms)
{
	return (double) ms / 1000;
}

static bool
config_timing(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	const double day = DAY_MS / 1000;
	const double year = YEAR_MS / 1000;

	/* Patroni's older name first: the newer one wins where both are given. */
	return config_seconds(json, "ttl", 2, day, &config->ttl, err, errlen) &&
		config_seconds(json, "loop_wait", 0.1, day, &config->loop_wait, err,
					   errlen) &&
		config_seconds(json, "retry_timeout", 0.1, day,
					   &config->retry_timeout, err, errlen) &&
		config_seconds(json, "master_start_timeout", 0, year,
					   &config->primary_start_timeout, err, errlen) &&
		config_seconds(json, "primary_start_timeout", 0, year,
					   &config->primary_start_timeout, err, errlen) &&
		(config->ttl >= config->loop_wait + 2 * config->retry_timeout ||
		 fail(err, errlen, "ttl (%g) must be at least loop_wait (%g) + "
			  "2 * retry_timeout (%g) = %g", seconds_of(config->ttl),
			  seconds_of(config->loop_wait),
			  seconds_of(config->retry_timeout),
			  seconds_of(config->loop_wait + 2 * config->retry_timeout)));
}

static bool
config_sync_mode(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	json_t	   *value = member_of(json, "synchronous_mode");
	const char *word = json_string_value(value);
	bool		on = false;

	if (word != NULL && strcmp(word, "quorum") == 0)
		config->synchronous_mode = HA_SYNC_QUORUM;
	else if (value == NULL || ha_json_switch(value, &on))
		config->synchronous_mode = on ? HA_SYNC_ON : HA_SYNC_OFF;
	else
		return fail(err, errlen, "\"synchronous_mode\" must be "
					"off, on or quorum");
	return true;
}

static bool
config_rest(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	int64_t		node_count = config->synchronous_node_count;

	if (!config_int(json, "maximum_lag_on_failover", 0, INT64_MAX,
					&config->maximum_lag_on_failover, err, errlen) ||
		!config_int(json, "synchronous_node_count", 1, INT32_MAX, &node_count,
					err, errlen) ||
		!config_sync_mode(json, config, err, errlen))
		return false;
	config->synchronous_node_count = (int32_t) node_count;
	if (!config_int(json, "maximum_lag_on_syncnode", INT64_MIN, INT64_MAX,
					&config->maximum_lag_on_syncnode, err, errlen))
		return false;

	return config_switch(json, "synchronous_mode_strict",
						 &config->synchronous_mode_strict, err, errlen) &&
		config_switch(json, "failsafe_mode", &config->failsafe_mode, err,
					  errlen) &&
		config_switch(json, "check_timeline", &config->check_timeline, err,
					  errlen) &&
		config_switch(json, "pause", &config->pause, err, errlen);
}

/* What a later version wrote may mean what this one doesn't know. */
static bool
config_schema(json_t *json, char *err, size_t errlen)
{
	int64_t		schema = 1;

	return config_int(json, "schema", 1, INT32_MAX, &schema, err, errlen) &&
		(schema <= HA_CONFIG_SCHEMA ||
		 fail(err, errlen, "schema %" PRId64 " is newer than what this "
			  "pg_ha " HA_VERSION " knows (%d)", schema, HA_CONFIG_SCHEMA));
}

bool
ha_config_parse(const char *json, size_t length, HaConfig *config, char *err,
				size_t errlen)
{
	json_t	   *root = ha_json_load(json, length);
	HaConfig	result;
	bool		ok;

	ha_config_defaults(&result);
	result.known = true;
	if (!json_is_object(root))
		ok = fail(err, errlen, "the configuration must be a JSON object");
	else
		ok = config_schema(root, err, errlen) &&
			config_timing(root, &result, err, errlen) &&
			config_rest(root, &result, err, errlen) &&
			ha_slots_config_parse(root, &result, err, errlen) &&
			ha_standby_cluster_parse(root, &result.standby_cluster, err,
									 errlen);
	json_decref(root);
	if (ok)
		*config = result;
	return ok;
}

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

bool
ha_heartbeat_parse(const HaKv *kv, HaHeartbeat *heartbeat)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	memset(heartbeat, 0, sizeof(*heartbeat));
	take_name(json, "name", heartbeat->name, &ok);
	heartbeat->term = take_int(json, "term", 0, INT64_MAX, -1, &ok);
	heartbeat->ttl = take_int(json, "ttl", 1, DAY_MS, 0, &ok);
	heartbeat->lsn = take_lsn(json, "lsn", &ok);
	heartbeat->released = take_bool(json, "released", &ok);
	heartbeat->released_lsn = take_lsn(json, "released_lsn", &ok);
	heartbeat->crashed = take_bool(json, "crashed", &ok);
	heartbeat->failsafe = take_bool(json, "failsafe", &ok);
	heartbeat->mod_revision = kv->mod_revision;
	heartbeat->present = true;
	json_decref(json);

	if (ok && heartbeat->name[0] != '\0' && heartbeat->term >= 0 &&
		heartbeat->ttl > 0)
		return true;
	memset(heartbeat, 0, sizeof(*heartbeat));
	return false;
}

static bool
parse_heartbeat(const HaKv *kv, HaView *view)
{
	return ha_heartbeat_parse(kv, &view->heartbeat);
}

/* [[timeline, end_lsn, owner], ...], oldest first */
static bool
parse_lineage(json_t *array, HaTerm *term)
{
	json_t	   *line;
	size_t		i;
	uint32_t	last = 0;

	if (array == NULL)
		return true;
	if (!json_is_array(array) || json_array_size(array) > HA_MAX_LINEAGE)
		return false;
	json_array_foreach(array, i, line)
	{
		HaTimeline *entry = &term->lineage[i];
		json_int_t	timeline;
		json_int_t	end_lsn;
		const char *owner;

		if (json_unpack(line, "[I,I,s!]", &timeline, &end_lsn, &owner) != 0 ||
			timeline <= last || timeline > UINT32_MAX || end_lsn < 0 ||
			(owner[0] != '\0' && !ha_name_is_valid(owner)))
			return false;
		entry->timeline = last = (uint32_t) timeline;
		entry->end_lsn = (uint64_t) end_lsn;
		memcpy(entry->owner, owner, strlen(owner) + 1);
	}
	term->nlineage = (int32_t) json_array_size(array);
	return term->timeline == 0 || last < term->timeline;
}

static bool
parse_term(const HaKv *kv, HaView *view)
{
	HaTerm	   *term = &view->term;
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	memset(term, 0, sizeof(*term));
	term->term = take_int(json, "term", 1, INT64_MAX, 0, &ok);
	take_name(json, "owner", term->owner, &ok);
	term->intent = take_bool(json, "intent", &ok);
	term->standby = take_bool(json, "standby", &ok);
	term->foreign = take_bool(json, "foreign", &ok);
	term->from_source = take_bool(json, "from_source", &ok) ||
		(term->standby && !term->intent);
	term->timeline = take_timeline(json, "timeline", &ok);
	term->begin_lsn = take_lsn(json, "begin_lsn", &ok);
	take_name(json, "timeline_owner", term->timeline_owner, &ok);
	term->reserved = take_timeline(json, "reserved", &ok);
	term->left = take_bool(json, "left", &ok);
	term->unchecked_from = take_int(json, "unchecked_from", 0, INT64_MAX, 0,
									&ok);
	term->reached = take_lsn(json, "reached", &ok);
	term->lost_bytes = take_lsn(json, "lost_bytes", &ok);
	ok = ok && parse_lineage(member_of(json, "lineage"), term);
	term->mod_revision = kv->mod_revision;
	term->present = true;
	json_decref(json);

	/* Only the intent of the very first term has no timeline to tell. */
	if (ok && term->term > 0 && term->owner[0] != '\0' &&
		(term->intent || term->timeline > 0))
		return true;
	memset(term, 0, sizeof(*term));
	return false;
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
parse_change(const HaKv *kv, HaView *view)
{
	return ha_change_parse(kv, &view->change);
}

static bool
parse_refusal(const HaKv *kv, HaView *view)
{
	return ha_refusal_parse(kv, &view->refusal);
}

static bool
is_http_url(const char *url)
{
	return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/*
 * {"name":"api_url",...}.  What can't be read lists nobody, so that nobody is
 * elected who was not asked; "{}" is Patroni's way to say that there is no list.
 */
static bool
parse_failsafe(const HaKv *kv, HaView *view)
{
	HaFailsafe *failsafe = &view->failsafe;
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL && json_object_size(json) <= HA_MAX_MEMBERS;
	const char *name;
	json_t	   *unused;

	memset(failsafe, 0, sizeof(*failsafe));
	failsafe->present = !ok || json_object_size(json) > 0;
	failsafe->mod_revision = kv->mod_revision;
	if (ok)
	{
		json_object_foreach(json, name, unused)
		{
			char	   *url = failsafe->api_urls[failsafe->nmembers];

			ok = ok && ha_name_is_valid(name);
			take_text(json, name, url, HA_URL_SIZE, &ok);
			if (!ok || (url[0] != '\0' && !is_http_url(url)))
			{
				ok = false;
				break;
			}
			memcpy(failsafe->members[failsafe->nmembers++], name,
				   strlen(name) + 1);
		}
	}
	json_decref(json);

	if (!ok)
		failsafe->nmembers = 0;
	return ok;
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

bool
ha_uuid_is_valid(const char *uuid)
{
	for (int i = 0; i < 36; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' :
			uuid[i] == '\0' || strchr("0123456789abcdef", uuid[i]) == NULL)
			return false;
	}
	return uuid[36] == '\0';
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

/*-------------------------------------------------------------------------
 * Members
 *-------------------------------------------------------------------------
 */

/*
 * "postgres://HOST:PORT/db", HOST a name, an address, or an IPv6 address in
 * brackets.  A user or password has no place in it.
 */
static bool
parse_conn_url(const char *url, char *host, size_t size, int32_t *port)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"abcdefghijklmnopqrstuvwxyz0123456789._-";
	static const char digits[] = "0123456789abcdefABCDEF:.";
	const char *rest;
	size_t		length;

	if (strncmp(url, "postgres://", 11) == 0)
		url += 11;
	else if (strncmp(url, "postgresql://", 13) == 0)
		url += 13;
	else
		return false;

	if (*url == '[')
	{
		length = strspn(++url, digits);
		if (url[length] != ']')
			return false;
		rest = url + length + 1;
	}
	else
	{
		length = strspn(url, letters);
		rest = url + length;
	}
	if (length == 0 || length >= size)
		return false;

	*port = 5432;
	if (*rest == ':')
	{
		size_t		width = strspn(++rest, "0123456789");

		*port = width > 0 && width <= 5 ? atoi(rest) : 0;
		rest += width;
	}
	if (*port < 1 || *port > 65535 ||
		(*rest != '\0' && *rest != '/' && *rest != '?'))
		return false;
	memcpy(host, url, length);
	host[length] = '\0';
	return true;
}

static void
take_urls(json_t *json, HaMember *member, bool *ok)
{
	take_text(json, "conn_url", member->conn_url, sizeof(member->conn_url),
			  ok);
	if (member->conn_url[0] != '\0' &&
		!parse_conn_url(member->conn_url, member->host, sizeof(member->host),
						&member->port))
	{
		member->conn_url[0] = '\0';
		member->port = 0;
		*ok = false;
	}
	take_text(json, "api_url", member->api_url, sizeof(member->api_url), ok);
	if (member->api_url[0] != '\0' && !is_http_url(member->api_url))
	{
		member->api_url[0] = '\0';
		*ok = false;
	}
}

/* A state or role that we have no word for is not known, but not malformed. */
static void
take_state_and_role(json_t *json, HaMember *member, bool *ok)
{
	json_t	   *state = member_of(json, "state");
	json_t	   *role = member_of(json, "role");

	if (!json_is_string(state) || !json_is_string(role))
		*ok = false;
	if (json_is_string(state))
	{
		const char *word = json_string_value(state);
		int			i = find_word(state_words, word);

		if (i >= 0)
			member->state = (HaMemberState) i;
		for (size_t j = 0; j < LENGTH_OF(patroni_states); j++)
		{
			if (strcmp(patroni_states[j].word, word) == 0)
				member->state = patroni_states[j].state;
		}
	}
	for (size_t j = 0; j < LENGTH_OF(patroni_roles); j++)
	{
		if (json_is_string(role) &&
			strcmp(patroni_roles[j].word, json_string_value(role)) == 0)
			member->role = patroni_roles[j].role;
	}
	member->standby_leader = json_is_string(role) &&
		strcmp(json_string_value(role), HA_STANDBY_LEADER) == 0;
}

/* [timeline, bytes] */
static void
take_discarded(json_t *json, HaMember *member, bool *ok)
{
	json_t	   *array = member_of(json, "pg_ha_discarded");
	json_int_t	timeline;
	json_int_t	bytes;

	if (array == NULL)
		return;
	if (json_unpack(array, "[I,I!]", &timeline, &bytes) != 0 ||
		timeline < 0 || timeline > UINT32_MAX || bytes < 0)
	{
		*ok = false;
		return;
	}
	member->discarded_timeline = (uint32_t) timeline;
	member->discarded_bytes = (uint64_t) bytes;
}

/* {"method": ..., "percent": ...} */
static void
take_clone(json_t *json, HaMember *member, bool *ok)
{
	json_t	   *clone = member_of(json, "pg_ha_clone");

	if (clone != NULL && !json_is_object(clone))
		*ok = false;
	take_name(clone, "method", member->clone_method, ok);
	member->clone_percent = (int32_t) take_int(clone, "percent", 0, 100, 0, ok);
}

static void
take_hba(json_t *json, HaMember *member, bool *ok)
{
	json_t	   *hba = member_of(json, "pg_ha_hba");

	if (hba != NULL && !json_is_object(hba))
		*ok = false;
	take_text(hba, "source", member->hba_source, sizeof(member->hba_source),
			  ok);
	take_text(hba, "sha256", member->hba_sha256, sizeof(member->hba_sha256),
			  ok);
}

/*
 * Whoever tells a version of Patroni and none of pg_ha is no member of ours.  What we
 * can't read is a version that we don't know.
 */
static void
take_patroni(json_t *json, HaMember *member)
{
	bool		ok = true;

	if (json_is_string(json_object_get(json, "pg_ha_version")) ||
		member_of(json, "version") == NULL)
		return;
	take_text(json, "version", member->patroni, sizeof(member->patroni), &ok);
	if (member->patroni[0] == '\0')
		memcpy(member->patroni, "?", 2);
}

static bool
fill_member(const HaKv *kv, HaMember *member)
{
	json_t	   *json = load_object(kv);
	char		replication[16];
	bool		ok = json != NULL;
	bool		any_word = true;

	member->mod_revision = kv->mod_revision;
	member->lease = kv->lease;
	take_urls(json, member, &ok);
	take_state_and_role(json, member, &ok);
	if (!ha_tags_read(member_of(json, "tags"), member))
		ok = false;
	member->timeline = take_timeline(json, "timeline", &ok);
	member->lsn = take_lsn(json, "xlog_location", &ok);
	member->replay_lsn = take_lsn(json, "replay_lsn", &ok);

	/* Patroni's other word, "in archive recovery", is no such text. */
	take_text(json, "replication_state", replication, sizeof(replication),
			  &any_word);
	member->streaming = strcmp(replication, "streaming") == 0;

	member->pause = take_bool(json, "pause", &ok);
	member->sick = take_bool(json, "pg_ha_sick", &ok);
	take_text(json, "pg_ha_pending_restart", member->pending_restart,
			  sizeof(member->pending_restart), &ok);
	take_text(json, "pg_ha_version", member->version, sizeof(member->version),
			  &ok);
	take_patroni(json, member);
	take_text(json, "pg_ha_identity", member->identity,
			  sizeof(member->identity), &ok);
	take_discarded(json, member, &ok);
	take_clone(json, member, &ok);
	take_hba(json, member, &ok);
	if (!ha_progress_parse(member_of(json, "pg_ha_request"),
						   &member->progress))
		ok = false;
	json_decref(json);
	return ok;
}

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
	return fill_member(kv, member) && !dropped;
}

static bool
parse_vote(const HaKv *kv, const char *name, HaView *view)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL && ha_name_is_valid(name);
	bool		dropped = false;
	HaVote		vote;
	HaVote	   *place;

	memset(&vote, 0, sizeof(vote));
	vote.mod_revision = kv->mod_revision;
	vote.term = take_int(json, "term", 0, INT64_MAX, -1, &ok);
	vote.term_revision = take_int(json, "term_revision", 0, INT64_MAX, -1,
								  &ok);
	vote.timeline = take_timeline(json, "timeline", &ok);
	vote.lsn = take_lsn(json, "lsn", &ok);
	vote.priority = (int32_t)
		take_int(json, "priority", INT32_MIN, INT32_MAX, 1, &ok);
	vote.withdrawn = take_bool(json, "withdrawn", &ok);
	json_decref(json);
	if (!ok || vote.term < 0 || vote.term_revision < 0)
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

static bool
parse_stop(const HaKv *kv, HaView *view)
{
	return ha_request_parse(kv, &view->stop);
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
 *
 * json_pack takes over what its "o" arguments refer to, and fails when one of
 * them is NULL, so that a failed allocation anywhere ends as one NULL at the
 * top.
 *-------------------------------------------------------------------------
 */

static json_t *
lsn_json(uint64_t lsn)
{
	return json_integer(lsn > INT64_MAX ? INT64_MAX : (json_int_t) lsn);
}

/* jansson refuses what is not UTF-8: then all beyond ASCII becomes '?'. */
static json_t *
text_json(const char *text)
{
	json_t	   *json = json_string(text);
	char	   *copy;

	if (json != NULL)
		return json;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *p = copy; *p != '\0'; p++)
	{
		if ((unsigned char) *p >= 0x80)
			*p = '?';
	}
	json = json_string(copy);
	free(copy);
	return json;
}

char *
ha_identity_json(const char *uuid)
{
	json_t	   *json = ha_json_object();

	add(&json, "uuid", text_json(uuid));
	add(&json, "schema", json_integer(HA_CLUSTER_SCHEMA));
	add(&json, "needs", text_json(HA_SCHEMA_SINCE));
	return dump(json);
}

char *
ha_heartbeat_json(const HaHeartbeat *heartbeat)
{
	json_t	   *json = ha_json_object();

	add(&json, "name", text_json(heartbeat->name));
	add(&json, "term", json_integer(heartbeat->term));
	add(&json, "ttl", json_integer(heartbeat->ttl));
	add(&json, "lsn", lsn_json(heartbeat->lsn));
	if (heartbeat->released)
		add(&json, "released", json_true());
	if (heartbeat->released_lsn != 0)
		add(&json, "released_lsn", lsn_json(heartbeat->released_lsn));
	if (heartbeat->crashed)
		add(&json, "crashed", json_true());
	if (heartbeat->failsafe)
		add(&json, "failsafe", json_true());
	return dump(json);
}

static json_t *
lineage_json(const HaTerm *term)
{
	json_t	   *array = json_array();

	for (int i = 0; i < term->nlineage && i < HA_MAX_LINEAGE; i++)
	{
		const HaTimeline *entry = &term->lineage[i];

		if (json_array_append_new(array,
								  json_pack("[I,o,o]",
											(json_int_t) entry->timeline,
											lsn_json(entry->end_lsn),
											text_json(entry->owner))) != 0)
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

char *
ha_term_json(const HaTerm *term)
{
	json_t	   *json = ha_json_object();

	add(&json, "term", json_integer(term->term));
	add(&json, "owner", text_json(term->owner));
	if (term->intent)
		add(&json, "intent", json_true());
	if (term->standby)
		add(&json, "standby", json_true());
	if (term->foreign)
		add(&json, "foreign", json_true());
	if (term->from_source)
		add(&json, "from_source", json_true());
	add(&json, "timeline", json_integer(term->timeline));
	add(&json, "begin_lsn", lsn_json(term->begin_lsn));
	add(&json, "timeline_owner", text_json(term->timeline_owner));
	add(&json, "reserved", json_integer(term->reserved));
	if (term->left)
		add(&json, "left", json_true());
	if (term->unchecked_from != 0)
		add(&json, "unchecked_from", json_integer(term->unchecked_from));
	add(&json, "reached", lsn_json(term->reached));
	add(&json, "lost_bytes", lsn_json(term->lost_bytes));
	add(&json, "lineage", lineage_json(term));
	return dump(json);
}

char *
ha_vote_json(const HaVote *vote)
{
	json_t	   *json = ha_json_object();

	add(&json, "term", json_integer(vote->term));
	add(&json, "term_revision", json_integer(vote->term_revision));
	add(&json, "timeline", json_integer(vote->timeline));
	add(&json, "lsn", lsn_json(vote->lsn));
	add(&json, "priority", json_integer(vote->priority));
	if (vote->withdrawn)
		add(&json, "withdrawn", json_true());
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

char *
ha_failsafe_json(const HaFailsafe *failsafe)
{
	json_t	   *json = ha_json_object();

	for (int i = 0; i < failsafe->nmembers && i < HA_MAX_MEMBERS; i++)
		add(&json, failsafe->members[i], text_json(failsafe->api_urls[i]));
	return dump(json);
}

/*-------------------------------------------------------------------------
 * POST /failsafe
 *-------------------------------------------------------------------------
 */

char *
ha_question_json(const HaQuestion *question, const char *conn_url,
				 const char *api_url)
{
	json_t	   *json = ha_json_object();

	add(&json, "name", text_json(question->name));
	add(&json, "conn_url", text_json(conn_url));
	add(&json, "api_url", text_json(api_url));
	add(&json, "term", json_integer(question->term));
	add(&json, "ttl", json_integer(question->ttl));
	add(&json, "lsn", lsn_json(question->lsn));
	if (question->member[0] != '\0')
		add(&json, "member", text_json(question->member));
	if (question->sysid != 0)
		add(&json, "database_system_identifier", lsn_json(question->sysid));
	return dump(json);
}

bool
ha_question_parse(const char *text, size_t length, HaQuestion *question)
{
	json_t	   *json = ha_json_load(text, length);
	bool		ok = json_is_object(json);

	memset(question, 0, sizeof(*question));
	if (ok)
	{
		take_name(json, "name", question->name, &ok);
		question->term = take_int(json, "term", 0, INT64_MAX, -1, &ok);
		question->ttl = take_int(json, "ttl", 1, DAY_MS, 0, &ok);
		question->lsn = take_lsn(json, "lsn", &ok);
		take_name(json, "member", question->member, &ok);
		question->sysid = take_lsn(json, "database_system_identifier", &ok);
	}
	json_decref(json);
	return ok && question->name[0] != '\0';
}

/* As Patroni shows it. */
static json_t *
scheduled_json(const HaMember *member)
{
	json_t	   *json = ha_json_object();
	char		text[HA_TIME_SIZE];

	ha_time_format(member->restart_at, text);
	add(&json, "schedule", json_string(text));
	if (member->restart_role != HA_ROLE_UNINITIALIZED)
		add(&json, "role",
			json_string(member->restart_role == HA_ROLE_PRIMARY ?
						"primary" : "replica"));
	if (member->restart_version != 0)
	{
		snprintf(text, sizeof(text), "%d.%d",
				 (int) member->restart_version / 10000,
				 (int) member->restart_version % 10000);
		add(&json, "postgres_version", json_string(text));
	}
	if (member->restart_pending)
		add(&json, "restart_pending", json_true());
	return json;
}

char *
ha_member_json(const HaMember *member)
{
	json_t	   *json = ha_json_object();
	json_t	   *tags = ha_tags_json(member);
	bool		standby = member->role != HA_ROLE_PRIMARY;

	add(&json, "conn_url", text_json(member->conn_url));
	add(&json, "api_url", text_json(member->api_url));
	add(&json, "state", text_json(ha_member_state_name(member->state)));
	add(&json, "role", text_json(member->standby_leader ? HA_STANDBY_LEADER :
								 ha_role_name(member->role)));
	add(&json, "version", text_json(member->patroni[0] != '\0' ?
									member->patroni : HA_PATRONI_LEVEL));
	if (tags == NULL || json_object_size(tags) > 0)
		add(&json, "tags", tags);
	else
		json_decref(tags);
	if (member->lsn != 0)
		add(&json, "xlog_location", lsn_json(member->lsn));
	if (standby && member->replay_lsn != 0)
		add(&json, "replay_lsn", lsn_json(member->replay_lsn));
	if (standby && member->lsn != 0)
		add(&json, "receive_lsn", lsn_json(member->lsn));
	if (standby && member->streaming)
		add(&json, "replication_state", json_string("streaming"));
	if (member->timeline != 0)
		add(&json, "timeline", json_integer(member->timeline));
	if (member->pause)
		add(&json, "pause", json_true());
	if (member->sick)
		add(&json, "pg_ha_sick", json_true());
	if (member->pending_restart[0] != '\0')
	{
		add(&json, "pending_restart", json_true());
		add(&json, "pg_ha_pending_restart",
			text_json(member->pending_restart));
	}
	if (member->restart_at != 0)
		add(&json, "scheduled_restart", scheduled_json(member));
	if (member->patroni[0] == '\0')
		add(&json, "pg_ha_version", text_json(member->version));
	add(&json, "pg_ha_identity", text_json(member->identity));
	if (member->discarded_bytes != 0)
		add(&json, "pg_ha_discarded",
			json_pack("[I,o]", (json_int_t) member->discarded_timeline,
					  lsn_json(member->discarded_bytes)));
	if (member->clone_method[0] != '\0')
		add(&json, "pg_ha_clone",
			json_pack("{s:o,s:i}", "method", text_json(member->clone_method),
					  "percent", (int) member->clone_percent));
	if (member->hba_source[0] != '\0')
		add(&json, "pg_ha_hba",
			json_pack("{s:o,s:o}", "source", text_json(member->hba_source),
					  "sha256", text_json(member->hba_sha256)));
	if (member->progress.state != HA_PROGRESS_NONE)
		add(&json, "pg_ha_request", ha_progress_json(&member->progress));
	return dump(json);
}

/*-------------------------------------------------------------------------
 * /history
 *-------------------------------------------------------------------------
 */

/* The timeline of the last line; 0 = none, -1 = this is no history. */
static int64_t
last_timeline(json_t *history)
{
	size_t		n = json_array_size(history);
	json_t	   *first;

	if (!json_is_array(history))
		return -1;
	if (n == 0)
		return 0;
	first = json_array_get(json_array_get(history, n - 1), 0);
	if (!json_is_integer(first) || json_integer_value(first) < 1)
		return -1;
	return json_integer_value(first);
}

/*
 * When a timeline ended is known of the newest only.  Patroni takes lines
 * without time and leader for those of before its days.
 */
static json_t *
history_line(const HaTerm *term, int i, const char *iso_time)
{
	static const char reason[] = "no recovery target specified";
	const HaTimeline *entry = &term->lineage[i];

	if (i < term->nlineage - 1)
		return json_pack("[I,o,s]", (json_int_t) entry->timeline,
						 lsn_json(entry->end_lsn), reason);
	return json_pack("[I,o,s,o,o]", (json_int_t) entry->timeline,
					 lsn_json(entry->end_lsn), reason, text_json(iso_time),
					 text_json(term->timeline_owner));
}

char *
ha_history_json(const HaTerm *term, const char *old_value,
				const char *iso_time)
{
	json_t	   *history = old_value != NULL ?
	ha_json_load(old_value, strlen(old_value)) : NULL;
	int64_t		last = last_timeline(history);
	bool		is_new = old_value != NULL && last < 0;

	if (last < 0)
	{
		json_decref(history);
		history = json_array();
	}
	for (int i = 0; i < term->nlineage && i < HA_MAX_LINEAGE; i++)
	{
		if ((int64_t) term->lineage[i].timeline <= last)
			continue;
		if (json_array_append_new(history,
								  history_line(term, i, iso_time)) != 0)
		{
			json_decref(history);
			return NULL;
		}
		is_new = true;
	}
	if (!is_new)
	{
		json_decref(history);
		return NULL;
	}
	while (json_array_size(history) > MAX_HISTORY_LINES)
		json_array_remove(history, 0);
	return dump(history);
}

/*-------------------------------------------------------------------------
 * Decision problems
 *
 * The structs of cluster.h as tables: one line for each field, so that a
 * problem can name them all and nothing else.
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
