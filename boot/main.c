/*-------------------------------------------------------------------------
 *
 * main.c
 *	  pg_ha_boot: the program that starts and keeps one node.
 *
 * The table of commands, the options that all of them take, and help.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/logging.h"

#include "../cluster.h"
#include "commands.h"

static const HaCommand *const commands[] = {
	&ha_command_check,
	&ha_command_run,
	&ha_command_init,
	&ha_command_adopt,
	&ha_command_detach,
	&ha_command_wipe,
	&ha_command_forget_cluster,
	&ha_command_import_patroni,
	&ha_command_upgrade_major,
};

/* No command has more options of its own. */
#define MAX_OPTIONS		32

static const struct option common_options[] = {
	{"pgdata", required_argument, NULL, 'D'},
	{"config", required_argument, NULL, 'c'},
	{"bindir", required_argument, NULL, 'b'},
	{"help", no_argument, NULL, '?'},
};

static const char *progname;

/* Each line says when, which pg_logging leaves to others. */
static void
print_time(void)
{
	struct timeval now;
	struct tm	broken;
	char		text[32];

	gettimeofday(&now, NULL);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S",
			 localtime_r(&now.tv_sec, &broken));
	fprintf(stderr, "%s.%03d ", text, (int) (now.tv_usec / 1000));
}

static void
print_common_help(void)
{
	printf("\nOptions of every command:\n");
	printf("  -D, --pgdata=PGDATA    the data directory\n");
	printf("  -c, --config=NODEFILE  the node file\n");
	printf("  -b, --bindir=BINDIR    where the server's programs are\n");
	printf("  -?, --help             show help, then exit\n");
	printf("\nExit codes:\n");
	printf("  0 done, 10 configuration, 11 temporary, 12 refused for safety\n");
}

static void
print_usage(void)
{
	printf("%s starts and keeps one node of a pg_ha cluster.\n\n", progname);
	printf("Usage:\n  %s COMMAND [OPTION]...\n\nCommands:\n", progname);
	for (int i = 0; i < lengthof(commands); i++)
		printf("  %-16s %s\n", commands[i]->name, commands[i]->summary);
	print_common_help();
	printf("\n\"%s COMMAND --help\" tells about one command, \"%s --version\" the version.\n",
		   progname, progname);
	printf("\nSignals, while it runs:\n");
	printf("  TERM, INT  stop the server and leave the cluster\n");
	printf("  HUP        read the node file again\n");
	printf("  USR2       exit and leave the server running\n");
}

static void
print_command_help(const HaCommand *command)
{
	printf("%s %s: %s\n\n", progname, command->name, command->summary);
	printf("Usage:\n  %s %s %s\n", progname, command->name, command->arguments);
	if (command->details != NULL)
		printf("\nOptions:\n%s", command->details);
	print_common_help();
}

static int
misused(void)
{
	pg_log_error_hint("Try \"%s --help\" for more information.", progname);
	return HA_EXIT_CONFIGURATION;
}

static void
take_path(char *into, const char *path)
{
	char	   *absolute = make_absolute_path(path);

	if (absolute == NULL)
		exit(HA_EXIT_CONFIGURATION);	/* reported */
	strlcpy(into, absolute, MAXPGPATH);
	free(absolute);
}

/* The common options and the command's own. */
static void
join_options(const HaCommand *command, struct option *options)
{
	int			n = lengthof(common_options);

	memcpy(options, common_options, sizeof(common_options));
	for (const struct option *own = command->options;
		 own != NULL && own->name != NULL; own++)
	{
		Assert(n < MAX_OPTIONS - 1);
		options[n++] = *own;
	}
	memset(&options[n], 0, sizeof(options[n]));
}

