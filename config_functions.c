/*-------------------------------------------------------------------------
 *
 * config_functions.c
 *	  SQL functions: the cluster's configuration, shown and changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "config.h"
#include "config_values_json.h"
#include "control.h"
#include "functions.h"
#include "mixed.h"

PG_FUNCTION_INFO_V1(pg_ha_get_config);
PG_FUNCTION_INFO_V1(pg_ha_set_config);
PG_FUNCTION_INFO_V1(pg_ha_parameters);

/* How often a change is merged anew because another one came first. */
#define MAX_TRIES	5

static Datum
jsonb_of(const char *json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(pstrdup(json)));
}

/* Of malloc'd text, which is freed. */
static char *
take_text(char *text)
{
	char	   *copy;

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	copy = pstrdup(text);
	free(text);
	return copy;
}

Datum
pg_ha_get_config(PG_FUNCTION_ARGS)
{
	int64		revision;
	char	   *json;

	(void) ha_sql_look();
	json = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);
	if (json == NULL)
		json = take_text(ha_config_default_json());
	PG_RETURN_DATUM(jsonb_of(json));
}

static void
refuse_unknown_keys(const char *patch)
{
	char		unknown[128] = "";
	char		nearest[128] = "";

	if (!ha_config_has_unknown(patch, unknown, sizeof(unknown), nearest,
							   sizeof(nearest)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown configuration key \"%s\"", unknown),
			 nearest[0] != '\0' ?
			 errhint("Did you mean \"%s\"?", nearest) : 0));
}

static void
invalid(const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid pg_ha configuration: %s", reason)));
}

/* Only what the change sets: what stood there before is no fault of it. */
static void
refuse_parameters(const char *patch)
{
	HaParameters *parameters = palloc(sizeof(HaParameters));
	char		reason[256];

	if (!ha_config_parameters(patch, strlen(patch), parameters, reason,
							  sizeof(reason)))
		invalid(reason);
	for (int i = 0; i < parameters->n; i++)
	{
		const HaParameter *parameter = &parameters->list[i];
		const char *refusal = ha_config_refusal(parameter->name);

		if (refusal != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid pg_ha configuration: parameter \"%s\" %s",
							parameter->name, refusal),
					 errhint("Set it in the node file of each member, if it is to be set at all.")));
		ha_config_check_value(parameter);
	}
	pfree(parameters);
}

/* The document with the change in it, which must be good as a whole. */
static char *
merged(const char *old, const char *patch)
{
	HaParameters *parameters = palloc(sizeof(HaParameters));
	HaConfig	config;
	char		reason[256];
	char	   *new = ha_config_merge(old, patch, reason, sizeof(reason));

	if (new == NULL)
		invalid(reason);
	new = take_text(new);
	if (!ha_config_parse(new, strlen(new), &config, reason, sizeof(reason)) ||
		!ha_config_parameters(new, strlen(new), parameters, reason,
							  sizeof(reason)))
		invalid(reason);
	pfree(parameters);
	return new;
}

/*
 * Whether this is a standby cluster is decided where its guards are, which ask the
 * source.
 */
static void
refuse_to_turn(const char *patch, const HaPublished *p)
{
	int64		revision;
	char	   *new = merged(ha_sql_document(HA_DOCUMENT_CONFIG, &revision), patch);
	HaConfig	config;
	char		reason[256];
	bool		is_now = p->config.standby_cluster.active;

	if (!ha_config_parse(new, strlen(new), &config, reason, sizeof(reason)) ||
		config.standby_cluster.active == is_now)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cluster \"%s\" cannot be %s by a change of its configuration",
					ha_scope, is_now ? "promoted" : "demoted"),
			 errhint("Use %s, which makes sure of its source.", is_now ?
					 "pg_ha_promote_cluster()" : "pg_ha_demote_cluster()")));
}

/* Below that its own leases have another TTL than the configuration says. */
#define PATRONI_TTL		20000

