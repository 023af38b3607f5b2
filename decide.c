/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  The rules: what a member does, given what it knows.
 *
 * Every decision of pg_ha that can lose data or availability is made here, as
 * ordered ifs without clock, I/O, allocation or state, so that it can be read,
 * listed in a table, simulated and asked ("why not?").  Rules that take writes
 * away come before rules that give them.
 *
 * Two ideas carry the whole file:
 *
 * - Who leads is decided by the store, in one guarded transaction; who *may*
 *	 try is decided here.  Being wrong here costs availability; being wrong
 *	 together with the store would cost data, hence the guards: the acquiring
 *	 transaction compares everything that this decision rested on.
 *
 * - A position (timeline, LSN) means nothing by itself.  It counts only if it
 *	 lies on the history that the term record tells; anything else is divergence,
 *	 whoever holds it and however far it got.
 *
 *-------------------------------------------------------------------------
 */
#include "cascade.h"
#include "decide.h"
#include "mixed.h"
#include "quorum.h"
#include "rules.h"
#include "standby_cluster.h"
#include "switchover.h"
#include "versions.h"

#include <string.h>

/*
 * So many timeline ids are left to the source of a standby cluster when that is
 * promoted: the source may still run, or come back, and use the next ones.
 */
#define SOURCE_TIMELINES	8

/* Replay that has not moved for so long has come to the end of the WAL. */
#define STALLED_AFTER		500

/* Append to the reason; what doesn't fit is cut. */
static void
append(HaPlan *plan, const char *text, size_t more)
{
	char	   *end = plan->why + strlen(plan->why);
	size_t		room = plan->why + HA_WHY_SIZE - 1 - end;

	if (more > room)
		more = room;
	memcpy(end, text, more);
	end[more] = '\0';
}

static void
because(HaPlan *plan, const char *text)
{
	append(plan, text, strlen(text));
}

/* A name from outside need not be terminated. */
static void
because_name(HaPlan *plan, const char *name)
{
	append(plan, name, strnlen(name, HA_NAME_SIZE));
}

/* What is wrong with our own server, as it was found. */
static void
because_sick(HaPlan *plan, const HaLocal *local)
{
	because(plan, "check \"");
	append(plan, local->sick_check, strnlen(local->sick_check, HA_NAME_SIZE));
	because(plan, "\" fails: ");
	append(plan, local->sick_detail, strnlen(local->sick_detail, HA_WHY_SIZE));
}

static void
set_plan(HaPlan *plan, HaVerb verb, const char *why)
{
	plan->verb = verb;
	plan->why[0] = '\0';
	because(plan, why);
}

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

bool
ha_on_lineage(const HaTerm *term, uint32_t timeline, uint64_t lsn)
{
	int			n = bounded(term->nlineage, HA_MAX_LINEAGE);
	uint64_t	end = UINT64_MAX;

	if (!term->present || term->timeline == 0)
		return true;
	if (timeline == term->timeline)
		return true;

	/* what a later one left off at, none before it goes beyond */
	for (int i = n - 1; i >= 0; i--)
	{
		if (term->lineage[i].end_lsn < end)
			end = term->lineage[i].end_lsn;
		if (term->lineage[i].timeline == timeline)
			return lsn <= end;
	}
	return false;
}

const char *
ha_timeline_owner(const HaTerm *term, uint32_t timeline)
{
	if (term->timeline == timeline)
		return term->timeline_owner;
	for (int i = 0; i < term->nlineage && i < HA_MAX_LINEAGE; i++)
	{
		if (term->lineage[i].timeline == timeline)
			return term->lineage[i].owner;
	}
	return NULL;
}

/* Does the record know that timeline at all? */
static bool
is_recorded(const HaTerm *term, uint32_t timeline)
{
	return ha_on_lineage(term, timeline, 0);
}

/*
 * Is our WAL, up to that LSN, the cluster's?  An id alone does not say that it is
 * the same timeline, if somebody promoted a server by hand; where it began does.
 */
static bool
is_on_history(const HaView *view, const HaLocal *local, uint64_t lsn)
{
	const HaTerm *term = &view->term;
	int			n = bounded(local->nancestors, HA_MAX_LINEAGE);

	if (term->present && local->timeline == term->timeline && n > 0 &&
		term->begin_lsn != 0 &&
		local->ancestors[n - 1].end_lsn != term->begin_lsn)
		return false;
	return ha_on_lineage(term, local->timeline, lsn);
}

