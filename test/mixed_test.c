/*-------------------------------------------------------------------------
 *
 * mixed_test.c
 *	  Unit test of mixed.c, and of the rules beside members of Patroni (S-11).
 *
 * Prints TAP.  What the store says is given as its keys, what decide.c makes of it as
 * a plan; both as they come from outside.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../decide.h"
#include "../mixed.h"
#include "tap.h"

static HaView view;
static HaTerm term;

typedef struct Key
{
	const char *key;
	const char *value;
	int64_t		revision;
	int64_t		lease;
} Key;

/* The view of a store with these keys. */
static void
read_store(const Key *keys)
{
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.status = HA_DCS_OK};
	HaKv		kvs[16];

	memset(kvs, 0, sizeof(kvs));
	answer.kvs = kvs;
	for (; keys->key != NULL; keys++)
	{
		HaKv	   *kv = &kvs[answer.nkvs++];

		strcpy(kv->key, keys->key);
		kv->value = (char *) keys->value;
		kv->length = strlen(keys->value);
		kv->create_revision = kv->mod_revision = keys->revision;
		kv->lease = keys->lease;
	}
	ha_view_parse(&answer, NULL, &view);
}

#define STORE(...) read_store((Key[]) {__VA_ARGS__, {NULL}})

#define MEMBER(role, timeline) \
	"{\"conn_url\":\"postgres://h1:5432/postgres\",\"api_url\":\"http://h1:8008/patroni\"," \
	"\"state\":\"running\",\"role\":\"" role "\",\"version\":\"4.1.5\"," \
	"\"xlog_location\":5000,\"timeline\":" timeline "}"

#define LEADER(revision)	{"leader", "p1", revision, 9}
#define P1(role, timeline)	{"members/p1", MEMBER(role, timeline), 20, 9}
#define HISTORY(lines)		{"history", lines, 15}
#define TERM(more) \
	{"pg_ha/term", "{\"term\":5,\"owner\":\"n1\",\"timeline\":2,\"begin_lsn\":1000," \
	 "\"timeline_owner\":\"n1\",\"reserved\":2,\"lineage\":[[1,1000,\"n0\"]]" more "}", 10}

static bool
testifies(void)
{
	return ha_mixed_testimony(&view, &term);
}

static void
test_members(void)
{
	const char *needed;
	HaConfig	config;

	ha_config_defaults(&config);
	STORE(P1("replica", "2"));
	OK(ha_mixed_patroni(&view) == &view.members[0] &&
	   strcmp(view.members[0].patroni, "4.1.5") == 0, "a member of Patroni");
	OK(ha_mixed_guarantees_less(&view), "guarantees less");
	OK(ha_mixed_too_old(&config, &view, NULL) == NULL, "... and is new enough");
	view.members[0].lease = 0;
	OK(ha_mixed_patroni(&view) == NULL, "... unless a hand put its key");

	STORE({"members/n1", "{\"state\":\"running\",\"role\":\"replica\","
		   "\"version\":\"4.1.0\",\"pg_ha_version\":\"1.0\"}", 20, 9});
	OK(ha_mixed_patroni(&view) == NULL && !ha_mixed_guarantees_less(&view),
	   "one of ours");
	STORE({"members/n1", "{\"state\":\"running\",\"role\":\"replica\","
		   "\"version\":\"4.1.0\",\"pg_ha_version\":\"\"}", 20, 9});
	OK(ha_mixed_patroni(&view) == NULL, "... that tells no version");
	STORE({"members/x", "{\"state\":\"running\",\"role\":\"replica\"}", 20, 9});
	OK(ha_mixed_patroni(&view) == NULL, "one that tells nothing");

	STORE(P1("replica", "2"));
	strcpy(view.members[0].patroni, "3.0.2");
	OK(ha_mixed_too_old(&config, &view, &needed) == &view.members[0] &&
	   strcmp(needed, "3.0.3") == 0, "3.0.2 is too old");
	strcpy(view.members[0].patroni, "3.0.3");
	OK(ha_mixed_too_old(&config, &view, NULL) == NULL, "3.0.3 is not");
	config.synchronous_mode = HA_SYNC_QUORUM;
	OK(ha_mixed_too_old(&config, &view, &needed) != NULL &&
	   strcmp(needed, "4.0.0") == 0, "... but for quorum mode");
	strcpy(view.members[0].patroni, "4.0.0");
	OK(ha_mixed_too_old(&config, &view, NULL) == NULL, "4.0.0 is not");
	strcpy(view.members[0].patroni, "master");
	OK(ha_mixed_too_old(&config, &view, NULL) != NULL, "what is no number is");
	memset(view.members[0].patroni, '4', HA_VERSION_SIZE);
	OK(ha_mixed_too_old(&config, &view, NULL) != NULL, "nor what has no end");
}

