#
# Tags are what the node file says now, not when the server started: in the member key, over
# HTTP and in pg_ha_members(), with the types that Patroni writes, and those of the user's own
# too.  Where they are wrong, nothing changes.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $page = HaDocs->new('tags.md');
my $json = JSON::PP->new->canonical->allow_nonref;
my $cluster = HaCluster->new(nodes => 2);
my ($n1, $n2) = $cluster->nodes;

$cluster->start_led_by('n1');
my @pids = map { $_->postmaster_pid } $n1, $n2;

subtest 'in three places' => sub {
	my $expected = '{"blue":true,"clonefrom":true,"failover_priority":2,"noloadbalance":true,'
	  . '"nosync":true,"rack":"b7","replicatefrom":"n9","sync_priority":3,"weight":10}';

	$n2->add_settings("pg_ha.tags = 'clonefrom, nofailover = false, failover_priority = 2, nosync,"
		  . " sync_priority=3, noloadbalance, replicatefrom=n9, rack = b7, weight=10, blue'");
	is($n1->safe_psql(q{SELECT pg_ha_reload('n2')}), '1 members have read their configuration files', 'a reload from elsewhere');
	HaCluster::wait_until('the key has them', sub { key_tags($n2) eq $expected });
	is(key_tags($n2), $expected, 'in the key');
	is(rest_tags($n2), $expected, 'over HTTP');
	HaCluster::wait_until('SQL has them', sub { sql_tags($n1, 'n2') });
	is(sql_tags($n1, 'n2'), 'blue, rack=b7, weight=10, nosync, noloadbalance, clonefrom,'
		  . ' failover_priority=2, sync_priority=3, replicatefrom=n9', 'in SQL');

	$n2->add_settings("pg_ha.tags = ''");
	kill 'HUP', $n2->boot_pid;
	HaCluster::wait_until('they are gone', sub { key_tags($n2) eq 'null' });
	is(rest_tags($n2), 'null', 'over HTTP, too');
	HaCluster::wait_until('and in SQL', sub { sql_tags($n1, 'n2') eq '' });
};

subtest 'noloadbalance' => sub {
	is($n2->rest($_), 200, "$_ before") foreach '/replica', '/read-only', '/async', '/health';
	set_tags($_, 'noloadbalance, rack=b7') foreach $n1, $n2;
	is($n2->rest($_), 503, $_) foreach '/replica', '/read-only', '/async', '/sync';
	is($n2->rest($_), 200, $_) foreach '/health', '/liveness', '/readiness';
	is($n1->rest($_), 200, "$_ of the leader") foreach '/primary', '/read-only';
	set_tags($_, 'rack=b7') foreach $n1, $n2;
	is($n2->rest($_), 200, $_) foreach '/replica', '/read-only', '/async', '/replica?tag_rack=B7';
	is($n2->rest('/replica?tag_rack=a1'), 503, 'another tag');
};

subtest 'tags that are wrong' => sub {
	HaCluster::wait_until('the server has read the last',
		sub { $n2->safe_psql('SHOW pg_ha.tags') eq 'rack=b7' });
	my $offset = $n2->log_size;
	$n2->add_settings("pg_ha.tags = 'nofailover=maybe, replicatefrom=a/b, failover_priority=high'");
	kill 'HUP', $n2->boot_pid;
	HaCluster::wait_until('pg_ha_boot refuses them',
		sub { $n2->log_contains(qr/the node file has faults and is not applied/, $offset) });
	like(slurp_file($n2->{log}, $offset), qr/$_/, $_)
	  foreach qr/"maybe" is no value for the tag "nofailover"/,
	  qr{"a/b" is no value for the tag "replicatefrom"},
	  qr/the tag "failover_priority" needs a whole number/;
	is(rest_tags($n2), '{"rack":"b7"}', 'they are as they were');

	$n2->safe_psql('SELECT pg_reload_conf()');
	HaCluster::wait_until('so does the server',
		sub { $n2->log_contains(qr/invalid value for parameter "pg_ha.tags"/, $offset) });
	is($n2->safe_psql('SHOW pg_ha.tags'), 'rack=b7', 'it keeps the last');
};

subtest 'the worker reads them as pg_ha_boot does' => sub {
	HaCluster::wait_until('n2 may lead',
		sub { $n2->safe_psql('SELECT count(*) FROM pg_ha_slots()') == 1 });
	set_tags($n2, 'failover_priority = 0');
	HaCluster::wait_until('n2 may not lead',
		sub { $n2->safe_psql('SELECT count(*) FROM pg_ha_slots()') == 0 });
	pass('blanks mean nothing');
	set_tags($n2, 'rack=b7');
};

subtest 'sites' => sub {
	my $url = "http://127.0.0.1:$n1->{wires}[0]{port}";
	my $out = sites();
	unlike($out, qr/dc/, 'no site is told');

	$_->add_settings("pg_ha.site = 'dc2'\npg_ha.etcd_sites = 'dc1=$url'") foreach $n1, $n2;
	set_tags($_, 'rack=b7') foreach $n1, $n2;
	HaCluster::wait_until('it is',
		sub { sql_tags($n1, 'n1') eq 'rack=b7, site=dc2' && sql_tags($n1, 'n2') eq 'rack=b7, site=dc2' });
	is(rest_tags($n2), '{"rack":"b7","site":"dc2"}', 'over HTTP');
	$out = sites();
	like($out, qr/$_/, $_)
	  foreach qr/losing site "dc1" also loses the etcd majority/,
	  qr/the leader is at site "dc2", and cannot lead without site "dc1", which has the etcd majority/,
	  qr/all members that may lead are at site "dc2"/;

	$n2->add_settings("pg_ha.site = 'dc1'");
	kill 'HUP', $n2->boot_pid;
	HaCluster::wait_until('n2 is at dc1', sub { sql_tags($n1, 'n2') eq 'rack=b7, site=dc1' });
	$out = sites();
	unlike($out, qr/all members that may lead/, 'not if one is elsewhere');
	set_tags($n2, 'nofailover');
	HaCluster::wait_until('which may lead', sub { sql_tags($n1, 'n2') eq 'nofailover, site=dc1' });
	$out = sites();
	like($out, qr/all members that may lead are at site "dc2"/, 'and may lead');

	my $offset = $n2->log_size;
	$n2->add_settings("pg_ha.tags = 'site=dc3'");
	kill 'HUP', $n2->boot_pid;
	HaCluster::wait_until('two are a fault',
		sub { $n2->log_contains(qr/the tag "site" and "pg_ha.site" differ/, $offset) });
	pass('two are a fault');
};

is_deeply([ map { $_->postmaster_pid } $n1, $n2 ], \@pids, 'no server was restarted');
$page->check_all_were_run;
done_testing();

# What the query of the page shows, and that it could be made
sub sites
{
	my ($rc, $out) = $page->run('sites', ANY => $n1->connstr);

	is($rc, 0, 'the sites can be asked for') or diag $out;
	return $out;
}

sub set_tags
{
	my ($node, $tags) = @_;

	$node->apply_settings("pg_ha.tags = '$tags'");
	return;
}

sub key_tags
{
	my ($node) = @_;
	my $value = $cluster->etcd_get('members/' . $node->name) // '{}';

	return $json->encode($json->decode($value)->{tags});
}

sub rest_tags
{
	my ($node) = @_;
	my ($code, $content) = $node->rest('/patroni');

	return $json->encode($json->decode($content)->{tags});
}

sub sql_tags
{
	my ($node, $name) = @_;

	return $node->safe_psql("SELECT tags FROM pg_ha_members() WHERE name = '$name'");
}
