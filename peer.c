/*-------------------------------------------------------------------------
 *
 * peer.c
 *	  Asking other members over HTTP.
 *
 * Each request has a fresh connection: it is rare, and a reused one might be
 * dead, which would be noticed only when the answer is due.  No redirect is
 * followed and no proxy asked, since whoever wrote the address into the store
 * shall not choose whom else we speak to, or who gets our credentials.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "curl_guard.h"
#include "peer.h"
#include "secret.h"

/* As many as a round can need, and as many again that are late. */
#define MAX_REQUESTS		(2 * HA_MAX_MEMBERS)

/* A file with certificates or a key */
#define MAX_PEM				(256 * 1024)

/* An answer that is longer than that is none of ours, nor of Patroni's. */
#define MAX_ANSWER			4096
#define MAX_DOCUMENT		(64 * 1024)

typedef struct Call
{
	bool		used;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *body;			/* of a POST */
	bool		is_get;
	size_t		received;
	bool		done;			/* the answer waits to be taken */
	HaPeerAnswer answer;
} Call;

struct HaPeers
{
	int64_t		(*now) (void);
	CURLM	   *multi;
	int			epoll_fd;
	int64_t		timer_at;		/* when curl wants to be called; 0 = never */
	char		authorization[HA_BASIC_SIZE + 32];	/* a header; '' = none */

	/* PEM, read once: no disk on the way of a question; no data = none */
	struct curl_blob ca;
	struct curl_blob cert;
	struct curl_blob key;
	Call		calls[MAX_REQUESTS];
};

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	HaPeers    *peers = arg;

	return watch_curl_socket(peers->epoll_fd, fd, what);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HaPeers    *peers = arg;

	peers->timer_at = timeout_ms < 0 ? 0 : peers->now() + timeout_ms;
	return 0;
}

/* A document is kept as a whole, or not at all. */
static bool
keep_document(Call *call, const char *data, size_t length)
{
	HaPeerAnswer *answer = &call->answer;
	char	   *body;

	if (length > MAX_DOCUMENT - answer->length)
		return false;
	body = realloc(answer->body, answer->length + length + 1);
	if (body == NULL)
		return false;
	memcpy(body + answer->length, data, length);
	answer->body = body;
	answer->length += length;
	body[answer->length] = '\0';
	return true;
}

/* Keep the beginning, printable; returning less ends the transfer. */
static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	Call	   *call = arg;
	size_t		length = size * n;

	if (call->is_get)
		return keep_document(call, data, length) ? length : 0;
	if (length > MAX_ANSWER - call->received)
		return 0;
	for (size_t i = 0; i < length; i++)
	{
		size_t		at = call->received + i;

		if (at < HA_PEER_TEXT_SIZE - 1)
			call->answer.text[at] = data[i] >= ' ' && data[i] <= '~' ?
				data[i] : '?';
	}
	call->received += length;
	return length;
}

static void
end_call(HaPeers *peers, Call *call)
{
	if (call->easy != NULL)
	{
		curl_multi_remove_handle(peers->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	free(call->body);
	call->easy = NULL;
	call->headers = NULL;
	call->body = NULL;
}

static void
finish_call(HaPeers *peers, Call *call, CURLcode rc)
{
	call->done = true;
	if (rc == CURLE_OK)
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE,
						  &call->answer.status);
	else
	{
		snprintf(call->answer.text, sizeof(call->answer.text), "%s",
				 rc == CURLE_OPERATION_TIMEDOUT ? "timeout" :
				 curl_easy_strerror(rc));
		free(call->answer.body);
		call->answer.body = NULL;
		call->answer.length = 0;
	}
	end_call(peers, call);
}

static CURLcode
set_options(HaPeers *peers, Call *call, const HaPeerRequest *request)
{
	CURL	   *easy = call->easy;
	CURLcode	rc = CURLE_OK;

	if (peers->ca.data != NULL)
		SET(CURLOPT_CAINFO_BLOB, &peers->ca);
	if (peers->cert.data != NULL && peers->key.data != NULL)
	{
		SET(CURLOPT_SSLCERT_BLOB, &peers->cert);
		SET(CURLOPT_SSLKEY_BLOB, &peers->key);
	}

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);	/* never join a resolver that hangs */
	SET(CURLOPT_TIMEOUT_MS, (long) request->timeout);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) request->timeout);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_curl_socket);
	SET(CURLOPT_URL, request->url);
	if (!call->is_get)
	{
		SET(CURLOPT_HTTPHEADER, call->headers);
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, call->body);
	}
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_PRIVATE, call);
	return rc;
}

static bool
add_header(Call *call, const char *header)
{
	struct curl_slist *headers = curl_slist_append(call->headers, header);

	if (headers != NULL)
		call->headers = headers;
	return headers != NULL;
}

/*
 * Without Content-Type, as Patroni asks; and no wait for leave to send.  A GET is
 * answered to everybody, so nobody is shown who we are.
 */
static bool
add_headers(const HaPeers *peers, Call *call)
{
	return call->is_get ||
		(add_header(call, "Content-Type:") && add_header(call, "Expect:") &&
		 (peers->authorization[0] == '\0' ||
		  add_header(call, peers->authorization)));
}

static bool
launch(HaPeers *peers, Call *call, const HaPeerRequest *request)
{
	call->easy = curl_easy_init();
	if (call->easy == NULL || (!call->is_get && call->body == NULL) ||
		!add_headers(peers, call) ||
		set_options(peers, call, request) != CURLE_OK)
	{
		curl_easy_cleanup(call->easy);
		call->easy = NULL;
		return false;
	}
	return curl_multi_add_handle(peers->multi, call->easy) == CURLM_OK;
}

