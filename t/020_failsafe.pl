#
# With failsafe_mode on a leader that loses etcd goes on as long as every other
# member promises not to lead, and no longer: writes are acknowledged through an
# outage of five TTLs, also if only the leader is cut off and the others see its key
# expire, and nobody is promoted; when one member is dead, commits are suspended at
# the deadline; when the leader itself dies, another one leads once its promise is
# over.  No acknowledged row is lost, and no two nodes acknowledge; in each
# synchronous mode.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use List::Util qw(min shuffle);
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();
my $auth_file = PostgreSQL::Test::Utils::tempdir() . '/auth';
my $cluster = HaCluster->new(
	nodes => 3,
	config => { failsafe_mode => JSON::PP::true },
	settings => "pg_ha.rest_auth_file = '$auth_file'");
my $ttl = $cluster->ttl;
my $credentials = 'ha:se:cret';
my ($mode, $leader, $timeline, $writer);

# The sync mode: how it is configured, and the standbys that it counts on
my %modes = (
	async => JSON::PP::false,
	sync => JSON::PP::true,
	quorum => 'quorum');

append_to_file($auth_file, "$credentials\n");
chmod 0600, $auth_file or die "could not chmod: $!";
$cluster->start_all;
find_leader();
subtest 'who is asked' => \&who_is_asked;
subtest 'strangers' => \&strangers;
subtest 'hostile questions' => \&hostile_questions;

