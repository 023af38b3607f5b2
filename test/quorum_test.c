/*-------------------------------------------------------------------------
 *
 * quorum_test.c
 *	  quorum.c, through every change among up to six nodes.
 *
 * The test is not written in the terms of quorum.c's formula but in those of the
 * promise: whatever set of standbys let a commit pass, and whatever set of voters
 * elects, the two have a member in common.
 *
 *-------------------------------------------------------------------------
 */
#include "../config_values_json.h"
#include "../quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STANDBYS	5
#define SUBSETS		(1 << STANDBYS)
#define NOBODY		(1 << STANDBYS)
#define STEPS		12			/* no change may take more */

static const char *const names[STANDBYS] = {"a", "b", "c", "d", "e"};

/* What an operator may want. */
typedef struct Wish
{
	HaSyncMode	mode;
	int			count;
	bool		strict;
} Wish;

/* Sets are bit masks. */
typedef struct Names
{
	int			set;
	int			confirm;
} Names;

static HaConfig config;
static HaView view;
static HaLocal local;
static HaPlan plan;
static int	nchecks;
static int	nfailed;

static void
fail(const char *what, int from, int to)
{
	if (nfailed++ < 10)
		printf("%s: from %d to %d, mode %d, count %d: %s %s, names %d of %d\n",
			   what, from, to, config.synchronous_mode,
			   config.synchronous_node_count, plan.why,
			   plan.verb == HA_SET_SYNC ? "set_sync" : "set_names",
			   plan.confirm, plan.nnames);
}

static int
set_of(int n, char list[][HA_NAME_SIZE])
{
	int			set = 0;

	for (int i = 0; i < n; i++)
	{
		if (strcmp(list[i], HA_NOBODY) == 0)
			set |= NOBODY;
		for (int j = 0; j < STANDBYS; j++)
		{
			if (strcmp(list[i], names[j]) == 0)
				set |= 1 << j;
		}
	}
	return set;
}

static int
size_of(int set)
{
	return __builtin_popcount(set);
}

static Names
names_now(void)
{
	Names		now = {set_of(local.nsync_names, local.sync_names),
	local.sync_confirm};

	return now;
}

/* Can an election miss a commit that these let pass and "also" have besides? */
static bool
may_miss(const Names *n, int also)
{
	int			voters = set_of(view.sync.nstandbys, view.sync.standbys);

	for (int passed = 0; passed < 2 * SUBSETS; passed++)
	{
		if ((passed & ~n->set) == 0 && size_of(passed) == n->confirm &&
			size_of(voters & ~passed & ~also) > view.sync.quorum)
			return true;
	}
	return false;
}

/*
 * ... that they let pass while each walsender goes by one or the other?  "how many"
 * is the releasing one's, but who counts is each one's own affair; with FIRST, which
 * is written if all must confirm, the one that releases is among those who did.
 */
static bool
may_miss_between(const Names *a, const Names *b)
{
	int			voters = set_of(view.sync.nstandbys, view.sync.standbys);

	for (int new = 0; new < SUBSETS; new++)
	{
		int			candidates = (a->set & ~new) | (b->set & new);

		candidates &= SUBSETS - 1;
		for (int r = 0; r < STANDBYS; r++)
		{
			const Names *n = new & (1 << r) ? b : a;
			bool		first = n->confirm == size_of(n->set);
			int			sure = first ? 1 << r : 0;
			int			others = candidates & ~sure;
			int			needed = n->confirm - size_of(sure);
			int			from_voters = needed - size_of(others & ~voters);

			if ((candidates & (1 << r)) == 0 || size_of(others) < needed)
				continue;
			if (from_voters < 0)
				from_voters = 0;
			if (size_of(voters & ~sure) - from_voters > view.sync.quorum)
				return true;
		}
	}
	return false;
}

static void
set_streaming(int set, int caught_up)
{
	local.nstandbys = 0;
	for (int i = 0; i < STANDBYS; i++)
	{
		HaStandby  *s = &local.standbys[local.nstandbys];

		if ((set & (1 << i)) == 0)
			continue;
		strcpy(s->name, names[i]);
		s->streaming = true;
		s->flush_lsn = caught_up & (1 << i) ? local.names_lsn :
			local.names_lsn - 1;
		local.nstandbys++;
	}
}

