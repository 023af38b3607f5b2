/*-------------------------------------------------------------------------
 *
 * request_json.c
 *	  What operators ask of members <-> what stands in the store.
 *
 * Plain C and jansson.  Whoever can write to the store can ask for anything that
 * is asked for here, but for nothing else: a request is a kind out of a list with
 * a few flags, and no text of it is ever executed or taken for a path.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_build.h"
#include "json_guard.h"
#include "names.h"
#include "request_json.h"

static const char *const kind_words[] = {"unreadable", "reinit", "stop", "restart", "reload"};
static const char *const role_words[] = {"any", "leader", "standby"};
static const char *const state_words[] = {
	"none", "running", "done", "failed", "declined"
};

/* The end of the year 9998, and more than any PG_VERSION_NUM. */
#define MAX_TIME	INT64_C(253370764800000)
#define MAX_VERSION	9999999

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

const char *
ha_request_kind_name(HaMemberRequestKind kind)
{
	return kind_words[(unsigned) kind < LENGTH_OF(kind_words) ? kind : 0];
}

const char *
ha_progress_state_name(HaProgressState state)
{
	return state_words[(unsigned) state < LENGTH_OF(state_words) ? state : 0];
}

/* 0 = none of them; the first word is never read. */
static int
find_word(const char *const *words, size_t nwords, json_t *json)
{
	const char *word = json_string_value(json);

	for (size_t i = 1; word != NULL && i < nwords; i++)
	{
		if (strcmp(words[i], word) == 0)
			return (int) i;
	}
	return 0;
}

bool
ha_request_id_is_valid(const char *id)
{
	return strspn(id, "0123456789abcdef") == HA_REQUEST_ID_SIZE - 1 &&
		id[HA_REQUEST_ID_SIZE - 1] == '\0';
}

static bool
read_id(json_t *json, char *out, size_t size)
{
	const char *id = json_string_value(json);

	if (id == NULL || !ha_request_id_is_valid(id) || strlen(id) >= size)
		return false;
	memcpy(out, id, strlen(id) + 1);
	return true;
}

static bool
read_name(json_t *json, char *out)
{
	const char *name = json_string_value(json);

	if (name == NULL || !ha_name_is_valid(name))
		return false;
	memcpy(out, name, strlen(name) + 1);
	return true;
}

static bool
read_number(json_t *json, int64_t *out)
{
	*out = json_integer_value(json);
	return json_is_integer(json) && *out >= 0;
}

/* What a restart depends on.  Absent is 0. */
static bool
read_terms(json_t *json, HaMemberRequest *request)
{
	json_t	   *at = json_object_get(json, "at");
	json_t	   *version = json_object_get(json, "before_version");
	json_t	   *role = json_object_get(json, "role");
	json_t	   *force = json_object_get(json, "force");
	int64_t		number = 0;

	if ((at != NULL && (!read_number(at, &request->at) ||
						request->at > MAX_TIME)) ||
		(version != NULL && (!read_number(version, &number) ||
							 number > MAX_VERSION)) ||
		(force != NULL && !json_is_boolean(force)))
		return false;
	request->before_version = (int32_t) number;
	request->force = json_is_true(force);
	request->role = HA_ROLE_UNINITIALIZED;
	if (role == NULL)
		return true;
	request->role =
		find_word(role_words, LENGTH_OF(role_words), role) == 1 ?
		HA_ROLE_PRIMARY : HA_ROLE_STANDBY;
	return find_word(role_words, LENGTH_OF(role_words), role) != 0;
}

