/*-------------------------------------------------------------------------
 *
 * election.c
 *	  Who of the members takes the leader key, when nobody has it.
 *
 * Each says by its vote how far it has the cluster's history, after it has detached from
 * whoever led: the vote is final.  The best one tries first, the others after a while each;
 * the transaction compares all that it rested on (lease.c), so whoever is wrong here gets
 * nothing.  What may be acknowledged elsewhere still is waited for, which is E1.
 *
 * A leader that lost the store goes on as long as everybody in /failsafe has promised it not
 * to lead (S-9).  That holds only if nobody leads who was not asked, and nobody who was
 * asked forgets.
 *
 *-------------------------------------------------------------------------
 */
#include "election.h"
#include "lineage.h"
#include "mixed.h"
#include "plan.h"
#include "quorum.h"
#include "rules.h"
#include "standby_cluster.h"
#include "switchover.h"

#include <string.h>

int64_t
ha_election_wait(const HaConfig *config)
{
	int64_t		wait = config->ttl / 4;

	return wait < 300 ? 300 : wait > 1000 ? 1000 : wait;
}

int64_t
ha_promote_timeout(const HaConfig *config)
{
	return later(2 * config->ttl, 10000);
}

uint64_t
ha_leader_lsn(const HaView *view, const HaLocal *local)
{
	uint64_t	lsn = view->optime;

	if (view->heartbeat.present && view->heartbeat.lsn > lsn)
		lsn = view->heartbeat.lsn;
	if (view->term.present && local->promised_term == view->term.term &&
		local->promised_lsn > lsn)
		lsn = local->promised_lsn;
	return lsn;
}

/* May this name be elected, if enough of the others agree? */
static bool
sync_allows(const HaView *view, const char *name)
{
	return ha_quorum_may_elect(view, name, HA_MAX_MEMBERS);
}

/* A vote counts only in the contest it was given for (S-1, S-16). */
static bool
vote_counts(const HaView *view, const HaVote *vote)
{
	return !vote->withdrawn &&
		vote->term == view->term.term &&
		vote->term_revision == view->term.mod_revision &&
		(ha_history_is_elsewhere(view) ||
		 ha_on_lineage(&view->term, vote->timeline, vote->lsn)) &&
		sync_allows(view, vote->name);
}

/* Total order of votes: the first of them all is the one to lead. */
static bool
vote_is_better(const HaVote *a, const HaVote *b)
{
	if (a->timeline != b->timeline)
		return a->timeline > b->timeline;
	if (a->lsn != b->lsn)
		return a->lsn > b->lsn;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return strncmp(a->name, b->name, HA_NAME_SIZE) < 0;
}

/* Released by the very term that the record names: E1 need not be waited for. */
static bool
released_cleanly(const HaView *view, const HaLocal *local)
{
	return view->heartbeat.present && view->heartbeat.released &&
		view->heartbeat.term == view->term.term &&
		!ha_mixed_led_since(view, local);
}

/*
 * E1: the leader's deadline lies within one TTL after its last heartbeat was
 * put, so it is over once that long has passed since we first *saw* it.  This
 * holds even if the store dropped the key too early.  A member of Patroni puts none,
 * but what it came after may be open still, unless that was released.
 */
static int64_t
former_deadline_is_over_at(const HaView *view, const HaLocal *local)
{
	if (!view->heartbeat.present || released_cleanly(view, local) ||
		(view->heartbeat.released && view->term.foreign))
		return 0;
	return local->heartbeat_seen_at +
		later(local->heartbeat_ttl, view->heartbeat.ttl);
}

/*
 * Is there a configuration, and nobody who could read it, nor a record that tells
 * whether this is a standby cluster?  It may well be one, taken over from Patroni.
 */
static bool
may_be_standby_cluster(const HaConfig *config, const HaView *view)
{
	return config->revision != 0 && !config->known && !view->term.present;
}

/*
 * Why this standby does not stand for election; NULL if it may.
 */
