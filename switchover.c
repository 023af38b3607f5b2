/*-------------------------------------------------------------------------
 *
 * switchover.c
 *	  The rules of a switchover: /failover, as the leader sees it.
 *
 * A leader that has to give way does so in steps, and until the last of them it can
 * go back to leading, which takes it no longer than to prove its lease anew:
 *
 * PREPARE	  A checkpoint, so that this server need not replay much when it comes
 *			  back.  Its record is also a question: a candidate that does not
 *			  confirm it would not confirm what comes later either.
 *
 * HOLD		  The gate is open, but whoever comes to commit waits.  What is
 *			  beyond the check ends as usual, and its client hears of it.
 *
 * FREEZE	  The gate closes: from here on nothing is acknowledged.  Then the WAL
 *			  is stopped, so that "how far this server ever got" is one number
 *			  that stays true, and the candidate gets what it still lacks.
 *
 * HAND_OVER  The key is released, with that number (S-13).  It covers every
 *			  acknowledgement, since these ended before it was read.  The candidate
 *			  has that much, so it takes the key at once and without votes.
 *
 * YIELD	  It leads.  This server ends without a shutdown checkpoint, which would
 *			  be WAL that the new leader lacks: so there is nothing to be rewound.
 *
 * If nobody takes the key, this server takes it back, as after any loss of it: it
 * looks whether somebody led meanwhile (S-5) and goes on where it was.
 *
 *-------------------------------------------------------------------------
 */
#include "cascade.h"
#include "switchover.h"
#include "election.h"
#include "mixed.h"
#include "quorum.h"
#include "plan.h"
#include "rules.h"

#include <string.h>

/*
 * How long each step may take, ms.  Commits wait meanwhile, so what can't be had
 * in this time is not worth it.
 */
#define CONFIRM_LIMIT	2000	/* PREPARE: to confirm the checkpoint */
#define DRAIN_LIMIT		50		/* HOLD: for commits under way to end */
#define CATCH_UP_LIMIT	500		/* HOLD, FREEZE: to get the last of the WAL */

/* For a candidate that streams from another member to come to us, and two loops. */
#define COME_LIMIT		3000

/* A member of Patroni is woken by the key's end, but may be busy with its own. */
#define PATRONI_LIMIT	5000

/* What can be sent while everything stands still, bytes. */
#define FINAL_LAG		(1024 * 1024)

/* A wish that is so late is not meant any more (see ha_switchover_step). */
#define LATE_LIMIT(config)	((config)->ttl)

static const char not_streaming[] = "the candidate does not stream from here";

/* How far that member has confirmed our WAL; 0 = it does not stream from here. */
static uint64_t
flushed_by(const HaLocal *local, const char *name)
{
	for (int i = 0; i < bounded(local->nstandbys, HA_MAX_MEMBERS); i++)
	{
		if (is_name(local->standbys[i].name, name) &&
			local->standbys[i].streaming)
			return local->standbys[i].flush_lsn;
	}
	return 0;
}

/* Why that member can't take over from us; NULL if it can. */
static const char *
hindrance_of(const HaConfig *config, const HaView *view, const HaLocal *local,
			 const char *name)
{
	const HaMember *member = ha_find_member(view, name);
	uint64_t	flushed = flushed_by(local, name);
	uint64_t	limit = config->maximum_lag_on_failover > 0 ?
	(uint64_t) config->maximum_lag_on_failover : 0;

	if (is_name(name, local->name))
		return "the candidate leads already";
	if (member == NULL || member->state != HA_STATE_RUNNING)
		return "the candidate is not running";
	if (member->nofailover || member->failover_priority <= 0)
		return "the candidate is tagged nofailover";
	if (member->sick)
		return "a health check fails at the candidate";
	if (member->lsn == 0)
		return "the candidate's worker does not answer";
	if (!ha_failsafe_allows(view, member->name))
		return "the candidate is not listed in /failsafe";
	if (!ha_quorum_may_elect(view, name, HA_MAX_MEMBERS))
		return "the candidate is no synchronous standby";
	if (flushed == 0)
		return not_streaming;
	if (flushed < local->flush_lsn && local->flush_lsn - flushed > limit)
		return "the candidate lags too far behind";
	return NULL;
}

/* Does it cascade, and comes to us as soon as it sees the wish? */
static bool
is_coming(const HaConfig *config, const HaView *view, const HaLocal *local,
		  int64_t now)
{
	const char *name = view->failover.candidate;
	const HaMember *member = ha_find_member(view, name);

	return member != NULL &&
		ha_cascade_source(view, name, member->replicatefrom) != NULL &&
		(view->failover.scheduled_at != 0 ||
		 now - local->wish_seen_at < 2 * config->loop_wait + COME_LIMIT);
}

