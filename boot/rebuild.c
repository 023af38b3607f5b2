/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  Data that a leader can't be followed with: clone, rewind, by the node's policy.
 *
 * Three ways lead back to the leader, the cheapest first: follow, rewind, clone.
 * pg_ha.rewind and pg_ha.rebuild_on_divergence say which of the last two may be taken
 * without a person; where none may, pg_ha_boot leaves the data as it is and ends.
 * Whatever is done is said before, with its reason, in one line.
 *
 * Data is given up only for a clone, and only while a confirmed leader is there, but
 * for what an interrupted clone or initdb has left, which was nobody's data yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/wait.h>

#include "common/logging.h"

#include "../mixed.h"
#include "clone.h"
#include "leader.h"
#include "private_server.h"
#include "rebuild.h"
#include "remote.h"
#include "uuid.h"

/* A child gives up on a source that has not led for so long. */
#define SOURCE_PATIENCE		30000

/* A rewind that could not even begin is tried so often before a clone is. */
#define REWIND_TRIES		3

#define CLONE_BACK_OFF_MAX	15000

/* A leader that has others takes a member that is gone out of /sync sooner. */
#define SYNC_PATIENCE		30000

#define RETRY_AFTER			1000

/*
 * Whom a child copies from is no use any more if another one leads, unless it is a
 * standby, which goes on following.
 */
static bool
source_is_past(const HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);
	const HaMember *leader = ha_leader_source(view, b->node.name);

	if (b->now <= b->entered_at + SOURCE_PATIENCE || leader == NULL ||
		strcmp(b->job_source, HA_REMOTE_SOURCE) == 0 ||
		strcmp(leader->name, b->job_source) == 0)
		return false;
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->job_source) == 0)
			return member->state != HA_STATE_RUNNING ||
				member->role != HA_ROLE_STANDBY;
	}
	return true;
}

/*
 * Cloning.
 */

bool
ha_rebuild_needs_no_leader(const HaBoot *b, const HaView *view)
{
	HaStandbyCluster source;

	return !view->leader.present &&
		ha_clone_has_method(&b->node, ha_remote_source(b, view, &source),
							b->stale_methods);
}

/* The next one later, and the longer the more often it failed. */
static void
back_off(HaBoot *b)
{
	b->not_before = b->now +
		Min(CLONE_BACK_OFF_MAX, 1000 << Min(b->clone_failures, 4));
	b->clone_failures++;
}

/*
 * A backup, or a standby, may lack what we have confirmed, and with any clone we have
 * nothing for a while (S-3): so none while /sync lists us.  A strict leader without
 * another standby does not take us out.  But whoever leads a confirmed reign has all
 * that was acknowledged when it was elected and all that we confirmed since, and we
 * confirm nothing before we stream: a copy of the leader itself will do, as our own
 * data is given up already.
 */
static bool
must_wait_for_sync(HaBoot *b, const HaView *view, const HaMember *leader)
{
	b->clone_has_all = false;
	if (!ha_leader_may_count_on(view, b->node.name))
	{
		b->counted_since = 0;
		return false;
	}
	if (b->counted_since == 0)
		b->counted_since = b->now;
	if (leader == NULL || b->now - b->counted_since < SYNC_PATIENCE ||
		!ha_clone_has_method(&b->node, true,
							 ha_clone_all_but_basebackup(&b->node)))
		return true;
	b->clone_has_all = true;
	return false;
}

