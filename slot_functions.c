/*-------------------------------------------------------------------------
 *
 * slot_functions.c
 *	  SQL functions about replication slots, and the members they are for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "ask.h"
#include "control.h"
#include "failsafe_json.h"
#include "functions.h"
#include "request_json.h"
#include "slots.h"
#include "slots_json.h"

PG_FUNCTION_INFO_V1(pg_ha_slots);
PG_FUNCTION_INFO_V1(pg_ha_remove_member);

/* The leader's own book is newer than what it has told. */
static const HaSlotBook *
book_of(const HaPublished *p)
{
	return p->local.slots.known ? &p->local.slots : &p->view.slots;
}

static const char *
wal_status(const HaSlot *slot)
{
	if (slot->invalid)
		return "lost";
	switch (GetWALAvailability(slot->restart_lsn))
	{
		case WALAVAIL_RESERVED:
			return "reserved";
		case WALAVAIL_EXTENDED:
			return "extended";
		case WALAVAIL_UNRESERVED:
			return "unreserved";
		case WALAVAIL_REMOVED:
			return slot->active ? "unreserved" : "lost";
		case WALAVAIL_INVALID_LSN:
			break;
	}
	return NULL;
}

/*
 * Whose it is.  One that somebody made by hand and through which its member
 * streams will be taken over.
 */
static const char *
owner_of(const HaPublished *p, const HaSlot *slot, const char *member)
{
	const HaSlotSpec *permanent = ha_slot_permanent(&p->config, slot->name);

	if (permanent != NULL &&
		slot->physical == (permanent->kind == HA_SLOT_PHYSICAL))
		return "permanent";
	if (slot->ours || (slot->physical && slot->active && member != NULL))
		return "member";
	return "foreign";
}

/* When the slot of an absent member goes; false: not by the time that passes. */
static bool
drop_time(const HaPublished *p, const HaSlot *slot, const char *owner,
		  const char *member, TimestampTz *at)
{
	const HaSlotBook *book = book_of(p);
	int64		absent;
	int64		seen;

	if (strcmp(owner, "member") != 0 || !slot->ours || slot->active ||
		member == NULL || p->config.pause ||
		p->failsafe == HA_FAILSAFE_ACTIVE ||
		p->failsafe == HA_FAILSAFE_PROMISED)
		return false;
	absent = ha_slot_absence(&p->view, book, member);
	seen = book == &p->local.slots ? p->at : p->view.sent_at;
	if (absent == 0 || ha_now() - p->view.sent_at > 2 * p->config.loop_wait)
		return false;
	*at = GetCurrentTimestamp() - (ha_now() - seen) * 1000 +
		(p->config.member_slots_ttl - absent) * 1000;
	return true;
}

static void
put_slot(FunctionCallInfo fcinfo, const HaPublished *p, const HaSlot *slot)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *member = slot->physical ?
	ha_slot_member(&p->view, book_of(p), slot->name) : NULL;
	const char *owner = owner_of(p, slot, member);
	const char *status = wal_status(slot);
	uint64		end = Max(p->local.flush_lsn, slot->restart_lsn);
	TimestampTz drop_at = 0;
	Datum		values[8] = {0};
	bool		nulls[8] = {0};

	nulls[1] = member == NULL || strcmp(owner, "foreign") == 0;
	nulls[4] = status == NULL;
	nulls[5] = nulls[6] = slot->restart_lsn == 0;
	nulls[7] = !drop_time(p, slot, owner, member, &drop_at);
	values[0] = CStringGetTextDatum(slot->name);
	if (!nulls[1])
		values[1] = CStringGetTextDatum(member);
	values[2] = CStringGetTextDatum(owner);
	values[3] = BoolGetDatum(slot->active);
	if (!nulls[4])
		values[4] = CStringGetTextDatum(status);
	values[5] = LSNGetDatum(slot->restart_lsn);
	values[6] = Int64GetDatum((int64) (end - slot->restart_lsn));
	values[7] = TimestampTzGetDatum(drop_at);
	tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
}

