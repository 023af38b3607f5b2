/*-------------------------------------------------------------------------
 *
 * found.c
 *	  A cluster that is new to the store, made of data that is there.
 *
 * A primary that was run without pg_ha is to go on as primary, on its timeline,
 * after one restart.  It may do so only under the leader key, as any start as
 * primary: a standby of it that has come to pg_ha as well could otherwise be
 * elected while this server starts, without what it lacks.  So one txn writes all
 * that there is to a first reign: the system identifier, the leader key under a
 * lease of its own, the term record that tells the timeline (S-15), and a
 * heartbeat.  It compares that none of the four is there, nor what an election would
 * have to heed, so of several copies of the data only one can do this, and none where
 * pg_ha has ever led: there the rules of an election apply.
 *
 * What can go wrong with the files of the server is tried before it, by preparing
 * a start as standby; that also leaves standby.signal on disk until the key is
 * ours.  A marker tells that this has been done to data which is not yet pg_ha's.
 *
 * If the outcome of the txn is not known, or pg_ha_boot dies, the data is started
 * as a standby, and is elected to the next timeline like any other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "access/xlog_internal.h"
#include "common/logging.h"

#include "files.h"
#include "found.h"
#include "leader.h"
#include "prepare.h"
#include "uuid.h"

/* In the state directory, while the data is prepared but not yet pg_ha's. */
#define FOUNDING_MARKER		"founding"

/* After trouble with the files of the server, or with the store. */
#define RETRY_AFTER			5000
#define SOON				300

/* Has pg_ha never led this cluster, as far as the store can tell? */
static bool
is_untouched(const HaView *view)
{
	return !view->leader.present && !view->term.present &&
		!view->heartbeat.present && !view->sync.present &&
		!view->failsafe.present;
}

/*
 * The marker names the checkpoint that the data had, so that it means nothing any
 * more as soon as any server has run on it.
 */
static void
describe_data(const HaDataFacts *facts, char *text, size_t size)
{
	snprintf(text, size, UINT64_FORMAT " " UINT64_FORMAT "\n", facts->sysid,
			 facts->checkpoint_lsn);
}

/* Has an earlier founding, which came to nothing, prepared this data? */
static bool
is_marked(const HaBoot *b, const HaDataFacts *facts)
{
	char		path[MAXPGPATH];
	char		text[64];
	PQExpBufferData content;
	bool		marked;

	if (!ha_exists_in(b->node.state_dir, FOUNDING_MARKER) ||
		!ha_path_in(path, b->node.state_dir, FOUNDING_MARKER))
		return false;
	describe_data(facts, text, sizeof(text));
	initPQExpBuffer(&content);
	marked = ha_read_file(path, &content) && strcmp(content.data, text) == 0;
	termPQExpBuffer(&content);
	return marked;
}

static bool
put_marker(const HaBoot *b, const HaDataFacts *facts)
{
	char		path[MAXPGPATH];
	char		text[64];

	describe_data(facts, text, sizeof(text));
	return ha_path_in(path, b->node.state_dir, FOUNDING_MARKER) &&
		ha_replace_file(path, text, 0600, true);
}

/*
 * The first thing is a lease for the leader key.  What this node was before, it was
 * with other data.
 */
static void
begin_founding(HaBoot *b, const HaDataFacts *facts)
{
	if (b->now < b->not_before)
		return;
	if (!put_marker(b, facts) || !ha_uuid_forget(b) ||
		!ha_prepare(&b->node, false, false, &b->prepared))
	{
		b->not_before = b->now + RETRY_AFTER;
		pg_log_error("this data cannot be adopted before that is mended");
		return;
	}
	if (ha_session_send_grant(b->session, ha_session_config(b->session)->ttl))
		ha_boot_enter(b, BOOT_FOUND);
}

bool
ha_found_begin(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	bool		marked = is_marked(b, facts);

	/* Others may know better than data that a server of pg_ha has run on. */
	if (!is_untouched(view) ||
		(!marked && ha_exists_in(b->node.data_dir, CONF_FILE)))
		return false;

	/* Whoever runs it without pg_ha gets a standby. */
	if (!facts->was_primary || (facts->standby_signal && !marked))
		ha_boot_wait_for(b, "the primary of this standby: E01 cluster \"%s\" has no leader yet; adopt the primary first",
						 b->node.scope);
	else if (!facts->clean ||
			 ha_exists_in(b->node.data_dir, "recovery.signal"))
		return false;
	else
		begin_founding(b, facts);
	return true;
}

