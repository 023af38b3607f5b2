/*-------------------------------------------------------------------------
 *
 * config_values_json.h
 *	  What the cluster's configuration says: /config as an HaConfig.
 *
 * How it is changed as a document is config_json.c's business.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CONFIG_VALUES_JSON_H
#define HA_CONFIG_VALUES_JSON_H

#include <stddef.h>

#include "cluster.h"

/* Defaults of a cluster without /config: ttl 10 s, loop_wait 2, retry 4. */
extern void ha_config_defaults(HaConfig *config);

/*
 * Parse /config.  Returns false and says why in err, in the words of the key
 * that is wrong, if any known key has a bad value or the timing rule
 * ttl >= loop_wait + 2 * retry_timeout is broken; *config is untouched then.
 * Unknown keys are Patroni's business or a later version's: they pass.
 */
extern bool ha_config_parse(const char *json, size_t length, HaConfig *config,
							char *err, size_t errlen);

/* The JSON object of the defaults, as first written to /config.  malloc'd. */
extern char *ha_config_default_json(void);

#endif							/* HA_CONFIG_VALUES_JSON_H */
