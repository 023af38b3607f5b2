/*-------------------------------------------------------------------------
 *
 * address.h
 *	  Hosts and ports as people write them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ADDRESS_H
#define HA_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* A DNS name or a literal address; nothing that libpq or an URL could misread. */
extern bool ha_host_is_valid(const char *host);

extern bool ha_host_is_literal(const char *host);

/* Is it certainly this machine? */
extern bool ha_host_is_loopback(const char *host);

/* Does it stand for every address, so that nobody can connect to it? */
extern bool ha_host_is_wildcard(const char *host);

extern bool ha_port_parse(const char *text, int *port);

/*
 * Split "host", "host:port", "[v6]", "[v6]:port" or "v6".  *port is left alone
 * where none is told.
 */
extern bool ha_address_parse(const char *text, char *host, size_t size,
							 int *port);

/* The other way round; false if it does not fit. */
extern bool ha_address_format(char *out, size_t size, const char *host,
							  int port);

#endif							/* HA_ADDRESS_H */
