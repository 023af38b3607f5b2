#
# Stock HAProxy (contrib/haproxy.cfg with this test's addresses) and PgBouncer before it:
# writes go to the primary and reads to standbys, through a switchover and a failover under
# load; nobody stays connected to a primary that has lost its lease, not even to one that
# is frozen; and nothing that was acknowledged through the proxy is lost.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HaRow;
use PostgreSQL::Test::Utils;
use Test::More;

my %program = map { $_ => (grep { -x } "/usr/sbin/$_", "/usr/bin/$_")[0] } qw(haproxy pgbouncer);
plan skip_all => 'haproxy and pgbouncer are not installed' if grep { !$_ } values %program;

seed_random();
my $cluster = HaCluster->new(
	nodes => 3,
	config => { ttl => 3, loop_wait => 1, retry_timeout => 1, synchronous_mode => \1 });
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
$leader->safe_psql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'app secret'");
$ENV{PGPASSWORD} = 'app secret';

my %port = map { $_ => HaCluster::get_free_port() } qw(writes reads pool);
start_haproxy();
start_pgbouncer();

subtest 'writes go to the primary, reads to standbys' => \&right_ways;
subtest 'a switchover under load' => sub { change(\&switch) };
subtest 'a failover under load, with a frozen primary' => sub { change(\&freeze) };
subtest 'through PgBouncer' => \&through_pool;
done_testing();

sub start_program
{
	my ($name, @command) = @_;

	push @{ $cluster->{proxies} },
	  { pid => HaCluster::spawn("$cluster->{log_prefix}_$name.log", @command) };
	return;
}

sub start_haproxy
{
	my $config = slurp_file("$FindBin::RealBin/../contrib/haproxy.cfg");
	my $file = "$cluster->{log_prefix}_haproxy.cfg";

	$config =~ s/127\.0\.0\.1:5000/127.0.0.1:$port{writes}/ or die;
	$config =~ s/127\.0\.0\.1:5001/127.0.0.1:$port{reads}/ or die;
	foreach my $node ($cluster->nodes)
	{
		my $name = $node->name;
		$config =~ s/server $name \S+ (.*) port 8008/server $name $node->{address}:$node->{port} $1 port $node->{rest_port}/g;
	}
	HaCluster::rewrite($file, $config);
	start_program('haproxy', $program{haproxy}, '-db', '-f', $file);
	return;
}

sub start_pgbouncer
{
	my $config = slurp_file("$FindBin::RealBin/../contrib/pgbouncer.ini");
	my $prefix = "$cluster->{log_prefix}_pgbouncer";

	$config =~ s/port=5000/port=$port{writes}/ or die;
	$config =~ s/port=5001/port=$port{reads}/ or die;
	$config =~ s/6432/$port{pool}/ or die;
	$config =~ s{/etc/pgbouncer/userlist\.txt}{${prefix}_users} or die;
	HaCluster::rewrite("${prefix}_users", qq("app" "app secret"\n));
	chmod 0600, "${prefix}_users";
	HaCluster::rewrite("$prefix.ini", $config);
	start_program('pgbouncer', $program{pgbouncer}, "$prefix.ini");
	return;
}

sub through
{
	my ($port, $sql, $database) = @_;

	return HaCluster::capture(10, 'psql', '-XAtq', '-v', 'VERBOSITY=verbose',
		'-d', connstr($port, $database), '-c', $sql);
}

sub connstr
{
	my ($port, $database) = @_;

	return "host=127.0.0.1 port=$port{$port} user=app connect_timeout=10 dbname="
	  . ($database // 'postgres');
}

# Through that port answers a server that is that node.
sub wait_through
{
	my ($port, $node) = @_;

	HaCluster::wait_until(
		"the port for $port leads to " . $node->name,
		sub { ((through($port, 'SHOW port'))[1] // '') eq $node->port });
	return;
}

sub right_ways
{
	my $log = "$cluster->{log_prefix}_haproxy.log";
	my $name = $leader->name;
	my %seen;

	# It believes in all until they have failed twice.
	HaCluster::wait_until('HAProxy has found the primary',
		sub { slurp_file($log) =~ m{reads/$name is DOWN} });
	wait_through('writes', $leader);
	HaCluster::wait_until(
		'both standbys are read from',
		sub {
			my ($rc, $out, $err) = through('reads', 'SHOW port');
			$seen{$out}++ if $rc == 0;
			return keys %seen == 2;
		});
	ok(!$seen{ $leader->port }, 'and the primary is not');
	my ($rc, $out, $err) = through('reads', 'CREATE TABLE never (x int)');
	isnt($rc, 0, 'who writes there fails');
	like($err, qr/25006/, 'since it is a standby');
	is($leader->safe_psql("SELECT to_regclass('never') IS NULL"), 't', 'and nothing was written');
	return;
}

sub switch
{
	my ($old) = @_;
	my ($target) = $cluster->sync_standbys($old);

	$old->psql("SELECT pg_ha_switchover('$target')");
	return;
}

sub freeze
{
	my ($old) = @_;
	$old->freeze_node;
	return;
}

sub change
{
	my ($how) = @_;
	my $old = $cluster->wait_for_leader;

	wait_through('writes', $old);
	my $writer = $cluster->start_writer(through => connstr('writes'), patience => 10_000);
	my $idle;

	HaCluster::wait_until(
		'a session is connected to the primary',
		sub {
			$idle = HaCluster::Session->new($old, connstr('writes'));
			return 1 if (($idle->query('SHOW port'))[1] // '') eq $old->port;
			$idle->quit;
			return 0;
		});
	$writer->wait_for_acks(50);
	$how->($old);
	my $new = $cluster->wait_for_leader(other_than => $old);
	$writer->wait_for_acks(50, since => HaCluster::now());
	wait_through('writes', $new);

	# Were it still open, it would wait for the frozen one.
	my ($rc, $out, $err) = $idle->query('SELECT 1');
	isnt($rc, 1, 'what was connected to it has been cut off');
	like($err, qr/terminating connection|server closed the connection/, 'so it says');
	$idle->quit;
	$old->thaw;
	$cluster->wait_streaming(2);
	promises_kept($cluster, $writer);
	return;
}

sub through_pool
{
	my $old = $cluster->wait_for_leader;

	is((through('pool', 'SHOW port', 'orders'))[1], $old->port, 'it leads to the primary');
	switch($old);
	my $new = $cluster->wait_for_leader(other_than => $old);
	HaCluster::wait_until(
		'and then to the new one',
		sub { ((through('pool', 'SHOW port', 'orders'))[1] // '') eq $new->port });

	# HAProxy looks each second or so.
	HaCluster::wait_until('reads go to a standby',
		sub { ((through('pool', 'SELECT pg_is_in_recovery()', 'orders_ro'))[1] // '') eq 't' });
	return;
}
