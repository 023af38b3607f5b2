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

#include "lock.h"
#include "notify.h"
#include "preflight.h"
#include "supervise.h"
#include "commands.h"

enum
{
	OPTION_IGNORE_UNIT = HA_OPTION_FIRST,
	OPTION_ROOT,
};

static const struct option options[] = {
	{"ignore-unit", no_argument, NULL, OPTION_IGNORE_UNIT},
	{"root", required_argument, NULL, OPTION_ROOT},
	{NULL, 0, NULL, 0}
};

/* From the command line. */
static bool ignore_unit;
static const char *root = "";

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_IGNORE_UNIT)
		ignore_unit = true;
	else
		root = text;
	return true;
}

static int
run(const HaInvocation *invocation)
{
	char		path[MAXPGPATH];
	char		err[HA_ERROR_SIZE];
	char		identity[HA_IDENTITY_SIZE];
	HaNode		node;
	HaControl  *control;
	struct stat st;
	bool		control_was_lost;
	int			code;

	ha_notify_open();
	code = ha_invocation_node(invocation, &node);
	if (code == 0)
		code = ha_lock_take(node.state_dir);
	if (code != 0)
		return code;
	if (!ha_identity_read(node.state_dir, identity))
		return HA_EXIT_CONFIGURATION;

	/* One of an earlier boot of the machine is replaced, but is not lost. */
	snprintf(path, sizeof(path), "%s/control", node.state_dir);
	control_was_lost = stat(path, &st) != 0;
	control = ha_control_open(node.state_dir, true, err, sizeof(err));
	if (control == NULL)
	{
		pg_log_error("could not open the control block in \"%s\": %s",
					 node.state_dir, err);
		return HA_EXIT_CONFIGURATION;
	}
	pg_log_info("node \"%s\" of cluster \"%s\" starts", node.name, node.scope);
	code = ha_preflight_start(&node, control, control_was_lost, ignore_unit,
							  root);
	if (code == 0)
		code = ha_supervise(&node, control, control_was_lost, identity);
	ha_control_close(control);
	pg_log_info("exits with code %d", code);
	return code;
}

const HaCommand ha_command_run = {
	.name = "run",
	.arguments = "-D PGDATA -c NODEFILE [-b BINDIR]",
	.summary = "start one node and keep it, in the foreground",
	.details =
	"  --ignore-unit          let other systemd units be enabled (P18)\n"
	"  --root=DIR             look for systemd units below DIR\n",
	.options = options,
	.take_option = take_option,
	.go = run,
};
