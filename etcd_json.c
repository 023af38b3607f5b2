/*-------------------------------------------------------------------------
 *
 * etcd_json.c
 *	  Requests as etcd's JSON gateway wants them, and its answers as dcs.h
 *	  gives them.
 *
 * Plain C and jansson; no network, no clock.  Keys and values travel as
 * base64, 64-bit numbers as decimal strings, and fields that are zero, empty
 * or false are left out of answers.
 *
 * The answers come from the network, so nothing in them is believed before it
 * is checked.  The line that matters is between "refused" and "no idea": an
 * answer is HA_DCS_REFUSED only if it is a well-formed error with a code that
 * etcd gives before it changes anything; whatever else does not read as it
 * should is HA_DCS_UNKNOWN, since the request behind it may have been carried
 * out.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dcs_etcd.h"
#include "json_build.h"
#include "json_guard.h"

/* A lease that outlives a day is a garbled answer: nobody asks for one. */
#define HA_MAX_LEASE_SECONDS	86400

/* Prefix and relative key together. */
#define HA_FULL_KEY_SIZE		(2 * HA_KEY_SIZE)

/* gRPC codes with which etcd refuses a request before it changes anything. */
enum
{
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
};

/*-------------------------------------------------------------------------
 * base64
 *-------------------------------------------------------------------------
 */

static const char base64_digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Returns a malloc'd string, or NULL. */
static char *
base64_encode(const char *from, size_t length)
{
	const unsigned char *in = (const unsigned char *) from;
	char	   *out = malloc((length + 2) / 3 * 4 + 1);
	char	   *p = out;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < length; i += 3)
	{
		size_t		rest = length - i;
		uint32_t	bits = (uint32_t) in[i] << 16;

		if (rest > 1)
			bits |= (uint32_t) in[i + 1] << 8;
		if (rest > 2)
			bits |= in[i + 2];

		*p++ = base64_digits[bits >> 18];
		*p++ = base64_digits[(bits >> 12) & 63];
		*p++ = rest > 1 ? base64_digits[(bits >> 6) & 63] : '=';
		*p++ = rest > 2 ? base64_digits[bits & 63] : '=';
	}
	*p = '\0';
	return out;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return -1;
}

/*
 * Decode strictly: standard digits, padding required and only at the end.
 * Returns a malloc'd buffer with a NUL behind it, or NULL.
 */
static char *
base64_decode(const char *in, size_t length, size_t *outlength)
{
	size_t		padding = 0;
	char	   *out;
	char	   *p;

	if (length % 4 != 0)
		return NULL;
	while (padding < 2 && padding < length && in[length - 1 - padding] == '=')
		padding++;

	out = p = calloc(1, length / 4 * 3 + 1);
	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < length; i += 4)
	{
		uint32_t	bits = 0;

		for (size_t j = i; j < i + 4; j++)
		{
			int			value = 0;

			if (j < length - padding)
				value = base64_value(in[j]);

			if (value < 0)
			{
				free(out);
				return NULL;
			}
			bits = bits << 6 | (uint32_t) value;
		}
		*p++ = (char) (bits >> 16);
		*p++ = (char) (bits >> 8);
		*p++ = (char) bits;
	}
	*outlength = length / 4 * 3 - padding;
	out[*outlength] = '\0';
	return out;
}

/*-------------------------------------------------------------------------
 * Requests
 *
 * json_pack takes over what its "o" arguments refer to, and fails when one of
 * them is NULL, so that a failed allocation anywhere ends as one NULL at the
 * top.
 *-------------------------------------------------------------------------
 */

