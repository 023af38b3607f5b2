/*-------------------------------------------------------------------------
 *
 * rest_actions.h
 *	  What operators have done over HTTP: what the files of it have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REST_ACTIONS_H
#define HA_REST_ACTIONS_H

#include "rest_ask.h"

/* How long a look at the cluster waits for etcd; then it tells what was seen last. */
#define HA_REST_LOOK_MS		1000

/* Words of the body.  An empty one is as good as none. */
static inline const char *
text_of(const HaRestCall *call, const char *key)
{
	const char *text = json_string_value(json_object_get(call->document, key));

	return text != NULL && text[0] != '\0' ? text : NULL;
}

static inline bool
flag_of(const HaRestCall *call, const char *key)
{
	return json_is_true(json_object_get(call->document, key));
}

static inline bool
is_given(const HaRestCall *call, const char *key)
{
	const json_t *value = json_object_get(call->document, key);

	return value != NULL && !json_is_null(value);
}

/* The status for an error of SQL: the client's fault, the cluster's, or nobody's. */
extern unsigned int ha_rest_status_of(const char *sqlstate,
									  unsigned int state_is_wrong);

/* Nothing is known of what was asked for. */
extern void ha_rest_finish_unheard(HaRestCall *call, const HaRestReply *reply,
								   const char *what);

/* A time of the future, as Patroni checks it.  0, or the status. */
extern unsigned int ha_rest_check_schedule(const char *text, const char *what,
										   char *why, size_t size);

/* rest_member.c: see HaRestAction */
extern void ha_rest_begin_restart(HaRest *rest, HaRestCall *call);
extern void ha_rest_hear_restart(HaRest *rest, HaRestCall *call,
								 const HaRestReply *reply);
extern void ha_rest_look_for_restart(HaRestCall *call, const HaView *view,
									 const char *self);
extern void ha_rest_begin_unschedule(HaRest *rest, HaRestCall *call);
extern void ha_rest_hear_unscheduled(HaRest *rest, HaRestCall *call,
									 const HaRestReply *reply);
extern void ha_rest_begin_reload(HaRest *rest, HaRestCall *call);
extern void ha_rest_begin_reinit(HaRest *rest, HaRestCall *call);
extern void ha_rest_hear_reinit(HaRest *rest, HaRestCall *call,
								const HaRestReply *reply);
extern void ha_rest_look_for_reinit(HaRestCall *call, const HaView *view,
									const char *self);

#endif							/* HA_REST_ACTIONS_H */
