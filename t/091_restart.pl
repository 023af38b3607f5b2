#
# Servers are restarted and made to reload from any member.  A leader restarts in place,
# and a setting with which no server starts is taken back.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use Test::More;

my $cluster = HaCluster->new(nodes => 2);

$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
my ($standby) = $cluster->standbys;
HaCluster::wait_until('the standby has the functions',
	sub { ($standby->psql('SELECT pg_ha_get_config()'))[0] == 0 });

subtest 'reload' => \&reload;
subtest 'a setting waits for a restart' => \&pending;
subtest 'restart of a standby' => \&restart_standby;
subtest 'restart of the leader' => \&restart_leader;
subtest 'one after the other' => \&rolling;
subtest 'a pause is acknowledged by all' => \&paused;
subtest 'a server that is stopped in a pause' => \&stopped_in_pause;
subtest 'a setting with which no server starts' => \&roll_back;
done_testing();

sub set_parameter
{
	my ($name, $value) = @_;

	$leader->safe_psql(
		qq(SELECT pg_ha_set_config('{"postgresql":{"parameters":{"$name":$value}}}')));
	return;
}

sub waits_for_restart
{
	my ($seen_on, $names) = @_;

	return $seen_on->safe_psql(
		q{SELECT coalesce(string_agg(name || ':' || pending_restart, ' ' ORDER BY name), '')
		FROM pg_ha_members() WHERE pending_restart IS NOT NULL}) eq $names;
}

sub reload
{
	$standby->add_settings(q{work_mem = '9MB'});
	is( $leader->safe_psql("SELECT pg_ha_reload('$standby->{name}')"),
		'1 members have read their configuration files',
		'asked on the other member');
	HaCluster::wait_until('the standby has read its node file',
		sub { $standby->safe_psql('SHOW work_mem') eq '9MB' });
	like($leader->safe_psql('SELECT pg_ha_reload()'), qr/^2 members/, 'all');
	return;
}

sub pending
{
	set_parameter('track_activity_query_size', 2048);
	HaCluster::wait_until(
		'it is shown for both',
		sub {
			waits_for_restart($standby,
				'n1:track_activity_query_size n2:track_activity_query_size');
		});
	pass('shown');
	return;
}

sub restart_standby
{
	my $pid = $standby->postmaster_pid;

	is($leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'asked on the leader');
	isnt($standby->postmaster_pid, $pid, 'it is another server');
	is($standby->safe_psql('SHOW track_activity_query_size'), '2kB', 'in force');
	HaCluster::wait_until('the leader alone waits',
		sub { waits_for_restart($leader, "$leader->{name}:track_activity_query_size") });
	is( $leader->safe_psql("SELECT pg_ha_restart('$standby->{name}', pending => true)"),
		"$standby->{name}: no restart is pending", 'once is enough');
	return;
}

# As long as the lease lives nobody else leads, and nothing is lost.
sub restart_leader
{
	my $writer = $cluster->start_writer(roam => 1_000);
	my $term = $leader->status('term');
	my $pid = $leader->postmaster_pid;

	$writer->wait_for_acks(50);
	is($standby->safe_psql("SELECT pg_ha_restart('$leader->{name}')"),
		"$leader->{name}: leads", 'asked on the standby');
	$writer->wait_for_acks(50, since => HaCluster::now());
	isnt($leader->postmaster_pid, $pid, 'it is another server');
	is($leader->status('term'), $term, 'in the same term');
	is($leader->timeline, 1, 'on the same timeline');
	is(scalar(grep { $_->[0] eq 'DELETE' } $cluster->etcd_events('leader')),
		0, 'the leader key was never deleted');
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'no acknowledged row is lost');
	is($verdict->{dual_ms}, 0, 'and nobody else led');
	is($leader->safe_psql('SHOW track_activity_query_size'), '2kB', 'in force');
	return;
}