static const char *
not_eligible(const HaConfig *config, const HaView *view,
			 const HaLocal *local)
{
	uint64_t	reached = ha_leader_lsn(view, local);
	uint32_t	timeline;
	uint64_t	lsn;

	if (local->nofailover || local->failover_priority <= 0)
		return "this member is tagged nofailover";
	if (may_be_standby_cluster(config, view))
		return "the configuration cannot be read";
	if (ha_mixed_too_old(config, view, NULL) != NULL)
		return "a member's Patroni is too old to be led beside";
	if (!ha_find_position(view, local, &timeline, &lsn))
		return "its WAL diverged from the cluster's history";
	if (view->sync.present && view->sync.leader[0] == '\0')
		return "/sync cannot be read: put it right, or delete it";
	if (!sync_allows(view, local->name))
		return "it is no synchronous standby";
	if (local->flush_lsn < local->line_begins_at)
		return "it lacks WAL that its next timeline begins with";

	/* whoever wants this member to lead without a leader knows what is lost */
	if (ha_switchover_wants(view, local->name) &&
		view->failover.leader[0] == '\0')
		return NULL;
	if (!view->sync.present && config->maximum_lag_on_failover >= 0 &&
		reached > lsn &&
		reached - lsn > (uint64_t) config->maximum_lag_on_failover)
		return "it lags by more than maximum_lag_on_failover";
	return NULL;
}

/*
 * Does this live member still owe a vote?  The former leader does not: it
 * resumes, or comes back as a standby and then votes like any other.  Nor does one of
 * Patroni's, which is asked instead.
 */
static bool
owes_vote(const HaView *view, const HaMember *member, const HaLocal *local)
{
	const HaVote *vote;

	if (is_name(member->name, local->name) || member->nofailover ||
		member->failover_priority <= 0 || member->sick ||
		ha_mixed_is_patroni(member))
		return false;
	if (member->state != HA_STATE_RUNNING || member->role != HA_ROLE_STANDBY)
		return false;
	if (!sync_allows(view, member->name))
		return false;
	vote = ha_find_vote(view, member->name);
	return vote == NULL || vote->term != view->term.term ||
		vote->term_revision != view->term.mod_revision;
}

static bool
all_have_voted(const HaView *view, const HaLocal *local)
{
	int			n = bounded(view->nmembers, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (owes_vote(view, &view->members[i], local))
			return false;
	}
	return true;
}

/*
 * Has that member said that it is sick?  Then it goes last, and nobody waits; nor for
 * one that is not to lead, and votes for a quorum only.
 */
static bool
goes_last(const HaView *view, const char *name)
{
	const HaMember *member = ha_find_member(view, name);

	return member != NULL && (member->sick || member->nofailover ||
							  member->failover_priority <= 0);
}

/*
 * How many counted votes of members that stand are better than ours; all counted
 * ones go to plan.
 */
static int
rank_of(const HaView *view, const HaVote *mine, HaPlan *plan)
{
	int			n = bounded(view->nvotes, HA_MAX_MEMBERS);
	int			rank = 0;

	for (int i = 0; i < n; i++)
	{
		const HaVote *vote = &view->votes[i];

		if (!vote_counts(view, vote))
			continue;
		plan->counted[plan->ncounted++] = i;
		if (vote != mine && vote_is_better(vote, mine) &&
			!goes_last(view, vote->name))
			rank++;
	}
	return rank;
}

/*
 * The leader's own word counts besides the configuration, which somebody may
 * have changed while the leader could not read it.
 */
static bool
failsafe_is_on(const HaConfig *config, const HaView *view)
{
	return config->failsafe_mode ||
		(view->heartbeat.present && view->heartbeat.failsafe);
}

static bool
failsafe_lists(const HaView *view, const char *name)
{
	int			n = bounded(view->failsafe.nmembers, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (is_name(view->failsafe.members[i], name))
			return true;
	}
	return false;
}

/* Those whom a leader does not ask for promises don't stand (S-9). */
bool
ha_failsafe_allows(const HaView *view, const char *name)
{
	return !failsafe_is_on(&view->config, view) || !view->failsafe.present ||
		failsafe_lists(view, name);
}

/* May others need to hear from that member, to be elected by a quorum of /sync? */
static bool
is_voter(const HaView *view, const char *name)
{
	return view->sync.present && view->sync.quorum > 0 &&
		ha_is_in_sync(&view->sync, name);
}

/* A key without a lease was put by somebody's hand, and says nothing of a life. */
static bool
is_kept_alive(const HaMember *member)
{
	return member->lease != 0;
}

/* No position means that its worker is not there to stand for election. */
bool
ha_may_stand(const HaView *view, const HaMember *member)
{
	return is_kept_alive(member) && member->state == HA_STATE_RUNNING &&
		member->role == HA_ROLE_STANDBY && member->lsn != 0 &&
		!member->nofailover && member->failover_priority > 0 &&
		!member->sick && sync_allows(view, member->name) &&
		ha_failsafe_allows(view, member->name);
}

