/*-------------------------------------------------------------------------
 *
 * control.h
 *	  The control block: what the worker and pg_ha_boot tell each other.
 *
 * Plain C.  One small memory-mapped file "control" in the state directory
 * (PGDATA with ".pg_ha" appended, mode 0700; never inside PGDATA, since a base
 * backup would copy it).  It holds plain values, each section has one writer, and
 * each side survives the other's death at any instruction: a section is
 * guarded by a sequence number that is odd while it is being written, and a
 * reader that finds it odd or changed looks again a few times, then takes the
 * section as unknown.  Losing the file loses no promise: a worker starts fenced,
 * and pg_ha_boot then waits a whole TTL instead of a known deadline.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CONTROL_H
#define HA_CONTROL_H

#include "cluster.h"

#include <stddef.h>

/* What the worker wants pg_ha_boot to do to its server. */
typedef enum HaWant
{
	HA_WANT_NOTHING,
	HA_WANT_DEMOTE,				/* stop (fast, then immediate), start as
								 * standby */
	HA_WANT_SWITCHOVER,			/* stop fast, release to the target, start as
								 * standby */
	HA_WANT_REWIND,				/* stop, pg_rewind from the leader or clone,
								 * start as standby */
	HA_WANT_STOP,				/* stop and stay down: this data does not
								 * belong here */
	HA_WANT_YIELD,				/* another leads, with all the WAL of this
								 * server: stop at once, which adds none,
								 * start as standby */
	HA_WANT_RESTART,			/* not the worker's: an operator wants it, and
								 * a leader comes back as one */
} HaWant;

/* A standby as the primary's walsender sees it, for people. */
typedef struct HaControlStandby
{
	char		name[HA_NAME_SIZE]; /* its application_name */
	bool		streaming;
	bool		sync;			/* commits may wait for it */
} HaControlStandby;

/* Written by the worker, every cycle and at least twice a second. */
typedef struct HaControlWorker
{
	int32_t		pid;
	int32_t		postmaster_pid;
	uint64_t	pid_start;		/* ha_process_start_time of each */
	uint64_t	postmaster_start;
	int64_t		heartbeat_at;	/* BOOTTIME ms of this writing */
	HaWant		want;
	uint32_t	want_seq;		/* differs for each new want */
	char		why[HA_WHY_SIZE];
	char		target[HA_NAME_SIZE];	/* SWITCHOVER */

	HaRole		role;
	uint32_t	timeline;
	uint64_t	flush_lsn;
	uint64_t	replay_lsn;
	bool		streaming;
	bool		has_archive;	/* restore_command is set */
	uint64_t	awaited_lsn;	/* standby: from where on it has asked a
								 * leader for WAL, after all that it has
								 * itself; 0 = not yet */
	uint64_t	sysid;
	int32_t		server_version; /* PG_VERSION_NUM of the server */
	char		version[HA_VERSION_SIZE];	/* of the library */
	int64_t		postmaster_started_us;	/* Unix time, microseconds; display */

	int64_t		dcs_seen_at;	/* last good answer from the store */
	uint64_t	seen_cluster_id;	/* how far the store's history had come */
	int64_t		seen_raft_term;
	int64_t		seen_revision;
	uint64_t	seen_under;		/* start time of the pg_ha_boot of then; 0 =
								 * there was none */
	char		leader[HA_NAME_SIZE];	/* '' = the key is gone */
	int64_t		term;
	bool		pause;
	bool		sick;			/* a health check fails that gates the lease */
	bool		aside;			/* members of Patroni are not to count on our
								 * position */
	uint32_t	counts_timeline;	/* nobody leads: the position that counts
									 * in */
	uint64_t	counts_lsn;		/* ... the election; 0 = as above */
	bool		standby_leader; /* leads a standby cluster */
	bool		follows_source; /* is to stream from its source, or from such
								 * a leader */
	bool		sync_standby;	/* this member is listed in /sync */
	bool		others_may_lead;	/* somebody else could take over now */
	HaSyncMode	synchronous_mode;
	int64_t		ttl;
	int64_t		loop_wait;
	int64_t		primary_start_timeout;
	uint64_t	discarded_bytes;
	uint32_t	discarded_timeline;
	bool		failsafe_active;	/* leads by promises (S-9) */
	char		pending_restart[HA_WHY_SIZE];	/* settings that wait for one */
	int64_t		frozen_since;	/* it holds the WAL still; 0 = it does not */
	char		hba_source[HA_HBA_NAME_SIZE];	/* as in HaMember */
	char		hba_sha256[HA_HBA_SHA_SIZE];
	uint32_t	promote_seq;	/* pre_promote is to run: differs for each
								 * promotion; 0 = nothing is to be promoted */

	/* for people and their dashboards */
	bool		replay_paused;
	int64_t		replayed_at_us; /* commit time of what was replayed last, Unix
								 * time, microseconds; 0 = not known */
	int64_t		renewal_ms;		/* how long the last proof took; -1 = none yet */
	int64_t		worst_renewal_ms;	/* since the worker began */
	uint64_t	renewals;		/* proofs since the worker began */
	uint64_t	fence_refused;	/* since the server began: statements and
								 * commits that failed because of the fence, */
	uint64_t	fence_withheld; /* ... and commits left without an answer */
	int32_t		nstandbys;
	HaControlStandby standbys[HA_MAX_MEMBERS];
} HaControlWorker;

/*
 * Who may renew, hand over or release the leader key (S-7).  The worker owns it
 * while its postmaster lives.  pg_ha_boot takes it (NONE or WORKER -> BOOT) only
 * when every process of that server is reaped or the deadline has passed, and
 * the new worker takes it back with its first REASSERT or ACQUIRE.
 */
