/*-------------------------------------------------------------------------
 *
 * sim_boot.c
 *	  pg_ha_boot, and the life of a node as a whole.
 *
 * A model of what boot/ does with the leader key and the server, around the real
 * boot/leader.c and ha_decide_start().
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../election.h"
#include "../start.h"
#include "../boot/leader.h"
#include "../cluster_json.h"
#include "../config_values_json.h"
#include "../member_json.h"
#include "../rules.h"
#include "sim.h"

/* As in boot/. */
#define TICK				200
#define CLEARING_TICK		10
#define WORKER_LAST_ACT		500
#define STOP_WAIT_MIN		5000
#define QUIT_WAIT			10000
#define SOON				300
#define DCS_START_TIMEOUT	30000
#define CRASH_MEMORY		60000

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

/*-------------------------------------------------------------------------
 * pg_ha_boot: the member key
 *-------------------------------------------------------------------------
 */

static uint32_t
boot_send(int node, SimClient client, HaRequest *request)
{
	SimBoot    *b = &node_of(node)->boot;

	request->tag = ++b->last_tag;
	request->timeout = later(b->view.config.retry_timeout / 2, 300);
	ha_store_send(node, client, request);
	return b->last_tag;
}

static char *
member_text(int node)
{
	SimNode    *n = node_of(node);
	HaMember	m = {0};
	bool		runs = n->boot.member_state == HA_STATE_RUNNING;

	memcpy(m.name, n->name, HA_NAME_SIZE);
	m.state = n->boot.member_state;
	m.role = runs ? n->control.role : HA_ROLE_STANDBY;
	m.standby_leader = runs && n->worker.running &&
		m.role == HA_ROLE_STANDBY && n->worker.lease.holding &&
		n->worker.lease.view.term.standby;
	snprintf(m.conn_url, sizeof(m.conn_url),
			 "postgres://127.0.0.%d:5432/postgres", node + 1);
	if (ha_failsafe_has_api(node))
		snprintf(m.api_url, sizeof(m.api_url),
				 "http://127.0.0.%d:8008/patroni", node + 1);
	snprintf(m.version, sizeof(m.version), HA_VERSION);
	snprintf(m.identity, sizeof(m.identity), "%d", node);
	m.failover_priority = n->failover_priority;
	m.sync_priority = 1;
	m.nosync = n->nosync;
	if (n->replicatefrom >= 0)
		memcpy(m.replicatefrom, node_of(n->replicatefrom)->name,
			   HA_NAME_SIZE);
	m.nofailover = n->nofailover;
	if (runs)
	{
		m.timeline = n->control.timeline;
		m.lsn = n->control.flush_lsn;
		m.replay_lsn = n->control.replay_lsn;
		m.streaming = n->control.streaming;
		m.sick = n->control.sick;
	}
	return ha_member_json(&m);
}

/* As a look would have told it, which the product takes before it puts. */
static int64_t
member_revision(const char *name)
{
	const HaView *view = ha_store_view();

	for (int i = 0; i < view->nmembers; i++)
	{
		if (strcmp(view->members[i].name, name) == 0)
			return view->members[i].mod_revision;
	}
	return 0;
}

static void
member_step(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	int64_t		now = ha_sim_clock(node);
	HaRequest	request = {0};
	char		key[HA_KEY_SIZE];
	char		told[sizeof(b->member_told)];

	if (b->member_tag != 0 || now < b->member_due)
		return;
	b->member_due = now + b->view.config.ttl / 3;
	if (b->member_lease == 0)
	{
		request.kind = HA_DCS_GRANT;
		request.ttl = b->view.config.ttl;
	}
	else if (now - b->member_told_at > b->view.config.loop_wait ||
			 b->member_told_at == 0)
	{
		snprintf(key, sizeof(key), "members/%s", n->name);
		request.kind = HA_DCS_TXN;
		ha_txn_compare(&request.txn, HA_MOD_REVISION, key,
					   member_revision(n->name));
		ha_txn_put(&request.txn, key, member_text(node), b->member_lease);
		snprintf(told, sizeof(told), "%s", request.txn.success[0].value);
		memcpy(b->member_told, told, sizeof(told));
		b->member_told_at = now;
		b->member_due = now;
	}
	else
	{
		request.kind = HA_DCS_KEEPALIVE;
		request.lease = b->member_lease;
	}
	b->member_tag = boot_send(node, SIM_CLIENT_MEMBER, &request);
}