/* Of those that can, who is preferred, then who is furthest; NULL = nobody can. */
static const HaMember *
choose(const HaConfig *config, const HaView *view, const HaLocal *local)
{
	const HaMember *best = NULL;

	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		const HaMember *member = &view->members[i];

		if (hindrance_of(config, view, local, member->name) != NULL)
			continue;
		if (best == NULL ||
			member->failover_priority > best->failover_priority ||
			(member->failover_priority == best->failover_priority &&
			 flushed_by(local, member->name) > flushed_by(local, best->name)))
			best = member;
	}
	return best;
}

static bool
clear(HaPlan *plan, const HaView *view, const char *why)
{
	ha_plan_for(plan, HA_CLEAR_FAILOVER, why, "");
	memcpy(plan->follow, view->failover.candidate, HA_NAME_SIZE - 1);
	plan->lead = true;
	return true;
}

static bool
lead_on(HaPlan *plan, HaVerb verb, const char *why, const char *target)
{
	ha_plan_for(plan, verb, why, target);
	plan->lead = true;
	return true;
}

/* HOLD is over when commits have ended and little is left to be sent. */
static bool
step_hold(const HaView *view, const HaLocal *local, const char *target,
		  uint64_t flushed, int64_t now, HaPlan *plan)
{
	int64_t		held = local->held_since == 0 ? 0 : now - local->held_since;
	bool		near = flushed >= local->flush_lsn ||
	local->flush_lsn - flushed <= FINAL_LAG;

	if (local->held_since != 0 && !near && held > CATCH_UP_LIMIT)
		return clear(plan, view,
					 "the candidate does not keep up with the WAL");
	if (local->held_since == 0 || !near ||
		(!local->drained && held <= DRAIN_LIMIT))
		return lead_on(plan, HA_HOLD, "lets commits wait for a switchover to ",
					   target);
	ha_plan_for(plan, HA_FREEZE, "stops the WAL for a switchover to ", target);
	return true;
}

static bool
step_frozen(const HaView *view, const HaLocal *local, const char *target,
			uint64_t flushed, int64_t now, HaPlan *plan)
{
	if (flushed >= local->frozen_lsn)
		ha_plan_for(plan, HA_HAND_OVER, "hands the leader key over to ", target);
	else if (now - local->frozen_since > CATCH_UP_LIMIT)
		return clear(plan, view,
					 "the candidate did not confirm the last of the WAL in time");
	else
		ha_plan_for(plan, HA_FREEZE, "stops the WAL for a switchover to ", target);
	return true;
}

static bool
step_towards(const HaView *view, const HaLocal *local, const char *target,
			 int64_t now, HaPlan *plan)
{
	uint64_t	flushed = flushed_by(local, target);

	/* without the store nobody could take the key */
	if (!local->can_freeze && local->failsafe_active)
		return false;
	if (!local->can_freeze)
	{
		/* the archive gets the last of the WAL while the server stops */
		ha_plan_for(plan, HA_SWITCHOVER, "the operator wants a switchover to ",
					target);
		return true;
	}
	if (local->frozen_since != 0)
		return step_frozen(view, local, target, flushed, now, plan);

	/* nothing is begun that needs the store while it does not answer */
	if (local->deadline == 0 || now >= local->deadline ||
		local->failsafe_active)
		return false;
	if (local->prepared_for != view->failover.mod_revision)
		return lead_on(plan, HA_PREPARE,
					   "makes a checkpoint before a switchover to ", target);
	if (flushed < local->prepared_lsn &&
		now - local->prepared_at > CONFIRM_LIMIT)
		return clear(plan, view, "the candidate does not confirm WAL");
	if (flushed < local->prepared_lsn)
		return lead_on(plan, HA_PREPARE,
					   "waits for the checkpoint to be confirmed by ", target);
	return step_hold(view, local, target, flushed, now, plan);
}

/*
 * A wish that can't be met is cleared with the reason, so that it can't strike
 * later.  One without a candidate, or with a time, is first put anew with the one
 * and without the other: from then on everybody knows who is to lead.
 */
