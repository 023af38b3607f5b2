/*-------------------------------------------------------------------------
 *
 * slots_json.h
 *	  What stands in the store about replication slots, to and from JSON.
 *
 *	in /config		"member_slots_ttl":"30min", "member_slots_max_wal":"10GB",
 *					"slots":{"app":{"type":"physical"},
 *							 "etl":{"type":"logical","database":"db","plugin":"pgoutput"}},
 *					"ignore_slots":[{"name":"x","type":"logical","database":"db","plugin":"p"}]
 *	/status			{"optime":123,"slots":{"n1":123,"n2":120},
 *					 "retain_slots":["n1","n2"],"pg_ha_members":{"n1":0,"n2":12000}}
 *	pg_ha/removed/N	{"removed_by":"n1"}
 *
 * "pg_ha_members" is ours: for how many milliseconds each member has been absent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SLOTS_JSON_H
#define HA_SLOTS_JSON_H

#include <stddef.h>

#include "cluster.h"

struct json_t;

/* The defaults of the configuration's keys. */
extern void ha_slots_config_defaults(HaConfig *config);

/* As ha_config_parse: false says in err which key is wrong; then *config is not to be used. */
extern bool ha_slots_config_parse(struct json_t *json, HaConfig *config,
								  char *err, size_t errlen);

/* What /status tells of slots; a book that can't be read is empty. */
extern bool ha_slot_book_parse(struct json_t *status, HaSlotBook *book);

/* The value of /status.  malloc'd; NULL only when memory is out. */
extern char *ha_status_json(uint64_t optime, const HaSlotBook *book);

extern char *ha_removed_json(const char *removed_by);

#endif							/* HA_SLOTS_JSON_H */
