/*-------------------------------------------------------------------------
 *
 * callbacks.h
 *	  Programs of the operator's that are told what becomes of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CALLBACKS_H
#define HA_CALLBACKS_H

#include <sys/types.h>

#include "../control.h"

struct HaBoot;

/* In each round: end those that run for too long, begin those in line. */
extern void ha_callbacks_round(const struct HaBoot *b);

/* A child has ended: was it one of ours? */
extern bool ha_callbacks_reaped(pid_t pid, int status);

/* Is it a callback that runs, and so no process of the server? */
extern bool ha_callbacks_own(pid_t pid);

/* Does any run, or stand in line? */
extern bool ha_callbacks_are_busy(void);

/* The server lives, and this is what its worker reports. */
extern void ha_callbacks_serving(struct HaBoot *b, const HaControlWorker *w);

/* It has ended. */
extern void ha_callbacks_ended(struct HaBoot *b, bool asked);

/* The configuration files have been read again. */
extern void ha_callbacks_reloaded(const struct HaBoot *b);

/*
 * before_stop: begin it, if there is one; false if there is none.  Then, does it
 * still run?
 */
extern bool ha_callbacks_begin_before_stop(const struct HaBoot *b);
extern bool ha_callbacks_before_stop_runs(void);

/* pre_promote: the answer to what the worker asked for. */
extern void ha_callbacks_publish(const struct HaBoot *b, HaControlBoot *boot);

#endif							/* HA_CALLBACKS_H */
