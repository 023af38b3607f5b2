/*-------------------------------------------------------------------------
 *
 * race.c
 *	  A new cluster: who makes it, and that only one does.
 *
 * The key initialize is created, with nothing in it, by a txn that only one node
 * can win, and hangs on that node's lease while it makes the data.  Then the system
 * identifier replaces exactly that key, for good, in one txn with the cluster's uuid
 * and its configuration; or the new data is put aside.
 *
 * So a node that dies at any point in between frees the race with its lease, and
 * one that was only frozen, and lost it, cannot publish any more: the key is
 * another by then, or gone.  When the outcome of a request is not known, a later
 * read tells, since nobody else may write over that key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "common/logging.h"

#include "../cluster_json.h"
#include "bootstrap.h"
#include "clone.h"
#include "files.h"
#include "private_server.h"
#include "race.h"
#include "remote.h"
#include "uuid.h"

#define SOON				300

/* Who is told to stop waits so long for an etcd that does not answer. */
#define STOP_WAIT			3000

/*
 * The race.
 */

/* Does anybody have data?  Then an absent initialize key is no new cluster. */
static bool
somebody_has_data(const HaBoot *b, const HaView *view)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->node.name) != 0 &&
			(member->state == HA_STATE_RUNNING || member->timeline != 0))
			return true;
	}
	return view->term.present || view->heartbeat.present ||
		view->identity_revision != 0;
}

static void
enter_race(HaBoot *b)
{
	int64_t		lease = ha_session_lease(b->session);
	HaTxn		txn;

	if (lease == 0)
		return;					/* being granted */
	ha_session_pin_lease(b->session, true);
	memset(&txn, 0, sizeof(txn));
	ha_txn_compare(&txn, HA_CREATE_REVISION, "initialize", 0);
	ha_txn_compare(&txn, HA_CREATE_REVISION, "leader", 0);
	ha_txn_put(&txn, "initialize", strdup(""), lease);
	if (ha_session_send_txn(b->session, &txn))
		ha_boot_enter(b, BOOT_RACE);
}

void
ha_race(HaBoot *b, const HaView *view)
{
	if (somebody_has_data(b, view))
		ha_boot_wait_for(b, "a member with data: the cluster has none recorded, but is not new");
	else if (b->saw_cluster)
		ha_boot_wait_for(b, "the member that led to put back what etcd has lost, or for a new start of this one");
	else if (b->bootstrap_failed)
		ha_boot_wait_for(b, "another node to make the cluster: this one has failed to, and tries again only when it is started anew");
	else if (b->bootstrap->config_file != NULL &&
			 b->bootstrap->config_json == NULL)
		ha_boot_wait_for(b, "pg_ha_boot to be started anew, to read \"%s\"",
						 b->bootstrap->config_file);
	else
		enter_race(b);
}

static void
lose_race(HaBoot *b)
{
	ha_session_pin_lease(b->session, false);
	ha_boot_enter(b, BOOT_LOOK);
}

/* The first data of a standby cluster is a copy of the source's. */
static void
begin_standby_cluster(HaBoot *b, const HaStandbyCluster *source)
{
	HaCloneOrder order = {.remote = *source};

	pg_log_info("initializing a standby cluster: its first data is cloned from %s",
				source->host);
	b->job_report = -1;
	b->job = ha_clone_start(&b->node, &order);
}

static void
step_race(HaBoot *b)
{
	HaStandbyCluster source;
	int64_t		revision;

	switch (ha_session_txn_outcome(b->session, &revision))
	{
		case HA_ASK_OUT:
			return;
		case HA_ASK_DONE:
			break;
		case HA_ASK_UNKNOWN:

			/*
			 * A key that is ours without our knowing would keep everybody
			 * waiting.  With the lease it goes, or will never come.
			 */
			ha_session_drop_lease(b->session);
			lose_race(b);
			return;
		default:
			b->retry_at = b->now + SOON;
			lose_race(b);
			return;
	}

	b->init_revision = revision;
	if (b->stop_requested)
	{
		lose_race(b);
		return;
	}
	b->member_state = HA_STATE_INITDB;
	if (ha_remote_source(b, ha_session_last_view(b->session), &source))
		begin_standby_cluster(b, &source);
	else
	{
		pg_log_info("initializing a new cluster: it has no data and no leader yet");
		b->job = ha_bootstrap_start(&b->node, b->bootstrap, &b->job_report);
	}
	ha_boot_enter(b, BOOT_INITDB);
}

/*
 * The data.
 */

/* Why the child failed, in its own words; "" = what it logged tells. */
static void
read_report(HaBoot *b, char *why, size_t size)
{
	why[0] = '\0';
	if (b->job_report < 0)
		return;
	ha_read_all(b->job_report, why, size);
	close(b->job_report);
	b->job_report = -1;
}

/*
 * With the lease the initialize key goes, so another node may try at once.  This
 * one does not: what failed would fail again, and leave another copy each time.
 */
static void
give_up_race(HaBoot *b, bool begun, const char *why)
{
	char		moved[MAXPGPATH] = "";

	/* What was not begun has made nothing: what is there is somebody's. */
	bool		tidy = !begun || ha_datadir_move_failed(&b->node, moved);

	ha_session_pin_lease(b->session, false);
	if (b->stop_requested)
	{
		ha_boot_quit(b, HA_EXIT_OK);
		return;
	}
	pg_log_error("%s; initialize lock released%s%s%s",
				 why[0] != '\0' ? why : "B05 bootstrap failed",
				 moved[0] != '\0' ? "; partial data kept in \"" : "", moved,
				 moved[0] != '\0' ? "\"" : "");
	pg_log_error_hint("The messages above say why. Another node may make the cluster; this one tries again when it is started anew.");
	b->bootstrap_failed = true;
	if (b->init_only)
		ha_boot_quit(b, HA_EXIT_CONFIGURATION);
	else if (!tidy)
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
	else
	{
		ha_session_drop_lease(b->session);
		b->member_state = HA_STATE_STOPPED;
		ha_boot_enter(b, BOOT_LOOK);
	}
}

