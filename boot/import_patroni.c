/*-------------------------------------------------------------------------
 *
 * import_patroni.c
 *	  "pg_ha_boot import-patroni": a node file and a configuration of the cluster
 *	  from Patroni's.
 *
 * Nothing that is there is written over, and passwords go to files of mode 0600 and
 * nowhere else.  "run --patroni-config" does the same at each start, into the state
 * directory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"
#include "port.h"

#include "bootstrap.h"
#include "files.h"
#include "import_patroni.h"
#include "patroni_import.h"

#define STATE_SUFFIX	".pg_ha"
#define SUBDIRECTORY	"patroni"
#define MAX_FILES		64
#define MAX_VARIABLES	256

enum
{
	OPTION_CHECK = HA_OPTION_FIRST,
	OPTION_OUTPUT,
	OPTION_KEYS,
};

static const struct option options[] = {
	{"check", no_argument, NULL, OPTION_CHECK},
	{"output", required_argument, NULL, OPTION_OUTPUT},
	{"keys", no_argument, NULL, OPTION_KEYS},
	{NULL, 0, NULL, 0}
};

static bool check_only;
static bool keys_only;
static const char *output;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_CHECK)
		check_only = true;
	else if (value == OPTION_KEYS)
		keys_only = true;
	else if (value == OPTION_OUTPUT)
		output = text;
	else
		return false;
	return true;
}

/*
 * Reading.
 */

/*
 * The variables PATRONI_* are taken out of the environment, as Patroni does: they may
 * hold passwords, and no program that is started needs them.
 */
static char *const *
take_variables(void)
{
	static char *variables[MAX_VARIABLES + 1];
	static bool taken = false;
	int			n = 0;

	for (char **at = environ; !taken && *at != NULL; at++)
	{
		if (strncmp(*at, "PATRONI_", strlen("PATRONI_")) == 0 &&
			n < MAX_VARIABLES)
			variables[n++] = pg_strdup(*at);
	}
	for (int i = 0; !taken && i < n; i++)
	{
		char	   *name = pnstrdup(variables[i], strcspn(variables[i], "="));

		unsetenv(name);
		pg_free(name);
	}
	taken = true;
	return variables;
}

static const char *
variable(char *const *variables, const char *name)
{
	size_t		n = strlen(name);

	for (; *variables != NULL; variables++)
	{
		if (strncmp(*variables, name, n) == 0 && (*variables)[n] == '=')
			return *variables + n + 1;
	}
	return NULL;
}

/* One document, which must be a mapping or empty; NULL: reported. */
static HaYaml *
parse(const char *text, size_t length, const char *source)
{
	char		err[MAXPGPATH + 512];
	HaYaml	   *root = ha_yaml_parse(text, length, source, err, sizeof(err));

	if (root != NULL && root->kind == HA_YAML_MAPPING)
		return root;
	if (root != NULL)
		snprintf(err, sizeof(err), "%s: a mapping of Patroni's keys was expected",
				 source);
	ha_yaml_free(root);
	pg_log_error("%s", err);
	pg_log_error_hint("Patroni reads its configuration as one YAML document, a mapping at the top.");
	return NULL;
}

static HaYaml *
load_file(const char *path)
{
	PQExpBufferData content;
	HaYaml	   *root = NULL;
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size > HA_YAML_MAX_SIZE)
	{
		pg_log_error("%s: it has more than %d bytes", path, HA_YAML_MAX_SIZE);
		pg_log_error_hint("Give a configuration of Patroni.");
		return NULL;
	}
	initPQExpBuffer(&content);
	if (ha_read_file(path, &content))
		root = parse(content.data, content.len, path);
	explicit_bzero(content.data, content.len);
	termPQExpBuffer(&content);
	return root;
}

