/*-------------------------------------------------------------------------
 *
 * forget.c
 *	  "pg_ha_boot forget-cluster": delete what the store knows of a cluster.
 *
 * The data directories stay; a node of them that starts again records its system
 * identifier anew, if it is the first.  What is lost is the history: who may lead,
 * which timelines were used, the configuration.
 *
 * All keys go in one transaction, so there never is half a cluster.  It compares
 * that none was written since they were shown: a member that starts meanwhile writes
 * its own, and then nothing is deleted.  The names of the keys end with a slash
 * behind the scope: "demo" does not begin those of "demo2".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <unistd.h>

#include "common/logging.h"

#include "../names.h"
#include "commands.h"
#include "store.h"

#define STORE_TIMEOUT	10000

enum
{
	OPTION_CONFIRM = HA_OPTION_FIRST,
	OPTION_EVEN_IF_RUNNING
};

static const struct option forget_options[] = {
	{"confirm", required_argument, NULL, OPTION_CONFIRM},
	{"even-if-running", no_argument, NULL, OPTION_EVEN_IF_RUNNING},
	{NULL, 0, NULL, 0}
};

static const char *confirmation = NULL;
static bool even_if_running = false;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_CONFIRM)
		confirmation = text;
	else
		even_if_running = true;
	return true;
}

/* Which cluster: the node file's, or another one in the same store. */
static int
read_node(const HaInvocation *invocation, HaNode *node)
{
	const char *scope = invocation->noperands > 0 ? invocation->operands[0] :
	NULL;

	if (invocation->config[0] == '\0')
	{
		pg_log_error("no node file given");
		pg_log_error_hint("It says where etcd is: -c NODEFILE.");
		return HA_EXIT_CONFIGURATION;
	}

	/* No data directory plays a part, but a node file without one is none. */
	if (!ha_node_read(invocation->config, invocation->data_dir[0] != '\0' ?
					  invocation->data_dir : "/nonexistent/pgdata",
					  PGBINDIR, node))
		return HA_EXIT_CONFIGURATION;
	if (scope == NULL)
		return HA_EXIT_OK;
	if (!ha_name_is_valid(scope))
	{
		pg_log_error("\"%s\" is not the name of a cluster", scope);
		return HA_EXIT_CONFIGURATION;
	}
	strlcpy(node->scope, scope, sizeof(node->scope));
	return HA_EXIT_OK;
}

static void
show(const HaNode *node, const HaAnswer *keys, const HaView *view)
{
	printf("cluster \"%s\": %d keys under /%s/%s/\n", node->scope, keys->nkvs,
		   node->name_space, node->scope);
	for (int i = 0; i < keys->nkvs; i++)
	{
		/* Whoever wrote it chose its name: no control characters. */
		for (char *p = keys->kvs[i].key; *p != '\0'; p++)
		{
			if (*p < ' ' || *p > '~')
				*p = '?';
		}
		printf("  %s (%zu bytes)\n", keys->kvs[i].key, keys->kvs[i].length);
	}
	printf("members: %s", view->nmembers == 0 ? "none" : "");
	for (int i = 0; i < view->nmembers; i++)
		printf("%s%s", i > 0 ? ", " : "", view->members[i].name);
	printf("\nleader: %s\n", view->leader.present ? view->leader.name : "none");
	fflush(stdout);
}

/* "n1 leader, n2": those whose keys stand.  How many? */
static int
list_living(const HaView *view, char *list, size_t size)
{
	bool		leader_listed = false;
	int			n = 0;

	list[0] = '\0';
	for (int i = 0; i < view->nmembers; i++)
	{
		const char *name = view->members[i].name;
		bool		leads = view->leader.present &&
		strcmp(view->leader.name, name) == 0;
		size_t		used = strlen(list);

		leader_listed = leader_listed || leads;
		snprintf(list + used, size - used, "%s%s%s", n++ > 0 ? ", " : "", name,
				 leads ? " leader" : "");
	}
	if (view->leader.present && !leader_listed)
	{
		size_t		used = strlen(list);

		snprintf(list + used, size - used, "%s%s leader", n++ > 0 ? ", " : "",
				 view->leader.name);
	}
	return n;
}

