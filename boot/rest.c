/*-------------------------------------------------------------------------
 *
 * rest.c
 *	  HTTP: what this member says of itself to load balancers and people.
 *
 * Each request is answered from a snapshot taken for it: the worker's section
 * of the control block, the deadline, and the clock, in this order.  So a
 * member that was overtaken by its deadline is no leader in any answer, even
 * if the worker, the server or the whole machine was frozen in between (S-12).
 *
 * Everything here is open to anybody, so nothing tells of clients or secrets, and
 * nothing acts but POST /failsafe, which can keep this member from standing for
 * election for one TTL, and so needs credentials or a client on this host.  One
 * connection carries one request of at most 5 s.
 *
 * A question waits in line for the worker, with its connection suspended, so
 * nobody else waits; after QUESTION_MS it is answered with "no".  What the worker
 * promises after that is kept, but nobody relies on it.
 *
 * Paths, codes and JSON are Patroni's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/logging.h"

#include "../cluster_json.h"
#include "../secret.h"
#include "rest.h"

#define MAX_CONNECTIONS		64
#define MAX_REQUEST_MS		5000
#define CONNECTION_MEMORY	(16 * 1024)

/*
 * The worker writes at least twice a second; what is older counts for nothing.
 */
#define SNAPSHOT_MS			1000

/* For liveness, while the worker does not know the lease's length. */
#define DEFAULT_TTL_MS		10000

#define US_PER_S			INT64CONST(1000000)

/* POST /failsafe: the body, how long it waits, and how many at a time. */
#define MAX_BODY			(16 * 1024)
#define QUESTION_MS			1500
#define MAX_QUESTIONS		8

/* A request with a body, from its headers to its end. */
typedef struct Post
{
	struct Post *next;			/* in line for the worker */
	struct MHD_Connection *connection;
	size_t		length;
	bool		too_long;
	bool		asked;			/* was put in line */
	int64_t		give_up_at;
	uint32_t	seq;			/* in the control block; 0 = not there yet */
	HaQuestion	question;
	HaControlPromise answer;	/* verdict NONE: the worker gave none */
	char		body[MAX_BODY];
} Post;

/* A connection, so that one that drips its request can be ended. */
typedef struct Client
{
	int			fd;				/* -1 = free */
	int64_t		end_at;
	struct MHD_Connection *connection;
} Client;

struct HaRest
{
	const HaNode *node;
	HaControl  *control;
	const HaSession *session;
	const HaMemberState *state;
	Post	   *line;			/* the first of it is before the worker */
	char		authorization[HA_BASIC_SIZE];	/* to be shown; '' = none */
	struct MHD_Daemon *daemon;
	int			epoll_fd;
	json_t	   *tags;			/* an object, from node->tags */
	Client		clients[MAX_CONNECTIONS];
};

/* What one answer is made from. */
typedef struct Snapshot
{
	int64_t		now;
	HaMemberState state;
	bool		known;			/* worker holds something, of whatever age */
	bool		fresh;			/* ... and it is of this second */
	bool		leader;
	bool		standby_leader; /* leads a standby cluster, as of a TTL ago */
	HaControlWorker worker;
	bool		failsafe_active;	/* somebody leads by promises, maybe we */
	int64_t		lag;			/* standby: received but not replayed */
} Snapshot;

static void
take_snapshot(const HaRest *rest, Snapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	HaControlPromise promise;
	int64_t		deadline;

	memset(snap, 0, sizeof(*snap));
	snap->known = ha_control_get_worker(rest->control, &snap->worker);
	deadline = ha_control_get_deadline(rest->control);
	(void) ha_control_get_promise(rest->control, &promise);
	snap->state = *rest->state;

	/*
	 * Last, so that whatever delays us makes the rest look older, not newer.
	 */
	snap->now = ha_now();
	snap->fresh = snap->known && w->heartbeat_at <= snap->now &&
		snap->now - w->heartbeat_at < SNAPSHOT_MS;
	snap->leader = snap->fresh && snap->state == HA_STATE_RUNNING &&
		w->role == HA_ROLE_PRIMARY && snap->now < deadline;
	snap->standby_leader = snap->fresh && snap->state == HA_STATE_RUNNING &&
		w->standby_leader && snap->now - w->dcs_seen_at < w->ttl;
	snap->failsafe_active = snap->now < promise.until ||
		(snap->leader && w->failsafe_active);
	if (w->flush_lsn > w->replay_lsn)
		snap->lag = Min(w->flush_lsn - w->replay_lsn, (uint64_t) PG_INT64_MAX);
}

