/*-------------------------------------------------------------------------
 *
 * rest_failsafe.c
 *	  POST /failsafe: a leader that lost the store asks for a promise (S-9).
 *
 * It can keep this member from standing for election for one TTL, and so needs
 * credentials or a client on this host.  A question waits in line for the worker, so
 * nobody else waits; after QUESTION_MS it is answered with "no".  What the worker
 * promises after that is kept, but nobody relies on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <signal.h>

#include "../failsafe_json.h"
#include "rest_parts.h"

/* The body, how long it waits, and how many at a time. */
#define MAX_QUESTION		(16 * 1024)
#define QUESTION_MS			1500
#define MAX_QUESTIONS		8

void
ha_rest_ask_promise(HaRest *rest, HaRestCall *call)
{
	int			n = 0;

	if (call->too_long || call->length > MAX_QUESTION)
	{
		ha_rest_finish(call, MHD_HTTP_CONTENT_TOO_LARGE, "%s", "");
		return;
	}
	if (!ha_question_parse(call->body, call->length, &call->question))
	{
		ha_rest_finish(call, MHD_HTTP_BAD_REQUEST, "%s", "");
		return;
	}
	for (HaRestCall *other = rest->line; other != NULL; other = other->next)
		n++;
	if (n >= MAX_QUESTIONS)
		ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE, "%s", "");
	else
		ha_rest_suspend(rest, call, &rest->line, QUESTION_MS);
}

static void
finish_question(HaRestCall *call, const HaControlPromise *p)
{
	switch (p->verdict)
	{
		case HA_VERDICT_ACCEPTED:
			ha_rest_finish(call, MHD_HTTP_OK, "Accepted");
			call->lsn = p->lsn;
			break;
		case HA_VERDICT_OFF:
			ha_rest_finish(call, MHD_HTTP_BAD_GATEWAY, "%s", "");
			break;
		case HA_VERDICT_LEADER:
			ha_rest_finish(call, MHD_HTTP_INTERNAL_SERVER_ERROR,
						   "Running as a leader");
			break;
		case HA_VERDICT_REFUSED:
			ha_rest_finish(call, MHD_HTTP_INTERNAL_SERVER_ERROR, "%s", p->why);
			break;
		default:
			ha_rest_finish(call, MHD_HTTP_SERVICE_UNAVAILABLE,
						   "the server does not answer");
			break;
	}
}

/* Put a question before the worker, and wake it. */
static void
put_question(HaRest *rest, HaRestCall *call)
{
	HaControlQuestion before;
	HaControlQuestion question;
	HaControlWorker worker;
	HaControlPromise promise;

	/* never one that was answered: a section that was torn reads as zero */
	(void) ha_control_get_question(rest->control, &before);
	(void) ha_control_get_promise(rest->control, &promise);
	memset(&question, 0, sizeof(question));
	question.seq = (before.seq > promise.answered ? before.seq :
					promise.answered) + 1;
	if (question.seq == 0)
		question.seq = 1;
	question.asked_at = ha_now();
	question.question = call->question;
	call->seq = question.seq;
	ha_control_set_question(rest->control, &question);
	if (ha_control_get_worker(rest->control, &worker) &&
		ha_process_is_alive(worker.pid, worker.pid_start))
		(void) kill(worker.pid, SIGUSR1);
}

/* See what has become of the questions in line. */
void
ha_rest_serve_line(HaRest *rest)
{
	while (rest->line != NULL)
	{
		HaRestCall *call = rest->line;
		HaControlPromise promise = {.verdict = HA_VERDICT_NONE};

		if (call->seq == 0)
			put_question(rest, call);
		if (!ha_control_get_promise(rest->control, &promise) ||
			promise.answered != call->seq)
		{
			if (ha_now() < call->give_up_at)
				return;
			promise.verdict = HA_VERDICT_NONE;
		}
		finish_question(call, &promise);
		rest->line = call->next;
		ha_rest_resume(rest, call);
	}
}
