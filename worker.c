/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The loop: gather, decide, act, publish, wait.
 *
 * One background worker without a database connection, started together with the
 * postmaster.  It never waits for the network: requests are queued and answers
 * taken when they come, so the loop turns at least twice a second whatever the
 * store does.  All judgement is in decide.c and lease.c; plans become deeds in
 * worker_act.c.
 *
 * The worker may die or freeze at any instruction.  What backends rely on is one
 * number in shared memory, which then simply isn't raised any more.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_parts.h"

#include <signal.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "ask.h"
#include "cascade.h"
#include "config.h"
#include "decide.h"
#include "documents.h"
#include "fence.h"
#include "handover.h"
#include "health.h"
#include "record.h"
#include "server.h"
#include "slots.h"
#include "switchover.h"
#include "tags_json.h"
#include "wall_time.h"
#include "wal.h"

/* Longest pause between two turns: what others read must be fresh. */
#define TURN_INTERVAL		500

/* ... and shorter ones, while a plan waits for what tells nobody that it has come. */
#define PROMOTION_INTERVAL	5
#define DETACH_INTERVAL		10
#define PREPARE_INTERVAL	10
#define HOLD_INTERVAL		1

static HaWorker worker;
static MemoryContext turn_context;

/*-------------------------------------------------------------------------
 * Gather
 *-------------------------------------------------------------------------
 */

/* They change only when the configuration is read. */
static void
take_tags(HaWorker *w)
{
	HaMember	self;

	(void) ha_tags_parse(ha_tags, &self, NULL, NULL);
	w->local.nofailover = self.nofailover;
	w->local.failover_priority = self.failover_priority;
	w->local.nostream = self.nostream;
	strlcpy(w->local.replicatefrom, self.replicatefrom,
			sizeof(w->local.replicatefrom));
}

/* Whom this server follows, and whether anything comes from there. */
static void
gather_source(HaWorker *w, int64 now)
{
	static HaCascadeWatch watch;

	strlcpy(w->local.follows, w->managed.follows, sizeof(w->local.follows));
	if (ha_cascade_watch(&watch, &w->lease.view, &w->local,
						 ha_server_receives(), now))
		ereport(LOG,
				(errmsg("no WAL comes from member \"%s\": following the leader itself for " INT64_FORMAT " s",
						w->local.avoids, watch.avoid_for / 1000)));
}

/* A live pg_ha_boot that minds this server?  Looked up twice a second. */
static void
gather_boot(HaWorker *w, int64 now)
{
	static int64 boot_looked_at = 0;

	if (boot_looked_at != 0 && now - boot_looked_at < TURN_INTERVAL)
		return;
	boot_looked_at = now;
	w->local.has_boot = ha_control_get_boot(w->control, &w->boot) &&
		w->boot.supervising &&
		ha_process_is_alive(w->boot.pid, w->boot.pid_start);
	if (w->local.has_boot)
		w->pre_promote_limit = w->boot.pre_promote_limit;
	strlcpy(w->local.cluster_uuid, w->boot.cluster_uuid,
			sizeof(w->local.cluster_uuid));
	strlcpy(w->local.boot_version, w->boot.version,
			sizeof(w->local.boot_version));
}

/* S-2: is the position of this standby final? */
static void
gather_detached(HaWorker *w)
{
	w->local.detached = w->managed_epoch != 0 &&
		w->managed.follows[0] == '\0' &&
		ha_settings_applied_by_type(B_STARTUP, w->managed_epoch) &&
		ha_server_receiver_is_gone();
}

