/*-------------------------------------------------------------------------
 *
 * documents.h
 *	  Keys of the store as they stand there, for SQL.
 *
 * The worker knows the cluster's configuration as a few numbers; whoever shows or
 * changes it needs the text, with what other tools put there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_DOCUMENTS_H
#define HA_DOCUMENTS_H

#include "dcs.h"

typedef enum HaDocumentKind
{
	HA_DOCUMENT_CONFIG,
	HA_DOCUMENT_HISTORY,
	HA_NDOCUMENTS,
} HaDocumentKind;

/* A longer one is not shown, and can't be changed through SQL. */
#define HA_DOCUMENT_SIZE	(64 * 1024)

typedef struct HaDocument
{
	int64_t		revision;		/* mod_revision; 0 = there is no such key */
	uint32_t	length;
	bool		too_long;		/* then there is no text */
	char		text[HA_DOCUMENT_SIZE]; /* with its NUL */
} HaDocument;

/* The worker: remember them from an answer to a RANGE ... */
extern void ha_documents_take(const HaAnswer *answer);

/* ... and copy what is new to where sessions read; with HaShared's lock held. */
extern void ha_documents_publish(HaDocument *documents);

/* The worker's own copy, for as long as no other is taken. */
extern const HaDocument *ha_document(HaDocumentKind kind);

/*
 * Sessions: a palloc'd copy of the text; NULL if there is none.  An error if it is
 * too long.  *revision is what a guarded write must compare.
 */
extern char *ha_sql_document(HaDocumentKind kind, int64_t *revision);

#endif							/* HA_DOCUMENTS_H */
