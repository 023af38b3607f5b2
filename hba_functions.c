/*-------------------------------------------------------------------------
 *
 * hba_functions.c
 *	  SQL functions: whose rules of access are in force, and those of the cluster.
 *
 * Rules that would not load are never stored, nor, unless that is insisted on, rules
 * that would cut off a standby or the session that sets them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/libpq-be.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "control.h"
#include "functions.h"
#include "hba_json.h"
#include "hba_rules.h"

PG_FUNCTION_INFO_V1(pg_ha_hba_sources);
PG_FUNCTION_INFO_V1(pg_ha_ident_sources);
PG_FUNCTION_INFO_V1(pg_ha_hba_source);
PG_FUNCTION_INFO_V1(pg_ha_get_hba);
PG_FUNCTION_INFO_V1(pg_ha_set_hba);
PG_FUNCTION_INFO_V1(pg_ha_hba_check);

/*-------------------------------------------------------------------------
 * What is in force
 *-------------------------------------------------------------------------
 */

static void
look_at_state(HaAuthFile file, HaHbaState *state)
{
	pfree(ha_sql_look());		/* an error where pg_ha does not run */
	LWLockAcquire(ha_shared->lock, LW_SHARED);
	memcpy(state, &ha_shared->hba[file], sizeof(*state));
	LWLockRelease(ha_shared->lock);
}

static void
put(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
}

static Datum
source_rows(FunctionCallInfo fcinfo, HaAuthFile file)
{
	HaHbaState *state = palloc(sizeof(HaHbaState));

	look_at_state(file, state);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; state->known && i < HA_NHBA_SOURCES; i++)
	{
		const HaHbaRow *row = &state->rows[i];
		Datum		values[9];
		bool		nulls[9] = {0};

		nulls[2] = row->location[0] == '\0';
		nulls[5] = row->rules < 0;
		nulls[6] = row->sha256[0] == '\0';
		nulls[7] = row->applied_at == 0;
		nulls[8] = row->error[0] == '\0';
		values[0] = Int32GetDatum(i + 1);
		values[1] = CStringGetTextDatum(ha_hba_source_name(file, i));
		values[2] = CStringGetTextDatum(row->location);
		values[3] = BoolGetDatum(row->present);
		values[4] = BoolGetDatum(row->in_force);
		values[5] = Int32GetDatum(row->rules);
		values[6] = CStringGetTextDatum(row->sha256);
		values[7] = TimestampTzGetDatum(row->applied_at);
		values[8] = CStringGetTextDatum(row->error);
		put(fcinfo, values, nulls);
	}
	return (Datum) 0;
}

Datum
pg_ha_hba_sources(PG_FUNCTION_ARGS)
{
	return source_rows(fcinfo, HA_AUTH_HBA);
}

Datum
pg_ha_ident_sources(PG_FUNCTION_ARGS)
{
	return source_rows(fcinfo, HA_AUTH_IDENT);
}

Datum
pg_ha_hba_source(PG_FUNCTION_ARGS)
{
	HaHbaState *state = palloc(sizeof(HaHbaState));

	look_at_state(HA_AUTH_HBA, state);
	for (int i = 0; i < HA_NHBA_SOURCES; i++)
	{
		if (state->rows[i].in_force)
			PG_RETURN_TEXT_P(cstring_to_text(ha_hba_source_name(HA_AUTH_HBA,
																i)));
	}
	PG_RETURN_NULL();
}

/*-------------------------------------------------------------------------
 * Rules that are given
 *-------------------------------------------------------------------------
 */

/* A file's worth of rules. */
typedef struct Rules
{
	int			nlines;
	char	  **lines;
	char	   *text;
	List	   *parsed;			/* HbaLine */
} Rules;

static void
refuse_file(HaAuthFile file, const char *fault)
{
	char		text[HA_HBA_ERROR_SIZE + 16];

	ha_hba_fault(file, fault, text, sizeof(text));
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", text)));
}

