/*-------------------------------------------------------------------------
 *
 * role.c
 *	  The role that members use to reach each other.
 *
 * In data that no server has opened yet its statements go to the standard input of a
 * single-user server, so they are in no argument list, and with its logging of
 * statements off, whatever the configuration of restored data says.  What is in them
 * is a SCRAM verifier; the password itself never leaves this process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>
#include <unistd.h>

#include "common/logging.h"
#include "common/saslprep.h"
#include "common/scram-common.h"
#include "pqexpbuffer.h"

#include "../compat.h"
#include "files.h"
#include "probe.h"
#include "programs.h"
#include "role.h"

#define SCRAM_ITERATIONS	4096
#define SCRAM_SALT_SIZE		16

#define ROLE_IS_READY		"replication role ready"
#define SUPERUSER_IS		"superuser is <"

/*
 * Functions that pg_rewind calls on the source (its documentation lists them).
 */
const char *const ha_rewind_functions[HA_REWIND_FUNCTIONS] = {
	"pg_catalog.pg_ls_dir(text, boolean, boolean)",
	"pg_catalog.pg_stat_file(text, boolean)",
	"pg_catalog.pg_read_binary_file(text)",
	"pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)"
};

/*
 * What a statement with a verifier in it must not be seen in.  Said in the session,
 * since settings of a database or a role outrank the command line.
 */
static const char silence[] =
"SET log_statement = 'none';\n"
"SET log_min_duration_statement = -1;\n"
"SET log_min_duration_sample = -1;\n"
"SET log_transaction_sample_rate = 0;\n"
"SET log_min_error_statement = 'panic';\n"
"SET debug_print_parse = off;\n"
"SET debug_print_rewritten = off;\n"
"SET default_transaction_read_only = off;\n"
"SET synchronous_commit = 'local';\n";

/* The SCRAM verifier of a password, malloc'd; NULL: reported. */
static char *
build_verifier(const char *password)
{
	char		salt[SCRAM_SALT_SIZE];
	const char *error = "no randomness";
	char	   *prepared = NULL;
	char	   *verifier = NULL;
	pg_saslprep_rc rc = pg_saslprep(password, &prepared);

	/* As in libpq, a password that is no UTF-8 is taken as its bytes. */
	if (rc == SASLPREP_SUCCESS)
		password = prepared;
	if (rc == SASLPREP_OOM)
		error = "out of memory";
	else if (pg_strong_random(salt, sizeof(salt)))
		verifier = ha_scram_secret(salt, sizeof(salt), SCRAM_ITERATIONS,
								   password, &error);
	if (verifier == NULL)
		pg_log_error("could not make a SCRAM verifier: %s", error);
	if (prepared != NULL)
	{
		explicit_bzero(prepared, strlen(prepared));
		free(prepared);
	}
	return verifier;
}

/*
 * The statements, a line each.  The last prints ROLE_IS_READY, put together
 * from two pieces, if all before had their effect: a single-user server goes
 * on after errors and ends well.  Restored data may have the role already; the
 * statement that creates it has no secret, since its errors quote it.
 */
static void
build_role_sql(const HaNode *node, const char *verifier, PQExpBuffer sql)
{
	const char *role = node->replication_user;

	appendPQExpBuffer(sql,
					  "DO $ha$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_authid WHERE rolname = '%s')"
					  " THEN CREATE ROLE \"%s\"; END IF; END $ha$;\n",
					  role, role);
	appendPQExpBuffer(sql, "ALTER ROLE \"%s\" LOGIN REPLICATION", role);
	if (verifier != NULL)
		appendPQExpBuffer(sql, " PASSWORD '%s'", verifier);
	appendPQExpBufferStr(sql, ";\n");
	for (int i = 0; i < HA_REWIND_FUNCTIONS; i++)
		appendPQExpBuffer(sql, "GRANT EXECUTE ON FUNCTION %s TO \"%s\";\n",
						  ha_rewind_functions[i], role);
	appendPQExpBufferStr(sql,
						 "SELECT 'superuser is ' || '<' || rolname || '>' AS result"
						 " FROM pg_catalog.pg_authid WHERE oid = 10;\n");
	appendPQExpBuffer(sql,
					  "SELECT 'replication role ' || 'ready' AS result"
					  " FROM pg_catalog.pg_authid"
					  " WHERE rolname = '%s' AND rolcanlogin AND rolreplication",
					  role);
	if (verifier != NULL)
		appendPQExpBuffer(sql, " AND rolpassword = '%s'", verifier);
	for (int i = 0; i < HA_REWIND_FUNCTIONS; i++)
		appendPQExpBuffer(sql,
						  " AND pg_catalog.has_function_privilege(oid, '%s', 'EXECUTE')",
						  ha_rewind_functions[i]);
	appendPQExpBufferStr(sql, ";\n");
}

