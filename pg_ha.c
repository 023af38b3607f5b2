/*-------------------------------------------------------------------------
 *
 * pg_ha.c
 *	  Entry point of the library: settings, shared memory, hooks, the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/parallel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "compat.h"
#include "control.h"
#include "fence.h"
#include "pg_ha.h"
#include "tags_json.h"

PG_MODULE_MAGIC;

/* Identity and the store, from the node file. */
char	   *ha_scope = NULL;
char	   *ha_member_name = NULL;
char	   *ha_namespace = NULL;
char	   *ha_etcd_endpoints = NULL;
char	   *ha_etcd_sites = NULL;
char	   *ha_etcd_cacert = NULL;
char	   *ha_etcd_cert = NULL;
char	   *ha_etcd_key = NULL;
char	   *ha_etcd_user = NULL;
char	   *ha_etcd_password_file = NULL;
char	   *ha_rest_auth_file = NULL;
char	   *ha_rest_cafile = NULL;
char	   *ha_rest_cert = NULL;
char	   *ha_rest_key = NULL;
char	   *ha_state_dir = NULL;
static char *data_dir = NULL;
char	   *ha_tags = NULL;

/* How standbys connect. */
char	   *ha_replication_user = NULL;
char	   *ha_replication_passfile = NULL;
char	   *ha_replication_sslcert = NULL;
char	   *ha_replication_sslkey = NULL;
char	   *ha_replication_sslrootcert = NULL;

/* This node's own access rules. */
char	   *ha_local_hba_file = NULL;
char	   *ha_local_ident_file = NULL;

/* The fence. */
int			ha_fence_level = HA_FENCE_WRITES;
int			ha_fence_wait = 5000;
int			ha_conf_epoch = 0;

/* Health. */
int			ha_health_grace = -1;

HaShared   *ha_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static const struct config_enum_entry fence_options[] = {
	{"off", HA_FENCE_OFF, false},
	{"writes", HA_FENCE_WRITES, false},
	{"all", HA_FENCE_ALL, false},
	{NULL, 0, false}
};

PGDLLEXPORT void _PG_init(void);

/*
 * Anybody may raise the fence for a session; lowering it gives a promise away, so
 * a session's own choice must be a superuser's.
 */
static bool
check_fence(int *newval, void **extra, GucSource source)
{
	if (*newval == HA_FENCE_OFF && source >= PGC_S_DATABASE &&
		IsUnderPostmaster && !InitializingParallelWorker && !superuser())
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("must be superuser to set \"%s\" to \"off\"",
						 "pg_ha.fence");
		return false;
	}
	return true;
}

/*
 * The postmaster forks processes that know what it knows, so it tells as well, and
 * how often it has read this version: once it reads it again, everybody has been
 * signalled because of the first time.  It must not touch more than one word of
 * shared memory.
 */
static void
note_postmaster_pass(uint32 epoch)
{
	uint64		told = pg_atomic_read_u64(&ha_shared->postmaster_read);
	uint32		passes = (told >> 32) == epoch ? (uint32) told : 0;

	pg_atomic_write_u64(&ha_shared->postmaster_read,
						((uint64) epoch << 32) | (passes + 1));
}

/* S-2: tell which version of the managed file this process has applied. */
static void
assign_conf_epoch(int newval, void *extra)
{
	if (ha_shared != NULL && !IsUnderPostmaster && MyProcPid == PostmasterPid)
		note_postmaster_pass((uint32) newval);
	if (ha_shared != NULL && MyProc != NULL &&
		ha_proc_number() < ha_shared->nprocs)
	{
		HaProcEpoch *entry = &ha_shared->procs[ha_proc_number()];

		entry->epoch = newval;
		entry->backend_type = MyBackendType;
		entry->pid = MyProcPid;
	}
}

static void
define_string(const char *name, const char *description, char **variable,
			  const char *boot, GucContext context)
{
	DefineCustomStringVariable(name, description, NULL, variable, boot,
							   context, 0, NULL, NULL, NULL);
}

static void
tell_fault_of_tag(void *arg, const char *message, const char *hint)
{
	GUC_check_errdetail("%s", message);
	GUC_check_errhint("%s", hint);
}

/* A member that is tagged by half could lead although it should not. */
static bool
check_tags(char **newval, void **extra, GucSource source)
{
	HaMember	unused;

	return ha_tags_parse(*newval, &unused, tell_fault_of_tag, NULL);
}

