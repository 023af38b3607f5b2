#
# Two members of Patroni and two of pg_ha, and many changes of the leader from any one to any
# other: by switchovers, by nodes, servers and agents that are killed, by outages of etcd.  No
# acknowledged row is lost, and no two nodes acknowledge at a time.
#
# Each change takes a lease of Patroni's, which lasts 20 s at least, so this is for "make soak":
# HA_ROUNDS times CHANGES of them, one half with synchronous_mode on, the other with quorum.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaPatroni;
use JSON::PP ();
use Test::More;

use constant CHANGES => 10;

my $program = HaPatroni::program()
  or plan skip_all => 'run "test/aside forky patroni" for it';
plan skip_all => 'it takes long: set HA_ROUNDS' if !$ENV{HA_ROUNDS};

my %change = (
	'a switchover' => \&switchover,
	'the leader\'s node dies' => sub { $_[0]->kill_node; },
	'the leader\'s server dies' => sub { $_[0]->kill9($_[0]->postmaster_pid); },
	'the leader\'s agent dies' => \&agent_dies,
	'the leader is stopped' => sub { $_[0]->stop; },
	'etcd is away' => \&outage);
my $seed = $ENV{HA_SEED} // time() % 100_000;
my ($cluster, $writer);

srand($seed);
note "HA_SEED=$seed";
foreach my $round (1 .. $ENV{HA_ROUNDS})
{
	foreach my $mode (JSON::PP::true, 'quorum')
	{
		subtest "round $round, synchronous_mode $mode" => sub { changes($mode); };
	}
}
done_testing();

sub changes
{
	my ($mode) = @_;

	$cluster = HaCluster->new(
		nodes => 0,
		config => {
			ttl => 20, loop_wait => 2, retry_timeout => 3,
			synchronous_mode => $mode,
			synchronous_node_count => $mode eq 'quorum' ? 1 : 2
		});
	HaPatroni::lay_out($cluster, $program, qw(n1 n2 n3 n4));
	my ($n1, $n2, $n3, $n4) = $cluster->nodes;

	$n1->start;
	HaPatroni::wait_for_leader($cluster);
	$_->start foreach $n2, $n3, $n4;
	HaPatroni::wait_streaming($cluster, qw(n2 n3 n4));
	foreach my $node ($n3, $n4)
	{
		$node->stop;
		HaPatroni::give_to_pg_ha($node);
		$node->start;
		HaPatroni::wait_streaming($cluster, qw(n2 n3 n4));
	}
	$n1->safe_psql('CREATE EXTENSION pg_ha');	# switchovers are asked for by SQL
	for (1 .. CHANGES)
	{
		my @names = sort keys %change;
		one_change($names[ rand @names ]);
	}
	$cluster->stop_all;
	return;
}

sub is_ours
{
	my ($node) = @_;
	return !HaPatroni::is_patroni($node);
}

# Until all stream again and the one that leads writes.
sub one_change
{
	my ($name) = @_;
	my $old = $cluster->leader;

	$writer = $cluster->start_writer;
	wait_until_listed($old);
	$writer->wait_for_acks(50, since => HaCluster::now());
	note HaCluster::now() . ' ' . $old->name . (is_ours($old) ? ' (pg_ha)' : ' (Patroni)') . ": $name";
	$change{$name}->($old);
	HaCluster::wait_until('somebody leads', sub { $cluster->leader });
	$writer->wait_for_acks(50, since => HaCluster::now());
	foreach my $node ($cluster->nodes)
	{
		$node->start if !$node->is_running;
	}
	my $leader = HaPatroni::wait_all_streaming($cluster);
	my $verdict = $cluster->check_history($writer);

	ok($verdict->{ok}, "$name: " . $old->name . ' to ' . $leader->name . ', nothing lost')
	  or diag($verdict->{line});
	return;
}

sub wait_until_listed
{
	my ($leader) = @_;

	HaCluster::wait_until('two standbys are in /sync',
		sub { $cluster->sync_standbys($leader) >= 2 });
	return;
}

sub switchover
{
	my ($old) = @_;
	my @listed = $cluster->sync_standbys($old);
	my $to = $cluster->node($listed[ rand @listed ]);
	my ($status, $body) = $old->http('POST', '/switchover',
		{ leader => $old->name, candidate => $to->name }, timeout => 60);

	is($status, 200, 'it is done') or diag($body);
	$cluster->wait_until_leads($to->name);
	return;
}

# pg_ha's worker is in the server, which ends with it; what was outside comes back, and attaches.
sub agent_dies
{
	my ($old) = @_;

	$old->kill9($old->boot_pid);
	if (is_ours($old))
	{
		$old->start;
		return;
	}

	# A server without its agent has no fence, so it must not live on.
	$old->kill9($old->postmaster_pid);
	return;
}

# A short one, or one that ends the reign.
sub outage
{
	my ($old) = @_;

	$cluster->etcd_pause;
	if (rand 2 < 1)
	{
		$writer->wait_for_acks(rand 500, since => HaCluster::now());
	}
	else
	{
		HaCluster::wait_until('nobody leads', sub { $old->rest('/leader') != 200 });
	}
	$cluster->etcd_resume;
	return;
}
