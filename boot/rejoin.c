/*-------------------------------------------------------------------------
 *
 * rejoin.c
 *	  From no running server to a server that may run.
 *
 * Everything starts from BOOT_LOOK: a linearizable read that was sent after
 * the last process of the old server was gone (or after its deadline), the
 * data directory, and the control block.  Each step from there either ends in
 * a running server or leads back to BOOT_LOOK, which then judges anew from
 * what is really there.  So no outcome has to be guessed, and a crash of
 * pg_ha_boot between any two steps is just one more way to come to BOOT_LOOK.
 *
 * What must never happen, and what prevents it:
 *
 * - Two clusters out of one bootstrap: only the txn that creates the
 *	 initialize key lets initdb run, the key hangs on our lease meanwhile, and
 *	 the system id replaces exactly that key or the new data is put aside.
 *
 * - A start as primary beside another leader: it needs the leader key put
 *	 anew by us after the last read.  That also voids every earlier txn of
 *	 ours on it which has no known outcome (S-6).
 *
 * - The last copy of the data gone: data is only ever renamed, and data of
 *	 the cluster only when a confirmed leader is there to be cloned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "../election.h"
#include "../start.h"
#include "../lease.h"
#include "../mixed.h"
#include "../names.h"
#include "../standby_cluster.h"
#include "../versions.h"
#include "alone.h"
#include "bootstrap.h"
#include "cluster_stop.h"
#include "found.h"
#include "init.h"
#include "leader.h"
#include "preflight.h"
#include "race.h"
#include "rebuild.h"
#include "recreate.h"
#include "rejoin.h"
#include "uuid.h"

/* A read that is older says too little of the present to act on. */
#define VIEW_MAX_AGE		5000

/* How long an unanswered put of the member key keeps the server from starting. */
#define NAME_PATIENCE		30000

/* Another node with our name may be gone: give its lease time to run out. */
#define RIVAL_GRACE			2000

/* Patroni's ttl, where the configuration has none. */
#define PATRONI_TTL			30000

#define RETRY_AFTER			1000
#define SOON				300

static int64_t
ttl_of(const HaControlLease *lease, const HaBoot *b)
{
	return Max(lease->ttl, ha_session_config(b->session)->ttl);
}

/*
 * Facts about the leader key.
 */

static bool
key_is_ours(const HaBoot *b, const HaView *view, HaControlLease *lease)
{
	return ha_control_get_lease(b->control, lease) &&
		ha_leader_is_us(view, lease, b->node.name, b->reput_is_open);
}

/*
 * Up to where the reign that ends may have acknowledged anything.  Every
 * commit lies before the shutdown checkpoint.  After a crash only the worker
 * can know, if it lived long enough to say so.
 */
static uint64_t
released_lsn(const HaDataFacts *facts, const HaControlLease *lease)
{
	if (facts->state == HA_DATA_CLUSTER && facts->clean &&
		facts->was_primary && facts->timeline == lease->timeline)
		return facts->checkpoint_lsn;
	return lease->safe_lsn;
}

/* From here on, and until a server runs again, the lease section is ours. */
static void
own_lease(HaBoot *b, HaControlLease *lease)
{
	lease->owner = HA_LEASE_BOOT;
	ha_control_set_lease(b->control, lease);
}

static void
release(HaBoot *b, const HaView *view, const HaDataFacts *facts,
		HaControlLease *lease)
{
	HaTxn		txn;

	memset(&txn, 0, sizeof(txn));
	own_lease(b, lease);
	ha_txn_release(&txn, b->node.name, view->leader.mod_revision, lease->lease,
				   lease->term, lease->ttl, released_lsn(facts, lease),
				   b->crashed && !facts->clean);
	ha_cluster_stop_release(b, view, &txn);
	if (ha_session_send_txn(b->session, &txn))
		ha_boot_enter(b, BOOT_RELEASE);
}

