/*-------------------------------------------------------------------------
 *
 * preflight.c
 *	  Everything that can be known to be wrong before a node starts.
 *
 * The table of checks.  A check is left out where what it looks at is not there
 * (because of a fault that another one reports), so one fault is told once, and
 * the others beside it.
 *
 * Before a start, nothing is checked that could refuse a node which would work:
 *
 * - A server that runs under our control block is attached to and leads, maybe:
 *	 nothing delays or hinders that.
 *
 * - Who held the leader key a moment ago must be up again before its lease ends,
 *	 with the configuration that it had: so no server is asked what it thinks of its
 *	 files.
 *
 * - What is elsewhere may come, or come right, while pg_ha_boot waits: etcd, the
 *	 leader, the other node with our name.  rejoin.c judges these.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "preflight.h"

/* What must be there for a check to make sense. */
#define NEEDS_NODE		0x01	/* a node file without faults */
#define NEEDS_DATA		0x02	/* a valid data directory */
#define NEEDS_SETTINGS	0x04	/* the server's settings */
#define NEEDS_VIEW		0x08	/* the cluster, read from etcd */
#define NEEDS_PROGRAMS	0x10	/* programs that work */
#define NEEDS_TIME		0x20	/* not before a start */

static const struct
{
	int			needs;
	void		(*check) (HaPreflight *p);
}			checks[] = {
	{0, ha_check_programs},		/* P02, P03 */
	{NEEDS_PROGRAMS, ha_check_library}, /* P03 */
	{0, ha_check_directory},	/* P05, P03 */
	{0, ha_check_owner},		/* P04 */
	{NEEDS_TIME | NEEDS_NODE, ha_check_second_boot},	/* P11 */
	{0, ha_check_running},		/* P06 */
	{NEEDS_DATA, ha_check_links},	/* P09 */
	{NEEDS_DATA, ha_check_rewind},	/* P17 */
	{0, ha_check_units},		/* P18 */
	{NEEDS_NODE, ha_check_passfile},	/* P15 */
	{NEEDS_NODE | NEEDS_PROGRAMS, ha_check_settings},	/* P01 */
	{NEEDS_SETTINGS, ha_check_ports},	/* P07 */
	{NEEDS_SETTINGS, ha_check_directories}, /* P08 */
	{NEEDS_SETTINGS | NEEDS_DATA, ha_check_standby_settings},	/* P16 */
	{NEEDS_SETTINGS | NEEDS_DATA, ha_check_auth_files}, /* P20 */
	{NEEDS_TIME | NEEDS_PROGRAMS, ha_check_by_scratch}, /* P03, P20, initdb */
	{NEEDS_TIME | NEEDS_NODE, ha_check_etcd},	/* P10 */
	{NEEDS_TIME | NEEDS_NODE, ha_check_view},
	{NEEDS_VIEW, ha_check_timing},	/* P14 */
	{NEEDS_VIEW, ha_check_name},	/* P11 */
	{NEEDS_VIEW | NEEDS_DATA, ha_check_identity},	/* P12 */
	{NEEDS_VIEW, ha_check_login},	/* P15, P09 */
};

/* What there is of what checks may need. */
static int
what_is_there(const HaPreflight *p)
{
	return (p->node_is_sane ? NEEDS_NODE : 0) |
		(p->directory == HA_DIR_VALID ? NEEDS_DATA : 0) |
		(p->has_settings ? NEEDS_SETTINGS : 0) |
		(p->has_view ? NEEDS_VIEW : 0) |
		(p->programs_work ? NEEDS_PROGRAMS : 0) |
		(p->starting ? 0 : NEEDS_TIME);
}

void
ha_preflight(HaPreflight *p)
{
	for (int i = 0; i < lengthof(checks); i++)
	{
		if ((checks[i].needs & ~what_is_there(p)) == 0)
			checks[i].check(p);
	}
}

/*
 * Did this node hold the leader key, as far as it knows, and so lately that its lease
 * may live?
 */
static bool
may_still_lead(const HaControl *control)
{
	HaControlLease lease;
	HaControlWorker worker;
	HaControlBoot boot;
	int64_t		alive_at = 0;

	if (!ha_control_get_lease(control, &lease) || !lease.holding)
		return false;
	if (ha_control_get_worker(control, &worker))
		alive_at = worker.heartbeat_at;
	if (ha_control_get_boot(control, &boot))
		alive_at = Max(alive_at, boot.heartbeat_at);
	return ha_now() - alive_at <= lease.ttl;
}

int
ha_preflight_start(const HaNode *node, HaControl *control,
				   bool control_was_lost, bool ignore_unit, const char *root)
{
	HaPreflight *p = pg_malloc0(sizeof(HaPreflight));
	int			code = HA_EXIT_OK;

	p->node = *node;
	p->node_is_sane = true;
	p->starting = true;
	p->ignore_unit = ignore_unit;
	p->root = root;
	p->control = control;
	ha_check_running(p);
	if (!p->server_is_ours &&
		(control_was_lost || !may_still_lead(control)))
	{
		ha_report_free(&p->report);
		ha_preflight(p);
		code = ha_report_exit_code(&p->report);
		ha_report_log(&p->report);
	}
	ha_report_free(&p->report);
	pg_free(p);
	return code;
}

/*
 * The verdict.
 */

const char *
ha_directory_name(HaDirectory directory)
{
	switch (directory)
	{
		case HA_DIR_ABSENT:
			return "absent";
		case HA_DIR_EMPTY:
			return "empty";
		case HA_DIR_LOST_FOUND:
			return "empty except lost+found";
		case HA_DIR_VALID:
			return "valid";
		case HA_DIR_OTHER_VERSION:
			return "of another version";
		case HA_DIR_HALF:
		case HA_DIR_BROKEN:
			return "half-initialised";
		case HA_DIR_FOREIGN:
			break;
	}
	return "foreign";
}

const char *
ha_action_name(HaAction action)
{
	switch (action)
	{
		case HA_ACTION_INIT:
			return "init";
		case HA_ACTION_CLONE:
			return "clone";
		case HA_ACTION_INIT_OR_CLONE:
			return "init or clone";
		case HA_ACTION_ADOPT:
			return "adopt";
		case HA_ACTION_REJOIN:
			return "rejoin";
		case HA_ACTION_REFUSE:
			break;
	}
	return "refuse";
}

static HaAction
action_without_data(const HaPreflight *p)
{
	if (!p->has_view)
		return HA_ACTION_INIT_OR_CLONE;
	return p->view.initialize_revision == 0 && !p->view.leader.present ?
		HA_ACTION_INIT : HA_ACTION_CLONE;
}

/*
 * What would be done with the directory; other faults may stand in the way.  A
 * server that nobody expects there makes it somebody else's.
 */
HaAction
ha_preflight_action(const HaPreflight *p)
{
	if (p->server_runs && !p->server_is_ours)
		return HA_ACTION_REFUSE;
	switch (p->directory)
	{
		case HA_DIR_ABSENT:
		case HA_DIR_EMPTY:
		case HA_DIR_HALF:
			return action_without_data(p);
		case HA_DIR_VALID:
			if (p->other_uuid || (p->has_view && p->view.sysid != 0 &&
								  p->view.sysid != p->facts.sysid))
				return HA_ACTION_REFUSE;
			if (p->has_view && p->view.initialize_revision == 0 &&
				p->facts.was_primary)
				return HA_ACTION_ADOPT;
			return HA_ACTION_REJOIN;
		default:
			return HA_ACTION_REFUSE;
	}
}
