/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *	  What is wrong with an endpoint of etcd, in the words of who has to look for
 *	  it: the same in pg_ha_dcs() and in "pg_ha_boot check".
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ENDPOINT_H
#define HA_ENDPOINT_H

#include <curl/curl.h>

#include "cluster.h"

/* With whom we come, for the reasons that have to do with that. */
typedef struct HaEndpointAccess
{
	const char *user;			/* '' = nobody */
	const char *prefix;			/* of the keys that we ask for */
} HaEndpointAccess;

/*
 * Why did no answer come?  "error" is curl's own text, '' if it gave none, and
 * "timeout" how long it was waited for.
 */
extern HaEndpointState ha_explain_failure(CURL *easy, CURLcode rc,
										  const char *error, int64_t timeout,
										  char *why, size_t size);

/* What does an answer say that is no 200? */
extern HaEndpointState ha_explain_refusal(long status, const char *body,
										  size_t length,
										  const HaEndpointAccess *access,
										  char *why, size_t size);

/* What to say of that number of voting members of etcd; false: nothing. */
extern bool ha_even_voters(int voters, char *warning, size_t size);

#endif							/* HA_ENDPOINT_H */
