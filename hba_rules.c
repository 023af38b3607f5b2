/*-------------------------------------------------------------------------
 *
 * hba_rules.c
 *	  The server's own reading of pg_hba.conf and pg_ident.conf.
 *
 * Lines are split and parsed by the functions that the server itself calls, so what
 * passes here is what the postmaster will load.  How a connection is matched against
 * the parsed rules is not exported by the server; that part follows check_hba() of
 * its hba.c, step by step.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <stdio.h>

#include "catalog/pg_authid.h"
#include "common/ip.h"
#include "libpq/ifaddr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "hba_rules.h"

/*-------------------------------------------------------------------------
 * Parsing
 *-------------------------------------------------------------------------
 */

/*
 * Split into lines and tokens.  The name says which directory files that the text
 * names are relative to.
 */
static List *
tokenize(HaAuthFile file, const char *text)
{
	const char *volatile name = file == HA_AUTH_HBA ?
	HbaFileName : IdentFileName;
	FILE	   *stream;
	List	   *lines = NIL;

	if (text[0] == '\0')
		return NIL;
	stream = fmemopen(unconstify(char *, text), strlen(text), "r");
	if (stream == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("out of memory")));
	PG_TRY();
	{
		ha_tokenize_auth_file(name, stream, &lines);
	}
	PG_FINALLY();
	{
		fclose(stream);
	}
	PG_END_TRY();
	return lines;
}

/* Is this line of pg_ident.conf one?  Returns why it is not; NULL: it is. */
static const char *
ident_fault(TokenizedAuthLine *line)
{
	IdentLine  *parsed = parse_ident_line(line, DEBUG5);

	if (parsed == NULL)
		return line->err_msg;
#if PG_VERSION_NUM < 160000
	/* a regular expression is malloc'd there */
	if (parsed->ident_user[0] == '/')
		pg_regfree(&parsed->re);
#endif
	return NULL;
}

/* The same of pg_hba.conf; the rule is added to the list. */
static const char *
hba_fault(TokenizedAuthLine *line, List **rules)
{
	/* a message alone may be a warning: "hostssl" where ssl is off */
	HbaLine    *parsed = parse_hba_line(line, DEBUG5);

	if (parsed == NULL)
		return line->err_msg;
	*rules = lappend(*rules, parsed);
	return NULL;
}

/* Each line; the first that is at fault ends it. */
static bool
parse_lines(HaAuthFile file, List *lines, List **rules, char *err,
			size_t errlen)
{
	ListCell   *cell;

	foreach(cell, lines)
	{
		TokenizedAuthLine *line = lfirst(cell);
		const char *fault = line->err_msg != NULL ? line->err_msg :
		file == HA_AUTH_HBA ? hba_fault(line, rules) : ident_fault(line);

		if (fault == NULL)
			continue;
		snprintf(err, errlen, "line %d: %s", line->line_num, fault);
		return false;
	}
	if (lines != NIL || file == HA_AUTH_IDENT)
		return true;
	snprintf(err, errlen, "there is no rule in it");
	return false;
}

static bool
parse(HaAuthFile file, const char *text, List **rules, int *nrules,
	  char *err, size_t errlen)
{
	char	   *why_not = NULL;
	FILE	   *opened = ha_tokenizer_open(&why_not);
	List	   *lines;
	bool		ok;

	*nrules = 0;
	if (opened == NULL)
	{
		snprintf(err, errlen, "%s", why_not != NULL ? why_not :
				 "could not read in the data directory");
		return false;
	}
	lines = tokenize(file, text);
	*nrules = list_length(lines);
	ok = parse_lines(file, lines, rules, err, errlen);
	ha_tokenizer_close(opened);
	return ok;
}

bool
ha_rules_check(HaAuthFile file, const char *text, int *nrules, char *err,
			   size_t errlen)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_ha rules",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *rules = NIL;
	bool		ok = parse(file, text, &rules, nrules, err, errlen);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return ok;
}

List *
ha_rules_parse(const char *text, char *err, size_t errlen)
{
	List	   *rules = NIL;
	int			nrules;

	return parse(HA_AUTH_HBA, text, &rules, &nrules, err, errlen) ? rules : NIL;
}

/*-------------------------------------------------------------------------
 * Matching
 *-------------------------------------------------------------------------
 */

static bool
is_in_range(const SockAddr *address, const struct sockaddr *from,
			const struct sockaddr *mask)
{
	return address->addr.ss_family == from->sa_family &&
		pg_range_sockaddr(&address->addr,
						  (const struct sockaddr_storage *) from,
						  (const struct sockaddr_storage *) mask);
}

/* samehost and samenet: the interfaces of this machine. */
typedef struct Neighbourhood
{
	const SockAddr *address;
	bool		whole_net;
	bool		found;
} Neighbourhood;

static void
compare_interface(struct sockaddr *address, struct sockaddr *netmask,
				  void *data)
{
	Neighbourhood *n = data;
	struct sockaddr_storage host;

	if (n->found)
		return;
	if (!n->whole_net)
	{
		pg_sockaddr_cidr_mask(&host, NULL, address->sa_family);
		netmask = (struct sockaddr *) &host;
	}
	n->found = is_in_range(n->address, address, netmask);
}

