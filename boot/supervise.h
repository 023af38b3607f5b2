/*-------------------------------------------------------------------------
 *
 * supervise.h
 *	  The life of one node: what pg_ha_boot is doing now, and its loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SUPERVISE_H
#define HA_SUPERVISE_H

#include <sys/types.h>

#include "../cluster.h"
#include "../control.h"
#include "bootstrap.h"
#include "datadir.h"
#include "member.h"
#include "node_file.h"
#include "postmaster.h"
#include "request.h"
#include "rest.h"
#include "commands.h"

/* Crashes as primary that are remembered; start.c gives up at three. */
#define HA_CRASHES_KEPT			4

typedef enum HaBootState
{
	/*
	 * rejoin.c, race.c, recreate.c: no process of the server can acknowledge
	 * anything
	 */
	BOOT_LOOK,					/* a read says what is to be done */
	BOOT_RACE,					/* asked for the initialize key, leased */
	BOOT_INITDB,				/* it is ours, the first data is being made */
	BOOT_PUBLISH,				/* it is made, its identity is being put */
	BOOT_ADOPT,					/* data but no initialize key: being put */
	BOOT_CLONE,					/* the methods of clone.c are being tried */
	BOOT_FOUND,					/* found.c: all of a first reign is being put */
	BOOT_REWIND,				/* pg_rewind runs; until it is done the data
								 * directory is unusable */
	BOOT_REPUT,					/* the leader key is being put anew, to start
								 * as primary under it */
	BOOT_RELEASE,				/* the leader key is being given up */

	/* supervise.c: the server's life and end, and ours */
	BOOT_SERVING,				/* the postmaster lives, the worker rules */
	BOOT_STOPPING,				/* it lives and was told to stop */
	BOOT_CLEARING,				/* it is dead, processes of it may not be */
	BOOT_LEAVING,				/* nothing runs, our lease is being ended */
	BOOT_DONE,
} HaBootState;