/* S-4: are the names in force in every process that acts on them? */
static void
gather_names(HaWorker *w)
{
	bool		applied = w->managed_epoch != 0 &&
	ha_settings_told(w->managed_epoch) &&
	ha_settings_in_effect(&w->managed) &&
	ha_settings_applied_by_type(B_CHECKPOINTER, w->managed_epoch) &&
	ha_slots_walsenders_applied(w->managed_epoch, &w->managed);

	if (applied && !w->local.names_in_force)
		w->local.names_lsn = GetFlushRecPtr(NULL);
	w->local.names_in_force = applied;
	w->local.names_written = w->managed_epoch != 0;
	w->local.nsync_names = w->managed.nnames;
	w->local.sync_confirm = w->managed.confirm;
	memcpy(w->local.sync_names, w->managed.names, sizeof(w->local.sync_names));
}

/*
 * S-17: what crash recovery of a primary made visible.  A standby shows what it
 * likes: whoever is promoted lists nobody in /sync who has not all of it.
 */
static void
gather_recovered(HaWorker *w)
{
	static uint64 recovered = 0;

	if (w->local.role == HA_ROLE_STANDBY)
		ha_fence_show();
	if (w->local.role != HA_ROLE_PRIMARY || ha_fence_shows())
	{
		w->local.recovered_lsn = 0;
		return;
	}
	if (recovered == 0)
		recovered = w->local.flush_lsn;
	w->local.recovered_lsn = recovered;
}

/* Replay that goes on is no reason to give up, only replay that stands still. */
static void
gather_progress(HaWorker *w, int64 now)
{
	static uint64 replayed = 0;

	if (w->local.replay_lsn == replayed && w->local.replay_moved_at != 0)
		return;
	replayed = w->local.replay_lsn;
	w->local.replay_moved_at = now;
	if (w->local.promoting)
		w->local.promoting_since = now;
}

static void
gather_health(HaWorker *w, int64 now)
{
	w->local.health_grace = ha_health_grace >= 0 ? ha_health_grace :
		w->lease.view.config.retry_timeout;
	ha_health_look(&w->local, now);
}

static void
gather(HaWorker *w, int64 now)
{
	static int64 last_turn = 0;
	HaRole		role = w->local.role;

	w->local.time_jumped = last_turn != 0 &&
		now - last_turn > Max(w->lease.view.config.ttl, 2000);
	last_turn = now;

	w->local.wall_clock = ha_wall_clock();
	gather_boot(w, now);
	gather_source(w, now);

	/*
	 * The order matters: a position is final only if read after it was, and a
	 * standby can't have more than we do if it is asked first.
	 */
	if (RecoveryInProgress())
		gather_detached(w);
	else
		w->local.nstandbys =
			ha_slots_standbys(&w->lease.view, w->local.standbys,
							  w->local.frozen_since == 0);
	ha_server_facts(&w->local);
	gather_progress(w, now);
	ha_wal_look(&w->local, now);
	gather_recovered(w);
	gather_health(w, now);
	if (w->local.role == HA_ROLE_PRIMARY)
	{
		if (role != HA_ROLE_PRIMARY && w->local.promoting)
			w->promoted_here = true;
		if (w->primary_from == 0)
			w->primary_from = w->local.flush_lsn;
		w->local.promoting = false;
		w->local.detached = false;
		if (w->local.frozen_since == 0)
			gather_names(w);
	}
	ha_lease_local(&w->lease, &w->local, now);
	ha_handover_gather(&w->lease.view, &w->local, now);
	ha_worker_gather_promise(w);
}

/*-------------------------------------------------------------------------
 * What sessions have written
 *-------------------------------------------------------------------------
 */

static void
send_ask(const HaWorker *w)
{
	HaRequest	request;

	if (ha_ask_next(&request, &w->lease.view,
					w->lease.view.config.retry_timeout) &&
		!ha_dcs_send(w->dcs, &request))
		ha_ask_unsent();
}

static void
send_record(const HaWorker *w, int64 now)
{
	HaRequest	request;

	if (ha_record_next(&w->lease, &w->local, now, &request) &&
		!ha_dcs_send(w->dcs, &request))
		ha_record_unsent(now);
}

