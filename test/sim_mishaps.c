/*-------------------------------------------------------------------------
 *
 * sim_mishaps.c
 *	  More that goes wrong: disks that stall, tags that change, members that
 *	  are only remembered, the store's own elections, and ambushes.
 *
 * Most faults strike at any time, and the short moments in which a reign begins
 * or ends are seldom hit.  An ambush waits for such a moment and strikes there.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../member_json.h"
#include "sim.h"

static uint32_t ambushed;		/* mask of moments at which something waits */
static bool ghost;				/* a member key of nobody stands there */

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

/*-------------------------------------------------------------------------
 * Ambushes
 *-------------------------------------------------------------------------
 */

static void
note_death(SimMoment moment)
{
	static const SimSometimes what[SIM_MOMENTS] = {
		[SIM_AT_KEY] = SIM_KILLED_WITH_KEY,
		[SIM_AT_PROMOTION] = SIM_KILLED_PROMOTING,
		[SIM_AT_TIMELINE] = SIM_KILLED_PROMOTED,
		[SIM_AT_RECORD] = SIM_KILLED_CONFIRMED,
		[SIM_AT_GATE] = SIM_KILLED_LEADING,
		[SIM_AT_VOTE] = SIM_KILLED_VOTED,
		[SIM_AT_NAMES] = SIM_KILLED_NAMING,
		[SIM_AT_SYNC] = SIM_KILLED_LISTING,
		[SIM_AT_RELEASE] = SIM_KILLED_RELEASED,
	};

	ha_sim_sometimes(what[moment]);
}

static void
come_back(int node, int64_t number, void *pointer)
{
	ha_node_power_on(node);
}

static void
reach_again(int node, int64_t number, void *pointer)
{
	SimNetwork *network = &node_of(node)->network;

	network->cut_in = network->cut_out = network->stale = false;
}

static void
freeze(int node, SimScope scope, int64_t how_long)
{
	int64_t		until = ha_world.now + how_long;

	if (node_of(node)->frozen_until[scope] < until)
		node_of(node)->frozen_until[scope] = until;
}

static void
strike(int node, int64_t moment, void *pointer)
{
	int64_t		how_long = ha_sim_about(ha_world.shape.ttl * SIM_MS);

	if (ha_world.healing || !node_of(node)->up)
		return;
	switch (ha_sim_between(0, 6))
	{
		case 0:
			ha_sim_say(node, "FAULT ambush: the machine loses power");
			note_death(moment);
			ha_node_crash(node);
			ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, come_back, 0,
					  NULL);
			break;
		case 1:
			ha_sim_say(node, "FAULT ambush: kill -9 of the postmaster");
			note_death(moment);
			ha_server_kill_postmaster(node);
			break;
		case 2:
			ha_sim_say(node, "FAULT ambush: kill -9 of a backend");
			ha_server_reset(node);
			break;
		case 3:
			ha_sim_say(node, "FAULT ambush: the worker is frozen");
			freeze(node, SIM_WORKER, how_long);
			break;
		case 4:
			ha_sim_say(node, "FAULT ambush: the machine is frozen");
			freeze(node, SIM_MACHINE, how_long);
			break;
		case 5:
			ha_sim_say(node, "FAULT ambush: the worker ends with an error");
			if (!node_of(node)->server.postmaster_dead)
				ha_worker_kill(node);
			break;
		default:
			ha_sim_say(node, "FAULT ambush: is cut from the store");
			node_of(node)->network.cut_in = true;
			node_of(node)->network.cut_out = ha_sim_chance(500);
			ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, reach_again, 0,
					  NULL);
			break;
	}
}

/* The next one who comes to some such moment. */
void
ha_mishap_ambush(void)
{
	ambushed |= 1U << ha_sim_between(0, SIM_MOMENTS - 1);
}

/* A node is at that point; what waits there strikes before anything else. */
void
ha_mishap_moment(int node, SimMoment moment)
{
	if (node < 0 || ha_world.healing || (ambushed & (1U << moment)) == 0)
		return;
	ambushed &= ~(1U << moment);
	ha_sim_at(ha_world.now, SIM_WORLD, node, strike, moment, NULL);
}

/*-------------------------------------------------------------------------
 * Tags, members
 *-------------------------------------------------------------------------
 */

