/*-------------------------------------------------------------------------
 *
 * dcs_etcd.c
 *	  dcs.h over etcd v3, by HTTP.
 *
 * Plain C and libcurl.  Nothing here waits, logs or exits: all sockets are in
 * one epoll descriptor, which the caller waits for, and every outcome is an
 * answer.
 *
 * A request is sent once.  When it fails, nobody knows whether etcd carried it
 * out; sending it again could make the second attempt of a txn fail its own
 * guards and report "not done" for what the first one did.  So a failure is
 * HA_DCS_UNKNOWN, and moves the *next* request to another endpoint; what to do
 * about it is the caller's to decide.  Two traps on the way there:
 *
 * - curl itself repeats a request on a fresh connection if a reused one is
 *	 closed before any answer came.  on_rewind forbids it.
 * - A token that etcd does not accept (any more) is a definite refusal, and
 *	 the only case in which a request goes out again, with a new token.
 *
 * Of two answers the later one may have been given by a member that is behind,
 * or by another cluster altogether after a mishap.  Each transfer remembers
 * what had been seen when it was sent, and its answer must not be older than
 * that.  No healthy etcd answers a linearizable request from before that, so
 * an endpoint that does is a stranger from then on, even if its revisions
 * should catch up.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "curl_guard.h"
#include "dcs_etcd.h"
#include "endpoint.h"
#include "fail.h"
#include "secret.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or later is needed, for CURLOPT_QUICK_EXIT"
#endif

#define HA_MAX_IN_FLIGHT	64
#define HA_PREFIX_SIZE		HA_KEY_SIZE

/* Longest body of an answer that may hold values, and of any other. */
#define HA_MAX_BODY			(1024 * 1024)
#define HA_MAX_SMALL_BODY	(64 * 1024)

/* A watch has no time limit, but must connect within one. */
#define HA_WATCH_CONNECT_MS 3000

/* No request may take longer than that, whatever its sender says. */
#define HA_MAX_TIMEOUT_MS	3600000

/* An answer on its way to ha_dcs_next. */
typedef struct QueuedAnswer
{
	struct QueuedAnswer *next;
	HaAnswer	answer;
} QueuedAnswer;

/*
 * One request, from ha_dcs_send to its (last) answer.  It is parked, with easy
 * NULL, while a token is awaited.
 */
typedef struct Transfer
{
	struct Transfer *next;
	HaDcs	   *dcs;
	HaDcsKind	kind;			/* meaningless if is_auth */
	bool		is_auth;		/* asks for a token, has no caller */
	int64_t		lease;			/* KEEPALIVE: the one that must be answered */
	int64_t		deadline;		/* of dcs->now; INT64_MAX for watches */
	int64_t		timeout;		/* so long after it was made */
	int			endpoint;		/* of a probe: chosen by the caller */
	CURL	   *easy;
	struct curl_slist *headers;
	char		curl_error[CURL_ERROR_SIZE];

	char	   *body;			/* to send, and how much curl has taken */
	size_t		body_length;
	size_t		body_taken;

	char	   *in;				/* received; of a watch: since the newline */
	size_t		in_length;
	size_t		in_size;
	bool		too_long;

	/* What had been seen when it was sent. */
	int64_t		raft_term_floor;
	int64_t		revision_floor;

	unsigned	token_serial;	/* the token it was sent with */
	bool		reauthenticated;	/* it was sent again with a new one */

	/*
	 * The last answer, allocated beforehand so that there always is one.  A
	 * watch that was ended by what it received has it filled in already.
	 */
	QueuedAnswer *last;
	bool		ended;
	int			ended_code;
} Transfer;

struct HaDcs
{
	int64_t		(*now) (void);
	int			nendpoints;
	HaEndpoint	endpoints[HA_MAX_ENDPOINTS];
	int			preferred;		/* where the next request goes */
	unsigned	abandoned;		/* bit set of endpoints: watches there are to
								 * be ended */
	unsigned	strangers;		/* bit set of endpoints that tell another
								 * history than the one we know */
	char		prefix[HA_PREFIX_SIZE]; /* "/NAMESPACE/SCOPE/" */
	char	   *cacert;
	char	   *cert;
	char	   *key;

	char	   *user;			/* NULL = no authentication */
	char		password[HA_SECRET_SIZE];
	bool		have_token;
	char		token[HA_ETCD_TOKEN_SIZE];	/* "" = none needed after all */
	unsigned	token_serial;

	CURLM	   *multi;
	int			epoll_fd;
	int64_t		timer_at;		/* when curl wants to be called; 0 = never */

	Transfer   *transfers;
	int			ntransfers;
	QueuedAnswer *first;
	QueuedAnswer **tail;

	/* The latest state of the cluster that any answer told. */
	HaDcsMark	seen;

	char		trouble[HA_ERROR_SIZE];
};

/*-------------------------------------------------------------------------
 * Answers
 *-------------------------------------------------------------------------
 */

static void
enqueue(HaDcs *dcs, QueuedAnswer *queued)
{
	queued->next = NULL;
	*dcs->tail = queued;
	dcs->tail = &queued->next;
}

