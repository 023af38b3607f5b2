#
# A primary that has been promoted before, and keeps its configuration outside its data
# directory as Debian's do, is adopted as well: on its second timeline, whose beginning
# the record tells, and with its configuration.  A data directory that would need a
# change which nobody has made is not started, and etcd learns nothing of it.  Of two
# copies of a primary that are started at the same time, one leads, and only that one
# starts as primary.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Path qw(make_path);
use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 1);
my ($node) = $cluster->nodes;
my $etc = "$cluster->{base}/etc";
my $dir = $node->{dir};

run_program('initdb', '-D', $dir, '--auth-local=peer',
	'--auth-host=scram-sha-256', '-k');
make_path("$etc/conf.d");
rename "$dir/$_", "$etc/$_" or BAIL_OUT("rename: $!")
  foreach 'postgresql.conf', 'pg_hba.conf', 'pg_ident.conf';
append_to_file("$etc/postgresql.conf", <<"END_OF_FILE");
data_directory = '$dir'
hba_file = '$etc/pg_hba.conf'
ident_file = '$etc/pg_ident.conf'
include_dir = 'conf.d'
END_OF_FILE
append_to_file("$etc/conf.d/local.conf", <<"END_OF_FILE");
port = $node->{port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '$cluster->{sockets}'
work_mem = '5MB'
END_OF_FILE

# To the second timeline
append_to_file("$dir/standby.signal", '');
pg_ctl('start', '-o', "-c config_file=$etc/postgresql.conf");
pg_ctl('promote');
my $begin = $node->safe_psql(
	q{SELECT split_part(pg_read_file('pg_wal/00000002.history'), E'\t', 2)});
$node->safe_psql(q{ALTER SYSTEM SET primary_slot_name = 'x'});
$node->safe_psql('CHECKPOINT');

subtest 'started without adopt' => sub {
	pg_ctl('stop', '-m', 'fast');
	symlink "$etc/$_", "$dir/$_" foreach 'postgresql.conf', 'conf.d';
	$node->start;
	HaCluster::wait_until('it refuses',
		sub { $node->log_contains(qr/this data cannot be adopted before that is mended/) });
	$node->stop;
	ok( $node->log_contains(
			qr/"primary_slot_name" stands in ".*", where pg_ha cannot manage it/),
		'and says why');
	ok(!$node->log_contains(qr/starting PostgreSQL/), 'no server was started');
	is($cluster->etcd_get($_), undef, "etcd has no $_")
	  foreach qw(initialize leader pg_ha/term);
	unlink map { "$dir/$_" } 'postgresql.conf', 'conf.d';
};

append_to_file("$etc/conf.d/local.conf", "synchronous_standby_names = '*'\n");
pg_ctl('start', '-o', "-c config_file=$etc/postgresql.conf");
my ($rc, $out, $err) = HaCluster::capture(60, 'pg_ha_boot', 'adopt', '-D', $dir,
	'-c', $node->{file});
is($rc, 0, 'adopt') or diag($err);
note $out;
like($err, qr/warning: commits wait for "\*" now, and for nobody when pg_ha /,
	'it is told that commits will wait for nobody');
is(readlink "$dir/postgresql.conf", "$etc/postgresql.conf", 'the link');
is(readlink "$dir/conf.d", "$etc/conf.d", 'and what it includes');
like(slurp_file("$etc/pg_hba.conf"), qr/^host +replication +"ha_repl" +samenet/m,
	'the hba file in use has the lines');
pg_ctl('stop', '-m', 'fast');

my $offset = $node->log_size;
$node->start;
$cluster->wait_for_leader;
is($node->timeline, 2, 'it leads on its timeline');
is($node->safe_psql('SHOW work_mem'), '5MB', 'with its configuration');
is($node->safe_psql('SHOW synchronous_standby_names'),
	'', 'but for what pg_ha sets');
ok(!$node->log_contains(qr/entering standby mode/, $offset), 'never as standby');

my $term = JSON::PP::decode_json($cluster->etcd_get('pg_ha/term'));
my ($high, $low) = map { hex } split m{/}, $begin;
is($term->{begin_lsn} // '', ($high << 32) + $low, 'the record tells its beginning')
  or diag(explain($term));

subtest 'two copies at the same time' => sub {
	my $two = HaCluster->new(nodes => 2);
	my ($n1, $n2) = $two->nodes;

	run_program('initdb', '-D', $n1->{dir}, '--auth-local=peer',
		'--auth-host=scram-sha-256', '-k');
	append_to_file("$n1->{dir}/postgresql.conf", <<"END_OF_FILE");
port = $n1->{port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '$two->{sockets}'
END_OF_FILE
	$dir = $n1->{dir};
	pg_ctl('start');
	run_program('pg_ha_boot', 'adopt', '-D', $dir, '-c', $n1->{file});
	pg_ctl('stop', '-m', 'fast');
	run_program('cp', '-a', $dir, $n2->{dir});

	$two->start_all;
	my $leader = $two->wait_for_leader;
	my ($other) = grep { $_ != $leader } $two->nodes;
	$two->wait_streaming(1);
	is($leader->timeline, 1, 'the leader is on its timeline');
	ok(!$other->log_contains(qr/starting the server as primary/),
		'the other one was never started as primary');
	is( join(' ', map { $_->[1] } grep { $_->[0] eq 'PUT' }
			  $two->etcd_events('initialize')),
		$leader->safe_psql('SELECT system_identifier FROM pg_control_system()'),
		'the system identifier was written once');
	is( join(' ', grep { $_ eq $other->name } map { $_->[1] }
			  $two->etcd_events('leader')),
		'', 'the other one never led');
};

done_testing();

sub run_program
{
	my @command = @_;
	my ($status, $output, $errors) = HaCluster::capture(120, @command);

	BAIL_OUT("@command failed: $errors") if $status != 0;
	return;
}

sub pg_ctl
{
	my ($action, @more) = @_;
	run_program('pg_ctl', $action, '-D', $dir, '-w', '-s', '-l',
		"$cluster->{log_prefix}_plain", @more);
	return;
}
