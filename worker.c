/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The loop: gather, decide, act, publish, wait.
 *
 * One background worker without a database connection, started together with the
 * postmaster.  It never waits for the network: requests are queued and answers
 * taken when they come, so the loop turns at least twice a second whatever the
 * store does.  All judgement is in decide.c and lease.c; here plans become deeds.
 *
 * The worker may die or freeze at any instruction.  What backends rely on is one
 * number in shared memory, which then simply isn't raised any more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "ask.h"
#include "cascade.h"
#include "compat.h"
#include "config.h"
#include "control.h"
#include "dcs.h"
#include "decide.h"
#include "election.h"
#include "documents.h"
#include "failsafe.h"
#include "fence.h"
#include "handover.h"
#include "hba_server.h"
#include "health.h"
#include "lease.h"
#include "mixed.h"
#include "peer.h"
#include "pg_ha.h"
#include "problem_json.h"
#include "quorum.h"
#include "record.h"
#include "server.h"
#include "settings.h"
#include "slots.h"
#include "standby_cluster.h"
#include "survey.h"
#include "switchover.h"
#include "tags_json.h"
#include "versions.h"
#include "wall_time.h"
#include "wal.h"

/* Longest pause between two turns: what others read must be fresh. */
#define TURN_INTERVAL		500

/* How often a pause is complained of. */
#define PAUSE_NAG_INTERVAL	(10 * 60 * 1000)
#define PROMOTION_INTERVAL	5
#define DETACH_INTERVAL		10
#define PREPARE_INTERVAL	10
#define HOLD_INTERVAL		1

/* So much later than pg_ha_boot would end pre_promote, it is not waited for. */
#define PRE_PROMOTE_SLACK	3000

/* Tags of an operator's requests, out of the range of lease.c's. */
#define ASK_TAG_BIT			0x80000000U

static HaControl *control;
static HaDcs *dcs;
static HaPeers *peers;
static HaLease lease;
static HaSurvey survey;
static HaLocal local;
static HaPlan plan;
static MemoryContext turn_context;

/*
 * The managed settings as they are wanted, as they were last written, and when
 * that was.  They differ only while a write is being tried: nothing may be
 * concluded from settings that no process can have read.
 */
static HaManaged managed;
static HaManaged written;
static int	managed_epoch = 0;	/* 0 = nothing written by this process */
static int64 managed_at;
static int64 managed_retry_at;

/* What pg_ha_boot is asked for. */
static HaControlWorker report;
static HaControlBoot boot;
static int64 boot_looked_at;

static uint32 last_promote_seq;

/* How long pre_promote may take, as the last pg_ha_boot said; 0 = there is none. */
static int64 pre_promote_limit;

/* What this member has promised to a leader without the store (S-9). */
static HaControlPromise promise;

static bool promoted_here;		/* a checkpoint is due once we lead */
static uint64 primary_from;		/* how far the WAL went when this was first
								 * seen to be a primary; 0 = not yet */
static bool log_lead;			/* the last plan led */
static TimestampTz paused_since;	/* 0 = there is no pause */
static int64 last_renewal = -1; /* ms between asking and the answer */
static int64 worst_renewal = -1;
static uint64 renewals = 0;
static bool look_again;			/* what was done just now is news to the rules */

/*-------------------------------------------------------------------------
 * Gather
 *-------------------------------------------------------------------------
 */

/* They change only when the configuration is read. */
static void
take_tags(void)
{
	HaMember	self;

	(void) ha_tags_parse(ha_tags, &self, NULL, NULL);
	local.nofailover = self.nofailover;
	local.failover_priority = self.failover_priority;
	local.nostream = self.nostream;
	strlcpy(local.replicatefrom, self.replicatefrom,
			sizeof(local.replicatefrom));
}

/* Whom this server follows, and whether anything comes from there. */
static void
gather_source(int64 now)
{
	static HaCascadeWatch watch;

	strlcpy(local.follows, managed.follows, sizeof(local.follows));
	if (ha_cascade_watch(&watch, &lease.view, &local, ha_server_receives(),
						 now))
		ereport(LOG,
				(errmsg("no WAL comes from member \"%s\": following the leader itself for " INT64_FORMAT " s",
						local.avoids, watch.avoid_for / 1000)));
}

/* A live pg_ha_boot that minds this server?  Looked up twice a second. */
static void
gather_boot(int64 now)
{
	if (boot_looked_at != 0 && now - boot_looked_at < TURN_INTERVAL)
		return;
	boot_looked_at = now;
	local.has_boot = ha_control_get_boot(control, &boot) &&
		boot.supervising && ha_process_is_alive(boot.pid, boot.pid_start);
	if (local.has_boot)
		pre_promote_limit = boot.pre_promote_limit;
	strlcpy(local.cluster_uuid, boot.cluster_uuid, sizeof(local.cluster_uuid));
	strlcpy(local.boot_version, boot.version, sizeof(local.boot_version));
}

/* S-2: is the position of this standby final? */
static void
gather_detached(void)
{
	local.detached = managed_epoch != 0 && managed.follows[0] == '\0' &&
		ha_settings_applied_by_type(B_STARTUP, managed_epoch) &&
		ha_server_receiver_is_gone();
}

static void
gather_promise(void)
{
	strlcpy(local.promised_to, promise.leader, sizeof(local.promised_to));
	local.promised_until = promise.until;
	local.promised_term = promise.leader_term;
	local.promised_lsn = promise.leader_lsn;
}

/* S-4: are the names in force in every process that acts on them? */
static void
gather_names(void)
{
	bool		applied = managed_epoch != 0 &&
	ha_settings_told(managed_epoch) &&
	ha_settings_in_effect(&managed) &&
	ha_settings_applied_by_type(B_CHECKPOINTER, managed_epoch) &&
	ha_slots_walsenders_applied(managed_epoch, &managed);

	if (applied && !local.names_in_force)
		local.names_lsn = GetFlushRecPtr(NULL);
	local.names_in_force = applied;
	local.names_written = managed_epoch != 0;
	local.nsync_names = managed.nnames;
	local.sync_confirm = managed.confirm;
	memcpy(local.sync_names, managed.names, sizeof(local.sync_names));
}

/*
 * S-17: what crash recovery of a primary made visible.  A standby shows what it
 * likes: whoever is promoted lists nobody in /sync who has not all of it.
 */
