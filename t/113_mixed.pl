#
# Members of Patroni and of pg_ha in one cluster, with synchronous replication: each follows the
# other's leader, the leadership goes from one to the other and back, by switchovers and
# when a node dies; no acknowledged row is lost, and never do two nodes acknowledge.
#
# Patroni is a later Debian's, which "test/aside forky patroni" gets.  Debian 12's own
# is too old, and refused.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use HaPatroni;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

my $program = HaPatroni::program()
  or plan skip_all => 'run "test/aside forky patroni" for it';

my $cluster = HaCluster->new(
	nodes => 0,
	config => {
		ttl => 20, loop_wait => 1, retry_timeout => 3,
		synchronous_mode => JSON::PP::true,
		synchronous_node_count => 2	# so that each may lead
	});
HaPatroni::lay_out($cluster, $program, qw(n1 n2 n3));
my ($n1, $n2, $n3) = $cluster->nodes;
my $page = HaDocs->new('migrate.md');
my $writer;

start_patroni();
subtest 'a standby of Patroni\'s is run by pg_ha as it stands' => \&to_pg_ha;
subtest 'a position that is counted is of after the question' => \&position;
subtest 'a clone of Patroni\'s leader has its own access rules' => \&clone;
subtest 'a switchover from Patroni to pg_ha' => sub { switchover($n1, $n3); };
subtest 'a switchover from pg_ha to Patroni' => sub { switchover($n3, $n1); };
subtest 'Patroni\'s leader dies, pg_ha leads' => \&patroni_dies;
subtest 'pg_ha\'s leader dies, Patroni leads' => \&pg_ha_dies;
subtest 'Patroni 3.0.2 is refused' => \&too_old;
subtest 'a name that somebody else may have is waited for' => \&names;
subtest 'Patroni runs the standby of pg_ha\'s as it stands' => \&to_patroni;
$page->check_all_were_run;
done_testing();

sub start_patroni
{
	$n1->start;
	HaPatroni::wait_for_leader($cluster);
	$_->start foreach $n2, $n3;
	HaPatroni::wait_streaming($cluster, qw(n2 n3));
	is($cluster->leader->name, 'n1', 'n1 leads');

	# Patroni takes 20 s for its own leases all the same.
	my ($status) = $n1->http('PATCH', '/config', { ttl => 3, retry_timeout => 1 });
	is($status, 200, 'those of pg_ha last 3 s');
	$n1->safe_psql($page->block('rights'));
	is($n1->safe_psql(q{SELECT has_function_privilege('replicator',
			'pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')}),
		't', 'the replication role may rewind');
	$writer = $cluster->start_writer;
	$writer->wait_for_acks(50);
	return;
}

sub inode { return (stat shift->{dir})[1]; }

sub files
{
	my ($node) = @_;
	return map { s{.*/}{}r } glob "$node->{dir}/*";
}

sub to_pg_ha
{
	my $inode = inode($n3);
	my @patronis_files = grep { !/^postmaster/ } files($n3);

	HaCluster::wait_until('Patroni has made slots there',
		sub { $n3->safe_psql('SELECT count(*) FROM pg_replication_slots') == 2 });
	$n3->stop;
	my $offset = $n3->log_size;
	HaPatroni::give_to_pg_ha($n3);
	$n3->start;
	HaPatroni::wait_streaming($cluster, qw(n2 n3));
	is(inode($n3), $inode, 'it has its own data');
	ok(!$n3->log_contains(qr/waiting for the other node called/, $offset),
		'the key that Patroni left under its name is no other node\'s');
	my %now = map { $_ => 1 } files($n3);
	is(join(' ', grep { !$now{$_} } @patronis_files), '', 'no file of Patroni\'s is gone');
	is(HaPatroni::member($cluster, 'n3')->{pg_ha_version}, '1.0', 'it shows that pg_ha runs it');
	like($n3->safe_psql('SHOW shared_preload_libraries'), qr/\bpg_ha\b/, 'the library is in');
	is($n3->safe_psql('SHOW max_connections'), '60', 'a setting of the cluster is in force');
	is($n3->safe_psql('SHOW shared_buffers'), '16MB', 'one of the node, too');

	$n1->safe_psql('CREATE EXTENSION pg_ha');
	HaCluster::wait_until('n3 has the functions',
		sub { ($n3->psql('SELECT * FROM pg_ha_status()'))[0] == 0 });
	is($n3->status('guarantee'), 'patroni', 'it tells whose promises hold');

	# Nobody streams through those on a standby, so they would hold back WAL for ever.
	my $slots = q{SELECT string_agg(slot || ' ' || owner, ', ' ORDER BY slot),
		bool_and(restart_lsn > '%s') FROM pg_ha_slots()};
	my $lsn = $n3->safe_psql('SELECT pg_last_wal_replay_lsn()');
	HaCluster::wait_until('the slots that Patroni has made there are pg_ha\'s, and move',
		sub { $n3->safe_psql(sprintf $slots, $lsn) eq 'n1 member, n2 member|t' });
	my (undef, undef, $err) = $n3->psql(q{SELECT pg_ha_set_config('{"loop_wait": 0.5}')});
	like($err, qr/"loop_wait" must be a whole number/, 'what Patroni would cut is refused');
	is($n3->safe_psql(q{SELECT string_agg(check_name, ' ') FROM pg_ha_health() WHERE NOT ok}),
		'', 'all is well');
	return;
}

