/*-------------------------------------------------------------------------
 *
 * sim.h
 *	  The world of the simulator, in which the real rules live.
 *
 * One thread and one queue of events: whatever takes time is an event, whatever
 * may happen in between happens.  A history is a function of its seed alone.
 *
 * Times of the world are microseconds from its beginning.  Nodes never see
 * them: each has a clock of its own, with its own zero and its own rate.
 *
 *	sim.c			events, chance, the command line
 *	sim_faults.c	what goes wrong in a history
 *	sim_mishaps.c	more of it: disks, tags, ghosts, ambushes
 *	sim_store.c		the store and the network to it
 *	sim_server.c	PostgreSQL: WAL, streaming, settings, sessions
 *	sim_failsafe.c	questions between members, and what goes wrong there
 *	sim_standby_cluster.c	a cluster that follows another one for a while
 *	sim_patroni.c	a member of Patroni
 *	sim_worker.c	the worker, which runs lease.c and decide.c
 *	sim_boot.c		pg_ha_boot, which runs boot/leader.c; the life of a node
 *	sim_check.c		what must never be seen
 *	sim_promises.c	the same, as far as it needs no memory of its own
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SIM_H
#define HA_SIM_H

#include "../cascade.h"
#include "../cluster.h"
#include "../control.h"
#include "../dcs.h"
#include "../lease.h"

#define SIM_NODES			5
#define SIM_NOBODY			(1U << SIM_NODES)
#define SIM_SESSIONS		3	/* clients of each server */
#define SIM_PEER_ANSWERS	32
#define SIM_TIMELINES		2048
#define SIM_PATRONI			(-1)	/* the owner of a timeline, if it is none of
									 * the nodes */
#define SIM_RECORD			64	/* every WAL record is so long */
#define SIM_SYSID			7000000000000000001ULL
#define SIM_MS				1000
#define SIM_SECOND			1000000
#define SIM_NEVER			INT64_MAX

/*
 * What an event belongs to.  It is put off while that is frozen, and does not
 * come to pass if that has ended since.
 */
typedef enum SimScope
{
	SIM_WORLD,
	SIM_MACHINE,
	SIM_SERVER,					/* every process of the server but the worker */
	SIM_WORKER,
	SIM_BOOT,
	SIM_SCOPES,
} SimScope;

typedef void (*SimAction) (int node, int64_t number, void *pointer);

/* Whose session with the store. */
typedef enum SimClient
{
	SIM_CLIENT_WORKER,
	SIM_CLIENT_BOOT,
	SIM_CLIENT_MEMBER,
	SIM_CLIENTS,
} SimClient;

/* A position in the WAL. */
typedef struct SimPosition
{
	uint32_t	timeline;
	uint64_t	lsn;
} SimPosition;

/* What really became of a timeline, whatever anybody recorded of it. */
typedef struct SimTimeline
{
	bool		used;
	int			owner;
	uint32_t	parent;
	uint64_t	begin;			/* where it left its parent */
	bool		led;			/* a reign on it was confirmed */
} SimTimeline;

/* The settings file that the worker writes; sets of nodes are bit masks. */
typedef struct SimSettings
{
	int			epoch;
	int			follows;		/* node, -1 = nobody */
	uint32_t	names;			/* SIM_NOBODY is one of them that never is
								 * there */
	int			confirm;		/* so many of them must */
} SimSettings;

/* One walsender: the upstream's side of a connection. */
typedef struct SimWalSender
{
	uint32_t	connection;		/* 0 = there is none */
	uint64_t	catch_up;		/* when it has this, it streams */
	bool		streaming;
	uint64_t	flush;			/* as the standby has told */
	SimSettings settings;		/* as it has applied them */
} SimWalSender;

/* The standby's side. */
typedef struct SimReceiver
{
	uint32_t	connection;
	int			upstream;
	SimPosition sent;			/* what is on its way to us */
	bool		in_flight;
	int64_t		stalled_since;
} SimReceiver;

