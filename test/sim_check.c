/*-------------------------------------------------------------------------
 *
 * sim_check.c
 *	  What must never be seen, checked while it could happen.
 *
 * The checks look at the world from outside: at real positions instead of
 * recorded ones, at all clocks at once, and at what the store really holds.
 * Each names the promise that it is about.
 *
 *	I-1		no acknowledgement after one's own deadline
 *	I-2		never two at a time: one gate, and terms in their order
 *	I-3		what was acknowledged is with every later leader
 *	I-4		who may be elected is among those who confirm
 *	I-5		how the leader key changes hands (sim_promises.c)
 *	I-6		terms rise, each has one owner, as has each timeline; the record
 *			tells true ancestors
 *	I-7		who diverged neither stands nor is elected
 *	I-8		no acknowledgement without a proof since the start
 *	I-9		the only copy of an acknowledged commit is not thrown away
 *	I-10	strict mode goes on waiting (sim_promises.c)
 *	I-12	any input gives some plan
 *	L-1		the cluster becomes whole when all faults have ended (sim.c)
 *	L-2		and then nothing changes (sim.c)
 *	L-3		one that never comes back does not matter (sim.c)
 *
 * I-11 is about an archive, which there is none of here.  What a safety rule
 * demands beyond that is named after the rule.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../decide.h"
#include "../cluster_json.h"
#include "../term_json.h"
#include "sim.h"

/* From the check after a commit to the send no more than this, or it froze. */
#define FROZE				50

typedef struct Ack
{
	SimPosition position;
	bool		lost;			/* by a failover that may lose */
} Ack;

static Ack *acks;
static int	nacks;
static int	max_acks;

static HaView view;				/* the store, since a change that counts */
static bool view_is_old;
static HaHeartbeat last_heartbeat;	/* before the present revision */

/* Each node's latest vote, as it stands in the store. */
static HaVote votes[SIM_NODES];

/* A timeline whose leader may not go on, since somebody else has led. */
static uint32_t ended_timeline;
static int64_t ended_at[SIM_NODES]; /* by each clock */

/* The latest acknowledgement. */
static int64_t acked_term;
static int	acked_by;

/* How the present term was acquired. */
static bool acquired_sync;		/* /sync said who may */
static bool acquired_clean;		/* with all of a released reign at hand */
static bool acquired_wish;		/* the operator's candidate */
static bool acquired_again;		/* led last, and goes on */
static int	last_leader;		/* before this term, -1 = nobody */

static SimNode *
node_of(int node)
{
	return &ha_world.nodes[node];
}

static bool
gate_is_open(int node)
{
	return ha_sim_clock(node) < node_of(node)->server.deadline;
}

static uint32_t
sync_set(const HaSync *sync)
{
	uint32_t	set = 0;

	for (int i = 0; i < sync->nstandbys; i++)
	{
		int			node = ha_sim_node_named(sync->standbys[i]);

		if (node >= 0)
			set |= 1U << node;
	}
	return set;
}

/*-------------------------------------------------------------------------
 * Acknowledgements
 *-------------------------------------------------------------------------
 */

/* Commits that were acknowledged and that this node does not hold. */
static int
count_missing(int node, bool forget)
{
	int			n = 0;

	for (int i = 0; i < nacks; i++)
	{
		if (acks[i].lost || ha_server_holds(node, acks[i].position))
			continue;
		n++;
		if (forget)
			acks[i].lost = true;
	}
	return n;
}

static void
remember_ack(SimPosition position)
{
	if (nacks == max_acks)
	{
		max_acks = max_acks == 0 ? 4096 : max_acks * 2;
		acks = realloc(acks, max_acks * sizeof(Ack));
		if (acks == NULL)
			abort();
	}
	acks[nacks].position = position;
	acks[nacks++].lost = false;
}

/*
 * The client has got its answer.  A session that froze after its last look at
 * the deadline may answer late: then a commit that standbys confirmed is still
 * safe, and any other may be lost, which is the known exception.
 */
