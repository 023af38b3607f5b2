/*-------------------------------------------------------------------------
 *
 * rest_actions.c
 *	  HTTP: what operators have done: the table of it, /config, /switchover, ...
 *
 * Bodies, codes and texts are Patroni's, since patronictl and people's scripts go by
 * them.  What may be done is not decided here: rest_ask.c has it asked for, and what
 * comes of it is seen in the store as pg_ha_boot reads it anyway.  All of it can be
 * asked for while the server is down, as far as no server is needed for it.
 *
 * What goes by the cluster as it is begins with a read of the store that was sent after
 * the request came.  So does GET of /cluster, /history and /config, which is why that
 * is here.  One read is for all who wait, and however many these are, there is one in
 * READ_EVERY_MS at most.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "../config_json.h"
#include "../json_guard.h"
#include "../wall_time.h"
#include "rest_actions.h"

#define READ_EVERY_MS		100

/* How long the outcome of a switchover is waited for, and how often looked at. */
#define SWITCHOVER_MS		60000
#define LOOK_EVERY_MS		300

typedef struct HaRestAction
{
	const char *method;
	const char *path;
	bool		harmless;		/* no more than a look */
	bool		has_body;		/* must have one */
	bool		looks;			/* begins with a view of now */
	void		(*begin) (HaRest *rest, HaRestCall *call);

	/* what the child said; and what is to be waited for then, if anything is */
	void		(*hear) (HaRest *rest, HaRestCall *call,
						 const HaRestReply *reply);
	void		(*look) (HaRestCall *call, const HaView *view,
						 const char *self);
} HaRestAction;

/*-------------------------------------------------------------------------
 * Bodies
 *-------------------------------------------------------------------------
 */

static bool
says_its_length(const HaRestCall *call)
{
	return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND,
									   "Content-Length") != NULL ||
		MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND,
									"Transfer-Encoding") != NULL;
}

/* The body as an object; what need not have one may have an empty one. */
static bool
take_document(HaRestCall *call)
{
	if (call->too_long)
	{
		ha_rest_finish(call, MHD_HTTP_CONTENT_TOO_LARGE, "body is too long");
		return false;
	}
	if (call->action->has_body && !says_its_length(call))
	{
		ha_rest_finish(call, MHD_HTTP_LENGTH_REQUIRED, "a body is needed");
		return false;
	}
	if (call->length > 0)
		call->document = ha_json_load(call->body, call->length);
	else if (!call->action->has_body)
		call->document = ha_json_object();
	if (json_is_object(call->document))
		return true;
	ha_rest_finish(call, MHD_HTTP_BAD_REQUEST, call->length == 0 ?
				   "a body is needed" : "the body is not a JSON object");
	return false;
}

unsigned int
ha_rest_status_of(const char *sqlstate, unsigned int state_is_wrong)
{
	if (strncmp(sqlstate, "22", 2) == 0)	/* a value that is none */
		return MHD_HTTP_BAD_REQUEST;
	if (strcmp(sqlstate, "40001") == 0)
		return MHD_HTTP_CONFLICT;
	if (strcmp(sqlstate, "55000") == 0 || strcmp(sqlstate, "42704") == 0)
		return state_is_wrong;
	return MHD_HTTP_SERVICE_UNAVAILABLE;
}

void
ha_rest_finish_unheard(HaRestCall *call, const HaRestReply *reply, const char *what)
{
	if (!reply->heard)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "%s status unknown", what);
	else
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "%s",
					   reply->text);
}

/*-------------------------------------------------------------------------
 * GET /cluster, /history, /config
 *-------------------------------------------------------------------------
 */

static void
tell_document(HaRest *rest, HaRestCall *call)
{
	const char *path = call->action->path;
	char	   *json = NULL;

	if (!ha_session_last_view(rest->session)->valid)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "etcd is not reachable");
	else if (strcmp(path, "/cluster") == 0)
		json = ha_rest_cluster_json(rest);
	else if (strcmp(path, "/history") == 0)
		json = ha_rest_history_json(rest);
	else
		json = ha_rest_config_json(rest);
	if (json != NULL)
		ha_rest_finish_json(call, MHD_HTTP_OK, json);
	else if (call->status == 0)
		ha_rest_finish(call, MHD_HTTP_BAD_GATEWAY, "%s", "");
}

/*-------------------------------------------------------------------------
 * PATCH and PUT /config
 *-------------------------------------------------------------------------
 */

