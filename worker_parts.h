/*-------------------------------------------------------------------------
 *
 * worker_parts.h
 *	  What the files of the worker have in common.
 *
 * There is one HaWorker, in worker.c, which gives it to all others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_WORKER_PARTS_H
#define HA_WORKER_PARTS_H

#include "postgres.h"

#include "compat.h"
#include "control.h"
#include "dcs.h"
#include "lease.h"
#include "peer.h"
#include "pg_ha.h"
#include "settings.h"
#include "survey.h"

typedef struct HaWorker
{
	HaControl  *control;
	HaDcs	   *dcs;
	HaPeers    *peers;
	HaLease		lease;
	HaSurvey	survey;
	HaLocal		local;
	HaPlan		plan;

	/*
	 * The managed settings as they are wanted, as they were last written, and
	 * when that was.  They differ only while a write is being tried: nothing
	 * may be concluded from settings that no process can have read.
	 */
	HaManaged	managed;
	HaManaged	written;
	int			managed_epoch;	/* 0 = nothing written by this process */
	int64		managed_at;
	int64		managed_retry_at;

	/* What pg_ha_boot is asked for, and what it said last. */
	HaControlWorker report;
	HaControlBoot boot;
	int64		pre_promote_limit;	/* how long that may take, as the last
									 * pg_ha_boot said; 0 = there is none */

	/* What this member has promised to a leader without the store (S-9). */
	HaControlPromise promise;

	bool		promoted_here;	/* a checkpoint is due once we lead */
	uint64		primary_from;	/* how far the WAL went when this was first
								 * seen to be a primary; 0 = not yet */
	bool		look_again;		/* what was done just now is news to the rules */

	/* For people */
	TimestampTz paused_since;	/* 0 = there is no pause */
	int64		last_renewal;	/* ms between asking and the answer; -1 = none
								 * yet */
	int64		worst_renewal;
	uint64		renewals;
} HaWorker;

/* worker_act.c */
extern void ha_worker_act(HaWorker *w, int64 now);

/* worker_report.c: the first five are what safety rests on. */
extern void ha_worker_publish_deadline(const HaWorker *w, int64 deadline);
extern void ha_worker_publish_lease(const HaWorker *w, uint64 safe_lsn);
extern void ha_worker_gather_promise(HaWorker *w);
extern void ha_worker_publish_promise(HaWorker *w);
extern void ha_worker_take_question(HaWorker *w);
extern void ha_worker_publish(HaWorker *w, int64 now);

/* worker_log.c: what is new; "old" is the plan of the last turn. */
extern void ha_worker_log(HaWorker *w, const HaPlan *old, int64 now);

/* worker_end.c: the postmaster is dead, or the server stops. */
pg_noreturn extern void ha_worker_mourn(HaWorker *w);
pg_noreturn extern void ha_worker_stop(HaWorker *w);

#endif							/* HA_WORKER_PARTS_H */
