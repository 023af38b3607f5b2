/*-------------------------------------------------------------------------
 *
 * source_probe.h
 *	  Asking a server of another cluster what it is, from a session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SOURCE_PROBE_H
#define HA_SOURCE_PROBE_H

#include "postgres.h"

#include "standby_cluster_json.h"

typedef struct HaSourceFacts
{
	bool		answered;		/* else "error" says why not */
	bool		primary;
	uint64		sysid;
	uint32		timeline;
	char		error[256];
} HaSourceFacts;

/*
 * Ask that server once, as a standby would, for a few seconds at most.  The session
 * waits, and can be cancelled.
 */
extern void ha_source_probe(const HaSourceServer *server, HaSourceFacts *facts);

#endif							/* HA_SOURCE_PROBE_H */
