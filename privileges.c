/*-------------------------------------------------------------------------
 *
 * privileges.c
 *	  Who may operate the cluster through SQL.
 *
 * Those to whom the owner of a function has granted EXECUTE on it, by name or by a
 * role that they have; and superusers.  The server itself sees to that, but for
 * one thing that is easily done by accident, "GRANT EXECUTE ON ALL FUNCTIONS ... TO
 * PUBLIC": everybody is nobody's choice, so such a grant does not count here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/syscache.h"

#include "functions.h"

static bool
is_granted(Oid function, Oid role)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		granted;
	bool		isnull;
	Datum		datum;
	Acl		   *acl;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	granted = has_privs_of_role(role,
								((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	datum = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proacl, &isnull);
	acl = isnull ? NULL : DatumGetAclPCopy(datum);
	ReleaseSysCache(tuple);
	for (int i = 0; acl != NULL && !granted && i < ACL_NUM(acl); i++)
	{
		AclItem    *item = &ACL_DAT(acl)[i];

		granted = item->ai_grantee != ACL_ID_PUBLIC &&
			(ACLITEM_GET_PRIVS(*item) & ACL_EXECUTE) != 0 &&
			has_privs_of_role(role, item->ai_grantee);
	}
	return granted;
}

void
ha_sql_require_operator(FunctionCallInfo fcinfo)
{
	ha_sql_require_worker();
	if (superuser() || is_granted(fcinfo->flinfo->fn_oid, GetUserId()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to operate cluster \"%s\"", ha_scope),
			 errhint("Have EXECUTE on the function granted to you, or to a role of yours. A grant to PUBLIC does not count.")));
}
