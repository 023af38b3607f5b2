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

#include "../cluster.h"

#define HA_PATH_SIZE	1024
#define HA_TEXT_SIZE	1024

/* Programs of the operator's, by what they are run for (callbacks.c). */
typedef enum HaCallback
{
	HA_ON_START,
	HA_ON_STOP,
	HA_ON_RESTART,
	HA_ON_RELOAD,
	HA_ON_ROLE_CHANGE,
	HA_PRE_PROMOTE,
	HA_BEFORE_STOP,
} HaCallback;

#define HA_CALLBACKS	(HA_BEFORE_STOP + 1)

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
	char		listen_addresses[HA_TEXT_SIZE]; /* '' = not in the node file */
	char		rest_listen[256];	/* "127.0.0.1:8008"; '' = no listener */
	char		rest_connect_address[256];
	char		rest_auth_file[HA_PATH_SIZE];	/* '' = no credentials */
	char		rest_cert[HA_PATH_SIZE];	/* '' = no TLS */
	char		rest_key[HA_PATH_SIZE];
	char		rest_cafile[HA_PATH_SIZE];	/* '' = no certificates of clients */
	char		rest_allow[HA_TEXT_SIZE];	/* '' = any address */
	char		tags[HA_TEXT_SIZE];
	char		site[64];		/* '' = not told */
	char		replication_user[64];
	char		replication_passfile[HA_PATH_SIZE]; /* '' = no password */
	char		replication_sslcert[HA_PATH_SIZE];	/* '' = no certificate */
	char		replication_sslkey[HA_PATH_SIZE];
	char		replication_sslrootcert[HA_PATH_SIZE];
	char		state_dir[HA_PATH_SIZE];	/* default DATA_DIR.pg_ha */

	/* for the extension, so here they are only checked */
	char		local_hba_file[HA_PATH_SIZE];
	char		local_ident_file[HA_PATH_SIZE];

	/* taken apart in clone_config.c */
	char		clone_methods[HA_TEXT_SIZE];
	char		clone_max_rate[16];
	char		tablespace_mapping[HA_TEXT_SIZE];
	char		keep_aside[8];
	char		wal_dir[HA_PATH_SIZE];	/* '' = inside the data directory */
	bool		rewind;			/* data that diverged may be rewound */
	bool		rebuild_on_divergence;	/* ... or replaced by a clone */
	bool		start_without_dcs;	/* as a standby, after ... */
	int			dcs_start_timeout;	/* ms */
	char		callbacks[HA_CALLBACKS][HA_TEXT_SIZE];	/* '' = none */
	int			callback_timeout;	/* ms */
} HaNode;

/* Who wants to be told of faults, and of what is no fault but may surprise. */
typedef struct HaFaultSink
{
	void		(*take) (void *arg, bool warning, const char *code,
						 const char *message, const char *hint);
	void	   *arg;
} HaFaultSink;

/*
 * Read and check a node file.  Every fault found is reported with pg_log_error
 * and a hint (not only the first); returns false if there was one.  Relative
 * paths are refused.  Names of pg_ha.* that do not exist are faults, with a
 * did-you-mean.
 */
extern bool ha_node_read(const char *path, const char *data_dir,
						 const char *bin_dir, HaNode *node);

/* The same, with the faults told to somebody else than the log. */
extern bool ha_node_check(const char *path, const char *data_dir,
						  const char *bin_dir, const HaFaultSink *sink,
						  HaNode *node);

/* Set the tags of *member as the node file tells them. */
extern void ha_node_tags(const HaNode *node, HaMember *member);

/* As they are called in the node file, and to the programs. */
extern const char *const ha_callback_names[HA_CALLBACKS];

/*
 * The replication role's password, from the line of the passfile that matches
 * it (libpq's format, '\' escapes undone).  The file must be ours and of mode
 * 0600.  "" if the node file names none.  false: reported.
 */
extern bool ha_node_password(const HaNode *node, char *password, size_t size);
extern bool ha_node_check_password(const HaNode *node, const HaFaultSink *sink,
								   char *password, size_t size);

#endif							/* HA_NODE_FILE_H */
