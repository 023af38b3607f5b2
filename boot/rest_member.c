/*-------------------------------------------------------------------------
 *
 * rest_member.c
 *	  HTTP: what this member is to do: /restart, /reload, /reinitialize.
 *
 * A restart now, and a new copy of the data, are requests to this member in the store:
 * it must be possible to ask for them while the server is down, and that they are
 * carried out shows in the member key.  A restart of later is asked of the server, as
 * all that concerns the cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>
#include <unistd.h>

#include "../member_json.h"
#include "rest_actions.h"

/* How long the end of a restart is waited for, if the client does not say. */
#define RESTART_S			120
#define MAX_RESTART_S		3600

/*-------------------------------------------------------------------------
 * POST and DELETE /restart
 *-------------------------------------------------------------------------
 */

/* Stopped by somebody in a pause, so that only an order starts it? */
static bool
is_left_alone(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->state == HA_STATE_STOPPED &&
		ha_session_last_view(rest->session)->config.pause;
}

static void
refuse_to_restart(HaRestCall *call, HaMemberState state)
{
	if (state == HA_STATE_STARTING)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "postgres is still starting");
	else if (state == HA_STATE_CLONING)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "reinitialize already in progress");
	else
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "postgres is %s",
					   ha_member_state_name(state));
}

/* What is wrong with the filters as such; NULL = nothing. */
static const char *
check_filters(const HaRestCall *call, char *buf, size_t size)
{
	static const char *const known[] = {
		"role", "postgres_version", "timeout", "restart_pending", "schedule"
	};
	static const char *const roles[] = {
		"master", "primary", "standby_leader", "replica"
	};
	const char *role = text_of(call, "role");
	const char *version = text_of(call, "postgres_version");
	const json_t *timeout = json_object_get(call->document, "timeout");
	bool		found = role == NULL && !is_given(call, "role");
	const char *key;
	json_t	   *value;

	json_object_foreach(call->document, key, value)
	{
		bool		is_known = false;

		for (int i = 0; i < lengthof(known); i++)
			is_known |= strcmp(key, known[i]) == 0;
		if (!is_known)
		{
			snprintf(buf, size, "Unknown filter for the scheduled restart: %.100s",
					 key);
			return buf;
		}
	}
	for (int i = 0; role != NULL && i < lengthof(roles); i++)
		found |= strcmp(role, roles[i]) == 0;
	if (!found)
		return "PostgreSQL role should be either primary, standby_leader, or replica";
	if (is_given(call, "postgres_version") &&
		(version == NULL || ha_request_version(version) == 0))
	{
		snprintf(buf, size, "Invalid PostgreSQL version: %.100s",
				 version != NULL ? version : "not text");
		return buf;
	}
	if (is_given(call, "timeout") &&
		(!json_is_integer(timeout) || json_integer_value(timeout) <= 0))
		return "Timeout should be a positive number of seconds";
	return NULL;
}

static bool
filters_are_met(const HaRestCall *call, const HaRestSnapshot *snap)
{
	const char *role = text_of(call, "role");
	const char *version = text_of(call, "postgres_version");
	bool		for_primary = role != NULL &&
	(strcmp(role, "primary") == 0 || strcmp(role, "master") == 0);

	if (role != NULL && (strcmp(role, "standby_leader") == 0 ||
						 for_primary != (snap->worker.role == HA_ROLE_PRIMARY)))
		return false;
	if (version != NULL && snap->worker.server_version >= ha_request_version(version))
		return false;
	return !flag_of(call, "restart_pending") ||
		snap->pending_restart;
}

static HaRole
role_wanted(const HaRestCall *call)
{
	const char *role = text_of(call, "role");

	if (role == NULL)
		return HA_ROLE_UNINITIALIZED;
	return strcmp(role, "primary") == 0 || strcmp(role, "master") == 0 ?
		HA_ROLE_PRIMARY : HA_ROLE_STANDBY;
}

