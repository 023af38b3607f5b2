/*-------------------------------------------------------------------------
 *
 * patroni_import.c
 *	  Patroni's configuration, translated key by key.
 *
 * The tree is walked in the order of the file.  The table of keys says what is done
 * with each; what is done is told in the same breath, so that the report can't claim
 * something else.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../config_json.h"
#include "../config_values_json.h"
#include "../hba_json.h"
#include "../json_guard.h"
#include "patroni_translate.h"

#define LENGTH_OF(array)	((int) (sizeof(array) / sizeof((array)[0])))
#define DCS				"bootstrap.dcs."

const char *const ha_import_file_names[HA_IMPORT_NFILES] = {
	"node.conf", "cluster.json", "passfile", "rest_auth", "etcd_password",
	"bootstrap_hba.conf", "local_hba.conf", "local_ident.conf"
};

/* What pg_ha sets, or what must be as it sets it. */
static const char *const managed[] = {
	"hot_standby", "primary_conninfo", "primary_slot_name",
	"promote_trigger_file", "restart_after_crash", "standby_mode",
	"synchronous_standby_names", "trigger_file", "wal_log_hints",
};

/* What Patroni takes from the cluster's configuration alone. */
static const char *const cluster_only[] = {
	"max_connections", "max_locks_per_transaction",
	"max_prepared_transactions", "max_replication_slots", "max_wal_senders",
	"max_worker_processes", "track_commit_timestamp", "wal_level",
};

/* What stands elsewhere. */
static const char *const elsewhere[] = {
	"config_file", "data_directory", "listen_addresses", "port",
};

/*
 * What may not be set for a whole cluster, since whoever can write to etcd must not
 * get to run a program or to read a file: config.c has the rule, which only a server
 * can apply.  It leaves out what is missing here.
 */
static const char *const node_only[] = {
	"archive_cleanup_command", "archive_command", "archive_library", "bonjour",
	"bonjour_name", "cluster_name", "dynamic_library_path", "event_source",
	"extension_control_path", "external_pid_file", "hba_file", "ident_file",
	"jit_provider", "krb_server_keyfile", "local_preload_libraries",
	"log_directory", "log_filename", "oauth_validator_libraries",
	"recovery_end_command", "recovery_min_apply_delay", "restore_command",
	"search_path", "session_preload_libraries", "shared_preload_libraries",
	"ssl_ca_file", "ssl_cert_file", "ssl_ciphers", "ssl_crl_dir",
	"ssl_crl_file", "ssl_dh_params_file", "ssl_ecdh_curve", "ssl_groups",
	"ssl_key_file", "ssl_passphrase_command", "ssl_tls13_ciphers",
	"stats_temp_directory", "superuser_reserved_connections",
	"synchronized_standby_slots", "syslog_ident", "unix_socket_directories",
	"unix_socket_group", "unix_socket_permissions",
};

static bool
is_one_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

#define IS_ONE_OF(name, names)	is_one_of(name, names, LENGTH_OF(names))

/*-------------------------------------------------------------------------
 * Telling and writing
 *-------------------------------------------------------------------------
 */

void
ha_translation_say(HaTranslation *t, HaPatroniFate fate, const HaYaml *at,
				   const char *path, const char *format,...)
{
	char		where[1200];
	char		text[1024];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (at == NULL)
		at = t->root;
	snprintf(where, sizeof(where), at->line > 0 ? "%s:%d" : "%s", at->source,
			 at->line);
	t->import->counts[fate]++;
	t->sink->say(t->sink->arg, fate, where, path, text);
}

static bool
is_setting_name(const char *name)
{
	return name[0] != '\0' && strlen(name) < 64 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_.") == strlen(name) &&
		(name[0] < '0' || name[0] > '9') && name[0] != '.';
}

