/*-------------------------------------------------------------------------
 *
 * sim.c
 *	  Thousands of histories of a cluster, each from its seed.
 *
 *		sim FIRST [COUNT]	run COUNT histories (1), from seed FIRST on
 *		sim SEED -v			tell one of them
 *
 * A history has three parts.  First faults happen to a working cluster, of
 * kinds and at a pace that its seed has chosen.  Then all of them end, and the
 * cluster must become whole within a bound.  Then nothing happens, and nothing
 * may change any more.  Throughout, sim_check.c looks for what must never be.
 *
 * Exits with 1 at the first violation, after telling how to replay it.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* How long nothing may change in the end. */
#define QUIET_TTLS			10

/* So many histories must have met everything in SIM_SOMETIMES. */
#define SEEDS_FOR_SOMETIMES	2000

typedef struct Event
{
	int64_t		when;
	uint64_t	order;			/* of those at the same time */
	SimScope	scope;
	int			node;
	uint32_t	life;
	bool		put_off;		/* until a thaw */
	SimAction	action;
	int64_t		number;
	void	   *pointer;
} Event;

SimWorld	ha_world;

static Event *events;			/* a heap, the earliest first */
static int	nevents;
static int	max_events;
static uint64_t last_order;

/*-------------------------------------------------------------------------
 * Chance
 *-------------------------------------------------------------------------
 */

uint64_t
ha_sim_random(void)
{
	uint64_t	x = ha_world.random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	ha_world.random = x;
	return x * 0x2545F4914F6CDD1DULL;
}

int64_t
ha_sim_between(int64_t low, int64_t high)
{
	return low + (int64_t) ((ha_sim_random() >> 11) %
							(uint64_t) (high - low + 1));
}

bool
ha_sim_chance(int per_mille)
{
	return per_mille > 0 && ha_sim_between(0, 999) < per_mille;
}

/* Mostly less than the mean, sometimes much more. */
int64_t
ha_sim_about(int64_t mean)
{
	int64_t		x = ha_sim_between(0, mean);

	while (ha_sim_chance(300))
		x += ha_sim_between(0, 2 * mean);
	return x;
}

/*-------------------------------------------------------------------------
 * Events
 *-------------------------------------------------------------------------
 */

