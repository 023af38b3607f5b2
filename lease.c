/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  The protocol between a plan and the store: the gate, its deadline, and
 *	  which request is next.
 *
 * What an answer means is in lease_answers.c, what a plan writes in lease_txn.c.
 *
 * What makes a deadline safe is argued here, once.
 *
 * The store drops the leader key no earlier than one TTL after it handled the
 * last keepalive of our lease, and a keepalive is handled after we sent it.  A
 * keepalive by itself proves nothing: a stalled member of the store answers it
 * from the past, and it succeeds although the key is gone.  So each renewal is
 * two requests: the keepalive, and a linearizable txn that compares mod_revision
 * and lease of the leader key.  When both have succeeded, nobody else had the key
 * at a moment after the earlier of the two was sent, and nobody else can get it
 * before that moment plus the granted TTL, if it was the true store that answered
 * the keepalive.  The deadline is that, less a margin.
 *
 * A stalled member may have answered it, and the store may drop a key early all
 * the same.  For that the txn has put a heartbeat: a candidate waits one TTL from
 * the time it saw that heartbeat, which is after we sent the txn, and so after our
 * deadline (E1 in election.c).  Only when the store is so full that it refuses the
 * put does safety rest on its timer alone.
 *
 * While the store does not answer, the promises of all other members can stand in
 * for it, if failsafe mode is on: failsafe.c says why.  They only ever prolong a
 * deadline that the store has given before.
 *
 * Closing the gate is final for whatever was asked before: it zeroes all bases
 * and bumps the generation, and answers to requests of an older generation don't
 * count.
 *
 * A write of ours whose answer got lost may land at any later time.  Before such
 * a node counts itself as holding the key again it re-puts the key (REASSERT),
 * which changes mod_revision and so kills whatever is still under way.
 *
 *-------------------------------------------------------------------------
 */
#include "lease_parts.h"
#include "cluster_json.h"
#include "config_values_json.h"
#include "failsafe_json.h"
#include "rules.h"
#include "slots_json.h"
#include "versions.h"

static uint32_t
new_tag(HaLease *lease)
{
	if (++lease->last_tag == 0)
		lease->last_tag = 1;
	return lease->last_tag;
}

int64_t
ha_lease_margin(int64_t ttl)
{
	return later(ttl / 10, 300);
}

void
ha_lease_init(HaLease *lease, const char *name, int64_t now)
{
	memset(lease, 0, sizeof(*lease));
	copy_name(lease->name, name);
	ha_config_defaults(&lease->view.config);
	lease->read_due = now;
	lease->watch_due = now;
}

void
ha_lease_recall_bid(HaLease *lease, bool bid, int64_t bid_revision)
{
	lease->bid = lease->vote_unknown = bid;
	lease->bid_revision = bid_revision;
}

void
ha_lease_close(HaLease *lease)
{
	lease->open = false;
	lease->generation++;
	lease->lease_base = 0;
	lease->proof_base = 0;
	ha_asking_void(&lease->asking);
}

/* Until when the store itself has given us the gate; 0 = it has not. */
static int64_t
proven_deadline(const HaLease *lease)
{
	if (!lease->open || !lease->holding || lease->reassert ||
		lease->lease_base == 0 || lease->proof_base == 0)
		return 0;
	return earlier(lease->lease_base, lease->proof_base) +
		lease->lease_ttl - ha_lease_margin(lease->lease_ttl);
}

int64_t
ha_lease_deadline(const HaLease *lease)
{
	int64_t		deadline = proven_deadline(lease);

	if (deadline == 0)
		return 0;
	return later(deadline, ha_asking_deadline(&lease->asking));
}

bool
ha_lease_leads_by_promises(const HaLease *lease)
{
	return ha_lease_deadline(lease) > proven_deadline(lease);
}

void
ha_lease_stay_out(HaLease *lease, int64_t until)
{
	lease->stay_out_until = until;
}

/*
 * Are we the leader, as far as others are concerned?  That of a standby cluster has
 * no use for the gate.
 */
static bool
is_leading(const HaLease *lease)
{
	const HaTerm *term = &lease->view.term;

	return lease->open || (lease->holding && term->standby && !term->intent &&
						   term->term == lease->term);
}

