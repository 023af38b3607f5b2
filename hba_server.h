/*-------------------------------------------------------------------------
 *
 * hba_server.h
 *	  pg_hba.conf and pg_ident.conf of this server, kept as their sources say.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HBA_SERVER_H
#define HA_HBA_SERVER_H

#include "postgres.h"

#include "hba.h"

#define HA_HBA_ERROR_SIZE	256

/* One source of one file, as it was last looked at. */
typedef struct HaHbaRow
{
	bool		present;
	bool		in_force;		/* its rules are what the server goes by */
	int			rules;			/* how many; -1 = not known */
	int64		applied_at;		/* TimestampTz of when we put them in force; 0
								 * = we did not */
	char		location[HA_HBA_LOCATION_SIZE];
	char		sha256[HA_HBA_SHA_SIZE];	/* of their text; '' = not known */
	char		error[HA_HBA_ERROR_SIZE];
} HaHbaRow;

/* In shared memory, protected by HaShared's lock. */
typedef struct HaHbaState
{
	bool		known;			/* it was looked at */
	HaHbaRow	rows[HA_NHBA_SOURCES];
} HaHbaState;

/* What other members are told, protected by HaShared's mutex. */
typedef struct HaHbaReport
{
	char		source[HA_HBA_NAME_SIZE];	/* whose rules are in force; a
											 * node's own source also if it is
											 * at fault so that earlier ones
											 * stay */
	char		sha256[HA_HBA_SHA_SIZE];	/* of the rules in force */
} HaHbaReport;

/* The worker: the newest report; with nothing in it if there is none yet. */
extern void ha_hba_report(HaHbaReport *report);

/*
 * Sessions: why rules in the cluster's configuration are not in force here; '' = they
 * are, or there are none.  And what the file would be if no other source had any
 * rules, palloc'd; NULL if that can't be read.
 */
extern void ha_hba_config_error(char *error, size_t size);
extern char *ha_hba_base_text(HaAuthFile file);

#endif							/* HA_HBA_SERVER_H */
