/*-------------------------------------------------------------------------
 *
 * quorum.c
 *	  Who must confirm a commit (synchronous_standby_names) and who may be
 *	  elected (/sync), and in which order the two may change.
 *
 * "confirm" of the names N must confirm each commit; a member of the voters V may
 * be elected together with "quorum" others of them, of whom it must have the most.
 * Promise: whoever is elected has every commit that was acknowledged.  So the
 * voters that may lack a commit must be too few to elect anybody:
 *
 *		|V \ N| + min(|N| - confirm, |V & N|)  <=  quorum
 *
 * for every N and confirm in force anywhere, also in a walsender that has not seen
 * a change yet (S-4).  With synchronous_mode "on" all of N must confirm and quorum
 * is 0, which leaves: V is a subset of N.
 *
 * It must also be so for mixtures.  The walsender that releases a commit takes
 * "confirm" from its own copy of the names, but which standbys count is what each
 * other walsender found in its own.  So while N becomes N', as many as the smaller
 * "confirm" may do, of all that are in N or N'.
 *
 * That is about the commits to come.  Those that were released before the present
 * names were in force are held by whoever has flushed all that was written until
 * then (names_lsn), so a change of /sync must be one of two kinds:
 *
 * - a tightening, which lets nobody be elected who could not be before: names
 *	 leave V, or join it and quorum grows by as many, or quorum grows;
 *
 * - a relaxing, with at most "quorum" of the new voters behind names_lsn.
 *
 * A change of the names is tightened for, made, awaited, and then relaxed from.
 * The test test/quorum_test.c tries every change among up to six members, the
 * model test/models/quorum.pml every order in which processes may see one.
 *
 *-------------------------------------------------------------------------
 */
#include "cascade.h"
#include "plan.h"
#include "quorum.h"

#include <string.h>

typedef struct NameSet
{
	int			n;
	char		names[HA_MAX_MEMBERS][HA_NAME_SIZE];
} NameSet;

/* Who confirms, and how many of them must. */
typedef struct Confirming
{
	NameSet		set;
	int			count;
} Confirming;

/* Who may be elected, and by how many others. */
typedef struct Electing
{
	NameSet		set;
	int			quorum;
} Electing;

static bool
set_has(const NameSet *set, const char *name)
{
	for (int i = 0; i < set->n; i++)
	{
		if (strncmp(set->names[i], name, HA_NAME_SIZE) == 0)
			return true;
	}
	return false;
}

static void
set_add(NameSet *set, const char *name)
{
	if (set->n >= HA_MAX_MEMBERS || set_has(set, name))
		return;

	/* zeroed to its end: plans are compared byte by byte */
	memset(set->names[set->n], 0, HA_NAME_SIZE);
	memcpy(set->names[set->n], name, strnlen(name, HA_NAME_SIZE - 1));
	set->n++;
}

static void
set_load(NameSet *set, int32_t n, const char names[][HA_NAME_SIZE])
{
	memset(set, 0, sizeof(*set));
	for (int i = 0; i < n && i < HA_MAX_MEMBERS; i++)
		set_add(set, names[i]);
}

static int
count_common(const NameSet *a, const NameSet *b)
{
	int			n = 0;

	for (int i = 0; i < a->n; i++)
		n += set_has(b, a->names[i]) ? 1 : 0;
	return n;
}

static bool
is_equal(const NameSet *a, const NameSet *b)
{
	return a->n == b->n && count_common(a, b) == a->n;
}

static NameSet
intersection(const NameSet *a, const NameSet *b)
{
	NameSet		both = {0};

	for (int i = 0; i < a->n; i++)
	{
		if (set_has(b, a->names[i]))
			set_add(&both, a->names[i]);
	}
	return both;
}

static int
larger(int a, int b)
{
	return a > b ? a : b;
}

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

/* What is in force, as far as this worker has written it. */
static void
load_names(const HaLocal *local, Confirming *names)
{
	set_load(&names->set, local->nsync_names, local->sync_names);
	names->count = local->sync_confirm;
	if (names->count <= 0 || names->count > names->set.n)
		names->count = names->set.n;
}

