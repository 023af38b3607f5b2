#!/usr/bin/perl
#
# Part of etcd is away: whatever one member of three does, killed, frozen, cut off,
# slow or with a stalled disk, nobody else comes to lead and nothing is restarted.
# Without a majority everybody is fenced, and writes resume with it.  A member whose
# disk stalls and which therefore goes on renewing leases that are long over deceives
# nobody.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HaRow;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

seed_random();
my ($cluster, %stalled);

rounds(
	sub {
		start_cluster(nodes => 3);
		subtest 'no majority of etcd' => \&no_majority;
		subtest 'a stalled disk in etcd' => \&stalled_disk;
		subtest 'partial outages of etcd change no leader' => \&partial_outages;
		$cluster->end;

		# A renewal may take a quarter of the TTL
		start_cluster(nodes => 2, config => { ttl => 10, loop_wait => 2, retry_timeout => 4 });
		subtest 'L2: an outage of less than retry_timeout changes no leader' =>
		  \&short_outage;
		subtest 'late answers of etcd change no leader' => \&late_answers;
		$cluster->end;
	});

sub start_cluster
{
	my (%args) = @_;

	$cluster = HaCluster->new(
		nodes => $args{nodes},
		etcd => 3,
		config => { synchronous_mode => JSON::PP::true, %{ $args{config} // {} } });
	$cluster->start_all;
	$cluster->wait_for_leader;
	return;
}

sub no_majority
{
	row(
		$cluster,
		26, 'K-b, two of three members of etcd are killed, one comes back',
		calm => 1,
		fault => \&lose_quorum,
		heal => sub { $cluster->etcd_start; });
	return;
}

sub partial_outages
{
	row(
		$cluster,
		25, 'L2, one of three is killed, the leader of etcd',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$round->{member} = lead_where_the_leader_asks($round);
			$cluster->etcd_kill($round->{member});
			wait_for_proofs($round->{leader}, 3);
		},
		heal => sub { $cluster->etcd_start($_[0]->{member}); });

	row(
		$cluster,
		25, 'one of three is killed, another than the leader of etcd',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			my $asked = asked_by($round->{leader});
			$cluster->etcd_lead($asked % 3 + 1);
			$round->{member} = $asked;
			$cluster->etcd_kill($asked);
			wait_for_proofs($round->{leader}, 3);
		},
		heal => sub { $cluster->etcd_start($_[0]->{member}); });

	row(
		$cluster,
		27, 'one of three is frozen, the leader of etcd',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$round->{member} = lead_where_the_leader_asks($round);
			$cluster->etcd_pause($round->{member});
			wait_for_proofs($round->{leader}, 3);
		},
		heal => sub { $cluster->etcd_resume; });

	row(
		$cluster,
		20, 'the endpoint that the leader uses is a black hole',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$cluster->cut_from_etcd($round->{leader}, 'blackhole',
				asked_by($round->{leader}));
			wait_for_proofs($round->{leader}, 3);
		},
		heal => sub { $cluster->heal($_[0]->{leader}); });

	row(
		$cluster,
		23, 'the link to the endpoint that the leader uses flaps',
		calm => 1,
		fault => \&flap,
		heal => sub { $cluster->heal($_[0]->{leader}); });
	return;
}

