/*-------------------------------------------------------------------------
 *
 * lease_txn.c
 *	  What a plan writes into the store: one transaction for each of its verbs.
 *
 * A part of lease.c.  Whatever the decision rested on is compared in the transaction
 * that carries it out, so one that rests on an old view, or lands late, does nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "lease_parts.h"
#include "cluster_json.h"
#include "election.h"
#include "history_json.h"
#include "lineage.h"
#include "mixed.h"
#include "rules.h"
#include "slots_json.h"
#include "standby_cluster.h"
#include "term_json.h"

#include <stdlib.h>

void
ha_lease_guard_key(HaTxn *txn, const HaLease *lease)
{
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER, lease->key_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, lease->lease_id);
}

void
ha_lease_put_heartbeat(HaTxn *txn, const HaLease *lease, const HaLocal *local,
					   int64_t term)
{
	HaHeartbeat heartbeat = {0};

	copy_name(heartbeat.name, lease->name);
	heartbeat.term = term;
	heartbeat.ttl = lease->lease_ttl;
	heartbeat.lsn = local->flush_lsn;
	heartbeat.failsafe = lease->view.config.failsafe_mode;
	ha_txn_put(txn, KEY_HEARTBEAT, ha_heartbeat_json(&heartbeat), 0);
}

void
ha_txn_release(HaTxn *txn, const char *name, int64_t key_revision,
			   int64_t lease_id, int64_t term, int64_t ttl,
			   uint64_t released_lsn, bool crashed)
{
	HaHeartbeat heartbeat = {0};

	copy_name(heartbeat.name, name);
	heartbeat.term = term;
	heartbeat.ttl = ttl;
	heartbeat.lsn = released_lsn;
	heartbeat.released = true;
	heartbeat.released_lsn = released_lsn;
	heartbeat.crashed = crashed;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER, key_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, lease_id);
	ha_txn_delete(txn, KEY_LEADER);
	ha_txn_put(txn, KEY_HEARTBEAT, ha_heartbeat_json(&heartbeat), 0);
}

static char *
copy_text(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy = malloc(size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

/* What is put is remembered, to be known as soon as it is known to stand. */
static void
put_term(HaTxn *txn, HaLease *lease, const HaTerm *term)
{
	lease->op_record = *term;
	ha_txn_put(txn, KEY_TERM, ha_term_json(term), 0);
}

/*
 * What people will be told of this change of leader.  Where the former leader handed
 * its key over to us, it has told its half of that.
 */
static void
begin_change(HaLease *lease, const HaPlan *plan, const HaLocal *local,
			 int64_t now)
{
	const HaView *view = &lease->view;
	HaChange   *change = &lease->change;

	if (view->change.present && !view->change.complete &&
		view->change.term == view->term.term + 1 &&
		strcmp(view->change.to, lease->name) == 0)
		*change = view->change;
	else
	{
		memset(change, 0, sizeof(*change));
		change->prepare_ms = change->hold_ms = change->freeze_ms = -1;
		copy_name(change->from, view->term.owner);
		copy_name(change->to, lease->name);
		change->term = view->term.term + 1;
		change->started_at = local->wall_clock - (now - lease->key_gone_since);
		memcpy(change->reason, plan->why, sizeof(change->reason));
	}
	change->present = false;
	change->acquire_ms = lease->key_gone_since != 0 ?
		now - lease->key_gone_since : 0;
	lease->key_taken_at = now;
}

/* The half of it that only the one who hands over knows. */
static void
put_first_half(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
			   const HaLocal *local, int64_t now)
{
	HaChange	change = {0};

	change.planned = true;
	change.term = lease->view.term.term + 1;
	copy_name(change.from, lease->name);
	copy_name(change.to, plan->follow);
	memcpy(change.reason, "switchover", sizeof("switchover"));
	change.started_at = local->wall_clock - (now - lease->wish_seen_at);
	change.prepare_ms = later(local->held_since - lease->wish_seen_at, 0);
	change.hold_ms = later(local->frozen_since - local->held_since, 0);
	change.freeze_ms = later(now - local->frozen_since, 0);
	change.acquire_ms = change.promote_ms = change.confirm_ms = -1;
	ha_txn_put(txn, KEY_CHANGE, ha_change_json(&change), 0);
}

