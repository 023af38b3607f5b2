/*-------------------------------------------------------------------------
 *
 * check.c
 *	  "pg_ha_boot check": would this node start, and if not, why not?
 *
 * Everything is found out at once, and nothing is changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "preflight.h"

enum
{
	OPTION_JSON = HA_OPTION_FIRST,
	OPTION_IGNORE_UNIT,
	OPTION_ROOT,
};

static const struct option options[] = {
	{"json", no_argument, NULL, OPTION_JSON},
	{"ignore-unit", no_argument, NULL, OPTION_IGNORE_UNIT},
	{"root", required_argument, NULL, OPTION_ROOT},
	{NULL, 0, NULL, 0}
};

/* From the command line. */
static bool json_wanted;
static bool ignore_unit;
static const char *root = "";

static bool
take_option(int value, const char *text)
{
	switch (value)
	{
		case OPTION_JSON:
			json_wanted = true;
			return true;
		case OPTION_IGNORE_UNIT:
			ignore_unit = true;
			return true;
		case OPTION_ROOT:
			root = text;
			return true;
		default:
			return false;
	}
}

static void
take_fault(void *arg, bool warning, const char *code, const char *message,
		   const char *hint)
{
	HaReport   *report = arg;

	if (warning)
		ha_report_warning(report, code, hint, "%s", message);
	else
		ha_report_error(report, code, hint, "%s", message);
}

static void
print_verdict(const HaPreflight *p)
{
	printf("data directory \"%s\" is %s", p->node.data_dir,
		   ha_directory_name(p->directory));
	if (p->directory == HA_DIR_VALID)
		printf(" (system identifier " UINT64_FORMAT ", %s, timeline %u)",
			   p->facts.sysid, p->facts.clean ? "shut down" :
			   p->server_runs ? "running" : "not shut down cleanly",
			   p->facts.timeline);
	printf("; action: %s\n", ha_action_name(ha_preflight_action(p)));
	if (!ha_report_has_errors(&p->report))
		printf("every check has passed\n");
}

static json_t *
directory_json(const HaPreflight *p)
{
	char		sysid[32];
	json_t	   *json = json_pack("{s:s*, s:s}", "path", p->node.data_dir,
								 "verdict", ha_directory_name(p->directory));

	if (json == NULL || p->directory != HA_DIR_VALID)
		return json;

	/* As text: not every reader has integers of 64 bits. */
	snprintf(sysid, sizeof(sysid), UINT64_FORMAT, p->facts.sysid);
	json_object_set_new(json, "system_identifier", json_string(sysid));
	json_object_set_new(json, "timeline", json_integer(p->facts.timeline));
	json_object_set_new(json, "clean", json_boolean(p->facts.clean));
	json_object_set_new(json, "running", json_boolean(p->server_runs));
	return json;
}

static void
print_json(const HaPreflight *p)
{
	json_t	   *json = json_pack("{s:o, s:s, s:i, s:o}",
								 "data_directory", directory_json(p),
								 "action", ha_action_name(ha_preflight_action(p)),
								 "exit_code", ha_report_exit_code(&p->report),
								 "findings", ha_report_json(&p->report));

	if (json == NULL || json_dumpf(json, stdout, JSON_INDENT(2)) != 0)
		pg_log_error("out of memory");
	printf("\n");
	json_decref(json);
}

static int
check(const HaInvocation *invocation)
{
	HaPreflight *p = pg_malloc0(sizeof(HaPreflight));
	HaFaultSink sink = {.take = take_fault,.arg = &p->report};
	char		bin_dir[MAXPGPATH];
	char		err[256];
	int			code;

	if (!ha_invocation_is_complete(invocation))
		return HA_EXIT_CONFIGURATION;
	if (!ha_invocation_bin_dir(invocation, bin_dir))
		strlcpy(bin_dir, PGBINDIR, sizeof(bin_dir));	/* P02 comes of it */
	p->node_is_sane = ha_node_check(invocation->config, invocation->data_dir,
									bin_dir, &sink, &p->node);
	p->ignore_unit = ignore_unit;
	p->root = root;
	p->initdb_options = invocation->operands;
	p->ninitdb_options = invocation->noperands;
	p->control = ha_control_open(p->node.state_dir, false, err, sizeof(err));
	ha_preflight(p);

	code = ha_report_exit_code(&p->report);
	if (json_wanted)
		print_json(p);
	else
	{
		print_verdict(p);
		fflush(stdout);
		ha_report_log(&p->report);
	}
	ha_control_close(p->control);
	ha_report_free(&p->report);
	pg_free(p);
	return code;
}

const HaCommand ha_command_check = {
	.name = "check",
	.arguments = "-D PGDATA -c NODEFILE [-b BINDIR] [--json] [-- INITDB-OPTION...]",
	.summary = "tell everything that would keep a node from starting",
	.details =
	"  --json                 one JSON object on standard output\n"
	"  --ignore-unit          let other systemd units be enabled (P18)\n"
	"  --root=DIR             look for systemd units below DIR\n"
	"  INITDB-OPTION...       try initdb with these, in a scratch directory\n",
	.options = options,
	.take_option = take_option,
	.max_operands = -1,
	.go = check,
};
