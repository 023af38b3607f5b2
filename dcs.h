/*-------------------------------------------------------------------------
 *
 * dcs.h
 *	  What pg_ha needs of a distributed configuration store.
 *
 * Plain C.  A caller queues requests and later takes answers; nothing here ever
 * waits for the network.  One request gets exactly one answer, but for a watch,
 * which gets one answer an event batch until one with a status other than
 * HA_DCS_OK ends it.
 *
 * Keys are relative to the cluster's prefix ("leader", "members/n1",
 * "pg_ha/term"); the store adds and strips "/NAMESPACE/SCOPE/".
 *
 * Writes that belong together go into one guarded transaction (HaTxn): safety
 * rules 1, 5, 6 and 7 all need that shape, so there is no other way to write.
 *
 * dcs_etcd.c implements this over etcd v3; test/sim.c implements it in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DCS_H
#define HA_DCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster.h"

#define HA_KEY_SIZE			160
#define HA_ERROR_SIZE		256
#define HA_MAX_COMPARES		24
#define HA_MAX_OPS			8
#define HA_MAX_VALUE		(256 * 1024)	/* longer values are refused
											 * unread */

typedef enum HaDcsKind
{
	HA_DCS_GRANT,				/* a new lease of request.ttl */
	HA_DCS_KEEPALIVE,			/* renew request.lease */
	HA_DCS_REVOKE,				/* end request.lease */
	HA_DCS_TXN,
	HA_DCS_RANGE,				/* every key of the cluster, linearizable */
	HA_DCS_WATCH,				/* events of keys that begin with request.key
								 * from request.start_revision on */
	HA_DCS_STATUS,				/* how request.endpoint is */
	HA_DCS_MEMBERS,				/* of which members the store consists, as
								 * request.endpoint knows it */
} HaDcsKind;

typedef enum HaCompareTarget
{
	HA_CREATE_REVISION,			/* 0 = the key does not exist */
	HA_MOD_REVISION,			/* 0 = the key does not exist */
	HA_LEASE,
	HA_VALUE,
	HA_UNCHANGED_SINCE,			/* no key that begins with this one was
								 * written after that revision (deleting is no
								 * writing); '' = none of the cluster */
} HaCompareTarget;

/* One guard: the txn's success branch runs only if all of them are equal. */
typedef struct HaCompare
{
	HaCompareTarget target;
	char		key[HA_KEY_SIZE];
	int64_t		number;			/* revision or lease */
	char		value[64];		/* HA_VALUE */
} HaCompare;

typedef enum HaOpKind
{
	HA_OP_PUT,
	HA_OP_DELETE,
	HA_OP_DELETE_ALL,			/* every key of the cluster, of which there is
								 * no other by then: see ha_txn_delete_all */
	HA_OP_GET,					/* one key, into answer.kvs */
} HaOpKind;

typedef struct HaOp
{
	HaOpKind	kind;
	char		key[HA_KEY_SIZE];
	char	   *value;			/* malloc'd, owned by the request */
	int64_t		lease;			/* put under this lease; 0 = none */
} HaOp;

typedef struct HaTxn
{
	int			ncompares;
	HaCompare	compares[HA_MAX_COMPARES];
	int			nsuccess;
	HaOp		success[HA_MAX_OPS];
	int			nfailure;
	HaOp		failure[HA_MAX_OPS];
} HaTxn;

/*
 * A request.  Zero it before filling in.  The store takes it over (values
 * included) when it is queued; ha_dcs_request_free is for one that never was.
 */
typedef struct HaRequest
{
	HaDcsKind	kind;
	uint32_t	tag;			/* the caller's, returned in the answer */
	int64_t		timeout;		/* ms until the answer is HA_DCS_UNKNOWN;
								 * watches: ignored */
	int64_t		ttl;			/* GRANT, milliseconds, rounded up to seconds */
	int64_t		lease;			/* KEEPALIVE, REVOKE */
	char		key[HA_KEY_SIZE];	/* WATCH: a key or prefix, '' = all */
	int64_t		start_revision; /* WATCH */
	int			endpoint;		/* STATUS, MEMBERS: by its number from 0 on */
	HaTxn		txn;
} HaRequest;

typedef enum HaDcsStatus
{
	HA_DCS_OK,
	HA_DCS_REFUSED,				/* definite: nothing was or will be changed */
	HA_DCS_UNKNOWN,				/* no usable answer: it may have been carried
								 * out, or may yet be */
} HaDcsStatus;

typedef struct HaKv
{
	char		key[HA_KEY_SIZE];	/* relative */
	char	   *value;			/* NUL-terminated, malloc'd, NULL if deleted */
	size_t		length;
	int64_t		create_revision;
	int64_t		mod_revision;
	int64_t		lease;
	bool		deleted;		/* watch events */
} HaKv;

