/*-------------------------------------------------------------------------
 *
 * fuzz_etcd.c
 *	  Whatever answers in etcd's place must not crash us, nor make us believe
 *	  what it did not say.
 *
 * The first byte of the input picks the kind of request and the HTTP status,
 * the rest is the body.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "../dcs_etcd.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

static void
check_kvs(const HaAnswer *answer)
{
	for (int i = 0; i < answer->nkvs; i++)
	{
		const HaKv *kv = &answer->kvs[i];

		require(strlen(kv->key) < sizeof(kv->key));
		require(kv->mod_revision > 0 && kv->create_revision >= 0 &&
				kv->lease >= 0);
		require((kv->value == NULL) == kv->deleted);
		require(kv->deleted || kv->value[kv->length] == '\0');
		require(kv->length <= HA_MAX_VALUE);
	}
}

static void
check_answer(const HaAnswer *answer, int code)
{
	require((answer->status == HA_DCS_OK) == (answer->error[0] == '\0'));
	require((answer->status == HA_DCS_OK) == (code == HA_GRPC_OK));
	require(answer->ttl >= 0 && answer->ttl <= INT64_C(86400000));
	require(answer->revision >= 0 && answer->raft_term >= 0);
	require(answer->status != HA_DCS_OK || answer->cluster_id != 0);
	require(!answer->nospace || answer->status == HA_DCS_REFUSED);
	require(!answer->compacted || (answer->kind == HA_DCS_WATCH &&
								   answer->status == HA_DCS_UNKNOWN));
	if (answer->status == HA_DCS_OK && answer->kind == HA_DCS_GRANT)
		require(answer->lease > 0 && answer->ttl > 0);
	require(answer->nvoters >= 0 && answer->nvoters <= HA_MAX_VOTERS);
	require(answer->nvoters == 0 || answer->kind == HA_DCS_MEMBERS);
	for (int i = 0; i < answer->nvoters; i++)
		require(memchr(answer->voters[i].name, '\0', HA_NAME_SIZE) != NULL);
	check_kvs(answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = {200, 400, 404, 503};
	static char token[HA_ETCD_TOKEN_SIZE];
	HaAnswer	answer = {.tag = 5,.sent_at = 6};
	HaDcsKind	kind;
	long		status;
	const char *body = (const char *) data + 1;
	int			code;

	if (size == 0)
		return 0;
	kind = (HaDcsKind) (data[0] % (HA_DCS_MEMBERS + 1));
	status = statuses[data[0] / 8 % 4];

	code = ha_etcd_parse_answer(kind, "/s/c/", status, body, size - 1, &answer);
	require(answer.tag == 5 && answer.sent_at == 6 && answer.kind == kind);
	check_answer(&answer, code);
	ha_dcs_answer_free(&answer);

	memset(&answer, 0, sizeof(answer));
	if (!ha_etcd_parse_token(status, body, size - 1, token, sizeof(token),
							 &answer))
		require(answer.status != HA_DCS_OK && answer.error[0] != '\0');
	require(strpbrk(token, "\r\n ") == NULL);
	return 0;
}
