/*-------------------------------------------------------------------------
 *
 * request_test.c
 *	  Requests to members: what is understood, what is not, and what counts.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../member_json.h"
#include "../request_json.h"
#include "tap.h"

#define ID "0123456789abcdef0123456789abcdef"
#define RESTART \
	"{\"kind\":\"restart\",\"id\":\"" ID "\",\"asked_by\":\"n1\"," \
	"\"revision\":88,\"identity\":\"" ID "\""
#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

static HaView view;

/* A view of a few keys; the list ends with NULL. */
static void
look(const char *const *keys_and_values)
{
	HaKv		kvs[8];
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.kvs = kvs};

	memset(kvs, 0, sizeof(kvs));
	for (int i = 0; keys_and_values[2 * i] != NULL; i++)
	{
		snprintf(kvs[i].key, sizeof(kvs[i].key), "%s", keys_and_values[2 * i]);
		kvs[i].value = strdup(keys_and_values[2 * i + 1]);
		kvs[i].length = strlen(kvs[i].value);
		kvs[i].mod_revision = 5 + i;
		answer.nkvs++;
	}
	ha_view_parse(&answer, NULL, &view);
	for (int i = 0; i < answer.nkvs; i++)
		free(kvs[i].value);
}

#define LOOK(...) look((const char *const[]) {__VA_ARGS__, NULL})

static void
test_unreadable(void)
{
	static const char *const values[] = {
		"", "null", "[]", "{}", "reinit",
		"{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":1}",
		"{\"kind\":\"reinit\",\"id\":\"0123\",\"asked_by\":\"n1\",\"revision\":1,"
		"\"identity\":\"" ID "\"}",
		"{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n 1\",\"revision\":1,"
		"\"identity\":\"" ID "\"}",
		"{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":-1,"
		"\"identity\":\"" ID "\"}",
		"{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":1,"
		"\"identity\":\"../../../../../../../../../etc/\"}",
		"{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":1,"
		"\"identity\":\"" ID "\",\"from_leader\":\"yes\"}",
		RESTART ",\"at\":-1}", RESTART ",\"at\":\"soon\"}",
		RESTART ",\"at\":9223372036854775807}",
		RESTART ",\"before_version\":1.5}",
		RESTART ",\"before_version\":99999999999}",
		RESTART ",\"role\":\"king\"}", RESTART ",\"role\":1}",
		RESTART ",\"force\":\"yes\"}", RESTART ",\"pending\":1}",
		"{\"kind\":\"unreadable\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":1}",
		"{\"kind\":\"stop\",\"id\":\"" ID "\",\"asked_by\":\"n1\",\"revision\":1}",
	};

	for (int i = 0; i < LENGTH_OF(values); i++)
	{
		const HaMemberRequest *request;

		LOOK("pg_ha/requests/n2", values[i]);
		request = ha_find_request(&view, "n2");
		OK(request != NULL && request->kind == HA_REQUEST_UNREADABLE &&
		   request->id[0] == '\0' && request->mod_revision == 5 &&
		   view.nmalformed == 1, values[i]);
	}
	LOOK("pg_ha/requests/n 2", "{}");
	OK(view.nrequests == 0, "no such member can be");
}

static void
test_readable(void)
{
	const HaMemberRequest *request;
	char	   *json;

	LOOK(
		 "pg_ha/requests/n2",
		 "{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\","
		 "\"revision\":88,\"identity\":\"" ID "\",\"from_leader\":true}");
	request = ha_find_request(&view, "n2");
	OK(request != NULL && request->kind == HA_REQUEST_REINIT &&
	   strcmp(request->id, ID) == 0 && strcmp(request->asked_by, "n1") == 0 &&
	   strcmp(request->identity, ID) == 0 && request->seen_revision == 88 &&
	   request->from_leader && view.nmalformed == 0, "a reinit");
	OK(ha_find_request(&view, "n1") == NULL, "nothing is asked of another");
	json = request != NULL ? ha_request_json(request) : NULL;
	OK(json != NULL && strcmp(json,
							  "{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n1\","
							  "\"revision\":88,\"identity\":\"" ID "\",\"from_leader\":true}") == 0,
	   "and as it is written");
	free(json);
}

/* What is written is what is read, with each of its terms and without any. */
static void
test_restart(void)
{
	static const char *const values[] = {
		RESTART "}",
		RESTART ",\"pending\":true,\"at\":1795768496000,\"before_version\":150004,"
		"\"role\":\"standby\",\"force\":true}",
		RESTART ",\"role\":\"leader\"}",
	};
	const HaMemberRequest *request;

	for (int i = 0; i < LENGTH_OF(values); i++)
	{
		char	   *json;

		LOOK("pg_ha/requests/n2", values[i]);
		request = ha_find_request(&view, "n2");
		json = request != NULL ? ha_request_json(request) : NULL;
		OK(json != NULL && strcmp(json, values[i]) == 0, values[i]);
		OK(request != NULL && request->force == (i == 1) &&
		   request->at == (i == 1 ? INT64_C(1795768496000) : 0) &&
		   request->before_version == (i == 1 ? 150004 : 0) &&
		   request->role == (i == 0 ? HA_ROLE_UNINITIALIZED :
							 i == 1 ? HA_ROLE_STANDBY : HA_ROLE_PRIMARY),
		   "its terms");
		free(json);
	}
}

