/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  The rules: what a member does, given what it knows.
 *
 * Every decision of pg_ha that can lose data or availability is made here and in the
 * files that this one asks (election.c first of all), as ordered ifs without clock, I/O,
 * allocation or state, so that it can be read, listed in a table, simulated and asked
 * ("why not?").  Rules that take writes away come before rules that give them.
 *
 * Two ideas carry the whole file:
 *
 * - Who leads is decided by the store, in one guarded transaction; who *may*
 *	 try is decided in election.c.  Being wrong here costs availability; being wrong
 *	 together with the store would cost data, hence the guards: the acquiring
 *	 transaction compares everything that this decision rested on.
 *
 * - A position (timeline, LSN) means nothing by itself.  It counts only if it
 *	 lies on the history that the term record tells (lineage.c).
 *
 *-------------------------------------------------------------------------
 */
#include "cascade.h"
#include "decide.h"
#include "election.h"
#include "lineage.h"
#include "mixed.h"
#include "plan.h"
#include "quorum.h"
#include "rules.h"
#include "standby_cluster.h"
#include "switchover.h"
#include "versions.h"

#include <string.h>

/* Replay that has not moved for so long has come to the end of the WAL. */
#define STALLED_AFTER		500

/* What is wrong with our own server, as it was found. */
static void
because_sick(HaPlan *plan, const HaLocal *local)
{
	ha_plan_because(plan, "check \"");
	ha_plan_because_text(plan, local->sick_check, HA_NAME_SIZE);
	ha_plan_because(plan, "\" fails: ");
	ha_plan_because_text(plan, local->sick_detail, HA_WHY_SIZE);
}

/* Does the leader key stand for us, under the lease that we have now? */
static bool
key_is_mine(const HaView *view, const HaLocal *local)
{
	return view->leader.present && is_name(view->leader.name, local->name);
}

/* In recovery, and the leader key is ours: we are on the way to promotion. */
static void
decide_promotion(const HaConfig *config, const HaView *view,
				 const HaLocal *local, int64_t now, HaPlan *plan)
{
	bool		ours = view->term.present && view->term.intent &&
	!view->term.standby && is_name(view->term.owner, local->name);

	if (view->leader.lease != local->lease_id || !ours)
	{
		ha_plan_set(plan, HA_RELEASE, view->term.standby ?
					"this is no standby cluster any more, so it elects a primary" :
					"the leader key is ours from an earlier life");
		return;
	}
	if (!local->holding || local->reassert)
	{
		ha_plan_set(plan, HA_REASSERT, "took the leader key by an answer that was lost");
		return;
	}
	if (local->promoting &&
		now - local->promoting_since > ha_promote_timeout(config))
	{
		ha_plan_set(plan, HA_RELEASE, "promotion did not finish in time");
		return;
	}
	if (!local->promoting && now < local->stay_out_until)
	{
		ha_plan_set(plan, HA_RELEASE, "its promotion failed");
		return;
	}
	plan->reserve = view->term.reserved;
	ha_plan_set(plan, HA_PROMOTE, "holds the leader key");
}

/*
 * The leader's history is followed; where its WAL comes from is another question.
 * Nobody in plan.follow means that it comes from the archive.
 */
static void
choose_source(const HaConfig *config, const HaView *view, const HaLocal *local,
			  const char *leader, int64_t now, HaPlan *plan)
{
	const HaMember *source = ha_cascade_own_source(config, view, local, now);

	ha_plan_set(plan, HA_FOLLOW, "leader is ");
	ha_plan_because_name(plan, leader);
	if (local->nostream)
	{
		memset(plan->follow, 0, sizeof(plan->follow));
		ha_plan_because(plan, ", whose WAL comes from the archive");
	}
	else if (source != NULL)
	{
		plan->cascade = true;
		copy_name(plan->follow, source->name);
		ha_plan_because(plan, ", whose WAL comes from ");
		ha_plan_because_name(plan, source->name);
	}
}

/*
 * A member of Patroni leads, and nobody has recorded that yet: we do, as soon as the
 * store tells without contradiction what it leads.
 */
