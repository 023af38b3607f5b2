/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  SQL functions: what the worker knows, and what it is asked to do.
 *
 * Reads come from shared memory as the worker published it and never need the
 * store; they say how old they are.  Actions are handed to the worker, which
 * alone talks to the store, and their answer is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#include <stdlib.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "cluster_json.h"
#include "control.h"
#include "decide.h"
#include "fence.h"
#include "functions.h"
#include "health.h"
#include "lease.h"
#include "pg_ha.h"
#include "slots.h"

PG_FUNCTION_INFO_V1(pg_ha_status);
PG_FUNCTION_INFO_V1(pg_ha_members);
PG_FUNCTION_INFO_V1(pg_ha_slots);
PG_FUNCTION_INFO_V1(pg_ha_credentials);
PG_FUNCTION_INFO_V1(pg_ha_health);
PG_FUNCTION_INFO_V1(pg_ha_timing);
PG_FUNCTION_INFO_V1(pg_ha_identity);
PG_FUNCTION_INFO_V1(pg_ha_pause);
PG_FUNCTION_INFO_V1(pg_ha_resume);
PG_FUNCTION_INFO_V1(pg_ha_decide);

/* Let a row grow column by column, so that order and NULLs can't get apart. */
typedef struct Row
{
	int			n;
	Datum		values[24];
	bool		nulls[24];
} Row;

static void
add(Row *row, Datum value)
{
	row->nulls[row->n] = false;
	row->values[row->n++] = value;
}

static void
add_null(Row *row)
{
	row->nulls[row->n] = true;
	row->values[row->n++] = (Datum) 0;
}

/* An empty text means "not known". */
static void
add_text(Row *row, const char *text)
{
	if (text == NULL || text[0] == '\0')
		add_null(row);
	else
		add(row, CStringGetTextDatum(text));
}

static void
add_lsn(Row *row, uint64 lsn)
{
	if (lsn == 0)
		add_null(row);
	else
		add(row, LSNGetDatum(lsn));
}

static Datum
row_datum(FunctionCallInfo fcinfo, Row *row)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	if (desc->natts != row->n)
		elog(ERROR, "function returns %d columns instead of %d", row->n,
			 desc->natts);
	return HeapTupleGetDatum(heap_form_tuple(desc, row->values, row->nulls));
}

static void
put_row(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(info->setResult, info->setDesc, row->values,
						 row->nulls);
	memset(row, 0, sizeof(*row));
}

/* These functions only make sense inside a server that runs the worker. */
static void
require_worker(void)
{
	if (ha_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_ha is not loaded in this server"),
				 errhint("Add pg_ha to shared_preload_libraries and restart, or start the server with pg_ha_boot.")));
	if (ha_scope[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_ha is loaded, but this server belongs to no cluster"),
				 errhint("Set pg_ha.scope, pg_ha.name and pg_ha.etcd_endpoints in the node file and start the server with pg_ha_boot.")));
}

/* A copy of what the worker published last, in the current memory context. */
HaPublished *
ha_sql_look(void)
{
	HaPublished *copy = palloc(sizeof(HaPublished));

	require_worker();
	LWLockAcquire(ha_shared->lock, LW_SHARED);
	memcpy(copy, &ha_shared->published, sizeof(*copy));
	LWLockRelease(ha_shared->lock);
	return copy;
}

static const char *
role_word(HaRole role)
{
	switch (role)
	{
		case HA_ROLE_PRIMARY:
			return "primary";
		case HA_ROLE_STANDBY:
			return "standby";
		default:
			return "starting";
	}
}

static const char *
sync_word(HaSyncMode mode)
{
	return mode == HA_SYNC_OFF ? "off" : mode == HA_SYNC_ON ? "on" : "quorum";
}

static const char *
failsafe_word(HaFailsafeState state)
{
	static const char *const words[] = {"off", "on", "active", "promised"};

	return words[state];
}

static Datum
sync_array(const HaSync *sync)
{
	Datum		names[HA_MAX_MEMBERS];

	for (int i = 0; i < sync->nstandbys; i++)
		names[i] = CStringGetTextDatum(sync->standbys[i]);
	return PointerGetDatum(construct_array(names, sync->nstandbys, TEXTOID,
										   -1, false, TYPALIGN_INT));
}

