/*-------------------------------------------------------------------------
 *
 * dcs_test.c
 *	  dcs_etcd.c against a real etcd, and against servers that lie.
 *
 *	dcs_test								only servers that lie
 *	dcs_test http://127.0.0.1:2379 [noauth]
 *	dcs_test tls https://localhost:2379 DIR
 *
 * The etcd must be one made for the test: its history is compacted, and
 * authentication is switched on and off again, unless "noauth" is given.  The
 * servers that lie are children of this program, each with a script of what it
 * sends for its first, second, ... request.  Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../dcs_etcd.h"

static int	ntests;
static int	nfailed;
static const char *etcd;		/* the real one */

__attribute__((format(printf, 3, 4)))
static void
check(bool ok, int line, const char *format,...)
{
	va_list		args;

	ntests++;
	if (!ok)
		nfailed++;
	printf("%sok %d - ", ok ? "" : "not ", ntests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("%s\n", ok ? "" : " # FAILED");
	if (!ok)
		printf("# at line %d\n", line);
	fflush(stdout);
}

#define OK(condition, ...) check((condition), __LINE__, __VA_ARGS__)

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*-------------------------------------------------------------------------
 * Asking
 *-------------------------------------------------------------------------
 */

static HaDcsOptions
options_for(const char *endpoints)
{
	static char scope[64];
	HaDcsOptions options = {
		.endpoints = endpoints,.name_space = "/service/",.scope = scope,
		.cacert = "",.cert = "",.key = "",.user = "",.password_file = "",
		.now = now,
	};

	snprintf(scope, sizeof(scope), "test%d", (int) getpid());
	return options;
}

static HaDcs *
open_dcs(const char *endpoints)
{
	HaDcsOptions options = options_for(endpoints);
	char		err[HA_ERROR_SIZE];
	HaDcs	   *dcs = ha_dcs_open(&options, err, sizeof(err));

	if (dcs == NULL)
	{
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return dcs;
}

/* The next answer within so many ms, or false. */
static bool
wait_answer(HaDcs *dcs, HaAnswer *answer, int64_t ms)
{
	int64_t		end = now() + ms;

	memset(answer, 0, sizeof(*answer));
	for (;;)
	{
		struct pollfd pfd = {.fd = ha_dcs_fd(dcs),.events = POLLIN};
		int64_t		wake_at;
		int64_t		wait;

		ha_dcs_poll(dcs);
		if (ha_dcs_next(dcs, answer))
			return true;
		if (now() >= end)
			return false;
		wake_at = ha_dcs_wake_at(dcs);
		wait = (wake_at != 0 && wake_at < end ? wake_at : end) - now();
		poll(&pfd, 1, wait < 0 ? 0 : (int) wait);
	}
}

/* Send a request and take its answer; the status is -1 if there is none. */
static int
ask(HaDcs *dcs, HaRequest *request, HaAnswer *answer)
{
	static uint32_t tag = 1000;

	request->tag = ++tag;
	if (request->timeout == 0)
		request->timeout = 3000;
	if (!ha_dcs_send(dcs, request) || !wait_answer(dcs, answer, 8000))
	{
		memset(answer, 0, sizeof(*answer));
		return -1;
	}
	if (answer->tag != tag || answer->kind != request->kind)
		return -1;
	if ((answer->status == HA_DCS_OK) != (answer->error[0] == '\0'))
		return -1;
	return (int) answer->status;
}

static int
ask_simple(HaDcs *dcs, HaDcsKind kind, int64_t number, HaAnswer *answer)
{
	HaRequest	request = {.kind = kind};

	if (kind == HA_DCS_GRANT)
		request.ttl = number;
	else
		request.lease = number;
	return ask(dcs, &request, answer);
}

/* Put or delete (value NULL) one key without a guard. */
static int64_t
put(HaDcs *dcs, const char *key, const char *value, int64_t lease)
{
	HaRequest	request = {.kind = HA_DCS_TXN};
	HaAnswer	answer;
	int64_t		revision = 0;

	if (value != NULL)
		ha_txn_put(&request.txn, key, strdup(value), lease);
	else
		ha_txn_delete(&request.txn, key);
	if (ask(dcs, &request, &answer) == HA_DCS_OK && answer.succeeded)
		revision = answer.revision;
	ha_dcs_answer_free(&answer);
	return revision;
}

static const HaKv *
find(const HaAnswer *answer, const char *key)
{
	for (int i = 0; i < answer->nkvs; i++)
	{
		if (strcmp(answer->kvs[i].key, key) == 0)
			return &answer->kvs[i];
	}
	return NULL;
}

static size_t
discard(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

/* What an administrator does to the etcd.  Returns the HTTP status. */
static long
admin(const char *path, const char *body, const char *token)
{
	CURL	   *easy = curl_easy_init();
	struct curl_slist *headers = NULL;
	char		text[256];
	long		status = 0;

	snprintf(text, sizeof(text), "%s%s", etcd, path);
	curl_easy_setopt(easy, CURLOPT_URL, text);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
	if (token != NULL)
	{
		snprintf(text, sizeof(text), "Authorization: %s", token);
		headers = curl_slist_append(NULL, text);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	}
	curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return status;
}

/*-------------------------------------------------------------------------
 * A real etcd
 *-------------------------------------------------------------------------
 */

static void
test_leases(void)
{
	HaDcs	   *dcs = open_dcs(etcd);
	HaAnswer	answer;
	int64_t		lease;
	int64_t		before = now();

	OK(ask_simple(dcs, HA_DCS_GRANT, 4001, &answer) == HA_DCS_OK, "grant");
	OK(answer.ttl == 5000, "ttl is rounded up to seconds");
	OK(answer.lease != 0 && answer.cluster_id != 0 && answer.raft_term > 0,
	   "grant tells lease, cluster and term");
	OK(answer.sent_at >= before && answer.sent_at <= now(), "sent_at");
	lease = answer.lease;

	OK(ask_simple(dcs, HA_DCS_KEEPALIVE, lease, &answer) == HA_DCS_OK &&
	   answer.ttl == 5000 && answer.lease == lease, "keepalive");
	OK(ask_simple(dcs, HA_DCS_REVOKE, lease, &answer) == HA_DCS_OK, "revoke");
	OK(ask_simple(dcs, HA_DCS_KEEPALIVE, lease, &answer) == HA_DCS_OK &&
	   answer.ttl == 0, "keepalive of a dead lease: ttl 0");
	OK(ask_simple(dcs, HA_DCS_REVOKE, lease, &answer) == HA_DCS_REFUSED,
	   "revoke of a dead lease is refused: %s", answer.error);
	OK(put(dcs, "leader", "n1", lease) == 0, "put under a dead lease");
	OK(strstr(ha_dcs_trouble(dcs), "lease not found") != NULL,
	   "trouble tells why: %s", ha_dcs_trouble(dcs));
	ha_dcs_close(dcs);
}

static void
test_txn(void)
{
	HaDcs	   *dcs = open_dcs(etcd);
	HaRequest	request = {.kind = HA_DCS_TXN};
	HaAnswer	answer;
	const HaKv *kv;
	int64_t		lease;

	ask_simple(dcs, HA_DCS_GRANT, 10000, &answer);
	lease = answer.lease;

	ha_txn_compare(&request.txn, HA_CREATE_REVISION, "leader", 0);
	ha_txn_put(&request.txn, "leader", strdup("n1"), lease);
	ha_txn_put(&request.txn, "pg_ha/term", strdup("{}"), 0);
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && answer.succeeded,
	   "txn: success branch");
	ha_dcs_answer_free(&answer);

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	ha_txn_compare(&request.txn, HA_CREATE_REVISION, "leader", 0);
	ha_txn_put(&request.txn, "leader", strdup("n2"), 0);
	ha_txn_else_get(&request.txn, "leader");
	ha_txn_else_get(&request.txn, "none");
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && !answer.succeeded,
	   "txn: failure branch");
	kv = find(&answer, "leader");
	OK(answer.nkvs == 1 && kv != NULL && strcmp(kv->value, "n1") == 0 &&
	   kv->lease == lease && kv->create_revision == kv->mod_revision,
	   "txn: get in the failure branch");
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	if (kv != NULL)
		ha_txn_compare(&request.txn, HA_MOD_REVISION, "leader",
					   kv->mod_revision);
	ha_txn_compare(&request.txn, HA_LEASE, "leader", lease);
	ha_txn_compare_value(&request.txn, "leader", "n1");
	ha_txn_delete(&request.txn, "leader");
	ha_dcs_answer_free(&answer);
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && answer.succeeded,
	   "txn: all four compares");

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_RANGE;
	put(dcs, "config", "{\"ttl\":10}", 0);
	put(dcs, "members/n1", "", 0);
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && answer.nkvs == 3, "range");
	kv = find(&answer, "config");
	OK(kv != NULL && strcmp(kv->value, "{\"ttl\":10}") == 0 &&
	   kv->length == 10, "range: a value");
	kv = find(&answer, "members/n1");
	OK(kv != NULL && kv->value != NULL && kv->length == 0,
	   "range: an empty value");
	ha_dcs_answer_free(&answer);
	ha_dcs_close(dcs);
}

