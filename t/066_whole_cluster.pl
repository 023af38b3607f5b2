#
# The whole cluster: pg_ha_stop_cluster() stops all with nobody elected meanwhile and
# nothing lost, and the former leader is the next one.  wipe and forget-cluster
# refuse what lives, and make room for a new cluster without deleting any data.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use HaFault;
use JSON::PP ();
use List::Util qw(uniq);
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

seed_random();
my $page = HaDocs->new('reinit.md');

# The TTL is how long the others leave the key to the former leader.
my $cluster = HaCluster->new(
	nodes => 3,
	config => { ttl => 10, retry_timeout => 2, synchronous_mode => 'on' });
my $scope = $cluster->{scope};
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my $sysid = $cluster->etcd_get('initialize');
my $asked = ($cluster->standbys)[0];

# A neighbour whose name begins with ours
my $neighbour = "/service/${scope}2/leader";
$cluster->etcdctl('put', $neighbour, 'n1');

subtest 'F1: refusals' => sub {
	my $key = $cluster->etcd_get('leader');

	foreach my $confirm ('', 'x', "${scope}2")
	{
		my ($rc, $out, $err) =
		  $asked->psql("SELECT pg_ha_stop_cluster('fast', '$confirm')");
		like(
			$err,
			qr/^ERROR:  22023: confirm must be the cluster name "$scope"$/m,
			"confirm \"$confirm\"");
	}
	my ($rc, $out, $err) =
	  $asked->psql("SELECT pg_ha_stop_cluster('smart', '$scope')");
	like($err, qr/unrecognized mode "smart"/, 'there is but one mode');
	is($cluster->etcd_get('pg_ha/stop'), undef, 'nothing was asked for');
	is($cluster->etcd_get('leader'), $key, 'the leader has stayed');
};

subtest 'F3: forget-cluster of a living cluster' => sub {
	my $before = keys_of($scope);
	my ($rc, $out, $err) = forget('--confirm', $scope);

	is($rc, EXIT_REFUSED, 'refused');
	like(
		$err,
		qr/F10 cluster "$scope" has 3 live members \((?=.*$leader->{name} leader)n1(?: leader)?, n2(?: leader)?, n3(?: leader)?\); stop them first/,
		'with those who live');
	like($err, qr/hint: /, 'and a hint');
	like($out, qr/^cluster "$scope": \d+ keys under/m, 'the keys are counted');
	like($out, qr/^leader: $leader->{name}$/m, 'the leader is shown');

	# Others may have come: the cluster lives.
	my %after = map { $_ => 1 } split /\n/, keys_of($scope);
	is(join("\n", grep { !$after{$_} } split /\n/, $before), '', 'the keys are there');
};

subtest 'F2: wipe of a node that is up' => sub {
	foreach my $node ($leader, $asked)
	{
		my ($rc, $out, $err) = wipe($node, '--confirm', $scope);
		is($rc, EXIT_REFUSED, 'refused for ' . $node->name);
		like($err, qr/another pg_ha_boot runs for this node/, 'its pg_ha_boot runs');
	}

	# Its server alone; then not even that, but nobody has released its key
	my $pid = $leader->postmaster_pid;
	$leader->kill9($leader->boot_pid);
	my ($rc, $out, $err) = wipe($leader, '--confirm', $scope);
	is($rc, EXIT_REFUSED, 'refused while its server runs');
	like($err, qr/P06 server already runs on .* \(pid $pid\)/, 'P06');
	# A worker that sees the postmaster die hands the key over.
	$leader->kill9($leader->worker_pid, $pid);
	($rc, $out, $err) = wipe($leader, '--confirm', $scope);
	is($rc, EXIT_REFUSED, 'refused while it holds the key');
	like($err, qr/member "$leader->{name}" leads cluster "$scope"/,
		'etcd says that it leads');
	is($cluster->etcd_get('leader'), $leader->name, 'which it did all the time');
	$leader->start;
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	is(scalar asides($_), 0, $_->name . ' has its data') foreach $cluster->nodes;
};

