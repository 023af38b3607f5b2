#
# kill -9 at any moment of a clone, a rewind or a reinit, of pg_ha_boot, of the program
# that does the work, or of the server that ends or comes up: started again, as a
# service manager would, the node always ends streaming.  Nothing acknowledged is lost, what was torn is never
# started, and nothing temporary is left.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(usleep);

seed_random();
my $cluster = HaCluster->new(
	nodes => 2,
	config => { synchronous_mode => JSON::PP::true },
	settings => "pg_ha.clone_max_rate = '10M'\npg_ha.keep_aside = '2'");

$cluster->start_all;
$cluster->wait_for_leader;
$cluster->wait_streaming(1);

# Of each work one victim, and the soak has them all.
my @victims = map { [ shuffle(@$_) ] }
  ([qw(pg_ha_boot pg_basebackup postgres)], [qw(pg_ha_boot pg_rewind postgres)],
	[qw(pg_ha_boot pg_basebackup postgres)]);
foreach my $n (1 .. $ENV{HA_ROUNDS} // 1)
{
	my ($clone, $rewind, $reinit) = map { $_->[ $n % 3 ] } @victims;

	subtest "round $n: $clone is killed during a clone" => sub { kill_clone($clone) };
	subtest "round $n: $rewind is killed during a rewind" => sub { kill_rewind($rewind) };
	subtest "round $n: $reinit is killed during a reinit" => sub { kill_reinit($reinit) };
}
done_testing();

# Strike some time after the work has begun, and look after the node then.
sub strike
{
	my ($node, $program, $writer, %args) = @_;
	my $offset = $node->log_size;
	my $moment = rand($args{within});

	$args{begin}->();
	HaCluster::wait_until('the work has begun',
		sub { $node->log_contains($args{work}{$program}, $offset) });
	usleep($moment * 1e6);
	my $pid = $node->program_pid($program);
	note sprintf '%s of %s after %.3f s: %s', $program, $node->name, $moment,
	  $pid ? "pid $pid" : 'it is not there';
	kill 'KILL', $pid if $pid;

	# At once, while what it has left may still be at work
	HaCluster::wait_until(
		'the node is a standby again',
		sub {
			$node->start unless $node->is_running;
			return $node->rest('/replica') == 200 &&
			  !defined $cluster->etcd_get('pg_ha/requests/' . $node->name);
		});
	$cluster->wait_streaming(1);
	pass('it streams');
	promises_kept($cluster, $writer);
	nothing_is_left($node, $cluster->wait_for_leader);
	return;
}

sub nothing_is_left
{
	my ($node, $leader) = @_;
	my @files = grep { -e }
	  map { glob "$node->{dir}$_" } '.pg_ha/*_in_progress', '.pg_ha/*.new',
	  '/*.new', '/pg_ha.probe.conf', '/tablespace_map', '/backup_label';

	is("@files", '', 'no temporary file is left');
	is($leader->safe_psql('SELECT count(*) FROM pg_replication_slots WHERE temporary'),
		0, 'no temporary slot');
	my $tree = HaCluster::process_tree($node->boot_pid);
	my @programs = grep { m{/pg_(basebackup|rewind) } }
	  map { HaCluster::command_line($_) } keys %$tree;
	is("@programs", '', 'no process');
	HaCluster::wait_until('no more copies are kept than was ordered',
		sub { (my @copies = glob "$node->{dir}.aside.*") <= 2 });
	return;
}

sub write_some
{
	my $writer = $cluster->start_writer(clients => 2, roam => 1_000);

	$writer->wait_for_acks(30 + int(rand(50)));
	return $writer;
}

sub kill_clone
{
	my ($program) = @_;
	my $leader = $cluster->wait_for_leader;
	my ($node) = grep { $_ != $leader } $cluster->nodes;
	my $writer = write_some();

	$node->kill_node;
	unlink "$node->{dir}/global/pg_control";
	rename $node->{dir}, "$node->{dir}.thrown" or die "could not rename: $!";
	File::Path::rmtree("$node->{dir}.thrown");
	strike(
		$node, $program, $writer,
		begin => sub { $node->start },
		within => 3,
		work => {
			pg_ha_boot => qr/cloning from/,
			pg_basebackup => qr/cloning from/,
			postgres => qr/starting the server/
		});
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	return;
}

# It alone has a commit, which nobody was told of.
sub kill_rewind
{
	my ($program) = @_;
	my $old = $cluster->wait_for_leader;

	$cluster->wait_streaming(1);
	my $writer = write_some();
	my @walsenders = split /\n/, $old->safe_psql('SELECT pid FROM pg_stat_replication');
	$old->freeze(@walsenders);
	my $session = $old->session;
	my $backend = $session->backend_pid;
	$session->send('CREATE TABLE diverged' . $old->timeline . ' ()');
	HaCluster::wait_until(
		'only it has a commit',
		sub {
			$old->safe_psql("SELECT coalesce(wait_event, '') FROM pg_stat_activity
				WHERE pid = $backend") eq 'SyncRep';
		});
	$old->kill9($old->boot_pid, $old->postmaster_pid, @walsenders);
	$session->quit;
	$cluster->wait_for_leader(other_than => $old);
	strike(
		$old, $program, $writer,
		begin => sub { $old->start },
		within => 0.3,
		work => {
			pg_ha_boot => qr/rewinding from/,
			pg_rewind => qr/rewinding from/,
			postgres => qr/starting the server/
		});
	return;
}

# Of the servers it strikes the old one, which is about to end.
sub kill_reinit
{
	my ($program) = @_;
	my $leader = $cluster->wait_for_leader;
	my ($node) = grep { $_ != $leader } $cluster->nodes;

	$cluster->wait_streaming(1);
	my @asides = glob "$node->{dir}.aside.*";
	my $writer = write_some();
	my $asked = qr/asked to have the data of this one made anew/;
	strike(
		$node, $program, $writer,
		begin => sub { $leader->safe_psql("SELECT pg_ha_reinit('$node->{name}')") },
		within => $program eq 'postgres' ? 1 : 3,
		work => {
			pg_ha_boot => $asked,
			pg_basebackup => qr/cloning from/,
			postgres => $asked
		});
	is($cluster->wait_for_leader, $leader, 'the leader is the same');
	my %before = map { $_ => 1 } @asides;
	ok((grep { !$before{$_} } glob "$node->{dir}.aside.*"), 'its data was moved aside');
	return;
}
