#
# A switchover loses no acknowledged row and needs no rewind, in either mode of
# replication; one that can't be carried out is refused with the reason, and one that
# has begun and can't be finished leaves the leader leading and commits going on.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use Test::More;

use constant ROUNDS => 10;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { maximum_lag_on_failover => 200_000 });
$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(2);

subtest 'back and forth, async' => sub { back_and_forth('async'); };
subtest 'what is told of it' => \&check_records;
subtest 'the best candidate' => \&check_best_candidate;
subtest 'scheduled, and taken back' => \&check_schedule;
subtest 'refused' => \&check_refusals;
subtest 'a candidate that stands still' => \&check_frozen_candidate;
subtest 'a candidate that does not take the key' => \&check_key_comes_back;
subtest 'without a leader, in a pause' => \&check_failover;
$cluster->configure({ synchronous_mode => JSON::PP::true });
$cluster->wait_streaming(2);
subtest 'back and forth, sync' => sub { back_and_forth('sync'); };
subtest 'only to a synchronous standby' => \&check_sync_refusal;
done_testing();

# A text of psql's, or what it complained of.
sub ask
{
	my ($node, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($sql, timeout => 60);

	note "$sql on ", $node->name, ": $out $err";
	return $rc == 0 ? $out : $err;
}

# Some standby that the leader would hand over to.
sub wait_for_candidate
{
	my ($leader) = @_;
	my $reached = $leader->safe_psql('SELECT pg_current_wal_lsn()');

	# Who has that is on this timeline, and will not connect again to get there.
	return HaCluster::wait_until(
		'a standby may take over',
		sub {
			my ($rc, $out) = $leader->psql(
				qq{SELECT application_name FROM pg_stat_replication r
				  JOIN pg_ha_members() m ON m.name = application_name
				  WHERE r.state = 'streaming' AND m.state = 'running'
				  AND r.flush_lsn >= '$reached'
				  AND (m.sync OR (SELECT synchronous_mode FROM pg_ha_status()) = 'off')
				  ORDER BY random() LIMIT 1}, timeout => 5);
			return $rc == 0 && $out ne '' ? $cluster->node($out) : undef;
		});
}

sub back_and_forth
{
	my ($mode) = @_;
	my $rounds = $ENV{HA_ROUNDS} ? 10 * $ENV{HA_ROUNDS} : ROUNDS;
	my $writer = $cluster->start_writer;
	my @gaps;

	foreach my $round (1 .. $rounds)
	{
		my $old = $cluster->wait_for_leader;
		my $target = wait_for_candidate($old);
		my $since = HaCluster::now();

		$writer->wait_for_acks(20, since => $since);
		my $asked = ask($target, "SELECT pg_ha_switchover('" . $target->name . "')");
		is( $asked,
			'switched over from "' . $old->name . '" to "' . $target->name . '"',
			"round $round");
		$writer->wait_for_acks(20, since => HaCluster::now(),
			port => $target->port);
		push @gaps, gap($writer, $since);
		ask($target, 'SELECT prepare_ms, hold_ms, freeze_ms, acquire_ms,'
			  . ' promote_ms, confirm_ms FROM pg_ha_last_failover()')
		  if $ENV{HA_ROUNDS};
	}
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	ok(!$_->log_contains(qr/to rewind|rewinding from|pg_rewind:/),
		$_->name . ' was not rewound')
	  foreach $cluster->nodes;
	$cluster->record_row(row => 49, mode => $mode, verdict => $verdict);
	@gaps = sort { $a <=> $b } @gaps;
	diag sprintf 'outage of a switchover, %s: median %.3f s, longest %.3f s',
	  $mode, $gaps[ $#gaps / 2 ], $gaps[-1];
	return;
}

# The longest time without an acknowledgement since then.
sub gap
{
	my ($writer, $since) = @_;
	my ($longest, $last) = (0, $since);

	foreach my $event (@{ $writer->events })
	{
		next if $event->{event} ne 'ok' || $event->{at} < $since;
		$longest = $event->{at} - $last if $event->{at} - $last > $longest;
		$last = $event->{at};
	}
	return $longest;
}

sub check_records
{
	my $leader = $cluster->wait_for_leader;
	my $timeline = $leader->timeline;

	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'the last change is known to ' . $node->name,
			sub {
				ask($node, 'SELECT kind, to_member FROM pg_ha_last_failover()
						WHERE term = (SELECT term FROM pg_ha_status())') eq
				  'switchover|' . $leader->name;
			});
		is( ask($node,
				'SELECT min(x) >= 0, count(x) FROM pg_ha_last_failover(),'
				  . ' unnest(ARRAY[prepare_ms, hold_ms, freeze_ms, acquire_ms,'
				  . ' promote_ms, confirm_ms]) x'),
			't|6',
			$node->name . ' knows how long each phase took');
		is( ask($node,
				'SELECT lost_bytes, started_at BETWEEN now() - interval '
				  . "'5 min' AND now() FROM pg_ha_last_failover()"),
			'0|t', 'and that nothing was lost');
		is( ask($node,
				'SELECT count(*), max(timeline) FROM pg_ha_history()'),
			($timeline - 1) . '|' . ($timeline - 1),
			$node->name . ' knows the timelines of before');
	}
	is( ask($leader, 'SELECT new_leader, at > now() - interval '
			  . "'5 min', reason FROM pg_ha_history() ORDER BY timeline DESC LIMIT 1"),
		$leader->name . '|t|no recovery target specified',
		'who led then, and since when');
	my $history = JSON::PP::decode_json($cluster->etcd_get('history'));
	is(scalar @{ $history->[-1] }, 5, '/history is as Patroni writes it');
	return;
}

sub check_best_candidate
{
	my $leader = $cluster->wait_for_leader;
	my ($preferred) = grep { $_ != $leader } $cluster->nodes;

	$preferred->add_settings("pg_ha.tags = 'failover_priority=2'");
	kill 'HUP', $preferred->boot_pid;
	HaCluster::wait_until(
		'its priority is known',
		sub {
			ask($leader, "SELECT tags FROM pg_ha_members() WHERE name = '"
				  . $preferred->name . "'") =~ /failover_priority=2/;
		});
	$cluster->wait_streaming(2);
	like(ask($preferred, 'SELECT pg_ha_switchover()'),
		qr/^switched over from "\w+" to "${\$preferred->name}"$/,
		'a switchover without a target lets the preferred one lead');
	$preferred->add_settings("pg_ha.tags = ''");
	kill 'HUP', $preferred->boot_pid;
	$cluster->wait_streaming(2);
	return;
}

sub failover_key
{
	return JSON::PP::decode_json($cluster->etcd_get('failover') // '{}');
}

sub check_schedule
{
	my $leader = $cluster->wait_for_leader;
	my ($target, $other) = grep { $_ != $leader } $cluster->nodes;
	my $name = $target->name;

	like(ask($other, "SELECT pg_ha_switchover('$name', now() + interval '1 hour')"),
		qr/^scheduled a switchover from "\w+" to "$name"$/, 'scheduled');
	like(failover_key()->{scheduled_at},
		qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/,
		'/failover has the time as Patroni writes it');
	like(ask($leader, 'SELECT pg_ha_switchover()'),
		qr/55006.*a switchover is scheduled already/, 'not twice');
	is(ask($other, 'SELECT pg_ha_cancel_switchover()'),
		'the scheduled switchover was canceled', 'taken back');
	is_deeply(failover_key(), {}, 'and gone from the store');
	like(ask($other, 'SELECT pg_ha_cancel_switchover()'),
		qr/no switchover is scheduled or in progress/, 'nothing is left to cancel');

	# One whose time has passed while nobody could act, as a leader finds it
	my $log = $leader->log_size;
	$cluster->etcd_put('failover', JSON::PP::encode_json({
				leader => $leader->name,
				member => $name,
				scheduled_at => '2026-01-02T03:04:05+01:00' }));
	HaCluster::wait_until('the leader has dropped it',
		sub { !keys %{ failover_key() } });
	ok($leader->log_contains(qr/clear_failover \(its time is past\)/, $log),
		'one that is too late is dropped, with a line in the log');
	$cluster->etcd_put('failover', '{"member":"n1","scheduled_at":"tomorrow"}');
	HaCluster::wait_until('a time that is none counts as malformed',
		sub { ask($leader, "SELECT ok FROM pg_ha_health() WHERE check_name = 'configuration'") eq 'f' });
	$cluster->etcd_put('failover', '{}');
	is($cluster->wait_for_leader->name, $leader->name, 'nobody else leads');

	my $before = time();
	ask($other, "SELECT pg_ha_switchover('$name', now() + interval '2 s')");
	is($cluster->wait_for_leader(other_than => $leader)->name,
		$name, 'at its time the other one leads');
	cmp_ok(time() - $before, '>=', 1, 'and not before');
	$cluster->wait_streaming(2);
	is_deeply(failover_key(), {}, 'the wish is gone');
	return;
}

sub check_refusals
{
	my $leader = $cluster->wait_for_leader;
	my ($standby, $other) = grep { $_ != $leader } $cluster->nodes;
	my $timeline = $leader->timeline;
	my $name = $standby->name;

	like(ask($other, "SELECT pg_ha_switchover('nobody')"),
		qr/42704.*has no member "nobody"/s, 'an unknown member');
	like(ask($other, "SELECT pg_ha_switchover('" . $leader->name . "')"),
		qr/22023.*is the leader already/s, 'the leader itself');
	like(ask($other, "SELECT pg_ha_switchover('$name', now() - interval '1 s')"),
		qr/22023.*the next 366 days only/s, 'a time in the past');
	like(ask($other, "SELECT pg_ha_failover('$name')"),
		qr/55000.*has leader "${\$leader->name}"/s, 'a failover beside a leader');
	like(ask($other, "SELECT pg_ha_failover('$name', 'nobody')"),
		qr/22023.*member "nobody" does not lead/s, '... or from somebody else');

	$standby->add_settings("pg_ha.tags = 'nofailover'");
	kill 'HUP', $standby->boot_pid;
	HaCluster::wait_until('it is known to be nofailover',
		sub { ask($other, "SELECT tags FROM pg_ha_members() WHERE name = '$name'") eq 'nofailover' });
	like(ask($other, "SELECT pg_ha_switchover('$name')"),
		qr/cannot lead: it is tagged nofailover/, 'one that is tagged');
	$standby->add_settings("pg_ha.tags = ''");
	kill 'HUP', $standby->boot_pid;

	$standby->stop;
	like(ask($other, "SELECT pg_ha_switchover('$name')"),
		qr/has no member|cannot lead: it is stopped/, 'one that is down');
	$standby->start;
	$cluster->wait_streaming(2);

	ask($leader, 'SELECT pg_ha_pause()');
	like(ask($other, 'SELECT pg_ha_switchover()'),
		qr/is paused.*needs a target/s, 'without a target in a pause');
	ask($leader, 'SELECT pg_ha_resume()');

	$cluster->cut_from_etcd($other, 'refuse');
	HaCluster::wait_until('it knows no more of etcd',
		sub { ask($other, 'SELECT dcs_age_ms > 3000 FROM pg_ha_status()') eq 't' });
	like(ask($other, "SELECT pg_ha_switchover('$name')"),
		qr/etcd is not reachable/, 'without etcd');
	$cluster->heal($other);
	$cluster->wait_streaming(2);

	is_deeply(failover_key(), {}, 'no wish was left behind');
	is($cluster->wait_for_leader->name, $leader->name, 'the leader has stayed');
	is($leader->timeline, $timeline, 'and its timeline');
	return;
}

# It streams no more, and nobody has noticed when the switchover is asked for.
sub check_frozen_candidate
{
	my $leader = $cluster->wait_for_leader;
	my ($target) = grep { $_ != $leader } $cluster->nodes;
	my $timeline = $leader->timeline;
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(50);
	$target->freeze_node;
	my $since = HaCluster::now();
	my $asked = ask($leader, "SELECT pg_ha_switchover('" . $target->name . "')");
	like($asked,
		qr/leader "\w+" refuses: the candidate (does not confirm WAL|lags too far behind|does not stream from here|is not running)/,
		'it is refused with the reason');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$target->thaw;
	is($cluster->wait_for_leader->name, $leader->name, 'the leader leads on');
	is($leader->timeline, $timeline, 'on its timeline');
	cmp_ok(gap($writer, $since), '<', 2, 'commits went on');
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost} + $verdict->{phantoms}, 0, 'nothing is lost');
	is($verdict->{failed}, 0, 'no client saw an error');
	return;
}

