/*-------------------------------------------------------------------------
 *
 * sim_patroni.c
 *	  A member of Patroni beside ours, in some histories (S-11).
 *
 * It comes as a standby and goes again.  In between it takes the leader key whenever it
 * finds it free, as Patroni does: without votes, heartbeat or term.  Then it is promoted,
 * and a while later /history tells.  What it acknowledges is not looked at, since nothing
 * is promised of that; so it has no server, and can't be followed.  It only comes to
 * lead when no gate is open, or may be opened by an old proof, as it would not wait for
 * that, and its timeline leaves the other at a position that nobody has come to.
 *
 * Asked how far it is, it is silent, behind or ahead, or says that it is a primary, also
 * for a while after its key is gone.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../member_json.h"
#include "sim.h"

#define NAME			"patroni"

/*
 * Which histories have one: as random as a draw, and moves no later one.  Not those of
 * a standby cluster, which no member of Patroni may be in.
 */
#define ONE_IN			16
#define THIS_ONE		5

#define MEAN_TIME		(15 * SIM_SECOND)
#define LOOK_AGAIN		(30 * SIM_MS)
#define LONG_STILL		(2 * SIM_SECOND)	/* it is a primary after its end */
#define NOBODY_CAME		(UINT64_C(1) << 30)

static bool is_there;
static int64_t goes_at;			/* world, as all here */
static bool leads;
static int64_t reign_ends_at;
static int64_t told_at;			/* when its key is to tell of it; 0 = it does */
static int64_t written_at;		/* ... and /history */
static int64_t lease;
static uint32_t timeline;		/* that it leads, or led last */
static uint64_t begin;
static int64_t still_until;

static bool
is_chosen(void)
{
	return ha_world.seed % ONE_IN == THIS_ONE &&
		!ha_world.shape.standby_cluster;
}

/* Under which both its keys are, until it is over. */
static void
get_lease(int64_t until)
{
	int64_t		ttl = (until - ha_world.now) / SIM_MS;

	lease = ha_store_grant(ttl > 1000 ? ttl : 1000);
}

/* Its key. */
static void
tell(HaRole role, uint32_t on)
{
	HaMember	m = {0};
	char	   *json;

	snprintf(m.name, sizeof(m.name), NAME);
	snprintf(m.conn_url, sizeof(m.conn_url), "postgres://127.0.0.77:5432/x");
	snprintf(m.api_url, sizeof(m.api_url), "http://127.0.0.77:8008/patroni");
	snprintf(m.patroni, sizeof(m.patroni), "4.1.5");
	m.state = HA_STATE_RUNNING;
	m.role = role;
	m.timeline = on;
	m.lsn = begin != 0 ? begin : 1;
	m.failover_priority = m.sync_priority = 1;
	json = ha_member_json(&m);
	ha_store_put_leased("members/" NAME, json, lease);
	free(json);
}

static bool
some_gate_may_open(void)
{
	const HaHeartbeat *heartbeat = &ha_store_view()->heartbeat;

	if (heartbeat->present && !heartbeat->released &&
		ha_world.now < ha_failsafe_heartbeat_at() +
		(heartbeat->ttl + 1000) * SIM_MS)
		return true;
	for (int i = 0; i < ha_world.nnodes; i++)
	{
		if (ha_sim_clock(i) < ha_world.nodes[i].server.deadline)
			return true;
	}
	return false;
}

/* What a leader of Patroni's does in its first cycle, while it is promoted. */
static void
put_status(void)
{
	char		text[64];

	snprintf(text, sizeof(text), "{\"optime\":%llu}",
			 (unsigned long long) ha_store_view()->optime);
	ha_store_put("status", text);
}

static void
take_key(void)
{
	const HaTerm *term = &ha_store_view()->term;
	int64_t		ttl = ha_sim_between(1, 6) * 1000;

	if (ha_store_view()->leader.present || !ha_store_is_up() ||
		ha_store_is_full() || some_gate_may_open() || !term->present ||
		term->intent || term->standby || term->foreign ||
		term->timeline + 1 >= SIM_TIMELINES ||
		ha_world.timelines[term->timeline + 1].used)
		return;
	begin = NOBODY_CAME * (term->timeline + 1);
	timeline = term->timeline + 1;
	ha_world.timelines[timeline] = (SimTimeline) {
		.used = true,.owner = SIM_PATRONI,.parent = term->timeline,
		.begin = begin,.led = true
	};
	reign_ends_at = ha_world.now + ttl * SIM_MS;
	told_at = ha_world.now + ha_sim_about(300 * SIM_MS);
	written_at = told_at + ha_sim_about(300 * SIM_MS);
	if (goes_at < reign_ends_at)
		goes_at = reign_ends_at;
	leads = true;
	ha_sim_sometimes(SIM_PATRONI_LED);
	ha_sim_say(-1, "a member of Patroni leads, on timeline %u", timeline);
	get_lease(reign_ends_at);
	ha_store_put_leased("leader", NAME, lease);
	put_status();
	tell(ha_sim_chance(500) ? HA_ROLE_PRIMARY : HA_ROLE_STANDBY,
		 timeline - 1);
}

