/*-------------------------------------------------------------------------
 *
 * config.c
 *	  The cluster's configuration in this server: judged, then in force.
 *
 * Whoever can write to the store must not be able to run a program here, to load
 * a library or to read a file.  So of the server's settings those may be set that
 * are numbers, switches or words out of a list, and a few texts that are known to
 * be harmless.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

#include "config.h"
#include "config_values_json.h"
#include "pg_ha.h"

#define TEMP_FILE		HA_CLUSTER_FILE ".tmp"
#define WRITE_INTERVAL	60000	/* ms until a write that failed is tried again */

/*-------------------------------------------------------------------------
 * Which settings, and which values
 *-------------------------------------------------------------------------
 */

/* 16: one may look a variable up by its name. */
static struct config_generic *
find_variable(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, 0);
#else
	struct config_generic **variables = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (pg_strcasecmp(variables[i]->name, name) == 0)
			return variables[i];
	}
	return NULL;
#endif
}

/* What pg_ha sets itself, or what must be as it sets it. */
static const char *const managed_names[] = {
	"hot_standby", "primary_conninfo", "primary_slot_name",
	"recovery_target_timeline", "restart_after_crash",
	"shared_preload_libraries", "synchronous_standby_names", "wal_log_hints",
};

/* What differs between nodes, or would lock somebody out. */
static const char *const node_names[] = {
	"bonjour", "cluster_name", "listen_addresses", "port",
	"superuser_reserved_connections", "unix_socket_permissions",
};

static const char *const harmless_texts[] = {
	"application_name", "backtrace_functions", "datestyle",
	"default_table_access_method", "default_tablespace",
	"default_text_search_config", "lc_messages", "lc_monetary", "lc_numeric",
	"lc_time", "log_destination", "log_line_prefix", "log_timezone",
	"temp_tablespaces", "timezone", "timezone_abbreviations",
	"wal_consistency_checking",
};

static bool
is_one_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

#define IS_ONE_OF(name, names)	is_one_of(name, names, lengthof(names))

/* Groups of which nothing is the cluster's business. */
static bool
is_off_limits(enum config_group group)
{
	return group == FILE_LOCATIONS || group == CLIENT_CONN_PRELOAD ||
		group == DEVELOPER_OPTIONS || group == PRESET_OPTIONS ||
		group == WAL_ARCHIVE_RECOVERY || group == WAL_RECOVERY_TARGET;
}

const char *
ha_config_refusal(const char *parameter)
{
	struct config_generic *variable = find_variable(parameter);

	if (pg_strncasecmp(parameter, "pg_ha.", 6) == 0)
		return "is set in the node file";
	if (variable == NULL || (variable->flags & GUC_CUSTOM_PLACEHOLDER) != 0)
		return "is not known to this server";
	if (IS_ONE_OF(parameter, managed_names))
		return "is managed by pg_ha";
	if (IS_ONE_OF(parameter, node_names))
		return "is a node's own";
	if (is_off_limits(variable->group) ||
		(variable->flags & GUC_DISALLOW_IN_FILE) != 0)
		return "can't be set for a whole cluster";
	if (variable->vartype == PGC_STRING &&
		!IS_ONE_OF(parameter, harmless_texts))
		return "could name a program or a file";
	return NULL;
}

void
ha_config_check_value(const HaParameter *parameter)
{
	(void) set_config_option(parameter->name, parameter->value, PGC_POSTMASTER,
							 PGC_S_FILE, GUC_ACTION_SET, false, ERROR, false);
}

void
ha_config_state(const char *parameter, HaParameterState *state)
{
	struct config_generic *variable = find_variable(parameter);

	memset(state, 0, sizeof(*state));
	if (variable == NULL)
		return;
	state->setting = GetConfigOptionByName(parameter, NULL, true);
	state->file = variable->source == PGC_S_FILE ? variable->sourcefile : NULL;
	state->pending_restart = (variable->status & GUC_PENDING_RESTART) != 0;
}

void
ha_config_pending(char *names, size_t size)
{
	struct config_generic **variables;
	int			n;

#if PG_VERSION_NUM >= 160000
	variables = get_guc_variables(&n);
#else
	variables = get_guc_variables();
	n = GetNumConfigOptions();
#endif
	names[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		if ((variables[i]->status & GUC_PENDING_RESTART) == 0 ||
			strlen(names) + strlen(variables[i]->name) + 2 > size)
			continue;
		if (names[0] != '\0')
			strlcat(names, ",", size);
		strlcat(names, variables[i]->name, size);
	}
}

/*-------------------------------------------------------------------------
 * Judging what stands in the store
 *-------------------------------------------------------------------------
 */

