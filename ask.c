/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  What SQL sessions have the worker write into the store.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "ask.h"
#include "control.h"
#include "pg_ha.h"
#include "versions.h"

/* Tags of these transactions, out of the range of lease.c's. */
#define ASK_TAG_BIT		0x80000000U

/* ms that a session waits for the worker's answer */
#define ANSWER_TIMEOUT	30000

/*-------------------------------------------------------------------------
 * Sessions: building
 *-------------------------------------------------------------------------
 */

void
ha_ask_guard_leader(HaAsk *ask, const HaView *view)
{
	strlcpy(ask->leader, view->leader.name, sizeof(ask->leader));
}

void
ha_ask_guard_term(HaAsk *ask, const HaView *view)
{
	ask->term_revision = view->term.mod_revision;
}

static HaAskWrite *
add_write(HaAsk *ask, const char *key, int64_t revision)
{
	HaAskWrite *write;

	if (ask->nwrites == HA_ASK_MAX_WRITES)
		elog(ERROR, "too many keys to write");
	write = &ask->writes[ask->nwrites++];
	strlcpy(write->key, key, sizeof(write->key));
	write->revision = revision;
	return write;
}

void
ha_ask_put(HaAsk *ask, const char *key, int64_t revision, const char *json)
{
	HaAskWrite *write = add_write(ask, key, revision);
	size_t		length = json != NULL ? strlen(json) + 1 : 0;

	if (length == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	if (length > sizeof(ask->values) - ask->nvalues)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the value of key \"%s\" is too long: %zu bytes",
						key, length - 1),
				 errdetail("At most %zu bytes are stored.",
						   sizeof(ask->values) - 1)));
	memcpy(ask->values + ask->nvalues, json, length);
	write->length = (uint32_t) length;
	ask->nvalues += (uint32_t) length;
}

void
ha_ask_remove(HaAsk *ask, const char *key, int64_t revision)
{
	add_write(ask, key, revision)->remove = true;
}

/*-------------------------------------------------------------------------
 * Sessions: handing over
 *-------------------------------------------------------------------------
 */

