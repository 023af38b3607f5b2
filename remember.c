/*-------------------------------------------------------------------------
 *
 * remember.c
 *	  The cluster as it was seen last, for who starts while the store is away.
 *
 * Plain C and jansson.  The keys are kept as they stand in the store, and read in the
 * same way.  It is for people: who has to decide decides by what the store says.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_json.h"
#include "json_guard.h"
#include "member_json.h"
#include "remember.h"

/* Takes the value over. */
static bool
add_key(json_t *keys, const char *key, char *value)
{
	bool		ok = value != NULL &&
	json_object_set_new(keys, key, json_string(value)) == 0;

	free(value);
	return ok;
}

static bool
add_members(json_t *keys, const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		HaMember	member = view->members[i];
		char		key[HA_NAME_SIZE + 16];

		member.lsn = member.replay_lsn = 0;
		snprintf(key, sizeof(key), "members/%s", member.name);
		if (!add_key(keys, key, ha_member_json(&member)))
			return false;
	}
	return true;
}

static bool
add_sync(json_t *keys, const HaSync *sync)
{
	return !sync->present ||
		add_key(keys, "sync", ha_sync_json(sync->leader, sync->quorum,
										   sync->nstandbys, sync->standbys));
}

char *
ha_remember_keys(const HaView *view)
{
	json_t	   *keys = ha_json_object();
	char	   *text = NULL;

	if (keys != NULL && add_members(keys, view) &&
		add_sync(keys, &view->sync) &&
		(!view->leader.present ||
		 add_key(keys, "leader", strdup(view->leader.name))))
		text = json_dumps(keys, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(keys);
	return text;
}

char *
ha_remember_json(const char *keys, int64_t as_of)
{
	size_t		size = strlen(keys) + 64;
	char	   *text = malloc(size);

	if (text != NULL)
		snprintf(text, size, "{\"as_of\":%lld,\"keys\":%s}\n",
				 (long long) as_of, keys);
	return text;
}

/* As an answer of the store that has them; the values are freed with it. */
static bool
fill_answer(json_t *keys, HaAnswer *answer)
{
	const char *key;
	json_t	   *value;

	answer->kvs = calloc(json_object_size(keys) + 1, sizeof(HaKv));
	if (answer->kvs == NULL)
		return false;
	json_object_foreach(keys, key, value)
	{
		HaKv	   *kv = &answer->kvs[answer->nkvs];

		if (!json_is_string(value) || strlen(key) >= sizeof(kv->key))
			return false;
		snprintf(kv->key, sizeof(kv->key), "%s", key);
		kv->value = strdup(json_string_value(value));
		if (kv->value == NULL)
			return false;
		kv->length = strlen(kv->value);
		kv->mod_revision = kv->create_revision = 1;
		answer->nkvs++;
	}
	return true;
}

bool
ha_remember_parse(const char *text, size_t length, HaView *view,
				  int64_t *as_of)
{
	json_t	   *json = ha_json_load(text, length);
	json_t	   *keys = json_object_get(json, "keys");
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.status = HA_DCS_UNKNOWN};
	bool		ok = json_is_object(keys) &&
	json_is_integer(json_object_get(json, "as_of")) &&
	fill_answer(keys, &answer);

	if (ok)
	{
		*as_of = json_integer_value(json_object_get(json, "as_of"));
		ha_view_parse(&answer, NULL, view);
	}
	ha_dcs_answer_free(&answer);
	json_decref(json);
	return ok;
}