static void
member_answer(int node, const HaAnswer *answer)
{
	SimBoot    *b = &node_of(node)->boot;

	if (answer->tag != b->member_tag)
		return;
	b->member_tag = 0;
	if (answer->kind == HA_DCS_GRANT && answer->status == HA_DCS_OK)
	{
		b->member_lease = answer->lease;
		b->member_told_at = 0;
		b->member_due = 0;
	}
	else if (answer->nospace)
		return;					/* the lease can be renewed all the same */
	else if (answer->status == HA_DCS_REFUSED ||
			 (answer->kind == HA_DCS_KEEPALIVE &&
			  answer->status == HA_DCS_OK && answer->ttl == 0))
	{
		b->member_lease = 0;
		b->member_due = ha_sim_clock(node) + SOON;
	}
	else if (answer->status == HA_DCS_UNKNOWN ||
			 (answer->kind == HA_DCS_TXN && !answer->succeeded))
		b->member_told_at = 0;
}

/* Tell a new state at once. */
static void
set_member_state(int node, HaMemberState state)
{
	SimBoot    *b = &node_of(node)->boot;

	if (b->member_state == state)
		return;
	b->member_state = state;
	b->member_told_at = 0;
	b->member_due = 0;
}

/*-------------------------------------------------------------------------
 * pg_ha_boot: the leader key, while the server is down (boot/leader.c)
 *-------------------------------------------------------------------------
 */

static bool
key_is_ours(int node)
{
	const SimNode *n = node_of(node);

	return !n->control.lost &&
		ha_leader_is_us(&n->boot.view, &n->control.lease, n->name,
						n->boot.reput_is_open);
}

static bool
others_may_lead(int node)
{
	return ha_others_may_lead(&node_of(node)->boot.view,
							  node_of(node)->name);
}

static int
copy_source(int node)
{
	const HaMember *source = ha_leader_source(&node_of(node)->boot.view,
											  node_of(node)->name);

	return source != NULL ? ha_sim_node_named(source->name) : -1;
}

static HaStart
decide_start(int node, bool reaped, char *why, size_t whylen)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	int64_t		now = ha_sim_clock(node);
	HaStartFacts facts = {0};

	facts.stop_requested = b->stop_requested || b->purpose == HA_WANT_STOP;
	facts.demote_wanted = b->purpose != HA_WANT_NOTHING;
	facts.crashed = b->crashed;
	facts.was_primary = n->server.wrote;
	facts.reaped = reaped;
	facts.key_is_ours = key_is_ours(node);
	facts.others_may_lead = others_may_lead(node);
	facts.synchronous = ha_leader_is_synchronous(&b->view, n->name);
	facts.primary_start_timeout = b->view.config.primary_start_timeout;
	for (int i = 0; i < 4; i++)
	{
		if (b->crashes[i] != 0 && now - b->crashes[i] < CRASH_MEMORY)
			facts.crashes++;
	}
	if (facts.key_is_ours && b->release_is_open && reaped)
		return HA_START_RELEASE;
	return ha_decide_start(&facts, why, whylen);
}

/*-------------------------------------------------------------------------
 * pg_ha_boot: its states (boot/supervise.c, boot/rejoin.c)
 *-------------------------------------------------------------------------
 */

static void
boot_enter(int node, SimBootState state)
{
	SimBoot    *b = &node_of(node)->boot;

	b->state = state;
	b->entered_at = ha_sim_clock(node);
	b->tag = b->keep_tag = 0;
	b->look_at = 0;
}

static void
start_server(int node, bool as_primary)
{
	SimBoot    *b = &node_of(node)->boot;

	boot_enter(node, SIM_BOOT_SERVING);
	b->child = true;
	b->purpose = HA_WANT_NOTHING;
	set_member_state(node, HA_STATE_STARTING);
	ha_server_start(node, as_primary);
}

static void
send_keepalive(int node)
{
	SimNode    *n = node_of(node);
	HaRequest	request = {0};

	request.kind = HA_DCS_KEEPALIVE;
	request.lease = n->control.lease.lease;
	n->boot.keep_tag = boot_send(node, SIM_CLIENT_BOOT, &request);
	memset(&n->boot.keep_answer, 0, sizeof(n->boot.keep_answer));
}

