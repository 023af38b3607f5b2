-- The rule table: what a member does, given what it knows.
CREATE EXTENSION pg_ha;

-- What most lines share: member n1 of a cluster whose last confirmed term, 5, was
-- led by n2 on timeline 2, which forked off timeline 1 at 1000.
CREATE FUNCTION decide(view jsonb, local jsonb, config jsonb DEFAULT '{}')
RETURNS TABLE (verb text, lead text, why text)
LANGUAGE sql AS $$
	SELECT p->>'verb', p->>'lead', p->>'why'
	FROM pg_ha_decide(jsonb_build_object(
		'now', 100000,
		'config', config,
		'view', '{"valid": true, "sent_at": 99900, "sysid": 7, "revision": 50,
			"term": {"present": true, "mod_revision": 40, "term": 5, "owner": "n2",
				"timeline": 2, "begin_lsn": 1000, "timeline_owner": "n2", "reserved": 2,
				"lineage": [{"timeline": 1, "end_lsn": 1000, "owner": "n1"}]},
			"heartbeat": {"present": true, "mod_revision": 45, "name": "n2", "term": 5,
				"ttl": 10000, "lsn": 2000}}'::jsonb || view,
		'local', '{"name": "n1", "sysid": 7, "role": "standby", "timeline": 2,
			"flush_lsn": 2000, "replay_lsn": 2000, "has_boot": true,
			"heartbeat_seen_at": 80000, "heartbeat_ttl": 10000}'::jsonb || local)) p
$$;

-- nothing is known yet, or something is badly wrong
SELECT * FROM decide('{"valid": false}', '{}');
SELECT * FROM decide('{"sysid": 8}', '{}');
SELECT * FROM decide('{"cluster_uuid": "a"}', '{"cluster_uuid": "b"}');
-- ... or the cluster is of a later schema: nothing else counts
SELECT * FROM decide('{"schema": 3, "schema_since": "1.4", "sysid": 8}', '{}');
SELECT * FROM decide('{"schema": 3}', '{"role": "primary", "holding": true, "deadline": 200000}');
SELECT * FROM decide('{"schema": 3}', '{"role": "primary"}', '{"pause": true}');
SELECT * FROM decide('{}', '{"role": "starting"}');
SELECT * FROM decide('{}', '{"time_jumped": true}');
SELECT * FROM decide('{}', '{"stopping": true}');

-- a standby with a leader
\set led '{"leader": {"present": true, "name": "n2", "mod_revision": 40, "lease": 9}, "members": [{"name": "n2", "host": "h2", "port": 5432, "state": "running", "role": "primary"}]}'
SELECT * FROM decide(:'led', '{}');
SELECT * FROM decide(:'led', '{"timeline": 1, "flush_lsn": 900, "replay_lsn": 900}');
SELECT * FROM decide(:'led', '{"timeline": 1, "flush_lsn": 1001, "replay_lsn": 1001}');
SELECT * FROM decide(:'led', '{"timeline": 3}');
\set fork '{"term": {"present": true, "term": 6, "owner": "n2", "timeline": 4, "begin_lsn": 900, "lineage": [{"timeline": 1, "end_lsn": 1000}, {"timeline": 3, "end_lsn": 900}]}}'
SELECT * FROM decide(:'led'::jsonb || :'fork', '{"timeline": 1, "flush_lsn": 900, "replay_lsn": 900}');
SELECT * FROM decide(:'led'::jsonb || :'fork', '{"timeline": 1, "flush_lsn": 950, "replay_lsn": 950}');
SELECT * FROM decide('{"leader": {"present": true, "name": "n2", "lease": 9}}', '{}');
-- ... before it is consistent, for which it may need the leader's WAL
SELECT * FROM decide(:'led', '{"role": "starting"}');
SELECT * FROM decide(:'led', '{"role": "starting", "timeline": 0}');
SELECT * FROM decide(:'led', '{"role": "starting", "timeline": 3}');
SELECT * FROM decide('{}', '{"role": "starting", "follows": "n2"}');
-- ... that has not confirmed what it leads: nobody streams from it
SELECT * FROM decide(:'led'::jsonb || '{"term": {"present": true, "term": 6, "owner": "n2", "intent": true, "timeline": 2, "reserved": 3}}', '{"follows": "n3"}');
SELECT * FROM decide(:'led'::jsonb || '{"term": {"present": true, "term": 6, "owner": "n3", "timeline": 2}}', '{}');

