/*-------------------------------------------------------------------------
 *
 * sim_server.c
 *	  PostgreSQL as the simulator knows it.
 *
 * Just what the rules can stumble over, with the times it takes: WAL on
 * timelines, a receiver that goes on until the startup process has read new
 * settings, walsenders each with its own copy of synchronous_standby_names,
 * promotion that picks its timeline id by looking at the history files it has,
 * and sessions that commit step by step while everything else goes on.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "sim.h"

/* Own clock. */
#define FENCE_WAIT			5000

/* In quiet times sessions may think longer: there is less to be seen. */
#define QUIET_THINK			8

static void session_step(int node, int64_t number, void *pointer);
static void ship(int upstream, int node);
static void kick_senders(int node);
static void kick_senders(int node);
static void status_reply(int node, int64_t number, void *pointer);

static SimServer *
server_of(int node)
{
	return &ha_world.nodes[node].server;
}

static uint64_t
whole_records(uint64_t lsn)
{
	return lsn / SIM_RECORD * SIM_RECORD;
}

/*-------------------------------------------------------------------------
 * Timelines
 *-------------------------------------------------------------------------
 */

/* How much of a timeline is part of what leads to a position. */
uint64_t
ha_timeline_limit(SimPosition chain, uint32_t timeline)
{
	while (chain.timeline != 0)
	{
		if (chain.timeline == timeline)
			return chain.lsn;
		chain.lsn = ha_world.timelines[chain.timeline].begin;
		chain.timeline = ha_world.timelines[chain.timeline].parent;
	}
	return 0;
}

bool
ha_server_holds(int node, SimPosition position)
{
	return ha_timeline_limit(server_of(node)->flush, position.timeline) >=
		position.lsn;
}

/*-------------------------------------------------------------------------
 * The disk
 *-------------------------------------------------------------------------
 */

/* How often what hangs on it looks whether it is well again. */
#define DISK_TICK	(100 * SIM_MS)

bool
ha_disk_is_bad(int node)
{
	return ha_world.now < ha_world.nodes[node].disk.bad_until;
}

bool
ha_disk_stalls(int node)
{
	return ha_disk_is_bad(node) && ha_world.nodes[node].disk.stalls;
}

/* Does it?  Then the same is tried again later. */
static bool
waits_for_disk(int node, SimAction action, int64_t number)
{
	if (!ha_disk_stalls(node))
		return false;
	ha_sim_at(ha_world.now + DISK_TICK, SIM_SERVER, node, action, number,
			  NULL);
	return true;
}

/*-------------------------------------------------------------------------
 * Settings: a reload reaches each process in its own time
 *-------------------------------------------------------------------------
 */

static int64_t
reload_delay(const SimServer *server)
{
	return ha_sim_about(3 * SIM_MS) +
		(server->apply_slow > 0 ? ha_sim_about(server->apply_slow) : 0);
}

static void
receiver_ends(int node, int64_t connection, void *pointer)
{
	SimReceiver *receiver = &server_of(node)->receiver;
	SimWalSender *sender;

	if (receiver->connection == 0 || receiver->connection != connection)
		return;
	sender = &server_of(receiver->upstream)->senders[node];
	if (sender->connection == receiver->connection)
		sender->connection = 0;
	memset(receiver, 0, sizeof(*receiver));
}

static void
apply_startup(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);
	int			followed = server->startup.follows;

	if (ha_world.now < server->startup_stuck_until)
	{
		ha_sim_at(ha_world.now + 10 * SIM_MS, SIM_SERVER, node, apply_startup,
				  0, NULL);
		return;
	}
	server->startup = server->file;
	if (server->startup.follows != followed)
		ha_sim_at(ha_world.now + ha_sim_about(5 * SIM_MS), SIM_SERVER, node,
				  receiver_ends, server->receiver.connection, NULL);
	ha_worker_wake(node, SIM_MS);
}

static void
apply_checkpointer(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	server->checkpointer = server->file;
	if (server->checkpointer.names == 0)
		ha_server_wake_up(node);
	ha_check_names(node);
}

static void
apply_sender(int node, int64_t standby, void *pointer)
{
	SimWalSender *sender = &server_of(node)->senders[standby];

	if (sender->connection != 0)
		sender->settings = server_of(node)->file;
	ha_check_names(node);
}

/* The postmaster reads first, then tells its children. */
static void
apply_postmaster(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	server->postmaster = server->file;
	ha_sim_at(ha_world.now + reload_delay(server), SIM_SERVER, node,
			  apply_startup, 0, NULL);
	ha_sim_at(ha_world.now + reload_delay(server), SIM_SERVER, node,
			  apply_checkpointer, 0, NULL);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (server->senders[i].connection != 0)
			ha_sim_at(ha_world.now + reload_delay(server), SIM_SERVER, node,
					  apply_sender, i, NULL);
	}
}

