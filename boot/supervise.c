/*-------------------------------------------------------------------------
 *
 * supervise.c
 *	  The life of one node: the loop, and the server while it lives.
 *
 * One thread, one poll().  Nothing in here waits for the network or for a
 * child: each round takes what has come, lets the present state do its step,
 * and sleeps.
 *
 * While the postmaster lives its worker decides, and this file only does what
 * it asks for.  When it has died, BOOT_CLEARING makes sure that nothing of it
 * can acknowledge a commit any more before rejoin.c so much as looks at the
 * leader key (S-7): either every process is reaped, or the deadline in the
 * control block has passed.  That deadline was raised before any backend could
 * see it, so it is never too early.
 *
 * After a start as primary pg_ha_boot keeps the leader key until the new
 * worker takes it.  Meanwhile it writes the lease section only while no server
 * runs, so that section never has two writers: keeping the key takes
 * heartbeats and keepalives, which change nothing that stands there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "../election.h"
#include "../start.h"
#include "../versions.h"
#include "aside.h"
#include "callbacks.h"
#include "clone.h"
#include "cluster_stop.h"
#include "import_patroni.h"
#include "leader.h"
#include "note_cluster.h"
#include "notify.h"
#include "recreate.h"
#include "remote.h"
#include "rejoin.h"
#include "stranded.h"
#include "supervise.h"
#include "uuid.h"

/* The longest sleep: how late a change in the control block may be seen. */
#define TICK				200

/* The same while dying processes are waited for. */
#define CLEARING_TICK		10

/* How often to look while something elsewhere is waited for. */
#define WAITING_LOOK		300

/* A worker that saw its postmaster die closes the gate and speaks for it. */
#define WORKER_LAST_ACT		500

/* A process that SIGKILL does not end is not waited for longer than this. */
#define UNKILLABLE_AFTER	5000

/* A worker that stops the WAL gives it back after this long itself. */
#define FROZEN_SILENCE		30000

/* So long the lease of a leader that stops for a switchover is renewed. */
#define SWITCHOVER_KEEP		60000

#define STOP_WAIT_MIN		5000
#define QUIT_WAIT			10000
#define KILL_AGAIN			1000
#define JOB_TERM_WAIT		5000
#define LEAVE_WAIT			3000
#define START_BACK_OFF_MAX	30000
#define WORKER_FRESH_FOR	1000
#define NAG_EVERY			60000

/* A server that ends later than this has started, reported or not. */
#define START_WITHIN		60000

/* Older crashes say nothing about the next one. */
#define CRASH_MEMORY		60000

/* Taken for the TTL when neither the control block nor the store tells it. */
#define UNHEARD_TTL			30000

/*
 * States and messages.
 */

void
ha_boot_enter(HaBoot *b, HaBootState state)
{
	b->state = state;
	b->sent = false;
	b->waiting[0] = '\0';

	/* Not b->now: a read sent earlier in this round is no later read. */
	b->entered_at = ha_now();
	ha_session_look_every(b->session, state == BOOT_LOOK ? WAITING_LOOK : 0);
}

/* Said once, until it is something else. */
void
ha_boot_wait_for(HaBoot *b, const char *fmt,...)
{
	char		text[sizeof(b->waiting)];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (strcmp(text, b->waiting) == 0)
		return;
	strlcpy(b->waiting, text, sizeof(b->waiting));
	pg_log_info("waiting for %s", text);
}

/* What nobody else will change is said again each minute. */
bool
ha_boot_may_nag(HaBoot *b, const char *what)
{
	if (b->nag != NULL && strcmp(b->nag, what) == 0 && b->now < b->nag_at)
		return false;
	b->nag = what;
	b->nag_at = b->now + NAG_EVERY;
	return true;
}

void
ha_boot_stop_nagging(HaBoot *b, const char *what)
{
	if (b->nag != NULL && strcmp(b->nag, what) == 0)
		b->nag = NULL;
}

void
ha_boot_quit(HaBoot *b, int exit_code)
{
	b->exit_code = exit_code;
	b->member_state = HA_STATE_STOPPED;
	ha_boot_enter(b, BOOT_LEAVING);
}

/* Otherwise its pid may be somebody else's by now. */
static bool
server_lives(const HaBoot *b)
{
	return b->state == BOOT_SERVING || b->state == BOOT_STOPPING;
}

bool
ha_boot_worker(const HaBoot *b, HaControlWorker *w)
{
	return b->server.pid > 0 && ha_control_get_worker(b->control, w) &&
		w->postmaster_pid == b->server.pid &&
		w->postmaster_start == b->server.start;
}

static bool
is_fresh(const HaBoot *b, const HaControlWorker *w)
{
	return b->now - w->heartbeat_at <= WORKER_FRESH_FOR;
}

/*
 * Starting the server.
 */

/* A missing one would let the next start make a primary of it (S-17). */
static void
restore_standby_signal(HaBoot *b)
{
	if (b->signal_missing && ha_prepare_standby_signal(&b->node))
		b->signal_missing = false;
}