/* All keys at once, if none was written meanwhile; those of others stay. */
static void
test_delete_all(void)
{
	HaDcsOptions options = options_for(etcd);
	HaDcs	   *dcs = open_dcs(etcd);
	char		longer[80];
	char		err[HA_ERROR_SIZE];
	HaDcs	   *neighbour;
	HaRequest	request = {.kind = HA_DCS_RANGE};
	HaAnswer	answer;
	int64_t		revision;

	snprintf(longer, sizeof(longer), "%s2", options.scope);
	options.scope = longer;
	neighbour = ha_dcs_open(&options, err, sizeof(err));
	OK(neighbour != NULL && put(neighbour, "leader", "n1", 0) > 0,
	   "a cluster whose name begins with ours");
	revision = put(dcs, "members/n2", "{}", 0);
	put(neighbour, "members/n1", "{}", 0);

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	ha_txn_delete_all(&request.txn, revision - 1);
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && !answer.succeeded,
	   "delete all: a key was written since");
	ha_dcs_answer_free(&answer);

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	ha_txn_delete_all(&request.txn, revision);
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && answer.succeeded,
	   "delete all: none was, but one of the neighbour's");
	ha_dcs_answer_free(&answer);

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_RANGE;
	OK(ask(dcs, &request, &answer) == HA_DCS_OK && answer.nkvs == 0,
	   "delete all: none is left");
	ha_dcs_answer_free(&answer);
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_RANGE;
	OK(ask(neighbour, &request, &answer) == HA_DCS_OK && answer.nkvs == 2,
	   "delete all: the neighbour has its own");
	ha_dcs_answer_free(&answer);
	ha_dcs_close(neighbour);
	ha_dcs_close(dcs);
}

static void
test_builders(void)
{
	HaDcs	   *dcs = open_dcs(etcd);
	HaTxn	   *txn;
	char		name[HA_KEY_SIZE + 1];

	HaRequest	request = {.kind = HA_DCS_TXN};

	txn = &request.txn;
	for (int i = 0; i < HA_MAX_COMPARES; i++)
		ha_txn_compare(txn, HA_LEASE, "leader", 1);
	OK(!ha_txn_overflowed(txn), "a full txn is no overflow");
	ha_txn_compare(txn, HA_LEASE, "leader", 1);
	ha_txn_compare(txn, HA_LEASE, "leader", 1);
	OK(ha_txn_overflowed(txn), "one compare too many");
	ha_txn_put(txn, "a", strdup("b"), 0);
	OK(!ha_dcs_send(dcs, &request), "an overflowed txn is not sent");

	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	for (int i = 0; i <= HA_MAX_OPS; i++)
		ha_txn_put(txn, "a", strdup("b"), 0);
	OK(ha_txn_overflowed(txn), "one op too many");
	ha_dcs_request_free(&request);

	memset(&request, 0, sizeof(request));
	ha_txn_put(txn, "a", NULL, 0);
	OK(ha_txn_overflowed(txn), "a failed allocation");
	ha_dcs_request_free(&request);

	memset(name, 'x', sizeof(name));
	name[HA_KEY_SIZE] = '\0';
	memset(&request, 0, sizeof(request));
	ha_txn_delete(txn, name);
	OK(ha_txn_overflowed(txn), "a key that is too long");
	memset(&request, 0, sizeof(request));
	ha_txn_compare_value(txn, "a", name);
	OK(ha_txn_overflowed(txn), "a compared value that is too long");
	ha_dcs_close(dcs);
}

