/*-------------------------------------------------------------------------
 *
 * mixed.c
 *	  Members of Patroni and of pg_ha in one cluster (S-11).
 *
 * While a node after the other is taken over from Patroni, or given back to it, both
 * share the keys that are Patroni's.  The leader key is one of them, and both take it
 * in the same way, by creating it.  What Patroni lacks is the rest: it puts no
 * heartbeat and no term record, gives no vote, and detaches from nobody.
 *
 * Its reigns.  Nothing here can do without the term record, which says what is the
 * cluster's history.  So a standby of ours that sees a member of Patroni lead writes
 * the record in that one's place: a testimony.  It rests on three keys that must agree:
 * the leader key, the leader's own key, and /history, which Patroni writes after a
 * promotion, so that for a moment there is no testimony, and nobody is followed.
 * The transaction compares the leader key, /history and the former record; of several
 * witnesses one comes first, and the others see what it has written.
 *
 * Its members in an election.  They are asked over HTTP (inquiry.c), after the deadline
 * of the former leader, and one of ours does then as one of Patroni's would: it does not
 * stand while another is a primary, or has more, and may stand itself.  Who does not
 * answer does not count, which is why no more is promised beside them than Patroni does.
 *
 * A reign of which there is no testimony, because it was short or nobody of ours was
 * there, can be noticed by what it leaves: /status, /sync, /history.  From the last of
 * them it is recorded even when it is over, before anybody votes, as else its WAL would
 * count for nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "mixed.h"
#include "election.h"
#include "lineage.h"
#include "plan.h"
#include "quorum.h"
#include "rules.h"
#include "switchover.h"

#include <stdio.h>
#include <string.h>

/*
 * From this version on a leader compares the leader key before it puts it anew; older
 * ones may overwrite another's.  And a mode that a member does not know is off for it.
 */
#define OLDEST_PATRONI			30003
#define OLDEST_FOR_QUORUM		40000

/*
 * How long an answer is as good as a new one, ms: as long as the slowest of its round
 * may take, and a moment.
 */
#define FRESH					3000

/* "4.1.5" is 40105; what can't be read is older than anything. */
static int
number_of(const char *version)
{
	int			part[3] = {0};
	int			n = sscanf(version, "%3d.%2d.%2d", &part[0], &part[1], &part[2]);

	if (n < 2 || part[0] < 0 || part[1] < 0 || part[2] < 0)
		return 0;
	return part[0] * 10000 + part[1] * 100 + part[2];
}

/* A key without a lease was put by somebody's hand, and says nothing of a life. */
bool
ha_mixed_is_patroni(const HaMember *member)
{
	return member != NULL && member->lease != 0 && member->patroni[0] != '\0';
}

const HaMember *
ha_mixed_patroni(const HaView *view)
{
	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		if (ha_mixed_is_patroni(&view->members[i]))
			return &view->members[i];
	}
	return NULL;
}

const HaMember *
ha_mixed_too_old(const HaConfig *config, const HaView *view,
				 const char **needed)
{
	bool		quorum = config->synchronous_mode == HA_SYNC_QUORUM;

	if (needed != NULL)
		*needed = quorum ? "4.0.0" : "3.0.3";
	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		const HaMember *member = &view->members[i];
		char		version[HA_VERSION_SIZE] = "";

		if (!ha_mixed_is_patroni(member) || member->state == HA_STATE_STOPPED)
			continue;			/* who has stopped takes no key */
		memcpy(version, member->patroni, sizeof(version) - 1);
		if (number_of(version) < (quorum ? OLDEST_FOR_QUORUM : OLDEST_PATRONI))
			return member;
	}
	return NULL;
}

bool
ha_mixed_too_old_why(const HaConfig *config, const HaView *view, char *why,
					 size_t size)
{
	const char *needed;
	const HaMember *old = ha_mixed_too_old(config, view, &needed);

	why[0] = '\0';
	if (old != NULL)
		snprintf(why, size,
				 "member \"%.*s\" is run by Patroni %.*s, which is too old to share a cluster with pg_ha (needs >= %s)",
				 HA_NAME_SIZE - 1, old->name, HA_VERSION_SIZE - 1,
				 old->patroni, needed);
	return old != NULL;
}

