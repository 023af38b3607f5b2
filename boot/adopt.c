/*-------------------------------------------------------------------------
 *
 * adopt.c
 *	  "pg_ha_boot adopt": prepare a server that runs without pg_ha to run with it.
 *
 * Everything is checked first, and all that is wrong is told at once.  Then come
 * the steps, each of which may be done again: whoever is interrupted starts over.
 * None of them restarts, deletes or renames anything, or changes what is not
 * pg_ha's: a role or slot that is there stays as it is.  With --dry-run they are
 * only told.
 *
 * What is left is one restart, of a kind: the plain server ends, and pg_ha_boot run
 * starts it.  found.c lets the primary go on as such.  A standby can't miss WAL
 * meanwhile, since its own slot was made and has what it needs before its settings
 * are changed; the slot that it used until then is never dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "fe_utils/string_utils.h"

#include "../cluster_json.h"
#include "../control.h"
#include "commands.h"
#include "datadir.h"
#include "files.h"
#include "leader.h"
#include "plain_server.h"
#include "prepare.h"
#include "programs.h"
#include "store.h"
#include "unit.h"

#define STORE_TIMEOUT		10000

/* For a standby to come beyond its new slot's position. */
#define SLOT_WAIT			60000
#define SLOT_POLL_US		100000L

enum
{
	OPTION_DRY_RUN = HA_OPTION_FIRST,
	OPTION_IGNORE_UNIT,
	OPTION_RESTART
};

static bool dry_run;
static bool ignore_unit;
static bool restart;

typedef struct Adoption
{
	HaNode		node;
	HaPlainServer server;
	HaView		view;
	char		managed_settings[1024]; /* of pg_ha in postgresql.auto.conf */
	int			code;			/* of the worst finding; 0 = none */
	int			steps;
} Adoption;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_DRY_RUN)
		dry_run = true;
	else if (value == OPTION_IGNORE_UNIT)
		ignore_unit = true;
	else
		restart = true;
	return true;
}

/*
 * Checks.
 */

/* A refusal for safety outweighs a fault to mend. */
static void
found(Adoption *a, int code)
{
	a->code = Max(a->code, code);
}

static void
check_unit(Adoption *a)
{
	char		unit[256];

	if (ignore_unit ||
		!ha_unit_find_enabled(a->node.data_dir, a->server.pid, unit,
							  sizeof(unit)))
		return;
	pg_log_error("E03 %s is enabled and would start this server behind pg_ha's back",
				 unit);
	pg_log_error_hint("Run \"systemctl disable %s\", or give --ignore-unit.",
					  unit);
	found(a, HA_EXIT_CONFIGURATION);
}

/* Is every one of them an address that only this host reaches? */
static bool
is_local_only(const char *listen_addresses)
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *address;

	strlcpy(list, listen_addresses, sizeof(list));
	while ((address = strsep(&rest, ", ")) != NULL)
	{
		if (address[0] != '\0' && !ha_host_is_loopback(address))
			return false;
	}
	return true;
}

static void
check_addresses(Adoption *a)
{
	const char *addresses = a->node.listen_addresses[0] != '\0' ?
	a->node.listen_addresses : a->server.listen_addresses;

	/* A loopback connect_address is for a cluster on one host. */
	if (is_local_only(addresses) && !ha_host_is_loopback(a->node.connect_host))
	{
		pg_log_error("E04 server listens on %s only; other members cannot connect",
					 addresses[0] != '\0' ? addresses : "no address");
		pg_log_error_hint("Set listen_addresses in the node file.");
		found(a, HA_EXIT_CONFIGURATION);
	}
	if (a->node.port != a->server.port)
	{
		pg_log_error("the server has port %d, and the node file says %d",
					 a->server.port, a->node.port);
		pg_log_error_hint("Set port, and the port of pg_ha.connect_address, in the node file as the server has it.");
		found(a, HA_EXIT_CONFIGURATION);
	}
}

