/*-------------------------------------------------------------------------
 *
 * quorum.c
 *	  Who must confirm a commit (synchronous_standby_names) and who may be
 *	  elected (/sync), and in which order the two may change.
 *
 * The invariant, at every step and in every mixture of walsenders that have and
 * have not seen a change: each member that may be elected is among those that
 * confirm every commit.  With all of the names having to confirm, that is simply
 *
 *		/sync  is a subset of  every set of names in force anywhere.
 *
 * So /sync shrinks first, then the names change, and /sync grows again only by
 * members that have flushed everything written up to the moment when every
 * process was known to use the new names (S-4).
 *
 *-------------------------------------------------------------------------
 */
#include "quorum.h"

#include <string.h>

typedef struct NameSet
{
	int			n;
	char		names[HA_MAX_MEMBERS][HA_NAME_SIZE];
} NameSet;

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
	memcpy(set->names[set->n], name, HA_NAME_SIZE);
	set->names[set->n][HA_NAME_SIZE - 1] = '\0';
	set->n++;
}

static void
set_load(NameSet *set, int32_t n, const char names[][HA_NAME_SIZE])
{
	memset(set, 0, sizeof(*set));
	for (int i = 0; i < n && i < HA_MAX_MEMBERS; i++)
		set_add(set, names[i]);
}

static bool
is_subset(const NameSet *a, const NameSet *b)
{
	for (int i = 0; i < a->n; i++)
	{
		if (!set_has(b, a->names[i]))
			return false;
	}
	return true;
}

static bool
is_equal(const NameSet *a, const NameSet *b)
{
	return is_subset(a, b) && is_subset(b, a);
}

static void
plan_set(HaPlan *plan, HaVerb verb, const NameSet *set, bool sync_on,
		 const char *why)
{
	plan->verb = verb;
	plan->sync_on = sync_on;
	plan->nnames = set->n;
	memcpy(plan->names, set->names, sizeof(plan->names));
	memset(plan->why, 0, sizeof(plan->why));
	strncpy(plan->why, why, sizeof(plan->why) - 1);
}

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
 * A member that may be chosen: known, wants it, and streams from us.  One that
 * claims to have more than we have is on another history and has not noticed.
 */
static bool
is_usable(const HaView *view, const HaLocal *local, const char *name)
{
	const HaStandby *standby = find_streaming(local, name);

	if (strncmp(name, local->name, HA_NAME_SIZE) == 0 || standby == NULL ||
		standby->flush_lsn > local->flush_lsn)
		return false;
	for (int i = 0; i < view->nmembers && i < HA_MAX_MEMBERS; i++)
	{
		if (strncmp(view->members[i].name, name, HA_NAME_SIZE) == 0)
			return !view->members[i].nosync && !view->members[i].nofailover &&
				view->members[i].failover_priority > 0;
	}
	return false;
}

/*
 * Whom we want: those that are chosen already as long as they stream, since a
 * swap costs a wait, then those that have most.
 */
static void
choose(const HaConfig *config, const HaView *view, const HaLocal *local,
	   const NameSet *sync, const NameSet *names, NameSet *wanted)
{
	int			want = config->synchronous_node_count;

	memset(wanted, 0, sizeof(*wanted));
	for (int i = 0; i < sync->n && wanted->n < want; i++)
	{
		if (is_usable(view, local, sync->names[i]))
			set_add(wanted, sync->names[i]);
	}
	for (int i = 0; i < names->n && wanted->n < want; i++)
	{
		if (is_usable(view, local, names->names[i]))
			set_add(wanted, names->names[i]);
	}
	while (wanted->n < want && wanted->n < HA_MAX_MEMBERS)
	{
		const HaStandby *best = NULL;

		for (int i = 0; i < local->nstandbys && i < HA_MAX_MEMBERS; i++)
		{
			const HaStandby *s = &local->standbys[i];

			if (is_usable(view, local, s->name) && !set_has(wanted, s->name) &&
				(best == NULL || s->flush_lsn > best->flush_lsn))
				best = s;
		}
		if (best == NULL)
			break;
		set_add(wanted, best->name);
	}
}