/* Keys that only pg_ha_boot reads; the server must know their names. */
static void
define_boot_settings(void)
{
	static const char *const names[] = {
		"connect_address", "etcd_srv", "rest_listen", "rest_connect_address",
		"rest_allow",
		"clone_methods", "rewind", "rebuild_on_divergence", "clone_max_rate",
		"tablespace_mapping", "wal_dir", "keep_aside", "on_start", "on_stop",
		"on_restart", "on_reload", "on_role_change", "pre_promote",
		"before_stop", "callback_timeout", "site", "start_without_dcs", "dcs_start_timeout"
	};
	static char *values[lengthof(names)];

	for (int i = 0; i < lengthof(names); i++)
		define_string(psprintf("pg_ha.%s", names[i]),
					  "Read by pg_ha_boot.", &values[i], "", PGC_SIGHUP);
}

static void
define_settings(void)
{
	define_string("pg_ha.scope", "Name of the cluster in the store.",
				  &ha_scope, "", PGC_POSTMASTER);
	define_string("pg_ha.name", "Name of this member in the cluster.",
				  &ha_member_name, "", PGC_POSTMASTER);
	define_string("pg_ha.namespace", "First part of the cluster's keys.",
				  &ha_namespace, "service", PGC_POSTMASTER);
	define_string("pg_ha.etcd_endpoints", "URLs of the etcd cluster.",
				  &ha_etcd_endpoints, "", PGC_POSTMASTER);
	define_string("pg_ha.etcd_sites",
				  "Which endpoints of etcd are where: SITE=URL URL, SITE=URL.",
				  &ha_etcd_sites, "", PGC_SIGHUP);
	define_string("pg_ha.etcd_cacert", "CA certificates etcd is verified with.",
				  &ha_etcd_cacert, "", PGC_POSTMASTER);
	define_string("pg_ha.etcd_cert", "Client certificate for etcd.",
				  &ha_etcd_cert, "", PGC_POSTMASTER);
	define_string("pg_ha.etcd_key", "Key of the client certificate for etcd.",
				  &ha_etcd_key, "", PGC_POSTMASTER);
	define_string("pg_ha.etcd_user", "etcd user.",
				  &ha_etcd_user, "", PGC_POSTMASTER);
	define_string("pg_ha.etcd_password_file",
				  "File with the etcd user's password, of mode 0600.",
				  &ha_etcd_password_file, "", PGC_POSTMASTER);
	define_string("pg_ha.rest_auth_file",
				  "File with user:password for HTTP between members, of mode 0600.",
				  &ha_rest_auth_file, "", PGC_POSTMASTER);
	define_string("pg_ha.rest_cafile",
				  "CA certificates for HTTP between members.",
				  &ha_rest_cafile, "", PGC_POSTMASTER);
	define_string("pg_ha.rest_cert",
				  "Certificate of this member for HTTP.",
				  &ha_rest_cert, "", PGC_POSTMASTER);
	define_string("pg_ha.rest_key",
				  "Key of the certificate of this member for HTTP.",
				  &ha_rest_key, "", PGC_POSTMASTER);
	define_string("pg_ha.state_dir",
				  "Directory shared with pg_ha_boot; empty means the data directory's name with .pg_ha appended.",
				  &ha_state_dir, "", PGC_POSTMASTER);
	define_string("pg_ha.data_dir",
				  "Data directory that these settings are for; set by pg_ha_boot.",
				  &data_dir, "", PGC_POSTMASTER);
	DefineCustomStringVariable("pg_ha.tags", "Tags of this member.", NULL,
							   &ha_tags, "", PGC_SIGHUP, 0,
							   check_tags, NULL, NULL);
	define_string("pg_ha.replication_user", "Role that standbys connect as.",
				  &ha_replication_user, "ha_repl", PGC_SIGHUP);
	define_string("pg_ha.replication_passfile",
				  "Password file of the replication role, of mode 0600.",
				  &ha_replication_passfile, "", PGC_SIGHUP);
	define_string("pg_ha.replication_sslcert",
				  "Client certificate of the replication role.",
				  &ha_replication_sslcert, "", PGC_SIGHUP);
	define_string("pg_ha.replication_sslkey",
				  "Key of that client certificate.",
				  &ha_replication_sslkey, "", PGC_SIGHUP);
	define_string("pg_ha.replication_sslrootcert",
				  "CA certificates that members are verified with.",
				  &ha_replication_sslrootcert, "", PGC_SIGHUP);
	define_string("pg_ha.local_hba_file",
				  "File whose lines this server's pg_hba.conf gets.",
				  &ha_local_hba_file, "", PGC_SIGHUP);
	define_string("pg_ha.local_ident_file",
				  "File whose lines this server's pg_ident.conf gets.",
				  &ha_local_ident_file, "", PGC_SIGHUP);
	define_boot_settings();

	DefineCustomEnumVariable("pg_ha.fence",
							 "What is refused while the leadership is not proven.",
							 NULL, &ha_fence_level, HA_FENCE_WRITES,
							 fence_options, PGC_USERSET, 0,
							 check_fence, NULL, NULL);
	DefineCustomIntVariable("pg_ha.fence_wait",
							"How long a commit waits for the leadership to be proven again.",
							NULL, &ha_fence_wait, 5000, 0, 3600 * 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_ha.health_grace",
							"How long a leader that can't write goes on leading if another member can.",
							"-1 means the cluster's retry_timeout.",
							&ha_health_grace, -1, -1, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_ha.conf_epoch",
							"Version of the managed settings; set by pg_ha itself.",
							NULL, &ha_conf_epoch, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, assign_conf_epoch, NULL);
	MarkGUCPrefixReserved("pg_ha");
}