static void
note_failed_start(HaBoot *b)
{
	int			back_off = Min(START_BACK_OFF_MAX,
							   1000 << Min(b->start_failures, 5));

	b->start_failures++;
	b->prepared.libraries[0] = '\0';
	b->not_before = b->now + back_off;
	b->member_state = HA_STATE_START_FAILED;
	if (ha_prepare_roll_back(&b->node))
	{
		b->not_before = b->now;
		b->rolled_back = true;
		return;
	}
	pg_log_warning("the server did not start, the next try is in %d s",
				   back_off / 1000);
	if (b->start_failures % 3 == 0)
	{
		pg_log_error("the server has failed to start %d times in a row",
					 b->start_failures);
		pg_log_error_hint("The server's log says why. Its data directory is \"%s\".",
						  b->node.data_dir);
	}
}

void
ha_boot_start_server(HaBoot *b, bool as_primary, bool again, const char *why)
{
	pg_log_info("starting the server as %s: %s",
				as_primary ? "primary" : "standby", why);

	ha_prepare_note_tried(&b->node);

	/* Taken to be away already if prepare() fails half way. */
	b->signal_missing = b->signal_missing || as_primary;
	if (!ha_prepare(&b->node, as_primary, again, &b->prepared) ||
		!ha_postmaster_start(&b->server, &b->node, &b->prepared))
	{
		b->keeping = false;
		restore_standby_signal(b);
		note_failed_start(b);
		ha_boot_enter(b, BOOT_LOOK);
		return;
	}
	if (!as_primary)
		b->signal_missing = false;	/* prepare() has put it */
	b->started_at = b->now;
	b->stopped_by_hand = false;
	b->starts_seen = 0;
	b->empty = false;
	b->up = false;
	b->pruned = false;
	b->awaited_lsn = 0;
	b->purpose = HA_WANT_NOTHING;
	b->member_state = HA_STATE_STARTING;
	ha_boot_enter(b, BOOT_SERVING);
}

/*
 * Stopping it.
 */

void
ha_boot_keep_lease(HaBoot *b, int64_t *keep_at)
{
	HaControlLease lease;
	HaControlWorker w;

	if (b->now < *keep_at ||
		!ha_control_get_worker(b->control, &w) ||
		ha_process_is_alive(w.pid, w.pid_start) ||
		!ha_control_get_lease(b->control, &lease) ||
		!lease.holding || lease.lease == 0)
		return;
	if (ha_session_send_keepalive(b->session, lease.lease))
		*keep_at = b->now + Max(lease.ttl / 5, 100);
}

static void
begin_stop(HaBoot *b, HaWant purpose, const char *why)
{
	int64_t		ttl = ha_session_config(b->session)->ttl;
	bool		at_once = purpose == HA_WANT_YIELD;

	pg_log_info("stopping the server: %s", why);
	b->purpose = purpose;
	b->stop_is_due = false;
	b->stop_stage = at_once ? 1 : 0;
	b->stop_next_at = b->now + (at_once ? QUIT_WAIT :
								Max(2 * ttl, STOP_WAIT_MIN));
	b->member_state = HA_STATE_STOPPING;
	ha_postmaster_signal(&b->server, at_once ? SIGQUIT : SIGINT);
	ha_boot_enter(b, BOOT_STOPPING);
}

/*
 * An operator wants it, so there is time for before_stop.  When that has ended we come
 * here again, if the stop is still wanted by then.
 */
static void
plan_stop(HaBoot *b, HaWant purpose, const char *why)
{
	if (!b->stop_is_due && ha_callbacks_begin_before_stop(b))
		b->stop_is_due = true;
	else if (purpose != HA_WANT_RESTART || ha_request_begin_restart(b))
	{
		b->duty.taken_at = b->now;	/* what is limited begins with the stop */
		begin_stop(b, purpose, why);
	}
}

static bool
waits_for_before_stop(const HaBoot *b)
{
	return b->stop_is_due && ha_callbacks_before_stop_runs();
}

/*
 * Why do operators want it to stop, if they do?  What they have asked for is judged
 * again when before_stop has ended: it may be off, or this server may lead by now.
 */
static const char *
asked_to_stop(HaBoot *b)
{
	const char *why;

	if (waits_for_before_stop(b))
	{
		b->duty.judged_from = b->now;
		return NULL;
	}
	why = ha_request_serving(b);
	if (b->duty.stage == REQUEST_NONE && !b->stop_requested)
		b->stop_is_due = false;
	return why;
}

/* Fast, then immediate, then without asking. */
static void
step_stopping(HaBoot *b)
{
	/* the key is to go to the one who has all that is streamed meanwhile */
	if (b->purpose == HA_WANT_SWITCHOVER &&
		b->now - b->entered_at < SWITCHOVER_KEEP)
		ha_boot_keep_lease(b, &b->lease_keep_at);
	if (b->now < b->stop_next_at)
		return;
	b->stop_stage++;
	if (b->stop_stage == 1)
	{
		pg_log_warning("the server does not stop, telling it to do so at once");
		ha_postmaster_signal(&b->server, SIGQUIT);
		b->stop_next_at = b->now + QUIT_WAIT;
		return;
	}
	if (b->stop_stage == 2)
		pg_log_warning("the server does not stop, killing it");
	ha_postmaster_kill_tree(&b->server);
	b->stop_next_at = b->now + KILL_AGAIN;
}

