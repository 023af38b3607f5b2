/*-------------------------------------------------------------------------
 *
 * sim_standby_cluster.c
 *	  A cluster that is a standby cluster for a while.
 *
 * In some histories an operator makes a standby cluster of this one, and a cluster of
 * its own again when it has a leader, as pg_ha_promote_cluster() wants it.  Its source
 * is out of reach all the time: nothing comes from there, and nobody is rewound from
 * it.  What was acknowledged before is given up, as an operator does who demotes a
 * cluster; every other promise holds on, and there must be a leader in the end.
 *
 * Which histories these are follows from the seed alone, so that all others are what
 * they were.
 *
 *-------------------------------------------------------------------------
 */
#include "sim.h"

#define ONE_IN			11
#define THIS_ONE		3

/* Until the operator has another mind, and looks again; microseconds. */
#define MEAN_TIME		(15 * SIM_SECOND)
#define LOOK_AGAIN		(500 * SIM_MS)

static void turn_back(int node, int64_t number, void *pointer);

static void
turn(int node, int64_t number, void *pointer)
{
	if (ha_world.healing)
		return;
	ha_sim_sometimes(SIM_STANDBY_CLUSTER);
	ha_world.shape.standby_cluster = true;
	ha_faults_put_config();
	ha_sim_at(ha_world.now + ha_sim_about(MEAN_TIME), SIM_WORLD, -1, turn_back,
			  0, NULL);
}

static void
turn_back(int node, int64_t number, void *pointer)
{
	const HaView *view = ha_store_view();

	if (!ha_world.shape.standby_cluster)
		return;
	if (!view->leader.present || !view->term.standby || view->term.intent)
	{
		ha_sim_at(ha_world.now + LOOK_AGAIN, SIM_WORLD, -1, turn_back, 0, NULL);
		return;
	}
	ha_sim_sometimes(SIM_CLUSTER_PROMOTED);
	ha_world.shape.standby_cluster = false;
	ha_faults_put_config();
	ha_sim_at(ha_world.now + ha_sim_about(MEAN_TIME), SIM_WORLD, -1, turn, 0,
			  NULL);
}

void
ha_standby_cluster_begin(void)
{
	if (ha_world.seed % ONE_IN == THIS_ONE)
		ha_sim_at(ha_world.now + ha_sim_about(MEAN_TIME), SIM_WORLD, -1, turn,
				  0, NULL);
}

void
ha_standby_cluster_end(void)
{
	turn_back(-1, 0, NULL);
}

/*
 * After each decision: what was decided, by a member that knows of the section?  In a
 * pause nobody is demoted, but that opens no gate.
 */
void
ha_standby_cluster_check(int node)
{
	const SimWorker *w = &ha_world.nodes[node].worker;
	const HaConfig *config = &w->lease.view.config;

	if (!w->lease.view.valid || !config->standby_cluster.active)
		return;
	if (w->plan.verb == HA_PROMOTE)
		ha_sim_fail("S-19: %s is promoted in a standby cluster",
					ha_world.nodes[node].name);
	if (w->plan.lead || ha_sim_clock(node) < ha_lease_deadline(&w->lease))
		ha_sim_fail("S-19: the gate of %s is open in a standby cluster",
					ha_world.nodes[node].name);
}
