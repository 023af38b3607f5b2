/*-------------------------------------------------------------------------
 *
 * key_json.h
 *	  How a key of the store is read, field by field.
 *
 * Plain C and jansson.  Anybody who can write to the store can put anything there, so
 * each of these checks type, range and form.  Each take_...() takes one member of an
 * object.  What is absent or null is the default; what is there but is not what it must
 * be is the default too, and *ok becomes false.  *ok never becomes true again, so that
 * one look at the end is enough.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_KEY_JSON_H
#define HA_KEY_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dcs.h"
#include "json_guard.h"
#include "names.h"
#include "wall_time.h"

#define DAY_MS		INT64_C(86400000)

/* -1 = not in the list */
static inline int
find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

/* The object that a key holds, or NULL. */
static inline json_t *
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
static inline bool
is_text(const HaKv *kv)
{
	return kv->value != NULL && strlen(kv->value) == kv->length;
}

static inline json_t *
member_of(json_t *object, const char *name)
{
	json_t	   *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

static inline int64_t
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

static inline uint64_t
take_lsn(json_t *object, const char *name, bool *ok)
{
	return (uint64_t) take_int(object, name, 0, INT64_MAX, 0, ok);
}

static inline uint32_t
take_timeline(json_t *object, const char *name, bool *ok)
{
	return (uint32_t) take_int(object, name, 0, UINT32_MAX, 0, ok);
}

/*
 * A boolean, or a word or number that Patroni takes for one.  false: it is neither,
 * and *out is as it was.
 */
static inline bool
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

static inline bool
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
static inline void
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
static inline void
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
static inline void
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

static inline bool
is_http_url(const char *url)
{
	return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

#endif							/* HA_KEY_JSON_H */
