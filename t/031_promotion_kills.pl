#
# Whoever is about to lead is killed or frozen at any moment between taking the key and
# acknowledging its first commit, and a rewind or a promotion made by hand is left half
# done.  No timeline id is ever used by two members, what was torn is moved aside and
# never started, and when everybody is back there is one leader and the others stream.
#
# Rows are those of the fault matrix in docs/testing.md.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { synchronous_mode => JSON::PP::true });
my $ttl = $cluster->ttl;

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	# Which of them, and when, is the seed's choice: the soak has them all.
	my ($how, $step) = @{
		(
			[qw(killed acquired)], [qw(killed intended)],
			[qw(killed begun)], [qw(frozen intended)]
		)[ rand 4 ]
	};

	row(11, "$how when it has $step", sub { row_11($step, $how) });
	row(12, 'two promotions reach for one timeline', \&row_12);
	row(13, 'pg_rewind is killed', \&row_13);
}
check_timelines();
done_testing();

sub row
{
	my ($row, $name, $test) = @_;

	subtest "row $row: $name" => sub {
		$cluster->record_row(row => $row, mode => 'sync', $test->());
	};
	return;
}

# The states between the key and the gate that can be seen from outside; a random
# moment more lets the ones between be struck.
sub wait_for_step
{
	my ($step, $old) = @_;
	my $next;

	HaCluster::wait_until(
		"somebody has $step",
		sub {
			my $owner = $cluster->etcd_get('leader') // return;
			return if $owner eq $old->name;
			$next = $cluster->node($owner);
			return 1 if $step eq 'acquired';

			my $term = JSON::PP::decode_json($cluster->etcd_get('pg_ha/term'));
			return if $term->{owner} ne $owner;
			return 1 if $step eq 'intended';
			return $next->log_contains(qr/received promote request/,
				$next->{seen} // 0);
		});
	usleep(int(rand(100_000)));
	return $next;
}

sub row_11
{
	my ($step, $how) = @_;
	my $old = $cluster->wait_for_leader;

	$cluster->wait_streaming(2);
	my $writer = $cluster->start_writer(roam => 1_000, readers => 2);
	$writer->wait_for_acks(50 + int(rand(100)));
	$_->{seen} = $_->log_size foreach $cluster->nodes;

	$old->kill_node;
	my $next = wait_for_step($step, $old);
	note $next->name, " is struck";
	if ($how eq 'killed')
	{
		$next->kill9($next->boot_pid, $next->worker_pid, $next->postmaster_pid);
	}
	else
	{
		$next->freeze_node;
		HaCluster::wait_until(
			'its key is gone',
			sub { ($cluster->etcd_get('leader') // '') ne $next->name });
	}

	# The service manager brings up both; who was in /sync may lead.
	$how eq 'killed' ? $next->start : $next->thaw;
	$old->start;
	my $healed_at = HaCluster::now();
	$writer->wait_for_acks(50, since => $healed_at);
	$cluster->wait_streaming(2);
	return (
		rejoin => HaCluster::now() - $healed_at,
		verdict => promises_kept($cluster, $writer));
}

# One that is down is promoted by hand, without anybody's knowing; the cluster's next
# promotion then takes the same id.  pg_rewind would find nothing to do between them.
sub row_12
{
	my $leader = $cluster->wait_for_leader;

	$cluster->wait_streaming(2);
	my ($sync) = map { $cluster->node($_) } $cluster->sync_standbys($leader);
	my ($stray) = grep { $_ != $leader && $_ != $sync } $cluster->nodes;

	$stray->stop;
	by_hand($stray, 'start');
	by_hand($stray, 'promote');
	$stray->safe_psql('CHECKPOINT');
	my $timeline = $stray->timeline;
	by_hand($stray, 'stop', '-m', 'fast');

	$leader->kill_node;
	my $new = $cluster->wait_for_leader(other_than => $leader);
	is($new->timeline, $timeline, 'the new leader has the very same timeline');

	my $offset = $stray->log_size;
	$leader->start;
	$stray->start;
	my $rejoin = $cluster->wait_streaming(2);
	ok( $stray->log_contains(
			qr/another member is on record for the timeline/, $offset),
		'the stray one was not rewound');
	is(rows_of($stray), rows_of($new), 'and has what the leader has');
	return (rejoin => $rejoin);
}

# As a person would who does not know better
sub by_hand
{
	my ($node, $verb, @options) = @_;
	my @command = ('pg_ctl', '-D', $node->{dir}, '-l', "$node->{log}.by_hand", '-w',
		@options, $verb);
	my ($rc, $out, $err) = HaCluster::capture(60, @command);

	is($rc, 0, "pg_ctl $verb") or diag "$out\n$err";
	return;
}

sub rows_of
{
	my ($node) = @_;
	return $node->safe_psql(
		"SELECT count(*), md5(string_agg(client || '.' || n, ',' ORDER BY client, n)) FROM acked");
}

# At any moment of its work, pg_ha_boot with it
sub row_13
{
	my $old = $cluster->wait_for_leader;
	my $marker = "$old->{dir}.pg_ha/rewind_in_progress";

	$cluster->wait_streaming(2);

	# WAL that only it has: the others stand still, then it goes.
	$_->freeze($_->safe_psql('SELECT pid FROM pg_stat_wal_receiver'))
	  foreach grep { $_ != $old } $cluster->nodes;
	my $session = $old->session;
	my $backend = $session->backend_pid;
	$session->send('CREATE TABLE diverged AS SELECT generate_series(1, 100000)');
	HaCluster::wait_until(
		'only it has a commit',
		sub {
			$old->safe_psql("SELECT coalesce(wait_event, '') FROM pg_stat_activity
				WHERE pid = $backend") eq 'SyncRep';
		});
	$old->kill_node;
	$session->quit;
	$_->thaw foreach $cluster->nodes;
	$cluster->wait_for_leader(other_than => $old);

	my $offset = $old->log_size;
	$old->start;
	HaCluster::wait_until('it is being rewound', sub { -e $marker });
	usleep(int(rand(50_000)));
	my $tree = HaCluster::process_tree($old->boot_pid);
	kill 'KILL', keys %$tree;
	HaCluster::wait_until('all its processes are gone',
		sub { $old->is_running; !grep { HaCluster::is_alive($_, $tree->{$_}) } keys %$tree });
	ok(-e $marker, 'the marker has stayed');

	$offset = $old->log_size;
	$old->start;
	my $rejoin = $cluster->wait_streaming(2);
	ok( $old->log_contains(
			qr/an earlier initdb, clone or rewind was interrupted/, $offset),
		'what was torn was found');
	ok($old->log_contains(qr/the clone is complete/, $offset), 'and a clone made');
	my @aside = glob "$old->{dir}.aside.*";
	cmp_ok(scalar @aside, '>', 0, 'the torn data was moved aside');
	ok(!-e $marker, 'the marker is gone');
	return (rejoin => $rejoin);
}

# From the servers' own logs: who has ever promoted itself to which timeline?  The one
# that row 12 made by hand was told to no one.
sub check_timelines
{
	my %owners;

	foreach my $node ($cluster->nodes)
	{
		$owners{$_}{ $node->name } = 1
		  foreach slurp_file($node->{log}) =~ /selected new timeline ID: (\d+)/g;
	}
	my @shared = grep { keys %{ $owners{$_} } > 1 } sort keys %owners;
	is("@shared", '', 'no two members have promoted themselves to one timeline');
	cmp_ok(scalar keys %owners, '>', 2, 'there were promotions');
	return;
}
