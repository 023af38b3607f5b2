/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Telling the service manager how this node is.
 *
 * The protocol of sd_notify(3) is one datagram of lines to the socket in
 * $NOTIFY_SOCKET, so no library is needed for it.
 *
 * READY=1 is said when pg_ha_boot has begun to mind its node, not when the server
 * accepts connections: a node that has to wait for a leader to clone is in order,
 * however long that takes, and what it waits for is told in STATUS.  While it stops it
 * asks for more time again and again, as a shutdown checkpoint takes as long as it
 * takes; so a service manager that does run out of patience has a pg_ha_boot that
 * hangs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../member_json.h"
#include "notify.h"

/* Asked for anew after a third of it. */
#define EXTENSION			30000

static struct sockaddr_un manager;
static socklen_t manager_length;	/* 0 = there is nobody to tell */
static int	notify_socket = -1;

/* What was said last, and when more time was asked for. */
static char said[512];
static bool is_ready;
static int64_t extended_at;

void
ha_notify_open(void)
{
	const char *address = getenv("NOTIFY_SOCKET");
	size_t		length = address != NULL ? strlen(address) : 0;

	/* An abstract name begins with a zero byte, and ends with its length. */
	if (length > 1 && length < sizeof(manager.sun_path) &&
		(address[0] == '/' || address[0] == '@'))
	{
		manager.sun_family = AF_UNIX;
		memcpy(manager.sun_path, address, length);
		if (address[0] == '@')
			manager.sun_path[0] = '\0';
		manager_length = offsetof(struct sockaddr_un, sun_path) + length +
			(address[0] == '/' ? 1 : 0);
		notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	}
	unsetenv("NOTIFY_SOCKET");
}

static bool
tell(const char *text)
{
	return sendto(notify_socket, text, strlen(text),
				  MSG_NOSIGNAL | MSG_DONTWAIT,
				  (struct sockaddr *) &manager, manager_length) > 0;
}

/* What the server is to the cluster. */
static void
describe_server(const HaBoot *b, const HaControlWorker *w, char *text,
				size_t size)
{
	if (w->role == HA_ROLE_PRIMARY)
		snprintf(text, size, "%s, timeline %u",
				 ha_control_get_deadline(b->control) > b->now ?
				 "leader" : "primary, suspended", w->timeline);
	else if (w->leader[0] != '\0')
		snprintf(text, size, "standby of %s, timeline %u%s", w->leader,
				 w->timeline, w->streaming ? ", streaming" : "");
	else
		snprintf(text, size, "standby, timeline %u, no leader", w->timeline);
}

static void
describe(const HaBoot *b, const HaControlWorker *w, char *text, size_t size)
{
	if (b->state == BOOT_SERVING && w != NULL &&
		(w->role == HA_ROLE_PRIMARY || w->role == HA_ROLE_STANDBY))
		describe_server(b, w, text, size);
	else if (b->waiting[0] != '\0' && !b->stop_requested)
		snprintf(text, size, "waiting for %s", b->waiting);
	else
		snprintf(text, size, "%s", ha_member_state_name(b->member_state));
}

void
ha_notify(const HaBoot *b, const HaControlWorker *w)
{
	char		status[384];
	char		text[sizeof(said)];
	bool		more;

	if (manager_length == 0 || notify_socket < 0)
		return;
	describe(b, w, status, sizeof(status));
	snprintf(text, sizeof(text), "%sSTATUS=%s\n",
			 b->stop_requested ? "STOPPING=1\n" : "", status);
	more = b->stop_requested && b->now - extended_at > EXTENSION / 3;
	if (strcmp(text, said) != 0 || !is_ready)
	{
		char		first[sizeof(said) + 16];

		snprintf(first, sizeof(first), "%s%s", is_ready ? "" : "READY=1\n",
				 text);
		if (tell(first))
		{
			is_ready = true;
			strlcpy(said, text, sizeof(said));
		}
	}
	if (more)
	{
		snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%d\n",
				 EXTENSION * 1000);
		if (tell(text))
			extended_at = b->now;
	}
}
