/*-------------------------------------------------------------------------
 *
 * config_test.c
 *	  Changes of the cluster's configuration, and what it says of the server.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config_json.h"
#include "../config_values_json.h"

static int	ntests;
static int	nfailed;

static void
is(int line, const char *got, const char *expected, const char *name)
{
	bool		ok = got != NULL && strcmp(got, expected) == 0;

	ntests++;
	if (!ok)
		nfailed++;
	printf("%sok %d - %s\n", ok ? "" : "not ", ntests, name);
	if (!ok)
		printf("# failed at line %d\n# got      %s\n# expected %s\n", line,
			   got ? got : "NULL", expected);
}

#define IS(got, expected, name) is(__LINE__, got, expected, name)

static void
merged(int line, const char *json, const char *patch, const char *expected)
{
	char		err[256];
	char	   *result = ha_config_merge(json, patch, err, sizeof(err));

	is(line, result != NULL ? result : err, expected, patch);
	free(result);
}

#define MERGED(json, patch, expected) merged(__LINE__, json, patch, expected)

/* The examples of RFC 7396 that are about objects, and our own. */
static void
test_merge(void)
{
	MERGED("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	MERGED("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	MERGED("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	MERGED("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	MERGED("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
	MERGED("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		   "{\"a\":{\"b\":\"d\"}}");
	MERGED("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	MERGED("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
	MERGED("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
	MERGED("{\"a\":1}", "{\"a\":{\"b\":2}}", "{\"a\":{\"b\":2}}");
	MERGED(NULL, "{\"ttl\":20,\"pause\":true}", "{\"ttl\":20,\"loop_wait\":2,"
		   "\"retry_timeout\":4,\"maximum_lag_on_failover\":1048576,"
		   "\"primary_start_timeout\":300,\"pause\":true}");
	MERGED("[]", "{}", "what is stored is not a JSON object");
	MERGED("{bad", "{}", "what is stored is not a JSON object");
	MERGED("{}", "[]", "the change must be a JSON object");
	MERGED("{}", "{\"a\":1,\"a\":2}", "the change must be a JSON object");
}

static void
unknown(int line, const char *patch, const char *expected)
{
	char		key[64] = "";
	char		nearest[64] = "";
	char		both[160] = "";

	if (ha_config_has_unknown(patch, key, sizeof(key), nearest,
							  sizeof(nearest)))
		snprintf(both, sizeof(both), "%s, %s", key, nearest);
	is(line, both, expected, patch);
}

#define UNKNOWN(patch, expected) unknown(__LINE__, patch, expected)

static void
test_unknown(void)
{
	UNKNOWN("{\"ttl\":1,\"postgresql\":{\"parameters\":{\"x\":1}}}", "");
	UNKNOWN("{\"loopwait\":5}", "loopwait, loop_wait");
	UNKNOWN("{\"nothing_like_it\":5}", "nothing_like_it, ");
	UNKNOWN("{\"loopwait\":null}", "");
	UNKNOWN("{\"postgresql\":{\"parametrs\":{}}}",
			"postgresql.parametrs, postgresql.parameters");
}

/* The file, or why there is none. */
static void
file(int line, const char *json, const char *expected)
{
	static HaParameters parameters;
	char		err[256];
	char	   *text = NULL;
	char	   *settings;

	if (!ha_config_parameters(json, strlen(json), &parameters, err,
							  sizeof(err)))
	{
		is(line, err, expected, json);
		return;
	}
	text = ha_parameters_file(&parameters);
	settings = text;
	while (settings != NULL && *settings == '#')
		settings = strchr(settings, '\n') + 1;
	is(line, settings, expected, json);
	free(text);
}

#define FILE_IS(parameters, expected) \
	file(__LINE__, "{\"postgresql\":{\"parameters\":" parameters "}}", expected)

static void
test_parameters(void)
{
	file(__LINE__, "{}", "");
	file(__LINE__, "{\"postgresql\":null}", "");
	file(__LINE__, "{\"postgresql\":1}", "\"postgresql\" must be an object");
	FILE_IS("[]", "\"postgresql.parameters\" must be an object");
	FILE_IS("{\"work_mem\":\"8MB\",\"Max_Connections\":200,\"a.b\":false,"
			"\"c\":0.5,\"d\":null}",
			"a.b = 'off'\nc = '0.5'\nmax_connections = '200'\n"
			"work_mem = '8MB'\n");
	FILE_IS("{\"x\":\"it's a \\\\\"}", "x = 'it''s a \\\\'\n");
	FILE_IS("{\"x\":\"a\\nport = 1\"}", "postgresql.parameters.x must be a "
			"text of one line, a number or a switch");
	FILE_IS("{\"x\":{}}", "postgresql.parameters.x must be a text of one "
			"line, a number or a switch");
	FILE_IS("{\"x = 1 #\":1}", "postgresql.parameters: \"x = 1 #\" is not "
			"the name of a parameter");
	FILE_IS("{\"\":1}", "postgresql.parameters: \"\" is not the name of a "
			"parameter");
	FILE_IS("{\"x\":1,\"X\":2}", "postgresql.parameters: \"x\" is given "
			"twice");
}

/* The longest names and values that pass still fit into the file. */
static void
test_limits(void)
{
	static char json[400 * 1024];
	static HaParameters parameters;
	char		err[256];
	char	   *to = json;
	char	   *text;
	char		lines[32] = "";
	int			n = 0;

	to += sprintf(to, "{\"postgresql\":{\"parameters\":{");
	for (int i = 0; i < HA_MAX_PARAMETERS; i++)
	{
		to += sprintf(to, "%s\"%063d\":\"", i > 0 ? "," : "", i);
		memset(to, '\'', HA_PARAMETER_SIZE - 1);
		to += HA_PARAMETER_SIZE - 1;
		*to++ = '"';
	}
	strcpy(to, "}}}");
	text = ha_config_parameters(json, strlen(json), &parameters, err,
								sizeof(err)) ?
		ha_parameters_file(&parameters) : NULL;
	for (const char *line = text; line != NULL; n++)
		line = strchr(line + 1, '\n');
	snprintf(lines, sizeof(lines), "%d", n);
	IS(lines, "131", "the largest file");
	free(text);

	strcpy(to, ",\"one_more\":1}}}");
	IS(ha_config_parameters(json, strlen(json), &parameters, err,
							sizeof(err)) ? "" : err,
	   "postgresql.parameters: more than 128 parameters", "one too many");
}

/* What is of another time, or can't work, changes nothing. */
static void
test_whole(void)
{
	const char *timing = "{\"ttl\":5,\"loop_wait\":10,\"retry_timeout\":10}";
	HaConfig	config;
	char		err[256] = "";

	memset(&config, 7, sizeof(config));
	IS(ha_config_parse(timing, strlen(timing), &config, err, sizeof(err)) ?
	   "" : err,
	   "ttl (5) must be at least loop_wait (10) + 2 * retry_timeout (10) = 30",
	   "timing");
	IS(ha_config_parse("{\"schema\":2}", 12, &config, err, sizeof(err)) ?
	   "" : err,
	   "schema 2 is newer than what this pg_ha 1.0 knows (1)", "schema");
	IS(config.ttl == 0x0707070707070707 ? "" : "touched", "", "not touched");
}

int
main(void)
{
	test_merge();
	test_unknown();
	test_parameters();
	test_limits();
	test_whole();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
