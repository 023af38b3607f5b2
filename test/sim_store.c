/*-------------------------------------------------------------------------
 *
 * sim_store.c
 *	  The store of the simulator, and the network between it and the nodes.
 *
 * The store itself is right: one linear history of revisions, leases that end
 * no earlier than they may by the store's own clock.  What is wrong is
 * everything else.  A request may be lost, or arrive long after whoever sent it
 * gave up; so may its answer; a stale member confirms leases from the past; a
 * watch breaks; and, where a history allows it, the store itself drops a lease
 * too early.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster_json.h"
#include "sim.h"

#define MAX_KEYS	64

typedef struct Key
{
	char		name[HA_KEY_SIZE];
	char	   *value;			/* NULL = the key does not exist */
	int64_t		create_revision;
	int64_t		mod_revision;
	int64_t		lease;
} Key;

/* One event of the history, for watches. */
typedef struct Change
{
	int64_t		revision;
	int			key;
	char	   *value;			/* NULL = deleted */
	int64_t		create_revision;
	int64_t		lease;
} Change;

typedef struct Lease
{
	int64_t		ttl;			/* ms */
	int64_t		expires;		/* world time */
	int			node;			/* for whose worker, -1 = somebody else's */
	bool		alive;
} Lease;

typedef struct Watch
{
	bool		alive;
	bool		broken;			/* tells nothing any more, will end */
	int			node;
	SimClient	client;
	uint32_t	life;
	uint32_t	tag;
	char		key[HA_KEY_SIZE];
	int64_t		sent_at;
	int			next;			/* index of the next change to look at */
	int64_t		last_at;		/* events come in order */
} Watch;

/* A request under way, or the answer to it. */
typedef struct Call
{
	HaRequest	request;
	int			node;
	SimClient	client;
	uint32_t	life;
	int64_t		sent_at;		/* by the clock of who asked */
	bool		settled;		/* an answer was given, if only "unknown" */
	bool		(*harmful) (int node);	/* when to let go of what is held */
	bool		repeated;		/* was carried out twice */
	int			references;		/* events that know of it */
	struct Call *next_held;
} Call;

/* An answer of a watch on its way. */
typedef struct Delivery
{
	int			watch;
	HaAnswer	answer;
} Delivery;

static const SimScope scopes[SIM_CLIENTS] = {SIM_WORKER, SIM_BOOT, SIM_BOOT};

static Key	keys[MAX_KEYS];
static int	nkeys;
static Change *changes;
static int	nchanges;
static int	max_changes;
static int64_t compacted;		/* revisions below are gone */
static int64_t revision;
static int64_t raft_term;
static Lease *leases;
static int	nleases;
static int	max_leases;
static Watch *watches;
static int	nwatches;
static int	max_watches;
static bool is_up;
static bool is_full;
static int	actor;				/* whose request is carried out, -1 = nobody's */
static Call *held;				/* see hold_call() */
static HaView view;				/* of everything, at revision view.revision */

static void arrive(int node, int64_t attempts, void *pointer);

static void *
grow(void *array, int used, int *max, size_t size)
{
	if (used < *max)
		return array;
	*max = *max == 0 ? 256 : *max * 2;
	array = realloc(array, *max * size);
	if (array == NULL)
		abort();
	return array;
}

static char *
copy_string(const char *string)
{
	char	   *copy = string ? strdup(string) : NULL;

	if (string != NULL && copy == NULL)
		abort();
	return copy;
}

/*-------------------------------------------------------------------------
 * Keys and leases
 *-------------------------------------------------------------------------
 */

static int
key_index(const char *name)
{
	for (int i = 0; i < nkeys; i++)
	{
		if (strcmp(keys[i].name, name) == 0)
			return i;
	}
	if (nkeys == MAX_KEYS)
		abort();
	memset(&keys[nkeys], 0, sizeof(Key));
	snprintf(keys[nkeys].name, HA_KEY_SIZE, "%s", name);
	return nkeys++;
}

static Lease *
find_lease(int64_t id)
{
	if (id < 1 || id > nleases || !leases[id - 1].alive)
		return NULL;
	return &leases[id - 1];
}

