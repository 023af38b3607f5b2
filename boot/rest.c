/*-------------------------------------------------------------------------
 *
 * rest.c
 *	  HTTP: the listener, what a client may take of it, and who answers.
 *
 * Load balancers must be able to ask without credentials, so reading is open to anybody
 * and tells of no clients or secrets.  What has something done is let in by
 * rest_access.c.  One connection carries one request; a client gets five seconds to
 * send it and a share of the connections, so that one who is slow or many hurts
 * others little.  The lease is renewed by the server's worker, another process.
 *
 * Paths, codes and JSON are Patroni's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/logging.h"

#include "../failsafe_json.h"
#include "address.h"
#include "rest_parts.h"
#include "status_page.h"

#define CONNECTION_MEMORY	(16 * 1024)

/* Of HA_REST_MAX_CONNECTIONS, those that one address may have. */
#define MAX_PER_ADDRESS		32

/* How often what waits is looked at, at the latest. */
#define WAITING_TICK		50

/* When a connection that waits for us ends: not by the clock. */
#define NEVER				PG_INT64_MAX

/*-------------------------------------------------------------------------
 * Answers
 *-------------------------------------------------------------------------
 */

/* Queue an answer; takes "body" (malloc'd, or NULL for none). */
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int status,
	   const char *type, char *body, int64_t lsn)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	char		number[32];

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
	{
		MHD_add_response_header(response, "Content-Type", type);
		MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	}
	if (body != NULL && strncmp(type, "text/html", 9) == 0)
		MHD_add_response_header(response, "Content-Security-Policy",
								HA_STATUS_PAGE_POLICY);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD, OPTIONS");
	if (status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(response, "WWW-Authenticate",
								"Basic realm=\"Patroni\"");
	if (lsn >= 0)
	{
		snprintf(number, sizeof(number), INT64_FORMAT, lsn);
		MHD_add_response_header(response, "lsn", number);
	}
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
answer_bare(struct MHD_Connection *connection, unsigned int status)
{
	return answer(connection, status, NULL, NULL, -1);
}

void
ha_rest_finish(HaRestCall *call, unsigned int status, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	free(call->text);
	call->text = text[0] != '\0' ? strdup(text) : NULL;
	call->is_json = false;
	call->status = status;
}

void
ha_rest_finish_json(HaRestCall *call, unsigned int status, char *json)
{
	free(call->text);
	call->text = json;
	call->is_json = true;
	call->status = status;
}

static enum MHD_Result
answer_call(HaRestCall *call)
{
	char	   *text = call->text;

	call->text = NULL;
	return answer(call->connection, call->status,
				  call->is_json ? "application/json" : "text/plain", text,
				  call->lsn);
}

/*-------------------------------------------------------------------------
 * Requests that wait
 *-------------------------------------------------------------------------
 */

static HaRestClient *
client_of(HaRest *rest, const struct MHD_Connection *connection)
{
	for (int i = 0; i < HA_REST_MAX_CONNECTIONS; i++)
	{
		HaRestClient *client = &rest->clients[i];

		if (client->fd >= 0 && client->connection == connection)
			return client;
	}
	return NULL;
}

void
ha_rest_suspend(HaRest *rest, HaRestCall *call, HaRestCall **line,
				int64_t patience)
{
	HaRestClient *client = client_of(rest, call->connection);

	if (call->asked_at == 0)
	{
		while (*line != NULL)
			line = &(*line)->next;
		*line = call;
		MHD_suspend_connection(call->connection);
	}
	call->asked_at = ha_now();
	call->give_up_at = call->asked_at + patience;
	if (client != NULL)
		client->end_at = NEVER;
}

/* It is answered now, for which it has as long as any other. */
void
ha_rest_resume(HaRest *rest, HaRestCall *call)
{
	HaRestClient *client = client_of(rest, call->connection);

	if (client != NULL)
		client->end_at = ha_now() + HA_REST_MAX_MS;
	MHD_resume_connection(call->connection);
}

static void
leave_line(HaRestCall **line, const HaRestCall *call)
{
	for (; *line != NULL; line = &(*line)->next)
	{
		if (*line == call)
		{
			*line = call->next;
			return;
		}
	}
}

/* Also of one that broke off in a line. */
static void
end_request(void *arg, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode why)
{
	HaRest	   *rest = arg;
	HaRestCall *call = *context;

	if (call == NULL)
		return;
	leave_line(&rest->line, call);
	leave_line(&rest->waiting, call);
	leave_line(&rest->positions, call);
	ha_rest_forget(rest, call);
	json_decref(call->document);
	free(call->body);
	free(call->text);
	pg_free(call);
	*context = NULL;
}

/*-------------------------------------------------------------------------
 * Requests
 *-------------------------------------------------------------------------
 */

/* Begin a request that has a body, or that must wait. */
static HaRestCall *
begin_call(struct MHD_Connection *connection,
		   const struct HaRestAction *action)
{
	HaRestCall *call = pg_malloc0(sizeof(HaRestCall));

	call->connection = connection;
	call->action = action;
	call->pipe = -1;
	call->lsn = -1;
	return call;
}

static void
take_body(HaRestCall *call, const char *data, size_t length)
{
	char	   *body;

	if (length > HA_REST_MAX_BODY - call->length)
		call->too_long = true;
	if (call->too_long)
		return;
	body = realloc(call->body, call->length + length + 1);
	if (body == NULL)
	{
		call->too_long = true;
		return;
	}
	memcpy(body + call->length, data, length);
	call->length += length;
	body[call->length] = '\0';
	call->body = body;
}

/* Who may not is told at once, before any of the body is read. */
static enum MHD_Result
let_in(HaRest *rest, struct MHD_Connection *connection,
	   const struct HaRestAction *action, void **context)
{
	unsigned int status;
	const char *why = NULL;

	if (action == NULL || !ha_rest_is_harmless(action))
		why = ha_rest_refusal(&rest->access, connection, action == NULL,
							  &status);
	if (why != NULL)
	{
		rest->refused++;
		return answer(connection, status, "text/plain", strdup(why), -1);
	}
	*context = begin_call(connection, action);
	return MHD_YES;
}

/*
 * Called with the headers, then with each piece of the body, then without any;
 * and once more when a suspended one goes on.
 */
static enum MHD_Result
take_call(HaRest *rest, struct MHD_Connection *connection,
		  const struct HaRestAction *action, const char *data, size_t *size,
		  void **context)
{
	HaRestCall *call = *context;

	if (call == NULL)
		return let_in(rest, connection, action, context);
	if (*size > 0)
	{
		take_body(call, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (call->status == 0 && call->asked_at != 0)
		return MHD_NO;			/* we end before it was answered */
	if (call->status == 0 && call->action == NULL)
		ha_rest_ask_promise(rest, call);
	else if (call->status == 0)
		ha_rest_act(rest, call);
	if (call->status == 0)
		return MHD_YES;			/* it waits */
	if (call->status == MHD_HTTP_CONTENT_TOO_LARGE)
		rest->refused++;
	return answer_call(call);
}

/* The code for a method that we don't serve there; 0 = we do. */
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

/* What needs no more than the headers.  "call": it was asked that long ago. */
static enum MHD_Result
tell(const HaRest *rest, struct MHD_Connection *connection, const char *url,
	 bool with_body, const HaRestCall *call)
{
	const HaFailsafe *failsafe = &ha_session_last_view(rest->session)->failsafe;
	HaRestSnapshot snap;
	unsigned int status;
	bool		json;

	/* Who is asked, even if the mode is off by now. */
	if (strcmp(url, "/failsafe") == 0)
		return failsafe->mod_revision == 0 ?
			answer_bare(connection, MHD_HTTP_BAD_GATEWAY) :
			answer(connection, MHD_HTTP_OK, "application/json",
				   with_body ? ha_failsafe_json(failsafe) : NULL, -1);
	if (with_body && ha_status_page_is_wanted(connection, url))
		return answer(connection, MHD_HTTP_OK, "text/html; charset=utf-8",
					  ha_status_page(), -1);
	ha_rest_snapshot(rest, &snap);
	snap.is_old = call != NULL && !ha_rest_position_is_new(call, &snap.worker);
	if (strcmp(url, "/pg_ha") == 0 && with_body)
		return answer(connection, MHD_HTTP_OK, "application/json",
					  ha_status_page_json(rest, &snap), -1);
	if (strcmp(url, "/metrics") == 0 && with_body)
		return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4",
					  ha_rest_metrics(rest, &snap), -1);
	status = ha_rest_health(rest, &snap, connection, url, &json);
	return answer(connection, status, "application/json", with_body && json ?
				  ha_rest_state_json(rest, &snap) : NULL, -1);
}

/* ... and, once the worker has taken another turn. */
static enum MHD_Result
tell_anew(HaRest *rest, struct MHD_Connection *connection, const char *url,
		  void **context)
{
	HaRestCall *call = *context;

	if (call == NULL)
	{
		call = begin_call(connection, NULL);
		*context = call;
		ha_rest_ask_position(rest, call);
		return MHD_YES;
	}
	if (call->status == 0)
		return MHD_NO;			/* we end before it was answered */
	return tell(rest, connection, url, true, call);
}

static enum MHD_Result
handle_request(void *arg, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *size, void **context)
{
	HaRest	   *rest = arg;
	const struct HaRestAction *action = ha_rest_find_action(method, url);
	unsigned int refused = refuse_method(method);

	if (*context == NULL)
		rest->requests++;
	if (action != NULL ||
		(strcmp(url, "/failsafe") == 0 && strcmp(method, "POST") == 0))
		return take_call(rest, connection, action, data, size, context);
	if (refused != 0)
		return answer_bare(connection, refused);
	if (*context != NULL ||
		(strcmp(url, "/patroni") == 0 && strcmp(method, "GET") == 0 &&
		 ha_rest_position_counts(rest)))
		return tell_anew(rest, connection, url, context);
	return tell(rest, connection, url, strcmp(method, "GET") == 0, NULL);
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
	HaRestClient *client = client_of(rest, connection);
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED && client != NULL)
		client->fd = -1;
	if (code != MHD_CONNECTION_NOTIFY_STARTED)
		return;
	info = MHD_get_connection_info(connection,
								   MHD_CONNECTION_INFO_CONNECTION_FD);
	for (int i = 0; info != NULL && i < HA_REST_MAX_CONNECTIONS; i++)
	{
		client = &rest->clients[i];
		if (client->fd >= 0)
			continue;
		client->fd = info->connect_fd;
		client->end_at = ha_now() + HA_REST_MAX_MS;
		client->connection = connection;
		return;
	}
}

/* End those that had their time; libmicrohttpd sees it and closes them. */
static void
end_overdue(HaRest *rest)
{
	int64_t		now = ha_now();

	for (int i = 0; i < HA_REST_MAX_CONNECTIONS; i++)
	{
		if (rest->clients[i].fd >= 0 && rest->clients[i].end_at <= now)
		{
			rest->refused++;
			rest->clients[i].end_at = NEVER;
			shutdown(rest->clients[i].fd, SHUT_RDWR);
		}
	}
}

/*-------------------------------------------------------------------------
 * Opening
 *-------------------------------------------------------------------------
 */

/* As the node file has checked it */
static bool
parse_listen(const char *text, struct sockaddr_storage *out, socklen_t *length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) out;
	char		host[256];
	int			port = 0;

	memset(out, 0, sizeof(*out));
	if (!ha_address_parse(text, host, sizeof(host), &port))
		return false;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
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
		listen(fd, HA_REST_MAX_CONNECTIONS) == 0)
		return fd;
	pg_log_error("could not listen for HTTP at \"%s\": %m", address);
	pg_log_error_hint("Set pg_ha.rest_listen to a free address and port of this host.");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The daemon's descriptor in a set of our own, where children's pipes are too. */
