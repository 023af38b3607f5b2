/*-------------------------------------------------------------------------
 *
 * failsafe.c
 *	  Failsafe mode: leading without the store, by the promises of all (S-9).
 *
 * Why that is safe.  Nobody may lead but those whom /failsafe lists (election.c),
 * and a leader asks everybody who may stand there.  Whoever accepts has had no
 * vote, no acquiring txn and no key, and promises by its own clock to want none
 * for one TTL from a moment after the question was sent.  So if all accept
 * before the present deadline has passed, nobody has led until then, and nobody
 * will before the first question of the round was sent plus that TTL.  The next
 * round, or the store, must come before that is over: the chain has no gap, or
 * it ends.  A deadline that has passed is never moved by promises, since nobody
 * knows who has led meanwhile.
 *
 * Whom /failsafe may list: what this reign has put last, if that is known to have
 * succeeded, and what it has put since with unknown outcome, which may land at
 * any time.  A list from before this reign, or one that somebody else has put
 * since, is none to count on: then there is no failsafe mode until ours stands
 * there again.
 *
 *-------------------------------------------------------------------------
 */
#include "failsafe.h"
#include "failsafe_json.h"
#include "lease.h"
#include "mixed.h"
#include "rules.h"

#include <string.h>

/* A question that is older than this, its asker does not wait for any more. */
#define QUESTION_IS_OLD		2000

/* A member that does not answer within this is not there, as in Patroni. */
#define LONGEST_WAIT		2000

static void
copy_text(char *to, const char *from, size_t size)
{
	size_t		length = strlen(from);

	if (length > size - 1)
		length = size - 1;
	memcpy(to, from, length);
	to[length] = '\0';
}

static void
append(char *to, size_t size, const char *text)
{
	size_t		used = strlen(to);

	copy_text(to + used, text, size - used);
}

static bool
is_listed(const HaFailsafe *list, const char *name)
{
	for (int i = 0; i < list->nmembers; i++)
	{
		if (strcmp(list->members[i], name) == 0)
			return true;
	}
	return false;
}

/*-------------------------------------------------------------------------
 * The asking side: /failsafe
 *-------------------------------------------------------------------------
 */

void
ha_asking_void(HaAsking *asking)
{
	asking->began_at = 0;
	asking->nasked = 0;
	asking->due = 0;
	asking->base = 0;
	asking->nagreed = 0;
	asking->trouble[0] = '\0';
}

void
ha_asking_forget(HaAsking *asking)
{
	ha_asking_void(asking);
	asking->confirmed = asking->unsettled = asking->announced = false;
	asking->denial_lost = false;
	asking->put_tag = 0;
	asking->put_due = 0;
}

static void
add_member(HaFailsafe *list, const char *name, const char *url)
{
	if (is_listed(list, name) || list->nmembers >= HA_MAX_MEMBERS)
		return;
	copy_text(list->members[list->nmembers], name, HA_NAME_SIZE);
	copy_text(list->api_urls[list->nmembers++], url, HA_URL_SIZE);
}

static bool
is_same_list(const HaFailsafe *a, const HaFailsafe *b)
{
	if (a->nmembers != b->nmembers)
		return false;
	for (int i = 0; i < a->nmembers; i++)
	{
		if (strcmp(a->members[i], b->members[i]) != 0 ||
			strcmp(a->api_urls[i], b->api_urls[i]) != 0)
			return false;
	}
	return true;
}

bool
ha_asking_wants_put(const HaAsking *asking, const HaView *view,
					const char *name, HaFailsafe *wanted)
{
	const HaMember *self = ha_find_member(view, name);

	memset(wanted, 0, sizeof(*wanted));
	wanted->present = true;
	add_member(wanted, name, self != NULL ? self->api_url : "");
	for (int i = 0; i < view->nmembers; i++)
	{
		if (view->members[i].api_url[0] != '\0')
			add_member(wanted, view->members[i].name,
					   view->members[i].api_url);
	}
	return !asking->confirmed || asking->unsettled ||
		view->failsafe.mod_revision != asking->list.mod_revision ||
		!is_same_list(wanted, &asking->list);
}

void
ha_asking_put_sent(HaAsking *asking, uint32_t tag, const HaFailsafe *wanted)
{
	/*
	 * An earlier one of unknown outcome was guarded by the same revision, so
	 * only one of both can land, and nobody knows which.
	 */
	if (!asking->unsettled)
		asking->maybe.nmembers = 0;
	for (int i = 0; i < wanted->nmembers; i++)
	{
		if (asking->maybe.nmembers == HA_MAX_MEMBERS &&
			!is_listed(&asking->maybe, wanted->members[i]))
			asking->confirmed = false;	/* more than can be asked */
		add_member(&asking->maybe, wanted->members[i], wanted->api_urls[i]);
	}

	/* promises were given for the old list, and no one else was asked */
	asking->base = asking->began_at = 0;
	asking->nasked = asking->nagreed = 0;
	asking->unsettled = true;
	asking->put = *wanted;
	asking->put_tag = tag;
}