my ($timeline, $writer, %checkpoint);
subtest 'F1: the cluster stops' => sub {
	($asked) = $cluster->standbys;
	$timeline = $leader->timeline;
	my $events = $cluster->etcd_events('leader');

	$writer = $cluster->start_writer;
	$writer->wait_for_acks(50);
	my %pid = map { $_->name => $_->postmaster_pid } $cluster->nodes;
	my $begin = HaCluster::now();
	my ($rc, $out) = $page->run(
		'stop',
		SCOPE => $scope,
		PGHOST => $cluster->{sockets},
		PGPORT => $asked->port,
		PGDATABASE => 'postgres');
	is($rc, 0, 'the command of docs/reinit.md');
	like(
		$out,
		qr/stop of cluster "$scope" requested, leader "$leader->{name}" is the last$/m,
		'requested on ' . $asked->name);
	is($_->wait_for_exit, 0, 'pg_ha_boot of ' . $_->name . ' exits with 0')
	  foreach $cluster->nodes;
	cmp_ok(HaCluster::now() - $begin, '<', 30, 'within 30 s');
	ok(!HaCluster::is_alive($pid{$_}), "the server of $_ is gone")
	  foreach sort keys %pid;

	foreach my $node ($cluster->nodes)
	{
		my %control = controldata($node);
		is( $control{'Database cluster state'},
			$node == $leader ? 'shut down' : 'shut down in recovery',
			$node->name . ' has ended cleanly');
		$checkpoint{ $node->name } = $control{'Latest checkpoint location'};
	}
	is(scalar(uniq values %checkpoint), 1, 'at the same checkpoint');
	is($cluster->etcd_get($_), undef, "the key $_ is gone")
	  foreach 'leader', 'pg_ha/stop', map { 'members/' . $_->name } $cluster->nodes;

	my @new = ($cluster->etcd_events('leader'))[ $events .. $cluster->etcd_events('leader') - 1 ];
	is(scalar(grep { $_->[0] eq 'DELETE' } @new), 1, 'the leader key was deleted once');
	is(scalar(grep { $_->[0] eq 'PUT' && $_->[1] ne $leader->name } @new),
		0, 'and nobody else had it');
};

subtest 'F1: and starts again' => sub {
	my @others = grep { $_ != $leader } $cluster->nodes;

	# The former leader is the last to start
	$_->start foreach @others, $leader;
	my $new = $cluster->wait_for_leader;
	is($new->name, $leader->name, 'the former leader leads');
	$cluster->wait_streaming(2);
	$writer->wait_for_acks(50, since => HaCluster::now());
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($leader->timeline, $timeline + 1, 'by one promotion');
	is($cluster->etcd_get('failover'), '{}', 'no wish is left behind');
};

subtest 'F1: a stop of a reign that is over is no order' => sub {
	my $term = $leader->status('term');
	my %stop = (
		kind => 'stop',
		id => 'e' x 32,
		asked_by => 'n1',
		revision => 1);
	my %pid = map { $_->name => $_->postmaster_pid } $cluster->nodes;

	foreach my $wrong (
		{ leader => $leader->name, term => $term - 1 },
		{ leader => $asked->name, term => $term })
	{
		$cluster->etcd_put('pg_ha/stop',
			JSON::PP->new->encode({ %stop, %$wrong }));

		# Each has looked at it when its member key has been written since
		my %version = map { $_->name => $cluster->etcd_version('members/' . $_->name) }
		  $cluster->nodes;
		foreach my $node ($cluster->nodes)
		{
			$leader->safe_psql('SELECT pg_switch_wal()');
			HaCluster::wait_until(
				'it has looked',
				sub {
					$leader->safe_psql(q{SELECT pg_logical_emit_message(false, '', '')});
					$cluster->etcd_version('members/' . $node->name) >
					  $version{ $node->name } + 2;
				});
		}
	}
	is($_->postmaster_pid, $pid{ $_->name }, $_->name . ' goes on')
	  foreach $cluster->nodes;
	$cluster->etcd_delete('pg_ha/stop');
};