/* argv[0] is the command.  Returns an exit code. */
static int
parse_and_go(const HaCommand *command, int argc, char **argv, const char *argv0)
{
	struct option options[MAX_OPTIONS];
	HaInvocation invocation = {.argv0 = argv0};
	int			c;

	join_options(command, options);
	while ((c = getopt_long(argc, argv, "D:c:b:", options, NULL)) != -1)
	{
		if (c == 'D')
			take_path(invocation.data_dir, optarg);
		else if (c == 'c')
			take_path(invocation.config, optarg);
		else if (c == 'b')
			take_path(invocation.bin_dir, optarg);
		else if (c < HA_OPTION_FIRST || !command->take_option(c, optarg))
			return misused();
	}
	invocation.operands = argv + optind;
	invocation.noperands = argc - optind;
	if (command->max_operands >= 0 && invocation.noperands > command->max_operands)
	{
		pg_log_error("too many arguments (the first is \"%s\")",
					 argv[optind + command->max_operands]);
		return misused();
	}
	return command->go(&invocation);
}

bool
ha_invocation_is_complete(const HaInvocation *invocation)
{
	if (invocation->data_dir[0] != '\0' && invocation->config[0] != '\0')
		return true;
	pg_log_error("no %s given", invocation->data_dir[0] == '\0' ?
				 "data directory" : "node file");
	misused();
	return false;
}

bool
ha_invocation_bin_dir(const HaInvocation *invocation, char *bin_dir)
{
	char		path[MAXPGPATH];

	strlcpy(bin_dir, invocation->bin_dir, MAXPGPATH);
	if (bin_dir[0] != '\0')
		return true;
	snprintf(path, sizeof(path), "%s/postgres", PGBINDIR);
	if (access(path, X_OK) == 0)
	{
		strlcpy(bin_dir, PGBINDIR, MAXPGPATH);
		return true;
	}
	if (find_other_exec(invocation->argv0, "postgres", PG_BACKEND_VERSIONSTR,
						path) != 0)
		return false;
	get_parent_directory(path);
	strlcpy(bin_dir, path, MAXPGPATH);
	return true;
}

int
ha_invocation_node(const HaInvocation *invocation, HaNode *node)
{
	char		bin_dir[MAXPGPATH];

	if (!ha_invocation_is_complete(invocation))
		return HA_EXIT_CONFIGURATION;
	if (!ha_invocation_bin_dir(invocation, bin_dir))
	{
		pg_log_error("P02 cannot find \"postgres\" of version %s in \"%s\"",
					 PG_VERSION, PGBINDIR);
		pg_log_error_hint("Say where it is with --bindir.");
		return HA_EXIT_CONFIGURATION;
	}
	if (!ha_node_read(invocation->config, invocation->data_dir, bin_dir, node))
		return HA_EXIT_CONFIGURATION;
	return HA_EXIT_OK;
}

static const HaCommand *
find_command(const char *name)
{
	for (int i = 0; i < lengthof(commands); i++)
	{
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* Is help all that is wanted?  What stands behind "--" is not ours. */
static bool
wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
	{
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-?") == 0)
			return true;
	}
	return false;
}

int
main(int argc, char **argv)
{
	const HaCommand *command;

	pg_logging_init(argv[0]);
	pg_logging_set_pre_callback(print_time);
	progname = get_progname(argv[0]);

	if (argc < 2)
	{
		pg_log_error("no command given");
		return misused();
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)
	{
		print_usage();
		return HA_EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		printf("pg_ha_boot (pg_ha) %s\n", HA_VERSION);
		return HA_EXIT_OK;
	}
	command = find_command(argv[1]);
	if (command == NULL)
	{
		pg_log_error("unrecognized command \"%s\"", argv[1]);
		return misused();
	}
	if (wants_help(argc - 2, argv + 2))
	{
		print_command_help(command);
		return HA_EXIT_OK;
	}
	if (geteuid() == 0)
	{
		pg_log_error("P04 must not be run as root");
		pg_log_error_hint("Run it as the user that owns the data directory.");
		return HA_EXIT_CONFIGURATION;
	}
	umask(0077);
	return parse_and_go(command, argc - 1, argv + 1, argv[0]);
}
