/*-------------------------------------------------------------------------
 *
 * sim_node.c
 *	  The two programs of a node: the worker and pg_ha_boot.
 *
 * The worker here is worker.c without PostgreSQL: the same turn in the same
 * order around the real lease.c and decide.c.  pg_ha_boot is a model of what
 * boot/ does with the leader key, around the real ha_decide_start.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "sim.h"

/* As in worker.c. */
#define TURN_INTERVAL		500
#define PROMOTION_INTERVAL	5
#define DETACH_INTERVAL		10

/* Turns in a second that can't be honest work. */
#define MAX_TURNS			400

/* As in boot/. */
#define TICK				200
#define CLEARING_TICK		10
#define WORKER_LAST_ACT		500
#define STOP_WAIT_MIN		5000
#define QUIT_WAIT			10000
#define SOON				300
#define DCS_START_TIMEOUT	30000
#define CRASH_MEMORY		60000

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

/* Sets of nodes and arrays of names. */
static uint32_t
set_of_names(int n, char names[][HA_NAME_SIZE])
{
	uint32_t	set = 0;

	for (int i = 0; i < n; i++)
	{
		int			node = ha_sim_node_named(names[i]);

		if (node >= 0)
			set |= 1U << node;
	}
	return set;
}

static int
names_of_set(uint32_t set, char names[][HA_NAME_SIZE])
{
	int			n = 0;

	memset(names, 0, HA_MAX_MEMBERS * HA_NAME_SIZE);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (set & (1U << i))
			memcpy(names[n++], ha_world.nodes[i].name, HA_NAME_SIZE);
	}
	return n;
}

/*-------------------------------------------------------------------------
 * The worker gathers
 *-------------------------------------------------------------------------
 */

static void
worker_gather(int node, int64_t now)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	HaLocal    *local = &w->local;
	SimState	state = n->server.state;
	bool		applied;

	local->time_jumped = w->last_turn != 0 &&
		now - w->last_turn > later(w->lease.view.config.ttl, 2000);
	w->last_turn = now;
	if (local->time_jumped)
		ha_sim_sometimes(SIM_TIME_JUMP);

	local->failover_priority = 1;
	local->has_boot = n->boot.state != SIM_BOOT_DEAD;
	memset(local->follows, 0, sizeof(local->follows));
	if (w->managed.follows >= 0)
		memcpy(local->follows, node_of(w->managed.follows)->name,
			   HA_NAME_SIZE);
	if (state != SIM_PRIMARY)
		local->detached = w->managed_written && w->managed.follows < 0 &&
			ha_server_is_detached(node, w->managed.epoch);
	ha_server_gather(node, local);
	if (local->replay_lsn != w->replayed || local->replay_moved_at == 0)
	{
		w->replayed = local->replay_lsn;
		local->replay_moved_at = now;
		if (local->promoting)
			local->promoting_since = now;
	}
	if (local->role == HA_ROLE_PRIMARY)
	{
		local->promoting = false;
		local->detached = false;
		applied = w->managed_written &&
			ha_server_names_applied(node, w->managed.epoch);
		if (applied && !local->names_in_force)
			local->names_lsn = local->flush_lsn;
		local->names_in_force = applied;
		local->names_written = w->managed_written;
		local->nsync_names = names_of_set(w->managed.names, local->sync_names);
	}
	ha_lease_local(&w->lease, local, now);
}

/*-------------------------------------------------------------------------
 * The worker acts
 *-------------------------------------------------------------------------
 */

static void
write_managed(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	SimServer  *server = &node_of(node)->server;

	w->managed.epoch = server->file.epoch + 1;
	server->file = w->managed;
	w->managed_written = true;
	w->managed_at = now;
	w->local.names_in_force = false;
	ha_server_reload(node);
}

static void
act_follow(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	int			leader = ha_sim_node_named(w->plan.follow);

	if (leader < 0 || (w->managed_written && w->managed.follows == leader))
		return;
	w->managed.follows = leader;
	write_managed(node, now);
}

