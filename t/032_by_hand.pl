#
# What people do, and what machines do that nobody planned: a server is started by hand,
# with the library or without; a standby is promoted by hand; a node comes with a name
# that is taken, with another cluster's data or another version's; a standby stays away
# for long; etcd stands still for a moment, or goes together with the leader.  Nobody acknowledges who does not lead, and each node
# that can come back does.
#
# Rows are those of the fault matrix in docs/testing.md; copy, J2, J7, K-a and L1 are scenarios.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { EXIT_CONFIGURATION => 10, EXIT_REFUSED => 12 };

seed_random();
my $cluster = HaCluster->new(nodes => 3, etcd => 3);
my $ttl = $cluster->ttl;
my ($leader, $standby, $third);	# of the row that runs

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	row(7, 'the postmaster is frozen', \&row_7);
	row('J7', 'etcd is frozen for less than the lease', \&short_freeze);
	row(14, 'an old primary is started by hand, without etcd', \&row_14);
	row(15, 'a server is started by hand, without the library', \&row_15);
	row('copy', 'a copy of the leader is started beside it', \&copy);
	row('J2', 'a standby is promoted by hand', \&promoted_by_hand);
	row(48, 'a standby stays away until its WAL is gone', \&row_48);
	row(50, 'who comes does not belong here', \&row_50);
	row('L1', 'the postmaster is killed, and another shall lead at once', \&l_1);
	row('K-a', 'two nodes, three etcd: the host of the leader is lost, and one etcd with it',
		\&k_a);
}
done_testing();

sub row
{
	my ($row, $name, $test) = @_;
	my $is_row = $row =~ /^\d+$/;

	subtest +($is_row ? "row $row" : $row) . ": $name" => sub {
		$leader = $cluster->wait_for_leader;
		$cluster->wait_streaming(2);
		($standby, $third) = grep { $_ != $leader } $cluster->nodes;
		my %measured = $test->();
		$cluster->record_row(row => $row, mode => 'async', %measured) if $is_row;
	};
	return;
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
	HaCluster::wait_until('a lease and a half have passed',
		sub { HaCluster::now() > $frozen_at + 1.5 * $ttl });
	my ($ok) = $session->query('SELECT 1');
	is($ok, 1, 'sessions are served');
	$leader->thaw;
	$writer->wait_for_acks(50, since => HaCluster::now());
	$session->quit;

	my $verdict = promises_kept($cluster, $writer);
	is($cluster->wait_for_leader->timeline, $timeline, 'nobody was promoted');
	return (verdict => $verdict);
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
	my $rejoin = $cluster->wait_streaming(2);
	is($cluster->wait_for_leader, $new, 'the leader is the same');
	return (rejoin => $rejoin);
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
	my $rejoin = $cluster->wait_streaming(2);
	is($cluster->wait_for_leader, $new, 'the leader is the same');
	return (rejoin => $rejoin);
}