static void
gather_recovered(void)
{
	static uint64 recovered = 0;

	if (local.role == HA_ROLE_STANDBY)
		ha_fence_show();
	if (local.role != HA_ROLE_PRIMARY || ha_fence_shows())
	{
		local.recovered_lsn = 0;
		return;
	}
	if (recovered == 0)
		recovered = local.flush_lsn;
	local.recovered_lsn = recovered;
}

/* Replay that goes on is no reason to give up, only replay that stands still. */
static void
gather_progress(int64 now)
{
	static uint64 replayed = 0;

	if (local.replay_lsn == replayed && local.replay_moved_at != 0)
		return;
	replayed = local.replay_lsn;
	local.replay_moved_at = now;
	if (local.promoting)
		local.promoting_since = now;
}

static void
gather_health(int64 now)
{
	local.health_grace = ha_health_grace >= 0 ? ha_health_grace :
		lease.view.config.retry_timeout;
	ha_health_look(&local, now);
}

static void
gather(int64 now)
{
	static int64 last_turn = 0;
	HaRole		role = local.role;

	local.time_jumped = last_turn != 0 &&
		now - last_turn > Max(lease.view.config.ttl, 2000);
	last_turn = now;

	local.wall_clock = ha_wall_clock();
	gather_boot(now);
	gather_source(now);

	/*
	 * The order matters: a position is final only if read after it was, and a
	 * standby can't have more than we do if it is asked first.
	 */
	if (RecoveryInProgress())
		gather_detached();
	else
		local.nstandbys = ha_slots_standbys(&lease.view, local.standbys,
											local.frozen_since == 0);
	ha_server_facts(&local);
	gather_progress(now);
	ha_wal_look(&local, now);
	gather_recovered();
	gather_health(now);
	if (local.role == HA_ROLE_PRIMARY)
	{
		if (role != HA_ROLE_PRIMARY && local.promoting)
			promoted_here = true;
		if (primary_from == 0)
			primary_from = local.flush_lsn;
		local.promoting = false;
		local.detached = false;
		if (local.frozen_since == 0)
			gather_names();
	}
	ha_lease_local(&lease, &local, now);
	ha_handover_gather(&lease.view, &local, now);
	gather_promise();
}

/*-------------------------------------------------------------------------
 * Act
 *-------------------------------------------------------------------------
 */

static void
write_managed(int64 now)
{
	int			epoch = 0;

	if (now >= managed_retry_at)
		epoch = ha_settings_write(&managed);
	if (epoch == 0)
	{
		managed = written;
		managed_retry_at = Max(managed_retry_at, now + 1000);
		return;
	}
	written = managed;
	managed_epoch = epoch;
	managed_at = now;
	managed_retry_at = 0;
	local.names_in_force = false;
}

/*
 * The view must be fresh, and the store what leadership rests on, for a slot to be
 * dropped: not while a leader goes on by the promises of others.
 */
static void
manage_slots(bool leads, int64 now)
{
	const HaView *view = &lease.view;
	bool		fresh = view->valid && view->leader.present &&
	now - view->sent_at <= 2 * view->config.loop_wait &&
	!local.failsafe_active && now >= promise.until;

	ha_slots_manage(view, &local, leads, fresh, now);
}