static void
act_detach(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;

	if (!w->managed_written || w->managed.follows >= 0)
	{
		w->managed.follows = -1;
		write_managed(node, now);
	}
	else if (now - w->managed_at > 1000 &&
			 node_of(node)->server.startup.epoch < w->managed.epoch)
	{
		ha_server_cancel_conflicts(node);
		w->managed_at = now;
	}
}

static void
act_promote(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;

	if (w->local.promoting)
		return;
	ha_server_promote(node, w->plan.reserve);
	w->local.promoting = true;
	w->local.promoting_since = now;
}

static void
act_set_names(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	uint32_t	names = set_of_names(w->plan.nnames, w->plan.names);

	if (w->managed_written && w->managed.names == names)
		return;
	if ((names & ~w->managed.names) != 0 && (w->managed.names & ~names) != 0)
		ha_sim_sometimes(SIM_SYNC_SWAP);
	w->managed.names = names;
	write_managed(node, now);
}

static void
act_want(int node)
{
	SimNode    *n = node_of(node);
	HaVerb		verb = n->worker.plan.verb;
	HaWant		want = verb == HA_DEMOTE ? HA_WANT_DEMOTE :
	verb == HA_SWITCHOVER ? HA_WANT_SWITCHOVER :
	verb == HA_REWIND ? HA_WANT_REWIND :
	verb == HA_STOP ? HA_WANT_STOP : HA_WANT_NOTHING;

	if (want == n->worker.want)
		return;
	if (want == HA_WANT_REWIND)
		ha_sim_sometimes(SIM_DIVERGED);
	n->worker.want = want;
	n->control.want = want;
	ha_boot_wake(node, SIM_MS);
}

static void
act(int node, int64_t now)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	const HaView *view = &w->lease.view;
	bool		listed;

	switch (w->plan.verb)
	{
		case HA_FOLLOW:
			act_follow(node, now);
			break;
		case HA_DETACH:
		case HA_REWIND:
			act_detach(node, now);
			break;
		case HA_PROMOTE:
			act_promote(node, now);
			break;
		case HA_SET_NAMES:
			act_set_names(node, now);
			break;
		case HA_RELEASE:
			if (w->local.promoting)
			{
				ha_sim_sometimes(SIM_PROMOTION_LATE);
				ha_lease_stay_out(&w->lease, now + view->config.ttl);
				w->local.promoting_since = now + view->config.ttl;
			}
			break;
		case HA_WITHDRAW:
			ha_sim_sometimes(SIM_WITHDRAWN);
			break;
		default:
			break;
	}
	listed = view->valid && view->sync.present && view->sync.nstandbys > 0 &&
		strcmp(view->sync.leader, w->local.name) == 0;
	n->server.sync_required = w->local.role == HA_ROLE_PRIMARY &&
		(listed || (w->managed.names != 0 && w->local.names_in_force));
	act_want(node);
}

static void
send_requests(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	HaRequest	request;
	uint32_t	unwanted;

	while (ha_lease_next(&w->lease, &w->plan, &w->local, now, &request))
	{
		if (request.kind == HA_DCS_TXN && ha_txn_overflowed(&request.txn))
			ha_sim_fail("the txn of plan %s overflowed",
						ha_verb_name(w->plan.verb));
		ha_store_send(node, SIM_CLIENT_WORKER, &request);
	}
	while ((unwanted = ha_lease_cancel(&w->lease)) != 0)
		ha_store_cancel(node, SIM_CLIENT_WORKER, unwanted);
}

/*-------------------------------------------------------------------------
 * The worker publishes
 *-------------------------------------------------------------------------
 */

static void
publish_deadline(int node, int64_t deadline)
{
	SimNode    *n = node_of(node);

	if (deadline == n->server.deadline)
		return;
	n->control.deadline = deadline;
	ha_server_set_deadline(node, deadline, n->worker.lease.term);
}

