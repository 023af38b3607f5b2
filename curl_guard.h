/*-------------------------------------------------------------------------
 *
 * curl_guard.h
 *	  What every call into libcurl needs around it, in whichever process.
 *
 * curl starts a thread for each name it resolves, which inherits the signal
 * mask: it must never run the server's signal handlers.  And OpenSSL writes to
 * sockets without MSG_NOSIGNAL.  Both are why every entry point that calls
 * into curl blocks all signals first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_CURL_GUARD_H
#define HA_CURL_GUARD_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

/*
 * A connection whose other end acknowledges nothing for that long is given up.
 */
#define HA_DEAD_PEER_MS		10000

/* Local to each entry point: a saved mask in a static would not nest. */
typedef struct SignalState
{
	sigset_t	mask;
	bool		sigpipe_was_pending;
} SignalState;

static inline bool
sigpipe_is_pending(void)
{
	sigset_t	pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static inline void
enter_curl(SignalState *saved)
{
	sigset_t	block;

	sigfillset(&block);
	/* Blocking what a crash raises would only hide where it happened. */
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGILL);
	sigdelset(&block, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &block, &saved->mask);
	saved->sigpipe_was_pending = sigpipe_is_pending();
}

static inline void
leave_curl(const SignalState *saved)
{
	/* A SIGPIPE that OpenSSL raised must not reach anybody's handler. */
	if (!saved->sigpipe_was_pending && sigpipe_is_pending())
	{
		const struct timespec no_wait = {0, 0};
		sigset_t	sigpipe;

		sigemptyset(&sigpipe);
		sigaddset(&sigpipe, SIGPIPE);
		sigtimedwait(&sigpipe, NULL, &no_wait);
	}
	pthread_sigmask(SIG_SETMASK, &saved->mask, NULL);
}

/* Set one option of "easy", unless an earlier one has failed: "rc". */
#define SET(option, value) \
	do { \
		if (rc == CURLE_OK) \
			rc = curl_easy_setopt(easy, option, value); \
	} while (0)

/*
 * What reaches etcd, and how sure we are that it is the right one.  Files; NULL = none.
 */
static inline CURLcode
secure_etcd(CURL *easy, const char *cacert, const char *cert, const char *key)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (cacert != NULL)
	{
		/* The system's directory of CAs would be believed besides ours. */
		SET(CURLOPT_CAINFO, cacert);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (cert != NULL)
	{
		SET(CURLOPT_SSLCERT, cert);
		SET(CURLOPT_SSLKEY, key);
	}
	return rc;
}

/* Let an epoll descriptor watch what curl wants to have watched. */
static inline int
watch_curl_socket(int epoll_fd, curl_socket_t fd, int what)
{
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (what == CURL_POLL_REMOVE)
	{
		/* It may be gone already, with the socket. */
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Tell curl what has happened to its sockets.  Never blocks. */
static inline void
serve_curl_sockets(CURLM *multi, int epoll_fd)
{
	struct epoll_event events[64];
	int			nevents = epoll_wait(epoll_fd, events, 64, 0);
	int			running;

	for (int i = 0; i < nevents; i++)
	{
		int			what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(multi, events[i].data.fd, what, &running);
	}
}

/*
 * Sockets must not leak into programs that the process starts, and must not
 * hang for the kernel's quarter of an hour on a peer that has vanished.
 */
static inline curl_socket_t
open_curl_socket(void *unused, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	int			fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
							address->protocol);
	int			dead_peer_ms = HA_DEAD_PEER_MS;

	if (fd < 0)
		return CURL_SOCKET_BAD;
	/* Without it the connection still works; it is only noticed later. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_peer_ms,
			   sizeof(dead_peer_ms));
	return fd;
}

#endif							/* HA_CURL_GUARD_H */
