/*-------------------------------------------------------------------------
 *
 * fence.c
 *	  The gate in every backend: no acknowledgement once the lease is over.
 *
 * The worker keeps one number in shared memory, the time until which this server
 * is proven to lead.  Every process that commits compares it with the clock by
 * itself.  No signal, no watchdog and no living worker is needed for that: if
 * everything else is frozen or dead, time passes all the same.
 *
 * There are three checks, since none is enough alone:
 *
 * 1. At the start of a statement that writes.  Only a courtesy: it refuses early
 *	  what would be refused anyway, before work is done and WAL is written.
 *
 * 2. Before commit and before PREPARE.  Here the transaction can still be
 *	  aborted cleanly, so here we wait for a lease that is merely unproven.
 *
 * 3. After the commit has been flushed and synchronous standbys have been waited
 *	  for, which may have taken any time.  The transaction is committed; raising an
 *	  error would be a PANIC.  What can still be withheld is the acknowledgement:
 *	  the client's connection is shut down, so it learns that it does not know.
 *	  The same check withholds the acknowledgement of a commit that was to be
 *	  confirmed by standbys and was not, because somebody cancelled the wait.
 *
 * A process that freezes between the third check and the send may still
 * acknowledge late.  With synchronous replication such a commit is on the new
 * primary too; without it, that is the one exception to the promise.
 *
 * The way of dropping the connection, "die at the next chance and never talk to
 * the client again", is what syncrep.c does for a backend that is told to
 * terminate while it waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "libpq/auth.h"
#include "libpq/libpq.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "control.h"
#include "fence.h"
#include "pg_ha.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;
static ClientAuthentication_hook_type prev_client_authentication = NULL;

/*
 * What pre-commit found, for the check after the commit: by then the
 * transaction's state is no longer to be asked.
 */
static struct
{
	bool		writes;			/* something is to be acknowledged */
	bool		unconfirmed;	/* need not be confirmed by standbys: nothing
								 * was written, or a superuser asked not to
								 * wait */
}			pending;

/* A COMMIT PREPARED runs: its own transaction has no xid, yet it commits. */
static bool in_commit_prepared = false;
static bool finished_unconfirmed;	/* ... by a superuser who would not wait */

int64
ha_fence_deadline(void)
{
	return (int64) pg_atomic_read_u64(&ha_shared->deadline);
}

void
ha_fence_set_deadline(int64 deadline)
{
	bool		opened = deadline > ha_fence_deadline();

	pg_atomic_write_u64(&ha_shared->deadline, (uint64) deadline);
	if (opened)
		ConditionVariableBroadcast(&ha_shared->gate_cv);
}

void
ha_fence_show(void)
{
	if (pg_atomic_exchange_u32(&ha_shared->shows, 1) == 0)
		ConditionVariableBroadcast(&ha_shared->gate_cv);
}

bool
ha_fence_shows(void)
{
	return pg_atomic_read_u32(&ha_shared->shows) != 0;
}

static bool
gate_is_open(void)
{
	return ha_now() < ha_fence_deadline();
}

/*-------------------------------------------------------------------------
 * Commits are held back for a hand-over
 *
 * That is a wait before the gate's check and nothing else: what comes after it is
 * checked against the deadline as always, so it can't turn into an acknowledgement
 * that is too late.  It ends by itself, as the worker sets a time that is at most
 * a second ahead, each time anew; when the worker is dead or frozen, a commit is
 * soon a commit like any other, which the gate lets pass or doesn't.
 *
 * A commit that is past the wait says so, to let the worker wait for its end.  The
 * two look at each other's mark after having set their own, so at least one of
 * them sees the other.
 *-------------------------------------------------------------------------
 */

void
ha_fence_hold(int64 until)
{
	pg_atomic_write_u64(&ha_shared->held_until, (uint64) until);
	pg_memory_barrier();
	if (until == 0)
		ConditionVariableBroadcast(&ha_shared->gate_cv);
}

