/*-------------------------------------------------------------------------
 *
 * history_json.c
 *	  Changes of the leader <-> what stands in the store.
 *
 * Plain C and jansson.  These keys are read by people; but where a member of Patroni
 * leads, /history tells what its timeline descends from (mixed.c).
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_json.h"
#include "json_build.h"
#include "json_guard.h"
#include "names.h"
#include "wall_time.h"

/* What a phase may have taken, ms. */
#define LONGEST		(7 * INT64_C(86400000))

/* In their keys "_ms" follows. */
static const struct
{
	const char *name;
	size_t		offset;
}			phases[HA_PHASES] =

{
	{"prepare", offsetof(HaChange, prepare_ms)},
	{"hold", offsetof(HaChange, hold_ms)},
	{"freeze", offsetof(HaChange, freeze_ms)},
	{"acquire", offsetof(HaChange, acquire_ms)},
	{"promote", offsetof(HaChange, promote_ms)},
	{"confirm", offsetof(HaChange, confirm_ms)},
};

static int64_t *
phase_of(HaChange *change, int i)
{
	return (int64_t *) (void *) ((char *) change + phases[i].offset);
}

const char *
ha_change_phase(const HaChange *change, int i, int64_t *ms)
{
	HaChange	copy = *change;

	*ms = *phase_of(&copy, i);
	return phases[i].name;
}

static void
phase_key(int i, char key[16])
{
	snprintf(key, 16, "%s_ms", phases[i].name);
}

char *
ha_change_json(const HaChange *change)
{
	HaChange	copy = *change;
	char		time[HA_TIME_SIZE];
	json_t	   *json = ha_json_object();

	ha_time_format(copy.started_at, time);
	add(&json, "term", json_integer(copy.term));
	add(&json, "planned", json_boolean(copy.planned));
	add(&json, "complete", json_boolean(copy.complete));
	add(&json, "from", json_string(copy.from));
	add(&json, "to", json_string(copy.to));
	add(&json, "reason", json_string(copy.reason));
	add(&json, "started_at", json_string(time));
	for (int i = 0; i < HA_PHASES; i++)
	{
		char		key[16];

		phase_key(i, key);
		if (*phase_of(&copy, i) >= 0)
			add(&json, key, json_integer(*phase_of(&copy, i)));
	}
	add(&json, "lost_bytes", json_integer((json_int_t) copy.lost_bytes));
	return dump(json);
}

static bool
read_name(json_t *json, const char *field, char *out)
{
	const char *name = json_string_value(json_object_get(json, field));

	if (name == NULL || (name[0] != '\0' && !ha_name_is_valid(name)))
		return false;
	memcpy(out, name, strlen(name) + 1);
	return true;
}

