#
# K-d: a standby cluster follows another cluster, and nobody in it writes or is promoted
# while that is so, whoever of its members or of its source dies.  It is promoted only
# when the source is gone, and a source that comes back becomes a standby cluster of it,
# rewound, with nothing of it lost.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaVersions;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

# Members of both have the same names: in the source's eyes they must differ.
my $a = HaCluster->new(nodes => 2, scope => 'a');
$a->start_all;
my $source = $a->wait_for_leader;
$a->wait_streaming(1);
$source->safe_psql('CREATE TABLE t (x text)');

my $b = HaCluster->new(
	nodes => 2,
	scope => 'b',
	config => { standby_cluster => servers_of($a) });
$b->start_all;
HaCluster::wait_until('one of it leads', sub { standby_leader($b) });

subtest 'K-d: the members follow, and say what they are' => \&check_roles;
subtest 'K-d: another member takes over, without a promotion' => \&check_failover;
subtest 'K-d: the source fails over, and is followed' => \&check_source_failover;
subtest 'K-d: a standby of the source is no judge of what is here' => \&check_stale_standby;
subtest 'K-d: a configuration that is gone promotes nobody' => \&check_no_config;
subtest 'S-19: a configuration that cannot be read promotes nobody' => \&check_unreadable_config;
subtest 'K-d: no promotion while the source is there' => \&check_refusals;
subtest 'a primary in a standby cluster is demoted' => \&check_by_hand;
subtest 'K-d: the source is stopped: it is promoted' => \&check_promotion;
subtest 'K-d: the source returns, and is made to follow' => \&check_return;
done_testing();

sub servers_of
{
	my ($cluster) = @_;

	return {
		host => join(',', map { '127.0.0.1' } $cluster->nodes),
		port => join(',', map { $_->port } $cluster->nodes),
	};
}

sub standby_leader
{
	my ($cluster) = @_;

	return (grep { $_->is_running && $_->rest('/standby-leader') == 200 }
		  $cluster->nodes)[0];
}

# For a moment nobody may say so.
sub wait_for_standby_leader
{
	my ($cluster) = @_;

	return HaCluster::wait_until('a standby leads', sub { standby_leader($cluster) });
}

sub others
{
	my ($cluster, $node) = @_;

	return grep { $_ != $node } $cluster->nodes;
}

my $rows = 0;

sub write_row { $source->safe_psql('INSERT INTO t VALUES (' . ++$rows . ')'); return; }

# The last row that was written there has come.
sub has_row
{
	my (@nodes) = @_;

	HaCluster::wait_until(
		"row $rows is on " . join(', ', map { $_->name } @nodes),
		sub {
			0 == grep {
				my ($rc, $out) =
				  $_->psql("SELECT count(*) FROM t WHERE x = '$rows'", timeout => 5);
				$rc != 0 || $out ne '1';
			} @nodes;
		});
	return;
}

# Nobody of it is a primary, nor has been on a timeline of its own.
sub nobody_was_promoted
{
	my ($cluster) = @_;

	foreach my $node (grep { $_->is_running } $cluster->nodes)
	{
		is($node->safe_psql('SELECT pg_is_in_recovery()'),
			't', $node->name . ' is a standby');
		is($node->rest('/primary'), 503, '... and no load balancer takes it for a primary');
	}
	ok(!(grep { $_->log_contains(qr/plan: promote|selected new timeline/) }
		  $cluster->nodes), 'no promotion was even begun');
	return;
}

sub term_record { return decode_json($_[0]->etcd_get('pg_ha/term')); }