/* S-1: everything the decision rested on is compared in the one txn. */
static void
build_acquire(HaTxn *txn, HaLease *lease, const HaPlan *plan,
			  const HaLocal *local, int64_t now)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;
	char		key[HA_KEY_SIZE];

	ha_txn_compare(txn, HA_CREATE_REVISION, KEY_LEADER, 0);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILSAFE,
				   view->failsafe.mod_revision);

	/* how the last reign ended; somebody's hand may have let it go on since */
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_HEARTBEAT,
				   view->heartbeat.mod_revision);

	/* S-11: a reign of Patroni's leaves no other trace for certain */
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_STATUS, view->status_revision);
	for (int i = 0; i < plan->ncounted && i < HA_MAX_MEMBERS; i++)
	{
		const HaVote *vote = &view->votes[plan->counted[i]];
		size_t		length = strlen(KEY_VOTES);

		memcpy(key, KEY_VOTES, length);
		copy_name(key + length, vote->name);
		ha_txn_compare(txn, HA_MOD_REVISION, key, vote->mod_revision);
	}

	begin_change(lease, plan, local, now);
	term.term++;
	copy_name(term.owner, lease->name);
	term.foreign = false;
	term.intent = !plan->resume;
	term.standby = term.intent && ha_is_standby_cluster(&view->config, view);
	term.left = term.left && term.reserved == plan->reserve;
	term.reserved = plan->reserve;
	term.reached = ha_leader_lsn(view, local);
	term.unchecked_from = lease->check_from;
	term.present = true;
	if (plan->resume)
	{
		/* no promotion: the timeline stays what it was */
		if (!view->term.present)
			copy_name(term.timeline_owner, lease->name);
		term.timeline = local->timeline;
		term.reserved = later(view->term.reserved, local->timeline);
		term.left = view->term.left;
		term.lost_bytes = 0;
	}
	ha_txn_put(txn, KEY_LEADER, copy_text(lease->name), lease->lease_id);
	put_term(txn, lease, &term);
	ha_lease_put_heartbeat(txn, lease, local, term.term);
}

/* The oldest timeline that the record knows; none is, so all are older. */
static uint32_t
first_recorded(const HaTerm *term)
{
	if (!term->present || term->timeline == 0)
		return UINT32_MAX;
	return term->nlineage > 0 ? term->lineage[0].timeline : term->timeline;
}

/*
 * The lineage after a promotion is what our timeline really descends from.
 * Others are no part of history any more, even if they once were.
 */
static void
extend_lineage(HaTerm *term, const HaView *view, const HaLocal *local,
			   const char *name)
{
	HaTerm		old = *term;
	int			n = local->nancestors;

	if (n < 0 || n > HA_MAX_LINEAGE)
		n = 0;
	memset(term->lineage, 0, sizeof(term->lineage));
	for (int i = 0; i < n; i++)
	{
		const HaTimeline *ancestor = &local->ancestors[i];
		const char *owner = ha_timeline_owner(&old, ancestor->timeline);

		/* those of before the first record may be Patroni's */
		if ((owner == NULL || owner[0] == '\0') &&
			ancestor->timeline < first_recorded(&old))
			owner = ha_mixed_owner(view, ancestor->timeline);
		term->lineage[i].timeline = ancestor->timeline;
		term->lineage[i].end_lsn = ancestor->end_lsn;
		copy_name(term->lineage[i].owner, owner != NULL ? owner : "");
	}
	term->nlineage = n;
	term->timeline = local->timeline;
	term->begin_lsn = n > 0 ? local->ancestors[n - 1].end_lsn : 0;
	copy_name(term->timeline_owner, name);
}

/* Nobody here was promoted to a timeline that came from a source, but perhaps long ago. */
static void
follow_lineage(HaTerm *term, const HaView *view, const HaLocal *local)
{
	const char *known = ha_timeline_owner(term, local->timeline);
	char		owner[HA_NAME_SIZE] = "";

	if (known != NULL)
		copy_name(owner, known);
	extend_lineage(term, view, local, owner);
	if (local->timeline > term->reserved)
		term->reserved = local->timeline;
	term->lost_bytes = 0;
}

/* S-5: nobody led meanwhile; recorded, so that another life need not ask. */
static void
build_checked(HaTxn *txn, HaLease *lease)
{
	HaTerm		term = lease->view.term;

	ha_lease_guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, term.mod_revision);
	term.unchecked_from = 0;
	put_term(txn, lease, &term);
}