/* Note a change of a key in the present revision; "value" is copied. */
static void
change_key(int index, const char *value, int64_t lease)
{
	Key		   *key = &keys[index];
	Change	   *change;
	char	   *old_value = key->value;

	if (old_value == NULL && value == NULL)
		return;
	if (old_value == NULL)
		key->create_revision = revision;
	key->value = copy_string(value);
	key->mod_revision = value ? revision : 0;
	key->lease = value ? lease : 0;

	changes = grow(changes, nchanges, &max_changes, sizeof(Change));
	change = &changes[nchanges++];
	change->revision = revision;
	change->key = index;
	change->value = copy_string(value);
	change->create_revision = key->create_revision;
	change->lease = key->lease;
	if (value == NULL)
		key->create_revision = 0;
	if (strcmp(key->name, "leader") == 0)
		ha_check_leader_key(actor, old_value, value,
							lease > 0 ? leases[lease - 1].node : -1);
	ha_check_put(key->name, old_value, value);
	free(old_value);
}

static void feed_watch(int index);
static void let_go(void);

/* A revision is complete: check it, and tell who watches. */
static void
end_revision(void)
{
	ha_check_revision();
	for (int i = 0; i < nwatches; i++)
	{
		if (watches[i].alive && !watches[i].broken &&
			watches[i].next < nchanges)
			feed_watch(i);
	}
	let_go();
}

static void
end_lease(int64_t id)
{
	leases[id - 1].alive = false;
	revision++;
	for (int i = 0; i < nkeys; i++)
	{
		if (keys[i].value != NULL && keys[i].lease == id)
		{
			ha_sim_say(-1, "lease %lld is over: key %s goes", (long long) id,
					   keys[i].name);
			change_key(i, NULL, 0);
		}
	}
	end_revision();
}

static void
expire_lease(int node, int64_t id, void *pointer)
{
	Lease	   *lease = find_lease(id);

	if (lease == NULL)
		return;
	if (!is_up)
		ha_sim_at(ha_world.now + 50 * SIM_MS, SIM_WORLD, -1, expire_lease, id,
				  NULL);
	else if (lease->expires > ha_world.now)
		ha_sim_at(lease->expires, SIM_WORLD, -1, expire_lease, id, NULL);
	else
		end_lease(id);
}

static void
renew_lease(Lease *lease)
{
	lease->expires = ha_world.now +
		lease->ttl * 1000000 / (1000000 + ha_world.shape.store_rate) * SIM_MS;
}

static int64_t
grant_lease(int64_t ttl, int node)
{
	Lease	   *lease;

	leases = grow(leases, nleases, &max_leases, sizeof(Lease));
	lease = &leases[nleases++];
	lease->ttl = (ttl + 999) / 1000 * 1000;
	lease->alive = true;
	lease->node = node;
	renew_lease(lease);
	ha_sim_at(lease->expires, SIM_WORLD, -1, expire_lease, nleases, NULL);
	return nleases;
}

/*-------------------------------------------------------------------------
 * Carrying requests out
 *-------------------------------------------------------------------------
 */

static void
add_kv(HaAnswer *answer, const char *name, const char *value,
	   int64_t create_revision, int64_t mod_revision, int64_t lease)
{
	HaKv	   *kv = &answer->kvs[answer->nkvs++];

	memset(kv, 0, sizeof(*kv));
	snprintf(kv->key, sizeof(kv->key), "%s", name);
	kv->deleted = value == NULL;
	kv->value = copy_string(value);
	kv->length = value ? strlen(value) : 0;
	kv->create_revision = create_revision;
	kv->mod_revision = mod_revision;
	kv->lease = lease;
}

static void
make_room(HaAnswer *answer, int n)
{
	answer->kvs = calloc(n > 0 ? n : 1, sizeof(HaKv));
	if (answer->kvs == NULL)
		abort();
}

static void
read_all(HaAnswer *answer)
{
	make_room(answer, nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		if (keys[i].value != NULL)
			add_kv(answer, keys[i].name, keys[i].value,
				   keys[i].create_revision, keys[i].mod_revision,
				   keys[i].lease);
	}
}

