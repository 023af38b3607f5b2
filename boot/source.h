/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Asking the server of another member, from a child process.
 *
 * All of these wait for the network, so pg_ha_boot's loop must never call them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SOURCE_H
#define HA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "libpq-fe.h"
#include "pqexpbuffer.h"

#include "../cluster.h"
#include "node_file.h"

/* A server of another member. */
typedef struct HaSource
{
	char		name[HA_NAME_SIZE];
	char		host[HA_HOST_SIZE];
	int			port;
} HaSource;

/* The server of a member, as its key tells. */
extern void ha_source_of(const HaMember *member, HaSource *source);

/*
 * Is it one that may be connected to?  It comes from the store, so from anybody: no
 * list of hosts, no socket path.  false: reported.
 */
extern bool ha_source_is_usable(const HaSource *source);

/*
 * How libpq programs find the password and present themselves; what else the
 * environment says of connections could lead them elsewhere.  Ends the process if
 * that fails.
 */
extern void ha_source_environment(const HaNode *node);

/*
 * Connect as the replication role, for SQL or, with "replication", as a standby
 * would; the connection must be finished however it is.
 */
extern PGconn *ha_source_connect(const HaNode *node, const HaSource *source,
								 bool replication,
								 const char *application_name,
								 const char *timeout);

/* A copy takes long, and the other host may go without a word. */
#define HA_SOURCE_KEEPALIVES \
	"keepalives_idle=30 keepalives_interval=10 keepalives_count=3"

/* "host=... port=... user=... dbname=postgres", and keepalives: no password. */
extern void ha_source_conninfo(const HaNode *node, const HaSource *source,
							   PQExpBuffer conninfo);

/*
 * Wait until its control file shows "timeline", which is so as soon as its checkpoint
 * after promotion is done.  false: reported.
 */
extern bool ha_source_wait_for_timeline(const HaNode *node,
										const HaSource *source,
										uint64_t sysid, uint32_t timeline);

/*
 * Wait until the leader has made this member's replication slot; *lsn is what it
 * holds WAL from.  false: it has not within so many ms.
 */
extern bool ha_source_wait_for_slot(const HaNode *node, const HaSource *leader,
									int64_t patience, uint64_t *lsn);

/* Wait until a standby has replayed so far.  false: it has not. */
extern bool ha_source_wait_for_replay(const HaNode *node,
									  const HaSource *standby,
									  uint64_t lsn, int64_t patience);

/*
 * Does it say that the WAL there has been removed?  Anything else, no answer above
 * all, is a no.
 */
extern bool ha_source_lacks_wal(const HaNode *node, const HaSource *source,
								uint32_t timeline, uint64_t lsn);

#endif							/* HA_SOURCE_H */
