/*-------------------------------------------------------------------------
 *
 * config_json.c
 *	  The cluster's configuration as a document that operators change.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_json.h"
#include "config_values_json.h"
#include "fail.h"
#include "json_build.h"
#include "json_guard.h"
#include "suggest.h"

#define LENGTH_OF(array)	((int) (sizeof(array) / sizeof((array)[0])))

static json_t *
load_text(const char *text)
{
	return text != NULL ? ha_json_load(text, strlen(text)) : NULL;
}

/*-------------------------------------------------------------------------
 * Which keys there are
 *-------------------------------------------------------------------------
 */

/* Those of Patroni that have no meaning here are kept, for Patroni. */
static const char *const top_keys[] = {
	"check_timeline", "failsafe_mode", "ignore_slots", "loop_wait",
	"master_start_timeout", "master_stop_timeout", "max_timelines_history",
	"maximum_lag_on_failover", "maximum_lag_on_syncnode",
	"member_slots_max_wal", "member_slots_ttl", "pause",
	"permanent_replication_slots", "permanent_slots", "postgresql",
	"primary_start_timeout", "primary_stop_timeout", "retry_timeout", "schema",
	"slots", "standby_cluster", "synchronous_mode", "synchronous_mode_strict",
	"synchronous_node_count", "ttl",
};

static const char *const postgresql_keys[] = {
	"basebackup", "create_replica_methods", "parameters", "pg_hba", "pg_ident",
	"recovery_conf", "remove_data_directory_on_diverged_timelines",
	"remove_data_directory_on_rewind_failure", "use_pg_rewind", "use_slots",
};

static const char *const standby_cluster_keys[] = {
	"archive_cleanup_command", "create_replica_methods", "host", "port",
	"primary_slot_name", "recovery_min_apply_delay", "restore_command",
};

static bool
object_has_unknown(json_t *object, const char *prefix,
				   const char *const *known, int nknown, char *unknown,
				   size_t size, char *nearest, size_t nearest_size)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(object, key, value)
	{
		HaSuggestion suggestion;
		bool		found = json_is_null(value);

		ha_suggest_begin(&suggestion, key);
		for (int i = 0; i < nknown && !found; i++)
		{
			found = strcmp(key, known[i]) == 0;
			ha_suggest_offer(&suggestion, known[i]);
		}
		if (found)
			continue;
		snprintf(unknown, size, "%s%s", prefix, key);
		nearest[0] = '\0';
		if (suggestion.nearest != NULL)
			snprintf(nearest, nearest_size, "%s%s", prefix,
					 suggestion.nearest);
		return true;
	}
	return false;
}

bool
ha_config_has_unknown(const char *patch, char *unknown, size_t size,
					  char *nearest, size_t nearest_size)
{
	json_t	   *root = load_text(patch);
	bool		found;

	found = object_has_unknown(root, "", top_keys, LENGTH_OF(top_keys),
							   unknown, size, nearest, nearest_size) ||
		object_has_unknown(json_object_get(root, "postgresql"), "postgresql.",
						   postgresql_keys, LENGTH_OF(postgresql_keys),
						   unknown, size, nearest, nearest_size) ||
		object_has_unknown(json_object_get(root, "standby_cluster"),
						   "standby_cluster.", standby_cluster_keys,
						   LENGTH_OF(standby_cluster_keys), unknown, size,
						   nearest, nearest_size);
	json_decref(root);
	return found;
}

bool
ha_config_has_fraction(const char *text, char *key, size_t size)
{
	json_t	   *root = load_text(text);
	bool		found = false;
	const char *name;
	json_t	   *value;

	json_object_foreach(root, name, value)
	{
		if (!found && json_is_real(value))
		{
			snprintf(key, size, "%s", name);
			found = true;
		}
	}
	json_decref(root);
	return found;
}

/*-------------------------------------------------------------------------
 * Merging
 *-------------------------------------------------------------------------
 */