static bool
watch_daemon(HaRest *rest)
{
	const union MHD_DaemonInfo *info =
	MHD_get_daemon_info(rest->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event event = {.events = EPOLLIN};

	if (info == NULL)
		return false;
	event.data.fd = info->epoll_fd;
	rest->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return rest->epoll_fd >= 0 &&
		epoll_ctl(rest->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) == 0;
}

static bool
start_daemon(HaRest *rest, int listen_fd)
{
	const HaRestAccess *access = &rest->access;
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, access->cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, access->key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
		"NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"},
		{access->ca != NULL ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0,
		access->ca},
		{MHD_OPTION_END, 0, NULL},
	};
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

	if (access->cert != NULL)
		flags |= MHD_USE_TLS;
	else
		tls[0].option = MHD_OPTION_END;
	rest->daemon =
		MHD_start_daemon(flags, 0, NULL,
						 NULL, handle_request, rest,
						 MHD_OPTION_LISTEN_SOCKET, listen_fd,
						 MHD_OPTION_ARRAY, tls,
						 MHD_OPTION_CONNECTION_LIMIT,
						 (unsigned int) HA_REST_MAX_CONNECTIONS,
						 MHD_OPTION_PER_IP_CONNECTION_LIMIT,
						 (unsigned int) MAX_PER_ADDRESS,
						 MHD_OPTION_CONNECTION_TIMEOUT,
						 (unsigned int) (HA_REST_MAX_MS / 1000),
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT,
						 (size_t) CONNECTION_MEMORY,
						 MHD_OPTION_STRICT_FOR_CLIENT, 1,
						 MHD_OPTION_NOTIFY_CONNECTION, note_connection, rest,
						 MHD_OPTION_NOTIFY_COMPLETED, end_request, rest,
						 MHD_OPTION_END);
	return rest->daemon != NULL && watch_daemon(rest);
}