static bool
set_up(HaPeers *peers)
{
	peers->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	peers->multi = curl_multi_init();
	return peers->epoll_fd >= 0 && peers->multi != NULL &&
		!curl_multi_setopt(peers->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
		!curl_multi_setopt(peers->multi, CURLMOPT_SOCKETDATA, peers) &&
		!curl_multi_setopt(peers->multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
		!curl_multi_setopt(peers->multi, CURLMOPT_TIMERDATA, peers);
}

/* A small file as a whole; nothing if none is named. */
static bool
read_pem(const char *path, struct curl_blob *blob, char *err, size_t errlen)
{
	FILE	   *file;
	char	   *data = malloc(MAX_PEM);

	if (path[0] == '\0' || data == NULL)
	{
		free(data);
		return path[0] == '\0';
	}
	file = fopen(path, "re");
	blob->data = data;
	blob->len = file != NULL ? fread(data, 1, MAX_PEM, file) : 0;
	if (file != NULL)
		fclose(file);
	if (blob->len > 0 && blob->len < MAX_PEM)
		return true;
	snprintf(err, errlen, "could not read file \"%s\", or it is empty or too long",
			 path);
	return false;
}

static bool
take_options(HaPeers *peers, const HaPeerOptions *options, char *err,
			 size_t errlen)
{
	char		basic[HA_BASIC_SIZE];

	if (!read_pem(options->cafile, &peers->ca, err, errlen) ||
		!read_pem(options->cert, &peers->cert, err, errlen) ||
		!read_pem(options->key, &peers->key, err, errlen))
		return false;
	if (options->auth_file[0] == '\0')
		return true;
	if (!ha_secret_basic(options->auth_file, basic, err, errlen))
		return false;
	snprintf(peers->authorization, sizeof(peers->authorization),
			 "Authorization: %s", basic);
	return true;
}

HaPeers *
ha_peers_open(const HaPeerOptions *options, char *err, size_t errlen)
{
	HaPeers    *peers = calloc(1, sizeof(HaPeers));

	snprintf(err, errlen, "out of memory or descriptors");
	if (peers == NULL)
		return NULL;
	peers->now = options->now;
	if (set_up(peers) && take_options(peers, options, err, errlen))
		return peers;
	ha_peers_close(peers);
	return NULL;
}

void
ha_peers_close(HaPeers *peers)
{
	SignalState saved;

	if (peers == NULL)
		return;
	enter_curl(&saved);
	for (int i = 0; i < MAX_REQUESTS; i++)
	{
		end_call(peers, &peers->calls[i]);
		free(peers->calls[i].answer.body);
	}
	if (peers->multi != NULL)
		curl_multi_cleanup(peers->multi);
	leave_curl(&saved);
	if (peers->epoll_fd >= 0)
		close(peers->epoll_fd);
	if (peers->key.data != NULL)
		explicit_bzero(peers->key.data, peers->key.len);
	free(peers->ca.data);
	free(peers->cert.data);
	free(peers->key.data);
	free(peers);
}

int
ha_peers_fd(const HaPeers *peers)
{
	return peers->epoll_fd;
}

int64_t
ha_peers_wake_at(const HaPeers *peers)
{
	for (int i = 0; i < MAX_REQUESTS; i++)
	{
		if (peers->calls[i].done)
			return peers->now();
	}
	return peers->timer_at;
}

bool
ha_peers_send(HaPeers *peers, HaPeerRequest *request)
{
	SignalState saved;
	Call	   *call = NULL;
	bool		sent = false;

	for (int i = 0; i < MAX_REQUESTS && call == NULL; i++)
	{
		if (!peers->calls[i].used)
			call = &peers->calls[i];
	}
	if (call == NULL)
		free(request->body);
	else
	{
		memset(call, 0, sizeof(*call));
		call->used = true;
		call->body = request->body;
		call->is_get = request->get;
		call->answer.tag = request->tag;
		enter_curl(&saved);
		sent = launch(peers, call, request);
		if (!sent)
		{
			end_call(peers, call);
			call->used = false;
		}
		leave_curl(&saved);
	}
	request->body = NULL;
	return sent;
}

void
ha_peers_poll(HaPeers *peers)
{
	SignalState saved;
	CURLMsg    *message;
	int			running;

	enter_curl(&saved);
	serve_curl_sockets(peers->multi, peers->epoll_fd);
	if (peers->timer_at != 0 && peers->now() >= peers->timer_at)
	{
		peers->timer_at = 0;	/* curl sets it anew if it wants more */
		curl_multi_socket_action(peers->multi, CURL_SOCKET_TIMEOUT, 0,
								 &running);
	}
	while ((message = curl_multi_info_read(peers->multi, &running)) != NULL)
	{
		CURLcode	rc = message->data.result;
		Call	   *call = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
						  (char **) &call);
		if (message->msg == CURLMSG_DONE && call != NULL)
			finish_call(peers, call, rc);
	}
	leave_curl(&saved);
}

bool
ha_peers_next(HaPeers *peers, HaPeerAnswer *answer)
{
	for (int i = 0; i < MAX_REQUESTS; i++)
	{
		Call	   *call = &peers->calls[i];

		if (!call->used || !call->done)
			continue;
		*answer = call->answer;
		memset(call, 0, sizeof(*call));
		return true;
	}
	return false;
}