-- a standby without a leader: detach, vote, elect
SELECT * FROM decide('{}', '{}');
SELECT * FROM decide('{}', '{"detached": true, "key_gone_since": 99900}');
-- S-2: what is in pg_wal counts, and is not replayed yet
SELECT * FROM decide('{}', '{"detached": true, "replaying": true, "key_gone_since": 99900}');
\set voted '{"votes": [{"name": "n1", "mod_revision": 46, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000}]}'
SELECT * FROM decide(:'voted', '{"detached": true, "key_gone_since": 99900}');
-- E1: not before the former leader's deadline is over
SELECT * FROM decide(:'voted', '{"detached": true, "key_gone_since": 99900, "heartbeat_seen_at": 95000}');
-- a store that has forgotten everything gets it back from the last leader, if that lives
\set forgotten '{"term": {}, "heartbeat": {}, "members": [{"name": "n2", "lease": 8, "state": "running", "role": "primary"}], "votes": [{"name": "n1", "mod_revision": 46, "timeline": 2, "lsn": 2000}]}'
SELECT * FROM decide(:'forgotten', '{"detached": true, "key_gone_since": 85000}');
SELECT * FROM decide(:'forgotten', '{"detached": true, "key_gone_since": 79000}');
-- a vote of another contest is no vote
SELECT * FROM decide('{"votes": [{"name": "n1", "mod_revision": 46, "term": 4, "term_revision": 30, "timeline": 2, "lsn": 2000}]}', '{"detached": true, "key_gone_since": 99900}');
-- others that live still owe their votes, or have a better one
\set three '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby"}]}'
SELECT * FROM decide(:'voted'::jsonb || :'three', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide(:'voted'::jsonb || :'three', '{"detached": true, "key_gone_since": 90000}');
SELECT * FROM decide(:'three'::jsonb || '{"votes": [
	{"name": "n1", "mod_revision": 46, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000},
	{"name": "n3", "mod_revision": 47, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2001}]}',
	'{"detached": true, "key_gone_since": 99900}');
-- timeline counts before LSN, and an LSN off the history not at all
SELECT * FROM decide(:'three'::jsonb || '{"votes": [
	{"name": "n1", "mod_revision": 46, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000},
	{"name": "n3", "mod_revision": 47, "term": 5, "term_revision": 40, "timeline": 1, "lsn": 5000}]}',
	'{"detached": true, "key_gone_since": 99900}');
