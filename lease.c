/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  The protocol between a plan and the store.
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
 * deadline (E1 in decide.c).  Only when the store is so full that it refuses the
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
#include "config_values_json.h"
#include "failsafe_json.h"
#include "lease.h"
#include "cluster_json.h"
#include "election.h"
#include "lineage.h"
#include "history_json.h"
#include "mixed.h"
#include "rules.h"
#include "slots_json.h"
#include "standby_cluster.h"
#include "term_json.h"
#include "versions.h"

#include <stdlib.h>
#include <string.h>

/* Between two tries of what did not work; answers and events come meanwhile. */
#define OP_BACK_OFF		100

#define KEY_LEADER		"leader"
#define KEY_TERM		"pg_ha/term"
#define KEY_HEARTBEAT	"pg_ha/heartbeat"
#define KEY_VOTES		"pg_ha/votes/"
#define KEY_SYNC		"sync"
#define KEY_FAILOVER	"failover"
#define KEY_STATUS		"status"
#define KEY_HISTORY		"history"
#define KEY_FAILSAFE	"failsafe"
#define KEY_REMOVED		"pg_ha/removed/"
#define KEY_MEMBERS		"members/"
#define KEY_CHANGE		"pg_ha/last_failover"
#define KEY_REFUSED		"pg_ha/refused"

static int64_t
renewal_timeout(const HaLease *lease)
{
	return later(lease->lease_ttl / 4, 200);
}

/* Was the request with tag a sent after the one with tag b?  Tags wrap. */
static bool
is_later(uint32_t a, uint32_t b)
{
	return (int32_t) (a - b) > 0;
}

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

static bool
leads_by_promises(const HaLease *lease)
{
	return ha_lease_deadline(lease) > proven_deadline(lease);
}

void
ha_lease_stay_out(HaLease *lease, int64_t until)
{
	lease->stay_out_until = until;
}

/* The key is not ours any more, whatever we believed. */
static void
lose_key(HaLease *lease)
{
	ha_lease_close(lease);
	lease->holding = false;
	lease->read_wanted = true;
}

static void
lose_lease(HaLease *lease)
{
	lease->lease_id = 0;
	lose_key(lease);
}

/*
 * While it is in doubt whether nobody led before, a proof says nothing of that: should
 * the key go again, the doubt must still reach as far back (S-5).
 */
static void
note_proof(HaLease *lease, int64_t revision)
{
	if (lease->reign_checked)
		lease->proof_revision = later(lease->proof_revision, revision);
}

static void
gain_key(HaLease *lease, int64_t key_revision, int64_t term, int64_t sent_at)
{
	lease->holding = true;
	lease->reassert = false;
	lease->left_lease = 0;
	lease->key_revision = key_revision;
	lease->term = term;
	lease->proof_base = sent_at;
	note_proof(lease, key_revision);
	lease->proof_due = sent_at;
	lease->keepalive_due = sent_at;
	lease->handed_over_at = 0;
	ha_asking_forget(&lease->asking);
}

/* Both give the key up, the second to one who has all that was acknowledged. */
static bool
is_release(HaVerb verb)
{
	return verb == HA_RELEASE || verb == HA_HAND_OVER;
}

/* E1: date each heartbeat by our own clock when it is first seen. */
static void
observe_heartbeat(HaLease *lease, const HaHeartbeat *heartbeat, int64_t now)
{
	if (!heartbeat->present ||
		heartbeat->mod_revision <= lease->heartbeat_revision)
		return;
	if (heartbeat->term != lease->heartbeat_term)
		lease->heartbeat_ttl = 0;
	if (!lease->holding)
		lease->store_full = false;	/* somebody's put was accepted */
	lease->heartbeat_revision = heartbeat->mod_revision;
	lease->heartbeat_term = heartbeat->term;
	lease->heartbeat_seen_at = now;
	lease->heartbeat_ttl = later(lease->heartbeat_ttl, heartbeat->ttl);
}

/*
 * S-11: reigns of members of Patroni, who leave no record of them.  What its members
 * have said of themselves before another reign does not count after it, even if that
 * was over before we saw it.
 */
static void
observe_patroni(HaLease *lease, int64_t now)
{
	const HaView *view = &lease->view;
	bool		is_new = view->term.mod_revision != lease->led_revision;
	int64_t		traces = later(view->status_revision, view->sync.mod_revision);

	if (ha_mixed_patroni(view) != NULL)
		lease->patroni_seen = true;
	else if (view->leader.present && !view->term.intent &&
			 ha_term_is_of(&view->term, view->leader.name))
		lease->patroni_seen = false;	/* ours lead, with none of them there */
	if (is_new)
	{
		lease->led_since = false;
		ha_inquiry_void(&lease->inquiry);
	}
	if (traces != lease->traces_revision && !view->leader.present)
		ha_inquiry_void(&lease->inquiry);
	lease->traces_revision = traces;
	if (is_new && view->term.foreign && !view->leader.present)
		lease->key_gone_since = now;
	lease->led_revision = view->term.mod_revision;
	if (view->leader.present && ha_mixed_is_unrecorded(view))
		lease->led_since = true;
	ha_inquiry_look(&lease->inquiry, view);
}

