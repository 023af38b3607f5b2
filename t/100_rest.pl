#
# Every endpoint that tells how a member is, in every state of its server: the codes and
# the JSON are Patroni's, whatever method asks; and there is an answer at any time.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

# What asks for the leader, for a standby, for either, and for neither.
my @leader = qw(/ /primary /master /leader /read-write);
my @standby = qw(/replica /async /asynchronous);
my @either = qw(/read-only /health /patroni);
my @sync = qw(/sync /synchronous /quorum);
my @neither = qw(/standby-leader /standby_leader /nothing);
my @bare = qw(/liveness /readiness);

my $cluster = HaCluster->new(nodes => 3);
my ($n1, $n2, $n3) = $cluster->nodes;

$n1->start;
my $leader = $cluster->wait_for_leader;
$n2->start;
$cluster->wait_streaming(1);

subtest 'the leader' => \&leader;
subtest 'a standby' => \&standby;
subtest 'what the query narrows' => \&queries;
subtest 'HEAD and OPTIONS' => \&methods;
subtest '/patroni, field by field' => \&state_json;
subtest '/cluster, /history, /config' => \&documents;
subtest 'synchronous and quorum standbys' => \&synchronous;
subtest 'tags' => \&tags;
subtest 'a replica is being created' => \&creating;
subtest 'a server that does not start' => \&start_fails;
subtest 'a server that dies, and etcd with it' => \&dead;
done_testing();

sub codes
{
	my ($node, $code, @paths) = @_;

	foreach my $path (@paths)
	{
		is(scalar $node->rest($path), $code, "$path is $code");
	}
	return;
}

sub json_of
{
	my ($node, $path) = @_;
	my ($status, $body) = $node->rest($path);

	return eval { decode_json($body) };
}

sub leader
{
	codes($n1, 200, @leader, @either, '/read-only-sync',
		'/read-only-synchronous', '/read-only-quorum', @bare);
	codes($n1, 503, @standby, @sync, @neither);
	return;
}

sub standby
{
	HaCluster::wait_until('the standby is ready',
		sub { $n2->rest('/readiness') == 200 });
	codes($n2, 200, @standby, @either, @bare);
	codes($n2, 503, @leader, @sync, @neither, '/read-only-sync',
		'/read-only-quorum');
	return;
}

# A replay that stands still makes a lag that both notice.
sub queries
{
	codes($n2, 200, '/replica?replication_state=streaming', '/replica?lag=1GB',
		'/replica?lag=nonsense', '/replica?unknown=1', '/readiness?lag=1GB');
	codes($n2, 503, '/replica?replication_state=none', '/replica?tag_zone=a');
	codes($n1, 200, '/primary?tag_zone=a', '/leader?lag=0');

	$n2->safe_psql('SELECT pg_wal_replay_pause()');
	$n1->safe_psql(
		'CREATE TABLE filler AS SELECT repeat(md5(g::text), 100) AS t'
		  . ' FROM generate_series(1, 1000) AS g');
	HaCluster::wait_until('the lag is seen',
		sub { $n2->rest('/replica?lag=1kB') == 503 });
	HaCluster::wait_until('it is received',
		sub { $n2->rest('/readiness?lag=1kB&mode=write') == 200 });
	codes($n2, 200, '/replica', '/replica?lag=1GB', '/readiness?lag=1GB');
	codes($n2, 503, '/readiness?lag=1kB', '/async?lag=1kB');
	is(json_of($n2, '/patroni')->{xlog}{paused}, JSON::PP::true,
		'a pause of the replay is shown');
	$n2->safe_psql('SELECT pg_wal_replay_resume()');
	HaCluster::wait_until('it has caught up',
		sub { $n2->rest('/replica?lag=1kB') == 200 });
	return;
}

sub methods
{
	foreach my $method (qw(HEAD OPTIONS))
	{
		my ($status, $body) = $n1->http($method, '/primary');
		is("$status $body", '200 ', "$method /primary, without a body");
		is(($n1->http($method, '/replica'))[0], 503, "$method /replica");
		is(($n2->http($method, '/replica'))[0], 200, 'there on the standby');
		is(($n1->http($method, '/cluster'))[0], 503, "$method /cluster");
	}
	foreach my $method (qw(POST PUT PATCH DELETE))
	{
		is(($n1->http($method, '/patroni'))[0], 405, "$method /patroni");
	}
	is(($n1->http('BREW', '/'))[0], 501, 'a method that nobody knows');
	return;
}