static bool
compare_holds(const HaCompare *compare)
{
	const Key  *key = &keys[key_index(compare->key)];

	switch (compare->target)
	{
		case HA_CREATE_REVISION:
			return key->create_revision == compare->number;
		case HA_MOD_REVISION:
			return key->mod_revision == compare->number;
		case HA_LEASE:
			return key->value != NULL && key->lease == compare->number;
		default:
			return key->value != NULL &&
				strcmp(key->value, compare->value) == 0;
	}
}

/* Is there an op that the store can't do now?  Then none of them is done. */
static bool
is_refused(const HaOp *ops, int nops, HaAnswer *answer)
{
	for (int i = 0; i < nops; i++)
	{
		if (ops[i].kind != HA_OP_PUT)
			continue;
		if (is_full)
		{
			ha_sim_sometimes(SIM_NOSPACE);
			answer->nospace = true;
		}
		else if (ops[i].lease == 0 || find_lease(ops[i].lease) != NULL)
			continue;
		answer->status = HA_DCS_REFUSED;
		snprintf(answer->error, sizeof(answer->error), "%s",
				 answer->nospace ? "database space exceeded" :
				 "requested lease not found");
		return true;
	}
	return false;
}

static void
run_txn(const HaTxn *txn, HaAnswer *answer)
{
	const HaOp *ops;
	int			nops;
	bool		writes = false;

	answer->succeeded = true;
	for (int i = 0; i < txn->ncompares; i++)
		answer->succeeded = answer->succeeded &&
			compare_holds(&txn->compares[i]);
	ops = answer->succeeded ? txn->success : txn->failure;
	nops = answer->succeeded ? txn->nsuccess : txn->nfailure;
	if (is_refused(ops, nops, answer))
		return;
	make_room(answer, nops);
	for (int i = 0; i < nops; i++)
		writes = writes || ops[i].kind != HA_OP_GET;
	if (writes)
		revision++;
	for (int i = 0; i < nops; i++)
	{
		int			index = key_index(ops[i].key);
		const Key  *key = &keys[index];

		if (ops[i].kind != HA_OP_GET)
			change_key(index, ops[i].kind == HA_OP_PUT ? ops[i].value : NULL,
					   ops[i].lease);
		else if (key->value != NULL)
			add_kv(answer, key->name, key->value, key->create_revision,
				   key->mod_revision, key->lease);
	}
	answer->revision = revision;
	if (writes)
		end_revision();
}

static void
run_keepalive(int64_t id, HaAnswer *answer)
{
	Lease	   *lease = find_lease(id);

	answer->lease = id;
	if (lease == NULL)
		return;
	renew_lease(lease);
	answer->ttl = lease->ttl;
}

/* Proofs are what opens gates: remember that this server's worker had one. */
static void
note_proof(const Call *call, const HaAnswer *answer)
{
	if (call->client == SIM_CLIENT_WORKER && answer->succeeded &&
		call->life == ha_world.nodes[call->node].lives[SIM_WORKER])
	{
		for (int i = 0; i < call->request.txn.ncompares; i++)
		{
			if (strcmp(call->request.txn.compares[i].key, "leader") == 0)
				ha_world.nodes[call->node].server.proven = true;
		}
	}
}

static void
carry_out(Call *call, HaAnswer *answer)
{
	const HaRequest *request = &call->request;

	answer->status = HA_DCS_OK;
	answer->cluster_id = 1;
	answer->raft_term = raft_term;
	answer->revision = revision;
	actor = call->node;
	switch (request->kind)
	{
		case HA_DCS_GRANT:
			if (is_full)
			{
				answer->status = HA_DCS_REFUSED;
				answer->nospace = true;
				break;
			}
			answer->lease = grant_lease(request->ttl,
										call->client == SIM_CLIENT_WORKER ?
										call->node : -1);
			answer->ttl = leases[answer->lease - 1].ttl;
			break;
		case HA_DCS_KEEPALIVE:
			run_keepalive(request->lease, answer);
			break;
		case HA_DCS_REVOKE:
			if (find_lease(request->lease) != NULL)
				end_lease(request->lease);
			break;
		case HA_DCS_TXN:
			run_txn(&request->txn, answer);
			note_proof(call, answer);
			break;
		default:
			read_all(answer);
			break;
	}
	actor = -1;
}

