/*-------------------------------------------------------------------------
 *
 * request.c
 *	  What operators ask of this node through the store, and a new copy of the
 *	  data as the first such thing.
 *
 * A request stands in the store until this file has ended it.  What has been taken
 * up is remembered in the state directory before anything is done, so that a life
 * of pg_ha_boot that is cut short is taken up where it was, and nothing is done
 * twice: neither when the key could not be removed, nor when a put of long ago
 * lands after all.  The latter had been decided at a revision of the store that is
 * older than our last end of a request.
 *
 * Reinit.  Three things must never happen:
 *
 * - The leader's data goes.  It is looked at twice, by linearizable reads of
 *	 after the request was seen: before the server is stopped, and again when no
 *	 process of it is left.  Both must show that somebody else leads a confirmed
 *	 reign.  Between the two this server may have been elected, in vain; after the
 *	 second it can't be any more, since only its own worker could take the key.
 *
 * - The only copy of an acknowledged commit goes.  Whoever leads a confirmed reign
 *	 has all of them: by S-1 it was elected with what was confirmed before, and
 *	 what is confirmed in its own reign it had flushed first.  Should it die while
 *	 our data is aside, we cast no vote (S-2), so the others elect only if they can
 *	 without us, by the quorum of /sync; else nobody leads, nothing is lost, and
 *	 the old data can be put back.
 *
 * - A vote of ours that tells less than we once confirmed, while /sync lists us:
 *	 then somebody could be elected who lacks a commit (S-3, S-17).  A clone of the
 *	 leader has all that we ever confirmed to it.  One of another standby may not,
 *	 and even with the leader's the cluster should not count on a member that is
 *	 about to have nothing.  So the data stays until the leader, to whom we don't
 *	 stream any more, has taken us out of /sync.
 *
 * If anything of this does not come about, the server starts again on the data
 * that it has, and the member key says why.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <inttypes.h>

#include "common/logging.h"

#include "../request_json.h"
#include "../wall_time.h"
#include "cluster_stop.h"
#include "files.h"
#include "leader.h"
#include "request.h"
#include "supervise.h"
#include "uuid.h"

#define MEMORY_FILE			"request"

/* A key that could not be removed is tried again after it. */
#define REMOVE_AGAIN		1000

/* The leader takes a member that is gone out of /sync within it, if ever. */
#define SYNC_WAIT			30000

/* The lease of a leader that restarts is not renewed for longer than this. */
#define RESTART_WAIT		120000

/* What was scheduled is not done when this node comes back so much later. */
#define LATEST				60000

/* The leader has got over a member that left /sync after it. */
#define STEPPED_OUT_FOR		500

static const char *const stage_words[] = {"none", "begun", "moved", "ended"};

/*
 * Remembering.
 */

bool
ha_request_remember(HaBoot *b)
{
	HaRequestMemory *memory = &b->duty.memory;
	char		path[MAXPGPATH];
	char		id[64];
	char		stage[16];
	FILE	   *file;
	int			n;

	if (!ha_path_in(path, b->node.state_dir, MEMORY_FILE))
		return false;
	file = fopen(path, "re");
	if (file == NULL && errno == ENOENT)
		return true;
	if (file == NULL)
	{
		pg_log_error("could not open file \"%s\": %m", path);
		return false;
	}
	n = fscanf(file, "%63s %15s %" SCNu64 " %" SCNd64, id, stage,
			   &memory->cluster_id, &memory->revision);
	fclose(file);
	for (int i = REQUEST_BEGUN; i <= REQUEST_ENDED; i++)
	{
		if (n == 4 && strcmp(stage, stage_words[i]) == 0)
			memory->stage = i;
	}
	if (memory->stage != REQUEST_NONE && ha_request_id_is_valid(id))
	{
		strlcpy(memory->id, id, sizeof(memory->id));
		return true;
	}
	pg_log_error("file \"%s\" does not hold what it should", path);
	pg_log_error_hint("Remove it: then this node does not remember which request it has carried out last.");
	return false;
}

