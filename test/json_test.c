/*-------------------------------------------------------------------------
 *
 * json_test.c
 *	  Tables of what may stand in the store, and what the readers of its keys make
 *	  of it.
 *
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "../config_values_json.h"
#include "../history_json.h"
#include "../member_json.h"
#include "../names.h"
#include "../problem_json.h"
#include "../standby_cluster_json.h"
#include "../slots_json.h"
#include "../term_json.h"

static int	ntests;
static int	nfailed;

__attribute__((format(printf, 3, 4)))
static void
check(bool ok, int line, const char *format,...)
{
	va_list		args;

	ntests++;
	if (!ok)
		nfailed++;
	printf("%sok %d - ", ok ? "" : "not ", ntests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!ok)
		printf("# failed at line %d\n", line);
}

#define OK(condition, ...) check((condition), __LINE__, __VA_ARGS__)
#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* Compare a malloc'd text and free it. */
static void
is_text(int line, char *got, const char *expected, const char *name)
{
	bool		ok = got != NULL && strcmp(got, expected) == 0;

	check(ok, line, "%s", name);
	if (!ok)
		printf("# got      %s\n# expected %s\n", got ? got : "NULL", expected);
	free(got);
}

#define IS(got, expected, name) is_text(__LINE__, got, expected, name)

/*-------------------------------------------------------------------------
 * Views of a few keys
 *-------------------------------------------------------------------------
 */

#define MAX_KVS 64

static HaAnswer answer;
static HaView view;

static void
start(void)
{
	ha_dcs_answer_free(&answer);
	memset(&answer, 0, sizeof(answer));
	answer.kind = HA_DCS_RANGE;
	answer.kvs = calloc(MAX_KVS, sizeof(HaKv));
}

/* The n-th key gets mod_revision 100 + n. */
static void
add_bytes(const char *key, const char *value, size_t length)
{
	HaKv	   *kv = &answer.kvs[answer.nkvs++];

	snprintf(kv->key, sizeof(kv->key), "%s", key);
	kv->value = malloc(length + 1);
	memcpy(kv->value, value, length);
	kv->value[length] = '\0';
	kv->length = length;
	kv->create_revision = 10;
	kv->mod_revision = 100 + answer.nkvs;
	kv->lease = 77;
}

static void
add(const char *key, const char *value)
{
	add_bytes(key, value, strlen(value));
}

/* View one key alone. */
static const HaView *
look(const char *key, const char *value)
{
	start();
	add(key, value);
	ha_view_parse(&answer, NULL, &view);
	return &view;
}

/*-------------------------------------------------------------------------
 * Names
 *-------------------------------------------------------------------------
 */

static void
test_names(void)
{
	static const char *const slots[][2] = {
		{"n1", "n1"}, {"Node-1.example", "node_1_example"}, {"a b", "au0032b"},
		{"\303\244", "u0195u0164"}, {"", ""},
	};
	char		name[100];
	char		out[HA_NAME_SIZE];

	OK(ha_name_is_valid("n1") && ha_name_is_valid("A_b.c-9"), "good names");
	OK(!ha_name_is_valid("") && !ha_name_is_valid("a b") &&
	   !ha_name_is_valid("a/b") && !ha_name_is_valid("a\n") &&
	   !ha_name_is_valid("\303\244") && !ha_name_is_valid("a,b"), "other names");
	memset(name, 'x', sizeof(name));
	name[63] = '\0';
	OK(ha_name_is_valid(name), "63 characters are allowed");
	name[63] = 'x';
	name[64] = '\0';
	OK(!ha_name_is_valid(name), "64 are not");

	for (int i = 0; i < LENGTH_OF(slots); i++)
	{
		ha_slot_name(slots[i][0], out);
		OK(strcmp(out, slots[i][1]) == 0, "slot name of \"%s\": %s",
		   slots[i][0], out);
	}
	memset(name, ' ', sizeof(name));
	name[99] = '\0';
	ha_slot_name(name, out);
	OK(strlen(out) == 63, "slot name is cut to 63");
}

/*-------------------------------------------------------------------------
 * /config
 *-------------------------------------------------------------------------
 */

static const struct
{
	const char *json;
	const char *error;			/* a part of it, NULL = good */
}			configs[] =

