/*-------------------------------------------------------------------------
 *
 * sim_failsafe.c
 *	  Failsafe mode: the questions between members, and what goes wrong there.
 *
 * The way of a question: the asking worker, the network, the other's
 * pg_ha_boot, its control block, its worker, and all of it back.  Each of them
 * can be slow, frozen, dead or cut off.  The protocol itself is the real
 * failsafe.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../failsafe.h"
#include "../failsafe_json.h"
#include "sim.h"

/* As in boot/rest.c. */
#define QUESTION_MS			1500

#define MAX_CALLS			1024

/* One question on its way; a ring, so what is very old is lost. */
typedef struct Call
{
	int64_t		serial;
	int			from;
	int			to;
	uint32_t	tag;
	int64_t		timeout;		/* ms */
	HaQuestion	question;
	uint32_t	seq;			/* in the control block of "to" */
	int64_t		arrived_at;		/* by the clock of "to" */
	bool		done;			/* the asker has its answer */
	bool		overdue;
} Call;

static Call calls[MAX_CALLS];
static int64_t last_serial;
static int64_t before_worker[SIM_NODES];	/* the call whose question stands
											 * in the control block */
static bool slow;				/* answers take long */
static bool no_api[SIM_NODES];	/* has no HTTP: nobody can ask it */

/* What was really promised, in the time of the world. */
static int64_t promised_until[SIM_NODES];
static int64_t promised_in[SIM_NODES];	/* in which term */
static int64_t promised_at[SIM_NODES];
static int64_t heartbeat_at;	/* when the store got the last one */

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

static Call *
find_call(int64_t serial)
{
	Call	   *call = &calls[serial % MAX_CALLS];

	return serial != 0 && call->serial == serial ? call : NULL;
}

static int64_t
way(void)
{
	return ha_world.shape.link_latency / 2 +
		ha_sim_about(ha_world.shape.link_latency / 2 + 1);
}

bool
ha_failsafe_has_api(int node)
{
	return !no_api[node];
}

/*-------------------------------------------------------------------------
 * What was promised must be kept
 *-------------------------------------------------------------------------
 */

/*
 * "term" is the one whose leader it would replace: to no other it has promised.
 * When that leader has since put a heartbeat that ends the mode, it counts on
 * nothing that outlasts what the heartbeat announces, and whoever has forgotten
 * the promise, with its machine, keeps to that.
 */
void
ha_failsafe_check(int node, int64_t term, const char *what)
{
	const HaHeartbeat *heartbeat = &ha_store_view()->heartbeat;

	if (heartbeat->present && heartbeat->term == term && !heartbeat->failsafe &&
		heartbeat_at > promised_at[node])
		return;
	if (term == promised_in[node] && ha_world.now < promised_until[node])
		ha_sim_fail("S-9: %s %s, but has promised not to lead for another %lld ms",
					node_of(node)->name, what,
					(long long) (promised_until[node] - ha_world.now) / SIM_MS);
}

void
ha_failsafe_note_heartbeat(void)
{
	heartbeat_at = ha_world.now;
}

int64_t
ha_failsafe_heartbeat_at(void)
{
	return heartbeat_at;
}

/*-------------------------------------------------------------------------
 * There and back
 *-------------------------------------------------------------------------
 */

static void
give_answer(Call *call, long status, const char *text)
{
	SimWorker  *w = &node_of(call->from)->worker;
	HaPeerAnswer *answer;

	if (call->done)
		return;
	call->done = true;
	if (!w->running || w->npeer_answers == SIM_PEER_ANSWERS)
		return;
	answer = &w->peer_answers[w->npeer_answers++];
	memset(answer, 0, sizeof(*answer));
	answer->tag = call->tag;
	answer->status = status;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
	ha_worker_wake(call->from, ha_sim_about(100));
}

/* What waits since a freeze comes first, as it does in a socket. */
static void
expire(int node, int64_t serial, void *pointer)
{
	Call	   *call = find_call(serial);

	if (call == NULL || call->done)
		return;
	if (call->overdue)
		give_answer(call, 0, "timeout");
	else
	{
		call->overdue = true;
		ha_sim_at(ha_world.now, SIM_WORKER, node, expire, serial, NULL);
	}
}