Datum
pg_ha_slots(PG_FUNCTION_ARGS)
{
	HaPublished *p = ha_sql_look();
	int			n;
	HaSlot	   *slots = ha_slots_list(&n);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
		put_slot(fcinfo, p, &slots[i]);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 * Removing a member
 *-------------------------------------------------------------------------
 */

static bool
is_known(const HaSlotBook *book, const char *name)
{
	for (int i = 0; i < book->nmembers; i++)
	{
		if (strcmp(book->members[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Those who are there, and those who are not but may come back. */
static const char *
all_names(const HaView *view, const HaSlotBook *book)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < view->nmembers; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 view->members[i].name);
	for (int i = 0; i < book->nmembers; i++)
	{
		if (ha_find_member(view, book->members[i].name) == NULL)
			appendStringInfo(&names, "%s%s (absent)",
							 names.len > 0 ? ", " : "",
							 book->members[i].name);
	}
	return names.data;
}

static void
refuse_removal(const HaPublished *p, const char *name, bool force)
{
	const HaView *view = &p->view;

	ha_sql_refuse_in_failsafe(p);
	if (ha_find_member(view, name) == NULL && !is_known(book_of(p), name))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no such member \"%s\" (members: %s)", name,
						all_names(view, book_of(p)))));
	if (!view->leader.present)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster has no leader, which would have to drop the slots")));
	if (strcmp(view->leader.name, name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("member \"%s\" is the leader; switch over first", name),
				 errhint("See pg_ha_switchover().")));
	if (ha_find_member(view, name) != NULL && !force)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("member \"%s\" is alive; stop it first (or force => true)",
						name)));
}

/* /failsafe without that member; the leader does this only while the mode is on. */
static void
leave_failsafe(HaAsk *ask, const HaView *view, const char *name)
{
	HaFailsafe	wanted = view->failsafe;
	char	   *json;

	wanted.nmembers = 0;
	for (int i = 0; i < view->failsafe.nmembers; i++)
	{
		if (strcmp(view->failsafe.members[i], name) == 0)
			continue;
		memcpy(wanted.members[wanted.nmembers], view->failsafe.members[i],
			   HA_NAME_SIZE);
		memcpy(wanted.api_urls[wanted.nmembers++],
			   view->failsafe.api_urls[i], HA_URL_SIZE);
	}

	/* an empty one would say that there is no list */
	if (wanted.nmembers == view->failsafe.nmembers || wanted.nmembers == 0)
		return;
	json = ha_failsafe_json(&wanted);
	ha_ask_put(ask, "failsafe", view->failsafe.mod_revision, json);
	free(json);
}

static void
leave_votes(HaAsk *ask, const HaView *view, const char *name)
{
	for (int i = 0; i < view->nvotes; i++)
	{
		if (strcmp(view->votes[i].name, name) == 0)
			ha_ask_remove(ask, psprintf("pg_ha/votes/%s", name),
						  view->votes[i].mod_revision);
	}
}

static int64
removed_revision(const HaView *view, const char *name)
{
	for (int i = 0; i < view->nremoved; i++)
	{
		if (strcmp(view->removed[i].name, name) == 0)
			return view->removed[i].mod_revision;
	}
	return 0;
}

/*
 * Everything that stands in the store of that member goes in one transaction.  That
 * it was removed is put for the leader, which strikes it off its book, and for all who
 * have a slot for it.
 */
static bool
try_removal(const HaPublished *p, const char *name)
{
	const HaMember *member = ha_find_member(&p->view, name);
	const HaMemberRequest *request = ha_find_request(&p->view, name);
	HaAsk	   *ask = palloc0(sizeof(HaAsk));
	char	   *json = ha_removed_json(ha_member_name);
	bool		done;

	ha_ask_guard_leader(ask, &p->view);
	ha_ask_put(ask, psprintf("pg_ha/removed/%s", name),
			   removed_revision(&p->view, name), json);
	free(json);
	ha_ask_remove(ask, psprintf("members/%s", name),
				  member != NULL ? member->mod_revision : 0);
	if (request != NULL)
		ha_ask_remove(ask, psprintf("pg_ha/requests/%s", name),
					  request->mod_revision);
	leave_votes(ask, &p->view, name);
	leave_failsafe(ask, &p->view, name);
	done = ha_ask_try(ask);
	pfree(ask);
	return done;
}

/* One that lives writes its key often: then look again, and try again. */
Datum
pg_ha_remove_member(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		give_up;
	HaPublished *p;

	ha_sql_require_operator(fcinfo);
	p = ha_sql_look();
	give_up = ha_now() + 5 * p->config.loop_wait;
	refuse_removal(p, name, PG_GETARG_BOOL(1));
	while (!try_removal(p, name))
	{
		int64		seen = p->view.revision;

		while (p->view.revision == seen)
		{
			if (ha_now() > give_up)
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("member \"%s\" was changed by others at the same time",
								name),
						 errhint("Try again.")));
			ha_sql_wait_a_little();
			pfree(p);
			p = ha_sql_look();
		}
		refuse_removal(p, name, PG_GETARG_BOOL(1));
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("member \"%s\" removed", name)));
}