{
	{"{}", NULL},
	{"{\"ttl\":30,\"loop_wait\":10,\"retry_timeout\":10}", NULL},
	{"{\"ttl\":2,\"loop_wait\":0.5,\"retry_timeout\":0.75}", NULL},
	{"{\"something\":{\"else\":[1,2]}}", NULL},
	{"{\"ttl\":null,\"pause\":null,\"synchronous_mode\":null}", NULL},
	{"{\"synchronous_mode\":\"quorum\"}", NULL},
	{"{\"maximum_lag_on_failover\":9223372036854775807}", NULL},
	{"", "JSON object"},
	{"[]", "JSON object"},
	{"null", "JSON object"},
	{"{\"ttl\":10", "JSON object"},
	{"{\"ttl\":10,\"ttl\":20}", "JSON object"},
	{"{\"ttl\":1e999}", "JSON object"},
	{"{\"ttl\":99999999999999999999}", "JSON object"},
	{"{\"ttl\":1}", "\"ttl\""},
	{"{\"ttl\":-10}", "\"ttl\""},
	{"{\"ttl\":1e300}", "\"ttl\""},
	{"{\"ttl\":86401}", "\"ttl\""},
	{"{\"ttl\":\"30\"}", "\"ttl\""},
	{"{\"ttl\":true}", "\"ttl\""},
	{"{\"ttl\":9}", "ttl (9) must be at least"},
	{"{\"loop_wait\":0}", "\"loop_wait\""},
	{"{\"retry_timeout\":0.05}", "\"retry_timeout\""},
	{"{\"primary_start_timeout\":-1}", "\"primary_start_timeout\""},
	{"{\"master_start_timeout\":\"x\"}", "\"master_start_timeout\""},
	{"{\"maximum_lag_on_failover\":-1}", "\"maximum_lag_on_failover\""},
	{"{\"maximum_lag_on_failover\":1.5}", "\"maximum_lag_on_failover\""},
	{"{\"synchronous_mode\":\"maybe\"}", "\"synchronous_mode\""},
	{"{\"synchronous_mode\":2}", "\"synchronous_mode\""},
	{"{\"synchronous_node_count\":0}", "\"synchronous_node_count\""},
	{"{\"synchronous_node_count\":4294967297}", "\"synchronous_node_count\""},
	{"{\"pause\":\"soon\"}", "\"pause\""},
	{"{\"failsafe_mode\":[]}", "\"failsafe_mode\""},
	{"{\"member_slots_ttl\":0,\"member_slots_max_wal\":0}", NULL},
	{"{\"member_slots_ttl\":\"30min\"}", NULL},
	{"{\"member_slots_ttl\":null,\"slots\":null,\"ignore_slots\":null}", NULL},
	{"{\"member_slots_ttl\":-1}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":\"30 parsecs\"}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":\"\"}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":\"-5min\"}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":\"1.2.3min\"}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":\"366d\"}", "\"member_slots_ttl\""},
	{"{\"member_slots_ttl\":true}", "\"member_slots_ttl\""},
	{"{\"member_slots_max_wal\":\"10GB\"}", NULL},
	{"{\"member_slots_max_wal\":\"10 gb\"}", "\"member_slots_max_wal\""},
	{"{\"member_slots_max_wal\":1e300}", "\"member_slots_max_wal\""},
	{"{\"slots\":{}}", NULL},
	{"{\"slots\":[]}", "\"slots\" must be an object"},
	{"{\"permanent_slots\":{\"X\":{}}}", "\"permanent_slots\": \"X\" is not a slot name"},
	{"{\"slots\":{\"a\":{\"type\":\"other\"}}}", "slot \"a\" must be of type"},
	{"{\"slots\":{\"a\":{\"type\":\"logical\",\"database\":\"d\"}}}", "slot \"a\""},
	{"{\"slots\":{\"a\":{\"database\":\"d\\u0001\"}}}", "slot \"a\""},
	{"{\"slots\":{\"a\":1}}", "slot \"a\""},
	{"{\"slots\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},"
		"\"h\":{},\"i\":{},\"j\":{},\"k\":{},\"l\":{},\"m\":{},\"n\":{},\"o\":{},"
	"\"p\":{},\"q\":{}}}", "at most 16"},
	{"{\"ignore_slots\":{}}", "\"ignore_slots\" must be an array"},
	{"{\"ignore_slots\":[{}]}", "\"ignore_slots\""},
	{"{\"ignore_slots\":[1]}", "\"ignore_slots\""},
	{"{\"ignore_slots\":[{\"type\":\"x\"}]}", "\"ignore_slots\""},
	{"{\"ignore_slots\":[{\"name\":7}]}", "\"ignore_slots\""},
	{"{\"standby_cluster\":null}", NULL},
	{"{\"standby_cluster\":{}}", NULL},
	{"{\"standby_cluster\":{\"host\":\"10.1.0.5\"}}", NULL},
	{"{\"standby_cluster\":{\"host\":\"a.b,::1\",\"port\":\"5432,5433\","
	"\"primary_slot_name\":\"b_1\",\"restore_command\":\"rm -rf /\"}}", NULL},
	{"{\"standby_cluster\":[]}", "\"standby_cluster\" must be an object"},
	{"{\"standby_cluster\":{\"port\":5432}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"restore_command\":\"x\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":5}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"/tmp\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a b\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a'\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"-h\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a,,b\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a,\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a,b,c,d,e,f,g,h,i\"}}", "\"standby_cluster.host\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":0}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":65536}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":-1}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":\"1,2\"}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":\"\"}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":[1]}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":1.5}}", "\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"port\":\"99999999999999999999\"}}",
	"\"standby_cluster.port\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"primary_slot_name\":\"A\"}}",
	"\"standby_cluster.primary_slot_name\""},
	{"{\"standby_cluster\":{\"host\":\"a\",\"primary_slot_name\":7}}",
	"\"standby_cluster.primary_slot_name\""},
};

static void
test_config(void)
{
	HaConfig	config;
	HaConfig	before;
	char		err[200];
	char	   *text;

	for (int i = 0; i < LENGTH_OF(configs); i++)
	{
		const char *json = configs[i].json;
		const char *error = configs[i].error;
		bool		ok;

		memset(&config, 7, sizeof(config));
		before = config;
		err[0] = '\0';
		ok = ha_config_parse(json, strlen(json), &config, err, sizeof(err));
		OK(ok == (error == NULL) && (ok || strstr(err, error) != NULL) &&
		   (ok || memcmp(&config, &before, sizeof(config)) == 0),
		   "config %s: %s", json, err);
	}

	text = ha_config_default_json();
	memset(&config, 0, sizeof(config));
	OK(ha_config_parse(text, strlen(text), &config, err, sizeof(err)),
	   "the defaults can be read");
	free(text);
	ha_config_defaults(&before);
	before.known = true;
	OK(memcmp(&config, &before, sizeof(config)) == 0, "and are the defaults");

	text = "{\"ttl\":20.5,\"loop_wait\":1.25,\"retry_timeout\":3,"
		"\"master_start_timeout\":5,\"synchronous_mode\":\"on\","
		"\"synchronous_mode_strict\":\"true\",\"pause\":true,"
		"\"failsafe_mode\":true,\"check_timeline\":true}";
	OK(ha_config_parse(text, strlen(text), &config, err, sizeof(err)) &&
	   config.ttl == 20500 && config.loop_wait == 1250 &&
	   config.retry_timeout == 3000 && config.primary_start_timeout == 5000 &&
	   config.synchronous_mode == HA_SYNC_ON &&
	   config.synchronous_mode_strict && config.pause &&
	   config.failsafe_mode && config.check_timeline, "every field");
	text = "{\"primary_start_timeout\":0,\"master_start_timeout\":5}";
	OK(ha_config_parse(text, strlen(text), &config, err, sizeof(err)) &&
	   config.primary_start_timeout == 0, "the newer name wins");
}

/* Whom it means, and that a change says it whole. */
static void
test_standby_cluster(void)
{
	const char *json = "{\"standby_cluster\":{\"host\":\"a,b,c\",\"port\":5433}}";
	const char *each = "{\"standby_cluster\":{\"host\":\"a,b\",\"port\":\"5432,5433\","
	"\"primary_slot_name\":\"s\"}}";
	HaSourceServer servers[HA_MAX_SOURCES];
	HaConfig	config;
	char		err[160] = "";
	char	   *text;

	OK(ha_config_parse(json, strlen(json), &config, err, sizeof(err)) &&
	   config.standby_cluster.active &&
	   ha_standby_cluster_servers(&config.standby_cluster, servers) == 3 &&
	   strcmp(servers[2].host, "c") == 0 && servers[2].port == 5433,
	   "one port for all");
	OK(ha_config_parse(each, strlen(each), &config, err, sizeof(err)) &&
	   ha_standby_cluster_servers(&config.standby_cluster, servers) == 2 &&
	   servers[0].port == 5432 && servers[1].port == 5433 &&
	   strcmp(servers[1].host, "b") == 0, "one port for each");
	text = ha_standby_cluster_patch(&config.standby_cluster);
	IS(text, "{\"standby_cluster\":{\"host\":\"a,b\",\"port\":\"5432,5433\","
	   "\"primary_slot_name\":\"s\",\"create_replica_methods\":null,"
	   "\"restore_command\":null,\"archive_cleanup_command\":null,"
	   "\"recovery_min_apply_delay\":null}}", "a change, with nothing left of before");
	memset(&config, 0, sizeof(config));
	OK(ha_standby_cluster_servers(&config.standby_cluster, servers) == 0,
	   "none where there is no section");
}