-- without contact when the key vanished: leave the former leader some time
SELECT * FROM decide(:'voted', '{"detached": true, "key_gone_since": 99900, "blind": true}');
-- the leader said that it is done, and until where
SELECT * FROM decide('{"heartbeat": {"present": true, "term": 5, "released": true, "released_lsn": 2000}}', '{}');
SELECT * FROM decide('{"heartbeat": {"present": true, "term": 5, "released": true, "released_lsn": 2001}}', '{}');
SELECT * FROM decide('{"heartbeat": {"present": true, "term": 4, "released": true, "released_lsn": 2000}}', '{}');
-- ... which is further than anybody got: wait for it, if it is coming back
\set done '{"heartbeat": {"present": true, "term": 5, "released": true, "released_lsn": 2001}}'
SELECT * FROM decide(:'voted'::jsonb || :'done', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide(:'voted'::jsonb || :'done' || '{"members": [{"name": "n2"}]}', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide(:'voted'::jsonb || :'done' || '{"members": [{"name": "n2"}]}', '{"detached": true, "key_gone_since": 90000}');
-- ... but not where another shall lead at once after a crash
\set fell '{"heartbeat": {"present": true, "term": 5, "released": true, "released_lsn": 2001, "crashed": true}, "members": [{"name": "n2"}]}'
SELECT * FROM decide(:'voted'::jsonb || :'fell', '{"detached": true, "key_gone_since": 99900}', '{"primary_start_timeout": 0}');
SELECT * FROM decide(:'voted'::jsonb || :'fell', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide(:'voted'::jsonb || :'done' || '{"members": [{"name": "n2"}]}', '{"detached": true, "key_gone_since": 99900}', '{"primary_start_timeout": 0}');

-- who does not stand
SELECT * FROM decide('{}', '{"detached": true, "nofailover": true}');
SELECT * FROM decide('{}', '{"detached": true, "failover_priority": 0}');
SELECT * FROM decide('{}', '{"detached": true, "timeline": 1, "flush_lsn": 1001}');
\set fourth '{"term": {"present": true, "mod_revision": 40, "term": 5, "owner": "n2", "timeline": 4, "begin_lsn": 1000, "timeline_owner": "n2", "reserved": 4, "lineage": [{"timeline": 1, "end_lsn": 1000, "owner": "n1"}]}}'
SELECT * FROM decide(:'fourth', '{"detached": true, "timeline": 5, "ancestors": [{"timeline": 1, "end_lsn": 900}]}');
SELECT * FROM decide(:'fourth', '{"detached": true, "timeline": 2, "ancestors": [{"timeline": 1, "end_lsn": 900}]}');
SELECT * FROM decide(:'fourth', '{"detached": true, "timeline": 5, "ancestors": [{"timeline": 1, "end_lsn": 900}, {"timeline": 2, "end_lsn": 950}]}');
SELECT * FROM decide('{"optime": 9000000}', '{"detached": true}');
SELECT * FROM decide('{}', '{"detached": true, "line_begins_at": 2001}');
SELECT * FROM decide('{}', '{"detached": true, "line_begins_at": 2000}');
SELECT * FROM decide('{"sync": {"present": true, "leader": "n2", "standbys": ["n3"]}}', '{"detached": true}');
SELECT * FROM decide('{"sync": {"present": true, "leader": "n2", "standbys": ["n1"]}}', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide('{}', '{"stay_out_until": 100001, "detached": true}');
SELECT * FROM decide(:'voted', '{"stay_out_until": 100001, "detached": true, "key_gone_since": 99900}');
SELECT * FROM decide('{"failover": {"present": true, "candidate": "n3"}}', '{"key_gone_since": 99900}');
-- ... which is for a failover; a switchover whose leader died gives nothing away, and in a
-- pause the others help the candidate with their votes
\set votes3 '{"votes": [{"name": "n1", "mod_revision": 50, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000}, {"name": "n3", "mod_revision": 51, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 1900}]}'
\set gone '{"detached": true, "key_gone_since": 80000, "heartbeat_seen_at": 70000}'
SELECT * FROM decide('{"failover": {"present": true, "candidate": "n3"}}'::jsonb || :'votes3', :'gone'::jsonb || '{"wish_seen_at": 99000}');
SELECT * FROM decide('{"failover": {"present": true, "leader": "n2", "candidate": "n3"}}'::jsonb || :'votes3', :'gone'::jsonb || '{"wish_seen_at": 99000}');
SELECT * FROM decide('{"failover": {"present": true, "candidate": "n3"}}', '{"key_gone_since": 99900, "detached": true}', '{"pause": true}');
SELECT * FROM decide('{"failover": {"present": true, "candidate": "n3"}}'::jsonb || :'votes3', :'gone'::jsonb, '{"pause": true}');
SELECT * FROM decide('{}', '{}', '{"pause": true}');
SELECT * FROM decide('{"sysid": 0}', '{}');

-- on the way to promotion
\set mine '{"leader": {"present": true, "name": "n1", "mod_revision": 48, "lease": 5}, "term": {"present": true, "mod_revision": 48, "term": 6, "owner": "n1", "intent": true, "timeline": 2, "reserved": 3}}'
SELECT * FROM decide(:'mine', '{"holding": true, "lease_id": 5}');
SELECT * FROM decide(:'mine', '{"lease_id": 5}');
SELECT * FROM decide(:'mine', '{"holding": true, "lease_id": 6}');
SELECT * FROM decide(:'mine', '{"holding": true, "lease_id": 5, "promoting": true, "promoting_since": 1}');
SELECT * FROM decide(:'mine', '{"holding": true, "lease_id": 5, "stay_out_until": 100001}');
SELECT * FROM decide(:'mine', '{"holding": true, "lease_id": 5, "stay_out_until": 100001, "promoting": true, "promoting_since": 99000}');

-- ... which, lost while it promotes, is not voted for before that has ended or hangs
SELECT * FROM decide(:'mine'::jsonb - 'leader', '{"detached": true, "promoting": true, "promoting_since": 80000}');
SELECT * FROM decide(:'mine'::jsonb - 'leader', '{"detached": true, "promoting": true, "promoting_since": 79999}');

-- a primary
\set led1 '{"leader": {"present": true, "name": "n1", "mod_revision": 40, "lease": 5}, "term": {"present": true, "mod_revision": 40, "term": 5, "owner": "n1", "timeline": 2, "reserved": 2}}'
\set primary '{"role": "primary", "lease_id": 5, "holding": true, "reign_checked": true, "deadline": 100500}'
SELECT * FROM decide(:'led1', :'primary');
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"deadline": 100000}');
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"holding": false}');
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"lease_id": 6}');
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"reign_checked": false}');
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"reign_checked": false, "reign_lost": true}');
SELECT * FROM decide(:'mine', :'primary'::jsonb || '{"timeline": 3}');
SELECT * FROM decide(:'mine', :'primary'::jsonb || '{"timeline": 4}');
SELECT * FROM decide(:'led', :'primary');
SELECT * FROM decide(:'led', :'primary', '{"pause": true}');
SELECT * FROM decide('{}', :'primary');
SELECT * FROM decide(:'led1'::jsonb - 'leader', :'primary');
SELECT * FROM decide('{"term": {}, "heartbeat": {}}', :'primary'::jsonb || '{"timeline": 1}');

