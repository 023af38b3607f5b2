/*-------------------------------------------------------------------------
 *
 * status_page.h
 *	  What a browser is shown, and what only it asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_STATUS_PAGE_H
#define HA_STATUS_PAGE_H

#include "rest_parts.h"

/* The page may load nothing from elsewhere, and nobody may put it into a frame. */
#define HA_STATUS_PAGE_POLICY \
	"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " \
	"connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"

extern bool ha_status_page_is_wanted(struct MHD_Connection *connection,
									 const char *path);

/* malloc'd; NULL = no memory */
extern char *ha_status_page(void);

/*
 * GET /pg_ha, malloc'd: {"lease_left_ms", "ttl_ms", "last_change"}; the first is there
 * only where the leader is asked.
 */
extern char *ha_status_page_json(const HaRest *rest,
								 const HaRestSnapshot *snap);

#endif							/* HA_STATUS_PAGE_H */