static void
test_watch(void)
{
	HaDcs	   *dcs = open_dcs(etcd);
	HaDcs	   *writer = open_dcs(etcd);
	HaRequest	request = {.kind = HA_DCS_WATCH,.tag = 1};
	HaAnswer	answer;
	int64_t		first = put(writer, "w/a", "1", 0);
	int64_t		last;
	char		body[64];
	bool		other = false;
	bool		ok = true;

	request.start_revision = first;
	OK(ha_dcs_send(dcs, &request), "watch everything");
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_WATCH;
	request.tag = 2;
	strcpy(request.key, "w/b");
	OK(ha_dcs_send(dcs, &request), "watch a prefix");

	OK(wait_answer(dcs, &answer, 3000) && answer.status == HA_DCS_OK &&
	   answer.tag == 1 && answer.nkvs == 1 &&
	   strcmp(answer.kvs[0].key, "w/a") == 0 &&
	   strcmp(answer.kvs[0].value, "1") == 0 && !answer.kvs[0].deleted,
	   "watch: an event of the past, no answer for its creation");
	ha_dcs_answer_free(&answer);
	OK(!wait_answer(dcs, &answer, 200), "watch: then nothing");

	last = put(writer, "w/a", NULL, 0);
	OK(wait_answer(dcs, &answer, 3000) && answer.nkvs == 1 &&
	   answer.kvs[0].deleted && answer.kvs[0].value == NULL &&
	   answer.kvs[0].mod_revision == last && answer.revision >= last,
	   "watch: a delete");
	ha_dcs_answer_free(&answer);

	put(writer, "w/bb", "2", 0);
	for (int i = 0; i < 2; i++)
	{
		ok = ok && wait_answer(dcs, &answer, 3000) && answer.nkvs == 1;
		other = other || answer.tag == 2;
		ha_dcs_answer_free(&answer);
	}
	OK(ok && other, "watch: both watches see a key with their prefix");

	ha_dcs_cancel(dcs, 1);
	put(writer, "w/a", "3", 0);
	OK(!wait_answer(dcs, &answer, 300), "watch: cancelled, nothing more");

	snprintf(body, sizeof(body), "{\"revision\":\"%" PRId64 "\"}", last);
	OK(admin("/v3/kv/compaction", body, NULL) == 200, "compaction");
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_WATCH;
	request.tag = 3;
	request.start_revision = first;
	ha_dcs_send(dcs, &request);
	OK(wait_answer(dcs, &answer, 3000) && answer.tag == 3 &&
	   answer.status == HA_DCS_UNKNOWN && answer.compacted,
	   "watch: compacted: %s", answer.error);
	OK(!wait_answer(dcs, &answer, 100), "watch: that was its last answer");
	ha_dcs_close(writer);
	ha_dcs_close(dcs);
}

static void
test_limits(void)
{
	HaDcs	   *dcs = open_dcs(etcd);
	HaAnswer	answer;
	HaRequest	request;
	char	   *huge = calloc(1, HA_MAX_VALUE + 1);
	int			sent = 0;
	int			answers = 0;

	memset(huge, 'x', HA_MAX_VALUE);
	OK(put(dcs, "huge", huge, 0) != 0, "the longest value can be put");
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_RANGE;
	OK(ask(dcs, &request, &answer) == HA_DCS_OK &&
	   find(&answer, "huge") != NULL &&
	   find(&answer, "huge")->length == HA_MAX_VALUE, "and read");
	ha_dcs_answer_free(&answer);
	put(dcs, "huge", NULL, 0);
	free(huge);

	for (int i = 0; i < 100; i++)
	{
		memset(&request, 0, sizeof(request));
		request.kind = HA_DCS_RANGE;
		request.timeout = 5000;
		sent += ha_dcs_send(dcs, &request);
	}
	OK(sent == 64, "64 requests in flight, no more");
	while (answers < sent && wait_answer(dcs, &answer, 5000))
	{
		answers += answer.status == HA_DCS_OK;
		ha_dcs_answer_free(&answer);
	}
	OK(answers == sent, "each of them is answered (%d)", answers);
	ha_dcs_close(dcs);
}

static void
test_rotation(void)
{
	char		endpoints[256];
	HaDcs	   *dcs;
	HaAnswer	answer;

	snprintf(endpoints, sizeof(endpoints), "http://127.0.0.1:1, %s/", etcd);
	dcs = open_dcs(endpoints);
	OK(strcmp(ha_dcs_endpoint(dcs), "http://127.0.0.1:1") == 0,
	   "the first endpoint is tried first");
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "a dead endpoint: %s", answer.error);
	OK(strcmp(ha_dcs_endpoint(dcs), etcd) == 0, "then the other one");
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_OK, "which works");
	ha_dcs_answer_free(&answer);
	OK(ha_dcs_trouble(dcs)[0] == '\0', "and the trouble is over");
	ha_dcs_close(dcs);
}

static bool
opens(HaDcsOptions options, const char *expected)
{
	char		err[HA_ERROR_SIZE] = "";
	HaDcs	   *dcs = ha_dcs_open(&options, err, sizeof(err));
	bool		opened = dcs != NULL;

	ha_dcs_close(dcs);
	if (expected != NULL && strstr(err, expected) == NULL)
		printf("# \"%s\" instead of \"%s\"\n", err, expected);
	return expected == NULL ? opened : !opened && strstr(err, expected) != NULL;
}

static void
test_options(void)
{
	static const char *const wrong[] = {
		"127.0.0.1:2379", "ftp://h:1", "http://", "http://u:p@h:1",
		"http://h:0", "http://h:65536", "http://h:1/path", "http://h:1?x",
		"http://[::1", "http://[zz]:1", "http://h:", "http://a b:1",
	};
	HaDcsOptions options;
	char		file[] = "/tmp/dcs_test_XXXXXX";
	int			fd = mkstemp(file);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		OK(opens(options_for(wrong[i]), "is not of the form"),
		   "endpoint is refused: %s", wrong[i]);
	OK(opens(options_for("http://[::1]:2379 https://h"), NULL),
	   "IPv6 and default port");
	OK(opens(options_for(" , "), "no etcd endpoint"), "no endpoint");

	options = options_for(etcd);
	options.scope = "a/b";
	OK(opens(options, "scope"), "a scope with a slash");
	options = options_for(etcd);
	options.cert = file;
	OK(opens(options, "together"), "a certificate without its key");
	options = options_for(etcd);
	options.cacert = "/nonexistent";
	OK(opens(options, "could not read file"), "no such CA file");

	options = options_for(etcd);
	options.user = "u";
	OK(opens(options, "no password file"), "a user without a password");
	options.password_file = file;
	OK(opens(options, "does not hold a password"), "an empty password file");
	if (write(fd, "secret\n", 7) == 7)
		OK(opens(options, NULL), "a good password file");
	fchmod(fd, 0640);
	OK(opens(options, "0600"), "one that others may read");
	options.password_file = "/tmp";
	OK(opens(options, "not a regular file"), "a directory");
	unlink(file);
	mkfifo(file, 0600);
	options.password_file = file;
	OK(opens(options, "not a regular file"), "a named pipe does not block");
	unlink(file);
	close(fd);
}

