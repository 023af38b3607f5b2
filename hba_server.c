/*-------------------------------------------------------------------------
 *
 * hba_server.c
 *	  pg_hba.conf and pg_ident.conf of this server, kept as their sources say.
 *
 * This is a process of its own, because all of it may hang: files of administrators
 * may be on any disk, rules are durable before they are used, and to parse some means
 * to ask a name server.  Nobody waits for this process.  It reads what the worker
 * publishes, and what it finds it publishes in turn.
 *
 * No rules get into the file that the server's own parser has not taken, so a reload
 * never fails, and the next start does not either.  What is wrong with a source is
 * told, and everything stays as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cryptohash.h"
#include "common/file_perm.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "control.h"
#include "hba_json.h"
#include "hba_rules.h"
#include "hba_server.h"
#include "pg_ha.h"

#define SAVED_SUFFIX	".before_pg_ha"
#define TEMP_SUFFIX		".pg_ha.tmp"

/* ms between two looks at the configuration, which is in memory */
#define LOOK_INTERVAL	500

/* One file with all its sources, as it is now. */
typedef struct Look
{
	HaAuthFile	file;
	const char *path;			/* where we may write it; and beside it, */
	char		saved_path[MAXPGPATH];	/* what was there before us */
	char	   *current;		/* texts; NULL = not there */
	char	   *saved;
	HaHbaHeader header;			/* of the current one, if that is ours */
	HaHbaFacts	facts;
	char	   *texts[HA_NHBA_SOURCES];
	HaHbaRow	rows[HA_NHBA_SOURCES];
} Look;

/* The cluster's configuration, as the worker has read it. */
typedef struct Configuration
{
	bool		known;
	bool		too_long;
	bool		refused;		/* the worker goes by an earlier one, so do we */
	int64		revision;
	int64		loop_wait;
	char	   *text;			/* NULL = there is none */
} Configuration;

/* What the parser said of a text, which need not be asked again. */
typedef struct Judgement
{
	char		sha256[HA_HBA_SHA_SIZE];
	int			rules;
	char		error[HA_HBA_ERROR_SIZE];
} Judgement;

static Judgement judged[HA_NAUTH_FILES][HA_NHBA_SOURCES];
static char told[HA_NAUTH_FILES][HA_HBA_ERROR_SIZE];	/* in the log */
static int64 restored_at[HA_NAUTH_FILES];

/*-------------------------------------------------------------------------
 * Files
 *-------------------------------------------------------------------------
 */

static void
checksum(const char *text, char *sha256)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(context, bytes, sizeof(bytes)) < 0)
		elog(ERROR, "could not compute a checksum");
	pg_cryptohash_free(context);
	for (int i = 0; i < sizeof(bytes); i++)
		snprintf(sha256 + 2 * i, 3, "%02x", bytes[i]);
}

/* NULL: it is not there or can't be used, which err says in either case. */
static char *
read_text(const char *path, char *err, size_t errlen)
{
	char	   *text = palloc(HA_HBA_MAX_TEXT + 1);
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY | O_NONBLOCK);
	ssize_t		length = fd >= 0 ? 0 : -1;
	ssize_t		n = 1;

	while (length >= 0 && n > 0 && length < HA_HBA_MAX_TEXT)
	{
		n = read(fd, text + length, HA_HBA_MAX_TEXT - length);
		length = n < 0 ? -1 : length + n;
	}
	if (length < 0)
		snprintf(err, errlen, "could not read file: %m");
	if (fd >= 0)
		CloseTransientFile(fd);
	if (length >= 0 && length < HA_HBA_MAX_TEXT &&
		memchr(text, '\0', length) == NULL)
	{
		text[length] = '\0';
		return text;
	}
	if (length >= 0)
		snprintf(err, errlen, length < HA_HBA_MAX_TEXT ?
				 "it has a zero byte in it" : "it is too long");
	pfree(text);
	return NULL;
}

