/*-------------------------------------------------------------------------
 *
 * rest_position.c
 *	  GET /patroni of a standby, where others may count what it tells for a quorum.
 *
 * A member of Patroni that would lead asks the members in /sync how far they are, once
 * the leader key is gone, and takes each that has no more than itself for a vote.  What
 * the worker has told us may be from before, and of before what was acknowledged last.
 * So it is woken, and what it tells after the question is the answer.  If that takes
 * too long, the answer has no position, which is no vote (S-11).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>

#include "../mixed.h"
#include "rest_parts.h"

/* Patroni waits 2 s. */
#define TURN_MS				500

/* A turn begins within that, and many may ask. */
#define WAKE_AGAIN			10

static bool
worker_is_there(const HaRest *rest, HaControlWorker *worker)
{
	return ha_control_get_worker(rest->control, worker) &&
		ha_process_is_alive(worker->pid, worker->pid_start);
}

bool
ha_rest_position_counts(const HaRest *rest)
{
	HaControlWorker worker;

	return ha_mixed_patroni(ha_session_last_view(rest->session)) != NULL &&
		worker_is_there(rest, &worker) &&
		worker.role == HA_ROLE_STANDBY &&
		worker.synchronous_mode == HA_SYNC_QUORUM;
}

void
ha_rest_ask_position(HaRest *rest, HaRestCall *call)
{
	ha_rest_suspend(rest, call, &rest->positions, TURN_MS);
}

bool
ha_rest_position_is_new(const HaRestCall *call, const HaControlWorker *worker)
{
	return worker->heartbeat_at > call->asked_at;
}

/* Let those go on that have their answer, or their time. */
void
ha_rest_serve_positions(HaRest *rest)
{
	HaControlWorker worker;
	bool		there;

	if (rest->positions == NULL)
		return;
	there = worker_is_there(rest, &worker);
	while (rest->positions != NULL)
	{
		HaRestCall *call = rest->positions;

		if (there && !ha_rest_position_is_new(call, &worker) &&
			ha_now() < call->give_up_at)
		{
			if (rest->woken_at + WAKE_AGAIN <= ha_now())
			{
				rest->woken_at = ha_now();
				(void) kill(worker.pid, SIGUSR1);
			}
			return;
		}
		call->status = MHD_HTTP_OK;
		rest->positions = call->next;
		ha_rest_resume(rest, call);
	}
}