/*
 * In a standby cluster the record tells what its leader had from the source, which may
 * have been wrong: no position is better or worse for it.
 */
static bool
history_is_elsewhere(const HaView *view)
{
	return view->term.standby && ha_is_standby_cluster(&view->config, view);
}

/*
 * How far we have the cluster's history, in its own terms: the position that a
 * vote tells.  A timeline that the record does not know, newer than the one that
 * it tells of, was promoted to in vain: the gate opens only after the record, so
 * nothing was acknowledged there, and what counts is where it began; but not if the
 * record has the history of a source, which may have been an older one.  One that is
 * older may have led, until somebody took over who did not have it (S-16); what
 * was lost then must not come back.  Returns false if we have none of the
 * history, or something else besides.
 */
static bool
find_position(const HaView *view, const HaLocal *local, uint32_t *timeline,
			  uint64_t *lsn)
{
	int			n = bounded(local->nancestors, HA_MAX_LINEAGE);

	*timeline = local->timeline;
	*lsn = local->flush_lsn;
	if (history_is_elsewhere(view))
		return true;
	if (is_recorded(&view->term, local->timeline))
		return is_on_history(view, local, local->flush_lsn);
	for (int i = n - 1; !view->term.from_source && i >= 0 &&
		 *timeline > view->term.timeline; i--)
	{
		*timeline = local->ancestors[i].timeline;
		*lsn = local->ancestors[i].end_lsn;
		if (is_recorded(&view->term, *timeline))
			return ha_on_lineage(&view->term, *timeline, *lsn);
	}
	return false;
}

const HaMember *
ha_find_member(const HaView *view, const char *name)
{
	int			n = bounded(view->nmembers, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (is_name(view->members[i].name, name))
			return &view->members[i];
	}
	return NULL;
}

bool
ha_term_is_of(const HaTerm *term, const char *name)
{
	return term->present && !term->foreign && is_name(term->owner, name);
}

bool
ha_is_in_sync(const HaSync *sync, const char *name)
{
	int			n = bounded(sync->nstandbys, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (is_name(sync->standbys[i], name))
			return true;
	}
	return false;
}

/* Does the leader key stand for us, under the lease that we have now? */
static bool
key_is_mine(const HaView *view, const HaLocal *local)
{
	return view->leader.present && is_name(view->leader.name, local->name);
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
		(history_is_elsewhere(view) ||
		 ha_on_lineage(&view->term, vote->timeline, vote->lsn)) &&
		sync_allows(view, vote->name);
}

