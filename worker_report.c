/*-------------------------------------------------------------------------
 *
 * worker_report.c
 *	  What the worker tells: backends, pg_ha_boot, and sessions that ask.
 *
 * Backends have the deadline; that, the lease and the promise are also in the control
 * block, which outlives this process.  The rest is what pg_ha_boot needs to judge, and
 * what people are shown.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_parts.h"

#include <signal.h>

#include "config.h"
#include "documents.h"
#include "election.h"
#include "failsafe.h"
#include "fence.h"
#include "hba_server.h"
#include "health.h"
#include "mixed.h"
#include "server.h"

/*-------------------------------------------------------------------------
 * What safety rests on
 *-------------------------------------------------------------------------
 */

/*
 * The control block never shows an earlier deadline than backends see: raised
 * there first, lowered there last (S-7).
 */
void
ha_worker_publish_deadline(const HaWorker *w, int64 deadline)
{
	int64		old = ha_fence_deadline();

	if (deadline == old)
		return;
	if (deadline > old)
		ha_control_set_deadline(w->control, deadline);
	ha_fence_set_deadline(deadline);
	if (deadline < old)
		ha_control_set_deadline(w->control, deadline);
}

/* The key as pg_ha_boot needs it, should this server die now. */
void
ha_worker_publish_lease(const HaWorker *w, uint64 safe_lsn)
{
	HaControlLease stored;
	const HaTerm *term = &w->lease.view.term;
	HaControlLease now;

	memset(&now, 0, sizeof(now));
	now.owner = HA_LEASE_WORKER;
	now.holding = w->lease.holding && !w->lease.reassert;
	now.confirmed = now.holding && term->present && !term->intent &&
		term->unchecked_from == 0 &&
		ha_term_is_of(term, w->lease.name) &&
		term->timeline == w->local.timeline;
	now.lease = w->lease.lease_id;
	now.ttl = w->lease.lease_ttl;
	now.key_revision = w->lease.key_revision;
	now.term = w->lease.term;
	now.timeline = w->local.timeline;
	now.safe_lsn = safe_lsn;

	/*
	 * What we don't hold may be pg_ha_boot's still.  What we hold is ours,
	 * even if pg_ha_boot, in the belief that we were dead, just took it.
	 */
	memset(&stored, 0, sizeof(stored));
	(void) ha_control_get_lease(w->control, &stored);
	if (!now.holding && (stored.owner == HA_LEASE_BOOT || !stored.holding))
		return;
	if (memcmp(&now, &stored, sizeof(now)) != 0)
		ha_control_set_lease(w->control, &now);
}

void
ha_worker_gather_promise(HaWorker *w)
{
	strlcpy(w->local.promised_to, w->promise.leader,
			sizeof(w->local.promised_to));
	w->local.promised_until = w->promise.until;
	w->local.promised_term = w->promise.leader_term;
	w->local.promised_lsn = w->promise.leader_lsn;
}

/*
 * What must outlive this worker for its promises to hold.  A vote or an
 * acquiring txn is noted here before it is sent.
 */
void
ha_worker_publish_promise(HaWorker *w)
{
	HaControlPromise old = w->promise;

	if (w->lease.view.valid)
	{
		w->promise.mode_on = w->lease.view.config.failsafe_mode;
		w->promise.term = Max(w->promise.term, w->lease.view.term.term);
	}
	w->promise.bid = w->lease.bid;
	w->promise.bid_revision = w->lease.bid_revision;
	if (memcmp(&old, &w->promise, sizeof(old)) != 0)
		ha_control_set_promise(w->control, &w->promise);
}

/*
 * A leader without the store asks for a promise.  The clock is read after the
 * question, for between this turn's beginning and now this process may have
 * been frozen, and a promise must not begin before it was asked for.
 */
void
ha_worker_take_question(HaWorker *w)
{
	HaControlQuestion question;

	ha_worker_publish_promise(w);
	if (!w->local.has_boot ||
		!ha_control_get_question(w->control, &question) ||
		question.seq == w->promise.answered)
		return;
	ha_failsafe_answer(&w->lease.view, &w->local, &question, ha_now(),
					   &w->promise);
	ha_control_set_promise(w->control, &w->promise);
	ha_worker_gather_promise(w);

	/*
	 * what has_boot rests on may be a second old, and the pid another's by
	 * now
	 */
	if (ha_process_is_alive(w->boot.pid, w->boot.pid_start))
		(void) kill(w->boot.pid, SIGUSR1);
}

