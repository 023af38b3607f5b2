#
# What people do, and what machines do that nobody planned: a server is started by hand,
# with the library or without; a standby is promoted by hand; a node comes with a name
# that is taken or with another cluster's data; a standby stays away for long; hosts
# with a part of etcd on them go.  Nobody acknowledges who does not lead, and each node
# that can come back does.
#
# Rows are those of the fault matrix in docs/testing.md; J2, K-a and K-b are scenarios.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

seed_random();
my $cluster = HaCluster->new(nodes => 3, etcd => 3);
my $ttl = $cluster->ttl;
my ($leader, $standby, $third);	# of the row that runs

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	row('row 7: the postmaster is frozen', \&row_7);
	row('row 14: an old primary is started by hand, without etcd', \&row_14);
	row('row 15: a server is started by hand, without the library', \&row_15);
	row('J2: a standby is promoted by hand', \&promoted_by_hand);
	row('row 48: a standby stays away until its WAL is gone', \&row_48);
	row('row 50: the name is taken', \&name_is_taken);
	row('row 50: the data is another cluster\'s', \&foreign_data);
	row('K-a: the leader is killed and one etcd with it', \&k_a);
	row('K-b: two etcds of three are killed', \&k_b);
}
done_testing();

sub row
{
	my ($name, $test) = @_;

	subtest $name => sub {
		$leader = $cluster->wait_for_leader;
		$cluster->wait_streaming(2);
		($standby, $third) = grep { $_ != $leader } $cluster->nodes;
		$test->();
	};
	return;
}

