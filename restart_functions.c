/*-------------------------------------------------------------------------
 *
 * restart_functions.c
 *	  SQL functions that restart servers and have them read their files.
 *
 * A standby must not have lower limits than its primary: see boot/limits.c.  So
 * servers are restarted in an order that keeps to it.  Where limits rise, the
 * standbys go first; where they only fall, the leader; and standbys that can't
 * have the new value before the leader has, since they started with its old one,
 * come once more after it.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster.h"
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "config_json.h"
#include "control.h"
#include "documents.h"
#include "functions.h"
#include "operate.h"
#include "request_json.h"
#include "wall_time.h"

PG_FUNCTION_INFO_V1(pg_ha_restart);
PG_FUNCTION_INFO_V1(pg_ha_cancel_restart);
PG_FUNCTION_INFO_V1(pg_ha_reload);

/* How often standbys are restarted for limits that they could not have at once. */
#define LATE_ROUNDS		3

/* What pg_ha_restart() was called with. */
typedef struct Restart
{
	char	   *member;			/* NULL = all */
	bool		leader;
	bool		standby;
	int64		timeout;		/* ms, for each member */
	HaMemberRequest terms;		/* without what is of one request */
} Restart;

/*
 * One request.
 */

/* Ask the member for it.  Returns the id of the request. */
static char *
store_simple(const HaView *view, const HaMember *member,
			 HaMemberRequestKind kind, const HaMemberRequest *terms)
{
	const HaMemberRequest *old = ha_find_request(view, member->name);
	HaMemberRequest request;

	ha_sql_refuse_request(view, member->name, kind, false);
	ha_sql_new_request(&request, kind, view, member->name);
	request.pending = terms->pending;
	request.at = terms->at;
	request.before_version = terms->before_version;
	request.role = terms->role;
	request.force = terms->force;
	ha_sql_store_request(view, psprintf("pg_ha/requests/%s", member->name),
						 old != NULL ? old->mod_revision : 0, &request, false);
	return pstrdup(request.id);
}

/*
 * Until the member is through with it: how that was.  An error if it failed; that it was
 * not called for is none, since the next member may need it.
 */
static char *
wait_for_member(const char *name, HaMemberRequestKind kind, const char *id,
				int64 give_up)
{
	while (ha_now() < give_up)
	{
		HaPublished *p = ha_sql_look();
		const HaMember *member = ha_find_member(&p->view, name);
		HaProgress	progress = {0};

		if (member != NULL)
			progress = member->progress;
		pfree(p);
		if (strcmp(progress.id, id) == 0 &&
			progress.state == HA_PROGRESS_FAILED)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s of \"%s\" failed: %s",
							ha_request_kind_name(kind), name, progress.text)));
		if (strcmp(progress.id, id) == 0 &&
			(progress.state == HA_PROGRESS_DONE ||
			 progress.state == HA_PROGRESS_DECLINED))
			return pstrdup(progress.text);
		ha_sql_wait_a_little();
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s of member \"%s\" did not end in time",
					ha_request_kind_name(kind), name),
			 errhint("See pg_ha_requests() and pg_ha_members().")));
}

/*
 * The order.
 */

/*
 * How the cluster's configuration changes the limits, by what is in force in this
 * server.  Where a node file sets one, nothing is known; the order of the standbys,
 * the leader, and late standbys is right then too.
 */
static void
compare_limits(bool *rise, bool *fall)
{
	HaParameters *parameters = palloc(sizeof(HaParameters));
	char		err[256];
	int64		revision;
	char	   *json = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);

	*rise = *fall = false;
	if (json == NULL ||
		!ha_config_parameters(json, strlen(json), parameters, err, sizeof(err)))
		return;
	for (int i = 0; i < parameters->n; i++)
	{
		const HaParameter *parameter = &parameters->list[i];
		int			now;

		if (!ha_is_standby_limit(parameter->name))
			continue;
		now = atoi(GetConfigOption(parameter->name, false, false));
		*rise |= atoi(parameter->value) > now;
		*fall |= atoi(parameter->value) < now;
	}
	pfree(parameters);
}

static bool
waits_for_limit(const HaMember *member)
{
	char	   *names = pstrdup(member->pending_restart);
	char	   *rest = names;
	char	   *name;

	while ((name = strsep(&rest, ",")) != NULL)
	{
		if (ha_is_standby_limit(name))
			return true;
	}
	return false;
}

static bool
leads(const HaView *view, const char *name)
{
	return view->leader.present && strcmp(view->leader.name, name) == 0;
}

/*
 * The members that are meant, the leader last or first.  Of the standbys this one
 * comes last, since this session ends with its server.
 */
