/*-------------------------------------------------------------------------
 *
 * member.c
 *	  pg_ha_boot's session with the store: a view, a lease, the member key.
 *
 * The session outlives the server: the member stays visible while it is being
 * cloned, rewound or restarted.  Its lease carries members/NAME, and
 * initialize while we run initdb, and never anything that makes a leader.
 *
 * A member key is put only over the very key that we have seen there (by its
 * mod_revision, 0 = none), and only if that one was ours.  So of two nodes
 * with one name the second never gets hold of the key, and the first never
 * loses it but by its own lease running out.
 *
 * A put whose outcome is not known, or whose guard failed, makes us look
 * before the next one.  A look that was sent before our last put is no news
 * about the key: its revision is lower.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"

#include "../cluster_json.h"
#include "../config_values_json.h"
#include "../member_json.h"
#include "../versions.h"
#include "files.h"
#include "member.h"
#include "store.h"

/* At most one request of each kind is out; the tag tells which it was. */
enum
{
	TAG_LOOK = 1,
	TAG_GRANT,
	TAG_KEEPALIVE,
	TAG_MEMBER,
	TAG_REVOKE,					/* of which there may be several */
	TAG_TXN,
	TAG_LEADER,					/* keepalive or grant of the leader lease */
};

/* How long after a request that failed the next of its kind is tried. */
#define RETRY_AFTER			500

/* A worker's report older than this says nothing about the present. */
#define FRESH_FOR			1000

typedef struct Ask
{
	HaOutcome	outcome;
	int64_t		number;			/* revision of a txn, ttl of a lease */
	int64_t		lease;			/* of a grant */
} Ask;

struct HaSession
{
	const HaNode *node;
	const HaControl *control;
	HaDcs	   *dcs;
	char		identity[HA_IDENTITY_SIZE];
	uint32_t	out;			/* bit TAG: such a request has no answer yet */
	int			revokes_out;
	int64_t		revoke_at;		/* leaving: once more, since it is not known
								 * whether it was done; 0 = no */
	bool		leaving;
	bool		reachable;		/* the last look was answered; for the log */
	bool		complained;		/* about the member key; for the log */

	/* looks */
	HaView		view;
	char	   *config_text;	/* of /config; NULL = there was none yet */
	HaAnswer	keys;			/* what the view was made from */
	HaConfig	config;
	int64_t		interval;		/* asked for, 0 = loop_wait */
	int64_t		look_at;
	int64_t		look_not_before;

	/* the lease */
	int64_t		lease;			/* 0 = none */
	int64_t		lease_ttl;		/* granted */
	int64_t		lease_asked;	/* the TTL that was asked for */
	int64_t		lease_at;		/* when to renew it, or to try for a new one */
	int64_t		old_lease;		/* to be revoked, once nothing hangs on it */
	bool		pinned;

	/* the member key */
	HaMember	self;			/* what it should say */
	HaMember	published;		/* what it says */
	int64_t		published_lease;	/* under which it stands */
	HaMember	sent;			/* what the put that is out says */
	int64_t		sent_lease;
	bool		described;		/* self is filled */
	bool		claimed;		/* the key is ours, by a put that succeeded */
	bool		key_known;		/* key_revision says what stands there */
	int64_t		key_revision;
	int64_t		rival_since;	/* another node's key stands there */
	int64_t		put_at;			/* when the next position is due */
	int64_t		put_not_before;

	/* the caller's */
	Ask			txn;
	Ask			leader;
};

/*
 * Identity.
 */

static bool
identity_is_sane(const char *identity)
{
	return strlen(identity) == 32 &&
		strspn(identity, "0123456789abcdef") == 32;
}

/* Half an identity would be another. */
static bool
make_identity(const char *path, char *identity)
{
	uint8		bytes[16];

	if (!pg_strong_random(bytes, sizeof(bytes)))
	{
		pg_log_error("could not generate an identity");
		return false;
	}
	for (int i = 0; i < lengthof(bytes); i++)
		snprintf(identity + 2 * i, 3, "%02x", bytes[i]);
	return ha_replace_file(path, identity, 0600, true);
}

