#
# A new node joins with what pg_ha_join_command() prints, and no two nodes have one
# name.  pg_ha_wait() tells scripts when a member is ready.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

my $loop_wait = 4;
my $cluster = HaCluster->new(
	nodes => 2,
	config => { ttl => 10, loop_wait => $loop_wait, retry_timeout => 3 });
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
my ($standby) = $cluster->standbys;
my $config = $cluster->etcd_get('config');
my $name = $standby->name;

# Like all that is added to a cluster later
$cluster->_add_node('n3');
my $third = $cluster->node('n3');

subtest 'F4: a second node of that name' => sub {
	my $file = slurp_file($third->{file});
	my $pid = $standby->postmaster_pid;
	my $put = $cluster->etcd_version("members/$name");

	HaCluster::rewrite($third->{file}, $file =~ s/^pg_ha\.name = .*/pg_ha.name = '$name'/mr);
	$third->start;
	is($third->wait_for_exit, EXIT_REFUSED, 'refused for safety');
	ok( $third->log_contains(
			qr/P11 member name "$name" is already in use by 127\.0\.0\.1:$standby->{port} \(alive\)/
		),
		'P11');
	ok($third->log_contains(qr/hint: /), 'with a hint');
	ok(!-e "$third->{dir}/PG_VERSION", 'nothing was cloned');
	is($standby->postmaster_pid, $pid, "the server of $name goes on");
	is($standby->safe_psql(q{SELECT pg_ha_wait('standby', 5)}), '', 'as a standby');
	like($cluster->etcd_get("members/$name"),
		qr/:$standby->{port}\//, 'the member key is its own');
};

subtest 'F4: a node with the lines of pg_ha_join_command()' => sub {
	my $text = $standby->safe_psql('SELECT pg_ha_join_command()');
	my $port = $standby->port;

	note $text;
	unlike($text, qr/\bsecret\b/, 'no secret');
	like($text, qr/^pg_ha\.scope = '$cluster->{scope}'$/m, 'the scope');
	like($text, qr/^pg_ha_boot run -D PGDATA -c \S+$/m, 'the command');
	my ($rc, $out, $err) = $leader->psql(
		'CREATE ROLE somebody; SET ROLE somebody; SELECT pg_ha_join_command()');
	isnt($rc, 0, 'not for everybody');

	# All on one host: another port, and what the test itself needs
	$text =~ s/\bADDRESS\b/127.0.0.1/g;
	$text =~ s/'NAME'/'n3'/;
	$text =~ s/\b$port\b/$third->{port}/g;
	$text =~ s/^pg_ha_boot run.*//m;
	HaCluster::rewrite($third->{file}, <<"END_OF_FILE");
$text
unix_socket_directories = '$cluster->{sockets}'
pg_ha.rest_listen = '127.0.0.1:$third->{rest_port}'
END_OF_FILE
	unlink glob "$third->{dir}.pg_ha/*";
	my $begin = HaCluster::now();
	$third->start;
	HaCluster::wait_until(
		'it is listed',
		sub {
			$leader->safe_psql(
				q{SELECT count(*) FROM pg_ha_members() WHERE name = 'n3'}) == 1;
		});
	cmp_ok(HaCluster::now() - $begin, '<', 2 * $loop_wait, 'it is listed in time');
	$cluster->wait_streaming(2);
	is( $leader->safe_psql(
			q{SELECT slot_type FROM pg_replication_slots WHERE slot_name = 'n3'}),
		'physical', 'it has its slot');
	is($cluster->etcd_get('config'), $config, 'the configuration is as it was');
	is( $third->safe_psql('SELECT system_identifier FROM pg_control_system()'),
		$cluster->etcd_get('initialize'), 'it has the data of the cluster');
};

subtest 'pg_ha_wait()' => sub {
	is($leader->safe_psql(q{SELECT pg_ha_wait('leader', 5)}), '', 'the leader');
	is($third->safe_psql('SELECT pg_ha_wait()'), '', 'a standby is ready');

	my ($rc, $out, $err) = $third->psql(q{SELECT pg_ha_wait('leader', 1)});
	like($err, qr/member "n3" did not become leader within 1 s/, 'it is no leader');
	($rc, $out, $err) = $third->psql(q{SELECT pg_ha_wait('boss')});
	like($err, qr/unrecognized role "boss"/, 'no such role');
};

done_testing();

