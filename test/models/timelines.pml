/*
 * timelines.pml
 *	  Nobody follows or is rewound on the ground of a timeline id that means two
 *	  histories, and no election overlooks what was acknowledged.
 *
 * Three servers.  What PostgreSQL and the term record tell of WAL are timeline ids and
 * positions; what is true is which *branch* it is, each promotion beginning a new one.
 * The model keeps both, decides by the first as the code does, and checks by the
 * second:
 *
 *	- who is let follow has nothing that its leader has not;
 *	- who is rewound is so from where its branch left the leader's, or earlier;
 *	- nobody is elected without an acknowledged commit that a voter has.
 *
 * Promotions go through their steps, the record first as an intent that reserves the
 * id (S-15), then the promotion, then the true timeline put on record, then the
 * gate; the server may die between any two, the key be lost at any time.  Someone
 * may also promote a server by hand, without a record and to whatever id
 * PostgreSQL finds unused there.  An id is the owner's who has put it on
 * record, so who was primary on one that another owns is rebuilt, neither rewound
 * nor followed with, and doesn't stand for election.
 *
 * VARIANTS: LOCAL_TLI REUSE_RESERVED REWIND_ANY FOLLOW_ANY STAND_ANY
 * VARIANTS: GATE_BEFORE_CONFIRM REACH_REBUILT REACH_REWOUND REACH_INTENT REACH_THIRD
 *
 *	LOCAL_TLI			a promotion takes the next id that is unused where it is
 *	REUSE_RESERVED		an id that was reserved and not confirmed is given again
 *	REWIND_ANY			who has diverged is rewound, whoever owns its timeline
 *	FOLLOW_ANY			who seems to be on the history follows, whoever owns it
 *	STAND_ANY			... is elected
 *	GATE_BEFORE_CONFIRM	commits are acknowledged as soon as the server is promoted
 *
 * With REACH_REBUILT the promise is that nobody is rebuilt, with REACH_REWOUND that
 * nobody is rewound, with REACH_INTENT that nobody is elected while the record is an
 * intent of somebody who was promoted, with REACH_THIRD that there is no third
 * leader: all must fail.
 */
#define SERVERS		3
#define BRANCHES	4			/* the first, and three promotions */
#define IDS			(BRANCHES + 3)
#define WRITES		2
#define CRASHES		2
#define FOR_EVER	15
#define NOT_KNOWN	(SERVERS + 1)

#define BIT(i)		(1 << (i))
#define HAS(set, i)	(((set) >> (i)) & 1)

/* the truth: each branch, its timeline id, where it left its parent, its ancestors */
byte branches = 1;
byte id[BRANCHES];
byte from[BRANCHES];
byte line[BRANCHES];			/* a set, with itself; who is older has less */

/* a server: its WAL is that of its branch, up to its end */
mtype = { down, standby, chosen, promoted, leads };
mtype role[SERVERS];
byte branch[SERVERS];
byte upto[SERVERS];
byte wrote[SERVERS];			/* the id on which it was primary; 0 = a standby */
byte given[SERVERS];			/* the id for the promotion that is under way */

/* the store: the key, the record, its lineage by timeline id */
byte holder = 1;				/* 1 + server */
bool intent;
byte owner = 1;					/* 1 + server, of this record */
byte reserved = 1;
byte newest = 1;				/* the timeline of the last confirmed reign */
byte began;						/* ... and where it left its parent */
byte owned[IDS];				/* 1 + owner of that id; 0 = not in the lineage */
byte until[IDS];				/* up to where it is in the lineage */

/* the last acknowledged commit: branch and place; 0 = none */
byte acked_on;
byte acked;

byte writes;
byte crashes;
bool by_hand;

/* what steps reckon with, 0 between them */
byte a, b, x, y, z, t, e;
bool ok;

inline forget()
{
	a = 0; b = 0; x = 0; y = 0; z = 0; t = 0; e = 0;
	ok = false
}

/* e: up to where branch "piece" is in the history of server n */
inline find_end(n, piece)
{
	e = upto[n];
	z = branch[n];
	do
	:: z > piece ->
		if
		:: HAS(line[branch[n]], z) -> e = from[z]
		:: else
		fi;
		z--
	:: else -> break
	od;
	z = 0
}

/* x: the last branch that n and m share, y: up to where they do */
inline find_fork(n, m)
{
	x = BRANCHES - 1;
	do
	:: !HAS(line[branch[n]] & line[branch[m]], x) -> x--
	:: else -> break
	od;
	find_end(n, x);
	y = e;
	find_end(m, x);
	y = (e < y -> e : y)
}

/* ok: all that n has is in m */
inline is_prefix(n, m)
{
	find_fork(n, m);
	ok = (x == branch[n] && y == upto[n])
}