/* The conditions are looked at when it is time. */
static void
schedule_restart(HaRest *rest, HaRestCall *call)
{
	static const char *const words[] = {
		[HA_ROLE_UNINITIALIZED] = "any",
		[HA_ROLE_PRIMARY] = "leader",
		[HA_ROLE_STANDBY] = "standby",
	};
	HaRestSql	sql = {
		.function = "pg_ha_restart",
		.arguments = "$1::pg_catalog.text, $2::pg_catalog.bool, $3::pg_catalog.text, "
		"$4::pg_catalog.text, $5::pg_catalog.timestamptz",
		.n = 5,
		.parameters = {
			rest->node->name, flag_of(call, "restart_pending") ? "true" : "false",
			words[role_wanted(call)], text_of(call, "postgres_version"),
			text_of(call, "schedule")
		},
	};
	char		why[128] = "Unable to parse scheduled timestamp.";
	unsigned int status = MHD_HTTP_UNPROCESSABLE_CONTENT;

	if (ha_session_last_view(rest->session)->config.pause)
	{
		ha_rest_finish(call, MHD_HTTP_INTERNAL_SERVER_ERROR,
					   "Can't schedule restart in the paused state");
		return;
	}
	if (text_of(call, "schedule") != NULL)
		status = ha_rest_check_schedule(text_of(call, "schedule"), "restart", why,
										sizeof(why));
	if (status != 0)
		ha_rest_finish(call, status, "%s", why);
	else
		ha_rest_ask_server(rest, call, &sql);
}

void
ha_rest_begin_restart(HaRest *rest, HaRestCall *call)
{
	const char *version = text_of(call, "postgres_version");
	HaRestRequest request = {
		.kind = HA_REQUEST_RESTART,
		.pending = flag_of(call, "restart_pending"),
		.role = role_wanted(call),
	};
	HaRestSnapshot snap;
	char		buf[192];
	const char *why = check_filters(call, buf, sizeof(buf));

	ha_rest_snapshot(rest, &snap);
	if (why == NULL && version != NULL)
		request.before_version = ha_request_version(version);
	if (why != NULL)
		ha_rest_finish(call, MHD_HTTP_BAD_REQUEST, "%s", why);
	else if (is_given(call, "schedule"))
		schedule_restart(rest, call);
	else if (snap.state != HA_STATE_RUNNING && !is_left_alone(rest, &snap))
		refuse_to_restart(call, snap.state);
	else if (!filters_are_met(call, &snap))
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "restart conditions are not satisfied");
	else
		ha_rest_ask_store(rest, call, &request);
}

static void
finish_refused_request(HaRestCall *call, HaRequestRefusal refusal,
					   const char *what)
{
	const char *why = "this member is not known in the cluster yet";

	if (refusal == HA_REFUSAL_NO_LEADER)
		why = "Cluster has no leader, can not reinitialize";
	else if (refusal == HA_REFUSAL_LEADS)
		why = "I am the leader, can not reinitialize";
	if (refusal == HA_REFUSAL_IN_PROGRESS)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "%s already in progress", what);
	else
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", why);
}

static void
hear_scheduled(HaRestCall *call, const HaRestReply *reply, const char *done)
{
	if (reply->ok)
		ha_rest_finish(call, is_given(call, "schedule") ? MHD_HTTP_ACCEPTED :
					   MHD_HTTP_OK, "%s", done);
	else if (strcmp(reply->sqlstate, "55006") == 0)
		ha_rest_finish(call, MHD_HTTP_CONFLICT,
					   "Another restart is already scheduled");
	else if (reply->sqlstate[0] != '\0')
		ha_rest_finish(call, ha_rest_status_of(reply->sqlstate, MHD_HTTP_BAD_REQUEST),
					   "%s", reply->text);
	else
		ha_rest_finish_unheard(call, reply, "restart");
}