void
ha_server_reload(int node)
{
	if (!server_of(node)->postmaster_dead)
		ha_sim_at(ha_world.now + reload_delay(server_of(node)), SIM_SERVER,
				  node, apply_postmaster, 0, NULL);
}

/* S-2, as the worker can see it. */
bool
ha_server_is_detached(int node, int epoch)
{
	const SimServer *server = server_of(node);

	return server->startup.epoch >= epoch && server->receiver.connection == 0;
}

/* S-4 */
bool
ha_server_names_applied(int node, int epoch)
{
	const SimServer *server = server_of(node);

	if (server->checkpointer.epoch < epoch || server->postmaster.epoch < epoch)
		return false;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (server->senders[i].connection != 0 &&
			server->senders[i].settings.epoch < epoch)
			return false;
	}
	return true;
}

void
ha_server_cancel_conflicts(int node)
{
	if (ha_world.now < server_of(node)->startup_stuck_until)
		ha_sim_sometimes(SIM_STUCK);
	server_of(node)->startup_stuck_until = 0;
}

/*-------------------------------------------------------------------------
 * Streaming
 *-------------------------------------------------------------------------
 */

/* All history files between the two timelines are asked for, each must be there. */
static bool
fetch_history(SimServer *server, const SimServer *upstream)
{
	for (uint32_t id = server->flush.timeline + 1;
		 id <= upstream->flush.timeline; id++)
	{
		if (!upstream->files[id] && !server->files[id])
			return false;
	}
	for (uint32_t id = server->flush.timeline + 1;
		 id <= upstream->flush.timeline; id++)
		server->files[id] = 1;
	return true;
}

/* Streaming starts where replay is; what was received off the way is dropped. */
static bool
find_start(int node, const SimServer *upstream)
{
	SimServer  *server = server_of(node);
	uint64_t	limit = ha_timeline_limit(upstream->flush,
										  server->replay.timeline);

	if (limit < server->replay.lsn)
		return false;
	limit = ha_timeline_limit(upstream->flush, server->flush.timeline);
	if (limit < server->flush.lsn)
	{
		SimPosition left = server->replay;

		if (server->flush.timeline == server->replay.timeline && limit > 0)
		{
			left.timeline = server->flush.timeline;
			left.lsn = limit;
		}
		ha_check_discard(node, left);
		server->flush = left;
	}
	return true;
}

static void
try_connect(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);
	int			to = server->startup.follows;
	SimServer  *upstream;
	SimWalSender *sender;

	ha_sim_at(ha_world.now + ha_sim_between(30, 300) * SIM_MS, SIM_SERVER,
			  node, try_connect, 0, NULL);
	if ((server->state != SIM_STANDBY && server->state != SIM_STARTING) ||
		server->promoting || server->receiver.connection != 0 || to < 0 ||
		server->as_primary || server->replays_own ||
		ha_world.now < server->recovered_at ||
		ha_world.now < server->startup_stuck_until)
		return;
	upstream = server_of(to);
	if (!ha_world.nodes[to].up || ha_sim_frozen(to, SIM_SERVER) ||
		ha_world.link_cut[node][to] || upstream->postmaster_dead ||
		(upstream->state != SIM_STANDBY && upstream->state != SIM_PRIMARY))
		return;
	if (!fetch_history(server, upstream) || !find_start(node, upstream))
		return;
	sender = &upstream->senders[node];
	memset(sender, 0, sizeof(*sender));
	sender->connection = ++ha_world.last_connection;
	sender->settings = upstream->postmaster;
	sender->catch_up = upstream->flush.lsn;

	/* everything may be sent before the first reply, and little of it flushed */
	if (ha_sim_chance(300))
	{
		sender->flush = server->flush.lsn;
		sender->streaming = true;
	}
	memset(&server->receiver, 0, sizeof(server->receiver));
	if (upstream->state == SIM_STANDBY)
		ha_sim_sometimes(SIM_CASCADED);
	server->receiver.connection = sender->connection;
	server->receiver.upstream = to;
	ha_check_names(to);
	status_reply(to, (int64_t) sender->connection * SIM_NODES + node, NULL);
	ship(to, node);
}

static void
replay(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	if (ha_world.now < server->startup_stuck_until)
	{
		ha_sim_at(ha_world.now + 50 * SIM_MS, SIM_SERVER, node, replay, 0,
				  NULL);
		return;
	}
	server->replaying = false;
	if (server->state == SIM_PRIMARY)
		return;
	server->replay.timeline = server->flush.timeline;
	server->replay.lsn = whole_records(server->flush.lsn);
	if (server->state == SIM_STARTING && !server->as_primary &&
		ha_world.now >= server->recovered_at &&
		server->replay.lsn >= server->consistent)
	{
		server->state = SIM_STANDBY;
		ha_sim_say(node, "is a standby at %u/%llu", server->flush.timeline,
				   (unsigned long long) server->flush.lsn);
		ha_worker_wake(node, SIM_MS);
	}
}