void
ha_rebuild_clone(HaBoot *b, const HaView *view, const HaMember *leader)
{
	HaCloneOrder order = {
		.sysid = view->sysid,
		.has_leader = leader != NULL,
		.slot_patience = view->config.loop_wait + view->config.ttl,
		.skip = b->stale_methods,
	};

	/* Its leader makes our slot when it sees this. */
	b->member_state = HA_STATE_CLONING;
	if (!ha_session_has_published(b->session, HA_STATE_CLONING))
		return;
	if (b->now < b->not_before)
	{
		ha_boot_wait_for(b, "the time to try the next clone");
		return;
	}

	if (must_wait_for_sync(b, view, leader))
	{
		ha_boot_wait_for(b, leader != NULL ?
						 "the leader to take this member out of /sync before it is cloned" :
						 "a leader: by /sync this member or another one may have commits that a backup lacks");
		return;
	}
	if (!ha_uuid_forget(b))
	{
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
		return;
	}
	if (leader == NULL)
		(void) ha_remote_source(b, view, &order.remote);
	b->cloned_at = 0;
	b->source_leads = false;
	b->job_source[0] = '\0';
	if (b->clone_has_all)
		order.skip |= ha_clone_all_but_basebackup(&b->node);
	if (leader != NULL)
	{
		/* A standby that could not be copied is not tried again at once. */
		const HaMember *source = b->clone_failures > 0 || b->clone_has_all ||
		b->duty.request.from_leader ? leader :
		ha_leader_clone_source(view, b->node.name);

		ha_source_of(leader, &order.leader);
		ha_source_of(source, &order.source);
		strlcpy(b->job_source, source->name, sizeof(b->job_source));
		b->source_leads = source == leader;
	}
	b->job_status = 0;
	b->job = ha_clone_start(&b->node, &order);
	ha_boot_enter(b, BOOT_CLONE);
}

static bool
is_of_cluster(const HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);
	HaDataFacts facts;

	ha_datadir_facts(&b->node, &facts);
	if (view->sysid != 0 && facts.sysid == view->sysid)
		return true;
	pg_log_error("the clone has system identifier " UINT64_FORMAT ", but the cluster's is " UINT64_FORMAT,
				 facts.sysid, view->sysid);
	return false;
}

static void
end_clone(HaBoot *b)
{
	pg_log_info("the clone is complete");
	b->clone_failures = b->rewind_failures = b->unclean_rounds = 0;
	b->not_before = 0;
	b->wrote_timeline = 0;
	b->rewind_wanted = b->stranded = b->clone_streamed = false;
}

/* What is left of it goes aside, unless the first method builds on that. */
static void
end_failed_clone(HaBoot *b)
{
	char		names[HA_TEXT_SIZE];

	if (!b->stop_requested)
	{
		back_off(b);
		pg_log_error("C02 no clone method succeeded (%s); retrying in %d s",
					 ha_clone_method_names(&b->node, names, sizeof(names)),
					 (int) ((b->not_before - b->now) / 1000));
		pg_log_error_hint("The lines above say why each of them failed.");
	}
	if (!ha_clone_keeps_data(&b->node))
		ha_datadir_move_aside(&b->node);
}

/* Trying again would only fill the disk with copies. */
static void
refuse_foreign(HaBoot *b)
{
	char		names[HA_TEXT_SIZE];

	pg_log_error("C03 no clone method succeeded (%s), and what one of them produced is of another cluster",
				 ha_clone_method_names(&b->node, names, sizeof(names)));
	pg_log_error_hint("Mend pg_ha.clone_methods, then start pg_ha_boot again.");
	ha_boot_quit(b, HA_EXIT_REFUSED);
}

/*
 * A write of /sync may have been on its way when we looked before the clone.  The
 * marker stays until it is known that nobody counts on what the clone may lack; who
 * is killed here clones again.
 */
static void
step_cloned(HaBoot *b)
{
	const HaView *view = ha_session_view(b->session, b->cloned_at);

	ha_clone_progress(&b->node, b->clone_method, sizeof(b->clone_method),
					  &b->clone_percent);
	if (b->source_leads && strcmp(b->clone_method, "basebackup") == 0)
		b->clone_has_all = true;
	if (b->stop_requested)
		ha_boot_enter(b, BOOT_LOOK);
	if (b->stop_requested || view == NULL)
		return;
	if (!b->clone_has_all && ha_leader_may_count_on(view, b->node.name))
	{
		ha_boot_wait_for(b, "the leader to take this member out of /sync before it serves");
		return;
	}
	if (ha_datadir_finish(&b->node))
		end_clone(b);
	else
		end_failed_clone(b);
	ha_boot_enter(b, BOOT_LOOK);
}