/* All of it and on disk, or not at all. */
static bool
write_text(const char *path, const char *head, const char *text)
{
	char		temp[MAXPGPATH];
	int			fd;
	bool		ok;

	snprintf(temp, sizeof(temp), "%s" TEMP_SUFFIX, path);
	fd = OpenTransientFilePerm(temp, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY,
							   pg_file_create_mode);
	if (fd < 0)
		return false;
	errno = ENOSPC;				/* what a short write means */
	ok = write(fd, head, strlen(head)) == strlen(head) &&
		write(fd, text, strlen(text)) == strlen(text) && pg_fsync(fd) == 0;
	ok = CloseTransientFile(fd) == 0 && ok;
	return ok && durable_rename(temp, path, LOG) == 0;
}

/*-------------------------------------------------------------------------
 * Looking
 *-------------------------------------------------------------------------
 */

static const char *
setting_of(HaAuthFile file)
{
	return file == HA_AUTH_HBA ? HbaFileName : IdentFileName;
}

static const char *
local_setting_of(HaAuthFile file)
{
	return file == HA_AUTH_HBA ? ha_local_hba_file : ha_local_ident_file;
}

/*
 * Does the server read another file than the one in the data directory?  A symbolic
 * link says so, too: by a rename we would put a file in its place.
 */
static bool
is_foreign(HaAuthFile file, const char *path)
{
	struct stat own;
	struct stat set;

	if (lstat(path, &own) == 0 && S_ISLNK(own.st_mode))
		return true;
	if (strcmp(setting_of(file), path) == 0)
		return false;
	return lstat(path, &own) != 0 || stat(setting_of(file), &set) != 0 ||
		own.st_dev != set.st_dev || own.st_ino != set.st_ino;
}

/* Ask the parser, unless it has judged this very text before. */
static void
judge(HaAuthFile file, HaHbaSource source, const char *text, HaHbaRow *row)
{
	Judgement  *known = &judged[file][source];

	checksum(text, row->sha256);
	if (strcmp(known->sha256, row->sha256) != 0)
	{
		known->error[0] = '\0';
		if (!ha_rules_check(file, text, &known->rules, known->error,
							sizeof(known->error)))
			known->rules = -1;
		strlcpy(known->sha256, row->sha256, sizeof(known->sha256));
	}
	row->rules = known->rules;
	strlcpy(row->error, known->error, sizeof(row->error));
}

/* A source is there, at this place, with this text if it could be read. */
static void
put_source(Look *look, HaHbaSource source, const char *location, char *text)
{
	HaHbaRow   *row = &look->rows[source];

	look->facts.present[source] = row->present = true;
	look->texts[source] = text;
	strlcpy(row->location, location, sizeof(row->location));
	if (text != NULL)
		judge(look->file, source, text, row);
}

static void
look_at_file(Look *look)
{
	char		err[HA_HBA_ERROR_SIZE];

	look->current = read_text(look->path, err, sizeof(err));
	look->saved = read_text(look->saved_path, err, sizeof(err));
	look->facts.saved = look->saved != NULL;
	look->facts.managed = look->current != NULL &&
		ha_hba_header_read(look->current, look->file, &look->header);
	if (look->facts.managed)
	{
		char		sha256[HA_HBA_SHA_SIZE];

		checksum(look->current + look->header.length, sha256);
		look->facts.intact = strcmp(sha256, look->header.sha256) == 0;
	}
	else
		look->facts.intact = look->saved != NULL && look->current != NULL &&
			strcmp(look->current, look->saved) == 0;
}

static void
look_at_foreign(Look *look)
{
	HaHbaRow   *row = &look->rows[HA_HBA_FILE];
	char	   *text;

	if (!is_foreign(look->file, look->path))
		return;
	text = read_text(setting_of(look->file), row->error, sizeof(row->error));
	put_source(look, HA_HBA_FILE, setting_of(look->file), text);
}

static void
look_at_local(Look *look)
{
	const char *path = local_setting_of(look->file);
	HaHbaRow   *row = &look->rows[HA_HBA_LOCAL];

	if (path[0] != '\0')
		put_source(look, HA_HBA_LOCAL, path,
				   read_text(path, row->error, sizeof(row->error)));
}

