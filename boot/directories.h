/*-------------------------------------------------------------------------
 *
 * directories.h
 *	  Directories outside the data that a server needs to be there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DIRECTORIES_H
#define HA_DIRECTORIES_H

#include "node_file.h"

/*
 * Make what is missing of unix_socket_directories and, with a collector, of
 * log_directory, for a server that is about to start on data that is there.  false:
 * reported.
 */
extern bool ha_directories_make(const HaNode *node, const char *sockets,
								bool collector, const char *log_directory);

#endif							/* HA_DIRECTORIES_H */
