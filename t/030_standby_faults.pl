#
# What can go wrong between a commit and the standbys that are to confirm it: they are
# gone, one of them or all; those who wait are frozen, cancelled by the dozen or told
# that nobody need confirm; the only one that may be elected dies with the leader.  No
# row is acknowledged that a later leader lacks.
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
use Test::More;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { synchronous_mode => JSON::PP::true });
my $ttl = $cluster->ttl;
my ($leader, $sync, $other);	# of the row that runs

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	row(8, 'a synchronous standby is killed', \&row_8);
	row(9, 'all standbys are killed', \&row_9);
	row(9, 'all standbys are killed in strict mode', \&row_9_strict);
	row(45, 'all who wait for standbys are cancelled', \&row_45);
	row(46, 'synchronous_standby_names is emptied by hand', \&row_46);
	row(6, 'a backend is frozen while it waits, and thawed after a failover',
		\&row_6);
	row(10, 'the leader and the synchronous standby are killed', \&row_10);
	row(47, 'prepared transactions and a failover', \&row_47);
}
done_testing();

sub row
{
	my ($row, $name, $test) = @_;

	subtest "row $row: $name" => sub {
		$leader = $cluster->wait_for_leader;
		$cluster->wait_streaming(2);
		($sync) = map { $cluster->node($_) } $cluster->sync_standbys($leader);
		($other) = grep { $_ != $leader && $_ != $sync } $cluster->nodes;
		note 'leader ', $leader->name, ', in /sync ', $sync->name;
		$cluster->record_row(row => $row, mode => 'sync', $test->());
	};
	return;
}

sub start_writer
{
	my $writer = $cluster->start_writer(roam => 1_000, readers => 2, @_);

	$writer->wait_for_acks(50 + int(rand(150)));
	return $writer;
}

# Nothing that this leader has got a confirmation for can come any more: the walreceivers
# stand still, but the standbys' keys are renewed.
sub freeze_walreceivers
{
	foreach my $node ($sync, $other)
	{
		$node->freeze($node->safe_psql('SELECT pid FROM pg_stat_wal_receiver'));
	}
	return;
}

sub row_8
{
	my $writer = start_writer();
	my $postmaster = $leader->postmaster_pid;

	$sync->kill_node;
	HaCluster::wait_until('the other one takes its place',
		sub { "@{[ $cluster->sync_standbys($leader) ]}" eq $other->name });
	$writer->wait_for_acks(50, since => HaCluster::now());
	$sync->start;
	my $rejoin = $cluster->wait_streaming(2);
	is($leader->postmaster_pid, $postmaster, 'the leader is the same');
	return (verdict => promises_kept($cluster, $writer), rejoin => $rejoin);
}

sub row_9
{
	my $writer = start_writer();
	my $timeline = $leader->timeline;

	$_->kill9($_->boot_pid, $_->postmaster_pid) foreach $sync, $other;
	HaCluster::wait_until('nobody may be elected',
		sub { !$cluster->sync_standbys($leader) });
	$writer->wait_for_acks(50, since => HaCluster::now());
	$_->start foreach $sync, $other;
	my $rejoin = $cluster->wait_streaming(2);
	is($leader->timeline, $timeline, 'nobody was promoted');
	return (verdict => promises_kept($cluster, $writer), rejoin => $rejoin);
}

# One is enough to go on.
sub row_9_strict
{
	$cluster->configure({ synchronous_mode_strict => JSON::PP::true });
	my $writer = start_writer(patience => 60_000);

	$_->kill9($_->boot_pid, $_->postmaster_pid) foreach $sync, $other;
	my $gone_at = HaCluster::now();
	HaCluster::wait_until(
		'the leader is alone',
		sub {
			!grep { defined $cluster->etcd_get('members/' . $_->name) } $sync, $other;
		});

	# By then whoever is not strict would have emptied the names.
	my $alone_at = HaCluster::now();
	HaCluster::wait_until('a lease more has passed',
		sub { HaCluster::now() > $alone_at + $ttl });
	is(join("\n", map { $_->{line} } $writer->acks(since => $gone_at)),
		'', 'nothing was acknowledged without them');

	$other->start;
	$writer->wait_for_acks(50, since => HaCluster::now());

	# It confirms before it may be elected, so /sync comes after the first of these.
	HaCluster::wait_until('the one that is back may be elected',
		sub { "@{[ $cluster->sync_standbys($leader) ]}" eq $other->name });
	$sync->start;
	my $rejoin = $cluster->wait_streaming(2);
	$cluster->configure({ synchronous_mode_strict => JSON::PP::false });
	return (verdict => promises_kept($cluster, $writer), rejoin => $rejoin);
}

# Cancelled again and again, in every way to commit
sub row_45
{
	my $writer = start_writer(
		clients => 5,
		modes => 'simple,extended,copy,2pc,plpgsql',
		patience => 60_000);
	my $session = $leader->session;

	freeze_walreceivers();
	HaCluster::wait_until(
		'all wait',
		sub {
			($session->query(q{SELECT count(*) FROM pg_stat_activity
				WHERE application_name = 'writer' AND wait_event = 'SyncRep'}))[1] > 0;
		});
	my $frozen_at = HaCluster::now();
	my ($cancelled, $before) = (0, scalar $writer->acks(since => 0));

	while (HaCluster::now() < $frozen_at + 2 * $ttl)
	{
		$cancelled += ($session->query(q{
			SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
			WHERE application_name = 'writer' AND wait_event = 'SyncRep'}))[1];
	}
	cmp_ok($cancelled, '>', 20, "$cancelled waits were cancelled");
	is(join("\n",
			map { $_->{line} }
			grep { $_->{earliest} > $frozen_at } $writer->acks),
		'', 'none of them was acknowledged');
	is($cluster->leader, $leader, 'the leader is the same');

	$_->thaw foreach $sync, $other;
	$writer->wait_for_acks(50, since => HaCluster::now());
	my $verdict = promises_kept($cluster, $writer);

	# What was cancelled in PREPARE TRANSACTION is prepared.
	$session->query("ROLLBACK PREPARED '$_'") foreach split /\n/,
	  ($session->query('SELECT gid FROM pg_prepared_xacts'))[1];
	$session->quit;
	return (verdict => $verdict);
}

