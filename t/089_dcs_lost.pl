#
# J6: etcd is away and the leader dies.  Nobody is promoted, however long that takes.  A
# person can make one node go on alone, by the steps of docs/dcs-lost.md; when etcd is back,
# pg_ha_boot leaves that node's data alone until a person has decided whose is to be kept.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use PostgreSQL::Test::Utils;
use Test::More;

use constant EXIT_REFUSED => 12;

my $page = HaDocs->new('dcs-lost.md');
my $cluster = HaCluster->new(
	nodes => 3,
	config => { ttl => 2, loop_wait => 0.5, retry_timeout => 0.5 });
my $ttl = $cluster->ttl;
my $leader;

$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(2);

subtest 'J6: nobody promotes while etcd is away' => sub {
	lose_all();
	my $lost_at = HaCluster::now();
	my @rest = grep { $_ != $leader } $cluster->nodes;
	my $promoted = 0;

	HaCluster::wait_until(
		'ten TTLs have passed',
		sub {
			$promoted += grep {
				$_->rest('/leader') == 200
				  || $_->safe_psql('SELECT pg_is_in_recovery()') ne 't'
			} @rest;
			return HaCluster::now() > $lost_at + 10 * $ttl;
		});
	is($promoted, 0, 'nobody was promoted');
	my ($rc, $out, $err) =
	  $rest[0]->psql("SELECT pg_ha_switchover('" . $rest[0]->name . "')");
	isnt($rc, 0, 'nor by a function');
};

subtest 'J6: a node goes on alone, and what it wrote is given up' => sub {
	my ($alone, $other) = grep { $_ != $leader } $cluster->nodes;
	my $dir = go_alone($alone, $other);

	# The cluster comes back without it, and may use the same timeline.
	$cluster->etcd_start;
	$leader->start;
	$cluster->wait_for_leader;
	$other->start;
	$cluster->wait_streaming(1);
	is_refused($alone, qr/E10 this node was promoted without the cluster's knowledge at \d{4}-/);

	my ($rc) = $page->run('giveup', %$dir);
	is($rc, 0, 'wipe');
	$alone->start;
	$cluster->wait_streaming(2);
	is($alone->safe_psql("SELECT to_regclass('alone')"), '', 'it is the cluster\'s again');
	is(scalar(my @aside = glob "$alone->{dir}.aside.*/PG_VERSION"), 1,
		'and what it wrote is aside');
};

subtest 'J6: a node goes on alone, and its data becomes the cluster\'s' => sub {
	lose_all();
	my ($alone, $other) = grep { $_ != $leader } $cluster->nodes;
	my $dir = go_alone($alone, $other);

	$cluster->etcd_start;
	is_refused($alone, qr/E10 this node was promoted without the cluster's knowledge at \d{4}-/);

	# Somebody takes the marker away, and hopes for the best.
	my $marker = "$alone->{dir}.pg_ha/promoted_alone";
	unlink $marker or die "could not remove $marker: $!";
	is_refused($alone,
		qr/E10 this node was promoted without the cluster's knowledge to timeline \d+/);
	append_to_file($marker, '');

	HaCluster::wait_until('no member is alive',
		sub { ($cluster->etcdctl('get', '--prefix', $cluster->key('members/')))[1] eq '' });
	my ($rc) = $page->run('keep', %$dir);
	is($rc, 0, 'forget-cluster');
	$alone->start;
	is($cluster->wait_for_leader->name, $alone->name, 'it leads the cluster');
	is($alone->safe_psql('SELECT count(*) FROM alone'), 1, 'with what it wrote alone');
	$_->start foreach $other, $leader;
	$cluster->wait_streaming(2);
	is($leader->safe_psql('SELECT count(*) FROM alone'), 1, 'the others have it, too');
};

$page->check_messages;
$page->check_all_were_run;
done_testing();

# etcd and the leader
sub lose_all
{
	$leader = $cluster->wait_for_leader;
	$cluster->etcd_kill;
	$leader->kill_node;
	return;
}

# Everything is stopped in the end, and the variables of the page are returned.
sub go_alone
{
	my ($alone, $other) = @_;
	my %place = (
		PGDATA => $alone->{dir},
		NODEFILE => $alone->{file},
		SCOPE => $cluster->{scope},
		LOG => "$alone->{log}.alone");

	$_->stop foreach $alone, $other;
	my ($rc, $out) = $page->run('alone', %place);
	is($rc, 0, 'the server is started and promoted') or diag $out;
	$alone->safe_psql('CREATE TABLE alone AS SELECT 1 AS i');
	is($alone->safe_psql('SELECT pg_is_in_recovery()'), 'f', 'it writes');
	($rc) = $page->run('halt', %place);
	is($rc, 0, 'and is stopped');
	return \%place;
}

sub is_refused
{
	my ($node, $reason) = @_;
	my $control = slurp_file("$node->{dir}/global/pg_control");
	my $offset = $node->log_size;

	$node->start;
	is($node->wait_for_exit, EXIT_REFUSED, 'pg_ha_boot refuses to run it');
	ok($node->log_contains($reason, $offset), 'and says why');
	ok(slurp_file("$node->{dir}/global/pg_control") eq $control,
		'its data was not touched');
	return;
}