/* Turn an answer into one that tells nothing but its trouble. */
__attribute__((format(printf, 2, 3)))
static void
make_unknown(HaAnswer *answer, const char *format,...)
{
	HaAnswer	old = *answer;
	va_list		args;

	ha_dcs_answer_free(answer);
	memset(answer, 0, sizeof(*answer));
	answer->kind = old.kind;
	answer->tag = old.tag;
	answer->sent_at = old.sent_at;
	answer->endpoint = old.endpoint;
	answer->status = HA_DCS_UNKNOWN;
	va_start(args, format);
	vsnprintf(answer->error, sizeof(answer->error), format, args);
	va_end(args);

	/* curl quotes certificates in its messages; they go to logs. */
	for (char *p = answer->error; *p != '\0'; p++)
	{
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

/* Asks about an endpoint, and not through one about the cluster. */
static bool
is_probe(const Transfer *t)
{
	return !t->is_auth &&
		(t->kind == HA_DCS_STATUS || t->kind == HA_DCS_MEMBERS);
}

/*
 * May a good answer be believed?  It must come from the cluster that we have
 * always talked to, and from a member that is not behind what had been seen
 * when the request was sent.  The revisions of lease operations and watches
 * are local to the member and may lag, so only reads and txns are held to
 * that.
 */
static void
check_origin(HaDcs *dcs, const Transfer *t, HaAnswer *answer)
{
	HaDcsMark  *seen = &dcs->seen;
	bool		linearizable = t->kind == HA_DCS_RANGE ||
	t->kind == HA_DCS_TXN;
	bool		stranger = linearizable;

	if (answer->status != HA_DCS_OK || is_probe(t))
		return;
	if (seen->cluster_id == 0)
		seen->cluster_id = answer->cluster_id;

	if (answer->cluster_id != seen->cluster_id)
	{
		stranger = true;
		make_unknown(answer, "etcd cluster id changed from %" PRIx64
					 " to %" PRIx64, seen->cluster_id, answer->cluster_id);
	}
	else if (answer->raft_term < t->raft_term_floor)
		make_unknown(answer, "stale member: raft term %" PRId64
					 " after %" PRId64, answer->raft_term, t->raft_term_floor);
	else if (linearizable && answer->revision < t->revision_floor)
		make_unknown(answer, "stale member: revision %" PRId64
					 " after %" PRId64, answer->revision, t->revision_floor);
	else
	{
		stranger = false;
		if (t->kind == HA_DCS_KEEPALIVE && answer->lease != t->lease)
			make_unknown(answer, "answer is about another lease");
	}

	if (stranger)
		dcs->strangers |= 1u << t->endpoint;
	if (answer->status != HA_DCS_OK)
		return;
	if (answer->raft_term > seen->raft_term)
		seen->raft_term = answer->raft_term;
	if (linearizable && answer->revision > seen->revision)
		seen->revision = answer->revision;
}

/*-------------------------------------------------------------------------
 * curl's callbacks.  None of them may call curl_multi_*: they only note
 * things.
 *-------------------------------------------------------------------------
 */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	HaDcs	   *dcs = arg;

	return watch_curl_socket(dcs->epoll_fd, fd, what);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HaDcs	   *dcs = arg;

	dcs->timer_at = timeout_ms < 0 ? 0 : dcs->now() + timeout_ms;
	return 0;
}

static size_t
on_read_body(char *buffer, size_t size, size_t n, void *arg)
{
	Transfer   *t = arg;
	size_t		length = t->body_length - t->body_taken;

	if (length > size * n)
		length = size * n;
	memcpy(buffer, t->body + t->body_taken, length);
	t->body_taken += length;
	return length;
}

/*
 * curl wants to send the body once more, on another connection: only if
 * nothing of it has left before.
 */
static int
on_rewind(void *arg, curl_off_t offset, int origin)
{
	Transfer   *t = arg;

	return t->body_taken == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static bool
append(Transfer *t, const char *data, size_t length)
{
	bool		small = t->is_auth || is_probe(t) || t->kind == HA_DCS_GRANT ||
	t->kind == HA_DCS_KEEPALIVE || t->kind == HA_DCS_REVOKE;
	size_t		limit = small ? HA_MAX_SMALL_BODY : HA_MAX_BODY;

	if (length > limit - t->in_length)
	{
		t->too_long = true;
		return false;
	}
	if (t->in_length + length > t->in_size)
	{
		size_t		size = 2 * (t->in_length + length);
		char	   *in = realloc(t->in, size);

		if (in == NULL)
			return false;
		t->in = in;
		t->in_size = size;
	}
	memcpy(t->in + t->in_length, data, length);
	t->in_length += length;
	return true;
}

/* Take one line of a watch.  Returns false if it was the last. */
static bool
take_line(Transfer *t, const char *line, size_t length)
{
	HaDcs	   *dcs = t->dcs;
	QueuedAnswer *queued = calloc(1, sizeof(QueuedAnswer));
	int			code;

	if (queued == NULL)
		return false;
	queued->answer.tag = t->last->answer.tag;
	queued->answer.sent_at = t->last->answer.sent_at;
	code = ha_etcd_parse_answer(HA_DCS_WATCH, dcs->prefix, 200, line, length,
								&queued->answer);
	check_origin(dcs, t, &queued->answer);

	if (queued->answer.status != HA_DCS_OK)
	{
		free(t->last);
		t->last = queued;
		t->ended = true;
		t->ended_code = code;
		return false;
	}
	if (queued->answer.nkvs > 0)
		enqueue(dcs, queued);
	else
	{
		ha_dcs_answer_free(&queued->answer);
		free(queued);
	}
	return true;
}

static bool
take_lines(Transfer *t)
{
	char	   *start = t->in;
	char	   *end = t->in + t->in_length;
	char	   *newline;

	while ((newline = memchr(start, '\n', end - start)) != NULL)
	{
		if (newline > start && !take_line(t, start, newline - start))
			return false;
		start = newline + 1;
	}
	t->in_length = end - start;
	memmove(t->in, start, t->in_length);
	return true;
}

/* Returning less than it was given makes curl end the transfer. */
static size_t
on_write_body(char *data, size_t size, size_t n, void *arg)
{
	Transfer   *t = arg;
	size_t		length = size * n;
	long		http_status = 0;

	if (length == 0)
		return 0;
	if (!append(t, data, length))
		return 0;
	if (t->kind == HA_DCS_WATCH && !t->is_auth)
	{
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status);
		if (http_status == 200 && !take_lines(t))
			return 0;
	}
	return length;
}

/*-------------------------------------------------------------------------
 * Transfers
 *-------------------------------------------------------------------------
 */

static void
free_secret(char *text, size_t length)
{
	if (text != NULL)
		explicit_bzero(text, length);
	free(text);
}

/* Take a transfer off the network, whatever state it is in. */
static void
detach(Transfer *t)
{
	if (t->easy != NULL)
	{
		curl_multi_remove_handle(t->dcs->multi, t->easy);
		curl_easy_cleanup(t->easy);
		t->easy = NULL;
	}
	for (struct curl_slist *h = t->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	free_secret(t->in, t->in_size);
	t->in = NULL;
	t->in_length = t->in_size = t->body_taken = 0;
}

static void
free_transfer(Transfer *t)
{
	HaDcs	   *dcs = t->dcs;

	for (Transfer **link = &dcs->transfers; *link != NULL;
		 link = &(*link)->next)
	{
		if (*link == t)
		{
			*link = t->next;
			dcs->ntransfers--;
			break;
		}
	}
	detach(t);
	free_secret(t->body, t->body_length);
	if (t->last != NULL)
		ha_dcs_answer_free(&t->last->answer);
	free(t->last);
	free(t);
}

/* Takes body over. */
static Transfer *
new_transfer(HaDcs *dcs, char *body, int64_t deadline)
{
	Transfer   *t = calloc(1, sizeof(Transfer));
	QueuedAnswer *last = calloc(1, sizeof(QueuedAnswer));

	if (t == NULL || last == NULL || body == NULL)
	{
		free(t);
		free(last);
		free(body);
		return NULL;
	}
	t->dcs = dcs;
	t->body = body;
	t->body_length = strlen(body);
	t->deadline = deadline;
	t->timeout = deadline - dcs->now();
	t->last = last;
	t->next = dcs->transfers;
	dcs->transfers = t;
	dcs->ntransfers++;
	return t;
}

static bool
add_header(Transfer *t, const char *header)
{
	struct curl_slist *headers = curl_slist_append(t->headers, header);

	if (headers != NULL)
		t->headers = headers;
	return headers != NULL;
}

static bool
add_headers(Transfer *t)
{
	static const char authorization[] = "Authorization: ";
	char		header[sizeof(authorization) + HA_ETCD_TOKEN_SIZE];
	bool		ok;

	/* "Expect:" keeps curl from asking for leave to send a long body. */
	ok = add_header(t, "Content-Type: application/json") &&
		add_header(t, "Expect:");
	if (ok && !t->is_auth && t->dcs->token[0] != '\0')
	{
		snprintf(header, sizeof(header), "%s%s", authorization, t->dcs->token);
		ok = add_header(t, header);
		explicit_bzero(header, sizeof(header));
	}
	return ok;
}

/*
 * HTTP/1.1 even where HTTP/2 is to be had: with it a connection carries one
 * request, and a timeout closes the connection, so that nothing else is sent
 * into a silent one.
 */
static CURLcode
set_network(CURL *easy, long timeout_ms, long connect_ms)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);	/* never join a resolver that hangs */
	SET(CURLOPT_TIMEOUT_MS, timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_curl_socket);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 5L);
	SET(CURLOPT_TCP_KEEPINTVL, 2L);
	return rc;
}

