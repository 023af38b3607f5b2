/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Asking the server of another member, from a child process.
 *
 * Connections show a name that is no member's: what they receive must never be taken
 * for a standby's confirmation.  One may die without a word; then the alarm of the
 * child ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "common/logging.h"
#include "fe_utils/string_utils.h"
#include "libpq-fe.h"

#include "../control.h"
#include "../names.h"
#include "source.h"

#define APPLICATION_NAME	"pg_ha clone"

/* How long a rewind waits for the source's checkpoint after promotion. */
#define TIMELINE_WAIT		60000

#define POLL_US				100000L

/* How long one question may take; beyond, the connection is dead. */
#define QUESTION_S			10

void
ha_source_of(const HaMember *member, HaSource *source)
{
	memset(source, 0, sizeof(*source));
	strlcpy(source->name, member->name, sizeof(source->name));
	strlcpy(source->host, member->host, sizeof(source->host));
	source->port = member->port;
}

bool
ha_source_is_usable(const HaSource *source)
{
	static const char allowed[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";
	const char *host = source->host;

	if (host[0] != '\0' && host[0] != '-' &&
		strspn(host, allowed) == strlen(host) &&
		source->port >= 1 && source->port <= 65535)
		return true;
	pg_log_error("member \"%s\" gives no usable address to copy from",
				 source->name);
	pg_log_error_hint("Look at the conn_url of its member key.");
	return false;
}

/* Servers that can be verified are. */
static const char *
ssl_mode(const HaNode *node)
{
	return node->replication_sslrootcert[0] != '\0' ? "verify-ca" : "prefer";
}

static bool
set_or_unset(const char *name, const char *value)
{
	return (value[0] != '\0' ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

void
ha_source_environment(const HaNode *node)
{
	static const char *const others[] = {
		"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
		"PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGTARGETSESSIONATTRS",
		"PGREQUIREPEER"
	};

	for (int i = 0; i < lengthof(others); i++)
		unsetenv(others[i]);

	if (!set_or_unset("PGPASSFILE", node->replication_passfile) ||
		!set_or_unset("PGSSLCERT", node->replication_sslcert) ||
		!set_or_unset("PGSSLKEY", node->replication_sslkey) ||
		!set_or_unset("PGSSLROOTCERT", node->replication_sslrootcert) ||
		!set_or_unset("PGSSLMODE", ssl_mode(node)) ||
		setenv("PGAPPNAME", APPLICATION_NAME, 1) != 0 ||
		setenv("PGCONNECT_TIMEOUT", "10", 1) != 0)
		_exit(1);
}

void
ha_source_conninfo(const HaNode *node, const HaSource *source,
				   PQExpBuffer conninfo)
{
	appendPQExpBufferStr(conninfo, "host=");
	appendConnStrVal(conninfo, source->host);
	appendPQExpBuffer(conninfo, " port=%d user=", source->port);
	appendConnStrVal(conninfo, node->replication_user);
	appendPQExpBufferStr(conninfo, " dbname=postgres " HA_SOURCE_KEEPALIVES);
}

PGconn *
ha_source_connect(const HaNode *node, const HaSource *source, bool replication,
				  const char *application_name, const char *timeout)
{
	char		port[16];
	const char *const keywords[] = {
		"host", "port", "user", "dbname", "passfile", "sslcert", "sslkey",
		"sslrootcert", "sslmode", "application_name", "connect_timeout",
		"replication", NULL
	};

	/* What is empty counts as not given. */
	const char *const values[] = {
		source->host, port, node->replication_user,
		replication ? "replication" : "postgres", node->replication_passfile,
		node->replication_sslcert, node->replication_sslkey,
		node->replication_sslrootcert, ssl_mode(node), application_name,
		timeout, replication ? "true" : "false", NULL
	};

	snprintf(port, sizeof(port), "%d", source->port);
	return PQconnectdbParams(keywords, values, 0);
}

static PGconn *
connect_to(const HaNode *node, const HaSource *source, bool replication)
{
	alarm(QUESTION_S);
	return ha_source_connect(node, source, replication, APPLICATION_NAME, "3");
}

/* Ask one question; NULL if there was no row for an answer. */
static PGresult *
ask(PGconn *conn, const char *question)
{
	PGresult   *result = PQstatus(conn) == CONNECTION_OK ?
	PQexec(conn, question) : NULL;

	alarm(0);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		return result;
	PQclear(result);
	return NULL;
}

static uint64_t
parse_lsn(const char *text)
{
	uint32		high;
	uint32		low;

	if (sscanf(text, "%X/%X", &high, &low) != 2)
		return 0;
	return ((uint64_t) high << 32) | low;
}

/*
 * The timeline of its latest checkpoint, and whose cluster it is; zeros if it could
 * not be asked.
 */
static void
ask_timeline(const HaNode *node, const HaSource *source, uint64_t *sysid,
			 uint32_t *timeline)
{
	PGconn	   *conn = connect_to(node, source, false);
	PGresult   *result = ask(conn,
							 "SELECT s.system_identifier, c.timeline_id"
							 " FROM pg_catalog.pg_control_system() AS s,"
							 " pg_catalog.pg_control_checkpoint() AS c");

	*sysid = 0;
	*timeline = 0;
	if (result != NULL)
	{
		*sysid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
		*timeline = strtoul(PQgetvalue(result, 0, 1), NULL, 10);
	}
	else
		pg_log_warning("could not ask %s:%d for its timeline: %s",
					   source->host, source->port, PQerrorMessage(conn));
	PQclear(result);
	PQfinish(conn);
}

/*
 * pg_rewind reads the source's control file, which tells of the promotion only
 * after the checkpoint that follows it: before, it would find nothing to do.
 */
bool
ha_source_wait_for_timeline(const HaNode *node, const HaSource *source,
							uint64_t sysid, uint32_t timeline)
{
	int64_t		give_up_at = ha_now() + TIMELINE_WAIT;
	uint64_t	its_sysid;
	uint32_t	its_timeline;

	for (;;)
	{
		ask_timeline(node, source, &its_sysid, &its_timeline);
		if (its_sysid != 0 && its_sysid != sysid)
		{
			pg_log_error("%s:%d is a server of another cluster", source->host,
						 source->port);
			pg_log_error_hint("Look at the conn_url of its member key.");
			return false;
		}
		if (its_timeline == timeline)
			return true;
		if (ha_now() >= give_up_at)
		{
			pg_log_error("%s:%d did not come to timeline %u within %d s, but is on %u",
						 source->host, source->port, timeline,
						 TIMELINE_WAIT / 1000, its_timeline);
			return false;
		}

		/* A server that does not answer is asked less often. */
		pg_usleep(POLL_US * (its_sysid != 0 ? 1 : 10));
	}
}

/* What our slot there holds WAL from; 0 = there is none that would. */
static uint64_t
ask_slot(const HaNode *node, const HaSource *leader)
{
	char		slot[HA_NAME_SIZE];
	char		question[HA_NAME_SIZE + 64];
	PGconn	   *conn = connect_to(node, leader, true);
	PGresult   *result;
	uint64_t	lsn = 0;

	ha_slot_name(node->name, slot);
	snprintf(question, sizeof(question), "READ_REPLICATION_SLOT \"%s\"", slot);
	result = ask(conn, question);

	/* slot_type, restart_lsn, restart_tli; nulls if there is no such slot */
	if (result != NULL && PQnfields(result) >= 2 &&
		!PQgetisnull(result, 0, 1))
		lsn = parse_lsn(PQgetvalue(result, 0, 1));
	PQclear(result);
	PQfinish(conn);
	return lsn;
}

bool
ha_source_wait_for_slot(const HaNode *node, const HaSource *leader,
						int64_t patience, uint64_t *lsn)
{
	int64_t		give_up_at = ha_now() + patience;

	while ((*lsn = ask_slot(node, leader)) == 0)
	{
		if (ha_now() >= give_up_at)
			return false;
		pg_usleep(POLL_US);
	}
	return true;
}

bool
ha_source_wait_for_replay(const HaNode *node, const HaSource *standby,
						  uint64_t lsn, int64_t patience)
{
	int64_t		give_up_at = ha_now() + patience;

	for (;;)
	{
		PGconn	   *conn = connect_to(node, standby, false);
		PGresult   *result = ask(conn,
								 "SELECT pg_catalog.pg_last_wal_replay_lsn()");
		uint64_t	replayed = 0;

		if (result != NULL)
			replayed = parse_lsn(PQgetvalue(result, 0, 0));
		PQclear(result);
		PQfinish(conn);
		if (replayed >= lsn)
			return true;
		if (ha_now() >= give_up_at)
			return false;
		pg_usleep(POLL_US);
	}
}

/*
 * Ask for it as a standby would, but without the slot, so that the real standby can
 * come at any time.  That the file is not there is an error with an SQLSTATE of its
 * own, which nothing else has that can happen between the two; it comes as the first
 * thing in the stream.
 */
bool
ha_source_lacks_wal(const HaNode *node, const HaSource *source,
					uint32_t timeline, uint64_t lsn)
{
	char		question[128];
	PGconn	   *conn = connect_to(node, source, true);
	PGresult   *result = NULL;
	char	   *data = NULL;
	const char *sqlstate;
	bool		gone;

	snprintf(question, sizeof(question),
			 "START_REPLICATION PHYSICAL %X/%X TIMELINE %u",
			 (uint32) (lsn >> 32), (uint32) lsn, timeline);
	if (PQstatus(conn) == CONNECTION_OK)
		result = PQexec(conn, question);
	if (PQresultStatus(result) == PGRES_COPY_BOTH &&
		PQgetCopyData(conn, &data, 0) < 0)
	{
		PQclear(result);
		result = PQgetResult(conn);
	}
	alarm(0);
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	gone = sqlstate != NULL && strcmp(sqlstate, "58P01") == 0;
	PQfreemem(data);
	PQclear(result);
	PQfinish(conn);
	return gone;
}
