/*-------------------------------------------------------------------------
 *
 * adopt.h
 *	  A server that runs without pg_ha, while it is being adopted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ADOPT_H
#define HA_ADOPT_H

#include "../cluster.h"
#include "plain_server.h"

typedef struct HaAdoption
{
	HaNode		node;
	HaPlainServer server;
	HaView		view;
	char		managed_settings[1024]; /* of pg_ha in postgresql.auto.conf */
	bool		dry_run;		/* steps are only told */
	int			code;			/* of the worst finding; 0 = none */
	int			steps;
} HaAdoption;

/* Prepare it for a start by pg_ha_boot run.  false: reported. */
extern bool ha_adopt_steps(HaAdoption *a);

/* Tell of a step; true: it is to be done. */
extern bool ha_adopt_tell(HaAdoption *a, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));

/* Is every one of them an address that only this host reaches? */
extern bool ha_adopt_is_local_only(const char *listen_addresses);

#endif							/* HA_ADOPT_H */
