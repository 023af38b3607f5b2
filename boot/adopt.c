/*-------------------------------------------------------------------------
 *
 * adopt.c
 *	  "pg_ha_boot adopt": prepare a server that runs without pg_ha to run with it.
 *
 * Everything is checked first, and all that is wrong is told at once.  Then come
 * the steps of adopt_steps.c.  What is left is one restart, of a kind: the plain
 * server ends, and pg_ha_boot run starts it.  found.c lets the primary go on as such.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "address.h"
#include "adopt.h"
#include "commands.h"
#include "leader.h"
#include "prepare.h"
#include "programs.h"
#include "store.h"
#include "unit.h"

#define STORE_TIMEOUT		10000

enum
{
	OPTION_DRY_RUN = HA_OPTION_FIRST,
	OPTION_IGNORE_UNIT,
	OPTION_RESTART
};

static bool ignore_unit;
static bool restart;
static HaAdoption adoption;

static bool
take_option(int value, const char *text)
{
	if (value == OPTION_DRY_RUN)
		adoption.dry_run = true;
	else if (value == OPTION_IGNORE_UNIT)
		ignore_unit = true;
	else
		restart = true;
	return true;
}

/*
 * Checks.
 */

/* A refusal for safety outweighs a fault to mend. */
static void
found(HaAdoption *a, int code)
{
	a->code = Max(a->code, code);
}

static void
check_unit(HaAdoption *a)
{
	char		unit[256];

	if (ignore_unit ||
		!ha_unit_find_rival("", a->node.data_dir, a->server.pid, unit,
							sizeof(unit)))
		return;
	pg_log_error("E03 %s is enabled and would start this server behind pg_ha's back",
				 unit);
	pg_log_error_hint("Run \"systemctl disable %s\", or give --ignore-unit.",
					  unit);
	found(a, HA_EXIT_CONFIGURATION);
}

/* Is every one of them an address that only this host reaches? */
bool
ha_adopt_is_local_only(const char *listen_addresses)
{
	char		list[HA_TEXT_SIZE];
	char	   *rest = list;
	char	   *address;

	strlcpy(list, listen_addresses, sizeof(list));
	while ((address = strsep(&rest, ", ")) != NULL)
	{
		if (address[0] != '\0' && !ha_host_is_loopback(address))
			return false;
	}
	return true;
}

static void
check_addresses(HaAdoption *a)
{
	const char *addresses = a->node.listen_addresses[0] != '\0' ?
	a->node.listen_addresses : a->server.listen_addresses;

	/* A loopback connect_address is for a cluster on one host. */
	if (ha_adopt_is_local_only(addresses) && !ha_host_is_loopback(a->node.connect_host))
	{
		pg_log_error("E04 server listens on %s only; other members cannot connect",
					 addresses[0] != '\0' ? addresses : "no address");
		pg_log_error_hint("Set listen_addresses in the node file.");
		found(a, HA_EXIT_CONFIGURATION);
	}
	if (a->node.port != a->server.port)
	{
		pg_log_error("the server has port %d, and the node file says %d",
					 a->server.port, a->node.port);
		pg_log_error_hint("Set port, and the port of pg_ha.connect_address, in the node file as the server has it.");
		found(a, HA_EXIT_CONFIGURATION);
	}
}

/* What pg_ha.conf sets at the next start, if it is another value than now. */
static void
check_settings(HaAdoption *a)
{
	const HaPlainServer *server = &a->server;

	if (strcmp(server->wal_level, "minimal") == 0)
	{
		pg_log_error("E02 wal_level is \"minimal\"; set wal_level=replica and restart");
		pg_log_error_hint("No standby can follow what was written until now: make base backups after the restart.");
		found(a, HA_EXIT_CONFIGURATION);
	}
	if (!server->rewindable)
	{
		pg_log_warning("neither data checksums nor wal_log_hints is on: pg_ha turns wal_log_hints on");
		pg_log_warning_hint("What was written before can't be rewound: until every page has been written again, a node that diverges is cloned.");
	}
	if (!server->standby && server->max_wal_senders < HA_MIN_WAL_SENDERS)
	{
		pg_log_warning("max_wal_senders is raised from %d to %d",
					   server->max_wal_senders, HA_MIN_WAL_SENDERS);
		pg_log_warning_hint("A standby that has less pauses its replay, though not its receiving of WAL, until it is adopted too.");
	}
}

