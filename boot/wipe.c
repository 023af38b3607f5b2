/*-------------------------------------------------------------------------
 *
 * wipe.c
 *	  "pg_ha_boot wipe": move the data directory of a node that is down aside.
 *
 * Nothing is deleted.  What could go wrong is that the directory is in use, or is
 * the only one with the cluster's data: so no server and no pg_ha_boot may run on
 * it, it must not be the leader's, nor one that the leader still counts on.
 *
 *-------------------------------------------------------------------------
 */
#include "../cluster.h"
#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>

#include "common/logging.h"

#include "commands.h"
#include "datadir.h"
#include "files.h"
#include "lock.h"
#include "postmaster.h"
#include "store.h"

#define STORE_TIMEOUT	10000

enum
{
	OPTION_CONFIRM = HA_OPTION_FIRST
};

static const struct option wipe_options[] = {
	{"confirm", required_argument, NULL, OPTION_CONFIRM},
	{NULL, 0, NULL, 0}
};

static const char *confirmation = "";

static bool
take_option(int value, const char *text)
{
	confirmation = text;
	return true;
}

/* Bytes on disk, of files below a directory; symbolic links are not followed. */
static uint64_t
size_of(const char *directory)
{
	DIR		   *dir = opendir(directory);
	struct dirent *entry;
	uint64_t	size = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0 ||
			!ha_path_in(path, directory, entry->d_name) ||
			lstat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			size += size_of(path);
		else
			size += (uint64_t) st.st_blocks * 512;
	}
	if (dir != NULL)
		closedir(dir);
	return size;
}

/* Each has a directory in base/, template0 and template1 too. */
static int
count_databases(const HaNode *node)
{
	char		base[MAXPGPATH];
	DIR		   *dir;
	struct dirent *entry;
	int			n = 0;

	if (!ha_path_in(base, node->data_dir, "base") ||
		(dir = opendir(base)) == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
	{
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			n++;
	}
	closedir(dir);
	return n;
}

static void
show(const HaNode *node)
{
	uint64_t	kilobytes = size_of(node->data_dir) / 1024;

	printf("data directory \"%s\" of member \"%s\", cluster \"%s\": " UINT64_FORMAT " kB, %d databases with the templates\n",
		   node->data_dir, node->name, node->scope, kilobytes,
		   count_databases(node));
	fflush(stdout);
}

/* While others live and nobody leads, ours may be what they lack. */
static bool
others_elect(const HaView *view, const char *name)
{
	if (view->leader.present)
		return false;
	for (int i = 0; i < view->nmembers; i++)
	{
		if (strcmp(view->members[i].name, name) != 0 &&
			view->members[i].lease != 0)
			return true;
	}
	return false;
}

/* An exit code, reported if it is not 0. */
static int
ask_store(const HaNode *node)
{
	HaDcs	   *dcs = ha_store_open(node);
	HaAnswer	keys;
	HaView		view;
	bool		looked;

	if (dcs == NULL)
		return HA_EXIT_CONFIGURATION;
	looked = ha_store_look(dcs, STORE_TIMEOUT, &keys, &view);
	ha_dcs_close(dcs);
	if (!looked)
		return HA_EXIT_TEMPORARY;
	ha_dcs_answer_free(&keys);
	if (view.leader.present && strcmp(view.leader.name, node->name) == 0)
	{
		pg_log_error("member \"%s\" leads cluster \"%s\", says etcd",
					 node->name, node->scope);
		pg_log_error_hint("If it has just died, wait for its lease to run out.");
		return HA_EXIT_REFUSED;
	}
	if (others_elect(&view, node->name))
	{
		pg_log_error("cluster \"%s\" has live members but no leader now",
					 node->scope);
		pg_log_error_hint("It may need this data.  Try again when one leads, or when all are stopped.");
		return HA_EXIT_REFUSED;
	}
	if (view.leader.present && ha_is_in_sync(&view.sync, node->name))
	{
		pg_log_error("leader \"%s\" counts on the data of member \"%s\" as a synchronous standby",
					 view.leader.name, node->name);
		pg_log_error_hint("It drops a standby that is down within seconds: try again.");
		return HA_EXIT_REFUSED;
	}
	return HA_EXIT_OK;
}

static int
wipe(const HaInvocation *invocation)
{
	HaNode		node;
	int			code = ha_invocation_node(invocation, &node);

	if (code != HA_EXIT_OK)
		return code;
	if (pg_check_dir(node.data_dir) <= 1)
	{
		printf("data directory \"%s\" is empty or does not exist\n",
			   node.data_dir);
		return HA_EXIT_OK;
	}
	show(&node);
	if (strcmp(confirmation, node.scope) != 0)
	{
		pg_log_error("the name of the cluster was not confirmed");
		pg_log_error_hint("Nothing was changed.  Give --confirm=%s.",
						  node.scope);
		return HA_EXIT_REFUSED;
	}
	code = ha_lock_take(node.state_dir);
	if (code != HA_EXIT_OK)
		return code;
	if (ha_postmaster_runs(&node))
		return HA_EXIT_REFUSED;
	code = ask_store(&node);
	if (code != HA_EXIT_OK)
		return code;
	return ha_datadir_move_aside(&node) ? HA_EXIT_OK : HA_EXIT_TEMPORARY;
}

const HaCommand ha_command_wipe = {
	.name = "wipe",
	.arguments = "-D PGDATA -c NODEFILE --confirm=SCOPE",
	.summary = "move the data directory of a node that is down aside",
	.details =
	"  --confirm=SCOPE        the name of the cluster\n",
	.options = wipe_options,
	.take_option = take_option,
	.go = wipe,
};