static bool
refuse_living(const HaNode *node, const HaView *view)
{
	char		list[HA_MAX_MEMBERS * (HA_NAME_SIZE + 16)];
	int			n = list_living(view, list, sizeof(list));

	if (n == 0)
		return false;
	if (even_if_running)
	{
		pg_log_warning("cluster \"%s\" has %d live members (%s)", node->scope,
					   n, list);
		return false;
	}
	pg_log_error("F10 cluster \"%s\" has %d live members (%s); stop them first",
				 node->scope, n, list);
	pg_log_error_hint("SELECT pg_ha_stop_cluster('fast', '%s') stops them all.  A member that died is gone when its lease has run out.",
					  node->scope);
	return true;
}

/* The name, by --confirm or from a terminal. */
static bool
is_confirmed(const HaNode *node)
{
	char		line[HA_NAME_SIZE + 2] = "";

	if (confirmation != NULL)
		strlcpy(line, confirmation, sizeof(line));
	else if (isatty(STDIN_FILENO))
	{
		printf("To forget this cluster, type its name: ");
		fflush(stdout);
		if (fgets(line, sizeof(line), stdin) == NULL)
			line[0] = '\0';
		line[strcspn(line, "\r\n")] = '\0';
	}
	if (strcmp(line, node->scope) == 0)
		return true;
	pg_log_error("the name of the cluster was not confirmed");
	pg_log_error_hint("Nothing was changed.  Give --confirm=%s.", node->scope);
	return false;
}

static int
delete_all(HaDcs *dcs, const HaNode *node, const HaAnswer *keys)
{
	HaRequest	request = {.kind = HA_DCS_TXN};
	HaAnswer	answer;
	bool		succeeded;

	/* The members of a living one write all the time. */
	ha_txn_delete_all(&request.txn, even_if_running ? 0 : keys->revision);
	if (!ha_store_ask(dcs, &request, STORE_TIMEOUT, &answer))
	{
		pg_log_error_hint("Whether the keys are there, this command tells when it is run again.");
		return HA_EXIT_TEMPORARY;
	}
	succeeded = answer.succeeded;
	ha_dcs_answer_free(&answer);
	if (!succeeded)
	{
		pg_log_error("cluster \"%s\" has changed since it was looked at",
					 node->scope);
		pg_log_error_hint("Nothing was deleted.  Is a member being started?  Look at it again.");
		return HA_EXIT_TEMPORARY;
	}
	printf("%d keys deleted\n", keys->nkvs);
	return HA_EXIT_OK;
}

static int
forget_cluster(const HaInvocation *invocation)
{
	HaNode		node;
	HaView		view;
	HaAnswer	keys;
	HaDcs	   *dcs;
	int			code = read_node(invocation, &node);

	if (code != HA_EXIT_OK)
		return code;
	dcs = ha_store_open(&node);
	if (dcs == NULL)
		return HA_EXIT_CONFIGURATION;
	if (!ha_store_look(dcs, STORE_TIMEOUT, &keys, &view))
	{
		ha_dcs_close(dcs);
		return HA_EXIT_TEMPORARY;
	}
	show(&node, &keys, &view);
	if (refuse_living(&node, &view) || !is_confirmed(&node))
		code = HA_EXIT_REFUSED;
	else
		code = delete_all(dcs, &node, &keys);
	ha_dcs_answer_free(&keys);
	ha_dcs_close(dcs);
	return code;
}

const HaCommand ha_command_forget_cluster = {
	.name = "forget-cluster",
	.arguments = "[SCOPE] -c NODEFILE [--confirm=SCOPE] [--even-if-running]",
	.summary = "delete all that etcd knows of a cluster that is stopped",
	.details =
	"  --confirm=SCOPE        its name, where there is no terminal to ask at\n"
	"  --even-if-running      although members are alive\n",
	.options = forget_options,
	.take_option = take_option,
	.max_operands = 1,
	.go = forget_cluster,
};
