/*-------------------------------------------------------------------------
 *
 * hba_json.h
 *	  Rules of access in the cluster's configuration.
 *
 * Plain C and jansson.  They stand where Patroni has them, in "postgresql", as an
 * array of lines: {"postgresql":{"pg_hba":["local all all peer"],"pg_ident":[]}}.
 * At the top of the object they are read, too, if Patroni's place has none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_HBA_JSON_H
#define HA_HBA_JSON_H

#include "hba.h"

/*
 * The rules as the text of a file, malloc'd.  NULL with an empty err: there are none.
 * NULL with a message: what is there can't be such a text.
 */
extern char *ha_hba_from_config(const char *json, HaAuthFile file, char *err,
								size_t errlen);

/*
 * The merge patch that gives the configuration these rules, or none, wherever it had
 * some before.  malloc'd; NULL: memory is out, or a line is no UTF-8.
 */
extern char *ha_hba_patch(HaAuthFile file, const char *const *lines,
						  int nlines);

/* Why it can't be one line of a file; NULL = it can. */
extern const char *ha_hba_line_fault(const char *line, size_t length);

#endif							/* HA_HBA_JSON_H */
