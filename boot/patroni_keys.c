/*-------------------------------------------------------------------------
 *
 * patroni_keys.c
 *	  The keys of Patroni's configuration, and what becomes of each.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../suggest.h"
#include "patroni_keys.h"

const char *const ha_patroni_fate_names[HA_PATRONI_NFATES] = {
	"mapped", "approximated", "dropped", "unknown", "fault"
};

/* Columns that are the same in most rows. */
#define SETTING(path, env, note) \
	{path, HA_PATRONI_MAPPED, HA_PATRONI_SETTING, HA_PATRONI_TEXT, env, note}
#define TOGETHER(path, form, env, note) \
	{path, HA_PATRONI_MAPPED, HA_PATRONI_TOGETHER, form, env, note}
#define NEARLY(path, form, env, note) \
	{path, HA_PATRONI_APPROXIMATED, HA_PATRONI_TOGETHER, form, env, note}
#define CONFIG(path, form, note) \
	{path, HA_PATRONI_MAPPED, HA_PATRONI_CONFIG, form, false, note}
#define KEPT(path, form) \
	{path, HA_PATRONI_APPROXIMATED, HA_PATRONI_CONFIG, form, false, \
	"kept in the cluster's configuration for Patroni; pg_ha does not look at it"}
#define DROP(path, env, note) \
	{path, HA_PATRONI_DROPPED, HA_PATRONI_NO_USE, HA_PATRONI_ANY, env, note}

#define IN_CONFIG		"the same key of the cluster's configuration"
#define LOGGING			"pg_ha_boot writes to its standard error, which the service manager keeps"
#define FOR_TOOLS		"of patronictl, which goes on reading it here"
#define ETCD_ONLY		"pg_ha needs etcd"
#define NO_PASSWORD		"the worker is inside the server and logs in nowhere"
#define REWIND_ROLE		"pg_rewind uses the replication role, which may do what it needs"
#define NO_BY_ROLE		"settings do not depend on the role; a standby may have others in its node file"
#define NO_HBA_BY_ROLE	"access rules do not depend on the role; pg_ha.local_hba_file gives a node its own"
#define NO_IDENT_BY_ROLE "maps do not depend on the role; pg_ha.local_ident_file gives a node its own"
#define NO_THREADS		"there are no threads"
#define WATCHDOG		"every backend looks at the lease's deadline by itself: no watchdog is needed"
#define PROGRAM_PATHS	"programs have the names that PostgreSQL gives them, in the directory of -b"
#define LIBPQ_TLS		"connections between members are as libpq makes them, with replication_sslcert, -sslkey and -sslrootcert"
#define NO_SCRIPT		"methods run without a shell and without arguments, with an environment: see docs/clone.md"

/* The same keys of "etcd" and "etcd3". */
#define ETCD(section, fate, difference) \
	{section ".host", fate, HA_PATRONI_TOGETHER, HA_PATRONI_TEXT, true, "pg_ha.etcd_endpoints" difference}, \
	{section ".hosts", fate, HA_PATRONI_TOGETHER, HA_PATRONI_TEXT_OR_LIST, true, "pg_ha.etcd_endpoints" difference}, \
	{section ".url", fate, HA_PATRONI_TOGETHER, HA_PATRONI_TEXT, true, "pg_ha.etcd_endpoints; a user and password in it go where username and password go" difference}, \
	NEARLY(section ".proxy", HA_PATRONI_TEXT, true, "pg_ha.etcd_endpoints, as if it were a member of etcd"), \
	TOGETHER(section ".protocol", HA_PATRONI_TEXT, true, "the scheme in pg_ha.etcd_endpoints"), \
	TOGETHER(section ".username", HA_PATRONI_TEXT, true, "pg_ha.etcd_user"), \
	TOGETHER(section ".password", HA_PATRONI_TEXT, true, "the file in pg_ha.etcd_password_file"), \
	TOGETHER(section ".cacert", HA_PATRONI_TEXT, true, "pg_ha.etcd_cacert"), \
	TOGETHER(section ".cert", HA_PATRONI_TEXT, true, "pg_ha.etcd_cert"), \
	TOGETHER(section ".key", HA_PATRONI_TEXT, true, "pg_ha.etcd_key"), \
	DROP(section ".use_proxies", true, "endpoints are taken as they are given: none is discovered"), \
	DROP(section ".srv", true, "DNS is not searched for endpoints; name them in hosts"), \
	DROP(section ".srv_suffix", true, "DNS is not searched for endpoints; name them in hosts")