/*
 * The checks: each says whether its paths get 200 or 503.
 */

static bool
is_leader(const HaRest *rest, const Snapshot *snap)
{
	return snap->leader;
}

static bool
is_standby_leader(const HaRest *rest, const Snapshot *snap)
{
	return snap->standby_leader;
}

static bool
is_any_leader(const HaRest *rest, const Snapshot *snap)
{
	return snap->leader || snap->standby_leader;
}

static bool
is_replica(const HaRest *rest, const Snapshot *snap)
{
	return snap->fresh && !snap->standby_leader &&
		snap->state == HA_STATE_RUNNING &&
		snap->worker.role == HA_ROLE_STANDBY &&
		!json_is_true(json_object_get(rest->tags, "noloadbalance"));
}

static bool
is_readable(const HaRest *rest, const Snapshot *snap)
{
	return is_any_leader(rest, snap) || is_replica(rest, snap);
}

static bool
is_sync(const HaRest *rest, const Snapshot *snap)
{
	return is_replica(rest, snap) && snap->worker.sync_standby &&
		snap->worker.synchronous_mode != HA_SYNC_QUORUM;
}

static bool
is_quorum(const HaRest *rest, const Snapshot *snap)
{
	return is_replica(rest, snap) && snap->worker.sync_standby &&
		snap->worker.synchronous_mode == HA_SYNC_QUORUM;
}

static bool
is_async(const HaRest *rest, const Snapshot *snap)
{
	return is_replica(rest, snap) && !snap->worker.sync_standby;
}

static bool
is_running(const HaRest *rest, const Snapshot *snap)
{
	return snap->state == HA_STATE_RUNNING;
}

/*
 * Is the machinery alive?  That pg_ha_boot is, shows in the answer.  Of the
 * worker as much patience as Patroni has, since "no" gets the node restarted.
 */
static bool
is_alive(const HaRest *rest, const Snapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	int64_t		patience = w->ttl > 0 ? w->ttl : DEFAULT_TTL_MS;

	if (w->role != HA_ROLE_PRIMARY)
		patience *= 2;

	if (snap->state != HA_STATE_RUNNING)
		return true;			/* there need not be a worker */
	return snap->known &&
		(w->pause || snap->now - w->heartbeat_at < patience);
}

static bool
is_ready(const HaRest *rest, const Snapshot *snap)
{
	return snap->leader ||
		(snap->fresh && snap->state == HA_STATE_RUNNING &&
		 snap->worker.role == HA_ROLE_STANDBY && snap->worker.streaming);
}

static bool
is_always(const HaRest *rest, const Snapshot *snap)
{
	return true;
}

/* The conditions that the query may add to a path. */
typedef enum Narrow
{
	NARROW_NOT,
	NARROW_LAG,					/* lag= */
	NARROW_REPLICA,				/* lag=, replication_state=, tag_KEY= */
} Narrow;

typedef struct Path
{
	const char *path;
	bool		(*check) (const HaRest *rest, const Snapshot *snap);
	bool		json;			/* GET tells the state too */
	Narrow		narrow;
} Path;

static const Path paths[] = {
	{"/", is_leader, true, NARROW_NOT},
	{"/primary", is_leader, true, NARROW_NOT},
	{"/leader", is_any_leader, true, NARROW_NOT},
	{"/standby-leader", is_standby_leader, true, NARROW_NOT},
	{"/standby_leader", is_standby_leader, true, NARROW_NOT},
	{"/master", is_leader, true, NARROW_NOT},
	{"/read-write", is_leader, true, NARROW_NOT},
	{"/replica", is_replica, true, NARROW_REPLICA},
	{"/read-only", is_readable, true, NARROW_REPLICA},
	{"/sync", is_sync, true, NARROW_REPLICA},
	{"/synchronous", is_sync, true, NARROW_REPLICA},
	{"/quorum", is_quorum, true, NARROW_REPLICA},
	{"/async", is_async, true, NARROW_REPLICA},
	{"/asynchronous", is_async, true, NARROW_REPLICA},
	{"/health", is_running, true, NARROW_NOT},
	{"/liveness", is_alive, false, NARROW_NOT},
	{"/readiness", is_ready, false, NARROW_LAG},
	{"/patroni", is_always, true, NARROW_NOT},
};