/*
 * The depth is that of the patch, which the guard of json_guard.h has bounded.
 * false: out of memory.
 */
static bool
merge(json_t *target, json_t *patch)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(patch, key, value)
	{
		json_t	   *old = json_object_get(target, key);

		if (json_is_null(value))
		{
			(void) json_object_del(target, key);
			continue;
		}
		if (!json_is_object(value))
		{
			if (json_object_set(target, key, value) != 0)
				return false;
			continue;
		}

		/* a copy without the nulls in it */
		if (!json_is_object(old))
		{
			if (json_object_set_new(target, key, ha_json_object()) != 0)
				return false;
			old = json_object_get(target, key);
		}
		if (!merge(old, value))
			return false;
	}
	return true;
}

char *
ha_config_merge(const char *json, const char *patch, char *err, size_t errlen)
{
	char	   *defaults = json == NULL ? ha_config_default_json() : NULL;
	json_t	   *target = load_text(json != NULL ? json : defaults);
	json_t	   *change = load_text(patch);
	char	   *result = NULL;

	if (!json_is_object(target))
		fail(err, errlen, "what is stored is not a JSON object");
	else if (!json_is_object(change))
		fail(err, errlen, "the change must be a JSON object");
	else if (!merge(target, change) ||
			 (result = json_dumps(target, JSON_COMPACT)) == NULL)
		fail(err, errlen, "out of memory");
	json_decref(target);
	json_decref(change);
	free(defaults);
	return result;
}

/*
 * The opposite: what makes "new" of "old".  The depth is bounded by the guard, too.
 * NULL: out of memory.
 */
static json_t *
difference(json_t *old, json_t *new)
{
	json_t	   *patch = ha_json_object();
	const char *key;
	json_t	   *value;

	json_object_foreach(old, key, value)
	{
		json_t	   *kept = json_object_get(new, key);

		if (kept == NULL || json_is_null(kept))
			json_object_set_new(patch, key, json_null());
	}
	json_object_foreach(new, key, value)
	{
		json_t	   *before = json_object_get(old, key);

		if (json_is_null(value) || json_equal(before, value))
			continue;
		if (json_is_object(before) && json_is_object(value))
			json_object_set_new(patch, key, difference(before, value));
		else
			json_object_set(patch, key, value);
	}
	return patch;
}

char *
ha_config_difference(const char *old, const char *new)
{
	json_t	   *before = old != NULL ? load_text(old) : NULL;
	json_t	   *after = load_text(new);
	json_t	   *patch = json_is_object(after) ? difference(before, after) : NULL;

	json_decref(before);
	json_decref(after);
	return dump(patch);
}

/*-------------------------------------------------------------------------
 * Settings of the server
 *-------------------------------------------------------------------------
 */