static HaDcs *
open_as(const char *user, const char *password, const char *file)
{
	HaDcsOptions options = options_for(etcd);
	char		err[HA_ERROR_SIZE];
	FILE	   *f = fopen(file, "w");

	fchmod(fileno(f), 0600);
	fprintf(f, "%s\n", password);
	fclose(f);
	options.user = user;
	options.password_file = file;
	return ha_dcs_open(&options, err, sizeof(err));
}

/* A token for admin(). */
static void
get_token(const char *password, char *token, size_t size)
{
	char		body[128];
	char		reply[4096] = "";
	FILE	   *out = fmemopen(reply, sizeof(reply) - 1, "w");
	CURL	   *easy = curl_easy_init();
	char		url[256];
	HaAnswer	answer = {0};

	snprintf(url, sizeof(url), "%s/v3/auth/authenticate", etcd);
	snprintf(body, sizeof(body), "{\"name\":\"root\",\"password\":\"%s\"}",
			 password);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
	curl_easy_perform(easy);
	curl_easy_cleanup(easy);
	fclose(out);
	ha_etcd_parse_token(200, reply, strlen(reply), token, size, &answer);
}

/* root with password "r", and "u" with password "one" who may do all. */
static void
make_users(void)
{
	admin("/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"r\"}", NULL);
	admin("/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}", NULL);
	admin("/v3/auth/user/add", "{\"name\":\"u\",\"password\":\"one\"}", NULL);
	admin("/v3/auth/role/add", "{\"name\":\"r\"}", NULL);
	admin("/v3/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"permType\":2,"
		  "\"key\":\"Lw==\",\"range_end\":\"MA==\"}}", NULL);
	admin("/v3/auth/user/grant", "{\"user\":\"u\",\"role\":\"r\"}", NULL);
}

static void
test_auth(void)
{
	static const char file[] = "/tmp/dcs_test_password";
	static char token[HA_ETCD_TOKEN_SIZE];
	HaDcs	   *early = open_as("u", "one", file);
	HaDcs	   *nobody = open_dcs(etcd);
	HaDcs	   *wrong;
	HaDcs	   *changed;
	HaRequest	request = {.kind = HA_DCS_RANGE,.timeout = 3000};
	HaAnswer	answer;
	int			good = 0;

	OK(ask_simple(early, HA_DCS_RANGE, 0, &answer) == HA_DCS_OK,
	   "a user, while authentication is off in etcd");
	ha_dcs_answer_free(&answer);

	make_users();
	OK(admin("/v3/auth/enable", "{}", NULL) == 200, "authentication is on");

	OK(ask_simple(nobody, HA_DCS_RANGE, 0, &answer) == HA_DCS_REFUSED,
	   "no user is refused: %s", answer.error);
	for (int i = 0; i < 10; i++)
	{
		request.tag = i;
		ha_dcs_send(early, &request);
	}
	for (int i = 0; i < 10 && wait_answer(early, &answer, 5000); i++)
	{
		good += answer.status == HA_DCS_OK;
		ha_dcs_answer_free(&answer);
	}
	OK(good == 10, "ten requests at once get a token (%d)", good);

	get_token("r", token, sizeof(token));
	OK(admin("/v3/auth/user/changepw",
			 "{\"name\":\"u\",\"password\":\"one\"}", token) == 200,
	   "the token is made void");
	OK(ask_simple(early, HA_DCS_RANGE, 0, &answer) == HA_DCS_OK,
	   "and replaced: %s", answer.error);
	ha_dcs_answer_free(&answer);
	admin("/v3/auth/user/changepw", "{\"name\":\"u\",\"password\":\"one\"}",
		  token);
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_WATCH;
	request.tag = 77;
	ha_dcs_send(early, &request);
	OK(!wait_answer(early, &answer, 500), "a watch replaces it too: %s",
	   answer.error);
	changed = open_as("u", "one", file);
	OK(put(changed, "x", "y", 0) != 0, "a put");
	OK(wait_answer(early, &answer, 3000) && answer.tag == 77 &&
	   answer.status == HA_DCS_OK, "the watch sees it: %s", answer.error);
	ha_dcs_answer_free(&answer);

	wrong = open_as("u", "two", file);
	OK(ask_simple(wrong, HA_DCS_RANGE, 0, &answer) == HA_DCS_REFUSED,
	   "a wrong password is refused: %s", answer.error);
	OK(strstr(answer.error, "two") == NULL, "and not told");

	OK(admin("/v3/auth/disable", "{}", token) == 200,
	   "authentication is off again");
	OK(ask_simple(early, HA_DCS_RANGE, 0, &answer) == HA_DCS_OK,
	   "which the client survives: %s", answer.error);
	ha_dcs_answer_free(&answer);
	admin("/v3/auth/user/delete", "{\"name\":\"u\"}", NULL);
	admin("/v3/auth/user/delete", "{\"name\":\"root\"}", NULL);
	admin("/v3/auth/role/delete", "{\"role\":\"r\"}", NULL);
	unlink(file);
	ha_dcs_close(early);
	ha_dcs_close(nobody);
	ha_dcs_close(wrong);
	ha_dcs_close(changed);
}

/*-------------------------------------------------------------------------
 * Servers that lie
 *-------------------------------------------------------------------------
 */

#define HANG	"hang"			/* read the request, never answer */
#define CLOSE	"close"			/* read the request, close the connection */

#define HEADER "\"header\":{\"cluster_id\":\"7\",\"member_id\":\"8\"," \
	"\"revision\":\"50\",\"raft_term\":\"3\"}"

typedef struct Liar
{
	pid_t		pid;
	char		url[64];
	int		   *nrequests;		/* shared with the child */
} Liar;

/* In the child: what it sends, the last one for ever. */
static const char *const *replies;
static int *nrequests;

