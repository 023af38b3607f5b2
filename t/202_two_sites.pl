#
# K-c: two sites, of which one has three members of etcd and the other two, and a node
# each.  When the link between them is cut, the site with the majority writes and the
# other one only reads, whoever led before; it comes back by itself.  When the site with
# the majority is lost, the other one waits: nobody there can know that it is.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaRoot hosts => [qw(n1 n2)];
use HaCluster;
use HaFault;
use HaRow;
use Test::More;

my $net = $HaRoot::machine;

seed_random();
my $cluster = HaCluster->new(
	nodes => 2,
	etcd => 5,
	machine => $net,
	etcd_hosts => [qw(n1 n1 n1 n2 n2)]);
my $ttl = $cluster->ttl;
my ($major, $minor) = $cluster->nodes;

$_->add_settings("pg_ha.etcd_sites = '" . sites() . "'") foreach $cluster->nodes;
$cluster->start_led_by($minor->name);

subtest 'K-c: what can be lost is known before' => sub {
	says_quorum($_, '5|5|3|2') foreach $cluster->nodes;
	is($minor->safe_psql('SELECT warning FROM pg_ha_quorum()'),
		'losing site "dc1" also loses the etcd majority', 'and which site can not');
};
subtest 'K-c: the link between the sites is cut' => \&split_sites;
subtest 'K-c: the site with the majority is lost' => \&lose_majority;
done_testing();

sub sites
{
	my @urls = map { "http://$_->{address}:$_->{port}" } @{ $cluster->{etcds} };
	return "dc1=@urls[0 .. 2], dc2=@urls[3, 4]/";
}

sub says_quorum
{
	my ($node, $numbers) = @_;

	HaCluster::wait_until(
		$node->name . " says $numbers",
		sub {
			$node->safe_psql('SELECT etcd_members, voters_healthy, needed, can_lose'
				  . ' FROM pg_ha_quorum()') eq $numbers;
		});
	pass($node->name . " says $numbers");
	return;
}

sub split_sites
{
	my $writer = $cluster->start_writer(roam => 1_000, readers => 2, pause => 20);
	my $reader = $minor->session;

	$writer->wait_for_acks(50);
	my $cut_at = HaCluster::now();
	$net->cut('n1', 'n2');
	is($cluster->wait_for_leader(other_than => $minor)->name,
		'n1', 'the site with the majority leads');
	expect_fenced($minor) if $minor->safe_psql('SELECT pg_is_in_recovery()') eq 'f';
	expect_25006($minor);
	is(($reader->query('SELECT count(*) > 0 FROM acked'))[1],
		't', 'the other one can be read, in a session from before');
	says_quorum($minor, '5|2|3|0');
	says_quorum($major, '5|3|3|0');
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $major->port);
	my @late = grep {
			 $_->{event} eq 'ok'
		  && $_->{port} == $minor->port
		  && $_->{earliest} > $cut_at + $ttl
	} @{ $writer->events };
	is(scalar @late, 0, 'which acknowledged nothing after its lease');

	$reader->quit;
	$net->heal;
	$cluster->wait_streaming(1);
	is($cluster->wait_for_leader->name, 'n1', 'it has come back as a standby');
	promises_kept($cluster, $writer, lossy => 1);
	return;
}

sub lose_majority
{
	$cluster->etcd_kill(1 .. 3);
	$major->kill_node;
	my $lost_at = HaCluster::now();
	says_quorum($minor, '5|2|3|0');

	my $led = 0;
	HaCluster::wait_until(
		'five TTLs have passed',
		sub {
			$led++ if $minor->rest('/leader') == 200;
			return HaCluster::now() > $lost_at + 5 * $ttl;
		});
	is($led, 0, 'the other site never leads');
	is($minor->safe_psql('SELECT pg_is_in_recovery(), count(*) > 0 FROM acked'),
		't|t', 'it is a standby, and can be read');

	# A question that waits for a quorum may just have timed out at one of the two.
	HaCluster::wait_until(
		'it says why',
		sub {
			$minor->safe_psql('SELECT warning FROM pg_ha_quorum()') =~
			  /^2 of 5 voting members of etcd answer here, and 3 are needed/;
		});
	is($minor->safe_psql('SELECT bool_and(stale) FROM pg_ha_members()'),
		't', 'what it knows of members is stale');

	$cluster->etcd_start;
	$major->start;
	is(ref $cluster->wait_for_leader, 'HaCluster::Node', 'with the majority somebody leads');
	$cluster->wait_streaming(1);
	return;
}
