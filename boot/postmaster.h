/*-------------------------------------------------------------------------
 *
 * postmaster.h
 *	  The processes of the server: start, find, signal, and end every one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_POSTMASTER_H
#define HA_POSTMASTER_H

#include <sys/types.h>

#include "utils/pidfile.h"

#include "../control.h"
#include "node_file.h"
#include "prepare.h"

typedef struct HaPostmaster
{
	pid_t		pid;			/* 0 = none lives that we know of */
	uint64_t	start;			/* ha_process_start_time */
	bool		child;			/* ours to reap, and so will its orphans be */
	int			pidfd;			/* of one that is not our child; else -1 */
} HaPostmaster;

/*
 * Make this process the one that inherits orphans, so that no backend can
 * outlive its postmaster unseen.  false: reported.
 */
extern bool ha_postmaster_adopt_orphans(void);

/*
 * Start "postgres -D DATA" with the libraries it was prepared for.  false:
 * reported.
 */
extern bool ha_postmaster_start(HaPostmaster *pm, const HaNode *node,
								const HaPrepared *prepared);

/*
 * postmaster.pid, each line without its end under its number in utils/pidfile.h.
 * Returns the number of the last one; 0 = there is no such file.
 */
typedef char HaPidFile[LOCK_FILE_LINE_PM_STATUS + 1][MAXPGPATH];
extern int	ha_postmaster_pid_file(const HaNode *node, HaPidFile lines);

/*
 * Find a postmaster that already runs in the data directory, and watch it.  Without
 * a control block only postmaster.pid can tell.
 * false: there is none.
 */
extern bool ha_postmaster_attach(HaPostmaster *pm, const HaNode *node,
								 const HaControl *control);

/* The same for commands that want none there: true is reported. */
extern bool ha_postmaster_runs(const HaNode *node);

/* For one that is not our child: has it ended? */
extern bool ha_postmaster_has_ended(const HaPostmaster *pm);

/* Forget one that has ended. */
extern void ha_postmaster_forget(HaPostmaster *pm);

extern void ha_postmaster_signal(const HaPostmaster *pm, int signo);

/* SIGKILL to it and to its children, none of which can be forked meanwhile. */
extern void ha_postmaster_kill_tree(const HaPostmaster *pm);

/*
 * SIGKILL to every child of ours but "spare" (0 = none) and callbacks.  Returns how
 * many live ones were found, the spared one included, but no callbacks: 0 means that
 * no process of the old server is left.
 */
extern int	ha_children_kill(pid_t spare);

/*
 * SIGKILL to what is left of a server whose postmaster, dead by now, was no child of
 * ours: whoever is attached to the shared memory that postmaster.pid names.  Returns
 * how many were found.
 */
extern int	ha_orphans_kill(const HaNode *node);

#endif							/* HA_POSTMASTER_H */
