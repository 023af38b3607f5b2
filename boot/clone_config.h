/*-------------------------------------------------------------------------
 *
 * clone_config.h
 *	  What the node file says of clones, in the forms that are worked with.
 *
 * HaNode keeps these settings as text: they are checked when the node file is read,
 * and taken apart by whoever clones.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CLONE_CONFIG_H
#define HA_CLONE_CONFIG_H

#include "../cluster.h"
#include "node_file.h"

#define HA_CLONE_METHODS		8
#define HA_CLONE_MAPPINGS		16

typedef struct HaCloneMethod
{
	char		name[HA_NAME_SIZE]; /* as messages and the member key call it */
	char		program[HA_PATH_SIZE];	/* '' = pg_basebackup */
	bool		no_leader;		/* can do its work while nobody leads */
	bool		keep_data;		/* wants what is in the data directory */
} HaCloneMethod;

/* pg_ha.clone_methods, in order.  Returns how many; 0 if the text has a fault. */
extern int	ha_clone_methods(const HaNode *node, HaCloneMethod *methods);

/* pg_ha.tablespace_mapping: each is OLD=NEW, as pg_basebackup takes it. */
extern int	ha_clone_mappings(const HaNode *node,
							  char mappings[][HA_TEXT_SIZE]);

/* pg_ha.keep_aside; -1 = all. */
extern int	ha_clone_keep_aside(const HaNode *node);

/*
 * One setting and its check, which returns false and fills err and *hint if the
 * setting has a fault.  The list ends with key NULL.
 */
typedef struct HaCloneCheck
{
	const char *key;
	bool		(*is_fine) (const HaNode *node, char *err, size_t errlen,
							const char **hint);
} HaCloneCheck;

extern const HaCloneCheck ha_clone_checks[];

#endif							/* HA_CLONE_CONFIG_H */