/* Is there a logical slot that the server would copy, by itself, from its leader? */
static bool
wants_failover_slots(void)
{
	const HaConfig *config = &lease.view.config;

	/* of a standby cluster they are the source's business */
	if (ha_is_standby_cluster(config, &lease.view))
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
set_source(HaManaged *settings, const HaMember *source)
{
	strlcpy(settings->follows, source != NULL ? source->name : "",
			sizeof(settings->follows));
	strlcpy(settings->host, source != NULL ? source->host : "",
			sizeof(settings->host));
	settings->port = source != NULL ? source->port : 0;

	/* the server copies slots of a primary only */
	settings->failover_slots = source != NULL && !plan.cascade &&
		wants_failover_slots();
}

static void
warn_of_no_archive(void)
{
	bool		has_archive;

	(void) ha_server_awaited_lsn(&has_archive);
	if (local.nostream && !has_archive)
		ereport(WARNING,
				(errmsg("this member is tagged nostream, and \"restore_command\" is not set"),
				 errhint("Set restore_command, or remove the tag: no WAL comes to this server.")));
}

static void
act_follow(int64 now)
{
	const HaMember *source = ha_find_member(&lease.view, plan.follow);
	HaManaged	wanted = managed;

	if (source == NULL && plan.follow[0] != '\0')
		return;
	set_source(&wanted, source);
	if (managed_epoch == 0 || strcmp(managed.follows, wanted.follows) != 0 ||
		strcmp(managed.host, wanted.host) != 0 ||
		managed.port != wanted.port ||
		managed.failover_slots != wanted.failover_slots)
	{
		managed = wanted;
		write_managed(now);
		ha_server_wake_startup();
		warn_of_no_archive();
	}
	manage_slots(false, now);
}

/*
 * The one who holds the key keeps the others' slots, as a primary would; who only
 * comes to consistency leads nobody.
 */
static void
act_follow_source(int64 now)
{
	const HaStandbyCluster *source = &lease.view.config.standby_cluster;

	if (source->active &&
		(managed_epoch == 0 ||
		 strcmp(managed.follows, HA_REMOTE_SOURCE) != 0 ||
		 memcmp(&managed.source, source, sizeof(*source)) != 0))
	{
		managed.failover_slots = false;
		strlcpy(managed.follows, HA_REMOTE_SOURCE, sizeof(managed.follows));
		managed.source = *source;
		write_managed(now);
		ha_server_wake_startup();
	}
	if (local.role == HA_ROLE_STANDBY)
		manage_slots(local.holding, now);
}

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
replay_is_stuck(int64 now)
{
	if (!ha_settings_applied_by_type(B_STARTUP, managed_epoch))
		return true;
	if (!local.replaying || now - local.replay_moved_at <= 1000)
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
act_detach(int64 now)
{
	if (managed_epoch == 0 || managed.follows[0] != '\0')
	{
		managed.follows[0] = '\0';
		write_managed(now);
	}
	else if (now - managed_at > 1000 && replay_is_stuck(now))
	{
		ereport(LOG,
				(errmsg("terminating sessions that keep the startup process from leaving the former leader")));
		cancel_conflicts();
		managed_at = now;
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
pre_promote_allows(int64 now)
{
	static int64 give_up = 0;

	(void) ha_control_get_boot(control, &boot);
	if (report.promote_seq == 0)
	{
		if (pre_promote_limit <= 0)
			return true;
		last_promote_seq = Max(last_promote_seq, boot.promote_answered) + 1;
		report.promote_seq = last_promote_seq;
		give_up = now + pre_promote_limit + PRE_PROMOTE_SLACK;
		ereport(LOG,
				(errmsg("waiting for pre_promote before the promotion")));
		return false;
	}
	if (boot.promote_answered == report.promote_seq && boot.promote_allowed)
		return true;
	if (boot.promote_answered == report.promote_seq || now > give_up)
	{
		ereport(LOG,
				(errmsg("this server is not promoted: %s",
						boot.promote_answered == report.promote_seq ?
						"pre_promote failed" : "pg_ha_boot does not answer"),
				 errhint("The leader key is given back, so that another member can lead.")));
		ha_lease_stay_out(&lease, now + lease.view.config.ttl);
		look_again = true;
	}
	return false;
}

static void
act_promote(int64 now)
{
	static int64 conflicts_at = 0;

	if (!local.promoting && !pre_promote_allows(now))
		return;
	if (!local.promoting)
	{
		if (!ha_server_promote(local.timeline, plan.reserve))
		{
			ha_lease_stay_out(&lease, now + lease.view.config.ttl);
			return;
		}
		local.promoting = true;
		local.promoting_since = conflicts_at = now;
	}
	if (now - Max(local.promoting_since, conflicts_at) > 1000)
	{
		ereport(LOG,
				(errmsg("terminating sessions that keep the promotion from finishing")));
		cancel_conflicts();
		conflicts_at = now;
	}
	ha_server_wake_startup();
}

static void
act_set_names(int64 now)
{
	if (managed_epoch != 0 && managed.nnames == plan.nnames &&
		managed.confirm == plan.confirm && managed.any == plan.any &&
		memcmp(managed.names, plan.names, sizeof(managed.names)) == 0)
		return;
	managed.nnames = plan.nnames;
	managed.confirm = plan.confirm;
	managed.any = plan.any;
	memcpy(managed.names, plan.names, sizeof(managed.names));
	write_managed(now);
}

/*
 * Commits must be confirmed while names are in force, whatever /sync was when it
 * was last read: our write that lets a standby take over may have landed.
 */
static void
act_sync_required(void)
{
	const HaView *view = &lease.view;
	bool		listed = view->valid && view->sync.present &&
	view->sync.nstandbys > 0 &&
	strcmp(view->sync.leader, local.name) == 0;
	bool		strict = view->config.synchronous_mode != HA_SYNC_OFF &&
	view->config.synchronous_mode_strict;
	bool		required = local.role == HA_ROLE_PRIMARY &&
	(listed || strict || (managed.nnames > 0 && local.names_in_force));

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
measure_divergence(void)
{
	const HaTerm *term = &lease.view.term;

	report.discarded_timeline = local.timeline;
	report.discarded_bytes = 1;
	for (int i = 0; i < term->nlineage; i++)
	{
		if (term->lineage[i].timeline == local.timeline &&
			local.flush_lsn > term->lineage[i].end_lsn)
			report.discarded_bytes = local.flush_lsn -
				term->lineage[i].end_lsn;
	}
}

static void
act_want(void)
{
	HaWant		want = want_of(plan.verb);

	if (want == report.want)
		return;
	report.want = want;
	report.want_seq++;
	strlcpy(report.why, plan.why, sizeof(report.why));
	strlcpy(report.target, want == HA_WANT_SWITCHOVER ? plan.follow : "",
			sizeof(report.target));
	if (want == HA_WANT_REWIND)
		measure_divergence();
	if (want != HA_WANT_NOTHING && !local.has_boot)
		ereport(LOG,
				(errmsg("no pg_ha_boot runs here to restart this server: %s",
						plan.why),
				 errhint("The server stays fenced. Start it under pg_ha_boot to let it rejoin.")));
}

static void
act(int64 now)
{
	look_again = ha_handover_act(&plan, &lease.view, &local, now);
	if (plan.verb != HA_PROMOTE)
		report.promote_seq = 0;
	switch (plan.verb)
	{
		case HA_FOLLOW:
			act_follow(now);
			break;
		case HA_FOLLOW_SOURCE:
			act_follow_source(now);
			break;
		case HA_DETACH:
		case HA_REWIND:
			act_detach(now);
			break;
		case HA_PROMOTE:
			act_promote(now);
			break;
		case HA_SET_NAMES:
			act_set_names(now);
			break;
		case HA_RELEASE:
			if (local.promoting)
			{
				/* the next attempt gets a time of its own */
				ha_lease_stay_out(&lease, now + lease.view.config.ttl);
				local.promoting_since = now + lease.view.config.ttl;
			}
			break;
		case HA_RENEW:
			/* the one thing of a leader that waits for its disk */
			manage_slots(true, now);
			if (promoted_here && local.deadline > now)
			{
				promoted_here = false;
				ha_server_request_checkpoint();
			}
			break;
		default:
			break;
	}
	act_sync_required();
	if (local.sick_since == 0)
	{
		if (local.has_boot)
			ha_server_end_for_limits(now);
		ha_config_apply(now);
	}
	if (local.role == HA_ROLE_PRIMARY && local.recovered_lsn != 0 &&
		ha_quorum_shows(&lease.view.config, &lease.view, &local))
		ha_fence_show();
	act_want();
}

/*-------------------------------------------------------------------------
 * Publish
 *-------------------------------------------------------------------------
 */

/*
 * The control block never shows an earlier deadline than backends see: raised
 * there first, lowered there last (S-7).
 */
static void
publish_deadline(int64 deadline)
{
	int64		old = ha_fence_deadline();

	if (deadline == old)
		return;
	if (deadline > old)
		ha_control_set_deadline(control, deadline);
	ha_fence_set_deadline(deadline);
	if (deadline < old)
		ha_control_set_deadline(control, deadline);
}

/* The key as pg_ha_boot needs it, should this server die now. */
static void
publish_lease(uint64 safe_lsn)
{
	HaControlLease stored;
	const HaTerm *term = &lease.view.term;
	HaControlLease now;

	memset(&now, 0, sizeof(now));
	now.owner = HA_LEASE_WORKER;
	now.holding = lease.holding && !lease.reassert;
	now.confirmed = now.holding && term->present && !term->intent &&
		term->unchecked_from == 0 &&
		ha_term_is_of(term, lease.name) &&
		term->timeline == local.timeline;
	now.lease = lease.lease_id;
	now.ttl = lease.lease_ttl;
	now.key_revision = lease.key_revision;
	now.term = lease.term;
	now.timeline = local.timeline;
	now.safe_lsn = safe_lsn;

	/*
	 * What we don't hold may be pg_ha_boot's still.  What we hold is ours,
	 * even if pg_ha_boot, in the belief that we were dead, just took it.
	 */
	memset(&stored, 0, sizeof(stored));
	(void) ha_control_get_lease(control, &stored);
	if (!now.holding && (stored.owner == HA_LEASE_BOOT || !stored.holding))
		return;
	if (memcmp(&now, &stored, sizeof(now)) != 0)
		ha_control_set_lease(control, &now);
}

/*
 * What must outlive this worker for its promises to hold.  A vote or an
 * acquiring txn is noted here before it is sent.
 */
static void
publish_promise(void)
{
	HaControlPromise old = promise;

	if (lease.view.valid)
	{
		promise.mode_on = lease.view.config.failsafe_mode;
		promise.term = Max(promise.term, lease.view.term.term);
	}
	promise.bid = lease.bid;
	promise.bid_revision = lease.bid_revision;
	if (memcmp(&old, &promise, sizeof(old)) != 0)
		ha_control_set_promise(control, &promise);
}

/*
 * A leader without the store asks for a promise.  The clock is read after the
 * question, for between this turn's beginning and now this process may have
 * been frozen, and a promise must not begin before it was asked for.
 */
static void
take_question(void)
{
	HaControlQuestion question;

	publish_promise();
	if (!local.has_boot || !ha_control_get_question(control, &question) ||
		question.seq == promise.answered)
		return;
	ha_failsafe_answer(&lease.view, &local, &question, ha_now(), &promise);
	ha_control_set_promise(control, &promise);
	gather_promise();

	/*
	 * what has_boot rests on may be a second old, and the pid another's by
	 * now
	 */
	if (ha_process_is_alive(boot.pid, boot.pid_start))
		(void) kill(boot.pid, SIGUSR1);
}

static bool
is_sync_standby(void)
{
	for (int i = 0; i < lease.view.sync.nstandbys; i++)
	{
		if (strcmp(lease.view.sync.standbys[i], local.name) == 0)
			return true;
	}
	return false;
}

static void
report_hba(void)
{
	HaHbaReport hba;

	ha_hba_report(&hba);
	strlcpy(report.hba_source, hba.source, sizeof(report.hba_source));
	strlcpy(report.hba_sha256, hba.sha256, sizeof(report.hba_sha256));
}

/*
 * How far we say to be while nobody leads, for members of Patroni, who leave the key to
 * one that is further: it is what our vote would tell, and less than they have where
 * we leave it to them.  They count it for their quorum, so it must be from after the end
 * of a reign of ours: before, who is asked for that tells nothing.
 */
static void
report_standing(void)
{
	bool		leaderless = lease.view.valid && !lease.view.leader.present &&
	local.role == HA_ROLE_STANDBY;

	report.aside = plan.aside || ha_mixed_hides(&lease.view, local.name);
	report.counts_timeline = leaderless ? plan.timeline : 0;
	report.counts_lsn = leaderless ? plan.lsn : 0;
	if (leaderless && plan.leaves_to > 0 && plan.lsn >= plan.leaves_to)
		report.counts_lsn = Max(plan.leaves_to - 1, 1);
}

/* What nothing rests on: for dashboards. */
static void
report_figures(void)
{
	ha_server_replay_facts(&report.replay_paused, &report.replayed_at_us);
	report.renewal_ms = last_renewal;
	report.worst_renewal_ms = worst_renewal;
	report.renewals = renewals;
	report.fence_refused = pg_atomic_read_u64(&ha_shared->refused);
	report.fence_withheld = pg_atomic_read_u64(&ha_shared->withheld);
	report.nstandbys = local.role == HA_ROLE_PRIMARY ? local.nstandbys : 0;
	for (int i = 0; i < report.nstandbys; i++)
	{
		const HaStandby *standby = &local.standbys[i];
		HaControlStandby *told = &report.standbys[i];

		strlcpy(told->name, standby->name, sizeof(told->name));
		told->streaming = standby->streaming;
		told->sync = false;
		for (int j = 0; j < local.nsync_names; j++)
			told->sync |= strcmp(local.sync_names[j], standby->name) == 0;
	}
}

static void
publish_report(int64 now)
{
	const HaView *view = &lease.view;

	report.heartbeat_at = now;
	report.role = local.role;
	report.timeline = local.timeline;
	report.flush_lsn = local.flush_lsn;
	report.replay_lsn = local.replay_lsn;
	report.streaming = local.streaming;
	report.awaited_lsn = ha_server_awaited_lsn(&report.has_archive);
	if (local.nostream)
		report.awaited_lsn = 0; /* the leader's WAL is not what it waits for */
	report.sysid = local.sysid;
	report.dcs_seen_at = lease.seen_at;
	report.seen_cluster_id = ha_dcs_seen(dcs).cluster_id;
	report.seen_raft_term = ha_dcs_seen(dcs).raft_term;
	report.seen_revision = ha_dcs_seen(dcs).revision;
	strlcpy(report.leader, view->leader.present ? view->leader.name : "",
			sizeof(report.leader));
	report.term = view->term.term;
	report.pause = view->config.pause;
	report.sync_standby = is_sync_standby();
	report.others_may_lead = ha_others_may_lead(view, local.name);
	report.sick = local.sick_since != 0;
	report_standing();
	report.follows_source = plan.verb == HA_FOLLOW_SOURCE ||
		(plan.verb == HA_FOLLOW && view->term.standby);
	report.standby_leader = local.role == HA_ROLE_STANDBY && local.holding &&
		view->term.standby && !view->term.intent &&
		strcmp(report.leader, local.name) == 0;
	report.synchronous_mode = view->config.synchronous_mode;
	report.ttl = view->config.ttl;
	report.loop_wait = view->config.loop_wait;
	report.primary_start_timeout = view->config.primary_start_timeout;
	report.failsafe_active = local.failsafe_active;
	report.frozen_since = local.frozen_since;
	report_hba();
	report_figures();
	ha_control_set_worker(control, &report);
}

/* Wake pg_ha_boot when there is something new for it. */
static void
signal_boot(void)
{
	static uint32 told_seq = 0;
	static uint32 told_promote_seq = 0;
	static HaRole told_role = HA_ROLE_UNINITIALIZED;

	if (!local.has_boot ||
		(told_seq == report.want_seq && told_role == local.role &&
		 told_promote_seq == report.promote_seq))
		return;
	told_seq = report.want_seq;
	told_promote_seq = report.promote_seq;
	told_role = local.role;
	(void) kill(boot.pid, SIGUSR1);
}

static uint64
lost_bytes(void)
{
	const HaView *view = &lease.view;
	uint64		lost = view->term.lost_bytes;
	uint32		parent = 0;

	if (view->term.nlineage > 0)
		parent = view->term.lineage[view->term.nlineage - 1].timeline;
	for (int i = 0; i < view->nmembers; i++)
	{
		if (parent != 0 && view->members[i].discarded_timeline == parent)
			lost = Max(lost, view->members[i].discarded_bytes);
	}
	return lost;
}

static void
publish_leader(void)
{
	const HaMember *leader = ha_find_member(&lease.view, report.leader);

	SpinLockAcquire(&ha_shared->mutex);
	memcpy(ha_shared->leader, report.leader, sizeof(ha_shared->leader));
	if (leader != NULL)
	{
		memcpy(ha_shared->leader_host, leader->host,
			   sizeof(ha_shared->leader_host));
		ha_shared->leader_port = leader->port;
	}
	SpinLockRelease(&ha_shared->mutex);
}

/*
 * A pause that somebody forgot is a cluster without failover: say so again and
 * again.
 */
static void
log_pause(int64 now)
{
	static int64 nag_at = 0;

	if (!lease.view.config.pause)
	{
		if (paused_since != 0)
			ereport(LOG, (errmsg("the pause of cluster \"%s\" is over",
								 ha_scope)));
		paused_since = 0;
		nag_at = 0;
		return;
	}
	if (paused_since == 0)
		paused_since = GetCurrentTimestamp();
	if (now < nag_at)
		return;
	nag_at = now + PAUSE_NAG_INTERVAL;
	ereport(WARNING,
			(errmsg("cluster \"%s\" is paused since %s: nobody is elected, promoted or restarted",
					ha_scope, timestamptz_to_str(paused_since)),
			 errhint("End the pause with pg_ha_resume().")));
}

/*
 * What a person is to do: the plan says the rest.  Once for each change; members
 * that differ in version are an upgrade that somebody began.
 */
static void
log_versions(void)
{
	static bool was_too_old = false;
	static char told[HA_WHY_SIZE] = "";
	char		versions[HA_WHY_SIZE] = "";
	bool		too_old = ha_is_too_old(&lease.view);

	if (too_old && !was_too_old)
	{
		ha_too_old_why(&lease.view, versions, sizeof(versions));
		ereport(WARNING,
				(errmsg("%s", versions),
				 errhint("Until the later version is installed and this server restarted, it is a read-only standby at most.")));
	}
	was_too_old = too_old;
	if (!lease.view.valid || too_old)
		return;
	versions[0] = '\0';
	if (ha_versions_differ(&lease.view, versions, sizeof(versions)) &&
		strcmp(told, versions) != 0)
		ereport(WARNING,
				(errmsg("members run different versions of pg_ha: %s",
						versions),
				 errhint("That is fine during an upgrade: restart the others with the new version, the leader last.")));
	else if (told[0] != '\0' && versions[0] == '\0')
		ereport(LOG, (errmsg("all members run one version of pg_ha")));
	strlcpy(told, versions, sizeof(told));
}

/* Who is left out of an election for want of an answer; once for each reason. */
static void
log_silent(void)
{
	for (int i = 0; i < lease.inquiry.n; i++)
	{
		HaInquired *whom = &lease.inquiry.whom[i];

		if (whom->trouble[0] == '\0' || strcmp(whom->told, whom->trouble) == 0)
			continue;
		strlcpy(whom->told, whom->trouble, sizeof(whom->told));
		ereport(LOG,
				(errmsg("member \"%s\", which Patroni runs, was asked how far it is and does not count: %s",
						whom->peer.name, whom->trouble)));
	}
}

/* S-11: for as long as it is so, nobody of ours stands for election. */
static void
log_patroni(void)
{
	static char told[2 * HA_WHY_SIZE] = "";
	static bool was_there = false;
	char		why[2 * HA_WHY_SIZE];
	const HaMember *patroni;

	if (!lease.view.valid)
		return;
	patroni = ha_mixed_patroni(&lease.view);
	if (patroni != NULL && !was_there)
		ereport(LOG,
				(errmsg("Patroni runs member \"%s\": meanwhile no more is guaranteed than by Patroni",
						patroni->name)));
	else if (patroni == NULL && was_there)
		ereport(LOG, (errmsg("Patroni runs no member any more")));
	was_there = patroni != NULL;
	log_silent();
	if (ha_mixed_too_old_why(&lease.view.config, &lease.view, why,
							 sizeof(why)) && strcmp(told, why) != 0)
		ereport(WARNING,
				(errmsg("%s", why),
				 errhint("Stop that Patroni, and upgrade it: it may take the leader key from whoever has it.")));
	strlcpy(told, why, sizeof(told));
}

static HaFailsafeState
failsafe_state(int64 now)
{
	if (local.failsafe_active)
		return HA_FAILSAFE_ACTIVE;
	if (now < promise.until)
		return HA_FAILSAFE_PROMISED;
	return lease.view.config.failsafe_mode ? HA_FAILSAFE_ON : HA_FAILSAFE_OFF;
}

static void
publish_store(HaStore *store)
{
	store->raft_term = ha_dcs_seen(dcs).raft_term;
	store->in_use = ha_dcs_in_use(dcs);
	store->nendpoints = ha_dcs_endpoints(dcs, store->endpoints);
	store->listed_at = survey.listed_at;
	store->nvoters = survey.nvoters;
	memcpy(store->voters, survey.voters, sizeof(store->voters));
}

static void
publish(int64 now)
{
	HaPublished *p = &ha_shared->published;

	publish_lease(0);
	publish_report(now);
	publish_leader();
	signal_boot();
	if (!LWLockConditionalAcquire(ha_shared->lock, LW_EXCLUSIVE))
		return;
	p->at = now;
	p->seen_at = lease.seen_at;
	p->proof_at = Min(lease.proof_base, lease.lease_base);
	p->config = lease.view.config;
	p->view = lease.view;
	p->local = local;
	p->plan = plan;
	p->lost_bytes = lost_bytes();
	p->paused_since = paused_since;
	memcpy(p->checks, ha_health_checks(), sizeof(p->checks));
	p->failsafe = failsafe_state(now);
	strlcpy(p->trouble, ha_dcs_trouble(dcs), sizeof(p->trouble));
	publish_store(&p->store);
	p->worst_renewal = worst_renewal;
	p->store_full = lease.store_full;
	if (ha_config_trouble()[0] != '\0')
		strlcpy(p->view.config_error, ha_config_trouble(),
				sizeof(p->view.config_error));
	ha_documents_publish(ha_shared->documents);
	LWLockRelease(ha_shared->lock);
}

/* One line for each change of plan, with its reason. */
static void
log_plan(const HaPlan *old)
{
	if (plan.lead && !log_lead && local.deadline != 0)
	{
		log_lead = true;
		ereport(LOG,
				(errmsg("leads cluster \"%s\" in term %lld on timeline %u",
						ha_scope, (long long) lease.view.term.term,
						local.timeline)));
	}
	else if (!plan.lead && log_lead)
	{
		log_lead = false;
		ereport(LOG, (errmsg("does not lead any more: %s", plan.why)));
	}
	if (plan.verb == HA_GIVE_UP && old->verb != HA_GIVE_UP)
		ereport(LOG,
				(errmsg("giving up the leader lock: check \"%s\" failing for %lld s (%s)",
						local.sick_check,
						(long long) (ha_now() - local.sick_since) / 1000,
						local.sick_detail)));
	if (plan.verb != old->verb || strcmp(plan.why, old->why) != 0)
		ereport(plan.verb == HA_RENEW && old->verb == HA_SET_SYNC ? DEBUG1 : LOG,
				(errmsg("plan: %s (%s)", ha_verb_name(plan.verb), plan.why)));
}

/* One line for each beginning and end, and for each other hindrance. */
static void
log_failsafe(int64 now)
{
	static bool was_active = false;
	static bool had_promised = false;
	static char told[HA_WHY_SIZE] = "";
	const HaAsking *asking = &lease.asking;
	bool		has_promised = now < promise.until;

	if (local.failsafe_active && !was_active)
		ereport(LOG,
				(errmsg("etcd unreachable; staying primary in failsafe mode (%d of %d members agree)",
						asking->nagreed, asking->nagreed)));
	else if (was_active && !local.failsafe_active && plan.lead)
		ereport(LOG, (errmsg("etcd answers again; failsafe mode is over")));
	was_active = local.failsafe_active;

	if (strcmp(told, asking->trouble) != 0 && asking->trouble[0] != '\0')
		ereport(LOG,
				(errmsg("etcd unreachable and %s; commits are suspended at the deadline",
						asking->trouble)));
	strlcpy(told, asking->trouble, sizeof(told));

	if (has_promised && !had_promised)
		ereport(LOG,
				(errmsg("promised leader \"%s\", which can't reach etcd, not to lead",
						promise.leader)));
	else if (had_promised && !has_promised)
		ereport(LOG,
				(errmsg("the promise to leader \"%s\" is over",
						promise.leader)));
	had_promised = has_promised;
}

/*-------------------------------------------------------------------------
 * What sessions have written
 *-------------------------------------------------------------------------
 */

static void
send_ask(void)
{
	HaRequest	request;

	if (ha_ask_next(&request, &lease.view,
					lease.view.config.retry_timeout) &&
		!ha_dcs_send(dcs, &request))
		ha_ask_unsent();
}

static void
send_record(int64 now)
{
	HaRequest	request;

	if (ha_record_next(&lease, &local, now, &request) &&
		!ha_dcs_send(dcs, &request))
		ha_record_unsent(now);
}

/*-------------------------------------------------------------------------
 * The loop
 *-------------------------------------------------------------------------
 */

/* Renewals that came too late to count are told by the suspension. */
static void
measure_renewal(const HaAnswer *answer, int64 now)
{
	if (answer->status == HA_DCS_OK &&
		(answer->tag == lease.keepalive_tag || answer->tag == lease.proof_tag))
	{
		last_renewal = now - answer->sent_at;
		worst_renewal = Max(worst_renewal, last_renewal);
		renewals++;
	}
}

static void
take_answers(int64 now)
{
	HaAnswer	answer;

	ha_dcs_poll(dcs);
	while (ha_dcs_next(dcs, &answer))
	{
		if (answer.kind == HA_DCS_RANGE && answer.status == HA_DCS_OK &&
			answer.revision >= lease.view.revision)
		{
			ha_documents_take(&answer);
			ha_config_filter(&answer, local.frozen_since == 0);
		}
		if (answer.kind == HA_DCS_STATUS || answer.kind == HA_DCS_MEMBERS)
			ha_survey_answer(&survey, &answer, now);
		else if (ha_ask_is_mine(answer.tag))
			ha_ask_answered(&answer);
		else if (ha_record_is_mine(answer.tag))
			ha_record_answered(&lease, &answer, now);
		else
		{
			measure_renewal(&answer, now);
			ha_lease_answer(&lease, &answer, now);
		}
		ha_dcs_answer_free(&answer);
	}
}

/* S-9: the answer may be younger than this turn, so the clock is read anew. */
static void
take_peer_answers(void)
{
	HaPeerAnswer answer;

	ha_peers_poll(peers);
	while (ha_peers_next(peers, &answer))
	{
		ha_lease_peer_answer(&lease, &answer, ha_now());
		free(answer.body);
	}
}

static void
ask_peers(int64 now)
{
	HaPeerRequest request;

	while (ha_lease_ask(&lease, &local, now, &request))
	{
		uint32		tag = request.tag;

		if (!ha_peers_send(peers, &request))
			ha_lease_unasked(&lease, tag, now);
	}
	ha_peers_poll(peers);
}

static void
send_requests(int64 now)
{
	HaRequest	request;
	uint32		unwanted;

	while (ha_lease_next(&lease, &plan, &local, now, &request))
	{
		uint32		tag = request.tag;

		publish_promise();		/* a bid is noted before it is sent */
		if (!ha_dcs_send(dcs, &request))
		{
			ha_lease_unsent(&lease, tag, now);
			break;
		}
	}
	while ((unwanted = ha_lease_cancel(&lease)) != 0)
		ha_dcs_cancel(dcs, unwanted);
	ha_dcs_poll(dcs);
}

/* For people only, and after whatever matters. */
static void
ask_endpoints(int64 now)
{
	int64		looked_at = (int64) pg_atomic_read_u64(&ha_shared->looked_at);
	HaRequest	request;

	while (ha_survey_next(&survey, ha_dcs_endpoint_count(dcs), looked_at,
						  lease.view.config.loop_wait, now, &request))
	{
		HaAnswer	none = {
			.kind = request.kind,
			.endpoint = request.endpoint,
			.status = HA_DCS_UNKNOWN,
		};

		if (!ha_dcs_send(dcs, &request))
			ha_survey_answer(&survey, &none, now);
	}
	ha_dcs_poll(dcs);
}

pg_noreturn static void mourn_postmaster(void);

static void
turn(void)
{
	int64		now = ha_now();
	HaPlan		old = plan;

	/* gather() takes locks, and whoever holds them may be dead, too */
	if (!PostmasterIsAliveInternal())
		mourn_postmaster();
	take_answers(now);
	take_peer_answers();
	gather(now);
	take_question();
	if (pg_atomic_exchange_u32(&ha_shared->look_anew, 0) != 0)
		lease.read_wanted = true;

	/*
	 * Walsenders of a dead postmaster may go before we hear of its end. Their
	 * absence must not make us drop the standbys from /sync: who then could
	 * be elected?  So ask now, and the pipe itself, which closes before
	 * anybody hears.
	 */
	if (!PostmasterIsAliveInternal())
		mourn_postmaster();
	ha_decide(&lease.view.config, &lease.view, &local, now, &plan);
	ha_lease_plan(&lease, &plan, now);
	publish_deadline(ha_lease_deadline(&lease));
	local.deadline = ha_lease_deadline(&lease);
	local.giving_up = plan.verb == HA_GIVE_UP;
	ha_switchover_note(&plan, &lease.view, &local);
	log_plan(&old);
	log_failsafe(now);
	log_pause(now);
	log_versions();
	log_patroni();
	act(now);
	send_ask();
	send_record(now);
	send_requests(now);
	ask_peers(now);
	ask_endpoints(now);
	publish(now);
}

/* Milliseconds until the next turn is due without any event. */
static long
pause_length(void)
{
	int64		now = ha_now();
	int64		until = now + TURN_INTERVAL;
	int64		wake_at = ha_dcs_wake_at(dcs);

	if (look_again)
		return 0;
	if (plan.verb == HA_PROMOTE && !local.promoting)
		until = now + DETACH_INTERVAL;
	else if (plan.verb == HA_PROMOTE)
		until = now + PROMOTION_INTERVAL;
	else if (plan.verb == HA_HOLD || plan.verb == HA_FREEZE)
		until = now + HOLD_INTERVAL;
	else if (plan.verb == HA_PREPARE)
		until = now + PREPARE_INTERVAL;
	else if (plan.verb == HA_DETACH ||
			 (local.role == HA_ROLE_PRIMARY && !local.names_in_force &&
			  managed_epoch != 0 && now - managed_at < 2000))
		until = now + DETACH_INTERVAL;
	until = Min(until, ha_lease_wake_at(&lease));
	if (wake_at != 0)
		until = Min(until, wake_at);
	if (ha_peers_wake_at(peers) != 0)
		until = Min(until, ha_peers_wake_at(peers));
	if (plan.wake_at > now)
		until = Min(until, plan.wake_at);
	return Max(until - now, 1);
}

/* Has the store a record of our reign, as one that is ours without doubt? */
static bool
is_confirmed(void)
{
	const HaTerm *term = &lease.view.term;

	return !term->intent && term->unchecked_from == 0 &&
		ha_term_is_of(term, local.name);
}

/*
 * The postmaster is dead, but this process and some backends live on.  With the
 * gate closed nothing is acknowledged any more, so what may be said about the
 * end of this reign can be said now: to the store, if somebody can take over
 * without loss or nobody will restart us; else to pg_ha_boot, which then does.
 */
static bool
should_release(uint64 *safe_lsn)
{
	const HaView *view = &lease.view;
	bool		synchronous = view->sync.present && view->sync.nstandbys > 0;

	/*
	 * What was confirmed in this life of the server, all that may have been
	 * before it was a primary, by a standby that is not there now, perhaps,
	 * and all that was acknowledged before the names came in force.  A reign
	 * that is only intended has acknowledged nothing, and what the record
	 * says is of the one before, of which we know nothing.
	 */
	*safe_lsn = !is_confirmed() ? 0 : synchronous && local.names_in_force ?
		Max(Max(ha_server_confirmed_lsn(), primary_from), local.names_lsn) :
		GetXLogWriteRecPtr();
	if (!local.has_boot)
		return true;
	if (!synchronous || view->config.pause || *safe_lsn == 0)
		return false;
	for (int i = 0; i < local.nstandbys; i++)
	{
		for (int j = 0; j < view->sync.nstandbys; j++)
		{
			if (strcmp(local.standbys[i].name, view->sync.standbys[j]) == 0 &&
				local.standbys[i].flush_lsn >= *safe_lsn)
				return true;
		}
	}
	return false;
}

/* Send the release and wait a moment for its answer; nothing else matters. */
static void
release_key(uint64 safe_lsn)
{
	HaRequest	request;
	int64		give_up = ha_now() + 400;

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	request.tag = 1;
	request.timeout = 400;
	ha_txn_release(&request.txn, local.name, lease.key_revision,
				   lease.lease_id, lease.term, lease.lease_ttl, safe_lsn,
				   true);
	if (!ha_dcs_send(dcs, &request))
		return;
	for (;;)
	{
		HaAnswer	answer;
		struct pollfd ready = {0};

		ha_dcs_poll(dcs);
		while (ha_dcs_next(dcs, &answer))
		{
			bool		done = answer.kind == HA_DCS_TXN && answer.tag == 1;

			ha_dcs_answer_free(&answer);
			if (done)
				return;
		}
		if (ha_now() >= give_up)
			return;
		ready.fd = ha_dcs_fd(dcs);
		ready.events = POLLIN;
		(void) poll(&ready, 1, 10);
	}
}

static void
mourn_postmaster(void)
{
	uint64		safe_lsn = 0;
	bool		leading = lease.holding && !lease.reassert &&
	local.role == HA_ROLE_PRIMARY && !ha_is_too_old(&lease.view);

	ha_lease_close(&lease);
	publish_deadline(0);
	if (leading)
	{
		/* read after the gate closed, without locks: holders may be dead */
		local.nstandbys = ha_slots_standbys(&lease.view, local.standbys, false);
		if (should_release(&safe_lsn))
			release_key(safe_lsn);
		publish_lease(safe_lsn);
	}
	_exit(1);
}

/*
 * The server stops: close the gate and go, since the shutdown waits for us.  The
 * key is pg_ha_boot's from the postmaster's end on.
 */
static void
stop(void)
{
	ha_lease_close(&lease);
	publish_deadline(0);
	local.stopping = true;
	publish_lease(0);

	/* anything but 0, or a stray signal would be the end of this worker */
	proc_exit(1);
}

/*
 * What earlier workers had seen of the store holds for this one, too, for as long
 * as their postmaster or their pg_ha_boot lives: an operator who restarts both says
 * that the store may be another.
 */
static HaDcsMark
seen_before(void)
{
	HaControlWorker old;
	HaDcsMark	seen = {0};

	if (ha_control_get_boot(control, &boot) &&
		ha_process_is_alive(boot.pid, boot.pid_start))
		report.seen_under = boot.pid_start;
	if (!ha_control_get_worker(control, &old))
		return seen;
	if (old.postmaster_start == report.postmaster_start ||
		(old.seen_under != 0 && old.seen_under == report.seen_under))
	{
		seen.cluster_id = old.seen_cluster_id;
		seen.raft_term = old.seen_raft_term;
		seen.revision = old.seen_revision;
	}
	return seen;
}

static void
open_store(void)
{
	HaDcsOptions options = {0};
	HaPeerOptions peer_options;
	char		err[256];

	options.endpoints = ha_etcd_endpoints;
	options.name_space = ha_namespace;
	options.scope = ha_scope;
	options.cacert = ha_etcd_cacert;
	options.cert = ha_etcd_cert;
	options.key = ha_etcd_key;
	options.user = ha_etcd_user;
	options.password_file = ha_etcd_password_file;
	options.now = ha_now;
	options.seen = seen_before();
	dcs = ha_dcs_open(&options, err, sizeof(err));
	if (dcs == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not set up the etcd client: %s", err),
				 errhint("Correct the pg_ha.etcd_* settings in the node file.")));
	peer_options.now = ha_now;
	peer_options.auth_file = ha_rest_auth_file;
	peer_options.cafile = ha_rest_cafile;
	peer_options.cert = ha_rest_cert;
	peer_options.key = ha_rest_key;
	peers = ha_peers_open(&peer_options, err, sizeof(err));
	if (peers == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not set up the client for other members: %s",
						err)));
}

static void
open_control(void)
{
	char		path[MAXPGPATH];
	char		err[256];
	HaControlWorker old;

	ha_state_path(path, sizeof(path));
	control = ha_control_open(path, true, err, sizeof(err));
	if (control == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not open the control block in \"%s\": %s",
						path, err),
				 errhint("If pg_ha_boot is of another version than this library, stop this node, and start it with one version of both.")));

	/* a new life starts with no wish, under a new number */
	if (ha_control_get_worker(control, &old))
		report.want_seq = old.want_seq + 1;
	local.promises_known = ha_control_get_promise(control, &promise);
	report.pid = MyProcPid;
	report.pid_start = ha_process_start_time(MyProcPid);
	report.postmaster_pid = PostmasterPid;
	report.postmaster_start = ha_process_start_time(PostmasterPid);
	report.server_version = PG_VERSION_NUM;
	strlcpy(report.version, HA_VERSION, sizeof(report.version));
	report.postmaster_started_us = PgStartTime + HA_UNIX_EPOCH;
}

