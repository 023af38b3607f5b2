/*-------------------------------------------------------------------------
 *
 * remote_source.c
 *	  Asking the source of a standby cluster, from a child process.
 *
 * Its servers are no members: no key tells which of them leads, nor what their
 * history is.  So they are asked, as a standby would ask.  One may die without a word;
 * then the alarm of the child ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "common/logging.h"

#include "../standby_cluster_json.h"
#include "remote_source.h"

#define APPLICATION_NAME	"pg_ha source"

/* One server has so long to answer, in seconds. */
#define QUESTION_S		10

static PGconn *
connect_to(const HaNode *node, const HaSource *source)
{
	alarm(QUESTION_S);
	return ha_source_connect(node, source, true, APPLICATION_NAME, "3");
}

/* One row of at least so many columns, or NULL. */
static PGresult *
ask(PGconn *conn, const char *question, int columns)
{
	PGresult   *result = PQstatus(conn) == CONNECTION_OK ?
	PQexec(conn, question) : NULL;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
		PQnfields(result) >= columns)
		return result;
	PQclear(result);
	return NULL;
}

typedef struct Answer
{
	uint64_t	sysid;
	uint32_t	timeline;
	bool		primary;
} Answer;

static bool
identify(PGconn *conn, Answer *answer)
{
	PGresult   *system = ask(conn, "IDENTIFY_SYSTEM", 2);
	PGresult   *standby = ask(conn, "SHOW in_hot_standby", 1);
	bool		ok = system != NULL && standby != NULL;

	if (ok)
	{
		answer->sysid = strtoull(PQgetvalue(system, 0, 0), NULL, 10);
		answer->timeline = (uint32_t) strtoul(PQgetvalue(system, 0, 1), NULL, 10);
		answer->primary = strcmp(PQgetvalue(standby, 0, 0), "on") != 0;
	}
	PQclear(system);
	PQclear(standby);
	return ok;
}

static bool
ask_server(const HaNode *node, const HaSource *server, Answer *answer)
{
	PGconn	   *conn = connect_to(node, server);
	bool		ok = identify(conn, answer);

	alarm(0);
	if (!ok)
		pg_log_warning("source %s:%d could not be asked: %s", server->host,
					   server->port, PQerrorMessage(conn));
	PQfinish(conn);
	return ok;
}

bool
ha_remote_choose(const HaNode *node, const HaStandbyCluster *source,
				 uint64_t sysid, HaSource *chosen, uint32_t *timeline,
				 bool *is_primary)
{
	HaSourceServer servers[HA_MAX_SOURCES];
	int			n = ha_standby_cluster_servers(source, servers);
	bool		found = false;

	for (int i = 0; i < n; i++)
	{
		HaSource	server = {.port = servers[i].port};
		Answer		answer;

		strlcpy(server.name, HA_REMOTE_SOURCE, sizeof(server.name));
		strlcpy(server.host, servers[i].host, sizeof(server.host));
		if (!ha_source_is_usable(&server) ||
			!ask_server(node, &server, &answer))
			continue;
		if (sysid != 0 && answer.sysid != sysid)
		{
			pg_log_error("source %s:%d is a server of another cluster: system identifier " UINT64_FORMAT ", this one has " UINT64_FORMAT,
						 server.host, server.port, answer.sysid, sysid);
			continue;
		}
		if (!found || answer.primary)
		{
			*chosen = server;
			*timeline = answer.timeline;
			*is_primary = answer.primary;
			found = true;
		}
		if (answer.primary)
			break;
	}
	if (!found)
		pg_log_error("none of the servers of source %s can be copied",
					 source->host);
	return found;
}

/* Where a timeline ends in that history file's text; 0 = it is not in it. */
static uint64_t
end_of_timeline(const char *history, uint32_t timeline)
{
	while (history != NULL && *history != '\0')
	{
		unsigned	id;
		unsigned	high;
		unsigned	low;

		if (sscanf(history, "%u %X/%X", &id, &high, &low) == 3 &&
			id == timeline)
			return ((uint64_t) high << 32) | low;
		history = strchr(history, '\n');
		if (history != NULL)
			history++;
	}
	return 0;
}

/*
 * Nothing that is not answered is a divergence, and a standby's answer is none: when
 * the source's primary has died it may be far behind what is here.
 */
bool
ha_remote_has_diverged(const HaNode *node, const HaStandbyCluster *source,
					   uint64_t sysid, uint32_t timeline, uint64_t lsn)
{
	HaSource	server;
	uint32_t	its_timeline;
	bool		is_primary;
	char		question[64];
	PGconn	   *conn;
	PGresult   *result;
	bool		diverged = false;

	if (!ha_remote_choose(node, source, sysid, &server, &its_timeline,
						  &is_primary) ||
		its_timeline == timeline)
		return false;
	if (!is_primary)
	{
		pg_log_warning("the source at %s:%d is a standby on timeline %u, so it is not asked whether this server has diverged",
					   server.host, server.port, its_timeline);
		return false;
	}
	if (its_timeline == 1)
		return true;			/* it has no history, and not this timeline */
	snprintf(question, sizeof(question), "TIMELINE_HISTORY %u", its_timeline);
	conn = connect_to(node, &server);
	result = ask(conn, question, 2);
	alarm(0);
	if (result != NULL)
		diverged = end_of_timeline(PQgetvalue(result, 0, 1), timeline) < lsn;
	PQclear(result);
	PQfinish(conn);
	return diverged;
}
