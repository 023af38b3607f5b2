/*-------------------------------------------------------------------------
 *
 * worker_act.c
 *	  What the worker does to this server, as the plan says.
 *
 * What is written into the store is none of it: that is lease_txn.c's.  Nothing here
 * waits for another process: what takes time is begun, and the next turns see how far
 * it has come.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_parts.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"

#include "config.h"
#include "fence.h"
#include "handover.h"
#include "quorum.h"
#include "server.h"
#include "slots.h"
#include "standby_cluster.h"

/* So much later than pg_ha_boot would end pre_promote, it is not waited for. */
#define PRE_PROMOTE_SLACK	3000

/*-------------------------------------------------------------------------
 * Whom this server follows
 *-------------------------------------------------------------------------
 */

static void
write_managed(HaWorker *w, int64 now)
{
	int			epoch = 0;

	if (now >= w->managed_retry_at)
		epoch = ha_settings_write(&w->managed);
	if (epoch == 0)
	{
		w->managed = w->written;
		w->managed_retry_at = Max(w->managed_retry_at, now + 1000);
		return;
	}
	w->written = w->managed;
	w->managed_epoch = epoch;
	w->managed_at = now;
	w->managed_retry_at = 0;
	w->local.names_in_force = false;
}

/*
 * The view must be fresh, and the store what leadership rests on, for a slot to be
 * dropped: not while a leader goes on by the promises of others.
 */
static void
manage_slots(HaWorker *w, bool leads, int64 now)
{
	const HaView *view = &w->lease.view;
	bool		fresh = view->valid && view->leader.present &&
	now - view->sent_at <= 2 * view->config.loop_wait &&
	!w->local.failsafe_active && now >= w->promise.until;

	ha_slots_manage(view, &w->local, leads, fresh, now);
}

/* Is there a logical slot that the server would copy, by itself, from its leader? */
static bool
wants_failover_slots(const HaWorker *w)
{
	const HaConfig *config = &w->lease.view.config;

	/* of a standby cluster they are the source's business */
	if (ha_is_standby_cluster(config, &w->lease.view))
		return false;
	for (int i = 0; i < config->npermanent; i++)
	{
		if (config->permanent[i].kind == HA_SLOT_LOGICAL)
			return true;
	}
	return false;
}

/* NULL: nobody, since this member does not stream. */
static void
set_source(const HaWorker *w, HaManaged *settings, const HaMember *source)
{
	strlcpy(settings->follows, source != NULL ? source->name : "",
			sizeof(settings->follows));
	strlcpy(settings->host, source != NULL ? source->host : "",
			sizeof(settings->host));
	settings->port = source != NULL ? source->port : 0;

	/* the server copies slots of a primary only */
	settings->failover_slots = source != NULL && !w->plan.cascade &&
		wants_failover_slots(w);
}

static void
warn_of_no_archive(const HaWorker *w)
{
	bool		has_archive;

	(void) ha_server_awaited_lsn(&has_archive);
	if (w->local.nostream && !has_archive)
		ereport(WARNING,
				(errmsg("this member is tagged nostream, and \"restore_command\" is not set"),
				 errhint("Set restore_command, or remove the tag: no WAL comes to this server.")));
}

static void
act_follow(HaWorker *w, int64 now)
{
	const HaMember *source = ha_find_member(&w->lease.view, w->plan.follow);
	HaManaged	wanted = w->managed;

	if (source == NULL && w->plan.follow[0] != '\0')
		return;
	set_source(w, &wanted, source);
	if (w->managed_epoch == 0 ||
		strcmp(w->managed.follows, wanted.follows) != 0 ||
		strcmp(w->managed.host, wanted.host) != 0 ||
		w->managed.port != wanted.port ||
		w->managed.failover_slots != wanted.failover_slots)
	{
		w->managed = wanted;
		write_managed(w, now);
		ha_server_wake_startup();
		warn_of_no_archive(w);
	}
	manage_slots(w, false, now);
}

/*
 * The one who holds the key keeps the others' slots, as a primary would; who only
 * comes to consistency leads nobody.
 */
static void
act_follow_source(HaWorker *w, int64 now)
{
	const HaStandbyCluster *source = &w->lease.view.config.standby_cluster;

	if (source->active &&
		(w->managed_epoch == 0 ||
		 strcmp(w->managed.follows, HA_REMOTE_SOURCE) != 0 ||
		 memcmp(&w->managed.source, source, sizeof(*source)) != 0))
	{
		w->managed.failover_slots = false;
		strlcpy(w->managed.follows, HA_REMOTE_SOURCE,
				sizeof(w->managed.follows));
		w->managed.source = *source;
		write_managed(w, now);
		ha_server_wake_startup();
	}
	if (w->local.role == HA_ROLE_STANDBY)
		manage_slots(w, w->local.holding, now);
}