typedef enum SimStep
{
	SIM_IDLE,
	SIM_GATE,					/* the check before commit */
	SIM_WRITE,
	SIM_FLUSH,
	SIM_SYNC,					/* waits for standbys */
	SIM_CHECK,					/* the check after commit */
	SIM_SEND,
} SimStep;

/* One client's session, a process of its own. */
typedef struct SimSession
{
	SimStep		step;
	uint32_t	serial;			/* voids what was scheduled before */
	bool		waiting;		/* to be woken, by the gate or by standbys */
	int64_t		give_up;		/* own clock */
	SimPosition commit;
	bool		exempt;			/* nobody but we was to confirm it */
	int64_t		term;			/* at the check after commit */
	int64_t		checked_at;		/* ... which was then */
	int64_t		deadline;		/* ... against this one */
	bool		frozen;			/* ... and then it froze */
} SimSession;

typedef enum SimState
{
	SIM_DOWN,
	SIM_STARTING,
	SIM_STANDBY,
	SIM_PRIMARY,
	SIM_STOPPING,
} SimState;

typedef struct SimServer
{
	/* on disk */
	SimPosition flush;			/* a standby: received and flushed */
	uint8_t		files[SIM_TIMELINES];	/* history files in pg_wal */
	uint64_t	consistent;		/* recovery has to come so far */
	bool		clean;			/* ended by a shutdown checkpoint */
	bool		wrote;			/* ... or not, as a primary */
	uint64_t	checkpoint;		/* where that one stands */
	bool		standby_signal;
	SimSettings file;

	/* in memory */
	SimState	state;
	bool		as_primary;
	bool		was_primary;	/* STOPPING: what it was */
	bool		postmaster_dead;
	bool		promoting;
	SimPosition replay;
	bool		replaying;		/* what was received will be replayed soon */
	bool		replays_own;	/* what was here at the start, not to its end */
	uint64_t	insert;
	int64_t		recovered_at;
	SimSettings postmaster;		/* settings as applied */
	SimSettings startup;
	SimSettings checkpointer;
	int64_t		startup_stuck_until;
	int64_t		apply_slow;		/* microseconds that a reload may take */
	SimReceiver receiver;
	SimWalSender senders[SIM_NODES];
	uint64_t	released;		/* commits up to here need not wait longer */
	int64_t		deadline;		/* the gate: own clock, shared memory */
	int64_t		term;			/* for which the gate was last opened */
	bool		sync_required;
	bool		held;			/* commits wait for a hand-over */
	bool		frozen;			/* the WAL is stopped */
	bool		shows;			/* clients may read */
	uint64_t	recovered;		/* where crash recovery ended */
	bool		proven;			/* a proof succeeded since the start */
	SimSession	sessions[SIM_SESSIONS];
} SimServer;

/* What worker.c keeps, as far as it matters here. */
typedef struct SimWorker
{
	bool		running;
	HaLease		lease;
	HaLocal		local;
	HaPlan		plan;
	HaCascadeWatch watch;
	SimSettings managed;
	int64_t		managed_at;
	bool		managed_written;
	int64_t		last_turn;
	int64_t		holds_since;	/* the leader key; 0 = it does not */
	int64_t		turn_now;		/* the clock as the turn read it */
	bool		acting;			/* between deciding and acting */
	uint32_t	wake_serial;
	int64_t		counted_since;
	int			nturns;
	HaWant		want;
	uint64_t	replayed;
	int64_t		prepare_for;	/* the wish whose checkpoint is under way */
	int64_t		prepare_until;
	bool		leads;			/* for telling changes */
	int			ninbox;
	int			max_inbox;
	HaAnswer   *inbox;			/* what came while it was busy or frozen */
	int			npeer_answers;
	HaPeerAnswer peer_answers[SIM_PEER_ANSWERS];
} SimWorker;