typedef struct HaAnswer
{
	HaDcsKind	kind;
	uint32_t	tag;
	HaDcsStatus status;
	int64_t		sent_at;		/* the caller's clock before the request left */
	bool		nospace;		/* refused because the store is full */
	bool		compacted;		/* watch: start_revision is gone */
	char		error[HA_ERROR_SIZE];	/* '' unless status says trouble */

	/* with HA_DCS_OK */
	uint64_t	cluster_id;
	int64_t		raft_term;
	int64_t		revision;
	int64_t		lease;			/* GRANT, KEEPALIVE */
	int64_t		ttl;			/* GRANT, KEEPALIVE: granted, in ms; 0 = the
								 * lease is dead */
	bool		succeeded;		/* TXN: which branch ran */
	int			nkvs;
	HaKv	   *kvs;			/* RANGE, WATCH, and the GETs of a TXN */
	int			endpoint;		/* STATUS, MEMBERS: who was asked */
	uint64_t	member_id;		/* which member of the store has answered */
	uint64_t	leader_id;		/* STATUS; 0 = nobody leads the store */
	char		version[HA_VERSION_SIZE];	/* STATUS */
	int			nvoters;
	HaVoter    *voters;			/* MEMBERS */
} HaAnswer;

/* Free what a request or an answer owns, not the struct itself. */
extern void ha_dcs_request_free(HaRequest *request);
extern void ha_dcs_answer_free(HaAnswer *answer);

/*
 * Builders of a txn.  They refuse nothing: a txn that grew over its limits, a
 * key that is too long or a failed allocation makes "overflow" below true of it,
 * and such a txn must not be sent.  "value" is taken over.
 */
extern void ha_txn_compare(HaTxn *txn, HaCompareTarget target, const char *key,
						   int64_t number);
extern void ha_txn_compare_value(HaTxn *txn, const char *key,
								 const char *value);
extern void ha_txn_put(HaTxn *txn, const char *key, char *value, int64_t lease);
extern void ha_txn_delete(HaTxn *txn, const char *key);

/*
 * Every key of the cluster.  since != 0: unless one was written after that revision.
 * It is one txn, so that an interruption can't leave half of a cluster, which would
 * be worse than either: without its term record, say, but with its system id.
 */
extern void ha_txn_delete_all(HaTxn *txn, int64_t since);
extern void ha_txn_else_get(HaTxn *txn, const char *key);
extern bool ha_txn_overflowed(const HaTxn *txn);

/*
 * How far the history of the store had come.  An endpoint that answers from
 * before that, or of another cluster, is not asked again for as long as the
 * client is open: a store that was restored from a backup doesn't know what was
 * promised since (D13).
 */
typedef struct HaDcsMark
{
	uint64_t	cluster_id;		/* 0 = nothing was seen yet */
	int64_t		raft_term;
	int64_t		revision;
} HaDcsMark;

/*
 * Where and how to reach the store.  Strings are copied by ha_dcs_open.
 */
typedef struct HaDcsOptions
{
	const char *endpoints;		/* URLs, separated by commas or blanks */
	const char *name_space;		/* "service" */
	const char *scope;
	const char *cacert;			/* "" = the system's */
	const char *cert;
	const char *key;
	const char *user;
	const char *password_file;	/* mode 0600 */
	int64_t		(*now) (void);	/* the clock of sent_at, in ms */
	HaDcsMark	seen;			/* by an earlier client; zero = nothing */
} HaDcsOptions;

typedef struct HaDcs HaDcs;

/*
 * Open a client.  Returns NULL with a message in err if an option is wrong.
 * Does not touch the network.
 */
extern HaDcs *ha_dcs_open(const HaDcsOptions *options, char *err, size_t errlen);
extern void ha_dcs_close(HaDcs *dcs);

/*
 * A file descriptor that is readable when ha_dcs_poll has something to do, and
 * the time (of options.now) by which it must be called all the same; 0 = none.
 */
extern int	ha_dcs_fd(const HaDcs *dcs);
extern int64_t ha_dcs_wake_at(const HaDcs *dcs);

/*
 * Queue a request (moved from *request).  Returns false, and frees it, if it can't
 * be taken: too many in flight, or overflowed.  No answer follows then.
 */
extern bool ha_dcs_send(HaDcs *dcs, HaRequest *request);

/* Let the network make progress; never blocks. */
extern void ha_dcs_poll(HaDcs *dcs);

/* Take the next answer, if there is one; free it with ha_dcs_answer_free. */
extern bool ha_dcs_next(HaDcs *dcs, HaAnswer *answer);

/* End the watch with that tag, if it runs; no further answer comes from it. */
extern void ha_dcs_cancel(HaDcs *dcs, uint32_t tag);

/*
 * What was found out about the endpoints, by the way and by HA_DCS_STATUS, which is
 * how to hear of those that nothing else is asked of.  Such a request has no effect on
 * the others: not on where they go, nor on what may be believed.
 */
extern int	ha_dcs_endpoints(const HaDcs *dcs, HaEndpoint *endpoints);
extern int	ha_dcs_endpoint_count(const HaDcs *dcs);
extern int	ha_dcs_in_use(const HaDcs *dcs);
extern const char *ha_endpoint_state_name(HaEndpointState state);

/* The endpoint in use, for messages, and the last trouble ('' = none). */
extern const char *ha_dcs_endpoint(const HaDcs *dcs);
extern HaDcsMark ha_dcs_seen(const HaDcs *dcs);
extern const char *ha_dcs_trouble(const HaDcs *dcs);

#endif							/* HA_DCS_H */