/*-------------------------------------------------------------------------
 * Answers
 *-------------------------------------------------------------------------
 */

static bool
is_own_lease(const HaLease *lease, int64_t id)
{
	return id != 0 && (id == lease->lease_id || id == lease->left_lease);
}

static void
take_read(HaLease *lease, const HaAnswer *answer, int64_t contact, int64_t now)
{
	HaView	   *view = &lease->view;
	HaConfig	last_config = view->config;
	bool		mine;

	if (answer->status != HA_DCS_OK)
		return;
	lease->view_tag = answer->tag;
	ha_view_parse(answer, &last_config, view);
	lease->read_due = now + view->config.loop_wait;
	observe_heartbeat(lease, &view->heartbeat, now);

	if (view->leader.present)
		lease->key_gone_since = 0;
	else if (lease->key_gone_since == 0)
	{
		lease->key_gone_since = now;
		lease->blind = contact == 0 || now - contact > view->config.ttl / 2;
	}
	lease->leader_seen = view->leader.present;
	if (view->failover.mod_revision != lease->wish_revision)
	{
		lease->wish_revision = view->failover.mod_revision;
		lease->wish_seen_at = now;
	}
	if (view->term.mod_revision > lease->bid_revision)
		lease->bid = false;
	observe_patroni(lease, now);

	mine = view->leader.present &&
		strcmp(view->leader.name, lease->name) == 0 &&
		is_own_lease(lease, view->leader.lease);
	if (lease->holding && answer->sent_at > lease->proof_base &&
		is_later(answer->tag, lease->op_done_tag) &&
		(!mine || view->leader.mod_revision != lease->key_revision))
	{
		/* a read is as good as a failed proof; what is ours may be re-put */
		lose_key(lease);
	}
	if (mine && !lease->holding)
		lease->reassert = true;
	else if (!mine && !lease->holding && lease->op_tag == 0 &&
			 is_later(answer->tag, lease->op_done_tag))
		lease->reassert = false;	/* it came to nothing */
}

/*
 * Members write their keys all the time, which is no reason to read everything.  But
 * a new one needs a slot before its server asks for it, and one whose lease is another
 * may be run by another program by now.
 */
static bool
is_new_member(const HaView *view, const HaKv *kv)
{
	const char *name = kv->key + strlen(KEY_MEMBERS);
	const HaMember *known = ha_find_member(view, name);

	if (kv->deleted)
		return false;
	return known == NULL || known->lease != kv->lease;
}

