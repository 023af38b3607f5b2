/*-------------------------------------------------------------------------
 *
 * notify.h
 *	  Telling the service manager how this node is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_NOTIFY_H
#define HA_NOTIFY_H

#include "supervise.h"

/*
 * Take the service manager's address out of the environment.  Once, before there is
 * any child: a server that finds it there tells of itself.
 */
extern void ha_notify_open(void);

/*
 * Tell what is new, if anybody wants to know; never waits.  w: NULL = nothing is
 * known of the server.
 */
extern void ha_notify(const HaBoot *b, const HaControlWorker *w);

#endif							/* HA_NOTIFY_H */
