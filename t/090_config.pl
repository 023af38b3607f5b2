#
# The cluster's configuration, changed from any member: what is good is in force on
# all of them, and what is not, whoever put it into the store, changes nothing.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 2);

$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
my ($standby) = $cluster->standbys;
HaCluster::wait_until('the standby has the functions',
	sub { ($standby->psql('SELECT pg_ha_get_config()'))[0] == 0 });

subtest 'D3: a change that is wrong is not stored' => \&refused;
subtest 'a setting of the server is in force on all' => \&parameters;
subtest 'what needs a restart is shown' => \&pending;
subtest 'the node file stands over the cluster' => \&local_override;
subtest 'others change it at the same time' => \&together;
subtest 'D3: what is broken behind our back changes nothing' => \&broken;
subtest 'a bad value of the server, put by hand' => \&bad_value;
subtest 'what could run a program is left out' => \&left_out;
subtest 'N-a: the ttl changes under load' => \&ttl_changes;
done_testing();

sub set_config
{
	my ($node, $change) = @_;

	return $node->psql("SELECT pg_ha_set_config('$change')");
}

sub stored { return decode_json($cluster->etcd_get('config')); }

# The TTL of the lease that the leader key hangs on
sub ttl_of_key
{
	my ($rc, $json) =
	  $cluster->etcdctl('get', '-w', 'json', $cluster->key('leader'));
	my $lease = decode_json($json)->{kvs}[0]{lease};
	my ($rc2, $out) =
	  $cluster->etcdctl('lease', 'timetolive', sprintf('%x', $lease));

	return $out =~ /TTL\((\d+)s\)/ ? $1 : "unknown: $out";
}

# Nobody is elected, no commit fails, and the key is there all the time.
sub ttl_changes
{
	my $ttl = $cluster->ttl;
	my $writer = $cluster->start_writer;
	my $term = $leader->status('term');

	foreach my $new (20, $ttl + 1, $ttl)
	{
		is((set_config($standby, qq({"ttl":$new})))[0], 0, "ttl $new");
		HaCluster::wait_until('the leader has a lease of it',
			sub { ttl_of_key() eq $new });
		$writer->wait_for_acks(20, since => HaCluster::now());
		is($leader->safe_psql('SELECT ttl_ms FROM pg_ha_timing()'),
			1000 * $new, 'it is in force');
	}
	is($leader->status('term'), $term, 'the leader is the same, and so is its term');
	is(scalar(grep { $_->[0] eq 'DELETE' } $cluster->etcd_events('leader')),
		0, 'the leader key was never deleted');
	my $verdict = $cluster->check_history($writer);
	is($verdict->{failed}, 0, 'no commit failed');
	is($verdict->{lost}, 0, 'none is lost');
	cmp_ok($verdict->{outage_ms}, '<', 1000, 'and none waited for long');
	return;
}

sub refused
{
	my $version = $cluster->etcd_version('config');
	my @wrong = (
		[ '{"loopwait":5}', 'unknown configuration key "loopwait"' ],
		[ '{"loopwait":5}', 'Did you mean "loop_wait"\?' ],
		[
			'{"loop_wait":"ten"}',
			'invalid pg_ha configuration: "loop_wait" must be a number of seconds'
		],
		[
			'{"ttl":5,"loop_wait":10,"retry_timeout":10}',
			'ttl \(5\) must be at least loop_wait \(10\) \+ 2 \* retry_timeout \(10\) = 30'
		],
		[ '[1]', 'the change must be a JSON object' ],
		[ '{"schema":2}', 'schema 2 is newer than what this pg_ha' ],
		[
			'{"postgresql":{"parameters":{"work_mem":"much"}}}',
			'invalid value for parameter "work_mem": "much"'
		],
		[
			'{"postgresql":{"parameters":{"max_connections":0}}}',
			'0 is outside the valid range for parameter "max_connections"'
		],
		[
			'{"postgresql":{"parameters":{"wrk_mem":"1MB"}}}',
			'parameter "wrk_mem" is not known to this server'
		],
		[
			'{"postgresql":{"parameters":{"archive_command":"true"}}}',
			'parameter "archive_command" could name a program or a file'
		],
		[
			'{"postgresql":{"parameters":{"search_path":"evil"}}}',
			'parameter "search_path" could name a program or a file'
		],
		[
			'{"postgresql":{"parameters":{"shared_preload_libraries":"x"}}}',
			'parameter "shared_preload_libraries" is managed by pg_ha'
		],
		[
			'{"postgresql":{"parameters":{"pg_ha.fence":"off"}}}',
			'parameter "pg_ha.fence" is set in the node file'
		],
		[
			'{"postgresql":{"parameters":{"zero_damaged_pages":true}}}',
			'parameter "zero_damaged_pages" can\'t be set for a whole cluster'
		],
		[
			'{"postgresql":{"parametrs":{}}}',
			'Did you mean "postgresql.parameters"\?'
		]);

	foreach my $try (@wrong)
	{
		my ($rc, $out, $err) = set_config($standby, $try->[0]);

		isnt($rc, 0, "refused: $try->[0]");
		like($err, qr/$try->[1]/, "... and told why");
	}
	is($cluster->etcd_version('config'), $version, 'the store was not touched');
	return;
}