static CURLcode
set_request(Transfer *t, CURL *easy, const char *path)
{
	CURLcode	rc = CURLE_OK;
	char		url[HA_ENDPOINT_SIZE + 64];

	snprintf(url, sizeof(url), "%s%s", t->dcs->endpoints[t->endpoint].url, path);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->body_length);
	SET(CURLOPT_READFUNCTION, on_read_body);
	SET(CURLOPT_READDATA, t);
	SET(CURLOPT_SEEKFUNCTION, on_rewind);
	SET(CURLOPT_SEEKDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_write_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HTTPHEADER, t->headers);
	SET(CURLOPT_ERRORBUFFER, t->curl_error);
	SET(CURLOPT_PRIVATE, t);
	if (is_probe(t))
	{
		/* A rare question shall not keep a connection open in etcd. */
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return rc;
}

static CURLcode
set_options(Transfer *t, CURL *easy)
{
	const char *path = t->is_auth ? "/v3/auth/authenticate"
	: ha_etcd_path(t->kind);
	CURLcode	rc = secure_etcd(easy, t->dcs->cacert, t->dcs->cert,
								 t->dcs->key);
	long		timeout_ms = 0; /* curl: no limit */
	long		connect_ms = HA_WATCH_CONNECT_MS;

	if (t->deadline != INT64_MAX)
	{
		int64_t		left = t->deadline - t->dcs->now();

		timeout_ms = left < 1 ? 1 : (long) left;
		connect_ms = timeout_ms;
	}
	if (rc == CURLE_OK)
		rc = set_network(easy, timeout_ms, connect_ms);
	if (rc == CURLE_OK)
		rc = set_request(t, easy, path);
	return rc;
}

