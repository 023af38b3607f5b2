/*-------------------------------------------------------------------------
 *
 * cascade_test.c
 *	  Which standby streams from another one, and when it does not.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../cascade.h"
#include "tap.h"

static HaView view;
static HaLocal local;

static HaMember *
add_member(const char *name, const char *replicatefrom)
{
	HaMember   *m = &view.members[view.nmembers++];

	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "%s", name);
	snprintf(m->replicatefrom, sizeof(m->replicatefrom), "%s", replicatefrom);
	snprintf(m->host, sizeof(m->host), "10.0.0.1");
	m->state = HA_STATE_RUNNING;
	m->role = HA_ROLE_STANDBY;
	m->streaming = true;
	m->timeline = 3;
	return m;
}

/* n1 leads; this is n3, which wants n2. */
static void
begin(const char *n2_wants)
{
	memset(&view, 0, sizeof(view));
	memset(&local, 0, sizeof(local));
	view.config.loop_wait = 1000;
	view.leader.present = true;
	snprintf(view.leader.name, sizeof(view.leader.name), "n1");
	view.term.present = true;
	view.term.timeline = 3;
	add_member("n1", "")->role = HA_ROLE_PRIMARY;
	add_member("n2", n2_wants);
	add_member("n3", "n2");
	snprintf(local.name, sizeof(local.name), "n3");
	snprintf(local.replicatefrom, sizeof(local.replicatefrom), "n2");
}

static const char *
source(void)
{
	const HaMember *member = ha_cascade_own_source(&view.config, &view, &local,
												   100000);

	return member != NULL ? member->name : "the leader";
}

#define IS(expected, name) OK(strcmp(source(), expected) == 0, name)

static void
test_source(void)
{
	HaMember   *n2 = &view.members[1];

	begin("");
	IS("n2", "whom the tag names");
	local.replicatefrom[0] = '\0';
	IS("the leader", "without a tag");
	begin("");
	snprintf(local.replicatefrom, HA_NAME_SIZE, "n9");
	IS("the leader", "if there is no such member");
	snprintf(local.replicatefrom, HA_NAME_SIZE, "n3");
	IS("the leader", "not from itself");
	snprintf(local.replicatefrom, HA_NAME_SIZE, "n1");
	IS("the leader", "nor as a cascade from the leader");

	begin("");
	n2->state = HA_STATE_STOPPED;
	IS("the leader", "if it does not run");
	begin("");
	n2->role = HA_ROLE_PRIMARY;
	IS("the leader", "if somebody promoted it");
	begin("");
	n2->role = HA_ROLE_STARTING;
	IS("the leader", "if it is not consistent yet");
	begin("");
	n2->timeline = 2;
	IS("the leader", "if it has not come to the leader's timeline");
	n2->timeline = 4;
	IS("the leader", "or is beyond it");
	begin("");
	view.term.present = false;
	IS("the leader", "if nobody knows which timeline that is");
	begin("");
	n2->streaming = false;
	IS("the leader", "if nothing comes to it");
	begin("");
	n2->nostream = n2->streaming = true;
	IS("the leader", "if it has its WAL from the archive");
	begin("");
	n2->host[0] = '\0';
	IS("the leader", "if nobody knows where it is");
}

static void
test_circles(void)
{
	begin("n3");
	IS("the leader", "not if it streams from here");
	OK(ha_cascade_source(&view, "n2", "n3") == NULL, "which it sees too");
	begin("n4");
	add_member("n4", "n3");
	IS("the leader", "nor if it does through another one");
	OK(ha_cascade_source(&view, "n4", "n3") == NULL &&
	   ha_cascade_source(&view, "n2", "n4") == NULL, "which all see");
	begin("n4");
	IS("n2", "a chain");
	add_member("n4", "n5");
	add_member("n5", "n4");
	IS("n2", "a circle that is not ours");
	begin("n1");
	snprintf(view.members[0].replicatefrom, HA_NAME_SIZE, "n3");
	IS("n2", "no tag of the leader counts");
}

static void
test_reasons_to_stay(void)
{
	begin("");
	view.sync.present = true;
	view.sync.nstandbys = 1;
	snprintf(view.sync.standbys[0], HA_NAME_SIZE, "n3");
	IS("the leader", "who is listed in /sync stays");
	OK(ha_cascade_source(&view, "n3", "n2") != NULL,
	   "but the leader knows where it belongs");
	snprintf(view.sync.standbys[0], HA_NAME_SIZE, "n2");
	IS("n2", "and goes when another is");
	begin("");
	view.failover.present = true;
	snprintf(view.failover.candidate, HA_NAME_SIZE, "n3");
	IS("the leader", "who is to lead comes to the leader");
}

static void
test_watch(void)
{
	HaCascadeWatch watch = {0};

#define LOOK(f, receives, now) \
	(snprintf(local.follows, sizeof(local.follows), "%s", f), \
	 ha_cascade_watch(&watch, &view, &local, receives, now))

	begin("");
	OK(!LOOK("n2", false, 100000) && !LOOK("n2", false, 103000),
	   "patience");
	IS("n2", "it is still followed");
	OK(LOOK("n2", false, 103001), "and the end of it");
	IS("the leader", "then the leader is");
	OK(!LOOK("n1", false, 104000) && !LOOK("n1", true, 108000), "no more news");
	IS("the leader", "for five loops");
	OK(!LOOK("n1", true, 108001), "until");
	IS("n2", "it is tried again");
	OK(!LOOK("n2", false, 108500) && LOOK("n2", false, 111600), "in vain");
	(void) LOOK("n1", true, 121599);
	IS("the leader", "for twice as long");
	(void) LOOK("n1", true, 121601);
	IS("n2", "and again");
	(void) LOOK("n2", true, 121700);
	OK(watch.avoid_for == 0, "what has come makes good for all");
	for (int64_t at = 200000; at < 400000; at += 4000)
		(void) LOOK("n2", false, at);
	OK(watch.avoid_for == 600000, "never for longer than ten minutes");

	begin("");
	memset(&watch, 0, sizeof(watch));
	(void) LOOK("n1", false, 100000);
	OK(!LOOK("n1", false, 200000) && local.avoids[0] == '\0',
	   "the leader is not given up");
	(void) LOOK("", false, 200000);
	OK(!LOOK("", false, 300000) && local.avoids[0] == '\0', "nor is nobody");
	OK(!LOOK("n2", false, 300001), "and who is followed anew has time");
	local.role = HA_ROLE_PRIMARY;
	OK(!LOOK("n2", false, 400000), "a primary has followed it once");

	begin("");
	memset(&watch, 0, sizeof(watch));
	view.config.synchronous_mode = HA_SYNC_ON;
	(void) LOOK("n1", true, 97001);
	IS("the leader", "with synchronous standbys nobody goes at once");
	(void) LOOK("n1", true, 99000);
	OK(local.source_since == 97001, "it counts from when the member is good");
	local.source_since = 97000;
	IS("n2", "but after two loops");
	local.source_since = 99000;
	snprintf(local.follows, sizeof(local.follows), "n2");
	IS("n2", "who is there stays");
	view.members[1].streaming = false;
	(void) LOOK("n2", true, 99500);
	OK(local.source_since == 0, "until it is good no more");
}

int
main(void)
{
	test_source();
	test_circles();
	test_reasons_to_stay();
	test_watch();
	return end_of_tests();
}
