/*-------------------------------------------------------------------------
 *
 * rest_ask.h
 *	  Having something done for an HTTP client, by a child that may wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REST_ASK_H
#define HA_REST_ASK_H

#include "../request_json.h"
#include "rest_parts.h"

#define HA_REST_MAX_PARAMETERS	5

/* A call of one of the extension's functions. */
typedef struct HaRestSql
{
	const char *function;		/* "pg_ha_switchover" */
	const char *arguments;		/* "$1::pg_catalog.text, ..." */
	int			n;
	const char *parameters[HA_REST_MAX_PARAMETERS]; /* NULL is null */
} HaRestSql;

/* A request to this member. */
typedef struct HaRestRequest
{
	HaMemberRequestKind kind;
	bool		force;
	bool		from_leader;
	bool		pending;
	HaRole		role;			/* RESTART: only if it has this one then;
								 * UNINITIALIZED = any */
	int32_t		before_version; /* ... and is older than this; 0 = any */
} HaRestRequest;

/* What the child found. */
typedef struct HaRestReply
{
	bool		heard;			/* else the child ended without a word */
	bool		ok;
	HaRequestRefusal refusal;	/* of a request */
	char		id[HA_REQUEST_ID_SIZE]; /* of the request that was put */
	char		sqlstate[6];	/* '' = no error of the server */
	char		text[1024];		/* what it returned, or complained of */
	char	   *result;			/* what the function returned; malloc'd */
} HaRestReply;

/* Begin.  The call waits from now on, or it is answered if that can't be. */
extern void ha_rest_ask_server(HaRest *rest, HaRestCall *call,
							   const HaRestSql *sql);
extern void ha_rest_ask_store(HaRest *rest, HaRestCall *call,
							  const HaRestRequest *request);

/* Listen to the child; true as soon as it has ended, and then the reply is there. */
extern bool ha_rest_hear(HaRest *rest, HaRestCall *call, HaRestReply *reply);

/* The call is over, whatever the child does. */
extern void ha_rest_stop_asking(HaRest *rest, HaRestCall *call);

#endif							/* HA_REST_ASK_H */
