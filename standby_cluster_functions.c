/*-------------------------------------------------------------------------
 *
 * standby_cluster_functions.c
 *	  SQL functions: a standby cluster made of this one, and a cluster of its own
 *	  made of a standby cluster.
 *
 * Both only change the configuration; the rules in standby_cluster.c do the rest.
 * What is here are the guards: two clusters with one history that both take writes
 * can't be put together again without a loss, and nothing that a cluster knows of
 * itself tells it whether the other one still lives.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "config_values_json.h"
#include "functions.h"
#include "source_probe.h"
#include "standby_cluster.h"

PG_FUNCTION_INFO_V1(pg_ha_promote_cluster);
PG_FUNCTION_INFO_V1(pg_ha_demote_cluster);

static void
require_confirmation(const char *confirm)
{
	if (strcmp(confirm, ha_scope) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confirm must be the cluster name \"%s\"", ha_scope)));
}

static void
refuse_in_pause(const HaPublished *p)
{
	if (p->config.pause)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" is paused", ha_scope),
				 errhint("End the pause with pg_ha_resume().")));
}

/*
 * A source that answers as a primary was not fenced, whatever the operator believes.
 * One that does not answer may still run where we can't see it, which is what the
 * operator vouches for.
 */
static void
refuse_running_source(const HaStandbyCluster *source)
{
	HaSourceServer servers[HA_MAX_SOURCES];
	int			n = ha_standby_cluster_servers(source, servers);

	for (int i = 0; i < n; i++)
	{
		HaSourceFacts facts;

		ha_source_probe(&servers[i], &facts);
		if (facts.answered && facts.primary)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("source %s is still a running primary (timeline %u)",
							servers[i].host, facts.timeline),
					 errhint("Stop it for good, or make a standby of it, before this cluster is promoted.")));
		if (!facts.answered)
			ereport(NOTICE,
					(errmsg("source %s:%d could not be asked: %s",
							servers[i].host, (int) servers[i].port,
							facts.error)));
	}
}

Datum
pg_ha_promote_cluster(PG_FUNCTION_ARGS)
{
	char	   *confirm = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		source_is_fenced = PG_GETARG_BOOL(1);
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	require_confirmation(confirm);
	if (!p->config.standby_cluster.active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" is not a standby cluster", ha_scope),
				 errhint("To let another member lead, call pg_ha_switchover().")));
	refuse_in_pause(p);

	/* who is to be elected is judged by what its leader has told */
	if (!p->view.leader.present || !p->view.term.standby ||
		p->view.term.intent)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("standby cluster \"%s\" has no leader", ha_scope),
				 errhint("Try again when pg_ha_members() shows one.")));
	if (!source_is_fenced)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("promoting a standby cluster while its source still runs creates two diverging databases"),
				 errhint("Make sure that the source at %s is stopped and cannot come back by itself, then say so with source_is_fenced => true.",
						 p->config.standby_cluster.host)));
	refuse_running_source(&p->config.standby_cluster);
	(void) ha_sql_change_config("{\"standby_cluster\":null}");
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("cluster \"%s\" does not follow %s any more, and elects a primary",
											  ha_scope,
											  p->config.standby_cluster.host)));
}

/* What makes this cluster a standby cluster of it. */
static char *
patch_of(const HaStandbyCluster *source)
{
	char	   *patch = ha_standby_cluster_patch(source);
	char	   *copy;

	if (patch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source must be named by text that is valid UTF-8")));
	copy = pstrdup(patch);
	free(patch);
	return copy;
}

/* As the configuration would have it; an error if that is no good. */
static HaStandbyCluster
check_source(const char *host, int port, const char *slot)
{
	HaStandbyCluster source = {.active = true};
	HaConfig	config;
	char		reason[256];
	char	   *patch;

	if (strlcpy(source.host, host, sizeof(source.host)) >= sizeof(source.host) ||
		strlcpy(source.slot, slot, sizeof(source.slot)) >= sizeof(source.slot))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of the source is too long")));
	snprintf(source.port, sizeof(source.port), "%d", port);
	patch = patch_of(&source);
	if (!ha_config_parse(patch, strlen(patch), &config, reason,
						 sizeof(reason)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid source: %s", reason)));
	return source;
}

static void
refuse_own_member(const HaView *view, const HaSourceServer *server)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (member->port == server->port &&
			strcmp(member->host, server->host) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s:%d is member \"%s\" of this cluster",
							server->host, (int) server->port, member->name)));
	}
}

/*
 * A cluster that is demoted has no primary until its source gives it WAL, so one of
 * the servers that are named must be there, and of the same origin.
 */
static void
require_source(const HaView *view, const HaStandbyCluster *source)
{
	HaSourceServer servers[HA_MAX_SOURCES];
	int			n = ha_standby_cluster_servers(source, servers);
	HaSourceFacts facts = {0};

	for (int i = 0; i < n; i++)
		refuse_own_member(view, &servers[i]);
	for (int i = 0; i < n && !facts.answered; i++)
	{
		ha_source_probe(&servers[i], &facts);
		if (facts.answered && facts.sysid != view->sysid)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s:%d has system identifier " UINT64_FORMAT ", but cluster \"%s\" has " UINT64_FORMAT,
							servers[i].host, (int) servers[i].port,
							facts.sysid, ha_scope, view->sysid),
					 errhint("A standby cluster can only follow a server that its data comes from, or that was cloned from it.")));
	}
	if (!facts.answered)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_EXCEPTION),
				 errmsg("source %s could not be asked: %s", source->host,
						facts.error),
				 errhint("It must run, and let role \"%s\" in for replication, before this cluster gives up its primary.",
						 ha_replication_user)));
}

Datum
pg_ha_demote_cluster(PG_FUNCTION_ARGS)
{
	char	   *host = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			port = PG_GETARG_INT32(1);
	char	   *slot = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *confirm = text_to_cstring(PG_GETARG_TEXT_PP(3));
	HaStandbyCluster source;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	require_confirmation(confirm);
	source = check_source(host, port, slot);
	ha_sql_refuse_in_failsafe(p);
	refuse_in_pause(p);
	require_source(&p->view, &source);
	(void) ha_sql_change_config(patch_of(&source));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("cluster \"%s\" becomes a standby cluster of %s",
											  ha_scope, source.host)));
}