-- failsafe mode: neither a vote nor the key for one who promised, is not asked, or may
-- have forgotten; the leader's own word counts too
\set listed '{"failsafe": {"present": true, "mod_revision": 41, "members": ["n1", "n2"]}}'
\set best '{"detached": true, "key_gone_since": 99000, "starting_since": 1000}'
SELECT * FROM decide(:'voted', :'best', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || :'listed', :'best', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || :'listed', :'best'::jsonb || '{"promised_until": 100000, "promised_to": "n2"}', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || :'listed', :'best'::jsonb || '{"promised_until": 100001, "promised_to": "n2"}', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || :'listed', :'best'::jsonb || '{"promised_until": 100001, "promised_to": "n2"}');
SELECT * FROM decide(:'voted'::jsonb || :'listed', :'best'::jsonb || '{"starting_since": 90001}', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || '{"failsafe": {"present": true, "members": ["n2"]}}', :'best', '{"failsafe_mode": true}');
SELECT * FROM decide(:'voted'::jsonb || '{"failsafe": {"present": true, "members": ["n2"]}}', :'best');
SELECT * FROM decide(:'voted'::jsonb || '{"failsafe": {"present": true, "members": ["n2"]},
	"heartbeat": {"present": true, "name": "n2", "term": 5, "ttl": 10000, "lsn": 2000, "failsafe": true}}', :'best');
SELECT * FROM decide('{"failsafe": {"present": true, "members": ["n2"]}}', '{"detached": true, "key_gone_since": 99900}', '{"failsafe_mode": true}');
-- ... and the one who promised still streams
SELECT * FROM decide('{"members": [{"name": "n2", "host": "h2", "port": 5432, "state": "running", "role": "primary"}]}',
	'{"promised_until": 100001, "promised_to": "n2"}', '{"failsafe_mode": true}');
-- ... and counts what that one has told, in its term
\set told '{"detached": true, "key_gone_since": 99900, "starting_since": 1000, "promised_until": 99000, "promised_term": 5, "promised_lsn": 2000000}'
SELECT * FROM decide(:'listed', :'told', '{"failsafe_mode": true}');
SELECT * FROM decide(:'listed', :'told'::jsonb || '{"promised_lsn": 1050576}', '{"failsafe_mode": true}');
SELECT * FROM decide(:'listed', :'told'::jsonb || '{"promised_term": 4}', '{"failsafe_mode": true}');
-- ... while the leader says why it leads
SELECT * FROM decide(:'led1', :'primary'::jsonb || '{"failsafe_active": true}', '{"failsafe_mode": true}');

-- a primary that crashed recovers in place under its key
\set recovers '{"role": "starting", "timeline": 0, "starting_since": 90000}'
SELECT * FROM decide(:'led1', :'recovers');
SELECT * FROM decide(:'led1', :'recovers'::jsonb || '{"holding": true, "lease_id": 5}');
SELECT * FROM decide(:'led1', :'recovers', '{"primary_start_timeout": 5}');
SELECT * FROM decide(:'mine', :'recovers');

