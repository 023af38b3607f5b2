#
# The stopped cluster is upgraded to another major version on the node of who led last: it
# keeps its rows, gets a new system identifier, and data of before is refused.  Whoever is
# not the last leader, has not stopped, or runs while others do, is told so.  Killed at
# any step, the command goes on when it is run again, and no node starts in between.
#
# HA_OLD_BINDIR has the programs of an older PostgreSQL, with pg_ha; without, a copy of the
# same version takes its part, which pg_upgrade allows.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaVersions;
use File::Basename;
use File::Path;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { EXIT_CONFIGURATION => 10, EXIT_REFUSED => 12 };

my $base = "$PostgreSQL::Test::Utils::tmp_check/upgrade_major";
File::Path::rmtree($base);
my $new = HaVersions::bin_dir();
my $old = $ENV{HA_OLD_BINDIR} // HaVersions::copy_installation($base);
my @bindirs = ("--old-bindir=$old", "--new-bindir=$new");
my $is_same_version = !$ENV{HA_OLD_BINDIR} || $old eq $new;
note "from $old to $new";

my $cluster = HaCluster->new(nodes => 3, config => { ttl => 4, synchronous_mode => 'on' });
my $scope = $cluster->{scope};
$_->set_programs($old) foreach $cluster->nodes;
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my ($standby, $other) = $cluster->standbys;
my $sysid = $cluster->etcd_get('initialize');
my ($rows, $deadly) = (0, 0);

subtest 'refused while the cluster runs' => \&running;
subtest 'refused with other data' => \&wrong_data;
subtest 'checked only' => \&check_only;
subtest 'killed before anything has changed' => \&interrupted_early;
subtest 'others were started meanwhile' => \&overtaken;
subtest 'upgraded, killed after each step' => \&upgraded;
subtest 'the others' => \&others;
done_testing();
File::Path::rmtree($base) if Test::More->builder->is_passing;

sub upgrade
{
	my ($node, @more) = @_;
	return $node->boot('upgrade-major', @bindirs, @more);
}

sub stop_cluster
{
	my ($from) = @_;

	$from->psql("SELECT pg_ha_stop_cluster('fast', '$scope')", timeout => 60);
	is($_->wait_for_exit, 0, $_->name . ' has stopped') foreach $cluster->nodes;
	HaCluster::wait_until('nobody is there', sub {
		!defined $cluster->etcd_get('leader') && !grep { defined $cluster->etcd_get("members/$_") } qw(n1 n2 n3);
	});
	return;
}

# All keys with their revisions
sub everything
{
	my ($rc, $out) = $cluster->etcdctl('get', '--prefix', '-w', 'json', $cluster->key(''));
	return join "\n", map { "$_->{key} $_->{mod_revision}" } @{ decode_json($out)->{kvs} };
}

sub identity { return decode_json($cluster->etcd_get('pg_ha/identity'))->{uuid}; }

sub is_untouched
{
	is($cluster->etcd_get('initialize'), $sysid, 'the system identifier is the same');
	ok(!-e "$leader->{dir}.pg_ha/upgrade", 'there is no journal');
	ok(-e "$leader->{dir}/standby.signal", 'whoever starts it by hand gets a standby');
	return;
}

sub running
{
	my ($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'while its pg_ha_boot runs');
	like($said, qr/another pg_ha_boot runs for this node/, 'which is told');

	($rows) = $leader->safe_psql(
		'INSERT INTO acked SELECT 0, n FROM generate_series(1, 1000) n RETURNING (SELECT 1000)')
	  =~ /^(\d+)/;
	$cluster->wait_streaming(2);
	$leader->stop;
	($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'while others do');
	like($said, qr/U02 (cluster "$scope" has a leader key|member "n\d" of cluster "$scope" is not stopped)/, 'who is told');
	like($said, qr/hint: /, 'with a hint');
	$leader->start;
	$leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	($standby, $other) = $cluster->standbys;
	stop_cluster($standby);
	return;
}