static void
publish_lease(int node, uint64_t safe_lsn)
{
	SimNode    *n = node_of(node);
	const HaLease *lease = &n->worker.lease;
	const HaTerm *term = &lease->view.term;
	HaControlLease now = {0};

	now.owner = HA_LEASE_WORKER;
	now.holding = lease->holding && !lease->reassert;
	now.confirmed = now.holding && term->present && !term->intent &&
		term->unchecked_from == 0 &&
		strcmp(term->owner, lease->name) == 0 &&
		term->timeline == n->worker.local.timeline;
	now.lease = lease->lease_id;
	now.ttl = lease->lease_ttl;
	now.key_revision = lease->key_revision;
	now.term = lease->term;
	now.timeline = n->worker.local.timeline;
	now.safe_lsn = safe_lsn;

	/* what we don't hold may be pg_ha_boot's still */
	if (!now.holding && (n->control.lease.owner == HA_LEASE_BOOT ||
						 !n->control.lease.holding))
		return;
	n->control.lease = now;
	n->control.lost = false;
}

static void
publish(int node)
{
	SimNode    *n = node_of(node);
	const HaLocal *local = &n->worker.local;

	publish_lease(node, 0);
	if (n->control.role != local->role)
		ha_boot_wake(node, SIM_MS);
	n->control.role = local->role;
	n->control.timeline = local->timeline;
	n->control.flush_lsn = local->flush_lsn;
	n->control.replay_lsn = local->replay_lsn;
	n->control.streaming = local->streaming;
}

/* Say what changed, and count what a whole run should have met. */
static void
tell_plan(int node, const HaPlan *old)
{
	SimWorker  *w = &node_of(node)->worker;
	bool		leads = ha_lease_deadline(&w->lease) != 0;

	if (w->lease.blind && w->plan.verb == HA_VOTE && old->verb != HA_VOTE)
		ha_sim_sometimes(SIM_BLIND);
	if (w->lease.reign_lost && w->plan.verb == HA_DEMOTE &&
		old->verb != HA_DEMOTE)
		ha_sim_sometimes(SIM_REIGN_LOST);
	if (w->plan.verb == HA_SUSPEND && old->verb != HA_SUSPEND)
		ha_sim_sometimes(SIM_SUSPENDED);
	if (leads != w->leads)
		ha_sim_say(node, leads ? "LEADS in term %lld" :
				   "closes its gate, term %lld", (long long) w->lease.term);
	w->leads = leads;
	if (w->plan.verb != old->verb || strcmp(w->plan.why, old->why) != 0)
		ha_sim_say(node, "plan %s (%s)", ha_verb_name(w->plan.verb),
				   w->plan.why);
}

/*-------------------------------------------------------------------------
 * The worker's loop
 *-------------------------------------------------------------------------
 */

static void turn(int node, int64_t number, void *pointer);

/* Forget an earlier time to wake up, if there is one. */
void
ha_worker_wake(int node, int64_t delay)
{
	SimWorker  *w = &node_of(node)->worker;

	if (w->running && !w->acting)
		ha_sim_at(ha_world.now + delay, SIM_WORKER, node, turn,
				  ++w->wake_serial, NULL);
}

static int64_t
pause_length(int node, int64_t now)
{
	const SimWorker *w = &node_of(node)->worker;
	int64_t		until = now + TURN_INTERVAL;

	if (w->plan.verb == HA_PROMOTE)
		until = now + PROMOTION_INTERVAL;
	else if (w->plan.verb == HA_DETACH ||
			 (w->local.role == HA_ROLE_PRIMARY && !w->local.names_in_force &&
			  w->managed_written && now - w->managed_at < 2000))
		until = now + DETACH_INTERVAL;
	until = earlier(until, ha_lease_wake_at(&w->lease));
	if (w->plan.wake_at > now)
		until = earlier(until, w->plan.wake_at);
	return later(until - now, 1);
}

/* Second half of a turn: the plan becomes deeds. */
static void
finish_turn(int node, int64_t number, void *pointer)
{
	SimWorker  *w = &node_of(node)->worker;
	int64_t		now = w->turn_now;
	int64_t		until;

	w->acting = false;
	act(node, now);
	send_requests(node, now);
	publish(node);
	if (w->ninbox > 0)
		until = ha_world.now;
	else
		until = ha_sim_world_time(node, ha_sim_clock(node) +
								  pause_length(node, ha_sim_clock(node)));
	ha_worker_wake(node, until - ha_world.now);
}

