/*-------------------------------------------------------------------------
 *
 * rest_ask.c
 *	  Having something done for an HTTP client, by a child that may wait.
 *
 * What concerns the cluster is asked of the server that runs here, by the same SQL
 * functions as operators use: they know what is refused and why, and have it written
 * by the worker in a guarded transaction.  The client's words are parameters, never
 * part of a statement.
 *
 * What concerns this member's own server, which may be down, or will be, is put into
 * the store as pg_ha_restart() and pg_ha_reinit() do, by the same rules.
 *
 * The child only asks.  It waits for no outcome, since it may be killed together with
 * the server's processes at any time (S-7); pg_ha_boot itself looks for that.
 *
 *-------------------------------------------------------------------------
 */
#include "../cluster.h"
#include "postgres_fe.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"
#include "libpq-fe.h"
#include "pqexpbuffer.h"

#include "../compat.h"
#include "../json_guard.h"
#include "../versions.h"
#include "files.h"
#include "postmaster.h"
#include "programs.h"
#include "rest_ask.h"
#include "store.h"

/* How many at a time, and how long each may take. */
#define MAX_CHILDREN		4
#define CHILD_S				15
#define STORE_TIMEOUT		3000

/* A configuration, and a little more. */
#define MAX_REPLY			(256 * 1024)

static const char session_options[] =
"-c pg_ha.fence=writes -c search_path= -c client_min_messages=error"
" -c log_statement=none -c statement_timeout=12000";

/*-------------------------------------------------------------------------
 * In the child: what is told
 *-------------------------------------------------------------------------
 */

/* Takes over "json", and ends the child. */
pg_noreturn static void
say(int fd, json_t *json)
{
	char	   *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

	_exit(text != NULL && ha_write_all(fd, text, strlen(text)) ? 0 : 1);
}

pg_noreturn static void
say_error(int fd, const char *sqlstate, const char *text)
{
	size_t		length = strcspn(text, "\n");
	json_t	   *words = json_stringn(text, length);

	/* Not everything that libpq says need be UTF-8. */
	if (words == NULL)
		words = json_string("the server's message could not be understood");
	say(fd, json_pack("{s:s, s:o}", "sqlstate", sqlstate, "text", words));
}

/*-------------------------------------------------------------------------
 * In the child: SQL
 *-------------------------------------------------------------------------
 */

static PGconn *
connect_to(HaPidFile lines, const char *database)
{
	const char *const keywords[] = {
		"host", "port", "dbname", "options", "application_name",
		"connect_timeout", "client_encoding", NULL
	};
	const char *const values[] = {
		lines[LOCK_FILE_LINE_SOCKET_DIR][0] != '\0' ?
		lines[LOCK_FILE_LINE_SOCKET_DIR] : lines[LOCK_FILE_LINE_LISTEN_ADDR],
		lines[LOCK_FILE_LINE_PORT], database, session_options,
		"pg_ha_boot HTTP", "5", "UTF8", NULL
	};

	return PQconnectdbParams(keywords, values, 0);
}