static void
look_at_cluster(Look *look, const Configuration *config)
{
	HaHbaRow   *row = &look->rows[HA_HBA_CLUSTER];
	char		location[HA_HBA_LOCATION_SIZE];
	char	   *joined = NULL;

	look->facts.cluster_known = config->known;
	if (config->too_long)
		strlcpy(row->error, "the configuration is too long",
				sizeof(row->error));
	else if (config->text != NULL)
		joined = ha_hba_from_config(config->text, look->file, row->error,
									sizeof(row->error));
	if (joined == NULL && row->error[0] == '\0')
		return;
	snprintf(location, sizeof(location), "/%s/%s/config", ha_namespace,
			 ha_scope);
	put_source(look, HA_HBA_CLUSTER, location,
			   joined != NULL ? pstrdup(joined) : NULL);
	free(joined);
}

/* What the file is without us. */
static void
look_at_base(Look *look)
{
	bool		aside = look->facts.managed || look->facts.saved;
	char	   *text = aside ? look->saved : look->current;
	char		origin[HA_HBA_LOCATION_SIZE];

	if (text == NULL && !look->facts.managed)
		strlcpy(look->rows[HA_HBA_INITDB].error, "it cannot be read",
				HA_HBA_ERROR_SIZE);
	if (text != NULL && ha_hba_bootstrap_read(text, origin, sizeof(origin)))
		put_source(look, HA_HBA_BOOTSTRAP, origin, text);
	else
		put_source(look, HA_HBA_INITDB,
				   aside ? look->saved_path : look->path, text);
}

static void
look_at(Look *look, HaAuthFile file, const Configuration *config)
{
	memset(look, 0, sizeof(*look));
	look->file = file;
	look->path = psprintf("%s/%s", DataDir, ha_auth_file_name(file));
	snprintf(look->saved_path, sizeof(look->saved_path), "%s" SAVED_SUFFIX,
			 look->path);
	for (int i = 0; i < HA_NHBA_SOURCES; i++)
		look->rows[i].rules = -1;
	look_at_file(look);
	look_at_foreign(look);
	look_at_local(look);
	look_at_cluster(look, config);
	look_at_base(look);
}

/*-------------------------------------------------------------------------
 * Acting
 *-------------------------------------------------------------------------
 */

/* What the file shall begin with, and whether it is as it shall be. */
static void
compare(Look *look, HaHbaSource source, char *head, size_t size)
{
	HaHbaHeader header = {.source = source};
	const char *text = look->texts[source];
	size_t		length;

	strlcpy(header.location, look->rows[source].location,
			sizeof(header.location));
	strlcpy(header.sha256, look->rows[source].sha256, sizeof(header.sha256));
	length = ha_hba_header_print(head, size, look->file, &header);
	look->facts.good = text != NULL && look->rows[source].error[0] == '\0';
	look->facts.same = look->facts.good && look->current != NULL &&
		strncmp(look->current, head, length) == 0 &&
		strcmp(look->current + length, text) == 0;
}

/* true: the file is another one now, and the server has to read it. */
static bool
carry_out(Look *look, const HaHbaPlan *plan, const char *head)
{
	const char *name = ha_auth_file_name(look->file);
	const char *source = ha_hba_source_name(look->file, plan->source);
	bool		ok = true;

	if (plan->edited)
		ereport(LOG,
				(errmsg("%s was changed outside pg_ha; rewriting from source \"%s\"",
						name, source)));
	if (plan->deed == HA_HBA_SAVE_AND_WRITE)
		ok = look->current != NULL ?
			write_text(look->saved_path, "", look->current) :
			access(look->path, F_OK) != 0;
	if (plan->deed == HA_HBA_RESTORE)
		ok = durable_rename(look->saved_path, look->path, LOG) == 0;
	else
		ok = ok && write_text(look->path, head, look->texts[plan->source]);
	if (!ok)
	{
		snprintf(look->rows[plan->source].error, HA_HBA_ERROR_SIZE,
				 "could not write file \"%s\": %m", look->path);
		return false;
	}
	restored_at[look->file] = plan->deed == HA_HBA_RESTORE ?
		GetCurrentTimestamp() : 0;
	ereport(LOG,
			(errmsg("%s has the rules of source \"%s\" now", name, source)));
	return true;
}

