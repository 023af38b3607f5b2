/*-------------------------------------------------------------------------
 *
 * patroni_translate.h
 *	  What the two halves of the translation share.
 *
 * patroni_import.c goes through the keys one by one; patroni_together.c sees to what
 * several of them make up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PATRONI_TRANSLATE_H
#define HA_PATRONI_TRANSLATE_H

#include <stdio.h>

#include <jansson.h>

#include "patroni_import.h"

#define HA_PATRONI_PATH_SIZE	512

/* What a value of the node file may have at most. */
#define HA_PATRONI_VALUE_SIZE	1000

typedef struct HaTranslation
{
	const HaYaml *root;
	const char *dir;
	const char *data_dir;		/* NULL: nobody says where the data is */
	const HaImportSink *sink;
	HaImport   *import;
	FILE	   *node;			/* the node file, as it grows */
	json_t	   *config;			/* of the cluster */
	char		tags[HA_PATRONI_VALUE_SIZE];
	bool		moved;			/* a setting of the cluster went to the node */
	bool		broken;			/* out of memory */
} HaTranslation;

/* Tell what became of a key.  A fault makes the whole translation fail. */
extern void ha_translation_say(HaTranslation *t, HaPatroniFate fate,
							   const HaYaml *at, const char *path,
							   const char *format,...)
			__attribute__((format(printf, 5, 6)));

/*
 * A line of the node file.  Faults: a name that is none, a value of more than one
 * line.
 */
extern bool ha_translation_set(HaTranslation *t, const HaYaml *at,
							   const char *path, const char *name,
							   const char *value);

/* The content of one of the other files; text is consumed. */
extern void ha_translation_file(HaTranslation *t, HaImportFile file,
								char *text);

/* The text at a path; NULL: there is none. */
extern const char *ha_translation_text(const HaTranslation *t,
									   const char *path);

/* After the keys: what several of them make up. */
extern void ha_translation_together(HaTranslation *t);

/* Is that key of a method that the configuration has chosen?  A question. */
extern bool ha_translation_is_method(const HaTranslation *t, const char *path);

#endif							/* HA_PATRONI_TRANSLATE_H */
