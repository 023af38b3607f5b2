/*-------------------------------------------------------------------------
 *
 * clone_config.c
 *	  What the node file says of clones, in the forms that are worked with.
 *
 * A clone method is a word, "basebackup" or the path of a program, and flags behind
 * it: '/usr/local/bin/restore no_leader keep_data, basebackup'.  A program gets no
 * arguments, and so needs no quoting and no shell; what it must know is in its
 * environment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <unistd.h>

#include "common/logging.h"
#include "port.h"

#include "clone_config.h"

#define DEFAULT_METHODS		"basebackup"

/* What pg_basebackup takes for --max-rate, in kB/s. */
#define RATE_MIN			32
#define RATE_MAX			1048576

#define KEEP_ASIDE_MAX		100

static const char methods_hint[] =
"Write basebackup or the absolute path of a program, each with its flags no_leader and keep_data behind it, separated by commas.";

/*
 * Methods.
 */

/* What a program is called: the last part of its path, as far as it is a name. */
static void
name_method(HaCloneMethod *method)
{
	strlcpy(method->name, last_dir_separator(method->program) + 1,
			sizeof(method->name));
	for (char *c = method->name; *c != '\0'; c++)
	{
		if (!isalnum((unsigned char) *c) && strchr("_.-", *c) == NULL)
			*c = '_';
	}
}

static bool
parse_flag(const char *flag, HaCloneMethod *method, char *err, size_t errlen)
{
	if (method->program[0] == '\0')
		snprintf(err, errlen, "the clone method basebackup takes no flags, but \"%s\" was given",
				 flag);
	else if (strcmp(flag, "no_leader") == 0)
		return method->no_leader = true;
	else if (strcmp(flag, "keep_data") == 0)
		return method->keep_data = true;
	else
		snprintf(err, errlen, "there is no flag \"%s\" of a clone method", flag);
	return false;
}

/* One method: a word and its flags. */
static bool
parse_method(char *words, HaCloneMethod *method, char *err, size_t errlen)
{
	const char *word;
	bool		first = true;

	memset(method, 0, sizeof(*method));
	while ((word = strsep(&words, " \t")) != NULL)
	{
		if (word[0] == '\0')
			continue;
		if (!first)
		{
			if (!parse_flag(word, method, err, errlen))
				return false;
		}
		else if (strcmp(word, "basebackup") == 0)
			strlcpy(method->name, word, sizeof(method->name));
		else if (is_absolute_path(word) && word[strlen(word) - 1] != '/')
		{
			strlcpy(method->program, word, sizeof(method->program));
			name_method(method);
		}
		else
		{
			snprintf(err, errlen, "\"%s\" is no clone method", word);
			return false;
		}
		first = false;
	}
	if (first)
		snprintf(err, errlen, "\"pg_ha.clone_methods\" has an empty entry");
	return !first;
}

/* How many; 0 with a message if there is a fault. */
static int
parse_methods(const char *text, HaCloneMethod *methods, char *err,
			  size_t errlen)
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *words;
	int			n = 0;

	strlcpy(list, text[0] != '\0' ? text : DEFAULT_METHODS, sizeof(list));
	while ((words = strsep(&rest, ",")) != NULL)
	{
		if (n >= HA_CLONE_METHODS)
		{
			snprintf(err, errlen, "\"pg_ha.clone_methods\" names more than %d methods",
					 HA_CLONE_METHODS);
			return 0;
		}
		if (!parse_method(words, &methods[n++], err, errlen))
			return 0;
	}
	return n;
}

int
ha_clone_methods(const HaNode *node, HaCloneMethod *methods)
{
	char		err[HA_TEXT_SIZE + 128];

	return parse_methods(node->clone_methods, methods, err, sizeof(err));
}

static bool
methods_are_fine(const HaNode *node, char *err, size_t errlen,
				 const char **hint)
{
	HaCloneMethod methods[HA_CLONE_METHODS];
	int			n = parse_methods(node->clone_methods, methods, err, errlen);

	*hint = methods_hint;

	/* No fault: a program that is gone is no reason to keep a leader down. */
	for (int i = 0; i < n; i++)
	{
		const char *program = methods[i].program;

		if (program[0] != '\0' && access(program, X_OK) != 0)
		{
			pg_log_warning("%s: clone method \"%s\" cannot be run now: %m",
						   node->path, program);
			pg_log_warning_hint("It must be executable by the server's user.");
		}
	}
	return n > 0;
}

/*
 * Tablespaces.
 */

