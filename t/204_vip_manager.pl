#
# vip-manager (2 or later, which reads etcd's v3 API) beside each node: the address is where
# the leader is, through a switchover and the death of a node, and in the end on one host only.
#
# Debian 12 has a version that can't read v3, so "test/aside forky vip-manager2" gets a later one.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaRoot hosts => [qw(n1 n2 n3)];
use HaCluster;
use HaFault;
use HaRow;
use Test::More;

use constant ADDRESS => '10.66.0.200';

my $program = ($ENV{ASIDE_DIR} // '/var/tmp/pg_ha_aside') . '/forky/usr/bin/vip-manager';
plan skip_all => 'run "test/aside forky vip-manager2" for it' if !-x $program;

my $net = $HaRoot::machine;
seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	etcd => 3,
	machine => $net,
	etcd_hosts => [qw(n1 n2 n3)]);

$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
start_manager($_) foreach $cluster->nodes;
holds($leader, 'the leader has the address');

my ($target) = $cluster->standbys;
$leader->psql("SELECT pg_ha_switchover('" . $target->name . "')");
my $new = $cluster->wait_for_leader(other_than => $leader);
holds($new, 'after a switchover the new one has it');

$cluster->wait_streaming(2);
$new->kill_node;
my $third = $cluster->wait_for_leader(other_than => $new);
holds($third, 'and when that is dead the next one');
done_testing();

sub start_manager
{
	my ($node) = @_;
	my $name = $node->name;
	my $file = "$cluster->{log_prefix}_${name}_vip.yml";
	my $urls = join ', ', map { "\"http://$_->{address}:$_->{port}\"" } @{ $cluster->{etcds} };

	HaCluster::rewrite($file, <<"CONFIG");
interval: 200
trigger-key: "@{[$cluster->key('leader')]}"
trigger-value: "$name"
ip: @{[ADDRESS]}
netmask: 24
interface: eth0
hosting-type: basic
dcs-type: etcd
dcs-endpoints: [ $urls ]
manager-type: basic
retry-num: 2
retry-after: 100
CONFIG
	push @{ $cluster->{proxies} },
	  {
		pid => HaCluster::spawn(
			"$cluster->{log_prefix}_${name}_vip.log", 'nsenter',
			'--net=' . $net->_namespace($name), $program, '--config', $file)
	  };
	return;
}

# Which hosts have the address
sub holders
{
	my $address = ADDRESS;

	return grep {
		HaRoot::run('nsenter', '--net=' . $net->_namespace($_), 'ip', '-o', 'addr', 'show', 'dev', 'eth0')
		  =~ /\Q$address\E/
	} qw(n1 n2 n3);
}

sub holds
{
	my ($node, $what) = @_;
	my $found;

	HaCluster::wait_until($what, sub { $found = join ' ', holders(); $found eq $node->name });
	is($found, $node->name, $what);
	return;
}