static void
refuse_line(int line, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("pg_hba line %d: %s", line, why)));
}

static void
take_lines(ArrayType *array, Rules *rules)
{
	Datum	   *elements;
	bool	   *nulls;
	StringInfoData buf;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the lines must be an array of one dimension")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &rules->nlines);
	rules->lines = palloc(rules->nlines * sizeof(char *) + 1);
	initStringInfo(&buf);
	for (int i = 0; i < rules->nlines; i++)
	{
		const char *fault = NULL;

		if (nulls[i])
			refuse_line(i + 1, "it is null");
		rules->lines[i] = TextDatumGetCString(elements[i]);
		fault = ha_hba_line_fault(rules->lines[i], strlen(rules->lines[i]));
		if (fault != NULL)
			refuse_line(i + 1, fault);
		appendStringInfo(&buf, "%s\n", rules->lines[i]);
	}
	rules->text = buf.data;
	if (buf.len > HA_HBA_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the lines are too long: %d bytes", buf.len),
				 errdetail("At most %d bytes are stored.", HA_HBA_MAX_TEXT)));
}

static void
parse_rules(Rules *rules)
{
	char		err[HA_HBA_ERROR_SIZE];

	rules->parsed = ha_rules_parse(rules->text, err, sizeof(err));
	if (rules->parsed == NIL)
		refuse_file(HA_AUTH_HBA, err);
}

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

/*-------------------------------------------------------------------------
 * Which line decides?
 *-------------------------------------------------------------------------
 */

static void
put_match(FunctionCallInfo fcinfo, const HbaLine *line, const char *method,
		  const char *detail)
{
	Datum		values[3];
	bool		nulls[3] = {line == NULL, false, detail == NULL};

	values[0] = Int32GetDatum(line != NULL ? line->linenumber : 0);
	values[1] = CStringGetTextDatum(method);
	values[2] = detail != NULL ? CStringGetTextDatum(detail) : (Datum) 0;
	put(fcinfo, values, nulls);
}

/* true: this line decides. */
static bool
put_line(FunctionCallInfo fcinfo, const HbaLine *line, const HaConnection *c)
{
	const char *method = hba_authname(line->auth_method);

	switch (ha_rules_match(line, c))
	{
		case HA_MATCH_NO:
			return false;
		case HA_MATCH_NEEDS_DNS:
			put_match(fcinfo, line, method,
					  psprintf("needs DNS: only if the address is that of \"%s\"",
							   line->hostname));
			return false;
		case HA_MATCH_YES:
			break;
	}
	put_match(fcinfo, line, method,
			  line->conntype != ctLocal &&
			  (line->ip_cmp_method == ipCmpSameHost ||
			   line->ip_cmp_method == ipCmpSameNet) ?
			  "by the network interfaces of this node" : NULL);
	return true;
}

static void
take_address(const char *text, SockAddr *address)
{
	if (strcmp(text, "local") == 0)
	{
		memset(address, 0, sizeof(*address));
		address->addr.ss_family = AF_UNIX;
	}
	else if (!ha_rules_address(text, address))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an IP address", text),
				 errhint("Give an address in numbers, or \"local\" for a socket of the machine.")));
}

Datum
pg_ha_hba_check(PG_FUNCTION_ARGS)
{
	Rules		rules = {0};
	HaConnection c = {0};
	ListCell   *cell;

	ha_sql_require_operator(fcinfo);
	require_argument(fcinfo, 0, "lines");
	require_argument(fcinfo, 1, "user");
	require_argument(fcinfo, 2, "database");
	require_argument(fcinfo, 3, "address");
	take_lines(PG_GETARG_ARRAYTYPE_P(0), &rules);
	parse_rules(&rules);
	c.user = text_to_cstring(PG_GETARG_TEXT_PP(1));
	c.database = text_to_cstring(PG_GETARG_TEXT_PP(2));
	c.replication = strcmp(c.database, "replication") == 0;
	c.encrypted = PG_ARGISNULL(4) ? EnableSSL : PG_GETARG_BOOL(4);
	take_address(text_to_cstring(PG_GETARG_TEXT_PP(3)), &c.address);

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, rules.parsed)
	{
		if (put_line(fcinfo, lfirst(cell), &c))
			return (Datum) 0;
	}
	put_match(fcinfo, NULL, "reject", "no line matches");
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 * Guards
 *-------------------------------------------------------------------------
 */