static void
come_back(int node, int64_t serial, void *pointer)
{
	Call	   *call = find_call(serial);

	if (call != NULL && !ha_world.link_cut[call->to][call->from])
		give_answer(call, 200, "Accepted");
}

static void
come_back_refused(int node, int64_t serial, void *pointer)
{
	Call	   *call = find_call(serial);

	if (call != NULL && !ha_world.link_cut[call->to][call->from])
		give_answer(call, 500, "refused");
}

/* pg_ha_boot sees what the worker said. */
static void
look_for_promise(int node, int64_t serial, void *pointer)
{
	const SimControl *control = &node_of(node)->control;
	Call	   *call = find_call(serial);
	bool		accepted;
	int64_t		delay = way();

	if (call == NULL || before_worker[node] != serial)
		return;
	if (control->promise.answered != call->seq &&
		ha_sim_clock(node) < call->arrived_at + QUESTION_MS)
	{
		ha_sim_at(ha_world.now + 5 * SIM_MS, SIM_BOOT, node, look_for_promise,
				  serial, NULL);
		return;
	}
	before_worker[node] = 0;
	accepted = control->promise.answered == call->seq &&
		control->promise.verdict == HA_VERDICT_ACCEPTED;
	if (accepted)
	{
		int64_t		until = ha_sim_world_time(node, control->promise.until);

		if (until > promised_until[node])
		{
			promised_until[node] = until;
			promised_in[node] = call->question.term;
			promised_at[node] = ha_world.now;
		}
		ha_sim_say(node, "promises not to lead to %s",
				   call->question.name);
	}
	if (slow && ha_sim_chance(700))
		delay += ha_sim_between(0, call->timeout) * SIM_MS;
	ha_sim_at(ha_world.now + delay, SIM_WORKER, call->from,
			  accepted ? come_back : come_back_refused, serial, NULL);
}

/* pg_ha_boot gets it; another one may be before the worker. */
static void
arrive(int node, int64_t serial, void *pointer)
{
	SimNode    *n = node_of(node);
	Call	   *call = find_call(serial);

	if (call == NULL || no_api[node] || n->boot.state == SIM_BOOT_DEAD ||
		ha_world.link_cut[call->from][node])
		return;
	if (find_call(before_worker[node]) != NULL)
	{
		ha_sim_at(ha_world.now + 10 * SIM_MS, SIM_BOOT, node, arrive, serial,
				  NULL);
		return;
	}
	before_worker[node] = serial;
	call->arrived_at = ha_sim_clock(node);
	call->seq = ++n->control.question.seq;
	n->control.question.asked_at = call->arrived_at;
	n->control.question.question = call->question;
	ha_worker_wake(node, ha_sim_about(SIM_MS));
	look_for_promise(node, serial, NULL);
}

/* A pg_ha_boot that begins has nobody waiting. */
void
ha_failsafe_boot_begins(int node)
{
	before_worker[node] = 0;
}

/* A member of Patroni, which is asked how far it is, says what it likes. */
static void
hear_patroni(int node, int64_t serial, void *pointer)
{
	Call	   *call = find_call(serial);
	char	   *body = pointer;
	SimWorker  *w = &node_of(node)->worker;
	int			n = w->npeer_answers;

	if (call != NULL)
		give_answer(call, body != NULL ? 200 : 0, "");
	if (w->npeer_answers > n && body != NULL)
	{
		w->peer_answers[n].body = body;
		w->peer_answers[n].length = strlen(body);
	}
	else
		free(body);
}

static void
send_inquiry(int node, Call *call)
{
	char	   *body = ha_patroni_answer();

	if (body == NULL)
		ha_sim_at(ha_world.now + call->timeout * SIM_MS, SIM_WORKER, node,
				  expire, call->serial, NULL);
	else
		ha_sim_at(ha_world.now + way() + ha_sim_about(20 * SIM_MS), SIM_WORKER,
				  node, hear_patroni, call->serial, body);
}

