/*-------------------------------------------------------------------------
 *
 * store_functions.c
 *	  SQL functions: how the store is, as this member sees it.
 *
 * What they tell is for people.  Nothing that pg_ha does rests on it, since a
 * connection that failed and a store that is down can't be told apart for sure.
 *
 * Of the endpoints that nothing else is asked of, the worker learns when somebody
 * looks.  A function waits for that a moment, not longer: it answers whatever state the
 * store is in, and says how old what it knows is.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster.h"
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "control.h"
#include "dcs.h"
#include "endpoint.h"
#include "functions.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(pg_ha_dcs);
PG_FUNCTION_INFO_V1(pg_ha_quorum);

/* ms that a look waits for answers, which etcd has within few */
#define LOOK_WAIT		30
#define LOOK_STEP		5

/* When an endpoint was last heard of, or not; 0 = never asked. */
static int64
told_at(const HaEndpoint *endpoint)
{
	return Max(endpoint->ok_at, endpoint->failed_at);
}

static int64
oldest_fact(const HaStore *store)
{
	int64		oldest = PG_INT64_MAX;

	for (int i = 0; i < store->nendpoints; i++)
		oldest = Min(oldest, told_at(&store->endpoints[i]));
	return oldest;
}

/* Have everybody asked, and wait a moment for what they say. */
static HaPublished *
look_at_store(void)
{
	HaPublished *p = ha_sql_look();
	int64		now = ha_now();
	int64		give_up = now + LOOK_WAIT;
	int64		wanted = now - p->config.loop_wait;

	pg_atomic_write_u64(&ha_shared->looked_at, (uint64) now);
	if (ha_shared->worker_latch != NULL)
		SetLatch(ha_shared->worker_latch);
	while (oldest_fact(&p->store) < wanted && ha_now() < give_up)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_STEP, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		pfree(p);
		p = ha_sql_look();
	}
	return p;
}

static const HaVoter *
find_voter(const HaStore *store, uint64 id)
{
	for (int i = 0; i < store->nvoters; i++)
	{
		if (store->voters[i].id == id)
			return &store->voters[i];
	}
	return NULL;
}

/* Who leads etcd, by the latest that anybody has said; 0 = not known. */
static uint64
etcd_leader(const HaStore *store)
{
	int64		term = 0;
	uint64		leader = 0;

	for (int i = 0; i < store->nendpoints; i++)
	{
		if (store->endpoints[i].leader_term >= term &&
			store->endpoints[i].leader_id != 0)
		{
			term = store->endpoints[i].leader_term;
			leader = store->endpoints[i].leader_id;
		}
	}
	return term >= store->raft_term ? leader : 0;
}

Datum
pg_ha_dcs(PG_FUNCTION_ARGS)
{
	HaPublished *p = look_at_store();
	const HaStore *store = &p->store;
	uint64		leader = etcd_leader(store);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < store->nendpoints; i++)
	{
		const HaEndpoint *e = &store->endpoints[i];
		const HaVoter *voter = find_voter(store, e->member_id);
		Row			row = {0};

		add_text(&row, e->url);
		add_text(&row, ha_endpoint_state_name(e->state));
		add_text(&row, e->error);
		if (e->ok_at == 0)
			add_null(&row);
		else
			add(&row, Int64GetDatum(e->latency));
		if (leader == 0 || e->member_id == 0)
			add_null(&row);
		else
			add(&row, BoolGetDatum(e->member_id == leader));
		add(&row, BoolGetDatum(i == store->in_use));
		add_text(&row, voter != NULL ? voter->name : NULL);
		add_text(&row, e->version);
		add_time(&row, e->ok_at);
		add_time(&row, e->failed_at);
		put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 * pg_ha_quorum()
 *-------------------------------------------------------------------------
 */

/* It answers for itself, whether or not it can for the store. */
static bool
is_up(const HaEndpoint *endpoint)
{
	return endpoint->state == HA_ENDPOINT_OK ||
		endpoint->state == HA_ENDPOINT_NO_QUORUM ||
		endpoint->state == HA_ENDPOINT_AUTH;
}

static int
count_voters(const HaStore *store)
{
	int			n = 0;

	for (int i = 0; i < store->nvoters; i++)
	{
		if (!store->voters[i].learner)
			n++;
	}
	return n;
}

/*
 * The voters behind these endpoints, each once, though several names may lead to one.
 * "up": only those that answer.  An endpoint that was never reached is taken for a voter
 * of its own.
 */
static int
count_behind(const HaStore *store, const bool *endpoints, bool up)
{
	int			n = 0;

	for (int i = 0; i < store->nendpoints; i++)
	{
		const HaEndpoint *e = &store->endpoints[i];
		const HaVoter *voter = find_voter(store, e->member_id);
		bool		counted = false;

		if (!endpoints[i] || (up && !is_up(e)) ||
			(voter != NULL ? voter->learner : e->member_id != 0))
			continue;
		for (int j = 0; j < i; j++)
			counted |= endpoints[j] && e->member_id != 0 &&
				store->endpoints[j].member_id == e->member_id &&
				(!up || is_up(&store->endpoints[j]));
		if (!counted)
			n++;
	}
	return n;
}

static void warn(StringInfo warning, const char *fmt,...) pg_attribute_printf(2, 3);

static void
warn(StringInfo warning, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	appendStringInfo(warning, "%s%s", warning->len > 0 ? "; " : "", text);
}

/* Which of our endpoints does a list of URLs, separated by blanks, name? */
static void
pick_endpoints(const HaStore *store, char *urls, bool *endpoints)
{
	char	   *save = NULL;

	for (char *url = strtok_r(urls, " \t\n", &save); url != NULL;
		 url = strtok_r(NULL, " \t\n", &save))
	{
		size_t		length = strlen(url);

		while (length > 0 && url[length - 1] == '/')
			url[--length] = '\0';
		for (int i = 0; i < store->nendpoints; i++)
			endpoints[i] |= strcmp(store->endpoints[i].url, url) == 0;
	}
}

/* One site of pg_ha.etcd_sites. */
typedef struct Site
{
	char		name[HA_NAME_SIZE];
	int			voters;
} Site;

/* Returns how many sites there are. */
static int
read_sites(const HaStore *store, Site *sites)
{
	char	   *map = pstrdup(ha_etcd_sites);
	char	   *save = NULL;
	int			n = 0;

	for (char *entry = strtok_r(map, ",", &save);
		 entry != NULL && n < HA_MAX_ENDPOINTS;
		 entry = strtok_r(NULL, ",", &save))
	{
		bool		endpoints[HA_MAX_ENDPOINTS] = {0};
		char	   *urls = strchr(entry, '=');

		if (urls == NULL)
			continue;
		*urls++ = '\0';
		entry += strspn(entry, " \t\n");
		pick_endpoints(store, urls, endpoints);
		strlcpy(sites[n].name, entry, sizeof(sites[n].name));
		sites[n].voters = count_behind(store, endpoints, false);
		n++;
	}
	pfree(map);
	return n;
}

/*
 * The site at which all are who may lead; NULL if there are more, or somebody has not
 * told where it is.
 */
static const char *
site_of_candidates(const HaView *view)
{
	const char *site = NULL;

	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (member->nofailover || member->failover_priority <= 0)
			continue;
		if (member->site[0] == '\0' ||
			(site != NULL && strcmp(site, member->site) != 0))
			return NULL;
		site = member->site;
	}
	return site;
}