static void
begin(void)
{
	memset(&view, 0, sizeof(view));
	memset(&local, 0, sizeof(local));
	ha_config_defaults(&config);
	config.known = true;
	view.valid = true;
	strcpy(local.name, "me");
	local.flush_lsn = 1000;
	local.names_lsn = 1000;
	local.names_written = local.names_in_force = true;
	for (int i = 0; i < STANDBYS; i++)
	{
		HaMember   *m = &view.members[view.nmembers++];

		strcpy(m->name, names[i]);
		m->failover_priority = m->sync_priority = 1;
	}
}

static void
wish(const Wish *w)
{
	config.synchronous_mode = w->mode;
	config.synchronous_node_count = w->count;
	config.synchronous_mode_strict = w->strict;
}

static void
take_sync(void)
{
	view.sync.present = plan.sync_on;
	view.sync.mod_revision = plan.sync_on ? 1 : 0;
	strcpy(view.sync.leader, plan.sync_on ? "me" : "");
	view.sync.quorum = plan.sync_on ? plan.quorum : 0;
	view.sync.nstandbys = plan.nnames;
	memcpy(view.sync.standbys, plan.names, sizeof(plan.names));
}

static void
take_names(void)
{
	local.nsync_names = plan.nnames;
	local.sync_confirm = plan.confirm;
	memcpy(local.sync_names, plan.names, sizeof(plan.names));
}

/*
 * One change: from the names "old" with these standbys streaming, some of which
 * have caught up whenever new names come in force.  At each moment the old names,
 * the new, and a mixture may let a commit pass; and later what the old ones did pass
 * is held by whom they had asked and by who has caught up.
 */
static void
drive(int from, int to, int caught_up)
{
	Names		old = names_now();
	Names		now = old;
	bool		over = false;	/* the old names are out of force */
	int			steps = 0;

	set_streaming(to, caught_up);
	while (memset(&plan, 0, sizeof(plan)),
		   ha_quorum_step(&config, &view, &local, &plan))
	{
		bool		renamed = plan.verb == HA_SET_NAMES;

		if (++steps > STEPS)
		{
			fail("does not end", from, to);
			return;
		}
		if (!renamed)
			take_sync();
		else
		{
			take_names();
			now = names_now();
			if (config.synchronous_mode_strict && now.set == 0 &&
				config.synchronous_mode != HA_SYNC_OFF)
				fail("strict, and nobody confirms", from, to);
		}
		nchecks++;
		if (!view.sync.present)
			continue;			/* nobody is promised anything */
		if (may_miss(&now, 0))
			fail("an election may miss what passes now", from, to);
		if (may_miss(&old, over ? caught_up : 0))
			fail("an election may miss what passed before", from, to);
		if (renamed && may_miss_between(&old, &now))
			fail("an election may miss what a mixture passes", from, to);
		over = over || renamed;
	}
}

/* Everybody has caught up: is all as the operator wants it? */
static void
check_end(int from, int to)
{
	int			voters = set_of(view.sync.nstandbys, view.sync.standbys);
	Names		now = names_now();
	bool		ok;

	if (config.synchronous_mode == HA_SYNC_OFF)
		ok = !view.sync.present && now.set == 0;
	else if (to == 0)
		ok = config.synchronous_mode_strict ? now.set != 0 :
			now.set == 0 && voters == 0;
	else if (config.synchronous_mode == HA_SYNC_ON)
		ok = voters == now.set && now.confirm == size_of(now.set) &&
			view.sync.quorum == 0 && (now.set & ~to) == 0 &&
			(now.confirm == config.synchronous_node_count || now.set == to);
	else
		ok = voters == to && now.set == to && size_of(to) - now.confirm ==
			view.sync.quorum &&
			(now.confirm == config.synchronous_node_count ||
			 now.confirm == size_of(to));
	nchecks++;
	if (!ok)
		fail("does not come to what is wanted", from, to);
}

