/*-------------------------------------------------------------------------
 *
 * source_probe.c
 *	  Asking a server of another cluster what it is, from a session.
 *
 * By libpq.  But for looking up a host's name, which libpq does in one go and nobody
 * can interrupt, each wait is on the socket, the latch and
 * the time that is left, so that a server that is frozen, or a network that swallows
 * everything, costs a session a few seconds and nobody else anything.  The connection
 * is one for replication, since the replication role is let in for that wherever a
 * standby is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq-fe.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "control.h"
#include "pg_ha.h"
#include "source_probe.h"

/* For one server, in ms. */
#define PATIENCE	4000

/* false: the time is over. */
static bool
wait_for(PGconn *conn, int events, int64 give_up_at)
{
	int64		left = give_up_at - ha_now();

	if (left <= 0)
		return false;
	(void) WaitLatchOrSocket(MyLatch, events | WL_LATCH_SET | WL_TIMEOUT |
							 WL_EXIT_ON_PM_DEATH, PQsocket(conn), left,
							 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

static bool
has_connected(PGconn *conn, int64 give_up_at)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK)
	{
		int			events = state == PGRES_POLLING_READING ?
		WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;

		if (!wait_for(conn, events, give_up_at))
			return false;
		state = PQconnectPoll(conn);
		if (state == PGRES_POLLING_FAILED)
			return false;
	}
	return PQstatus(conn) == CONNECTION_OK;
}

/* One row of at least so many columns; NULL if there was none in time. */
static PGresult *
ask(PGconn *conn, const char *command, int columns, int64 give_up_at)
{
	PGresult   *result = NULL;
	PGresult   *next;

	if (PQsendQuery(conn, command) != 1)
		return NULL;
	for (;;)
	{
		while (PQisBusy(conn))
		{
			if (!wait_for(conn, WL_SOCKET_READABLE, give_up_at) ||
				PQconsumeInput(conn) != 1)
			{
				PQclear(result);
				return NULL;
			}
		}
		next = PQgetResult(conn);
		if (next == NULL)
			break;
		PQclear(result);
		result = next;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK &&
		PQntuples(result) == 1 && PQnfields(result) >= columns)
		return result;
	PQclear(result);
	return NULL;
}

/* Who is it, and is it in recovery? */
static void
ask_facts(PGconn *conn, HaSourceFacts *facts, int64 give_up_at)
{
	PGresult   *system = ask(conn, "IDENTIFY_SYSTEM", 2, give_up_at);
	PGresult   *standby = system == NULL ? NULL :
	ask(conn, "SHOW in_hot_standby", 1, give_up_at);

	if (system != NULL && standby != NULL)
	{
		facts->answered = true;
		facts->sysid = strtoull(PQgetvalue(system, 0, 0), NULL, 10);
		facts->timeline = (uint32) strtoul(PQgetvalue(system, 0, 1), NULL,
										   10);
		facts->primary = strcmp(PQgetvalue(standby, 0, 0), "on") != 0;
	}
	PQclear(system);
	PQclear(standby);
}

static PGconn *
begin(const HaSourceServer *server)
{
	char		port[16];
	const char *keywords[] = {
		"host", "port", "user", "dbname", "passfile", "sslcert", "sslkey",
		"sslrootcert", "sslmode", "application_name", "replication", NULL
	};
	const char *values[] = {
		server->host, port, ha_replication_user, "replication",
		ha_replication_passfile, ha_replication_sslcert,
		ha_replication_sslkey, ha_replication_sslrootcert,
		ha_replication_sslrootcert[0] != '\0' ? "verify-ca" : "prefer",
		"pg_ha source", "true", NULL
	};

	snprintf(port, sizeof(port), "%d", (int) server->port);
	return PQconnectStartParams(keywords, values, 0);
}

void
ha_source_probe(const HaSourceServer *server, HaSourceFacts *facts)
{
	int64		give_up_at = ha_now() + PATIENCE;
	PGconn	   *conn = begin(server);

	memset(facts, 0, sizeof(*facts));
	if (conn == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	PG_TRY();
	{
		if (has_connected(conn, give_up_at))
			ask_facts(conn, facts, give_up_at);
		if (!facts->answered)
			strlcpy(facts->error, PQerrorMessage(conn)[0] != '\0' ?
					PQerrorMessage(conn) : "no answer in time",
					sizeof(facts->error));
	}
	PG_FINALLY();
	{
		PQfinish(conn);
	}
	PG_END_TRY();
	facts->error[strcspn(facts->error, "\n")] = '\0';
}