/* Read one request.  False at the end of the connection. */
static bool
read_request(int fd)
{
	char		buffer[16384];
	size_t		length = 0;

	for (;;)
	{
		ssize_t		n = read(fd, buffer + length, sizeof(buffer) - 1 - length);
		char	   *end;
		char	   *header;

		if (n <= 0)
			return false;
		length += n;
		buffer[length] = '\0';
		end = strstr(buffer, "\r\n\r\n");
		header = strstr(buffer, "Content-Length: ");
		if (end != NULL && header != NULL &&
			length >= (size_t) (end + 4 - buffer) + atoi(header + 16))
			return true;
	}
}

static void
write_all(int fd, const char *data)
{
	size_t		length = strlen(data);

	while (length > 0)
	{
		ssize_t		n = send(fd, data, length, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		length -= n;
	}
}

static void *
serve_connection(void *arg)
{
	int			fd = (int) (intptr_t) arg;

	while (read_request(fd))
	{
		int			i = __atomic_fetch_add(nrequests, 1, __ATOMIC_SEQ_CST);
		const char *const *reply = replies;

		while (i-- > 0 && reply[1] != NULL)
			reply++;
		if (strcmp(*reply, HANG) == 0)
			pause();
		if (strcmp(*reply, CLOSE) == 0)
			break;
		write_all(fd, *reply);
		if (strstr(*reply, "Content-Length") == NULL)
			break;
	}
	close(fd);
	return NULL;
}

static Liar
start_liar(const char *const *script)
{
	Liar		liar;
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	length = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, length) != 0 ||
		listen(listener, 10) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &length) != 0)
		exit(1);
	snprintf(liar.url, sizeof(liar.url), "http://127.0.0.1:%d",
			 ntohs(address.sin_port));
	liar.nrequests = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
						  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	liar.pid = fork();
	if (liar.pid == 0)
	{
		replies = script;
		nrequests = liar.nrequests;
		alarm(60);				/* should the test itself die */
		for (;;)
		{
			pthread_t	thread;
			int			fd = accept(listener, NULL, NULL);

			pthread_create(&thread, NULL, serve_connection,
						   (void *) (intptr_t) fd);
			pthread_detach(thread);
		}
	}
	close(listener);
	return liar;
}

static void
stop_liar(Liar *liar)
{
	kill(liar->pid, SIGKILL);
	waitpid(liar->pid, NULL, 0);
	munmap(liar->nrequests, sizeof(int));
}

/* Memory that lives as long as the test. */
static void *kept[256];
static int	nkept;

static void
free_kept(void)
{
	while (nkept > 0)
		free(kept[--nkept]);
}

static char *
keep(size_t size)
{
	if (nkept == 256)
		abort();
	if (nkept == 0)
		atexit(free_kept);
	kept[nkept] = malloc(size);
	return kept[nkept++];
}

/* A whole HTTP answer. */
static const char *
http(const char *status, const char *body)
{
	size_t		size = strlen(body) + 256;
	char	   *text = keep(size);

	snprintf(text, size, "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s", status, strlen(body), body);
	return text;
}

static const char *
repeat(const char *start, const char *unit, int n, const char *end)
{
	char	   *text = keep(strlen(start) + n * strlen(unit) +
							strlen(end) + 1);
	char	   *p = stpcpy(text, start);

	while (n-- > 0)
		p = stpcpy(p, unit);
	stpcpy(p, end);
	return text;
}

/* What a client makes of one lie. */
static int
lie(HaDcsKind kind, const char *reply, HaAnswer *answer)
{
	const char *script[] = {reply, NULL};
	Liar		liar = start_liar(script);
	HaDcs	   *dcs = open_dcs(liar.url);
	HaRequest	request = {.kind = kind,.ttl = 5000,.lease = 99};
	int			status;

	request.timeout = 2000;
	status = ask(dcs, &request, answer);
	ha_dcs_close(dcs);
	stop_liar(&liar);
	return status;
}

typedef struct Lie
{
	const char *name;
	HaDcsKind	kind;
	const char *body;
	int			status;
	int64_t		ttl;
} Lie;

static const Lie lies[] = {
	{"keepalive without TTL", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":\"99\"}}", HA_DCS_OK, 0},
	{"keepalive with TTL 0", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":\"99\",\"TTL\":\"0\"}}", HA_DCS_OK, 0},
	{"keepalive with negative TTL", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":\"99\",\"TTL\":\"-1\"}}", HA_DCS_OK, 0},
	{"keepalive with a number as TTL", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":99,\"TTL\":7}}", HA_DCS_OK, 7000},
	{"keepalive with a huge TTL", HA_DCS_KEEPALIVE,
		"{\"result\":{" HEADER ",\"ID\":\"99\",\"TTL\":\"9223372036854775807\"}}",
	HA_DCS_UNKNOWN, 0},
	{"keepalive with a TTL beyond 64 bits", HA_DCS_KEEPALIVE,
		"{\"result\":{" HEADER ",\"ID\":\"99\",\"TTL\":\"99999999999999999999\"}}",
	HA_DCS_UNKNOWN, 0},
	{"keepalive of another lease", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":\"98\",\"TTL\":\"7\"}}", HA_DCS_UNKNOWN, 0},
	{"keepalive with null as TTL", HA_DCS_KEEPALIVE,
	"{\"result\":{" HEADER ",\"ID\":\"99\",\"TTL\":null}}", HA_DCS_UNKNOWN, 0},
	{"keepalive without header", HA_DCS_KEEPALIVE,
	"{\"result\":{\"ID\":\"99\",\"TTL\":\"7\"}}", HA_DCS_UNKNOWN, 0},
	{"grant without TTL", HA_DCS_GRANT,
	"{" HEADER ",\"ID\":\"99\"}", HA_DCS_UNKNOWN, 0},
	{"grant without ID", HA_DCS_GRANT,
	"{" HEADER ",\"TTL\":\"9\"}", HA_DCS_UNKNOWN, 0},
	{"grant with error", HA_DCS_GRANT,
		"{" HEADER ",\"ID\":\"9\",\"TTL\":\"9\",\"error\":\"x\"}",
	HA_DCS_UNKNOWN, 0},
	{"truncated JSON", HA_DCS_TXN, "{" HEADER ",\"succeeded\":tr",
	HA_DCS_UNKNOWN, 0},
	{"an array", HA_DCS_TXN, "[]", HA_DCS_UNKNOWN, 0},
	{"an empty object", HA_DCS_TXN, "{}", HA_DCS_UNKNOWN, 0},
	{"an empty body", HA_DCS_TXN, "", HA_DCS_UNKNOWN, 0},
	{"succeeded is a string", HA_DCS_TXN,
	"{" HEADER ",\"succeeded\":\"true\"}", HA_DCS_UNKNOWN, 0},
	{"a duplicate key", HA_DCS_TXN,
	"{" HEADER ",\"succeeded\":true,\"succeeded\":false}", HA_DCS_UNKNOWN, 0},
	{"a good txn", HA_DCS_TXN, "{" HEADER ",\"succeeded\":true}", HA_DCS_OK, 0},
	{"an error in a txn with status 200", HA_DCS_TXN,
	"{\"error\":\"x\",\"code\":5,\"message\":\"x\"}", HA_DCS_UNKNOWN, 0},
	{"a key of somebody else", HA_DCS_RANGE,
		"{" HEADER ",\"kvs\":[{\"key\":\"L3g=\",\"mod_revision\":\"1\"}],"
	"\"count\":\"1\"}", HA_DCS_UNKNOWN, 0},
	{"a part of the keys", HA_DCS_RANGE, "{" HEADER ",\"count\":\"1\"}",
	HA_DCS_UNKNOWN, 0},
	{"more keys", HA_DCS_RANGE, "{" HEADER ",\"more\":true}",
	HA_DCS_UNKNOWN, 0},
	{"kvs is no array", HA_DCS_RANGE, "{" HEADER ",\"kvs\":{}}",
	HA_DCS_UNKNOWN, 0},
	{"a negative revision", HA_DCS_RANGE,
		"{\"header\":{\"cluster_id\":\"7\",\"revision\":\"-5\"}}",
	HA_DCS_UNKNOWN, 0},
};

