/*-------------------------------------------------------------------------
 *
 * problem_json.h
 *	  Decision problems and plans as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PROBLEM_JSON_H
#define HA_PROBLEM_JSON_H

#include <stddef.h>

#include "cluster.h"

/*
 * A whole decision problem, for pg_ha_decide(jsonb) and golden tests:
 * {"config":{...},"view":{...},"local":{...},"now":N} with the field names of
 * cluster.h; what is absent is zero (config: the defaults).  Unknown fields are
 * errors, so that a typing mistake does not test nothing.
 */
extern bool ha_problem_parse(const char *json, size_t length, HaConfig *config,
							 HaView *view, HaLocal *local, int64_t *now,
							 char *err, size_t errlen);

/*
 * {"verb":"acquire","why":"...","follow":"n2",...}: what is zero is left out, but
 * for "names" where they are the point of the plan.  "counted" are indexes into
 * the problem's votes, as in the plan.
 */
extern char *ha_plan_json(const HaPlan *plan);

extern const char *ha_verb_name(HaVerb verb);	/* "acquire", ... */

#endif							/* HA_PROBLEM_JSON_H */