/* What pg_ha.conf sets at the next start, if it is another value than now. */
static void
check_settings(Adoption *a)
{
	const HaPlainServer *server = &a->server;

	if (strcmp(server->wal_level, "minimal") == 0)
	{
		pg_log_error("E02 wal_level is \"minimal\"; set wal_level=replica and restart");
		pg_log_error_hint("No standby can follow what was written until now: make base backups after the restart.");
		found(a, HA_EXIT_CONFIGURATION);
	}
	if (!server->rewindable)
	{
		pg_log_warning("neither data checksums nor wal_log_hints is on: pg_ha turns wal_log_hints on");
		pg_log_warning_hint("What was written before can't be rewound: until every page has been written again, a node that diverges is cloned.");
	}
	if (!server->standby && server->max_wal_senders < HA_MIN_WAL_SENDERS)
	{
		pg_log_warning("max_wal_senders is raised from %d to %d",
					   server->max_wal_senders, HA_MIN_WAL_SENDERS);
		pg_log_warning_hint("A standby that has less pauses its replay, though not its receiving of WAL, until it is adopted too.");
	}
}

/* What ALTER SYSTEM has set outranks every file of ours. */
static void
check_auto_conf(Adoption *a)
{
	PGresult   *result = ha_plain_server_query(&a->server,
											   "SELECT name, setting FROM pg_catalog.pg_file_settings"
											   " WHERE sourcefile LIKE '%/postgresql.auto.conf'"
											   " ORDER BY seqno");

	if (result == NULL)
	{
		found(a, HA_EXIT_CONFIGURATION);
		return;
	}
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *name = PQgetvalue(result, i, 0);

		if (ha_prepare_is_managed(name))
		{
			strlcat(a->managed_settings, name, sizeof(a->managed_settings));
			strlcat(a->managed_settings, " ", sizeof(a->managed_settings));
		}
		else if (strcmp(name, "shared_preload_libraries") == 0)
		{
			pg_log_error("setting \"%s\" stands in postgresql.auto.conf, where it would keep pg_ha out",
						 name);
			pg_log_error_hint("Move %s = '%s' to postgresql.conf, then run ALTER SYSTEM RESET %s.",
							  name, PQgetvalue(result, i, 1), name);
			found(a, HA_EXIT_CONFIGURATION);
		}
	}
	PQclear(result);
}

/* Nobody who lives has our name. */
static void
check_name(Adoption *a)
{
	for (int i = 0; i < a->view.nmembers; i++)
	{
		const HaMember *member = &a->view.members[i];

		if (strcmp(member->name, a->node.name) != 0)
			continue;
		pg_log_error("P11 member name \"%s\" is already in use by %s:%d (alive)",
					 member->name, member->host, member->port);
		pg_log_error_hint("Give each node a pg_ha.name of its own.");
		found(a, HA_EXIT_REFUSED);
	}
}

static void
check_is_no_other_cluster(Adoption *a)
{
	if (a->view.sysid == 0 || a->view.sysid == a->server.sysid)
		return;
	pg_log_error("P12 data directory has system identifier " UINT64_FORMAT ", cluster \"%s\" has " UINT64_FORMAT,
				 a->server.sysid, a->node.scope, a->view.sysid);
	pg_log_error_hint("Check pg_ha.scope: another cluster has this name.");
	found(a, HA_EXIT_REFUSED);
}

static void
check_as_primary(Adoption *a)
{
	const HaView *view = &a->view;

	if (a->server.sync_names[0] != '\0' &&
		view->config.synchronous_mode == HA_SYNC_OFF)
	{
		pg_log_warning("commits wait for \"%s\" now, and for nobody when pg_ha sets synchronous_standby_names",
					   a->server.sync_names);
		pg_log_warning_hint("Set synchronous_mode in the cluster's configuration, before the restart.");
	}
	if (view->leader.present)
	{
		pg_log_error("this server is a primary, but cluster \"%s\" has leader \"%s\"",
					 a->node.scope, view->leader.name);
		pg_log_error_hint("Two primaries are two histories: only a standby of that leader can be adopted.");
		found(a, HA_EXIT_REFUSED);
	}
	else if (view->term.present || view->heartbeat.present)
	{
		pg_log_error("pg_ha has led cluster \"%s\" before, and this server is a primary that it does not know",
					 a->node.scope);
		pg_log_error_hint("Start the members of that cluster, or choose another pg_ha.scope.");
		found(a, HA_EXIT_REFUSED);
	}
}

