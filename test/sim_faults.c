/*-------------------------------------------------------------------------
 *
 * sim_faults.c
 *	  What goes wrong in a history, and the end of all that.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../election.h"
#include "../cluster_json.h"
#include "sim.h"

static const char *
name_of(int node)
{
	return ha_world.nodes[node].name;
}

/* Mostly whoever leads: there it hurts. */
static int
victim(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);

	if (leader >= 0 && ha_sim_chance(500))
		return leader;
	return (int) ha_sim_between(0, ha_world.nnodes - 1);
}

static int64_t
duration(void)
{
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	return ha_sim_chance(300) ? ha_sim_about(ttl / 10) :
		ha_sim_chance(700) ? ha_sim_about(ttl) : ha_sim_about(3 * ttl);
}

static void
end_cut(int node, int64_t number, void *pointer)
{
	SimNetwork *network = &ha_world.nodes[node].network;

	network->cut_in = network->cut_out = network->stale = false;
	ha_sim_say(node, "reaches the store again");
}

static void
fault_cut(void)
{
	int			node = victim();
	int			how = (int) ha_sim_between(0, 3);
	SimNetwork *network = &ha_world.nodes[node].network;

	network->cut_out = how != 1;
	network->cut_in = how != 2;
	ha_sim_say(node, "FAULT is cut from the store (%s)",
			   how == 1 ? "answers" : how == 2 ? "requests" : "both ways");
	if (ha_sim_chance(300))
		ha_store_break_watches(node);
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, end_cut, 0, NULL);
}

static void
fault_stale(void)
{
	int			node = victim();

	ha_world.nodes[node].network.stale = true;
	ha_sim_say(node, "FAULT is connected to a stale member of the store");
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, end_cut, 0, NULL);
}

static void
end_noise(int node, int64_t number, void *pointer)
{
	ha_world.nodes[node].network.drop = 0;
	ha_world.nodes[node].network.slow = 0;
	ha_world.nodes[node].network.duplicate = 0;
}

static void
fault_noise(void)
{
	int			node = victim();

	ha_world.nodes[node].network.drop = ha_sim_chance(700) ?
		(int) ha_sim_between(10, 400) : 0;
	ha_world.nodes[node].network.slow = (int) ha_sim_between(10, 400);
	ha_world.nodes[node].network.duplicate = ha_sim_chance(300) ?
		(int) ha_sim_between(10, 300) : 0;
	ha_sim_say(node, "FAULT loses %d and delays %d of 1000 messages",
			   ha_world.nodes[node].network.drop,
			   ha_world.nodes[node].network.slow);
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, end_noise, 0, NULL);
}

/* For the rest of the history: elections, where it matters, are rare. */
static void
fault_malice(void)
{
	int			node = (int) ha_sim_between(0, ha_world.nnodes - 1);

	ha_world.nodes[node].network.malicious = true;
	ha_sim_say(node, "FAULT from now on the network holds back what it likes");
}

static void
end_outage(int node, int64_t number, void *pointer)
{
	if (ha_store_is_up())
		return;
	ha_store_set_up(true, ha_sim_chance(700));
	ha_sim_say(-1, "the store is up again");
}

static void
fault_outage(void)
{
	ha_sim_say(-1, "FAULT the store is down");
	ha_store_set_up(false, false);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (ha_sim_chance(500))
			ha_store_break_watches(i);
	}
	ha_sim_at(ha_world.now + (ha_sim_chance(500) ? duration() :
							  ha_sim_about(SIM_SECOND)),
			  SIM_WORLD, -1, end_outage, 0, NULL);
}

static void
fault_watches(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT its watches break");
	ha_store_break_watches(node);
	if (ha_sim_chance(300))
		ha_store_compact();
}

static void
freeze(SimScope scope, const char *what)
{
	int			node = victim();
	int64_t		until = ha_world.now + duration();

	ha_sim_say(node, "FAULT %s is frozen for %.1f s", what,
			   (double) (until - ha_world.now) / SIM_SECOND);
	if (ha_world.nodes[node].frozen_until[scope] < until)
		ha_world.nodes[node].frozen_until[scope] = until;
}

static void
fault_freeze_worker(void)
{
	freeze(SIM_WORKER, "the worker");
}

static void
fault_freeze_machine(void)
{
	freeze(SIM_MACHINE, "the machine");
}

