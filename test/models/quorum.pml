/*
 * quorum.pml
 *	  Whoever may be elected has every commit that was acknowledged (S-4).
 *
 * One leader, three standbys, one commit.  The steps are those of quorum.c, towards
 * whatever is wanted at the moment: /sync is tightened, then the names change, and
 * once they are in force /sync is relaxed.  An election may come between any two, so
 * the promise is about each state: those who lack the commit are too few to elect
 * one of them.  The reign has lasted, or the leader was started or promoted just now.
 *
 * What makes it hard is how PostgreSQL counts.  The walsender that releases a commit
 * takes *how many* must confirm from its own copy of the names, but *who* counts is
 * what each other walsender found in its own.  So while a change is read by one
 * process after the other, mixtures are in force that stand in no copy: after
 * "ANY 2 (a, b)" became "ANY 1 (b)", b's walsender wants one, a's still counts
 * itself, and the commit is released by a alone.  FIRST, which is written if all
 * must confirm, is hardly better: who releases is then among those who confirm, but
 * who the others are is a matter of priorities, which are as mixed.
 *
 * The mode changes at any time, or is always "on" with ON and always "quorum" with
 * QUORUM.  The names change once, and a standby may be away meanwhile; TWICE they
 * change twice.
 *
 * HOLDS: EITHER STRICT TWICE
 * VARIANTS: ON+NAMES_FIRST QUORUM+NAMES_FIRST ON+NO_MIXTURE QUORUM+NO_MIXTURE
 * VARIANTS: ON+TWICE+LATER_MIXTURE QUORUM+TWICE+LATER_MIXTURE ON+NOT_AWAITED
 * VARIANTS: QUORUM+NOT_AWAITED ON+ONE_COPY ON+NOT_MASTER ON+NO_CATCH_UP
 * VARIANTS: QUORUM+NO_CATCH_UP NO_RESTORE QUORUM+SYNC_KEPT ALWAYS_ANY
 * VARIANTS: ON+REACH_GROWN QUORUM+REACH_GROWN REACH_STARTED STRICT+REACH_HELD
 *
 *	NAMES_FIRST		the names change before /sync is tight
 *	NO_MIXTURE		/sync is made good for the old names and for the new, but not for
 *					a mixture of them
 *	LATER_MIXTURE	... not for one with names that were out of date already
 *	ALWAYS_ANY		"ANY 1 (a)" is written, not "FIRST 1 (a)"
 *	NOT_AWAITED		/sync is relaxed at once
 *	ONE_COPY		... when the postmaster has read the names
 *	NOT_MASTER		... when every walsender that there is has
 *	NO_CATCH_UP		... whatever the voters have
 *	NO_RESTORE		after a start the gate opens whatever names the file has
 *	SYNC_KEPT		a promotion leaves /sync as the former leader had it
 *
 * With REACH_GROWN the promise is that /sync is never relaxed after a change of the
 * names, with REACH_STARTED that who was started acknowledges nothing, with
 * REACH_HELD that commits never wait for nobody: all must fail.
 */
#define BIT(i)		(1 << (i))
#define HAS(set, i)	(((set) >> (i)) & 1)
#define COUNT(set)	(HAS(set, 0) + HAS(set, 1) + HAS(set, 2) + HAS(set, 3))
#define LESS(a, b)	((a) < (b) -> (a) : (b))
#define MORE(a, b)	((a) > (b) -> (a) : (b))

/*
 * Sets are of the standbys 0 to 2 and one name that no standby has: pg_ha_nobody in
 * the names, the leader itself in a /sync that was another's.
 */
#define STANDBYS	7
#define NOBODY		BIT(3)

/* "k of these names", as some process knows them */
#define NAMES(k, set)	((k) << 4 | (set))
#define K(names)		((names) >> 4)
#define SET(names)		((names) & 15)
#define ALL(names)		(K(names) == COUNT(SET(names)))

/* the commit */
bool written;
bool acked;
byte flushed;					/* the standbys that have it */

/* the leader */
byte file;						/* the names in the file */
byte master;					/* ... as postmaster and checkpointer know them */
byte copy[3];					/* ... as the walsenders do */
byte attached = STANDBYS;		/* the standbys that have one */
bool in_force = true;			/* all have applied the file */
bool before;					/* ... and the commit was written before that */
bool gate = true;
bool started;					/* it was started or promoted just now */
bool gone;						/* one standby was or is away */
byte renamed;					/* how often it has changed the names */

/* /sync */
byte voters;
byte quorum;
byte former;					/* 1 + the standby that it still calls leader */

/* what a step reckons with, 0 between steps */
byte w, v, q, late, i;
bool join;						/* the mode is "quorum" */

