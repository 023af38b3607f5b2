/*-------------------------------------------------------------------------
 *
 * rest_access.c
 *	  Who may ask for more than how this member is; TLS.
 *
 * Reading is open to whoever can reach the port, as load balancers need it.  What
 * changes anything needs every proof that the node file asks for: an address
 * (pg_ha.rest_allow), a client certificate (pg_ha.rest_cafile), credentials
 * (pg_ha.rest_auth_file).  Where it asks for neither of the last two, only a listener
 * that nobody but this host can reach takes such requests.
 *
 * Browsers send pages' requests to any host, this one's loopback interface too, but
 * say so (Origin): none of them has anything done here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/logging.h"
#include "pqexpbuffer.h"

#include "address.h"
#include "files.h"
#include "rest_access.h"

/*-------------------------------------------------------------------------
 * Addresses
 *-------------------------------------------------------------------------
 */

/* Any address as one of IPv6; false if it is neither that nor of IPv4. */
static bool
widen(const struct sockaddr *from, uint8_t address[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (from->sa_family == AF_INET)
	{
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + 12, &((const struct sockaddr_in *) from)->sin_addr, 4);
		return true;
	}
	if (from->sa_family != AF_INET6)
		return false;
	memcpy(address, &((const struct sockaddr_in6 *) from)->sin6_addr, 16);
	return true;
}

static bool
parse_network(const char *text, HaRestNetwork *network)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char		address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t		length = slash != NULL ? slash - text : strlen(text);
	bool		is_v4;
	char	   *end = "";
	long		bits;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
		return false;
	bits = is_v4 ? 32 : 128;
	if (slash != NULL)
	{
		if (slash[1] < '0' || slash[1] > '9' ||
			(strtol(slash + 1, &end, 10) > bits))
			return false;
		bits = strtol(slash + 1, &end, 10);
	}
	network->bits = (int) bits + (is_v4 ? 96 : 0);
	return *end == '\0' &&
		widen(is_v4 ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6,
			  network->address);
}

bool
ha_rest_parse_networks(const char *list, HaRestAccess *access, char *bad,
					   size_t size)
{
	char		copy[HA_TEXT_SIZE];
	char	   *rest = copy;
	char	   *word;

	strlcpy(copy, list, sizeof(copy));
	access->nnetworks = 0;
	while ((word = strsep(&rest, ", \t")) != NULL)
	{
		if (word[0] == '\0')
			continue;
		strlcpy(bad, word, size);
		if (access->nnetworks == HA_REST_MAX_NETWORKS ||
			!parse_network(word, &access->networks[access->nnetworks]))
			return false;
		access->nnetworks++;
	}
	return true;
}

static bool
is_in_network(const HaRestNetwork *network, const uint8_t address[16])
{
	int			whole = network->bits / 8;
	int			left = network->bits % 8;
	uint8_t		mask = (uint8_t) (0xff << (8 - left));

	return memcmp(network->address, address, whole) == 0 &&
		(left == 0 ||
		 (network->address[whole] & mask) == (address[whole] & mask));
}

static bool
is_loopback(const uint8_t address[16])
{
	static const HaRestNetwork v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127}, 104};
	static const HaRestNetwork v6 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128};

	return is_in_network(&v4, address) || is_in_network(&v6, address);
}

/* False where it can't be told. */
static bool
get_address(struct MHD_Connection *connection, uint8_t address[16])
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return info != NULL && info->client_addr != NULL &&
		widen(info->client_addr, address);
}

static bool
is_allowed(const HaRestAccess *access, const uint8_t address[16])
{
	for (int i = 0; i < access->nnetworks; i++)
	{
		if (is_in_network(&access->networks[i], address))
			return true;
	}
	return access->nnetworks == 0;
}

/*-------------------------------------------------------------------------
 * Proofs
 *-------------------------------------------------------------------------
 */

/* Is there a certificate, and a chain from our CA to it, good for a client? */
static bool
has_certificate(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *) GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned int faults = 1;

	return info != NULL && info->tls_session != NULL &&
		gnutls_certificate_verify_peers(info->tls_session, &purpose, 1,
										&faults) == GNUTLS_E_SUCCESS &&
		faults == 0;
}

static const char *
header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Without any proof: is it this host itself? */
static const char *
refuse_other_host(const HaRestAccess *access, const uint8_t address[16],
				  bool failsafe)
{
	if (is_loopback(address) && (access->listens_locally || failsafe))
		return NULL;
	return failsafe ? "Access is denied, pg_ha.rest_auth_file is not set here" :
		"Access is denied, neither pg_ha.rest_auth_file nor pg_ha.rest_cafile is set here";
}

const char *
ha_rest_refusal(const HaRestAccess *access, struct MHD_Connection *connection,
				bool failsafe, unsigned int *status)
{
	const char *given = header(connection, MHD_HTTP_HEADER_AUTHORIZATION);
	uint8_t		address[16] = {0};

	*status = MHD_HTTP_FORBIDDEN;
	if (!get_address(connection, address) || !is_allowed(access, address))
		return "Access is denied";
	if (header(connection, MHD_HTTP_HEADER_ORIGIN) != NULL)
		return "Access is denied to pages in browsers";
	if (access->ca == NULL && access->authorization[0] == '\0')
		return refuse_other_host(access, address, failsafe);
	if (access->ca != NULL && !has_certificate(connection))
		return "client certificate required";
	if (access->authorization[0] == '\0')
		return NULL;
	*status = MHD_HTTP_UNAUTHORIZED;
	if (given == NULL)
		return "no auth header received";
	return ha_secret_is_equal(given, access->authorization) ? NULL :
		"not authenticated";
}

/*-------------------------------------------------------------------------
 * What the node file names
 *-------------------------------------------------------------------------
 */

/* *text: the file's, or NULL where none is named.  false: reported. */
static bool
read_pem(const char *path, char **text)
{
	PQExpBufferData content;
	bool		ok;

	*text = NULL;
	if (path[0] == '\0')
		return true;
	initPQExpBuffer(&content);
	ok = ha_read_file(path, &content);	/* reports */
	if (ok)
		*text = pg_strdup(content.data);
	termPQExpBuffer(&content);
	return ok;
}

static bool
listens_locally(const char *listen)
{
	char		host[256];
	int			port = 0;

	return ha_address_parse(listen, host, sizeof(host), &port) &&
		ha_host_is_loopback(host);
}

bool
ha_rest_access_open(const HaNode *node, HaRestAccess *access)
{
	char		err[HA_TEXT_SIZE];

	memset(access, 0, sizeof(*access));
	access->listens_locally = listens_locally(node->rest_listen);
	if (node->rest_auth_file[0] != '\0' &&
		!ha_secret_basic(node->rest_auth_file, access->authorization, err,
						 sizeof(err)))
	{
		pg_log_error("%s", err);
		return false;
	}
	if (!ha_rest_parse_networks(node->rest_allow, access, err, sizeof(err)))
	{
		pg_log_error("\"%s\" in pg_ha.rest_allow is no network", err);
		return false;
	}
	return read_pem(node->rest_cert, &access->cert) &&
		read_pem(node->rest_key, &access->key) &&
		read_pem(node->rest_cafile, &access->ca);
}

void
ha_rest_access_close(HaRestAccess *access)
{
	if (access->key != NULL)
		explicit_bzero(access->key, strlen(access->key));
	pg_free(access->cert);
	pg_free(access->key);
	pg_free(access->ca);
}
