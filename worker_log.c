/*-------------------------------------------------------------------------
 *
 * worker_log.c
 *	  What the worker says in the server's log.
 *
 * Each thing when it begins or ends, though the loop turns twice a second.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_parts.h"

#include "utils/timestamp.h"

#include "mixed.h"
#include "problem_json.h"
#include "versions.h"

/* How often a pause is complained of. */
#define PAUSE_NAG_INTERVAL	(10 * 60 * 1000)

/* One line for each change of plan, with its reason. */
static void
log_plan(const HaWorker *w, const HaPlan *old)
{
	static bool log_lead = false;	/* the last plan led */

	if (w->plan.lead && !log_lead && w->local.deadline != 0)
	{
		log_lead = true;
		ereport(LOG,
				(errmsg("leads cluster \"%s\" in term %lld on timeline %u",
						ha_scope, (long long) w->lease.view.term.term,
						w->local.timeline)));
	}
	else if (!w->plan.lead && log_lead)
	{
		log_lead = false;
		ereport(LOG, (errmsg("does not lead any more: %s", w->plan.why)));
	}
	if (w->plan.verb == HA_GIVE_UP && old->verb != HA_GIVE_UP)
		ereport(LOG,
				(errmsg("giving up the leader lock: check \"%s\" failing for %lld s (%s)",
						w->local.sick_check,
						(long long) (ha_now() - w->local.sick_since) / 1000,
						w->local.sick_detail)));
	if (w->plan.verb != old->verb || strcmp(w->plan.why, old->why) != 0)
		ereport(w->plan.verb == HA_RENEW && old->verb == HA_SET_SYNC ?
				DEBUG1 : LOG,
				(errmsg("plan: %s (%s)", ha_verb_name(w->plan.verb), w->plan.why)));
}

/* One line for each beginning and end, and for each other hindrance. */
static void
log_failsafe(const HaWorker *w, int64 now)
{
	static bool was_active = false;
	static bool had_promised = false;
	static char told[HA_WHY_SIZE] = "";
	const HaAsking *asking = &w->lease.asking;
	bool		has_promised = now < w->promise.until;

	if (w->local.failsafe_active && !was_active)
		ereport(LOG,
				(errmsg("etcd unreachable; staying primary in failsafe mode (%d of %d members agree)",
						asking->nagreed, asking->nagreed)));
	else if (was_active && !w->local.failsafe_active && w->plan.lead)
		ereport(LOG, (errmsg("etcd answers again; failsafe mode is over")));
	was_active = w->local.failsafe_active;

	if (strcmp(told, asking->trouble) != 0 && asking->trouble[0] != '\0')
		ereport(LOG,
				(errmsg("etcd unreachable and %s; commits are suspended at the deadline",
						asking->trouble)));
	strlcpy(told, asking->trouble, sizeof(told));

	if (has_promised && !had_promised)
		ereport(LOG,
				(errmsg("promised leader \"%s\", which can't reach etcd, not to lead",
						w->promise.leader)));
	else if (had_promised && !has_promised)
		ereport(LOG,
				(errmsg("the promise to leader \"%s\" is over",
						w->promise.leader)));
	had_promised = has_promised;
}

/*
 * A pause that somebody forgot is a cluster without failover: say so again and
 * again.
 */
static void
log_pause(HaWorker *w, int64 now)
{
	static int64 nag_at = 0;

	if (!w->lease.view.config.pause)
	{
		if (w->paused_since != 0)
			ereport(LOG, (errmsg("the pause of cluster \"%s\" is over",
								 ha_scope)));
		w->paused_since = 0;
		nag_at = 0;
		return;
	}
	if (w->paused_since == 0)
		w->paused_since = GetCurrentTimestamp();
	if (now < nag_at)
		return;
	nag_at = now + PAUSE_NAG_INTERVAL;
	ereport(WARNING,
			(errmsg("cluster \"%s\" is paused since %s: nobody is elected, promoted or restarted",
					ha_scope, timestamptz_to_str(w->paused_since)),
			 errhint("End the pause with pg_ha_resume().")));
}

/*
 * What a person is to do: the plan says the rest.  Once for each change; members
 * that differ in version are an upgrade that somebody began.
 */
static void
log_versions(const HaWorker *w)
{
	static bool was_too_old = false;
	static char told[HA_WHY_SIZE] = "";
	char		versions[HA_WHY_SIZE] = "";
	bool		too_old = ha_is_too_old(&w->lease.view);

	if (too_old && !was_too_old)
	{
		ha_too_old_why(&w->lease.view, versions, sizeof(versions));
		ereport(WARNING,
				(errmsg("%s", versions),
				 errhint("Until the later version is installed and this server restarted, it is a read-only standby at most.")));
	}
	was_too_old = too_old;
	if (!w->lease.view.valid || too_old)
		return;
	versions[0] = '\0';
	if (ha_versions_differ(&w->lease.view, versions, sizeof(versions)) &&
		strcmp(told, versions) != 0)
		ereport(WARNING,
				(errmsg("members run different versions of pg_ha: %s",
						versions),
				 errhint("That is fine during an upgrade: restart the others with the new version, the leader last.")));
	else if (told[0] != '\0' && versions[0] == '\0')
		ereport(LOG, (errmsg("all members run one version of pg_ha")));
	strlcpy(told, versions, sizeof(told));
}

/* Who is left out of an election for want of an answer; once for each reason. */
static void
log_silent(HaWorker *w)
{
	for (int i = 0; i < w->lease.inquiry.n; i++)
	{
		HaInquired *whom = &w->lease.inquiry.whom[i];

		if (whom->trouble[0] == '\0' || strcmp(whom->told, whom->trouble) == 0)
			continue;
		strlcpy(whom->told, whom->trouble, sizeof(whom->told));
		ereport(LOG,
				(errmsg("member \"%s\", which Patroni runs, was asked how far it is and does not count: %s",
						whom->peer.name, whom->trouble)));
	}
}

/* S-11: for as long as it is so, nobody of ours stands for election. */
static void
log_patroni(HaWorker *w)
{
	static char told[2 * HA_WHY_SIZE] = "";
	static bool was_there = false;
	char		why[2 * HA_WHY_SIZE];
	const HaMember *patroni;

	if (!w->lease.view.valid)
		return;
	patroni = ha_mixed_patroni(&w->lease.view);
	if (patroni != NULL && !was_there)
		ereport(LOG,
				(errmsg("Patroni runs member \"%s\": meanwhile no more is guaranteed than by Patroni",
						patroni->name)));
	else if (patroni == NULL && was_there)
		ereport(LOG, (errmsg("Patroni runs no member any more")));
	was_there = patroni != NULL;
	log_silent(w);
	if (ha_mixed_too_old_why(&w->lease.view.config, &w->lease.view, why,
							 sizeof(why)) && strcmp(told, why) != 0)
		ereport(WARNING,
				(errmsg("%s", why),
				 errhint("Stop that Patroni, and upgrade it: it may take the leader key from whoever has it.")));
	strlcpy(told, why, sizeof(told));
}

void
ha_worker_log(HaWorker *w, const HaPlan *old, int64 now)
{
	log_plan(w, old);
	log_failsafe(w, now);
	log_pause(w, now);
	log_versions(w);
	log_patroni(w);
}
