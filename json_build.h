/*-------------------------------------------------------------------------
 *
 * json_build.h
 *	  How our JSON is put together.
 *
 * An object grows member by member until an allocation fails; then it is NULL for good,
 * and so is its text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_JSON_BUILD_H
#define HA_JSON_BUILD_H

#include <jansson.h>

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

#endif							/* HA_JSON_BUILD_H */
