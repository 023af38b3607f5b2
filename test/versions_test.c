/*-------------------------------------------------------------------------
 *
 * versions_test.c
 *	  Unit test of versions.c.
 *
 *-------------------------------------------------------------------------
 */
#include "versions.h"

#include <stdio.h>
#include <string.h>

static int	failures;

static void
is(const char *got, const char *wanted, const char *what)
{
	if (strcmp(got, wanted) == 0)
		return;
	printf("not ok: %s: \"%s\" instead of \"%s\"\n", what, got, wanted);
	failures++;
}

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
	is(differ(256), "", "no member");
	member("n1", "1.1");
	is(differ(256), "", "one");
	member("n2", "1.1");
	is(differ(256), "", "two alike");
	member("n3", "");
	is(differ(256), "", "one that does not tell");
	member("n4", "1.0");
	member("n5", "1.1");
	is(differ(256), "1.1 (n1, n2, n5), 1.0 (n4)", "some differ");
	is(differ(12), "1.1 (n1, n2", "no room for all");
	view.nmembers = 100;
	view.members[HA_MAX_MEMBERS - 1].version[0] = '\0';
	is(differ(256), "1.1 (n1, n2, n5), 1.0 (n4)", "a count that can't be");
}

static void
test_too_old(void)
{
	char		why[HA_WHY_SIZE];

	memset(&view, 0, sizeof(view));
	view.schema = HA_CLUSTER_SCHEMA + 1;
	is(ha_is_too_old(&view) ? "old" : "", "", "an invalid view says nothing");
	view.valid = true;
	is(ha_is_too_old(&view) ? "old" : "", "old", "a later schema");
	ha_too_old_why(&view, why, sizeof(why));
	is(why, "pg_ha 1.0 cannot manage cluster schema 2", "without a version");
	snprintf(view.schema_since, sizeof(view.schema_since), "1.4");
	ha_too_old_why(&view, why, sizeof(why));
	is(why, "pg_ha 1.0 cannot manage cluster schema 2 (needs >= 1.4)", "with one");
	view.schema = HA_CLUSTER_SCHEMA;
	is(ha_is_too_old(&view) ? "old" : "", "", "ours");
	view.schema = 0;
	is(ha_is_too_old(&view) ? "old" : "", "", "not told");
}

int
main(void)
{
	test_differ();
	test_too_old();
	if (failures == 0)
		printf("ok\n");
	return failures != 0;
}
