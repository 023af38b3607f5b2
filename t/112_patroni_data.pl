#
# Data of Patroni's is run by pg_ha as it stands, and back: after all of one have been stopped, the
# other's nodes go on with every row, and nobody's data is copied anew.
#
# Patroni is a later Debian's, which "test/aside forky patroni" gets; what a mixed cluster
# does is in t/113_mixed.pl.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaPatroni;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $program = HaPatroni::program()
  or plan skip_all => 'run "test/aside forky patroni" for it';

my $cluster =
  HaCluster->new(nodes => 0, config => { ttl => 20, loop_wait => 1, retry_timeout => 3 });
HaPatroni::lay_out($cluster, $program, qw(n1 n2));
my ($n1, $n2) = $cluster->nodes;
my %inode;

start_leader();
$n2->start;
HaPatroni::wait_streaming($cluster, 'n2');
add_rows(0);
$inode{ $_->name } = inode($_) foreach $n1, $n2;
my @patronis_files = sort grep { !/^postmaster/ } files($n1);
stop_all();

subtest 'from Patroni to pg_ha' => \&to_pg_ha;
subtest 'a clone by pg_ha has its own access rules' => \&clone;
subtest 'a copy that somebody starts beside its origin does nothing' => \&copy;
subtest 'from pg_ha to Patroni' => \&to_patroni;
subtest 'a name that somebody else may have is waited for' => \&names;
done_testing();

sub start_leader
{
	$n1->start;
	my $leader = HaPatroni::wait_for_leader($cluster);
	is($leader->name, 'n1', 'n1 leads');
	return;
}

sub add_rows
{
	my ($client) = @_;
	$n1->safe_psql("INSERT INTO acked SELECT $client, generate_series(1, 1000)");
	return;
}

# The leader last, so that it has all there is.
sub stop_all
{
	$n2->stop;
	$n1->stop;
	return;
}

sub inode { return (stat shift->{dir})[1]; }

sub files
{
	my ($node) = @_;
	return map { s{.*/}{}r } glob "$node->{dir}/*";
}

sub rows { return shift->safe_psql('SELECT count(*), count(DISTINCT (client, n)) FROM acked'); }

sub to_pg_ha
{
	my $offset = $n1->log_size;

	HaPatroni::give_to_pg_ha($_) foreach $n1, $n2;
	start_leader();
	ok(!$n1->log_contains(qr/waiting for the other node called/, $offset),
		'the key that Patroni left under its name is no other node\'s');
	is(rows($n1), '1000|1000', 'all rows are there');
	$n2->start;
	HaPatroni::wait_streaming($cluster, 'n2');
	is(rows($n2), '1000|1000', 'and on the standby');
	is(inode($_), $inode{ $_->name }, $_->name . ' has its own data') foreach $n1, $n2;
	like($n1->safe_psql('SHOW shared_preload_libraries'), qr/\bpg_ha\b/, 'the library is in');
	is($n1->safe_psql('SHOW max_connections'), '60', 'a setting of the cluster is in force');
	is($n1->safe_psql('SHOW shared_buffers'), '16MB', 'one of the node, too');

	# What Patroni left behind
	my %now = map { $_ => 1 } files($n1);
	is(join(' ', grep { !$now{$_} } @patronis_files), '', 'no file of Patroni\'s is gone');
	is(HaPatroni::member($cluster, 'n1')->{pg_ha_version}, '1.0', 'n1 shows that pg_ha runs it');
	$n1->safe_psql('CREATE EXTENSION pg_ha');
	is($n1->safe_psql(q{SELECT string_agg(check_name, ' ') FROM pg_ha_health() WHERE NOT ok}),
		'', 'all is well');
	add_rows(1);
	return;
}