/* Bytes of "1024", "16kB", "10MB", "1GB"; false if it is none of these. */
static bool
parse_bytes(const char *text, int64_t *bytes)
{
	static const char *const units[] = {"", "kB", "MB", "GB", "TB"};
	char	   *unit;
	long long	number;

	errno = 0;
	number = strtoll(text, &unit, 10);
	if (unit == text || errno != 0 || number < 0)
		return false;
	for (int i = 0; i < lengthof(units); i++)
	{
		if (pg_strcasecmp(unit, units[i]) == 0)
		{
			*bytes = number > (PG_INT64_MAX >> (10 * i)) ? PG_INT64_MAX :
				(int64_t) number << (10 * i);
			return true;
		}
	}
	return false;
}

/*
 * lag=: the part of the lag that a standby can know of itself.  One that does
 * not stream does not know, and so is not fit.
 */
static bool
lag_is_fit(struct MHD_Connection *connection, const Snapshot *snap)
{
	const char *text = MHD_lookup_connection_value(connection,
												   MHD_GET_ARGUMENT_KIND,
												   "lag");
	int64_t		limit;

	if (text == NULL || !parse_bytes(text, &limit))
		return true;			/* as Patroni does */
	return snap->worker.streaming && snap->lag <= limit;
}

/* Compare a tag with text in the way Patroni does, str(tag).lower(). */
static bool
tag_equals(const json_t *tag, const char *text)
{
	char		number[32];

	if (json_is_boolean(tag))
		return pg_strcasecmp(text, json_is_true(tag) ? "true" : "false") == 0;
	if (json_is_string(tag))
		return pg_strcasecmp(text, json_string_value(tag)) == 0;
	if (!json_is_integer(tag))
		return false;
	snprintf(number, sizeof(number), "%lld",
			 (long long) json_integer_value(tag));
	return strcmp(text, number) == 0;
}

typedef struct TagQuery
{
	const HaRest *rest;
	bool		fit;
} TagQuery;

static enum MHD_Result
check_tag_argument(void *arg, enum MHD_ValueKind kind, const char *key,
				   const char *value)
{
	TagQuery   *query = arg;

	if (strncmp(key, "tag_", 4) == 0 &&
		!tag_equals(json_object_get(query->rest->tags, key + 4),
					value != NULL ? value : ""))
		query->fit = false;
	return MHD_YES;
}

/* Do the conditions in the query hold?  They are for standbys alone. */
static bool
query_is_fit(const HaRest *rest, const Path *path, const Snapshot *snap,
			 struct MHD_Connection *connection)
{
	const char *state;
	TagQuery	query = {rest, true};

	if (snap->leader || path->narrow == NARROW_NOT)
		return true;
	if (!lag_is_fit(connection, snap))
		return false;
	if (path->narrow == NARROW_LAG)
		return true;
	state = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND,
										"replication_state");
	if (state != NULL &&
		!(snap->worker.streaming && strcmp(state, "streaming") == 0))
		return false;
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND,
							  check_tag_argument, &query);
	return query.fit;
}

/*
 * The JSON of /patroni.  jansson's setters free their value and return an
 * error when memory is out; such a field is missing then, which readers expect
 * anyway.
 */