sub wrong_data
{
	my ($code, $said) = upgrade($standby);
	is($code, EXIT_REFUSED, "a standby's data");
	like($said, qr/U03 the data was not shut down cleanly as a primary's/, 'is told from a primary\'s');

	($code, $said) = $leader->boot('upgrade-major');
	is($code, EXIT_CONFIGURATION, 'without the programs');
	like($said, qr/Give --old-bindir and --new-bindir/, 'which are asked for');
	($code, $said) = $leader->boot('upgrade-major', "--old-bindir=$base/nowhere", $bindirs[1]);
	is($code, EXIT_CONFIGURATION, 'with wrong ones');
	like($said, qr/P02 cannot find "postgres" in "$base\/nowhere"/, 'which are named');

	# An older copy, and one of another cluster, by what the store says
	my $heartbeat = $cluster->etcd_get('pg_ha/heartbeat');
	my $later = decode_json($heartbeat);
	$later->{lsn} = 'FF/0' if $later->{lsn} =~ m{/};
	$later->{lsn} = 1 << 40 if $later->{lsn} !~ m{/};
	$cluster->etcd_put('pg_ha/heartbeat', encode_json($later));
	($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'an older copy');
	like($said, qr/U03 the data ends at \S+, but cluster "$scope" had come to/, 'is told');
	$cluster->etcd_put('pg_ha/heartbeat', $heartbeat);

	$cluster->etcd_put('initialize', '7');
	($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'data of another cluster');
	like($said, qr/P12 data directory .* has system identifier $sysid, cluster "$scope" has 7/, 'is told');
	$cluster->etcd_put('initialize', $sysid);
	is_untouched();
	return;
}

sub check_only
{
	my $before = everything();
	my ($code, $said) = upgrade($leader, '--check');
	is($code, 0, 'it would work') or diag $said;
	is(everything(), $before, 'nothing was written to etcd');
	like($said, qr/cluster "$scope" can be upgraded to PostgreSQL \d+/, 'it says so');
	like($said, qr/pg_upgrade: .*Clusters are compatible/, 'and so does pg_upgrade');
	ok(!-e "$leader->{dir}.upgrade", 'nothing is left');
	is_untouched();
	return;
}

# Programs of which one kills pg_ha_boot when its work is done, always or only when the
# journal is there.
sub deadly
{
	my ($bindir, $program, $when) = @_;
	my $bin = "$base/deadly." . ++$deadly;

	File::Path::make_path($bin);
	foreach my $file (glob "$bindir/*")
	{
		my $name = File::Basename::basename($file);
		symlink $file, "$bin/$name" or die "could not link: $!" if $name ne $program;
	}
	append_to_file("$bin/$program", <<"END_OF_FILE");
#!/bin/sh
$bindir/$program "\$@" || exit
if $when; then kill -9 \$PPID; fi
END_OF_FILE
	chmod 0755, "$bin/$program" or die "could not chmod: $!";
	return $bin;
}

sub is_killed
{
	my ($when, @dirs) = @_;
	my ($rc, $out, $err) = HaCluster::capture(120, "$old/pg_ha_boot", 'upgrade-major',
		'-D', $leader->{dir}, '-c', $leader->{file}, "--old-bindir=$dirs[0]",
		"--new-bindir=$dirs[1]");

	is($rc & 127, 9, "killed $when") or diag "$rc $out $err";
	return;
}

sub journal { return "$leader->{dir}.pg_ha/upgrade"; }
sub has_journal { return 'test -e ' . journal(); }

# Nothing has changed yet; the next attempt begins anew.
sub interrupted_early
{
	my $before = everything();
	is_killed('after pg_upgrade', $old, deadly($new, 'pg_upgrade', 'true'));
	is(everything(), $before, 'nothing was written to etcd');
	ok(-d "$leader->{dir}.upgrade", 'what it has made is there');
	ok(!-e journal(), 'there is no journal');
	is($cluster->etcd_get('initialize'), $sysid, 'the system identifier is the same');
	return;
}

# Killed when it has written its journal; then other nodes are started.
sub overtaken
{
	is_killed('with a journal', deadly($old, 'pg_controldata', has_journal()), $new);
	is($cluster->etcd_get('initialize'), $sysid, 'the system identifier is the same');
	ok(scalar(glob "$leader->{dir}.upgrade.failed-*"), 'the first attempt was put aside');

	$leader->start;
	is($leader->wait_for_exit, EXIT_REFUSED, 'this node does not start');
	ok($leader->log_contains(qr/U01 a major upgrade of this node is not finished\n.*hint: Run "pg_ha_boot upgrade-major" again/),
		'and says what to do');

	$_->start foreach $standby, $other;
	my $led = $cluster->wait_for_leader;
	$led->safe_psql('INSERT INTO acked VALUES (0, 0)');
	$rows++;
	my ($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'refused while others run');
	like($said, qr/U02/, 'who are told');
	$cluster->wait_streaming(1);
	$_->stop foreach $led == $standby ? ($other, $led) : ($standby, $led);
	HaCluster::wait_until('nobody is there', sub { !defined $cluster->etcd_get('leader') });
	($code, $said) = upgrade($leader);
	is($code, EXIT_REFUSED, 'refused when others have led');
	like($said, qr/U05 cluster "$scope" is not as it was when the upgrade began: somebody has led it since/, 'which is told');
	is_untouched();

	$cluster->start_all;
	$cluster->wait_for_leader;
	$cluster->wait_streaming(2);
	$leader = $cluster->leader;
	is($leader->safe_psql('SELECT count(*) FROM acked'), $rows, 'the cluster has all rows');
	($standby, $other) = $cluster->standbys;
	stop_cluster($standby);
	return;
}

