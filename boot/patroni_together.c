/*-------------------------------------------------------------------------
 *
 * patroni_together.c
 *	  Patroni's configuration: what several keys make up.
 *
 * Endpoints of etcd, addresses with their ports, passwords with their users, methods
 * that are chosen in one place and described in another.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "patroni_translate.h"

#define LOCAL			"postgresql."
#define DCS				"bootstrap.dcs.postgresql."

__attribute__((format(printf, 1, 2)))
static char *
format_text(const char *format,...)
{
	char	   *text;
	va_list		args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

static char *
copy_of(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* Append to a list; false: it is full. */
static bool
append(char *list, size_t size, const char *separator, const char *item)
{
	size_t		n = strlen(list);

	if (snprintf(list + n, size - n, "%s%s", n > 0 ? separator : "", item) <
		(int) (size - n))
		return true;
	list[n] = '\0';
	return false;
}

static void
set(HaTranslation *t, const char *path, const char *name, const char *value)
{
	ha_translation_set(t, ha_yaml_find(t->root, path), path, name, value);
}

static void
fault(HaTranslation *t, const char *path, const char *text)
{
	ha_translation_say(t, HA_PATRONI_FAULT, ha_yaml_find(t->root, path), path,
					   "%s", text);
}

/*
 * A secret in a file of its own, to which a setting leads.  What can't stand in one
 * line can't be told to anybody.
 */
static void
set_secret(HaTranslation *t, const char *path, const char *name,
		   HaImportFile file, char *text)
{
	char		place[HA_PATRONI_VALUE_SIZE];

	if (text != NULL && strcspn(text, "\r\n") != strlen(text) - 1)
	{
		fault(t, path, "it has more than one line");
		explicit_bzero(text, strlen(text));
		free(text);
		return;
	}
	ha_translation_file(t, file, text);
	if (snprintf(place, sizeof(place), "%s/%s", t->dir,
				 ha_import_file_names[file]) < (int) sizeof(place))
		set(t, path, name, place);
	else
		fault(t, path, "the path of the directory is too long");
}

/* The value of the section postgresql, or the whole cluster's. */
static const HaYaml *
local_or_dcs(const HaTranslation *t, const char *key, const char **path)
{
	static char full[HA_PATRONI_PATH_SIZE];
	const HaYaml *at;

	snprintf(full, sizeof(full), LOCAL "%s", key);
	at = ha_yaml_find(t->root, full);
	if (at == NULL || ha_yaml_is_null(at))
	{
		snprintf(full, sizeof(full), DCS "%s", key);
		at = ha_yaml_find(t->root, full);
	}
	*path = full;
	return at != NULL && ha_yaml_is_null(at) ? NULL : at;
}

/*-------------------------------------------------------------------------
 * Addresses
 *-------------------------------------------------------------------------
 */

/* Where the port of "host:port" or "[v6]:port" begins; NULL: there is none. */
static char *
port_of(char *address)
{
	char	   *colon = strrchr(address, ':');

	if (colon == NULL || strchr(colon, ']') != NULL ||
		(address[0] != '[' && strchr(address, ':') != colon))
		return NULL;
	return colon + 1;
}

/* "a,b:5432": the addresses have the port in common. */
static void
take_listen(HaTranslation *t)
{
	static const char path[] = "postgresql.listen";
	const char *text = ha_translation_text(t, path);
	char		list[HA_PATRONI_VALUE_SIZE] = "";
	char	   *copy = copy_of(text);
	char	   *rest = copy;
	char	   *last = copy != NULL ? strrchr(copy, ',') : NULL;
	char	   *port = NULL;
	char	   *item;

	if (copy == NULL)
		return;
	port = port_of(last != NULL ? last + 1 : copy);
	if (port != NULL)
		port[-1] = '\0';
	while ((item = strsep(&rest, ", ")) != NULL)
	{
		size_t		n = strlen(item);

		if (item[0] == '[' && item[n - 1] == ']')
		{
			item[n - 1] = '\0';
			item++;
		}
		if (item[0] != '\0' && !append(list, sizeof(list), ",", item))
			fault(t, path, "its value is too long");
	}
	set(t, path, "listen_addresses", list);
	set(t, path, "port", port != NULL && port[0] != '\0' ? port : "5432");
	free(copy);
}