/* A line break would begin a line of its own. */
static bool
is_one_line(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

bool
ha_translation_set(HaTranslation *t, const HaYaml *at, const char *path,
				   const char *name, const char *value)
{
	const char *fault = NULL;

	if (!is_setting_name(name))
		fault = "its name is not that of a setting";
	else if (!is_one_line(value))
		fault = "its value has more than one line, or a control character";
	else if (strlen(value) >= HA_PATRONI_VALUE_SIZE)
		fault = "its value is too long";
	if (fault != NULL)
	{
		ha_translation_say(t, HA_PATRONI_FAULT, at, path, "%s", fault);
		return false;
	}
	fprintf(t->node, "%s = '", name);
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '\'' || *c == '\\')
			putc(*c, t->node);
		putc(*c, t->node);
	}
	fprintf(t->node, "'\n");
	return true;
}

void
ha_translation_file(HaTranslation *t, HaImportFile file, char *text)
{
	if (text == NULL)
		t->broken = true;
	free(t->import->files[file]);
	t->import->files[file] = text;
}

const char *
ha_translation_text(const HaTranslation *t, const char *path)
{
	const HaYaml *at = ha_yaml_find(t->root, path);

	if (at == NULL || at->kind != HA_YAML_SCALAR || ha_yaml_is_null(at))
		return NULL;
	return at->text;
}

/*-------------------------------------------------------------------------
 * Values as JSON
 *-------------------------------------------------------------------------
 */

static bool
is_number(const char *text, bool *whole)
{
	size_t		n = strspn(text + (text[0] == '-'), "0123456789");

	*whole = n > 0 && n < 19 && text[n + (text[0] == '-')] == '\0';
	if (n == 0)
		return false;
	return *whole ||
		(text[n + (text[0] == '-')] == '.' &&
		 strspn(text, "-0123456789.") == strlen(text) &&
		 strchr(text, '.') == strrchr(text, '.') && strlen(text) < 32);
}

/* "eager": a number or switch within quotes is one all the same. */
static json_t *
scalar_json(const HaYaml *at, bool eager)
{
	HaYaml		plain = *at;
	bool		value;
	bool		whole;

	if (eager)
		plain.plain = true;
	if (ha_yaml_is_null(at))
		return json_null();
	if (ha_yaml_is_bool(&plain, &value))
		return json_boolean(value);
	if (plain.plain && is_number(at->text, &whole))
		return whole ? json_integer(strtoll(at->text, NULL, 10)) :
			json_real(strtod(at->text, NULL));
	return json_string(at->text);
}

/* NULL: out of memory, or no UTF-8. */
static json_t *
value_json(const HaYaml *at, bool eager)
{
	json_t	   *json;

	if (at->kind == HA_YAML_SCALAR)
		return scalar_json(at, eager);
	json = at->kind == HA_YAML_LIST ? json_array() : ha_json_object();
	for (at = at->first; at != NULL && json != NULL; at = at->next)
	{
		json_t	   *child = value_json(at, false);
		int			result = at->key != NULL ?
		json_object_set_new(json, at->key, child) :
		json_array_append_new(json, child);

		if (result == 0)
			continue;
		json_decref(json);
		json = NULL;
	}
	return json;
}

/* The object of that key, made if it is not there; NULL: out of memory. */
static json_t *
inner(json_t *object, const char *key)
{
	if (json_object_get(object, key) == NULL)
		json_object_set_new(object, key, ha_json_object());
	return json_object_get(object, key);
}

/*
 * Put it into the configuration.  "path" is relative to its top, and what is behind
 * "parameters." is one name, dots or not.
 */
static void
put_config(HaTranslation *t, const char *path, json_t *value)
{
	static const char section[] = "postgresql.";
	static const char subsection[] = "parameters.";
	json_t	   *object = t->config;

	if (strncmp(path, section, strlen(section)) == 0)
	{
		object = inner(object, "postgresql");
		path += strlen(section);
		if (strncmp(path, subsection, strlen(subsection)) == 0)
		{
			object = inner(object, "parameters");
			path += strlen(subsection);
		}
	}
	if (json_object_set_new(object, path, value) != 0)
		t->broken = true;
}

