/*-------------------------------------------------------------------------
 *
 * words.c
 *	  A command line that is run without a shell, as words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "words.h"

#define MAX_WORDS		64

/* What a shell would not take as itself: anywhere, and within double quotes. */
#define SHELL_SYNTAX	"|&;<>()$`\\*?[]{}~#\n"
#define QUOTED_SYNTAX	"$`\\"

static bool
refuse(char *err, size_t errlen, const char *at, const char *syntax)
{
	int			length = 1;

	/* "&&" is told as what it is */
	if (at[1] != '\0' && strchr(syntax, at[1]) != NULL)
		length = 2;
	snprintf(err, errlen, "command contains shell syntax \"%.*s\"; it is run without a shell",
			 length, at);
	return false;
}

/*
 * Copy one word from *text, without its quotes, to out, which has room for all of
 * the text; *text is moved behind it.
 */
static bool
take_word(const char **text, char *out, char *err, size_t errlen)
{
	const char *p = *text;
	char		quote = '\0';

	for (; *p != '\0' && (quote != '\0' || strchr(" \t", *p) == NULL); p++)
	{
		if (quote == '\0' && (*p == '\'' || *p == '"'))
			quote = *p;
		else if (*p == quote)
			quote = '\0';
		else if (quote == '\0' && strchr(SHELL_SYNTAX, *p) != NULL)
			return refuse(err, errlen, p, SHELL_SYNTAX);
		else if (quote == '"' && strchr(QUOTED_SYNTAX, *p) != NULL)
			return refuse(err, errlen, p, QUOTED_SYNTAX);
		else
			*out++ = *p;
	}
	*out = '\0';
	*text = p;
	if (quote == '\0')
		return true;
	snprintf(err, errlen, "command contains a quote that is not closed");
	return false;
}

char **
ha_words_split(const char *text, char *err, size_t errlen)
{
	char	  **words = calloc(MAX_WORDS + 1, sizeof(char *));
	int			n = 0;

	if (words == NULL)
	{
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	for (;;)
	{
		text += strspn(text, " \t");
		if (*text == '\0')
			break;
		words[n] = n < MAX_WORDS ? malloc(strlen(text) + 1) : NULL;
		if (words[n] == NULL)
			snprintf(err, errlen, "command has too many words");
		if (words[n] == NULL || !take_word(&text, words[n], err, errlen))
		{
			ha_words_free(words);
			return NULL;
		}
		n++;
	}
	return words;
}

void
ha_words_free(char **words)
{
	for (int i = 0; words[i] != NULL; i++)
		free(words[i]);
	free(words);
}