/*
 * Keeping the leader key for a primary that has no worker yet.
 */

static void
stop_keeping(HaBoot *b, const char *why)
{
	pg_log_info("no longer keeping the leader key: %s", why);
	b->keeping = false;
}

/*
 * Give it up while it is still ours to release, which spares others a wait.
 * Nothing was acknowledged since the crash, so nothing is lost by being quick.
 */
static void
give_up_starting(HaBoot *b, const char *why)
{
	b->keeping = false;
	begin_stop(b, HA_WANT_DEMOTE, why);
	ha_postmaster_signal(&b->server, SIGQUIT);
	b->stop_stage = 1;
	b->stop_next_at = b->now + KILL_AGAIN;
}

/* Did the last round of requests tell that it is not ours to keep? */
static bool
has_lost_key(HaBoot *b)
{
	int64_t		number;

	return ha_session_txn_outcome(b->session, &number) == HA_ASK_FAILED ||
		ha_session_keepalive_outcome(b->session, &number) == HA_ASK_FAILED;
}

static void
send_keeping(HaBoot *b, const HaControlLease *lease)
{
	HaTxn		txn;

	b->keep_at = b->now + lease->ttl / 5;
	ha_txn_heartbeat(&txn, lease, b->node.name, b->optime);
	ha_session_send_txn(b->session, &txn);
	ha_session_send_keepalive(b->session, lease->lease);
}

/*
 * A process of a primary died, so its postmaster has ended all the others and
 * recovers; it starts no worker before that is done.  With the old worker surely
 * dead and the new one fenced until it has put the key anew, keeping the key
 * meanwhile promises nothing to anybody; it only spares a failover.
 */
static void
take_key_over(HaBoot *b, const HaControlWorker *w)
{
	HaControlLease lease;

	if (w->role != HA_ROLE_PRIMARY || w->pid <= 0 ||
		ha_process_is_alive(w->pid, w->pid_start))
		return;
	if (!ha_control_get_lease(b->control, &lease) ||
		lease.owner != HA_LEASE_WORKER || !lease.holding || !lease.confirmed)
		return;
	pg_log_info("keeping the leader key while the server recovers from a crash of one of its processes");
	lease.owner = HA_LEASE_BOOT;
	ha_control_set_lease(b->control, &lease);
	b->optime = w->flush_lsn;
	b->keeping = true;
	b->keep_since = b->now;
	send_keeping(b, &lease);
}

static void
keep_key(HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);
	HaControlLease lease;

	if (!ha_control_get_lease(b->control, &lease))
		return;					/* being written, by the worker then */
	if (lease.owner != HA_LEASE_BOOT)
		stop_keeping(b, "the server's worker has taken it");
	else if (has_lost_key(b))
		stop_keeping(b, "it has changed; the server's worker will see whose it is");
	else if (b->now >= b->keep_at)
		send_keeping(b, &lease);

	if (b->keeping && ha_others_may_lead(view, b->node.name) &&
		b->now - b->keep_since > view->config.primary_start_timeout)
		give_up_starting(b, "it takes longer than primary_start_timeout to start, and another member can lead");
}

/*
 * Crashes.
 */

void
ha_boot_note_crash(HaBoot *b, int64_t when)
{
	memmove(b->crashes + 1, b->crashes,
			sizeof(b->crashes) - sizeof(b->crashes[0]));
	b->crashes[0] = when;
}

int
ha_boot_recent_crashes(const HaBoot *b)
{
	int			n = 0;

	for (int i = 0; i < HA_CRASHES_KEPT; i++)
		if (b->crashes[i] != 0 && b->now - b->crashes[i] < CRASH_MEMORY)
			n++;
	return n;
}

/*
 * Has a process of this primary crashed since the last look, so that all of them
 * begin anew under the same postmaster?
 */
static bool
has_crashed_again(HaBoot *b)
{
	uint32_t	starts = ha_control_starts(b->control, b->server.pid);
	bool		again = b->starts_seen != 0 && starts > b->starts_seen;

	b->starts_seen = starts;
	if (!again || !b->signal_missing)
		return false;
	ha_boot_note_crash(b, b->now);
	return true;
}

static bool
crashes_too_often(const HaBoot *b)
{
	const HaView *view = ha_session_view(b->session, b->now -
										 ha_session_config(b->session)->ttl);

	/*
	 * an old view says nothing of who is there, and without etcd nobody is
	 * elected
	 */
	return view != NULL &&
		ha_crashes_too_often(&view->config, ha_boot_recent_crashes(b),
							 ha_others_may_lead(view, b->node.name));
}

/*
 * Whoever has recovered by now may have acknowledged more, which is to be streamed:
 * then it is an orderly stop.
 */
