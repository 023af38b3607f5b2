/*-------------------------------------------------------------------------
 *
 * standby_cluster_json.c
 *	  Where the WAL of a standby cluster comes from, as /config tells it.
 *
 * Plain C and jansson.  Hosts and ports that come from the store end in connection
 * strings and on command lines of PostgreSQL's programs, so only characters that
 * mean nothing there are let through.  Commands are not taken from the store at all:
 * Patroni's "restore_command" and the like may stand there, and do nothing here.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "json_guard.h"
#include "standby_cluster_json.h"

#define DEFAULT_PORT	"5432"

/* How many there are between commas; 0 if one of them is empty or too long. */
static int
count_parts(const char *list, size_t longest)
{
	int			n = 0;

	for (;;)
	{
		size_t		length = strcspn(list, ",");

		if (length == 0 || length > longest || list[0] == '-')
			return 0;
		n++;
		if (list[length] == '\0')
			return n;
		list += length + 1;
	}
}

static bool
consists_of(const char *text, const char *characters)
{
	return strspn(text, characters) == strlen(text);
}

/* No path of a socket, and nothing that a connection string would take apart. */
static bool
read_hosts(json_t *value, char *host)
{
	const char *text = json_string_value(value);
	int			n;

	if (text == NULL || strlen(text) >= HA_HOST_SIZE ||
		strlen(text) != json_string_length(value) ||
		!consists_of(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789.:_-,"))
		return false;
	memcpy(host, text, strlen(text) + 1);
	n = count_parts(text, HA_HOST_SIZE);
	return n >= 1 && n <= HA_MAX_SOURCES;
}

static bool
are_ports(const char *list)
{
	for (;;)
	{
		long		port = strtol(list, NULL, 10);

		if (port < 1 || port > 65535)
			return false;
		list += strcspn(list, ",");
		if (*list == '\0')
			return true;
		list++;
	}
}

/* One for all hosts, or one for each. */
static bool
read_ports(json_t *value, const char *host, char *port)
{
	int			n;

	snprintf(port, HA_PORTS_SIZE, DEFAULT_PORT);
	if (json_is_integer(value))
		snprintf(port, HA_PORTS_SIZE, "%" JSON_INTEGER_FORMAT,
				 json_integer_value(value));
	else if (json_is_string(value))
	{
		if (json_string_length(value) >= HA_PORTS_SIZE)
			return false;
		snprintf(port, HA_PORTS_SIZE, "%s", json_string_value(value));
	}
	else if (value != NULL && !json_is_null(value))
		return false;
	n = consists_of(port, "0123456789,") ? count_parts(port, 5) : 0;
	return (n == 1 || n == count_parts(host, HA_HOST_SIZE)) && are_ports(port);
}

static bool
read_slot(json_t *value, char *slot)
{
	const char *text = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return true;
	if (text == NULL || text[0] == '\0' || strlen(text) >= HA_NAME_SIZE ||
		strlen(text) != json_string_length(value) ||
		!consists_of(text, "abcdefghijklmnopqrstuvwxyz0123456789_"))
		return false;
	memcpy(slot, text, strlen(text) + 1);
	return true;
}

bool
ha_standby_cluster_parse(json_t *config, HaStandbyCluster *out, char *err,
						 size_t errlen)
{
	json_t	   *json = json_object_get(config, "standby_cluster");

	memset(out, 0, sizeof(*out));
	if (json == NULL || json_is_null(json))
		return true;
	if (!json_is_object(json))
		return fail(err, errlen, "\"standby_cluster\" must be an object");
	if (json_object_size(json) == 0)
		return true;
	if (!read_hosts(json_object_get(json, "host"), out->host))
		return fail(err, errlen, "\"standby_cluster.host\" must be the name "
					"or address of a server, or up to %d of them with commas "
					"between", HA_MAX_SOURCES);
	if (!read_ports(json_object_get(json, "port"), out->host, out->port))
		return fail(err, errlen, "\"standby_cluster.port\" must be a port "
					"from 1 to 65535, or one for each host with commas between");
	if (!read_slot(json_object_get(json, "primary_slot_name"), out->slot))
		return fail(err, errlen, "\"standby_cluster.primary_slot_name\" must "
					"be up to 63 lower case letters, digits and underscores");
	out->active = true;
	return true;
}

int
ha_standby_cluster_servers(const HaStandbyCluster *source,
						   HaSourceServer *servers)
{
	const char *host = source->host;
	const char *port = source->port;
	int			n = 0;

	if (!source->active)
		return 0;
	while (n < HA_MAX_SOURCES && *host != '\0')
	{
		size_t		length = strcspn(host, ",");
		HaSourceServer *server = &servers[n++];

		memcpy(server->host, host, length);
		server->host[length] = '\0';
		server->port = (int32_t) strtol(port, NULL, 10);
		host += length + (host[length] == ',');
		if (strchr(port, ',') != NULL)
			port = strchr(port, ',') + 1;
	}
	return n;
}

char *
ha_standby_cluster_patch(const HaStandbyCluster *source)
{
	json_t	   *section = json_pack("{s:s,s:s,s:n,s:n,s:n,s:n,s:n}",
									"host", source->host,
									"port", source->port,
									"primary_slot_name",
									"create_replica_methods",
									"restore_command",
									"archive_cleanup_command",
									"recovery_min_apply_delay");
	json_t	   *patch;
	char	   *text = NULL;

	if (section != NULL && source->slot[0] != '\0')
		json_object_set_new(section, "primary_slot_name",
							json_pack("s", source->slot));
	patch = section != NULL ? json_pack("{s:o}", "standby_cluster", section) :
		NULL;
	if (patch != NULL)
		text = json_dumps(patch, JSON_COMPACT);
	json_decref(patch);
	return text;
}