/* A stale member knows the lease as it was, and can do nothing else. */
static bool
ask_stale_member(const Call *call, HaAnswer *answer)
{
	int64_t		id = call->request.lease;

	if (call->request.kind != HA_DCS_KEEPALIVE || id < 1 || id > nleases)
		return false;
	if (!leases[id - 1].alive)
		ha_sim_sometimes(SIM_STALE_KEEPALIVE);
	answer->status = HA_DCS_OK;
	answer->lease = id;
	answer->ttl = leases[id - 1].ttl;
	return true;
}

/*-------------------------------------------------------------------------
 * Watches
 *-------------------------------------------------------------------------
 */

static void
deliver_watch(int node, int64_t number, void *pointer)
{
	Delivery   *delivery = pointer;
	Watch	   *watch = &watches[delivery->watch];

	if (watch->alive && !ha_world.over && watch->node == node &&
		watch->tag == delivery->answer.tag &&
		watch->life == ha_world.nodes[node].lives[scopes[watch->client]])
	{
		if (delivery->answer.status != HA_DCS_OK)
			watch->alive = false;
		ha_node_answer(node, watch->client, &delivery->answer);
	}
	else
		ha_dcs_answer_free(&delivery->answer);
	free(delivery);
}

static Delivery *
new_delivery(int watch, HaDcsStatus status)
{
	Delivery   *delivery = calloc(1, sizeof(Delivery));

	if (delivery == NULL)
		abort();
	delivery->watch = watch;
	delivery->answer.kind = HA_DCS_WATCH;
	delivery->answer.tag = watches[watch].tag;
	delivery->answer.sent_at = watches[watch].sent_at;
	delivery->answer.status = status;
	delivery->answer.revision = revision;
	return delivery;
}

static void
end_watch(int index, bool is_compacted, int64_t delay)
{
	Delivery   *delivery = new_delivery(index, HA_DCS_UNKNOWN);

	delivery->answer.compacted = is_compacted;
	watches[index].broken = true;
	ha_sim_at(ha_world.now + delay, SIM_WORLD, watches[index].node,
			  deliver_watch, 0, delivery);
}

static int64_t
travel_time(int node)
{
	int64_t		mean = ha_world.shape.latency;

	if (ha_sim_chance(ha_world.nodes[node].network.slow))
		return ha_sim_about(ha_world.shape.ttl * SIM_MS / 2);
	return mean / 2 + ha_sim_about(mean / 2 + 1);
}

/* Send what a watch has not seen yet, as one batch. */
static void
feed_watch(int index)
{
	Watch	   *watch = &watches[index];
	const SimNetwork *network = &ha_world.nodes[watch->node].network;
	Delivery   *delivery;
	int64_t		arrives;

	if (network->cut_in || network->stale || !is_up ||
		ha_sim_chance(network->drop / 4))
	{
		ha_sim_sometimes(SIM_WATCH_LOST);
		end_watch(index, false, ha_sim_between(1, 8) * SIM_SECOND);
		return;
	}
	delivery = new_delivery(index, HA_DCS_OK);
	make_room(&delivery->answer, nchanges - watch->next);
	for (; watch->next < nchanges; watch->next++)
	{
		const Change *change = &changes[watch->next];
		const char *name = keys[change->key].name;

		if (strncmp(name, watch->key, strlen(watch->key)) == 0)
			add_kv(&delivery->answer, name, change->value,
				   change->create_revision, change->revision, change->lease);
	}
	if (delivery->answer.nkvs == 0)
	{
		ha_dcs_answer_free(&delivery->answer);
		free(delivery);
		return;
	}
	arrives = ha_world.now + travel_time(watch->node);
	watch->last_at = arrives > watch->last_at ? arrives : watch->last_at + 1;
	ha_sim_at(watch->last_at, SIM_WORLD, watch->node, deliver_watch, 0,
			  delivery);
}

