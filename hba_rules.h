/*-------------------------------------------------------------------------
 *
 * hba_rules.h
 *	  The server's own reading of pg_hba.conf and pg_ident.conf.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HBA_RULES_H
#define HA_HBA_RULES_H

#include "postgres.h"

#include "libpq/hba.h"

#include "hba.h"

/*
 * Would the server load a file with this text?  Leaves no memory behind.  May wait
 * for the network: a RADIUS server's name is looked up.
 */
extern bool ha_rules_check(HaAuthFile file, const char *text, int *nrules,
						   char *err, size_t errlen);

/*
 * The rules of pg_hba.conf, HbaLine by HbaLine, in the current memory context.  NIL
 * with a message in err: the server would not take them.
 */
extern List *ha_rules_parse(const char *text, char *err, size_t errlen);

/* A connection that is to be judged. */
typedef struct HaConnection
{
	const char *user;
	const char *database;
	bool		replication;	/* of the physical kind */
	bool		encrypted;		/* TLS */
	bool		gss;			/* GSSAPI encryption */
	SockAddr	address;		/* AF_UNIX: by a socket of this machine */
} HaConnection;

typedef enum HaMatch
{
	HA_MATCH_NO,
	HA_MATCH_YES,
	HA_MATCH_NEEDS_DNS,			/* if the address has the name in the rule */
} HaMatch;

/* As the server decides it; needs a transaction, for the membership in roles. */
extern HaMatch ha_rules_match(const HbaLine *line, const HaConnection *c);

/* The rule that decides; rules that would need DNS are passed over. */
extern const HbaLine *ha_rules_find(List *lines, const HaConnection *c);

/* false: the text is no address */
extern bool ha_rules_address(const char *text, SockAddr *address);

#endif							/* HA_HBA_RULES_H */