static void
fault_freeze_boot(void)
{
	freeze(SIM_BOOT, "pg_ha_boot");
}

/* The next recovery ends when the worker has given up, and does not know that. */
static void
recover_late(int node)
{
	SimNode    *n = &ha_world.nodes[node];

	n->recover_ms = ha_store_view()->config.primary_start_timeout +
		ha_sim_between(0, ha_world.shape.ttl / 2);
	n->network.hold_release = true;
}

static void
fault_kill_postmaster(void)
{
	int			node = victim();

	if (ha_sim_chance(300))
		recover_late(node);
	ha_sim_say(node, "FAULT kill -9 of the postmaster");
	ha_server_kill_postmaster(node);
}

static void
fault_kill_backend(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT kill -9 of a backend");
	ha_server_reset(node);
}

static void
fault_kill_worker(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT the worker ends with an error");
	if (!ha_world.nodes[node].server.postmaster_dead)
		ha_worker_kill(node);
}

static void
restart_boot(int node, int64_t number, void *pointer)
{
	if (ha_world.nodes[node].up &&
		ha_world.nodes[node].boot.state == SIM_BOOT_DEAD)
	{
		ha_sim_say(node, "pg_ha_boot starts again");
		ha_boot_begin(node, true);
	}
}

static void
fault_kill_boot(void)
{
	int			node = victim();

	if (!ha_world.nodes[node].up)
		return;
	ha_sim_say(node, "FAULT kill -9 of pg_ha_boot");
	ha_boot_kill(node);
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, restart_boot, 0,
			  NULL);
	if (ha_sim_chance(300))
	{
		ha_sim_say(node, "FAULT ... and of the postmaster");
		ha_server_kill_postmaster(node);
	}
}

static void
power_on(int node, int64_t number, void *pointer)
{
	if (!ha_world.nodes[node].up)
		ha_sim_say(node, "the machine starts");
	ha_node_power_on(node);
}

static void
fault_power(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT the machine loses power");
	ha_node_crash(node);
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, power_on, 0, NULL);
}

static void
start_again(int node, int64_t number, void *pointer)
{
	if (ha_world.nodes[node].boot.state == SIM_BOOT_STOPPED)
	{
		ha_sim_say(node, "pg_ha_boot is started");
		ha_boot_begin(node, false);
	}
}

static void
fault_stop(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT the operator stops this node");
	ha_boot_ask_to_stop(node);
	ha_sim_at(ha_world.now + SIM_SECOND + duration(), SIM_WORLD, node,
			  start_again, 0, NULL);
}

static void
fault_switchover(void)
{
	const HaView *view = ha_store_view();
	int			to = (int) ha_sim_between(0, ha_world.nnodes - 1);
	char	   *json;

	if (!view->leader.present)
		return;
	ha_sim_say(to, "FAULT the operator wants it to lead instead of %s",
			   view->leader.name);
	json = ha_failover_json(ha_sim_chance(200) ? "" : view->leader.name,
							ha_sim_chance(200) ? "" : name_of(to));
	ha_store_put("failover", json);
	free(json);
}

static void
end_link(int node, int64_t other, void *pointer)
{
	ha_world.link_cut[node][other] = ha_world.link_cut[other][node] = false;
}

static void
fault_link(void)
{
	int			a = victim();
	int			b = (int) ha_sim_between(0, ha_world.nnodes - 1);

	ha_sim_say(a, "FAULT no connection to %s", name_of(b));
	ha_world.link_cut[a][b] = ha_world.link_cut[b][a] = true;
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, a, end_link, b, NULL);
}

static void
fault_stuck(void)
{
	int			node = (int) ha_sim_between(0, ha_world.nnodes - 1);

	ha_sim_say(node, "FAULT the startup process is stuck in a conflict");
	ha_world.nodes[node].server.startup_stuck_until =
		ha_world.now + 3 * duration();
}

static void
end_slow_reload(int node, int64_t number, void *pointer)
{
	ha_world.nodes[node].server.apply_slow = 0;
}

static void
fault_slow_reload(void)
{
	int			node = victim();

	ha_world.nodes[node].server.apply_slow = ha_sim_between(50, 2000) * SIM_MS;
	ha_sim_say(node, "FAULT processes are slow to reload");
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, node, end_slow_reload, 0,
			  NULL);
}

static void
fault_cancel(void)
{
	int			node = victim();

	ha_sim_say(node, "FAULT all waits for standbys are cancelled");
	ha_server_cancel_waits(node);
}

