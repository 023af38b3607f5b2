/*-------------------------------------------------------------------------
 *
 * versions_test.c
 *	  Unit test of versions.c.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "../versions.h"
#include "tap.h"

static void
is_text(int line, const char *got, const char *expected, const char *name)
{
	bool		ok = strcmp(got, expected) == 0;

	check(ok, line, name);
	if (!ok)
		printf("# got      %s\n# expected %s\n", got, expected);
}

#define IS(got, expected, name) is_text(__LINE__, got, expected, name)

static HaView view;

static void
member(const char *name, const char *version)
{
	HaMember   *m = &view.members[view.nmembers++];

	snprintf(m->name, sizeof(m->name), "%s", name);
	snprintf(m->version, sizeof(m->version), "%s", version);
}

static const char *
differ(size_t size)
{
	static char text[256];

	memset(text, 'x', sizeof(text));
	return ha_versions_differ(&view, text, size) == (text[0] != '\0') ? text :
		"the answer and the text disagree";
}

static void
test_differ(void)
{
	IS(differ(256), "", "no member");
	member("n1", "1.1");
	IS(differ(256), "", "one");
	member("n2", "1.1");
	IS(differ(256), "", "two alike");
	member("n3", "");
	IS(differ(256), "", "one that does not tell");
	member("n4", "1.0");
	member("n5", "1.1");
	IS(differ(256), "1.1 (n1, n2, n5), 1.0 (n4)", "some differ");
	IS(differ(12), "1.1 (n1, n2", "no room for all");
	view.nmembers = 100;
	view.members[HA_MAX_MEMBERS - 1].version[0] = '\0';
	IS(differ(256), "1.1 (n1, n2, n5), 1.0 (n4)", "a count that can't be");
}

static void
test_too_old(void)
{
	char		why[HA_WHY_SIZE];

	memset(&view, 0, sizeof(view));
	view.schema = HA_CLUSTER_SCHEMA + 1;
	IS(ha_is_too_old(&view) ? "old" : "", "", "an invalid view says nothing");
	view.valid = true;
	IS(ha_is_too_old(&view) ? "old" : "", "old", "a later schema");
	ha_too_old_why(&view, why, sizeof(why));
	IS(why, "pg_ha 1.0 cannot manage cluster schema 2", "without a version");
	snprintf(view.schema_since, sizeof(view.schema_since), "1.4");
	ha_too_old_why(&view, why, sizeof(why));
	IS(why, "pg_ha 1.0 cannot manage cluster schema 2 (needs >= 1.4)", "with one");
	view.schema = HA_CLUSTER_SCHEMA;
	IS(ha_is_too_old(&view) ? "old" : "", "", "ours");
	view.schema = 0;
	IS(ha_is_too_old(&view) ? "old" : "", "", "not told");
}

int
main(void)
{
	test_differ();
	test_too_old();
	return end_of_tests();
}