/* How many of these voters may lack a commit that those names let pass. */
#define LACK(voters, k, set) \
	(COUNT((voters) & ~(set)) + LESS(COUNT(set) - (k), COUNT((voters) & (set))))

/*
 * The same for a mixture of the names in the file and those that are wanted.  Where
 * there is but one name, whoever releases has confirmed itself.
 */
#define ONE(names)	(COUNT(SET(names)) == 1)
#define MIX(k)		LACK(v, k, SET(file) | SET(w))
#ifdef NO_MIXTURE
#define LACK_MIXED	0
#else
#define LACK_MIXED \
	(ONE(file) && ONE(w) -> 0 : \
	 (ONE(file) || (!ONE(w) && K(w) < K(file)) -> MIX(K(w)) : MIX(K(file))))
#endif
#if defined(LATER_MIXTURE) || defined(NO_MIXTURE)
#define OUT_OF_DATE	false
#else
#define OUT_OF_DATE	(!in_force)
#endif

/*
 * v, q: what /sync has to be before the names become w.  In mode "on" nobody joins
 * by that.
 */
inline tighten()
{
	v = (join -> SET(w) : voters & SET(w));
	q = quorum + COUNT(v & ~voters);
	q = MORE(q, LACK(v, K(file), SET(file)));
	q = MORE(q, LACK(v, K(w), SET(w)));
	late = (OUT_OF_DATE -> COUNT(v) : LACK_MIXED);
	if
	:: join -> q = MORE(q, late)
	:: !join && late > q -> v = 0
	:: else
	fi;
	q = LESS(q, 3);				/* more means the same */
	late = 0
}

/* v, q: what it may be after that; what was not written then is lacked by none */
#ifdef NO_CATCH_UP
#define LATE	0
#else
#define LATE	(before -> ~(flushed & attached) & 15 : 0)
#endif

inline relax()
{
	late = LATE;
	v = SET(w) & (join -> 15 : voters | ~late);
	q = LACK(v, K(w), SET(w));
	if
	:: COUNT(late & v) > q && ((late & v & ~voters) != 0 || q < quorum) ->
		v = voters;
		q = quorum
	:: else
	fi
}

/* The next step towards w: of /sync, else of the names. */
#define SETTLED	(file == w)
#ifdef NOT_AWAITED
#define MAY_RELAX	true
#else
#define MAY_RELAX	in_force
#endif

inline step()
{
	v = voters;
	q = quorum;
	if
	:: former != 0 || !SETTLED || LACK(voters, K(file), SET(file)) > quorum ->
		tighten()
	:: else
	fi;
#ifdef NAMES_FIRST
	if
	:: !SETTLED -> v = voters; q = quorum
	:: else
	fi;
#endif
	if
	:: former != 0 || v != voters || q != quorum ->
		voters = v;
		quorum = q;
		former = 0
	:: else ->
		if
		:: !SETTLED ->
			file = w;
			in_force = false;
			before = false;
			renamed++
		:: SETTLED && MAY_RELAX ->
			relax();
#ifdef REACH_GROWN
			assert(renamed == 0 || ((v & ~voters) == 0 && q >= quorum));
#endif
			voters = v;
			quorum = q
		:: else
		fi
	fi
}

/* Whoever streams may be wanted, and as many of them as the operator says. */
#ifdef TWICE
#define CHANGES		2
#else
#define CHANGES		1
#endif
#define MAY_WANT(k, set) \
	(gate && ((set) & ~attached) == 0 && \
	 (renamed < CHANGES || file == NAMES(k, set)))
#define WANT(k, set)	:: MAY_WANT(k, set) -> w = NAMES(k, set)

inline lead()
{
	if
	WANT(1, 1)
	WANT(1, 2)
	WANT(1, 4)
	WANT(2, 3)
	WANT(2, 5)
	WANT(2, 6)
	WANT(3, 7)
#ifndef ON
	WANT(1, 3)
	WANT(1, 5)
	WANT(1, 6)
	WANT(1, 7)
	WANT(2, 7)
#endif
#ifndef STRICT
	WANT(0, 0)
#endif
	fi;
	if
#ifndef ON
	:: join = true
#endif
#ifndef QUORUM
	:: ALL(w) -> join = false
#endif
	fi;
	d_step {
		step();
		w = 0;
		v = 0;
		q = 0;
		late = 0;
		join = false
	}
}

