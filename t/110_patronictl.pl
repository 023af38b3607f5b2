#
# patronictl as Debian 12 has it, and a later Debian's, on a cluster of pg_ha: every command
# that people have in their fingers shows what is so, and does what it says.
#
# The later one comes from "test/aside forky patroni", and runs with this machine's Python.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

my $aside = ($ENV{ASIDE_DIR} // '/var/tmp/pg_ha_aside') . '/forky';

# What they call things, and where the modules are
my @programs = grep { -x $_->{path} } (
	{
		path => '/usr/bin/patronictl',
		from => '--master',
		standby => 'running',
		lag => 'Lag in MB',
	},
	{
		path => "$aside/usr/bin/patronictl",
		from => '--leader',
		standby => 'streaming',
		lag => 'Replay Lag',
		library => "$aside/usr/lib/python3/dist-packages",
	});

plan skip_all => 'there is no patronictl' unless @programs;

my $cluster = HaCluster->new(nodes => 2);
my ($n1, $n2) = $cluster->nodes;
my $scope = $cluster->{scope};
my $yml = "$cluster->{base}/patroni.yml";

append_to_file($yml, <<"END_OF_FILE");
scope: $scope
namespace: /service/
etcd3:
  hosts: 127.0.0.1:$cluster->{etcds}[0]{port}
END_OF_FILE

$cluster->start_led_by('n1');
HaCluster::wait_until('the standby has the functions',
	sub { ($n2->psql('SELECT pg_ha_get_config()'))[0] == 0 });

my $program;
my $ended = 0;					# timelines

foreach (@programs)
{
	$program = $_;
	local $ENV{PYTHONPATH} = $program->{library} // '';
	subtest version_of($program) => \&commands;
}
subtest 'the later one' => sub { plan skip_all => 'run "test/aside forky patroni" for it' }
  unless grep { $_->{library} } @programs;
subtest 'remove' => \&remove;
done_testing();

sub version_of
{
	my (undef, $out) = HaCluster::capture(60, $_[0]{path}, 'version');

	diag($out);
	return $out;
}

sub commands
{
	subtest 'version' => \&version;
	subtest 'list' => \&list;
	subtest 'topology' => \&topology;
	subtest 'dsn' => \&dsn;
	subtest 'query' => \&query;
	subtest 'show-config and edit-config' => \&config;
	subtest 'pause and resume' => \&pause;
	subtest 'switchover' => \&switchover;
	subtest 'switchovers that are refused' => \&refused;
	subtest 'a scheduled switchover, and flush' => \&flush;
	subtest 'a scheduled restart, and flush' => \&flush_restart;
	subtest 'failover' => \&failover;
	subtest 'history' => \&history;
	subtest 'restart' => \&restart;
	subtest 'reload' => \&reload;
	subtest 'reinit' => \&reinit;
	subtest 'demote-cluster and promote-cluster' => \&turn_cluster if $program->{library};
	return;
}

# All that it says.  It must not have come to its fallback, which is to write into etcd.
sub ctl
{
	my ($command, @args) = @_;
	my ($rc, $out, $err) = HaCluster::capture(90, $program->{path}, '-c', $yml, $command, @args);

	unlike("$out$err", qr/Traceback|falling back|not accessible/, "$command @args");
	return "$out$err" . ($rc == 0 ? '' : "exit code $rc");
}

sub rows
{
	return @{ decode_json(ctl('list', '-f', 'json')) };
}

sub version
{
	my $out = ctl('version', $scope);
	my $server = $n1->safe_psql('SHOW server_version') =~ s/ .*//r;

	like($out, qr/^n$_: Patroni 1\.0 PostgreSQL \Q$server\E$/m, "n$_") foreach 1, 2;
	return;
}

sub list
{
	my @rows = rows();

	is(join(' ', map { "$_->{Member}=$_->{Role}=$_->{State}" } @rows),
		"n1=Leader=running n2=Replica=$program->{standby}", 'the members');
	is($rows[0]{Cluster}, $scope, 'the cluster');
	is($rows[1]{Host}, "127.0.0.1:$n2->{port}", 'where it is') if $rows[1]{Host} =~ /:/;
	is($rows[1]{TL}, $n1->timeline, 'the timeline');
	is($rows[1]{ $program->{lag} }, 0, 'the lag');
	$cluster->configure({ synchronous_mode => JSON::PP::true });
	HaCluster::wait_until('it is a synchronous standby',
		sub { (rows())[1]{Role} eq 'Sync Standby' });
	$cluster->configure({ synchronous_mode => JSON::PP::false });
	HaCluster::wait_until('no more', sub { (rows())[1]{Role} eq 'Replica' });
	return;
}

sub topology
{
	like(ctl('topology'), qr/^\| n1 .*Leader.*\n\| \+ n2 .*Replica/m, 'who follows whom');
	return;
}

sub dsn
{
	is(ctl('dsn'), "host=127.0.0.1 port=$n1->{port}", 'of the leader');
	is(ctl('dsn', '-m', 'n2'), "host=127.0.0.1 port=$n2->{port}", 'of a member');
	return;
}

sub query
{
	$n1->safe_psql(q{DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD 'app'});
	local $ENV{PGPASSWORD} = 'app';
	my @as = ('-U', 'app', '-d', 'postgres', '-c', 'SELECT pg_is_in_recovery() AS recovers');

	$n1->safe_psql(q{SELECT pg_reload_conf()});
	like(ctl('query', '-r', 'leader', @as), qr/^False$/m, 'on the leader');
	HaCluster::wait_until('the standby knows the role',
		sub { $n2->safe_psql(q{SELECT count(*) FROM pg_roles WHERE rolname = 'app'}) });
	like(ctl('query', '-r', 'replica', @as), qr/^True$/m, 'on a standby');
	return;
}

sub config
{
	like(ctl('show-config'), qr/^ttl: 3$/m, 'shown');
	like(ctl('edit-config', '--force', '-s', 'ttl=4', '-p', 'work_mem=3MB'),
		qr/^Configuration changed$/m, 'changed');
	HaCluster::wait_until('it is in force',
		sub { $n2->safe_psql('SHOW work_mem') eq '3MB' });
	like(ctl('show-config'), qr/^ttl: 4$/m, 'shown');
	$cluster->configure({});
	HaCluster::wait_until('it is as it was',
		sub { $n2->safe_psql('SHOW work_mem') eq '4MB' });
	return;
}

sub pause
{
	like(ctl('pause', '--wait'), qr/^Success: cluster management is paused$/m, 'pause');
	is(join(' ', map { $_->status('paused') } $n1, $n2), 't t', 'all servers are');
	like(ctl('list'), qr/Maintenance mode: on/, 'list shows it');
	like(ctl('resume', '--wait'), qr/^Success: cluster management is resumed$/m, 'resume');
	is(join(' ', map { $_->status('paused') } $n1, $n2), 'f f', 'none is paused');
	return;
}

sub switchover
{
	like(ctl('switchover', '--force', $program->{from}, 'n1', '--candidate', 'n2'),
		qr/Successfully switched over to "n2"/, 'to a member');
	$cluster->wait_until_leads('n2');
	$cluster->wait_streaming(1);
	like(ctl('switchover', '--force'), qr/Successfully switched over to "n1"/, 'to anybody');
	$cluster->wait_until_leads('n1');
	$cluster->wait_streaming(1);
	return;
}

sub refused
{
	like(ctl('switchover', '--force', '--candidate', 'n9'),
		qr/Member n9 does not exist/, 'a stranger');
	$n2->stop;
	HaCluster::wait_until('its key is gone', sub { !defined $cluster->etcd_get('members/n2') });
	like(ctl('switchover', '--force'), qr/No candidates found to switchover to/, 'nobody is there');
	$n2->start;
	$cluster->wait_streaming(1);
	$cluster->wait_until_leads('n1');
	return;
}

sub flush
{
	my $at = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(time + 3600));

	like(ctl('switchover', '--force', '--candidate', 'n2', '--scheduled', $at),
		qr/Switchover scheduled/, 'scheduled');
	like(ctl('list'), qr/Switchover scheduled at: .*\n\s+from: n1\n\s+to: n2/, 'list shows it');
	like(ctl('flush', $scope, 'switchover', '--force'),
		qr/Success: scheduled switchover deleted/, 'flushed');
	like(ctl('flush', $scope, 'switchover', '--force'), qr/No pending scheduled switchover/,
		'it is gone');
	return;
}