static void
take_watch(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	if (answer->status != HA_DCS_OK)
	{
		/* a hint only: read anew, then watch anew from there */
		lease->watch_tag = 0;
		lease->watch_due = now + 100;
		lease->read_wanted = true;
		return;
	}
	for (int i = 0; i < answer->nkvs; i++)
	{
		const HaKv *kv = &answer->kvs[i];
		HaHeartbeat heartbeat;

		if (strcmp(kv->key, KEY_HEARTBEAT) == 0)
		{
			if (!kv->deleted && ha_heartbeat_parse(kv, &heartbeat))
				observe_heartbeat(lease, &heartbeat, now);
		}
		else if (strncmp(kv->key, KEY_MEMBERS, strlen(KEY_MEMBERS)) == 0 ?
				 is_new_member(&lease->view, kv) :
				 strcmp(kv->key, KEY_STATUS) != 0)
			lease->read_wanted = true;
	}
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
static bool
may_move(const HaLease *lease)
{
	return is_leading(lease) && lease->holding && !lease->reassert &&
		lease->op_tag == 0 && !leads_by_promises(lease);
}

/*
 * A lease of another TTL takes over while we lead.  The gate is closed before, so
 * that no deadline of the old TTL is left when the heartbeat announces the new
 * one (S-8), and opens when the key has been put anew, as after an unknown outcome.
 * The old lease is left to run out.
 */
static void
begin_move(HaLease *lease)
{
	lease->left_lease = lease->lease_id;
	lose_key(lease);
	lease->reassert = true;
}

static void
take_grant(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	bool		moves = lease->grant_moves;

	lease->grant_tag = 0;
	lease->grant_moves = false;
	if (answer->status != HA_DCS_OK || answer->ttl <= 0)
	{
		lease->grant_due = now + 200;
		lease->store_full = lease->store_full || answer->nospace;
		return;
	}
	lease->store_full = false;
	if (moves)
	{
		if (!may_move(lease))
			return;				/* what is granted may run out */
		begin_move(lease);
	}
	lease->lease_id = answer->lease;
	lease->lease_ttl = answer->ttl;
	lease->asked_ttl = lease->grant_ttl;
	lease->lease_alive_at = answer->sent_at;

	/* a move closes the gate, and this was asked for before */
	lease->lease_base = moves ? 0 : answer->sent_at;
	lease->keepalive_due = moves ? now : now + answer->ttl / 5;
}

static void
take_keepalive(HaLease *lease, const HaAnswer *answer)
{
	lease->keepalive_tag = 0;
	if (answer->status != HA_DCS_OK || answer->lease != lease->lease_id)
		return;
	if (answer->ttl <= 0)
	{
		lose_lease(lease);
		return;
	}
	lease->lease_alive_at = later(lease->lease_alive_at, answer->sent_at);
	if (lease->keepalive_generation == lease->generation)
		lease->lease_base = later(lease->lease_base, answer->sent_at);
}

static void
take_proof(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	lease->proof_tag = 0;
	if (answer->status == HA_DCS_REFUSED && answer->nospace)
	{
		lease->proof_putless = true;
		lease->store_full = true;
		lease->proof_due = now;
		return;
	}
	if (answer->status == HA_DCS_OK && lease->proof_puts)
		lease->store_full = false;
	if (answer->status == HA_DCS_UNKNOWN && lease->proof_puts &&
		!lease->proof_announces)
		lease->asking.denial_lost = true;
	if (answer->status != HA_DCS_OK || !lease->holding)
		return;
	if (lease->proof_generation != lease->generation)
		return;
	if (!answer->succeeded)
	{
		lose_key(lease);
		return;
	}
	lease->asking.announced = lease->proof_announces;
	lease->proof_base = later(lease->proof_base, answer->sent_at);
	note_proof(lease, answer->revision);
	if (lease->proof_puts)
		lease->put_at = later(lease->put_at, answer->sent_at);
}

/*
 * Our key, which was gone for a while, is back: before the gate may open, see
 * whether anybody had it meanwhile.  A compacted history means that somebody may
 * have (S-5).
 */
static void
take_check(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	if (answer->status != HA_DCS_OK)
	{
		lease->check_tag = 0;
		lease->check_due = now + OP_BACK_OFF;
		if (answer->compacted)
			lease->reign_lost = true;
		return;
	}
	for (int i = 0; i < answer->nkvs; i++)
	{
		const HaKv *kv = &answer->kvs[i];

		if (strcmp(kv->key, KEY_LEADER) != 0)
			continue;
		if (!kv->deleted && (kv->value == NULL ||
							 strcmp(kv->value, lease->name) != 0))
			lease->reign_lost = true;
		if (!kv->deleted && kv->mod_revision >= lease->key_revision)
			lease->reign_checked = !lease->reign_lost;
	}
}

/*
 * A promotion, and the gate after it, need not wait for a read to show what our own
 * txn has put: it compared what stood there before.  The next write does (next_op).
 */
static void
know_own_write(HaLease *lease, const HaAnswer *answer)
{
	HaView	   *view = &lease->view;

	if (view->revision > answer->revision)
		return;					/* a read was faster, and may know more */
	if (lease->op_verb == HA_ACQUIRE)
	{
		view->leader.present = true;
		copy_name(view->leader.name, lease->name);
		view->leader.lease = lease->lease_id;
		view->leader.create_revision = answer->revision;
		view->leader.mod_revision = answer->revision;
	}
	else if (lease->op_record.standby)
		memset(&view->sync, 0, sizeof(view->sync));
	else if (view->term.intent)
	{
		if (view->sync.present)
		{
			view->sync.mod_revision = answer->revision;
			copy_name(view->sync.leader, lease->name);
			view->sync.quorum = view->sync.nstandbys = 0;
		}
		if (view->failover.scheduled_at == 0)
			view->failover.present = false;
	}
	view->term = lease->op_record;
	view->term.mod_revision = answer->revision;
}

/* It is ours, and who was promoted for it leads. */
static void
complete_change(HaLease *lease, int64_t now)
{
	HaChange   *change = &lease->change;

	if (change->term != lease->term)
		return;					/* another life of this worker took the key */
	change->present = change->complete = true;
	change->promote_ms = later(lease->confirm_sent_at - lease->key_taken_at, 0);
	change->confirm_ms = later(now - lease->confirm_sent_at, 0);
	change->lost_bytes = lease->op_record.lost_bytes;
}

static void
op_succeeded(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	switch (lease->op_verb)
	{
		case HA_ACQUIRE:
			lease->reign_checked = !lease->op_resume || lease->check_from == 0;
			gain_key(lease, answer->revision, lease->op_term, answer->sent_at);
			lease->change.acquire_ms += now - lease->key_taken_at;
			lease->key_taken_at = now;
			know_own_write(lease, answer);
			break;
		case HA_CONFIRM:
			/* a read may have shown the record before this answer came */
			if (lease->op_confirms)
				complete_change(lease, now);
			know_own_write(lease, answer);
			break;
		case HA_REASSERT:
			lease->reign_checked = lease->check_from == 0;
			gain_key(lease, answer->revision, lease->op_term, answer->sent_at);
			break;
		case HA_RELEASE:
		case HA_HAND_OVER:
			lease->holding = false;
			lease->reassert = false;
			ha_lease_close(lease);
			if (lease->op_verb == HA_HAND_OVER)
				lease->handed_over_at = now;
			break;
		default:
			break;
	}
}

/*
 * A vote of unknown outcome is settled by another put, or by a withdrawal that
 * finds another revision than the vote was guarded by.
 */
static void
note_vote(HaLease *lease, const HaAnswer *answer)
{
	lease->vote_done_tag = lease->last_tag;
	if (lease->op_verb == HA_VOTE && answer->status == HA_DCS_UNKNOWN)
		lease->vote_unknown = true;
	else if (answer->status == HA_DCS_OK &&
			 (answer->succeeded || lease->op_verb == HA_WITHDRAW))
		lease->vote_unknown = false;
}

static void
take_op(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	lease->op_tag = 0;
	lease->op_done_tag = lease->last_tag;
	lease->read_wanted = true;
	if (answer->status != HA_DCS_OK || !answer->succeeded)
		lease->op_due = now + OP_BACK_OFF;
	if (lease->op_verb == HA_VOTE || lease->op_verb == HA_WITHDRAW)
		note_vote(lease, answer);
	if (lease->op_verb == HA_SET_SYNC)
	{
		lease->sync_done_tag = lease->last_tag;

		/*
		 * One that was refused did nothing, not even to an earlier one whose
		 * outcome is not known.  One that was carried out, on whichever
		 * branch, shows that /sync has another revision than that one was
		 * guarded by.
		 */
		if (answer->status == HA_DCS_UNKNOWN)
			lease->sync_unknown = true;
		else if (answer->status == HA_DCS_OK)
			lease->sync_unknown = false;
	}
	if (answer->status == HA_DCS_OK && answer->succeeded)
	{
		lease->put_at = later(lease->put_at, answer->sent_at);
		op_succeeded(lease, answer, now);
	}
	else if (answer->status == HA_DCS_OK && is_release(lease->op_verb))
		lose_key(lease);
	else if (answer->status == HA_DCS_REFUSED && !is_release(lease->op_verb) &&
			 !answer->nospace)
	{
		/* most often the lease is dead: ask for a new one */
		if (!lease->holding)
			lease->lease_id = 0;
	}
	else if (answer->status == HA_DCS_UNKNOWN && is_release(lease->op_verb))
	{
		/* it may land at any time: the key counts again only once re-put */
		lease->reassert = true;
		ha_lease_close(lease);
	}
}

/* Who must agree when the store is away (S-9). */
static void
take_failsafe(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	ha_asking_put_answered(&lease->asking, answer);
	lease->asking.put_done_tag = lease->last_tag;
	lease->read_wanted = true;
	if (answer->status != HA_DCS_OK || !answer->succeeded)
		lease->asking.put_due = now + OP_BACK_OFF;
}

static void
take_removed(HaLease *lease, int64_t now)
{
	lease->removed_tag = 0;
	lease->removed_done_tag = lease->last_tag;
	lease->removed_due = now + OP_BACK_OFF;
}

void
ha_lease_peer_answer(HaLease *lease, const HaPeerAnswer *answer, int64_t now)
{
	if (!ha_inquiry_answered(&lease->inquiry, answer, lease->view.sysid))
		ha_asking_answered(&lease->asking, answer, ha_lease_deadline(lease),
						   now);
}

void
ha_lease_answer(HaLease *lease, const HaAnswer *answer, int64_t now)
{
	int64_t		contact = lease->seen_at;

	if (answer->status == HA_DCS_OK)
		lease->seen_at = now;
	if (answer->status == HA_DCS_OK &&
		now - answer->sent_at <= renewal_timeout(lease))
		lease->prompt_at = now;
	if (answer->tag == 0)
		return;
	if (answer->tag == lease->read_tag)
	{
		lease->read_tag = 0;
		take_read(lease, answer, contact, now);
		if (answer->status != HA_DCS_OK)
			lease->read_due = now + 100;
	}
	else if (answer->tag == lease->watch_tag)
		take_watch(lease, answer, now);
	else if (answer->tag == lease->grant_tag)
		take_grant(lease, answer, now);
	else if (answer->tag == lease->keepalive_tag)
		take_keepalive(lease, answer);
	else if (answer->tag == lease->proof_tag)
		take_proof(lease, answer, now);
	else if (answer->tag == lease->op_tag)
		take_op(lease, answer, now);
	else if (answer->tag == lease->check_tag)
		take_check(lease, answer, now);
	else if (answer->tag == lease->asking.put_tag)
		take_failsafe(lease, answer, now);
	else if (answer->tag == lease->removed_tag)
		take_removed(lease, now);
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
	local->failsafe_active = leads_by_promises(lease);
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

static void
guard_key(HaTxn *txn, const HaLease *lease)
{
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER, lease->key_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, lease->lease_id);
}

static void
put_heartbeat(HaTxn *txn, const HaLease *lease, const HaLocal *local,
			  int64_t term)
{
	HaHeartbeat heartbeat = {0};

	copy_name(heartbeat.name, lease->name);
	heartbeat.term = term;
	heartbeat.ttl = lease->lease_ttl;
	heartbeat.lsn = local->flush_lsn;
	heartbeat.failsafe = lease->view.config.failsafe_mode;
	ha_txn_put(txn, KEY_HEARTBEAT, ha_heartbeat_json(&heartbeat), 0);
}

void
ha_txn_release(HaTxn *txn, const char *name, int64_t key_revision,
			   int64_t lease_id, int64_t term, int64_t ttl,
			   uint64_t released_lsn, bool crashed)
{
	HaHeartbeat heartbeat = {0};

	copy_name(heartbeat.name, name);
	heartbeat.term = term;
	heartbeat.ttl = ttl;
	heartbeat.lsn = released_lsn;
	heartbeat.released = true;
	heartbeat.released_lsn = released_lsn;
	heartbeat.crashed = crashed;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER, key_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, lease_id);
	ha_txn_delete(txn, KEY_LEADER);
	ha_txn_put(txn, KEY_HEARTBEAT, ha_heartbeat_json(&heartbeat), 0);
}

