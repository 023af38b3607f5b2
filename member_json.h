/*-------------------------------------------------------------------------
 *
 * member_json.h
 *	  What a member says of itself <-> what stands in the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_MEMBER_JSON_H
#define HA_MEMBER_JSON_H

#include "cluster.h"
#include "dcs.h"

/*
 * All but the name, which stands in the key: the rest of *member must be zero.  What
 * can't be read is as if it were not there; false then.
 */
extern bool ha_member_parse(const HaKv *kv, HaMember *member);

/*
 * A member key.  Fields in Patroni's order; lsn fields that are 0 are left out.
 * Tags that are at their default are left out.
 */
extern char *ha_member_json(const HaMember *member);

/* Patroni's words. */
extern const char *ha_member_state_name(HaMemberState state);
extern const char *ha_role_name(HaRole role);	/* primary, replica,
												 * uninitialized */
#define HA_STANDBY_LEADER	"standby_leader"	/* ... and a standby that
												 * leads a standby cluster */

#endif							/* HA_MEMBER_JSON_H */