/* Hand a transfer to curl.  Returns false if that can't be done. */
static bool
launch(Transfer *t)
{
	HaDcs	   *dcs = t->dcs;
	HaAnswer   *answer = &t->last->answer;
	CURL	   *easy = curl_easy_init();

	if (!is_probe(t))
		t->endpoint = dcs->preferred;
	t->token_serial = dcs->token_serial;
	if (easy == NULL || !add_headers(t) || set_options(t, easy) != CURLE_OK)
	{
		curl_easy_cleanup(easy);
		return false;
	}

	/*
	 * What is told about the request's time must hold for its first sending
	 * too, if this is the second.
	 */
	if (answer->sent_at == 0)
	{
		t->raft_term_floor = dcs->seen.raft_term;
		t->revision_floor = dcs->seen.revision;
		answer->sent_at = dcs->now();
	}
	if (curl_multi_add_handle(dcs->multi, easy) != CURLM_OK)
	{
		curl_easy_cleanup(easy);
		return false;
	}
	t->easy = easy;
	return true;
}

/* Is there an endpoint to ask?  Strangers are passed over. */
static bool
choose_endpoint(HaDcs *dcs)
{
	for (int i = 0; i < dcs->nendpoints; i++)
	{
		if ((dcs->strangers & (1u << dcs->preferred)) == 0)
			return true;
		dcs->preferred = (dcs->preferred + 1) % dcs->nendpoints;
	}
	return false;
}

/*-------------------------------------------------------------------------
 * What is known of the endpoints, for people
 *-------------------------------------------------------------------------
 */

static void
note_failure(HaEndpoint *e, HaEndpointState state, const char *error,
			 int64_t now)
{
	e->state = state;
	e->failed_at = now;
	snprintf(e->error, sizeof(e->error), "%.150s", error);
}

static void
note_answer(HaDcs *dcs, HaEndpoint *e, const HaAnswer *answer)
{
	int64_t		now = dcs->now();

	if (answer->member_id != 0)
		e->member_id = answer->member_id;
	if (answer->kind == HA_DCS_STATUS && answer->status == HA_DCS_OK)
	{
		e->leader_id = answer->leader_id;
		e->leader_term = answer->raft_term;
		memcpy(e->version, answer->version, sizeof(e->version));
		if (answer->cluster_id != dcs->seen.cluster_id &&
			dcs->seen.cluster_id != 0)
		{
			note_failure(e, HA_ENDPOINT_STRANGER,
						 "belongs to another etcd cluster", now);
			return;
		}
		if (answer->leader_id == 0)
		{
			note_failure(e, HA_ENDPOINT_NO_QUORUM,
						 "etcd has no leader (quorum lost)", now);
			return;
		}
	}
	else if (answer->kind == HA_DCS_MEMBERS ||
			 (e->state == HA_ENDPOINT_NO_QUORUM &&
			  answer->kind == HA_DCS_KEEPALIVE))
		return;					/* that it may know without a quorum */
	e->state = HA_ENDPOINT_OK;
	e->ok_at = now;
	e->latency = now - answer->sent_at;
}

/*
 * How did this request, which has ended, find its endpoint?  "code" is etcd's; a
 * definite refusal of anything but ourselves is a good answer.
 */
static void
note_outcome(Transfer *t, CURLcode rc, long http_status, int code)
{
	HaDcs	   *dcs = t->dcs;
	HaEndpoint *e = &dcs->endpoints[t->endpoint];
	HaAnswer   *answer = &t->last->answer;
	HaEndpointAccess access = {dcs->user != NULL ? dcs->user : "", dcs->prefix};
	HaEndpointState state;
	char		why[HA_WHY_SIZE];

	if (t->ended || t->kind == HA_DCS_WATCH)
		return;					/* others will tell */
	if (code == HA_GRPC_UNAUTHENTICATED && !t->is_auth && dcs->user != NULL &&
		(is_probe(t) ? t->token_serial != dcs->token_serial :
		 !t->reauthenticated))
		return;					/* the token was just too old */
	if (dcs->strangers & (1u << t->endpoint))
	{
		note_failure(e, HA_ENDPOINT_STRANGER, answer->error, dcs->now());
		return;
	}
	if (rc != CURLE_OK)
		state = ha_explain_failure(t->easy, rc, t->curl_error, t->timeout,
								   why, sizeof(why));
	else if (answer->status == HA_DCS_OK)
	{
		note_answer(dcs, e, answer);
		return;
	}
	else if (http_status == 200)
	{
		state = HA_ENDPOINT_ERROR;
		snprintf(why, sizeof(why), "%.150s", answer->error);
	}
	else
		state = ha_explain_refusal(http_status, t->in, t->in_length, &access,
								   why, sizeof(why));
	if (code == HA_GRPC_UNAUTHENTICATED)
		state = HA_ENDPOINT_AUTH;

	/*
	 * Without a quorum requests hang or fail.  What it is that they wait for,
	 * only a question about the endpoint itself tells.
	 */
	if (e->state == HA_ENDPOINT_NO_QUORUM && !is_probe(t) &&
		(state == HA_ENDPOINT_TIMEOUT || state == HA_ENDPOINT_ERROR))
		return;
	if (state != HA_ENDPOINT_AUTH && answer->status == HA_DCS_REFUSED)
		note_answer(dcs, e, answer);
	else
		note_failure(e, state, why, dcs->now());
}

