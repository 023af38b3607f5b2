/*-------------------------------------------------------------------------
 *
 * failsafe_test.c
 *	  failsafe.c: who is asked, which answers count, when a promise is given; and
 *	  the credentials that go with it.
 *
 *-------------------------------------------------------------------------
 */
#include "../config_values_json.h"
#include "../failsafe.h"
#include "../lease.h"
#include "../secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TTL			10000
#define NOW			100000

static HaAsking asking;
static HaView view;
static HaLocal local;
static HaControlQuestion question;
static HaControlPromise promise;
static int	ntests;
static int	nfailed;

static void
ok(bool passed, const char *what)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++ntests, what);
	if (!passed)
		nfailed++;
}

/*-------------------------------------------------------------------------
 * The asking side
 *-------------------------------------------------------------------------
 */

static void
list_members(int n)
{
	view.nmembers = n;
	for (int i = 0; i < n; i++)
	{
		snprintf(view.members[i].name, HA_NAME_SIZE, "n%d", i + 1);
		snprintf(view.members[i].api_url, HA_URL_SIZE,
				 "http://h%d:8008/patroni", i + 1);
	}
}

/* Put the list of the view's members; it has landed if the revision is > 0. */
static void
put_list(int64_t revision)
{
	HaFailsafe	wanted;
	HaAnswer	answer = {.status = HA_DCS_OK,.succeeded = true};

	ha_asking_wants_put(&asking, &view, "n1", &wanted);
	ha_asking_put_sent(&asking, 7, &wanted);
	if (revision == 0)
		answer.status = HA_DCS_UNKNOWN;
	answer.revision = revision;
	ha_asking_put_answered(&asking, &answer);
	if (revision != 0)
	{
		view.failsafe = wanted;
		view.failsafe.mod_revision = revision;
	}
}

/* n1 leads three, whose list stands in the store. */
static void
start_asking(void)
{
	memset(&asking, 0, sizeof(asking));
	memset(&view, 0, sizeof(view));
	ha_config_defaults(&view.config);
	view.valid = true;
	view.config.failsafe_mode = true;
	list_members(3);
	put_list(50);
	asking.announced = true;
}

static bool
begin(void)
{
	return ha_asking_begin(&asking, &view, true, false, "n1", TTL, NOW);
}

/* Send all questions of the round; returns how many. */
static int
send_all(void)
{
	HaPeerRequest request;
	HaAsked    *whom;
	int			n = 0;

	while (ha_asking_next(&asking, &view, "n1", 5, 77, &request, &whom))
	{
		whom->tag = ++n;
		free(request.body);
	}
	return n;
}

static void
say(uint32_t tag, long status, const char *text, int64_t now)
{
	HaPeerAnswer answer = {.tag = tag,.status = status};

	snprintf(answer.text, sizeof(answer.text), "%s", text);
	ha_asking_answered(&asking, &answer, NOW + 3000, now);
}

static bool
is_asked(const char *name)
{
	for (int i = 0; i < asking.nasked; i++)
	{
		if (strcmp(asking.asked[i].name, name) == 0)
			return true;
	}
	return false;
}

static void
test_whom(void)
{
	HaFailsafe	wanted;

	start_asking();
	ok(!ha_asking_wants_put(&asking, &view, "n1", &wanted),
	   "a list that stands is not put again");
	ok(begin() && asking.nasked == 2 && is_asked("n2") && is_asked("n3"),
	   "all others are asked");
	ok(strcmp(asking.asked[0].url, "http://h2:8008/failsafe") == 0,
	   "at /failsafe");

	list_members(4);
	ok(ha_asking_wants_put(&asking, &view, "n1", &wanted) &&
	   wanted.nmembers == 4, "a new member is to be listed");
	put_list(0);
	ok(begin() && asking.nasked == 3 && is_asked("n4"),
	   "whom a lost put may have listed is asked too");
	list_members(2);
	put_list(60);
	ok(begin() && asking.nasked == 1 && is_asked("n2"),
	   "who left is not asked once that is known");

	view.failsafe.mod_revision = 61;
	ok(!begin(), "another's list: nobody can be asked");
	ok(ha_asking_begin(&asking, &view, false, false, "n1", TTL, NOW),
	   "... but a view from before the put says nothing");
	start_asking();
	view.config.failsafe_mode = false;
	ok(!begin(), "the mode is off");
	start_asking();
	asking.announced = false;
	ok(!begin(), "the mode is not announced");
	start_asking();
	ha_asking_forget(&asking);
	asking.announced = true;
	ok(!begin(), "another key: the list is not ours");
	list_members(1);
	put_list(70);
	asking.announced = true;
	ok(begin() && ha_asking_deadline(&asking) ==
	   NOW + TTL - ha_lease_margin(TTL), "alone: nobody needs to be asked");
}

