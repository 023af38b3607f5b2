#
# A standby that was restarted replays what it has, and until it has come to the end of
# that, it has confirmed more than replay tells.  It must not vote before: in quorum mode
# it may be the only one that has a commit.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use Test::More;

# How long replay takes: more than an election that does not wait for it
use constant DELAY => 9;

my $cluster = HaCluster->new(
	nodes => 3,
	config => { synchronous_mode => 'quorum', synchronous_node_count => 1 },
	settings => "recovery_min_apply_delay = '" . DELAY . "s'\n");

$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my ($with, $without) = $cluster->standbys;
HaCluster::wait_until(
	'both standbys are in /sync',
	sub {
		join(' ', sort $cluster->sync_standbys($leader)) eq
		  join(' ', sort $with->name, $without->name);
	});
$leader->safe_psql('CREATE TABLE t (id int)');
HaCluster::wait_until('both have the table',
	sub { !grep { ($_->psql('SELECT count(*) FROM t'))[0] } $with, $without });

# Both have the first row, and one of the two the second.
$leader->safe_psql('INSERT INTO t VALUES (1)');
HaCluster::wait_until(
	'both have the first row',
	sub {
		$leader->safe_psql('SELECT count(*) FROM pg_stat_replication
			WHERE flush_lsn = pg_current_wal_flush_lsn()') eq '2';
	});
my $sender = $leader->safe_psql("SELECT pid FROM pg_stat_replication
	WHERE application_name = '$without->{name}'");
$leader->freeze($sender);
$leader->safe_psql('INSERT INTO t VALUES (2)');
my $offset = $with->log_size;
$with->kill9($with->postmaster_pid);
$leader->kill9($leader->boot_pid, $leader->worker_pid, $leader->postmaster_pid, $sender);

# It is soon there again, and has not replayed it.
HaCluster::wait_until('it is a standby again',
	sub { $with->log_contains(qr/ready to accept read-only connections/, $offset) });
is($with->safe_psql('SELECT count(*) FROM t'), 0, 'it has replayed neither row yet');
is($cluster->leader, undef, 'nobody leads');

my $new = $cluster->wait_for_leader(other_than => $leader);
is($new->name, $with->name, 'who has it all leads');
is($new->safe_psql('SELECT count(*) FROM t'), 2, 'both acknowledged rows are there');
$leader->start;
$cluster->wait_streaming(2);
done_testing();
