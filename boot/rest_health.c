/*-------------------------------------------------------------------------
 *
 * rest_health.c
 *	  HTTP: how this member is, for load balancers.
 *
 * Each request is answered from a snapshot taken for it: the worker's section
 * of the control block, the deadline, and the clock, in this order.  So a
 * member that was overtaken by its deadline is no leader in any answer, even
 * if the worker, the server or the whole machine was frozen in between (S-12).
 *
 *-------------------------------------------------------------------------
 */
#include "../cluster.h"
#include "postgres_fe.h"

#include "rest_parts.h"

/*
 * The worker writes at least twice a second; what is older counts for nothing.
 */
#define SNAPSHOT_MS			1000

/* For liveness, while the worker does not know the lease's length. */
#define DEFAULT_TTL_MS		10000

/*
 * How far a position is behind the leader, as far as this member can know: the store
 * was told a loop_wait ago, and what has been received is there too.
 */
static int64_t
lag_behind(const HaRest *rest, const HaControlWorker *w, uint64_t lsn)
{
	const HaView *view = ha_session_last_view(rest->session);
	uint64_t	ahead = Max(w->flush_lsn, Max(view->optime, view->heartbeat.lsn));

	return ahead > lsn ? Min(ahead - lsn, (uint64_t) PG_INT64_MAX) : 0;
}

/*
 * Nobody is known to have the leader key: it is not there, or etcd has not been seen for
 * so long that its lease may be over.
 */
static bool
is_unlocked(const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	bool		present = ha_session_last_view(rest->session)->leader.present;

	if (snap->fresh && w->dcs_seen_at > 0)
		present = w->leader[0] != '\0';
	return !present || snap->seen_at == 0 ||
		snap->now - snap->seen_at >= ha_session_config(rest->session)->ttl;
}

void
ha_rest_snapshot(const HaRest *rest, HaRestSnapshot *snap)
{
	const HaView *view = ha_session_last_view(rest->session);
	const HaControlWorker *w = &snap->worker;
	const HaMember *self = ha_find_member(view, rest->node->name);
	HaControlPromise promise;

	memset(snap, 0, sizeof(*snap));
	snap->known = ha_control_get_worker(rest->control, &snap->worker);
	snap->deadline = ha_control_get_deadline(rest->control);
	(void) ha_control_get_promise(rest->control, &promise);
	snap->state = *rest->state;

	/*
	 * Last, so that whatever delays us makes the rest look older, not newer.
	 */
	snap->now = ha_now();
	snap->fresh = snap->known && w->heartbeat_at <= snap->now &&
		snap->now - w->heartbeat_at < SNAPSHOT_MS;
	snap->leader = snap->fresh && snap->state == HA_STATE_RUNNING &&
		w->role == HA_ROLE_PRIMARY && snap->now < snap->deadline;
	snap->standby_leader = snap->fresh && snap->state == HA_STATE_RUNNING &&
		w->standby_leader && snap->now - w->dcs_seen_at < w->ttl;
	snap->pending_restart = w->pending_restart[0] != '\0' ||
		(self != NULL && self->pending_restart[0] != '\0');
	snap->seen_at = Max(snap->known ? w->dcs_seen_at : 0,
						view->valid ? view->sent_at : 0);
	snap->unlocked = is_unlocked(rest, snap);
	snap->failsafe_active = snap->now < promise.until ||
		(snap->leader && w->failsafe_active);
	snap->lag = lag_behind(rest, w, w->replay_lsn);
	snap->write_lag = lag_behind(rest, w, w->flush_lsn);
}

/*
 * The checks: each says whether its paths get 200 or 503.
 */

static bool
is_leader(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->leader;
}

static bool
is_standby_leader(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->standby_leader;
}

static bool
is_any_leader(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->leader || snap->standby_leader;
}

static bool
has_tag(const HaRest *rest, const char *tag)
{
	json_t	   *tags = ha_rest_tags(rest);
	bool		has = json_is_true(json_object_get(tags, tag));

	json_decref(tags);
	return has;
}

static bool
is_replica(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->fresh && !snap->standby_leader &&
		snap->state == HA_STATE_RUNNING &&
		snap->worker.role == HA_ROLE_STANDBY &&
		!has_tag(rest, "noloadbalance");
}