/* false: reported. */
static bool
note_stage(HaBoot *b, HaRequestStage stage)
{
	HaRequestMemory *memory = &b->duty.memory;
	const HaView *view = ha_session_last_view(b->session);
	char		path[MAXPGPATH];
	char		line[128];

	strlcpy(memory->id, b->duty.request.id, sizeof(memory->id));
	memory->stage = stage;
	memory->cluster_id = view->cluster_id;
	memory->revision = view->revision;
	snprintf(line, sizeof(line), "%s %s %" PRIu64 " %" PRId64 "\n",
			 memory->id, stage_words[stage], memory->cluster_id,
			 memory->revision);
	return ha_path_in(path, b->node.state_dir, MEMORY_FILE) &&
		ha_replace_file(path, line, 0600, true);
}

/*
 * Progress and end.
 */

static void
say(HaBoot *b, const char *text)
{
	strlcpy(b->duty.progress.text, text, sizeof(b->duty.progress.text));
}

static const char *
done_words(HaMemberRequestKind kind)
{
	return kind == HA_REQUEST_RESTART ? "restarted" :
		kind == HA_REQUEST_RELOAD ? "reloaded" : "the data was made anew";
}

static const char *
failed_words(HaMemberRequestKind kind)
{
	return kind == HA_REQUEST_RESTART ? "the server is not restarted" :
		kind == HA_REQUEST_RELOAD ? "the configuration is not read" :
		"the data is not made anew";
}

static void
end(HaBoot *b, HaProgressState state, const char *why)
{
	(void) note_stage(b, REQUEST_ENDED);
	b->duty.stage = REQUEST_NONE;
	b->duty.steps_out = false;
	b->duty.progress.state = state;
	say(b, why);
	if (state == HA_PROGRESS_DONE)
		pg_log_info("%s, as was asked for on member \"%s\": %s",
					done_words(b->duty.request.kind), b->duty.request.asked_by,
					why);
	else if (state == HA_PROGRESS_DECLINED)
		pg_log_info("%s, as its conditions do not hold: %s",
					failed_words(b->duty.request.kind), why);
	else
		pg_log_warning("%s: %s", failed_words(b->duty.request.kind), why);
}

/* The next read tells whether it is gone. */
static void
remove_key(HaBoot *b, const HaMemberRequest *request)
{
	char		key[HA_KEY_SIZE];
	HaTxn		txn;

	if (b->now < b->duty.remove_at)
		return;
	b->duty.remove_at = b->now + REMOVE_AGAIN;
	snprintf(key, sizeof(key), "pg_ha/requests/%s", b->node.name);
	memset(&txn, 0, sizeof(txn));
	ha_txn_compare(&txn, HA_MOD_REVISION, key, request->mod_revision);
	ha_txn_delete(&txn, key);
	(void) ha_session_send_txn(b->session, &txn);
}

/*
 * Taking up.
 */

/* Why a request is not for us to carry out; NULL = it is. */
static const char *
reason_to_refuse(const HaBoot *b, const HaView *view,
				 const HaMemberRequest *request)
{
	const HaRequestMemory *memory = &b->duty.memory;

	if (request->kind == HA_REQUEST_UNREADABLE)
		return "it can't be read";
	if (strcmp(request->identity, b->identity) != 0)
		return "it was meant for another node of this name";
	if (request->at != 0 && strcmp(request->id, memory->id) != 0 &&
		ha_wall_clock() - request->at > LATEST)
		return "its time has passed";
	if (memory->stage != REQUEST_ENDED ||
		memory->cluster_id != view->cluster_id)
		return NULL;
	if (strcmp(request->id, memory->id) != 0 &&
		request->seen_revision < memory->revision)
		return "it is older than the last one that was carried out";
	return NULL;
}

static void
take_up(HaBoot *b, const HaMemberRequest *request)
{
	HaDuty	   *duty = &b->duty;
	bool		resumed = strcmp(duty->memory.id, request->id) == 0 &&
	duty->memory.stage == REQUEST_MOVED;

	duty->request = *request;
	duty->stage = resumed ? REQUEST_MOVED : REQUEST_BEGUN;
	duty->taken_at = ha_now();
	duty->judged_from = 0;
	duty->steps_out = false;
	duty->stepped_out_at = 0;
	memset(&duty->progress, 0, sizeof(duty->progress));
	duty->progress.state = HA_PROGRESS_RUNNING;
	duty->progress.kind = request->kind;
	strlcpy(duty->progress.id, request->id, sizeof(duty->progress.id));
	say(b, !resumed ? "taken up" :
		request->kind == HA_REQUEST_RESTART ? "starting" : "clone");
	pg_log_info(request->kind == HA_REQUEST_RESTART ?
				"member \"%s\" was asked to restart the server of this one" :
				request->kind == HA_REQUEST_RELOAD ?
				"member \"%s\" was asked to have the configuration of this one read anew" :
				"member \"%s\" was asked to have the data of this one made anew",
				request->asked_by);
	if (!resumed && !note_stage(b, REQUEST_BEGUN))
		duty->stage = REQUEST_NONE; /* and once more in the next round */
}

