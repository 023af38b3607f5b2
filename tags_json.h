/*-------------------------------------------------------------------------
 *
 * tags_json.h
 *	  The tags of a member: as a node file has them, as others read them, and as
 *	  people do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_TAGS_JSON_H
#define HA_TAGS_JSON_H

#include <stddef.h>

#include "cluster.h"

struct json_t;

/* Who is told what is wrong with a tag, and what to do about it. */
typedef void (*HaTagFault) (void *arg, const char *message, const char *hint);

/*
 * Set the tags of *member from text like "clonefrom, failover_priority = 2, rack =
 * b7".  Each fault is told to "fault", which may be NULL; a tag that has one is
 * left out, and false returned.
 */
extern bool ha_tags_parse(const char *text, HaMember *member,
						  HaTagFault fault, void *arg);

/* The tags as Patroni writes them, a new object; NULL if memory is out. */
extern struct json_t *ha_tags_json(const HaMember *member);

/*
 * Set the tags of *member from such an object, which may be hostile, or NULL for
 * none.  false: a tag that pg_ha knows could not be understood.
 */
extern bool ha_tags_read(struct json_t *tags, HaMember *member);

/* As they could stand in a node file; what does not fit is left out. */
#define HA_TAGS_TEXT_SIZE	1024
extern void ha_tags_text(const HaMember *member, char *text, size_t size);

#endif							/* HA_TAGS_JSON_H */
