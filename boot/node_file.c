/*-------------------------------------------------------------------------
 *
 * node_file.c
 *	  Read and check the node file.
 *
 * Three steps, so that all faults are told at once: scan the lines into
 * settings (text and line number of each known name, the last one wins as in
 * the server), check each value by the kind that its name has, then check what
 * concerns several values.  A value is refused here rather than in the running
 * server: what passes can be put into a configuration file, a JSON string or
 * an URL as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "port.h"

#include "../names.h"
#include "../suggest.h"
#include "../tags_json.h"
#include "address.h"
#include "clone_config.h"
#include "node_file.h"
#include "rest_access.h"
#include "words.h"

#define PREFIX			"pg_ha."
#define LINE_SIZE		4096
#define DEFAULT_PORT	5432
#define DEFAULT_REST	"127.0.0.1:8008"
#define DEFAULT_ROLE	"ha_repl"
#define DEFAULT_START_TIMEOUT	30000
#define DEFAULT_CALLBACK_TIMEOUT	30000
#define MAX_CALLBACK_TIMEOUT	3600000

typedef enum KeyKind
{
	KEY_NAME,					/* [A-Za-z0-9_.-]{1,63} */
	KEY_PATH,					/* absolute, or empty */
	KEY_TEXT,					/* checked by a function of its own */
	KEY_SWITCH,					/* on or off */
	KEY_SERVER,					/* for the extension, or kept as something
								 * else than text: not copied */
	KEY_LATER,					/* has no effect yet, which is said */
} KeyKind;

typedef struct Key
{
	const char *name;			/* without the prefix */
	KeyKind		kind;
	bool		required;
	size_t		offset;			/* in HaNode, of the first four kinds */
	size_t		size;
} Key;

const char *const ha_callback_names[HA_CALLBACKS] = {
	"on_start", "on_stop", "on_restart", "on_reload", "on_role_change",
	"pre_promote", "before_stop"
};

#define FIELD(member) \
	offsetof(HaNode, member), sizeof(((HaNode *) NULL)->member)

/* Every name there is.  "port" and "listen_addresses" are handled apart. */
static const Key keys[] = {
	{"scope", KEY_NAME, true, FIELD(scope)},
	{"name", KEY_NAME, true, FIELD(name)},
	{"namespace", KEY_NAME, false, FIELD(name_space)},
	{"etcd_endpoints", KEY_TEXT, true, FIELD(etcd_endpoints)},
	{"etcd_cacert", KEY_PATH, false, FIELD(etcd_cacert)},
	{"etcd_cert", KEY_PATH, false, FIELD(etcd_cert)},
	{"etcd_key", KEY_PATH, false, FIELD(etcd_key)},
	{"etcd_user", KEY_TEXT, false, FIELD(etcd_user)},
	{"etcd_password_file", KEY_PATH, false, FIELD(etcd_password_file)},
	{"connect_address", KEY_TEXT, false, FIELD(connect_host)},
	{"rest_listen", KEY_TEXT, false, FIELD(rest_listen)},
	{"rest_connect_address", KEY_TEXT, false, FIELD(rest_connect_address)},
	{"rest_auth_file", KEY_PATH, false, FIELD(rest_auth_file)},
	{"rest_cert", KEY_PATH, false, FIELD(rest_cert)},
	{"rest_key", KEY_PATH, false, FIELD(rest_key)},
	{"rest_cafile", KEY_PATH, false, FIELD(rest_cafile)},
	{"rest_allow", KEY_TEXT, false, FIELD(rest_allow)},
	{"tags", KEY_TEXT, false, FIELD(tags)},
	{"replication_user", KEY_NAME, false, FIELD(replication_user)},
	{"replication_passfile", KEY_PATH, false, FIELD(replication_passfile)},
	{"replication_sslcert", KEY_PATH, false, FIELD(replication_sslcert)},
	{"replication_sslkey", KEY_PATH, false, FIELD(replication_sslkey)},
	{"replication_sslrootcert", KEY_PATH, false, FIELD(replication_sslrootcert)},
	{"state_dir", KEY_PATH, false, FIELD(state_dir)},
	{"clone_methods", KEY_TEXT, false, FIELD(clone_methods)},
	{"clone_max_rate", KEY_TEXT, false, FIELD(clone_max_rate)},
	{"tablespace_mapping", KEY_TEXT, false, FIELD(tablespace_mapping)},
	{"keep_aside", KEY_TEXT, false, FIELD(keep_aside)},
	{"wal_dir", KEY_PATH, false, FIELD(wal_dir)},
	{"rewind", KEY_SWITCH, false, FIELD(rewind)},
	{"rebuild_on_divergence", KEY_SWITCH, false, FIELD(rebuild_on_divergence)},
	{"start_without_dcs", KEY_SERVER, false, 0, 0},
	{"dcs_start_timeout", KEY_SERVER, false, 0, 0},
	{"fence", KEY_SERVER, false, 0, 0},
	{"fence_wait", KEY_SERVER, false, 0, 0},
	{"health_grace", KEY_SERVER, false, 0, 0},
	{"local_hba_file", KEY_PATH, false, FIELD(local_hba_file)},
	{"local_ident_file", KEY_PATH, false, FIELD(local_ident_file)},
	{"site", KEY_TEXT, false, FIELD(site)},
	{"etcd_sites", KEY_SERVER, false, 0, 0},
	{"etcd_srv", KEY_LATER, false, 0, 0},
	{"on_start", KEY_TEXT, false, FIELD(callbacks[HA_ON_START])},
	{"on_stop", KEY_TEXT, false, FIELD(callbacks[HA_ON_STOP])},
	{"on_restart", KEY_TEXT, false, FIELD(callbacks[HA_ON_RESTART])},
	{"on_reload", KEY_TEXT, false, FIELD(callbacks[HA_ON_RELOAD])},
	{"on_role_change", KEY_TEXT, false, FIELD(callbacks[HA_ON_ROLE_CHANGE])},
	{"pre_promote", KEY_TEXT, false, FIELD(callbacks[HA_PRE_PROMOTE])},
	{"before_stop", KEY_TEXT, false, FIELD(callbacks[HA_BEFORE_STOP])},
	{"callback_timeout", KEY_SERVER, false, 0, 0},
};