-- a switchover, where the WAL can't be stopped
\set wish '{"failover": {"present": true, "mod_revision": 44, "leader": "n1", "candidate": "n2"}, "members": [{"name": "n2", "lease": 8, "state": "running", "role": "standby", "lsn": 1900}]}'
\set n2_streams '{"standbys": [{"name": "n2", "streaming": true, "flush_lsn": 2000}]}'
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'primary'::jsonb || :'n2_streams');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'primary');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"failover": {"present": true, "leader": "n3", "candidate": "n2"}}', :'primary');
-- ... and where it can: a checkpoint, which the candidate must confirm; commits are
-- held back; the WAL stands still; the key goes when the candidate has all of it
SELECT (:'primary'::jsonb || :'n2_streams' || '{"can_freeze": true, "deadline": 104000}')::text AS freezes \gset
SELECT (:'freezes'::jsonb || '{"prepared_for": 44, "prepared_at": 99900, "prepared_lsn": 1990}')::text AS prepared \gset
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'freezes');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"prepared_lsn": 2001}');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"prepared_lsn": 2001, "prepared_at": 97000}');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"held_since": 99990}');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"held_since": 99990, "drained": true}');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"held_since": 99900}');
SELECT (:'prepared'::jsonb || '{"held_since": 99980, "deadline": 0, "frozen_since": 99990, "frozen_lsn": 2000}')::text AS frozen \gset
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'frozen');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'frozen'::jsonb || '{"frozen_lsn": 2001}');
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'frozen'::jsonb || '{"frozen_lsn": 2001, "frozen_since": 99000}');
-- ... it is not there yet, leads, has led before it was confirmed; nobody takes it
SELECT (:'frozen'::jsonb || '{"holding": false, "handed_over_at": 99995}')::text AS handed \gset
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'handed');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"leader": {"present": false}}', :'handed');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"leader": {"present": false}}', :'handed'::jsonb || '{"handed_over_at": 90000}');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"leader": {"present": true, "name": "n2", "lease": 9}}', :'handed');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"leader": {"present": true, "name": "n2", "lease": 9}, "term": {"present": true, "term": 6, "owner": "n2", "timeline": 3}}', :'handed');
-- ... what was refused is not tried again
SELECT * FROM decide(:'led1'::jsonb || :'wish', :'prepared'::jsonb || '{"refused": 44, "refused_why": "it does not like it"}');
-- ... one without a candidate, for later, too late
\set nobody '{"failover": {"present": true, "mod_revision": 44, "leader": "n1"}}'
SELECT * FROM decide(:'led1'::jsonb || :'wish' || :'nobody', :'freezes');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"failover": {"present": true, "mod_revision": 44, "candidate": "n2", "scheduled_at": 50300}}', :'freezes'::jsonb || '{"wall_clock": 50000}');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"failover": {"present": true, "mod_revision": 44, "candidate": "n2", "scheduled_at": 50000}}', :'freezes'::jsonb || '{"wall_clock": 50001}');
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"failover": {"present": true, "mod_revision": 44, "candidate": "n2", "scheduled_at": 50000}}', :'freezes'::jsonb || '{"wall_clock": 90001}');

-- a server that can't write: it bears with that for a while, then gives way to
-- somebody who can take over
\set sick '{"sick_since": 95000, "sick_check": "wal_write", "sick_detail": "too slow", "health_grace": 4000, "put_at": 99000}'
\set n2n3 '{"members": [{"name": "n2", "lease": 8, "state": "running", "role": "standby", "timeline": 2, "lsn": 1900}, {"name": "n3", "lease": 8, "state": "running", "role": "standby", "timeline": 2, "lsn": 1900}]}'
\set n3 '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby", "timeline": 2, "lsn": 1900}]}'
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick');
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick' || '{"health_grace": 6000}');
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick', '{"pause": true}');
-- ... of whose health nothing is known yet
SELECT * FROM decide(:'led1'::jsonb || :'n3' || '{"sent_at": 98000}', :'primary'::jsonb || :'sick');
-- ... and to nobody else
SELECT * FROM decide(:'led1', :'primary'::jsonb || :'sick');
SELECT * FROM decide(:'led1'::jsonb || '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby", "timeline": 2, "lsn": 1900, "sick": true}]}', :'primary'::jsonb || :'sick');
SELECT * FROM decide(:'led1'::jsonb || '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby", "timeline": 2, "lsn": 1900, "nofailover": true}]}', :'primary'::jsonb || :'sick');
SELECT * FROM decide(:'led1'::jsonb || '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby"}]}', :'primary'::jsonb || :'sick');
-- ... who lags, if only by its key, which is old
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick', '{"maximum_lag_on_failover": 99}');
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick' || '{"standbys": [{"name": "n3", "streaming": true, "flush_lsn": 2000}]}', '{"maximum_lag_on_failover": 99}');
-- ... with synchronous replication: who is listed, however far its key says it has come
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick', '{"synchronous_mode": "on"}');
SELECT * FROM decide(:'led1'::jsonb || :'n3' || '{"sync": {"present": true, "leader": "n1", "standbys": ["n2"]}}', :'primary'::jsonb || :'sick' || '{"sync_names": ["n2"], "names_written": true, "names_in_force": true}', '{"synchronous_mode": "on"}');
SELECT * FROM decide(:'led1'::jsonb || :'n3' || '{"sync": {"present": true, "leader": "n1", "standbys": ["n3"]}}', :'primary'::jsonb || :'sick', '{"synchronous_mode": "on", "maximum_lag_on_failover": 99}');
-- ... of whom in quorum mode so many must be able to vote
\set quorum '{"sync": {"present": true, "leader": "n1", "standbys": ["n2", "n3"], "quorum": 1}}'
\set names '{"sync_names": ["n2", "n3"], "sync_confirm": 1, "names_written": true, "names_in_force": true}'
SELECT * FROM decide(:'led1'::jsonb || :'quorum' || :'n3', :'primary'::jsonb || :'sick' || :'names', '{"synchronous_mode": "quorum"}');
SELECT * FROM decide(:'led1'::jsonb || :'quorum' || :'n2n3', :'primary'::jsonb || :'sick' || :'names', '{"synchronous_mode": "quorum"}');
SELECT * FROM decide(:'led1'::jsonb || :'quorum' || jsonb_set(:'n2n3', '{members,0,sick}', 'true'), :'primary'::jsonb || :'sick' || :'names', '{"synchronous_mode": "quorum"}');
-- ... and in strict mode nobody, while nobody is listed
SELECT * FROM decide(:'led1'::jsonb || :'n3' || '{"sync": {"present": true, "leader": "n1", "standbys": []}}', :'primary'::jsonb || :'sick' || '{"sync_names": ["pg_ha_nobody"], "sync_confirm": 1, "names_written": true, "names_in_force": true}', '{"synchronous_mode": "on", "synchronous_mode_strict": true}');
SELECT * FROM decide(:'led1'::jsonb || :'n3' || '{"sync": {"present": true, "leader": "n1", "standbys": ["n3"]}}', :'primary'::jsonb || :'sick', '{"synchronous_mode": "on", "synchronous_mode_strict": true}');
-- ... for a key that nobody keeps alive
SELECT * FROM decide(:'led1'::jsonb || jsonb_set(:'n3', '{members,0,lease}', '0'), :'primary'::jsonb || :'sick');

