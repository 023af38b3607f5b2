/*-------------------------------------------------------------------------
 *
 * patroni_keys.h
 *	  The keys of Patroni's configuration, and what becomes of each.
 *
 * Plain C, pure.  A table, which docs/import-patroni.md repeats and a test compares
 * with the keys that Patroni documents.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PATRONI_KEYS_H
#define HA_PATRONI_KEYS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum HaPatroniFate
{
	HA_PATRONI_MAPPED,
	HA_PATRONI_APPROXIMATED,	/* not quite the same; the note says what is
								 * not */
	HA_PATRONI_DROPPED,			/* the note says why */
	HA_PATRONI_UNKNOWN,			/* no Patroni that we know has it */
	HA_PATRONI_FAULT,			/* nothing can be made of it */
} HaPatroniFate;

#define HA_PATRONI_NFATES	5

/* "mapped", "approximated", ... */
extern const char *const ha_patroni_fate_names[HA_PATRONI_NFATES];

/* What its value may be. */
typedef enum HaPatroniForm
{
	HA_PATRONI_TEXT,
	HA_PATRONI_LIST,			/* of texts, or of mappings of one key */
	HA_PATRONI_TEXT_OR_LIST,
	HA_PATRONI_ANY,
} HaPatroniForm;

/* What is done with it. */
typedef enum HaPatroniUse
{
	HA_PATRONI_NO_USE,
	HA_PATRONI_SETTING,			/* of the node file, with the same value */
	HA_PATRONI_PARAMETER,		/* of the server, into the node file */
	HA_PATRONI_CONFIG,			/* of the cluster's configuration */
	HA_PATRONI_CLUSTER_PARAMETER,	/* of the server, into that, if it may be */
	HA_PATRONI_TAG,
	HA_PATRONI_TOGETHER,		/* with others, when all are known */
} HaPatroniUse;

typedef struct HaPatroniKey
{
	const char *path;			/* "postgresql.listen"; "tags.*" is any tag */
	HaPatroniFate fate;
	HaPatroniUse use;
	HaPatroniForm form;
	bool		env;			/* there is a variable for it */
	const char *note;			/* what it becomes, or why it does not */
} HaPatroniKey;

extern const HaPatroniKey ha_patroni_keys[];
extern const int ha_patroni_nkeys;

/* The row of that key; NULL: none.  The latter: does a row begin with it and a dot? */
extern const HaPatroniKey *ha_patroni_key(const char *path);
extern bool ha_patroni_is_section(const char *path);

/*
 * What was probably meant by a key that nobody knows: one beside it that is
 * spelled alike, or one of the same name that belongs elsewhere; '' if none.
 */
extern void ha_patroni_nearest(const char *path, char *nearest, size_t size);

#endif							/* HA_PATRONI_KEYS_H */
