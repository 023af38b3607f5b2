/*-------------------------------------------------------------------------
 *
 * suggest.c
 *	  "Did you mean ...?"
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <string.h>

#include "suggest.h"

#define MAX_WORD	64

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

/* How many single-character edits make b of a (Levenshtein). */
static int
edit_distance(const char *a, const char *b)
{
	int			row[MAX_WORD];
	size_t		nb = strlen(b);

	if (nb >= MAX_WORD)
		return INT_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (int) j;
	for (int i = 0; a[i] != '\0'; i++)
	{
		int			diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 1; j <= nb; j++)
		{
			int			change = diagonal + (a[i] != b[j - 1]);

			diagonal = row[j];
			row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[nb];
}

void
ha_suggest_begin(HaSuggestion *suggestion, const char *wanted)
{
	suggestion->wanted = wanted;
	suggestion->nearest = NULL;
	suggestion->distance = 2 + (int) strlen(wanted) / 4;
}

void
ha_suggest_offer(HaSuggestion *suggestion, const char *word)
{
	int			distance = edit_distance(suggestion->wanted, word);

	if (distance >= suggestion->distance)
		return;
	suggestion->nearest = word;
	suggestion->distance = distance;
}
