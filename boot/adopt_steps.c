/*-------------------------------------------------------------------------
 *
 * adopt_steps.c
 *	  What "pg_ha_boot adopt" does to a server that runs without pg_ha.
 *
 * Each step may be done again: whoever is interrupted starts over.  None of them
 * restarts, deletes or renames anything, or changes what is not pg_ha's: a role or
 * slot that is there stays as it is.  With --dry-run they are only told.
 *
 * A standby can't miss WAL while it is restarted, since its own slot was made and has
 * what it needs before its settings are changed; the slot that it used until then is
 * never dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "fe_utils/string_utils.h"

#include "../control.h"
#include "../names.h"
#include "address.h"
#include "adopt.h"
#include "datadir.h"
#include "files.h"
#include "leader.h"
#include "role.h"
#include "source.h"

/* For a standby to come beyond its new slot's position. */
#define SLOT_WAIT			60000
#define LOGIN_WAIT			3000
#define POLL_US				100000L

/* Tell it; true: it is to be done. */
bool
ha_adopt_tell(HaAdoption *a, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("%2d. %s%s\n", ++a->steps, a->dry_run ? "would " : "", text);
	fflush(stdout);
	return !a->dry_run;
}

static bool
link_into_data_dir(HaAdoption *a, const char *directory, const char *name)
{
	char		target[MAXPGPATH];
	char		link[MAXPGPATH];
	struct stat st;

	if (!ha_path_in(target, directory, name) ||
		!ha_path_in(link, a->node.data_dir, name))
		return false;
	if (stat(target, &st) != 0 || lstat(link, &st) == 0)
		return true;
	if (!ha_adopt_tell(a, "link \"%s\" to \"%s\", since pg_ha starts the server with what is in its data directory",
					   link, target))
		return true;
	if (symlink(target, link) == 0)
		return true;
	pg_log_error("could not create symbolic link \"%s\": %m", link);
	return false;
}

