#
# F5: three empty nodes started at the same moment in any order become one cluster:
# one leader, two that stream, and only one system identifier is ever written.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use List::Util qw(shuffle uniq);
use Test::More;

my $rounds = $ENV{HA_ROUNDS} // 1;

seed_random();

foreach my $round (1 .. $rounds)
{
	my $cluster = HaCluster->new(nodes => 3);
	my @order = shuffle(map { $_->name } $cluster->nodes);

	note "round $round: @order";
	my $begin = HaCluster::now();
	$cluster->start_all(@order);
	my $leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	$_->safe_psql(q{SELECT pg_ha_wait('any', 60)}, timeout => 70)
	  foreach $cluster->nodes;
	cmp_ok(HaCluster::now() - $begin, '<', 60, "F5, round $round: ready in time");

	my @primaries = grep {
		$_->safe_psql('SELECT pg_is_in_recovery()') eq 'f'
	} $cluster->nodes;
	is(scalar @primaries, 1, "round $round: one primary");
	is($primaries[0]->name, $leader->name, 'it is the leader');

	my @identifiers = uniq map {
		$_->safe_psql('SELECT system_identifier FROM pg_control_system()')
	} $cluster->nodes;
	is(scalar @identifiers, 1, 'all have the same system identifier');

	my @written =
	  uniq grep { $_ ne '' }
	  map { $_->[1] }
	  grep { $_->[0] eq 'PUT' } $cluster->etcd_events('initialize');
	is("@written", "@identifiers", 'no other one was ever written to etcd');

	my @leaders =
	  uniq map { $_->[1] }
	  grep { $_->[0] eq 'PUT' } $cluster->etcd_events('leader');
	is("@leaders", $leader->name, 'nobody else ever led');

	my @roles = map { scalar $_->rest('/replica') } $cluster->nodes;
	is(scalar(grep { $_ == 200 } @roles), 2, 'two call themselves replicas');
	is( $leader->safe_psql(
			q{SELECT count(*), count(*) FILTER (WHERE is_leader)
			  FROM pg_ha_members() WHERE state IN ('running', 'streaming')}),
		'3|1',
		'all three are listed');

	$cluster->end;
}

done_testing();