/*-------------------------------------------------------------------------
 * One key
 *-------------------------------------------------------------------------
 */

static bool
is_list_of_texts(const HaYaml *at)
{
	for (at = at->first; at != NULL; at = at->next)
	{
		if (at->kind != HA_YAML_SCALAR)
			return false;
	}
	return true;
}

/* NULL, or what is wrong with it. */
static const char *
fault_of_form(const HaYaml *at, HaPatroniForm form)
{
	switch (form)
	{
		case HA_PATRONI_TEXT:
			return at->kind == HA_YAML_SCALAR ? NULL :
				"it must be a single value, not a list or a mapping";
		case HA_PATRONI_LIST:
			return at->kind == HA_YAML_LIST && is_list_of_texts(at) ? NULL :
				"it must be a list of texts";
		case HA_PATRONI_TEXT_OR_LIST:
			return at->kind == HA_YAML_SCALAR ||
				(at->kind == HA_YAML_LIST && is_list_of_texts(at)) ? NULL :
				"it must be a text or a list of texts";
		default:
			return NULL;
	}
}

/* A setting of the server, for the node file. */
static void
take_parameter(HaTranslation *t, const HaPatroniKey *row, const HaYaml *at,
			   const char *path)
{
	const char *name = at->key;

	if (IS_ONE_OF(name, managed) ||
		strncasecmp(name, "recovery_target", strlen("recovery_target")) == 0)
		ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
						   "pg_ha sets it");
	else if (IS_ONE_OF(name, elsewhere))
		ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
						   "it comes from postgresql.listen and data_dir");
	else if (strncasecmp(name, "pg_ha.", strlen("pg_ha.")) == 0)
		ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
						   "settings of pg_ha are made from Patroni's own keys");
	else if (strncmp(path, "postgresql.parameters.",
					 strlen("postgresql.parameters.")) == 0 &&
			 IS_ONE_OF(name, cluster_only))
		ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
						   "Patroni takes it from the cluster's configuration alone");
	else if (ha_translation_set(t, at, path, name, at->text))
		ha_translation_say(t, row->fate, at, path, "%s", row->note);
}

/* One for the cluster's configuration, unless only a node may have it. */
static void
take_cluster_parameter(HaTranslation *t, const HaPatroniKey *row,
					   const HaYaml *at, const char *path)
{
	const char *name = at->key;

	if (IS_ONE_OF(name, node_only))
	{
		if (!ha_translation_set(t, at, path, name, at->text))
			return;
		t->moved = true;
		ha_translation_say(t, HA_PATRONI_APPROXIMATED, at, path,
						   "the setting of that name in the node file, so in that of every member");
	}
	else if (IS_ONE_OF(name, managed) || IS_ONE_OF(name, elsewhere) ||
			 strncasecmp(name, "pg_ha.", strlen("pg_ha.")) == 0 ||
			 strncasecmp(name, "recovery_target",
						 strlen("recovery_target")) == 0)
		take_parameter(t, row, at, path);
	else
	{
		put_config(t, path + strlen(DCS), value_json(at, false));
		ha_translation_say(t, row->fate, at, path,
						   "postgresql.parameters of the cluster's configuration");
	}
}

static void
take_tag(HaTranslation *t, const HaPatroniKey *row, const HaYaml *at,
		 const char *path)
{
	size_t		n = strlen(t->tags);
	const char *text = at->text;
	bool		on;

	if (ha_yaml_is_bool(at, &on))
		text = on ? "true" : "false";
	if (strpbrk(at->key, ",= ") != NULL || strchr(text, ',') != NULL)
	{
		ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
						   "a tag can't have a comma, or a blank or = in its name");
		return;
	}
	if (snprintf(t->tags + n, sizeof(t->tags) - n, "%s%s=%s",
				 n > 0 ? ", " : "", at->key, text) >= (int) (sizeof(t->tags) - n))
	{
		t->tags[n] = '\0';
		ha_translation_say(t, HA_PATRONI_FAULT, at, path,
						   "there are too many tags");
		return;
	}
	ha_translation_say(t, row->fate, at, path, "%s", row->note);
}