static const HaVote *
find_vote(const HaView *view, const char *name)
{
	int			n = bounded(view->nvotes, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (is_name(view->votes[i].name, name))
			return &view->votes[i];
	}
	return NULL;
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

/* Has a member of Patroni led since, of whose reign there is no record? */
static bool
was_led_since(const HaView *view, const HaLocal *local)
{
	return local->led_since || ha_mixed_left_traces(view);
}

/* Released by the very term that the record names: E1 need not be waited for. */
static bool
released_cleanly(const HaView *view, const HaLocal *local)
{
	return view->heartbeat.present && view->heartbeat.released &&
		view->heartbeat.term == view->term.term &&
		!was_led_since(view, local);
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
	if (!find_position(view, local, &timeline, &lsn))
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
	vote = find_vote(view, member->name);
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

/* Is there, or was there, a member of Patroni, as far as anybody could know? */
static bool
beside_patroni(const HaView *view, const HaLocal *local)
{
	return local->patroni_seen || view->term.foreign ||
		was_led_since(view, local);
}

/*
 * The timeline id of our promotion: above everything that was ever used or
 * reserved, so that no two promotions can share one (B3).  Patroni's members ask nobody,
 * and take the next one that they know of: where they are, or have been, ours lie
 * beyond those that they may come to.
 */
static uint32_t
next_timeline(const HaView *view, const HaLocal *local)
{
	uint32_t	newest = local->timeline;
	int			n = bounded(view->term.nlineage, HA_MAX_LINEAGE);

	/* what is reserved for us already is still nobody else's */
	if (view->term.intent && !view->term.standby &&
		is_name(view->term.owner, local->name) &&
		view->term.reserved > local->timeline && !beside_patroni(view, local))
		return view->term.reserved;
	if (view->term.timeline > newest)
		newest = view->term.timeline;
	if (view->term.reserved > newest)
		newest = view->term.reserved;
	for (int i = 0; i < n; i++)
	{
		if (view->term.lineage[i].timeline > newest)
			newest = view->term.lineage[i].timeline;
	}
	if (view->term.standby)
		newest += SOURCE_TIMELINES;
	else if (beside_patroni(view, local) ||
			 (!view->term.present &&
			  (view->history_revision != 0 || view->status_revision != 0)))
		newest = later(newest, ha_mixed_last_timeline(view)) +
			HA_PATRONI_TIMELINES;
	return newest + 1;
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
static bool
may_stand(const HaView *view, const HaMember *member)
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
			may_stand(view, &view->members[i]))
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

static void
acquire(HaPlan *plan, const HaView *view, const HaLocal *local, const char *why)
{
	/* who is not to be promoted uses no id */
	plan->reserve = ha_is_standby_cluster(&view->config, view) ?
		view->term.reserved : next_timeline(view, local);
	set_plan(plan, HA_ACQUIRE, why);
}

static void
wait_until(HaPlan *plan, int64_t when, const char *why)
{
	plan->wake_at = when;
	set_plan(plan, HA_WAIT, why);
}

static bool
names_candidate(const HaFailover *wish)
{
	return wish->present && wish->candidate[0] != '\0' &&
		wish->scheduled_at == 0;
}

/* Is what it has told, by its vote or when it was asked, less than ours? */
static bool
is_behind(const HaView *view, const HaLocal *local, const char *name,
		  const HaVote *mine, int64_t now)
{
	const HaVote *vote = find_vote(view, name);
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

	if (!names_candidate(wish) || is_name(wish->candidate, local->name) ||
		now >= until)
		return false;
	if (mine != NULL && wish->leader[0] != '\0' &&
		is_behind(view, local, wish->candidate, mine, now))
		return false;
	wait_until(plan, until, "the operator's candidate is ");
	because_name(plan, view->failover.candidate);
	return true;
}

/* In a pause only whom the operator named may lead; others help with their vote. */
static bool
stands_aside(const HaConfig *config, const HaView *view, const HaLocal *local,
			 HaPlan *plan)
{
	if (!config->pause || ha_switchover_wants(view, local->name))
		return false;
	set_plan(plan, HA_WAIT, "no leader, but the cluster is paused");
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
		set_plan(plan, HA_WAIT, "too few of the synchronous standbys have voted");
		plan->ask = ha_mixed_wants_answers(local, since, now);
		return;
	}
	if (now < turn)
	{
		wait_until(plan, turn, local->sick_since != 0 ?
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
	acquire(plan, view, local, rank > 0 ?
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
		acquire(plan, view, local, "the leader handed over, all its WAL is here");
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
	wait_until(plan, until, "its own promotion is under way");
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
static void
decide_election(const HaConfig *config, const HaView *view,
				const HaLocal *local, int64_t now, HaPlan *plan)
{
	const HaVote *mine = find_vote(view, local->name);
	const char *hindrance = not_eligible(config, view, local);
	bool		stays_out = now < local->stay_out_until;
	bool		voter = is_voter(view, local->name);
	bool		on_history;
	bool		only_votes;		/* Patroni lists whom we would not, and others
								 * need that vote for their quorum */

	if (ha_mixed_history_is_beyond(view))
	{
		set_plan(plan, HA_TESTIFY, "/history tells of a leader that is not on record");
		return;
	}
	on_history = find_position(view, local, &plan->timeline, &plan->lsn);
	only_votes = on_history && voter && beside_patroni(view, local) &&
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
		set_plan(plan, HA_DETACH, local->detached ?
				 "what is here has to be replayed before a vote" :
				 "there is no leader to follow");
		return;
	}
	if (hindrance != NULL && !only_votes)
	{
		wait_until(plan, 0, "does not stand for election: ");
		because(plan, hindrance);
		plan->aside = !on_history || (!local->nofailover && !voter);
		return;
	}
	if (is_promoting_still(config, view, local, now, plan))
		return;
	if (!has_voted(view, mine, plan))
	{
		set_plan(plan, HA_VOTE, "the leader key is gone");
		return;
	}

	/* it does not stand, but others may need its vote for their quorum */
	plan->aside = (stays_out || local->sick_since != 0) && !voter;
	if (only_votes)
		set_plan(plan, HA_WAIT,
				 "does not stand for election, but has voted for the others");
	else if (stays_out)
		wait_until(plan, local->stay_out_until,
				   "does not stand for election: its last promotion failed");
	else
		elect(config, view, local, mine, now, plan);
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
		set_plan(plan, HA_RELEASE, view->term.standby ?
				 "this is no standby cluster any more, so it elects a primary" :
				 "the leader key is ours from an earlier life");
		return;
	}
	if (!local->holding || local->reassert)
	{
		set_plan(plan, HA_REASSERT, "took the leader key by an answer that was lost");
		return;
	}
	if (local->promoting &&
		now - local->promoting_since > ha_promote_timeout(config))
	{
		set_plan(plan, HA_RELEASE, "promotion did not finish in time");
		return;
	}
	if (!local->promoting && now < local->stay_out_until)
	{
		set_plan(plan, HA_RELEASE, "its promotion failed");
		return;
	}
	plan->reserve = view->term.reserved;
	set_plan(plan, HA_PROMOTE, "holds the leader key");
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

	set_plan(plan, HA_FOLLOW, "leader is ");
	because_name(plan, leader);
	if (local->nostream)
	{
		memset(plan->follow, 0, sizeof(plan->follow));
		because(plan, ", whose WAL comes from the archive");
	}
	else if (source != NULL)
	{
		plan->cascade = true;
		copy_name(plan->follow, source->name);
		because(plan, ", whose WAL comes from ");
		because_name(plan, source->name);
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
		set_plan(plan, HA_TESTIFY, "a member of Patroni leads, on record from now on: ");
	else
		set_plan(plan, local->follows[0] != '\0' &&
				 !is_name(local->follows, name) ? HA_DETACH : HA_WAIT,
				 "/history does not tell which timeline is led by Patroni's member ");
	because_name(plan, name);
}

/* Somebody leads: follow that one, once it is proven to lead our history. */
static void
decide_follow(const HaConfig *config, const HaView *view, const HaLocal *local,
			  const char *name, int64_t now, HaPlan *plan)
{
	const HaMember *leader = ha_find_member(view, name);
	const HaVote *mine = find_vote(view, local->name);

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
		set_plan(plan, local->follows[0] != '\0' &&
				 !is_name(local->follows, name) ?
				 HA_DETACH : HA_WAIT,
				 "the leader has not confirmed its reign yet");
		return;
	}

	/* in a standby cluster that is for the source to say (boot/remote.c) */
	if (!view->term.standby && !is_on_history(view, local, local->replay_lsn))
	{
		set_plan(plan, HA_REWIND, "its WAL diverged from that of leader ");
		because_name(plan, name);
		return;
	}
	if (local->vote_pending)
	{
		set_plan(plan, HA_WAIT, "does not know yet whether its vote stands");
		return;
	}
	if (local->vote_unknown ||
		(mine != NULL && !mine->withdrawn && mine->term == view->term.term &&
		 mine->term_revision == view->term.mod_revision))
	{
		set_plan(plan, HA_WITHDRAW, "follows again in the contest it voted in");
		return;
	}
	if (leader == NULL || leader->host[0] == '\0')
	{
		set_plan(plan, HA_WAIT, "the leader's address is not known");
		return;
	}
	choose_source(config, view, local, name, now, plan);
}

/*-------------------------------------------------------------------------
 * S-9: failsafe mode
 *
 * A leader that lost the store goes on as long as everybody in /failsafe has
 * promised it not to lead.  That holds only if nobody leads who was not asked,
 * and nobody who was asked forgets.
 *-------------------------------------------------------------------------
 */

static bool
has_promised(const HaLocal *local, int64_t now)
{
	return now < local->promised_until;
}

/*
 * Neither a vote nor the key for one who promised, or may have, or is not asked;
 * but the owner of the last term is the only one who could ask.
 */
static void
heed_failsafe(const HaConfig *config, const HaView *view, const HaLocal *local,
			  int64_t now, HaPlan *plan)
{
	int64_t		forgotten_until = local->starting_since +
	later(later(config->ttl, local->heartbeat_ttl), view->heartbeat.ttl);
	const char *why = NULL;
	int64_t		until = 0;

	if (plan->verb != HA_ACQUIRE && plan->verb != HA_VOTE)
		return;
	if (has_promised(local, now))
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
	wait_until(plan, until, why);
	plan->aside = !is_voter(view, local->name);
	if (has_promised(local, now))
		because_name(plan, local->promised_to);
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
		set_plan(plan, plan->verb, "promised not to lead to leader ");
	else
		set_plan(plan, HA_WAIT, "promised not to lead to leader ");
	because_name(plan, local->promised_to);
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
		set_plan(plan, HA_WAIT, "the cluster is not initialized");
	else if (has_promised(local, now))
		decide_promised(config, view, local, now, plan);
	else if (config->pause && !names_candidate(&view->failover))
		set_plan(plan, HA_WAIT, "no leader, but the cluster is paused");
	else
		decide_election(config, view, local, now, plan);
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
		set_plan(plan, HA_WAIT, "the server is starting");
	else if (now - local->starting_since > config->primary_start_timeout)
		set_plan(plan, HA_RELEASE,
				 "recovery takes longer than primary_start_timeout");
	else if (!local->holding || local->reassert ||
			 view->leader.lease != local->lease_id)
		set_plan(plan, HA_REASSERT, "led when it crashed, is recovering");
	else
		set_plan(plan, HA_WAIT, "keeps the leader key while it recovers");
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
			plan->verb == HA_REWIND || plan->verb == HA_TESTIFY)
			return;
	}
	else if (!view->leader.present && local->follows[0] != '\0' &&
			 !has_promised(local, now))
	{
		set_plan(plan, HA_DETACH, "there is no leader to follow");
		return;
	}
	set_plan(plan, HA_WAIT, "the server is starting");
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

		if (!is_name(member->name, local->name) && may_stand(view, member) &&
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
			set_plan(plan, HA_GIVE_UP, "");
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
		set_plan(plan, HA_SET_NAMES, "synchronous standbys as /sync has them");
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
		set_plan(plan, HA_SUSPEND, "the store does not confirm the leadership");
	else
		set_plan(plan, HA_RENEW, local->failsafe_active ?
				 "leads by the promises of all members" : "leads");
	if (old != NULL)
	{
		because(plan, ", beside a Patroni that is too old for that: ");
		because_name(plan, old->name);
	}
	if (stay != NULL)
	{
		because(plan, ", although sick, since ");
		because(plan, stay);
		because(plan, "; ");
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
		set_plan(plan, config->pause ? HA_WAIT : HA_DEMOTE, "leader is ");
		because_name(plan, view->leader.name);
		return true;
	}
	if (view->term.present && (!term_is_mine ||
							   (!view->term.intent &&
								view->term.timeline != local->timeline)))
	{
		set_plan(plan, config->pause ? HA_WAIT : HA_DEMOTE,
				 "the last term is not ours: it is of ");
		because_name(plan, view->term.owner);
		return true;
	}
	if (view->term.present && view->term.intent &&
		(view->term.standby || view->term.reserved != local->timeline))
	{
		set_plan(plan, HA_DEMOTE, "promoted to a timeline that is not reserved");
		return true;
	}
	if (local->reign_lost)
	{
		set_plan(plan, config->pause ? HA_WAIT : HA_DEMOTE,
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
		set_plan(plan, HA_WAIT, "leaves the leader key to others: ");
		because_sick(plan, local);
		return;
	}
	if (ha_mixed_led_without(view, local->name, local->timeline) ||
		(view->term.present && view->term.intent &&
		 (was_led_since(view, local) || ha_mixed_patroni(view) != NULL)))
	{
		/* nobody has put a record since, but a member of Patroni puts none */
		set_plan(plan, config->pause ? HA_WAIT : HA_DEMOTE,
				 "a member of Patroni may have led since it was promoted");
		return;
	}
	if (view->term.present && view->term.intent)
	{
		/*
		 * Promoted, but the key went before the timeline was recorded. Nobody
		 * has had it since, so go on where we were, on the same timeline.
		 */
		acquire(plan, view, local, "promoted when the leader key was lost");
		plan->reserve = local->timeline;
		return;
	}
	plan->resume = true;
	acquire(plan, view, local, view->term.present ?
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
		set_plan(plan, HA_WAIT, "the cluster is not initialized");
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
		set_plan(plan, HA_REASSERT, "the leader key is ours but not proven");
		return;
	}
	if (!view->term.present)
	{
		set_plan(plan, HA_WAIT, "the record of the term was deleted");
		return;
	}
	if (view->term.intent)
	{
		set_plan(plan, HA_CONFIRM, "promoted");
		return;
	}
	if (!local->reign_checked)
	{
		set_plan(plan, HA_WAIT, "looks whether somebody led meanwhile");
		return;
	}
	if (view->term.unchecked_from != 0)
	{
		set_plan(plan, HA_CONFIRM, "nobody led meanwhile");
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

	set_plan(plan, steps_down ? HA_DEMOTE : HA_WAIT, "");
	ha_too_old_why(view, plan->why, sizeof(plan->why));
}

void
ha_decide(const HaConfig *config, const HaView *view, const HaLocal *local,
		  int64_t now, HaPlan *plan)
{
	memset(plan, 0, sizeof(*plan));

	if (local->stopping)
		set_plan(plan, HA_WAIT, "the server is stopping");
	else if (!view->valid)
		set_plan(plan, HA_WAIT, "the store has not answered yet");
	else if (ha_is_too_old(view))
		decide_too_old(config, view, local, plan);
	else if (view->sysid != 0 && local->sysid != 0 &&
			 view->sysid != local->sysid)
		set_plan(plan, HA_STOP, "system identifier is not that of the cluster");
	else if (view->cluster_uuid[0] != '\0' && local->cluster_uuid[0] != '\0' &&
			 strcmp(view->cluster_uuid, local->cluster_uuid) != 0)
		set_plan(plan, HA_STOP, "the data is of another cluster with the same system identifier");
	else if (ha_mixed_runs_us(view, local))
	{
		set_plan(plan, HA_WAIT, "Patroni runs this server, so pg_ha does not");
		plan->looks_only = true;
	}
	else if (local->time_jumped)
	{
		/* leases may be long over: prove first, then think again */
		set_plan(plan, HA_WAIT, "time jumped, looking anew");
	}
	else if (local->role == HA_ROLE_PRIMARY)
		decide_primary(config, view, local, now, plan);
	else if (local->role == HA_ROLE_STANDBY)
		decide_standby(config, view, local, now, plan);
	else
		decide_starting(config, view, local, now, plan);
	heed_failsafe(config, view, local, now, plan);
}

/*
 * A postmaster may survive the crashes of its processes for ever, and keep the
 * leader key with it.
 */
bool
ha_crashes_too_often(const HaConfig *config, int32_t crashes,
					 bool others_may_lead)
{
	return crashes >= HA_CRASHES_BORNE && others_may_lead && !config->pause;
}

/*
 * How to come back after the server ended.  Restarting in place loses nothing,
 * but is slower than a standby that holds everything; a server that keeps
 * crashing gives way.
 */
HaStart
ha_decide_start(const HaStartFacts *facts, char *why, size_t whylen)
{
	HaStart		start = HA_START_STANDBY;
	const char *text;

	if (!facts->reaped)
	{
		start = HA_START_NOT;
		text = "processes of the old server may still be alive";
	}
	else if (facts->stop_requested)
	{
		start = facts->key_is_ours ? HA_START_RELEASE : HA_START_NOT;
		text = "told to stop";
	}
	else if (!facts->key_is_ours)
		text = "the leader key is not ours";
	else if (facts->restart_wanted && !facts->crashed && facts->was_primary)
	{
		start = HA_START_PRIMARY;
		text = "restarts as asked, and nobody has led since";
	}
	else if (!facts->crashed || facts->demote_wanted)
	{
		start = HA_START_RELEASE;
		text = "stopped as asked";
	}
	else if (!facts->was_primary)
	{
		start = HA_START_RELEASE;
		text = "ended before it had become primary";
	}
	else if (facts->others_may_lead && facts->synchronous)
	{
		start = HA_START_RELEASE;
		text = "a synchronous standby has everything and is faster";
	}
	else if (facts->others_may_lead && facts->primary_start_timeout == 0)
	{
		start = HA_START_RELEASE;
		text = "primary_start_timeout is 0";
	}
	else if (facts->others_may_lead && facts->crashes >= HA_CRASHES_BORNE)
	{
		start = HA_START_RELEASE;
		text = "the server keeps crashing";
	}
	else
	{
		start = HA_START_PRIMARY;
		text = "crashed, and nobody has led since";
	}

	if (whylen > 0)
	{
		size_t		length = strnlen(text, whylen - 1);

		memcpy(why, text, length);
		why[length] = '\0';
	}
	return start;
}
