/*-------------------------------------------------------------------------
 *
 * bootstrap_options.c
 *	  What a command line says of how the first data directory is made.
 *
 * All of it is checked before anything is touched: a node must not win the race
 * for a new cluster with options that cannot work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <ctype.h>
#include <unistd.h>

#include "common/logging.h"

#include "../config_values_json.h"
#include "../dcs.h"
#include "../hba_json.h"
#include "bootstrap.h"
#include "files.h"
#include "words.h"

const char *const ha_initdb_defaults[HA_INITDB_DEFAULTS] = {
	"--auth-local=peer", "--auth-host=scram-sha-256", "--data-checksums",
	"--encoding=UTF8"
};

/* Of initdb; the last ones would make it do something else. */
static const char *const reserved_long[] = {
	"pgdata", "pwfile", "pwprompt", "no-sync", "nosync", "sync-only", "show",
	"version", "help"
};

#define RESERVED_SHORT		"DWNSsV?"

/* Short options of initdb that take no argument; the others end a cluster. */
#define INITDB_FLAGS		"kdngNSsWV?"

/*
 * While there is data, these options stand in the service's command line for nothing,
 * and what they name may be gone.
 */
static bool needed = true;

static HaBootstrap options = {.method = "initdb"};
static const char *command_text;
static const char *post_init_text;

static bool
take_target(HaTargetKind kind, const char *text)
{
	if (options.target_kind != HA_TARGET_NONE)
	{
		pg_log_error("B01 more than one recovery target was given");
		pg_log_error_hint("Give one of --recovery-target-time, -lsn, -name and -xid.");
		return false;
	}
	options.target_kind = kind;
	options.target = text;
	return true;
}

bool
ha_bootstrap_take_option(int value, const char *text)
{
	switch (value)
	{
		case HA_OPTION_METHOD:
			options.method = text;
			return true;
		case HA_OPTION_COMMAND:
			command_text = text;
			return true;
		case HA_OPTION_RESTORE_COMMAND:
			options.restore_command = text;
			return true;
		case HA_OPTION_TARGET_TIME:
			return take_target(HA_TARGET_TIME, text);
		case HA_OPTION_TARGET_LSN:
			return take_target(HA_TARGET_LSN, text);
		case HA_OPTION_TARGET_NAME:
			return take_target(HA_TARGET_NAME, text);
		case HA_OPTION_TARGET_XID:
			return take_target(HA_TARGET_XID, text);
		case HA_OPTION_AS_COPY:
			options.as_copy = true;
			return true;
		case HA_OPTION_POST_INIT:
			post_init_text = text;
			return true;
		case HA_OPTION_HBA:
			options.hba_file = text;
			return true;
		case HA_OPTION_CLUSTER_CONFIG:
			options.config_file = text;
			return true;
		case HA_OPTION_USERS:
			pg_log_error("B21 pg_ha creates no application users; put CREATE ROLE into --post-init");
			return false;
		default:
			return false;
	}
}

static bool
is_given(int value)
{
	switch (value)
	{
		case HA_OPTION_METHOD:
			return strcmp(options.method, "initdb") != 0;
		case HA_OPTION_COMMAND:
			return command_text != NULL;
		case HA_OPTION_POST_INIT:
			return post_init_text != NULL;
		case HA_OPTION_HBA:
			return options.hba_file != NULL;
		case HA_OPTION_CLUSTER_CONFIG:
			return options.config_file != NULL;
		default:
			return false;
	}
}

void
ha_bootstrap_default_option(int value, const char *text)
{
	if (!is_given(value))
		ha_bootstrap_take_option(value, text);
}

/*
 * initdb's options.
 */

/* getopt takes any beginning of a long option that means only one. */
bool
ha_initdb_is_reserved(const char *word)
{
	size_t		length = strcspn(word, "=");

	if (word[0] != '-' || word[1] == '\0')
		return false;
	if (word[1] == '-')
	{
		for (int i = 0; i < lengthof(reserved_long); i++)
		{
			if (length > 2 &&
				strncmp(reserved_long[i], word + 2, length - 2) == 0)
				return true;
		}
		return false;
	}
	for (const char *p = word + 1; *p != '\0'; p++)
	{
		if (strchr(RESERVED_SHORT, *p) != NULL)
			return true;
		if (strchr(INITDB_FLAGS, *p) == NULL)
			break;				/* what follows is its argument */
	}
	return false;
}

static bool
take_initdb_options(const HaInvocation *invocation)
{
	bool		ok = true;

	options.initdb_options = invocation->operands;
	if (invocation->noperands == 0)
		return true;
	if (strcmp(invocation->operands[-1], "--") != 0)
	{
		pg_log_error("too many arguments (the first is \"%s\")",
					 invocation->operands[0]);
		pg_log_error_hint("Options of initdb come last, behind \"--\".");
		return false;
	}
	for (int i = 0; i < invocation->noperands; i++)
	{
		const char *word = invocation->operands[i];

		if (!ha_initdb_is_reserved(word))
			continue;
		pg_log_error("B02 initdb option \"%.*s\" is set by pg_ha_boot",
					 (int) strcspn(word, "="), word);
		pg_log_error_hint("Leave it out.");
		ok = false;
	}
	if (ok && strcmp(options.method, "initdb") != 0)
	{
		pg_log_error("B01 options of initdb were given, but it is not run by --method=%s",
					 options.method);
		pg_log_error_hint("Leave out what stands behind \"--\".");
		return false;
	}
	return ok;
}

/*
 * Programs and files.
 */