# What stands in postgresql.auto.conf outranks all files of ours.
sub row_46
{
	my $writer = start_writer(patience => 60_000);
	my $session = $leader->session;

	freeze_walreceivers();
	HaCluster::wait_until(
		'all wait',
		sub {
			($session->query(q{SELECT count(*) FROM pg_stat_activity
				WHERE application_name = 'writer' AND wait_event = 'SyncRep'}))[1] == 4;
		});
	my $frozen_at = HaCluster::now();

	$session->query(q{ALTER SYSTEM SET synchronous_standby_names = ''});
	$session->query('SELECT pg_reload_conf()');
	HaCluster::wait_until(
		'the names are gone',
		sub { ($session->query('SHOW synchronous_standby_names'))[1] eq '' });

	# The waiters are released, and others come.
	HaCluster::wait_until('two leases have passed',
		sub { HaCluster::now() > $frozen_at + 2 * $ttl });
	is(join("\n",
			map { $_->{line} }
			grep { $_->{earliest} > $frozen_at } $writer->acks),
		'', 'nothing was acknowledged that nobody has confirmed');

	$session->query('ALTER SYSTEM RESET synchronous_standby_names');
	$session->query('SELECT pg_reload_conf()');
	$_->thaw foreach $sync, $other;
	$writer->wait_for_acks(50, since => HaCluster::now());
	my $rejoin = $cluster->wait_streaming(2);
	$session->quit;
	return (verdict => promises_kept($cluster, $writer), rejoin => $rejoin);
}

sub row_6
{
	my $session = $leader->session;
	my $backend = $session->backend_pid;

	freeze_walreceivers();
	$session->send('INSERT INTO acked VALUES (0, 6)');
	my $observer = $leader->session;
	HaCluster::wait_until(
		'it waits',
		sub {
			($observer->query("SELECT wait_event FROM pg_stat_activity
				WHERE pid = $backend"))[1] eq 'SyncRep';
		});
	$leader->freeze($backend);
	$_->thaw foreach $sync, $other;

	# It is confirmed, in time, but the backend can't know.
	HaCluster::wait_until(
		'the standbys have it',
		sub {
			($observer->query('SELECT bool_and(flush_lsn >= pg_current_wal_lsn())
				FROM pg_stat_replication'))[1] eq 't';
		});
	$cluster->cut_from_etcd($leader);
	my $new = $cluster->wait_for_leader(other_than => $leader);

	$leader->thaw;
	my ($ok, $out, $err) = $session->result;
	isnt($ok, 1, 'the thawed backend acknowledges nothing');
	like($err, qr/08007|08006|57P0|server closed/, 'it says so, or hangs up');
	is($new->safe_psql('SELECT count(*) FROM acked WHERE client = 0 AND n = 6'),
		1, 'what was confirmed is there, as it may be');
	$new->safe_psql('DELETE FROM acked WHERE client = 0');
	$_->quit foreach $session, $observer;
	$cluster->heal($leader);
	return (rejoin => $cluster->wait_streaming(2));
}

# At one instant, so that nobody can let another one in
sub row_10
{
	my $writer = start_writer();

	$leader->kill9(
		$leader->boot_pid, $leader->worker_pid, $leader->postmaster_pid,
		$sync->boot_pid, $sync->worker_pid, $sync->postmaster_pid);
	HaCluster::wait_until('the key is gone',
		sub { !defined $cluster->etcd_get('leader') });
	my $gone_at = HaCluster::now();
	HaCluster::wait_until(
		'a lease more has passed',
		sub {
			die 'somebody leads' if defined $cluster->etcd_get('leader');
			return HaCluster::now() > $gone_at + $ttl;
		});
	is($other->safe_psql('SELECT pg_is_in_recovery()'),
		't', 'the asynchronous standby was not promoted');
	like($other->status('why'), qr/no synchronous standby/, 'it says why');

	$sync->start;
	is($cluster->wait_for_leader->name, $sync->name, 'the synchronous one leads');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$leader->start;
	my $rejoin = $cluster->wait_streaming(2);
	return (verdict => promises_kept($cluster, $writer), rejoin => $rejoin);
}

sub row_47
{
	$leader->safe_psql('BEGIN; INSERT INTO acked VALUES (0, 47); '
		  . "PREPARE TRANSACTION 'kept'");
	$leader->safe_psql('BEGIN; INSERT INTO acked VALUES (0, 48); '
		  . "PREPARE TRANSACTION 'dropped'");
	$leader->kill_node;

	my $new = $cluster->wait_for_leader(other_than => $leader);
	is($new->safe_psql(q{SELECT string_agg(gid, ',' ORDER BY gid)
			FROM pg_prepared_xacts WHERE gid IN ('kept', 'dropped')}),
		'dropped,kept', 'prepared transactions are there');
	$new->safe_psql("COMMIT PREPARED 'kept'");
	$new->safe_psql("ROLLBACK PREPARED 'dropped'");
	is($new->safe_psql('SELECT string_agg(n::text, $$,$$) FROM acked WHERE client = 0'),
		'47', 'and end as they are told to');
	$new->safe_psql('DELETE FROM acked WHERE client = 0');
	$leader->start;
	return (rejoin => $cluster->wait_streaming(2));
}
