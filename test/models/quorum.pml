/*
 * quorum.pml
 *	  Whoever may be elected has every commit that was acknowledged.
 *
 * One leader, three standbys, one commit.  The leader says in
 * synchronous_standby_names who must confirm the commit ("k of these names"), and in
 * /sync who may be elected: a voter, with the votes of "quorum" others that are not
 * ahead of it.  With synchronous_mode "on" k is all of them and the quorum is 0.  An
 * election may come at any time, also one that the old leader does not notice.
 *
 * What makes it hard is how PostgreSQL counts.  The walsender that releases a commit
 * takes *how many* must confirm from its own copy of the names, but *who* counts is
 * what each other walsender found in its own.  So while a change is read by one
 * process after the other, mixtures are in force that stand in no copy: after
 * "2 (a, b)" became "1 (b)", b's walsender wants one, a's still counts itself, and
 * the commit is released by a alone.  Nor does it help to write FIRST, as a standby
 * that is away makes room for those behind it.  With
 *
 *		all		who is named in any copy, or in the file
 *		least	the smallest k of any
 *
 * both kinds of steps, of the names and of /sync, may be taken if afterwards
 *
 *		|voters| <= quorum, so that nobody is electable,  or
 *		|voters + all| <= quorum + least.
 *
 * That is for the commits to come.  For those released before, under whatever names, a
 * step of /sync must either let nobody be elected who could not be before (as many
 * more in the quorum as new voters); or it waits until every process has applied the
 * names, and then for as many voters to flush what had been written by that time
 * that those who have not are no more than the quorum.
 *
 * So /sync gives way first and takes last, and k moves alone:
 *
 *		to let somebody in	the quorum grows; or k grows, is awaited, and then the
 *							names grow (for a moment k is more than there are names,
 *							and no commit is released); last the quorum shrinks
 *		to let somebody go	out of /sync; out of the names, with k as it was; that is
 *							awaited; then k shrinks
 *
 * A new leader opens its gate when the rule holds for the names in force and for /sync
 * as it is, whose "leader", the old one, is as good as a voter until it is rewritten.
 *
 * Reigns have one step of each kind, from several situations that have lasted.  ON
 * are those without a quorum.  With RETURN one standby comes back: its walsender
 * begins with what the postmaster knows.
 *
 * HOLDS: ALL ON+RETURN
 * VARIANTS: SHRINK_FIRST ON+ONE_COPY EACH_COPY ON+EACH_COPY NO_CATCH_UP ON+NO_CATCH_UP
 * VARIANTS: ON+NOT_MASTER ON+STALE_VOTE ON+NO_DETACH COUNT_TWICE ON+NO_RESTORE
 * VARIANTS: ON+OLD_LEADER REACH_ELECTED REACH_GROWN ON+REACH_GROWN REACH_SECOND
 *
 *	SHRINK_FIRST	the names change without regard to /sync
 *	ONE_COPY		what is in the file is taken to be in force everywhere
 *	NOT_MASTER		... in every walsender that there is
 *	EACH_COPY		the rule is asked for one copy after another
 *	NO_CATCH_UP		voters need not have flushed what was written before
 *	STALE_VOTE		a vote stands although the voter follows again
 *	NO_DETACH		a vote is given with the walreceiver running
 *	COUNT_TWICE		a candidate is one of its own quorum
 *	NO_RESTORE		a new leader opens its gate at once
 *	OLD_LEADER		... or forgets that /sync still allows the old one
 *
 * With REACH_ELECTED the promise is that nobody is elected after the commit was
 * acknowledged, with REACH_GROWN that nobody joins /sync after a change of names,
 * with REACH_SECOND that a second leader acknowledges nothing: all must fail.
 */
#define BIT(i)		(1 << (i))
#define HAS(set, i)	(((set) >> (i)) & 1)
#define COUNT(set)	(HAS(set, 0) + HAS(set, 1) + HAS(set, 2))

/* k and names as some process knows them */
#define COPY(k, names)	((k) << 3 | (names))
#define K(copy)			((copy) >> 3)
#define NAMES(copy)		((copy) & 7)
#define NOBODYS			COPY(3, 0)	/* no process, no say */

/* the commit */
bool written;
bool acked;
byte flushed;					/* the standbys that have it */

/* the leader */
byte file;						/* the names in the file */
byte master;					/* ... as postmaster and checkpointer know them */
byte copy[3];					/* ... as the walsenders do */
byte attached = 7;				/* the standbys that have one */
bool in_force = true;			/* all have applied the file */
bool before;					/* ... and the commit was written before that */
bool gate = true;
bool lost;						/* deposed by one that lacks the commit */
bool second;					/* it is the second leader */
bool renamed;					/* ... and has changed the names, ... */
bool rewritten;					/* ... or /sync */