static void
schedule_replay(int node)
{
	if (server_of(node)->replaying)
		return;
	server_of(node)->replaying = true;
	ha_sim_at(ha_world.now + ha_sim_about(4 * SIM_MS), SIM_SERVER, node,
			  replay, 0, NULL);
}

/* A standby counts if its own walsender has found its name. */
static bool
counts(const SimServer *server, int standby)
{
	const SimWalSender *sender = &server->senders[standby];

	return (sender->settings.names & (1U << standby)) != 0 &&
		sender->connection != 0 && sender->streaming;
}

/*
 * How far a walsender may release commits; 0 = not at all.  How many must confirm
 * is what it knows itself, but who counts is what all the others know, so while a
 * change gets around it may act on a mixture.  Where one name is all there is, only
 * the first of those that count is asked, which must be its own.
 */
static uint64_t
confirmed_by(const SimServer *server, int standby)
{
	const SimSettings *settings = &server->senders[standby].settings;
	uint64_t	best = 0;

	if (__builtin_popcount(settings->names) == 1)
		return server->senders[standby].flush;

	for (int i = 0; i < ha_world.nnodes; i++)
	{
		uint64_t	candidate = server->senders[i].flush;
		int			have = 0;

		for (int j = 0; j < ha_world.nnodes; j++)
			have += counts(server, j) &&
				server->senders[j].flush >= candidate;
		if (have >= settings->confirm && candidate > best)
			best = candidate;
	}
	return best;
}

/* Commits are released by what this walsender knows, by its own settings. */
static void
release_waiters(int node, int standby)
{
	SimServer  *server = server_of(node);
	uint64_t	lsn;

	if (!counts(server, standby))
		return;
	lsn = confirmed_by(server, standby);
	if (lsn <= server->released)
		return;
	if (server->senders[standby].settings.epoch < server->file.epoch)
		ha_sim_sometimes(SIM_LATE_WALSENDER);
	server->released = lsn;
	ha_server_wake_up(node);
}

static void
take_reply(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);
	int			standby = (int) (number % SIM_NODES);
	SimWalSender *sender = &server->senders[standby];
	uint64_t	lsn = (uint64_t) (number / SIM_NODES);

	if (sender->connection == 0 || lsn < sender->flush)
		return;
	sender->flush = lsn;
	if (lsn >= sender->catch_up)
		sender->streaming = true;
	if (server->state == SIM_PRIMARY ||
		(server->state == SIM_STOPPING && server->was_primary))
		release_waiters(node, standby);
}

/* A standby tells where it is also when nothing is new. */
static void
status_reply(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);
	int			standby = (int) (number % SIM_NODES);

	if (server->senders[standby].connection != number / SIM_NODES)
		return;
	if (server->state == SIM_PRIMARY && !ha_world.link_cut[node][standby])
		release_waiters(node, standby);
	ha_sim_at(ha_world.now + ha_sim_about(SIM_SECOND), SIM_SERVER, node,
			  status_reply, number, NULL);
}

static int64_t
link_delay(void)
{
	return ha_world.shape.link_latency / 2 +
		ha_sim_about(ha_world.shape.link_latency / 2 + 1);
}

static void
receive(int node, int64_t connection, void *pointer)
{
	SimServer  *server = server_of(node);
	SimReceiver *receiver = &server->receiver;
	int			from = receiver->upstream;

	if (receiver->connection == 0 || receiver->connection != connection ||
		waits_for_disk(node, receive, connection))
		return;
	if (ha_world.link_cut[node][from])
	{
		if (receiver->stalled_since == 0)
			receiver->stalled_since = ha_world.now;
		if (ha_world.now - receiver->stalled_since > 5 * SIM_SECOND)
			receiver_ends(node, connection, NULL);
		else
			ha_sim_at(ha_world.now + 50 * SIM_MS, SIM_SERVER, node, receive,
					  connection, NULL);
		return;
	}
	receiver->stalled_since = 0;
	receiver->in_flight = false;

	/* not always in whole records */
	if (server->flush.lsn < whole_records(receiver->sent.lsn - 1) &&
		ha_sim_chance(300))
		receiver->sent.lsn -= ha_sim_between(1, SIM_RECORD - 1);
	if (receiver->sent.lsn > ha_world.timelines[receiver->sent.timeline].begin)
		server->flush = receiver->sent;
	ha_check_received(node);
	kick_senders(node);
	schedule_replay(node);
	if (server_of(from)->senders[node].connection == receiver->connection)
		ha_sim_at(ha_world.now + link_delay(), SIM_SERVER, from, take_reply,
				  (int64_t) server->flush.lsn * SIM_NODES + node, NULL);
	ship(from, node);
}