static bool
is_earlier(const Event *a, const Event *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void
push(const Event *event)
{
	int			i;

	if (nevents == max_events)
	{
		max_events = max_events == 0 ? 1024 : max_events * 2;
		events = realloc(events, max_events * sizeof(Event));
		if (events == NULL)
			abort();
	}
	for (i = nevents++; i > 0 && is_earlier(event, &events[(i - 1) / 2]);
		 i = (i - 1) / 2)
		events[i] = events[(i - 1) / 2];
	events[i] = *event;
}

static Event
pop(void)
{
	Event		first = events[0];
	Event		last = events[--nevents];
	int			i = 0;

	for (int child = 1; child < nevents; child = 2 * i + 1)
	{
		if (child + 1 < nevents && is_earlier(&events[child + 1], &events[child]))
			child++;
		if (!is_earlier(&events[child], &last))
			break;
		events[i] = events[child];
		i = child;
	}
	events[i] = last;
	return first;
}

void
ha_sim_at(int64_t when, SimScope scope, int node, SimAction action,
		  int64_t number, void *pointer)
{
	Event		event = {0};

	event.when = when > ha_world.now ? when : ha_world.now;
	event.order = ++last_order;
	event.scope = scope;
	event.node = node;
	event.action = action;
	event.number = number;
	event.pointer = pointer;
	if (node >= 0)
		event.life = ha_world.nodes[node].lives[scope];
	push(&event);
}

void
ha_sim_end_life(int node, SimScope scope)
{
	ha_world.nodes[node].lives[scope]++;
}

static int64_t
thaws_at(int node, SimScope scope)
{
	const SimNode *n = &ha_world.nodes[node];

	if (scope == SIM_WORLD)
		return 0;
	return n->frozen_until[scope] > n->frozen_until[SIM_MACHINE] ?
		n->frozen_until[scope] : n->frozen_until[SIM_MACHINE];
}

bool
ha_sim_frozen(int node, SimScope scope)
{
	return thaws_at(node, scope) > ha_world.now;
}

static void
step(void)
{
	Event		event = pop();

	ha_world.now = event.when;
	ha_world.steps++;
	if (event.scope != SIM_WORLD)
	{
		if (event.life != ha_world.nodes[event.node].lives[event.scope])
			return;
		if (ha_sim_frozen(event.node, event.scope))
		{
			event.when = thaws_at(event.node, event.scope);
			event.put_off = true;
			push(&event);
			return;
		}
	}
	event.action(event.node, event.number, event.pointer);
}

void
ha_sim_thaw_all(void)
{
	Event	   *old = events;
	int			nold = nevents;

	for (int i = 0; i < ha_world.nnodes; i++)
		memset(ha_world.nodes[i].frozen_until, 0,
			   sizeof(ha_world.nodes[i].frozen_until));
	events = NULL;
	nevents = max_events = 0;
	for (int i = 0; i < nold; i++)
	{
		if (old[i].put_off)
			old[i].when = ha_world.now;
		push(&old[i]);
	}
	free(old);
}

/*-------------------------------------------------------------------------
 * Clocks
 *-------------------------------------------------------------------------
 */

int64_t
ha_sim_clock(int node)
{
	const SimNode *n = &ha_world.nodes[node];

	return n->clock_offset +
		ha_world.now * (1000000 + n->clock_rate) / 1000000000;
}

/* When will that clock show this? */
int64_t
ha_sim_world_time(int node, int64_t clock)
{
	const SimNode *n = &ha_world.nodes[node];

	if (clock - n->clock_offset > INT64_MAX / 2000000000)
		return INT64_MAX / 2;
	return (clock - n->clock_offset) * 1000000000 / (1000000 + n->clock_rate) +
		1;
}

/*-------------------------------------------------------------------------
 * Telling
 *-------------------------------------------------------------------------
 */

void
ha_sim_say(int node, const char *format,...)
{
	va_list		args;

	if (!ha_world.verbose || ha_world.over)
		return;
	printf("%10.4f  %-5s ", (double) ha_world.now / SIM_SECOND,
		   node < 0 ? "" : ha_world.nodes[node].name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

void
ha_sim_fail(const char *format,...)
{
	va_list		args;

	if (ha_world.failed)
		return;
	ha_world.failed = true;
	va_start(args, format);
	vsnprintf(ha_world.failure, sizeof(ha_world.failure), format, args);
	va_end(args);
	ha_sim_say(-1, "VIOLATION %s", ha_world.failure);
}

void
ha_sim_sometimes(SimSometimes what)
{
	ha_world.sometimes[what]++;
}

int
ha_sim_node_named(const char *name)
{
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (strcmp(ha_world.nodes[i].name, name) == 0)
			return i;
	}
	return -1;
}

/*-------------------------------------------------------------------------
 * One history
 *-------------------------------------------------------------------------
 */

static void
choose_shape(void)
{
	SimShape   *shape = &ha_world.shape;

	memset(shape, 0, sizeof(*shape));
	ha_faults_choose_timing(shape);
	shape->sync = ha_sim_chance(600);
	shape->strict = ha_sim_chance(300);
	shape->quorum = ha_sim_chance(400);
	shape->failsafe = ha_sim_chance(400);
	shape->archives = ha_sim_chance(200);
	shape->sync_nodes = ha_sim_chance(700) ? 1 : 2;
	shape->primary_start_timeout = ha_sim_chance(300) ? 0 :
		ha_sim_between(1, 20) * 1000;
	shape->maximum_lag = ha_sim_chance(300) ? 10 * SIM_RECORD : 1 << 20;
	shape->latency = (int) ha_sim_between(200, ha_sim_chance(200) ? 60000 :
										  3000);
	shape->stragglers = ha_sim_chance(500) ? (int) ha_sim_between(10, 300) : 0;
	shape->link_latency = (int) ha_sim_between(200, ha_sim_chance(200) ?
											   100000 : 3000);
	shape->think = (int) ha_sim_between(10, 200) * SIM_MS;
	shape->store_rate = ha_sim_chance(300) ? 5000 : ha_sim_between(-5000, 5000);
	shape->faults = ha_faults_choose();
	ha_mishaps_begin();
	shape->fault_gap = shape->ttl * SIM_MS / 10 * ha_sim_between(2, 30);
}

static void
begin_node(int node)
{
	SimNode    *n = &ha_world.nodes[node];

	memset(&n->network, 0, sizeof(n->network));
	memset(&n->disk, 0, sizeof(n->disk));
	memset(n->frozen_until, 0, sizeof(n->frozen_until));
	snprintf(n->name, sizeof(n->name), "n%d", node + 1);
	n->clock_offset = ha_sim_between(1000, 1000000000);
	n->clock_rate = ha_sim_chance(400) ? (ha_sim_chance(500) ? 5000 : -5000) :
		ha_sim_between(-5000, 5000);
	n->promote_ms = ha_sim_chance(500) ? 10 : ha_sim_between(10, 1000);
	n->nosync = n->nofailover = false;
	n->replicatefrom = -1;
	n->failover_priority = ha_sim_chance(200) ? 2 : 1;
	ha_node_begin(node, node == 0);
}

static void
begin_history(uint64_t seed)
{
	char		sysid[32];

	ha_world.seed = seed;
	ha_world.random = (seed + 1) * 0x9E3779B97F4A7C15ULL;
	for (int i = 0; i < 8; i++)
		ha_sim_random();
	ha_world.now = 0;
	ha_world.failed = ha_world.healing = ha_world.quiet = false;
	ha_world.over = false;
	ha_world.lost_node = -1;
	ha_world.nnodes = ha_sim_chance(200) ? 5 : ha_sim_chance(100) ? 2 : 3;
	memset(ha_world.link_cut, 0, sizeof(ha_world.link_cut));
	memset(ha_world.timelines, 0, sizeof(ha_world.timelines));
	ha_world.timelines[1].used = true;
	nevents = 0;
	ha_store_begin();
	ha_check_begin();
	ha_failsafe_begin();
	choose_shape();
	snprintf(sysid, sizeof(sysid), "%llu", SIM_SYSID);
	ha_store_put("initialize", sysid);
	ha_faults_put_config();
	for (int i = 0; i < ha_world.nnodes; i++)
		begin_node(i);
	ha_standby_cluster_begin();
	ha_patroni_begin();
	ha_check_decide();
}

/* Events that carry memory give it back. */
static void
end_history(void)
{
	ha_world.over = true;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		ha_node_crash(i);
		for (SimScope scope = 0; scope < SIM_SCOPES; scope++)
			ha_sim_end_life(i, scope);
	}
	while (nevents > 0)
	{
		Event		event = pop();

		if (event.pointer != NULL)
			event.action(event.node, event.number, event.pointer);
	}
	ha_store_end();
}

static void
run_until(int64_t until)
{
	while (!ha_world.failed && nevents > 0 && events[0].when <= until)
		step();
	ha_world.now = until;
}

/* Healthy, and so for a whole TTL: what was on its way has come or is lost. */
static void
become_whole(void)
{
	char		why[200] = "";
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;
	int64_t		bound = ha_world.now + 60 * SIM_SECOND + 6 * ttl;
	int64_t		since = ha_world.now;

	while (!ha_world.failed && ha_world.now - since < ttl)
	{
		run_until(ha_world.now + 500 * SIM_MS);
		if (ha_check_healthy(why, sizeof(why)))
			continue;
		since = ha_world.now;
		if (ha_world.now >= bound)
			ha_sim_fail("L-1: the cluster does not recover: %s", why);
	}
}

/*
 * All faults end.  Sometimes one node stays away for ever, at first: those that
 * are left must find a leader if one of them may be it.
 */
static void
heal(void)
{
	int64_t		bound;

	if (ha_world.nnodes > 2 && ha_sim_chance(250))
	{
		ha_world.lost_node = ha_sim_chance(500) ?
			ha_sim_node_named(ha_store_view()->term.owner) :
			(int) ha_sim_between(0, ha_world.nnodes - 1);
		ha_sim_say(ha_world.lost_node, "will not come back for now");
	}
	ha_faults_end();
	bound = ha_world.now + 60 * SIM_SECOND + 6 * ha_world.shape.ttl * SIM_MS;
	if (ha_world.lost_node >= 0)
	{
		int64_t		acks = ha_world.acks;

		while (!ha_world.failed && ha_world.now < bound &&
			   !ha_check_leads(acks))
			run_until(ha_world.now + 500 * SIM_MS);
		if (ha_check_leads(acks))
			ha_sim_sometimes(SIM_MINORITY);
		else if (ha_check_can_recover(ha_world.lost_node))
			ha_sim_fail("L-3: nobody becomes leader without %s",
						ha_world.nodes[ha_world.lost_node].name);
	}
	ha_faults_end_loss();
}

static void
run_history(uint64_t seed)
{
	char		why[200] = "";

	begin_history(seed);
	run_until(ha_sim_between(3, 8) * SIM_SECOND);
	ha_faults_next(-1, 0, NULL);
	ha_failsafe_faults();
	run_until(ha_world.now + ha_world.shape.ttl * SIM_MS *
			  ha_sim_between(4, 15));
	if (!ha_world.failed)
		heal();
	become_whole();
	if (!ha_world.failed)
	{
		/* time enough for a wrong decision, too */
		ha_faults_last();
		run_until(ha_world.now + 8 * ha_world.shape.ttl * SIM_MS);
		become_whole();
	}
	if (!ha_world.failed)
		ha_sim_say(-1, "the cluster is whole; nothing may change now");
	ha_world.quiet = true;
	run_until(ha_world.now + QUIET_TTLS * ha_world.shape.ttl * SIM_MS);
	if (!ha_world.failed && !ha_check_healthy(why, sizeof(why)))
		ha_sim_fail("L-2: without any fault %s", why);
	end_history();
}

/*-------------------------------------------------------------------------
 * The command line
 *-------------------------------------------------------------------------
 */

static const char *const sometimes_text[] = {
#define TEXT(name, text) text,
	SIM_SOMETIMES(TEXT)
};

static int
report_sometimes(void)
{
	int			never = 0;

	for (int i = 0; i < SIM_NSOMETIMES; i++)
	{
		printf("%10" PRId64 "  %s\n", ha_world.sometimes[i],
			   sometimes_text[i]);
		never += ha_world.sometimes[i] == 0;
	}
	return never;
}

int
main(int argc, char **argv)
{
	uint64_t	first;
	uint64_t	count = 1;
	uint64_t	seed;
	int			failed = 0;

	if (argc < 2 || argc > 3)
	{
		fprintf(stderr, "usage: sim FIRST [COUNT]\n       sim SEED -v\n");
		return 2;
	}
	first = strtoull(argv[1], NULL, 10);
	if (argc == 3 && strcmp(argv[2], "-v") == 0)
		ha_world.verbose = true;
	else if (argc == 3)
		count = strtoull(argv[2], NULL, 10);

	for (seed = first; seed < first + count && failed == 0; seed++)
	{
		run_history(seed);
		if (!ha_world.failed)
			continue;
		failed = 1;
		printf("seed %" PRIu64 " at %.4f s: %s\nreplay: %s %" PRIu64 " -v\n",
			   seed, (double) ha_world.now / SIM_SECOND, ha_world.failure,
			   argv[0], seed);
	}
	if (count > 1 && failed == 0 && report_sometimes() > 0 &&
		count >= SEEDS_FOR_SOMETIMES)
	{
		printf("some of these never happened\n");
		failed = 1;
	}
	printf("%" PRIu64 " seeds, %" PRId64 " steps, %" PRId64 " acknowledged commits, %"
		   PRId64 " failovers, %" PRId64 " suspensions\n",
		   seed - first, ha_world.steps, ha_world.acks,
		   ha_world.sometimes[SIM_FAILOVER],
		   ha_world.sometimes[SIM_SUSPENDED]);
	printf("%" PRIu64 " passed, %d failed\n", seed - first - failed, failed);
	return failed;
}
