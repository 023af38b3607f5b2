/*-------------------------------------------------------------------------
 *
 * datadir.h
 *	  The data directory while no server runs in it: facts, markers, make, rewind.
 *
 * Long work (initdb, pg_rewind) runs in a child process, whose
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
#include "source.h"

/*
 * Files in the state directory.  While one stands, a data directory that is not empty
 * is HA_DATA_TORN.
 */
#define HA_INITDB_MARKER	"initdb_in_progress"
#define HA_CLONE_MARKER		"clone_in_progress" /* pg_basebackup's */
#define HA_RESTORE_MARKER	"restore_in_progress"	/* a clone program's */
#define HA_REWIND_MARKER	"rewind_in_progress"
#define HA_ASIDE_MARKER		"aside_in_progress"

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
	bool		rewinding;		/* TORN by a rewind: it was good data before,
								 * and has not been given up */
} HaDataFacts;

extern void ha_datadir_facts(const HaNode *node, HaDataFacts *facts);

/* All of pg_control.  false: there is none of this version that is whole. */
extern bool ha_datadir_control(const HaNode *node,
							   struct ControlFileData *control);

/*
 * The data directory is empty and nobody works on it: put the marker, which makes
 * what is there from now on HA_DATA_TORN.  "restore": a program fills it.  false:
 * reported.
 */
extern bool ha_datadir_begin_bootstrap(const HaNode *node, bool restore);

/*
 * Wait until the source's control file shows "timeline" (its checkpoint after
 * promotion is done), then pg_rewind.  A marker in the state directory makes an
 * interrupted rewind HA_DATA_TORN.
 */
extern pid_t ha_datadir_start_rewind(const HaNode *node,
									 const HaSource *source,
									 uint32_t timeline);

/* The same from the source of a standby cluster, whatever timeline that is on. */
extern pid_t ha_datadir_start_rewind_from_remote(const HaNode *node,
												 const HaStandbyCluster *remote);

/* The child of that kind ended well: remove the marker.  false: reported. */
extern bool ha_datadir_finish(const HaNode *node);

/*
 * End what earlier work has left, and move the data directory aside; a missing or
 * empty one is left alone.
 */
/* How a rewind ends that found no source to begin with. */
#define HA_REWIND_NOT_BEGUN		3

extern bool ha_datadir_move_aside(const HaNode *node);

/*
 * The same to PGDATA.failed-TIME, which *moved (MAXPGPATH) tells: what a bootstrap
 * that failed has left.  "" if there was nothing.
 */
extern bool ha_datadir_move_failed(const HaNode *node, char *moved);

/* Durably.  false: reported. */
extern bool ha_datadir_put_marker(const HaNode *node, const char *marker);
extern bool ha_datadir_remove_markers(const HaNode *node);

#endif							/* HA_DATADIR_H */