/* Send what there is, one batch at a time. */
static void
ship(int upstream, int node)
{
	const SimServer *from = server_of(upstream);
	SimServer  *server = server_of(node);
	SimReceiver *receiver = &server->receiver;

	if (receiver->connection == 0 || receiver->in_flight ||
		receiver->upstream != upstream ||
		from->senders[node].connection != receiver->connection)
		return;
	if (from->flush.timeline == server->flush.timeline &&
		from->flush.lsn == server->flush.lsn &&
		from->senders[node].streaming)
		return;
	receiver->in_flight = true;
	receiver->sent = from->flush;
	ha_sim_at(ha_world.now + link_delay(), SIM_SERVER, node, receive,
			  receiver->connection, NULL);
}

static void
kick_senders(int node)
{
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (server_of(node)->senders[i].connection != 0)
			ship(node, i);
	}
}

/* Connections end with either side; the other one may take a while to see it. */
static void
drop_connections(int node)
{
	SimServer  *server = server_of(node);

	receiver_ends(node, server->receiver.connection, NULL);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		SimReceiver *receiver = &server_of(i)->receiver;

		if (server->senders[i].connection != 0 &&
			receiver->connection == server->senders[i].connection)
			ha_sim_at(ha_world.now + ha_sim_about(20 * SIM_MS), SIM_SERVER, i,
					  receiver_ends, receiver->connection, NULL);
		memset(&server->senders[i], 0, sizeof(SimWalSender));
	}
}

/*-------------------------------------------------------------------------
 * Sessions
 *-------------------------------------------------------------------------
 */

static bool
gate_is_open(int node)
{
	return ha_sim_clock(node) < server_of(node)->deadline;
}

static void
next_step(int node, int number, SimStep step, int64_t delay)
{
	SimSession *session = &server_of(node)->sessions[number];

	session->step = step;
	session->waiting = false;
	session->serial++;
	ha_sim_at(ha_world.now + delay, SIM_SERVER, node, session_step,
			  (int64_t) session->serial * SIM_SESSIONS + number, NULL);
}

static void
wait_for_event(SimSession *session)
{
	session->waiting = true;
}

/* The client begins again, with a new connection or the next transaction. */
static void
go_idle(int node, int number, int64_t delay)
{
	next_step(node, number, SIM_IDLE, delay);
}

static void
session_gate(int node, int number)
{
	SimSession *session = &server_of(node)->sessions[number];
	int64_t		now = ha_sim_clock(node);

	if (server_of(node)->held)
	{
		next_step(node, number, SIM_GATE, ha_sim_about(20 * SIM_MS));
		return;
	}
	if (gate_is_open(node))
	{
		next_step(node, number, SIM_WRITE, ha_sim_about(300));
		return;
	}
	if (session->give_up == 0)
	{
		ha_sim_sometimes(SIM_GATE_WAITED);
		session->give_up = now + FENCE_WAIT;
	}
	if (now >= session->give_up)
	{
		ha_sim_sometimes(SIM_GATE_REFUSED);
		go_idle(node, number, ha_sim_about(200 * SIM_MS));
		return;
	}
	next_step(node, number, SIM_GATE,
			  ha_sim_world_time(node, session->give_up) - ha_world.now + 1);
	wait_for_event(session);
}

static void
session_sync(int node, int number)
{
	SimServer  *server = server_of(node);
	SimSession *session = &server->sessions[number];

	session->exempt = server->checkpointer.names == 0;
	if (server->checkpointer.names != 0 &&
		server->released < session->commit.lsn)
	{
		wait_for_event(session);
		return;
	}
	next_step(node, number, SIM_CHECK, ha_sim_about(200));
}

static void
session_check(int node, int number)
{
	SimServer  *server = server_of(node);
	SimSession *session = &server->sessions[number];
	int64_t		delay = ha_sim_about(200);

	if (!gate_is_open(node))
	{
		ha_sim_sometimes(SIM_WITHHELD);
		go_idle(node, number, ha_sim_about(100 * SIM_MS));
		return;
	}
	if (server->sync_required && server->released < session->commit.lsn)
	{
		ha_sim_sometimes(SIM_UNCONFIRMED);
		go_idle(node, number, ha_sim_about(100 * SIM_MS));
		return;
	}
	session->term = server->term;
	session->checked_at = ha_sim_clock(node);
	session->deadline = server->deadline;
	session->frozen = !ha_world.healing && ha_sim_chance(1);
	if (session->frozen)
		delay = ha_sim_about(ha_world.shape.ttl * SIM_MS);
	next_step(node, number, SIM_SEND, delay);
}