/* The control block. */
typedef struct SimControl
{
	HaControlLease lease;
	int64_t		deadline;
	HaRole		role;			/* the worker's report */
	uint32_t	timeline;
	uint64_t	flush_lsn;
	uint64_t	replay_lsn;
	bool		streaming;
	bool		sick;
	HaWant		want;
	bool		lost;			/* the machine was started anew */
	HaControlQuestion question;
	bool		promise_known;
	HaControlPromise promise;
} SimControl;

typedef enum SimBootState
{
	SIM_BOOT_DEAD,
	SIM_BOOT_SERVING,
	SIM_BOOT_STOPPING,
	SIM_BOOT_CLEARING,
	SIM_BOOT_LOOK,
	SIM_BOOT_REPUT,
	SIM_BOOT_RELEASE,
	SIM_BOOT_COPY,				/* rewinds or clones */
	SIM_BOOT_STOPPED,			/* left, as the operator wished */
} SimBootState;

typedef struct SimBoot
{
	SimBootState state;
	int64_t		entered_at;		/* own clock, as all here */
	int64_t		died_at;
	int64_t		stop_next_at;
	int64_t		look_at;
	bool		child;			/* the server is our child */
	bool		stop_requested;
	HaWant		purpose;
	bool		crashed;
	bool		rewind_wanted;
	bool		yielded;		/* the last stop was for a hand-over */
	bool		keeping;
	int64_t		keep_since;
	int64_t		keep_at;
	bool		reput_is_open;
	bool		release_is_open;
	int64_t		crashes[4];
	HaMemberState member_state;
	uint32_t	wake_serial;
	uint32_t	last_tag;
	uint32_t	tag;			/* of the read or txn that is out; 0 = none */
	HaAnswer	answer;			/* ... and what came of it, but for its kvs */
	uint32_t	keep_tag;		/* the same of a keepalive */
	HaAnswer	keep_answer;
	HaView		view;			/* of the last read */
	int			source;			/* of a rewind or clone */
	uint32_t	source_life;
	bool		copy_is_clone;
	int64_t		copy_until;		/* world */

	/* the session that carries the member key */
	uint32_t	member_tag;
	int64_t		member_lease;
	int64_t		member_due;
	int64_t		member_told_at;
	char		member_told[1024];
} SimBoot;

/* A node's disk, which outlives its server. */
typedef struct SimDisk
{
	int64_t		bad_since;		/* world; the probe fails or hangs */
	int64_t		bad_until;		/* 0 = it is well */
	bool		stalls;			/* and so does whatever is flushed */
} SimDisk;

/* The way from a node to the store. */
typedef struct SimNetwork
{
	bool		cut_out;		/* requests don't arrive */
	bool		cut_in;			/* answers don't */
	bool		stale;			/* connected to a member that lost its leader */
	bool		malicious;		/* see hold_call() in sim_store.c */
	int			duplicate;		/* per mille that are carried out twice */
	bool		hold_acquire;	/* the same for the next acquire */
	bool		hold_sync;		/* ... and the next write of /sync */
	bool		hold_vote;		/* ... and the next vote */
	bool		hold_release;	/* ... and the next release of the leader key */
	bool		hold_denial;	/* ... and the next heartbeat that ends
								 * failsafe mode */
	int			drop;			/* per mille, each way */
	int			slow;			/* per mille that take very long */
} SimNetwork;

typedef struct SimNode
{
	char		name[HA_NAME_SIZE];
	bool		up;				/* the machine runs */
	int64_t		clock_offset;	/* ms */
	int64_t		clock_rate;		/* parts per million too fast */
	uint32_t	lives[SIM_SCOPES];
	int64_t		frozen_until[SIM_SCOPES];
	int64_t		promote_ms;		/* how long the next promotion takes */
	int64_t		recover_ms;		/* ... and the next recovery, 0 = as usual */
	int			replicatefrom;	/* tags; -1 = the leader */
	bool		nosync;
	bool		nofailover;
	int			failover_priority;
	SimNetwork	network;
	SimDisk		disk;
	SimServer	server;
	SimWorker	worker;
	SimBoot		boot;
	SimControl	control;
} SimNode;