/* S-15: the record tells the true timeline before the gate opens. */
static void
build_confirm(HaTxn *txn, HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;

	ha_lease_guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	term.intent = term.standby = term.from_source = false;
	extend_lineage(&term, view, local, lease->name);
	term.lost_bytes = term.reached > term.begin_lsn ?
		term.reached - term.begin_lsn : 0;
	put_term(txn, lease, &term);
	ha_lease_put_heartbeat(txn, lease, local, term.term);
	ha_txn_put(txn, KEY_STATUS, ha_status_json(local->flush_lsn, &view->slots), 0);

	/* nobody but us holds what we will acknowledge from now on */
	if (view->sync.present)
		ha_txn_put(txn, KEY_SYNC, ha_sync_json(lease->name, 0, 0, NULL), 0);
	if (view->failover.present && view->failover.scheduled_at == 0)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
	}
}

/*
 * The leader of a standby cluster tells which history it follows.  It acknowledges
 * nothing and asks nobody, so /sync and /failsafe, of an earlier time, limit nobody
 * any more.
 */
static void
build_standby_confirm(HaTxn *txn, HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;

	ha_lease_guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	term.intent = false;
	term.standby = term.from_source = true;
	follow_lineage(&term, view, local);
	put_term(txn, lease, &term);
	ha_lease_put_heartbeat(txn, lease, local, term.term);
	if (view->sync.mod_revision != 0)
		ha_txn_delete(txn, KEY_SYNC);
	if (view->failsafe.mod_revision != 0)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILSAFE,
					   view->failsafe.mod_revision);
		ha_txn_delete(txn, KEY_FAILSAFE);
	}
	if (view->failover.present && view->failover.scheduled_at == 0 &&
		view->term.intent)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
	}
}

static void
build_vote(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
		   const HaLocal *local, bool withdrawn)
{
	const HaView *view = &lease->view;
	HaVote		vote = {0};
	char		key[HA_KEY_SIZE] = KEY_VOTES;
	int64_t		known = 0;

	copy_name(key + strlen(KEY_VOTES), lease->name);
	for (int i = 0; i < view->nvotes; i++)
	{
		if (strcmp(view->votes[i].name, lease->name) == 0)
			known = view->votes[i].mod_revision;
	}
	copy_name(vote.name, lease->name);
	vote.term = view->term.term;
	vote.term_revision = view->term.mod_revision;
	vote.timeline = plan->timeline;
	vote.lsn = plan->lsn;
	vote.priority = local->failover_priority;
	vote.withdrawn = withdrawn;

	/* a vote that is delayed until another was written must not land */
	ha_txn_compare(txn, HA_MOD_REVISION, key, known);
	if (!withdrawn)
	{
		ha_txn_compare(txn, HA_CREATE_REVISION, KEY_LEADER, 0);
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM,
					   view->term.mod_revision);
	}
	ha_txn_put(txn, key, ha_vote_json(&vote), lease->lease_id);
}

static void
build_sync(HaTxn *txn, const HaLease *lease, const HaPlan *plan)
{
	ha_lease_guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC,
				   lease->view.sync.mod_revision);
	if (plan->sync_on)
		ha_txn_put(txn, KEY_SYNC,
				   ha_sync_json(lease->name, plan->quorum, plan->nnames,
								plan->names), 0);
	else
		ha_txn_delete(txn, KEY_SYNC);
}

/* Re-put our own key, as the last read showed it, under our present lease. */
static void
build_reassert(HaTxn *txn, const HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;

	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER,
				   view->leader.mod_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, view->leader.lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_put(txn, KEY_LEADER, copy_text(lease->name), lease->lease_id);
	ha_lease_put_heartbeat(txn, lease, local, view->term.term);
}

/*
 * The key is ours, and so was the last reign: from which revision on may somebody
 * else have led meanwhile (0 = nobody has)?  A worker that has proven nothing yet
 * asks the key itself: it is as old as its term unless it was gone (S-5).
 */
static int64_t
doubt_from(const HaLease *lease)
{
	const HaView *view = &lease->view;

	if (view->term.unchecked_from != 0)
		return view->term.unchecked_from;
	if (lease->proof_revision != 0)
		return lease->proof_revision + 1;
	if (view->leader.create_revision > view->term.mod_revision)
		return view->term.mod_revision + 1;
	return 0;
}

/*
 * S-11: whoever takes the key reserves no id, and may leave nothing that tells which
 * one it has used.
 */