sub state_json
{
	my $json = json_of($n1, '/patroni');
	my $time = qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00$/;
	my $of_server = $n1->safe_psql(
		"SELECT to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC',"
		  . " 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'");

	is(join(' ', sort keys %$json),
		'database_system_identifier dcs_last_seen patroni postmaster_start_time'
		  . ' replication role server_version state timeline xlog',
		'the fields of a leader');
	is("$json->{state} $json->{role}", 'running primary', 'what it is');
	like($json->{postmaster_start_time}, $time, 'a time as Patroni writes it');
	is($json->{postmaster_start_time}, $of_server, 'the same as in SQL');
	like($json->{xlog}{location}, qr/^\d+$/, 'the position is a number');
	is_deeply(
		$json->{replication},
		[
			{
				application_name => 'n2',
				state => 'streaming',
				sync_state => 'async',
				sync_priority => 0
			}
		],
		'who streams; and neither from where nor as whom');
	is_deeply($json->{patroni},
		{ version => '1.0', scope => $cluster->{scope}, name => 'n1' },
		'who it is');
	ok(abs($json->{dcs_last_seen} - time) < 60, 'etcd was seen lately');

	$json = json_of($n2, '/replica');
	is(join(' ', sort keys %$json),
		'database_system_identifier dcs_last_seen patroni postmaster_start_time'
		  . ' replication_state role server_version state timeline xlog',
		'the fields of a standby');
	is("$json->{role} $json->{replication_state}", 'replica streaming',
		'what it is');
	is(join(' ', sort keys %{ $json->{xlog} }),
		'paused received_location replayed_location replayed_timestamp',
		'its positions');
	like($json->{xlog}{replayed_timestamp}, $time, 'when that was committed');
	is(json_of($n2, '/nothing')->{role}, 'replica',
		'any other path tells the same');
	return;
}

