#!/usr/bin/perl
#
# What etcd holds goes wrong: it is full, its history is compacted, the leader key is
# deleted, overwritten or filled with nonsense, its lease is revoked, and all of it is
# replaced by an older state or by another cluster.  Nobody crashes, no two nodes
# acknowledge at a time, nothing is lost, and a store that has gone back in time is not
# believed.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Path qw(rmtree);
use HaCluster;
use HaFault;
use HaRow;
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	etcd_args => [ '--quota-backend-bytes' => 4 * 1024 * 1024 ],
	config => { synchronous_mode => JSON::PP::true });

$cluster->start_all;
$cluster->wait_for_leader;
rounds(\&rows);

sub rows
{
	row(
		$cluster, 29,
		'etcd is full',
		calm => 1,
		fault => \&fill_etcd,
		heal => \&empty_etcd);

	row(
		$cluster, 30,
		'history is compacted while a standby is cut off',
		calm => 1,
		fault => \&compact_behind_standby);

	row(
		$cluster, 30,
		'history is compacted while the leader key is gone',
		fault => \&compact_while_key_is_gone,
		check => sub {
			my ($round) = @_;
			cmp_ok($cluster->wait_for_leader->timeline,
				'>', $round->{timeline}, 'somebody was promoted');
		});

	row(
		$cluster, 31,
		'the leader key is deleted',
		calm => 1,
		fault => sub { $cluster->etcd_delete('leader'); });

	row(
		$cluster, 31,
		'the leader key is put anew without a lease',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			$cluster->etcd_put('leader', $round->{leader}->name);
			HaCluster::wait_until('the key has a lease again',
				sub { leader_lease() });
		});

	row(
		$cluster, 31,
		'another name, then nonsense stands in the leader key, without a lease',
		fault => \&occupy_key);

	row(
		$cluster, 32,
		'the lease of the leader is revoked',
		calm => 1,
		fault => \&revoke_lease);

	row(
		$cluster, 33,
		'etcd is restored from an older snapshot',
		fault => sub { restore_etcd($_[0], 0); });

	row(
		$cluster, 33,
		'etcd is replaced by another cluster',
		fault => sub { restore_etcd($_[0], 1); });
	return;
}

# ---------------------------------------------------------------------------

# As an operator looks at a server whose recovered commits may not be seen yet
sub look
{
	my ($node, $sql) = @_;
	return $node->safe_psql("SET pg_ha.fence = off; $sql");
}

sub health
{
	my ($node, $check) = @_;
	return look($node, "SELECT ok || ' ' || detail FROM pg_ha_health()"
		  . " WHERE check_name = '$check'");
}

sub wait_for_health
{
	my ($node, $check, $what) = @_;
	HaCluster::wait_until("$check of " . $node->name . " is like $what",
		sub { health($node, $check) =~ $what });
	return pass("pg_ha_health() tells of $check: " . health($node, $check));
}

sub fill_etcd
{
	my ($round) = @_;
	my $ttl = $cluster->ttl;
	my $full = 0;

	foreach my $n (1 .. 100)
	{
		my ($rc, $out, $err) =
		  $cluster->etcdctl('put', "/filler/$n", 'x' x 100_000);
		$full = $err =~ /space exceeded/;
		last if $full;
	}
	ok($full, 'etcd refuses writes');
	my $full_at = HaCluster::now();
	wait_for_health($round->{leader}, 'store_space', qr/^false NOSPACE/);

	# Longer than any deadline from before would last
	$round->{writer}->wait_for_acks(10, since => $full_at + 2 * $ttl);
	cmp_ok($round->{writer}->outage, '<', $ttl, 'the leader goes on meanwhile');
	return;
}

sub empty_etcd
{
	my ($round) = @_;

	etcdctl('del', '--prefix', '/filler/');
	compact();
	etcdctl('defrag');
	etcdctl('alarm', 'disarm');
	wait_for_health($round->{leader}, 'store_space', qr/^true/);
	return;
}

