/*-------------------------------------------------------------------------
 *
 * dcs.c
 *	  What every store shares: building a txn, and freeing what was built.
 *
 * Plain C without any library, so that the simulator links it without curl.
 *
 * The builders refuse nothing, which keeps the code that builds a txn free of
 * error paths.  Instead a txn that could not be built as asked is marked for
 * good, and ha_dcs_send refuses it whole: a txn that lost one of its guards
 * would be worse than none.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dcs.h"

/* A number of compares that no complete txn has marks a spoilt one. */
#define HA_TXN_SPOILT		(HA_MAX_COMPARES + 1)

static void
spoil(HaTxn *txn)
{
	txn->ncompares = HA_TXN_SPOILT;
}

/* Copy a string that must fit, or spoil the txn. */
static bool
copy_or_spoil(HaTxn *txn, char *to, size_t size, const char *from)
{
	size_t		length = strlen(from);

	if (length >= size)
	{
		spoil(txn);
		return false;
	}
	memcpy(to, from, length + 1);
	return true;
}

static HaCompare *
add_compare(HaTxn *txn, HaCompareTarget target, const char *key)
{
	HaCompare  *compare;

	if (txn->ncompares >= HA_MAX_COMPARES)
	{
		spoil(txn);
		return NULL;
	}
	compare = &txn->compares[txn->ncompares];
	memset(compare, 0, sizeof(*compare));
	compare->target = target;
	if (!copy_or_spoil(txn, compare->key, sizeof(compare->key), key))
		return NULL;
	txn->ncompares++;
	return compare;
}

static HaOp *
add_op(HaTxn *txn, HaOp *ops, int *nops, HaOpKind kind, const char *key)
{
	HaOp	   *op;

	if (*nops >= HA_MAX_OPS)
	{
		spoil(txn);
		return NULL;
	}
	op = &ops[*nops];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	if (!copy_or_spoil(txn, op->key, sizeof(op->key), key))
		return NULL;
	(*nops)++;
	return op;
}

void
ha_txn_compare(HaTxn *txn, HaCompareTarget target, const char *key,
			   int64_t number)
{
	HaCompare  *compare = add_compare(txn, target, key);

	if (compare != NULL)
		compare->number = number;
}

void
ha_txn_compare_value(HaTxn *txn, const char *key, const char *value)
{
	HaCompare  *compare = add_compare(txn, HA_VALUE, key);

	if (compare != NULL)
		copy_or_spoil(txn, compare->value, sizeof(compare->value), value);
}

void
ha_txn_put(HaTxn *txn, const char *key, char *value, int64_t lease)
{
	HaOp	   *op = NULL;

	/* A NULL is the caller's failed allocation; it need not look itself. */
	if (value == NULL || strlen(value) > HA_MAX_VALUE)
		spoil(txn);
	else
		op = add_op(txn, txn->success, &txn->nsuccess, HA_OP_PUT, key);

	if (op == NULL)
	{
		free(value);
		return;
	}
	op->value = value;
	op->lease = lease;
}

void
ha_txn_delete(HaTxn *txn, const char *key)
{
	add_op(txn, txn->success, &txn->nsuccess, HA_OP_DELETE, key);
}

void
ha_txn_delete_all(HaTxn *txn, int64_t since)
{
	if (since != 0)
		ha_txn_compare(txn, HA_UNCHANGED_SINCE, "", since);
	add_op(txn, txn->success, &txn->nsuccess, HA_OP_DELETE_ALL, "");
}

void
ha_txn_else_get(HaTxn *txn, const char *key)
{
	add_op(txn, txn->failure, &txn->nfailure, HA_OP_GET, key);
}

bool
ha_txn_overflowed(const HaTxn *txn)
{
	return txn->ncompares > HA_MAX_COMPARES;
}

static void
free_ops(HaOp *ops, int *nops)
{
	for (int i = 0; i < *nops; i++)
		free(ops[i].value);
	memset(ops, 0, sizeof(*ops) * HA_MAX_OPS);
	*nops = 0;
}

void
ha_dcs_request_free(HaRequest *request)
{
	free_ops(request->txn.success, &request->txn.nsuccess);
	free_ops(request->txn.failure, &request->txn.nfailure);
}

void
ha_dcs_answer_free(HaAnswer *answer)
{
	for (int i = 0; i < answer->nkvs; i++)
		free(answer->kvs[i].value);
	free(answer->kvs);
	answer->kvs = NULL;
	answer->nkvs = 0;
	free(answer->voters);
	answer->voters = NULL;
	answer->nvoters = 0;
}

const char *
ha_endpoint_state_name(HaEndpointState state)
{
	switch (state)
	{
		case HA_ENDPOINT_NOT_ASKED:
			return "not asked";
		case HA_ENDPOINT_OK:
			return "ok";
		case HA_ENDPOINT_NO_HOST:
			return "host not found";
		case HA_ENDPOINT_REFUSED:
			return "refused";
		case HA_ENDPOINT_UNREACHABLE:
			return "unreachable";
		case HA_ENDPOINT_TIMEOUT:
			return "timeout";
		case HA_ENDPOINT_TLS:
			return "tls";
		case HA_ENDPOINT_AUTH:
			return "auth";
		case HA_ENDPOINT_NO_QUORUM:
			return "no quorum";
		case HA_ENDPOINT_STRANGER:
			return "another cluster";
		case HA_ENDPOINT_ERROR:
			return "error";
	}
	return "";
}