static void
use_row(HaTranslation *t, const HaPatroniKey *row, const HaYaml *at,
		const char *path)
{
	switch (row->use)
	{
		case HA_PATRONI_SETTING:
			if (!ha_translation_set(t, at, path, row->note, at->text))
				return;
			break;
		case HA_PATRONI_PARAMETER:
			take_parameter(t, row, at, path);
			return;
		case HA_PATRONI_CLUSTER_PARAMETER:
			take_cluster_parameter(t, row, at, path);
			return;
		case HA_PATRONI_TAG:
			take_tag(t, row, at, path);
			return;
		case HA_PATRONI_CONFIG:
			put_config(t, path + strlen(DCS), value_json(at, true));
			break;
		default:
			break;				/* later, or never */
	}
	ha_translation_say(t, row->fate, at, path, "%s", row->note);
}

static void
say_unknown(HaTranslation *t, const HaYaml *at, const char *path)
{
	char		nearest[128];

	ha_patroni_nearest(path, nearest, sizeof(nearest));
	if (nearest[0] != '\0')
		ha_translation_say(t, HA_PATRONI_UNKNOWN, at, path,
						   "there is no such key; did you mean \"%s\"?",
						   nearest);
	else
		ha_translation_say(t, HA_PATRONI_UNKNOWN, at, path,
						   "no version of Patroni that is known has this key");
}

static void
walk(HaTranslation *t, const HaYaml *mapping, const char *prefix)
{
	for (const HaYaml *at = mapping->first; at != NULL; at = at->next)
	{
		char		path[HA_PATRONI_PATH_SIZE];
		const HaPatroniKey *row;
		const char *fault;

		snprintf(path, sizeof(path), "%s%s%s", prefix,
				 prefix[0] != '\0' ? "." : "", at->key);
		row = ha_patroni_key(path);
		if (ha_translation_is_method(t, path))
			continue;			/* told together with the others of it */
		if (row == NULL && !ha_patroni_is_section(path))
			say_unknown(t, at, path);
		else if (ha_yaml_is_null(at))
		{
			if (row != NULL)
				ha_translation_say(t, HA_PATRONI_DROPPED, at, path,
								   "it has no value");
		}
		else if (row != NULL && (fault = fault_of_form(at, row->form)) != NULL)
			ha_translation_say(t, HA_PATRONI_FAULT, at, path, "%s", fault);
		else if (row != NULL)
			use_row(t, row, at, path);
		else if (at->kind != HA_YAML_MAPPING)
			ha_translation_say(t, HA_PATRONI_FAULT, at, path,
							   "it must be a mapping");
		else
			walk(t, at, path);
	}
}

/*-------------------------------------------------------------------------
 * The whole
 *-------------------------------------------------------------------------
 */

/*
 * Patroni's defaults of these three are not pg_ha's, and a cluster shall not change
 * how long it waits by being imported.
 */
static void
complete_timing(HaTranslation *t)
{
	static const struct
	{
		const char *key;
		int			seconds;
	}			timing[] = {{"ttl", 30}, {"loop_wait", 10}, {"retry_timeout", 10}};

	for (int i = 0; i < LENGTH_OF(timing); i++)
	{
		char		path[64];

		if (json_object_get(t->config, timing[i].key) != NULL)
			continue;
		snprintf(path, sizeof(path), DCS "%s", timing[i].key);
		if (json_object_set_new(t->config, timing[i].key,
								json_integer(timing[i].seconds)) != 0)
			t->broken = true;
		ha_translation_say(t, HA_PATRONI_APPROXIMATED,
						   ha_yaml_find(t->root, "bootstrap.dcs"), path,
						   "not given: Patroni's default, %d, is written, which is not pg_ha's",
						   timing[i].seconds);
	}
}