# No commit fails, and no session notices.
sub short_outage
{
	my $leader = $cluster->wait_for_leader;
	my $timeline = $leader->timeline;
	my $writer = $cluster->start_writer(on => $leader, patience => 60_000);
	my $outage = $cluster->{config}{retry_timeout} - 1;

	cmp_ok(
		$leader->safe_psql(
			'SELECT tolerated_dcs_outage_seconds FROM pg_ha_timing()'),
		'>=', $outage + 1, 'so it says itself');
	foreach my $way (
		[ sub { $cluster->etcd_pause }, sub { $cluster->etcd_resume } ],
		[ sub { $cluster->etcd_kill }, sub { $cluster->etcd_start } ])
	{
		my ($fault, $heal) = @$way;

		$writer->wait_for_acks(50, since => HaCluster::now());
		wait_for_proofs($leader, 1);
		my $end = HaCluster::now() + $outage;
		$fault->();
		HaCluster::wait_until('that is over', sub { HaCluster::now() > $end });
		$heal->();
		wait_for_proofs($leader, 2);
	}
	my @failed = grep { $_->{event} =~ /^(?:fail|unknown)$/ } @{ $writer->events };
	is(join("\n", map { $_->{line} } @failed), '', 'no commit failed');
	is($cluster->wait_for_leader->name, $leader->name, 'the leader is the same');
	is($leader->timeline, $timeline, 'nobody was promoted');
	promises_kept($cluster, $writer);
	return;
}

sub late_answers
{
	row(
		$cluster,
		21, 'the endpoint that the leader uses has a latency of 2 s',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$cluster->cut_from_etcd($round->{leader}, 'delay',
				asked_by($round->{leader}));
			wait_for_proofs($round->{leader}, 3);
			no_gap($round);
		},
		heal => sub { $cluster->heal($_[0]->{leader}); });

	row(
		$cluster,
		21, 'every endpoint has a latency of 2 s, for every node',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$cluster->cut_from_etcd($_, 'delay') foreach $cluster->nodes;
			wait_for_proofs($round->{leader}, 3);
			no_gap($round);
		},
		heal => sub { $cluster->heal($_) foreach $cluster->nodes; });
	return;
}

sub stalled_disk
{
	my $why = strace_is_unusable();
	plan skip_all => $why if $why;

	row(
		$cluster,
		28, 'the disk of the leader of etcd stalls',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			stall_disk(lead_where_the_leader_asks($round));
			wait_for_proofs($round->{leader}, 3);
		},
		heal => \&end_stalls);

	row(
		$cluster,
		28, 'and the leader reaches no other member of etcd',
		over => sub {
			my ($round) = @_;
			my $now = $cluster->leader or return;
			return $now != $round->{leader};
		},
		fault => sub {
			my ($round) = @_;
			$round->{member} = lead_where_the_leader_asks($round);
			$cluster->cut_from_etcd($round->{leader}, 'blackhole',
				grep { $_ != $round->{member} } 1 .. 3);
			my ($rc, $out) =
			  $cluster->etcdctl('get', $cluster->key('leader'), '-w', 'json');
			$round->{lease} = sprintf '%x',
			  JSON::PP::decode_json($out)->{kvs}[0]{lease};
			stall_disk($round->{member});
			$round->{stalled_at} = HaCluster::now();
		},
		heal => sub {
			my ($round) = @_;
			tell_stale_renewal($round);
			end_stalls();
			$cluster->heal($round->{leader});
		},
		check => \&check_stalled);
	return;
}

# ---------------------------------------------------------------------------

# Which member of etcd does the worker of that node talk to?
sub asked_by
{
	my ($node) = @_;
	return HaCluster::wait_until('the worker talks to etcd',
		sub { $node->etcd_in_use($node->worker_pid) });
}

sub lead_where_the_leader_asks
{
	my ($round) = @_;
	my $number = asked_by($round->{leader});

	$cluster->etcd_lead($number);
	return $number;
}

sub no_gap
{
	my ($round) = @_;

	cmp_ok($round->{writer}->outage, '<', $cluster->ttl,
		'writing went on meanwhile');
	return;
}