static void
test_slots_config(void)
{
	HaConfig	config;
	char		err[200];
	const char *text =
	"{\"member_slots_ttl\":\"1.5h\",\"member_slots_max_wal\":\"2MB\","
	"\"slots\":{\"phys\":{\"type\":\"physical\"},\"bare\":null,"
	"\"etl\":{\"type\":\"logical\",\"database\":\"db\",\"plugin\":\"pgoutput\"},"
	"\"implied\":{\"database\":\"db\",\"plugin\":\"p\"}},"
	"\"ignore_slots\":[{\"name\":\"x\"},{\"type\":\"logical\",\"plugin\":\"q\"}]}";

	OK(ha_config_parse(text, strlen(text), &config, err, sizeof(err)) &&
	   config.member_slots_ttl == 5400000 &&
	   config.member_slots_max_wal == 2097152, "quantities with units");
	OK(config.npermanent == 4 &&
	   strcmp(config.permanent[0].name, "bare") == 0 &&
	   config.permanent[0].kind == HA_SLOT_PHYSICAL &&
	   strcmp(config.permanent[1].name, "etl") == 0 &&
	   config.permanent[1].kind == HA_SLOT_LOGICAL &&
	   strcmp(config.permanent[1].plugin, "pgoutput") == 0 &&
	   config.permanent[2].kind == HA_SLOT_LOGICAL &&
	   config.permanent[3].kind == HA_SLOT_PHYSICAL, "permanent slots");
	OK(config.nignored == 2 && strcmp(config.ignored[0].name, "x") == 0 &&
	   config.ignored[0].kind == HA_SLOT_ANY &&
	   config.ignored[1].kind == HA_SLOT_LOGICAL &&
	   strcmp(config.ignored[1].plugin, "q") == 0, "ignored slots");
	text = "{\"member_slots_ttl\":2.5,\"member_slots_max_wal\":77,"
		"\"slots\":{\"c\":{}},\"permanent_slots\":{\"b\":{}}}";
	OK(ha_config_parse(text, strlen(text), &config, err, sizeof(err)) &&
	   config.member_slots_ttl == 2500 && config.member_slots_max_wal == 77 &&
	   config.npermanent == 1 && strcmp(config.permanent[0].name, "b") == 0,
	   "plain numbers, and the name that comes first");
	OK(ha_config_parse("{}", 2, &config, err, sizeof(err)) &&
	   config.member_slots_ttl == 1800000 && config.member_slots_max_wal == 0,
	   "half an hour, and any WAL, unless it is said otherwise");
}

static void
test_view_config(void)
{
	HaConfig	last;

	ha_config_defaults(&last);
	last.ttl = 77000;
	last.revision = 5;

	start();
	ha_view_parse(&answer, &last, &view);
	OK(view.config.ttl == 10000 && !view.config.known,
	   "no config, none before: the defaults");
	last.known = true;
	ha_view_parse(&answer, &last, &view);
	OK(view.config.ttl == 77000 && view.config.known &&
	   view.config.revision == 0, "no config: the last one");
	add("config", "{\"ttl\":1}");
	ha_view_parse(&answer, &last, &view);
	OK(view.config.ttl == 77000 && view.config.revision == 101 &&
	   view.nmalformed == 1, "a config that is refused: the last one");
	ha_view_parse(&answer, &view.config, &view);
	OK(view.config.ttl == 77000, "the last one may be in the view itself");
	look("config", "{\"ttl\":11}");
	OK(view.config.ttl == 11000 && view.config.known &&
	   view.config.revision == 101 && view.nmalformed == 0, "a good config");
}

/*-------------------------------------------------------------------------
 * Whatever else is malformed
 *-------------------------------------------------------------------------
 */

static const struct
{
	const char *key;
	const char *value;
}			malformed[] =

