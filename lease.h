/*-------------------------------------------------------------------------
 *
 * lease.h
 *	  The protocol between a plan and the store: which request goes out next,
 *	  what an answer proves, and until when this node may acknowledge commits.
 *
 * Plain C and pure but for malloc'd values in requests: no clock, no I/O, no
 * log.  The worker drives it with the real store, the simulator with a store in
 * memory, so that what is simulated is what runs.
 *
 * The loop of either:
 *		ha_lease_answer		for each answer that came
 *		ha_lease_local		what this knows goes into HaLocal
 *		ha_decide
 *		ha_lease_plan		the plan opens or closes the gate
 *		ha_lease_next		until false: send what it gives
 *		ha_lease_ask		until false: the same, to other members
 *		ha_lease_deadline	to the fence
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LEASE_H
#define HA_LEASE_H

#include "cluster.h"
#include "dcs.h"
#include "failsafe.h"
#include "inquiry.h"

typedef struct HaLease
{
	char		name[HA_NAME_SIZE];
	HaView		view;			/* the last good read */
	int64_t		seen_at;		/* any good answer, 0 = none yet */
	int64_t		prompt_at;		/* any that came as soon as renewals must */
	uint32_t	last_tag;

	/* reads and the watch; a tag is 0 while nothing is in flight */
	uint32_t	read_tag;
	uint32_t	view_tag;		/* of the read that gave the view */
	bool		read_wanted;
	int64_t		read_due;
	uint32_t	watch_tag;
	int64_t		watch_due;

	/* our own lease, which carries the leader key and our vote */
	uint32_t	grant_tag;
	int64_t		grant_due;
	uint32_t	keepalive_tag;
	uint32_t	keepalive_generation;
	int64_t		keepalive_due;
	int64_t		lease_id;		/* 0 = none */
	int64_t		lease_ttl;		/* granted */
	int64_t		asked_ttl;		/* ... when so much was asked for */
	int64_t		grant_ttl;		/* the same of the grant that is out */
	bool		grant_moves;	/* it shall take the place of our lease */
	int64_t		left_lease;		/* may carry our key until that is re-put
								 * under lease_id; 0 = none does */
	int64_t		lease_alive_at; /* sent_at of its last grant or keepalive */
	int64_t		lease_base;		/* the same, but 0 from a closing of the gate
								 * on: only what is asked later counts */

	/* the leader key, while it is ours */
	bool		holding;
	bool		reassert;
	int64_t		key_revision;	/* its mod_revision */
	int64_t		term;
	uint32_t	proof_tag;
	uint32_t	proof_generation;
	int64_t		proof_due;
	int64_t		proof_base;		/* sent_at of the last proof; 0 as lease_base */
	int64_t		proof_revision; /* of the store, at the last proof */
	bool		proof_putless;	/* the store is full: prove without the put */
	bool		proof_puts;		/* the one that is out has it */
	int64_t		put_at;			/* sent_at of the last write carried out */
	bool		store_full;		/* the last put was refused for want of room */
	int64_t		status_due;
	uint32_t	removed_tag;	/* the end of a removal is being written */
	uint32_t	removed_done_tag;
	int64_t		removed_due;

	/* the gate */
	bool		open;
	uint32_t	generation;		/* bumped by each closing */

	/* one write at a time */
	uint32_t	op_tag;
	HaVerb		op_verb;
	bool		op_resume;
	bool		op_confirms;	/* CONFIRM: of a reign that was an intent */
	int64_t		op_term;
	HaTerm		op_record;		/* the term record that it puts */
	uint32_t	op_done_tag;	/* no further write before a read sent after
								 * it: tags are given in the order of sending */
	int64_t		op_due;			/* ... nor earlier, when the last one failed */
	uint32_t	vote_done_tag;	/* the same for votes, also locally */
	bool		vote_unknown;	/* the last of them has no known outcome */
	uint32_t	sync_done_tag;	/* the same for writes of /sync, also locally */
	bool		sync_unknown;	/* the last of them has no known outcome */

	/* S-9: our last vote or acquiring txn, and the asking of others */
	bool		bid;			/* it may stand, or land, while the term
								 * record has ... */
	int64_t		bid_revision;	/* ... this revision */
	HaAsking	asking;
	bool		proof_announces;	/* with the proof that is out the
									 * heartbeat allows failsafe mode */

	bool		looks_only;		/* another program runs this server */
	HaInquiry	inquiry;		/* S-11: of members of Patroni */

	/* S-5: the events of the leader key since the last proof */
	uint32_t	check_tag;
	int64_t		check_due;
	int64_t		check_from;
	bool		reign_checked;
	bool		reign_lost;		/* somebody else had the key: never lead again */

	/* what was observed, and when by our own clock */
	int64_t		heartbeat_revision;
	int64_t		heartbeat_term;
	int64_t		heartbeat_seen_at;
	int64_t		heartbeat_ttl;
	bool		leader_seen;	/* the last read had a leader key */
	int64_t		key_gone_since;
	bool		blind;
	bool		patroni_seen;	/* S-11: see cluster.h */
	bool		led_since;		/* ... since the term record had ... */
	int64_t		traces_revision;	/* of the last key that a reign leaves */
	int64_t		led_revision;	/* ... this revision */
	int64_t		stay_out_until;
	int64_t		wish_revision;	/* of /failover */
	int64_t		wish_seen_at;
	int64_t		handed_over_at; /* see cluster.h */

	/* our coming to lead, for pg_ha/last_failover */
	HaChange	change;			/* "present": it is to be put */
	int64_t		key_taken_at;
	int64_t		confirm_sent_at;
} HaLease;

