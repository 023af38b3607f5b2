/*-------------------------------------------------------------------------
 *
 * documents.c
 *	  Keys of the store as they stand there, for SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "documents.h"
#include "pg_ha.h"

static const char *const document_keys[HA_NDOCUMENTS] = {"config", "history"};

static HaDocument taken[HA_NDOCUMENTS];

static const HaKv *
find_kv(const HaAnswer *answer, const char *key)
{
	for (int i = 0; i < answer->nkvs; i++)
	{
		if (!answer->kvs[i].deleted && strcmp(answer->kvs[i].key, key) == 0)
			return &answer->kvs[i];
	}
	return NULL;
}

static void
take(HaDocument *document, const HaKv *kv)
{
	if (document->revision == (kv != NULL ? kv->mod_revision : 0))
		return;
	document->revision = kv != NULL ? kv->mod_revision : 0;
	document->length = 0;
	document->too_long = false;
	document->text[0] = '\0';
	if (kv == NULL)
		return;
	document->too_long = kv->length >= sizeof(document->text) ||
		memchr(kv->value, '\0', kv->length) != NULL;
	if (document->too_long)
		return;
	memcpy(document->text, kv->value, kv->length + 1);
	document->length = (uint32_t) kv->length;
}

void
ha_documents_take(const HaAnswer *answer)
{
	for (int i = 0; i < HA_NDOCUMENTS; i++)
		take(&taken[i], find_kv(answer, document_keys[i]));
}

const HaDocument *
ha_document(HaDocumentKind kind)
{
	return &taken[kind];
}

void
ha_documents_publish(HaDocument *documents)
{
	for (int i = 0; i < HA_NDOCUMENTS; i++)
	{
		if (documents[i].revision != taken[i].revision)
			memcpy(&documents[i], &taken[i],
				   offsetof(HaDocument, text) + taken[i].length + 1);
	}
}

char *
ha_sql_document(HaDocumentKind kind, int64_t *revision)
{
	const HaDocument *document = &ha_shared->documents[kind];
	char	   *text = palloc(sizeof(document->text));
	bool		too_long;

	LWLockAcquire(ha_shared->lock, LW_SHARED);
	*revision = document->revision;
	too_long = document->too_long;
	memcpy(text, document->text, document->length + 1);
	LWLockRelease(ha_shared->lock);
	if (too_long)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the value of key \"%s\" in the store is too long",
						document_keys[kind]),
				 errdetail("At most %d bytes are read.",
						   HA_DOCUMENT_SIZE - 1)));
	if (*revision == 0)
	{
		pfree(text);
		return NULL;
	}
	return text;
}
