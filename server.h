/*-------------------------------------------------------------------------
 *
 * server.h
 *	  This PostgreSQL: what it is doing, and what the worker can make it do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SERVER_H
#define HA_SERVER_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "cluster.h"

/* To a time of PostgreSQL, us, for one of Unix. */
#define HA_UNIX_EPOCH \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * Fill in what the server knows of itself: role, timeline, LSNs, the receiver,
 * and on a primary where its timeline began.  Takes no heavyweight lock and does
 * not wait.
 */
extern void ha_server_facts(HaLocal *local);

/*
 * On a standby, from where on it has asked for WAL to be streamed, which it does when
 * it has used up what it has itself; 0 = not yet.  Has it an archive besides?
 */
extern uint64 ha_server_awaited_lsn(bool *has_archive);

/*
 * Is replay paused, or about to be, and when was what it replayed last committed (Unix
 * time, microseconds; 0 = not known)?  For people.
 */
extern void ha_server_replay_facts(bool *paused, int64 *replayed_at_us);

/* Does that process, the startup process, wait for a session to get out of its way? */
extern bool ha_server_waits_for_session(pid_t startup);

/* Is a walreceiver there that has come through to its primary?  For people. */
extern bool ha_server_receives(void);

/* Is no walreceiver there any more (S-2 b)? */
extern bool ha_server_receiver_is_gone(void);

/*
 * Leave recovery on the timeline "reserved": makes history files for all unused
 * ids below, so that the server can't choose another, then gives the signal.
 * Returns false after a LOG message if that failed.
 */
extern bool ha_server_promote(uint32 timeline, uint32 reserved);

/* Hurry the startup process: it may sleep in a retry interval. */
extern void ha_server_wake_startup(void);

/* An immediate checkpoint, not waited for. */
extern void ha_server_request_checkpoint(void);

/* The end of WAL that synchronous standbys have confirmed.  Takes no lock. */
extern uint64 ha_server_confirmed_lsn(void);

/*
 * A standby that has stopped to replay since its primary has higher limits than it:
 * let it end, for pg_ha_boot to start it with these (boot/limits.c).
 */
extern void ha_server_end_for_limits(int64 now);

#endif							/* HA_SERVER_H */