/* What libpq knows of TLS, for one of the roles. */
#define LIBPQ(section, note) \
	DROP(section ".sslmode", true, note), \
	DROP(section ".sslpassword", true, note), \
	DROP(section ".sslcrl", true, note), \
	DROP(section ".sslcrldir", true, note), \
	DROP(section ".sslnegotiation", true, note), \
	DROP(section ".gssencmode", true, note), \
	DROP(section ".channel_binding", true, note)

/* In the order of Patroni's documentation. */
const HaPatroniKey ha_patroni_keys[] = {
	SETTING("name", true, "pg_ha.name"),
	SETTING("scope", true, "pg_ha.scope"),
	TOGETHER("namespace", HA_PATRONI_TEXT, true, "pg_ha.namespace"),
	DROP("thread_pool_size", true, NO_THREADS),
	DROP("thread_stack_size", true, NO_THREADS),

	DROP("log.type", true, LOGGING),
	DROP("log.level", true, LOGGING),
	DROP("log.traceback_level", true, LOGGING),
	DROP("log.format", true, LOGGING),
	DROP("log.dateformat", true, LOGGING),
	DROP("log.static_fields", true, LOGGING),
	DROP("log.max_queue_size", true, LOGGING),
	DROP("log.dir", true, LOGGING),
	DROP("log.mode", true, LOGGING),
	DROP("log.file_num", true, LOGGING),
	DROP("log.file_size", true, LOGGING),
	DROP("log.loggers", true, LOGGING),
	DROP("log.deduplicate_heartbeat_logs", true, LOGGING),

	CONFIG("bootstrap.dcs.ttl", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.loop_wait", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.retry_timeout", HA_PATRONI_TEXT, IN_CONFIG),
	KEPT("bootstrap.dcs.primary_race_backoff", HA_PATRONI_TEXT),
	CONFIG("bootstrap.dcs.maximum_lag_on_failover", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.maximum_lag_on_syncnode", HA_PATRONI_TEXT, IN_CONFIG),
	KEPT("bootstrap.dcs.max_timelines_history", HA_PATRONI_TEXT),
	CONFIG("bootstrap.dcs.primary_start_timeout", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.master_start_timeout", HA_PATRONI_TEXT, IN_CONFIG),
	KEPT("bootstrap.dcs.primary_stop_timeout", HA_PATRONI_TEXT),
	KEPT("bootstrap.dcs.master_stop_timeout", HA_PATRONI_TEXT),
	CONFIG("bootstrap.dcs.check_timeline", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.synchronous_mode", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.synchronous_mode_strict", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.synchronous_node_count", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.failsafe_mode", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.pause", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.member_slots_ttl", HA_PATRONI_TEXT, IN_CONFIG),
	CONFIG("bootstrap.dcs.slots", HA_PATRONI_ANY, IN_CONFIG),
	CONFIG("bootstrap.dcs.permanent_slots", HA_PATRONI_ANY, IN_CONFIG),
	CONFIG("bootstrap.dcs.permanent_replication_slots", HA_PATRONI_ANY, IN_CONFIG),
	CONFIG("bootstrap.dcs.ignore_slots", HA_PATRONI_ANY, IN_CONFIG),
	CONFIG("bootstrap.dcs.standby_cluster", HA_PATRONI_ANY, IN_CONFIG),
	NEARLY("bootstrap.dcs.postgresql.use_pg_rewind", HA_PATRONI_TEXT, false,
		   "pg_ha.rewind, in the node file"),
	NEARLY("bootstrap.dcs.postgresql.remove_data_directory_on_rewind_failure", HA_PATRONI_TEXT, false,
		   "pg_ha.rebuild_on_divergence, in the node file; the data is moved aside, not removed"),
	NEARLY("bootstrap.dcs.postgresql.remove_data_directory_on_diverged_timelines", HA_PATRONI_TEXT, false,
		   "pg_ha.rebuild_on_divergence, in the node file; the data is moved aside, not removed"),
	DROP("bootstrap.dcs.postgresql.rewind", false, "pg_rewind gets no options of the user's"),
	DROP("bootstrap.dcs.postgresql.use_slots", false, "members always stream from slots"),
	DROP("bootstrap.dcs.postgresql.pg_ctl_timeout", false, "a start that goes on is waited for, as long as primary_start_timeout says"),
	NEARLY("bootstrap.dcs.postgresql.basebackup", HA_PATRONI_ANY, false,
		   "pg_ha.clone_max_rate and pg_ha.wal_dir, of max-rate and waldir; nothing else is passed on"),
	DROP("bootstrap.dcs.postgresql.create_replica_methods", false, "programs are named on each node: put it into the section postgresql"),
	{"bootstrap.dcs.postgresql.recovery_conf.*", HA_PATRONI_APPROXIMATED, HA_PATRONI_PARAMETER, HA_PATRONI_TEXT, false,
	"the setting of that name in the node file"},
	{"bootstrap.dcs.postgresql.parameters.*", HA_PATRONI_MAPPED, HA_PATRONI_CLUSTER_PARAMETER, HA_PATRONI_TEXT, false,
	"postgresql.parameters of the cluster's configuration; in the node file if it names a program, a library or a file"},
	DROP("bootstrap.dcs.postgresql.parameters_primary", false, NO_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.parameters_replica", false, NO_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.parameters_standby_leader", false, NO_BY_ROLE),
	CONFIG("bootstrap.dcs.postgresql.pg_hba", HA_PATRONI_LIST, IN_CONFIG),
	DROP("bootstrap.dcs.postgresql.pg_hba_primary", false, NO_HBA_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.pg_hba_replica", false, NO_HBA_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.pg_hba_standby_leader", false, NO_HBA_BY_ROLE),
	CONFIG("bootstrap.dcs.postgresql.pg_ident", HA_PATRONI_LIST, IN_CONFIG),
	DROP("bootstrap.dcs.postgresql.pg_ident_primary", false, NO_IDENT_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.pg_ident_replica", false, NO_IDENT_BY_ROLE),
	DROP("bootstrap.dcs.postgresql.pg_ident_standby_leader", false, NO_IDENT_BY_ROLE),
	NEARLY("bootstrap.method", HA_PATRONI_TEXT, false,
		   "--method=command and --command of init and run; the program gets an environment, not --scope and --datadir"),
	TOGETHER("bootstrap.initdb", HA_PATRONI_ANY, false, "options behind \"--\" of init and run"),
	TOGETHER("bootstrap.pg_hba", HA_PATRONI_LIST, false, "the file of --hba"),
	NEARLY("bootstrap.post_bootstrap", HA_PATRONI_TEXT, false,
		   "--post-init; the program finds the connection in PGHOST, PGPORT, PGUSER and PGDATABASE, not as its argument"),
	NEARLY("bootstrap.post_init", HA_PATRONI_TEXT, false,
		   "--post-init; the program finds the connection in PGHOST, PGPORT, PGUSER and PGDATABASE, not as its argument"),
	DROP("bootstrap.users", false, "no roles of applications are created (nor by Patroni 4); put CREATE ROLE into post_init"),

	DROP("citus.group", true, "Citus is not supported"),
	DROP("citus.database", true, "Citus is not supported"),

	DROP("consul.host", true, ETCD_ONLY),
	DROP("consul.url", true, ETCD_ONLY),
	DROP("consul.port", true, ETCD_ONLY),
	DROP("consul.scheme", true, ETCD_ONLY),
	DROP("consul.token", true, ETCD_ONLY),
	DROP("consul.verify", true, ETCD_ONLY),
	DROP("consul.cacert", true, ETCD_ONLY),
	DROP("consul.cert", true, ETCD_ONLY),
	DROP("consul.key", true, ETCD_ONLY),
	DROP("consul.dc", true, ETCD_ONLY),
	DROP("consul.consistency", true, ETCD_ONLY),
	DROP("consul.checks", true, ETCD_ONLY),
	DROP("consul.register_service", true, ETCD_ONLY),
	DROP("consul.service_tags", true, ETCD_ONLY),
	DROP("consul.service_check_interval", true, ETCD_ONLY),
	DROP("consul.service_check_tls_server_name", true, ETCD_ONLY),

	ETCD("etcd", HA_PATRONI_APPROXIMATED, ", over etcd's protocol 3: keys that Patroni has written over protocol 2 are not seen"),
	ETCD("etcd3", HA_PATRONI_MAPPED, ""),

	DROP("zookeeper.hosts", true, ETCD_ONLY),
	DROP("zookeeper.use_ssl", true, ETCD_ONLY),
	DROP("zookeeper.cacert", true, ETCD_ONLY),
	DROP("zookeeper.cert", true, ETCD_ONLY),
	DROP("zookeeper.key", true, ETCD_ONLY),
	DROP("zookeeper.key_password", true, ETCD_ONLY),
	DROP("zookeeper.verify", true, ETCD_ONLY),
	DROP("zookeeper.set_acls", true, ETCD_ONLY),
	DROP("zookeeper.auth_data", true, ETCD_ONLY),

	DROP("exhibitor.hosts", true, ETCD_ONLY),
	DROP("exhibitor.poll_interval", true, ETCD_ONLY),
	DROP("exhibitor.port", true, ETCD_ONLY),

	DROP("kubernetes.bypass_api_service", true, ETCD_ONLY),
	DROP("kubernetes.namespace", true, ETCD_ONLY),
	DROP("kubernetes.labels", true, ETCD_ONLY),
	DROP("kubernetes.scope_label", true, ETCD_ONLY),
	DROP("kubernetes.bootstrap_labels", true, ETCD_ONLY),
	DROP("kubernetes.role_label", true, ETCD_ONLY),
	DROP("kubernetes.leader_label_value", true, ETCD_ONLY),
	DROP("kubernetes.follower_label_value", true, ETCD_ONLY),
	DROP("kubernetes.standby_leader_label_value", true, ETCD_ONLY),
	DROP("kubernetes.tmp_role_label", true, ETCD_ONLY),
	DROP("kubernetes.use_endpoints", true, ETCD_ONLY),
	DROP("kubernetes.pod_ip", true, ETCD_ONLY),
	DROP("kubernetes.ports", true, ETCD_ONLY),
	DROP("kubernetes.cacert", true, ETCD_ONLY),
	DROP("kubernetes.retriable_http_codes", true, ETCD_ONLY),

	DROP("raft.self_addr", true, ETCD_ONLY),
	DROP("raft.bind_addr", true, ETCD_ONLY),
	DROP("raft.partner_addrs", true, ETCD_ONLY),
	DROP("raft.data_dir", true, ETCD_ONLY),
	DROP("raft.password", true, ETCD_ONLY),
	DROP("raft.min_timeout", true, ETCD_ONLY),
	DROP("raft.max_timeout", true, ETCD_ONLY),
	DROP("raft.connection_timeout", true, ETCD_ONLY),
	DROP("raft.append_entries_period", true, ETCD_ONLY),
	DROP("raft.connection_retry_time", true, ETCD_ONLY),
	DROP("raft.leader_fallback_timeout", true, ETCD_ONLY),

	NEARLY("postgresql.authentication.superuser.username", HA_PATRONI_TEXT, true,
		   "--username of initdb, for a new cluster; nobody logs in with it"),
	DROP("postgresql.authentication.superuser.password", true, NO_PASSWORD),
	DROP("postgresql.authentication.superuser.sslkey", true, NO_PASSWORD),
	DROP("postgresql.authentication.superuser.sslcert", true, NO_PASSWORD),
	DROP("postgresql.authentication.superuser.sslrootcert", true, NO_PASSWORD),
	LIBPQ("postgresql.authentication.superuser", NO_PASSWORD),
	SETTING("postgresql.authentication.replication.username", true, "pg_ha.replication_user"),
	TOGETHER("postgresql.authentication.replication.password", HA_PATRONI_TEXT, true, "the file in pg_ha.replication_passfile"),
	SETTING("postgresql.authentication.replication.sslkey", true, "pg_ha.replication_sslkey"),
	SETTING("postgresql.authentication.replication.sslcert", true, "pg_ha.replication_sslcert"),
	SETTING("postgresql.authentication.replication.sslrootcert", true, "pg_ha.replication_sslrootcert"),
	LIBPQ("postgresql.authentication.replication", LIBPQ_TLS),
	DROP("postgresql.authentication.rewind.username", true, REWIND_ROLE),
	DROP("postgresql.authentication.rewind.password", true, REWIND_ROLE),
	DROP("postgresql.authentication.rewind.sslkey", true, REWIND_ROLE),
	DROP("postgresql.authentication.rewind.sslcert", true, REWIND_ROLE),
	DROP("postgresql.authentication.rewind.sslrootcert", true, REWIND_ROLE),
	LIBPQ("postgresql.authentication.rewind", REWIND_ROLE),
	SETTING("postgresql.callbacks.on_reload", false, "pg_ha.on_reload"),
	SETTING("postgresql.callbacks.on_restart", false, "pg_ha.on_restart"),
	SETTING("postgresql.callbacks.on_role_change", false, "pg_ha.on_role_change"),
	SETTING("postgresql.callbacks.on_start", false, "pg_ha.on_start"),
	SETTING("postgresql.callbacks.on_stop", false, "pg_ha.on_stop"),
	SETTING("postgresql.connect_address", true, "pg_ha.connect_address"),
	DROP("postgresql.proxy_address", true, "member keys tell where the server is, not who stands before it"),
	NEARLY("postgresql.create_replica_methods", HA_PATRONI_LIST, false,
		   "pg_ha.clone_methods; " NO_SCRIPT),
	NEARLY("postgresql.create_replica_method", HA_PATRONI_LIST, false,
		   "pg_ha.clone_methods; " NO_SCRIPT),
	TOGETHER("postgresql.listen", HA_PATRONI_TEXT, true, "listen_addresses and port"),
	TOGETHER("postgresql.data_dir", HA_PATRONI_TEXT, true, "-D"),
	DROP("postgresql.config_dir", true, "the server's configuration is in its data directory: move postgresql.conf there if it is elsewhere"),
	DROP("postgresql.custom_conf", false, "postgresql.conf stays what it is, with one line more"),
	DROP("postgresql.config_base_name", false, "postgresql.conf stays what it is, with one line more"),
	TOGETHER("postgresql.bin_dir", HA_PATRONI_TEXT, true, "-b"),
	DROP("postgresql.bin_name.pg_ctl", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.initdb", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.pg_controldata", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.pg_basebackup", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.postgres", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.pg_isready", true, PROGRAM_PATHS),
	DROP("postgresql.bin_name.pg_rewind", true, PROGRAM_PATHS),
	DROP("postgresql.pgpass", true, "the passfile is a file of its own, which is not written anew at each start"),
	DROP("postgresql.database", false, NO_PASSWORD),
	DROP("postgresql.krbsrvname", false, "members do not use Kerberos among themselves"),
	DROP("postgresql.use_unix_socket", false, NO_PASSWORD),
	DROP("postgresql.use_unix_socket_repl", false, "members reach each other over TCP"),
	{"postgresql.recovery_conf.*", HA_PATRONI_MAPPED, HA_PATRONI_PARAMETER, HA_PATRONI_TEXT, false,
	"the setting of that name in the node file"},
	{"postgresql.parameters.*", HA_PATRONI_MAPPED, HA_PATRONI_PARAMETER, HA_PATRONI_TEXT, false,
	"the setting of that name in the node file"},
	DROP("postgresql.parameters_primary", false, NO_BY_ROLE),
	DROP("postgresql.parameters_replica", false, NO_BY_ROLE),
	DROP("postgresql.parameters_standby_leader", false, NO_BY_ROLE),
	TOGETHER("postgresql.pg_hba", HA_PATRONI_LIST, false, "the file in pg_ha.local_hba_file"),
	DROP("postgresql.pg_hba_primary", false, NO_HBA_BY_ROLE),
	DROP("postgresql.pg_hba_replica", false, NO_HBA_BY_ROLE),
	DROP("postgresql.pg_hba_standby_leader", false, NO_HBA_BY_ROLE),
	TOGETHER("postgresql.pg_ident", HA_PATRONI_LIST, false, "the file in pg_ha.local_ident_file"),
	DROP("postgresql.pg_ident_primary", false, NO_IDENT_BY_ROLE),
	DROP("postgresql.pg_ident_replica", false, NO_IDENT_BY_ROLE),
	DROP("postgresql.pg_ident_standby_leader", false, NO_IDENT_BY_ROLE),
	DROP("postgresql.pg_ctl_timeout", false, "a start that goes on is waited for, as long as primary_start_timeout says"),
	NEARLY("postgresql.basebackup", HA_PATRONI_ANY, false,
		   "pg_ha.clone_max_rate and pg_ha.wal_dir, of max-rate and waldir; nothing else is passed on"),
	TOGETHER("postgresql.use_pg_rewind", HA_PATRONI_TEXT, false, "pg_ha.rewind"),
	DROP("postgresql.rewind", false, "pg_rewind gets no options of the user's"),
	DROP("postgresql.use_slots", false, "members always stream from slots"),
	NEARLY("postgresql.remove_data_directory_on_rewind_failure", HA_PATRONI_TEXT, false,
		   "pg_ha.rebuild_on_divergence; the data is moved aside, not removed"),
	NEARLY("postgresql.remove_data_directory_on_diverged_timelines", HA_PATRONI_TEXT, false,
		   "pg_ha.rebuild_on_divergence; the data is moved aside, not removed"),
	SETTING("postgresql.pre_promote", false, "pg_ha.pre_promote"),
	SETTING("postgresql.before_stop", false, "pg_ha.before_stop"),

	DROP("restapi.thread_pool_size", true, NO_THREADS),
	SETTING("restapi.connect_address", true, "pg_ha.rest_connect_address"),
	TOGETHER("restapi.listen", HA_PATRONI_TEXT, true, "pg_ha.rest_listen"),
	TOGETHER("restapi.authentication.username", HA_PATRONI_TEXT, true, "the file in pg_ha.rest_auth_file"),
	TOGETHER("restapi.authentication.password", HA_PATRONI_TEXT, true, "the file in pg_ha.rest_auth_file"),
	SETTING("restapi.certfile", true, "pg_ha.rest_cert"),
	SETTING("restapi.keyfile", true, "pg_ha.rest_key"),
	DROP("restapi.keyfile_password", true, "the key must be readable without a password"),
	NEARLY("restapi.cafile", HA_PATRONI_TEXT, true,
		   "pg_ha.rest_cafile, if there is a certfile: a client needs a certificate by it to have something done, as with verify_client optional"),
	DROP("restapi.ciphers", true, "the TLS library's own choice is taken"),
	DROP("restapi.verify_client", true, "it is optional if there is a cafile, else none"),
	TOGETHER("restapi.allowlist", HA_PATRONI_TEXT_OR_LIST, true, "pg_ha.rest_allow"),
	DROP("restapi.allowlist_include_members", true, "name the members in allowlist"),
	DROP("restapi.http_extra_headers", true, "answers have fixed headers"),
	DROP("restapi.https_extra_headers", true, "answers have fixed headers"),
	DROP("restapi.request_queue_size", true, NO_THREADS),
	DROP("restapi.server_tokens", true, "answers have fixed headers"),

	DROP("ctl.authentication.username", true, FOR_TOOLS),
	DROP("ctl.authentication.password", true, FOR_TOOLS),
	DROP("ctl.insecure", true, FOR_TOOLS),
	DROP("ctl.cacert", true, FOR_TOOLS),
	DROP("ctl.certfile", true, FOR_TOOLS),
	DROP("ctl.keyfile", true, FOR_TOOLS),
	DROP("ctl.keyfile_password", true, FOR_TOOLS),

	DROP("watchdog.mode", false, WATCHDOG),
	DROP("watchdog.device", false, WATCHDOG),
	DROP("watchdog.safety_margin", false, WATCHDOG),

	{"tags.*", HA_PATRONI_MAPPED, HA_PATRONI_TAG, HA_PATRONI_TEXT, false, "pg_ha.tags"},
};

const int	ha_patroni_nkeys = sizeof(ha_patroni_keys) / sizeof(ha_patroni_keys[0]);

static bool
row_matches(const HaPatroniKey *row, const char *path)
{
	size_t		n = strlen(row->path);

	if (row->path[n - 1] != '*')
		return strcmp(row->path, path) == 0;
	return strncmp(row->path, path, n - 1) == 0 && path[n - 1] != '\0';
}

const HaPatroniKey *
ha_patroni_key(const char *path)
{
	for (int i = 0; i < ha_patroni_nkeys; i++)
	{
		if (row_matches(&ha_patroni_keys[i], path))
			return &ha_patroni_keys[i];
	}
	return NULL;
}

bool
ha_patroni_is_section(const char *path)
{
	size_t		n = strlen(path);

	for (int i = 0; i < ha_patroni_nkeys; i++)
	{
		if (strncmp(ha_patroni_keys[i].path, path, n) == 0 &&
			ha_patroni_keys[i].path[n] == '.')
			return true;
	}
	return false;
}

/* The part of a row's path that stands where "path" ends; false: elsewhere. */
static bool
sibling(const HaPatroniKey *row, size_t parent, const char *path, char *part,
		size_t size)
{
	size_t		n;

	if (strncmp(row->path, path, parent) != 0)
		return false;
	n = strcspn(row->path + parent, ".");
	snprintf(part, size, "%.*s", (int) n, row->path + parent);
	return part[0] != '*' && part[0] != '\0';
}

static const char *
last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL ? dot + 1 : path;
}

void
ha_patroni_nearest(const char *path, char *nearest, size_t size)
{
	const char *name = last_part(path);
	size_t		parent = (size_t) (name - path);
	int			distance = 0;

	nearest[0] = '\0';
	for (int i = 0; i < ha_patroni_nkeys; i++)
	{
		HaSuggestion suggestion;
		char		part[64];

		if (!sibling(&ha_patroni_keys[i], parent, path, part, sizeof(part)))
			continue;
		ha_suggest_begin(&suggestion, name);
		ha_suggest_offer(&suggestion, part);
		if (suggestion.nearest == NULL ||
			(nearest[0] != '\0' && suggestion.distance >= distance))
			continue;
		distance = suggestion.distance;
		snprintf(nearest, size, "%.*s%s", (int) parent, path, part);
	}
	for (int i = 0; i < ha_patroni_nkeys && nearest[0] == '\0'; i++)
	{
		if (strcmp(last_part(ha_patroni_keys[i].path), name) == 0)
			snprintf(nearest, size, "%s", ha_patroni_keys[i].path);
	}
}