sub flush_restart
{
	my $at = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(time + 3600));

	like(ctl('restart', '--force', $scope, 'n2', '--scheduled', $at),
		qr/Success: restart scheduled on member n2/, 'scheduled');
	HaCluster::wait_until('the member says so',
		sub { $cluster->etcd_get('members/n2') =~ /scheduled_restart/ });
	HaCluster::wait_until('list shows it',
		sub { ((rows())[1]{'Scheduled restart'} // '') =~ /^\Q@{[ substr($at, 0, 19) ]}\E/ });
	like(ctl('flush', $scope, 'restart', '--force'),
		qr/No scheduled restart for member n1.*Success: flush scheduled restart for member n2/s, 'flushed');
	HaCluster::wait_until('it is gone',
		sub { $cluster->etcd_get('members/n2') !~ /scheduled_restart/ });
	return;
}

sub failover
{
	like(ctl('failover', '--force', '--candidate', 'n2'),
		qr/Successfully (failed|switched) over to "n2"/, 'to a member');
	$cluster->wait_until_leads('n2');
	$cluster->wait_streaming(1);
	like(ctl('failover', '--force', '--candidate', 'n1'),
		qr/Successfully (failed|switched) over to "n1"/, 'and back');
	$cluster->wait_streaming(1);
	return;
}

sub history
{
	my @lines = @{ decode_json(ctl('history', '-f', 'json')) };
	my @ours = grep { $_->{TL} > $ended } @lines;

	is(join(' ', map { $_->{TL} } @ours), join(' ', map { $ended + $_ } 1 .. 4),
		'four timelines have ended');
	is(join(' ', map { $_->{'New Leader'} } @ours), 'n2 n1 n2 n1', 'who led then');
	$ended += 4;
	return;
}

sub restart
{
	my %before = map { $_->name => $_->postmaster_pid } $n1, $n2;

	like(ctl('restart', '--force', $scope, 'n2'), qr/^Success: restart on member n2$/m, 'one');
	isnt($n2->postmaster_pid, $before{n2}, 'n2 was');
	unlike(ctl('restart', '--force', '--pending', $scope), qr/Success/, 'none is pending');
	is($n1->postmaster_pid, $before{n1}, 'so none was');
	like(ctl('restart', '--force', $scope, 'n1'), qr/^Success: restart on member n1$/m,
		'the leader');
	isnt($n1->postmaster_pid, $before{n1}, 'it was');
	$cluster->wait_until_leads('n1');
	$cluster->wait_streaming(1);
	return;
}

sub reload
{
	my $value = ($ended + 70) . 's';

	$n2->add_settings("log_min_duration_statement = '$value'");
	like(ctl('reload', '--force', $scope, 'n2'), qr/^Reload request received for member n2/m,
		'reload');
	HaCluster::wait_until('the node file was read',
		sub { $n2->safe_psql('SHOW log_min_duration_statement') eq $value });
	return;
}

sub reinit
{
	my $inode = (stat $n2->{dir})[1];

	like(ctl('reinit', '--force', $scope, 'n1'), qr/I am the leader|not a replica|No replica/i,
		'not the leader');
	like(ctl('reinit', '--force', '--wait', $scope, 'n2'),
		qr/Success: reinitialize for member n2.*Reinitialize is completed on: n2/s, 'a standby');
	isnt((stat $n2->{dir})[1], $inode, 'its data was made anew');
	is(scalar $n2->rest('/replica'), 200, 'and it serves');
	return;
}

# These change the configuration, which is refused: pg_ha_demote_cluster() and
# pg_ha_promote_cluster() ask the source first.
sub turn_cluster
{
	my $config = $cluster->etcd_get('config');

	like(ctl('demote-cluster', $scope, '--force', '--host', '127.0.0.1', '--port', '1'),
		qr/cannot be demoted by a change of its configuration/, 'demote-cluster is refused');
	is($cluster->etcd_get('config'), $config, 'nothing was written');
	like(ctl('promote-cluster', $scope, '--force'), qr/already in the required state/,
		'there is nothing to promote');
	return;
}

# It asks for confirmations on its standard input.
sub remove
{
	my $answers = "$cluster->{base}/answers";
	my %keys = map { $_ => $cluster->etcd_get($_) } qw(config history initialize pg_ha/identity);

	$n2->stop;
	$n1->stop;
	HaCluster::wait_until('the leader key is gone', sub { !defined $cluster->etcd_get('leader') });
	append_to_file($answers, "$scope\nYes I am aware\n");
	foreach (@programs)
	{
		local $ENV{PYTHONPATH} = $_->{library} // '';
		$cluster->etcd_put($_, $keys{$_}) foreach keys %keys;
		my ($rc, $out, $err) =
		  HaCluster::capture(60, 'sh', '-c', "exec $_->{path} -c $yml remove $scope <$answers");
		is($rc, 0, "remove by $_->{path}") or diag("$out$err");
		my (undef, $left) = $cluster->etcdctl('get', '--prefix', '--keys-only', $cluster->key(''));
		is($left, '', 'no key is left');
	}
	return;
}
