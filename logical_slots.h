/*-------------------------------------------------------------------------
 *
 * logical_slots.h
 *	  Logical slots of the configuration, made by processes of their own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LOGICAL_SLOTS_H
#define HA_LOGICAL_SLOTS_H

#include "cluster.h"

/*
 * Have that slot made, unless one is being made just now.  Neither waits nor fails:
 * what could not be done stands in the log, and may be tried again.
 */
extern void ha_logical_slot_make(const HaSlotSpec *spec);

extern PGDLLEXPORT void ha_slot_maker_main(Datum arg);

#endif							/* HA_LOGICAL_SLOTS_H */
