
=pod

=head1 NAME

HaRow - one row of the fault matrix, among others on the same cluster

=head1 SYNOPSIS

  row($cluster, 25, 'the leader of etcd is killed', calm => 1,
	  fault => sub { ... }, heal => sub { ... });

=head1 DESCRIPTION

row() is a subtest, named by the number of the row, with one round of HaFault: a
writer writes, the fault strikes, the cluster writes again (with the fault still
there), it is healed, everybody streams, the log of the writer is judged, and
record_row() writes down how it went.  Arguments are those of fault_test(), and

  calm           the same member goes on leading, on the same timeline, and nobody's
                 server was restarted
  over           default: at once

rounds() calls its argument HA_ROUNDS times and ends the test.  With HA_ROW only the rows
whose names, such as "row 25: ...", match it are run.

=cut

package HaRow;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use HaCluster;
use HaFault;
use Test::More;

our @EXPORT =
  qw(row rounds acks_between wait_for_proofs expect_fenced expect_25006);

sub rounds
{
	my ($sub) = @_;

	$sub->() foreach 1 .. $ENV{HA_ROUNDS} // 1;
	done_testing();
	return;
}

sub row
{
	my ($cluster, $number, $text, %spec) = @_;
	my $name = "row $number: $text";
	my $mode = $cluster->{config}{synchronous_mode} ? 'sync' : 'async';
	my $calm = delete $spec{calm};
	my ($fault, $check) = delete @spec{qw(fault check)};

	return pass("not wanted: $name")
	  if $ENV{HA_ROW} && $name !~ /$ENV{HA_ROW}/;
	note $name;
	subtest $name => sub {
		HaFault::run_round(
			$cluster, $mode,
			{
				row => $number,
				over => sub { return 1; },
				%spec,
				fault => sub {
					my ($round) = @_;
					$round->{postmasters} =
					  { map { $_->name => $_->postmaster_pid } $cluster->nodes };
					$fault->($round);
				},
				check => sub {
					my ($round, $verdict) = @_;
					check_calm($round) if $calm;
					$check->($round, $verdict) if $check;
				},
			},
			1);
	};
	return;
}

sub check_calm
{
	my ($round) = @_;
	my $cluster = $round->{cluster};
	my $leader = $cluster->wait_for_leader;

	is($leader->name, $round->{leader}->name, 'the leader is the same');
	is($leader->timeline, $round->{timeline}, 'nobody was promoted');
	is($_->postmaster_pid, $round->{postmasters}{ $_->name },
		'no restart of ' . $_->name)
	  foreach $cluster->nodes;
	return;
}

# Acknowledgements that came, for certain, after one time and before another.
sub acks_between
{
	my ($round, $from, $to) = @_;

	return grep { $_->{earliest} > $from && $_->{at} < $to }
	  $round->{writer}->acks;
}

# Wait until the leadership has been proven so many times anew.
sub wait_for_proofs
{
	my ($node, $n) = @_;
	my $deadline = 0;

	HaCluster::wait_until(
		"the leadership is proven $n times",
		sub {
			my ($rc, $left) = $node->psql(
				'SELECT deadline_in_ms FROM pg_ha_status()'
				  . ' WHERE deadline_in_ms > 0');
			return if $rc != 0 || $left eq '';
			my $next = HaCluster::now() + $left / 1000;
			return if $next < $deadline + 0.4;
			$deadline = $next;
			return $n-- == 0;
		});
	return;
}

# Wait until a member's own deadline has passed.
sub expect_fenced
{
	my ($node) = @_;

	HaCluster::wait_until(
		$node->name . ' is fenced',
		sub {
			my ($rc, $out) = $node->psql('SELECT coalesce(deadline_in_ms, -1) < 0'
				  . ' FROM pg_ha_status()');
			return $rc == 0 && $out eq 't';
		});
	pass($node->name . ' is fenced');
	return;
}

# A commit fails, and in the way that a client can retry after.
sub expect_25006
{
	my ($node) = @_;
	my ($rc, $out, $err) = $node->psql(
		q{SET pg_ha.fence_wait = '100ms'; INSERT INTO acked VALUES (0, 0)});

	isnt($rc, 0, 'a commit fails');
	like($err, qr/25006/, 'the error is one to retry after');
	return;
}

1;
