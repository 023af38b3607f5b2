/*-------------------------------------------------------------------------
 *
 * bootstrap.h
 *	  What makes the first data directory of a cluster.
 *
 * The work runs in a child process, whose exit the caller waits for in its loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_BOOTSTRAP_H
#define HA_BOOTSTRAP_H

#include <sys/types.h>

#include "commands.h"
#include "node_file.h"

/* Where the recovery of a restored data directory ends. */
typedef enum HaTargetKind
{
	HA_TARGET_NONE,				/* at the end of the WAL there is */
	HA_TARGET_TIME,
	HA_TARGET_LSN,
	HA_TARGET_NAME,
	HA_TARGET_XID,
} HaTargetKind;

/* How it is made, as the command line says.  Strings are NULL if not given. */
typedef struct HaBootstrap
{
	const char *method;			/* "initdb" or "command" */
	char	  **command;		/* its words, ended by NULL */
	char	  **initdb_options; /* behind "--", ended by NULL */
	const char *restore_command;
	HaTargetKind target_kind;
	const char *target;
	bool		as_copy;
	char	  **post_init;		/* words, or the path of a .sql file alone */
	const char *hba_file;
	const char *config_file;
	char	   *config_json;	/* what stands in it */
} HaBootstrap;

/* The room for why it failed, as the parent is told. */
#define HA_BOOTSTRAP_WHY_SIZE	512

/*
 * Begin to make the data directory.  The child writes why it failed, beginning
 * with a code, into *report, which the caller reads when the child has ended, and
 * closes.  -1: reported.
 */
extern pid_t ha_bootstrap_start(const HaNode *node, const HaBootstrap *how,
								int *report);

/*
 * Options, for each command that may bootstrap.
 */

enum
{
	HA_OPTION_METHOD = HA_OPTION_FIRST,
	HA_OPTION_COMMAND,
	HA_OPTION_RESTORE_COMMAND,
	HA_OPTION_TARGET_TIME,
	HA_OPTION_TARGET_LSN,
	HA_OPTION_TARGET_NAME,
	HA_OPTION_TARGET_XID,
	HA_OPTION_AS_COPY,
	HA_OPTION_POST_INIT,
	HA_OPTION_HBA,
	HA_OPTION_CLUSTER_CONFIG,
	HA_OPTION_USERS,
	HA_OPTION_BOOTSTRAP_LAST
};

#define HA_BOOTSTRAP_OPTIONS \
	{"method", required_argument, NULL, HA_OPTION_METHOD}, \
	{"command", required_argument, NULL, HA_OPTION_COMMAND}, \
	{"restore-command", required_argument, NULL, HA_OPTION_RESTORE_COMMAND}, \
	{"recovery-target-time", required_argument, NULL, HA_OPTION_TARGET_TIME}, \
	{"recovery-target-lsn", required_argument, NULL, HA_OPTION_TARGET_LSN}, \
	{"recovery-target-name", required_argument, NULL, HA_OPTION_TARGET_NAME}, \
	{"recovery-target-xid", required_argument, NULL, HA_OPTION_TARGET_XID}, \
	{"as-copy", no_argument, NULL, HA_OPTION_AS_COPY}, \
	{"post-init", required_argument, NULL, HA_OPTION_POST_INIT}, \
	{"hba", required_argument, NULL, HA_OPTION_HBA}, \
	{"cluster-config", required_argument, NULL, HA_OPTION_CLUSTER_CONFIG}, \
	{"users", required_argument, NULL, HA_OPTION_USERS}

#define HA_BOOTSTRAP_HELP \
	"  --method=initdb|command       what makes the first data of a new cluster\n" \
	"  --command='/PROGRAM ARG...'   the program of --method=command, run without a shell\n" \
	"  --restore-command=COMMAND     where its recovery gets WAL from\n" \
	"  --recovery-target-time=TIME, --recovery-target-lsn=LSN,\n" \
	"  --recovery-target-name=NAME, --recovery-target-xid=XID\n" \
	"                                where its recovery ends\n" \
	"  --as-copy                     the data is a copy of another cluster's\n" \
	"  --post-init=FILE.sql|PROGRAM  run on the new data, before anybody may use it\n" \
	"  --hba=FILE                    the lines of pg_hba.conf for clients\n" \
	"  --cluster-config=FILE         the cluster's configuration, a JSON object\n" \
	"  -- INITDB-OPTION...           options of initdb\n"

/* Our own options of initdb; what the user gives comes later and wins. */
#define HA_INITDB_DEFAULTS	4
extern const char *const ha_initdb_defaults[HA_INITDB_DEFAULTS];

/* Is it an option of initdb that only pg_ha_boot may give? */
extern bool ha_initdb_is_reserved(const char *word);

/* Take one of them; false: refused, and reported. */
extern bool ha_bootstrap_take_option(int value, const char *text);

/* The same, unless the command line has it already.  The text is kept. */
extern void ha_bootstrap_default_option(int value, const char *text);

/* Say that --hba does nothing here. */
extern void ha_bootstrap_warn_of_hba(void);

/* The configuration of a cluster that has none: malloc'd JSON. */
extern char *ha_bootstrap_config(const HaBootstrap *how);

/*
 * All were taken; what stands behind "--" goes to initdb.  NULL: refused, and every
 * fault was reported.
 */
extern const HaBootstrap *ha_bootstrap_options(const HaInvocation *invocation);

#endif							/* HA_BOOTSTRAP_H */