static void
session_step(int node, int64_t argument, void *pointer)
{
	SimServer  *server = server_of(node);
	int			number = (int) (argument % SIM_SESSIONS);
	SimSession *session = &server->sessions[number];

	if (session->serial != (uint32_t) (argument / SIM_SESSIONS) ||
		server->state != SIM_PRIMARY)
		return;
	switch (session->step)
	{
		case SIM_IDLE:
			if (server->postmaster_dead)
				return;
			session->give_up = 0;
			next_step(node, number, SIM_GATE,
					  ha_sim_about(ha_world.shape.think *
								   (ha_world.quiet ? QUIET_THINK : 1)));
			break;
		case SIM_GATE:
			session_gate(node, number);
			break;
		case SIM_WRITE:
			server->insert += SIM_RECORD;
			session->commit.timeline = server->flush.timeline;
			session->commit.lsn = server->insert;
			next_step(node, number, SIM_FLUSH, ha_sim_about(SIM_MS));
			break;
		case SIM_FLUSH:
			if (server->frozen)
			{
				ha_sim_at(ha_world.now + 5 * SIM_MS, SIM_SERVER, node,
						  session_step, argument, NULL);
				break;
			}
			if (waits_for_disk(node, session_step, argument))
			{
				ha_sim_sometimes(SIM_DISK_STALLED);
				break;
			}
			if (server->flush.lsn < server->insert)
				server->flush.lsn = server->insert;
			kick_senders(node);
			next_step(node, number, SIM_SYNC, ha_sim_about(100));
			break;
		case SIM_SYNC:
			session_sync(node, number);
			break;
		case SIM_CHECK:
			session_check(node, number);
			break;
		case SIM_SEND:
			ha_check_ack(node, session);
			go_idle(node, number, 1);
			break;
	}
}

/* The gate opened, or standbys confirmed: whoever waits looks again. */
void
ha_server_wake_up(int node)
{
	SimServer  *server = server_of(node);

	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (server->sessions[i].waiting)
			next_step(node, i, server->sessions[i].step, ha_sim_about(200));
	}
}

/* Somebody cancels what waits for standbys; it goes on unconfirmed. */
void
ha_server_cancel_waits(int node)
{
	SimServer  *server = server_of(node);

	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (server->sessions[i].waiting && server->sessions[i].step == SIM_SYNC)
			next_step(node, i, SIM_CHECK, ha_sim_about(200));
	}
}

static void
note_waiters(const SimServer *server)
{
	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (server->sessions[i].waiting &&
			server->sessions[i].step == SIM_SYNC)
			ha_sim_sometimes(SIM_FENCED_WAITERS);
	}
}

void
ha_server_set_deadline(int node, int64_t deadline, int64_t term)
{
	SimServer  *server = server_of(node);
	bool		opened = deadline > server->deadline;

	if (opened && server->deadline != 0 && !gate_is_open(node) &&
		server->term == term)
		ha_sim_sometimes(SIM_REOPENED);
	if (deadline == 0 && gate_is_open(node))
		note_waiters(server);
	if (opened && server->term != term)
		ha_mishap_moment(node, SIM_AT_GATE);
	if (deadline != 0)
		server->term = term;
	server->deadline = deadline;
	if (opened)
	{
		ha_check_gate(node);
		ha_server_wake_up(node);
	}
}

/*-------------------------------------------------------------------------
 * A hand-over (handover.c)
 *-------------------------------------------------------------------------
 */

/* Not every process that writes WAL commits, and waits. */
static void
vacuum(int node, int64_t times, void *pointer)
{
	SimServer  *server = server_of(node);

	if (server->state != SIM_PRIMARY || !server->held)
		return;
	if (!server->frozen && !ha_disk_stalls(node))
		ha_server_checkpoint(node);
	if (times > 0)
		ha_sim_at(ha_world.now + ha_sim_about(10 * SIM_MS), SIM_SERVER, node,
				  vacuum, times - 1, NULL);
}

void
ha_server_hold(int node, bool held)
{
	if (held && !server_of(node)->held && ha_sim_chance(500))
		ha_sim_at(ha_world.now + ha_sim_about(10 * SIM_MS), SIM_SERVER, node,
				  vacuum, 10, NULL);
	server_of(node)->held = held;
	if (!held)
		ha_server_wake_up(node);
}

bool
ha_server_is_drained(int node)
{
	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (server_of(node)->sessions[i].step > SIM_GATE)
			return false;
	}
	return true;
}

/* All that was inserted is flushed first, and nothing after it. */
void
ha_server_freeze(int node, bool frozen)
{
	SimServer  *server = server_of(node);

	if (frozen && !server->frozen && server->flush.lsn < server->insert)
		server->flush.lsn = server->insert;
	server->frozen = frozen;
	kick_senders(node);
}

void
ha_server_checkpoint(int node)
{
	SimServer  *server = server_of(node);

	if (server->state != SIM_PRIMARY || server->frozen)
		return;
	server->insert += SIM_RECORD;
	server->flush.lsn = server->insert;
	kick_senders(node);
}

/*-------------------------------------------------------------------------
 * Lives
 *-------------------------------------------------------------------------
 */

/* What recovery made visible may be read from now on (S-17). */
void
ha_server_show(int node)
{
	server_of(node)->shows = true;
	ha_check_shown(node);
}

