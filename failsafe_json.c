/*-------------------------------------------------------------------------
 *
 * failsafe_json.c
 *	  Failsafe mode: the list of members <-> what stands in the store, and the
 *	  question to each of them <-> what is said over HTTP.
 *
 * Plain C and jansson.  Whoever can write to the store, or can speak to a member, can
 * say anything here; what can't be read lists nobody and asks nothing.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "failsafe_json.h"
#include "json_build.h"
#include "json_guard.h"
#include "key_json.h"
#include "names.h"

/*-------------------------------------------------------------------------
 * /failsafe
 *-------------------------------------------------------------------------
 */

bool
ha_failsafe_parse(const HaKv *kv, HaFailsafe *failsafe)
{
	json_t	   *json = load_object(kv);
	bool		ok = json != NULL && json_object_size(json) <= HA_MAX_MEMBERS;
	const char *name;
	json_t	   *unused;

	memset(failsafe, 0, sizeof(*failsafe));
	failsafe->present = !ok || json_object_size(json) > 0;
	failsafe->mod_revision = kv->mod_revision;
	if (ok)
	{
		json_object_foreach(json, name, unused)
		{
			char	   *url = failsafe->api_urls[failsafe->nmembers];

			ok = ok && ha_name_is_valid(name);
			take_text(json, name, url, HA_URL_SIZE, &ok);
			if (!ok || (url[0] != '\0' && !is_http_url(url)))
			{
				ok = false;
				break;
			}
			memcpy(failsafe->members[failsafe->nmembers++], name,
				   strlen(name) + 1);
		}
	}
	json_decref(json);

	if (!ok)
		failsafe->nmembers = 0;
	return ok;
}

char *
ha_failsafe_json(const HaFailsafe *failsafe)
{
	json_t	   *json = ha_json_object();

	for (int i = 0; i < failsafe->nmembers && i < HA_MAX_MEMBERS; i++)
		add(&json, failsafe->members[i], text_json(failsafe->api_urls[i]));
	return dump(json);
}

/*-------------------------------------------------------------------------
 * POST /failsafe
 *-------------------------------------------------------------------------
 */

char *
ha_question_json(const HaQuestion *question, const char *conn_url,
				 const char *api_url)
{
	json_t	   *json = ha_json_object();

	add(&json, "name", text_json(question->name));
	add(&json, "conn_url", text_json(conn_url));
	add(&json, "api_url", text_json(api_url));
	add(&json, "term", json_integer(question->term));
	add(&json, "ttl", json_integer(question->ttl));
	add(&json, "lsn", lsn_json(question->lsn));
	if (question->member[0] != '\0')
		add(&json, "member", text_json(question->member));
	if (question->sysid != 0)
		add(&json, "database_system_identifier", lsn_json(question->sysid));
	return dump(json);
}

bool
ha_question_parse(const char *text, size_t length, HaQuestion *question)
{
	json_t	   *json = ha_json_load(text, length);
	bool		ok = json_is_object(json);

	memset(question, 0, sizeof(*question));
	if (ok)
	{
		take_name(json, "name", question->name, &ok);
		question->term = take_int(json, "term", 0, INT64_MAX, -1, &ok);
		question->ttl = take_int(json, "ttl", 1, DAY_MS, 0, &ok);
		question->lsn = take_lsn(json, "lsn", &ok);
		take_name(json, "member", question->member, &ok);
		question->sysid = take_lsn(json, "database_system_identifier", &ok);
	}
	json_decref(json);
	return ok && question->name[0] != '\0';
}