static void
handle_wake_up(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	SetLatch(MyLatch);
	errno = saved_errno;
}

static void
begin(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGUSR1, handle_wake_up);	/* from pg_ha_boot: a question */
	BackgroundWorkerUnblockSignals();

	turn_context = AllocSetContextCreate(TopMemoryContext, "pg_ha turn",
										 ALLOCSET_DEFAULT_SIZES);
	ha_fence_set_deadline(0);
	open_control();
	ha_control_set_deadline(control, 0);
	open_store();
	strlcpy(local.name, ha_member_name, sizeof(local.name));
	take_tags();
	local.starting_since = ha_now();
	ha_lease_init(&lease, ha_member_name, ha_now());
	ha_survey_init(&survey);
	ha_lease_recall_bid(&lease, promise.bid, promise.bid_revision);
	ha_settings_load(&managed);
	ha_config_begin();
	written = managed;
	SpinLockAcquire(&ha_shared->mutex);
	ha_shared->worker_pid = MyProcPid;
	ha_shared->worker_latch = MyLatch;
	SpinLockRelease(&ha_shared->mutex);
	ha_ask_begin();
}

void
ha_worker_main(Datum arg)
{
	WaitEventSet *events;

	begin();
	events = ha_wait_event_set(4);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, ha_dcs_fd(dcs), NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, ha_peers_fd(peers), NULL,
					  NULL);

	for (;;)
	{
		WaitEvent	event;

		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);
		ResetLatch(MyLatch);
		if (ShutdownRequestPending)
			stop();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			take_tags();
			ha_config_pending(report.pending_restart,
							  sizeof(report.pending_restart));
		}
		turn();
		if (WaitEventSetWait(events, pause_length(), &event, 1,
							 PG_WAIT_EXTENSION) > 0 &&
			event.events == WL_POSTMASTER_DEATH)
			mourn_postmaster();
	}
}
