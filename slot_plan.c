/*-------------------------------------------------------------------------
 *
 * slot_plan.c
 *	  Which replication slots this server should have, where each should stand,
 *	  and which may go.
 *
 * Plain C and pure.  Every member that may lead has a slot for each other member,
 * so that whoever takes over has kept what the others still need.  On a standby
 * nobody streams through them: they are moved to where the leader's stand, which
 * is never beyond what the member has flushed, and never beyond what this standby
 * has replayed itself.
 *
 * A slot that is not needed any more holds back WAL until the disk is full, one
 * that goes too early costs its member a clone.  So the leader keeps a book of all
 * members, with how long each has been absent.  It alone strikes one off: after
 * member_slots_ttl, when its slot retains too much, or on an operator's word.
 * The others drop the slots of those who are not in the book.  Time counts only
 * while the store answers and there is no pause.
 *
 * Only slots that pg_ha made are ever dropped, made anew or moved, and those that
 * the configuration gives into its care.  Where Patroni has run the server before, it
 * made what is named after a member: it drops any slot that it does not know.  Nobody
 * but us moves such a one now, and on a standby nobody will ever stream through it.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "names.h"
#include "slot_plan.h"

typedef struct Plan
{
	const HaSlotScene *scene;
	HaSlotTask *tasks;
	int			n;
} Plan;

static uint64_t
lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*-------------------------------------------------------------------------
 * Looking things up
 *-------------------------------------------------------------------------
 */

/* Of present members only */
static const HaMember *
find_slot_member(const HaView *view, const char *slot)
{
	char		name[HA_NAME_SIZE];

	for (int i = 0; i < view->nmembers; i++)
	{
		ha_slot_name(view->members[i].name, name);
		if (strcmp(name, slot) == 0)
			return &view->members[i];
	}
	return NULL;
}

static int
find_known(const HaSlotBook *book, const char *member)
{
	for (int i = 0; i < book->nmembers; i++)
	{
		if (strcmp(book->members[i].name, member) == 0)
			return i;
	}
	return -1;
}

const HaSlot *
ha_find_slot(const HaSlotScene *scene, const char *name)
{
	for (int i = 0; i < scene->nslots; i++)
	{
		if (strcmp(scene->slots[i].name, name) == 0)
			return &scene->slots[i];
	}
	return NULL;
}

static uint64_t
find_position(const HaSlotBook *book, const char *slot)
{
	for (int i = 0; i < book->npositions; i++)
	{
		if (strcmp(book->positions[i].name, slot) == 0)
			return book->positions[i].lsn;
	}
	return 0;
}

static bool
is_removed(const HaView *view, const char *member)
{
	for (int i = 0; i < view->nremoved; i++)
	{
		if (strcmp(view->removed[i].name, member) == 0)
			return true;
	}
	return false;
}

const char *
ha_slot_member(const HaView *view, const HaSlotBook *book, const char *slot)
{
	const HaMember *member = find_slot_member(view, slot);
	char		name[HA_NAME_SIZE];

	if (member != NULL)
		return member->name;
	for (int i = 0; i < book->nmembers; i++)
	{
		ha_slot_name(book->members[i].name, name);
		if (strcmp(name, slot) == 0)
			return book->members[i].name;
	}
	return NULL;
}

const HaSlotSpec *
ha_slot_permanent(const HaConfig *config, const char *slot)
{
	for (int i = 0; i < config->npermanent; i++)
	{
		if (strcmp(config->permanent[i].name, slot) == 0)
			return &config->permanent[i];
	}
	return NULL;
}

int64_t
ha_slot_absence(const HaView *view, const HaSlotBook *book, const char *member)
{
	int			i = find_known(book, member);

	return i >= 0 && ha_find_member(view, member) == NULL ?
		book->members[i].absent : 0;
}