Datum
pg_ha_status(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;
	int64		now = ha_now();
	int64		deadline = ha_fence_deadline();
	Row			row = {0};

	add_text(&row, ha_scope);
	add_text(&row, ha_member_name);
	add_text(&row, role_word(p->local.role));
	add_text(&row, view->leader.present ? view->leader.name : NULL);
	add(&row, Int64GetDatum(view->term.term));
	add(&row, Int32GetDatum(p->local.timeline));
	add_text(&row, ha_verb_name(p->plan.verb));
	add_text(&row, p->plan.why);
	if (deadline == 0)
		add_null(&row);
	else
		add(&row, Int64GetDatum(deadline - now));
	add(&row, BoolGetDatum(p->local.role == HA_ROLE_PRIMARY &&
						   now >= deadline));
	add(&row, BoolGetDatum(p->config.pause));
	add_lsn(&row, p->local.flush_lsn);
	add(&row, Int64GetDatum(p->lost_bytes));
	if (p->seen_at == 0)
		add_null(&row);
	else
		add(&row, Int64GetDatum(now - p->seen_at));
	add_text(&row, sync_word(p->config.synchronous_mode));
	add(&row, sync_array(&view->sync));
	add_text(&row, failsafe_word(p->failsafe));
	add_text(&row, view->config_error);
	PG_RETURN_DATUM(row_datum(fcinfo, &row));
}

static const char *
member_role_word(const HaView *view, const HaMember *member)
{
	if (view->leader.present && strcmp(view->leader.name, member->name) == 0)
		return "leader";
	return ha_role_name(member->role);
}

static bool
is_listed(const HaSync *sync, const char *name)
{
	for (int i = 0; i < sync->nstandbys; i++)
	{
		if (strcmp(sync->standbys[i], name) == 0)
			return true;
	}
	return false;
}

static char *
member_tags(const HaMember *member)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (member->nofailover)
		appendStringInfoString(&buf, "nofailover ");
	if (member->nosync)
		appendStringInfoString(&buf, "nosync ");
	if (member->clonefrom)
		appendStringInfoString(&buf, "clonefrom ");
	if (member->failover_priority != 1)
		appendStringInfo(&buf, "failover_priority=%d ",
						 member->failover_priority);
	if (member->sync_priority != 1)
		appendStringInfo(&buf, "sync_priority=%d ", member->sync_priority);
	if (buf.len > 0)
		buf.data[buf.len - 1] = '\0';
	return buf.data;
}

Datum
pg_ha_members(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;
	uint64		leader_lsn = Max(view->optime, view->heartbeat.lsn);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < view->nmembers; i++)
	{
		HaMember   *m = &view->members[i];
		bool		is_leader = view->leader.present &&
		strcmp(view->leader.name, m->name) == 0;
		Row			row = {0};

		add_text(&row, m->name);
		add_text(&row, member_role_word(view, m));
		add_text(&row, ha_member_state_name(m->state));
		add_text(&row, m->host);
		add(&row, Int32GetDatum(m->port));
		if (m->timeline == 0)
			add_null(&row);
		else
			add(&row, Int32GetDatum(m->timeline));
		add_lsn(&row, m->lsn);
		if (is_leader || m->lsn == 0)
			add_null(&row);
		else
			add(&row, Int64GetDatum(leader_lsn > m->lsn ?
									leader_lsn - m->lsn : 0));
		add_text(&row, member_tags(m));
		add(&row, BoolGetDatum(is_leader));
		add(&row, BoolGetDatum(is_listed(&view->sync, m->name)));
		add_text(&row, m->clone_method);
		if (m->state != HA_STATE_CLONING || m->clone_method[0] == '\0')
			add_null(&row);
		else
			add(&row, Int32GetDatum(m->clone_percent));
		put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

/* The member that a slot was made for; NULL = it is somebody else's. */
static const char *
slot_member(const HaView *view, const char *slot)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		char		name[HA_NAME_SIZE];

		ha_slot_name(view->members[i].name, name);
		if (strcmp(name, slot) == 0)
			return view->members[i].name;
	}
	return NULL;
}

