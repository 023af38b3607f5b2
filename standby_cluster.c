/*-------------------------------------------------------------------------
 *
 * standby_cluster.c
 *	  The rules of a cluster whose WAL comes from elsewhere: its source.
 *
 * Its members elect a leader as others do, by votes, but the one who takes the key
 * stays a standby: it follows the source, and all others follow it.  It is not
 * promoted, its gate stays shut, and it tells in the term record not where its own
 * timeline begins but the history that it has from the source, as often as that
 * changes.  So the others find a leader on record to follow, as always.  But while the
 * section is there, that record is no judgement on anybody's WAL: only the source
 * knows what is its history, and pg_ha_boot asks it (boot/remote.c).
 *
 * Nothing here tells that the section is gone from the configuration: then
 * decide.c finds a leader key of a reign that was no promotion, gives it back, and
 * the election that follows is an ordinary one: all members detach, tell how far
 * they are, and the best is promoted to a timeline that nobody had.
 *
 * A configuration that is gone altogether, or cannot be read, is no word of an
 * operator.  Then the term record tells that this was a standby cluster, and it stays
 * one.
 *
 *-------------------------------------------------------------------------
 */
#include "standby_cluster.h"
#include "plan.h"
#include "rules.h"

#include <string.h>

bool
ha_is_standby_cluster(const HaConfig *config, const HaView *view)
{
	return config->standby_cluster.active ||
		((config->revision == 0 || !config->known) &&
		 view->term.present && view->term.standby);
}

/* Does the record tell something else than the history that we follow? */
static bool
record_is_past(const HaTerm *term, const HaLocal *local)
{
	int			n = bounded(local->nancestors, HA_MAX_LINEAGE);

	return term->intent || !term->standby ||
		term->timeline != local->timeline ||
		(n > 0 && term->begin_lsn != local->ancestors[n - 1].end_lsn);
}

/* Could that member lead instead of us? */
static bool
may_take_over(const HaMember *member, const HaLocal *local)
{
	return !is_name(member->name, local->name) && member->lease != 0 &&
		member->state == HA_STATE_RUNNING &&
		member->role == HA_ROLE_STANDBY && member->lsn != 0 &&
		!member->nofailover && member->failover_priority > 0 && !member->sick;
}

/* Of those that could, who is preferred, then who is furthest; NULL = nobody. */
static const HaMember *
choose(const HaView *view, const HaLocal *local)
{
	const HaMember *best = NULL;

	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		const HaMember *member = &view->members[i];

		if (may_take_over(member, local) &&
			(best == NULL ||
			 member->failover_priority > best->failover_priority ||
			 (member->failover_priority == best->failover_priority &&
			  member->lsn > best->lsn)))
			best = member;
	}
	return best;
}

/*
 * An operator wants another member to lead.  Nothing is written here, so nothing has
 * to be held or frozen: the key is released, and others leave it to that one.
 */
static bool
heed_wish(const HaView *view, const HaLocal *local, HaPlan *plan)
{
	const HaFailover *wish = &view->failover;
	const HaMember *named = ha_find_member(view, wish->candidate);
	const HaMember *best = choose(view, local);

	if (!wish->present || local->refused == wish->mod_revision)
		return false;
	if (wish->scheduled_at != 0)
		ha_plan_set(plan, HA_CLEAR_FAILOVER,
					"a standby cluster has no scheduled switchovers");
	else if (wish->candidate[0] == '\0' && best != NULL)
		ha_plan_for(plan, HA_SET_FAILOVER, "the best candidate is ",
					best->name);
	else if (named == NULL || !may_take_over(named, local))
		ha_plan_set(plan, HA_CLEAR_FAILOVER, is_name(wish->candidate, local->name) ?
					"the candidate leads already" : "the candidate cannot lead");
	else
		ha_plan_for(plan, HA_RELEASE, "the operator's candidate is ",
					named->name);
	return true;
}

void
ha_standby_cluster_lead(const HaView *view, const HaLocal *local, HaPlan *plan)
{
	if (view->leader.lease != local->lease_id ||
		!ha_term_is_of(&view->term, local->name))
	{
		ha_plan_set(plan, HA_RELEASE, "the leader key is ours from an earlier life");
		return;
	}
	if (!local->holding || local->reassert)
	{
		ha_plan_set(plan, HA_REASSERT, "took the leader key by an answer that was lost");
		return;
	}
	if (local->timeline != 0 && record_is_past(&view->term, local))
	{
		ha_plan_set(plan, HA_CONFIRM, view->term.intent || !view->term.standby ?
					"leads a standby cluster" :
					"the source is on another timeline");
		return;
	}
	if (heed_wish(view, local, plan))
		return;
	ha_plan_set(plan, HA_FOLLOW_SOURCE, "leads a standby cluster");
}

bool
ha_standby_cluster_starting(const HaConfig *config, const HaView *view,
							const HaLocal *local, HaPlan *plan)
{
	if (!config->standby_cluster.active || local->timeline == 0 ||
		(view->leader.present && !is_name(view->leader.name, local->name)))
		return false;
	ha_plan_set(plan, HA_FOLLOW_SOURCE,
				"comes to consistency by what the source has");
	return true;
}

/*
 * A promotion that was begun can't be taken back but by a restart, and the key should
 * not wait for that.
 */
bool
ha_standby_cluster_demotes(const HaConfig *config, const HaView *view,
						   const HaLocal *local, HaPlan *plan)
{
	bool		primary = local->role == HA_ROLE_PRIMARY;

	if (!ha_is_standby_cluster(config, view) ||
		(!primary && !local->promoting))
		return false;
	if (primary && config->pause)
	{
		ha_plan_set(plan, HA_WAIT, "this is a standby cluster, and paused");
		return true;
	}
	if (!primary && local->holding && !local->reassert &&
		view->leader.present && is_name(view->leader.name, local->name) &&
		view->leader.lease == local->lease_id)
		ha_plan_set(plan, HA_RELEASE, "this became a standby cluster");
	else
		ha_plan_set(plan, HA_DEMOTE, "this is a standby cluster");
	return true;
}
