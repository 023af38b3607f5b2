#
# In a server that does not preload the library nothing of pg_ha runs, and its
# functions say so, with what to do about it; the server works as ever.
#
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('plain');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_ha');

foreach my $call (
	'pg_ha_status()', 'pg_ha_members()',
	'pg_ha_health()', 'pg_ha_timing()',
	'pg_ha_pause()', 'pg_ha_resume()',
	"pg_ha_switchover('n1')")
{
	my ($result, undef, $stderr) =
	  $node->psql('postgres', "SELECT * FROM $call");

	isnt($result, 0, "$call fails");
	like($stderr, qr/ERROR:  pg_ha is not loaded in this server/,
		'with a clear error');
	like($stderr, qr/HINT:  Add pg_ha to shared_preload_libraries/,
		'and a hint');
}

# The decision needs nothing but its argument
is( $node->safe_psql(
		'postgres', q{SELECT pg_ha_decide('{"view": {"valid": true}}')->>'verb'}),
	'wait',
	'pg_ha_decide() works anywhere');

$node->safe_psql('postgres', 'CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'),
	'1', 'and nothing is fenced');

$node->stop;
done_testing();
