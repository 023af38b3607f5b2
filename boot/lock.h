/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  One pg_ha_boot at a time acts for a node.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_LOCK_H
#define HA_LOCK_H

/*
 * Make the state directory if it is missing and take its lock, for as long as
 * this process and the children that it has forked live.  Returns 0, or an exit
 * code after reporting.
 */
extern int	ha_lock_take(const char *state_dir);

#endif							/* HA_LOCK_H */
