/*-------------------------------------------------------------------------
 *
 * request_json.h
 *	  What operators ask of members <-> what stands in the store.
 *
 *	pg_ha/requests/N	{"kind":"reinit","id":"0123...","asked_by":"n1",
 *						 "identity":"4567...","revision":88,"from_leader":true}
 *						{"kind":"restart",...,"pending":true,"role":"standby",
 *						 "at":1795768496000,"before_version":150004,"force":true}
 *	pg_ha/stop			{"kind":"stop","id":"0123...","asked_by":"n3",
 *						 "revision":88,"leader":"n1","term":5}
 *	in a member key		"pg_ha_request":{"kind":"reinit","id":"0123...",
 *						 "state":"running","text":"clone","lsn":123}
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REQUEST_JSON_H
#define HA_REQUEST_JSON_H

#include "cluster.h"
#include "dcs.h"

struct json_t;

/* An id is so many random bytes, in hexadecimal digits. */
#define HA_REQUEST_RANDOM_SIZE	((HA_REQUEST_ID_SIZE - 1) / 2)

/*
 * Fill everything but the name.  What can't be read is HA_REQUEST_UNREADABLE with
 * its revision, so that it can be removed; false then.
 */
extern bool ha_request_parse(const HaKv *kv, HaMemberRequest *request);

/* The value as it is put.  malloc'd; NULL only when memory is out. */
extern char *ha_request_json(const HaMemberRequest *request);

/* The same for the part of a member key.  NULL: nothing to tell, or no memory. */
extern bool ha_progress_parse(struct json_t *json, HaProgress *progress);
extern struct json_t *ha_progress_json(const HaProgress *progress);

/*
 * A new request, from member "asked_by", by what that one sees in the store; for
 * "name" unless that is NULL.  What makes its id unique must come from a good source.
 */
extern void ha_request_begin(HaMemberRequest *request, HaMemberRequestKind kind,
							 const HaView *view, const char *name,
							 const char *asked_by,
							 const uint8_t random[HA_REQUEST_RANDOM_SIZE]);

/* A version of PostgreSQL in words ("16", "15.3", "9.6.24") as its number; 0 = none. */
extern int32_t ha_request_version(const char *text);

extern const char *ha_request_kind_name(HaMemberRequestKind kind);
extern const char *ha_progress_state_name(HaProgressState state);

/* 32 hexadecimal digits? */
extern bool ha_request_id_is_valid(const char *id);

/* The request to that member; NULL = there is none. */
extern const HaMemberRequest *ha_find_request(const HaView *view,
											  const char *name);

/* Why a member can't be asked for something now. */
typedef enum HaRequestRefusal
{
	HA_REFUSAL_NONE,
	HA_REFUSAL_NO_MEMBER,
	HA_REFUSAL_NO_LEADER,		/* REINIT: nothing to clone from */
	HA_REFUSAL_LEADS,			/* REINIT: it is what others would clone */
	HA_REFUSAL_NO_BOOT,			/* nobody is there to do it */
	HA_REFUSAL_IN_PROGRESS,		/* with an earlier request */
} HaRequestRefusal;

/* "force": another reinit may be begun although one goes on. */
extern HaRequestRefusal ha_request_refusal(const HaView *view, const char *name,
										   HaMemberRequestKind kind,
										   bool force);

/*
 * Does the stop count?  Only while the very leader that it was put under leads
 * in the same term: then nobody else can lead before that one has given the key up,
 * which it does when all others have stopped.
 */
extern bool ha_stop_counts(const HaView *view);

#endif							/* HA_REQUEST_JSON_H */
