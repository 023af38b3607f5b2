/*-------------------------------------------------------------------------
 *
 * term_json.c
 *	  Who led, who leads and who would: heartbeat, term and votes <-> what stands
 *	  in the store.
 *
 * Plain C and jansson.  An election goes by these keys, so one that is malformed is as
 * if it did not exist: it has no revision, and the txn that acts on it compares with 0,
 * which the store refuses.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "names.h"
#include "term_json.h"

/*-------------------------------------------------------------------------
 * pg_ha/heartbeat
 *-------------------------------------------------------------------------
 */

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

/*-------------------------------------------------------------------------
 * pg_ha/term
 *-------------------------------------------------------------------------
 */

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

bool
ha_term_parse(const HaKv *kv, HaTerm *term)
{
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

/*-------------------------------------------------------------------------
 * pg_ha/votes/N
 *-------------------------------------------------------------------------
 */

bool
ha_vote_parse(const HaKv *kv, HaVote *vote)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL;

	memset(vote, 0, sizeof(*vote));
	vote->mod_revision = kv->mod_revision;
	vote->term = take_int(json, "term", 0, INT64_MAX, -1, &ok);
	vote->term_revision = take_int(json, "term_revision", 0, INT64_MAX, -1,
								   &ok);
	vote->timeline = take_timeline(json, "timeline", &ok);
	vote->lsn = take_lsn(json, "lsn", &ok);
	vote->priority = (int32_t)
		take_int(json, "priority", INT32_MIN, INT32_MAX, 1, &ok);
	vote->withdrawn = take_bool(json, "withdrawn", &ok);
	json_decref(json);

	if (ok && vote->term >= 0 && vote->term_revision >= 0)
		return true;
	memset(vote, 0, sizeof(*vote));
	return false;
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