void
ha_rest_hear_restart(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	json_int_t	timeout = is_given(call, "timeout") ?
	json_integer_value(json_object_get(call->document, "timeout")) : RESTART_S;

	if (is_given(call, "schedule"))
		hear_scheduled(call, reply, "Restart scheduled");
	else if (reply->ok)
	{
		strlcpy(call->id, reply->id, sizeof(call->id));
		call->stage = HA_REST_OUTCOME;
		call->asked_at = ha_now();
		call->give_up_at = call->asked_at + Min(timeout, MAX_RESTART_S) * 1000;
	}
	else if (reply->refusal != HA_REFUSAL_NONE)
		finish_refused_request(call, reply->refusal, "another request is");
	else
		ha_rest_finish_unheard(call, reply, "restart");
}

/* It tells in its member key how far it is. */
void
ha_rest_look_for_restart(HaRestCall *call, const HaView *view, const char *self)
{
	const HaMember *member = ha_find_member(view, self);
	HaProgress	progress = {.state = HA_PROGRESS_NONE};

	if (member != NULL && strcmp(member->progress.id, call->id) == 0)
		progress = member->progress;
	if (progress.state == HA_PROGRESS_DONE)
		ha_rest_finish(call, MHD_HTTP_OK, "restarted successfully");
	else if (progress.state == HA_PROGRESS_DECLINED)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "restart conditions are not satisfied: %s",
					   progress.text);
	else if (progress.state == HA_PROGRESS_FAILED)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "restart failed: %s", progress.text);
	else if (ha_now() >= call->give_up_at)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "restart did not end in time");
}

void
ha_rest_begin_unschedule(HaRest *rest, HaRestCall *call)
{
	const HaMemberRequest *request =
	ha_find_request(ha_session_last_view(rest->session), rest->node->name);
	HaRestSql	sql = {
		.function = "pg_ha_cancel_restart",
		.arguments = "$1::pg_catalog.text",
		.n = 1,
		.parameters = {rest->node->name},
	};

	if (request != NULL && request->kind == HA_REQUEST_RESTART && request->at != 0)
		ha_rest_ask_server(rest, call, &sql);
	else
		ha_rest_finish(call, MHD_HTTP_NOT_FOUND, "no restarts are scheduled");
}

void
ha_rest_hear_unscheduled(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	hear_scheduled(call, reply, "scheduled restart deleted");
}

/*-------------------------------------------------------------------------
 * POST /reload, /reinitialize
 *-------------------------------------------------------------------------
 */

/* The same as any operator's SIGHUP. */
void
ha_rest_begin_reload(HaRest *rest, HaRestCall *call)
{
	(void) kill(getpid(), SIGHUP);
	ha_rest_finish(call, MHD_HTTP_ACCEPTED, "reload scheduled");
}

void
ha_rest_begin_reinit(HaRest *rest, HaRestCall *call)
{
	HaRestRequest request = {
		.kind = HA_REQUEST_REINIT,
		.force = flag_of(call, "force"),
		.from_leader = flag_of(call, "from_leader"),
	};

	ha_rest_ask_store(rest, call, &request);
}

void
ha_rest_hear_reinit(HaRest *rest, HaRestCall *call, const HaRestReply *reply)
{
	if (reply->ok)
	{
		strlcpy(call->id, reply->id, sizeof(call->id));
		call->stage = HA_REST_OUTCOME;
		call->give_up_at = ha_now() + HA_REST_LOOK_MS;
	}
	else if (reply->refusal != HA_REFUSAL_NONE)
		finish_refused_request(call, reply->refusal, "reinitialize");
	else
		ha_rest_finish_unheard(call, reply, "reinitialize");
}

/* As soon as we have seen it, GET /patroni tells of it. */
void
ha_rest_look_for_reinit(HaRestCall *call, const HaView *view, const char *self)
{
	ha_rest_finish(call, MHD_HTTP_OK, "reinitialize started");
}
