/*-------------------------------------------------------------------------
 *
 * fuzz_http.c
 *	  The bodies of HTTP requests that ask for something, as far as they are read by
 *	  plain C: whoever reaches the port sends what he likes.
 *
 * The first byte of the input picks what the rest is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../config_json.h"
#include "../config_values_json.h"
#include "../control.h"
#include "../failsafe.h"
#include "../failsafe_json.h"
#include "../names.h"
#include "../request_json.h"
#include "../wall_time.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

/* POST /failsafe, and what is answered. */
static void
fuzz_failsafe(const char *text, size_t length)
{
	static HaView view;
	static HaLocal local;
	HaControlPromise promise;
	HaControlQuestion question;
	const HaAnswer nothing = {.kind = HA_DCS_RANGE};

	memset(&question, 0, sizeof(question));
	if (!ha_question_parse(text, length, &question.question))
		return;
	require(ha_name_is_valid(question.question.name));
	require(question.question.member[0] == '\0' ||
			ha_name_is_valid(question.question.member));
	require(question.question.ttl >= 0 && question.question.term >= -1);
	ha_view_parse(&nothing, NULL, &view);
	memset(&promise, 0, sizeof(promise));
	memset(&local, 0, sizeof(local));
	memcpy(local.name, "n2", 3);
	view.valid = true;
	view.config.failsafe_mode = true;
	view.config.ttl = 10000;
	ha_failsafe_answer(&view, &local, &question, 1000, &promise);
}

/* PATCH and PUT /config. */
static void
fuzz_config(const char *text, size_t length)
{
	static HaParameters parameters;
	HaConfig	config;
	char		unknown[64];
	char		nearest[64];
	char		err[64];
	char	   *merged;
	char	   *file;

	(void) ha_config_has_unknown(text, unknown, sizeof(unknown), nearest,
								 sizeof(nearest));
	merged = ha_config_merge(NULL, text, err, sizeof(err));
	if (merged == NULL)
		return;
	if (ha_config_parse(merged, strlen(merged), &config, err, sizeof(err)))
		require(config.ttl >= config.loop_wait + 2 * config.retry_timeout);
	if (ha_config_parameters(merged, strlen(merged), &parameters, err,
							 sizeof(err)))
	{
		file = ha_parameters_file(&parameters);
		require(file != NULL);
		for (const char *c = file; *c != '\0'; c++)
			require((unsigned char) *c >= ' ' || *c == '\n');
		free(file);
	}
	free(merged);
}

/* POST /restart: its postgres_version, and the request that it becomes. */
static void
fuzz_restart(const char *text)
{
	static const uint8_t random[HA_REQUEST_RANDOM_SIZE];
	static HaView view = {.revision = 4,.nmembers = 1,
	.members = {{.name = "n2",.identity = "00000000000000000000000000000000"}}};
	HaMemberRequest request;
	HaMemberRequest again = {{0}};
	HaKv		kv = {.key = "pg_ha/requests/n2",.mod_revision = 5};

	ha_request_begin(&request, HA_REQUEST_RESTART, &view, "n2", "n1", random);
	request.before_version = ha_request_version(text);
	kv.value = ha_request_json(&request);
	require(kv.value != NULL);
	kv.length = strlen(kv.value);
	require(ha_request_parse(&kv, &again));
	require(again.before_version == request.before_version);
	require(strcmp(again.id, request.id) == 0);
	free(kv.value);
}

/* POST /restart, /reinitialize: what they become in the store. */
static void
fuzz_request(const char *text, size_t length)
{
	HaMemberRequest request = {{0}};
	HaMemberRequest again = {{0}};
	HaKv		kv = {.mod_revision = 5,.length = length};
	HaKv		copy = kv;

	fuzz_restart(text);
	kv.value = (char *) text;
	if (!ha_request_parse(&kv, &request))
		return;
	require(ha_request_id_is_valid(request.id));
	copy.value = ha_request_json(&request);
	require(copy.value != NULL);
	copy.length = strlen(copy.value);
	require(ha_request_parse(&copy, &again));
	require(memcmp(&request, &again, sizeof(request)) == 0);
	free(copy.value);
}

/* POST /switchover: as it stands in the store, with a time of somebody's. */
static void
fuzz_switchover(const char *text, size_t length)
{
	static HaView view;
	HaKv		kv = {.mod_revision = 5,.length = length};
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.nkvs = 1,.kvs = &kv};
	int64_t		at;

	if (ha_time_parse(text, &at))
		require(at > 0);
	memcpy(kv.key, "failover", 9);
	kv.value = (char *) text;
	ha_view_parse(&answer, NULL, &view);
	require(memchr(view.failover.leader, '\0', HA_NAME_SIZE) != NULL);
	require(memchr(view.failover.candidate, '\0', HA_NAME_SIZE) != NULL);
	require(view.failover.candidate[0] == '\0' ||
			ha_name_is_valid(view.failover.candidate));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4)
	{
		case 0:
			fuzz_failsafe(text, size - 1);
			break;
		case 1:
			fuzz_config(text, size - 1);
			break;
		case 2:
			fuzz_request(text, size - 1);
			break;
		default:
			fuzz_switchover(text, size - 1);
			break;
	}
	free(text);
	return 0;
}