static void
test_history(void)
{
	STORE(HISTORY("[]"));
	OK(view.history_known && view.nhistory == 0, "an empty history");
	STORE(HISTORY("[[1,1000,\"r\"],[2,1000,\"r\",\"2026-01-01T00:00:00Z\",\"p1\"]]"));
	OK(view.history_known && view.nhistory == 2 &&
	   view.history[1].timeline == 2 && view.history[1].end_lsn == 1000 &&
	   strcmp(view.history[1].owner, "p1") == 0, "two lines");
	STORE(HISTORY("[[2,1000,\"r\"],[1,1000,\"r\"]]"));
	OK(!view.history_known && view.nhistory == 0, "timelines fall");
	STORE(HISTORY("[[1,1000,\"r\"],[2,999,\"r\"]]"));
	OK(!view.history_known, "positions fall");
	STORE(HISTORY("[[4294967296,1000,\"r\"]]"));
	OK(!view.history_known, "no timeline");
	STORE(HISTORY("[[1,-1,\"r\"]]"));
	OK(!view.history_known, "no position");
	STORE(HISTORY("[[1,1000,\"r\",\"t\",\"a/b\"]]"));
	OK(view.history_known && view.history[0].owner[0] == '\0', "no name");
	STORE(HISTORY("{\"1\":2}"));
	OK(!view.history_known && view.nmalformed == 0, "no list");
	STORE(HISTORY("[1,2]"));
	OK(!view.history_known, "no lines");
}

static void
test_long_history(void)
{
	char		text[4096] = "[";

	for (int i = 1; i <= 40; i++)
		sprintf(text + strlen(text), "%s[%d,%d,\"r\"]", i > 1 ? "," : "", i,
				100 * i);
	strcat(text, "]");
	STORE(HISTORY(text));
	OK(view.nhistory == HA_MAX_LINEAGE && view.history[0].timeline == 9 &&
	   view.history[31].timeline == 40, "the last lines of a long one");
}

/* A reign is recorded when all that is told of it agrees. */
static void
test_testimony(void)
{
	static const char two[] = "[[1,1000,\"r\"],[2,3000,\"r\",\"t\",\"p1\"]]";

	STORE(TERM(""), LEADER(12), P1("primary", "3"), HISTORY(two));
	OK(ha_mixed_is_unrecorded(&view), "a reign that is not on record");
	OK(testifies() && term.term == 6 && term.foreign && !term.intent &&
	   strcmp(term.owner, "p1") == 0, "... is recorded");
	OK(term.timeline == 3 && term.begin_lsn == 3000 && term.reserved == 3 &&
	   strcmp(term.timeline_owner, "p1") == 0, "... with its timeline");
	OK(term.nlineage == 2 && term.lineage[1].end_lsn == 3000 &&
	   strcmp(term.lineage[0].owner, "n0") == 0 &&
	   strcmp(term.lineage[1].owner, "n1") == 0, "... and whose the others were");
	OK(ha_mixed_source(&view, "n2") == &view.members[0] &&
	   ha_mixed_source(&view, "p1") == NULL, "... and can be cloned");

	STORE(TERM(""), LEADER(12), P1("replica", "3"), HISTORY(two));
	OK(ha_mixed_is_unrecorded(&view) && !testifies(), "not before it is a primary");
	STORE(TERM(""), LEADER(12), P1("primary", "3"), HISTORY("[[1,1000,\"r\"]]"));
	OK(!testifies(), "... nor before /history tells of it");
	STORE(TERM(""), LEADER(12), P1("primary", "3"), HISTORY("[3]"));
	OK(!testifies(), "... nor if that can't be read");
	STORE(TERM(""), LEADER(12), P1("primary", "3"));
	OK(!testifies(), "... nor if it is not there");
	STORE(TERM(""), LEADER(12), P1("primary", "2"), HISTORY(two));
	OK(!testifies(), "... nor on a timeline that has ended");
	STORE(TERM(""), LEADER(12));
	OK(!ha_mixed_is_unrecorded(&view) && !testifies(), "... nor of who is no member");

	STORE(TERM(""), LEADER(12), P1("primary", "2"), HISTORY("[[1,1000,\"r\"]]"));
	OK(testifies() && term.timeline == 2 && term.nlineage == 1 &&
	   strcmp(term.timeline_owner, "n1") == 0, "one that goes on where it was");
	STORE(LEADER(12), P1("primary", "1"));
	OK(testifies() && term.term == 1 && term.timeline == 1 &&
	   term.nlineage == 0 && term.begin_lsn == 0, "the first of all");

	STORE(TERM(",\"foreign\":true"), {"leader", "n1", 9, 9},
		  {"members/n1", MEMBER("primary", "2"), 20, 9},
		  HISTORY("[[1,1000,\"r\"]]"));
	OK(!ha_mixed_is_unrecorded(&view) && view.term.foreign &&
	   !ha_term_is_of(&view.term, "n1"), "one that is on record, and not ours");
	view.members[0].timeline = 3;
	OK(ha_mixed_is_unrecorded(&view), "... until it leads another timeline");
	view.term.term = INT64_MAX;
	view.history[0].timeline = 2;
	OK(!testifies(), "terms end somewhere");
}

