/*-------------------------------------------------------------------------
 *
 * check_cluster.c
 *	  Does this node fit into the cluster that etcd knows?
 *
 * P11: its name.  P12: its data.  P14: the cluster's configuration.  P15: the
 * password, and the login at the leader.  P09: room for a clone.
 *
 * What stands in etcd anybody may have put there: it goes into messages, and to
 * libpq only as a plain host and port.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libpq-fe.h"

#include "../config_values_json.h"
#include "../mixed.h"
#include "../names.h"
#include "../versions.h"
#include "files.h"
#include "leader.h"
#include "preflight.h"
#include "processes.h"
#include "store.h"
#include "uuid.h"

#define LOOK_TIMEOUT		2000

/* What initdb makes has no object with a higher number, and is smaller. */
#define FIRST_USER_OID		16384
#define FRESH_SIZE_MAX		(64L * 1024 * 1024)

/*
 * The cluster as it is.
 */

static void
check_config(HaPreflight *p, const HaAnswer *keys)
{
	HaConfig	config;

	for (int i = 0; i < keys->nkvs; i++)
	{
		if (strcmp(keys->kvs[i].key, "config") != 0)
			continue;
		ha_config_defaults(&config);
		if (!ha_config_parse(keys->kvs[i].value, keys->kvs[i].length, &config,
							 p->config_error, sizeof(p->config_error)) &&
			p->config_error[0] == '\0')
			strlcpy(p->config_error, "it cannot be read",
					sizeof(p->config_error));
	}
}

/* At the endpoint that was found to work, so that no other is waited for. */
void
ha_check_view(HaPreflight *p)
{
	HaNode	   *node;
	HaDcs	   *dcs;
	HaAnswer	keys;

	if (p->endpoint[0] == '\0')
		return;
	node = pg_malloc(sizeof(HaNode));
	*node = p->node;
	strlcpy(node->etcd_endpoints, p->endpoint, sizeof(node->etcd_endpoints));
	dcs = ha_store_open(node);
	if (dcs != NULL && ha_store_look(dcs, LOOK_TIMEOUT, &keys, &p->view))
	{
		p->has_view = true;
		check_config(p, &keys);
		ha_dcs_answer_free(&keys);
	}
	if (dcs != NULL)
		ha_dcs_close(dcs);
	pg_free(node);
}

void
ha_check_timing(HaPreflight *p)
{
	if (p->config_error[0] != '\0')
		ha_report_error(&p->report, "P14",
						"Nobody applies it until it is put right in etcd.",
						"the configuration in \"/%s/%s/config\" is wrong: %s",
						p->node.name_space, p->node.scope, p->config_error);
}

/*
 * The name.
 */

/*
 * Who holds the lock?  It is looked up and not tried, since a lock taken for a
 * moment would turn a pg_ha_boot away that starts just then.
 */
void
ha_check_second_boot(HaPreflight *p)
{
	char		path[MAXPGPATH];
	char		line[256];
	struct stat st;
	FILE	   *locks;
	int			holder = 0;

	if (!ha_path_in(path, p->node.state_dir, "lock") || stat(path, &st) != 0)
		return;
	locks = fopen("/proc/locks", "re");
	while (locks != NULL && fgets(line, sizeof(line), locks) != NULL)
	{
		unsigned	major_number;
		unsigned	minor_number;
		unsigned long inode;
		char		command[256];
		int			pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid,
				   &major_number, &minor_number, &inode) != 4 ||
			inode != st.st_ino)
			continue;

		/* Some file systems have another device number there than in stat(). */
		ha_process_command(pid, command, sizeof(command));
		if ((major_number == major(st.st_dev) && minor_number == minor(st.st_dev)) ||
			strstr(command, "pg_ha_boot") != NULL)
			holder = pid;
	}
	if (locks != NULL)
		fclose(locks);
	if (holder == 0)
		return;
	p->boot_runs = true;
	ha_report_error(&p->report, "P11",
					"One is enough.  If that one is to go, send it SIGTERM.",
					"another pg_ha_boot runs for this node (pid %d)", holder);
}