-- ... when the store takes no writes, so that nobody could
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick' || '{"put_at": 80000}');
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick' || '{"put_at": 0}');
SELECT * FROM decide(:'led1'::jsonb || :'n3', :'primary'::jsonb || :'sick' || '{"put_at": 80000, "giving_up": true}');
-- it does not take the key back from them, and in an election it goes last
SELECT * FROM decide((:'led1'::jsonb - 'leader') || :'n3', :'primary'::jsonb || :'sick');
SELECT * FROM decide(:'led1'::jsonb - 'leader', :'primary'::jsonb || :'sick');
SELECT * FROM decide('{}', '{"detached": true, "sick_since": 99999}');
SELECT * FROM decide('{"heartbeat": {"present": true, "term": 5, "released": true, "released_lsn": 2000}}', '{"sick_since": 99999}');
-- ... where others may need its vote
\set ofthree '{"sync": {"present": true, "leader": "n2", "standbys": ["n1", "n3"], "quorum": 1}}'
SELECT * FROM decide(:'ofthree', '{"detached": true, "sick_since": 99999}');
SELECT * FROM decide(:'ofthree', '{"detached": true, "sick_since": 99999, "nofailover": true}');
SELECT * FROM decide(:'ofthree'::jsonb || '{"votes": [
	{"name": "n1", "mod_revision": 46, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000},
	{"name": "n3", "mod_revision": 47, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000}]}',
	'{"detached": true, "sick_since": 99999}');
-- ... nor is a switchover to it any use
SELECT * FROM decide(:'led1'::jsonb || :'wish' || '{"members": [{"name": "n2", "lease": 8, "state": "running", "role": "standby", "lsn": 1900, "sick": true}]}',
	:'primary'::jsonb || :'n2_streams');
-- ... and others wait neither for its vote, nor for it to go first
SELECT * FROM decide(:'voted'::jsonb || '{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby", "sick": true}]}', '{"detached": true, "key_gone_since": 99900}');
SELECT * FROM decide('{"members": [{"name": "n3", "lease": 8, "state": "running", "role": "standby", "sick": true}], "votes": [
	{"name": "n1", "mod_revision": 46, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2000},
	{"name": "n3", "mod_revision": 47, "term": 5, "term_revision": 40, "timeline": 2, "lsn": 2001}]}',
	'{"detached": true, "key_gone_since": 99900}');

-- what is no problem to decide
SELECT pg_ha_decide('{"vieuw": {}}');
SELECT pg_ha_decide('[]');

