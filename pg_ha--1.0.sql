/* pg_ha--1.0.sql */

-- complain if script is sourced in psql rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_ha" to load this file. \quit

--
-- Reads: from shared memory, on any member, without the store.
--

CREATE FUNCTION pg_ha_status(
	OUT scope pg_catalog.text,
	OUT name pg_catalog.text,
	OUT role pg_catalog.text,
	OUT leader pg_catalog.text,
	OUT term pg_catalog.int8,
	OUT timeline pg_catalog.int4,
	OUT verb pg_catalog.text,
	OUT why pg_catalog.text,
	OUT deadline_in_ms pg_catalog.int8,
	OUT suspended pg_catalog.bool,
	OUT paused pg_catalog.bool,
	OUT paused_since pg_catalog.timestamptz,
	OUT lsn pg_catalog.pg_lsn,
	OUT lost_bytes pg_catalog.int8,
	OUT dcs_age_ms pg_catalog.int8,
	OUT synchronous_mode pg_catalog.text,
	OUT sync_standbys pg_catalog.text[],
	OUT failsafe pg_catalog.text,
	OUT config_error pg_catalog.text,
	OUT guarantee pg_catalog.text)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_status() IS
'what this member is doing and why';

CREATE FUNCTION pg_ha_members(
	OUT name pg_catalog.text,
	OUT role pg_catalog.text,
	OUT state pg_catalog.text,
	OUT host pg_catalog.text,
	OUT port pg_catalog.int4,
	OUT timeline pg_catalog.int4,
	OUT lsn pg_catalog.pg_lsn,
	OUT lag_bytes pg_catalog.int8,
	OUT tags pg_catalog.text,
	OUT is_leader pg_catalog.bool,
	OUT sync pg_catalog.bool,
	OUT clone_method pg_catalog.text,
	OUT clone_percent pg_catalog.int4,
	OUT pending_restart pg_catalog.text,
	OUT hba_source pg_catalog.text,
	OUT hba_differs pg_catalog.bool,
	OUT as_of pg_catalog.timestamptz,
	OUT stale pg_catalog.bool,
	OUT version pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_members() IS
'the members of the cluster as this member last read them';

CREATE FUNCTION pg_ha_slots(
	OUT slot pg_catalog.text,
	OUT member pg_catalog.text,
	OUT owner pg_catalog.text,
	OUT active pg_catalog.bool,
	OUT wal_status pg_catalog.text,
	OUT restart_lsn pg_catalog.pg_lsn,
	OUT retained_bytes pg_catalog.int8,
	OUT drop_at pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_slots() IS
'the replication slots of this server, whose they are, and when they will go';

CREATE FUNCTION pg_ha_credentials(
	OUT purpose pg_catalog.text,
	OUT role pg_catalog.text,
	OUT method pg_catalog.text,
	OUT used_by pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT STABLE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_credentials() IS
'what this member identifies itself with, and for what; no secrets';

CREATE FUNCTION pg_ha_health(
	OUT check_name pg_catalog.text,
	OUT ok pg_catalog.bool,
	OUT detail pg_catalog.text,
	OUT since pg_catalog.timestamptz,
	OUT gates_lease pg_catalog.bool)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_health() IS
'what is well and what is not, on this member';

CREATE FUNCTION pg_ha_timing(
	OUT ttl_ms pg_catalog.int8,
	OUT loop_wait_ms pg_catalog.int8,
	OUT retry_timeout_ms pg_catalog.int8,
	OUT renewal_interval_ms pg_catalog.int8,
	OUT margin_ms pg_catalog.int8,
	OUT election_wait_ms pg_catalog.int8,
	OUT primary_start_timeout_ms pg_catalog.int8,
	OUT last_proof_age_ms pg_catalog.int8,
	OUT dcs_age_ms pg_catalog.int8,
	OUT max_failover_seconds pg_catalog.float8,
	OUT tolerated_dcs_outage_seconds pg_catalog.float8,
	OUT renewals_per_minute pg_catalog.float8,
	OUT worst_renewal_latency_ms pg_catalog.int8)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_timing() IS
'the times in force, in milliseconds';

CREATE FUNCTION pg_ha_dcs(
	OUT endpoint pg_catalog.text,
	OUT state pg_catalog.text,
	OUT last_error pg_catalog.text,
	OUT latency_ms pg_catalog.int8,
	OUT is_etcd_leader pg_catalog.bool,
	OUT in_use pg_catalog.bool,
	OUT member pg_catalog.text,
	OUT version pg_catalog.text,
	OUT last_ok pg_catalog.timestamptz,
	OUT last_failed pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_dcs() IS
'the endpoints of etcd, and what each of them said last to this member';

CREATE FUNCTION pg_ha_quorum(
	OUT etcd_members pg_catalog.int4,
	OUT voters_healthy pg_catalog.int4,
	OUT needed pg_catalog.int4,
	OUT can_lose pg_catalog.int4,
	OUT warning pg_catalog.text,
	OUT as_of pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_quorum() IS
'how many members etcd has, needs and can lose, as seen from this member';

REVOKE ALL ON FUNCTION pg_ha_dcs() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_quorum() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_dcs() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_quorum() TO pg_monitor;

CREATE FUNCTION pg_ha_requests(
	OUT member pg_catalog.text,
	OUT kind pg_catalog.text,
	OUT state pg_catalog.text,
	OUT detail pg_catalog.text,
	OUT asked_by pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_requests() IS
'what members were asked for, and how far they are with it';

CREATE FUNCTION pg_ha_wait(
	role pg_catalog.text DEFAULT 'any',
	timeout pg_catalog.int4 DEFAULT 60)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_wait(pg_catalog.text, pg_catalog.int4) IS
'wait until this member leads or is a standby that streams';

CREATE FUNCTION pg_ha_identity(
	OUT scope pg_catalog.text,
	OUT cluster_uuid pg_catalog.text,
	OUT cluster_sysid pg_catalog.text,
	OUT local_sysid pg_catalog.text,
	OUT match pg_catalog.bool)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_identity() IS
'which cluster the store shows, and whether this data is of it';

CREATE FUNCTION pg_ha_get_config()
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_get_config() IS
'the cluster''s configuration as it is stored';

CREATE FUNCTION pg_ha_parameters(
	OUT name pg_catalog.text,
	OUT value pg_catalog.text,
	OUT setting pg_catalog.text,
	OUT sourcefile pg_catalog.text,
	OUT pending_restart pg_catalog.bool,
	OUT refusal pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_parameters() IS
'what the cluster''s configuration sets in this server, and what is in force';

CREATE FUNCTION pg_ha_decide(problem pg_catalog.jsonb)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_decide(pg_catalog.jsonb) IS
'what a member would do, given what it knows';

REVOKE ALL ON FUNCTION pg_ha_decide(pg_catalog.jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_decide(pg_catalog.jsonb) TO pg_monitor;

--
-- Actions: carried out by the worker of the member they are called on.
--

CREATE FUNCTION pg_ha_set_config(change pg_catalog.jsonb)
RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_set_config(pg_catalog.jsonb) IS
'change the cluster''s configuration; null removes a key';

CREATE FUNCTION pg_ha_pause(wait pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_pause(pg_catalog.bool) IS
'stop all automatic action in the cluster';

CREATE FUNCTION pg_ha_resume(wait pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_resume(pg_catalog.bool) IS
'end the pause';

CREATE FUNCTION pg_ha_switchover(
	target pg_catalog.text DEFAULT NULL,
	at pg_catalog.timestamptz DEFAULT NULL,
	wait pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_switchover(pg_catalog.text, pg_catalog.timestamptz, pg_catalog.bool) IS
'let another member lead';

CREATE FUNCTION pg_ha_failover(
	target pg_catalog.text,
	leader pg_catalog.text DEFAULT NULL,
	wait pg_catalog.bool DEFAULT true)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_failover(pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
'let a member lead while no other does';

CREATE FUNCTION pg_ha_cancel_switchover()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_cancel_switchover() IS
'take back what pg_ha_switchover() or pg_ha_failover() was called for';

CREATE FUNCTION pg_ha_last_failover(
	OUT kind pg_catalog.text,
	OUT from_member pg_catalog.text,
	OUT to_member pg_catalog.text,
	OUT reason pg_catalog.text,
	OUT term pg_catalog.int8,
	OUT started_at pg_catalog.timestamptz,
	OUT prepare_ms pg_catalog.int8,
	OUT hold_ms pg_catalog.int8,
	OUT freeze_ms pg_catalog.int8,
	OUT acquire_ms pg_catalog.int8,
	OUT promote_ms pg_catalog.int8,
	OUT confirm_ms pg_catalog.int8,
	OUT lost_bytes pg_catalog.int8)
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_last_failover() IS
'how the leader changed last, and how long each phase took';

CREATE FUNCTION pg_ha_history(
	OUT timeline pg_catalog.int8,
	OUT lsn pg_catalog.pg_lsn,
	OUT reason pg_catalog.text,
	OUT at pg_catalog.timestamptz,
	OUT new_leader pg_catalog.text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_history() IS
'the timelines of the cluster that have ended';

CREATE FUNCTION pg_ha_reinit(
	member pg_catalog.text,
	force pg_catalog.bool DEFAULT false,
	from_leader pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_reinit(pg_catalog.text, pg_catalog.bool, pg_catalog.bool) IS
'let another member have its data made anew';

CREATE FUNCTION pg_ha_restart(
	member pg_catalog.text DEFAULT NULL,
	pending pg_catalog.bool DEFAULT false,
	role pg_catalog.text DEFAULT 'any',
	version pg_catalog.text DEFAULT NULL,
	at pg_catalog.timestamptz DEFAULT NULL,
	timeout pg_catalog.int4 DEFAULT 120,
	force pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_restart(pg_catalog.text, pg_catalog.bool, pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.bool) IS
'restart the server of one member, now or later, or of all, one after the other';

CREATE FUNCTION pg_ha_cancel_restart(member pg_catalog.text)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_cancel_restart(pg_catalog.text) IS
'take back the restart of a member that is scheduled';

CREATE FUNCTION pg_ha_reload(member pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C CALLED ON NULL INPUT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_reload(pg_catalog.text) IS
'let a member, or all of them, read their configuration files anew';

CREATE FUNCTION pg_ha_remove_member(
	member pg_catalog.text,
	force pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_remove_member(pg_catalog.text, pg_catalog.bool) IS
'forget a member that will not come back, and drop its slots';

CREATE FUNCTION pg_ha_stop_cluster(
	mode pg_catalog.text DEFAULT 'fast',
	confirm pg_catalog.text DEFAULT '')
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_stop_cluster(pg_catalog.text, pg_catalog.text) IS
'stop all members, the leader last';

CREATE FUNCTION pg_ha_promote_cluster(
	confirm pg_catalog.text DEFAULT '',
	source_is_fenced pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_promote_cluster(pg_catalog.text, pg_catalog.bool) IS
'let a standby cluster follow its source no longer, and elect a primary';

CREATE FUNCTION pg_ha_demote_cluster(
	host pg_catalog.text,
	port pg_catalog.int4 DEFAULT 5432,
	slot pg_catalog.text DEFAULT '',
	confirm pg_catalog.text DEFAULT '')
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_demote_cluster(pg_catalog.text, pg_catalog.int4, pg_catalog.text, pg_catalog.text) IS
'make this cluster a standby cluster of another one';

CREATE FUNCTION pg_ha_join_command()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_join_command() IS
'what a new node of this cluster needs: a node file, and how to start it';

REVOKE ALL ON FUNCTION pg_ha_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_members() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_slots() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_credentials() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_health() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_timing() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_identity() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_status() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_members() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_slots() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_credentials() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_health() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_timing() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_identity() TO pg_monitor;
REVOKE ALL ON FUNCTION pg_ha_get_config() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_parameters() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_set_config(pg_catalog.jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_get_config() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_parameters() TO pg_monitor;
REVOKE ALL ON FUNCTION pg_ha_pause(pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_resume(pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_switchover(pg_catalog.text, pg_catalog.timestamptz, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_failover(pg_catalog.text, pg_catalog.text, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_cancel_switchover() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_last_failover() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_history() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_last_failover() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_history() TO pg_monitor;
REVOKE ALL ON FUNCTION pg_ha_requests() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_wait(pg_catalog.text, pg_catalog.int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_requests() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_wait(pg_catalog.text, pg_catalog.int4) TO pg_monitor;
REVOKE ALL ON FUNCTION pg_ha_reinit(pg_catalog.text, pg_catalog.bool, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_restart(pg_catalog.text, pg_catalog.bool, pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_cancel_restart(pg_catalog.text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_reload(pg_catalog.text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_remove_member(pg_catalog.text, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_stop_cluster(pg_catalog.text, pg_catalog.text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_promote_cluster(pg_catalog.text, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_demote_cluster(pg_catalog.text, pg_catalog.int4, pg_catalog.text, pg_catalog.text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_join_command() FROM PUBLIC;

--
-- Access rules: pg_hba.conf and pg_ident.conf
--

CREATE FUNCTION pg_ha_hba_sources(
	OUT priority pg_catalog.int4,
	OUT source pg_catalog.text,
	OUT location pg_catalog.text,
	OUT present pg_catalog.bool,
	OUT in_force pg_catalog.bool,
	OUT rules pg_catalog.int4,
	OUT sha256 pg_catalog.text,
	OUT applied_at pg_catalog.timestamptz,
	OUT error pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_hba_sources() IS
'the sources of pg_hba.conf on this member, and which is in force';

CREATE FUNCTION pg_ha_ident_sources(
	OUT priority pg_catalog.int4,
	OUT source pg_catalog.text,
	OUT location pg_catalog.text,
	OUT present pg_catalog.bool,
	OUT in_force pg_catalog.bool,
	OUT rules pg_catalog.int4,
	OUT sha256 pg_catalog.text,
	OUT applied_at pg_catalog.timestamptz,
	OUT error pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_ident_sources() IS
'the sources of pg_ident.conf on this member, and which is in force';

CREATE FUNCTION pg_ha_hba_source()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_hba_source() IS
'the source of pg_hba.conf that is in force on this member';

CREATE FUNCTION pg_ha_get_hba()
RETURNS SETOF pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;

COMMENT ON FUNCTION pg_ha_get_hba() IS
'the lines for pg_hba.conf in the configuration of the cluster';

CREATE FUNCTION pg_ha_hba_check(
	lines pg_catalog.text[],
	"user" pg_catalog.text,
	database pg_catalog.text,
	address pg_catalog.text,
	ssl pg_catalog.bool DEFAULT NULL,
	OUT line pg_catalog.int4,
	OUT method pg_catalog.text,
	OUT detail pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_hba_check(pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
'which line of such a pg_hba.conf would decide on a connection';

CREATE FUNCTION pg_ha_set_hba(
	lines pg_catalog.text[],
	force pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pg_ha_set_hba(pg_catalog.text[], pg_catalog.bool) IS
'set the lines for pg_hba.conf in the configuration of the cluster';

REVOKE ALL ON FUNCTION pg_ha_hba_sources() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_ident_sources() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_hba_source() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_get_hba() FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_hba_check(pg_catalog.text[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION pg_ha_set_hba(pg_catalog.text[], pg_catalog.bool) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_ha_hba_sources() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_ident_sources() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_hba_source() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pg_ha_get_hba() TO pg_monitor;
