#
# Making a new cluster: what is refused before anything is touched, what a failure
# leaves, what "init" writes and in which order, that no secret gets out meanwhile, and
# who goes on when the one that was making it fails or dies.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = "s3cr3t-$$-" . int(rand 1e9);

subtest 'B2, D5, O1: init, or why not' => \&test_init;
subtest 'B4: a certificate instead of a password' => \&test_certificate;
subtest 'A2: a command that fails on one node' => \&test_failing_command;
subtest 'A3: the one that makes the cluster is killed' => \&test_killed;
done_testing();

sub test_init
{
	my $cluster = HaCluster->new(nodes => 1, settings => 'log_statement = all');
	my ($node) = $cluster->nodes;
	my $dir = $node->{dir};

	# Nothing that the harness has put counts
	$cluster->etcd_delete('config');
	my $begin = () = $cluster->etcd_history;

	# Refused, without a trace
	foreach my $case (
		[
			qr/B02 initdb option "--pgdata" is set by pg_ha_boot/,
			'--', '--pgdata=/nowhere'
		],
		[ qr/B02 initdb option "-kD\/x"/, '--', '-kD/x' ],
		[
			qr/B06 command contains shell syntax "&&"/, '--method=command',
			'--command=/bin/mkdir x && /bin/true'
		],
		[
			qr/B06 program "\/nowhere\/tool" cannot be run/,
			'--method=command', '--command=/nowhere/tool'
		],
		[ qr/B21 pg_ha creates no application users/, '--users=app' ],
		[ qr/B01 --method=initdb: what initdb makes has nothing to recover/,
			'--restore-command=cp' ],
		[ qr/B01 file ".*" is no configuration of a cluster: "ttl" must be/,
			'--cluster-config=' . file($cluster, 'bad.json', '{"ttl": "ten"}') ])
	{
		my ($expected, @options) = @$case;
		my ($rc, $said) = $node->boot('init', @options);
		is($rc, 10, "@options: refused");
		like($said, $expected, 'and told why');
		like($said, qr/hint:/, 'and what to do');
	}
	my $passfile = slurp_file($node->{file}) =~ /passfile = '(.*)'/ ? $1 : '';
	chmod 0644, $passfile or BAIL_OUT("could not chmod: $!");
	my ($rc, $said) = $node->boot('init');
	is($rc, 10, 'a password file that anybody can read: refused');
	like($said, qr/B20 passfile ".*" has mode 0644; must be 0600 or stricter/,
		'and told why');
	chmod 0600, $passfile or BAIL_OUT("could not chmod: $!");
	($rc, $said) = $node->boot('init', '--explain');
	is($rc, 0, 'init --explain');
	like($said, qr/^Nothing was done/m, 'it says that it does nothing');
	my @explained = $said =~ m{^\d+\. key: /service/test1/(\S+): }mg;
	is(scalar(@{ [ $cluster->etcd_history ] }), $begin,
		'etcd was not touched by any of that');
	ok(!-e $_, "there is no $_") foreach $dir, "$dir.pg_ha";

	# initdb itself refuses
	($rc, $said) = $node->boot('init', '--', '--data-checksums=true');
	is($rc, 10, 'an option that initdb refuses');
	like($said, qr/doesn't allow an argument/, 'its message is shown');
	like(
		$said,
		qr/B03 initdb failed: exit status 1: .*doesn't allow an argument.*; initialize lock released/,
		'and said at the end');
	is($cluster->etcd_get('initialize'), undef, 'the key is gone');
	ok(!-e $dir, 'there is no data directory');

	# A failure after initdb: the data is kept as a whole, and out of the way
	my $wal = "$cluster->{base}/wal";
	$node->add_settings("pg_ha.wal_dir = '$wal'");
	($rc, $said) = $node->boot('init',
		'--post-init=' . script($cluster, 'post', q{psql -Xqc 'SELECT 1/0'}));
	is($rc, 10, 'what shall be run on the data fails');
	like($said, qr/B05 post-init failed: exit status 1: .*division by zero; initialize lock released; partial data kept in "\Q$dir\E\.failed-/,
		'and it is said where the data is');
	my ($kept) = glob "$dir.failed-*";
	like(readlink("$kept/pg_wal"), qr/^\Q$wal\E\.failed-\d{8}T\d{6}$/,
		'its WAL is kept with it');
	is_deeply([ glob "$dir.pg_ha/*_in_progress $dir/* $wal/*" ],
		[], 'and nothing of it is left where the next one will be');

	# Lines for pg_hba.conf that no server would start with
	($rc, $said) = $node->boot('init', '--hba=' . file($cluster, 'typo', "local all all pere\n"));
	is($rc, 10, 'a fault in the lines for pg_hba.conf');
	like($said, qr/invalid authentication method "pere"/, 'is told by the server');
	like($said, qr/B05 the server refuses the lines of "\S+typo"; initialize lock released; partial data kept in "\Q$dir\E\.failed-/,
		'and the data put aside');

	# It works, and nobody hears the password
	HaCluster::rewrite($passfile, "*:*:*:*:$secret\n");
	my $spy = start_spy("$cluster->{base}/seen", $dir);
	$begin = () = $cluster->etcd_history;
	($rc, $said) = $node->boot(
		'init',
		'--cluster-config='
		  . file($cluster, 'config.json', qq({"ttl": 3, "loop_wait": 1,\n "retry_timeout": 1, "mine": "kept"}\n)),
		'--hba=' . file($cluster, 'clients', "local all all peer\nhost all all 127.0.0.1/32 reject\n"),
		'--post-init=' . file($cluster, 'post.sql', "CREATE TABLE made (i int);\nCREATE ROLE app LOGIN;\n"),
		'--', '--locale=C');
	is($rc, 0, 'init');
	like((HaCluster::capture(10, 'pg_controldata', $dir))[1],
		qr/^max_connections setting: +60$/m, 'it could be started as a standby');
	my @events = $cluster->etcd_history;
	@events = @events[ $begin .. $#events ];

	# The member key says meanwhile how far it is
	my $members = 0;
	@events = grep {
		$_->[1] !~ /^members/ || $_->[0] eq 'DELETE' || !$members++
	} @events;
	is_deeply(
		[ map { $_->[1] } @events ],
		\@explained,
		'the keys were written in the order that --explain tells');
	is($node->postmaster_pid, 0, 'no server was left running');
	ok(!-e "$dir.pg_ha/private", 'nor anything of the private one');
	is(readlink("$dir/pg_wal"), $wal, 'its WAL is where pg_ha.wal_dir says');
	my $sysid = $cluster->etcd_get('initialize');
	my $uuid = JSON::PP::decode_json($cluster->etcd_get('pg_ha/identity'));
	like($sysid, qr/^\d+$/, 'etcd has the system identifier');
	is($uuid->{schema}, 1, 'and the uuid');
	is(JSON::PP::decode_json($cluster->etcd_get('config'))->{mine},
		'kept', 'and the configuration that was given');

	($rc, $said) = $node->boot('init');
	is($rc, 12, 'init of a cluster that is there');
	like($said, qr/B08 cluster "test1" already exists in etcd \(system identifier $sysid\)/,
		'it is named');

	$node->start;
	$cluster->wait_for_leader;
	is($node->timeline, 1, 'it leads without a promotion');
	is( $node->safe_psql(
			q{SELECT rolreplication AND rolcanlogin AND rolpassword LIKE 'SCRAM%'
			  FROM pg_authid WHERE rolname = 'ha_repl'}),
		't',
		'the role is there');
	is( $node->safe_psql(
			'SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL'),
		1,
		'nobody else has a password');
	is($node->safe_psql(q{SELECT count(*) FROM made, pg_roles WHERE rolname = 'app'}),
		0, 'the file was run');
	is( $node->safe_psql(
			q{SELECT string_agg(database[1] || ' ' || auth_method, ',' ORDER BY line_number)
			  FROM pg_hba_file_rules}),
		'replication scram-sha-256,postgres scram-sha-256,all peer,all reject',
		'hba lines: those of members, and those that were given');
	is($node->safe_psql('SHOW data_checksums'), 'on', 'with checksums');
	is($node->safe_psql('SHOW server_encoding'), 'UTF8', 'in UTF8');
	is( $node->safe_psql(
			'SELECT scope, cluster_uuid, cluster_sysid, local_sysid, match FROM pg_ha_identity()'
		),
		"test1|$uuid->{uuid}|$sysid|$sysid|t",
		'pg_ha_identity()');

	stop_spy($spy);
	is(slurp_file("$cluster->{base}/seen"),
		'', 'no command line or environment had the password');
	$node->stop;
	is_deeply(
		[ grep { $_ ne $passfile } files_with($secret, $cluster->{base}) ],
		[], 'no file has it but the password file');
	ok(!$node->log_contains(qr/\Q$secret\E|SCRAM-SHA-256\$4096/),
		'nor has the log, nor has it the verifier');
	unlike(($cluster->etcdctl('get', '--prefix', '/'))[1],
		qr/\Q$secret\E|SCRAM-SHA/, 'nor has etcd');
	unlike($said = ($node->boot('init'))[1], qr/\Q$secret\E/, 'nor is it said');
	$cluster->end;
	return;
}

sub test_certificate
{
	my $cluster = HaCluster->new(nodes => 2);
	my $tls = "$cluster->{base}/tls";
	my ($n1) = $cluster->nodes;

	make_certificates($tls);
	foreach my $node ($cluster->nodes)
	{
		my $text = slurp_file($node->{file});
		$text =~ s/^pg_ha\.replication_passfile.*\n//m;
		HaCluster::rewrite($node->{file}, $text);
		$node->add_settings(<<"END_OF_FILE");
pg_ha.replication_sslcert = '$tls/ha_repl.crt'
pg_ha.replication_sslkey = '$tls/ha_repl.key'
pg_ha.replication_sslrootcert = '$tls/ca.crt'
ssl = on
ssl_ca_file = '$tls/ca.crt'
ssl_cert_file = '$tls/server.crt'
ssl_key_file = '$tls/server.key'
END_OF_FILE
	}
	my $spy = start_spy("$cluster->{base}/seen", $n1->{dir});
	$n1->start;
	$cluster->wait_for_leader;
	stop_spy($spy);
	is(slurp_file("$cluster->{base}/seen"),
		'', 'at no time a line of pg_hba.conf said "trust"');
	$cluster->start_all('n2');
	$cluster->wait_streaming(1);
	is( $n1->safe_psql(
			'SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL'),
		0,
		'nobody has a password');
	is( $n1->safe_psql(
			q{SELECT string_agg(concat_ws(' ', purpose, role, method), ', ' ORDER BY purpose DESC)
			  FROM pg_ha_credentials()}),
		'replication ha_repl cert, members none, etcd none',
		'which pg_ha_credentials() tells');
	is( $n1->safe_psql(
			q{SELECT client_dn FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)}),
		'/CN=ha_repl',
		'and the standby streams by its certificate');
	is( $n1->safe_psql(
			q{SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'}),
		0,
		'nobody is trusted');
	$cluster->end;
	return;
}

sub make_certificates
{
	my ($dir) = @_;

	mkdir $dir or BAIL_OUT("could not mkdir: $!");
	my @new = ('openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-days', '30');
	run_log([ @new, '-x509', '-subj', '/CN=ca', '-keyout', "$dir/ca.key", '-out', "$dir/ca.crt" ]);
	foreach my $name (qw(ha_repl server))
	{
		run_log([ @new, '-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr" ]);
		run_log([
			'openssl', 'x509', '-req', '-days', '30', '-CAcreateserial', '-CA', "$dir/ca.crt",
			'-CAkey', "$dir/ca.key", '-in', "$dir/$name.csr", '-out', "$dir/$name.crt"
		]);
	}
	chmod 0600, glob "$dir/*.key";
	return;
}

sub test_failing_command
{
	my $cluster = HaCluster->new(nodes => 2);
	my ($n1, $n2) = $cluster->nodes;

	$n1->set_options('--method=command',
		'--command=' . script($cluster, 'breaks', "mkdir \$PGDATA/x; echo 'no such backup' >&2; exit 3"));
	$n2->set_options('--method=command',
		'--command=' . script($cluster, 'works',
			'echo "for $PG_HA_NODE of $PG_HA_SCOPE"; exec initdb -D "$PGDATA" --auth=peer "$@"') . " '--locale=C'");
	$n1->start;
	HaCluster::wait_until(
		'n1 has failed',
		sub {
			$n1->log_contains(
				qr/B05 bootstrap command failed: exit status 3: no such backup; initialize lock released; partial data kept in "\S+\.failed-\d{8}T\d{6}"/
			);
		});
	HaCluster::wait_until('the key is gone',
		sub { !defined $cluster->etcd_get('initialize') });
	my ($kept) = glob "$n1->{dir}.failed-*";
	ok(-d "$kept/x", 'what the command made is kept');
	ok($n1->is_running, 'n1 waits');

	$n2->start;
	my $leader = $cluster->wait_for_leader;
	is($leader->name, 'n2', 'the other node makes the cluster');
	ok($n2->log_contains(qr/bootstrap command: for n2 of $cluster->{scope}/),
		'its command was told what for, and heard');
	$cluster->wait_streaming(1);
	pass('and n1 clones from it');
	my @written = grep { $_->[0] eq 'PUT' && $_->[1] ne '' }
	  $cluster->etcd_events('initialize');
	is(scalar(@written), 1, 'one system identifier was ever written');
	is(scalar(@{ [ glob "$n1->{dir}.failed-*" ] }),
		1, 'n1 has failed only once');
	$cluster->end;
	return;
}

sub test_killed
{
	my $cluster = HaCluster->new(nodes => 3);
	my $maker;

	$cluster->start_all;
	HaCluster::wait_until(
		'a node runs initdb',
		sub {
			($maker) =
			  grep { $_->log_contains(qr/initdb: .*creating configuration files/) } $cluster->nodes;
			return $maker;
		});
	$maker->kill9($maker->boot_pid);
	my $killed_at = HaCluster::now();
	is($cluster->etcd_get('initialize'), '', 'the race was still on');
	HaCluster::wait_until(
		'another node makes the cluster',
		sub {
			grep {
				$_ != $maker && $_->log_contains(qr/initializing a new cluster/)
			} $cluster->nodes;
		});
	cmp_ok(HaCluster::now() - $killed_at,
		'<', 2 * $cluster->ttl, 'another node goes on within two TTLs');
	my $leader = $cluster->wait_for_leader;
	isnt($leader->name, $maker->name, 'by another node');

	$maker->start;
	$cluster->wait_streaming(2);
	my $sysid = $cluster->etcd_get('initialize');
	foreach my $node ($cluster->nodes)
	{
		is( $node->safe_psql('SELECT system_identifier FROM pg_control_system()'),
			$sysid,
			$node->name . ' has the system identifier of the cluster');
	}
	my @written = map { $_->[1] }
	  grep { $_->[0] eq 'PUT' && $_->[1] ne '' }
	  $cluster->etcd_events('initialize');
	is_deeply(\@written, [$sysid], 'one was ever written');
	$cluster->end;
	return;
}

sub file
{
	my ($cluster, $name, $content) = @_;
	my $path = "$cluster->{base}/$name";

	HaCluster::rewrite($path, $content);
	return $path;
}

sub script
{
	my ($cluster, $name, $content) = @_;
	my $path = file($cluster, $name, "#!/bin/sh\n$content\n");

	chmod 0700, $path or BAIL_OUT("could not chmod: $!");
	return $path;
}

# A process that looks at all command lines and environments for the secret, and at
# all hba files of a node for trust, as fast as it can.
sub start_spy
{
	my ($file, $dir) = @_;

	append_to_file($file, '');
	my $pid = fork() // BAIL_OUT("could not fork: $!");
	return $pid if $pid;
	$SIG{TERM} = 'DEFAULT';
	while (getppid() != 1)
	{
		foreach my $path (glob '/proc/[0-9]*/cmdline /proc/[0-9]*/environ')
		{
			open my $fh, '<', $path or next;
			local $/ = undef;
			my $text = <$fh> // '';
			append_to_file($file, "$path: $text\n") if $text =~ /\Q$secret\E/;
		}
		foreach my $path ("$dir/pg_hba.conf", "$dir.pg_ha/private/hba.conf")
		{
			my $text = eval { slurp_file($path) } // '';
			append_to_file($file, "$path: $1\n")
			  if $text =~ /^([^#\n]*\btrust\b.*)$/m;
		}
		Time::HiRes::usleep(5_000);
	}
	POSIX::_exit(0);
}

sub stop_spy
{
	my ($pid) = @_;

	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

sub files_with
{
	my ($text, $dir) = @_;
	my (undef, $out) = HaCluster::capture(60, 'grep', '-rlF', $text, $dir);

	return split /\n/, $out;
}