static int
new_watch(const Call *call)
{
	Watch	   *watch;
	int			index;

	for (index = 0; index < nwatches && watches[index].alive; index++)
		;
	if (index == nwatches)
	{
		watches = grow(watches, nwatches, &max_watches, sizeof(Watch));
		nwatches++;
	}
	watch = &watches[index];
	memset(watch, 0, sizeof(*watch));
	watch->alive = true;
	watch->node = call->node;
	watch->client = call->client;
	watch->life = call->life;
	watch->tag = call->request.tag;
	watch->sent_at = call->sent_at;
	snprintf(watch->key, sizeof(watch->key), "%s", call->request.key);
	return index;
}

static void
begin_watch(const Call *call)
{
	int64_t		from = call->request.start_revision;
	int			index = new_watch(call);
	Watch	   *watch = &watches[index];

	if (from <= compacted)
	{
		if (watch->key[0] != '\0')
			ha_sim_sometimes(SIM_COMPACTED);
		end_watch(index, true, travel_time(call->node));
		return;
	}
	while (watch->next < nchanges && changes[watch->next].revision < from)
		watch->next++;
	if (watch->next < nchanges)
		feed_watch(index);
}

void
ha_store_cancel(int node, SimClient client, uint32_t tag)
{
	for (int i = 0; i < nwatches; i++)
	{
		if (watches[i].node == node && watches[i].client == client &&
			watches[i].tag == tag)
			watches[i].alive = false;
	}
}

void
ha_store_break_watches(int node)
{
	for (int i = 0; i < nwatches; i++)
	{
		if (watches[i].alive && !watches[i].broken && watches[i].node == node)
		{
			ha_sim_sometimes(SIM_WATCH_LOST);
			end_watch(i, false, ha_sim_between(1, 8) * SIM_SECOND);
		}
	}
}

/*-------------------------------------------------------------------------
 * The network
 *-------------------------------------------------------------------------
 */

static void
release_call(Call *call)
{
	if (--call->references > 0)
		return;
	ha_dcs_request_free(&call->request);
	free(call);
}

static bool
is_current(const Call *call)
{
	return !call->settled && !ha_world.over &&
		call->life == ha_world.nodes[call->node].lives[scopes[call->client]];
}

static void
start_answer(const Call *call, HaAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->kind = call->request.kind;
	answer->tag = call->request.tag;
	answer->sent_at = call->sent_at;
}

typedef struct Return
{
	Call	   *call;
	HaAnswer	answer;
} Return;

static void
come_back(int node, int64_t number, void *pointer)
{
	Return	   *back = pointer;
	SimScope	scope = scopes[back->call->client];

	if (is_current(back->call) && scope != SIM_WORKER &&
		ha_sim_frozen(node, scope))
	{
		/* the worker has a queue for what comes while it is frozen */
		ha_sim_at(ha_world.now + 20 * SIM_MS, SIM_WORLD, node, come_back, 0,
				  back);
		return;
	}
	if (is_current(back->call))
	{
		back->call->settled = true;
		if (ha_sim_frozen(node, scope))
			ha_sim_sometimes(SIM_LATE_ANSWER);
		ha_node_answer(node, back->call->client, &back->answer);
	}
	else
		ha_dcs_answer_free(&back->answer);
	release_call(back->call);
	free(back);
}

/*
 * Nobody waits for ever.  Who is frozen finds out when it thaws, unless the
 * answer has come meanwhile.
 */
static void
time_out(int node, int64_t number, void *pointer)
{
	Call	   *call = pointer;
	SimScope	scope = scopes[call->client];
	HaAnswer	answer;

	if (is_current(call) && ha_sim_frozen(node, scope))
	{
		ha_sim_at(ha_world.now + 20 * SIM_MS, SIM_WORLD, node, time_out, 0,
				  call);
		return;
	}
	if (is_current(call))
	{
		call->settled = true;
		start_answer(call, &answer);
		answer.status = HA_DCS_UNKNOWN;
		ha_node_answer(node, call->client, &answer);
	}
	release_call(call);
}