/* ok: n has the acknowledged commit */
inline has_acked(n)
{
	ok = true;
	if
	:: acked != 0 ->
		ok = HAS(line[branch[n]], acked_on);
		find_end(n, acked_on);
		ok = ok && e >= acked
	:: else
	fi
}

/* Was it primary on a timeline that is another's? */
#define IS_OURS(n, tli)	(owned[tli] == 0 || owned[tli] == n + 1)
#define USURPED(n)		(wrote[n] != 0 && !IS_OURS(n, wrote[n]))

/* ok: is n on the recorded history, as far as ids and places can tell? */
#define ID(n)	id[branch[n]]

inline seems_on_history(n)
{
	ok = owned[ID(n)] != 0 && upto[n] <= until[ID(n)] &&
		(ID(n) != newest || from[branch[n]] == began)
}

/*
 * a, b: timeline and place that n votes for, in the terms of the record; 0 if none.
 * What is on no record has acknowledged nothing, so only what it began from counts.
 */
inline find_position(n)
{
	a = 0;
	b = 0;
	x = branch[n];
	do
	:: HAS(line[branch[n]], x) && owned[id[x]] != 0 ->
		find_end(n, x);
		if
		:: e <= until[id[x]] -> a = id[x]; b = e
		:: else
		fi;
		break
	:: else ->
		if
		:: x == 0 -> break
		:: else -> x--
		fi
	od;
#ifndef STAND_ANY
	if
	:: USURPED(n) -> a = 0; b = 0
	:: else
	fi
#endif
}

/* The next id that is unused in the history of n. */
#define NEXT(n)		(ID(n) + 1)

/* If n lacks the commit, no voter may have it; then it is known to be lost. */
inline check_acked(n)
{
	has_acked(n);
	if
	:: !ok ->
		t = 0;
		do
		:: t < SERVERS ->
			has_acked(t);
			find_position(t);
			assert(!(ok && role[t] == standby && a != 0));
			t++
		:: else -> break
		od;
		acked = 0;
		acked_on = 0
	:: else
	fi
}

inline take_key(n)
{
	check_acked(n);
#ifdef REACH_INTENT
	assert(!intent || wrote[owner - 1] != reserved || owner == n + 1);
#endif
#ifdef REACH_THIRD
	assert(newest < 3);
#endif
	holder = n + 1;
	owner = n + 1;
#ifdef REUSE_RESERVED
	reserved = (newest > ID(n) -> newest : ID(n)) + 1;
#else
	reserved = (reserved > ID(n) -> reserved : ID(n)) + 1;
#endif
	intent = true;
	given[n] = reserved;
	role[n] = chosen
}

/* The best of all that are there takes the key and reserves an id. */
inline elect(n)
{
	holder == 0 && role[n] == standby && branches < BRANCHES && reserved < BRANCHES + 1 ->
		find_position(n);
		t = a * 16 + b;
		ok = (t != 0);
		y = 0;
		do
		:: y < SERVERS ->
			if
			:: role[y] == standby ->
				find_position(y);
				ok = ok && a * 16 + b <= t
			:: else
			fi;
			y++
		:: else -> break
		od;
		if
		:: ok -> take_key(n)
		:: else
		fi;
		forget()
}

/* Whatever has become of the key meanwhile. */
inline promote(n, tli)
{
	id[branches] = tli;
	from[branches] = upto[n];
	line[branches] = line[branch[n]] | BIT(branches);
	branch[n] = branches;
	upto[n]++;
	wrote[n] = id[branches];
	branches++
}

inline promote_chosen(n)
{
	role[n] == chosen && branches < BRANCHES ->
#ifdef LOCAL_TLI
		promote(n, NEXT(n));
#else
		promote(n, given[n]);
#endif
		given[n] = 0;
		role[n] = promoted
}

inline promote_by_hand(n)
{
	role[n] == standby && !by_hand && branches < BRANCHES ->
		by_hand = true;
		promote(n, NEXT(n))
}

/* What n descends from, and who owned that as far as the record knew. */
inline confirm(n)
{
	role[n] == promoted && holder == n + 1 ->
		intent = false;
		newest = ID(n);
		began = from[branch[n]];
		reserved = (reserved > ID(n) -> reserved : ID(n));
		x = 0;
		b = 0;
		do
		:: x < branches ->
			if
			:: HAS(line[branch[n]], x) ->
				find_end(n, x);
				b = b | BIT(id[x]);
				until[id[x]] = (x == branch[n] -> FOR_EVER : e);
				owned[id[x]] = (x == branch[n] -> n + 1 :
								(owned[id[x]] == 0 -> NOT_KNOWN : owned[id[x]]))
			:: else
			fi;
			x++
		:: else -> break
		od;
		x = 1;
		do
		:: x < IDS ->
			if
			:: !HAS(b, x) -> owned[x] = 0; until[x] = 0
			:: else
			fi;
			x++
		:: else -> break
		od;
		role[n] = leads;
		forget()
}

