/*-------------------------------------------------------------------------
 *
 * patroni_env.c
 *	  The variables PATRONI_*, which stand over the file.
 *
 * Their names are made of those of the keys, so the table of keys has them too, but
 * for a few that are shorter: PATRONI_REPLICATION_USERNAME.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patroni_import.h"

#define PREFIX			"PATRONI_"

/* What the beginning of a name, or all of it, stands for. */
static const struct
{
	const char *name;
	bool		whole;
	const char *path;
}			shorter[] = {
	{"replication_", false, "postgresql.authentication.replication."},
	{"superuser_", false, "postgresql.authentication.superuser."},
	{"rewind_", false, "postgresql.authentication.rewind."},
	{"restapi_username", true, "restapi.authentication.username"},
	{"restapi_password", true, "restapi.authentication.password"},
	{"ctl_username", true, "ctl.authentication.username"},
	{"ctl_password", true, "ctl.authentication.password"},
	{"postgresql_bin_dir", true, "postgresql.bin_dir"},
	{"postgresql_bin_is_ready", true, "postgresql.bin_name.pg_isready"},
	{"postgresql_bin_", false, "postgresql.bin_name."},
	{"loglevel", true, "log.level"},
	{"logformat", true, "log.format"},
	{"log_datefmt", true, "log.dateformat"},
	{"retriable_http_codes", true, "kubernetes.retriable_http_codes"},
	{"thread_pool_size", true, "thread_pool_size"},
	{"thread_stack_size", true, "thread_stack_size"},
};

static void
path_of(const char *name, char *path, size_t size)
{
	const char *underscore = strchr(name, '_');

	for (size_t i = 0; i < sizeof(shorter) / sizeof(shorter[0]); i++)
	{
		size_t		n = strlen(shorter[i].name);

		if (strncmp(shorter[i].name, name, n) != 0 ||
			(shorter[i].whole && name[n] != '\0'))
			continue;
		snprintf(path, size, "%s%s", shorter[i].path, name + n);
		return;
	}
	if (underscore != NULL)
		snprintf(path, size, "%.*s.%s", (int) (underscore - name), name,
				 underscore + 1);
	else
		snprintf(path, size, "%s", name);
}

/* A list is YAML, with or without its brackets; NULL: it is none. */
static HaYaml *
list_of(const char *text, const char *name, char *err, size_t errlen)
{
	size_t		size = strlen(text) + 3;
	char	   *copy = malloc(size);
	HaYaml	   *list = NULL;

	if (copy == NULL)
	{
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	if (text[strspn(text, " ")] == '-' || strchr(text, '[') != NULL)
		snprintf(copy, size, "%s", text);
	else
		snprintf(copy, size, "[%s]", text);
	list = ha_yaml_parse(copy, strlen(copy), name, err, errlen);
	free(copy);
	return list;
}

static HaYaml *
value_of(const HaPatroniKey *row, const char *text, const char *name,
		 char *err, size_t errlen)
{
	HaYaml	   *value;

	if (row->form == HA_PATRONI_LIST || row->form == HA_PATRONI_TEXT_OR_LIST)
		return list_of(text, name, err, errlen);
	value = ha_yaml_scalar(text, name);
	if (value != NULL)
		value->plain = false;	/* "null" is a text there */
	else
		snprintf(err, errlen, "out of memory");
	return value;
}

/* PATRONI_admin_PASSWORD and PATRONI_admin_OPTIONS are roles to be created. */
static bool
is_of_user(const char *name)
{
	const char *end = strrchr(name, '_');

	return end != NULL && end != name &&
		(strcmp(end, "_PASSWORD") == 0 || strcmp(end, "_OPTIONS") == 0);
}

static void
tell_unknown(const HaImportSink *sink, const char *name, const char *path)
{
	char		nearest[128];
	char		text[192] = "no version of Patroni that is known has this variable";

	if (is_of_user(name + strlen(PREFIX)))
	{
		sink->say(sink->arg, HA_PATRONI_DROPPED, name, "bootstrap.users",
				  ha_patroni_key("bootstrap.users")->note);
		return;
	}
	ha_patroni_nearest(path, nearest, sizeof(nearest));
	if (nearest[0] != '\0')
		snprintf(text, sizeof(text), "there is no such key; did you mean that of \"%s\"?",
				 nearest);
	sink->say(sink->arg, HA_PATRONI_UNKNOWN, name, path, text);
}

/* One of them.  "name" is a copy that is without the value. */
static bool
take(HaYaml *root, const char *name, const char *text,
	 const HaImportSink *sink)
{
	char		lower[128];
	char		path[192];
	char		err[256] = "";
	const HaPatroniKey *row;
	HaYaml	   *value;
	size_t		n = 0;

	/* Patroni knows its own in capitals only. */
	for (const char *c = name + strlen(PREFIX);
		 *c != '\0' && n < sizeof(lower) - 1; c++)
		lower[n++] = islower((unsigned char) *c) ? '?' :
			(char) tolower((unsigned char) *c);
	lower[n] = '\0';
	path_of(lower, path, sizeof(path));
	row = ha_patroni_key(path);
	if (row == NULL || !row->env)
	{
		tell_unknown(sink, name, path);
		return true;
	}
	value = value_of(row, text, name, err, sizeof(err));
	if (value != NULL)
		return ha_yaml_put(root, path, value);
	sink->say(sink->arg, HA_PATRONI_FAULT, name, path, err);
	return false;
}

bool
ha_patroni_environment(HaYaml *root, char *const *environment,
					   const HaImportSink *sink)
{
	bool		ok = true;

	for (; *environment != NULL; environment++)
	{
		char		name[128];
		size_t		n = strcspn(*environment, "=");

		if (strncmp(*environment, PREFIX, strlen(PREFIX)) != 0 ||
			(*environment)[n] == '\0' || (*environment)[n + 1] == '\0' ||
			n >= sizeof(name))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int) n, *environment);
		if (strcmp(name, PREFIX "CONFIGURATION") != 0 &&
			!take(root, name, *environment + n + 1, sink))
			ok = false;
	}
	return ok;
}
