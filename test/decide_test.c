/*-------------------------------------------------------------------------
 *
 * decide_test.c
 *	  Rules of decide.c and election.c as a table: what is known, and what follows.
 *
 * Prints TAP.  sql/decide.sql has the rules that have to do with members of pg_ha only,
 * and asks a server; here are those beside members of Patroni (S-11), and others that
 * take much to be told.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "../decide.h"
#include "../problem_json.h"
#include "tap.h"

typedef struct Row
{
	const char *name;
	const char *config;			/* parts of a problem, as JSON */
	const char *view;
	const char *local;
	HaVerb		verb;
	const char *why;			/* a piece of the reason */
	const char *more;			/* a piece of the plan as JSON; NULL = any */
} Row;

/*
 * The parts.  Member n1 of a cluster whose term 5 was led by n2 on timeline 2, which
 * forked off at 1000, and came to 2000.  It is 100000 o'clock.
 */
#define TERM \
	"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\"," \
	"\"timeline\":2,\"begin_lsn\":1000,\"timeline_owner\":\"n2\",\"reserved\":2," \
	"\"lineage\":[{\"timeline\":1,\"end_lsn\":1000,\"owner\":\"n1\"}]}"
#define HEARTBEAT(more) \
	",\"heartbeat\":{\"present\":true,\"mod_revision\":45,\"name\":\"n2\",\"term\":5," \
	"\"ttl\":10000,\"lsn\":2000" more "}"
#define RELEASED(lsn)	HEARTBEAT(",\"released\":true,\"released_lsn\":" lsn)
#define STANDBY \
	"\"role\":\"standby\",\"timeline\":2,\"flush_lsn\":2000,\"replay_lsn\":2000"
#define DETACHED_AT(when)	STANDBY ",\"detached\":true,\"key_gone_since\":" when
#define DETACHED		DETACHED_AT("90000")
#define VOTED \
	",\"votes\":[{\"name\":\"n1\",\"mod_revision\":46,\"term\":5,\"term_revision\":40," \
	"\"timeline\":2,\"lsn\":2000}]"
#define MEMBERS(list)	",\"members\":[" list "]"
#define OURS(name) \
	"{\"name\":\"" name "\",\"lease\":3,\"host\":\"h\",\"port\":5432,\"state\":\"running\"," \
	"\"role\":\"standby\",\"version\":\"1.0\",\"lsn\":2000,\"timeline\":2}"

/* ... and p1 is a member of Patroni; it led term 6 on timeline 3, from 2000 on. */
#define PATRONI(name, role, timeline) \
	"{\"name\":\"" name "\",\"lease\":3,\"host\":\"h\",\"port\":5432,\"state\":\"running\"," \
	"\"role\":\"" role "\",\"patroni\":\"4.1.5\",\"lsn\":2000,\"timeline\":" timeline "}"
#define FOREIGN_TERM \
	"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"p1\"," \
	"\"foreign\":true,\"timeline\":3,\"begin_lsn\":2000,\"timeline_owner\":\"p1\",\"reserved\":3," \
	"\"lineage\":[{\"timeline\":1,\"end_lsn\":1000,\"owner\":\"n1\"}," \
	"{\"timeline\":2,\"end_lsn\":2000,\"owner\":\"n2\"}]}"
#define LED_BY_P1(role, timeline) \
	",\"leader\":{\"present\":true,\"name\":\"p1\",\"create_revision\":50,\"mod_revision\":50," \
	"\"lease\":3}" MEMBERS(PATRONI("p1", role, timeline)) HEARTBEAT("")
#define HISTORY \
	",\"history_known\":true,\"history_revision\":55,\"history\":[" \
	"{\"timeline\":1,\"end_lsn\":1000},{\"timeline\":2,\"end_lsn\":2000,\"owner\":\"p1\"}]"
#define GIVEN_UP \
	"\"role\":\"primary\",\"timeline\":2,\"flush_lsn\":2000,\"frozen_lsn\":2000," \
	"\"frozen_since\":97000,\"handed_over_at\":97500,\"patroni_seen\":true"
#define NO_BOOT			",\"has_boot\":false"
#define MIXED			",\"patroni_seen\":true"
#define ASKED(name, at, more) \
	",\"peers\":[{\"name\":\"" name "\",\"asked_at\":" at ",\"answered\":true," \
	"\"timeline\":2" more "}]"