/*
 * The leader, if it is a member of Patroni.  There both keys hang on one lease, with us
 * on two: so a leader key of ours is not taken for that of a Patroni that somebody
 * starts under the same name.
 */
static const HaMember *
patroni_leader(const HaView *view)
{
	const HaMember *leader = view->leader.present ?
	ha_find_member(view, view->leader.name) : NULL;

	return ha_mixed_is_patroni(leader) &&
		leader->lease == view->leader.lease ? leader : NULL;
}

bool
ha_mixed_guarantees_less(const HaView *view)
{
	return view->valid &&
		((view->term.present && view->term.foreign) ||
		 ha_mixed_patroni(view) != NULL);
}

static bool
runs_as_primary(const HaMember *member)
{
	return member->state == HA_STATE_RUNNING &&
		member->role == HA_ROLE_PRIMARY && member->timeline != 0;
}

/*
 * Whoever of ours has the key writes both in one transaction, and puts the key anew
 * at most.  A member of Patroni may have taken it over under a name of ours; and what
 * it leads may be another timeline by now.
 */
bool
ha_mixed_is_unrecorded(const HaView *view)
{
	const HaMember *leader = patroni_leader(view);

	if (leader == NULL)
		return false;
	return !view->term.present || view->term.intent || view->term.standby ||
		view->term.unchecked_from != 0 ||
		view->leader.mod_revision > view->term.mod_revision ||
		!is_name(view->term.owner, leader->name) ||
		(runs_as_primary(leader) && leader->timeline != view->term.timeline);
}

/* One that is not there tells that nobody was ever promoted. */
static bool
history_is_clear(const HaView *view)
{
	return view->history_known || view->history_revision == 0;
}

/*
 * Does /history end where that timeline begins, and did that member promote to it?  An id
 * alone may be of two timelines: one of ours, and one of a server of Patroni's that has
 * not heard of it.
 */
static bool
history_leads_to(const HaView *view, uint32_t timeline, const char *owner)
{
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	if (!history_is_clear(view))
		return false;
	if (n == 0)
		return timeline == 1;
	return (uint64_t) view->history[n - 1].timeline + 1 == timeline &&
		is_name(view->history[n - 1].owner, owner);
}

/*
 * The leader goes on on the timeline that is on record as its own, and /history tells
 * nothing newer.  Ids may be left out between two reigns of ours, which Patroni can't know.
 */
static bool
goes_on(const HaView *view, uint32_t timeline, const char *owner)
{
	const HaTerm *term = &view->term;
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	return term->present && !term->intent && !term->from_source &&
		term->timeline == timeline &&
		(term->timeline_owner[0] == '\0' ||
		 is_name(term->timeline_owner, owner)) &&
		history_is_clear(view) &&
		(n == 0 || view->history[n - 1].timeline < timeline);
}

uint32_t
ha_mixed_last_timeline(const HaView *view)
{
	const HaMember *leader = patroni_leader(view);
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);
	uint32_t	last = 0;

	if (n > 0 && view->history[n - 1].timeline < UINT32_MAX)
		last = view->history[n - 1].timeline + 1;
	if (leader != NULL && runs_as_primary(leader) && leader->timeline > last)
		last = leader->timeline;
	return last;
}

/*
 * Somebody of ours has taken that id, and may have been promoted to it in vain: nobody
 * can tell the two timelines apart, so neither is put on record.  Ids that a hand-over has
 * left to members of Patroni are theirs.
 */
static bool
is_reserved(const HaView *view, uint32_t timeline)
{
	return view->term.present && !view->term.left &&
		view->term.reserved == timeline &&
		view->term.timeline < timeline;
}