{
	{"leader", ""},
	{"leader", "n 1"},
	{"leader", "{\"name\":\"n1\"}"},
	{"pg_ha/heartbeat", ""},
	{"pg_ha/heartbeat", "{}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":1}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":1,\"ttl\":0}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":1,\"ttl\":86400001}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":-1,\"ttl\":10}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"ttl\":10}"},
	{"pg_ha/heartbeat", "{\"name\":\"n 1\",\"term\":1,\"ttl\":10}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":1,\"ttl\":10,\"lsn\":-1}"},
	{"pg_ha/heartbeat", "{\"name\":\"n1\",\"term\":1.0,\"ttl\":10}"},
	{"pg_ha/heartbeat",
	"{\"name\":\"n1\",\"term\":1,\"ttl\":10,\"released\":1}"},
	{"pg_ha/term", "{}"},
	{"pg_ha/term", "[1]"},
	{"pg_ha/term", "{\"term\":1,\"owner\":\"n1\"}"},
	{"pg_ha/term", "{\"term\":0,\"owner\":\"n1\",\"timeline\":1}"},
	{"pg_ha/term", "{\"term\":1,\"owner\":\"\",\"timeline\":1}"},
	{"pg_ha/term", "{\"term\":1,\"owner\":\"n1\",\"timeline\":4294967296}"},
	{"pg_ha/term", "{\"term\":1,\"owner\":\"n1\",\"timeline\":1,\"lineage\":{}}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[1,1]]}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[1,1,\"n1\",1]]}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[2,1,\"n1\"]]}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[0,1,\"n1\"]]}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[1,-1,\"n1\"]]}"},
	{"pg_ha/term",
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":2,\"lineage\":[[1,1,\"/\"]]}"},
	{"pg_ha/term", "{\"term\":1,\"owner\":\"n1\",\"timeline\":9,"
	"\"lineage\":[[2,1,\"n1\"],[1,2,\"n1\"]]}"},
	{"sync", "{\"leader\":5}"},
	{"sync", "{\"leader\":\"n1\",\"sync_standby\":\"n2,n 3\"}"},
	{"sync", "{\"leader\":\"n1\",\"sync_standby\":\"n2,,n3\"}"},
	{"sync", "{\"leader\":\"n1\",\"sync_standby\":[\"n2\"]}"},
	{"sync", "{\"leader\":\"n1\",\"quorum\":-1}"},
	{"sync", "{\"leader\":\"n1\",\"sync_standby\":\"1,2,3,4,5,6,7,8,9,10,11,"
	"12,13,14,15,16,17\"}"},
	{"failover", "n1:n2"},
	{"failover", "{\"leader\":\"n/1\"}"},
	{"failover", "{\"member\":[]}"},
	{"initialize", "x"},
	{"initialize", "-1"},
	{"initialize", "18446744073709551616"},
	{"pg_ha/identity", "6f2c0a34-0000-4000-8000-0123456789ab"},
	{"pg_ha/identity", "{\"schema\":1}"},
	{"pg_ha/identity", "{\"uuid\":5}"},
	{"pg_ha/identity", "{\"uuid\":\"6f2c0a34-0000-4000-8000-0123456789ab\",\"schema\":0}"},
	{"pg_ha/identity", "{\"uuid\":\"6f2c0a34-0000-4000-8000-0123456789ab\",\"needs\":14}"},
	{"pg_ha/identity", "{\"uuid\":\"6f2c0a34-0000-4000-8000-0123456789a\"}"},
	{"pg_ha/identity", "{\"uuid\":\"6f2c0a34-0000-4000-8000-0123456789AB\"}"},
	{"status", "5"},
	{"status", "{\"optime\":\"5\"}"},
	{"status", "{\"optime\":9223372036854775808}"},
	{"pg_ha/votes/n1", "{}"},
	{"pg_ha/votes/n1", "{\"term\":1}"},
	{"pg_ha/votes/n 1", "{\"term\":1,\"term_revision\":1}"},
	{"pg_ha/votes/", "{\"term\":1,\"term_revision\":1}"},
	{"pg_ha/votes/n1", "{\"term\":1,\"term_revision\":1,\"lsn\":\"1\"}"},
	{"pg_ha/votes/n1", "{\"term\":1,\"term_revision\":1,\"withdrawn\":0}"},
	{"members/n 1", "{}"},
	{"members/", "{}"},
};

/* Everything but what a malformed key may still tell. */
static bool
is_empty(const HaView *v)
{
	HaView	   *copy = malloc(sizeof(HaView));
	HaView	   *empty = calloc(1, sizeof(HaView));
	bool		same;

	memcpy(copy, v, sizeof(HaView));
	ha_config_defaults(&empty->config);
	empty->valid = true;
	empty->nmalformed = 1;
	copy->initialize_revision = 0;
	copy->identity_revision = 0;
	copy->schema = 0;			/* it counts whatever stands beside it */
	copy->status_revision = 0;
	copy->sync.present = false; /* ... and then lets nobody be elected */
	copy->sync.mod_revision = 0;
	same = memcmp(copy, empty, sizeof(HaView)) == 0;
	free(copy);
	free(empty);
	return same;
}

static void
test_malformed(void)
{
	static const char with_nul[] =
	"{\"term\":1,\"owner\":\"n1\",\"timeline\":1}\0";
	char	   *deep = malloc(100001);

	for (int i = 0; i < LENGTH_OF(malformed); i++)
		OK(is_empty(look(malformed[i].key, malformed[i].value)),
		   "malformed %s: %s", malformed[i].key, malformed[i].value);

	memset(deep, '[', 100000);
	deep[100000] = '\0';
	OK(is_empty(look("pg_ha/term", deep)), "deep nesting");
	free(deep);
	start();
	add_bytes("leader", "n1\0n2", 5);
	add_bytes("initialize", "1\0", 2);
	add_bytes("pg_ha/term", with_nul, sizeof(with_nul) - 1);
	ha_view_parse(&answer, NULL, &view);
	OK(view.nmalformed == 3 && !view.leader.present && !view.term.present,
	   "NUL bytes");
	OK(look("initialize", "x")->initialize_revision == 101,
	   "a malformed initialize is there");
	OK(look("something", "\001")->nmalformed == 0 &&
	   look("members/n1/x", "\001")->nmalformed == 0 &&
	   look("slots/x", "")->nmalformed == 0, "keys of others are no trouble");
	start();
	add("leader", "n1");
	answer.kvs[0].deleted = true;
	ha_view_parse(&answer, NULL, &view);
	OK(!view.leader.present && view.nmalformed == 0, "a deleted key");
	answer.status = HA_DCS_UNKNOWN;
	ha_view_parse(&answer, NULL, &view);
	OK(!view.valid, "an answer with trouble gives no valid view");
}

/*-------------------------------------------------------------------------
 * /status and removed members
 *-------------------------------------------------------------------------
 */

static const char *const bad_books[] = {
	"{\"optime\":5,\"slots\":[]}",
	"{\"optime\":5,\"slots\":{\"a-b\":1}}",
	"{\"optime\":5,\"slots\":{\"a\":-1}}",
	"{\"optime\":5,\"slots\":{\"a\":\"1\"}}",
	"{\"optime\":5,\"slots\":{\"a\":1},\"pg_ha_members\":[]}",
	"{\"optime\":5,\"slots\":{\"a\":1},\"pg_ha_members\":{\"a b\":1}}",
	"{\"optime\":5,\"slots\":{\"a\":1},\"pg_ha_members\":{\"a\":-1}}",
	"{\"optime\":5,\"slots\":{\"a\":1},\"pg_ha_members\":{\"a\":9e18}}",
};