static List *
restart_order(const HaView *view, const Restart *restart, bool leader_first)
{
	List	   *order = NIL;
	char	   *leader = NULL;
	char	   *self = NULL;

	for (int i = 0; i < view->nmembers; i++)
	{
		const char *name = view->members[i].name;
		bool		is_leader = leads(view, name);

		if ((restart->member != NULL && strcmp(restart->member, name) != 0) ||
			(is_leader ? !restart->leader : !restart->standby))
			continue;
		if (is_leader)
			leader = pstrdup(name);
		else if (strcmp(name, ha_member_name) == 0)
			self = pstrdup(name);
		else
			order = lappend(order, pstrdup(name));
	}
	if (self != NULL)
		order = lappend(order, self);
	if (leader == NULL)
		return order;
	return leader_first ? lcons(leader, order) : lappend(order, leader);
}

/*
 * With higher limits the leader would have its standbys stop to replay.  One that
 * waits for a higher limit has not been restarted since it was set.
 */
static void
refuse_leader_before_standbys(const HaView *view, const char *name)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, name) != 0 && waits_for_limit(member))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("member \"%s\" has to be restarted before leader \"%s\": %s",
							member->name, name, member->pending_restart),
					 errdetail("A standby stops to replay when its primary has higher limits."),
					 errhint("pg_ha_restart(pending => true) restarts all in the right order.")));
	}
}

/*
 * Restarting.
 */

static char *
restart_one(const char *name, const Restart *restart, bool rise)
{
	HaPublished *p = ha_sql_look();
	const HaMember *member = ha_find_member(&p->view, name);
	char	   *id;

	if (member == NULL)
		return "gone";
	if (restart->terms.pending && restart->terms.at == 0 &&
		member->pending_restart[0] == '\0')
		return "no restart is pending";
	if (rise && restart->terms.at == 0 && !restart->terms.force && leads(&p->view, name) &&
		waits_for_limit(member))
		refuse_leader_before_standbys(&p->view, name);
	id = store_simple(&p->view, member, HA_REQUEST_RESTART, &restart->terms);
	pfree(p);
	if (restart->terms.at != 0)
	{
		char		time[HA_TIME_SIZE];

		ha_time_format(restart->terms.at, time);
		return psprintf("scheduled for %s", time);
	}
	return wait_for_member(name, HA_REQUEST_RESTART, id,
						   ha_now() + restart->timeout);
}

static void
restart_and_tell(const char *name, const Restart *restart, bool rise,
				 StringInfo said)
{
	char	   *how = restart_one(name, restart, rise);

	ereport(NOTICE, (errmsg("member \"%s\": %s", name, how)));
	appendStringInfo(said, "%s%s: %s", said->len > 0 ? ", " : "", name, how);
}

static bool
standbys_have_replayed(const HaView *view, uint64 lsn)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (!leads(view, member->name) &&
			member->state == HA_STATE_RUNNING && member->replay_lsn < lsn)
			return false;
	}
	return true;
}

/*
 * That the leader has lower limits now is in its WAL, and a standby may have them when
 * it has replayed that.  The leader has been restarted: every heartbeat from now on is
 * of after that record.  Who takes too long gets the restart as it is.
 */
static void
wait_for_replay(int64 give_up)
{
	int64		before = 0;
	uint64		reached = 0;
	bool		done = false;

	while (!done && ha_now() < give_up)
	{
		HaPublished *p = ha_sql_look();
		const HaHeartbeat *heartbeat = &p->view.heartbeat;

		if (before == 0)
			before = heartbeat->mod_revision;
		else if (reached == 0 && heartbeat->mod_revision > before)
			reached = heartbeat->lsn;
		done = reached != 0 && standbys_have_replayed(&p->view, reached);
		pfree(p);
		if (!done)
			ha_sql_wait_a_little();
	}
}

/* Standbys that could not have lower limits before the leader had. */
static void
restart_late(const Restart *restart, StringInfo said)
{
	Restart		late = *restart;

	late.terms.pending = true;
	for (int round = 0; round < LATE_ROUNDS; round++)
	{
		HaPublished *p = ha_sql_look();
		int			n = 0;

		for (int i = 0; i < p->view.nmembers; i++)
		{
			const HaMember *member = &p->view.members[i];

			if (leads(&p->view, member->name) || !waits_for_limit(member))
				continue;
			restart_and_tell(member->name, &late, false, said);
			n++;
		}
		pfree(p);
		if (n == 0)
			return;
	}
}

