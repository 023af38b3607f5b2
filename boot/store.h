/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The store for commands that may wait: one question, one answer.
 *
 * What keeps a node, and must never wait, has member.h instead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_STORE_H
#define HA_STORE_H

#include "../cluster.h"
#include "../dcs.h"
#include "node_file.h"

/* Where the node file says that the store is; its strings are the node's. */
extern HaDcsOptions ha_store_options(const HaNode *node);

/* NULL: reported.  Close it with ha_dcs_close. */
extern HaDcs *ha_store_open(const HaNode *node);

/*
 * Send a request (which is taken over) and wait at most "timeout" ms for its
 * answer.  false: there is none that could be used, which was reported; a write
 * may then have happened or may yet.  Free the answer with ha_dcs_answer_free.
 */
extern bool ha_store_ask(HaDcs *dcs, HaRequest *request, int64_t timeout,
						 HaAnswer *answer);

/*
 * Everything there is of the cluster, by a linearizable read, as the raw keys and
 * as a view.  false: reported.
 */
extern bool ha_store_look(HaDcs *dcs, int64_t timeout, HaAnswer *keys,
						  HaView *view);

#endif							/* HA_STORE_H */