static bool
is_another_site(const HaView *view, const Site *sites, int n,
				const char *site)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(sites[i].name, site) != 0)
			return true;
	}
	for (int i = 0; i < view->nmembers; i++)
	{
		if (view->members[i].site[0] != '\0' &&
			strcmp(view->members[i].site, site) != 0)
			return true;
	}
	return false;
}

/*
 * What a site takes along.  Where no site has the majority, such as with one member of
 * etcd at each of three, the leader may be anywhere.
 */
static void
warn_of_sites(const HaView *view, const HaStore *store, int voters,
			  StringInfo warning)
{
	const HaMember *leader = view->leader.present ?
	ha_find_member(view, view->leader.name) : NULL;
	const char *candidates = site_of_candidates(view);
	Site		sites[HA_MAX_ENDPOINTS];
	int			n = read_sites(store, sites);

	for (int i = 0; i < n; i++)
	{
		if (voters - sites[i].voters < voters / 2 + 1)
			warn(warning, "losing site \"%s\" also loses the etcd majority",
				 sites[i].name);
		if (leader != NULL && leader->site[0] != '\0' &&
			strcmp(leader->site, sites[i].name) != 0 &&
			sites[i].voters >= voters / 2 + 1)
			warn(warning,
				 "the leader is at site \"%s\", and cannot lead without site \"%s\", which has the etcd majority",
				 leader->site, sites[i].name);
	}
	if (candidates != NULL && is_another_site(view, sites, n, candidates))
		warn(warning, "all members that may lead are at site \"%s\"",
			 candidates);
}

/* A member that we have no endpoint of can't be told from one that is down. */
static void
warn_of_strangers(const HaStore *store, StringInfo warning)
{
	for (int i = 0; i < store->nendpoints; i++)
	{
		if (store->endpoints[i].member_id == 0)
			return;				/* it may be any of them */
	}
	for (int i = 0; i < store->nvoters; i++)
	{
		bool		found = store->voters[i].learner;

		for (int j = 0; j < store->nendpoints; j++)
			found |= store->endpoints[j].member_id == store->voters[i].id;
		if (!found)
			warn(warning,
				 "member \"%s\" of etcd is not among pg_ha.etcd_endpoints",
				 store->voters[i].name);
	}
}

Datum
pg_ha_quorum(PG_FUNCTION_ARGS)
{
	HaPublished *p = look_at_store();
	const HaStore *store = &p->store;
	int			voters = count_voters(store);
	int			needed = voters / 2 + 1;
	bool		all[HA_MAX_ENDPOINTS];
	int			healthy;
	char		text[128];
	StringInfoData warning;
	Row			row = {0};

	initStringInfo(&warning);
	memset(all, true, sizeof(all));
	healthy = count_behind(store, all, true);
	if (store->listed_at == 0)
	{
		warn(&warning, "no endpoint of etcd has told yet which members etcd has");
		add_null(&row);
		add(&row, Int32GetDatum(healthy));
		add_null(&row);
		add_null(&row);
	}
	else
	{
		add(&row, Int32GetDatum(voters));
		add(&row, Int32GetDatum(healthy));
		add(&row, Int32GetDatum(needed));
		add(&row, Int32GetDatum(Max(healthy - needed, 0)));
		if (healthy < needed)
			warn(&warning,
				 "%d of %d voting members of etcd answer here, and %d are needed",
				 healthy, voters, needed);
		else if (voters == 1)
			warn(&warning,
				 "etcd has 1 voting member and cannot lose it; use 3 or 5");
		else if (healthy == needed && healthy < voters)
			warn(&warning, "etcd cannot lose another member");
		if (ha_even_voters(voters, text, sizeof(text)))
			warn(&warning, "%s", text);
		warn_of_strangers(store, &warning);
		warn_of_sites(&p->view, store, voters, &warning);
	}
	add_text(&row, warning.data);
	add_time(&row, store->nendpoints > 0 ? oldest_fact(store) : 0);
	PG_RETURN_DATUM(row_datum(fcinfo, &row));
}