sub documents
{
	$cluster->configure({ mine => { of => 'patroni' } });
	foreach my $node ($n1, $n2)
	{
		my $json = json_of($node, '/cluster');
		my %member = map { $_->{name} => $_ } @{ $json->{members} };

		is($json->{scope}, $cluster->{scope}, 'the scope');
		is(join(' ', map { "$_->{name}=$_->{role}" } @{ $json->{members} }),
			'n1=leader n2=replica', 'the members, by name');
		is(join(' ', sort keys %{ $member{n1} }),
			'api_url host name port role state timeline', 'the fields of a leader');
		is(join(' ', sort keys %{ $member{n2} }),
			'api_url host lag lsn name port receive_lag receive_lsn replay_lag'
			  . ' replay_lsn role state timeline',
			'the fields of a standby');
		is("$member{n1}{state} $member{n2}{state}", 'running streaming',
			'their states');
		like($member{n2}{lsn}, qr{^[0-9A-F]+/[0-9A-F]+$}, 'a position');
		like($member{n2}{lag}, qr/^\d+$/, 'a lag');
		is($member{n2}{api_url}, "http://127.0.0.1:$n2->{rest_port}/patroni",
			'where it is asked');
		is_deeply(json_of($node, '/history'), [], 'no timeline has ended');
		HaCluster::wait_until('/config is what stands in etcd',
			sub { (json_of($node, '/config') // {})->{mine} });
		is_deeply(json_of($node, '/config'), decode_json($cluster->etcd_get('config')),
			'unknown keys, too');
	}
	$cluster->etcd_put('config', '[1]');
	HaCluster::wait_until('what is no configuration is not told',
		sub { $n1->rest('/config') == 502 });
	$cluster->configure({});
	$cluster->etcd_put('history', '[[1,2,"x","2026-01-01T00:00:00+00:00","n9"]]');
	HaCluster::wait_until('there is a history',
		sub { @{ json_of($n1, '/history') } });
	is_deeply(json_of($n1, '/history'),
		[ [ 1, 2, 'x', '2026-01-01T00:00:00+00:00', 'n9' ] ], 'the history');
	$cluster->etcd_delete('history');
	return;
}

sub synchronous
{
	$cluster->configure({ synchronous_mode => JSON::PP::true });
	HaCluster::wait_until('the standby is synchronous',
		sub { $n2->rest('/sync') == 200 });
	codes($n2, 200, '/synchronous', '/read-only-sync', '/read-only-synchronous',
		'/replica');
	codes($n2, 503, '/async', '/quorum', '/read-only-quorum');
	is(json_of($n2, '/patroni')->{sync_standby}, JSON::PP::true, 'it says so');
	HaCluster::wait_until('so does /cluster',
		sub { json_of($n1, '/cluster')->{members}[1]{role} eq 'sync_standby' });
	HaCluster::wait_until('the primary tells whom it waits for',
		sub { json_of($n1, '/patroni')->{replication}[0]{sync_state} eq 'sync' });

	$cluster->configure({ synchronous_mode => 'quorum' });
	HaCluster::wait_until('it is one of a quorum',
		sub { $n2->rest('/quorum') == 200 });
	codes($n2, 200, '/read-only-quorum');
	codes($n2, 503, '/async', '/sync', '/read-only-sync');
	is(json_of($n2, '/patroni')->{quorum_standby}, JSON::PP::true, 'it says so');
	$cluster->configure({ synchronous_mode => JSON::PP::false });
	HaCluster::wait_until('it is asynchronous again',
		sub { $n2->rest('/async') == 200 });
	return;
}

sub tags
{
	$n2->stop;
	$n2->add_settings("pg_ha.tags = 'noloadbalance, zone = east, failover_priority = 2'");
	$n2->start;
	$cluster->wait_streaming(1);
	HaCluster::wait_until('it runs', sub { $n2->rest('/health') == 200 });
	codes($n2, 503, '/replica', '/read-only', '/async');
	HaCluster::wait_until('but may take over',
		sub { $n2->rest('/readiness') == 200 });
	is_deeply(json_of($n2, '/patroni')->{tags},
		{ noloadbalance => JSON::PP::true, zone => 'east', failover_priority => 2 },
		'all tags are told');
	is(json_of($n1, '/cluster')->{members}[1]{tags}{failover_priority},
		2, 'in /cluster, too');
	$n2->stop;
	$n2->add_settings("pg_ha.tags = 'zone = east'");
	$n2->start;
	$cluster->wait_streaming(1);
	HaCluster::wait_until('it serves', sub { $n2->rest('/replica') == 200 });
	codes($n2, 200, '/replica?tag_zone=east', '/read-only?tag_zone=EAST');
	codes($n2, 503, '/replica?tag_zone=west', '/replica?tag_other=1');
	return;
}

# What is told of a member without a server, by its pg_ha_boot.
sub without_server
{
	my ($node, $state) = @_;

	codes($node, 503, @leader, @standby, @sync, @neither, '/read-only', '/health',
		'/readiness');
	codes($node, 200, '/patroni', '/liveness', '/cluster', '/history', '/config',
		'/metrics');
	my $json = json_of($node, '/patroni');
	is($json->{state}, $state, "the state is $state");
	ok(!exists $json->{xlog}, 'it tells of no position');
	is($json->{patroni}{name}, $node->name, 'who it is');
	return;
}

sub creating
{
	my $wait = "$cluster->{base}/go";
	my $script = "$cluster->{base}/slow";

	append_to_file($script, "#!/bin/sh\nwhile [ ! -e $wait ]; do sleep 0.05; done\nexit 1\n");
	chmod 0755, $script;
	$n3->add_settings("pg_ha.clone_methods = '$script, basebackup'");
	$n3->start;
	HaCluster::wait_until('n3 is being cloned',
		sub { (json_of($n3, '/patroni') // { state => '' })->{state} eq 'creating replica' });
	without_server($n3, 'creating replica');
	append_to_file($wait, '');
	HaCluster::wait_until('it has come', sub { $n3->rest('/replica') == 200 });
	return;
}

sub start_fails
{
	$n3->stop;
	$n3->add_settings("shared_preload_libraries = 'pg_ha, there_is_no_such_thing'");
	$n3->start;
	HaCluster::wait_until('its start has failed',
		sub { (json_of($n3, '/patroni') // { state => '' })->{state} eq 'start failed' });
	without_server($n3, 'start failed');
	$n3->stop;
	return;
}

# The worker is gone, nothing is known of etcd, and nobody leads: and yet an answer.
sub dead
{
	$cluster->configure({ primary_start_timeout => 0 });
	$cluster->etcd_kill;
	HaCluster::wait_until('the lease is over', sub { $n1->rest('/primary') == 503 });
	is(json_of($n1, '/patroni')->{role}, 'replica',
		'who does not lead any more does not say primary');
	codes($n1, 503, @leader);
	codes($n1, 200, '/health', '/patroni', '/cluster', '/config');
	is(json_of($n1, '/cluster')->{members}[0]{name},
		'n1', '/cluster is what was seen last');
	$n2->freeze($n2->worker_pid);
	HaCluster::wait_until('a worker that stands still is no replica',
		sub { $n2->rest('/replica') == 503 });
	HaCluster::wait_until('and after a while not alive',
		sub { $n2->rest('/liveness') == 503 });
	$n2->thaw;
	$cluster->etcd_start;
	HaCluster::wait_until('somebody leads again', sub { $cluster->leader });
	return;
}
