/*-------------------------------------------------------------------------
 *
 * wal.c
 *	  The WAL files of a standby, as recovery would read them.
 *
 * A standby that follows a new timeline receives it from the beginning of the
 * segment in which it stands, though it has replayed most of that under the old
 * timeline.  Recovery reads the newest timeline's file of a segment if there is
 * one.  So when streaming ends early, a file that is mostly empty hides a
 * complete one: what the standby has confirmed is on its disk, but a promotion
 * ends in PANIC, and after a crash it is as if it had never been received.  Then
 * the only copy of acknowledged commits would be passed over.
 *
 * Up to where the new timeline begins both files hold the same bytes.  So what
 * the newer lacks is copied into it.  How far a file goes is found by reading
 * its records, each with its checksum; nothing has to be known of what happened
 * before, and doing it twice does no harm.
 *
 * Only the segment in which replay has come to its end can be hidden like that:
 * a standby asks for streaming when it has replayed all that it has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "storage/fd.h"

#include "server.h"
#include "wal.h"

/* Replay that has not moved for so long waits for something. */
#define STALLED_AFTER	500

/* After an error, and how long the startup process has for what was mended. */
#define TRY_AGAIN		1000
#define REPLAY_WITHIN	10000

/* One segment of one timeline, while it is read. */
typedef struct Segment
{
	TimeLineID	timeline;
	XLogSegNo	number;
	int			fd;
} Segment;

static bool
open_segment(Segment *segment, TimeLineID timeline, XLogSegNo number,
			 int flags)
{
	char		path[MAXPGPATH];

	segment->timeline = timeline;
	segment->number = number;
	XLogFilePath(path, timeline, number, wal_segment_size);
	segment->fd = BasicOpenFile(path, flags | PG_BINARY);
	return segment->fd >= 0;
}

/* For the reader: one page, of this segment only. */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int reqLen,
		  XLogRecPtr target, char *buf)
{
	Segment    *segment = state->private_data;
	XLogSegNo	number;

	XLByteToSeg(page, number, wal_segment_size);
	if (number != segment->number)
		return -1;
	state->seg.ws_tli = segment->timeline;
	return pg_pread(segment->fd, buf, XLOG_BLCKSZ,
					XLogSegmentOffset(page, wal_segment_size)) == XLOG_BLCKSZ ?
		XLOG_BLCKSZ : -1;
}

static void
close_nothing(XLogReaderState *state)
{
	state->seg.ws_file = -1;
}

/* Where its last good record ends; 0 = none begins in it. */
static XLogRecPtr
find_end(Segment *segment)
{
	XLogReaderRoutine routine = {
		.page_read = read_page,
		.segment_close = close_nothing,
	};
	XLogReaderState *reader = XLogReaderAllocate(wal_segment_size, NULL,
												 &routine, segment);
	XLogRecPtr	start;
	XLogRecPtr	end = InvalidXLogRecPtr;
	char	   *error;

	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	XLogSegNoOffsetToRecPtr(segment->number, 0, wal_segment_size, start);
	start = XLogFindNextRecord(reader, start);
	if (start != InvalidXLogRecPtr)
	{
		XLogBeginRead(reader, start);
		while (XLogReadRecord(reader, &error) != NULL)
			end = reader->EndRecPtr;
	}
	XLogReaderFree(reader);
	return end;
}

/* The same, but not beyond where another timeline leaves it. */
static XLogRecPtr
find_reach(const TimeLineHistoryEntry *entry, XLogSegNo number)
{
	Segment		segment;
	XLogRecPtr	end;

	if (!open_segment(&segment, entry->tli, number, O_RDONLY))
		return InvalidXLogRecPtr;
	end = find_end(&segment);
	close(segment.fd);
	return entry->end != InvalidXLogRecPtr ? Min(end, entry->end) : end;
}

/* Copy the segment's beginning, up to that position. */
static bool
copy_beginning(const Segment *from, const Segment *to, XLogRecPtr until)
{
	PGAlignedXLogBlock block;
	XLogRecPtr	start;
	off_t		size;

	XLogSegNoOffsetToRecPtr(from->number, 0, wal_segment_size, start);
	size = until - start;
	for (off_t at = 0; at < size; at += XLOG_BLCKSZ)
	{
		int			n = Min(XLOG_BLCKSZ, size - at);

		if (pg_pread(from->fd, block.data, n, at) != n ||
			pg_pwrite(to->fd, block.data, n, at) != n)
			return false;
	}
	return pg_fsync(to->fd) == 0;
}

static bool
fill(TimeLineID from_timeline, TimeLineID to_timeline, XLogSegNo number,
	 XLogRecPtr until)
{
	Segment		from = {.fd = -1};
	Segment		to = {.fd = -1};
	bool		ok = open_segment(&from, from_timeline, number, O_RDONLY) &&
	open_segment(&to, to_timeline, number, O_RDWR) &&
	copy_beginning(&from, &to, until);

	if (ok)
		ereport(LOG,
				(errmsg("completed the WAL of timeline %u up to %X/%X from that of timeline %u",
						to_timeline, LSN_FORMAT_ARGS(until), from_timeline),
				 errdetail("Streaming had ended early, and what was received before would have been passed over.")));
	else
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not complete the WAL of timeline %u from that of timeline %u: %m",
						to_timeline, from_timeline)));
	if (from.fd >= 0)
		close(from.fd);
	if (to.fd >= 0)
		close(to.fd);
	return ok;
}