static bool
is_yaml_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL &&
		(strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The names of a directory's files, in order; -1: reported. */
static int
list_directory(const char *path, char **names)
{
	DIR		   *dir = opendir(path);
	struct dirent *entry;
	int			n = 0;

	if (dir == NULL)
	{
		pg_log_error("could not open directory \"%s\": %m", path);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL && n < MAX_FILES)
	{
		if (is_yaml_name(entry->d_name))
			names[n++] = pg_strdup(entry->d_name);
	}
	closedir(dir);
	qsort(names, n, sizeof(names[0]), compare_names);
	return n;
}

/* All of them, each over those before it. */
static HaYaml *
load_directory(const char *path)
{
	char	   *names[MAX_FILES];
	int			n = list_directory(path, names);
	HaYaml	   *root = n >= 0 ? ha_yaml_mapping(path) : NULL;

	for (int i = 0; i < n; i++)
	{
		char		file[MAXPGPATH];
		HaYaml	   *over = NULL;

		if (root != NULL && ha_path_in(file, path, names[i]))
			over = load_file(file);
		pg_free(names[i]);
		if (over != NULL)
			ha_yaml_overlay(root, over);
		else
		{
			ha_yaml_free(root);
			root = NULL;
		}
	}
	return root;
}

/*
 * The file, the directory or, with neither, what PATRONI_CONFIGURATION holds; over
 * the first two stand the other variables.  NULL: reported.
 */
static HaYaml *
load(const char *path, const HaImportSink *sink)
{
	char	   *const *variables = take_variables();
	const char *whole = variable(variables, "PATRONI_CONFIGURATION");
	HaYaml	   *root;
	struct stat st;

	if (path == NULL && whole != NULL)
		return parse(whole, strlen(whole), "PATRONI_CONFIGURATION");
	if (path == NULL)
		root = ha_yaml_mapping("environment");
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		root = load_directory(path);
	else
		root = load_file(path);
	if (root == NULL)
		return NULL;
	if (whole != NULL)
		pg_log_warning("PATRONI_CONFIGURATION is not looked at, since a file was given");
	if (ha_patroni_environment(root, variables, sink))
		return root;
	ha_yaml_free(root);
	return NULL;
}

/*
 * Checking.
 */

/* "PATH:LINE: message", where the path is one of ours that is of no use to anybody. */
static void
take_fault(void *arg, bool warning, const char *code, const char *message,
		   const char *hint)
{
	const char *text = strstr(message, ": ");

	text = text != NULL ? text + 2 : message;
	if (warning)
		pg_log_warning("%s the node file: %s", code, text);
	else
	{
		pg_log_error("%s the node file would have a fault: %s", code, text);
		pg_log_error_hint("%s", hint);
	}
}

/* Is it a node file?  Judged by who will read it. */
static bool
check_node(const HaImport *import, const char *data_dir)
{
	HaFaultSink sink = {.take = take_fault};
	HaNode	   *node = pg_malloc(sizeof(HaNode));
	char		path[64];
	int			fd = ha_nameless_file(import->files[HA_IMPORT_NODE]);
	bool		ok;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0)
		pg_log_error("could not write a temporary file: %m");
	ok = fd >= 0 && ha_node_check(path, data_dir, PGBINDIR, &sink, node);
	if (fd >= 0)
		close(fd);
	pg_free(node);
	return ok;
}

/* Where the data is: -D, or what the configuration says; false: reported. */
static bool
find_data_dir(const HaInvocation *invocation, const HaYaml *root,
			  char *data_dir)
{
	const HaYaml *at = ha_yaml_find(root, "postgresql.data_dir");
	char	   *absolute;

	strlcpy(data_dir, invocation->data_dir, MAXPGPATH);
	if (data_dir[0] != '\0')
		return true;
	if (at == NULL || at->kind != HA_YAML_SCALAR || ha_yaml_is_null(at))
	{
		pg_log_error("no data directory given");
		pg_log_error_hint("Give it with -D, or in postgresql.data_dir.");
		return false;
	}
	absolute = make_absolute_path(at->text);
	if (absolute == NULL)
		return false;			/* reported */
	strlcpy(data_dir, absolute, MAXPGPATH);
	free(absolute);
	return true;
}

/*
 * Telling.
 */

static void
print_fate(void *arg, HaPatroniFate fate, const char *where, const char *path,
		   const char *text)
{
	printf("%s: %s%s%s: %s\n", where, path, path[0] != '\0' ? ": " : "",
		   ha_patroni_fate_names[fate], text);
}

