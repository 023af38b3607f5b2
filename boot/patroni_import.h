/*-------------------------------------------------------------------------
 *
 * patroni_import.h
 *	  Patroni's configuration, translated.
 *
 * Plain C, libyaml and jansson; nothing is read or written here but memory, and no
 * secret is in what is told of a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PATRONI_IMPORT_H
#define HA_PATRONI_IMPORT_H

#include "patroni_keys.h"
#include "patroni_yaml.h"

/* What a translation consists of, each a file of its own. */
typedef enum HaImportFile
{
	HA_IMPORT_NODE,
	HA_IMPORT_CONFIG,
	HA_IMPORT_PASSFILE,
	HA_IMPORT_REST_AUTH,
	HA_IMPORT_ETCD_PASSWORD,
	HA_IMPORT_HBA,				/* of a new cluster */
	HA_IMPORT_LOCAL_HBA,
	HA_IMPORT_LOCAL_IDENT,
} HaImportFile;

#define HA_IMPORT_NFILES	8
#define HA_IMPORT_OPTIONS	32

/* "node.conf", "cluster.json", ... */
extern const char *const ha_import_file_names[HA_IMPORT_NFILES];

/* Strings are malloc'd; NULL: the configuration says nothing of it. */
typedef struct HaImport
{
	char	   *files[HA_IMPORT_NFILES];
	char	   *bin_dir;
	char	   *command;		/* of --method=command */
	char	   *post_init;
	char	   *initdb[HA_IMPORT_OPTIONS + 1];	/* options, ended by NULL */
	int			ninitdb;
	int			counts[HA_PATRONI_NFATES];
} HaImport;

/*
 * Who is told what becomes of each key, in the order of the file: "where" is
 * "FILE:LINE", or the name of a variable.
 */
typedef struct HaImportSink
{
	void		(*say) (void *arg, HaPatroniFate fate, const char *where,
						const char *path, const char *text);
	void	   *arg;
} HaImportSink;

/*
 * The variables PATRONI_* stand over the file, as Patroni has it.  "environment" is
 * environ.  Those that nobody knows are told.
 */
extern bool ha_patroni_environment(HaYaml *root, char *const *environment,
								   const HaImportSink *sink);

/*
 * Translate; the files will be in "dir", an absolute path.  The data is in "data_dir" or,
 * if that is "", where the configuration says.  false: there was a fault, all of which
 * were told.  ha_import_free() is due in any case.
 */
extern bool ha_import_translate(const HaYaml *root, const char *dir,
								const char *data_dir, const HaImportSink *sink,
								HaImport *import);
extern void ha_import_free(HaImport *import);

#endif							/* HA_PATRONI_IMPORT_H */