/* S-11 */
static void
test_patroni(void)
{
	start_asking();
	ok(ha_asking_begin(&asking, &view, true, false, "n1", 4000, NOW) &&
	   asking.nasked > 0, "members of ours are asked");
	start_asking();
	for (int i = 0; i < view.nmembers; i++)
	{
		view.members[i].lease = 3;
		if (strcmp(view.members[i].name, "n1") != 0)
			strcpy(view.members[i].patroni, "4.1.5");
	}
	ok(!ha_asking_begin(&asking, &view, true, false, "n1", 4000, NOW) &&
	   asking.began_at == 0 && asking.nasked == 0 &&
	   strstr(asking.trouble, "Patroni runs member") != NULL,
	   "nobody is where Patroni runs one");
	start_asking();
	view.nmembers = 1;
	ok(ha_asking_begin(&asking, &view, true, false, "n1", 4000, NOW) &&
	   asking.nasked > 0, "who has no member key is asked");
	start_asking();
	view.nmembers = 1;
	ok(!ha_asking_begin(&asking, &view, true, true, "n1", 4000, NOW) &&
	   asking.nasked == 0, "... but not where Patroni ran some");
}

static void
test_answers(void)
{
	int64_t		deadline = NOW + TTL - ha_lease_margin(TTL);

	start_asking();
	ok(begin() && send_all() == 2, "two questions");
	say(1, 200, "Accepted", NOW + 500);
	ok(ha_asking_deadline(&asking) == 0, "one of two is not all");
	say(1, 200, "Accepted", NOW + 600);
	ok(ha_asking_deadline(&asking) == 0, "nor is one twice");
	say(2, 200, "Accepted", NOW + 2000);
	ok(ha_asking_deadline(&asking) == deadline,
	   "all: the time counts from the first question");

	ha_asking_void(&asking);
	ok(ha_asking_deadline(&asking) == 0, "a closed gate voids it");

	start_asking();
	begin();
	send_all();
	say(1, 200, "Accepted", NOW + 500);
	ha_asking_void(&asking);
	say(2, 200, "Accepted", NOW + 600);
	ok(ha_asking_deadline(&asking) == 0, "... and what is still under way");

	start_asking();
	begin();
	send_all();
	say(1, 200, "Accepted", NOW + 500);
	say(2, 200, "Accepted", NOW + 3000);
	ok(ha_asking_deadline(&asking) == 0 && asking.began_at == 0,
	   "no promise moves a deadline that has passed");

	start_asking();
	begin();
	send_all();
	say(1, 200, "Accepted", NOW + 500);
	say(2, 500, "Running as a leader", NOW + 600);
	ok(ha_asking_deadline(&asking) == 0 && asking.began_at == 0 &&
	   strcmp(asking.trouble,
			  "member \"n3\" refused (Running as a leader)") == 0,
	   "one refuses");
	start_asking();
	begin();
	send_all();
	say(1, 0, "timeout", NOW + 600);
	ok(strcmp(asking.trouble, "member \"n2\" did not answer (timeout)") == 0,
	   "one does not answer");
	start_asking();
	begin();
	send_all();
	say(1, 200, "accepted", NOW + 600);
	ok(asking.began_at == 0, "200 with another text is no promise");
}

/*-------------------------------------------------------------------------
 * The answering side
 *-------------------------------------------------------------------------
 */

/* n2 follows n1, whose term is 5, and is asked by it. */
static void
start_answering(void)
{
	memset(&view, 0, sizeof(view));
	memset(&local, 0, sizeof(local));
	memset(&question, 0, sizeof(question));
	memset(&promise, 0, sizeof(promise));
	ha_config_defaults(&view.config);
	view.valid = true;
	view.config.failsafe_mode = promise.mode_on = true;
	view.config.ttl = TTL;
	view.term.present = true;
	view.term.term = 5;
	view.term.mod_revision = 40;
	strcpy(view.term.owner, "n1");
	strcpy(local.name, "n2");
	local.role = HA_ROLE_STANDBY;
	local.promises_known = true;
	local.replay_lsn = 77;
	question.seq = 9;
	question.asked_at = NOW - 100;
	question.question.term = 5;
	question.question.ttl = TTL;
	strcpy(question.question.name, "n1");
}