static char *
copy_text(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy = malloc(size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

/* What is put is remembered, to be known as soon as it is known to stand. */
static void
put_term(HaTxn *txn, HaLease *lease, const HaTerm *term)
{
	lease->op_record = *term;
	ha_txn_put(txn, KEY_TERM, ha_term_json(term), 0);
}

/*
 * What people will be told of this change of leader.  Where the former leader handed
 * its key over to us, it has told its half of that.
 */
static void
begin_change(HaLease *lease, const HaPlan *plan, const HaLocal *local,
			 int64_t now)
{
	const HaView *view = &lease->view;
	HaChange   *change = &lease->change;

	if (view->change.present && !view->change.complete &&
		view->change.term == view->term.term + 1 &&
		strcmp(view->change.to, lease->name) == 0)
		*change = view->change;
	else
	{
		memset(change, 0, sizeof(*change));
		change->prepare_ms = change->hold_ms = change->freeze_ms = -1;
		copy_name(change->from, view->term.owner);
		copy_name(change->to, lease->name);
		change->term = view->term.term + 1;
		change->started_at = local->wall_clock - (now - lease->key_gone_since);
		memcpy(change->reason, plan->why, sizeof(change->reason));
	}
	change->present = false;
	change->acquire_ms = lease->key_gone_since != 0 ?
		now - lease->key_gone_since : 0;
	lease->key_taken_at = now;
}

/* The half of it that only the one who hands over knows. */
static void
put_first_half(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
			   const HaLocal *local, int64_t now)
{
	HaChange	change = {0};

	change.planned = true;
	change.term = lease->view.term.term + 1;
	copy_name(change.from, lease->name);
	copy_name(change.to, plan->follow);
	memcpy(change.reason, "switchover", sizeof("switchover"));
	change.started_at = local->wall_clock - (now - lease->wish_seen_at);
	change.prepare_ms = later(local->held_since - lease->wish_seen_at, 0);
	change.hold_ms = later(local->frozen_since - local->held_since, 0);
	change.freeze_ms = later(now - local->frozen_since, 0);
	change.acquire_ms = change.promote_ms = change.confirm_ms = -1;
	ha_txn_put(txn, KEY_CHANGE, ha_change_json(&change), 0);
}

/* S-1: everything the decision rested on is compared in the one txn. */
static void
build_acquire(HaTxn *txn, HaLease *lease, const HaPlan *plan,
			  const HaLocal *local, int64_t now)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;
	char		key[HA_KEY_SIZE];

	ha_txn_compare(txn, HA_CREATE_REVISION, KEY_LEADER, 0);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILSAFE,
				   view->failsafe.mod_revision);

	/* how the last reign ended; somebody's hand may have let it go on since */
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_HEARTBEAT,
				   view->heartbeat.mod_revision);

	/* S-11: a reign of Patroni's leaves no other trace for certain */
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_STATUS, view->status_revision);
	for (int i = 0; i < plan->ncounted && i < HA_MAX_MEMBERS; i++)
	{
		const HaVote *vote = &view->votes[plan->counted[i]];
		size_t		length = strlen(KEY_VOTES);

		memcpy(key, KEY_VOTES, length);
		copy_name(key + length, vote->name);
		ha_txn_compare(txn, HA_MOD_REVISION, key, vote->mod_revision);
	}

	begin_change(lease, plan, local, now);
	term.term++;
	copy_name(term.owner, lease->name);
	term.foreign = false;
	term.intent = !plan->resume;
	term.standby = term.intent && ha_is_standby_cluster(&view->config, view);
	term.left = term.left && term.reserved == plan->reserve;
	term.reserved = plan->reserve;
	term.reached = ha_leader_lsn(view, local);
	term.unchecked_from = lease->check_from;
	term.present = true;
	if (plan->resume)
	{
		/* no promotion: the timeline stays what it was */
		if (!view->term.present)
			copy_name(term.timeline_owner, lease->name);
		term.timeline = local->timeline;
		term.reserved = later(view->term.reserved, local->timeline);
		term.lost_bytes = 0;
	}
	ha_txn_put(txn, KEY_LEADER, copy_text(lease->name), lease->lease_id);
	put_term(txn, lease, &term);
	put_heartbeat(txn, lease, local, term.term);
}

