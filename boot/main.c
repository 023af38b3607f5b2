/*-------------------------------------------------------------------------
 *
 * main.c
 *	  pg_ha_boot: the program that starts and keeps one node.
 *
 * Options, the checks that need no cluster, and the lock which lets one
 * pg_ha_boot act for a node.  The lock is held on a file in the state
 * directory by a descriptor that children inherit by fork() but not across
 * exec(): while a child of ours works on the data directory, a new pg_ha_boot
 * has to stay out of it even if we are dead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/logging.h"
#include "getopt_long.h"

#include "supervise.h"

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
usage(void)
{
	printf("%s starts and keeps one node of a pg_ha cluster.\n\n", progname);
	printf("Usage:\n  %s run -D PGDATA -c NODEFILE [-b BINDIR]\n\n", progname);
	printf("Options:\n");
	printf("  -D, --pgdata=PGDATA    the data directory; made if it is missing\n");
	printf("  -c, --config=NODEFILE  the node file\n");
	printf("  -b, --bindir=BINDIR    where the server's programs are\n");
	printf("  -V, --version          show the version, then exit\n");
	printf("  -?, --help             show this help, then exit\n\n");
	printf("Signals:\n");
	printf("  TERM, INT  stop the server and leave the cluster\n");
	printf("  HUP        read the node file again\n");
	printf("  USR2       exit and leave the server running\n\n");
	printf("Exit codes:\n");
	printf("  0 done, 10 configuration, 11 temporary, 12 refused for safety\n");
}

static int
misused(void)
{
	pg_log_error_hint("Try \"%s --help\" for more information.", progname);
	return HA_EXIT_CONFIGURATION;
}

/* Where the server's programs are, if the command line does not say. */
static bool
find_bin_dir(const char *argv0, char *bin_dir)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), "%s/postgres", PGBINDIR);
	if (access(path, X_OK) == 0)
	{
		strlcpy(bin_dir, PGBINDIR, MAXPGPATH);
		return true;
	}
	if (find_other_exec(argv0, "postgres", PG_BACKEND_VERSIONSTR, path) == 0)
	{
		get_parent_directory(path);
		strlcpy(bin_dir, path, MAXPGPATH);
		return true;
	}
	pg_log_error("could not find the program \"postgres\" of version %s",
				 PG_VERSION);
	pg_log_error_hint("Say where it is with --bindir.");
	return false;
}

/*
 * Take the lock of the state directory, for as long as this process and the
 * children that it has forked live.  Returns 0, or an exit code after
 * reporting.
 */
static int
take_lock(const char *state_dir)
{
	char		path[MAXPGPATH];
	int			fd;

	if (mkdir(state_dir, 0700) != 0 && errno != EEXIST)
	{
		pg_log_error("could not create directory \"%s\": %m", state_dir);
		return HA_EXIT_CONFIGURATION;
	}
	snprintf(path, sizeof(path), "%s/lock", state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
	{
		pg_log_error("could not open file \"%s\": %m", path);
		return HA_EXIT_CONFIGURATION;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
	{
		pg_log_error("could not lock file \"%s\": %m", path);
		return HA_EXIT_CONFIGURATION;
	}
	close(fd);
	pg_log_error("another pg_ha_boot runs for this node");
	pg_log_error_hint("It, or a child of it that works on the data directory, holds a lock on \"%s\".",
					  path);
	return HA_EXIT_REFUSED;
}

static int
run(const HaNode *node)
{
	char		path[MAXPGPATH];
	char		err[HA_ERROR_SIZE];
	char		identity[HA_IDENTITY_SIZE];
	HaControl  *control;
	struct stat st;
	bool		control_was_lost;
	int			code = take_lock(node->state_dir);

	if (code != 0)
		return code;
	if (!ha_identity_read(node->state_dir, identity))
		return HA_EXIT_CONFIGURATION;

	/* One of an earlier boot of the machine is replaced, but is not lost. */
	snprintf(path, sizeof(path), "%s/control", node->state_dir);
	control_was_lost = stat(path, &st) != 0;
	control = ha_control_open(node->state_dir, true, err, sizeof(err));
	if (control == NULL)
	{
		pg_log_error("could not open the control block in \"%s\": %s",
					 node->state_dir, err);
		return HA_EXIT_CONFIGURATION;
	}
	pg_log_info("node \"%s\" of cluster \"%s\" starts", node->name,
				node->scope);
	code = ha_supervise(node, control, control_was_lost, identity);
	ha_control_close(control);
	pg_log_info("exits with code %d", code);
	return code;
}

/* "run -D PGDATA -c NODEFILE [-b BINDIR]", with the verb taken off. */
static int
parse_and_run(int argc, char **argv, const char *argv0)
{
	static const struct option options[] = {
		{"pgdata", required_argument, NULL, 'D'},
		{"config", required_argument, NULL, 'c'},
		{"bindir", required_argument, NULL, 'b'},
		{NULL, 0, NULL, 0}
	};
	char	   *data_dir = NULL;
	char	   *config = NULL;
	char		bin_dir[MAXPGPATH] = "";
	HaNode		node;
	int			c;

	while ((c = getopt_long(argc, argv, "D:c:b:", options, NULL)) != -1)
	{
		if (c == 'D')
			data_dir = make_absolute_path(optarg);
		else if (c == 'c')
			config = make_absolute_path(optarg);
		else if (c == 'b')
			strlcpy(bin_dir, optarg, sizeof(bin_dir));
		else
			return misused();
	}
	if (optind < argc)
	{
		pg_log_error("too many arguments (the first is \"%s\")", argv[optind]);
		return misused();
	}
	if (data_dir == NULL || config == NULL)
	{
		pg_log_error("no %s given", data_dir == NULL ? "data directory" :
					 "node file");
		return misused();
	}
	if (bin_dir[0] == '\0' && !find_bin_dir(argv0, bin_dir))
		return HA_EXIT_CONFIGURATION;
	if (!ha_node_read(config, data_dir, bin_dir, &node))
		return HA_EXIT_CONFIGURATION;
	return run(&node);
}

int
main(int argc, char **argv)
{
	pg_logging_init(argv[0]);
	pg_logging_set_pre_callback(print_time);
	progname = get_progname(argv[0]);

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 ||
					 strcmp(argv[1], "-?") == 0))
	{
		usage();
		return HA_EXIT_OK;
	}
	if (argc > 1 && (strcmp(argv[1], "--version") == 0 ||
					 strcmp(argv[1], "-V") == 0))
	{
		printf("pg_ha_boot (pg_ha) %s\n", HA_VERSION);
		return HA_EXIT_OK;
	}
	if (argc < 2 || strcmp(argv[1], "run") != 0)
	{
		if (argc < 2)
			pg_log_error("no verb given");
		else
			pg_log_error("unrecognized verb \"%s\"", argv[1]);
		return misused();
	}
	if (geteuid() == 0)
	{
		pg_log_error("cannot be run as root");
		pg_log_error_hint("Run it as the user that owns the data directory.");
		return HA_EXIT_REFUSED;
	}
	umask(0077);
	return parse_and_run(argc - 1, argv + 1, argv[0]);
}