/* Rare situations: a run that never met one has tested less than it seems. */
#define SIM_SOMETIMES(X) \
	X(FAILOVER, "another node leads") \
	X(RESUMED, "the same node leads again under a new key") \
	X(SUSPENDED, "a gate closed by time alone") \
	X(IN_PLACE, "crashed and started as primary under its key") \
	X(HANDED_OVER, "took over at once, holding all of a released reign") \
	X(SWITCHOVER, "the operator's candidate leads") \
	X(YIELDED, "a leader ended, as another leads with all its WAL") \
	X(FOLLOWED, "... and followed it without a rewind") \
	X(KEY_CAME_BACK, "who had handed the key over leads again") \
	X(SWITCHOVER_OFF, "a hand-over was called off after commits were held back") \
	X(REWOUND, "rewound or cloned after divergence") \
	X(DIVERGED, "diverged WAL was seen") \
	X(LOST_ANSWER, "a write was carried out, its answer lost") \
	X(LATE_LANDING, "a request was carried out after its timeout") \
	X(HELD_BACK, "a request was carried out when it did most harm") \
	X(LATE_ANSWER, "an answer was taken after a freeze") \
	X(STALE_KEEPALIVE, "a stale member confirmed a dead lease") \
	X(EARLY_REVOKE, "the store dropped the leader key early") \
	X(TTL_RESET, "the store's leader changed while the key was held") \
	X(RACE_LOST, "an acquiring transaction failed its guards") \
	X(REASSERTED, "a key was put anew") \
	X(REIGN_LOST, "a former leader found that another had led") \
	X(UNCHECKED, "a key went again before its owner had looked who had it") \
	X(COMPACTED, "a check of events met a compacted history") \
	X(WITHHELD, "an acknowledgement was withheld after the deadline") \
	X(UNCONFIRMED, "an acknowledgement was withheld for want of standbys") \
	X(FAILSAFE, "a leader went on by promises") \
	X(PROMISED, "a promise was kept while the leader key was gone") \
	X(UNLISTED, "a member did not stand because nobody asks it") \
	X(GATE_WAITED, "a commit waited for the gate") \
	X(GATE_REFUSED, "a commit was refused by the gate") \
	X(LATE_ACK, "a session froze and acknowledged late") \
	X(LOST_ASYNC, "acknowledged commits lost without synchronous standbys") \
	X(PARTIAL, "a promotion cut a partial record") \
	X(DUMMIES, "a promotion reserved timelines in between") \
	X(PROMOTION_KILLED, "a node died while promoting") \
	X(PROMOTION_LATE, "a promotion did not finish in time") \
	X(WITHDRAWN, "a vote was withdrawn") \
	X(STUCK, "a stuck startup process delayed a vote") \
	X(SHOWN, "what recovery made visible was shown late") \
	X(QUORUM, "elected with the votes of others in /sync") \
	X(NOBODY_WAITED, "commits waited for nobody that is there") \
	X(SYNC_SWAP, "a synchronous standby was replaced") \
	X(ORPHAN_ACK, "an orphan acknowledged within its deadline") \
	X(RELEASE_UNKNOWN, "a release of the key had no known outcome") \
	X(BLIND, "a candidate had no contact when the key vanished") \
	X(TIME_JUMP, "a worker noticed that time had jumped") \
	X(NOSPACE, "the store was full") \
	X(WATCH_LOST, "a watch broke") \
	X(PAUSED, "the cluster was paused") \
	X(FAILOVER_ASYNC, "another node leads, mode off") \
	X(FAILOVER_SYNC, "another node leads, mode on") \
	X(FAILOVER_QUORUM, "another node leads, mode quorum") \
	X(FAILOVER_STRICT, "another node leads, strict mode") \
	X(REOPENED, "a gate closed by time opened again in the same term") \
	X(FENCED_WAITERS, "a gate was closed over commits that waited for standbys") \
	X(COLLISION, "a promotion would have used another's timeline id") \
	X(KILLED_WITH_KEY, "a node died between taking the key and promoting") \
	X(KILLED_PROMOTING, "... just when it was told to promote") \
	X(KILLED_PROMOTED, "... between promoting and recording its timeline") \
	X(KILLED_CONFIRMED, "... between recording it and acknowledging") \
	X(KILLED_LEADING, "... just as it began to acknowledge") \
	X(KILLED_VOTED, "... just when it had voted") \
	X(KILLED_NAMING, "... just when it had written new names") \
	X(KILLED_LISTING, "... just when it had written /sync") \
	X(KILLED_RELEASED, "... just when it had given the key up") \
	X(STORE_ELECTION, "an election ran while the store elected its own leader") \
	X(HANDOVER_TAKEN, "a dying leader knew a standby that holds everything") \
	X(HANDOVER_REFUSED, "a dying leader knew of none and kept the key") \
	X(LATE_WALSENDER, "a walsender released commits by names of yesterday") \
	X(DISK_STALLED, "a disk stalled under commits that wait") \
	X(RELEASE_FULL, "a release was refused by a full store") \
	X(ORPHANS_MET, "a new pg_ha_boot met orphans of the old server") \
	X(DUPLICATED, "a request was carried out twice") \
	X(TAGGED, "a member was not to lead or not to confirm") \
	X(CASCADED, "a standby streamed from another one") \
	X(SOURCE_GIVEN_UP, "it left one from which nothing came") \
	X(GHOST, "a member key outlived its node") \
	X(MINORITY, "one node never came back, and the others found a leader") \
	X(GAVE_UP, "a sick leader gave up for another") \
	X(MOVED, "a leader put its key under a lease of another TTL") \
	X(STANDBY_CLUSTER, "the cluster became a standby cluster") \
	X(CLUSTER_PROMOTED, "... and a cluster of its own again") \
	X(PATRONI_LED, "a member of Patroni led") \
	X(PATRONI_ASKED, "... or was asked how far it is") \
	X(TESTIFIED, "... and its reign was put on record") \
	X(SICK_LEADER, "a sick leader went on, since no other could lead")