static HaVerdict
answer(void)
{
	ha_failsafe_answer(&view, &local, &question, NOW, &promise);
	return promise.answered == question.seq ? promise.verdict :
		HA_VERDICT_NONE;
}

static void
refuses(const char *why, const char *what)
{
	ok(answer() == HA_VERDICT_REFUSED && strcmp(promise.why, why) == 0 &&
	   promise.until == 0, what);
}

static void
test_promises(void)
{
	start_answering();
	ok(answer() == HA_VERDICT_ACCEPTED && promise.until == NOW + TTL &&
	   strcmp(promise.leader, "n1") == 0 && promise.term == 5 &&
	   promise.lsn == 77, "a promise for one TTL from now");

	start_answering();
	question.question.ttl = 2 * TTL;
	answer();
	ok(promise.until == NOW + 2 * TTL, "for the asker's TTL");
	start_answering();
	question.question.ttl = TTL / 2;
	answer();
	ok(promise.until == NOW + TTL / 2, "... also if it is shorter");
	start_answering();
	question.question.ttl = 0;
	local.heartbeat_ttl = 3 * TTL;
	answer();
	ok(promise.until == NOW + 3 * TTL, "if it does not tell, for the one it announced");
	start_answering();
	promise.until = NOW + 4 * TTL;
	answer();
	ok(promise.until == NOW + 4 * TTL, "never shorter than the last one");

	start_answering();
	question.question.lsn = 900;
	answer();
	ok(promise.leader_term == 5 && promise.leader_lsn == 900,
	   "how far the leader is, is kept");
	question.question.lsn = 800;
	answer();
	ok(promise.leader_lsn == 900, "it does not go back");
	question.question.term = 6;
	answer();
	ok(promise.leader_term == 6 && promise.leader_lsn == 800,
	   "but in another term");

	start_answering();
	view.valid = false;
	ok(answer() == HA_VERDICT_ACCEPTED,
	   "also when the store has not answered since the start");
}

static void
test_refusals(void)
{
	static const char holds[] = "this member holds the leader key";
	static const char led[] = "another member has led since";

	start_answering();
	local.role = HA_ROLE_PRIMARY;
	ok(answer() == HA_VERDICT_LEADER && promise.until == 0, "a primary");
	start_answering();
	promise.mode_on = false;
	ok(answer() == HA_VERDICT_OFF && promise.until == 0, "the mode is off");
	start_answering();
	question.asked_at = NOW - 2001;
	refuses("the question is too old", "an old question");
	start_answering();
	strcpy(question.question.name, "n2");
	refuses("this member has the same name", "its own name");
	start_answering();
	strcpy(question.question.member, "n3");
	refuses("the question is for another member", "at another's address");
	start_answering();
	strcpy(question.question.member, "n2");
	ok(answer() == HA_VERDICT_ACCEPTED, "it is asked by name");
	start_answering();
	local.sysid = 7;
	question.question.sysid = 8;
	refuses("the question is from another cluster", "another cluster's leader");
	local.sysid = 0;
	start_answering();
	local.stopping = true;
	refuses("this member is stopping", "stopping");
	start_answering();
	local.holding = true;
	refuses(holds, "holds the key");
	start_answering();
	local.reassert = true;
	refuses(holds, "may hold the key");
	start_answering();
	view.leader.present = true;
	strcpy(view.leader.name, "n2");
	refuses(holds, "the key has its name");
	start_answering();
	local.bid = true;
	refuses("this member has voted, or tries to lead", "a vote is out");
	start_answering();
	local.promises_known = false;
	local.starting_since = NOW - TTL + 1;
	refuses("this member may have tried to lead before it started",
			"its votes are forgotten");
	local.starting_since = NOW - TTL;
	ok(answer() == HA_VERDICT_ACCEPTED, "... for one TTL");

	start_answering();
	question.question.term = 4;
	refuses(led, "an older term");
	start_answering();
	strcpy(question.question.name, "n3");
	refuses(led, "another's term");
	start_answering();
	view.valid = false;
	promise.term = 6;
	refuses(led, "a term older than one it knew before it started");
	start_answering();
	question.question.term = -1;
	ok(answer() == HA_VERDICT_ACCEPTED, "no term told: the last owner");
	start_answering();
	question.question.term = -1;
	view.leader.present = true;
	strcpy(view.leader.name, "n3");
	refuses(led, "no term told: not who holds the key");
}

/*-------------------------------------------------------------------------
 * The lease, as far as it is about promises
 *-------------------------------------------------------------------------
 */

static HaLease lease;
static HaPlan plan;

