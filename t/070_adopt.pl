#
# E1, E2: a primary and its standby that were run without pg_ha are adopted, each with
# one restart, while a writer writes: the same cluster on the same timeline, nothing
# acknowledged is lost, the slot that was there stays.  Who comes in the wrong order, or
# not fit for it, is told so and left as it was.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Digest::MD5;
use File::Find;
use File::Path qw(make_path);
use HaCluster;
use HaDocs;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = HaDocs->new('existing.md');
my $cluster = HaCluster->new(nodes => 2);
my ($p, $s) = $cluster->nodes;
my $units = "$cluster->{base}/units";
my %log = map { $_->name => "$cluster->{log_prefix}_plain_" . $_->name } $p, $s;

# A primary as it was made without pg_ha
run_program('initdb', '-D', $p->{dir}, '--auth-local=peer',
	'--auth-host=scram-sha-256', '-k');
configure($p, "wal_level = minimal\nmax_wal_senders = 0");
start_plain($p);

subtest 'E1: all that is wrong is told at once, and nothing changed' => sub {
	my $before = picture($p);
	my $file = "$cluster->{base}/wrong.conf";
	my $text = slurp_file($p->{file});

	$text =~ s/127\.0\.0\.1:$p->{port}/10.1.2.3:$p->{port}/ or BAIL_OUT('?');
	append_to_file($file, $text);
	enable_unit("ExecStart=/usr/bin/postgres -D $p->{dir}\n");
	my ($rc, $out, $err) = adopt($p, '-c', $file);
	is($rc, 10, 'exit code');
	like($err, qr/error: E02 wal_level is "minimal"; set wal_level=replica/, 'E02');
	like(
		$err,
		qr/error: E03 postgresql-15\.service is enabled and would start this server behind pg_ha's back\n.*hint: .*systemctl disable postgresql-15\.service/,
		'E03');
	like(
		$err,
		qr/error: E04 server listens on 127\.0\.0\.1 only; other members cannot connect/,
		'E04');
	($rc, $out, $err) = adopt($p, '--ignore-unit');
	is($rc, 10, 'still a fault');
	unlike($err, qr/E03|E04/, 'but not those that are none now');
	enable_unit("ExecStart=/usr/bin/postgres -D $p->{dir}2\n");
	($rc, $out, $err) = adopt($p);
	unlike($err, qr/E03/, 'nor is a unit for another data directory');
	is(picture($p), $before, 'no file was changed');
	is_untouched();
};

stop_plain($p);
configure($p, "wal_level = replica\nmax_wal_senders = 10\nlog_statement = all");
start_plain($p);
$p->safe_psql(
	q{CREATE TABLE acked (client int, n bigint);
	  CREATE INDEX acked_key ON acked (client, n);
	  CREATE TABLE thousand AS SELECT generate_series(1, 1000) AS n});
$p->safe_psql(q{ALTER SYSTEM SET synchronous_standby_names = ''});
my $sysid = $p->safe_psql('SELECT system_identifier FROM pg_control_system()');

run_program(
	'pg_basebackup', '-D', $s->{dir}, '-R', '-C', '-S', 's_old', '-c', 'fast',
	'-h', $cluster->{sockets}, '-p', $p->{port});
configure($s, 'wal_level = replica');
start_plain($s);
wait_receiving($s);

my $writer = $cluster->start_writer(on => $p, patience => 10_000);
$writer->wait_for_acks(50);

subtest 'E1: the standby first' => sub {
	my $before = picture($s);
	my ($rc, $out, $err) = adopt($s);

	is($rc, 12, 'exit code');
	like(
		$err,
		qr/error: E01 this server is a standby and cluster "$cluster->{scope}" has no leader yet; adopt the primary first\n.*hint: /,
		'E01');
	is(picture($s), $before, 'no file was changed');
	wait_receiving($s);
	is_untouched();

	# Nor does it lead when it is simply started
	stop_plain($s);
	$s->start;
	HaCluster::wait_until(
		'it waits for its primary',
		sub { $s->log_contains(qr/E01 cluster "\w+" has no leader yet; adopt the primary first/) });
	$s->stop;
	ok(!$s->log_contains(qr/starting PostgreSQL/), 'no server was started');
	is_untouched();
	start_plain($s);
	wait_receiving($s);
};

