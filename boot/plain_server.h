/*-------------------------------------------------------------------------
 *
 * plain_server.h
 *	  A server that runs without pg_ha: what it says of itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PLAIN_SERVER_H
#define HA_PLAIN_SERVER_H

#include <sys/types.h>

#include "libpq-fe.h"

#include "node_file.h"

typedef struct HaPlainServer
{
	PGconn	   *conn;			/* as local superuser, logging nothing */
	pid_t		pid;

	uint64_t	sysid;
	bool		standby;
	bool		managed;		/* pg_ha is loaded already */
	int			port;
	char		listen_addresses[HA_TEXT_SIZE];
	char		config_file[HA_PATH_SIZE];
	char		hba_file[HA_PATH_SIZE];
	char		wal_level[16];
	int			max_wal_senders;
	char		sync_names[256];	/* synchronous_standby_names */
	bool		rewindable;		/* data checksums or wal_log_hints */

	/* a standby */
	bool		streaming;
	uint32_t	received_timeline;
	uint64_t	received_lsn;
	char		slot[64];		/* primary_slot_name; "" = none */
} HaPlainServer;

/*
 * Find the server that runs in the data directory, connect and ask.  false:
 * reported.  Also after that, end it with ha_plain_server_leave.
 */
extern bool ha_plain_server_ask(const HaNode *node, HaPlainServer *server);
extern void ha_plain_server_leave(HaPlainServer *server);

/* Where a standby is by now.  false: reported. */
extern bool ha_plain_server_look(HaPlainServer *server);

/* Rows, or NULL: reported. */
extern PGresult *ha_plain_server_query(HaPlainServer *server, const char *sql);

/* A statement without result.  false: reported, without its text. */
extern bool ha_plain_server_do(HaPlainServer *server, const char *sql);

#endif							/* HA_PLAIN_SERVER_H */