/* The text of one setting; line 0 = it does not stand in the file. */
typedef struct Setting
{
	int			line;
	bool		broken;			/* it does, but its text could not be read */
	char		text[HA_TEXT_SIZE];
} Setting;

/* The file while it is being read. */
typedef struct NodeFile
{
	const char *path;
	HaNode	   *node;
	const HaFaultSink *sink;
	Setting		settings[lengthof(keys)];	/* in the order of keys[] */
	Setting		port;
	Setting		listen_addresses;
	bool		etcd_is_local;	/* every endpoint is a loopback address */
	int			nfaults;
} NodeFile;

/* Tell of something at a line (0 = of the file as a whole), with a hint. */
static void tell(NodeFile *file, bool warning, const char *code, int line,
				 const char *hint, const char *fmt, va_list args)
			pg_attribute_printf(6, 0);

static void
tell(NodeFile *file, bool warning, const char *code, int line,
	 const char *hint, const char *fmt, va_list args)
{
	char		message[2 * HA_TEXT_SIZE];
	char		text[sizeof(message) + HA_PATH_SIZE + 16];

	vsnprintf(message, sizeof(message), fmt, args);
	if (line > 0)
		snprintf(text, sizeof(text), "%s:%d: %s", file->path, line, message);
	else
		snprintf(text, sizeof(text), "%s: %s", file->path, message);
	file->sink->take(file->sink->arg, warning, code, text, hint);
	if (!warning)
		file->nfaults++;
}

static void fault(NodeFile *file, int line, const char *hint,
				  const char *fmt,...) pg_attribute_printf(4, 5);

static void
fault(NodeFile *file, int line, const char *hint, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	tell(file, false, "P01", line, hint, fmt, args);
	va_end(args);
}

/* The same of an address that others could not reach. */
static void fault_of_address(NodeFile *file, int line, const char *hint,
							 const char *fmt,...) pg_attribute_printf(4, 5);

static void
fault_of_address(NodeFile *file, int line, const char *hint,
				 const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	tell(file, false, "P13", line, hint, fmt, args);
	va_end(args);
}

/* What does not keep the node from running. */
static void warn(NodeFile *file, const char *code, int line, const char *hint,
				 const char *fmt,...) pg_attribute_printf(5, 6);

static void
warn(NodeFile *file, const char *code, int line, const char *hint,
	 const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	tell(file, true, code, line, hint, fmt, args);
	va_end(args);
}

/*
 * Scanning: the grammar of the server's guc-file.l, one line at a time.
 */

static void
fault_no_such_key(NodeFile *file, int line, const char *name)
{
	HaSuggestion suggestion;
	char		hint[128];

	ha_suggest_begin(&suggestion, name);
	for (int i = 0; i < lengthof(keys); i++)
		ha_suggest_offer(&suggestion, keys[i].name);
	if (strncmp(name, "watchdog", strlen("watchdog")) == 0)
		snprintf(hint, sizeof(hint), "%s",
				 "Leave it out: every backend looks at the lease's deadline by itself, no watchdog is needed (P19).");
	else if (suggestion.nearest != NULL)
		snprintf(hint, sizeof(hint), "Did you mean \"" PREFIX "%s\"?",
				 suggestion.nearest);
	else
		snprintf(hint, sizeof(hint),
				 "The documentation of the node file lists every setting.");
	fault(file, line, hint, "there is no setting \"" PREFIX "%s\"", name);
}

