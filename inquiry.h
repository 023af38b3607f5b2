/*-------------------------------------------------------------------------
 *
 * inquiry.h
 *	  Asking members of Patroni how far they are, before one of ours leads (S-11).
 *
 * Plain C and pure: no clock, no I/O, no log.  A part of HaLease, driven through
 * lease.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_INQUIRY_H
#define HA_INQUIRY_H

#include "cluster.h"
#include "peer.h"

typedef struct HaInquired
{
	HaPeer		peer;			/* its name, and what it said last */
	char		url[HA_URL_SIZE];
	bool		sent;
	uint32_t	tag;			/* of the question that is out; 0 = none */
	char		trouble[HA_WHY_SIZE];	/* why the last one had no answer that
										 * counts; '' = it had */
	char		told[HA_WHY_SIZE];	/* ... as it was last logged, by the
									 * caller */
} HaInquired;

typedef struct HaInquiry
{
	int32_t		n;
	HaInquired	whom[HA_MAX_MEMBERS];
	bool		wanted;
	int64_t		began_at;		/* of the round under way; 0 = none is */
} HaInquiry;

/* Who is to be asked, as a new view tells. */
extern void ha_inquiry_look(HaInquiry *inquiry, const HaView *view);

/* Begin a round if one is wanted; the next question of it, without its tag. */
extern bool ha_inquiry_next(HaInquiry *inquiry, int64_t now,
							HaPeerRequest *request, HaInquired **whom);

/* False: this was no question of ours. */
extern bool ha_inquiry_answered(HaInquiry *inquiry, const HaPeerAnswer *answer,
								uint64_t sysid);

/* What they have said, or will say to what was asked, does not count any more. */
extern void ha_inquiry_void(HaInquiry *inquiry);

/* What is known of them goes to the rules. */
extern void ha_inquiry_tell(const HaInquiry *inquiry, HaLocal *local);

#endif							/* HA_INQUIRY_H */
