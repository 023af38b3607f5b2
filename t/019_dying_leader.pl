#
# A worker whose postmaster is dead does nothing that the walsenders' end would be a
# reason for: the synchronous standby stays in /sync, and leads next.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use Test::More;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { synchronous_mode => JSON::PP::true });
$cluster->start_all;

foreach my $round (1 .. $ENV{HA_ROUNDS} // 3)
{
	subtest "round $round" => sub { run_round(); };
}
done_testing();

sub run_round
{
	my $leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);

	my ($standby) = $cluster->sync_standbys($leader);
	my $worker = $leader->worker_pid;
	my $postmaster = $leader->postmaster_pid;
	my %others = %{ HaCluster::process_tree($postmaster) };
	delete @others{ $postmaster, $worker };

	# The worker is the last to know, and a signal wakes it for a turn of its own.
	$leader->freeze($worker);
	kill 'KILL', $leader->boot_pid, $postmaster;
	HaCluster::wait_until('all others are gone',
		sub { !grep { HaCluster::is_alive($_, $others{$_}) } keys %others });
	kill 'HUP', $worker;
	$leader->thaw;

	my $new = $cluster->wait_for_leader(other_than => $leader);
	is($new->name, $standby, 'the synchronous standby leads');
	$leader->start;
	$cluster->wait_streaming(2);
	pass('and the old leader follows');
	return;
}
