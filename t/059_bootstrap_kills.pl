#
# kill -9 at any moment of a bootstrap, of pg_ha_boot, of initdb, or of the server that
# comes up: started again, as a service manager would, the nodes become one cluster.
# There is one system identifier, nobody's data is deleted, what was torn is never
# started, and nothing temporary is left.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use List::Util qw(shuffle uniq);
use Test::More;
use Time::HiRes qw(usleep);

# What pg_ha_boot ends with if the data belongs to another cluster
use constant EXIT_REFUSED => 12;

seed_random();
my @victims = shuffle(qw(pg_ha_boot initdb postgres));

# When each may be struck, and within how many seconds
my %when = (
	pg_ha_boot => [ qr/initializing a new cluster/, 4 ],
	initdb => [ qr/initializing a new cluster/, 1.2 ],
	postgres => [ qr/starting the server/, 1.5 ]);

# Two moments of each round
foreach my $n (0 .. 2 * ($ENV{HA_ROUNDS} // 1) - 1)
{
	my $program = $victims[ $n % @victims ];

	subtest "$program is killed during a bootstrap" => sub { strike($program) };
}
done_testing();

# As a service manager does, until all are up.  Whose data, complete but not yet on
# record, came second is told so: then a person moves it aside.
sub tend
{
	my ($cluster, $told) = @_;

	foreach my $node ($cluster->nodes)
	{
		next if $node->is_running;
		if (my ($line) = $node->log_contains(qr/^.*P12 .*$/m, $told->{ $node->name } // 0))
		{
			note $line;
			$told->{ $node->name } = $node->log_size;
			rename $node->{dir}, "$node->{dir}.put_aside" or die "could not rename: $!";
		}
		$node->start;
	}
	return 2 == grep { $_->rest('/health') == 200 } $cluster->nodes;
}

sub strike
{
	my ($program) = @_;
	my ($work, $within) = @{ $when{$program} };
	my $cluster = HaCluster->new(nodes => 2);
	my $moment = rand($within);
	my $first;

	$cluster->start_all;
	HaCluster::wait_until(
		'one begins',
		sub {
			($first) = grep { $_->log_contains($work) } $cluster->nodes;
			return defined $first;
		});
	usleep($moment * 1e6);
	my $pid = $first->program_pid($program);
	note sprintf '%s of %s after %.3f s: %s', $program, $first->name, $moment,
	  $pid ? "pid $pid" : 'it is not there';
	kill 'KILL', $pid if $pid;

	my %told;
	HaCluster::wait_until('both are up', sub { tend($cluster, \%told) });
	my $leader = $cluster->wait_for_leader;
	$cluster->wait_streaming(1);
	$leader->safe_psql('CREATE TABLE t AS SELECT 1 AS n');
	my ($standby) = grep { $_ != $leader } $cluster->nodes;
	HaCluster::wait_until('the other has it',
		sub { ($standby->psql('SELECT n FROM t'))[1] eq '1' });

	my @identifiers = uniq map {
		$_->safe_psql('SELECT system_identifier FROM pg_control_system()')
	} $cluster->nodes;
	is($cluster->etcd_get('initialize') =~ /(\d{10,})/ ? $1 : '',
		"@identifiers", 'the cluster has one system identifier');
	my @written = uniq grep { /^\d{10,}$/ }
	  map { $_->[1] // '' } $cluster->etcd_events('initialize');
	is("@written", "@identifiers", 'no other one was ever on record');
	nothing_is_left($_) foreach $cluster->nodes;
	$cluster->end;
	return;
}

sub nothing_is_left
{
	my ($node) = @_;
	my @files = grep { -e }
	  map { glob "$node->{dir}$_" } '.pg_ha/*_in_progress', '.pg_ha/*.new',
	  '.pg_ha/*pass*', '/*.new', '/pg_ha.probe.conf', '/backup_label';

	is("@files", '', 'no temporary file is left on ' . $node->name);
	my $tree = HaCluster::process_tree($node->boot_pid);
	my @programs = grep { m{/(pg_basebackup|initdb) } }
	  map { HaCluster::command_line($_) } keys %$tree;
	is("@programs", '', 'no process');
	return;
}