/* Where the setting of that (lower case) name goes; NULL = nowhere. */
static Setting *
find_setting(NodeFile *file, int line, const char *name)
{
	if (strcmp(name, "port") == 0)
		return &file->port;
	if (strcmp(name, "listen_addresses") == 0)
		return &file->listen_addresses;
	if (strcmp(name, "include") == 0 || strcmp(name, "include_dir") == 0 ||
		strcmp(name, "include_if_exists") == 0)
	{
		warn(file, "P01", line,
			 "Settings of pg_ha, port and listen_addresses must stand in the node file itself.",
			 "only the server follows \"%s\"", name);
		return NULL;
	}
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return NULL;			/* some other setting of the server */
	name += strlen(PREFIX);
	for (int i = 0; i < lengthof(keys); i++)
	{
		if (strcmp(keys[i].name, name) == 0)
			return &file->settings[i];
	}
	fault_no_such_key(file, line, name);
	return NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_letter(char c)
{
	return isalpha((unsigned char) c) || c == '_' || IS_HIGHBIT_SET(c);
}

static bool
is_letter_or_digit(char c)
{
	return is_letter(c) || isdigit((unsigned char) c);
}

/* Scan a name, folded to lower case; the text behind it, or NULL. */
static const char *
scan_name(const char *p, char *name, size_t size)
{
	size_t		n = 0;
	bool		dot = false;

	if (!is_letter(*p))
		return NULL;
	while (is_letter_or_digit(*p) || (*p == '.' && !dot && is_letter(p[1])))
	{
		if (n >= size - 1)
			return NULL;
		dot |= *p == '.';
		name[n++] = pg_tolower((unsigned char) *p++);
	}
	name[n] = '\0';
	return p;
}

/* One escape of a quoted value, behind the backslash; the text behind it. */
static const char *
scan_escape(const char *p, char *c)
{
	static const char from[] = "bfnrt";
	static const char to[] = "\b\f\n\r\t";
	const char *letter = *p != '\0' ? strchr(from, *p) : NULL;

	if (*p >= '0' && *p <= '7')
	{
		int			octal = 0;

		for (int i = 0; i < 3 && *p >= '0' && *p <= '7'; i++)
			octal = octal * 8 + (*p++ - '0');
		*c = (char) octal;
		return p;
	}
	*c = letter != NULL ? to[letter - from] : *p;
	return *p != '\0' ? p + 1 : p;
}

/*
 * Scan a value into text; the text behind it, or NULL.  Unquoted ones are
 * words or numbers to the server, so "127.0.0.1:5432" without quotes is none.
 */
static const char *
scan_value(const char *p, char *text, size_t size)
{
	size_t		n = 0;

	if (*p != '\'')
	{
		const char *more = is_letter(*p) ? "-._:/" : "+-.";
		bool		word = is_letter(*p);
		int			dots = 0;

		while (is_letter_or_digit(*p) || (*p != '\0' && strchr(more, *p)))
		{
			if (n >= size - 1 || (!word && *p == '.' && ++dots > 1))
				return NULL;
			text[n++] = *p++;
		}
		text[n] = '\0';
		return n > 0 ? p : NULL;
	}

	for (p++; *p != '\0'; n++)
	{
		if (n >= size)
			return NULL;
		if (*p == '\\')
			p = scan_escape(p + 1, &text[n]);
		else if (*p == '\'' && p[1] != '\'')
		{
			text[n] = '\0';
			return p + 1;
		}
		else
		{
			p += *p == '\'' ? 2 : 1;
			text[n] = p[-1];
		}
	}
	return NULL;				/* the quote is not closed */
}

static void
scan_line(NodeFile *file, int line, const char *p)
{
	static const char hint[] =
	"Write: name = 'value'; paths and addresses need the quotes, and a quote inside is doubled.";
	char		name[128];
	char		text[HA_TEXT_SIZE];
	Setting    *setting;

	while (is_blank(*p))
		p++;
	if (*p == '\0' || *p == '#')
		return;
	p = scan_name(p, name, sizeof(name));
	if (p == NULL)
	{
		fault(file, line, hint, "a setting's name was expected");
		return;
	}
	setting = find_setting(file, line, name);
	while (is_blank(*p))
		p++;
	if (*p == '=')
		p++;
	while (is_blank(*p))
		p++;
	p = scan_value(p, text, sizeof(text));
	while (p != NULL && is_blank(*p))
		p++;
	if (p == NULL || (*p != '\0' && *p != '#'))
	{
		if (setting != NULL)
			setting->broken = true;
		fault(file, line, hint,
			  "the value of \"%s\" is missing, too long or not well quoted",
			  name);
	}
	else if (setting != NULL)
	{
		setting->line = line;
		strlcpy(setting->text, text, sizeof(setting->text));
	}
}

/* Control characters have no place in any value, and would break files. */
static void
check_printable(NodeFile *file, Setting *setting, const char *name)
{
	for (const char *c = setting->text; *c != '\0'; c++)
	{
		if ((unsigned char) *c >= ' ' && *c != 0x7f)
			continue;
		fault(file, setting->line, "Remove it.",
			  "the value of \"%s\" contains a control character", name);
		setting->broken = true;
		return;
	}
}

static bool
scan_file(NodeFile *file)
{
	static const char hint[] =
	"Give a file that the server's user can read with -c.";
	char		buf[LINE_SIZE];
	int			line = 0;
	FILE	   *stream = fopen(file->path, "r");
	bool		ok;

	if (stream == NULL)
	{
		fault(file, 0, hint, "could not open node file: %m");
		return false;
	}
	while (fgets(buf, sizeof(buf), stream) != NULL)
	{
		size_t		length = strlen(buf);

		line++;
		if (length > 0 && buf[length - 1] == '\n')
			buf[length - 1] = '\0';
		else if (!feof(stream))
		{
			fault(file, line, "Break it up.",
				  "the line is too long or holds a zero byte");
			fclose(stream);
			return false;
		}
		scan_line(file, line, buf);
	}
	ok = !ferror(stream);
	if (!ok)
		fault(file, 0, hint, "could not read node file: %m");
	fclose(stream);
	return ok;
}

/*
 * Checking.
 */

static Setting *
setting_of(NodeFile *file, const char *name)
{
	for (int i = 0; i < lengthof(keys); i++)
	{
		if (strcmp(keys[i].name, name) == 0)
			return &file->settings[i];
	}
	pg_unreachable();
}

static void
fault_too_long(NodeFile *file, int line, const char *name)
{
	fault(file, line, "Shorten it.", "the value of \"%s\" is too long", name);
}

static bool
parse_switch(const char *text, bool *on)
{
	static const char *const words[] = {
		"off", "on", "false", "true", "no", "yes", "0", "1"
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (pg_strcasecmp(text, words[i]) == 0)
		{
			*on = i % 2 == 1;
			return true;
		}
	}
	return false;
}

/* Copy a value of one of the simple kinds into the node. */
static void
check_value(NodeFile *file, const Key *key, const Setting *value)
{
	char		name[64];
	char	   *field = (char *) file->node + key->offset;

	if (value->broken)
		return;
	snprintf(name, sizeof(name), PREFIX "%s", key->name);
	if (value->text[0] == '\0' && key->required)
	{
		fault(file, value->line, "Every member needs it in its node file.",
			  "setting \"%s\" is missing", name);
		return;
	}
	if (value->line == 0)
		return;					/* the default is there already */
	if (key->kind == KEY_LATER)
	{
		warn(file, "P01", value->line, "Remove it.",
			 "setting \"%s\" has no effect in this version", name);
		return;
	}
	if (key->kind == KEY_SERVER)
		return;
	if (key->kind == KEY_NAME && !ha_name_is_valid(value->text))
		fault(file, value->line,
			  "Use 1 to 63 letters, digits, dots, hyphens and underscores.",
			  "the value of \"%s\" is no name: \"%s\"", name, value->text);
	else if (key->kind == KEY_NAME && strcmp(value->text, HA_NOBODY) == 0)
		fault(file, value->line, "Choose another name.",
			  "the name \"%s\" is reserved for a standby that never is there",
			  HA_NOBODY);
	else if (key->kind == KEY_NAME &&
			 strcmp(value->text, HA_REMOTE_SOURCE) == 0)
		fault(file, value->line, "Choose another name.",
			  "the name \"%s\" is reserved for where a standby cluster's WAL comes from",
			  HA_REMOTE_SOURCE);
	else if (key->kind == KEY_PATH && value->text[0] != '\0' &&
			 !is_absolute_path(value->text))
		fault(file, value->line, "Give an absolute path.",
			  "the value of \"%s\" is a relative path: \"%s\"",
			  name, value->text);
	else if (key->kind == KEY_SWITCH)
	{
		if (!parse_switch(value->text, (bool *) field))
			fault(file, value->line, "Give on or off.",
				  "the value of \"%s\" is neither on nor off: \"%s\"",
				  name, value->text);
	}
	else if (strlcpy(field, value->text, key->size) >= key->size)
		fault_too_long(file, value->line, name);
}

/* One URL of etcd_endpoints; notes in the file if it is not a loopback one. */
static void
check_endpoint(NodeFile *file, int line, const char *url)
{
	static const char hint[] =
	"Write http://host:port or https://host:port, separated by commas.";
	char		authority[HA_TEXT_SIZE];
	char		host[256];
	const char *rest;
	int			port = 2379;

	if (strchr(url, '@') != NULL)
	{
		/* The value is not repeated here: it holds a password. */
		fault(file, line,
			  "Use pg_ha.etcd_user and pg_ha.etcd_password_file.",
			  "an etcd endpoint contains a user name or password");
		return;
	}
	if (pg_strncasecmp(url, "http://", 7) == 0)
		rest = url + 7;
	else if (pg_strncasecmp(url, "https://", 8) == 0)
		rest = url + 8;
	else
		rest = "";
	strlcpy(authority, rest, sizeof(authority));
	if (authority[0] != '\0' && authority[strlen(authority) - 1] == '/')
		authority[strlen(authority) - 1] = '\0';
	if (!ha_address_parse(authority, host, sizeof(host), &port))
		fault(file, line, hint, "\"%s\" is not the URL of an etcd endpoint",
			  url);
	else if (!ha_host_is_loopback(host))
		file->etcd_is_local = false;
}

static void
check_etcd(NodeFile *file)
{
	const Setting *endpoints = setting_of(file, "etcd_endpoints");
	HaNode	   *node = file->node;
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *url;
	int			n = 0;

	file->etcd_is_local = true;
	strlcpy(list, endpoints->text, sizeof(list));
	while ((url = strsep(&rest, ", \t")) != NULL)
	{
		if (url[0] == '\0')
			continue;
		check_endpoint(file, endpoints->line, url);
		n++;
	}
	if (n == 0 && endpoints->text[0] != '\0')
		fault(file, endpoints->line, "Give at least one URL.",
			  "\"pg_ha.etcd_endpoints\" names no endpoint");
	if ((node->etcd_cert[0] == '\0') != (node->etcd_key[0] == '\0'))
		fault(file, 0, "Set both or neither.",
			  "only one of \"pg_ha.etcd_cert\" and \"pg_ha.etcd_key\" is set");
	if ((node->etcd_user[0] == '\0') != (node->etcd_password_file[0] == '\0'))
		fault(file, 0, "Set both or neither.",
			  "only one of \"pg_ha.etcd_user\" and \"pg_ha.etcd_password_file\" is set");
}

/*
 * Where others would find the server if connect_address does not tell: the
 * first listen address that is not of this host alone.
 */
static void
default_connect_host(NodeFile *file, char *host, size_t size)
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *address;

	strlcpy(host, "127.0.0.1", size);
	strlcpy(list, file->listen_addresses.text, sizeof(list));
	while ((address = strsep(&rest, ", \t")) != NULL)
	{
		if (address[0] == '\0' || ha_host_is_loopback(address) || ha_host_is_wildcard(address))
			continue;
		if (!ha_host_is_valid(address))
			fault(file, file->listen_addresses.line,
				  "Give addresses or host names, or set pg_ha.connect_address.",
				  "\"%s\" in \"listen_addresses\" is not an address", address);
		else if (strlcpy(host, address, size) >= size)
			fault_too_long(file, file->listen_addresses.line,
						   "listen_addresses");
		return;
	}
}

