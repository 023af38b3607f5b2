/*-------------------------------------------------------------------------
 *
 * fuzz_decide.c
 *	  Any bytes in its arguments give some valid plan, and the same one again
 *	  (I-12).
 *
 * The input is laid over the arguments as it is.  Counts and names in them are
 * whatever they are; what the rules make of them must stay within
 * bounds, which is what the sanitizers look at.  An input that begins with "{" is a
 * problem in JSON, as pg_ha_decide() takes it: so the rules behind the first are
 * reached, too.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "../decide.h"
#include "../problem_json.h"

/* A bool of another value than 0 and 1 is undefined before anybody decides. */
#define MAKE_BOOL(b) \
	do { \
		unsigned char byte; \
		memcpy(&byte, &(b), 1); \
		byte &= 1; \
		memcpy(&(b), &byte, 1); \
	} while (0)

typedef struct Problem
{
	int64_t		now;
	HaConfig	config;
	HaLocal		local;
	HaView		view;
} Problem;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
make_config_bools(HaConfig *config)
{
	MAKE_BOOL(config->known);
	MAKE_BOOL(config->pause);
	MAKE_BOOL(config->synchronous_mode_strict);
	MAKE_BOOL(config->failsafe_mode);
	MAKE_BOOL(config->check_timeline);
	MAKE_BOOL(config->standby_cluster.active);
}

static void
make_bools(HaView *view, HaLocal *local)
{
	make_config_bools(&view->config);
	MAKE_BOOL(view->valid);
	MAKE_BOOL(view->leader.present);
	MAKE_BOOL(view->heartbeat.present);
	MAKE_BOOL(view->heartbeat.released);
	MAKE_BOOL(view->heartbeat.crashed);
	MAKE_BOOL(view->heartbeat.failsafe);
	MAKE_BOOL(view->failsafe.present);
	MAKE_BOOL(view->term.present);
	MAKE_BOOL(view->term.intent);
	MAKE_BOOL(view->term.standby);
	MAKE_BOOL(view->term.foreign);
	MAKE_BOOL(view->term.from_source);
	MAKE_BOOL(view->term.left);
	MAKE_BOOL(view->history_known);
	MAKE_BOOL(view->sync.present);
	MAKE_BOOL(view->failover.present);
	for (int i = 0; i < HA_MAX_MEMBERS; i++)
	{
		MAKE_BOOL(view->members[i].streaming);
		MAKE_BOOL(view->members[i].nofailover);
		MAKE_BOOL(view->members[i].nosync);
		MAKE_BOOL(view->members[i].nostream);
		MAKE_BOOL(view->members[i].standby_leader);
		MAKE_BOOL(view->members[i].pause);
		MAKE_BOOL(view->members[i].sick);
		MAKE_BOOL(view->votes[i].withdrawn);
		MAKE_BOOL(local->standbys[i].streaming);
		MAKE_BOOL(local->peers[i].answered);
		MAKE_BOOL(local->peers[i].primary);
		MAKE_BOOL(local->peers[i].nofailover);
	}
	MAKE_BOOL(local->patroni_seen);
	MAKE_BOOL(local->led_since);
	MAKE_BOOL(local->has_boot);
	MAKE_BOOL(local->time_jumped);
	MAKE_BOOL(local->stopping);
	MAKE_BOOL(local->giving_up);
	MAKE_BOOL(local->detached);
	MAKE_BOOL(local->replaying);
	MAKE_BOOL(local->promoting);
	MAKE_BOOL(local->streaming);
	MAKE_BOOL(local->names_written);
	MAKE_BOOL(local->names_in_force);
	MAKE_BOOL(local->nofailover);
	MAKE_BOOL(local->nostream);
	MAKE_BOOL(local->holding);
	MAKE_BOOL(local->reassert);
	MAKE_BOOL(local->reign_checked);
	MAKE_BOOL(local->reign_lost);
	MAKE_BOOL(local->blind);
	MAKE_BOOL(local->op_in_flight);
	MAKE_BOOL(local->vote_pending);
	MAKE_BOOL(local->vote_unknown);
	MAKE_BOOL(local->sync_pending);
	MAKE_BOOL(local->sync_unknown);
	MAKE_BOOL(local->bid);
	MAKE_BOOL(local->failsafe_active);
	MAKE_BOOL(local->promises_known);
	MAKE_BOOL(local->drained);
	MAKE_BOOL(local->can_freeze);
}

