/*-------------------------------------------------------------------------
 *
 * upgrade_store.c
 *	  A major upgrade and the store: may it begin, and the cluster's new identity.
 *
 * Whoever led last has all that was ever acknowledged, if it was shut down cleanly;
 * nobody else is sure to.  So the data must be on the recorded timeline of a term that
 * is this member's, and reach as far as the store knows that it came.
 *
 * The system identifier, the uuid and the end of all that was recorded of the old WAL
 * are one transaction, which compares that nothing of the cluster was written since it
 * was looked at.  From then on data with the old identifier is of another cluster,
 * which check P12 refuses on each node that has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "access/xlogdefs.h"
#include "common/logging.h"

#include "../cluster_json.h"
#include "../versions.h"
#include "commands.h"
#include "store.h"
#include "upgrade_major.h"

#define STORE_TIMEOUT	10000

/* The record of a shutdown checkpoint: pg_control tells where it begins. */
#define CHECKPOINT_RECORD_SIZE	256

/* The history of WAL that is no more, and what rests on it. */
static const char *const outdated[] = {
	"pg_ha/term", "pg_ha/heartbeat", "status", "sync", "failsafe", "history"
};

static int
refuse_living(const HaUpgrade *u, const HaView *view)
{
	if (view->leader.present)
	{
		pg_log_error("U02 cluster \"%s\" has a leader key, of \"%s\"",
					 u->old.scope, view->leader.name);
		pg_log_error_hint("SELECT pg_ha_stop_cluster('fast', '%s') stops all members.  The key of one that died is gone when its lease has run out.",
						  u->old.scope);
		return HA_EXIT_REFUSED;
	}
	if (view->nmembers > 0)
	{
		pg_log_error("U02 member \"%s\" of cluster \"%s\" is not stopped",
					 view->members[0].name, u->old.scope);
		pg_log_error_hint("Stop the pg_ha_boot of every node, and see to it that none is started before this is over.");
		return HA_EXIT_REFUSED;
	}
	return HA_EXIT_OK;
}

static int
refuse_other(const HaUpgrade *u, const HaClusterData *old, const HaView *view)
{
	if (view->sysid != 0 && view->sysid == old->sysid)
		return HA_EXIT_OK;
	pg_log_error("P12 data directory \"%s\" has system identifier " UINT64_FORMAT ", cluster \"%s\" has " UINT64_FORMAT,
				 u->old.data_dir, old->sysid, u->old.scope, view->sysid);
	pg_log_error_hint("Check -D and pg_ha.scope.");
	return HA_EXIT_REFUSED;
}

/* Has another member led since, or this one gone further than this data? */
static int
refuse_stale(const HaUpgrade *u, const HaClusterData *old, const HaView *view)
{
	const HaTerm *term = &view->term;
	uint64_t	known = Max(Max(view->heartbeat.lsn, view->heartbeat.released_lsn),
							view->optime);

	if (!term->present || strcmp(term->owner, u->old.name) != 0)
	{
		pg_log_error("U03 member \"%s\" has not led cluster \"%s\" last, but \"%s\"",
					 u->old.name, u->old.scope,
					 term->present ? term->owner : "nobody that is known");
		pg_log_error_hint("Run this on the node of that member.");
		return HA_EXIT_REFUSED;
	}
	if (term->intent || term->timeline != old->timeline)
	{
		pg_log_error("U03 the data is on timeline %u, cluster \"%s\" on %u%s",
					 old->timeline, u->old.scope, term->timeline,
					 term->intent ? ", and about to leave it" : "");
		pg_log_error_hint("Start the cluster, wait until it has a leader, and stop it again with pg_ha_stop_cluster().");
		return HA_EXIT_REFUSED;
	}
	if (old->checkpoint_lsn + CHECKPOINT_RECORD_SIZE < known)
	{
		pg_log_error("U03 the data ends at %X/%X, but cluster \"%s\" had come to %X/%X",
					 LSN_FORMAT_ARGS(old->checkpoint_lsn), u->old.scope,
					 LSN_FORMAT_ARGS(known));
		pg_log_error_hint("This is an older copy: use the data directory in which the leader ran last.");
		return HA_EXIT_REFUSED;
	}
	return HA_EXIT_OK;
}

int
ha_upgrade_ask_store(const HaUpgrade *u, const HaClusterData *old, HaDcs *dcs,
					 HaAnswer *keys, HaView *view)
{
	char		why[HA_WHY_SIZE];
	int			code;

	if (!ha_store_look(dcs, STORE_TIMEOUT, keys, view))
		return HA_EXIT_TEMPORARY;
	if (ha_is_too_old(view))
	{
		ha_too_old_why(view, why, sizeof(why));
		pg_log_error("P23 %s", why);
		pg_log_error_hint("Use the pg_ha_boot of that version.");
		code = HA_EXIT_CONFIGURATION;
	}
	else
		code = refuse_living(u, view);
	if (code == HA_EXIT_OK && old != NULL)
		code = refuse_other(u, old, view);
	if (code == HA_EXIT_OK && old != NULL)
		code = refuse_stale(u, old, view);
	if (code != HA_EXIT_OK)
		ha_dcs_answer_free(keys);
	return code;
}

static void
build_txn(const HaUpgrade *u, const HaAnswer *keys, const HaView *view,
		  HaTxn *txn)
{
	char		sysid[32];

	ha_txn_compare(txn, HA_UNCHANGED_SINCE, "", keys->revision);
	ha_txn_compare(txn, HA_CREATE_REVISION, "leader", 0);
	snprintf(sysid, sizeof(sysid), UINT64_FORMAT, u->old_sysid);
	ha_txn_compare(txn, HA_MOD_REVISION, "initialize",
				   view->initialize_revision);
	ha_txn_compare_value(txn, "initialize", sysid);
	ha_txn_compare(txn, HA_MOD_REVISION, "pg_ha/identity",
				   view->identity_revision);
	snprintf(sysid, sizeof(sysid), UINT64_FORMAT, u->new_sysid);
	ha_txn_put(txn, "initialize", strdup(sysid), 0);
	ha_txn_put(txn, "pg_ha/identity", ha_identity_json(u->uuid), 0);
	for (int i = 0; i < lengthof(outdated); i++)
		ha_txn_delete(txn, outdated[i]);
}

int
ha_upgrade_publish(const HaUpgrade *u, HaDcs *dcs, const HaAnswer *keys,
				   const HaView *view)
{
	HaRequest	request = {.kind = HA_DCS_TXN};
	HaAnswer	answer;
	bool		succeeded;

	build_txn(u, keys, view, &request.txn);
	if (!ha_store_ask(dcs, &request, STORE_TIMEOUT, &answer))
	{
		pg_log_error_hint("Run this command again: it finds out whether the cluster has its new identity, and goes on from there.");
		return HA_EXIT_TEMPORARY;
	}
	succeeded = answer.succeeded;
	ha_dcs_answer_free(&answer);
	if (succeeded)
		return HA_EXIT_OK;
	pg_log_error("U05 something was written in cluster \"%s\" since it was looked at",
				 u->old.scope);
	pg_log_error_hint("Is a node being started?  Stop it, and run this command again.");
	return HA_EXIT_TEMPORARY;
}
