#
# pg_ha_switchover(target) lets that member lead; nothing acknowledged is lost
# with asynchronous replication either, and the old primary streams from the new
# one.  A target that can't lead is refused and changes nothing.
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
$cluster->wait_for_leader;
$cluster->wait_streaming(2);

foreach my $round (1 .. $ENV{HA_ROUNDS} // 2)
{
	subtest "round $round" => sub { run_round(); };
}

my $leader = $cluster->wait_for_leader;
my $timeline = $leader->timeline;
foreach my $target ('nobody', $leader->name)
{
	my ($rc, $out, $err) = $leader->psql("SELECT pg_ha_switchover('$target')");
	isnt($rc, 0, "a switchover to \"$target\" is refused");
	note $err;
}
is($cluster->wait_for_leader->name, $leader->name, 'the leader has stayed');
is($leader->timeline, $timeline, 'and its timeline');
ok(!$_->log_contains(qr/rewinding from/), $_->name . ' was never rewound')
  foreach $cluster->nodes;
done_testing();

sub run_round
{
	my $old = $cluster->wait_for_leader;
	my @standbys = $cluster->standbys;
	my $target = $standbys[ rand @standbys ];
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(50 + int(rand(200)));

	# Where it is called on the leader, the answer may be cut off.
	my ($rc, $out, $err) =
	  $old->psql("SELECT pg_ha_switchover('" . $target->name . "')");
	note "from ", $old->name, " to ", $target->name, ": $rc $out $err";

	my $new = $cluster->wait_for_leader(other_than => $old);
	is($new->name, $target->name, 'the target leads');
	$writer->wait_for_acks(100, since => HaCluster::now());
	my $rejoin = $cluster->wait_streaming(2);
	is($old->safe_psql('SELECT pg_is_in_recovery()'),
		't', 'the old primary is a standby');

	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	$cluster->record_row(row => 49, verdict => $verdict, rejoin => $rejoin);
	diag sprintf 'outage %.3f s', $verdict->{outage};
	return;
}
