/*-------------------------------------------------------------------------
 *
 * history_json.h
 *	  Changes of the leader <-> what stands in the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HISTORY_JSON_H
#define HA_HISTORY_JSON_H

#include "cluster.h"
#include "dcs.h"

/*
 * pg_ha/last_failover.  Its first half is put by a leader that hands its key over,
 * all of it by the one that came.  A value that can't be read is as if it were not
 * there; false then.
 */
extern char *ha_change_json(const HaChange *change);
extern bool ha_change_parse(const HaKv *kv, HaChange *change);

/*
 * The phases of a change in their order: the name of the i'th, below HA_PHASES, and how
 * long it took, ms; -1 = it was not gone through, or nobody knows.
 */
#define HA_PHASES	6
extern const char *ha_change_phase(const HaChange *change, int i, int64_t *ms);

/* pg_ha/refused, likewise. */
extern char *ha_refusal_json(int64_t wish, const char *reason);
extern bool ha_refusal_parse(const HaKv *kv, HaRefusal *refusal);

/* A line of /history, in Patroni's form: a timeline that has ended. */
typedef struct HaHistoryLine
{
	int64_t		timeline;
	uint64_t	lsn;			/* where it ended */
	char		reason[HA_WHY_SIZE];
	int64_t		at;				/* Unix time, ms; 0 = not told */
	char		leader[HA_NAME_SIZE];	/* who led then; '' = not told */
} HaHistoryLine;

/*
 * Line "i" of a value of /history; false if there is no such line.  A line that can't
 * be read has timeline 0.
 */
extern bool ha_history_line(const char *value, size_t length, int i,
							HaHistoryLine *line);

/*
 * The last lines of /history, at most HA_MAX_LINEAGE: timelines that have ended, and
 * who led next.  False, and none, unless they all follow from each other.
 */
extern bool ha_history_parse(const HaKv *kv, HaTimeline *lines, int32_t *n);

/*
 * Append [timeline, lsn, reason, ISO timestamp, new leader] lines for the newly
 * ended timeline to a /history value (NULL or malformed = start anew from
 * lineage).  malloc'd; NULL = it has them all, and is not to be written: that it was
 * would tell of a new reign (mixed.c).
 */
extern char *ha_history_json(const HaTerm *term, const char *old_value,
							 const char *iso_time);

#endif							/* HA_HISTORY_JSON_H */
