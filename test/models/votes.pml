/*
 * votes.pml
 *	  Whoever is elected has what its supporters confirmed: votes are final.
 *
 * A leader, and two standbys that stand in /sync with quorum 1: either may confirm a
 * commit, and to be elected takes the vote of the other, which must not tell more than
 * one's own.  The leader's key comes and goes as it likes: dropped early, made anew by
 * the leader, which begins another contest, or by an operator's hand, which does not.
 * The leader need not have noticed, and acknowledges whatever is confirmed.
 *
 * What must keep the promise is only
 *
 * - that a position is read and told after the walreceiver is gone for good (S-2),
 * - that a vote counts in its own contest, and that taking the key compares all that
 *   was looked at (S-1), and
 * - that a standby withdraws its vote before it follows again: the one that stands,
 *   and the one whose outcome it does not know, which may land at any time.  It
 *   can't any more once another has been written, since it compares the vote's key.
 *
 * VARIANTS: ATTACHED RELAUNCHED ANY_CONTEST NOT_COMPARED NOT_WITHDRAWN LOST_FORGOTTEN
 * VARIANTS: NOT_GUARDED ALONE REACH_ELECTED REACH_CONTEST REACH_LANDED REACH_AGAIN
 *
 *	ATTACHED		a vote is given with the walreceiver running
 *	RELAUNCHED		... gone, but the startup process has the old primary_conninfo
 *	ANY_CONTEST		votes count in any contest
 *	NOT_COMPARED	the key is taken whatever has become of the votes
 *	NOT_WITHDRAWN	a standby follows although its vote stands
 *	LOST_FORGOTTEN	... although it has had no answer
 *	NOT_GUARDED		a late vote lands although another was written
 *	ALONE			the other's vote may tell more
 *
 * With REACH_ELECTED the promise is that nobody is elected, with REACH_CONTEST not in
 * the second contest, with REACH_LANDED that no late vote lands, with REACH_AGAIN that
 * nobody who has voted follows again: all must fail.
 */
#define WRITES		2
#define NONE		15

/* the leader */
byte written;
byte acked;

/* the store */
bool key = true;
bool contest;					/* the term and its revision */
byte told[2] = NONE;			/* the votes that stand */
bool of_contest[2];				/* ... the contest of each */

/* the standbys */
byte has[2];
bool attached[2] = true;
bool seen[2];					/* this one would be elected by what it read */

/* a vote without an answer: what it tells, in which contest */
byte late[2] = NONE;
bool late_contest[2];
bool unknown[2];				/* its sender knows that it may yet land */

/* Who has read the votes must do so again. */
inline changed()
{
#ifndef NOT_COMPARED
	seen[0] = false;
	seen[1] = false
#else
	skip
#endif
}

/* Any write of a vote makes one that is late fail. */
inline write_vote(n, position, in)
{
	told[n] = position;
	of_contest[n] = (position == NONE -> false : in);
#ifndef NOT_GUARDED
	late[n] = NONE;
	late_contest[n] = false;
#endif
	unknown[n] = false;
	changed()
}

inline commit()
{
	written < WRITES -> written++
}

inline confirm(n)
{
	attached[n] && has[n] < written ->
		has[n]++;
		acked = (has[n] > acked -> has[n] : acked)
}

inline detach(n)
{
	attached[n] -> attached[n] = false
}

#if defined(ATTACHED)
#define IS_FINAL(n)	true
#else
#define IS_FINAL(n)	(!attached[n])
#endif

inline vote(n)
{
	IS_FINAL(n) && !key && (told[n] != has[n] || of_contest[n] != contest) ->
		if
		:: write_vote(n, has[n], contest)
		:: late[n] == NONE ->
			late[n] = has[n];
			late_contest[n] = contest;
			unknown[n] = true
		fi
}

/* It compares the key's absence, the contest, and the vote that it is to replace. */
inline land(n)
{
	late[n] != NONE ->
		if
		:: !key && late_contest[n] == contest ->
#ifdef REACH_LANDED
			assert(false);
#endif
			told[n] = late[n];
			of_contest[n] = contest;
			changed()
		:: else
		fi;
		late[n] = NONE;
		late_contest[n] = false
}

#define STANDS(n)	(told[n] != NONE && of_contest[n] == contest)

/*
 * Somebody seems to lead, in the contest as it is now.  A withdrawal may be lost as
 * well; then it is tried again.
 */
inline withdraw(n)
{
	!attached[n] && (told[n] != NONE || unknown[n]) -> write_vote(n, NONE, false)
}

#ifdef NOT_WITHDRAWN
#define WITHDRAWN(n)	(!unknown[n])
#else
#define WITHDRAWN(n)	(!STANDS(n) && !unknown[n])
#endif
#if defined(RELAUNCHED)
#define MAY_ATTACH(n)	true
#elif defined(LOST_FORGOTTEN)
#define MAY_ATTACH(n)	(!STANDS(n))
#else
#define MAY_ATTACH(n)	WITHDRAWN(n)
#endif

inline follow(n)
{
	!attached[n] && MAY_ATTACH(n) ->
#ifdef REACH_AGAIN
		assert(told[n] == NONE);
#endif
		attached[n] = true
}

#ifdef ANY_CONTEST
#define COUNTS(n)	(told[n] != NONE)
#else
#define COUNTS(n)	STANDS(n)
#endif
#ifdef ALONE
#define AGREES(m, n)	COUNTS(m)
#else
#define AGREES(m, n)	(COUNTS(m) && told[m] <= told[n])
#endif

inline look(n, m)
{
	!key && !attached[n] && STANDS(n) && AGREES(m, n) -> seen[n] = true
}

inline take_key(n)
{
	!key && !attached[n] && seen[n] ->
#ifdef REACH_ELECTED
		assert(false);
#endif
#ifdef REACH_CONTEST
		assert(!contest);
#endif
		assert(has[n] >= acked)
}

inline lose_key()
{
	key -> key = false; changed()
}

inline make_key()
{
	!key ->
		key = true;
		if
		:: contest = true
		:: true
		fi;
		changed()
}

init
{
end:
	do
	:: atomic { commit() }
	:: atomic { lose_key() }
	:: atomic { make_key() }
	:: atomic { confirm(0) }
	:: atomic { confirm(1) }
	:: atomic { detach(0) }
	:: atomic { detach(1) }
	:: atomic { vote(0) }
	:: atomic { vote(1) }
	:: atomic { land(0) }
	:: atomic { land(1) }
	:: atomic { withdraw(0) }
	:: atomic { withdraw(1) }
	:: atomic { follow(0) }
	:: atomic { follow(1) }
	:: atomic { look(0, 1) }
	:: atomic { look(1, 0) }
	:: atomic { take_key(0) }
	:: atomic { take_key(1) }
	od
}
