/*-------------------------------------------------------------------------
 *
 * aside.h
 *	  Data that has to go: moved aside, and kept as long as was ordered.
 *
 * A data directory is renamed to PGDATA.aside.YYYYMMDDTHHMMSS (with a number if that
 * is taken), and with it, under the same stamp, a WAL directory and tablespaces that
 * lie elsewhere, to which its links lead from then on.  So the copy is whole, and the
 * places are free.  What a bootstrap that failed has left goes to PGDATA.failed-TIME
 * in the same way, and is no copy of anything: pg_ha.keep_aside does not count it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ASIDE_H
#define HA_ASIDE_H

#include <sys/types.h>

#include "node_file.h"

/*
 * A directory that is a mount point, or whose parent is not writable, stays where it
 * is: false, reported.  To be asked before anything is moved.
 */
extern bool ha_can_be_renamed(const char *path);

/*
 * Free the places that a new data directory needs: what is in the data directory,
 * and in pg_ha.wal_dir, goes aside.  Each move is told.  The caller knows that nobody
 * works there.  false: reported, and nothing is lost.
 */
extern bool ha_aside_make_way(const HaNode *node);

/* The same for what a bootstrap has left; *moved (MAXPGPATH) is where to, "" = nothing. */
extern bool ha_aside_move_failed(const HaNode *node, char *moved);

/*
 * Remove the oldest of the copies that pg_ha_boot made, beyond pg_ha.keep_aside: in a
 * child, whose pid it returns; 0 if there is nothing to do.
 */
extern pid_t ha_aside_start_pruning(const HaNode *node);

#endif							/* HA_ASIDE_H */