/* Is nothing but the lease in the way of what we do? */
bool
ha_lease_may_move(const HaLease *lease)
{
	return is_leading(lease) && lease->holding && !lease->reassert &&
		lease->op_tag == 0 && !ha_lease_leads_by_promises(lease);
}

/*-------------------------------------------------------------------------
 * What is known, and what a plan means for the gate
 *-------------------------------------------------------------------------
 */

void
ha_lease_local(const HaLease *lease, HaLocal *local, int64_t now)
{
	local->lease_id = lease->lease_id;
	local->holding = lease->holding;
	local->reassert = lease->reassert;
	local->put_at = lease->put_at;
	local->reign_checked = lease->reign_checked && !lease->reign_lost;
	local->reign_lost = lease->reign_lost;
	local->deadline = ha_lease_deadline(lease);
	local->heartbeat_seen_at = lease->heartbeat_seen_at;
	local->heartbeat_ttl = lease->heartbeat_ttl;
	local->key_gone_since = lease->key_gone_since;
	local->blind = lease->blind;
	local->patroni_seen = lease->patroni_seen;
	local->led_since = lease->led_since;
	ha_inquiry_tell(&lease->inquiry, local);
	local->stay_out_until = lease->stay_out_until;
	local->wish_seen_at = lease->wish_seen_at;
	local->handed_over_at = lease->handed_over_at;
	local->op_in_flight = lease->op_tag != 0;
	local->vote_unknown = lease->vote_unknown;
	local->vote_pending =
		(lease->op_tag != 0 && lease->op_verb == HA_VOTE) ||
		!is_later(lease->view_tag, lease->vote_done_tag);
	local->sync_unknown = lease->sync_unknown;
	local->sync_pending =
		(lease->op_tag != 0 && lease->op_verb == HA_SET_SYNC) ||
		!is_later(lease->view_tag, lease->sync_done_tag);
	local->bid = lease->bid;
	local->failsafe_active = ha_lease_leads_by_promises(lease);
}

/* Has the key been let go of, as far as we know?  It may land at any time (S-6). */
static bool
is_releasing(const HaLease *lease)
{
	return lease->op_tag != 0 && is_release(lease->op_verb);
}

void
ha_lease_plan(HaLease *lease, const HaPlan *plan, int64_t now)
{
	if (plan->lead && lease->holding && !lease->reassert && !is_releasing(lease))
	{
		/* what a closing has voided is proven anew at once */
		if (!lease->open && lease->proof_base == 0)
			lease->proof_due = now;
		if (!lease->open && lease->lease_base == 0)
			lease->keepalive_due = now;
		lease->open = true;
	}
	else if (lease->open)
		ha_lease_close(lease);
	lease->inquiry.wanted = plan->ask;
	lease->looks_only = plan->looks_only;
}

/*-------------------------------------------------------------------------
 * Requests
 *-------------------------------------------------------------------------
 */

static int64_t
timeout_of(const HaLease *lease)
{
	return later(earlier(lease->view.config.retry_timeout,
						 lease->view.config.ttl / 3), 300);
}

static bool
op_needs_lease(HaVerb verb)
{
	return verb == HA_ACQUIRE || verb == HA_REASSERT || verb == HA_VOTE ||
		verb == HA_WITHDRAW;
}

/* Surely alive for long enough to be worth putting a key under? */
static bool
lease_is_usable(const HaLease *lease, int64_t now)
{
	return lease->lease_id != 0 &&
		now < lease->lease_alive_at + lease->lease_ttl -
		ha_lease_margin(lease->lease_ttl);
}

static void
build_grant(HaLease *lease, HaRequest *request)
{
	lease->grant_ttl = lease->view.config.ttl;
	lease->grant_tag = request->tag = new_tag(lease);
	request->kind = HA_DCS_GRANT;
	request->ttl = lease->grant_ttl;
	request->timeout = timeout_of(lease);
}

static bool
next_grant(HaLease *lease, int64_t now, HaRequest *request)
{
	if (lease->grant_tag != 0 || now < lease->grant_due)
		return false;
	lease->lease_id = 0;
	build_grant(lease, request);
	return true;
}

/* The TTL was changed while we lead: a lease can't be changed, so take another. */
static bool
next_move(HaLease *lease, const HaPlan *plan, int64_t now, HaRequest *request)
{
	if ((plan->verb != HA_RENEW && plan->verb != HA_FOLLOW_SOURCE) ||
		!ha_lease_may_move(lease) || !lease->view.valid ||
		lease->view.config.ttl == lease->asked_ttl ||
		lease->grant_tag != 0 || now < lease->grant_due)
		return false;
	build_grant(lease, request);
	lease->grant_moves = true;
	return true;
}