void
ha_check_ack(int node, const SimSession *session)
{
	const SimServer *server = &node_of(node)->server;
	int64_t		now = ha_sim_clock(node);
	bool		froze = now - session->checked_at > FROZE;
	int			leader = view.term.present ?
	ha_sim_node_named(view.term.owner) : -1;

	ha_world.acks++;
	if (session->checked_at >= session->deadline)
		ha_sim_fail("I-1: %s acknowledged after its deadline",
					node_of(node)->name);
	if (!server->proven)
		ha_sim_fail("I-8: %s acknowledged without a proof since its start",
					node_of(node)->name);
	if (server->postmaster_dead)
		ha_sim_sometimes(SIM_ORPHAN_ACK);
	if (now >= session->deadline)
		ha_sim_sometimes(SIM_LATE_ACK);
	if (session->term < acked_term && acked_by != node && !froze)
		ha_sim_fail("I-2: %s acknowledged in term %lld after %s had in term %lld",
					node_of(node)->name, (long long) session->term,
					node_of(acked_by)->name, (long long) acked_term);
	if (session->term > acked_term)
	{
		acked_term = session->term;
		acked_by = node;
	}
	if (leader >= 0 && leader != node && view.term.term > session->term &&
		!ha_server_holds(leader, session->commit))
	{
		/* a late answer for what a failover has lost, or is losing */
		if (froze && session->exempt)
		{
			ha_sim_sometimes(SIM_LOST_ASYNC);
			return;
		}
		if (!view.term.intent)
			ha_sim_fail("I-3: %s acknowledged what leader %s lacks",
						node_of(node)->name, node_of(leader)->name);
	}
	if (leader == node)
		ha_check_holders(node, &view.sync, session->commit);
	remember_ack(session->commit);
}

/* What a client has read is as good as acknowledged to it. */
void
ha_check_shown(int node)
{
	const SimServer *server = &node_of(node)->server;
	SimPosition shown = {server->flush.timeline, server->recovered};

	ha_sim_sometimes(SIM_SHOWN);
	remember_ack(shown);
}

/*
 * I-9: some of what a node has is about to be dropped; it keeps what leads to
 * that position.  Nothing that was acknowledged, and that no failover has lost,
 * may be gone for good by that.
 */
void
ha_check_discard(int node, SimPosition left)
{
	for (int i = 0; i < nacks; i++)
	{
		SimPosition position = acks[i].position;
		bool		kept = acks[i].lost || !ha_server_holds(node, position) ||
		ha_timeline_limit(left, position.timeline) >= position.lsn;

		for (int other = 0; other < ha_world.nnodes && !kept; other++)
			kept = other != node && ha_server_holds(other, position);
		if (!kept)
		{
			ha_sim_fail("I-9: %s drops the only copy of an acknowledged commit",
						node_of(node)->name);
			return;
		}
	}
}

/*-------------------------------------------------------------------------
 * Gates and names
 *-------------------------------------------------------------------------
 */

static bool
must_be_closed(int node, const char *what)
{
	if (!gate_is_open(node))
		return true;
	ha_sim_fail("I-2: %s while the gate of %s is open for another %lld ms",
				what, node_of(node)->name,
				(long long) (node_of(node)->server.deadline -
							 ha_sim_clock(node)));
	return false;
}

/* So many of the voters may lack a commit that those names let pass. */
static int
may_lack(uint32_t voters, const SimSettings *settings)
{
	int			common = __builtin_popcount(voters & settings->names);
	int			idle = __builtin_popcount(settings->names) - settings->confirm;

	return __builtin_popcount(voters) - common + (idle < common ? idle : common);
}

/*
 * Whoever elects must meet whoever confirms, whichever walsender releases the
 * commit, as long as this node may acknowledge any.
 */
void
ha_check_names(int node)
{
	const SimServer *server = &node_of(node)->server;
	uint32_t	voters;

	if (!gate_is_open(node) || !view.sync.present ||
		strcmp(view.sync.leader, node_of(node)->name) != 0)
		return;
	voters = sync_set(&view.sync);
	if (server->checkpointer.names == 0 &&
		may_lack(voters, &server->checkpointer) > view.sync.quorum)
		ha_sim_fail("I-4: %s does not wait for standbys, but /sync lists some",
					node_of(node)->name);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		const SimWalSender *sender = &server->senders[i];

		if (sender->connection != 0 &&
			(sender->settings.names & (1U << i)) != 0 &&
			may_lack(voters, &sender->settings) > view.sync.quorum)
			ha_sim_fail("I-4: the walsender of %s to %s releases commits without those of /sync that could elect",
						node_of(node)->name, node_of(i)->name);
	}
}

