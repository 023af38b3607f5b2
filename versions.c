/*-------------------------------------------------------------------------
 *
 * versions.c
 *	  Several versions of pg_ha in one cluster: who may manage it, who differs.
 *
 * Plain C, pure.  Versions of one schema work together, in whatever order members
 * are upgraded: what a key means stays as it was, and what a version does not know
 * of it is left alone.  A change that an older version would misread gets a new
 * number in pg_ha/identity, which is raised when all members know it.
 *
 *-------------------------------------------------------------------------
 */
#include "versions.h"

#include <stdio.h>
#include <string.h>

bool
ha_is_too_old(const HaView *view)
{
	return view->valid && view->schema > HA_CLUSTER_SCHEMA;
}

void
ha_too_old_why(const HaView *view, char *why, size_t size)
{
	char		needs[HA_VERSION_SIZE + 16] = "";

	if (view->schema_since[0] != '\0')
		snprintf(needs, sizeof(needs), " (needs >= %.*s)",
				 HA_VERSION_SIZE - 1, view->schema_since);
	snprintf(why, size, "pg_ha %s cannot manage cluster schema %d%s",
			 HA_VERSION, (int) view->schema, needs);
}

static int
count_members(const HaView *view)
{
	return view->nmembers < 0 ? 0 :
		view->nmembers > HA_MAX_MEMBERS ? HA_MAX_MEMBERS : view->nmembers;
}

/* The first one that has the version of the i-th. */
static int
first_of_version(const HaView *view, int i)
{
	int			first = 0;

	while (strncmp(view->members[first].version, view->members[i].version,
				   HA_VERSION_SIZE) != 0)
		first++;
	return first;
}

/* Add "1.1 (n1, n3)": the members from the first one of a version on. */
static void
tell_version(const HaView *view, int first, char *text, size_t size)
{
	const char *separator = " (";
	size_t		used = strlen(text);

	snprintf(text + used, size - used, "%s%.*s", used > 0 ? ", " : "",
			 HA_VERSION_SIZE - 1, view->members[first].version);
	for (int i = first; i < count_members(view); i++)
	{
		if (first_of_version(view, i) != first)
			continue;
		used = strlen(text);
		snprintf(text + used, size - used, "%s%.*s", separator,
				 HA_NAME_SIZE - 1, view->members[i].name);
		separator = ", ";
	}
	used = strlen(text);
	snprintf(text + used, size - used, ")");
}

bool
ha_versions_differ(const HaView *view, char *text, size_t size)
{
	int			n = 0;

	text[0] = '\0';
	for (int i = 0; i < count_members(view); i++)
	{
		if (view->members[i].version[0] == '\0' ||
			first_of_version(view, i) != i)
			continue;
		tell_version(view, i, text, size);
		n++;
	}
	if (n < 2)
		text[0] = '\0';
	return n >= 2;
}
