#
# Members of Patroni and of pg_ha in one cluster, with synchronous replication: each follows the
# other's leader, the leadership goes from one to the other and back, by switchovers and
# when a node dies; no acknowledged row is lost, and never do two nodes acknowledge.
#
# Patroni is a later Debian's, which "test/aside forky patroni" gets.  Debian 12's own
# is too old, and refused.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaPatroni;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

my $program = HaPatroni::program()
  or plan skip_all => 'run "test/aside forky patroni" for it';

# Patroni takes a TTL of 20 s for its own leases, whatever the configuration says.
my $cluster = HaCluster->new(
	nodes => 0,
	config => {
		ttl => 3, loop_wait => 1, retry_timeout => 1,
		synchronous_mode => JSON::PP::true,
		synchronous_node_count => 2	# so that each may lead
	});
HaPatroni::lay_out($cluster, $program, qw(n1 n2 n3));
my ($n1, $n2, $n3) = $cluster->nodes;
my $writer;

subtest 'a standby of pg_ha follows Patroni\'s leader' => \&follows;
subtest 'a switchover from Patroni to pg_ha' => sub { switchover($n1, $n3); };
subtest 'a switchover from pg_ha to Patroni' => sub { switchover($n3, $n1); };
subtest 'Patroni\'s leader dies, pg_ha leads' => \&patroni_dies;
subtest 'pg_ha\'s leader dies, Patroni leads' => \&pg_ha_dies;
subtest 'Patroni 3.0.2 is refused' => \&too_old;
done_testing();

sub follows
{
	$n1->start;
	HaPatroni::wait_for_leader($cluster);
	HaPatroni::give_to_pg_ha($n3);
	$_->start foreach $n2, $n3;
	HaPatroni::wait_streaming($cluster, qw(n2 n3));
	is($cluster->leader->name, 'n1', 'n1 leads');
	is($n3->safe_psql('SELECT pg_is_in_recovery()'), 't', 'n3 is a standby');
	$n1->safe_psql('CREATE EXTENSION pg_ha');
	HaCluster::wait_until('n3 has the functions',
		sub { ($n3->psql('SELECT * FROM pg_ha_status()'))[0] == 0 });
#GUARANTEE
	$writer = $cluster->start_writer;
	$writer->wait_for_acks(50);
	return;
}

# Asked for over HTTP, as patronictl does.
sub switchover
{
	my ($from, $to) = @_;
	my ($other) = grep { $_ != $from && $_ != $to } $cluster->nodes;

	wait_until_listed($from, $to);
	my ($status, $body) = $from->http('POST', '/switchover',
		{ leader => $from->name, candidate => $to->name }, timeout => 60);
	is($status, 200, 'it is done') or diag($body);
	$cluster->wait_until_leads($to->name);
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $to->port);
	HaPatroni::wait_streaming($cluster, $from->name, $other->name);
	ok(!defined $cluster->etcd_get('failover') || $cluster->etcd_get('failover') eq '{}',
		'no wish is left');
	return;
}

# So that it may be elected
sub wait_until_listed
{
	my ($leader, $node) = @_;

	HaCluster::wait_until($node->name . ' is in /sync',
		sub { grep { $_ eq $node->name } $cluster->sync_standbys($leader) });
	return;
}

# Only a member of pg_ha is there to lead.
sub patroni_dies
{
	$n2->stop;
	wait_until_listed($n1, $n3);
	$writer->wait_for_acks(50, since => HaCluster::now());
	$n1->kill_node;
	$cluster->wait_until_leads('n3');
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $n3->port);
	judge();
	return;
}

sub pg_ha_dies
{
	$writer = $cluster->start_writer;
	$n1->start;
	HaPatroni::wait_streaming($cluster, 'n1');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$n3->kill_node;
	$cluster->wait_until_leads('n1');
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $n1->port);
	$n3->start;
	HaPatroni::wait_streaming($cluster, 'n3');
	judge();
	return;
}

sub judge
{
	my $verdict = $cluster->check_history($writer);

	ok($verdict->{ok}, 'every acknowledged row is there, and no two nodes acknowledged at a time')
	  or diag($verdict->{line});
	cmp_ok($verdict->{acks}, '>', 100, 'there were rows');
	return;
}

# A real one, in the other's place
sub too_old
{
	my $old = HaPatroni::debian_program() or plan skip_all => 'there is no /usr/bin/patroni';

	$n3->stop;
	HaPatroni::give_to_patroni($n2, $old);
	$n2->start;
	HaPatroni::wait_streaming($cluster, 'n2');
	is(HaPatroni::member($cluster, 'n2')->{version}, '3.0.2', 'n2 is of Debian 12');
	$n3->start;
	is($n3->wait_for_exit, EXIT_REFUSED, 'pg_ha does not join');
	ok($n3->log_contains(qr/"n2".*3\.0\.2/), 'and says of whom and why');
	return;
}
