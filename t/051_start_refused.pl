#
# pg_ha_boot run: a node that can't be started right is not started, says why, and leaves
# data and keys alone; one that only lacks a directory or etcd is started all the same.
#
# Names of subtests begin with a code or a scenario of docs/check.md.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Digest::SHA;
use File::Find ();
use File::Path qw(make_path rmtree);
use HaCluster;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { CONFIGURATION => 10, REFUSED => 12 };

my $cluster = HaCluster->new(nodes => 2);
my $base = $cluster->{base};
my ($n1, $n2) = $cluster->nodes;
my $short = PostgreSQL::Test::Utils::tempdir_short();
my $variants = 0;
my ($rc, $bin) = HaCluster::capture(10, 'pg_config', '--bindir');

# Nothing is there yet but the configuration.
my $keys = keys_of_store();

subtest 'D4: a program is missing' => sub {
	my $programs = "$base/programs";
	mkdir $programs;
	symlink "$bin/$_", "$programs/$_" foreach qw(postgres initdb pg_basebackup);
	is_refused($n1, CONFIGURATION, qr/P02 cannot find "pg_rewind" in/,
		args => [ '-b', $programs ]);
	ok(!-e $n1->{dir}, 'there is no data');
};

subtest 'B1, O6: something else is there' => sub {
	my $dir = "$base/foreign";
	mkdir $dir;
	append_to_file("$dir/letter", "Dear\n");
	is_refused($n1, REFUSED, qr/P05 data directory .* not empty \(1 entries: letter\)/,
		dir => $dir);
	is(slurp_file("$dir/letter"), "Dear\n", 'it is still there');
};

subtest 'D1, O3: a directory cannot be made' => sub {
	is_refused($n1, CONFIGURATION,
		qr{P08 directory "/proc/here" \(unix_socket_directories\) does not exist and cannot},
		lines => "unix_socket_directories = '/proc/here'");
	ok(!-e $n1->{dir}, 'there is no data');
};

subtest 'D3: a setting that does not exist' => sub {
	is_refused($n1, CONFIGURATION, qr/P01 \S+:\d+: there is no setting "pg_ha.etcd_endpont"/,
		lines => "pg_ha.etcd_endpont = 'x'");
	is_refused($n1, CONFIGURATION, qr/P01 invalid configuration: .*"wal_levl"/,
		lines => 'wal_levl = replica');
};

subtest 'E2, P13: an address that others cannot reach' => sub {
	is_refused($n1, CONFIGURATION, qr/P13 .* could not connect to "127.0.0.1"/,
		lines => "pg_ha.etcd_endpoints = 'http://192.0.2.1:2379'");
};

subtest 'E2, P07: the port is in use' => sub {
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
		LocalPort => $n1->{port}, Listen => 5) or die "could not listen: $!";
	is_refused($n1, CONFIGURATION, qr/P07 port $n1->{port} on 127.0.0.1 is in use by process $$ /);
	ok(!-e $n1->{dir}, 'there is no data');
};

is(keys_of_store(), $keys, 'no key was put, of all these');

subtest 'D1, O3: directories are made' => sub {
	$n1->add_settings("unix_socket_directories = '$cluster->{sockets}, $short/a/b,$short/c'\n"
		  . "logging_collector = on\nlog_directory = '$short/log'");
	$n1->start;
	$cluster->wait_for_leader;
	listens("$short/a/b");
	listens("$short/c");
	is((stat "$short/c")[2] & 0777, 0775, 'everybody can get to the sockets');
	is((stat "$short/log")[2] & 0777, 0700, 'but not to the log');
	ok($n1->log_contains(qr{created directory "\Q$short\E/a/b" \(unix_socket_directories\)}),
		'the log says so');

	# As after a reboot, for what lies in /run
	$n1->stop;
	rmtree(["$short/a", "$short/c", "$short/log"]);
	$n1->start;
	$cluster->wait_for_leader;
	listens("$short/a/b");
};

subtest 'O5, P11: a second pg_ha_boot' => sub {
	is_refused($n1, REFUSED, qr/P11 another pg_ha_boot runs for this node/);
	is($cluster->leader, $n1, 'the first one leads on');
};