bool
ha_others_may_lead(const HaView *view, const char *name)
{
	int			n = bounded(view->nmembers, HA_MAX_MEMBERS);
	int			standing = 0;

	for (int i = 0; i < n; i++)
	{
		if (!is_name(view->members[i].name, name) &&
			ha_may_stand(view, &view->members[i]))
			standing++;
	}
	return standing > 0 &&
		standing > (view->sync.present ? view->sync.quorum : 0);
}

/* Is the position of vote "a" beyond that of "b"? */
static bool
is_beyond(const HaVote *a, const HaVote *b)
{
	return a->timeline != b->timeline ? a->timeline > b->timeline :
		a->lsn > b->lsn;
}

/* So many others in /sync have voted and have no more than we have. */
static int
count_supporters(const HaView *view, const HaVote *mine, const HaPlan *plan)
{
	int			supporters = 0;

	for (int i = 0; i < plan->ncounted; i++)
	{
		const HaVote *vote = &view->votes[plan->counted[i]];

		if (ha_is_in_sync(&view->sync, vote->name) &&
			vote != mine && !is_beyond(vote, mine))
			supporters++;
	}
	return supporters;
}

void
ha_acquire(HaPlan *plan, const HaView *view, const HaLocal *local, const char *why)
{
	/* who is not to be promoted uses no id */
	plan->reserve = ha_is_standby_cluster(&view->config, view) ?
		view->term.reserved : ha_next_timeline(view, local);
	ha_plan_set(plan, HA_ACQUIRE, why);
}

bool
ha_names_candidate(const HaFailover *wish)
{
	return wish->present && wish->candidate[0] != '\0' &&
		wish->scheduled_at == 0;
}

/* Is what it has told, by its vote or when it was asked, less than ours? */
static bool
is_behind(const HaView *view, const HaLocal *local, const char *name,
		  const HaVote *mine, int64_t now)
{
	const HaVote *vote = ha_find_vote(view, name);
	const HaPeer *peer = ha_mixed_heard(local, name, local->key_gone_since,
										now);

	if (peer != NULL)
		return peer->timeline < mine->timeline ||
			(peer->timeline == mine->timeline && peer->lsn < mine->lsn);

	return vote == NULL || !vote_counts(view, vote) ||
		vote->timeline < mine->timeline ||
		(vote->timeline == mine->timeline && vote->lsn < mine->lsn);
}

/*
 * The operator named somebody else: leave the key to that one for a TTL.  But if the
 * leader died over a switchover, nobody has agreed to lose what is in our vote and not
 * in the candidate's.  "mine" is NULL where votes are not needed.
 */
static bool
leave_to_candidate(const HaConfig *config, const HaView *view,
				   const HaLocal *local, const HaVote *mine, int64_t now,
				   HaPlan *plan)
{
	const HaFailover *wish = &view->failover;
	int64_t		until = later(local->key_gone_since, local->wish_seen_at) +
	config->ttl;

	if (!ha_names_candidate(wish) || is_name(wish->candidate, local->name) ||
		now >= until)
		return false;
	if (mine != NULL && wish->leader[0] != '\0' &&
		is_behind(view, local, wish->candidate, mine, now))
		return false;
	ha_plan_wait(plan, until, "the operator's candidate is ");
	ha_plan_because_name(plan, view->failover.candidate);
	return true;
}

/* In a pause only whom the operator named may lead; others help with their vote. */
static bool
stands_aside(const HaConfig *config, const HaView *view, const HaLocal *local,
			 HaPlan *plan)
{
	if (!config->pause || ha_switchover_wants(view, local->name))
		return false;
	ha_plan_set(plan, HA_WAIT, "no leader, but the cluster is paused");
	return true;
}

static bool
another_is_primary(const HaView *view, const char *name)
{
	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		if (view->members[i].role == HA_ROLE_PRIMARY &&
			!is_name(view->members[i].name, name))
			return true;
	}
	return false;
}

/* A heartbeat that came later is of a reign of which we saw nothing else. */
static int64_t
asked_since(const HaLocal *local)
{
	return later(local->key_gone_since, local->heartbeat_seen_at);
}

