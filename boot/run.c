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
#include "run.h"
#include "supervise.h"

static const struct option options[] = {
	HA_BOOTSTRAP_OPTIONS,
	{NULL}
};

int
ha_run(const HaNode *node, const HaBootstrap *how, bool init_only)
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
		return HA_EXIT_CONFIGURATION;
	}
	pg_log_info("node \"%s\" of cluster \"%s\" starts", node->name, node->scope);
	code = ha_supervise(node, control, control_was_lost, identity, how,
						init_only);
	ha_control_close(control);
	pg_log_info("exits with code %d", code);
	return code;
}

static int
run(const HaInvocation *invocation)
{
	const HaBootstrap *how = ha_bootstrap_options(invocation);
	HaNode		node;
	int			code;

	if (how == NULL)
		return HA_EXIT_CONFIGURATION;
	code = ha_invocation_node(invocation, &node);
	return code != 0 ? code : ha_run(&node, how, false);
}

const HaCommand ha_command_run = {
	.name = "run",
	.arguments = "-D PGDATA -c NODEFILE [OPTION]... [-- INITDB-OPTION...]",
	.summary = "start one node and keep it, in the foreground",
	.details = HA_BOOTSTRAP_HELP,
	.options = options,
	.take_option = ha_bootstrap_take_option,
	.max_operands = -1,
	.go = run,
};
