/*-------------------------------------------------------------------------
 *
 * mixed_test.c
 *	  Unit test of mixed.c, inquiry.c and patroni_json.c (S-11).
 *
 * Prints TAP.  What is known comes as it does from outside: keys of the store, answers
 * of members.  What the rules make of it is in decide_test.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../config_values_json.h"
#include "../inquiry.h"
#include "../mixed.h"
#include "../patroni_json.h"
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
	STORE({"members/p1", "{\"state\":\"running\",\"role\":\"replica\","
		   "\"version\":\"4.1.5.and.whatever.else.there.is\",\"pg_ha_version\":null}", 20, 9});
	OK(ha_mixed_patroni(&view) != NULL &&
	   ha_mixed_too_old(&config, &view, NULL) != NULL,
	   "one whose version can't be read");
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
	OK(!testifies(), "... nor on one that is another's");
	STORE(TERM(""), LEADER(12), P1("primary", "3"),
		  HISTORY("[[1,1000,\"r\"],[2,3000,\"r\",\"t\",\"n1\"]]"));
	OK(!testifies(), "... nor by another's promotion");
	STORE(TERM(""), {"leader", "p1", 12, 8}, P1("primary", "3"), HISTORY(two));
	OK(!ha_mixed_is_unrecorded(&view), "... nor of one whose keys have two leases");

	STORE(TERM(",\"foreign\":true"), {"leader", "n1", 12, 9},
		  {"members/n1", MEMBER("primary", "2"), 20, 9},
		  HISTORY("[[1,1000,\"r\"]]"));
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
	strcpy(view.history[0].owner, "n1");
	view.term.term = INT64_MAX - 1;
	OK(testifies(), "... and is put there");
	view.term.term = INT64_MAX;
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
 * What they say when they are asked
 *-------------------------------------------------------------------------
 */

#define SYSID	UINT64_C(7000000000000000001)

static bool
parse(HaPeer *peer, const char *text)
{
	memset(peer, 0, sizeof(*peer));
	return ha_patroni_parse(text, strlen(text), SYSID, peer);
}

static void
test_parse(void)
{
	HaPeer		peer;

	OK(parse(&peer, "{\"role\":\"replica\",\"timeline\":3,\"xlog\":{"
			 "\"received_location\":90,\"replayed_location\":80,\"paused\":false},"
			 "\"database_system_identifier\":\"7000000000000000001\"}") &&
	   !peer.primary && peer.lsn == 90 && peer.timeline == 3 &&
	   !peer.nofailover && peer.failover_priority == 1, "a standby");
	OK(parse(&peer, "{\"role\":\"replica\",\"xlog\":{\"replayed_location\":80},"
			 "\"tags\":{\"failover_priority\":5}}") &&
	   peer.lsn == 80 && peer.failover_priority == 5, "... that was preferred");
	OK(parse(&peer, "{\"role\":\"primary\",\"xlog\":{\"location\":70}}") &&
	   peer.primary && peer.lsn == 70, "a primary");
	OK(parse(&peer, "{\"role\":\"master\",\"wal\":{\"location\":70}}") &&
	   peer.primary, "... in older words");
	OK(parse(&peer, "{\"role\":\"replica\",\"xlog\":{\"location\":70}}") &&
	   peer.primary, "... that does not know it yet");
	OK(parse(&peer, "{\"xlog\":{},\"tags\":{\"nofailover\":true}}") &&
	   peer.nofailover, "one that is not to lead");
	OK(parse(&peer, "{\"xlog\":{},\"watchdog_failed\":true}") &&
	   peer.nofailover, "... or cannot");
	OK(!parse(&peer, "{\"role\":\"replica\",\"state\":\"stopped\"}"),
	   "one without a position");
	OK(!parse(&peer, "{\"xlog\":{\"location\":70},"
			  "\"database_system_identifier\":\"7\"}"), "of another cluster");
	memset(&peer, 0, sizeof(peer));
	strcpy(peer.name, "p1");
	OK(!ha_patroni_parse("{\"xlog\":{},\"patroni\":{\"name\":\"p2\"}}", 35, SYSID, &peer) &&
	   ha_patroni_parse("{\"xlog\":{},\"patroni\":{\"name\":\"p1\"}}", 35, SYSID, &peer),
	   "of another member");
	OK(!parse(&peer, "[1]") && !parse(&peer, "") && !parse(&peer, "<html>"),
	   "no object");
	OK(parse(&peer, "{\"xlog\":{\"received_location\":-5,"
			 "\"replayed_location\":\"x\"},\"timeline\":99999999999}") &&
	   peer.lsn == 0 && peer.timeline == 0, "numbers that can't be");
}

