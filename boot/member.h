/*-------------------------------------------------------------------------
 *
 * member.h
 *	  pg_ha_boot's session with the store: a view, a lease, the member key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_MEMBER_H
#define HA_MEMBER_H

#include "../cluster.h"
#include "../control.h"
#include "../dcs.h"
#include "node_file.h"

#define HA_IDENTITY_SIZE	40

typedef struct HaSession HaSession;

/* What became of the caller's txn or keepalive. */
typedef enum HaOutcome
{
	HA_ASK_OUT,					/* no answer yet */
	HA_ASK_DONE,				/* txn: the guards held; keepalive: it lives */
	HA_ASK_FAILED,				/* a guard did not hold, or the lease is dead:
								 * nothing was changed */
	HA_ASK_REFUSED,				/* the store did not do it, and will not */
	HA_ASK_UNKNOWN,				/* it may have been done, or may yet be */
} HaOutcome;

/*
 * The random name of this state directory, made at its first use.  It tells
 * two nodes apart that were given the same member name.  false: reported.
 */
extern bool ha_identity_read(const char *state_dir, char *identity);

/* NULL with a message in err if an option is wrong. */
extern HaSession *ha_session_open(const HaNode *node, const char *identity,
								  const HaControl *control, char *err,
								  size_t errlen);
extern void ha_session_close(HaSession *session);

extern int	ha_session_fd(const HaSession *session);
extern int64_t ha_session_wake_at(const HaSession *session);

/* Take answers, send what is due.  Never blocks. */
extern void ha_session_run(HaSession *session, int64_t now);

/*
 * The cluster as a linearizable read showed it that was sent after "since"; NULL
 * if there is none yet, and then one is asked for.
 */
extern const HaView *ha_session_view(HaSession *session, int64_t since);

/* The last one, however old; view.valid is false before the first. */
extern const HaView *ha_session_last_view(const HaSession *session);
extern const HaConfig *ha_session_config(const HaSession *session);

/* A key's value as the last read showed it, unchecked; NULL = it was not there. */
extern const char *ha_session_key(const HaSession *session, const char *key,
								  size_t *length);

/* The configuration as it was last seen in the store, unchecked; NULL = never. */
extern const char *ha_session_config_text(const HaSession *session);

/* The last trouble with the store, for messages. */
extern const char *ha_session_trouble(const HaSession *session);

/* Look at least that often (ms); 0 = each loop_wait. */
extern void ha_session_look_every(HaSession *session, int64_t interval);

/* What the member key should say; its put follows by itself. */
extern void ha_session_describe(HaSession *session, const HaMember *self);

/* The member key is ours and says that state. */
extern bool ha_session_has_published(const HaSession *session,
									 HaMemberState state);

/* Another node has our name, since then; 0 = none. */
extern int64_t ha_session_rival_since(const HaSession *session);

/*
 * The lease under which the member key stands, 0 = none now.  While pinned
 * it is not exchanged for one of another TTL.  Dropping it ends it, and every
 * key under it; the next one is granted by itself.
 */
extern int64_t ha_session_lease(const HaSession *session);
extern void ha_session_pin_lease(HaSession *session, bool pinned);
extern void ha_session_drop_lease(HaSession *session);

/*
 * One txn, and one keepalive or grant of a lease, of the caller's at a time.  "Send" returns false
 * while an earlier one is out, or if it can't be queued; a txn is freed then.
 * The outcome stays until the next is sent.
 */
extern bool ha_session_send_txn(HaSession *session, HaTxn *txn);
extern bool ha_session_send_keepalive(HaSession *session, int64_t lease);
extern bool ha_session_send_grant(HaSession *session, int64_t ttl);
extern HaOutcome ha_session_txn_outcome(const HaSession *session,
										int64_t *revision);
extern HaOutcome ha_session_keepalive_outcome(const HaSession *session,
											  int64_t *ttl);
extern HaOutcome ha_session_grant_outcome(const HaSession *session,
										  int64_t *lease, int64_t *ttl);

/* Stop everything and end the lease; true as soon as that is done. */
extern bool ha_session_leave(HaSession *session);

/* What a member says of itself.  w: NULL = nothing is known of the server. */
extern void ha_member_describe(const HaNode *node, const char *identity,
							   HaMemberState state, const HaControlWorker *w,
							   bool w_is_fresh, HaMember *self);

#endif							/* HA_MEMBER_H */