/* A line for the last promotion, newer than any of ours, and who it was. */
bool
ha_mixed_history_is_beyond(const HaView *view)
{
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	return view->term.present && !view->leader.present &&
		!view->term.from_source && view->history_known && n > 0 &&
		view->history_revision > view->term.mod_revision &&
		view->history[n - 1].timeline < UINT32_MAX &&
		view->history[n - 1].timeline >= view->term.timeline &&
		view->history[n - 1].owner[0] != '\0' &&
		!is_reserved(view, view->history[n - 1].timeline + 1) &&
		view->term.term < INT64_MAX;
}

/*
 * What our own leaders write stands in this order: the term, /sync and /history of its
 * owner, and /status with a heartbeat.
 */
bool
ha_mixed_left_traces(const HaView *view)
{
	const HaTerm *term = &view->term;
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	if (!term->present || term->standby)
		return false;
	if (view->heartbeat.present && !term->foreign &&
		view->status_revision > view->heartbeat.mod_revision)
		return true;
	if (view->sync.present && view->sync.leader[0] != '\0' &&
		view->sync.mod_revision > term->mod_revision &&
		!is_name(view->sync.leader, term->owner))
		return true;
	return n > 0 && view->history_revision > term->mod_revision &&
		view->history[n - 1].timeline >= term->timeline;
}

/* Who promoted to a timeline that has ended: the record knows, or /history. */
static void
set_owner(HaTimeline *entry, const HaView *view)
{
	const char *owner = view->term.present ?
	ha_timeline_owner(&view->term, entry->timeline) : NULL;

	copy_name(entry->owner, owner != NULL && owner[0] != '\0' ? owner :
			  ha_mixed_owner(view, entry->timeline));
}

static void
take_history(const HaView *view, HaTerm *term)
{
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	memset(term->lineage, 0, sizeof(term->lineage));
	for (int i = 0; i < n; i++)
	{
		term->lineage[i].timeline = view->history[i].timeline;
		term->lineage[i].end_lsn = view->history[i].end_lsn;
		set_owner(&term->lineage[i], view);
	}
	term->nlineage = n;
	term->begin_lsn = n > 0 ? view->history[n - 1].end_lsn : 0;
}

/* A reign of "owner" on that timeline, on which the record may be already. */
static void
record(const HaView *view, const char *owner, uint32_t timeline, bool stays,
	   HaTerm *term)
{
	*term = view->term;
	term->present = true;
	term->term++;
	copy_name(term->owner, owner);
	term->intent = term->standby = term->from_source = false;
	term->foreign = true;
	term->unchecked_from = 0;
	term->reached = term->lost_bytes = 0;
	if (!stays)
	{
		take_history(view, term);
		term->timeline = timeline;
		copy_name(term->timeline_owner, owner);
	}
	if (term->reserved < term->timeline)
		term->reserved = term->timeline;
}

bool
ha_mixed_testimony(const HaView *view, HaTerm *term)
{
	const HaMember *leader = patroni_leader(view);
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);
	bool		stays;

	memset(term, 0, sizeof(*term));
	if (ha_mixed_history_is_beyond(view))
	{
		record(view, view->history[n - 1].owner,
			   view->history[n - 1].timeline + 1, false, term);
		return true;
	}
	if (leader == NULL || !runs_as_primary(leader) ||
		view->term.term == INT64_MAX)
		return false;
	stays = goes_on(view, leader->timeline, leader->name);
	if (!stays && is_reserved(view, leader->timeline))
		return false;
	if (!stays && !history_leads_to(view, leader->timeline, leader->name))
		return false;
	record(view, leader->name, leader->timeline, stays, term);
	return true;
}

const HaMember *
ha_mixed_source(const HaView *view, const char *name)
{
	const HaMember *leader = patroni_leader(view);
	HaTerm		term;

	if (leader == NULL || is_name(leader->name, name) ||
		leader->host[0] == '\0' || leader->port <= 0 ||
		!ha_mixed_testimony(view, &term))
		return NULL;
	return leader;
}