static void
check_as_standby(Adoption *a)
{
	const HaView *view = &a->view;

	if (view->sysid == 0 || !view->leader.present)
	{
		pg_log_error("E01 this server is a standby and cluster \"%s\" has no leader yet; adopt the primary first",
					 a->node.scope);
		pg_log_error_hint("Nothing was changed here.  When the primary leads, adopt this one.");
		found(a, HA_EXIT_REFUSED);
		return;
	}
	if (ha_leader_source(view, a->node.name) == NULL)
	{
		pg_log_error("leader \"%s\" is not ready yet", view->leader.name);
		pg_log_error_hint("Try again in a moment.");
		found(a, HA_EXIT_TEMPORARY);
	}
	else if (!a->server.streaming)
	{
		pg_log_error("this standby does not stream");
		pg_log_error_hint("Let it follow leader \"%s\" first: its log tells why it does not.",
						  view->leader.name);
		found(a, HA_EXIT_REFUSED);
	}
	else if (a->server.received_timeline != view->term.timeline)
	{
		pg_log_error("this standby streams timeline %u, and leader \"%s\" is on timeline %u",
					 a->server.received_timeline, view->leader.name,
					 view->term.timeline);
		pg_log_error_hint("It must follow the leader before it is adopted.");
		found(a, HA_EXIT_REFUSED);
	}
}

/* false: it can't even be looked. */
static bool
look_at_store(Adoption *a)
{
	HaAnswer	keys;
	HaDcs	   *dcs = ha_store_open(&a->node);
	bool		ok;

	if (dcs == NULL)
		return false;
	ok = ha_store_look(dcs, STORE_TIMEOUT, &keys, &a->view);
	if (ok)
		ha_dcs_answer_free(&keys);
	ha_dcs_close(dcs);
	return ok;
}

static void
check_all(Adoption *a)
{
	char		password[1024];

	check_settings(a);
	check_unit(a);
	check_addresses(a);
	check_auto_conf(a);
	if (!ha_node_password(&a->node, password, sizeof(password)))
		found(a, HA_EXIT_CONFIGURATION);
	explicit_bzero(password, sizeof(password));
	if (!look_at_store(a))
	{
		found(a, HA_EXIT_TEMPORARY);
		return;
	}
	check_is_no_other_cluster(a);
	check_name(a);
	if (a->server.standby)
		check_as_standby(a);
	else
		check_as_primary(a);
}

/*
 * Steps.
 */

/* Tell it; true: it is to be done. */
static bool
step(Adoption *a, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("%2d. %s%s\n", ++a->steps, dry_run ? "would " : "", text);
	fflush(stdout);
	return !dry_run;
}

static bool
link_into_data_dir(Adoption *a, const char *directory, const char *name)
{
	char		target[MAXPGPATH];
	char		link[MAXPGPATH];
	struct stat st;

	if (!ha_path_in(target, directory, name) ||
		!ha_path_in(link, a->node.data_dir, name))
		return false;
	if (stat(target, &st) != 0 || lstat(link, &st) == 0)
		return true;
	if (!step(a, "link \"%s\" to \"%s\", since pg_ha starts the server with what is in its data directory",
			  link, target))
		return true;
	if (symlink(target, link) == 0)
		return true;
	pg_log_error("could not create symbolic link \"%s\": %m", link);
	return false;
}

/* Debian keeps the configuration elsewhere. */
static bool
link_configuration(Adoption *a)
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
ask_bool(Adoption *a, const char *fmt, const char *what)
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
create_role(Adoption *a)
{
	PQExpBufferData sql;
	char		password[1024];
	char	   *verifier = NULL;
	bool		ok;

	if (!step(a, "create role \"%s\" for replication, with the password of the passfile",
			  a->node.replication_user))
		return true;
	if (ha_node_password(&a->node, password, sizeof(password)))
		verifier = ha_role_verifier(password);
	explicit_bzero(password, sizeof(password));
	if (verifier == NULL)
		return false;
	initPQExpBuffer(&sql);
	appendPQExpBuffer(&sql, "CREATE ROLE \"%s\" LOGIN REPLICATION PASSWORD '%s'",
					  a->node.replication_user, verifier);
	ok = ha_plain_server_do(&a->server, sql.data);
	termPQExpBuffer(&sql);
	free(verifier);
	return ok;
}