#define SYNC(list)	",\"sync\":{\"present\":true,\"leader\":\"n2\",\"standbys\":[" list "]}"
#define QUORUM_OF_TWO \
	",\"sync\":{\"present\":true,\"leader\":\"n2\",\"quorum\":1,\"standbys\":[\"n1\",\"p1\"]}"
#define WISH(leader, candidate) \
	",\"failover\":{\"present\":true,\"mod_revision\":50,\"leader\":\"" leader "\"," \
	"\"candidate\":\"" candidate "\"}"

static const Row rows[] = {
	/* a release that tells of more than anybody has */
	{"its leader may come back with the rest", "\"primary_start_timeout\":300000",
		TERM RELEASED("3000") MEMBERS(OURS("n2")) VOTED, DETACHED_AT("99000"),
	HA_WAIT, "former leader's deadline"},
	{"... but is not waited for where it is not to start", "\"primary_start_timeout\":0",
		TERM RELEASED("3000") VOTED MEMBERS(OURS("n1")), DETACHED_AT("99000"),
	HA_ACQUIRE, "best candidate"},

	/* a reign of Patroni's */
	{"who does not lead yet is not followed", "", TERM LED_BY_P1("standby", "2"),
	STANDBY, HA_WAIT, "does not tell"},
	{"... nor whoever led before", "", TERM LED_BY_P1("standby", "2"),
	STANDBY ",\"follows\":\"n2\"", HA_DETACH, "does not tell"},
	{"a reign is recorded", "", TERM LED_BY_P1("primary", "3") HISTORY, STANDBY,
	HA_TESTIFY, "on record from now on: p1"},
	{"... also by who starts", "", TERM LED_BY_P1("primary", "3") HISTORY,
	"\"role\":\"starting\",\"timeline\":2", HA_TESTIFY, "p1"},
	{"... and then followed", "", FOREIGN_TERM LED_BY_P1("primary", "3") HISTORY,
	STANDBY, HA_FOLLOW, "leader is p1", "\"follow\":\"p1\""},
	{"... but not with WAL that it lacks (S-16)", "",
		FOREIGN_TERM LED_BY_P1("primary", "3") HISTORY,
		"\"role\":\"standby\",\"timeline\":2,\"flush_lsn\":2100,\"replay_lsn\":2100",
	HA_REWIND, "diverged"},
	{"a leader of ours makes way", "", TERM LED_BY_P1("primary", "3"),
	"\"role\":\"primary\",\"timeline\":2,\"holding\":true,\"deadline\":200000", HA_DEMOTE, "leader is p1"},
	{"... whose record it has become", "", FOREIGN_TERM,
	"\"role\":\"primary\",\"timeline\":2", HA_DEMOTE, "it is of p1"},
	{"a reign of Patroni's is nobody's to go on with", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n1\","
		"\"foreign\":true,\"timeline\":2}",
	"\"role\":\"primary\",\"timeline\":2", HA_DEMOTE, "the last term is not ours"},
	{"... nor a promotion, if one may have been between", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n1\","
		"\"intent\":true,\"timeline\":2,\"reserved\":3}",
	"\"role\":\"primary\",\"timeline\":3,\"led_since\":true", HA_DEMOTE, "may have led"},
	{"... although nobody saw it, as what it left shows", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n1\","
		"\"intent\":true,\"timeline\":2,\"reserved\":3}"
		",\"sync\":{\"present\":true,\"mod_revision\":66,\"leader\":\"p1\"}",
	"\"role\":\"primary\",\"timeline\":3", HA_DEMOTE, "may have led"},
	{"... or Patroni is there", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n1\","
		"\"intent\":true,\"timeline\":2,\"reserved\":3}" MEMBERS(PATRONI("p1", "standby", "2")),
	"\"role\":\"primary\",\"timeline\":3", HA_DEMOTE, "may have led"},
	{"... and a record that was lost is no leave to go on after another", "",
		"\"sync\":{\"present\":true,\"mod_revision\":50,\"leader\":\"p1\"}",
	"\"role\":\"primary\",\"timeline\":3", HA_DEMOTE, "may have led"},
	{"a leader whose store forgot everything goes on", "", "\"nmalformed\":0",
	"\"role\":\"primary\",\"timeline\":3" MIXED, HA_ACQUIRE, "first leader"},
	{"... but goes on if there is nothing", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n1\","
		"\"intent\":true,\"timeline\":2,\"reserved\":3}"
		",\"sync\":{\"present\":true,\"mod_revision\":50,\"leader\":\"n2\"}",
	"\"role\":\"primary\",\"timeline\":3", HA_ACQUIRE, "promoted when", "\"reserve\":3"},
	{"a reign that is over is recorded before a vote", "", TERM HISTORY, STANDBY,
	HA_TESTIFY, "/history tells"},
	{"... but not if /history is older than the record", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n2\",\"timeline\":2}" HISTORY,
	STANDBY, HA_DETACH, "no leader"},
	{"... also after a promotion of ours that came to nothing", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"intent\":true,\"timeline\":2,\"reserved\":31}" HISTORY,
	STANDBY, HA_TESTIFY, "/history tells"},
	{"... unless it has the id of that one", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"intent\":true,\"timeline\":2,\"reserved\":3}" HISTORY,
	STANDBY, HA_DETACH, "no leader"},
	{"... whose WAL then counts for nobody", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"intent\":true,\"timeline\":2,\"reserved\":3}" HISTORY,
		"\"role\":\"standby\",\"timeline\":3,\"flush_lsn\":2500,\"replay_lsn\":2500,\"detached\":true,\"key_gone_since\":90000,"
		"\"ancestors\":[{\"timeline\":1,\"end_lsn\":1000},{\"timeline\":2,\"end_lsn\":2000}]",
	HA_WAIT, "nobody has recorded who led"},
	{"... nor while nothing tells who promoted it", "", TERM HEARTBEAT("") ",\"status_revision\":48",
		"\"role\":\"standby\",\"timeline\":3,\"flush_lsn\":2500,\"replay_lsn\":2500,\"detached\":true,\"key_gone_since\":90000,"
		"\"ancestors\":[{\"timeline\":1,\"end_lsn\":1000},{\"timeline\":2,\"end_lsn\":2000}]",
	HA_WAIT, "nobody has recorded who led"},
	{"... but without traces it was in vain", "", TERM HEARTBEAT(""),
		"\"role\":\"standby\",\"timeline\":3,\"flush_lsn\":2500,\"replay_lsn\":2500,\"detached\":true,\"key_gone_since\":90000,"
		"\"ancestors\":[{\"timeline\":1,\"end_lsn\":1000},{\"timeline\":2,\"end_lsn\":2000}]",
	HA_VOTE, "gone"},

	/* a vote that may still land */
	{"a vote under way is taken back before a leader is followed", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n2\",\"timeline\":2,\"timeline_owner\":\"n2\"}"
		",\"leader\":{\"present\":true,\"name\":\"n2\",\"create_revision\":55,\"mod_revision\":55,\"lease\":8}" MEMBERS(OURS("n2")),
	STANDBY ",\"vote_unknown\":true", HA_WITHDRAW, "follows again"},
	{"... also by a server that is starting", "",
		"\"term\":{\"present\":true,\"mod_revision\":60,\"term\":6,\"owner\":\"n2\",\"timeline\":2,\"timeline_owner\":\"n2\"}"
		",\"leader\":{\"present\":true,\"name\":\"n2\",\"create_revision\":55,\"mod_revision\":55,\"lease\":8}" MEMBERS(OURS("n2")),
	"\"role\":\"starting\",\"timeline\":2,\"flush_lsn\":2000,\"replay_lsn\":1500,\"vote_unknown\":true", HA_WITHDRAW, "follows again"},

	/* what an older cluster has left in the store */
	{"a new cluster is not one of its members", "",
		"\"initialize_revision\":9,\"sync\":{\"present\":true,\"mod_revision\":5,\"leader\":\"x1\",\"standbys\":[\"x2\"]}"
		",\"history_known\":true,\"history_revision\":6,\"history\":[{\"timeline\":7,\"end_lsn\":1000,\"owner\":\"x1\"}]",
	"\"role\":\"primary\",\"timeline\":1", HA_ACQUIRE, "first leader"},
	{"... but who was promoted may have been one of them", "",
		"\"initialize_revision\":9,\"sync\":{\"present\":true,\"mod_revision\":5,\"leader\":\"x1\",\"standbys\":[\"x2\"]}",
	"\"role\":\"primary\",\"timeline\":2", HA_DEMOTE, "may have led"},
	{"... what is newer is of this one", "",
		"\"initialize_revision\":4,\"sync\":{\"present\":true,\"mod_revision\":5,\"leader\":\"x1\",\"standbys\":[\"x2\"]}",
	"\"role\":\"primary\",\"timeline\":1", HA_DEMOTE, "may have led"},
	{"... so is a line of /history", "",
		"\"initialize_revision\":4,\"history_known\":true,\"history_revision\":6,\"history\":[{\"timeline\":7,\"end_lsn\":1000,\"owner\":\"x1\"}]",
	"\"role\":\"primary\",\"timeline\":1", HA_DEMOTE, "may have led"},

	/* two timelines of one id */
	{"a promotion of ours is not taken for one of Patroni's", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"timeline\":4,"
		"\"begin_lsn\":1000,\"timeline_owner\":\"n2\",\"reserved\":4,\"lineage\":[{\"timeline\":3,\"end_lsn\":1000}]}"
		LED_BY_P1("primary", "4") ",\"history_known\":true,\"history_revision\":41,"
		"\"history\":[{\"timeline\":3,\"end_lsn\":1000,\"owner\":\"n2\"}]",
	STANDBY, HA_WAIT, "does not tell"},
	{"... nor one that may have been made in vain", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n1\",\"intent\":true,"
		"\"timeline\":2,\"begin_lsn\":1000,\"reserved\":3,\"lineage\":[{\"timeline\":1,\"end_lsn\":1000}]}"
		LED_BY_P1("primary", "3") HISTORY,
	STANDBY, HA_WAIT, "does not tell"},
	{"... nor is its line in /history", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"timeline\":12,"
		"\"begin_lsn\":1000,\"timeline_owner\":\"n2\",\"reserved\":12,\"lineage\":[{\"timeline\":3,\"end_lsn\":1000}]}"
		LED_BY_P1("primary", "4") ",\"history_known\":true,\"history_revision\":41,"
		"\"history\":[{\"timeline\":3,\"end_lsn\":1000,\"owner\":\"n2\"}]",
	STANDBY, HA_WAIT, "does not tell"},
	{"... but ids that were left to Patroni are its own", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":15,\"owner\":\"p2\",\"foreign\":true,\"timeline\":10,"
		"\"begin_lsn\":1000,\"timeline_owner\":\"p2\",\"reserved\":11,\"left\":true,\"lineage\":[{\"timeline\":9,\"end_lsn\":1000,\"owner\":\"p1\"}]}"
		LED_BY_P1("primary", "11") ",\"history_known\":true,\"history_revision\":55,"
		"\"history\":[{\"timeline\":9,\"end_lsn\":1000,\"owner\":\"p2\"},{\"timeline\":10,\"end_lsn\":2000,\"owner\":\"p1\"}]",
	STANDBY, HA_TESTIFY, "record"},
	{"a leader of ours is not put on record as Patroni's of that name", "", TERM HEARTBEAT("")
		",\"leader\":{\"present\":true,\"name\":\"n2\",\"create_revision\":40,\"mod_revision\":50,\"lease\":8}"
		MEMBERS(PATRONI("n2", "primary", "2")),
	STANDBY, HA_FOLLOW, "leader is n2"},

	/* what our own left, with Patroni's members there */
	{"who holds all of a closed reign leads, on a timeline of its own", "",
	TERM RELEASED("2000"), STANDBY MIXED, HA_ACQUIRE, "handed over", "\"reserve\":11"},
	{"... unless Patroni has led since", "", TERM RELEASED("2000"),
	STANDBY MIXED ",\"led_since\":true", HA_DETACH, "no leader"},
	{"... or may have", "", TERM RELEASED("2000") ",\"status_revision\":48",
	STANDBY MIXED, HA_DETACH, "no leader"},
	{"... which /status alone tells", "", TERM RELEASED("2000") ",\"status_revision\":48",
	STANDBY, HA_DETACH, "no leader"},
	{"without them no id is left out", "", TERM RELEASED("2000") ",\"status_revision\":45",
	STANDBY, HA_ACQUIRE, "handed over", "\"reserve\":3"},

	/* E1 */
	{"a deadline of ours is waited for", "", TERM HEARTBEAT("") VOTED,
	DETACHED MIXED ",\"heartbeat_seen_at\":99000", HA_WAIT, "deadline"},
	{"... before anybody is asked", "", TERM HEARTBEAT("") VOTED,
	DETACHED ",\"heartbeat_seen_at\":99000,\"peers\":[{\"name\":\"p1\"}]", HA_WAIT, "deadline", "\"wake_at\":109000,\"counted"},
	{"... also under Patroni's reign after it", "", FOREIGN_TERM HEARTBEAT("")
		",\"votes\":[{\"name\":\"n1\",\"mod_revision\":61,\"term\":6,\"term_revision\":60,\"timeline\":2,\"lsn\":2000}]",
	DETACHED MIXED ",\"heartbeat_seen_at\":99000", HA_WAIT, "deadline"},
	{"... unless it was released", "", FOREIGN_TERM RELEASED("2000")
		",\"votes\":[{\"name\":\"n1\",\"mod_revision\":61,\"term\":6,\"term_revision\":60,\"timeline\":2,\"lsn\":2000}]",
	DETACHED MIXED ",\"heartbeat_seen_at\":99000", HA_ACQUIRE, "best candidate"},

	/* an election beside them */
	{"they give no votes, but are asked", "", TERM HEARTBEAT("") VOTED MEMBERS(PATRONI("p1", "standby", "2")),
	DETACHED_AT("99990") ",\"peers\":[{\"name\":\"p1\"}]", HA_WAIT, "asks", "\"ask\":true"},
	{"... after the key was gone", "", TERM HEARTBEAT("") VOTED,
	DETACHED_AT("99500") ASKED("p1", "99400", ",\"lsn\":9"), HA_WAIT, "asks", "\"ask\":true"},
	{"... and not long ago", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "97000", ",\"lsn\":9"), HA_WAIT, "asks", "\"ask\":true"},
	{"one that has less lets us", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":1999"), HA_ACQUIRE, "best"},
	{"... or as much", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2000"), HA_ACQUIRE, "best"},
	{"... or does not answer", "", TERM HEARTBEAT("") VOTED,
	DETACHED ",\"peers\":[{\"name\":\"p1\",\"asked_at\":99000,\"primary\":true,\"lsn\":9000}]", HA_ACQUIRE, "best"},
	{"one that has more goes first", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_WAIT, "Patroni's: p1", "\"wake_at\":102000"},
	{"... which hears that we have less", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_WAIT, "Patroni's: p1", "\"leaves_to\":2001"},
	{"... or is on a newer timeline, if that may have been led", "",
		TERM HEARTBEAT("") VOTED ",\"status_revision\":48",
		DETACHED ",\"peers\":[{\"name\":\"p1\",\"asked_at\":99000,\"answered\":true,\"timeline\":3,\"lsn\":9}]",
	HA_WAIT, "Patroni's: p1"},
	{"... but not by WAL that is not the cluster's", "", TERM HEARTBEAT("") VOTED,
		DETACHED ",\"peers\":[{\"name\":\"p1\",\"asked_at\":99000,\"answered\":true,\"timeline\":3,\"lsn\":9000}]",
	HA_ACQUIRE, "best"},
	{"... nor by what is beyond an end on record", "", TERM HEARTBEAT("") VOTED,
		DETACHED ",\"peers\":[{\"name\":\"p1\",\"asked_at\":99000,\"answered\":true,\"timeline\":1,\"lsn\":9000}]",
	HA_ACQUIRE, "best"},
	{"... or is preferred", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2000,\"failover_priority\":2"), HA_WAIT, "Patroni's: p1"},
	{"... but not if it may not lead", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001,\"nofailover\":true"), HA_ACQUIRE, "best"},
	{"... or we are whom an operator wants", "", TERM HEARTBEAT("") VOTED WISH("", "n1"),
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_ACQUIRE, "best"},
	{"... who has not agreed to lose anything by a switchover", "", TERM HEARTBEAT("") VOTED WISH("p1", "n1"),
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_WAIT, "Patroni's: p1", "\"aside\":true"},
	{"one that failsafe mode keeps from leading goes not first", "\"failsafe_mode\":true",
		TERM HEARTBEAT("") VOTED ",\"failsafe\":{\"present\":true,\"mod_revision\":44,\"members\":[\"n1\",\"n2\"]}",
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_ACQUIRE, "best"},
	{"what was said before another reign does not count", "", TERM RELEASED("0") VOTED QUORUM_OF_TWO,
	DETACHED_AT("98000") ",\"heartbeat_seen_at\":99900" ASKED("p1", "98500", ",\"lsn\":1000"), HA_WAIT, "too few", "\"ask\":true"},
	{"nobody leads beside a primary", "", TERM HEARTBEAT("") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":9,\"primary\":true"), HA_WAIT, "is a primary still: p1"},
	{"... whoever wants it", "", TERM HEARTBEAT("") VOTED WISH("", "n1"),
	DETACHED ASKED("p1", "99000", ",\"lsn\":9,\"primary\":true,\"nofailover\":true"), HA_WAIT, "is a primary still: p1"},
	{"... nor who holds all of a closed reign", "", TERM RELEASED("2000") VOTED,
	DETACHED ASKED("p1", "99000", ",\"lsn\":9,\"primary\":true"), HA_WAIT, "is a primary still: p1"},
	{"... which asks before", "", TERM RELEASED("2000"),
	STANDBY MIXED ",\"key_gone_since\":99990,\"peers\":[{\"name\":\"p1\"}]", HA_WAIT, "asks", "\"ask\":true"},

	/* ... with synchronous replication */
	{"who is not in /sync goes not first", "", TERM HEARTBEAT("") VOTED SYNC("\"n1\""),
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_ACQUIRE, "best"},
	{"... who is, does", "", TERM HEARTBEAT("") VOTED SYNC("\"n1\",\"p1\""),
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_WAIT, "Patroni's: p1"},
	{"... but for who led", "", TERM HEARTBEAT("") VOTED
		",\"sync\":{\"present\":true,\"leader\":\"p1\",\"standbys\":[\"n1\"]}",
	DETACHED ASKED("p1", "99000", ",\"lsn\":2001"), HA_ACQUIRE, "best"},
	{"for a quorum they must be asked", "", TERM HEARTBEAT("") VOTED QUORUM_OF_TWO,
	DETACHED ",\"peers\":[{\"name\":\"p1\"}]", HA_WAIT, "too few", "\"ask\":true"},
	{"... one that has no more counts", "", TERM HEARTBEAT("") VOTED QUORUM_OF_TWO,
	DETACHED ASKED("p1", "99000", ",\"lsn\":2000"), HA_ACQUIRE, "best"},
	{"... one without a position does not", "", TERM HEARTBEAT("") VOTED QUORUM_OF_TWO,
	DETACHED ASKED("p1", "99000", ",\"lsn\":0"), HA_WAIT, "too few"},
	{"... nor one that is elsewhere", "", TERM HEARTBEAT("") VOTED QUORUM_OF_TWO,
		DETACHED ",\"peers\":[{\"name\":\"p1\",\"asked_at\":99000,\"answered\":true,\"timeline\":1,\"lsn\":1500}]",
	HA_WAIT, "too few"},

	{"... nor one that has voted before it went to Patroni", "",
		TERM HEARTBEAT("") ",\"sync\":{\"present\":true,\"mod_revision\":41,\"leader\":\"n2\",\"quorum\":2,\"standbys\":[\"n1\",\"p1\",\"p2\"]}"
		",\"votes\":[{\"name\":\"n1\",\"mod_revision\":46,\"term\":5,\"term_revision\":40,\"timeline\":2,\"lsn\":2000},"
		"{\"name\":\"p1\",\"mod_revision\":47,\"term\":5,\"term_revision\":40,\"timeline\":2,\"lsn\":2000}]",
	DETACHED ASKED("p1", "99500", ",\"lsn\":2000"), HA_WAIT, "too few"},

	{"who is not to lead votes all the same, where it is counted", "", TERM HEARTBEAT("") QUORUM_OF_TWO,
	DETACHED MIXED ",\"nofailover\":true", HA_VOTE, "gone"},
	{"... and no more", "", TERM HEARTBEAT("") VOTED QUORUM_OF_TWO,
	DETACHED MIXED ",\"nofailover\":true", HA_WAIT, "has voted"},
	{"... elsewhere it does not", "", TERM HEARTBEAT("") SYNC("\"n1\""),
	DETACHED MIXED ",\"nofailover\":true", HA_WAIT, "tagged nofailover"},
	{"... nor among members of ours", "", TERM HEARTBEAT("") QUORUM_OF_TWO,
	DETACHED ",\"nofailover\":true", HA_WAIT, "tagged nofailover"},
	{"nobody waits for such a vote to lead", "", TERM HEARTBEAT("")
		",\"sync\":{\"present\":true,\"leader\":\"n2\",\"quorum\":1,\"standbys\":[\"n1\",\"n3\"]}"
		MEMBERS("{\"name\":\"n3\",\"lease\":3,\"state\":\"running\",\"role\":\"standby\",\"nofailover\":true}")
		",\"votes\":[{\"name\":\"n1\",\"mod_revision\":46,\"term\":5,\"term_revision\":40,\"timeline\":2,\"lsn\":2000},"
		"{\"name\":\"n3\",\"mod_revision\":47,\"term\":5,\"term_revision\":40,\"timeline\":2,\"lsn\":2000,\"priority\":9}]",
	DETACHED_AT("99900"), HA_ACQUIRE, "best"},
	{"what we have is hidden from nobody who counts it", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n2\",\"timeline\":2}"
	QUORUM_OF_TWO ",\"optime\":99999999", DETACHED, HA_VOTE, ""},
	{"... but from others", "", TERM HEARTBEAT("") SYNC("\"p1\""),
	DETACHED, HA_WAIT, "no synchronous standby", "\"aside\":true"},
	{"who can't be read in /sync may not be elected", "",
		TERM HEARTBEAT("") ",\"sync\":{\"present\":true,\"mod_revision\":44}",
	DETACHED, HA_WAIT, "/sync cannot be read"},

	/* ... with a wish */
	{"whom an operator wants may be Patroni's", "\"ttl\":30000",
		TERM HEARTBEAT("") VOTED WISH("n2", "p1"),
	DETACHED ASKED("p1", "99000", ",\"lsn\":2000"), HA_WAIT, "operator's candidate is p1"},
	{"... but nobody agreed to lose what we have", "\"ttl\":30000",
		TERM HEARTBEAT("") VOTED WISH("n2", "p1"),
	DETACHED ASKED("p1", "99000", ",\"lsn\":1999"), HA_ACQUIRE, "best"},

	/* a hand-over to one of them, which puts no record */
	{"what was handed over is left alone for a while", "\"ttl\":3000",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		WISH("n1", "p1") MEMBERS(PATRONI("p1", "standby", "2")),
	GIVEN_UP, HA_WAIT, "over to p1", "\"wake_at\":102500"},
	{"... longer than to one of ours", "\"ttl\":3000",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		WISH("n1", "n3") MEMBERS(OURS("n3")),
	GIVEN_UP, HA_ACQUIRE, "led last"},
	{"... and waited for", "", "\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,"
		"\"owner\":\"n1\",\"timeline\":2}" LED_BY_P1("primary", "2"),
	GIVEN_UP, HA_WAIT, "promotion of p1"},
	{"... until it leads", "", "\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,"
		"\"owner\":\"n1\",\"timeline\":2}" LED_BY_P1("primary", "3"),
	GIVEN_UP, HA_YIELD, "member p1"},

	/* an old one, and one on top of us */
	{"nobody leads beside one that is too old", "", TERM HEARTBEAT("") VOTED
		MEMBERS("{\"name\":\"p1\",\"lease\":3,\"patroni\":\"3.0.2\",\"role\":\"standby\",\"state\":\"running\"}"),
	DETACHED, HA_WAIT, "too old"},
	{"... but who leads goes on, and says so", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		",\"leader\":{\"present\":true,\"name\":\"n1\",\"mod_revision\":40,\"lease\":8}"
		MEMBERS("{\"name\":\"p1\",\"lease\":3,\"patroni\":\"3.0.2\",\"role\":\"standby\",\"state\":\"running\"}"),
		"\"role\":\"primary\",\"timeline\":2,\"lease_id\":8,\"holding\":true,\"reign_checked\":true,\"deadline\":200000",
	HA_RENEW, "too old for that: p1", "\"lead\":true"},
	{"... and one that has stopped is in nobody's way", "", TERM HEARTBEAT("") VOTED
		MEMBERS("{\"name\":\"p1\",\"lease\":3,\"patroni\":\"3.0.2\",\"role\":\"standby\",\"state\":\"stopped\"}"),
	DETACHED, HA_ACQUIRE, "best"},
	{"who is run by Patroni does nothing", "", TERM HEARTBEAT("") VOTED
		MEMBERS(PATRONI("n1", "standby", "2")), DETACHED NO_BOOT, HA_WAIT,
	"Patroni runs this server", "\"looks_only\":true"},
	{"... and does not lead", "", TERM HEARTBEAT("") VOTED
		",\"leader\":{\"present\":true,\"name\":\"n1\",\"mod_revision\":40,\"lease\":3}"
		MEMBERS(PATRONI("n1", "primary", "2")),
		"\"role\":\"primary\",\"timeline\":2" NO_BOOT,
	HA_WAIT, "Patroni runs this server"},
	{"... but a Patroni of our name that is elsewhere ends no reign", "",
		"\"term\":{\"present\":true,\"mod_revision\":40,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		",\"leader\":{\"present\":true,\"name\":\"n1\",\"mod_revision\":40,\"lease\":8}"
		MEMBERS("{\"name\":\"n1\",\"lease\":3,\"patroni\":\"4.1.5\",\"host\":\"elsewhere\",\"role\":\"starting\",\"state\":\"cloning\"}"),
		"\"role\":\"primary\",\"timeline\":2,\"lease_id\":8,\"holding\":true,\"reign_checked\":true,\"deadline\":200000" NO_BOOT,
	HA_RENEW, "leads", "\"lead\":true"},
	{"... unless it leads", "",
		"\"term\":{\"present\":true,\"mod_revision\":30,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		",\"leader\":{\"present\":true,\"name\":\"n1\",\"create_revision\":40,\"mod_revision\":40,\"lease\":3}"
		MEMBERS(PATRONI("n1", "primary", "3")),
	"\"role\":\"primary\",\"timeline\":2", HA_WAIT, "Patroni runs this server"},
	{"... whatever we are", "",
		"\"term\":{\"present\":true,\"mod_revision\":30,\"term\":5,\"owner\":\"n1\",\"timeline\":2}"
		",\"leader\":{\"present\":true,\"name\":\"n1\",\"create_revision\":40,\"mod_revision\":40,\"lease\":3}"
		MEMBERS(PATRONI("n1", "primary", "3")),
	DETACHED, HA_WAIT, "Patroni runs this server"},
	{"... nor keeps a standby of ours from voting", "", TERM HEARTBEAT("")
	MEMBERS(PATRONI("n1", "standby", "2")), DETACHED, HA_VOTE, "gone"},
	{"... until that has stopped", "", TERM HEARTBEAT("") VOTED
		MEMBERS("{\"name\":\"n1\",\"lease\":3,\"patroni\":\"4.1.5\",\"role\":\"standby\",\"state\":\"stopped\"}"),
	DETACHED NO_BOOT, HA_ACQUIRE, "best"},
};