static void
decide_testify(const HaView *view, const HaLocal *local, const char *name,
			   HaPlan *plan)
{
	HaTerm		term;

	if (ha_mixed_testimony(view, &term))
		ha_plan_set(plan, HA_TESTIFY, "a member of Patroni leads, on record from now on: ");
	else
		ha_plan_set(plan, local->follows[0] != '\0' &&
					!is_name(local->follows, name) ? HA_DETACH : HA_WAIT,
					"/history does not tell which timeline is led by Patroni's member ");
	ha_plan_because_name(plan, name);
}

/* Somebody leads: follow that one, once it is proven to lead our history. */
static void
decide_follow(const HaConfig *config, const HaView *view, const HaLocal *local,
			  const char *name, int64_t now, HaPlan *plan)
{
	const HaMember *leader = ha_find_member(view, name);
	const HaVote *mine = ha_find_vote(view, local->name);

	copy_name(plan->follow, name);
	if (view->leader.present && ha_mixed_is_unrecorded(view))
	{
		decide_testify(view, local, name, plan);
		return;
	}
	if (!view->term.present || view->term.intent ||
		view->term.unchecked_from != 0 ||
		!is_name(view->term.owner, name))
	{
		ha_plan_set(plan, local->follows[0] != '\0' &&
					!is_name(local->follows, name) ?
					HA_DETACH : HA_WAIT,
					"the leader has not confirmed its reign yet");
		return;
	}

	/* in a standby cluster that is for the source to say (boot/remote.c) */
	if (!view->term.standby && !ha_is_on_history(view, local, local->replay_lsn))
	{
		ha_plan_set(plan, HA_REWIND, "its WAL diverged from that of leader ");
		ha_plan_because_name(plan, name);
		return;
	}
	if (local->vote_pending)
	{
		ha_plan_set(plan, HA_WAIT, "does not know yet whether its vote stands");
		return;
	}
	if (local->vote_unknown ||
		(mine != NULL && !mine->withdrawn && mine->term == view->term.term &&
		 mine->term_revision == view->term.mod_revision))
	{
		ha_plan_set(plan, HA_WITHDRAW, "follows again in the contest it voted in");
		return;
	}
	if (leader == NULL || leader->host[0] == '\0')
	{
		ha_plan_set(plan, HA_WAIT, "the leader's address is not known");
		return;
	}
	choose_source(config, view, local, name, now, plan);
}

/*
 * The key is gone, but its holder has our promise: it leads, so its WAL is still
 * to be streamed.
 */
static void
decide_promised(const HaConfig *config, const HaView *view,
				const HaLocal *local, int64_t now, HaPlan *plan)
{
	decide_follow(config, view, local, local->promised_to, now, plan);
	if (plan->verb == HA_FOLLOW || plan->verb == HA_WITHDRAW)
		ha_plan_set(plan, plan->verb, "promised not to lead to leader ");
	else
		ha_plan_set(plan, HA_WAIT, "promised not to lead to leader ");
	ha_plan_because_name(plan, local->promised_to);
	plan->wake_at = local->promised_until;
}

static void
decide_standby(const HaConfig *config, const HaView *view,
			   const HaLocal *local, int64_t now, HaPlan *plan)
{
	if (ha_standby_cluster_demotes(config, view, local, plan))
		return;
	if (key_is_mine(view, local) && ha_is_standby_cluster(config, view))
		ha_standby_cluster_lead(view, local, plan);
	else if (key_is_mine(view, local))
		decide_promotion(config, view, local, now, plan);
	else if (view->leader.present)
		decide_follow(config, view, local, view->leader.name, now, plan);
	else if (view->sysid == 0)
		ha_plan_set(plan, HA_WAIT, "the cluster is not initialized");
	else if (ha_has_promised(local, now))
		decide_promised(config, view, local, now, plan);
	else if (config->pause && !ha_names_candidate(&view->failover))
		ha_plan_set(plan, HA_WAIT, "no leader, but the cluster is paused");
	else
		ha_elect(config, view, local, now, plan);
}

/*
 * In recovery, and the leader key is ours: a primary that crashed in place keeps
 * it while it recovers, fenced, since that loses nothing; but not for ever.
 */
