/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Hosts and ports as people write them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "address.h"

bool
ha_host_is_valid(const char *host)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, host, &v6) == 1)
		return true;
	return host[0] != '\0' && host[0] != '-' && host[0] != '.' &&
		strspn(host, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(host);
}

bool
ha_host_is_literal(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 ||
		inet_pton(AF_INET6, host, address) == 1;
}

bool
ha_host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6) ||
			(IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
	return pg_strcasecmp(host, "localhost") == 0;
}

bool
ha_host_is_wildcard(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return v4.s_addr == htonl(INADDR_ANY);
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_UNSPECIFIED(&v6);
	return strcmp(host, "*") == 0;
}

bool
ha_port_parse(const char *text, int *port)
{
	size_t		n = strlen(text);

	if (n < 1 || n > 5 || strspn(text, "0123456789") != n)
		return false;
	*port = atoi(text);
	return *port >= 1 && *port <= 65535;
}

bool
ha_address_parse(const char *text, char *host, size_t size, int *port)
{
	bool		bracket = text[0] == '[';
	const char *start = bracket ? text + 1 : text;
	size_t		length = strcspn(start, bracket ? "]" : ":");
	const char *end = start + length;

	if (bracket)
	{
		if (*end++ != ']')
			return false;
	}
	else if (*end == ':' && strchr(end + 1, ':') != NULL)
	{
		length = strlen(start); /* an IPv6 address without brackets */
		end = start + length;
	}
	if (length >= size)
		return false;
	memcpy(host, start, length);
	host[length] = '\0';
	if (bracket && strchr(host, ':') == NULL)
		return false;
	if (*end == ':')
		return ha_host_is_valid(host) && ha_port_parse(end + 1, port);
	return ha_host_is_valid(host) && *end == '\0';
}

bool
ha_address_format(char *out, size_t size, const char *host, int port)
{
	const char *fmt = strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d";

	return snprintf(out, size, fmt, host, port) < size;
}
