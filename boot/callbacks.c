/*-------------------------------------------------------------------------
 *
 * callbacks.c
 *	  Programs of the operator's that are told what becomes of the server.
 *
 * They are named in the node file alone, never in the store: whoever can write
 * there must not be able to run anything here.  They are run without a shell, as
 * "COMMAND action role cluster".
 *
 * The loop never waits for one.  Each runs in a process group of its own, which is
 * ended when it has run for callback_timeout.  Those that tell of a state share a
 * lane: what is told last is what counts, so it ends the one before and follows when
 * that is gone.  No more than one stands in line.
 *
 * Two are waited for by others.  Before before_stop has ended, an operator's stop
 * does not begin; the worker lives on meanwhile and keeps the lease.  And the worker
 * asks for pre_promote through the control block, before it promotes.  It holds the
 * leader key then, but its gate is closed, and no acknowledgement depends on what
 * comes of it: a promotion that is refused is one that failed.
 *
 * Whatever else a dead server has left is killed, and waited for, before anybody
 * else may lead.  Callbacks are no part of the server, so they are neither: they
 * are known by pids that can't be another's before we have reaped them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "callbacks.h"
#include "programs.h"
#include "supervise.h"
#include "words.h"

/* SIGKILL follows SIGTERM after it (ms). */
#define KILL_AFTER		1000

/* What SIGKILL has not ended after so many times of that is waited for no more. */
#define KILLS			5

typedef struct Lane
{
	pid_t		pid;			/* 0 = nothing runs */
	HaCallback	what;
	int64_t		end_at;			/* when it is ended next */
	bool		told_to_end;
	int			kills;			/* SIGKILLs sent */
	bool		ok;				/* the last one ended with code 0 */

	bool		has_next;
	HaCallback	next;
	const char *next_role;
} Lane;

enum
{
	LANE_STATE,
	LANE_RELOAD,
	LANE_PROMOTE,
	LANE_STOP,
	NUM_LANES
};

static Lane lanes[NUM_LANES];

/* What the worker asks for, and the last answer. */
static uint32_t promote_asked;
static uint32_t promote_answered;
static bool promote_allowed;

static Lane *
lane_of(HaCallback what)
{
	return &lanes[what == HA_ON_RELOAD ? LANE_RELOAD :
				  what == HA_PRE_PROMOTE ? LANE_PROMOTE :
				  what == HA_BEFORE_STOP ? LANE_STOP : LANE_STATE];
}

static const char *
role_word(HaRole role)
{
	return role == HA_ROLE_PRIMARY ? "primary" : "replica";
}

/*
 * Running.
 */

/* In the child. */
static void
become_callback(const HaNode *node, char *const *words, const char *action,
				const char *role)
{
	const char *argv[80];
	char		port[16];
	int			n = 0;

	setpgid(0, 0);
	while (n < lengthof(argv) - 4 && words[n] != NULL)
	{
		argv[n] = words[n];
		n++;
	}
	argv[n++] = action;
	argv[n++] = role;
	argv[n++] = node->scope;
	argv[n] = NULL;
	snprintf(port, sizeof(port), "%d", node->port);
	if (setenv("PG_HA_NAME", node->name, 1) != 0 ||
		setenv("PGDATA", node->data_dir, 1) != 0 ||
		setenv("PGPORT", port, 1) != 0)
		_exit(127);
	ha_program_exec(node, argv, -1, -1);
}

static void
begin(const HaBoot *b, Lane *lane, HaCallback what, const char *role)
{
	const HaNode *node = &b->node;
	const char *action = ha_callback_names[what];
	char		err[256];
	char	  **words = ha_words_split(node->callbacks[what], err, sizeof(err));
	pid_t		pid;

	lane->what = what;
	lane->ok = false;
	if (words == NULL)
	{
		pg_log_warning("callback \"%s\" can't be run: %s", action, err);
		return;
	}
	pid = ha_program_fork();
	if (pid == 0)
		become_callback(node, words, action, role);
	ha_words_free(words);
	if (pid < 0)
		return;
	setpgid(pid, pid);			/* whoever of the two comes first */
	pg_log_info("running callback: %s %s %s", action, role, node->scope);
	lane->pid = pid;
	lane->told_to_end = false;
	lane->kills = 0;
	lane->end_at = b->now + node->callback_timeout;
}

/* First a word, then the knife. */
static void
end_lane(const HaBoot *b, Lane *lane)
{
	kill(-lane->pid, lane->told_to_end ? SIGKILL : SIGTERM);
	if (lane->told_to_end && ++lane->kills == KILLS)
		pg_log_warning("callback \"%s\" can't be killed, and nothing waits for it any more",
					   ha_callback_names[lane->what]);
	lane->told_to_end = true;
	lane->end_at = b->now + KILL_AFTER;
}

/* One that sleeps uninterruptibly must not keep anybody else for ever. */
static bool
is_stuck(const Lane *lane)
{
	return lane->pid != 0 && lane->kills >= KILLS;
}

/* Begin it, or put it in line and end the one that runs. */
static void
call(const HaBoot *b, HaCallback what, const char *role)
{
	Lane	   *lane = lane_of(what);

	if (b->node.callbacks[what][0] == '\0')
		return;
	if (lane->pid == 0 && !lane->has_next)
	{
		begin(b, lane, what, role);
		return;
	}
	lane->has_next = true;
	lane->next = what;
	lane->next_role = role;
	if (lane->pid != 0 && !lane->told_to_end)
		end_lane(b, lane);
}