static void
leave_timelines(HaTxn *txn, const HaLease *lease)
{
	HaTerm		term = lease->view.term;

	if (term.reserved < term.timeline)
		term.reserved = term.timeline;
	if (term.reserved > UINT32_MAX - HA_PATRONI_TIMELINES)
		return;
	term.reserved += HA_PATRONI_TIMELINES;
	term.left = true;
	ha_txn_put(txn, KEY_TERM, ha_term_json(&term), 0);
}

/*
 * The marker speaks for a term, which must be ours.  A hand-over is off if the
 * operator's wish has changed, so whoever has withdrawn it in time need not wonder.
 */
static bool
build_release(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
			  const HaLocal *local, int64_t now)
{
	const HaView *view = &lease->view;
	bool		handing = plan->verb == HA_HAND_OVER;

	if (!view->leader.present || !ha_term_is_of(&view->term, lease->name))
		return false;
	if (handing && local->frozen_lsn == 0)
		return false;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	if (handing)
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
	if (handing && ha_mixed_is_patroni(ha_find_member(view, plan->follow)))
		leave_timelines(txn, lease);
	ha_txn_release(txn, lease->name, view->leader.mod_revision,
				   view->leader.lease, view->term.term, view->config.ttl,
				   handing ? local->frozen_lsn : 0, false);
	if (handing)
		put_first_half(txn, lease, plan, local, now);
	return true;
}

/* The operator's wish as it was met or refused, or as it is to be met. */
static void
build_failover(HaTxn *txn, const HaLease *lease, const HaPlan *plan)
{
	ha_lease_guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
				   lease->view.failover.mod_revision);
	if (plan->verb == HA_SET_FAILOVER)
		ha_txn_put(txn, KEY_FAILOVER,
				   ha_failover_json(lease->name, plan->follow), 0);
	else
	{
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
		ha_txn_put(txn, KEY_REFUSED,
				   ha_refusal_json(lease->view.failover.mod_revision,
								   plan->why), 0);
	}
}

/*
 * S-11: the record of a reign that writes none, if its leader key, /history and the
 * record before are as they were when they were looked at.
 */
static bool
build_testimony(HaTxn *txn, HaLease *lease)
{
	const HaView *view = &lease->view;
	HaTerm		term;

	if (!ha_mixed_testimony(view, &term))
		return false;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER,
				   view->leader.mod_revision);
	if (view->leader.present)
		ha_txn_compare_value(txn, KEY_LEADER, view->leader.name);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_HISTORY, view->history_revision);
	put_term(txn, lease, &term);
	return true;
}

bool
ha_lease_build_op(HaLease *lease, const HaPlan *plan, const HaLocal *local,
				  int64_t now, HaTxn *txn)
{
	const HaView *view = &lease->view;

	switch (plan->verb)
	{
		case HA_ACQUIRE:
			lease->check_from = !plan->resume || !view->term.present ? 0 :
				view->term.unchecked_from != 0 ? view->term.unchecked_from :
				later(lease->proof_revision, view->term.mod_revision) + 1;
			build_acquire(txn, lease, plan, local, now);
			lease->op_resume = plan->resume;
			lease->op_term = view->term.term + 1;
			return true;
		case HA_REASSERT:
			build_reassert(txn, lease, local);
			lease->op_term = view->term.term;
			lease->check_from = doubt_from(lease);
			return true;
		case HA_CONFIRM:
			lease->confirm_sent_at = now;
			lease->op_confirms = view->term.intent;
			/* a standby confirms only by ha_standby_cluster_lead() */
			if (local->role != HA_ROLE_PRIMARY)
				build_standby_confirm(txn, lease, local);
			else if (view->term.intent)
				build_confirm(txn, lease, local);
			else
				build_checked(txn, lease);
			return true;
		case HA_RELEASE:
		case HA_HAND_OVER:
			return build_release(txn, lease, plan, local, now);
		case HA_VOTE:
			build_vote(txn, lease, plan, local, false);
			return true;
		case HA_WITHDRAW:
			build_vote(txn, lease, plan, local, true);
			return true;
		case HA_SET_SYNC:
			build_sync(txn, lease, plan);
			return true;
		case HA_CLEAR_FAILOVER:
		case HA_SET_FAILOVER:
			build_failover(txn, lease, plan);
			return true;
		case HA_TESTIFY:
			return build_testimony(txn, lease);
		default:
			return false;
	}
}
