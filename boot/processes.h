/*-------------------------------------------------------------------------
 *
 * processes.h
 *	  What /proc tells of other processes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PROCESSES_H
#define HA_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Its command line with blanks between the words; '' = not known. */
extern void ha_process_command(pid_t pid, char *command, size_t size);

/* The systemd unit that it belongs to; '' = none, or not known. */
extern void ha_process_unit(pid_t pid, char *unit, size_t size);

/* Is its working directory that one? */
extern bool ha_process_works_in(pid_t pid, const char *directory);

/* Has it the segment of System V shared memory with that id attached? */
extern bool ha_process_has_segment(pid_t pid, uint64_t id);

/* Who has that socket open; 0 = nobody whose files we may see. */
extern pid_t ha_process_with_socket(uint64_t inode);

#endif							/* HA_PROCESSES_H */
