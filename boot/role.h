/*-------------------------------------------------------------------------
 *
 * role.h
 *	  The role that standbys use, in data that no server has opened yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ROLE_H
#define HA_ROLE_H

#include "node_file.h"

/*
 * Create the replication role, or give the one that is there its password and
 * grants.  The data must have been shut down cleanly.  "drop_slots": the
 * replication slots of the data's origin go.  *superuser (NAMEDATALEN) tells who
 * made the data.  false: reported.
 */
extern bool ha_role_create(const HaNode *node, bool drop_slots,
						   char *superuser);

#endif							/* HA_ROLE_H */
