/*-------------------------------------------------------------------------
 *
 * operate.c
 *	  SQL functions by which an operator acts on members and on the cluster.
 *
 * They are refused here, with the reason, by what the worker last saw.  What is
 * asked for is written into the store by the worker, in a transaction that compares
 * what the refusals rested on, and carried out by each member's pg_ha_boot, which
 * looks for itself whether it may.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster.h"
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "control.h"
#include "fence.h"
#include "functions.h"
#include "operate.h"
#include "request_json.h"
#include "wall_time.h"

PG_FUNCTION_INFO_V1(pg_ha_reinit);
PG_FUNCTION_INFO_V1(pg_ha_requests);
PG_FUNCTION_INFO_V1(pg_ha_stop_cluster);
PG_FUNCTION_INFO_V1(pg_ha_join_command);
PG_FUNCTION_INFO_V1(pg_ha_wait);

static const char *
member_names(const HaView *view)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < view->nmembers; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 view->members[i].name);
	return names.data;
}

void
ha_sql_refuse_stranger(const HaView *view, const char *name)
{
	if (ha_find_member(view, name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no such member \"%s\" (members: %s)", name,
						member_names(view))));
}

static void
refuse_request_in_progress(const HaMember *member,
						   const HaMemberRequest *request)
{
	const HaProgress *progress = &member->progress;
	bool		known = strcmp(progress->id, request->id) == 0 &&
	progress->text[0] != '\0';
	char		time[HA_TIME_SIZE];

	ha_time_format(request->at, time);
	if (request->at != 0 && !known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a restart of \"%s\" is scheduled for %s",
						member->name, time),
				 errhint("pg_ha_cancel_restart() takes it back.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("%s of \"%s\" already in progress (%s)",
					request->kind == HA_REQUEST_UNREADABLE ? "a request" :
					ha_request_kind_name(request->kind), member->name,
					known ? progress->text : "not taken up yet"),
			 errhint("With force => true it is begun once more.")));
}

void
ha_sql_refuse_request(const HaView *view, const char *name,
					  HaMemberRequestKind kind, bool force)
{
	switch (ha_request_refusal(view, name, kind, force))
	{
		case HA_REFUSAL_NONE:
			return;
		case HA_REFUSAL_NO_MEMBER:
			ha_sql_refuse_stranger(view, name);
			return;
		case HA_REFUSAL_NO_LEADER:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cluster has no leader; nothing to clone from")));
			break;
		case HA_REFUSAL_LEADS:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("member \"%s\" is the leader; switch over first",
							name),
					 errhint("See pg_ha_switchover().")));
			break;
		case HA_REFUSAL_NO_BOOT:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no pg_ha_boot runs for member \"%s\"", name),
					 errhint("Start the server under pg_ha_boot.")));
			break;
		case HA_REFUSAL_IN_PROGRESS:
			refuse_request_in_progress(ha_find_member(view, name),
									   ha_find_request(view, name));
	}
}

/*
 * What pg_ha_requests() shows shall be the new request, not how an earlier one
 * ended.  "before" is of before it was put.
 */
static void
wait_until_shown(const HaPublished *before, const char *name)
{
	const HaMemberRequest *old = ha_find_request(&before->view, name);
	const HaMember *member = ha_find_member(&before->view, name);
	int64		give_up = ha_now() + 2 * before->config.loop_wait;
	bool		shown = false;

	while (!shown && ha_now() < give_up)
	{
		HaPublished *p = ha_sql_look();
		const HaMemberRequest *new = ha_find_request(&p->view, name);
		const HaMember *now = ha_find_member(&p->view, name);

		shown = (new != NULL &&
				 (old == NULL || strcmp(old->id, new->id) != 0)) ||
			now == NULL ||
			strcmp(now->progress.id, member->progress.id) != 0;
		pfree(p);
		if (!shown)
			ha_sql_wait_a_little();
	}
}

void
ha_sql_new_request(HaMemberRequest *request, HaMemberRequestKind kind,
				   const HaView *view, const char *name)
{
	uint8		bytes[HA_REQUEST_RANDOM_SIZE];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	ha_request_begin(request, kind, view, name, ha_member_name, bytes);
}

void
ha_sql_store_request(const HaView *view, const char *key, int64 revision,
					 const HaMemberRequest *request, bool in_this_term)
{
	HaAsk	   *ask = palloc0(sizeof(HaAsk));
	char	   *json = ha_request_json(request);

	ha_ask_guard_leader(ask, view);
	if (in_this_term)
		ha_ask_guard_term(ask, view);
	ha_ask_put(ask, key, revision, json);
	free(json);
	ha_ask_store(ask);
	pfree(ask);
}