-- a standby cluster: the leader stays a standby, and follows the source
\set follows '{"known": true, "revision": 30, "standby_cluster": {"active": true, "host": "h9", "port": "5432"}}'
\set mine '{"leader": {"present": true, "name": "n1", "mod_revision": 48, "lease": 9}, "members": [{"name": "n1", "state": "running", "role": "standby"}, {"name": "n2", "lease": 4, "host": "h2", "port": 5432, "state": "running", "role": "standby", "lsn": 2000, "failover_priority": 1}]}'
\set holds '{"lease_id": 9, "holding": true, "ancestors": [{"timeline": 1, "end_lsn": 1000}]}'
\set acquired '{"term": {"present": true, "mod_revision": 48, "term": 6, "owner": "n1", "intent": true, "standby": true, "timeline": 2, "begin_lsn": 1000, "reserved": 2}}'
\set told '{"term": {"present": true, "mod_revision": 49, "term": 6, "owner": "n1", "standby": true, "from_source": true, "timeline": 2, "begin_lsn": 1000, "reserved": 2, "lineage": [{"timeline": 1, "end_lsn": 1000, "owner": ""}]}}'
SELECT * FROM decide(:'mine'::jsonb || :'acquired', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds'::jsonb || '{"timeline": 3, "ancestors": [{"timeline": 1, "end_lsn": 1000}, {"timeline": 2, "end_lsn": 1900}]}', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds'::jsonb || '{"lease_id": 8}', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds'::jsonb || '{"reassert": true}', :'follows');
-- ... not promoted although the id of a promotion is reserved, by an election before the section came
SELECT * FROM decide(:'mine'::jsonb || '{"term": {"present": true, "mod_revision": 48, "term": 6, "owner": "n1", "intent": true, "timeline": 2, "begin_lsn": 1000, "reserved": 3}}', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || '{"term": {"present": true, "mod_revision": 48, "term": 6, "owner": "n1", "intent": true, "timeline": 2, "begin_lsn": 1000, "reserved": 3}}', :'holds'::jsonb || '{"promoting": true, "promoting_since": 99000}', :'follows');
-- ... an operator's wish
SELECT * FROM decide(:'mine'::jsonb || :'told' || '{"failover": {"present": true, "mod_revision": 49, "leader": "n1", "candidate": "n2"}}', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told' || '{"failover": {"present": true, "mod_revision": 49, "leader": "n1"}}', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told' || '{"failover": {"present": true, "mod_revision": 49, "candidate": "n1"}}', :'holds', :'follows');
SELECT * FROM decide(:'mine'::jsonb || :'told' || '{"failover": {"present": true, "mod_revision": 49, "candidate": "n2", "scheduled_at": 5}}', :'holds', :'follows');
-- ... others follow it, whatever the record says of their WAL: that is for the source to say
\set source_led '{"leader": {"present": true, "name": "n2", "mod_revision": 40, "lease": 9}, "members": [{"name": "n2", "host": "h2", "port": 5432, "state": "running", "role": "standby"}], "term": {"present": true, "mod_revision": 40, "term": 5, "owner": "n2", "standby": true, "from_source": true, "timeline": 2, "begin_lsn": 1000, "reserved": 2, "lineage": [{"timeline": 1, "end_lsn": 1000, "owner": ""}]}}'
SELECT * FROM decide(:'source_led', '{}', :'follows');
SELECT * FROM decide(:'source_led', '{"timeline": 3}', :'follows');
SELECT * FROM decide(:'source_led', '{"timeline": 1, "flush_lsn": 1500, "replay_lsn": 1500}', :'follows');
-- ... a primary has no place there; in a pause a person rules
SELECT * FROM decide(:'source_led', '{"role": "primary"}', :'follows');
SELECT * FROM decide(:'mine', '{"role": "primary", "holding": true, "lease_id": 9}', :'follows');
SELECT * FROM decide(:'mine', '{"role": "primary", "holding": true, "lease_id": 9}', :'follows'::jsonb || '{"pause": true}');
-- ... elections are ordinary, but reserve no timeline, and the record judges nobody
\set gone '{"members": [], "term": {"present": true, "mod_revision": 40, "term": 5, "owner": "n2", "standby": true, "from_source": true, "timeline": 2, "begin_lsn": 1000, "reserved": 2, "lineage": [{"timeline": 1, "end_lsn": 1000, "owner": ""}]}}'
SELECT * FROM decide(:'gone', '{"key_gone_since": 99900}', :'follows');
SELECT * FROM decide(:'gone', '{"timeline": 3, "detached": true, "key_gone_since": 99900}', :'follows');
SELECT pg_ha_decide(jsonb_build_object('now', 100000, 'config', :'follows'::jsonb, 'view', '{"valid": true, "sysid": 7}'::jsonb || :'gone' || :'voted', 'local', '{"name": "n1", "sysid": 7, "role": "standby", "timeline": 2, "flush_lsn": 2000, "replay_lsn": 2000, "detached": true, "key_gone_since": 90000}'::jsonb))->>'reserve' AS reserve;
-- ... and a timeline of ours that was given up for the source's does not count again
-- since somebody has begun to be promoted; one that was promoted to in vain does
\set branch '{"timeline": 3, "detached": true, "key_gone_since": 99900, "ancestors": [{"timeline": 1, "end_lsn": 1000}, {"timeline": 2, "end_lsn": 2000}]}'
\set begun '{"present": true, "mod_revision": 41, "term": 6, "owner": "n2", "intent": true, "timeline": 2, "begin_lsn": 1000, "reserved": 10, "lineage": [{"timeline": 1, "end_lsn": 1000, "owner": ""}]}'
SELECT * FROM decide(jsonb_build_object('members', '[]'::jsonb, 'term', :'begun'::jsonb || '{"from_source": true}'), :'branch');
SELECT * FROM decide(jsonb_build_object('members', '[]'::jsonb, 'term', :'begun'::jsonb), :'branch');
-- ... who is short of consistency and has nobody to follow streams from the source
SELECT * FROM decide('{}', '{"role": "starting"}', :'follows');
SELECT * FROM decide(:'source_led', '{"role": "starting"}', :'follows');
-- ... a configuration that is gone is no order to promote
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds', '{"revision": 0}');
SELECT * FROM decide(:'source_led', '{"role": "primary"}', '{"revision": 0}');
-- ... nor is one that cannot be read, to a worker that has never seen a good one
\set unreadable '{"known": false, "revision": 31}'
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds', :'unreadable');
SELECT * FROM decide(:'mine'::jsonb || :'acquired', :'holds', :'unreadable');
SELECT * FROM decide(:'source_led', '{"role": "primary"}', :'unreadable');
SELECT * FROM decide(:'gone', '{"timeline": 3, "detached": true, "key_gone_since": 99900}', :'unreadable');
SELECT pg_ha_decide(jsonb_build_object('now', 100000, 'config', :'unreadable'::jsonb, 'view', '{"valid": true, "sysid": 7}'::jsonb || :'gone' || :'voted', 'local', '{"name": "n1", "sysid": 7, "role": "standby", "timeline": 2, "flush_lsn": 2000, "replay_lsn": 2000, "detached": true, "key_gone_since": 90000}'::jsonb))->>'reserve' AS reserve;
-- ... and without a record it may be any cluster's; with one of a primary it is that one's
SELECT * FROM decide('{"term": {"present": false}}', '{"detached": true}', :'unreadable');
SELECT * FROM decide('{"term": {"present": false}}', '{"detached": true}', '{"known": true, "revision": 31}');
SELECT * FROM decide('{"term": {"present": false}}', '{"detached": true}', '{"revision": 0}');
SELECT * FROM decide('{}', '{"detached": true}', :'unreadable');
-- ... the section is gone: the key is given back, an election comes, and leaves ids to the source
SELECT * FROM decide(:'mine'::jsonb || :'told', :'holds', '{"known": true, "revision": 31}');
SELECT * FROM decide(:'mine'::jsonb || :'acquired', :'holds', '{"known": true, "revision": 31}');
SELECT * FROM decide(:'gone', '{"timeline": 3, "detached": true, "key_gone_since": 99900}', '{"known": true, "revision": 31}');
-- ... who is beyond the record has what the source acknowledged, maybe before it went back
SELECT * FROM decide(:'gone', '{"timeline": 3, "detached": true, "key_gone_since": 99900, "ancestors": [{"timeline": 1, "end_lsn": 1000}, {"timeline": 2, "end_lsn": 1900}]}', '{"known": true, "revision": 31}');
SELECT pg_ha_decide(jsonb_build_object('now', 100000, 'config', '{"known": true, "revision": 31}'::jsonb, 'view', '{"valid": true, "sysid": 7}'::jsonb || :'gone' || :'voted', 'local', '{"name": "n1", "sysid": 7, "role": "standby", "timeline": 2, "flush_lsn": 2000, "replay_lsn": 2000, "detached": true, "key_gone_since": 90000}'::jsonb))->>'reserve' AS reserve;

DROP FUNCTION decide;
DROP EXTENSION pg_ha;
