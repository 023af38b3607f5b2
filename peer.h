/*-------------------------------------------------------------------------
 *
 * peer.h
 *	  Asking other members over HTTP.
 *
 * Plain C and libcurl, like dcs_etcd.c: requests are queued, answers taken
 * later, and nothing ever waits.  One request gets exactly one answer.  What a
 * peer says is hostile: it is short, printable text or it is cut and cleaned; or, if
 * it is a document, bounded, and for others to look through.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PEER_H
#define HA_PEER_H

#include "cluster.h"

#include <stddef.h>

/* Longest text of an answer that is kept, with its NUL. */
#define HA_PEER_TEXT_SIZE	128

/* A question to a member.  Zero it before filling in. */
typedef struct HaPeerRequest
{
	uint32_t	tag;			/* the caller's, returned in the answer */
	int64_t		timeout;		/* ms until the answer is "timeout" */
	char		url[HA_URL_SIZE];
	bool		get;			/* else it is a POST of ... */
	char	   *body;			/* malloc'd JSON, owned by the request */
} HaPeerRequest;

typedef struct HaPeerAnswer
{
	uint32_t	tag;
	long		status;			/* HTTP's; 0 = there was no answer */
	char		text[HA_PEER_TEXT_SIZE];	/* the body, or why there is none */
	char	   *body;			/* of an answer to GET, as a whole and as it
								 * came, malloc'd, with a NUL behind; NULL =
								 * none */
	size_t		length;
} HaPeerAnswer;

typedef struct HaPeers HaPeers;

/* What is shown to members, and what they are verified by; strings are copied. */
typedef struct HaPeerOptions
{
	int64_t		(*now) (void);	/* a clock in ms */
	const char *auth_file;		/* "user:password" for all; '' = they ask for
								 * none */
	const char *cafile;			/* '' = the system's authorities */
	const char *cert;			/* of a client; '' = none */
	const char *key;
} HaPeerOptions;

/* NULL, and the reason in *err, if that can't be. */
extern HaPeers *ha_peers_open(const HaPeerOptions *options, char *err,
							  size_t errlen);
extern void ha_peers_close(HaPeers *peers);

/*
 * A file descriptor that is readable when ha_peers_poll has something to do, and
 * the time by which it must be called all the same; 0 = none.
 */
extern int	ha_peers_fd(const HaPeers *peers);
extern int64_t ha_peers_wake_at(const HaPeers *peers);

/*
 * Queue a request, whose body is taken over.  Returns false if that can't be:
 * no answer follows then.
 */
extern bool ha_peers_send(HaPeers *peers, HaPeerRequest *request);

/* Let the network make progress; never blocks. */
extern void ha_peers_poll(HaPeers *peers);

/* Take the next answer, if there is one; its body is the caller's to free. */
extern bool ha_peers_next(HaPeers *peers, HaPeerAnswer *answer);

#endif							/* HA_PEER_H */
