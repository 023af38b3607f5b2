/*-------------------------------------------------------------------------
 *
 * stranded.c
 *	  A standby whose next WAL is nowhere any more.
 *
 * Such a server asks for it for ever.  To clone it again costs much, so nothing is
 * concluded from silence: the standby has used up all that it has itself and asked for
 * more, has got nothing for long, though its leader has written more, and then that
 * leader, asked for this very WAL, says that the file is gone.  A standby with an
 * archive is given ten times as long, since there it may come from as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.h"

#include "leader.h"
#include "programs.h"
#include "source.h"
#include "stranded.h"

/* In TTLs: by then an election is over, and who can follow does. */
#define STRANDED_AFTER		3
#define ARCHIVE_FACTOR		10

#define ASK_AGAIN			10000

/* Which timeline has this position in the leader's history? */
static uint32_t
timeline_at(const HaTerm *term, uint64_t lsn)
{
	for (int i = 0; i < term->nlineage; i++)
	{
		if (lsn < term->lineage[i].end_lsn)
			return term->lineage[i].timeline;
	}
	return term->timeline;
}

static bool
is_waiting(const HaBoot *b, const HaControlWorker *w, const HaMember *leader)
{
	const HaView *view = ha_session_last_view(b->session);

	return leader != NULL && !view->config.pause && strcmp(w->leader, leader->name) == 0 &&
		(w->role == HA_ROLE_STANDBY || w->role == HA_ROLE_STARTING) &&
		w->awaited_lsn != 0 && w->awaited_lsn == b->awaited_lsn &&
		view->heartbeat.lsn > w->awaited_lsn;
}

static void
ask(HaBoot *b, const HaMember *leader)
{
	const HaView *view = ha_session_last_view(b->session);
	HaSource	source;

	if (b->asked_about != b->awaited_lsn)
		pg_log_info("nothing has come for %d s: asking leader \"%s\" whether it still has the WAL from %X/%X on",
					(int) ((b->now - b->awaited_since) / 1000), leader->name,
					(uint32) (b->awaited_lsn >> 32), (uint32) b->awaited_lsn);
	b->asked_about = b->awaited_lsn;
	b->ask_at = b->now + ASK_AGAIN;
	ha_source_of(leader, &source);
	if (!ha_source_is_usable(&source))
		return;
	b->asker = ha_program_fork();
	if (b->asker == 0)
	{
		ha_source_environment(&b->node);
		_exit(ha_source_lacks_wal(&b->node, &source,
								  timeline_at(&view->term, b->awaited_lsn),
								  b->awaited_lsn) ? 0 : 1);
	}
	strlcpy(b->asked_whom, leader->name, sizeof(b->asked_whom));
}

bool
ha_stranded_look(HaBoot *b, const HaControlWorker *w)
{
	const HaView *view = ha_session_last_view(b->session);
	const HaMember *leader = ha_leader_source(view, b->node.name);
	int64_t		patience = STRANDED_AFTER * view->config.ttl *
	(w->has_archive ? ARCHIVE_FACTOR : 1);

	if (!is_waiting(b, w, leader))
	{
		b->awaited_lsn = w->awaited_lsn;
		b->awaited_since = b->now;
		b->wal_is_gone = false;
		return false;
	}
	if (b->wal_is_gone && strcmp(b->asked_whom, leader->name) == 0)
	{
		snprintf(b->rejoin_why, sizeof(b->rejoin_why),
				 "the WAL from %X/%X on, which comes next, has been removed on leader \"%s\"",
				 (uint32) (b->awaited_lsn >> 32), (uint32) b->awaited_lsn,
				 b->asked_whom);
		return true;
	}
	if (b->asker <= 0 && b->now - b->awaited_since > patience &&
		b->now >= b->ask_at)
		ask(b, leader);
	return false;
}

void
ha_stranded_answer(HaBoot *b, int status)
{
	b->asker = 0;

	/* Something may have come, or another one lead, since it was asked. */
	b->wal_is_gone = WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
		b->asked_about == b->awaited_lsn;
}
