/*-------------------------------------------------------------------------
 *
 * check_etcd.c
 *	  P10: each endpoint of etcd, and what exactly is wrong with it.
 *
 * The client that keeps a node (dcs_etcd.c) goes to the next endpoint when one
 * fails.  Here each is asked by itself, one question after the other, so that the
 * first that fails tells the reason: is it reached, is it etcd and new enough, does
 * its cluster have a leader, are we who it wants to talk to, and can it be read?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <stdarg.h>

#include "../curl_guard.h"
#include "../endpoint.h"
#include "../json_build.h"
#include "../json_guard.h"
#include "../secret.h"
#include "preflight.h"

#define TIMEOUT_MS			2000
#define MAX_BODY			(64 * 1024)
#define MAX_ENDPOINTS		16
#define MAX_TOKEN			1024

/* The oldest etcd whose leases can be relied on. */
#define VERSION_MIN			304

/* One question to one endpoint, and its answer. */
typedef struct Question
{
	const HaNode *node;
	const char *endpoint;
	const char *token;			/* NULL = none is shown */
	char	   *password;		/* shared by all; '' = none is used */

	long		status;			/* of HTTP; 0 = no answer */
	char		body[MAX_BODY];
	size_t		length;
	char		why[512];		/* no answer, or none that is of use */
} Question;

static bool fail(Question *q, const char *fmt,...) pg_attribute_printf(2, 3);

static bool
fail(Question *q, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(q->why, sizeof(q->why), fmt, args);
	va_end(args);
	return false;
}

/*
 * HTTP.
 */

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	Question   *q = arg;
	size_t		length = size * n;

	if (length > sizeof(q->body) - 1 - q->length)
		return 0;
	memcpy(q->body + q->length, data, length);
	q->length += length;
	q->body[q->length] = '\0';
	return length;
}

/* As dcs_etcd.c does it, or this would tell of another connection than that. */
static CURLcode
set_options(Question *q, CURL *easy)
{
	const HaNode *node = q->node;
	bool		has_ca = node->etcd_cacert[0] != '\0';
	bool		has_cert = node->etcd_cert[0] != '\0';
	CURLcode	rc = secure_etcd(easy, has_ca ? node->etcd_cacert : NULL,
								 has_cert ? node->etcd_cert : NULL,
								 has_cert ? node->etcd_key : NULL);

	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TIMEOUT_MS, (long) TIMEOUT_MS);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) TIMEOUT_MS);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, q);
	return rc;
}

/* What etcd says is wrong, in an answer that is no 200. */
static bool
explain_status(Question *q)
{
	char		prefix[2 * HA_NAME_SIZE + 4];
	HaEndpointAccess access = {q->node->etcd_user, prefix};

	snprintf(prefix, sizeof(prefix), "/%s/%s/", q->node->name_space,
			 q->node->scope);
	(void) ha_explain_refusal(q->status, q->body, q->length, &access, q->why,
							  sizeof(q->why));
	return false;
}

/* GET if there is no body; false with the reason in q->why. */
static bool
ask(Question *q, const char *path, const char *body)
{
	char		url[HA_TEXT_SIZE + 64];
	char		error[CURL_ERROR_SIZE] = "";
	char		header[MAX_TOKEN + 32];
	struct curl_slist *headers = NULL;
	SignalState saved;
	CURL	   *easy;
	CURLcode	rc;

	q->status = 0;
	q->length = 0;
	q->body[0] = '\0';
	enter_curl(&saved);
	easy = curl_easy_init();
	rc = easy != NULL ? set_options(q, easy) : CURLE_OUT_OF_MEMORY;
	snprintf(url, sizeof(url), "%s%s", q->endpoint, path);
	if (q->token != NULL)
	{
		snprintf(header, sizeof(header), "Authorization: %s", q->token);
		headers = curl_slist_append(headers, header);
		explicit_bzero(header, sizeof(header));
	}
	SET(CURLOPT_URL, url);
	SET(CURLOPT_ERRORBUFFER, error);
	if (body != NULL)
		SET(CURLOPT_COPYPOSTFIELDS, body);
	SET(CURLOPT_HTTPHEADER, headers);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(easy);
	if (easy != NULL)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &q->status);
	if (rc != CURLE_OK)
		(void) ha_explain_failure(easy, rc, error, TIMEOUT_MS, q->why,
								  sizeof(q->why));
	for (struct curl_slist *h = headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	leave_curl(&saved);
	if (rc != CURLE_OK)
		return false;
	return q->status == 200 || explain_status(q);
}

/*
 * The questions.
 */

