/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  One pg_ha_boot at a time acts for a node.
 *
 * The lock is held on a file in the state directory by a descriptor that
 * children inherit by fork() but not across exec(): while a child of ours works
 * on the data directory, a new pg_ha_boot has to stay out of it even if we are
 * dead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"

#include "lock.h"
#include "commands.h"

int
ha_lock_take(const char *state_dir)
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
	pg_log_error("P11 another pg_ha_boot runs for this node");
	pg_log_error_hint("It, or a child of it that works on the data directory, holds a lock on \"%s\".",
					  path);
	return HA_EXIT_REFUSED;
}