typedef struct HaBoot
{
	HaNode		node;
	char		identity[HA_IDENTITY_SIZE];
	HaControl  *control;
	HaSession  *session;
	HaRest	   *rest;			/* NULL = no listener */
	int			signal_fd;
	uint64_t	own_start;		/* ha_process_start_time of pg_ha_boot */

	HaBootState state;
	int64_t		entered_at;
	int64_t		now;			/* of this round of the loop */
	bool		sent;			/* PUBLISH, FOUND: its request is out or
								 * answered */
	int64_t		retry_at;		/* this state does nothing before */
	char		waiting[256];	/* what was last said to be waited for */
	HaMemberState member_state; /* shown to others */
	bool		empty;			/* there is no data, as far as we know */
	int			exit_code;

	/* what we were told */
	bool		stop_requested;
	bool		detach_requested;
	bool		reload_requested;

	/* the server */
	HaPostmaster server;
	HaPrepared	prepared;		/* what it was started with last */
	int64_t		started_at;
	int64_t		too_old_since;	/* a Patroni that is too old is there (S-11);
								 * 0 = none is */
	bool		up;				/* its worker has reported a role */
	bool		signal_missing; /* standby.signal is not there: a primary runs */
	int			stop_stage;		/* signals sent so far */
	int64_t		stop_next_at;	/* when the next, harder one is due */
	int64_t		lease_keep_at;	/* when the lease is renewed next meanwhile */
	HaWant		purpose;		/* what the worker wanted this stop for */
	bool		crashed;		/* it ended without being asked */
	bool		stopped_by_hand;	/* ... by somebody who stopped it cleanly */
	int64_t		died_at;
	bool		nobody_left;	/* pg_control: shut down, so no process is
								 * left */
	bool		deadline_is_lost;	/* with the control block */
	int			start_failures; /* in a row */
	bool		rolled_back;	/* ... after which former settings were put
								 * back, since the last request to restart */
	int64_t		not_before;		/* back-off of the next start or clone */
	uint32_t	starts_seen;	/* of its processes, by this postmaster */
	int64_t		crashes[HA_CRASHES_KEPT];	/* as primary; 0 = none */
	bool		crash_counted;

	/* a start as primary: we keep the leader key until the worker takes it */
	bool		keeping;
	int64_t		keep_at;
	int64_t		keep_since;
	bool		reput_is_open;	/* a re-put has no known outcome */
	bool		release_is_open;	/* a release has no known outcome */
	uint64_t	optime;			/* for its heartbeats */

	/* a child that works on the data directory */
	pid_t		job;			/* 0 = none */
	bool		job_ended;
	int			job_status;
	int			job_stage;		/* signals sent so far */
	int64_t		job_next_at;
	char		job_source[HA_NAME_SIZE];
	int			job_report;		/* where a bootstrap tells why it failed; -1 =
								 * nowhere */

	/* a new cluster, or one that the store has forgotten */
	const HaBootstrap *bootstrap;	/* how its first data is made */
	bool		init_only;		/* ... and then we end */
	bool		bootstrap_failed;
	bool		saw_cluster;	/* it was there, in this life: no race any
								 * more */
	char		cluster_uuid[HA_UUID_SIZE]; /* which this node joined; '' =
											 * none */
	char		joined_scope[HA_NAME_SIZE]; /* ... and its name then */
	char		new_uuid[HA_UUID_SIZE]; /* of one that has none yet */
	bool		founder;		/* this node made its data and has not started
								 * it yet */
	bool		belongs;		/* our data may be shown in this cluster */
	bool		told_another;	/* ... or it may not, which was said */
	int64_t		tend_at;		/* when to ask the store for that again */
	int64_t		forgotten_since;	/* the store knows of no cluster */
	int64_t		config_kept;	/* revision of the configuration on disk */
	const char *nag;			/* what was last said again and again */
	int64_t		nag_at;			/* ... and when it is due again */

	/* rejoining */
	bool		name_is_ours;	/* once our member key stood there */
	int64_t		init_revision;	/* of the initialize key that we created */
	bool		rewind_wanted;
	int			unclean_rounds; /* starts as standby to make it rewindable */
	int			rewind_failures;
	int			clone_failures; /* in a row */
	uint32_t	wrote_timeline; /* where a primary wrote this data since it
								 * was made equal to a leader's; 0 = none */
	uint64_t	discarded_bytes;
	uint32_t	discarded_timeline;
	char		rejoin_why[HA_WHY_SIZE];	/* why it must be rewound or
											 * cloned */
	uint32_t	stale_methods;	/* bits of clone methods whose clones could
								 * not follow */
	bool		clone_streamed; /* the last clone was of use */
	bool		clone_has_all;	/* the clone under way, or just made, has all
								 * that this member ever confirmed */
	bool		source_leads;	/* it is, or was, a copy of the leader */
	int64_t		cloned_at;		/* when it was complete; 0 = not yet */
	int64_t		counted_since;	/* /sync lists us, who have no data; 0 = no */
	char		clone_method[HA_NAME_SIZE]; /* of the last clone; '' = none */
	int			clone_percent;

	/* is the WAL that comes next gone?  (stranded.c) */
	bool		stranded;		/* yes, so it has to be cloned again */
	uint64_t	awaited_lsn;
	int64_t		awaited_since;
	pid_t		asker;			/* child that asks the leader; 0 = none */
	int64_t		ask_at;			/* not again before */

	/* has our WAL diverged from a standby cluster's source?  (remote.c) */
	bool		remote_diverged;	/* yes, so it has to be rewound */
	pid_t		remote_asker;	/* child that asks the source; 0 = none */
	int64_t		remote_silent_since;	/* nothing has come from there */
	int64_t		remote_ask_at;	/* not again before */
	uint32_t	remote_asked_timeline;	/* about this one of ours */
	uint64_t	asked_about;	/* what the last question was about */
	char		asked_whom[HA_NAME_SIZE];
	bool		wal_is_gone;	/* says the leader */

	/* what callbacks have been told, and what waits for before_stop */
	bool		told_up;		/* of this server's life */
	bool		told_restart;	/* it ended to be restarted */
	HaRole		told_role;		/* HA_ROLE_UNINITIALIZED = of none */
	bool		wake_worker;	/* there is an answer for it */
	bool		stop_is_due;	/* before_stop was begun for one, which has
								 * not begun yet */

	bool		pruned;			/* moved-aside copies, since this server began
								 * to stream */

	HaDuty		duty;			/* what operators have asked for */
} HaBoot;

/*
 * Run a node until it is told to stop, or "init_only" until there is a cluster; the
 * exit code.
 */
extern int	ha_supervise(const HaNode *node, HaControl *control,
						 bool control_was_lost, const char *identity,
						 const HaBootstrap *bootstrap, bool init_only);

/* For rejoin.c, race.c, recreate.c and uuid.c. */
extern void ha_boot_enter(HaBoot *b, HaBootState state);
extern void ha_boot_wait_for(HaBoot *b, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));

/* Is it time to say this, at first or again?  "what" is a literal. */
extern bool ha_boot_may_nag(HaBoot *b, const char *what);

/* It is not so any more: if it comes back, say it at once. */
extern void ha_boot_stop_nagging(HaBoot *b, const char *what);
extern void ha_boot_quit(HaBoot *b, int exit_code);
extern void ha_boot_start_server(HaBoot *b, bool as_primary, bool again,
								 const char *why);

/*
 * The worker is dead, and the server ends as planned: renew the lease of a leader
 * key that is to stay ours.  Safe (S-7): it keeps others from leading and lets nobody
 * acknowledge anything.  *keep_at is when the next renewal is due.
 */
extern void ha_boot_keep_lease(HaBoot *b, int64_t *keep_at);

/* The worker's section, if it was written by the server that runs now. */
extern bool ha_boot_worker(const HaBoot *b, HaControlWorker *w);

/* A primary crashed at that time; how often has one lately, by now? */
extern void ha_boot_note_crash(HaBoot *b, int64_t when);
extern int	ha_boot_recent_crashes(const HaBoot *b);

/*
 * Has the child ended, with everything it started?  *ok says how.  It is made
 * to end when pg_ha_boot is told to stop meanwhile, or if "give_up".
 */
extern bool ha_boot_job_is_over(HaBoot *b, bool give_up, bool *ok);

#endif							/* HA_SUPERVISE_H */
