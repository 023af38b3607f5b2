#
# A leader that can't write any more gives way, to somebody healthy and only then:
# the disk stalls, breaks, fills up, turns read-only, or the data directory is not
# where it was.  Nothing is acknowledged late and nothing acknowledged is lost.  The
# sick server does not come back as leader before it is well, and what is no disease
# of its disk, like having no connections left, is no reason to give way.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Cwd ();
use HaCluster;
use HaFault qw(seed_random);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use constant GRACE => 2;

my $cluster = HaCluster->new(
	nodes => 3,
	faults => 1,
	config => { synchronous_mode => JSON::PP::true, synchronous_node_count => 2 },
	settings => 'pg_ha.health_grace = ' . GRACE . "s\nmax_connections = 30");

seed_random();
$cluster->start_all;
$cluster->wait_for_leader;

# Nobody healthy is there: the leader goes on, although sick, and says so.  When one
# of the others is well again, it gives way to that one.
round(
	'every disk refuses new files',
	fault => sub {
		my ($leader, $writer) = @_;
		my ($well, @others) = grep { $_ != $leader } $cluster->nodes;
		my $offset = $leader->log_size;

		$_->break_disk(erofs => 'pg_ha.probe') foreach $well, @others, $leader;
		wait_for_log($leader, qr/although sick, since no other member can/,
			$offset);
		is($leader->safe_psql(
				q{SELECT ok, gates_lease, detail ~ 'Read-only'
				  FROM pg_ha_health() WHERE check_name = 'datadir'}),
			'f|t|t', 'its health says what is wrong');
		$writer->wait_for_acks(
			50,
			since => HaCluster::now(),
			port => $leader->port);
		is($cluster->leader, $leader, 'it leads while nobody else can');
		$well->mend_disk;
		return $well;
	},
	log => qr/giving up the leader lock: check "datadir" failing for \d+ s /);

# Row 41: a flush that does not come back, which no process notices by itself.
round(
	'fsync stalls',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(stall => '');
		return;
	},
	log => qr/giving up the leader lock: check "\w+" failing for \d+ s /);

# Row 40: PostgreSQL panics, and again in recovery, for ever.
round(
	'fsync of WAL fails',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(eio => 'pg_wal/');
		return;
	},
	log => qr/PANIC:  could not fdatasync file|PANIC:  could not fsync file/);

# Row 39: no new segments of WAL; those there are take writes.
round(
	'the disk of WAL is full',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(enospc => 'pg_wal/xlogtemp');
		HaCluster::wait_until(
			'segments are needed',
			sub {
				my ($rc) =
				  $leader->psql('SELECT pg_switch_wal() FROM pg_current_xact_id()',
					timeout => 3);
				return $rc != 0;
			});
		return;
	},
	log => qr/PANIC:.*No space left on device/);

round(
	'the disk turns read-only',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(erofs => '');
		return;
	},
	log => qr/Read-only file system/);

# All processes go on in a directory that has moved, but nobody could start there.
my $aside;
my $moved = round(
	'the data directory is moved away',
	fault => sub {
		my ($leader) = @_;
		$aside = "$leader->{dir}.moved";
		rename $leader->{dir}, $aside or BAIL_OUT("could not rename: $!");
		return;
	},
	log => qr/giving up the leader lock: check "datadir" failing/);
ok(-s "$aside/global/pg_control", 'what was moved away is as it was');
$moved->stop;
rename $moved->{dir}, "$moved->{dir}.clone" or BAIL_OUT("could not rename: $!");
rename $aside, $moved->{dir} or BAIL_OUT("could not rename: $!");
$moved->start;
$cluster->wait_streaming(2);
pass('and rejoins when it is put back');

# Row 44: sessions that can't connect say nothing about the disk.
my $leader = $cluster->wait_for_leader;
my $timeline = $leader->timeline;
my $writer = $cluster->start_writer;
$writer->wait_for_acks(50);
my $term = $cluster->etcd_get('pg_ha/term');
my @sessions;
HaCluster::wait_until('no connection is left',
	sub {
		push @sessions, session_of($leader) for 1 .. 8;
		return ($leader->psql('SELECT 1'))[2] =~ /too many clients|reserved/;
	});
my $began = HaCluster::now();
HaCluster::wait_until('five leases have passed',
	sub { HaCluster::now() > $began + 5 * $cluster->ttl });
ok($writer->acks(since => $began) > 0, 'it acknowledges without connections');
is($cluster->etcd_get('pg_ha/term'), $term, 'nobody else has led meanwhile');
$_->finish foreach @sessions;
judge($cluster->check_history($writer));
is($cluster->wait_for_leader, $leader, 'it leads');
is($leader->timeline, $timeline, 'on its timeline');

done_testing();

sub session_of
{
	my ($node) = @_;
	my $in = '';

	return IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr, '-f', '-' ],
		'<', \$in, '>', '/dev/null', '2>', '/dev/null');
}

sub wait_for_log
{
	my ($node, $regex, $offset) = @_;

	return HaCluster::wait_until("the log of $node->{name} has $regex",
		sub { $node->log_contains($regex, $offset) });
}

sub judge
{
	my ($verdict) = @_;

	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	return;
}

# The leader falls sick; another one, which "fault" may name, leads; the sick one
# does not, until it is well and has rejoined.  Returns it.
sub round
{
	my ($name, %spec) = @_;
	my $sick;

	subtest $name => sub {
		$sick = $cluster->wait_for_leader;
		$cluster->wait_streaming(2);
		my $history = $cluster->start_writer;
		$history->wait_for_acks(100 + int(rand(100)));

		my $offset = $sick->log_size;
		note "$sick->{name} falls sick: $name";
		my $next = $spec{fault}->($sick, $history);
		my $struck_at = HaCluster::now();
		my $new = $cluster->wait_for_leader(other_than => $sick);
		diag sprintf '%s: another led after %.1f s', $name,
		  HaCluster::now() - $struck_at;
		is($new, $next, 'the one that is well leads') if $next;
		wait_for_log($sick, $spec{log}, $offset);
		pass('the log says what was wrong');
		$history->wait_for_acks(100, since => HaCluster::now());
		is($cluster->leader, $new, 'and does not lead while it is sick');

		$_->mend_disk foreach $cluster->nodes;
		$cluster->wait_streaming(2);
		pass('all nodes are in place again');
		judge($cluster->check_history($history));
	};
	return $sick;
}
