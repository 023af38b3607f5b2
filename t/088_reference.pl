#
# docs/reference/functions.md: every function of the extension has a section there, and an
# example, which does what it says on a standby.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use Test::More;

my $page = HaDocs->new('reference/functions.md');
my $cluster = HaCluster->new(nodes => 3, scope => 'shop');

$cluster->start_all('n1');
$cluster->wait_for_leader;
$_->start foreach map { $cluster->node($_) } qw(n2 n3);
$cluster->wait_streaming(2);

my @functions = split /\n/, $cluster->leader->safe_psql(
	"SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
		AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	 JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_ha' ORDER BY 1");
my %section = map { $_ => 1 } $page->sections;
my %example = map { $_ => 1 } $page->examples;

is_deeply([ grep { !$section{$_} } @functions ], [], 'every function has a section');
is_deeply([ grep { !$example{$_} } @functions ], [], 'and an example');
is_deeply(
	[ grep { my $name = $_; !grep { $_ eq $name } @functions } sort keys %section ],
	[], 'and no section is about anything else');

foreach my $name ($page->examples)
{
	make_whole();
	my ($rc, $out, $err) = $page->run_example($name, $cluster->node('n3'));

	if ($page->shows_error($name))
	{
		like($err, qr/ERROR/, "$name shows an error");
		unlike($err, qr/read-only|recovery/, 'which is not that it is a standby');
	}
	else
	{
		is($rc, 0, $name) or diag $err;
	}
}
$page->check_all_were_run;
done_testing();

# As the page says: n1 leads, and the others stream.
sub make_whole
{
	foreach my $node ($cluster->nodes)
	{
		next if $node->is_running;
		$node->start;
	}
	HaCluster::wait_until(
		'what was asked for is done',
		sub {
			my $leader = $cluster->wait_for_leader;
			my ($rc, $out) = $leader->psql("SELECT count(*) FROM pg_ha_requests()
				WHERE state IN ('requested', 'running')");
			return $rc == 0 && $out == 0;
		});
	$cluster->leader->safe_psql('SELECT pg_ha_resume()')
	  if $cluster->leader->status('paused') eq 't';
	$cluster->wait_streaming(2);
	my $leader = $cluster->wait_for_leader;
	return if $leader->name eq 'n1';
	$leader->psql(q{SELECT pg_ha_switchover('n1')});
	$cluster->wait_for_leader(other_than => $leader);
	$cluster->wait_streaming(2);
	return;
}
