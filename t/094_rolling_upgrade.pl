#
# A cluster under load is upgraded to the next version one member after the other: there
# is one switchover, no transaction fails but at that, and versions mix well meanwhile.
# In a pause even the leader is restarted in place.  The SQL objects are updated last.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaVersions;
use PostgreSQL::Test::Utils;
use Test::More;

my $base = "$PostgreSQL::Test::Utils::tmp_check/upgrade";
my $old = HaVersions::bin_dir();

File::Path::rmtree($base);
my $new = HaVersions::build_next($base, '1.0', '1.1');
my ($cluster, $leader);

subtest 'rolling, under load' => \&rolling;
subtest 'pg_ha_boot, which is upgraded alone' => \&programs;
subtest 'SQL objects' => \&objects;
$cluster->end;
subtest 'the leader in a pause' => \&in_pause;
done_testing();
File::Path::rmtree($base) if Test::More->builder->is_passing;

# Each node has an installation of its own, which a package would upgrade in its place.
sub new_cluster
{
	my ($n) = @_;

	$cluster = HaCluster->new(nodes => $n, config => { synchronous_mode => 'on' });
	foreach my $node ($cluster->nodes)
	{
		install($node, $old);
		$node->set_programs(place($node));
	}
	$cluster->start_all;
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming($n - 1);
	HaCluster::wait_until('the extension is everywhere',
		sub { !grep { ($_->psql('SELECT pg_ha_get_config()'))[0] } $cluster->nodes });
	return;
}

sub place { my ($node) = @_; return "$cluster->{base}/$node->{name}.bin"; }

sub install
{
	my ($node, $bin_dir) = @_;
	my $place = place($node);

	symlink $bin_dir, "$place.new" or die "could not link: $!";
	rename "$place.new", $place or die "could not rename: $!";
	return;
}

sub versions
{
	my ($seen_on) = @_;
	return $seen_on->safe_psql(
		q{SELECT string_agg(name || ' ' || version, ', ' ORDER BY name) FROM pg_ha_members()});
}

sub wait_for_versions
{
	my ($wanted) = @_;

	foreach my $node ($cluster->nodes)
	{
		HaCluster::wait_until("$node->{name} shows $wanted",
			sub { versions($node) eq $wanted });
	}
	return pass("all show $wanted");
}

sub restart
{
	my ($node, $from) = @_;
	return $from->safe_psql("SELECT pg_ha_restart('$node->{name}')");
}

sub rolling
{
	new_cluster(3);
	my @standbys = sort { $a->name cmp $b->name } $cluster->standbys;
	my $writer = $cluster->start_writer(patience => 10_000);
	my %version = map { $_->name => '1.0' } $cluster->nodes;
	my $list = sub { join ', ', map { "$_ $version{$_}" } sort keys %version };

	$writer->wait_for_acks(50);
	wait_for_versions($list->());
	foreach my $node (@standbys)
	{
		install($node, $new);
		is(restart($node, $leader), "$node->{name}: streaming", "$node->{name} is restarted");
		$version{ $node->name } = '1.1';
		wait_for_versions($list->());
		$writer->wait_for_acks(50, since => HaCluster::now());
	}
	my $quiet_until = HaCluster::now();
	$standbys[0]->safe_psql("SELECT pg_ha_switchover('$standbys[0]->{name}')", timeout => 60);
	my $former = $leader;
	$leader = $cluster->wait_for_leader(other_than => $former);
	$cluster->wait_streaming(2);
	$writer->wait_for_acks(50, since => HaCluster::now());
	my $quiet_from = HaCluster::now();

	install($former, $new);
	is(restart($former, $leader), "$former->{name}: streaming", 'the former leader is restarted');
	$version{ $former->name } = '1.1';
	wait_for_versions($list->());
	$cluster->wait_streaming(2);
	$writer->wait_for_acks(50, since => HaCluster::now());
	is($leader, $standbys[0], 'the new leader was asked for');
	is($cluster->leader, $leader, 'and it leads');
	is($leader->status('term') . ' ' . $leader->timeline, '2 2', 'there was one switchover');

	# What is under way when the writer is stopped is not known to it either.
	my $stopped = HaCluster::now();
	$writer->stop;
	my @failed =
	  grep { $_->{event} =~ /^(fail|unknown)$/ && $_->{at} < $stopped } @{ $writer->events };
	is_deeply(
		[ map { $_->{line} } grep { $_->{at} < $quiet_until || $_->{begun} > $quiet_from } @failed ],
		[], 'no transaction failed but at the switchover');
	my $verdict = $cluster->check_history($writer);
	ok($verdict->{ok}, 'nothing is lost') or diag $verdict->{line};
	is($verdict->{dual_ms}, 0, 'no two led');
	return;
}

# They are those of the first version yet.
sub programs
{
	my %pid = map { $_->name => $_->postmaster_pid } $cluster->nodes;
	my $detail = q{SELECT detail FROM pg_ha_health() WHERE check_name = 'pg_ha_boot'};

	is($leader->safe_psql($detail), 'supervises this server, is of version 1.0',
		'which is shown');
	foreach my $node ($cluster->nodes)
	{
		is(($node->boot('detach'))[0], 0, "$node->{name}: detached");
		HaCluster::wait_until('it has ended', sub { !$node->is_running });
		$node->start;
		HaCluster::wait_until('the next one minds the server',
			sub { $node->safe_psql($detail) eq 'supervises this server' });
		is($node->postmaster_pid, $pid{ $node->name }, 'which was not restarted');
	}
	is($cluster->leader, $leader, 'and the leader is the same');
	return;
}

sub objects
{
	$cluster->wait_streaming(2);
	is($leader->safe_psql(q{SELECT extversion FROM pg_extension WHERE extname = 'pg_ha'}),
		'1.0', 'older than the library');
	$leader->safe_psql('ALTER EXTENSION pg_ha UPDATE');
	$cluster->wait_streaming(2);
	is($_->safe_psql('SELECT pg_ha_new()'), 'new', 'updated, seen on ' . $_->name)
	  foreach $cluster->nodes;
	is(versions($leader), 'n1 1.1, n2 1.1, n3 1.1', 'the older functions are there');
	return;
}

# Its server is stopped, so it is not for nothing: but it is back within its lease.
sub in_pause
{
	new_cluster(2);
	my ($standby) = $cluster->standbys;
	my $writer = $cluster->start_writer(patience => 10_000);
	my $term = $leader->status('term');

	$writer->wait_for_acks(50);
	$standby->safe_psql('SELECT pg_ha_pause(true)');
	install($leader, $new);
	is(restart($leader, $standby), "$leader->{name}: leads", 'the leader is restarted');
	wait_for_versions(join ', ', sort "$leader->{name} 1.1", "$standby->{name} 1.0");
	$standby->safe_psql('SELECT pg_ha_resume(true)');
	$writer->wait_for_acks(50, since => HaCluster::now());
	is($leader->status('term'), $term, 'in the same term');
	is($leader->timeline, 1, 'on the same timeline');
	is(scalar(grep { $_->[0] eq 'DELETE' } $cluster->etcd_events('leader')), 0,
		'the leader key was never gone');
	my $verdict = $cluster->check_history($writer);
	ok($verdict->{ok}, 'nothing is lost') or diag $verdict->{line};
	return;
}