static void
answer_call(Call *call, HaAnswer *answer)
{
	const SimNetwork *network = &ha_world.nodes[call->node].network;
	Return	   *back;

	if (network->cut_in || ha_sim_chance(network->drop))
	{
		if (answer->kind == HA_DCS_TXN && answer->succeeded)
			ha_sim_sometimes(SIM_LOST_ANSWER);
		ha_dcs_answer_free(answer);
		release_call(call);
		return;
	}
	back = malloc(sizeof(Return));
	if (back == NULL)
		abort();
	back->call = call;
	back->answer = *answer;
	ha_sim_at(ha_world.now + travel_time(call->node), SIM_WORLD, call->node,
			  come_back, 0, back);
}

/* Of a watch that never began its owner hears some time. */
static void
lose_call(Call *call)
{
	if (call->request.kind == HA_DCS_WATCH && is_current(call))
		end_watch(new_watch(call), false,
				  ha_sim_between(1, 5) * SIM_SECOND);
	release_call(call);
}

/*
 * Somebody on the way got no answer and asks once more.  The sender hears only
 * what came of the second time.
 */
static bool
is_repeated(Call *call)
{
	const SimNetwork *network = &ha_world.nodes[call->node].network;

	if (call->repeated || call->request.kind == HA_DCS_RANGE ||
		!ha_sim_chance(network->duplicate))
		return false;
	ha_sim_sometimes(SIM_DUPLICATED);
	call->repeated = true;
	return true;
}

/*
 * A request that can't get through now is lost, or waits somewhere on its way
 * and gets through later, whether anybody still waits for it or not.
 */
static void
arrive(int node, int64_t attempts, void *pointer)
{
	Call	   *call = pointer;
	const SimNetwork *network = &ha_world.nodes[node].network;
	HaAnswer	answer;

	if (ha_world.over)
	{
		release_call(call);
		return;
	}
	if (network->cut_out || (!is_up && !network->stale) ||
		(network->stale && call->request.kind != HA_DCS_KEEPALIVE))
	{
		if (attempts > 200 || (attempts == 0 && ha_sim_chance(500)))
			lose_call(call);
		else
			ha_sim_at(ha_world.now + 100 * SIM_MS, SIM_WORLD, node, arrive,
					  attempts + 1, call);
		return;
	}
	if (call->request.kind == HA_DCS_WATCH)
	{
		if (is_current(call))
			begin_watch(call);
		release_call(call);
		return;
	}
	start_answer(call, &answer);
	if (!network->stale)
	{
		carry_out(call, &answer);
		if (is_repeated(call))
		{
			ha_dcs_answer_free(&answer);
			ha_sim_at(ha_world.now + ha_sim_about(50 * SIM_MS), SIM_WORLD,
					  node, arrive, attempts, call);
			return;
		}
	}
	else if (!ask_stale_member(call, &answer))
	{
		lose_call(call);
		return;
	}
	if (call->settled && answer.kind == HA_DCS_TXN && answer.succeeded)
		ha_sim_sometimes(SIM_LATE_LANDING);
	answer_call(call, &answer);
}

static bool
receives(int node)
{
	return ha_world.nodes[node].server.receiver.connection != 0;
}

static bool
acknowledges(int node)
{
	return ha_sim_clock(node) < ha_world.nodes[node].server.deadline;
}

/* The store is believed to say again that it may lead by promises. */
static bool
has_announced(int node)
{
	return ha_world.nodes[node].worker.lease.asking.announced;
}

/* Whether this is the one that is to be held. */
static bool
take_order(bool *order, bool is_it)
{
	bool		taken = *order && is_it;

	if (taken)
		*order = false;
	return taken;
}

/*
 * The worst that a network can do to a transaction: let its sender wait in
 * vain, and deliver it at a moment when it still succeeds.  Mere delays seldom
 * find that moment.
 */
