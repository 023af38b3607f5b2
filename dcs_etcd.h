/*-------------------------------------------------------------------------
 *
 * dcs_etcd.h
 *	  How etcd v3's JSON gateway says what dcs.h says.
 *
 * etcd_json.c holds this translation, without any network, so that the fuzzer
 * and the tests can feed it whatever a hostile server might; dcs_etcd.c
 * carries the texts over HTTP.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DCS_ETCD_H
#define HA_DCS_ETCD_H

#include "dcs.h"

/* gRPC codes that decide something here. */
#define HA_GRPC_OK				0
#define HA_GRPC_UNKNOWN			2	/* also: no code could be read */
#define HA_GRPC_UNAUTHENTICATED 16

#define HA_ETCD_TOKEN_SIZE		4096

/* Where to POST a request of that kind: "/v3/kv/txn". */
extern const char *ha_etcd_path(HaDcsKind kind);

/*
 * The body of a request.  "prefix" is "/NAMESPACE/SCOPE/".  malloc'd; NULL if
 * memory is out or the request makes no sense.
 */
extern char *ha_etcd_request_json(const char *prefix,
								  const HaRequest *request);

/*
 * Read an answer, or one line of a watch.  Fills everything in *answer but tag
 * and sent_at, whatever the body holds; the caller frees it.  A line of a
 * watch that tells no event ("created", progress) is HA_DCS_OK without kvs.
 *
 * Returns etcd's gRPC code, HA_GRPC_OK with HA_DCS_OK only.  Every error that
 * a new token may cure is HA_GRPC_UNAUTHENTICATED, although etcd sends
 * several.
 */
extern int	ha_etcd_parse_answer(HaDcsKind kind, const char *prefix,
								 long http_status, const char *body,
								 size_t length, HaAnswer *answer);

/*
 * The same for the authentication request, whose result is a token.  The token
 * is "" if authentication is switched off in etcd: then none is needed.
 */
extern char *ha_etcd_auth_json(const char *user, const char *password);
extern bool ha_etcd_parse_token(long http_status, const char *body,
								size_t length, char *token, size_t size,
								HaAnswer *answer);

#endif							/* HA_DCS_ETCD_H */
