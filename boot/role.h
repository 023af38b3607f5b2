/*-------------------------------------------------------------------------
 *
 * role.h
 *	  The role that members use to reach each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ROLE_H
#define HA_ROLE_H

#include "pqexpbuffer.h"

#include "node_file.h"

/* What pg_rewind calls on the source, and the role must be allowed to. */
#define HA_REWIND_FUNCTIONS		4
extern const char *const ha_rewind_functions[HA_REWIND_FUNCTIONS];

/*
 * The SCRAM verifier of the role's password, malloc'd; NULL if the node file names
 * no passfile, since members show certificates.  false: reported.
 */
extern bool ha_role_verifier(const HaNode *node, char **verifier);

/*
 * In data that was shut down cleanly: create the role, or give the one that is there
 * its password and grants.  "drop_slots": the replication slots of the data's origin
 * go.  *superuser (NAMEDATALEN) tells who made the data.  false: reported.
 */
extern bool ha_role_create(const HaNode *node, bool drop_slots,
						   char *superuser);

/* The lines of pg_hba.conf that let it in. */
extern void ha_role_hba_lines(const HaNode *node, PQExpBuffer hba);

#endif							/* HA_ROLE_H */