static void
change_config(HaRest *rest, HaRestCall *call, const char *change)
{
	HaRestSql	sql = {
		.function = "pg_ha_set_config",
		.arguments = "$1::pg_catalog.jsonb",
		.n = 1,
		.parameters = {change},
	};

	ha_rest_ask_server(rest, call, &sql);
}

static void
begin_patch(HaRest *rest, HaRestCall *call)
{
	size_t		length;

	if (ha_session_key(rest->session, "config", &length) == NULL)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", "");
	else
		change_config(rest, call, call->body);
}

static void
begin_put(HaRest *rest, HaRestCall *call)
{
	char	   *before = ha_rest_config_json(rest);
	char	   *change = ha_config_difference(before, call->body);

	if (change == NULL)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	else
		change_config(rest, call, change);
	free(before);
	free(change);
}

static void
hear_config(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	if (reply->ok && reply->result != NULL)
		ha_rest_finish_json(call, MHD_HTTP_OK, strdup(reply->result));
	else if (reply->sqlstate[0] != '\0')
		ha_rest_finish(call, ha_rest_status_of(reply->sqlstate,
											   MHD_HTTP_SERVICE_UNAVAILABLE),
					   "%s", reply->text);
	else
		ha_rest_finish_unheard(call, reply, "Configuration");
}

/*-------------------------------------------------------------------------
 * POST /switchover, /failover; DELETE /switchover
 *-------------------------------------------------------------------------
 */

static bool
is_failover(const HaRestCall *call)
{
	return strcmp(call->action->path, "/failover") == 0 &&
		text_of(call, "leader") == NULL;
}

static const char *
action_name(const HaRestCall *call)
{
	return is_failover(call) ? "Failover" : "Switchover";
}

static const char *
candidate_of(const HaRestCall *call)
{
	const char *candidate = text_of(call, "candidate");

	return candidate != NULL ? candidate : text_of(call, "member");
}

unsigned int
ha_rest_check_schedule(const char *text, const char *what, char *why, size_t size)
{
	int64_t		ms;
	size_t		length = strlen(text);
	char		with_zone[HA_TIME_SIZE + 1];

	if (ha_time_parse(text, &ms))
	{
		snprintf(why, size, "Cannot schedule %s in the past", what);
		return ms <= ha_wall_clock() ? MHD_HTTP_UNPROCESSABLE_CONTENT : 0;
	}
	if (length < HA_TIME_SIZE)
	{
		snprintf(with_zone, sizeof(with_zone), "%sZ", text);
		if (ha_time_parse(with_zone, &ms))
		{
			snprintf(why, size, "Timezone information is mandatory for the scheduled %s",
					 what);
			return MHD_HTTP_BAD_REQUEST;
		}
	}
	snprintf(why, size, "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601");
	return MHD_HTTP_UNPROCESSABLE_CONTENT;
}

/* What is wrong with the request as such, in Patroni's order; 0 = nothing. */
static unsigned int
check_wish(const HaRestCall *call, bool paused, const char **why, char *buf,
		   size_t size)
{
	bool		failover = strcmp(call->action->path, "/failover") == 0;
	const char *leader = text_of(call, "leader");
	const char *candidate = candidate_of(call);
	const char *at = text_of(call, "scheduled_at");
	unsigned int status;

	*why = NULL;
	if (failover && candidate == NULL)
		*why = "Failover could be performed only to a specific candidate";
	else if (!failover && leader == NULL)
		*why = "Switchover could be performed only from a specific leader";
	else if (at != NULL && failover)
		*why = "Failover can't be scheduled";
	else if (at != NULL && paused)
		*why = "Can't schedule switchover in the paused state";
	else if (at != NULL &&
			 (status = ha_rest_check_schedule(at, "switchover", buf, size)) != 0)
	{
		*why = buf;
		return status;
	}
	else if (paused && candidate == NULL)
		*why = "Switchover is possible only to a specific candidate in a paused state";
	else if (leader != NULL && candidate != NULL &&
			 strcmp(leader, candidate) == 0)
		*why = "Switchover target and source are the same";
	else
	{
		*why = NULL;
		return 0;
	}
	return MHD_HTTP_BAD_REQUEST;
}

