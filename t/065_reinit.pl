#
# pg_ha_reinit(member): a member's data is made anew from the leader's, the old data
# is moved aside, and the clients notice nothing.  It never happens to the leader,
# not twice for one request, and not if the member can't be spared.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use HaFault;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();
my $page = HaDocs->new('reinit.md');

my $cluster = HaCluster->new(
	nodes => 3,
	config => { ttl => 6, synchronous_mode => 'quorum' });
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my ($n2, $n3) = $cluster->standbys;
my $sysid = $cluster->etcd_get('initialize');

subtest 'F2: refusals, which change nothing' => sub {
	my $before = keys_without_members();
	my $name = $leader->name;

	refused($n2, "'$name'",
		qr/^ERROR:  55000: member "$name" is the leader; switch over first$/m);
	refused($leader, "'$name'",
		qr/^ERROR:  55000: member "$name" is the leader; switch over first$/m);
	refused($n3, q{'nx'},
		qr/^ERROR:  42704: no such member "nx" \(members: n1, n2, n3\)$/m);
	is(keys_without_members(), $before, 'no request was written');
	is(scalar asides($_), 0, $_->name . ' has its data') foreach $cluster->nodes;
	$leader->safe_psql('CREATE ROLE somebody');
	my ($rc, $out, $err) =
	  $leader->psql(q{SET ROLE somebody; SELECT pg_ha_reinit('n2')});
	like($err, qr/42501: permission denied/, 'not everybody may');
};

subtest 'F2: a corrupt standby, asked for on the other one' => sub {
	my $writer = $cluster->start_writer;
	my $pid = $n2->postmaster_pid;

	$writer->wait_for_acks(50);
	corrupt($n2);
	HaCluster::wait_until('it may be elected',
		sub { grep { $_ eq $n2->name } $cluster->sync_standbys($leader) });
	my ($rc, $out) = on_page($n3, 'one', MEMBER => $n2->name);
	is($rc, 0, 'the commands of docs/reinit.md');
	like($out, qr/reinit of "$n2->{name}" requested/, 'requested');
	my $revision = HaCluster::wait_until(
		'its data is moved',
		sub {
			my $memory = "$n2->{dir}.pg_ha/request";
			return -e $memory && slurp_file($memory) =~ / moved \d+ (\d+)/ ? $1 : undef;
		});
	my (undef, $sync) = $cluster->etcdctl('get', $cluster->key('sync'),
		'--print-value-only', "--rev=$revision");
	my $voters = JSON::PP::decode_json($sync)->{sync_standby} // '';
	unlike($voters, qr/\b$n2->{name}\b/, 'by then it could not be elected any more');
	expect_done($n2, $pid);
	$writer->wait_for_acks(50, since => HaCluster::now());
	is( $n2->safe_psql('SELECT system_identifier FROM pg_control_system()'),
		$sysid, 'the same cluster');
	is(scalar asides($n2), 1, 'the old data is aside');
	ok(-e "$_/corrupted", 'all of it') foreach asides($n2);
	ok(!-e "$n2->{dir}/corrupted", 'and not here');

	# It lists nobody who has nothing
	my $log = slurp_file($n2->{log});
	like($log, qr/moved to/, 'it says so');
	ok($log !~ /data is not made anew/, 'and nothing else');
	is($cluster->wait_for_leader->name, $leader->name, 'the leader has stayed');
	is($leader->timeline, 1, 'nobody was promoted');

	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
};

subtest 'F2: while it is in progress' => sub {
	my $pid = $n2->postmaster_pid;
	my $name = $n2->name;

	# Held where it can't go on: nothing is moved before etcd says so
	$n2->freeze($n2->boot_pid);
	$n3->safe_psql("SELECT pg_ha_reinit('$name')");
	wait_for_request($n3, $name, 'requested');
	refused($leader, "'$name'",
		qr/^ERROR:  55006: reinit of "$name" already in progress \(not taken up yet\)$/m
	);
	my $first = request($name);
	$leader->safe_psql("SELECT pg_ha_reinit('$name', force => true)");
	isnt(request($name)->{id}, $first->{id}, 'with force it is another request');
	is(scalar asides($n2), 1, 'nothing has happened meanwhile');

	# A leader that still counts on it must not be left without it
	HaCluster::wait_until('it may be elected',
		sub { grep { $_ eq $name } $cluster->sync_standbys($leader) });
	my $worker = $leader->worker_pid;
	my $offset = $n2->log_size;
	$leader->freeze($worker);
	$n2->thaw;
	HaCluster::wait_until('it waits',
		sub { $n2->log_contains(qr/waiting for the leader to take this member out/, $offset) });
	is(scalar asides($n2), 1, 'its data stays as long as the leader counts on it');
	$leader->thaw;
	expect_done($n2, $pid);
	is(scalar asides($n2), 2, 'it was done once');
};

