/*-------------------------------------------------------------------------
 *
 * patroni_yaml.h
 *	  YAML as a tree that knows where each value stands.
 *
 * Plain C and libyaml.  What is read is bounded: its size, depth and number of
 * values, also of those that aliases repeat.  A key that stands twice in a mapping
 * is a fault here, other than in Patroni, which takes the last one and says nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PATRONI_YAML_H
#define HA_PATRONI_YAML_H

#include <stdbool.h>
#include <stddef.h>

#define HA_YAML_MAX_SIZE	(256 * 1024)
#define HA_YAML_MAX_DEPTH	32
#define HA_YAML_MAX_VALUES	5000

typedef enum HaYamlKind
{
	HA_YAML_SCALAR,
	HA_YAML_LIST,
	HA_YAML_MAPPING,
} HaYamlKind;

typedef struct HaYaml
{
	HaYamlKind	kind;
	bool		plain;			/* a scalar without quotes and tags */
	int			line;			/* 0: from a variable of the environment */
	char	   *source;			/* the file, or that variable */
	char	   *key;			/* in its mapping; NULL elsewhere */
	char	   *text;			/* of a scalar */
	struct HaYaml *first;		/* of a list or mapping, in order */
	struct HaYaml *last;
	struct HaYaml *next;
} HaYaml;

/*
 * Read one document.  NULL, and the reason with its place in err.  What is empty
 * is a scalar without text.
 */
extern HaYaml *ha_yaml_parse(const char *text, size_t length,
							 const char *source, char *err, size_t errlen);
extern void ha_yaml_free(HaYaml *yaml);

extern HaYaml *ha_yaml_scalar(const char *text, const char *source);
extern HaYaml *ha_yaml_mapping(const char *source);

/* Questions.  The last one descends by a path: "postgresql.listen". */
extern bool ha_yaml_is_null(const HaYaml *yaml);
extern bool ha_yaml_is_bool(const HaYaml *yaml, bool *value);
extern HaYaml *ha_yaml_member(const HaYaml *mapping, const char *key);
extern HaYaml *ha_yaml_find(const HaYaml *root, const char *path);

/*
 * Lay one mapping over another, as Patroni does with several files: mappings are
 * merged, null removes, everything else replaces.  "over" is consumed.
 */
extern void ha_yaml_overlay(HaYaml *mapping, HaYaml *over);

/* Put a value at a path, over what is there.  It is consumed.  false: no memory. */
extern bool ha_yaml_put(HaYaml *root, const char *path, HaYaml *value);

#endif							/* HA_PATRONI_YAML_H */