sub check
{
	my ($writer) = @_;
	my $verdict = $cluster->check_history($writer);

	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	return $verdict;
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

sub is_refused
{
	my ($node, $what) = @_;
	my ($rc, $out, $err) =
	  $node->psql('SET pg_ha.fence_wait = 0; INSERT INTO acked VALUES (0, 0)');

	isnt($rc, 0, "$what: a commit fails");
	like($err, qr/read-only|pg_ha|lease|fence|lead/, 'for that reason');
	return;
}

# Its backends and its worker run, so it leads on; nobody new gets in.
sub row_7
{
	my $writer = $cluster->start_writer(patience => 60_000);

	$writer->wait_for_acks(50);
	my $session = $leader->session;
	my $timeline = $leader->timeline;
	my $frozen_at = HaCluster::now();

	$leader->freeze($leader->postmaster_pid);
	HaCluster::wait_until('two leases have passed',
		sub { HaCluster::now() > $frozen_at + 2 * $ttl });
	my ($ok) = $session->query('SELECT 1');
	is($ok, 1, 'sessions are served');
	$leader->thaw;
	$writer->wait_for_acks(50, since => HaCluster::now());
	$session->quit;

	my $verdict = check($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($cluster->wait_for_leader->timeline, $timeline, 'nobody was promoted');
	return;
}

sub row_14
{
	$leader->kill_node;
	my $new = $cluster->wait_for_leader(other_than => $leader);

	$cluster->cut_from_etcd($leader);
	by_hand($leader, 'start');
	is($leader->safe_psql('SELECT count(*) >= 0 FROM acked'), 't', 'it reads');
	is_refused($leader, 'started by hand');
	is($leader->safe_psql('SELECT count(*) FROM acked WHERE client = 0'),
		0, 'and shows nothing of it');
	by_hand($leader, 'stop', '-m', 'fast');

	$cluster->heal($leader);
	$leader->start;
	$cluster->wait_streaming(2);
	is($cluster->wait_for_leader, $new, 'the leader is the same');
	return;
}

# pg_ha_boot leaves standby.signal where no server of its own runs.
sub row_15
{
	$leader->stop;
	my $new = $cluster->wait_for_leader(other_than => $leader);

	by_hand($leader, 'start', '-o', '-c shared_preload_libraries=');
	is($leader->safe_psql('SHOW shared_preload_libraries'), '', 'it has no library');
	is($leader->safe_psql('SELECT pg_is_in_recovery()'), 't', 'it is a standby');
	is_refused($leader, 'without the library');
	by_hand($leader, 'stop', '-m', 'fast');
	$leader->start;
	$cluster->wait_streaming(2);
	is($cluster->wait_for_leader, $new, 'the leader is the same');
	return;
}

sub promoted_by_hand
{
	my $writer = $cluster->start_writer;
	my $timeline = $leader->timeline;

	$writer->wait_for_acks(50);
	my $offset = $standby->log_size;
	my $commits = 0;
	$standby->psql('SELECT pg_promote(wait => false)');
	HaCluster::wait_until(
		'it is a standby again',
		sub {
			my ($rc) = $standby->psql(
				'SET pg_ha.fence_wait = 0; INSERT INTO acked VALUES (0, 0)');

			$commits++ if $rc == 0;
			return 0 if !$standby->log_contains(
				qr/selected new timeline ID.*entering standby mode/s, $offset);
			return ($standby->psql('SELECT pg_is_in_recovery()'))[1] eq 't';
		});
	is($commits, 0, 'it was promoted, and nobody could commit there');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$cluster->wait_streaming(2);
	is($cluster->wait_for_leader->timeline, $timeline, 'the leader has not cared');
	my $verdict = check($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	return;
}

# Its slot holds the WAL back unless max_slot_wal_keep_size, here 64 MB, says otherwise.
sub row_48
{
	$leader->safe_psql("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'");
	$leader->safe_psql('SELECT pg_reload_conf()');
	$standby->kill_node;
	for (1 .. 14)
	{
		$leader->safe_psql('SELECT pg_logical_emit_message(false, $$x$$, $$x$$)');
		$leader->safe_psql('SELECT pg_switch_wal()');
	}
	$leader->safe_psql('CHECKPOINT');
	is( $leader->safe_psql('SELECT wal_status FROM pg_replication_slots
			WHERE NOT active'),
		'lost', 'the WAL of its slot is gone');
	my $size = $leader->safe_psql('SELECT (sum(size) / 1048576)::int FROM pg_ls_waldir()');
	cmp_ok($size, '<', 400, "the WAL is bounded ($size MB)");

	# What it lacks is nowhere any more, so it can't follow; that is for a person to see.
	my $offset = $standby->log_size;
	$standby->start;
	HaCluster::wait_until('it is told that',
		sub { $standby->log_contains(qr/has already been removed/, $offset) });
	$standby->stop;
	rename $standby->{dir}, "$standby->{dir}.too_old" or die "could not rename: $!";
	$standby->start;
	$cluster->wait_streaming(2);
	pass('it is cloned anew when its data is out of the way');
	is( $leader->safe_psql("SELECT count(*) FROM pg_replication_slots
			WHERE active AND wal_status <> 'lost'"),
		2, 'and its slot holds again');
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	$leader->safe_psql('ALTER SYSTEM RESET max_slot_wal_keep_size');
	$leader->safe_psql('SELECT pg_reload_conf()');
	return;
}

# Run pg_ha_boot for a node file like this node's but for the lines given, and wait
# until it ends.
sub try_to_join
{
	my ($node, $name, $dir) = @_;
	my $base = $cluster->{base};
	my $file = "$base/$name.conf";
	my $log = "$cluster->{log_prefix}_$name.log";
	my ($port, $rest) = map { HaCluster::get_free_port() } 1 .. 2;
	my $text = slurp_file($node->{file});

	$text =~ s/$node->{port}/$port/g;
	$text =~ s/$node->{rest_port}/$rest/g;
	append_to_file($file, $text);
	my $pid = HaCluster::spawn($log, 'pg_ha_boot', 'run', '-D', $dir, '-c', $file);
	HaCluster::wait_until("$name gives up",
		sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
	is($? >> 8, EXIT_REFUSED, 'pg_ha_boot refuses');
	unlink $file;
	return slurp_file($log);
}

sub name_is_taken
{
	my $dir = "$cluster->{base}/twin";
	my $log = try_to_join($standby, 'twin', $dir);

	like($log, qr/member name is taken/, 'and says why');
	ok(!-e "$dir/PG_VERSION", 'nothing was cloned');
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	return;
}

sub foreign_data
{
	my $dir = "$cluster->{base}/foreign";
	my $before = -e $dir;

	if (!$before)
	{
		my ($rc) = HaCluster::capture(120, 'initdb', '-N', '-D', $dir);
		is($rc, 0, 'initdb');
	}
	my $control = slurp_file("$dir/global/pg_control");
	$third->stop;
	my $log = try_to_join($third, 'foreign', $dir);

	like($log, qr/system identifier/, 'and says why');
	ok(slurp_file("$dir/global/pg_control") eq $control, 'the data was not touched');
	$third->start;
	$cluster->wait_streaming(2);
	return;
}

sub k_a
{
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(50);
	$cluster->etcd_kill(1);
	$leader->kill_node;
	$cluster->wait_for_leader(other_than => $leader);
	$writer->wait_for_acks(50, since => HaCluster::now());
	$cluster->etcd_start(1);
	$leader->start;
	$cluster->wait_streaming(2);
	check($writer);
	return;
}

sub k_b
{
	my $writer = $cluster->start_writer(patience => 4_000);
	my $timeline = $leader->timeline;
	my $postmaster = $leader->postmaster_pid;

	$writer->wait_for_acks(50);
	my $killed_at = HaCluster::now();
	$cluster->etcd_kill(1, 2);
	HaCluster::wait_until('two leases have passed',
		sub { HaCluster::now() > $killed_at + 2 * $ttl });
	is($leader->status('suspended'), 't', 'the leader is suspended');
	is(join("\n",
			map { $_->{line} }
			grep { $_->{earliest} > $killed_at + $ttl } $writer->acks),
		'', 'nothing was acknowledged after the lease');

	$cluster->etcd_start(1);
	$writer->wait_for_acks(50, since => HaCluster::now());
	$cluster->etcd_start(2);
	is($cluster->wait_for_leader->timeline, $timeline, 'nobody was promoted');
	is($leader->postmaster_pid, $postmaster, 'no restart');
	$cluster->wait_streaming(2);
	my $verdict = check($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	return;
}