/*-------------------------------------------------------------------------
 * To pg_ha_boot, through the control block
 *-------------------------------------------------------------------------
 */

static bool
is_sync_standby(const HaWorker *w)
{
	for (int i = 0; i < w->lease.view.sync.nstandbys; i++)
	{
		if (strcmp(w->lease.view.sync.standbys[i], w->local.name) == 0)
			return true;
	}
	return false;
}

static void
report_hba(HaWorker *w)
{
	HaHbaReport hba;

	ha_hba_report(&hba);
	strlcpy(w->report.hba_source, hba.source, sizeof(w->report.hba_source));
	strlcpy(w->report.hba_sha256, hba.sha256, sizeof(w->report.hba_sha256));
}

/*
 * How far we say to be while nobody leads, for members of Patroni, who leave the key to
 * one that is further: it is what our vote would tell, and less than they have where
 * we leave it to them.  They count it for their quorum, so it must be from after the end
 * of a reign of ours: before, who is asked for that tells nothing.
 */
static void
report_standing(HaWorker *w)
{
	bool		leaderless = w->lease.view.valid &&
	!w->lease.view.leader.present &&
	w->local.role == HA_ROLE_STANDBY;

	w->report.aside = w->plan.aside ||
		ha_mixed_hides(&w->lease.view, w->local.name);
	w->report.counts_timeline = leaderless ? w->plan.timeline : 0;
	w->report.counts_lsn = leaderless ? w->plan.lsn : 0;
	if (leaderless && w->plan.leaves_to > 0 &&
		w->plan.lsn >= w->plan.leaves_to)
		w->report.counts_lsn = Max(w->plan.leaves_to - 1, 1);
}

/* What nothing rests on: for dashboards. */
static void
report_figures(HaWorker *w)
{
	ha_server_replay_facts(&w->report.replay_paused,
						   &w->report.replayed_at_us);
	w->report.renewal_ms = w->last_renewal;
	w->report.worst_renewal_ms = w->worst_renewal;
	w->report.renewals = w->renewals;
	w->report.fence_refused = pg_atomic_read_u64(&ha_shared->refused);
	w->report.fence_withheld = pg_atomic_read_u64(&ha_shared->withheld);
	w->report.nstandbys = w->local.role == HA_ROLE_PRIMARY ?
		w->local.nstandbys : 0;
	for (int i = 0; i < w->report.nstandbys; i++)
	{
		const HaStandby *standby = &w->local.standbys[i];
		HaControlStandby *told = &w->report.standbys[i];

		strlcpy(told->name, standby->name, sizeof(told->name));
		told->streaming = standby->streaming;
		told->sync = false;
		for (int j = 0; j < w->local.nsync_names; j++)
			told->sync |= strcmp(w->local.sync_names[j], standby->name) == 0;
	}
}

static void
publish_report(HaWorker *w, int64 now)
{
	const HaView *view = &w->lease.view;

	w->report.heartbeat_at = now;
	w->report.role = w->local.role;
	w->report.timeline = w->local.timeline;
	w->report.flush_lsn = w->local.flush_lsn;
	w->report.replay_lsn = w->local.replay_lsn;
	w->report.streaming = w->local.streaming;
	w->report.awaited_lsn = ha_server_awaited_lsn(&w->report.has_archive);

	/* the leader's WAL is not what it waits for */
	if (w->local.nostream)
		w->report.awaited_lsn = 0;
	w->report.sysid = w->local.sysid;
	w->report.dcs_seen_at = w->lease.seen_at;
	w->report.seen_cluster_id = ha_dcs_seen(w->dcs).cluster_id;
	w->report.seen_raft_term = ha_dcs_seen(w->dcs).raft_term;
	w->report.seen_revision = ha_dcs_seen(w->dcs).revision;
	strlcpy(w->report.leader, view->leader.present ? view->leader.name : "",
			sizeof(w->report.leader));
	w->report.term = view->term.term;
	w->report.pause = view->config.pause;
	w->report.sync_standby = is_sync_standby(w);
	w->report.others_may_lead = ha_others_may_lead(view, w->local.name);
	w->report.sick = w->local.sick_since != 0;
	report_standing(w);
	w->report.follows_source = w->plan.verb == HA_FOLLOW_SOURCE ||
		(w->plan.verb == HA_FOLLOW && view->term.standby);
	w->report.standby_leader = w->local.role == HA_ROLE_STANDBY &&
		w->local.holding &&
		view->term.standby && !view->term.intent &&
		strcmp(w->report.leader, w->local.name) == 0;
	w->report.synchronous_mode = view->config.synchronous_mode;
	w->report.ttl = view->config.ttl;
	w->report.loop_wait = view->config.loop_wait;
	w->report.primary_start_timeout = view->config.primary_start_timeout;
	w->report.failsafe_active = w->local.failsafe_active;
	w->report.frozen_since = w->local.frozen_since;
	report_hba(w);
	report_figures(w);
	ha_control_set_worker(w->control, &w->report);
}