/* pg_ha listens on an address, not on a name. */
static void
take_rest_listen(HaTranslation *t)
{
	static const char path[] = "restapi.listen";
	const char *text = ha_translation_text(t, path);
	char	   *copy = copy_of(text);
	char	   *port;
	const char *host = copy;
	char	   *address;

	if (copy == NULL)
		return;
	port = port_of(copy);
	if (port != NULL)
		port[-1] = '\0';
	if (copy[0] == '*' || copy[0] == '\0')
		host = "0.0.0.0";
	else if (strcmp(copy, "localhost") == 0)
		host = "127.0.0.1";
	address = format_text("%s:%s", host, port != NULL ? port : "8008");
	if (address != NULL)
		set(t, path, "pg_ha.rest_listen", address);
	free(address);
	free(copy);
}

/* Without TLS there are no certificates to be asked for. */
static void
take_rest_cafile(HaTranslation *t)
{
	static const char path[] = "restapi.cafile";
	const char *text = ha_translation_text(t, path);

	if (text != NULL && ha_translation_text(t, "restapi.certfile") != NULL)
		set(t, path, "pg_ha.rest_cafile", text);
}

static void
take_allowlist(HaTranslation *t)
{
	static const char path[] = "restapi.allowlist";
	const HaYaml *at = ha_yaml_find(t->root, path);
	char		list[HA_PATRONI_VALUE_SIZE] = "";

	if (at == NULL || ha_yaml_is_null(at))
		return;
	if (at->kind == HA_YAML_SCALAR)
		append(list, sizeof(list), ",", at->text);
	for (at = at->first; at != NULL; at = at->next)
	{
		if (at->kind == HA_YAML_SCALAR &&
			!append(list, sizeof(list), ",", at->text))
			fault(t, path, "its value is too long");
	}
	set(t, path, "pg_ha.rest_allow", list);
}

static void
take_namespace(HaTranslation *t)
{
	static const char path[] = "namespace";
	char	   *copy = copy_of(ha_translation_text(t, path));
	char	   *start = copy;
	size_t		n;

	if (copy == NULL)
		return;
	start += strspn(start, "/");
	n = strlen(start);
	while (n > 0 && start[n - 1] == '/')
		start[--n] = '\0';
	if (start[0] != '\0')
		set(t, path, "pg_ha.namespace", start);
	free(copy);
}

/*-------------------------------------------------------------------------
 * etcd
 *-------------------------------------------------------------------------
 */

/* What is collected of one section, "etcd3" or "etcd". */
typedef struct Etcd
{
	const char *section;
	const char *protocol;
	char		endpoints[HA_PATRONI_VALUE_SIZE];
	char		user[HA_PATRONI_VALUE_SIZE];	/* of an URL, or '' */
	char		password[HA_PATRONI_VALUE_SIZE];
	bool		full;
} Etcd;

static const char *
etcd_path(const Etcd *etcd, const char *key, char *path, size_t size)
{
	snprintf(path, size, "%s.%s", etcd->section, key);
	return path;
}

static const char *
etcd_text(const HaTranslation *t, const Etcd *etcd, const char *key)
{
	char		path[64];

	return ha_translation_text(t, etcd_path(etcd, key, path, sizeof(path)));
}

/* Take "user:password@" out of an URL: it would be shown to everybody. */
static void
take_userinfo(Etcd *etcd, char *url)
{
	char	   *start = strstr(url, "://");
	char	   *at;

	if (start == NULL)
		return;
	start += strlen("://");
	at = strrchr(start, '@');
	if (at == NULL)
		return;
	*at = '\0';
	snprintf(etcd->user, sizeof(etcd->user), "%.*s",
			 (int) strcspn(start, ":"), start);
	if (strchr(start, ':') != NULL)
		snprintf(etcd->password, sizeof(etcd->password), "%s",
				 strchr(start, ':') + 1);
	memmove(start, at + 1, strlen(at + 1) + 1);
}