/* A reign that is over, and left nothing but /history. */
static void
test_past(void)
{
	static const char two[] = "[[1,1000,\"r\"],[2,3000,\"r\",\"t\",\"p1\"]]";

	STORE(TERM(""), HISTORY(two));
	OK(ha_mixed_history_is_beyond(&view) && testifies() && term.timeline == 3 &&
	   term.foreign && strcmp(term.owner, "p1") == 0, "/history is beyond");
	OK(ha_mixed_last_timeline(&view) == 3, "... by a timeline");
	STORE(TERM(""), HISTORY("[[1,1000,\"r\",\"t\",\"n1\"]]"));
	OK(!ha_mixed_history_is_beyond(&view) && !testifies(), "/history is not");
	STORE(TERM(""), HISTORY("[[1,1000,\"r\"],[2,3000,\"r\"]]"));
	OK(!ha_mixed_history_is_beyond(&view), "nobody knows who it was");
	STORE(TERM(""), HISTORY(two), {"leader", "n3", 30, 9});
	OK(!ha_mixed_history_is_beyond(&view), "somebody leads");
}

/*-------------------------------------------------------------------------
 * The rules
 *-------------------------------------------------------------------------
 */

/* The plan for a problem; overwritten by the next. */
static const HaPlan *
plan_for(const char *json)
{
	static HaPlan plan;
	HaConfig	config;
	HaLocal		local;
	int64_t		now;
	char		err[256];

	memset(&plan, 0, sizeof(plan));
	if (!ha_problem_parse(json, strlen(json), &config, &view, &local, &now,
						  err, sizeof(err)))
	{
		printf("# %s\n", err);
		plan.verb = -1;
		return &plan;
	}
	ha_decide(&config, &view, &local, now, &plan);
	printf("# %s: %s\n", ha_verb_name(plan.verb), plan.why);
	return &plan;
}

#define OWN_TERM \
	"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\"," \
	"\"timeline\":2,\"begin_lsn\":1000,\"timeline_owner\":\"n2\",\"reserved\":2," \
	"\"lineage\":[{\"timeline\":1,\"end_lsn\":1000,\"owner\":\"n1\"}]}"
#define FOREIGN_TERM \
	"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"p1\"," \
	"\"foreign\":true,\"timeline\":3,\"begin_lsn\":2000,\"timeline_owner\":\"p1\",\"reserved\":3," \
	"\"lineage\":[{\"timeline\":1,\"end_lsn\":1000,\"owner\":\"n1\"}," \
	"{\"timeline\":2,\"end_lsn\":2000,\"owner\":\"n2\"}]}"
#define PATRONI(name, role, timeline) \
	"{\"name\":\"" name "\",\"lease\":3,\"host\":\"h\",\"port\":5432,\"state\":\"running\"," \
	"\"role\":\"" role "\",\"patroni\":\"4.1.5\",\"lsn\":2000,\"timeline\":" timeline "}"
#define HEARTBEAT(more) \
	"\"heartbeat\":{\"present\":true,\"mod_revision\":45,\"name\":\"n2\",\"term\":5," \
	"\"ttl\":10000,\"lsn\":2000" more "}"
#define PROBLEM(view, local) \
	"{\"now\":100000,\"view\":{\"valid\":true,\"sent_at\":99900,\"sysid\":7,\"revision\":70," \
	view "},\"local\":{\"name\":\"n1\",\"sysid\":7,\"has_boot\":true,\"patroni_seen\":true," \
	"\"heartbeat_seen_at\":50000,\"heartbeat_ttl\":10000," local "}}"
#define STANDBY \
	"\"role\":\"standby\",\"timeline\":2,\"flush_lsn\":2000,\"replay_lsn\":2000"