/* Is that member this very node, by the identity in its state directory? */
static bool
is_this_node(const HaPreflight *p, const HaMember *member)
{
	char		path[MAXPGPATH];
	char		identity[64] = "";
	FILE	   *file;

	if (!ha_path_in(path, p->node.state_dir, "identity"))
		return false;
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fgets(identity, sizeof(identity), file) == NULL)
		identity[0] = '\0';
	fclose(file);
	identity[strcspn(identity, "\r\n")] = '\0';
	return identity[0] != '\0' && strcmp(identity, member->identity) == 0;
}

const char *
ha_slot_twin(const HaView *view, const char *name)
{
	char		ours[HA_NAME_SIZE];
	char		theirs[HA_NAME_SIZE];

	ha_slot_name(name, ours);
	for (int i = 0; i < view->nmembers; i++)
	{
		ha_slot_name(view->members[i].name, theirs);
		if (strcmp(ours, theirs) == 0 &&
			strcmp(view->members[i].name, name) != 0)
			return view->members[i].name;
	}
	return NULL;
}

void
ha_check_name(HaPreflight *p)
{
	const char *twin = ha_slot_twin(&p->view, p->node.name);
	char		slot[HA_NAME_SIZE];

	for (int i = 0; i < p->view.nmembers; i++)
	{
		const HaMember *member = &p->view.members[i];

		if (strcmp(member->name, p->node.name) == 0 &&
			!is_this_node(p, member))
			ha_report_error(&p->report, "P11",
							"Give each node a pg_ha.name of its own.  If this is the same node with a new state directory, its old name is free again when its lease has run out.",
							"member name \"%s\" is already in use by %s:%d (alive)",
							p->node.name, member->host, (int) member->port);
	}
	ha_slot_name(p->node.name, slot);
	if (twin != NULL)
		ha_report_error(&p->report, "P11",
						"Choose a name that differs in more than case, dots and hyphens.",
						"member name \"%s\" maps to slot \"%s\", already used by member \"%s\"",
						p->node.name, slot, twin);
}

/*
 * The data.
 */