# It takes along the postgresql.conf that Patroni wrote for the other node.
sub clone
{
	$n1->safe_psql(q{SELECT pg_ha_reinit('n2', true)});
	HaCluster::wait_until('n2 has been cloned', sub { inode($n2) != $inode{n2} });
	HaPatroni::wait_streaming($cluster, 'n2');
	$inode{n2} = inode($n2);
	like(slurp_file("$n2->{dir}/postgresql.conf"),
		qr{^hba_file = '\Q$n1->{dir}\E/}m, 'what was cloned names another node\'s files');
	is($n2->safe_psql("SELECT current_setting('hba_file')"),
		"$n2->{dir}/pg_hba.conf", 'it reads its own rules');
	is($n2->safe_psql("SELECT current_setting('ident_file')"),
		"$n2->{dir}/pg_ident.conf", 'and maps');
	return;
}

# Its postgresql.conf leads to the settings of its origin.
sub copy
{
	my $bin = HaPatroni::bin_dir();
	my $dir = "$cluster->{base}/copy";
	my $offset = $n1->log_size;
	my ($rc, undef, $err) = HaCluster::capture(60, "$bin/pg_basebackup", '-D', $dir,
		'-c', 'fast', '-d', "host=127.0.0.1 port=$n1->{port}");

	is($rc, 0, 'it is made') or diag($err);
	my $server = $cluster->start_plain($bin, $dir, '-c', 'listen_addresses=');
	my @psql = ('psql', '-XAtq', '-d',
		"host=$cluster->{sockets} port=$server->{port} dbname=postgres", '-c');
	my (undef, $out) = HaCluster::capture(30, @psql,
		q{SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_ha%')});
	is($out, 'f|0', 'it is a primary, and nobody of pg_ha is in it');
	($rc, undef, $err) = HaCluster::capture(30, @psql,
		'SET pg_ha.fence_wait = 0; INSERT INTO acked VALUES (2, 1)');
	isnt($rc, 0, 'it commits nothing');
	like(slurp_file("$cluster->{log_prefix}_plain.log"),
		qr/its settings are those of data directory "\Q$n1->{dir}\E"/, 'and says why');
	$cluster->stop_plain($server);
	ok(!$n1->log_contains(qr/plan: /, $offset), 'its origin leads on as if nothing were there');
	return;
}

sub to_patroni
{
	my %offset;

	stop_all();
	HaPatroni::give_to_patroni($_) foreach $n1, $n2;
	$offset{ $_->name } = $_->log_size foreach $n1, $n2;
	start_leader();
	$n2->start;
	HaPatroni::wait_streaming($cluster, 'n2');
	is(rows($_), '2000|2000', $_->name . ' has all rows') foreach $n1, $n2;
	foreach my $node ($n1, $n2)
	{
		my $name = $node->name;

		is(inode($node), $inode{$name}, "$name has its own data");
		ok(!$node->log_contains(qr/trying to bootstrap|running pg_rewind/, $offset{$name}),
			"$name was neither cloned nor rewound");
		is($node->safe_psql('SHOW shared_preload_libraries'), '', "$name: the library is out");
		is($node->safe_psql(q{SELECT count(*) FROM pg_settings WHERE sourcefile LIKE '%pg_ha%'}),
			'0', "$name: no file of pg_ha is read");
	}
	ok(!exists HaPatroni::member($cluster, 'n1')->{pg_ha_version}, 'Patroni runs it');
	stop_all();
	return;
}

sub names
{
	my $offset = $n2->log_size;
	my %key = (
		conn_url => "postgres://127.0.0.1:$n2->{port}/postgres",
		api_url => 'http://127.0.0.1:1/patroni',
		state => 'stopped',
		role => 'replica',
		version => '4.1.5');

	$cluster->etcd_delete('members/n2');
	$cluster->etcd_put('members/n2', JSON::PP::encode_json(\%key));
	HaPatroni::give_to_pg_ha($n2);
	$n2->start;
	HaCluster::wait_until('it waits',
		sub { $n2->log_contains(qr/waiting for the other node called "n2"/, $offset) });
	is($cluster->etcd_version('members/n2'), 1, 'a stopped one at another address keeps its key');

	$offset = $n2->log_size;
	$key{api_url} = "http://127.0.0.1:$n2->{rest_port}/patroni";
	$key{state} = 'running';
	$cluster->etcd_put('members/n2', JSON::PP::encode_json(\%key));
	ok(!$n2->log_contains(qr/has gone/, $offset), 'so does a running one at ours');
	$key{state} = 'stopped';
	$cluster->etcd_put('members/n2', JSON::PP::encode_json(\%key));
	HaCluster::wait_until('it takes one that is stopped, at ours',
		sub { HaPatroni::member($cluster, 'n2')->{pg_ha_version} });
	$n2->stop;
	return;
}