static void
send_question(int node, HaPeerRequest *request)
{
	Call	   *call = &calls[++last_serial % MAX_CALLS];
	int			number = 0;

	memset(call, 0, sizeof(*call));
	call->serial = last_serial;
	call->from = node;
	call->tag = request->tag;
	call->timeout = request->timeout;
	if (request->get)
	{
		send_inquiry(node, call);
		return;
	}
	if (sscanf(request->url, "http://127.0.0.%d:8008/failsafe", &number) != 1)
		ha_sim_fail("%s asks at \"%s\"", node_of(node)->name, request->url);
	call->to = number - 1;
	if (!ha_question_parse(request->body, strlen(request->body),
						   &call->question))
		ha_sim_fail("%s asks with \"%s\"", node_of(node)->name, request->body);
	free(request->body);
	ha_sim_at(ha_world.now + request->timeout * SIM_MS, SIM_WORKER, node,
			  expire, call->serial, NULL);
	/* nobody answers for a member that is no more */
	if (call->to < ha_world.nnodes && !ha_world.link_cut[node][call->to])
		ha_sim_at(ha_world.now + way(), SIM_BOOT, call->to, arrive,
				  call->serial, NULL);
}

/*-------------------------------------------------------------------------
 * Parts of the worker's turn, as in worker.c
 *-------------------------------------------------------------------------
 */

void
ha_failsafe_take_answers(int node)
{
	SimWorker  *w = &node_of(node)->worker;
	int64_t		now = ha_sim_clock(node);

	for (int i = 0; i < w->npeer_answers; i++)
	{
		int64_t		deadline = ha_lease_deadline(&w->lease);

		ha_lease_peer_answer(&w->lease, &w->peer_answers[i], now);
		if (now >= deadline && ha_lease_deadline(&w->lease) > deadline)
			ha_sim_fail("S-9: promises move a deadline of %s that has passed",
						node_of(node)->name);
		free(w->peer_answers[i].body);
	}
	w->npeer_answers = 0;
}

void
ha_failsafe_publish_promise(int node)
{
	SimNode    *n = node_of(node);
	HaControlPromise *promise = &n->control.promise;
	const HaLease *lease = &n->worker.lease;

	if (lease->view.valid)
	{
		promise->mode_on = lease->view.config.failsafe_mode;
		if (lease->view.term.term > promise->term)
			promise->term = lease->view.term.term;
	}
	promise->bid = lease->bid;
	promise->bid_revision = lease->bid_revision;
	n->control.promise_known = true;
}

void
ha_failsafe_gather(int node)
{
	SimNode    *n = node_of(node);
	HaLocal    *local = &n->worker.local;

	memcpy(local->promised_to, n->control.promise.leader, HA_NAME_SIZE);
	local->promised_until = n->control.promise.until;
	local->promised_term = n->control.promise.leader_term;
	local->promised_lsn = n->control.promise.leader_lsn;
}

void
ha_failsafe_take_question(int node)
{
	SimNode    *n = node_of(node);

	ha_failsafe_publish_promise(node);
	if (n->boot.state == SIM_BOOT_DEAD ||
		n->control.question.seq == n->control.promise.answered)
		return;
	ha_failsafe_answer(&n->worker.lease.view, &n->worker.local,
					   &n->control.question, ha_sim_clock(node),
					   &n->control.promise);
	ha_failsafe_gather(node);
}

/*
 * S-9: while it leads by promises, whoever the store lists has given one that is
 * good for as long, and who reads the store sees that the mode is on, unless it was
 * turned off since, which is told by a heartbeat that counts for as long.
 */
static void
check_leads_by_promises(int node)
{
	const HaLease *lease = &node_of(node)->worker.lease;
	const HaView *stored = ha_store_view();
	int64_t		until = ha_sim_world_time(node, ha_lease_deadline(lease));

	for (int i = 0; i < stored->failsafe.nmembers; i++)
	{
		int			other = ha_sim_node_named(stored->failsafe.members[i]);

		if (other >= 0 && other != node &&
			promised_until[other] < until - 400 * SIM_MS)
			ha_sim_fail("S-9: %s leads by promises, but %s has given none for so long",
						node_of(node)->name, node_of(other)->name);
	}
	if (lease->asking.announced && lease->view.config.failsafe_mode &&
		stored->heartbeat.term == lease->term && !stored->heartbeat.failsafe)
		ha_sim_fail("S-9: %s leads by promises, and its heartbeat does not say so",
					node_of(node)->name);
}