/* The oldest timeline that the record knows; none is, so all are older. */
static uint32_t
first_recorded(const HaTerm *term)
{
	if (!term->present || term->timeline == 0)
		return UINT32_MAX;
	return term->nlineage > 0 ? term->lineage[0].timeline : term->timeline;
}

/*
 * The lineage after a promotion is what our timeline really descends from.
 * Others are no part of history any more, even if they once were.
 */
static void
extend_lineage(HaTerm *term, const HaView *view, const HaLocal *local,
			   const char *name)
{
	HaTerm		old = *term;
	int			n = local->nancestors;

	if (n < 0 || n > HA_MAX_LINEAGE)
		n = 0;
	memset(term->lineage, 0, sizeof(term->lineage));
	for (int i = 0; i < n; i++)
	{
		const HaTimeline *ancestor = &local->ancestors[i];
		const char *owner = ha_timeline_owner(&old, ancestor->timeline);

		/* those of before the first record may be Patroni's */
		if ((owner == NULL || owner[0] == '\0') &&
			ancestor->timeline < first_recorded(&old))
			owner = ha_mixed_owner(view, ancestor->timeline);
		term->lineage[i].timeline = ancestor->timeline;
		term->lineage[i].end_lsn = ancestor->end_lsn;
		copy_name(term->lineage[i].owner, owner != NULL ? owner : "");
	}
	term->nlineage = n;
	term->timeline = local->timeline;
	term->begin_lsn = n > 0 ? local->ancestors[n - 1].end_lsn : 0;
	copy_name(term->timeline_owner, name);
}

