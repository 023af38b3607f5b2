/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  A plan, and why: what the rules say.
 *
 * Plain C, pure.  The reason is a sentence for people; what does not fit is cut.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PLAN_H
#define HA_PLAN_H

#include "cluster.h"

#include <stddef.h>

/* Do that; the reason so far is "why". */
extern void ha_plan_set(HaPlan *plan, HaVerb verb, const char *why);

/*
 * ... with more to it.  A name, or the text in an array of that size, need not be
 * terminated.
 */
extern void ha_plan_because(HaPlan *plan, const char *text);
extern void ha_plan_because_name(HaPlan *plan, const char *name);
extern void ha_plan_because_text(HaPlan *plan, const char *text, size_t size);

/* Do that with a member, who ends the reason. */
extern void ha_plan_for(HaPlan *plan, HaVerb verb, const char *why,
						const char *name);

/* Wait, at most until then; 0 = until something happens. */
extern void ha_plan_wait(HaPlan *plan, int64_t when, const char *why);

#endif							/* HA_PLAN_H */
