/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  A plan, and why.
 *
 *-------------------------------------------------------------------------
 */
#include "plan.h"
#include "rules.h"

#include <string.h>

/* Append to the reason; what doesn't fit is cut. */
static void
append(HaPlan *plan, const char *text, size_t more)
{
	char	   *end = plan->why + strlen(plan->why);
	size_t		room = plan->why + HA_WHY_SIZE - 1 - end;

	if (more > room)
		more = room;
	memcpy(end, text, more);
	end[more] = '\0';
}

void
ha_plan_because(HaPlan *plan, const char *text)
{
	append(plan, text, strlen(text));
}

void
ha_plan_because_text(HaPlan *plan, const char *text, size_t size)
{
	append(plan, text, strnlen(text, size));
}

void
ha_plan_because_name(HaPlan *plan, const char *name)
{
	ha_plan_because_text(plan, name, HA_NAME_SIZE);
}

void
ha_plan_set(HaPlan *plan, HaVerb verb, const char *why)
{
	plan->verb = verb;
	memset(plan->why, 0, sizeof(plan->why));
	ha_plan_because(plan, why);
}

void
ha_plan_for(HaPlan *plan, HaVerb verb, const char *why, const char *name)
{
	ha_plan_set(plan, verb, why);
	ha_plan_because_name(plan, name);
	memset(plan->follow, 0, sizeof(plan->follow));
	copy_name(plan->follow, name);
}

void
ha_plan_wait(HaPlan *plan, int64_t when, const char *why)
{
	plan->wake_at = when;
	ha_plan_set(plan, HA_WAIT, why);
}
