#
# A logical slot of the configuration is there wherever the leader is.  From
# PostgreSQL 17 on with everything that had not been read from it; before, it begins
# with the new leader, and the old one's does not hold back WAL.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster =
  HaCluster->new(nodes => 2, settings => "wal_level = logical\nwal_sender_timeout = 5s");
my ($n1, $n2) = $cluster->nodes;

$n1->start;
$cluster->wait_for_leader;
$n2->start;
$cluster->wait_streaming(1);
my $native = $n1->safe_psql('SHOW server_version_num') >= 170000;

subtest 'it is made on the leader' => sub {
	$cluster->configure(
		{
			slots => {
				etl => { type => 'logical', database => 'postgres', plugin => 'test_decoding' }
			}
		});
	wait_for_slot($n1);
	is($n1->safe_psql(q{SELECT owner || ' ' || active FROM pg_ha_slots() WHERE slot = 'etl'}),
		'permanent false', 'and shown as permanent');
	is($n1->safe_psql(q{SELECT database || ' ' || plugin FROM pg_replication_slots
			WHERE slot_name = 'etl'}), 'postgres test_decoding', 'as it was configured');
	$n1->safe_psql('INSERT INTO acked VALUES (0, 1)');
	like($n1->safe_psql(q{SELECT string_agg(data, ' ')
			FROM pg_logical_slot_get_changes('etl', NULL, NULL)}),
		qr/INSERT: client\[integer\]:0 n\[bigint\]:1/, 'changes can be read from it');
};

subtest 'a slot that cannot be made' => sub {
	my $offset = $n1->log_size;
	my $postmaster = $n1->postmaster_pid;

	$cluster->configure(
		{
			slots => {
				%{ $cluster->{config}{slots} },
				lost => { database => 'nowhere', plugin => 'test_decoding' }
			}
		});
	HaCluster::wait_until('the log says why',
		sub { $n1->log_contains(qr/FATAL:  database "nowhere" does not exist/, $offset) });
	is($n1->safe_psql('SELECT count(*) FROM acked'), 1, 'the leader goes on');
	is($n1->postmaster_pid, $postmaster, 'and was not restarted');
	$cluster->configure({ slots => { etl => $cluster->{config}{slots}{etl} } });
};

subtest 'another member leads' => sub {
	HaCluster::wait_until(
		'it has a copy',
		sub {
			# A copy begins when its consumer comes on
			$n1->safe_psql($_)
			  foreach 'SELECT pg_current_xact_id(), pg_log_standby_snapshot()',
			  q{SELECT count(*) FROM pg_logical_slot_get_changes('etl', NULL, NULL)};
			$n2->safe_psql(q{SELECT count(*) FROM pg_replication_slots
				WHERE slot_name = 'etl' AND synced AND NOT temporary}) == 1;
		}) if $native;
	$n1->safe_psql('INSERT INTO acked VALUES (0, 2)');
	$n1->psql(q{SELECT pg_ha_switchover('n2')});
	is($cluster->wait_for_leader(other_than => $n1)->name, 'n2', 'n2 leads');
	wait_for_slot($n2);
	$n2->safe_psql('INSERT INTO acked VALUES (0, 3)');
	my $changes = $n2->safe_psql(q{SELECT string_agg(data, ' ')
			FROM pg_logical_slot_get_changes('etl', NULL, NULL)});
	like($changes, qr/n\[bigint\]:3/, 'changes can be read there');
	like($changes, qr/n\[bigint\]:2/, 'those of before, too') if $native;
	$cluster->wait_streaming(1);
	HaCluster::wait_until(
		'the former leader has no slot of its own any more',
		sub {
			$n1->safe_psql(q{SELECT count(*) FROM pg_replication_slots
				WHERE slot_name = 'etl'} . ($native ? ' AND NOT synced' : '')) == 0;
		});
	like(slurp_file($n1->{log}),
		qr/dropped slot "etl" of the time when this member led/, 'and says so');
};
done_testing();

sub wait_for_slot
{
	my ($node) = @_;

	HaCluster::wait_until(
		'the slot is there',
		sub {
			$node->safe_psql(q{SELECT count(*) FROM pg_replication_slots
				WHERE slot_name = 'etl' AND confirmed_flush_lsn IS NOT NULL}) == 1;
		});
	return;
}
