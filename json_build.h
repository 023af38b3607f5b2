/*-------------------------------------------------------------------------
 *
 * json_build.h
 *	  How our JSON is put together.
 *
 * An object grows member by member until an allocation fails; then it is NULL for good,
 * and so is its text.  json_pack takes over what its "o" arguments refer to, and fails
 * when one of them is NULL, so that a failed allocation anywhere ends as one NULL at
 * the top.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_JSON_BUILD_H
#define HA_JSON_BUILD_H

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void
add(json_t **object, const char *name, json_t *value)
{
	if (json_object_set_new(*object, name, value) == 0)
		return;
	json_decref(*object);
	*object = NULL;
}

/* Takes the object over. */
static inline char *
dump(json_t *json)
{
	char	   *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

static inline json_t *
lsn_json(uint64_t lsn)
{
	return json_integer(lsn > INT64_MAX ? INT64_MAX : (json_int_t) lsn);
}

/* jansson refuses what is not UTF-8: then all beyond ASCII becomes '?'. */
static inline json_t *
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

#endif							/* HA_JSON_BUILD_H */