static void
give_way(HaBoot *b, bool recovered)
{
	const char *why = "its processes keep crashing, and another member can lead";

	if (!recovered)
		give_up_starting(b, why);
	else
	{
		b->keeping = false;
		begin_stop(b, HA_WANT_DEMOTE, why);
	}
}

/*
 * The server lives.
 */

static void
note_role(HaBoot *b, const HaControlWorker *w)
{
	if (w->role != HA_ROLE_STANDBY && w->role != HA_ROLE_PRIMARY)
		return;
	if (!b->up)
	{
		pg_log_info("the server is up as %s on timeline %u",
					w->role == HA_ROLE_PRIMARY ? "primary" : "standby",
					w->timeline);
		ha_prepare_keep_tried(&b->node);
	}
	b->up = true;
	b->start_failures = 0;
	b->not_before = 0;
	b->member_state = HA_STATE_RUNNING;

	/*
	 * A primary has no standby.signal, whether it was started or promoted,
	 * and gets it back only when its postmaster has ended: with the file
	 * there, the crash of a mere backend would bring it back as a standby.
	 */
	if (w->role == HA_ROLE_PRIMARY)
		b->signal_missing = true;
}

static void
obey(HaBoot *b, const HaControlWorker *w)
{
	char		why[HA_WHY_SIZE + 64];

	if (w->want == HA_WANT_REWIND)
	{
		b->rewind_wanted = true;
		strlcpy(b->rejoin_why, w->why, sizeof(b->rejoin_why));
		b->discarded_bytes = w->discarded_bytes;
		b->discarded_timeline = w->discarded_timeline;
	}
	if (w->want == HA_WANT_STOP)
	{
		pg_log_error("this server must not run in cluster \"%s\": %s",
					 b->node.scope, w->why);
		pg_log_error_hint("pg_ha_boot stays down until this is resolved.");
	}
	snprintf(why, sizeof(why), w->want == HA_WANT_DEMOTE ? "to demote, %s" :
			 w->want == HA_WANT_SWITCHOVER ? "for a switchover, %s" :
			 w->want == HA_WANT_YIELD ? "after a switchover, %s" :
			 w->want == HA_WANT_REWIND ? "to rewind, %s" : "%s", w->why);
	begin_stop(b, w->want, why);
}

/* A standby is whole again: nothing that was moved aside is needed for that. */
static void
note_streaming(HaBoot *b, const HaControlWorker *w)
{
	if (w->role != HA_ROLE_STANDBY || !w->streaming)
		return;
	b->stale_methods = 0;
	b->clone_streamed = true;
	if (!b->pruned)
		ha_aside_start_pruning(&b->node);
	b->pruned = true;
}

/* Nothing that the store says counts then, nor what operators ask for in it. */
static bool
is_too_old(const HaBoot *b)
{
	return ha_is_too_old(ha_session_last_view(b->session));
}

static void
tend_standby(HaBoot *b, const HaControlWorker *w)
{
	/* What a frozen worker said last is not where the server is now. */
	if (!is_fresh(b, w) || is_too_old(b))
		return;
	note_streaming(b, w);
	if (ha_remote_look(b, w))
	{
		b->rewind_wanted = true;
		begin_stop(b, HA_WANT_REWIND, b->rejoin_why);
		return;
	}
	if (!ha_stranded_look(b, w))
		return;
	b->stranded = true;
	begin_stop(b, HA_WANT_REWIND, b->rejoin_why);
}

/* However old the worker's report is, it is one of this very server. */
static void
take_report(HaBoot *b, const HaControlWorker *w)
{
	note_role(b, w);
	ha_callbacks_serving(b, w);
	if (is_too_old(b))
		return;
	ha_uuid_tend(b, w);
	ha_recreate_tend(b, w);
}

/*
 * In a hand-over the worker stops the WAL and minds itself how long.  If it is stopped
 * meanwhile, every process of the server waits for it for ever; nothing can have
 * been acknowledged since, so they may all be ended.
 */
static bool
stands_still(const HaBoot *b, const HaControlWorker *w)
{
	return w->frozen_since != 0 && b->now - w->heartbeat_at > FROZEN_SILENCE;
}

static void
step_serving(HaBoot *b)
{
	HaControlWorker w;
	bool		reported = ha_boot_worker(b, &w);
	const char *why = is_too_old(b) ? NULL : asked_to_stop(b);

	if (reported && stands_still(b, &w))
	{
		give_up_starting(b, "its worker stands still while it holds the WAL still");
		return;
	}
	if (!b->belongs)
		ha_uuid_check(b);
	if (reported)
		take_report(b, &w);
	if (why != NULL)
		plan_stop(b, ha_request_wants_restart(b) ? HA_WANT_RESTART :
				  HA_WANT_DEMOTE, why);
	else if (b->stop_requested && !waits_for_before_stop(b))
		plan_stop(b, HA_WANT_NOTHING, "pg_ha_boot was told to stop");
	else if (reported && w.want > HA_WANT_NOTHING && w.want <= HA_WANT_YIELD)
		obey(b, &w);
	else if (has_crashed_again(b) && crashes_too_often(b))
		give_way(b, reported && w.pid > 0 &&
				 ha_process_is_alive(w.pid, w.pid_start));
	else if (b->keeping)
		keep_key(b);
	else if (reported)
	{
		take_key_over(b, &w);
		tend_standby(b, &w);
	}
}