static bool
next_op(HaLease *lease, const HaPlan *plan, const HaLocal *local, int64_t now,
		HaRequest *request)
{
	/* the plan must rest on a read that shows what the last write did */
	if (now >= lease->op_due)
		lease->op_due = 0;
	if (lease->op_tag != 0 || !lease->view.valid || lease->op_due != 0 ||
		!is_later(lease->view_tag, lease->op_done_tag))
		return false;
	if (op_needs_lease(plan->verb) && !lease->holding &&
		!lease_is_usable(lease, now))
		return next_grant(lease, now, request);
	if (!ha_lease_build_op(lease, plan, local, now, &request->txn))
		return false;
	if (is_release(plan->verb))
		ha_lease_close(lease);
	if (plan->verb == HA_ACQUIRE || plan->verb == HA_VOTE)
	{
		lease->bid = true;
		lease->bid_revision = lease->view.term.mod_revision;
	}
	lease->op_tag = request->tag = new_tag(lease);
	lease->op_verb = plan->verb;
	request->kind = HA_DCS_TXN;
	request->timeout = timeout_of(lease);
	return true;
}

/* Is something of ours under the lease, or about to be? */
static bool
lease_is_used(const HaLease *lease, const HaPlan *plan)
{
	if (plan->verb == HA_GIVE_UP)
		return false;
	if (lease->holding || lease->reassert)
		return true;
	if (lease->view.leader.present)
		return false;
	return plan->verb == HA_WAIT || plan->verb == HA_VOTE ||
		plan->verb == HA_ACQUIRE || plan->verb == HA_REASSERT;
}

static bool
next_keepalive(HaLease *lease, const HaPlan *plan, int64_t now,
			   HaRequest *request)
{
	if (lease->lease_id == 0 || lease->keepalive_tag != 0 ||
		now < lease->keepalive_due)
		return false;
	lease->keepalive_due = now + lease->lease_ttl / 5;
	if (!lease_is_used(lease, plan))
		return false;			/* it may run out, a new one costs little */

	/*
	 * If answers are lost or late, but requests arrive, we are fenced and yet
	 * our lease would keep everybody else from leading for ever.
	 */
	if (now - later(lease->prompt_at, lease->lease_alive_at) > lease->lease_ttl)
		return false;
	lease->keepalive_generation = lease->generation;
	lease->keepalive_tag = request->tag = new_tag(lease);
	request->kind = HA_DCS_KEEPALIVE;
	request->lease = lease->lease_id;
	request->timeout = renewal_timeout(lease);
	return true;
}

static bool
next_proof(HaLease *lease, const HaPlan *plan, const HaLocal *local,
		   int64_t now, HaRequest *request)
{
	if (!lease->holding || lease->reassert || lease->proof_tag != 0 ||
		now < lease->proof_due)
		return false;
	lease->proof_due = now + lease->lease_ttl / 5;
	if (plan->verb == HA_GIVE_UP)
		return false;			/* a heartbeat would keep others waiting */
	if (lease->view.config.failsafe_mode && lease->asking.denial_lost)
	{
		/* no such heartbeat lands any more once the key is put anew */
		lease->reassert = true;
		ha_lease_close(lease);
		return false;
	}
	lease->proof_generation = lease->generation;
	lease->proof_tag = request->tag = new_tag(lease);
	request->kind = HA_DCS_TXN;
	request->timeout = renewal_timeout(lease);
	ha_lease_guard_key(&request->txn, lease);
	lease->proof_puts = !lease->proof_putless;
	if (lease->proof_putless)
	{
		/* the next one tries to put again */
		lease->proof_putless = false;
		lease->proof_announces = lease->asking.announced;
		return true;
	}
	ha_lease_put_heartbeat(&request->txn, lease, local, lease->term);
	lease->proof_announces = lease->view.config.failsafe_mode;
	if (!lease->proof_announces)
		lease->asking.announced = false;	/* whatever becomes of this put */
	if (now >= lease->status_due && is_leading(lease))
	{
		lease->status_due = now + lease->view.config.loop_wait;
		ha_txn_put(&request->txn, KEY_STATUS,
				   ha_status_json(local->flush_lsn, local->slots.known ?
								  &local->slots : &lease->view.slots), 0);
	}
	return true;
}