static void
step_release(HaBoot *b)
{
	HaControlLease lease;
	int64_t		revision;

	switch (ha_session_txn_outcome(b->session, &revision))
	{
		case HA_ASK_OUT:
			return;
		case HA_ASK_DONE:
			pg_log_info("the leader key was released");
			b->release_is_open = b->reput_is_open = false;
			if (ha_control_get_lease(b->control, &lease))
			{
				lease.owner = HA_LEASE_NOBODY;
				lease.holding = false;
				ha_control_set_lease(b->control, &lease);
			}
			break;
		case HA_ASK_UNKNOWN:

			/*
			 * It may yet land.  Say it again until the key is gone; nobody
			 * renews the lease, so that comes to pass in any case.
			 */
			b->release_is_open = true;
			break;
		case HA_ASK_FAILED:
			break;				/* the next look tells whose it is now */
		case HA_ASK_REFUSED:
			b->retry_at = b->now + RETRY_AFTER;
			break;
	}
	ha_boot_enter(b, BOOT_LOOK);
}

/*
 * Ask for the key anew and for more time, both in our hand before a server may
 * start as primary.
 */
static void
reput(HaBoot *b, const HaView *view, HaControlLease *lease)
{
	HaTxn		txn;

	own_lease(b, lease);
	ha_txn_reput(&txn, view, lease, b->node.name);
	if (!ha_session_send_keepalive(b->session, lease->lease))
	{
		HaRequest	unsent = {.txn = txn};

		ha_dcs_request_free(&unsent);
		return;
	}
	if (ha_session_send_txn(b->session, &txn))
	{
		b->optime = view->heartbeat.lsn;
		ha_boot_enter(b, BOOT_REPUT);
	}
}

static void
step_reput(HaBoot *b)
{
	HaControlLease lease;
	int64_t		revision;
	int64_t		ttl;
	HaOutcome	put = ha_session_txn_outcome(b->session, &revision);
	HaOutcome	alive = ha_session_keepalive_outcome(b->session, &ttl);

	if (put == HA_ASK_OUT || alive == HA_ASK_OUT)
		return;
	if (put == HA_ASK_UNKNOWN)
		b->reput_is_open = true;
	if (put == HA_ASK_DONE && ha_control_get_lease(b->control, &lease))
	{
		/* Also when we don't go on: this is how the key stands now. */
		b->reput_is_open = b->release_is_open = false;
		lease.key_revision = revision;
		lease.holding = true;
		if (alive == HA_ASK_DONE)
			lease.ttl = ttl;
		ha_control_set_lease(b->control, &lease);

		if (alive == HA_ASK_DONE && !b->stop_requested)
		{
			b->keeping = true;
			b->keep_since = b->died_at;
			b->keep_at = b->now + ttl / 5;
			ha_boot_start_server(b, true, true,
								 "the leader key is still ours, put anew");
			return;
		}
	}
	b->retry_at = b->now + SOON;
	ha_boot_enter(b, BOOT_LOOK);
}

/*
 * Starting what is there.
 */

/*
 * On which timeline has a primary written this data?  pg_control tells that of
 * the last checkpoint, which after a promotion may not have come yet; then the
 * reign that our worker has recorded is the later one.
 */
static uint32_t
primary_timeline(const HaBoot *b, const HaDataFacts *facts)
{
	HaControlLease lease;

	if (ha_control_get_lease(b->control, &lease) && lease.confirmed)
		return Max(facts->timeline, lease.timeline);
	return facts->timeline;
}

/* Once for each end of a server, as soon as pg_control can be read. */
static void
note_end(HaBoot *b, const HaDataFacts *facts)
{
	if (facts->was_primary)
		b->wrote_timeline = primary_timeline(b, facts);
	if (b->crash_counted)
		return;
	b->crash_counted = true;
	if (!b->crashed || !facts->was_primary)
		return;
	ha_boot_note_crash(b, b->died_at);
}

/* What the control block says of the key is of a reign that is over. */
static void
forget_key(HaBoot *b, HaControlLease *lease)
{
	b->release_is_open = b->reput_is_open = false;
	if (!lease->holding)
		return;
	lease->owner = HA_LEASE_NOBODY;
	lease->holding = false;
	ha_control_set_lease(b->control, lease);
}