sub parameters
{
	my $before = stored();
	my ($rc, $out) = set_config($standby,
		q{{"postgresql":{"parameters":{"work_mem":"7MB","log_line_prefix":"it''s %m ","enable_hashjoin":false}}}});

	is($rc, 0, 'set on a standby') or diag $out;
	is_deeply(
		decode_json($out), stored(), 'what is returned is what is stored');
	my $after = stored();
	delete $after->{postgresql};
	is_deeply($after, $before, 'and the rest of it is as it was');
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'in force on ' . $node->name,
			sub { $node->safe_psql('SHOW work_mem') eq '7MB' });
		like(slurp_file("$node->{dir}/pg_ha.cluster.conf"),
			qr/^log_line_prefix = 'it''s %m '$/m, 'a quote is a quote on ' . $node->name);
		is( $node->safe_psql(q{SELECT string_agg(concat_ws(' ', name, value, setting,
				regexp_replace(sourcefile, '.*/', ''), pending_restart), ', ' ORDER BY name)
				FROM pg_ha_parameters() WHERE name <> 'log_line_prefix'}),
			'enable_hashjoin off off pg_ha.cluster.conf f, '
			  . 'work_mem 7MB 7MB pg_ha.cluster.conf f',
			'and shown');
	}
	($rc, $out) = set_config($leader,
		'{"postgresql":{"parameters":{"log_line_prefix":null,"enable_hashjoin":null}}}');
	is($rc, 0, 'null removes');
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('it has gone from ' . $node->name,
			sub { $node->safe_psql('SHOW enable_hashjoin') eq 'on' });
	}
	is($standby->safe_psql('SHOW work_mem'), '7MB', 'the other stays');
	return;
}

sub pending
{
	my $old = $leader->safe_psql('SHOW track_activity_query_size');

	set_config($leader,
		'{"postgresql":{"parameters":{"track_activity_query_size":2048}}}');
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'a restart is pending on ' . $node->name,
			sub {
				$node->safe_psql(q{SELECT pending_restart FROM pg_ha_parameters()
					WHERE name = 'track_activity_query_size'}) eq 't';
			});
		is($node->safe_psql('SHOW track_activity_query_size'), $old, 'not in force yet');
	}
	set_config($leader,
		qq({"postgresql":{"parameters":{"track_activity_query_size":"$old"}}}));
	HaCluster::wait_until(
		'no restart is pending',
		sub {
			$leader->safe_psql(
				'SELECT count(*) FROM pg_settings WHERE pending_restart') eq '0';
		});
	return;
}

sub local_override
{
	$standby->add_settings(q{work_mem = '9MB'});
	$standby->safe_psql('SELECT pg_reload_conf()');
	HaCluster::wait_until('the node file counts',
		sub { $standby->safe_psql('SHOW work_mem') eq '9MB' });
	is( $standby->safe_psql(q{SELECT value || ' ' || setting || ' ' ||
			(sourcefile LIKE '%pg_ha.cluster.conf') FROM pg_ha_parameters()
			WHERE name = 'work_mem'}),
		'7MB 9MB false', 'and the difference is shown');
	is($leader->safe_psql('SHOW work_mem'), '7MB', 'there alone');
	return;
}