static void
become_primary(int node)
{
	SimServer  *server = server_of(node);

	server->state = SIM_PRIMARY;
	server->wrote = true;
	server->insert = server->flush.lsn + SIM_RECORD;
	server->flush.lsn = server->insert;
	server->replay = server->flush;
	server->shows = !server->as_primary || server->file.names == 0;
	server->recovered = server->flush.lsn;
	ha_sim_say(node, "is a primary at %u/%llu", server->flush.timeline,
			   (unsigned long long) server->flush.lsn);
	kick_senders(node);
	for (int i = 0; i < SIM_SESSIONS; i++)
		go_idle(node, i, ha_sim_about(20 * SIM_MS));
	ha_worker_wake(node, SIM_MS);
}

static void
finish_promotion(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);
	SimPosition from = server->flush;
	uint32_t	id = server->flush.timeline + 1;

	if (!server->promoting || server->state != SIM_STANDBY ||
		server->postmaster_dead || waits_for_disk(node, finish_promotion, 0))
		return;
	server->promoting = false;
	if (from.lsn != whole_records(from.lsn))
		ha_sim_sometimes(SIM_PARTIAL);
	from.lsn = whole_records(from.lsn);
	while (id < SIM_TIMELINES && server->files[id])
		id++;
	ha_check_timeline(node, id, from);
	if (ha_world.failed)
		return;
	server->files[id] = 1;

	/* whoever streams from here asks for the new history */
	drop_connections(node);
	server->flush.timeline = id;
	server->flush.lsn = from.lsn;
	server->standby_signal = false;
	server->released = 0;
	become_primary(node);
	ha_mishap_moment(node, SIM_AT_TIMELINE);
}

static void
begin_promotion(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	receiver_ends(node, server->receiver.connection, NULL);
	ha_sim_at(ha_world.now + ha_world.nodes[node].promote_ms * SIM_MS +
			  ha_sim_about(20 * SIM_MS), SIM_SERVER, node, finish_promotion, 0,
			  NULL);
}

/* What made a promotion slow is over. */
void
ha_server_hurry(int node)
{
	if (server_of(node)->promoting)
		ha_sim_at(ha_world.now + 50 * SIM_MS, SIM_SERVER, node,
				  finish_promotion, 0, NULL);
}

void
ha_server_promote(int node, uint32_t reserved)
{
	SimServer  *server = server_of(node);
	uint32_t	next = server->flush.timeline + 1;

	while (next < SIM_TIMELINES && server->files[next])
		next++;
	if (next < SIM_TIMELINES && ha_world.timelines[next].used)
		ha_sim_sometimes(SIM_COLLISION);
	for (uint32_t id = 2; id < reserved; id++)
	{
		if (!server->files[id] && id > server->flush.timeline)
			ha_sim_sometimes(SIM_DUMMIES);
		server->files[id] = 1;
	}
	server->promoting = true;
	ha_sim_at(ha_world.now + ha_sim_about(5 * SIM_MS), SIM_SERVER, node,
			  begin_promotion, 0, NULL);
}

static void
end_own_replay(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	server->replays_own = false;
	if (server->state == SIM_STARTING || server->state == SIM_STANDBY)
		schedule_replay(node);
}

/* A standby serves as soon as it is consistent, with more to replay. */
static void
replay_own(int node)
{
	SimServer  *server = server_of(node);
	int64_t		takes = ha_sim_about(ha_sim_chance(200) ? 3 * SIM_SECOND :
									 10 * SIM_MS);

	if (server->replay.lsn >= server->consistent)
	{
		server->state = SIM_STANDBY;
		ha_sim_say(node, "is a standby at %u/%llu of %llu",
				   server->replay.timeline,
				   (unsigned long long) server->replay.lsn,
				   (unsigned long long) server->flush.lsn);
		ha_worker_wake(node, SIM_MS);
	}
	ha_sim_at(ha_world.now + takes, SIM_SERVER, node, end_own_replay, 0, NULL);
}

static void
recovered(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	if (server->state != SIM_STARTING || server->postmaster_dead)
		return;
	if (waits_for_disk(node, recovered, 0))
	{
		server->recovered_at = ha_world.now + DISK_TICK;
		return;
	}
	if (server->as_primary)
		become_primary(node);
	else
		replay_own(node);
	if (!ha_world.nodes[node].worker.running)
		ha_worker_start(node);
}

static int64_t
recovery_time(int node)
{
	int64_t		planned = ha_world.nodes[node].recover_ms * SIM_MS;

	ha_world.nodes[node].recover_ms = 0;
	if (planned > 0 && !ha_world.healing)
		return planned;
	return ha_sim_about(ha_sim_chance(100) ? 3 * SIM_SECOND : 150 * SIM_MS);
}