/* A key that is not there lets nobody be elected once it will be. */
static void
load_sync(const HaView *view, Electing *sync)
{
	memset(sync, 0, sizeof(*sync));
	if (!view->sync.present)
		return;
	set_load(&sync->set, view->sync.nstandbys, view->sync.standbys);

	/* whoever wrote it: more than there can be members means the same */
	sync->quorum = smaller(larger(view->sync.quorum, 0), HA_MAX_MEMBERS);
}

/* How many of those voters may lack a commit that those names let pass. */
static int
may_lack(const NameSet *voters, const Confirming *names)
{
	int			common = count_common(voters, &names->set);

	return voters->n - common +
		smaller(names->set.n - names->count, common);
}

/*
 * The same while walsenders may act on either, or on a mixture.  Where there is but
 * one name, and all must confirm, whoever releases has confirmed itself.
 */
static int
may_lack_between(const NameSet *voters, const Confirming *a,
				 const Confirming *b)
{
	Confirming	mixed = *a;

	if (a->set.n == 1 && b->set.n == 1)
		return 0;
	for (int i = 0; i < b->set.n; i++)
		set_add(&mixed.set, b->set.names[i]);
	if (a->set.n == 1 || (b->set.n != 1 && b->count < a->count))
		mixed.count = b->count;
	return may_lack(voters, &mixed);
}

static void
plan_sync(HaPlan *plan, const Electing *sync, bool sync_on, const char *why)
{
	ha_plan_set(plan, HA_SET_SYNC, why);
	plan->sync_on = sync_on;
	plan->quorum = sync->quorum;
	plan->nnames = sync->set.n;
	memcpy(plan->names, sync->set.names, sizeof(plan->names));
}

static void
plan_names(HaPlan *plan, const Confirming *names, bool any, const char *why)
{
	ha_plan_set(plan, HA_SET_NAMES, why);
	plan->confirm = names->count;
	plan->any = any && names->count < names->set.n;
	plan->nnames = names->set.n;
	memcpy(plan->names, names->set.names, sizeof(plan->names));
}

/*-------------------------------------------------------------------------
 * Whom we want
 *-------------------------------------------------------------------------
 */

static const HaStandby *
find_streaming(const HaLocal *local, const char *name)
{
	for (int i = 0; i < local->nstandbys && i < HA_MAX_MEMBERS; i++)
	{
		if (local->standbys[i].streaming &&
			strncmp(local->standbys[i].name, name, HA_NAME_SIZE) == 0)
			return &local->standbys[i];
	}
	return NULL;
}

/*
 * A member that may be chosen: known, wants it, and streams from us, and not just
 * until the member that it should stream from is there.  One that claims to have
 * more than we have is on another history and has not noticed.
 */
static bool
is_usable(const HaView *view, const HaLocal *local, const HaStandby *standby)
{
	const HaMember *member = ha_find_member(view, standby->name);

	return member != NULL && standby->streaming &&
		strncmp(standby->name, local->name, HA_NAME_SIZE) != 0 &&
		standby->flush_lsn <= local->flush_lsn &&
		!member->nosync && member->sync_priority > 0 &&
		!member->nofailover && member->failover_priority > 0 &&
		ha_cascade_source(view, member->name, member->replicatefrom) == NULL;
}

/*
 * Lag is measured against the best standby, since a leader that waits for nobody
 * is always ahead; against the leader if there is only one.
 */
static uint64_t
lag_base(const HaView *view, const HaLocal *local)
{
	uint64_t	best = 0;
	int			n = 0;

	for (int i = 0; i < local->nstandbys && i < HA_MAX_MEMBERS; i++)
	{
		if (!is_usable(view, local, &local->standbys[i]))
			continue;
		n++;
		if (local->standbys[i].flush_lsn > best)
			best = local->standbys[i].flush_lsn;
	}
	return n > 1 ? best : local->flush_lsn;
}

static bool
lags(const HaConfig *config, const HaStandby *standby, uint64_t base)
{
	return config->maximum_lag_on_syncnode > 0 &&
		standby->flush_lsn < base &&
		base - standby->flush_lsn > (uint64_t) config->maximum_lag_on_syncnode;
}

