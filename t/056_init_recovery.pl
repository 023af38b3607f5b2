#
# A cluster out of another one's backup: recovered to a point in time, which must be
# reached, and never mixed up with its origin, whose system identifier it has.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 4);
my ($prod, $n2, $n3, $n4) = $cluster->nodes;
my $base = $cluster->{base};
my $archive = "$base/archive";
my $backup = "$base/backup";

# The origin, with an archive; one row before the time, one after it
mkdir $archive or BAIL_OUT("could not mkdir: $!");
$prod->add_settings("archive_mode = on\narchive_command = 'cp %p $archive/%f'");
$prod->start;
$cluster->wait_for_leader;
$prod->safe_psql(q{SELECT pg_create_physical_replication_slot('origin_slot', true)});
run_log([
	'pg_basebackup', '-d', $prod->connstr, '-D', $backup, '-X', 'none', '-c', 'fast'
]) or BAIL_OUT('no backup');
run_log([ 'cp', '-a', "$prod->{dir}/pg_replslot/origin_slot", "$backup/pg_replslot/" ]);
append_to_file("$backup/postgresql.auto.conf",
	"primary_conninfo = 'host=origin'\nrecovery_target_name = 'left over'\nlog_statement = 'all'\n"
);
$prod->safe_psql('CREATE TABLE t (v text)');
$prod->safe_psql(q{INSERT INTO t VALUES ('before')});
my $time = $prod->safe_psql('SELECT clock_timestamp()');
$prod->safe_psql(q{INSERT INTO t VALUES ('after')});
my $wal = $prod->safe_psql('SELECT pg_walfile_name(pg_switch_wal())');
HaCluster::wait_until('it is archived', sub { -e "$archive/$wal" });
my $sysid = $prod->safe_psql('SELECT system_identifier FROM pg_control_system()');

my @restore = (
	'--method=command',
	'--command=' . script('restore', qq(cp -a "$backup/." "\$PGDATA/")),
	"--restore-command=cp $archive/%f %p");

# B07: a target that is not in the archive
set_scope($n4, 'third');
my ($rc, $said) =
  $n4->boot('init', @restore, '--recovery-target-lsn=FF/0', '--as-copy');
is($rc, 10, 'a target that cannot be reached');
like(
	$said,
	qr/B07 recovery target not reached; .*; initialize lock released; partial data kept in "\Q$n4->{dir}\E\.failed-/,
	'it is said');
like($said, qr/FATAL:  recovery ended before configured recovery target was reached/,
	q(and the server's message is shown));
is(key('third', 'initialize'), undef, 'there is no such cluster');

subtest 'C1: to a point in time' => sub {
	set_scope($_, 'stage') foreach $n2, $n3;
	($rc, $said) = $n2->boot(
		'init', @restore,
		"--recovery-target-time=$time",
		'--as-copy',
		'--post-init=' . script('post', qq(test -n "\$PGHOST" && psql -XAtc "INSERT INTO t VALUES ('post')")) . ' now');
	is($rc, 0, 'init to a point in time');
	unlike($said, qr/SCRAM-SHA-256\$4096/,
		'the verifier is not in the log of statements');
	like($said, qr/recovery ended before \d{4}-/, 'it ended at the target');
	like($said, qr/shares system identifier $sysid with its origin/,
		'it is said to be a copy');
	$_->start foreach $n2, $n3;
	HaCluster::wait_until('the copy has a leader and a standby', sub {
		return $n2->rest('/leader') == 200 && $n3->rest('/replica') == 200
		  && ($n2->psql(q{SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'}))[1] eq '1';
	});
	$n2->safe_psql('CREATE EXTENSION IF NOT EXISTS pg_ha');
	is($n2->timeline, 2, 'on timeline 2');
	foreach my $node ($n2, $n3)
	{
		HaCluster::wait_until('all is replayed, and both are known', sub {
			return ($node->psql('SELECT count(*) FROM pg_ha_members()'))[1] eq '2';
		});
	}
	foreach my $node ($n2, $n3)
	{
		my $name = $node->name;

		is($node->safe_psql(q{SELECT string_agg(v, ',' ORDER BY v) FROM t}),
			'before,post', "$name: what came later is not there");
		is( $node->safe_psql(
				q{SELECT count(*) FROM pg_settings WHERE setting <> '' AND name IN
				  ('recovery_target', 'recovery_target_time', 'recovery_target_lsn',
				   'recovery_target_name', 'recovery_target_xid', 'restore_command')}
			),
			0,
			"$name: nothing of the recovery is set");
		is($node->safe_psql(q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'origin_slot'}),
			0, "$name: no slot of the origin");
	}
	is(key('stage', 'initialize'), $sysid, 'the system identifier is the same');
	isnt(uuid('stage'), uuid('test1'), 'the uuid is not');
};

subtest 'B5: a node of the copy in the scope of its origin' => sub {
	$n3->stop;
	my $offset = $n3->log_size;
	set_scope($n3, 'test1');
	$n3->start;
	is($n3->wait_for_exit, 12, 'a node of the copy is refused by the origin');
	($rc, $said) = $n3->boot('check');
	is($rc, 12, 'check says so too');
	like($said, qr/action: refuse/, 'the data is not to be used there');
	like($said, qr/P12b data directory belongs to pg_ha cluster "stage"/, 'since it is of another');
	my ($stage, $origin) = (uuid('stage'), uuid('test1'));
	ok( $n3->log_contains(
			qr/P12b data directory belongs to pg_ha cluster "stage" \(uuid $stage\), scope "test1" is uuid $origin/,
			$offset),
		'and told why');
	is_deeply(
		[ grep { $_->[1] =~ m{/n3$} } $cluster->etcd_history ],
		[],
		'it did not show itself there');
	is($prod->rest('/leader'), 200, 'the origin is not affected');
	is($prod->safe_psql('SELECT count(*) FROM t'), 2, 'nor is its data');
};

done_testing();

sub script
{
	my ($name, $content) = @_;
	my $path = "$base/$name";

	append_to_file($path, "#!/bin/sh\n$content\n");
	chmod 0700, $path or BAIL_OUT("could not chmod: $!");
	return $path;
}

sub set_scope
{
	my ($node, $scope) = @_;
	my $text = slurp_file($node->{file});

	$text =~ s/^pg_ha\.scope = .*/pg_ha.scope = '$scope'/m;
	HaCluster::rewrite($node->{file}, $text);
	return;
}

# Of whichever scope
sub key
{
	my ($scope, $name) = @_;
	my ($status, $out) =
	  $cluster->etcdctl('get', '--print-value-only', "/service/$scope/$name");

	return $out eq '' ? undef : $out;
}

sub uuid
{
	my ($scope) = @_;
	return JSON::PP::decode_json(key($scope, 'pg_ha/identity'))->{uuid};
}