/*-------------------------------------------------------------------------
 * The loop
 *-------------------------------------------------------------------------
 */

/* Renewals that came too late to count are told by the suspension. */
static void
measure_renewal(HaWorker *w, const HaAnswer *answer, int64 now)
{
	if (answer->status == HA_DCS_OK &&
		(answer->tag == w->lease.keepalive_tag ||
		 answer->tag == w->lease.proof_tag))
	{
		w->last_renewal = now - answer->sent_at;
		w->worst_renewal = Max(w->worst_renewal, w->last_renewal);
		w->renewals++;
	}
}

static void
take_answers(HaWorker *w, int64 now)
{
	HaAnswer	answer;

	ha_dcs_poll(w->dcs);
	while (ha_dcs_next(w->dcs, &answer))
	{
		if (answer.kind == HA_DCS_RANGE && answer.status == HA_DCS_OK &&
			answer.revision >= w->lease.view.revision)
		{
			ha_documents_take(&answer);
			ha_config_filter(&answer, w->local.frozen_since == 0);
		}
		if (answer.kind == HA_DCS_STATUS || answer.kind == HA_DCS_MEMBERS)
			ha_survey_answer(&w->survey, &answer, now);
		else if (ha_ask_is_mine(answer.tag))
			ha_ask_answered(&answer);
		else if (ha_record_is_mine(answer.tag))
			ha_record_answered(&w->lease, &answer, now);
		else
		{
			measure_renewal(w, &answer, now);
			ha_lease_answer(&w->lease, &answer, now);
		}
		ha_dcs_answer_free(&answer);
	}
}

/* S-9: the answer may be younger than this turn, so the clock is read anew. */
static void
take_peer_answers(HaWorker *w)
{
	HaPeerAnswer answer;

	ha_peers_poll(w->peers);
	while (ha_peers_next(w->peers, &answer))
	{
		ha_lease_peer_answer(&w->lease, &answer, ha_now());
		free(answer.body);
	}
}

static void
ask_peers(HaWorker *w, int64 now)
{
	HaPeerRequest request;

	while (ha_lease_ask(&w->lease, &w->local, now, &request))
	{
		uint32		tag = request.tag;

		if (!ha_peers_send(w->peers, &request))
			ha_lease_unasked(&w->lease, tag, now);
	}
	ha_peers_poll(w->peers);
}

static void
send_requests(HaWorker *w, int64 now)
{
	HaRequest	request;
	uint32		unwanted;

	while (ha_lease_next(&w->lease, &w->plan, &w->local, now, &request))
	{
		uint32		tag = request.tag;

		ha_worker_publish_promise(w);	/* a bid is noted before it is sent */
		if (!ha_dcs_send(w->dcs, &request))
		{
			ha_lease_unsent(&w->lease, tag, now);
			break;
		}
	}
	while ((unwanted = ha_lease_cancel(&w->lease)) != 0)
		ha_dcs_cancel(w->dcs, unwanted);
	ha_dcs_poll(w->dcs);
}

/* For people only, and after whatever matters. */
static void
ask_endpoints(HaWorker *w, int64 now)
{
	int64		looked_at = (int64) pg_atomic_read_u64(&ha_shared->looked_at);
	HaRequest	request;

	while (ha_survey_next(&w->survey, ha_dcs_endpoint_count(w->dcs), looked_at,
						  w->lease.view.config.loop_wait, now, &request))
	{
		HaAnswer	none = {
			.kind = request.kind,
			.endpoint = request.endpoint,
			.status = HA_DCS_UNKNOWN,
		};

		if (!ha_dcs_send(w->dcs, &request))
			ha_survey_answer(&w->survey, &none, now);
	}
	ha_dcs_poll(w->dcs);
}