void
ha_rebuild_step_clone(HaBoot *b)
{
	/* A restore does not care who leads. */
	bool		may_give_up = b->job_source[0] != '\0' &&
	strcmp(b->clone_method, "basebackup") == 0;
	bool		ok;

	if (b->cloned_at != 0)
	{
		step_cloned(b);
		return;
	}
	if (!ha_boot_job_is_over(b, ha_request_is_replaced(b) ||
							 (may_give_up && source_is_past(b)), &ok))
		return;
	if (ok && is_of_cluster(b))
	{
		b->cloned_at = b->now;
		return;
	}
	else if (!ok && !b->stop_requested && WIFEXITED(b->job_status) &&
			 WEXITSTATUS(b->job_status) == HA_CLONE_FOREIGN)
	{
		refuse_foreign(b);
		return;
	}
	else
		end_failed_clone(b);
	ha_boot_enter(b, BOOT_LOOK);
}

/*
 * Giving data up.
 */

/* A clone that can't follow was of no use; the next method may be. */
static void
distrust_last_method(HaBoot *b)
{
	if (!b->clone_streamed)
		b->stale_methods |= ha_clone_last_method();
	if (ha_clone_has_method(&b->node, true, b->stale_methods))
		return;
	b->stale_methods = 0;
	back_off(b);
}

void
ha_rebuild_again(HaBoot *b, const char *why)
{
	if (!b->node.rebuild_on_divergence)
	{
		pg_log_error("C05 this node would have to be cloned again, and pg_ha.rebuild_on_divergence is off: %s",
					 why);
		pg_log_error_hint("The data directory was left as it is.  Set pg_ha.rebuild_on_divergence = on, or move \"%s\" away; then start pg_ha_boot again.",
						  b->node.data_dir);
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return;
	}
	pg_log_warning("cloning again: %s", why);
	if (b->stranded)
		distrust_last_method(b);
	if (ha_clone_keeps_data(&b->node) ?
		ha_datadir_put_marker(&b->node, HA_RESTORE_MARKER) :
		ha_datadir_move_aside(&b->node))
		ha_boot_enter(b, BOOT_LOOK);
	else
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
}

void
ha_rebuild_torn(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	const HaMember *leader = ha_leader_source(view, b->node.name);

	if (leader == NULL)
		leader = ha_mixed_source(view, b->node.name);
	ha_private_clean(&b->node);
	if (facts->rewinding)
	{
		pg_log_warning("an earlier initdb, clone or rewind was interrupted");
		ha_rebuild_again(b, "a rewind was interrupted");
	}
	else if (ha_clone_keeps_data(&b->node) && view->sysid != 0)
	{
		/* Without a leader only an empty directory is filled. */
		if (leader != NULL)
			ha_rebuild_clone(b, view, leader);
		else
			ha_boot_wait_for(b, "a leader to clone");
	}
	else
	{
		pg_log_warning("an earlier initdb, clone or rewind was interrupted");
		if (!ha_datadir_move_aside(&b->node))
			ha_boot_quit(b, HA_EXIT_TEMPORARY);
	}
}

/*
 * Rewinding.
 */

/* Why can't this data be rewound?  NULL = it can. */
static const char *
why_no_rewind(const HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	if (!b->node.rewind)
		return "its WAL diverged, and pg_ha.rewind is off";

	/* nobody's promotions over there are on record, the child compares ids */
	if (!view->config.standby_cluster.active && b->wrote_timeline != 0 &&
		!ha_leader_allows_rewind(view, b->wrote_timeline, b->node.name))
		return "another member is on record for the timeline on which it was primary";
	if (b->rewind_failures >= REWIND_TRIES)
		return "pg_rewind has failed again and again";
	if (!facts->clean && b->unclean_rounds > 0)
		return "it has diverged, and does not shut down cleanly";
	return NULL;
}