static void
store_reinit(const HaView *view, const HaMember *member, bool from_leader)
{
	const HaMemberRequest *old = ha_find_request(view, member->name);
	HaMemberRequest request;

	ha_sql_new_request(&request, HA_REQUEST_REINIT, view, member->name);
	request.from_leader = from_leader;
	ha_sql_store_request(view, psprintf("pg_ha/requests/%s", member->name),
						 old != NULL ? old->mod_revision : 0, &request, false);
}

static void
store_stop_cluster(const HaView *view)
{
	HaMemberRequest request;

	ha_sql_new_request(&request, HA_REQUEST_STOP, view, NULL);
	strlcpy(request.leader, view->leader.name, sizeof(request.leader));
	request.term = view->term.term;
	ha_sql_store_request(view, "pg_ha/stop", view->stop.mod_revision, &request, true);
}

Datum
pg_ha_reinit(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		force = PG_GETARG_BOOL(1);
	const HaMember *member;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	ha_sql_refuse_request(&p->view, name, HA_REQUEST_REINIT, force);
	member = ha_find_member(&p->view, name);
	store_reinit(&p->view, member, PG_GETARG_BOOL(2));
	wait_until_shown(p, name);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("reinit of \"%s\" requested",
											  name)));
}

/* NULL for what is not known. */
static void
put_request(FunctionCallInfo fcinfo, const char *name,
			HaMemberRequestKind kind, const char *state, const char *detail,
			const HaMemberRequest *request)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *columns[5] = {
		name, ha_request_kind_name(kind), state, detail,
		request != NULL ? request->asked_by : ""
	};
	Datum		values[5] = {0};
	bool		nulls[5] = {0};

	for (int i = 0; i < lengthof(columns); i++)
	{
		nulls[i] = columns[i][0] == '\0';
		if (!nulls[i])
			values[i] = CStringGetTextDatum(columns[i]);
	}
	tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
}

static const char *
scheduled_time(const HaMemberRequest *request)
{
	char		time[HA_TIME_SIZE] = "";

	if (request->at != 0)
		ha_time_format(request->at, time);
	return pstrdup(time);
}

/* For each member the last request, also when it is over. */
Datum
pg_ha_requests(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	HaView	   *view = &p->view;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < view->nmembers; i++)
	{
		HaMember   *member = &view->members[i];
		HaProgress *progress = &member->progress;
		const HaMemberRequest *request = ha_find_request(view, member->name);
		const HaMemberRequest *taken = request;

		if (request == NULL && view->stop.mod_revision != 0)
			taken = &view->stop;
		if (taken != NULL && strcmp(taken->id, progress->id) != 0)
			taken = NULL;
		if (request != NULL && taken == NULL)
			put_request(fcinfo, member->name, request->kind,
						request->at != 0 ? "scheduled" : "requested",
						scheduled_time(request), request);
		else if (progress->state != HA_PROGRESS_NONE)
			put_request(fcinfo, member->name, progress->kind,
						ha_progress_state_name(progress->state),
						progress->text, taken);
	}
	return (Datum) 0;
}

Datum
pg_ha_stop_cluster(PG_FUNCTION_ARGS)
{
	char	   *mode = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *confirm = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const HaMember *leader;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	if (strcmp(confirm, ha_scope) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confirm must be the cluster name \"%s\"", ha_scope)));
	if (strcmp(mode, "fast") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized mode \"%s\"", mode),
				 errhint("The only mode is \"fast\": sessions are ended, everything is streamed and a checkpoint is made.")));
	ha_sql_refuse_in_failsafe(p);
	if (!p->view.leader.present)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no leader", ha_scope),
				 errhint("Stop pg_ha_boot on each node.")));
	leader = ha_find_member(&p->view, p->view.leader.name);
	if (leader == NULL || leader->identity[0] == '\0' ||
		strcmp(p->view.term.owner, leader->name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no pg_ha_boot runs for leader \"%s\"",
						p->view.leader.name),
				 errhint("Stop each node by the means that it was started with.")));
	if (ha_stop_counts(&p->view))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cluster \"%s\" is being stopped already", ha_scope)));
	store_stop_cluster(&p->view);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("stop of cluster \"%s\" requested, leader \"%s\" is the last",
											  ha_scope, leader->name)));
}

