-- Every function of the extension, whatever their number: a comment, and nobody's
-- unless it is a read, which is pg_monitor's, or was granted to somebody by name.
CREATE EXTENSION pg_ha;

-- a table, since the grants below change who may what
CREATE TEMP TABLE functions AS
SELECT p.oid, p.oid::regprocedure::text AS signature, p.proname AS name,
       has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS is_read,
       (SELECT string_agg(CASE t.typname
                          WHEN 'text' THEN $$'nobody'$$
                          WHEN '_text' THEN $$'{}'$$
                          WHEN 'jsonb' THEN $$'{}'$$
                          WHEN 'bool' THEN $$'f'$$
                          WHEN 'interval' THEN $$'1 s'$$
                          WHEN 'timestamptz' THEN $$'2100-01-01'$$
                          ELSE $$'0'$$ END || '::' || format_type(a.type, NULL),
                          ', ' ORDER BY a.n)
        FROM unnest(p.proargtypes) WITH ORDINALITY AS a(type, n)
             JOIN pg_type t ON t.oid = a.type) AS arguments
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_ha'
WHERE d.classid = 'pg_proc'::regclass;

-- not one row each
SELECT signature AS has_no_comment FROM functions
WHERE obj_description(oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT signature AS open_to_anybody FROM functions
WHERE has_function_privilege('public', oid, 'EXECUTE') ORDER BY 1;
SELECT signature AS granted_to_somebody_else
FROM functions JOIN pg_proc p USING (oid), aclexplode(p.proacl) a
WHERE a.grantee NOT IN (p.proowner, 'pg_monitor'::regrole) ORDER BY 1;
SELECT count(*) FILTER (WHERE is_read) > 9 AS many_reads,
       count(*) FILTER (WHERE NOT is_read) > 5 AS many_actions FROM functions;

CREATE ROLE regress_ha_anybody;
CREATE ROLE regress_ha_team;
CREATE ROLE regress_ha_operator IN ROLE regress_ha_team;

-- Calls each function that is no read; the rows are those that did not refuse it by
-- themselves.
CREATE FUNCTION not_refused(role text)
RETURNS TABLE (function text, message text) LANGUAGE plpgsql AS $$
DECLARE
	f record;
	refused bool;
BEGIN
	FOR f IN SELECT * FROM functions WHERE NOT is_read ORDER BY signature
	LOOP
		refused := false;
		message := NULL;
		EXECUTE format('SET LOCAL ROLE %I', role);
		BEGIN
			EXECUTE format('SELECT * FROM %I(%s)', f.name, f.arguments);
		EXCEPTION WHEN OTHERS THEN
			message := SQLERRM;
			refused := SQLSTATE = '42501' AND
				message LIKE 'permission denied to operate cluster %';
		END;
		RESET ROLE;
		IF NOT refused THEN
			function := f.signature;
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;

-- without a grant the server refuses, with one to everybody the function does
SET ROLE regress_ha_anybody;
SELECT pg_ha_pause(false);
SELECT count(*) FROM pg_ha_dcs();
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
SELECT * FROM not_refused('regress_ha_anybody');
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;

-- a grant counts for whoever has the role that it was made to
GRANT EXECUTE ON FUNCTION pg_ha_join_command() TO regress_ha_team;
SET ROLE regress_ha_operator;
SELECT pg_ha_join_command() IS NOT NULL AS may;
SELECT pg_ha_pause(false);
RESET ROLE;
SET ROLE regress_ha_anybody;
SELECT pg_ha_join_command() IS NOT NULL AS may;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pg_ha_join_command() FROM regress_ha_team;

-- reads are for those who watch
GRANT pg_monitor TO regress_ha_anybody;
SET ROLE regress_ha_anybody;
SELECT count(*) FROM pg_ha_dcs();
SELECT scope FROM pg_ha_status();
RESET ROLE;

DROP FUNCTION not_refused;
DROP TABLE functions;
DROP EXTENSION pg_ha;
DROP ROLE regress_ha_anybody, regress_ha_operator, regress_ha_team;