void
ha_asking_put_answered(HaAsking *asking, const HaAnswer *answer)
{
	asking->put_tag = 0;
	if (answer->status != HA_DCS_OK || !answer->succeeded)
		return;					/* what may have landed before may still */
	asking->list = asking->put;
	asking->list.mod_revision = answer->revision;
	asking->confirmed = true;
	asking->unsettled = false;
}

/*-------------------------------------------------------------------------
 * The asking side: rounds
 *-------------------------------------------------------------------------
 */

/* Scheme and authority of an api_url, then the path that is asked. */
static void
question_url(char *url, const char *api_url)
{
	const char *authority = strstr(api_url, "://");
	size_t		length = 0;

	if (authority != NULL)
		length = authority - api_url + 3 + strcspn(authority + 3, "/?#");
	if (length > HA_URL_SIZE - sizeof("/failsafe"))
		length = 0;
	memcpy(url, api_url, length);
	memcpy(url + length, "/failsafe", sizeof("/failsafe"));
}

static bool
add_asked(HaAsking *asking, const HaFailsafe *list, const char *self)
{
	for (int i = 0; i < list->nmembers; i++)
	{
		bool		known = strcmp(list->members[i], self) == 0;
		HaAsked    *asked = &asking->asked[asking->nasked];

		for (int j = 0; j < asking->nasked; j++)
			known = known || strcmp(list->members[i],
									asking->asked[j].name) == 0;
		if (known)
			continue;
		if (asking->nasked == HA_MAX_MEMBERS)
			return false;
		memset(asked, 0, sizeof(*asked));
		copy_text(asked->name, list->members[i], HA_NAME_SIZE);
		question_url(asked->url, list->api_urls[i]);
		asking->nasked++;
	}
	return true;
}

/* All of the round have agreed: that is what the deadline rests on. */
static void
conclude(HaAsking *asking)
{
	for (int i = 0; i < asking->nasked; i++)
	{
		if (!asking->asked[i].accepted)
			return;
	}
	asking->base = asking->began_at;
	asking->base_ttl = asking->ttl;
	asking->nagreed = asking->nasked;
	asking->trouble[0] = '\0';
	asking->due = asking->began_at + asking->ttl / 5;
	asking->began_at = 0;
}

/*
 * A member of Patroni keeps no promise beyond its own life, nor from standing for
 * another's election, so it is not asked for one (S-11).  Where there were some, one may
 * be behind a name that has no member key at the moment.
 */
static bool
lists_patroni(HaAsking *asking, const HaView *view, bool patroni_seen)
{
	for (int i = 0; i < asking->nasked; i++)
	{
		const char *name = asking->asked[i].name;

		const HaMember *member = ha_find_member(view, name);

		if (!ha_mixed_is_patroni(member) && (member != NULL || !patroni_seen))
			continue;
		copy_text(asking->trouble, member != NULL ? "Patroni runs member \"" :
				  "Patroni may run member \"", HA_WHY_SIZE);
		append(asking->trouble, HA_WHY_SIZE, name);
		append(asking->trouble, HA_WHY_SIZE, "\", so its promise would not do");
		asking->nasked = 0;
		return true;
	}
	return false;
}

bool
ha_asking_begin(HaAsking *asking, const HaView *view, bool view_is_newer,
				bool patroni_seen, const char *name, int64_t ttl, int64_t now)
{
	if (!view->config.failsafe_mode || !asking->announced ||
		!asking->confirmed ||
		(view_is_newer && !asking->unsettled &&
		 view->failsafe.mod_revision != asking->list.mod_revision))
		return false;
	asking->nasked = 0;
	if (!add_asked(asking, &asking->list, name) ||
		(asking->unsettled && !add_asked(asking, &asking->maybe, name)) ||
		lists_patroni(asking, view, patroni_seen))
		return false;
	asking->began_at = now;
	asking->ttl = ttl;
	conclude(asking);			/* alone: nobody is to be asked */
	return true;
}

bool
ha_asking_next(HaAsking *asking, const HaView *view, const char *name,
			   int64_t term, uint64_t lsn, HaPeerRequest *request,
			   HaAsked **whom)
{
	const HaMember *self = ha_find_member(view, name);
	HaQuestion	question = {0};

	for (int i = 0; i < asking->nasked && asking->began_at != 0; i++)
	{
		HaAsked    *asked = &asking->asked[i];

		if (asked->sent)
			continue;
		copy_text(question.name, name, HA_NAME_SIZE);
		question.term = term;
		question.ttl = asking->ttl;
		question.lsn = lsn;
		question.sysid = view->sysid & INT64_MAX;
		copy_text(question.member, asked->name, HA_NAME_SIZE);
		memset(request, 0, sizeof(*request));
		request->timeout = later(earlier(asking->ttl / 4, LONGEST_WAIT), 200);
		copy_text(request->url, asked->url, HA_URL_SIZE);
		request->body = ha_question_json(&question,
										 self != NULL ? self->conn_url : "",
										 self != NULL ? self->api_url : "");
		asked->sent = true;
		*whom = asked;
		return true;
	}
	return false;
}

