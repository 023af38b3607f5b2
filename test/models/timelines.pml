/*
 * timelines.pml
 *	  No two promotions share a timeline id, and nobody follows or is rewound on the
 *	  ground of an id that means two histories (S-15, S-16).
 *
 * Three servers.  What PostgreSQL and the term record tell of WAL are timeline ids and
 * positions; what is true is which *branch* it is, each promotion beginning a new one.
 * The model keeps both, decides by the first as the code does, and checks by the
 * second.
 *
 * Whoever takes the key puts an intent on record in the same transaction, with the id
 * that it has reserved; it does so from a record that it read earlier, hence the
 * comparison.  Then it promotes, which may come late, when the key is lost already; it
 * puts the true timeline on record under the key; and then it leads.  Servers crash and
 * keys are lost between any two steps.
 *
 * With HAND somebody promotes a standby by hand, without a record and to the next id
 * that PostgreSQL finds; there is one more promotion, which may use the same id.  Who
 * was primary on an id that another owns is then rebuilt, never rewound.  LATER is
 * one promotion more.
 *
 * HOLDS: REIGNS LATER HAND
 * VARIANTS: NOT_COMPARED LOCAL_ID REUSED PROMOTE_FIRST HAND+REWIND_ANY HAND+ID_ONLY
 * VARIANTS: HAND+SAME_PLACE HAND+LATER
 * VARIANTS: REACH_THIRD REACH_LATE REACH_REWOUND HAND+REACH_REBUILT
 *
 *	NOT_COMPARED	the key is taken whatever has become of the record
 *	LOCAL_ID		the id is the next that is unused where it is
 *	REUSED			an id that was reserved and not confirmed is given again
 *	PROMOTE_FIRST	the promotion comes before the key
 *	REWIND_ANY		who has diverged is rewound, whoever owns its timeline
 *	ID_ONLY			where a timeline began is not compared
 *
 * Two tell where the promise ends for servers that were promoted by hand: with
 * SAME_PLACE the other timeline of that id begins at the very same place; with LATER
 * it is no more the newest when that server comes back.
 *
 * With REACH_THIRD the promise is that there is no third leader, with REACH_LATE that
 * nobody is promoted without the key, with REACH_REWOUND and REACH_REBUILT that
 * nobody is: all must fail.
 */
#define SERVERS		3
#define NONE		15

#ifdef LATER
#define WRITES		1
#define BRANCHES	4			/* the first, and three promotions */
#else
#define WRITES		2
#define BRANCHES	3
#endif
#define LAST_ID		(BRANCHES + 1)

/* the truth: each branch, its timeline id, what it left and where */
byte branches = 1;
byte id[BRANCHES];
byte parent[BRANCHES];
byte from[BRANCHES];
bool by_hand[BRANCHES];

/* the servers; all that is in a branch up to "upto" is there */
mtype = { standby, chosen, promoted, leads };
mtype role[SERVERS];
byte branch[SERVERS];
byte upto[SERVERS];
bool wrote[SERVERS];			/* it was primary on its branch */
byte given[SERVERS];			/* the id for its promotion, by the record it read */

/* the store: the key and the record; 1 + server */
byte holder = 1;
byte owner = 1;
bool intent;
byte reserved = 1;
byte recorded;					/* the branch of the last confirmed reign */
byte owned[BRANCHES];			/* its timeline's owner, 0 = not known */

byte writes;
bool hand;

/* what steps reckon with, 0 between them */
byte x, e, t;
bool ok;

#define ID(n)		id[branch[n]]
#define MORE(a, b)	((a) > (b) -> (a) : (b))

inline forget()
{
	x = 0; e = 0; t = 0;
	ok = false
}

/* x: the branch in the recorded history that has this id, e: up to where */
inline find_recorded(tli)
{
	x = recorded;
	e = NONE;
	do
	:: x == NONE || id[x] == tli -> break
	:: else ->
		if
		:: x == 0 -> x = NONE
		:: else -> e = from[x]; x = parent[x]
		fi
	od
}

/* ok: is n on the recorded history, as far as ids and places can tell? */
inline seems_on_history(n)
{
	find_recorded(ID(n));
	ok = (x != NONE && upto[n] <= e);
#ifndef ID_ONLY
	ok = ok && (x != recorded || from[x] == from[branch[n]])
#endif
}

/* ok: is it truly? */
inline is_on_history(n)
{
	x = recorded;
	e = NONE;
	do
	:: x == 0 || x == branch[n] -> break
	:: else -> e = from[x]; x = parent[x]
	od;
	ok = (x == branch[n] && upto[n] <= e)
}

/* The record has changed: who goes by what it was does not get the key. */
#ifdef NOT_COMPARED
#define COMPARED	false
#else
#define COMPARED	true
#endif

inline outdate(n)
{
	if
	:: role[n] == standby && COMPARED -> given[n] = 0
	:: else
	fi
}

inline changed()
{
	outdate(0);
	outdate(1);
	outdate(2)
}

/*
 * A standby on the history reads the record.  One on a timeline that is not recorded
 * has what that began from, but may stand as well.
 */
inline look(n)
{
	role[n] == standby && holder == 0 && branches < BRANCHES ->
		find_recorded(ID(n));
		t = MORE(reserved, MORE(id[recorded], ID(n))) + 1;
		if
		:: intent && owner == n + 1 && reserved > ID(n) -> t = reserved
		:: else
		fi;
#if defined(LOCAL_ID)
		t = ID(n) + 1;
#elif defined(REUSED)
		t = MORE(id[recorded], ID(n)) + 1;
#endif
		seems_on_history(n);
		if
		:: (ok || x == NONE) && t <= LAST_ID ->
			given[n] = t;
#ifdef PROMOTE_FIRST
			role[n] = chosen
#else
			skip
#endif
		:: else
		fi;
		forget()
}