/*
 * By the operator's preference first; then those that are chosen already, since a
 * swap costs a wait; then those that have most.
 */
static bool
is_preferred(const HaView *view, const Electing *sync, const Confirming *names,
			 const HaStandby *a, const HaStandby *b)
{
	int32_t		priority_a = ha_find_member(view, a->name)->sync_priority;
	int32_t		priority_b = ha_find_member(view, b->name)->sync_priority;
	int			chosen_a = 2 * set_has(&sync->set, a->name) +
	set_has(&names->set, a->name);
	int			chosen_b = 2 * set_has(&sync->set, b->name) +
	set_has(&names->set, b->name);

	if (priority_a != priority_b)
		return priority_a > priority_b;
	if (chosen_a != chosen_b)
		return chosen_a > chosen_b;
	return a->flush_lsn > b->flush_lsn;
}

/*
 * After an outage of the store the keys of members are gone for a moment, and those
 * who confirm are still there: rather they than nobody.  While others have keys, who
 * has none is likely to be cut off from the store, and could not be elected.
 */
static void
keep_chosen(const HaView *view, const HaLocal *local, const Electing *sync,
			const Confirming *names, int most, Confirming *wanted)
{
	for (int i = 0; i < local->nstandbys && i < HA_MAX_MEMBERS; i++)
	{
		const HaStandby *standby = &local->standbys[i];

		if (wanted->set.n < most && standby->streaming &&
			ha_find_member(view, standby->name) == NULL &&
			standby->flush_lsn <= local->flush_lsn &&
			set_has(&names->set, standby->name) &&
			set_has(&sync->set, standby->name))
			set_add(&wanted->set, standby->name);
	}
}

/*
 * In mode "on" as many as the operator wants, all of whom must confirm; in
 * "quorum" whoever there is, and as many of them must.
 */
static void
choose(const HaConfig *config, const HaView *view, const HaLocal *local,
	   const Electing *sync, const Confirming *names, Confirming *wanted)
{
	bool		quorum = config->synchronous_mode == HA_SYNC_QUORUM;
	int			most = quorum ? HA_MAX_MEMBERS : config->synchronous_node_count;
	uint64_t	base = lag_base(view, local);

	memset(wanted, 0, sizeof(*wanted));
	while (wanted->set.n < most && wanted->set.n < HA_MAX_MEMBERS)
	{
		const HaStandby *best = NULL;

		for (int i = 0; i < local->nstandbys && i < HA_MAX_MEMBERS; i++)
		{
			const HaStandby *s = &local->standbys[i];

			if (is_usable(view, local, s) && !lags(config, s, base) &&
				!set_has(&wanted->set, s->name) &&
				(best == NULL || is_preferred(view, sync, names, s, best)))
				best = s;
		}
		if (best == NULL)
			break;
		set_add(&wanted->set, best->name);
	}
	if (wanted->set.n == 0)
		keep_chosen(view, local, sync, names, most, wanted);
	wanted->count = quorum ?
		smaller(larger(config->synchronous_node_count, 1), wanted->set.n) :
		wanted->set.n;
}

/*-------------------------------------------------------------------------
 * Step by step
 *-------------------------------------------------------------------------
 */

/* The mode is off: nobody may rely on /sync before commits stop waiting. */
static bool
step_off(const HaLocal *local, const HaView *view, const Confirming *names,
		 HaPlan *plan)
{
	Electing	nobody = {0};
	Confirming	none = {0};

	/*
	 * Deleting a key that is not there changes no revision, so a lost write
	 * of it could still land; a put of an empty one rules that out, and is
	 * then deleted.
	 */
	if (view->sync.mod_revision != 0 || local->sync_unknown)
		plan_sync(plan, &nobody, local->sync_unknown,
				  "synchronous_mode is off");
	else if (names->set.n > 0)
		plan_names(plan, &none, false, "synchronous_mode is off");
	else
		return false;
	return true;
}