/* The configuration as the shape has it now. */
void
ha_faults_put_config(void)
{
	const SimShape *shape = &ha_world.shape;
	char		json[512];

	snprintf(json, sizeof(json),
			 "{\"ttl\":%g,\"loop_wait\":%g,\"retry_timeout\":%g,"
			 "\"primary_start_timeout\":%g,\"maximum_lag_on_failover\":%" PRId64
			 ",\"synchronous_mode\":%s,\"synchronous_mode_strict\":%s,"
			 "\"synchronous_node_count\":%d,\"pause\":%s,\"failsafe_mode\":%s%s}",
			 (double) shape->ttl / 1000, (double) shape->loop_wait / 1000,
			 (double) shape->retry_timeout / 1000,
			 (double) shape->primary_start_timeout / 1000,
			 shape->maximum_lag, !shape->sync ? "false" :
			 shape->quorum ? "\"quorum\"" : "true",
			 shape->strict ? "true" : "false", shape->sync_nodes,
			 shape->pause ? "true" : "false",
			 shape->failsafe ? "true" : "false",
			 shape->standby_cluster ?
			 ",\"standby_cluster\":{\"host\":\"source\"}" : "");
	ha_sim_say(-1, "configuration %s", json);
	ha_store_put("config", json);
}

void
ha_faults_choose_timing(SimShape *shape)
{
	static const int64_t timings[][3] = {
		{2000, 500, 750}, {3000, 1000, 1000}, {5000, 1000, 2000},
		{10000, 2000, 4000}, {30000, 10000, 10000},
	};
	int			i = ha_sim_chance(100) ? 4 : (int) ha_sim_between(0, 3);

	shape->ttl = timings[i][0];
	shape->loop_wait = timings[i][1];
	shape->retry_timeout = timings[i][2];
}

static void
fault_config(void)
{
	SimShape   *shape = &ha_world.shape;

	switch (ha_sim_between(0, 5))
	{
		case 0:
			shape->sync = !shape->sync;
			break;
		case 3:
			shape->quorum = !shape->quorum;
			break;
		case 1:
			shape->sync_nodes = 3 - shape->sync_nodes;
			break;
		case 2:
			shape->strict = !shape->strict;
			break;
		default:
			ha_faults_choose_timing(shape);
			break;
	}
	ha_faults_put_config();
}

static void
end_pause(int node, int64_t number, void *pointer)
{
	if (!ha_world.shape.pause)
		return;
	ha_world.shape.pause = false;
	ha_faults_put_config();
}

static void
fault_pause(void)
{
	ha_sim_sometimes(SIM_PAUSED);
	ha_world.shape.pause = true;
	ha_faults_put_config();
	ha_sim_at(ha_world.now + 3 * duration(), SIM_WORLD, -1, end_pause, 0, NULL);
}

static void
end_full(int node, int64_t number, void *pointer)
{
	if (!ha_world.healing)
		ha_store_set_full(false);
}

static void
fault_full(void)
{
	ha_sim_say(-1, "FAULT the store is full");
	ha_store_set_full(true);
	ha_sim_at(ha_world.now + duration(), SIM_WORLD, -1, end_full, 0, NULL);
}

static void
break_disk(int node, bool stalls, int64_t until)
{
	SimDisk    *disk = &ha_world.nodes[node].disk;

	if (!ha_disk_is_bad(node))
		disk->bad_since = ha_world.now;
	disk->bad_until = until;
	disk->stalls = stalls;
	ha_sim_say(node, "FAULT its disk %s for %.1f s",
			   stalls ? "stalls" : "takes no new files",
			   (double) (until - ha_world.now) / SIM_SECOND);
}

static void
fault_disk(void)
{
	break_disk(victim(), ha_sim_chance(700), ha_world.now + duration());
}

static void
cut(int node, int64_t how_long)
{
	ha_world.nodes[node].network.cut_out = true;
	ha_world.nodes[node].network.cut_in = true;
	ha_sim_say(node, "FAULT is cut from the store (both ways)");
	ha_store_break_watches(node);
	ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, end_cut, 0, NULL);
}

/* Worst while the leader can't know. */
static bool history_has(void (*happen) (void));

