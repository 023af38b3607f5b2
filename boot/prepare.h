/*-------------------------------------------------------------------------
 *
 * prepare.h
 *	  Make a data directory ready for the start of its server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PREPARE_H
#define HA_PREPARE_H

#include "../cluster.h"
#include "limits.h"
#include "node_file.h"

#define CONF_FILE			"pg_ha.conf"
#define MANAGED_CONF_FILE	"pg_ha.managed.conf"
#define CLUSTER_CONF_FILE	"pg_ha.cluster.conf"	/* written by the worker */

/* A server with less has it raised. */
#define HA_MIN_WAL_SENDERS	10

/* What the server is started with. */
typedef struct HaPrepared
{
	char		libraries[HA_TEXT_SIZE + 16];	/* "" = never prepared yet */
	char		raised[HA_WHY_SIZE];	/* limits that are its primary's, and
										 * not as configured: names with
										 * commas */
	char		limits[HA_NUM_LIMITS][64];	/* "name=value" of limits that no
											 * file may lower; "" = no more */
} HaPrepared;

/*
 * The include line in postgresql.conf (once), pg_ha.conf, and as standby also
 * pg_ha.managed.conf with an empty primary_conninfo and standby.signal.  As
 * primary pg_ha.managed.conf is left as the worker wrote it (S-17: the names of
 * synchronous standbys must not be weaker than they were) and standby.signal is
 * removed.  What a crash of the machine must not undo is fsynced.
 *
 * A primary that crashed under its lease has no time for what this costs on a
 * busy machine (ten runs of postgres -C): as "again" it starts with the
 * configuration that was prepared last, if there is one.  What a user has
 * changed in it since counts, but for shared_preload_libraries.
 *
 * false: reported.
 */
extern bool ha_prepare(const HaNode *node, bool as_primary, bool again,
					   HaPrepared *prepared);

/* What of that an earlier pg_ha_boot started the server with, which still runs. */
extern void ha_prepare_remember(const HaNode *node, HaPrepared *prepared);

/*
 * What the cluster's configuration sets may be good to look at, and yet no server
 * starts with it.  So what a start is tried with is noted, kept as good when the
 * server has come up, and put back when a start with something else has failed.
 * The last is true if there was something to put back.
 */
extern void ha_prepare_note_tried(const HaNode *node);
extern void ha_prepare_keep_tried(const HaNode *node);
extern bool ha_prepare_roll_back(const HaNode *node);

/*
 * Does pg_ha alone set it, so that it must not stand in postgresql.auto.conf?
 */
extern bool ha_prepare_is_managed(const char *name);

/* Put standby.signal back: the server has ended and must not lead unasked. */
extern bool ha_prepare_standby_signal(const HaNode *node);

#endif							/* HA_PREPARE_H */