typedef enum HaLeaseOwner
{
	HA_LEASE_NOBODY,
	HA_LEASE_WORKER,
	HA_LEASE_BOOT,
} HaLeaseOwner;

typedef struct HaControlLease
{
	HaLeaseOwner owner;
	bool		holding;		/* the leader key was ours at the last proof */
	bool		confirmed;		/* ... and the term record is no intent */
	int64_t		lease;
	int64_t		ttl;
	int64_t		key_revision;	/* mod_revision of the leader key */
	int64_t		term;
	uint32_t	timeline;
	uint64_t	safe_lsn;		/* set by a worker that saw its postmaster
								 * die: nothing beyond was ever acknowledged;
								 * 0 = not known */
} HaControlLease;

/* Written by pg_ha_boot. */
typedef struct HaControlBoot
{
	int32_t		pid;
	uint64_t	pid_start;
	int64_t		heartbeat_at;
	bool		supervising;	/* parent of, or attached to, the postmaster */
	uint64_t	discarded_bytes;	/* by the last rewind or clone */
	uint32_t	discarded_timeline;
	char		cluster_uuid[HA_UUID_SIZE]; /* that this node joined; '' =
											 * none */
	char		version[HA_VERSION_SIZE];	/* of pg_ha_boot */
	int64_t		pre_promote_limit;	/* ms that it may take; 0 = there is none */
	uint32_t	promote_answered;	/* promote_seq of the last one that ended */
	bool		promote_allowed;	/* ... and whether it said yes */
} HaControlBoot;

/* Written by pg_ha_boot: what another member asks of this one (S-9). */
typedef struct HaControlQuestion
{
	uint32_t	seq;			/* differs for each question */
	int64_t		asked_at;
	HaQuestion	question;
} HaControlQuestion;

typedef enum HaVerdict
{
	HA_VERDICT_NONE,
	HA_VERDICT_ACCEPTED,
	HA_VERDICT_OFF,				/* failsafe mode is off */
	HA_VERDICT_LEADER,			/* this server runs as a primary itself */
	HA_VERDICT_REFUSED,
} HaVerdict;

/*
 * Written by the worker: the answer, and what must outlive it.  The promise is
 * here before the answer can be given.
 */
typedef struct HaControlPromise
{
	uint32_t	answered;		/* seq of the last question that was answered */
	HaVerdict	verdict;
	char		why[HA_WHY_SIZE];	/* REFUSED */
	uint64_t	lsn;			/* replayed */
	char		leader[HA_NAME_SIZE];	/* to whom this member promised not to
										 * lead; '' = to nobody yet */
	int64_t		until;
	int64_t		leader_term;	/* the leader's term, and how far it told us
								 * to be */
	uint64_t	leader_lsn;

	/* what a worker that begins anew can't know while the store is away */
	bool		mode_on;
	bool		bid;			/* a vote or an acquiring txn was sent that
								 * may stand, or land, while the term record
								 * has */
	int64_t		bid_revision;	/* ... this revision */
	int64_t		term;			/* the newest that was seen */
} HaControlPromise;

typedef struct HaControl HaControl;

/*
 * Map the control block of a state directory, creating directory and file if
 * "create", also in the place of one that another version of pg_ha has left and
 * nobody uses.  NULL with a message in err if that fails, or if another version
 * uses it, or the file is not ours.  ha_control_close unmaps.
 */
extern HaControl *ha_control_open(const char *state_dir, bool create,
								  char *err, size_t errlen);
extern void ha_control_close(HaControl *control);

/*
 * Did it take the place of one of another version, so that what that one knew is
 * lost, and has no pg_ha_boot been here since?
 */
extern bool ha_control_is_replacement(const HaControl *control);

/* Each writer replaces a whole section; readers return false if unknown. */
extern void ha_control_set_worker(HaControl *control, const HaControlWorker *w);
extern bool ha_control_get_worker(const HaControl *control, HaControlWorker *w);
extern void ha_control_set_lease(HaControl *control, const HaControlLease *l);
extern bool ha_control_get_lease(const HaControl *control, HaControlLease *l);
extern void ha_control_set_boot(HaControl *control, const HaControlBoot *b);
extern bool ha_control_get_boot(const HaControl *control, HaControlBoot *b);
extern void ha_control_set_question(HaControl *control,
									const HaControlQuestion *q);
extern bool ha_control_get_question(const HaControl *control,
									HaControlQuestion *q);
extern void ha_control_set_promise(HaControl *control,
								   const HaControlPromise *p);
extern bool ha_control_get_promise(const HaControl *control,
								   HaControlPromise *p);

/*
 * The latest deadline that any backend may still see: the worker raises it here
 * before it raises the one in shared memory, and lowers it here after.
 */
extern void ha_control_set_deadline(HaControl *control, int64_t deadline);
extern int64_t ha_control_get_deadline(const HaControl *control);

/*
 * The postmaster notes each time that it sets its processes up: at its start, and
 * after the crash of any of them.  How often that one has; 0 = not known.
 */
extern void ha_control_note_start(HaControl *control, int postmaster_pid);
extern uint32_t ha_control_starts(const HaControl *control, int postmaster_pid);

/* CLOCK_BOOTTIME in milliseconds: the only clock that decides anything. */
extern int64_t ha_now(void);

/*
 * The start time of a process in clock ticks since boot (field 22 of
 * /proc/PID/stat), which with the pid names a process for ever; 0 = no such
 * process.  A zombie has none either.
 */
extern uint64_t ha_process_start_time(int pid);
extern bool ha_process_is_alive(int pid, uint64_t start_time);

#endif							/* HA_CONTROL_H */