#define SIM_ENUM(name, text) SIM_##name,
typedef enum SimSometimes
{
	SIM_SOMETIMES(SIM_ENUM)
	SIM_NSOMETIMES,
} SimSometimes;

/* How a history is made. */
typedef struct SimShape
{
	int64_t		ttl;
	int64_t		loop_wait;
	int64_t		retry_timeout;
	int64_t		primary_start_timeout;
	int64_t		maximum_lag;
	bool		sync;
	bool		quorum;			/* ... any of them */
	bool		strict;
	int			sync_nodes;
	bool		pause;
	bool		failsafe;
	bool		standby_cluster;
	bool		archives;		/* so the WAL can't be stopped */
	int			latency;		/* to the store, microseconds */
	int			stragglers;		/* per mille of transactions that take long */
	int			link_latency;	/* between nodes */
	int			think;			/* between transactions */
	int64_t		store_rate;		/* its clock, parts per million too fast */
	uint64_t	faults;			/* bit mask of the kinds that are on */
	int64_t		fault_gap;		/* mean time between two */
} SimShape;

typedef struct SimWorld
{
	uint64_t	seed;
	uint64_t	random;
	int64_t		now;
	bool		verbose;
	bool		failed;
	char		failure[512];
	int			nnodes;
	SimNode		nodes[SIM_NODES];
	bool		link_cut[SIM_NODES][SIM_NODES];
	SimTimeline timelines[SIM_TIMELINES];
	SimShape	shape;
	bool		healing;		/* no more faults */
	bool		quiet;			/* ... and recovered from all of them */
	int			lost_node;		/* will not come back for now, -1 = none */
	bool		over;
	uint32_t	last_connection;

	/* totals of all histories */
	int64_t		steps;
	int64_t		acks;
	int64_t		sometimes[SIM_NSOMETIMES];
} SimWorld;

extern SimWorld ha_world;

