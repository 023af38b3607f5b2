/*-------------------------------------------------------------------------
 *
 * recreate.c
 *	  A cluster that the store has forgotten, or does not know yet.
 *
 * When its keys are gone, a node that has its data puts initialize, the uuid and
 * the configuration back; but only one that is a primary, or was one when its
 * server ended, since nobody is promoted who did not lead.  A standby may be behind
 * one who led after it, and would make its own past the cluster's present.
 *
 * Nor does the former leader know whether anybody has led since.  So it lets the
 * others show themselves first, for one TTL, and leaves it to a person if one of
 * them is a primary too, or on a later timeline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "../cluster_json.h"
#include "../config_values_json.h"
#include "bootstrap.h"
#include "files.h"
#include "recreate.h"
#include "uuid.h"

/* The configuration as it was last seen. */
#define CONFIG_FILE			"config.last"

#define VIEW_MAX_AGE		5000
#define ASK_AGAIN			2000
#define SOON				300

/* malloc'd; the defaults if none that is good was kept. */
static char *
remembered_config(const HaBoot *b)
{
	char		path[MAXPGPATH];
	char		err[HA_ERROR_SIZE];
	HaConfig	config;
	PQExpBufferData content;
	char	   *text = NULL;

	initPQExpBuffer(&content);
	ha_config_defaults(&config);
	if (ha_exists_in(b->node.state_dir, CONFIG_FILE) &&
		ha_path_in(path, b->node.state_dir, CONFIG_FILE) &&
		ha_read_file(path, &content) &&
		ha_config_parse(content.data, content.len, &config, err, sizeof(err)))
		text = strdup(content.data);
	termPQExpBuffer(&content);
	return text != NULL ? text : ha_bootstrap_config(b->bootstrap);
}

/* Not synced: a configuration that a crash of the machine undoes is older. */
static void
remember_config(HaBoot *b, const HaView *view)
{
	char		path[MAXPGPATH];
	char		err[HA_ERROR_SIZE];
	HaConfig	config;
	const char *text = ha_session_config_text(b->session);

	if (text == NULL || view->config.revision == 0 ||
		view->config.revision == b->config_kept)
		return;
	b->config_kept = view->config.revision;
	ha_config_defaults(&config);
	if (ha_config_parse(text, strlen(text), &config, err, sizeof(err)) &&
		ha_path_in(path, b->node.state_dir, CONFIG_FILE))
		(void) ha_replace_file(path, text, 0600, false);
}

static bool
send(HaBoot *b, const HaView *view, uint64_t sysid)
{
	char		text[32];
	HaTxn		txn;

	if (b->cluster_uuid[0] != '\0')
		strlcpy(b->new_uuid, b->cluster_uuid, sizeof(b->new_uuid));
	else if (b->new_uuid[0] == '\0' && !ha_uuid_make(b->new_uuid))
		return false;
	snprintf(text, sizeof(text), UINT64_FORMAT, sysid);
	memset(&txn, 0, sizeof(txn));
	ha_txn_compare(&txn, HA_CREATE_REVISION, "initialize", 0);
	ha_txn_compare(&txn, HA_MOD_REVISION, "leader",
				   view->leader.present ? view->leader.mod_revision : 0);
	ha_txn_put(&txn, "initialize", strdup(text), 0);
	if (view->identity_revision == 0)
	{
		ha_txn_compare(&txn, HA_CREATE_REVISION, "pg_ha/identity", 0);
		ha_txn_put(&txn, "pg_ha/identity", ha_identity_json(b->new_uuid), 0);
	}
	if (view->config.revision == 0)
	{
		ha_txn_compare(&txn, HA_CREATE_REVISION, "config", 0);
		ha_txn_put(&txn, "config", remembered_config(b), 0);
	}
	if (!ha_session_send_txn(b->session, &txn))
		return false;
	pg_log_info("the cluster has no system identifier: recording ours, %s",
				text);
	return true;
}

/* Who might know better than we do what the cluster's last state is; or NULL. */
static const HaMember *
rival(const HaBoot *b, const HaView *view, uint32_t timeline)
{
	for (int i = 0; i < view->nmembers; i++)
	{
		const HaMember *member = &view->members[i];

		if (strcmp(member->name, b->node.name) != 0 &&
			(member->role == HA_ROLE_PRIMARY || member->timeline > timeline))
			return member;
	}
	return NULL;
}

/* Has everybody had the time to say that they know better, and nobody does? */
static bool
may_recreate(HaBoot *b, const HaView *view, uint32_t timeline)
{
	const HaMember *other = rival(b, view, timeline);

	if (b->forgotten_since == 0)
		b->forgotten_since = b->now;
	if (other != NULL)
	{
		if (ha_boot_may_nag(b, "B32"))
		{
			pg_log_warning("B32 etcd holds nothing about cluster \"%s\", and member \"%s\" may be its last leader as well as this one",
						   b->node.scope, other->name);
			pg_log_warning_hint("Stop the one whose data is older; the other one then puts the keys back.");
		}
		return false;
	}
	/* Data that was never in a cluster has nobody to wait for. */
	return (b->cluster_uuid[0] == '\0' &&
			!ha_exists_in(b->node.data_dir, CONF_FILE)) ||
		b->now - b->forgotten_since > view->config.ttl;
}

static void
nag_standby(HaBoot *b)
{
	if (!ha_boot_may_nag(b, "B31"))
		return;
	pg_log_warning("B31 etcd holds nothing about cluster \"%s\"; a standby does not recreate it",
				   b->node.scope);
	pg_log_warning_hint("Start the node that led last: it puts the keys back.");
}

/*
 * The server is down.
 */

bool
ha_recreate(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	if (!facts->was_primary)
	{
		nag_standby(b);
		return false;
	}
	if (!may_recreate(b, view, facts->timeline))
		ha_boot_wait_for(b, "other members to tell that they know of cluster \"%s\", which etcd does not",
						 b->node.scope);
	else if (send(b, view, facts->sysid))
		ha_boot_enter(b, BOOT_ADOPT);
	return true;
}

void
ha_recreate_step(HaBoot *b)
{
	int64_t		revision;

	if (ha_session_txn_outcome(b->session, &revision) == HA_ASK_OUT)
		return;
	b->retry_at = b->now + SOON;
	ha_boot_enter(b, BOOT_LOOK);	/* it says what stands there now */
}

/*
 * The server runs.
 */

void
ha_recreate_tend(HaBoot *b, const HaControlWorker *w)
{
	const HaView *view = ha_session_last_view(b->session);
	bool		ours = view->leader.present &&
	strcmp(view->leader.name, b->node.name) == 0;

	if (!view->valid || b->now - view->sent_at > VIEW_MAX_AGE)
		return;
	remember_config(b, view);
	if (view->initialize_revision != 0 || (view->leader.present && !ours))
	{
		b->forgotten_since = 0;
		return;
	}
	if (w->role == HA_ROLE_STANDBY)
		nag_standby(b);
	if (w->role != HA_ROLE_PRIMARY || w->sysid == 0 || b->keeping ||
		b->now < b->tend_at)
		return;
	if (!ours && !may_recreate(b, view, w->timeline))
		return;
	b->tend_at = b->now + ASK_AGAIN;
	(void) send(b, view, w->sysid);
}
