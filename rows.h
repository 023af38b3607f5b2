/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Result rows, for the files of SQL functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HA_ROWS_H
#define HA_ROWS_H

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "control.h"

/* Let a row grow column by column, so that order and NULLs can't get apart. */
typedef struct Row
{
	int			n;
	Datum		values[32];
	bool		nulls[32];
} Row;

static inline void
add(Row *row, Datum value)
{
	row->nulls[row->n] = false;
	row->values[row->n++] = value;
}

static inline void
add_null(Row *row)
{
	row->nulls[row->n] = true;
	row->values[row->n++] = (Datum) 0;
}

/* An empty text means "not known". */
static inline void
add_text(Row *row, const char *text)
{
	if (text == NULL || text[0] == '\0')
		add_null(row);
	else
		add(row, CStringGetTextDatum(text));
}

static inline void
add_lsn(Row *row, uint64 lsn)
{
	if (lsn == 0)
		add_null(row);
	else
		add(row, LSNGetDatum(lsn));
}

/* A time of ha_now() as people have it; 0 is "not known". */
static inline void
add_time(Row *row, int64 at)
{
	if (at == 0)
		add_null(row);
	else
		add(row, TimestampTzGetDatum(GetCurrentTimestamp() -
									 (ha_now() - at) * 1000));
}

/*
 * The library may be newer than the SQL objects, until ALTER EXTENSION is run, or
 * older, after a downgrade.  New columns come last, so those that both know agree;
 * of the others the caller gets none, or nulls.
 */
static inline void
fit_row(Row *row, TupleDesc desc)
{
	if (desc->natts > lengthof(row->values))
		elog(ERROR, "function has %d columns", desc->natts);
	while (row->n < desc->natts)
		add_null(row);
}

static inline Datum
row_datum(FunctionCallInfo fcinfo, Row *row)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	fit_row(row, desc);
	return HeapTupleGetDatum(heap_form_tuple(desc, row->values, row->nulls));
}

static inline void
put_row(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	fit_row(row, info->setDesc);
	tuplestore_putvalues(info->setResult, info->setDesc, row->values,
						 row->nulls);
	memset(row, 0, sizeof(*row));
}

#endif							/* HA_ROWS_H */
