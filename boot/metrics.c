/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  HTTP: GET /metrics, for Prometheus.
 *
 * The names, labels and meanings of patroni_* are Patroni's, so that dashboards and
 * alerts go on working.  pg_ha_* is what Patroni has not: how much of the lease is left,
 * how long proofs take, what the fence did, and where the last failover spent its time.
 *
 * A value that is not known is left out, never made up: an alert on absence is
 * better than one that can't fire.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <time.h>

#include "pqexpbuffer.h"

#include "../history_json.h"
#include "rest_parts.h"

#define US_PER_S			INT64CONST(1000000)

typedef struct Page
{
	PQExpBufferData text;
	char		labels[256];
} Page;

/* Begin a metric. */
static void
head(Page *page, const char *name, const char *type, const char *help)
{
	appendPQExpBuffer(&page->text, "# HELP %s %s\n# TYPE %s %s\n", name, help,
					  name, type);
}

/* One value of it; "more" are further labels, with a comma before them. */
static void
value(Page *page, const char *name, const char *more, int64_t number)
{
	appendPQExpBuffer(&page->text, "%s{%s%s} " INT64_FORMAT "\n", name,
					  page->labels, more, number);
}

static void
put(Page *page, const char *name, const char *type, const char *help,
	int64_t number)
{
	head(page, name, type, help);
	value(page, name, "", number);
}

static void
gauge(Page *page, const char *name, const char *help, int64_t number)
{
	put(page, name, "gauge", help, number);
}

static void
counter(Page *page, const char *name, const char *help, int64_t number)
{
	put(page, name, "counter", help, number);
}

/* Milliseconds as seconds */
static void
put_seconds(Page *page, const char *name, const char *type, const char *help,
			int64_t ms)
{
	head(page, name, type, help);
	appendPQExpBuffer(&page->text, "%s{%s} %.3f\n", name, page->labels,
					  ms / 1000.0);
}

static void
seconds(Page *page, const char *name, const char *help, int64_t ms)
{
	put_seconds(page, name, "gauge", help, ms);
}

/* Names are [A-Za-z0-9_.-]+, so nothing in them needs to be escaped. */
static void
begin_page(Page *page, const HaNode *node)
{
	initPQExpBuffer(&page->text);
	snprintf(page->labels, sizeof(page->labels), "scope=\"%s\",name=\"%s\"",
			 node->scope, node->name);
}

/*-------------------------------------------------------------------------
 * Patroni's
 *-------------------------------------------------------------------------
 */

/* Patroni's numbers for the states of the server. */
static int
state_number(HaMemberState state)
{
	switch (state)
	{
		case HA_STATE_CLONING:
			return 4;
		case HA_STATE_RUNNING:
			return 5;
		case HA_STATE_STARTING:
		case HA_STATE_REWINDING:
			return 6;
		case HA_STATE_START_FAILED:
			return 8;
		case HA_STATE_RESTARTING:
			return 9;
		case HA_STATE_STOPPING:
			return 11;
		case HA_STATE_STOPPED:
			return 12;
		case HA_STATE_CRASHED:
			return 14;
		case HA_STATE_INITDB:
			return 0;
		case HA_STATE_UNKNOWN:
			return -1;
	}
	return -1;
}

static void
put_roles(Page *page, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	bool		running = snap->state == HA_STATE_RUNNING && snap->fresh;
	bool		standby = running && w->role == HA_ROLE_STANDBY;
	bool		quorum = w->synchronous_mode == HA_SYNC_QUORUM;

	gauge(page, "patroni_postgres_running",
		  "Value is 1 if Postgres is running, 0 otherwise.",
		  snap->state == HA_STATE_RUNNING);
	head(page, "patroni_postmaster_start_time", "gauge",
		 "Epoch seconds since Postgres started.");
	appendPQExpBuffer(&page->text, "patroni_postmaster_start_time{%s} %.6f\n",
					  page->labels, snap->state == HA_STATE_RUNNING ?
					  w->postmaster_started_us / (double) US_PER_S : 0.0);
	gauge(page, "patroni_primary",
		  "Value is 1 if this node is the leader, 0 otherwise.", snap->leader);
	gauge(page, "patroni_standby_leader",
		  "Value is 1 if this node is the standby_leader, 0 otherwise.",
		  snap->standby_leader);
	gauge(page, "patroni_replica",
		  "Value is 1 if this node is a replica, 0 otherwise.", standby);
	gauge(page, "patroni_sync_standby",
		  "Value is 1 if this node is a sync standby, 0 otherwise.",
		  standby && w->sync_standby && !quorum);
	gauge(page, "patroni_quorum_standby",
		  "Value is 1 if this node is a quorum standby, 0 otherwise.",
		  standby && w->sync_standby && quorum);
}