const char *
ha_mixed_owner(const HaView *view, uint32_t timeline)
{
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);

	for (int i = 0; i < n; i++)
	{
		uint64_t	next = i + 1 < n ? view->history[i + 1].timeline :
		(uint64_t) view->history[i].timeline + 1;

		if (next == timeline)
			return view->history[i].owner;
	}
	return "";
}

bool
ha_mixed_runs_us(const HaView *view, const HaLocal *local)
{
	const HaMember *self = ha_find_member(view, local->name);

	return view->valid && ha_mixed_is_patroni(self) &&
		self->state != HA_STATE_STOPPED &&
		(patroni_leader(view) == self || (!local->has_boot && !local->holding));
}

/*-------------------------------------------------------------------------
 * An election beside them
 *-------------------------------------------------------------------------
 */

static bool
is_known(const HaPeer *peer, int64_t since, int64_t now)
{
	return peer->asked_at != 0 && peer->asked_at >= since &&
		now - peer->asked_at < FRESH;
}

static const HaPeer *
peer_at(const HaLocal *local, int i)
{
	return i < bounded(local->npeers, HA_MAX_MEMBERS) ? &local->peers[i] : NULL;
}

bool
ha_mixed_wants_answers(const HaLocal *local, int64_t since, int64_t now)
{
	const HaPeer *peer;

	for (int i = 0; (peer = peer_at(local, i)) != NULL && now >= since; i++)
	{
		if (!is_known(peer, since, now))
			return true;
	}
	return false;
}

const HaPeer *
ha_mixed_heard(const HaLocal *local, const char *name, int64_t since,
			   int64_t now)
{
	const HaPeer *peer;

	for (int i = 0; (peer = peer_at(local, i)) != NULL; i++)
	{
		if (is_name(peer->name, name) && is_known(peer, since, now) &&
			peer->answered)
			return peer;
	}
	return NULL;
}

/*
 * Would Patroni let it lead?  Of those who led by /sync it lets nobody wait, since
 * what they have beyond the others was not confirmed.
 */
static bool
may_stand(const HaView *view, const HaPeer *peer)
{
	if (peer->nofailover || peer->failover_priority <= 0 ||
		!ha_failsafe_allows(view, peer->name))
		return false;
	return !view->sync.present ||
		(ha_quorum_may_elect(view, peer->name, HA_MAX_MEMBERS) &&
		 !is_name(view->sync.leader, peer->name));
}

/*
 * Is it further than we are, or as far and preferred?  What it has must be the cluster's
 * history (S-16), on record, or of a reign that nobody has recorded.
 */
static bool
goes_first(const HaView *view, const HaLocal *local, const HaPeer *peer,
		   uint32_t timeline, uint64_t lsn)
{
	uint32_t	on = peer->timeline != 0 ? peer->timeline : timeline;

	if (!ha_on_lineage(&view->term, on, peer->lsn))
		return on > view->term.timeline &&
			(local->led_since || ha_mixed_left_traces(view));
	if (on != timeline)
		return on > timeline;
	return peer->lsn > lsn ||
		(peer->lsn == lsn &&
		 peer->failover_priority > local->failover_priority);
}

/* One that has gone over to Patroni since is counted already. */
static bool
has_voted(const HaView *view, const char *name)
{
	for (int i = 0; i < bounded(view->nvotes, HA_MAX_MEMBERS); i++)
	{
		const HaVote *vote = &view->votes[i];

		if (is_name(vote->name, name) && !vote->withdrawn &&
			vote->term == view->term.term &&
			vote->term_revision == view->term.mod_revision)
			return true;
	}
	return false;
}