static void
decide_recovery(const HaConfig *config, const HaView *view,
				const HaLocal *local, int64_t now, HaPlan *plan)
{
	bool		ours = !view->term.intent &&
	ha_term_is_of(&view->term, local->name);

	if (!ours)
		ha_plan_set(plan, HA_WAIT, "the server is starting");
	else if (now - local->starting_since > config->primary_start_timeout)
		ha_plan_set(plan, HA_RELEASE,
					"recovery takes longer than primary_start_timeout");
	else if (!local->holding || local->reassert ||
			 view->leader.lease != local->lease_id)
		ha_plan_set(plan, HA_REASSERT, "led when it crashed, is recovering");
	else
		ha_plan_set(plan, HA_WAIT, "keeps the leader key while it recovers");
}

/*
 * In recovery, not yet consistent.  After a rewind or a clone consistency may
 * lie beyond the WAL that is here, so when replay has come to an end a proven
 * leader is followed already.  Not before: a primary that crashed does not know
 * yet how far its WAL goes, and must not claim to have the leader's.
 */
static void
decide_starting(const HaConfig *config, const HaView *view,
				const HaLocal *local, int64_t now, HaPlan *plan)
{
	if (now - local->replay_moved_at >= STALLED_AFTER &&
		ha_standby_cluster_starting(config, view, local, plan))
		return;
	if (key_is_mine(view, local))
	{
		decide_recovery(config, view, local, now, plan);
		return;
	}
	if (local->timeline != 0 && view->leader.present &&
		now - local->replay_moved_at >= STALLED_AFTER)
	{
		decide_follow(config, view, local, view->leader.name, now, plan);
		if (plan->verb == HA_FOLLOW || plan->verb == HA_DETACH ||
			plan->verb == HA_REWIND || plan->verb == HA_TESTIFY ||
			plan->verb == HA_WITHDRAW)
			return;
	}
	else if (!view->leader.present && local->follows[0] != '\0' &&
			 !ha_has_promised(local, now))
	{
		ha_plan_set(plan, HA_DETACH, "there is no leader to follow");
		return;
	}
	ha_plan_set(plan, HA_WAIT, "the server is starting");
}

/*
 * How far a member has come, by its key, which is old, or by our walsender, which
 * is not there if it does not stream from us.
 */
static uint64_t
reached_by(const HaLocal *local, const HaMember *member)
{
	int			n = bounded(local->nstandbys, HA_MAX_MEMBERS);
	uint64_t	lsn = member->lsn;

	for (int i = 0; i < n; i++)
	{
		if (is_name(local->standbys[i].name, member->name) &&
			local->standbys[i].flush_lsn > lsn)
			lsn = local->standbys[i].flush_lsn;
	}
	return lsn;
}

/*
 * Would somebody lead if we did not?  Only who will not think itself too far
 * behind counts; without synchronous replication nothing else tells that.
 */
static bool
has_successor(const HaConfig *config, const HaView *view, const HaLocal *local)
{
	int			n = bounded(view->nmembers, HA_MAX_MEMBERS);

	/* while the mode has just been turned on, nobody is listed yet */
	if (config->synchronous_mode != HA_SYNC_OFF && !view->sync.present)
		return false;
	if (view->sync.present || config->maximum_lag_on_failover < 0)
		return ha_others_may_lead(view, local->name);
	for (int i = 0; i < n; i++)
	{
		const HaMember *member = &view->members[i];
		uint64_t	lsn = reached_by(local, member);

		if (!is_name(member->name, local->name) && ha_may_stand(view, member) &&
			(lsn >= local->flush_lsn ||
			 local->flush_lsn - lsn <=
			 (uint64_t) config->maximum_lag_on_failover))
			return true;
	}
	return false;
}

/* Has a check failed for longer than a leader bears with? */
static bool
is_sick(const HaLocal *local, int64_t now)
{
	return local->sick_since != 0 &&
		now - local->sick_since >= local->health_grace;
}

/*
 * A server that can't write is no use as a leader, but one that goes with nobody to
 * take over makes it worse; and who gives a key up that the store will give to
 * nobody, since it takes no writes, has not helped anybody (S-14).  NULL if the
 * leader key is to be given up, else why not.
 */
static const char *
reason_to_stay(const HaConfig *config, const HaView *view,
			   const HaLocal *local, int64_t now)
{
	if (config->pause)
		return "the cluster is paused";

	/* what struck us may have struck all: the others had as long to tell */
	if (view->sent_at < local->sick_since + local->health_grace)
		return "the others have not been looked at since";
	if (!has_successor(config, view, local))
		return "no other member can";

	/* who is giving up has stopped to write, which says nothing of the store */
	if (!local->giving_up &&
		(local->put_at == 0 || now - local->put_at > config->ttl))
		return "the store has taken no write lately";
	return NULL;
}