static void
fault_early_revoke(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (leader < 0)
		return;

	/* Shortly: then it is back when the others have voted but not elected. */
	if (ha_sim_chance(700))
		cut(leader, ha_sim_chance(500) ? duration() :
			ha_sim_between(ttl / 20, ttl / 2));
	ha_sim_say(-1, "FAULT the store drops the leader key early");
	if (ha_sim_chance(500))
		ha_store_revoke_leader();
	else
		ha_store_delete_leader();
}

/* For ever, or about as slow as it may be at most. */
static void
slow_promotion(int node)
{
	ha_sim_say(node, "FAULT its next promotion will be slow");
	ha_world.nodes[node].promote_ms = ha_sim_chance(500) ? 1000000 :
		ha_sim_chance(500) ? ha_sim_about(20000) :
		ha_promote_timeout(&ha_store_view()->config) +
		ha_sim_between(-500, 2000);
}

static void
fault_slow_promotion(void)
{
	slow_promotion((int) ha_sim_between(0, ha_world.nnodes - 1));
	if (ha_sim_chance(300))
		return;
	for (int i = 0; i < ha_world.nnodes; i++)
		slow_promotion(i);
	if (!history_has(fault_full))
		fault_early_revoke();
}

static void
second_vacancy(int old_leader, int64_t attempts, void *pointer)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);

	if (ha_world.healing || attempts > 200)
		return;
	if (leader < 0 || leader == old_leader)
	{
		ha_sim_at(ha_world.now + 50 * SIM_MS, SIM_WORLD, old_leader,
				  second_vacancy, attempts + 1, NULL);
		return;
	}
	ha_sim_say(-1, "FAULT the store drops the leader key again");
	cut(leader, duration());
	ha_store_delete_leader();
}

/*
 * Two elections in a row.  What a candidate sent in the first one arrives in
 * the second.
 */
static void
fault_two_elections(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);

	if (leader < 0)
		return;
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.nodes[i].network.hold_acquire = i != leader;
	ha_sim_say(-1, "FAULT the store drops the leader key early");
	cut(leader, 2 * ha_world.shape.ttl * SIM_MS);
	ha_store_delete_leader();
	ha_sim_at(ha_world.now + ha_world.shape.ttl * SIM_MS, SIM_WORLD, leader,
			  second_vacancy, 0, NULL);
}

static void
bring_back(int node, int64_t number, void *pointer)
{
	const HaView *view = ha_store_view();

	if (ha_world.healing || !view->term.present || view->term.intent ||
		view->term.foreign || view->leader.present)
		return;
	ha_sim_say(-1, "FAULT the operator puts the leader key for %s",
			   view->term.owner);
	ha_store_put_leader(view->term.owner, 0);
}

static void
vacate(int old_leader, int64_t number, void *pointer)
{
	if (ha_world.healing ||
		ha_sim_node_named(ha_store_view()->leader.name) != old_leader)
		return;
	ha_sim_say(-1, "FAULT the store drops the leader key again");
	cut(old_leader, duration());
	ha_store_delete_leader();
}

/*
 * The operator brings the key back for whoever led last, mostly when the others
 * have voted already, or believe so.  A vote that is held back finds the key gone
 * once more.
 */
static void
fault_hand(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;
	int64_t		later = ha_sim_between(ttl / 20, ttl / 2);

	if (leader >= 0)
	{
		cut(leader, later + ha_sim_about(ttl / 10));
		ha_sim_say(-1, "FAULT the operator deletes the leader key");
		ha_store_delete_leader();
	}
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.nodes[i].network.hold_vote = i != leader && ha_sim_chance(500);
	ha_sim_at(ha_world.now + later, SIM_WORLD, -1, bring_back, 0, NULL);
	if (leader >= 0)
		ha_sim_at(ha_world.now + later + ha_sim_about(2 * ttl), SIM_WORLD,
				  leader, vacate, 0, NULL);
}

static void
end_worker(int node, int64_t number, void *pointer)
{
	if (ha_world.healing || ha_world.nodes[node].server.postmaster_dead)
		return;
	ha_sim_say(node, "FAULT the worker ends with an error");
	ha_worker_kill(node);
}

/*
 * The key goes once more, when its owner has put it anew and has not yet read whether
 * somebody else had it meanwhile.
 */
