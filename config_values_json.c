/*-------------------------------------------------------------------------
 *
 * config_values_json.c
 *	  What the cluster's configuration says: /config as an HaConfig.
 *
 * Plain C and jansson.  What can't be read as a whole is not taken at all, so that no
 * half of a change is in force.  Slots and the source of a standby cluster are read by
 * slots_json.c and standby_cluster_json.c.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <string.h>

#include "config_values_json.h"
#include "fail.h"
#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "slots_json.h"
#include "standby_cluster_json.h"

#define YEAR_MS		(365 * DAY_MS)

void
ha_config_defaults(HaConfig *config)
{
	memset(config, 0, sizeof(*config));
	config->ttl = 10000;
	config->loop_wait = 2000;
	config->retry_timeout = 4000;
	config->primary_start_timeout = 300000;
	config->maximum_lag_on_failover = 1048576;
	config->synchronous_node_count = 1;
	ha_slots_config_defaults(config);
}

static json_t *
config_default_object(void)
{
	return json_pack("{s:i,s:i,s:i,s:i,s:i}", "ttl", 10, "loop_wait", 2,
					 "retry_timeout", 4, "maximum_lag_on_failover", 1048576,
					 "primary_start_timeout", 300);
}

char *
ha_config_default_json(void)
{
	return dump(config_default_object());
}

/* Seconds, with fractions, into milliseconds. */
static bool
config_seconds(json_t *json, const char *name, double min, double max,
			   int64_t *out, char *err, size_t errlen)
{
	json_t	   *value = member_of(json, name);
	double		seconds = json_number_value(value);

	if (value == NULL)
		return true;
	if (!json_is_number(value) || !(seconds >= min && seconds <= max))
		return fail(err, errlen, "\"%s\" must be a number of seconds "
					"from %g to %.0f", name, min, max);
	*out = (int64_t) (seconds * 1000 + 0.5);
	return true;
}

static bool
config_int(json_t *json, const char *name, int64_t min, int64_t max,
		   int64_t *out, char *err, size_t errlen)
{
	bool		ok = true;

	*out = take_int(json, name, min, max, *out, &ok);
	return ok || fail(err, errlen, "\"%s\" must be an integer from %" PRId64
					  " to %" PRId64, name, min, max);
}

static bool
config_switch(json_t *json, const char *name, bool *out, char *err,
			  size_t errlen)
{
	json_t	   *value = member_of(json, name);

	return value == NULL || ha_json_switch(value, out) ||
		fail(err, errlen, "\"%s\" must be true or false", name);
}

static double
seconds_of(int64_t ms)
{
	return (double) ms / 1000;
}

static bool
config_timing(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	const double day = DAY_MS / 1000;
	const double year = YEAR_MS / 1000;

	/* Patroni's older name first: the newer one wins where both are given. */
	return config_seconds(json, "ttl", 2, day, &config->ttl, err, errlen) &&
		config_seconds(json, "loop_wait", 0.1, day, &config->loop_wait, err,
					   errlen) &&
		config_seconds(json, "retry_timeout", 0.1, day,
					   &config->retry_timeout, err, errlen) &&
		config_seconds(json, "master_start_timeout", 0, year,
					   &config->primary_start_timeout, err, errlen) &&
		config_seconds(json, "primary_start_timeout", 0, year,
					   &config->primary_start_timeout, err, errlen) &&
		(config->ttl >= config->loop_wait + 2 * config->retry_timeout ||
		 fail(err, errlen, "ttl (%g) must be at least loop_wait (%g) + "
			  "2 * retry_timeout (%g) = %g", seconds_of(config->ttl),
			  seconds_of(config->loop_wait),
			  seconds_of(config->retry_timeout),
			  seconds_of(config->loop_wait + 2 * config->retry_timeout)));
}

static bool
config_sync_mode(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	json_t	   *value = member_of(json, "synchronous_mode");
	const char *word = json_string_value(value);
	bool		on = false;

	if (word != NULL && strcmp(word, "quorum") == 0)
		config->synchronous_mode = HA_SYNC_QUORUM;
	else if (value == NULL || ha_json_switch(value, &on))
		config->synchronous_mode = on ? HA_SYNC_ON : HA_SYNC_OFF;
	else
		return fail(err, errlen, "\"synchronous_mode\" must be "
					"off, on or quorum");
	return true;
}

static bool
config_rest(json_t *json, HaConfig *config, char *err, size_t errlen)
{
	int64_t		node_count = config->synchronous_node_count;

	if (!config_int(json, "maximum_lag_on_failover", 0, INT64_MAX,
					&config->maximum_lag_on_failover, err, errlen) ||
		!config_int(json, "synchronous_node_count", 1, INT32_MAX, &node_count,
					err, errlen) ||
		!config_sync_mode(json, config, err, errlen))
		return false;
	config->synchronous_node_count = (int32_t) node_count;
	if (!config_int(json, "maximum_lag_on_syncnode", INT64_MIN, INT64_MAX,
					&config->maximum_lag_on_syncnode, err, errlen))
		return false;

	return config_switch(json, "synchronous_mode_strict",
						 &config->synchronous_mode_strict, err, errlen) &&
		config_switch(json, "failsafe_mode", &config->failsafe_mode, err,
					  errlen) &&
		config_switch(json, "check_timeline", &config->check_timeline, err,
					  errlen) &&
		config_switch(json, "pause", &config->pause, err, errlen);
}

/* What a later version wrote may mean what this one doesn't know. */
static bool
config_schema(json_t *json, char *err, size_t errlen)
{
	int64_t		schema = 1;

	return config_int(json, "schema", 1, INT32_MAX, &schema, err, errlen) &&
		(schema <= HA_CONFIG_SCHEMA ||
		 fail(err, errlen, "schema %" PRId64 " is newer than what this "
			  "pg_ha " HA_VERSION " knows (%d)", schema, HA_CONFIG_SCHEMA));
}

bool
ha_config_parse(const char *json, size_t length, HaConfig *config, char *err,
				size_t errlen)
{
	json_t	   *root = ha_json_load(json, length);
	HaConfig	result;
	bool		ok;

	ha_config_defaults(&result);
	result.known = true;
	if (!json_is_object(root))
		ok = fail(err, errlen, "the configuration must be a JSON object");
	else
		ok = config_schema(root, err, errlen) &&
			config_timing(root, &result, err, errlen) &&
			config_rest(root, &result, err, errlen) &&
			ha_slots_config_parse(root, &result, err, errlen) &&
			ha_standby_cluster_parse(root, &result.standby_cluster, err,
									 errlen);
	json_decref(root);
	if (ok)
		*config = result;
	return ok;
}
