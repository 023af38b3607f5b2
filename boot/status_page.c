/*-------------------------------------------------------------------------
 *
 * status_page.c
 *	  What a browser is shown, and what only it asks for.
 *
 * The page is one file without anything from elsewhere.  It asks this node for what any
 * tool may ask it for, /cluster, /history and /patroni, and for /pg_ha, where stands what
 * Patroni's answers have no place for.  It changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "../history_json.h"
#include "rest_parts.h"
#include "status_page.h"

/* Made from status_page.html. */
static const char page[] =
#include "status_page.inc"
		   ;

/* A browser says that it takes HTML; proxies and tools take anything. */
bool
ha_status_page_is_wanted(struct MHD_Connection *connection, const char *path)
{
	const char *accepted = MHD_lookup_connection_value(connection,
													   MHD_HEADER_KIND,
													   MHD_HTTP_HEADER_ACCEPT);

	return strcmp(path, "/") == 0 && accepted != NULL &&
		strstr(accepted, "text/html") != NULL;
}

char *
ha_status_page(void)
{
	return strdup(page);
}

static json_t *
change_json(const HaChange *change)
{
	json_t	   *phases = json_array();

	for (int i = 0; i < HA_PHASES; i++)
	{
		int64_t		ms;
		const char *name = ha_change_phase(change, i, &ms);

		if (ms >= 0)
			json_array_append_new(phases,
								  json_pack("{s:s, s:I}", "name", name,
											"ms", (json_int_t) ms));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}",
					 "kind", change->planned ? "switchover" : "failover",
					 "from", change->from, "to", change->to,
					 "reason", change->reason,
					 "started_at_ms", (json_int_t) change->started_at,
					 "lost_bytes", (json_int_t) change->lost_bytes,
					 "phases", phases);
}

char *
ha_status_page_json(const HaRest *rest, const HaRestSnapshot *snap)
{
	const HaChange *change = &ha_session_last_view(rest->session)->change;
	json_t	   *json = json_object();
	char	   *text;

	if (snap->leader)
		json_object_set_new(json, "lease_left_ms",
							json_integer(snap->deadline - snap->now));
	if (snap->known && snap->worker.ttl > 0)
		json_object_set_new(json, "ttl_ms", json_integer(snap->worker.ttl));
	if (change->present && change->complete)
		json_object_set_new(json, "last_change", change_json(change));
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}
