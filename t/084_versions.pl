#
# A library that is older than the cluster's schema does nothing: its server is a standby
# that serves reads, whoever led stops doing so, nothing is written to etcd, nobody
# crashes, and each member says why.  Members of different versions are told of.  A
# control block of another version is never read, and replaced when nobody uses it.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_CONFIGURATION => 10;
use constant WHY => 'pg_ha 1.0 cannot manage cluster schema 3 (needs >= 1.4)';

my $cluster = HaCluster->new(nodes => 2);
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
my ($standby) = $cluster->standbys;

subtest 'versions are shown, and told of while they differ' => \&versions;
subtest 'a later schema' => \&later_schema;
subtest 'the same schema again' => \&same_schema;
subtest 'a control block of another version' => \&control_block;
done_testing();

sub health
{
	my ($node) = @_;
	return $node->safe_psql(q{SELECT ok::text || ' ' || detail FROM pg_ha_health()
		WHERE check_name = 'versions'});
}

# A member key that stands for a member of another version; it has no lease.
sub versions
{
	is( $standby->safe_psql(q{SELECT DISTINCT version FROM pg_ha_members()}),
		'1.0', 'of each member');
	is(health($standby), 'true all members run one version', 'health');
	$cluster->etcd_put('members/n9', encode_json(
		{
			conn_url => 'postgres://127.0.0.1:1/postgres',
			state => 'running',
			role => 'replica',
			pg_ha_version => '1.1',
		}));
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('they differ, says ' . $node->name,
			sub { health($node) eq 'false 1.0 (n1, n2), 1.1 (n9)' });
		HaCluster::wait_until('its log too',
			sub { $node->log_contains(qr/WARNING:  members run different versions of pg_ha: 1\.0 \(n1, n2\), 1\.1 \(n9\)/) });
	}
	is( $standby->safe_psql("SELECT version FROM pg_ha_members() WHERE name = 'n9'"),
		'1.1', 'and of that one');
	$cluster->etcd_delete('members/n9');
	HaCluster::wait_until('they are alike again', sub { health($leader) =~ /^true/ });
	return;
}

sub later_schema
{
	my %boot = map { $_->name => $_->boot_pid } $cluster->nodes;
	my $pid = $standby->postmaster_pid;
	my $identity = decode_json($cluster->etcd_get('pg_ha/identity'));
	my $rows = $leader->safe_psql('SELECT count(*) FROM acked');
	my $writer = $cluster->start_writer;

	is($identity->{schema}, 1, 'ours');
	is($identity->{needs}, '1.0', 'which this version knows');
	$writer->wait_for_acks(50);
	$cluster->etcd_put('pg_ha/identity',
		encode_json({ %$identity, schema => 3, needs => '1.4' }));
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			$node->name . ' is a standby and says why',
			sub {
				my ($rc, $out) = $node->psql('SELECT role, why FROM pg_ha_status()',
					timeout => 3);
				$rc == 0 && $out eq 'standby|' . WHY;
			});
		ok($node->log_contains(qr/WARNING:  \Q${\WHY}\E/), 'its log too');
	}
	my $since = $cluster->etcd_history;

	# All of it: leader key, members and their leases are gone, and nothing comes.
	HaCluster::wait_until('the leader key has run out',
		sub { !defined $cluster->etcd_get('leader') });
	HaCluster::wait_until('the members have', sub {
		!defined $cluster->etcd_get('members/n1') && !defined $cluster->etcd_get('members/n2');
	});
	my $until = HaCluster::now() + 2 * $cluster->ttl;
	my %seen;
	while (HaCluster::now() < $until)
	{
		foreach my $node ($cluster->nodes)
		{
			my $recovers = $node->safe_psql('SELECT pg_is_in_recovery()');
			$seen{"$recovers " . $node->rest('/leader')}++;
		}
	}
	is_deeply([ keys %seen ], ['t 503'], 'nobody leads, for two leases');
	my ($rc, $out, $err) = $standby->psql(q(SELECT pg_ha_set_config('{"check_timeline":true}')));
	like($err, qr/could not carry out the request: \Q${\WHY}\E/, 'SQL writes nothing');
	my @history = $cluster->etcd_history;
	is_deeply([ grep { $_->[0] ne 'DELETE' } splice @history, $since ],
		[], 'nothing was written to etcd');

	is($standby->postmaster_pid, $pid, 'the standby was not restarted');
	is($_->boot_pid, $boot{ $_->name }, 'its pg_ha_boot has not ended')
	  foreach $cluster->nodes;
	cmp_ok($standby->safe_psql('SELECT count(*) FROM acked'), '>', $rows, 'reads go on');
	$cluster->{writer} = $writer;

	# One that starts now does the same.
	$standby->stop;
	$standby->start;
	HaCluster::wait_until('a node that is started serves reads',
		sub { ($standby->psql('SELECT count(*) FROM acked', timeout => 3))[0] == 0 });
	HaCluster::wait_until('and says why',
		sub { $standby->status('why') eq WHY });
	my ($code, $said) = $standby->boot('check');
	like($said, qr/P23 \Q${\WHY}\E/, 'so does pg_ha_boot check');
	$cluster->{identity} = $identity;
	return;
}

# As if the library had been upgraded.
sub same_schema
{
	$cluster->etcd_put('pg_ha/identity', encode_json($cluster->{identity}));
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(1);
	my $verdict = $cluster->check_history($cluster->{writer});
	is($verdict->{dual_ms}, 0, 'no two led');
	is($verdict->{lost}, 0, 'and nothing acknowledged is lost');
	return;
}

sub patch_version
{
	my ($node, $by) = @_;

	open my $fh, '+<:raw', "$node->{dir}.pg_ha/control" or die "control: $!";
	seek $fh, 8, 0;
	read $fh, my $version, 4;
	seek $fh, 8, 0;
	print $fh pack('L', unpack('L', $version) + $by);
	close $fh;
	return;
}

sub control_block
{
	my ($node) = $cluster->standbys;
	my $writer = $cluster->start_writer;

	is(($node->boot('detach'))[0], 0, 'pg_ha_boot detached');
	HaCluster::wait_until('it has ended', sub { !$node->is_running });
	my $pid = $node->postmaster_pid;
	patch_version($node, 1);
	$node->start;
	is($node->wait_for_exit, EXIT_CONFIGURATION, 'another version is refused');
	ok($node->log_contains(qr/could not open the control block .*: could not use file "control": it was made by another version of pg_ha, which still runs here/),
		'while it runs');
	ok($node->log_contains(qr/hint: If the server runs with another version of pg_ha, start/),
		'with a hint');
	is($node->postmaster_pid, $pid, 'the server goes on');
	is($node->safe_psql('SELECT pg_is_in_recovery()'), 't', 'as a standby');

	# Stopped, by hand, since nobody minds it: then the block is nobody's.
	kill 'INT', $pid;
	HaCluster::wait_until('the server has ended', sub { !HaCluster::is_alive($pid) });
	$node->start;
	$cluster->wait_streaming(1);
	ok($node->log_contains(qr/the control block was of another version of pg_ha: begins anew/),
		'then it is replaced');
	my $verdict = $cluster->check_history($writer);
	ok($verdict->{ok}, 'the leader was not disturbed') or diag $verdict->{line};
	return;
}
