#
# One node bootstraps an empty directory and leads.  When etcd falls silent, or
# dies, it acknowledges nothing after its deadline, yet goes on answering reads
# in the same sessions; when etcd is back it writes again, without a restart.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 1);
$cluster->start_all;
my $node = $cluster->wait_for_leader;
my $ttl = $cluster->ttl;

is( $node->status(q{name || ' ' || role || ' ' || leader || ' ' || timeline}),
	'n1 primary n1 1',
	'it says that it leads');
is($node->safe_psql('SELECT count(*) FROM pg_ha_members() WHERE is_leader'),
	1, 'it is a member, and the leader');
is($node->rest($_), 200, "GET $_")
  foreach qw(/leader /primary /health /liveness /readiness /patroni);
is($node->rest('/replica'), 503, 'GET /replica');
is( $cluster->etcd_get('initialize'),
	$node->safe_psql('SELECT system_identifier FROM pg_control_system()'),
	'etcd knows the system identifier');

my $hba = slurp_file("$node->{dir}/pg_hba.conf");
unlike($hba, qr/^[^#\n]*\btrust\b/m, 'nobody is trusted by the hba file');

my $postmaster = $node->postmaster_pid;
my $writer = $cluster->start_writer(clients => 2, patience => 10_000);
my $session = $node->session;
$writer->wait_for_acks(20);

foreach my $fault (
	[ 'falls silent', 'etcd_pause', 'etcd_resume' ],
	[ 'is killed', 'etcd_kill', 'etcd_start' ])
{
	my ($what, $break, $repair) = @$fault;

	my $broken_at = HaCluster::now();
	$cluster->$break;

	my ($ok, $out, $err);
	HaCluster::wait_until(
		'the deadline has passed',
		sub {
			($ok, $out) =
			  $session->query('SELECT deadline_in_ms < 0 FROM pg_ha_status()');
			return $ok && $out eq 't';
		});
	cmp_ok(HaCluster::now() - $broken_at,
		'<', $ttl + 0.5, "etcd $what: fenced within the TTL");
	is($node->status('suspended'), 't', 'it calls itself suspended');
	is($node->rest('/leader'), 503, 'load balancers are told');

	($ok, $out, $err) =
	  $session->query('INSERT INTO acked VALUES (0, 0)', 20);
	is($ok, 0, 'a commit fails, and the session lives');
	like($err, qr/25006/, 'the error is one to retry after');
	($ok, $out) =
	  $session->query('SELECT count(*) FROM acked WHERE client = 0');
	is($out, '0', 'reads are answered, and show nothing of it');

	# What was answered until now is all there was.
	my $fenced = grep { $_->{earliest} > $broken_at + $ttl } $writer->acks;
	is($fenced, 0, 'nothing was acknowledged after the deadline');

	$cluster->$repair;
	my $repaired_at = HaCluster::now();
	$writer->wait_for_acks(20, since => $repaired_at);
	$cluster->wait_for_leader;
	is($node->postmaster_pid, $postmaster, 'the server was not restarted');
}

is(($session->query('SELECT pg_backend_pid()'))[1],
	$session->backend_pid, 'the session has survived it all');
is($node->timeline, 1, 'nobody was promoted');
$session->quit;

my $verdict = $cluster->check_history($writer);
is($verdict->{lost}, 0, 'every acknowledged row is there');
is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');

$node->stop;
is($node->postmaster_pid, 0, 'SIGTERM to pg_ha_boot ends the server');
$node->start;
$cluster->wait_for_leader;
pass('it leads again after a clean stop');

done_testing();
