/*-------------------------------------------------------------------------
 *
 * survey.c
 *	  Which endpoints of the store are there, and which members it has.
 *
 * Plain C and pure.  A node asks one endpoint of etcd for everything, so of the others
 * it would know nothing, and etcd's members it does not need at all.  But people want
 * to know what the store can lose before they lose it.
 *
 * One etcd may carry a thousand clusters, and their questions shall not be what it is
 * busy with: so one endpoint a minute is asked, in turn, and with it the list of
 * members.  All of them are when somebody looks, by an SQL function, but not more often
 * than the cluster is read.  Neither request goes through etcd's consensus.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "survey.h"

#define PAUSE				60000
#define TIMEOUT				2000

void
ha_survey_init(HaSurvey *survey)
{
	memset(survey, 0, sizeof(*survey));
	survey->list_from = -1;
}

static void
begin_round(HaSurvey *survey, int nendpoints, int64_t looked_at,
			int64_t interval, int64_t now)
{
	bool		all = survey->all_asked_at == 0 ||
	(looked_at > survey->all_asked_at &&
	 now - survey->all_asked_at >= interval);

	if (survey->left > 0 || (!all && now - survey->began_at < PAUSE))
		return;
	survey->left = all ? nendpoints : 1;
	survey->began_at = now;
	if (all)
		survey->all_asked_at = now;
	survey->list_wanted = true;
}

bool
ha_survey_next(HaSurvey *survey, int nendpoints, int64_t looked_at,
			   int64_t interval, int64_t now, HaRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->timeout = TIMEOUT;
	if (survey->list_from >= 0)
	{
		request->kind = HA_DCS_MEMBERS;
		request->endpoint = survey->list_from;
		survey->list_from = -1;
		return true;
	}
	begin_round(survey, nendpoints, looked_at, interval, now);
	while (survey->left > 0)
	{
		int			endpoint = survey->next;

		survey->left--;
		survey->next = (endpoint + 1) % nendpoints;
		if (survey->asking & (1u << endpoint))
			continue;
		survey->asking |= 1u << endpoint;
		request->kind = HA_DCS_STATUS;
		request->endpoint = endpoint;
		return true;
	}
	return false;
}

void
ha_survey_answer(HaSurvey *survey, const HaAnswer *answer, int64_t now)
{
	if (answer->kind == HA_DCS_STATUS)
	{
		survey->asking &= ~(1u << answer->endpoint);

		/* the first of a round that answers is asked for the list, too */
		if (answer->status == HA_DCS_OK && survey->list_wanted)
		{
			survey->list_wanted = false;
			survey->list_from = answer->endpoint;
		}
		return;
	}
	if (answer->status != HA_DCS_OK)
		return;
	survey->listed_at = now;
	survey->nvoters = answer->nvoters;
	memcpy(survey->voters, answer->voters,
		   answer->nvoters * sizeof(HaVoter));
}