Datum
pg_ha_slots(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	int			n;
	HaSlot	   *slots = ha_slots_list(&n);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		const char *member = slots[i].physical ?
		slot_member(&p->view, slots[i].name) : NULL;
		Row			row = {0};

		add_text(&row, slots[i].name);
		add_text(&row, member != NULL ? "member" : "foreign");
		add_text(&row, member);
		add(&row, BoolGetDatum(slots[i].active));
		add_lsn(&row, slots[i].restart_lsn);
		put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

static void
credential_row(FunctionCallInfo fcinfo, const char *purpose, const char *role,
			   const char *cert, const char *passfile, const char *used_by)
{
	Row			row = {0};

	add_text(&row, purpose);
	add_text(&row, role[0] != '\0' ? role : NULL);
	add_text(&row, cert[0] != '\0' ? "cert" :
			 passfile[0] != '\0' ? "passfile" : "none");
	add_text(&row, used_by);
	put_row(fcinfo, &row);
}

/* What this member identifies itself with, and to whom; no secrets. */
Datum
pg_ha_credentials(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	credential_row(fcinfo, "replication", ha_replication_user,
				   ha_replication_sslcert, ha_replication_passfile,
				   "walreceiver, pg_basebackup, pg_rewind");
	credential_row(fcinfo, "etcd", ha_etcd_user, ha_etcd_cert,
				   ha_etcd_password_file, "pg_ha worker, pg_ha_boot");
	credential_row(fcinfo, "members", "", "", ha_rest_auth_file,
				   "pg_ha worker, pg_ha_boot");
	return (Datum) 0;
}

/* "since": ha_now() of the last change; 0 = not known. */
static void
health_row_since(FunctionCallInfo fcinfo, const char *check, bool ok,
				 const char *detail, int64 since, bool gates_lease)
{
	Row			row = {0};

	add_text(&row, check);
	add(&row, BoolGetDatum(ok));
	add_text(&row, detail);
	if (since == 0)
		add_null(&row);
	else
		add(&row, TimestampTzGetDatum(GetCurrentTimestamp() -
									  (ha_now() - since) * 1000));
	add(&row, BoolGetDatum(gates_lease));
	put_row(fcinfo, &row);
}

static void
health_row(FunctionCallInfo fcinfo, const char *check, bool ok,
		   const char *detail)
{
	health_row_since(fcinfo, check, ok, detail, 0, false);
}

static void
startup_row(FunctionCallInfo fcinfo, const HaPublished *p)
{
	bool		starting = p->local.role == HA_ROLE_STARTING;
	int64		now = ha_now();

	health_row_since(fcinfo, "startup",
					 !starting || now - p->local.starting_since <=
					 p->config.primary_start_timeout,
					 starting ? "not yet consistent" : role_word(p->local.role),
					 starting ? p->local.starting_since : 0, false);
}

Datum
pg_ha_health(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;
	int64		now = ha_now();
	bool		primary = p->local.role == HA_ROLE_PRIMARY;
	bool		fresh = p->seen_at != 0 && now - p->seen_at < p->config.ttl;

	InitMaterializedSRF(fcinfo, 0);
	health_row(fcinfo, "worker", p->at != 0 && now - p->at < 2000,
			   psprintf("last turn %lld ms ago",
						(long long) (p->at == 0 ? -1 : now - p->at)));
	startup_row(fcinfo, p);
	for (int i = 0; i < HA_NCHECKS; i++)
		health_row_since(fcinfo, ha_health_name(i),
						 p->at != 0 && p->checks[i].ok, p->checks[i].detail,
						 p->checks[i].since, true);
	health_row(fcinfo, "store", fresh,
			   p->trouble[0] ? p->trouble : "answers");
	health_row(fcinfo, "store_space", !p->store_full,
			   p->store_full ?
			   "NOSPACE: the leader can go on, but no other could be elected" :
			   "accepts writes");
	health_row(fcinfo, "leader",
			   view->leader.present && view->leader.lease != 0,
			   !view->leader.present ? "the cluster has no leader" :
			   view->leader.lease == 0 ?
			   psprintf("the leader key of \"%s\" never ends: it has no lease",
						view->leader.name) : view->leader.name);
	health_row(fcinfo, "fence", !primary || now < ha_fence_deadline(),
			   !primary ? "a standby refuses writes by itself" :
			   now < ha_fence_deadline() ? "open" :
			   "commits wait: the leadership is not proven");
	health_row(fcinfo, "history",
			   ha_on_lineage(&view->term, p->local.timeline,
							 p->local.replay_lsn),
			   psprintf("timeline %u", p->local.timeline));
	health_row(fcinfo, "replication", primary || p->local.streaming,
			   primary ? psprintf("%d members stream from here",
								  p->local.nstandbys) :
			   p->local.streaming ? p->local.follows : "not streaming");
	health_row(fcinfo, "pg_ha_boot", p->local.has_boot,
			   p->local.has_boot ? "supervises this server" :
			   "nobody can restart this server");
	health_row(fcinfo, "configuration", view->nmalformed == 0,
			   psprintf("%d malformed keys", view->nmalformed));
	return (Datum) 0;
}

Datum
pg_ha_timing(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	int64		now = ha_now();
	Row			row = {0};

	add(&row, Int64GetDatum(p->config.ttl));
	add(&row, Int64GetDatum(p->config.loop_wait));
	add(&row, Int64GetDatum(p->config.retry_timeout));
	add(&row, Int64GetDatum(p->config.ttl / 5));
	add(&row, Int64GetDatum(ha_lease_margin(p->config.ttl)));
	add(&row, Int64GetDatum(ha_election_wait(&p->config)));
	add(&row, Int64GetDatum(p->config.primary_start_timeout));
	if (p->proof_at == 0)
		add_null(&row);
	else
		add(&row, Int64GetDatum(now - p->proof_at));
	if (p->seen_at == 0)
		add_null(&row);
	else
		add(&row, Int64GetDatum(now - p->seen_at));
	PG_RETURN_DATUM(row_datum(fcinfo, &row));
}

/* Identifiers go beyond bigint. */
static void
add_sysid(Row *row, uint64 sysid)
{
	if (sysid == 0)
		add_null(row);
	else
		add_text(row, psprintf(UINT64_FORMAT, sysid));
}

Datum
pg_ha_identity(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	const HaView *view = &p->view;
	const HaLocal *local = &p->local;
	Row			row = {0};

	add_text(&row, ha_scope);
	add_text(&row, view->cluster_uuid);
	add_sysid(&row, view->sysid);
	add_sysid(&row, local->sysid);
	if (view->sysid == 0 || local->sysid == 0)
		add_null(&row);
	else
		add(&row, BoolGetDatum(view->sysid == local->sysid &&
							   (view->cluster_uuid[0] == '\0' ||
								local->cluster_uuid[0] == '\0' ||
								strcmp(view->cluster_uuid,
									   local->cluster_uuid) == 0)));
	PG_RETURN_DATUM(row_datum(fcinfo, &row));
}

/* EXECUTE is revoked from PUBLIC; this holds even if somebody granted it back. */
void
ha_sql_require_operator(void)
{
	require_worker();
	if (!superuser() && !has_privs_of_role(GetUserId(), ROLE_PG_SIGNAL_BACKEND))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to operate cluster \"%s\"",
						ha_scope),
				 errhint("Must be superuser or a member of pg_signal_backend.")));
}

