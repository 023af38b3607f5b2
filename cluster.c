/*-------------------------------------------------------------------------
 *
 * cluster.c
 *	  Looking things up in what is known of a cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "rules.h"

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

const HaVote *
ha_find_vote(const HaView *view, const char *name)
{
	int			n = bounded(view->nvotes, HA_MAX_MEMBERS);

	for (int i = 0; i < n; i++)
	{
		if (is_name(view->votes[i].name, name))
			return &view->votes[i];
	}
	return NULL;
}

bool
ha_term_is_of(const HaTerm *term, const char *name)
{
	return term->present && !term->foreign && is_name(term->owner, name);
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
