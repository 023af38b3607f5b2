/*-------------------------------------------------------------------------
 *
 * switchover_functions.c
 *	  SQL: another member is to lead; which one has led when.
 *
 * What is wrong with a wish as far as anybody can see is said here, at once.  The
 * leader judges it again, by what only it knows, such as how far each standby is,
 * and tells through the store why it refuses (pg_ha/refused).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "ask.h"
#include "cluster_json.h"
#include "control.h"
#include "documents.h"
#include "functions.h"
#include "history_json.h"
#include "member_json.h"
#include "pg_ha.h"
#include "server.h"
#include "wall_time.h"

PG_FUNCTION_INFO_V1(pg_ha_switchover);
PG_FUNCTION_INFO_V1(pg_ha_failover);
PG_FUNCTION_INFO_V1(pg_ha_cancel_switchover);
PG_FUNCTION_INFO_V1(pg_ha_last_failover);
PG_FUNCTION_INFO_V1(pg_ha_history);

/* How long a session waits for what it has asked for, ms. */
#define WAIT_LIMIT		120000

static char *
name_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static bool
flag_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) || PG_GETARG_BOOL(i);
}

/*-------------------------------------------------------------------------
 * What anybody can see
 *-------------------------------------------------------------------------
 */

/*
 * The cluster as it is now: what a member says of itself does not wake anybody, so
 * the last view may be as old as loop_wait.
 */
static HaPublished *
look(void)
{
	HaPublished *p;
	int64		begin = ha_now();

	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	pg_atomic_write_u32(&ha_shared->look_anew, 1);
	if (ha_shared->worker_latch != NULL)
		SetLatch(ha_shared->worker_latch);
	while (p->view.sent_at < begin)
	{
		if (ha_now() - begin > Max(p->config.retry_timeout / 2, 1000))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("etcd is not reachable"),
					 errhint("pg_ha_health() tells why.")));
		ha_sql_wait(2);
		pfree(p);
		p = ha_sql_look();
	}
	return p;
}

static const HaMember *
require_member(const HaView *view, const char *name)
{
	const HaMember *member = ha_find_member(view, name);

	if (member != NULL)
		return member;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("cluster \"%s\" has no member \"%s\"", ha_scope, name),
			 errhint("See pg_ha_members().")));
}

static void
refuse_member(const char *name, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("member \"%s\" cannot lead: it is %s", name, reason)));
}

static void
require_candidate(const HaPublished *p, const char *name)
{
	const HaMember *member = require_member(&p->view, name);
	bool		synchronous = p->view.sync.present ||
	(p->config.synchronous_mode != HA_SYNC_OFF &&
	 !p->config.standby_cluster.active);

	if (p->view.leader.present && strcmp(p->view.leader.name, name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("member \"%s\" is the leader already", name)));
	if (member->nofailover || member->failover_priority <= 0)
		refuse_member(name, "tagged nofailover");
	if (member->state != HA_STATE_RUNNING)
		refuse_member(name, ha_member_state_name(member->state));
	if (member->sick)
		refuse_member(name, "sick, see pg_ha_health() there");
	if (synchronous && !ha_is_in_sync(&p->view.sync, name))
		refuse_member(name, "no synchronous standby");
}

/* Of two wishes at a time nobody would know which one comes true. */
static void
refuse_second_wish(const HaPublished *p)
{
	const HaFailover *wish = &p->view.failover;
	char		time[HA_TIME_SIZE];

	if (!wish->present)
		return;
	ha_time_format(wish->scheduled_at, time);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 wish->scheduled_at == 0 ?
			 errmsg("another switchover or failover is in progress") :
			 errmsg("a switchover is scheduled already, for %s", time),
			 errhint("pg_ha_cancel_switchover() takes it back.")));
}

/*-------------------------------------------------------------------------
 * Asking, and waiting for what comes of it
 *-------------------------------------------------------------------------
 */

/* Returns a revision that this wish is younger than, and those before it are not. */
static int64
store_wish(const HaPublished *p, const char *leader, const char *target,
		   int64 at)
{
	HaAsk	   *ask = palloc0(sizeof(HaAsk));
	char	   *json = ha_scheduled_json(leader, target, at);
	int64		before = p->view.failover.mod_revision;
	int64		refused = p->view.refusal.wish;

	if (leader != NULL)
		ha_ask_guard_leader(ask, &p->view);
	ha_ask_guard_term(ask, &p->view);
	ha_ask_put(ask, "failover", before, json);
	free(json);
	ha_ask_store(ask);
	pfree(ask);
	return Max(before, refused);
}

static void
check_refusal(const HaView *view, int64 before)
{
	if (view->refusal.wish > before)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("leader \"%s\" refuses: %s", view->leader.name,
						view->refusal.reason)));
}

/*
 * Until the wish is gone from the store, for which there is a reason.  It may be put
 * anew before that, with the candidate that the leader has chosen; and it may come and
 * go between two views, so that nobody here ever sees it.  Returns the name of the new
 * leader.
 */
static char *
wait_for_outcome(const char *old_leader, int64 before)
{
	int64		give_up = ha_now() + WAIT_LIMIT;

	for (;;)
	{
		HaPublished *p = ha_sql_look();
		const HaView *view = &p->view;

		check_refusal(view, before);
		if (view->leader.present && !view->term.intent &&
			strcmp(view->term.owner, view->leader.name) == 0 &&
			strcmp(view->leader.name, old_leader) != 0)
			return pstrdup(view->leader.name);
		if (!view->failover.present && view->leader.present &&
			strcmp(view->leader.name, old_leader) == 0 &&
			view->failover.mod_revision > before)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the switchover was called off")));
		if (ha_now() > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no other member leads yet"),
					 errhint("The request stands; pg_ha_cancel_switchover() takes it back.")));
		pfree(p);
		ha_sql_wait_a_little();
	}
}