/* What ALTER SYSTEM has set outranks every file of ours. */
static void
check_auto_conf(HaAdoption *a)
{
	PGresult   *result = ha_plain_server_query(&a->server,
											   "SELECT name, setting FROM pg_catalog.pg_file_settings"
											   " WHERE sourcefile LIKE '%/postgresql.auto.conf'"
											   " ORDER BY seqno");

	if (result == NULL)
	{
		found(a, HA_EXIT_CONFIGURATION);
		return;
	}
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *name = PQgetvalue(result, i, 0);

		if (ha_prepare_is_managed(name))
		{
			strlcat(a->managed_settings, name, sizeof(a->managed_settings));
			strlcat(a->managed_settings, " ", sizeof(a->managed_settings));
		}
		else if (strcmp(name, "shared_preload_libraries") == 0)
		{
			pg_log_error("setting \"%s\" stands in postgresql.auto.conf, where it would keep pg_ha out",
						 name);
			pg_log_error_hint("Move %s = '%s' to postgresql.conf, then run ALTER SYSTEM RESET %s.",
							  name, PQgetvalue(result, i, 1), name);
			found(a, HA_EXIT_CONFIGURATION);
		}
	}
	PQclear(result);
}

/* Nobody who lives has our name. */
static void
check_name(HaAdoption *a)
{
	for (int i = 0; i < a->view.nmembers; i++)
	{
		const HaMember *member = &a->view.members[i];

		if (strcmp(member->name, a->node.name) != 0)
			continue;
		pg_log_error("P11 member name \"%s\" is already in use by %s:%d (alive)",
					 member->name, member->host, member->port);
		pg_log_error_hint("Give each node a pg_ha.name of its own.");
		found(a, HA_EXIT_REFUSED);
	}
}

static void
check_is_no_other_cluster(HaAdoption *a)
{
	if (a->view.sysid == 0 || a->view.sysid == a->server.sysid)
		return;
	pg_log_error("P12 data directory has system identifier " UINT64_FORMAT ", cluster \"%s\" has " UINT64_FORMAT,
				 a->server.sysid, a->node.scope, a->view.sysid);
	pg_log_error_hint("Check pg_ha.scope: another cluster has this name.");
	found(a, HA_EXIT_REFUSED);
}

static void
check_as_primary(HaAdoption *a)
{
	const HaView *view = &a->view;

	if (a->server.sync_names[0] != '\0' &&
		view->config.synchronous_mode == HA_SYNC_OFF)
	{
		pg_log_warning("commits wait for \"%s\" now, and for nobody when pg_ha sets synchronous_standby_names",
					   a->server.sync_names);
		pg_log_warning_hint("Set synchronous_mode in the cluster's configuration, before the restart.");
	}
	if (view->leader.present)
	{
		pg_log_error("this server is a primary, but cluster \"%s\" has leader \"%s\"",
					 a->node.scope, view->leader.name);
		pg_log_error_hint("Two primaries are two histories: only a standby of that leader can be adopted.");
		found(a, HA_EXIT_REFUSED);
	}
	else if (view->term.present || view->heartbeat.present)
	{
		pg_log_error("pg_ha has led cluster \"%s\" before, and this server is a primary that it does not know",
					 a->node.scope);
		pg_log_error_hint("Start the members of that cluster, or choose another pg_ha.scope.");
		found(a, HA_EXIT_REFUSED);
	}
}

static void
check_as_standby(HaAdoption *a)
{
	const HaView *view = &a->view;

	if (view->sysid == 0 || !view->leader.present)
	{
		pg_log_error("E01 this server is a standby and cluster \"%s\" has no leader yet; adopt the primary first",
					 a->node.scope);
		pg_log_error_hint("Nothing was changed here.  When the primary leads, adopt this one.");
		found(a, HA_EXIT_REFUSED);
		return;
	}
	if (ha_leader_source(view, a->node.name) == NULL)
	{
		pg_log_error("leader \"%s\" is not ready yet", view->leader.name);
		pg_log_error_hint("Try again in a moment.");
		found(a, HA_EXIT_TEMPORARY);
	}
	else if (!a->server.streaming)
	{
		pg_log_error("this standby does not stream");
		pg_log_error_hint("Let it follow leader \"%s\" first: its log tells why it does not.",
						  view->leader.name);
		found(a, HA_EXIT_REFUSED);
	}
	else if (a->server.received_timeline != view->term.timeline)
	{
		pg_log_error("this standby streams timeline %u, and leader \"%s\" is on timeline %u",
					 a->server.received_timeline, view->leader.name,
					 view->term.timeline);
		pg_log_error_hint("It must follow the leader before it is adopted.");
		found(a, HA_EXIT_REFUSED);
	}
}

