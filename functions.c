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

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "control.h"
#include "decide.h"
#include "election.h"
#include "lineage.h"
#include "fence.h"
#include "functions.h"
#include "health.h"
#include "lease.h"
#include "member_json.h"
#include "mixed.h"
#include "pg_ha.h"
#include "problem_json.h"
#include "remember.h"
#include "rows.h"
#include "server.h"
#include "tags_json.h"
#include "versions.h"
#include "wall_time.h"

PG_FUNCTION_INFO_V1(pg_ha_status);
PG_FUNCTION_INFO_V1(pg_ha_members);
PG_FUNCTION_INFO_V1(pg_ha_credentials);
PG_FUNCTION_INFO_V1(pg_ha_health);
PG_FUNCTION_INFO_V1(pg_ha_timing);
PG_FUNCTION_INFO_V1(pg_ha_identity);
PG_FUNCTION_INFO_V1(pg_ha_pause);
PG_FUNCTION_INFO_V1(pg_ha_resume);
PG_FUNCTION_INFO_V1(pg_ha_decide);

/* These functions only make sense inside a server that runs the worker. */
void
ha_sql_require_worker(void)
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

	ha_sql_require_worker();
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

/* Is this the standby that holds the key of a standby cluster? */
static bool
leads_standby_cluster(const HaPublished *p)
{
	return p->local.role == HA_ROLE_STANDBY && p->local.holding &&
		p->view.term.standby && !p->view.term.intent;
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

/* Rules of access are no part of what the view judges. */
static const char *
config_error(const HaView *view)
{
	char	   *error = palloc(HA_HBA_ERROR_SIZE);

	if (view->config_error[0] != '\0')
		return view->config_error;
	ha_hba_config_error(error, HA_HBA_ERROR_SIZE);
	return error;
}

/* Whose promises hold for what is acknowledged (S-11); NULL = not known yet. */
static const char *
guarantee_word(const HaView *view)
{
	if (!view->valid)
		return NULL;
	return ha_mixed_guarantees_less(view) ? "patroni" : "pg_ha";
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
	add_text(&row, leads_standby_cluster(p) ? HA_STANDBY_LEADER :
			 role_word(p->local.role));
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
	if (p->paused_since == 0)
		add_null(&row);
	else
		add(&row, TimestampTzGetDatum(p->paused_since));
	add_lsn(&row, p->local.flush_lsn);
	add(&row, Int64GetDatum(p->lost_bytes));
	if (p->seen_at == 0)
		add_null(&row);
	else
		add(&row, Int64GetDatum(now - p->seen_at));
	add_text(&row, sync_word(p->config.synchronous_mode));
	add(&row, sync_array(&view->sync));
	add_text(&row, failsafe_word(p->failsafe));
	add_text(&row, config_error(view));
	add_text(&row, guarantee_word(view));
	PG_RETURN_DATUM(row_datum(fcinfo, &row));
}

static const char *
member_role_word(const HaView *view, const HaMember *member)
{
	if (view->leader.present && strcmp(view->leader.name, member->name) == 0)
		return view->term.standby && !view->term.intent ?
			HA_STANDBY_LEADER : "leader";
	return ha_role_name(member->role);
}

/* Has it other rules of access than the leader? */
static void
add_hba_differs(Row *row, const HaView *view, const HaMember *member)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *other = &view->members[i];

		if (!view->leader.present || member->hba_sha256[0] == '\0' ||
			other->hba_sha256[0] == '\0' ||
			strcmp(view->leader.name, other->name) != 0)
			continue;
		add(row, BoolGetDatum(strcmp(member->hba_sha256,
									 other->hba_sha256) != 0));
		return;
	}
	add_null(row);
}

/* A store that answers is read every loop_wait, and given retry_timeout for it. */
static bool
is_stale(const HaPublished *p)
{
	return ha_now() - p->view.sent_at >
		p->config.loop_wait + p->config.retry_timeout;
}

/*
 * What pg_ha_boot noted before this server was started, if the worker has not
 * reached the store yet; and as of when.
 */
static bool
recall(HaView *view, TimestampTz *as_of)
{
	char		path[MAXPGPATH];
	char		file[MAXPGPATH];
	char	   *text = palloc(HA_REMEMBER_SIZE);
	size_t		length;
	int64_t		unix_us;
	bool		ok;
	FILE	   *fp;

	ha_state_path(path, sizeof(path));
	snprintf(file, sizeof(file), "%s/%s", path, HA_REMEMBER_FILE);
	fp = AllocateFile(file, PG_BINARY_R);
	if (fp == NULL)
		return false;
	length = fread(text, 1, HA_REMEMBER_SIZE, fp);
	FreeFile(fp);
	ok = ha_remember_parse(text, length, view, &unix_us);
	pfree(text);
	if (ok)
		*as_of = unix_us - HA_UNIX_EPOCH;
	return ok;
}

static void
put_member(FunctionCallInfo fcinfo, const HaView *view, const HaMember *m,
		   TimestampTz as_of, bool stale)
{
	uint64		leader_lsn = Max(view->optime, view->heartbeat.lsn);
	bool		is_leader = view->leader.present &&
	strcmp(view->leader.name, m->name) == 0;
	char		tags[HA_TAGS_TEXT_SIZE];
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
	ha_tags_text(m, tags, sizeof(tags));
	add_text(&row, tags);
	add(&row, BoolGetDatum(is_leader));
	add(&row, BoolGetDatum(ha_is_in_sync(&view->sync, m->name)));
	add_text(&row, m->clone_method);
	if (m->state != HA_STATE_CLONING || m->clone_method[0] == '\0')
		add_null(&row);
	else
		add(&row, Int32GetDatum(m->clone_percent));
	add_text(&row, m->pending_restart);
	add_text(&row, m->hba_source);
	add_hba_differs(&row, view, m);
	add(&row, TimestampTzGetDatum(as_of));
	add(&row, BoolGetDatum(stale));
	add_text(&row, m->version);
	put_row(fcinfo, &row);
}

