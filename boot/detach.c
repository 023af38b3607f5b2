/*-------------------------------------------------------------------------
 *
 * detach.c
 *	  "pg_ha_boot detach": let the server run on without its pg_ha_boot.
 *
 * The pg_ha_boot that runs is named by the control block, with its start time, so
 * that nobody else is signalled.  Its lock tells when it is gone: the next "run" can
 * take it then, and not earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>

#include "common/logging.h"

#include "../control.h"
#include "../dcs.h"
#include "commands.h"

#define DETACH_WAIT			10000
#define POLL_US				20000L

static int
wait_for_end(const HaControlBoot *boot)
{
	int64_t		until = ha_now() + DETACH_WAIT;

	while (ha_process_is_alive(boot->pid, boot->pid_start))
	{
		if (ha_now() > until)
		{
			pg_log_error("pg_ha_boot (PID %d) has not detached", boot->pid);
			pg_log_error_hint("It can while its server runs; its log tells what it is doing.");
			return HA_EXIT_TEMPORARY;
		}
		pg_usleep(POLL_US);
	}
	printf("pg_ha_boot (PID %d) has ended, and its server goes on\n", boot->pid);
	return HA_EXIT_OK;
}

static int
detach(const HaInvocation *invocation)
{
	char		err[HA_ERROR_SIZE];
	HaNode		node;
	HaControl  *control;
	HaControlBoot boot;
	int			code = ha_invocation_node(invocation, &node);

	if (code != 0)
		return code;
	control = ha_control_open(node.state_dir, false, err, sizeof(err));
	if (control == NULL || !ha_control_get_boot(control, &boot) ||
		!ha_process_is_alive(boot.pid, boot.pid_start))
	{
		pg_log_error("no pg_ha_boot runs for this node");
		pg_log_error_hint("See that -D and -c are those of its \"run\".");
		code = HA_EXIT_CONFIGURATION;
	}
	else if (kill(boot.pid, SIGUSR2) != 0)
	{
		pg_log_error("could not send a signal to pg_ha_boot (PID %d): %m",
					 boot.pid);
		code = HA_EXIT_CONFIGURATION;
	}
	else
		code = wait_for_end(&boot);
	if (control != NULL)
		ha_control_close(control);
	return code;
}

const HaCommand ha_command_detach = {
	.name = "detach",
	.arguments = "-D PGDATA -c NODEFILE",
	.summary = "end \"run\" and leave the server running, for the next \"run\"",
	.go = detach,
};
