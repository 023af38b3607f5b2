/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The store for commands that may wait: one question, one answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <poll.h>

#include "common/logging.h"

#include "../cluster_json.h"
#include "../config_values_json.h"
#include "../control.h"
#include "store.h"

/* An endpoint that does not answer is not waited for longer. */
#define ENDPOINT_TIMEOUT	2000

#define RETRY_PAUSE_US		(500 * 1000L)

HaDcsOptions
ha_store_options(const HaNode *node)
{
	return (HaDcsOptions)
	{
		.endpoints = node->etcd_endpoints,
			.name_space = node->name_space,
			.scope = node->scope,
			.cacert = node->etcd_cacert,
			.cert = node->etcd_cert,
			.key = node->etcd_key,
			.user = node->etcd_user,
			.password_file = node->etcd_password_file,
			.now = ha_now,
	};
}

HaDcs *
ha_store_open(const HaNode *node)
{
	HaDcsOptions options = ha_store_options(node);
	char		err[HA_ERROR_SIZE];
	HaDcs	   *dcs = ha_dcs_open(&options, err, sizeof(err));

	if (dcs == NULL)
		pg_log_error("could not use etcd: %s", err);
	return dcs;
}

/* Until it can be answered, or "until". */
static void
wait_for_network(const HaDcs *dcs, int64_t until)
{
	struct pollfd wait = {.fd = ha_dcs_fd(dcs),.events = POLLIN};
	int64_t		wake = ha_dcs_wake_at(dcs);
	int64_t		ms;

	if (wake == 0 || wake > until)
		wake = until;
	ms = wake - ha_now();
	if (ms > 0)
		(void) poll(&wait, 1, (int) Min(ms, 1000));
}

bool
ha_store_ask(HaDcs *dcs, HaRequest *request, int64_t timeout, HaAnswer *answer)
{
	int64_t		until = ha_now() + timeout;

	if (request->timeout == 0)
		request->timeout = timeout;
	if (!ha_dcs_send(dcs, request))
	{
		pg_log_error("a request for etcd was too large");
		return false;
	}
	for (;;)
	{
		ha_dcs_poll(dcs);
		if (ha_dcs_next(dcs, answer))
			break;
		if (ha_now() >= until + ENDPOINT_TIMEOUT)
		{
			pg_log_error("etcd does not answer: %s", ha_dcs_trouble(dcs));
			return false;
		}
		wait_for_network(dcs, until + ENDPOINT_TIMEOUT);
	}
	if (answer->status == HA_DCS_OK)
		return true;
	pg_log_error(answer->status == HA_DCS_REFUSED ?
				 "etcd refused a request: %s" : "etcd gave no usable answer: %s",
				 answer->error);
	ha_dcs_answer_free(answer);
	return false;
}

/* Reading may be tried again, at the next endpoint, until time is up. */
bool
ha_store_look(HaDcs *dcs, int64_t timeout, HaAnswer *keys, HaView *view)
{
	int64_t		until = ha_now() + timeout;
	HaConfig	config;

	for (;;)
	{
		HaRequest	request = {.kind = HA_DCS_RANGE,.timeout = Min(timeout, ENDPOINT_TIMEOUT)};
		bool		last = ha_now() + ENDPOINT_TIMEOUT >= until;

		if (ha_store_ask(dcs, &request, request.timeout, keys))
			break;
		if (last)
			return false;
		pg_usleep(RETRY_PAUSE_US);	/* who refuses does so at once */
	}
	ha_config_defaults(&config);
	ha_view_parse(keys, &config, view);
	return true;
}