static void
test_slot_book(void)
{
	static const HaSlotBook none;
	char		many[4096] = "{\"pg_ha_members\":{\"x\":0";
	char	   *text;
	HaSlotBook	book;
	const HaView *v;

	for (int i = 0; i < LENGTH_OF(bad_books); i++)
	{
		v = look("status", bad_books[i]);
		OK(v->nmalformed == 1 && v->optime == 5 &&
		   memcmp(&v->slots, &none, sizeof(none)) == 0,
		   "bad book: %s", bad_books[i]);
	}
	for (int i = 0; i < HA_MAX_KNOWN; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
				 ",\"n%d\":0", i);
	strcat(many, "}}");
	OK(!look("status", many)->slots.known && view.nmalformed == 1,
	   "too many members: none is known");

	v = look("status", "{\"optime\":9,\"slots\":{\"n_1\":9,\"app\":7},"
			 "\"retain_slots\":[\"n_1\"],\"pg_ha_members\":{\"N-1\":0,\"n2\":1200}}");
	OK(v->nmalformed == 0 && v->slots.known && v->slots.nmembers == 2 &&
	   v->slots.members[1].absent == 1200 && v->slots.npositions == 2 &&
	   v->slots.positions[1].lsn == 7, "a book");
	book = v->slots;
	text = ha_status_json(9, &book);
	OK(memcmp(&look("status", text)->slots, &book, sizeof(book)) == 0,
	   "and again: %s", text);
	free(text);
	v = look("status", "{\"optime\":9,\"slots\":{\"n1\":9}}");
	OK(v->nmalformed == 0 && !v->slots.known && v->slots.npositions == 1,
	   "Patroni's knows no members");

	text = ha_removed_json("n1");
	v = look("pg_ha/removed/n2", text);
	free(text);
	OK(v->nremoved == 1 && strcmp(v->removed[0].name, "n2") == 0 &&
	   v->removed[0].mod_revision == 101 && v->nmalformed == 0, "removed");
	OK(look("pg_ha/removed/a b", "{}")->nremoved == 0 &&
	   view.nmalformed == 1, "removed, but no name");
}

/*-------------------------------------------------------------------------
 * Good keys
 *-------------------------------------------------------------------------
 */

static void
test_keys(void)
{
	const HaView *v;

	start();
	answer.cluster_id = 1;
	answer.raft_term = 2;
	answer.revision = 3;
	answer.sent_at = 4;
	ha_view_parse(&answer, NULL, &view);
	OK(view.valid && view.cluster_id == 1 && view.raft_term == 2 &&
	   view.revision == 3 && view.sent_at == 4, "where a view comes from");

	v = look("leader", "n1");
	OK(v->leader.present && strcmp(v->leader.name, "n1") == 0 &&
	   v->leader.create_revision == 10 && v->leader.mod_revision == 101 &&
	   v->leader.lease == 77 && v->nmalformed == 0, "leader");
	v = look("initialize", "");
	OK(v->initialize_revision == 101 && v->sysid == 0 && v->nmalformed == 0,
	   "initialize, in progress");
	v = look("initialize", "7711606946144686277");
	OK(v->sysid == UINT64_C(7711606946144686277), "initialize");
	v = look("pg_ha/identity",
			 "{\"uuid\":\"6f2c0a34-0000-4000-8000-0123456789ab\",\"schema\":1}");
	OK(strcmp(v->cluster_uuid, "6f2c0a34-0000-4000-8000-0123456789ab") == 0 &&
	   v->identity_revision == 101 && v->nmalformed == 0 && v->schema == 1 &&
	   v->schema_since[0] == '\0', "identity");
	v = look("pg_ha/identity", "{\"schema\":3,\"needs\":\"1.4\",\"uuids\":[]}");
	OK(v->schema == 3 && strcmp(v->schema_since, "1.4") == 0 &&
	   v->nmalformed == 1, "identity of a later schema");
	v = look("pg_ha/identity", "{\"schema\":3,\"needs\":\"1.4\\u001b[2J\"}");
	OK(v->schema == 3 && v->schema_since[0] == '\0' && v->nmalformed == 1,
	   "identity that needs nonsense");
	v = look("status", "{\"optime\":67109352,\"slots\":{\"n2\":5}}");
	OK(v->optime == 67109352 && v->status_revision == 101, "status");
	v = look("history", "[]");
	OK(v->history_revision == 101 && v->nmalformed == 0, "history");

	v = look("sync", "{\"leader\":\"n1\",\"quorum\":1,"
			 "\"sync_standby\":\"n2,n3,n2\"}");
	OK(v->sync.present && v->sync.quorum == 1 && v->sync.nstandbys == 2 &&
	   strcmp(v->sync.standbys[1], "n3") == 0 && v->sync.mod_revision == 101,
	   "sync");
	v = look("sync", "{\"leader\":\"n1\",\"quorum\":0,\"sync_standby\":null}");
	OK(v->sync.present && v->sync.nstandbys == 0 && v->nmalformed == 0,
	   "sync without standbys");
	v = look("sync", "{\"leader\":\"n1\",\"sync_standby\":\"n2,n@3\"}");
	OK(v->sync.present && v->sync.leader[0] == '\0' &&
	   v->sync.nstandbys == 0 && v->sync.mod_revision == 101,
	   "sync that can't be read");
	v = look("sync", "{\"leader\":null,\"sync_standby\":null}");
	OK(!v->sync.present && v->sync.mod_revision == 101 && v->nmalformed == 0,
	   "sync without leader");

	v = look("failover", "{}");
	OK(!v->failover.present && v->failover.mod_revision == 101 &&
	   v->nmalformed == 0, "failover: none");
	v = look("failover", "{\"leader\":\"n1\",\"member\":\"n2\"}");
	OK(v->failover.present && strcmp(v->failover.leader, "n1") == 0 &&
	   strcmp(v->failover.candidate, "n2") == 0 && v->failover.scheduled_at == 0,
	   "failover");
	v = look("failover", "{\"member\":\"n2\",\"scheduled_at\":\"2026-11-27T08:30:00Z\"}");
	OK(v->failover.present && v->failover.leader[0] == '\0' &&
	   v->failover.scheduled_at != 0, "failover, scheduled");
	v = look("failsafe", "{}");
	OK(!v->failsafe.present && v->failsafe.mod_revision == 101 &&
	   v->nmalformed == 0, "failsafe: no list");
	v = look("failsafe", "{\"n1\":\"http://h1/patroni\",\"n2\":\"\"}");
	OK(v->failsafe.present && v->failsafe.nmembers == 2 &&
	   strcmp(v->failsafe.members[0], "n1") == 0 &&
	   strcmp(v->failsafe.api_urls[0], "http://h1/patroni") == 0 &&
	   v->failsafe.api_urls[1][0] == '\0' && v->nmalformed == 0, "failsafe");
	v = look("failsafe", "{\"n1\":\"http://h1/\",\"n2\":\"file:///x\"}");
	OK(v->failsafe.present && v->failsafe.nmembers == 0 &&
	   v->nmalformed == 1, "failsafe: what can't be read lists nobody");
	v = look("failsafe", "[]");
	OK(v->failsafe.present && v->failsafe.nmembers == 0 &&
	   v->nmalformed == 1, "failsafe: also if it is no object");
	v = look("pg_ha/term", "{\"term\":1,\"owner\":\"n1\",\"intent\":true}");
	OK(v->term.present && v->term.intent && v->term.timeline == 0,
	   "the very first intent");
}

