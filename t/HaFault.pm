
=pod

=head1 NAME

HaFault - one fault, and what must be true before, during and after it

=head1 SYNOPSIS

  fault_test(
	  fault => sub { my ($round) = @_; $round->{leader}->kill_node; },
	  heal => sub { my ($round) = @_; $round->{leader}->start; });

=head1 DESCRIPTION

fault_test() runs rounds of: three nodes stream, a writer writes, the fault
strikes the leader, the cluster writes again, the fault is healed, the old
primary has rejoined by itself.  Then the writer's log is compared with what is
there.  First with asynchronous, then with synchronous replication.

  fault          what to do to $round->{leader}
  heal           what a person or a service manager does when the cluster writes
                 again; default: nothing
  over           is the cluster past the fault?  Default: another node leads
  modes          default [ 'async', 'sync' ]
  same_timeline  modes in which nobody may be promoted
  nothing_lost   modes in which no acknowledged row may be lost; sync always is
  in_place       so many rounds of a mode those two hold for; default: all
  crashes        the fault makes the server crash and recover under its postmaster:
                 all of this holds until it has done so too often within a minute, when
                 another node leads
  frozen         modes in which each writer's backend was frozen and may send
                 the acknowledgement that it had begun to send, once
  roam           after how many ms every other client tries the next node; default
                 1000, and 0 where a client's backend must stay to be hit
  writer         more arguments of start_writer()
  check          more assertions, given ($round, $verdict)
  row            the row of the fault matrix that this is, as a number or by mode in a hash

promises_kept(cluster, writer, arguments of check_history()) judges a history that came
about in another way, and returns the verdict.

is_proven(cluster, n): has the leader proven itself n times since the first such call?

The environment: HA_ROUNDS (1) rounds for each mode, HA_SEED for the moments at
which the fault strikes.

=cut

package HaFault;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use HaCluster;
use JSON::PP ();
use Test::More;

our @EXPORT = qw(fault_test is_proven promises_kept seed_random);

use constant CLIENTS => 4;

# The third crash of a server within a minute makes it give way.  Our clock may say
# something else than that of pg_ha_boot about crashes that are nearly that old.
use constant {
	CRASHES_BORNE => 3,
	CRASH_MEMORY => 60,
	CRASH_DOUBT => 10,
};

my %crashes;	# of each node, when

# What an asynchronous failover may lose at most, unless configured otherwise.
use constant MAXIMUM_LAG => 1024 * 1024;

sub seed_random
{
	my $seed = $ENV{HA_SEED} // time() % 100_000;

	srand($seed);
	note "HA_SEED=$seed";
	return;
}

