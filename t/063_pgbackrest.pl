#
# A member is built from a backup that pgBackRest made of the leader, and then streams
# what has been written since: hardly any of its data comes from the leader.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no pgbackrest'
  if !grep { -x "$_/pgbackrest" } split /:/, $ENV{PATH};

my $short = PostgreSQL::Test::Utils::tempdir();
my $config = "$short/pgbackrest.conf";
my $cluster = HaCluster->new(
	nodes => 2,
	settings => "archive_mode = on\n"
	  . "archive_command = 'pgbackrest --config=$config --stanza=main archive-push %p'");
my ($n1, $n2) = $cluster->nodes;
my $user = getpwuid($>);

append_to_file($config, <<"END");
[global]
repo1-path=$short/repo
lock-path=$short/lock
log-path=$short
spool-path=$short/spool
log-level-console=warn
log-level-file=off
compress-level=0
start-fast=y
process-max=1

[main]
pg1-path=$n1->{dir}
pg1-port=$n1->{port}
pg1-socket-path=$cluster->{sockets}
pg1-user=$user
END

mkdir "$short/wal";
$n1->add_settings("pg_ha.wal_dir = '$short/wal/n1/'");
$n1->start;
$cluster->wait_for_leader;
is(readlink("$n1->{dir}/pg_wal"), "$short/wal/n1", 'a new cluster has its WAL elsewhere');
$n1->safe_psql('CREATE TABLE before AS SELECT generate_series(1, 50000) AS i');
foreach my $command (qw(stanza-create backup))
{
	my ($rc, $out, $err) = HaCluster::capture(120, 'pgbackrest', "--config=$config",
		'--stanza=main', $command);
	is($rc, 0, "pgbackrest $command") or diag "$out\n$err";
}
$n1->safe_psql('CREATE TABLE after AS SELECT generate_series(1, 1000) AS i');

append_to_file("$short/restore", <<"END");
#!/bin/sh
exec timeout 60 pgbackrest --config=$config --stanza=main --type=standby \\
	--pg1-path="\$PGDATA" restore
END
chmod 0755, "$short/restore" or die "could not chmod: $!";
$n2->add_settings("pg_ha.clone_methods = '$short/restore no_leader, basebackup'");
$n2->start;
$cluster->wait_streaming(1);

is($n2->safe_psql('SELECT count(*) FROM before'), 50000, 'it has what was backed up');
is($n2->safe_psql('SELECT count(*) FROM after'), 1000, 'and what came after');
ok(!$n2->log_contains(qr/C0\d|by method "basebackup"/), 'by the first method');
is( $n1->safe_psql("SELECT clone_method FROM pg_ha_members() WHERE name = 'n2'"),
	'restore', 'which is told');
is( $n1->safe_psql("SELECT count(*) FROM pg_replication_slots
		WHERE slot_name = 'n2' AND active"),
	1, 'its slot is in use');
like($n2->safe_psql('SHOW restore_command'), qr/archive-get/,
	'the archive is at hand, as pgBackRest has set it up');
unlike(slurp_file($n2->{log}), qr/replication slot \S+ does not exist/,
	'there was no false alarm');

# A restore that fails tells why in the log, and the next method takes over.
$n2->stop;
File::Path::rmtree($n2->{dir});
my $offset = $n2->log_size;
rename "$short/repo", "$short/repo.away" or die "could not rename: $!";
$n2->start;
$cluster->wait_streaming(1);
ok( $n2->log_contains(
		qr/C01 clone method "restore" failed: exit status \d+: .*no backup set/, $offset)
	  || $n2->log_contains(qr/C01 clone method "restore" failed: exit status \d+: \S/,
		$offset),
	'C01 with the message of pgBackRest');
is( $n1->safe_psql("SELECT clone_method FROM pg_ha_members() WHERE name = 'n2'"),
	'basebackup', 'cloned by the next method');
done_testing();
