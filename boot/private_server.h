/*-------------------------------------------------------------------------
 *
 * private_server.h
 *	  A server that only this process can reach, on data that is being made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PRIVATE_SERVER_H
#define HA_PRIVATE_SERVER_H

#include <sys/types.h>

#include "node_file.h"

#define HA_PRIVATE_PORT		"5432"

typedef struct HaPrivateServer
{
	char		dir[HA_PATH_SIZE];	/* of its socket */
	pid_t		pid;			/* 0 = it has ended */
} HaPrivateServer;

/*
 * Start it, in a child that is done with its work when this server has ended.  It
 * has no TCP port, no library of pg_ha and no hba line but one for the user who
 * runs this, as "superuser" ("" = not known).  "settings" are more "name=value",
 * ended by NULL.  false: reported.
 */
extern bool ha_private_start(const HaNode *node, const char *superuser,
							 const char *const *settings,
							 HaPrivateServer *server);

/*
 * Does it accept writes?  Its recovery has ended then.
 */
extern bool ha_private_is_ready(const HaNode *node,
								const HaPrivateServer *server);

/* Has it ended by itself?  Then that was reported. */
extern bool ha_private_has_ended(HaPrivateServer *server);

/* Shut it down cleanly.  false: it did not end well, which was reported. */
extern bool ha_private_stop(HaPrivateServer *server);

/* What one that was killed may have left. */
extern void ha_private_clean(const HaNode *node);

#endif							/* HA_PRIVATE_SERVER_H */