static bool
hold_call(Call *call)
{
	SimNetwork *network = &ha_world.nodes[call->node].network;
	const HaTxn *txn = &call->request.txn;
	bool		writes_leader = false;
	bool		writes_sync = false;
	bool		lists = false;
	bool		votes = false;
	bool		releases = false;
	bool		acquires = false;
	bool		denies = false;

	if (call->request.kind != HA_DCS_TXN)
		return false;
	for (int i = 0; i < txn->nsuccess; i++)
	{
		writes_leader |= strcmp(txn->success[i].key, "leader") == 0;
		writes_sync |= strcmp(txn->success[i].key, "sync") == 0;
		lists |= strcmp(txn->success[i].key, "sync") == 0 &&
			txn->success[i].value != NULL &&
			strstr(txn->success[i].value, "\"sync_standby\":\"") != NULL;
		votes |= strncmp(txn->success[i].key, "pg_ha/votes/", 12) == 0 &&
			txn->success[i].value != NULL &&
			strstr(txn->success[i].value, "\"withdrawn\":true") == NULL;
		releases |= txn->success[i].kind == HA_OP_DELETE &&
			strcmp(txn->success[i].key, "leader") == 0;
		denies |= strcmp(txn->success[i].key, "pg_ha/heartbeat") == 0 &&
			txn->success[i].value != NULL &&
			strstr(txn->success[i].value, "\"failsafe\":true") == NULL;
	}
	for (int i = 0; i < txn->ncompares; i++)
		acquires = acquires || (txn->compares[i].target == HA_CREATE_REVISION &&
								strcmp(txn->compares[i].key, "leader") == 0);
	if (take_order(&network->hold_vote, votes))
		call->harmful = receives;
	else if (take_order(&network->hold_release, releases))
		call->harmful = acknowledges;
	else if (take_order(&network->hold_denial, denies))
		call->harmful = has_announced;
	else if (!take_order(&network->hold_acquire, acquires && writes_leader) &&
			 !take_order(&network->hold_sync, lists) &&
			 !(network->malicious &&
			   ha_sim_chance(writes_leader || writes_sync ? 500 : 10)))
		return false;
	ha_sim_say(call->node, "... a transaction is held back");
	call->next_held = held;
	held = call;
	return true;
}

static bool
would_succeed(const Call *call)
{
	const HaTxn *txn = &call->request.txn;

	for (int i = 0; i < txn->ncompares; i++)
	{
		if (!compare_holds(&txn->compares[i]))
			return false;
	}
	for (int i = 0; i < txn->nsuccess; i++)
	{
		if (txn->success[i].lease != 0 &&
			find_lease(txn->success[i].lease) == NULL)
			return false;
	}
	return true;
}

/* Deliver what was held back, now that something has changed. */
static void
let_go(void)
{
	Call	  **link = &held;

	while (*link != NULL)
	{
		Call	   *call = *link;

		if (!ha_world.healing &&
			!(call->settled && would_succeed(call) && ha_sim_chance(500) &&
			  (call->harmful == NULL || call->harmful(call->node))))
		{
			link = &call->next_held;
			continue;
		}
		*link = call->next_held;
		if (would_succeed(call))
		{
			ha_sim_sometimes(SIM_HELD_BACK);
			ha_sim_say(call->node, "... and delivered now");
		}
		ha_sim_at(ha_world.now, SIM_WORLD, call->node, arrive, 0, call);
	}
}

void
ha_store_send(int node, SimClient client, HaRequest *request)
{
	Call	   *call = calloc(1, sizeof(Call));
	int64_t		travel = travel_time(node);

	if (call == NULL)
		abort();
	if (request->kind == HA_DCS_TXN && !ha_world.healing &&
		ha_sim_chance(ha_world.shape.stragglers))
		travel += ha_sim_about(ha_world.shape.ttl * SIM_MS / 2);
	call->request = *request;
	call->node = node;
	call->client = client;
	call->life = ha_world.nodes[node].lives[scopes[client]];
	call->sent_at = ha_sim_clock(node);
	call->references = 1;
	if (request->kind != HA_DCS_WATCH)
	{
		call->references = 2;
		ha_sim_at(ha_sim_world_time(node, call->sent_at + request->timeout),
				  SIM_WORLD, node, time_out, 0, call);
	}
	if (ha_sim_chance(ha_world.nodes[node].network.drop))
		lose_call(call);
	else if (!hold_call(call))
		ha_sim_at(ha_world.now + travel, SIM_WORLD, node, arrive, 0, call);
}