/* A gate was opened, or is to stay open for longer. */
void
ha_check_gate(int node)
{
	const SimServer *server = &node_of(node)->server;
	int			missing;

	if (!gate_is_open(node))
		return;					/* what it was given has passed already */
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (i != node)
			must_be_closed(i, "a gate opens");
	}
	if (server->state != SIM_PRIMARY)
		ha_sim_fail("S-15: %s opened its gate and is no primary",
					node_of(node)->name);
	if (strcmp(view.term.owner, node_of(node)->name) != 0 ||
		view.term.intent || view.term.unchecked_from != 0 ||
		view.term.term != server->term)
		ha_sim_fail("S-15: %s opened its gate, but the store says term %lld of %s%s",
					node_of(node)->name, (long long) view.term.term,
					view.term.owner, view.term.intent ? ", an intent" : "");

	if (server->flush.timeline == ended_timeline &&
		node_of(node)->worker.lease.proof_base > ended_at[node])
		ha_sim_fail("S-5: %s leads again on timeline %u after a foreign leader",
					node_of(node)->name, ended_timeline);
	missing = count_missing(node, false);
	if (missing > 0)
		ha_sim_fail("I-3: %s opened its gate and lacks %d acknowledged commits",
					node_of(node)->name, missing);
	ha_check_names(node);
}

/*-------------------------------------------------------------------------
 * The store
 *-------------------------------------------------------------------------
 */

/*
 * I-7: who stands has nothing but the history of the contest that it stands in.  In a
 * standby cluster that is the source's to know, which is not here.
 */
static void
check_vote_history(int node)
{
	const HaVote *vote = &votes[node];
	SimPosition truth = {view.term.timeline, UINT64_MAX};

	if (view.term.timeline != 0 && !view.term.standby &&
		vote->term == view.term.term &&
		vote->term_revision == view.term.mod_revision &&
		ha_timeline_limit(truth, vote->timeline) < vote->lsn)
		ha_sim_fail("I-7: %s stands with WAL at %u/%llu, which is not on timeline %u",
					node_of(node)->name, vote->timeline,
					(unsigned long long) vote->lsn, view.term.timeline);
}

/* S-2: a vote is final, and is about WAL that is really there. */
static void
check_vote(const char *name, const char *value)
{
	int			node = ha_sim_node_named(name);
	SimPosition position;
	HaAnswer	answer = {0};
	HaKv		kv = {0};
	HaView	   *one;

	if (node < 0)
		return;
	memset(&votes[node], 0, sizeof(HaVote));
	if (value == NULL)
		return;
	one = malloc(sizeof(HaView));
	if (one == NULL)
		abort();
	snprintf(kv.key, sizeof(kv.key), "pg_ha/votes/%s", name);
	kv.value = (char *) value;
	kv.length = strlen(value);
	answer.nkvs = 1;
	answer.kvs = &kv;
	ha_view_parse(&answer, NULL, one);
	votes[node] = one->votes[0];
	free(one);
	position.timeline = votes[node].timeline;
	position.lsn = votes[node].lsn;
	if (!votes[node].withdrawn)
		ha_failsafe_check(node, votes[node].term, "votes");
	if (!votes[node].withdrawn && !ha_server_holds(node, position))
		ha_sim_fail("S-2: %s votes with WAL that it does not have", name);
	if (!votes[node].withdrawn)
	{
		check_vote_history(node);
		ha_mishap_moment(node, SIM_AT_VOTE);
	}
}

/* A standby has got more, and will confirm it. */
void
ha_check_received(int node)
{
	const HaVote *vote = &votes[node];

	if (vote->term != 0 && !vote->withdrawn &&
		vote->term == view.term.term &&
		vote->term_revision == view.term.mod_revision &&
		node_of(node)->server.flush.lsn > vote->lsn)
		ha_sim_fail("S-2: %s confirms WAL beyond its final vote",
					node_of(node)->name);
}

