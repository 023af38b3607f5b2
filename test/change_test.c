/*-------------------------------------------------------------------------
 *
 * change_test.c
 *	  Changes of the leader and times of day: what is understood, what is not.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../history_json.h"
#include "../wall_time.h"
#include "tap.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const struct
{
	const char *text;
	int64_t		ms;
}			times[] =

{
	{"2026-11-27T08:30:00+00:00", INT64_C(1795768200000)},
	{"2026-11-27 08:30:00Z", INT64_C(1795768200000)},
	{"2026-11-27T09:30:00.25+01:00", INT64_C(1795768200250)},
	{"2026-11-27T09:30:00.250999999+0100", INT64_C(1795768200250)},
	{"2026-11-27T03:00:00-05:30", INT64_C(1795768200000)},
	{"2026-11-27T08:30:00-00", INT64_C(1795768200000)},
	{"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
	{"2000-02-29T23:59:59Z", INT64_C(951868799000)},
	{"1971-01-01T00:00:00Z", INT64_C(31536000000)},
	{"9998-12-31T23:59:59Z", INT64_C(253370764799000)},
};

static const char *const no_times[] = {
	"", "tomorrow", "2026", "2026-11-27", "2026-11-27T08:30:00",
	"2026-11-27T08:30Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
	"2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
	"2026-11-27T24:00:00Z", "2026-11-27T08:60:00Z", "2026-11-27T08:30:60Z",
	"2026-11-27T08:30:00.0000000000Z", "2026-11-27T08:30:00+16:00",
	"2026-11-27T08:30:00+01:60", "2026-11-27T08:30:00+1", "1970-01-01T00:00:00Z",
	"9999-01-01T00:00:00Z", "-026-11-27T08:30:00Z", "2026-11-27T08:30:00Z ",
	" 2026-11-27T08:30:00Z", "2026-11-27T08:30:00 UTC", "2026/11/27T08:30:00Z",
	"+2026-11-27T08:30:00Z", "2026-11-2\xff" "T08:30:00Z",
};

static void
test_times(void)
{
	char		text[HA_TIME_SIZE];
	int64_t		ms;

	for (int i = 0; i < LENGTH_OF(times); i++)
		OK(ha_time_parse(times[i].text, &ms) && ms == times[i].ms,
		   times[i].text);
	for (int i = 0; i < LENGTH_OF(no_times); i++)
		OK(!ha_time_parse(no_times[i], &ms), "no time");
	ha_time_format(INT64_C(1795768200250), text);
	OK(strcmp(text, "2026-11-27T08:30:00.250000+00:00") == 0, "written");
	OK(ha_time_parse(text, &ms) && ms == INT64_C(1795768200250),
	   "and read again");
	OK(ha_wall_clock() > INT64_C(1700000000000), "it is later than 2023");
}

static HaView view;

static const HaView *
look(const char *key, const char *value)
{
	HaKv		kv = {.mod_revision = 7};
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.kvs = &kv,.nkvs = 1};

	snprintf(kv.key, sizeof(kv.key), "%s", key);
	kv.value = strdup(value);
	kv.length = strlen(value);
	ha_view_parse(&answer, NULL, &view);
	free(kv.value);
	return &view;
}

static void
test_wishes(void)
{
	const HaView *v;
	char	   *json = ha_scheduled_json("n1", "n2", INT64_C(1795768200000));

	OK(strcmp(json, "{\"leader\":\"n1\",\"member\":\"n2\","
			  "\"scheduled_at\":\"2026-11-27T08:30:00.000000+00:00\"}") == 0,
	   "a wish for later");
	v = look("failover", json);
	free(json);
	OK(v->failover.present && v->nmalformed == 0 &&
	   v->failover.scheduled_at == INT64_C(1795768200000), "is understood");
	v = look("failover", "{\"member\":\"n2\",\"scheduled_at\":null}");
	OK(v->failover.present && v->failover.scheduled_at == 0, "null is now");
	v = look("failover", "{\"member\":\"n2\",\"scheduled_at\":1795768200}");
	OK(!v->failover.present && v->nmalformed == 1, "a number is no time");
	v = look("failover", "{\"member\":\"n2\",\"scheduled_at\":\"2026-11-27T08:30:00Z\\u0000\"}");
	OK(!v->failover.present && v->nmalformed == 1, "nor is what goes on");
}

static void
test_changes(void)
{
	static const char *const malformed[] = {
		"[]", "{}", "{\"term\":-1}",
		"{\"term\":1,\"from\":\"\",\"to\":\"n 2\",\"started_at\":\"2026-11-27T08:30:00Z\",\"lost_bytes\":0}",
		"{\"term\":1,\"from\":\"\",\"to\":\"n2\",\"started_at\":\"now\",\"lost_bytes\":0}",
		"{\"term\":1,\"from\":\"\",\"to\":\"n2\",\"started_at\":\"2026-11-27T08:30:00Z\",\"lost_bytes\":-1}",
		"{\"term\":1,\"from\":\"\",\"to\":\"n2\",\"started_at\":\"2026-11-27T08:30:00Z\",\"lost_bytes\":0,\"hold_ms\":\"1\"}",
		"{\"term\":1,\"from\":\"\",\"to\":\"n2\",\"started_at\":\"2026-11-27T08:30:00Z\",\"lost_bytes\":0,\"hold_ms\":99999999999}",
	};
	HaChange	change = {.planned = true,.term = 5,.from = "n1",.to = "n2",
		.reason = "switchover",.started_at = INT64_C(1795768200000),
		.prepare_ms = 10,.hold_ms = 0,.freeze_ms = 2,.acquire_ms = -1,
	.promote_ms = -1,.confirm_ms = -1,.lost_bytes = 0};
	char	   *json = ha_change_json(&change);
	const HaView *v = look("pg_ha/last_failover", json);

	change.present = true;
	OK(memcmp(&v->change, &change, sizeof(change)) == 0,
	   "a change is written and read again");
	free(json);
	for (int i = 0; i < LENGTH_OF(malformed); i++)
	{
		v = look("pg_ha/last_failover", malformed[i]);
		OK(!v->change.present && v->nmalformed == 1, "no change");
	}

	json = ha_refusal_json(44, "it does \"not\" like it");
	v = look("pg_ha/refused", json);
	free(json);
	OK(v->refusal.wish == 44 &&
	   strcmp(v->refusal.reason, "it does \"not\" like it") == 0, "a refusal");
	v = look("pg_ha/refused", "{\"wish\":1,\"reason\":\"\\u001b[2J\"}");
	OK(strcmp(v->refusal.reason, "?[2J") == 0,
	   "of which no terminal takes harm");
	v = look("pg_ha/refused", "{\"wish\":\"1\"}");
	OK(v->refusal.wish == 0 && v->nmalformed == 1, "no refusal");
}

static void
test_history(void)
{
	static const char text[] =
	"[[1,67109352,\"no recovery target specified\",\"2026-11-27T08:30:00+00:00\",\"n2\"],"
	"[2,5,\"x\"],[\"3\",5,\"x\"],{},[4,-5,\"x\"],[5,6,7,8,9]]";
	HaHistoryLine line;

	OK(ha_history_line(text, strlen(text), 0, &line) && line.timeline == 1 &&
	   line.lsn == 67109352 && line.at == INT64_C(1795768200000) &&
	   strcmp(line.leader, "n2") == 0 &&
	   strcmp(line.reason, "no recovery target specified") == 0,
	   "a line of the history");
	OK(ha_history_line(text, strlen(text), 1, &line) && line.timeline == 2 &&
	   line.at == 0 && line.leader[0] == '\0', "one of old times");
	for (int i = 2; i < 5; i++)
		OK(ha_history_line(text, strlen(text), i, &line) &&
		   line.timeline == 0, "one that can't be read");
	OK(ha_history_line(text, strlen(text), 5, &line) && line.timeline == 5 &&
	   line.reason[0] == '\0' && line.at == 0 && line.leader[0] == '\0',
	   "one that can be read in part");
	OK(!ha_history_line(text, strlen(text), 6, &line), "there are no more");
	OK(!ha_history_line("{}", 2, 0, &line), "no history");
}

int
main(void)
{
	test_times();
	test_wishes();
	test_changes();
	test_history();
	return end_of_tests();
}