/* The one value that a query returns, malloc'd; NULL if there is none. */
static char *
ask_value(PGconn *conn, const char *query)
{
	PGresult   *result = PQexec(conn, query);
	char	   *value = NULL;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		value = pg_strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

static char *
schema_of_extension(PGconn *conn)
{
	return ask_value(conn,
					 "SELECT pg_catalog.quote_ident(n.nspname)"
					 " FROM pg_catalog.pg_extension AS e"
					 " JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
					 " WHERE e.extname OPERATOR(pg_catalog.=) 'pg_ha'");
}

/*
 * A session in a database where the extension is; "postgres" first, which connections of
 * other kinds use.  Without one it does not return.
 */
static PGconn *
connect_to_extension(int fd, HaPidFile lines, char **schema)
{
	PGconn	   *first = connect_to(lines, "postgres");
	PGresult   *others;

	if (PQstatus(first) != CONNECTION_OK)
		say_error(fd, "", PQerrorMessage(first));
	*schema = schema_of_extension(first);
	if (*schema != NULL)
		return first;
	others = PQexec(first,
					"SELECT datname FROM pg_catalog.pg_database"
					" WHERE datallowconn AND NOT datistemplate"
					" AND datname OPERATOR(pg_catalog.<>) 'postgres'"
					" ORDER BY datname LIMIT 100");
	for (int i = 0; i < PQntuples(others); i++)
	{
		PGconn	   *conn = connect_to(lines, PQgetvalue(others, i, 0));

		if (PQstatus(conn) == CONNECTION_OK)
			*schema = schema_of_extension(conn);
		if (*schema != NULL)
			return conn;
		PQfinish(conn);
	}
	say_error(fd, "", "the extension pg_ha is in no database: CREATE EXTENSION pg_ha");
}

pg_noreturn static void
ask_server(int fd, const HaNode *node, const HaRestSql *sql)
{
	HaPidFile	lines;
	PQExpBufferData statement;
	PGresult   *result;
	PGconn	   *conn;
	char	   *schema;

	if (ha_postmaster_pid_file(node, lines) < LOCK_FILE_LINE_LISTEN_ADDR)
		say_error(fd, "", "the server does not run");
	conn = connect_to_extension(fd, lines, &schema);
	initPQExpBuffer(&statement);
	appendPQExpBuffer(&statement, "SELECT %s.%s(%s)::pg_catalog.text", schema,
					  sql->function, sql->arguments);
	result = PQexecParams(conn, statement.data, sql->n, NULL, sql->parameters,
						  NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

		say_error(fd, state != NULL ? state : "",
				  text != NULL ? text : PQerrorMessage(conn));
	}
	say(fd, json_pack("{s:b, s:s}", "ok", 1, "result",
					  PQgetvalue(result, 0, 0)));
}

/*-------------------------------------------------------------------------
 * In the child: a request to this member
 *-------------------------------------------------------------------------
 */

static void
new_request(const HaRestRequest *wanted, const HaNode *node,
			const HaView *view, HaMemberRequest *request)
{
	uint8_t		bytes[HA_REQUEST_RANDOM_SIZE];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		_exit(1);
	ha_request_begin(request, wanted->kind, view, node->name, node->name,
					 bytes);
	request->from_leader = wanted->from_leader;
	request->pending = wanted->pending;
	request->role = wanted->role;
	request->before_version = wanted->before_version;
}

/* In place of what was there, and only while the same member leads. */
static void
put_request(HaTxn *txn, const HaNode *node, const HaView *view,
			const HaMemberRequest *request)
{
	const HaMemberRequest *old = ha_find_request(view, node->name);
	char		key[HA_KEY_SIZE];

	snprintf(key, sizeof(key), "pg_ha/requests/%s", node->name);
	if (view->leader.present)
		ha_txn_compare_value(txn, "leader", view->leader.name);
	ha_txn_compare(txn, HA_MOD_REVISION, key,
				   old != NULL ? old->mod_revision : 0);
	ha_txn_put(txn, key, ha_request_json(request), 0);
}

pg_noreturn static void
ask_store(int fd, const HaNode *node, const HaRestRequest *wanted)
{
	HaDcs	   *dcs = ha_store_open(node);
	HaRequest	request = {.kind = HA_DCS_TXN};
	HaMemberRequest put;
	HaRequestRefusal refusal;
	HaAnswer	answer;
	HaView		view;

	if (dcs == NULL || !ha_store_look(dcs, STORE_TIMEOUT, &answer, &view))
		say_error(fd, "", "etcd is not reachable");
	if (ha_is_too_old(&view))
		say_error(fd, "", "this pg_ha is older than the cluster's schema");
	refusal = ha_request_refusal(&view, node->name, wanted->kind,
								 wanted->force);
	if (refusal != HA_REFUSAL_NONE)
		say(fd, json_pack("{s:i}", "refusal", (int) refusal));
	new_request(wanted, node, &view, &put);
	put_request(&request.txn, node, &view, &put);
	if (!ha_store_ask(dcs, &request, STORE_TIMEOUT, &answer))
		say_error(fd, "", "etcd is not reachable");
	if (!answer.succeeded)
		say_error(fd, "", "the cluster has just changed, try again");
	say(fd, json_pack("{s:b, s:s}", "ok", 1, "id", put.id));
}

/*-------------------------------------------------------------------------
 * In pg_ha_boot
 *-------------------------------------------------------------------------
 */

/*
 * Fork with a pipe to the child.  0 in the child, where *fd is the one to answer
 * to, and all else that was open is closed: a client whose connection we close must
 * not have to wait for the child's end.  Not 0 if there is none, or in the parent.
 */
static pid_t
begin_child(HaRest *rest, HaRestCall *call, int *fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int			ends[2];
	pid_t		child;

	if (rest->children >= MAX_CHILDREN)
	{
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "too many requests are in progress");
		return -1;
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
	{
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "could not create a pipe");
		return -1;
	}
	child = ha_program_fork();
	if (child == 0)
	{
		*fd = dup2(ends[1], STDERR_FILENO + 1);
		if (*fd < 0 || fcntl(*fd, F_SETFL, 0) != 0)
			_exit(1);
		close_range(STDERR_FILENO + 2, ~0U, 0);
		alarm(CHILD_S);
		return 0;
	}
	close(ends[1]);
	event.data.fd = ends[0];
	if (child < 0 ||
		epoll_ctl(rest->epoll_fd, EPOLL_CTL_ADD, ends[0], &event) != 0)
	{
		close(ends[0]);
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "could not fork");
		return -1;
	}
	rest->children++;
	call->pipe = ends[0];
	call->stage = HA_REST_ASKING;
	ha_rest_suspend(rest, call, &rest->waiting, CHILD_S * 1000);
	return child;
}