static void
check_connect_address(NodeFile *file)
{
	const Setting *address = setting_of(file, "connect_address");
	HaNode	   *node = file->node;

	node->port = DEFAULT_PORT;
	if (file->port.line > 0 && !ha_port_parse(file->port.text, &node->port))
		fault(file, file->port.line, "Give a number from 1 to 65535.",
			  "the value of \"port\" is no port: \"%s\"", file->port.text);
	if (file->listen_addresses.line > 0 &&
		file->listen_addresses.text[0] == '\0')
		fault(file, file->listen_addresses.line,
			  "Members stream from each other over TCP.",
			  "\"listen_addresses\" must not be empty");

	if (address->text[0] == '\0')
		default_connect_host(file, node->connect_host,
							 sizeof(node->connect_host));
	else if (!ha_address_parse(address->text, node->connect_host,
							   sizeof(node->connect_host), &node->port) ||
			 ha_host_is_wildcard(node->connect_host))
	{
		fault_of_address(file, address->line,
						 "Write 'host:port', with the address that other members connect to.",
						 "the value of \"pg_ha.connect_address\" is no address: \"%s\"",
						 address->text);
		return;
	}
	if (ha_host_is_loopback(node->connect_host) && !file->etcd_is_local)
		fault_of_address(file, address->line,
						 "Set pg_ha.connect_address to an address of this host that other members can reach.",
						 "members on other hosts could not connect to \"%s\"",
						 node->connect_host);
}