/* A line of a node file, if there is a value. */
static void
add_setting(StringInfo file, const char *name, const char *value)
{
	char	   *quoted;

	if (value == NULL || value[0] == '\0')
		return;
	quoted = quote_literal_cstr(value);

	/* quote_literal_cstr() may prefix an E, which a file does not know */
	appendStringInfo(file, "%s = %s\n", name, quoted + (quoted[0] == 'E'));
}

/* A standby with less than its primary would have to be restarted twice. */
static void
add_limits(StringInfo file)
{
	static const char *const limits[] = {
		"max_connections", "max_locks_per_transaction",
		"max_prepared_transactions", "max_wal_senders", "max_worker_processes"
	};

	for (int i = 0; i < lengthof(limits); i++)
		appendStringInfo(file, "%s = %s\n", limits[i],
						 GetConfigOption(limits[i], false, false));
}

/*
 * What a new node needs, with the values of this one; whatever is that node's own
 * is in capitals.  Passwords are in files of which only the paths are told.
 */
Datum
pg_ha_join_command(PG_FUNCTION_ARGS)
{
	StringInfoData file;

	ha_sql_require_operator(fcinfo);
	initStringInfo(&file);
	appendStringInfoString(&file, "# /etc/pg_ha/NAME.conf, with NAME, ADDRESS and PGDATA of the new node\n");
	add_setting(&file, "pg_ha.scope", ha_scope);
	add_setting(&file, "pg_ha.name", "NAME");
	if (strcmp(ha_namespace, "service") != 0)
		add_setting(&file, "pg_ha.namespace", ha_namespace);
	add_setting(&file, "pg_ha.etcd_endpoints", ha_etcd_endpoints);
	add_setting(&file, "pg_ha.etcd_cacert", ha_etcd_cacert);
	add_setting(&file, "pg_ha.etcd_cert", ha_etcd_cert);
	add_setting(&file, "pg_ha.etcd_key", ha_etcd_key);
	add_setting(&file, "pg_ha.etcd_user", ha_etcd_user);
	add_setting(&file, "pg_ha.etcd_password_file", ha_etcd_password_file);
	add_setting(&file, "pg_ha.connect_address",
				psprintf("ADDRESS:%d", PostPortNumber));
	add_setting(&file, "pg_ha.rest_auth_file", ha_rest_auth_file);
	add_setting(&file, "pg_ha.replication_user", ha_replication_user);
	add_setting(&file, "pg_ha.replication_passfile", ha_replication_passfile);
	add_setting(&file, "pg_ha.replication_sslcert", ha_replication_sslcert);
	add_setting(&file, "pg_ha.replication_sslkey", ha_replication_sslkey);
	add_setting(&file, "pg_ha.replication_sslrootcert",
				ha_replication_sslrootcert);
	appendStringInfo(&file, "port = %d\nlisten_addresses = 'ADDRESS'\n",
					 PostPortNumber);
	add_limits(&file);
	appendStringInfoString(&file, "\n# copy the files that it names, with mode 0600, then run, as the owner of PGDATA:\n"
						   "pg_ha_boot run -D PGDATA -c /etc/pg_ha/NAME.conf\n");
	PG_RETURN_TEXT_P(cstring_to_text(file.data));
}

static bool
has_role(const HaPublished *p, bool leader, bool standby)
{
	int64		now = ha_now();

	if (p->local.role == HA_ROLE_PRIMARY)
		return leader && now < ha_fence_deadline();
	return standby && p->local.role == HA_ROLE_STANDBY &&
		p->local.streaming && p->at != 0 && now - p->at < 2000;
}

/* For scripts: an error, and not a row, says that it did not come about. */
Datum
pg_ha_wait(PG_FUNCTION_ARGS)
{
	char	   *role = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		timeout = PG_GETARG_INT32(1) * INT64CONST(1000);
	int64		give_up = ha_now() + timeout;
	bool		any = strcmp(role, "any") == 0;
	bool		leader = any || strcmp(role, "leader") == 0;
	bool		standby = any || strcmp(role, "standby") == 0;
	HaPublished *p = ha_sql_look();

	if (!leader && !standby)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized role \"%s\"", role),
				 errhint("Roles are \"leader\", \"standby\" and \"any\".")));
	while (!has_role(p, leader, standby))
	{
		if (ha_now() >= give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("member \"%s\" did not become %s within %d s",
							ha_member_name, any ? "ready" : role,
							PG_GETARG_INT32(1)),
					 errhint("See pg_ha_status() and pg_ha_health().")));
		ha_sql_wait_a_little();
		pfree(p);
		p = ha_sql_look();
	}
	PG_RETURN_VOID();
}
