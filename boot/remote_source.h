/*-------------------------------------------------------------------------
 *
 * remote_source.h
 *	  Asking the source of a standby cluster, from a child process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REMOTE_SOURCE_H
#define HA_REMOTE_SOURCE_H

#include "source.h"

/*
 * Which of its servers is to be copied: its primary if one answers as that, else a
 * standby, which is no judge of anybody's WAL; and on which timeline that is.
 * sysid 0: any.  false: reported.
 */
extern bool ha_remote_choose(const HaNode *node,
							 const HaStandbyCluster *source, uint64_t sysid,
							 HaSource *chosen, uint32_t *timeline,
							 bool *is_primary);

/*
 * Does its primary's history show that WAL which was replayed up to there is none of
 * it?  No answer is a no.
 */
extern bool ha_remote_has_diverged(const HaNode *node,
								   const HaStandbyCluster *source,
								   uint64_t sysid, uint32_t timeline,
								   uint64_t lsn);

#endif							/* HA_REMOTE_SOURCE_H */