/* The default is fine for one host; with peers elsewhere it misleads them. */
static void
check_rest_reach(NodeFile *file, const char *host, int line)
{
	static const char hint[] =
	"Set pg_ha.rest_connect_address to an address of this host that other members can reach.";

	if (!ha_host_is_loopback(host) || file->etcd_is_local)
		return;
	if (line > 0)
		fault_of_address(file, line, hint,
						 "members on other hosts could not reach HTTP at \"%s\"",
						 host);
	else
		warn(file, "P13", 0, hint,
			 "members on other hosts cannot reach HTTP at \"%s\"", host);
}

static void
check_rest_access(NodeFile *file)
{
	const HaNode *node = file->node;
	HaRestAccess access;
	char		bad[HA_TEXT_SIZE];

	if ((node->rest_cert[0] != '\0') != (node->rest_key[0] != '\0'))
		fault(file, Max(setting_of(file, "rest_cert")->line,
						setting_of(file, "rest_key")->line),
			  "TLS needs both.",
			  "one of \"pg_ha.rest_cert\" and \"pg_ha.rest_key\" is missing");
	if (node->rest_cafile[0] != '\0' && node->rest_cert[0] == '\0')
		fault(file, setting_of(file, "rest_cafile")->line,
			  "Certificates of clients can be asked for over TLS only.",
			  "\"pg_ha.rest_cafile\" needs \"pg_ha.rest_cert\"");
	if (!ha_rest_parse_networks(node->rest_allow, &access, bad, sizeof(bad)))
		fault(file, setting_of(file, "rest_allow")->line,
			  "Write addresses and networks, at most 32, as in '10.0.0.0/8, ::1'.",
			  "\"%s\" in \"pg_ha.rest_allow\" is no network", bad);
}

