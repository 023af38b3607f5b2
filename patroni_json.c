/*-------------------------------------------------------------------------
 *
 * patroni_json.c
 *	  What a member of Patroni says of itself over HTTP.
 *
 * Plain C and jansson.  Whoever answers there is nobody to be trusted: numbers have
 * bounds, and what is not as it should be is as if it were not there.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json_guard.h"
#include "patroni_json.h"
#include "tags_json.h"

static int64_t
number_of(json_t *object, const char *name, int64_t max)
{
	json_t	   *value = json_object_get(object, name);
	int64_t		number = json_integer_value(value);

	return json_is_integer(value) && number > 0 && number <= max ? number : 0;
}

static bool
is_word(json_t *object, const char *name, const char *word)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL && strcmp(text, word) == 0;
}

/* Older versions do not tell. */
static bool
is_of_member(json_t *json, const char *name)
{
	json_t	   *patroni = json_object_get(json, "patroni");

	return json_object_get(patroni, "name") == NULL ||
		is_word(patroni, "name", name);
}

/* A number that is too long for JSON, so it is told as a text. */
static bool
is_of_cluster(json_t *json, uint64_t sysid)
{
	const char *told =
	json_string_value(json_object_get(json, "database_system_identifier"));
	char		ours[32];

	snprintf(ours, sizeof(ours), "%" PRIu64, sysid);
	return told == NULL || sysid == 0 || strcmp(told, ours) == 0;
}

static void
read_tags(json_t *json, HaPeer *peer)
{
	HaMember	member;

	memset(&member, 0, sizeof(member));
	(void) ha_tags_read(json_object_get(json, "tags"), &member);
	peer->failover_priority = member.failover_priority;
	peer->nofailover = member.nofailover || member.failover_priority <= 0 ||
		json_is_true(json_object_get(json, "watchdog_failed"));
}

/* Patroni's own reading of it; its "wal" is an older word for "xlog". */
static bool
read_position(json_t *json, HaPeer *peer)
{
	json_t	   *xlog = json_object_get(json, "xlog");
	int64_t		location;
	int64_t		received;
	int64_t		replayed;

	if (!json_is_object(xlog))
		xlog = json_object_get(json, "wal");
	if (!json_is_object(xlog))
		return false;
	location = number_of(xlog, "location", INT64_MAX);
	received = number_of(xlog, "received_location", INT64_MAX);
	replayed = number_of(xlog, "replayed_location", INT64_MAX);
	peer->primary = location > 0 || is_word(json, "role", "primary") ||
		is_word(json, "role", "master");
	peer->lsn = (uint64_t) (location > 0 ? location :
							received > replayed ? received : replayed);
	peer->timeline = (uint32_t) number_of(json, "timeline", UINT32_MAX);
	return true;
}

bool
ha_patroni_parse(const char *text, size_t length, uint64_t sysid,
				 HaPeer *peer)
{
	json_t	   *json = ha_json_load(text, length);
	bool		ok = json_is_object(json) && is_of_cluster(json, sysid) &&
	is_of_member(json, peer->name) && read_position(json, peer);

	if (ok)
		read_tags(json, peer);
	json_decref(json);
	return ok;
}
