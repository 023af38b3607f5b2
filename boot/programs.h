/*-------------------------------------------------------------------------
 *
 * programs.h
 *	  Running PostgreSQL's programs as children, and ending what they leave.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PROGRAMS_H
#define HA_PROGRAMS_H

#include <sys/types.h>

#include "pqexpbuffer.h"

#include "../compat.h"
#include "node_file.h"

/*
 * Fork; 0 in the child, which then has no signal handler of ours and dies with
 * its parent.  It must leave by _exit or exec, so as not to run what
 * pg_ha_boot registered for its own exit.  -1: reported.
 */
extern pid_t ha_program_fork(void);

/*
 * In the child: become the program argv[0], of bin_dir if it is a mere name; in and
 * out are -1 for nothing and our stderr.
 */
pg_noreturn extern void ha_program_exec(const HaNode *node, const char **argv,
										int in, int out);

/* Did it end with exit code 0?  Anything else is reported. */
extern bool ha_program_wait(pid_t pid, const char *program);

/* Run a program of bin_dir to its end; false: reported. */
extern bool ha_program_run(const HaNode *node, const char **argv);

/*
 * The same with everything it prints appended to "said", which is all that is
 * reported: its exit code, or -1 if it has none.
 */
extern int	ha_program_capture(const HaNode *node, const char **argv, int in,
							   PQExpBuffer said);

/*
 * Run a program of bin_dir, or one by its absolute path, to its end, and pass on
 * what it says to the log under that name.  false: *end tells how it ended and
 * what it complained of.
 */
extern bool ha_program_listen(const HaNode *node, const char **argv,
							  const char *name, char *end, size_t size);

/*
 * ha_program_fork() for work on the data directory, in a process group of its
 * own.  The lock is inherited by every process of the work and held until the
 * last of them is gone.
 */
extern pid_t ha_work_fork(const HaNode *node);

/* Kill what is left of earlier work.  false: reported, something is. */
extern bool ha_work_end_leftovers(const HaNode *node);

#endif							/* HA_PROGRAMS_H */
