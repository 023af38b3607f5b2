/*-------------------------------------------------------------------------
 *
 * slot_plan_test.c
 *	  Which slots slot_plan.c wants, moves and drops, scene by scene.
 *
 * A plan is compared as text: "create n2, advance n3 to 50, drop x (why)".
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config_values_json.h"
#include "../slot_plan.h"

static HaConfig config;
static HaView view;
static HaLocal local;
static HaSlot slots[12];
static HaSlotScene scene;
static HaSlotBook book;
static int	ntests;
static int	nfailed;

static void
set_name(char *to, const char *name)
{
	snprintf(to, HA_NAME_SIZE, "%s", name);
}

static HaMember *
add_member(const char *name, uint64_t lsn)
{
	HaMember   *member = &view.members[view.nmembers++];

	memset(member, 0, sizeof(*member));
	set_name(member->name, name);
	member->state = HA_STATE_RUNNING;
	member->streaming = lsn != 0;
	member->timeline = 1;
	member->lsn = lsn;
	return member;
}

/* Ours, unused, and physical. */
static HaSlot *
add_slot(const char *name, uint64_t lsn)
{
	HaSlot	   *slot = &slots[scene.nslots++];

	memset(slot, 0, sizeof(*slot));
	set_name(slot->name, name);
	slot->physical = slot->ours = true;
	slot->restart_lsn = lsn;
	return slot;
}

/* Somebody's, since it has no mark */
static void
add_logical(const char *name, const char *plugin)
{
	HaSlot	   *slot = add_slot(name, 1);

	slot->physical = slot->ours = false;
	set_name(slot->plugin, plugin);
}

static void
add_known(HaSlotBook *in, const char *name, int64_t absent)
{
	set_name(in->members[in->nmembers].name, name);
	in->members[in->nmembers++].absent = absent;
	in->known = true;
}

static void
add_position(const char *name, uint64_t lsn)
{
	set_name(view.slots.positions[view.slots.npositions].name, name);
	view.slots.positions[view.slots.npositions++].lsn = lsn;
}

static void
add_permanent(const char *name)
{
	set_name(config.permanent[config.npermanent].name, name);
	config.permanent[config.npermanent++].kind = HA_SLOT_PHYSICAL;
}

static void
ignore(const char *name, HaSlotKind kind)
{
	set_name(config.ignored[config.nignored].name, name);
	config.ignored[config.nignored++].kind = kind;
}

/* n1 leads or, if this is another member, has told its positions. */
static void
begin(const char *self)
{
	memset(&view, 0, sizeof(view));
	memset(&local, 0, sizeof(local));
	memset(&scene, 0, sizeof(scene));
	memset(&book, 0, sizeof(book));
	ha_config_defaults(&config);
	config.known = true;
	config.revision = 1;
	config.member_slots_ttl = 10000;
	set_name(local.name, self);
	local.failover_priority = 1;
	local.timeline = 1;
	local.flush_lsn = local.replay_lsn = 100;
	view.valid = view.leader.present = true;
	set_name(view.leader.name, "n1");
	add_member("n1", 100)->streaming = false;
	add_member("n2", 80);
	add_member("n3", 90);
	scene.config = &config;
	scene.view = &view;
	scene.local = &local;
	scene.slots = slots;
	scene.leads = strcmp(self, "n1") == 0;
	scene.fresh = true;
	scene.elapsed = 500;
	if (!scene.leads)
	{
		add_known(&view.slots, "n1", 0);
		add_known(&view.slots, "n2", 0);
		add_known(&view.slots, "n3", 0);
		add_position("n1", 100);
		add_position("n2", 80);
		add_position("n3", 90);
	}
}

/* Without a member that was there */
static void
lose(const char *name)
{
	for (int i = 0; i < view.nmembers; i++)
	{
		if (strcmp(view.members[i].name, name) != 0)
			continue;
		memmove(&view.members[i], &view.members[i + 1],
				(view.nmembers - i - 1) * sizeof(HaMember));
		view.nmembers--;
	}
}