/* Is a slot like that one that must not be touched? */
static bool
is_ignored(const HaConfig *config, const HaSlotSpec *slot)
{
	for (int i = 0; i < config->nignored; i++)
	{
		const HaSlotSpec *any = &config->ignored[i];

		if ((any->name[0] == '\0' || strcmp(any->name, slot->name) == 0) &&
			(any->kind == HA_SLOT_ANY || any->kind == slot->kind) &&
			(any->database[0] == '\0' ||
			 strcmp(any->database, slot->database) == 0) &&
			(any->plugin[0] == '\0' || strcmp(any->plugin, slot->plugin) == 0))
			return true;
	}
	return false;
}

static bool
is_ignored_physical(const HaConfig *config, const char *name)
{
	HaSlotSpec	spec = {.kind = HA_SLOT_PHYSICAL};

	memcpy(spec.name, name, strlen(name) + 1);
	return is_ignored(config, &spec);
}

/* Would others go on from here? */
static bool
may_lead(const HaLocal *local)
{
	return !local->nofailover && local->failover_priority > 0;
}

/*
 * Does this server need a slot for that member?  Who cascades needs one where its
 * WAL comes from, though that member may never lead.  Who does not stream at all
 * would only hold WAL back.
 */
static bool
is_wanted(const HaSlotScene *scene, const HaMember *member)
{
	return !member->nostream &&
		(scene->leads || may_lead(scene->local) ||
		 strcmp(member->replicatefrom, scene->local->name) == 0);
}

/*
 * Without a configuration that can be read, nobody knows which slots are
 * permanent.
 */
static bool
may_drop(const HaSlotScene *scene)
{
	return scene->fresh && !scene->config->pause && scene->config->known &&
		scene->config->revision != 0 && scene->view->config_error[0] == '\0';
}

/*-------------------------------------------------------------------------
 * Tasks
 *-------------------------------------------------------------------------
 */

static bool
has_task(const Plan *plan, const char *slot)
{
	for (int i = 0; i < plan->n; i++)
	{
		if (strcmp(plan->tasks[i].slot, slot) == 0)
			return true;
	}
	return false;
}

/* At most one for a slot: the first. */
static void
add_task(Plan *plan, HaSlotDeed deed, const char *slot, uint64_t lsn,
		 const char *why)
{
	HaSlotTask *task = &plan->tasks[plan->n];

	if (plan->n == HA_MAX_SLOT_TASKS || has_task(plan, slot))
		return;
	memset(task, 0, sizeof(*task));
	task->deed = deed;
	memcpy(task->slot, slot, strlen(slot) + 1);
	task->lsn = lsn;
	snprintf(task->why, sizeof(task->why), "%s", why);
	plan->n++;
}

/* May this slot be dropped, if nobody needs it? */
static bool
is_droppable(const HaSlotScene *scene, const HaSlot *slot)
{
	return slot != NULL && slot->ours && slot->physical && !slot->active &&
		!is_ignored_physical(scene->config, slot->name);
}

/*-------------------------------------------------------------------------
 * The leader's book
 *-------------------------------------------------------------------------
 */

static void
meet(HaSlotBook *book, const char *member)
{
	int			i = find_known(book, member);

	if (i < 0 && book->nmembers < HA_MAX_KNOWN)
	{
		i = book->nmembers++;
		memset(&book->members[i], 0, sizeof(book->members[i]));
		memcpy(book->members[i].name, member, strlen(member) + 1);
	}
	if (i >= 0)
		book->members[i].absent = 0;
}

static uint64_t
retained(const HaSlotScene *scene, const HaSlot *slot)
{
	uint64_t	end = scene->local->flush_lsn;

	return slot != NULL && slot->restart_lsn != 0 && slot->restart_lsn < end ?
		end - slot->restart_lsn : 0;
}