static void
check_rest(NodeFile *file)
{
	const Setting *listen = setting_of(file, "rest_listen");
	const Setting *connect = setting_of(file, "rest_connect_address");
	HaNode	   *node = file->node;
	char		host[256];
	int			port = 8008;

	if (node->rest_listen[0] == '\0')
	{
		node->rest_connect_address[0] = '\0';
		return;
	}
	if (!ha_address_parse(node->rest_listen, host, sizeof(host), &port) ||
		!ha_host_is_literal(host) ||
		!ha_address_format(node->rest_listen, sizeof(node->rest_listen),
						   host, port))
	{
		fault(file, listen->line,
			  "Write 'address:port' with an IPv4 or [IPv6] address, or '' for no HTTP.",
			  "the value of \"pg_ha.rest_listen\" is no address: \"%s\"",
			  listen->text);
		return;
	}

	if (connect->text[0] == '\0')
	{
		/* All addresses: then also the one at which the server is found. */
		if (ha_host_is_wildcard(host))
			strlcpy(host, node->connect_host, sizeof(host));
	}
	else if (!ha_address_parse(connect->text, host, sizeof(host), &port) ||
			 ha_host_is_wildcard(host))
	{
		fault(file, connect->line, "Write 'host:port'.",
			  "the value of \"pg_ha.rest_connect_address\" is no address: \"%s\"",
			  connect->text);
		return;
	}
	if (!ha_address_format(node->rest_connect_address,
						   sizeof(node->rest_connect_address), host, port))
		fault_too_long(file, connect->line, "pg_ha.rest_connect_address");
	check_rest_reach(file, host, Max(connect->line, listen->line));
}

static void
fault_of_tag(void *arg, const char *message, const char *hint)
{
	NodeFile   *file = arg;

	fault(file, setting_of(file, "tags")->line, hint, "%s", message);
}

static void
check_tags(NodeFile *file)
{
	HaMember	member;

	const char *site = file->node->site;

	(void) ha_tags_parse(file->node->tags, &member, fault_of_tag, file);
	if (site[0] != '\0' && !ha_name_is_valid(site))
		fault(file, setting_of(file, "site")->line,
			  "Use 1 to 63 letters, digits, dots, hyphens and underscores.",
			  "the value of \"%s\" is no name: \"%s\"", PREFIX "site", site);
	if (site[0] != '\0' && member.site[0] != '\0' &&
		strcmp(site, member.site) != 0)
		fault(file, setting_of(file, "site")->line, "Set one of them.",
			  "the tag \"site\" and \"pg_ha.site\" differ");
}

void
ha_node_tags(const HaNode *node, HaMember *member)
{
	(void) ha_tags_parse(node->tags, member, NULL, NULL);
	if (node->site[0] != '\0')
		strlcpy(member->site, node->site, sizeof(member->site));
}

static void
check_role(NodeFile *file)
{
	const HaNode *node = file->node;
	const Setting *passfile = setting_of(file, "replication_passfile");
	const Setting *cert = setting_of(file, "replication_sslcert");

	if (node->replication_passfile[0] == '\0' && !passfile->broken &&
		node->replication_sslcert[0] == '\0' && !cert->broken)
		fault(file, passfile->line,
			  "Every member needs it in its node file, or \"pg_ha.replication_sslcert\".",
			  "setting \"pg_ha.replication_passfile\" is missing");
	if ((node->replication_sslcert[0] == '\0') !=
		(node->replication_sslkey[0] == '\0'))
		fault(file, cert->line,
			  "A certificate is of no use without its key.",
			  "pg_ha.replication_sslcert and pg_ha.replication_sslkey must be set together");
	if (strncmp(file->node->replication_user, "pg_", 3) == 0)
		fault(file, setting_of(file, "replication_user")->line,
			  "PostgreSQL keeps names that begin with \"pg_\" to itself; the default is \"" DEFAULT_ROLE "\".",
			  "a role cannot be called \"%s\"", file->node->replication_user);
}

/* "30s", "500 ms", "2min" or, in seconds, "30"; false: it is none of these. */
static bool
parse_time(const char *text, int *ms)
{
	static const struct
	{
		const char *name;
		int			ms;
	}			units[] = {
		{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}
	};
	char	   *unit;
	long		number;

	errno = 0;
	number = strtol(text, &unit, 10);
	if (unit == text || errno != 0 || number < 0)
		return false;
	while (is_blank(*unit))
		unit++;
	for (int i = 0; i < lengthof(units); i++)
	{
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (number > INT_MAX / units[i].ms)
			return false;
		*ms = (int) number * units[i].ms;
		return true;
	}
	return false;
}

/* What to do when etcd can't be asked at the start. */
static void
check_start_without_dcs(NodeFile *file)
{
	const Setting *what = setting_of(file, "start_without_dcs");
	const Setting *when = setting_of(file, "dcs_start_timeout");
	HaNode	   *node = file->node;

	if (what->line > 0 && pg_strcasecmp(what->text, "no") == 0)
		node->start_without_dcs = false;
	else if (what->line > 0 && pg_strcasecmp(what->text, "standby") != 0)
		fault(file, what->line, "Write standby or no.",
			  "the value of \"pg_ha.start_without_dcs\" is neither standby nor no: \"%s\"",
			  what->text);
	if (when->line > 0 && !parse_time(when->text, &node->dcs_start_timeout))
		fault(file, when->line, "Write a time, such as '30s'.",
			  "the value of \"pg_ha.dcs_start_timeout\" is no time: \"%s\"",
			  when->text);
}