/* Move to the next endpoint, unless somebody else has already. */
static void
rotate(HaDcs *dcs, int failed)
{
	if (failed != dcs->preferred || dcs->nendpoints == 1)
		return;
	dcs->preferred = (dcs->preferred + 1) % dcs->nendpoints;
	dcs->abandoned |= 1u << failed;
}

/* Give a transfer's last answer to the caller and forget the transfer. */
static void
conclude(Transfer *t)
{
	HaDcs	   *dcs = t->dcs;
	HaAnswer   *answer = &t->last->answer;

	if (is_probe(t))
		;						/* concerns nothing else */
	else if (answer->status == HA_DCS_OK)
		dcs->trouble[0] = '\0';
	else
		snprintf(dcs->trouble, sizeof(dcs->trouble), "%s", answer->error);

	/* A compacted watch is no fault of the member that says so. */
	if (answer->status == HA_DCS_UNKNOWN && !answer->compacted && !is_probe(t))
		rotate(dcs, t->endpoint);

	enqueue(dcs, t->last);
	t->last = NULL;
	free_transfer(t);
}

/* Conclude with HA_DCS_UNKNOWN. */
static void
give_up(Transfer *t, const char *why)
{
	make_unknown(&t->last->answer, "%s", why);
	conclude(t);
}

/*-------------------------------------------------------------------------
 * Authentication
 *-------------------------------------------------------------------------
 */

static bool
is_parked(const Transfer *t)
{
	return !t->is_auth && t->easy == NULL;
}

static void
forget_token(HaDcs *dcs)
{
	dcs->have_token = false;
	explicit_bzero(dcs->token, sizeof(dcs->token));
}

/* Every request that waits for the token shares the fate of asking for it. */
static void
fail_parked(HaDcs *dcs, const HaAnswer *why, int endpoint)
{
	Transfer   *next;

	for (Transfer *t = dcs->transfers; t != NULL; t = next)
	{
		next = t->next;
		if (!is_parked(t))
			continue;
		make_unknown(&t->last->answer, "%s", why->error);
		t->last->answer.status = why->status;
		if (!is_probe(t))
			t->endpoint = endpoint;
		conclude(t);
	}
}

static void
finish_auth(Transfer *t, CURLcode rc)
{
	HaDcs	   *dcs = t->dcs;
	HaAnswer   *answer = &t->last->answer;
	long		http_status = 0;
	bool		ok = false;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status);
	if (rc == CURLE_OK)
		ok = ha_etcd_parse_token(http_status, t->in, t->in_length,
								 dcs->token, sizeof(dcs->token), answer);
	else
		make_unknown(answer, "%s", curl_easy_strerror(rc));
	if (!ok)
		note_outcome(t, rc, http_status, HA_GRPC_UNAUTHENTICATED);

	if (ok)
	{
		dcs->have_token = true;
		dcs->token_serial++;
	}
	else
	{
		char		error[HA_ERROR_SIZE];

		memcpy(error, answer->error, sizeof(error));
		snprintf(answer->error, sizeof(answer->error),
				 "could not authenticate to etcd endpoint \"%s\": %.120s",
				 dcs->endpoints[t->endpoint].url, error);
		if (answer->status == HA_DCS_UNKNOWN)
			rotate(dcs, t->endpoint);
		fail_parked(dcs, answer, t->endpoint);
	}
	free_transfer(t);
}

/* Ask for a token within the time that the most patient request has left. */
static void
start_auth(HaDcs *dcs)
{
	int64_t		latest = dcs->now() + HA_WATCH_CONNECT_MS;
	int64_t		deadline = 0;
	HaAnswer	failure = {.status = HA_DCS_UNKNOWN,
	.error = "could not start authentication"};
	Transfer   *t;

	for (t = dcs->transfers; t != NULL; t = t->next)
	{
		if (t->is_auth)
			return;
		if (is_parked(t) && t->deadline > deadline)
			deadline = t->deadline < latest ? t->deadline : latest;
	}
	t = new_transfer(dcs, ha_etcd_auth_json(dcs->user, dcs->password),
					 deadline);
	if (t != NULL)
	{
		t->is_auth = true;
		if (launch(t))
			return;
		free_transfer(t);
	}
	fail_parked(dcs, &failure, dcs->preferred);
}

/* Send what waits for a token, or see to it that there will be one. */
static void
serve_parked(HaDcs *dcs)
{
	int64_t		now = dcs->now();
	bool		waiting = false;
	Transfer   *next;

	for (Transfer *t = dcs->transfers; t != NULL; t = next)
	{
		next = t->next;
		if (!is_parked(t))
			continue;
		if (!is_probe(t) && !choose_endpoint(dcs))
			give_up(t, "etcd has gone back in time or is another cluster than before; if it was restored on purpose, restart pg_ha_boot on every node");
		else if (t->deadline <= now)
			give_up(t, "timed out while waiting for authentication");
		else if (dcs->user != NULL && !dcs->have_token)
			waiting = true;
		else if (!launch(t))
			give_up(t, "could not start the request");
	}
	if (waiting)
		start_auth(dcs);
}

