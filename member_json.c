/*-------------------------------------------------------------------------
 *
 * member_json.c
 *	  What a member says of itself <-> what stands in the store.
 *
 * Plain C and jansson.  The key is in Patroni's shape and words, with fields of our own
 * whose names begin with "pg_ha_".  A member may write its own key, so all of it is
 * checked: hosts, ports and URLs end in connection strings of others.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "member_json.h"
#include "request_json.h"
#include "tags_json.h"
#include "wall_time.h"

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

/*-------------------------------------------------------------------------
 * Words
 *-------------------------------------------------------------------------
 */

/* In the order of the enum; Patroni's words, but for "rewinding". */
static const char *const state_words[] = {
	"unknown", "stopped", "initializing new cluster", "creating replica",
	"starting", "running", "stopping", "restarting", "starting",
	"start failed", "crashed", NULL
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

/*-------------------------------------------------------------------------
 * Reading
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

bool
ha_member_parse(const HaKv *kv, HaMember *member)
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

/*-------------------------------------------------------------------------
 * Writing
 *-------------------------------------------------------------------------
 */

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