/*
 * Has something been asked?  May the key be removed, if it is not wanted?  Not
 * while others use the one request that a session has out at a time.
 */
static void
look_for_request(HaBoot *b, const HaView *view, bool may_remove)
{
	HaDuty	   *duty = &b->duty;
	const HaMemberRequest *request = ha_find_request(view, b->node.name);
	const char *why;
	bool		ended;

	if (request == NULL ||
		(duty->stage != REQUEST_NONE &&
		 (duty->request.kind == HA_REQUEST_STOP ||
		  strcmp(duty->request.id, request->id) == 0)))
		return;
	ended = duty->memory.stage == REQUEST_ENDED &&
		strcmp(duty->memory.id, request->id) == 0;
	why = reason_to_refuse(b, view, request);
	if (!ended && why == NULL)
	{
		if (request->at <= ha_wall_clock())
			take_up(b, request);
		return;
	}
	if (!may_remove)
		return;
	if (!ended && b->now >= duty->remove_at)
		pg_log_warning("a request to this member is not carried out: %s", why);
	remove_key(b, request);
}

bool
ha_request_is_replaced(const HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);
	const HaMemberRequest *request = ha_find_request(view, b->node.name);

	return b->duty.stage == REQUEST_MOVED && request != NULL &&
		strcmp(request->id, b->duty.request.id) != 0 &&
		reason_to_refuse(b, view, request) == NULL;
}

/*
 * A new copy of the data.
 */

static bool
is_withdrawn(const HaBoot *b, const HaView *view)
{
	const HaMemberRequest *request = ha_find_request(view, b->node.name);

	return request == NULL || strcmp(request->id, b->duty.request.id) != 0;
}

/* Why our data must stay, by a read of the cluster; NULL = it may go. */
static const char *
reason_to_stay(const HaBoot *b, const HaView *view)
{
	if (is_withdrawn(b, view))
		return "the request was withdrawn";
	if (view->leader.present && strcmp(view->leader.name, b->node.name) == 0)
		return "this member has become the leader";
	if (ha_leader_source(view, b->node.name) == NULL)
		return "the cluster has no proven leader to clone from";
	return NULL;
}

/*
 * A restart.
 *
 * A leader restarts in place: nothing is acknowledged from the moment at which its
 * worker ends, everything is streamed, and the leader key is kept and then put anew,
 * as after a crash.  If that takes too long the lease runs out, and it is a failover
 * like any other.
 */

bool
ha_request_wants_restart(const HaBoot *b)
{
	return b->duty.stage != REQUEST_NONE &&
		b->duty.request.kind == HA_REQUEST_RESTART;
}

void
ha_request_round(HaBoot *b)
{
	if (ha_request_wants_restart(b) && b->duty.stage == REQUEST_MOVED &&
		b->purpose == HA_WANT_RESTART && b->state != BOOT_SERVING &&
		!b->stop_requested && b->now - b->duty.taken_at < RESTART_WAIT)
		ha_boot_keep_lease(b, &b->duty.keep_at);
}

static void
end_restart(HaBoot *b, const HaControlWorker *w)
{
	if (b->rolled_back)
		end(b, HA_PROGRESS_FAILED, "the server did not start with the settings of the cluster's configuration, and runs with the former ones");
	else
		end(b, HA_PROGRESS_DONE, w->role == HA_ROLE_PRIMARY ?
			"leads" : "streaming");
}

/* What waits for a restart: what the server says, and the limits of limits.c. */
static void
pending_settings(const HaBoot *b, const char *told, char *names, size_t size)
{
	strlcpy(names, told, size);
	if (!b->up || b->prepared.raised[0] == '\0')
		return;
	if (names[0] != '\0')
		strlcat(names, ",", size);
	strlcat(names, b->prepared.raised, size);
}