static void
turn(HaWorker *w)
{
	int64		now = ha_now();
	HaPlan		old = w->plan;

	/* gather() takes locks, and whoever holds them may be dead, too */
	if (!PostmasterIsAliveInternal())
		ha_worker_mourn(w);
	take_answers(w, now);
	take_peer_answers(w);
	gather(w, now);
	ha_worker_take_question(w);
	if (pg_atomic_exchange_u32(&ha_shared->look_anew, 0) != 0)
		w->lease.read_wanted = true;

	/*
	 * Walsenders of a dead postmaster may go before we hear of its end. Their
	 * absence must not make us drop the standbys from /sync: who then could
	 * be elected?  So ask now, and the pipe itself, which closes before
	 * anybody hears.
	 */
	if (!PostmasterIsAliveInternal())
		ha_worker_mourn(w);
	ha_decide(&w->lease.view.config, &w->lease.view, &w->local, now, &w->plan);
	ha_lease_plan(&w->lease, &w->plan, now);
	ha_worker_publish_deadline(w, ha_lease_deadline(&w->lease));
	w->local.deadline = ha_lease_deadline(&w->lease);
	w->local.giving_up = w->plan.verb == HA_GIVE_UP;
	ha_switchover_note(&w->plan, &w->lease.view, &w->local);
	ha_worker_log(w, &old, now);
	ha_worker_act(w, now);
	send_ask(w);
	send_record(w, now);
	send_requests(w, now);
	ask_peers(w, now);
	ask_endpoints(w, now);
	ha_worker_publish(w, now);
}

/* Milliseconds until the next turn is due without any event. */
static long
pause_length(const HaWorker *w)
{
	int64		now = ha_now();
	int64		until = now + TURN_INTERVAL;
	int64		wake_at = ha_dcs_wake_at(w->dcs);

	if (w->look_again)
		return 0;
	if (w->plan.verb == HA_PROMOTE && !w->local.promoting)
		until = now + DETACH_INTERVAL;
	else if (w->plan.verb == HA_PROMOTE)
		until = now + PROMOTION_INTERVAL;
	else if (w->plan.verb == HA_HOLD || w->plan.verb == HA_FREEZE)
		until = now + HOLD_INTERVAL;
	else if (w->plan.verb == HA_PREPARE)
		until = now + PREPARE_INTERVAL;
	else if (w->plan.verb == HA_DETACH ||
			 (w->local.role == HA_ROLE_PRIMARY && !w->local.names_in_force &&
			  w->managed_epoch != 0 && now - w->managed_at < 2000))
		until = now + DETACH_INTERVAL;
	until = Min(until, ha_lease_wake_at(&w->lease));
	if (wake_at != 0)
		until = Min(until, wake_at);
	if (ha_peers_wake_at(w->peers) != 0)
		until = Min(until, ha_peers_wake_at(w->peers));
	if (w->plan.wake_at > now)
		until = Min(until, w->plan.wake_at);
	return Max(until - now, 1);
}

/*-------------------------------------------------------------------------
 * The beginning, and ever after
 *-------------------------------------------------------------------------
 */

/*
 * What earlier workers had seen of the store holds for this one, too, for as long
 * as their postmaster or their pg_ha_boot lives: an operator who restarts both says
 * that the store may be another.
 */
static HaDcsMark
seen_before(HaWorker *w)
{
	HaControlWorker old;
	HaDcsMark	seen = {0};

	if (ha_control_get_boot(w->control, &w->boot) &&
		ha_process_is_alive(w->boot.pid, w->boot.pid_start))
		w->report.seen_under = w->boot.pid_start;
	if (!ha_control_get_worker(w->control, &old))
		return seen;
	if (old.postmaster_start == w->report.postmaster_start ||
		(old.seen_under != 0 && old.seen_under == w->report.seen_under))
	{
		seen.cluster_id = old.seen_cluster_id;
		seen.raft_term = old.seen_raft_term;
		seen.revision = old.seen_revision;
	}
	return seen;
}