static void
begin_wish(HaRest *rest, HaRestCall *call)
{
	const HaView *view = ha_session_last_view(rest->session);
	const char *leader = text_of(call, "leader");
	const char *candidate = candidate_of(call);
	const char *at = text_of(call, "scheduled_at");
	const char *now_leads = view->leader.present ? view->leader.name : NULL;
	HaRestSql	sql = {
		.function = "pg_ha_switchover",
		.arguments = "$1::pg_catalog.text, $2::pg_catalog.timestamptz, false",
		.n = 2,
		.parameters = {candidate, at},
	};
	const char *why;
	char		buf[128];
	unsigned int status = check_wish(call, view->config.pause, &why, buf,
									 sizeof(buf));

	if (status == 0 && leader != NULL &&
		(now_leads == NULL || strcmp(leader, now_leads) != 0))
	{
		status = MHD_HTTP_PRECONDITION_FAILED;
		why = "leader name does not match";
	}
	if (status != 0)
	{
		ha_rest_finish(call, status, "%s", why);
		return;
	}
	if (is_failover(call))
	{
		sql.function = "pg_ha_failover";
		sql.arguments = "$1::pg_catalog.text, $2::pg_catalog.text, false";
		sql.parameters[1] = now_leads;
	}
	strlcpy(call->old_leader, now_leads != NULL ? now_leads : "",
			sizeof(call->old_leader));
	strlcpy(call->candidate, candidate != NULL ? candidate : "",
			sizeof(call->candidate));
	call->wish_before = view->failover.mod_revision;
	ha_rest_ask_server(rest, call, &sql);
}

static void
hear_wish(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	if (reply->ok && text_of(call, "scheduled_at") != NULL)
		ha_rest_finish(call, MHD_HTTP_ACCEPTED, "Switchover scheduled");
	else if (reply->ok)
	{
		call->stage = HA_REST_OUTCOME;
		call->asked_at = ha_now();
		call->give_up_at = call->asked_at + SWITCHOVER_MS;
	}
	else if (strcmp(reply->sqlstate, "42704") == 0)
		ha_rest_finish(call, MHD_HTTP_PRECONDITION_FAILED,
					   "candidate does not exists");
	else if (reply->sqlstate[0] != '\0')
		ha_rest_finish(call, ha_rest_status_of(reply->sqlstate,
											   MHD_HTTP_PRECONDITION_FAILED),
					   "%s", reply->text);
	else
		ha_rest_finish_unheard(call, reply, action_name(call));
}

/*
 * Somebody else leads, and has said so; or the wish is gone from the store while the
 * old one leads.  "view" is of after the wish was put.
 */
static void
look_for_leader(HaRestCall *call, const HaView *view, const char *self)
{
	const char *leader = view->leader.present ? view->leader.name : "";
	const char *verb = is_failover(call) ? "failed" : "switched";

	if (leader[0] != '\0' && strcmp(leader, call->old_leader) != 0 &&
		!view->term.intent && strcmp(view->term.owner, leader) == 0)
	{
		if (call->candidate[0] == '\0' || strcmp(call->candidate, leader) == 0)
			ha_rest_finish(call, MHD_HTTP_OK, "Successfully %s over to \"%s\"",
						   verb, leader);
		else
			ha_rest_finish(call, MHD_HTTP_OK,
						   "%c%s over to \"%s\" instead of \"%s\"",
						   pg_toupper(verb[0]), verb + 1, leader,
						   call->candidate);
	}
	else if (!view->failover.present && leader[0] != '\0' &&
			 strcmp(leader, call->old_leader) == 0)
	{
		bool		told = view->refusal.wish > call->wish_before;

		ha_rest_finish(call, told ? MHD_HTTP_PRECONDITION_FAILED :
					   MHD_HTTP_SERVICE_UNAVAILABLE, "%s failed%s%s",
					   action_name(call), told ? ": " : "",
					   told ? view->refusal.reason : "");
	}
	else if (ha_now() >= call->give_up_at)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "%s status unknown", action_name(call));
}

static void
begin_cancel(HaRest *rest, HaRestCall *call)
{
	HaRestSql	sql = {.function = "pg_ha_cancel_switchover",.arguments = ""};

	if (ha_session_last_view(rest->session)->failover.present)
		ha_rest_ask_server(rest, call, &sql);
	else
		ha_rest_finish(call, MHD_HTTP_NOT_FOUND, "no switchover is scheduled");
}

static void
hear_cancel(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	if (reply->ok)
		ha_rest_finish(call, MHD_HTTP_OK, "scheduled switchover deleted");
	else if (reply->sqlstate[0] != '\0')
		ha_rest_finish(call, ha_rest_status_of(reply->sqlstate, MHD_HTTP_CONFLICT),
					   "%s", reply->text);
	else
		ha_rest_finish_unheard(call, reply, "Switchover");
}

/*-------------------------------------------------------------------------
 * What pg_ha has not
 *-------------------------------------------------------------------------
 */