/* Why it need not be restarted; NULL = it has to be. */
static const char *
reason_to_go_on(const HaMemberRequest *request, const HaControlWorker *w,
				const char *pending)
{
	if (request->role == HA_ROLE_PRIMARY && w->role != HA_ROLE_PRIMARY)
		return "it is no leader";
	if (request->role == HA_ROLE_STANDBY && w->role != HA_ROLE_STANDBY)
		return "it is no standby";
	if (request->before_version != 0 &&
		w->server_version >= request->before_version)
		return "its version is not older";
	if (request->pending && pending[0] == '\0')
		return "no restart is pending";
	return NULL;
}

/* Could the leader have somebody else confirm its commits? */
static bool
others_could_confirm(const HaBoot *b, const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->node.name) != 0 && member->streaming &&
			strcmp(member->name, view->leader.name) != 0 &&
			!member->nosync && member->sync_priority > 0 &&
			!member->nofailover && member->failover_priority > 0)
			return true;
	}
	return false;
}

/*
 * A standby that confirms commits asks the leader, by the tag nosync in its key, to
 * have others do that, so that none waits for a server that is down.  The names of
 * those who confirm change only after /sync, which is all that can be seen from here.
 * false: not yet, or never.
 */
static bool
has_stepped_out(HaBoot *b, const HaControlWorker *w)
{
	HaDuty	   *duty = &b->duty;
	const HaView *view = ha_session_last_view(b->session);
	int64_t		patience = Max(2 * view->config.loop_wait, 5000);
	bool		listed = ha_leader_may_count_on(view, b->node.name);

	if (w->role != HA_ROLE_STANDBY || (!listed && !duty->steps_out))
		return true;
	if (listed && !duty->request.force &&
		view->config.synchronous_mode != HA_SYNC_OFF &&
		view->config.synchronous_mode_strict &&
		!others_could_confirm(b, view))
	{
		end(b, HA_PROGRESS_FAILED, "it is the only standby that can confirm commits, and synchronous_mode_strict is on");
		return false;
	}
	if (!duty->steps_out)
		pg_log_info("asking the leader to do without this standby while it restarts");
	duty->steps_out = true;
	say(b, "waiting to be taken out of /sync");
	if (listed)
		duty->stepped_out_at = 0;
	else if (duty->stepped_out_at == 0)
		duty->stepped_out_at = b->now;
	return b->now - duty->taken_at > patience ||
		(!listed && b->now - duty->stepped_out_at >= STEPPED_OUT_FOR);
}

static const char *
serving_restart(HaBoot *b)
{
	HaDuty	   *duty = &b->duty;
	HaControlWorker w;
	bool		known = ha_boot_worker(b, &w);
	char		pending[HA_WHY_SIZE];
	const HaView *view;
	const char *why;

	if (duty->stage == REQUEST_MOVED)
	{
		say(b, "starting");
		if (known && b->up && (w.role == HA_ROLE_PRIMARY ||
							   (w.role == HA_ROLE_STANDBY && w.streaming)))
			end_restart(b, &w);
		return NULL;
	}
	pending_settings(b, known ? w.pending_restart : "", pending,
					 sizeof(pending));
	view = ha_session_view(b->session, duty->judged_from);
	if (view == NULL)
		return NULL;
	why = known ? reason_to_go_on(&duty->request, &w, pending) : NULL;
	if (why != NULL)
		end(b, b->stop_is_due ? HA_PROGRESS_FAILED : HA_PROGRESS_DECLINED,
			why);
	else if (is_withdrawn(b, view))
		end(b, HA_PROGRESS_FAILED, "the request was withdrawn");
	if (duty->stage == REQUEST_NONE || (known && !has_stepped_out(b, &w)))
		return NULL;
	say(b, "stopping the server");
	return "it is to be restarted";
}

/*
 * Not before before_stop has ended: until then the worker may still come to another
 * stop, or the request be off, and the restart has not happened.
 */
bool
ha_request_begin_restart(HaBoot *b)
{
	if (!note_stage(b, REQUEST_MOVED))
	{
		end(b, HA_PROGRESS_FAILED, "it could not be noted in the state directory");
		return false;
	}
	b->duty.stage = REQUEST_MOVED;
	b->rolled_back = false;
	return true;
}