bool
ha_fence_is_drained(void)
{
	for (int i = 0; i < ha_shared->nprocs; i++)
	{
		if (*(volatile bool *) &ha_shared->procs[i].committing)
			return false;
	}
	return true;
}

/* On the way of every commit: this costs no clock unless a hand-over goes on. */
static bool
is_held(void)
{
	int64		until = (int64) pg_atomic_read_u64(&ha_shared->held_until);

	return until != 0 && ha_now() < until;
}

static void
wait_while_held(void)
{
	if (!is_held())
		return;
	ConditionVariablePrepareToSleep(&ha_shared->gate_cv);
	while (is_held())
		(void) ConditionVariableTimedSleep(&ha_shared->gate_cv, 100,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

static void
set_committing(bool committing)
{
	if (MyProc != NULL && ha_proc_number() < ha_shared->nprocs)
		*(volatile bool *) &ha_shared->procs[ha_proc_number()].committing =
			committing;
}

/*
 * Does the fence concern this process now?  A standby refuses writes by itself,
 * and a single-user server has nobody to acknowledge to.
 */
static bool
is_fenced_here(void)
{
	return IsUnderPostmaster && ha_shared != NULL &&
		ha_fence_level != HA_FENCE_OFF && !RecoveryInProgress();
}

/* Is what this server has to show to be kept from its clients for now? */
static bool
must_not_show(void)
{
	return IsUnderPostmaster && ha_shared != NULL && !ha_fence_shows() &&
		ha_fence_level != HA_FENCE_OFF && SyncRepStandbyNames != NULL &&
		SyncRepStandbyNames[0] != '\0' && !RecoveryInProgress();
}

static void
refuse_to_show(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("member \"%s\" has recovered commits that its synchronous standbys may not have",
					ha_member_name),
			 errhint("Retry; reading resumes when they have confirmed them.")));
}

static void
refuse(void)
{
	char		leader[HA_NAME_SIZE];
	char		host[HA_HOST_SIZE];
	int			port;

	(void) pg_atomic_fetch_add_u64(&ha_shared->refused, 1);
	SpinLockAcquire(&ha_shared->mutex);
	memcpy(leader, ha_shared->leader, sizeof(leader));
	memcpy(host, ha_shared->leader_host, sizeof(host));
	port = ha_shared->leader_port;
	SpinLockRelease(&ha_shared->mutex);

	if (leader[0] != '\0' && strcmp(leader, ha_member_name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("member \"%s\" does not lead cluster \"%s\"",
						ha_member_name, ha_scope),
				 errhint("The leader is \"%s\" at %s:%d; connect there and retry the transaction.",
						 leader, host, port)));
	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("member \"%s\" is not proven to lead cluster \"%s\"",
					ha_member_name, ha_scope),
			 errhint("Retry the transaction; writing resumes when the leadership is confirmed.")));
}

/*
 * Sleep until a condition holds, for pg_ha.fence_wait at most.  Whoever makes it
 * hold wakes gate_cv.
 */
static bool
wait_for(bool (*holds) (void))
{
	int64		give_up = ha_now() + ha_fence_wait;
	int64		left = ha_fence_wait;

	if (holds())
		return true;
	ConditionVariablePrepareToSleep(&ha_shared->gate_cv);
	while (!holds() && left > 0)
	{
		(void) ConditionVariableTimedSleep(&ha_shared->gate_cv, left,
										   PG_WAIT_EXTENSION);
		left = give_up - ha_now();
	}
	ConditionVariableCancelSleep();
	return holds();
}

/*
 * Any reopening of the gate will do: a server that lost its leadership to another
 * never opens its gate again before it was restarted.
 */
static void
wait_for_gate(void)
{
	wait_while_held();
	if (!wait_for(gate_is_open))
		refuse();
}

/* The same, and from here on it is a commit that the worker may wait for. */
static void
begin_commit(void)
{
	for (;;)
	{
		wait_for_gate();
		set_committing(true);
		pg_memory_barrier();
		if (!is_held())
			return;
		set_committing(false);
	}
}