sub together
{
	my @sessions = map { $_->session } $cluster->nodes;

	foreach my $round (1 .. 5)
	{
		$sessions[$_]->send(
			qq{SELECT pg_ha_set_config('{"postgresql":{"parameters":{"@{[ (qw(geqo_effort geqo_pool_size))[$_] ]}":$round}}}')})
		  foreach 0, 1;
		is(($sessions[$_]->result)[0], 1, "round $round, session $_") foreach 0, 1;
	}
	$_->quit foreach @sessions;
	my $parameters = stored()->{postgresql}{parameters};
	is("$parameters->{geqo_effort} $parameters->{geqo_pool_size}",
		'5 5', 'no change is lost');
	return;
}

sub broken
{
	my $good = $cluster->etcd_get('config');
	my $key = $cluster->etcd_version('leader');

	foreach my $wrong ('{bad', '[]', '{"ttl":1}', '{"schema":99,"ttl":60}')
	{
		$cluster->etcd_put('config', $wrong);
		foreach my $node ($cluster->nodes)
		{
			HaCluster::wait_until(
				"$wrong is refused on " . $node->name,
				sub { $node->status('config_error') ne '' });
			like($node->status('config_error'), qr/^schema 99 is newer than what this pg_ha \S+ knows/,
				'and it says why') if $wrong =~ /schema/;
			is($node->safe_psql('SELECT ttl_ms FROM pg_ha_timing()'),
				1000 * $cluster->ttl, 'the last good one is in force');
			is($node->safe_psql('SHOW geqo_effort'), 5, 'as a whole');
		}
		my ($rc, $out, $err) = set_config($leader, '{"pause":true}');
		isnt($rc, 0, 'it can\'t be built upon');
	}
	$cluster->etcd_put('config', $good);
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('it is good again on ' . $node->name,
			sub { $node->status('config_error') eq '' });
	}
	is($cluster->etcd_version('leader'), $key, 'the leader key was not touched');
	return;
}

sub bad_value
{
	my $good = stored();
	my $wrong = stored();

	$wrong->{ttl} = 60;
	$wrong->{postgresql}{parameters}{geqo_effort} = 11;
	$wrong->{postgresql}{parameters}{work_mem} = '1MB';
	$cluster->etcd_put('config', encode_json($wrong));
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'refused on ' . $node->name,
			sub {
				$node->status('config_error') =~
				  /^11 is outside the valid range for parameter "geqo_effort"/;
			});
		isnt($node->safe_psql('SHOW work_mem'), '1MB', 'nor is any other value in force');
		is($node->safe_psql('SELECT ttl_ms FROM pg_ha_timing()'),
			1000 * $cluster->ttl, 'nor the ttl');
	}
	my ($rc) = set_config($leader,
		'{"ttl":' . $good->{ttl} . ',"postgresql":{"parameters":{"geqo_effort":6}}}');
	is($rc, 0, 'mended by SQL');
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('in force on ' . $node->name,
			sub { $node->safe_psql('SHOW geqo_effort') eq '6' });
		is($node->status('config_error'), '', 'no error any more');
	}
	return;
}

# Patroni's users have such things in their configuration
sub left_out
{
	my $config = stored();
	my $mark = "$leader->{dir}/mark";

	$config->{postgresql}{parameters}{archive_command} = "touch $mark";
	$config->{postgresql}{parameters}{archive_cleanup_command} = "touch $mark";
	$config->{postgresql}{parameters}{geqo_effort} = 7;
	$cluster->etcd_put('config', encode_json($config));
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('the rest is in force on ' . $node->name,
			sub { $node->safe_psql('SHOW geqo_effort') eq '7' });
		isnt($node->safe_psql('SHOW archive_command'), "touch $mark", 'no command is');
		is( $node->safe_psql(q{SELECT refusal FROM pg_ha_parameters()
				WHERE name = 'archive_command'}),
			'could name a program or a file', 'and it is shown why');
		unlike(slurp_file("$node->{dir}/pg_ha.cluster.conf"),
			qr/touch/, 'it is in no file');
	}
	return;
}