sub etcdctl
{
	my @command = @_;
	my ($rc, $out, $err) = $cluster->etcdctl(@command);

	die "etcdctl @command failed: $err" if $rc != 0;
	return $out;
}

sub revision
{
	my $out = etcdctl('get', '/none', '-w', 'json');
	return JSON::PP::decode_json($out)->{header}{revision};
}

sub compact
{
	etcdctl('compact', revision());
	return;
}

# A watch that begins anew where it ended finds its history gone.
sub compact_behind_standby
{
	my ($round) = @_;
	my ($standby) = grep { $_ != $round->{leader} } $cluster->nodes;
	my $before = revision();

	$cluster->cut_from_etcd($standby);
	HaCluster::wait_until('history goes on', sub { revision() > $before + 5 });
	compact();
	$cluster->heal($standby);
	my $healed_at = HaCluster::now();
	$cluster->configure({ maximum_lag_on_failover => 1024 * 1024 + int rand 1000 });
	HaCluster::wait_until(
		'the standby has news again',
		sub {
			$standby->status('dcs_age_ms < 1000') eq 't'
			  && $standby->status('leader') eq $round->{leader}->name;
		});
	diag sprintf 'the standby had news %.3f s after it was healed',
	  HaCluster::now() - $healed_at;
	return;
}

sub leader_lease
{
	my $out = etcdctl('get', $cluster->key('leader'), '-w', 'json');
	my $kvs = JSON::PP::decode_json($out)->{kvs};

	return $kvs && $kvs->[0]{lease} ? sprintf('%x', $kvs->[0]{lease}) : 0;
}

# Nobody can tell any more whether somebody else has led meanwhile, so the former
# leader must not go on as if nobody had.
sub compact_while_key_is_gone
{
	my ($round) = @_;

	$cluster->cut_from_etcd($_) foreach $cluster->nodes;
	HaCluster::wait_until('the leader key is gone',
		sub { !defined $cluster->etcd_get('leader') });
	expect_fenced($round->{leader});
	$cluster->etcd_put('mark', 'something');
	compact();
	my $log_size = $round->{leader}->log_size;
	$cluster->heal($round->{leader});
	HaCluster::wait_until(
		'the former leader gives up',
		sub {
			$round->{leader}->log_contains(qr/somebody held the leader key meanwhile/,
				$log_size);
		});
	$cluster->heal($_) foreach $cluster->nodes;
	return;
}

# Somebody writes into the leader key.  Nobody may lead then, until an operator deletes
# what stands there.
sub occupy_key
{
	my ($round) = @_;
	my ($standby) = grep { $_ != $round->{leader} } $cluster->nodes;
	my $put_at = HaCluster::now();

	foreach my $value ('ghost', "{\"\x01\x7f\xc3\xff/../%n\n")
	{
		$cluster->etcd_put('leader', $value);
		HaCluster::wait_until('nobody leads', sub { !$cluster->leader });
		if ($value eq 'ghost')
		{
			wait_for_health($standby, 'leader', qr/^false .*"ghost" never ends/);
		}
		else
		{
			wait_for_health($standby, 'configuration', qr/^false 1 malformed/);
		}

		# Until everybody's promises of before are over
		my $seen_at = HaCluster::now();
		HaCluster::wait_until('a new leader could have been elected',
			sub { HaCluster::now() > $seen_at + 1.5 * $cluster->ttl });
		is($cluster->leader, undef, 'nobody leads');
		is($cluster->etcd_get('leader'), $value, 'nobody touches the key');
	}
	$cluster->etcd_delete('leader');
	my $deleted_at = HaCluster::now();
	$round->{writer}->wait_for_acks(10, since => $deleted_at);
	is(acks_between($round, $put_at + $cluster->ttl, $deleted_at),
		0, 'nothing was acknowledged meanwhile');
	return;
}

