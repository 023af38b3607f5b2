/*
 * quorum.pml
 *	  A commit that was acknowledged is held by whoever may be elected.
 *
 * One leader, three standbys, one commit.  The leader says in synchronous_standby_names
 * who has to confirm the commit, and in /sync who may be elected.  It may change both
 * as often as it likes, and an election may come at any time, also one that the old
 * leader does not notice.  What the model is about is PostgreSQL's way to count: the
 * walsender that releases a commit takes *how many* must confirm from its own copy
 * of the names, but *who* counts, and in which order, from what each other walsender
 * found in its own.  Between a change and the last reload any mixture of both is
 * in force, so it is no use to look at one copy after another.  With
 *
 *		all		who is named in any copy, or in the file
 *		least	the smallest number in any of them
 *
 * the rules that turn out to be enough are these.
 *
 * QUORUM: the names are "ANY k (names)", whoever is elected needs the votes of
 * quorum + 1 voters that are not ahead of it, its own among them.  Then every
 * step, of the names or of /sync, may be taken after which
 *
 *		|voters + all| <= quorum + least
 *
 * ON: the names are "FIRST n (names)", all n of them, and one vote is enough.  Either
 * the same holds, with a quorum of 0, or
 *
 *		least >= |voters|, and in every copy the voters come before all others.
 *
 * In both, a step of /sync that lets sets of voters elect which could not elect
 * before waits until every process has applied the names; and then for as many
 * voters that have flushed what was written by that time, that no set which may
 * elect is without one: |voters| - quorum.
 *
 * So /sync gives way first, and takes last.  To add a name or to lower k, the quorum
 * must have grown; to lower the quorum, k must have grown, or names have gone, in
 * every process.  A change of k together with the names is a step that the rule may
 * forbid although it allows the two steps one after the other.  With ON a new name
 * goes to the end; and one that has left /sync goes to the end, in every process,
 * before it may go altogether.
 *
 * A new leader opens its gate when the rule holds for the names that are in force
 * and for /sync as the one before it left it, whom that /sync allows as well.
 *
 * MODES: ON QUORUM
 * VARIANTS: ON+SHRINK_FIRST QUORUM+SHRINK_FIRST ON+ONE_COPY QUORUM+ONE_COPY
 * VARIANTS: ON+EACH_COPY QUORUM+EACH_COPY ON+ANY_ORDER ON+NO_CATCH_UP
 * VARIANTS: QUORUM+NO_CATCH_UP ON+STALE_VOTE QUORUM+STALE_VOTE ON+NO_DETACH
 * VARIANTS: QUORUM+NO_DETACH QUORUM+COUNT_TWICE ON+NO_RESTORE QUORUM+NO_RESTORE
 * VARIANTS: ON+OLD_LEADER QUORUM+OLD_LEADER
 * VARIANTS: ON+REACH_ELECTED QUORUM+REACH_ELECTED ON+REACH_GROWN QUORUM+REACH_GROWN
 * VARIANTS: ON+REACH_SECOND QUORUM+REACH_SECOND
 *
 *	SHRINK_FIRST	the names change without regard to /sync
 *	ONE_COPY		what is in the file is taken to be in force everywhere
 *	EACH_COPY		the rule is asked for one copy after another
 *	ANY_ORDER		with ON it is enough that the voters are named in each copy
 *	NO_CATCH_UP		/sync grows by members that have not flushed yet
 *	STALE_VOTE		a vote stands although the voter follows again
 *	NO_DETACH		a vote is given with the walreceiver running
 *	COUNT_TWICE		the candidate counts itself among the others
 *	NO_RESTORE		a new leader opens its gate at once
 *	OLD_LEADER		... or forgets that /sync still allows the old one
 *
 * With REACH_ELECTED the promise is that nobody is elected after the commit was
 * acknowledged, with REACH_GROWN that /sync never grows after a change of names,
 * with REACH_SECOND that the second leader acknowledges nothing: all must fail.
 */
#ifndef CHANGES
#define CHANGES	2				/* of the names, and of /sync, in a reign */
#endif

#define BIT(i)			(1 << (i))
#define HAS(set, i)		(((set) >> (i)) & 1)
#define COUNT(set)		(HAS(set, 0) + HAS(set, 1) + HAS(set, 2))

/* a copy of the names: how many, and the place of each standby, 0 = not named */
#define COPY(k, a, b, c)	((k) << 6 | (c) << 4 | (b) << 2 | (a))
#define K(copy)				((copy) >> 6)
#define PLACE(copy, i)		(((copy) >> (2 * (i))) & 3)
#define NAMED(copy)			((PLACE(copy, 0) != 0) | (PLACE(copy, 1) != 0) << 1 | \
							 (PLACE(copy, 2) != 0) << 2)

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
byte changes;
byte writes;

/* /sync */
byte voters;
byte quorum;
byte former;					/* 1 + the standby that it still calls leader */

/* votes */
byte voted;
byte told;						/* ... that they have the commit */

