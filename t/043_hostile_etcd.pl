#!/usr/bin/perl
#
# etcd answers with whatever could do harm: times of leases that are missing, huge or
# negative, another lease, redirections, floods, garbage.  Nothing crashes, memory is
# bounded, only real proofs keep the gate open, and everything goes on when the answers
# are good again.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HaRow;
use PostgreSQL::Test::Utils;
use Test::More;

use constant MEMORY_KB => 8 * 1024;

my @lease_faults = qw(no_ttl ttl_huge ttl_negative ttl_text wrong_lease);
my @faults = qw(truncated garbage_chunks big drip redirect redirect_loop wrong_types
  deep html nothing no_answer error bad_length endless_header nul);

seed_random();
my $cluster = HaCluster->new(
	nodes => 2,
	wire => 'hostile_etcd.pl',
	config => { synchronous_mode => JSON::PP::true });

$cluster->start_all;
$cluster->wait_for_leader;
rounds(\&rows);

sub rows
{
	row(
		$cluster, 35,
		'what etcd says about leases is wrong',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			my %processes = processes();

			foreach my $mode (@lease_faults)
			{
				my $at = spoil($mode);
				expect_fenced($round->{leader});
				expect_alive($mode, %processes);
				believe_again($round, $mode, $at);
			}
		});

	row(
		$cluster, 35,
		'etcd answers no question in a way that makes sense',
		calm => 1,
		fault => \&talk_nonsense);

	row(
		$cluster, 35,
		'only the leader hears nonsense',
		over => sub {
			my ($round) = @_;
			my $now = $cluster->leader or return;
			return $now != $round->{leader};
		},
		fault => sub {
			my ($round) = @_;
			$cluster->cut_from_etcd($round->{leader}, 'wrong_types');
		},
		heal => sub { $cluster->heal($_[0]->{leader}); });
	return;
}

# ---------------------------------------------------------------------------

# All processes that hear etcd's answers, with their start times
sub processes
{
	return map { $_ => HaCluster::start_time($_) }
	  map { $_->worker_pid, $_->boot_pid } $cluster->nodes;
}

sub expect_alive
{
	my ($mode, %processes) = @_;
	my @dead =
	  grep { !HaCluster::is_alive($_, $processes{$_}) } keys %processes;

	is("@dead", '', "$mode: nobody has crashed");
	return;
}

# The standbys first, since one that hears the truth for longer would lead.
sub spoil
{
	my ($mode) = @_;
	my $leader = $cluster->leader;
	my $before = spoiled($mode);

	$cluster->cut_from_etcd($_, $mode)
	  foreach grep { !$leader || $_ != $leader } $cluster->nodes;
	$cluster->cut_from_etcd($leader, $mode) if $leader;
	return HaCluster::now();
}

# How many answers were spoiled in that way?
sub spoiled
{
	my ($mode) = @_;
	my $n = 0;

	foreach my $node ($cluster->nodes)
	{
		$n += () = slurp_file($_->{log}) =~ /^spoiled $mode$/mg
		  foreach @{ $node->{wires} };
	}
	return $n;
}

# The former leader hears the truth first.
sub believe_again
{
	my ($round, $mode, $spoiled_at) = @_;
	my $leader = $round->{leader};
	my $healed_at = HaCluster::now();

	$cluster->heal($leader);
	HaCluster::wait_until($leader->name . ' leads again',
		sub { $leader->status('deadline_in_ms > 0') eq 't' });
	$cluster->heal($_) foreach $cluster->nodes;
	$round->{writer}->wait_for_acks(10, since => $healed_at);
	is(acks_between($round, $spoiled_at + $cluster->ttl, $healed_at),
		0, "$mode: nothing was acknowledged after the deadline");
	return;
}

sub peak_memory
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;
	return $kb;
}

sub talk_nonsense
{
	my ($round) = @_;
	my %processes = processes();
	my %memory = map { $_ => peak_memory($_) } keys %processes;
	my $since;

	foreach my $mode (@faults)
	{
		my $before = spoiled($mode);
		my $at = spoil($mode);

		$since //= $at;
		HaCluster::wait_until("some answers were spoiled by $mode",
			sub { spoiled($mode) >= $before + 4 * $cluster->nodes });
		expect_fenced($round->{leader});
		expect_alive($mode, %processes);
	}
	believe_again($round, 'all of that', $since);

	foreach my $pid (keys %processes)
	{
		my $more = peak_memory($pid) - $memory{$pid};
		cmp_ok($more, '<', MEMORY_KB,
			'memory of ' . HaCluster::command_line($pid) . " is bounded ($more kB)");
	}
	return;
}
