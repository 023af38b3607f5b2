/*-------------------------------------------------------------------------
 *
 * operate.h
 *	  Asking members for something, for SQL functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_OPERATE_H
#define HA_OPERATE_H

#include "pg_ha.h"

/* An error if there is no such member. */
extern void ha_sql_refuse_stranger(const HaView *view, const char *name);

/*
 * An error if that member can't be asked for it now.  "force": another reinit may be
 * begun although one goes on.
 */
extern void ha_sql_refuse_request(const HaView *view, const char *name,
								  HaMemberRequestKind kind, bool force);

/* Begin a request to that member; to all where it is NULL. */
extern void ha_sql_new_request(HaMemberRequest *request,
							   HaMemberRequestKind kind, const HaView *view,
							   const char *name);

/*
 * Have it stored.  Whatever else the request rests on, the leader must be the one
 * that was seen.  The key as it was seen, of that revision, is replaced, so of two
 * who ask the same member at a time one is told to try again.
 */
extern void ha_sql_store_request(const HaView *view, const char *key,
								 int64 revision,
								 const HaMemberRequest *request,
								 bool in_this_term);

#endif							/* HA_OPERATE_H */
