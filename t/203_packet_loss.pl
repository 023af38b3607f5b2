#
# L2: of all packets between every node and etcd 30 % are lost, for three lease lengths.
# Nothing but the end of its lease ends a leader, and whatever is lost is asked for again in
# time: so nobody else leads, no server is restarted, and nothing that was acknowledged is
# lost.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaRoot hosts => [qw(etcd n1 n2)];
use HaCluster;
use Test::More;

my $net = $HaRoot::machine;

# The times that a cluster has if nobody sets others
my $cluster = HaCluster->new(
	nodes => 2,
	machine => $net,
	config => { ttl => 10, loop_wait => 2, retry_timeout => 4 });
my ($n1, $n2) = $cluster->nodes;

$cluster->start_led_by('n1');

my $term = $cluster->etcd_get('pg_ha/term');
my @pids = map { $_->postmaster_pid } $n1, $n2;
my $writer = $cluster->start_writer(clients => 2, pause => 5);
$writer->wait_for_acks(20);

$net->lose($_, 'etcd', 30) foreach qw(n1 n2);
my $leases = 3 * ($ENV{HA_ROUNDS} // 1);
my $until = HaCluster::now() + $leases * $cluster->ttl;
my $least = $cluster->ttl;
HaCluster::wait_until(
	"$leases leases have passed",
	sub {
		my $left = $n1->status('deadline_in_ms') / 1000;

		$least = $left if $left < $least;
		return HaCluster::now() > $until;
	},
	2 * $leases * $cluster->ttl);
my $dropped = $net->dropped;
$net->heal;

cmp_ok($dropped, '>', 50, "$dropped packets were lost");
is($cluster->wait_for_leader->name, 'n1', 'the same leader');
is($cluster->etcd_get('pg_ha/term'), $term, 'in the same term');
is_deeply([ map { $_->postmaster_pid } $n1, $n2 ], \@pids, 'no server was restarted');
my $history = $cluster->check_history($writer);
is($history->{lost}, 0, 'nothing is lost');
is(scalar @{ $history->{overlaps} }, 0, 'nothing was acknowledged late');
note sprintf('the lease had %.1f s left at least', $least);
done_testing();
