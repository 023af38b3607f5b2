/*-------------------------------------------------------------------------
 *
 * survey_test.c
 *	  How often endpoints are asked how they are, and which.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../survey.h"
#include "tap.h"

static HaSurvey survey;

/* The endpoints that are asked at that time, such as "0 1 2", "list" for the list. */
static const char *
asked(int64_t looked_at, int64_t now)
{
	static char text[256];
	HaRequest	request;

	text[0] = '\0';
	while (ha_survey_next(&survey, 3, looked_at, 2000, now, &request))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%d",
				 text[0] != '\0' ? " " : "",
				 request.kind == HA_DCS_MEMBERS ? "list " : "",
				 request.endpoint);
	return text;
}

static void
answer(HaDcsKind kind, int endpoint, HaDcsStatus status, int64_t now)
{
	HaVoter		voters[2] = {{.id = 1}, {.id = 2}};
	HaAnswer	a = {.kind = kind,.endpoint = endpoint,.status = status};

	if (kind == HA_DCS_MEMBERS && status == HA_DCS_OK)
	{
		a.nvoters = 2;
		a.voters = voters;
	}
	ha_survey_answer(&survey, &a, now);
}

#define ASKED(looked_at, now, expected) \
	OK(strcmp(asked(looked_at, now), expected) == 0, \
	   #expected " at " #now)

int
main(void)
{
	ha_survey_init(&survey);
	ASKED(0, 1000, "0 1 2");
	ASKED(0, 1001, "");
	answer(HA_DCS_STATUS, 1, HA_DCS_UNKNOWN, 1002);
	ASKED(0, 1002, "");
	answer(HA_DCS_STATUS, 2, HA_DCS_OK, 1003);
	answer(HA_DCS_STATUS, 0, HA_DCS_OK, 1003);
	ASKED(0, 1003, "list 2");
	answer(HA_DCS_MEMBERS, 2, HA_DCS_OK, 1004);
	OK(survey.listed_at == 1004 && survey.nvoters == 2, "the list is kept");

	/* nobody looks: one a minute */
	ASKED(0, 60000, "");
	ASKED(0, 61000, "0");
	answer(HA_DCS_STATUS, 0, HA_DCS_OK, 61001);
	ASKED(0, 61001, "list 0");
	answer(HA_DCS_MEMBERS, 0, HA_DCS_UNKNOWN, 61002);
	OK(survey.listed_at == 1004 && survey.nvoters == 2, "the old one stays");
	ASKED(0, 121000, "1");

	/*
	 * somebody does: all, but not at every look; who still owes an answer is
	 * left out
	 */
	ASKED(121500, 121500, "2 0");
	answer(HA_DCS_STATUS, 2, HA_DCS_OK, 121501);
	answer(HA_DCS_STATUS, 1, HA_DCS_OK, 121502);
	answer(HA_DCS_STATUS, 0, HA_DCS_OK, 121502);
	ASKED(121600, 121600, "list 2");
	ASKED(122000, 123499, "");
	ASKED(122000, 123500, "2 0 1");
	ASKED(122000, 130000, "");

	return end_of_tests();
}
