/*-------------------------------------------------------------------------
 *
 * leader.c
 *	  The leader key as pg_ha_boot sees it while its own server is down.
 *
 * Every txn here compares the leader key's mod_revision and its lease (S-6):
 * the first tells that nobody has touched it, the second that it hangs on the
 * lease which we, and nobody else, renew or let run out.  So none of them can
 * take a key from another member, however late it arrives.
 *
 * Plain C, since the simulator runs it as it is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../mixed.h"
#include "../rules.h"
#include "../term_json.h"
#include "leader.h"

bool
ha_leader_is_us(const HaView *view, const HaControlLease *lease,
				const char *name, bool reput_is_open)
{
	const HaLeaderKey *key = &view->leader;
	const HaTerm *term = &view->term;

	if (!key->present || strcmp(key->name, name) != 0)
		return false;
	if (lease->lease == 0 || key->lease != lease->lease)
		return false;

	/* Nobody but us puts under that lease, so a re-put of ours it must be. */
	if (key->mod_revision != lease->key_revision && !reput_is_open)
		return false;

	/*
	 * An intent acknowledged nothing, and its timeline is not its own; and
	 * before it was seen that nobody led meanwhile, ours may be history.
	 */
	return term->present && !term->intent && term->unchecked_from == 0 &&
		ha_term_is_of(term, name) && term->term == lease->term &&
		term->timeline == lease->timeline;
}

bool
ha_leader_is_synchronous(const HaView *view, const char *name)
{
	return view->config.synchronous_mode != HA_SYNC_OFF &&
		view->sync.present && strcmp(view->sync.leader, name) == 0 &&
		view->sync.nstandbys > 0;
}

const HaMember *
ha_leader_source(const HaView *view, const char *name)
{
	const HaTerm *term = &view->term;

	if (!view->leader.present || strcmp(view->leader.name, name) == 0)
		return NULL;
	if (!term->present || term->intent || term->unchecked_from != 0 ||
		strcmp(term->owner, view->leader.name) != 0 ||
		ha_mixed_is_unrecorded(view))
		return NULL;
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, view->leader.name) == 0)
			return member->state == HA_STATE_RUNNING &&
				(member->role == HA_ROLE_PRIMARY ||
				 (term->standby && member->standby_leader)) &&
				member->host[0] != '\0' && member->port > 0 ? member : NULL;
	}
	return NULL;
}

static bool
is_good_copy(const HaMember *member, const HaTerm *term)
{
	return member->clonefrom && member->state == HA_STATE_RUNNING &&
		member->role == HA_ROLE_STANDBY && member->streaming &&
		!member->sick && member->timeline == term->timeline &&
		member->host[0] != '\0' && member->port > 0;
}

const HaMember *
ha_leader_clone_source(const HaView *view, const char *name)
{
	const HaMember *leader = ha_leader_source(view, name);
	const HaMember *best = leader;

	if (leader == NULL)
		return ha_mixed_source(view, name);
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, name) != 0 &&
			is_good_copy(member, &view->term) &&
			(best == leader || member->lsn > best->lsn))
			best = member;
	}
	return best;
}

/*
 * An id is handed out once, so one that is not in the leader's lineage at all
 * names nothing but our own branch.  The record forgets its oldest entries,
 * though: below the first one it lists, it says nothing.
 */
bool
ha_leader_allows_rewind(const HaView *view, uint32_t timeline,
						const char *name)
{
	const HaTerm *term = &view->term;
	const char *owner = ha_timeline_owner(term, timeline);

	/*
	 * Nobody was ever promoted to it.  Patroni has told who was, to the next
	 * one; of a cluster that was adopted with its WAL nobody knows who wrote
	 * what.
	 */
	if (owner != NULL && owner[0] == '\0' && timeline == 1 &&
		ha_mixed_owner(view, 2)[0] != '\0')
		return true;
	if (owner != NULL)
		return strcmp(owner, name) == 0;
	return timeline > (term->nlineage > 0 ? term->lineage[0].timeline :
					   term->timeline);
}

/* A put of the heartbeat that says: this reign goes on. */
static void
put_heartbeat(HaTxn *txn, const HaControlLease *lease, const char *name,
			  uint64_t lsn)
{
	HaHeartbeat heartbeat = {
		.present = true,
		.term = lease->term,
		.ttl = lease->ttl,
		.lsn = lsn,
	};

	memcpy(heartbeat.name, name, strnlen(name, HA_NAME_SIZE - 1));
	ha_txn_put(txn, "pg_ha/heartbeat", ha_heartbeat_json(&heartbeat), 0);
}

void
ha_txn_reput(HaTxn *txn, const HaView *view, const HaControlLease *lease,
			 const char *name)
{
	memset(txn, 0, sizeof(*txn));
	ha_txn_compare(txn, HA_MOD_REVISION, "leader", view->leader.mod_revision);
	ha_txn_compare(txn, HA_LEASE, "leader", lease->lease);
	ha_txn_compare(txn, HA_MOD_REVISION, "pg_ha/term",
				   view->term.mod_revision);
	ha_txn_put(txn, "leader", strdup(name), lease->lease);
	put_heartbeat(txn, lease, name, view->heartbeat.lsn);
}

void
ha_txn_found(HaTxn *txn, const HaControlLease *lease, const char *name,
			 uint64_t sysid, uint64_t lsn, const HaTerm *history)
{
	static const char *const absent[] = {
		"initialize", "leader", "pg_ha/term", "pg_ha/heartbeat", "sync",
		"failsafe"
	};
	HaTerm		term = *history;
	char		text[32];

	term.present = true;
	term.term = lease->term;
	term.timeline = lease->timeline;
	term.reserved = lease->timeline;
	memcpy(term.owner, name, strnlen(name, HA_NAME_SIZE - 1));
	memcpy(term.timeline_owner, term.owner, sizeof(term.owner));
	snprintf(text, sizeof(text), "%llu", (unsigned long long) sysid);

	memset(txn, 0, sizeof(*txn));
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		ha_txn_compare(txn, HA_CREATE_REVISION, absent[i], 0);
	ha_txn_put(txn, "initialize", strdup(text), 0);
	ha_txn_put(txn, "leader", strdup(name), lease->lease);
	ha_txn_put(txn, "pg_ha/term", ha_term_json(&term), 0);
	put_heartbeat(txn, lease, name, lsn);
}

void
ha_txn_heartbeat(HaTxn *txn, const HaControlLease *lease, const char *name,
				 uint64_t lsn)
{
	memset(txn, 0, sizeof(*txn));
	ha_txn_compare(txn, HA_MOD_REVISION, "leader", lease->key_revision);
	ha_txn_compare(txn, HA_LEASE, "leader", lease->lease);
	put_heartbeat(txn, lease, name, lsn);
}

bool
ha_leader_may_count_on(const HaView *view, const char *name)
{
	/*
	 * who leads by it needs no votes; others may have what it confirmed with
	 * them
	 */
	if (view->sync.present && view->sync.nstandbys > 0 &&
		strcmp(view->sync.leader, name) == 0)
		return true;
	for (int i = 0; i < view->sync.nstandbys && i < HA_MAX_MEMBERS; i++)
	{
		if (strcmp(view->sync.standbys[i], name) == 0)
			return true;
	}

	/* One that can't be read may list anybody. */
	return view->config.synchronous_mode != HA_SYNC_OFF &&
		(!view->sync.present || view->sync.leader[0] == '\0');
}