static void
print_counts(const HaImport *import)
{
	for (int i = 0; i < HA_PATRONI_NFATES; i++)
		printf("%s%d %s", i > 0 ? ", " : "", import->counts[i],
			   ha_patroni_fate_names[i]);
	printf("\n");
}

/* A word for a shell. */
static void
print_word(const char *word)
{
	if (word[0] != '\0' &&
		strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_./=:,@%+-") == strlen(word))
	{
		printf(" %s", word);
		return;
	}
	printf(" '");
	for (; *word != '\0'; word++)
	{
		if (*word == '\'')
			printf("'\\''");
		else
			putchar(*word);
	}
	printf("'");
}

static void
print_option(const char *option, const char *value)
{
	char	   *word = psprintf("%s%s", option, value);

	print_word(word);
	pg_free(word);
}

static void
print_command(const HaImport *import, const char *data_dir, const char *dir)
{
	char	   *prefix = psprintf("%s/", dir);

	printf("\nTo run the node:\n\n  pg_ha_boot run -D");
	print_word(data_dir);
	printf(" -c");
	print_option(prefix, ha_import_file_names[HA_IMPORT_NODE]);
	if (import->bin_dir != NULL)
	{
		printf(" -b");
		print_word(import->bin_dir);
	}
	print_option("--cluster-config=",
				 psprintf("%s%s", prefix, ha_import_file_names[HA_IMPORT_CONFIG]));
	if (import->files[HA_IMPORT_HBA] != NULL)
		print_option("--hba=",
					 psprintf("%s%s", prefix, ha_import_file_names[HA_IMPORT_HBA]));
	if (import->command != NULL)
	{
		printf(" --method=command");
		print_option("--command=", import->command);
	}
	if (import->post_init != NULL)
		print_option("--post-init=", import->post_init);
	if (import->ninitdb > 0)
		printf(" --");
	for (int i = 0; i < import->ninitdb; i++)
		print_word(import->initdb[i]);
	printf("\n");
	pg_free(prefix);
}

static void
print_keys(void)
{
	for (int i = 0; i < ha_patroni_nkeys; i++)
		printf("| `%s` | %s | %s |\n", ha_patroni_keys[i].path,
			   ha_patroni_fate_names[ha_patroni_keys[i].fate],
			   ha_patroni_keys[i].note);
}

/*
 * Writing.
 */

static bool
write_new(const char *path, const char *content)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool		ok;

	if (fd < 0)
	{
		pg_log_error("could not create file \"%s\": %m", path);
		return false;
	}
	ok = ha_write_all(fd, content, strlen(content)) && fsync(fd) == 0;
	if (!ok)
		pg_log_error("could not write file \"%s\": %m", path);
	close(fd);
	return ok;
}

/* Is none of them there?  Otherwise that is reported. */
static bool
check_absent(const HaImport *import, const char *dir)
{
	bool		ok = true;

	for (int i = 0; i < HA_IMPORT_NFILES; i++)
	{
		if (import->files[i] == NULL ||
			!ha_exists_in(dir, ha_import_file_names[i]))
			continue;
		pg_log_error("file \"%s/%s\" exists already", dir,
					 ha_import_file_names[i]);
		ok = false;
	}
	if (!ok)
		pg_log_error_hint("Nothing is written over, and nothing was written. Give another directory with --output.");
	return ok;
}

static int
write_files(const HaImport *import, const char *dir)
{
	char		path[MAXPGPATH];

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
	{
		pg_log_error("could not create directory \"%s\": %m", dir);
		return HA_EXIT_CONFIGURATION;
	}
	if (!check_absent(import, dir))
		return HA_EXIT_REFUSED;
	for (int i = 0; i < HA_IMPORT_NFILES; i++)
	{
		if (import->files[i] == NULL)
			continue;
		if (!ha_path_in(path, dir, ha_import_file_names[i]) ||
			!write_new(path, import->files[i]))
			return HA_EXIT_CONFIGURATION;
		printf("wrote %s\n", path);
	}
	return ha_sync_directory(dir) ? HA_EXIT_OK : HA_EXIT_CONFIGURATION;
}

