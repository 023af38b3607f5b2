/*-------------------------------------------------------------------------
 *
 * lease_test.c
 *	  What a leader tells of its coming to lead, in whatever order answers come.
 *
 * The simulator holds what lease.c promises; this is for what it does not look at.
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lease.h"
#include "../term_json.h"
#include "tap.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))
#define LEASE		INT64_C(7)
#define TERM		5
#define KEY_AT		50			/* revision of the leader key */

/* Of n2, which has the key since 2000, and was a primary by 3000. */
static HaLease lease;
static HaLocal local;

static void
become_leader(bool intent)
{
	HaView	   *view = &lease.view;

	memset(&local, 0, sizeof(local));
	memcpy(local.name, "n2", sizeof("n2"));
	local.role = HA_ROLE_PRIMARY;
	local.timeline = 2;
	ha_lease_init(&lease, "n2", 1000);
	lease.lease_id = LEASE;
	lease.lease_ttl = 10000;
	lease.holding = true;
	lease.key_revision = KEY_AT;
	lease.term = TERM;
	lease.change.term = TERM;
	lease.key_taken_at = 2000;
	lease.view_tag = 1;
	lease.last_tag = 1;
	view->valid = true;
	view->revision = KEY_AT;
	view->leader.present = true;
	memcpy(view->leader.name, "n2", sizeof("n2"));
	view->leader.lease = LEASE;
	view->leader.mod_revision = KEY_AT;
	view->term.present = true;
	view->term.mod_revision = KEY_AT;
	view->term.term = TERM;
	view->term.timeline = 2;
	view->term.intent = intent;
	memcpy(view->term.owner, "n2", sizeof("n2"));
}

/* All requests that are due; what they hold is of no interest here. */
static void
send_all(HaVerb verb, int64_t now)
{
	HaPlan		plan = {.verb = verb,.lead = true};
	HaRequest	request;

	for (int i = 0; i < 10 && ha_lease_next(&lease, &plan, &local, now, &request); i++)
		ha_dcs_request_free(&request);
}

/* What a read finds when the record was confirmed in that revision. */
static void
hear_read(int64_t revision, int64_t now)
{
	HaTerm		term = lease.view.term;
	HaKv		kvs[2] = {{.key = "leader",.mod_revision = KEY_AT,.create_revision = KEY_AT,.lease = LEASE},
	{.key = "pg_ha/term",.mod_revision = revision}};
	HaAnswer	answer = {.kind = HA_DCS_RANGE,.status = HA_DCS_OK,
		.tag = lease.read_tag,.sent_at = now - 10,.revision = revision,
	.kvs = kvs,.nkvs = 2};

	term.intent = false;
	kvs[0].value = strdup("n2");
	kvs[1].value = ha_term_json(&term);
	for (int i = 0; i < 2; i++)
		kvs[i].length = strlen(kvs[i].value);
	ha_lease_answer(&lease, &answer, now);
	for (int i = 0; i < 2; i++)
		free(kvs[i].value);
}

static void
hear_write(HaDcsStatus status, bool succeeded, int64_t revision, int64_t now)
{
	HaAnswer	answer = {.kind = HA_DCS_TXN,.status = status,
		.tag = lease.op_tag,.sent_at = 3000,.succeeded = succeeded,
	.revision = revision};

	ha_lease_answer(&lease, &answer, now);
}

static const struct
{
	bool		intent;			/* the record, when the write was sent */
	bool		read_first;		/* a read shows what it did before its answer */
	int64_t		term;			/* of the change that was begun */
	HaDcsStatus status;
	bool		succeeded;
	bool		told;
	const char *name;
}			cases[] =

{
	{true, false, TERM, HA_DCS_OK, true, true, "confirmed"},
	{true, true, TERM, HA_DCS_OK, true, true, "a read was faster"},
	{false, false, TERM, HA_DCS_OK, true, false, "no new reign: only checked"},
	{false, true, TERM, HA_DCS_OK, true, false, "... and a read was faster"},
	{true, false, TERM, HA_DCS_OK, false, false, "refused"},
	{true, true, TERM, HA_DCS_UNKNOWN, false, false, "no answer"},
	{true, true, TERM - 1, HA_DCS_OK, true, false, "the key is of another life"},
};

static void
test_change(void)
{
	for (int i = 0; i < LENGTH_OF(cases); i++)
	{
		become_leader(cases[i].intent);
		lease.change.term = cases[i].term;
		send_all(HA_CONFIRM, 3000);
		OK(lease.op_tag != 0 && lease.op_verb == HA_CONFIRM && lease.read_tag != 0,
		   "a write and a read are out");
		if (cases[i].read_first)
		{
			hear_read(KEY_AT + 1, 3030);
			OK(lease.view.valid && !lease.view.term.intent && lease.holding,
			   "the read shows the reign");
		}
		hear_write(cases[i].status, cases[i].succeeded, KEY_AT + 1, 3040);
		OK(lease.change.present == cases[i].told &&
		   lease.change.complete == cases[i].told, cases[i].name);
		OK(!cases[i].told || (lease.change.promote_ms == 1000 &&
							  lease.change.confirm_ms == 40),
		   "how long it took");
	}
}

int
main(void)
{
	test_change();
	return end_of_tests();
}
