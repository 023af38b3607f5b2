/*-------------------------------------------------------------------------
 *
 * inquiry.c
 *	  Asking members of Patroni how far they are, before one of ours leads (S-11).
 *
 * They give no votes, so each is asked over HTTP, as they ask each other: GET its
 * api_url.  All are asked in one round, which is over when each question has its answer
 * or its timeout; one that does not answer is as if it were not there, which is what
 * Patroni does.
 *
 * With the leader its member key goes, though its server may still be a primary.  So
 * those are asked that there are, and those that there were while somebody led last.
 *
 *-------------------------------------------------------------------------
 */
#include "inquiry.h"
#include "mixed.h"
#include "patroni_json.h"
#include "rules.h"

/* Patroni's own */
#define ANSWER_TIMEOUT		2000

/* Every question has its end before that; what was lost is not waited for. */
#define ROUND_LIMIT			(2 * ANSWER_TIMEOUT)

static HaInquired *
find(HaInquiry *inquiry, const char *name)
{
	for (int i = 0; i < inquiry->n; i++)
	{
		if (is_name(inquiry->whom[i].peer.name, name))
			return &inquiry->whom[i];
	}
	return NULL;
}

static void
forget(HaInquiry *inquiry, const char *name)
{
	HaInquired *whom = find(inquiry, name);

	if (whom != NULL)
		*whom = inquiry->whom[--inquiry->n];
}

static void
note(HaInquiry *inquiry, const HaMember *member)
{
	HaInquired *whom = find(inquiry, member->name);

	if (whom == NULL && inquiry->n == HA_MAX_MEMBERS)
		return;					/* as many as there can be members */
	if (whom == NULL)
	{
		whom = &inquiry->whom[inquiry->n++];
		memset(whom, 0, sizeof(*whom));
		copy_name(whom->peer.name, member->name);
	}
	memcpy(whom->url, member->api_url, sizeof(whom->url));
}

void
ha_inquiry_look(HaInquiry *inquiry, const HaView *view)
{
	if (view->leader.present)
	{
		inquiry->n = 0;
		inquiry->began_at = 0;
	}
	for (int i = 0; i < bounded(view->nmembers, HA_MAX_MEMBERS); i++)
	{
		if (ha_mixed_is_patroni(&view->members[i]))
			note(inquiry, &view->members[i]);
		else
			forget(inquiry, view->members[i].name);
	}
}

bool
ha_inquiry_next(HaInquiry *inquiry, int64_t now, HaPeerRequest *request,
				HaInquired **whom)
{
	if (inquiry->began_at != 0 && now - inquiry->began_at > ROUND_LIMIT)
		inquiry->began_at = 0;
	if (inquiry->began_at == 0 && inquiry->wanted)
	{
		inquiry->began_at = now;
		for (int i = 0; i < inquiry->n; i++)
		{
			inquiry->whom[i].sent = false;
			inquiry->whom[i].tag = 0;
		}
	}
	for (int i = 0; i < inquiry->n && inquiry->began_at != 0; i++)
	{
		if (inquiry->whom[i].sent)
			continue;
		*whom = &inquiry->whom[i];
		(*whom)->sent = true;
		memset(request, 0, sizeof(*request));
		request->timeout = ANSWER_TIMEOUT;
		request->get = true;
		memcpy(request->url, (*whom)->url, sizeof(request->url));
		return true;
	}
	return false;
}

/* All have been asked, and none is waited for. */
static bool
is_over(const HaInquiry *inquiry)
{
	for (int i = 0; i < inquiry->n; i++)
	{
		if (!inquiry->whom[i].sent || inquiry->whom[i].tag != 0)
			return false;
	}
	return true;
}

/* For people. */
static void
note_trouble(HaInquired *whom, const HaPeerAnswer *answer)
{
	const char *text = whom->peer.answered ? "" :
	answer->body != NULL ? "it tells no position, or is another member" :
	answer->text;

	memset(whom->trouble, 0, sizeof(whom->trouble));
	strncpy(whom->trouble, text, sizeof(whom->trouble) - 1);
}

bool
ha_inquiry_answered(HaInquiry *inquiry, const HaPeerAnswer *answer,
					uint64_t sysid)
{
	for (int i = 0; i < inquiry->n && answer->tag != 0; i++)
	{
		HaInquired *whom = &inquiry->whom[i];
		char		name[HA_NAME_SIZE];

		if (whom->tag != answer->tag)
			continue;
		whom->tag = 0;
		copy_name(name, whom->peer.name);
		memset(&whom->peer, 0, sizeof(whom->peer));
		copy_name(whom->peer.name, name);
		whom->peer.answered = answer->body != NULL &&
			ha_patroni_parse(answer->body, answer->length, sysid,
							 &whom->peer);
		whom->peer.asked_at = inquiry->began_at;
		note_trouble(whom, answer);
		if (is_over(inquiry))
			inquiry->began_at = 0;
		return true;
	}
	return false;
}

void
ha_inquiry_void(HaInquiry *inquiry)
{
	inquiry->began_at = 0;
	for (int i = 0; i < inquiry->n; i++)
	{
		inquiry->whom[i].tag = 0;
		inquiry->whom[i].peer.asked_at = 0;
		inquiry->whom[i].peer.answered = false;
	}
}

void
ha_inquiry_tell(const HaInquiry *inquiry, HaLocal *local)
{
	memset(local->peers, 0, sizeof(local->peers));
	local->npeers = inquiry->n;
	for (int i = 0; i < inquiry->n; i++)
		local->peers[i] = inquiry->whom[i].peer;
}
