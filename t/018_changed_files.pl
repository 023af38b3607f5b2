#
# What users do to the configuration files costs neither the fence nor the
# leadership: a leader that crashes starts again in place with the library and with
# its settings, and a server that would lack the library if somebody started it by
# hand is not started at all.
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

# The line that includes our settings goes
my $file = "$node->{dir}/postgresql.conf";
my $text = slurp_file($file);
$text =~ s/^include_if_exists = 'pg_ha\.conf'\n//m or BAIL_OUT('no such line');
HaCluster::rewrite($file, $text);
crash();
is($node->safe_psql('SHOW pg_ha.name'), $node->name, 'it has its settings');
like(slurp_file($file), qr/^include_if_exists = 'pg_ha\.conf'$/m,
	'the line is there again');

# The library goes
$node->safe_psql('ALTER SYSTEM SET shared_preload_libraries = auto_explain');
crash();
is($node->safe_psql('SHOW shared_preload_libraries'),
	'pg_ha', 'it has the library');

$node->stop;
my $offset = $node->log_size;
$node->start;
HaCluster::wait_until(
	'the start is refused',
	sub {
		$node->log_contains(
			qr/"shared_preload_libraries" is overridden, and lacks pg_ha/,
			$offset);
	});
ok(!$node->log_contains(qr/starting PostgreSQL/, $offset),
	'and no server was started');

my $auto = "$node->{dir}/postgresql.auto.conf";
$text = slurp_file($auto);
$text =~ s/^shared_preload_libraries.*\n//m or BAIL_OUT('no such line');
HaCluster::rewrite($auto, $text);
$cluster->wait_for_leader;
pass('it starts when the line is gone');
done_testing();

# kill -9 of the postmaster, and wait for the next one to lead
sub crash
{
	my $old = $node->postmaster_pid;

	$node->kill9($old);
	HaCluster::wait_until(
		'it leads again',
		sub {
			my $leader = $cluster->leader or return;
			return $leader->postmaster_pid != $old;
		});
	return;
}

