-- The SQL surface, on a server that is preloaded but whose store is out of reach.
CREATE EXTENSION pg_ha;

SELECT p.proname, pg_get_function_result(p.oid) LIKE '%record%' OR p.proretset AS rows,
       p.provolatile, p.proparallel,
       has_function_privilege('public', p.oid, 'EXECUTE') AS anybody,
       has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS monitor
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_ha'
WHERE d.classid = 'pg_proc'::regclass
ORDER BY 1;

-- reads need no store, and say what they don't know
SELECT scope, name, role, leader, term, deadline_in_ms, suspended, paused,
       lost_bytes, dcs_age_ms, synchronous_mode, sync_standbys
FROM pg_ha_status();
SELECT count(*) FROM pg_ha_members();
SELECT check_name, ok FROM pg_ha_health() WHERE check_name IN ('store', 'leader', 'fence', 'pg_ha_boot');
SELECT * FROM pg_ha_credentials();
SELECT check_name FROM pg_ha_health() WHERE gates_lease;
SELECT ttl_ms, loop_wait_ms, retry_timeout_ms, renewal_interval_ms, margin_ms, last_proof_age_ms
FROM pg_ha_timing();
SELECT scope, cluster_uuid, cluster_sysid, local_sysid IS NOT NULL AS has_sysid, match
FROM pg_ha_identity();

-- SQL objects of an older version, and of a newer one, with this library
CREATE FUNCTION old_status(OUT scope text, OUT name text) RETURNS record
AS '$libdir/pg_ha', 'pg_ha_status' LANGUAGE C STRICT;
SELECT * FROM old_status();
CREATE FUNCTION old_credentials(OUT purpose text, OUT role text) RETURNS SETOF record
AS '$libdir/pg_ha', 'pg_ha_credentials' LANGUAGE C STRICT;
SELECT * FROM old_credentials();
CREATE FUNCTION new_credentials(OUT purpose text, OUT role text, OUT method text,
	OUT used_by text, OUT more int, OUT yet_more text) RETURNS SETOF record
AS '$libdir/pg_ha', 'pg_ha_credentials' LANGUAGE C STRICT;
SELECT * FROM new_credentials();
DROP FUNCTION old_status(), old_credentials(), new_credentials();

-- slots of others are shown
SELECT slot_name FROM pg_create_physical_replication_slot('idle');
SELECT slot_name FROM pg_create_physical_replication_slot('reserving', true);
SELECT slot, member, owner, active, wal_status, restart_lsn IS NOT NULL AS keeps,
       retained_bytes >= 0 AS retains, drop_at
FROM pg_ha_slots() ORDER BY slot;
SELECT pg_drop_replication_slot(slot) FROM pg_ha_slots();

-- a member that nobody knows can't be removed
SELECT pg_ha_remove_member('nobody');
SELECT pg_ha_remove_member(NULL);

-- actions that can't work say why
SELECT pg_ha_switchover('nobody');
SELECT pg_ha_restart('nobody');
SELECT pg_ha_restart(role => 'king');
SELECT pg_ha_restart(timeout => 0);
SELECT pg_ha_restart(version => 'old');
SELECT pg_ha_restart(version => '15.');
SELECT pg_ha_restart(at => now() + interval '1 hour');
SELECT pg_ha_restart('n1', at => now() - interval '1 hour');
SELECT pg_ha_restart('n1', at => 'infinity');
SELECT pg_ha_restart();
SELECT pg_ha_cancel_restart('nobody');
SELECT pg_ha_cancel_restart(NULL);
SELECT pg_ha_reload('nobody');
SELECT pg_ha_reload();
SELECT pg_ha_switchover('n2', 'infinity');
SELECT pg_ha_switchover('n2', now() - interval '1 day');
SELECT pg_ha_failover(NULL);
SELECT pg_ha_failover('n2', 'n3', false);
SELECT pg_ha_cancel_switchover();
SELECT pg_ha_last_failover();
SELECT count(*) FROM pg_ha_history();

-- the configuration: what is wrong is refused before the store is asked
SELECT pg_ha_get_config();
SELECT count(*) FROM pg_ha_parameters();
SELECT pg_ha_set_config('[1]');
SELECT pg_ha_set_config('{"loopwait": 5}');
SELECT pg_ha_set_config('{"postgresql": {"parameters": {"work_mem": "much"}}}');
SELECT pg_ha_set_config('{"postgresql": {"parameters": {"restore_command": "true"}}}');
SELECT pg_ha_set_config('{"postgresql": {"parameters": {"work_mem": {}}}}');
SELECT pg_ha_set_config('{"postgresql": 1}');
SELECT pg_ha_set_config('{"ttl": 5, "loop_wait": 10, "retry_timeout": 10}');
SELECT pg_ha_set_config(NULL);

SELECT pg_ha_set_config('{"standby_cluster": {"host": "h9", "prt": 5}}');
SELECT pg_ha_set_config('{"standby_cluster": {"host": "h9; rm"}}');

-- a standby cluster: nothing is done by mistake
SELECT pg_ha_promote_cluster();
SELECT pg_ha_promote_cluster('other', true);
SELECT pg_ha_promote_cluster((SELECT scope FROM pg_ha_status()), true);
SELECT pg_ha_promote_cluster(NULL);
SELECT pg_ha_demote_cluster('h9');
SELECT pg_ha_demote_cluster('h9', confirm => (SELECT scope FROM pg_ha_status()), port => 0);
SELECT pg_ha_demote_cluster('-h9', confirm => (SELECT scope FROM pg_ha_status()));
SELECT pg_ha_demote_cluster(repeat('h', 300), confirm => (SELECT scope FROM pg_ha_status()));
SELECT pg_ha_demote_cluster('h9', slot => 'No', confirm => (SELECT scope FROM pg_ha_status()));
SELECT pg_ha_demote_cluster('127.0.0.1', port => 1, confirm => (SELECT scope FROM pg_ha_status()));
SELECT pg_ha_demote_cluster(NULL);

