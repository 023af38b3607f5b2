/*-------------------------------------------------------------------------
 *
 * fuzz_history.c
 *	  Whatever stands where the history of the cluster is kept must be read as text
 *	  that ends, and what we add to it must be readable.
 *
 * The first byte of the input picks the value that the rest is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../history_json.h"
#include "../json_guard.h"
#include "../wall_time.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

static void
fuzz_lines(const char *text, size_t length)
{
	HaHistoryLine line;

	for (int i = 0; i < 200; i++)
	{
		if (!ha_history_line(text, length, i, &line))
			break;
		require(memchr(line.reason, '\0', sizeof(line.reason)) != NULL);
		require(memchr(line.leader, '\0', sizeof(line.leader)) != NULL);
		require(line.timeline >= 0);
	}
	require(!ha_history_line(text, length, -1, &line) || line.timeline >= 0);
}

/* As the rules read it: lines that follow from each other, or none. */
static void
fuzz_ended(const HaKv *kv)
{
	HaTimeline	lines[HA_MAX_LINEAGE];
	int32_t		n;

	require(ha_history_parse(kv, lines, &n) || n == 0);
	require(n >= 0 && n <= HA_MAX_LINEAGE);
	for (int i = 0; i < n; i++)
	{
		require(lines[i].timeline > 0);
		require(memchr(lines[i].owner, '\0', sizeof(lines[i].owner)) != NULL);
	}
}

/* A reign that ends is added to whatever was there. */
static void
fuzz_addition(const char *text)
{
	HaTerm		term = {.present = true,.term = 3,.timeline = 7,.begin_lsn = 99,.nlineage = 1};
	HaHistoryLine line;
	char	   *value;
	int			n = 0;

	term.lineage[0].timeline = 6;
	term.lineage[0].end_lsn = 99;
	memcpy(term.owner, "n1", 3);
	memcpy(term.timeline_owner, "n1", 3);
	value = ha_history_json(&term, text, "2026-11-27T08:30:00.000000+00:00");
	while (value != NULL && ha_history_line(value, strlen(value), n, &line))
		n++;
	require(value == NULL || n > 0);
	free(value);
}

static void
fuzz_change(const HaKv *kv)
{
	HaChange	change;
	HaChange	again;
	HaKv		copy = *kv;

	if (!ha_change_parse(kv, &change))
		return;
	copy.value = ha_change_json(&change);
	require(copy.value != NULL);
	copy.length = strlen(copy.value);
	require(ha_change_parse(&copy, &again));
	require(memcmp(&change, &again, sizeof(change)) == 0);
	free(copy.value);
}

static void
fuzz_refusal(const HaKv *kv)
{
	HaRefusal	refusal;

	if (ha_refusal_parse(kv, &refusal))
		require(memchr(refusal.reason, '\0', sizeof(refusal.reason)) != NULL);
}

static void
fuzz_time(const char *text)
{
	char		printed[HA_TIME_SIZE];
	int64_t		ms;
	int64_t		again;

	if (!ha_time_parse(text, &ms))
		return;
	ha_time_format(ms, printed);
	require(ha_time_parse(printed, &again) && again == ms);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HaKv		kv = {.mod_revision = 5};

	if (size == 0)
		return 0;
	kv.length = size - 1;
	kv.value = malloc(size);
	memcpy(kv.value, data + 1, size - 1);
	kv.value[size - 1] = '\0';
	switch (data[0] % 5)
	{
		case 0:
			fuzz_lines(kv.value, kv.length);
			fuzz_ended(&kv);
			break;
		case 1:
			fuzz_addition(kv.value);
			break;
		case 2:
			fuzz_change(&kv);
			break;
		case 3:
			fuzz_refusal(&kv);
			break;
		default:
			fuzz_time(kv.value);
			break;
	}
	free(kv.value);
	return 0;
}
