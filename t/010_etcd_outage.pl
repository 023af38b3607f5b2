#
# etcd is away for five TTLs.  Commits wait or fail cleanly, every session and
# every plain SELECT on every node survives, no server is restarted, nobody is
# promoted, and writes resume when etcd is back.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use Test::More;

seed_random();
my $cluster = HaCluster->new(nodes => 3);
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);

foreach my $round (1 .. $ENV{HA_ROUNDS} // 1)
{
	subtest "round $round" => sub { run_round(); };
}
done_testing();

sub run_round
{
	my $timeline = $leader->timeline;
	my %postmaster = map { $_->name => $_->postmaster_pid } $cluster->nodes;
	my @readers = map { $_->session } $cluster->nodes;
	my $committer = $leader->session;
	my $writer = $cluster->start_writer(patience => 4_000);

	$committer->query('CREATE TEMP TABLE mine (a int)');
	$writer->wait_for_acks(50 + int(rand(100)));

	my $gone_at = HaCluster::now();
	my $back_at = $gone_at + 5 * $cluster->ttl;
	$cluster->etcd_kill;

	HaCluster::wait_until('the deadline has passed',
		sub { $leader->status('coalesce(deadline_in_ms, -1) < 0') eq 't' });
	my ($ok, $out, $err) =
	  $committer->query('INSERT INTO acked VALUES (0, 0)', 20);
	is($ok, 0, 'a commit fails, and the session lives');
	like($err, qr/25006/, 'the error is one to retry after');

	# The outage is filled with reads on all nodes.
	my ($reads, $failed) = (0, 0);
	while (HaCluster::now() < $back_at)
	{
		foreach my $reader (@readers)
		{
			($ok, $out, $err) = $reader->query('SELECT count(*) FROM acked');
			$reads++;
			next if $ok;
			$failed++;
			diag "a read failed: $err";
		}
	}
	cmp_ok($reads, '>', 100, 'there were reads during the outage');
	is($failed, 0, 'none of them failed');

	my @late =
	  grep { $_->{earliest} > $gone_at + $cluster->ttl } $writer->acks;
	is(scalar @late, 0, 'nothing was acknowledged after the deadline');

	$cluster->etcd_start;
	my $returned_at = HaCluster::now();
	my $first;
	HaCluster::wait_until(
		'writes resume',
		sub {
			($first) = grep { $_->{at} > $back_at } $writer->acks;
			return $first;
		},
		60);
	diag sprintf 'writes resumed %.3f s after etcd answered',
	  $first->{at} - $returned_at;
	cmp_ok($first->{at} - $returned_at, '<', 10, 'writes resume soon');
	$writer->wait_for_acks(50, since => $first->{at});

	is($cluster->wait_for_leader->name, $leader->name, 'the leader is the same');
	is($leader->timeline, $timeline, 'nobody was promoted');
	is($_->postmaster_pid, $postmaster{ $_->name },
		'no restart of ' . $_->name)
	  foreach $cluster->nodes;
	foreach my $session (@readers, $committer)
	{
		is(($session->query('SELECT pg_backend_pid()'))[1],
			$session->backend_pid, 'a session has survived');
	}
	is(($committer->query('SELECT count(*) FROM mine'))[1],
		0, 'with its temporary table');
	$_->quit foreach @readers, $committer;

	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	return;
}