/*
 * The server is dead.
 */

/*
 * When do processes that can't be reaped stop to acknowledge?  The deadline in
 * the control block is never below the one they obey, and the block is of this
 * boot of the machine.
 */
static int64_t
safe_at(const HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);

	if (b->nobody_left)
		return 0;
	if (!b->deadline_is_lost)
		return ha_control_get_deadline(b->control);
	return b->died_at + (view->valid ?
						 Max(view->config.ttl, view->heartbeat.ttl) :
						 UNHEARD_TTL);
}

static void
begin_clearing(HaBoot *b)
{
	b->died_at = b->now;
	b->crash_counted = false;
	b->keeping = false;
	ha_boot_enter(b, BOOT_CLEARING);
}

/* Was it a shutdown, and no crash? */
static bool
was_clean(const HaBoot *b, int status)
{
	HaDataFacts facts;

	if (status != -1 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return false;
	ha_datadir_facts(&b->node, &facts);
	return facts.state == HA_DATA_CLUSTER && facts.clean;
}

/*
 * The server has ended.  "status" is waitpid's, or -1 for one that was not our
 * child.
 */
static void
note_server_end(HaBoot *b, int status)
{
	bool		asked = b->state == BOOT_STOPPING;
	char	   *text = status == -1 ? NULL : wait_result_to_str(status);

	if (asked)
		pg_log_info("the server has stopped");
	else
		pg_log_warning("the server has ended without being asked: %s",
					   text ? text : "it was started by an earlier pg_ha_boot");
	free(text);

	ha_callbacks_ended(b, asked);
	b->crashed = !asked;
	b->stopped_by_hand = !asked && b->up && was_clean(b, status);
	b->stop_is_due = false;
	b->member_state = asked || b->stopped_by_hand ?
		HA_STATE_STOPPED : HA_STATE_CRASHED;
	restore_standby_signal(b);
	if (!asked && !b->up && b->now - b->started_at < START_WITHIN)
		note_failed_start(b);

	/* A worker older than the control block writes into one that is gone. */
	if (b->server.child)
		b->deadline_is_lost = false;
	b->nobody_left = false;
	begin_clearing(b);
}

/* The worker of the dead server, while it may still do its last act. */
static pid_t
spared_worker(const HaBoot *b)
{
	HaControlWorker w;

	if (b->now < b->died_at + WORKER_LAST_ACT &&
		ha_control_get_worker(b->control, &w) && w.pid > 0 &&
		w.postmaster_pid == b->server.pid &&
		ha_process_is_alive(w.pid, w.pid_start))
		return w.pid;
	return 0;
}

static bool
is_cleared(HaBoot *b)
{
	int			orphans = b->server.child ? 0 : ha_orphans_kill(&b->node);

	/* Twice, since one that forks and dies is overlooked in a single look. */
	if (b->server.child &&
		ha_children_kill(spared_worker(b)) == 0 && ha_children_kill(0) == 0)
	{
		ha_control_set_deadline(b->control, 0); /* nobody is left to obey it */
		return true;
	}
	if (b->now <= safe_at(b))
	{
		if (!b->server.child)
			ha_boot_wait_for(b, "the old server's lease to run out");
		return false;
	}
	if (!b->server.child && orphans == 0)
		return true;
	if (b->now < b->died_at + UNKILLABLE_AFTER)
		return false;
	pg_log_warning("processes of the old server can't be killed, but may not acknowledge anything any more");
	return true;
}

static void
step_clearing(HaBoot *b)
{
	if (!is_cleared(b))
		return;
	ha_postmaster_forget(&b->server);
	ha_boot_enter(b, BOOT_LOOK);
}

static void
step_leaving(HaBoot *b)
{
	/* what is told last, of the server's end, is told before ours */
	if ((ha_session_leave(b->session) ||
		 b->now - b->entered_at > LEAVE_WAIT) && !ha_callbacks_are_busy())
		b->state = BOOT_DONE;
}

/*
 * Children.
 */

bool
ha_boot_job_is_over(HaBoot *b, bool give_up, bool *ok)
{
	if (b->job > 0 && !b->job_ended)
	{
		if ((give_up || b->stop_requested) && b->job_stage == 0)
		{
			pg_log_info("interrupting the work on the data directory");
			kill(-b->job, SIGTERM);
			b->job_stage = 1;
			b->job_next_at = b->now + JOB_TERM_WAIT;
		}
		else if (b->job_stage > 0 && b->now >= b->job_next_at)
		{
			kill(-b->job, SIGKILL);
			b->job_next_at = b->now + KILL_AGAIN;
		}
		return false;
	}

	/* What it started itself must not go on writing either. */
	if (ha_children_kill(0) > 0)
		return false;
	*ok = b->job > 0 && b->job_status == 0;
	b->job = 0;
	b->job_ended = false;
	b->job_stage = 0;
	return true;
}

static void
reap(HaBoot *b)
{
	pid_t		pid;
	int			status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
	{
		if (ha_callbacks_reaped(pid, status))
			continue;
		if (pid == b->job)
		{
			b->job_ended = true;
			b->job_status = status;
		}
		else if (pid == b->asker)
			ha_stranded_answer(b, status);
		else if (pid == b->remote_asker)
			ha_remote_answer(b, status);
		else if (pid == b->server.pid && b->server.child && server_lives(b))
			note_server_end(b, status);
	}
	if (server_lives(b) && !b->server.child &&
		ha_postmaster_has_ended(&b->server))
		note_server_end(b, -1);
}

/*
 * Signals.
 */

static void
read_signals(HaBoot *b)
{
	struct signalfd_siginfo info;

	while (read(b->signal_fd, &info, sizeof(info)) == sizeof(info))
	{
		switch (info.ssi_signo)
		{
			case SIGTERM:
			case SIGINT:
				if (!b->stop_requested)
					pg_log_info("told to stop");
				b->stop_requested = true;
				break;
			case SIGHUP:
				b->reload_requested = true;
				break;
			case SIGUSR2:
				b->detach_requested = true;
				break;
			default:
				break;			/* SIGCHLD and SIGUSR1 just wake us */
		}
	}
}

static int
open_signals(void)
{
	static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2,
	SIGCHLD};
	sigset_t	mask;

	sigemptyset(&mask);
	for (int i = 0; i < lengthof(handled); i++)
		sigaddset(&mask, handled[i]);
	signal(SIGPIPE, SIG_IGN);

	/* Ignored, a child would be reaped before we learn how it ended. */
	signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) != 0)
		return -1;
	return signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Where a change means another node, another cluster or another listener. */
