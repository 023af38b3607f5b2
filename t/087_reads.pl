#
# What a member tells of the store and of the cluster while the store, or a part of it,
# is away: from memory, at once, on every node, and with how old it is.  And none of that
# changes who leads.
#
# J3, J4 and J5 are scenarios in docs/testing.md.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HaRow;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();

# A renewal a second, which is given up after 1.25 s.
my $cluster = HaCluster->new(
	nodes => 3,
	etcd => 3,
	config => { ttl => 5, loop_wait => 1, retry_timeout => 2 },
	settings => "pg_ha.dcs_start_timeout = '1s'");
my $ttl = $cluster->ttl;

$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my ($standby, $third) = grep { $_ != $leader } $cluster->nodes;
my $timeline = $leader->timeline;
my %postmasters = map { $_->name => $_->postmaster_pid } $cluster->nodes;

subtest 'all reads work on a standby' => \&reads_on_standby;
subtest 'J4: the endpoint in use is a black hole' => \&j4;
subtest 'J5: a standby alone is cut from etcd' => \&j5;
subtest 'J3: etcd is stopped' => \&j3;
done_testing();

sub nothing_happened
{
	is($cluster->wait_for_leader->name, $leader->name, 'the leader is the same');
	is($leader->timeline, $timeline, 'nobody was promoted');
	is($_->postmaster_pid, $postmasters{ $_->name }, 'no restart of ' . $_->name)
	  foreach $cluster->nodes;
	return;
}

