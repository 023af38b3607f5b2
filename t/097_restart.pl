#
# What a restart depends on: a version, a time, who else confirms commits, and limits that
# a standby must not have lower than its primary, which rise and fall without any server
# that does not start or does not replay.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 3);

# The node file would stand over the cluster's configuration
foreach my $node ($cluster->nodes)
{
	my $text = slurp_file($node->{file});
	HaCluster::rewrite($node->{file},
		$text =~ s/^max_(connections|prepared_transactions) = .*\n//gmr);
}
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
HaCluster::wait_until('the standbys have the functions',
	sub { !grep { ($_->psql('SELECT pg_ha_get_config()'))[0] } $cluster->standbys });

subtest 'only what is older than a version' => \&check_version;
subtest 'conditions that do not hold when it is time' => \&check_declined;
subtest 'later' => \&check_schedule;
subtest 'limits rise' => \&check_rise;
subtest 'ALTER SYSTEM does not lower them' => \&check_alter_system;
subtest 'limits fall' => \&check_fall;
subtest 'a leader with more than its standbys' => \&check_paused;
subtest 'a synchronous standby steps out first' => \&check_step_out;
subtest 'the only one may not, if strict' => \&check_strict;
done_testing();

sub pids
{
	return join ' ', map { $_->postmaster_pid // 0 } $cluster->nodes;
}

sub check_version
{
	my ($standby) = $cluster->standbys;
	my $before = pids();

	is( $leader->safe_psql(
			"SELECT pg_ha_restart('$standby->{name}', version => current_setting('server_version_num')::int / 10000 || '.0')"),
		"$standby->{name}: its version is not older", 'it is of that major version');
	is(pids(), $before, 'nothing was restarted');
	is( $leader->safe_psql("SELECT pg_ha_restart('$standby->{name}', version => '99')"),
		"$standby->{name}: streaming", 'it is older than that');
	isnt(pids(), $before, 'it was restarted');
	return;
}

# Nobody waits for it, so pg_ha_requests() is where to look.
sub check_declined
{
	my ($standby) = $cluster->standbys;
	my $name = $standby->name;
	my $offset = $standby->log_size;
	my $before = pids();

	$leader->safe_psql(
		"SELECT pg_ha_restart('$name', role => 'leader', at => now() + interval '1 s')");
	HaCluster::wait_until('it is through with it',
		sub { requests($leader, $standby) =~ /restart\|(?!scheduled|running)/ });
	is( $leader->safe_psql(
			"SELECT kind, state, detail FROM pg_ha_requests() WHERE member = '$name'"),
		'restart|declined|it is no leader', 'not done, and why');
	HaCluster::wait_until('the request is gone',
		sub { ($cluster->etcd_get("pg_ha/requests/$name") // '') eq '' });
	is(pids(), $before, 'nothing was restarted');
	ok( $standby->log_contains(
			qr/the server is not restarted, as its conditions do not hold: it is no leader/, $offset),
		'its log says so');
	ok(!$standby->log_contains(qr/restarted, as was asked for/, $offset), '... and nothing else');
	return;
}

sub scheduled
{
	my ($node) = @_;
	my $member = $cluster->etcd_get('members/' . $node->name) // '{}';

	return JSON::PP::decode_json($member)->{scheduled_restart};
}

sub requests
{
	my ($seen_on, $member) = @_;

	return $seen_on->safe_psql(
		"SELECT kind, state FROM pg_ha_requests() WHERE member = '$member->{name}'");
}

sub check_schedule
{
	my ($one, $two) = $cluster->standbys;
	my $name = $one->name;
	my $before = pids();

	like(
		$leader->safe_psql(
			"SELECT pg_ha_restart('$name', pending => true, role => 'standby', version => '99.1', at => now() + interval '1 hour')"),
		qr/^$name: scheduled for \d{4}-/, 'for later');
	HaCluster::wait_until('its key tells', sub { scheduled($one) });
	my $told = scheduled($one);
	like(delete $told->{schedule}, qr/^\d{4}-\d\d-\d\dT.*\+00:00$/, 'the time');
	is_deeply($told,
		{ role => 'replica', postgres_version => '99.1', restart_pending => JSON::PP::true },
		'what it depends on, as Patroni tells it');
	HaCluster::wait_until('shown elsewhere', sub { requests($two, $one) eq 'restart|scheduled' });
	my ($rc, $out, $err) = $leader->psql("SELECT pg_ha_restart('$name')");
	like($err, qr/a restart of "$name" is scheduled for \d{4}-/, 'it stands in the way of others');

	is($two->safe_psql("SELECT pg_ha_cancel_restart('$name')"),
		qq(restart of "$name" is not scheduled any more), 'taken back');
	HaCluster::wait_until('its key tells it no more', sub { !scheduled($one) });
	($rc, $out, $err) = $two->psql("SELECT pg_ha_cancel_restart('$name')");
	like($err, qr/no restart of "$name" is scheduled/, 'once');
	is(pids(), $before, 'nothing was restarted');

	my $offset = $one->log_size;
	my $at = $leader->safe_psql(q{SELECT now() + interval '3 s'});
	$leader->safe_psql("SELECT pg_ha_restart('$name', at => '$at')");
	$cluster->node($name)->kill9($one->boot_pid);
	$one->start;
	HaCluster::wait_until('done', sub { requests($two, $one) eq 'restart|done' });
	isnt(pids(), $before, 'it was restarted');
	cmp_ok($one->safe_psql("SELECT extract(epoch FROM pg_postmaster_start_time() - '$at')"),
		'>', 0, 'not before');
	my $after = pids();
	HaCluster::wait_until('the request is gone',
		sub { ($cluster->etcd_get("pg_ha/requests/$name") // '') eq '' });
	is(() = slurp_file($one->{log}, $offset) =~ /stopping the server/g,
		1, 'it was done once, though pg_ha_boot was killed');
	is(pids(), $after, 'and that is that');
	$cluster->wait_streaming(2);
	return;
}

sub set_limits
{
	my ($connections, $locks) = @_;

	$leader->safe_psql(
		qq(SELECT pg_ha_set_config('{"postgresql":{"parameters":
			{"max_connections":$connections,"max_locks_per_transaction":$locks}}}')));
	HaCluster::wait_until(
		'all wait for a restart',
		sub {
			$leader->safe_psql(
				q{SELECT count(*) FROM pg_ha_members() WHERE pending_restart LIKE '%max_connections%'}) == 3;
		});
	return;
}

sub in_force
{
	my ($connections, $locks) = @_;

	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			"in force on $node->{name}",
			sub {
				my ($rc, $out) = $node->psql(
					q{SELECT current_setting('max_connections'), current_setting('max_locks_per_transaction')});
				$rc == 0 && $out eq "$connections|$locks";
			});
	}
	HaCluster::wait_until(
		'nothing waits',
		sub {
			$leader->safe_psql('SELECT count(*) FROM pg_ha_members() WHERE pending_restart IS NOT NULL') == 0;
		});
	return;
}

# Neither did a server not start, nor did one stop to replay.
sub was_calm
{
	my ($sizes) = @_;

	foreach my $node ($cluster->nodes)
	{
		ok( !$node->log_contains(
				qr/insufficient parameter settings|did not start|has ended without being asked/,
				$sizes->{ $node->name }),
			"$node->{name} had no trouble");
	}
	$cluster->wait_streaming(2);
	return;
}

sub check_rise
{
	my %sizes = map { $_->name => $_->log_size } $cluster->nodes;
	my ($standby) = $cluster->standbys;

	set_limits(150, 80);
	my ($rc, $out, $err) =
	  $standby->psql("SELECT pg_ha_restart('$leader->{name}')");
	like($err, qr/has to be restarted before leader "$leader->{name}": \S*max_connections/,
		'the leader is not restarted before them');
	$leader->psql('SELECT pg_ha_restart(pending => true)', timeout => 90);
	in_force(150, 80);
	was_calm(\%sizes);
	is($cluster->wait_for_leader, $leader, 'the same leader');
	return;
}

sub check_alter_system
{
	my ($standby) = $cluster->standbys;
	my %sizes = map { $_->name => $_->log_size } $cluster->nodes;
	my $senders = $leader->safe_psql('SHOW max_wal_senders');

	$standby->safe_psql('ALTER SYSTEM SET max_connections = 50');
	$standby->safe_psql('ALTER SYSTEM SET max_wal_senders = 5');
	is($leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'the standby starts');
	is($standby->safe_psql("SELECT current_setting('max_connections'), current_setting('max_wal_senders')"),
		"150|$senders", 'with what its primary has');
	was_calm(\%sizes);
	$standby->safe_psql("ALTER SYSTEM RESET $_") foreach qw(max_connections max_wal_senders);
	$leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')");
	in_force(150, 80);
	return;
}

sub check_fall
{
	my %sizes = map { $_->name => $_->log_size } $cluster->nodes;
	my ($standby) = $cluster->standbys;

	set_limits(40, 50);
	is($leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'a standby alone');
	is($standby->safe_psql('SHOW max_connections'), 150, 'has what its primary has');
	ok( $standby->log_contains(
			qr/starting with max_connections = 150 as the primary has, since a standby must not have less \(40 is configured\)/,
			$sizes{ $standby->name }),
		'and says so');
	my $is_shown = sub {
		my ($n) = $leader->safe_psql(
			"SELECT count(*) FROM pg_ha_members() WHERE name = '$standby->{name}' AND pending_restart = 'max_connections,max_locks_per_transaction'");
		return $n;
	};
	HaCluster::wait_until('which is shown', $is_shown);
	$standby->kill9($standby->boot_pid);
	HaCluster::wait_until('not without pg_ha_boot', sub { !$is_shown->() });
	$standby->start;
	HaCluster::wait_until('also by the next pg_ha_boot', $is_shown);
	my ($rc, $out, $err) = $leader->psql('SELECT pg_ha_restart(pending => true)');
	like($err, qr/leader "$leader->{name}" has to be restarted first, which ends this session/,
		'not on the leader');
	$standby->psql('SELECT pg_ha_restart(pending => true)', timeout => 90);
	in_force(40, 50);
	was_calm(\%sizes);
	is($cluster->wait_for_leader, $leader, 'the same leader');
	return;
}

# Told to, or because it crashed when its configuration had changed already.
sub check_paused
{
	my ($standby) = $cluster->standbys;
	my $offset = $standby->log_size;

	set_limits(60, 64);

	# The session may end with its own server, before it is answered
	$standby->psql("SELECT pg_ha_restart('$leader->{name}', force => true)");
	HaCluster::wait_until(
		'the standbys have what it has',
		sub {
			!grep { ($_->psql('SHOW max_connections'))[1] ne '60' } $cluster->standbys;
		});
	ok($standby->log_contains(qr/because of insufficient parameter settings/, $offset),
		'one had stopped to replay');
	in_force(60, 64);
	$cluster->wait_streaming(2);
	return;
}

# The first state of its server that is no longer running, and what /sync was by then.
sub sync_when_it_stopped
{
	my ($node, $from) = @_;
	my @history = $cluster->etcd_history;
	my $sync;

	foreach my $event (@history[ $from .. $#history ])
	{
		my ($kind, $name, $value) = @$event;

		$sync = $value if $name eq 'sync' && $kind eq 'PUT';
		return $sync
		  if $name eq "members/$node->{name}" && $kind eq 'PUT' && $value =~ /"state":"stop/;
	}
	return undef;
}

sub check_step_out
{
	$cluster->configure({ synchronous_mode => JSON::PP::true });
	my $standby = $cluster->node(HaCluster::wait_until('there is a synchronous standby',
			sub { ($cluster->sync_standbys($leader))[0] }));
	my $from = () = $cluster->etcd_history;
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(50);
	is($leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')"),
		"$standby->{name}: streaming", 'restarted');
	$writer->wait_for_acks(50, since => HaCluster::now());
	my $sync = sync_when_it_stopped($standby, $from);
	isnt($sync, undef, 'it was stopped, and /sync had changed');
	unlike($sync // qq{"$standby->{name}"}, qr/"$standby->{name}"|,$standby->{name}\b|\b$standby->{name},/,
		'it was no synchronous standby when it stopped');
	my $verdict = $cluster->check_history($writer);
	cmp_ok($verdict->{outage}, '<', 1, 'no commit waited for it');
	is($verdict->{lost}, 0, 'and none is lost');
	my $member = JSON::PP::decode_json($cluster->etcd_get("members/$standby->{name}"));
	ok(!$member->{tags}{nosync}, 'it may be one again');
	return;
}

sub check_strict
{
	my ($one, $two) = $cluster->standbys;
	my $pid = $one->postmaster_pid;

	$cluster->wait_streaming(2);
	$two->stop;
	$cluster->configure({ synchronous_mode_strict => JSON::PP::true });
	HaCluster::wait_until('the other one confirms alone',
		sub { join(' ', $cluster->sync_standbys($leader)) eq $one->name });
	HaCluster::wait_until('and knows of both',
		sub { $leader->safe_psql('SELECT count(*) FROM pg_ha_members()') == 2 });
	my ($rc, $out, $err) = $leader->psql("SELECT pg_ha_restart('$one->{name}')");
	like(
		$err,
		qr/restart of "$one->{name}" failed: it is the only standby that can confirm commits, and synchronous_mode_strict is on/,
		'refused');
	is($one->postmaster_pid, $pid, 'and not restarted');
	is($leader->safe_psql("SELECT pg_ha_restart('$one->{name}', force => true)"),
		"$one->{name}: streaming", 'unless forced');
	is(($leader->psql('CREATE TABLE confirmed()'))[0], 0, 'commits are confirmed again');
	return;
}