static bool
lets_in(const Rules *rules, const HaConnection *c)
{
	const HbaLine *line = ha_rules_find(rules->parsed, c);

	return line != NULL && line->auth_method != uaReject;
}

/* As primary_conninfo has it: with TLS, or without if that is allowed. */
static bool
lets_member_in(const Rules *rules, HaConnection *c)
{
	bool		needs_tls = ha_replication_sslrootcert[0] != '\0';

	for (int tls = needs_tls ? 1 : 0; tls <= (EnableSSL ? 1 : 0); tls++)
	{
		c->encrypted = tls != 0;
		if (lets_in(rules, c))
			return true;
	}
	return false;
}

/* From any of the addresses that the member's host has. */
static bool
lets_host_in(const Rules *rules, HaConnection *c, const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	bool		ok = false;

	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return false;
	for (struct addrinfo *a = found; a != NULL && !ok; a = a->ai_next)
	{
		memset(&c->address, 0, sizeof(c->address));
		memcpy(&c->address.addr, a->ai_addr, a->ai_addrlen);
		c->address.salen = a->ai_addrlen;
		ok = lets_member_in(rules, c);
	}
	freeaddrinfo(found);
	return ok;
}

/* Each member may be a standby of each other one. */
static void
guard_replication(const Rules *rules, const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];
		HaConnection c = {
			.user = ha_replication_user,.database = "replication",.replication = true
		};

		if (member->host[0] == '\0')
			continue;
		if (!lets_host_in(rules, &c, member->host))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("these rules would not let replication user \"%s\" connect from member %s (%s)",
							ha_replication_user, member->name, member->host),
					 errhint("Add a line for it before others that reject it. With pg_ha_set_hba(..., force => true) the rules are stored all the same.")));
		c.replication = false;
		c.database = "postgres";
		if (!lets_host_in(rules, &c, member->host))
			ereport(WARNING,
					(errmsg("these rules do not let replication user \"%s\" connect to database \"postgres\" from member %s (%s)",
							ha_replication_user, member->name, member->host),
					 errhint("It can't be rewound then, but is cloned anew.")));
	}
}

static void
guard_caller(const Rules *rules)
{
	HaConnection c = {0};

	if (MyProcPort == NULL)
		return;
	c.user = MyProcPort->user_name;
	c.database = MyProcPort->database_name;
	c.address = MyProcPort->raddr;
	c.encrypted = MyProcPort->ssl_in_use;
#if defined(ENABLE_GSS) || defined(ENABLE_SSPI)
	c.gss = MyProcPort->gss != NULL && MyProcPort->gss->enc;
#endif
	if (!lets_in(rules, &c))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("these rules would not let user \"%s\" connect to database \"%s\" as this session does",
						c.user, c.database),
				 errhint("With pg_ha_set_hba(..., force => true) they are stored all the same.")));
}

/*-------------------------------------------------------------------------
 * The cluster's rules
 *-------------------------------------------------------------------------
 */

Datum
pg_ha_get_hba(PG_FUNCTION_ARGS)
{
	char		err[HA_HBA_ERROR_SIZE] = "";
	int64		revision;
	char	   *config;
	char	   *joined = NULL;
	char	   *line;
	char	   *end;

	pfree(ha_sql_look());
	config = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);
	if (config != NULL)
		joined = ha_hba_from_config(config, HA_AUTH_HBA, err, sizeof(err));
	if (err[0] != '\0')
		refuse_file(HA_AUTH_HBA, err);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (joined == NULL)
		return (Datum) 0;
	line = pstrdup(joined);
	free(joined);
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
	{
		Datum		value;
		bool		null = false;

		*end = '\0';
		value = CStringGetTextDatum(line);
		put(fcinfo, &value, &null);
	}
	return (Datum) 0;
}