/* A txn of its own: another list in the store must not fail the proof. */
static bool
next_failsafe(HaLease *lease, int64_t now, HaRequest *request)
{
	HaAsking   *asking = &lease->asking;
	HaFailsafe	wanted;

	/* who would stand by a new list has promised nothing yet */
	if (!lease->open || !lease->holding || lease->reassert ||
		ha_lease_leads_by_promises(lease) ||
		!lease->view.valid || !lease->view.config.failsafe_mode ||
		asking->put_tag != 0 || now < asking->put_due ||
		!is_later(lease->view_tag, asking->put_done_tag) ||
		!ha_asking_wants_put(asking, &lease->view, lease->name, &wanted))
		return false;
	request->kind = HA_DCS_TXN;
	request->tag = new_tag(lease);
	request->timeout = timeout_of(lease);
	ha_lease_guard_key(&request->txn, lease);
	ha_txn_compare(&request->txn, HA_MOD_REVISION, KEY_FAILSAFE,
				   lease->view.failsafe.mod_revision);
	ha_txn_put(&request->txn, KEY_FAILSAFE, ha_failsafe_json(&wanted), 0);
	ha_asking_put_sent(asking, request->tag, &wanted);
	return true;
}

/* Does the leader's book list that member no more, or is the member back? */
static bool
is_settled(const HaView *view, const char *name)
{
	bool		known = false;

	if (ha_find_member(view, name) != NULL)
		return true;
	for (int i = 0; i < view->slots.nmembers; i++)
		known = known || strcmp(view->slots.members[i].name, name) == 0;
	return view->slots.known && !known;
}

/*
 * A removal is over when the leader's book, as it stands in the store, shows that:
 * whoever comes later learns it there.
 */
static bool
next_removed(HaLease *lease, int64_t now, HaRequest *request)
{
	const HaView *view = &lease->view;
	char		key[HA_KEY_SIZE] = KEY_REMOVED;
	int			i = 0;

	if (!is_leading(lease) || !lease->holding || lease->reassert ||
		!view->valid || lease->removed_tag != 0 || now < lease->removed_due ||
		!is_later(lease->view_tag, lease->removed_done_tag))
		return false;
	while (i < view->nremoved && !is_settled(view, view->removed[i].name))
		i++;
	if (i >= view->nremoved)
		return false;
	copy_name(key + strlen(KEY_REMOVED), view->removed[i].name);
	request->kind = HA_DCS_TXN;
	request->tag = lease->removed_tag = new_tag(lease);
	request->timeout = timeout_of(lease);
	ha_lease_guard_key(&request->txn, lease);
	ha_txn_compare(&request->txn, HA_MOD_REVISION, key,
				   view->removed[i].mod_revision);
	ha_txn_delete(&request->txn, key);
	return true;
}

static bool
next_read(HaLease *lease, int64_t now, HaRequest *request)
{
	if (lease->read_tag != 0 || (!lease->read_wanted && now < lease->read_due))
		return false;
	lease->read_wanted = false;
	lease->read_due = now + lease->view.config.loop_wait;
	lease->read_tag = request->tag = new_tag(lease);
	request->kind = HA_DCS_RANGE;
	request->timeout = timeout_of(lease);
	return true;
}

static bool
next_watch(HaLease *lease, int64_t now, HaRequest *request)
{
	if (lease->watch_tag == 0 && lease->view.valid && now >= lease->watch_due)
	{
		lease->watch_tag = request->tag = new_tag(lease);
		request->start_revision = lease->view.revision + 1;
	}
	else if (lease->check_tag == 0 && now >= lease->check_due &&
			 lease->holding &&
			 !lease->reign_checked && !lease->reign_lost &&
			 lease->check_from > 0)
	{
		lease->check_tag = request->tag = new_tag(lease);
		request->start_revision = lease->check_from;
		memcpy(request->key, KEY_LEADER, sizeof(KEY_LEADER));
	}
	else
		return false;
	request->kind = HA_DCS_WATCH;
	return true;
}

/* Is this cluster, or this server, none that we may do anything to? */
static bool
only_looks(const HaLease *lease)
{
	return ha_is_too_old(&lease->view) || lease->looks_only;
}

