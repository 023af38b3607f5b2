/*-------------------------------------------------------------------------
 *
 * preflight.h
 *	  Everything that can be known to be wrong before a node starts.
 *
 * One table of checks (preflight.c), each of which adds what it finds to one
 * report.  "check" runs all of them; "run" those that are about this machine and
 * cost next to nothing, since what is elsewhere may come later and is waited for.
 * No check changes a file or a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PREFLIGHT_H
#define HA_PREFLIGHT_H

#include "../cluster.h"
#include "../control.h"
#include "commands.h"
#include "datadir.h"
#include "probe.h"
#include "report.h"

/* What the data directory is. */
typedef enum HaDirectory
{
	HA_DIR_ABSENT,
	HA_DIR_EMPTY,
	HA_DIR_LOST_FOUND,			/* empty except lost+found: a mount point */
	HA_DIR_VALID,				/* a cluster that a server can be started on */
	HA_DIR_OTHER_VERSION,		/* the same of another major version */
	HA_DIR_HALF,				/* initdb, a clone or a rewind of ours did not
								 * get to its end */
	HA_DIR_BROKEN,				/* has PG_VERSION but no usable pg_control */
	HA_DIR_FOREIGN,				/* something else */
} HaDirectory;

/* What "run" would do with it. */
typedef enum HaAction
{
	HA_ACTION_INIT,
	HA_ACTION_CLONE,
	HA_ACTION_INIT_OR_CLONE,	/* only etcd can tell, and doesn't */
	HA_ACTION_ADOPT,			/* give the cluster this data's identity */
	HA_ACTION_REJOIN,
	HA_ACTION_REFUSE,
} HaAction;

/* The settings that checks look at, as the server itself reads its files. */
typedef enum HaSettingName
{
	HA_SETTING_PORT,			/* the first one's messages are taken */
	HA_SETTING_LISTEN,
	HA_SETTING_SOCKETS,
	HA_SETTING_COLLECTOR,
	HA_SETTING_LOG_DIRECTORY,
	HA_SETTING_CONNECTIONS,
	HA_SETTING_WORKERS,
	HA_SETTING_WAL_SENDERS,
	HA_SETTING_PREPARED,
	HA_SETTING_LOCKS,
	HA_SETTING_HBA,
	HA_SETTING_IDENT,
	HA_NUM_SETTINGS
} HaSettingName;

typedef struct HaPreflight
{
	HaNode		node;
	bool		node_is_sane;	/* its file has no fault */
	bool		starting;		/* "run" asks: be quick, wait for nobody */
	bool		ignore_unit;
	const char *root;			/* where /etc is; "" = here */
	char	  **initdb_options; /* to be tried; NULL = none given */
	int			ninitdb_options;
	HaControl  *control;		/* NULL = there is none */
	HaReport	report;

	/* what earlier checks have found out */
	bool		programs_work;
	bool		library_missing;
	HaDirectory directory;
	HaDataFacts facts;
	bool		server_runs;	/* in the data directory */
	bool		server_is_ours;
	bool		boot_runs;		/* another pg_ha_boot, for this node */
	bool		has_settings;
	HaProbe		settings[HA_NUM_SETTINGS];
	char		endpoint[HA_TEXT_SIZE]; /* of etcd, that can be used; '' =
										 * none */
	bool		has_view;
	HaView		view;
	bool		other_uuid;		/* the node has joined another cluster */
	char		config_error[256];	/* of /config; '' = it is fine or absent */
} HaPreflight;

/* Run the checks that apply. */
extern void ha_preflight(HaPreflight *p);

/*
 * For "run", with the lock taken: tell what is wrong.  The exit code, 0 = nothing
 * that keeps the node from being started.
 */
extern int	ha_preflight_start(const HaNode *node, HaControl *control,
							   bool control_was_lost, bool ignore_unit,
							   const char *root);

extern HaAction ha_preflight_action(const HaPreflight *p);
extern const char *ha_directory_name(HaDirectory directory);
extern const char *ha_action_name(HaAction action);

/*
 * The checks.
 */

/* check_programs.c: P02, P03 */
extern void ha_check_programs(HaPreflight *p);
extern void ha_check_library(HaPreflight *p);

/* check_data.c: P04, P05 (and P03 of the data), P09, P17 */
extern void ha_check_owner(HaPreflight *p);
extern void ha_check_directory(HaPreflight *p);
extern void ha_check_links(HaPreflight *p);
extern void ha_check_rewind(HaPreflight *p);

/* check_server.c: P06, P01 by the server, P07, P16, P20 without their content */
extern void ha_check_running(HaPreflight *p);
extern void ha_check_settings(HaPreflight *p);
extern void ha_check_ports(HaPreflight *p);
extern void ha_check_standby_settings(HaPreflight *p);
extern void ha_check_auth_files(HaPreflight *p);

/* check_scratch.c: initdb's options, P03 of the library, P20 */
extern void ha_check_by_scratch(HaPreflight *p);

/* check_unit.c: P18 */
extern void ha_check_units(HaPreflight *p);

/* check_etcd.c: P10 */
extern void ha_check_etcd(HaPreflight *p);

/* P24 */
#define HA_PATRONI_HINT \
	"Upgrade Patroni on that node, or stop it there, before pg_ha runs a member."

/* check_cluster.c: P11, P12, P14, P15, P24, space for a clone (P09) */
extern void ha_check_second_boot(HaPreflight *p);
extern void ha_check_view(HaPreflight *p);
extern void ha_check_name(HaPreflight *p);
extern void ha_check_identity(HaPreflight *p);
extern void ha_check_timing(HaPreflight *p);
extern void ha_check_passfile(HaPreflight *p);
extern void ha_check_login(HaPreflight *p);

/* P12, if the data is of another cluster than the store's. */
extern void ha_check_system_id(const HaNode *node, const HaDataFacts *facts,
							   const HaView *view, HaReport *report);

/* P12b, false: the node has joined "uuid" ("" = none), which was called "scope". */
extern bool ha_check_uuid(const HaNode *node, const char *uuid,
						  const char *scope, const HaView *view,
						  HaReport *report);

/* Another member whose replication slot has the name of ours; NULL = none. */
extern const char *ha_slot_twin(const HaView *view, const char *name);

/* directories.c: P08 */
extern void ha_check_directories(HaPreflight *p);

#endif							/* HA_PREFLIGHT_H */