/* One line in the log for each thing that is wrong, when it begins. */
static void
tell(Look *look, const HaHbaPlan *plan)
{
	HaHbaRow   *row = &look->rows[plan->source];
	const char *where = plan->source == HA_HBA_LOCAL ?
	psprintf("pg_ha.local_%s_file", look->file == HA_AUTH_HBA ? "hba" : "ident") :
	plan->source == HA_HBA_CLUSTER ? "the rules of the cluster in" :
	ha_auth_file_name(look->file);

	if (plan->lost && row->error[0] == '\0')
		snprintf(row->error, sizeof(row->error),
				 "\"%s\" is gone, so the file can't be put back",
				 look->saved_path);

	/* what the server itself reads, it complains of itself */
	if (plan->source != HA_HBA_FILE && row->error[0] != '\0' &&
		strcmp(told[look->file], row->error) != 0)
		ereport(WARNING,
				(errmsg("%s \"%s\": %s; previous rules stay in force",
						where, row->location, row->error)));
	strlcpy(told[look->file], plan->source != HA_HBA_FILE ? row->error : "",
			sizeof(told[look->file]));
}

/*
 * Which source the server goes by, by what stands in the file.  If that is an earlier
 * text of the source, then this is what counts, and not what was found there.
 */
static HaHbaSource
mark_in_force(Look *look, HaHbaSource chosen)
{
	HaHbaSource source = chosen;
	HaHbaRow   *row;
	struct stat st;

	if (chosen != HA_HBA_FILE)
		source = look->facts.managed ? look->header.source :
			look->facts.present[HA_HBA_BOOTSTRAP] ? HA_HBA_BOOTSTRAP :
			HA_HBA_INITDB;
	row = &look->rows[source];
	row->in_force = true;
	if (row->location[0] == '\0')
		strlcpy(row->location, look->header.location, sizeof(row->location));
	if (source == HA_HBA_FILE || !look->facts.managed)
		row->applied_at = source != HA_HBA_FILE ? restored_at[look->file] : 0;
	else
	{
		HaHbaRow	written = {0};

		judge(look->file, source, look->current + look->header.length, &written);
		row->rules = written.rules;
		strlcpy(row->sha256, written.sha256, sizeof(row->sha256));
		if (stat(look->path, &st) == 0)
			row->applied_at = time_t_to_timestamptz(st.st_mtime);
	}
	return source;
}

static void
publish(Look *look, HaHbaSource chosen)
{
	HaHbaSource in_force = mark_in_force(look, chosen);
	HaHbaState *state = &ha_shared->hba[look->file];
	HaHbaReport report;

	LWLockAcquire(ha_shared->lock, LW_EXCLUSIVE);
	state->known = true;
	memcpy(state->rows, look->rows, sizeof(state->rows));
	LWLockRelease(ha_shared->lock);

	if (look->file != HA_AUTH_HBA)
		return;
	memset(&report, 0, sizeof(report));
	strlcpy(report.source,
			ha_hba_source_name(look->file,
							   chosen < HA_HBA_CLUSTER ? chosen : in_force),
			sizeof(report.source));
	strlcpy(report.sha256, look->rows[in_force].sha256, sizeof(report.sha256));
	SpinLockAcquire(&ha_shared->mutex);
	ha_shared->hba_report = report;
	SpinLockRelease(&ha_shared->mutex);
}