void
ha_failsafe_ask(int node, int64_t now)
{
	SimWorker  *w = &node_of(node)->worker;
	HaPeerRequest request;

	while (ha_lease_ask(&w->lease, &w->local, now, &request))
		send_question(node, &request);
	if (w->local.failsafe_active)
	{
		ha_sim_sometimes(SIM_FAILSAFE);
		if (ha_sim_clock(node) < ha_lease_deadline(&w->lease))
			check_leads_by_promises(node);
	}
	if (now < w->local.promised_until && !w->lease.view.leader.present)
		ha_sim_sometimes(SIM_PROMISED);
	if (w->plan.verb == HA_WAIT && strstr(w->plan.why, "not listed") != NULL)
		ha_sim_sometimes(SIM_UNLISTED);
}

void
ha_failsafe_begin_worker(int node)
{
	SimNode    *n = node_of(node);

	n->worker.local.promises_known = n->control.promise_known;
	ha_lease_recall_bid(&n->worker.lease, n->control.promise.bid,
						n->control.promise.bid_revision);
}

/*-------------------------------------------------------------------------
 * Faults
 *-------------------------------------------------------------------------
 */

static void
end_cut(int node, int64_t number, void *pointer)
{
	SimNetwork *network = &node_of(node)->network;

	network->cut_in = network->cut_out = false;
	ha_sim_say(node, "reaches the store again");
}

static void isolate(int node, int64_t how_long, void *pointer);

static void
end_isolation(int node, int64_t number, void *pointer)
{
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.link_cut[node][i] = ha_world.link_cut[i][node] = false;
	slow = false;
}

/*
 * A list is on its way to the store: its answer may be lost, and then all that
 * follows, so that the leader does not know which list stands there.
 */
void
ha_failsafe_sends(int node, uint32_t tag)
{
	SimNetwork *network = &node_of(node)->network;
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (tag != node_of(node)->worker.lease.asking.put_tag ||
		!ha_world.shape.failsafe || ha_world.healing || !ha_sim_chance(50))
		return;
	ha_sim_say(node, "FAULT is cut from the store while it puts /failsafe");
	network->cut_in = true;
	ha_store_break_watches(node);
	ha_sim_at(ha_world.now + ha_sim_between(2 * ttl, 5 * ttl), SIM_WORLD, node,
			  end_cut, 0, NULL);
	ha_sim_at(ha_world.now + ha_sim_between(ttl, 4 * ttl), SIM_WORLD, node,
			  isolate, 2 * ttl, NULL);
}

static void
isolate(int node, int64_t how_long, void *pointer)
{
	if (ha_world.healing)
		return;
	ha_sim_say(node, "FAULT no connection to any other node");
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_world.link_cut[node][i] = ha_world.link_cut[i][node] = i != node;
	ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, end_isolation, 0, NULL);
}

static void
power_on(int node, int64_t number, void *pointer)
{
	ha_node_power_on(node);
}

static void
reboot(int node, int64_t how_long, void *pointer)
{
	if (ha_world.healing)
		return;
	ha_sim_say(node, "FAULT the machine is started anew");

	/* An orderly one leaves no processes that must be waited for. */
	if (node_of(node)->server.state == SIM_STANDBY &&
		!node_of(node)->server.wrote && ha_sim_chance(500))
		node_of(node)->server.clean = true;
	ha_node_crash(node);
	ha_sim_at(ha_world.now + how_long, SIM_WORLD, node, power_on, 0, NULL);
}

static void
restart_worker(int node, int64_t number, void *pointer)
{
	if (ha_world.healing || node_of(node)->server.postmaster_dead)
		return;
	ha_sim_say(node, "FAULT the worker ends with an error");
	ha_worker_kill(node);
}