static bool
needs_restart(const HaNode *old, const HaNode *new)
{
	return strcmp(old->scope, new->scope) != 0 ||
		strcmp(old->name, new->name) != 0 ||
		strcmp(old->name_space, new->name_space) != 0 ||
		strcmp(old->state_dir, new->state_dir) != 0 ||
		strcmp(old->etcd_endpoints, new->etcd_endpoints) != 0 ||
		strcmp(old->etcd_cacert, new->etcd_cacert) != 0 ||
		strcmp(old->etcd_cert, new->etcd_cert) != 0 ||
		strcmp(old->etcd_key, new->etcd_key) != 0 ||
		strcmp(old->etcd_user, new->etcd_user) != 0 ||
		strcmp(old->etcd_password_file, new->etcd_password_file) != 0 ||
		strcmp(old->rest_listen, new->rest_listen) != 0 ||
		strcmp(old->rest_auth_file, new->rest_auth_file) != 0 ||
		strcmp(old->rest_cert, new->rest_cert) != 0 ||
		strcmp(old->rest_key, new->rest_key) != 0 ||
		strcmp(old->rest_cafile, new->rest_cafile) != 0 ||
		strcmp(old->rest_allow, new->rest_allow) != 0 ||
		strcmp(old->connect_host, new->connect_host) != 0 ||
		old->port != new->port;
}

/* For what begins from now on; what is running is not changed by them. */
static void
take_policies(HaNode *node, const HaNode *fresh)
{
	memcpy(node->callbacks, fresh->callbacks, sizeof(node->callbacks));
	node->callback_timeout = fresh->callback_timeout;
	node->rewind = fresh->rewind;
	node->rebuild_on_divergence = fresh->rebuild_on_divergence;
	memcpy(node->clone_methods, fresh->clone_methods,
		   sizeof(node->clone_methods));
	memcpy(node->clone_max_rate, fresh->clone_max_rate,
		   sizeof(node->clone_max_rate));
	memcpy(node->tablespace_mapping, fresh->tablespace_mapping,
		   sizeof(node->tablespace_mapping));
	memcpy(node->keep_aside, fresh->keep_aside, sizeof(node->keep_aside));
	memcpy(node->wal_dir, fresh->wal_dir, sizeof(node->wal_dir));
}