# Its server streams, but its worker stands still when the key is there to be taken.
sub check_key_comes_back
{
	my $leader = $cluster->wait_for_leader;
	my ($target) = grep { $_ != $leader } $cluster->nodes;
	my $timeline = $leader->timeline;
	my $log = $leader->log_size;
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(50);
	my $frozen = $target->worker_pid;
	kill 'STOP', $frozen;
	my ($other) = grep { $_ != $leader && $_ != $target } $cluster->nodes;
	ask($other, "SELECT pg_ha_switchover('" . $target->name . "', wait => false)");
	HaCluster::wait_until('the key was handed over',
		sub { $leader->log_contains(qr/has handed the leader key over/, $log) });
	HaCluster::wait_until('and was taken back',
		sub { $leader->log_contains(qr/leads cluster "\w+" in term/, $log) });
	HaCluster::wait_until('the wish is gone', sub { !keys %{ failover_key() } });
	like($cluster->etcd_get('pg_ha/refused'),
		qr/the candidate did not take the leader key/, 'which is told');
	kill 'CONT', $frozen;
	$writer->wait_for_acks(50, since => HaCluster::now());
	is($cluster->wait_for_leader->name, $leader->name, 'the leader leads on');
	is($leader->timeline, $timeline, 'on its timeline');
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost} + $verdict->{phantoms}, 0, 'nothing is lost');
	is($verdict->{failed}, 0, 'commits have waited');
	return;
}