/* When this candidate may try, so many others being better. */
static int64_t
turn_of(const HaConfig *config, const HaView *view, const HaLocal *local,
		const HaVote *mine, int rank)
{
	int64_t		wait = ha_election_wait(config);

	/*
	 * whose promise ends first (S-9) is not the best: wait for those of
	 * others
	 */
	bool		promised = local->promised_until > local->key_gone_since;
	int64_t		votes_due = promised ? local->promised_until + config->ttl :
	local->key_gone_since + wait;
	int64_t		turn = former_deadline_is_over_at(view, local);

	/*
	 * Without contact when the key vanished we can't tell a dead leader from
	 * one that lost the store together with us: let that one resume first
	 * (S-5).
	 */
	if (local->blind && !released_cleanly(view, local))
		turn = later(turn, local->key_gone_since + wait);

	/*
	 * The leader said how far it got when it gave up the key, which is
	 * further than anybody here.  If it is coming back, nothing need be lost;
	 * but after a crash that may take long, and it is agreed to if another
	 * shall lead at once.
	 */
	if (released_cleanly(view, local) &&
		mine->lsn < view->heartbeat.released_lsn &&
		!(view->heartbeat.crashed && config->primary_start_timeout == 0) &&
		ha_find_member(view, view->term.owner) != NULL)
		turn = later(turn, local->key_gone_since + config->ttl);

	/*
	 * The store has forgotten everything, and pg_ha_boot of the last leader
	 * puts it back after a TTL: that one leads on, if it can.
	 */
	if (!view->term.present && another_is_primary(view, local->name))
		turn = later(turn, local->key_gone_since + 2 * config->ttl);
	if (!all_have_voted(view, local) || rank > 0)
		turn = later(turn, votes_due);
	turn += rank * wait;

	/* what fails here is better than nobody at all */
	if (local->sick_since != 0)
		turn += 2 * config->ttl;
	return turn;
}

/*
 * Our final position is published: take the key if no better one is known, in
 * rank order after a while if the better ones don't.
 */
static void
elect(const HaConfig *config, const HaView *view, const HaLocal *local,
	  const HaVote *mine, int64_t now, HaPlan *plan)
{
	int			rank = rank_of(view, mine, plan);
	int64_t		turn = turn_of(config, view, local, mine, rank);

	/* nothing was acknowledged later, by one of ours (S-11) */
	int64_t		since = later(former_deadline_is_over_at(view, local),
							  asked_since(local));

	/* so many of those that confirm commits must have no more than we have */
	if (!ha_quorum_may_elect(view, local->name,
							 count_supporters(view, mine, plan) +
							 ha_mixed_supporters(view, local, mine->timeline,
												 mine->lsn, since, now)))
	{
		ha_plan_set(plan, HA_WAIT, "too few of the synchronous standbys have voted");
		plan->ask = ha_mixed_wants_answers(local, since, now);
		return;
	}
	if (now < turn)
	{
		ha_plan_wait(plan, turn, local->sick_since != 0 ?
					 "goes last, since a health check fails here" : rank > 0 ?
					 "a better candidate goes first" :
					 "waiting for votes and for the former leader's deadline");
		plan->ask = ha_mixed_wants_answers(local, since, now);
		return;
	}
	if (stands_aside(config, view, local, plan) ||
		ha_mixed_waits(view, local, mine->timeline, mine->lsn, since, now,
					   plan) ||
		(local->sick_since == 0 &&
		 leave_to_candidate(config, view, local, mine, now, plan)))
		return;
	ha_acquire(plan, view, local, rank > 0 ?
			   "the better candidates did not take the leader key" :
			   "best candidate of the election");
}

/*
 * Who holds all of a closed reign loses nothing by leading at once, if it may.  False:
 * that is not so, or a member of Patroni is in the way, which is no reason to go on
 * streaming.
 */
static bool
takes_over(const HaConfig *config, const HaView *view, const HaLocal *local,
		   int64_t now, HaPlan *plan)
{
	bool		waits;

	if (local->sick_since != 0 || now < local->stay_out_until ||
		!released_cleanly(view, local) || view->heartbeat.released_lsn == 0 ||
		plan->lsn < view->heartbeat.released_lsn ||
		plan->timeline != view->term.timeline)
		return false;
	waits = ha_mixed_waits(view, local, plan->timeline, plan->lsn,
						   asked_since(local), now, plan);
	if (!waits && !stands_aside(config, view, local, plan) &&
		!leave_to_candidate(config, view, local, NULL, now, plan))
		ha_acquire(plan, view, local, "the leader handed over, all its WAL is here");
	return !waits || plan->ask;
}

/*
 * The end of recovery may cut a record that is here in part only, so what we have is
 * not final before it (S-2); and once it is over, the key can be had without votes.
 */
static bool
is_promoting_still(const HaConfig *config, const HaView *view,
				   const HaLocal *local, int64_t now, HaPlan *plan)
{
	int64_t		until = local->promoting_since + ha_promote_timeout(config);

	if (!local->promoting)
		return false;
	if (now < local->stay_out_until)
		until = local->stay_out_until;
	else if (!view->term.intent || !is_name(view->term.owner, local->name) ||
			 now > until)
		return false;
	ha_plan_wait(plan, until, "its own promotion is under way");
	return true;
}