# Of one endpoint, as this node has it; undef if the node does not answer.
sub endpoint
{
	my ($node, $number) = @_;
	my $port = $node->{wires}[ $number - 1 ]{port};
	my ($rc, $out) = $node->psql(
		"SELECT state, in_use, coalesce(last_error, ''), is_etcd_leader, member,
				extract(epoch FROM last_failed - last_ok)
		 FROM pg_ha_dcs() WHERE endpoint = 'http://127.0.0.1:$port'");

	return if $rc != 0;
	my %row;
	@row{qw(state in_use last_error leads member gap)} = split /\|/, $out, -1;
	return \%row;
}

sub quorum
{
	my ($node) = @_;
	my %row;

	@row{qw(members healthy needed can_lose warning)} = split /\|/,
	  $node->safe_psql('SELECT etcd_members, voters_healthy, needed, can_lose,'
		  . " coalesce(warning, '') FROM pg_ha_quorum()"), -1;
	return \%row;
}

# Reads without arguments that must be given
sub reads
{
	return split /\n/, $leader->safe_psql(
		"SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
			AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
		 JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_ha'
		 WHERE has_function_privilege('pg_monitor', p.oid, 'EXECUTE')
		   AND p.pronargs = p.pronargdefaults ORDER BY 1");
}

sub reads_on_standby
{
	my @reads = reads();

	cmp_ok(scalar @reads, '>', 9, "there are reads: @reads");
	foreach my $read (@reads)
	{
		my ($rc, $out, $err) = $standby->psql("SELECT count(*) FROM $read()");
		is($rc, 0, $read) or diag $err;
	}
	HaCluster::wait_until(
		'etcd has told who leads it',
		sub {
			1 == $standby->safe_psql(
				'SELECT count(*) FROM pg_ha_dcs() WHERE is_etcd_leader');
		});
	my $row = endpoint($standby, $cluster->etcd_leader);
	is("$row->{state} $row->{leads}", 'ok t', 'and it is the one that does');
	is($row->{member}, 'e' . $cluster->etcd_leader, 'with its name');
	my $quorum = quorum($standby);
	is("@$quorum{qw(members healthy needed can_lose warning)}",
		'3 3 2 1 ', 'three members, two needed');
	return;
}

sub j4
{
	my $number = HaCluster::wait_until('the worker talks to etcd',
		sub { $leader->etcd_in_use($leader->worker_pid) });
	my $suspended = 0;
	my $row;

	$cluster->etcd_lead($number % 3 + 1);
	$cluster->etcd_pause($number);
	HaCluster::wait_until(
		'the renewal has moved on',
		sub {
			$suspended++ if $leader->status('suspended') eq 't';
			$row = endpoint($leader, $number);
			return $row->{in_use} eq 'f';
		});
	is($row->{state}, 'timeout', 'the row says timeout');
	like($row->{last_error}, qr/^timeout after [\d.]+ s$/, 'and after how long');
	cmp_ok($row->{gap}, '<', $ttl / 5 + 2, 'within retry_timeout of the renewal that was lost');
	wait_for_proofs($leader, 3);
	is($leader->status('suspended'), 'f', 'it is proven again');
	is($suspended, 0, 'and was all the time');
	my $quorum = quorum($leader);
	is("@$quorum{qw(members healthy needed can_lose)}", '3 2 2 0', 'two are left');
	like($quorum->{warning}, qr/cannot lose another/, 'which is warned of');

	$cluster->etcd_resume;
	HaCluster::wait_until('the row says ok again',
		sub { endpoint($leader, $number)->{state} eq 'ok' });
	nothing_happened();
	return;
}

sub j5
{
	my $writer = $cluster->start_writer(on => $leader, patience => 60_000);
	my $known = sub {
		return $leader->safe_psql(
			'SELECT count(*) FROM pg_ha_members() WHERE name = \''
			  . $standby->name . "'");
	};
	my $streams = sub {
		return $leader->safe_psql(
			"SELECT state FROM pg_stat_replication WHERE application_name = '"
			  . $standby->name . "'");
	};

	$writer->wait_for_acks(50);
	my $cut_at = HaCluster::now();
	$cluster->cut_from_etcd($standby);
	HaCluster::wait_until('it is no member any more', sub { $known->() == 0 });
	cmp_ok(HaCluster::now() - $cut_at, '<', 2 * $ttl + 5, 'soon after its TTL');
	HaCluster::wait_until(
		'a TTL more has passed',
		sub {
			is($standby->safe_psql('SELECT pg_is_in_recovery()'), 't',
				'it has been promoted')
			  if $standby->rest('/leader') == 200;
			return HaCluster::now() > $cut_at + 3 * $ttl;
		});
	is($streams->(), 'streaming', 'it streams on');
	is( $standby->safe_psql('SELECT bool_and(stale) FROM pg_ha_members()'),
		't', 'it says that its view is stale');
	is( $leader->safe_psql('SELECT bool_or(stale) FROM pg_ha_members()'),
		'f', 'that of the leader is not');
	is( $standby->safe_psql(
			"SELECT count(*) FROM pg_ha_dcs() WHERE state <> 'refused'"),
		0, 'and that all endpoints refuse');

	$cluster->heal($standby);
	HaCluster::wait_until('it is back', sub { $known->() == 1 });
	HaCluster::wait_until('its view is fresh',
		sub { $standby->safe_psql('SELECT bool_or(stale) FROM pg_ha_members()') eq 'f' }
	);
	is(scalar(grep { $_->{event} =~ /^(?:fail|unknown)$/ } @{ $writer->events }),
		0, 'no commit failed meanwhile');
	$cluster->wait_streaming(2);
	promises_kept($cluster, $writer);
	nothing_happened();
	return;
}

# How long the server works for an answer: the best of three, in ms
sub time_of
{
	my ($node, $read) = @_;
	my @times = sort { $a <=> $b } map {
		my ($time) =
		  $node->safe_psql("EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM $read()") =~
		  /^Execution Time: ([\d.]+)/m;
		$time;
	} 1 .. 3;

	return $times[0];
}

# What its pg_ha_boot keeps of the members, in the way of a query
sub members_noted
{
	my ($node) = @_;
	my $file = "$node->{dir}.pg_ha/members";

	return '' if !-f $file;
	my $keys = JSON::PP::decode_json(slurp_file($file))->{keys};
	return join "\n", map { "$_|" . JSON::PP::decode_json($keys->{"members/$_"})->{state} }
	  map { m{^members/(.*)} ? $1 : () } sort keys %$keys;
}

sub j3
{
	my $query = 'SELECT name, role, state, host, port, timeline, tags, is_leader,'
	  . ' sync FROM pg_ha_members() ORDER BY 1';
	my @reads = grep { $_ ne 'pg_ha_wait' } reads();
	my %before = map { $_->name => $_->safe_psql($query) } $cluster->nodes;

	is($before{ $third->name }, $before{ $leader->name }, 'all know the same');
	HaCluster::wait_until('the third has noted all members',
		sub {
			members_noted($third) eq
			  $third->safe_psql('SELECT name, state FROM pg_ha_members() ORDER BY 1');
		});
	my $stopped_at = $leader->safe_psql('SELECT clock_timestamp()');
	$cluster->etcd_stop;
	foreach my $node ($cluster->nodes)
	{
		my $name = $node->name;

		HaCluster::wait_until(
			"$name says that its view is stale",
			sub {
				$node->safe_psql('SELECT bool_and(stale) FROM pg_ha_members()') eq 't';
			});
		is($node->safe_psql($query), $before{$name}, "$name has the same rows");
		is( $node->safe_psql(
				"SELECT bool_and(as_of BETWEEN timestamptz '$stopped_at' - interval '5 s'
					AND timestamptz '$stopped_at' + interval '1 s')
				 FROM pg_ha_members()"),
			't', 'as of when etcd was stopped');
		HaCluster::wait_until(
			"$name says that no endpoint answers",
			sub {
				$node->safe_psql("SELECT count(*) FROM pg_ha_dcs()
					WHERE state IN ('refused', 'unreachable')") == 3;
			});
		my $quorum = quorum($node);
		is("@$quorum{qw(members healthy needed can_lose)}",
			'3 0 2 0', 'none of three members answers');
		cmp_ok(time_of($node, $_), '<', 50, "$_ on $name") foreach @reads;
	}
	# Its server is started anew, and has never reached etcd.
	my $pid = $third->postmaster_pid;
	$third->stop;
	$third->start;
	HaCluster::wait_until('it is up again',
		sub { ($third->psql('SELECT 1'))[0] == 0 }, 60);
	isnt($third->postmaster_pid, $pid, 'a member is restarted');
	is($third->safe_psql($query), $before{ $third->name }, 'and remembers the members');
	is( $third->safe_psql(
			"SELECT bool_and(stale AND as_of BETWEEN timestamptz '$stopped_at' - interval '60 s'
				AND timestamptz '$stopped_at' + interval '1 s')
			 FROM pg_ha_members()"),
		't', 'as of before');
	cmp_ok(time_of($third, 'pg_ha_members'), '<', 50, 'at once');
	$postmasters{ $third->name } = $third->postmaster_pid;

	my ($rc, $out, $err) = $third->psql('SELECT pg_ha_pause(false)');
	isnt($rc, 0, 'an action fails');
	like($err, qr/could not carry out the request/, 'and says so');

	$cluster->etcd_start;
	HaCluster::wait_until(
		'no view is stale any more',
		sub {
			!grep { $_->safe_psql('SELECT bool_or(stale) FROM pg_ha_members()') ne 'f' }
			  $cluster->nodes;
		});
	nothing_happened();
	return;
}