sub rolling
{
	my %pid = map { $_->name => $_->postmaster_pid } $cluster->nodes;
	my $session = $leader->session;

	$session->send('SELECT pg_ha_restart()');
	HaCluster::wait_until(
		'both are other servers',
		sub {
			!grep { ($_->postmaster_pid // 0) == $pid{ $_->name } || !$_->postmaster_pid }
			  $cluster->nodes;
		});
	$session->quit;
	is($cluster->wait_for_leader, $leader, 'the leader leads again');
	$cluster->wait_streaming(1);
	return;
}

sub paused
{
	my @sizes = map { $_->log_size } $cluster->nodes;

	is(($leader->psql('SELECT pg_ha_pause()'))[0], 0, 'all have seen it');
	isnt($_->status('paused_since'), '', 'shown on ' . $_->name)
	  foreach $cluster->nodes;
	ok($_->log_contains(qr/WARNING:  cluster "\w+" is paused since/, shift @sizes),
		'and said by ' . $_->name)
	  foreach $cluster->nodes;

	$standby->freeze($standby->worker_pid);
	my ($rc, $out, $err) = $leader->psql('SELECT pg_ha_resume()', timeout => 60);
	like(
		$err,
		qr/member "$standby->{name}" did not acknowledge the end of the pause within \d+ s/,
		'who has not seen its end is named');
	$standby->thaw;
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until('the pause is over on ' . $node->name,
			sub { $node->status('paused_since') eq '' });
	}
	is(($standby->psql('SELECT pg_ha_resume()'))[0], 0, 'all have seen its end');
	return;
}

# Whoever stops one then has work to do on it.
sub stop_by_hand
{
	my ($node) = @_;
	my $offset = $node->log_size;
	my ($rc) = HaCluster::capture(60, 'pg_ctl', '-D', $node->{dir}, '-m', 'fast', '-w', 'stop');

	is($rc, 0, 'pg_ctl stop');
	HaCluster::wait_until(
		$node->name . ' is left alone',
		sub {
			$node->log_contains(
				qr/waiting for a reason to start the server: it was stopped by hand in a pause/,
				$offset);
		});
	return;
}

sub stopped_in_pause
{
	$leader->safe_psql('SELECT pg_ha_pause()');
	stop_by_hand($standby);

	# For some turns of everybody
	my $seen = $cluster->etcd_version('pg_ha/heartbeat');
	HaCluster::wait_until('the lease was proven ten times',
		sub { $cluster->etcd_version('pg_ha/heartbeat') > $seen + 10 });
	ok(!-e "$standby->{dir}/postmaster.pid", 'it is still down');
	is($leader->safe_psql("SELECT state FROM pg_ha_members() WHERE name = '$standby->{name}'"),
		'stopped', 'and shown as stopped');
	is( $leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'a restart starts it');
	$cluster->wait_streaming(1);

	# The postmaster's death is no stop.
	$standby->kill9($standby->postmaster_pid);
	$cluster->wait_streaming(1);
	pass('one that crashed is started again');

	stop_by_hand($leader);
	HaCluster::wait_until('the leader key is given up',
		sub { !defined $cluster->etcd_get('leader') });
	HaCluster::wait_until('the other has seen it',
		sub { $standby->log_contains(qr/no leader, but the cluster is paused/) });
	isnt($standby->safe_psql('SELECT pg_is_in_recovery()'), 'f', 'nobody was promoted');
	is(($standby->psql('SELECT pg_ha_resume(false)'))[0], 0, 'pg_ha_resume()');
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(1);
	($standby) = $cluster->standbys;
	return;
}

# It looks good, but no machine has so much memory
sub roll_back
{
	set_parameter('max_pred_locks_per_transaction', 2_000_000_000);
	HaCluster::wait_until('both wait for a restart',
		sub { waits_for_restart($leader, 'n1:max_pred_locks_per_transaction n2:max_pred_locks_per_transaction') });

	foreach my $node ($standby, $leader)
	{
		my ($other) = grep { $_ != $node } $cluster->nodes;
		my ($rc, $out, $err) =
		  $other->psql("SELECT pg_ha_restart('$node->{name}')");

		isnt($rc, 0, 'it is told that it failed for ' . $node->name);
		like(
			$err,
			qr/restart of "$node->{name}" failed: the server did not start with the settings of the cluster's configuration, and runs with the former ones/,
			'and why');
		isnt($node->safe_psql('SHOW max_pred_locks_per_transaction'), 2_000_000_000, 'it runs');
	}
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	$cluster->wait_streaming(1);
	set_parameter('max_pred_locks_per_transaction', 'null');
	is($leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'and all is well again');
	return;
}
