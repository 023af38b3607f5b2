/*-------------------------------------------------------------------------
 *
 * cascade.h
 *	  Cascading replication: which standby streams from another one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CASCADE_H
#define HA_CASCADE_H

#include "cluster.h"

/*
 * The member from which that one should stream, by its tag, as things are; NULL =
 * the leader.
 */
extern const HaMember *ha_cascade_source(const HaView *view, const char *name,
										 const char *replicatefrom);

/* Whom this standby streams from now: the same, unless there is a reason not to. */
extern const HaMember *ha_cascade_own_source(const HaConfig *config,
											 const HaView *view,
											 const HaLocal *local,
											 int64_t now);

/* What is remembered of the member that is followed. */
typedef struct HaCascadeWatch
{
	int64_t		came_at;		/* when something last came, or nobody but the
								 * leader was followed */
	int64_t		avoid_for;		/* ms; 0 = it has delivered */
	int64_t		avoid_until;
	int64_t		good_since;		/* when the member became one to stream from */
	char		avoided[HA_NAME_SIZE];
} HaCascadeWatch;

/*
 * A member that should send WAL and does not is left alone for a while, longer each
 * time: sets local->avoids, and local->source_since.  "receives": our walreceiver is connected.  Returns
 * true when it gives a member up.
 */
extern bool ha_cascade_watch(HaCascadeWatch *watch, const HaView *view,
							 HaLocal *local, bool receives, int64_t now);

#endif							/* HA_CASCADE_H */
