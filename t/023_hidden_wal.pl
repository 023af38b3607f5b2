#
# A standby receives a new timeline from the beginning of the segment in which it
# stands.  If that ends early, with its leader, the new file hides what the standby
# had under the old timeline: nothing that it has confirmed may be passed over for
# that, and it must neither stand still nor fail when it is promoted.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Copy qw(copy);
use HaCluster;
use Test::More;

use constant MB => 1024 * 1024;

my $cluster = HaCluster->new(nodes => 3);
my ($leader, $standby, $other);	# of the part that runs
my $rows = 0;

$cluster->start_all;
$cluster->wait_for_leader->safe_psql('CREATE TABLE t (id int, filler text)');

# What recovery begins with is hidden too.
part('there is a leader to stream from', 1 * MB, \&somebody_leads);
part('there is nobody else, recovery can not begin', 1 * MB, \&nobody_leads);
part('there is nobody else, recovery ends early', 5 * MB, \&nobody_leads);
done_testing();

sub part
{
	my ($name, $received, $test) = @_;

	subtest $name => sub {
		$leader = $cluster->wait_for_leader;
		$cluster->wait_streaming(2);
		($standby, $other) = grep { $_ != $leader } $cluster->nodes;
		my $segment = fill_segment();
		interrupt_streaming($segment, $received);
		$test->();
		$_->start foreach grep { !$_->is_running } $cluster->nodes;
		$cluster->wait_streaming(2);
	};
	return;
}

# One segment with some 3 MB before the restart point and 3 MB behind it; its name
sub fill_segment
{
	$leader->safe_psql('SELECT pg_switch_wal()');
	insert(3);
	$leader->safe_psql('CHECKPOINT');
	wait_replayed();
	$standby->safe_psql('CHECKPOINT');
	insert(3);
	wait_replayed();
	return $leader->safe_psql('SELECT pg_walfile_name(pg_current_wal_lsn())');
}

sub insert
{
	my ($mb) = @_;

	foreach (1 .. $mb)
	{
		$leader->safe_psql("INSERT INTO t SELECT i, repeat('x', 1000) "
			  . 'FROM generate_series(1, 1000) i');
		$rows += 1000;
	}
	return;
}

sub wait_replayed
{
	my $lsn = $leader->safe_psql('SELECT pg_current_wal_lsn()');

	foreach my $node ($standby, $other)
	{
		HaCluster::wait_until('all is replayed',
			sub { $node->safe_psql("SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't' });
	}
	return;
}

# The standby is dead, and on its disk is what it would have if it had followed the
# other one's promotion for a moment.
sub interrupt_streaming
{
	my ($old, $received) = @_;
	my @pids = ($standby->boot_pid, $standby->postmaster_pid);

	$standby->freeze_node;
	$leader->kill_node;
	is($cluster->wait_for_leader(other_than => $leader)->name,
		$other->name, 'the other standby is promoted');
	$standby->kill9(@pids);
	$standby->thaw;

	my $timeline = sprintf '%08X', $other->timeline;
	my $new = $timeline . substr($old, 8);
	my ($from, $to) = map { "$_->{dir}/pg_wal" } $other, $standby;

	copy("$from/$_", "$to/$_") or die "could not copy $_: $!"
	  foreach "$timeline.history", $old, $new;
	open my $fh, '+<:raw', "$to/$new" or die "could not open $new: $!";
	truncate($fh, $received) && truncate($fh, 16 * MB) or die "could not truncate: $!";
	close $fh or die "could not close $new: $!";
	return;
}

sub somebody_leads
{
	$standby->start;
	$cluster->wait_streaming(1);
	is(count($standby), $rows, 'it streams, and has all rows');
	return;
}

sub nobody_leads
{
	$other->kill_node;
	$standby->start;
	is($cluster->wait_for_leader(other_than => $other)->name,
		$standby->name, 'it is promoted');
	is(count($standby), $rows, 'and has all rows');
	ok($standby->log_contains(qr/completed the WAL of timeline/), 'which were hidden');
	unlike($standby->status('why'), qr/WAL/, 'nothing is missing');
	return;
}

sub count
{
	my ($node) = @_;
	return $node->safe_psql('SELECT count(*) FROM t');
}