const char *
ha_etcd_path(HaDcsKind kind)
{
	switch (kind)
	{
		case HA_DCS_GRANT:
			return "/v3/lease/grant";
		case HA_DCS_KEEPALIVE:
			return "/v3/lease/keepalive";
		case HA_DCS_REVOKE:
			return "/v3/lease/revoke";
		case HA_DCS_TXN:
			return "/v3/kv/txn";
		case HA_DCS_RANGE:
			return "/v3/kv/range";
		case HA_DCS_WATCH:
			return "/v3/watch";
		case HA_DCS_STATUS:
			return "/v3/maintenance/status";
		case HA_DCS_MEMBERS:
			return "/v3/cluster/member/list";
	}
	return "";
}

static json_t *
number_json(int64_t number)
{
	char		text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	return json_string(text);
}

static json_t *
bytes_json(const char *bytes)
{
	char	   *encoded = base64_encode(bytes, strlen(bytes));
	json_t	   *json = encoded != NULL ? json_string(encoded) : NULL;

	free(encoded);
	return json;
}

static json_t *
key_json(const char *prefix, const char *key)
{
	char		full[HA_FULL_KEY_SIZE];
	int			length = snprintf(full, sizeof(full), "%s%s", prefix, key);

	return length < (int) sizeof(full) ? bytes_json(full) : NULL;
}

/* The first key behind all that begin with prefix and key. */
static json_t *
range_end_json(const char *prefix, const char *key)
{
	char		full[HA_FULL_KEY_SIZE];
	int			length = snprintf(full, sizeof(full), "%s%s", prefix, key);

	if (length == 0 || length >= (int) sizeof(full) ||
		(unsigned char) full[length - 1] == 0xFF)
		return NULL;
	full[length - 1]++;
	return bytes_json(full);
}

/* The one compare of many keys, and the one that is not for equality. */
static json_t *
unchanged_json(const char *prefix, const HaCompare *compare)
{
	return json_pack("{s:s,s:s,s:o,s:o,s:o}", "result", "LESS",
					 "target", "MOD", "key", key_json(prefix, compare->key),
					 "range_end", range_end_json(prefix, compare->key),
					 "mod_revision", number_json(compare->number + 1));
}

static json_t *
compare_json(const char *prefix, const HaCompare *compare)
{
	const char *target = "";
	const char *field = "";
	json_t	   *operand;

	switch (compare->target)
	{
		case HA_CREATE_REVISION:
			target = "CREATE";
			field = "create_revision";
			break;
		case HA_MOD_REVISION:
			target = "MOD";
			field = "mod_revision";
			break;
		case HA_LEASE:
			target = "LEASE";
			field = "lease";
			break;
		case HA_VALUE:
			target = "VALUE";
			field = "value";
			break;
		case HA_UNCHANGED_SINCE:
			return unchanged_json(prefix, compare);
	}
	operand = compare->target == HA_VALUE ? bytes_json(compare->value)
		: number_json(compare->number);

	return json_pack("{s:s,s:s,s:o,s:o}", "result", "EQUAL", "target", target,
					 "key", key_json(prefix, compare->key), field, operand);
}

static json_t *
op_json(const char *prefix, const HaOp *op)
{
	json_t	   *key = key_json(prefix, op->key);

	switch (op->kind)
	{
		case HA_OP_PUT:
			return json_pack("{s:{s:o,s:o,s:o}}", "request_put", "key", key,
							 "value", bytes_json(op->value),
							 "lease", number_json(op->lease));
		case HA_OP_DELETE:
			return json_pack("{s:{s:o}}", "request_delete_range", "key", key);
		case HA_OP_DELETE_ALL:
			return json_pack("{s:{s:o,s:o}}", "request_delete_range",
							 "key", key, "range_end",
							 range_end_json(prefix, op->key));
		case HA_OP_GET:
			return json_pack("{s:{s:o}}", "request_range", "key", key);
	}
	json_decref(key);
	return NULL;
}