void
ha_check_put(const char *key, const char *old_value, const char *value)
{
	if (strcmp(key, "pg_ha/heartbeat") == 0)
	{
		HaKv		kv = {0};

		ha_failsafe_note_heartbeat();
		kv.value = (char *) old_value;
		kv.length = old_value ? strlen(old_value) : 0;
		memset(&last_heartbeat, 0, sizeof(last_heartbeat));
		if (old_value != NULL && strstr(old_value, "released") != NULL)
			ha_heartbeat_parse(&kv, &last_heartbeat);
	}
	else if (strcmp(key, "leader") == 0)
	{
		view_is_old = true;
		if (old_value != NULL && value != NULL &&
			strcmp(old_value, value) != 0)
			ha_sim_fail("I-5: the leader key went from %s to %s at once",
						old_value, value);
		if (value != NULL && ha_sim_node_named(value) < 0)
		{
			ended_timeline = view.term.timeline;
			for (int i = 0; i < ha_world.nnodes; i++)
				ended_at[i] = ha_sim_clock(i);
		}
	}
	else if (strncmp(key, "pg_ha/votes/", 12) == 0)
		check_vote(key + 12, value);
	else if (strcmp(key, "pg_ha/term") == 0 || strcmp(key, "sync") == 0 ||
			 strcmp(key, "failover") == 0 || strcmp(key, "config") == 0)
		view_is_old = true;
}

static bool
may_be_elected(const HaSync *sync, int node)
{
	return !sync->present ||
		strcmp(sync->leader, node_of(node)->name) == 0 ||
		(sync_set(sync) & (1U << node)) != 0;
}

/* Somebody took the key, and a new term with it. */
static void
check_acquired(const HaView *old, int node)
{
	const SimServer *server = &node_of(node)->server;
	const HaTerm *term = &view.term;
	SimPosition truth = {old->term.timeline, UINT64_MAX};
	SimPosition held = server->flush;

	/* a promotion that was never recorded acknowledged nothing */
	while (held.timeline > 1 && !ha_world.timelines[held.timeline].led &&
		   ha_timeline_limit(truth, held.timeline) == 0)
	{
		held.lsn = ha_world.timelines[held.timeline].begin;
		held.timeline = ha_world.timelines[held.timeline].parent;
	}
	ha_failsafe_check(node, old->term.term, "takes the leader key");
	ha_patroni_check(node, &old->term);
	acquired_sync = old->sync.present;
	if (term->intent && old->sync.present && old->sync.quorum > 0 &&
		strcmp(old->sync.leader, node_of(node)->name) != 0)
		ha_sim_sometimes(SIM_QUORUM);
	acquired_wish = old->failover.present &&
		strcmp(old->failover.candidate, node_of(node)->name) == 0;
	acquired_again = !term->intent;
	if (old->term.present && !old->term.intent)
		last_leader = ha_sim_node_named(old->term.owner);
	acquired_clean = last_heartbeat.released &&
		last_heartbeat.term == old->term.term &&
		last_heartbeat.released_lsn > 0 &&
		server->flush.timeline == old->term.timeline &&
		server->flush.lsn >= last_heartbeat.released_lsn;
	ha_sim_say(node, "has the leader key, term %lld%s, at %u/%llu",
			   (long long) term->term, term->intent ? "" : " (resumes)",
			   server->flush.timeline, (unsigned long long) server->flush.lsn);

	if (old->term.present && term->term != old->term.term + 1)
		ha_sim_fail("I-6: term %lld follows term %lld",
					(long long) term->term, (long long) old->term.term);
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (i != node)
			must_be_closed(i, "another node takes the key");
	}
	if (!may_be_elected(&old->sync, node))
		ha_sim_fail("I-4: %s was elected and is not in /sync",
					node_of(node)->name);
	if (old->term.timeline != 0 && server->state != SIM_DOWN &&
		!term->standby && ha_timeline_limit(truth, held.timeline) < held.lsn)
		ha_sim_fail("I-7: %s was elected at %u/%llu, which is not on timeline %u",
					node_of(node)->name, server->flush.timeline,
					(unsigned long long) server->flush.lsn,
					old->term.timeline);
	if (term->intent && !term->standby &&
		ha_world.timelines[term->reserved].used &&
		server->flush.timeline != term->reserved)
		ha_sim_fail("I-6: timeline %u was reserved twice", term->reserved);
	if (term->intent && old->term.present && server->state == SIM_STANDBY)
		ha_check_takeover(node, old, &last_heartbeat, &votes[node]);
	ha_mishap_moment(node, SIM_AT_KEY);
}

static void
note_failover(void)
{
	const HaConfig *config = &view.config;

	ha_sim_sometimes(SIM_FAILOVER);
	ha_sim_sometimes(config->synchronous_mode == HA_SYNC_OFF ? SIM_FAILOVER_ASYNC :
					 config->synchronous_mode == HA_SYNC_QUORUM ? SIM_FAILOVER_QUORUM :
					 SIM_FAILOVER_SYNC);
	if (config->synchronous_mode != HA_SYNC_OFF && config->synchronous_mode_strict)
		ha_sim_sometimes(SIM_FAILOVER_STRICT);
}