static bool
take_name(const char *key, HaParameter *parameter, char *err, size_t errlen)
{
	size_t		length = strlen(key);

	if (length == 0 || length >= sizeof(parameter->name) ||
		strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_.") != length)
		return fail(err, errlen, "postgresql.parameters: \"%.63s\" is not "
					"the name of a parameter", key);
	for (size_t i = 0; i <= length; i++)
		parameter->name[i] = key[i] >= 'A' && key[i] <= 'Z' ?
			(char) (key[i] - 'A' + 'a') : key[i];
	return true;
}

/* A line break could begin a line of its own in a file. */
static bool
is_one_line(const char *text)
{
	for (; *text; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static bool
take_value(json_t *value, HaParameter *parameter, char *err, size_t errlen)
{
	char	   *to = parameter->value;
	size_t		size = sizeof(parameter->value);
	int			length = -1;

	if (json_is_string(value) && is_one_line(json_string_value(value)) &&
		strlen(json_string_value(value)) == json_string_length(value))
		length = snprintf(to, size, "%s", json_string_value(value));
	else if (json_is_integer(value))
		length = snprintf(to, size, "%lld",
						  (long long) json_integer_value(value));
	else if (json_is_real(value))
		length = snprintf(to, size, "%.17g", json_real_value(value));
	else if (json_is_boolean(value))
		length = snprintf(to, size, "%s", json_is_true(value) ? "on" : "off");
	return (length >= 0 && (size_t) length < size) ||
		fail(err, errlen, "postgresql.parameters.%s must be a text of one "
			 "line, a number or a switch", parameter->name);
}

static int
compare_parameters(const void *a, const void *b)
{
	return strcmp(((const HaParameter *) a)->name,
				  ((const HaParameter *) b)->name);
}

static bool
take_parameters(json_t *object, HaParameters *parameters, char *err,
				size_t errlen)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(object, key, value)
	{
		HaParameter *parameter = &parameters->list[parameters->n];

		if (json_is_null(value))
			continue;
		if (parameters->n == HA_MAX_PARAMETERS)
			return fail(err, errlen, "postgresql.parameters: more than %d "
						"parameters", HA_MAX_PARAMETERS);
		if (!take_name(key, parameter, err, errlen) ||
			!take_value(value, parameter, err, errlen))
			return false;
		parameters->n++;
	}
	qsort(parameters->list, (size_t) parameters->n, sizeof(HaParameter),
		  compare_parameters);
	for (int i = 1; i < parameters->n; i++)
	{
		if (strcmp(parameters->list[i - 1].name,
				   parameters->list[i].name) == 0)
			return fail(err, errlen, "postgresql.parameters: \"%s\" is given "
						"twice", parameters->list[i].name);
	}
	return true;
}

bool
ha_config_parameters(const char *json, size_t length, HaParameters *parameters,
					 char *err, size_t errlen)
{
	json_t	   *root = ha_json_load(json, length);
	json_t	   *postgresql = json_object_get(root, "postgresql");
	json_t	   *object = json_object_get(postgresql, "parameters");
	bool		ok = true;

	parameters->n = 0;
	if (postgresql != NULL && !json_is_null(postgresql) &&
		!json_is_object(postgresql))
		ok = fail(err, errlen, "\"postgresql\" must be an object");
	else if (object != NULL && !json_is_null(object) && !json_is_object(object))
		ok = fail(err, errlen, "\"postgresql.parameters\" must be an object");
	else
		ok = take_parameters(object, parameters, err, errlen);
	json_decref(root);
	return ok;
}

/* Both append what fits, up to "end"; they return where the text ends. */
static char *
append_text(char *to, char *end, const char *text)
{
	while (*text != '\0' && to < end - 1)
		*to++ = *text++;
	*to = '\0';
	return to;
}

static char *
append_quoted(char *to, char *end, const char *text)
{
	for (; *text != '\0'; text++)
	{
		char		twice[] = {*text, *text, '\0'};

		to = append_text(to, end,
						 *text == '\'' || *text == '\\' ? twice : twice + 1);
	}
	return to;
}

char *
ha_parameters_file(const HaParameters *parameters)
{
	size_t		size = (size_t) parameters->n * 2 * sizeof(HaParameter) + 256;
	char	   *file = malloc(size);
	char	   *to = file;
	char	   *end;

	if (file == NULL)
		return NULL;
	end = file + size;
	to = append_text(to, end, "# postgresql.parameters of the cluster's configuration.\n"
					 "# Written by pg_ha: changes made here are lost; see pg_ha_set_config().\n");
	for (int i = 0; i < parameters->n; i++)
	{
		to = append_text(to, end, parameters->list[i].name);
		to = append_text(to, end, " = '");
		to = append_quoted(to, end, parameters->list[i].value);
		to = append_text(to, end, "'\n");
	}
	return file;
}

bool
ha_is_standby_limit(const char *name)
{
	static const char *const limits[] = {
		"max_connections", "max_locks_per_transaction",
		"max_prepared_transactions", "max_wal_senders", "max_worker_processes"
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		if (strcmp(name, limits[i]) == 0)
			return true;
	}
	return false;
}