sub ask
{
	my ($node, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($sql);

	note "$sql: $out $err";
	return $rc == 0 ? $out : $err;
}

sub check_roles
{
	my $leader = wait_for_standby_leader($b);
	my ($other) = others($b, $leader);

	write_row();
	has_row($b->nodes);
	nobody_was_promoted($b);
	is($leader->rest('/leader'), 200, 'it holds the leader key');
	is($leader->rest('/'), 503, '... but is no primary');
	is($leader->rest('/replica'), 503, '... and no replica');
	is(decode_json(($leader->rest('/patroni'))[1])->{role},
		'standby_leader', 'its role over HTTP');
	is($other->rest('/replica'), 200, 'the other is a replica');
	is($other->rest('/standby-leader'), 503, '... which does not lead');
	is($leader->status('role'), 'standby_leader', 'its role in pg_ha_status()');
	is( $other->safe_psql('SELECT role FROM pg_ha_members() WHERE is_leader'),
		'standby_leader',
		'... and in pg_ha_members() of the other');
	HaCluster::wait_until('its member key says so',
		sub { decode_json($b->etcd_get('members/' . $leader->name))->{role} eq 'standby_leader' });

	like((ask($leader, 'INSERT INTO t VALUES (0)')), qr/25006/, 'nobody writes there');
	is($leader->safe_psql('SELECT application_name FROM pg_stat_replication'),
		$other->name, 'the other streams from it');
	is( $source->safe_psql(
			"SELECT string_agg(application_name, ',') FROM pg_stat_replication"
			  . " WHERE application_name LIKE '%:%'"),
		'b:' . $leader->name,
		'only the leader streams from the source, under a name that no member there has');
	ok(term_record($b)->{standby}, 'the record of the term says what it is');
	return;
}

sub check_failover
{
	my $old = wait_for_standby_leader($b);
	my ($other) = others($b, $old);
	my $term = term_record($b)->{term};

	$old->kill_node;
	HaCluster::wait_until('the other leads', sub { standby_leader($b) && standby_leader($b) == $other });
	write_row();
	has_row($other);
	is($other->safe_psql('SELECT timeline_id FROM pg_control_checkpoint()'),
		1, 'on the same timeline');
	is(term_record($b)->{timeline}, 1, '... which is on record');
	cmp_ok(term_record($b)->{term}, '>', $term, '... in another term');
	$old->start;
	has_row($b->nodes);
	like(ask($old, 'SELECT pg_ha_switchover()'),
		qr/switched over from "\w+" to "\w+"/, 'a switchover');
	HaCluster::wait_until('it leads', sub { $old->rest('/standby-leader') == 200 });
	nobody_was_promoted($b);
	return;
}

sub check_source_failover
{
	my $old = $source;

	$old->kill_node;
	$source = $a->wait_for_leader(other_than => $old);
	write_row();
	has_row($b->nodes);
	my $timeline = $source->timeline;
	cmp_ok($timeline, '>', 1, 'the source is on another timeline');
	HaCluster::wait_until('the record of the standby cluster tells it',
		sub { term_record($b)->{timeline} == $timeline });
	nobody_was_promoted($b);
	return;
}

# What is left of the source is a standby that missed its last failover.
sub check_stale_standby
{
	my ($stale) = others($a, $source);
	my @sizes = map { $_->log_size } $b->nodes;
	my @servers = map { $_->postmaster_pid } $b->nodes;

	$source->kill_node;
	append_to_file("$stale->{dir}/standby.signal", '');
	my $server = $a->start_plain(HaVersions::bin_dir(), $stale->{dir},
		'-p', $stale->port, '-c', 'listen_addresses=127.0.0.1',
		'-c', 'shared_preload_libraries=', '-c', 'primary_conninfo=');
	my $leader = wait_for_standby_leader($b);
	HaCluster::wait_until('it was asked, and again',
		sub { $leader->log_contains(qr/(?:is a standby on timeline 1, so it is not asked.*){2}/s) });
	foreach my $node ($b->nodes)
	{
		ok(!$node->log_contains(qr/rewinding|cloning again/, shift @sizes),
			$node->name . ' is neither rewound nor cloned');
		is($node->postmaster_pid, shift @servers, '... nor stopped');
	}
	has_row($b->nodes);
	$a->stop_plain($server);
	unlink "$stale->{dir}/standby.signal";
	$source->start;
	HaCluster::wait_until('the source is back', sub { $source->rest('/primary') == 200 });
	$stale->start;
	write_row();
	has_row($a->nodes, $b->nodes);
	return;
}

sub check_no_config
{
	my $config = $b->etcd_get('config');
	my $leader = wait_for_standby_leader($b);

	$b->etcd_delete('config');
	$leader->kill_node;
	HaCluster::wait_until('the other leads', sub { standby_leader($b) });
	nobody_was_promoted($b);
	$b->etcd_put('config', $config);
	$leader->start;
	write_row();
	has_row($b->nodes);
	return;
}

# Both start without ever having read a good one, so nobody knows where the source is.
sub check_unreadable_config
{
	my $config = $b->etcd_get('config');

	$b->stop_all;
	$b->etcd_put('config', '{"standby_cluster": {"restore_command": "true"}}');
	$b->start_all;
	HaCluster::wait_until('one of it leads', sub { standby_leader($b) });
	HaCluster::wait_until('the other streams from it',
		sub {
			my $leader = standby_leader($b);
			return $leader && ask($leader, 'SELECT count(*) FROM pg_stat_replication') eq '1';
		});
	nobody_was_promoted($b);
	$b->etcd_put('config', $config);
	write_row();
	has_row($b->nodes);
	return;
}

# Somebody promotes a member behind pg_ha's back, and writes.
sub check_by_hand
{
	my $leader = wait_for_standby_leader($b);
	my $since = $leader->log_size;

	$leader->safe_psql('SELECT pg_promote(true, 10)');
	isnt(($leader->psql(q{SET pg_ha.fence_wait = 0; INSERT INTO t VALUES ('lost')}))[0], 0,
		'it can commit nothing');
	HaCluster::wait_until('it is a standby again', sub {
		$leader->log_contains(qr/the rewind is complete|the clone is complete/, $since) });
	write_row();
	has_row($b->nodes);
	HaCluster::wait_until('a standby leads', sub { standby_leader($b) });
	return;
}

sub check_refusals
{
	my $leader = wait_for_standby_leader($b);
	my ($node) = others($b, $leader);
	my $version = $b->etcd_version('config');

	like(ask($node, "SELECT pg_ha_promote_cluster('a', true)"),
		qr/confirm must be the cluster name "b"/, 'the name must be told');
	like(ask($node, "SELECT pg_ha_promote_cluster('b')"),
		qr/ERROR:.* promoting a standby cluster while its source still runs creates two diverging databases.*HINT:.*source_is_fenced/s,
		'the operator must vouch for the source');
	like(ask($node, "SELECT pg_ha_promote_cluster('b', source_is_fenced => true)"),
		qr/ERROR:.* source 127\.0\.0\.1 is still a running primary \(timeline \d+\)/,
		'... who is not believed while it answers');
	like(ask($node, q{SELECT pg_ha_set_config('{"standby_cluster": null}')}),
		qr/pg_ha_promote_cluster/, '... nor is there another way around that');
	$_->freeze($_->postmaster_pid) foreach $a->nodes;
	my $begin = HaCluster::now();
	my ($rc, undef, $err) = $node->psql(
		"BEGIN; SET LOCAL statement_timeout = '300ms'; SELECT pg_ha_promote_cluster('b', true)");
	isnt($rc, 0, 'a question to a frozen source can be cancelled');
	like($err, qr/57014/, '... as a query is');
	cmp_ok(HaCluster::now() - $begin, '<', 4, '... at once');
	$_->thaw foreach $a->nodes;
	is($b->etcd_version('config'), $version, 'nothing was stored');
	nobody_was_promoted($b);
	return;
}

sub check_promotion
{
	my $leader = wait_for_standby_leader($b);

	$a->stop_all;
	has_row($b->nodes);
	like(ask($leader, "SELECT pg_ha_promote_cluster('b', source_is_fenced => true)"),
		qr/elects a primary/, 'it is promoted');
	my $primary = $b->wait_for_leader;
	cmp_ok($primary->timeline, '>', 2, 'on a timeline of its own');
	is($primary->rest('/primary'), 200, 'it is a primary');
	is($primary->rest('/standby-leader'), 503, '... and no standby leader');
	is(term_record($b)->{standby}, undef, 'the record says so');
	$b->wait_streaming(1);
	is($primary->safe_psql('SELECT count(*) FROM t'), $rows, 'all rows are there');
	like(ask($primary, "SELECT pg_ha_promote_cluster('b', true)"),
		qr/cluster "b" is not a standby cluster/, 'once is enough');
	return;
}

sub check_return
{
	my $port = HaCluster::get_free_port();
	my $primary = $b->wait_for_leader;
	my $writer = $b->start_writer;

	my %sizes = map { $_->name => $_->log_size } $a->nodes;

	$a->start_all;
	$source = $a->wait_for_leader;
	isnt($source->timeline, $primary->timeline, 'it comes back with a history of its own');
	$source->safe_psql(q{INSERT INTO t VALUES ('lost')});
	$a->wait_streaming(1);
	$writer->wait_for_acks(50);

	like(ask($source, "SELECT pg_ha_demote_cluster('127.0.0.1', $port, confirm => 'b')"),
		qr/confirm must be the cluster name "a"/, 'the name must be told');
	like(ask($source, "SELECT pg_ha_demote_cluster('127.0.0.1', $port, confirm => 'a')"),
		qr/source 127\.0\.0\.1 could not be asked/, 'a source that is not there is refused');
	like(ask($source, "SELECT pg_ha_demote_cluster('127.0.0.1', " . $source->port . ", confirm => 'a')"),
		qr/is member "n\d" of this cluster/, '... and so is one of its own');
	like(ask($source, "SELECT pg_ha_demote_cluster('a b', $port, confirm => 'a')"),
		qr/"standby_cluster.host" must be/, '... and what is no host');
	like(ask($source, "SELECT pg_ha_demote_cluster('127.0.0.1', " . $primary->port . ", confirm => 'a')"),
		qr/becomes a standby cluster/, 'it is demoted');
	HaCluster::wait_until('a standby leads it', sub { standby_leader($a) });
	$source = $primary;
	write_row();
	has_row($a->nodes, $b->nodes);
	foreach my $node ($a->nodes)
	{
		is($node->safe_psql('SELECT pg_is_in_recovery()'), 't', $node->name . ' is a standby');
		is($node->safe_psql(q{SELECT count(*) FROM t WHERE x = 'lost'}), 0,
			'... without what it alone had');
	}
	ok((grep { $_->log_contains(qr/the rewind is complete/, $sizes{ $_->name }) } $a->nodes),
		'it was rewound');
	my $verdict = $b->check_history($writer);
	ok($verdict->{ok}, 'no promise of the other was broken');
	is($verdict->{lost}, 0, '... and none of its rows is lost');
	return;
}
