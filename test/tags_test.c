/*-------------------------------------------------------------------------
 *
 * tags_test.c
 *	  Tags of members: from the node file, to and from JSON, and for people.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../json_guard.h"
#include "../tags_json.h"
#include "tap.h"

static HaMember member;
static char faults[4096];

static void
take_fault(void *arg, const char *message, const char *hint)
{
	snprintf(faults + strlen(faults), sizeof(faults) - strlen(faults),
			 "%s%s", faults[0] != '\0' ? "; " : "", message);
}

/* Parse, with what was there before to be overwritten. */
static bool
parse(const char *text)
{
	memset(&member, 0xff, sizeof(member));
	faults[0] = '\0';
	return ha_tags_parse(text, &member, take_fault, NULL);
}

static void
is_json(const char *expected, const char *name)
{
	json_t	   *json = ha_tags_json(&member);
	char	   *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	OK(strcmp(text, expected) == 0, name);
	if (strcmp(text, expected) != 0)
		printf("# got %s\n", text);
	free(text);
	json_decref(json);
}

static bool
read_json(const char *text)
{
	json_t	   *json = ha_json_load(text, strlen(text));
	bool		ok;

	memset(&member, 0xff, sizeof(member));
	ok = ha_tags_read(json, &member);
	json_decref(json);
	return ok;
}

static void
test_node_file(void)
{
	OK(parse(""), "no tags");
	is_json("{}", "are an empty object");
	OK(member.failover_priority == 1 && member.sync_priority == 1 &&
	   !member.nofailover && member.site[0] == '\0', "and defaults");
	OK(parse("clonefrom, nosync=true,nofailover = false , failover_priority = 2"),
	   "blanks mean nothing");
	is_json("{\"clonefrom\":true,\"failover_priority\":2,\"nosync\":true}",
			"what is false is not published, as Patroni does");
	OK(parse("replicatefrom=n2, site = dc1, noloadbalance"), "names");
	is_json("{\"noloadbalance\":true,\"replicatefrom\":\"n2\",\"site\":\"dc1\"}",
			"are text");
	OK(parse("nostream"), "who does not stream");
	is_json("{\"nofailover\":true,\"nostream\":true,\"nosync\":true}",
			"neither leads nor confirms");
	OK(parse("rack=b7, weight = 10, blue, old=false, note = two words"),
	   "the user's own");
	is_json("{\"blue\":true,\"note\":\"two words\",\"old\":false,\"rack\":\"b7\",\"weight\":10}",
			"have the types that YAML would give them");
}

static void
test_faults(void)
{
	char		longest[1100];

	OK(!parse("nofailover=maybe, rack=1") &&
	   strcmp(faults, "\"maybe\" is no value for the tag \"nofailover\"") == 0,
	   "no switch");
	is_json("{\"rack\":1}", "the others count");
	OK(!parse("failover_priority") && !parse("sync_priority=high") &&
	   !parse("sync_priority=1000001"), "no number");
	OK(!parse("replicatefrom=a/b") && !parse("replicatefrom") &&
	   !parse("site=a b"), "no name");
	OK(!parse("my tag=1") && !parse("=1") && !parse("a\"b"), "no tag");
	OK(!parse("note=\xc3\xa4") && !parse("note=a\nb"), "what can't be passed on");
	OK(!parse("nosync=1, =2, failover_priority=x") &&
	   strstr(faults, "; ") != NULL, "all faults are told");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[300] = '\0';
	OK(!parse(longest) && member.other_tags[0] == '\0', "a name too long");
	memcpy(longest, "note=", 5);
	OK(!parse(longest) && strstr(faults, "255") != NULL, "a text too long");
	longest[300] = 'x';
	longest[1099] = '\0';
	OK(!parse(longest), "everything too long");
	OK(!ha_tags_parse("nosync=1", &member, NULL, NULL), "nobody listens");
}

static void
test_hostile(void)
{
	char		text[HA_TAGS_TEXT_SIZE];
	char		small[16];

	OK(ha_tags_read(NULL, &member), "no tags");
	OK(!read_json("[1]"), "no object");
	is_json("{}", "has none");
	OK(!read_json("{\"nofailover\":{},\"nostream\":[],\"clonefrom\":7}"),
	   "what can't be read");
	OK(member.nofailover && member.nostream && !member.clonefrom,
	   "is a refusal, but no offer");
	OK(!read_json("{\"replicatefrom\":\"../n2\",\"site\":3,\"sync_priority\":1e3}") &&
	   member.replicatefrom[0] == '\0' && member.site[0] == '\0' &&
	   member.sync_priority == 1, "no names and numbers");
	OK(read_json("{\"nofailover\":\"on\",\"nosync\":null,\"replicatefrom\":\"\"}") &&
	   member.nofailover && !member.nosync, "Patroni's words");
	OK(read_json("{\"a b\":1,\"x\":{\"y\":1},\"z\":\"\\u001b[2J\",\"ok\":1.5,\"q\":\"a\\\"b\"}"),
	   "what is nothing to us is no fault");
	is_json("{\"ok\":1.5,\"q\":\"a\\\"b\"}", "and only what is harmless is kept");
	OK(read_json("{\"clonefrom\":true,\"sync_priority\":0,\"rack\":\"b7\",\"blue\":true,\"w\":1.5,\"no\":false}"),
	   "all kinds");
	ha_tags_text(&member, text, sizeof(text));
	OK(strcmp(text, "blue, no=false, rack=b7, w=1.5, clonefrom, sync_priority=0") == 0,
	   "for people");
	ha_tags_text(&member, small, sizeof(small));
	OK(strcmp(small, "blue, no=false") == 0, "what does not fit is left out");
	memcpy(member.other_tags, "[[[", 4);
	ha_tags_text(&member, text, sizeof(text));
	OK(strcmp(text, "clonefrom, sync_priority=0") == 0, "what is no JSON");
}

int
main(void)
{
	test_node_file();
	test_faults();
	test_hostile();
	return end_of_tests();
}
