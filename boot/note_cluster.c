/*-------------------------------------------------------------------------
 *
 * note_cluster.c
 *	  Keep what the cluster looks like, for a start while etcd is away.
 *
 * Written when it has changed, at most once in a TTL, and not durably: after a crash of
 * the machine an older one will do.  Not while the worker says that a disk is sick, since
 * nothing may keep this process from what it has to do then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/time.h>

#include "../remember.h"
#include "files.h"
#include "note_cluster.h"

static char *noted;				/* the keys that the file has */
static int64_t noted_at;		/* when it was written */
static int64_t noted_view;		/* when the view was asked for that it has */

static bool
write_note(const HaBoot *b, const HaView *view, const char *keys)
{
	struct timeval now;
	char		path[MAXPGPATH];
	char	   *text;
	bool		ok;

	gettimeofday(&now, NULL);
	text = ha_remember_json(keys, now.tv_sec * INT64CONST(1000000) +
							now.tv_usec - (b->now - view->sent_at) * 1000);
	ok = text != NULL && strlen(text) < HA_REMEMBER_SIZE &&
		ha_path_in(path, b->node.state_dir, HA_REMEMBER_FILE) &&
		ha_replace_file(path, text, 0600, false);
	free(text);
	return ok;
}

void
ha_note_cluster(const HaBoot *b, bool sick)
{
	const HaView *view = ha_session_last_view(b->session);
	char	   *keys;

	if (sick || !view->valid || view->nmembers == 0 ||
		view->sent_at == noted_view ||
		(noted_at != 0 && b->now - noted_at < view->config.ttl))
		return;
	noted_view = view->sent_at;
	keys = ha_remember_keys(view);
	if (keys != NULL && (noted == NULL || strcmp(keys, noted) != 0))
	{
		noted_at = b->now;
		if (write_note(b, view, keys))
		{
			free(noted);
			noted = keys;
			return;
		}
	}
	free(keys);
}
