#
# A node that comes back follows, is rewound, or is cloned again, the cheapest that is
# possible and that its node file allows, and says before why.  Where nothing is allowed
# it ends with code 12, and its data is as it was.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The server's programs, of which pg_rewind can be made to fail half way.
my $programs = PostgreSQL::Test::Utils::tempdir();
my $cluster = HaCluster->new(nodes => 3, bin_dir => $programs);
my $diverged = 0;

lay_out_programs();
$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(2);

subtest 'follow' => \&follow;
subtest 'what is left of a dead server' => \&left_behind;
subtest 'rewind' => \&rewind;
subtest 'a rewind that fails' => \&rewind_fails;
subtest 'neither is allowed' => \&not_allowed;
subtest 'the WAL is gone, and no clone allowed' => \&wal_is_gone;
done_testing();

# Neither pg_ha_boot nor a postmaster is there to end a session that stands still,
# and as long as it is attached to their shared memory no server can start.
sub left_behind
{
	my ($node) = $cluster->standbys;
	my $session = $node->session;
	my $backend = $session->backend_pid;

	$node->freeze($backend);
	$node->kill_node;
	ok(HaCluster::start_time($backend), 'a session is left');
	$node->start;
	HaCluster::wait_until('the node is a standby again',
		sub { $node->rest('/replica') == 200 });
	ok(!HaCluster::start_time($backend), 'the session was ended');
	$session->quit;
	$cluster->wait_streaming(2);
	return;
}

sub lay_out_programs
{
	my ($rc, $dir) = HaCluster::capture(10, 'pg_config', '--bindir');

	symlink $_, "$programs/" . (split m{/})[-1] foreach grep { !/pg_rewind/ } glob "$dir/*";
	append_to_file("$programs/pg_rewind", <<"END");
#!/bin/sh
[ -e $programs/fail ] && { rm $programs/fail; echo "pg_rewind: cannot" >&2; exit 1; }
exec $dir/pg_rewind "\$@"
END
	chmod 0755, "$programs/pg_rewind" or die "could not chmod: $!";
	return;
}

sub set
{
	my ($node, %settings) = @_;
	$node->add_settings("pg_ha.$_ = '$settings{$_}'") foreach sort keys %settings;
	return;
}

# A leader dies that alone has a commit.  Returns it, down.
sub diverge
{
	my $old = $cluster->wait_for_leader;

	$cluster->wait_streaming(2);
	my @walsenders = split /\n/, $old->safe_psql('SELECT pid FROM pg_stat_replication');
	$old->freeze(@walsenders);
	$old->safe_psql('CREATE TABLE diverged' . ++$diverged . ' (i int)');
	$old->kill9($old->boot_pid, $old->postmaster_pid, @walsenders);
	$cluster->wait_for_leader(other_than => $old);
	$old->{offset} = $old->log_size;
	return $old;
}

# It streams, has nothing that its leader has not, and its log had that line.
sub has_rejoined
{
	my ($node, $line) = @_;

	$cluster->wait_streaming(2);
	my ($said) = slurp_file($node->{log}, $node->{offset}) =~ /($line)/;
	ok($said, "it has said: " . ($said // $line));
	is( $node->safe_psql("SELECT count(*) FROM pg_class WHERE relname = 'diverged$diverged'"),
		0, 'what only it had is gone');
	return;
}

sub follow
{
	my $leader = $cluster->wait_for_leader;
	my ($node) = grep { $_ != $leader } $cluster->nodes;

	$node->kill_node;
	$node->{offset} = $node->log_size;
	$node->start;
	has_rejoined($node,
		qr/starting the server as standby: following "$leader->{name}": it leads on timeline 1, this data is on timeline 1/);
	return;
}

sub rewind
{
	my $node = diverge();
	my $leader = $cluster->wait_for_leader;

	$node->start;
	has_rejoined($node,
		qr/rewinding from "$leader->{name}" at \S+, to its timeline 2: timelines diverged at [0-9A-F]+\/[0-9A-F]+/);
	is_deeply([ glob "$node->{dir}.aside.*" ], [], 'no copy was made');
	return;
}

sub rewind_fails
{
	my $node = diverge();

	append_to_file("$programs/fail", 'x');
	$node->start;
	has_rejoined($node, qr/cloning again: pg_rewind failed half way/);
	is(scalar(glob "$node->{dir}.aside.*") ? 1 : 0, 1, 'the old data was moved aside');
	return;
}

sub not_allowed
{
	my $node = diverge();
	my @copies = glob "$node->{dir}.aside.*";

	set($node, rewind => 'off', rebuild_on_divergence => 'off');
	$node->start;
	is($node->wait_for_exit, 12, 'exit code 12');
	ok( $node->log_contains(
			qr/C05 this node would have to be cloned again, and pg_ha.rebuild_on_divergence is off: its WAL diverged, and pg_ha.rewind is off\n[^\n]*hint: The data directory was left as it is\./,
			$node->{offset}),
		'C05 with a hint');

	is(-e "$node->{dir}.pg_ha/rewind_in_progress" ? 1 : 0, 0, 'it was not touched');
	is_deeply([ glob "$node->{dir}.aside.*" ], \@copies, 'nor moved aside');

	set($node, rebuild_on_divergence => 'on');
	$node->{offset} = $node->log_size;
	$node->start;
	has_rejoined($node, qr/cloning again: its WAL diverged, and pg_ha.rewind is off/);
	return;
}

sub wal_is_gone
{
	my $leader = $cluster->wait_for_leader;
	my ($node, $patient) = grep { $_ != $leader } $cluster->nodes;

	set($node, rebuild_on_divergence => 'off');
	$leader->safe_psql("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'");
	$leader->safe_psql('SELECT pg_reload_conf()');
	$node->kill_node;
	for (1 .. 14)
	{
		$leader->safe_psql('SELECT pg_logical_emit_message(false, $$x$$, $$x$$)');
		$leader->safe_psql('SELECT pg_switch_wal()');
	}
	$leader->safe_psql('CHECKPOINT');

	# Of another one nothing is gone, but nothing comes either
	my $offset = $patient->log_size;
	HaCluster::wait_until('the other one has it all',
		sub { $leader->safe_psql("SELECT count(*) FROM pg_stat_replication
			WHERE replay_lsn = pg_current_wal_lsn()") eq '1' });
	$patient->freeze($patient->walreceiver_pid);
	$leader->safe_psql('CREATE TABLE later (i int)');

	$node->{offset} = $node->log_size;
	$node->start;
	is($node->wait_for_exit, 12, 'exit code 12');
	ok( $node->log_contains(
			qr/C05 .* is off: the WAL from \S+ on, which comes next, has been removed on leader "$leader->{name}"/,
			$node->{offset}),
		'C05 says what is missing');
	is_deeply([ glob "$node->{dir}.pg_ha/*_in_progress" ], [], 'the data is unmarked');

	HaCluster::wait_until('the other one has asked as well',
		sub { $patient->log_contains(qr/nothing has come for \d+ s: asking leader/, $offset) });
	$patient->thaw;
	$cluster->wait_streaming(1);
	ok(!$patient->log_contains(qr/cloning again|stopping the server/, $offset),
		'and goes on, since its leader has what it lacks');
	return;
}
