#
# etcd that has lost all keys of a cluster gets them back from the node that led it,
# and from no other; a cluster without a uuid gets one from its leader.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 2);
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
my ($standby) = grep { $_ != $leader } $cluster->nodes;
my $postmaster = $leader->postmaster_pid;
my $config = $cluster->etcd_get('config');
my $sysid = $cluster->etcd_get('initialize');
my $uuid = uuid();

subtest 'B3: all keys are deleted under a cluster that runs' => sub {
	my $writer = $cluster->start_writer(clients => 2, patience => 30_000);
	$writer->wait_for_acks(20);
	delete_all();
	HaCluster::wait_until('the keys are back',
		sub { defined $cluster->etcd_get('initialize') });
	my $back_at = HaCluster::now();
	is_back('while it runs');
	$writer->wait_for_acks(20, since => $back_at);
	is($cluster->leader->name, $leader->name, 'the leader is the same');
	is($leader->postmaster_pid, $postmaster, 'and was not restarted');
	ok(!$standby->log_contains(qr/recording ours/), 'the standby did not write');
	HaCluster::wait_until('it has said why',
		sub { $standby->log_contains(qr/B31 etcd holds nothing about cluster "test1"; a standby does not recreate it/) });
	$cluster->wait_streaming(1);
	my $verdict = $cluster->check_history($writer);
	ok($verdict->{ok}, 'no promise was broken') or diag $verdict->{line};
};

# A cluster that has no uuid gets its own back
$cluster->etcd_delete('pg_ha/identity');
HaCluster::wait_until('the uuid is back',
	sub { defined $cluster->etcd_get('pg_ha/identity') });
is(uuid(), $uuid, 'it is the same');

subtest 'B3: ... and while no node runs' => sub {
	# The same while no node runs: a standby that comes first waits for the leader
	my $offset = $standby->log_size;
	$standby->stop;
	$leader->stop;
	delete_all();
	$standby->start;
	HaCluster::wait_until('it serves reads, and waits',
		sub { $standby->log_contains(qr/B31 /, $offset) && $standby->rest('/health') == 200 });
	is($cluster->etcd_get('initialize'), undef, 'it has not written');
	$leader->start;
	$cluster->wait_for_leader;
	is_back('from a stopped leader');
	$cluster->wait_streaming(1);
	ok(!$standby->log_contains(qr/recording ours/), 'the standby did not write');
};

# A cluster made before there were uuids: nodes take it over from the store
$leader = $cluster->leader;
($standby) = grep { $_ != $leader } $cluster->nodes;
foreach my $node ($standby, $leader)
{
	$node->stop;
	unlink "$node->{dir}.pg_ha/cluster" or BAIL_OUT("could not unlink: $!");
}
$cluster->etcd_delete('pg_ha/identity');
$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(1);
HaCluster::wait_until('there is a uuid',
	sub { defined $cluster->etcd_get('pg_ha/identity') });
isnt(uuid(), $uuid, 'a new one');
foreach my $node ($cluster->nodes)
{
	HaCluster::wait_until($node->name . ' has taken it over',
		sub { $node->safe_psql('SELECT match FROM pg_ha_identity()') eq 't'
			&& -e "$node->{dir}.pg_ha/cluster" });
	like(slurp_file("$node->{dir}.pg_ha/cluster"), qr/^\Q${\uuid()}\E test1$/,
		$node->name . ' has written it down');
}
my @written = map { $_->[1] }
  grep { $_->[0] eq 'PUT' && $_->[1] ne '' } $cluster->etcd_events('initialize');
is_deeply(\@written, [ $sysid, $sysid, $sysid ],
	'no other system identifier was ever written');
done_testing();

sub uuid
{
	return JSON::PP::decode_json($cluster->etcd_get('pg_ha/identity'))->{uuid};
}

sub delete_all
{
	my ($rc) = $cluster->etcdctl('del', '--prefix', $cluster->key(''));
	is($rc, 0, 'all keys are deleted');
	return;
}

sub is_back
{
	my ($when) = @_;

	is($cluster->etcd_get('initialize'), $sysid, "$when: the system identifier");
	is($cluster->etcd_get('config'), $config, "$when: the same configuration");
	is(uuid(), $uuid, "$when: the same uuid");
	return;
}
