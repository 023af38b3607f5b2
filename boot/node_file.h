/*-------------------------------------------------------------------------
 *
 * node_file.h
 *	  The node file: what one member is called and where it finds the rest.
 *
 * postgresql.conf syntax.  pg_ha_boot reads the pg_ha.* keys (and port and
 * listen_addresses) itself; the server reads the same file through the include
 * that pg_ha_boot writes, so any server setting may stand in it too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_NODE_FILE_H
#define HA_NODE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HA_PATH_SIZE	1024
#define HA_TEXT_SIZE	1024

typedef struct HaNode
{
	char		path[HA_PATH_SIZE]; /* of the node file, absolute */
	char		data_dir[HA_PATH_SIZE]; /* absolute, no trailing slash */
	char		bin_dir[HA_PATH_SIZE];	/* where postgres, initdb, ... are */
	char		scope[64];
	char		name[64];
	char		name_space[64];
	char		etcd_endpoints[HA_TEXT_SIZE];
	char		etcd_cacert[HA_PATH_SIZE];
	char		etcd_cert[HA_PATH_SIZE];
	char		etcd_key[HA_PATH_SIZE];
	char		etcd_user[64];
	char		etcd_password_file[HA_PATH_SIZE];
	char		connect_host[256];	/* of connect_address, or the default */
	int			port;
	char		rest_listen[256];	/* "127.0.0.1:8008"; '' = no listener */
	char		rest_connect_address[256];
	char		rest_auth_file[HA_PATH_SIZE];	/* '' = no credentials */
	char		tags[HA_TEXT_SIZE];
	bool		nofailover;		/* parsed from tags */
	bool		nosync;
	int			failover_priority;	/* default 1 */
	int			sync_priority;	/* default 1 */
	char		replication_user[64];
	char		replication_passfile[HA_PATH_SIZE]; /* '' = no password */
	char		replication_sslcert[HA_PATH_SIZE];	/* '' = no certificate */
	char		replication_sslkey[HA_PATH_SIZE];
	char		replication_sslrootcert[HA_PATH_SIZE];
	char		state_dir[HA_PATH_SIZE];	/* default DATA_DIR.pg_ha */
} HaNode;

/*
 * Read and check a node file.  Every fault found is reported with pg_log_error
 * and a hint (not only the first); returns false if there was one.  Relative
 * paths are refused.  Names of pg_ha.* that do not exist are faults, with a
 * did-you-mean.
 */
extern bool ha_node_read(const char *path, const char *data_dir,
						 const char *bin_dir, HaNode *node);

/*
 * The replication role's password, from the line of the passfile that matches
 * it (libpq's format, '\' escapes undone).  The file must be ours and of mode
 * 0600.  false: reported.
 */
extern bool ha_node_password(const HaNode *node, char *password, size_t size);

#endif							/* HA_NODE_FILE_H */