static void
fail_round(HaAsking *asking, const HaAsked *asked, const HaPeerAnswer *answer,
		   int64_t now)
{
	char	   *text = asking->trouble;

	copy_text(text, "member \"", HA_WHY_SIZE);
	append(text, HA_WHY_SIZE, asked->name);
	append(text, HA_WHY_SIZE, answer->status == 0 ? "\" did not answer (" :
		   "\" refused (");
	append(text, HA_WHY_SIZE, answer->text);
	append(text, HA_WHY_SIZE, ")");
	asking->began_at = 0;
	asking->due = now + later(asking->ttl / 20, 100);
}

void
ha_asking_answered(HaAsking *asking, const HaPeerAnswer *answer,
				   int64_t deadline, int64_t now)
{
	if (asking->began_at == 0 || answer->tag == 0)
		return;
	for (int i = 0; i < asking->nasked; i++)
	{
		HaAsked    *asked = &asking->asked[i];

		if (asked->tag != answer->tag)
			continue;
		asked->tag = 0;
		if (answer->status != 200 || strcmp(answer->text, "Accepted") != 0)
			fail_round(asking, asked, answer, now);
		else if (now < deadline)
		{
			asked->accepted = true;
			conclude(asking);
		}
		else
			asking->began_at = 0;	/* too late: the chain is broken */
		return;
	}
}

int64_t
ha_asking_deadline(const HaAsking *asking)
{
	if (asking->base == 0)
		return 0;
	return asking->base + asking->base_ttl - ha_lease_margin(asking->base_ttl);
}

/*-------------------------------------------------------------------------
 * The answering side
 *-------------------------------------------------------------------------
 */

/*
 * Is the asker, as far as we know, the last who led?  A leader that tells no
 * term is Patroni's.  What was known before the worker began anew is in the
 * promise still.
 */
static bool
is_last_leader(const HaView *view, const HaQuestion *question, int64_t now,
			   const HaControlPromise *promise)
{
	const char *name = question->name;

	if (question->term >= 0)
	{
		if (question->term < promise->term)
			return false;
		if (!view->valid || !view->term.present)
			return true;
		return question->term > view->term.term ||
			(question->term == view->term.term &&
			 strcmp(view->term.owner, name) == 0);
	}
	if (now < promise->until && strcmp(promise->leader, name) == 0)
		return true;
	if (view->valid && view->leader.present)
		return strcmp(view->leader.name, name) == 0;
	return view->valid && strcmp(view->term.owner, name) == 0;
}

/* Why it can't be promised; NULL = it can. */
static const char *
find_hindrance(const HaView *view, const HaLocal *local,
			   const HaControlQuestion *question, int64_t now,
			   const HaControlPromise *promise)
{
	const char *name = question->question.name;

	if (now - question->asked_at > QUESTION_IS_OLD)
		return "the question is too old";
	if (strcmp(name, local->name) == 0)
		return "this member has the same name";

	/* an address may have come to be another's, who can't speak for it */
	if (question->question.member[0] != '\0' &&
		strcmp(question->question.member, local->name) != 0)
		return "the question is for another member";
	if (question->question.sysid != 0 && local->sysid != 0 &&
		question->question.sysid != (local->sysid & INT64_MAX))
		return "the question is from another cluster";
	if (local->stopping)
		return "this member is stopping";
	if (local->holding || local->reassert ||
		(view->valid && view->leader.present &&
		 strcmp(view->leader.name, local->name) == 0))
		return "this member holds the leader key";
	if (local->bid)
		return "this member has voted, or tries to lead";
	if (!local->promises_known &&
		now < local->starting_since + later(view->config.ttl,
											local->heartbeat_ttl))
		return "this member may have tried to lead before it started";
	if (!is_last_leader(view, &question->question, now, promise))
		return "another member has led since";
	return NULL;
}

void
ha_failsafe_answer(const HaView *view, const HaLocal *local,
				   const HaControlQuestion *question, int64_t now,
				   HaControlPromise *promise)
{
	const HaQuestion *asked = &question->question;
	const char *hindrance;
	int64_t		ttl = asked->ttl;

	/* who does not tell has the cluster's, as far as we know it */
	if (ttl == 0)
		ttl = later(view->config.ttl, local->heartbeat_ttl);

	promise->answered = question->seq;
	promise->lsn = local->replay_lsn;
	promise->why[0] = '\0';
	if (local->role == HA_ROLE_PRIMARY)
		promise->verdict = HA_VERDICT_LEADER;
	else if (!promise->mode_on)
		promise->verdict = HA_VERDICT_OFF;
	else
	{
		hindrance = find_hindrance(view, local, question, now, promise);
		promise->verdict = hindrance == NULL ? HA_VERDICT_ACCEPTED :
			HA_VERDICT_REFUSED;
		if (hindrance != NULL)
		{
			copy_text(promise->why, hindrance, sizeof(promise->why));
			return;
		}
		copy_text(promise->leader, asked->name, HA_NAME_SIZE);
		promise->until = later(promise->until, now + ttl);
		if (promise->leader_term != asked->term ||
			promise->leader_lsn < asked->lsn)
			promise->leader_lsn = asked->lsn;
		promise->leader_term = asked->term;
		if (asked->term > promise->term)
			promise->term = asked->term;
	}
}