bool
ha_lease_next(HaLease *lease, const HaPlan *plan, const HaLocal *local,
			  int64_t now, HaRequest *request)
{
	memset(request, 0, sizeof(*request));

	/* what is under our lease goes with it: nothing is written any more */
	if (only_looks(lease))
		return next_read(lease, now, request) ||
			next_watch(lease, now, request);
	return next_keepalive(lease, plan, now, request) ||
		next_proof(lease, plan, local, now, request) ||
		next_op(lease, plan, local, now, request) ||
		next_move(lease, plan, now, request) ||
		next_failsafe(lease, now, request) ||
		next_removed(lease, now, request) ||
		next_read(lease, now, request) ||
		next_watch(lease, now, request);
}

void
ha_lease_unsent(HaLease *lease, uint32_t tag, int64_t now)
{
	HaAnswer	answer = {0};

	answer.tag = tag;
	answer.status = HA_DCS_REFUSED;
	answer.sent_at = now;
	ha_lease_answer(lease, &answer, now);
}

/*
 * The store is late if it has confirmed nothing for two intervals, which leaves
 * more time to ask everybody twice than one of them may take.
 */
static int64_t
store_is_late_at(const HaLease *lease)
{
	return earlier(lease->lease_base, lease->proof_base) +
		2 * lease->lease_ttl / 5;
}

bool
ha_lease_ask(HaLease *lease, const HaLocal *local, int64_t now,
			 HaPeerRequest *request)
{
	HaAsking   *asking = &lease->asking;
	int64_t		deadline = ha_lease_deadline(lease);
	int64_t		ttl = earlier(lease->lease_ttl, lease->view.config.ttl);
	HaAsked    *whom;
	HaInquired *inquired;

	/* who can't write keeps nobody else from it */
	bool		sick = local->sick_since != 0 &&
	now - local->sick_since >= local->health_grace;

	if (ha_inquiry_next(&lease->inquiry, now, request, &inquired))
	{
		inquired->tag = request->tag = new_tag(lease);
		return true;
	}
	if (deadline == 0 || now < store_is_late_at(lease))
		return false;
	if (asking->began_at == 0 && now >= asking->due &&
		(now >= deadline || sick ||
		 !ha_asking_begin(asking, &lease->view,
						  is_later(lease->view_tag, asking->put_done_tag),
						  lease->patroni_seen,
						  lease->name, ttl, now)))
		asking->due = now + OP_BACK_OFF;
	if (!ha_asking_next(asking, &lease->view, lease->name, lease->term,
						local->flush_lsn, request, &whom))
		return false;
	whom->tag = request->tag = new_tag(lease);
	return true;
}

void
ha_lease_unasked(HaLease *lease, uint32_t tag, int64_t now)
{
	HaPeerAnswer answer = {.tag = tag,.text = "could not be asked"};

	ha_lease_peer_answer(lease, &answer, now);
}

uint32_t
ha_lease_cancel(HaLease *lease)
{
	uint32_t	tag = lease->check_tag;

	if (tag == 0 || (!lease->reign_checked && !lease->reign_lost))
		return 0;
	lease->check_tag = 0;
	return tag;
}

int64_t
ha_lease_wake_at(const HaLease *lease)
{
	int64_t		wake_at = INT64_MAX;

	/* what is in flight wakes by its answer or its timeout */
	if (lease->read_tag == 0)
		wake_at = earlier(wake_at, lease->read_due);
	if (lease->watch_tag == 0 && lease->view.valid)
		wake_at = earlier(wake_at, lease->watch_due);
	if (only_looks(lease))
		return wake_at;			/* nothing else is sent, however due it is */
	if (lease->holding && !lease->reassert && lease->proof_tag == 0)
		wake_at = earlier(wake_at, lease->proof_due);
	if (lease->lease_id != 0 && lease->keepalive_tag == 0)
		wake_at = earlier(wake_at, lease->keepalive_due);
	if (lease->op_tag == 0 && lease->op_due != 0)
		wake_at = earlier(wake_at, lease->op_due);
	if (ha_lease_deadline(lease) != 0 && lease->asking.began_at == 0)
		wake_at = earlier(wake_at, later(store_is_late_at(lease),
										 lease->asking.due));
	return wake_at;
}