/* Look, and do what is to be done; then what there is now is looked at again. */
static void
tend_file(HaAuthFile file, const Configuration *config)
{
	Look		look;
	HaHbaPlan	plan;
	char		head[HA_HBA_HEADER_SIZE];
	bool		changed = false;

	for (int i = 0; i < 2; i++)
	{
		look_at(&look, file, config);
		compare(&look, ha_hba_choose(look.facts.present), head, sizeof(head));
		ha_hba_plan(&look.facts, &plan);
		if (plan.deed == HA_HBA_KEEP || !carry_out(&look, &plan, head))
			break;
		changed = true;
	}
	tell(&look, &plan);
	publish(&look, plan.source);
	if (changed)
		(void) kill(PostmasterPid, SIGHUP);
}

/*-------------------------------------------------------------------------
 * The process
 *-------------------------------------------------------------------------
 */

/*
 * A configuration counts as a whole or not at all: while the worker refuses the one
 * that stands in the store, the rules of the last good one stay.
 */
static void
fall_back(Configuration *config)
{
	static char *good = NULL;

	if (config->refused)
	{
		config->known = good != NULL;
		config->too_long = false;
		config->text = good;
		return;
	}
	if (good != NULL)
		pfree(good);
	good = config->text != NULL ?
		MemoryContextStrdup(TopMemoryContext, config->text) : NULL;
}

static void
take_configuration(Configuration *config)
{
	const HaDocument *document = &ha_shared->documents[HA_DOCUMENT_CONFIG];

	memset(config, 0, sizeof(*config));
	config->text = palloc(sizeof(document->text));
	LWLockAcquire(ha_shared->lock, LW_SHARED);
	config->known = ha_shared->published.view.valid;
	config->loop_wait = ha_shared->published.config.loop_wait;
	config->refused = ha_shared->published.view.config_error[0] != '\0';
	config->revision = document->revision;
	config->too_long = document->too_long;
	memcpy(config->text, document->text, document->length + 1);
	LWLockRelease(ha_shared->lock);
	if (config->revision == 0 || config->too_long)
		config->text = NULL;
	fall_back(config);
}

static void
tend_files(const Configuration *config)
{
	for (int i = 0; i < HA_NAUTH_FILES; i++)
		tend_file(i, config);
}

void
ha_hba_main(Datum arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "pg_ha access files",
												  ALLOCSET_DEFAULT_SIZES);
	int64		seen_revision = -1;
	int64		due_at = 0;

	/* checksums want one */
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_ha hba");
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	MemoryContextSwitchTo(context);
	while (!ShutdownRequestPending)
	{
		Configuration config;

		ResetLatch(MyLatch);
		MemoryContextReset(context);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			memset(judged, 0, sizeof(judged));	/* files they name may differ */
			due_at = 0;
		}
		take_configuration(&config);
		if (config.revision != seen_revision || ha_now() >= due_at)
		{
			tend_files(&config);
			seen_revision = config.revision;
			due_at = ha_now() + Max(config.loop_wait, LOOK_INTERVAL);
		}
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_INTERVAL, PG_WAIT_EXTENSION);
	}

	/* anything but 0, or a stray signal would be the end of this process */
	proc_exit(1);
}

/*-------------------------------------------------------------------------
 * For others
 *-------------------------------------------------------------------------
 */

void
ha_hba_report(HaHbaReport *report)
{
	SpinLockAcquire(&ha_shared->mutex);
	*report = ha_shared->hba_report;
	SpinLockRelease(&ha_shared->mutex);
}

void
ha_hba_config_error(char *error, size_t size)
{
	error[0] = '\0';
	LWLockAcquire(ha_shared->lock, LW_SHARED);
	for (int i = 0; i < HA_NAUTH_FILES && error[0] == '\0'; i++)
	{
		const char *text = ha_shared->hba[i].rows[HA_HBA_CLUSTER].error;

		if (text[0] != '\0')
			ha_hba_fault(i, text, error, size);
	}
	LWLockRelease(ha_shared->lock);
}

char *
ha_hba_base_text(HaAuthFile file)
{
	Configuration nothing = {0};
	Look		look;

	look_at(&look, file, &nothing);
	return look.texts[look.facts.present[HA_HBA_BOOTSTRAP] ?
					  HA_HBA_BOOTSTRAP : HA_HBA_INITDB];
}