HaRest *
ha_rest_open(const HaNode *node, HaControl *control, HaSession *session,
			 const HaMemberState *state)
{
	HaRest	   *rest;
	int			listen_fd;

	listen_fd = open_socket(node->rest_listen);
	if (listen_fd < 0)
		return NULL;
	rest = pg_malloc0(sizeof(HaRest));
	rest->epoll_fd = -1;
	rest->node = node;
	rest->control = control;
	rest->session = session;
	rest->state = state;
	for (int i = 0; i < HA_REST_MAX_CONNECTIONS; i++)
		rest->clients[i].fd = -1;
	if (ha_rest_access_open(node, &rest->access))
	{
		if (start_daemon(rest, listen_fd))
			return rest;
		pg_log_error("could not start the HTTP listener at \"%s\"",
					 node->rest_listen);
		pg_log_error_hint("Look at pg_ha.rest_cert and pg_ha.rest_key, and at the limits on memory and open files.");
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
	for (HaRestCall *call = rest->line; call != NULL; call = call->next)
		MHD_resume_connection(call->connection);
	for (HaRestCall *call = rest->waiting; call != NULL; call = call->next)
		MHD_resume_connection(call->connection);
	for (HaRestCall *call = rest->positions; call != NULL; call = call->next)
		MHD_resume_connection(call->connection);
	rest->line = rest->waiting = rest->positions = NULL;
	if (rest->daemon != NULL)
		MHD_stop_daemon(rest->daemon);
	if (rest->epoll_fd >= 0)
		close(rest->epoll_fd);
	ha_rest_access_close(&rest->access);
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
	int64_t		now = ha_now();
	int64_t		until = NEVER;

	if (MHD_get_timeout(rest->daemon, &ms) == MHD_YES)
		until = now + Min(ms, INT_MAX);
	for (int i = 0; i < HA_REST_MAX_CONNECTIONS; i++)
	{
		if (rest->clients[i].fd >= 0)
			until = Min(until, rest->clients[i].end_at);
	}
	if (rest->line != NULL)
		until = Min(until, rest->line->give_up_at);
	if (rest->waiting != NULL || rest->positions != NULL)
		until = Min(until, now + WAITING_TICK);
	return until == NEVER ? -1 : (int) Min(Max(until - now, 0), INT_MAX);
}

void
ha_rest_run(HaRest *rest)
{
	end_overdue(rest);
	for (int i = 0; i < 2; i++) /* once more for what has just come in */
	{
		ha_rest_serve_line(rest);
		ha_rest_serve_waiting(rest);
		ha_rest_serve_positions(rest);
		MHD_run(rest->daemon);
	}
}