/* The bytes of a directory's files, and whether it has only initdb's databases. */
static int64_t
measure(const char *dir, bool *only_templates)
{
	DIR		   *stream = opendir(dir);
	struct dirent *entry;
	int64_t		bytes = 0;

	while (stream != NULL && (entry = readdir(stream)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat st;

		if (entry->d_name[0] == '.' || !ha_path_in(path, dir, entry->d_name) ||
			lstat(path, &st) != 0)
			continue;
		if (S_ISREG(st.st_mode))
			bytes += st.st_size;
		else if (S_ISDIR(st.st_mode))
		{
			bytes += measure(path, only_templates);
			if (strtoul(entry->d_name, NULL, 10) >= FIRST_USER_OID)
				*only_templates = false;
		}
	}
	if (stream != NULL)
		closedir(stream);
	return bytes;
}

/* As a package makes it when it is installed, with nobody's data in it? */
static bool
looks_fresh(const HaNode *node, const HaDataFacts *facts)
{
	char		path[MAXPGPATH];
	bool		only_templates = true;

	return facts->timeline == 1 && ha_path_in(path, node->data_dir, "base") &&
		measure(path, &only_templates) < FRESH_SIZE_MAX && only_templates;
}

void
ha_check_system_id(const HaNode *node, const HaDataFacts *facts,
				   const HaView *view, HaReport *report)
{
	const char *hint;

	if (view->sysid == 0 || facts->sysid == view->sysid)
		return;
	if (looks_fresh(node, facts))
		hint = psprintf("This directory looks like the empty cluster made by the package installer. If so, move \"%s\" away and start again: the node becomes a copy of \"%s\".",
						node->data_dir, node->scope);
	else
		hint = psprintf("To make this node a copy of \"%s\", move \"%s\" away and start again. To keep this data, use another pg_ha.scope.",
						node->scope, node->data_dir);
	ha_report_error(report, "P12", hint,
					"data directory \"%s\" has system identifier " UINT64_FORMAT ", cluster \"%s\" has " UINT64_FORMAT,
					node->data_dir, facts->sysid, node->scope, view->sysid);
}

bool
ha_check_uuid(const HaNode *node, const char *uuid, const char *scope,
			  const HaView *view, HaReport *report)
{
	if (uuid[0] == '\0' || view->cluster_uuid[0] == '\0' ||
		strcmp(uuid, view->cluster_uuid) == 0)
		return true;
	ha_report_error(report, "P12b",
					psprintf("Check pg_ha.scope. To make this node a copy of \"%s\", move \"%s\" and \"%s\" away.",
							 node->scope, node->data_dir, node->state_dir),
					"data directory belongs to pg_ha cluster \"%s\" (uuid %s), scope \"%s\" is uuid %s",
					scope, uuid, node->scope, view->cluster_uuid);
	return false;
}

/* No error: a standby is started all the same. */
static void
check_schema(HaPreflight *p)
{
	char		why[HA_WHY_SIZE];

	if (!ha_is_too_old(&p->view))
		return;
	ha_too_old_why(&p->view, why, sizeof(why));
	ha_report_warning(&p->report, "P23",
					  "Install that version: until then this node is a read-only standby at most.",
					  "%s", why);
}

/* A leader stays one; but "run" does not join. */
static void
check_patroni(HaPreflight *p)
{
	char		why[2 * HA_WHY_SIZE];

	if (ha_mixed_too_old_why(&p->view.config, &p->view, why, sizeof(why)))
		ha_report_error(&p->report, "P24", HA_PATRONI_HINT, "%s", why);
}

void
ha_check_identity(HaPreflight *p)
{
	char		uuid[HA_UUID_SIZE];
	char		scope[HA_NAME_SIZE];
	bool		founder;

	ha_check_system_id(&p->node, &p->facts, &p->view, &p->report);
	check_schema(p);
	check_patroni(p);
	p->other_uuid = ha_uuid_recall(&p->node, uuid, scope, &founder) &&
		!ha_check_uuid(&p->node, uuid, scope, &p->view, &p->report);
}

/*
 * Logging in.
 */

/*
 * Without its password a node that has data can at least be started, and may be the
 * one that others wait for.
 */
static void
take_fault(void *arg, bool warning, const char *code, const char *message,
		   const char *hint)
{
	HaPreflight *p = arg;

	if (warning || (p->starting && p->directory == HA_DIR_VALID))
		ha_report_warning(&p->report, code, hint, "%s", message);
	else
		ha_report_error(&p->report, code, hint, "%s", message);
}

void
ha_check_passfile(HaPreflight *p)
{
	HaFaultSink sink = {.take = take_fault,.arg = p};
	char		password[1024];

	ha_node_check_password(&p->node, &sink, password, sizeof(password));
	explicit_bzero(password, sizeof(password));
}

/* No list of hosts and no path of a socket, which libpq would understand. */
static bool
is_plain_host(const char *host)
{
	return host[0] != '\0' && host[0] != '-' &&
		strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789.-_:") == strlen(host);
}

/* What the environment says of connections could lead them elsewhere. */
static void
clear_environment(void)
{
	static const char *const names[] = {
		"PGHOSTADDR", "PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS",
		"PGTARGETSESSIONATTRS", "PGREQUIREPEER"
	};

	for (int i = 0; i < lengthof(names); i++)
		unsetenv(names[i]);
}

static PGconn *
connect_to(const HaPreflight *p, const HaMember *leader, bool replication)
{
	HaSource	source;

	ha_source_of(leader, &source);
	return ha_source_connect(&p->node, &source, replication, "pg_ha check", "3");
}

/* The answer's first value; NULL: there is none.  To be freed. */
static char *
ask(PGconn *conn, const char *query)
{
	PGresult   *result = PQexec(conn, query);
	char	   *value = NULL;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
		!PQgetisnull(result, 0, 0))
		value = pg_strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

/* Free bytes where the data directory would be. */
static int64_t
free_space(const char *path)
{
	char		existing[MAXPGPATH];
	struct statvfs fs;

	strlcpy(existing, path, sizeof(existing));
	while (statvfs(existing, &fs) != 0)
	{
		if (errno != ENOENT || existing[0] == '\0')
			return INT64_MAX;
		get_parent_directory(existing);
		if (existing[0] == '\0')
			strlcpy(existing, "/", sizeof(existing));
	}
	return (int64_t) fs.f_bavail * fs.f_frsize;
}

static void
check_space(HaPreflight *p, const HaMember *leader)
{
	PGconn	   *conn;
	char	   *size;
	int64_t		needed;
	int64_t		available = free_space(p->node.data_dir);

	if (p->directory != HA_DIR_ABSENT && p->directory != HA_DIR_EMPTY &&
		p->directory != HA_DIR_HALF)
		return;
	conn = connect_to(p, leader, false);
	size = PQstatus(conn) != CONNECTION_OK ? NULL :
		ask(conn, "SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid))"
			" FROM pg_catalog.pg_database");
	PQfinish(conn);
	if (size == NULL)
		return;					/* it does not let us know */
	needed = strtoll(size, NULL, 10);
	pg_free(size);
	if (needed > available)
		ha_report_error(&p->report, "P09",
						"Make room, or put the data directory elsewhere.",
						"a clone needs %lld MB for \"%s\", but %lld MB are free there",
						(long long) (needed >> 20), p->node.data_dir,
						(long long) (available >> 20));
}

/*
 * A leader that can't be reached may be on its way up, and a clone waits for it; one
 * that turns us away needs somebody's hand.
 */
static void
report_login(HaPreflight *p, const HaMember *leader, PGconn *conn)
{
	const char *error = PQerrorMessage(conn);
	const char *fatal = strstr(error, "FATAL:  ");

	if (fatal != NULL)
		ha_report_error(&p->report, "P15",
						"Look at the leader's pg_hba.conf, at the role, and at pg_ha.replication_passfile or replication_sslcert.",
						"cannot log in to leader \"%s\" at %s:%d as \"%s\": %s",
						leader->name, leader->host, (int) leader->port,
						p->node.replication_user, fatal + strlen("FATAL:  "));
	else
		ha_report_warning(&p->report, "P15",
						  "Look at the network between here and there, and at that member's pg_ha.connect_address.",
						  "cannot reach leader \"%s\" at %s:%d: %s",
						  leader->name, leader->host, (int) leader->port, error);
}

void
ha_check_login(HaPreflight *p)
{
	const HaMember *leader = ha_leader_source(&p->view, p->node.name);
	PGconn	   *conn;
	char	   *sysid;

	if (leader == NULL || !is_plain_host(leader->host))
		return;
	clear_environment();
	conn = connect_to(p, leader, true);
	sysid = PQstatus(conn) == CONNECTION_OK ?
		ask(conn, "IDENTIFY_SYSTEM") : NULL;
	if (sysid == NULL)
		report_login(p, leader, conn);
	else if (p->view.sysid != 0 &&
			 strtoull(sysid, NULL, 10) != p->view.sysid)
		ha_report_error(&p->report, "P12",
						"Look at the conn_url of its member key.",
						"leader \"%s\" at %s:%d has system identifier %s, cluster \"%s\" has " UINT64_FORMAT,
						leader->name, leader->host, (int) leader->port, sysid,
						p->node.scope, p->view.sysid);
	else
		check_space(p, leader);
	pg_free(sysid);
	PQfinish(conn);
}