# In one mode a round, the seed's choice: the soak has them all.
my @order = shuffle(sort keys %modes);
foreach my $which (@order[ 0 .. min(scalar(@order), $ENV{HA_ROUNDS} // 1) - 1 ])
{
	$mode = $which;
	set_mode();
	phase('etcd is away', \&etcd_is_away, row => 26);
	phase('only the leader is cut off', \&leader_is_cut_off, row => 20);
	phase('one member is dead', \&one_member_is_dead, row => 51);
	phase('the leader dies', \&leader_dies, row => 52, lossy => 1);
}
$cluster->end;
subtest 'a single node' => \&single_node;
done_testing();

sub find_leader
{
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	$timeline = $leader->timeline;
	return;
}

# In force when commits wait for as many as they should.
sub set_mode
{
	my %names = (
		async => qr/^$/,
		sync => qr/^(?!ANY).+/,
		quorum => qr/^ANY 1 /);

	$cluster->configure({ synchronous_mode => $modes{$mode} });
	HaCluster::wait_until(
		"the mode is $mode",
		sub {
			return $leader->safe_psql('SHOW synchronous_standby_names') =~
			  $names{$mode}
			  && ($mode eq 'async' || $cluster->sync_standbys($leader));
		});
	return;
}

# One fault, with a writer of its own whose log is judged.
sub phase
{
	my ($name, $code, %args) = @_;

	subtest "$mode: $name" => sub {
		$writer = $cluster->start_writer(patience => 4_000, roam => 1_000);
		$writer->wait_for_acks(50 + int(rand(100)));
		my $rejoin = $code->();
		judge($args{lossy} && $mode eq 'async', row => $args{row},
			rejoin => $rejoin);
	};
	return;
}

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

# Back under the store's lease.  Returns how long that took.
sub is_healthy_again
{
	my $since = HaCluster::now();

	HaCluster::wait_until('failsafe mode is over',
		sub { $leader->status('failsafe') eq 'on' });
	$writer->wait_for_acks(20, since => HaCluster::now());
	$cluster->wait_streaming(2);
	is($cluster->wait_for_leader->name, $leader->name, 'the leader is the same');
	is($leader->timeline, $timeline, 'nobody was promoted');
	wait_for_list();
	return HaCluster::now() - $since;
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

# $with are user and password, '' = nothing.
sub ask
{
	my ($node, $content, $with, $host) = @_;
	my %headers;

	$with //= $credentials;
	$host //= '127.0.0.1';
	$headers{Authorization} = 'Basic ' . encode_base64($with, '')
	  if $with ne '';
	my $answer = HTTP::Tiny->new(timeout => 5)->request('POST',
		"http://$host:$node->{rest_port}/failsafe",
		{ content => $content, headers => \%headers });

	return wantarray ? ($answer->{status}, $answer->{content})
	  : $answer->{status};
}

# Whoever may not ask is told so, and nothing is promised.
sub strangers
{
	my ($standby) = $cluster->standbys;
	my $question = JSON::PP::encode_json(
		{ name => $leader->name, term => 0 + $leader->status('term') });

	is_deeply(
		[ ask($standby, $question, '') ],
		[ 401, 'no auth header received' ],
		'no credentials');
	foreach my $wrong ('ha', 'ha:', 'ha:se:cre', 'ha:se:crets', 'hb:se:cret')
	{
		is_deeply(
			[ ask($standby, $question, $wrong) ],
			[ 401, 'not authenticated' ],
			"credentials $wrong");
	}
	is($standby->rest('/failsafe'), 200, 'the list is open to anybody');
	is($standby->status('failsafe'), 'on', 'nothing was promised');

	# It has just started: for one TTL it can't know what it did before.
	HaCluster::wait_until('its first TTL is over',
		sub { ask($standby, $question) == 200 });
	is_deeply(
		[ ask($standby, $question) ],
		[ 200, 'Accepted' ],
		'with the credentials it is answered');
	is($standby->status('failsafe'), 'promised', 'and promised');
	wait_for_state($standby, 'on');
	return;
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
	my $rejoin = is_healthy_again();
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
	return $rejoin;
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
	return is_healthy_again();
}

sub one_member_is_dead
{
	my ($victim) = $cluster->standbys;
	my $size = $leader->log_size;

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
				qr/etcd unreachable and member "\Q@{[ $victim->name ]}\E" did not answer/,
				$size);
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
	return is_healthy_again();
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
	my $healed_at = HaCluster::now();
	$cluster->heal($old);
	$old->start;
	find_leader();
	wait_for_list();
	return HaCluster::now() - $healed_at;
}

# "lossy": without synchronous replication a failover may lose, but says how much.
sub judge
{
	my ($lossy, %row) = @_;
	my $verdict = $cluster->check_history($writer, lossy => $lossy ? 1 : 0);

	if ($lossy)
	{
		HaFault::judge_loss($leader, $verdict);
	}
	else
	{
		is($verdict->{lost}, 0, 'every acknowledged row is there');
	}
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	$cluster->record_row(
		%row,
		mode => "$mode, failsafe",
		verdict => $verdict) if $row{row};
	return;
}

# An address of this machine that is not loopback; undef if it has none.
sub find_address
{
	my $socket = IO::Socket::INET->new(
		Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9) or return;
	return $socket->sockhost;
}

# Without credentials this machine may ask, and no other.
sub check_access
{
	my $address = find_address();

	is_deeply(
		[ ask($leader, '{"name":"n9"}', '') ],
		[ 500, 'Running as a leader' ],
		'a client on this host is answered');
  SKIP:
	{
		skip 'no address but loopback', 1 unless $address;
		is_deeply(
			[ ask($leader, '{"name":"n9"}', '', $address) ],
			[ 403, 'Access is denied, pg_ha.rest_auth_file is not set here' ],
			"a client at $address is not");
	}
	return;
}

sub single_node
{
	$mode = 'async';
	$cluster = HaCluster->new(
		nodes => 1,
		config => { failsafe_mode => JSON::PP::true });
	my ($node) = $cluster->nodes;
	$node->add_settings("pg_ha.rest_listen = '0.0.0.0:$node->{rest_port}'");
	$cluster->start_all;
	$leader = $cluster->wait_for_leader;
	$timeline = $leader->timeline;
	check_access();
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
	judge(0);
	return;
}