static void
unchecked_vacancy(int owner, int64_t attempts, void *pointer)
{
	const SimWorker *worker = &ha_world.nodes[owner].worker;

	if (ha_world.healing || attempts > 10000)
		return;
	if (!worker->running || !worker->lease.holding ||
		worker->lease.reign_checked || worker->lease.reign_lost)
	{
		ha_sim_at(ha_world.now + SIM_MS, SIM_WORLD, owner,
				  unchecked_vacancy, attempts + 1, NULL);
		return;
	}
	ha_sim_sometimes(SIM_UNCHECKED);
	ha_sim_say(-1, "FAULT the store drops the leader key before it is checked");
	cut(owner, ha_sim_about(ha_world.shape.ttl * SIM_MS / 4));
	ha_store_delete_leader();
}

/*
 * Somebody else leads for a while, who is no pg_ha and writes no term, and the
 * leader does not see it.
 */
static void
fault_foreign(void)
{
	const HaView *view = ha_store_view();
	int			leader = ha_sim_node_named(view->leader.name);
	int64_t		ttl = ha_sim_between(1, 2) * 1000;

	if (leader < 0 || !view->term.present || view->term.intent)
		return;
	cut(leader, ttl * SIM_MS + ha_sim_about(SIM_SECOND));
	ha_store_delete_leader();
	ha_sim_say(-1, "FAULT a foreign member leads");
	ha_store_put_leader("foreign", ttl);

	/* a worker that was not there then has seen nothing of it */
	if (ha_sim_chance(500))
		ha_sim_at(ha_world.now + ha_sim_between(0, ttl) * SIM_MS, SIM_WORLD,
				  leader, end_worker, 0, NULL);

	/* then the key is as it was, but for its revision and its lease */
	if (ha_sim_chance(500))
	{
		int64_t		back = ha_world.now + ttl * SIM_MS + ha_sim_about(SIM_SECOND);

		ha_sim_at(back, SIM_WORLD, -1, bring_back, 0, NULL);

		/* as random as a draw, and moves no later one */
		if (back / SIM_MS % 2 == 0)
			ha_sim_at(back, SIM_WORLD, leader, unchecked_vacancy, 0, NULL);
	}
}

/* Those whose attempt at the key is held back know nothing of what follows. */
static void
cut_held(int old_leader, int64_t number, void *pointer)
{
	if (ha_world.healing)
		return;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (i != old_leader && !ha_world.nodes[i].network.hold_acquire)
			cut(i, 4 * ha_world.shape.ttl * SIM_MS);
	}
}

/*
 * An election that comes to nothing since the key is given back, after which the
 * same term goes on with other synchronous standbys; then the key goes again, and
 * what a candidate of that election sent arrives.
 */
static void
fault_old_sync(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (leader < 0)
		return;
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.nodes[i].network.hold_acquire = i != leader;
	ha_sim_say(-1, "FAULT the store drops the leader key early");
	cut(leader, 16 * ttl / 10);
	ha_store_delete_leader();
	ha_sim_at(ha_world.now + 15 * ttl / 10, SIM_WORLD, -1, bring_back, 0, NULL);
	ha_sim_at(ha_world.now + 15 * ttl / 10, SIM_WORLD, leader, cut_held, 0,
			  NULL);
	ha_sim_at(ha_world.now + 3 * ttl + ha_sim_about(ttl), SIM_WORLD, leader,
			  vacate, 0, NULL);
}

/*
 * A switchover whose target's attempt is held back: the key is given back, goes
 * again, and what the target sent in view of the first end arrives.
 */
static void
fault_old_end(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (leader < 0)
		return;
	fault_switchover();
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.nodes[i].network.hold_acquire = i != leader;
	for (int i = 1; i <= 4; i++)
		ha_sim_at(ha_world.now + i * ttl / 2, SIM_WORLD, -1, bring_back, 0,
				  NULL);
}

static void
kill_at(int node, int64_t number, void *pointer)
{
	if (ha_world.healing || ha_world.nodes[node].server.state != SIM_PRIMARY)
		return;
	ha_sim_say(node, "FAULT kill -9 of the postmaster");
	ha_server_kill_postmaster(node);
}

/* The leader crashes when nobody else seems to be there. */
static void
fault_alone(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (leader < 0)
		return;
	ha_sim_say(-1, "FAULT kill -9 of every pg_ha_boot but the leader's");
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (i == leader || !ha_world.nodes[i].up)
			continue;
		ha_boot_kill(i);
		ha_sim_at(ha_world.now + 2 * ttl, SIM_WORLD, i, restart_boot, 0, NULL);
	}
	ha_sim_at(ha_world.now + ttl + ha_sim_about(ttl / 2), SIM_WORLD, leader,
			  kill_at, 0, NULL);
}