/* Wake pg_ha_boot when there is something new for it. */
static void
signal_boot(const HaWorker *w)
{
	static uint32 told_seq = 0;
	static uint32 told_promote_seq = 0;
	static HaRole told_role = HA_ROLE_UNINITIALIZED;

	if (!w->local.has_boot ||
		(told_seq == w->report.want_seq && told_role == w->local.role &&
		 told_promote_seq == w->report.promote_seq))
		return;
	told_seq = w->report.want_seq;
	told_promote_seq = w->report.promote_seq;
	told_role = w->local.role;
	(void) kill(w->boot.pid, SIGUSR1);
}

/*-------------------------------------------------------------------------
 * To sessions
 *-------------------------------------------------------------------------
 */

static uint64
lost_bytes(const HaWorker *w)
{
	const HaView *view = &w->lease.view;
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
publish_leader(const HaWorker *w)
{
	const HaMember *leader = ha_find_member(&w->lease.view, w->report.leader);

	SpinLockAcquire(&ha_shared->mutex);
	memcpy(ha_shared->leader, w->report.leader, sizeof(ha_shared->leader));
	if (leader != NULL)
	{
		memcpy(ha_shared->leader_host, leader->host,
			   sizeof(ha_shared->leader_host));
		ha_shared->leader_port = leader->port;
	}
	SpinLockRelease(&ha_shared->mutex);
}

static HaFailsafeState
failsafe_state(const HaWorker *w, int64 now)
{
	if (w->local.failsafe_active)
		return HA_FAILSAFE_ACTIVE;
	if (now < w->promise.until)
		return HA_FAILSAFE_PROMISED;
	return w->lease.view.config.failsafe_mode ?
		HA_FAILSAFE_ON : HA_FAILSAFE_OFF;
}

static void
publish_store(const HaWorker *w, HaStore *store)
{
	store->raft_term = ha_dcs_seen(w->dcs).raft_term;
	store->in_use = ha_dcs_in_use(w->dcs);
	store->nendpoints = ha_dcs_endpoints(w->dcs, store->endpoints);
	store->listed_at = w->survey.listed_at;
	store->nvoters = w->survey.nvoters;
	memcpy(store->voters, w->survey.voters, sizeof(store->voters));
}

void
ha_worker_publish(HaWorker *w, int64 now)
{
	HaPublished *p = &ha_shared->published;

	ha_worker_publish_lease(w, 0);
	publish_report(w, now);
	publish_leader(w);
	signal_boot(w);
	if (!LWLockConditionalAcquire(ha_shared->lock, LW_EXCLUSIVE))
		return;
	p->at = now;
	p->seen_at = w->lease.seen_at;
	p->proof_at = Min(w->lease.proof_base, w->lease.lease_base);
	p->config = w->lease.view.config;
	p->view = w->lease.view;
	p->local = w->local;
	p->plan = w->plan;
	p->lost_bytes = lost_bytes(w);
	p->paused_since = w->paused_since;
	memcpy(p->checks, ha_health_checks(), sizeof(p->checks));
	p->failsafe = failsafe_state(w, now);
	strlcpy(p->trouble, ha_dcs_trouble(w->dcs), sizeof(p->trouble));
	publish_store(w, &p->store);
	p->worst_renewal = w->worst_renewal;
	p->store_full = w->lease.store_full;
	if (ha_config_trouble()[0] != '\0')
		strlcpy(p->view.config_error, ha_config_trouble(),
				sizeof(p->view.config_error));
	ha_documents_publish(ha_shared->documents);
	LWLockRelease(ha_shared->lock);
}
