/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The server settings that pg_ha manages while the server runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SETTINGS_H
#define HA_SETTINGS_H

#include "postgres.h"

#include "cluster.h"

#define HA_MANAGED_FILE		"pg_ha.managed.conf"

typedef struct HaManaged
{
	char		follows[HA_NAME_SIZE];	/* '' = nobody */
	char		host[HA_HOST_SIZE];
	int			port;
	HaStandbyCluster source;	/* follows HA_REMOTE_SOURCE: instead of host
								 * and port */
	bool		failover_slots; /* follows: copy the leader's logical slots */
	int			nnames;			/* synchronous standbys */
	int			confirm;		/* how many of them must confirm */
	bool		any;			/* ... whichever: it makes no difference if
								 * all must */
	char		names[HA_MAX_MEMBERS][HA_NAME_SIZE];
} HaManaged;

/*
 * Write the managed file and have every process read it.  Returns the epoch that
 * a process has applied once it did; 0 after a LOG message if the file could not
 * be written.  Does not wait for the disk: the file matters only while this
 * server runs, since pg_ha_boot rewrites it before each start.
 */
extern int	ha_settings_write(const HaManaged *managed);

/* The state of what was loaded at start: only synchronous_standby_names. */
extern void ha_settings_load(HaManaged *managed);

/*
 * Do the names of synchronous standbys in effect, in this process and for those
 * that commit, come from "managed"?  A setting that stands elsewhere may override
 * the file.
 */
extern bool ha_settings_in_effect(const HaManaged *managed);

/* Has that process applied the epoch? */
extern bool ha_settings_applied_by(int pid, int epoch);

/* ... the (only) process of that backend type? */
extern bool ha_settings_applied_by_type(int backend_type, int epoch);

/*
 * Does everybody know of the epoch?  True when no process can be born any more
 * that does not, and all others have got the signal to read it.  To know that the
 * postmaster has come to the end of its signalling it is made to read the file a
 * second time, so call this again until it is true.
 */
extern bool ha_settings_told(int epoch);

#endif							/* HA_SETTINGS_H */