/* Begin, knowing nothing; "now" is the present. */
extern void ha_lease_init(HaLease *lease, const char *name, int64_t now);

/*
 * ... but what an earlier life of the worker has noted of its bid, which may have been a
 * vote: it may still land (S-2).
 */
extern void ha_lease_recall_bid(HaLease *lease, bool bid,
								int64_t bid_revision);

/* Take an answer in.  Does not free it. */
extern void ha_lease_answer(HaLease *lease, const HaAnswer *answer, int64_t now);

/*
 * Take the answer of another member in.  Unlike everywhere else "now" must not be
 * older than the answer.
 */
extern void ha_lease_peer_answer(HaLease *lease, const HaPeerAnswer *answer,
								 int64_t now);

/* Fill in the part of *local that lease.c keeps. */
extern void ha_lease_local(const HaLease *lease, HaLocal *local, int64_t now);

/*
 * Obey a plan: one that does not lead closes the gate at once.  Closing is
 * final for everything that was asked before: a late answer never opens it again
 * (S-6).
 */
extern void ha_lease_plan(HaLease *lease, const HaPlan *plan, int64_t now);

/* Close the gate whatever the plan was: the server is stopping or dead. */
extern void ha_lease_close(HaLease *lease);

/*
 * The next request to send, if there is one.  *request is overwritten; if it
 * can't be queued, tell ha_lease_unsent.
 */
extern bool ha_lease_next(HaLease *lease, const HaPlan *plan,
						  const HaLocal *local, int64_t now, HaRequest *request);
extern void ha_lease_unsent(HaLease *lease, uint32_t tag, int64_t now);

/*
 * The next question to another member, if there is one; if it can't be sent,
 * tell ha_lease_unasked.
 */
extern bool ha_lease_ask(HaLease *lease, const HaLocal *local, int64_t now,
						 HaPeerRequest *request);
extern void ha_lease_unasked(HaLease *lease, uint32_t tag, int64_t now);

/* The tag of a watch that is not needed any more, to be cancelled; 0 = none. */
extern uint32_t ha_lease_cancel(HaLease *lease);

/* Commits are fenced from this time on; 0 = now. */
extern int64_t ha_lease_deadline(const HaLease *lease);

/* When ha_lease_next may have something new without any event. */
extern int64_t ha_lease_wake_at(const HaLease *lease);

/* A promotion failed: do not stand again before "until". */
extern void ha_lease_stay_out(HaLease *lease, int64_t until);

/* Safety margin of a granted TTL: clock rates, and check-to-send in a backend. */
extern int64_t ha_lease_margin(int64_t ttl);

/*
 * The txn that gives a leader key up, guarded by the key as last known: delete
 * it and put the released marker, which tells whether the server crashed.  Also used
 * by pg_ha_boot.
 */
extern void ha_txn_release(HaTxn *txn, const char *name, int64_t key_revision,
						   int64_t lease, int64_t term, int64_t ttl,
						   uint64_t released_lsn, bool crashed);

#endif							/* HA_LEASE_H */