/* A loop that finds nothing to do, again and again, eats a processor. */
static void
check_spinning(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;

	if (now - w->counted_since >= 1000)
	{
		w->counted_since = now;
		w->nturns = 0;
	}
	if (++w->nturns > MAX_TURNS)
		ha_sim_fail("the worker of %s spins with plan %s",
					node_of(node)->name, ha_verb_name(w->plan.verb));
}

static void
turn(int node, int64_t number, void *pointer)
{
	SimWorker  *w = &node_of(node)->worker;
	int64_t		now = ha_sim_clock(node);
	HaPlan		old = w->plan;

	if (number != w->wake_serial || w->acting)
		return;
	check_spinning(node, now);
	for (int i = 0; i < w->ninbox; i++)
	{
		ha_lease_answer(&w->lease, &w->inbox[i], now);
		ha_dcs_answer_free(&w->inbox[i]);
	}
	w->ninbox = 0;
	worker_gather(node, now);
	ha_decide(&w->lease.view.config, &w->lease.view, &w->local, now, &w->plan);
	ha_lease_plan(&w->lease, &w->plan, now);
	publish_deadline(node, ha_lease_deadline(&w->lease));
	w->local.deadline = ha_lease_deadline(&w->lease);
	tell_plan(node, &old);
	w->turn_now = now;
	w->acting = true;

	/* a process may be stopped at any instruction, and here it hurts */
	if (!ha_world.healing && ha_sim_chance(2))
		ha_sim_at(ha_world.now + ha_sim_about(ha_world.shape.ttl * SIM_MS / 2),
				  SIM_WORKER, node, finish_turn, 0, NULL);
	else
		finish_turn(node, 0, NULL);
}

static void
worker_answer(int node, HaAnswer *answer)
{
	SimWorker  *w = &node_of(node)->worker;

	if (answer->kind == HA_DCS_TXN && answer->status == HA_DCS_OK &&
		answer->tag == w->lease.op_tag)
	{
		if (w->lease.op_verb == HA_ACQUIRE && !answer->succeeded)
			ha_sim_sometimes(SIM_RACE_LOST);
		if (w->lease.op_verb == HA_REASSERT && answer->succeeded)
			ha_sim_sometimes(SIM_REASSERTED);
	}
	if (answer->kind == HA_DCS_TXN && answer->status == HA_DCS_UNKNOWN &&
		answer->tag == w->lease.op_tag && w->lease.op_verb == HA_RELEASE)
		ha_sim_sometimes(SIM_RELEASE_UNKNOWN);
	if (w->ninbox == w->max_inbox)
	{
		w->max_inbox = w->max_inbox == 0 ? 16 : w->max_inbox * 2;
		w->inbox = realloc(w->inbox, w->max_inbox * sizeof(HaAnswer));
		if (w->inbox == NULL)
			abort();
	}
	w->inbox[w->ninbox++] = *answer;
	ha_worker_wake(node, ha_sim_about(100));
}

/*-------------------------------------------------------------------------
 * The worker's life
 *-------------------------------------------------------------------------
 */

static void
worker_end(int node)
{
	SimWorker  *w = &node_of(node)->worker;

	for (int i = 0; i < w->ninbox; i++)
		ha_dcs_answer_free(&w->inbox[i]);
	free(w->inbox);
	w->inbox = NULL;
	w->ninbox = w->max_inbox = 0;
	w->running = false;
	w->acting = false;
	ha_sim_end_life(node, SIM_WORKER);
}

void
ha_worker_start(int node)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	int64_t		now = ha_sim_clock(node);
	uint32_t	serial = w->wake_serial;

	worker_end(node);
	memset(w, 0, sizeof(*w));
	w->wake_serial = serial;
	w->running = true;
	n->frozen_until[SIM_WORKER] = 0;
	publish_deadline(node, 0);
	n->control.deadline = 0;
	n->control.want = HA_WANT_NOTHING;
	memcpy(w->local.name, n->name, HA_NAME_SIZE);
	w->local.starting_since = now;
	ha_lease_init(&w->lease, n->name, now);
	w->managed.follows = -1;
	w->managed.names = n->server.file.names;
	ha_worker_wake(node, ha_sim_about(5 * SIM_MS));
}

