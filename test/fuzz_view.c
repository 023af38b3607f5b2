/*-------------------------------------------------------------------------
 *
 * fuzz_view.c
 *	  Whatever stands in the store must not crash who reads it.
 *
 * The first byte of the input picks the key whose value the rest is, or one of
 * the three parsers that do not read keys.  What a view holds must then be fit
 * to be written, and what we write must be fit to be read.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../config_json.h"
#include "../config_values_json.h"
#include "../failsafe_json.h"
#include "../hba_json.h"
#include "../history_json.h"
#include "../member_json.h"
#include "../names.h"
#include "../problem_json.h"
#include "../request_json.h"
#include "../term_json.h"

static const char *const keys[] = {
	"config", "leader", "pg_ha/heartbeat", "pg_ha/term", "sync", "failover",
	"failsafe", "initialize", "status", "history", "members/n1",
	"pg_ha/votes/n1", "pg_ha/requests/n1", "pg_ha/stop",
	"pg_ha/last_failover", "pg_ha/refused", "pg_ha/identity",
	"pg_ha/removed/n1",
};

#define NKEYS (sizeof(keys) / sizeof(keys[0]))

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(HaKv *kv, HaView *view)
{
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.nkvs = 1,.kvs = kv};

	ha_view_parse(&answer, NULL, view);
}

/* Replace the value of a key; json is taken over. */
static void
set_value(HaKv *kv, char *json)
{
	if (json == NULL)
		abort();
	free(kv->value);
	kv->value = json;
	kv->length = strlen(json);
}

/* What was understood must survive being written and read again. */
static void
check_round_trip(HaKv *kv, HaView *view)
{
	static HaView again;

	if (view->term.present)
		set_value(kv, ha_term_json(&view->term));
	else if (view->heartbeat.present)
		set_value(kv, ha_heartbeat_json(&view->heartbeat));
	else if (view->failsafe.nmembers > 0)
		set_value(kv, ha_failsafe_json(&view->failsafe));
	else if (view->nvotes == 1)
		set_value(kv, ha_vote_json(&view->votes[0]));
	else if (view->stop.kind != HA_REQUEST_UNREADABLE)
		set_value(kv, ha_request_json(&view->stop));
	else if (view->nrequests == 1 &&
			 view->requests[0].kind != HA_REQUEST_UNREADABLE)
		set_value(kv, ha_request_json(&view->requests[0]));
	else if (view->nmembers == 1)
		set_value(kv, ha_member_json(&view->members[0]));
	else
		return;

	look(kv, &again);
	if (memcmp(&again.term, &view->term, sizeof(view->term)) != 0 ||
		memcmp(&again.heartbeat, &view->heartbeat,
			   sizeof(view->heartbeat)) != 0 ||
		memcmp(&again.failsafe, &view->failsafe,
			   sizeof(view->failsafe)) != 0 ||
		memcmp(&again.votes, &view->votes, sizeof(view->votes)) != 0 ||
		again.nmembers != view->nmembers ||
		strcmp(again.members[0].host, view->members[0].host) != 0 ||
		again.members[0].lsn != view->members[0].lsn ||
		memcmp(&again.members[0].progress, &view->members[0].progress,
			   sizeof(HaProgress)) != 0 ||
		memcmp(&again.requests, &view->requests,
			   sizeof(view->requests)) != 0 ||
		memcmp(&again.stop, &view->stop, sizeof(view->stop)) != 0)
		abort();
}

static void
fuzz_config(const char *text, size_t length)
{
	static HaParameters parameters;
	char		err[64];
	char		nearest[64];

	(void) ha_config_has_unknown(text, err, sizeof(err), nearest,
								 sizeof(nearest));
	free(ha_config_merge("{\"postgresql\":{\"parameters\":{\"a\":1}}}", text,
						 err, sizeof(err)));
	free(ha_config_merge(text, "{\"pause\":true,\"x\":null}", err, sizeof(err)));
	if (ha_config_parameters(text, length, &parameters, err, sizeof(err)))
		free(ha_parameters_file(&parameters));
	free(ha_hba_from_config(text, HA_AUTH_HBA, err, sizeof(err)));
	free(ha_hba_from_config(text, HA_AUTH_IDENT, err, sizeof(err)));
}

/* A file that somebody has edited. */
static void
fuzz_hba_file(const char *text)
{
	HaHbaHeader header;
	char		location[64];

	if (ha_hba_header_read(text, HA_AUTH_HBA, &header) &&
		(header.length > strlen(text) || header.source >= HA_NHBA_SOURCES))
		abort();
	(void) ha_hba_bootstrap_read(text, location, sizeof(location));
}

static void
fuzz_key(const char *key, const char *text, size_t length)
{
	static HaView view;
	HaKv		kv = {.length = length,.mod_revision = 5};

	snprintf(kv.key, sizeof(kv.key), "%s", key);
	kv.value = malloc(length + 1);
	memcpy(kv.value, text, length);
	kv.value[length] = '\0';
	look(&kv, &view);

	/* Text with a NUL in it ends there for who takes a string. */
	free(ha_history_json(&view.term, kv.value, "T"));
	fuzz_config(kv.value, length);
	fuzz_hba_file(kv.value);
	check_round_trip(&kv, &view);
	free(kv.value);
}

static void
fuzz_problem(const char *text, size_t length)
{
	static HaView view;
	HaConfig	config;
	HaLocal		local;
	HaQuestion	question;
	int64_t		now;
	char		err[64];

	ha_problem_parse(text, length, &config, &view, &local, &now, err,
					 sizeof(err));
	ha_config_parse(text, length, &config, err, sizeof(err));
	if (ha_question_parse(text, length, &question) &&
		!ha_name_is_valid(question.name))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t		which;

	if (size == 0)
		return 0;
	which = data[0] % (NKEYS + 1);
	if (which < NKEYS)
		fuzz_key(keys[which], (const char *) data + 1, size - 1);
	else
		fuzz_problem((const char *) data + 1, size - 1);
	return 0;
}
