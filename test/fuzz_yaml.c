/*-------------------------------------------------------------------------
 *
 * fuzz_yaml.c
 *	  Whatever stands in a configuration of Patroni, what comes out of it is a file
 *	  of settings, one a line, and a configuration of the cluster, or nothing.
 *
 * The input is the file; what is behind a zero byte are variables of the
 * environment, each ended by another.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../boot/patroni_import.h"
#include "../config_values_json.h"

#define MAX_VARIABLES	8

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

static void
say(void *arg, HaPatroniFate fate, const char *where, const char *path,
	const char *text)
{
	require(fate >= 0 && fate < HA_PATRONI_NFATES);
	require(where[0] != '\0' && text[0] != '\0' && strlen(path) < 1024);
}

static const HaImportSink sink = {.say = say};

/* The end of a quoted value, in which quotes and backslashes stand twice. */
static const char *
skip_value(const char *text)
{
	for (;;)
	{
		bool		twice = *text == '\'' || *text == '\\';

		require((unsigned char) *text >= ' ');
		if (twice && text[1] != *text)
			break;
		text += twice ? 2 : 1;
	}
	require(*text == '\'');
	return text + 1;
}

/* Each line but comments is: name = 'value'. */
static void
check_node_file(const char *text)
{
	while (*text != '\0')
	{
		if (*text == '#')
			text = strchr(text, '\n');
		else
		{
			text += strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
						   "0123456789_.");
			require(strncmp(text, " = '", 4) == 0);
			text = skip_value(text + 4);
		}
		require(text != NULL && *text == '\n');
		text++;
	}
}

static void
check(const HaImport *import)
{
	const char *json = import->files[HA_IMPORT_CONFIG];
	HaConfig	config;
	char		err[128];

	require(import->files[HA_IMPORT_NODE] != NULL && json != NULL);
	check_node_file(import->files[HA_IMPORT_NODE]);
	require(ha_config_parse(json, strlen(json), &config, err, sizeof(err)));
	for (int i = 0; i < import->ninitdb; i++)
		require(strncmp(import->initdb[i], "--", 2) == 0);
	require(import->initdb[import->ninitdb] == NULL);
}

/* What is behind the file, as an environment. */
static void
take_variables(HaYaml *root, char *text, const char *end)
{
	char	   *variables[MAX_VARIABLES + 1] = {NULL};

	for (int i = 0; i < MAX_VARIABLES && text < end; i++)
	{
		variables[i] = text;
		text += strlen(text) + 1;
	}
	(void) ha_patroni_environment(root, variables, &sink);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = malloc(size + 1);
	char		err[256];
	size_t		length;
	HaYaml	   *root;
	HaImport	import;

	memcpy(copy, data, size);
	copy[size] = '\0';
	length = strlen(copy);
	root = ha_yaml_parse(copy, length, "f", err, sizeof(err));
	require((root != NULL) == (err[0] == '\0'));
	if (root != NULL && root->kind == HA_YAML_MAPPING && length < size)
		take_variables(root, copy + length + 1, copy + size);
	if (root != NULL)
	{
		if (ha_import_translate(root, "/d", "", &sink, &import))
			check(&import);
		ha_import_free(&import);
	}
	ha_yaml_free(root);
	free(copy);
	return 0;
}