static void
step_initdb(HaBoot *b)
{
	char		why[HA_BOOTSTRAP_WHY_SIZE];
	HaDataFacts facts;
	bool		begun = b->job > 0;
	bool		ok;

	if (!ha_boot_job_is_over(b, false, &ok))
		return;
	read_report(b, why, sizeof(why));
	ha_private_clean(&b->node);

	/* The marker goes first: once the system id stands, this data counts. */
	if (ok && ha_datadir_finish(&b->node))
	{
		ha_datadir_facts(&b->node, &facts);
		if (facts.state == HA_DATA_CLUSTER && ha_uuid_make(b->new_uuid))
		{
			ha_boot_enter(b, BOOT_PUBLISH);
			return;
		}
	}
	give_up_race(b, begun, why);
}

/*
 * Publishing.
 */

/* Ours is not the cluster's first data after all. */
static void
discard_data(HaBoot *b)
{
	pg_log_error("lost the initialize key: the data that was made for it is moved aside");
	ha_session_pin_lease(b->session, false);
	if (!ha_datadir_move_aside(&b->node))
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
	else
		ha_boot_enter(b, BOOT_LOOK);
}

static void
has_founded(HaBoot *b, uint64_t sysid)
{
	HaStandbyCluster source;

	pg_log_info("the cluster is initialized, its system identifier is "
				UINT64_FORMAT, sysid);
	if (b->bootstrap->as_copy)
	{
		pg_log_warning("cluster \"%s\" shares system identifier " UINT64_FORMAT " with its origin; do not point its nodes at the origin's scope",
					   b->node.scope, sysid);
		pg_log_warning_hint("See to archive_command, too: it may still write into the origin's archive.");
	}
	ha_session_pin_lease(b->session, false);
	if (!ha_uuid_join(b, b->new_uuid, b->init_only))
		ha_boot_quit(b, HA_EXIT_TEMPORARY);
	else if (b->init_only)
		ha_boot_quit(b, HA_EXIT_OK);
	else if (ha_remote_source(b, ha_session_last_view(b->session), &source))
		ha_boot_start_server(b, false, false,
							 "this node initialized the standby cluster");
	else
		ha_boot_start_server(b, true, false, "this node initialized the cluster");
}

/*
 * A configuration that was there before stays.  If one comes meanwhile, the txn
 * fails and is built anew after the next look.
 */
static void
send_system_id(HaBoot *b, const HaDataFacts *facts)
{
	const HaView *view = ha_session_last_view(b->session);
	char		sysid[32];
	HaTxn		txn;

	snprintf(sysid, sizeof(sysid), UINT64_FORMAT, facts->sysid);
	memset(&txn, 0, sizeof(txn));
	ha_txn_compare(&txn, HA_MOD_REVISION, "initialize", b->init_revision);
	ha_txn_compare_value(&txn, "initialize", "");
	ha_txn_compare(&txn, HA_CREATE_REVISION, "pg_ha/identity", 0);
	ha_txn_put(&txn, "initialize", strdup(sysid), 0);
	ha_txn_put(&txn, "pg_ha/identity", ha_identity_json(b->new_uuid), 0);
	if (view->config.revision == 0)
	{
		ha_txn_compare(&txn, HA_CREATE_REVISION, "config", 0);
		ha_txn_put(&txn, "config", ha_bootstrap_config(b->bootstrap), 0);
	}
	else if (b->bootstrap->config_json != NULL)
		pg_log_warning("the cluster has a configuration already: \"%s\" is not used",
					   b->bootstrap->config_file);
	b->sent = ha_session_send_txn(b->session, &txn);
}

/* It is not known to have succeeded; what stands there now? */
static void
look_for_system_id(HaBoot *b, const HaDataFacts *facts)
{
	const HaView *view = ha_session_view(b->session, b->retry_at);

	if (view == NULL)
		return;
	if (view->initialize_revision == b->init_revision &&
		view->identity_revision == 0)
		b->sent = false;		/* it has not landed: once more */
	else if (view->sysid == facts->sysid &&
			 strcmp(view->cluster_uuid, b->new_uuid) == 0)
		has_founded(b, facts->sysid);
	else
		discard_data(b);
}

static void
step_publish(HaBoot *b)
{
	HaDataFacts facts;
	int64_t		revision;

	/* The data is whole: the next life founds the cluster with it. */
	if (b->stop_requested && b->now - b->entered_at > STOP_WAIT)
	{
		ha_boot_quit(b, HA_EXIT_OK);
		return;
	}
	ha_datadir_facts(&b->node, &facts);
	if (!b->sent)
	{
		b->retry_at = 0;
		send_system_id(b, &facts);
		return;
	}
	switch (ha_session_txn_outcome(b->session, &revision))
	{
		case HA_ASK_OUT:
			break;
		case HA_ASK_DONE:
			has_founded(b, facts.sysid);
			break;
		default:
			if (b->retry_at == 0)
				b->retry_at = b->now + SOON;	/* a later read tells */
			if (b->now > b->retry_at)
				look_for_system_id(b, &facts);
			break;
	}
}

void
ha_race_step(HaBoot *b)
{
	switch (b->state)
	{
		case BOOT_RACE:
			step_race(b);
			break;
		case BOOT_INITDB:
			step_initdb(b);
			break;
		case BOOT_PUBLISH:
			step_publish(b);
			break;
		default:
			break;
	}
}