/* false: it can't even be looked. */
static bool
look_at_store(HaAdoption *a)
{
	HaAnswer	keys;
	HaDcs	   *dcs = ha_store_open(&a->node);
	bool		ok;

	if (dcs == NULL)
		return false;
	ok = ha_store_look(dcs, STORE_TIMEOUT, &keys, &a->view);
	if (ok)
		ha_dcs_answer_free(&keys);
	ha_dcs_close(dcs);
	return ok;
}

static void
check_all(HaAdoption *a)
{
	char		password[1024];

	check_settings(a);
	check_unit(a);
	check_addresses(a);
	check_auto_conf(a);
	if (!ha_node_password(&a->node, password, sizeof(password)))
		found(a, HA_EXIT_CONFIGURATION);
	explicit_bzero(password, sizeof(password));
	if (!look_at_store(a))
	{
		found(a, HA_EXIT_TEMPORARY);
		return;
	}
	check_is_no_other_cluster(a);
	check_name(a);
	if (a->server.standby)
		check_as_standby(a);
	else
		check_as_primary(a);
}

static int
finish(HaAdoption *a, const HaInvocation *invocation)
{
	const char *stop[] = {
		"pg_ctl", "stop", "-D", a->node.data_dir, "-m", "fast", "-w", "-t",
		"3600", "-s", NULL
	};

	if (!ha_adopt_tell(a, "stop the server, and start it with \"pg_ha_boot run\": this one restart is needed, since pg_ha is loaded at the start%s",
					   restart || a->dry_run ? "" : ". Do it soon"))
		return HA_EXIT_OK;
	if (!restart)
	{
		printf("    pg_ctl stop -D %s -m fast  (or stop its unit)\n"
			   "    pg_ha_boot run -D %s -c %s  (or start its unit)\n",
			   a->node.data_dir, a->node.data_dir, a->node.path);
		return HA_EXIT_OK;
	}
	if (!ha_program_run(&a->node, stop))
		return HA_EXIT_TEMPORARY;
	return ha_command_run.go(invocation);
}

static int
adopt(const HaInvocation *invocation)
{
	HaAdoption *a = &adoption;
	int			code = ha_invocation_node(invocation, &a->node);

	if (code != 0)
		return code;
	if (!ha_plain_server_ask(&a->node, &a->server))
		code = HA_EXIT_CONFIGURATION;
	else if (a->server.managed)
		printf("this server is a member of a pg_ha cluster already\n");
	else
	{
		check_all(a);
		code = a->code;
		if (code == 0 && !ha_adopt_steps(a))
			code = HA_EXIT_CONFIGURATION;
		else if (code == 0)
		{
			ha_plain_server_leave(&a->server);
			return finish(a, invocation);
		}
		if (a->steps == 0)
			pg_log_info("nothing was changed");
	}
	ha_plain_server_leave(&a->server);
	return code;
}

static const struct option options[] = {
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
	{"ignore-unit", no_argument, NULL, OPTION_IGNORE_UNIT},
	{"restart", no_argument, NULL, OPTION_RESTART},
	{NULL, 0, NULL, 0}
};

const HaCommand ha_command_adopt = {
	.name = "adopt",
	.arguments = "-D PGDATA -c NODEFILE [--dry-run] [--ignore-unit] [--restart]",
	.summary = "take over a server that runs without pg_ha",
	.details =
	"  --dry-run              check, and tell what would be done, but change nothing\n"
	"  --ignore-unit          although another unit would start the server\n"
	"  --restart              then stop the server and go on as \"run\"\n",
	.options = options,
	.take_option = take_option,
	.go = adopt,
};
