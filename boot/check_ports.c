/*-------------------------------------------------------------------------
 *
 * check_ports.c
 *	  P07: could the server listen where it is told to?
 *
 * It is tried, as the server does it, but without listening: two sockets that only
 * are bound are not in each other's way, so a server that starts meanwhile does
 * not notice.
 *
 * Before a start, a port that a process of the same data directory holds is none
 * of our business: that process is dying, and the server's start waits for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "preflight.h"
#include "processes.h"

#define COMMAND_SHOWN		100

/* A listening socket, as /proc/net/tcp tells of it. */
typedef struct Listener
{
	uint64_t	inode;			/* 0 = none found */
	unsigned	uid;
	pid_t		pid;			/* 0 = not known */
} Listener;

/*
 * Find who listens at a port, whichever address: what keeps us from binding to
 * one is a socket for that or for all.
 */
static void
find_listener(int port, Listener *listener)
{
	static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	char		line[512];

	memset(listener, 0, sizeof(*listener));
	for (int i = 0; i < lengthof(tables) && listener->inode == 0; i++)
	{
		FILE	   *file = fopen(tables[i], "re");

		while (file != NULL && listener->inode == 0 &&
			   fgets(line, sizeof(line), file) != NULL)
		{
			unsigned	local_port;
			unsigned	state;
			unsigned	uid;
			unsigned long long inode;

			if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %u %*d %llu",
					   &local_port, &state, &uid, &inode) == 4 &&
				local_port == port && state == 0x0a)
			{
				listener->inode = inode;
				listener->uid = uid;
			}
		}
		if (file != NULL)
			fclose(file);
	}
	if (listener->inode != 0)
		listener->pid = ha_process_with_socket(listener->inode);
}

/* Is it, or may it be, what an earlier server of ours has left? */
static bool
may_be_ours(const HaPreflight *p, const Listener *listener)
{
	if (listener->pid != 0)
		return ha_process_works_in(listener->pid, p->node.data_dir);
	return p->starting && (listener->inode == 0 || listener->uid == geteuid());
}

static void
report_in_use(HaPreflight *p, const char *address, int port, const char *setting)
{
	Listener	listener;
	char		command[COMMAND_SHOWN];
	char		who[COMMAND_SHOWN + 64];

	find_listener(port, &listener);
	if (may_be_ours(p, &listener))
		return;
	if (listener.pid != 0)
	{
		ha_process_command(listener.pid, command, sizeof(command));
		snprintf(who, sizeof(who), "process %d (%s)", (int) listener.pid,
				 command);
	}
	else if (listener.inode != 0)
		snprintf(who, sizeof(who), "a process of uid %u", listener.uid);
	else
		strlcpy(who, "another process", sizeof(who));
	ha_report_error(&p->report, "P07",
					psprintf("End that process, or set another %s in the node file.",
							 setting),
					"port %d on %s is in use by %s", port, address, who);
}

/* Can a socket be bound to it?  0, or errno. */
static int
try_to_bind(const struct addrinfo *address)
{
	int			on = 1;
	int			result = 0;
	int			fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		(address->ai_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
		bind(fd, address->ai_addr, address->ai_addrlen) != 0)
		result = errno;
	close(fd);
	return result;
}

/*
 * Try one entry of listen_addresses.  Returns whether the server could listen there
 * but for another process.  Before a start no name is looked up, for which DNS may
 * take its time.
 */
static bool
check_address(HaPreflight *p, const char *name, int port, const char *setting)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,.ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL;
	char		service[16];
	bool		usable = false;
	bool		in_use = false;

	if (p->starting && strcmp(name, "*") != 0 && strcmp(name, "localhost") != 0)
		hints.ai_flags |= AI_NUMERICHOST;
	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &hints,
					&list) != 0)
		return p->starting;		/* for all we know */
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next)
	{
		int			error = try_to_bind(a);

		usable |= error == 0 || error == EADDRINUSE;
		in_use |= error == EADDRINUSE;
	}
	freeaddrinfo(list);
	if (in_use)
		report_in_use(p, name, port, setting);
	return usable;
}

static void
check_server_port(HaPreflight *p)
{
	int			port = atoi(p->settings[HA_SETTING_PORT].value);
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *name;
	int			n = 0;
	int			usable = 0;

	strlcpy(list, p->settings[HA_SETTING_LISTEN].value, sizeof(list));
	while ((name = strsep(&rest, ", \t")) != NULL)
	{
		if (name[0] == '\0')
			continue;
		n++;
		if (check_address(p, name, port, "port"))
			usable++;
	}
	if (n > 0 && usable == 0)
		ha_report_error(&p->report, "P07",
						"Give addresses of this host in the node file.",
						"none of listen_addresses = '%s' is an address of this host",
						p->settings[HA_SETTING_LISTEN].value);
}

/* A socket file of the same port belongs to whoever its lock file names. */
static void
check_socket(HaPreflight *p, const char *directory)
{
	char		path[MAXPGPATH];
	char		line[32] = "";
	FILE	   *file;
	int			pid;

	snprintf(path, sizeof(path), "%s/.s.PGSQL.%d.lock", directory,
			 atoi(p->settings[HA_SETTING_PORT].value));
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	pid = abs(atoi(line));

	/* The server takes one whom it may not signal for a stranger, too. */
	if (pid == 0 || pid == getpid() || pid == getppid() ||
		ha_process_start_time(pid) == 0 || kill(pid, 0) != 0 ||
		ha_process_works_in(pid, p->node.data_dir))
		return;
	ha_report_error(&p->report, "P07",
					"End that server, or set another port or unix_socket_directories in the node file.",
					"socket lock file \"%s\" belongs to process %d", path, pid);
}

static void
check_sockets(HaPreflight *p)
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *name;

	strlcpy(list, p->settings[HA_SETTING_SOCKETS].value, sizeof(list));
	while ((name = strsep(&rest, ",")) != NULL)
	{
		name += strspn(name, " \t");
		if (name[0] == '/')
			check_socket(p, name);
	}
}

static void
check_rest_port(HaPreflight *p)
{
	char		host[sizeof(p->node.rest_listen)];
	int			port = 0;

	if (ha_address_parse(p->node.rest_listen, host, sizeof(host), &port))
		check_address(p, host, port, "pg_ha.rest_listen");
}

void
ha_check_ports(HaPreflight *p)
{
	if (!p->server_runs)
	{
		check_server_port(p);
		check_sockets(p);
	}
	if (!p->boot_runs)
		check_rest_port(p);
}