/* As it would be checked later, but with the place. */
static void
check_config(HaTranslation *t, const char *json)
{
	static const char path[] = "bootstrap.dcs";
	const HaYaml *at = ha_yaml_find(t->root, path);
	HaParameters *parameters = malloc(sizeof(HaParameters));
	HaConfig	config;
	char		err[256] = "";

	if (parameters == NULL)
		t->broken = true;
	else if (!ha_config_parse(json, strlen(json), &config, err, sizeof(err)) ||
			 !ha_config_parameters(json, strlen(json), parameters, err,
								   sizeof(err)))
		ha_translation_say(t, HA_PATRONI_FAULT, at, path, "%s", err);
	free(parameters);
	for (int file = HA_AUTH_HBA; file <= HA_AUTH_IDENT; file++)
	{
		char		text[300];

		free(ha_hba_from_config(json, (HaAuthFile) file, err, sizeof(err)));
		if (err[0] == '\0')
			continue;
		ha_hba_fault((HaAuthFile) file, err, text, sizeof(text));
		ha_translation_say(t, HA_PATRONI_FAULT, at, path, "%s", text);
	}
}

static void
finish_config(HaTranslation *t)
{
	char	   *json = json_dumps(t->config, JSON_INDENT(2));

	if (json == NULL)
	{
		ha_translation_say(t, HA_PATRONI_FAULT,
						   ha_yaml_find(t->root, "bootstrap.dcs"),
						   "bootstrap.dcs", "it can't be written as JSON");
		return;
	}
	check_config(t, json);
	ha_translation_file(t, HA_IMPORT_CONFIG, json);
}

static void
translate(HaTranslation *t)
{
	fprintf(t->node, "# Made of the configuration of Patroni by pg_ha_boot import-patroni.\n");
	walk(t, t->root, "");
	complete_timing(t);
	ha_translation_together(t);
	if (t->tags[0] != '\0')
		ha_translation_set(t, ha_yaml_find(t->root, "tags"), "tags",
						   "pg_ha.tags", t->tags);
	finish_config(t);
}

bool
ha_import_translate(const HaYaml *root, const char *dir, const char *data_dir,
					const HaImportSink *sink, HaImport *import)
{
	HaTranslation t = {.root = root,.dir = dir,.sink = sink,.import = import};
	char	   *text = NULL;
	size_t		size;

	memset(import, 0, sizeof(*import));
	if (root->kind != HA_YAML_MAPPING)
	{
		ha_translation_say(&t, HA_PATRONI_FAULT, root, "",
						   "a mapping of Patroni's keys was expected");
		return false;
	}
	t.data_dir = data_dir[0] != '\0' ? data_dir :
		ha_translation_text(&t, "postgresql.data_dir");
	t.node = open_memstream(&text, &size);
	t.config = ha_json_object();
	if (t.node != NULL && t.config != NULL)
		translate(&t);
	if (t.node == NULL || fclose(t.node) != 0)
		text = NULL;
	ha_translation_file(&t, HA_IMPORT_NODE, text);
	json_decref(t.config);
	if (t.broken)
		ha_translation_say(&t, HA_PATRONI_FAULT, root, "", "out of memory");
	return import->counts[HA_PATRONI_FAULT] == 0;
}

/* What is in them may be secret. */
static void
forget(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void
ha_import_free(HaImport *import)
{
	for (int i = 0; i < HA_IMPORT_NFILES; i++)
		forget(import->files[i]);
	for (int i = 0; i < import->ninitdb; i++)
		free(import->initdb[i]);
	free(import->bin_dir);
	free(import->command);
	free(import->post_init);
	memset(import, 0, sizeof(*import));
}
