#
# /metrics: what a dashboard made for Patroni asks for is there, by its names and with its
# labels, and so is what pg_ha tells besides; the values are those of SQL; every name in
# our own dashboard and alerts is one that is told.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my @patroni = qw(version postgres_running postmaster_start_time primary xlog_location
  standby_leader replica sync_standby quorum_standby xlog_received_location
  xlog_replayed_location xlog_replayed_timestamp xlog_paused postgres_streaming
  postgres_in_archive_recovery postgres_server_version cluster_unlocked
  failsafe_mode_is_active failsafe_mode_enabled postgres_timeline dcs_last_seen
  pending_restart is_paused postgres_state failover_priority);

my $cluster = HaCluster->new(nodes => 2);
my ($n1, $n2) = $cluster->nodes;

my $leader = $cluster->start_led_by('n1');

subtest 'the form' => \&form;
subtest 'a leader' => \&a_leader;
subtest 'a standby' => \&a_standby;
subtest 'the last failover' => \&last_failover;
subtest 'the lease' => \&lease;
subtest 'without a server' => \&without_server;
subtest 'the dashboard and the alerts' => \&dashboard;
done_testing();

# By name, or by "name phase"
sub metrics
{
	my ($node) = @_;
	my (undef, $text) = $node->rest('/metrics');
	my %value;

	foreach (split /\n/, $text)
	{
		$value{ defined $2 ? "$1 $2" : $1 } = $3
		  if /^(\w+)\{[^}]*?(?:phase="(\w+)")?\} (\S+)$/;
	}
	return \%value;
}