static HaStart
decide_start(HaBoot *b, const HaView *view, const HaDataFacts *facts,
			 HaControlLease *lease, char *why, size_t whylen)
{
	HaStartFacts f = {
		.stop_requested = b->stop_requested || b->purpose == HA_WANT_STOP,
		.restart_wanted = b->purpose == HA_WANT_RESTART,
		.demote_wanted = b->purpose != HA_WANT_NOTHING &&
		b->purpose != HA_WANT_RESTART,
		.crashed = b->crashed,
		.was_primary = facts->state == HA_DATA_CLUSTER && facts->was_primary,
		.reaped = true,			/* BOOT_CLEARING came before BOOT_LOOK */
		.key_is_ours = key_is_ours(b, view, lease),
		.others_may_lead = ha_others_may_lead(view, b->node.name),
		.synchronous = ha_leader_is_synchronous(view, b->node.name),
		.primary_start_timeout = view->config.primary_start_timeout,
		.crashes = ha_boot_recent_crashes(b),
	};

	/* One that is out may land: only more of the same settles it. */
	if (f.key_is_ours && b->release_is_open)
	{
		strlcpy(why, "a release of the leader key has no known outcome",
				whylen);
		return HA_START_RELEASE;
	}
	if (!f.key_is_ours)
		forget_key(b, lease);
	return ha_decide_start(&f, why, whylen);
}

/*
 * Has somebody promoted this server by hand, to an id that the cluster has used as
 * well?  If both timelines begin at one position, neither the worker nor pg_rewind
 * can tell one from the other (B3), but the record tells whose the id is.  Only a
 * shutdown checkpoint is sure to be of the timeline that was written last; without
 * a leader to be cloned this data may be all there is.
 */
static bool
is_stray(const HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	const char *owner = ha_timeline_owner(&view->term, facts->timeline);

	return facts->clean && facts->was_primary && view->term.present &&
		owner != NULL && owner[0] != '\0' &&
		strcmp(owner, b->node.name) != 0 &&
		ha_leader_source(view, b->node.name) != NULL;
}

/* With its leader, if there is one: the worker then sees whether it can be followed. */
static void
start_standby(HaBoot *b, const HaView *view, const HaDataFacts *facts,
			  const char *why)
{
	const HaMember *leader = ha_leader_source(view, b->node.name);
	char		text[HA_WHY_SIZE + HA_NAME_SIZE];

	b->stranded = false;
	if (leader == NULL)
	{
		ha_boot_start_server(b, false, false, why);
		return;
	}
	snprintf(text, sizeof(text),
			 "following \"%s\": it leads on timeline %u, this data is on timeline %u",
			 leader->name, view->term.timeline, facts->timeline);
	ha_boot_start_server(b, false, false, text);
}

/* Whoever stops a server in a pause has work to do on it. */
static bool
is_left_alone(const HaBoot *b, const HaView *view)
{
	return b->stopped_by_hand && view->config.pause;
}

static void
start_something(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	HaControlLease lease;
	char		why[HA_WHY_SIZE];
	HaStart		start = decide_start(b, view, facts, &lease, why, sizeof(why));
	bool		ours = key_is_ours(b, view, &lease);

	if (is_left_alone(b, view) && start != HA_START_NOT)
	{
		start = ours ? HA_START_RELEASE : HA_START_NOT;
		snprintf(why, sizeof(why), "it was stopped by hand in a pause; "
				 "pg_ha_restart('%s') or pg_ha_resume() starts it", b->node.name);
	}
	if (start == HA_START_NOT)
		ha_boot_wait_for(b, "a reason to start the server: %s", why);
	else if (start == HA_START_RELEASE && ours)
	{
		pg_log_info("releasing the leader key: %s", why);
		release(b, view, facts, &lease);
	}
	else if (b->now < b->not_before)
		ha_boot_wait_for(b, "the time to try again");
	else if (b->stranded && ha_leader_source(view, b->node.name) != NULL)
		ha_rebuild_again(b, b->rejoin_why);
	else if (b->rewind_wanted)
		ha_rebuild_diverged(b, view, facts);
	else if (start == HA_START_PRIMARY && ours)
		reput(b, view, &lease);
	else if (is_stray(b, view, facts))
		ha_rebuild_again(b, "another member is on record for the timeline on which it was primary");
	else
		start_standby(b, view, facts, why);
}