static json_t *
ops_json(const char *prefix, const HaOp *ops, int nops)
{
	json_t	   *array = json_array();

	for (int i = 0; i < nops; i++)
	{
		if (json_array_append_new(array, op_json(prefix, &ops[i])) != 0)
		{
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
txn_json(const char *prefix, const HaTxn *txn)
{
	json_t	   *compares = json_array();

	for (int i = 0; i < txn->ncompares; i++)
	{
		json_t	   *compare = compare_json(prefix, &txn->compares[i]);

		if (json_array_append_new(compares, compare) != 0)
		{
			json_decref(compares);
			return NULL;
		}
	}
	return json_pack("{s:o,s:o,s:o}", "compare", compares,
					 "success", ops_json(prefix, txn->success, txn->nsuccess),
					 "failure", ops_json(prefix, txn->failure, txn->nfailure));
}

char *
ha_etcd_request_json(const char *prefix, const HaRequest *request)
{
	switch (request->kind)
	{
		case HA_DCS_GRANT:
			/* Rounded up: it must not end before its holder expects it. */
			if (request->ttl <= 0 ||
				request->ttl > HA_MAX_LEASE_SECONDS * INT64_C(1000))
				return NULL;
			return dump(json_pack("{s:o}", "TTL",
								  number_json((request->ttl + 999) / 1000)));
		case HA_DCS_KEEPALIVE:
		case HA_DCS_REVOKE:
			return dump(json_pack("{s:o}", "ID", number_json(request->lease)));
		case HA_DCS_TXN:
			if (ha_txn_overflowed(&request->txn))
				return NULL;
			return dump(txn_json(prefix, &request->txn));
		case HA_DCS_RANGE:
			/* Never "serializable": such a read may be arbitrarily old. */
			return dump(json_pack("{s:o,s:o}", "key", key_json(prefix, ""),
								  "range_end", range_end_json(prefix, "")));
		case HA_DCS_WATCH:
			return dump(json_pack("{s:{s:o,s:o,s:o}}", "create_request",
								  "key", key_json(prefix, request->key),
								  "range_end",
								  range_end_json(prefix, request->key),
								  "start_revision",
								  number_json(request->start_revision)));
		case HA_DCS_STATUS:
		case HA_DCS_MEMBERS:

			/*
			 * Not "linearizable": the list is wanted most when there is no
			 * quorum.
			 */
			return dump(json_pack("{}"));
	}
	return NULL;
}

char *
ha_etcd_auth_json(const char *user, const char *password)
{
	return dump(json_pack("{s:s,s:s}", "name", user, "password", password));
}

/*-------------------------------------------------------------------------
 * Answers: leaves
 *
 * The readers below return false for a value that is there but is not what it
 * must be.  What is absent is zero, as the gateway means it.
 *-------------------------------------------------------------------------
 */

/* Fill answer->error with printable ASCII, since it goes to logs. */
__attribute__((format(printf, 3, 4)))
static void
set_trouble(HaAnswer *answer, HaDcsStatus status, const char *format,...)
{
	va_list		args;

	answer->status = status;
	va_start(args, format);
	vsnprintf(answer->error, sizeof(answer->error), format, args);
	va_end(args);
	for (char *p = answer->error; *p != '\0'; p++)
	{
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

static bool
read_uint64(json_t *object, const char *name, uint64_t *out)
{
	json_t	   *value = json_object_get(object, name);
	const char *text;
	char	   *end;

	*out = 0;
	if (value == NULL)
		return true;
	if (json_is_integer(value))
	{
		*out = (uint64_t) json_integer_value(value);
		return json_integer_value(value) >= 0;
	}
	if (!json_is_string(value))
		return false;

	/* strtoull would take blanks and signs. */
	text = json_string_value(value);
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* Revisions, terms, lease ids: none of them is ever negative. */
static bool
read_int64(json_t *object, const char *name, int64_t *out)
{
	uint64_t	value;

	*out = 0;
	if (!read_uint64(object, name, &value) || value > INT64_MAX)
		return false;
	*out = (int64_t) value;
	return true;
}

static bool
read_bool(json_t *object, const char *name, bool *out)
{
	json_t	   *value = json_object_get(object, name);

	*out = json_is_true(value);
	return value == NULL || json_is_boolean(value);
}

/* Decode a base64 member.  Absent is the empty string. */
static char *
read_bytes(json_t *object, const char *name, size_t *length)
{
	json_t	   *value = json_object_get(object, name);

	if (value == NULL)
		return base64_decode("", 0, length);
	if (!json_is_string(value))
		return NULL;
	return base64_decode(json_string_value(value), json_string_length(value),
						 length);
}

/* Every answer says which cluster gave it, and when in its history. */
static bool
read_header(json_t *object, HaAnswer *answer)
{
	json_t	   *header = json_object_get(object, "header");

	return json_is_object(header) &&
		read_uint64(header, "cluster_id", &answer->cluster_id) &&
		answer->cluster_id != 0 &&
		read_uint64(header, "member_id", &answer->member_id) &&
		read_int64(header, "raft_term", &answer->raft_term) &&
		read_int64(header, "revision", &answer->revision);
}

/*
 * Lease id and granted time.  A renewal of a dead lease is answered with 200
 * and no TTL at all, or one that is not positive.
 */
static bool
read_lease(json_t *object, HaAnswer *answer)
{
	json_t	   *ttl = json_object_get(object, "TTL");
	const char *text = json_string_value(ttl);
	int64_t		seconds;

	if (!read_int64(object, "ID", &answer->lease) || answer->lease == 0)
		return false;
	if (text != NULL && text[0] == '-')
		seconds = 0;
	else if (json_is_integer(ttl) && json_integer_value(ttl) < 0)
		seconds = 0;
	else if (!read_int64(object, "TTL", &seconds) ||
			 seconds > HA_MAX_LEASE_SECONDS)
		return false;
	answer->ttl = seconds * 1000;
	return true;
}

/*
 * Copy the part of a full key behind the prefix.  Keys that are too long for
 * us or hold anything but printable ASCII are none of ours: *skip.  A key
 * without the prefix was not asked for: false.
 */
static bool
read_key(json_t *object, const char *prefix, HaKv *kv, bool *skip)
{
	size_t		prefix_length = strlen(prefix);
	size_t		length;
	char	   *full = read_bytes(object, "key", &length);
	bool		ok;

	*skip = false;
	ok = full != NULL && length >= prefix_length &&
		memcmp(full, prefix, prefix_length) == 0;
	if (ok)
	{
		*skip = length - prefix_length >= sizeof(kv->key);
		for (size_t i = prefix_length; i < length; i++)
			*skip = *skip || full[i] < ' ' || full[i] > '~';
		if (!*skip)
			memcpy(kv->key, full + prefix_length, length - prefix_length + 1);
	}
	free(full);
	return ok;
}

/* A value that is too long is handed on as an empty one. */
static bool
read_value(json_t *object, HaKv *kv)
{
	kv->value = read_bytes(object, "value", &kv->length);
	if (kv->value != NULL && kv->length > HA_MAX_VALUE)
	{
		kv->value[0] = '\0';
		kv->length = 0;
	}
	return kv->value != NULL;
}

/* Append one key to answer->kvs, which has room for it. */
static bool
read_kv(json_t *object, const char *prefix, bool deleted, HaAnswer *answer)
{
	HaKv	   *kv = &answer->kvs[answer->nkvs];
	bool		skip;

	memset(kv, 0, sizeof(*kv));
	kv->deleted = deleted;
	if (!json_is_object(object) ||
		!read_key(object, prefix, kv, &skip) ||
		!read_int64(object, "create_revision", &kv->create_revision) ||
		!read_int64(object, "mod_revision", &kv->mod_revision) ||
		!read_int64(object, "lease", &kv->lease) ||
		kv->mod_revision == 0)
		return false;
	if (skip)
		return true;
	if (!deleted && !read_value(object, kv))
		return false;
	answer->nkvs++;
	return true;
}

/* Make room for "more" keys behind those already there. */
static bool
reserve_kvs(HaAnswer *answer, size_t more)
{
	size_t		all = (size_t) answer->nkvs + more;
	HaKv	   *kvs;

	if (more == 0)
		return true;
	kvs = realloc(answer->kvs, all * sizeof(HaKv));
	if (kvs == NULL)
		return false;
	answer->kvs = kvs;
	return true;
}

/*-------------------------------------------------------------------------
 * Answers: one function for each kind
 *-------------------------------------------------------------------------
 */

static bool
read_range(json_t *object, const char *prefix, HaAnswer *answer)
{
	json_t	   *kvs = json_object_get(object, "kvs");
	json_t	   *kv;
	size_t		i;
	int64_t		count;
	bool		more;

	/* A part of the cluster must not pass for the whole. */
	if (!json_is_object(object) ||
		!read_bool(object, "more", &more) || more ||
		!read_int64(object, "count", &count) ||
		(kvs != NULL && !json_is_array(kvs)) ||
		count != (int64_t) json_array_size(kvs) ||
		!reserve_kvs(answer, json_array_size(kvs)))
		return false;
	json_array_foreach(kvs, i, kv)
	{
		if (!read_kv(kv, prefix, false, answer))
			return false;
	}
	return true;
}

static bool
read_txn(json_t *root, const char *prefix, HaAnswer *answer)
{
	json_t	   *responses = json_object_get(root, "responses");
	json_t	   *response;
	size_t		i;

	if (!read_bool(root, "succeeded", &answer->succeeded) ||
		(responses != NULL && !json_is_array(responses)))
		return false;
	json_array_foreach(responses, i, response)
	{
		json_t	   *range = json_object_get(response, "response_range");

		if (!json_is_object(response) ||
			(range != NULL && !read_range(range, prefix, answer)))
			return false;
	}
	return true;
}

static bool
read_events(json_t *result, const char *prefix, HaAnswer *answer)
{
	json_t	   *events = json_object_get(result, "events");
	json_t	   *event;
	size_t		i;

	if ((events != NULL && !json_is_array(events)) ||
		!reserve_kvs(answer, json_array_size(events)))
		return false;
	json_array_foreach(events, i, event)
	{
		json_t	   *type = json_object_get(event, "type");
		bool		deleted = false;

		/* PUT is 0 and thus left out. */
		if (type != NULL)
		{
			const char *word = json_string_value(type);

			deleted = word != NULL && strcmp(word, "DELETE") == 0;
			if (!deleted && (word == NULL || strcmp(word, "PUT") != 0))
				return false;
		}
		if (!read_kv(json_object_get(event, "kv"), prefix, deleted, answer))
			return false;
	}
	return true;
}

/* Would a new token help?  etcd says so in several ways. */
static bool
is_token_trouble(int code, const char *message)
{
	return code == HA_GRPC_UNAUTHENTICATED ||
		strstr(message, "user name is empty") != NULL ||
		strstr(message, "invalid auth token") != NULL ||
		strstr(message, "revision of auth store is old") != NULL;
}

/*
 * A cancelled watch stays open, but nothing more will come from it.  A watch
 * without a valid token is cancelled as "permission denied" by etcd 3.4, so
 * that a new token is worth a try there too.
 */
static int
read_cancel(json_t *result, int64_t compact_revision, HaAnswer *answer)
{
	const char *reason;

	reason = json_string_value(json_object_get(result, "cancel_reason"));
	if (reason == NULL)
		reason = "no reason given";

	answer->compacted = compact_revision > 0;
	if (answer->compacted)
		set_trouble(answer, HA_DCS_UNKNOWN,
					"watch cancelled: compacted up to revision %" PRId64,
					compact_revision);
	else
		set_trouble(answer, HA_DCS_UNKNOWN, "watch cancelled: %s", reason);

	if (is_token_trouble(0, reason) ||
		strstr(reason, "permission denied") != NULL)
		return HA_GRPC_UNAUTHENTICATED;
	return HA_GRPC_UNKNOWN;
}

static bool
read_watch(json_t *result, const char *prefix, HaAnswer *answer, int *code)
{
	int64_t		compact_revision;
	bool		canceled;

	if (!read_bool(result, "canceled", &canceled) ||
		!read_int64(result, "compact_revision", &compact_revision))
		return false;
	if (canceled || compact_revision > 0)
	{
		*code = read_cancel(result, compact_revision, answer);
		return true;
	}
	return read_events(result, prefix, answer);
}

/* Copy a short text, of which only printable ASCII is shown to anybody. */
static bool
read_text(json_t *object, const char *name, char *to, size_t size)
{
	json_t	   *value = json_object_get(object, name);

	snprintf(to, size, "%s", value != NULL && json_is_string(value) ?
			 json_string_value(value) : "");
	for (char *p = to; *p != '\0'; p++)
	{
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	return value == NULL || json_is_string(value);
}

static bool
read_status(json_t *root, HaAnswer *answer)
{
	return read_uint64(root, "leader", &answer->leader_id) &&
		read_text(root, "version", answer->version, sizeof(answer->version));
}

static bool
read_voters(json_t *root, HaAnswer *answer)
{
	json_t	   *members = json_object_get(root, "members");
	size_t		n = json_array_size(members);

	if (n == 0 || n > HA_MAX_VOTERS)
		return false;
	answer->voters = calloc(n, sizeof(HaVoter));
	if (answer->voters == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		json_t	   *member = json_array_get(members, i);
		HaVoter    *voter = &answer->voters[answer->nvoters++];

		if (!json_is_object(member) ||
			!read_uint64(member, "ID", &voter->id) || voter->id == 0 ||
			!read_text(member, "name", voter->name, sizeof(voter->name)) ||
			!read_bool(member, "isLearner", &voter->learner))
			return false;
	}
	return true;
}

static bool
read_result(json_t *root, const char *prefix, HaAnswer *answer, int *code)
{
	/* What streams, wraps each message. */
	if (answer->kind == HA_DCS_KEEPALIVE || answer->kind == HA_DCS_WATCH)
		root = json_object_get(root, "result");

	if (!json_is_object(root) || !read_header(root, answer))
		return false;

	switch (answer->kind)
	{
		case HA_DCS_GRANT:
			return read_lease(root, answer) && answer->ttl > 0;
		case HA_DCS_KEEPALIVE:
			return read_lease(root, answer);
		case HA_DCS_REVOKE:
			return true;
		case HA_DCS_TXN:
			return read_txn(root, prefix, answer);
		case HA_DCS_RANGE:
			return read_range(root, prefix, answer);
		case HA_DCS_WATCH:
			return read_watch(root, prefix, answer, code);
		case HA_DCS_STATUS:
			return read_status(root, answer);
		case HA_DCS_MEMBERS:
			return read_voters(root, answer);
	}
	return false;
}

static bool
is_definite(int code)
{
	switch (code)
	{
		case GRPC_INVALID_ARGUMENT:
		case GRPC_NOT_FOUND:
		case GRPC_ALREADY_EXISTS:
		case GRPC_PERMISSION_DENIED:
		case GRPC_RESOURCE_EXHAUSTED:
		case GRPC_OUT_OF_RANGE:
		case GRPC_UNIMPLEMENTED:
		case HA_GRPC_UNAUTHENTICATED:
			return true;
		default:
			/* unavailable, deadline exceeded, internal, "no leader", ... */
			return false;
	}
}

/*
 * {"error":"...","code":N,"message":"..."} where an answer was due; in a
 * stream {"error":{"grpc_code":N,"message":"..."}}, with status 200 if the
 * stream had begun.  Returns the gRPC code.
 */
static int
read_error(json_t *root, long http_status, HaAnswer *answer)
{
	json_t	   *error = json_object_get(root, "error");
	json_t	   *source = json_is_object(error) ? error : root;
	json_t	   *code_json = json_object_get(source, "code");
	const char *message;
	json_int_t	code;
	bool		streams;

	if (code_json == NULL)
		code_json = json_object_get(source, "grpc_code");
	message = json_string_value(json_object_get(source, "message"));
	if (message == NULL)
		message = json_string_value(error);
	code = json_integer_value(code_json);

	streams = answer->kind == HA_DCS_KEEPALIVE || answer->kind == HA_DCS_WATCH;
	if (message == NULL || code <= 0 || code > INT_MAX ||
		(http_status == 200 && !streams))
	{
		set_trouble(answer, HA_DCS_UNKNOWN,
					"HTTP status %ld without a readable error", http_status);
		return HA_GRPC_UNKNOWN;
	}

	if (is_token_trouble(code, message))
		code = HA_GRPC_UNAUTHENTICATED;
	set_trouble(answer, is_definite(code) ? HA_DCS_REFUSED : HA_DCS_UNKNOWN,
				"%s (code %d)", message, (int) code);
	answer->nospace = code == GRPC_RESOURCE_EXHAUSTED &&
		strstr(message, "space exceeded") != NULL;
	return code;
}

/* Forget what was read before an answer turned out not to be readable. */
static void
reset_answer(HaAnswer *answer, HaDcsKind kind)
{
	uint32_t	tag = answer->tag;
	int64_t		sent_at = answer->sent_at;
	int			endpoint = answer->endpoint;

	memset(answer, 0, sizeof(*answer));
	answer->kind = kind;
	answer->tag = tag;
	answer->sent_at = sent_at;
	answer->endpoint = endpoint;
}

int
ha_etcd_parse_answer(HaDcsKind kind, const char *prefix, long http_status,
					 const char *body, size_t length, HaAnswer *answer)
{
	json_t	   *root = ha_json_load(body, length);
	int			code = HA_GRPC_OK;

	reset_answer(answer, kind);
	if (!json_is_object(root))
	{
		set_trouble(answer, HA_DCS_UNKNOWN,
					"HTTP status %ld with a body that is no JSON object",
					http_status);
		code = HA_GRPC_UNKNOWN;
	}
	else if (http_status != 200 || json_object_get(root, "error") != NULL)
		code = read_error(root, http_status, answer);
	else if (!read_result(root, prefix, answer, &code))
	{
		ha_dcs_answer_free(answer);
		reset_answer(answer, kind);
		set_trouble(answer, HA_DCS_UNKNOWN,
					"answer has missing or malformed fields");
		code = HA_GRPC_UNKNOWN;
	}
	json_decref(root);
	return code;
}

/* A token travels in an HTTP header, so it must not hold what ends one. */
static bool
is_token(const char *token, size_t size)
{
	size_t		length = strlen(token);

	if (length == 0 || length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	}
	return true;
}

bool
ha_etcd_parse_token(long http_status, const char *body, size_t length,
					char *token, size_t size, HaAnswer *answer)
{
	json_t	   *root = ha_json_load(body, length);
	const char *text = json_string_value(json_object_get(root, "token"));
	bool		ok = false;

	token[0] = '\0';
	if (http_status == 200 && text != NULL && is_token(text, size))
	{
		memcpy(token, text, strlen(text) + 1);
		ok = true;
	}
	else if (!json_is_object(root) || http_status == 200)
		set_trouble(answer, HA_DCS_UNKNOWN,
					"HTTP status %ld without a readable token", http_status);
	else
	{
		read_error(root, http_status, answer);
		ok = strstr(answer->error, "authentication is not enabled") != NULL;
	}
	json_decref(root);
	return ok;
}