bool
ha_identity_read(const char *state_dir, char *identity)
{
	char		path[HA_PATH_SIZE + 16];
	char		line[64] = "";
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/identity", state_dir);
	file = fopen(path, "re");
	if (file == NULL && errno == ENOENT)
		return make_identity(path, identity);
	if (file == NULL)
	{
		pg_log_error("could not open file \"%s\": %m", path);
		return false;
	}
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	if (!identity_is_sane(line))
	{
		pg_log_error("file \"%s\" does not hold an identity", path);
		pg_log_error_hint("Remove it to give this node a new one.");
		return false;
	}
	strlcpy(identity, line, HA_IDENTITY_SIZE);
	return true;
}

/*
 * Opening and sending.
 */

HaSession *
ha_session_open(const HaNode *node, const char *identity,
				const HaControl *control, char *err, size_t errlen)
{
	HaDcsOptions options = ha_store_options(node);
	HaSession  *s = calloc(1, sizeof(HaSession));

	if (s == NULL)
	{
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	s->dcs = ha_dcs_open(&options, err, errlen);
	if (s->dcs == NULL)
	{
		free(s);
		return NULL;
	}
	s->node = node;
	s->control = control;
	s->reachable = true;
	strlcpy(s->identity, identity, sizeof(s->identity));
	ha_config_defaults(&s->config);
	return s;
}

void
ha_session_close(HaSession *s)
{
	ha_dcs_close(s->dcs);
	free(s->config_text);
	ha_dcs_answer_free(&s->keys);
	free(s);
}

int
ha_session_fd(const HaSession *s)
{
	return ha_dcs_fd(s->dcs);
}

int64_t
ha_session_wake_at(const HaSession *s)
{
	return ha_dcs_wake_at(s->dcs);
}

static bool
is_out(const HaSession *s, int tag)
{
	return (s->out & (1U << tag)) != 0;
}

/* The one way out: what may not be written in a cluster of a later schema is not. */
static bool
send_request(HaSession *s, int tag, HaRequest *request)
{
	if (request->kind != HA_DCS_RANGE && ha_is_too_old(&s->view))
	{
		ha_dcs_request_free(request);
		return false;
	}
	request->tag = tag;
	request->timeout = Min(Max(s->config.retry_timeout / 2, 500), 5000);
	if (!ha_dcs_send(s->dcs, request))
		return false;
	s->out |= 1U << tag;
	return true;
}

static bool
send_for_lease(HaSession *s, int tag, HaDcsKind kind, int64_t lease,
			   int64_t ttl)
{
	HaRequest	request = {.kind = kind,.lease = lease,.ttl = ttl};

	return send_request(s, tag, &request);
}

static bool
send_revoke(HaSession *s, int64_t lease)
{
	if (!send_for_lease(s, TAG_REVOKE, HA_DCS_REVOKE, lease, 0))
		return false;
	s->revokes_out++;
	return true;
}

/*
 * Looking.
 */

static void
look(HaSession *s, int64_t now)
{
	HaRequest	request = {.kind = HA_DCS_RANGE};

	if (is_out(s, TAG_LOOK) || now < s->look_at || now < s->look_not_before)
		return;
	if (!send_request(s, TAG_LOOK, &request))
		s->look_not_before = now + RETRY_AFTER;
}

static const HaMember *
own_member(const HaSession *s)
{
	for (int i = 0; i < s->view.nmembers; i++)
		if (strcmp(s->view.members[i].name, s->node->name) == 0)
			return &s->view.members[i];
	return NULL;
}

/*
 * Ours is a key with our identity, whichever lease it still hangs on, and one
 * that our own server's worker wrote while no pg_ha_boot ran here.
 */
static bool
is_ours(const HaSession *s, const HaMember *member)
{
	HaControlLease worker;

	return strcmp(member->identity, s->identity) == 0 ||
		(member->lease != 0 && ha_control_get_lease(s->control, &worker) &&
		 member->lease == worker.lease);
}

/*
 * A Patroni that stopped leaves its key behind, "stopped", until its lease ends.  Ours
 * is one whose HTTP was where we listen: so it doesn't, any more.  Should it still have
 * to write its last word, that is such a key again.
 */
static bool
is_left_by_patroni(const HaSession *s, const HaMember *member)
{
	HaMember	self;

	if (member->identity[0] != '\0' || member->state != HA_STATE_STOPPED)
		return false;
	ha_member_describe(s->node, s->identity, HA_STATE_STOPPED, NULL, false,
					   &self);
	return self.api_url[0] != '\0' &&
		strcmp(member->api_url, self.api_url) == 0 &&
		member->port == self.port && strcmp(member->host, self.host) == 0;
}

/* What the last look says of our member key. */
static void
judge_own_key(HaSession *s, int64_t now)
{
	const HaMember *member = own_member(s);

	if (s->view.revision < s->key_revision)
		return;					/* it was sent before our last put */
	if (member != NULL && !is_ours(s, member) &&
		!is_left_by_patroni(s, member))
	{
		if (s->rival_since == 0)
		{
			s->rival_since = now;
			pg_log_warning("another node calls itself \"%s\" in this cluster",
						   s->node->name);
		}
		s->key_known = false;
		s->claimed = false;
		return;
	}
	if (s->rival_since != 0)
		pg_log_info("the other node called \"%s\" has gone", s->node->name);
	s->rival_since = 0;
	s->key_known = true;
	s->key_revision = member != NULL ? member->mod_revision : 0;
	if (member == NULL)
		s->claimed = false;		/* if somebody deleted it: put it again */
}

/*
 * A store that forgets, or another one behind the same endpoints, must not
 * make us act: what it says of leaders and positions is not what was promised.
 */
static bool
is_forward(const HaSession *s, const HaAnswer *answer)
{
	if (!s->view.valid)
		return true;
	return answer->cluster_id == s->view.cluster_id &&
		answer->raft_term >= s->view.raft_term &&
		answer->revision >= s->view.revision;
}

/* As it stands there; the parsed one lacks what we have no use for. */
static void
keep_config_text(HaSession *s, const HaAnswer *answer)
{
	if (s->config_text != NULL && s->view.config.revision == s->config.revision)
		return;
	for (int i = 0; i < answer->nkvs; i++)
	{
		const HaKv *kv = &answer->kvs[i];

		if (strcmp(kv->key, "config") != 0 || kv->value == NULL ||
			strlen(kv->value) != kv->length)
			continue;
		free(s->config_text);
		s->config_text = strdup(kv->value);
	}
}

/* The keys in the answer become ours. */
static void
take_look(HaSession *s, HaAnswer *answer, int64_t now)
{
	bool		forward = is_forward(s, answer);

	if (answer->status != HA_DCS_OK || !forward)
	{
		if (s->reachable && answer->status != HA_DCS_OK)
			pg_log_warning("could not read the cluster from etcd: %s",
						   answer->error);
		else if (s->reachable)
		{
			pg_log_error("etcd has gone back in time or is another cluster than before: its answers are not used");
			pg_log_error_hint("If it was restored on purpose, restart pg_ha_boot on every node.");
		}
		s->reachable = false;
		s->look_not_before = now + RETRY_AFTER;
		return;
	}
	if (!s->reachable)
		pg_log_info("etcd answers again");
	s->reachable = true;

	ha_view_parse(answer, &s->config, &s->view);
	keep_config_text(s, answer);
	ha_dcs_answer_free(&s->keys);
	s->keys = *answer;
	answer->nkvs = 0;
	answer->kvs = NULL;
	s->config = s->view.config;
	s->look_at = now + (s->interval > 0 ? s->interval : s->config.loop_wait);
	judge_own_key(s, now);
}

const HaView *
ha_session_view(HaSession *s, int64_t since)
{
	if (s->view.valid && s->view.sent_at > since)
		return &s->view;
	s->look_at = 0;
	return NULL;
}

const HaView *
ha_session_last_view(const HaSession *s)
{
	return &s->view;
}

const HaConfig *
ha_session_config(const HaSession *s)
{
	return &s->config;
}

const char *
ha_session_trouble(const HaSession *s)
{
	const char *trouble = ha_dcs_trouble(s->dcs);

	return trouble[0] != '\0' ? trouble : "no answer yet";
}

const char *
ha_session_key(const HaSession *s, const char *key, size_t *length)
{
	for (int i = 0; i < s->keys.nkvs; i++)
	{
		const HaKv *kv = &s->keys.kvs[i];

		if (strcmp(kv->key, key) == 0 && kv->value != NULL)
		{
			*length = kv->length;
			return kv->value;
		}
	}
	return NULL;
}

const char *
ha_session_config_text(const HaSession *s)
{
	return s->config_text;
}

void
ha_session_look_every(HaSession *s, int64_t interval)
{
	if (interval > 0 && (s->interval == 0 || interval < s->interval))
		s->look_at = 0;
	s->interval = interval;
}

/*
 * The lease.
 */

/* Nothing is asked for before the cluster's TTL is known. */
static void
tend_lease(HaSession *s, int64_t now)
{
	bool		grant;

	if (!s->view.valid || now < s->lease_at || is_out(s, TAG_GRANT) ||
		is_out(s, TAG_KEEPALIVE))
		return;
	s->lease_at = now + RETRY_AFTER;

	/* The old one is kept until the key has moved to the new one. */
	grant = s->lease == 0 ||
		(s->lease_asked != s->config.ttl && !s->pinned && s->old_lease == 0);
	if (!grant)
		send_for_lease(s, TAG_KEEPALIVE, HA_DCS_KEEPALIVE, s->lease, 0);
	else if (send_for_lease(s, TAG_GRANT, HA_DCS_GRANT, 0, s->config.ttl))
		s->lease_asked = s->config.ttl;
}

/* Whatever hung on the lease is gone, or soon will be. */
static void
forget_lease(HaSession *s)
{
	s->lease = 0;
	s->lease_at = 0;
	s->claimed = false;
	s->key_known = false;
	s->look_at = 0;
}

static void
take_grant(HaSession *s, const HaAnswer *answer, int64_t now)
{
	if (answer->status != HA_DCS_OK || answer->lease == 0)
	{
		s->lease_asked = 0;
		return;					/* tend_lease tries again */
	}
	s->old_lease = s->lease;
	s->lease = answer->lease;
	s->lease_ttl = answer->ttl;
	s->lease_at = now + answer->ttl / 3;
}

static void
take_keepalive(HaSession *s, const HaAnswer *answer, int64_t now)
{
	if (answer->lease != 0 && answer->lease != s->lease)
		return;					/* one that was dropped meanwhile */
	if (answer->status != HA_DCS_OK)
		s->lease_at = now + RETRY_AFTER;
	else if (answer->ttl > 0)
		s->lease_at = now + s->lease_ttl / 3;
	else
	{
		pg_log_warning("the lease of member \"%s\" ran out, taking a new one",
					   s->node->name);
		forget_lease(s);
	}
}

int64_t
ha_session_lease(const HaSession *s)
{
	return s->lease;
}

void
ha_session_pin_lease(HaSession *s, bool pinned)
{
	s->pinned = pinned;
}

void
ha_session_drop_lease(HaSession *s)
{
	if (s->lease == 0)
		return;
	send_revoke(s, s->lease);
	forget_lease(s);
}

/*
 * The member key.
 */

static bool
has_same_tags(const HaMember *a, const HaMember *b)
{
	return a->nofailover == b->nofailover && a->nosync == b->nosync &&
		a->nostream == b->nostream && a->clonefrom == b->clonefrom &&
		a->noloadbalance == b->noloadbalance &&
		a->failover_priority == b->failover_priority &&
		a->sync_priority == b->sync_priority &&
		strcmp(a->replicatefrom, b->replicatefrom) == 0 &&
		strcmp(a->site, b->site) == 0 &&
		strcmp(a->other_tags, b->other_tags) == 0;
}

/* What others wait for; positions are told each loop_wait. */
static bool
says_the_same(const HaMember *a, const HaMember *b)
{
	return a->state == b->state && a->role == b->role &&
		a->timeline == b->timeline && a->streaming == b->streaming &&
		a->pause == b->pause && a->sick == b->sick &&
		strcmp(a->pending_restart, b->pending_restart) == 0 &&
		a->restart_at == b->restart_at &&
		has_same_tags(a, b) &&
		strcmp(a->clone_method, b->clone_method) == 0 &&
		a->discarded_bytes == b->discarded_bytes &&
		a->discarded_timeline == b->discarded_timeline &&
		strcmp(a->hba_source, b->hba_source) == 0 &&
		strcmp(a->hba_sha256, b->hba_sha256) == 0 &&
		memcmp(&a->progress, &b->progress, sizeof(a->progress)) == 0 &&
		strcmp(a->conn_url, b->conn_url) == 0 &&
		strcmp(a->api_url, b->api_url) == 0;
}

static void
tend_key(HaSession *s, int64_t now)
{
	HaRequest	request = {.kind = HA_DCS_TXN};
	char		key[HA_KEY_SIZE];
	char	   *json;

	if (s->lease == 0 || !s->key_known || !s->described ||
		is_out(s, TAG_MEMBER) || now < s->put_not_before)
		return;
	if (s->claimed && s->published_lease == s->lease &&
		(now < s->put_at ? says_the_same(&s->self, &s->published) :
		 memcmp(&s->self, &s->published, sizeof(HaMember)) == 0))
		return;

	json = ha_member_json(&s->self);
	if (json == NULL)
		return;
	snprintf(key, sizeof(key), "members/%s", s->node->name);
	ha_txn_compare(&request.txn, HA_MOD_REVISION, key, s->key_revision);
	ha_txn_put(&request.txn, key, json, s->lease);
	s->sent = s->self;
	s->sent_lease = s->lease;
	if (!send_request(s, TAG_MEMBER, &request))
		s->put_not_before = now + RETRY_AFTER;
}

static void
take_member(HaSession *s, const HaAnswer *answer, int64_t now)
{
	if (answer->status == HA_DCS_OK && answer->succeeded &&
		s->sent_lease == s->lease)
	{
		s->key_revision = answer->revision;
		s->claimed = true;
		s->complained = false;
		s->published = s->sent;
		s->published_lease = s->sent_lease;
		s->put_at = now + s->config.loop_wait;
		if (s->old_lease != 0 && send_revoke(s, s->old_lease))
			s->old_lease = 0;
		return;
	}

	if (answer->status == HA_DCS_REFUSED)
	{
		/* Most likely the lease is dead: a keepalive tells. */
		s->lease_at = 0;
		if (!s->complained)
			pg_log_warning("could not write the key of member \"%s\": %s",
						   s->node->name, answer->error);
		s->complained = true;
	}
	else
	{
		s->key_known = false;	/* only a look can tell what stands there */
		s->look_at = 0;
	}
	s->put_not_before = now + RETRY_AFTER;
}

void
ha_session_describe(HaSession *s, const HaMember *self)
{
	s->self = *self;
	s->described = true;
}

bool
ha_session_has_published(const HaSession *s, HaMemberState state)
{
	return s->claimed && s->published.state == state;
}

int64_t
ha_session_rival_since(const HaSession *s)
{
	return s->rival_since;
}

/*
 * The caller's requests.
 */

static void
take_ask(Ask *ask, const HaAnswer *answer)
{
	if (answer->status == HA_DCS_UNKNOWN)
		ask->outcome = HA_ASK_UNKNOWN;
	else if (answer->status == HA_DCS_REFUSED)
	{
		ask->outcome = HA_ASK_REFUSED;
		pg_log_warning("etcd refused a request: %s", answer->error);
	}
	else if (answer->kind == HA_DCS_TXN)
	{
		ask->outcome = answer->succeeded ? HA_ASK_DONE : HA_ASK_FAILED;
		ask->number = answer->revision;
	}
	else
	{
		ask->outcome = answer->ttl > 0 ? HA_ASK_DONE : HA_ASK_FAILED;
		ask->number = answer->ttl;
		ask->lease = answer->lease;
	}
}

bool
ha_session_send_txn(HaSession *s, HaTxn *txn)
{
	HaRequest	request = {.kind = HA_DCS_TXN,.txn = *txn};

	memset(txn, 0, sizeof(*txn));	/* its values are the request's now */
	if (is_out(s, TAG_TXN))
	{
		ha_dcs_request_free(&request);
		return false;
	}
	if (!send_request(s, TAG_TXN, &request))
		return false;
	s->txn.outcome = HA_ASK_OUT;
	return true;
}

bool
ha_session_send_keepalive(HaSession *s, int64_t lease)
{
	if (is_out(s, TAG_LEADER) ||
		!send_for_lease(s, TAG_LEADER, HA_DCS_KEEPALIVE, lease, 0))
		return false;
	s->leader.outcome = HA_ASK_OUT;
	return true;
}

bool
ha_session_send_grant(HaSession *s, int64_t ttl)
{
	if (is_out(s, TAG_LEADER) ||
		!send_for_lease(s, TAG_LEADER, HA_DCS_GRANT, 0, ttl))
		return false;
	s->leader.outcome = HA_ASK_OUT;
	return true;
}

HaOutcome
ha_session_txn_outcome(const HaSession *s, int64_t *revision)
{
	*revision = s->txn.number;
	return s->txn.outcome;
}

HaOutcome
ha_session_keepalive_outcome(const HaSession *s, int64_t *ttl)
{
	*ttl = s->leader.number;
	return s->leader.outcome;
}

HaOutcome
ha_session_grant_outcome(const HaSession *s, int64_t *lease, int64_t *ttl)
{
	*lease = s->leader.lease;
	*ttl = s->leader.number;
	return s->leader.outcome;
}

/*
 * All of it.
 */

static void
take_answer(HaSession *s, HaAnswer *answer, int64_t now)
{
	s->out &= ~(1U << answer->tag);
	switch (answer->tag)
	{
		case TAG_LOOK:
			take_look(s, answer, now);
			break;
		case TAG_GRANT:
			take_grant(s, answer, now);
			break;
		case TAG_KEEPALIVE:
			take_keepalive(s, answer, now);
			break;
		case TAG_MEMBER:
			take_member(s, answer, now);
			break;
		case TAG_TXN:
			take_ask(&s->txn, answer);
			break;
		case TAG_LEADER:
			take_ask(&s->leader, answer);
			break;
		default:
			s->revokes_out--;
			if (answer->status == HA_DCS_UNKNOWN)
				s->revoke_at = now + RETRY_AFTER;
			break;
	}
}

void
ha_session_run(HaSession *s, int64_t now)
{
	HaAnswer	answer;

	ha_dcs_poll(s->dcs);
	while (ha_dcs_next(s->dcs, &answer))
	{
		take_answer(s, &answer, now);
		ha_dcs_answer_free(&answer);
	}
	if (s->leaving)
		return;
	look(s, now);
	tend_lease(s, now);
	tend_key(s, now);
}

/*
 * Whatever hangs on the lease goes with it, in one step, and nothing else
 * does: a key of ours that somebody else has put anew hangs on another lease.
 */
bool
ha_session_leave(HaSession *s)
{
	if (!s->leaving || (s->revoke_at != 0 && ha_now() >= s->revoke_at))
	{
		/* A put that is out would be refused: its lease is gone by then. */
		s->leaving = true;
		s->revoke_at = 0;
		if (s->old_lease != 0)
			send_revoke(s, s->old_lease);
		if (s->lease != 0)
			send_revoke(s, s->lease);
	}
	return s->revokes_out == 0 && s->revoke_at == 0;
}

/*
 * What a member says of itself.
 */

/* Brackets, where a colon would be taken for the port's. */
static const char *
bracketed(const char *host, char *buf, size_t size)
{
	bool		ipv6 = strchr(host, ':') != NULL && host[0] != '[';

	snprintf(buf, size, ipv6 ? "[%s]" : "%s", host);
	return buf;
}

void
ha_member_describe(const HaNode *node, const char *identity,
				   HaMemberState state, const HaControlWorker *w,
				   bool w_is_fresh, HaMember *self)
{
	char		host[HA_HOST_SIZE + 4];

	memset(self, 0, sizeof(*self));
	strlcpy(self->name, node->name, sizeof(self->name));
	self->state = state;
	self->role = HA_ROLE_STARTING;
	strlcpy(self->host, node->connect_host, sizeof(self->host));
	self->port = node->port;
	snprintf(self->conn_url, sizeof(self->conn_url),
			 "postgres://%s:%d/postgres",
			 bracketed(node->connect_host, host, sizeof(host)), node->port);
	if (node->rest_connect_address[0] != '\0')
		snprintf(self->api_url, sizeof(self->api_url), "%s://%s/patroni",
				 node->rest_cert[0] != '\0' ? "https" : "http",
				 node->rest_connect_address);
	strlcpy(self->version, HA_VERSION, sizeof(self->version));
	ha_node_tags(node, self);
	strlcpy(self->identity, identity, sizeof(self->identity));

	if (w == NULL)
		return;
	self->role = w->role;
	if (w->version[0] != '\0')
		strlcpy(self->version, w->version, sizeof(self->version));
	self->pause = w->pause;
	self->sick = w->sick;
	strlcpy(self->pending_restart, w->pending_restart,
			sizeof(self->pending_restart));
	strlcpy(self->hba_source, w->hba_source, sizeof(self->hba_source));
	strlcpy(self->hba_sha256, w->hba_sha256, sizeof(self->hba_sha256));
	if (!w_is_fresh)
		return;					/* old positions are worse than none (S-12) */
	self->timeline = w->timeline;
	self->lsn = w->flush_lsn;
	self->replay_lsn = w->replay_lsn;
	self->streaming = w->streaming;
	self->standby_leader = w->standby_leader;
}
