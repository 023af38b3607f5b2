/*-------------------------------------------------------------------------
 *
 * versions.h
 *	  Several versions of pg_ha in one cluster: who may manage it, who differs.
 *
 * Plain C, pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_VERSIONS_H
#define HA_VERSIONS_H

#include "cluster.h"

#include <stddef.h>

/*
 * Is the cluster of a later schema than this library knows?  Then it writes nothing
 * to the store and concludes nothing from it.  Why, as a text for people.
 */
extern bool ha_is_too_old(const HaView *view);
extern void ha_too_old_why(const HaView *view, char *why, size_t size);

/*
 * Do the members run more than one version?  Then which, and whose, as a text for
 * people: "1.0 (n2), 1.1 (n1, n3)"; else it is "".  Those who do not tell are not
 * counted.
 */
extern bool ha_versions_differ(const HaView *view, char *text, size_t size);

#endif							/* HA_VERSIONS_H */