static void
test_lies(void)
{
	HaAnswer	answer;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
	{
		const Lie  *l = &lies[i];
		int			status = lie(l->kind, http("200 OK", l->body), &answer);

		OK(status == (int) l->status && answer.ttl == l->ttl, "%s: %s",
		   l->name, answer.error);
		ha_dcs_answer_free(&answer);
	}

	OK(lie(HA_DCS_RANGE, http("200 OK", repeat("", "[", 100000, "")),
		   &answer) == HA_DCS_UNKNOWN, "deep nesting: %s", answer.error);
	OK(lie(HA_DCS_RANGE, http("200 OK", repeat("\"", "x", 10000000, "\"")),
		   &answer) == HA_DCS_UNKNOWN, "10 MB: %s", answer.error);
	OK(lie(HA_DCS_GRANT, http("200 OK", repeat("\"", "x", 100000, "\"")),
		   &answer) == HA_DCS_UNKNOWN, "100 kB for a grant: %s", answer.error);
	OK(lie(HA_DCS_TXN, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
		   "Content-Length: 0\r\n\r\n", &answer) == HA_DCS_UNKNOWN,
	   "redirect: %s", answer.error);
	OK(lie(HA_DCS_TXN, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "zzzz\r\n{}\r\n", &answer) == HA_DCS_UNKNOWN,
	   "chunks of garbage: %s", answer.error);
	OK(lie(HA_DCS_TXN, "\001\002garbage\r\n\r\n", &answer) == HA_DCS_UNKNOWN,
	   "no HTTP at all: %s", answer.error);
	OK(lie(HA_DCS_TXN, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
		   &answer) == HA_DCS_UNKNOWN, "half a body: %s", answer.error);
	OK(lie(HA_DCS_TXN, CLOSE, &answer) == HA_DCS_UNKNOWN,
	   "a closed connection: %s", answer.error);
	OK(lie(HA_DCS_WATCH, http("200 OK", "{}\n"), &answer) == HA_DCS_UNKNOWN,
	   "a watch of garbage: %s", answer.error);
	OK(lie(HA_DCS_WATCH, http("200 OK", repeat("", "x", 2000000, "")),
		   &answer) == HA_DCS_UNKNOWN, "a watch without newline: %s",
	   answer.error);
	OK(lie(HA_DCS_WATCH, http("200 OK", "{\"result\":{" HEADER
							  ",\"created\":true}}\n"), &answer) ==
	   HA_DCS_UNKNOWN, "a watch that ends: %s", answer.error);
}

static void
test_errors(void)
{
	HaAnswer	answer;

	OK(lie(HA_DCS_TXN, http("404 Not Found", "{\"error\":\"lease not found\","
							"\"code\":5,\"message\":\"lease not found\"}"),
		   &answer) == HA_DCS_REFUSED && !answer.nospace, "code 5: %s",
	   answer.error);
	OK(lie(HA_DCS_TXN, http("503 Service Unavailable", "{\"error\":\"etcdserver: "
							"mvcc: database space exceeded\",\"code\":8}"),
		   &answer) == HA_DCS_REFUSED && answer.nospace, "no space: %s",
	   answer.error);
	OK(lie(HA_DCS_TXN, http("429 Too Many", "{\"error\":\"etcdserver: too many "
							"requests\",\"code\":8}"), &answer) ==
	   HA_DCS_REFUSED && !answer.nospace, "too many requests: %s",
	   answer.error);
	OK(lie(HA_DCS_TXN, http("503 Service Unavailable", "{\"error\":"
							"\"etcdserver: no leader\",\"code\":14}"),
		   &answer) == HA_DCS_UNKNOWN, "code 14: %s", answer.error);
	OK(lie(HA_DCS_TXN, http("504 Gateway Timeout", "{\"error\":\"context "
							"deadline exceeded\",\"code\":4}"), &answer) ==
	   HA_DCS_UNKNOWN, "code 4: %s", answer.error);
	OK(lie(HA_DCS_TXN, http("500 Internal", "{\"error\":\"lease: not a primary "
							"lessor\",\"code\":2}"), &answer) ==
	   HA_DCS_UNKNOWN, "code 2: %s", answer.error);
	OK(lie(HA_DCS_TXN, http("502 Bad Gateway", "<html>"), &answer) ==
	   HA_DCS_UNKNOWN, "a proxy: %s", answer.error);
	OK(lie(HA_DCS_TXN, http("404 Not Found", "{\"error\":\"a\\nb\\u001b[1m\","
							"\"code\":5}"), &answer) == HA_DCS_REFUSED &&
	   strstr(answer.error, "a?b?[1m") != NULL, "message is made printable");
	OK(lie(HA_DCS_KEEPALIVE, http("200 OK", "{\"error\":{\"grpc_code\":14,"
								  "\"http_code\":503,\"message\":\"x\"}}"),
		   &answer) == HA_DCS_UNKNOWN, "error in a stream: %s", answer.error);
	OK(lie(HA_DCS_WATCH, http("200 OK", "{\"result\":{" HEADER
							  ",\"canceled\":true,\"compact_revision\":\"9\"}}"
							  "\n"), &answer) == HA_DCS_UNKNOWN &&
	   answer.compacted, "compacted: %s", answer.error);
}

