#
# With failsafe_mode on a leader that loses etcd goes on as long as every other
# member promises not to lead, and no longer: writes are acknowledged through an
# outage of five TTLs, also if only the leader is cut off and the others see its key
# expire, and nobody is promoted; when one member is dead, commits are suspended at
# the deadline; when the leader itself dies, another one leads once its promise is
# over.  No acknowledged row is lost, and no two nodes acknowledge.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => {
		failsafe_mode => JSON::PP::true,
		synchronous_mode => JSON::PP::true,
	});
my $ttl = $cluster->ttl;
my ($leader, $timeline, $writer);

$cluster->start_all;
$leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
$timeline = $leader->timeline;

subtest 'who is asked' => \&who_is_asked;
subtest 'hostile questions' => \&hostile_questions;
$writer = $cluster->start_writer(patience => 4_000);
$writer->wait_for_acks(50);
subtest 'etcd is away' => \&etcd_is_away;
subtest 'only the leader is cut off' => \&leader_is_cut_off;
subtest 'one member is dead' => \&one_member_is_dead;
subtest 'the leader dies' => \&leader_dies;
judge($writer);
$cluster->end;
subtest 'a single node' => \&single_node;
done_testing();

# All three stand in /failsafe, and the leader may count on it.
sub wait_for_list
{
	HaCluster::wait_until(
		'all members are listed',
		sub {
			my $list = $cluster->etcd_get('failsafe') // return;
			return 3 == keys %{ JSON::PP::decode_json($list) };
		});
	return;
}

sub wait_for_state
{
	my ($node, $state) = @_;
	HaCluster::wait_until($node->name . " shows failsafe $state",
		sub { $node->status('failsafe') eq $state });
	return;
}

sub promised
{
	return map { $_->status('failsafe') } $cluster->standbys;
}

# For that long everybody is looked at: the leader acknowledges, the others follow.
sub watch
{
	my ($seconds) = @_;
	my $until = HaCluster::now() + $seconds;
	my ($looks, $wrong) = (0, 0);

	while (HaCluster::now() < $until)
	{
		my $since = HaCluster::now();

		$writer->wait_for_acks(10, since => $since, port => $leader->port);
		foreach my $node (grep { $_ != $leader } $cluster->nodes)
		{
			$looks++;
			next
			  if $node->safe_psql('SELECT pg_is_in_recovery()') eq 't'
			  && $node->rest('/leader') == 503;
			$wrong++;
			diag $node->name . ' is no standby any more';
		}
	}
	cmp_ok($looks, '>', 4, 'the others were looked at');
	is($wrong, 0, 'nobody else is promoted');
	return;
}

# No acknowledgement of anything that was begun since, for almost a TTL.
sub is_healthy_again
{
	HaCluster::wait_until('failsafe mode is over',
		sub { $leader->status('failsafe') eq 'on' });
	$writer->wait_for_acks(20, since => HaCluster::now());
	$cluster->wait_streaming(2);
	is($cluster->wait_for_leader->name, $leader->name, 'the leader is the same');
	is($leader->timeline, $timeline, 'nobody was promoted');
	wait_for_list();
	return;
}

sub who_is_asked
{
	wait_for_list();
	wait_for_state($leader, 'on');
	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until(
			'GET /failsafe tells it',
			sub {
				my ($status, $body) = $node->rest('/failsafe');
				return $status == 200
				  && 3 == keys %{ JSON::PP::decode_json($body) };
			});
	}
	my (undef, $body) = $leader->rest('/failsafe');
	is_deeply(
		JSON::PP::decode_json($body),
		{
			map {
				($_->name => "http://127.0.0.1:$_->{rest_port}/patroni")
			} $cluster->nodes
		},
		'with everybody\'s address');
	return;
}

sub ask
{
	my ($node, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 5)->request('POST',
		"http://127.0.0.1:$node->{rest_port}/failsafe",
		{ content => $content });

	return wantarray ? ($answer->{status}, $answer->{content})
	  : $answer->{status};
}