static void
add_server(json_t *json, const Snapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	time_t		seconds = w->postmaster_started_us / US_PER_S;
	struct tm	utc;
	char		text[64];
	size_t		n;

	if (w->server_version > 0)
		json_object_set_new(json, "server_version",
							json_integer(w->server_version));
	if (w->sysid != 0)
	{
		snprintf(text, sizeof(text), UINT64_FORMAT, w->sysid);
		json_object_set_new(json, "database_system_identifier",
							json_string(text));
	}
	if (seconds > 0 && gmtime_r(&seconds, &utc) != NULL)
	{
		n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
		snprintf(text + n, sizeof(text) - n, ".%06d+00:00",
				 (int) (w->postmaster_started_us % US_PER_S));
		json_object_set_new(json, "postmaster_start_time", json_string(text));
	}
}

/* Only of what is proven to be so at this moment. */
static void
add_position(json_t *json, const Snapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	json_t	   *xlog = json_object();

	if (snap->leader)
		json_object_set_new(xlog, "location", json_integer(w->flush_lsn));
	else
	{
		json_object_set_new(xlog, "received_location",
							json_integer(w->flush_lsn));
		json_object_set_new(xlog, "replayed_location",
							json_integer(w->replay_lsn));
	}
	json_object_set_new(json, "xlog", xlog);
	if (w->timeline != 0)
		json_object_set_new(json, "timeline", json_integer(w->timeline));
	if (!snap->leader && w->streaming)
		json_object_set_new(json, "replication_state",
							json_string("streaming"));
	if (!snap->leader && w->sync_standby)
		json_object_set_new(json,
							w->synchronous_mode == HA_SYNC_QUORUM ?
							"quorum_standby" : "sync_standby", json_true());
}

static void
add_cluster(json_t *json, const Snapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	int64_t		seen = 0;

	if (w->dcs_seen_at > 0)
		seen = time(NULL) - (snap->now - w->dcs_seen_at) / 1000;
	json_object_set_new(json, "dcs_last_seen", json_integer(seen));
	if (w->pause)
		json_object_set_new(json, "pause", json_true());
	if (snap->fresh && w->dcs_seen_at > 0 && w->leader[0] == '\0')
		json_object_set_new(json, "cluster_unlocked", json_true());
	if (snap->failsafe_active)
		json_object_set_new(json, "failsafe_mode_is_active", json_true());
}

/* A primary that does not lead calls itself replica, as S-12 wants. */
static const char *
role_to_tell(const Snapshot *snap)
{
	if (snap->leader)
		return ha_role_name(HA_ROLE_PRIMARY);
	if (snap->standby_leader)
		return HA_STANDBY_LEADER;
	if (snap->fresh && snap->worker.role == HA_ROLE_UNINITIALIZED)
		return ha_role_name(HA_ROLE_UNINITIALIZED);
	return ha_role_name(HA_ROLE_STANDBY);
}

