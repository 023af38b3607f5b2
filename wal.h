/*-------------------------------------------------------------------------
 *
 * wal.h
 *	  The WAL files of a standby, as recovery would read them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_WAL_H
#define HA_WAL_H

#include "cluster.h"

/*
 * Called in every turn, after the server's facts have been read.  When a standby
 * is detached, or a start has come to its end without anybody to follow, make
 * sure that what is here is what recovery would find after a crash or at a
 * promotion, and mend it where a newer timeline's file hides it.  Reads a segment
 * of WAL, once, and may write as much.
 *
 * Takes local->detached away until that is done and replayed, so that no vote
 * is given for less than there is, nor for what could not be read again.  Fills
 * local->line_begins_at.
 */
extern void ha_wal_look(HaLocal *local, int64 now);

#endif							/* HA_WAL_H */