/* For people: what does not fit is cut, what would garble a terminal replaced. */
static void
read_text(json_t *json, char *out, size_t size)
{
	const char *text = json_string_value(json);
	size_t		length = text != NULL ? strnlen(text, size - 1) : 0;

	for (size_t i = 0; i < length; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[length] = '\0';
}

static bool
read_number(json_t *json, int64_t limit, int64_t *out)
{
	*out = json_integer_value(json);
	return json_is_integer(json) && *out >= 0 && *out <= limit;
}

static bool
read_phases(json_t *json, HaChange *change)
{
	for (int i = 0; i < HA_PHASES; i++)
	{
		char		key[16];
		json_t	   *value;

		phase_key(i, key);
		value = json_object_get(json, key);
		*phase_of(change, i) = -1;
		if (value != NULL && !read_number(value, LONGEST, phase_of(change, i)))
			return false;
	}
	return true;
}

static bool
read_change(json_t *json, HaChange *change)
{
	const char *time = json_string_value(json_object_get(json, "started_at"));
	int64_t		lost = 0;

	change->planned = json_is_true(json_object_get(json, "planned"));
	change->complete = json_is_true(json_object_get(json, "complete"));
	read_text(json_object_get(json, "reason"), change->reason,
			  sizeof(change->reason));
	if (!read_number(json_object_get(json, "term"), INT64_MAX,
					 &change->term) ||
		!read_name(json, "from", change->from) ||
		!read_name(json, "to", change->to) ||
		time == NULL || !ha_time_parse(time, &change->started_at) ||
		!read_phases(json, change) ||
		!read_number(json_object_get(json, "lost_bytes"), INT64_MAX, &lost))
		return false;
	change->lost_bytes = (uint64_t) lost;
	return true;
}

bool
ha_change_parse(const HaKv *kv, HaChange *change)
{
	json_t	   *json = ha_json_load(kv->value, kv->length);

	memset(change, 0, sizeof(*change));
	change->present = json_is_object(json) && read_change(json, change);
	json_decref(json);
	if (!change->present)
		memset(change, 0, sizeof(*change));
	return change->present;
}

char *
ha_refusal_json(int64_t wish, const char *reason)
{
	return dump(json_pack("{s:I,s:s}", "wish", (json_int_t) wish,
						  "reason", reason));
}

bool
ha_refusal_parse(const HaKv *kv, HaRefusal *refusal)
{
	json_t	   *json = ha_json_load(kv->value, kv->length);
	bool		ok = json_is_object(json) &&
	read_number(json_object_get(json, "wish"), INT64_MAX, &refusal->wish);

	read_text(json_object_get(json, "reason"), refusal->reason,
			  sizeof(refusal->reason));
	json_decref(json);
	if (!ok)
		memset(refusal, 0, sizeof(*refusal));
	return ok;
}

bool
ha_history_line(const char *value, size_t length, int i, HaHistoryLine *line)
{
	json_t	   *history = ha_json_load(value, length);
	json_t	   *entry = json_array_get(history, (size_t) i);
	const char *time = json_string_value(json_array_get(entry, 3));
	const char *leader = json_string_value(json_array_get(entry, 4));
	int64_t		lsn = 0;
	bool		found = entry != NULL;

	memset(line, 0, sizeof(*line));
	if (!read_number(json_array_get(entry, 0), UINT32_MAX, &line->timeline) ||
		!read_number(json_array_get(entry, 1), INT64_MAX, &lsn))
		line->timeline = 0;
	line->lsn = (uint64_t) lsn;
	read_text(json_array_get(entry, 2), line->reason, sizeof(line->reason));
	if (time == NULL || !ha_time_parse(time, &line->at))
		line->at = 0;
	if (leader != NULL && ha_name_is_valid(leader))
		memcpy(line->leader, leader, strlen(leader) + 1);
	json_decref(history);
	return found;
}

/* Far more than there ever are, and far from where their numbers end. */
#define LAST_TIMELINE	INT32_MAX

/* [timeline, end, reason, time, who led next]; the last two may be missing. */
static bool
read_ended(json_t *line, HaTimeline *ended)
{
	const char *leader = json_string_value(json_array_get(line, 4));
	int64_t		timeline;
	int64_t		end;

	memset(ended, 0, sizeof(*ended));
	if (!read_number(json_array_get(line, 0), LAST_TIMELINE, &timeline) ||
		!read_number(json_array_get(line, 1), INT64_MAX, &end) || timeline < 1)
		return false;
	ended->timeline = (uint32_t) timeline;
	ended->end_lsn = (uint64_t) end;
	if (leader != NULL && ha_name_is_valid(leader))
		memcpy(ended->owner, leader, strlen(leader) + 1);
	return true;
}

bool
ha_history_parse(const HaKv *kv, HaTimeline *lines, int32_t *n)
{
	json_t	   *history = ha_json_load(kv->value, kv->length);
	size_t		total = json_array_size(history);
	size_t		skip = total > HA_MAX_LINEAGE ? total - HA_MAX_LINEAGE : 0;
	bool		ok = json_is_array(history);

	*n = 0;
	for (size_t i = skip; i < total && ok; i++)
	{
		HaTimeline *ended = &lines[i - skip];

		ok = read_ended(json_array_get(history, i), ended) &&
			(i == skip || (ended[-1].timeline < ended->timeline &&
						   ended[-1].end_lsn <= ended->end_lsn));
	}
	json_decref(history);
	if (ok)
		*n = (int32_t) (total - skip);
	else
		memset(lines, 0, HA_MAX_LINEAGE * sizeof(*lines));
	return ok;
}

/* Patroni keeps all; nobody reads more, and the key must stay readable. */
#define MAX_HISTORY_LINES	500

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