/* Recovery begins somewhere on the timeline, at its last restartpoint. */
static void
begin_replay(SimServer *server)
{
	uint64_t	begin = ha_world.timelines[server->flush.timeline].begin;

	server->replay = server->flush;
	server->replays_own = !server->as_primary;
	if (server->as_primary || server->flush.lsn <= begin)
		return;
	server->replay.lsn = whole_records(begin +
									   ha_sim_between(0, server->flush.lsn - begin));
	if (server->replay.lsn < begin)
		server->replay.lsn = begin;
}

/* What recovery finds on disk; memory is as new. */
static void
begin_recovery(int node)
{
	SimServer  *server = server_of(node);

	server->state = SIM_STARTING;
	server->postmaster_dead = false;
	server->promoting = false;
	server->replaying = false;
	server->clean = false;
	server->flush.lsn = whole_records(server->flush.lsn);
	begin_replay(server);
	server->postmaster = server->startup = server->checkpointer = server->file;
	server->startup_stuck_until = 0;
	server->released = 0;
	server->deadline = 0;
	server->sync_required = false;
	server->held = server->frozen = false;
	server->shows = false;
	server->proven = false;
	server->recovered_at = ha_world.now + recovery_time(node);
	ha_sim_at(server->recovered_at, SIM_SERVER, node, recovered, 0, NULL);
	ha_sim_at(ha_world.now + 20 * SIM_MS, SIM_SERVER, node, try_connect, 0,
			  NULL);
}

void
ha_server_start(int node, bool as_primary)
{
	SimServer  *server = server_of(node);

	ha_sim_say(node, "starts the server as %s at %u/%llu",
			   as_primary ? "primary" : "standby", server->flush.timeline,
			   (unsigned long long) server->flush.lsn);
	ha_server_end(node, false);
	server->as_primary = as_primary;
	server->standby_signal = !as_primary;
	if (!as_primary)
		server->wrote = false;
	if (!as_primary || (!ha_world.healing && ha_sim_chance(500)))
	{
		/* a standby begins anew; from a primary somebody took the file */
		server->file.follows = -1;
		server->file.names = 0;
		server->file.confirm = 0;
	}
	begin_recovery(node);
	ha_worker_start(node);
}

/* Every process is gone. */
void
ha_server_end(int node, bool asked)
{
	SimServer  *server = server_of(node);

	if (server->state == SIM_DOWN)
		return;
	if (server->promoting)
		ha_sim_sometimes(SIM_PROMOTION_KILLED);
	drop_connections(node);
	ha_sim_end_life(node, SIM_SERVER);
	memset(server->sessions, 0, sizeof(server->sessions));
	server->state = SIM_DOWN;
	server->promoting = false;
	server->deadline = 0;
	server->postmaster_dead = false;
	ha_sim_say(node, "the server is gone, %s",
			   server->clean ? "cleanly" : "crashed");
}

/* A backend or the worker died badly: the postmaster starts all of them anew. */
void
ha_server_reset(int node)
{
	SimServer  *server = server_of(node);

	if (server->postmaster_dead ||
		(server->state != SIM_PRIMARY && server->state != SIM_STANDBY))
		return;
	if (server->promoting)
		ha_sim_sometimes(SIM_PROMOTION_KILLED);
	ha_worker_kill(node);
	drop_connections(node);
	ha_sim_end_life(node, SIM_SERVER);
	memset(server->sessions, 0, sizeof(server->sessions));
	server->as_primary = server->state == SIM_PRIMARY &&
		!server->standby_signal;

	/* the next worker comes when recovery has ended */
	begin_recovery(node);
}

void
ha_server_kill_postmaster(int node)
{
	SimServer  *server = server_of(node);

	if (server->state == SIM_DOWN || server->postmaster_dead)
		return;
	server->postmaster_dead = true;
	ha_sim_say(node, "the postmaster is dead");
	ha_worker_mourn(node);
	ha_boot_server_ended(node, false);
}

/*
 * A fast shutdown: sessions end, the standbys that stream get everything, with
 * the shutdown checkpoint at its end.
 */
static void
finish_stop(int node, int64_t number, void *pointer)
{
	SimServer  *server = server_of(node);

	if (server->state != SIM_STOPPING || waits_for_disk(node, finish_stop, 0))
		return;
	for (int i = 0; i < ha_world.nnodes && server->was_primary; i++)
	{
		const SimWalSender *sender = &server->senders[i];

		if (sender->connection != 0 && sender->flush < server->flush.lsn)
		{
			ship(node, i);
			ha_sim_at(ha_world.now + 10 * SIM_MS, SIM_SERVER, node,
					  finish_stop, 0, NULL);
			return;
		}
	}
	if (server->was_primary && server->checkpoint == 0)
	{
		server->checkpoint = server->flush.lsn;
		server->insert = server->flush.lsn + SIM_RECORD;
		server->flush.lsn = server->insert;
		kick_senders(node);
		ha_sim_at(ha_world.now + 10 * SIM_MS, SIM_SERVER, node, finish_stop, 0,
				  NULL);
		return;
	}
	server->clean = true;
	server->wrote = server->was_primary;
	ha_server_end(node, true);
	ha_boot_server_ended(node, true);
}