static text *
tell(const char *what, const char *from, const char *to)
{
	return cstring_to_text(psprintf("%s from \"%s\" to \"%s\"", what, from,
									to != NULL ? to : "the best candidate"));
}

static text *
switch_over(const HaPublished *p, const char *target, int64 at, bool wait)
{
	const char *leader = p->view.leader.name;
	int64		before;

	if (target != NULL)
		require_candidate(p, target);
	refuse_second_wish(p);
	before = store_wish(p, leader, target, at);
	if (at != 0)
		return tell("scheduled a switchover", leader, target);
	if (!wait)
		return tell("requested a switchover", leader, target);
	return tell("switched over", leader, wait_for_outcome(leader, before));
}

Datum
pg_ha_switchover(PG_FUNCTION_ARGS)
{
	char	   *target = name_argument(fcinfo, 0);
	HaPublished *p;
	int64		at;

	ha_sql_require_operator(fcinfo);
	at = ha_sql_time_argument(fcinfo, 1, "a switchover");
	p = look();
	if (p->config.pause && (target == NULL || at != 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" is paused", ha_scope),
				 errhint("In a pause a switchover needs a target, and cannot be scheduled.")));
	if (!p->view.leader.present)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no leader to switch over from",
						ha_scope),
				 errhint("pg_ha_failover() lets a member lead without one.")));
	PG_RETURN_TEXT_P(switch_over(p, target, at, flag_argument(fcinfo, 2)));
}

Datum
pg_ha_failover(PG_FUNCTION_ARGS)
{
	char	   *target = name_argument(fcinfo, 0);
	char	   *leader = name_argument(fcinfo, 1);
	bool		wait = flag_argument(fcinfo, 2);
	HaPublished *p;
	const HaView *view;
	int64		before;

	ha_sql_require_operator(fcinfo);
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a failover needs a target")));
	p = look();
	view = &p->view;
	if (leader != NULL && (!view->leader.present ||
						   strcmp(leader, view->leader.name) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("member \"%s\" does not lead cluster \"%s\"", leader,
						ha_scope)));
	if (leader != NULL)
		PG_RETURN_TEXT_P(switch_over(p, target, 0, wait));
	if (view->leader.present)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has leader \"%s\"", ha_scope,
						view->leader.name),
				 errhint("Use pg_ha_switchover(), or name the leader.")));
	require_candidate(p, target);
	refuse_second_wish(p);
	before = store_wish(p, NULL, target, 0);
	if (!wait)
		PG_RETURN_TEXT_P(tell("requested a failover", view->term.owner,
							  target));
	PG_RETURN_TEXT_P(tell("failed over", view->term.owner,
						  wait_for_outcome("", before)));
}

Datum
pg_ha_cancel_switchover(PG_FUNCTION_ARGS)
{
	HaPublished *p;
	const HaFailover *wish;
	HaAsk	   *ask;

	ha_sql_require_operator(fcinfo);
	p = look();
	wish = &p->view.failover;
	if (!wish->present)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no switchover is scheduled or in progress")));
	ask = palloc0(sizeof(HaAsk));
	ha_ask_guard_term(ask, &p->view);
	ha_ask_put(ask, "failover", wish->mod_revision, "{}");
	ha_ask_store(ask);
	PG_RETURN_TEXT_P(cstring_to_text(wish->scheduled_at != 0 ?
									 "the scheduled switchover was canceled" :
									 "the switchover was canceled"));
}

/*-------------------------------------------------------------------------
 * What was
 *-------------------------------------------------------------------------
 */

static Datum
timestamp_datum(int64 ms)
{
	return TimestampTzGetDatum(ms * 1000 - HA_UNIX_EPOCH);
}

Datum
pg_ha_last_failover(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	const HaChange *change = &p->view.change;
	bool		shown = change->present && change->complete;
	TupleDesc	desc;
	Datum		values[13];
	bool		nulls[13];
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, !shown, sizeof(nulls));
	values[n++] = CStringGetTextDatum(change->planned ? "switchover" :
									  "failover");
	values[n++] = CStringGetTextDatum(change->from);
	values[n++] = CStringGetTextDatum(change->to);
	values[n++] = CStringGetTextDatum(change->reason);
	values[n++] = Int64GetDatum(change->term);
	values[n++] = timestamp_datum(change->started_at);
	for (int i = 0; i < HA_PHASES; i++)
	{
		int64_t		ms;

		(void) ha_change_phase(change, i, &ms);
		nulls[n] = nulls[n] || ms < 0;
		values[n++] = Int64GetDatum(ms);
	}
	values[n++] = Int64GetDatum(Max(p->lost_bytes, change->lost_bytes));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

Datum
pg_ha_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	HaHistoryLine line;
	int64_t		revision;
	char	   *text;

	(void) ha_sql_look();
	InitMaterializedSRF(fcinfo, 0);
	text = ha_sql_document(HA_DOCUMENT_HISTORY, &revision);
	for (int i = 0; text != NULL && ha_history_line(text, strlen(text), i, &line); i++)
	{
		Datum		values[5] = {Int64GetDatum(line.timeline),
			LSNGetDatum(line.lsn), CStringGetTextDatum(line.reason),
			timestamp_datum(line.at), CStringGetTextDatum(line.leader)
		};
		bool		nulls[5] = {false, false, line.reason[0] == '\0',
		line.at == 0, line.leader[0] == '\0'};

		if (line.timeline != 0)
			tuplestore_putvalues(info->setResult, info->setDesc, values,
								 nulls);
	}
	return (Datum) 0;
}
