#
# With synchronous_mode on, no way to commit loses an acknowledged row when the
# node that leads is killed, three times in a row, and the member in /sync is the
# one that leads then.
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
$cluster->wait_for_leader;

foreach my $round (1 .. $ENV{HA_ROUNDS} // 3)
{
	subtest "round $round" => sub { run_round(); };
}
done_testing();

sub run_round
{
	my $old = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);

	my $writer = $cluster->start_writer(
		clients => 5,
		modes => 'simple,extended,copy,2pc,plpgsql');
	$writer->wait_for_acks(100 + int(rand(300)));

	is($old->status('synchronous_mode'), 'on', 'the leader knows the mode');
	isnt($old->safe_psql('SHOW synchronous_standby_names'),
		'', 'commits wait for somebody');
	my %may_lead = map { $_ => 1 } $cluster->sync_standbys($old);
	note 'in /sync: ' . join(', ', sort keys %may_lead);

	$old->kill_node;
	my $new = $cluster->wait_for_leader(other_than => $old);
	ok($may_lead{ $new->name }, 'a synchronous standby leads');
	$writer->wait_for_acks(100, since => HaCluster::now());

	$old->start;
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	diag sprintf 'outage %.3f s', $verdict->{outage};
	return;
}
