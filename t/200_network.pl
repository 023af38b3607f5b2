#
# Each node and etcd on a host of its own, and the network between them fails: in one
# direction or both, towards etcd, the standbys or both, for long or again and again.
# Clients reach the primary all the time, so it is they who see whether it goes on
# acknowledging: nothing is acknowledged after the lease, nothing acknowledged is lost
# in synchronous mode, and what is shorter than the lease changes no leader.
#
# Rows are those of the fault matrix in docs/testing.md.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaRoot hosts => [qw(etcd n1 n2 n3)];
use HaCluster;
use HaFault;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(usleep);

my $net = $HaRoot::machine;

seed_random();

# Who streams and who must confirm is what walsenders say, and one whose standby has
# fallen silent says "streaming" until wal_sender_timeout is over.  That is a minute, if
# nobody has set it; so long do commits wait when only the link between the leader and
# its synchronous standby is cut (row 17).  The leader does not see it earlier: the
# standby's member key is fresh, and no news from a standby may also mean that it has
# nothing to say.
my $cluster = HaCluster->new(
	nodes => 3,
	machine => $net,
	settings => 'wal_sender_timeout = 3s');
my $ttl = $cluster->ttl;
my $leader;						# of the round that runs

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	row(18, 'primary cut from everything but clients', 'async',
		sub { $net->cut($leader->name, 'etcd', standbys()) });
	row(19, 'what etcd sends does not reach the primary', 'sync',
		sub { $net->cut_one_way('etcd', $leader->name) });

	calm_row(20, 'the network forgets all connections to etcd', 'async',
		sub { $net->forget_connections($_->name, 'etcd') foreach $cluster->nodes },
		sub { is_proven($cluster, 7) });			# more than a lease
	calm_row(23, 'the link to etcd flaps at 1 Hz', 'async',
		sub { flap(2 * $ttl, 0.5, 0.5) });
	expect_from_primary('3s');
	calm_row(17, 'L2, primary cut from its standbys only', 'sync',
		sub { $net->cut($leader->name, standbys()) }, \&writes_alone);
	expect_from_primary('1min');

	other_row(23, 'the link to etcd is up just now and then', 'async', \&row_23);
	other_row(22, 'standbys lag behind a slow link', 'async', \&row_22);
	other_row(24, 'a standby is cut from etcd and streams', 'sync', \&row_24);
}
done_testing();

# The cluster with the network healed, in this mode; sets $leader.
sub prepare
{
	my ($mode) = @_;

	$net->heal;
	$cluster->configure(
		{
			synchronous_mode => $mode eq 'sync' ? JSON::PP::true : JSON::PP::false
		});
	$leader = $cluster->wait_for_leader;
	return;
}

sub standbys
{
	return map { $_->name } grep { $_ != $leader } $cluster->nodes;
}

# A fault after which another node leads
sub row
{
	my ($row, $name, $mode, $fault) = @_;

	prepare($mode);
	subtest "row $row: $name ($mode)" => sub {
		HaFault::run_round(
			$cluster, $mode,
			{
				row => $row,
				fault => $fault,
				heal => \&heal,
				check => \&check_deadline,

				# What is written until the lease ends is lost without
				# synchronous replication: so not too much
				writer => { pause => 20 },
			},
			1);
	};
	return;
}

# One that changes no leader; "over" waits until it has shown what it can do.
sub calm_row
{
	my ($row, $name, $mode, $fault, $over) = @_;

	prepare($mode);
	my $boots = join ' ', map { $_->postmaster_pid } $cluster->nodes;
	subtest "row $row: $name ($mode)" => sub {
		HaFault::run_round(
			$cluster, $mode,
			{
				row => $row,
				fault => $fault,
				over => $over // sub { 1 },
				heal => \&heal,
				same_timeline => [$mode],
				nothing_lost => [$mode],
				check => sub {
					is($cluster->wait_for_leader->name,
						$leader->name, 'the leader is the same');
					is(join(' ', map { $_->postmaster_pid } $cluster->nodes),
						$boots, 'no server was restarted');
				},
			},
			1);
	};
	return;
}

sub other_row
{
	my ($row, $name, $mode, $test) = @_;

	prepare($mode);
	subtest "row $row: $name ($mode)" => sub {
		$cluster->wait_streaming(2);
		$cluster->record_row(row => $row, mode => $mode, $test->());
	};
	return;
}

sub heal
{
	cmp_ok($net->dropped, '>', 0, 'the network has dropped something');
	$net->heal;
	return;
}

# From the clients' side.  The last proof may have come while the fault was being made.
sub check_deadline
{
	my ($round) = @_;
	my $end = $round->{in_force_at} + $ttl;
	my @late = grep {
		$_->{port} == $leader->port && $_->{earliest} > $end
	} grep { $_->{event} eq 'ok' } @{ $round->{writer}->events };

	is(join("\n", map { $_->{line} } @late),
		'', 'the old primary acknowledged nothing after its lease');
	return;
}

# A standby notices when nothing has come for so long.
sub expect_from_primary
{
	my ($timeout) = @_;

	foreach my $node ($cluster->nodes)
	{
		$node->add_settings("wal_receiver_timeout = $timeout");
		kill 'HUP', $node->boot_pid;
		HaCluster::wait_until('that is known',
			sub { $node->safe_psql('SHOW wal_receiver_timeout') eq $timeout });
	}
	return;
}

