/*-------------------------------------------------------------------------
 *
 * patroni_json.h
 *	  What a member of Patroni says of itself over HTTP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PATRONI_JSON_H
#define HA_PATRONI_JSON_H

#include "cluster.h"

#include <stddef.h>

/*
 * The answer to GET /patroni goes to *peer, whose name stays.  False, and *peer is
 * not to be used, if it tells no position, for then it does not count, or if it is of
 * another member, or another cluster than the one with that system identifier.
 */
extern bool ha_patroni_parse(const char *text, size_t length, uint64_t sysid,
							 HaPeer *peer);

#endif							/* HA_PATRONI_JSON_H */