void
ha_request_describe(const HaBoot *b, HaMember *self)
{
	const HaView *view = ha_session_last_view(b->session);
	const HaMemberRequest *request = ha_find_request(view, b->node.name);

	char		told[HA_WHY_SIZE];

	strlcpy(told, self->pending_restart, sizeof(told));
	pending_settings(b, told, self->pending_restart,
					 sizeof(self->pending_restart));
	self->progress = b->duty.progress;
	self->nosync |= b->duty.steps_out;
	if (request == NULL || request->at <= ha_wall_clock() ||
		strcmp(request->identity, b->identity) != 0)
		return;
	self->restart_at = request->at;
	self->restart_version = request->before_version;
	self->restart_role = request->role;
	self->restart_pending = request->pending;
}

static const char *
serving_reinit(HaBoot *b)
{
	HaDuty	   *duty = &b->duty;
	HaControlWorker w;
	bool		known = ha_boot_worker(b, &w);
	const HaView *view;
	const char *why;

	if (duty->stage == REQUEST_MOVED)
	{
		say(b, "starting");
		if (known && b->up && w.role == HA_ROLE_STANDBY && w.streaming)
			end(b, HA_PROGRESS_DONE, "streaming");
		return NULL;
	}
	view = ha_session_view(b->session, Max(duty->taken_at, duty->judged_from));
	if (view == NULL)
		return NULL;
	why = known && w.role == HA_ROLE_PRIMARY ?
		"this server is a primary" : reason_to_stay(b, view);
	if (why != NULL)
	{
		end(b, HA_PROGRESS_FAILED, why);
		return NULL;
	}
	say(b, "stopping the server");
	return "its data is to be made anew";
}

const char *
ha_request_serving(HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);

	if (!view->valid || ha_uuid_is_another(b, view))
		return NULL;
	look_for_request(b, view, !b->keeping);
	if (b->duty.stage == REQUEST_NONE)
		return NULL;
	if (b->duty.request.kind == HA_REQUEST_STOP)
		return ha_cluster_stop_serving(b, view);
	if (b->duty.request.kind == HA_REQUEST_RESTART)
		return serving_restart(b);
	if (b->duty.request.kind == HA_REQUEST_RELOAD)
	{
		b->reload_requested = true;
		end(b, HA_PROGRESS_DONE, "the configuration files are read");
		return NULL;
	}
	return serving_reinit(b);
}

/* The server is down, and "view" is of after its end. */
static bool
look_reinit(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	const char *why = reason_to_stay(b, view);

	if (why == NULL && ha_leader_may_count_on(view, b->node.name))
	{
		say(b, "waiting to be taken out of /sync");
		ha_boot_wait_for(b, "the leader to take this member out of /sync");
		if (b->now - Max(b->entered_at, b->duty.taken_at) <= SYNC_WAIT)
			return true;
		why = "the leader does not take this member out of /sync";
	}
	if (why == NULL && facts->sysid != view->sysid)
		why = "it is data of another cluster";
	if (why != NULL)
	{
		end(b, HA_PROGRESS_FAILED, why);
		return false;
	}

	/* The next round looks anew at what is there, which may have changed. */
	if (!ha_datadir_move_aside(&b->node))
		end(b, HA_PROGRESS_FAILED, "the old data could not be moved aside");
	return true;
}

bool
ha_request_look(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	HaDuty	   *duty = &b->duty;

	look_for_request(b, view, false);
	if (duty->stage == REQUEST_NONE)
		return false;
	if (duty->request.kind == HA_REQUEST_STOP)
	{
		b->stop_requested = true;
		return true;
	}
	if (duty->request.kind == HA_REQUEST_RESTART ||
		duty->request.kind == HA_REQUEST_RELOAD)
	{
		if (duty->stage != REQUEST_BEGUN)
			return false;
		if (!b->stopped_by_hand || duty->request.kind != HA_REQUEST_RESTART)
			end(b, HA_PROGRESS_FAILED, "the server is down anyway");
		else if (ha_request_begin_restart(b))
			b->stopped_by_hand = false;
		return false;
	}
	if (duty->stage == REQUEST_BEGUN && facts->state == HA_DATA_CLUSTER)
		return look_reinit(b, view, facts);
	if (facts->state == HA_DATA_EMPTY)
	{
		say(b, "clone");
		if (duty->stage == REQUEST_BEGUN && note_stage(b, REQUEST_MOVED))
			duty->stage = REQUEST_MOVED;
	}
	return duty->stage == REQUEST_BEGUN && facts->state == HA_DATA_EMPTY;
}
