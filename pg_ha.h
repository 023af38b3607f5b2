/*-------------------------------------------------------------------------
 *
 * pg_ha.h
 *	  What the server-side files share: settings and shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PG_HA_H
#define PG_HA_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "ask.h"
#include "cluster.h"
#include "documents.h"
#include "hba_server.h"

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
extern char *ha_etcd_sites;
extern char *ha_etcd_cacert;
extern char *ha_etcd_cert;
extern char *ha_etcd_key;
extern char *ha_etcd_user;
extern char *ha_etcd_password_file;
extern char *ha_rest_auth_file;
extern char *ha_rest_cafile;
extern char *ha_rest_cert;
extern char *ha_rest_key;
extern char *ha_state_dir;
extern char *ha_tags;
extern char *ha_replication_user;
extern char *ha_replication_passfile;
extern char *ha_replication_sslcert;
extern char *ha_replication_sslkey;
extern char *ha_replication_sslrootcert;
extern char *ha_local_hba_file;
extern char *ha_local_ident_file;
extern int	ha_fence_level;
extern int	ha_fence_wait;		/* ms */
extern int	ha_health_grace;	/* ms, -1 = retry_timeout */
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
	bool		committing;		/* past the check before commit */
} HaProcEpoch;

typedef enum HaFailsafeState
{
	HA_FAILSAFE_OFF,
	HA_FAILSAFE_ON,				/* the mode is on, and nothing is wrong */
	HA_FAILSAFE_ACTIVE,			/* leads without the store, by promises */
	HA_FAILSAFE_PROMISED,		/* has promised somebody not to lead */
} HaFailsafeState;

/*
 * What may keep this server from doing its work, each judged in health.c.
 */
typedef enum HaCheckId
{
	HA_CHECK_DATADIR,			/* the data directory is there and takes
								 * writes */
	HA_CHECK_WAL_DISK,			/* so does pg_wal, often a disk of its own */
	HA_CHECK_WAL_WRITE,			/* WAL is flushed while sessions wait for it */
	HA_NCHECKS,
} HaCheckId;

#define HA_DETAIL_SIZE		128

typedef struct HaCheck
{
	bool		ok;
	int64		since;			/* it is as it is; 0 = never looked */
	char		detail[HA_DETAIL_SIZE];
} HaCheck;

/*
 * How writing to one of two places goes, as the probe notes it: a process that
 * may hang on a disk, which is what it is for.
 */
typedef struct HaProbe
{
	int64		began_at;		/* of the attempt in progress; 0 = none is */
	int64		good_at;		/* end of the last one that succeeded; 0 =
								 * none */
	int64		bad_since;		/* begin of the first attempt that failed
								 * since one succeeded; 0 = the last one did */
	char		trouble[HA_DETAIL_SIZE];	/* how the last one failed */
} HaProbe;

#define HA_NPROBES			(HA_CHECK_WAL_DISK + 1)

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
	HaFailsafeState failsafe;
	TimestampTz paused_since;	/* that this worker has known of the pause; 0
								 * = there is none */
	uint64		lost_bytes;
	HaCheck		checks[HA_NCHECKS];
	char		trouble[256];	/* the store's last trouble */
	HaStore		store;
	int64		worst_renewal;	/* ms, since the worker began; -1 = none yet */
	bool		store_full;		/* it refuses our heartbeats for want of room */
} HaPublished;

typedef struct HaShared
{
	/* Commits are fenced from this time (ms, BOOTTIME) on; 0 = fenced. */
	pg_atomic_uint64 deadline;

	/* Commits wait until this time (ms, BOOTTIME), for a hand-over; 0 = not. */
	pg_atomic_uint64 held_until;

	/* For people: what the fence has refused, and answers that it kept back. */
	pg_atomic_uint64 refused;
	pg_atomic_uint64 withheld;

	/* Commits must be confirmed by the synchronous standbys. */
	pg_atomic_uint32 sync_required;

	/*
	 * Clients may see everything: whatever recovery made visible is sure to
	 * survive a failover.
	 */
	pg_atomic_uint32 shows;

	/* The epoch that the postmaster has read, << 32, and how many times. */
	pg_atomic_uint64 postmaster_read;

	/* When somebody last wanted to know how the store's endpoints are. */
	pg_atomic_uint64 looked_at;

	/* Where clients should go instead, for hints.  Protected by mutex. */
	slock_t		mutex;
	char		leader[HA_NAME_SIZE];
	char		leader_host[HA_HOST_SIZE];
	int			leader_port;
	HaAskSlot	ask;
	pg_atomic_uint32 look_anew; /* a session wants a view of now */
	int			worker_pid;
	struct Latch *worker_latch;
	int			probe_pid;		/* 0 = it does not run */
	HaProbe		probes[HA_NPROBES];
	HaHbaReport hba_report;

	HaSlotSpec	slot_to_make;	/* for a process that the worker starts */

	ConditionVariable gate_cv;	/* woken when the gate opens */
	ConditionVariable ask_cv;	/* woken when a write was answered */

	/*
	 * Protects published, documents and hba.  The worker only ever takes it
	 * conditionally, since its holder may be frozen.
	 */
	LWLock	   *lock;
	HaPublished published;
	HaDocument	documents[HA_NDOCUMENTS];
	HaHbaState	hba[HA_NAUTH_FILES];

	int			nprocs;
	HaProcEpoch procs[FLEXIBLE_ARRAY_MEMBER];
} HaShared;

/* NULL unless the library was preloaded and shared memory is attached. */
extern HaShared *ha_shared;

/* Where the control block is. */
extern void ha_state_path(char *path, size_t size);

extern PGDLLEXPORT void ha_worker_main(Datum arg);
extern PGDLLEXPORT void ha_probe_main(Datum arg);
extern PGDLLEXPORT void ha_hba_main(Datum arg);

#endif							/* PG_HA_H */