subtest 'pg_ha_boot is killed in the middle' => sub {
	my $pid = $n2->postmaster_pid;
	my @points = (qr/moved to/, qr/cloning from "/, qr/stopping the server/);
	my $point = $points[ rand @points ];
	my $offset = $n2->log_size;

	note "at $point";
	$leader->safe_psql("SELECT pg_ha_reinit('" . $n2->name . "')");
	HaCluster::wait_until('it is there',
		sub { $n2->log_contains($point, $offset) });
	$n2->kill9($n2->boot_pid);
	$n2->start;
	expect_done($n2, $pid);
	my $moved = () = slurp_file($n2->{log}, $offset) =~ /moved to/g;
	cmp_ok($moved, '<=', 2, 'whole data went aside once');
	my @whole = grep { -e "$_/postgresql.auto.conf" && -e "$_/postmaster.opts" }
	  asides($n2);
	is(scalar @whole, 3, 'and that is there');
};

subtest 'a request is not carried out twice, nor by another node' => sub {
	my $pid = $n2->postmaster_pid;
	my $asides = asides($n2);
	my $done = slurp_file("$n2->{dir}.pg_ha/request");
	my ($id) = split / /, $done;
	my $identity = slurp_file("$n2->{dir}.pg_ha/identity");
	my %again = (
		kind => 'reinit',
		asked_by => 'n1',
		identity => $identity,
		revision => 1);

	# The same once more; one of long ago; one for another life; rubbish
	foreach my $value (
		encode(%again, id => $id, revision => 1 << 40),
		encode(%again, id => 'a' x 32),
		encode(%again, id => 'b' x 32, identity => 'c' x 32, revision => 1 << 40),
		encode(%again, id => '../../../etc/passwd'),
		'{"kind":"drop everything"}', 'x' x 5000)
	{
		put_request($n2->name, $value);
		HaCluster::wait_until('the request is removed',
			sub { !defined request_value($n2->name) });
	}
	is($n2->postmaster_pid, $pid, 'its server was not stopped');
	is(scalar asides($n2), $asides, 'its data is where it was');
};

subtest 'a request that reaches the leader' => sub {
	my $pid = $leader->postmaster_pid;
	my $offset = $leader->log_size;

	put_request(
		$leader->name,
		encode(
			kind => 'reinit',
			asked_by => 'n2',
			id => 'd' x 32,
			revision => 1 << 40,
			identity => slurp_file("$leader->{dir}.pg_ha/identity")));
	HaCluster::wait_until('the request is removed',
		sub { !defined request_value($leader->name) });
	ok($leader->log_contains(qr/not made anew: this server is a primary/, $offset),
		'it says why not');
	wait_for_request($n3, $leader->name, 'failed');
	pass('and who asked can see it');
	is($leader->postmaster_pid, $pid, 'its server was not stopped');
	is(scalar asides($leader), 0, 'its data is where it was');
};

subtest 'all standbys, one by one' => sub {
	my %before = map { $_->name => scalar asides($_) } $cluster->nodes;
	my ($rc, $out) = on_page($leader, 'standbys');

	is($rc, 0, 'the loop of docs/reinit.md') or diag $out;
	$cluster->wait_streaming(2);
	is(scalar asides($_), $before{ $_->name } + ($_ == $leader ? 0 : 1), $_->name)
	  foreach $cluster->nodes;
	is($leader->timeline, 1, 'nobody was promoted');
};

subtest 'data that cannot be moved stays, and serves' => sub {
	my $asides = asides($n2);
	my $offset = $n2->log_size;
	my $pid = $n2->postmaster_pid;

	my $mode = (stat $cluster->{base})[2] & 07777;
	chmod 0555, $cluster->{base} or die "could not chmod: $!";
	$n3->safe_psql("SELECT pg_ha_reinit('$n2->{name}')");
	HaCluster::wait_until('it gives up',
		sub { $n2->log_contains(qr/not made anew: the old data could not be moved/, $offset) });
	$cluster->wait_streaming(2);
	isnt($n2->postmaster_pid, $pid, 'its server was started again');
	ok($n2->log_contains(qr/directory ".*" cannot be renamed\n.*hint: /, $offset), 'why');
	is(scalar asides($n2), $asides, 'on the same data');
	is(join(' ', glob "$n2->{dir}.pg_ha/*_in_progress"),
		'', 'which is not taken for what is left of a move');
	chmod $mode, $cluster->{base} or die "could not chmod: $!";

	# So nothing happens to it when the server dies
	$n2->kill9($n2->postmaster_pid);
	$cluster->wait_streaming(2);
	is(scalar asides($n2), $asides, 'nor later');
};

subtest 'without a leader nothing goes' => sub {
	my $asides = asides($n2);
	my $offset = $n2->log_size;
	my $name = $n2->name;

	# The request is there when the leader dies: nobody must be cloned from
	$n2->freeze($n2->boot_pid);
	$n3->safe_psql("SELECT pg_ha_reinit('$name')");
	$_->freeze($_->worker_pid) foreach $n2, $n3;
	$leader->kill_node;
	HaCluster::wait_until('the leader key is gone',
		sub { !defined $cluster->etcd_get('leader') });
	kill 'CONT', $n2->boot_pid;		# its worker could take over before that has looked
	HaCluster::wait_until(
		'it gives up',
		sub { $n2->log_contains(qr/not made anew: the cluster has no proven leader/, $offset) }
	);
	is(scalar asides($n2), $asides, 'the data is where it was');
	my ($rc, $out, $err) = $n3->psql("SELECT pg_ha_reinit('$name')");
	isnt($rc, 0, 'refused');
	$_->thaw foreach $n2, $n3;
	$cluster->wait_for_leader(other_than => $leader);
	$leader->start;
	$cluster->wait_streaming(2);
	is(scalar asides($n2), $asides, 'and stays there');
};

done_testing();

# A block of the page, with psql connected to a node
sub on_page
{
	my ($node, $block, %variables) = @_;

	return $page->run(
		$block,
		PGHOST => $cluster->{sockets},
		PGPORT => $node->port,
		PGDATABASE => 'postgres',
		%variables);
}

sub asides
{
	my ($node) = @_;

	return grep { !/\.pg_ha$/ } glob "$node->{dir}.aside.*";
}

sub keys_without_members
{
	my ($rc, $out) =
	  $cluster->etcdctl('get', '--prefix', '--keys-only',
		"/service/$cluster->{scope}/pg_ha/requests");
	return $out;
}

sub refused
{
	my ($node, $arguments, $regex) = @_;
	my ($rc, $out, $err) = $node->psql("SELECT pg_ha_reinit($arguments)");

	isnt($rc, 0, "pg_ha_reinit($arguments) is refused");
	like($err, $regex, 'in these words');
	return;
}

sub request_value
{
	my ($name) = @_;
	return $cluster->etcd_get("pg_ha/requests/$name");
}

sub request
{
	my ($name) = @_;
	return JSON::PP::decode_json(request_value($name));
}

sub put_request
{
	my ($name, $value) = @_;
	$cluster->etcd_put("pg_ha/requests/$name", $value);
	return;
}

sub encode
{
	my (%request) = @_;

	$request{identity} =~ s/\s+$//;
	$request{revision} += 0;
	return JSON::PP->new->canonical->encode(\%request);
}

sub wait_for_request
{
	my ($node, $name, $state) = @_;

	HaCluster::wait_until(
		"the request to $name is $state",
		sub {
			$node->safe_psql("SELECT count(*) FROM pg_ha_requests()"
				  . " WHERE member = '$name' AND state = '$state'") > 0;
		});
	return;
}

# Its relation files are torn, so that it can't go on well for long
sub corrupt
{
	my ($node) = @_;

	append_to_file("$node->{dir}/corrupted", "yes\n");
	foreach my $file (grep { -s $_ } glob "$node->{dir}/base/5/1[0-9]*")
	{
		open my $fh, '+<', $file or next;
		print $fh 'x' x 4096;
		close $fh;
	}
	return;
}

sub expect_done
{
	my ($node, $old_pid) = @_;

	wait_for_request($leader, $node->name, 'done');
	HaCluster::wait_until('the request is removed',
		sub { !defined request_value($node->name) });
	$cluster->wait_streaming(2);
	isnt($node->postmaster_pid, $old_pid, 'another server runs');
	return;
}
