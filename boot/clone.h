/*-------------------------------------------------------------------------
 *
 * clone.h
 *	  Fill the data directory with a copy of the cluster's data.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLONE_H
#define HA_CLONE_H

#include <sys/types.h>

#include "node_file.h"
#include "source.h"

/* What the loop knows and the child needs. */
typedef struct HaCloneOrder
{
	uint64_t	sysid;			/* the cluster's; 0 = what it is will be */
	bool		has_leader;
	HaSource	leader;			/* makes our slot */
	HaSource	source;			/* is copied: the leader, or a standby */
	HaStandbyCluster remote;	/* active: instead, one of these servers,
								 * which have no slot for us */
	int64_t		slot_patience;	/* ms */
	uint32_t	skip;			/* bit i: not by method i */
} HaCloneOrder;

/* How the child ended, as its exit status. */
typedef enum HaCloneResult
{
	HA_CLONE_DONE,
	HA_CLONE_FAILED,			/* no method succeeded; later one may */
	HA_CLONE_FOREIGN,			/* the same, and one of them has produced the
								 * data of another cluster */
} HaCloneResult;

/*
 * Try the methods of pg_ha.clone_methods, in order, in a child that moves aside what is
 * in their way.  A marker in the state directory makes an interrupted clone
 * HA_DATA_TORN.  -1: reported.
 */
extern pid_t ha_clone_start(const HaNode *node, const HaCloneOrder *order);

/*
 * By which method the child is at it, or was; '' before the first.  percent: of
 * pg_basebackup's data, 0 = not known.
 */
extern void ha_clone_progress(const HaNode *node, char *method, size_t size,
							  int *percent);

/* Bit of the method that was tried last, for "skip". */
extern uint32_t ha_clone_last_method(void);

/* Are all methods that are left by "skip" able to do without a leader, or any? */
extern bool ha_clone_has_method(const HaNode *node, bool leader,
								uint32_t skip);

/* Bits of all methods that do not copy a running server. */
extern uint32_t ha_clone_all_but_basebackup(const HaNode *node);

/* Does the first method want the data that is there? */
extern bool ha_clone_keeps_data(const HaNode *node);

/* "walg, basebackup" */
extern const char *ha_clone_method_names(const HaNode *node, char *buf,
										 size_t size);

#endif							/* HA_CLONE_H */
