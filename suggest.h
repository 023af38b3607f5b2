/*-------------------------------------------------------------------------
 *
 * suggest.h
 *	  "Did you mean ...?"
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SUGGEST_H
#define HA_SUGGEST_H

/*
 * Offer words one after the other; "nearest" then is the one that needs the fewest
 * edits to become "wanted", NULL if none is near enough to be meant.
 */
typedef struct HaSuggestion
{
	const char *wanted;
	const char *nearest;
	int			distance;
} HaSuggestion;

extern void ha_suggest_begin(HaSuggestion *suggestion, const char *wanted);
extern void ha_suggest_offer(HaSuggestion *suggestion, const char *word);

#endif							/* HA_SUGGEST_H */