static void
open_store(HaWorker *w)
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
	options.seen = seen_before(w);
	w->dcs = ha_dcs_open(&options, err, sizeof(err));
	if (w->dcs == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not set up the etcd client: %s", err),
				 errhint("Correct the pg_ha.etcd_* settings in the node file.")));
	peer_options.now = ha_now;
	peer_options.auth_file = ha_rest_auth_file;
	peer_options.cafile = ha_rest_cafile;
	peer_options.cert = ha_rest_cert;
	peer_options.key = ha_rest_key;
	w->peers = ha_peers_open(&peer_options, err, sizeof(err));
	if (w->peers == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not set up the client for other members: %s",
						err)));
}

static void
open_control(HaWorker *w)
{
	char		path[MAXPGPATH];
	char		err[256];
	HaControlWorker old;

	ha_state_path(path, sizeof(path));
	w->control = ha_control_open(path, true, err, sizeof(err));
	if (w->control == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not open the control block in \"%s\": %s",
						path, err),
				 errhint("If pg_ha_boot is of another version than this library, stop this node, and start it with one version of both.")));

	/* a new life starts with no wish, under a new number */
	if (ha_control_get_worker(w->control, &old))
		w->report.want_seq = old.want_seq + 1;
	w->local.promises_known = ha_control_get_promise(w->control, &w->promise);
	w->report.pid = MyProcPid;
	w->report.pid_start = ha_process_start_time(MyProcPid);
	w->report.postmaster_pid = PostmasterPid;
	w->report.postmaster_start = ha_process_start_time(PostmasterPid);
	w->report.server_version = PG_VERSION_NUM;
	strlcpy(w->report.version, HA_VERSION, sizeof(w->report.version));
	w->report.postmaster_started_us = PgStartTime + HA_UNIX_EPOCH;
}

static void
handle_wake_up(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	SetLatch(MyLatch);
	errno = saved_errno;
}

static void
begin(HaWorker *w)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGUSR1, handle_wake_up);	/* from pg_ha_boot: a question */
	BackgroundWorkerUnblockSignals();

	turn_context = AllocSetContextCreate(TopMemoryContext, "pg_ha turn",
										 ALLOCSET_DEFAULT_SIZES);
	ha_fence_set_deadline(0);
	open_control(w);
	ha_control_set_deadline(w->control, 0);
	open_store(w);
	w->last_renewal = w->worst_renewal = -1;
	strlcpy(w->local.name, ha_member_name, sizeof(w->local.name));
	take_tags(w);
	w->local.starting_since = ha_now();
	ha_lease_init(&w->lease, ha_member_name, ha_now());
	ha_survey_init(&w->survey);
	ha_lease_recall_bid(&w->lease, w->promise.bid, w->promise.bid_revision);
	ha_settings_load(&w->managed);
	ha_config_begin();
	w->written = w->managed;
	SpinLockAcquire(&ha_shared->mutex);
	ha_shared->worker_pid = MyProcPid;
	ha_shared->worker_latch = MyLatch;
	SpinLockRelease(&ha_shared->mutex);
	ha_ask_begin();
}

void
ha_worker_main(Datum arg)
{
	HaWorker   *w = &worker;
	WaitEventSet *events;

	begin(w);
	events = ha_wait_event_set(4);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, ha_dcs_fd(w->dcs), NULL,
					  NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, ha_peers_fd(w->peers), NULL,
					  NULL);

	for (;;)
	{
		WaitEvent	event;

		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);
		ResetLatch(MyLatch);
		if (ShutdownRequestPending)
			ha_worker_stop(w);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			take_tags(w);
			ha_config_pending(w->report.pending_restart,
							  sizeof(w->report.pending_restart));
		}
		turn(w);
		if (WaitEventSetWait(events, pause_length(w), &event, 1,
							 PG_WAIT_EXTENSION) > 0 &&
			event.events == WL_POSTMASTER_DEATH)
			ha_worker_mourn(w);
	}
}