/* All processes that have a PGPROC: backends, auxiliaries, prepared ones not. */
static int
count_procs(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

static Size
shared_size(void)
{
	return add_size(offsetof(HaShared, procs),
					mul_size(count_procs(), sizeof(HaProcEpoch)));
}

static void
request_shared_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("pg_ha", 1);
}

void
ha_state_path(char *path, size_t size)
{
	if (ha_state_dir[0] != '\0')
		strlcpy(path, ha_state_dir, size);
	else
		snprintf(path, size, "%s.pg_ha", DataDir);
}

/*
 * A copy of a data directory has the settings of its origin in it.  Started beside that
 * by somebody else, it must not act under its name, nor in its state directory.
 */
static bool
is_copy(void)
{
	struct stat own;
	struct stat meant;

	return data_dir[0] != '\0' &&
		(stat(DataDir, &own) != 0 || stat(data_dir, &meant) != 0 ||
		 own.st_dev != meant.st_dev || own.st_ino != meant.st_ino);
}

static bool
is_member(void)
{
	return ha_scope[0] != '\0' && !is_copy();
}

/*
 * Recovery from a crash of a process may crash again, and again, and no worker
 * runs meanwhile that could tell: so the postmaster leaves a note for pg_ha_boot.
 */
static void
note_start(void)
{
	char		path[MAXPGPATH];
	char		err[256];
	HaControl  *control;

	ha_state_path(path, sizeof(path));
	control = ha_control_open(path, false, err, sizeof(err));
	if (control == NULL)
		return;					/* then no pg_ha_boot would read it */
	ha_control_note_start(control, MyProcPid);
	ha_control_close(control);
}

static void
attach_shared_memory(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ha_shared = ShmemInitStruct("pg_ha", shared_size(), &found);
	if (!found)
	{
		/* a loaded library is fenced until leadership is proven */
		memset(ha_shared, 0, shared_size());
		pg_atomic_init_u64(&ha_shared->deadline, 0);
		pg_atomic_init_u64(&ha_shared->held_until, 0);
		pg_atomic_init_u64(&ha_shared->refused, 0);
		pg_atomic_init_u64(&ha_shared->withheld, 0);
		pg_atomic_init_u32(&ha_shared->sync_required, 0);
		pg_atomic_init_u32(&ha_shared->look_anew, 0);
		pg_atomic_init_u32(&ha_shared->shows, 0);
		pg_atomic_init_u64(&ha_shared->postmaster_read, 0);
		pg_atomic_init_u64(&ha_shared->looked_at, 0);
		SpinLockInit(&ha_shared->mutex);
		ConditionVariableInit(&ha_shared->gate_cv);
		ConditionVariableInit(&ha_shared->ask_cv);
		ha_shared->lock = &(GetNamedLWLockTranche("pg_ha"))->lock;
		ha_shared->nprocs = count_procs();
	}
	LWLockRelease(AddinShmemInitLock);
	if (!found && IsPostmasterEnvironment && is_member())
		note_start();
}

static void
register_process(const char *name, const char *function)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, name, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "pg_ha", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
_PG_init(void)
{
	/* loaded by CREATE EXTENSION or a function: there is nothing to run */
	if (!process_shared_preload_libraries_in_progress)
		return;

	define_settings();
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_shared_memory;
	ha_fence_install();

	/* Without a cluster to belong to the server stays fenced, and alone. */
	if (is_member())
	{
		register_process("pg_ha worker", "ha_worker_main");
		register_process("pg_ha probe", "ha_probe_main");
		register_process("pg_ha hba", "ha_hba_main");
		return;
	}
	ereport(LOG,
			(ha_scope[0] == '\0' ?
			 errmsg("pg_ha is loaded but pg_ha.scope is not set") :
			 errmsg("pg_ha is loaded but its settings are those of data directory \"%s\"",
					data_dir),
			 errhint("The server refuses writes. Start it with pg_ha_boot, or remove pg_ha from shared_preload_libraries.")));
}