static void
is_plan(const char *expected, const char *what)
{
	static const char *const deeds[] = {
		"create", "make logical", "renew", "advance", "take", "inherit",
		"drop"
	};
	HaSlotTask	tasks[HA_MAX_SLOT_TASKS];
	char		text[1024] = "";
	int			n = ha_slot_plan(&scene, &book, tasks);

	for (int i = 0; i < n; i++)
	{
		size_t		used = strlen(text);

		used += snprintf(text + used, sizeof(text) - used, "%s%s %s",
						 i > 0 ? ", " : "", deeds[tasks[i].deed],
						 tasks[i].slot);
		if (tasks[i].deed == HA_SLOT_ADVANCE)
			snprintf(text + used, sizeof(text) - used, " to %d",
					 (int) tasks[i].lsn);
		else if (tasks[i].why[0] != '\0')
			snprintf(text + used, sizeof(text) - used, " (%s)", tasks[i].why);
	}
	ntests++;
	if (strcmp(text, expected) != 0)
		nfailed++;
	printf("%sok %d - %s\n", strcmp(text, expected) == 0 ? "" : "not ",
		   ntests, what);
	if (strcmp(text, expected) != 0)
		printf("# got      %s\n# expected %s\n", text, expected);
}

static void
is(int64_t got, int64_t expected, const char *what)
{
	ntests++;
	if (got != expected)
		nfailed++;
	printf("%sok %d - %s\n", got == expected ? "" : "not ", ntests, what);
	if (got != expected)
		printf("# got %d, expected %d\n", (int) got, (int) expected);
}

static void
test_wanted(void)
{
	begin("n1");
	is_plan("create n2 (n2), create n3 (n3)", "a leader makes all");
	begin("n3");
	is_plan("create n1 (n1), create n2 (n2)", "so does a standby");
	local.nofailover = true;
	is_plan("", "unless it may not lead");
	begin("n3");
	local.failover_priority = 0;
	is_plan("", "by whichever tag");
	add_slot("n1", 50);
	add_slot("n2", 50)->active = true;
	is_plan("drop n1 (on a member that may not lead)",
			"it drops what nobody uses");
	begin("n3");
	add_permanent("app");
	add_permanent("n3");
	is_plan("create n1 (n1), create n2 (n2), create app",
			"permanent ones too, but none of its own name");
	begin("n1");
	set_name(view.members[1].name, "N-2");
	is_plan("create n_2 (N-2), create n3 (n3)", "by the slot's name");
}

/* n3 may never lead, and n2 wants to stream from it; n4 does not stream. */
static void
test_cascade(void)
{
	begin("n3");
	local.nofailover = true;
	set_name(view.members[1].replicatefrom, "n3");
	is_plan("create n2 (n2)", "who cascades has a slot where its WAL comes from");
	add_slot("n1", 50);
	add_slot("n2", 50);
	is_plan("advance n2 to 80, drop n1 (on a member that may not lead)",
			"which moves like others");
	lose("n2");
	is_plan("drop n1 (on a member that may not lead), advance n2 to 80",
			"and stays while its member is away");
	view.slots.nmembers = 1;
	is_plan("drop n1 (on a member that may not lead), drop n2 (on a member that may not lead)",
			"but not for ever");
	begin("n3");
	local.nofailover = true;
	add_slot("n2", 50);
	is_plan("drop n2 (on a member that may not lead)", "nor without the tag");

	begin("n1");
	set_name(view.members[2].replicatefrom, "n2");
	add_slot("n2", 50)->active = true;
	add_slot("n3", 50);
	is_plan("advance n3 to 90", "the leader has one, too, and moves it");

	begin("n1");
	view.members[1].nostream = true;
	is_plan("create n3 (n3)", "none for who does not stream");
	add_slot("n2", 50);
	is_plan("create n3 (n3), drop n2 (of a member that does not stream)",
			"any more");
	begin("n3");
	view.members[1].nostream = true;
	add_slot("n2", 50)->active = true;
	is_plan("create n1 (n1)", "unless it is in use");
}

