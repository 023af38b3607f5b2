/*-------------------------------------------------------------------------
 *
 * commands.h
 *	  What pg_ha_boot can be asked to do.
 *
 * Each command is one row of the table in main.c and lives in a file of its own.
 * Its options and what comes after them are parsed by main.c, so that all commands
 * take -D, -c and -b, give the same help and complain alike.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_COMMANDS_H
#define HA_COMMANDS_H

#include "postgres_fe.h"

#include "getopt_long.h"

#include "node_file.h"

/* Exit codes; docs/pg_ha_boot.md says what to do about each. */
#define HA_EXIT_OK				0
#define HA_EXIT_CONFIGURATION	10
#define HA_EXIT_TEMPORARY		11
#define HA_EXIT_REFUSED			12

/* Values of a command's own options begin here. */
#define HA_OPTION_FIRST			256

/* What stood on the command line.  Paths are absolute; "" = not given. */
typedef struct HaInvocation
{
	const char *argv0;
	char		data_dir[MAXPGPATH];
	char		config[MAXPGPATH];
	char		bin_dir[MAXPGPATH];
	char	  **operands;		/* behind the options, or behind "--" */
	int			noperands;
} HaInvocation;

typedef struct HaCommand
{
	const char *name;
	const char *arguments;		/* as the usage line shows them */
	const char *summary;		/* one line of help */
	const char *details;		/* lines on its own options, or NULL */
	const struct option *options;	/* its own, ended by zeros, or NULL */

	/* Take an option of its own; false: refused, and reported. */
	bool		(*take_option) (int value, const char *text);
	int			max_operands;	/* -1 = any number */
	int			(*go) (const HaInvocation *invocation);
} HaCommand;

extern const HaCommand ha_command_adopt;
extern const HaCommand ha_command_detach;
extern const HaCommand ha_command_check;
extern const HaCommand ha_command_run;
extern const HaCommand ha_command_wipe;
extern const HaCommand ha_command_forget_cluster;
extern const HaCommand ha_command_import_patroni;
extern const HaCommand ha_command_upgrade_major;

/* Were -D and -c given?  If not, that is reported. */
extern bool ha_invocation_is_complete(const HaInvocation *invocation);

/* The directory of -b, or where the programs are otherwise; false: nowhere. */
extern bool ha_invocation_bin_dir(const HaInvocation *invocation,
								  char *bin_dir);
extern const HaCommand ha_command_init;

/*
 * What most commands begin with: -D and -c must have been given, -b is looked for if
 * it was not, and the node file is read.  0, or an exit code after reporting.
 */
extern int	ha_invocation_node(const HaInvocation *invocation, HaNode *node);

#endif							/* HA_COMMANDS_H */