static void
test_members(void)
{
	const HaView *v;
	const HaMember *m = view.members;
	char		key[32];

	/* Captured from Patroni. */
	v = look("members/n2", "{\"conn_url\":\"postgres://127.0.0.1:5433/postgres\","
			 "\"api_url\":\"http://127.0.0.1:8009/patroni\",\"state\":\"running\","
			 "\"role\":\"replica\",\"version\":\"4.1.4\","
			 "\"tags\":{\"nosync\":true,\"failover_priority\":2,\"sync_priority\":3,\"x\":1},"
			 "\"xlog_location\":67109352,\"replay_lsn\":67109352,"
			 "\"receive_lsn\":67109352,\"replication_state\":\"streaming\","
			 "\"timeline\":2,\"pause\":true}");
	OK(v->nmembers == 1 && v->nmalformed == 0 && strcmp(m->name, "n2") == 0 &&
	   m->lease == 77 && m->mod_revision == 101, "member: key");
	OK(strcmp(m->host, "127.0.0.1") == 0 && m->port == 5433 &&
	   strcmp(m->api_url, "http://127.0.0.1:8009/patroni") == 0,
	   "member: where it is");
	OK(m->state == HA_STATE_RUNNING && m->role == HA_ROLE_STANDBY &&
	   m->timeline == 2 && m->lsn == 67109352 && m->replay_lsn == 67109352 &&
	   m->streaming && m->pause, "member: what it does");
	OK(m->nosync && !m->nofailover && m->failover_priority == 2 &&
	   m->sync_priority == 3,
	   "member: tags");
	OK(m->version[0] == '\0', "member: Patroni's has no version of ours");

	v = look("members/n1", "postgres://10.0.0.1:5432/postgres");
	OK(v->nmembers == 1 && v->nmalformed == 1 &&
	   m->state == HA_STATE_UNKNOWN && m->failover_priority == 1,
	   "a member that can't be read is there");
	look("members/n1", "{\"state\":\"new\",\"role\":\"new\"}");
	OK(view.nmalformed == 0 && m->state == HA_STATE_UNKNOWN &&
	   m->role == HA_ROLE_UNINITIALIZED, "words of a later version");
	look("members/n1", "{\"state\":\"running\",\"role\":\"primary\",\"tags\":"
		 "{\"nofailover\":{},\"nosync\":\"no\",\"failover_priority\":1e3}}");
	OK(view.nmalformed == 1 && m->nofailover && !m->nosync &&
	   m->failover_priority == 1, "tags that can't be read");
	look("members/n1", "{\"state\":\"running\",\"role\":\"primary\","
		 "\"timeline\":-1,\"xlog_location\":1e9,\"pg_ha_discarded\":[1],"
		 "\"pg_ha_identity\":\"a b\"}");
	OK(view.nmalformed == 1 && m->timeline == 0 && m->lsn == 0 &&
	   m->discarded_bytes == 0 && m->identity[0] == '\0' &&
	   m->role == HA_ROLE_PRIMARY, "a bad field is as if it were absent");
	look("members/n1", "{\"state\":\"creating replica\",\"role\":\"replica\","
		 "\"tags\":{\"clonefrom\":\"yes please\"},"
		 "\"pg_ha_clone\":{\"method\":\"rm -rf\",\"percent\":101}}");
	OK(view.nmalformed == 1 && !m->clonefrom && m->clone_method[0] == '\0' &&
	   m->clone_percent == 0, "a clone that can't be read");
	look("members/n1", "{\"state\":\"creating replica\",\"role\":\"replica\","
		 "\"tags\":{\"clonefrom\":\"true\"},\"pg_ha_clone\":[1]}");
	OK(view.nmalformed == 1 && m->clonefrom && m->clone_method[0] == '\0',
	   "a clone that is no object");

	start();
	for (int i = 20; i > 0; i--)
	{
		snprintf(key, sizeof(key), "members/n%02d", i);
		add(key, "{\"state\":\"running\",\"role\":\"replica\"}");
		snprintf(key, sizeof(key), "pg_ha/votes/n%02d", i);
		add(key, "{\"term\":1,\"term_revision\":1}");
	}
	add("members/n05", "{\"state\":\"stopped\",\"role\":\"replica\"}");
	ha_view_parse(&answer, NULL, &view);
	OK(view.nmembers == HA_MAX_MEMBERS && view.nvotes == HA_MAX_MEMBERS &&
	   view.nmalformed == 9, "too many members, and one twice");
	OK(strcmp(view.members[0].name, "n01") == 0 &&
	   strcmp(view.members[15].name, "n16") == 0 &&
	   strcmp(view.votes[0].name, "n01") == 0 &&
	   strcmp(view.votes[15].name, "n16") == 0, "the first by name are kept");
	OK(view.members[4].state == HA_STATE_RUNNING, "the first of two is kept");
}

static const struct
{
	const char *url;
	const char *host;			/* NULL = malformed */
	int			port;
}			urls[] =

{
	{"postgres://n1:5432/postgres", "n1", 5432},
	{"postgresql://n1.example.com:6000", "n1.example.com", 6000},
	{"postgres://10.0.0.1/db", "10.0.0.1", 5432},
	{"postgres://[::1]:5433/postgres", "::1", 5433},
	{"postgres://[fe80::1]", "fe80::1", 5432},
	{"postgres://n1:5432/postgres?application_name=x", "n1", 5432},
	{"postgres://user:secret@n1:5432/postgres", NULL, 0},
	{"postgres://n1:0/db", NULL, 0},
	{"postgres://n1:65536/db", NULL, 0},
	{"postgres://n1:/db", NULL, 0},
	{"postgres://n1:5432x/db", NULL, 0},
	{"postgres://:5432/db", NULL, 0},
	{"postgres://[::1/db", NULL, 0},
	{"postgres://[]:1/db", NULL, 0},
	{"postgres://n1,n2:5432/db", NULL, 0},
	{"postgres://n1 port=1/db", NULL, 0},
	{"postgres://n1'/db", NULL, 0},
	{"http://n1:5432/db", NULL, 0},
	{"/var/run/postgresql", NULL, 0},
};

static void
test_urls(void)
{
	char		json[512];
	const HaMember *m = view.members;

	for (int i = 0; i < LENGTH_OF(urls); i++)
	{
		const char *host = urls[i].host;

		snprintf(json, sizeof(json), "{\"conn_url\":\"%s\",\"state\":"
				 "\"running\",\"role\":\"replica\"}", urls[i].url);
		look("members/n1", json);
		OK(strcmp(m->host, host != NULL ? host : "") == 0 &&
		   m->port == urls[i].port && view.nmalformed == (host == NULL) &&
		   (m->conn_url[0] != '\0') == (host != NULL),
		   "url %s: %s %d", urls[i].url, m->host, m->port);
	}
}