/* The new reign tells its timeline; from now on it may acknowledge. */
static void
check_confirmed(int node)
{
	int			missing;

	if (view.term.standby)
	{
		/* who makes a standby cluster of it has given up what it had */
		for (int i = 0; i < nacks; i++)
			acks[i].lost = true;
	}
	missing = count_missing(node, false);
	ha_world.timelines[view.term.timeline].led = true;
	if (node_of(node)->server.flush.timeline != view.term.timeline)
		ha_sim_fail("S-15: %s confirmed timeline %u and is on %u",
					node_of(node)->name, view.term.timeline,
					node_of(node)->server.flush.timeline);
	if (missing > 0 && acquired_sync)
		ha_sim_fail("I-3: %s was elected from /sync and lacks %d acknowledged commits",
					node_of(node)->name, missing);
	if (missing > 0 && acquired_again)
		ha_sim_fail("I-3: %s resumed and lacks %d acknowledged commits",
					node_of(node)->name, missing);
	if (missing > 0 && acquired_clean)
		ha_sim_fail("S-3: %s took over a released reign and lacks %d acknowledged commits",
					node_of(node)->name, missing);
	if (missing > 0)
	{
		ha_sim_sometimes(SIM_LOST_ASYNC);
		ha_sim_say(node, "%d acknowledged commits are lost", missing);
		count_missing(node, true);
	}
	if (last_leader == node)
		ha_sim_sometimes(SIM_RESUMED);
	else if (last_leader >= 0)
		note_failover();
	ha_check_lineage(&view.term);
	ha_mishap_moment(node, SIM_AT_RECORD);
	if (acquired_clean)
		ha_sim_sometimes(last_leader != node ? SIM_HANDED_OVER :
						 SIM_KEY_CAME_BACK);
	if (acquired_wish)
		ha_sim_sometimes(SIM_SWITCHOVER);
	if (ha_world.quiet)
		ha_sim_fail("L-2: the leader changed to %s without any fault",
					node_of(node)->name);
}

/* S-13: what a released key says of its reign covers all that was acknowledged. */
static void
check_released(int node)
{
	for (int i = 0; i < nacks && view.heartbeat.released_lsn > 0; i++)
	{
		if (!acks[i].lost &&
			acks[i].position.timeline == view.term.timeline &&
			acks[i].position.lsn > view.heartbeat.released_lsn)
			ha_sim_fail("S-13: %s released its key at %llu, and had acknowledged %llu",
						node_of(node)->name,
						(unsigned long long) view.heartbeat.released_lsn,
						(unsigned long long) acks[i].position.lsn);
	}
}

/*
 * A leader that handed its key over ends: if the new one took it because it has all
 * of the released reign, nothing is here that it lacks, so nothing to be rewound.
 */
void
ha_check_yield(int node)
{
	int			leader = ha_sim_node_named(view.leader.name);

	if (leader >= 0 && acquired_clean && !view.term.intent &&
		strcmp(view.term.owner, view.leader.name) == 0 &&
		!ha_server_holds(leader, node_of(node)->server.flush))
		ha_sim_fail("S-13: %s handed over to %s and has WAL that it lacks",
					node_of(node)->name, node_of(leader)->name);
}

/* For each commit so many of those in /sync have it that the rest elects nobody. */
static void
check_listed(const HaSync *sync)
{
	uint32_t	voters = sync_set(sync);

	for (int i = 0; i < nacks; i++)
	{
		int			lacking = 0;

		for (int j = 0; j < ha_world.nnodes && !acks[i].lost; j++)
			lacking += (voters & (1U << j)) != 0 &&
				!ha_server_holds(j, acks[i].position);
		if (lacking > sync->quorum)
			ha_sim_fail("I-4: %d of those that may elect by /sync with quorum %d lack a commit",
						lacking, sync->quorum);
	}
}

/* S-11: the record of a reign of Patroni's is put once, and tells what was. */
static void
check_testimony(const HaView *old)
{
	const HaTerm *term = &view.term;

	ha_sim_sometimes(SIM_TESTIFIED);
	if (term->term != old->term.term + 1)
		ha_sim_fail("S-11: term %lld is put on record after term %lld",
					(long long) term->term, (long long) old->term.term);
	if (strcmp(term->owner, "patroni") != 0 || term->intent)
		ha_sim_fail("S-11: the reign of %s is put on record as foreign",
					term->owner);
	if (old->leader.present && strcmp(old->leader.name, "patroni") != 0)
		ha_sim_fail("S-11: a reign is put on record under the leader key of %s",
					old->leader.name);
	ha_check_lineage(term);
}