Datum
pg_ha_members(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;
	TimestampTz as_of = GetCurrentTimestamp() -
	(ha_now() - view->sent_at) * 1000;
	bool		stale = is_stale(p);

	InitMaterializedSRF(fcinfo, 0);
	if (!view->valid)
		stale = recall(view, &as_of);
	for (int i = 0; i < view->nmembers; i++)
		put_member(fcinfo, view, &view->members[i], as_of, stale);
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
	add_time(&row, since);
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

static void
versions_row(FunctionCallInfo fcinfo, const HaView *view)
{
	char		versions[HA_WHY_SIZE];
	bool		differ = ha_versions_differ(view, versions, sizeof(versions));

	health_row(fcinfo, "versions", !differ,
			   differ ? versions : "all members run one version");
}

Datum
pg_ha_health(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;
	int64		now = ha_now();
	bool		primary = p->local.role == HA_ROLE_PRIMARY;
	bool		receives = !primary && ha_server_receives();
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
	health_row(fcinfo, "replication", primary || receives,
			   primary ? psprintf("%d members stream from here",
								  p->local.nstandbys) :
			   receives ? p->local.follows : "not streaming");
	health_row(fcinfo, "pg_ha_boot", p->local.has_boot,
			   p->local.has_boot ?
			   psprintf("supervises this server%s%s",
						strcmp(p->local.boot_version, HA_VERSION) == 0 ? "" :
						", is of version ",
						strcmp(p->local.boot_version, HA_VERSION) == 0 ? "" :
						p->local.boot_version) :
			   "nobody can restart this server");
	versions_row(fcinfo, view);
	health_row(fcinfo, "configuration", view->nmalformed == 0,
			   psprintf("%d malformed keys", view->nmalformed));
	return (Datum) 0;
}

/*
 * What the times mean for who depends on them.
 *
 * A leader that is gone has renewed its lease at most a TTL ago, also by the clocks of
 * the others, who have seen its last heartbeat no later; then they elect.  If their
 * watches are down as well, they see it a loop_wait later.
 *
 * Writes go on through an outage of the store that ends before the deadline, even if
 * it begins just before a renewal, and the renewal that is lost to it must first time
 * out.
 */
static void
add_plain_timing(Row *row, const HaPublished *p)
{
	const HaConfig *config = &p->config;
	int64		interval = config->ttl / 5;
	int64		failover = config->ttl + config->loop_wait +
	ha_election_wait(config);
	int64		outage = config->ttl - ha_lease_margin(config->ttl) -
	interval - config->ttl / 4;

	add(row, Float8GetDatum(failover / 1000.0));
	add(row, Float8GetDatum(Max(outage, 0) / 1000.0));
	add(row, Float8GetDatum(60000.0 / interval));
	if (p->worst_renewal < 0)
		add_null(row);
	else
		add(row, Int64GetDatum(p->worst_renewal));
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
	add_plain_timing(&row, p);
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
ha_sql_wait(long ms)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

int64
ha_sql_time_argument(FunctionCallInfo fcinfo, int i, const char *what)
{
	TimestampTz at;
	int64		ms;

	if (PG_ARGISNULL(i))
		return 0;
	at = PG_GETARG_TIMESTAMPTZ(i);
	ms = at / 1000 + HA_UNIX_EPOCH / 1000;
	if (TIMESTAMP_NOT_FINITE(at) || ms <= ha_wall_clock() ||
		ms > ha_wall_clock() + 366 * SECS_PER_DAY * INT64CONST(1000))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s can be scheduled for the next 366 days only", what)));
	return ms;
}

void
ha_sql_wait_a_little(void)
{
	ha_sql_wait(100);
}

/* Those who have not said that they have seen it; '' = all have. */
static const char *
blind_to_pause(const HaPublished *p, bool pause)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < p->view.nmembers; i++)
	{
		if (p->view.members[i].pause != pause)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "",
							 p->view.members[i].name);
	}
	if (names.len == 0 && p->config.pause != pause)
		appendStringInfo(&names, "\"%s\"", ha_member_name);
	return names.data;
}

static void
set_pause(bool pause, bool wait)
{
	int64		began = ha_now();
	int64		limit;
	HaPublished *p;
	const char *blind;

	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	(void) ha_sql_change_config(pause ? "{\"pause\": true}" : "{\"pause\": null}");
	if (!wait)
		return;
	pfree(p);
	p = ha_sql_look();
	limit = 3 * p->config.ttl + 3 * p->config.loop_wait;
	while ((blind = blind_to_pause(p, pause))[0] != '\0')
	{
		if (ha_now() - began > limit)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("member %s did not acknowledge the %s within %lld s",
							blind, pause ? "pause" : "end of the pause",
							(long long) limit / 1000),
					 errhint("It is stored, and takes effect on each member when that reads it. See pg_ha_members().")));
		ha_sql_wait_a_little();
		pfree(p);
		p = ha_sql_look();
	}
}

Datum
pg_ha_pause(PG_FUNCTION_ARGS)
{
	ha_sql_require_operator(fcinfo);
	set_pause(true, PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

Datum
pg_ha_resume(PG_FUNCTION_ARGS)
{
	ha_sql_require_operator(fcinfo);
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