/* The text, malloc'd; NULL if memory is out. */
static char *
build_json(const HaRest *rest, const Snapshot *snap)
{
	json_t	   *json = json_object();
	bool		running = snap->state == HA_STATE_RUNNING;
	char	   *text;

	json_object_set_new(json, "state",
						json_string(ha_member_state_name(snap->state)));
	json_object_set_new(json, "role", json_string(role_to_tell(snap)));
	if (running && snap->known)
		add_server(json, snap);
	if (running && snap->fresh &&
		(snap->leader || snap->worker.role == HA_ROLE_STANDBY))
		add_position(json, snap);
	if (snap->known)
		add_cluster(json, snap);
	if (json_object_size(rest->tags) > 0)
		json_object_set(json, "tags", rest->tags);
	json_object_set_new(json, "patroni",
						json_pack("{s:s, s:s, s:s}",
								  "version", HA_VERSION,
								  "scope", rest->node->scope,
								  "name", rest->node->name));
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

/*
 * Requests.
 */

/* Queue an answer; takes "body" (malloc'd JSON, or NULL for none). */
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int status, char *body)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	response = MHD_create_response_from_buffer(body != NULL ? strlen(body) : 0,
											   body != NULL ? body : "",
											   body != NULL ?
											   MHD_RESPMEM_MUST_FREE :
											   MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
	{
		free(body);
		return MHD_NO;			/* closes the connection */
	}
	if (body != NULL)
		MHD_add_response_header(response, "Content-Type", "application/json");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD, OPTIONS");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * /failsafe.
 */

/* GET: who is asked, even if the mode is off by now. */
static enum MHD_Result
tell_failsafe(const HaRest *rest, struct MHD_Connection *connection, bool tell)
{
	const HaFailsafe *list = &ha_session_last_view(rest->session)->failsafe;

	if (list->mod_revision == 0)
		return answer(connection, MHD_HTTP_BAD_GATEWAY, NULL);
	return answer(connection, MHD_HTTP_OK,
				  tell ? ha_failsafe_json(list) : NULL);
}

static Post *
begin_post(struct MHD_Connection *connection)
{
	Post	   *post = pg_malloc0(sizeof(Post));

	post->connection = connection;
	return post;
}

static void
take_body(Post *post, const char *data, size_t length)
{
	if (length > sizeof(post->body) - post->length)
		post->too_long = true;
	if (post->too_long)
		return;
	memcpy(post->body + post->length, data, length);
	post->length += length;
}

static enum MHD_Result
answer_text(struct MHD_Connection *connection, unsigned int status,
			const char *text, int64_t lsn)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	char		number[32];

	response = MHD_create_response_from_buffer(strlen(text), (void *) text,
											   MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;			/* closes the connection */
	if (lsn >= 0)
	{
		snprintf(number, sizeof(number), INT64_FORMAT, lsn);
		MHD_add_response_header(response, "lsn", number);
	}
	if (status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(response, "WWW-Authenticate",
								"Basic realm=\"Patroni\"");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* The body is complete: put the question in line.  0, or the code if it can't. */
static unsigned int
ask(HaRest *rest, Post *post)
{
	Post	  **end = &rest->line;
	int			n = 0;

	if (post->too_long)
		return MHD_HTTP_CONTENT_TOO_LARGE;
	if (!ha_question_parse(post->body, post->length, &post->question))
		return MHD_HTTP_BAD_REQUEST;
	for (; *end != NULL; end = &(*end)->next)
		n++;
	if (n >= MAX_QUESTIONS)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	*end = post;
	post->asked = true;
	post->give_up_at = ha_now() + QUESTION_MS;
	MHD_suspend_connection(post->connection);
	return 0;
}

static enum MHD_Result
answer_question(const Post *post)
{
	const HaControlPromise *p = &post->answer;

	switch (p->verdict)
	{
		case HA_VERDICT_ACCEPTED:
			return answer_text(post->connection, MHD_HTTP_OK, "Accepted",
							   p->lsn);
		case HA_VERDICT_OFF:
			return answer(post->connection, MHD_HTTP_BAD_GATEWAY, NULL);
		case HA_VERDICT_LEADER:
			return answer_text(post->connection,
							   MHD_HTTP_INTERNAL_SERVER_ERROR,
							   "Running as a leader", -1);
		case HA_VERDICT_REFUSED:
			return answer_text(post->connection,
							   MHD_HTTP_INTERNAL_SERVER_ERROR, p->why, -1);
		default:
			return answer_text(post->connection,
							   MHD_HTTP_SERVICE_UNAVAILABLE,
							   "the server does not answer", -1);
	}
}

static bool
is_from_loopback(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *from = info != NULL ? info->client_addr : NULL;
	const struct in6_addr *v6;

	if (from == NULL)
		return false;
	if (from->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) from)->sin_addr.s_addr) >>
			24 == 127;
	if (from->sa_family != AF_INET6)
		return false;
	v6 = &((const struct sockaddr_in6 *) from)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(v6) ||
		(IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

/*
 * Who may make this member promise something: whoever has the credentials, or, if
 * there are none, this host.  NULL = this one may; else why not, as Patroni says
 * it.
 */
static const char *
refuse_stranger(const HaRest *rest, struct MHD_Connection *connection,
				unsigned int *status)
{
	const char *given = MHD_lookup_connection_value(connection,
													MHD_HEADER_KIND,
													MHD_HTTP_HEADER_AUTHORIZATION);

	*status = MHD_HTTP_UNAUTHORIZED;
	if (rest->authorization[0] == '\0')
	{
		*status = MHD_HTTP_FORBIDDEN;
		return is_from_loopback(connection) ? NULL :
			"Access is denied, pg_ha.rest_auth_file is not set here";
	}
	if (given == NULL)
		return "no auth header received";
	return ha_secret_is_equal(given, rest->authorization) ? NULL :
		"not authenticated";
}

/*
 * Called with the headers, then with each piece of the body, then without any;
 * and once more when a suspended one goes on.
 */
static enum MHD_Result
take_post(HaRest *rest, struct MHD_Connection *connection, const char *data,
		  size_t *size, void **context)
{
	Post	   *post = *context;
	unsigned int refused;
	const char *why;

	if (post == NULL)
	{
		why = refuse_stranger(rest, connection, &refused);
		if (why != NULL)
			return answer_text(connection, refused, why, -1);
		*context = begin_post(connection);
		return MHD_YES;
	}
	if (*size > 0)
	{
		take_body(post, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (post->asked)
		return answer_question(post);
	refused = ask(rest, post);
	return refused == 0 ? MHD_YES : answer(connection, refused, NULL);
}

/* Also of one that broke off in the line. */
static void
end_request(void *arg, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode why)
{
	HaRest	   *rest = arg;
	Post	   *post = *context;

	for (Post **link = &rest->line; *link != NULL; link = &(*link)->next)
	{
		if (*link == post)
		{
			*link = post->next;
			break;
		}
	}
	pg_free(post);
	*context = NULL;
}

/* Put a question before the worker, and wake it. */
static void
put_question(HaRest *rest, Post *post)
{
	HaControlQuestion before;
	HaControlQuestion question;
	HaControlWorker worker;
	HaControlPromise promise;

	/* never one that was answered: a section that was torn reads as zero */
	(void) ha_control_get_question(rest->control, &before);
	(void) ha_control_get_promise(rest->control, &promise);
	memset(&question, 0, sizeof(question));
	question.seq = (before.seq > promise.answered ? before.seq :
					promise.answered) + 1;
	if (question.seq == 0)
		question.seq = 1;
	question.asked_at = ha_now();
	question.question = post->question;
	post->seq = question.seq;
	ha_control_set_question(rest->control, &question);
	if (ha_control_get_worker(rest->control, &worker) &&
		ha_process_is_alive(worker.pid, worker.pid_start))
		(void) kill(worker.pid, SIGUSR1);
}

/* See what has become of the questions in line. */
static void
serve_line(HaRest *rest)
{
	while (rest->line != NULL)
	{
		Post	   *post = rest->line;
		HaControlPromise promise;

		if (post->seq == 0)
			put_question(rest, post);
		if (ha_control_get_promise(rest->control, &promise) &&
			promise.answered == post->seq)
			post->answer = promise;
		else if (ha_now() < post->give_up_at)
			return;
		rest->line = post->next;
		MHD_resume_connection(post->connection);
	}
}

/* The code for a method that we don't serve; 0 = we do. */
static unsigned int
refuse_method(const char *method)
{
	static const char *const served[] = {"GET", "HEAD", "OPTIONS"};
	static const char *const known[] = {"POST", "PUT", "PATCH", "DELETE"};

	for (int i = 0; i < lengthof(served); i++)
	{
		if (strcmp(method, served[i]) == 0)
			return 0;
	}
	for (int i = 0; i < lengthof(known); i++)
	{
		if (strcmp(method, known[i]) == 0)
			return MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	return MHD_HTTP_NOT_IMPLEMENTED;
}

/*
 * Called as soon as the headers are there, and answers at once: no body is
 * read but that of POST /failsafe.
 */
static enum MHD_Result
handle_request(void *arg, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *size, void **context)
{
	HaRest	   *rest = arg;
	const Path *path = NULL;
	bool		tell = strcmp(method, "GET") == 0;
	Snapshot	snap;
	bool		yes;
	unsigned int refused = refuse_method(method);

	if (strcmp(url, "/failsafe") == 0 && strcmp(method, "POST") == 0)
		return take_post(rest, connection, data, size, context);
	if (refused != 0)
		return answer(connection, refused, NULL);
	if (strcmp(url, "/failsafe") == 0)
		return tell_failsafe(rest, connection, tell);
	for (int i = 0; i < lengthof(paths); i++)
	{
		if (strcmp(url, paths[i].path) == 0)
			path = &paths[i];
	}
	if (path == NULL)			/* what Patroni says to any other path */
		return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, NULL);

	take_snapshot(rest, &snap);
	yes = path->check(rest, &snap) &&
		query_is_fit(rest, path, &snap, connection);
	return answer(connection, yes ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
				  tell && path->json ? build_json(rest, &snap) : NULL);
}

/*
 * libmicrohttpd's timeout counts from the last byte, so a client that sends
 * one now and then would keep its connection for ever.  So we note when each
 * must end.
 */
static void
note_connection(void *arg, struct MHD_Connection *connection,
				void **context, enum MHD_ConnectionNotificationCode code)
{
	HaRest	   *rest = arg;
	const union MHD_ConnectionInfo *info;

	for (int i = 0; i < MAX_CONNECTIONS; i++)
	{
		Client	   *client = &rest->clients[i];

		if (code == MHD_CONNECTION_NOTIFY_STARTED && client->fd < 0)
		{
			info = MHD_get_connection_info(connection,
										   MHD_CONNECTION_INFO_CONNECTION_FD);
			if (info == NULL)
				return;
			client->fd = info->connect_fd;
			client->end_at = ha_now() + MAX_REQUEST_MS;
			client->connection = connection;
			return;
		}
		if (code == MHD_CONNECTION_NOTIFY_CLOSED && client->fd >= 0 &&
			client->connection == connection)
		{
			client->fd = -1;
			return;
		}
	}
}

/* End those that had their time; libmicrohttpd sees it and closes them. */
static void
end_overdue(HaRest *rest)
{
	int64_t		now = ha_now();

	for (int i = 0; i < MAX_CONNECTIONS; i++)
	{
		if (rest->clients[i].fd >= 0 && rest->clients[i].end_at <= now)
			shutdown(rest->clients[i].fd, SHUT_RDWR);
	}
}

/*
 * Opening.
 */

/*
 * Parse "address:port" or "[address]:port", as the node file has checked it.
 */
static bool
parse_listen(const char *text, struct sockaddr_storage *out, socklen_t *length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) out;
	char		host[256];
	char	   *colon;
	char	   *end;
	int			port;

	memset(out, 0, sizeof(*out));
	strlcpy(host, text[0] == '[' ? text + 1 : text, sizeof(host));
	colon = strrchr(host, ':');
	if (colon == NULL)
		return false;
	port = atoi(colon + 1);
	end = text[0] == '[' ? colon - 1 : colon;
	*end = '\0';
	if (text[0] != '[' && inet_pton(AF_INET, host, &v4->sin_addr) == 1)
	{
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*length = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	*length = sizeof(*v6);
	return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

/* A listening socket; -1: reported. */
static int
open_socket(const char *address)
{
	struct sockaddr_storage where;
	socklen_t	length;
	int			on = 1;
	int			fd = -1;

	errno = EINVAL;
	if (parse_listen(address, &where, &length))
		fd = socket(where.ss_family,
					SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(where.ss_family != AF_INET6 ||
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(fd, (struct sockaddr *) &where, length) == 0 &&
		listen(fd, MAX_CONNECTIONS) == 0)
		return fd;
	pg_log_error("could not listen for HTTP at \"%s\": %m", address);
	pg_log_error_hint("Set pg_ha.rest_listen to a free address and port of this host.");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A tag's value as JSON: none and true, false, a number, or text. */
static json_t *
tag_value(const char *text)
{
	char	   *end;
	long long	number;

	if (text[0] == '\0' || strcmp(text, "true") == 0)
		return json_true();
	if (strcmp(text, "false") == 0)
		return json_false();
	errno = 0;
	number = strtoll(text, &end, 10);
	if (*end == '\0' && errno == 0)
		return json_integer(number);
	return json_string(text);
}

/* "nofailover, zone = a" as an object. */
static json_t *
parse_tags(const char *text)
{
	json_t	   *tags = json_object();
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *tag;

	/* Blanks mean nothing in it, and no tag of use has any in its value. */
	for (size_t n = 0; n < sizeof(list); text++)
	{
		if (*text != ' ' && *text != '\t')
			list[n++] = *text;
		if (*text == '\0')
			break;
	}
	while ((tag = strsep(&rest, ",")) != NULL)
	{
		char	   *value = tag;
		char	   *key = strsep(&value, "=");

		if (key[0] != '\0')
			json_object_set_new(tags, key,
								tag_value(value != NULL ? value : ""));
	}
	return tags;
}

static bool
start_daemon(HaRest *rest, int listen_fd)
{
	const union MHD_DaemonInfo *info = NULL;

	rest->daemon =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
						 NULL, handle_request, rest,
						 MHD_OPTION_LISTEN_SOCKET, listen_fd,
						 MHD_OPTION_CONNECTION_LIMIT,
						 (unsigned int) MAX_CONNECTIONS,
						 MHD_OPTION_CONNECTION_TIMEOUT,
						 (unsigned int) (MAX_REQUEST_MS / 1000),
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT,
						 (size_t) CONNECTION_MEMORY,
						 MHD_OPTION_STRICT_FOR_CLIENT, 1,
						 MHD_OPTION_NOTIFY_CONNECTION, note_connection, rest,
						 MHD_OPTION_NOTIFY_COMPLETED, end_request, rest,
						 MHD_OPTION_END);
	if (rest->daemon != NULL)
		info = MHD_get_daemon_info(rest->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return false;
	rest->epoll_fd = info->epoll_fd;
	return true;
}

HaRest *
ha_rest_open(const HaNode *node, HaControl *control,
			 const HaSession *session, const HaMemberState *state)
{
	HaRest	   *rest;
	int			listen_fd;
	char		err[HA_TEXT_SIZE];

	listen_fd = open_socket(node->rest_listen);
	if (listen_fd < 0)
		return NULL;
	rest = pg_malloc0(sizeof(HaRest));
	rest->node = node;
	rest->control = control;
	rest->session = session;
	rest->state = state;
	rest->tags = parse_tags(node->tags);
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		rest->clients[i].fd = -1;
	if (node->rest_auth_file[0] != '\0' &&
		!ha_secret_basic(node->rest_auth_file, rest->authorization, err,
						 sizeof(err)))
		pg_log_error("%s", err);
	else if (start_daemon(rest, listen_fd))
		return rest;
	else
	{
		pg_log_error("could not start the HTTP listener at \"%s\"",
					 node->rest_listen);
		pg_log_error_hint("Look at the limits on memory and open files.");
	}
	if (rest->daemon == NULL)
		close(listen_fd);		/* else it is the daemon's */
	ha_rest_close(rest);
	return NULL;
}

void
ha_rest_close(HaRest *rest)
{
	if (rest == NULL)
		return;
	while (rest->line != NULL)
	{
		MHD_resume_connection(rest->line->connection);
		rest->line = rest->line->next;
	}
	if (rest->daemon != NULL)
		MHD_stop_daemon(rest->daemon);
	json_decref(rest->tags);
	pg_free(rest);
}

int
ha_rest_fd(const HaRest *rest)
{
	return rest->epoll_fd;
}

int
ha_rest_timeout(const HaRest *rest)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int64_t		timeout = -1;
	int64_t		now = ha_now();

	if (MHD_get_timeout(rest->daemon, &ms) == MHD_YES)
		timeout = Min(ms, INT_MAX);
	for (int i = 0; i < MAX_CONNECTIONS; i++)
	{
		int64_t		left = Max(rest->clients[i].end_at - now, 0);

		if (rest->clients[i].fd >= 0 && (timeout < 0 || left < timeout))
			timeout = left;
	}
	if (rest->line != NULL &&
		(timeout < 0 || rest->line->give_up_at - now < timeout))
		timeout = Max(rest->line->give_up_at - now, 0);
	return (int) timeout;
}

void
ha_rest_run(HaRest *rest)
{
	end_overdue(rest);
	serve_line(rest);
	MHD_run(rest->daemon);
	serve_line(rest);			/* what has just come in */
	MHD_run(rest->daemon);
}