static bool
is_readable(const HaRest *rest, const HaRestSnapshot *snap)
{
	return is_any_leader(rest, snap) || is_replica(rest, snap);
}

static bool
is_sync(const HaRest *rest, const HaRestSnapshot *snap)
{
	return is_replica(rest, snap) && snap->worker.sync_standby &&
		snap->worker.synchronous_mode != HA_SYNC_QUORUM;
}

static bool
is_quorum(const HaRest *rest, const HaRestSnapshot *snap)
{
	return is_replica(rest, snap) && snap->worker.sync_standby &&
		snap->worker.synchronous_mode == HA_SYNC_QUORUM;
}

static bool
is_async(const HaRest *rest, const HaRestSnapshot *snap)
{
	return is_replica(rest, snap) && !snap->worker.sync_standby;
}

static bool
is_running(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->state == HA_STATE_RUNNING;
}

/*
 * Is the machinery alive?  That pg_ha_boot is, shows in the answer.  Of the
 * worker as much patience as Patroni has, since "no" gets the node restarted.
 */
static bool
is_alive(const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaControlWorker *w = &snap->worker;
	int64_t		patience = w->ttl > 0 ? w->ttl : DEFAULT_TTL_MS;

	if (w->role != HA_ROLE_PRIMARY)
		patience *= 2;

	if (snap->state != HA_STATE_RUNNING)
		return true;			/* there need not be a worker */
	return snap->known &&
		(w->pause || snap->now - w->heartbeat_at < patience);
}

static bool
is_ready(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->leader ||
		(snap->fresh && snap->state == HA_STATE_RUNNING &&
		 snap->worker.role == HA_ROLE_STANDBY && snap->worker.streaming);
}

/* The same for reads that must not be behind what was acknowledged. */
static bool
is_read_only_sync(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->leader || is_sync(rest, snap);
}

static bool
is_read_only_quorum(const HaRest *rest, const HaRestSnapshot *snap)
{
	return snap->leader || is_quorum(rest, snap);
}

static bool
is_always(const HaRest *rest, const HaRestSnapshot *snap)
{
	return true;
}

/* The conditions that the query may add to a path. */
typedef enum Narrow
{
	NARROW_NOT,
	NARROW_READY,				/* lag=, mode= */
	NARROW_TAGS,				/* tag_KEY= */
	NARROW_REPLICA,				/* lag=, replication_state=, tag_KEY= */
} Narrow;

typedef struct Path
{
	const char *path;
	bool		(*check) (const HaRest *rest, const HaRestSnapshot *snap);
	bool		json;			/* GET tells the state too */
	Narrow		narrow;
} Path;

static const Path paths[] = {
	{"/", is_leader, true, NARROW_NOT},
	{"/primary", is_leader, true, NARROW_NOT},
	{"/leader", is_any_leader, true, NARROW_NOT},
	{"/master", is_leader, true, NARROW_NOT},
	{"/read-write", is_leader, true, NARROW_NOT},
	{"/replica", is_replica, true, NARROW_REPLICA},
	{"/read-only", is_readable, true, NARROW_REPLICA},
	{"/read-only-sync", is_read_only_sync, true, NARROW_REPLICA},
	{"/read-only-synchronous", is_read_only_sync, true, NARROW_REPLICA},
	{"/read-only-quorum", is_read_only_quorum, true, NARROW_REPLICA},
	{"/standby-leader", is_standby_leader, true, NARROW_NOT},
	{"/standby_leader", is_standby_leader, true, NARROW_NOT},
	{"/sync", is_sync, true, NARROW_REPLICA},
	{"/synchronous", is_sync, true, NARROW_REPLICA},
	{"/quorum", is_quorum, true, NARROW_REPLICA},
	{"/async", is_async, true, NARROW_REPLICA},
	{"/asynchronous", is_async, true, NARROW_REPLICA},
	{"/health", is_running, true, NARROW_TAGS},
	{"/liveness", is_alive, false, NARROW_NOT},
	{"/readiness", is_ready, false, NARROW_READY},
	{"/patroni", is_always, true, NARROW_NOT},
};