sub hostile_questions
{
	my ($standby) = $cluster->standbys;
	my $name = $leader->name;
	my $term = $leader->status('term');
	my %refused = (
		'no JSON' => 'n1',
		'no object' => '["n1"]',
		'no name' => '{}',
		'a name that is none' => '{"name":"../x"}',
		'a term that is none' => qq({"name":"$name","term":"1"}),
		'deep nesting' => ('[' x 5000) . (']' x 5000),
		'a duplicate key' => qq({"name":"$name","name":"$name"}),
	);

	is(ask($standby, $refused{$_}), 400, $_) foreach sort keys %refused;
	is(ask($standby, qq({"name":"$name","slots":{) . ('x' x 20_000)),
		413, 'a body that is too long');
	is_deeply(
		[ ask($leader, qq({"name":"n9","term":$term})) ],
		[ 500, 'Running as a leader' ],
		'the leader promises nothing');
	is_deeply(
		[ ask($standby, qq({"name":"n9","term":$term})) ],
		[ 500, 'another member has led since' ],
		'somebody who does not lead');
	is((ask($standby, qq({"name":"$name","term":) . ($term - 1) . '}'))[0],
		500, 'a term that is past');
	is($standby->status('failsafe'), 'on', 'nothing was promised');
	return;
}

sub etcd_is_away
{
	my @standbys = $cluster->standbys;
	my %size = map { $_->name => $_->log_size } $cluster->nodes;

	$cluster->etcd_kill;
	wait_for_state($leader, 'active');
	watch(5 * $ttl);
	is_deeply([ promised() ], [ 'promised', 'promised' ], 'both have promised');
	is($leader->rest('/leader'), 200, 'the leader says that it leads');
	foreach my $node ($cluster->nodes)
	{
		my (undef, $body) = $node->rest('/patroni');
		ok(JSON::PP::decode_json($body)->{failsafe_mode_is_active},
			$node->name . ' tells it over HTTP');
	}
	like(
		($leader->psql("SELECT pg_ha_switchover('" . $standbys[0]->name . "')"))[2],
		qr/ERROR:.*etcd is not reachable; failsafe mode is active/,
		'no switchover meanwhile');
	like(($_->psql('SELECT pg_ha_pause()'))[2],
		qr/ERROR:.*etcd is not reachable; failsafe mode is active/,
		'no pause on ' . $_->name)
	  foreach $cluster->nodes;

	$cluster->etcd_start;
	is_healthy_again();
	ok( $leader->log_contains(
			qr/etcd unreachable; staying primary in failsafe mode \(2 of 2 members agree\)/,
			$size{ $leader->name }),
		'the leader has logged it');
	ok($leader->log_contains(qr/failsafe mode is over/, $size{ $leader->name }),
		'and its end');
	ok( $_->log_contains(
			qr/promised leader "\Q@{[ $leader->name ]}\E", which can't reach etcd, not to lead/,
			$size{ $_->name }),
		$_->name . ' has logged its promise')
	  foreach @standbys;
	return;
}

sub leader_is_cut_off
{
	$cluster->cut_from_etcd($leader, 'blackhole');
	wait_for_state($leader, 'active');
	foreach my $standby (grep { $_ != $leader } $cluster->nodes)
	{
		HaCluster::wait_until(
			$standby->name . ' sees that the key is gone',
			sub {
				$standby->status('leader IS NULL AND failsafe = $$promised$$')
				  eq 't';
			});
		like($standby->status('why'),
			qr/promised not to lead to leader /, 'it says why it does not lead');
	}
	watch(5 * $ttl);
	is($cluster->etcd_get('leader'), undef, 'there is no leader key');
	$cluster->heal($leader);
	is_healthy_again();
	return;
}

sub one_member_is_dead
{
	my ($victim) = $cluster->standbys;

	$cluster->etcd_kill;
	wait_for_state($leader, 'active');
	$victim->kill_node;
	my $killed_at = HaCluster::now();

	HaCluster::wait_until('commits are suspended',
		sub { $leader->status('suspended') eq 't' });
	HaCluster::wait_until(
		'the reason is logged',
		sub {
			$leader->log_contains(
				qr/etcd unreachable and member "\Q@{[ $victim->name ]}\E" did not answer/
			);
		});
	HaCluster::wait_until('a TTL and more has passed',
		sub { HaCluster::now() > $killed_at + 2 * $ttl });
	my @late =
	  grep { $_->{earliest} > $killed_at + $ttl } $writer->acks;
	is(scalar @late, 0, 'nothing was acknowledged after the deadline');
	is($leader->rest('/leader'), 503, 'it does not call itself leader');

	# Back it promises again, but nobody knows who has led meanwhile.
	$victim->start;
	HaCluster::wait_until('the other node runs again',
		sub { $victim->rest('/health') == 200 });
	is($leader->status('suspended'), 't', 'only etcd ends the suspension');
	$cluster->etcd_start;
	is_healthy_again();
	return;
}

sub leader_dies
{
	my $old = $leader;

	$cluster->cut_from_etcd($leader, 'refuse');
	wait_for_state($leader, 'active');
	$writer->wait_for_acks(20, since => HaCluster::now());
	$leader->kill_node;
	$leader = $cluster->wait_for_leader(other_than => $old);
	pass('another member leads when its promise is over');
	$writer->wait_for_acks(20, since => HaCluster::now());
	$cluster->heal($old);
	$old->start;
	$cluster->wait_streaming(2);
	return;
}

sub judge
{
	my ($log) = @_;
	my $verdict = $cluster->check_history($log);

	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	return;
}

sub single_node
{
	$cluster = HaCluster->new(
		nodes => 1,
		config => { failsafe_mode => JSON::PP::true });
	$cluster->start_all;
	$leader = $cluster->wait_for_leader;
	$timeline = $leader->timeline;
	$writer = $cluster->start_writer(clients => 2, patience => 4_000);
	HaCluster::wait_until('it is listed',
		sub { ($cluster->etcd_get('failsafe') // '') =~ /"n1"/ });

	$cluster->etcd_kill;
	wait_for_state($leader, 'active');
	my $until = HaCluster::now() + 2 * $ttl;
	while (HaCluster::now() < $until)
	{
		$writer->wait_for_acks(10, since => HaCluster::now());
	}
	$cluster->etcd_start;
	HaCluster::wait_until('failsafe mode is over',
		sub { $leader->status('failsafe') eq 'on' });
	is($leader->timeline, $timeline, 'the same timeline');
	judge($writer);
	return;
}