/* What members of Patroni would read otherwise than ours, or not at all (S-11). */
static void
refuse_for_patroni(const char *patch, const HaPublished *p)
{
	const HaMember *patroni = ha_mixed_patroni(&p->view);
	const HaMember *old;
	const char *needed;
	char		key[HA_NAME_SIZE] = "";
	char		reason[256];
	int64_t		revision;
	HaConfig	config;
	char	   *new;

	if (patroni == NULL)
		return;
	new = merged(ha_sql_document(HA_DOCUMENT_CONFIG, &revision), patch);
	if (ha_config_has_fraction(new, key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("configuration key \"%s\" must be a whole number as long as Patroni runs a member",
						key),
				 errdetail("Patroni runs member \"%s\".", patroni->name)));
	if (!ha_config_parse(new, strlen(new), &config, reason, sizeof(reason)))
		return;
	old = ha_mixed_too_old(&config, &p->view, &needed);
	if (old != NULL && ha_mixed_too_old(&p->config, &p->view, NULL) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("member \"%s\" is run by Patroni %s, which does not know this synchronous_mode",
						old->name, old->patroni),
				 errhint("Upgrade it to Patroni %s or later before.", needed)));
	if (config.ttl < PATRONI_TTL && config.ttl != p->config.ttl)
		ereport(WARNING,
				(errmsg("members that Patroni runs take a ttl of 20 s"),
				 errdetail("Patroni runs member \"%s\".", patroni->name)));
}

/* Until the worker has seen what another one wrote. */
static void
wait_for_other(int64 revision)
{
	int64		seen = revision;
	int64		give_up = ha_now() + 5000;

	while (seen == revision && ha_now() < give_up)
	{
		ha_sql_wait_a_little();
		(void) ha_sql_document(HA_DOCUMENT_CONFIG, &seen);
	}
}

char *
ha_sql_change_config(const char *patch)
{
	HaAsk	   *ask = palloc(sizeof(HaAsk));

	for (int i = 0; i < MAX_TRIES; i++)
	{
		int64		revision;
		char	   *old = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);
		char	   *new = merged(old, patch);

		memset(ask, 0, sizeof(*ask));
		ha_ask_put(ask, "config", revision, new);
		if (ha_ask_try(ask))
			return new;
		wait_for_other(revision);
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the configuration was changed by others at the same time"),
			 errhint("Try again.")));
}

Datum
pg_ha_set_config(PG_FUNCTION_ARGS)
{
	Jsonb	   *change = PG_GETARG_JSONB_P(0);
	char	   *patch = JsonbToCString(NULL, &change->root, VARSIZE(change));
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	if (!JB_ROOT_IS_OBJECT(change))
		invalid("the change must be a JSON object");
	refuse_unknown_keys(patch);
	refuse_parameters(patch);
	ha_sql_check_rules(patch, &p->view);
	refuse_to_turn(patch, p);
	refuse_for_patroni(patch, p);
	PG_RETURN_DATUM(jsonb_of(ha_sql_change_config(patch)));
}

static const char *
text_or_null(const char *text, bool *null)
{
	*null = text == NULL;
	return text;
}

/* What the cluster's configuration sets, and what has become of it here. */
Datum
pg_ha_parameters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	HaParameters *parameters = palloc(sizeof(HaParameters));
	char		reason[256];
	int64		revision;
	char	   *json;

	(void) ha_sql_look();
	json = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);
	InitMaterializedSRF(fcinfo, 0);
	if (json == NULL ||
		!ha_config_parameters(json, strlen(json), parameters, reason,
							  sizeof(reason)))
		return (Datum) 0;
	for (int i = 0; i < parameters->n; i++)
	{
		HaParameter *parameter = &parameters->list[i];
		HaParameterState state;
		const char *columns[4];
		Datum		values[6] = {0};
		bool		nulls[6] = {0};

		ha_config_state(parameter->name, &state);
		columns[0] = parameter->name;
		columns[1] = parameter->value;
		columns[2] = text_or_null(state.setting, &nulls[2]);
		columns[3] = text_or_null(state.file, &nulls[3]);
		for (int j = 0; j < lengthof(columns); j++)
		{
			if (!nulls[j])
				values[j] = CStringGetTextDatum(columns[j]);
		}
		values[4] = BoolGetDatum(state.pending_restart);
		columns[0] = text_or_null(ha_config_refusal(parameter->name), &nulls[5]);
		if (!nulls[5])
			values[5] = CStringGetTextDatum(columns[0]);
		tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
	}
	return (Datum) 0;
}