/*-------------------------------------------------------------------------
 * What is written, and read again
 *-------------------------------------------------------------------------
 */

static void
add_json(const char *key, char *json)
{
	add(key, json);
	free(json);
}

static void
test_round_trips(void)
{
	/* static, so that their padding is zero */
	static HaHeartbeat heartbeat = {.present = true,.name = "n1",
	.mod_revision = 101,.term = 5,.ttl = 10000,.lsn = INT64_MAX};
	static HaTerm term = {.present = true,.mod_revision = 102,.term = 5,
		.owner = "n1",.intent = true,.from_source = true,.timeline = 3,.begin_lsn = 123,
		.timeline_owner = "n3",.reserved = 4,.reached = 125,.lost_bytes = 1,
		.nlineage = 2,
	.lineage = {{1, 100, "n2"}, {2, 123, ""}}};
	static HaVote vote = {.name = "n2",.mod_revision = 103,.term = 5,
		.term_revision = 77,.timeline = 3,.lsn = 123,.priority = -2,
	.withdrawn = true};
	static HaMember member = {.name = "n1",.mod_revision = 104,.lease = 77,
		.state = HA_STATE_RUNNING,.role = HA_ROLE_STANDBY,.host = "::1",
		.port = 5432,.conn_url = "postgres://[::1]:5432/postgres",
		.api_url = "https://[::1]:8008/patroni",.version = "1.0",
		.timeline = UINT32_MAX,.lsn = 5,.replay_lsn = 4,.streaming = true,
		.nofailover = true,.nosync = true,.failover_priority = 0,
		.pause = true,.sick = true,.identity = "0123456789abcdef",
		.discarded_bytes = 9,.discarded_timeline = 2,.clonefrom = true,
		.clone_method = "restore",.clone_percent = 40,.hba_source = "local",
	.hba_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};

	start();
	add_json("pg_ha/heartbeat", ha_heartbeat_json(&heartbeat));
	add_json("pg_ha/term", ha_term_json(&term));
	add_json("pg_ha/votes/n2", ha_vote_json(&vote));
	add_json("members/n1", ha_member_json(&member));
	ha_view_parse(&answer, NULL, &view);
	OK(view.nmalformed == 0, "all that we write can be read");
	OK(memcmp(&view.heartbeat, &heartbeat, sizeof(heartbeat)) == 0,
	   "heartbeat");
	OK(memcmp(&view.term, &term, sizeof(term)) == 0, "term");
	OK(memcmp(&view.votes[0], &vote, sizeof(vote)) == 0, "vote");
	OK(memcmp(&view.members[0], &member, sizeof(member)) == 0, "member");

	heartbeat.released = true;
	heartbeat.released_lsn = 5;
	heartbeat.crashed = true;
	start();
	add_json("pg_ha/heartbeat", ha_heartbeat_json(&heartbeat));
	ha_view_parse(&answer, NULL, &view);
	OK(memcmp(&view.heartbeat, &heartbeat, sizeof(heartbeat)) == 0,
	   "heartbeat, released");
}

static void
test_written(void)
{
	HaMember	member = {.name = "n1",.state = HA_STATE_REWINDING,
		.role = HA_ROLE_STANDBY,.conn_url = "postgres://h:1/postgres",
		.api_url = "http://h:2/patroni",.version = "1.0",.timeline = 2,
	.lsn = 5,.replay_lsn = 4,.failover_priority = 1,.sync_priority = 1};
	HaHeartbeat heartbeat = {.name = "n1",.term = 5,.ttl = 10000,
	.lsn = UINT64_MAX};
	HaTerm		term = {.nlineage = 2,.timeline = 3,.timeline_owner = "n3",
	.lineage = {{1, 100, "n1"}, {2, 200, "n2"}}};
	char		names[2][HA_NAME_SIZE] = {"n3", "n2"};
	static const char now[] = "2026-11-24T05:32:14.211256+00:00";

	IS(ha_sync_json("n1", 1, 2, names),
	   "{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":\"n2,n3\"}", "sync");
	IS(ha_sync_json("n1", 0, 0, NULL),
	   "{\"leader\":\"n1\",\"quorum\":0,\"sync_standby\":null}",
	   "sync without standbys");
	IS(ha_status_json(123, &view.slots), "{\"optime\":123}", "status");
	IS(ha_failover_json(NULL, ""), "{}", "failover: none");
	IS(ha_failover_json("n1", "n2"), "{\"leader\":\"n1\",\"member\":\"n2\"}",
	   "failover");
	IS(ha_heartbeat_json(&heartbeat), "{\"name\":\"n1\",\"term\":5,"
	   "\"ttl\":10000,\"lsn\":9223372036854775807}",
	   "heartbeat, with the highest number JSON may hold");
	IS(ha_member_json(&member), "{\"conn_url\":\"postgres://h:1/postgres\","
	   "\"api_url\":\"http://h:2/patroni\",\"state\":\"starting\","
	   "\"role\":\"replica\",\"version\":\"4.1.0\",\"xlog_location\":5,"
	   "\"replay_lsn\":4,\"receive_lsn\":5,\"timeline\":2,"
	   "\"pg_ha_version\":\"1.0\",\"pg_ha_identity\":\"\"}", "member");
	member.role = HA_ROLE_PRIMARY;
	member.state = HA_STATE_RUNNING;
	memcpy(member.api_url, "\377", 2);
	IS(ha_member_json(&member), "{\"conn_url\":\"postgres://h:1/postgres\","
	   "\"api_url\":\"?\",\"state\":\"running\",\"role\":\"primary\","
	   "\"version\":\"4.1.0\",\"xlog_location\":5,\"timeline\":2,"
	   "\"pg_ha_version\":\"1.0\",\"pg_ha_identity\":\"\"}",
	   "member: a primary, and text that is not UTF-8");

	IS(ha_history_json(&term, "[[1,100,\"x\"]]", now),
	   "[[1,100,\"x\"],[2,200,\"no recovery target specified\","
	   "\"2026-11-24T05:32:14.211256+00:00\",\"n3\"]]", "history: one more");
	OK(ha_history_json(&term, "[[2,200,\"x\"]]", now) == NULL,
	   "history: nothing new");
	IS(ha_history_json(&term, NULL, "T"),
	   "[[1,100,\"no recovery target specified\"],"
	   "[2,200,\"no recovery target specified\",\"T\",\"n3\"]]",
	   "history: none before");
	IS(ha_history_json(&term, "[[\"1\"]]", "T"),
	   "[[1,100,\"no recovery target specified\"],"
	   "[2,200,\"no recovery target specified\",\"T\",\"n3\"]]",
	   "history: malformed");
	term.nlineage = 0;
	IS(ha_history_json(&term, "{", "T"), "[]", "history of a first timeline");
}