static void
tell_conflict(const HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	HaReport	report = {0};

	ha_check_system_id(&b->node, facts, view, &report);
	ha_report_log(&report);
	ha_report_free(&report);
}

/*
 * The data that "init" has made, and nobody has led the cluster yet: promoting it
 * would begin another timeline for nothing.
 */
static bool
is_first_start(const HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	return b->founder && facts->clean && facts->was_primary &&
		!ha_is_standby_cluster(&view->config, view) &&
		view->sysid == facts->sysid && !view->leader.present &&
		!view->term.present && !view->heartbeat.present;
}

/* What comes after it is no first start, also if it fails. */
static void
start_first(HaBoot *b)
{
	if (ha_uuid_join(b, b->cluster_uuid, false))
		ha_boot_start_server(b, true, false, "this node initialized the cluster");
	else
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
}

static void
look_cluster(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	HaControlLease lease;

	note_end(b, facts);
	if (view->initialize_revision != 0)
		b->forgotten_since = 0;
	if (view->initialize_revision == 0)
	{
		if (ha_found_begin(b, view, facts))
			return;
		if ((!view->leader.present || key_is_ours(b, view, &lease)) &&
			ha_recreate(b, view, facts))
			return;
		/* Nothing to compare with; the leader's walsender will do it. */
	}
	else if (view->sysid == 0)
	{
		ha_boot_wait_for(b, "another node's initialization of the cluster");
		return;
	}
	else if (view->sysid != facts->sysid)
	{
		tell_conflict(b, view, facts);
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return;
	}
	if (is_first_start(b, view, facts))
		start_first(b);
	else
		start_something(b, view, facts);
}

/* Ordinary while the one that made the cluster starts; then it is worth a word. */
static void
wait_for_first_leader(HaBoot *b, const HaView *view)
{
	ha_boot_wait_for(b, "a leader to clone");
	if (view->sysid == 0 || b->now - b->entered_at < 2 * view->config.ttl ||
		!ha_boot_may_nag(b, "B10"))
		return;
	pg_log_warning("B10 waiting: cluster \"%s\" is initialized (system identifier " UINT64_FORMAT ") but has no leader and no clone method works without one",
				   b->node.scope, view->sysid);
	pg_log_warning_hint("Start one of the old members, or set a clone method with no_leader, or, if the old cluster is gone for good, run \"pg_ha_boot forget-cluster %s\".",
						b->node.scope);
}

static void
look_empty(HaBoot *b, const HaView *view)
{
	const HaMember *source = ha_leader_source(view, b->node.name);

	/*
	 * whatever is cloned begins on its history, whether that is recorded or
	 * not
	 */
	if (source == NULL)
		source = ha_mixed_source(view, b->node.name);
	if (view->initialize_revision == 0 && !view->leader.present)
		ha_race(b, view);
	else if (view->sysid != 0 &&
			 (source != NULL || ha_rebuild_needs_no_leader(b, view)))
	{
		if (b->bootstrap->hba_file != NULL)
			ha_bootstrap_warn_of_hba();
		ha_rebuild_clone(b, view, source);
	}
	else if (view->leader.present)
		ha_boot_wait_for(b, "leader \"%s\" to be ready to be cloned",
						 view->leader.name);
	else
		wait_for_first_leader(b, view);
}

static void
tell_of_rival(const HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);

	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->node.name) == 0)
			pg_log_error("P11 member name \"%s\" is already in use by %s:%d (alive)",
						 member->name, member->host, (int) member->port);
	}
}

/*
 * Before anything else our name must be ours, or the cluster would have two
 * members that answer to it.
 */
