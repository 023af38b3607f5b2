/*-------------------------------------------------------------------------
 *
 * start.c
 *	  What pg_ha_boot does with a server that is down.
 *
 *-------------------------------------------------------------------------
 */
#include "start.h"

#include <string.h>

/*
 * A postmaster may survive the crashes of its processes for ever, and keep the
 * leader key with it.
 */
bool
ha_crashes_too_often(const HaConfig *config, int32_t crashes,
					 bool others_may_lead)
{
	return crashes >= HA_CRASHES_BORNE && others_may_lead && !config->pause;
}

/*
 * How to come back after the server ended.  Restarting in place loses nothing,
 * but is slower than a standby that holds everything; a server that keeps
 * crashing gives way.
 */
HaStart
ha_decide_start(const HaStartFacts *facts, char *why, size_t whylen)
{
	HaStart		start = HA_START_STANDBY;
	const char *text;

	if (!facts->reaped)
	{
		start = HA_START_NOT;
		text = "processes of the old server may still be alive";
	}
	else if (facts->stop_requested)
	{
		start = facts->key_is_ours ? HA_START_RELEASE : HA_START_NOT;
		text = "told to stop";
	}
	else if (!facts->key_is_ours)
		text = "the leader key is not ours";
	else if (facts->restart_wanted && !facts->crashed && facts->was_primary)
	{
		start = HA_START_PRIMARY;
		text = "restarts as asked, and nobody has led since";
	}
	else if (!facts->crashed || facts->demote_wanted)
	{
		start = HA_START_RELEASE;
		text = "stopped as asked";
	}
	else if (!facts->was_primary)
	{
		start = HA_START_RELEASE;
		text = "ended before it had become primary";
	}
	else if (facts->others_may_lead && facts->synchronous)
	{
		start = HA_START_RELEASE;
		text = "a synchronous standby has everything and is faster";
	}
	else if (facts->others_may_lead && facts->primary_start_timeout == 0)
	{
		start = HA_START_RELEASE;
		text = "primary_start_timeout is 0";
	}
	else if (facts->others_may_lead && facts->crashes >= HA_CRASHES_BORNE)
	{
		start = HA_START_RELEASE;
		text = "the server keeps crashing";
	}
	else
	{
		start = HA_START_PRIMARY;
		text = "crashed, and nobody has led since";
	}

	if (whylen > 0)
	{
		size_t		length = strnlen(text, whylen - 1);

		memcpy(why, text, length);
		why[length] = '\0';
	}
	return start;
}
