#
# All of a node is frozen at one instant for longer than its lease, then thawed: it
# acknowledges nothing that it had not begun to, and rejoins.  With a tenth of a
# processor a leader goes on leading, and with next to nothing it may not, but never
# acknowledges late.  A backend that the kernel kills for its memory is a crash like
# any other.
#
# Rows are those of the fault matrix in docs/testing.md.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaRoot
  hosts => [qw(etcd n1 n2 n3)],
  cgroups => [qw(freezer cpu memory)];
use HaCluster;
use HaFault;
use JSON::PP ();
use Test::More;

my $machine = $HaRoot::machine;

seed_random();
my $cluster = HaCluster->new(nodes => 3, machine => $machine);
my $ttl = $cluster->ttl;			# of most rows
my $leader;						# of the round that runs

$cluster->start_all;
$cluster->wait_for_leader;

foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	# By signals, t/008 does it in both modes.
	row(5,
		'the whole node is frozen', (qw(async sync))[ rand 2 ], ['freezer'],
		fault => sub { $machine->freeze($leader->name) },
		heal => sub { $machine->thaw($leader->name) },
		frozen => ['async']);

	# A lease of 3 s is little for a machine that is busy with other things, too.
	$cluster->configure({ ttl => 2 * $ttl });
	row(42,
		'a tenth of a processor', 'async', ['cpu'],
		fault => sub { $machine->limit_cpu($leader->name, 10) },
		over => sub { is_proven($cluster, 7) },		# which is more than a lease
		heal => sub { $machine->limit_cpu($leader->name, 0) },
		same_timeline => ['async'],
		nothing_lost => ['async'],
		writer => { pause => 20 });
	$cluster->configure({ ttl => $ttl });

	# That may be enough to keep the key for a minute, and too little to commit
	# anything: so nobody is expected to write before it is over.
	row(42,
		'a hundredth of a processor', 'sync', ['cpu'],
		fault => sub { $machine->limit_cpu($leader->name, 1) },
		over => sub {
			return 0 if HaCluster::now() < $_[0]->{struck_at} + 2 * $ttl;
			$machine->limit_cpu($leader->name, 0);
			return 1;
		},
		writer => { pause => 20 });
	row(43,
		'the kernel kills a backend for its memory', 'sync', ['memory'],
		fault => \&run_out_of_memory,
		over => sub {
			my ($round) = @_;
			my $worker = $leader->worker_pid;
			return $worker && $worker != $round->{worker};
		},
		same_timeline => ['sync']);
}
done_testing();

sub row
{
	my ($row, $name, $mode, $controllers, %spec) = @_;

	subtest "row $row: $name ($mode)" => sub {
		my $lack = $machine->lacks(@$controllers);
		plan skip_all => $lack if $lack;

		$cluster->configure(
			{
				synchronous_mode => $mode eq 'sync'
				? JSON::PP::true
				: JSON::PP::false
			});
		$leader = $cluster->wait_for_leader;
		HaFault::run_round($cluster, $mode, { row => $row, %spec }, 1);
	};
	return;
}

sub run_out_of_memory
{
	my $session = $leader->session;

	$machine->limit_memory($leader->name, 64 * 1024 * 1024, $session->backend_pid);
	my ($ok, $out, $err) = $session->query(
		q{SELECT length(string_agg(repeat('x', 1000000), ''))
		  FROM generate_series(1, 500)}, 60);
	isnt($ok, 1, 'the backend is gone');
	$session->quit;
	return;
}
