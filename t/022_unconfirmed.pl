#
# In strict mode no commit is acknowledged that the standby has not confirmed:
# whether the wait for it is cancelled, the user wants to be acknowledged earlier, or
# somebody empties synchronous_standby_names.  And when the server crashes while a
# commit waits, nobody may read the row, which recovery has made visible, before the
# standby has it.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use Test::More;

my $cluster = HaCluster->new(
	nodes => 2,
	config => {
		synchronous_mode => JSON::PP::true,
		synchronous_mode_strict => JSON::PP::true
	});

# Alone, the leader waits for somebody who is not there.
my ($leader, $standby) = $cluster->nodes;
$leader->start;
HaCluster::wait_until(
	'the names are set',
	sub {
		($leader->psql('SHOW synchronous_standby_names'))[1] eq
		  '1 ("pg_ha_nobody")';
	});
my ($rc, $out, $err) = $leader->psql('CREATE TABLE alone ()', timeout => 3);
isnt($rc, 0, 'nothing is acknowledged by one node alone');

$standby->start;
is($cluster->wait_for_leader->name, $leader->name, 'with the other it leads');
$cluster->wait_streaming(1);
HaCluster::wait_until('the standby is in /sync',
	sub { "@{[ $cluster->sync_standbys($leader) ]}" eq $standby->name });
$leader->safe_psql('CREATE TABLE t (id int, how text);'
	  . 'CREATE ROLE app; GRANT ALL ON t TO app');
my $admin = $leader->session;

# From now on nothing is confirmed.
$standby->freeze_node;

subtest 'waits are cancelled' => sub {
	unacknowledged('cancelled', 'SELECT 1',
		sub { $admin->query("SELECT pg_cancel_backend($_[0])") });
	unacknowledged('terminated', 'SELECT 1',
		sub { $admin->query("SELECT pg_terminate_backend($_[0])") });
};

subtest 'users who would rather not wait' => sub {
	foreach my $level (qw(off local remote_write))
	{
		unacknowledged($level,
			"SET SESSION AUTHORIZATION app; SET synchronous_commit = $level",
			sub { $admin->query("SELECT pg_cancel_backend($_[0])") });
	}
};

subtest 'names are emptied' => sub {
	$admin->query("ALTER SYSTEM SET synchronous_standby_names = ''");
	$admin->query('SELECT pg_reload_conf()');
	HaCluster::wait_until(
		'the names are empty',
		sub {
			($admin->query('SHOW synchronous_standby_names'))[1] eq '';
		});
	unacknowledged('emptied', 'SELECT 1', sub { });
	$admin->query('ALTER SYSTEM RESET synchronous_standby_names');
	$admin->query('SELECT pg_reload_conf()');
	HaCluster::wait_until(
		'the names are back',
		sub {
			($admin->query('SHOW synchronous_standby_names'))[1] ne '';
		});
};

subtest 'a crash while a commit waits' => sub {
	my $postmaster = $leader->postmaster_pid;
	my $waiter = $leader->session;

	$waiter->send("INSERT INTO t VALUES (1, 'crash')");
	wait_for_sync($waiter->backend_pid);
	$leader->kill9($waiter->backend_pid);
	HaCluster::wait_until('the server is up again',
		sub { ($leader->psql('SHOW port', timeout => 5))[0] == 0 });
	is($leader->postmaster_pid, $postmaster, 'under the same postmaster');

	foreach my $read (
		"SELECT count(*) FROM t WHERE how = 'crash'",
		'COPY t TO STDOUT')
	{
		($rc, $out, $err) =
		  $leader->psql("SET pg_ha.fence_wait = '1s'; $read", timeout => 30);
		isnt($rc, 0, "not read: $read");
		like($err, qr/57P03.*recovered commits/s, 'with a reason');
		is($out, '', 'nothing is shown');
	}

	$standby->thaw;
	HaCluster::wait_until(
		'the row can be read',
		sub {
			($rc, $out) = $leader->psql(
				"SELECT count(*) FROM t WHERE how = 'crash'", timeout => 10);
			return $rc == 0 && $out eq '1';
		});
	is($standby->safe_psql("SELECT count(*) FROM t WHERE how = 'crash'"),
		1, 'then the standby has it');
	$waiter->quit;
};

$admin->quit;
done_testing();

sub wait_for_sync
{
	my ($pid) = @_;

	HaCluster::wait_until(
		'the commit waits for the standby',
		sub {
			($leader->psql("SELECT wait_event FROM pg_stat_activity
				WHERE pid = $pid"))[1] eq 'SyncRep';
		});
	return;
}

# One commit by a session that was prepared so, and is helped to end its wait.
sub unacknowledged
{
	my ($how, $prepare, $end_wait) = @_;
	my $session = $leader->session;

	$session->query($prepare);
	$session->send("INSERT INTO t VALUES (1, '$how')");
	wait_for_sync($session->backend_pid) if $how ne 'emptied';
	$end_wait->($session->backend_pid);
	my ($ok, $result, $errors) = $session->result(20);
	ok(!$ok, "$how: not acknowledged");
	like($errors, qr/08007|57P01|connection to server was lost/,
		"$how: the client knows that it doesn't know");
	$session->quit;
	return;
}
