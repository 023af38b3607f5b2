/*-------------------------------------------------------------------------
 *
 * cascade.c
 *	  Cascading replication: which standby streams from another one.
 *
 * Plain C and pure.  A standby follows the leader, and so the history that the
 * leader is proven to have.  With the tag "replicatefrom" its WAL comes through
 * another member, which must be as good: a running standby that itself streams, and
 * that says to be on the leader's timeline.  Since no timeline id is used twice
 * (S-15), who has come to the newest one has left all others, so what it sends is
 * a prefix of what the leader has.  A member that was promoted by hand is on no
 * timeline of the record, and is not followed.
 *
 * In all other cases the leader itself is followed: the named member is away, is
 * the leader, comes round to us, or nothing comes from it.  As soon as it is
 * good again the standby goes back.
 *
 * Who confirms commits must stream from the leader.  So one that is listed in
 * /sync stays there until the leader has taken another in its place, which the
 * leader does since it counts no member that should cascade; and who is to lead next
 * comes to the leader.
 *
 *-------------------------------------------------------------------------
 */
#include "cascade.h"
#include "rules.h"
#include "switchover.h"

#include <string.h>

#define PATIENCE_LEAST	3000	/* ms: as long as one try to connect takes */
#define SETTLE_MORE		1000	/* ms, beside two loops: for the requests
								 * between */
#define AVOID_LOOPS		5		/* in loop_wait, for the first time */
#define AVOID_MOST		(10 * 60 * 1000)

static bool
is_leader(const HaView *view, const char *name)
{
	return view->leader.present && is_name(view->leader.name, name);
}

/*
 * Would WAL that "name" gets from "from" have gone through itself?  Tags alone
 * decide, so that all who are in a circle see it.  Of the leader no tag counts.
 */
static bool
is_circle(const HaView *view, const char *name, const char *from)
{
	for (int i = 0; i <= HA_MAX_MEMBERS; i++)
	{
		const HaMember *member = ha_find_member(view, from);

		if (is_name(from, name))
			return true;
		if (member == NULL || is_leader(view, from) ||
			member->replicatefrom[0] == '\0')
			return false;
		from = member->replicatefrom;
	}
	return false;				/* a circle of others, who see it */
}

static bool
can_serve(const HaView *view, const HaMember *member)
{
	return member->state == HA_STATE_RUNNING &&
		member->role == HA_ROLE_STANDBY && member->streaming &&
		!member->nostream && view->term.present &&
		member->timeline == view->term.timeline &&
		member->host[0] != '\0';
}

const HaMember *
ha_cascade_source(const HaView *view, const char *name,
				  const char *replicatefrom)
{
	const HaMember *source = ha_find_member(view, replicatefrom);

	if (source == NULL || is_leader(view, replicatefrom) ||
		!can_serve(view, source) || is_circle(view, name, replicatefrom))
		return NULL;
	return source;
}

/* As things are at this moment */
static const HaMember *
own_source(const HaView *view, const HaLocal *local)
{
	if (local->replicatefrom[0] == '\0' ||
		is_name(local->replicatefrom, local->avoids) ||
		(view->sync.present && ha_is_in_sync(&view->sync, local->name)) ||
		ha_switchover_wants(view, local->name))
		return NULL;
	return ha_cascade_source(view, local->name, local->replicatefrom);
}

/*
 * A leader that has not seen yet that the member is good may be about to list this
 * standby in /sync, and its commits would wait for one that is gone.  By and by both
 * have read what the other knows.
 */
const HaMember *
ha_cascade_own_source(const HaConfig *config, const HaView *view,
					  const HaLocal *local, int64_t now)
{
	const HaMember *source = own_source(view, local);

	if (source == NULL || is_name(local->follows, source->name) ||
		config->synchronous_mode == HA_SYNC_OFF)
		return source;
	return local->source_since != 0 &&
		now - local->source_since >= 2 * config->loop_wait + SETTLE_MORE ?
		source : NULL;
}

bool
ha_cascade_watch(HaCascadeWatch *watch, const HaView *view, HaLocal *local,
				 bool receives, int64_t now)
{
	bool		cascades = local->role != HA_ROLE_PRIMARY &&
	local->follows[0] != '\0' && !is_leader(view, local->follows) &&
	!is_name(local->follows, HA_REMOTE_SOURCE);
	int64_t		patience = 2 * view->config.loop_wait;
	bool		gives_up;

	if (patience < PATIENCE_LEAST)
		patience = PATIENCE_LEAST;
	if (cascades && receives)
		watch->avoid_for = 0;
	if (!cascades || receives || watch->came_at == 0)
		watch->came_at = now;
	gives_up = now - watch->came_at > patience;
	if (gives_up)
	{
		watch->avoid_for = watch->avoid_for == 0 ?
			AVOID_LOOPS * view->config.loop_wait : 2 * watch->avoid_for;
		if (watch->avoid_for > AVOID_MOST)
			watch->avoid_for = AVOID_MOST;
		watch->avoid_until = now + watch->avoid_for;
		watch->came_at = now;
		memcpy(watch->avoided, local->follows, HA_NAME_SIZE);
	}
	memset(local->avoids, 0, sizeof(local->avoids));
	if (now < watch->avoid_until)
		memcpy(local->avoids, watch->avoided, HA_NAME_SIZE);
	if (own_source(view, local) == NULL)
		watch->good_since = 0;
	else if (watch->good_since == 0)
		watch->good_since = now;
	local->source_since = watch->good_since;
	return gives_up;
}
