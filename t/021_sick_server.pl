#
# A leader that can't write any more gives way, to somebody healthy and only then:
# the disk stalls, breaks, fills up, turns read-only, or the data directory is not
# where it was.  Nothing is acknowledged late; nothing acknowledged is lost, or without
# synchronous replication the loss is reported.  The sick server does not come back as
# leader before it is well, and what is no disease of its disk, like having no
# connections left, is no reason to give way.
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

my %config_of = (
	async => { synchronous_mode => JSON::PP::false },
	sync => { synchronous_mode => JSON::PP::true, synchronous_node_count => 2 },
	quorum => { synchronous_mode => 'quorum', synchronous_node_count => 1 },
	strict => {
		synchronous_mode => JSON::PP::true,
		synchronous_mode_strict => JSON::PP::true,
		synchronous_node_count => 2
	});

my $cluster = HaCluster->new(
	nodes => 3,
	faults => 1,
	config => $config_of{sync},
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

# A flush that does not come back, which no process notices by itself.
round(
	'fsync stalls',
	row => 41,
	mode => 'quorum',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(stall => '');
		return;
	},
	log => qr/giving up the leader lock: check "\w+" failing for \d+ s /);

# PostgreSQL panics, and again in recovery, for ever.
round(
	'fsync of WAL fails',
	row => 40,
	mode => 'async',
	fault => sub {
		my ($leader) = @_;
		$leader->break_disk(eio => 'pg_wal/');
		return;
	},
	log => qr/PANIC:  could not fdatasync file|PANIC:  could not fsync file/);

# No new segments of WAL; those there are take writes.
round(
	'the disk of WAL is full',
	row => 39,
	mode => 'strict',
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

# Sessions that can't connect say nothing about the disk.
my $leader = $cluster->wait_for_leader;
wait_for_mode('sync');
my $timeline = $leader->timeline;
my $writer = $cluster->start_writer(readers => 1);
$writer->wait_for_acks(50);
my $term = $cluster->etcd_get('pg_ha/term');
my @sessions;
HaCluster::wait_until('no connection is left',
	sub {
		push @sessions, session_of($leader) for 1 .. 8;
		return ($leader->psql('SELECT 1'))[2] =~ /too many clients|reserved/;
	});
my $began = HaCluster::now();
my $proofs = $cluster->etcd_version('pg_ha/heartbeat');
my $enough = 5 * (GRACE + $cluster->ttl + 1) / $cluster->ttl;
HaCluster::wait_until(
	'the lease was renewed for longer than a sick leader would have',
	sub {
		$cluster->etcd_version('pg_ha/heartbeat') >= $proofs + $enough;
	});
ok($writer->acks(since => $began) > 0, 'it acknowledges without connections');
is($cluster->etcd_get('pg_ha/term'), $term, 'nobody else has led meanwhile');
$_->finish foreach @sessions;
my $verdict = $cluster->check_history($writer);
judge($verdict);
is($cluster->wait_for_leader, $leader, 'it leads');
is($leader->timeline, $timeline, 'on its timeline');
$cluster->record_row(row => 44, mode => 'sync', verdict => $verdict);

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

# The mode is in force, with both of the others in /sync.
sub wait_for_mode
{
	my ($mode) = @_;
	my $quorum = $mode eq 'quorum' ? 1 : 0;

	$cluster->configure(
		{
			synchronous_mode_strict => JSON::PP::false,
			%{ $config_of{$mode} } });
	HaCluster::wait_until(
		"the mode is $mode",
		sub {
			my $sync = $cluster->etcd_get('sync');
			my $json = $sync ? JSON::PP::decode_json($sync) : {};
			my $voters = split /,/, $json->{sync_standby} // '';

			return $mode eq 'async'
			  ? $voters == 0
			  : $voters == 2 && ($json->{quorum} // 0) == $quorum;
		});
	$cluster->wait_streaming(2);
	return;
}

sub judge
{
	my ($verdict, $mode) = @_;

	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	is("@{ $verdict->{split} }", '', 'one node acknowledged on each timeline');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is($verdict->{stale}, 0, 'no read missed what was acknowledged before it');
	if (($mode // 'sync') eq 'async')
	{
		my $lost_bytes =
		  $cluster->wait_for_leader->status('coalesce(lost_bytes, 0)');

		ok($verdict->{lost} == 0 || $lost_bytes > 0, 'a loss is reported');
	}
	else
	{
		is($verdict->{lost}, 0, 'every acknowledged row is there');
	}
	return;
}

# The leader falls sick; another one, which "fault" may name, leads; the sick one
# does not, until it is well and has rejoined.  Returns it.
sub round
{
	my ($name, %spec) = @_;
	my $mode = $spec{mode} // 'sync';
	my $sick;

	subtest $name => sub {
		$sick = $cluster->wait_for_leader;
		wait_for_mode($mode);
		my $history = $cluster->start_writer(readers => 1);
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

		my $mended_at = HaCluster::now();
		$_->mend_disk foreach $cluster->nodes;
		$cluster->wait_streaming(2);
		my $rejoin = HaCluster::now() - $mended_at;
		pass('all nodes are in place again');
		my $verdict = $cluster->check_history($history);
		judge($verdict, $mode);
		$cluster->record_row(
			row => $spec{row},
			mode => $mode,
			verdict => $verdict,
			rejoin => $rejoin) if $spec{row};
	};
	return $sick;
}
