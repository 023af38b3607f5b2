#
# A standby that streams from another one (tag replicatefrom) has all that the leader
# has, whoever leads; it never waits for a member that is away, refuses it or is itself
# behind it, but follows the leader until that one is there again.  It is never counted as
# synchronous.  One that does not stream at all (nostream) gets its WAL from the archive.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $archive = PostgreSQL::Test::Utils::tempdir();
my $cluster = HaCluster->new(
	nodes => 4,
	config => { synchronous_mode => 'on' },
	settings => "archive_mode = on\n"
	  . "archive_command = 'test -f $archive/%f || cp %p $archive/%f'\n"
	  . 'wal_keep_size = 0');
my ($n1, $n2, $n3, $n4) = $cluster->nodes;

$cluster->start_led_by('n1');
$n1->safe_psql('CREATE TABLE t (i int)');

subtest 'a standby streams from another one' => sub {
	my @pids = map { $_->postmaster_pid } $cluster->nodes;

	# It confirms commits, so the leader has to let it go first
	set_tags($n3, 'sync_priority=2');
	wait_for_sync('n3');
	set_tags($n3, 'sync_priority=2, replicatefrom=n2');
	wait_for_source($n3, 'n2');
	isnt($cluster->etcd_get('sync'), undef, 'there are synchronous standbys');
	unlike($cluster->etcd_get('sync'), qr/n3/, 'it is not one of them');
	like($n3->status('why'), qr/^leader is n1, whose WAL comes from n2$/, 'it says so');
	is($n1->safe_psql("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n3'"),
		0, 'nothing goes from the leader to it');
	arrives($n1, $n3);
	is_deeply([ map { $_->postmaster_pid } $cluster->nodes ], \@pids, 'no server was restarted');
};

# Where nobody is synchronous it goes at once to where it should
$cluster->configure({ synchronous_mode => 'off' });

