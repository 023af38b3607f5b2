#
# pg_ha_boot check: each fault, provoked alone, is told with its code, a hint and its
# exit code, and several at once are all told; no file and no key is changed by that.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Cwd ();
use Digest::SHA;
use File::Basename;
use File::Find ();
use File::Path qw(make_path rmtree);
use HaCluster;
use IO::Socket::INET;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

sub part;

use constant { OK => 0, CONFIGURATION => 10, TEMPORARY => 11, REFUSED => 12 };

my $cluster = HaCluster->new(nodes => 2);
my $base = $cluster->{base};
my ($n1, $n2) = $cluster->nodes;
my $bin = bin_dir();
my $variants = 0;

# n1 has data and is down, n2 has none: then nobody writes but whom we watch.
$n1->start;
$cluster->wait_for_leader;
$n1->stop;

is_found('all is well with data', n1(), OK, []);
is_found('all is well without data', n2(), OK, []);

is_found('P01: a setting that does not exist', n2("pg_ha.etcd_endpont = 'x'"),
	CONFIGURATION, [qr/P01 \S+\.conf:\d+: there is no setting "pg_ha.etcd_endpont"/],
	hint => qr/Did you mean "pg_ha.etcd_endpoints"/);
is_found('P01: what the server says of its own settings', n1('max_connections = many'),
	CONFIGURATION, [qr/P01 invalid configuration: .*"max_connections"/]);

is_found('P02: a program is missing', n1(-b => programs(qw(postgres initdb pg_basebackup))),
	CONFIGURATION, [qr/P02 cannot find "pg_rewind" in "\S+"/]);

is_found(
	'P03: programs of another version',
	n2(-b => elder_programs()),
	CONFIGURATION,
	[ (qr/P03 "\S+" is of PostgreSQL 9, but pg_ha_boot was built for \d+/) x 4 ]);
my ($major) = (HaCluster::capture(10, "$bin/postgres", '--version'))[1] =~ /(\d+)/;
SKIP:
{
	skip 'the library is where these programs would look for it', 1
	  if -e "/usr/lib/postgresql/$major/lib/pg_ha.so";
	is_found('P03: the library is missing', n2(-b => wrapped_programs()), CONFIGURATION,
		[qr/P03 library "pg_ha" not found in "\S+"/]);
}
with_change("$n1->{dir}/PG_VERSION", sub { return "14\n" },
	sub {
		is_found('P03: data of another version', n1(), CONFIGURATION,
			[qr/P03 data directory "\S+" was made by PostgreSQL 14, but/]);
	});

chmod 0755, $n1->{dir};
is_found('P04: the data directory is open to others', n1(), CONFIGURATION,
	[qr/P04 data directory "\S+" has mode 0755/], hint => qr/chmod 0700/);
chmod 0700, $n1->{dir};

my $foreign = "$base/foreign";
mkdir $foreign;
append_to_file("$foreign/letter", "Dear\n");
is_found('P05: something else is there', n2(-D => $foreign), REFUSED,
	[qr/P05 data directory "\S+" is not empty \(1 entries: letter\) and is not/]);

