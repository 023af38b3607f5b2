/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  A client that writes all the time and remembers what it was told.
 *
 * usage: writer [options] CONNINFO ...
 *
 * Each CONNINFO names one node.  A few clients insert rows (client, n) into the
 * table "acked", each row once, and whatever happens to a row is logged:
 *
 *	TIME EARLIEST CLIENT N EVENT PORT TIMELINE MODE [SQLSTATE]
 *
 *	invoke		about to be sent
 *	ok			acknowledged: it must be there for ever
 *	fail		an ERROR that proves that nothing was committed
 *	unknown		the connection broke: may be there or not
 *	slow		no answer within the patience: unknown as well, but the client
 *				goes on elsewhere while this connection is still listened to, so
 *				"ok" may follow.  That is how an acknowledgement that comes too
 *				late gets seen.
 *
 * Clients stay where they are acknowledged.  If all did, nobody would notice a second
 * primary as long as the first goes on; so with -w every other client moves on to
 * the next node now and then.
 *
 * Readers (-R) ask which rows are there, each on any node that answers it, and
 * stay there as long as it does.  MODE is "read", N counts the reads:
 *
 *	read		about to be asked
 *	saw			the answer, in the place of SQLSTATE: CLIENT:N,... tells the
 *				highest row of each client
 *
 * A read that was refused says nothing, so no more is logged of it.
 *
 * Times are CLOCK_BOOTTIME nanoseconds, the clock that pg_ha uses.  EARLIEST is
 * when this program last looked at its sockets before: the event came in after
 * it.  So if this program itself was kept off the CPU, it does not mistake the
 * order of its own looking for the order of events.  TIMELINE is that of the
 * server when the connection was made; a primary keeps it as long as it lives.
 *
 * All is one loop over poll(2), and no client ever waits for another.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libpq-fe.h"

#define MAX_CLIENTS		64
#define MAX_NODES		16
#define MAX_MODES		8
#define MAX_ABANDONED	256
#define SEEN_SIZE		(MAX_CLIENTS * 32)

/*
 * ms for one node, which may be frozen.  Doubled each time, as on a machine with
 * too much to do nobody would ever get in otherwise.
 */
#define CONNECT_TIMEOUT	300
#define CONNECT_TIMEOUT_MAX	4800
#define MS				INT64_C(1000000)

typedef enum Mode
{
	MODE_SIMPLE,				/* one simple query */
	MODE_EXTENDED,				/* parse, bind, execute, sync */
	MODE_COPY,					/* COPY FROM STDIN */
	MODE_2PC,					/* PREPARE TRANSACTION, COMMIT PREPARED */
	MODE_PLPGSQL,				/* a COMMIT inside DO */
	MODE_READ,					/* a reader's only one */
} Mode;

static const char *const mode_names[] = {
	"simple", "extended", "copy", "2pc", "plpgsql", "read"
};

typedef enum State
{
	STATE_IDLE,					/* no connection; the next try is at wake_at */
	STATE_CONNECTING,			/* PQconnectPoll says what it waits for */
	STATE_ASKING,				/* which timeline is this? */
	STATE_READY,				/* connected; the next row is due at wake_at */
	STATE_WRITING,				/* a row, or a read, is under way */
} State;

/* One connection and the row, or read, that is under way on it. */
typedef struct Client
{
	int			id;
	Mode		mode;
	State		state;
	PGconn	   *conn;
	PostgresPollingStatusType polling;
	int			node;			/* index into conninfos */
	int64_t		connect_timeout;
	int64_t		connected_at;
	int64_t		n;				/* the row */
	bool		prepared;		/* 2PC: the first of the two steps is done */
	bool		ok;				/* the last command of the row succeeded */
	char		sqlstate[6];	/* ... or failed; '' = no error */
	bool		fatal;			/* ... with the end of the connection */
	int64_t		wake_at;		/* see the states; WRITING: patience ends */
	char		timeline[9];
	char		seen[SEEN_SIZE];	/* readers: the answer */
} Client;