/* Bytes of "1024", "16kB", "10MB", "1GB"; false if it is none of these. */
static bool
parse_bytes(const char *text, int64_t *bytes)
{
	static const char *const units[] = {"", "kB", "MB", "GB", "TB"};
	char	   *unit;
	long long	number;

	errno = 0;
	number = strtoll(text, &unit, 10);
	if (unit == text || errno != 0 || number < 0)
		return false;
	for (int i = 0; i < lengthof(units); i++)
	{
		if (pg_strcasecmp(unit, units[i]) == 0)
		{
			*bytes = number > (PG_INT64_MAX >> (10 * i)) ? PG_INT64_MAX :
				(int64_t) number << (10 * i);
			return true;
		}
	}
	return false;
}

static const char *
argument(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

/*
 * lag=: a standby that does not stream does not know how far it is behind, and so is
 * not fit.
 */
static bool
lag_is_fit(struct MHD_Connection *connection, const HaRestSnapshot *snap)
{
	const char *text = argument(connection, "lag");
	int64_t		limit;

	if (text == NULL || !parse_bytes(text, &limit))
		return true;			/* as Patroni does */
	return snap->worker.streaming && snap->lag <= limit;
}

/*
 * For a rolling change: only a standby that could take over counts as ready, or one
 * that is as near as lag= says, having applied or, with mode=write, received it.
 */
static bool
readiness_is_fit(const HaRest *rest, struct MHD_Connection *connection,
				 const HaRestSnapshot *snap)
{
	const char *text = argument(connection, "lag");
	const char *mode = argument(connection, "mode");
	int64_t		limit;

	if (text == NULL || !parse_bytes(text, &limit))
		limit = ha_session_config(rest->session)->maximum_lag_on_failover;
	return (mode != NULL && strcmp(mode, "write") == 0 ?
			snap->write_lag : snap->lag) <= limit;
}

/* Compare a tag with text in the way Patroni does, str(tag).lower(). */
static bool
tag_equals(const json_t *tag, const char *text)
{
	char		number[32];

	if (json_is_boolean(tag))
		return pg_strcasecmp(text, json_is_true(tag) ? "true" : "false") == 0;
	if (json_is_string(tag))
		return pg_strcasecmp(text, json_string_value(tag)) == 0;
	if (!json_is_integer(tag))
		return false;
	snprintf(number, sizeof(number), "%lld",
			 (long long) json_integer_value(tag));
	return strcmp(text, number) == 0;
}

typedef struct TagQuery
{
	json_t	   *tags;
	bool		fit;
} TagQuery;

static enum MHD_Result
check_tag_argument(void *arg, enum MHD_ValueKind kind, const char *key,
				   const char *value)
{
	TagQuery   *query = arg;

	if (strncmp(key, "tag_", 4) == 0 &&
		!tag_equals(json_object_get(query->tags, key + 4),
					value != NULL ? value : ""))
		query->fit = false;
	return MHD_YES;
}

static bool
tags_are_fit(const HaRest *rest, struct MHD_Connection *connection)
{
	TagQuery	query = {ha_rest_tags(rest), true};

	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND,
							  check_tag_argument, &query);
	json_decref(query.tags);
	return query.fit;
}

/*
 * Do the conditions in the query hold?  Only standbys are behind somebody; tags are
 * looked at wherever the path does not ask for the leader alone.
 */
static bool
query_is_fit(const HaRest *rest, const Path *path, const HaRestSnapshot *snap,
			 struct MHD_Connection *connection)
{
	const char *state = argument(connection, "replication_state");

	if (path->narrow == NARROW_NOT)
		return true;
	if (path->narrow == NARROW_READY)
		return snap->leader || readiness_is_fit(rest, connection, snap);
	if (path->narrow == NARROW_REPLICA && !is_any_leader(rest, snap) &&
		(!lag_is_fit(connection, snap) ||
		 (state != NULL && !(snap->worker.streaming &&
							 strcmp(state, "streaming") == 0))))
		return false;
	return tags_are_fit(rest, connection);
}

unsigned int
ha_rest_health(const HaRest *rest, const HaRestSnapshot *snap,
			   struct MHD_Connection *connection, const char *path, bool *json)
{
	*json = true;				/* as Patroni tells it to any other path */
	for (int i = 0; i < lengthof(paths); i++)
	{
		const Path *known = &paths[i];

		if (strcmp(path, known->path) != 0)
			continue;
		*json = known->json;
		if (known->check(rest, snap) &&
			query_is_fit(rest, known, snap, connection))
			return MHD_HTTP_OK;
	}
	return MHD_HTTP_SERVICE_UNAVAILABLE;
}