static void
reload(HaBoot *b)
{
	HaNode		fresh;

	b->reload_requested = false;
	if (!ha_patroni_refresh() ||
		!ha_node_read(b->node.path, b->node.data_dir, b->node.bin_dir, &fresh))
	{
		pg_log_error("the node file has faults and is not applied");
		return;
	}
	if (needs_restart(&b->node, &fresh))
		pg_log_warning("some changes of the node file need a restart of pg_ha_boot");

	strlcpy(b->node.tags, fresh.tags, sizeof(b->node.tags));
	strlcpy(b->node.site, fresh.site, sizeof(b->node.site));
	strlcpy(b->node.rest_connect_address, fresh.rest_connect_address,
			sizeof(b->node.rest_connect_address));
	strlcpy(b->node.replication_user, fresh.replication_user,
			sizeof(b->node.replication_user));
	strlcpy(b->node.replication_passfile, fresh.replication_passfile,
			sizeof(b->node.replication_passfile));
	strlcpy(b->node.replication_sslcert, fresh.replication_sslcert,
			sizeof(b->node.replication_sslcert));
	strlcpy(b->node.replication_sslkey, fresh.replication_sslkey,
			sizeof(b->node.replication_sslkey));
	strlcpy(b->node.replication_sslrootcert, fresh.replication_sslrootcert,
			sizeof(b->node.replication_sslrootcert));
	take_policies(&b->node, &fresh);
	pg_log_info("the node file was read again");
	if (server_lives(b))
		ha_postmaster_signal(&b->server, SIGHUP);
	ha_callbacks_reloaded(b);
}

/* The lease stays: the member lives on, and our next run takes its key. */
static void
detach(HaBoot *b)
{
	b->detach_requested = false;
	if (b->state != BOOT_SERVING)
	{
		pg_log_warning("can't detach: no server is running");
		return;
	}
	pg_log_info("detaching from the server, which goes on running");
	b->exit_code = HA_EXIT_OK;
	b->state = BOOT_DONE;
}

/*
 * The loop.
 */

/* w: NULL = nothing is known of the server. */
static void
describe(HaBoot *b, const HaControlWorker *w)
{
	HaMember	self;

	ha_member_describe(&b->node, b->identity, b->member_state, w,
					   w != NULL && is_fresh(b, w), &self);
	if (b->empty)
		self.role = HA_ROLE_UNINITIALIZED;

	/* While etcd has lost the cluster: who led last puts the keys back. */
	if (b->forgotten_since != 0 && self.timeline == 0)
		self.timeline = b->wrote_timeline;
	self.discarded_bytes = b->discarded_bytes;
	self.discarded_timeline = b->discarded_timeline;
	if (b->state == BOOT_CLONE)
		ha_clone_progress(&b->node, b->clone_method, sizeof(b->clone_method),
						  &b->clone_percent);
	strlcpy(self.clone_method, b->clone_method, sizeof(self.clone_method));
	self.clone_percent = b->state == BOOT_CLONE ? b->clone_percent : 0;
	ha_request_describe(b, &self);
	ha_session_describe(b->session, &self);
}

static void
publish(HaBoot *b)
{
	HaControlBoot boot = {
		.pid = getpid(),
		.pid_start = b->own_start,
		.heartbeat_at = b->now,
		.supervising = server_lives(b),
		.discarded_bytes = b->discarded_bytes,
		.discarded_timeline = b->discarded_timeline,
	};
	HaControlWorker w;
	bool		known = ha_boot_worker(b, &w);

	strlcpy(boot.version, HA_VERSION, sizeof(boot.version));
	strlcpy(boot.cluster_uuid, b->cluster_uuid, sizeof(boot.cluster_uuid));
	ha_callbacks_publish(b, &boot);
	ha_control_set_boot(b->control, &boot);
	if (b->wake_worker && known && ha_process_is_alive(w.pid, w.pid_start))
		(void) kill(w.pid, SIGUSR1);
	b->wake_worker = false;
	if (b->belongs)
		describe(b, known ? &w : NULL);
	ha_note_cluster(b, known && w.sick);
	ha_notify(b, known ? &w : NULL);
}

/* Let the state do its step, and the next one if it has come to another. */
static void
step(HaBoot *b)
{
	HaBootState before;
	int			rounds = 0;

	do
	{
		before = b->state;
		switch (b->state)
		{
			case BOOT_SERVING:
				step_serving(b);
				break;
			case BOOT_STOPPING:
				step_stopping(b);
				break;
			case BOOT_CLEARING:
				step_clearing(b);
				break;
			case BOOT_LEAVING:
				step_leaving(b);
				break;
			case BOOT_DONE:
				break;
			default:
				ha_rejoin_step(b);
				break;
		}
	} while (b->state != before && ++rounds < 4);
}

static int
sleep_time(const HaBoot *b)
{
	int64_t		sleep = b->state == BOOT_CLEARING ? CLEARING_TICK : TICK;
	int64_t		dcs = ha_session_wake_at(b->session);

	if (dcs != 0)
		sleep = Min(sleep, dcs - ha_now());
	if (b->rest != NULL && ha_rest_timeout(b->rest) >= 0)
		sleep = Min(sleep, ha_rest_timeout(b->rest));
	return Max(sleep, 0);
}

static void
wait_for_events(HaBoot *b)
{
	struct pollfd fds[] = {
		{.fd = b->signal_fd,.events = POLLIN},
		{.fd = ha_session_fd(b->session),.events = POLLIN},
		{.fd = b->rest != NULL ? ha_rest_fd(b->rest) : -1,.events = POLLIN},
		{.fd = server_lives(b) ? b->server.pidfd : -1,.events = POLLIN},
	};

	if (poll(fds, lengthof(fds), sleep_time(b)) < 0 && errno != EINTR)
	{
		pg_log_error("poll() failed: %m");
		pg_usleep(TICK * 1000L);	/* rather slow than spinning */
	}
}

