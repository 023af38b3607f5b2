/*-------------------------------------------------------------------------
 *
 * names.c
 *	  Which names and ids are valid, and what slots are named like.
 *
 * Plain C, and pure.  A name from outside becomes part of keys and URLs, of settings and
 * of what is shown to people, so it holds no character that means anything there.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "names.h"

bool
ha_name_is_valid(const char *name)
{
	size_t		length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"abcdefghijklmnopqrstuvwxyz0123456789_.-");

	return length > 0 && length < HA_NAME_SIZE && name[length] == '\0';
}

bool
ha_uuid_is_valid(const char *uuid)
{
	for (int i = 0; i < 36; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' :
			uuid[i] == '\0' || strchr("0123456789abcdef", uuid[i]) == NULL)
			return false;
	}
	return uuid[36] == '\0';
}

void
ha_slot_name(const char *member, char *out)
{
	size_t		used = 0;

	for (const char *p = member; *p != '\0' && used < HA_NAME_SIZE - 1; p++)
	{
		unsigned char c = *p;
		char		part[8];
		size_t		length;

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')
			snprintf(part, sizeof(part), "%c", c);
		else if (c == '-' || c == '.')
			snprintf(part, sizeof(part), "_");
		else
			snprintf(part, sizeof(part), "u%04d", c);

		length = strlen(part);
		if (length > HA_NAME_SIZE - 1 - used)
			length = HA_NAME_SIZE - 1 - used;
		memcpy(out + used, part, length);
		used += length;
	}
	out[used] = '\0';
}