/* Is it time to forget that absent member?  Why, for the log. */
static bool
is_over(const HaSlotScene *scene, const HaKnownMember *known,
		const HaSlot *slot, char *why, size_t size)
{
	const HaConfig *config = scene->config;

	if (scene->fresh && is_removed(scene->view, known->name))
		snprintf(why, size, "of removed member");
	else if (may_drop(scene) && (slot == NULL || !slot->active) &&
			 (known->absent >= config->member_slots_ttl ||
			  (config->member_slots_max_wal > 0 &&
			   retained(scene, slot) >
			   (uint64_t) config->member_slots_max_wal)))
		snprintf(why, size, "of member absent for %" PRId64 " s",
				 known->absent / 1000);
	else
		return false;
	return true;
}

static void
keep_absent(Plan *plan, HaSlotBook *book)
{
	const HaSlotScene *scene = plan->scene;
	int			kept = 0;

	for (int i = 0; i < book->nmembers; i++)
	{
		HaKnownMember known = book->members[i];
		char		name[HA_NAME_SIZE];
		char		why[HA_WHY_SIZE];
		const HaSlot *slot;

		ha_slot_name(known.name, name);
		slot = ha_find_slot(scene, name);
		if (ha_find_member(scene->view, known.name) == NULL)
		{
			if (find_slot_member(scene->view, name) != NULL)
				continue;		/* the slot is somebody's who is there */

			/* who leads or streams is there, though its key may not be */
			if (strcmp(known.name, scene->local->name) == 0 ||
				(slot != NULL && slot->active))
				known.absent = 0;
			else if (scene->fresh && !scene->config->pause)
				known.absent += scene->elapsed > 0 ? scene->elapsed : 1;
			if (is_over(scene, &known, slot, why, sizeof(why)))
			{
				if (is_droppable(scene, slot) &&
					ha_slot_permanent(scene->config, name) == NULL)
					add_task(plan, HA_SLOT_DROP, name, 0, why);
				continue;
			}
		}
		book->members[kept++] = known;
	}
	memset(&book->members[kept], 0,
		   (book->nmembers - kept) * sizeof(HaKnownMember));
	book->nmembers = kept;
}

static void
keep_book(Plan *plan, HaSlotBook *book)
{
	const HaView *view = plan->scene->view;

	for (int i = 0; i < view->nmembers; i++)
		meet(book, view->members[i].name);
	keep_absent(plan, book);
	book->known = true;
}

static void
tell_position(HaSlotBook *book, const char *slot, uint64_t lsn)
{
	HaSlotPosition *position = &book->positions[book->npositions];

	if (lsn == 0 || book->npositions == HA_MAX_POSITIONS ||
		find_position(book, slot) != 0)
		return;
	memset(position, 0, sizeof(*position));
	memcpy(position->name, slot, strlen(slot) + 1);
	position->lsn = lsn;
	book->npositions++;
}

/* Ours too, through which we come back if another leads: we have all there is. */
static void
tell_positions(const HaSlotScene *scene, HaSlotBook *book)
{
	char		name[HA_NAME_SIZE];

	memset(book->positions, 0, sizeof(book->positions));
	book->npositions = 0;
	ha_slot_name(scene->local->name, name);
	tell_position(book, name, scene->local->flush_lsn);
	for (int i = 0; i < scene->nslots; i++)
	{
		const HaSlot *slot = &scene->slots[i];

		if (slot->physical && !slot->invalid &&
			(ha_slot_permanent(scene->config, slot->name) != NULL ||
			 ha_slot_member(scene->view, book, slot->name) != NULL))
			tell_position(book, slot->name, slot->restart_lsn);
	}
}

/*-------------------------------------------------------------------------
 * What is wanted
 *-------------------------------------------------------------------------
 */

/*
 * Where an unused slot should stand; 0 = where it is.  The leader's own move with
 * those who stream from it; who streams from another standby tells how far it is.
 */
static uint64_t
target_of(const HaSlotScene *scene, const char *slot, const HaMember *member)
{
	const HaLocal *local = scene->local;
	uint64_t	lsn = scene->leads ? 0 :
	find_position(&scene->view->slots, slot);

	if (lsn == 0 && member != NULL && member->streaming &&
		member->timeline == local->timeline)
		lsn = member->lsn;
	return scene->leads ? lesser(lsn, local->flush_lsn) :
		lesser(lsn, local->replay_lsn);
}