/* SIGTERM: the gate closes, the rest is pg_ha_boot's. */
void
ha_worker_stop(int node)
{
	SimWorker  *w = &node_of(node)->worker;

	if (!w->running)
		return;
	ha_lease_close(&w->lease);
	publish_deadline(node, 0);
	w->local.stopping = true;
	publish_lease(node, 0);
	worker_end(node);
}

static void
restart_worker(int node, int64_t number, void *pointer)
{
	SimServer  *server = &node_of(node)->server;

	if (!node_of(node)->worker.running && !server->postmaster_dead &&
		server->state != SIM_DOWN && server->state != SIM_STOPPING)
		ha_worker_start(node);
}

/* It ended by itself, with 1; the postmaster starts it again. */
void
ha_worker_kill(int node)
{
	SimWorker  *w = &node_of(node)->worker;

	if (!w->running)
		return;
	worker_end(node);
	ha_sim_at(ha_world.now + ha_sim_about(300 * SIM_MS), SIM_SERVER, node,
			  restart_worker, 0, NULL);
}

static bool
should_release(int node, uint64_t *safe_lsn)
{
	SimNode    *n = node_of(node);
	const HaView *view = &n->worker.lease.view;
	bool		synchronous = view->sync.present && view->sync.nstandbys > 0;

	*safe_lsn = synchronous ? n->server.released : n->server.insert;
	if (n->boot.state == SIM_BOOT_DEAD)
		return true;
	if (!synchronous || view->config.pause)
		return false;
	for (int i = 0; i < view->sync.nstandbys; i++)
	{
		int			standby = ha_sim_node_named(view->sync.standbys[i]);

		if (standby >= 0 && n->server.senders[standby].connection != 0 &&
			n->server.senders[standby].flush >= *safe_lsn)
			return true;
	}
	return false;
}

static void
mourn(int node, int64_t number, void *pointer)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	bool		leading = w->lease.holding && !w->lease.reassert &&
	w->local.role == HA_ROLE_PRIMARY;
	uint64_t	safe_lsn;
	HaRequest	request = {0};

	ha_lease_close(&w->lease);
	publish_deadline(node, 0);
	if (leading)
	{
		if (should_release(node, &safe_lsn))
		{
			request.kind = HA_DCS_TXN;
			request.tag = 1;
			request.timeout = 400;
			ha_txn_release(&request.txn, n->name, w->lease.key_revision,
						   w->lease.lease_id, w->lease.term,
						   w->lease.lease_ttl, safe_lsn);
			ha_store_send(node, SIM_CLIENT_WORKER, &request);
		}
		publish_lease(node, safe_lsn);
	}
	worker_end(node);
}

void
ha_worker_mourn(int node)
{
	ha_sim_at(ha_world.now + ha_sim_about(10 * SIM_MS), SIM_WORKER, node,
			  mourn, 0, NULL);
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
	snprintf(m.conn_url, sizeof(m.conn_url),
			 "postgres://127.0.0.%d:5432/postgres", node + 1);
	snprintf(m.api_url, sizeof(m.api_url), "http://127.0.0.%d:8008/patroni",
			 node + 1);
	snprintf(m.version, sizeof(m.version), HA_VERSION);
	snprintf(m.identity, sizeof(m.identity), "%d", node);
	m.failover_priority = 1;
	if (runs)
	{
		m.timeline = n->control.timeline;
		m.lsn = n->control.flush_lsn;
		m.replay_lsn = n->control.replay_lsn;
		m.streaming = n->control.streaming;
	}
	return ha_member_json(&m);
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
	else if (answer->status == HA_DCS_REFUSED ||
			 (answer->kind == HA_DCS_KEEPALIVE &&
			  answer->status == HA_DCS_OK && answer->ttl == 0))
	{
		b->member_lease = 0;
		b->member_due = ha_sim_clock(node) + SOON;
	}
	else if (answer->status == HA_DCS_UNKNOWN)
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
	const HaView *view = &n->boot.view;
	const HaControlLease *lease = &n->control.lease;

	return !n->control.lost && view->leader.present &&
		strcmp(view->leader.name, n->name) == 0 && lease->lease != 0 &&
		view->leader.lease == lease->lease &&
		(view->leader.mod_revision == lease->key_revision ||
		 n->boot.reput_is_open) &&
		view->term.present && !view->term.intent &&
		view->term.unchecked_from == 0 &&
		strcmp(view->term.owner, n->name) == 0 &&
		view->term.term == lease->term &&
		view->term.timeline == lease->timeline;
}

