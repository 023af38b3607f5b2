/*-------------------------------------------------------------------------
 *
 * rest_access.h
 *	  Who may ask for more than how this member is; TLS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_REST_ACCESS_H
#define HA_REST_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "../secret.h"
#include "node_file.h"

#define HA_REST_MAX_NETWORKS	32

/* Addresses that are alike in their first bits, as IPv6 has them. */
typedef struct HaRestNetwork
{
	uint8_t		address[16];
	int			bits;
} HaRestNetwork;

typedef struct HaRestAccess
{
	char		authorization[HA_BASIC_SIZE];	/* to be shown; '' = none */
	int			nnetworks;		/* 0 = whoever comes */
	HaRestNetwork networks[HA_REST_MAX_NETWORKS];
	bool		listens_locally;	/* nobody else can reach us */
	char	   *cert;			/* PEM; NULL = no TLS */
	char	   *key;
	char	   *ca;				/* clients are verified by it; NULL = they are
								 * not */
} HaRestAccess;

/* Read what the node file names.  false: reported. */
extern bool ha_rest_access_open(const HaNode *node, HaRestAccess *access);
extern void ha_rest_access_close(HaRestAccess *access);

/* "10.0.0.0/8, ::1" */
extern bool ha_rest_parse_networks(const char *list, HaRestAccess *access,
								   char *bad, size_t size);

/*
 * May whoever is at the other end have something done?  NULL = yes; else why not,
 * as Patroni says it, and the status.
 */
extern const char *ha_rest_refusal(const HaRestAccess *access,
								   struct MHD_Connection *connection,
								   bool failsafe, unsigned int *status);

#endif							/* HA_REST_ACCESS_H */