/* Does an unused slot of ours hold nothing that its member could use? */
static bool
is_spoilt(const HaSlotScene *scene, const HaSlot *slot,
		  const HaMember *member, const char **why)
{
	const HaLocal *local = scene->local;

	*why = "whose WAL had been removed";
	if (slot->invalid)
		return !scene->leads || member == NULL || !member->streaming;

	/* this server was rewound: that WAL is of no history any more */
	*why = "which was ahead of this server";
	return !scene->leads && !local->replaying &&
		slot->restart_lsn > local->flush_lsn &&
		slot->restart_lsn > local->replay_lsn;
}

/* A slot that is there, and is needed. */
static void
mind_slot(Plan *plan, const HaSlot *slot, const HaMember *member)
{
	const HaSlotScene *scene = plan->scene;
	bool		permanent =
	ha_slot_permanent(scene->config, slot->name) != NULL;
	uint64_t	target = target_of(scene, slot->name, member);
	const char *why;

	if (!slot->physical || is_ignored_physical(scene->config, slot->name))
		return;
	if (!slot->ours && !permanent && scene->leads && slot->active &&
		member != NULL && member->streaming)
		add_task(plan, HA_SLOT_TAKE, slot->name, 0, member->name);
	if (slot->active || (!slot->ours && !permanent))
		return;
	if (slot->ours && is_spoilt(scene, slot, member, &why))
		add_task(plan, HA_SLOT_RENEW, slot->name, 0, why);
	else if (!slot->invalid && target > slot->restart_lsn)
		add_task(plan, HA_SLOT_ADVANCE, slot->name, target, "");
	else if (!slot->invalid && slot->holds_rows && !scene->leads)
		add_task(plan, HA_SLOT_ADVANCE, slot->name, slot->restart_lsn, "");
}

/* On a standby none is made that would then have to be left alone. */
static void
want_slot(Plan *plan, const char *name, const HaMember *member)
{
	const HaSlotScene *scene = plan->scene;
	const HaSlot *slot = ha_find_slot(scene, name);
	char		own[HA_NAME_SIZE];

	ha_slot_name(scene->local->name, own);
	if (strcmp(own, name) == 0)
		return;
	if (slot != NULL)
		mind_slot(plan, slot, member);
	else if (scene->leads || !is_ignored_physical(scene->config, name))
		add_task(plan, HA_SLOT_CREATE, name, 0,
				 member != NULL ? member->name : "");
}

static void
want_slots(Plan *plan)
{
	const HaConfig *config = plan->scene->config;
	const HaView *view = plan->scene->view;
	char		name[HA_NAME_SIZE];

	for (int i = 0; i < view->nmembers; i++)
	{
		if (!is_wanted(plan->scene, &view->members[i]))
			continue;
		ha_slot_name(view->members[i].name, name);
		want_slot(plan, name, &view->members[i]);
	}
	if (!plan->scene->leads && !may_lead(plan->scene->local))
		return;
	for (int i = 0; i < config->npermanent; i++)
	{
		const HaSlotSpec *spec = &config->permanent[i];

		if (spec->kind == HA_SLOT_PHYSICAL)
			want_slot(plan, spec->name, find_slot_member(view, spec->name));
		else if (plan->scene->leads && !config->standby_cluster.active &&
				 ha_find_slot(plan->scene, spec->name) == NULL)
			add_task(plan, HA_SLOT_CREATE_LOGICAL, spec->name, 0, "");
	}
}

/*-------------------------------------------------------------------------
 * What is there beyond that
 *-------------------------------------------------------------------------
 */