/* Where, as far as the record goes back. */
static void
describe_divergence(const HaTerm *term, uint32_t timeline, char *buf,
					size_t size)
{
	snprintf(buf, size, "timeline %u is not in the leader's history", timeline);
	for (int i = 0; i < term->nlineage; i++)
	{
		if (term->lineage[i].timeline == timeline)
			snprintf(buf, size, "timelines diverged at %X/%X",
					 (uint32) (term->lineage[i].end_lsn >> 32),
					 (uint32) term->lineage[i].end_lsn);
	}
}

static void
rewind_from(HaBoot *b, const HaView *view, const HaDataFacts *facts,
			const HaMember *leader)
{
	HaSource	source;
	char		where[128];

	describe_divergence(&view->term, facts->timeline, where, sizeof(where));
	ha_source_of(leader, &source);
	pg_log_info("rewinding from \"%s\" at %s:%d, to its timeline %u: %s",
				source.name, source.host, source.port, view->term.timeline,
				where);
	strlcpy(b->job_source, source.name, sizeof(b->job_source));
	b->job = ha_datadir_start_rewind(&b->node, &source, view->term.timeline);
	ha_boot_enter(b, BOOT_REWIND);
}

/*
 * In a standby cluster: who leads may have diverged as well, and all history is the
 * source's.
 */
static void
rewind_from_remote(HaBoot *b, const HaView *view)
{
	const HaStandbyCluster *source = &view->config.standby_cluster;

	pg_log_info("rewinding from the source at %s: %s", source->host,
				b->rejoin_why);
	strlcpy(b->job_source, HA_REMOTE_SOURCE, sizeof(b->job_source));
	b->job = ha_datadir_start_rewind_from_remote(&b->node, source);
	ha_boot_enter(b, BOOT_REWIND);
}

void
ha_rebuild_diverged(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	const HaMember *leader = ha_leader_source(view, b->node.name);
	const char *why = why_no_rewind(b, view, facts);
	bool		remote = view->config.standby_cluster.active;

	b->member_state = HA_STATE_REWINDING;
	if (leader == NULL && !remote &&
		ha_mixed_source(view, b->node.name) != NULL)
	{
		/* Only a worker puts that reign on record; then it judges anew. */
		b->rewind_wanted = false;
		ha_boot_start_server(b, false, false,
							 "the reign of a member of Patroni is to be put on record");
	}
	else if (leader == NULL && !remote)
		ha_boot_wait_for(b, "a leader to rewind from");
	else if (why != NULL)
		ha_rebuild_again(b, why);
	else if (facts->clean && remote)
		rewind_from_remote(b, view);
	else if (facts->clean)
		rewind_from(b, view, facts, leader);
	else
	{
		/*
		 * pg_rewind would run crash recovery on it as a primary, whose
		 * checkpoint makes the divergence worse; as a standby there is none.
		 */
		b->unclean_rounds++;
		b->rewind_wanted = false;
		ha_boot_start_server(b, false, false,
							 "crash recovery has to come before a rewind");
	}
}

void
ha_rebuild_step_rewind(HaBoot *b)
{
	HaDataFacts facts;
	bool		given_up = source_is_past(b);
	bool		ok;

	if (!ha_boot_job_is_over(b, given_up, &ok))
		return;
	if (ok && ha_datadir_finish(&b->node))
	{
		pg_log_info("the rewind is complete");
		b->rewind_failures = b->unclean_rounds = 0;
		b->wrote_timeline = 0;
		b->rewind_wanted = false;
		ha_boot_enter(b, BOOT_LOOK);
		return;
	}
	ha_datadir_facts(&b->node, &facts);
	if (facts.state == HA_DATA_CLUSTER || b->stop_requested)
	{
		/*
		 * It did not touch the data, or the next life will see to that.  A
		 * source that is not ready is no failure of it.
		 */
		if (!b->stop_requested && !given_up && !(WIFEXITED(b->job_status) &&
												 WEXITSTATUS(b->job_status) == HA_REWIND_NOT_BEGUN))
			b->rewind_failures++;
		b->not_before = b->now + RETRY_AFTER;
		ha_boot_enter(b, BOOT_LOOK);
	}
	else
		ha_rebuild_again(b, "pg_rewind failed half way");
}