inline lose_key()
{
	holder != 0 -> holder = 0
}

/* Nobody else has had it since: it goes on where it was. */
inline resume(n)
{
	holder == 0 && owner == n + 1 && (role[n] == promoted || role[n] == leads) ->
		holder = n + 1
}

inline stand_back(n)
{
	role[n] != down && role[n] != standby &&
		(owner != n + 1 || (role[n] == chosen && holder != n + 1)) ->
		role[n] = standby;
		given[n] = 0
}

inline crash(n)
{
	role[n] != down && crashes < CRASHES ->
		crashes++;
		role[n] = down;
		given[n] = 0
}

inline restart(n)
{
	role[n] == down -> role[n] = standby
}

#ifdef GATE_BEFORE_CONFIRM
#define GATE(n)	(holder == n + 1 && (role[n] == leads || role[n] == promoted))
#else
#define GATE(n)	(holder == n + 1 && role[n] == leads)
#endif

inline write(n)
{
	GATE(n) && writes < WRITES ->
		writes++;
		upto[n]++;
		if
		:: acked_on = branch[n]; acked = upto[n]
		:: true
		fi
}

/* t: from where pg_rewind, which compares ids and where they began, copies */
inline find_point(n, m)
{
	a = 0;
	b = 0;
	do
	:: id[a] == id[b] && from[a] == from[b] ->
		find_end(n, a);
		t = e;
		find_end(m, b);
		t = (e < t -> e : t);
		do
		:: a < BRANCHES ->
			a++;
			if
			:: a == BRANCHES || HAS(line[branch[n]], a) -> break
			:: else
			fi
		:: else -> break
		od;
		do
		:: b < BRANCHES ->
			b++;
			if
			:: b == BRANCHES || HAS(line[branch[m]], b) -> break
			:: else
			fi
		:: else -> break
		od;
		if
		:: a == BRANCHES || b == BRANCHES -> break
		:: else
		fi
	:: else -> break
	od
}

inline become_like(n, m)
{
	branch[n] = branch[m];
	upto[n] = upto[m];
	wrote[n] = 0
}

/* n finds the leader m; on one id pg_rewind finds nothing to do. */
inline rejoin(n, m)
{
	role[n] == standby && role[m] == leads && holder == m + 1 && !intent &&
		(branch[n] != branch[m] || upto[n] != upto[m] || wrote[n] != 0) ->
		seems_on_history(n);
#ifndef FOLLOW_ANY
		ok = ok && !USURPED(n);
#endif
		if
		:: ok ->
			is_prefix(n, m);
			assert(ok)
#ifdef REWIND_ANY
		:: !ok ->
#else
		:: !ok && !USURPED(n) ->
#endif
#ifdef REACH_REWOUND
			assert(false);
#endif
			if
			:: ID(n) == ID(m) ->
				is_prefix(n, m);
				assert(ok)
			:: else ->
				find_point(n, m);
				find_fork(n, m);
				assert(t <= y)
			fi
		:: else ->
#ifdef REACH_REBUILT
			assert(false);
#endif
			skip
		fi;
		become_like(n, m);
		forget()
}

init
{
	atomic {
		id[0] = 1;
		line[0] = 1;
		owned[1] = 1;
		until[1] = FOR_EVER;
		role[0] = leads;
		role[1] = standby;
		role[2] = standby;
		wrote[0] = 1;
		upto[0] = 1;
		upto[1] = 1;
		upto[2] = 1
	}
end:
	do
	:: lose_key()
	:: d_step { elect(0) }
	:: d_step { elect(1) }
	:: d_step { elect(2) }
	:: d_step { promote_chosen(0) }
	:: d_step { promote_chosen(1) }
	:: d_step { promote_chosen(2) }
	:: d_step { promote_by_hand(0) }
	:: d_step { promote_by_hand(1) }
	:: d_step { promote_by_hand(2) }
	:: d_step { confirm(0) }
	:: d_step { confirm(1) }
	:: d_step { confirm(2) }
	:: resume(0)
	:: resume(1)
	:: resume(2)
	:: d_step { stand_back(0) }
	:: d_step { stand_back(1) }
	:: d_step { stand_back(2) }
	:: d_step { crash(0) }
	:: d_step { crash(1) }
	:: d_step { crash(2) }
	:: restart(0)
	:: restart(1)
	:: restart(2)
	:: atomic { write(0) }
	:: atomic { write(1) }
	:: atomic { write(2) }
	:: d_step { rejoin(0, 1) }
	:: d_step { rejoin(0, 2) }
	:: d_step { rejoin(1, 0) }
	:: d_step { rejoin(1, 2) }
	:: d_step { rejoin(2, 0) }
	:: d_step { rejoin(2, 1) }
	od
}
