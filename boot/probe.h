/*-------------------------------------------------------------------------
 *
 * probe.h
 *	  What a server would make of its configuration files: postgres -C.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_PROBE_H
#define HA_PROBE_H

#include <sys/types.h>

#include "pqexpbuffer.h"

#include "node_file.h"

/* A setting asked for, and what the server said. */
typedef struct HaProbe
{
	const char *name;
	pid_t		pid;
	int			fd;
	char		value[HA_TEXT_SIZE];
} HaProbe;

/*
 * Ask for several settings at once, of the node's data directory with that
 * configuration file: each takes some 30 ms to be told.  false: reported.
 */
extern bool ha_probe_settings(const HaNode *node, const char *config_file,
							  HaProbe *probes, int nprobes);

/*
 * The same where nothing may be written or reported: the configuration is a text,
 * and what the server says is appended to "said".  false with nothing said: the
 * server's program could not be run.
 */
extern bool ha_probe_text(const HaNode *node, const char *data_dir,
						  const char *configuration, HaProbe *probes,
						  int nprobes, PQExpBuffer said);

/*
 * What a standby must not have less of than its data was last written with, by the
 * node file, as "name=value"; how many, 0 if it could not be asked.  Whoever opens
 * data that is new for the first time leaves these in pg_control: initdb has written
 * larger ones, with which it could be started only as a primary.
 */
#define HA_LIMITS		5
#define HA_LIMIT_SIZE	64
extern int	ha_probe_limits(const HaNode *node, char settings[][HA_LIMIT_SIZE]);

/* A line "name = 'value'", quoted as the server's scanner undoes it. */
extern void ha_append_setting(PQExpBuffer conf, const char *name,
							  const char *value);

#endif							/* HA_PROBE_H */