static void
look_again(HaBoot *b)
{
	b->retry_at = b->now + SOON;
	ha_boot_enter(b, BOOT_LOOK);	/* it says what stands there now */
}

/*
 * What the timeline descends from, oldest first; of a long history the newest part.
 * Where it began tells it from another one that somebody has given the same number.
 */
static void
read_history(const HaNode *node, uint32_t timeline, HaTerm *history)
{
	char		path[MAXPGPATH];
	char		line[1024];
	FILE	   *file;

	memset(history, 0, sizeof(*history));
	snprintf(line, sizeof(line), XLOGDIR "/%08X.history", timeline);
	file = ha_path_in(path, node->data_dir, line) ? fopen(path, "re") : NULL;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		HaTimeline	parent = {0};
		unsigned	high;
		unsigned	low;

		if (sscanf(line, "%u %X/%X", &parent.timeline, &high, &low) != 3)
			continue;
		parent.end_lsn = ((uint64_t) high << 32) | low;
		if (history->nlineage == HA_MAX_LINEAGE)
			memmove(history->lineage, history->lineage + 1,
					--history->nlineage * sizeof(HaTimeline));
		history->lineage[history->nlineage++] = parent;
		history->begin_lsn = parent.end_lsn;
	}
	if (file != NULL)
		fclose(file);
}

/*
 * The control block tells of the key before it can be there, so that a worker, or
 * our next life, knows whose it is.
 */
static void
send_first_reign(HaBoot *b)
{
	HaControlLease lease = {.owner = HA_LEASE_BOOT,.confirmed = true,.term = 1};
	HaDataFacts facts;
	HaTerm		history;
	HaTxn		txn;

	switch (ha_session_grant_outcome(b->session, &lease.lease, &lease.ttl))
	{
		case HA_ASK_OUT:
			return;
		case HA_ASK_DONE:
			break;
		default:
			look_again(b);
			return;
	}
	ha_datadir_facts(&b->node, &facts);
	lease.timeline = facts.timeline;
	ha_control_set_lease(b->control, &lease);
	read_history(&b->node, facts.timeline, &history);
	ha_txn_found(&txn, &lease, b->node.name, facts.sysid,
				 facts.checkpoint_lsn, &history);
	if (ha_session_last_view(b->session)->config.revision == 0)
	{
		ha_txn_compare(&txn, HA_CREATE_REVISION, "config", 0);
		ha_txn_put(&txn, "config", ha_bootstrap_config(b->bootstrap), 0);
	}
	b->optime = facts.checkpoint_lsn;
	if (b->stop_requested || !ha_session_send_txn(b->session, &txn))
		look_again(b);
	else
		b->sent = true;
}

static void
start_first_leader(HaBoot *b, int64_t key_revision)
{
	HaControlLease lease;

	if (!ha_control_get_lease(b->control, &lease) ||
		!ha_remove_file(b->node.state_dir, FOUNDING_MARKER))
	{
		look_again(b);			/* as a standby, like others */
		return;
	}
	lease.key_revision = key_revision;
	lease.holding = true;
	ha_control_set_lease(b->control, &lease);
	if (b->stop_requested)
	{
		look_again(b);			/* and release it */
		return;
	}
	b->keeping = true;
	b->keep_since = b->now;
	b->keep_at = b->now + lease.ttl / 5;
	ha_boot_start_server(b, true, true,
						 "it was the primary before pg_ha, and is the first leader");
}

void
ha_found_step(HaBoot *b)
{
	int64_t		revision;
	HaOutcome	outcome;

	if (!b->sent)
	{
		send_first_reign(b);
		return;
	}
	outcome = ha_session_txn_outcome(b->session, &revision);
	if (outcome == HA_ASK_OUT)
		return;
	if (outcome == HA_ASK_DONE)
		start_first_leader(b, revision);
	else
		look_again(b);
}