/* What the record tells, and the line that the promotion adds. */
static void
tell_history(void)
{
	const HaTerm *term = &ha_store_view()->term;
	char		text[4096] = "[";
	size_t		used = 1;

	written_at = 0;
	for (int i = 0; i < term->nlineage; i++)
		used += snprintf(text + used, sizeof(text) - used, "[%u,%llu,\"r\"],",
						 term->lineage[i].timeline,
						 (unsigned long long) term->lineage[i].end_lsn);
	snprintf(text + used, sizeof(text) - used,
			 "[%u,%llu,\"r\",\"2026-01-01T00:00:00+00:00\",\"" NAME "\"]]",
			 timeline - 1, (unsigned long long) begin);
	ha_store_put("history", text);
}

/* What it has come to becomes known bit by bit. */
static void
tell_more(void)
{
	if (strcmp(ha_store_view()->leader.name, NAME) != 0)
		return;
	if (told_at != 0 && ha_world.now >= told_at)
	{
		told_at = 0;
		tell(HA_ROLE_PRIMARY, timeline);
	}
	else if (written_at != 0 && ha_world.now >= written_at)
		tell_history();
}

static void
step(int node, int64_t number, void *pointer)
{
	if (!is_there || ha_world.healing)
		return;
	if (leads && ha_world.now >= reign_ends_at)
	{
		leads = false;
		still_until = ha_world.now + ha_sim_about(LONG_STILL);
		get_lease(goes_at);
		tell(HA_ROLE_STANDBY, timeline);
	}
	else if (leads)
		tell_more();
	else
		take_key();
	if (ha_world.now >= goes_at && !leads)
		is_there = false;
	else
		ha_sim_at(ha_world.now + LOOK_AGAIN, SIM_WORLD, -1, step, 0, NULL);
}

static void
come(int node, int64_t number, void *pointer)
{
	if (ha_world.healing)
		return;
	is_there = true;
	goes_at = ha_world.now + ha_sim_about(MEAN_TIME);
	ha_sim_say(-1, "a member of Patroni comes");
	get_lease(goes_at);
	tell(HA_ROLE_STANDBY, ha_store_view()->term.timeline);
	step(-1, 0, NULL);
	ha_sim_at(goes_at + ha_sim_about(MEAN_TIME), SIM_WORLD, -1, come, 0, NULL);
}

void
ha_patroni_begin(void)
{
	is_there = leads = false;
	begin = 0;
	still_until = 0;
	if (is_chosen())
		ha_sim_at(ha_world.now + ha_sim_about(MEAN_TIME), SIM_WORLD, -1, come,
				  0, NULL);
}

/* What it has left runs out by itself. */
void
ha_patroni_end(void)
{
	is_there = leads = false;
	still_until = 0;
}

/*
 * A node takes the key in the term after that reign, which it must have seen: then it
 * was told that the server is a primary still, unless it began when nothing told
 * whom to ask.
 */
void
ha_patroni_check(int node, const HaTerm *old)
{
	if (old->foreign && old->timeline == timeline &&
		ha_world.nodes[node].worker.lease.inquiry.n > 0 &&
		ha_world.now < still_until)
		ha_sim_fail("S-11: %s takes the key while the one of Patroni is a primary",
					ha_world.nodes[node].name);
}

/* What it says of itself, malloc'd; NULL = nothing. */
char *
ha_patroni_answer(void)
{
	const HaTerm *term = &ha_store_view()->term;
	char		text[256];

	if (leads || ha_world.now < still_until)
		snprintf(text, sizeof(text),
				 "{\"role\":\"primary\",\"timeline\":%u,\"xlog\":{\"location\":%llu}}",
				 timeline, (unsigned long long) begin);
	else if (!is_there || ha_sim_chance(300))
		return NULL;
	else
		snprintf(text, sizeof(text),
				 "{\"role\":\"replica\",\"timeline\":%u,\"xlog\":{\"received_location\":%llu}}",
				 term->timeline, ha_sim_chance(300) ? 99999999ULL : 1ULL);
	ha_sim_sometimes(SIM_PATRONI_ASKED);
	return strdup(text);
}
