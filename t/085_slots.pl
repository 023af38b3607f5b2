#
# Members are gone for a while, or for good.  Who comes back in time streams on without
# a clone, also from a new leader; who does not keeps no disk filling up; and no slot
# is dropped that pg_ha did not make.
#
# Requirement I: "slots removed when nodes are removed either by shutting down or removing?"
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $page = HaDocs->new('slots.md');
my $cluster = HaCluster->new(nodes => 3);
my ($n1, $n2, $n3) = $cluster->nodes;
my $ttl = $cluster->ttl;

$n1->start;
$cluster->wait_for_leader;
$_->start foreach $n2, $n3;
$cluster->wait_streaming(2);

# Or there would be enough WAL without any slot
foreach my $node ($cluster->nodes)
{
	$node->safe_psql('ALTER SYSTEM SET wal_keep_size = 0');
	$node->safe_psql('SELECT pg_reload_conf()');
}

# Somebody else's, on the leader and on a standby; it keeps no WAL for us
foreach my $node ($n1, $n2)
{
	$node->safe_psql(q{SELECT pg_create_physical_replication_slot('app')});
}

subtest 'each member has a slot for each other one' => sub {
	wait_for_slots($n1, 'app:foreign n2:member n3:member');
	wait_for_slots($n2, 'app:foreign n1:member n3:member');
	wait_for_slots($n3, 'n1:member n2:member');

	# n2 receives nothing more, n3 does
	my $frozen_at = $n2->safe_psql('SELECT pg_last_wal_receive_lsn()');
	$n2->freeze($n2->walreceiver_pid);
	my $lsn = write_wal($n1, 3);
	HaCluster::wait_until('the slot of the leader moves on n3',
		sub { $n3->safe_psql("SELECT restart_lsn >= '$lsn' FROM pg_ha_slots()
				WHERE slot = 'n1'") eq 't' });
	is($n3->safe_psql("SELECT restart_lsn <= '$frozen_at' FROM pg_ha_slots()
			WHERE slot = 'n2'"), 't', 'that of n2 is not ahead of n2');
	$n2->thaw;
	HaCluster::wait_until('it moves when n2 does',
		sub { $n3->safe_psql("SELECT restart_lsn >= '$lsn' FROM pg_ha_slots()
				WHERE slot = 'n2'") eq 't' });
	$cluster->wait_streaming(2);
};

subtest 'I: n2 is stopped for two ttl while WAL is written' => sub {
	$n2->stop;
	wait_until_absent($n2, 2 * $ttl, sub { write_wal($n1, 1) });
	$_->safe_psql('CHECKPOINT') foreach $n1, $n3;
	my $row = row_of($n1, 'n2');
	is("$row->{owner} $row->{member} $row->{active}", 'member n2 f', 'its slot is there');
	my ($rc, $out) = $page->run('show', ANY => $n3->connstr);
	like($out, qr/^ n2 +\| n2 +\| member +\| f +\| \w+ +\| \d+ MB +\| 20/m, 'and docs/slots.md shows it');
	cmp_ok($row->{retained_bytes}, '>', 16 * 2**20, 'and retains WAL');
	cmp_ok($row->{in_seconds}, '>', 1700, 'it would go in half an hour');

	start_without_clone($n2);
	is(row_of($n1, 'n2')->{in_seconds}, '', 'it goes no more');
};

subtest 'I: failover while n3 is away' => sub {
	$n3->stop;
	wait_until_absent($n3, 1, sub { write_wal($n1, 2) });

	# A standby without a slot for n3 would remove what n3 still needs.
	write_wal($n1, 3);
	$n1->safe_psql('CHECKPOINT');
	my $lsn = $n1->safe_psql('SELECT pg_current_wal_lsn()');
	HaCluster::wait_until('n2 has the checkpoint, too',
		sub { $n2->safe_psql("SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't' });
	$n2->safe_psql('CHECKPOINT');
	my $absent = absence('n3');
	$n1->kill_node;
	is($cluster->wait_for_leader(other_than => $n1)->name, 'n2', 'n2 leads');
	HaCluster::wait_until('the new leader keeps the book',
		sub { absence('n3') > $absent });
	my @told = map { absence('n3', $_->[1]) } $cluster->etcd_events('status');
	ok(!(grep { $told[$_] < $told[ $_ - 1 ] } 1 .. $#told),
		'the absence of n3 goes on where it was')
	  or diag "@told";
	is(row_of($n2, 'n3')->{member}, 'n3', 'it has a slot for n3');
	write_wal($n2, 3);
	$n2->safe_psql('CHECKPOINT');

	start_without_clone($n3, 1);
	$n1->start;
	$cluster->wait_streaming(2);
	wait_for_slots($n1, 'app:foreign n2:member n3:member');
};

subtest 'I: nothing is dropped in a pause' => sub {
	$cluster->configure({ member_slots_ttl => '2s' });
	$n2->safe_psql('SELECT pg_ha_pause()');
	$n3->stop;
	HaCluster::wait_until('its key is gone',
		sub { !defined $cluster->etcd_get('members/n3') });

	# Two lives of it pass.
	my $gone_at = HaCluster::now();
	HaCluster::wait_until('four seconds have passed',
		sub { HaCluster::now() > $gone_at + 4 });
	wait_for_slots($n2, 'app:foreign n1:member n3:member', 1);
	wait_for_slots($n1, 'app:foreign n2:member n3:member', 1);
	is(row_of($n2, 'n3')->{in_seconds}, '', 'and no time is told');
};

subtest 'I: after member_slots_ttl the slot goes' => sub {
	$n2->safe_psql('SELECT pg_ha_resume(false)');
	my $resumed_at = HaCluster::now();
	my $told = HaCluster::wait_until('the time is told',
		sub { row_of($n2, 'n3')->{in_seconds} });
	cmp_ok($told, '<=', 2.1, 'it is near');
	wait_for_slots($n2, 'app:foreign n1:member');
	my $took = HaCluster::now() - $resumed_at;
	cmp_ok($took, '>', 1.5, sprintf('the pause did not count (%.1f s)', $took));
	cmp_ok($took, '<', 10, 'and it took no longer');
	like(slurp_file($n2->{log}), qr/dropped slot "n3" of member absent for \d s, had retained \d+ (bytes|kB|MB)/,
		'the leader says so');
	wait_for_slots($n1, 'app:foreign n2:member');

	$cluster->configure({ member_slots_ttl => 1800 });
	$n3->start;
	$cluster->wait_streaming(2);
	wait_for_slots($n2, 'app:foreign n1:member n3:member');
};

subtest 'I: a slot that retains too much goes' => sub {
	$cluster->configure({ member_slots_max_wal => '40MB' });
	$n3->stop;
	wait_until_absent($n3, 0.1);
	wait_for_slots($n2, 'app:foreign n1:member n3:member', 1);
	write_wal($n2, 4);
	wait_for_slots($n2, 'app:foreign n1:member');
	wait_for_slots($n1, 'app:foreign n2:member');
	$cluster->configure({ member_slots_max_wal => 0 });
	$n3->start;
	$cluster->wait_streaming(2);
};

subtest 'I: pg_ha_remove_member() refuses' => sub {
	is_refused('n3', '55006', 'member "n3" is alive; stop it first (or force => true)');
	is_refused('n2', '55000', 'member "n2" is the leader; switch over first');
	is_refused('nobody', '42704', 'no such member "nobody" (members: n1, n2, n3)');
	$n3->stop;
	wait_until_absent($n3, 0.1);
	is_refused('nobody', '42704',
		'no such member "nobody" (members: n1, n2, n3 (absent))');
	is($cluster->etcd_get('pg_ha/removed/nobody'), undef, 'and asks for nothing');
};

subtest 'I: pg_ha_remove_member()' => sub {
	$cluster->etcd_put('failsafe', '{"n1":"","n2":"","n3":""}');
	$cluster->etcd_put('pg_ha/requests/n3', '{}');
	HaCluster::wait_until('n1 has read that',
		sub { $n1->safe_psql(q{SELECT detail = '1 malformed keys' FROM pg_ha_health()
				WHERE check_name = 'configuration'}) eq 't' });
	my $begin = HaCluster::now();

	# On a standby, which has no say in the leader's book
	my ($rc, $out) = $page->run('remove', ANY => $n1->connstr);
	like($out, qr/member "n3" removed/, 'the command of docs/slots.md');
	wait_for_slots($n2, 'app:foreign n1:member');
	wait_for_slots($n1, 'app:foreign n2:member');
	my $took = HaCluster::now() - $begin;
	cmp_ok($took, '<', 5, sprintf('its slots are gone at once (%.1f s)', $took));
	is($cluster->etcd_get('failsafe'), '{"n1":"","n2":""}', 'so is its place in /failsafe');
	is($cluster->etcd_get($_), undef, "and $_") foreach 'members/n3', 'pg_ha/requests/n3';
	HaCluster::wait_until('the removal is over',
		sub { !defined $cluster->etcd_get('pg_ha/removed/n3') });
	ok(!exists status()->{pg_ha_members}{n3}, 'the leader has forgotten it');
	is_refused('n3', '42704', 'no such member "n3" (members: n1, n2)');
	like(slurp_file($n1->{log}), qr/dropped slot "n3" of removed member/, 'the log says why');
};

subtest 'I: the name of a former member' => sub {
	$cluster->configure({ member_slots_ttl => 0 });
	$n2->safe_psql(q{SELECT pg_create_physical_replication_slot('n3', true)});
	wait_for_reads(4);
	wait_for_slots($n2, 'app:foreign n1:member n3:foreign', 1);

	# It is a member again
	$cluster->configure({ member_slots_ttl => 1800 });
	$n3->start;
	$cluster->wait_streaming(2);
	wait_for_slots($n2, 'app:foreign n1:member n3:member');
	wait_for_slots($n1, 'app:foreign n2:member n3:member');
	is($n3->safe_psql('SELECT slot_name FROM pg_stat_wal_receiver'), 'n3', 'and uses that slot');
	HaCluster::wait_until('which is pg_ha\'s now',
		sub { $n2->log_contains(qr/replication slot "n3" is pg_ha's now: member "n3" streams/) });
};

subtest 'one that lives comes back by itself' => sub {
	# It writes its key all the time meanwhile
	my $writer = $cluster->start_writer(clients => 1);
	$writer->wait_for_acks(20);
	is($n1->safe_psql(q{SELECT pg_ha_remove_member('n3', true)}), 'member "n3" removed', 'with force');
	$writer->stop;
	HaCluster::wait_until('the removal is over',
		sub { !defined $cluster->etcd_get('pg_ha/removed/n3') });
	$cluster->wait_streaming(2);
	wait_for_slots($n2, 'app:foreign n1:member n3:member');
	wait_for_slots($n1, 'app:foreign n2:member n3:member');
};

subtest 'permanent slots, and ignored ones' => sub {
	my ($rc, $out) = $page->run('permanent', ANY => $n3->connstr);
	is($rc, 0, 'the command of docs/slots.md') or diag $out;
	wait_for_slots($n2, 'app:foreign n1:member n3:member perm:permanent');
	wait_for_slots($n1, 'app:foreign n2:member n3:member perm:permanent');
	wait_for_slots($n3, 'n1:member n2:member perm:permanent');
	my $lsn = write_wal($n2, 1);
	$n2->safe_psql("SELECT pg_replication_slot_advance('perm', '$lsn')");
	HaCluster::wait_until(
		'they move with the leader\'s',
		sub {
			!grep { $_->safe_psql("SELECT restart_lsn = '$lsn' FROM pg_ha_slots()
					WHERE slot = 'perm'") ne 't' } $n1, $n3;
		});

	# Not permanent any more, but to be left alone
	$cluster->configure({ slots => {}, ignore_slots => [ { name => 'perm' } ] });
	wait_for_reads(4);
	my $rows = q{SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots};
	is($n2->safe_psql($rows), 'app n1 n3 perm', 'it stays on the leader');
	is($n3->safe_psql($rows), 'n1 n2 perm', 'and on a standby');
	$cluster->configure({ ignore_slots => [] });
	wait_for_slots($n2, 'app:foreign n1:member n3:member');
	wait_for_slots($n3, 'n1:member n2:member');
};

$page->check_all_were_run;
ok(!$_->log_contains(qr/replication slot "\w+" does not exist/),
	$_->name . ' never missed a slot') foreach $cluster->nodes;
done_testing();

# What is there: "slot:owner ..."; at once, or after a while
sub wait_for_slots
{
	my ($node, $expected, $now) = @_;
	my $sql = q{SELECT string_agg(slot || ':' || owner, ' ' ORDER BY slot) FROM pg_ha_slots()};
	my $got = '';

	eval {
		HaCluster::wait_until($expected,
			sub { ($got = $node->safe_psql($sql)) eq $expected });
	} unless $now;
	is($node->safe_psql($sql), $expected, 'slots of ' . $node->name);
	return;
}

sub row_of
{
	my ($node, $slot) = @_;
	my @columns = qw(slot member owner active wal_status retained_bytes in_seconds);
	my $out = $node->safe_psql("SELECT slot, member, owner, active, wal_status, retained_bytes,
			round(extract(epoch FROM drop_at - now()), 1) FROM pg_ha_slots() WHERE slot = '$slot'");
	my %row;

	@row{@columns} = split /\|/, $out, -1;
	return \%row;
}

# So many WAL segments, and the end of them
sub write_wal
{
	my ($node, $segments) = @_;

	for (1 .. $segments)
	{
		$node->safe_psql(q{SELECT pg_logical_emit_message(false, 'x', 'x')});
		$node->safe_psql('SELECT pg_switch_wal()');
	}
	return $node->safe_psql(q{SELECT pg_logical_emit_message(true, 'x', 'x')});
}

sub status
{
	my ($value) = @_;
	return JSON::PP::decode_json($value // $cluster->etcd_get('status') // '{}');
}

# In milliseconds, as the leader tells the others
sub absence
{
	my ($member, $value) = @_;
	return status($value)->{pg_ha_members}{$member} // 0;
}

sub wait_until_absent
{
	my ($node, $seconds, $meanwhile) = @_;

	HaCluster::wait_until(
		$node->name . " has been absent for $seconds s",
		sub {
			$meanwhile->() if $meanwhile;
			return absence($node->name) >= 1000 * $seconds;
		});
	return;
}

# The leader has put its book, which rests on what it has read, so often
sub wait_for_reads
{
	my ($n) = @_;
	my $version = $cluster->etcd_version('status');

	HaCluster::wait_until('the leader has told its book',
		sub { $cluster->etcd_version('status') >= $version + $n });
	return;
}

sub start_without_clone
{
	my ($node, $streaming) = @_;
	my $offset = $node->log_size;

	$node->start;
	$cluster->wait_streaming($streaming // 2);
	ok(!$node->log_contains(qr/cloning|pg_basebackup|pg_rewind/, $offset),
		$node->name . ' streams again without a clone');
	ok(!$node->log_contains(qr/has already been removed/, $offset), 'no WAL was missing');
	return;
}

sub is_refused
{
	my ($member, $code, $message) = @_;
	my ($rc, $out, $err) = $n1->psql("SELECT pg_ha_remove_member('$member')");

	like($err, qr/^ERROR:  $code: \Q$message\E$/m, $message);
	return;
}