static bool
is_neighbour(const SockAddr *address, bool whole_net)
{
	Neighbourhood n = {.address = address,.whole_net = whole_net};

	return pg_foreach_ifaddr(compare_interface, &n) == 0 && n.found;
}

static HaMatch
match_address(const HbaLine *line, const HaConnection *c)
{
	bool		matches = false;

	switch (line->ip_cmp_method)
	{
		case ipCmpAll:
			return HA_MATCH_YES;
		case ipCmpSameHost:
			matches = is_neighbour(&c->address, false);
			break;
		case ipCmpSameNet:
			matches = is_neighbour(&c->address, true);
			break;
		case ipCmpMask:
			if (line->hostname != NULL)
				return HA_MATCH_NEEDS_DNS;
			matches = is_in_range(&c->address,
								  (const struct sockaddr *) &line->addr,
								  (const struct sockaddr *) &line->mask);
			break;
	}
	return matches ? HA_MATCH_YES : HA_MATCH_NO;
}

static bool
matches_encryption(const HbaLine *line, const HaConnection *c)
{
	switch (line->conntype)
	{
		case ctHostSSL:
			return c->encrypted;
		case ctHostNoSSL:
			return !c->encrypted;
		case ctHostGSS:
			return c->gss;
		case ctHostNoGSS:
			return !c->gss;
		default:
			return true;
	}
}

static bool
is_keyword(const AuthToken *token, const char *keyword)
{
	return !token->quoted && strcmp(token->string, keyword) == 0;
}

/* 16: a token that begins with a slash is a regular expression. */
#if PG_VERSION_NUM >= 160000
static bool
matches_regex(const AuthToken *token, const char *text)
{
	int			length = strlen(text);
	pg_wchar   *wide;
	int			result;

	if (token->regex == NULL)
		return false;
	wide = palloc((length + 1) * sizeof(pg_wchar));
	length = pg_mb2wchar_with_len(text, wide, length);
	result = pg_regexec(token->regex, wide, length, 0, NULL, 0, NULL, 0);
	pfree(wide);
	return result == REG_OKAY;
}
#else
#define matches_regex(token, text)	false
#endif

/* A superuser counts as a member of what it was made a member of only. */
static bool
is_member(Oid role, const char *group)
{
	Oid			group_oid = get_role_oid(group, true);

	return OidIsValid(role) && OidIsValid(group_oid) &&
		is_member_of_role_nosuper(role, group_oid);
}

static bool
matches_user(List *tokens, const char *user, Oid role)
{
	ListCell   *cell;

	foreach(cell, tokens)
	{
		AuthToken  *token = lfirst(cell);

		if (!token->quoted && token->string[0] == '+')
		{
			if (is_member(role, token->string + 1))
				return true;
		}
		else if (is_keyword(token, "all") || strcmp(token->string, user) == 0 ||
				 matches_regex(token, user))
			return true;
	}
	return false;
}

static bool
matches_database_token(const AuthToken *token, const HaConnection *c, Oid role)
{
	if (c->replication)
		return is_keyword(token, "replication");
	if (is_keyword(token, "all"))
		return true;
	if (is_keyword(token, "sameuser"))
		return strcmp(c->database, c->user) == 0;
	if (is_keyword(token, "samegroup") || is_keyword(token, "samerole"))
		return is_member(role, c->database);
	if (is_keyword(token, "replication"))
		return false;
	return strcmp(token->string, c->database) == 0 ||
		matches_regex(token, c->database);
}

static bool
matches_database(List *tokens, const HaConnection *c, Oid role)
{
	ListCell   *cell;

	foreach(cell, tokens)
	{
		if (matches_database_token(lfirst(cell), c, role))
			return true;
	}
	return false;
}

HaMatch
ha_rules_match(const HbaLine *line, const HaConnection *c)
{
	bool		by_socket = c->address.addr.ss_family == AF_UNIX;
	Oid			role = get_role_oid(c->user, true);
	HaMatch		result = HA_MATCH_YES;

	if ((line->conntype == ctLocal) != by_socket)
		return HA_MATCH_NO;
	if (!by_socket)
	{
		if (!matches_encryption(line, c))
			return HA_MATCH_NO;
		result = match_address(line, c);
	}
	if (result == HA_MATCH_NO || !matches_database(line->databases, c, role) ||
		!matches_user(line->roles, c->user, role))
		return HA_MATCH_NO;
	return result;
}

const HbaLine *
ha_rules_find(List *lines, const HaConnection *c)
{
	ListCell   *cell;

	foreach(cell, lines)
	{
		if (ha_rules_match(lfirst(cell), c) == HA_MATCH_YES)
			return lfirst(cell);
	}
	return NULL;
}

bool
ha_rules_address(const char *text, SockAddr *address)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST,.ai_socktype = SOCK_STREAM
	};
	struct addrinfo *found = NULL;

	memset(address, 0, sizeof(*address));
	if (getaddrinfo(text, NULL, &hints, &found) != 0 || found == NULL)
		return false;
	memcpy(&address->addr, found->ai_addr, found->ai_addrlen);
	address->salen = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}