static void
loop(HaBoot *b)
{
	while (b->state != BOOT_DONE)
	{
		b->now = ha_now();
		read_signals(b);
		reap(b);
		ha_callbacks_round(b);
		if (b->reload_requested)
			reload(b);
		if (b->detach_requested)
			detach(b);
		publish(b);
		ha_session_run(b->session, b->now);
		ha_cluster_stop_round(b);
		ha_request_round(b);
		step(b);
		publish(b);
		ha_session_run(b->session, b->now); /* what the step wants sent */
		if (b->rest != NULL)
			ha_rest_run(b->rest);
		if (b->state != BOOT_DONE)
			wait_for_events(b);
	}
}

/*
 * What an earlier life has left: a server that runs, one that died unseen, or
 * none.  Only a clean shutdown proves that nobody is left of it; one who has
 * lost the control block knows of no deadline and waits for a whole TTL.
 */
static void
find_server(HaBoot *b, bool control_was_lost)
{
	HaControlLease lease;
	HaDataFacts facts;

	b->deadline_is_lost = control_was_lost;
	if (ha_postmaster_attach(&b->server, &b->node, b->control))
	{
		pg_log_info("attached to the server that is running (PID %d)",
					(int) b->server.pid);
		ha_prepare_remember(&b->node, &b->prepared);
		b->member_state = HA_STATE_STARTING;
		b->started_at = b->now;
		if (ha_control_get_lease(b->control, &lease) &&
			lease.owner == HA_LEASE_BOOT && lease.holding)
		{
			/* It is starting as primary, under the key that we kept. */
			b->keeping = b->signal_missing = true;
			b->keep_since = b->now;
		}
		ha_boot_enter(b, BOOT_SERVING);
		return;
	}
	ha_datadir_facts(&b->node, &facts);
	b->crashed = facts.state == HA_DATA_CLUSTER && !facts.clean;
	b->empty = facts.state == HA_DATA_EMPTY;

	/* Data that can't be read proves nothing, but for a node that is new. */
	b->nobody_left = facts.state == HA_DATA_CLUSTER ? facts.clean :
		control_was_lost;
	begin_clearing(b);
}

static bool
open_all(HaBoot *b)
{
	char		err[HA_ERROR_SIZE];

	b->signal_fd = open_signals();
	if (!ha_postmaster_adopt_orphans())
		return false;
	if (b->signal_fd < 0)
	{
		pg_log_error("could not set up signals: %m");
		return false;
	}
	b->session = ha_session_open(&b->node, b->identity, b->control, err,
								 sizeof(err));
	if (b->session == NULL)
	{
		pg_log_error("could not set up the connection to etcd: %s", err);
		return false;
	}
	if (b->node.rest_listen[0] == '\0' || b->init_only)
		return true;
	b->rest = ha_rest_open(&b->node, b->control, b->session, &b->member_state);
	return b->rest != NULL;
}

/* From now on the worker must not count on us. */
static void
close_all(HaBoot *b)
{
	HaControlBoot gone = {
		.discarded_bytes = b->discarded_bytes,
		.discarded_timeline = b->discarded_timeline,
	};

	strlcpy(gone.cluster_uuid, b->cluster_uuid, sizeof(gone.cluster_uuid));
	ha_control_set_boot(b->control, &gone);
	if (b->rest != NULL)
		ha_rest_close(b->rest);
	if (b->session != NULL)
		ha_session_close(b->session);
	if (b->signal_fd >= 0)
		close(b->signal_fd);
}

int
ha_supervise(const HaNode *node, HaControl *control, bool control_was_lost,
			 const char *identity, const HaBootstrap *bootstrap, bool init_only)
{
	HaControlBoot before;
	HaBoot	   *b = calloc(1, sizeof(HaBoot));
	int			exit_code = HA_EXIT_CONFIGURATION;

	if (b == NULL)
	{
		pg_log_error("out of memory");
		return HA_EXIT_TEMPORARY;
	}
	b->node = *node;
	b->control = control;
	strlcpy(b->identity, identity, sizeof(b->identity));
	b->bootstrap = bootstrap;
	b->init_only = init_only;
	b->job_report = b->signal_fd = -1;
	b->own_start = ha_process_start_time(getpid());
	b->server.pidfd = -1;
	b->now = ha_now();
	b->member_state = HA_STATE_STOPPED;
	if (ha_control_get_boot(control, &before))
	{
		b->discarded_bytes = before.discarded_bytes;
		b->discarded_timeline = before.discarded_timeline;
	}
	if (ha_uuid_read(b) && ha_request_remember(b) && open_all(b))
	{
		find_server(b, control_was_lost);
		loop(b);
		exit_code = b->exit_code;
		if (b->init_only && b->stop_requested && !b->founder)
			exit_code = HA_EXIT_TEMPORARY;	/* there is no cluster yet */
	}
	close_all(b);
	free(b);
	return exit_code;
}