/* The key is proven ours and the record tells our timeline: lead. */
static void
decide_lead(const HaConfig *config, const HaView *view, const HaLocal *local,
			int64_t now, HaPlan *plan)
{
	const HaMember *old = ha_mixed_too_old(config, view, NULL);
	const char *stay = NULL;
	HaPlan		wish = {0};

	if (is_sick(local, now))
	{
		stay = reason_to_stay(config, view, local, now);
		if (stay == NULL)
		{
			ha_plan_set(plan, HA_GIVE_UP, "");
			because_sick(plan, local);
			return;
		}
	}

	/*
	 * After a start the names of synchronous standbys are whatever the file
	 * said; the gate stays shut until they are what /sync promises (S-17).
	 */
	if (local->deadline == 0 && local->frozen_since == 0 &&
		ha_quorum_restore(config, view, local, plan))
	{
		ha_plan_set(plan, HA_SET_NAMES, "synchronous standbys as /sync has them");
		return;
	}
	if (ha_switchover_step(config, view, local, now, &wish) &&
		wish.verb != HA_PREPARE)
	{
		*plan = wish;
		return;
	}
	plan->lead = true;
	plan->wake_at = wish.wake_at;
	if (ha_quorum_step(config, view, local, plan))
		return;
	if (wish.verb == HA_PREPARE)
	{
		*plan = wish;
		return;
	}
	if (local->deadline != 0 && now >= local->deadline)
		ha_plan_set(plan, HA_SUSPEND, "the store does not confirm the leadership");
	else
		ha_plan_set(plan, HA_RENEW, local->failsafe_active ?
					"leads by the promises of all members" : "leads");
	if (old != NULL)
	{
		ha_plan_because(plan, ", beside a Patroni that is too old for that: ");
		ha_plan_because_name(plan, old->name);
	}
	if (stay != NULL)
	{
		ha_plan_because(plan, ", although sick, since ");
		ha_plan_because(plan, stay);
		ha_plan_because(plan, "; ");
		because_sick(plan, local);
	}
}

/* Does the store show that somebody else may have led since?  Then make way. */
static bool
is_superseded(const HaConfig *config, const HaView *view,
			  const HaLocal *local, HaPlan *plan)
{
	bool		term_is_mine = ha_term_is_of(&view->term, local->name);

	if (view->leader.present && !key_is_mine(view, local))
	{
		ha_plan_set(plan, config->pause ? HA_WAIT : HA_DEMOTE, "leader is ");
		ha_plan_because_name(plan, view->leader.name);
		return true;
	}
	if (view->term.present && (!term_is_mine ||
							   (!view->term.intent &&
								view->term.timeline != local->timeline)))
	{
		ha_plan_set(plan, config->pause ? HA_WAIT : HA_DEMOTE,
					"the last term is not ours: it is of ");
		ha_plan_because_name(plan, view->term.owner);
		return true;
	}
	if (view->term.present && view->term.intent &&
		(view->term.standby || view->term.reserved != local->timeline))
	{
		ha_plan_set(plan, HA_DEMOTE, "promoted to a timeline that is not reserved");
		return true;
	}
	if (local->reign_lost)
	{
		ha_plan_set(plan, config->pause ? HA_WAIT : HA_DEMOTE,
					"somebody held the leader key meanwhile");
		return true;
	}
	return false;
}

/* A primary whose key is gone. */
static void
decide_keyless(const HaConfig *config, const HaView *view,
			   const HaLocal *local, int64_t now, HaPlan *plan)
{
	if (is_sick(local, now) &&
		!config->pause && has_successor(config, view, local))
	{
		ha_plan_set(plan, HA_WAIT, "leaves the leader key to others: ");
		because_sick(plan, local);
		return;
	}
	if (ha_mixed_led_without(view, local->name, local->timeline) ||
		(view->term.present && view->term.intent &&
		 (ha_mixed_led_since(view, local) || ha_mixed_patroni(view) != NULL)))
	{
		/* nobody has put a record since, but a member of Patroni puts none */
		ha_plan_set(plan, config->pause ? HA_WAIT : HA_DEMOTE,
					"a member of Patroni may have led since it was promoted");
		return;
	}
	if (view->term.present && view->term.intent)
	{
		/*
		 * Promoted, but the key went before the timeline was recorded. Nobody
		 * has had it since, so go on where we were, on the same timeline.
		 */
		ha_acquire(plan, view, local, "promoted when the leader key was lost");
		plan->reserve = local->timeline;
		return;
	}
	plan->resume = true;
	ha_acquire(plan, view, local, view->term.present ?
			   "led last, nobody has since" : "first leader of the cluster");
}