static void
end_receiver(int node, int64_t number, void *pointer)
{
	if (!ha_world.healing)
		ha_server_drop_receiver(node);
}

static void
fault_flapping(void)
{
	ha_sim_say(-1, "FAULT walreceivers come and go");
	for (int i = 0; i < 20; i++)
		ha_sim_at(ha_world.now + ha_sim_between(0, 5000) * SIM_MS, SIM_WORLD,
				  (int) ha_sim_between(0, ha_world.nnodes - 1), end_receiver,
				  0, NULL);
}

static void
set_sync_mode(int node, int64_t sync, void *pointer)
{
	if (ha_world.healing)
		return;
	ha_world.shape.sync = sync;
	ha_faults_put_config();
}

/*
 * Nobody knows what became of a write of /sync, and meanwhile the mode ends or
 * other standbys come.
 */
static void
fault_mode_ends(void)
{
	bool		ends = ha_sim_chance(500);
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (leader < 0)
		return;
	set_sync_mode(-1, true, NULL);
	ha_world.nodes[leader].network.hold_sync = true;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (i != leader && ha_sim_chance(500))
			ha_server_drop_receiver(i);
	}
	for (int i = 0; i < ha_world.nnodes && !ends; i++)
	{
		if (i != leader)
			ha_sim_at(ha_world.now + ha_sim_about(ttl / 2), SIM_WORLD, i,
					  end_receiver, 0, NULL);
	}
	if (ends)
		ha_sim_at(ha_world.now + ha_sim_about(ttl / 2), SIM_WORLD, -1,
				  set_sync_mode, false, NULL);
	ha_sim_at(ha_world.now + ttl / 2 + ha_sim_about(ttl), SIM_WORLD, -1,
			  set_sync_mode, true, NULL);
}

/*
 * The leader key goes while the store has no leader either.
 */
static void
fault_store_election(void)
{
	if (ha_sim_chance(300))
		fault_early_revoke();
	ha_mishap_store_election(duration());
}

static void
fault_tags(void)
{
	ha_mishap_tags((int) ha_sim_between(0, ha_world.nnodes - 1),
				   3 * duration());
}

static void
fault_ghost(void)
{
	int			node = (int) ha_sim_between(0, ha_world.nnodes - 1);

	if (ha_world.nodes[node].up)
		ha_mishap_ghost();
	else
		ha_mishap_pin(node);
}

static void
fault_ambush(void)
{
	ha_mishap_ambush();
}

static const struct
{
	void		(*happen) (void);
	int			per_mille;		/* of the histories that have it */
}			faults[] =

{
	{fault_cut, 600},
	{fault_stale, 300},
	{fault_noise, 500},
	{fault_outage, 400},
	{fault_watches, 300},
	{fault_freeze_worker, 400},
	{fault_freeze_machine, 400},
	{fault_freeze_boot, 200},
	{fault_kill_postmaster, 400},
	{fault_kill_backend, 300},
	{fault_kill_worker, 200},
	{fault_kill_boot, 300},
	{fault_power, 400},
	{fault_stop, 300},
	{fault_switchover, 400},
	{fault_link, 400},
	{fault_stuck, 300},
	{fault_slow_reload, 300},
	{fault_slow_promotion, 400},
	{fault_cancel, 200},
	{fault_config, 200},
	{fault_pause, 100},
	{fault_full, 100},
	{fault_early_revoke, 300},
	{fault_hand, 100},
	{fault_foreign, 100},
	{fault_flapping, 250},
	{fault_alone, 200},
	{fault_malice, 300},
	{fault_two_elections, 200},
	{fault_mode_ends, 150},
	{fault_store_election, 250},
	{fault_tags, 250},
	{fault_ghost, 100},
	{fault_ambush, 350},
	{fault_old_sync, 100},
	{fault_old_end, 150},
	{fault_disk, 300},
};

#define NFAULTS ((int) (sizeof(faults) / sizeof(faults[0])))

#define KIND(i) (UINT64_C(1) << (i))

static bool
history_has(void (*happen) (void))
{
	for (int i = 0; i < NFAULTS; i++)
	{
		if (faults[i].happen == happen)
			return (ha_world.shape.faults & KIND(i)) != 0;
	}
	return false;
}

