/*-------------------------------------------------------------------------
 *
 * rest.h
 *	  HTTP: what this member says of itself to load balancers and people.
 *
 * Runs in pg_ha_boot's own loop over libmicrohttpd, so no client, slow or
 * hostile, can touch the server.  Everything is computed when asked from the
 * control block: past its deadline a member is no leader, whatever the last
 * snapshot said (S-12).
 *
 * What has something done is asked for by a child, as an operator would, by SQL or
 * with a guarded write; POST /failsafe is handed to the worker and waits for its
 * promise (S-9).
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REST_H
#define HA_REST_H

#include "../cluster.h"
#include "../control.h"
#include "member.h"
#include "node_file.h"

typedef struct HaRest HaRest;

/*
 * Listen at node->rest_listen.  NULL after reporting if that can't be.  The
 * other arguments are used at each request and must outlive it; *state is the
 * member's state as pg_ha_boot sees it.
 */
extern HaRest *ha_rest_open(const HaNode *node, HaControl *control,
							HaSession *session, const HaMemberState *state);
extern void ha_rest_close(HaRest *rest);

/* An fd to wait on for reading, how long at most (ms, -1 = for ever), and the
 * call that does the work when either comes. */
extern int	ha_rest_fd(const HaRest *rest);
extern int	ha_rest_timeout(const HaRest *rest);
extern void ha_rest_run(HaRest *rest);

#endif							/* HA_REST_H */