static void
send_txn(int node, HaTxn *txn)
{
	SimBoot    *b = &node_of(node)->boot;
	HaRequest	request = {0};

	request.kind = HA_DCS_TXN;
	request.txn = *txn;
	b->tag = boot_send(node, SIM_CLIENT_BOOT, &request);
	memset(&b->answer, 0, sizeof(b->answer));
}

static void
begin_stop(int node, HaWant purpose)
{
	SimBoot    *b = &node_of(node)->boot;
	int64_t		now = ha_sim_clock(node);

	boot_enter(node, SIM_BOOT_STOPPING);
	b->purpose = purpose;
	if (purpose == HA_WANT_REWIND)
		b->rewind_wanted = true;
	b->stop_next_at = now + later(2 * b->view.config.ttl, STOP_WAIT_MIN);
	set_member_state(node, HA_STATE_STOPPING);
	if (purpose != HA_WANT_YIELD)
	{
		ha_server_stop(node);
		return;
	}
	ha_sim_sometimes(SIM_YIELDED);
	b->yielded = true;
	ha_check_yield(node);
	ha_server_quit(node);
}

/* The postmaster has ended; others of its processes may be left. */
void
ha_boot_server_ended(int node, bool asked)
{
	SimBoot    *b = &node_of(node)->boot;

	if (b->state != SIM_BOOT_SERVING && b->state != SIM_BOOT_STOPPING)
		return;
	b->crashed = !asked;
	b->died_at = ha_sim_clock(node);
	b->keeping = false;
	set_member_state(node, asked ? HA_STATE_STOPPED : HA_STATE_CRASHED);
	if (node_of(node)->server.state == SIM_PRIMARY)
		node_of(node)->server.standby_signal = true;
	if (b->crashed && node_of(node)->server.wrote)
	{
		memmove(b->crashes + 1, b->crashes, 3 * sizeof(b->crashes[0]));
		b->crashes[0] = b->died_at;
	}
	boot_enter(node, SIM_BOOT_CLEARING);
	ha_boot_wake(node, ha_sim_about(2 * SIM_MS));
}

static void
step_clearing(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	int64_t		now = ha_sim_clock(node);
	char		why[HA_WHY_SIZE];
	bool		reaped = false;

	if (b->child || n->server.state == SIM_DOWN)
	{
		ha_server_end(node, false);
		if (n->worker.running && now >= b->died_at + WORKER_LAST_ACT)
			ha_worker_kill(node);
		reaped = !n->worker.running;
		if (reaped)
			n->control.deadline = 0;
		if (n->control.lost && b->crashed)
			reaped = now > b->died_at + later(b->view.config.ttl,
											  b->view.heartbeat.ttl);
	}
	else
		reaped = now > n->control.deadline;
	if (decide_start(node, reaped, why, sizeof(why)) == HA_START_NOT &&
		!reaped)
		return;
	boot_enter(node, SIM_BOOT_LOOK);
}

static void
reput(int node)
{
	SimNode    *n = node_of(node);
	HaTxn		txn;

	n->control.lease.owner = HA_LEASE_BOOT;
	ha_txn_reput(&txn, &n->boot.view, &n->control.lease, n->name);
	boot_enter(node, SIM_BOOT_REPUT);
	send_keepalive(node);
	send_txn(node, &txn);
}

static void
step_reput(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	bool		put = b->answer.status == HA_DCS_OK && b->answer.succeeded;
	bool		alive = b->keep_answer.status == HA_DCS_OK &&
	b->keep_answer.ttl > 0;

	if (b->tag != 0 || b->keep_tag != 0)
		return;
	if (b->answer.status == HA_DCS_UNKNOWN)
		b->reput_is_open = true;
	if (put)
	{
		b->reput_is_open = b->release_is_open = false;
		n->control.lease.key_revision = b->answer.revision;
		n->control.lease.holding = true;
		if (alive && !b->stop_requested)
		{
			b->keeping = true;
			b->keep_since = b->died_at;
			b->keep_at = ha_sim_clock(node) + n->control.lease.ttl / 5;
			ha_sim_sometimes(SIM_IN_PLACE);
			start_server(node, true);
			return;
		}
	}
	boot_enter(node, SIM_BOOT_LOOK);
	b->look_at = b->entered_at + SOON;
}

