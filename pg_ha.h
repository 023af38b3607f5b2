/*-------------------------------------------------------------------------
 *
 * pg_ha.h
 *	  What the server-side files share: settings and shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PG_HA_H
#define PG_HA_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "cluster.h"

typedef enum HaFence
{
	HA_FENCE_OFF,				/* nothing is checked */
	HA_FENCE_WRITES,			/* commits and writes need a living lease */
	HA_FENCE_ALL,				/* reads too */
} HaFence;

/* Settings: see docs/node-file.md. */
extern char *ha_scope;
extern char *ha_member_name;
extern char *ha_namespace;
extern char *ha_etcd_endpoints;
extern char *ha_etcd_cacert;
extern char *ha_etcd_cert;
extern char *ha_etcd_key;
extern char *ha_etcd_user;
extern char *ha_etcd_password_file;
extern char *ha_state_dir;
extern char *ha_tags;
extern char *ha_replication_user;
extern char *ha_replication_passfile;
extern char *ha_replication_sslcert;
extern char *ha_replication_sslkey;
extern char *ha_replication_sslrootcert;
extern int	ha_fence_level;
extern int	ha_fence_wait;		/* ms */
extern int	ha_conf_epoch;

/*
 * Which version of the managed file a process has applied (S-2, S-4).  Indexed by
 * number of process; each entry is written only by the process that it describes.
 */
typedef struct HaProcEpoch
{
	int			pid;
	int			backend_type;
	int			epoch;
} HaProcEpoch;

/* What an operator asks of the worker through SQL; one at a time. */
typedef enum HaRequestKind
{
	HA_ASK_NOTHING,
	HA_ASK_PAUSE,
	HA_ASK_RESUME,
	HA_ASK_SWITCHOVER,
} HaRequestKind;

typedef struct HaAsk
{
	uint32		number;			/* of the newest request */
	uint32		answered;		/* of the newest answered one */
	HaRequestKind kind;
	char		target[HA_NAME_SIZE];
	bool		succeeded;
	char		message[256];
} HaAsk;

/* The worker's knowledge, for SQL. */
typedef struct HaPublished
{
	int64		at;				/* BOOTTIME ms of the publishing, 0 = never */
	int64		seen_at;		/* last good answer of the store */
	int64		proof_at;		/* base of the current deadline */
	HaConfig	config;
	HaView		view;
	HaLocal		local;
	HaPlan		plan;
	uint64		lost_bytes;
	char		trouble[256];	/* the store's last trouble */
	bool		store_full;		/* it refuses our heartbeats for want of room */
} HaPublished;

typedef struct HaShared
{
	/* Commits are fenced from this time (ms, BOOTTIME) on; 0 = fenced. */
	pg_atomic_uint64 deadline;

	/* Commits must be confirmed by the synchronous standbys. */
	pg_atomic_uint32 sync_required;

	/*
	 * Clients may see everything: whatever recovery made visible is sure to
	 * survive a failover.
	 */
	pg_atomic_uint32 shows;

	/* The epoch that the postmaster has read, << 32, and how many times. */
	pg_atomic_uint64 postmaster_read;

	/* Where clients should go instead, for hints.  Protected by mutex. */
	slock_t		mutex;
	char		leader[HA_NAME_SIZE];
	char		leader_host[HA_HOST_SIZE];
	int			leader_port;
	HaAsk		ask;
	int			worker_pid;
	struct Latch *worker_latch;

	ConditionVariable gate_cv;	/* woken when the gate opens */
	ConditionVariable ask_cv;	/* woken when an ask was answered */

	/*
	 * Protects published.  The worker only ever takes it conditionally, since
	 * its holder may be frozen.
	 */
	LWLock	   *lock;
	HaPublished published;

	int			nprocs;
	HaProcEpoch procs[FLEXIBLE_ARRAY_MEMBER];
} HaShared;

/* NULL unless the library was preloaded and shared memory is attached. */
extern HaShared *ha_shared;

extern PGDLLEXPORT void ha_worker_main(Datum arg);

#endif							/* PG_HA_H */