/* Nobody here was promoted to a timeline that came from a source, but perhaps long ago. */
static void
follow_lineage(HaTerm *term, const HaView *view, const HaLocal *local)
{
	const char *known = ha_timeline_owner(term, local->timeline);
	char		owner[HA_NAME_SIZE] = "";

	if (known != NULL)
		copy_name(owner, known);
	extend_lineage(term, view, local, owner);
	if (local->timeline > term->reserved)
		term->reserved = local->timeline;
	term->lost_bytes = 0;
}

/* S-5: nobody led meanwhile; recorded, so that another life need not ask. */
static void
build_checked(HaTxn *txn, HaLease *lease)
{
	HaTerm		term = lease->view.term;

	guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, term.mod_revision);
	term.unchecked_from = 0;
	put_term(txn, lease, &term);
}

/* S-15: the record tells the true timeline before the gate opens. */
static void
build_confirm(HaTxn *txn, HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;

	guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	term.intent = term.standby = term.from_source = false;
	extend_lineage(&term, view, local, lease->name);
	term.lost_bytes = term.reached > term.begin_lsn ?
		term.reached - term.begin_lsn : 0;
	put_term(txn, lease, &term);
	put_heartbeat(txn, lease, local, term.term);
	ha_txn_put(txn, KEY_STATUS, ha_status_json(local->flush_lsn, &view->slots), 0);

	/* nobody but us holds what we will acknowledge from now on */
	if (view->sync.present)
		ha_txn_put(txn, KEY_SYNC, ha_sync_json(lease->name, 0, 0, NULL), 0);
	if (view->failover.present && view->failover.scheduled_at == 0)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
	}
}

