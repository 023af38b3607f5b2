/*-------------------------------------------------------------------------
 *
 * failsafe_json.h
 *	  Failsafe mode: the list of members <-> what stands in the store, and the
 *	  question to each of them <-> what is said over HTTP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FAILSAFE_JSON_H
#define HA_FAILSAFE_JSON_H

#include <stddef.h>

#include "cluster.h"
#include "dcs.h"

/*
 * {"name":"api_url",...}.  What can't be read lists nobody, so that nobody is
 * elected who was not asked; "{}" is Patroni's way to say that there is no list.
 * false: malformed.
 */
extern bool ha_failsafe_parse(const HaKv *kv, HaFailsafe *failsafe);

/* The value as it is put.  malloc'd; NULL only when memory is out. */
extern char *ha_failsafe_json(const HaFailsafe *failsafe);

/*
 * The body of POST /failsafe.  Ours says three things more than Patroni's does,
 * "term", "ttl" and "lsn".  Parsing returns false for anything but an object whose
 * "name" is a member name and whose other members that we know are sane.
 */
extern char *ha_question_json(const HaQuestion *question, const char *conn_url,
							  const char *api_url);
extern bool ha_question_parse(const char *json, size_t length,
							  HaQuestion *question);

#endif							/* HA_FAILSAFE_JSON_H */