static void
end_commit(void)
{
	if (ha_shared != NULL && IsUnderPostmaster)
		set_committing(false);
}

static void
wait_to_show(void)
{
	if (must_not_show() && !wait_for(ha_fence_shows))
		refuse_to_show();
}

/* One field of an ErrorResponse; returns its length. */
static int
put_field(char *packet, char type, const char *value)
{
	size_t		size = strlen(value) + 1;

	packet[0] = type;
	memcpy(packet + 1, value, size);
	return (int) size + 1;
}

/*
 * Leave the client without an acknowledgement.  Runs with interrupts held and
 * locks not yet released: must neither throw nor block.
 */
static void
withhold_acknowledgement(const char *message)
{
	(void) pg_atomic_fetch_add_u64(&ha_shared->withheld, 1);
	if (MyProcPort != NULL && whereToSendOutput == DestRemote)
	{
		char		packet[256];
		int			length = 0;

		/* what elog.c sends, by hand: it would be a PANIC to ereport here */
		length += put_field(packet + length, PG_DIAG_SEVERITY, "FATAL");
		length += put_field(packet + length, PG_DIAG_SEVERITY_NONLOCALIZED,
							"FATAL");
		length += put_field(packet + length, PG_DIAG_SQLSTATE, "08007");
		length += put_field(packet + length, PG_DIAG_MESSAGE_PRIMARY, message);
		packet[length++] = '\0';
		pq_putmessage_noblock('E', packet, length);
		(void) pq_flush_if_writable();
		(void) shutdown(MyProcPort->sock, SHUT_RDWR);
	}
	ProcDiePending = true;
	InterruptPending = true;
}

static bool
is_confirmed(XLogRecPtr end)
{
	/* an aligned 8-byte read; only ever rises while names are in force */
	return end <= *(volatile XLogRecPtr *)
		&WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
}

static void
check_after_commit(XLogRecPtr end)
{
	/* NOTIFY takes its xid so late that only this check sees it */
	bool		writes = pending.writes || (is_fenced_here() &&
											TransactionIdIsValid(GetTopTransactionIdIfAny()));

	pending.writes = false;
	if (!writes)
		return;
	if (!gate_is_open())
		withhold_acknowledgement("the lease ended before the commit could be acknowledged");
	else if (!pending.unconfirmed &&
			 pg_atomic_read_u32(&ha_shared->sync_required) != 0 &&
			 !is_confirmed(end))
		withhold_acknowledgement("the commit was not confirmed by the synchronous standbys");
}

/*
 * With synchronous replication on, an ordinary user can't choose to be
 * acknowledged earlier; a superuser can, knowingly.
 */