static bool
parse_mapping(const char *entry, char *mapping)
{
	const char *equals = strchr(entry, '=');

	if (equals == NULL || strchr(equals + 1, '=') != NULL ||
		!is_absolute_path(entry) || !is_absolute_path(equals + 1))
		return false;
	return strlcpy(mapping, entry, HA_TEXT_SIZE) < HA_TEXT_SIZE;
}

/* How many, or -1 if there is a fault. */
static int
parse_mappings(const char *text, char mappings[][HA_TEXT_SIZE])
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *entry;
	int			n = 0;

	if (text[0] == '\0')
		return 0;
	strlcpy(list, text, sizeof(list));
	while ((entry = strsep(&rest, ",")) != NULL)
	{
		while (*entry == ' ' || *entry == '\t')
			entry++;
		if (n >= HA_CLONE_MAPPINGS || !parse_mapping(entry, mappings[n++]))
			return -1;
	}
	return n;
}

int
ha_clone_mappings(const HaNode *node, char mappings[][HA_TEXT_SIZE])
{
	return Max(parse_mappings(node->tablespace_mapping, mappings), 0);
}

static bool
mapping_is_fine(const HaNode *node, char *err, size_t errlen,
				const char **hint)
{
	char		mappings[HA_CLONE_MAPPINGS][HA_TEXT_SIZE];

	if (parse_mappings(node->tablespace_mapping, mappings) >= 0)
		return true;
	snprintf(err, errlen, "the value of \"pg_ha.tablespace_mapping\" is no mapping: \"%s\"",
			 node->tablespace_mapping);
	*hint = "Write '/old/directory=/new/directory', separated by commas, with absolute paths.";
	return false;
}

/*
 * The rest.
 */

static bool
rate_is_fine(const HaNode *node, char *err, size_t errlen, const char **hint)
{
	char	   *end;
	long		rate;

	if (node->clone_max_rate[0] == '\0')
		return true;
	errno = 0;
	rate = strtol(node->clone_max_rate, &end, 10);
	if (errno == 0 && *end == 'M' && rate <= RATE_MAX)
		rate *= 1024;
	if (*end == 'k' || *end == 'M')
		end++;
	if (errno == 0 && *end == '\0' && rate >= RATE_MIN && rate <= RATE_MAX &&
		isdigit((unsigned char) node->clone_max_rate[0]))
		return true;
	snprintf(err, errlen, "the value of \"pg_ha.clone_max_rate\" is no rate: \"%s\"",
			 node->clone_max_rate);
	*hint = "Give kilobytes a second, or megabytes with an M behind the number: from 32 to 1024M.";
	return false;
}

int
ha_clone_keep_aside(const HaNode *node)
{
	return node->keep_aside[0] != '\0' ? atoi(node->keep_aside) : -1;
}

static bool
keep_aside_is_fine(const HaNode *node, char *err, size_t errlen,
				   const char **hint)
{
	const char *text = node->keep_aside;
	char	   *end;
	long		n = strtol(text, &end, 10);

	if (text[0] == '\0' || (*end == '\0' && n >= -1 && n <= KEEP_ASIDE_MAX))
		return true;
	snprintf(err, errlen, "the value of \"pg_ha.keep_aside\" is no number from -1 to %d: \"%s\"",
			 KEEP_ASIDE_MAX, text);
	*hint = "It says how many moved-aside copies are kept; -1, the default, keeps all of them.";
	return false;
}

/* A base backup must find it empty, and must never copy it. */
static bool
wal_dir_is_fine(const HaNode *node, char *err, size_t errlen,
				const char **hint)
{
	const char *path = node->wal_dir;

	if (path[0] == '\0')
		return true;
	if (!path_is_prefix_of_path(node->data_dir, path) &&
		!path_is_prefix_of_path(path, node->data_dir) &&
		!path_is_prefix_of_path(node->state_dir, path) &&
		!path_is_prefix_of_path(path, node->state_dir))
		return true;
	snprintf(err, errlen, "the WAL directory \"%s\" is inside or around the data directory or the state directory",
			 path);
	*hint = "Give a directory of its own, which holds nothing else.";
	return false;
}

const HaCloneCheck ha_clone_checks[] = {
	{"clone_methods", methods_are_fine},
	{"clone_max_rate", rate_is_fine},
	{"tablespace_mapping", mapping_is_fine},
	{"wal_dir", wal_dir_is_fine},
	{"keep_aside", keep_aside_is_fine},
	{NULL, NULL}
};