static bool
have_name(HaBoot *b)
{
	int64_t		rival_since = ha_session_rival_since(b->session);
	const char *twin;
	char		slot[HA_NAME_SIZE];

	/* Later it may be lost to a dead lease, and is no reason to stay down. */
	if (b->name_is_ours)
		return true;
	twin = ha_slot_twin(ha_session_last_view(b->session), b->node.name);
	if (twin != NULL)
	{
		ha_slot_name(b->node.name, slot);
		pg_log_error("P11 member name \"%s\" maps to slot \"%s\", already used by member \"%s\"",
					 b->node.name, slot, twin);
		pg_log_error_hint("Choose a name that differs in more than case, dots and hyphens.");
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return false;
	}
	if (ha_session_has_published(b->session, b->member_state))
	{
		b->name_is_ours = true;
		return true;
	}

	/* A full store takes no key, but shows that nobody else has the name. */
	if (rival_since == 0)
		return b->now - b->died_at > NAME_PATIENCE;
	if (b->now - rival_since >
		ha_session_config(b->session)->ttl + RIVAL_GRACE)
	{
		tell_of_rival(b);
		pg_log_error_hint("Give each node a pg_ha.name of its own.");
		ha_boot_quit(b, HA_EXIT_REFUSED);
	}
	else
		ha_boot_wait_for(b, "the other node called \"%s\" to go away",
						 b->node.name);
	return false;
}

/* Why nothing happens, again and again while it stays so. */
static void
tell_of_etcd(HaBoot *b)
{
	ha_boot_wait_for(b, "etcd to answer");
	if (!ha_boot_may_nag(b, "P10"))
		return;
	pg_log_warning("P10 no etcd endpoint is usable, so the state of the cluster is not known: %s",
				   ha_session_trouble(b->session));
	pg_log_warning_hint("\"pg_ha_boot check\" asks each endpoint and tells what is wrong with it.");
}

/* The store does not answer. */
static void
look_blindly(HaBoot *b)
{
	const HaView *last = ha_session_last_view(b->session);
	int64_t		since = Max(b->died_at, last->valid ? last->sent_at : 0);
	HaControlLease lease;
	HaDataFacts facts;

	if (b->stop_requested || b->purpose == HA_WANT_STOP)
	{
		/* A key that can't be released has run out after a TTL. */
		if (!ha_control_get_lease(b->control, &lease) || !lease.holding ||
			b->now - b->died_at > ttl_of(&lease, b))
			ha_boot_quit(b, b->stop_requested ? HA_EXIT_OK : HA_EXIT_REFUSED);
		return;
	}
	if (b->now - b->entered_at < RETRY_AFTER)
		return;					/* a read takes its time */
	tell_of_etcd(b);
	if (b->init_only)
	{
		ha_init_waits_blindly(b);
		return;
	}

	/* A standby can't lead without the store, and serves reads meanwhile. */
	if (!b->node.start_without_dcs || b->rewind_wanted ||
		is_left_alone(b, ha_session_last_view(b->session)) ||
		b->now < b->not_before || b->now - since < b->node.dcs_start_timeout)
		return;
	ha_datadir_facts(&b->node, &facts);
	if (facts.state != HA_DATA_CLUSTER)
		return;
	note_end(b, &facts);
	ha_boot_start_server(b, false, false, "etcd does not answer");
}

/*
 * In a cluster of a later schema than ours: a standby that goes on from where it is,
 * and nothing else.  A leader key that is ours runs out by itself.
 */
static void
look_too_old(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	char		why[HA_WHY_SIZE];

	ha_too_old_why(view, why, sizeof(why));
	if (b->stop_requested || b->purpose == HA_WANT_STOP)
		ha_boot_quit(b, b->stop_requested ? HA_EXIT_OK : HA_EXIT_REFUSED);
	else if (facts->state != HA_DATA_CLUSTER)
	{
		pg_log_error("P23 %s", why);
		pg_log_error_hint("Install that version, then start this node again.");
		ha_boot_quit(b, HA_EXIT_CONFIGURATION);
	}
	else if (b->now >= b->not_before)
	{
		pg_log_warning("P23 %s", why);
		pg_log_warning_hint("Install that version, then restart this node.");
		note_end(b, facts);
		ha_boot_start_server(b, false, false, "it serves reads meanwhile");
	}
}

/*
 * Beside a Patroni that may take the leader key from whoever has it (S-11) none of ours
 * begins.  Who leads goes on, and who was running before it came.  One that was killed
 * is there until its lease ends.
 */
