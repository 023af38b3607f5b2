/*-------------------------------------------------------------------------
 *
 * upgrade_major.h
 *	  The steps of "pg_ha_boot upgrade-major".
 *
 * Functions that return bool report why when they return false; those that return
 * an int return an exit code, and have reported if it is not 0.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_UPGRADE_MAJOR_H
#define HA_UPGRADE_MAJOR_H

#include "../cluster.h"
#include "../dcs.h"
#include "node_file.h"

/*
 * In the state directory, from the moment on when the new data is whole until this
 * node and the store know of it: what is to be done yet.
 */
#define HA_UPGRADE_JOURNAL	"upgrade"

/* What pg_controldata of its own version says of a data directory. */
typedef struct HaClusterData
{
	int			version;		/* major */
	uint64_t	sysid;
	uint32_t	timeline;
	uint64_t	checkpoint_lsn;
	bool		shut_down;		/* cleanly, as a primary */
	bool		checksums;
	int			wal_segment_mb;
} HaClusterData;

/* The journal, and what follows from the command line. */
typedef struct HaUpgrade
{
	HaNode		old;			/* each with its programs and its data
								 * directory */
	HaNode		new;
	bool		check_only;
	char		superuser[NAMEDATALEN * 2]; /* who made the old data */
	int			old_version;
	int			new_version;
	uint64_t	old_sysid;
	uint64_t	new_sysid;
	char		uuid[HA_UUID_SIZE]; /* of the cluster from now on */
	char		aside[MAXPGPATH];	/* where the old data goes */
} HaUpgrade;

/*
 * upgrade_data.c
 */

/* The major version of programs, by "postgres --version"; 0: reported. */
extern int	ha_upgrade_version(const HaNode *node);

/* The same of a data directory, by its PG_VERSION; 0: reported. */
extern int	ha_upgrade_data_version(const HaNode *node);

extern bool ha_upgrade_data_facts(const HaNode *node, HaClusterData *data);

/* An empty data directory like the old one, made by the new initdb. */
extern bool ha_upgrade_make_empty(HaUpgrade *u, const HaClusterData *old);

/* pg_upgrade, and then the configuration files of the old data. */
extern bool ha_upgrade_run(const HaUpgrade *u);

/* The new data in the place of the old one, which goes aside; again and again. */
extern bool ha_upgrade_swap(const HaUpgrade *u);

/* What an attempt has left, if it is there. */
extern bool ha_upgrade_discard(const HaUpgrade *u);

/* What was made for a look alone, by this very process. */
extern void ha_upgrade_remove_new(const HaUpgrade *u);

/*
 * upgrade_store.c
 */

/* Is nobody there, and is this the data of who led last? */
extern int	ha_upgrade_ask_store(const HaUpgrade *u, const HaClusterData *old,
								 HaDcs *dcs, HaAnswer *keys, HaView *view);

/* The cluster has that system identifier and uuid from now on. */
extern int	ha_upgrade_publish(const HaUpgrade *u, HaDcs *dcs,
							   const HaAnswer *keys, const HaView *view);

#endif							/* HA_UPGRADE_MAJOR_H */