static void
test_positions(void)
{
	begin("n3");
	add_slot("n1", 50);
	add_slot("n2", 50);
	is_plan("advance n1 to 100, advance n2 to 80", "to where the leader's are");
	local.replay_lsn = 70;
	is_plan("advance n1 to 70, advance n2 to 70", "but not beyond replay");
	begin("n3");
	add_slot("n1", 100)->active = true;
	add_slot("n2", 80);
	is_plan("", "and never back");
	slots[1].holds_rows = true;
	is_plan("advance n2 to 80", "a standby lets dead rows go");
	begin("n3");
	add_slot("n1", 100);
	add_slot("n2", 120);
	is_plan("renew n2 (which was ahead of this server)", "after a rewind");
	local.replaying = true;
	is_plan("", "not while it has yet to replay what it has");

	begin("n3");
	view.slots.npositions = 1;
	add_slot("n1", 100);
	add_slot("n2", 50);
	is_plan("advance n2 to 80", "what the leader lacks, by the member's key");
	view.members[1].timeline = 2;
	is_plan("", "if it is on our timeline");

	begin("n1");
	add_slot("n2", 50);
	add_slot("n3", 50)->active = true;
	is_plan("advance n2 to 80", "the leader moves those who stream from others");
	view.members[1].streaming = false;
	is_plan("", "and waits for those who don't");

	begin("n3");
	add_slot("n1", 100);
	add_slot("n2", 50)->invalid = true;
	is_plan("renew n2 (whose WAL had been removed)", "a lost one, on a standby");
	begin("n1");
	add_slot("n3", 50)->active = true;
	add_slot("n2", 50)->invalid = true;
	is_plan("", "a lost one, whose member seems to stream");
	view.members[1].streaming = false;
	is_plan("renew n2 (whose WAL had been removed)", "and when it does not");
	lose("n2");
	is_plan("", "but not of an absent member");
}

static void
test_absence(void)
{
	begin("n1");
	add_slot("n2", 40);
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 9000);
	lose("n2");
	is_plan("", "absent, but not for long enough");
	is(ha_slot_absence(&view, &book, "n2"), 9500, "the book counts");
	scene.fresh = false;
	scene.elapsed = 60000;
	is_plan("", "not while the store is away");
	is(ha_slot_absence(&view, &book, "n2"), 9500, "nor does the book count");
	scene.fresh = true;
	config.pause = true;
	is_plan("", "nor in a pause");
	is(ha_slot_absence(&view, &book, "n2"), 9500, "which does not count");
	config.pause = false;
	scene.elapsed = 500;
	snprintf(view.config_error, sizeof(view.config_error), "x");
	is_plan("", "nor by a configuration that can't be read");
	view.config_error[0] = '\0';
	is_plan("drop n2 (of member absent for 10 s)", "time is over");
	is(book.nmembers, 2, "it is forgotten");
	is_plan("drop n2 (that nobody needs any more)",
			"dropping is tried again if it failed");
	slots[0].ours = false;
	is_plan("", "somebody else's is not dropped");

	begin("n1");
	add_slot("n2", 40)->active = true;
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 10000);
	lose("n2");
	is_plan("", "who streams is not absent");
	is(book.members[0].absent, 0, "and its time begins anew");

	add_known(&book, "n1", 10000);
	lose("n1");
	is_plan("", "nor is who leads");
	is(ha_slot_absence(&view, &book, "n1"), 0, "whose key is gone");

	begin("n1");
	add_slot("n2", 40);
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 1);
	lose("n2");
	config.member_slots_max_wal = 60;
	is_plan("", "it may retain so much");
	local.flush_lsn++;
	is_plan("drop n2 (of member absent for 1 s)", "and no more");

	begin("n1");
	add_slot("n2", 40);
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 9900);
	lose("n2");
	add_permanent("n2");
	is_plan("", "a permanent slot of its name stays");
	is(ha_slot_absence(&view, &book, "n2"), 0, "though the member is forgotten");
	begin("n1");
	add_slot("n2", 40);
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 9900);
	lose("n2");
	ignore("n2", HA_SLOT_ANY);
	is_plan("", "an ignored one stays");
}

static void
test_removed(void)
{
	begin("n1");
	add_slot("n2", 40);
	add_slot("n3", 50)->active = true;
	add_known(&book, "n2", 1);
	set_name(view.removed[view.nremoved++].name, "n2");
	is_plan("advance n2 to 80", "one who is back is a member");
	lose("n2");
	config.pause = true;
	is_plan("drop n2 (of removed member)", "removed: at once, in a pause too");
	is(book.nmembers, 2, "and forgotten");

	begin("n3");
	add_slot("n1", 100);
	add_slot("n2", 80);
	lose("n2");
	is_plan("", "a standby keeps who is in the book");
	set_name(view.removed[view.nremoved++].name, "n2");
	is_plan("drop n2 (of removed member)", "until it is removed");
	slots[1].active = true;
	is_plan("", "unless somebody uses its slot");
	view.nremoved = 0;
	slots[1].active = false;
	view.slots.members[1].name[1] = '9';
	is_plan("drop n2 (that nobody needs any more)", "or not in the book");
	scene.fresh = false;
	is_plan("", "by a fresh view only");
	scene.fresh = true;
	view.slots.known = false;
	view.slots.nmembers = 0;
	is_plan("", "and if there is a book");
}

