/*-------------------------------------------------------------------------
 *
 * rest_parts.h
 *	  What the files of the HTTP listener have in common.
 *
 * A request is either answered at once, from a snapshot, or it waits with its
 * connection suspended in one of three lines: rest->line for the worker's promise,
 * rest->positions for its next turn,
 * rest->waiting for everything else.  Nobody else waits meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REST_PARTS_H
#define HA_REST_PARTS_H

#include <jansson.h>
#include <microhttpd.h>

#include "../secret.h"
#include "rest.h"
#include "rest_access.h"

#define HA_REST_MAX_CONNECTIONS		64

/* Longest body of a request; a configuration may be as long. */
#define HA_REST_MAX_BODY			(64 * 1024)

/* How long a request that is answered at once may take, reading it included. */
#define HA_REST_MAX_MS				5000

struct HaRestAction;

/* Where a request that waits is. */
typedef enum HaRestStage
{
	HA_REST_READING,			/* its body comes in */
	HA_REST_VIEW,				/* a read of the store is wanted */
	HA_REST_ASKING,				/* a child asks for what is wanted */
	HA_REST_OUTCOME,			/* it was asked for: what comes of it? */
	HA_REST_ANSWERED,			/* status and text are there */
} HaRestStage;

/* A request that can't be answered from its headers alone. */
typedef struct HaRestCall
{
	struct HaRestCall *next;	/* in its line */
	struct MHD_Connection *connection;
	const struct HaRestAction *action;	/* NULL = POST /failsafe */
	HaRestStage stage;
	size_t		length;
	bool		too_long;
	char	   *body;			/* with a NUL behind it; NULL = none yet */
	json_t	   *document;		/* the body; an object */

	/* waiting */
	int64_t		asked_at;
	int64_t		give_up_at;
	int64_t		look_after;		/* the view that is waited for is newer */

	/* ASKING */
	int			pipe;			/* what it answers; -1 = nothing more */
	size_t		heard_length;
	char	   *heard;

	/* OUTCOME of a request to this member, or of a wish for another leader */
	char		id[HA_REQUEST_ID_SIZE];
	char		old_leader[HA_NAME_SIZE];
	char		candidate[HA_NAME_SIZE];	/* '' = any */
	int64_t		wish_before;	/* revision of /failover */

	/* ANSWERED */
	unsigned int status;
	bool		is_json;
	char	   *text;			/* malloc'd; NULL = none */

	/* POST /failsafe */
	uint32_t	seq;			/* in the control block; 0 = not there yet */
	HaQuestion	question;
	int64_t		lsn;			/* of an answer; -1 = none */
} HaRestCall;

/* A connection, so that one that drips its request can be ended. */
typedef struct HaRestClient
{
	int			fd;				/* -1 = free */
	int64_t		end_at;
	struct MHD_Connection *connection;
} HaRestClient;

struct HaRest
{
	const HaNode *node;
	HaControl  *control;
	HaSession  *session;
	const HaMemberState *state;
	HaRestAccess access;
	HaRestCall *line;			/* the first of it is before the worker */
	HaRestCall *waiting;
	HaRestCall *positions;
	int64_t		woken_at;		/* the worker, for these */
	int			children;
	struct MHD_Daemon *daemon;
	int			epoll_fd;		/* the daemon's, and the pipes of children */
	uint64_t	requests;
	uint64_t	refused;		/* ... of which by access rules and limits */
	HaRestClient clients[HA_REST_MAX_CONNECTIONS];
};

/* What one answer is made from. */
typedef struct HaRestSnapshot
{
	int64_t		now;
	int64_t		deadline;
	HaMemberState state;
	bool		known;			/* worker holds something, of whatever age */
	bool		fresh;			/* ... and it is of this second */
	bool		leader;
	bool		standby_leader; /* leads a standby cluster, as of a TTL ago */
	bool		pending_restart;	/* as the member key tells */
	HaControlWorker worker;
	int64_t		seen_at;		/* when etcd was seen last; 0 = never */
	bool		unlocked;		/* nobody is known to have the leader key */
	bool		failsafe_active;	/* somebody leads by promises, maybe we */
	int64_t		lag;			/* standby: what it has not replayed, and ... */
	int64_t		write_lag;		/* ... has not received */
	bool		is_old;			/* older than a question that must not be
								 * answered with it */
} HaRestSnapshot;

/* rest.c: let it wait in a line, or wait on; the time for it begins now. */
extern void ha_rest_suspend(HaRest *rest, HaRestCall *call, HaRestCall **line,
							int64_t patience);
extern void ha_rest_resume(HaRest *rest, HaRestCall *call);

/* What it is told is known; text is copied. */
extern void ha_rest_finish(HaRestCall *call, unsigned int status,
						   const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* The same with JSON, which is taken over; malloc'd. */
extern void ha_rest_finish_json(HaRestCall *call, unsigned int status,
								char *json);

/* rest_health.c */
extern void ha_rest_snapshot(const HaRest *rest, HaRestSnapshot *snap);

/* The status for GET, HEAD or OPTIONS of a path; *json: its body tells the state. */
extern unsigned int ha_rest_health(const HaRest *rest,
								   const HaRestSnapshot *snap,
								   struct MHD_Connection *connection,
								   const char *path, bool *json);

/* rest_json.c: the bodies, malloc'd; NULL: there is nothing to tell, or no memory. */
extern char *ha_rest_state_json(const HaRest *rest, const HaRestSnapshot *snap);
extern char *ha_rest_cluster_json(const HaRest *rest);
extern char *ha_rest_history_json(const HaRest *rest);
extern char *ha_rest_config_json(const HaRest *rest);
extern json_t *ha_rest_tags(const HaRest *rest);	/* a reference to a new
													 * object */

/* rest_failsafe.c: takes a question whose body is complete; serves those in line. */
extern void ha_rest_ask_promise(HaRest *rest, HaRestCall *call);
extern void ha_rest_serve_line(HaRest *rest);

/* rest_position.c: is the position of this member to be of after the question? */
extern bool ha_rest_position_counts(const HaRest *rest);
extern void ha_rest_ask_position(HaRest *rest, HaRestCall *call);
extern bool ha_rest_position_is_new(const HaRestCall *call,
									const HaControlWorker *worker);
extern void ha_rest_serve_positions(HaRest *rest);

/* rest_actions.c: what is no more than a look, or has something done. */
extern const struct HaRestAction *ha_rest_find_action(const char *method,
													  const char *path);
extern bool ha_rest_is_harmless(const struct HaRestAction *action);
extern void ha_rest_act(HaRest *rest, HaRestCall *call);
extern void ha_rest_serve_waiting(HaRest *rest);
extern void ha_rest_forget(HaRest *rest, HaRestCall *call);

/* metrics.c: malloc'd */
extern char *ha_rest_metrics(const HaRest *rest, const HaRestSnapshot *snap);

#endif							/* HA_REST_PARTS_H */
