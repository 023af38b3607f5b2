/*-------------------------------------------------------------------------
 *
 * lineage.c
 *	  The cluster's history: what belongs to it, and which timeline comes next.
 *
 * A position (timeline, LSN) means nothing by itself.  It counts only if it lies on the
 * history that the term record tells; anything else is divergence, whoever holds it and
 * however far it got (S-16).
 *
 *-------------------------------------------------------------------------
 */
#include "lineage.h"
#include "mixed.h"
#include "rules.h"
#include "standby_cluster.h"

/*
 * So many timeline ids are left to the source of a standby cluster when that is
 * promoted: the source may still run, or come back, and use the next ones.
 */
#define SOURCE_TIMELINES	8

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

/* Does the record know that timeline at all? */
bool
ha_is_recorded(const HaTerm *term, uint32_t timeline)
{
	return ha_on_lineage(term, timeline, 0);
}

/*
 * Is our WAL, up to that LSN, the cluster's?  An id alone does not say that it is
 * the same timeline, if somebody promoted a server by hand; where it began does.
 */
bool
ha_is_on_history(const HaView *view, const HaLocal *local, uint64_t lsn)
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
bool
ha_history_is_elsewhere(const HaView *view)
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
bool
ha_find_position(const HaView *view, const HaLocal *local, uint32_t *timeline,
				 uint64_t *lsn)
{
	int			n = bounded(local->nancestors, HA_MAX_LINEAGE);

	*timeline = local->timeline;
	*lsn = local->flush_lsn;
	if (ha_history_is_elsewhere(view))
		return true;
	if (ha_is_recorded(&view->term, local->timeline))
		return ha_is_on_history(view, local, local->flush_lsn);
	for (int i = n - 1; !view->term.from_source && i >= 0 &&
		 *timeline > view->term.timeline; i--)
	{
		*timeline = local->ancestors[i].timeline;
		*lsn = local->ancestors[i].end_lsn;
		if (ha_is_recorded(&view->term, *timeline))
			return ha_on_lineage(&view->term, *timeline, *lsn);
	}
	return false;
}

/*
 * The timeline id of our promotion: above everything that was ever used or
 * reserved, so that no two promotions can share one (B3).  Patroni's members ask nobody,
 * and take the next one that they know of: where they are, or have been, ours lie
 * beyond those that they may come to.
 */
uint32_t
ha_next_timeline(const HaView *view, const HaLocal *local)
{
	uint32_t	newest = local->timeline;
	int			n = bounded(view->term.nlineage, HA_MAX_LINEAGE);

	/* what is reserved for us already is still nobody else's */
	if (view->term.intent && !view->term.standby &&
		is_name(view->term.owner, local->name) &&
		view->term.reserved > local->timeline && !ha_mixed_beside(view, local))
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
	else if (ha_mixed_beside(view, local) ||
			 (!view->term.present &&
			  (view->history_revision != 0 || view->status_revision != 0)))
		newest = later(newest, ha_mixed_last_timeline(view)) +
			HA_PATRONI_TIMELINES;
	return newest + 1;
}