/*
 * While somebody leads without the store, the leader would not see what is
 * written there: better now than half done later.
 */
void
ha_sql_refuse_in_failsafe(const HaPublished *p)
{
	if (p->failsafe == HA_FAILSAFE_ACTIVE ||
		(p->failsafe == HA_FAILSAFE_PROMISED &&
		 (!p->view.leader.present ||
		  ha_now() - p->seen_at > p->config.ttl / 2)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("etcd is not reachable; failsafe mode is active"),
				 errhint("Try again when pg_ha_status() does not show failsafe mode as active any more.")));
}

/* Sleep a little between two looks, ready for a cancel. */
void
ha_sql_wait_a_little(void)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 100, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static bool
all_see_pause(const HaPublished *p, bool pause)
{
	for (int i = 0; i < p->view.nmembers; i++)
	{
		if (p->view.members[i].pause != pause)
			return false;
	}
	return p->config.pause == pause;
}

static void
set_pause(bool pause, bool wait)
{
	int64		give_up;
	HaPublished *p;

	ha_sql_require_operator();
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	(void) ha_sql_change_config(pause ? "{\"pause\": true}" : "{\"pause\": null}");
	if (!wait)
		return;
	pfree(p);
	p = ha_sql_look();
	give_up = ha_now() + 3 * p->config.ttl + 3 * p->config.loop_wait;
	while (!all_see_pause(p, pause))
	{
		if (ha_now() > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("not every member has seen that the cluster is %s",
							pause ? "paused" : "resumed"),
					 errhint("See pg_ha_members(); the setting is stored and takes effect on each member when it reads it.")));
		ha_sql_wait_a_little();
		pfree(p);
		p = ha_sql_look();
	}
}

Datum
pg_ha_pause(PG_FUNCTION_ARGS)
{
	set_pause(true, PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

Datum
pg_ha_resume(PG_FUNCTION_ARGS)
{
	set_pause(false, PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

/* The decision as a function, for the rule table and for "why not?". */
Datum
pg_ha_decide(PG_FUNCTION_ARGS)
{
	Jsonb	   *problem = PG_GETARG_JSONB_P(0);
	char	   *json = JsonbToCString(NULL, &problem->root,
									  VARSIZE(problem));
	HaConfig   *config = palloc0(sizeof(HaConfig));
	HaView	   *view = palloc0(sizeof(HaView));
	HaLocal    *local = palloc0(sizeof(HaLocal));
	HaPlan	   *plan = palloc0(sizeof(HaPlan));
	int64		now = 0;
	char		err[256];
	char	   *text;
	char	   *copy;

	if (!ha_problem_parse(json, strlen(json), config, view, local, &now, err,
						  sizeof(err)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a decision problem: %s", err)));
	ha_decide(config, view, local, now, plan);
	text = ha_plan_json(plan);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	copy = pstrdup(text);
	free(text);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
}