static void
test_others(void)
{
	begin("n1");
	add_slot("n2", 40)->ours = false;
	add_slot("n3", 50)->ours = false;
	slots[1].active = true;
	add_slot("app", 1)->ours = false;
	add_logical("etl", "p");
	is_plan("take n3 (n3)", "a member's that streams is taken over");
	begin("n3");
	add_slot("n1", 50)->ours = false;
	add_slot("n2", 50)->active = true;
	slots[1].ours = false;
	is_plan("", "on the leader only; and none of others is moved");
	begin("n3");
	add_permanent("app");
	add_position("app", 70);
	add_slot("n1", 100);
	add_slot("n2", 80);
	add_slot("app", 60)->ours = false;
	is_plan("advance app to 70", "but a permanent one is");
	ignore("app", HA_SLOT_PHYSICAL);
	is_plan("", "unless it is ignored");
	begin("n3");
	ignore("n2", HA_SLOT_ANY);
	ignore("n1", HA_SLOT_LOGICAL);
	is_plan("create n1 (n1)", "none is made that would hold WAL for ever");

	begin("n1");
	add_permanent("etl");
	config.permanent[0].kind = HA_SLOT_LOGICAL;
	set_name(config.permanent[0].plugin, "p");
	add_slot("n2", 40)->active = true;
	add_slot("n3", 50)->active = true;
	is_plan("make logical etl", "a logical slot, on the leader");
	add_logical("etl", "");
	is_plan("", "once");
	begin("n3");
	add_permanent("etl");
	config.permanent[0].kind = HA_SLOT_LOGICAL;
	set_name(config.permanent[0].plugin, "p");
	add_slot("n1", 100);
	add_slot("n2", 80);
	is_plan("", "not on a standby");
	add_logical("etl", "");
	is_plan("", "whose slot of that name is another");
	set_name(slots[2].plugin, "p");
	ignore("", HA_SLOT_LOGICAL);
	is_plan("", "or is ignored");
	config.nignored = 0;
	is_plan("drop etl (of the time when this member led)", "or goes");
	slots[2].synced = true;
	is_plan("", "but not a copy");

	begin("n1");
	add_slot("gone", 30);
	add_slot("n2", 40)->active = true;
	add_slot("n3", 50)->active = true;
	ha_slot_book_begin(&scene, &book);
	is_plan("", "without a book a slot stands for its member");
	is(ha_slot_absence(&view, &book, "gone"), 500, "who is absent");
	is(book.npositions, 4, "positions are told: ours, and each slot's");
	add_member("GONE", 0);
	is_plan("", "and comes back by its name");
	is(book.nmembers, 4, "under which it is known now");
}

/* Slots that Patroni made have no mark. */
static void
test_patroni(void)
{
	begin("n3");
	add_slot("n1", 50)->ours = false;
	add_slot("n2", 50)->ours = false;
	is_plan("", "slots of others are left alone, whatever their names");
	scene.after_patroni = true;
	is_plan("inherit n1 (n1), inherit n2 (n2)",
			"those of members are ours where Patroni has run the server");
	slots[0].active = true;
	ignore("n2", HA_SLOT_ANY);
	is_plan("", "but who streams must be known, and what is ignored is");

	begin("n3");
	scene.after_patroni = true;
	add_slot("n1", 50);
	add_slot("n2", 50);
	add_slot("app", 50)->ours = false;
	add_slot("perm", 50)->ours = false;
	add_permanent("perm");
	add_logical("etl", "pgoutput");
	is_plan("advance n1 to 100, advance n2 to 80", "nothing else is");
	lose("n2");
	slots[1].ours = false;
	add_known(&view.slots, "n2", 1000);
	is_plan("advance n1 to 100, inherit n2 (n2)",
			"also of one who is away");
	local.nofailover = true;
	is_plan("drop n1 (on a member that may not lead), inherit n2 (n2)",
			"and where it is not needed");

	begin("n1");
	scene.after_patroni = true;
	add_slot("n2", 50)->active = true;
	slots[0].ours = false;
	is_plan("take n2 (n2), create n3 (n3)", "the leader sees who streams");
}

int
main(void)
{
	test_wanted();
	test_cascade();
	test_positions();
	test_absence();
	test_removed();
	test_others();
	test_patroni();
	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
