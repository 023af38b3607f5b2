#
# The leader lets a standby into /sync only when no process can be born any more
# that knows the old names of synchronous standbys: not while the postmaster, which
# forks walsenders, has not read the new ones, even if every other process has.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { synchronous_mode => JSON::PP::true });
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);

my $session = $leader->session;
my ($old) = $cluster->sync_standbys($leader);
my ($new) = grep { $_->name ne $old } $cluster->standbys;
note "leader ", $leader->name, ", in /sync $old, to come ", $new->name;

# The postmaster reads nothing from now on, nor does it tell anybody to.
my $postmaster = $leader->postmaster_pid;
$leader->freeze($postmaster);
$cluster->node($old)->kill_node;
HaCluster::wait_until(
	'the new names are written',
	sub {
		slurp_file("$leader->{dir}/pg_ha.managed.conf") =~
		  /^synchronous_standby_names = .*$new->{name}/m;
	});

# Somebody else tells its children.
my $children = HaCluster::process_tree($postmaster);
kill 'HUP', grep { $_ != $postmaster } keys %$children;
HaCluster::wait_until(
	'the walsender acts on them',
	sub {
		($session->query("SELECT sync_state FROM pg_stat_replication
			WHERE application_name = '$new->{name}'"))[1] eq 'sync';
	});

# The worker looks at all that at each turn, and here are some turns.
my $turns = () = $cluster->etcd_events('pg_ha/heartbeat');
HaCluster::wait_until('the leader proves itself five times more',
	sub { (() = $cluster->etcd_events('pg_ha/heartbeat')) >= $turns + 5 });
is_deeply([ $cluster->sync_standbys($leader) ],
	[], 'nobody is let in before the postmaster knows');

$leader->thaw;
HaCluster::wait_until('the new one is let in',
	sub { "@{[ $cluster->sync_standbys($leader) ]}" eq $new->name });
pass('and then the new one is');
$session->quit;
done_testing();