/*-------------------------------------------------------------------------
 * From outside
 *-------------------------------------------------------------------------
 */

void
ha_store_put(const char *key, const char *value)
{
	revision++;
	change_key(key_index(key), value, 0);
	end_revision();
}

int64_t
ha_store_grant(int64_t ttl)
{
	return grant_lease(ttl, -1);
}

void
ha_store_put_leased(const char *key, const char *value, int64_t lease)
{
	revision++;
	change_key(key_index(key), value, lease);
	end_revision();
}

/* What a read would show now. */
const HaView *
ha_store_view(void)
{
	HaConfig	none = {0};
	HaAnswer	answer = {0};

	if (view.revision == revision)
		return &view;
	answer.status = HA_DCS_OK;
	answer.revision = revision;
	read_all(&answer);
	ha_view_parse(&answer, &none, &view);
	ha_dcs_answer_free(&answer);
	return &view;
}

bool
ha_store_is_up(void)
{
	return is_up;
}

bool
ha_store_is_full(void)
{
	return is_full;
}

/* A new leader of the store may give every lease its whole time again. */
void
ha_store_set_up(bool up, bool reset_leases)
{
	is_up = up;
	if (!up)
		return;
	raft_term++;
	for (int i = 0; i < nleases && reset_leases; i++)
	{
		if (leases[i].alive)
			renew_lease(&leases[i]);
	}
	if (reset_leases && keys[key_index("leader")].value != NULL)
		ha_sim_sometimes(SIM_TTL_RESET);
	if (keys[key_index("leader")].value == NULL &&
		keys[key_index("pg_ha/term")].value != NULL)
		ha_sim_sometimes(SIM_STORE_ELECTION);
}

void
ha_store_set_full(bool full)
{
	is_full = full;
}

void
ha_store_compact(void)
{
	compacted = revision;
}

void
ha_store_revoke_leader(void)
{
	const Key  *leader = &keys[key_index("leader")];

	if (leader->value == NULL || find_lease(leader->lease) == NULL)
		return;
	ha_sim_sometimes(SIM_EARLY_REVOKE);
	end_lease(leader->lease);
}

void
ha_store_delete_leader(void)
{
	if (keys[key_index("leader")].value == NULL)
		return;
	ha_sim_sometimes(SIM_EARLY_REVOKE);
	revision++;
	change_key(key_index("leader"), NULL, 0);
	end_revision();
}

/* By somebody's hand (ttl 0: under no lease), if nobody has it. */
void
ha_store_put_leader(const char *name, int64_t ttl)
{
	if (keys[key_index("leader")].value != NULL || is_full)
		return;
	revision++;
	change_key(key_index("leader"), name, ttl > 0 ? grant_lease(ttl, -1) : 0);
	end_revision();
}

/* A key goes on standing there when its lease is over. */
void
ha_store_pin(const char *key)
{
	int			index = key_index(key);
	char	   *value;

	if (keys[index].value == NULL || keys[index].lease == 0)
		return;
	value = copy_string(keys[index].value);
	ha_store_put(key, value);
	free(value);
}

void
ha_store_begin(void)
{
	actor = -1;
	nkeys = nchanges = nleases = nwatches = 0;
	held = NULL;
	revision = 1;
	compacted = 0;
	raft_term = 1;
	view.revision = 0;
	is_up = true;
	is_full = false;
}

void
ha_store_end(void)
{
	while (held != NULL)
	{
		Call	   *call = held;

		held = call->next_held;
		release_call(call);
	}
	for (int i = 0; i < nkeys; i++)
		free(keys[i].value);
	for (int i = 0; i < nchanges; i++)
		free(changes[i].value);
	nkeys = nchanges = 0;
}
