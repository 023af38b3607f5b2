/*-------------------------------------------------------------------------
 *
 * config_json.h
 *	  The cluster's configuration as a document that operators change.
 *
 * Plain C and jansson, pure.  What the values in it mean is config_values_json.c's
 * business; here the document itself is: which keys there are, how a change is merged
 * into it, and what it says of the server's own settings.
 *
 *	{"ttl":10,"loop_wait":2,...,"postgresql":{"parameters":{"work_mem":"8MB"}}}
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CONFIG_JSON_H
#define HA_CONFIG_JSON_H

#include "cluster.h"

#include <stddef.h>

#define HA_MAX_PARAMETERS	128
#define HA_PARAMETER_SIZE	1024

/* A setting of the server, as it would stand in a configuration file. */
typedef struct HaParameter
{
	char		name[HA_NAME_SIZE]; /* [a-z0-9_.]+ */
	char		value[HA_PARAMETER_SIZE];
} HaParameter;

typedef struct HaParameters
{
	int			n;
	HaParameter list[HA_MAX_PARAMETERS];	/* by name */
} HaParameters;

/*
 * A JSON merge patch (RFC 7396): null deletes, objects are merged, everything
 * else replaces.  json NULL: the defaults.  malloc'd, indented; NULL with the reason
 * in err if one of the two is no object.
 */
extern char *ha_config_merge(const char *json, const char *patch, char *err,
							 size_t errlen);

/*
 * The patch that makes "new" of "old"; NULL, which is no document, counts as {}.  NULL:
 * new is no object, or no memory.
 */
extern char *ha_config_difference(const char *old, const char *new);

/*
 * Does a patch name a key that no pg_ha and no Patroni knows?  Then it is in
 * "unknown" ("postgresql.parametrs"), and what was probably meant, or '', in
 * "nearest".  What a patch deletes need not be known.
 */
extern bool ha_config_has_unknown(const char *patch, char *unknown, size_t size,
								  char *nearest, size_t nearest_size);

/* Is there a number with a fraction, which Patroni would cut?  Of which key? */
extern bool ha_config_has_fraction(const char *text, char *key, size_t size);

/*
 * The server's settings, postgresql.parameters.  false, and the reason: one is no
 * text, number or switch, or its name or length is out of the question.
 */
extern bool ha_config_parameters(const char *json, size_t length,
								 HaParameters *parameters, char *err,
								 size_t errlen);

/*
 * A setting that a standby must not have lower than its primary: with less its
 * recovery stops, or its server does not even start.
 */
extern bool ha_is_standby_limit(const char *name);

/* A configuration file of them.  malloc'd; NULL: out of memory. */
extern char *ha_parameters_file(const HaParameters *parameters);

#endif							/* HA_CONFIG_JSON_H */
