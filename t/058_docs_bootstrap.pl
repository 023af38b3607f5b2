#
# docs/bootstrap.md: its commands do what it says, and its messages are those of the
# program.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = HaDocs->new('bootstrap.md');
my $cluster = HaCluster->new(nodes => 2);
my ($node, $copy) = $cluster->nodes;
my $base = $cluster->{base};
my %place = (
	PGDATA => $node->{dir},
	NODEFILE => $node->{file},
	SCOPE => 'test1',
	CONFIG => "$base/config.json",
	ETCDCTL_API => 3,
	ETCDCTL_ENDPOINTS => "http://127.0.0.1:$cluster->{etcds}[0]{port}");
my ($rc, $out);

$cluster->etcd_delete('config');
append_to_file($place{CONFIG}, qq({"ttl": 3, "loop_wait": 1, "retry_timeout": 1}\n));
mkdir "$base/archive" or BAIL_OUT("could not mkdir: $!");
$node->add_settings(
	"archive_mode = on\narchive_command = 'cp %p $base/archive/%f'");

($rc, $out) = $page->run('explain', %place);
is($rc, 0, 'explain');
ok(!-e $node->{dir}, 'it made nothing');

($rc, $out) = $page->run('init', %place);
is($rc, 0, 'init');
like($out, qr{^/service/test1/initialize\n\d+$}m, 'the cluster is there');
is($cluster->etcd_get('config'),
	'{"ttl": 3, "loop_wait": 1, "retry_timeout": 1}', 'with its configuration');

# As a service manager would
{
	local @ENV{ keys %place } = values %place;
	$node->{boot_pid} =
	  HaCluster::spawn($node->{log}, 'sh', '-eu', '-c', $page->block('run'));
}
$cluster->wait_for_leader;
pass('run');

# What there is to go back to
run_log(
	[
		'pg_basebackup', '-d', $node->connstr, '-D', "$base/backup", '-X',
		'none', '-c', 'fast'
	]) or BAIL_OUT('no backup');
$node->safe_psql('CREATE TABLE kept (i int)');
my $time = $node->safe_psql('SELECT clock_timestamp()');
$node->safe_psql('DROP TABLE kept');
my $wal = $node->safe_psql('SELECT pg_walfile_name(pg_switch_wal())');
HaCluster::wait_until('it is archived', sub { -e "$base/archive/$wal" });
append_to_file("$base/restore", qq(#!/bin/sh\ncp -a "$base/backup/." "\$PGDATA/"\n));
chmod 0700, "$base/restore" or BAIL_OUT("could not chmod: $!");

my $text = slurp_file($copy->{file});
$text =~ s/^pg_ha\.scope = .*/pg_ha.scope = 'yesterday'/m;
unlink $copy->{file};
append_to_file($copy->{file}, $text);
($rc, $out) = $page->run(
	'pitr', %place,
	PGDATA => $copy->{dir},
	NODEFILE => $copy->{file},
	RESTORE => "$base/restore",
	ARCHIVE => "$base/archive",
	TIME => $time);
is($rc, 0, 'pitr');
$copy->start;
HaCluster::wait_until('the copy leads', sub { $copy->rest('/leader') == 200 });
is($copy->safe_psql('SELECT count(*) FROM kept'), 0, 'and has the table back');

$page->check_messages;
$page->check_all_were_run;
done_testing();