void
ha_server_stop(int node)
{
	SimServer  *server = server_of(node);

	if (server->state == SIM_DOWN || server->state == SIM_STOPPING ||
		server->postmaster_dead)
		return;
	if (server->promoting)
		ha_sim_sometimes(SIM_PROMOTION_KILLED);
	ha_worker_stop(node);
	server->was_primary = server->state == SIM_PRIMARY;
	server->state = SIM_STOPPING;
	server->promoting = false;
	server->held = server->frozen = false;
	server->checkpoint = 0;
	memset(server->sessions, 0, sizeof(server->sessions));
	receiver_ends(node, server->receiver.connection, NULL);
	ha_sim_at(ha_world.now + ha_sim_about(50 * SIM_MS), SIM_SERVER, node,
			  finish_stop, 0, NULL);
}

/* An immediate shutdown: nothing more is written. */
void
ha_server_quit(int node)
{
	SimServer  *server = server_of(node);

	if (server->state == SIM_DOWN || server->state == SIM_STOPPING ||
		server->postmaster_dead)
		return;
	ha_worker_end(node);
	server->clean = false;
	ha_server_end(node, true);
	ha_boot_server_ended(node, true);
}

/*
 * pg_rewind or pg_basebackup from a source: what was here is replaced by what is
 * there.  A rewind leaves it to streaming to reach consistency.
 */
void
ha_server_copy(int node, int source, bool clone)
{
	SimServer  *server = server_of(node);
	const SimServer *from = server_of(source);

	ha_check_discard(node, from->flush);
	server->flush = from->flush;
	server->consistent = from->flush.lsn;
	if (!clone && ha_sim_chance(500))
		server->consistent += SIM_RECORD;
	memcpy(server->files, from->files, sizeof(server->files));
	if (clone)
	{
		/* only its own history */
		memset(server->files, 0, sizeof(server->files));
		for (uint32_t id = from->flush.timeline; id > 1;
			 id = ha_world.timelines[id].parent)
			server->files[id] = 1;
	}
	server->clean = true;
	server->wrote = false;
}

void
ha_server_drop_receiver(int node)
{
	receiver_ends(node, server_of(node)->receiver.connection, NULL);
}

void
ha_server_begin(int node, bool as_primary)
{
	SimServer  *server = server_of(node);

	memset(server, 0, sizeof(*server));
	server->flush.timeline = 1;
	server->flush.lsn = SIM_RECORD * 16;
	server->file.follows = -1;
	server->file.epoch = 1;
	server->clean = true;
	server->wrote = as_primary;
}

/* Oldest first, as a history file lists them. */
static void
gather_ancestors(HaLocal *local)
{
	int			n = 0;

	for (uint32_t id = local->timeline; id > 1;
		 id = ha_world.timelines[id].parent)
		n++;
	local->nancestors = 0;
	if (n > HA_MAX_LINEAGE)
		return;
	local->nancestors = n;
	for (uint32_t id = local->timeline; id > 1;
		 id = ha_world.timelines[id].parent)
	{
		HaTimeline *ancestor = &local->ancestors[--n];

		memset(ancestor, 0, sizeof(*ancestor));
		ancestor->timeline = ha_world.timelines[id].parent;
		ancestor->end_lsn = ha_world.timelines[id].begin;
	}
}

/* What the worker can read of its own server. */
void
ha_server_gather(int node, HaLocal *local)
{
	const SimServer *server = server_of(node);
	SimState	state = server->state == SIM_STOPPING ?
	(server->was_primary ? SIM_PRIMARY : SIM_STANDBY) : server->state;

	local->sysid = SIM_SYSID;
	local->timeline = server->flush.timeline;
	local->flush_lsn = server->replays_own ?
		server->replay.lsn : server->flush.lsn;
	local->replay_lsn = server->replay.lsn;
	local->replaying = server->replays_own;
	local->streaming = server->receiver.connection != 0;
	local->role = state == SIM_PRIMARY ? HA_ROLE_PRIMARY :
		state == SIM_STANDBY ? HA_ROLE_STANDBY : HA_ROLE_STARTING;
	gather_ancestors(local);
	if (state != SIM_PRIMARY)
		return;
	local->nstandbys = 0;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		const SimWalSender *sender = &server->senders[i];
		HaStandby  *standby = &local->standbys[local->nstandbys];

		if (sender->connection == 0)
			continue;
		memset(standby, 0, sizeof(*standby));
		memcpy(standby->name, ha_world.nodes[i].name, HA_NAME_SIZE);
		standby->streaming = sender->streaming;
		standby->flush_lsn = sender->flush;
		local->nstandbys++;
	}
}