/*-------------------------------------------------------------------------
 * Completion
 *-------------------------------------------------------------------------
 */

/* Why a transfer ended without a whole answer. */
static void
describe_failure(const Transfer *t, CURLcode rc, HaAnswer *answer)
{
	const char *endpoint = t->dcs->endpoints[t->endpoint].url;

	if (t->too_long)
		make_unknown(answer, "answer of etcd endpoint \"%s\" is too long",
					 endpoint);
	else if (rc == CURLE_OK)
		make_unknown(answer, "etcd endpoint \"%s\" ended the watch", endpoint);
	else if (rc == CURLE_SEND_FAIL_REWIND)
		make_unknown(answer, "etcd endpoint \"%s\" closed the connection "
					 "without an answer", endpoint);
	else
		make_unknown(answer, "could not reach etcd endpoint \"%s\": %s",
					 endpoint, t->curl_error[0] != '\0' ? t->curl_error
					 : curl_easy_strerror(rc));
}

/* Name the endpoint that an error of etcd came from. */
static void
name_endpoint(const Transfer *t, HaAnswer *answer)
{
	char		error[HA_ERROR_SIZE];

	if (answer->status == HA_DCS_OK)
		return;
	memcpy(error, answer->error, sizeof(error));
	snprintf(answer->error, sizeof(answer->error),
			 "etcd endpoint \"%.100s\": %.130s",
			 t->dcs->endpoints[t->endpoint].url, error);
}

/* Fill in the last answer of a transfer.  Returns the gRPC code. */
static int
read_outcome(Transfer *t, CURLcode rc)
{
	HaAnswer   *answer = &t->last->answer;
	long		http_status = 0;
	int			code = t->ended_code;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status);
	if (!t->ended)
	{
		if (rc != CURLE_OK || (t->kind == HA_DCS_WATCH && http_status == 200))
		{
			describe_failure(t, rc, answer);
			note_outcome(t, rc, http_status, HA_GRPC_UNKNOWN);
			return HA_GRPC_UNKNOWN;
		}
		code = ha_etcd_parse_answer(t->kind, t->dcs->prefix, http_status,
									t->in, t->in_length, answer);
		check_origin(t->dcs, t, answer);
		note_outcome(t, rc, http_status, code);
	}
	name_endpoint(t, answer);
	return code;
}

static void
finish(Transfer *t, CURLcode rc)
{
	HaDcs	   *dcs = t->dcs;

	if (t->is_auth)
	{
		finish_auth(t, rc);
		return;
	}
	if (read_outcome(t, rc) == HA_GRPC_UNAUTHENTICATED && dcs->user != NULL &&
		!is_probe(t))
	{
		/* Another request may have brought a new token in the meantime. */
		if (t->token_serial == dcs->token_serial)
			forget_token(dcs);
		if (!t->reauthenticated)
		{
			t->reauthenticated = true;
			t->ended = false;
			detach(t);
			return;				/* parked: serve_parked goes on with it */
		}
	}
	conclude(t);
}

/*
 * End the watches at an endpoint that has just failed somebody.  It may be
 * frozen with all its connections open, and then a watch there would never say
 * so.
 */
static void
end_abandoned_watches(HaDcs *dcs)
{
	unsigned	abandoned = dcs->abandoned;
	Transfer   *next;

	dcs->abandoned = 0;
	for (Transfer *t = dcs->transfers; t != NULL && abandoned != 0; t = next)
	{
		next = t->next;
		if (t->easy != NULL && !t->is_auth && t->kind == HA_DCS_WATCH &&
			(abandoned & (1u << t->endpoint)) != 0)
			give_up(t, "watch ended: its endpoint failed another request");
	}
}

/*-------------------------------------------------------------------------
 * Options
 *-------------------------------------------------------------------------
 */

/*
 * "http[s]://HOST[:PORT]", with HOST a name, an IPv4 address or an IPv6 one in
 * brackets.  No user (it would end up in messages), no path.
 */