/* One command line, as callbacks.c will split it. */
static void
check_callback(NodeFile *file, const char *name)
{
	const Setting *command = setting_of(file, name);
	char		err[256];
	char	  **words;

	if (command->text[0] == '\0' || command->broken)
		return;
	words = ha_words_split(command->text, err, sizeof(err));
	if (words == NULL)
		fault(file, command->line, "Put it into a script and name that.",
			  "\"" PREFIX "%s\": %s", name, err);
	else if (words[0] == NULL || !is_absolute_path(words[0]))
		fault(file, command->line,
			  "It is run without a shell, which would search for it.",
			  "the value of \"" PREFIX "%s\" does not begin with an absolute path: \"%s\"",
			  name, command->text);

	/* No fault: a program that is gone is no reason to keep a leader down. */
	else if (access(words[0], X_OK) != 0)
		warn(file, "P01", command->line,
			 "It must be executable by the server's user.",
			 "program \"%s\" of \"" PREFIX "%s\" cannot be run now: %s",
			 words[0], name, strerror(errno));
	if (words != NULL)
		ha_words_free(words);
}

static void
check_callbacks(NodeFile *file)
{
	const Setting *timeout = setting_of(file, "callback_timeout");
	int		   *ms = &file->node->callback_timeout;

	for (int i = 0; i < HA_CALLBACKS; i++)
		check_callback(file, ha_callback_names[i]);
	if (timeout->line > 0 &&
		(!parse_time(timeout->text, ms) || *ms < 100 ||
		 *ms > MAX_CALLBACK_TIMEOUT))
		fault(file, timeout->line, "Write a time up to '1h', such as '30s'.",
			  "the value of \"" PREFIX "callback_timeout\" is no such time: \"%s\"",
			  timeout->text);
}

/* It is no part of the data: a base backup must never copy it. */
static void
check_state_dir(NodeFile *file)
{
	HaNode	   *node = file->node;
	int			line = setting_of(file, "state_dir")->line;

	if (node->state_dir[0] == '\0' &&
		snprintf(node->state_dir, sizeof(node->state_dir), "%s.pg_ha",
				 node->data_dir) >= sizeof(node->state_dir))
		fault_too_long(file, 0, "pg_ha.state_dir");
	canonicalize_path(node->state_dir);
	if (path_is_prefix_of_path(node->data_dir, node->state_dir) ||
		path_is_prefix_of_path(node->state_dir, node->data_dir))
		fault(file, line, "The default is the data directory's path with \".pg_ha\" appended.",
			  "the state directory must not be inside the data directory, nor around it");
}

static void
check_clone(NodeFile *file)
{
	char		err[2 * HA_TEXT_SIZE];
	const char *hint;

	canonicalize_path(file->node->wal_dir);
	for (const HaCloneCheck *check = ha_clone_checks; check->key != NULL;
		 check++)
	{
		if (!check->is_fine(file->node, err, sizeof(err), &hint))
			fault(file, setting_of(file, check->key)->line, hint, "%s", err);
	}
}

/* A path from the command line. */
static void
take_path(NodeFile *file, const char *what, const char *path, char *out)
{
	if (!is_absolute_path(path) || strlen(path) >= HA_PATH_SIZE)
		fault(file, 0, "Give an absolute path of reasonable length.",
			  "the path of the %s cannot be used: \"%s\"", what, path);
	strlcpy(out, path, HA_PATH_SIZE);
	canonicalize_path(out);
	for (const char *c = out; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
		{
			fault(file, 0, "Use another path.",
				  "the path of the %s contains a control character", what);
			return;
		}
	}
}

static void
set_defaults(HaNode *node)
{
	memset(node, 0, sizeof(*node));
	strlcpy(node->name_space, "service", sizeof(node->name_space));
	strlcpy(node->rest_listen, DEFAULT_REST, sizeof(node->rest_listen));
	strlcpy(node->replication_user, DEFAULT_ROLE,
			sizeof(node->replication_user));
	node->start_without_dcs = true;
	node->dcs_start_timeout = DEFAULT_START_TIMEOUT;
	node->callback_timeout = DEFAULT_CALLBACK_TIMEOUT;
	node->rewind = true;
	node->rebuild_on_divergence = true;
}

bool
ha_node_check(const char *path, const char *data_dir, const char *bin_dir,
			  const HaFaultSink *sink, HaNode *node)
{
	NodeFile   *file = pg_malloc0(sizeof(NodeFile));
	bool		ok;

	set_defaults(node);
	file->path = path;
	file->node = node;
	file->sink = sink;
	take_path(file, "node file", path, node->path);
	take_path(file, "data directory", data_dir, node->data_dir);
	take_path(file, "programs", bin_dir, node->bin_dir);

	if (scan_file(file))
	{
		check_printable(file, &file->listen_addresses, "listen_addresses");
		strlcpy(node->listen_addresses, file->listen_addresses.text,
				sizeof(node->listen_addresses));
		for (int i = 0; i < lengthof(keys); i++)
		{
			check_printable(file, &file->settings[i], keys[i].name);
			check_value(file, &keys[i], &file->settings[i]);
		}
		check_etcd(file);
		check_connect_address(file);
		check_rest(file);
		check_rest_access(file);
		check_tags(file);
		check_role(file);
		check_start_without_dcs(file);
		check_callbacks(file);
		check_state_dir(file);
		check_clone(file);
	}
	ok = file->nfaults == 0;
	pg_free(file);
	return ok;
}