static void
test_every_change(void)
{
	static const Wish wishes[] = {
		{HA_SYNC_OFF, 1, false},
		{HA_SYNC_ON, 1, false}, {HA_SYNC_ON, 2, true}, {HA_SYNC_ON, 3, false},
		{HA_SYNC_QUORUM, 1, false}, {HA_SYNC_QUORUM, 2, true},
		{HA_SYNC_QUORUM, 3, false},
	};
	int			n = sizeof(wishes) / sizeof(wishes[0]);

	for (int w = 0; w < n * n; w++)
	{
		for (int from = 0; from < SUBSETS; from++)
		{
			HaView	   *settled_view = malloc(sizeof(HaView));
			HaLocal    *settled = malloc(sizeof(HaLocal));

			begin();
			wish(&wishes[w / n]);
			drive(0, from, from);
			check_end(0, from);
			*settled_view = view;
			*settled = local;
			wish(&wishes[w % n]);
			for (int to = 0; to < SUBSETS; to++)
			{
				/* every subset of it has caught up, then all have */
				for (int late = to;; late = (late - 1) & to)
				{
					view.sync = settled_view->sync;
					local = *settled;
					drive(from, to, to & ~late);
					if (late == 0)
						break;
				}
				check_end(from, to);
			}
			free(settled_view);
			free(settled);
		}
	}
}

/*
 * Any names that may be in force somewhere release what they can, and whoever is
 * named by any may be counted.
 */
static void
release(const Names *in_force, int n, int streaming, const uint64_t *flush,
		uint64_t *released)
{
	int			candidates = 0;

	for (int f = 0; f < n; f++)
		candidates |= in_force[f].set & streaming;
	for (int f = 0; f < n; f++)
	{
		int			set = in_force[f].set;
		int			confirm = in_force[f].confirm;

		if (set == 0)
			*released = local.flush_lsn;	/* by us alone */
		for (int s = 0; s < STANDBYS; s++)
		{
			int			have = 0;
			bool		may = false;

			for (int t = 0; t < STANDBYS; t++)
			{
				bool		here = streaming & set & (1 << t);

				if (flush[t] >= flush[s])
					have += (candidates & (1 << t)) != 0;
				if (here && (confirm < size_of(set) || flush[t] >= flush[s]))
					may = true;
			}
			if (set != 0 && may && have >= confirm && flush[s] > *released)
				*released = flush[s];
		}
	}
}

/*
 * A long walk through all that may come at any time: other wishes, standbys that
 * come, go and lag, names that take their time.  What was released is released.
 */
static void
test_walk(unsigned seed, int length)
{
	Names		in_force[64];
	int			nin_force = 1;
	uint64_t	flush[STANDBYS] = {0};
	uint64_t	released = 0;
	int			streaming = 0;

	srand(seed);
	begin();
	local.flush_lsn = 1;
	local.names_lsn = 0;
	in_force[0] = names_now();
	for (int i = 0; i < length; i++)
	{
		int			lacking = 0;
		int			voters;

		local.flush_lsn += rand() % 3;
		if (rand() % 50 == 0)
		{
			Wish		w = {HA_SYNC_ON + rand() % 2, 1 + rand() % 3,
			rand() % 2};

			wish(&w);
		}
		if (rand() % 20 == 0)
			streaming ^= 1 << rand() % STANDBYS;
		local.nstandbys = 0;
		for (int s = 0; s < STANDBYS; s++)
		{
			HaStandby  *standby = &local.standbys[local.nstandbys];

			if ((streaming & (1 << s)) == 0)
				continue;
			if (rand() % 3 == 0)
				flush[s] += rand() % (local.flush_lsn - flush[s] + 1);
			memset(standby, 0, sizeof(*standby));
			strcpy(standby->name, names[s]);
			standby->streaming = true;
			standby->flush_lsn = flush[s];
			local.nstandbys++;
		}

		release(in_force, nin_force, streaming, flush, &released);
		if (!local.names_in_force && rand() % 10 == 0)
		{
			local.names_in_force = true;
			local.names_lsn = local.flush_lsn;
			in_force[0] = names_now();
			nin_force = 1;
		}

		memset(&plan, 0, sizeof(plan));
		if (ha_quorum_step(&config, &view, &local, &plan))
		{
			if (plan.verb == HA_SET_SYNC)
				take_sync();
			else if (nin_force < 64)
			{
				take_names();
				in_force[nin_force++] = names_now();
				local.names_in_force = false;
			}
		}
		nchecks++;
		if (!view.sync.present)
			continue;
		voters = set_of(view.sync.nstandbys, view.sync.standbys);
		for (int s = 0; s < STANDBYS; s++)
			lacking += (voters & (1 << s)) != 0 && flush[s] < released;
		if (lacking > view.sync.quorum)
		{
			printf("seed %u, step %d: ", seed, i);
			fail("those who may elect lack what was released", voters, lacking);
			return;
		}
	}
}