/* The standbys that may stand for election: of the old leader /sync does not know better. */
#ifdef OLD_LEADER
#define ELECTABLE	voters
#else
#define ELECTABLE	(voters | (former == 0 -> 0 : BIT(former - 1)))
#endif

/*
 * For judge(); all 0 between the steps.  It is asked about the names c in the file,
 * the voters v and their quorum q.
 */
byte c, v, q;
byte all, least, last, next;	/* place of the last voter, of the first other */
bool safe;
byte i, j;

inline weigh(names)
{
	all = all | NAMED(names);
	least = (K(names) < least -> K(names) : least);
	j = 0;
	do
	:: j < 3 ->
		if
		:: HAS(v, j) && PLACE(names, j) == 0 -> last = 4
		:: HAS(v, j) && PLACE(names, j) > last -> last = PLACE(names, j)
		:: !HAS(v, j) && PLACE(names, j) != 0 && PLACE(names, j) < next ->
			next = PLACE(names, j)
		:: else
		fi;
		j++
	:: else -> break
	od;
#ifdef EACH_COPY
	reckon(all);
	all = 0;
	least = 3;
	last = 0;
	next = 4
#endif
}

inline reckon(names)
{
	safe = safe && (COUNT(v) <= q || COUNT(v | names) <= q + least
#if defined(ON) && !defined(ANY_ORDER)
					|| (last < next && COUNT(v) <= least)
#elif defined(ON)
					|| (last < 4 && COUNT(v) <= least)
#endif
		)
}

inline judge()
{
	safe = true;
	all = 0;
	least = 3;
	last = 0;
	next = 4;
	weigh(c);
#ifndef ONE_COPY
	weigh(master);
	i = 0;
	do
	:: i < 3 ->
		if
		:: HAS(attached, i) -> weigh(copy[i])
		:: else
		fi;
		i++
	:: else -> break
	od;
#endif
#ifndef EACH_COPY
	reckon(all);
#endif
}

inline forget()
{
	c = 0; v = 0; q = 0;
	all = 0; least = 0; last = 0; next = 0;
	safe = false;
	i = 0; j = 0
}

/* The names: any that the rule allows. */
inline choose_names()
{
#ifdef ON
	if
	:: c = 0
	:: c = COPY(1, 1, 0, 0)
	:: c = COPY(1, 0, 1, 0)
	:: c = COPY(1, 0, 0, 1)
	:: c = COPY(2, 1, 2, 0)
	:: c = COPY(2, 2, 1, 0)
	:: c = COPY(2, 1, 0, 2)
	:: c = COPY(2, 2, 0, 1)
	:: c = COPY(2, 0, 1, 2)
	:: c = COPY(2, 0, 2, 1)
	:: c = COPY(3, 1, 2, 3)
	:: c = COPY(3, 1, 3, 2)
	:: c = COPY(3, 2, 1, 3)
	:: c = COPY(3, 2, 3, 1)
	:: c = COPY(3, 3, 1, 2)
	:: c = COPY(3, 3, 2, 1)
	fi
#else
	if
	:: c = 0
	:: c = COPY(1, 1, 0, 0)
	:: c = COPY(1, 0, 1, 0)
	:: c = COPY(1, 0, 0, 1)
	:: c = COPY(1, 1, 1, 0)
	:: c = COPY(1, 1, 0, 1)
	:: c = COPY(1, 0, 1, 1)
	:: c = COPY(1, 1, 1, 1)
	:: c = COPY(2, 1, 1, 0)
	:: c = COPY(2, 1, 0, 1)
	:: c = COPY(2, 0, 1, 1)
	:: c = COPY(2, 1, 1, 1)
	:: c = COPY(3, 1, 1, 1)
	fi
#endif
}

inline change_names()
{
	changes < CHANGES ->
		changes++;
		choose_names();
		v = ELECTABLE;
		q = quorum;
		judge();
		if
#ifdef SHRINK_FIRST
		:: c != file ->
#else
		:: c != file && (safe || !gate) ->
#endif
			file = c;
			in_force = false;
			before = false
		:: else -> changes--
		fi;
		forget()
}

/*
 * Only the leader that holds the key can write /sync, so not one that was deposed.
 * What could not elect before must not be able to lead without what was released
 * before, whatever rule it was released by.
 */
inline change_sync()
{
	writes < CHANGES && !lost ->
		writes++;
		select(v : 0 .. 7);
#ifdef QUORUM
		select(q : 0 .. 2);
#endif
		c = file;
		judge();
		if
		:: (v != voters || q != quorum || former != 0) && q <= COUNT(v) && safe &&
			(q >= quorum + COUNT(v & ~ELECTABLE)
#ifdef NO_CATCH_UP
			 || in_force
#else
			 || (in_force &&
				 COUNT(v & attached & (before -> flushed : 7)) >= COUNT(v) - q)
#endif
			) ->
#ifdef REACH_GROWN
			assert(changes == 0 || (v & ~voters) == 0);
#endif
			voters = v;
			quorum = q;
			former = 0
		:: else -> writes--
		fi;
		forget()
}