/*
 * The command.
 */

static int
translate_and_write(const HaInvocation *invocation, const HaYaml *root,
					const char *dir, const HaImportSink *sink,
					HaImport *import)
{
	char		data_dir[MAXPGPATH];
	bool		ok = ha_import_translate(root, dir, invocation->data_dir,
										 sink, import);
	int			code;

	print_counts(import);
	if (!ok)
	{
		pg_log_error("the configuration has faults, and nothing was written");
		pg_log_error_hint("Their lines have \"fault\" in them.");
		return HA_EXIT_CONFIGURATION;
	}
	if (!find_data_dir(invocation, root, data_dir) ||
		!check_node(import, data_dir))
		return HA_EXIT_CONFIGURATION;
	if (check_only)
		return HA_EXIT_OK;
	code = write_files(import, dir);
	if (code == 0)
		print_command(import, data_dir, dir);
	return code;
}

static int
go(const HaInvocation *invocation)
{
	HaImportSink sink = {.say = print_fate};
	HaImport	import = {{NULL}};
	HaYaml	   *root;
	char	   *dir;
	int			code = HA_EXIT_CONFIGURATION;

	if (keys_only)
	{
		print_keys();
		return HA_EXIT_OK;
	}
	if (output == NULL && !check_only)
	{
		pg_log_error("no --output given");
		pg_log_error_hint("Name the directory for the files, or give --check to see what would be made.");
		return HA_EXIT_CONFIGURATION;
	}
	dir = make_absolute_path(output != NULL ? output : "/");
	root = load(invocation->noperands > 0 ? invocation->operands[0] : NULL,
				&sink);
	if (root != NULL && dir != NULL)
		code = translate_and_write(invocation, root, dir, &sink, &import);
	fflush(stdout);
	ha_yaml_free(root);
	ha_import_free(&import);
	free(dir);
	return code;
}

const HaCommand ha_command_import_patroni = {
	.name = "import-patroni",
	.arguments = "[FILE.yml | DIRECTORY] --output=DIR | --check",
	.summary = "make a node file of Patroni's configuration",
	.details =
	"  --output=DIR  where the files go, of which none may be there\n"
	"  --check       only tell what becomes of each key\n"
	"  --keys        tell what becomes of every key there is\n",
	.options = options,
	.take_option = take_option,
	.max_operands = 1,
	.go = go,
};

/*
 * Running a node from it.
 */

static char running_from[MAXPGPATH];	/* "" = none */
static char running_dir[MAXPGPATH]; /* where the files are */
static char running_data[MAXPGPATH];

/* What a person has to know of at each start; the rest import-patroni tells. */
static void
log_fate(void *arg, HaPatroniFate fate, const char *where, const char *path,
		 const char *text)
{
	if (fate == HA_PATRONI_FAULT)
		pg_log_error("%s: %s: %s", where, path, text);
	else if (fate == HA_PATRONI_UNKNOWN)
		pg_log_warning("%s: %s: %s", where, path, text);
}

static const HaImportSink log_sink = {.say = log_fate};

/* They are ours, and written anew at each start. */
static bool
replace_files(const HaImport *import)
{
	for (int i = 0; i < HA_IMPORT_NFILES; i++)
	{
		char		path[MAXPGPATH];

		if (!ha_path_in(path, running_dir, ha_import_file_names[i]))
			return false;
		if (import->files[i] != NULL ?
			!ha_replace_file(path, import->files[i], 0600, false) :
			!ha_remove_file(running_dir, ha_import_file_names[i]))
			return false;
	}
	return true;
}

/* false: reported. */
static bool
translate_again(HaYaml *root, HaImport *import)
{
	if (!ha_import_translate(root, running_dir, running_data, &log_sink,
							 import))
	{
		pg_log_error("the configuration of Patroni in \"%s\" has faults",
					 running_from);
		pg_log_error_hint("\"pg_ha_boot import-patroni --check\" tells what becomes of each key.");
		return false;
	}
	pg_log_info("of the keys in \"%s\", %d were mapped, %d approximated, %d dropped, %d unknown",
				running_from, import->counts[HA_PATRONI_MAPPED],
				import->counts[HA_PATRONI_APPROXIMATED],
				import->counts[HA_PATRONI_DROPPED],
				import->counts[HA_PATRONI_UNKNOWN]);
	return check_node(import, running_data) && replace_files(import);
}