/* Is our vote what we have, and for this contest? */
static bool
has_voted(const HaView *view, const HaVote *mine, const HaPlan *plan)
{
	return mine != NULL && !mine->withdrawn &&
		mine->term == view->term.term &&
		mine->term_revision == view->term.mod_revision &&
		mine->timeline == plan->timeline && mine->lsn == plan->lsn;
}

/*
 * A standby without a leader: detach, vote, elect.  Those that can't stand
 * detach too, since whoever goes on streaming from a former leader may
 * acknowledge its commits and diverge (S-16).
 */
void
ha_elect(const HaConfig *config, const HaView *view,
		 const HaLocal *local, int64_t now, HaPlan *plan)
{
	const HaVote *mine = ha_find_vote(view, local->name);
	const char *hindrance = not_eligible(config, view, local);
	bool		stays_out = now < local->stay_out_until;
	bool		voter = is_voter(view, local->name);
	bool		on_history;
	bool		only_votes;		/* Patroni lists whom we would not, and others
								 * need that vote for their quorum */

	if (ha_mixed_history_is_beyond(view))
	{
		ha_plan_set(plan, HA_TESTIFY, "/history tells of a leader that is not on record");
		return;
	}
	on_history = ha_find_position(view, local, &plan->timeline, &plan->lsn);
	only_votes = on_history && voter && ha_mixed_beside(view, local) &&
		(local->nofailover || local->failover_priority <= 0);
	if (hindrance == NULL && takes_over(config, view, local, now, plan))
		return;
	if (on_history && local->timeline > view->term.timeline &&
		view->term.present && ha_mixed_left_traces(view))
	{
		hindrance = "nobody has recorded who led the timeline it is on";
		only_votes = on_history = false;
	}
	if (!local->detached || local->replaying)
	{
		ha_plan_set(plan, HA_DETACH, local->detached ?
					"what is here has to be replayed before a vote" :
					"there is no leader to follow");
		return;
	}
	if (hindrance != NULL && !only_votes)
	{
		ha_plan_wait(plan, 0, "does not stand for election: ");
		ha_plan_because(plan, hindrance);
		plan->aside = !on_history || (!local->nofailover && !voter);
		return;
	}
	if (is_promoting_still(config, view, local, now, plan))
		return;
	if (!has_voted(view, mine, plan))
	{
		ha_plan_set(plan, HA_VOTE, "the leader key is gone");
		return;
	}

	/* it does not stand, but others may need its vote for their quorum */
	plan->aside = (stays_out || local->sick_since != 0) && !voter;
	if (only_votes)
		ha_plan_set(plan, HA_WAIT,
					"does not stand for election, but has voted for the others");
	else if (stays_out)
		ha_plan_wait(plan, local->stay_out_until,
					 "does not stand for election: its last promotion failed");
	else
		elect(config, view, local, mine, now, plan);
}

bool
ha_has_promised(const HaLocal *local, int64_t now)
{
	return now < local->promised_until;
}

/*
 * Neither a vote nor the key for one who promised, or may have, or is not asked;
 * but the owner of the last term is the only one who could ask.
 */
void
ha_heed_failsafe(const HaConfig *config, const HaView *view, const HaLocal *local,
				 int64_t now, HaPlan *plan)
{
	int64_t		forgotten_until = local->starting_since +
	later(later(config->ttl, local->heartbeat_ttl), view->heartbeat.ttl);
	const char *why = NULL;
	int64_t		until = 0;

	if (plan->verb != HA_ACQUIRE && plan->verb != HA_VOTE)
		return;
	if (ha_has_promised(local, now))
	{
		until = local->promised_until;
		why = "promised not to lead to leader ";
	}
	else if (!failsafe_is_on(config, view) || !view->failsafe.present)
		return;					/* without a list nobody was ever asked */
	else if (now < forgotten_until)
	{
		until = forgotten_until;
		why = "may have promised not to lead before it started";
	}
	else if (!failsafe_lists(view, local->name) &&
			 !ha_term_is_of(&view->term, local->name))
		why = "is not listed in /failsafe";
	if (why == NULL)
		return;
	memset(plan, 0, sizeof(*plan));
	ha_plan_wait(plan, until, why);
	plan->aside = !is_voter(view, local->name);
	if (ha_has_promised(local, now))
		ha_plan_because_name(plan, local->promised_to);
}