static void
release(int node)
{
	SimNode    *n = node_of(node);
	const SimServer *server = &n->server;
	HaTxn		txn = {0};
	uint64_t	lsn = server->clean && server->wrote ? server->checkpoint :
	n->control.lease.safe_lsn;

	n->control.lease.owner = HA_LEASE_BOOT;
	ha_txn_release(&txn, n->name, n->boot.view.leader.mod_revision,
				   n->control.lease.lease, n->control.lease.term,
				   n->control.lease.ttl, lsn, !server->clean);
	boot_enter(node, SIM_BOOT_RELEASE);
	send_txn(node, &txn);
	ha_sim_say(node, "releases the leader key at %llu",
			   (unsigned long long) lsn);
}

static void
step_release(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;

	if (b->tag != 0)
		return;
	if (b->answer.status == HA_DCS_UNKNOWN)
	{
		ha_sim_sometimes(SIM_RELEASE_UNKNOWN);
		b->release_is_open = true;
	}
	else if (b->answer.status == HA_DCS_REFUSED)
	{
		if (b->answer.nospace)
			ha_sim_sometimes(SIM_RELEASE_FULL);
	}
	else if (b->answer.status == HA_DCS_OK && b->answer.succeeded)
	{
		b->release_is_open = b->reput_is_open = false;
		n->control.lease.owner = HA_LEASE_NOBODY;
		n->control.lease.holding = false;
	}
	boot_enter(node, SIM_BOOT_LOOK);
	b->look_at = b->entered_at +
		(b->answer.status == HA_DCS_REFUSED ? 1000 : 0);
}

static void
begin_copy(int node)
{
	SimBoot    *b = &node_of(node)->boot;
	bool		clone = ha_sim_chance(300);

	b->source = copy_source(node);
	set_member_state(node, clone ? HA_STATE_CLONING : HA_STATE_REWINDING);
	if (b->source < 0)
	{
		b->look_at = ha_sim_clock(node) + SOON;
		return;
	}
	if (!clone && !node_of(node)->server.clean)
	{
		/* crash recovery has to come before a rewind */
		b->rewind_wanted = false;
		start_server(node, false);
		return;
	}
	boot_enter(node, SIM_BOOT_COPY);
	b->copy_is_clone = clone;
	b->source_life = node_of(b->source)->lives[SIM_SERVER];
	b->copy_until = ha_world.now +
		ha_sim_about(clone ? 3 * SIM_SECOND : 800 * SIM_MS);
	ha_sim_say(node, "%s from %s", clone ? "clones" : "rewinds",
			   node_of(b->source)->name);
}

static void
step_copy(int node)
{
	SimBoot    *b = &node_of(node)->boot;
	const SimNode *source = node_of(b->source);

	if (ha_world.now < b->copy_until)
		return;
	if (source->lives[SIM_SERVER] == b->source_life &&
		source->server.state == SIM_PRIMARY && !source->server.postmaster_dead)
	{
		ha_sim_sometimes(SIM_REWOUND);
		ha_server_copy(node, b->source, b->copy_is_clone);
		b->rewind_wanted = false;
	}
	boot_enter(node, SIM_BOOT_LOOK);
}

static void
quit(int node)
{
	SimNode    *n = node_of(node);

	ha_sim_say(node, "pg_ha_boot leaves");
	boot_enter(node, SIM_BOOT_STOPPED);
	n->boot.stop_requested = false;
	n->boot.member_lease = 0;
}

/* Without the store nothing can be decided but to serve reads. */
static void
look_blindly(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	int64_t		now = ha_sim_clock(node);

	if (b->stop_requested)
	{
		if (!n->control.lease.holding ||
			now - b->died_at > n->control.lease.ttl)
			quit(node);
	}
	else if (!b->rewind_wanted &&
			 now - b->entered_at >= 1000 &&
			 now - later(b->died_at, b->view.sent_at) >= DCS_START_TIMEOUT)
		start_server(node, false);
}

static void
look(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	bool		ours = key_is_ours(node);
	char		why[HA_WHY_SIZE] = "";
	HaStart		start = decide_start(node, true, why, sizeof(why));

	if (!ours)
	{
		b->release_is_open = b->reput_is_open = false;
		n->control.lease.holding = false;
	}
	if (start == HA_START_RELEASE && ours)
		release(node);
	else if (b->stop_requested)
		quit(node);
	else if (start == HA_START_NOT)
		ha_sim_fail("%s will not start: %s", n->name, why);
	else if (b->rewind_wanted)
		begin_copy(node);
	else if (start == HA_START_PRIMARY && ours)
		reput(node);
	else
		start_server(node, false);
}

