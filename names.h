/*-------------------------------------------------------------------------
 *
 * names.h
 *	  Which names and ids are valid, and what slots are named like.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_NAMES_H
#define HA_NAMES_H

#include <stdbool.h>

#include "cluster.h"

/* "[A-Za-z0-9_.-]{1,63}" */
extern bool ha_name_is_valid(const char *name);

/* Lower case, with its dashes. */
extern bool ha_uuid_is_valid(const char *uuid);

/*
 * Patroni's mapping of a member name to a replication slot name: lower case,
 * '-' and '.' become '_', anything else not in [a-z0-9_] becomes uNNNN, cut to
 * 63.  out must have HA_NAME_SIZE bytes.
 */
extern void ha_slot_name(const char *member, char *out);

#endif							/* HA_NAMES_H */