void
ha_callbacks_round(const HaBoot *b)
{
	for (int i = 0; i < NUM_LANES; i++)
	{
		Lane	   *lane = &lanes[i];

		if (lane->pid == 0 && lane->has_next)
		{
			lane->has_next = false;
			begin(b, lane, lane->next, lane->next_role);
		}
		if (lane->pid == 0 || b->now < lane->end_at)
			continue;
		if (!lane->told_to_end)
			pg_log_warning("callback \"%s\" has not ended within callback_timeout (%d ms) and is ended",
						   ha_callback_names[lane->what],
						   b->node.callback_timeout);
		end_lane(b, lane);
	}
}

bool
ha_callbacks_reaped(pid_t pid, int status)
{
	for (int i = 0; i < NUM_LANES; i++)
	{
		Lane	   *lane = &lanes[i];
		char	   *how;

		if (lane->pid != pid)
			continue;

		/* what it has left in the background ends with it */
		kill(-pid, SIGKILL);
		lane->pid = 0;
		lane->ok = status == 0 && !lane->told_to_end;
		if (status == 0)
			return true;
		how = wait_result_to_str(status);
		pg_log_warning("callback \"%s\": %s", ha_callback_names[lane->what], how);
		pfree(how);
		return true;
	}
	return false;
}

bool
ha_callbacks_own(pid_t pid)
{
	for (int i = 0; i < NUM_LANES; i++)
	{
		if (lanes[i].pid == pid)
			return true;
	}
	return false;
}

bool
ha_callbacks_are_busy(void)
{
	for (int i = 0; i < NUM_LANES; i++)
	{
		const Lane *lane = &lanes[i];

		if (!is_stuck(lane) && (lane->pid != 0 || lane->has_next))
			return true;
	}
	return false;
}

/*
 * What is told.
 */

/*
 * A primary is told of when it leads: one that somebody has promoted by hand must not
 * be given the clients.  Afterwards it stays one, also while it is suspended, until
 * its server ends.
 */
static HaRole
role_to_tell(const HaBoot *b, const HaControlWorker *w)
{
	if (w->role == HA_ROLE_STANDBY)
		return HA_ROLE_STANDBY;
	if (w->role == HA_ROLE_PRIMARY &&
		ha_control_get_deadline(b->control) > b->now)
		return HA_ROLE_PRIMARY;
	return b->told_up ? b->told_role : HA_ROLE_UNINITIALIZED;
}

static void
tell_state(HaBoot *b, const HaControlWorker *w)
{
	HaRole		role = role_to_tell(b, w);
	HaCallback	what;

	if (role == HA_ROLE_UNINITIALIZED || (b->told_up && role == b->told_role))
		return;
	what = b->told_role != HA_ROLE_UNINITIALIZED && role != b->told_role ?
		HA_ON_ROLE_CHANGE :
		b->told_restart ? HA_ON_RESTART : HA_ON_START;
	b->told_up = true;
	b->told_restart = false;
	b->told_role = role;
	call(b, what, role_word(role));
}

/*
 * What the worker no longer asks for is ended, so that no pre_promote of a promotion
 * that is off goes on.
 */
static void
tend_pre_promote(const HaBoot *b, uint32_t asked)
{
	Lane	   *lane = &lanes[LANE_PROMOTE];

	if (asked != promote_asked && lane->pid != 0)
	{
		if (!lane->told_to_end)
			end_lane(b, lane);
		return;					/* and the next one when it is gone */
	}
	if (asked != promote_asked)
	{
		promote_asked = asked;
		if (asked != 0 && b->node.callbacks[HA_PRE_PROMOTE][0] != '\0')
			call(b, HA_PRE_PROMOTE, role_word(HA_ROLE_STANDBY));
		else
			lane->ok = true;
	}
	if (promote_asked == 0 || promote_asked == promote_answered ||
		lane->pid != 0)
		return;
	promote_answered = promote_asked;
	promote_allowed = lane->ok;
	pg_log_info(promote_allowed ? "pre_promote lets this server be promoted" :
				"pre_promote keeps this server from being promoted");
}

void
ha_callbacks_serving(HaBoot *b, const HaControlWorker *w)
{
	uint32_t	answered = promote_answered;

	tell_state(b, w);
	tend_pre_promote(b, w->promote_seq);
	b->wake_worker |= answered != promote_answered;
}

void
ha_callbacks_publish(const HaBoot *b, HaControlBoot *boot)
{
	bool		set = b->node.callbacks[HA_PRE_PROMOTE][0] != '\0';

	boot->pre_promote_limit = set ? b->node.callback_timeout : 0;
	boot->promote_answered = promote_answered;
	boot->promote_allowed = promote_allowed;
}

void
ha_callbacks_ended(HaBoot *b, bool asked)
{
	Lane	   *promote = &lanes[LANE_PROMOTE];

	if (promote->pid != 0 && !promote->told_to_end)
		end_lane(b, promote);
	b->told_restart = asked && b->purpose == HA_WANT_RESTART;
	if (b->told_up && asked && !b->told_restart)
		call(b, HA_ON_STOP, role_word(b->told_role));
	b->told_up = false;
}

void
ha_callbacks_reloaded(const HaBoot *b)
{
	if (b->told_up)
		call(b, HA_ON_RELOAD, role_word(b->told_role));
}

bool
ha_callbacks_begin_before_stop(const HaBoot *b)
{
	if (b->told_up && !is_stuck(&lanes[LANE_STOP]))
		call(b, HA_BEFORE_STOP, role_word(b->told_role));
	return ha_callbacks_before_stop_runs();
}

bool
ha_callbacks_before_stop_runs(void)
{
	const Lane *lane = &lanes[LANE_STOP];

	return lane->pid != 0 && !is_stuck(lane);
}
