/*-------------------------------------------------------------------------
 *
 * run.c
 *	  "pg_ha_boot run": start one node and keep it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>

#include "common/logging.h"

#include "files.h"
#include "import_patroni.h"
#include "lock.h"
#include "notify.h"
#include "preflight.h"
#include "run.h"
#include "supervise.h"
#include "upgrade_major.h"

enum
{
	OPTION_IGNORE_UNIT = HA_OPTION_BOOTSTRAP_LAST,
	OPTION_ROOT,
	OPTION_PATRONI_CONFIG,
};

static const struct option options[] = {
	HA_BOOTSTRAP_OPTIONS,
	{"ignore-unit", no_argument, NULL, OPTION_IGNORE_UNIT},
	{"root", required_argument, NULL, OPTION_ROOT},
	{"patroni-config", required_argument, NULL, OPTION_PATRONI_CONFIG},
	{NULL, 0, NULL, 0}
};

/* From the command line. */
static HaRun order = {.root = ""};
static const char *patroni_config;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_IGNORE_UNIT)
		order.ignore_unit = true;
	else if (value == OPTION_ROOT)
		order.root = text;
	else if (value == OPTION_PATRONI_CONFIG)
		patroni_config = text;
	else
		return ha_bootstrap_take_option(value, text);
	return true;
}

int
ha_run(const HaNode *node, const HaRun *run)
{
	char		path[MAXPGPATH];
	char		err[HA_ERROR_SIZE];
	char		identity[HA_IDENTITY_SIZE];
	HaControl  *control;
	struct stat st;
	bool		control_was_lost;
	int			code = ha_lock_take(node->state_dir);

	if (code != 0)
		return code;
	if (ha_exists_in(node->state_dir, HA_UPGRADE_JOURNAL))
	{
		pg_log_error("U01 a major upgrade of this node is not finished");
		pg_log_error_hint("Run \"pg_ha_boot upgrade-major\" again, with the same options: it goes on from where it was.");
		return HA_EXIT_REFUSED;
	}
	if (!ha_identity_read(node->state_dir, identity))
		return HA_EXIT_CONFIGURATION;

	/* One of an earlier boot of the machine is replaced, but is not lost. */
	snprintf(path, sizeof(path), "%s/control", node->state_dir);
	control_was_lost = stat(path, &st) != 0;
	control = ha_control_open(node->state_dir, true, err, sizeof(err));
	if (control == NULL)
	{
		pg_log_error("could not open the control block in \"%s\": %s",
					 node->state_dir, err);
		pg_log_error_hint("If the server runs with another version of pg_ha, start the pg_ha_boot of that version, or stop the server first.");
		return HA_EXIT_CONFIGURATION;
	}
	if (ha_control_is_replacement(control))
	{
		pg_log_info("the control block was of another version of pg_ha: begins anew");
		control_was_lost = true;
	}
	pg_log_info("node \"%s\" of cluster \"%s\" starts", node->name, node->scope);
	code = ha_preflight_start(node, control, control_was_lost,
							  run->ignore_unit, run->root);
	if (code == 0)
		code = ha_supervise(node, control, control_was_lost, identity,
							run->how, run->init_only);
	ha_control_close(control);
	pg_log_info("exits with code %d", code);
	return code;
}

static int
run(const HaInvocation *invocation)
{
	HaInvocation invoked = *invocation;
	HaNode		node;
	int			code = 0;

	ha_notify_open();
	if (patroni_config != NULL)
		code = ha_patroni_invocation(patroni_config, &invoked);
	if (code != 0)
		return code;
	order.how = ha_bootstrap_options(&invoked);
	if (order.how == NULL)
		return HA_EXIT_CONFIGURATION;
	code = ha_invocation_node(&invoked, &node);
	return code != 0 ? code : ha_run(&node, &order);
}

const HaCommand ha_command_run = {
	.name = "run",
	.arguments = "-D PGDATA -c NODEFILE [OPTION]... [-- INITDB-OPTION...]\n"
	"  pg_ha_boot run --patroni-config=FILE.yml [OPTION]...",
	.summary = "start one node and keep it, in the foreground",
	.details = HA_BOOTSTRAP_HELP
	"  --ignore-unit                 let other systemd units be enabled (P18)\n"
	"  --root=DIR                    look for systemd units below DIR\n"
	"  --patroni-config=FILE.yml     Patroni's configuration, instead of a node file\n",
	.options = options,
	.take_option = take_option,
	.max_operands = -1,
	.go = run,
};