/*
 * Times are a clock's, and durations were checked when they were read: their
 * sums don't overflow.
 */
static void
make_times(Problem *problem)
{
	HaConfig   *config = &problem->config;
	HaLocal    *local = &problem->local;
	int64_t    *times[] = {
		&problem->now, &config->ttl, &config->loop_wait,
		&config->retry_timeout, &config->primary_start_timeout,
		&problem->view.heartbeat.ttl, &local->starting_since,
		&local->replay_moved_at, &local->promoting_since, &local->deadline,
		&local->heartbeat_seen_at, &local->heartbeat_ttl,
		&local->key_gone_since, &local->stay_out_until,
		&local->sick_since, &local->health_grace, &local->put_at,
		&local->promised_until, &problem->view.sent_at,
		&problem->view.failover.scheduled_at, &local->wall_clock,
		&local->prepared_at, &local->held_since, &local->frozen_since,
		&local->wish_seen_at, &local->handed_over_at, &local->source_since,
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		*times[i] %= INT64_C(1) << 50;
	for (int i = 0; i < HA_MAX_MEMBERS; i++)
		local->peers[i].asked_at %= INT64_C(1) << 50;
}

/* Its first bytes are seldom zero: let the rules get beyond their first lines. */
static void
make_likely(Problem *problem, uint8_t how)
{
	if ((how & 1) != 0)
		problem->view.valid = true;
	if ((how & 2) != 0)
		problem->view.sysid = problem->local.sysid;
	if ((how & 4) != 0)
		memcpy(problem->view.leader.name, problem->local.name, HA_NAME_SIZE);
	if ((how & 8) != 0)
		memcpy(problem->view.term.owner, problem->local.name, HA_NAME_SIZE);
	if ((how & 16) != 0)
	{
		problem->local.time_jumped = problem->local.stopping = false;
		memcpy(problem->local.replicatefrom, problem->view.members[0].name,
			   HA_NAME_SIZE);
	}
	if ((how & 32) != 0)
		problem->local.role = HA_ROLE_STANDBY;
	if ((how & 64) != 0)
		problem->local.role = HA_ROLE_PRIMARY;
	if ((how & 128) != 0)
		memcpy(problem->view.sync.leader, problem->local.name, HA_NAME_SIZE);
}

static void
check_plan(const HaPlan *plan)
{
	if (plan->verb < HA_WAIT || plan->verb > HA_STOP ||
		plan->why[0] == '\0' || memchr(plan->why, 0, HA_WHY_SIZE) == NULL ||
		memchr(plan->follow, 0, HA_NAME_SIZE) == NULL ||
		plan->ncounted < 0 || plan->ncounted > HA_MAX_MEMBERS ||
		plan->nnames < 0 || plan->nnames > HA_MAX_MEMBERS)
		abort();
	for (int i = 0; i < plan->ncounted; i++)
	{
		if (plan->counted[i] < 0 || plan->counted[i] >= HA_MAX_MEMBERS)
			abort();
	}
	for (int i = 0; i < plan->nnames; i++)
	{
		if (memchr(plan->names[i], 0, HA_NAME_SIZE) == NULL)
			abort();
	}
}

static void
decide_twice(Problem *problem)
{
	static Problem before;
	static HaPlan plan;
	static HaPlan again;

	before = *problem;
	memset(&plan, 0xA5, sizeof(plan));
	memset(&again, 0x5A, sizeof(again));
	ha_decide(&problem->config, &problem->view, &problem->local, problem->now,
			  &plan);
	check_plan(&plan);
	ha_decide(&problem->config, &problem->view, &problem->local, problem->now,
			  &again);
	if (memcmp(&plan, &again, sizeof(plan)) != 0 ||
		memcmp(problem, &before, sizeof(before)) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Problem problem;
	uint8_t    *bytes = (uint8_t *) &problem;
	char		err[64];

	if (size == 0)
		return 0;
	if (data[0] == '{')
	{
		if (!ha_problem_parse((const char *) data, size, &problem.config,
							  &problem.view, &problem.local, &problem.now,
							  err, sizeof(err)))
			return 0;
	}
	else
	{
		/* the input over and over, so that it need not be long */
		for (size_t i = 0; i < sizeof(problem); i++)
			bytes[i] = data[i % size];
		make_config_bools(&problem.config);
		make_bools(&problem.view, &problem.local);
		make_likely(&problem, data[size - 1]);
	}
	make_times(&problem);
	decide_twice(&problem);
	return 0;
}