/*-------------------------------------------------------------------------
 * Another leader: detached, promoted
 *-------------------------------------------------------------------------
 */

/*
 * A startup process that is stuck behind a query on this standby never reads the
 * new settings; an election must not wait for that query.
 */
static void
cancel_conflicts(void)
{
	for (int i = 0; i < ha_shared->nprocs; i++)
	{
		HaProcEpoch *entry = &ha_shared->procs[i];

		if (entry->backend_type == B_BACKEND &&
			BackendPidGetProc(entry->pid) != NULL)
			(void) kill(entry->pid, SIGTERM);
	}
}

static bool
replay_is_stuck(const HaWorker *w, int64 now)
{
	if (!ha_settings_applied_by_type(B_STARTUP, w->managed_epoch))
		return true;
	if (!w->local.replaying || now - w->local.replay_moved_at <= 1000)
		return false;
	for (int i = 0; i < ha_shared->nprocs; i++)
	{
		if (ha_shared->procs[i].backend_type == B_STARTUP &&
			ha_server_waits_for_session(ha_shared->procs[i].pid))
			return true;
	}
	return false;
}

static void
act_detach(HaWorker *w, int64 now)
{
	if (w->managed_epoch == 0 || w->managed.follows[0] != '\0')
	{
		w->managed.follows[0] = '\0';
		write_managed(w, now);
	}
	else if (now - w->managed_at > 1000 && replay_is_stuck(w, now))
	{
		ereport(LOG,
				(errmsg("terminating sessions that keep the startup process from leaving the former leader")));
		cancel_conflicts();
		w->managed_at = now;
	}
	ha_server_wake_startup();
}

/*
 * pre_promote is run by pg_ha_boot, which is asked for it under a new number and
 * answers with that.  Both bound it: should pg_ha_boot be gone for longer or stand
 * still, the promotion fails as if the program had said no.  One that is away for a
 * moment is asked when it is back.  No acknowledgement rests on any of this: the gate
 * is closed until the reign is confirmed.
 */
static bool
pre_promote_allows(HaWorker *w, int64 now)
{
	static int64 give_up = 0;
	static uint32 last_promote_seq = 0;

	(void) ha_control_get_boot(w->control, &w->boot);
	if (w->report.promote_seq == 0)
	{
		if (w->pre_promote_limit <= 0)
			return true;
		last_promote_seq = Max(last_promote_seq, w->boot.promote_answered) + 1;
		w->report.promote_seq = last_promote_seq;
		give_up = now + w->pre_promote_limit + PRE_PROMOTE_SLACK;
		ereport(LOG,
				(errmsg("waiting for pre_promote before the promotion")));
		return false;
	}
	if (w->boot.promote_answered == w->report.promote_seq &&
		w->boot.promote_allowed)
		return true;
	if (w->boot.promote_answered == w->report.promote_seq || now > give_up)
	{
		ereport(LOG,
				(errmsg("this server is not promoted: %s",
						w->boot.promote_answered == w->report.promote_seq ?
						"pre_promote failed" : "pg_ha_boot does not answer"),
				 errhint("The leader key is given back, so that another member can lead.")));
		ha_lease_stay_out(&w->lease, now + w->lease.view.config.ttl);
		w->look_again = true;
	}
	return false;
}

static void
act_promote(HaWorker *w, int64 now)
{
	static int64 conflicts_at = 0;

	if (!w->local.promoting && !pre_promote_allows(w, now))
		return;
	if (!w->local.promoting)
	{
		if (!ha_server_promote(w->local.timeline, w->plan.reserve))
		{
			ha_lease_stay_out(&w->lease, now + w->lease.view.config.ttl);
			return;
		}
		w->local.promoting = true;
		w->local.promoting_since = conflicts_at = now;
	}
	if (now - Max(w->local.promoting_since, conflicts_at) > 1000)
	{
		ereport(LOG,
				(errmsg("terminating sessions that keep the promotion from finishing")));
		cancel_conflicts();
		conflicts_at = now;
	}
	ha_server_wake_startup();
}

/*-------------------------------------------------------------------------
 * Names of standbys; what pg_ha_boot is asked for
 *-------------------------------------------------------------------------
 */