static void
step_look(int node)
{
	SimBoot    *b = &node_of(node)->boot;
	int64_t		now = ha_sim_clock(node);
	HaRequest	request = {0};

	if (b->tag != 0 || now < b->look_at)
		return;
	request.kind = HA_DCS_RANGE;
	b->tag = boot_send(node, SIM_CLIENT_BOOT, &request);
}

static void
keep_key(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	int64_t		now = ha_sim_clock(node);
	HaTxn		txn = {0};

	if (n->control.lease.owner != HA_LEASE_BOOT ||
		(b->tag == 0 && b->answer.kind == HA_DCS_TXN &&
		 b->answer.status == HA_DCS_OK && !b->answer.succeeded) ||
		(b->keep_tag == 0 && b->keep_answer.kind == HA_DCS_KEEPALIVE &&
		 b->keep_answer.status == HA_DCS_OK && b->keep_answer.ttl == 0))
	{
		b->keeping = false;
		return;
	}
	if (now >= b->keep_at)
	{
		b->keep_at = now + n->control.lease.ttl / 5;
		ha_txn_heartbeat(&txn, &n->control.lease, n->name,
						 b->view.heartbeat.lsn);
		send_keepalive(node);
		send_txn(node, &txn);
	}
	if (others_may_lead(node) &&
		now - b->keep_since > b->view.config.primary_start_timeout)
	{
		b->keeping = false;
		begin_stop(node, HA_WANT_DEMOTE);
	}
}

/*
 * The server recovers from the crash of one of its processes and has no worker
 * meanwhile.
 */
static void
take_key_over(int node)
{
	SimNode    *n = node_of(node);

	if (n->worker.running || n->control.role != HA_ROLE_PRIMARY ||
		n->control.lease.owner != HA_LEASE_WORKER ||
		!n->control.lease.holding || !n->control.lease.confirmed)
		return;
	ha_sim_say(node, "pg_ha_boot keeps the leader key");
	n->control.lease.owner = HA_LEASE_BOOT;
	n->boot.keeping = true;
	n->boot.keep_since = ha_sim_clock(node);
	n->boot.keep_at = 0;
	n->boot.answer.kind = n->boot.keep_answer.kind = HA_DCS_RANGE;
}

static void
step_serving(int node)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;

	if (n->server.state == SIM_STANDBY || n->server.state == SIM_PRIMARY)
		set_member_state(node, HA_STATE_RUNNING);
	if (b->stop_requested)
		begin_stop(node, HA_WANT_NOTHING);
	else if (n->control.want != HA_WANT_NOTHING && n->worker.running)
		begin_stop(node, n->control.want);
	else if (b->keeping)
		keep_key(node);
	else
		take_key_over(node);
}

static void
step_stopping(int node)
{
	SimBoot    *b = &node_of(node)->boot;

	if (ha_sim_clock(node) < b->stop_next_at)
		return;
	ha_sim_say(node, "the server does not stop, ending it at once");
	ha_server_end(node, false);
	ha_boot_server_ended(node, false);
}

static void
boot_step(int node, int64_t number, void *pointer)
{
	SimBoot    *b = &node_of(node)->boot;
	SimBootState state = b->state;

	if (number != b->wake_serial)
		return;
	switch (state)
	{
		case SIM_BOOT_SERVING:
			step_serving(node);
			break;
		case SIM_BOOT_STOPPING:
			step_stopping(node);
			break;
		case SIM_BOOT_CLEARING:
			step_clearing(node);
			break;
		case SIM_BOOT_LOOK:
			step_look(node);
			break;
		case SIM_BOOT_REPUT:
			step_reput(node);
			break;
		case SIM_BOOT_RELEASE:
			step_release(node);
			break;
		case SIM_BOOT_COPY:
			step_copy(node);
			break;
		default:
			return;
	}
	member_step(node);
	ha_boot_wake(node, b->state != state ? SIM_MS :
				 b->state == SIM_BOOT_CLEARING ? CLEARING_TICK * SIM_MS :
				 TICK * SIM_MS);
}

void
ha_boot_wake(int node, int64_t delay)
{
	SimBoot    *b = &node_of(node)->boot;

	if (b->state != SIM_BOOT_DEAD)
		ha_sim_at(ha_world.now + delay, SIM_BOOT, node, boot_step,
				  ++b->wake_serial, NULL);
}

