#
# A new member is cloned by the first of its methods that produces this cluster's data,
# whatever the others say of themselves, and comes up with a log that is free of false
# alarms, since its slot is there before its server is.  Nothing that was in the way is
# deleted, but by an explicit order.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The leader is kept busy for a moment, which must not cost it the lease.
my $cluster = HaCluster->new(nodes => 3, config => { ttl => 10 });
my ($n1, $n2, $n3) = $cluster->nodes;
my $base = $cluster->{base};

$n1->start;
$cluster->wait_for_leader;
mkdir "$base/ts" or die "could not mkdir: $!";
$n1->safe_psql("CREATE TABLESPACE ts LOCATION '$base/ts'");
$n1->safe_psql('CREATE TABLE filling TABLESPACE ts AS
	SELECT i, repeat($$x$$, 500) AS t FROM generate_series(1, 20000) AS i');
system_or_bail('initdb', '-N', '-A', 'trust', '-D', "$base/another");

script('broken', 'echo "before the disaster" >&2; echo "no such stanza" >&2; exit 3');
script('liar', 'exit 0');
script('foreign', "env >$base/environment; cp -a $base/another/. \$PGDATA");

subtest 'faults of the node file' => \&faults;
subtest 'C02: no method succeeds' => \&no_method;
subtest 'C03: only the data of another cluster' => \&only_foreign;
subtest 'A1: the first method that succeeds' => \&first_that_succeeds;
subtest 'clonefrom, WAL directory, tablespaces' => \&clonefrom;
subtest 'D7: no false alarms' => \&no_alarms;
subtest 'what is in the way goes aside, and is kept as ordered' => \&aside;
subtest 'keep_data' => \&keep_data;
subtest 'no_leader' => \&no_leader;
done_testing();

sub script
{
	my ($name, $body) = @_;

	append_to_file("$base/$name", "#!/bin/sh\n$body\n");
	chmod 0755, "$base/$name" or die "could not chmod: $!";
	return;
}

# The last setting of a name counts.
sub methods
{
	my ($node, @methods) = @_;

	$node->add_settings("pg_ha.clone_methods = '"
		  . join(', ', map { s{^(?=[a-z])(?!basebackup)}{$base/}r } @methods) . "'");
	return;
}

sub wait_for_log
{
	my ($node, $regex, $offset) = @_;

	HaCluster::wait_until("the log of $node->{name} has $regex",
		sub { $node->log_contains($regex, $offset) });
	return;
}

sub members
{
	my ($node, $columns) = @_;
	return $n1->safe_psql("SELECT $columns FROM pg_ha_members() WHERE name = '$node->{name}'");
}

sub streams
{
	my ($node) = @_;

	HaCluster::wait_until(
		"$node->{name} streams",
		sub {
			$n1->safe_psql("SELECT count(*) FROM pg_stat_replication AS r
				JOIN pg_replication_slots AS s ON s.active_pid = r.pid
				WHERE slot_name = '$node->{name}' AND state = 'streaming'") eq '1';
		});
	is($node->safe_psql('SELECT count(*) FROM filling'), 20000, 'and has the data');
	return;
}

sub faults
{
	my $file = "$base/faulty.conf";

	append_to_file($file, slurp_file($n2->{file}) . <<'END');
pg_ha.clone_methods = 'basebackup keep_data'
pg_ha.clone_max_rate = '5'
pg_ha.tablespace_mapping = '/a=b'
pg_ha.keep_aside = '101'
pg_ha.rewind = 'maybe'
END
	append_to_file($file, "pg_ha.wal_dir = '$n2->{dir}/pg_wal'\n");
	my ($rc, $out, $err) =
	  HaCluster::capture(10, 'pg_ha_boot', 'run', '-D', $n2->{dir}, '-c', $file);
	is($rc >> 8, 10, 'exit code 10');
	like($err, $_, "it says $_")
	  foreach qr/basebackup takes no flags, but "keep_data" was given/,
	  qr/"pg_ha.clone_max_rate" is no rate: "5"/,
	  qr/"pg_ha.tablespace_mapping" is no mapping: "\/a=b"/,
	  qr/"pg_ha.keep_aside" is no number from -1 to 100: "101"/,
	  qr/"pg_ha.rewind" is neither on nor off: "maybe"/,
	  qr/the WAL directory "[^"]+" is inside or around the data directory/;

	foreach my $wrong ('rsync', '/bin/true leader', '/bin/', '', 'basebackup,')
	{
		unlink $file;
		append_to_file($file, slurp_file($n2->{file})
			  . "pg_ha.clone_methods = '$wrong'\n");
		($rc, $out, $err) =
		  HaCluster::capture(10, 'pg_ha_boot', 'run', '-D', '/nonexistent/x',
			'-c', $file);
		next if $wrong eq '';	# that is the default
		is($rc >> 8, 10, "refused: '$wrong'");
		like($err, qr/hint: Write basebackup or the absolute path/, 'with a hint');
	}
	return;
}

sub no_method
{
	methods($n2, 'broken', 'liar');
	$n2->start;
	wait_for_log($n2,
		qr/C02 no clone method succeeded \(broken, liar\); retrying in 1 s/);
	ok( $n2->log_contains(
			qr/C01 clone method "broken" failed: exit status 3: no such stanza/),
		'C01 with its last line');
	ok($n2->log_contains(qr/clone method "broken": before the disaster/),
		'all lines are in the log');
	ok($n2->log_contains(qr/C01 clone method "liar" failed: it has left no data/),
		'success without data is none');
	wait_for_log($n2, qr/C02 .*retrying in 2 s/);
	$n2->stop;
	return;
}

sub only_foreign
{
	methods($n2, 'foreign');
	$n2->start;
	is($n2->wait_for_exit, 12, 'exit code 12');
	ok( $n2->log_contains(
			qr/C03 clone method "foreign" produced a data directory of another cluster: system identifier \d+, cluster "$cluster->{scope}" has \d+/),
		'C03 with both identifiers');
	ok(!$n2->log_contains(qr/C02 no clone method succeeded \(foreign\)/),
		'it is not tried again');
	my @aside = glob "$n2->{dir}.aside.*";
	is(scalar @aside, 1, 'its data was moved aside, once');
	ok(-f "$aside[0]/global/pg_control", 'as it was');

	my $environment = slurp_file("$base/environment");
	like($environment, $_, "its environment has $_")
	  foreach qr/^PGDATA=\Q$n2->{dir}\E$/m, qr/^PG_HA_SCOPE=$cluster->{scope}$/m,
	  qr/^PG_HA_NODE=n2$/m, qr/^PG_HA_ROLE=replica$/m,
	  qr/^PG_HA_CONNINFO=host=127.0.0.1 port=$n1->{port} user=ha_repl dbname=postgres keepalives_idle=\d+ .*$/m,
	  qr/^PGPASSFILE=\S+$/m;
	unlike($environment, qr/secret|PGPASSWORD/, 'but no password');
	return;
}

sub first_that_succeeds
{
	methods($n2, 'broken', 'foreign', 'basebackup');
	$n2->add_settings("pg_ha.tablespace_mapping = '$base/ts=$base/ts_n2'");
	$n2->add_settings("pg_ha.clone_max_rate = '10M'");
	$n2->add_settings("pg_ha.tags = 'clonefrom'");
	$n2->{cloned_at} = $n2->log_size;
	$n2->start;

	my $seen = HaCluster::wait_until(
		'the progress is told',
		sub {
			my $row = members($n2, 'state, clone_method, clone_percent');
			return $row =~ /^creating replica\|basebackup\|[1-9]/ ? $row : undef;
		});
	note $seen;
	is( $n1->safe_psql("SELECT count(*) FROM pg_replication_slots
			WHERE slot_name = 'n2' AND restart_lsn IS NOT NULL"),
		1, 'its slot holds WAL while it is being copied');
	streams($n2);
	ok($n2->log_contains(qr/C01 clone method "broken" failed/, $n2->{cloned_at}),
		'C01 for the first');
	ok($n2->log_contains(qr/C03 clone method "foreign" produced/, $n2->{cloned_at}),
		'C03 for the second');
	ok($n2->log_contains(qr/cloning from "n1": \d+%, \d+ of \d+ MB/, $n2->{cloned_at}),
		'the progress is in the log');
	HaCluster::wait_until('it is known to run',
		sub { members($n2, 'state') eq 'running' });
	HaCluster::wait_until('and by which method it was cloned',
		sub { members($n2, 'clone_method') eq 'basebackup' });
	is(members($n2, 'clone_percent'), '', 'no percent any more');
	is(slurp_file("$n1->{log}") =~ /C0\d/ ? 'yes' : 'no', 'no', 'n1 had no part in that');
	return;
}

sub clonefrom
{
	$n3->add_settings("pg_ha.tablespace_mapping = '$base/ts_n2=$base/ts_n3,$base/ts=$base/ts_n3'");
	$n3->add_settings("pg_ha.wal_dir = '$base/wal_n3'");
	$n3->{cloned_at} = $n3->log_size;
	HaCluster::wait_until('n2 is known to stream',
		sub { $cluster->etcd_get('members/n2') =~ /"replication_state":"streaming"/ });
	mkdir "$base/wal_n3";
	append_to_file("$base/wal_n3/00000001.history", 'x');

	# A leader that is slow to make the slot is waited for
	$n1->safe_psql('ALTER SYSTEM SET log_replication_commands = on');
	$n1->safe_psql('SELECT pg_reload_conf()');
	$n1->freeze($n1->worker_pid);
	$n3->start;
	HaCluster::wait_until('n3 has asked twice for its slot',
		sub { (() = slurp_file($n1->{log}) =~ /READ_REPLICATION_SLOT "n3"/g) >= 2 });
	$n1->thaw;
	streams($n3);
	ok($n3->log_contains(qr/cloning from "n2" at/), 'the tagged standby was copied');
	my ($made) = slurp_file($n1->{log}) =~ /^(\S+ \S+) .*created replication slot "n3"/m;
	my ($began) = slurp_file($n3->{log}) =~ /^(\S+ \S+) pg_ha_boot: cloning from/m;
	cmp_ok($made, 'lt', $began, 'the leader had made its slot before that began');
	is(members($n2, 'tags'), 'clonefrom', 'the tag is shown');
	is(readlink("$n3->{dir}/pg_wal"), "$base/wal_n3", 'its WAL is elsewhere');
	my @old = glob "$base/wal_n3.aside.*";
	is(-s "$old[0]/00000001.history", 1, 'what was there has been moved aside');
	ok(-d "$base/ts_n3", 'its tablespace is its own');
	return;
}

# Torn, twice.  The second time one copy has to go.
sub aside
{
	# A name alone makes no copy of ours
	my $users = "$n3->{dir}.aside.20000101T000000";
	mkdir $users or die "could not mkdir: $!";

	foreach my $n (1, 2)
	{
		$n3->stop;
		$n3->add_settings("pg_ha.keep_aside = '1'") if $n == 2;
		append_to_file("$n3->{dir}.pg_ha/clone_in_progress", 'x');
		my $offset = $n3->log_size;
		stays_for_others($offset) if $n == 1;
		$n3->start;
		streams($n3);
		my @aside = glob "$n3->{dir}.aside.*";
		my ($copy) = $aside[-1];
		like(readlink("$copy/pg_wal"), qr/wal_n3\.aside\.\d/, 'the copy has its WAL');
		ok(-f "$copy/pg_wal/archive_status/../pg_ha.aside", 'which says what it is');
		my ($oid) = map { m{/(\d+)$} } glob "$copy/pg_tblspc/*";
		like(readlink("$copy/pg_tblspc/$oid"), qr/ts_n3\.aside\.\d/,
			'the copy has its tablespace');
		my ($files) = glob "$copy/pg_tblspc/$oid/PG_*/*";
		ok(-d $files, 'with all that is in it');
		next if $n == 1;
		wait_for_log($n3,
			qr/removed moved-aside copy "$n3->{dir}\.aside\.[^"]+", \d\d+ MB: pg_ha.keep_aside is 1/,
			$offset);
		is_deeply([ glob "$n3->{dir}.aside.*" ], [ $users, $copy ],
			'the older one is gone, and nothing else');
		my @parts = (glob("$base/ts_n3.aside.*"), glob("$base/wal_n3.aside.*"));
		is(scalar @parts, 3, 'and its parts, but nothing else') or diag "@parts";
	}
	my @others = glob "$n2->{dir}.aside.*";
	is(scalar @others, 2, 'a node without that setting keeps all');
	return;
}

# What may be another server's is not moved, and then nothing is.
sub stays_for_others
{
	my ($offset) = @_;
	my @before = glob "$base/*.aside.*";

	mkdir "$base/wal_n3/main" or die "could not mkdir: $!";
	$n3->start;
	is($n3->wait_for_exit, 11, 'exit code 11');
	ok( $n3->log_contains(
			qr/WAL directory "$base\/wal_n3" holds more than WAL \("main"\), so it is not moved/,
			$offset),
		'a WAL directory that is not its own alone');
	rmdir "$base/wal_n3/main" or die "could not rmdir: $!";
	is_deeply([ glob "$base/*.aside.*" ], \@before, 'nothing was moved');
	return;
}

# Its first method builds on what is there, whatever that is.
sub keep_data
{
	script('resume', '[ -f $PGDATA/PG_VERSION ] || { echo "nothing there" >&2; exit 1; }');
	methods($n2, 'resume keep_data', 'basebackup');
	$n2->stop;
	append_to_file("$n2->{dir}.pg_ha/rewind_in_progress", 'x');
	my @before = glob "$n2->{dir}.aside.*";
	my $offset = $n2->log_size;
	$n2->start;
	streams($n2);
	ok($n2->log_contains(qr/cloning again: a rewind was interrupted/, $offset),
		'a clone was necessary');
	ok($n2->log_contains(qr/by method "resume"/, $offset), 'the data was kept');
	is_deeply([ glob "$n2->{dir}.aside.*" ], \@before, 'nothing was moved aside');
	HaCluster::wait_until('it is known as cloned by that',
		sub { members($n2, 'clone_method') eq 'resume' });
	return;
}

# A restore needs no leader, but makes none: the node comes up as a standby.
sub no_leader
{
	$n1->safe_psql('DROP TABLE filling');
	$n1->safe_psql('DROP TABLESPACE ts');
	$cluster->wait_streaming(2);
	$n3->stop;
	$n2->stop;
	$n1->stop;

	# Without such a method it waits, and says for what.
	rename $n3->{dir}, "$n3->{dir}.gone" or die "could not rename: $!";
	methods($n3, 'basebackup');
	my $offset = $n3->log_size;
	$n3->start;
	wait_for_log(
		$n3,
		qr/B10 waiting: cluster "$cluster->{scope}" is initialized \(system identifier \d+\) but has no leader and no clone method works without one\n.*hint: /,
		$offset);
	$n3->stop;
	ok(!-e "$n3->{dir}/PG_VERSION", 'and has no data');

	script('restore', "echo \"conninfo is '\$PG_HA_CONNINFO'\"; cp -a $n2->{dir}/. \$PGDATA");
	methods($n3, 'basebackup', 'restore no_leader');
	$n3->add_settings("pg_ha.wal_dir = ''");
	$n3->add_settings("pg_ha.tags = 'nofailover'");
	$offset = $n3->log_size;

	# It could lead by /sync without votes, and lack what another one has confirmed
	$cluster->etcd_put('sync', '{"leader":"n3","sync_standby":"n2"}');
	$n3->start;
	wait_for_log($n3, qr/waiting for a leader: by \/sync this member/, $offset);
	ok(!-e "$n3->{dir}/PG_VERSION", 'nothing is restored while it could be elected');
	$cluster->etcd_delete('sync');
	wait_for_log($n3, qr/clone method "restore": conninfo is ''/, $offset);
	HaCluster::wait_until('it answers',
		sub { ($n3->psql('SELECT 1'))[0] == 0 });
	is($n3->safe_psql('SELECT pg_is_in_recovery()'), 't', 'it is a standby');
	ok(!$n3->log_contains(qr/by method "basebackup"/, $offset),
		'the other method was not tried');
	is($cluster->etcd_get('leader'), undef, 'nobody leads');
	$n1->start;
	$cluster->wait_for_leader;
	$n2->start;
	$cluster->wait_streaming(2);
	pass('it follows when the leader is back');
	return;
}

# In all that servers have logged since they were cloned.
sub no_alarms
{
	foreach my $node ($n2, $n3)
	{
		my $log = slurp_file($node->{log}, $node->{cloned_at});
		my @alarms = grep { !/C0[123]|hint:/ }
		  grep { /does not exist|FATAL|PANIC/ } split /\n/, $log;
		is(join("\n", @alarms), '', "$node->{name} had none");
	}
	return;
}