sub fault_test
{
	my (%spec) = @_;
	my $rounds = $ENV{HA_ROUNDS} // 1;

	seed_random();
	my $cluster = HaCluster->new(nodes => 3);
	$cluster->start_all;
	$cluster->wait_for_leader;

	foreach my $mode (@{ $spec{modes} // [ 'async', 'sync' ] })
	{
		$cluster->configure(
			{
				synchronous_mode => $mode eq 'sync'
				? JSON::PP::true
				: JSON::PP::false
			});
		foreach my $n (1 .. $rounds)
		{
			subtest "$mode, round $n" => sub {
				run_round($cluster, $mode, \%spec, $n);
			};
		}
	}
	done_testing();
	return;
}

# How many crashes will this server have had within so many seconds, if it crashes now?
sub crashes_within
{
	my ($node, $seconds) = @_;
	my $since = HaCluster::now() - $seconds;

	return 1 + grep { $_ > $since } @{ $crashes{ $node->name } // [] };
}

sub foresee_crash
{
	my ($round) = @_;
	my $node = $round->{leader};

	$round->{in_place} =
	  crashes_within($node, CRASH_MEMORY + CRASH_DOUBT) < CRASHES_BORNE;
	$round->{gives_way} =
	  crashes_within($node, CRASH_MEMORY - CRASH_DOUBT) >= CRASHES_BORNE;
	push @{ $crashes{ $node->name } }, HaCluster::now();
	return;
}

sub run_round
{
	my ($cluster, $mode, $spec, $n) = @_;
	my $leader = $cluster->wait_for_leader;

	$cluster->wait_streaming($cluster->nodes - 1);
	my $round = {
		cluster => $cluster,
		mode => $mode,
		in_place => $n <= ($spec->{in_place} // $n),
		leader => $leader,
		timeline => $leader->timeline,
		postmaster => $leader->postmaster_pid,
		worker => $leader->worker_pid,
		writer => $cluster->start_writer(
			clients => CLIENTS,
			roam => $spec->{roam} // 1_000,
			readers => 2,
			%{ $spec->{writer} // {} }),
	};

	# At a moment that is not always the same
	$round->{writer}->wait_for_acks(100 + int(rand(300)));
	note 'the fault strikes ' . $leader->name;
	$round->{struck_at} = HaCluster::now();
	foresee_crash($round) if $spec->{crashes};
	$spec->{fault}->($round);
	$round->{in_force_at} = HaCluster::now();

	if ($spec->{over} && !$round->{gives_way})
	{
		HaCluster::wait_until('the fault is over',
			sub { $spec->{over}->($round) });
	}
	else
	{
		$cluster->wait_for_leader(other_than => $leader);
	}
	$round->{writer}->wait_for_acks(100, since => HaCluster::now());
	pass('the cluster writes again');

	my $healed_at = HaCluster::now();
	$spec->{heal}->($round) if $spec->{heal};
	$cluster->wait_streaming($cluster->nodes - 1);
	$round->{rejoin} = HaCluster::now() - $healed_at;
	pass('all nodes are in place again');

	judge($round, $spec);
	return;
}

sub judge
{
	my ($round, $spec) = @_;
	my ($cluster, $mode) = @$round{qw(cluster mode)};
	my $verdict = $cluster->check_history($round->{writer},
		frozen_backends => listed($spec->{frozen}, $mode) ? CLIENTS : 0);
	my $leader = $cluster->wait_for_leader;

	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is($verdict->{stale}, 0, 'no read missed what was acknowledged before it');
	cmp_ok($verdict->{reads}, '>', 0, 'there were reads');

	if ($mode eq 'sync'
		|| ($round->{in_place} && listed($spec->{nothing_lost}, $mode)))
	{
		is($verdict->{lost}, 0, 'every acknowledged row is there');
	}
	else
	{
		judge_loss($leader, $verdict);
	}
	if ($round->{in_place} && listed($spec->{same_timeline}, $mode))
	{
		is($leader->timeline, $round->{timeline}, 'nobody was promoted');
	}
	$spec->{check}->($round, $verdict) if $spec->{check};
	my $row = ref $spec->{row} ? $spec->{row}{$mode} : $spec->{row};
	$cluster->record_row(
		row => $row,
		mode => $mode,
		verdict => $verdict,
		rejoin => $round->{rejoin}) if $row;

	diag sprintf '%s: outage %.3f s, %d of %d acknowledged rows lost%s',
	  $mode, @$verdict{qw(outage lost acks)},
	  $verdict->{late} ? ", $verdict->{late} late" : '';
	return;
}

# By the heartbeats that it put into etcd, until it is true.
my $proofs;

sub is_proven
{
	my ($cluster, $n) = @_;
	my $now = () = $cluster->etcd_events('pg_ha/heartbeat');

	$proofs //= $now;
	return 0 if $now < $proofs + $n;
	undef $proofs;
	return 1;
}

sub promises_kept
{
	my ($cluster, $writer, %args) = @_;
	my $verdict = $cluster->check_history($writer, %args);

	is($verdict->{verdict}, 'ok', 'no promise is broken');
	return $verdict;
}

# Without synchronous replication a failover may lose, but says how much.
sub judge_loss
{
	my ($leader, $verdict) = @_;
	my $lost_bytes = $leader->status('coalesce(lost_bytes, 0)');

	note "$verdict->{lost} rows lost, $lost_bytes bytes reported";
	ok($verdict->{lost} == 0 || $lost_bytes > 0, 'a loss is reported');
	cmp_ok($lost_bytes, '<=', MAXIMUM_LAG, 'a loss is bounded');
	return;
}

sub listed
{
	my ($modes, $mode) = @_;
	return scalar grep { $_ eq $mode } @{ $modes // [] };
}

1;
