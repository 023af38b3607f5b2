/*-------------------------------------------------------------------------
 *
 * record.c
 *	  What a leader writes down for people: /history, pg_ha/last_failover.
 *
 * Written after the gate has opened, so nobody waits for it; guarded by the leader
 * key, so a former leader writes nothing; and again until it stands there.  Patroni's
 * members take the cluster's timeline from /history.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "documents.h"
#include "history_json.h"
#include "record.h"
#include "wall_time.h"

/* Out of the range that lease.c comes to, and not one of ask.c's. */
#define RECORD_TAG		0x7FFFFFFFU

#define TRY_AGAIN		1000	/* ms */

static bool is_out;
static bool with_change;		/* the one that is out has pg_ha/last_failover */
static int64 not_before;

/* What /history was found to need nothing for. */
static int64 checked_term;
static int64 checked_history;

bool
ha_record_is_mine(uint32_t tag)
{
	return tag == RECORD_TAG;
}

/* The new value of /history, malloc'd; NULL = it is as it should be. */
static char *
new_history(const HaView *view, const HaDocument *old)
{
	char		time[HA_TIME_SIZE];
	char	   *text;

	if (old->too_long || view->term.intent ||
		(checked_term == view->term.mod_revision &&
		 checked_history == old->revision))
		return NULL;
	ha_time_format(ha_wall_clock(), time);
	text = ha_history_json(&view->term, old->revision != 0 ? old->text : NULL,
						   time);
	if (text == NULL)
	{
		checked_term = view->term.mod_revision;
		checked_history = old->revision;
	}
	return text;
}

bool
ha_record_next(const HaLease *lease, const HaLocal *local, int64_t now,
			   HaRequest *request)
{
	const HaDocument *old = ha_document(HA_DOCUMENT_HISTORY);
	HaTxn	   *txn = &request->txn;
	char	   *history;

	if (is_out || now < not_before || now >= ha_lease_deadline(lease))
		return false;
	history = new_history(&lease->view, old);
	if (history == NULL && !lease->change.present)
		return false;
	memset(request, 0, sizeof(*request));
	request->kind = HA_DCS_TXN;
	request->tag = RECORD_TAG;
	request->timeout = lease->view.config.retry_timeout;
	ha_txn_compare(txn, HA_MOD_REVISION, "leader", lease->key_revision);
	ha_txn_compare(txn, HA_LEASE, "leader", lease->lease_id);
	if (history != NULL)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, "history", old->revision);
		ha_txn_put(txn, "history", history, 0);
	}
	with_change = lease->change.present;
	if (with_change)
		ha_txn_put(txn, "pg_ha/last_failover", ha_change_json(&lease->change),
				   0);
	is_out = true;
	return true;
}

void
ha_record_unsent(int64_t now)
{
	is_out = false;
	not_before = now + TRY_AGAIN;
}

void
ha_record_answered(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	is_out = false;
	if (answer->status == HA_DCS_OK && answer->succeeded)
	{
		if (with_change)
			lease->change.present = false;
		lease->read_wanted = true;
	}
	else
		not_before = now + TRY_AGAIN;
}