static void
boot_answer(int node, const HaAnswer *answer)
{
	SimBoot    *b = &node_of(node)->boot;
	HaConfig	last_config = b->view.config;

	if (answer->tag == b->keep_tag)
	{
		b->keep_tag = 0;
		b->keep_answer = *answer;
	}
	else if (answer->tag == b->tag && answer->kind == HA_DCS_TXN)
	{
		b->tag = 0;
		b->answer = *answer;
	}
	else if (answer->tag == b->tag && b->state == SIM_BOOT_LOOK)
	{
		b->tag = 0;
		b->look_at = ha_sim_clock(node) + SOON;
		if (answer->status != HA_DCS_OK)
			look_blindly(node);
		else if (answer->sent_at >= b->entered_at)
		{
			ha_view_parse(answer, &last_config, &b->view);
			look(node);
		}
	}
	ha_boot_wake(node, 200);
}

void
ha_node_answer(int node, SimClient client, HaAnswer *answer)
{
	if (client == SIM_CLIENT_WORKER)
	{
		ha_worker_answer(node, answer);
		return;
	}
	if (client == SIM_CLIENT_BOOT)
		boot_answer(node, answer);
	else
		member_answer(node, answer);
	ha_dcs_answer_free(answer);
}

/*-------------------------------------------------------------------------
 * Lives
 *-------------------------------------------------------------------------
 */

/* A pg_ha_boot begins; it may find a server that another one started. */
void
ha_boot_begin(int node, bool attached)
{
	SimNode    *n = node_of(node);
	SimBoot    *b = &n->boot;
	uint32_t	serial = b->wake_serial;

	memset(b, 0, sizeof(*b));
	ha_failsafe_boot_begins(node);
	b->wake_serial = serial;
	n->frozen_until[SIM_BOOT] = 0;
	ha_config_defaults(&b->view.config);
	b->view.config.ttl = ha_world.shape.ttl;
	b->died_at = ha_sim_clock(node);
	b->member_state = HA_STATE_STOPPED;
	if (attached && n->server.state != SIM_DOWN && !n->server.postmaster_dead)
	{
		boot_enter(node, SIM_BOOT_SERVING);
		b->member_state = HA_STATE_STARTING;
		if (n->control.lease.owner == HA_LEASE_BOOT && n->control.lease.holding)
		{
			b->keeping = true;
			b->keep_since = b->died_at;
		}
	}
	else
	{
		if (n->server.state != SIM_DOWN)
			ha_sim_sometimes(SIM_ORPHANS_MET);
		b->crashed = !n->server.clean;
		boot_enter(node, SIM_BOOT_CLEARING);
	}
	ha_boot_wake(node, SIM_MS);
}

void
ha_boot_kill(int node)
{
	ha_sim_end_life(node, SIM_BOOT);
	node_of(node)->boot.state = SIM_BOOT_DEAD;
}

void
ha_boot_ask_to_stop(int node)
{
	SimBoot    *b = &node_of(node)->boot;

	if (b->state == SIM_BOOT_DEAD || b->state == SIM_BOOT_STOPPED)
		return;
	b->stop_requested = true;
	ha_boot_wake(node, SIM_MS);
}

/* The machine loses power. */
void
ha_node_crash(int node)
{
	SimNode    *n = node_of(node);

	if (!n->up)
		return;
	n->up = false;
	ha_worker_end(node);
	ha_server_end(node, false);
	ha_boot_kill(node);
	ha_sim_end_life(node, SIM_MACHINE);
	memset(n->frozen_until, 0, sizeof(n->frozen_until));
}

/* ... and has it again: the clock begins anew, the control block is void. */
void
ha_node_power_on(int node)
{
	SimNode    *n = node_of(node);

	if (n->up)
		return;
	n->up = true;
	n->clock_offset = 0;
	n->clock_offset = ha_sim_between(3000, 60000) - ha_sim_clock(node);
	memset(&n->control, 0, sizeof(n->control));
	n->control.lost = true;
	ha_boot_begin(node, false);
}

void
ha_node_begin(int node, bool as_primary)
{
	SimNode    *n = node_of(node);

	memset(&n->worker, 0, sizeof(n->worker));
	memset(&n->boot, 0, sizeof(n->boot));
	memset(&n->control, 0, sizeof(n->control));
	n->up = true;
	ha_server_begin(node, as_primary);
	ha_boot_begin(node, false);
	if (as_primary)
		start_server(node, true);
}
