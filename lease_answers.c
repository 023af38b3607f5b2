/*-------------------------------------------------------------------------
 *
 * lease_answers.c
 *	  What an answer of the store, or of another member, proves.
 *
 * A part of lease.c, whose header says what safety rests on.  An answer may be late:
 * what was sent before the gate was closed opens it no more, and a read says nothing of
 * a write that was sent after it.  One that did not come says nothing at all, so each
 * kind of request has its own way to find out.
 *
 *-------------------------------------------------------------------------
 */
#include "lease_parts.h"
#include "cluster_json.h"
#include "mixed.h"
#include "rules.h"
#include "term_json.h"

/*-------------------------------------------------------------------------
 * Having the key
 *-------------------------------------------------------------------------
 */

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

/*-------------------------------------------------------------------------
 * Reads and the watch
 *-------------------------------------------------------------------------
 */

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
			 ha_term_is_of(&view->term, view->leader.name) &&
			 ha_mixed_failsafe_is_ours(view))
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
		lease->bid = lease->vote_unknown = false;	/* neither lands any more */
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

/*-------------------------------------------------------------------------
 * The lease and the proof
 *-------------------------------------------------------------------------
 */

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
		if (!ha_lease_may_move(lease))
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

/*-------------------------------------------------------------------------
 * Writes
 *-------------------------------------------------------------------------
 */

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

/*-------------------------------------------------------------------------
 * All of them
 *-------------------------------------------------------------------------
 */

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
