/*-------------------------------------------------------------------------
 *
 * init.c
 *	  "pg_ha_boot init": make a new cluster, and end.
 *
 * It is the machine of "run", ended as soon as the cluster is published: whoever
 * starts the node afterwards finds its data there.  Unlike "run" it does not become
 * a member of a cluster that is there already.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "init.h"
#include "run.h"

#define STORE_PATIENCE		15000

enum
{
	OPTION_EXPLAIN = HA_OPTION_BOOTSTRAP_LAST
};

static const struct option options[] = {
	HA_BOOTSTRAP_OPTIONS,
	{"explain", no_argument, NULL, OPTION_EXPLAIN},
	{NULL}
};

static bool explain;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_EXPLAIN)
	{
		explain = true;
		return true;
	}
	return ha_bootstrap_take_option(value, text);
}

/*
 * In the machine.
 */

bool
ha_init_goes_on(HaBoot *b, const HaView *view, const HaDataFacts *facts)
{
	if (view->sysid != 0)
	{
		pg_log_error("B08 cluster \"%s\" already exists in etcd (system identifier " UINT64_FORMAT ")",
					 b->node.scope, view->sysid);
		pg_log_error_hint("Use \"pg_ha_boot run\" to join it, \"pg_ha_boot forget-cluster %s\" if it is gone for good, or another scope.",
						  b->node.scope);
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return false;
	}
	if (view->initialize_revision == 0 &&
		(view->leader.present || view->term.present ||
		 view->identity_revision != 0))
	{
		pg_log_error("B08 cluster \"%s\" already exists in etcd, but its system identifier is not recorded",
					 b->node.scope);
		pg_log_error_hint("The node that led it puts that back when it is started.");
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return false;
	}
	if (facts->state == HA_DATA_CLUSTER)
	{
		pg_log_error("P05 data directory \"%s\" is not empty: it is a data directory already",
					 b->node.data_dir);
		pg_log_error_hint("To make a cluster of what is there, use \"pg_ha_boot run\"; to make a new one, point -D elsewhere.");
		ha_boot_quit(b, HA_EXIT_REFUSED);
		return false;
	}
	if (facts->state != HA_DATA_EMPTY || view->initialize_revision == 0)
		return true;
	ha_boot_wait_for(b, "another node, which is initializing the cluster");
	return false;
}

void
ha_init_waits_blindly(HaBoot *b)
{
	if (b->now - b->entered_at < STORE_PATIENCE)
		return;
	pg_log_error("etcd does not answer");
	pg_log_error_hint("Nothing was changed. Try again when it does.");
	ha_boot_quit(b, HA_EXIT_TEMPORARY);
}

/*
 * What would be done.
 */

static void
print_data_steps(const HaNode *node, const HaBootstrap *how, int *step)
{
	if (how->command != NULL)
	{
		printf("%d. file: \"%s\" is filled by \"%s\", run without a shell\n",
			   ++*step, node->data_dir, how->command[0]);
		printf("%d. file: it is recovered, by a server that only this process can reach%s%s\n",
			   ++*step, how->target != NULL ? ", up to " : "",
			   how->target != NULL ? how->target : "");
	}
	else
		printf("%d. file: \"%s\" is made by initdb\n", ++*step, node->data_dir);
	printf("%d. file: pg_hba.conf gets %s, and the lines by which members reach each other\n",
		   ++*step, how->hba_file != NULL ? how->hba_file :
		   "what it was made with");
	if (node->replication_passfile[0] != '\0')
		printf("%d. file: role \"%s\" gets the password in \"%s\", as a SCRAM verifier\n",
			   ++*step, node->replication_user, node->replication_passfile);
	else
		printf("%d. file: role \"%s\" is created, without a password\n",
			   ++*step, node->replication_user);
	if (how->post_init != NULL)
		printf("%d. file: \"%s\" is run on it\n", ++*step, how->post_init[0]);
}

static void
print_steps(const HaNode *node, const HaBootstrap *how)
{
	char		prefix[160];
	int			step = 0;

	snprintf(prefix, sizeof(prefix), "key: /%s/%s/", node->name_space,
			 node->scope);
	printf("%d. %smembers/%s: this node, under a lease\n", ++step, prefix,
		   node->name);
	printf("%d. %sinitialize: empty, under the same lease, if it does not exist\n",
		   ++step, prefix);
	printf("%d. file: a marker in \"%s\"\n", ++step, node->state_dir);
	print_data_steps(node, how, &step);
	printf("%d. file: the marker is removed\n", ++step);
	printf("%d. %sinitialize: the system identifier, for good, if it is still ours\n",
		   ++step, prefix);
	printf("%d. %spg_ha/identity: a new uuid, in the same transaction\n",
		   ++step, prefix);
	printf("%d. %sconfig: %s, in the same transaction, if there is none\n",
		   ++step, prefix, how->config_file != NULL ? how->config_file :
		   "the defaults");
	printf("%d. file: that uuid in \"%s/cluster\"\n", ++step, node->state_dir);
	printf("%d. %smembers/%s: goes with its lease\n", ++step, prefix,
		   node->name);
	printf("Nothing was done: this is what \"init\" would do, in this order.\n");
}

static void
take_fault(void *arg, bool warning, const char *code, const char *message,
		   const char *hint)
{
	pg_log_error("B20 %s", message);
	pg_log_error_hint("%s", hint);
}

/* Better now than in the middle of it. */
static bool
can_read_password(const HaNode *node)
{
	HaFaultSink sink = {.take = take_fault};
	char		password[1024];
	bool		ok;

	ok = ha_node_check_password(node, &sink, password, sizeof(password));
	explicit_bzero(password, sizeof(password));
	return ok;
}

static int
init(const HaInvocation *invocation)
{
	/* A unit that would start this server is told of when it is to run. */
	HaRun		order = {.init_only = true,.ignore_unit = true,.root = ""};
	HaNode		node;
	int			code;

	order.how = ha_bootstrap_options(invocation);
	if (order.how == NULL)
		return HA_EXIT_CONFIGURATION;
	code = ha_invocation_node(invocation, &node);
	if (code != 0)
		return code;
	if (explain)
	{
		print_steps(&node, order.how);
		return HA_EXIT_OK;
	}
	return can_read_password(&node) ? ha_run(&node, &order) :
		HA_EXIT_CONFIGURATION;
}

const HaCommand ha_command_init = {
	.name = "init",
	.arguments = "-D PGDATA -c NODEFILE [OPTION]... [-- INITDB-OPTION...]",
	.summary = "make a new cluster, and end",
	.details = HA_BOOTSTRAP_HELP
	"  --explain                     tell what would be done, and do nothing\n",
	.options = options,
	.take_option = take_option,
	.max_operands = -1,
	.go = init,
};