static bool
is_in_sync(const HaSync *sync, const char *name)
{
	for (int i = 0; i < sync->nstandbys; i++)
	{
		if (strcmp(sync->standbys[i], name) == 0)
			return true;
	}
	return false;
}

static bool
others_may_lead(int node)
{
	const HaView *view = &node_of(node)->boot.view;

	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *m = &view->members[i];

		if (strcmp(m->name, node_of(node)->name) != 0 &&
			m->state == HA_STATE_RUNNING && m->role == HA_ROLE_STANDBY &&
			m->lsn != 0 && (view->config.synchronous_mode == HA_SYNC_OFF ||
							is_in_sync(&view->sync, m->name)))
			return true;
	}
	return false;
}

/* Whom to copy from: a confirmed leader that runs. */
static int
copy_source(int node)
{
	const HaView *view = &node_of(node)->boot.view;

	if (!view->leader.present ||
		strcmp(view->leader.name, node_of(node)->name) == 0 ||
		!view->term.present || view->term.intent ||
		view->term.unchecked_from != 0 ||
		strcmp(view->term.owner, view->leader.name) != 0)
		return -1;
	for (int i = 0; i < view->nmembers; i++)
	{
		if (strcmp(view->members[i].name, view->leader.name) == 0 &&
			view->members[i].state == HA_STATE_RUNNING &&
			view->members[i].role == HA_ROLE_PRIMARY)
			return ha_sim_node_named(view->leader.name);
	}
	return -1;
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
	facts.synchronous = b->view.config.synchronous_mode != HA_SYNC_OFF &&
		b->view.sync.present && strcmp(b->view.sync.leader, n->name) == 0 &&
		b->view.sync.nstandbys > 0;
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

static void
put_heartbeat(HaTxn *txn, int node)
{
	const SimNode *n = node_of(node);
	HaHeartbeat heartbeat = {0};

	memcpy(heartbeat.name, n->name, HA_NAME_SIZE);
	heartbeat.term = n->control.lease.term;
	heartbeat.ttl = n->control.lease.ttl;
	heartbeat.lsn = n->boot.view.heartbeat.lsn;
	ha_txn_put(txn, "pg_ha/heartbeat", ha_heartbeat_json(&heartbeat), 0);
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
	ha_server_stop(node);
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
	const HaView *view = &n->boot.view;
	HaTxn		txn = {0};

	n->control.lease.owner = HA_LEASE_BOOT;
	ha_txn_compare(&txn, HA_MOD_REVISION, "leader", view->leader.mod_revision);
	ha_txn_compare(&txn, HA_LEASE, "leader", n->control.lease.lease);
	ha_txn_compare(&txn, HA_MOD_REVISION, "pg_ha/term",
				   view->term.mod_revision);
	ha_txn_put(&txn, "leader", strdup(n->name), n->control.lease.lease);
	put_heartbeat(&txn, node);
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
				   n->control.lease.ttl, lsn);
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
		ha_txn_compare(&txn, HA_MOD_REVISION, "leader",
					   n->control.lease.key_revision);
		ha_txn_compare(&txn, HA_LEASE, "leader", n->control.lease.lease);
		put_heartbeat(&txn, node);
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
		worker_answer(node, answer);
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
	worker_end(node);
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