static bool
read_request(json_t *json, HaMemberRequest *request)
{
	json_t	   *flag = json_object_get(json, "from_leader");
	json_t	   *pending = json_object_get(json, "pending");

	request->kind = find_word(kind_words, LENGTH_OF(kind_words),
							  json_object_get(json, "kind"));
	request->from_leader = json_is_true(flag);
	request->pending = json_is_true(pending);
	if (!read_id(json_object_get(json, "id"), request->id,
				 sizeof(request->id)) ||
		!read_name(json_object_get(json, "asked_by"), request->asked_by) ||
		!read_number(json_object_get(json, "revision"),
					 &request->seen_revision) ||
		(flag != NULL && !json_is_boolean(flag)) ||
		(pending != NULL && !json_is_boolean(pending)))
		return false;
	switch (request->kind)
	{
		case HA_REQUEST_RESTART:
			if (!read_terms(json, request))
				return false;
			/* FALLTHROUGH */
		case HA_REQUEST_REINIT:
		case HA_REQUEST_RELOAD:
			return read_id(json_object_get(json, "identity"),
						   request->identity, sizeof(request->identity));
		case HA_REQUEST_STOP:
			return read_name(json_object_get(json, "leader"),
							 request->leader) &&
				read_number(json_object_get(json, "term"), &request->term);
		case HA_REQUEST_UNREADABLE:
			break;
	}
	return false;
}

bool
ha_request_parse(const HaKv *kv, HaMemberRequest *request)
{
	json_t	   *json = ha_json_load(kv->value, kv->length);
	bool		ok;
	char		name[HA_NAME_SIZE];

	memcpy(name, request->name, sizeof(name));
	ok = json_is_object(json) && read_request(json, request);
	json_decref(json);
	if (!ok)
	{
		memset(request, 0, sizeof(*request));
		memcpy(request->name, name, sizeof(name));
	}
	request->mod_revision = kv->mod_revision;
	return ok;
}

void
ha_request_begin(HaMemberRequest *request, HaMemberRequestKind kind,
				 const HaView *view, const char *name, const char *asked_by,
				 const uint8_t random[HA_REQUEST_RANDOM_SIZE])
{
	const HaMember *member = name != NULL ? ha_find_member(view, name) : NULL;

	memset(request, 0, sizeof(*request));
	for (int i = 0; i < HA_REQUEST_RANDOM_SIZE; i++)
		snprintf(request->id + 2 * i, 3, "%02x", random[i]);
	request->kind = kind;
	snprintf(request->asked_by, sizeof(request->asked_by), "%s", asked_by);
	if (member != NULL)
		memcpy(request->identity, member->identity, sizeof(request->identity));
	request->seen_revision = view->revision;
}

int32_t
ha_request_version(const char *text)
{
	int			part[3] = {0};

	for (int n = 0; n < 3; n++)
	{
		size_t		digits = strspn(text, "0123456789");

		if (digits == 0 || digits > 3)
			return 0;
		part[n] = atoi(text);
		text += digits;
		if (*text == '\0')
			return part[0] >= 10 ? part[0] * 10000 + part[1] :
				part[0] * 10000 + part[1] * 100 + part[2];
		if (*text++ != '.')
			return 0;
	}
	return 0;
}

char *
ha_request_json(const HaMemberRequest *request)
{
	json_t	   *json = ha_json_object();

	add(&json, "kind", json_string(ha_request_kind_name(request->kind)));
	add(&json, "id", json_string(request->id));
	add(&json, "asked_by", json_string(request->asked_by));
	add(&json, "revision", json_integer(request->seen_revision));
	if (request->identity[0] != '\0')
		add(&json, "identity", json_string(request->identity));
	if (request->from_leader)
		add(&json, "from_leader", json_true());
	if (request->pending)
		add(&json, "pending", json_true());
	if (request->at != 0)
		add(&json, "at", json_integer(request->at));
	if (request->before_version != 0)
		add(&json, "before_version", json_integer(request->before_version));
	if (request->role != HA_ROLE_UNINITIALIZED)
		add(&json, "role",
			json_string(role_words[request->role == HA_ROLE_PRIMARY ? 1 : 2]));
	if (request->force)
		add(&json, "force", json_true());
	if (request->kind == HA_REQUEST_STOP)
	{
		add(&json, "leader", json_string(request->leader));
		add(&json, "term", json_integer(request->term));
	}
	return dump(json);
}