static void
try_row(const Row *row)
{
	static HaView view;
	static HaLocal local;
	char		json[8192];
	char		err[256] = "";
	char	   *got;
	HaConfig	config;
	HaPlan		plan = {0};
	int64_t		now;

	snprintf(json, sizeof(json), "{\"now\":100000,\"config\":{%s},"
			 "\"view\":{\"valid\":true,\"sent_at\":99900,\"sysid\":7,\"revision\":70,%s},"
			 "\"local\":{\"name\":\"n1\",\"sysid\":7,%s%s}}",
			 row->config, row->view,
			 strstr(row->local, "has_boot") == NULL ? "\"has_boot\":true," : "",
			 row->local);
	if (!ha_problem_parse(json, strlen(json), &config, &view, &local, &now,
						  err, sizeof(err)))
	{
		OK(false, row->name);
		printf("# %s\n", err);
		return;
	}
	ha_decide(&config, &view, &local, now, &plan);
	got = ha_plan_json(&plan);
	OK(plan.verb == row->verb && strstr(plan.why, row->why) != NULL &&
	   (row->more == NULL || strstr(got, row->more) != NULL), row->name);
	if (plan.verb != row->verb || strstr(plan.why, row->why) == NULL ||
		(row->more != NULL && strstr(got, row->more) == NULL))
		printf("# got %s\n", got);
	free(got);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		try_row(&rows[i]);
	return end_of_tests();
}
