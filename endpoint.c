/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  What is wrong with an endpoint of etcd, in words.
 *
 * Plain C with curl's and etcd's ways to say it.  No decision rests on what is found
 * here: a connection that failed and a store that is down can't be told apart for
 * sure.  It is for people, who can go and look.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "endpoint.h"
#include "json_guard.h"

/* Texts of curl and etcd may hold what others have written. */
__attribute__((format(printf, 4, 5)))
static HaEndpointState
say(HaEndpointState state, char *why, size_t size, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	for (char *p = why; *p != '\0'; p++)
	{
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	return state;
}

HaEndpointState
ha_explain_failure(CURL *easy, CURLcode rc, const char *error,
				   int64_t timeout, char *why, size_t size)
{
	long		os_error = 0;

	if (error[0] == '\0')
		error = curl_easy_strerror(rc);
	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
	switch (rc)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return say(HA_ENDPOINT_NO_HOST, why, size, "host not found");
		case CURLE_OPERATION_TIMEDOUT:
			return say(HA_ENDPOINT_TIMEOUT, why, size, "timeout after %.3g s",
					   timeout / 1000.0);
		case CURLE_COULDNT_CONNECT:
			if (os_error == ECONNREFUSED)
				return say(HA_ENDPOINT_REFUSED, why, size,
						   "connection refused");
			return say(HA_ENDPOINT_UNREACHABLE, why, size,
					   "could not connect: %s", os_error != 0 ?
					   strerror((int) os_error) : error);
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_SEND_FAIL_REWIND:
			return say(HA_ENDPOINT_UNREACHABLE, why, size,
					   "the connection was closed without an answer");
		case CURLE_PEER_FAILED_VERIFICATION:
			return say(HA_ENDPOINT_TLS, why, size,
					   "TLS: certificate verify failed: %s", error);
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return say(HA_ENDPOINT_TLS, why, size, "TLS: %s", error);
		case CURLE_WRITE_ERROR:
			return say(HA_ENDPOINT_ERROR, why, size,
					   "its answer is longer than any that etcd gives");
		default:
			return say(HA_ENDPOINT_ERROR, why, size, "%s", error);
	}
}

/* An error of etcd's own: its text stands here or there. */
static const char *
message_of(json_t *json)
{
	json_t	   *error = json_object_get(json, "error");
	const char *message = json_string_value(error);

	if (message == NULL)
		message = json_string_value(json_object_get(error, "message"));
	if (message == NULL)
		message = json_string_value(json_object_get(json, "message"));
	return message;
}

HaEndpointState
ha_explain_refusal(long status, const char *body, size_t length,
				   const HaEndpointAccess *access, char *why, size_t size)
{
	json_t	   *json = ha_json_load(body, length);
	const char *message = message_of(json);
	HaEndpointState state = HA_ENDPOINT_ERROR;

	if (message == NULL && status == 404)
		say(state, why, size,
			"speaks v2 only (it has no /v3; is its gRPC gateway off?)");
	else if (message == NULL && length >= 5 && memmem(body, length, "HTTPS", 5))
		state = say(HA_ENDPOINT_TLS, why, size,
					"speaks TLS only: write https://");
	else if (message == NULL)
		say(state, why, size, "HTTP status %ld, which is no answer of etcd's",
			status);
	else if (strstr(message, "authentication failed") != NULL)
		state = say(HA_ENDPOINT_AUTH, why, size,
					"authentication failed for user \"%s\"", access->user);
	else if (strstr(message, "user name is empty") != NULL)
		state = say(HA_ENDPOINT_AUTH, why, size,
					"demands authentication, but pg_ha.etcd_user is not set");
	else if (strstr(message, "permission denied") != NULL)
		state = say(HA_ENDPOINT_AUTH, why, size,
					"permission denied for user \"%s\" on \"%s\"",
					access->user, access->prefix);
	else if (strstr(message, "no leader") != NULL)
		state = say(HA_ENDPOINT_NO_QUORUM, why, size,
					"etcd has no leader (quorum lost)");
	else
		say(state, why, size, "%s", message);
	json_decref(json);
	return state;
}

bool
ha_even_voters(int voters, char *warning, size_t size)
{
	int			can_lose = (voters - 1) / 2;

	if (voters == 0 || voters % 2 != 0)
		return false;
	if (can_lose == 0)
		snprintf(warning, size,
				 "etcd has %d voting members and cannot lose any; use 3 or 5",
				 voters);
	else
		snprintf(warning, size,
				 "etcd has %d voting members and can lose only %d; use %d or %d",
				 voters, can_lose, voters - 1, voters + 1);
	return true;
}
