/*-------------------------------------------------------------------------
 *
 * cluster_stop.c
 *	  The stop of the whole cluster, in which nobody is elected.
 *
 * pg_ha/stop names the leader and its term.  Each pg_ha_boot that sees it says so
 * in its member key.  Then the leader's server is stopped while the standbys
 * stream, so that they get its shutdown checkpoint, whose position it tells in its
 * member key.  A standby stops when it has replayed that, so its own last
 * restartpoint is the same checkpoint.
 *
 * Nobody can be elected meanwhile, since the leader key stands: the leader's
 * pg_ha_boot renews its lease, from the end of the worker on until the others have
 * gone.  That takes no rule of the election, and nothing has to be undone at the
 * next start: in the transaction that gives the key up the stop goes too, and
 * /failover names the former leader as the one to whom the others leave the key
 * for a TTL.  All have the same data then, so who leads is a matter of taste.
 *
 * Renewing the lease without a worker is safe (S-7): it keeps others from leading
 * and lets nobody acknowledge anything.  It is done only when the worker is dead,
 * so that a frozen one still loses the key.
 *
 * What goes wrong makes the stop less orderly, but never hinders it: who has waited
 * for long enough stops, and so does who finds that the leader has gone.  A stop
 * counts only in the reign that it was put in; what is left of one is no order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "../cluster_json.h"
#include "../request_json.h"
#include "cluster_stop.h"
#include "request.h"
#include "supervise.h"
#include "uuid.h"

/* The leader waits so long (and a loop_wait) for the others to know of it. */
#define KNOWN_WAIT			3000

/* A standby waits so long for the leader's shutdown checkpoint. */
#define CHECKPOINT_WAIT		20000

/* The leader waits so long, once it is down, for the others to be gone. */
#define OTHERS_WAIT			15000

/* How often to look for news. */
#define LOOK_EVERY			200

/* The lease is not renewed for longer than this, whatever happens. */
#define KEEP_KEY_FOR		120000

static bool
is_last(const HaBoot *b)
{
	return strcmp(b->duty.request.leader, b->node.name) == 0;
}

static bool
is_asked(const HaBoot *b)
{
	return b->duty.stage != REQUEST_NONE &&
		b->duty.request.kind == HA_REQUEST_STOP;
}

/* Is the cluster to stop?  Then that is what we were asked for. */
static void
look_for_stop(HaBoot *b, const HaView *view)
{
	HaDuty	   *duty = &b->duty;

	if (is_asked(b) || !ha_stop_counts(view) || ha_uuid_is_another(b, view))
		return;
	duty->request = view->stop;
	duty->stage = REQUEST_BEGUN;
	duty->taken_at = ha_now();
	memset(&duty->progress, 0, sizeof(duty->progress));
	duty->progress.state = HA_PROGRESS_RUNNING;
	duty->progress.kind = HA_REQUEST_STOP;
	strlcpy(duty->progress.id, duty->request.id, sizeof(duty->progress.id));
	strlcpy(duty->progress.text, is_last(b) ? "waits for all to know of it" :
			"waits for the leader's shutdown checkpoint",
			sizeof(duty->progress.text));
	pg_log_info("member \"%s\" was asked to stop the whole cluster",
				duty->request.asked_by);
}

/* The members whose keys stand, other than this one, that have (not) said it. */
static int
count_others(const HaBoot *b, const HaView *view, bool who_know)
{
	int			n = 0;

	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->node.name) != 0 && member->lease != 0 &&
			(!who_know ||
			 strcmp(member->progress.id, b->duty.request.id) == 0))
			n++;
	}
	return n;
}

static const char *
serving_leader(HaBoot *b, const HaView *view)
{
	if (count_others(b, view, true) < count_others(b, view, false) &&
		b->now - b->duty.taken_at < KNOWN_WAIT + view->config.loop_wait)
		return NULL;
	strlcpy(b->duty.progress.text, "stops", sizeof(b->duty.progress.text));
	b->stop_requested = true;
	return "the whole cluster stops";
}

static const HaMember *
find_leader(const HaBoot *b, const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		if (strcmp(view->members[i].name, b->duty.request.leader) == 0)
			return &view->members[i];
	}
	return NULL;
}