sub revoke_lease
{
	my ($round) = @_;
	my $term = $round->{leader}->status('term');
	my $lease = leader_lease();

	etcdctl('lease', 'revoke', $lease);
	HaCluster::wait_until('the key is back, in a new term',
		sub { $round->{leader}->status("deadline_in_ms > 0 AND term = $term + 1") eq 't' });
	isnt(leader_lease(), $lease, 'under another lease');
	return;
}

# ---------------------------------------------------------------------------

# etcd comes back with what it held before another node came to lead.  Nobody may
# believe that: not those who run, nor workers that begin anew.  Only an operator can
# say that it is to be so.
sub restore_etcd
{
	my ($round, $other_cluster) = @_;
	my $snapshot = "$cluster->{base}/snapshot";
	my $member = $cluster->{etcds}[0];

	unlink $snapshot;
	etcdctl('snapshot', 'save', $snapshot);

	# Another reign, which the snapshot knows nothing of.  Another cluster is not
	# believed anyway.
	my $leader = $round->{leader};
	if (!$other_cluster)
	{
		$leader->kill_node;
		$leader = $cluster->wait_for_leader(other_than => $round->{leader});
		$round->{leader}->start;
		$cluster->wait_streaming(2);
	}
	$round->{writer}->wait_for_acks(50, since => HaCluster::now());

	my $timeline = $leader->timeline;
	my %postmaster = map { $_->name => $_->postmaster_pid } $cluster->nodes;
	my $revision = revision();
	my %option = @{ $member->{command} }[ 1 .. 20 ];
	$cluster->etcd_kill;
	rmtree($member->{dir});
	etcdctl(
		'snapshot', 'restore', $snapshot,
		'--name' => $member->{name},
		'--data-dir' => $member->{dir},
		'--initial-cluster' => $option{'--initial-cluster'},
		'--initial-cluster-token' => $option{'--initial-cluster-token'}
		  . ($other_cluster ? '-other' : ''),
		'--initial-advertise-peer-urls' =>
		  $option{'--initial-advertise-peer-urls'});
	my $restored_at = HaCluster::now();
	$cluster->etcd_start;

	expect_fenced($leader);
	expect_25006($leader);
	wait_for_health($leader, 'store', qr/^false .*gone back in time/);

	# A worker that begins anew must not forget; and history that catches up is still
	# another one.
	foreach my $node ($other_cluster ? () : $cluster->nodes)
	{
		$node->kill9($node->worker_pid);
		HaCluster::wait_until('another worker has had its first turns',
			sub { eval { health($node, 'store') =~ /gone back in time/ } });
	}
	etcdctl('put', '/filler/catches_up', '') until revision() > $revision + 5;
	my $caught_up_at = HaCluster::now();
	HaCluster::wait_until('a new leader could have been elected',
		sub { HaCluster::now() > $caught_up_at + 2 * $cluster->ttl });

	foreach my $node ($cluster->nodes)
	{
		is(look($node, 'SELECT pg_is_in_recovery()'),
			$node == $leader ? 'f' : 't', 'role of ' . $node->name);
		is($node->postmaster_pid, $postmaster{ $node->name },
			'no restart of ' . $node->name);
	}
	is($cluster->leader, undef, 'nobody leads');
	is(acks_between($round, $restored_at + $cluster->ttl, HaCluster::now()),
		0, 'nothing was acknowledged');

	# What docs/pg_ha_boot.md tells an operator to do
	$_->stop foreach $cluster->nodes;
	etcdctl('del', '--prefix', $cluster->key('pg_ha/'));
	$cluster->etcd_delete($_) foreach 'leader', 'sync', 'failover';
	$leader->start;
	$cluster->wait_for_leader;
	cmp_ok($leader->timeline, '>', $timeline, 'the last history goes on');
	$_->start foreach grep { $_ != $leader } $cluster->nodes;
	return;
}