static Client clients[MAX_CLIENTS];
static int	nclients = 4;		/* all of them */
static int	nwriters = 4;		/* the first of them; the others read */
static int	first = 1;			/* number of the first one */
static Client abandoned[MAX_ABANDONED];
static int	nabandoned = 0;

static char *conninfos[MAX_NODES];
static char *read_conninfos[MAX_NODES];
static int	nnodes = 0;

static FILE *log_file;
static int64_t pause_between = 2 * MS;	/* rows of one client */
static int64_t pause_between_reads = 20 * MS;
static int64_t roam_after = 0;	/* on one node; 0 = never */
static int64_t retry_after = 5 * MS;	/* all nodes refused */
static int64_t patience = 500 * MS;

static int64_t last_looked;		/* when poll(2) returned the time before */
static int64_t looked;			/* when it returned now */

static int64_t acked = 0,
			failed = 0,
			unknown = 0,
			answered = 0;
static int64_t last_ack = 0,
			longest_gap = 0,
			longest_gap_end = 0;

static volatile sig_atomic_t stop_requested = 0;

static void
handle_stop(int signo)
{
	stop_requested = 1;
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static void
log_event(const Client *client, const char *event)
{
	const char *port = client->conn ? PQport(client->conn) : NULL;
	const char *more = client->mode == MODE_READ ? client->seen :
	client->sqlstate;

	fprintf(log_file, "%" PRId64 " %" PRId64 " %d %" PRId64 " %s %s %s %s%s%s\n",
			now_ns(), last_looked, client->id, client->n, event,
			port && *port ? port : "0",
			*client->timeline ? client->timeline : "-",
			mode_names[client->mode],
			*more ? " " : "", more);
}

static void
count_ack(void)
{
	int64_t		now = now_ns();

	if (last_ack != 0 && now - last_ack > longest_gap)
	{
		longest_gap = now - last_ack;
		longest_gap_end = now;
	}
	last_ack = now;
	acked++;
}

/*
 * Drop the connection and try another node: the next one at once, but after a
 * whole round of refusals with a pause.
 */
static void
try_next_node(Client *client, int64_t now)
{
	if (client->conn)
		PQfinish(client->conn);
	client->conn = NULL;
	client->timeline[0] = '\0';
	client->node = (client->node + 1) % nnodes;
	client->state = STATE_IDLE;
	client->wake_at = client->node == client->id % nnodes ?
		now + retry_after : now;
}

/* What the server says beside its answers is not for the terminal. */
static void
ignore_notice(void *arg, const char *message)
{
}

static void
start_connecting(Client *client, int64_t now)
{
	client->conn = PQconnectStart(client->mode == MODE_READ ?
								  read_conninfos[client->node] :
								  conninfos[client->node]);
	if (client->conn == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	if (PQstatus(client->conn) == CONNECTION_BAD)
	{
		try_next_node(client, now);
		client->wake_at = now + retry_after;
		return;
	}
	PQsetNoticeProcessor(client->conn, ignore_notice, NULL);
	client->state = STATE_CONNECTING;
	client->polling = PGRES_POLLING_WRITING;
	client->wake_at = now + client->connect_timeout * MS;
}

/*
 * Send the first, or after "prepared" the second, command of the row.
 */
static bool
send_row(Client *client)
{
	PGconn	   *conn = client->conn;
	char		sql[256];
	char		id[16];
	char		n[24];
	const char *values[2] = {id, n};

	snprintf(id, sizeof(id), "%d", client->id);
	snprintf(n, sizeof(n), "%" PRId64, client->n);

	client->ok = false;
	client->sqlstate[0] = '\0';
	client->fatal = false;

	switch (client->mode)
	{
		case MODE_SIMPLE:
			snprintf(sql, sizeof(sql),
					 "INSERT INTO acked (client, n) VALUES (%s, %s)", id, n);
			return PQsendQuery(conn, sql);
		case MODE_EXTENDED:
			return PQsendQueryParams(conn,
									 "INSERT INTO acked (client, n) "
									 "VALUES ($1::int, $2::bigint)",
									 2, NULL, values, NULL, NULL, 0);
		case MODE_COPY:
			return PQsendQuery(conn, "COPY acked (client, n) FROM STDIN");
		case MODE_2PC:
			if (client->prepared)
				snprintf(sql, sizeof(sql), "COMMIT PREPARED 'w_%s_%s'", id, n);
			else
				snprintf(sql, sizeof(sql),
						 "BEGIN; INSERT INTO acked (client, n) VALUES (%s, %s); "
						 "PREPARE TRANSACTION 'w_%s_%s'", id, n, id, n);
			return PQsendQuery(conn, sql);
		case MODE_PLPGSQL:
			snprintf(sql, sizeof(sql),
					 "DO $$ BEGIN "
					 "INSERT INTO acked (client, n) VALUES (%s, %s); COMMIT; "
					 "END $$", id, n);
			return PQsendQuery(conn, sql);
		case MODE_READ:
			snprintf(sql, sizeof(sql),
					 "SELECT string_agg(c || ':' || coalesce("
					 "(SELECT max(n) FROM acked WHERE client = c), 0), ',') "
					 "FROM generate_series(%d, %d) c",
					 first, first + nwriters - 1);
			return PQsendQuery(conn, sql);
	}
	return false;
}

static void
count_unknown(const Client *client, const char *event)
{
	if (client->mode == MODE_READ)
		return;
	log_event(client, event);
	unknown++;
}

static void
start_row(Client *client, int64_t now)
{
	client->n++;
	client->prepared = false;
	client->seen[0] = '\0';
	client->state = STATE_WRITING;
	client->wake_at = now + patience;
	log_event(client, client->mode == MODE_READ ? "read" : "invoke");
	if (!send_row(client))
	{
		count_unknown(client, "unknown");
		try_next_node(client, now);
	}
}

static void
send_copy_data(Client *client)
{
	char		line[64];
	int			length;

	length = snprintf(line, sizeof(line), "%d\t%" PRId64 "\n",
					  client->id, client->n);
	if (PQputCopyData(client->conn, line, length) == 1)
		PQputCopyEnd(client->conn, NULL);
}

/*
 * Take note of one result.  An error stays what it is even if results of the
 * same query string follow.
 */
static void
note_result(Client *client, PGresult *result)
{
	const char *sqlstate;
	const char *severity;

	switch (PQresultStatus(result))
	{
		case PGRES_COPY_IN:
			send_copy_data(client);
			break;
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			client->ok = *client->sqlstate == '\0';
			if (client->state == STATE_ASKING && PQntuples(result) == 1)
				snprintf(client->timeline, sizeof(client->timeline), "%.8s",
						 PQgetvalue(result, 0, 0));
			else if (client->mode == MODE_READ && PQntuples(result) == 1)
				snprintf(client->seen, sizeof(client->seen), "%s",
						 PQgetvalue(result, 0, 0));
			break;
		default:
			client->ok = false;
			sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
			severity = PQresultErrorField(result,
										  PG_DIAG_SEVERITY_NONLOCALIZED);
			snprintf(client->sqlstate, sizeof(client->sqlstate), "%s",
					 sqlstate ? sqlstate : "08006");
			client->fatal = severity == NULL || strcmp(severity, "ERROR") != 0;
			break;
	}
}

/*
 * Read what came.  Returns true when the commands sent so far are done or the
 * connection is.
 */
static bool
read_results(Client *client)
{
	PGconn	   *conn = client->conn;

	if (!PQconsumeInput(conn))
	{
		if (*client->sqlstate == '\0')
			strcpy(client->sqlstate, "08006");
		client->ok = false;
		client->fatal = true;
		/* What the server said before it hung up is worth more. */
	}
	while (!PQisBusy(conn))
	{
		PGresult   *result = PQgetResult(conn);

		if (result == NULL)
			return true;
		note_result(client, result);
		PQclear(result);
		PQflush(conn);
	}
	return PQstatus(conn) == CONNECTION_BAD;
}

/*
 * Does the error prove that nothing was committed?  A prepared transaction may yet
 * be committed by somebody, and a block that has committed inside may be
 * cancelled before its end: of its errors only the fence's comes before the commit
 * for certain.
 */
static bool
failed_for_certain(const Client *client)
{
	if (*client->sqlstate == '\0' || client->fatal || client->prepared)
		return false;
	return client->mode != MODE_PLPGSQL ||
		strcmp(client->sqlstate, "25006") == 0;
}

/*
 * The row's fate is known, or the second command of a two-phase commit is due.
 * Returns false if the row goes on.
 */
static bool
finish_row(Client *client, int64_t now, bool may_go_on)
{
	if (client->ok && client->mode == MODE_2PC && !client->prepared)
	{
		client->prepared = true;
		if (may_go_on && send_row(client))
			return false;
		client->ok = false;
		strcpy(client->sqlstate, "08006");
		client->fatal = true;
	}

	if (client->mode == MODE_READ)
	{
		if (client->ok)
		{
			log_event(client, "saw");
			answered++;
		}
	}
	else if (client->ok)
	{
		log_event(client, "ok");
		count_ack();
	}
	else if (failed_for_certain(client))
	{
		log_event(client, "fail");
		failed++;
	}
	else
		count_unknown(client, "unknown");
	return true;
}

/*
 * Patience is over: the row stays with its connection, which is only listened
 * to from now on, and the client takes a new one.
 */
static void
abandon(Client *client, int64_t now)
{
	count_unknown(client, "slow");
	if (nabandoned == MAX_ABANDONED)
	{
		PQfinish(abandoned[0].conn);
		memmove(&abandoned[0], &abandoned[1],
				sizeof(Client) * (MAX_ABANDONED - 1));
		nabandoned--;
	}
	abandoned[nabandoned++] = *client;
	client->conn = NULL;
	try_next_node(client, now);
}

static void
become_ready(Client *client, int64_t now)
{
	client->state = STATE_READY;
	client->connect_timeout = CONNECT_TIMEOUT;
	client->connected_at = now;
	client->wake_at = now;
}

/* A reader may be on a standby, which has no timeline of its own. */
static void
handle_connecting(Client *client, int64_t now)
{
	client->polling = PQconnectPoll(client->conn);
	if (client->polling == PGRES_POLLING_FAILED)
		try_next_node(client, now);
	else if (client->polling == PGRES_POLLING_OK && client->mode == MODE_READ)
		become_ready(client, now);
	else if (client->polling == PGRES_POLLING_OK)
	{
		client->ok = false;
		client->sqlstate[0] = '\0';
		if (PQsendQuery(client->conn,
						"SELECT pg_walfile_name(pg_current_wal_lsn())"))
		{
			client->state = STATE_ASKING;
			client->wake_at = now + client->connect_timeout * MS + patience;
		}
		else
			try_next_node(client, now);
	}
}

static void
handle_input(Client *client, int64_t now)
{
	switch (client->state)
	{
		case STATE_CONNECTING:
			handle_connecting(client, now);
			break;
		case STATE_ASKING:
			if (!read_results(client))
				break;
			if (client->ok)
				become_ready(client, now);
			else
				try_next_node(client, now);
			break;
		case STATE_READY:
			/* Only a server that ends the connection speaks unasked. */
			if (!PQconsumeInput(client->conn) ||
				PQstatus(client->conn) == CONNECTION_BAD)
				try_next_node(client, now);
			break;
		case STATE_WRITING:
			if (!read_results(client) || !finish_row(client, now, true))
				break;
			if (client->ok)
			{
				client->state = STATE_READY;
				client->wake_at = now + (client->mode == MODE_READ ?
										 pause_between_reads : pause_between);
			}
			else
				try_next_node(client, now);
			break;
		case STATE_IDLE:
			break;
	}
}

static bool
wants_to_move(const Client *client, int64_t now)
{
	return roam_after != 0 && client->mode != MODE_READ &&
		client->id % 2 == 0 && now >= client->connected_at + roam_after;
}

static void
handle_time(Client *client, int64_t now)
{
	switch (client->state)
	{
		case STATE_IDLE:
			start_connecting(client, now);
			break;
		case STATE_CONNECTING:
		case STATE_ASKING:
			if (client->connect_timeout < CONNECT_TIMEOUT_MAX)
				client->connect_timeout *= 2;
			try_next_node(client, now);
			break;
		case STATE_READY:
			if (wants_to_move(client, now))
				try_next_node(client, now);
			else
				start_row(client, now);
			break;
		case STATE_WRITING:
			abandon(client, now);
			break;
	}
}

/*
 * Listen to an abandoned connection.  Returns true if it is over.
 */
static bool
handle_abandoned(Client *client, int64_t now)
{
	if (!read_results(client))
		return false;
	if (client->ok || client->prepared)
		finish_row(client, now, false);
	PQfinish(client->conn);
	return true;
}

static short
events_of(const Client *client)
{
	if (client->state == STATE_CONNECTING)
		return client->polling == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	return POLLIN;
}

static void
loop_once(void)
{
	struct pollfd fds[MAX_CLIENTS + MAX_ABANDONED];
	int			nwatched = nabandoned;
	int64_t		now = now_ns();
	int64_t		wake_at = now + 100 * MS;
	struct timespec timeout;

	for (int i = 0; i < nclients; i++)
	{
		fds[i].fd = clients[i].conn ? PQsocket(clients[i].conn) : -1;
		fds[i].events = events_of(&clients[i]);
		fds[i].revents = 0;
		if (clients[i].wake_at < wake_at)
			wake_at = clients[i].wake_at;
	}
	for (int i = 0; i < nwatched; i++)
	{
		fds[nclients + i].fd = PQsocket(abandoned[i].conn);
		fds[nclients + i].events = POLLIN;
		fds[nclients + i].revents = 0;
	}

	if (wake_at < now)
		wake_at = now;
	timeout.tv_sec = (wake_at - now) / (1000 * MS);
	timeout.tv_nsec = (wake_at - now) % (1000 * MS);
	if (ppoll(fds, nclients + nwatched, &timeout, NULL) < 0 && errno != EINTR)
	{
		perror("poll");
		exit(1);
	}
	last_looked = looked;
	looked = now = now_ns();

	/* First those that leave: the others may add to them. */
	for (int i = nwatched - 1; i >= 0; i--)
	{
		if (fds[nclients + i].revents && handle_abandoned(&abandoned[i], now))
		{
			memmove(&abandoned[i], &abandoned[i + 1],
					sizeof(Client) * (nabandoned - i - 1));
			nabandoned--;
		}
	}
	for (int i = 0; i < nclients; i++)
	{
		if (fds[i].revents)
			handle_input(&clients[i], now);
		else if (clients[i].wake_at <= now)
			handle_time(&clients[i], now);
	}
	fflush(log_file);
}

static Mode
parse_mode(const char *name)
{
	for (int i = 0; i < MODE_READ; i++)
	{
		if (strcmp(name, mode_names[i]) == 0)
			return (Mode) i;
	}
	fprintf(stderr, "writer: there is no mode \"%s\"\n", name);
	exit(2);
}

static void
usage(void)
{
	fprintf(stderr,
			"usage: writer [options] CONNINFO ...\n"
			"  -o FILE    log (default: standard output)\n"
			"  -c N       clients (4)\n"
			"  -b N       number of the first client (1)\n"
			"  -m MODES   of simple,extended,copy,2pc,plpgsql, in turn (simple)\n"
			"  -d MS      pause between the rows of one client (2)\n"
			"  -w MS      every other client moves on after so long (never)\n"
			"  -R N       readers beside the clients (0)\n"
			"  -x TEXT    is added to each CONNINFO of a reader\n"
			"  -e MS      pause between the reads of one reader (20)\n"
			"  -r MS      pause after all nodes refused (5)\n"
			"  -p MS      patience with one row (500)\n");
	exit(2);
}

static void
prepare_clients(const Mode *modes, int nmodes, const char *read_extra)
{
	for (int i = 0; i < nnodes; i++)
	{
		size_t		size = strlen(conninfos[i]) + strlen(read_extra) + 2;

		read_conninfos[i] = malloc(size);
		if (read_conninfos[i] == NULL)
		{
			fprintf(stderr, "out of memory\n");
			exit(1);
		}
		snprintf(read_conninfos[i], size, "%s %s", conninfos[i], read_extra);
	}
	for (int i = 0; i < nclients; i++)
	{
		clients[i].id = first + i;
		clients[i].connect_timeout = CONNECT_TIMEOUT;
		clients[i].mode = i < nwriters ? modes[i % nmodes] : MODE_READ;
		clients[i].node = clients[i].id % nnodes;
		clients[i].state = STATE_IDLE;
	}
}

int
main(int argc, char **argv)
{
	Mode		modes[MAX_MODES] = {MODE_SIMPLE};
	int			nmodes = 0;
	int			nreaders = 0;
	const char *read_extra = "";
	int			c;
	struct sigaction action = {.sa_handler = handle_stop};

	log_file = stdout;
	while ((c = getopt(argc, argv, "o:c:b:m:d:r:p:w:R:x:e:")) != -1)
	{
		switch (c)
		{
			case 'o':
				log_file = fopen(optarg, "w");
				if (log_file == NULL)
				{
					perror(optarg);
					return 2;
				}
				break;
			case 'c':
				nwriters = atoi(optarg);
				break;
			case 'b':
				first = atoi(optarg);
				break;
			case 'm':
				while (optarg != NULL && nmodes < MAX_MODES)
					modes[nmodes++] = parse_mode(strsep(&optarg, ","));
				break;
			case 'd':
				pause_between = atoi(optarg) * MS;
				break;
			case 'r':
				retry_after = atoi(optarg) * MS;
				break;
			case 'p':
				patience = atoi(optarg) * MS;
				break;
			case 'w':
				roam_after = atoi(optarg) * MS;
				break;
			case 'R':
				nreaders = atoi(optarg);
				break;
			case 'x':
				read_extra = optarg;
				break;
			case 'e':
				pause_between_reads = atoi(optarg) * MS;
				break;
			default:
				usage();
		}
	}
	while (optind < argc && nnodes < MAX_NODES)
		conninfos[nnodes++] = argv[optind++];
	nclients = nwriters + nreaders;
	if (nnodes == 0 || nwriters < 1 || nreaders < 0 || nclients > MAX_CLIENTS)
		usage();
	if (nmodes == 0)
		nmodes = 1;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	prepare_clients(modes, nmodes, read_extra);
	looked = last_looked = now_ns();
	while (!stop_requested)
		loop_once();

	/* What is still under way stays unknown. */
	for (int i = 0; i < nclients; i++)
	{
		if (clients[i].state == STATE_WRITING)
			count_unknown(&clients[i], "unknown");
	}
	printf("%" PRId64 " acknowledged, %" PRId64 " failed, %" PRId64 " unknown, "
		   "%" PRId64 " reads; longest time without an acknowledgement %.3f s\n",
		   acked, failed, unknown, answered, longest_gap / 1e9);
	if (fclose(log_file) != 0)
	{
		perror("writer: log");
		return 1;
	}
	return 0;
}
