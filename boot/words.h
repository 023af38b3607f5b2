/*-------------------------------------------------------------------------
 *
 * words.h
 *	  A command line that is run without a shell, as words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_WORDS_H
#define HA_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Split at blanks; quotes keep blanks in a word.  What a shell would give another
 * meaning is refused rather than taken literally, so that nobody relies on it.
 * Words of malloc'd memory, ended by NULL; or NULL with the reason in err.
 */
extern char **ha_words_split(const char *text, char *err, size_t errlen);
extern void ha_words_free(char **words);

#endif							/* HA_WORDS_H */