static bool
is_endpoint(const char *url)
{
	const char *host;
	size_t		length;

	if (strncmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (strncmp(url, "https://", 8) == 0)
		host = url + 8;
	else
		return false;

	if (*host == '[')
	{
		length = strspn(host + 1, "0123456789abcdefABCDEF:.");
		if (length == 0 || host[1 + length] != ']')
			return false;
		length += 2;
	}
	else
		length = strspn(host, "abcdefghijklmnopqrstuvwxyz"
						"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	if (length == 0)
		return false;

	if (host[length] == ':')
	{
		const char *port = host + length + 1;
		size_t		digits = strspn(port, "0123456789");

		if (digits == 0 || digits > 5 || atoi(port) < 1 || atoi(port) > 65535)
			return false;
		length += 1 + digits;
	}
	return host[length] == '\0';
}

static bool
add_endpoint(HaDcs *dcs, const char *start, size_t length, char *err,
			 size_t errlen)
{
	char	   *url;

	if (dcs->nendpoints == HA_MAX_ENDPOINTS)
		return fail(err, errlen, "more than %d etcd endpoints",
					HA_MAX_ENDPOINTS);
	while (length > 0 && start[length - 1] == '/')
		length--;
	if (length >= HA_ENDPOINT_SIZE)
		return fail(err, errlen, "etcd endpoint is too long");
	url = dcs->endpoints[dcs->nendpoints++].url;
	memcpy(url, start, length);
	url[length] = '\0';
	if (!is_endpoint(url))
		return fail(err, errlen,
					"etcd endpoint \"%s\" is not of the form "
					"http[s]://host:port",
					strchr(url, '@') != NULL ? "..." : url);
	return true;
}

static bool
set_endpoints(HaDcs *dcs, const char *list, char *err, size_t errlen)
{
	static const char separators[] = ", \t\r\n";

	for (const char *p = list + strspn(list, separators); *p != '\0';
		 p += strspn(p, separators))
	{
		size_t		length = strcspn(p, separators);

		if (!add_endpoint(dcs, p, length, err, errlen))
			return false;
		p += length;
	}
	if (dcs->nendpoints == 0)
		return fail(err, errlen, "no etcd endpoint is given");
	return true;
}

/* Patroni allows slashes around, and inside, the namespace. */
static bool
set_prefix(HaDcs *dcs, const char *name_space, const char *scope, char *err,
		   size_t errlen)
{
	size_t		length;
	int			all;

	name_space += strspn(name_space, "/");
	length = strlen(name_space);
	while (length > 0 && name_space[length - 1] == '/')
		length--;
	if (scope[0] == '\0' || strchr(scope, '/') != NULL)
		return fail(err, errlen, "scope \"%s\" is not valid", scope);
	all = snprintf(dcs->prefix, sizeof(dcs->prefix), "/%.*s%s%s/",
				   (int) length, name_space, length > 0 ? "/" : "", scope);
	if (all >= (int) sizeof(dcs->prefix))
		return fail(err, errlen, "namespace and scope are too long");
	for (const char *p = dcs->prefix; *p != '\0'; p++)
	{
		if (*p <= ' ' || *p > '~')
			return fail(err, errlen, "namespace \"%s\" or scope \"%s\" holds "
						"other than printable ASCII", name_space, scope);
	}
	return true;
}

static bool
is_set(const char *option)
{
	return option != NULL && option[0] != '\0';
}

static bool
copy_file_name(char **to, const char *name, char *err, size_t errlen)
{
	if (!is_set(name))
		return true;
	if (access(name, R_OK) != 0)
		return fail(err, errlen, "could not read file \"%s\": %s", name,
					strerror(errno));
	*to = strdup(name);
	if (*to == NULL)
		return fail(err, errlen, "out of memory");
	return true;
}

static bool
set_tls(HaDcs *dcs, const HaDcsOptions *options, char *err, size_t errlen)
{
	if (is_set(options->cert) != is_set(options->key))
		return fail(err, errlen,
					"etcd client certificate and key must be given together");
	return copy_file_name(&dcs->cacert, options->cacert, err, errlen) &&
		copy_file_name(&dcs->cert, options->cert, err, errlen) &&
		copy_file_name(&dcs->key, options->key, err, errlen);
}

static bool
set_user(HaDcs *dcs, const HaDcsOptions *options, char *err, size_t errlen)
{
	if (!is_set(options->user))
		return true;
	if (!is_set(options->password_file))
		return fail(err, errlen,
					"no password file is given for etcd user \"%s\"",
					options->user);
	dcs->user = strdup(options->user);
	if (dcs->user == NULL)
		return fail(err, errlen, "out of memory");
	return ha_secret_read(options->password_file, dcs->password,
						  sizeof(dcs->password), err, errlen);
}

static bool
set_curl(HaDcs *dcs, char *err, size_t errlen)
{
	static bool initialized = false;

	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail(err, errlen, "could not initialize libcurl");
	initialized = true;

	/* Without it names are resolved in our thread, deaf to all timeouts. */
	if ((curl_version_info(CURLVERSION_NOW)->features &
		 CURL_VERSION_ASYNCHDNS) == 0)
		return fail(err, errlen,
					"libcurl was built without asynchronous name resolution");

	dcs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dcs->epoll_fd < 0)
		return fail(err, errlen, "could not create an epoll descriptor: %s",
					strerror(errno));
	dcs->multi = curl_multi_init();
	if (dcs->multi == NULL ||
		curl_multi_setopt(dcs->multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
		curl_multi_setopt(dcs->multi, CURLMOPT_SOCKETDATA, dcs) ||
		curl_multi_setopt(dcs->multi, CURLMOPT_TIMERFUNCTION, on_timer) ||
		curl_multi_setopt(dcs->multi, CURLMOPT_TIMERDATA, dcs) ||
		curl_multi_setopt(dcs->multi, CURLMOPT_MAXCONNECTS, 8L))
		return fail(err, errlen, "could not set up libcurl");
	return true;
}

/*-------------------------------------------------------------------------
 * What dcs.h promises
 *-------------------------------------------------------------------------
 */

HaDcs *
ha_dcs_open(const HaDcsOptions *options, char *err, size_t errlen)
{
	HaDcs	   *dcs = calloc(1, sizeof(HaDcs));

	if (dcs == NULL)
	{
		fail(err, errlen, "out of memory");
		return NULL;
	}
	dcs->now = options->now;
	dcs->seen = options->seen;
	dcs->epoll_fd = -1;
	dcs->tail = &dcs->first;
	if (!set_endpoints(dcs, options->endpoints, err, errlen) ||
		!set_prefix(dcs, options->name_space, options->scope, err, errlen) ||
		!set_tls(dcs, options, err, errlen) ||
		!set_user(dcs, options, err, errlen) ||
		!set_curl(dcs, err, errlen))
	{
		ha_dcs_close(dcs);
		return NULL;
	}
	return dcs;
}

void
ha_dcs_close(HaDcs *dcs)
{
	SignalState saved;
	HaAnswer	answer;

	if (dcs == NULL)
		return;
	enter_curl(&saved);
	while (dcs->transfers != NULL)
		free_transfer(dcs->transfers);
	if (dcs->multi != NULL)
		curl_multi_cleanup(dcs->multi);
	leave_curl(&saved);

	while (ha_dcs_next(dcs, &answer))
		ha_dcs_answer_free(&answer);
	if (dcs->epoll_fd >= 0)
		close(dcs->epoll_fd);
	free(dcs->cacert);
	free(dcs->cert);
	free(dcs->key);
	free(dcs->user);
	explicit_bzero(dcs, sizeof(*dcs));
	free(dcs);
}

int
ha_dcs_fd(const HaDcs *dcs)
{
	return dcs->epoll_fd;
}

int64_t
ha_dcs_wake_at(const HaDcs *dcs)
{
	int64_t		wake_at = dcs->timer_at;

	if (dcs->first != NULL)
		return dcs->now();
	for (const Transfer *t = dcs->transfers; t != NULL; t = t->next)
	{
		if (is_parked(t) && t->deadline != INT64_MAX &&
			(wake_at == 0 || t->deadline < wake_at))
			wake_at = t->deadline;
	}
	return wake_at;
}

bool
ha_dcs_send(HaDcs *dcs, HaRequest *request)
{
	SignalState saved;
	char	   *body = NULL;
	int64_t		deadline = INT64_MAX;
	Transfer   *t;

	if (dcs->ntransfers < HA_MAX_IN_FLIGHT && request->endpoint >= 0 &&
		request->endpoint < dcs->nendpoints)
		body = ha_etcd_request_json(dcs->prefix, request);
	ha_dcs_request_free(request);
	if (request->kind != HA_DCS_WATCH)
		deadline = dcs->now() + (request->timeout < HA_MAX_TIMEOUT_MS
								 ? request->timeout : HA_MAX_TIMEOUT_MS);
	t = new_transfer(dcs, body, deadline);
	if (t == NULL)
		return false;

	t->kind = request->kind;
	t->lease = request->lease;
	t->endpoint = request->endpoint;
	t->last->answer.kind = request->kind;
	t->last->answer.endpoint = request->endpoint;
	t->last->answer.tag = request->tag;

	/* A new transfer is parked until serve_parked has had its look. */
	enter_curl(&saved);
	serve_parked(dcs);
	leave_curl(&saved);
	return true;
}

void
ha_dcs_poll(HaDcs *dcs)
{
	SignalState saved;
	CURLMsg    *message;
	int			running;

	enter_curl(&saved);
	serve_curl_sockets(dcs->multi, dcs->epoll_fd);
	if (dcs->timer_at != 0 && dcs->now() >= dcs->timer_at)
	{
		dcs->timer_at = 0;		/* curl sets it anew if it wants more */
		curl_multi_socket_action(dcs->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}

	while ((message = curl_multi_info_read(dcs->multi, &running)) != NULL)
	{
		CURLcode	rc = message->data.result;
		Transfer   *t = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
						  (char **) &t);
		if (message->msg == CURLMSG_DONE && t != NULL)
			finish(t, rc);
	}
	end_abandoned_watches(dcs);
	serve_parked(dcs);

	leave_curl(&saved);
}

bool
ha_dcs_next(HaDcs *dcs, HaAnswer *answer)
{
	QueuedAnswer *queued = dcs->first;

	if (queued == NULL)
		return false;
	dcs->first = queued->next;
	if (dcs->first == NULL)
		dcs->tail = &dcs->first;
	*answer = queued->answer;
	free(queued);
	return true;
}

void
ha_dcs_cancel(HaDcs *dcs, uint32_t tag)
{
	SignalState saved;
	Transfer   *next;
	QueuedAnswer **link = &dcs->first;

	enter_curl(&saved);
	for (Transfer *t = dcs->transfers; t != NULL; t = next)
	{
		next = t->next;
		if (!t->is_auth && t->kind == HA_DCS_WATCH &&
			t->last->answer.tag == tag)
			free_transfer(t);
	}
	leave_curl(&saved);

	while (*link != NULL)
	{
		QueuedAnswer *queued = *link;

		if (queued->answer.kind == HA_DCS_WATCH && queued->answer.tag == tag)
		{
			*link = queued->next;
			ha_dcs_answer_free(&queued->answer);
			free(queued);
		}
		else
			link = &queued->next;
	}
	dcs->tail = link;
}

const char *
ha_dcs_endpoint(const HaDcs *dcs)
{
	return dcs->endpoints[dcs->preferred].url;
}

int
ha_dcs_endpoint_count(const HaDcs *dcs)
{
	return dcs->nendpoints;
}

int
ha_dcs_in_use(const HaDcs *dcs)
{
	return dcs->preferred;
}

int
ha_dcs_endpoints(const HaDcs *dcs, HaEndpoint *endpoints)
{
	memcpy(endpoints, dcs->endpoints, sizeof(dcs->endpoints));
	return dcs->nendpoints;
}

HaDcsMark
ha_dcs_seen(const HaDcs *dcs)
{
	return dcs->seen;
}

const char *
ha_dcs_trouble(const HaDcs *dcs)
{
	return dcs->trouble;
}