static char *
restart_all(const Restart *restart)
{
	HaPublished *p = ha_sql_look();
	bool		whole = restart->member == NULL && restart->leader &&
	restart->standby;
	bool		leader_first;
	StringInfoData said;
	ListCell   *cell;
	bool		rise;
	bool		fall;

	compare_limits(&rise, &fall);
	leader_first = whole && fall && !rise;
	if (leader_first && leads(&p->view, ha_member_name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("leader \"%s\" has to be restarted first, which ends this session",
						ha_member_name),
				 errdetail("Limits that a standby must not have lower than its primary are to fall."),
				 errhint("Call it on a standby.")));
	initStringInfo(&said);
	foreach(cell, restart_order(&p->view, restart, leader_first))
	{
		const char *name = lfirst(cell);

		restart_and_tell(name, restart, rise, &said);
		if (leader_first && leads(&p->view, name))
			wait_for_replay(ha_now() + restart->timeout);
	}
	if (whole && said.len > 0)
		restart_late(restart, &said);
	return said.len > 0 ? said.data : "no member is meant";
}

/*
 * Arguments.
 */

/* As PG_VERSION_NUM; 0 = NULL. */
static int32
version_argument(FunctionCallInfo fcinfo, int i)
{
	char	   *word = PG_ARGISNULL(i) ? NULL :
	text_to_cstring(PG_GETARG_TEXT_PP(i));
	int32		version = word != NULL ? ha_request_version(word) : 0;

	if (word != NULL && version == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid version \"%s\"", word),
				 errhint("Versions of PostgreSQL are written as \"15.4\" or \"16\".")));
	return version;
}

static void
role_argument(FunctionCallInfo fcinfo, int i, Restart *restart)
{
	char	   *role = PG_ARGISNULL(i) ? "any" :
	text_to_cstring(PG_GETARG_TEXT_PP(i));

	restart->leader = strcmp(role, "standby") != 0;
	restart->standby = strcmp(role, "leader") != 0;
	if (!restart->leader)
		restart->terms.role = HA_ROLE_STANDBY;
	else if (!restart->standby)
		restart->terms.role = HA_ROLE_PRIMARY;
	else if (strcmp(role, "any") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized role \"%s\"", role),
				 errhint("Roles are \"leader\", \"standby\" and \"any\".")));
}

Datum
pg_ha_restart(PG_FUNCTION_ARGS)
{
	int			timeout = PG_ARGISNULL(5) ? 120 : PG_GETARG_INT32(5);
	Restart		restart;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	memset(&restart, 0, sizeof(restart));
	if (!PG_ARGISNULL(0))
		restart.member = text_to_cstring(PG_GETARG_TEXT_PP(0));
	restart.terms.pending = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	role_argument(fcinfo, 2, &restart);
	restart.terms.before_version = version_argument(fcinfo, 3);
	restart.terms.at = ha_sql_time_argument(fcinfo, 4, "a restart");
	restart.terms.force = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	restart.timeout = timeout * INT64CONST(1000);
	if (timeout <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must be greater than 0")));
	if (restart.member != NULL)
		ha_sql_refuse_stranger(&p->view, restart.member);
	else if (restart.terms.at != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a restart is scheduled for one member"),
				 errhint("Servers that go down at the same time are no cluster; schedule one after the other.")));
	if (restart.terms.at != 0)
	{
		/* it may have another role by then, and is asked about that itself */
		restart.leader = restart.standby = true;
	}
	PG_RETURN_TEXT_P(cstring_to_text(restart_all(&restart)));
}

Datum
pg_ha_cancel_restart(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const HaMemberRequest *request;
	int64		scheduled = 0;	/* revision of the request */
	HaPublished *p;
	HaAsk	   *ask;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	ha_sql_refuse_stranger(&p->view, name);
	request = ha_find_request(&p->view, name);
	if (request != NULL && request->kind == HA_REQUEST_RESTART &&
		request->at != 0)
		scheduled = request->mod_revision;
	if (scheduled == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no restart of \"%s\" is scheduled", name)));
	ask = palloc0(sizeof(HaAsk));
	ha_ask_guard_leader(ask, &p->view);
	ha_ask_remove(ask, psprintf("pg_ha/requests/%s", name), scheduled);
	ha_ask_store(ask);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("restart of \"%s\" is not scheduled any more",
											  name)));
}

Datum
pg_ha_reload(PG_FUNCTION_ARGS)
{
	Restart		all = {.leader = true,.standby = true};
	HaPublished *p;
	ListCell   *cell;
	int			n = 0;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	if (!PG_ARGISNULL(0))
	{
		all.member = text_to_cstring(PG_GETARG_TEXT_PP(0));
		ha_sql_refuse_stranger(&p->view, all.member);
	}
	foreach(cell, restart_order(&p->view, &all, false))
	{
		char	   *name = lfirst(cell);
		HaPublished *now = ha_sql_look();
		const HaMember *member = ha_find_member(&now->view, name);
		char	   *id;

		if (member == NULL)
			continue;
		id = store_simple(&now->view, member, HA_REQUEST_RELOAD, &all.terms);
		wait_for_member(name, HA_REQUEST_RELOAD, id, ha_now() + 30000);
		n++;
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d members have read their configuration files",
											  n)));
}