/* Before it opens its gate it sees to names that do for /sync. */
inline open_gate()
{
	!gate ->
		i = COUNT(voters) - LESS(quorum, COUNT(voters));
		if
#ifdef NO_RESTORE
		:: gate = true
#else
		:: LACK(voters, K(file), SET(file)) > quorum ->
			file = NAMES(MORE(i, 1), voters);
			in_force = false;
			before = false
#ifdef STRICT
		:: file == 0 ->
			file = NAMES(1, NOBODY);
			in_force = false;
			before = false
#endif
		:: else -> gate = in_force
#endif
		fi;
		i = 0
}

/* The other processes, and the standbys.  A vote ends with its walreceiver. */
#define WALSENDER_APPLIED(n)	(copy[n] == file || !HAS(attached, n))
#define WALSENDERS_APPLIED \
	(WALSENDER_APPLIED(0) && WALSENDER_APPLIED(1) && WALSENDER_APPLIED(2))
#if defined(ONE_COPY)
#define APPLIED	(master == file)
#elif defined(NOT_MASTER)
#define APPLIED	WALSENDERS_APPLIED
#else
#define APPLIED	(master == file && WALSENDERS_APPLIED)
#endif

inline read_file(n)
{
	HAS(attached, n) && copy[n] != file -> copy[n] = file
}

inline detach(n)
{
	HAS(attached, n) && !gone ->
		gone = true;
		attached = attached & ~BIT(n);
		copy[n] = 0
}

inline attach(n)
{
	!HAS(attached, n) -> attached = attached | BIT(n); copy[n] = master
}

inline flush(n)
{
	HAS(attached, n) && written && !HAS(flushed, n) -> flushed = flushed | BIT(n)
}

/* How many a walsender counts that have the commit; it releases if it counts itself. */
#define COUNTS(n)		(HAS(attached, n) && HAS(SET(copy[n]), n))
#define CONFIRMS(n)		(COUNTS(n) && HAS(flushed, n))
#ifdef ALWAYS_ANY
#define RELEASES(n)		COUNTS(n)
#else
#define RELEASES(n)		(COUNTS(n) && (!ALL(copy[n]) || HAS(flushed, n)))
#endif
#define RELEASED_BY(n) \
	(RELEASES(n) && CONFIRMS(0) + CONFIRMS(1) + CONFIRMS(2) >= K(copy[n]))
#define RELEASED \
	(SET(master) == 0 || RELEASED_BY(0) || RELEASED_BY(1) || RELEASED_BY(2))

/*
 * The promise.  What need not wait does not: neither sooner seen to be in force nor
 * sooner released is ever safer.
 */
#define LACKING		(voters & STANDBYS & ~flushed)

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
		:: written && gate && RELEASED ->
			acked = true;
#ifdef REACH_STARTED
			assert(!started)
#endif
		:: else
		fi;
#ifdef REACH_HELD
		assert(!(gate && master == NAMES(1, NOBODY)));
#endif
		assert(!acked || COUNT(LACKING) <= quorum);
		assert(!acked || former == 0 || HAS(flushed, former - 1))
	}
}

/*
 * As it has been for long, with one, two or three standbys; or the server has just
 * started, with names that need not be the last ones.  A promotion has made /sync
 * its own, and empty.
 */
inline begin()
{
	if
	:: file = NAMES(2, 3); voters = 3
	:: file = NAMES(3, 7); voters = 7
#ifdef TWICE
	gone = true
#else
	:: file = NAMES(1, 1); voters = 1
#ifndef ON
	:: file = NAMES(1, 3); voters = 3; quorum = 1
	:: file = NAMES(1, 7); voters = 7; quorum = 2
	:: file = NAMES(2, 7); voters = 7; quorum = 1
#endif
#ifdef STRICT
	:: file = NAMES(1, NOBODY)
#endif
	:: started = true;
		gate = false;
		in_force = false;
		if
		:: true
#ifdef SYNC_KEPT
		:: former = 1; voters = NOBODY | 6; quorum = 1
#else
		:: voters = 2
		:: voters = 6
#ifndef ON
		:: voters = 6; quorum = 1
#endif
#endif
		fi;
		if
		:: true
		:: file = NAMES(1, 1)
		:: file = NAMES(1, 2)
		fi
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
	:: atomic { lead(); settle() }
	:: atomic { open_gate(); settle() }
	:: atomic { master != file -> master = file; settle() }
	:: atomic { read_file(0); settle() }
	:: atomic { read_file(1); settle() }
	:: atomic { read_file(2); settle() }
	:: atomic { detach(0); settle() }
	:: atomic { detach(1); settle() }
	:: atomic { detach(2); settle() }
	:: atomic { attach(0); settle() }
	:: atomic { attach(1); settle() }
	:: atomic { attach(2); settle() }
	:: atomic { flush(0); settle() }
	:: atomic { flush(1); settle() }
	:: atomic { flush(2); settle() }
	od
}