/* A stop counts in the reign that it was put in. */
static void
test_stop(void)
{
	static const struct
	{
		const char *leader;		/* that has the key; NULL = nobody */
		const char *term;
		bool		counts;
		const char *name;
	}			cases[] =

	{
		{"n1", "5", true, "a stop counts in its reign"},
		{"n2", "5", false, "not if another leads"},
		{"n1", "6", false, "not in another term"},
		{NULL, "5", false, "not if nobody leads"},
	};

	for (int i = 0; i < LENGTH_OF(cases); i++)
	{
		char		term[200];

		snprintf(term, sizeof(term), "{\"term\":%s,\"owner\":\"n1\","
				 "\"timeline\":1,\"timeline_owner\":\"n1\",\"lineage\":[]}",
				 cases[i].term);
		LOOK(
			 "pg_ha/stop",
			 "{\"kind\":\"stop\",\"id\":\"" ID "\",\"asked_by\":\"n3\","
			 "\"revision\":88,\"leader\":\"n1\",\"term\":5}",
			 "pg_ha/term", term,
			 cases[i].leader != NULL ? "leader" : NULL, cases[i].leader);
		OK(ha_stop_counts(&view) == cases[i].counts, cases[i].name);
	}
	LOOK(
		 "pg_ha/stop",
		 "{\"kind\":\"reinit\",\"id\":\"" ID "\",\"asked_by\":\"n3\","
		 "\"revision\":88,\"identity\":\"" ID "\"}", "leader", "n1");
	OK(!ha_stop_counts(&view), "nothing but a stop counts as one");
}

static void
test_begin(void)
{
	static const uint8_t random[HA_REQUEST_RANDOM_SIZE] = {0x01,[15] = 0xff};
	HaMemberRequest request;

	LOOK(
		 "members/n2",
		 "{\"state\":\"running\",\"role\":\"replica\",\"pg_ha_identity\":\"" ID "\"}");
	ha_request_begin(&request, HA_REQUEST_RESTART, &view, "n2", "n1", random);
	OK(ha_request_id_is_valid(request.id) &&
	   strcmp(request.id, "010000000000000000000000000000ff") == 0,
	   "the id is all that is random");
	OK(request.kind == HA_REQUEST_RESTART &&
	   strcmp(request.asked_by, "n1") == 0 &&
	   strcmp(request.identity, ID) == 0 &&
	   request.seen_revision == view.revision, "a request to a member");
	ha_request_begin(&request, HA_REQUEST_STOP, &view, NULL, "n1", random);
	OK(request.identity[0] == '\0', "a request to all");
}

static void
test_version(void)
{
	static const struct
	{
		const char *text;
		int32_t		version;
	}			cases[] =

	{
		{"16", 160000}, {"15.3", 150003}, {"9.6.24", 90624}, {"9.6", 90600},
		{"999.999", 9990999}, {"", 0}, {"15.", 0}, {".3", 0}, {" 15", 0},
		{"+15", 0}, {"15.3beta", 0}, {"1.2.3.4", 0}, {"15.3.", 0},
		{"1000", 0}, {"99999999999999999999", 0}, {"old", 0},
	};

	for (int i = 0; i < LENGTH_OF(cases); i++)
		OK(ha_request_version(cases[i].text) == cases[i].version,
		   cases[i].text);
}

static void
test_progress(void)
{
	HaMember	member = {.name = "n1",.state = HA_STATE_RUNNING,
	.role = HA_ROLE_STANDBY};
	char	   *json;

	member.progress.state = HA_PROGRESS_RUNNING;
	member.progress.kind = HA_REQUEST_REINIT;
	memcpy(member.progress.id, ID, sizeof(ID));
	snprintf(member.progress.text, sizeof(member.progress.text), "clone\n");
	member.progress.lsn = 7;
	json = ha_member_json(&member);
	LOOK("members/n1", json);
	free(json);
	OK(view.nmembers == 1 && view.nmalformed == 0 &&
	   view.members[0].progress.state == HA_PROGRESS_RUNNING &&
	   view.members[0].progress.kind == HA_REQUEST_REINIT &&
	   strcmp(view.members[0].progress.id, ID) == 0 &&
	   strcmp(view.members[0].progress.text, "clone?") == 0 &&
	   view.members[0].progress.lsn == 7, "progress in a member key");
	LOOK(
		 "members/n1",
		 "{\"state\":\"running\",\"role\":\"replica\",\"pg_ha_request\":"
		 "{\"kind\":\"reinit\",\"id\":\"" ID "\",\"state\":\"done\",\"text\":\"\\u001b[2J\"}}");
	OK(view.nmalformed == 1 && view.members[0].progress.id[0] == '\0',
	   "no control character gets to a terminal");
}

int
main(void)
{
	test_unreadable();
	test_readable();
	test_restart();
	test_stop();
	test_begin();
	test_version();
	test_progress();
	return end_of_tests();
}