inline take_key(n)
{
	holder == 0 && role[n] == standby && given[n] != 0 ->
		holder = n + 1;
		owner = n + 1;
		intent = true;
		reserved = given[n];
		role[n] = chosen;
		changed()
}

inline begin_branch(n, tli, hands)
{
	id[branches] = tli;
	parent[branches] = branch[n];
	from[branches] = upto[n];
	by_hand[branches] = hands;
	branch[n] = branches;
	upto[n]++;
	wrote[n] = true;
	given[n] = 0;
	branches++;
	role[n] = promoted
}

/* x: a branch that has this id already */
inline find_twin(n, tli)
{
	x = 0;
	do
	:: x == branches -> x = NONE; break
	:: x < branches && id[x] == tli -> break
	:: else -> x++
	od
}

#ifdef SAME_PLACE
#define MAY_BEGIN(n)	true
#else
#define MAY_BEGIN(n)	(x == NONE || from[x] != upto[n])
#endif

/* The order may be carried out when the key is lost. */
inline promote(n)
{
	role[n] == chosen && branches < BRANCHES ->
#ifdef REACH_LATE
		assert(holder == n + 1);
#endif
		find_twin(n, given[n]);
		assert(x == NONE || by_hand[x]);
		if
		:: MAY_BEGIN(n) -> begin_branch(n, given[n], false)
		:: else -> role[n] = standby; given[n] = 0
		fi;
		forget()
}

/* An operator promotes it; its worker finds that the record is another's. */
inline promote_by_hand(n)
{
	role[n] == standby && !hand && branches < BRANCHES ->
		hand = true;
		find_twin(n, ID(n) + 1);
		if
		:: MAY_BEGIN(n) -> begin_branch(n, ID(n) + 1, true); role[n] = standby
		:: else
		fi;
		forget()
}

#define HOLDS_KEY(n)	(holder == n + 1 && owner == n + 1)

inline confirm(n)
{
	role[n] == promoted && HOLDS_KEY(n) ->
#ifdef REACH_THIRD
		assert(recorded == 0);
#endif
		intent = false;
		recorded = branch[n];
		owned[recorded] = n + 1;
		reserved = MORE(reserved, ID(n));
		role[n] = leads;
		changed()
}

/* Nobody has had it meanwhile: it goes on where it was, under a new term. */
inline resume(n)
{
	holder == 0 && owner == n + 1 && (role[n] == promoted || role[n] == leads) ->
		holder = n + 1;
		changed()
}

inline stand_back(n)
{
	role[n] != standby && !HOLDS_KEY(n) && (owner != n + 1 || role[n] == chosen) ->
		role[n] = standby;
		given[n] = 0
}

inline crash(n)
{
	role[n] != standby -> role[n] = standby; given[n] = 0
}

inline write(n)
{
	role[n] == leads && HOLDS_KEY(n) && writes < WRITES -> writes++; upto[n]++
}

inline become_like(n, m)
{
	branch[n] = branch[m];
	upto[n] = upto[m];
	wrote[n] = false;
	given[n] = 0
}

/*
 * n finds the leader m.  pg_rewind compares ids and where they began; if both are on
 * one id it finds nothing to do.
 */
inline rejoin(n, m)
{
	role[n] == standby && role[m] == leads && HOLDS_KEY(m) && !intent &&
		(branch[n] != branch[m] || upto[n] != upto[m] || wrote[n]) ->
		seems_on_history(n);
		if
		:: ok ->
			is_on_history(n);
			assert(ok)
		:: else ->
			find_recorded(ID(n));
			if
#ifndef REWIND_ANY
			:: wrote[n] && x != NONE && owned[x] != n + 1 ->
#ifdef REACH_REBUILT
				assert(false)
#endif
				;
#endif
			:: else ->
#ifdef REACH_REWOUND
				assert(x != NONE);
#endif
				assert(x == NONE || x == branch[n] ||
					   (x != recorded && from[x] != from[branch[n]]))
			fi
		fi;
		become_like(n, m);
		forget()
}

init
{
	d_step {
		id[0] = 1;
		owned[0] = 1;
		role[0] = leads;
		role[1] = standby;
		role[2] = standby;
		wrote[0] = true
	}
end:
	do
	:: holder != 0 -> holder = 0
	:: d_step { look(0) }
	:: d_step { look(1) }
	:: d_step { look(2) }
	:: d_step { take_key(0) }
	:: d_step { take_key(1) }
	:: d_step { take_key(2) }
	:: d_step { promote(0) }
	:: d_step { promote(1) }
	:: d_step { promote(2) }
#ifdef HAND
	:: d_step { promote_by_hand(0) }
	:: d_step { promote_by_hand(1) }
	:: d_step { promote_by_hand(2) }
#endif
	:: d_step { confirm(0) }
	:: d_step { confirm(1) }
	:: d_step { confirm(2) }
	:: d_step { resume(0) }
	:: d_step { resume(1) }
	:: d_step { resume(2) }
	:: d_step { stand_back(0) }
	:: d_step { stand_back(1) }
	:: d_step { stand_back(2) }
	:: d_step { crash(0) }
	:: d_step { crash(1) }
	:: d_step { crash(2) }
	:: d_step { write(0) }
	:: d_step { write(1) }
	:: d_step { write(2) }
	:: d_step { rejoin(0, 1) }
	:: d_step { rejoin(0, 2) }
	:: d_step { rejoin(1, 0) }
	:: d_step { rejoin(1, 2) }
	:: d_step { rejoin(2, 0) }
	:: d_step { rejoin(2, 1) }
	od
}