# The leader of etcd stays, alone.  It goes on answering keepalives for a while.
sub lose_quorum
{
	my ($round) = @_;
	my $stays = lead_where_the_leader_asks($round);
	my @gone = grep { $_ != $stays } 1 .. 3;
	my @readers = map { $_->session } $cluster->nodes;

	$cluster->etcd_kill(@gone);
	my $gone_at = HaCluster::now();
	expect_fenced($round->{leader});
	expect_25006($round->{leader});
	HaCluster::wait_until(
		'pg_ha_quorum() says that one of three is there, and two are needed',
		sub {
			$round->{leader}->safe_psql('SELECT etcd_members, voters_healthy, needed,
					can_lose FROM pg_ha_quorum()') eq '3|1|2|0';
		});
	is( $round->{leader}->safe_psql(
			"SELECT count(*) FROM pg_ha_dcs() WHERE state = 'no quorum'"),
		1, 'and pg_ha_dcs() what is wrong with that one');
	foreach my $reader (@readers)
	{
		my ($ok) = $reader->query('SELECT count(*) FROM acked');
		is($ok, 1, 'a session that reads lives');
	}

	my $back_at = HaCluster::now();
	$cluster->etcd_start($gone[0]);
	$round->{writer}->wait_for_acks(50, since => $back_at);
	my ($first) = grep { $_->{at} > $back_at } $round->{writer}->acks;
	diag sprintf 'writes resumed %.3f s after a majority was started',
	  $first->{at} - $back_at;
	is(acks_between($round, $gone_at + $cluster->ttl, $back_at),
		0, 'nothing was acknowledged after the deadline');
	$_->quit foreach @readers;
	return;
}

sub flap
{
	my ($round) = @_;

	# how long it is down, and up, is what the fault is
	foreach (1 .. 6)
	{
		my $number = asked_by($round->{leader});

		$cluster->cut_from_etcd($round->{leader}, 'refuse', $number);
		usleep(500_000);
		$cluster->heal($round->{leader});
		usleep(500_000);
	}
	no_gap($round);
	return;
}

# May this user trace a process that is no child of the tracer?
sub strace_is_unusable
{
	my ($rc) = eval { HaCluster::capture(10, 'strace', '--version') };
	return 'strace is not installed' if !defined $rc || $rc != 0;
	return eval { stall_disk(1); end_stalls(); 1 } ? '' : "strace can't attach";
}

# Only the log of etcd's raft stalls: with the database stalled as well, the member
# mostly answers nothing any more, which deceives nobody.
sub stall_disk
{
	my ($number) = @_;
	my $pid = $cluster->etcd_pid($number);
	my $log = "$cluster->{log_prefix}_strace.log";
	my @wal = glob "$cluster->{etcds}[ $number - 1 ]{dir}/member/wal/*.wal";

	unlink $log;
	$stalled{$number} = HaCluster::spawn(
		$log, 'strace', '-f', '-p' => $pid,
		(map { ('-P' => $_) } @wal),
		'-e' => 'trace=fsync,fdatasync',
		'-e' => 'inject=fsync,fdatasync:delay_enter=60000000');
	HaCluster::wait_until("strace is attached to etcd $number",
		sub {
			die 'strace has ended: ' . slurp_file($log)
			  if HaCluster::has_ended($stalled{$number});
			return slurp_file($log) =~ /attached/;
		});
	return;
}

sub end_stalls
{
	foreach my $number (keys %stalled)
	{
		kill 'TERM', $stalled{$number};
		waitpid $stalled{$number}, 0;
	}
	%stalled = ();
	return;
}

# Does the stalled member renew the lease that is over?  Mostly it does.
sub tell_stale_renewal
{
	my ($round) = @_;
	my ($rc, $out) = $cluster->etcdctl_at($round->{member}, 'lease',
		'keep-alive', '--once', $round->{lease}, '--command-timeout=2s');

	diag 'the stalled member '
	  . ($rc == 0 && $out =~ /keepalived/ ? 'renews' : 'does not renew')
	  . ' the lease of the former leader';
	return;
}

sub check_stalled
{
	my ($round) = @_;
	my $port = $round->{leader}->port;
	my @late =
	  grep { $_->{port} == $port }
	  acks_between($round, $round->{stalled_at} + $cluster->ttl,
		$round->{stalled_at} + 60);

	# It rejoins as a standby, so it acknowledges nothing any more.
	is(scalar @late, 0, 'the former leader acknowledged nothing after its deadline');
	return;
}