void
ha_check_revision(void)
{
	HaView	   *old;
	const HaTerm *term = &view.term;
	int			node;

	if (!view_is_old)
		return;
	view_is_old = false;
	old = malloc(sizeof(HaView));
	if (old == NULL)
		abort();
	*old = view;
	view = *ha_store_view();
	node = term->foreign ? -1 : ha_sim_node_named(term->owner);
	if (term->mod_revision != old->term.mod_revision && view.term.foreign)
		check_testimony(old);
	else if (term->mod_revision != old->term.mod_revision)
	{
		if (term->term < old->term.term || node < 0 || !term->present)
			ha_sim_fail("I-6: term %lld became %lld",
						(long long) old->term.term, (long long) term->term);
		else if (term->term > old->term.term)
			check_acquired(old, node);
		else if (strcmp(term->owner, old->term.owner) != 0)
			ha_sim_fail("I-6: term %lld has two owners", (long long) term->term);
		if (!ha_world.failed && !term->intent &&
			(old->term.intent || term->term > old->term.term))
			check_confirmed(node);
	}
	if (view.sync.mod_revision != old->sync.mod_revision)
	{
		check_listed(&view.sync);
		ha_mishap_moment(ha_sim_node_named(view.sync.leader), SIM_AT_SYNC);
	}
	if (old->leader.present && !view.leader.present)
	{
		node = ha_sim_node_named(old->leader.name);
		if (view.heartbeat.released && node >= 0 &&
			strcmp(view.heartbeat.name, old->leader.name) == 0)
		{
			must_be_closed(node, "its key is released");
			check_released(node);
			ha_mishap_moment(node, SIM_AT_RELEASE);
		}
	}
	for (int i = 0; i < ha_world.nnodes; i++)
		ha_check_names(i);
	free(old);
}

void
ha_check_timeline(int node, uint32_t id, SimPosition from)
{
	SimTimeline *timeline;

	if (id >= SIM_TIMELINES)
	{
		ha_sim_fail("there are no timelines left");
		return;
	}
	timeline = &ha_world.timelines[id];
	if (timeline->used)
	{
		ha_sim_fail("I-6: %s promotes to timeline %u, which %s has used",
					node_of(node)->name, id, node_of(timeline->owner)->name);
		return;
	}
	timeline->used = true;
	timeline->owner = node;
	timeline->parent = from.timeline;
	timeline->begin = from.lsn;
}

/*-------------------------------------------------------------------------
 * Any input gives some plan
 *-------------------------------------------------------------------------
 */

static void
randomize(void *bytes, size_t size)
{
	unsigned char *p = bytes;

	for (size_t i = 0; i + 8 <= size; i += 8)
	{
		uint64_t	random = ha_sim_random();

		memcpy(p + i, &random, 8);
	}
}

/* Some bytes only, so that the rules get deeper than their first lines. */
static void
disturb(void *bytes, size_t size)
{
	unsigned char *p = bytes;

	for (int i = 0; i < 40; i++)
		p[ha_sim_random() % size] = (unsigned char) ha_sim_random();
}

static bool
plan_is_valid(const HaPlan *plan)
{
	return plan->verb >= HA_WAIT && plan->verb <= HA_STOP &&
		memchr(plan->why, 0, HA_WHY_SIZE) != NULL && plan->why[0] != '\0' &&
		memchr(plan->follow, 0, HA_NAME_SIZE) != NULL &&
		plan->ncounted >= 0 && plan->ncounted <= HA_MAX_MEMBERS &&
		plan->nnames >= 0 && plan->nnames <= HA_MAX_MEMBERS;
}

void
ha_check_decide(void)
{
	static HaConfig config;
	static HaView any;
	static HaLocal local;
	static HaPlan plan;
	uint64_t	random = ha_world.random;

	randomize(&config, sizeof(config));
	randomize(&any, sizeof(any));
	randomize(&local, sizeof(local));
	for (int i = 0; i < 8; i++)
	{
		ha_decide(&config, &any, &local, (int64_t) ha_sim_random(), &plan);
		if (!plan_is_valid(&plan))
			ha_sim_fail("I-12: random bytes give an invalid plan");
		any = view;
		local = node_of(i % ha_world.nnodes)->worker.local;
		config = view.config;
		disturb(&any, sizeof(any));
		disturb(&local, sizeof(local));
	}

	/* a seed gives the same history whatever the size of these */
	ha_world.random = random;
}