static int64 judged_revision;	/* of /config; 0 = nothing was judged yet */
static char trouble[HA_WHY_SIZE];
static char *good_json;			/* the last good document; NULL = none yet */
static char *good_file;			/* its settings, as a file */
static char *applied_file;		/* what the server has read; NULL = not known */

const char *
ha_config_trouble(void)
{
	return trouble;
}

/* The server's error, if it has one, as a line.  No transaction is open here. */
static bool
is_good_value(const HaParameter *parameter)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool good = true;

	PG_TRY();
	{
		ha_config_check_value(parameter);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		strlcpy(trouble, error->message, sizeof(trouble));
		FreeErrorData(error);
		good = false;
	}
	PG_END_TRY();
	return good;
}

/*
 * What may not be set is left out, since Patroni's users have such settings in
 * their configuration; pg_ha_parameters() shows it.
 */
static bool
check_values(HaParameters *parameters)
{
	int			n = 0;

	for (int i = 0; i < parameters->n; i++)
	{
		const HaParameter *parameter = &parameters->list[i];

		if (ha_config_refusal(parameter->name) != NULL)
			continue;
		if (!is_good_value(parameter))
			return false;
		parameters->list[n++] = *parameter;
	}
	parameters->n = n;
	return true;
}

static bool
is_good(const HaKv *kv, char **file)
{
	HaParameters *parameters = palloc(sizeof(HaParameters));
	HaConfig	config;
	bool		good;

	*file = NULL;
	good = ha_config_parse(kv->value, kv->length, &config, trouble,
						   sizeof(trouble)) &&
		ha_config_parameters(kv->value, kv->length, parameters, trouble,
							 sizeof(trouble)) &&
		check_values(parameters);
	if (good)
		*file = ha_parameters_file(parameters);
	pfree(parameters);
	return good && *file != NULL;
}

static void
judge(const HaKv *kv)
{
	char	   *file;

	judged_revision = kv->mod_revision;
	trouble[0] = '\0';
	if (!is_good(kv, &file))
	{
		ereport(LOG,
				(errmsg("the cluster's configuration is not applied: %s",
						trouble),
				 errhint("Correct it with pg_ha_set_config(); until then the last good one stays in force.")));
		return;
	}
	free(good_json);
	free(good_file);
	good_json = strdup(kv->value);
	good_file = file;
}

void
ha_config_filter(HaAnswer *answer, bool may_judge)
{
	for (int i = 0; i < answer->nkvs; i++)
	{
		HaKv	   *kv = &answer->kvs[i];

		if (strcmp(kv->key, "config") != 0 || kv->deleted)
			continue;
		if (kv->mod_revision != judged_revision && may_judge)
			judge(kv);
		if ((trouble[0] != '\0' || kv->mod_revision != judged_revision) &&
			good_json != NULL)
		{
			free(kv->value);
			kv->value = strdup(good_json);
			kv->length = kv->value != NULL ? strlen(kv->value) : 0;
		}
	}
}

/*-------------------------------------------------------------------------
 * In force
 *-------------------------------------------------------------------------
 */

void
ha_config_begin(void)
{
	FILE	   *file = AllocateFile(HA_CLUSTER_FILE, PG_BINARY_R);
	size_t		size = HA_MAX_PARAMETERS * 2 * sizeof(HaParameter);
	size_t		length;

	if (file == NULL)
		return;
	applied_file = malloc(size);
	if (applied_file != NULL)
	{
		length = fread(applied_file, 1, size - 1, file);
		applied_file[length] = '\0';
	}
	FreeFile(file);
}

/* Is it what the server has?  An empty file, of pg_ha_boot's, says nothing either. */
static bool
is_applied(const char *file)
{
	static const HaParameters none;

	if (applied_file == NULL)
		return false;
	if (applied_file[0] == '\0')
	{
		free(applied_file);
		applied_file = ha_parameters_file(&none);
	}
	return applied_file != NULL && strcmp(file, applied_file) == 0;
}

/* Not synced: after a crash of the machine it is written anew from the store. */
static bool
write_file(const char *text)
{
	FILE	   *file = AllocateFile(TEMP_FILE, "w");
	bool		ok;

	if (file == NULL)
		return false;
	ok = fputs(text, file) >= 0;
	ok = FreeFile(file) == 0 && ok;
	return ok && rename(TEMP_FILE, HA_CLUSTER_FILE) == 0;
}

void
ha_config_apply(int64_t now)
{
	static int64 retry_at = 0;

	if (good_file == NULL || now < retry_at || is_applied(good_file))
		return;
	if (!write_file(good_file))
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", HA_CLUSTER_FILE)));
		retry_at = now + WRITE_INTERVAL;
		return;
	}
	free(applied_file);
	applied_file = strdup(good_file);
	ereport(LOG, (errmsg("the settings of the cluster's configuration have changed")));
	(void) kill(PostmasterPid, SIGHUP);
}
