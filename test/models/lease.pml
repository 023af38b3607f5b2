/*
 * lease.pml
 *	  Two members, one lease: never are both gates open.
 *
 * The store may drop the key at any time, whatever the lease was for, and confirm
 * nothing in time; requests and answers may be lost or late without bound.  What
 * must keep the gates apart is only
 *
 * - that a deadline counts from when its renewal was sent,
 * - that a renewal writes a heartbeat, and that who wants the key waits a whole
 *   TTL from when it first saw the heartbeat that is in the store now (E1), and
 * - that the transaction that takes the key fails if there is a newer one.
 *
 * Time is one number here; drift is the business of the margin, which the
 * simulator tries.  Each of the variants must break the promise:
 *
 * VARIANTS: FROM_ANSWER NO_WAIT ANY_HEARTBEAT NO_HEARTBEAT REACH
 *
 *	FROM_ANSWER		the deadline counts from the answer
 *	NO_WAIT			the key is taken as soon as it is absent
 *	ANY_HEARTBEAT	... whatever heartbeat there is
 *	NO_HEARTBEAT	a renewal writes none
 *
 * With REACH the promise is that nobody ever leads after another, which must fail
 * as well: a model in which nothing happens proves nothing.
 */
#define TTL		2
#define END		7

byte now;

/* the store; member 0 leads, and its heartbeat is the first */
byte owner = 1;					/* 1 + member; 0 = the key is absent */
byte revision = 1;				/* of the heartbeat */

typedef Member
{
	byte deadline;				/* the gate is open before */
	bool leads;
	bool asked;					/* a renewal is under way */
	bool answered;				/* ... its good answer */
	byte sent;					/* ... when it was sent */
	byte seen;					/* the newest heartbeat that it knows */
	byte seen_at;				/* ... since when */
};

Member m[2];

inline renew(i)
{
	m[i].leads && !m[i].asked && !m[i].answered && revision < 6 ->
		m[i].asked = true;
		m[i].sent = now
}

inline carry_out(i)
{
	m[i].asked ->
		m[i].asked = false;
		if
		:: owner == i + 1 ->
			m[i].answered = true;
#ifndef NO_HEARTBEAT
			revision++
#endif
		:: else -> m[i].sent = 0
		fi
}

inline lose(i)
{
	m[i].asked || m[i].answered ->
		m[i].asked = false;
		m[i].answered = false;
		m[i].sent = 0
}

inline take_answer(i)
{
	m[i].answered ->
		m[i].answered = false;
#ifdef FROM_ANSWER
		m[i].deadline = now + TTL;
#else
		m[i].deadline = m[i].sent + TTL;
#endif
		m[i].sent = 0
}

inline look(i)
{
	m[i].seen != revision ->
		m[i].seen = revision;
		m[i].seen_at = now
}

#if defined(NO_WAIT)
#define MAY_TAKE(i)	true
#elif defined(ANY_HEARTBEAT)
#define MAY_TAKE(i)	(m[i].seen != 0 && now >= m[i].seen_at + TTL)
#else
#define MAY_TAKE(i)	(m[i].seen == revision && now >= m[i].seen_at + TTL)
#endif

/* It sends now and the store takes it now; it is the wait that matters. */
inline acquire(i)
{
	owner == 0 && !m[i].leads && revision < 6 && MAY_TAKE(i) ->
		owner = i + 1;
		revision++;
		m[i].leads = true;
		m[i].deadline = now + TTL;
#ifdef REACH
		assert(i == 0)
#endif
}

/* A leader that learns of the loss stands back, once its gate is closed. */
inline resign(i)
{
	m[i].leads && owner != i + 1 && now >= m[i].deadline && !m[i].answered ->
		m[i].leads = false;
		m[i].asked = false
}

/* Times that make no difference any more are one state, not many. */
inline forget(i)
{
	if
	:: m[i].deadline <= now -> m[i].deadline = 0
	:: else
	fi;
	if
	:: now >= m[i].seen_at + TTL -> m[i].seen_at = 0
	:: else
	fi
}

init
{
	m[0].leads = true;
	m[0].deadline = TTL;
	do
	:: atomic { renew(0) }
	:: atomic { renew(1) }
	:: atomic { carry_out(0) }
	:: atomic { carry_out(1) }
	:: atomic { lose(0) }
	:: atomic { lose(1) }
	:: atomic { take_answer(0); assert(!(now < m[0].deadline && now < m[1].deadline)) }
	:: atomic { take_answer(1); assert(!(now < m[0].deadline && now < m[1].deadline)) }
	:: atomic { look(0) }
	:: atomic { look(1) }
	:: atomic { acquire(0); assert(!(now < m[0].deadline && now < m[1].deadline)) }
	:: atomic { acquire(1); assert(!(now < m[0].deadline && now < m[1].deadline)) }
	:: atomic { resign(0) }
	:: atomic { resign(1) }
	:: atomic { owner != 0 -> owner = 0 }
	:: atomic { now < END -> now++; forget(0); forget(1) }
	:: now == END -> break
	od
}