static void
test_silence(void)
{
	const char *hang[] = {HANG, NULL};
	const char *late[] = {http("200 OK", "{" HEADER ",\"succeeded\":true}"),
	HANG, NULL};
	const char *other[] = {http("200 OK", "{\"header\":{\"cluster_id\":\"8\"}}"),
	NULL};
	Liar		liar = start_liar(hang);
	Liar		liar2 = start_liar(late);
	Liar		liar3 = start_liar(other);
	char		endpoints[256];
	HaDcs	   *dcs = open_dcs(liar.url);
	HaRequest	request = {.kind = HA_DCS_TXN,.timeout = 300};
	HaAnswer	answer;
	int64_t		before = now();

	OK(ask(dcs, &request, &answer) == HA_DCS_UNKNOWN && now() - before < 1000,
	   "silence: %s after %d ms", answer.error, (int) (now() - before));
	OK(now() - before >= 300 && answer.sent_at - before < 100,
	   "and not before its time");
	ha_dcs_close(dcs);

	/* A watch at an endpoint that then falls silent. */
	snprintf(endpoints, sizeof(endpoints), "%s %s", liar2.url, liar3.url);
	dcs = open_dcs(endpoints);
	OK(put(dcs, "a", "b", 0) == 50, "it has worked once");
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_WATCH;
	request.tag = 5;
	ha_dcs_send(dcs, &request);
	memset(&request, 0, sizeof(request));
	request.kind = HA_DCS_TXN;
	request.tag = 6;
	request.timeout = 300;
	ha_dcs_send(dcs, &request);
	OK(wait_answer(dcs, &answer, 2000) && answer.tag == 6 &&
	   answer.status == HA_DCS_UNKNOWN, "a txn fails: %s", answer.error);
	OK(wait_answer(dcs, &answer, 2000) && answer.tag == 5 &&
	   answer.status == HA_DCS_UNKNOWN, "so does the watch: %s", answer.error);
	OK(strcmp(ha_dcs_endpoint(dcs), liar3.url) == 0,
	   "the other endpoint is next");
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN &&
	   strstr(answer.error, "cluster id changed") != NULL,
	   "which is another cluster: %s", answer.error);
	ha_dcs_close(dcs);
	stop_liar(&liar);
	stop_liar(&liar2);
	stop_liar(&liar3);
}

static int
probe(HaDcs *dcs, HaDcsKind kind, int endpoint, HaAnswer *answer)
{
	HaRequest	request = {.kind = kind,.endpoint = endpoint,.timeout = 300};

	return ask(dcs, &request, answer);
}

/* Asking how endpoints are tells about them, and has no effect on anything else. */
static void
test_probes(void)
{
	const char *good[] = {
		http("200 OK", "{" HEADER ",\"leader\":\"8\",\"version\":\"3.5.1\"}"),
		http("200 OK", "{" HEADER ",\"members\":[{\"ID\":\"8\",\"name\":\"e\\u0001\"},"
			 "{\"ID\":\"9\",\"isLearner\":true}]}"),
		http("200 OK", "{" HEADER ",\"version\":\"3.5.1\"}"),
		http("200 OK", "{" HEADER ",\"members\":[{\"ID\":\"x\"}]}"),
		http("200 OK", "{" HEADER ",\"succeeded\":true}"),
		HANG, NULL
	};
	const char *other[] = {http("200 OK", "{\"header\":{\"cluster_id\":\"6\","
								"\"raft_term\":\"999\"},\"leader\":\"5\"}"),
	NULL};
	Liar		liar = start_liar(good);
	Liar		liar2 = start_liar(other);
	char		endpoints[256];
	HaEndpoint	e[HA_MAX_ENDPOINTS];
	HaRequest	beyond = {.kind = HA_DCS_STATUS,.endpoint = 3,.tag = 1};
	HaAnswer	answer;
	HaDcs	   *dcs;

	snprintf(endpoints, sizeof(endpoints), "%s %s http://127.0.0.1:1",
			 liar.url, liar2.url);
	dcs = open_dcs(endpoints);
	OK(probe(dcs, HA_DCS_STATUS, 0, &answer) == HA_DCS_OK &&
	   answer.leader_id == 8, "a status: %s", answer.error);
	OK(probe(dcs, HA_DCS_MEMBERS, 0, &answer) == HA_DCS_OK &&
	   answer.nvoters == 2 && strcmp(answer.voters[0].name, "e?") == 0 &&
	   answer.voters[1].learner, "members: %s", answer.error);
	ha_dcs_answer_free(&answer);
	OK(ha_dcs_endpoints(dcs, e) == 3 && e[0].state == HA_ENDPOINT_OK &&
	   e[0].member_id == 8 && strcmp(e[0].version, "3.5.1") == 0,
	   "which is remembered");
	OK(probe(dcs, HA_DCS_STATUS, 0, &answer) == HA_DCS_OK, "no leader");
	OK(probe(dcs, HA_DCS_MEMBERS, 0, &answer) == HA_DCS_UNKNOWN &&
	   answer.nvoters == 0, "a bad list: %s", answer.error);
	OK(probe(dcs, HA_DCS_STATUS, 1, &answer) == HA_DCS_OK, "another cluster");
	OK(probe(dcs, HA_DCS_STATUS, 2, &answer) == HA_DCS_UNKNOWN, "nobody");
	ha_dcs_endpoints(dcs, e);
	OK(e[1].state == HA_ENDPOINT_OK && e[2].state == HA_ENDPOINT_REFUSED &&
	   strcmp(e[2].error, "connection refused") == 0 && e[2].ok_at == 0,
	   "are told apart");
	OK(!ha_dcs_send(dcs, &beyond), "there is no fourth");
	OK(put(dcs, "a", "b", 0) == 50 && ha_dcs_seen(dcs).raft_term == 3,
	   "whoever was asked, the first endpoint is in use and believed");
	OK(probe(dcs, HA_DCS_STATUS, 1, &answer) == HA_DCS_OK, "the other again");
	OK(probe(dcs, HA_DCS_STATUS, 0, &answer) == HA_DCS_UNKNOWN, "silence");
	ha_dcs_endpoints(dcs, e);
	OK(e[0].state == HA_ENDPOINT_TIMEOUT &&
	   strcmp(e[0].error, "timeout after 0.3 s") == 0 && e[0].ok_at != 0 &&
	   e[1].state == HA_ENDPOINT_STRANGER, "told apart: %s", e[0].error);
	OK(ha_dcs_in_use(dcs) == 0 && ha_dcs_trouble(dcs)[0] == '\0',
	   "and nothing has moved");
	ha_dcs_close(dcs);
	stop_liar(&liar);
	stop_liar(&liar2);
}

