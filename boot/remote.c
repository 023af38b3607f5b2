/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  The source of a standby cluster, as pg_ha_boot deals with it.
 *
 * A standby whose WAL has diverged from the source's never gets anything from it,
 * nor from a leader who has the source's, and can't tell that from one who is away.
 * When nothing has come for a moment the source is asked for its history.  Only an
 * answer that has this server's timeline end before what is replayed here, or does
 * not have it at all, is taken for a divergence; then the data is rewound like any
 * other (rebuild.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/wait.h>
#include <unistd.h>

#include "../config_values_json.h"
#include "bootstrap.h"
#include "programs.h"
#include "remote.h"
#include "remote_source.h"

/* So long nothing has come, and so often it is asked then; ms. */
#define ASK_AFTER		1000
#define ASK_AGAIN		5000

/* How the child ends. */
#define DIVERGED		0
#define NOT_DIVERGED	1

bool
ha_remote_source(const HaBoot *b, const HaView *view, HaStandbyCluster *source)
{
	HaConfig	config;
	char		err[HA_WHY_SIZE];

	*source = view->config.standby_cluster;
	if (view->config.revision == 0 &&
		(!view->term.present || view->term.standby) && b->bootstrap != NULL &&
		b->bootstrap->config_json != NULL &&
		ha_config_parse(b->bootstrap->config_json,
						strlen(b->bootstrap->config_json), &config, err,
						sizeof(err)))
		*source = config.standby_cluster;
	return source->active;
}

static void
start_asking(HaBoot *b, const HaStandbyCluster *source,
			 const HaControlWorker *w)
{
	b->remote_ask_at = b->now + ASK_AGAIN;
	b->remote_asked_timeline = w->timeline;
	b->remote_asker = ha_program_fork();
	if (b->remote_asker == 0)
	{
		ha_source_environment(&b->node);
		_exit(ha_remote_has_diverged(&b->node, source, w->sysid, w->timeline,
									 w->replay_lsn) ? DIVERGED : NOT_DIVERGED);
	}
}

bool
ha_remote_look(HaBoot *b, const HaControlWorker *w)
{
	HaStandbyCluster source;

	if (!w->follows_source || w->streaming || w->replay_lsn == 0 ||
		!ha_remote_source(b, ha_session_last_view(b->session), &source))
	{
		b->remote_silent_since = b->now;
		b->remote_diverged = false;
		return false;
	}
	if (b->remote_diverged && w->timeline == b->remote_asked_timeline)
	{
		b->remote_diverged = false;
		snprintf(b->rejoin_why, sizeof(b->rejoin_why),
				 "its WAL, replayed up to %X/%X on timeline %u, diverged from that of the source",
				 (uint32) (w->replay_lsn >> 32), (uint32) w->replay_lsn,
				 w->timeline);
		return true;
	}
	if (b->remote_asker <= 0 && b->now - b->remote_silent_since > ASK_AFTER &&
		b->now >= b->remote_ask_at)
		start_asking(b, &source, w);
	return false;
}

void
ha_remote_answer(HaBoot *b, int status)
{
	b->remote_asker = 0;
	b->remote_diverged = WIFEXITED(status) && WEXITSTATUS(status) == DIVERGED;
}