/*
 * The leader of a standby cluster tells which history it follows.  It acknowledges
 * nothing and asks nobody, so /sync and /failsafe, of an earlier time, limit nobody
 * any more.
 */
static void
build_standby_confirm(HaTxn *txn, HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;
	HaTerm		term = view->term;

	guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC, view->sync.mod_revision);
	term.intent = false;
	term.standby = term.from_source = true;
	follow_lineage(&term, view, local);
	put_term(txn, lease, &term);
	put_heartbeat(txn, lease, local, term.term);
	if (view->sync.mod_revision != 0)
		ha_txn_delete(txn, KEY_SYNC);
	if (view->failsafe.mod_revision != 0)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILSAFE,
					   view->failsafe.mod_revision);
		ha_txn_delete(txn, KEY_FAILSAFE);
	}
	if (view->failover.present && view->failover.scheduled_at == 0 &&
		view->term.intent)
	{
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
	}
}

static void
build_vote(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
		   const HaLocal *local, bool withdrawn)
{
	const HaView *view = &lease->view;
	HaVote		vote = {0};
	char		key[HA_KEY_SIZE] = KEY_VOTES;
	int64_t		known = 0;

	copy_name(key + strlen(KEY_VOTES), lease->name);
	for (int i = 0; i < view->nvotes; i++)
	{
		if (strcmp(view->votes[i].name, lease->name) == 0)
			known = view->votes[i].mod_revision;
	}
	copy_name(vote.name, lease->name);
	vote.term = view->term.term;
	vote.term_revision = view->term.mod_revision;
	vote.timeline = plan->timeline;
	vote.lsn = plan->lsn;
	vote.priority = local->failover_priority;
	vote.withdrawn = withdrawn;

	/* a vote that is delayed until another was written must not land */
	ha_txn_compare(txn, HA_MOD_REVISION, key, known);
	if (!withdrawn)
	{
		ha_txn_compare(txn, HA_CREATE_REVISION, KEY_LEADER, 0);
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM,
					   view->term.mod_revision);
	}
	ha_txn_put(txn, key, ha_vote_json(&vote), lease->lease_id);
}

static void
build_sync(HaTxn *txn, const HaLease *lease, const HaPlan *plan)
{
	guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_SYNC,
				   lease->view.sync.mod_revision);
	if (plan->sync_on)
		ha_txn_put(txn, KEY_SYNC,
				   ha_sync_json(lease->name, plan->quorum, plan->nnames,
								plan->names), 0);
	else
		ha_txn_delete(txn, KEY_SYNC);
}

/* Re-put our own key, as the last read showed it, under our present lease. */
static void
build_reassert(HaTxn *txn, const HaLease *lease, const HaLocal *local)
{
	const HaView *view = &lease->view;

	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER,
				   view->leader.mod_revision);
	ha_txn_compare(txn, HA_LEASE, KEY_LEADER, view->leader.lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_put(txn, KEY_LEADER, copy_text(lease->name), lease->lease_id);
	put_heartbeat(txn, lease, local, view->term.term);
}

/*
 * The key is ours, and so was the last reign: from which revision on may somebody
 * else have led meanwhile (0 = nobody has)?  A worker that has proven nothing yet
 * asks the key itself: it is as old as its term unless it was gone (S-5).
 */
static int64_t
doubt_from(const HaLease *lease)
{
	const HaView *view = &lease->view;

	if (view->term.unchecked_from != 0)
		return view->term.unchecked_from;
	if (lease->proof_revision != 0)
		return lease->proof_revision + 1;
	if (view->leader.create_revision > view->term.mod_revision)
		return view->term.mod_revision + 1;
	return 0;
}

/*
 * S-11: whoever takes the key reserves no id, and may leave nothing that tells which
 * one it has used.
 */
static void
leave_timelines(HaTxn *txn, const HaLease *lease)
{
	HaTerm		term = lease->view.term;

	if (term.reserved < term.timeline)
		term.reserved = term.timeline;
	if (term.reserved > UINT32_MAX - HA_PATRONI_TIMELINES)
		return;
	term.reserved += HA_PATRONI_TIMELINES;
	term.left = true;
	ha_txn_put(txn, KEY_TERM, ha_term_json(&term), 0);
}

/*
 * The marker speaks for a term, which must be ours.  A hand-over is off if the
 * operator's wish has changed, so whoever has withdrawn it in time need not wonder.
 */
