/*-------------------------------------------------------------------------
 *
 * json_guard.h
 *	  The one way in which JSON from outside is parsed.
 *
 * jansson recurses once for each level of nesting, up to 2048 levels, on the
 * stack of whoever calls it.  Nothing that we read nests deeper than a
 * handful, so the text is scanned first, in constant space, and what nests
 * deeper than HA_JSON_MAX_DEPTH is refused unread.  Duplicate keys are refused
 * too: two readers that pick different ones would see different clusters.
 *
 * The caller limits the length, since only it knows what is sensible.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_JSON_GUARD_H
#define HA_JSON_GUARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define HA_JSON_MAX_DEPTH	32

static inline bool
ha_json_is_shallow(const char *text, size_t length)
{
	int			depth = 0;
	bool		in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		char		c = text[i];

		if (in_string)
		{
			if (c == '\\')
				i++;			/* whatever follows can't end the string */
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > HA_JSON_MAX_DEPTH)
				return false;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return true;
}

/* Parse a whole text.  Returns NULL for anything that is not clean JSON. */
static inline json_t *
ha_json_load(const char *text, size_t length)
{
	if (text == NULL || !ha_json_is_shallow(text, length))
		return NULL;
	return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
}

/*
 * A new, empty object.  Not json_object(): the server has an SQL function of that
 * name, which the dynamic linker would call instead.
 */
static inline json_t *
ha_json_object(void)
{
	return json_pack("{}");
}

#endif							/* HA_JSON_GUARD_H */