/* Why a slot of ours may go; NULL = something still speaks for keeping it. */
static const char *
why_unneeded(const HaSlotScene *scene, const HaSlotBook *book,
			 const char *slot)
{
	const HaSlotSpec *permanent = ha_slot_permanent(scene->config, slot);
	const HaMember *present = find_slot_member(scene->view, slot);
	const char *member = ha_slot_member(scene->view, book, slot);
	bool		leads = scene->leads || may_lead(scene->local);

	if (leads && permanent != NULL && permanent->kind == HA_SLOT_PHYSICAL)
		return NULL;
	if (present != NULL && is_wanted(scene, present))
		return NULL;
	if (present != NULL && present->nostream)
		return "of a member that does not stream";

	/* who streamed through it may be back in a moment */
	if (!leads && (present != NULL || permanent != NULL || member == NULL))
		return "on a member that may not lead";
	if (member == NULL && !book->known)
		return NULL;			/* nobody has told who the members are */
	if (member == NULL)
		return "that nobody needs any more";
	return is_removed(scene->view, member) ? "of removed member" : NULL;
}

/*
 * A former leader has its permanent logical slots still.  Nobody can read from them
 * any more, so they would hold back WAL for ever, and keep the server from copying
 * the new leader's.
 */
static bool
is_leftover(const HaSlotScene *scene, const HaSlot *slot)
{
	const HaSlotSpec *spec = ha_slot_permanent(scene->config, slot->name);

	return !scene->leads && !slot->physical && !slot->synced &&
		!slot->active && spec != NULL && spec->kind == HA_SLOT_LOGICAL &&
		strcmp(spec->plugin, slot->plugin) == 0 && may_drop(scene) &&
		!is_ignored(scene->config, spec);
}

/* Is it a slot that Patroni has made for that member, and left? */
static bool
is_inherited(const HaSlotScene *scene, const HaSlot *slot, const char *member)
{
	return scene->after_patroni && member != NULL && slot->physical &&
		!slot->ours && !slot->active &&
		ha_slot_permanent(scene->config, slot->name) == NULL &&
		!is_ignored_physical(scene->config, slot->name);
}

static void
sort_out(Plan *plan, const HaSlotBook *book)
{
	const HaSlotScene *scene = plan->scene;

	for (int i = 0; i < scene->nslots; i++)
	{
		const HaSlot *slot = &scene->slots[i];
		const char *member = ha_slot_member(scene->view, book, slot->name);
		const char *why;
		bool		removed = scene->fresh && member != NULL &&
		is_removed(scene->view, member);

		if (is_leftover(scene, slot))
			add_task(plan, HA_SLOT_DROP, slot->name, 0,
					 "of the time when this member led");
		if (is_inherited(scene, slot, member))
			add_task(plan, HA_SLOT_INHERIT, slot->name, 0, member);
		if (has_task(plan, slot->name) || !slot->ours)
			continue;
		why = why_unneeded(scene, book, slot->name);
		if (why != NULL && is_droppable(scene, slot) &&
			(may_drop(scene) || removed))
			add_task(plan, HA_SLOT_DROP, slot->name, 0, why);
		else if (why == NULL && !slot->invalid)
			mind_slot(plan, slot, find_slot_member(scene->view, slot->name));
	}
}

/*
 * Where no leader of ours kept a book, a slot is all that tells of an absent
 * member.  The name may not be the member's, but its slot's is the same.
 */
void
ha_slot_book_begin(const HaSlotScene *scene, HaSlotBook *book)
{
	*book = scene->view->slots;
	if (book->known)
		return;
	for (int i = 0; i < scene->nslots; i++)
	{
		const HaSlot *slot = &scene->slots[i];

		if (slot->physical && slot->ours &&
			ha_slot_permanent(scene->config, slot->name) == NULL)
			meet(book, slot->name);
	}
}

int
ha_slot_plan(const HaSlotScene *scene, HaSlotBook *book, HaSlotTask *tasks)
{
	Plan		plan = {.scene = scene,.tasks = tasks};

	if (scene->leads)
		keep_book(&plan, book);
	want_slots(&plan);
	sort_out(&plan, scene->leads ? book : &scene->view->slots);
	if (scene->leads)
		tell_positions(scene, book);
	return plan.n;
}