/* Debian keeps the configuration elsewhere. */
static bool
link_configuration(HaAdoption *a)
{
	char		directory[MAXPGPATH];
	struct stat here;
	struct stat there;

	strlcpy(directory, a->server.config_file, sizeof(directory));
	get_parent_directory(directory);
	if (stat(directory, &there) == 0 && stat(a->node.data_dir, &here) == 0 &&
		here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		return true;
	if (strcmp(last_dir_separator(a->server.config_file) + 1,
			   "postgresql.conf") != 0)
	{
		pg_log_error("the configuration file is \"%s\"",
					 a->server.config_file);
		pg_log_error_hint("Call it postgresql.conf.");
		return false;
	}
	return link_into_data_dir(a, directory, "postgresql.conf") &&
		link_into_data_dir(a, directory, "conf.d");
}

/* One value of one row, as a bool; false also if that is not known. */
static bool
ask_bool(HaAdoption *a, const char *fmt, const char *what)
{
	PQExpBufferData sql;
	PGresult   *result;
	bool		answer;

	initPQExpBuffer(&sql);
	appendPQExpBuffer(&sql, fmt, what);
	result = ha_plain_server_query(&a->server, sql.data);
	answer = result != NULL && PQntuples(result) == 1 &&
		strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	PQclear(result);
	termPQExpBuffer(&sql);
	return answer;
}

/* The name is checked to need no quotes but these. */
static bool
create_role(HaAdoption *a)
{
	PQExpBufferData sql;
	char	   *verifier;
	bool		ok;

	if (!ha_adopt_tell(a, "create role \"%s\" for replication, %s",
					   a->node.replication_user,
					   a->node.replication_passfile[0] != '\0' ?
					   "with the password of the passfile" :
					   "without a password"))
		return true;
	if (!ha_role_verifier(&a->node, &verifier))
		return false;
	initPQExpBuffer(&sql);
	appendPQExpBuffer(&sql, "CREATE ROLE \"%s\" LOGIN REPLICATION",
					  a->node.replication_user);
	if (verifier != NULL)
		appendPQExpBuffer(&sql, " PASSWORD '%s'", verifier);
	ok = ha_plain_server_do(&a->server, sql.data);
	termPQExpBuffer(&sql);
	free(verifier);
	return ok;
}

static bool
grant_rewind(HaAdoption *a)
{
	const char *role = a->node.replication_user;
	PQExpBufferData sql;
	bool		ok;

	if (!ha_adopt_tell(a, "let role \"%s\" read what pg_rewind reads", role))
		return true;
	initPQExpBuffer(&sql);
	for (int i = 0; i < HA_REWIND_FUNCTIONS; i++)
		appendPQExpBuffer(&sql, "GRANT EXECUTE ON FUNCTION %s TO \"%s\";",
						  ha_rewind_functions[i], role);
	ok = ha_plain_server_do(&a->server, sql.data);
	termPQExpBuffer(&sql);
	return ok;
}

static bool
has_role(HaAdoption *a)
{
	return ask_bool(a, "SELECT count(*) = 1 FROM pg_catalog.pg_roles WHERE rolname = '%s'",
					a->node.replication_user);
}

/* The role, on the primary; standbys get it from there. */
static bool
provide_role(HaAdoption *a)
{
	const char *role = a->node.replication_user;
	PQExpBufferData sql;
	bool		granted;

	if (!has_role(a))
		return create_role(a) && grant_rewind(a);
	if (!ask_bool(a, "SELECT rolcanlogin AND (rolreplication OR rolsuper)"
				  " FROM pg_catalog.pg_roles WHERE rolname = '%s'", role))
	{
		pg_log_error("role \"%s\" is there, but may not log in or not replicate",
					 role);
		pg_log_error_hint("Run ALTER ROLE \"%s\" LOGIN REPLICATION, or name another one in pg_ha.replication_user.",
						  role);
		return false;
	}
	initPQExpBuffer(&sql);
	appendPQExpBufferStr(&sql, "SELECT true");
	for (int i = 0; i < HA_REWIND_FUNCTIONS; i++)
		appendPQExpBuffer(&sql, " AND pg_catalog.has_function_privilege('%s', '%s', 'EXECUTE')",
						  role, ha_rewind_functions[i]);
	granted = ask_bool(a, "%s", sql.data);
	termPQExpBuffer(&sql);
	return granted || grant_rewind(a);
}

/* Keep what was there before us, once. */
static bool
back_up_file(const char *path, const char *content, mode_t mode)
{
	char		backup[MAXPGPATH];
	struct stat st;

	snprintf(backup, sizeof(backup), "%s.before_adopt", path);
	return lstat(backup, &st) == 0 ||
		ha_replace_file(backup, content, mode, true);
}

static bool
extend_hba(HaAdoption *a, const char *path)
{
	PQExpBufferData content;
	struct stat st;
	bool		ok = stat(path, &st) == 0;

	if (!ok)
		pg_log_error("could not stat file \"%s\": %m", path);
	initPQExpBuffer(&content);
	ok = ok && ha_read_file(path, &content) &&
		back_up_file(path, content.data, st.st_mode & 0777);
	appendPQExpBufferChar(&content, '\n');
	ha_role_hba_lines(&a->node, &content);
	ok = ok && !PQExpBufferDataBroken(content) &&
		ha_replace_file(path, content.data, st.st_mode & 0777, true);
	termPQExpBuffer(&content);
	return ok && ha_plain_server_do(&a->server,
									"SELECT pg_catalog.pg_reload_conf()");
}

/* Whoever has written lines for the role has thought about it. */
static bool
provide_hba(HaAdoption *a)
{
	char	   *real;
	bool		ok;

	if (ask_bool(a, "SELECT count(*) > 0 FROM pg_catalog.pg_hba_file_rules"
				 " WHERE '%s' = ANY (user_name)", a->node.replication_user))
		return true;
	if (!ha_adopt_tell(a, "append two lines for role \"%s\" to \"%s\" (a copy of what is there stays beside it) and reload",
					   a->node.replication_user, a->server.hba_file))
		return true;
	real = realpath(a->server.hba_file, NULL);
	if (real == NULL)
	{
		pg_log_error("could not find file \"%s\": %m", a->server.hba_file);
		return false;
	}
	ok = extend_hba(a, real);
	free(real);
	return ok;
}

/*
 * As another member would; NULL: reported.  The server may be about to read its hba
 * file, so a refusal counts only after a while.
 */
static PGconn *
log_in(HaAdoption *a, const char *host, int port)
{
	int64_t		until = ha_now() + LOGIN_WAIT;
	HaSource	source = {.port = port};
	PGconn	   *conn;

	strlcpy(source.host, host, sizeof(source.host));
	if (!ha_source_is_usable(&source))
		return NULL;
	conn = ha_source_connect(&a->node, &source, true, "pg_ha_boot adopt", "10");
	while (PQstatus(conn) != CONNECTION_OK && ha_now() < until)
	{
		pg_usleep(POLL_US);
		PQreset(conn);
	}
	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	pg_log_error("cannot log in to %s:%d as \"%s\": %s", host, port,
				 a->node.replication_user, PQerrorMessage(conn));
	if (a->node.replication_passfile[0] != '\0')
		pg_log_error_hint("Members do this to stream and clone. See the password in \"%s\" and the hba file of that server.",
						  a->node.replication_passfile);
	else
		pg_log_error_hint("Members do this to stream and clone. See the certificate \"%s\" and the hba file of that server.",
						  a->node.replication_sslcert);
	PQfinish(conn);
	return NULL;
}

/*
 * Is the server there the one that it should be?  As a replication connection,
 * since every cluster lets its replication role ask that.
 */
static bool
check_sysid(HaAdoption *a, PGconn *conn)
{
	PGresult   *result = PQexec(conn, "IDENTIFY_SYSTEM");
	uint64_t	sysid = 0;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		sysid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	if (sysid == a->server.sysid)
		return true;
	pg_log_error("the server at %s:%s has system identifier " UINT64_FORMAT ", this one has " UINT64_FORMAT,
				 PQhost(conn), PQport(conn), sysid, a->server.sysid);
	return false;
}

/*
 * Where the others will look for this node, if it listens there already, and if its
 * replay, which may be paused, has come to the role.
 */
static bool
try_login(HaAdoption *a)
{
	PGconn	   *conn;
	bool		ok;

	if (ha_adopt_is_local_only(a->server.listen_addresses) &&
		!ha_host_is_loopback(a->node.connect_host))
		return true;
	if (a->server.standby && !has_role(a))
		return true;
	if (!ha_adopt_tell(a, "log in to %s:%d as \"%s\", as other members will do",
					   a->node.connect_host, a->node.port, a->node.replication_user))
		return true;
	conn = log_in(a, a->node.connect_host, a->node.port);
	ok = conn != NULL && check_sysid(a, conn);
	PQfinish(conn);
	return ok;
}

/* The position from which the slot keeps WAL; 0 = no such slot, or reported. */
static uint64_t
read_slot(PGconn *conn, const char *slot)
{
	char		command[HA_NAME_SIZE + 64];
	PGresult   *result;
	uint64_t	lsn = 0;
	uint32_t	high;
	uint32_t	low;

	snprintf(command, sizeof(command), "READ_REPLICATION_SLOT %s", slot);
	result = PQexec(conn, command);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
		sscanf(PQgetvalue(result, 0, 1), "%X/%X", &high, &low) == 2)
		lsn = ((uint64_t) high << 32) | low;
	PQclear(result);
	return lsn;
}