sub check_failover
{
	my $leader = $cluster->wait_for_leader;
	my ($target, $other) = grep { $_ != $leader } $cluster->nodes;
	my $name = $target->name;

	ask($leader, 'SELECT pg_ha_pause()');
	$leader->kill_node;
	HaCluster::wait_until('the leader key is gone',
		sub { ask($other, 'SELECT leader IS NULL FROM pg_ha_status()') eq 't' });
	like(ask($other, 'SELECT verb, why FROM pg_ha_status()'),
		qr/no leader, but the cluster is paused/, 'nobody leads in a pause');
	like(ask($other, "SELECT pg_ha_switchover('$name')"),
		qr/has no leader to switch over from.*pg_ha_failover/s,
		'there is nobody to switch over from');
	is(ask($other, "SELECT pg_ha_failover('$name')"),
		'failed over from "' . $leader->name . "\" to \"$name\"",
		'whom an operator names leads');
	is($cluster->wait_for_leader(other_than => $leader)->name,
		$name, 'and acknowledges commits');
	ask($other, 'SELECT pg_ha_resume(false)');
	$leader->start;
	$cluster->wait_streaming(2);
	is(ask($other, 'SELECT kind, to_member FROM pg_ha_last_failover()'),
		"failover|$name", 'it is told as a failover');
	return;
}

sub check_sync_refusal
{
	my $leader = $cluster->wait_for_leader;
	my %listed = map { $_ => 1 } $cluster->sync_standbys($leader);
	my ($other) = grep { $_ != $leader && !$listed{ $_->name } } $cluster->nodes;

	like(ask($leader, "SELECT pg_ha_switchover('" . $other->name . "')"),
		qr/cannot lead: it is no synchronous standby/, 'refused at once');
	$cluster->etcd_put('failover', JSON::PP::encode_json({
				leader => $leader->name, member => $other->name }));
	HaCluster::wait_until('the leader refuses what was put straight into etcd',
		sub { !keys %{ failover_key() } });
	like($cluster->etcd_get('pg_ha/refused'),
		qr/the candidate is no synchronous standby/, 'and says why');
	is($cluster->wait_for_leader->name, $leader->name, 'the leader has stayed');
	return;
}