static bool
is_beside_too_old(HaBoot *b, const HaView *view)
{
	char		why[2 * HA_WHY_SIZE];

	if (b->started_at != 0 ||
		(view->leader.present && strcmp(view->leader.name, b->node.name) == 0) ||
		!ha_mixed_too_old_why(&view->config, view, why, sizeof(why)))
	{
		b->too_old_since = 0;
		return false;
	}
	if (b->too_old_since == 0)
		b->too_old_since = b->now;
	if (b->now - b->too_old_since <
		Max(view->config.ttl, PATRONI_TTL) + RIVAL_GRACE)
		ha_boot_wait_for(b, "the end of a Patroni, since %s", why);
	else
	{
		pg_log_error("P24 %s", why);
		pg_log_error_hint("%s", HA_PATRONI_HINT);
		ha_boot_quit(b, HA_EXIT_REFUSED);
	}
	return true;
}

/* Going away for good: give up the leader key first, if it is ours. */
static void
look_and_leave(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	HaControlLease lease;
	char		why[HA_WHY_SIZE];

	if (decide_start(b, view, facts, &lease, why, sizeof(why)) ==
		HA_START_RELEASE && key_is_ours(b, view, &lease))
	{
		if (ha_cluster_stop_waits(b, view, facts))
			return;
		pg_log_info("releasing the leader key: %s", why);
		release(b, view, facts, &lease);
	}
	else
		ha_boot_quit(b, b->stop_requested ? HA_EXIT_OK : HA_EXIT_REFUSED);
}

static void
step_look(HaBoot *b)
{
	const HaView *view;
	HaDataFacts facts;

	if (b->now <= b->retry_at)
		return;
	view = ha_session_view(b->session, Max(Max(b->entered_at, b->retry_at),
										   b->now - VIEW_MAX_AGE));
	ha_datadir_facts(&b->node, &facts);
	if (!b->stop_requested && ha_alone_refuses(b, view, &facts))
	{
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return;
	}
	if (view == NULL)
	{
		look_blindly(b);
		return;
	}
	ha_boot_stop_nagging(b, "P10");
	if (ha_is_too_old(view))
	{
		look_too_old(b, view, &facts);
		return;
	}
	b->empty = facts.state == HA_DATA_EMPTY;
	b->saw_cluster = b->saw_cluster || view->sysid != 0;
	if (b->stop_requested || b->purpose == HA_WANT_STOP)
	{
		look_and_leave(b, view, &facts);
		return;
	}
	if (facts.state != HA_DATA_EMPTY && !ha_uuid_belongs(b, view, &facts))
	{
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return;
	}
	b->belongs = true;
	if (is_beside_too_old(b, view))
		return;
	if (b->init_only && !ha_init_goes_on(b, view, &facts))
		return;
	if (!have_name(b) || ha_request_look(b, view, &facts))
		return;
	switch (facts.state)
	{
		case HA_DATA_EMPTY:
			look_empty(b, view);
			break;
		case HA_DATA_CLUSTER:
			look_cluster(b, view, &facts);
			break;
		case HA_DATA_TORN:
			ha_rebuild_torn(b, view, &facts);
			break;
		case HA_DATA_STRANGE:
			pg_log_error("P05 directory \"%s\" is neither empty nor a data directory of this PostgreSQL version",
						 b->node.data_dir);
			pg_log_error_hint("Check -D, or move what is there away.");
			ha_boot_quit(b, HA_EXIT_REFUSED);
			break;
	}
}

void
ha_rejoin_step(HaBoot *b)
{
	switch (b->state)
	{
		case BOOT_LOOK:
			step_look(b);
			break;
		case BOOT_RACE:
		case BOOT_INITDB:
		case BOOT_PUBLISH:
			ha_race_step(b);
			break;
		case BOOT_ADOPT:
			ha_recreate_step(b);
			break;
		case BOOT_FOUND:
			ha_found_step(b);
			break;
		case BOOT_CLONE:
			ha_rebuild_step_clone(b);
			break;
		case BOOT_REWIND:
			ha_rebuild_step_rewind(b);
			break;
		case BOOT_REPUT:
			step_reput(b);
			break;
		case BOOT_RELEASE:
			step_release(b);
			break;
		default:
			break;
	}
}