/* sim.c */
extern uint64_t ha_sim_random(void);
extern int64_t ha_sim_between(int64_t low, int64_t high);
extern bool ha_sim_chance(int per_mille);
extern int64_t ha_sim_about(int64_t mean);
extern void ha_sim_at(int64_t when, SimScope scope, int node, SimAction action,
					  int64_t number, void *pointer);
extern void ha_sim_end_life(int node, SimScope scope);
extern bool ha_sim_frozen(int node, SimScope scope);
extern void ha_sim_thaw_all(void);
extern int64_t ha_sim_clock(int node);
extern int64_t ha_sim_world_time(int node, int64_t clock);
extern void ha_sim_sometimes(SimSometimes what);
extern int	ha_sim_node_named(const char *name);

__attribute__((format(printf, 2, 3)))
extern void ha_sim_say(int node, const char *format,...);

__attribute__((format(printf, 1, 2)))
extern void ha_sim_fail(const char *format,...);

/* sim_faults.c */
extern uint64_t ha_faults_choose(void);
extern void ha_faults_choose_timing(SimShape *shape);
extern void ha_faults_put_config(void);
extern void ha_faults_next(int node, int64_t number, void *pointer);
extern void ha_faults_end(void);
extern void ha_faults_end_loss(void);
extern void ha_faults_last(void);

/* sim_standby_cluster.c */
extern void ha_standby_cluster_begin(void);
extern void ha_standby_cluster_end(void);
extern void ha_standby_cluster_check(int node);

/* sim_patroni.c */
extern void ha_patroni_begin(void);
extern void ha_patroni_end(void);
extern char *ha_patroni_answer(void);
extern void ha_patroni_check(int node, const HaTerm *old);

/* sim_mishaps.c */
typedef enum SimMoment
{
	SIM_AT_KEY,					/* took the leader key */
	SIM_AT_PROMOTION,			/* was told to promote */
	SIM_AT_TIMELINE,			/* promoted, nobody knows of it yet */
	SIM_AT_RECORD,				/* recorded its timeline */
	SIM_AT_GATE,				/* opened its gate */
	SIM_AT_VOTE,
	SIM_AT_NAMES,				/* wrote new names */
	SIM_AT_SYNC,				/* wrote /sync */
	SIM_AT_RELEASE,				/* gave the leader key up */
	SIM_MOMENTS,
} SimMoment;

extern void ha_mishaps_begin(void);
extern void ha_mishap_moment(int node, SimMoment moment);
extern void ha_mishap_ambush(void);
extern void ha_mishap_tags(int node, int64_t how_long);
extern void ha_mishap_ghost(void);
extern void ha_mishap_pin(int node);
extern void ha_mishap_store_election(int64_t how_long);
extern void ha_mishaps_end(int node);

/* sim_store.c */
extern void ha_store_begin(void);
extern void ha_store_end(void);
extern void ha_store_send(int node, SimClient client, HaRequest *request);
extern void ha_store_cancel(int node, SimClient client, uint32_t tag);
extern void ha_store_put(const char *key, const char *value);
extern int64_t ha_store_grant(int64_t ttl);
extern void ha_store_put_leased(const char *key, const char *value,
								int64_t lease);
extern const HaView *ha_store_view(void);
extern bool ha_store_is_up(void);
extern bool ha_store_is_full(void);
extern void ha_store_set_up(bool up, bool reset_leases);
extern void ha_store_set_full(bool full);
extern void ha_store_compact(void);
extern void ha_store_revoke_leader(void);
extern void ha_store_delete_leader(void);
extern void ha_store_put_leader(const char *name, int64_t ttl);
extern void ha_store_pin(const char *key);
extern void ha_store_break_watches(int node);