int
ha_mixed_supporters(const HaView *view, const HaLocal *local,
					uint32_t timeline, uint64_t lsn, int64_t since,
					int64_t now)
{
	const HaPeer *peer;
	int			n = 0;

	for (int i = 0; (peer = peer_at(local, i)) != NULL; i++)
	{
		if (is_known(peer, since, now) && peer->answered && !peer->primary &&
			!has_voted(view, peer->name) && peer->lsn > 0 && ha_is_in_sync(&view->sync, peer->name) &&
			ha_on_lineage(&view->term, peer->timeline, peer->lsn) &&
			(peer->timeline < timeline ||
			 (peer->timeline == timeline && peer->lsn <= lsn)))
			n++;
	}
	return n;
}

static void
wait_for(HaPlan *plan, int64_t wake_at, bool ask, const char *why,
		 const char *name)
{
	ha_plan_wait(plan, wake_at, why);
	ha_plan_because_name(plan, name);
	plan->ask = ask;
}

/*
 * Whom an operator has named without a leader need not be the furthest; with one nobody
 * has agreed to lose anything.  The others leave the key to it, unless it looks to them as
 * if it could not take it.
 */
bool
ha_mixed_waits(const HaView *view, const HaLocal *local, uint32_t timeline,
			   uint64_t lsn, int64_t since, int64_t now, HaPlan *plan)
{
	bool		wanted = ha_switchover_wants(view, local->name);
	bool		named = wanted && view->failover.leader[0] == '\0';
	bool		quorum = view->sync.present && view->sync.quorum > 0;
	const HaPeer *peer;

	for (int i = 0; (peer = peer_at(local, i)) != NULL; i++)
	{
		const char *why = NULL;

		if (!is_known(peer, since, now) || !peer->answered)
			continue;
		if (peer->primary)
			why = "no leader, but a server of Patroni is a primary still: ";
		else if (!named && may_stand(view, peer) &&
				 goes_first(view, local, peer, timeline, lsn))
			why = "a better candidate goes first, which is Patroni's: ";
		if (why == NULL)
			continue;
		wait_for(plan, peer->asked_at + FRESH, false, why, peer->name);
		plan->leaves_to = peer->primary || quorum ? 0 : peer->lsn;
		plan->aside = plan->aside ||
			(wanted && !peer->primary && !quorum);
		return true;
	}
	if (!ha_mixed_wants_answers(local, since, now))
		return false;
	wait_for(plan, 0, true, "asks the members of Patroni how far they are", "");
	return true;
}

bool
ha_mixed_hides(const HaView *view, const char *name)
{
	return view->valid && view->leader.present &&
		view->sync.present && view->sync.quorum > 0 &&
		ha_is_in_sync(&view->sync, name) &&
		ha_mixed_patroni(view) != NULL && patroni_leader(view) == NULL;
}

bool
ha_mixed_led_without(const HaView *view, const char *name, uint32_t timeline)
{
	int			n = bounded(view->nhistory, HA_MAX_LINEAGE);
	int64_t		since = timeline == 1 ? view->initialize_revision : 0;

	return !view->term.present &&
		((view->sync.present && view->sync.leader[0] != '\0' &&
		  view->sync.mod_revision > since &&
		  !is_name(view->sync.leader, name)) ||
		 (n > 0 && view->history_revision > since &&
		  view->history[n - 1].timeline >= timeline));
}

/* Has a member of Patroni led since, of whose reign there is no record? */
bool
ha_mixed_led_since(const HaView *view, const HaLocal *local)
{
	return local->led_since || ha_mixed_left_traces(view);
}

/* Is there, or was there, a member of Patroni, as far as anybody could know? */
bool
ha_mixed_beside(const HaView *view, const HaLocal *local)
{
	return local->patroni_seen || view->term.foreign ||
		ha_mixed_led_since(view, local);
}

bool
ha_mixed_failsafe_is_ours(const HaView *view)
{
	for (int i = 0; i < bounded(view->failsafe.nmembers, HA_MAX_MEMBERS); i++)
	{
		const HaMember *member = ha_find_member(view,
												view->failsafe.members[i]);

		if (member == NULL || ha_mixed_is_patroni(member))
			return false;
	}
	return true;
}