/* How many of those voters may lack a commit while "names" become "wanted"? */
static int
may_lack_meanwhile(const HaLocal *local, const NameSet *voters,
				   const Confirming *names, const Confirming *wanted)
{
	int			between = local->names_in_force ?
	may_lack_between(voters, names, wanted) : voters->n;

	return larger(larger(may_lack(voters, names), may_lack(voters, wanted)),
				  between);
}

/*
 * The tightening that makes /sync good for the names in force, for those to come,
 * and for what may be between; for nobody at all if still older names may be in
 * force somewhere.  In mode "on" nobody joins by it: a reader of /sync that knows
 * of no quorum may elect whoever stands there.
 */
static void
tighten(const HaLocal *local, const Electing *sync, const Confirming *names,
		const Confirming *wanted, bool join, Electing *tight)
{
	int			between;

	if (join)
	{
		tight->set = wanted->set;
		tight->quorum = sync->quorum + tight->set.n -
			count_common(&tight->set, &sync->set);
	}
	else
	{
		tight->set = intersection(&sync->set, &wanted->set);
		tight->quorum = sync->quorum;
	}
	tight->quorum = larger(tight->quorum, may_lack(&tight->set, names));
	tight->quorum = larger(tight->quorum, may_lack(&tight->set, wanted));

	between = local->names_in_force ?
		may_lack_between(&tight->set, names, wanted) : tight->set.n;
	if (join)
		tight->quorum = larger(tight->quorum, between);
	else if (between > tight->quorum)
		memset(&tight->set, 0, sizeof(tight->set));
}

/* One that claims to have more than we have is on another history. */
static bool
holds(const HaLocal *local, const char *name, uint64_t lsn)
{
	const HaStandby *standby = find_streaming(local, name);

	return standby != NULL && standby->flush_lsn >= lsn &&
		standby->flush_lsn <= local->flush_lsn;
}

/* Names are as wanted and in force: what may be elected by now? */
static bool
relax(const HaLocal *local, const Electing *sync, const Confirming *wanted,
	  bool join, HaPlan *plan)
{
	Electing	relaxed = {0};
	int			behind = 0;
	int			new_behind = 0;

	for (int i = 0; i < wanted->set.n; i++)
	{
		const char *name = wanted->set.names[i];
		bool		is_new = !set_has(&sync->set, name);
		bool		late = !holds(local, name, local->names_lsn);

		if (is_new && late && !join)
			continue;
		set_add(&relaxed.set, name);
		behind += late ? 1 : 0;
		new_behind += late && is_new ? 1 : 0;
	}
	relaxed.quorum = may_lack(&relaxed.set, wanted);
	if (behind > relaxed.quorum &&
		(new_behind > 0 || relaxed.quorum < sync->quorum))
		return false;
	if (is_equal(&relaxed.set, &sync->set) && relaxed.quorum == sync->quorum)
		return false;
	plan_sync(plan, &relaxed, true, relaxed.set.n > sync->set.n ?
			  "a synchronous standby caught up" :
			  "the synchronous standbys caught up");
	return true;
}

/* From what is to what is wanted. */
static bool
step_towards(const HaConfig *config, const HaView *view, const HaLocal *local,
			 const Electing *sync, const Confirming *names,
			 const Confirming *wanted, HaPlan *plan)
{
	bool		quorum = config->synchronous_mode == HA_SYNC_QUORUM;
	bool		rewrite = local->sync_unknown || !view->sync.present ||
	strncmp(view->sync.leader, local->name, HA_NAME_SIZE) != 0;
	int			needed = may_lack_meanwhile(local, &sync->set, names, wanted);
	bool		settled = is_equal(&names->set, &wanted->set) &&
	names->count == wanted->count &&
	(wanted->set.n == 0 || local->names_written);

	/*
	 * What is tightened without need may leave nobody to be elected: a
	 * standby that goes away stays a voter until the others have what it has.
	 */
	if (rewrite || (!settled && needed > sync->quorum) ||
		may_lack(&sync->set, names) > sync->quorum)
	{
		Electing	tight;

		tighten(local, sync, names, wanted, quorum, &tight);
		if (rewrite || !is_equal(&tight.set, &sync->set) ||
			tight.quorum != sync->quorum)
		{
			plan_sync(plan, &tight, true, local->sync_unknown ?
					  "an earlier write of /sync may still land" :
					  "synchronous standbys are about to change");
			return true;
		}
	}
	if (!settled)
	{
		plan_names(plan, wanted, quorum, "synchronous standbys change");
		return true;
	}
	return local->names_in_force &&
		relax(local, sync, wanted, quorum, plan);
}

