/*-------------------------------------------------------------------------
 *
 * sim_worker.c
 *	  The worker: worker.c without PostgreSQL.
 *
 * The same turn in the same order around the real lease.c and decide.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../decide.h"
#include "../problem_json.h"
#include "../quorum.h"
#include "../rules.h"
#include "../switchover.h"
#include "sim.h"

/* As in worker.c. */
#define TURN_INTERVAL		500
#define PROMOTION_INTERVAL	5
#define DETACH_INTERVAL		10
#define HANDOVER_INTERVAL	5	/* so that it is no spinning */

/* Turns in a second that can't be honest work. */
#define MAX_TURNS			400

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
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
		else if (strcmp(names[i], HA_NOBODY) == 0)
			set |= SIM_NOBODY;
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
	if (set & SIM_NOBODY)
		memcpy(names[n++], HA_NOBODY, sizeof(HA_NOBODY));
	return n;
}

/*-------------------------------------------------------------------------
 * The worker gathers
 *-------------------------------------------------------------------------
 */

static void
gather_handover(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	HaLocal    *local = &w->local;

	local->wall_clock = ha_world.now / SIM_MS;
	local->can_freeze = !ha_world.shape.archives;
	local->drained = ha_server_is_drained(node);
	if (w->prepare_for == 0 || now < w->prepare_until ||
		local->prepared_for == w->prepare_for)
		return;
	local->prepared_for = w->prepare_for;
	local->prepared_at = now;
	local->prepared_lsn = local->flush_lsn;
}

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

	local->failover_priority = n->failover_priority;
	local->nofailover = n->nofailover;
	memset(local->replicatefrom, 0, sizeof(local->replicatefrom));
	if (n->replicatefrom >= 0)
		memcpy(local->replicatefrom, node_of(n->replicatefrom)->name,
			   HA_NAME_SIZE);
	local->has_boot = n->boot.state != SIM_BOOT_DEAD;
	memset(local->follows, 0, sizeof(local->follows));
	if (w->managed.follows >= 0)
		memcpy(local->follows, node_of(w->managed.follows)->name,
			   HA_NAME_SIZE);
	if (ha_cascade_watch(&w->watch, &w->lease.view, local,
						 n->server.receiver.connection != 0, now))
		ha_sim_sometimes(SIM_SOURCE_GIVEN_UP);
	if (state != SIM_PRIMARY)
		local->detached = w->managed_written && w->managed.follows < 0 &&
			ha_server_is_detached(node, w->managed.epoch);
	ha_server_gather(node, local);
	local->health_grace = w->lease.view.config.retry_timeout;
	local->sick_since = !ha_disk_is_bad(node) ? 0 :
		now - (ha_world.now - n->disk.bad_since) / SIM_MS;
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
		local->sync_confirm = w->managed.confirm;
		local->recovered_lsn = n->server.shows ? 0 : n->server.recovered;
	}
	ha_lease_local(&w->lease, local, now);
	gather_handover(node, now);
	ha_failsafe_gather(node);
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

	if (node_of(node)->boot.yielded)
		ha_sim_sometimes(SIM_FOLLOWED);
	node_of(node)->boot.yielded = false;
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
	ha_mishap_moment(node, SIM_AT_PROMOTION);
}

static void
act_set_names(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	uint32_t	names = set_of_names(w->plan.nnames, w->plan.names);

	if (w->managed_written && w->managed.names == names &&
		w->managed.confirm == w->plan.confirm)
		return;
	if ((names & ~w->managed.names) != 0 && (w->managed.names & ~names) != 0)
		ha_sim_sometimes(SIM_SYNC_SWAP);
	if (names == SIM_NOBODY)
		ha_sim_sometimes(SIM_NOBODY_WAITED);
	ha_check_names_written(node, w->managed.names, names);
	w->managed.names = names;
	w->managed.confirm = w->plan.confirm;
	write_managed(node, now);
	ha_mishap_moment(node, SIM_AT_NAMES);
}