static bool
grant_rewind(Adoption *a)
{
	const char *role = a->node.replication_user;
	PQExpBufferData sql;
	bool		ok;

	if (!step(a, "let role \"%s\" read what pg_rewind reads", role))
		return true;
	initPQExpBuffer(&sql);
	for (int i = 0; i < HA_REWIND_FUNCTIONS; i++)
		appendPQExpBuffer(&sql, "GRANT EXECUTE ON FUNCTION %s TO \"%s\";",
						  ha_rewind_functions[i], role);
	ok = ha_plain_server_do(&a->server, sql.data);
	termPQExpBuffer(&sql);
	return ok;
}

/* The role, on the primary; standbys get it from there. */
static bool
provide_role(Adoption *a)
{
	const char *role = a->node.replication_user;
	PQExpBufferData sql;
	bool		granted;

	if (!ask_bool(a, "SELECT count(*) = 1 FROM pg_catalog.pg_roles WHERE rolname = '%s'",
				  role))
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

	snprintf(backup, sizeof(backup), "%s.before_pg_ha", path);
	return lstat(backup, &st) == 0 ||
		ha_replace_file(backup, content, mode, true);
}

static bool
extend_hba(Adoption *a, const char *path)
{
	PQExpBufferData content;
	struct stat st;
	char		lines[512];
	bool		ok = stat(path, &st) == 0;

	if (!ok)
		pg_log_error("could not stat file \"%s\": %m", path);
	initPQExpBuffer(&content);
	ok = ok && ha_read_file(path, &content) &&
		back_up_file(path, content.data, st.st_mode & 0777);
	ha_hba_lines(&a->node, lines, sizeof(lines));
	appendPQExpBufferStr(&content, lines);
	ok = ok && !PQExpBufferDataBroken(content) &&
		ha_replace_file(path, content.data, st.st_mode & 0777, true);
	termPQExpBuffer(&content);
	return ok && ha_plain_server_do(&a->server,
									"SELECT pg_catalog.pg_reload_conf()");
}