/* sim_server.c */
extern bool ha_disk_is_bad(int node);
extern bool ha_disk_stalls(int node);
extern void ha_server_begin(int node, bool as_primary);
extern void ha_server_start(int node, bool as_primary);
extern void ha_server_stop(int node);
extern void ha_server_quit(int node);
extern void ha_server_hold(int node, bool held);
extern bool ha_server_is_drained(int node);
extern void ha_server_freeze(int node, bool frozen);
extern void ha_server_checkpoint(int node);
extern void ha_server_kill_postmaster(int node);
extern void ha_server_reset(int node);
extern void ha_server_end(int node, bool asked);
extern void ha_server_reload(int node);
extern void ha_server_promote(int node, uint32_t reserved);
extern void ha_server_hurry(int node);
extern void ha_server_drop_receiver(int node);
extern void ha_server_gather(int node, HaLocal *local);
extern bool ha_server_is_detached(int node, int epoch);
extern bool ha_server_names_applied(int node, int epoch);
extern void ha_server_cancel_conflicts(int node);
extern void ha_server_cancel_waits(int node);
extern void ha_server_set_deadline(int node, int64_t deadline, int64_t term);
extern void ha_server_show(int node);
extern void ha_server_wake_up(int node);
extern bool ha_server_holds(int node, SimPosition position);
extern uint64_t ha_timeline_limit(SimPosition chain, uint32_t timeline);
extern void ha_server_copy(int node, int source, bool clone);

/* sim_worker.c */
extern void ha_worker_answer(int node, HaAnswer *answer);
extern void ha_worker_end(int node);
extern void ha_worker_start(int node);
extern void ha_worker_stop(int node);
extern void ha_worker_mourn(int node);
extern void ha_worker_kill(int node);
extern void ha_worker_wake(int node, int64_t delay);

/* sim_failsafe.c */
extern void ha_failsafe_begin(void);
extern void ha_failsafe_faults(void);
extern void ha_failsafe_end_faults(void);
extern bool ha_failsafe_has_api(int node);
extern void ha_failsafe_boot_begins(int node);
extern void ha_failsafe_begin_worker(int node);
extern void ha_failsafe_take_answers(int node);
extern void ha_failsafe_gather(int node);
extern void ha_failsafe_take_question(int node);
extern void ha_failsafe_publish_promise(int node);
extern void ha_failsafe_sends(int node, uint32_t tag);
extern void ha_failsafe_ask(int node, int64_t now);
extern void ha_failsafe_check(int node, int64_t term, const char *what);
extern void ha_failsafe_note_heartbeat(void);
extern int64_t ha_failsafe_heartbeat_at(void);

/* sim_boot.c */
extern void ha_node_begin(int node, bool as_primary);
extern void ha_node_answer(int node, SimClient client, HaAnswer *answer);
extern void ha_boot_server_ended(int node, bool asked);
extern void ha_boot_wake(int node, int64_t delay);
extern void ha_boot_kill(int node);
extern void ha_boot_begin(int node, bool attached);
extern void ha_boot_ask_to_stop(int node);
extern void ha_node_crash(int node);
extern void ha_node_power_on(int node);

/* sim_check.c */
extern void ha_check_begin(void);
extern void ha_check_ack(int node, const SimSession *session);
extern void ha_check_shown(int node);
extern void ha_check_gate(int node);
extern void ha_check_names(int node);
extern void ha_check_put(const char *key, const char *old_value,
						 const char *value);
extern void ha_check_revision(void);
extern void ha_check_received(int node);
extern void ha_check_discard(int node, SimPosition left);
extern bool ha_check_can_recover(int lost);
extern bool ha_check_leads(int64_t acks_before);
extern void ha_check_timeline(int node, uint32_t timeline, SimPosition from);
extern void ha_check_yield(int node);
extern void ha_check_decide(void);
extern bool ha_check_healthy(char *why, size_t whylen);

/* sim_promises.c */
extern void ha_check_leader_key(int by, const char *old_value,
								const char *value, int lease_of);
extern void ha_check_lineage(const HaTerm *term);
extern void ha_check_names_written(int node, uint32_t old, uint32_t new);
extern void ha_check_holders(int node, const HaSync *sync, SimPosition commit);
extern void ha_check_takeover(int node, const HaView *old,
							  const HaHeartbeat *released, const HaVote *vote);
extern void ha_check_turn(int node);

#endif							/* HA_SIM_H */