static void
raise_synchronous_commit(void)
{
	if (pg_atomic_read_u32(&ha_shared->sync_required) == 0 ||
		synchronous_commit >= SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		return;
	if (superuser())
		pending.unconfirmed = true;
	else
		(void) set_config_option("synchronous_commit", "on",
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

static void
check_before_commit(void)
{
	pending.writes = false;
	pending.unconfirmed = true;
	if (!is_fenced_here())
		return;
	if (!in_commit_prepared &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;

	/*
	 * COMMIT PREPARED has committed by now, it was checked at its start; here
	 * an error would say that it failed.
	 */
	if (!in_commit_prepared)
	{
		begin_commit();

		/*
		 * A transaction that has an xid but wrote no WAL commits without
		 * waiting for anybody, and there is nothing that a failover could
		 * lose.
		 */
		pending.unconfirmed = (XactLastRecEnd == InvalidXLogRecPtr);
		raise_synchronous_commit();
	}
	else
		pending.unconfirmed = finished_unconfirmed;
	pending.writes = true;
}

static void
fence_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			check_before_commit();
			break;
		case XACT_EVENT_COMMIT:
			in_commit_prepared = false;
			check_after_commit(XactLastCommitEnd);
			end_commit();
			break;
		case XACT_EVENT_PREPARE:

			/*
			 * The end of the record isn't kept anywhere for us; its start is.
			 */
			check_after_commit(ProcLastRecPtr + 1);
			end_commit();
			break;
		case XACT_EVENT_ABORT:
			in_commit_prepared = false;
			pending.writes = false;
			end_commit();
			break;
		default:
			break;
	}
}

static bool
query_writes(const PlannedStmt *stmt)
{
	return stmt->commandType != CMD_SELECT || stmt->hasModifyingCTE ||
		stmt->rowMarks != NIL;
}

static void
fence_executor_start(QueryDesc *query_desc, int eflags)
{
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && !IsParallelWorker() &&
		ha_shared != NULL && ha_fence_level != HA_FENCE_OFF)
	{
		wait_to_show();
		if (ha_fence_level == HA_FENCE_ALL)
		{
			/* reads under the lease: a standby has none */
			if (IsUnderPostmaster)
				wait_for_gate();
		}
		else if (query_writes(query_desc->plannedstmt) && is_fenced_here())
			wait_for_gate();
	}

	if (prev_executor_start)
		prev_executor_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
}

static bool
is_finish_prepared(Node *stmt)
{
	TransactionStmtKind kind;

	if (!IsA(stmt, TransactionStmt))
		return false;
	kind = ((TransactionStmt *) stmt)->kind;
	return kind == TRANS_STMT_COMMIT_PREPARED ||
		kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/*
 * NOTIFY takes its xid after the check before commit, VACUUM and its like commit
 * on their own, and finishing a prepared transaction commits outside of any.
 */
static bool
utility_writes(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_NotifyStmt:
		case T_VacuumStmt:
		case T_ReindexStmt:
		case T_ClusterStmt:
			return true;
		case T_PrepareStmt:
			return false;		/* writes nothing until it is executed */
		default:
			return is_finish_prepared(stmt) ||
				GetCommandLogLevel(stmt) <= LOGSTMT_MOD;
	}
}

static void
fence_process_utility(PlannedStmt *pstmt, const char *query_string,
					  bool read_only_tree, ProcessUtilityContext context,
					  ParamListInfo params, QueryEnvironment *query_env,
					  DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;

	if (IsA(stmt, CopyStmt) && !((CopyStmt *) stmt)->is_from)
	{
		/* a table is copied out without the executor */
		wait_to_show();
		if (ha_fence_level == HA_FENCE_ALL && IsUnderPostmaster &&
			ha_shared != NULL)
			wait_for_gate();
	}
	if (is_fenced_here() && utility_writes(stmt))
	{
		wait_for_gate();
		if (is_finish_prepared(stmt))
		{
			begin_commit();
			pending.unconfirmed = false;
			raise_synchronous_commit();
			finished_unconfirmed = pending.unconfirmed;
			in_commit_prepared = true;
		}
	}

	if (prev_process_utility)
		prev_process_utility(pstmt, query_string, read_only_tree, context,
							 params, query_env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, query_env, dest, qc);
}

/*
 * A new backend knows the managed file as its postmaster had read it when it
 * forked.  Say so, since no assign hook runs in it before the next reload.
 */
static void
fence_client_authentication(Port *port, int status)
{
	if (prev_client_authentication)
		prev_client_authentication(port, status);
	if (ha_shared != NULL && MyProc != NULL &&
		ha_proc_number() < ha_shared->nprocs)
	{
		HaProcEpoch *entry = &ha_shared->procs[ha_proc_number()];

		entry->epoch = ha_conf_epoch;
		entry->backend_type = MyBackendType;
		entry->committing = false;
		entry->pid = MyProcPid;
	}
}

void
ha_fence_install(void)
{
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = fence_executor_start;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = fence_process_utility;
	prev_client_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = fence_client_authentication;
	RegisterXactCallback(fence_xact_callback, NULL);
}