subtest 'E1: a dry run' => sub {
	my $before = picture($p);
	my ($rc, $out) = run_page('dry_run', $p);

	is($rc, 0, 'exit code');
	like($out, qr/^ 1\. would create role "ha_repl" for replication/m, 'the role');
	like($out, qr/would append two lines for role "ha_repl" to "/, 'the hba file');
	like(
		$out,
		qr/would take "synchronous_standby_names" out of postgresql\.auto\.conf/,
		'the settings');
	like($out, qr/this one restart is needed/, 'the restart');
	is(picture($p), $before, 'no file was changed');
	is($p->safe_psql(q{SELECT count(*) FROM pg_roles WHERE rolname = 'ha_repl'}),
		0, 'no role was made');
	is_untouched();
};

subtest 'E1: the primary' => sub {
	my $hba = slurp_file("$p->{dir}/pg_hba.conf");
	my ($rc, $out) = run_page('adopt', $p);

	is($rc, 0, 'exit code') or diag($out);
	is(slurp_file("$p->{dir}/pg_hba.conf.before_adopt"),
		$hba, 'the hba file was kept');
	is( $p->safe_psql(
			q{SELECT rolreplication, rolsuper, rolpassword LIKE 'SCRAM-SHA-256$%'
			  FROM pg_authid WHERE rolname = 'ha_repl'}),
		't|f|t',
		'the role');
	unlike(slurp_file($log{n1}), qr/secret|SCRAM-SHA-256\$4096|CREATE ROLE/,
		'no secret in its log');
	unlike(slurp_file("$p->{dir}/postgresql.auto.conf"),
		qr/^synchronous_standby_names/m, 'the setting is gone');
	is_untouched();

	($rc, $out) = adopt($p);
	is($rc, 0, 'once more');
	unlike($out, qr/create role|append/, 'what is done is not done again');

	stop_plain($p);
	$p->start;
	is($cluster->wait_for_leader->name, 'n1', 'it leads');
	is($p->timeline, 1, 'on its timeline');
	is($p->safe_psql('SELECT system_identifier FROM pg_control_system()'),
		$sysid, 'it is the same cluster');
	is($cluster->etcd_get('initialize'), $sysid, 'etcd knows it');
	HaCluster::wait_until('the cluster gets a uuid, and the node knows it',
		sub { ($cluster->etcd_get('pg_ha/identity') // '') =~ /"uuid"/ && -e "$p->{dir}.pg_ha/cluster" });
	is($p->safe_psql('SELECT count(*) FROM thousand'), 1000, 'with its rows');
	my $starts = () = slurp_file($p->{log}) =~ /starting PostgreSQL/g;
	is($starts, 1, 'after one start');
	unlike(slurp_file($p->{log}), qr/entering standby mode/, 'never as standby');
	$writer->wait_for_acks(20, since => HaCluster::now());
};

subtest 'E1: the standby' => sub {
	wait_receiving($s);
	my ($rc, $out) = run_page('dry_run', $s);
	is($rc, 0, 'a dry run') or diag($out);
	like($out, qr/would create replication slot "n2" at leader "n1"/, 'the slot');
	is($p->safe_psql(q{SELECT count(*) FROM pg_replication_slots
					   WHERE slot_name = 'n2'}), 0, 'which it does not make');

	$s->{boot_pid} = HaCluster::spawn($s->{log}, 'pg_ha_boot', 'adopt', '-D',
		$s->{dir}, '-c', $s->{file}, '--restart');
	$s->{boot_start} = HaCluster::start_time($s->{boot_pid});
	$cluster->wait_streaming(1);
	is($s->safe_psql('SELECT pg_is_in_recovery()'), 't', 'it is a standby');
	is($s->safe_psql('SELECT system_identifier FROM pg_control_system()'),
		$sysid, 'of the same cluster');
	is( $p->safe_psql(
			q{SELECT string_agg(name || ' ' || state || ' ' || timeline, ', '
					ORDER BY name) FROM pg_ha_members()}),
		'n1 running 1, n2 running 1',
		'both are members, on timeline 1');
	is( $p->safe_psql(
			q{SELECT string_agg(slot || ' ' || owner || ' ' || coalesce(member, '-')
					|| ' ' || active || ' ' || (restart_lsn IS NOT NULL), ', '
					ORDER BY slot) FROM pg_ha_slots()}),
		'n2 member n2 true true, s_old foreign - false true',
		'it has a slot of its own, and the old one stays');
	ok(!$s->log_contains(qr/requested WAL segment .* has already been removed/),
		'no WAL was missing');
	unlike(slurp_file($s->{log}), qr/pg_basebackup|pg_rewind/,
		'nothing was copied');
};

my $verdict = $cluster->check_history($writer);
is($verdict->{lost}, 0, 'every acknowledged row is there');
is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');

my ($rc, $out) = adopt($p);
is($rc, 0, 'who is a member already has nothing to do');

subtest 'O2: docs/existing.md' => sub {
	($rc, $out) = run_page('slots', $p);
	is($rc, 0, 'the operator drops the old slot');
	like($out, qr/s_old +\| foreign/, 'having seen whose it is');
	$page->check_messages;
	$page->check_all_were_run;
};

done_testing();

sub run_program
{
	my @command = @_;
	my ($rc, $out, $err) = HaCluster::capture(120, @command);

	BAIL_OUT("@command failed: $err") if $rc != 0;
	return;
}

# As an operator has it: nothing of pg_ha in it
sub configure
{
	my ($node, $more) = @_;
	my $file = "$node->{dir}/plain.conf";

	append_to_file("$node->{dir}/postgresql.conf", "include = 'plain.conf'\n")
	  unless slurp_file("$node->{dir}/postgresql.conf") =~ /^include = 'plain/m;
	unlink $file;
	append_to_file($file, <<"END_OF_FILE");
port = $node->{port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '$cluster->{sockets}'
max_connections = 60
max_prepared_transactions = 60
shared_buffers = 16MB
$more
END_OF_FILE
	return;
}

sub start_plain
{
	my ($node) = @_;
	run_program('pg_ctl', 'start', '-D', $node->{dir}, '-w', '-s', '-l',
		$log{ $node->name });
	return;
}

sub stop_plain
{
	my ($node) = @_;
	run_program('pg_ctl', 'stop', '-D', $node->{dir}, '-m', 'fast', '-w', '-s');
	return;
}

sub wait_receiving
{
	my ($node) = @_;
	HaCluster::wait_until(
		'it streams',
		sub {
			my ($rc, $out) = $node->psql(
				q{SELECT slot_name FROM pg_stat_wal_receiver
				  WHERE status = 'streaming'});
			return $rc == 0 && $out eq 's_old';
		});
	pass('it is a standby that streams');
	return;
}

sub adopt
{
	my ($node, @options) = @_;
	local $ENV{SYSTEMD_UNIT_PATH} = $units;

	unshift @options, '-c', $node->{file} unless grep { $_ eq '-c' } @options;
	my ($rc, $out, $err) = HaCluster::capture(60, 'pg_ha_boot', 'adopt', '-D',
		$node->{dir}, @options);
	note "$out\n$err";
	return ($rc >> 8, $out, $err);
}

sub run_page
{
	my ($block, $node) = @_;

	return $page->run(
		$block,
		PGDATA => $node->{dir},
		NODEFILE => $node->{file},
		PRIMARY => $p->connstr,
		SYSTEMD_UNIT_PATH => $units);
}

sub enable_unit
{
	my ($text) = @_;
	my $unit = "$units/postgresql-15.service";
	my $links = "$units/multi-user.target.wants";

	make_path($links);
	unlink $unit;
	append_to_file($unit, "[Service]\n$text");
	symlink $unit, "$links/postgresql-15.service";
	return;
}

# Names, times and content of all that an operator may have touched
sub picture
{
	my ($node) = @_;
	my @lines;

	find(
		{
			no_chdir => 1,
			wanted => sub {
				return if $_ =~ m{/(base|global|pg_wal|pg_stat[^/]*|pg_notify|pg_\w*xact|pg_logical|pg_replslot|pg_subtrans)(/|$)};
				return unless -f $_;
				push @lines, "$_ "
				  . Digest::MD5::md5_hex(slurp_file($_));
			}
		},
		$node->{dir});
	push @lines, grep { -e } "$node->{dir}.pg_ha";
	return join "\n", sort @lines;
}

sub is_untouched
{
	my ($rc, $out) = $cluster->etcdctl('get', '--prefix', '--keys-only',
		$cluster->key(''));
	is( join(' ', grep { $_ ne '' } split /\n/, $out),
		$cluster->key('config'),
		'nothing was written to etcd');
	return;
}