static bool
ask_version(Question *q)
{
	json_t	   *json;
	const char *text;
	int			major = 0;
	int			minor = 0;
	bool		ok = true;

	if (!ask(q, "/version", NULL))
	{
		/* Whatever it is, it does not know of versions. */
		if (q->status == 404)
			fail(q, "this is no etcd");
		return false;
	}
	json = ha_json_load(q->body, q->length);
	text = json_is_object(json) ?
		json_string_value(json_object_get(json, "etcdserver")) : NULL;
	if (text == NULL || sscanf(text, "%d.%d", &major, &minor) != 2)
		ok = fail(q, "this is no etcd");
	else if (major * 100 + minor < VERSION_MIN)
		ok = fail(q, "is version %d.%d, but 3.4 or later is needed", major,
				  minor);
	json_decref(json);
	return ok;
}

/* Log in, if the node file says so; the token is put where it is said. */
static bool
authenticate(Question *q, char *token, size_t size)
{
	json_t	   *json;
	char	   *body;
	const char *text;
	bool		ok;

	token[0] = '\0';
	if (q->node->etcd_user[0] == '\0')
		return true;
	body = dump(json_pack("{s:s, s:s}", "name", q->node->etcd_user, "password",
						  q->password));
	if (body == NULL)
		return fail(q, "the password is not UTF-8");
	ok = ask(q, "/v3/auth/authenticate", body);
	explicit_bzero(body, strlen(body));
	free(body);
	if (!ok)
		return false;
	json = ha_json_load(q->body, q->length);
	text = json_is_object(json) ?
		json_string_value(json_object_get(json, "token")) : NULL;
	ok = text != NULL && strspn(text, "\r\n") == 0 &&
		strcspn(text, "\r\n") == strlen(text) &&
		strlcpy(token, text, size) < size;
	if (!ok)
		fail(q, "its token is of no use");
	explicit_bzero(q->body, q->length);
	json_decref(json);
	if (ok)
		q->token = token;
	return ok;
}

/* Does its cluster have a leader?  Zero is left out of etcd's JSON. */
static bool
ask_leader(Question *q)
{
	json_t	   *json;
	const char *leader;
	bool		ok;

	if (!ask(q, "/v3/maintenance/status", "{}"))
		return false;
	json = ha_json_load(q->body, q->length);
	leader = json_is_object(json) ?
		json_string_value(json_object_get(json, "leader")) : NULL;
	ok = leader != NULL && strcmp(leader, "0") != 0;
	if (!ok)
		fail(q, "etcd has no leader (quorum lost)");
	json_decref(json);
	return ok;
}

/* In base64, into a buffer of that size. */
static void
encode(const char *text, char *out, size_t size)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		n = 0;

	for (size_t length = strlen(text); length > 0 && n + 5 < size;)
	{
		size_t		take = Min(length, 3);
		uint32		bits = 0;

		for (size_t i = 0; i < 3; i++)
			bits = bits << 8 | (i < take ? (unsigned char) text[i] : 0);
		for (size_t i = 0; i < 4; i++)
			out[n++] = i <= take ? digits[bits >> (18 - 6 * i) & 63] : '=';
		text += take;
		length -= take;
	}
	out[n] = '\0';
}

/* A linearizable read of nothing, which takes a quorum. */
static bool
ask_read(Question *q)
{
	char		prefix[256];
	char		end[256];
	char		prefix64[384];
	char		end64[384];
	char		body[1024];

	snprintf(prefix, sizeof(prefix), "/%s/%s/", q->node->name_space,
			 q->node->scope);
	strlcpy(end, prefix, sizeof(end));
	end[strlen(end) - 1]++;
	encode(prefix, prefix64, sizeof(prefix64));
	encode(end, end64, sizeof(end64));
	snprintf(body, sizeof(body),
			 "{\"key\":\"%s\",\"range_end\":\"%s\",\"count_only\":true}",
			 prefix64, end64);
	if (ask(q, "/v3/kv/range", body))
		return true;
	if (q->status == 0)
		return fail(q, "could not be read within %d s, as if its quorum was lost",
					TIMEOUT_MS / 1000);
	return false;
}

/*
 * Whether there is a leader comes before the token, which no etcd gives without one.
 * Where even that is not told to strangers, the read has to show it.
 */
static bool
check_endpoint(Question *q, char *token, size_t size)
{
	if (!ask_version(q))
		return false;
	if (!ask_leader(q) &&
		(q->node->etcd_user[0] == '\0' ||
		 strstr(q->body, "user name is empty") == NULL))
		return false;
	return authenticate(q, token, size) && ask_read(q);
}

/*
 * What is no fault of one endpoint.
 */