/* A start: names from the file and a /sync of before, whatever they are. */
static void
test_restore(void)
{
	for (int set = 0; set < SUBSETS; set++)
	{
		for (int voters = 0; voters < SUBSETS; voters++)
		{
			for (int quorum = 0; quorum <= STANDBYS; quorum++)
			{
				Names		now;

				begin();
				config.synchronous_mode = HA_SYNC_QUORUM;
				config.synchronous_mode_strict = (set + voters) % 2;
				view.sync.present = true;
				strcpy(view.sync.leader, "me");
				view.sync.quorum = quorum;
				for (int i = 0; i < STANDBYS; i++)
				{
					if (voters & (1 << i))
						strcpy(view.sync.standbys[view.sync.nstandbys++],
							   names[i]);
					if (set & (1 << i))
						strcpy(local.sync_names[local.nsync_names++],
							   names[i]);
				}
				local.sync_confirm = local.nsync_names > 1 ? 1 :
					local.nsync_names;
				memset(&plan, 0, sizeof(plan));
				if (ha_quorum_restore(&config, &view, &local, &plan))
					take_names();
				now = names_now();
				nchecks++;
				if (may_miss(&now, 0))
					fail("starts with names that don't do", set, voters);
				if (config.synchronous_mode_strict && now.set == 0)
					fail("starts strict with nobody to confirm", set, voters);
				if (ha_quorum_restore(&config, &view, &local, &plan))
					fail("is not content with its own names", set, voters);
			}
		}
	}
}

static void
expect(bool ok, const char *what)
{
	nchecks++;
	if (!ok && nfailed++ < 10)
		printf("not so: %s\n", what);
}

/* S-17: what recovery made visible is shown once no election can lose it. */
static void
test_shows(void)
{
	begin();
	config.synchronous_mode = HA_SYNC_QUORUM;
	view.sync.present = true;
	strcpy(view.sync.leader, "me");
	strcpy(view.sync.standbys[0], "a");
	strcpy(view.sync.standbys[1], "b");
	view.sync.nstandbys = 2;
	view.sync.quorum = 1;
	local.deadline = 1;
	expect(ha_quorum_shows(&config, &view, &local), "nothing was recovered");
	local.recovered_lsn = 1000;
	expect(!ha_quorum_shows(&config, &view, &local), "nobody streams");
	set_streaming(3, 0);
	expect(!ha_quorum_shows(&config, &view, &local), "nobody has it");
	set_streaming(3, 1);
	expect(ha_quorum_shows(&config, &view, &local), "one of two has it");
	view.sync.quorum = 0;
	expect(!ha_quorum_shows(&config, &view, &local), "the other may be elected");
	view.sync.quorum = 1;
	local.sync_pending = true;
	expect(!ha_quorum_shows(&config, &view, &local), "/sync may be another");
	local.sync_pending = false;
	local.deadline = 0;
	expect(!ha_quorum_shows(&config, &view, &local), "does not lead");
	local.deadline = 1;
	strcpy(view.sync.leader, "a");
	expect(!ha_quorum_shows(&config, &view, &local), "/sync is another's");
	strcpy(view.sync.leader, "me");
	view.sync.nstandbys = 0;
	expect(ha_quorum_shows(&config, &view, &local), "nobody may be elected");
	config.synchronous_mode_strict = true;
	expect(!ha_quorum_shows(&config, &view, &local), "strict, and nobody has it");
	local.standbys[0].flush_lsn = 2000;
	view.sync.nstandbys = 1;
	view.sync.quorum = 0;
	expect(!ha_quorum_shows(&config, &view, &local), "has more than we have");
}