/* Until what this standby still needs is kept by the slot. */
static bool
wait_for_slot(HaAdoption *a, const char *slot, uint64_t lsn)
{
	int64_t		until = ha_now() + SLOT_WAIT;

	while (ha_plain_server_look(&a->server))
	{
		if (a->server.received_lsn >= lsn)
			return true;
		if (ha_now() > until)
		{
			pg_log_error("this standby has not come to where slot \"%s\" begins, %X/%X",
						 slot, (unsigned) (lsn >> 32), (unsigned) lsn);
			pg_log_error_hint("Adopt it when it has caught up.");
			return false;
		}
		pg_usleep(POLL_US);
	}
	return false;
}

static bool
create_slot(HaAdoption *a, PGconn *conn, const char *slot)
{
	char		command[HA_NAME_SIZE + 64];
	PGresult   *result;
	uint64_t	lsn = read_slot(conn, slot);

	if (lsn == 0)
	{
		snprintf(command, sizeof(command),
				 "CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL", slot);
		result = PQexec(conn, command);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			pg_log_error("could not create replication slot \"%s\": %s", slot,
						 PQerrorMessage(conn));
		PQclear(result);
		lsn = read_slot(conn, slot);
	}
	return lsn != 0 && wait_for_slot(a, slot, lsn);
}

static bool
provide_slot(HaAdoption *a)
{
	const HaMember *leader = ha_leader_source(&a->view, a->node.name);
	char		slot[HA_NAME_SIZE];
	PGconn	   *conn;
	bool		ok;

	ha_slot_name(a->node.name, slot);
	if (!ha_adopt_tell(a, "create replication slot \"%s\" at leader \"%s\", and wait until this standby needs nothing older",
					   slot, leader->name))
		return true;
	conn = log_in(a, leader->host, leader->port);
	ok = conn != NULL && check_sysid(a, conn) && create_slot(a, conn, slot);
	PQfinish(conn);
	if (ok && a->server.slot[0] != '\0' && strcmp(a->server.slot, slot) != 0)
		printf("    slot \"%s\", which it has used until now, stays; drop it when this member streams\n",
			   a->server.slot);
	return ok;
}

/* Not reloaded: it is for the next start. */
static bool
reset_settings(HaAdoption *a)
{
	char	   *rest = a->managed_settings;
	char	   *name;

	while ((name = strsep(&rest, " ")) != NULL)
	{
		char		sql[256];

		if (name[0] == '\0')
			continue;
		if (!ha_adopt_tell(a, "take \"%s\" out of postgresql.auto.conf, since pg_ha sets it",
						   name))
			continue;
		snprintf(sql, sizeof(sql), "ALTER SYSTEM RESET %s",
				 fmtId(name));
		if (!ha_plain_server_do(&a->server, sql))
			return false;
	}
	return true;
}

bool
ha_adopt_steps(HaAdoption *a)
{
	return link_configuration(a) &&
		(a->server.standby || provide_role(a)) &&
		provide_hba(a) && try_login(a) &&
		(!a->server.standby || provide_slot(a)) &&
		reset_settings(a);
}
