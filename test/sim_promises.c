/*-------------------------------------------------------------------------
 *
 * sim_promises.c
 *	  More of what must never be seen: checks that need no memory of the past
 *	  but what they are given.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../election.h"
#include "sim.h"

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

/*
 * I-5: the leader key changes hands only by being created anew where there is
 * none, and goes only by its holder's own release or with its lease.  S-7: it
 * hangs on the lease of its holder's worker.  S-14: nobody gives it up while the
 * store would not let anybody take it.
 *
 * "by" is whose request did it, or -1 for the store itself and for an operator,
 * who are not bound by this.
 */
void
ha_check_leader_key(int by, const char *old_value, const char *value,
					int lease_of)
{
	const char *name;

	if (by < 0)
		return;
	name = node_of(by)->name;
	if (old_value != NULL && strcmp(old_value, name) != 0)
		ha_sim_fail("I-5: %s %s the leader key of %s", name,
					value ? "takes" : "deletes", old_value);
	if (value != NULL && strcmp(value, name) != 0)
		ha_sim_fail("I-5: %s puts the leader key for %s", name, value);
	if (value != NULL && lease_of != by)
		ha_sim_fail("S-7: %s puts the leader key under a lease that is not its worker's",
					name);
	if (value == NULL && ha_store_is_full())
		ha_sim_fail("S-14: %s gives the leader key up while nobody can take it",
					name);
}

static void
check_owner(uint32_t id, const char *owner)
{
	int			maker = ha_world.timelines[id].owner;
	const char *truth = maker == SIM_PATRONI ? "patroni" :
	node_of(maker)->name;

	if (id > 1 && owner[0] != '\0' && strcmp(owner, truth) != 0)
		ha_sim_fail("I-6: timeline %u is recorded as that of %s, and %s has made it",
					id, owner, truth);
}

/*
 * I-6: what a confirmed record says of the past is what really happened: a
 * chain of ancestors, each left where it was left, and made by whom it says.
 */
void
ha_check_lineage(const HaTerm *term)
{
	uint32_t	id = term->timeline;

	if (id == 0 || id >= SIM_TIMELINES || !ha_world.timelines[id].used)
	{
		ha_sim_fail("I-6: timeline %u is recorded, and there is none", id);
		return;
	}
	check_owner(id, term->timeline_owner);
	for (int i = term->nlineage - 1; i >= 0; i--)
	{
		const HaTimeline *entry = &term->lineage[i];
		const SimTimeline *truth = &ha_world.timelines[id];

		if (id <= 1 || entry->timeline != truth->parent ||
			entry->end_lsn != truth->begin)
		{
			ha_sim_fail("I-6: the record says that timeline %u was left at %llu for %u",
						entry->timeline, (unsigned long long) entry->end_lsn,
						id);
			return;
		}
		id = truth->parent;
		check_owner(id, entry->owner);
	}
}

/* I-10: strict mode never stops waiting for standbys. */
void
ha_check_names_written(int node, uint32_t old, uint32_t new)
{
	const HaConfig *config = &node_of(node)->worker.lease.view.config;

	if (config->known && config->synchronous_mode != HA_SYNC_OFF &&
		config->synchronous_mode_strict && old != 0 && new == 0)
		ha_sim_fail("I-10: %s waits for nobody any more, in strict mode",
					node_of(node)->name);
}

/*
 * S-18, I-4: at the very moment of an acknowledgement, whoever may be elected
 * without the consent of others has the commit.  /sync's quorum is how many of
 * the listed may lack it, since that many more have to agree to an election.
 */
void
ha_check_holders(int node, const HaSync *sync, SimPosition commit)
{
	int			lack = 0;

	if (!sync->present || strcmp(sync->leader, node_of(node)->name) != 0)
		return;
	for (int i = 0; i < sync->nstandbys; i++)
	{
		int			standby = ha_sim_node_named(sync->standbys[i]);

		if (standby >= 0 && !ha_server_holds(standby, commit))
			lack++;
	}
	if (lack > sync->quorum)
		ha_sim_fail("S-18: %s acknowledged what %d of its synchronous standbys lack",
					node_of(node)->name, lack);
}

/*
 * S-3: who leads without having voted took over a reign that said how far it
 * had got, and has all of that.
 */
void
ha_check_takeover(int node, const HaView *old, const HaHeartbeat *released,
				  const HaVote *vote)
{
	SimPosition end = {old->term.timeline, released->released_lsn};

	if (vote->term == old->term.term && !vote->withdrawn &&
		vote->term_revision == old->term.mod_revision)
		return;
	if (released->term != old->term.term || released->released_lsn == 0)
		ha_sim_fail("S-3: %s was elected without a vote", node_of(node)->name);
	else if (!ha_server_holds(node, end))
		ha_sim_fail("S-3: %s takes over without a vote, and lacks WAL up to %llu",
					node_of(node)->name, (unsigned long long) end.lsn);
}

/*
 * S-13: a promotion that comes to no end gives the key back.  The time over
 * that is for a worker that was frozen or cut off meanwhile, which the store
 * then takes the key from.
 */
void
ha_check_turn(int node)
{
	const SimNode *n = node_of(node);
	const SimWorker *w = &n->worker;
	const HaConfig *config = &w->lease.view.config;
	int64_t		slack = 2 * ha_world.shape.ttl + 2000;

	if (!w->local.promoting || !w->lease.holding || ha_store_is_full() ||
		strcmp(ha_store_view()->leader.name, n->name) != 0 ||
		n->server.state != SIM_STANDBY)
		return;
	if (ha_sim_clock(node) - w->local.promoting_since >
		ha_promote_timeout(config) + slack &&
		ha_sim_clock(node) - w->holds_since > slack &&
		ha_sim_clock(node) - w->last_turn < 1000)
		ha_sim_fail("S-13: %s keeps the leader key and does not promote",
					n->name);
}