/* /sync */
byte voters;
byte quorum;
byte former;					/* 1 + the standby that it still calls leader */

/* votes */
byte voted;
byte told;						/* ... that they have the commit */

/* one may return */
#if defined(RETURN) || defined(STALE_VOTE) || defined(NOT_MASTER)
bool returned;
#else
bool returned = true;
#endif

/* what a step is about, 0 between steps */
byte c, v, q;
byte all, least;
bool safe;

/* Whom /sync allows: it may not have heard yet that its leader is none now. */
#ifdef OLD_LEADER
#define ELECTABLE	voters
#else
#define ELECTABLE	(voters | (former == 0 -> 0 : BIT(former - 1)))
#endif

#define RULE \
	(COUNT(v) <= q || COUNT(v | all) <= q + least)

/* The rule, for names c in the file and voters v with quorum q. */
inline weigh(names)
{
	all = all | NAMES(names);
	least = (K(names) < least -> K(names) : least);
#ifdef EACH_COPY
	safe = safe && RULE;
	all = 0;
	least = 3
#endif
}

inline judge()
{
	d_step {
		all = 0;
		least = 3;
		safe = true;
		weigh(c);
#ifndef ONE_COPY
#ifndef NOT_MASTER
		weigh(master);
#endif
		weigh(copy[0]);
		weigh(copy[1]);
		weigh(copy[2]);
#endif
#ifndef EACH_COPY
		safe = RULE;
#endif
		all = 0;
		least = 0
	}
}

inline forget()
{
	d_step {
		c = 0;
		v = 0;
		q = 0;
		safe = false
	}
}

/* The names become any that the rule allows; k may be more than they are. */
inline change_names()
{
	!renamed ->
		select(c : 0 .. COPY(3, 7));
		v = ELECTABLE;
		q = quorum;
		judge();
#ifdef SHRINK_FIRST
		safe = true;
#endif
		if
		:: c != file && (c == 0 || (K(c) != 0 && NAMES(c) != 0)) &&
			(safe || !gate) ->
			file = c;
			in_force = false;
			before = false;
			renamed = true
		:: else
		fi;
		forget()
}

/*
 * /sync becomes anything that the rule allows.  Whoever could not elect before must
 * not do it now without what was released before, under whatever rule it was.  Only
 * who holds the key can write, so not a leader that was deposed.
 */
#define CAUGHT_UP	(attached & (before -> flushed : 7))
#define NO_WIDER(v, q)	((q) >= quorum + COUNT((v) & ~ELECTABLE))
#ifdef NO_CATCH_UP
#define MAY_ELECT(v, q)	true
#else
#define MAY_ELECT(v, q)	(COUNT((v) & CAUGHT_UP) >= COUNT(v) - (q))
#endif

inline change_sync()
{
	!rewritten && !lost ->
		select(v : 0 .. 7);
#ifndef ON
		select(q : 0 .. 2);
#endif
		c = file;
		judge();
		if
		:: (v != voters || q != quorum || former != 0) && q <= COUNT(v) &&
			safe && (NO_WIDER(v, q) || (in_force && MAY_ELECT(v, q))) ->
#ifdef REACH_GROWN
			assert(!renamed || (v & ~voters) == 0);
#endif
			voters = v;
			quorum = q;
			former = 0;
			rewritten = true
		:: else
		fi;
		forget()
}

#define WALSENDERS_APPLIED \
	((copy[0] == file || !HAS(attached, 0)) && \
	 (copy[1] == file || !HAS(attached, 1)) && \
	 (copy[2] == file || !HAS(attached, 2)))
#if defined(ONE_COPY)
#define APPLIED	true
#elif defined(NOT_MASTER)
#define APPLIED	WALSENDERS_APPLIED
#else
#define APPLIED	(master == file && WALSENDERS_APPLIED)
#endif

inline open_gate()
{
#ifdef NO_RESTORE
	!gate -> gate = true
#else
	!gate && in_force ->
		c = file;
		v = ELECTABLE;
		q = quorum;
		judge();
		gate = safe;
		forget()
#endif
}

/*
 * The standbys.  A walsender begins with what the postmaster knows.  A vote is the
 * last word of a walreceiver: it is withdrawn before there is another, and whose
 * vote elected somebody has no reason to believe in the old leader any more.
 */
inline read_file(n)
{
	HAS(attached, n) && copy[n] != file -> copy[n] = file
}

inline attach(n)
{
	!returned && !HAS(attached, n) && !(lost && HAS(voted, n)) ->
		returned = true;
#ifndef STALE_VOTE
		voted = voted & ~BIT(n);
		told = told & ~BIT(n);
#endif
		attached = attached | BIT(n);
		copy[n] = master
}