static void
put_positions(Page *page, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	bool		running = snap->state == HA_STATE_RUNNING && snap->fresh;
	bool		standby = running && w->role == HA_ROLE_STANDBY;

	counter(page, "patroni_xlog_location",
			"Current location of the Postgres transaction log, 0 if this node is not the leader.",
			snap->leader ? w->flush_lsn : 0);
	counter(page, "patroni_xlog_received_location",
			"Current location of the received Postgres transaction log, 0 if this node is not a replica.",
			standby ? w->flush_lsn : 0);
	counter(page, "patroni_xlog_replayed_location",
			"Current location of the replayed Postgres transaction log, 0 if this node is not a replica.",
			standby ? w->replay_lsn : 0);
	gauge(page, "patroni_xlog_replayed_timestamp",
		  "Current timestamp of the replayed Postgres transaction log, 0 if null.",
		  standby ? w->replayed_at_us / US_PER_S : 0);
	gauge(page, "patroni_xlog_paused",
		  "Value is 1 if the Postgres xlog is paused, 0 otherwise.",
		  standby && w->replay_paused);
	gauge(page, "patroni_postgres_streaming",
		  "Value is 1 if Postgres is streaming, 0 otherwise.",
		  standby && w->streaming);
	gauge(page, "patroni_postgres_in_archive_recovery",
		  "Value is 1 if Postgres is replicating from archive, 0 otherwise.",
		  standby && !w->streaming && w->has_archive);
	gauge(page, "patroni_postgres_server_version",
		  "Version of Postgres (if running), 0 otherwise.",
		  running ? w->server_version : 0);
	gauge(page, "patroni_postgres_timeline",
		  "Postgres timeline of this node (if running), 0 otherwise.",
		  running ? w->timeline : 0);
}

static void
put_cluster(Page *page, const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaConfig *config = ha_session_config(rest->session);
	HaMember	tags;

	memset(&tags, 0, sizeof(tags));
	ha_node_tags(rest->node, &tags);
	gauge(page, "patroni_cluster_unlocked",
		  "Value is 1 if the cluster is unlocked, 0 if locked.",
		  snap->unlocked);
	gauge(page, "patroni_failsafe_mode_enabled",
		  "Value is 1 if failsafe mode is enabled, 0 if disabled.",
		  config->failsafe_mode);
	gauge(page, "patroni_failsafe_mode_is_active",
		  "Value is 1 if failsafe mode is active, 0 if inactive.",
		  snap->failsafe_active);
	gauge(page, "patroni_dcs_last_seen",
		  "Epoch timestamp when DCS was last contacted successfully.",
		  snap->seen_at > 0 ?
		  time(NULL) - (snap->now - snap->seen_at) / 1000 : 0);
	gauge(page, "patroni_pending_restart",
		  "Value is 1 if the node needs a restart, 0 otherwise.",
		  snap->pending_restart);
	gauge(page, "patroni_is_paused",
		  "Value is 1 if auto failover is disabled, 0 otherwise.",
		  config->pause);
	gauge(page, "patroni_postgres_state",
		  "Numeric representation of Postgres state.",
		  state_number(snap->state));
	gauge(page, "patroni_failover_priority",
		  "Failover priority of this node.", tags.failover_priority);
}

/*-------------------------------------------------------------------------
 * Ours
 *-------------------------------------------------------------------------
 */

