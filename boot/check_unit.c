/*-------------------------------------------------------------------------
 *
 * check_unit.c
 *	  P18: does systemd start a server on this data directory by itself?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"

#include "preflight.h"
#include "unit.h"

void
ha_check_units(HaPreflight *p)
{
	char		unit[256];

	if (p->ignore_unit ||
		!ha_unit_find_rival(p->root, p->node.data_dir, 0, unit,
							sizeof(unit)))
		return;
	ha_report_error(&p->report, "P18",
					psprintf("As root: systemctl disable --now %s; where it is postgresql.service that starts it, write \"manual\" into the cluster's start.conf.  --ignore-unit leaves this out.",
							 unit),
					"%s is enabled and would start this server behind pg_ha's back",
					unit);
}