subtest 'F3: wipe and forget-cluster of a cluster that is down' => sub {
	my ($cloning) = grep { $_ != $asked } $cluster->standbys;
	my $offset = $cloning->log_size;

	# One of them is being cloned just now
	$asked->safe_psql("SELECT pg_ha_reinit('$cloning->{name}')");
	HaCluster::wait_until('it is cloned',
		sub { $cloning->log_contains(qr/cloning from "/, $offset) });
	$asked->safe_psql("SELECT pg_ha_stop_cluster(confirm => '$scope')");
	is($_->wait_for_exit, 0, 'pg_ha_boot of ' . $_->name . ' exits with 0')
	  foreach $cluster->nodes;
	is($cluster->etcd_get('leader'), undef, 'the leader key is gone');

	# A revocation without an answer leaves a key until its lease is over.
	HaCluster::wait_until('no key with a lease is left',
		sub { keys_of($scope) !~ m{/(?:members|votes)/} });
	my $before = keys_of($scope);
	my ($rc, $out, $err) = forget();
	is($rc, EXIT_REFUSED, 'no name, no forgetting');
	($rc, $out, $err) = forget('--confirm', "${scope}2");
	is($rc, EXIT_REFUSED, 'nor with another name');
	is(keys_of($scope), $before, 'the keys are there');

	foreach my $node ($cluster->nodes)
	{
		($rc, $out, $err) = wipe($node);
		next if $node == $cloning;
		is($rc, EXIT_REFUSED, 'no name, no wipe');
		is(scalar asides($node), 0, 'the data is there');
		($rc, $out) = $page->run(
			'wipe',
			SCOPE => $scope,
			PGDATA => $node->{dir},
			NODEFILE => $node->{file});
		is($rc, 0, 'wipe of ' . $node->name) or diag $out;
		like($out, qr/: [1-9]\d{4,} kB, 3 databases/, 'its size is told');
		is(scalar asides($node), 1, 'the data is aside');
	}
	($rc, $out, $err) = wipe($cloning, '--confirm', $scope);
	is($rc, 0, 'wipe of ' . $cloning->name) or diag $err;
	is(keys_of($scope), $before, 'still they are there');
	my $count = () = $before =~ /^./mg;
	($rc, $out) =
	  $page->run('forget', SCOPE => $scope, NODEFILE => $leader->{file});
	is($rc, 0, 'forget-cluster') or diag $out;
	like($out, qr/^$count keys deleted$/m, 'the keys are counted');
	is(keys_of($scope), '', 'none is left');
	is(keys_of("${scope}2"), $neighbour, 'the neighbour has its own');
};

subtest 'O4: and a new cluster in its place' => sub {
	$cluster->configure({});
	$cluster->{prepared} = 0;
	$cluster->start_all(reverse map { $_->name } $cluster->nodes);
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	isnt($cluster->etcd_get('initialize'), $sysid, 'another system identifier');
	is($leader->timeline, 1, 'on its first timeline');
};

$page->check_messages;
done_testing();

sub keys_of
{
	my ($of) = @_;
	my ($rc, $out) =
	  $cluster->etcdctl('get', '--prefix', '--keys-only', "/service/$of/");

	return join "\n", grep { $_ ne '' } split /\n/, $out;
}

sub forget
{
	my (@arguments) = @_;
	my ($rc, $out, $err) =
	  HaCluster::capture(30, 'pg_ha_boot', 'forget-cluster', '-c',
		$leader->{file}, @arguments);

	return ($rc >> 8, $out, $err);
}

sub wipe
{
	my ($node, @arguments) = @_;
	my ($rc, $out, $err) =
	  HaCluster::capture(30, 'pg_ha_boot', 'wipe', '-D', $node->{dir},
		'-c', $node->{file}, @arguments);

	return ($rc >> 8, $out, $err);
}

sub asides
{
	my ($node) = @_;
	my @found = glob "$node->{dir}.aside.*";

	return @found;
}

sub controldata
{
	my ($node) = @_;
	my ($rc, $out) = HaCluster::capture(30, 'pg_controldata', $node->{dir});

	return map { /^(.*?): +(.*)$/ ? ($1 => $2) : () } split /\n/, $out;
}

