/*-------------------------------------------------------------------------
 *
 * hba.h
 *	  Whose rules stand in pg_hba.conf, and whose shall.
 *
 * Rules are applied line by line, and the first that matches decides, so rules of
 * two sources can't be mixed.  There is an order of sources, and the first one that
 * has anything provides the whole file.  The same holds of pg_ident.conf.
 *
 * Plain C, pure: text and facts in, text and a plan out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HBA_H
#define HA_HBA_H

#include "cluster.h"

#include <stddef.h>

typedef enum HaAuthFile
{
	HA_AUTH_HBA,
	HA_AUTH_IDENT,
	HA_NAUTH_FILES,
} HaAuthFile;

/* In their order: the first that is there is the one. */
typedef enum HaHbaSource
{
	HA_HBA_FILE,				/* hba_file names a file of somebody else's,
								 * which is never written */
	HA_HBA_LOCAL,				/* the file that pg_ha.local_hba_file names */
	HA_HBA_CLUSTER,				/* the cluster's configuration */
	HA_HBA_BOOTSTRAP,			/* what the cluster was created with */
	HA_HBA_INITDB,				/* what else stands there: nobody's */
	HA_NHBA_SOURCES,
} HaHbaSource;

#define HA_HBA_LOCATION_SIZE	512
#define HA_HBA_HEADER_SIZE		(HA_HBA_LOCATION_SIZE + 256)

/* The longest text of rules, of whichever source. */
#define HA_HBA_MAX_TEXT			(256 * 1024)

/* "pg_hba.conf", "pg_ident.conf". */
extern const char *ha_auth_file_name(HaAuthFile file);

/* "local", ...; the first is called as the setting that it is. */
extern const char *ha_hba_source_name(HaAuthFile file, HaHbaSource source);

/* HA_NHBA_SOURCES = there is none of that name. */
extern HaHbaSource ha_hba_source_by_name(HaAuthFile file, const char *name);

/*
 * What is wrong with its rules, to be told where nothing else says which file is
 * meant: "pg_hba line 2: ...", "pg_ident: it is too long".
 */
extern void ha_hba_fault(HaAuthFile file, const char *fault, char *out,
						 size_t size);

extern HaHbaSource ha_hba_choose(const bool *present);

/*
 * A file that we write begins with two lines: whose rules follow, and the checksum
 * of their text, by which it is noticed if somebody has edited them.
 */
typedef struct HaHbaHeader
{
	HaHbaSource source;
	char		location[HA_HBA_LOCATION_SIZE];
	char		sha256[HA_HBA_SHA_SIZE];	/* '' = not told */
	size_t		length;			/* the rules begin here */
} HaHbaHeader;

/* Returns the length; truncates a location that is too long. */
extern size_t ha_hba_header_print(char *out, size_t size, HaAuthFile file,
								  const HaHbaHeader *header);

/* false: the text is not of our writing. */
extern bool ha_hba_header_read(const char *text, HaAuthFile file,
							   HaHbaHeader *header);

/* The comment line before what --hba gave a new cluster, without its end. */
#define HA_HBA_BOOTSTRAP_MARK	"# pg_ha: lines of --hba="

/* Which file that was; false: the text has no such line. */
extern bool ha_hba_bootstrap_read(const char *text, char *location,
								  size_t size);

/*
 * What is to be done with the file.
 */
typedef struct HaHbaFacts
{
	bool		present[HA_NHBA_SOURCES];
	bool		cluster_known;	/* the configuration was read once */
	bool		good;			/* the rules of the chosen source were read,
								 * and the server takes them */
	bool		managed;		/* the file is of our writing, */
	bool		intact;			/* it is as we wrote it, or as it stands aside */
	bool		same;			/* it is what would be written now */
	bool		saved;			/* what was there before us stands aside */
} HaHbaFacts;

typedef enum HaHbaDeed
{
	HA_HBA_KEEP,				/* leave the file alone */
	HA_HBA_WRITE,				/* replace it by the rules of the source */
	HA_HBA_SAVE_AND_WRITE,		/* the same, and put aside what is there */
	HA_HBA_RESTORE,				/* put back what stands aside */
} HaHbaDeed;

typedef struct HaHbaPlan
{
	HaHbaSource source;			/* whose rules shall be in force */
	HaHbaDeed	deed;
	bool		edited;			/* somebody else changed what we wrote */
	bool		lost;			/* nothing stands aside that could be put back */
} HaHbaPlan;

extern void ha_hba_plan(const HaHbaFacts *facts, HaHbaPlan *plan);

#endif							/* HA_HBA_H */