static bool
build_release(HaTxn *txn, const HaLease *lease, const HaPlan *plan,
			  const HaLocal *local, int64_t now)
{
	const HaView *view = &lease->view;
	bool		handing = plan->verb == HA_HAND_OVER;

	if (!view->leader.present || !ha_term_is_of(&view->term, lease->name))
		return false;
	if (handing && local->frozen_lsn == 0)
		return false;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	if (handing)
		ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
					   view->failover.mod_revision);
	if (handing && ha_mixed_is_patroni(ha_find_member(view, plan->follow)))
		leave_timelines(txn, lease);
	ha_txn_release(txn, lease->name, view->leader.mod_revision,
				   view->leader.lease, view->term.term, view->config.ttl,
				   handing ? local->frozen_lsn : 0, false);
	if (handing)
		put_first_half(txn, lease, plan, local, now);
	return true;
}

/* The operator's wish as it was met or refused, or as it is to be met. */
static void
build_failover(HaTxn *txn, const HaLease *lease, const HaPlan *plan)
{
	guard_key(txn, lease);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_FAILOVER,
				   lease->view.failover.mod_revision);
	if (plan->verb == HA_SET_FAILOVER)
		ha_txn_put(txn, KEY_FAILOVER,
				   ha_failover_json(lease->name, plan->follow), 0);
	else
	{
		ha_txn_put(txn, KEY_FAILOVER, copy_text("{}"), 0);
		ha_txn_put(txn, KEY_REFUSED,
				   ha_refusal_json(lease->view.failover.mod_revision,
								   plan->why), 0);
	}
}

/*
 * S-11: the record of a reign that writes none, if its leader key, /history and the
 * record before are as they were when they were looked at.
 */
static bool
build_testimony(HaTxn *txn, HaLease *lease)
{
	const HaView *view = &lease->view;
	HaTerm		term;

	if (!ha_mixed_testimony(view, &term))
		return false;
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_LEADER,
				   view->leader.mod_revision);
	if (view->leader.present)
		ha_txn_compare_value(txn, KEY_LEADER, view->leader.name);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_TERM, view->term.mod_revision);
	ha_txn_compare(txn, HA_MOD_REVISION, KEY_HISTORY, view->history_revision);
	put_term(txn, lease, &term);
	return true;
}

static bool
build_op(HaLease *lease, const HaPlan *plan, const HaLocal *local,
		 int64_t now, HaTxn *txn)
{
	const HaView *view = &lease->view;

	switch (plan->verb)
	{
		case HA_ACQUIRE:
			lease->check_from = !plan->resume || !view->term.present ? 0 :
				view->term.unchecked_from != 0 ? view->term.unchecked_from :
				later(lease->proof_revision, view->term.mod_revision) + 1;
			build_acquire(txn, lease, plan, local, now);
			lease->op_resume = plan->resume;
			lease->op_term = view->term.term + 1;
			return true;
		case HA_REASSERT:
			build_reassert(txn, lease, local);
			lease->op_term = view->term.term;
			lease->check_from = doubt_from(lease);
			return true;
		case HA_CONFIRM:
			lease->confirm_sent_at = now;
			lease->op_confirms = view->term.intent;
			/* a standby confirms only by ha_standby_cluster_lead() */
			if (local->role != HA_ROLE_PRIMARY)
				build_standby_confirm(txn, lease, local);
			else if (view->term.intent)
				build_confirm(txn, lease, local);
			else
				build_checked(txn, lease);
			return true;
		case HA_RELEASE:
		case HA_HAND_OVER:
			return build_release(txn, lease, plan, local, now);
		case HA_VOTE:
			build_vote(txn, lease, plan, local, false);
			return true;
		case HA_WITHDRAW:
			build_vote(txn, lease, plan, local, true);
			return true;
		case HA_SET_SYNC:
			build_sync(txn, lease, plan);
			return true;
		case HA_CLEAR_FAILOVER:
		case HA_SET_FAILOVER:
			build_failover(txn, lease, plan);
			return true;
		case HA_TESTIFY:
			return build_testimony(txn, lease);
		default:
			return false;
	}
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
		!may_move(lease) || !lease->view.valid ||
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
	if (!build_op(lease, plan, local, now, &request->txn))
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
	guard_key(&request->txn, lease);
	lease->proof_puts = !lease->proof_putless;
	if (lease->proof_putless)
	{
		/* the next one tries to put again */
		lease->proof_putless = false;
		lease->proof_announces = lease->asking.announced;
		return true;
	}
	put_heartbeat(&request->txn, lease, local, lease->term);
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
		leads_by_promises(lease) ||
		!lease->view.valid || !lease->view.config.failsafe_mode ||
		asking->put_tag != 0 || now < asking->put_due ||
		!is_later(lease->view_tag, asking->put_done_tag) ||
		!ha_asking_wants_put(asking, &lease->view, lease->name, &wanted))
		return false;
	request->kind = HA_DCS_TXN;
	request->tag = new_tag(lease);
	request->timeout = timeout_of(lease);
	guard_key(&request->txn, lease);
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
	guard_key(&request->txn, lease);
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
