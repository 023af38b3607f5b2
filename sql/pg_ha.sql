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

-- actions that can't work say why
SELECT pg_ha_switchover('nobody');
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
RESET ROLE;

-- names that don't exist are refused
SET pg_ha.nosuch = 1;

DROP ROLE regress_ha_user;
DROP TABLE fenced;
DROP EXTENSION pg_ha;