static void
put_lease(Page *page, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	int64_t		left = snap->deadline - snap->now;

	seconds(page, "pg_ha_deadline_left_seconds",
			"How long this member may still acknowledge commits, 0 if it may not.",
			snap->deadline > 0 && left > 0 ? left : 0);
	if (!snap->known)
		return;
	gauge(page, "pg_ha_term", "Number of the reign that was seen last.",
		  w->term);
	seconds(page, "pg_ha_ttl_seconds", "Length of the leader's lease.",
			w->ttl);
	counter(page, "pg_ha_renewals_total",
			"Proofs of the lease since the worker began.", w->renewals);
	if (w->renewal_ms >= 0)
	{
		seconds(page, "pg_ha_renewal_seconds",
				"How long the last proof of the lease took.", w->renewal_ms);
		seconds(page, "pg_ha_renewal_worst_seconds",
				"How long the slowest proof took since the worker began.",
				w->worst_renewal_ms);
	}
	counter(page, "pg_ha_fence_refused_total",
			"Statements and commits that the fence refused since the server began.",
			w->fence_refused);
	counter(page, "pg_ha_fence_withheld_total",
			"Commits that were left without an answer since the server began.",
			w->fence_withheld);
	gauge(page, "pg_ha_sick", "Value is 1 if a check of the disks fails.",
		  w->sick);
	seconds(page, "pg_ha_worker_age_seconds",
			"How long ago the worker was heard last.",
			Max(snap->now - w->heartbeat_at, 0));
}

/* Phases that were not gone through are left out. */
static void
put_last_failover(Page *page, const HaChange *change)
{
	static const char name[] = "pg_ha_last_failover_phase_seconds";

	if (!change->present || !change->complete)
		return;
	head(page, name, "gauge",
		 "How long each phase of the cluster's last failover or switchover took.");
	for (int i = 0; i < HA_PHASES; i++)
	{
		int64_t		ms;
		const char *phase = ha_change_phase(change, i, &ms);

		if (ms >= 0)
			appendPQExpBuffer(&page->text, "%s{%s,phase=\"%s\"} %.3f\n", name,
							  page->labels, phase, ms / 1000.0);
	}
	seconds(page, "pg_ha_last_failover_timestamp_seconds",
			"When it began, in epoch seconds.", change->started_at);
	gauge(page, "pg_ha_last_failover_planned",
		  "Value is 1 if it was a switchover.", change->planned);
	gauge(page, "pg_ha_last_failover_lost_bytes",
		  "WAL of the old leader that it lost.", change->lost_bytes);
}

/* Of the members, as the store was read last. */
static void
put_members(Page *page, const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaView *view = ha_session_last_view(rest->session);
	bool		standby = snap->fresh && snap->worker.role == HA_ROLE_STANDBY;

	gauge(page, "pg_ha_members", "Members whose key is in the store.",
		  view->nmembers);
	if (standby)
		gauge(page, "pg_ha_replay_lag_bytes",
			  "What the leader was last known to have and this member has not replayed.",
			  snap->lag);
	counter(page, "pg_ha_http_requests_total",
			"Requests since pg_ha_boot began.", rest->requests);
	counter(page, "pg_ha_http_refused_total",
			"Of these, and of connections, those refused or ended by access rules and limits.",
			rest->refused);
}

char *
ha_rest_metrics(const HaRest *rest, const HaRestSnapshot *snap)
{
	Page		page;
	char	   *text;
	int			version[3] = {0};

	begin_page(&page, rest->node);
	(void) sscanf(HA_PATRONI_LEVEL, "%d.%d.%d", &version[0], &version[1],
				  &version[2]);
	appendPQExpBuffer(&page.text,
					  "# HELP patroni_version Patroni semver without periods.\n"
					  "# TYPE patroni_version gauge\npatroni_version{%s} %02d%02d%02d\n",
					  page.labels, version[0], version[1], version[2]);
	put_roles(&page, snap);
	put_positions(&page, snap);
	put_cluster(&page, rest, snap);
	put_lease(&page, snap);
	put_last_failover(&page, &ha_session_last_view(rest->session)->change);
	put_members(&page, rest, snap);
	text = PQExpBufferDataBroken(page.text) ? NULL : strdup(page.text.data);
	termPQExpBuffer(&page.text);
	return text;
}
