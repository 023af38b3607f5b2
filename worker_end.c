/*-------------------------------------------------------------------------
 *
 * worker_end.c
 *	  The end of the worker, with its postmaster or before it.
 *
 * The gate is closed first, whatever comes then.  If the postmaster died, this process
 * still knows what a successor must have, and tells that while it can.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_parts.h"

#include <poll.h>
#include <unistd.h>

#include "access/xlog.h"
#include "storage/ipc.h"

#include "server.h"
#include "slots.h"
#include "versions.h"

/* Has the store a record of our reign, as one that is ours without doubt? */
static bool
is_confirmed(const HaWorker *w)
{
	const HaTerm *term = &w->lease.view.term;

	return !term->intent && term->unchecked_from == 0 &&
		ha_term_is_of(term, w->local.name);
}

/*
 * The postmaster is dead, but this process and some backends live on.  With the
 * gate closed nothing is acknowledged any more, so what may be said about the
 * end of this reign can be said now: to the store, if somebody can take over
 * without loss or nobody will restart us; else to pg_ha_boot, which then does.
 */
static bool
should_release(const HaWorker *w, uint64 *safe_lsn)
{
	const HaView *view = &w->lease.view;
	bool		synchronous = view->sync.present && view->sync.nstandbys > 0;

	/*
	 * What was confirmed in this life of the server, all that may have been
	 * before it was a primary, by a standby that is not there now, perhaps,
	 * and all that was acknowledged before the names came in force.  A reign
	 * that is only intended has acknowledged nothing, and what the record
	 * says is of the one before, of which we know nothing.
	 */
	*safe_lsn = !is_confirmed(w) ? 0 : synchronous && w->local.names_in_force ?
		Max(Max(ha_server_confirmed_lsn(), w->primary_from),
			w->local.names_lsn) :
		GetXLogWriteRecPtr();
	if (!w->local.has_boot)
		return true;
	if (!synchronous || view->config.pause || *safe_lsn == 0)
		return false;
	for (int i = 0; i < w->local.nstandbys; i++)
	{
		for (int j = 0; j < view->sync.nstandbys; j++)
		{
			if (strcmp(w->local.standbys[i].name,
					   view->sync.standbys[j]) == 0 &&
				w->local.standbys[i].flush_lsn >= *safe_lsn)
				return true;
		}
	}
	return false;
}

/* Send the release and wait a moment for its answer; nothing else matters. */
static void
release_key(HaWorker *w, uint64 safe_lsn)
{
	HaRequest	request;
	int64		give_up = ha_now() + 400;

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	request.tag = 1;
	request.timeout = 400;
	ha_txn_release(&request.txn, w->local.name, w->lease.key_revision,
				   w->lease.lease_id, w->lease.term, w->lease.lease_ttl,
				   safe_lsn, true);
	if (!ha_dcs_send(w->dcs, &request))
		return;
	for (;;)
	{
		HaAnswer	answer;
		struct pollfd ready = {0};

		ha_dcs_poll(w->dcs);
		while (ha_dcs_next(w->dcs, &answer))
		{
			bool		done = answer.kind == HA_DCS_TXN && answer.tag == 1;

			ha_dcs_answer_free(&answer);
			if (done)
				return;
		}
		if (ha_now() >= give_up)
			return;
		ready.fd = ha_dcs_fd(w->dcs);
		ready.events = POLLIN;
		(void) poll(&ready, 1, 10);
	}
}

void
ha_worker_mourn(HaWorker *w)
{
	uint64		safe_lsn = 0;
	bool		leading = w->lease.holding && !w->lease.reassert &&
	w->local.role == HA_ROLE_PRIMARY && !ha_is_too_old(&w->lease.view);

	ha_lease_close(&w->lease);
	ha_worker_publish_deadline(w, 0);
	if (leading)
	{
		/* read after the gate closed, without locks: holders may be dead */
		w->local.nstandbys = ha_slots_standbys(&w->lease.view,
											   w->local.standbys, false);
		if (should_release(w, &safe_lsn))
			release_key(w, safe_lsn);
		ha_worker_publish_lease(w, safe_lsn);
	}
	_exit(1);
}

/*
 * The server stops: close the gate and go, since the shutdown waits for us.  The
 * key is pg_ha_boot's from the postmaster's end on.
 */
void
ha_worker_stop(HaWorker *w)
{
	ha_lease_close(&w->lease);
	ha_worker_publish_deadline(w, 0);
	w->local.stopping = true;
	ha_worker_publish_lease(w, 0);

	/* anything but 0, or a stray signal would be the end of this worker */
	proc_exit(1);
}