/*-------------------------------------------------------------------------
 * Decision problems
 *-------------------------------------------------------------------------
 */

static const struct
{
	const char *json;
	const char *error;
}			problems[] =

{
	{"", "not valid JSON"},
	{"[]", "\"problem\" must be an object"},
	{"{\"x\":1}", "\"problem\" has no field \"x\""},
	{"{\"view\":5}", "\"view\" must be an object"},
	{"{\"view\":{\"x\":5}}", "\"view\" has no field \"x\""},
	{"{\"view\":{\"nmembers\":5}}", "\"view\" has no field \"nmembers\""},
	{"{\"view\":{\"members\":{}}}", "\"members\" must be an array"},
	{"{\"view\":{\"members\":[1]}}", "\"members\" must be an object"},
	{"{\"view\":{\"members\":[{\"lsm\":1}]}}", "no field \"lsm\""},
	{"{\"view\":{\"members\":[{\"role\":\"replica\"}]}}", "\"role\" has"},
	{"{\"view\":{\"members\":[{\"timeline\":-1}]}}", "\"timeline\" has"},
	{"{\"view\":{\"members\":[{\"port\":2147483648}]}}", "\"port\" has"},
	{"{\"view\":{\"valid\":1}}", "\"valid\" has"},
	{"{\"view\":{\"sync\":{\"standbys\":[1]}}}", "\"standbys\" must hold"},
	{"{\"view\":{\"votes\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}}",
	"\"votes\" must be an array of at most 16"},
	{"{\"local\":{\"name\":\"1234567890123456789012345678901234567890"
	"123456789012345678901234\"}}", "\"name\" has"},
	{"{\"now\":\"5\"}", "\"now\" has"},
	{"{\"now\":5.5}", "\"now\" has"},
};

static void
test_problems(void)
{
	HaConfig	config;
	HaLocal		local;
	int64_t		now;
	char		err[200];
	const char *json;

	for (int i = 0; i < LENGTH_OF(problems); i++)
	{
		json = problems[i].json;
		err[0] = '\0';
		OK(!ha_problem_parse(json, strlen(json), &config, &view, &local, &now,
							 err, sizeof(err)) &&
		   strstr(err, problems[i].error) != NULL, "problem %.60s: %s", json,
		   err);
	}

	json = "{}";
	OK(ha_problem_parse(json, 2, &config, &view, &local, &now, err,
						sizeof(err)) && config.ttl == 10000 && now == 0 &&
	   local.failover_priority == 1 && !view.valid, "an empty problem");
	json = "{\"config\":{\"ttl\":5000,\"synchronous_mode\":\"quorum\"},"
		"\"view\":{\"valid\":true,\"leader\":{\"present\":true,\"name\":\"n1\"},"
		"\"term\":{\"lineage\":[{\"timeline\":1,\"end_lsn\":5}]},"
		"\"sync\":{\"standbys\":[\"n2\",\"n3\"]},"
		"\"members\":[{\"name\":\"n2\",\"state\":\"rewinding\","
		"\"role\":\"standby\"}],\"votes\":[{\"name\":\"n2\",\"lsn\":7}]},"
		"\"local\":{\"name\":\"n2\",\"role\":\"primary\","
		"\"sync_names\":[\"a\"],\"standbys\":[{\"name\":\"s\"}],"
		"\"lease_id\":9223372036854775807},\"now\":-5}";
	OK(ha_problem_parse(json, strlen(json), &config, &view, &local, &now, err,
						sizeof(err)), "a problem: %s", err);
	OK(config.ttl == 5000 && config.synchronous_mode == HA_SYNC_QUORUM &&
	   memcmp(&view.config, &config, sizeof(config)) == 0, "its config");
	OK(view.valid && view.leader.present && view.term.nlineage == 1 &&
	   view.term.lineage[0].end_lsn == 5 && view.sync.nstandbys == 2 &&
	   strcmp(view.sync.standbys[1], "n3") == 0 && view.nmembers == 1 &&
	   view.members[0].state == HA_STATE_REWINDING &&
	   view.members[0].failover_priority == 1 && view.nvotes == 1 &&
	   view.votes[0].lsn == 7, "its view");
	OK(local.role == HA_ROLE_PRIMARY && local.nsync_names == 1 &&
	   local.nstandbys == 1 && strcmp(local.standbys[0].name, "s") == 0 &&
	   local.lease_id == INT64_MAX && now == -5, "the rest of it");
}

static void
test_plans(void)
{
	HaPlan		plan = {.verb = HA_ACQUIRE,.why = "best \"vote\"",
		.wake_at = 5,.follow = "n2",.resume = true,.reserve = 4,
	.ncounted = 2,.counted = {0, 2}};
	HaPlan		names = {.verb = HA_SET_SYNC,.sync_on = true};

	IS(ha_plan_json(&plan), "{\"verb\":\"acquire\",\"why\":\"best \\\"vote\\\"\","
	   "\"follow\":\"n2\",\"wake_at\":5,\"resume\":true,\"reserve\":4,"
	   "\"counted\":[0,2]}", "a plan");
	IS(ha_plan_json(&names), "{\"verb\":\"set_sync\",\"why\":\"\","
	   "\"names\":[],\"sync_on\":true}", "a plan with no names");
	OK(strcmp(ha_verb_name(HA_STOP), "stop") == 0 &&
	   strcmp(ha_verb_name(HA_CLEAR_FAILOVER), "clear_failover") == 0 &&
	   strcmp(ha_verb_name(HA_SET_NAMES), "set_names") == 0, "verbs");
	OK(strcmp(ha_member_state_name(HA_STATE_CRASHED), "crashed") == 0 &&
	   strcmp(ha_member_state_name(HA_STATE_CLONING), "creating replica") == 0 &&
	   strcmp(ha_role_name(HA_ROLE_STARTING), "replica") == 0, "words");
}

int
main(void)
{
	test_names();
	test_config();
	test_slots_config();
	test_standby_cluster();
	test_slot_book();
	test_view_config();
	test_malformed();
	test_keys();
	test_members();
	test_urls();
	test_round_trips();
	test_written();
	test_problems();
	test_plans();
	ha_dcs_answer_free(&answer);

	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
