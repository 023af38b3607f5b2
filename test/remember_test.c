/*-------------------------------------------------------------------------
 *
 * remember_test.c
 *	  What a node remembers of its cluster reads as it was, and nothing else does.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../remember.h"
#include "tap.h"

static HaView before;
static HaView after;

static void
add_member(const char *name, HaRole role, uint64_t lsn)
{
	HaMember   *member = &before.members[before.nmembers++];

	snprintf(member->name, sizeof(member->name), "%s", name);
	snprintf(member->host, sizeof(member->host), "127.0.0.1");
	snprintf(member->conn_url, sizeof(member->conn_url),
			 "postgres://127.0.0.1:5432/postgres");
	member->port = 5432;
	member->state = HA_STATE_RUNNING;
	member->role = role;
	member->timeline = 3;
	member->lsn = lsn;
	member->failover_priority = member->sync_priority = 1;
}

static void
test_there_and_back(void)
{
	int64_t		as_of = 0;
	char	   *keys;
	char	   *moved;
	char	   *text;

	before.valid = true;
	before.leader.present = true;
	snprintf(before.leader.name, sizeof(before.leader.name), "n1");
	add_member("n1", HA_ROLE_PRIMARY, 100);
	add_member("n2", HA_ROLE_STANDBY, 90);
	keys = ha_remember_keys(&before);
	before.members[1].lsn = 100;
	moved = ha_remember_keys(&before);
	OK(strcmp(keys, moved) == 0, "a position is nothing to remember");
	text = ha_remember_json(keys, 1234567);
	OK(ha_remember_parse(text, strlen(text), &after, &as_of) &&
	   as_of == 1234567, "it reads");
	OK(after.nmembers == 2 && strcmp(after.members[1].name, "n2") == 0 &&
	   after.members[1].port == 5432 && after.members[1].lsn == 0 &&
	   after.members[0].timeline == 3, "with its members");
	OK(after.leader.present && strcmp(after.leader.name, "n1") == 0,
	   "and its leader");
	OK(!after.valid, "and is no view of the present");
	OK(!ha_remember_parse(text, strlen(text) / 2, &after, &as_of),
	   "a part of it does not read");
	free(keys);
	free(moved);
	free(text);
}

static void
test_rubbish(void)
{
	static const char *const texts[] = {
		"", "{}", "[]", "{\"as_of\":1}", "{\"as_of\":\"1\",\"keys\":{}}",
		"{\"as_of\":1,\"keys\":{\"members/n1\":1}}",
	};
	static const char odd[] =
	"{\"as_of\":1,\"keys\":{\"members/n1\":\"{\",\"nonsense\":\"\"}}";
	int64_t		as_of;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		OK(!ha_remember_parse(texts[i], strlen(texts[i]), &after, &as_of),
		   texts[i]);
	OK(ha_remember_parse(odd, strlen(odd), &after, &as_of) &&
	   !after.leader.present, "what is malformed in the store is so here");
}

int
main(void)
{
	test_there_and_back();
	test_rubbish();
	return end_of_tests();
}