inline flush(n)
{
	HAS(attached, n) && written && !HAS(flushed, n) ->
		flushed = flushed | BIT(n)
}

inline vote(n)
{
	!HAS(voted, n) && !lost ->
#ifndef NO_DETACH
		attached = attached & ~BIT(n);
		copy[n] = NOBODYS;
#endif
		voted = voted | BIT(n);
		told = told | (flushed & BIT(n))
}

/* How many a walsender counts that have the commit; it releases if it counts itself. */
#define COUNTS(n)		HAS(NAMES(copy[n]), n)
#define CONFIRMED(n)	(COUNTS(n) && (COUNTS(0) && HAS(flushed, 0)) + \
						 (COUNTS(1) && HAS(flushed, 1)) + \
						 (COUNTS(2) && HAS(flushed, 2)) >= K(copy[n]))
#define RELEASED		(master == 0 || CONFIRMED(0) || CONFIRMED(1) || CONFIRMED(2))

/*
 * What need not wait does not: neither sooner seen to be in force nor sooner
 * released is ever safer.
 */
inline settle()
{
	d_step {
		if
		:: !in_force && APPLIED ->
			in_force = true;
			before = written
		:: else
		fi;
		if
		:: written && !acked && gate && RELEASED ->
			acked = true;
			assert(!lost);
#ifdef REACH_SECOND
			assert(!second)
#endif
		:: else
		fi
	}
}

/*
 * The election of n.  If it lacks the commit, which the old leader may yet write, the
 * old leader goes on; else n leads, and the old leader is the standby n.
 */
#define AHEAD(m, n)		(HAS(told, m) && !HAS(told, n))
#define FOR(m, n)		(HAS(voters & voted, m) && m != n && !AHEAD(m, n))
#ifdef COUNT_TWICE
#define VOTES(n)		(FOR(0, n) + FOR(1, n) + FOR(2, n) + 1)
#else
#define VOTES(n)		(FOR(0, n) + FOR(1, n) + FOR(2, n))
#endif
#define MAY_STAND(n)	(HAS(voted, n) && (HAS(voters, n) || former == n + 1))

inline elect(n)
{
	!lost && MAY_STAND(n) && VOTES(n) >= quorum ->
#ifdef REACH_ELECTED
		assert(!acked);
#endif
		if
		:: !HAS(flushed, n) ->
			assert(!acked);
			lost = true;
			voted = BIT(n) | FOR(0, n) | FOR(1, n) << 1 | FOR(2, n) << 2;
			told = 0
		:: HAS(flushed, n) == written && !second ->
			second = true;
			gate = false;
			former = n + 1;
			voters = voters & ~BIT(n);
			flushed = (written -> flushed | BIT(n) : 0);
			attached = 7;
			voted = 0;
			told = 0;
			if
			:: file = 0
			:: file = COPY(1, 1)
			fi;
			master = file;
			copy[0] = file;
			copy[1] = file;
			copy[2] = file;
			in_force = false;
			before = false;
			renamed = false;
			rewritten = false
		:: else
		fi
}

/* As it has been for long, with one, two or three standbys. */
inline begin()
{
	if
	:: file = COPY(1, 1); voters = 1; quorum = 0
	:: file = COPY(2, 3); voters = 3; quorum = 0
	:: file = COPY(3, 7); voters = 7; quorum = 0
#ifndef ON
	:: file = COPY(1, 3); voters = 3; quorum = 1
	:: file = COPY(1, 7); voters = 7; quorum = 2
	:: file = COPY(2, 7); voters = 7; quorum = 1
#endif
	fi;
	master = file;
	copy[0] = file;
	copy[1] = file;
	copy[2] = file
}

init
{
	atomic { begin() }
end:
	do
	:: atomic { !written && gate -> written = true; settle() }
	:: atomic { change_names(); settle() }
	:: atomic { change_sync(); settle() }
	:: atomic { open_gate(); settle() }
	:: atomic { master != file -> master = file; settle() }
	:: atomic { read_file(0); settle() }
	:: atomic { read_file(1); settle() }
	:: atomic { read_file(2); settle() }
	:: atomic { attach(0); settle() }
	:: atomic { attach(1); settle() }
	:: atomic { attach(2); settle() }
	:: atomic { flush(0); settle() }
	:: atomic { flush(1); settle() }
	:: atomic { flush(2); settle() }
	:: atomic { vote(0); settle() }
	:: atomic { vote(1); settle() }
	:: atomic { vote(2); settle() }
	:: atomic { elect(0); settle() }
	:: atomic { elect(1); settle() }
	:: atomic { elect(2); settle() }
	od
}