/* The mode is off: nobody may rely on /sync before commits stop waiting. */
static bool
step_off(const HaLocal *local, const HaView *view, const NameSet *names,
		 HaPlan *plan)
{
	NameSet		none = {0};

	/*
	 * Deleting a key that is not there changes no revision, so a lost write
	 * of it could still land; a put of an empty one rules that out, and is
	 * then deleted.
	 */
	if (view->sync.mod_revision != 0 || local->sync_unknown)
		plan_set(plan, HA_SET_SYNC, &none, local->sync_unknown,
				 "synchronous_mode is off");
	else if (names->n > 0)
		plan_set(plan, HA_SET_NAMES, &none, false,
				 "synchronous_mode is off");
	else
		return false;
	return true;
}

/* Names are as wanted and in force: let in who has caught up since. */
static bool
step_grow(const HaLocal *local, const NameSet *sync, const NameSet *wanted,
		  HaPlan *plan)
{
	NameSet		grown = *sync;

	for (int i = 0; i < wanted->n; i++)
	{
		const HaStandby *s = find_streaming(local, wanted->names[i]);

		if (s != NULL && s->flush_lsn >= local->names_lsn)
			set_add(&grown, wanted->names[i]);
	}
	if (grown.n == sync->n)
		return false;
	plan_set(plan, HA_SET_SYNC, &grown, true, "a synchronous standby caught up");
	return true;
}

bool
ha_quorum_step(const HaConfig *config, const HaView *view,
			   const HaLocal *local, HaPlan *plan)
{
	NameSet		sync;
	NameSet		names;
	NameSet		wanted;
	NameSet		kept = {0};

	/* what /sync says is not known before our last write of it was read back */
	if (local->sync_pending)
		return false;
	set_load(&sync, view->sync.nstandbys, view->sync.standbys);
	set_load(&names, local->nsync_names, local->sync_names);

	/* defaults are nobody's wish: they must not end what somebody wanted */
	if (!config->known && view->sync.present)
		return false;
	if (config->synchronous_mode == HA_SYNC_OFF)
		return step_off(local, view, &names, plan);

	choose(config, view, local, &sync, &names, &wanted);

	/* strict: rather no commit than one that only we hold */
	if (wanted.n == 0 && config->synchronous_mode_strict && !local->sync_unknown)
		return false;
	if (wanted.n == 0 && config->synchronous_mode_strict)
		wanted = sync;

	for (int i = 0; i < sync.n; i++)
	{
		if (set_has(&wanted, sync.names[i]))
			set_add(&kept, sync.names[i]);
	}
	if (!view->sync.present || kept.n < sync.n || local->sync_unknown ||
		strncmp(view->sync.leader, local->name, HA_NAME_SIZE) != 0)
	{
		plan_set(plan, HA_SET_SYNC, &kept, true,
				 local->sync_unknown ?
				 "an earlier write of /sync may still land" :
				 "a synchronous standby is no longer there");
		return true;
	}
	if (!is_equal(&names, &wanted) || (wanted.n > 0 && !local->names_written))
	{
		plan_set(plan, HA_SET_NAMES, &wanted, true,
				 "synchronous standbys change");
		return true;
	}
	if (!local->names_in_force)
		return false;
	return step_grow(local, &sync, &wanted, plan);
}

bool
ha_quorum_restore(const HaConfig *config, const HaView *view,
				  const HaLocal *local, HaPlan *plan)
{
	NameSet		sync;
	NameSet		names;

	if (config->synchronous_mode == HA_SYNC_OFF && !view->sync.present)
		return false;
	set_load(&sync, view->sync.nstandbys, view->sync.standbys);
	set_load(&names, local->nsync_names, local->sync_names);
	if (is_subset(&sync, &names) && (local->names_in_force || sync.n == 0))
		return false;
	if (is_subset(&sync, &names))
		sync = names;
	plan_set(plan, HA_SET_NAMES, &sync, true, "");
	return true;
}