/* The state directory is not always what it is by default, but these are no state. */
static bool
make_directories(void)
{
	char		state[MAXPGPATH];

	if (snprintf(state, sizeof(state), "%s" STATE_SUFFIX, running_data) >= MAXPGPATH ||
		!ha_path_in(running_dir, state, SUBDIRECTORY))
		return false;
	if ((mkdir(state, 0700) == 0 || errno == EEXIST) &&
		(mkdir(running_dir, 0700) == 0 || errno == EEXIST))
		return true;
	pg_log_error("could not create directory \"%s\": %m", running_dir);
	return false;
}

/* What stands behind "--": that of Patroni, then that of the command line. */
static void
join_initdb_options(HaImport *import, HaInvocation *invocation)
{
	int			n = import->ninitdb + invocation->noperands;
	char	  **words = pg_malloc0((n + 2) * sizeof(char *));

	words[0] = pg_strdup("--");
	for (int i = 0; i < import->ninitdb; i++)
		words[1 + i] = pg_strdup(import->initdb[i]);
	for (int i = 0; i < invocation->noperands; i++)
		words[1 + import->ninitdb + i] = invocation->operands[i];
	invocation->operands = words + 1;
	invocation->noperands = n;
}

static char *
path_of(HaImportFile file)
{
	return psprintf("%s/%s", running_dir, ha_import_file_names[file]);
}

static void
take_bootstrap_options(HaImport *import, HaInvocation *invocation)
{
	ha_bootstrap_default_option(HA_OPTION_CLUSTER_CONFIG,
								path_of(HA_IMPORT_CONFIG));
	if (import->files[HA_IMPORT_HBA] != NULL)
		ha_bootstrap_default_option(HA_OPTION_HBA, path_of(HA_IMPORT_HBA));
	if (import->post_init != NULL)
		ha_bootstrap_default_option(HA_OPTION_POST_INIT,
									pg_strdup(import->post_init));
	if (import->command != NULL)
	{
		ha_bootstrap_default_option(HA_OPTION_COMMAND,
									pg_strdup(import->command));
		ha_bootstrap_default_option(HA_OPTION_METHOD, "command");
	}
	if (import->ninitdb > 0)
		join_initdb_options(import, invocation);
	if (import->bin_dir != NULL && invocation->bin_dir[0] == '\0')
		strlcpy(invocation->bin_dir, import->bin_dir, MAXPGPATH);
	strlcpy(invocation->data_dir, running_data, MAXPGPATH);
	snprintf(invocation->config, MAXPGPATH, "%s/%s", running_dir,
			 ha_import_file_names[HA_IMPORT_NODE]);
}

int
ha_patroni_invocation(const char *path, HaInvocation *invocation)
{
	HaImport	import = {{NULL}};
	HaYaml	   *root;
	bool		ok;

	if (invocation->config[0] != '\0')
	{
		pg_log_error("both a node file and --patroni-config were given");
		pg_log_error_hint("Give one of them.");
		return HA_EXIT_CONFIGURATION;
	}
	strlcpy(running_from, path, sizeof(running_from));
	root = load(path, &log_sink);
	ok = root != NULL && find_data_dir(invocation, root, running_data) &&
		make_directories() && translate_again(root, &import);
	if (ok)
		take_bootstrap_options(&import, invocation);
	ha_yaml_free(root);
	ha_import_free(&import);
	return ok ? 0 : HA_EXIT_CONFIGURATION;
}

bool
ha_patroni_refresh(void)
{
	HaImport	import = {{NULL}};
	HaYaml	   *root;
	bool		ok;

	if (running_from[0] == '\0')
		return true;
	root = load(running_from, &log_sink);
	ok = root != NULL && translate_again(root, &import);
	ha_yaml_free(root);
	ha_import_free(&import);
	return ok;
}