-- access rules: the same
SELECT count(*) FROM pg_ha_get_hba();
SELECT pg_ha_set_hba(NULL);
SELECT pg_ha_set_hba(ARRAY['local all all peer'], NULL);
SELECT pg_ha_set_hba(ARRAY['local all all peer', NULL]);
SELECT pg_ha_set_hba(ARRAY[ARRAY['local all all peer'], ARRAY['local all all trust']]);
SELECT pg_ha_set_hba(ARRAY['local all all peer', E'# two\nlines']);
SELECT pg_ha_set_hba(ARRAY['local all all peer \', 'map=x']);
SELECT pg_ha_set_hba(ARRAY['# nothing', '']);
SELECT pg_ha_set_hba(ARRAY['local all all peer', 'host all all 10.0.0.0/8 scram']);
SELECT pg_ha_set_hba(ARRAY['host all all 10.0.0.0/33 md5']);
SELECT pg_ha_set_hba(ARRAY[repeat('#', 300000)]);
SELECT * FROM pg_ha_hba_check(NULL, 'u', 'd', 'local');
SELECT * FROM pg_ha_hba_check(ARRAY['local all all peer'], 'u', 'd', NULL);
SELECT * FROM pg_ha_hba_check(ARRAY['local all all peer'], 'u', 'd', 'somewhere');
SELECT * FROM pg_ha_hba_check(ARRAY['local all all pere'], 'u', 'd', 'local');
SELECT * FROM pg_ha_hba_check(ARRAY['local all all peer'], 'u', 'd', 'local');
SELECT * FROM pg_ha_hba_check(ARRAY['local all all peer'], 'u', 'd', '::1');
SELECT * FROM pg_ha_hba_check(
	ARRAY['# the first', 'host "all" all all md5', 'host all "all" all md5', 'host all u 10.0.0.0/8 reject', 'host all all 10.1.2.3/32 trust'],
	'u', 'd', '10.1.2.3');
SELECT * FROM pg_ha_hba_check(
	ARRAY['host all all .example.com trust', 'host all all samehost trust', 'host replication u ::/0 md5'],
	'u', 'replication', 'fe80::1');
SELECT pg_ha_set_config('{"postgresql": {"pg_hba": ["local all all pere"]}}');
SELECT pg_ha_set_config('{"postgresql": {"pg_ident": ["m"]}}');

-- a library that is loaded is fenced until leadership is proven
CREATE TABLE fenced (i int);
SET pg_ha.fence_wait = 0;
SET pg_ha.fence = 'writes';
INSERT INTO fenced VALUES (1);
SELECT count(*) FROM fenced;
BEGIN;
SELECT txid_current() IS NOT NULL AS has_xid;
COMMIT;
PREPARE ins AS INSERT INTO fenced VALUES (2);
EXECUTE ins;
DO $$ BEGIN INSERT INTO fenced VALUES (3); END $$;
COPY fenced FROM stdin;
4
\.
WITH w AS (INSERT INTO fenced VALUES (5) RETURNING i) SELECT * FROM w;
SELECT * FROM fenced FOR UPDATE;
NOTIFY somebody;
VACUUM fenced;
CREATE TABLE refused (i int);
SET pg_ha.fence = 'all';
SELECT count(*) FROM fenced;
RESET pg_ha.fence;
SELECT count(*) FROM fenced;

-- lowering the fence gives a promise away
CREATE ROLE regress_ha_user;
SET ROLE regress_ha_user;
SET pg_ha.fence = 'off';
SET pg_ha.fence = 'all';
RESET pg_ha.fence;
SELECT * FROM pg_ha_status();
SELECT pg_ha_pause();
SELECT pg_ha_get_config();
SELECT pg_ha_set_config('{}');
SELECT * FROM pg_ha_slots();
SELECT pg_ha_remove_member('nobody');
SELECT pg_ha_promote_cluster('x');
SELECT pg_ha_demote_cluster('x');
RESET ROLE;
GRANT EXECUTE ON FUNCTION pg_ha_remove_member(text, boolean) TO regress_ha_user;
SET ROLE regress_ha_user;
SELECT pg_ha_remove_member('nobody');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pg_ha_remove_member(text, boolean) FROM regress_ha_user;
SET ROLE regress_ha_user;
SELECT * FROM pg_ha_hba_sources();
SELECT pg_ha_hba_source();
SELECT * FROM pg_ha_get_hba();
SELECT pg_ha_set_hba('{}');
SELECT * FROM pg_ha_hba_check('{}', 'u', 'd', 'local');
RESET ROLE;
GRANT EXECUTE ON FUNCTION pg_ha_set_hba(text[], bool) TO regress_ha_user;
SET ROLE regress_ha_user;
SELECT pg_ha_set_hba('{}');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pg_ha_set_hba(text[], bool) FROM regress_ha_user;

-- names that don't exist are refused
SET pg_ha.nosuch = 1;

DROP ROLE regress_ha_user;
DROP TABLE fenced;
DROP EXTENSION pg_ha;