subtest 'P11: two names that would share a slot' => sub {
	is_refused($n2, REFUSED, qr/P11 member name "N1" maps to slot "n1", already used by member "n1"/,
		lines => "pg_ha.name = 'N1'");
	ok(!-e $n2->{dir}, 'nothing was cloned');
};

my $plain = "$base/plain";
subtest 'O5, P06: a server runs there' => sub {
	($rc) = HaCluster::capture(120, "$bin/initdb", '-N', '-A', 'trust', '-D', $plain);
	is($rc, 0, 'initdb');
	my $server = $cluster->start_plain($bin, $plain);
	my $pid = $server->{pid};
	my $start = HaCluster::start_time($pid);

	is_refused($n2, REFUSED, qr/P06 server already runs on "\S+" \(pid $pid, /,
		dir => $plain);
	ok(HaCluster::is_alive($pid, $start), 'it goes on running');
	$cluster->stop_plain($server);
};

# Somebody mends his data, while the service manager starts us.
subtest 'O5, P06: somebody works there with --single' => sub {
	my ($in, $out) = ('', '');
	my $single = IPC::Run::start([ "$bin/postgres", '--single', '-D', $plain, 'postgres' ],
		'<', \$in, '>', \$out, '2>&1');
	my $pid;

	HaCluster::wait_until(
		'it is there',
		sub {
			($pid) = -e "$plain/postmaster.pid" ?
			  slurp_file("$plain/postmaster.pid") =~ /^-(\d+)$/m : ();
			return $pid && $out =~ /^backend>/m || do { $single->pump_nb; 0 };
		});
	my $start = HaCluster::start_time($pid);

	is_refused($n2, REFUSED, qr/P06 server already runs on "\S+" \(pid $pid, /,
		dir => $plain);
	ok(HaCluster::is_alive($pid, $start), 'it was not ended');
	$in .= "SELECT 'still here';\n";
	HaCluster::wait_until('it answers',
		sub { $single->pump_nb; $out =~ /"still here"/ });
	$single->finish;
};

subtest 'D2, P12: data of another cluster' => sub {
	my $before = tree($plain);
	my $err = is_refused($n2, REFUSED,
		qr/P12 data directory "\S+" has system identifier (\d+), cluster "\w+" has (\d+)/,
		dir => $plain);
	like($err, qr/hint: .*looks like the empty cluster made by the package installer/,
		'what it looks like');
	is(tree($plain), $before, 'it is as it was');
	unlike($err, qr/starting the server/, 'no server was started');
};

subtest 'P18: another unit starts this server' => sub {
	my $wants = "$base/root/etc/systemd/system/multi-user.target.wants";
	make_path($wants);
	append_to_file("$wants/my.service",
		"[Service]\nEnvironment=PGDATA=$n2->{dir}\nExecStart=/usr/bin/pg_ctl start\n");
	is_refused($n2, CONFIGURATION, qr/P18 my.service is enabled and would start this server/,
		args => [ '--root', "$base/root" ]);
	ok(!-e $n2->{dir}, 'there is no data');
};

subtest 'a server that runs is attached to, whatever else is wrong' => sub {
	my $postmaster = $n1->postmaster_pid;
	my $offset = $n1->log_size;

	$n1->add_settings('max_connections = 20');
	$n1->kill9($n1->boot_pid);
	$n1->start;
	HaCluster::wait_until('it is attached to',
		sub { $n1->log_contains(qr/attached to the server that is running/, $offset) });
	is($cluster->wait_for_leader, $n1, 'it leads');
	is($n1->postmaster_pid, $postmaster, 'and was not restarted');
	ok(!$n1->log_contains(qr/P16/, $offset), 'nothing was checked');
};

subtest 'P16: less than the primary had is no reason not to start' => sub {
	my $offset = $n1->log_size;

	$n1->stop;
	$n1->start;
	is($cluster->wait_for_leader, $n1, 'it leads');
	is($n1->safe_psql('SHOW max_connections'), 60, 'with what it had');
	ok($n1->log_contains(qr/P16 max_connections = 20 is lower than on the primary \(60\)/, $offset),
		'which is told before');
	ok($n1->log_contains(qr/starting with max_connections = 60 as the primary has/, $offset),
		'and when it is done');
	HaCluster::wait_until('and shown',
		sub { $n1->safe_psql('SELECT pending_restart FROM pg_ha_members()') =~ /max_connections/ });
	$n1->add_settings('max_connections = 60');
	$n1->stop;
};

d6();
done_testing();

# A former leader's data, and no etcd
sub d6
{
	subtest 'D6: without etcd it waits, if told so' => sub {
		my $offset = $n1->log_size;
		$n1->add_settings("pg_ha.start_without_dcs = no\npg_ha.dcs_start_timeout = '1s'");
		$cluster->etcd_stop;
		$n1->start;
		HaCluster::wait_until('the log says that etcd is away',
			sub { $n1->log_contains(qr/P10 no etcd endpoint is usable/, $offset) });
		my $from = HaCluster::now();
		HaCluster::wait_until('the time is over', sub { HaCluster::now() > $from + 3 });
		ok(!-e "$n1->{dir}/postmaster.pid", 'no server was started');
		ok($n1->is_running, 'pg_ha_boot waits');
		my @said = slurp_file($n1->{log}, $offset) =~ /P10 /g;
		is(@said, 1, 'and does not say so all the time');
		$n1->stop;
	};

	subtest 'D6: without etcd it is a standby' => sub {
		$n1->add_settings('pg_ha.start_without_dcs = standby');
		$n1->start;
		HaCluster::wait_until('it serves reads',
			sub { ($n1->psql('SELECT 1', timeout => 3))[0] == 0 });
		is($n1->safe_psql('SELECT pg_is_in_recovery()'), 't', 'in recovery');
		my ($code, $out, $err) = $n1->psql('INSERT INTO acked VALUES (0, 0)');
		isnt($code, 0, 'it writes nothing');
		like($err, qr/read-only transaction/, 'being a standby');
		is($n1->safe_psql("SELECT ok FROM pg_ha_health() WHERE check_name = 'store'"),
			'f', 'it knows that it has no store');
		$cluster->etcd_start;
		is($cluster->wait_for_leader, $n1, 'it leads when etcd is back');
	};
	return;
}

# ---------------------------------------------------------------------------

# pg_ha_boot run ends at once with that code and reason; returns what it said.
sub is_refused
{
	my ($node, $code, $reason, %args) = @_;
	my $file = "$base/variant." . ++$variants . '.conf';
	my $dir = $args{dir} // $node->{dir};

	append_to_file($file, slurp_file($node->{file}) . ($args{lines} // '') . "\n");
	my ($status, $out, $err) = HaCluster::capture(60, 'pg_ha_boot', 'run', '-D', $dir,
		'-c', $file, @{ $args{args} // [] });
	is($status >> 8, $code, "exit code $code") or diag $err;
	like($err, $reason, 'it says why');
	like($err, qr/hint: \S/, 'and what to do');
	return $err;
}

sub listens
{
	my ($dir) = @_;
	my ($status, $out) = HaCluster::capture(10, 'psql', '-XAtq', '-d',
		"host=$dir port=$n1->{port} dbname=postgres", '-c', 'SELECT 1');
	is($out, '1', 'the server listens in ' . basename_of($dir));
	return;
}

sub basename_of
{
	my ($path) = @_;
	return $path =~ s{.*/}{}r;
}

sub tree
{
	my ($dir) = @_;
	my $text = '';

	File::Find::find(
		{
			no_chdir => 1,
			preprocess => sub { return sort @_; },
			wanted => sub {
				$text .= join(' ', $_, (lstat $_)[ 2, 7, 9 ]) . "\n";
			},
		},
		$dir);
	return Digest::SHA::sha1_hex($text);
}

sub keys_of_store
{
	my ($status, $out, $err) = $cluster->etcdctl('get', '--prefix', '', '-w', 'fields');
	die "could not read etcd: $err" if $status != 0;
	return $out =~ s/"(?:MemberID|RaftTerm)" : \d+\n//gr;
}