static void
log_fault(void *arg, bool warning, const char *code, const char *message,
		  const char *hint)
{
	if (warning)
	{
		pg_log_warning("%s %s", code, message);
		pg_log_warning_hint("%s", hint);
	}
	else
	{
		pg_log_error("%s %s", code, message);
		pg_log_error_hint("%s", hint);
	}
}

static const HaFaultSink log_sink = {.take = log_fault};

bool
ha_node_read(const char *path, const char *data_dir, const char *bin_dir,
			 HaNode *node)
{
	return ha_node_check(path, data_dir, bin_dir, &log_sink, node);
}

/*
 * The password file.
 */

/*
 * If the next field of a passfile line is "*" or, escapes undone, equals want:
 * the text behind its colon, else NULL.
 */
static const char *
match_field(const char *p, const char *want)
{
	if (p[0] == '*' && p[1] == ':')
		return p + 2;
	for (; *p != ':' && *p != '\0'; p++, want++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*want == '\0' || *p != *want)
			return NULL;
	}
	return *p == ':' && *want == '\0' ? p + 1 : NULL;
}

/*
 * The password of a line that is for us in that database, escapes not undone.
 */
static const char *
match_line(const HaNode *node, const char *line, const char *database)
{
	char		port[16];
	const char *p;

	snprintf(port, sizeof(port), "%d", node->port);
	p = line[0] == '#' ? NULL : match_field(line, node->connect_host);
	if (p != NULL)
		p = match_field(p, port);
	if (p != NULL)
		p = match_field(p, database);
	if (p != NULL)
		p = match_field(p, node->replication_user);
	return p;
}

/* Copy the last field of a line; false if it is empty or does not fit. */
static bool
copy_password(const char *p, char *password, size_t size)
{
	size_t		n = 0;

	for (; *p != ':' && *p != '\0'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (n >= size - 1)
			return false;
		password[n++] = *p;
	}
	password[n] = '\0';
	return n > 0;
}

/* The first line for a database decides, as in libpq. */
static bool
find_password(const HaNode *node, FILE *stream, const char *database,
			  char *password, size_t size)
{
	char		line[LINE_SIZE];
	bool		found = false;
	bool		ok = false;

	rewind(stream);
	while (!found && fgets(line, sizeof(line), stream) != NULL)
	{
		const char *p;

		line[strcspn(line, "\r\n")] = '\0';
		p = match_line(node, line, database);
		found = p != NULL;
		ok = found && copy_password(p, password, size);
	}
	explicit_bzero(line, sizeof(line));
	return ok;
}

static void tell_of_passfile(const HaFaultSink *sink, const char *hint,
							 const char *fmt,...) pg_attribute_printf(3, 4);

static void
tell_of_passfile(const HaFaultSink *sink, const char *hint,
				 const char *fmt,...)
{
	char		message[2 * HA_PATH_SIZE];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	sink->take(sink->arg, false, "P15", message, hint);
}

/* Open it, if nobody else can read it. */
static FILE *
open_passfile(const char *path, const HaFaultSink *sink)
{
	struct stat st;
	FILE	   *stream = fopen(path, "r");

	if (stream == NULL || fstat(fileno(stream), &st) != 0)
		tell_of_passfile(sink,
						 "Create it with mode 0600 and the line *:*:*:ROLE:PASSWORD.",
						 "could not open passfile \"%s\": %m", path);
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		tell_of_passfile(sink, "Run chown and chmod 0600 on it.",
						 "passfile \"%s\" must be a file of the server's user",
						 path);
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		tell_of_passfile(sink, "Run chmod 0600 on it.",
						 "passfile \"%s\" has mode %04o; must be 0600 or stricter",
						 path, (unsigned) (st.st_mode & 07777));
	else
		return stream;
	if (stream != NULL)
		fclose(stream);
	return NULL;
}

/*
 * Both databases are looked up, since pg_basebackup and the walreceiver look
 * for "replication" and pg_rewind for "postgres": they must find the same.
 */
bool
ha_node_check_password(const HaNode *node, const HaFaultSink *sink,
					   char *password, size_t size)
{
	const char *path = node->replication_passfile;
	FILE	   *stream;
	char		other[LINE_SIZE];
	char		hint[128];
	bool		ok;

	password[0] = '\0';
	if (path[0] == '\0')
		return true;
	stream = open_passfile(path, sink);
	if (stream == NULL)
		return false;
	setvbuf(stream, NULL, _IONBF, 0);	/* no copy of it stays behind */
	ok = find_password(node, stream, "replication", password, size) &&
		find_password(node, stream, "postgres", other, sizeof(other)) &&
		strcmp(password, other) == 0;
	fclose(stream);
	explicit_bzero(other, sizeof(other));
	if (ok)
		return true;
	explicit_bzero(password, size);
	snprintf(hint, sizeof(hint), "Add the line *:*:*:%s:PASSWORD.",
			 node->replication_user);
	tell_of_passfile(sink, hint,
					 "passfile \"%s\" has no usable password for role \"%s\" at %s:%d in both databases \"replication\" and \"postgres\"",
					 path, node->replication_user, node->connect_host,
					 node->port);
	return false;
}

bool
ha_node_password(const HaNode *node, char *password, size_t size)
{
	return ha_node_check_password(node, &log_sink, password, size);
}