/*-------------------------------------------------------------------------
 * Health, when nothing is wrong any more
 *-------------------------------------------------------------------------
 */

static bool
not_yet(char *why, size_t whylen, const char *name, const char *what)
{
	snprintf(why, whylen, "%s%s%s", name, name[0] ? " " : "", what);
	return false;
}

/* Besides those that were asked to promise anything nobody stands (S-9). */
static bool
may_be_asked(const HaFailsafe *failsafe, int node)
{
	for (int i = 0; i < failsafe->nmembers; i++)
	{
		if (strcmp(failsafe->members[i], node_of(node)->name) == 0)
			return true;
	}
	return !failsafe->present ||
		strcmp(view.term.owner, node_of(node)->name) == 0;
}

/*
 * L-3: may one of those that are left lead?  Only a sufficient condition: its
 * WAL is the cluster's, nobody has begun to replace it, and /sync and /failsafe
 * allow it.
 */
bool
ha_check_can_recover(int lost)
{
	const HaView *now = ha_store_view();
	SimPosition truth = {now->term.timeline, UINT64_MAX};
	int			able = 0;

	if (!now->term.present ||
		(now->leader.present && now->leader.lease == 0 &&
		 strcmp(now->leader.name, node_of(lost)->name) == 0) ||
		(!now->sync.present && ha_world.shape.maximum_lag < 1 << 20))
		return false;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		const SimNode *n = node_of(i);
		SimPosition held = n->server.flush;

		if (i == lost || n->boot.rewind_wanted || n->boot.state == SIM_BOOT_COPY ||
			!may_be_elected(&now->sync, i) ||
			!may_be_asked(&now->failsafe, i) ||
			ha_timeline_limit(truth, held.timeline) < held.lsn ||
			n->server.consistent > held.lsn)
			continue;
		if (strcmp(now->sync.leader, n->name) == 0)
			return true;
		able++;
	}
	/* the best of them needs the consent of so many others */
	return able > (now->sync.present ? now->sync.quorum : 0);
}

/* Somebody leads, and has acknowledged more than so many commits. */
bool
ha_check_leads(int64_t acks_before)
{
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (gate_is_open(i) && acked_by == i &&
			ha_world.acks > acks_before)
			return true;
	}
	return false;
}

bool
ha_check_healthy(char *why, size_t whylen)
{
	int			leader = -1;
	const SimServer *server;

	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (gate_is_open(i))
			leader = i;
	}
	if (leader < 0)
		return not_yet(why, whylen, "", "nobody leads");
	if (ha_disk_stalls(leader))
		return not_yet(why, whylen, node_of(leader)->name,
					   "leads, and its disk does not work");
	server = &node_of(leader)->server;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		const SimServer *standby = &node_of(i)->server;

		if (i == leader || ha_disk_stalls(i))
			continue;
		if (standby->state != SIM_STANDBY)
			return not_yet(why, whylen, node_of(i)->name, "is no standby");
		if (standby->receiver.connection == 0 ||
			standby->receiver.upstream != leader ||
			!server->senders[i].streaming)
			return not_yet(why, whylen, node_of(i)->name,
						   "does not stream from the leader");
		if (standby->flush.timeline != server->flush.timeline)
			return not_yet(why, whylen, node_of(i)->name,
						   "is on another timeline");
	}
	if (view.config.synchronous_mode != HA_SYNC_OFF &&
		(!view.sync.present || view.sync.nstandbys == 0))
		return not_yet(why, whylen, "", "/sync lists nobody");
	if (acked_by != leader || acked_term != view.term.term)
		return not_yet(why, whylen, node_of(leader)->name,
					   "acknowledges nothing");
	return true;
}

void
ha_check_begin(void)
{
	nacks = 0;
	memset(&view, 0, sizeof(view));
	memset(&last_heartbeat, 0, sizeof(last_heartbeat));
	view_is_old = false;
	acked_term = 0;
	acked_by = 0;
	last_leader = -1;
	ended_timeline = 0;
	memset(votes, 0, sizeof(votes));
}