#define LED_BY_P1(role, timeline) \
	"\"leader\":{\"present\":true,\"name\":\"p1\",\"create_revision\":50,\"mod_revision\":50,\"lease\":3}," \
	"\"members\":[" PATRONI("p1", role, timeline) "]," HEARTBEAT("")
#define HISTORY_OF_TWO \
	"\"history_known\":true,\"history_revision\":55,\"history\":[" \
	"{\"timeline\":1,\"end_lsn\":1000},{\"timeline\":2,\"end_lsn\":2000,\"owner\":\"p1\"}]"

static void
test_follow(void)
{
	const HaPlan *plan;

	plan = plan_for(PROBLEM(OWN_TERM "," LED_BY_P1("standby", "2"), STANDBY));
	OK(plan->verb == HA_WAIT, "who does not lead yet is not followed");
	plan = plan_for(PROBLEM(OWN_TERM "," LED_BY_P1("standby", "2"),
							STANDBY ",\"follows\":\"n2\""));
	OK(plan->verb == HA_DETACH, "... nor whoever led before");
	plan = plan_for(PROBLEM(OWN_TERM "," LED_BY_P1("primary", "3") "," HISTORY_OF_TWO,
							STANDBY));
	OK(plan->verb == HA_TESTIFY, "a reign of Patroni's is recorded");
	plan = plan_for(PROBLEM(FOREIGN_TERM "," LED_BY_P1("primary", "3") ","
							HISTORY_OF_TWO, STANDBY));
	OK(plan->verb == HA_FOLLOW && strcmp(plan->follow, "p1") == 0,
	   "... and then followed");
	plan = plan_for(PROBLEM(FOREIGN_TERM "," LED_BY_P1("primary", "3") ","
							HISTORY_OF_TWO, "\"role\":\"standby\",\"timeline\":2,"
							"\"flush_lsn\":2100,\"replay_lsn\":2100"));
	OK(plan->verb == HA_REWIND, "... but not with WAL that it lacks (S-16)");
	plan = plan_for(PROBLEM(FOREIGN_TERM "," LED_BY_P1("primary", "3"),
							"\"role\":\"primary\",\"timeline\":2,\"flush_lsn\":2000"));
	OK(plan->verb == HA_DEMOTE && !plan->lead, "a leader of ours makes way");
}

static void
test_former_leader(void)
{
	const HaPlan *plan;

	/* n1 led, as a member of Patroni, and is one of ours now */
	plan = plan_for(PROBLEM("\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,"
							"\"owner\":\"n1\",\"foreign\":true,\"timeline\":2}",
							"\"role\":\"primary\",\"timeline\":2,\"flush_lsn\":2000"));
	OK(plan->verb == HA_DEMOTE, "a reign of Patroni's is not gone on with");
	plan = plan_for(PROBLEM("\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,"
							"\"owner\":\"n1\",\"intent\":true,\"timeline\":2,\"reserved\":3}",
							"\"role\":\"primary\",\"timeline\":3,\"flush_lsn\":2000"));
	OK(plan->verb == HA_DEMOTE, "... nor a promotion, if one may have been between");
	plan = plan_for(PROBLEM(HISTORY_OF_TWO "," OWN_TERM, STANDBY));
	OK(plan->verb == HA_TESTIFY, "a reign that is over is recorded before a vote");
}

static void
test_released(void)
{
	const HaPlan *plan;

	plan = plan_for(PROBLEM(OWN_TERM ","
							HEARTBEAT(",\"released\":true,\"released_lsn\":2000"),
							STANDBY ",\"key_gone_since\":99900"));
	OK(plan->verb == HA_ACQUIRE && plan->reserve == 11,
	   "who holds all of a closed reign leads, on a timeline of its own");
	plan = plan_for(PROBLEM(OWN_TERM ","
							HEARTBEAT(",\"released\":true,\"released_lsn\":2000"),
							STANDBY ",\"key_gone_since\":99900,\"led_since\":true"));
	OK(plan->verb == HA_DETACH, "... unless Patroni has led since");
	plan = plan_for(PROBLEM(OWN_TERM ",\"status_revision\":48,"
							HEARTBEAT(",\"released\":true,\"released_lsn\":2000"),
							STANDBY ",\"key_gone_since\":99900"));
	OK(plan->verb == HA_DETACH, "... or may have");
}

int
main(void)
{
	test_members();
	test_history();
	test_long_history();
	test_testimony();
	test_past();
	test_follow();
	test_former_leader();
	test_released();
	return end_of_tests();
}
