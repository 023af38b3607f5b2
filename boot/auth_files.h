/*-------------------------------------------------------------------------
 *
 * auth_files.h
 *	  What the server's own parser says of files for hba_file and ident_file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_AUTH_FILES_H
#define HA_AUTH_FILES_H

#include "postgres_fe.h"

#include "pqexpbuffer.h"

#include "node_file.h"

/* A fault in one of them, "hba_file" or "ident_file". */
typedef void (*HaAuthFault) (void *arg, const char *setting, const char *line,
							 const char *error);

/*
 * Have a single-user server on the data directory "dir", which must not be in use,
 * parse both.  ident may be NULL: the one in the data directory.  false: it could not
 * be done; the reason is in "said".
 */
extern bool ha_auth_files_check(const HaNode *node, const char *dir,
								const char *hba, const char *ident,
								HaAuthFault take, void *arg, PQExpBuffer said);

#endif							/* HA_AUTH_FILES_H */