#define AT(revision, term) \
	"{\"header\":{\"cluster_id\":\"7\",\"revision\":\"" revision "\"," \
	"\"raft_term\":\"" term "\"}}"

/* Who answers from the past is not asked again, even once it has caught up. */
static void
test_stale(void)
{
	const char *good[] = {
		http("200 OK", AT("100", "5")), CLOSE,
		http("200 OK", AT("101", "6")),
		http("200 OK", AT("101", "6")),
		http("200 OK", AT("101", "5")),
		NULL
	};
	const char *behind[] = {
		http("200 OK", AT("99", "5")),
		http("200 OK", AT("200", "7")),
		NULL
	};
	static const int expected[] = {HA_DCS_OK, HA_DCS_UNKNOWN, HA_DCS_UNKNOWN,
	HA_DCS_OK, HA_DCS_OK, HA_DCS_UNKNOWN, HA_DCS_UNKNOWN};
	Liar		liar = start_liar(good);
	Liar		liar2 = start_liar(behind);
	char		endpoints[256];
	HaDcs	   *dcs;
	HaDcsOptions options;
	HaAnswer	answer;
	char		err[HA_ERROR_SIZE];

	snprintf(endpoints, sizeof(endpoints), "%s %s", liar.url, liar2.url);
	dcs = open_dcs(endpoints);
	for (int i = 0; i < 7; i++)
	{
		OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == expected[i],
		   "stale member, answer %d: %s", i, answer.error);
		OK(i != 6 || strstr(answer.error, "gone back in time") != NULL,
		   "nobody is left to ask");
		ha_dcs_answer_free(&answer);
	}
	OK(ha_dcs_seen(dcs).cluster_id == 7 && ha_dcs_seen(dcs).raft_term == 6 &&
	   ha_dcs_seen(dcs).revision == 101, "what was seen");
	ha_dcs_close(dcs);
	stop_liar(&liar);
	stop_liar(&liar2);

	/* It outlives the client if its owner wants. */
	liar = start_liar(good);
	options = options_for(liar.url);
	options.seen.cluster_id = 7;
	options.seen.raft_term = 5;
	options.seen.revision = 101;
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN &&
	   strstr(answer.error, "revision 100 after 101") != NULL,
	   "what an earlier client saw counts: %s", answer.error);
	ha_dcs_answer_free(&answer);
	ha_dcs_close(dcs);
	stop_liar(&liar);
}

/* curl would send a request twice when a kept connection is closed on it. */
static void
test_sent_once(void)
{
	const char *script[] = {http("200 OK", AT("1", "1")), CLOSE,
	http("200 OK", AT("1", "1")), NULL};
	Liar		liar = start_liar(script);
	HaDcs	   *dcs = open_dcs(liar.url);
	HaAnswer	answer;

	OK(put(dcs, "a", "b", 0) == 0 && ha_dcs_trouble(dcs)[0] == '\0',
	   "a first txn opens the connection");
	OK(put(dcs, "a", "b", 0) == 0 && ha_dcs_trouble(dcs)[0] != '\0',
	   "a second one is lost: %s", ha_dcs_trouble(dcs));
	OK(*liar.nrequests == 2, "and was sent once (%d)", *liar.nrequests);
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_OK,
	   "the next one works");
	ha_dcs_answer_free(&answer);
	ha_dcs_close(dcs);
	stop_liar(&liar);
}

static void
test_signals(void)
{
	sigset_t	before;
	sigset_t	after;
	HaDcs	   *dcs;
	HaAnswer	answer;
	bool		same = true;

	sigprocmask(SIG_BLOCK, NULL, &before);
	dcs = open_dcs("http://no-such-host.invalid:1");
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "a name that does not resolve: %s", answer.error);
	ha_dcs_close(dcs);
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int i = 1; i < 65; i++)
		same = same && sigismember(&before, i) == sigismember(&after, i);
	OK(same, "the signal mask is as it was");
}

/*
 * dcs_test tls https://localhost:PORT DIR, where DIR holds ca.pem, client.pem,
 * client.key, and in other.pem a CA that has signed nothing.
 */
static int
test_tls(const char *url, const char *dir)
{
	HaDcsOptions options = options_for(url);
	const char *ca = repeat(dir, "", 0, "/ca.pem");
	HaAnswer	answer;
	char		err[HA_ERROR_SIZE];
	HaDcs	   *dcs;

	options.cert = repeat(dir, "", 0, "/client.pem");
	options.key = repeat(dir, "", 0, "/client.key");
	options.cacert = ca;
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(put(dcs, "a", "b", 0) != 0, "TLS: %s", ha_dcs_trouble(dcs));
	ha_dcs_close(dcs);

	options.cacert = repeat(dir, "", 0, "/other.pem");
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "another CA: %s", answer.error);
	ha_dcs_close(dcs);

	options.cacert = "";
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "the system's CAs: %s", answer.error);
	ha_dcs_close(dcs);

	options.cacert = ca;
	options.cert = options.key = "";
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "no client certificate: %s", answer.error);
	ha_dcs_close(dcs);

	/* The certificate is for "localhost" only. */
	options.endpoints = repeat("https://127.0.0.1", "", 0, strrchr(url, ':'));
	dcs = ha_dcs_open(&options, err, sizeof(err));
	OK(ask_simple(dcs, HA_DCS_RANGE, 0, &answer) == HA_DCS_UNKNOWN,
	   "another name: %s", answer.error);
	ha_dcs_close(dcs);

	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "tls") == 0)
		return test_tls(argv[2], argv[3]);
	etcd = argc > 1 ? argv[1] : "http://127.0.0.1:1";

	test_options();
	test_builders();
	test_lies();
	test_errors();
	test_silence();
	test_probes();
	test_stale();
	test_sent_once();
	test_signals();
	if (argc > 1)
	{
		test_leases();
		test_txn();
		test_delete_all();
		test_watch();
		test_limits();
		test_rotation();
		if (argc == 2)
			test_auth();
	}

	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