/* What this session reads next shall be what it has written. */
static void
wait_until_read(int64 before, int64 patience)
{
	int64		give_up = ha_now() + patience;
	int64		revision = before;

	while (revision == before && ha_now() < give_up)
	{
		char	   *text;

		ha_sql_wait_a_little();
		text = ha_sql_document(HA_DOCUMENT_CONFIG, &revision);
		if (text != NULL)
			pfree(text);
	}
}

/* Merged into what else the configuration has. */
static void
store_rules(const Rules *rules, int64 patience)
{
	int64		before;
	const char **lines = palloc(rules->nlines * sizeof(char *) + 1);
	char	   *json;
	char	   *patch;

	for (int i = 0; i < rules->nlines; i++)
		lines[i] = pg_server_to_any(rules->lines[i], strlen(rules->lines[i]),
									PG_UTF8);
	json = ha_hba_patch(HA_AUTH_HBA, lines, rules->nlines);
	if (json == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	patch = pstrdup(json);
	free(json);
	(void) ha_sql_document(HA_DOCUMENT_CONFIG, &before);
	(void) ha_sql_change_config(patch);
	wait_until_read(before, patience);
}

static void
warn_where_shadowed(const HaView *view)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (ha_hba_source_by_name(HA_AUTH_HBA, member->hba_source) <
			HA_HBA_CLUSTER)
			appendStringInfo(&names, "%s%s (%s)", names.len > 0 ? ", " : "",
							 member->name, member->hba_source);
	}
	if (names.len > 0)
		ereport(WARNING,
				(errmsg("stored, but not in force on %s", names.data)));
}

/* If the cluster has none, what was there before is what counts. */
static Rules *
base_rules(void)
{
	Rules	   *base = palloc0(sizeof(Rules));

	base->text = ha_hba_base_text(HA_AUTH_HBA);
	if (base->text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no rules that could be put back")));
	return base;
}

/*
 * What a change of the configuration by other means has of rules.  There is no
 * "force" there.
 */
void
ha_sql_check_rules(const char *patch, const HaView *view)
{
	for (int i = 0; i < HA_NAUTH_FILES; i++)
	{
		char		err[HA_HBA_ERROR_SIZE] = "";
		char	   *joined = ha_hba_from_config(patch, i, err, sizeof(err));
		Rules		rules = {0};
		int			nrules;

		if (joined != NULL)
		{
			rules.text = pstrdup(joined);
			free(joined);
			(void) ha_rules_check(i, rules.text, &nrules, err, sizeof(err));
		}
		if (err[0] != '\0')
			refuse_file(i, err);
		if (rules.text == NULL || i != HA_AUTH_HBA)
			continue;
		parse_rules(&rules);
		guard_replication(&rules, view);
		guard_caller(&rules);
	}
}

Datum
pg_ha_set_hba(PG_FUNCTION_ARGS)
{
	Rules		rules = {0};
	Rules	   *next;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	require_argument(fcinfo, 0, "lines");
	require_argument(fcinfo, 1, "force");
	take_lines(PG_GETARG_ARRAYTYPE_P(0), &rules);
	p = ha_sql_look();
	ha_sql_refuse_in_failsafe(p);
	next = rules.nlines > 0 ? &rules : base_rules();
	parse_rules(next);
	if (!PG_GETARG_BOOL(1))
	{
		guard_replication(next, &p->view);
		guard_caller(next);
	}
	store_rules(&rules, 2 * p->config.loop_wait);
	warn_where_shadowed(&p->view);
	PG_RETURN_VOID();
}
