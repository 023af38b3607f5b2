/*-------------------------------------------------------------------------
 *
 * plain_server.c
 *	  A server that runs without pg_ha: what it says of itself.
 *
 * It is found by the pid file of its data directory, and asked over its Unix
 * socket, as the user who runs pg_ha_boot; PGUSER may name another superuser.  That
 * it is the right one is told by the data directory that it names.
 *
 * The session logs none of its statements, and a commit of it waits for no standby.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "pqexpbuffer.h"

#include "../control.h"
#include "plain_server.h"
#include "postmaster.h"

static const char session_options[] =
"-c log_statement=none -c log_min_duration_statement=-1"
" -c log_min_error_statement=panic -c log_duration=off"
" -c track_activities=off -c pg_stat_statements.track_utility=off"
" -c pgaudit.log=none -c synchronous_commit=local -c search_path="
" -c statement_timeout=60000 -c client_min_messages=warning";

static bool
read_pid_file(const HaNode *node, HaPidFile lines)
{
	if (ha_postmaster_pid_file(node, lines) >= LOCK_FILE_LINE_LISTEN_ADDR &&
		ha_process_start_time(atoi(lines[LOCK_FILE_LINE_PID])) != 0)
		return true;
	pg_log_error("no server runs in data directory \"%s\"", node->data_dir);
	pg_log_error_hint("Start it as you did until now: what runs is what is adopted.");
	return false;
}

static bool
connect_to(HaPlainServer *server, HaPidFile lines)
{
	const char *host = lines[LOCK_FILE_LINE_SOCKET_DIR][0] != '\0' ?
	lines[LOCK_FILE_LINE_SOCKET_DIR] : lines[LOCK_FILE_LINE_LISTEN_ADDR];
	const char *const keywords[] = {
		"host", "port", "dbname", "options", "application_name",
		"connect_timeout", NULL
	};
	const char *const values[] = {
		host, lines[LOCK_FILE_LINE_PORT], "postgres", session_options,
		"pg_ha_boot adopt", "10", NULL
	};

	server->pid = atoi(lines[LOCK_FILE_LINE_PID]);
	server->conn = PQconnectdbParams(keywords, values, 0);
	if (PQstatus(server->conn) == CONNECTION_OK)
		return true;
	pg_log_error("could not connect to the server: %s",
				 PQerrorMessage(server->conn));
	pg_log_error_hint("Its superuser must be able to log in over the socket in \"%s\"; PGUSER names it if it is not called like you.",
					  host);
	return false;
}

PGresult *
ha_plain_server_query(HaPlainServer *server, const char *sql)
{
	PGresult   *result = PQexec(server->conn, sql);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	pg_log_error("the server does not answer a question: %s",
				 PQerrorMessage(server->conn));
	PQclear(result);
	return NULL;
}

bool
ha_plain_server_do(HaPlainServer *server, const char *sql)
{
	PGresult   *result = PQexec(server->conn, sql);
	bool		ok = PQresultStatus(result) == PGRES_COMMAND_OK ||
	PQresultStatus(result) == PGRES_TUPLES_OK;

	if (!ok)
		pg_log_error("the server refuses: %s",
					 PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) != NULL ?
					 PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) :
					 PQerrorMessage(server->conn));
	PQclear(result);
	return ok;
}

static const char *
value_of(PGresult *result, const char *column)
{
	return PQgetvalue(result, 0, PQfnumber(result, column));
}

static bool
is_true(PGresult *result, const char *column)
{
	return strcmp(value_of(result, column), "t") == 0;
}

/* A socket directory may well be shared by several servers. */
static bool
check_identity(const HaNode *node, PGresult *result)
{
	struct stat ours;
	struct stat theirs;

	if (stat(node->data_dir, &ours) != 0 ||
		stat(value_of(result, "data_directory"), &theirs) != 0 ||
		ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
	{
		pg_log_error("the server that answers has data directory \"%s\", not \"%s\"",
					 value_of(result, "data_directory"), node->data_dir);
		pg_log_error_hint("Check -D.");
		return false;
	}
	if (atoi(value_of(result, "server_version_num")) / 10000 !=
		PG_VERSION_NUM / 10000)
	{
		pg_log_error("the server is of another version than pg_ha_boot was built for, %s",
					 PG_MAJORVERSION);
		return false;
	}
	if (!is_true(result, "is_superuser"))
	{
		pg_log_error("role \"%s\" is no superuser", value_of(result, "me"));
		pg_log_error_hint("Say in PGUSER who is.");
		return false;
	}
	return true;
}

bool
ha_plain_server_ask(const HaNode *node, HaPlainServer *server)
{
	HaPidFile	lines;
	PGresult   *result;
	bool		ok;

	memset(server, 0, sizeof(*server));
	if (!read_pid_file(node, lines) || !connect_to(server, lines))
		return false;
	result = ha_plain_server_query(server,
								   "SELECT current_user AS me, rolsuper AS is_superuser,"
								   " current_setting('data_directory') AS data_directory,"
								   " current_setting('server_version_num') AS server_version_num,"
								   " current_setting('config_file') AS config_file,"
								   " current_setting('hba_file') AS hba_file,"
								   " current_setting('port') AS port,"
								   " current_setting('listen_addresses') AS listen_addresses,"
								   " current_setting('wal_level') AS wal_level,"
								   " current_setting('max_wal_senders') AS max_wal_senders,"
								   " current_setting('primary_slot_name') AS slot,"
								   " current_setting('synchronous_standby_names') AS sync_names,"
								   " current_setting('data_checksums')::bool OR"
								   " current_setting('wal_log_hints')::bool AS rewindable,"
								   " pg_catalog.pg_is_in_recovery() AS standby,"
								   " current_setting('pg_ha.scope', true) IS NOT NULL AS managed,"
								   " system_identifier AS sysid"
								   " FROM pg_catalog.pg_control_system(), pg_catalog.pg_roles"
								   " WHERE rolname = current_user");
	if (result == NULL)
		return false;
	ok = check_identity(node, result);
	server->sysid = strtoull(value_of(result, "sysid"), NULL, 10);
	server->standby = is_true(result, "standby");
	server->managed = is_true(result, "managed");
	server->rewindable = is_true(result, "rewindable");
	server->port = atoi(value_of(result, "port"));
	server->max_wal_senders = atoi(value_of(result, "max_wal_senders"));
	strlcpy(server->listen_addresses, value_of(result, "listen_addresses"),
			sizeof(server->listen_addresses));
	strlcpy(server->config_file, value_of(result, "config_file"),
			sizeof(server->config_file));
	strlcpy(server->hba_file, value_of(result, "hba_file"),
			sizeof(server->hba_file));
	strlcpy(server->wal_level, value_of(result, "wal_level"),
			sizeof(server->wal_level));
	strlcpy(server->sync_names, value_of(result, "sync_names"),
			sizeof(server->sync_names));
	strlcpy(server->slot, value_of(result, "slot"), sizeof(server->slot));
	PQclear(result);
	return ok && (!server->standby || ha_plain_server_look(server));
}

bool
ha_plain_server_look(HaPlainServer *server)
{
	PGresult   *result = ha_plain_server_query(server,
											   "SELECT received_tli, flushed_lsn - '0/0' AS lsn,"
											   " status = 'streaming' AS streaming"
											   " FROM pg_catalog.pg_stat_wal_receiver");

	if (result == NULL)
		return false;
	server->streaming = PQntuples(result) == 1 && is_true(result, "streaming");
	if (server->streaming)
	{
		server->received_timeline = strtoul(value_of(result, "received_tli"),
											NULL, 10);
		server->received_lsn = strtoull(value_of(result, "lsn"), NULL, 10);
	}
	PQclear(result);
	return true;
}

void
ha_plain_server_leave(HaPlainServer *server)
{
	PQfinish(server->conn);
	server->conn = NULL;
}