# A candidate of Patroni's takes it for a vote, in quorum mode.
sub position
{
	my $told = sub { JSON::PP::decode_json(($n3->rest('/patroni'))[1]) };

	is(($n1->http('PATCH', '/config', { synchronous_mode => 'quorum' }))[0],
		200, 'one of a quorum is to confirm');
	HaCluster::wait_until('n3 is one of it', sub { $n3->rest('/quorum') == 200 });
	like($told->()->{xlog}{received_location}, qr/^\d+$/, 'it tells its position');
	my $worker = $n3->worker_pid or die 'n3 has no worker';
	$n3->freeze($worker);
	my $json = $told->();
	$n3->thaw;
	is($json->{state}, 'running', 'while its worker does nothing it answers');
	ok(!exists $json->{xlog}, '... without one');
	is(($n1->http('PATCH', '/config', { synchronous_mode => JSON::PP::true }))[0],
		200, 'each is to confirm, again');
	HaCluster::wait_until('n3 is one of them', sub { $n3->rest('/sync') == 200 });
	return;
}

# It takes along the postgresql.conf that Patroni wrote for the other node.
sub clone
{
	my $inode = inode($n3);
	my ($status, $body) = $n3->http('POST', '/reinitialize', { force => JSON::PP::true });

	is($status, 200, 'it is asked for') or diag($body);
	HaCluster::wait_until('n3 has been cloned', sub { -e $n3->{dir} && inode($n3) != $inode });
	HaPatroni::wait_streaming($cluster, qw(n2 n3));
	like(slurp_file("$n3->{dir}/postgresql.conf"),
		qr{^hba_file = '\Q$n1->{dir}\E/}m, 'what was cloned names another node\'s files');
	is($n3->safe_psql("SELECT current_setting('hba_file')"),
		"$n3->{dir}/pg_hba.conf", 'it reads its own rules');
	is($n3->safe_psql("SELECT current_setting('ident_file')"),
		"$n3->{dir}/pg_ident.conf", 'and maps');
	return;
}

# Asked for over HTTP, as patronictl does.
sub switchover
{
	my ($from, $to) = @_;
	my ($other) = grep { $_ != $from && $_ != $to } $cluster->nodes;

	wait_until_listed($from, $to);
	my ($status, $body) = $from->http('POST', '/switchover',
		{ leader => $from->name, candidate => $to->name }, timeout => 60);
	is($status, 200, 'it is done') or diag($body);
	$cluster->wait_until_leads($to->name);
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $to->port);
	HaPatroni::wait_streaming($cluster, $from->name, $other->name);
	ok(($cluster->etcd_get('failover') // '{}') eq '{}', 'no wish is left');
	return;
}

# So that it may be elected
sub wait_until_listed
{
	my ($leader, $node) = @_;

	HaCluster::wait_until($node->name . ' is in /sync',
		sub { grep { $_ eq $node->name } $cluster->sync_standbys($leader) });
	return;
}

# Only a member of pg_ha is there to lead.
sub patroni_dies
{
	$n2->stop;
	wait_until_listed($n1, $n3);
	$writer->wait_for_acks(50, since => HaCluster::now());
	$n1->kill_node;
	$cluster->wait_until_leads('n3');
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $n3->port);
	judge();
	return;
}

sub pg_ha_dies
{
	$writer = $cluster->start_writer;
	$n1->start;
	HaPatroni::wait_streaming($cluster, 'n1');
	$writer->wait_for_acks(50, since => HaCluster::now());
	$n3->kill_node;
	$cluster->wait_until_leads('n1');
	$writer->wait_for_acks(50, since => HaCluster::now(), port => $n1->port);
	$n3->start;
	HaPatroni::wait_streaming($cluster, 'n3');
	judge();
	return;
}

sub judge
{
	my $verdict = $cluster->check_history($writer);

	ok($verdict->{ok}, 'every acknowledged row is there, and no two nodes acknowledged at a time')
	  or diag($verdict->{line});
	cmp_ok($verdict->{acks}, '>', 100, 'there were rows');
	return;
}

# A real one, in the other's place
sub too_old
{
	my $old = HaPatroni::debian_program() or plan skip_all => 'there is no /usr/bin/patroni';

	$n3->stop;
	HaPatroni::give_to_patroni($n2, $old);
	$n2->start;
	HaPatroni::wait_streaming($cluster, 'n2');
	is(HaPatroni::member($cluster, 'n2')->{version}, '3.0.2', 'n2 is of Debian 12');
	$n3->start;
	is($n3->wait_for_exit, EXIT_REFUSED, 'pg_ha does not join');
	ok($n3->log_contains(qr/"n2".*3\.0\.2/), 'and says of whom and why');
	return;
}

# Of a member key that stands under the name of n3
sub put_key
{
	my (%change) = @_;
	my %key = (
		conn_url => "postgres://127.0.0.1:$n3->{port}/postgres",
		api_url => "http://127.0.0.1:$n3->{rest_port}/patroni",
		state => 'stopped',
		role => 'replica',
		version => '4.1.5',
		%change);

	$cluster->etcd_put('members/n3', JSON::PP::encode_json(\%key));
	return;
}

sub names
{
	my $offset = $n3->log_size;

	$n2->stop;
	$cluster->etcd_delete('members/n2');	# which forbids n3 to join
	put_key(api_url => 'http://127.0.0.1:1/patroni');
	$n3->start;
	HaCluster::wait_until('it waits for one that is stopped elsewhere',
		sub { $n3->log_contains(qr/waiting for the other node called "n3"/, $offset) });
	put_key(state => 'running');
	HaCluster::wait_until('it has seen one that runs',
		sub { ($n3->rest('/cluster'))[1] =~ /"name": *"n3"[^}]*"state": *"running"/ });
	is($cluster->etcd_version('members/n3'), 2, 'it has taken neither');
	put_key();
	HaCluster::wait_until('it takes one that is stopped at its own address',
		sub { HaPatroni::member($cluster, 'n3')->{pg_ha_version} });
	my ($taken) = grep { !/pg_ha_version/ } reverse map { $_->[1] } $cluster->etcd_events('members/n3');
	like($taken, qr/"stopped"/, 'and only that');
	HaPatroni::wait_streaming($cluster, 'n3');
	return;
}

sub to_patroni
{
	my $inode = inode($n3);

	$n3->stop;
	my $offset = $n3->log_size;
	my $is_loaded = qr/^include.*pg_ha/m;
	like(slurp_file("$n3->{dir}/postgresql.conf"), $is_loaded, 'the library is loaded by a line');
	$page->run('library', PGDATA => $n3->{dir});
	unlike(slurp_file("$n3->{dir}/postgresql.conf"), $is_loaded, 'which is taken out');
	HaPatroni::give_to_patroni($n3, $program);
	$n3->start;
	HaPatroni::wait_streaming($cluster, 'n3');
	is(inode($n3), $inode, 'it has its own data');
	ok(!$n3->log_contains(qr/trying to bootstrap|running pg_rewind/, $offset),
		'which was neither cloned nor rewound');
	ok(!exists HaPatroni::member($cluster, 'n3')->{pg_ha_version}, 'Patroni runs it');
	is($n3->safe_psql('SHOW shared_preload_libraries'), '', 'the library is out');
	is($n3->safe_psql(q{SELECT count(*) FROM pg_settings WHERE sourcefile ~ '/pg_ha[^/]*$'}),
		'0', 'no file of pg_ha is read');
	return;
}