/* Printable, since it is shown to people and logged. */
static bool
read_text(json_t *json, char *out, size_t size)
{
	const char *text = json_string_value(json);
	size_t		length = 0;

	if (text == NULL)
		return json == NULL;
	while (text[length] >= ' ' && text[length] <= '~')
		length++;
	if (text[length] != '\0' || length >= size)
		return false;
	memcpy(out, text, length + 1);
	return true;
}

bool
ha_progress_parse(json_t *json, HaProgress *progress)
{
	int64_t		lsn = 0;

	memset(progress, 0, sizeof(*progress));
	if (json == NULL)
		return true;
	progress->kind = find_word(kind_words, LENGTH_OF(kind_words),
							   json_object_get(json, "kind"));
	progress->state = find_word(state_words, LENGTH_OF(state_words),
								json_object_get(json, "state"));
	if (progress->kind != HA_REQUEST_UNREADABLE &&
		progress->state != HA_PROGRESS_NONE &&
		read_id(json_object_get(json, "id"), progress->id,
				sizeof(progress->id)) &&
		read_text(json_object_get(json, "text"), progress->text,
				  sizeof(progress->text)) &&
		(json_object_get(json, "lsn") == NULL ||
		 read_number(json_object_get(json, "lsn"), &lsn)))
	{
		progress->lsn = (uint64_t) lsn;
		return true;
	}
	memset(progress, 0, sizeof(*progress));
	return false;
}

json_t *
ha_progress_json(const HaProgress *progress)
{
	json_t	   *json = NULL;
	char		text[HA_WHY_SIZE];
	size_t		length = strnlen(progress->text, sizeof(text) - 1);

	if (progress->state == HA_PROGRESS_NONE)
		return NULL;
	for (size_t i = 0; i < length; i++)
	{
		char		c = progress->text[i];

		text[i] = c >= ' ' && c <= '~' ? c : '?';
	}
	text[length] = '\0';
	json = ha_json_object();
	add(&json, "kind", json_string(ha_request_kind_name(progress->kind)));
	add(&json, "id", json_string(progress->id));
	add(&json, "state", json_string(ha_progress_state_name(progress->state)));
	if (text[0] != '\0')
		add(&json, "text", json_string(text));
	if (progress->lsn != 0 && progress->lsn <= INT64_MAX)
		add(&json, "lsn", json_integer((json_int_t) progress->lsn));
	return json;
}

const HaMemberRequest *
ha_find_request(const HaView *view, const char *name)
{
	for (int i = 0; i < view->nrequests; i++)
	{
		if (strcmp(view->requests[i].name, name) == 0)
			return &view->requests[i];
	}
	return NULL;
}

/* Has the member ended it, and not removed it yet? */
static bool
is_over(const HaMember *member, const HaMemberRequest *request)
{
	return strcmp(member->progress.id, request->id) == 0 &&
		member->progress.state != HA_PROGRESS_RUNNING;
}

HaRequestRefusal
ha_request_refusal(const HaView *view, const char *name,
				   HaMemberRequestKind kind, bool force)
{
	const HaMember *member = ha_find_member(view, name);
	const HaMemberRequest *request = ha_find_request(view, name);
	bool		reinit = kind == HA_REQUEST_REINIT;

	if (member == NULL)
		return HA_REFUSAL_NO_MEMBER;
	if (reinit && !view->leader.present)
		return HA_REFUSAL_NO_LEADER;
	if (reinit && strcmp(view->leader.name, name) == 0)
		return HA_REFUSAL_LEADS;
	if (member->identity[0] == '\0')
		return HA_REFUSAL_NO_BOOT;
	if (request != NULL && !is_over(member, request) && !(reinit && force))
		return HA_REFUSAL_IN_PROGRESS;
	return HA_REFUSAL_NONE;
}

bool
ha_stop_counts(const HaView *view)
{
	return view->stop.kind == HA_REQUEST_STOP && view->leader.present &&
		strcmp(view->leader.name, view->stop.leader) == 0 &&
		view->term.present && view->term.term == view->stop.term;
}
