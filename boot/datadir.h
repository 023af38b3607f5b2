/*-------------------------------------------------------------------------
 *
 * datadir.h
 *	  The data directory while no server runs in it: make, clone, rewind.
 *
 * Nothing here deletes a data directory: what must go is renamed to
 * PGDATA.aside.YYYYMMDDTHHMMSS (with a number if that is taken).
 *
 * Long work (initdb, pg_basebackup, pg_rewind) runs in a child process, whose
 * exit the caller waits for in its loop; each "start" function returns the
 * child's pid, or -1 after reporting why.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DATADIR_H
#define HA_DATADIR_H

#include <sys/types.h>

#include "../cluster.h"
#include "node_file.h"

struct ControlFileData;

typedef enum HaDataState
{
	HA_DATA_EMPTY,				/* missing or empty */
	HA_DATA_CLUSTER,			/* has PG_VERSION of ours and a sane
								 * pg_control */
	HA_DATA_TORN,				/* a rewind, clone or bootstrap was
								 * interrupted: unusable */
	HA_DATA_STRANGE,			/* not empty, no cluster of this major version */
} HaDataState;

typedef struct HaDataFacts
{
	HaDataState state;
	uint64_t	sysid;
	uint32_t	timeline;		/* of the latest checkpoint */
	uint64_t	checkpoint_lsn; /* start of the latest checkpoint record */
	bool		clean;			/* shut down, or shut down in recovery */
	bool		was_primary;	/* pg_control: shut down, shutting down, in
								 * production or in crash recovery */
	bool		standby_signal; /* standby.signal is there */
} HaDataFacts;

extern void ha_datadir_facts(const HaNode *node, HaDataFacts *facts);

/* pg_control as it stands; false if it is not there or damaged. */
extern bool ha_datadir_control(const HaNode *node,
							   struct ControlFileData *control);

/*
 * The data directory is empty and nobody works on it: put the marker, which makes
 * what is there from now on HA_DATA_TORN.  false: reported.
 */
extern bool ha_datadir_begin_initdb(const HaNode *node);

/*
 * pg_basebackup from host:port into an empty data directory; a marker in the state
 * directory makes an interrupted clone HA_DATA_TORN.
 */
extern pid_t ha_datadir_start_clone(const HaNode *node, const char *host,
									int port);

/*
 * Wait until the source's control file shows "timeline" (its checkpoint after
 * promotion is done), then pg_rewind.  A marker in the state directory makes an
 * interrupted rewind HA_DATA_TORN.
 */
extern pid_t ha_datadir_start_rewind(const HaNode *node, const char *host,
									 int port, uint32_t timeline);

/* The child of that kind ended well: remove the marker.  false: reported. */
extern bool ha_datadir_finish(const HaNode *node);

/* Rename the data directory aside; a missing or empty one is left alone. */
extern bool ha_datadir_move_aside(const HaNode *node);

/*
 * The same to PGDATA.failed-TIME, which *moved (MAXPGPATH) tells: what a bootstrap
 * that failed has left.  "" if there was nothing.
 */
extern bool ha_datadir_move_failed(const HaNode *node, char *moved);

#endif							/* HA_DATADIR_H */