my $plain = make_plain();
part 'P06: a server runs there' => sub {
	my $server = $cluster->start_plain($bin, $plain->{dir});
	my $pid = $server->{pid};

	found_here(plain(), REFUSED,
		[qr/P06 server already runs on "\S+" \(pid $pid, started/], except => 'P17');
	ok(HaCluster::is_alive($pid), 'it goes on running');
	$cluster->stop_plain($server);
};

part 'P07: the port is in use' => sub {
	my $listener = listen_at($n2->{port});
	found_here(n2(), CONFIGURATION,
		[qr/P07 port $n2->{port} on 127.0.0.1 is in use by process $$ \(/]);
};
my $lock = "$cluster->{sockets}/.s.PGSQL.$n2->{port}.lock";
my $owner = $cluster->etcd_pid(1);
append_to_file($lock, "$owner\n");
is_found('P07: the socket is in use', n2(), CONFIGURATION,
	[qr/P07 socket lock file "\Q$lock\E" belongs to process $owner/]);
unlink $lock;
is_found('P07: no address of this host', n2("listen_addresses = '192.0.2.1'"),
	CONFIGURATION, [qr/P07 none of listen_addresses = '192.0.2.1' is an address/]);

is_found('P08: a directory cannot be made',
	n2("unix_socket_directories = '/proc/here'"), CONFIGURATION,
	[qr{P08 directory "/proc/here" \(unix_socket_directories\) does not exist and cannot be created: }],
	hint => qr{install -d -o \S+ -g \S+ /proc/here});
is_found('P08: a file is in the way',
	n1("logging_collector = on\nlog_directory = '$n1->{file}'"), CONFIGURATION,
	[qr/P08 "\S+" \(log_directory\) is not a directory/]);

rename "$n1->{dir}/pg_wal", "$base/wal" or die;
symlink "$base/nowhere", "$n1->{dir}/pg_wal" or die;
is_found('P09: pg_wal leads nowhere', n1(), CONFIGURATION,
	[qr/P09 pg_wal points to "\S+nowhere", which does not exist/]);
unlink "$n1->{dir}/pg_wal";
rename "$base/wal", "$n1->{dir}/pg_wal" or die;

p10();

$cluster->etcd_put('members/n2', JSON::PP::encode_json(
	{ conn_url => 'postgres://10.0.0.6:5432/postgres', state => 'running', role => 'replica' }));
is_found('P11: the name is in use', n2(), REFUSED,
	[qr/P11 member name "n2" is already in use by 10.0.0.6:5432 \(alive\)/]);
is_found('P11: two names would share a slot', n2("pg_ha.name = 'N2'"), REFUSED,
	[qr/P11 member name "N2" maps to slot "n2", already used by member "n2"/]);
$cluster->etcd_delete('members/n2');

is_found("P12: another cluster's data",
	plain("pg_ha.scope = '$cluster->{scope}'"), REFUSED,
	[qr/P12 data directory "\S+" has system identifier \d+, cluster "\w+" has \d+/],
	hint => qr/looks like the empty cluster made by the package installer/,
	except => 'P17');

is_found(
	'P13: others could not connect',
	n2("pg_ha.etcd_endpoints = 'http://192.0.2.1:2379'\npg_ha.rest_listen = ''"),
	CONFIGURATION,
	[qr/P13 \S+: members on other hosts could not connect to "127.0.0.1"/]);

my $config = $cluster->etcd_get('config');
$cluster->etcd_put('config', '{"ttl": 5, "loop_wait": 10, "retry_timeout": 10}');
is_found('P14: times that do not fit', n2(), CONFIGURATION,
	[qr{P14 the configuration in "/service/\w+/config" is wrong: .*"?ttl"? .*must be at least}]);
$cluster->etcd_put('config', $config);

my $open_passfile = "$base/open.passfile";
append_to_file($open_passfile, "*:*:*:*:secret\n");
chmod 0644, $open_passfile;
is_found('P15: a password file that others can read',
	n2("pg_ha.replication_passfile = '$open_passfile'"), CONFIGURATION,
	[qr/P15 passfile "\S+" has mode 0644; must be 0600/]);

is_found('P16: less than the primary had', n1('max_connections = 20'), OK,
	[qr/P16 max_connections = 20 is lower than on the primary \(60\), which it starts with/]);

is_found('P17: neither checksums nor hints', plain(), OK,
	[qr/P17 pg_rewind will not be possible/]);

p18();

is_found('P19: no watchdog', n1("pg_ha.watchdog = '/dev/watchdog'"), CONFIGURATION,
	[qr/P01 \S+:\d+: there is no setting "pg_ha\.watchdog"/],
	hint => qr/no watchdog is needed \(P19\)/);

my $hba = "$n1->{dir}/pg_hba.conf";
with_change($hba, sub { return $_[0] . "host all all 127.0.0.1/32 magic\n" },
	sub {
		is_found('P20: a line that does not parse', n1(), CONFIGURATION,
			[qr/P20 hba_file "\Q$hba\E": line \d+: invalid authentication method "magic"/]);
	});
is_found('P20: no such file', n1("ident_file = '$base/no_ident'"), CONFIGURATION,
	[qr/P20 ident_file "\S+no_ident" cannot be read/]);

is_found('B02: an option of initdb that is ours', n2('--', '--pgdata=/tmp'),
	CONFIGURATION, [qr/B02 initdb option "--pgdata=\/tmp" is set by pg_ha_boot/]);
is_found('B03: initdb does not like its options', n2('--', '--data-checksums=true'),
	CONFIGURATION, [qr/B03 initdb failed: exit status 1: .*doesn't allow an argument/]);
is_found('initdb likes its options', n2('--', '--wal-segsize=4', '--no-locale'), OK, []);

part 'three faults at once' => sub {
	my $listener = listen_at($n2->{port});
	found_here(n2("unix_socket_directories = '/proc/here'", -D => $foreign),
		REFUSED, [ qr/P05 /, qr/P07 /, qr/P08 / ]);
};

verdicts();
with_a_leader();
documented();
done_testing();

# ---------------------------------------------------------------------------
# The subtests that need more
# ---------------------------------------------------------------------------

sub p10
{
	my $three = HaCluster->new(nodes => 1, etcd => 3);
	my ($node) = $three->nodes;
	my @ports = map { $_->{port} } @{ $three->{etcds} };
	my $at = sub {
		return [ $node->{dir}, $node->{file}, "pg_ha.etcd_endpoints = '"
			  . join(',', @_) . "'" ];
	};
	my $deaf = listen_at(0);
	my $none = qr/P10 no etcd endpoint usable \(0 of \d\)/;
	my $url = "http://127.0.0.1:$ports[0]";

	part 'P10: refused' => sub {
		found_here($at->('http://127.0.0.1:1'), TEMPORARY,
			[ qr{P10 etcd http://127.0.0.1:1: connection refused}, $none ]);
	};
	part 'P10: timeout, host not found, TLS, something else' => sub {
		my $port = $deaf->sockport;
		my $urls = $at->("http://127.0.0.1:$port", 'http://none.invalid:1',
			"https://127.0.0.1:$ports[0]");
		found_here(
			[ @$urls, "pg_ha.connect_address = '192.0.2.1:1'", "pg_ha.rest_listen = ''" ],
			TEMPORARY,
			[
				qr{P10 etcd http://127.0.0.1:$port: timeout after 2 s},
				qr{P10 etcd http://none.invalid:1: (host not found|timeout)},
				qr{P10 etcd https://127.0.0.1:$ports[0]: TLS: },
				$none
			]);
	};
	part 'P10: one of two is usable' => sub {
		found_here($at->('http://127.0.0.1:1', $url), OK,
			[qr{P10 etcd http://127.0.0.1:1: connection refused}]);
	};
	part 'P10: speaks v2 only' => sub {
		my $old = start_old_etcd();
		found_here($at->($old), TEMPORARY,
			[ qr{P10 etcd \Q$old\E: speaks v2 only}, $none ]);
	};
	part 'P10: an even number of members' => sub {
		my ($rc, $out) = $three->etcdctl('member', 'add', 'e4',
			'--peer-urls=http://127.0.0.1:1');
		is($rc, 0, 'a fourth member');
		found_here($at->($url), OK, [qr/P10 etcd has 4 voting members and can lose only 1; use 3 or 5/]);
		my ($id) = $out =~ /Member\s+([0-9a-f]+) added/;
		$three->etcdctl('member', 'remove', $id);
	};
	authentication($three, $url);
	part 'P10: no leader' => sub {
		$three->etcd_kill(2, 3);
		HaCluster::wait_until('the one that is left has no leader',
			sub {
				my ($rc, $out) = $three->etcdctl_at(1, 'endpoint', 'status', '-w', 'json');
				return $rc == 0 && !JSON::PP::decode_json($out)->[0]{Status}{leader};
			});
		found_here($at->($url), TEMPORARY,
			[ qr{P10 etcd \Q$url\E: etcd has no leader}, $none ]);
	};
	$three->end;
	return;
}

sub authentication
{
	my ($three, $url) = @_;
	my ($node) = $three->nodes;
	my $password = "$base/etcd_password";
	my $as = sub {
		my ($user) = @_;
		return [
			$node->{dir}, $node->{file}, "pg_ha.etcd_endpoints = '$url'",
			$user ? "pg_ha.etcd_user = '$user'\npg_ha.etcd_password_file = '$password'" : ''
		];
	};
	my $prefix = $three->key('');

	append_to_file($password, "right\n");
	chmod 0600, $password;
	foreach my $command (
		[qw(user add root:right)], [qw(user grant-role root root)],
		[qw(user add ha:right)], [qw(user add other:right)],
		[qw(role add ha)], [qw(user grant-role ha ha)],
		[ qw(role grant-permission --prefix ha readwrite), $prefix ],
		[qw(auth enable)])
	{
		my ($rc, $out, $err) = $three->etcdctl(@$command);
		is($rc, 0, "etcdctl @$command[0, 1]") or diag $err;
	}
	$three->etcd_user('root:right');

	part 'P10: authentication' => sub {
		found_here($as->(''), TEMPORARY,
			[ qr/P10 etcd \S+ demands authentication/, qr/P10 no etcd/ ]);
		found_here($as->('nobody'), TEMPORARY,
			[ qr/P10 etcd \S+ authentication failed for user "nobody"/, qr/P10 no etcd/ ]);
		found_here($as->('other'), TEMPORARY,
			[ qr/P10 etcd \S+ permission denied for user "other" on/, qr/P10 no etcd/ ]);
		my $err = found_here($as->('ha'), OK,
			[qr/P10 etcd \S+ authentication is on, but leases can be listed and ended/]);
		unlike($err, qr/right/, 'no password is told');
	};
	my ($rc) = $three->etcdctl('auth', 'disable');
	is($rc, 0, 'authentication is off again');
	$three->etcd_user(undef);
	return;
}

# Its HTTP gateway to v3 is off, so it looks as one that has none.
sub start_old_etcd
{
	my ($client, $peer) = map { 'http://127.0.0.1:' . HaCluster::get_free_port() } 1 .. 2;
	my $pid = HaCluster::spawn("$cluster->{log_prefix}_old_etcd.log",
		'etcd', '--name' => 'old', '--data-dir' => "$base/old_etcd",
		'--listen-client-urls' => $client, '--advertise-client-urls' => $client,
		'--listen-peer-urls' => $peer, '--initial-advertise-peer-urls' => $peer,
		'--initial-cluster' => "old=$peer", '--enable-grpc-gateway=false');

	push @{ $cluster->{proxies} }, { pid => $pid };
	HaCluster::wait_until('the old etcd answers',
		sub { HTTP::Tiny->new(timeout => 2)->get("$client/version")->{status} == 200 });
	return $client;
}

sub p18
{
	my $root = "$base/root";
	my $debian = "$root/etc/postgresql/15/main";
	my $wants = "$root/etc/systemd/system/multi-user.target.wants";

	make_path($debian, $wants);
	append_to_file("$debian/postgresql.conf", "data_directory = '$n1->{dir}'\n");
	append_to_file("$debian/start.conf", "# how\nauto\n");
	is_found('P18: no unit is enabled', n1('--root', $root), OK, []);

	append_to_file("$wants/postgresql.service", "[Service]\nExecStart=/bin/true\n");
	is_found('P18: a cluster of Debian starts by itself', n1('--root', $root),
		CONFIGURATION,
		[qr/P18 postgresql\@15-main.service is enabled and would start this server/],
		hint => qr/systemctl disable/);
	is_found('P18: and may', n1('--root', $root, '--ignore-unit'), OK, []);

	unlink "$debian/start.conf";
	append_to_file("$debian/start.conf", "manual\n");
	append_to_file("$wants/pg.service",
		"[Service]\nExecStart=/usr/bin/pg_ctl -D $n1->{dir}x start\n");
	append_to_file("$wants/ha.service",
		"[Service]\nExecStart=/usr/bin/pg_ha_boot run -D $n1->{dir} -c x\n");
	make_path("$root/etc/patroni");
	append_to_file("$root/etc/patroni/a.b.yml", "postgresql:\n  data_dir: $n1->{dir}x\n");
	append_to_file("$wants/patroni\@a.b.service",
		"[Service]\nExecStart=/usr/bin/patroni /etc/patroni/%i.yml\n");
	is_found('P18: other units do not matter', n1('--root', $root), OK, []);

	append_to_file("$root/etc/patroni/a.b.yml", "  data_dir: \"$n1->{dir}\"\n");
	is_found('P18: Patroni on this data', n1('--root', $root), CONFIGURATION,
		[qr/P18 patroni\@a.b.service is enabled/]);
	unlink "$root/etc/patroni/a.b.yml";

	append_to_file("$wants/my.service",
		"[Service]\nExecStart=/usr/bin/pg_ctl -D $n1->{dir} start\n");
	is_found('P18: a unit of somebody', n1('--root', $root), CONFIGURATION,
		[qr/P18 my.service is enabled/]);
	return;
}

# What check says of the directory, for each kind that there is.
sub verdicts
{
	my $empty = "$base/empty";
	my $mount = "$base/mount";
	my $half = "$base/half";

	mkdir $_ foreach $empty, $mount, "$mount/lost+found", $half, "$half.pg_ha";
	append_to_file("$half/PG_VERSION", slurp_file("$n1->{dir}/PG_VERSION"));
	append_to_file("$half.pg_ha/clone_in_progress", '');
	part 'B1, O6: verdicts' => sub {
		verdict_is("$base/absent", 'absent', 'clone', OK);
		verdict_is($empty, 'empty', 'clone', OK);
		verdict_is($mount, 'empty except lost+found', 'refuse', REFUSED);
		verdict_is($n1->{dir}, 'valid', 'rejoin', OK);
		verdict_is($half, 'half-initialised', 'clone', OK);
		verdict_is($foreign, 'foreign', 'refuse', REFUSED);
		verdict_is("$base/absent", 'absent', 'init', OK,
			"pg_ha.scope = 'new'");
	};
	return;
}

sub verdict_is
{
	my ($dir, $verdict, $action, $code, @lines) = @_;
	my ($rc, $out) = check([ $dir, $n2->{file}, @lines ], '--json');
	my $json = eval { JSON::PP::decode_json($out) } // {};

	is($rc >> 8, $code, "$verdict: exit code");
	is($json->{data_directory}{verdict}, $verdict, "$verdict: the verdict");
	is($json->{action}, $action, "$verdict: the action, $action");
	is($json->{exit_code}, $code, "$verdict: the exit code in JSON");
	return $json;
}

# Now somebody leads, and writes keys of its own all the time.
sub with_a_leader
{
	$n1->start;
	$cluster->wait_for_leader;

	part 'P11: another pg_ha_boot' => sub {
		my $pid = $n1->boot_pid;
		found_here(n1(), REFUSED, [qr/P11 another pg_ha_boot runs .*\(pid $pid\)/]);
	};
	part 'a leader to clone' => sub {
		found_here(n2(), OK, []);
	};

	my $wrong = "$base/wrong.passfile";
	append_to_file($wrong, "*:*:*:*:guess\n");
	chmod 0600, $wrong;
	part 'P15: the leader turns us away' => sub {
		my $err = found_here(n2("pg_ha.replication_passfile = '$wrong'"), CONFIGURATION,
			[qr/P15 cannot log in to leader "n1" at 127.0.0.1:\d+ as "ha_repl": password auth/]);
		unlike($err, qr/guess/, 'the password is not told');
	};

	# A hole counts as if it were data.
	my $oid = $n1->safe_psql("SELECT oid FROM pg_database WHERE datname = 'template1'");
	my $large = "$n1->{dir}/base/$oid/99999999";
	open my $fh, '>', $large or die "could not open $large: $!";
	truncate $fh, 8 * 1024**4 or die "could not make a hole: $!";
	close $fh;
	part 'P09: a clone does not fit' => sub {
		found_here(n2(), CONFIGURATION,
			[qr/P09 a clone needs \d+ MB for "\S+", but \d+ MB are free there/]);
	};
	unlink $large;
	$n1->stop;
	return;
}

# Every message that docs/check.md shows in its tables is one of the program, and every
# code of the program is there, or in docs/bootstrap.md.
sub documented
{
	my $top = "$FindBin::RealBin/..";
	my $source = join '', map { slurp_file($_) } glob "$top/boot/*.c $top/endpoint.c";
	my $text = slurp_file("$top/docs/check.md");
	my ($tables) = $text =~ /(### P01.*)/s;
	my $all = $text . slurp_file("$top/docs/bootstrap.md");

	$source =~ s/\\"/"/g;
	part 'docs/check.md' => sub {
		foreach my $message (map { /`([^`]+)`/g } $tables =~ /^\| (`[^|]*) \|/mg)
		{
			# What stands between names, numbers and texts of others
			my @pieces = grep { length > 7 } map { s/^ +| +$//gr }
			  split /\b[A-Z]+\b|\.\.\.|\d+|[":]|pg_ha\.|pg_wal|process/, $message;
			my @missing = grep { index($source, $_) < 0 } @pieces;
			is("@missing", '', $message);
		}
		my %codes = map { $_ => 1 } $source =~ /"([PB]\d\d)[" ]/g;
		like($all, qr/\b$_\b/, "$_ is explained") foreach sort keys %codes;
	};
	return;
}

# ---------------------------------------------------------------------------
# What is checked
# ---------------------------------------------------------------------------

# The nodes with other lines in their files, or with arguments: [dir, file, ...]
sub n1 { return [ $n1->{dir}, $n1->{file}, @_ ]; }
sub n2 { return [ $n2->{dir}, $n2->{file}, @_ ]; }

sub plain
{
	return [ $plain->{dir}, $n2->{file}, "pg_ha.scope = 'plain'", 'max_connections = 100', @_ ];
}

# A cluster that no pg_ha_boot made, as a package does
sub make_plain
{
	my $dir = "$base/plain";
	my ($rc, $help) = HaCluster::capture(30, "$bin/initdb", '--help');
	my @off = $help =~ /--no-data-checksums/ ? ('--no-data-checksums') : ();
	my ($code, $out, $err) =
	  HaCluster::capture(120, "$bin/initdb", '-N', '-A', 'trust', '-D', $dir, @off);

	die "initdb failed: $err" if $code != 0;
	return { dir => $dir };
}

sub bin_dir
{
	my ($rc, $out) = HaCluster::capture(10, 'pg_config', '--bindir');
	return $out;
}

sub programs
{
	my $dir = "$base/programs";

	mkdir $dir;
	symlink "$bin/$_", "$dir/$_" foreach @_;
	return $dir;
}

# They are not where they were built for, and don't know where that is.
sub wrapped_programs
{
	my $dir = "$base/wrapped";

	mkdir $dir;
	foreach my $program (qw(postgres initdb pg_basebackup pg_rewind))
	{
		append_to_file("$dir/$program", qq(#!/bin/sh\nexec "$bin/$program" "\$@"\n));
		chmod 0755, "$dir/$program";
	}
	return $dir;
}

sub elder_programs
{
	my $dir = "$base/elder";

	mkdir $dir;
	foreach my $program (qw(postgres initdb pg_basebackup pg_rewind))
	{
		append_to_file("$dir/$program", "#!/bin/sh\necho '$program (PostgreSQL) 9.6.1'\n");
		chmod 0755, "$dir/$program";
	}
	return $dir;
}

sub listen_at
{
	my ($port) = @_;
	return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
		Proto => 'tcp', Listen => 5) // die "could not listen at $port: $!";
}

sub with_change
{
	my ($file, $change, $do) = @_;
	my $before = slurp_file($file);
	my $put = sub {
		open my $fh, '>', $file or die "could not write $file: $!";
		print $fh $_[0];
		close $fh;
	};

	$put->($change->($before));
	$do->();
	$put->($before);
	return;
}

# ---------------------------------------------------------------------------
# Checking
# ---------------------------------------------------------------------------

# Run check on [dir, file, lines and arguments]; a line of the node file has "=".
sub check
{
	my ($what, @more) = @_;
	my ($dir, $file, @rest) = @$what;
	my $variant = "$base/variant." . ++$variants . '.conf';
	my $text = slurp_file($file);
	my @args;

	while (defined(my $item = shift @rest))
	{
		if ($item eq '--')
		{
			push @args, $item, splice @rest;
		}
		elsif ($item eq '-D') { $dir = shift @rest; }
		elsif ($item eq '-b' || $item eq '--root') { push @args, $item, shift @rest; }
		elsif ($item =~ / = /) { $text .= "$item\n"; }
		elsif ($item ne '') { push @args, $item; }
	}
	append_to_file($variant, $text);
	return HaCluster::capture(60, 'pg_ha_boot', 'check', '-D', $dir, '-c', $variant,
		@more, @args);
}

sub is_found
{
	my ($name, @rest) = @_;

	part $name => sub { found_here(@rest); };
	return;
}

# A subtest, if it is wanted
sub part
{
	my ($name, $sub) = @_;

	subtest $name => $sub if !$ENV{HA_ROW} || $name =~ /$ENV{HA_ROW}/;
	return;
}

# These findings, in this order, and no others but "except"; nothing was changed.
sub found_here
{
	my ($what, $code, $findings, %args) = @_;
	my $files = files();
	my $keys = keys_of_store();
	my ($rc, $out, $err) = check($what);
	my @lines = split /\n/, $err;
	my @told = grep { /(error|warning): / && !($args{except} && /: $args{except} /) } @lines;

	is($rc >> 8, $code, 'exit code') or diag $err;
	is(@told, @$findings, 'as many findings as faults') or diag $err;
	like($told[$_] // '', $findings->[$_], 'finding ' . ($_ + 1)) foreach 0 .. $#$findings;
	is(grep({ /(error|warning): [A-Z]\d\d / } @lines), grep({ /hint: \S/ } @lines),
		'each has a hint') or diag $err;
	like($err, $args{hint}, 'the hint') if $args{hint};
	is(files(), $files, 'no file has changed');
	is(keys_of_store(), $keys, 'no key has changed');
	return $err;
}

# Everything of the nodes, but for what a server that runs writes by itself
sub files
{
	my $text = '';
	my $running = $n1->is_running;
	my @roots = grep { -e && !($running && /n1(\.pg_ha)?$/) }
	  glob "$base/{n?,n?.*,plain,foreign}";

	File::Find::find(
		{
			no_chdir => 1,
			preprocess => sub { return sort @_; },
			wanted => sub {
				my @stat = lstat $_;
				# A change of a large one shows in its times.
				$text .= "$_ @stat[1, 2, 4, 5, 7, 9, 10]";
				$text .= ' ' . Digest::SHA->new(1)->addfile($_)->hexdigest
				  if -f _ && -r _ && $stat[7] < 65536;
				$text .= "\n";
			},
		},
		@roots) if @roots;
	return Digest::SHA::sha1_hex($text) if length $text > 100_000;
	return $text;
}

# All keys with the revision of their last change, but for what a leader keeps putting
sub keys_of_store
{
	my ($rc, $out, $err) = $cluster->etcdctl('get', '--prefix', '', '-w', 'json');
	die "could not read etcd: $err" if $rc != 0;
	my $store = JSON::PP::decode_json($out);
	my @keys = sort map {
		my $key = MIME::Base64::decode_base64($_->{key});
		"$key $_->{mod_revision} $_->{value}";
	} @{ $store->{kvs} // [] };

	return join "\n", $store->{header}{revision}, @keys unless $n1->is_running;
	return join "\n", grep { !m{/(members/n1|status|pg_ha/heartbeat) } } @keys;
}