# Its settings are those of its origin, with whose name it must not act.
sub copy
{
	my ($bin) = grep { -x "$_/pg_basebackup" } split /:/, $ENV{PATH};
	my $dir = "$cluster->{base}/copy";
	my $offset = $leader->log_size;
	my ($rc, undef, $err) = HaCluster::capture(60, "$bin/pg_basebackup", '-D', $dir,
		'-c', 'fast', '-d', $leader->connstr);

	is($rc, 0, 'it is made') or diag($err);
	my $server = $cluster->start_plain($bin, $dir, '-c', 'listen_addresses=');
	my @psql = ('psql', '-XAtq', '-d',
		"host=$cluster->{sockets} port=$server->{port} dbname=postgres", '-c');
	my (undef, $out) = HaCluster::capture(30, @psql,
		q{SELECT pg_is_in_recovery(), current_setting('shared_preload_libraries')});
	is($out, 'f|pg_ha', 'it is a primary, with the library');
	my @children = map { HaCluster::command_line($_) } keys %{ HaCluster::process_tree($server->{pid}) };
	is(join(' ', grep { /^postgres: pg_ha/ } @children), '', 'nobody of pg_ha runs in it');
	($rc, undef, $err) = HaCluster::capture(30, @psql,
		'SET pg_ha.fence_wait = 0; INSERT INTO acked VALUES (0, 0)');
	like($err, qr/not proven|25006|cannot/, 'it commits nothing');
	like(slurp_file("$cluster->{log_prefix}_plain.log"),
		qr/its settings are those of data directory "\Q$leader->{dir}\E"/, 'and says why');
	$cluster->stop_plain($server);
	ok(!$leader->log_contains(qr/plan: /, $offset), 'the leader leads on as if nothing were there');
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
	promises_kept($cluster, $writer);
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

	# What it lacks is nowhere any more, so it can't follow.
	my $offset = $standby->log_size;
	$standby->start;
	my $rejoin = $cluster->wait_streaming(2);
	ok( $standby->log_contains(
			qr/cloning again: the WAL from \S+ on, which comes next, has been removed on leader/,
			$offset),
		'it is cloned anew, and says why');
	is( $leader->safe_psql("SELECT count(*) FROM pg_replication_slots
			WHERE active AND wal_status <> 'lost'"),
		2, 'and its slot holds again');
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	$leader->safe_psql('ALTER SYSTEM RESET max_slot_wal_keep_size');
	$leader->safe_psql('SELECT pg_reload_conf()');
	return (rejoin => $rejoin);
}

# Start pg_ha_boot with a node file like this node's, but ports of its own.
sub newcomer
{
	my ($node, $name, $dir) = @_;
	my $file = "$cluster->{base}/$name.conf";
	my $log = "$cluster->{log_prefix}_$name.log";
	my ($port, $rest) = map { HaCluster::get_free_port() } 1 .. 2;
	my $text = slurp_file($node->{file});

	$text =~ s/$node->{port}/$port/g;
	$text =~ s/$node->{rest_port}/$rest/g;
	unlink $file, $log;
	append_to_file($file, $text);
	return {
		what => $name,
		log => $log,
		pid => HaCluster::spawn($log, 'pg_ha_boot', 'run', '-D', $dir, '-c', $file)
	};
}

sub is_turned_away
{
	my ($newcomer, $reason, $code) = @_;

	HaCluster::wait_until("the $newcomer->{what} gives up",
		sub { waitpid($newcomer->{pid}, POSIX::WNOHANG()) == $newcomer->{pid} });
	is($? >> 8, $code // EXIT_REFUSED, "the $newcomer->{what} is refused");
	like(slurp_file($newcomer->{log}), $reason, 'and told why');
	return;
}

sub row_50
{
	my $base = $cluster->{base};
	my $twin = newcomer($standby, 'twin', "$base/twin");

	$third->stop;
	if (!-e "$base/foreign")
	{
		my ($rc) = HaCluster::capture(120, 'initdb', '-N', '-D', "$base/foreign");
		is($rc, 0, 'initdb');
	}
	my $control = slurp_file("$base/foreign/global/pg_control");
	is_turned_away(newcomer($third, 'foreigner', "$base/foreign"),
		qr/system identifier/);
	ok(slurp_file("$base/foreign/global/pg_control") eq $control,
		'its data was not touched');

	# As the programs of another version see it
	my $version = "$third->{dir}/PG_VERSION";
	rename $version, "$version.ours" or die "could not rename: $!";
	append_to_file($version, "14\n");
	$control = slurp_file("$third->{dir}/global/pg_control");
	is_turned_away(
		newcomer($third, 'elder', $third->{dir}),
		qr/neither empty nor a data directory of this PostgreSQL version/,
		EXIT_CONFIGURATION);
	ok(slurp_file("$third->{dir}/global/pg_control") eq $control,
		'its data was not touched');
	rename "$version.ours", $version or die "could not rename: $!";

	# What another version of pg_ha left behind is not read either: the block begins
	# anew.  The number stands after the first eight bytes.
	patch("$third->{dir}.pg_ha/control", 8, pack('L', 0xffff));
	my $offset = $third->log_size;

	is_turned_away($twin, qr/P11 member name "\w+" is already in use by/);
	ok(!-e "$base/twin/PG_VERSION", 'nothing was cloned');
	$third->start;
	my $rejoin = $cluster->wait_streaming(2);
	ok( $third->log_contains(
			qr/the control block was of another version of pg_ha: begins anew/, $offset),
		'a control block of another version is not read');
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	return (rejoin => $rejoin);
}

sub patch
{
	my ($path, $offset, $bytes) = @_;

	open my $fh, '+<', $path or die "could not open $path: $!";
	seek $fh, $offset, 0;
	syswrite($fh, $bytes) // die "could not write $path: $!";
	close $fh;
	return;
}

# A moment in which etcd does not answer costs nobody anything.
sub short_freeze
{
	my $writer = $cluster->start_writer(patience => 60_000);
	my @sessions = map { $_->session } $cluster->nodes;
	my $timeline = $leader->timeline;

	$writer->wait_for_acks(50);
	my $frozen_at = HaCluster::now();
	$cluster->etcd_pause;
	HaCluster::wait_until('a third of the lease has passed',
		sub { HaCluster::now() > $frozen_at + $ttl / 3 });
	$cluster->etcd_resume;
	$writer->wait_for_acks(50, since => HaCluster::now());
	is(($_->query('SELECT pg_backend_pid()'))[1],
		$_->backend_pid, 'a session has survived') foreach @sessions;
	$_->quit foreach @sessions;
	is(join("\n",
			map { $_->{line} }
			grep { $_->{event} =~ /^(?:fail|unknown)$/ } @{ $writer->events }),
		'', 'no commit failed');
	promises_kept($cluster, $writer);
	is($cluster->wait_for_leader->timeline, $timeline, 'nobody was promoted');
	return;
}

sub l_1
{
	$cluster->configure({ primary_start_timeout => 0 });
	HaCluster::wait_until(
		'that is known',
		sub {
			$leader->safe_psql('SELECT primary_start_timeout_ms FROM pg_ha_timing()')
			  == 0;
		});
	my $writer = $cluster->start_writer(roam => 1_000);
	my $offset = $leader->log_size;

	$writer->wait_for_acks(50);
	my $term = term();
	$leader->kill9($leader->postmaster_pid);

	# Nearly always it is another who leads then; but the one that crashed may be back
	# as a standby before the others have voted, and it has everything.
	HaCluster::wait_until('another reign has begun', sub { term() > $term });
	$cluster->wait_for_leader;
	ok($leader->log_contains(qr/(?:releasing|handing over) the leader key/, $offset),
		'the key was given up, not waited for');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$cluster->wait_streaming(2);
	promises_kept($cluster, $writer, lossy => 1);
	$cluster->configure({ primary_start_timeout => 300 });
	return;
}

sub term { return decode_json($cluster->etcd_get('pg_ha/term'))->{term}; }

sub k_a
{
	# etcd's next leader lets all leases live a whole TTL more: not the leader of etcd
	$cluster->etcd_lead(2);
	$third->stop;
	my $writer = $cluster->start_writer(roam => 1_000);

	$writer->wait_for_acks(50);
	$cluster->etcd_kill(1);
	$leader->kill_node;
	$cluster->wait_for_leader(other_than => $leader);
	$writer->wait_for_acks(50, since => HaCluster::now());
	cmp_ok($writer->outage, '<', $ttl + 2 * $cluster->{config}{loop_wait},
		'within a TTL and two loop_wait');
	$cluster->etcd_start(1);
	$leader->start;
	$third->start;
	$cluster->wait_streaming(2);
	promises_kept($cluster, $writer, lossy => 1);
	return;
}