sub upgraded
{
	my $uuid = identity();
	my $config = $cluster->etcd_get('config');

	# with the journal alone; when etcd knows; in the midst of two renamings
	is_killed('with a journal', deadly($old, 'pg_controldata', has_journal()), $new);
	is($cluster->etcd_get('initialize'), $sysid, 'the system identifier is the same');
	my ($journal, $aside) = slurp_file(journal()) =~ m{^\d+ (\d+) \S+ (/.*)$}m;
	is_killed('when etcd knows', $old, deadly($new, 'pg_controldata', has_journal()));
	is($cluster->etcd_get('initialize'), $journal, 'it has the new identifier');
	$leader->start;
	is($leader->wait_for_exit, EXIT_REFUSED, 'the old data is not started');
	rename $leader->{dir}, $aside or die "could not rename: $!";
	my ($code, $said) = upgrade($leader, '--check');
	is($code, EXIT_REFUSED, 'too late for a check');
	($code, $said) = upgrade($leader);
	is($code, 0, 'done, between the two renamings') or diag $said;
	like($said, qr/cluster "$scope" is upgraded to PostgreSQL \d+; its system identifier is $journal/, 'it says so');
	ok(-e "$aside/standby.signal", 'the old data is there, and no primary by itself');
	ok(!-e "$leader->{dir}.upgrade", 'the new one is in its place');
	ok(!-e "$leader->{dir}.pg_ha/delete_old_cluster.sh", 'nothing that would delete it');
	is($cluster->etcd_get('initialize'), $journal, 'the cluster has its identifier');
	isnt(identity(), $uuid, 'and a new uuid');
	is($cluster->etcd_get('config'), $config, 'and its configuration');
	is($cluster->etcd_get($_), undef, "$_ of the old WAL is gone")
	  foreach 'pg_ha/term', 'history', 'status', 'sync';

	($code, $said) = upgrade($leader);
	is($code, $is_same_version ? EXIT_REFUSED : EXIT_CONFIGURATION, 'once is enough');
	like($said,
		$is_same_version ? qr/U03 member "$leader->{name}" has not led cluster "$scope" last/
		: qr/P03 the data is of PostgreSQL \d+, the programs are of/,
		'which is told');
	$leader->set_programs($new);
	$leader->start;
	is($cluster->wait_for_leader, $leader, 'the node leads');
	is($leader->safe_psql('SELECT count(*) FROM acked'), $rows, 'all rows are there');
	is($leader->safe_psql('SELECT system_identifier FROM pg_control_system()'), $journal, 'as said');
	is($leader->safe_psql('SHOW data_checksums') . ' ' . $leader->safe_psql('SHOW server_encoding'),
		'on UTF8', 'like the old one');
	return;
}

# P12b by the new uuid, or P03 by the version; then they are cloned.
sub others
{
	foreach my $node ($standby, $other)
	{
		my $offset = $node->log_size;

		$node->set_programs($new);
		$node->start;
		is($node->wait_for_exit, $is_same_version ? EXIT_REFUSED : EXIT_CONFIGURATION,
			$node->name . ' is refused');
		ok( $node->log_contains(
				$is_same_version
				? qr/P12b data directory belongs to pg_ha cluster "$scope" .*\n.*hint: .* To make this node a copy of "$scope", move "$node->{dir}" and "$node->{dir}\.pg_ha" away/
				: qr/P03 data directory "$node->{dir}" was made by PostgreSQL .*\n.*hint: Give the programs of that version/,
				$offset),
			'as data of before, with a hint');
		my ($code, $said) = $node->boot('wipe', "--confirm=$scope");
		is($code, 0, 'moved away') or diag $said;
		$node->start;
	}
	$cluster->wait_streaming(2);
	is($_->safe_psql('SELECT count(*) FROM acked'), $rows, $_->name . ' has all rows')
	  foreach $cluster->nodes;
	return;
}