static bool
compares(const HaTxn *txn, const char *key, int64_t number)
{
	for (int i = 0; i < txn->ncompares; i++)
	{
		if (strcmp(txn->compares[i].key, key) == 0 &&
			txn->compares[i].number == number)
			return true;
	}
	return false;
}

/* Send until the plan's transaction is out. */
static void
send_plan(HaVerb verb, HaRequest *request)
{
	plan.verb = verb;
	do
		memset(request, 0, sizeof(*request));
	while (ha_lease_next(&lease, &plan, &local, NOW, request) &&
		   request->kind != HA_DCS_TXN);
	ok(request->kind == HA_DCS_TXN, "a transaction is sent");
}

static void
start_lease(void)
{
	start_answering();
	ha_lease_init(&lease, "n2", NOW);
	lease.view = view;
	lease.view.failsafe.mod_revision = 33;
	lease.view_tag = lease.last_tag = 9;
	lease.lease_id = 5;
	lease.lease_ttl = TTL;
	lease.lease_alive_at = NOW;
}

static void
test_lease(void)
{
	HaRequest	request;

	start_lease();
	send_plan(HA_ACQUIRE, &request);
	ok(compares(&request.txn, "failsafe", 33),
	   "who acquires compares the list");
	ha_lease_local(&lease, &local, NOW);
	ok(local.bid, "and has bid");
	refuses("this member has voted, or tries to lead",
			"so it promises nothing");
	ha_dcs_request_free(&request);

	start_lease();
	send_plan(HA_VOTE, &request);
	ha_lease_local(&lease, &local, NOW);
	ok(local.bid && lease.bid_revision == 40, "so has who votes");
	ha_dcs_request_free(&request);

	lease.asking.base = NOW;
	ha_lease_close(&lease);
	ok(lease.asking.base == 0, "closing the gate ends the promises");
}

/*-------------------------------------------------------------------------
 * Credentials
 *-------------------------------------------------------------------------
 */

static bool
basic_of(const char *text, int mode, char *basic)
{
	char		name[] = "/tmp/failsafe_test.XXXXXX";
	char		err[200] = "";
	int			fd = mkstemp(name);
	bool		read_it;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	fchmod(fd, mode);
	close(fd);
	read_it = ha_secret_basic(name, basic, err, sizeof(err));
	unlink(name);
	ok(read_it == (err[0] == '\0') && strstr(err, "cret") == NULL,
	   "a reason if and only if it fails, without the secret");
	return read_it;
}

static void
test_secrets(void)
{
	char		basic[HA_BASIC_SIZE];
	char		line[HA_SECRET_SIZE + 10];

	ok(basic_of("Aladdin:open sesame\n", 0600, basic) &&
	   strcmp(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == 0,
	   "as in RFC 7617");
	ok(basic_of("ha:se:cret", 0400, basic) &&
	   strcmp(basic, "Basic aGE6c2U6Y3JldA==") == 0, "colons may follow");
	ok(basic_of("a:bc\r\nx", 0600, basic) &&
	   strcmp(basic, "Basic YTpiYw==") == 0, "one line");
	ok(basic_of("\303\244:secret\n", 0600, basic) &&
	   strcmp(basic, "Basic w6Q6c2VjcmV0") == 0, "UTF-8");
	ok(!basic_of("secret\n", 0600, basic), "no user");
	ok(!basic_of(":secret\n", 0600, basic), "an empty user");
	ok(!basic_of("", 0600, basic), "nothing");
	ok(!basic_of("ha:secret\n", 0640, basic), "the group may read it");
	memset(line, ':', sizeof(line));
	line[0] = 'x';
	line[sizeof(line) - 1] = '\0';
	ok(!basic_of(line, 0600, basic), "too long");
	line[HA_SECRET_SIZE - 2] = '\0';
	ok(basic_of(line, 0600, basic) && strlen(basic) < HA_BASIC_SIZE,
	   "the longest");

	ok(ha_secret_is_equal("abc", "abc") && ha_secret_is_equal("", ""), "equal");
	ok(!ha_secret_is_equal("abd", "abc") && !ha_secret_is_equal("ab", "abc") &&
	   !ha_secret_is_equal("abc", "ab") && !ha_secret_is_equal("", "abc") &&
	   !ha_secret_is_equal("abcabc", "abc") && !ha_secret_is_equal("abc", "") &&
	   !ha_secret_is_equal("a", "aa"), "not equal");
}

int
main(void)
{
	test_whom();
	test_patroni();
	test_answers();
	test_promises();
	test_refusals();
	test_lease();
	test_secrets();
	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
