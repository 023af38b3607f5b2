/*-------------------------------------------------------------------------
 *
 * stranded.h
 *	  A standby whose next WAL is nowhere any more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_STRANDED_H
#define HA_STRANDED_H

#include "supervise.h"

/*
 * Look whether the standby that runs is stranded, in each round of the loop that has
 * a fresh report of its worker.  true: it is, why is in b->rejoin_why, and it has to be cloned again.
 */
extern bool ha_stranded_look(HaBoot *b, const HaControlWorker *w);

/* The child that asked has ended. */
extern void ha_stranded_answer(HaBoot *b, int status);

#endif							/* HA_STRANDED_H */
