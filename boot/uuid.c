/*-------------------------------------------------------------------------
 *
 * uuid.c
 *	  Which cluster this node belongs to, whatever its data looks like.
 *
 * A copy of a cluster has its origin's system identifier, so that alone does not
 * keep the nodes of the two apart.  The key pg_ha/identity holds a random uuid,
 * which each node writes down in its state directory when it joins, and which it
 * must find again before it does anything in that cluster, or shows itself.
 *
 * A cluster without the key was made before there was one, or by Patroni, or
 * somebody has deleted it: then its leader puts it, by the uuid that it knows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "common/logging.h"

#include "../cluster_json.h"
#include "../names.h"
#include "files.h"
#include "preflight.h"
#include "uuid.h"

/* "UUID SCOPE", and "founder" behind it before the first start. */
#define CLUSTER_FILE		"cluster"

#define ASK_AGAIN			2000

bool
ha_uuid_make(char *uuid)
{
	uint8		r[16];

	if (!pg_strong_random(r, sizeof(r)))
	{
		pg_log_error("could not generate a uuid");
		return false;
	}
	r[6] = (r[6] & 0x0f) | 0x40;	/* a random one, as RFC 4122 has it */
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(uuid, HA_UUID_SIZE,
			 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10],
			 r[11], r[12], r[13], r[14], r[15]);
	return true;
}

bool
ha_uuid_recall(const HaNode *node, char *uuid, char *scope, bool *founder)
{
	char		path[MAXPGPATH];
	char		word[16] = "";
	FILE	   *file;
	int			n;

	uuid[0] = scope[0] = '\0';
	*founder = false;
	if (!ha_path_in(path, node->state_dir, CLUSTER_FILE))
		return false;
	file = fopen(path, "re");
	if (file == NULL && errno == ENOENT)
		return true;
	if (file == NULL)
	{
		pg_log_error("could not open file \"%s\": %m", path);
		return false;
	}
	n = fscanf(file, "%39s %63s %15s", uuid, scope, word);
	fclose(file);
	if (n >= 2 && ha_uuid_is_valid(uuid))
	{
		*founder = strcmp(word, "founder") == 0;
		return true;
	}
	uuid[0] = '\0';
	pg_log_error("file \"%s\" does not say to which cluster this node belongs",
				 path);
	pg_log_error_hint("If you are sure that it belongs to cluster \"%s\", remove the file.",
					  node->scope);
	return false;
}

bool
ha_uuid_read(HaBoot *b)
{
	return ha_uuid_recall(&b->node, b->cluster_uuid, b->joined_scope,
						  &b->founder);
}

static bool
write_file(HaBoot *b, const char *uuid, bool founder, bool durable)
{
	char		path[MAXPGPATH];
	char		line[HA_UUID_SIZE + 128];

	snprintf(line, sizeof(line), "%s %s%s\n", uuid, b->node.scope,
			 founder ? " founder" : "");
	if (!ha_path_in(path, b->node.state_dir, CLUSTER_FILE) ||
		!ha_replace_file(path, line, 0600, durable))
		return false;
	if (uuid != b->cluster_uuid)
		strlcpy(b->cluster_uuid, uuid, sizeof(b->cluster_uuid));
	strlcpy(b->joined_scope, b->node.scope, sizeof(b->joined_scope));
	b->founder = founder;
	return true;
}

bool
ha_uuid_join(HaBoot *b, const char *uuid, bool founder)
{
	return write_file(b, uuid, founder, true);
}

bool
ha_uuid_forget(HaBoot *b)
{
	b->cluster_uuid[0] = b->joined_scope[0] = '\0';
	b->founder = false;
	return ha_remove_file(b->node.state_dir, CLUSTER_FILE);
}

bool
ha_uuid_is_another(const HaBoot *b, const HaView *view)
{
	return b->cluster_uuid[0] != '\0' && view->cluster_uuid[0] != '\0' &&
		strcmp(b->cluster_uuid, view->cluster_uuid) != 0;
}

static void
report_another(const HaBoot *b, const HaView *view)
{
	HaReport	report = {0};

	ha_check_uuid(&b->node, b->cluster_uuid, b->joined_scope, view, &report);
	ha_report_log(&report);
	ha_report_free(&report);
}

bool
ha_uuid_belongs(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	if (ha_uuid_is_another(b, view))
	{
		report_another(b, view);
		return false;
	}
	if (b->cluster_uuid[0] != '\0' || view->cluster_uuid[0] == '\0' ||
		facts->state != HA_DATA_CLUSTER ||
		facts->sysid != view->sysid)
		return true;			/* another system identifier is refused later */
	return ha_uuid_join(b, view->cluster_uuid, false);
}

/* CAS: nobody has put one, and we still lead. */
static void
put_identity(HaBoot *b, const HaView *view)
{
	HaTxn		txn;

	if (b->cluster_uuid[0] != '\0')
		strlcpy(b->new_uuid, b->cluster_uuid, sizeof(b->new_uuid));
	else if (b->new_uuid[0] == '\0' && !ha_uuid_make(b->new_uuid))
		return;
	memset(&txn, 0, sizeof(txn));
	ha_txn_compare(&txn, HA_CREATE_REVISION, "pg_ha/identity", 0);
	ha_txn_compare(&txn, HA_MOD_REVISION, "leader", view->leader.mod_revision);
	ha_txn_put(&txn, "pg_ha/identity", ha_identity_json(b->new_uuid), 0);
	if (ha_session_send_txn(b->session, &txn))
		pg_log_info("the cluster has no uuid: recording %s", b->new_uuid);
}

void
ha_uuid_check(HaBoot *b)
{
	const HaView *view = ha_session_last_view(b->session);
	HaDataFacts facts;

	if (!view->valid)
		return;
	if (ha_uuid_is_another(b, view))
	{
		/* The worker sees it too, and wants the server stopped. */
		if (!b->told_another)
			report_another(b, view);
		b->told_another = true;
		return;
	}
	ha_datadir_facts(&b->node, &facts);
	b->belongs = view->sysid == 0 || view->sysid == facts.sysid;
}

void
ha_uuid_tend(HaBoot *b, const HaControlWorker *w)
{
	const HaView *view = ha_session_last_view(b->session);

	if (!b->belongs || view->sysid == 0 || view->sysid != w->sysid ||
		b->now < b->tend_at)
		return;
	if (view->cluster_uuid[0] != '\0')
	{
		/* Not synced: lost in a crash of the machine, it is joined anew. */
		if (b->cluster_uuid[0] == '\0' &&
			!write_file(b, view->cluster_uuid, false, false))
			b->tend_at = b->now + ASK_AGAIN;
		return;
	}
	if (view->identity_revision != 0 || w->role != HA_ROLE_PRIMARY ||
		!view->leader.present || b->keeping ||
		strcmp(view->leader.name, b->node.name) != 0)
		return;
	b->tend_at = b->now + ASK_AGAIN;
	put_identity(b, view);
}