/*-------------------------------------------------------------------------
 * Asking them
 *-------------------------------------------------------------------------
 */

static HaInquiry inquiry;

static bool
asks(int64_t now, const char *url, uint32_t tag)
{
	HaPeerRequest request;
	HaInquired *whom;

	if (!ha_inquiry_next(&inquiry, now, &request, &whom))
		return false;
	whom->tag = tag;
	return request.get && request.body == NULL && strcmp(request.url, url) == 0;
}

static bool
answers(uint32_t tag, const char *text)
{
	HaPeerAnswer answer = {.tag = tag,.status = 200};

	answer.body = (char *) text;
	answer.length = text != NULL ? strlen(text) : 0;
	return ha_inquiry_answered(&inquiry, &answer, SYSID);
}

static void
test_inquiry(void)
{
	static const char standby[] = "{\"xlog\":{\"received_location\":90}}";
	HaLocal		local;

	memset(&inquiry, 0, sizeof(inquiry));
	STORE(TERM(""), LEADER(12), P1("primary", "3"),
		  {"members/p2", MEMBER("replica", "3"), 20, 9});
	ha_inquiry_look(&inquiry, &view);
	ha_inquiry_tell(&inquiry, &local);
	OK(local.npeers == 2 && local.peers[0].asked_at == 0, "whom to ask");
	OK(!asks(100, "", 1), "not before it is wanted");

	/* the leader is gone, key and all; another has become one of ours */
	STORE(TERM(""), {"members/p2", "{\"state\":\"running\",\"role\":\"replica\","
					 "\"pg_ha_version\":\"1.0\"}", 20, 9});
	ha_inquiry_look(&inquiry, &view);
	ha_inquiry_tell(&inquiry, &local);
	OK(local.npeers == 1 && strcmp(local.peers[0].name, "p1") == 0,
	   "also who led last");
	inquiry.wanted = true;
	OK(asks(100, "http://h1:8008/patroni", 7) && !asks(101, "", 8),
	   "each is asked once");
	OK(!answers(8, standby), "an answer to nothing");
	OK(answers(7, standby) && inquiry.began_at == 0, "the round is over");
	ha_inquiry_tell(&inquiry, &local);
	OK(local.peers[0].answered && local.peers[0].lsn == 90 &&
	   local.peers[0].asked_at == 100, "what it said");
	OK(asks(200, "http://h1:8008/patroni", 9) && answers(9, NULL),
	   "no answer is one");
	ha_inquiry_tell(&inquiry, &local);
	OK(!local.peers[0].answered && local.peers[0].asked_at == 200 &&
	   strcmp(local.peers[0].name, "p1") == 0, "... of nobody who is there");
	OK(asks(300, "http://h1:8008/patroni", 10) && !asks(4300, "", 11) &&
	   asks(4301, "http://h1:8008/patroni", 12), "a round that has no end");
	OK(!answers(10, standby), "... whose answer does not count");
}

int
main(void)
{
	test_members();
	test_history();
	test_long_history();
	test_testimony();
	test_past();
	test_parse();
	test_inquiry();
	return end_of_tests();
}