/* "host", "host:port" or an URL. */
static void
add_endpoint(Etcd *etcd, const char *item)
{
	char	   *copy = copy_of(item);
	char	   *url;

	if (copy == NULL || copy[0] == '\0')
	{
		free(copy);
		return;
	}
	if (strstr(copy, "://") != NULL)
	{
		take_userinfo(etcd, copy);
		url = copy_of(copy);
	}
	else
		url = format_text("%s://%s%s", etcd->protocol, copy,
						  port_of(copy) != NULL ? "" : ":2379");
	if (url == NULL || !append(etcd->endpoints, sizeof(etcd->endpoints), ",", url))
		etcd->full = true;
	free(url);
	free(copy);
}

/* A list, or a text with commas. */
static void
add_endpoints(HaTranslation *t, Etcd *etcd, const char *key)
{
	char		path[64];
	const HaYaml *at;
	char	   *copy;
	char	   *rest;
	char	   *item;

	at = ha_yaml_find(t->root, etcd_path(etcd, key, path, sizeof(path)));
	if (at == NULL || ha_yaml_is_null(at))
		return;
	if (at->kind != HA_YAML_SCALAR)
	{
		for (at = at->first; at != NULL; at = at->next)
		{
			if (at->kind == HA_YAML_SCALAR)
				add_endpoint(etcd, at->text);
		}
		return;
	}
	rest = copy = copy_of(at->text);
	while ((item = strsep(&rest, ", '\"")) != NULL)
		add_endpoint(etcd, item);
	free(copy);
}

static void
set_etcd_credentials(HaTranslation *t, const Etcd *etcd)
{
	const char *user = etcd_text(t, etcd, "username");
	const char *password = etcd_text(t, etcd, "password");
	const char *cert = etcd_text(t, etcd, "cert");
	const char *key = etcd_text(t, etcd, "key");
	const char *cacert = etcd_text(t, etcd, "cacert");
	char		path[64];

	etcd_path(etcd, "username", path, sizeof(path));
	if (user == NULL && etcd->user[0] != '\0')
		user = etcd->user;
	if (password == NULL && etcd->password[0] != '\0')
		password = etcd->password;
	if (user != NULL)
		set(t, path, "pg_ha.etcd_user", user);
	if (password != NULL)
		set_secret(t, etcd_path(etcd, "password", path, sizeof(path)),
				   "pg_ha.etcd_password_file", HA_IMPORT_ETCD_PASSWORD,
				   format_text("%s\n", password));
	if (cacert != NULL)
		set(t, etcd_path(etcd, "cacert", path, sizeof(path)),
			"pg_ha.etcd_cacert", cacert);
	if (cert == NULL)
		return;
	set(t, etcd_path(etcd, "cert", path, sizeof(path)), "pg_ha.etcd_cert", cert);

	/* Patroni lets the key be in the same file, and so does curl. */
	set(t, etcd_path(etcd, "key", path, sizeof(path)), "pg_ha.etcd_key",
		key != NULL ? key : cert);
}

static void
take_etcd(HaTranslation *t)
{
	static const char *const keys[] = {"proxy", "url", "hosts", "host"};
	const char *protocol;
	Etcd		etcd = {.section = "etcd3"};

	if (ha_yaml_find(t->root, etcd.section) == NULL)
		etcd.section = "etcd";
	protocol = etcd_text(t, &etcd, "protocol");
	etcd.protocol = protocol != NULL ? protocol : "http";
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) &&
		 etcd.endpoints[0] == '\0'; i++)
		add_endpoints(t, &etcd, keys[i]);
	if (etcd.full)
		fault(t, etcd.section, "it names too many endpoints");
	else if (etcd.endpoints[0] == '\0')
		fault(t, etcd.section, "no endpoint of etcd is given: pg_ha needs etcd, in \"etcd3\" or \"etcd\"");
	else
	{
		set(t, etcd.section, "pg_ha.etcd_endpoints", etcd.endpoints);
		set_etcd_credentials(t, &etcd);
	}
	explicit_bzero(etcd.password, sizeof(etcd.password));
}