static const char *
serving_standby(HaBoot *b, const HaView *view)
{
	const HaMember *leader = find_leader(b, view);
	uint64_t	lsn = 0;
	HaControlWorker w;
	const char *why = NULL;

	if (leader != NULL &&
		strcmp(leader->progress.id, b->duty.request.id) == 0)
		lsn = leader->progress.lsn;

	/* it may still be in its before_stop; if it dies, its key goes */
	if (leader != NULL && leader->state == HA_STATE_RUNNING)
		b->duty.taken_at = b->now;
	if (leader == NULL || !ha_stop_counts(view))
		why = "the whole cluster stops, and its leader is gone";
	else if (lsn != 0 && ha_boot_worker(b, &w) && w.replay_lsn > lsn)
		why = "the whole cluster stops, and the leader's shutdown checkpoint is here";
	else if (b->now - b->duty.taken_at > CHECKPOINT_WAIT)
		why = "the whole cluster stops, and the leader's shutdown checkpoint did not come";
	if (why != NULL)
		b->stop_requested = true;
	return why;
}

const char *
ha_cluster_stop_serving(HaBoot *b, const HaView *view)
{
	ha_session_look_every(b->session, LOOK_EVERY);
	if (view->stop.mod_revision == 0 && view->leader.present &&
		strcmp(view->leader.name, b->duty.request.leader) == 0)
	{
		pg_log_info("the stop of the whole cluster was called off");
		b->duty.stage = REQUEST_NONE;
		b->duty.progress.state = HA_PROGRESS_FAILED;
		strlcpy(b->duty.progress.text, "called off",
				sizeof(b->duty.progress.text));
		ha_session_look_every(b->session, 0);
		return NULL;
	}
	return is_last(b) ? serving_leader(b, view) : serving_standby(b, view);
}

/*
 * Renew the lease of the leader key, from the end of the worker until the key is
 * given up.
 */
static void
keep_key(HaBoot *b)
{
	if (is_asked(b) && is_last(b) && b->stop_requested &&
		b->now - b->duty.taken_at <= KEEP_KEY_FOR && b->duty.releases == 0)
		ha_boot_keep_lease(b, &b->duty.keep_at);
}

void
ha_cluster_stop_round(HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);

	if (view->valid)
		look_for_stop(b, view);

	/* Who clones has no server to wait for. */
	if (is_asked(b) && b->job > 0)
		b->stop_requested = true;
	keep_key(b);
}

/*
 * Our server is down, the key still ours.  Tell where its shutdown checkpoint is;
 * without one there is nothing to wait for, and position 1 says so.
 */
bool
ha_cluster_stop_waits(HaBoot *b, const HaView *view,
					  const HaDataFacts *facts)
{
	HaDuty	   *duty = &b->duty;
	int			others;

	if (!is_asked(b) || !is_last(b))
		return false;
	if (duty->stopped_at == 0)
	{
		duty->stopped_at = b->now;
		duty->progress.lsn = facts->clean && facts->was_primary ?
			facts->checkpoint_lsn : 1;
		strlcpy(duty->progress.text, "waits for the others to be gone",
				sizeof(duty->progress.text));
	}
	others = count_others(b, view, false);
	if (others == 0)
		return false;
	if (b->now - duty->stopped_at > OTHERS_WAIT)
	{
		pg_log_warning("%d other members have not stopped", others);
		return false;
	}
	ha_boot_wait_for(b, "%d other members to stop", others);
	return true;
}

void
ha_cluster_stop_release(HaBoot *b, const HaView *view, HaTxn *txn)
{
	if (!is_asked(b) || !is_last(b))
		return;
	if (view->stop.mod_revision != 0)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, "pg_ha/stop",
					   view->stop.mod_revision);
		ha_txn_delete(txn, "pg_ha/stop");
	}

	/* A wish in /failover that can't be read must not keep the key ours. */
	if (b->duty.releases++ > 0)
		return;
	ha_txn_compare(txn, HA_MOD_REVISION, "failover",
				   view->failover.mod_revision);
	ha_txn_put(txn, "failover", ha_failover_json("", b->node.name), 0);
}