# For five TTLs: commits wait for nobody any more, and the lease is still there.
sub writes_alone
{
	my ($round) = @_;
	my $cut_for = HaCluster::now() - $round->{struck_at};

	return if $cut_for < 5 * $ttl
	  || $round->{writer}->acks(since => HaCluster::now() - 0.5) == 0;
	return !grep {
		$_->safe_psql(q{SELECT ok FROM pg_ha_health()
			WHERE check_name = 'replication'}) ne 'f'
	} grep { $_ != $leader } $cluster->nodes;
}

# So many times the link between the leader and etcd is down, then up.
sub flap
{
	my ($times, $down, $up) = @_;

	for (1 .. $times)
	{
		$net->cut($leader->name, 'etcd');
		usleep(1e6 * $down);
		HaCluster::wait_until('something is dropped', sub { $net->dropped });
		$net->heal;
		usleep(1e6 * $up);
	}
	$net->cut($leader->name, 'etcd');
	HaCluster::wait_until('something is dropped', sub { $net->dropped });
	return;
}

# Too little to keep the lease now and then, enough to take it back: leaders may
# change, but not all the time.
sub row_23
{
	my $changes = leaders();
	my $writer = $cluster->start_writer(roam => 1_000, readers => 2);
	my $begin = HaCluster::now();

	flap(3, 1 + rand($ttl), 0.2 + rand(0.5));
	$net->heal;
	my $took = HaCluster::now() - $begin;
	my $rejoin = $cluster->wait_streaming(2);
	$writer->wait_for_acks(100, since => HaCluster::now());
	$changes = leaders() - $changes;
	cmp_ok($changes, '<=', 1 + $took / (2 * $ttl),
		sprintf '%d leader changes in %.0f s', $changes, $took);

	return (
		rejoin => $rejoin,
		verdict => promises_kept($cluster, $writer, lossy => 1));
}

# How many times one who had not led before was put there
sub leaders
{
	my ($count, $last) = (0, '');

	foreach my $event ($cluster->etcd_events('leader'))
	{
		next if $event->[0] ne 'PUT' || $event->[1] eq $last;
		$last = $event->[1];
		$count++;
	}
	return $count;
}

# Whoever lags by more than maximum_lag_on_failover never leads.
sub row_22
{
	my @standbys = grep { $_ != $leader } $cluster->nodes;

	$net->slow_down($leader->name, $_->name, '20 kbytes/second') foreach @standbys;
	$leader->safe_psql('CREATE TABLE big AS
		SELECT repeat(md5(g::text), 30) AS t FROM generate_series(1, 8000) g');
	my $end = $leader->safe_psql('SELECT pg_current_wal_lsn()');
	HaCluster::wait_until(
		'the store knows how far the leader is',
		sub {
			my $status = $cluster->etcd_get('status') // return;
			my $lsn = JSON::PP::decode_json($status)->{optime} // 0;
			return $leader->safe_psql("SELECT '0/0'::pg_lsn + $lsn >= '$end'") eq 't';
		});
	cmp_ok(
		$_->safe_psql("SELECT pg_wal_lsn_diff('$end', pg_last_wal_receive_lsn())"),
		'>', 2 * HaFault::MAXIMUM_LAG,
		$_->name . ' lags') foreach @standbys;

	my $before = leaders();
	$leader->kill_node;
	HaCluster::wait_until('the key is gone',
		sub { !defined $cluster->etcd_get('leader') });
	$net->heal;
	HaCluster::wait_until(
		'both have decided',
		sub { 2 == grep { $_->status(q{coalesce(why ~ 'lags', false)}) eq 't' } @standbys });

	# Whoever wanted to lead nevertheless would have by now.
	my $decided = HaCluster::now();
	HaCluster::wait_until('nobody leads for a lease more',
		sub {
			die 'somebody leads' if defined $cluster->etcd_get('leader');
			return HaCluster::now() > $decided + $ttl;
		});
	is(leaders(), $before, 'nobody who lags has led');

	$leader->start;
	is($cluster->wait_for_leader->name, $leader->name, 'the old leader does');
	is($leader->safe_psql('SELECT count(*) FROM big'), 8000, 'and has it all');
	$leader->safe_psql('DROP TABLE big');
	return (rejoin => $cluster->wait_streaming(2));
}

# It confirms commits, but can't lead: so the leader shall rely on the other.
sub row_24
{
	my ($cut) = map { $cluster->node($_) } $cluster->sync_standbys($leader);
	my ($other) = grep { $_ != $leader && $_ != $cut } $cluster->nodes;
	my $writer = $cluster->start_writer(roam => 1_000, readers => 2);

	$writer->wait_for_acks(100);
	$net->cut($cut->name, 'etcd');
	HaCluster::wait_until('its key is gone',
		sub { !defined $cluster->etcd_get('members/' . $cut->name) });
	HaCluster::wait_until(
		'/sync has the other one instead',
		sub { "@{[ $cluster->sync_standbys($leader) ]}" eq $other->name });
	is( $leader->safe_psql(
			"SELECT state FROM pg_stat_replication
			 WHERE application_name = '@{[ $cut->name ]}'"),
		'streaming',
		'the one without etcd streams on');
	cmp_ok($net->dropped, '>', 0, 'the network has dropped something');

	$leader->kill_node;
	is($cluster->wait_for_leader(other_than => $leader)->name,
		$other->name, 'the one that reaches etcd leads');
	$writer->wait_for_acks(100, since => HaCluster::now());
	$net->heal;
	$leader->start;
	my $rejoin = $cluster->wait_streaming(2);
	return (rejoin => $rejoin, verdict => promises_kept($cluster, $writer));
}
