/*-------------------------------------------------------------------------
 *
 * slot_plan.h
 *	  Which replication slots this server should have, where each should stand,
 *	  and which may go.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_SLOT_PLAN_H
#define HA_SLOT_PLAN_H

#include "cluster.h"

/* A slot of this server, whoever made it. */
typedef struct HaSlot
{
	char		name[HA_NAME_SIZE];
	bool		physical;
	char		plugin[HA_NAME_SIZE];	/* of a logical one */
	bool		synced;			/* a copy that the server itself keeps */
	bool		ours;			/* pg_ha made it: physical ones only tell */
	bool		active;			/* somebody uses it now */
	bool		invalid;		/* it has lost its WAL, and lets nobody stream */
	bool		holds_rows;		/* it keeps dead rows from being removed */
	uint64_t	restart_lsn;	/* 0 = it keeps no WAL */
} HaSlot;

/* What is known when slots are planned. */
typedef struct HaSlotScene
{
	const HaConfig *config;
	const HaView *view;
	const HaLocal *local;
	const HaSlot *slots;
	int			nslots;
	bool		leads;			/* else it follows a leader */
	bool		after_patroni;	/* Patroni has run this server, and made slots
								 * for members that bear no mark */
	bool		fresh;			/* the view is, and the store is what
								 * leadership rests on: only then is anything
								 * dropped */
	int64_t		elapsed;		/* ms since the last plan; 0 = not known */
} HaSlotScene;

typedef enum HaSlotDeed
{
	HA_SLOT_CREATE,
	HA_SLOT_CREATE_LOGICAL,
	HA_SLOT_RENEW,				/* drop it and create it: it holds nothing */
	HA_SLOT_ADVANCE,			/* to lsn, and let dead rows go */
	HA_SLOT_TAKE,				/* a member streams through it: it is ours now */
	HA_SLOT_INHERIT,			/* Patroni made it for a member: it is ours
								 * now */
	HA_SLOT_DROP,
} HaSlotDeed;

typedef struct HaSlotTask
{
	HaSlotDeed	deed;
	char		slot[HA_NAME_SIZE];
	uint64_t	lsn;
	char		why[HA_WHY_SIZE];	/* CREATE, TAKE, INHERIT: the member, '' =
									 * none; RENEW, DROP: a clause for the log */
} HaSlotTask;

#define HA_MAX_SLOT_TASKS	64	/* what is more comes with the next plan */

/* A new leader takes the book of the one before. */
extern void ha_slot_book_begin(const HaSlotScene *scene, HaSlotBook *book);

/*
 * What is to be done now; returns how many tasks.  On the leader *book is kept up
 * to date: it must be that of the last plan, or one just begun.
 */
extern int	ha_slot_plan(const HaSlotScene *scene, HaSlotBook *book,
						 HaSlotTask *tasks);

/* The member whose slot has that name, absent ones included; NULL = nobody's. */
extern const char *ha_slot_member(const HaView *view, const HaSlotBook *book,
								  const char *slot);

/* The server's slot of that name; NULL = there is none. */
extern const HaSlot *ha_find_slot(const HaSlotScene *scene, const char *name);

/* The permanent slot of that name; NULL = there is none. */
extern const HaSlotSpec *ha_slot_permanent(const HaConfig *config,
										   const char *slot);

/* For how long the member has been absent by that book; 0 = it is not. */
extern int64_t ha_slot_absence(const HaView *view, const HaSlotBook *book,
							   const char *member);

#endif							/* HA_SLOT_PLAN_H */