static void
turn_mode(int node, int64_t on, void *pointer)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);

	if (ha_world.healing)
		return;
	ha_world.shape.failsafe = on;
	if (!on && leader >= 0)
		node_of(leader)->network.hold_denial = true;
	ha_faults_put_config();
}

static void
end_no_api(int node, int64_t number, void *pointer)
{
	no_api[node] = false;
}

static int
another(int node)
{
	return (node + (int) ha_sim_between(1, ha_world.nnodes - 1)) %
		ha_world.nnodes;
}

/* The leader loses the store; and then the others lose it, or it them. */
static void
cut_leader(int node, int64_t number, void *pointer)
{
	int			leader = ha_sim_node_named(ha_store_view()->leader.name);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;
	int64_t		how_long = ha_sim_between(ttl / 2, 5 * ttl);
	int64_t		later = ha_world.now + ha_sim_between(ttl / 2, 3 * ttl);

	if (ha_world.healing || leader < 0)
		return;
	node_of(leader)->network.cut_out = node_of(leader)->network.cut_in = true;
	ha_sim_say(leader, "FAULT is cut from the store (both ways)");
	ha_store_break_watches(leader);
	ha_sim_at(ha_world.now + how_long, SIM_WORLD, leader, end_cut, 0, NULL);
	if (ha_sim_chance(500))
		slow = true;
	if (ha_sim_chance(600))
		ha_sim_at(later, SIM_WORLD, leader, isolate, 2 * ttl, NULL);
	if (ha_sim_chance(300))
		ha_sim_at(later, SIM_WORLD, another(leader), reboot,
				  ha_sim_between(0, ttl / 2), NULL);
	if (ha_sim_chance(200))
		ha_sim_at(later - ttl / 4, SIM_WORLD, another(leader), restart_worker,
				  0, NULL);
	if (ha_sim_chance(150))
		ha_sim_at(later - ttl / 4, SIM_WORLD, -1, turn_mode, false, NULL);
}

/* The leader loses the store just when the mode was turned on, and not for long. */
static void
turn_mode_briefly(void)
{
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;
	int64_t		on_at = ha_world.now + ttl;

	turn_mode(-1, false, NULL);
	ha_sim_at(on_at, SIM_WORLD, -1, turn_mode, true, NULL);
	ha_sim_at(on_at + ha_sim_between(0, ttl / 3), SIM_WORLD, -1, cut_leader,
			  0, NULL);
	ha_sim_at(on_at + ha_sim_between(ttl / 3, ttl), SIM_WORLD, -1, turn_mode,
			  false, NULL);
}

static void
next_fault(int node, int64_t number, void *pointer)
{
	int			other = (int) ha_sim_between(0, ha_world.nnodes - 1);
	int64_t		ttl = ha_world.shape.ttl * SIM_MS;

	if (ha_world.healing)
		return;
	turn_mode(-1, true, NULL);
	if (ha_sim_chance(400))
	{
		ha_sim_say(other, "FAULT has no HTTP");
		no_api[other] = true;
		ha_sim_at(ha_world.now + ha_sim_between(ttl, 6 * ttl), SIM_WORLD,
				  other, end_no_api, 0, NULL);
	}
	if (ha_sim_chance(250))
		turn_mode_briefly();
	else
		ha_sim_at(ha_world.now + ha_sim_between(0, 2 * ttl), SIM_WORLD, -1,
				  cut_leader, 0, NULL);
	ha_sim_at(ha_world.now + 4 * ttl + ha_sim_about(4 * ttl), SIM_WORLD, -1,
			  next_fault, 0, NULL);
}

void
ha_failsafe_begin(void)
{
	memset(calls, 0, sizeof(calls));
	memset(before_worker, 0, sizeof(before_worker));
	memset(no_api, 0, sizeof(no_api));
	memset(promised_until, 0, sizeof(promised_until));
	heartbeat_at = 0;
	last_serial = 0;
	slow = false;
}

void
ha_failsafe_faults(void)
{
	if (ha_world.shape.failsafe)
		next_fault(-1, 0, NULL);
}

void
ha_failsafe_end_faults(void)
{
	slow = false;
	memset(no_api, 0, sizeof(no_api));
}