static void
untag(int node, int64_t number, void *pointer)
{
	node_of(node)->nosync = node_of(node)->nofailover = false;
	node_of(node)->replicatefrom = -1;
}

void
ha_mishap_tags(int node, int64_t how_long)
{
	SimNode    *n = node_of(node);

	/* as random as a draw, and moves no later one */
	int64_t		by_time = ha_world.now / SIM_MS;

	ha_sim_sometimes(SIM_TAGGED);
	n->nosync = ha_sim_chance(600);
	n->nofailover = !n->nosync || ha_sim_chance(300);
	n->failover_priority = (int) ha_sim_between(1, 2);
	if (by_time % 2 == 0)
	{
		n->replicatefrom = (int) (by_time / 2 % ha_world.nnodes);
		n->nosync &= by_time / 16 % 2 == 0;
		n->nofailover &= by_time / 32 % 2 == 0;
	}
	ha_sim_say(node, "FAULT is tagged%s%s%s%s", n->nosync ? " nosync" : "",
			   n->nofailover ? " nofailover" : "",
			   n->replicatefrom >= 0 ? " replicatefrom=" : "",
			   n->replicatefrom >= 0 ? node_of(n->replicatefrom)->name : "");
	ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, untag, 0, NULL);
}

/* A member that is no more, and that nobody removed: it seems to run for ever. */
void
ha_mishap_ghost(void)
{
	HaMember	m = {0};
	char	   *json;

	if (ghost)
		return;
	ghost = true;
	snprintf(m.name, sizeof(m.name), "ghost");
	snprintf(m.conn_url, sizeof(m.conn_url), "postgres://127.0.0.99:5432/x");
	snprintf(m.api_url, sizeof(m.api_url), "http://127.0.0.99:8008/patroni");
	snprintf(m.version, sizeof(m.version), HA_VERSION);
	m.state = HA_STATE_RUNNING;
	m.role = HA_ROLE_STANDBY;
	m.timeline = ha_store_view()->term.timeline;
	m.lsn = ha_store_view()->heartbeat.lsn;
	m.failover_priority = 1;
	ha_sim_sometimes(SIM_GHOST);
	ha_sim_say(-1, "FAULT a member that is no more seems to run");
	json = ha_member_json(&m);
	ha_store_put("members/ghost", json);
	free(json);
}

/* The same of a node that will tell again once it is back. */
void
ha_mishap_pin(int node)
{
	char		key[HA_KEY_SIZE];

	ha_sim_sometimes(SIM_GHOST);
	snprintf(key, sizeof(key), "members/%s", node_of(node)->name);
	ha_store_pin(key);
}

/*-------------------------------------------------------------------------
 * The store
 *-------------------------------------------------------------------------
 */

static void
elected(int node, int64_t number, void *pointer)
{
	if (ha_store_is_up())
		return;
	ha_sim_say(-1, "the store has a new leader");
	ha_store_set_up(true, true);
}

/*
 * The store loses its leader for a moment.  Who is connected to that one still
 * has its leases confirmed, and may be so for a while longer than the election
 * takes; the new one gives every lease its whole time again.
 */
void
ha_mishap_store_election(int64_t how_long)
{
	int64_t		over = ha_world.now + ha_sim_between(20, 1500) * SIM_MS;

	if (!ha_store_is_up())
		return;
	ha_sim_say(-1, "FAULT the store elects a new leader of its own");
	ha_store_set_up(false, false);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (!ha_sim_chance(400))
			continue;
		node_of(i)->network.stale = true;
		ha_store_break_watches(i);
		ha_sim_at(over + ha_sim_between(0, how_long), SIM_WORLD, i,
				  reach_again, 0, NULL);
	}
	ha_sim_at(over, SIM_WORLD, -1, elected, 0, NULL);
}

/*-------------------------------------------------------------------------
 * Beginning and end
 *-------------------------------------------------------------------------
 */

void
ha_mishaps_begin(void)
{
	ambushed = 0;
	ghost = false;
}

/* What is left of all that at a node ends; a ghost stays, it must not matter. */
void
ha_mishaps_end(int node)
{
	ambushed = 0;
	untag(node, 0, NULL);
}
