-- What a member tells of the store when it has never reached it: at once, and without
-- an error.
CREATE EXTENSION pg_ha;

SELECT endpoint, state IN ('not asked', 'refused') AS state_known, latency_ms,
       is_etcd_leader, in_use, member, version, last_ok
FROM pg_ha_dcs();
SELECT etcd_members, voters_healthy, needed, can_lose, warning FROM pg_ha_quorum();

-- what depends on the configuration alone, which here is the default
SELECT max_failover_seconds, tolerated_dcs_outage_seconds, renewals_per_minute,
       worst_renewal_latency_ms
FROM pg_ha_timing();

-- who has never seen the cluster has no members to show
SELECT name, as_of, stale FROM pg_ha_members();

-- none of them has an argument
SELECT pg_ha_dcs(1);
SELECT pg_ha_quorum('x');

DROP EXTENSION pg_ha;