/*
 * The newest timeline here that descends from this one, as its history, newest
 * first.  Files that only reserve an id have no parents, so they never match.
 */
static List *
newest_line(TimeLineID timeline)
{
	for (TimeLineID id = findNewestTimeLine(timeline); id > timeline; id--)
	{
		List	   *history;

		if (!existsTimeLineHistory(id))
			continue;
		history = readTimeLineHistory(id);
		if (tliInHistory(timeline, history))
			return history;
		list_free_deep(history);
	}
	return NIL;
}

/* The file that recovery would read: the newest timeline's that there is. */
static const TimeLineHistoryEntry *
find_file_in_use(const List *history, XLogSegNo number)
{
	ListCell   *cell;

	foreach(cell, history)
	{
		TimeLineHistoryEntry *entry = lfirst(cell);
		char		path[MAXPGPATH];

		XLogFilePath(path, entry->tli, number, wal_segment_size);
		if (access(path, F_OK) == 0)
			return entry;
	}
	return NULL;
}

/* Returns false only after an error.  *end: how far this segment goes. */
static bool
mend_segment(const List *history, TimeLineID timeline, XLogSegNo number,
			 XLogRecPtr *end, XLogRecPtr *reach)
{
	const TimeLineHistoryEntry *in_use = find_file_in_use(history, number);
	const TimeLineHistoryEntry *source = NULL;
	XLogRecPtr	best;
	ListCell   *cell;

	*end = InvalidXLogRecPtr;
	if (in_use == NULL || in_use->tli <= timeline)
		return true;			/* nothing hides what was replayed */
	*end = best = find_reach(in_use, number);
	foreach(cell, history)
	{
		const TimeLineHistoryEntry *entry = lfirst(cell);
		XLogRecPtr	other = entry->tli < in_use->tli ?
		find_reach(entry, number) : InvalidXLogRecPtr;

		if (other > best)
		{
			best = other;
			source = entry;
		}
	}
	if (source == NULL)
		return true;
	if (!fill(source->tli, in_use->tli, number, best))
		return false;
	*end = *reach = best;
	return true;
}

/*
 * Mend what there is around "position", where replay stands.  *reach is how far
 * the WAL goes that had been hidden, 0 if none was; *begin is where the newest
 * timeline begins that recovery is on the way to, 0 if it is there.  Returns
 * false if what was replayed can't be read any more, or after an error.
 */
static bool
mend(TimeLineID timeline, XLogRecPtr position, XLogRecPtr *reach,
	 XLogRecPtr *begin)
{
	List	   *history = newest_line(timeline);
	XLogSegNo	last;
	XLogSegNo	next;
	XLogRecPtr	end;
	XLogRecPtr	unused;
	bool		ok;

	*reach = *begin = InvalidXLogRecPtr;
	if (history == NIL)
		return true;
	*begin = ((TimeLineHistoryEntry *) linitial(history))->begin;

	/* where the last byte is, and where the next one will be */
	XLByteToPrevSeg(position, last, wal_segment_size);
	XLByteToSeg(position, next, wal_segment_size);
	ok = mend_segment(history, timeline, last, &end, reach);
	if (ok && end != InvalidXLogRecPtr && end < position)
	{
		ereport(LOG,
				(errmsg("WAL that was replayed up to %X/%X can be read only up to %X/%X",
						LSN_FORMAT_ARGS(position), LSN_FORMAT_ARGS(end)),
				 errhint("This member does not stand for election until it has followed a leader.")));
		ok = false;
	}
	if (ok && next != last)
		ok = mend_segment(history, timeline, next, &unused, reach);

	/* the next record may begin in this segment and end in the one behind it */
	if (ok)
		ok = mend_segment(history, timeline, next + 1, &unused, reach);
	list_free_deep(history);
	return ok;
}

/* Replay stands still and nobody is followed: nothing more comes by itself. */
static bool
is_at_its_end(const HaLocal *local, int64 now)
{
	/* one that may be leaving recovery writes there itself */
	if (local->promoting || local->nostream)
		return false;
	if (local->role == HA_ROLE_STANDBY)
		return local->detached && !local->replaying;
	return local->role == HA_ROLE_STARTING && local->timeline != 0 &&
		local->follows[0] == '\0' && ha_server_receiver_is_gone() &&
		now - local->replay_moved_at >= STALLED_AFTER;
}

void
ha_wal_look(HaLocal *local, int64 now)
{
	static bool mended = false;
	static int64 mended_at = 0;
	static int64 not_before = 0;
	static XLogSegNo segment = 0;
	static XLogRecPtr reach = InvalidXLogRecPtr;
	static XLogRecPtr begin = InvalidXLogRecPtr;
	XLogSegNo	present;

	XLByteToSeg(local->replay_lsn, present, wal_segment_size);
	if (!is_at_its_end(local, now) || present != segment)
		mended = false;
	segment = present;
	local->line_begins_at = 0;
	if (!is_at_its_end(local, now))
		return;
	if (!mended && now >= not_before)
	{
		not_before = now + TRY_AGAIN;
		mended = mend(local->timeline, local->replay_lsn, &reach, &begin);
		mended_at = now;
		if (reach != InvalidXLogRecPtr)
			ha_server_wake_startup();
	}
	local->line_begins_at = begin;
	if (!mended ||
		(local->replay_lsn < reach && now - mended_at < REPLAY_WITHIN))
		local->detached = false;
}