static void
check_members(HaPreflight *p, Question *q)
{
	json_t	   *json;
	json_t	   *members;
	json_t	   *member;
	size_t		i;
	int			voters = 0;
	char		warning[128];

	if (!ask(q, "/v3/cluster/member/list", "{}"))
		return;
	json = ha_json_load(q->body, q->length);
	members = json_object_get(json, "members");
	json_array_foreach(members, i, member)
	{
		if (!json_is_true(json_object_get(member, "isLearner")))
			voters++;
	}
	json_decref(json);
	if (ha_even_voters(voters, warning, sizeof(warning)))
		ha_report_warning(&p->report, "P10",
						  "Add one, or take one away: an even number survives no more failures than the odd one below it.",
						  "%s", warning);
}

/* Who may list leases without a name may end them as well. */
static void
check_lease_access(HaPreflight *p, Question *q)
{
	if (p->node.etcd_user[0] == '\0' || p->node.etcd_cert[0] != '\0')
		return;
	q->token = NULL;
	ask(q, "/v3/lease/leases", "{}");
	if (q->status == 200)
		ha_report_warning(&p->report, "P10",
						  "Let etcd demand client certificates (--client-cert-auth), or update it to 3.4.42, 3.5.28 or 3.6.9.",
						  "etcd %s: authentication is on, but leases can be listed and ended without a token",
						  q->endpoint);
}

/* The failures are errors only if there is nobody to go to instead. */
static void
report_endpoints(HaPreflight *p, char urls[][HA_TEXT_SIZE],
				 char reasons[][512], int n, int usable)
{
	for (int i = 0; i < n; i++)
	{
		if (reasons[i][0] == '\0')
			continue;
		if (usable > 0)
			ha_report_warning(&p->report, "P10",
							  "The other endpoints are used meanwhile.",
							  "etcd %s: %s", urls[i], reasons[i]);
		else
			ha_report_error(&p->report, "P10",
							"Look at that member of etcd, and at pg_ha.etcd_endpoints and the settings beside it.",
							"etcd %s: %s", urls[i], reasons[i]);
	}
	if (usable == 0)
		ha_report_error(&p->report, "P10",
						"\"pg_ha_boot run\" waits for etcd; with data it starts as a read-only standby meanwhile.",
						"no etcd endpoint usable (0 of %d); the cluster state cannot be determined",
						n);
}

static int
split_endpoints(const char *list, char urls[][HA_TEXT_SIZE])
{
	char		copy[HA_TEXT_SIZE];
	char	   *rest = copy;
	char	   *url;
	int			n = 0;

	strlcpy(copy, list, sizeof(copy));
	while (n < MAX_ENDPOINTS && (url = strsep(&rest, ", \t")) != NULL)
	{
		size_t		length = strlen(url);

		if (length == 0)
			continue;
		if (url[length - 1] == '/')
			url[length - 1] = '\0';
		strlcpy(urls[n++], url, HA_TEXT_SIZE);
	}
	return n;
}

static void
check_all(HaPreflight *p, Question *q)
{
	static char urls[MAX_ENDPOINTS][HA_TEXT_SIZE];
	static char reasons[MAX_ENDPOINTS][512];
	char		token[MAX_TOKEN];
	int			n = split_endpoints(p->node.etcd_endpoints, urls);
	int			usable = 0;

	for (int i = 0; i < n; i++)
	{
		q->endpoint = urls[i];
		q->token = NULL;
		q->why[0] = '\0';
		if (!check_endpoint(q, token, sizeof(token)))
		{
			strlcpy(reasons[i], q->why, sizeof(reasons[i]));
			continue;
		}
		if (usable++ > 0)
			continue;
		strlcpy(p->endpoint, urls[i], sizeof(p->endpoint));
		check_members(p, q);
		check_lease_access(p, q);
	}
	explicit_bzero(token, sizeof(token));
	report_endpoints(p, urls, reasons, n, usable);
}

void
ha_check_etcd(HaPreflight *p)
{
	Question   *q = pg_malloc0(sizeof(Question));
	char		password[HA_SECRET_SIZE] = "";
	char		err[256];

	q->node = &p->node;
	q->password = password;
	if (p->node.etcd_user[0] != '\0' &&
		!ha_secret_read(p->node.etcd_password_file, password,
						sizeof(password), err, sizeof(err)))
		ha_report_error(&p->report, "P01",
						"Put etcd's password into a file of that name with mode 0600.",
						"the password for etcd cannot be used: %s", err);
	else
		check_all(p, q);
	explicit_bzero(password, sizeof(password));
	pg_free(q);
}