static void
act_set_names(HaWorker *w, int64 now)
{
	if (w->managed_epoch != 0 && w->managed.nnames == w->plan.nnames &&
		w->managed.confirm == w->plan.confirm &&
		w->managed.any == w->plan.any &&
		memcmp(w->managed.names, w->plan.names, sizeof(w->managed.names)) == 0)
		return;
	w->managed.nnames = w->plan.nnames;
	w->managed.confirm = w->plan.confirm;
	w->managed.any = w->plan.any;
	memcpy(w->managed.names, w->plan.names, sizeof(w->managed.names));
	write_managed(w, now);
}

/*
 * Commits must be confirmed while names are in force, whatever /sync was when it
 * was last read: our write that lets a standby take over may have landed.
 */
static void
act_sync_required(const HaWorker *w)
{
	const HaView *view = &w->lease.view;
	bool		listed = view->valid && view->sync.present &&
	view->sync.nstandbys > 0 &&
	strcmp(view->sync.leader, w->local.name) == 0;
	bool		strict = view->config.synchronous_mode != HA_SYNC_OFF &&
	view->config.synchronous_mode_strict;
	bool		required = w->local.role == HA_ROLE_PRIMARY &&
	(listed || strict || (w->managed.nnames > 0 && w->local.names_in_force));

	pg_atomic_write_u32(&ha_shared->sync_required, required ? 1 : 0);
}

static HaWant
want_of(HaVerb verb)
{
	switch (verb)
	{
		case HA_DEMOTE:
		case HA_GIVE_UP:
			return HA_WANT_DEMOTE;
		case HA_SWITCHOVER:
			return HA_WANT_SWITCHOVER;
		case HA_YIELD:
			return HA_WANT_YIELD;
		case HA_REWIND:
			return HA_WANT_REWIND;
		case HA_STOP:
			return HA_WANT_STOP;
		default:
			return HA_WANT_NOTHING;
	}
}

/* How much of our WAL is no part of the cluster's history. */
static void
measure_divergence(HaWorker *w)
{
	const HaTerm *term = &w->lease.view.term;

	w->report.discarded_timeline = w->local.timeline;
	w->report.discarded_bytes = 1;
	for (int i = 0; i < term->nlineage; i++)
	{
		if (term->lineage[i].timeline == w->local.timeline &&
			w->local.flush_lsn > term->lineage[i].end_lsn)
			w->report.discarded_bytes = w->local.flush_lsn -
				term->lineage[i].end_lsn;
	}
}

static void
act_want(HaWorker *w)
{
	HaWant		want = want_of(w->plan.verb);

	if (want == w->report.want)
		return;
	w->report.want = want;
	w->report.want_seq++;
	strlcpy(w->report.why, w->plan.why, sizeof(w->report.why));
	strlcpy(w->report.target, want == HA_WANT_SWITCHOVER ? w->plan.follow : "",
			sizeof(w->report.target));
	if (want == HA_WANT_REWIND)
		measure_divergence(w);
	if (want != HA_WANT_NOTHING && !w->local.has_boot)
		ereport(LOG,
				(errmsg("no pg_ha_boot runs here to restart this server: %s",
						w->plan.why),
				 errhint("The server stays fenced. Start it under pg_ha_boot to let it rejoin.")));
}

void
ha_worker_act(HaWorker *w, int64 now)
{
	w->look_again = ha_handover_act(&w->plan, &w->lease.view, &w->local, now);
	if (w->plan.verb != HA_PROMOTE)
		w->report.promote_seq = 0;
	switch (w->plan.verb)
	{
		case HA_FOLLOW:
			act_follow(w, now);
			break;
		case HA_FOLLOW_SOURCE:
			act_follow_source(w, now);
			break;
		case HA_DETACH:
		case HA_REWIND:
			act_detach(w, now);
			break;
		case HA_PROMOTE:
			act_promote(w, now);
			break;
		case HA_SET_NAMES:
			act_set_names(w, now);
			break;
		case HA_RELEASE:
			if (w->local.promoting)
			{
				/* the next attempt gets a time of its own */
				ha_lease_stay_out(&w->lease, now + w->lease.view.config.ttl);
				w->local.promoting_since = now + w->lease.view.config.ttl;
			}
			break;
		case HA_RENEW:
			/* the one thing of a leader that waits for its disk */
			manage_slots(w, true, now);
			if (w->promoted_here && w->local.deadline > now)
			{
				w->promoted_here = false;
				ha_server_request_checkpoint();
			}
			break;
		default:
			break;
	}
	act_sync_required(w);
	if (w->local.sick_since == 0)
	{
		if (w->local.has_boot)
			ha_server_end_for_limits(now);
		ha_config_apply(now);
	}
	if (w->local.role == HA_ROLE_PRIMARY && w->local.recovered_lsn != 0 &&
		ha_quorum_shows(&w->lease.view.config, &w->lease.view, &w->local))
		ha_fence_show();
	act_want(w);
}
