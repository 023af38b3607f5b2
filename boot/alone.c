/*-------------------------------------------------------------------------
 *
 * alone.c
 *	  A server that was promoted without the cluster.
 *
 * When etcd is gone for good and the leader too, a person may decide that one node shall
 * go on alone: docs/dcs-lost.md has the steps.  What it acknowledged from then on is
 * nowhere else, and the cluster, should etcd come back, knows nothing of it: to rejoin
 * would be to throw that away.  So the node is refused until a person has decided again.
 *
 * The steps leave a marker.  Without one it is seen by the timeline: whatever pg_ha
 * promotes has reserved its timeline id in the store before (S-15), so an id beyond
 * all that were reserved, or that members of Patroni have led, was made by somebody
 * else.  If that was while pg_ha's worker ran, the server was fenced and acknowledged
 * nothing; then it just rejoins.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <time.h>

#include "common/logging.h"

#include "../mixed.h"
#include "alone.h"
#include "files.h"

static void
refuse(const HaBoot *b, const char *how)
{
	pg_log_error("E10 this node was promoted without the cluster's knowledge %s",
				 how);
	pg_log_error_hint("To give up what was written there, run \"pg_ha_boot wipe\" and start again. To make it the cluster's, let the cluster forget all else: docs/dcs-lost.md has the steps.");
}

/* Durable only as far as the person's "touch" is; the timeline tells as well. */
static bool
is_marked(const HaBoot *b, char *how, size_t size)
{
	char		path[MAXPGPATH];
	struct stat st;
	struct tm	tm;
	time_t		when;

	if (!ha_path_in(path, b->node.state_dir, HA_ALONE_MARKER) ||
		stat(path, &st) != 0)
		return false;
	when = st.st_mtime;
	if (localtime_r(&when, &tm) == NULL ||
		strftime(how, size, "at %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		strlcpy(how, "", size);
	return true;
}

static bool
worker_has_seen(const HaBoot *b, uint32_t timeline)
{
	HaControlWorker w;

	return ha_control_get_worker(b->control, &w) &&
		w.role == HA_ROLE_PRIMARY && w.timeline == timeline;
}

bool
ha_alone_refuses(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	char		how[128];

	if (facts->state == HA_DATA_EMPTY)
	{
		/* Given up: whatever comes here now is the cluster's. */
		if (ha_exists_in(b->node.state_dir, HA_ALONE_MARKER))
			(void) ha_remove_file(b->node.state_dir, HA_ALONE_MARKER);
		return false;
	}
	if (is_marked(b, how, sizeof(how)))
	{
		refuse(b, how);
		return true;
	}
	if (view == NULL || facts->state != HA_DATA_CLUSTER ||
		!facts->was_primary || !view->term.present ||
		facts->timeline <= Max(view->term.reserved, view->term.timeline) ||
		facts->timeline <= ha_mixed_last_timeline(view) ||
		worker_has_seen(b, facts->timeline))
		return false;
	snprintf(how, sizeof(how),
			 "to timeline %u, while the cluster has come to %u",
			 facts->timeline, view->term.timeline);
	refuse(b, how);
	return true;
}