bool
ha_switchover_step(const HaConfig *config, const HaView *view,
				   const HaLocal *local, int64_t now, HaPlan *plan)
{
	const HaFailover *wish = &view->failover;
	const char *target = wish->candidate;
	const char *hindrance;
	bool		coming;
	int64_t		due_in = wish->scheduled_at == 0 ? 0 :
	wish->scheduled_at - local->wall_clock;

	if (!wish->present)
		return false;
	if (local->refused != 0 && local->refused == wish->mod_revision)
		return clear(plan, view, local->refused_why);
	if (wish->leader[0] != '\0' && !is_name(wish->leader, local->name))
		return clear(plan, view, "it names another leader");
	if (due_in > 0)
	{
		/* not longer ahead than the clock of the day can be trusted */
		plan->wake_at = now + (due_in < config->loop_wait ? due_in :
							   config->loop_wait);
		return false;
	}
	if (-due_in > LATE_LIMIT(config))
		return clear(plan, view, "its time is past");
	if (config->pause && wish->scheduled_at != 0)
		return clear(plan, view, "the cluster was paused at its time");
	if (!local->has_boot)
		return clear(plan, view,
					 "no pg_ha_boot runs here to restart the server");
	if (target[0] == '\0')
	{
		const HaMember *best = choose(config, view, local);

		if (config->pause)
			return clear(plan, view,
						 "it names no candidate, and the cluster is paused");
		if (best == NULL)
			return clear(plan, view, "no member can take over");
		return lead_on(plan, HA_SET_FAILOVER, "the best candidate is ",
					   best->name);
	}
	hindrance = hindrance_of(config, view, local, target);
	coming = hindrance == not_streaming &&
		is_coming(config, view, local, now);
	if (hindrance != NULL && !coming)
		return clear(plan, view, hindrance);
	if (wish->scheduled_at != 0)
		return lead_on(plan, HA_SET_FAILOVER,
					   "it is time for a switchover to ", target);
	if (coming)
		return false;
	return step_towards(view, local, target, now, plan);
}

/* How long the key is left to whom it was given up for. */
static int64_t
patience_with(const HaConfig *config, const HaView *view)
{
	int64_t		wait = ha_hand_over_wait(config);
	const HaMember *heir = ha_find_member(view, view->failover.candidate);

	return ha_mixed_is_patroni(heir) && wait < PATRONI_LIMIT ?
		PATRONI_LIMIT : wait;
}

/*
 * Does a member of Patroni lead, on a timeline of its own?  It puts no record, and there
 * may be nobody but us to put one, which a standby does.
 */
static bool
has_promoted_itself(const HaView *view, const HaLocal *local)
{
	const HaMember *leader = ha_find_member(view, view->leader.name);

	return ha_mixed_is_patroni(leader) &&
		leader->state == HA_STATE_RUNNING &&
		leader->role == HA_ROLE_PRIMARY && leader->timeline > local->timeline;
}

bool
ha_switchover_gone(const HaConfig *config, const HaView *view,
				   const HaLocal *local, int64_t now, HaPlan *plan)
{
	const HaTerm *term = &view->term;
	const char *leader = view->leader.name;
	int64_t		handed_over_at = local->handed_over_at;
	int64_t		patience;

	if (local->frozen_since == 0)
		return false;

	/* an answer that was lost: the key has gone, and our mark is there */
	if (handed_over_at == 0 && !view->leader.present &&
		view->heartbeat.released && view->heartbeat.term == term->term &&
		ha_term_is_of(term, local->name))
		handed_over_at = local->key_gone_since;
	patience = handed_over_at + patience_with(config, view);

	/* the last view may be from before we gave the key up */
	if (!view->leader.present || is_name(leader, local->name))
	{
		if (handed_over_at == 0 || now >= patience)
			return false;
		ha_plan_for(plan, HA_WAIT, "has handed the leader key over to ",
					view->failover.candidate);
		plan->wake_at = patience;
		return true;
	}
	if (term->present && !term->intent && term->unchecked_from == 0 &&
		is_name(term->owner, leader))
	{
		ha_plan_for(plan, HA_YIELD, "has handed over to the new leader ", leader);
		return true;
	}
	if (has_promoted_itself(view, local))
	{
		ha_plan_for(plan, HA_YIELD, "has handed over to Patroni's member ", leader);
		return true;
	}
	if (now - local->frozen_since > ha_promote_timeout(config))
		return false;
	ha_plan_for(plan, HA_WAIT, "waits for the promotion of ", leader);
	return true;
}

/* Whoever takes a key back that it had handed over, or may have, has failed. */
void
ha_switchover_note(const HaPlan *plan, const HaView *view, HaLocal *local)
{
	int64_t		wish = view->failover.mod_revision;
	const char *why = NULL;

	if (plan->verb == HA_CLEAR_FAILOVER)
		why = plan->why;
	else if (plan->verb == HA_ACQUIRE && local->frozen_since != 0)
		why = "the candidate did not take the leader key";
	else if (plan->verb == HA_REASSERT && local->frozen_since != 0)
		why = "the store did not answer in time";
	if (why == NULL || wish == 0 || local->refused == wish)
		return;
	local->refused = wish;
	memset(local->refused_why, 0, sizeof(local->refused_why));
	memcpy(local->refused_why, why, strnlen(why, HA_WHY_SIZE - 1));
}

bool
ha_switchover_wants(const HaView *view, const char *name)
{
	return view->failover.present && view->failover.scheduled_at == 0 &&
		is_name(view->failover.candidate, name);
}

/* Long enough for a few requests to the store and back. */
int64_t
ha_hand_over_wait(const HaConfig *config)
{
	return config->ttl / 2 > 2000 ? 2000 : config->ttl / 2;
}
