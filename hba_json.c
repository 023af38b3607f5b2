/*-------------------------------------------------------------------------
 *
 * hba_json.c
 *	  Rules of access in the cluster's configuration.
 *
 * What is read here is checked for being lines, no more: what they say only the
 * server's own parser can judge.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hba_json.h"
#include "json_build.h"
#include "json_guard.h"

#define MAX_LINES		10000

static const char *const keys[HA_NAUTH_FILES] = {"pg_hba", "pg_ident"};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/*
 * Would the server read another file for this line?  What is wrong in that one it
 * would tell in a message, so it must not be named by who may not read it.
 */
static bool
names_file(const char *line)
{
	bool		quoted = false;

	line += strspn(line, " \t");
	if (strncmp(line, "include", 7) == 0)
		return true;
	for (const char *p = line; *p != '\0' && (quoted || *p != '#'); p++)
	{
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '@' && !quoted && (p == line || is_blank(p[-1])))
			return true;
	}
	return false;
}

/* The store is no place for secrets, and whoever may look at it sees them. */
static bool
has_secret(const char *line)
{
	return strstr(line, "ldapbindpasswd") != NULL ||
		strstr(line, "radiussecrets") != NULL;
}

const char *
ha_hba_line_fault(const char *line, size_t length)
{
	if (memchr(line, '\0', length) != NULL)
		return "it has a zero byte in it";
	if (strpbrk(line, "\r\n") != NULL)
		return "it is more than one line";
	if (length > 0 && line[length - 1] == '\\')
		return "it would be continued by the next line";
	if (names_file(line))
		return "it names another file, which only a file of the node's own may";
	if (has_secret(line))
		return "it has a secret in it, which belongs into a file of the node's own";
	return NULL;
}

/* The array, or whatever else stands in its place; NULL = nothing. */
static json_t *
find_rules(json_t *config, HaAuthFile file)
{
	json_t	   *section = json_object_get(config, "postgresql");
	json_t	   *rules = json_object_get(section, keys[file]);

	if (rules == NULL || json_is_null(rules))
		rules = json_object_get(config, keys[file]);
	return json_is_null(rules) ? NULL : rules;
}

/* The length of the text, each line with its end; false: see err. */
static bool
measure(json_t *rules, size_t *length, char *err, size_t errlen)
{
	*length = 0;
	if (!json_is_array(rules))
	{
		snprintf(err, errlen, "it is not an array");
		return false;
	}
	for (size_t i = 0; i < json_array_size(rules); i++)
	{
		json_t	   *line = json_array_get(rules, i);
		const char *fault = !json_is_string(line) ? "it is not a text" :
		ha_hba_line_fault(json_string_value(line),
						  json_string_length(line));

		if (fault != NULL)
		{
			snprintf(err, errlen, "line %zu: %s", i + 1, fault);
			return false;
		}
		*length += json_string_length(line) + 1;
	}
	if (*length <= HA_HBA_MAX_TEXT && json_array_size(rules) <= MAX_LINES)
		return true;
	snprintf(err, errlen, "it is too long");
	return false;
}

static char *
join(json_t *rules, size_t length)
{
	char	   *text = malloc(length + 1);
	char	   *end = text;

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < json_array_size(rules); i++)
	{
		json_t	   *line = json_array_get(rules, i);

		memcpy(end, json_string_value(line), json_string_length(line));
		end += json_string_length(line);
		*end++ = '\n';
	}
	*end = '\0';
	return text;
}

char *
ha_hba_from_config(const char *json, HaAuthFile file, char *err, size_t errlen)
{
	json_t	   *config = ha_json_load(json, strlen(json));
	json_t	   *rules = NULL;
	char	   *text = NULL;
	size_t		length;

	err[0] = '\0';
	if (!json_is_object(config))
		snprintf(err, errlen, "the configuration is not a JSON object");
	else
		rules = find_rules(config, file);

	/* An empty list is no file that a server would take, so it means none. */
	if (rules != NULL && !(json_is_array(rules) && json_array_size(rules) == 0) &&
		measure(rules, &length, err, errlen))
	{
		text = join(rules, length);
		if (text == NULL)
			snprintf(err, errlen, "out of memory");
	}
	json_decref(config);
	return text;
}

/*
 * Writing.
 */

static json_t *
array_of(const char *const *lines, int nlines)
{
	json_t	   *array = json_pack("[]");

	for (int i = 0; i < nlines && array != NULL; i++)
	{
		if (json_array_append_new(array, json_string(lines[i])) != 0)
		{
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

char *
ha_hba_patch(HaAuthFile file, const char *const *lines, int nlines)
{
	json_t	   *rules = nlines > 0 ? array_of(lines, nlines) : json_null();

	return dump(json_pack("{s:{s:o},s:n}", "postgresql", keys[file], rules,
						  keys[file]));
}
