#
# pg_ha_boot as a service: it tells the service manager when it is ready, what it is
# doing and when it stops, and its server knows nothing of that.  Detached, or killed,
# it leaves the server running, and the next one takes it: no restart, no session lost,
# no moment without the member key.  The unit template is what systemd accepts.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;

my $page = HaDocs->new('service.md');
my $cluster = HaCluster->new(nodes => 1);
my ($node) = $cluster->nodes;
my $path = "$cluster->{sockets}/notify";
my $heard = '';
my $manager = listen_at($path);

$node->set_environment(NOTIFY_SOCKET => $path);
$node->start;

subtest 'ready' => sub {
	wait_to_hear(qr/^READY=1$/m);
	like($heard, qr/^STATUS=/m, 'with its state');
	my $leader = $cluster->wait_for_leader;
	wait_to_hear(qr/^STATUS=leader, timeline 1$/m);
	my $times = () = $heard =~ /^READY=1$/mg;
	is($times, 1, 'ready is said once');
	unlike(
		slurp_file('/proc/' . $node->postmaster_pid . '/environ'),
		qr/NOTIFY_SOCKET/,
		'the server is told nothing of it');
	unlike($heard, qr/^STOPPING=1$/m, 'nothing stops');

	$cluster->etcd_pause;
	wait_to_hear(qr/^STATUS=primary, suspended, timeline 1$/m);
	$cluster->etcd_resume;
	$cluster->wait_for_leader;
};

subtest 'detach, and the next one' => sub {
	my $postmaster = $node->postmaster_pid;
	my $session = $node->session;
	my $old = $node->boot_pid;
	my $writer = $cluster->start_writer(clients => 2, patience => 10_000);
	$writer->wait_for_acks(20);

	my ($rc, $out, $err) = $page->run(
		'detach',
		PGDATA => $node->{dir},
		NODEFILE => $node->{file});
	is($rc, 0, 'detach') or diag($out);
	like($out, qr/^pg_ha_boot \(PID $old\) has ended, and its server goes on$/m,
		'it says so');
	ok(!$node->is_running, 'pg_ha_boot has ended when detach has');
	is($node->postmaster_pid, $postmaster, 'the server runs');
	$writer->wait_for_acks(50, since => HaCluster::now());

	($rc, $out, $err) =
	  HaCluster::capture(30, 'pg_ha_boot', 'detach', '-D', $node->{dir}, '-c',
		$node->{file});
	is($rc >> 8, 10, 'nobody is left to detach');
	like($err, qr/error: no pg_ha_boot runs for this node\n.*hint: /, 'it says so');

	# Another address: an abstract one
	$manager = listen_at("\0$path");
	$heard = '';
	$node->set_environment(NOTIFY_SOCKET => "\@$path");
	$node->start;
	wait_to_hear(qr/^READY=1$/m);
	wait_to_hear(qr/^STATUS=leader, timeline 1$/m);
	HaCluster::wait_until('HTTP is answered',
		sub { $node->rest('/leader') == 200 });
	is($node->postmaster_pid, $postmaster, 'the server was not restarted');

	# Killed, it is the same
	$node->kill9($node->boot_pid);
	$node->start;
	HaCluster::wait_until('HTTP is answered',
		sub { $node->rest('/leader') == 200 });
	is($node->postmaster_pid, $postmaster, 'nor after a kill -9');
	is(($session->query('SELECT pg_backend_pid()'))[1],
		$session->backend_pid, 'a session has survived it all');
	$session->quit;

	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{failed}, 0, 'no commit failed');
	is(scalar(grep { $_->[0] eq 'DELETE' } $cluster->etcd_events('members/n1')),
		0, 'the member key was always there');
	is(scalar(grep { $_->[0] eq 'DELETE' } $cluster->etcd_events('leader')),
		0, 'and the leader key');
};

subtest 'stop' => sub {
	$heard = '';
	$node->stop;
	wait_to_hear(qr/^STOPPING=1\nSTATUS=stopping$/m);
	wait_to_hear(qr/^EXTEND_TIMEOUT_USEC=30000000$/m);
	is($node->postmaster_pid, 0, 'the server has ended with it');
};

subtest 'a wrong node file' => sub {
	my $file = "$cluster->{base}/wrong.conf";

	append_to_file($file, "pg_ha.scope = 'x'\n");
	$heard = '';
	local $ENV{NOTIFY_SOCKET} = "\@$path";
	my ($rc) = HaCluster::capture(30, 'pg_ha_boot', 'run', '-D', $node->{dir},
		'-c', $file);
	is($rc >> 8, 10, 'exit code, after which the unit is not restarted');
	hear();
	unlike($heard, qr/READY/, 'it was never ready');
};

subtest 'the unit template' => sub {
	my ($found) = HaCluster::capture(10, 'which', 'systemd-analyze');
	plan skip_all => 'systemd-analyze is not there' if $found != 0;

	my ($rc, $bindir) = HaCluster::capture(10, 'which', 'pg_ha_boot');
	my $unit = slurp_file("$FindBin::RealBin/../systemd/pg_ha@.service.in");
	$bindir =~ s{/pg_ha_boot$}{};
	$unit =~ s/\@bindir\@/$bindir/g;

	my ($out, $err);
	append_to_file("$cluster->{base}/pg_ha\@n1.service", $unit);
	($rc, $out, $err) = HaCluster::capture(60, 'systemd-analyze', 'verify',
		"$cluster->{base}/pg_ha\@n1.service");
	is($rc, 0, 'systemd-analyze verify') or diag($err);
	unlike($err, qr/pg_ha/, 'has no complaint');
	like($unit, qr/^$_$/m, $_)
	  foreach 'Type=notify', 'KillMode=process',
	  'RestartPreventExitStatus=10 12', 'RuntimeDirectoryPreserve=yes';
};

$page->check_all_were_run;
done_testing();

# A socket as systemd's, at a path or, after a zero byte, at an abstract name
sub listen_at
{
	my ($address) = @_;

	socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or BAIL_OUT("socket: $!");
	bind($socket, pack_sockaddr_un($address)) or BAIL_OUT("bind: $!");
	$socket->blocking(0);
	return $socket;
}

sub hear
{
	while (defined recv($manager, my $text, 4096, 0))
	{
		$heard .= $text;
	}
	return;
}

sub wait_to_hear
{
	my ($what) = @_;

	HaCluster::wait_until("$what is heard",
		sub { hear(); return $heard =~ $what });
	pass("it says $what");
	return;
}