static void
test_lag(void)
{
	begin();
	config.synchronous_mode = HA_SYNC_ON;
	config.maximum_lag_on_syncnode = 100;
	set_streaming(7, 7);
	local.standbys[0].flush_lsn = 899;
	view.sync.present = true;
	strcpy(view.sync.leader, "me");
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   plan.verb == HA_SET_NAMES && plan.nnames == 1 &&
		   strcmp(plan.names[0], "a") != 0, "who lags is not chosen");
	view.members[2].sync_priority = 2;
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   strcmp(plan.names[0], "c") == 0, "who is preferred is");
	view.members[2].sync_priority = 0;
	view.members[1].nosync = true;
	local.standbys[0].flush_lsn = 950;
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   strcmp(plan.names[0], "a") == 0, "who does not want to is not");
	view.sync.quorum = INT32_MAX;
	(void) ha_quorum_step(&config, &view, &local, &plan);
	expect(plan.quorum >= 0, "a wild quorum is bounded");
}

/* "a" streams from here only until "b" is there, from whom it should. */
static void
test_cascade(void)
{
	HaMember   *b = &view.members[1];

	begin();
	config.synchronous_mode = HA_SYNC_ON;
	set_streaming(7, 7);
	view.term.present = true;
	view.term.timeline = b->timeline = 1;
	b->state = HA_STATE_RUNNING;
	b->role = HA_ROLE_STANDBY;
	b->streaming = true;
	strcpy(b->host, "h");
	strcpy(view.members[0].replicatefrom, "b");
	local.standbys[0].flush_lsn = 1000;
	view.sync.present = true;
	strcpy(view.sync.leader, "me");
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   plan.verb == HA_SET_NAMES && plan.nnames == 1 &&
		   strcmp(plan.names[0], "a") != 0, "who should cascade is not chosen");
	b->state = HA_STATE_STOPPED;
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   strcmp(plan.names[0], "a") == 0, "who can't is");
}

/* "a" and "b" may confirm, and be elected with each other. */
static void
begin_with_two(void)
{
	begin();
	config.synchronous_mode = HA_SYNC_QUORUM;
	config.synchronous_node_count = 1;
	set_streaming(3, 3);
	view.sync.present = true;
	strcpy(view.sync.leader, "me");
	strcpy(view.sync.standbys[0], "a");
	strcpy(view.sync.standbys[1], "b");
	view.sync.nstandbys = 2;
	view.sync.quorum = 1;
	strcpy(local.sync_names[0], "a");
	strcpy(local.sync_names[1], "b");
	local.nsync_names = 2;
	local.sync_confirm = 1;
	local.names_written = local.names_in_force = true;
	local.names_lsn = 1;
}

/* Nobody is taken out who could still be elected, before others can be. */
static void
test_leaving(void)
{
	begin_with_two();
	expect(!ha_quorum_step(&config, &view, &local, &plan), "all is as it should be");
	set_streaming(1, 0);
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   plan.verb == HA_SET_NAMES && plan.nnames == 1,
		   "who is gone leaves the names, not /sync");
	take_names();
	local.names_lsn = local.flush_lsn;
	expect(!ha_quorum_step(&config, &view, &local, &plan),
		   "nor as long as the other lacks something");
	set_streaming(1, 1);
	expect(ha_quorum_step(&config, &view, &local, &plan) &&
		   plan.verb == HA_SET_SYNC && plan.nnames == 1 && plan.quorum == 0,
		   "then the other may be elected alone");

	begin_with_two();
	view.nmembers = 0;
	expect(!ha_quorum_step(&config, &view, &local, &plan),
		   "nobody has a key, but both confirm");
	local.nsync_names = 1;
	view.sync.nstandbys = 1;
	view.sync.quorum = 0;
	local.sync_confirm = 1;
	expect(!ha_quorum_step(&config, &view, &local, &plan),
		   "who has no key and is not chosen stays so");
}

int
main(void)
{
	test_every_change();
	for (unsigned seed = 1; seed <= 50; seed++)
		test_walk(seed, 4000);
	test_restore();
	test_shows();
	test_lag();
	test_cascade();
	test_leaving();
	printf("%d checks, %d failed\n", nchecks, nfailed);
	return nfailed == 0 ? 0 : 1;
}