/* "" if its name can't be used. */
static void
take_superuser(const char *output, char *superuser)
{
	const char *name = strstr(output, SUPERUSER_IS);
	size_t		length;

	superuser[0] = '\0';
	if (name == NULL)
		return;
	name += strlen(SUPERUSER_IS);
	length = strcspn(name, ">\"\n");
	if (length < NAMEDATALEN && name[length] == '>')
		strlcpy(superuser, name, length + 1);
}

/* Feed the statements to a single-user server; did it say that it worked? */
static bool
run_single_user(const HaNode *node, PQExpBuffer sql, char *superuser)
{
	const char *argv[16 + 2 * HA_LIMITS] = {
		"postgres", "--single", "-D", node->data_dir,
		"-c", "log_min_error_statement=panic",
		"-c", "log_statement=none",
		"-c", "shared_preload_libraries=",
		"-c", "session_preload_libraries=",
		"-c", "local_preload_libraries="
	};
	int			argc = 14;
	char		limits[HA_LIMITS][HA_LIMIT_SIZE];
	int			nlimits = ha_probe_limits(node, limits);
	int			in[2] = {-1, -1};
	int			out[2] = {-1, -1};
	char		output[16384];
	pid_t		pid;
	bool		fed;

	for (int i = 0; i < nlimits; i++)
	{
		argv[argc++] = "-c";
		argv[argc++] = limits[i];
	}
	argv[argc++] = "postgres";
	argv[argc] = NULL;
	if (pipe(in) != 0 || pipe(out) != 0)
	{
		pg_log_error("could not create pipe: %m");
		return false;			/* and the process ends */
	}
	pid = ha_program_fork();
	if (pid == 0)
		ha_program_exec(node, argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (pid < 0)
		return false;

	/*
	 * The statements fit into the pipe, so neither side can block the other.
	 */
	signal(SIGPIPE, SIG_IGN);
	fed = ha_write_all(in[1], sql->data, sql->len);
	close(in[1]);
	ha_read_all(out[0], output, sizeof(output));
	close(out[0]);
	if (!ha_program_wait(pid, "postgres --single"))
		return false;
	if (fed && strstr(output, ROLE_IS_READY) != NULL)
	{
		take_superuser(output, superuser);
		return true;
	}
	pg_log_error("could not create role \"%s\"", node->replication_user);
	pg_log_error_hint("The messages of the server above tell why.");
	return false;
}

bool
ha_role_verifier(const HaNode *node, char **verifier)
{
	char		password[1024];

	*verifier = NULL;
	if (!ha_node_password(node, password, sizeof(password)))
		return false;
	if (password[0] == '\0')
		return true;
	*verifier = build_verifier(password);
	explicit_bzero(password, sizeof(password));
	return *verifier != NULL;
}

bool
ha_role_create(const HaNode *node, bool drop_slots, char *superuser)
{
	PQExpBufferData sql;
	char	   *verifier;
	bool		ok;

	if (!ha_role_verifier(node, &verifier))
		return false;
	initPQExpBuffer(&sql);
	appendPQExpBufferStr(&sql, silence);
	if (drop_slots)
		appendPQExpBufferStr(&sql,
							 "SELECT pg_catalog.pg_drop_replication_slot(slot_name)"
							 " FROM pg_catalog.pg_replication_slots;\n");
	build_role_sql(node, verifier, &sql);
	ok = !PQExpBufferDataBroken(sql) && run_single_user(node, &sql, superuser);
	termPQExpBuffer(&sql);
	free(verifier);
	return ok;
}

void
ha_role_hba_lines(const HaNode *node, PQExpBuffer hba)
{
	static const char *const databases[] = {"replication", "postgres"};
	bool		cert = node->replication_passfile[0] == '\0';

	appendPQExpBufferStr(hba,
						 "# pg_ha: members clone and stream from each other (replication) and\n"
						 "# rewind from each other (postgres)\n");
	for (int i = 0; i < lengthof(databases); i++)
		appendPQExpBuffer(hba, "%-7s %-15s \"%s\" samenet %s\n",
						  cert ? "hostssl" : "host", databases[i],
						  node->replication_user,
						  cert ? "cert" : "scram-sha-256");
}