/*
 * Out of recovery.  Whatever is not proven stays fenced; only the proof that
 * somebody else may have led takes the server away.
 */
static void
decide_primary(const HaConfig *config, const HaView *view,
			   const HaLocal *local, int64_t now, HaPlan *plan)
{
	if (ha_standby_cluster_demotes(config, view, local, plan) ||
		ha_switchover_gone(config, view, local, now, plan) ||
		is_superseded(config, view, local, plan))
		return;
	if (view->sysid == 0 && !local->holding)
	{
		ha_plan_set(plan, HA_WAIT, "the cluster is not initialized");
		return;
	}
	if (!view->leader.present)
	{
		decide_keyless(config, view, local, now, plan);
		return;
	}
	if (!local->holding || local->reassert ||
		view->leader.lease != local->lease_id)
	{
		ha_plan_set(plan, HA_REASSERT, "the leader key is ours but not proven");
		return;
	}
	if (!view->term.present)
	{
		ha_plan_set(plan, HA_WAIT, "the record of the term was deleted");
		return;
	}
	if (view->term.intent)
	{
		ha_plan_set(plan, HA_CONFIRM, "promoted");
		return;
	}
	if (!local->reign_checked)
	{
		ha_plan_set(plan, HA_WAIT, "looks whether somebody led meanwhile");
		return;
	}
	if (view->term.unchecked_from != 0)
	{
		ha_plan_set(plan, HA_CONFIRM, "nobody led meanwhile");
		return;
	}
	decide_lead(config, view, local, now, plan);
}

/*
 * A later version may have changed what any key means, so nothing that is read
 * counts.  Whoever leads stops doing so; the key runs out by itself, since to give
 * it up would be to write.  A standby goes on as it is.
 */
static void
decide_too_old(const HaConfig *config, const HaView *view,
			   const HaLocal *local, HaPlan *plan)
{
	bool		steps_down = local->role == HA_ROLE_PRIMARY && !config->pause;

	ha_plan_set(plan, steps_down ? HA_DEMOTE : HA_WAIT, "");
	ha_too_old_why(view, plan->why, sizeof(plan->why));
}

void
ha_decide(const HaConfig *config, const HaView *view, const HaLocal *local,
		  int64_t now, HaPlan *plan)
{
	memset(plan, 0, sizeof(*plan));

	if (local->stopping)
		ha_plan_set(plan, HA_WAIT, "the server is stopping");
	else if (!view->valid)
		ha_plan_set(plan, HA_WAIT, "the store has not answered yet");
	else if (ha_is_too_old(view))
		decide_too_old(config, view, local, plan);
	else if (view->sysid != 0 && local->sysid != 0 &&
			 view->sysid != local->sysid)
		ha_plan_set(plan, HA_STOP, "system identifier is not that of the cluster");
	else if (view->cluster_uuid[0] != '\0' && local->cluster_uuid[0] != '\0' &&
			 strcmp(view->cluster_uuid, local->cluster_uuid) != 0)
		ha_plan_set(plan, HA_STOP, "the data is of another cluster with the same system identifier");
	else if (ha_mixed_runs_us(view, local))
	{
		ha_plan_set(plan, HA_WAIT, "Patroni runs this server, so pg_ha does not");
		plan->looks_only = true;
	}
	else if (local->time_jumped)
	{
		/* leases may be long over: prove first, then think again */
		ha_plan_set(plan, HA_WAIT, "time jumped, looking anew");
	}
	else if (local->role == HA_ROLE_PRIMARY)
		decide_primary(config, view, local, now, plan);
	else if (local->role == HA_ROLE_STANDBY)
		decide_standby(config, view, local, now, plan);
	else
		decide_starting(config, view, local, now, plan);
	ha_heed_failsafe(config, view, local, now, plan);
}