/* The words of a program that is run without a shell; NULL: reported. */
static char **
take_program(const char *text)
{
	char		err[256];
	char	  **words = ha_words_split(text, err, sizeof(err));

	if (words == NULL)
	{
		pg_log_error("B06 %s", err);
		pg_log_error_hint("Put it into a script and name that.");
		return NULL;
	}
	if (words[0] == NULL || !is_absolute_path(words[0]))
	{
		pg_log_error("B06 command does not begin with an absolute path: \"%s\"",
					 text);
		pg_log_error_hint("It is run without a shell, which would search for it.");
		return NULL;
	}
	if (access(words[0], X_OK) == 0 || !needed)
		return words;
	pg_log_error("B06 program \"%s\" cannot be run: %m", words[0]);
	pg_log_error_hint("Correct its path or its permissions.");
	return NULL;
}

static bool
is_sql_file(const char *text)
{
	size_t		length = strlen(text);

	return length > 4 && strcmp(text + length - 4, ".sql") == 0;
}

static bool
check_readable(const char *path, const char *option)
{
	if (is_absolute_path(path) && (access(path, R_OK) == 0 || !needed))
		return true;
	if (!is_absolute_path(path))
		pg_log_error("B01 path \"%s\" of --%s is not absolute", path, option);
	else
		pg_log_error("B01 file \"%s\" of --%s cannot be read: %m", path, option);
	pg_log_error_hint("Correct the path or the file's permissions.");
	return false;
}

static bool
take_post_init(void)
{
	static char *file[2];

	if (post_init_text == NULL)
		return true;
	if (!is_sql_file(post_init_text))
	{
		options.post_init = take_program(post_init_text);
		return options.post_init != NULL;
	}
	file[0] = unconstify(char *, post_init_text);
	options.post_init = file;
	return check_readable(post_init_text, "post-init");
}

/* Are its rules of access lines at all?  Of their content a server will judge. */
static bool
check_rules(HaAuthFile file)
{
	char		err[256];
	char		text[sizeof(err) + 16];

	free(ha_hba_from_config(options.config_json, file, err, sizeof(err)));
	if (err[0] == '\0')
		return true;
	ha_hba_fault(file, err, text, sizeof(text));
	pg_log_error("B04 config.%s", text);
	pg_log_error_hint("It must be an array of lines, as they would stand in %s.",
					  ha_auth_file_name(file));
	return false;
}

/* Read the configuration that the new cluster gets, and check it. */
static bool
take_config(void)
{
	PQExpBufferData content;
	HaConfig	config;
	char		err[HA_ERROR_SIZE];

	if (options.config_file == NULL ||
		(!needed && access(options.config_file, R_OK) != 0))
		return true;
	if (!check_readable(options.config_file, "cluster-config"))
		return false;
	initPQExpBuffer(&content);
	if (!ha_read_file(options.config_file, &content))
		return false;
	while (content.len > 0 &&
		   isspace((unsigned char) content.data[content.len - 1]))
		content.data[--content.len] = '\0';
	ha_config_defaults(&config);
	if (!ha_config_parse(content.data, content.len, &config, err, sizeof(err)))
	{
		pg_log_error("B01 file \"%s\" is no configuration of a cluster: %s",
					 options.config_file, err);
		pg_log_error_hint("It must hold one JSON object, with the keys that the documentation of the node file lists.");
		return false;
	}
	options.config_json = content.data;
	return check_rules(HA_AUTH_HBA) && check_rules(HA_AUTH_IDENT);
}

#define MAX_TEXT		1000

static bool
check_length(const char *text, const char *option)
{
	if (text == NULL || strlen(text) <= MAX_TEXT)
		return true;
	pg_log_error("B01 the value of --%s is longer than %d bytes", option,
				 MAX_TEXT);
	pg_log_error_hint("Put it into a script and name that.");
	return false;
}

static bool
check_method(void)
{
	bool		command = strcmp(options.method, "command") == 0;
	const char *fault = NULL;

	if (!command && strcmp(options.method, "initdb") != 0)
		fault = "there is no such method; there are \"initdb\" and \"command\"";
	else if (command && command_text == NULL)
		fault = "no --command was given";
	else if (!command && command_text != NULL)
		fault = "a --command was given, which it does not run";
	else if (!command && (options.restore_command != NULL ||
						  options.target_kind != HA_TARGET_NONE))
		fault = "what initdb makes has nothing to recover";
	else if (!command && options.as_copy)
		fault = "what initdb makes is no copy";
	else if (options.target_kind != HA_TARGET_NONE &&
			 options.restore_command == NULL)
		fault = "a recovery target needs a --restore-command";
	if (fault == NULL)
		return true;
	pg_log_error("B01 --method=%s: %s", options.method, fault);
	pg_log_error_hint("\"pg_ha_boot init --help\" tells which options go together.");
	return false;
}

void
ha_bootstrap_warn_of_hba(void)
{
	pg_log_warning("--hba is only used when a cluster is created; use pg_ha_set_hba()");
}

char *
ha_bootstrap_config(const HaBootstrap *how)
{
	return how->config_json != NULL ? strdup(how->config_json) :
		ha_config_default_json();
}

const HaBootstrap *
ha_bootstrap_options(const HaInvocation *invocation)
{
	bool		ok = check_method();

	needed = pg_check_dir(invocation->data_dir) <= 1;
	if (!needed && options.hba_file != NULL)
		ha_bootstrap_warn_of_hba();
	if (!check_length(options.restore_command, "restore-command") ||
		!check_length(options.target, "recovery-target"))
		ok = false;
	if (!take_initdb_options(invocation))
		ok = false;
	if (command_text != NULL &&
		(options.command = take_program(command_text)) == NULL)
		ok = false;
	if (!take_post_init())
		ok = false;
	if (options.hba_file != NULL && !check_readable(options.hba_file, "hba"))
		ok = false;
	if (!take_config())
		ok = false;
	return ok ? &options : NULL;
}
