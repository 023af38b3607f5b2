/*-------------------------------------------------------------------------
 *
 * survey.h
 *	  Which endpoints of the store are there, and which members it has: asked now
 *	  and then, for people.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SURVEY_H
#define HA_SURVEY_H

#include "dcs.h"

typedef struct HaSurvey
{
	int64_t		began_at;		/* of the last round; 0 = there was none */
	int64_t		all_asked_at;	/* of the last one with everybody */
	int			left;			/* so many endpoints are to be asked now, */
	int			next;			/* ... this one first */
	unsigned	asking;			/* bit set of endpoints that owe an answer */
	bool		list_wanted;	/* of the members, in this round */
	int			list_from;		/* who is to be asked for it; -1 = nobody */
	int64_t		listed_at;		/* 0 = never */
	int32_t		nvoters;
	HaVoter		voters[HA_MAX_VOTERS];
} HaSurvey;

extern void ha_survey_init(HaSurvey *survey);

/*
 * The next request to send, if one is due.  Somebody has looked last at "looked_at" (0
 * = never), and everybody is asked at most once in "interval".  *request is
 * overwritten.
 */
extern bool ha_survey_next(HaSurvey *survey, int nendpoints,
						   int64_t looked_at, int64_t interval, int64_t now,
						   HaRequest *request);

/* Take an answer in, or that there will be none.  Does not free it. */
extern void ha_survey_answer(HaSurvey *survey, const HaAnswer *answer,
							 int64_t now);

#endif							/* HA_SURVEY_H */
