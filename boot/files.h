/*-------------------------------------------------------------------------
 *
 * files.h
 *	  Small files that are there as a whole, and durably, or not at all.
 *
 * Functions that return bool report why when they return false, but for those
 * that ask a question.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_FILES_H
#define HA_FILES_H

#include <sys/types.h>

#include "pqexpbuffer.h"

#include "node_file.h"

/* DIR/NAME into a buffer of MAXPGPATH bytes. */
extern bool ha_path_in(char *path, const char *dir, const char *name);

/* Is there anything of that name?  A question. */
extern bool ha_exists_in(const char *dir, const char *name);

extern bool ha_sync_directory(const char *path);
extern bool ha_sync_parent(const char *path);

/* All of it; false with errno, not reported. */
extern bool ha_write_all(int fd, const char *data, size_t length);

/* Text up to the end or size - 1 bytes, with a zero behind it; its length. */
extern size_t ha_read_all(int fd, char *text, size_t size);

/* A file without a name that holds this text, at its beginning; -1 with errno. */
extern int	ha_nameless_file(const char *content);

/*
 * Give a file this content.  What must outlive a crash of the machine is
 * "durable"; on a busy disk that takes seconds, for which a leader's lease may
 * not last.
 */
extern bool ha_replace_file(const char *path, const char *content,
							mode_t mode, bool durable);

/* The same in the data directory, with the mode that its files have. */
extern bool ha_replace_data_file(const HaNode *node, const char *name,
								 const char *content, bool durable);

/* Remove a file if it is there, durably. */
extern bool ha_remove_file(const char *dir, const char *name);

/* Append what a text file holds. */
extern bool ha_read_file(const char *path, PQExpBuffer content);

/* Has a file of the data directory this content?  A question. */
extern bool ha_data_file_is(const HaNode *node, const char *name,
							const char *content);

#endif							/* HA_FILES_H */