#ifdef ONE_COPY
#define APPLIED	true
#else
#define APPLIED	(master == file && (!HAS(attached, 0) || copy[0] == file) && \
				 (!HAS(attached, 1) || copy[1] == file) && \
				 (!HAS(attached, 2) || copy[2] == file))
#endif

inline see_in_force()
{
	!in_force && APPLIED ->
		in_force = true;
		before = written
}

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
 * The standbys.  A walsender begins with what the postmaster knows, a vote is the
 * last word of a walreceiver.
 */
inline read_file(n)
{
	HAS(attached, n) && copy[n] != file -> copy[n] = file
}

inline attach(n)
{
	!HAS(attached, n) ->
#ifndef STALE_VOTE
		voted = voted & ~BIT(n);
		told = told & ~BIT(n);
#endif
		attached = attached | BIT(n);
		copy[n] = master
}

inline detach(n)
{
	HAS(attached, n) ->
		attached = attached & ~BIT(n);
		copy[n] = 0
}

inline flush(n)
{
	HAS(attached, n) && written && !HAS(flushed, n) ->
		flushed = flushed | BIT(n)
}

inline vote(n)
{
	!HAS(voted, n) ->
#ifndef NO_DETACH
		attached = attached & ~BIT(n);
		copy[n] = 0;
#endif
		voted = voted | BIT(n);
		told = told | (flushed & BIT(n))
}

/* Whom a walsender counts, in which order, and who is among the first k. */
#define COUNTS(n)		(HAS(attached, n) && PLACE(copy[n], n) != 0)
#define ORDER(n)		(4 * PLACE(copy[n], n) + n)
#define FORE(m, n)		(COUNTS(m) && ORDER(m) < ORDER(n))
#define FIRST(n, k)		(COUNTS(n) && FORE(0, n) + FORE(1, n) + FORE(2, n) < k)
#define HOLDS(n, k)		(!FIRST(n, k) || HAS(flushed, n))

#ifdef ON
#define CONFIRMED(n, k)	(FIRST(n, k) && COUNTS(0) + COUNTS(1) + COUNTS(2) >= k && \
						 HOLDS(0, k) && HOLDS(1, k) && HOLDS(2, k))
#else
#define CONFIRMED(n, k)	(COUNTS(n) && (COUNTS(0) && HAS(flushed, 0)) + \
						 (COUNTS(1) && HAS(flushed, 1)) + \
						 (COUNTS(2) && HAS(flushed, 2)) >= k)
#endif

#define RELEASED	(master == 0 || CONFIRMED(0, K(copy[0])) || \
					 CONFIRMED(1, K(copy[1])) || CONFIRMED(2, K(copy[2])))

inline acknowledge()
{
	written && !acked && gate && RELEASED ->
		acked = true;
		assert(!lost);
#ifdef REACH_SECOND
		assert(!second)
#endif
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
			lost = true
		:: HAS(flushed, n) == written && !second ->
			second = true;
			gate = false;
			former = n + 1;
			voters = voters & ~BIT(n);
			flushed = (written -> flushed | BIT(n) : 0);
			attached = 0;
			voted = 0;
			told = 0;
			copy[0] = 0;
			copy[1] = 0;
			copy[2] = 0;
			if
			:: file = 0
			:: file = COPY(1, 1, 0, 0)
			fi;
			master = file;
			in_force = false;
			before = false;
			changes = 0;
			writes = 0
		:: else
		fi
}

/* As it has been for long, with one, two or three standbys. */
inline begin()
{
	if
#ifdef ON
	:: file = COPY(1, 1, 0, 0); voters = 1
	:: file = COPY(2, 1, 2, 0); voters = 3
	:: file = COPY(3, 1, 2, 3); voters = 7
#else
	:: file = COPY(1, 1, 0, 0); voters = 1
	:: file = COPY(1, 1, 1, 0); voters = 3; quorum = 1
	:: file = COPY(1, 1, 1, 1); voters = 7; quorum = 2
	:: file = COPY(2, 1, 1, 1); voters = 7; quorum = 1
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
	do
	:: atomic { !written && gate -> written = true }
	:: atomic { acknowledge() }
	:: atomic { change_names() }
	:: atomic { change_sync() }
	:: atomic { see_in_force() }
	:: atomic { open_gate() }
	:: atomic { master != file -> master = file }
	:: atomic { read_file(0) }
	:: atomic { read_file(1) }
	:: atomic { read_file(2) }
	:: atomic { attach(0) }
	:: atomic { attach(1) }
	:: atomic { attach(2) }
	:: atomic { detach(0) }
	:: atomic { detach(1) }
	:: atomic { detach(2) }
	:: atomic { flush(0) }
	:: atomic { flush(1) }
	:: atomic { flush(2) }
	:: atomic { vote(0) }
	:: atomic { vote(1) }
	:: atomic { vote(2) }
	:: atomic { elect(0) }
	:: atomic { elect(1) }
	:: atomic { elect(2) }
	:: acked && lost -> break
	od
}