_Static_assert(NFAULTS <= 64, "a mask of kinds has 64 bits");

void
ha_faults_next(int node, int64_t number, void *pointer)
{
	int			kind = (int) ha_sim_between(0, NFAULTS - 1);

	if (ha_world.healing)
		return;
	if (ha_world.shape.faults & KIND(kind))
	{
		faults[kind].happen();
		ha_sim_at(ha_world.now + ha_sim_about(ha_world.shape.fault_gap),
				  SIM_WORLD, -1, ha_faults_next, 0, NULL);
	}
	else
		ha_sim_at(ha_world.now + 1, SIM_WORLD, -1, ha_faults_next, 0, NULL);
}

/* All of it ends, and what is down starts. */
void
ha_faults_end(void)
{
	ha_sim_say(-1, "all faults end");
	ha_world.healing = true;
	ha_sim_thaw_all();
	if (!ha_store_is_up())
		ha_store_set_up(true, true);
	ha_store_set_full(false);
	ha_failsafe_end_faults();
	memset(ha_world.link_cut, 0, sizeof(ha_world.link_cut));
	end_pause(-1, 0, NULL);
	ha_standby_cluster_end();
	ha_patroni_end();
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		SimNode    *n = &ha_world.nodes[i];

		memset(&n->network, 0, sizeof(n->network));
		memset(&n->disk, 0, sizeof(n->disk));
		n->server.apply_slow = 0;
		n->server.startup_stuck_until = 0;
		n->promote_ms = 50;
		ha_mishaps_end(i);
		if (i == ha_world.lost_node)
		{
			ha_node_crash(i);
			continue;
		}
		ha_server_hurry(i);
		power_on(i, 0, NULL);
		restart_boot(i, 0, NULL);
		n->boot.stop_requested = false;
		start_again(i, 0, NULL);
	}
}

/* The one that was left out comes back, too. */
void
ha_faults_end_loss(void)
{
	int			node = ha_world.lost_node;

	ha_world.lost_node = -1;
	if (node >= 0)
		power_on(node, 0, NULL);
}

static void
break_leaders_disk(int leader, int64_t number, void *pointer)
{
	break_disk(leader, false, INT64_MAX);
}

/*
 * The cluster is whole.  In some histories a disk breaks now and stays so: one that
 * the leader can't do without, and somebody else is to lead; every one, or the
 * leader's while the store takes no writes, and then nobody else could.
 */
void
ha_faults_last(void)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int			kind = (int) ha_sim_between(0, 9);

	if (leader < 0)
		return;

	/* a worker that still stands where a fault has stopped it tells nothing */
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (ha_world.nodes[i].worker.acting)
			return;
	}
	if (kind == 0 && ha_world.nnodes > 2)
		break_disk(leader, true, INT64_MAX);
	else if (kind == 1)
	{
		for (int i = 0; i < ha_world.nnodes; i++)
			break_disk(i, false, INT64_MAX);
	}
	else if (kind == 2)
	{
		ha_sim_say(-1, "FAULT the store is full");
		ha_store_set_full(true);
		ha_sim_at(ha_world.now + 2 * ha_world.shape.ttl * SIM_MS, SIM_WORLD,
				  leader, break_leaders_disk, 0, NULL);
	}
}

/*
 * A full store takes no heartbeats, without which E1 is off: then a lease must
 * not end early, nor be confirmed by a member that knows no better.
 */
static bool
needs_heartbeat(int kind)
{
	return faults[kind].happen == fault_stale ||
		faults[kind].happen == fault_store_election ||
		faults[kind].happen == fault_early_revoke ||
		faults[kind].happen == fault_two_elections ||
		faults[kind].happen == fault_old_sync ||
		faults[kind].happen == fault_hand ||
		faults[kind].happen == fault_foreign;
}

/* Which kinds a history has, as a mask. */
uint64_t
ha_faults_choose(void)
{
	uint64_t	chosen = 0;
	bool		full = false;

	for (int i = 0; i < NFAULTS; i++)
	{
		if (ha_sim_chance(faults[i].per_mille))
			chosen |= KIND(i);
		if (faults[i].happen == fault_full)
			full = (chosen >> i) & 1;
	}
	for (int i = 0; i < NFAULTS && full; i++)
	{
		if (needs_heartbeat(i))
			chosen &= ~KIND(i);
	}
	return chosen != 0 ? chosen : 1;
}
