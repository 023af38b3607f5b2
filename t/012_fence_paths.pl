#
# With the worker stopped by SIGSTOP nobody moves the deadline, and after it no
# client gets an acknowledgement, whichever way it commits: simple and extended
# queries, COPY, two-phase commit, COMMIT inside PL/pgSQL.  There is only one
# node, so nothing but its own fence can stop it.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use Test::More;

# A backend that has just passed the last check still has to send its answer,
# on a machine that may be busy.  The lease itself ends the margin later: 300 ms.
use constant SENDING => 0.1;

my @modes = qw(simple extended copy 2pc plpgsql);

my $cluster = HaCluster->new(nodes => 1);
$cluster->start_all;
my $node = $cluster->wait_for_leader;
my $ttl = $cluster->ttl;

foreach my $round (1 .. $ENV{HA_ROUNDS} // 1)
{
	subtest "round $round" => sub { run_round(); };
}
done_testing();

sub run_round
{
	my $writer = $cluster->start_writer(
		clients => 10,
		modes => join(',', @modes),
		patience => 60_000);
	my $reader = $node->session;
	$writer->wait_for_acks(300);

	$node->freeze($node->worker_pid);
	my $left = ($reader->query('SELECT deadline_in_ms FROM pg_ha_status()'))[1];
	my $deadline = HaCluster::now() + $left / 1000;
	note "the deadline is in $left ms";
	cmp_ok($left, '<=', 1000 * $ttl, 'the deadline is within a TTL');

	# Meanwhile clients try, and readers read.
	my ($reads, $failed) = (0, 0);
	while (HaCluster::now() < $deadline + 2 * $ttl)
	{
		my ($ok) = $reader->query('SELECT count(*) FROM acked');
		$reads++;
		$failed++ unless $ok;
	}
	is($failed, 0, "all of $reads reads were answered");

	my @acks = $writer->acks;
	my @late = grep { $_->{earliest} > $deadline + SENDING } @acks;
	my @before = grep { $_->{at} > $deadline - 1 } @acks;
	is(join("\n", map { $_->{line} } @late),
		'', 'nobody got an acknowledgement after the deadline');
	cmp_ok(scalar @before, '>', 0, 'there were some until the deadline');
	diag sprintf 'the last acknowledgement came %.1f ms after the deadline',
	  1000 * (max_of(map { $_->{at} } @acks) - $deadline);

	foreach my $mode (@modes)
	{
		my @mine = grep { $_->{mode} eq $mode } @{ $writer->events };
		my @ok = grep { $_->{event} eq 'ok' } @mine;
		my @refused = grep {
				 $_->{at} > $deadline
			  && $_->{event} =~ /^(fail|unknown)$/
			  && $_->{sqlstate} =~ /^(25006|08007)$/
		} @mine;
		cmp_ok(scalar @ok, '>', 0, "$mode: acknowledged before");
		cmp_ok(scalar @refused, '>', 0, "$mode: refused after");
	}

	$node->thaw;
	my $thawed_at = HaCluster::now();
	$writer->wait_for_acks(100, since => $thawed_at);
	foreach my $mode (@modes)
	{
		HaCluster::wait_until(
			"$mode writes again",
			sub {
				grep { $_->{mode} eq $mode }
				  $writer->acks(since => $thawed_at);
			});
	}
	is(($reader->query('SELECT pg_backend_pid()'))[1],
		$reader->backend_pid, 'the reader has survived');
	$reader->quit;

	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	return;
}

sub max_of
{
	my ($max) = sort { $b <=> $a } @_;
	return $max;
}