/* It is for Patroni's own tests on an operating system without signals. */
static void
begin_sigterm(HaRest *rest, HaRestCall *call)
{
	ha_rest_finish(call, MHD_HTTP_NOT_IMPLEMENTED,
				   "pg_ha_boot is stopped by its service manager");
}

static void
begin_citus(HaRest *rest, HaRestCall *call)
{
	ha_rest_finish(call, MHD_HTTP_NOT_FOUND, "Citus is not supported");
}

/*-------------------------------------------------------------------------
 * The table, and waiting
 *-------------------------------------------------------------------------
 */

static const HaRestAction actions[] = {
	{"GET", "/cluster", true, false, true, tell_document},
	{"GET", "/history", true, false, true, tell_document},
	{"GET", "/config", true, false, true, tell_document},
	{"PATCH", "/config", false, true, true, begin_patch, hear_config},
	{"PUT", "/config", false, true, true, begin_put, hear_config},
	{"POST", "/switchover", false, true, true, begin_wish, hear_wish, look_for_leader},
	{"POST", "/failover", false, true, true, begin_wish, hear_wish, look_for_leader},
	{"DELETE", "/switchover", false, false, true, begin_cancel, hear_cancel},
	{"POST", "/restart", false, false, false, ha_rest_begin_restart,
	ha_rest_hear_restart, ha_rest_look_for_restart},
	{"DELETE", "/restart", false, false, true, ha_rest_begin_unschedule,
	ha_rest_hear_unscheduled},
	{"POST", "/reload", false, false, false, ha_rest_begin_reload},
	{"POST", "/reinitialize", false, false, false, ha_rest_begin_reinit,
	ha_rest_hear_reinit, ha_rest_look_for_reinit},
	{"POST", "/sigterm", false, false, false, begin_sigterm},
	{"POST", "/citus", false, false, false, begin_citus},
	{"POST", "/mpp", false, false, false, begin_citus},
};

const HaRestAction *
ha_rest_find_action(const char *method, const char *path)
{
	for (int i = 0; i < lengthof(actions); i++)
	{
		if (strcmp(actions[i].method, method) == 0 &&
			strcmp(actions[i].path, path) == 0)
			return &actions[i];
	}
	return NULL;
}

bool
ha_rest_is_harmless(const HaRestAction *action)
{
	return action->harmless;
}

/* The request is complete.  Either it waits then, or it has a status. */
void
ha_rest_act(HaRest *rest, HaRestCall *call)
{
	if (!take_document(call))
		return;
	if (!call->action->looks)
	{
		call->action->begin(rest, call);
		return;
	}
	call->stage = HA_REST_VIEW;
	call->look_after = ha_now();
	ha_rest_suspend(rest, call, &rest->waiting, HA_REST_LOOK_MS);
}

void
ha_rest_forget(HaRest *rest, HaRestCall *call)
{
	ha_rest_stop_asking(rest, call);
}

/* A view that was sent after that time; NULL = not yet. */
static const HaView *
view_after(HaRest *rest, int64_t time)
{
	const HaView *last = ha_session_last_view(rest->session);
	int64_t		now = ha_now();

	if (last->valid && last->sent_at > time)
		return last;
	if (now > time && now - last->sent_at >= READ_EVERY_MS)
		(void) ha_session_view(rest->session, time);
	return NULL;
}

/* See how one that waits gets on. */
static void
serve_call(HaRest *rest, HaRestCall *call)
{
	const HaView *view;
	HaRestReply reply;

	if (call->stage == HA_REST_ASKING)
	{
		if (!ha_rest_hear(rest, call, &reply))
			return;
		call->look_after = ha_now();
		call->action->hear(rest, call, &reply);
		free(reply.result);
		return;
	}
	view = view_after(rest, call->look_after);
	if (call->stage == HA_REST_VIEW)
	{
		if (view != NULL ||
			(ha_now() >= call->give_up_at && call->action->harmless))
			call->action->begin(rest, call);
		else if (ha_now() >= call->give_up_at)
			ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
						   "etcd is not reachable");
		return;
	}
	if (view != NULL)
		call->action->look(call, view, rest->node->name);
	else if (ha_now() >= call->give_up_at)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "status unknown: etcd is not reachable");
	if (view != NULL)
		call->look_after = ha_now() + LOOK_EVERY_MS;
}

void
ha_rest_serve_waiting(HaRest *rest)
{
	HaRestCall **link = &rest->waiting;

	while (*link != NULL)
	{
		HaRestCall *call = *link;

		serve_call(rest, call);
		if (call->status == 0)
			link = &call->next;
		else
		{
			*link = call->next;
			ha_rest_resume(rest, call);
		}
	}
}