/* Rather no commit than one that only we hold. */
static void
want_nobody_else(const Confirming *names, Confirming *wanted)
{
	*wanted = *names;
	if (names->set.n > 0)
		return;
	set_add(&wanted->set, HA_NOBODY);
	wanted->count = 1;
}

bool
ha_quorum_step(const HaConfig *config, const HaView *view,
			   const HaLocal *local, HaPlan *plan)
{
	Electing	sync;
	Confirming	names;
	Confirming	wanted;

	/* what /sync says is not known before our last write of it was read back */
	if (local->sync_pending)
		return false;

	/* defaults are nobody's wish: they must not end what somebody wanted */
	if (!config->known && view->sync.present)
		return false;
	load_sync(view, &sync);
	load_names(local, &names);
	if (config->synchronous_mode == HA_SYNC_OFF)
		return step_off(local, view, &names, plan);

	choose(config, view, local, &sync, &names, &wanted);
	if (wanted.set.n > 0 || !config->synchronous_mode_strict)
		return step_towards(config, view, local, &sync, &names, &wanted, plan);

	/* names stay, and /sync with them, unless it must be written anyway */
	want_nobody_else(&names, &wanted);
	if (local->sync_unknown || !view->sync.present)
		plan_sync(plan, &sync, true, "nobody is there to confirm commits");
	else if (names.set.n == 0)
		plan_names(plan, &wanted, false, "nobody is there to confirm commits");
	else
		return false;
	return true;
}

bool
ha_quorum_restore(const HaConfig *config, const HaView *view,
				  const HaLocal *local, HaPlan *plan)
{
	Electing	sync;
	Confirming	names;
	bool		strict = config->synchronous_mode != HA_SYNC_OFF &&
	config->synchronous_mode_strict;

	if (config->synchronous_mode == HA_SYNC_OFF && !view->sync.present)
		return false;
	load_sync(view, &sync);
	load_names(local, &names);
	if (may_lack(&sync.set, &names) > sync.quorum)
	{
		names.set = sync.set;
		names.count = larger(sync.set.n - sync.quorum, 1);
	}
	else if (strict && names.set.n == 0)
		want_nobody_else(&names, &names);
	else if (local->names_in_force || (sync.set.n == 0 && !strict))
		return false;
	plan_names(plan, &names, config->synchronous_mode == HA_SYNC_QUORUM, "");
	return true;
}

bool
ha_quorum_shows(const HaConfig *config, const HaView *view,
				const HaLocal *local)
{
	Electing	sync;
	int			lacking = 0;

	if (local->recovered_lsn == 0)
		return true;
	if (!view->valid || local->deadline == 0 || local->sync_pending ||
		local->sync_unknown)
		return false;
	if (!view->sync.present)
		return config->synchronous_mode == HA_SYNC_OFF &&
			(config->known || view->config.revision == 0);

	/*
	 * Who has been confirmed by what names does not matter here: the voters
	 * of now are asked, and those to come will have names_lsn, which is
	 * beyond.
	 */
	load_sync(view, &sync);
	for (int i = 0; i < sync.set.n; i++)
		lacking += holds(local, sync.set.names[i], local->recovered_lsn) ? 0 : 1;
	return lacking <= sync.quorum &&
		strncmp(view->sync.leader, local->name, HA_NAME_SIZE) == 0 &&
		(sync.set.n > 0 || !config->synchronous_mode_strict);
}

bool
ha_quorum_may_elect(const HaView *view, const char *name, int votes)
{
	const HaSync *sync = &view->sync;

	if (!sync->present || strncmp(sync->leader, name, HA_NAME_SIZE) == 0)
		return true;
	return ha_is_in_sync(sync, name) && votes >= sync->quorum;
}
