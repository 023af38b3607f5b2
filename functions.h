/*-------------------------------------------------------------------------
 *
 * functions.h
 *	  What the files of SQL functions share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FUNCTIONS_H
#define HA_FUNCTIONS_H

#include "fmgr.h"

#include "pg_ha.h"

/* A copy of what the worker published last; an error where there is no worker. */
extern HaPublished *ha_sql_look(void);

/* An error where the library is not loaded, or the server is of no cluster. */
extern void ha_sql_require_worker(void);

/* May this user do this to the cluster?  An error if not: see privileges.c. */
extern void ha_sql_require_operator(FunctionCallInfo fcinfo);

extern void ha_sql_refuse_in_failsafe(const HaPublished *p);

/*
 * Merge a patch, as JSON merge patch, into the cluster's configuration; again, if
 * somebody else changes it at the same time.  The patch is not judged by itself,
 * but what comes out must be good.  Returns the new configuration; raises errors.
 */
extern char *ha_sql_change_config(const char *patch);

/*
 * Refuse a patch whose rules for pg_hba.conf or pg_ident.conf no server would take,
 * or would lock out a member or this session.
 */
extern void ha_sql_check_rules(const char *patch, const HaView *view);

/*
 * When something is to be done, as an argument: 0 = now, else Unix time, ms.  "what" is
 * for the message: "a restart".
 */
extern int64 ha_sql_time_argument(FunctionCallInfo fcinfo, int i,
								  const char *what);

/* Sleep a little between two looks, ready for a cancel. */
extern void ha_sql_wait_a_little(void);
extern void ha_sql_wait(long ms);

#endif							/* HA_FUNCTIONS_H */