/*-------------------------------------------------------------------------
 * Passwords
 *-------------------------------------------------------------------------
 */

/* A field of libpq's passfile. */
static char *
escape_field(const char *text)
{
	char	   *escaped = malloc(2 * strlen(text) + 1);
	char	   *to = escaped;

	for (; escaped != NULL && *text != '\0'; text++)
	{
		if (*text == ':' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	if (escaped != NULL)
		*to = '\0';
	return escaped;
}

static void
take_replication_password(HaTranslation *t)
{
	static const char path[] = "postgresql.authentication.replication.password";
	const char *user = ha_translation_text(t, "postgresql.authentication.replication.username");
	const char *password = ha_translation_text(t, path);
	char	   *fields[2];

	if (password == NULL)
		return;
	fields[0] = escape_field(user != NULL ? user : "ha_repl");
	fields[1] = escape_field(password);
	set_secret(t, path, "pg_ha.replication_passfile", HA_IMPORT_PASSFILE,
			   fields[0] != NULL && fields[1] != NULL ?
			   format_text("*:*:*:%s:%s\n", fields[0], fields[1]) : NULL);
	if (fields[1] != NULL)
		explicit_bzero(fields[1], strlen(fields[1]));
	free(fields[0]);
	free(fields[1]);
}

static void
take_rest_auth(HaTranslation *t)
{
	static const char path[] = "restapi.authentication";
	const char *user = ha_translation_text(t, "restapi.authentication.username");
	const char *password = ha_translation_text(t, "restapi.authentication.password");

	if (user == NULL && password == NULL)
		return;
	if (user == NULL || password == NULL)
		fault(t, path, "username and password must be given together");
	else if (strchr(user, ':') != NULL)
		fault(t, path, "HTTP allows no colon in a user's name");
	else
		set_secret(t, path, "pg_ha.rest_auth_file", HA_IMPORT_REST_AUTH,
				   format_text("%s:%s\n", user, password));
}

/*-------------------------------------------------------------------------
 * Rewinding and cloning
 *-------------------------------------------------------------------------
 */

/* -1: not given, or (told) no switch. */
static int
switch_of(HaTranslation *t, const char *key)
{
	const char *path;
	const HaYaml *at = local_or_dcs(t, key, &path);
	HaYaml		plain;
	bool		on;

	if (at == NULL)
		return -1;
	plain = *at;
	plain.plain = true;			/* within quotes, too */
	if (ha_yaml_is_bool(&plain, &on))
		return on;
	if (at->kind == HA_YAML_SCALAR)
		fault(t, path, "it must be true or false");
	return -1;
}

static void
take_policy(HaTranslation *t)
{
	int			rewind = switch_of(t, "use_pg_rewind");
	int			failed = switch_of(t, "remove_data_directory_on_rewind_failure");
	int			diverged = switch_of(t, "remove_data_directory_on_diverged_timelines");

	if (rewind >= 0)
		set(t, LOCAL "use_pg_rewind", "pg_ha.rewind", rewind ? "on" : "off");
	if (failed >= 0 || diverged >= 0)
		set(t, LOCAL "remove_data_directory_on_rewind_failure",
			"pg_ha.rebuild_on_divergence",
			failed > 0 || diverged > 0 ? "on" : "off");
}

/* One option of pg_basebackup, as "key: value" or, of switches, as a text. */
static void
take_basebackup_option(HaTranslation *t, const HaYaml *at, const char *path)
{
	const char *name = at->key != NULL ? at->key : at->text;
	char		full[HA_PATRONI_PATH_SIZE];
	const char *setting = NULL;

	if (name == NULL)
		return;
	snprintf(full, sizeof(full), "%s.%.100s", path, name);
	if (strcmp(name, "max-rate") == 0)
		setting = "pg_ha.clone_max_rate";
	else if (strcmp(name, "waldir") == 0)
		setting = "pg_ha.wal_dir";
	if (setting == NULL || at->key == NULL || at->kind != HA_YAML_SCALAR)
		ha_translation_say(t, HA_PATRONI_DROPPED, at, full,
						   "it is not passed on to pg_basebackup");
	else
		ha_translation_set(t, at, full, setting, at->text);
}

static void
take_basebackup(HaTranslation *t)
{
	char		path[HA_PATRONI_PATH_SIZE];
	const char *found;
	const HaYaml *options = local_or_dcs(t, "basebackup", &found);

	if (options == NULL)
		return;
	snprintf(path, sizeof(path), "%s", found);
	for (const HaYaml *at = options->first; at != NULL; at = at->next)
	{
		if (at->kind != HA_YAML_MAPPING)
			take_basebackup_option(t, at, path);
		else
		{
			for (const HaYaml *pair = at->first; pair != NULL; pair = pair->next)
				take_basebackup_option(t, pair, path);
		}
	}
}

/* The list of methods; both names of it are in use. */
static const HaYaml *
clone_methods(const HaTranslation *t)
{
	const HaYaml *at = ha_yaml_find(t->root, LOCAL "create_replica_methods");

	if (at == NULL)
		at = ha_yaml_find(t->root, LOCAL "create_replica_method");
	return at != NULL && at->kind == HA_YAML_LIST ? at : NULL;
}

bool
ha_translation_is_method(const HaTranslation *t, const char *path)
{
	const HaYaml *list = clone_methods(t);
	const char *method = ha_translation_text(t, "bootstrap.method");

	if (strncmp(path, "bootstrap.", strlen("bootstrap.")) == 0)
		return method != NULL &&
			strcmp(path + strlen("bootstrap."), method) == 0 &&
			ha_patroni_key(path) == NULL && !ha_patroni_is_section(path);
	if (list == NULL || strncmp(path, LOCAL, strlen(LOCAL)) != 0 ||
		ha_patroni_key(path) != NULL || ha_patroni_is_section(path))
		return false;
	for (const HaYaml *at = list->first; at != NULL; at = at->next)
	{
		if (at->kind == HA_YAML_SCALAR &&
			strcmp(path + strlen(LOCAL), at->text) == 0)
			return true;
	}
	return false;
}

/* Is a switch of a method on?  Patroni takes 1 for true, too. */
static bool
is_on(const HaYaml *method, const char *key)
{
	const HaYaml *at = ha_yaml_member(method, key);
	bool		on;

	return (ha_yaml_is_bool(at, &on) && on) ||
		(at != NULL && at->kind == HA_YAML_SCALAR && strcmp(at->text, "1") == 0);
}

/* Tell what becomes of the keys of a method. */
static void
say_method(HaTranslation *t, const HaYaml *method, const char *path,
		   const char *becomes)
{
	for (const HaYaml *at = method->first; at != NULL; at = at->next)
	{
		char		full[HA_PATRONI_PATH_SIZE];
		bool		flag = strcmp(at->key, "no_leader") == 0 ||
		strcmp(at->key, "keep_data") == 0;

		snprintf(full, sizeof(full), "%s.%s", path, at->key);
		if (strcmp(at->key, "command") == 0 ||
			(flag && strncmp(path, LOCAL, strlen(LOCAL)) == 0))
			ha_translation_say(t, HA_PATRONI_APPROXIMATED, at, full, "%s",
							   becomes);
		else
			ha_translation_say(t, HA_PATRONI_DROPPED, at, full,
							   "programs get no parameters, but an environment");
	}
}

/* Add one method to the list; false: it can't be one. */
static bool
add_method(HaTranslation *t, const char *name, char *list, size_t size)
{
	char		path[HA_PATRONI_PATH_SIZE];
	char	   *entry;
	const HaYaml *method;
	const HaYaml *command;
	bool		fits;

	if (strcmp(name, "basebackup") == 0)
		return append(list, size, ", ", name);
	snprintf(path, sizeof(path), LOCAL "%.100s", name);
	method = ha_yaml_find(t->root, path);
	command = ha_yaml_member(method, "command");
	if (command == NULL || command->kind != HA_YAML_SCALAR)
	{
		fault(t, path, "this method has no command");
		return false;
	}
	if (command->text[0] != '/' || strpbrk(command->text, " \t,") != NULL)
	{
		ha_translation_say(t, HA_PATRONI_DROPPED, command, path,
						   "a method is the absolute path of a program, without arguments: write a script");
		return false;
	}
	say_method(t, method, path, "pg_ha.clone_methods; see docs/clone.md for its environment");
	entry = format_text("%s%s%s", command->text,
						is_on(method, "no_leader") ? " no_leader" : "",
						is_on(method, "keep_data") ? " keep_data" : "");
	fits = entry != NULL && append(list, size, ", ", entry);
	free(entry);
	return fits;
}

static void
take_clone_methods(HaTranslation *t)
{
	const HaYaml *methods = clone_methods(t);
	char		list[HA_PATRONI_VALUE_SIZE] = "";

	if (methods == NULL)
		return;
	for (const HaYaml *at = methods->first; at != NULL; at = at->next)
	{
		if (at->kind == HA_YAML_SCALAR)
			add_method(t, at->text, list, sizeof(list));
	}
	if (list[0] != '\0')
		ha_translation_set(t, methods, LOCAL "create_replica_methods",
						   "pg_ha.clone_methods", list);
}

/*-------------------------------------------------------------------------
 * Access rules, and a new cluster
 *-------------------------------------------------------------------------
 */

/* The lines of a list, as a file; NULL: there are none, or (told) a bad one. */
static char *
lines_of(HaTranslation *t, const char *path)
{
	const HaYaml *list = ha_yaml_find(t->root, path);
	char	   *text = NULL;
	size_t		size;
	FILE	   *file;

	if (list == NULL || list->kind != HA_YAML_LIST || list->first == NULL)
		return NULL;
	file = open_memstream(&text, &size);
	for (const HaYaml *at = list->first; file != NULL && at != NULL; at = at->next)
	{
		if (at->kind != HA_YAML_SCALAR)
			continue;
		if (strpbrk(at->text, "\r\n") != NULL)
			ha_translation_say(t, HA_PATRONI_FAULT, at, path,
							   "an entry has more than one line");
		fprintf(file, "%s\n", at->text);
	}
	if (file == NULL || fclose(file) != 0)
	{
		t->broken = true;
		free(text);
		return NULL;
	}
	return text;
}

static void
take_rules(HaTranslation *t)
{
	static const struct
	{
		const char *path;
		HaImportFile file;
		const char *setting;	/* NULL: it is an option */
	}			rules[] = {
		{"bootstrap.pg_hba", HA_IMPORT_HBA, NULL},
		{"postgresql.pg_hba", HA_IMPORT_LOCAL_HBA, "pg_ha.local_hba_file"},
		{"postgresql.pg_ident", HA_IMPORT_LOCAL_IDENT, "pg_ha.local_ident_file"},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		char	   *text = lines_of(t, rules[i].path);
		char		place[HA_PATRONI_VALUE_SIZE];

		if (text == NULL)
			continue;
		ha_translation_file(t, rules[i].file, text);
		if (rules[i].setting == NULL)
			continue;
		snprintf(place, sizeof(place), "%s/%s", t->dir,
				 ha_import_file_names[rules[i].file]);
		set(t, rules[i].path, rules[i].setting, place);
	}
}

/*
 * Patroni writes where these are into a postgresql.conf that a clone takes along, to a
 * node whose data may be elsewhere.
 */
static void
take_places_of_rules(HaTranslation *t)
{
	static const struct
	{
		const char *setting;
		const char *name;
	}			files[] = {
		{"hba_file", "pg_hba.conf"},
		{"ident_file", "pg_ident.conf"},
	};
	const char *config_dir = ha_translation_text(t, "postgresql.config_dir");

	if (t->data_dir == NULL || t->data_dir[0] != '/' ||
		(config_dir != NULL && strcmp(config_dir, t->data_dir) != 0))
		return;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
	{
		char		key[HA_PATRONI_PATH_SIZE];
		const char *path;
		char	   *place;

		snprintf(key, sizeof(key), "parameters.%s", files[i].setting);
		if (local_or_dcs(t, key, &path) != NULL)
			continue;
		place = format_text("%s/%s", t->data_dir, files[i].name);
		if (place != NULL)
			set(t, "postgresql.data_dir", files[i].setting, place);
		free(place);
	}
}

static void
add_initdb_option(HaTranslation *t, const HaYaml *at, const char *name,
				  const char *value)
{
	HaImport   *import = t->import;
	char	   *option;

	if (import->ninitdb == HA_IMPORT_OPTIONS)
	{
		ha_translation_say(t, HA_PATRONI_FAULT, at, "bootstrap.initdb",
						   "there are more than %d options", HA_IMPORT_OPTIONS);
		return;
	}
	option = value != NULL ? format_text("--%s=%s", name, value) :
		format_text("--%s", name);
	if (option == NULL)
		t->broken = true;
	else
		import->initdb[import->ninitdb++] = option;
}

/* A list of switches and of mappings, or a mapping. */
static void
take_initdb(HaTranslation *t)
{
	const HaYaml *list = ha_yaml_find(t->root, "bootstrap.initdb");
	const char *user = ha_translation_text(t, "postgresql.authentication.superuser.username");

	for (const HaYaml *at = list != NULL ? list->first : NULL; at != NULL;
		 at = at->next)
	{
		const HaYaml *pair = at->kind == HA_YAML_MAPPING ? at->first : at;

		if (pair == NULL || pair->kind != HA_YAML_SCALAR)
			ha_translation_say(t, HA_PATRONI_FAULT, at, "bootstrap.initdb",
							   "an option must be a text, or a key with a value");
		else if (pair->key == NULL)
			add_initdb_option(t, at, pair->text, NULL);
		else
			add_initdb_option(t, at, pair->key, pair->text);
	}
	if (user != NULL)
		add_initdb_option(t, list, "username", user);
}

static void
take_bootstrap(HaTranslation *t)
{
	const char *method = ha_translation_text(t, "bootstrap.method");
	const char *post_init = ha_translation_text(t, "bootstrap.post_bootstrap");
	char		path[HA_PATRONI_PATH_SIZE];
	const HaYaml *section;
	const HaYaml *command;

	if (post_init == NULL)
		post_init = ha_translation_text(t, "bootstrap.post_init");
	t->import->post_init = copy_of(post_init);
	if (method == NULL || strcmp(method, "initdb") == 0)
	{
		take_initdb(t);
		return;
	}
	snprintf(path, sizeof(path), "bootstrap.%.100s", method);
	section = ha_yaml_find(t->root, path);
	command = ha_yaml_member(section, "command");
	if (command == NULL || command->kind != HA_YAML_SCALAR)
	{
		fault(t, "bootstrap.method", "this method has no command");
		return;
	}
	say_method(t, section, path, "--command; see docs/bootstrap.md for its environment");
	t->import->command = copy_of(command->text);
}

void
ha_translation_together(HaTranslation *t)
{
	take_namespace(t);
	take_etcd(t);
	take_listen(t);
	take_rest_listen(t);
	take_rest_cafile(t);
	take_allowlist(t);
	take_replication_password(t);
	take_rest_auth(t);
	take_policy(t);
	take_basebackup(t);
	take_clone_methods(t);
	take_rules(t);
	take_places_of_rules(t);
	take_bootstrap(t);
	t->import->bin_dir = copy_of(ha_translation_text(t, "postgresql.bin_dir"));
}
