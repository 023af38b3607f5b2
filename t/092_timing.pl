#
# What ttl, loop_wait and retry_timeout are good for, and what they cost.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use Test::More;

my $cluster = HaCluster->new(nodes => 3);

$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(2);

subtest 'N-d: a longer loop_wait asks etcd less often' => \&loop_wait;
subtest 'N-e: etcd is away for less than the ttl, and nobody notices' => \&outage;
subtest 'N-c: a longer ttl is a longer wait for the next leader' => \&ttl;
done_testing();

sub set_timing
{
	my ($ttl, $loop_wait, $retry_timeout) = @_;
	my $leader = $cluster->wait_for_leader;

	$leader->safe_psql(
		qq(SELECT pg_ha_set_config('{"ttl":$ttl,"loop_wait":$loop_wait,"retry_timeout":$retry_timeout}')));
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'in force on ' . $node->name,
			sub {
				$node->safe_psql('SELECT ttl_ms || $$ $$ || loop_wait_ms FROM pg_ha_timing()') eq
				  1000 * $ttl . ' ' . 1000 * $loop_wait;
			});
	}
	HaCluster::wait_until('the lease is of that ttl',
		sub { ($leader->status('deadline_in_ms') || 0) > 700 * $ttl });
	return $leader;
}

# Seconds in which the leader writes /status three times, which it does once a loop_wait
sub time_of_three
{
	my $first = $cluster->etcd_version('status');

	HaCluster::wait_until('the leader writes',
		sub { $cluster->etcd_version('status') > $first });
	my $began = HaCluster::now();
	my $second = $cluster->etcd_version('status');
	HaCluster::wait_until('it has done so three times',
		sub { $cluster->etcd_version('status') >= $second + 3 });
	return HaCluster::now() - $began;
}

sub loop_wait
{
	set_timing(6, 0.5, 1);
	my $short = time_of_three();
	set_timing(6, 3, 1);
	my $long = time_of_three();

	# An upper bound for the short one would be a matter of the machine
	cmp_ok($long, '>', 2 * 3, "three loop_waits of 3 s are not over earlier ($long s)");
	note "0.5 s: $short s, 3 s: $long s";
	return;
}

# As long as the deadline is not reached, commits go on, whatever retry_timeout is.
# Behind it they are suspended, and no session is lost.
sub outage
{
	my $leader = set_timing(3, 1, 1);
	my $session = $leader->session;
	my $pid = $leader->postmaster_pid;

	$cluster->etcd_pause;
	HaCluster::wait_until('commits are suspended',
		sub { $leader->status('suspended') eq 't' });
	$cluster->etcd_resume;
	HaCluster::wait_until('and go on',
		sub { $leader->status('suspended') eq 'f' });
	is(($session->query('SELECT 1'))[0], 1, 'a session lives on');

	set_timing(14, 1, 6);
	my $age = sub { $leader->status('dcs_age_ms') };
	$cluster->etcd_pause;
	HaCluster::wait_until('the same outage', sub { $age->() > 4_000 });
	is($leader->status('suspended'), 'f', 'is not noticed');
	is(($session->query('CREATE TABLE outage ()'))[0], 1, 'a commit goes through');
	$cluster->etcd_resume;
	HaCluster::wait_until('etcd answers again', sub { $age->() < 1_000 });
	$session->quit;
	is($leader->postmaster_pid, $pid, 'the server is the same');
	is($cluster->wait_for_leader, $leader, 'and so is the leader');
	return;
}

sub time_to_lead
{
	my ($old) = @_;
	my $began = HaCluster::now();

	$old->kill_node;
	$cluster->wait_for_leader(other_than => $old);
	my $seconds = HaCluster::now() - $began;
	$old->start;
	$cluster->wait_streaming(2);
	return $seconds;
}

# The lease of the dead leader has run for a fifth of its time at most.
sub ttl
{
	my $short = time_to_lead(set_timing(2, 0.5, 0.5));
	my $long = time_to_lead(set_timing(8, 0.5, 0.5));

	cmp_ok($long, '>', 8 * 4 / 5 - 0.5, "with a ttl of 8 s nobody leads earlier ($long s)");
	note "ttl 2: $short s, ttl 8: $long s";
	return;
}