sub form
{
	my ($status, $text, $headers) = $n1->http('GET', '/metrics');
	my %seen;

	is($status, 200, 'GET');
	like($headers->{'content-type'}, qr{^text/plain}, 'as text');
	foreach (split /\n/, $text)
	{
		if (/^# (HELP|TYPE) (\w+) (.+)$/)
		{
			is($seen{"$1 $2"}++, 0, "$1 $2 once");
			like($3, qr/^(counter|gauge)$/, "a type") if $1 eq 'TYPE';
		}
		elsif (/^(\w+)\{scope="$cluster->{scope}",name="n1"(,phase="\w+")?\} (-?\d+(\.\d+)?)$/)
		{
			ok($seen{"TYPE $1"} && $seen{"HELP $1"}, "$1 was introduced");
		}
		else
		{
			fail("a line of no known form: $_");
		}
	}
	my $metrics = metrics($n1);
	ok(exists $metrics->{"patroni_$_"}, "patroni_$_") foreach @patroni;
	return;
}

sub a_leader
{
	my $m = metrics($n1);
	my $started = $n1->safe_psql('SELECT extract(epoch FROM pg_postmaster_start_time())');

	is($m->{patroni_postmaster_start_time}, $started, 'when the server began');
	is(join(' ', @$m{map { "patroni_$_" } qw(postgres_running primary replica standby_leader
				  cluster_unlocked is_paused pending_restart postgres_state)}),
		'1 1 0 0 0 0 0 5', 'what it is');
	is($m->{patroni_postgres_server_version},
		$n1->safe_psql('SHOW server_version_num'), 'its version');
	is($m->{patroni_postgres_timeline}, $n1->timeline, 'its timeline');
	HaCluster::wait_until('its position is that of SQL', sub {
			my $lsn = $n1->safe_psql("SELECT pg_current_wal_flush_lsn() - '0/0'");
			metrics($n1)->{patroni_xlog_location} == $lsn;
		});
	is($m->{patroni_xlog_replayed_location}, 0, 'and of no standby');
	$cluster->configure({ pause => JSON::PP::true });
	HaCluster::wait_until('a pause is told', sub { metrics($n1)->{patroni_is_paused} == 1 });
	$cluster->configure({ pause => JSON::PP::false });
	HaCluster::wait_until('and its end', sub { metrics($n1)->{patroni_is_paused} == 0 });
	return;
}

sub a_standby
{
	my $m = metrics($n2);

	is(join(' ', @$m{map { "patroni_$_" } qw(postgres_running primary replica sync_standby
				  postgres_streaming xlog_paused xlog_location)}),
		'1 0 1 0 1 0 0', 'what it is');
	HaCluster::wait_until('its position is that of SQL', sub {
			my $lsn = $n2->safe_psql("SELECT pg_last_wal_replay_lsn() - '0/0'");
			metrics($n2)->{patroni_xlog_replayed_location} == $lsn;
		});
	ok(exists $m->{pg_ha_replay_lag_bytes}, 'its lag');
	is($m->{pg_ha_members}, 2, 'how many members there are');
	$cluster->configure({ synchronous_mode => JSON::PP::true });
	HaCluster::wait_until('it is synchronous',
		sub { metrics($n2)->{patroni_sync_standby} == 1 });
	$cluster->configure({ synchronous_mode => JSON::PP::false });
	HaCluster::wait_until('no more', sub { metrics($n2)->{patroni_sync_standby} == 0 });
	return;
}

sub last_failover
{
	ok(!exists metrics($n1)->{pg_ha_last_failover_planned}, 'there was none');
	$n2->safe_psql(q{SELECT pg_ha_switchover('n2')});
	HaCluster::wait_until('it is told',
		sub { exists metrics($n2)->{pg_ha_last_failover_planned} });
	my $m = metrics($n2);
	my @phases = qw(hold freeze acquire promote confirm);
	my $of_sql = $n2->safe_psql('SELECT ' . join(', ', map { "${_}_ms" } @phases)
		  . ' FROM pg_ha_last_failover()');
	is(join('|', map { sprintf '%.0f', 1000 * $m->{"pg_ha_last_failover_phase_seconds $_"} }
			  @phases),
		$of_sql, 'its phases are those of SQL');
	is("$m->{pg_ha_last_failover_planned} $m->{pg_ha_last_failover_lost_bytes}", '1 0',
		'it was planned, and lost nothing');
	cmp_ok(abs($m->{pg_ha_last_failover_timestamp_seconds} - time), '<', 60, 'just now');
	$cluster->wait_streaming(1);
	return;
}

sub lease
{
	my $m = metrics($n2);

	cmp_ok($m->{pg_ha_deadline_left_seconds}, '>', 0, 'the leader may acknowledge');
	cmp_ok($m->{pg_ha_deadline_left_seconds}, '<=', 3, 'for a TTL at most');
	is(metrics($n1)->{pg_ha_deadline_left_seconds}, '0.000', 'a standby may not');
	is($m->{pg_ha_ttl_seconds}, '3.000', 'the TTL');
	cmp_ok($m->{pg_ha_renewals_total}, '>', 0, 'proofs were made');
	cmp_ok($m->{pg_ha_renewal_worst_seconds}, '>=', $m->{pg_ha_renewal_seconds},
		'and took their time');
	is($m->{pg_ha_fence_refused_total}, 0, 'nothing was refused');

	$cluster->cut_from_etcd($n2, 'blackhole');
	HaCluster::wait_until('the lease is over',
		sub { metrics($n2)->{pg_ha_deadline_left_seconds} == 0 });
	is(metrics($n2)->{patroni_primary}, 0, 'it is no leader');
	my ($rc, undef, $err) =
	  $n2->psql(q{SET pg_ha.fence_wait = '100ms'; INSERT INTO acked VALUES (0, 0)});
	like($err, qr/25006/, 'a statement is refused');
	HaCluster::wait_until('and counted',
		sub { metrics($n2)->{pg_ha_fence_refused_total} == 1 });
	$cluster->heal($n2);
	HaCluster::wait_until('somebody leads', sub { $cluster->leader });
	return;
}

sub without_server
{
	my $node = $cluster->wait_for_leader;
	my ($other) = grep { $_ != $node } $cluster->nodes;

	$other->stop;
	$other->add_settings("shared_preload_libraries = 'pg_ha, there_is_no_such_thing'");
	$other->start;
	HaCluster::wait_until('its server does not start',
		sub { (metrics($other)->{patroni_postgres_state} // 0) == 8 });
	my $m = metrics($other);
	is("$m->{patroni_postgres_running} $m->{patroni_primary} $m->{patroni_replica}",
		'0 0 0', 'nothing runs');
	is($m->{patroni_postmaster_start_time}, '0.000000', 'nothing has been started');
	is(metrics($node)->{patroni_primary}, 1, 'the other one leads');
	return;
}

# Whatever they ask for is told by somebody.
sub dashboard
{
	my $contrib = "$FindBin::RealBin/../contrib";
	my $json = decode_json(slurp_file("$contrib/grafana.json"));
	my $text = join "\n", slurp_file("$contrib/prometheus-alerts.yml"),
	  map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $json->{panels} };
	my (undef, $told) = $cluster->leader->rest('/metrics');
	my %names = map { $_ => 1 } $text =~ /\b((?:patroni|pg_ha)_[a-z_]+)\b(?!\()/g;

	cmp_ok(scalar keys %names, '>', 15, 'they ask for something');
	foreach my $name (sort keys %names)
	{
		next if $name eq 'pg_ha_replay_lag_bytes';	# standbys tell it
		like($told, qr/^$name\{/m, $name);
	}
	return;
}