subtest 'slots of who cascades' => sub {
	is($n2->safe_psql(q{SELECT owner || ' ' || active FROM pg_ha_slots() WHERE slot = 'n3'}),
		'member true', 'it has one where its WAL comes from');
	my $lsn = $n1->safe_psql('SELECT pg_switch_wal()');
	arrives($n1, $n3);
	foreach my $node ($n1, $n4)
	{
		HaCluster::wait_until('its slot moves on ' . $node->name,
			sub { $node->safe_psql("SELECT restart_lsn > '$lsn' AND NOT active
					FROM pg_ha_slots() WHERE slot = 'n3'") eq 't' });
		pass('its slot moves on ' . $node->name);
	}

	# Who may never lead has slots for nobody else
	set_tags($n2, 'nofailover');
	HaCluster::wait_until('n2 has one slot',
		sub { $n2->safe_psql(q{SELECT string_agg(slot, ' ') FROM pg_ha_slots()}) eq 'n3' });
	is(source_of($n3), 'n2', 'it streams on');
	set_tags($n2, '');
	HaCluster::wait_until('n2 has three',
		sub { $n2->safe_psql('SELECT count(*) FROM pg_ha_slots()') == 3 });
};

subtest 'no member that is not there, and no circle' => sub {
	set_tags($n3, 'replicatefrom=nobody');
	wait_for_source($n3, 'n1');
	set_tags($n3, 'replicatefrom=n3');
	wait_for_tags($n3, 'replicatefrom=n3');
	set_tags($n3, 'replicatefrom=n2');
	wait_for_source($n3, 'n2');
	set_tags($n2, 'replicatefrom=n4');
	wait_for_source($n2, 'n4');
	arrives($n1, $n3);

	set_tags($n4, 'replicatefrom=n3');
	wait_for_source($_, 'n1') foreach $n2, $n3, $n4;
	arrives($n1, $_) foreach $n2, $n3, $n4;
	set_tags($n4, '');
	wait_for_source($n2, 'n4');
	set_tags($n2, '');
	wait_for_source($n2, 'n1');
	wait_for_source($n3, 'n2');
};

subtest 'the member in between dies' => sub {
	my $offset = $n3->log_size;
	my $begin = HaCluster::now();
	$n2->kill_node;
	wait_for_source($n3, 'n1');
	my $took = HaCluster::now() - $begin;
	cmp_ok($took, '<', $cluster->ttl + 4,
		sprintf('the leader is followed soon (%.1f s)', $took));
	arrives($n1, $n3);
	$n2->start;
	wait_for_source($n3, 'n2');
	arrives($n1, $n3);
	ok(!$n3->log_contains(qr/cloning|pg_basebackup|pg_rewind/, $offset), 'nothing was copied');
};

subtest 'the member in between refuses' => sub {
	set_tags($n3, '');
	wait_for_source($n3, 'n1');

	# Somebody else streams through the slot
	my $taker = take_slot($n2, 'n3');
	HaCluster::wait_until('it is taken',
		sub { $n2->safe_psql(q{SELECT active FROM pg_ha_slots() WHERE slot = 'n3'}) eq 't' });
	my $offset = $n3->log_size;
	set_tags($n3, 'replicatefrom=n2');
	HaCluster::wait_until('it is given up',
		sub { $n3->log_contains(qr/no WAL comes from member "n2": following the leader/, $offset) });
	wait_for_source($n3, 'n1');
	arrives($n1, $n3);
	kill 'TERM', $taker;
	waitpid $taker, 0;
	wait_for_source($n3, 'n2');
	arrives($n1, $n3);
};

subtest 'another one leads' => sub {
	my $offset = $n3->log_size;
	$cluster->configure({ synchronous_mode => 'on' });
	set_tags($n4, 'sync_priority=2, failover_priority=2');
	wait_for_sync('n4');
	my $writer = $cluster->start_writer;
	$writer->wait_for_acks(20);
	$n1->kill_node;
	is($cluster->wait_for_leader(other_than => $n1)->name, 'n4', 'n4 leads');
	wait_for_source($n3, 'n2', $n4->timeline);
	unlike($cluster->etcd_get('sync'), qr/n3/, 'and does not wait for who cascades');
	arrives($n4, $n3);
	ok(!$n3->log_contains(qr/cloning|pg_basebackup|pg_rewind/, $offset), 'nothing was copied');
	$n1->start;
	my $history = $cluster->check_history($writer);
	is($history->{lost}, 0, 'nothing is lost');

	# The member in between is it
	set_tags($n4, '');
	set_tags($n2, 'sync_priority=3');
	wait_for_sync('n2');
	like($n3->safe_psql(q{SELECT pg_ha_switchover('n2')}), qr/switched over/, 'n2 leads');
	wait_for_source($n3, 'n2', $n2->timeline);
	arrives($n2, $n3);
	wait_for_source($n1, 'n2');
};

subtest 'who cascades comes to the leader to lead' => sub {
	set_tags($_, '') foreach $n2, $n4;
	set_tags($n3, 'replicatefrom=n4');
	wait_for_source($n3, 'n4');
	my ($rc, $out, $err) = $n1->psql(q{SELECT pg_ha_switchover('n3')});
	like($err, qr/member "n3" cannot lead: it is no synchronous standby/, 'not while others confirm');
	$cluster->configure({ synchronous_mode => 'off' });
	HaCluster::wait_until('nobody does', sub { !defined $cluster->etcd_get('sync') });
	is(source_of($n3), 'n4', 'it still cascades');
	like($n1->safe_psql(q{SELECT pg_ha_switchover('n3')}), qr/switched over from "n2" to "n3"/, 'then it leads');
	arrives($n3, $n4);

	# Its tag is for when it is a standby again
	wait_for_source($n2, 'n3');
	HaCluster::wait_until('n2 says that it runs', sub { $n1->safe_psql(
		q{SELECT state = 'running' AND role = 'replica' FROM pg_ha_members() WHERE name = 'n2'}) eq 't' });
	like($n1->safe_psql(q{SELECT pg_ha_switchover('n2')}), qr/switched over from "n3" to "n2"/, 'and back');
	wait_for_source($n3, 'n4', $n2->timeline);
	arrives($n2, $n3);
};

subtest 'who does not stream' => sub {
	my $offset = $n3->log_size;
	set_tags($n3, 'nostream');
	wait_for_tags($n3, 'nofailover, nosync, nostream');
	HaCluster::wait_until('it streams no more', sub { !$n3->walreceiver_pid });
	HaCluster::wait_until('it complains', sub { $n3->log_contains(
		qr/WARNING:  this member is tagged nostream, and "restore_command" is not set/, $offset) });
	$n3->add_settings("restore_command = 'cp $archive/%f %p'");
	kill 'HUP', $n3->boot_pid;
	my $rows = $n2->safe_psql('INSERT INTO t VALUES (1); SELECT count(*) FROM t');
	$n2->safe_psql('SELECT pg_switch_wal()');
	HaCluster::wait_until('WAL comes from the archive',
		sub { $n3->safe_psql('SELECT count(*) FROM t') == $rows });
	pass('WAL comes from the archive');
	# What a node said when it gave up a source although that had not turned it away: on a
# slow machine the restart of a source may take longer than anybody waits for it.
sub given_up
{
	my ($node) = @_;
	my ($receiver, @wrong) = ('');

	foreach my $line (split /\n/, slurp_file($node->{log}))
	{
		$receiver = $line if $line =~ / walreceiver /;
		push @wrong, $line
		  if $line =~ /no WAL comes from member/
		  && $receiver !~ /Connection refused|is starting up|is shutting down/;
	}
	return join "\n", @wrong;
}

foreach my $node ($n1, $n2, $n4)
	{
		HaCluster::wait_until($node->name . ' has no slot for it',
			sub { $node->safe_psql(q{SELECT count(*) FROM pg_ha_slots() WHERE slot = 'n3'}) == 0 });
	}
	pass('nobody has a slot for it');
	$cluster->configure({ synchronous_mode => 'quorum' });
	HaCluster::wait_until('two are synchronous',
		sub { ($cluster->etcd_get('sync') // '') =~ /"n1,n4"/ });
	is($n3->safe_psql('SELECT pg_is_in_recovery()'), 't', 'it is not one of them');
	ok(!$n3->walreceiver_pid, 'and never streamed again');

	set_tags($n3, '');
	wait_for_source($n3, 'n2');
	arrives($n2, $n3);
};

foreach my $node ($n1, $n2, $n4)
{
	is(given_up($node), '', $node->name . ' gave nobody up who was there');
}
done_testing();

sub set_tags
{
	my ($node, $tags) = @_;

	$node->add_settings("pg_ha.tags = '$tags'");
	kill 'HUP', $node->boot_pid;
	return;
}

sub wait_for_tags
{
	my ($node, $tags) = @_;
	my $name = $node->name;

	HaCluster::wait_until("the tags of $name are known",
		sub { $cluster->leader->safe_psql(
			"SELECT tags FROM pg_ha_members() WHERE name = '$name'") eq $tags });
	return;
}

# Whom its walreceiver is connected to
sub source_of
{
	my ($node, $timeline) = @_;
	my ($rc, $port) = $node->psql('SELECT sender_port FROM pg_stat_wal_receiver'
		  . " WHERE status = 'streaming'"
		  . ($timeline ? " AND received_tli = $timeline" : ''));

	return $rc != 0 ? '' : join ' ', map { $_->name } grep { $_->port eq $port } $cluster->nodes;
}

sub wait_for_source
{
	my ($node, $source, $timeline) = @_;
	my $got = '';

	# Not looked at twice: who has just connected may be refused yet, as its slot is made
	eval {
		HaCluster::wait_until($node->name . " streams from $source",
			sub { ($got = source_of($node, $timeline)) eq $source });
	};
	is($got, $source, $node->name . " streams from $source");
	return;
}

# What is written on the one comes to the other
sub arrives
{
	my ($from, $to) = @_;
	my $rows = $from->safe_psql('INSERT INTO t VALUES (1); SELECT count(*) FROM t');

	HaCluster::wait_until('a row comes to ' . $to->name,
		sub { $to->safe_psql('SELECT count(*) FROM t') >= $rows });
	pass('a row comes to ' . $to->name);
	return;
}

sub wait_for_sync
{
	my ($name) = @_;

	HaCluster::wait_until("$name is synchronous",
		sub { ($cluster->etcd_get('sync') // '') =~ /"sync_standby":"$name"/ });
	return;
}

sub take_slot
{
	my ($node, $slot) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($passfile) = slurp_file($node->{file}) =~ /replication_passfile = '([^']+)'/;

	local $ENV{PGPASSFILE} = $passfile;
	return HaCluster::spawn("$node->{log}.receivewal", 'pg_receivewal', '-D', $dir,
		'-h', $node->{address}, '-p', $node->port, '-U', 'ha_repl', '-S', $slot, '-w');
}