void
ha_rest_ask_server(HaRest *rest, HaRestCall *call, const HaRestSql *sql)
{
	int			fd = -1;

	if (begin_child(rest, call, &fd) == 0)
		ask_server(fd, rest->node, sql);
}

void
ha_rest_ask_store(HaRest *rest, HaRestCall *call, const HaRestRequest *request)
{
	int			fd = -1;

	if (begin_child(rest, call, &fd) == 0)
		ask_store(fd, rest->node, request);
}

/* All that there is now; false at its end. */
static bool
read_pipe(HaRestCall *call)
{
	char		part[4096];
	ssize_t		n;

	while ((n = read(call->pipe, part, sizeof(part))) > 0)
	{
		char	   *heard = call->heard_length + n <= MAX_REPLY ?
		realloc(call->heard, call->heard_length + n) : NULL;

		if (heard == NULL)
			return false;
		memcpy(heard + call->heard_length, part, n);
		call->heard = heard;
		call->heard_length += n;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void
copy_text(json_t *json, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(json, name));

	strlcpy(out, text != NULL ? text : "", size);
}

static void
parse_reply(const HaRestCall *call, HaRestReply *reply)
{
	json_t	   *json = ha_json_load(call->heard, call->heard_length);
	const char *result = json_string_value(json_object_get(json, "result"));

	reply->heard = json != NULL;
	reply->ok = json_is_true(json_object_get(json, "ok"));
	reply->refusal = json_integer_value(json_object_get(json, "refusal"));
	copy_text(json, "id", reply->id, sizeof(reply->id));
	copy_text(json, "sqlstate", reply->sqlstate, sizeof(reply->sqlstate));
	copy_text(json, "text", reply->text, sizeof(reply->text));
	if (result != NULL)
		reply->result = strdup(result);
	json_decref(json);
}

void
ha_rest_stop_asking(HaRest *rest, HaRestCall *call)
{
	if (call->pipe >= 0)
	{
		/* a child that was forked meanwhile may have it, too */
		(void) epoll_ctl(rest->epoll_fd, EPOLL_CTL_DEL, call->pipe, NULL);
		close(call->pipe);
		call->pipe = -1;
		rest->children--;
	}
	free(call->heard);
	call->heard = NULL;
	call->heard_length = 0;
}

bool
ha_rest_hear(HaRest *rest, HaRestCall *call, HaRestReply *reply)
{
	memset(reply, 0, sizeof(*reply));
	if (read_pipe(call) && ha_now() < call->give_up_at)
		return false;
	parse_reply(call, reply);
	ha_rest_stop_asking(rest, call);
	return true;
}