/* Nothing here can raise an error while the slot is ours to fill. */
static uint32
fill_slot(HaAskSlot *slot, const HaAsk *ask)
{
	uint32		number = 0;

	SpinLockAcquire(&ha_shared->mutex);
	if (slot->number == slot->answered && slot->filling_pid == 0)
	{
		slot->filling_pid = MyProcPid;
		number = slot->number + 1;
	}
	SpinLockRelease(&ha_shared->mutex);
	if (number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another request is in progress on this member")));
	memcpy(&slot->ask, ask, offsetof(HaAsk, values) + ask->nvalues);

	SpinLockAcquire(&ha_shared->mutex);
	slot->filling_pid = 0;
	slot->number = number;
	SpinLockRelease(&ha_shared->mutex);
	if (ha_shared->worker_latch != NULL)
		SetLatch(ha_shared->worker_latch);
	return number;
}

static bool
wait_for_answer(HaAskSlot *slot, uint32 number, HaAskOutcome *outcome,
				char *message, size_t size)
{
	int64		give_up = ha_now() + ANSWER_TIMEOUT;
	bool		answered = false;

	ConditionVariablePrepareToSleep(&ha_shared->ask_cv);
	while (!answered && ha_now() < give_up)
	{
		SpinLockAcquire(&ha_shared->mutex);
		answered = slot->answered == number;
		*outcome = slot->outcome;
		memcpy(message, slot->message, size);
		SpinLockRelease(&ha_shared->mutex);
		if (!answered)
			(void) ConditionVariableTimedSleep(&ha_shared->ask_cv, 1000,
											   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return answered;
}

bool
ha_ask_try(const HaAsk *ask)
{
	HaAskSlot  *slot = &ha_shared->ask;
	HaAskOutcome outcome = HA_ASK_FAILED;
	char		message[sizeof(slot->message)];
	uint32		number = fill_slot(slot, ask);

	if (!wait_for_answer(slot, number, &outcome, message, sizeof(message)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the pg_ha worker does not answer")));
	if (outcome == HA_ASK_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not carry out the request: %s", message)));
	return outcome == HA_ASK_DONE;
}

void
ha_ask_store(const HaAsk *ask)
{
	if (!ha_ask_try(ask))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not carry out the request: %s",
						"something changed meanwhile, try again")));
}

/*-------------------------------------------------------------------------
 * The worker
 *-------------------------------------------------------------------------
 */

static uint32 taken;			/* the number of the write in progress */
static uint32 sent_tag;			/* of its transaction; 0 = none is under way */
static uint32 last_tag;

bool
ha_ask_is_mine(uint32_t tag)
{
	return (tag & ASK_TAG_BIT) != 0;
}

static void
answer(HaAskOutcome outcome, const char *message)
{
	HaAskSlot  *slot = &ha_shared->ask;

	SpinLockAcquire(&ha_shared->mutex);
	slot->answered = taken;
	slot->outcome = outcome;
	strlcpy(slot->message, message, sizeof(slot->message));
	SpinLockRelease(&ha_shared->mutex);
	sent_tag = 0;
	ConditionVariableBroadcast(&ha_shared->ask_cv);
}

/* What a worker before this one had in hand, nobody knows the outcome of. */
void
ha_ask_begin(void)
{
	HaAskSlot  *slot = &ha_shared->ask;
	bool		open;

	SpinLockAcquire(&ha_shared->mutex);
	taken = slot->number;
	open = slot->answered != taken;
	SpinLockRelease(&ha_shared->mutex);
	if (open)
		answer(HA_ASK_FAILED,
			   "the worker was restarted; the request may still take effect");
}

static void
build_txn(HaTxn *txn, const HaAsk *ask)
{
	const char *value = ask->values;

	if (ask->leader[0] != '\0')
		ha_txn_compare_value(txn, "leader", ask->leader);
	if (ask->term_revision != 0)
		ha_txn_compare(txn, HA_MOD_REVISION, "pg_ha/term",
					   ask->term_revision);
	for (int i = 0; i < ask->nwrites; i++)
	{
		const HaAskWrite *write = &ask->writes[i];

		ha_txn_compare(txn, HA_MOD_REVISION, write->key, write->revision);
		if (write->remove)
			ha_txn_delete(txn, write->key);
		else
			ha_txn_put(txn, write->key, strdup(value), 0);
		value += write->length;
	}
}

bool
ha_ask_next(HaRequest *request, const HaView *view, int64_t timeout)
{
	char		why[HA_WHY_SIZE];
	HaAskSlot  *slot = &ha_shared->ask;
	uint32		number;

	SpinLockAcquire(&ha_shared->mutex);
	number = slot->number;
	SpinLockRelease(&ha_shared->mutex);
	if (number == taken)
		return false;
	taken = number;
	if (ha_is_too_old(view))
	{
		ha_too_old_why(view, why, sizeof(why));
		answer(HA_ASK_FAILED, why);
		return false;
	}
	sent_tag = last_tag = ASK_TAG_BIT | ((last_tag + 1) & ~ASK_TAG_BIT);
	memset(request, 0, sizeof(*request));
	request->kind = HA_DCS_TXN;
	request->tag = sent_tag;
	request->timeout = timeout;
	build_txn(&request->txn, &slot->ask);
	return true;
}

void
ha_ask_unsent(void)
{
	answer(HA_ASK_FAILED, "too many requests are in flight");
}

void
ha_ask_answered(const HaAnswer *got)
{
	if (got->tag != sent_tag)
		return;
	if (got->status == HA_DCS_UNKNOWN)
		answer(HA_ASK_FAILED, "the store did not answer; the request may still take effect");
	else if (got->status == HA_DCS_REFUSED)
		answer(HA_ASK_FAILED, got->error);
	else if (!got->succeeded)
		answer(HA_ASK_CHANGED, "");
	else
		answer(HA_ASK_DONE, "");
}