static void
act_want(int node)
{
	SimNode    *n = node_of(node);
	HaVerb		verb = n->worker.plan.verb;
	HaWant		want = verb == HA_DEMOTE || verb == HA_GIVE_UP ? HA_WANT_DEMOTE :
	verb == HA_SWITCHOVER ? HA_WANT_SWITCHOVER :
	verb == HA_YIELD ? HA_WANT_YIELD :
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

static bool
stays_frozen(const HaPlan *plan)
{
	switch (plan->verb)
	{
		case HA_WAIT:
		case HA_FREEZE:
		case HA_HAND_OVER:
		case HA_YIELD:
		case HA_ACQUIRE:
		case HA_REASSERT:
		case HA_CONFIRM:
			return !plan->lead;
		default:
			return false;
	}
}

/* handover.c; the worker may be stopped between any two turns. */
static void
act_handover(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	HaLocal    *local = &w->local;
	int64_t		wish = w->lease.view.failover.mod_revision;

	if (local->frozen_since != 0 &&
		(!stays_frozen(&w->plan) || now - local->frozen_since > 30000))
	{
		if (w->plan.lead && local->handed_over_at == 0)
			ha_sim_sometimes(SIM_SWITCHOVER_OFF);
		local->frozen_since = 0;
		local->frozen_lsn = 0;
		ha_server_freeze(node, false);
	}
	if (w->plan.verb == HA_HOLD || w->plan.verb == HA_FREEZE ||
		local->frozen_since != 0)
	{
		if (local->held_since == 0)
			local->held_since = now;
		ha_server_hold(node, true);
	}
	else if (local->held_since != 0)
	{
		local->held_since = 0;
		ha_server_hold(node, false);
	}
	if (w->plan.verb == HA_PREPARE && w->prepare_for != wish)
	{
		w->prepare_for = wish;
		w->prepare_until = now + ha_sim_between(5, 500);
		ha_server_checkpoint(node);
	}
	if (w->plan.verb == HA_FREEZE && local->frozen_since == 0 &&
		!ha_disk_stalls(node))
	{
		ha_server_freeze(node, true);
		local->frozen_since = now;
		local->frozen_lsn = node_of(node)->server.flush.lsn;
	}
}

static void
act(int node, int64_t now)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	const HaView *view = &w->lease.view;
	bool		listed;

	act_handover(node, now);
	switch (w->plan.verb)
	{
		case HA_FOLLOW:
			act_follow(node, now);
			break;
		case HA_DETACH:
		case HA_REWIND:
		case HA_FOLLOW_SOURCE:	/* which is out of reach */
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
		(listed || (view->config.synchronous_mode != HA_SYNC_OFF &&
					view->config.synchronous_mode_strict) ||
		 (w->managed.names != 0 && w->local.names_in_force));
	if (w->local.role == HA_ROLE_PRIMARY && w->local.recovered_lsn != 0 &&
		ha_quorum_shows(&view->config, view, &w->local))
		ha_server_show(node);
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
		ha_failsafe_publish_promise(node);
		ha_failsafe_sends(node, request.tag);
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
	if (n->control.sick != (local->sick_since != 0))
	{
		n->control.sick = local->sick_since != 0;
		n->boot.member_due = n->boot.member_told_at = 0;
		ha_boot_wake(node, SIM_MS);
	}
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
	if (w->plan.verb == HA_GIVE_UP && old->verb != HA_GIVE_UP)
		ha_sim_sometimes(SIM_GAVE_UP);
	if (w->plan.verb == HA_RENEW && strstr(w->plan.why, "although sick"))
		ha_sim_sometimes(SIM_SICK_LEADER);
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
	else if (w->plan.verb == HA_PREPARE || w->plan.verb == HA_HOLD ||
			 w->plan.verb == HA_FREEZE)
		until = now + HANDOVER_INTERVAL;
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
	ha_failsafe_ask(node, now);
	publish(node);
	if (w->ninbox > 0 || w->npeer_answers > 0)
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
	if (!w->lease.holding)
		w->holds_since = 0;
	else if (w->holds_since == 0)
		w->holds_since = now;
	ha_check_turn(node);
	for (int i = 0; i < w->ninbox; i++)
	{
		bool		moving = w->lease.left_lease != 0;

		ha_lease_answer(&w->lease, &w->inbox[i], now);
		if (moving && w->lease.left_lease == 0)
			ha_sim_sometimes(SIM_MOVED);
		ha_dcs_answer_free(&w->inbox[i]);
	}
	w->ninbox = 0;
	ha_failsafe_take_answers(node);
	worker_gather(node, now);
	ha_failsafe_take_question(node);
	ha_decide(&w->lease.view.config, &w->lease.view, &w->local, now, &w->plan);
	ha_lease_plan(&w->lease, &w->plan, now);
	ha_standby_cluster_check(node);
	publish_deadline(node, ha_lease_deadline(&w->lease));
	w->local.deadline = ha_lease_deadline(&w->lease);
	w->local.giving_up = w->plan.verb == HA_GIVE_UP;
	ha_switchover_note(&w->plan, &w->lease.view, &w->local);
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

void
ha_worker_answer(int node, HaAnswer *answer)
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
	if (answer->kind == HA_DCS_TXN && answer->nospace &&
		answer->tag == w->lease.op_tag && w->lease.op_verb == HA_RELEASE)
		ha_sim_sometimes(SIM_RELEASE_FULL);
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

void
ha_worker_end(int node)
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

	/* the lock that stops the WAL ends with it, and what holds commits back */
	ha_server_freeze(node, false);
	ha_server_hold(node, false);
}

void
ha_worker_start(int node)
{
	SimNode    *n = node_of(node);
	SimWorker  *w = &n->worker;
	int64_t		now = ha_sim_clock(node);
	uint32_t	serial = w->wake_serial;

	ha_worker_end(node);
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
	ha_failsafe_begin_worker(node);
	w->managed.follows = -1;
	w->managed.names = n->server.file.names;
	w->managed.confirm = n->server.file.confirm;
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
	ha_worker_end(node);
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
	ha_worker_end(node);
	ha_sim_at(ha_world.now + ha_sim_about(300 * SIM_MS), SIM_SERVER, node,
			  restart_worker, 0, NULL);
}

static bool
should_release(int node, uint64_t *safe_lsn)
{
	SimNode    *n = node_of(node);
	const HaView *view = &n->worker.lease.view;
	const HaLocal *local = &n->worker.local;
	bool		synchronous = view->sync.present && view->sync.nstandbys > 0;

	const HaTerm *term = &view->term;
	bool		confirmed = term->present && !term->intent &&
	term->unchecked_from == 0 && strcmp(term->owner, n->name) == 0;

	*safe_lsn = !confirmed ? 0 :
		!synchronous || !local->names_in_force ? n->server.insert :
		larger(larger(n->server.released, n->server.recovered),
			   local->names_lsn);
	if (n->boot.state == SIM_BOOT_DEAD)
		return true;
	if (!synchronous || view->config.pause || *safe_lsn == 0)
		return false;
	for (int i = 0; i < view->sync.nstandbys; i++)
	{
		int			standby = ha_sim_node_named(view->sync.standbys[i]);

		if (standby >= 0 && n->server.senders[standby].connection != 0 &&
			n->server.senders[standby].flush >= *safe_lsn)
		{
			ha_sim_sometimes(SIM_HANDOVER_TAKEN);
			return true;
		}
	}
	ha_sim_sometimes(SIM_HANDOVER_REFUSED);
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

	/* One that died with a backend gives nothing up: pg_ha_boot has the key. */
	if (!w->running)
		return;
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
						   w->lease.lease_ttl, safe_lsn, true);
			ha_store_send(node, SIM_CLIENT_WORKER, &request);
		}
		publish_lease(node, safe_lsn);
	}
	ha_worker_end(node);
}

void
ha_worker_mourn(int node)
{
	ha_sim_at(ha_world.now + ha_sim_about(10 * SIM_MS), SIM_WORKER, node,
			  mourn, 0, NULL);
}