/* Whoever has written lines for the role has thought about it. */
static bool
provide_hba(Adoption *a)
{
	char	   *real;
	bool		ok;

	if (ask_bool(a, "SELECT count(*) > 0 FROM pg_catalog.pg_hba_file_rules"
				 " WHERE '%s' = ANY (user_name)", a->node.replication_user))
		return true;
	if (!step(a, "append two lines for role \"%s\" to \"%s\" (a copy of what is there stays beside it) and reload",
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

/* As another member would; NULL: reported. */
static PGconn *
log_in(Adoption *a, const char *host, int port)
{
	char		port_text[16];
	const char *const keywords[] = {
		"host", "port", "user", "dbname", "passfile", "replication",
		"application_name", "connect_timeout", NULL
	};
	const char *const values[] = {
		host, port_text, a->node.replication_user, "postgres",
		a->node.replication_passfile, "true", "pg_ha_boot adopt", "10", NULL
	};
	PGconn	   *conn;

	if (!ha_source_is_sane(host, port))
		return NULL;
	snprintf(port_text, sizeof(port_text), "%d", port);
	conn = PQconnectdbParams(keywords, values, 0);
	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	pg_log_error("cannot log in to %s:%d as \"%s\": %s", host, port,
				 a->node.replication_user, PQerrorMessage(conn));
	pg_log_error_hint("Members do this to stream and clone. See the password in \"%s\" and the hba file of that server.",
					  a->node.replication_passfile);
	PQfinish(conn);
	return NULL;
}

/*
 * Is the server there the one that it should be?  As a replication connection,
 * since every cluster lets its replication role ask that.
 */
static bool
check_sysid(Adoption *a, PGconn *conn)
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

/* Where the others will look for this node, if it listens there already. */
static bool
try_login(Adoption *a)
{
	PGconn	   *conn;
	bool		ok;

	if (is_local_only(a->server.listen_addresses) &&
		!ha_host_is_loopback(a->node.connect_host))
		return true;
	if (!step(a, "log in to %s:%d as \"%s\", as other members will do",
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
wait_for_slot(Adoption *a, const char *slot, uint64_t lsn)
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
		pg_usleep(SLOT_POLL_US);
	}
	return false;
}

static bool
create_slot(Adoption *a, PGconn *conn, const char *slot)
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
provide_slot(Adoption *a)
{
	const HaMember *leader = ha_leader_source(&a->view, a->node.name);
	char		slot[HA_NAME_SIZE];
	PGconn	   *conn;
	bool		ok;

	ha_slot_name(a->node.name, slot);
	if (!step(a, "create replication slot \"%s\" at leader \"%s\", and wait until this standby needs nothing older",
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
reset_settings(Adoption *a)
{
	char	   *rest = a->managed_settings;
	char	   *name;

	while ((name = strsep(&rest, " ")) != NULL)
	{
		char		sql[256];

		if (name[0] == '\0')
			continue;
		if (!step(a, "take \"%s\" out of postgresql.auto.conf, since pg_ha sets it",
				  name))
			continue;
		snprintf(sql, sizeof(sql), "ALTER SYSTEM RESET %s",
				 fmtId(name));
		if (!ha_plain_server_do(&a->server, sql))
			return false;
	}
	return true;
}

static bool
take_steps(Adoption *a)
{
	return link_configuration(a) &&
		(a->server.standby || provide_role(a)) &&
		provide_hba(a) && try_login(a) &&
		(!a->server.standby || provide_slot(a)) &&
		reset_settings(a);
}

static int
finish(Adoption *a, const HaInvocation *invocation)
{
	const char *stop[] = {
		"pg_ctl", "stop", "-D", a->node.data_dir, "-m", "fast", "-w", "-t",
		"3600", "-s", NULL
	};

	if (!step(a, "stop the server, and start it with \"pg_ha_boot run\": this one restart is needed, since pg_ha is loaded at the start%s",
			  restart || dry_run ? "" : ". Do it soon"))
		return HA_EXIT_OK;
	if (!restart)
	{
		printf("    pg_ctl stop -D %s -m fast  (or stop its unit)\n"
			   "    pg_ha_boot run -D %s -c %s  (or start its unit)\n",
			   a->node.data_dir, a->node.data_dir, a->node.path);
		return HA_EXIT_OK;
	}
	if (!ha_program_run(&a->node, stop))
		return HA_EXIT_TEMPORARY;
	return ha_command_run.go(invocation);
}

static int
adopt(const HaInvocation *invocation)
{
	static Adoption adoption;
	Adoption   *a = &adoption;
	int			code = ha_invocation_node(invocation, &a->node);

	if (code != 0)
		return code;
	if (!ha_plain_server_ask(&a->node, &a->server))
		code = HA_EXIT_CONFIGURATION;
	else if (a->server.managed)
		printf("this server is a member of a pg_ha cluster already\n");
	else
	{
		check_all(a);
		code = a->code;
		if (code == 0 && !take_steps(a))
			code = HA_EXIT_CONFIGURATION;
		else if (code == 0)
		{
			ha_plain_server_leave(&a->server);
			return finish(a, invocation);
		}
		if (a->steps == 0)
			pg_log_info("nothing was changed");
	}
	ha_plain_server_leave(&a->server);
	return code;
}

static const struct option options[] = {
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
	{"ignore-unit", no_argument, NULL, OPTION_IGNORE_UNIT},
	{"restart", no_argument, NULL, OPTION_RESTART},
	{NULL, 0, NULL, 0}
};

const HaCommand ha_command_adopt = {
	.name = "adopt",
	.arguments = "-D PGDATA -c NODEFILE [--dry-run] [--ignore-unit] [--restart]",
	.summary = "take over a server that runs without pg_ha",
	.details =
	"  --dry-run              check, and tell what would be done, but change nothing\n"
	"  --ignore-unit          although another unit would start the server\n"
	"  --restart              then stop the server and go on as \"run\"\n",
	.options = options,
	.take_option = take_option,
	.go = adopt,
};
