#!/usr/bin/perl
#
# The clocks of a node lie.  The wall clock may be hours off: it decides nothing.  The
# boot clock may go at half or double rate while all is well, and a little slower than
# the others' while the node is cut off.  When it jumps, since the machine was suspended,
# the node is fenced before it acknowledges anything.
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
use Time::HiRes qw(clock_gettime);

use constant { NS => 1e9, HOUR => 3600, CLOCK_BOOTTIME => 7 };

seed_random();
my $cluster =
  HaCluster->new(nodes => 3, config => { synchronous_mode => JSON::PP::true });
my %lie;

foreach my $node ($cluster->nodes)
{
	my $file = "$cluster->{base}/" . $node->name . '.clock';

	$lie{ $node->name } =
	  { file => $file, off => 0, from => 0, shown => 0, rate => 1 };
	write_lie($node);
	$node->set_environment(
		LD_PRELOAD => "$FindBin::RealBin/../test/clock_shim.so",
		CLOCK_SHIM => $file);
}
$cluster->start_all;
$cluster->wait_for_leader;
rounds(\&rows);

sub rows
{
	row(
		$cluster, 36,
		'wall clocks are one hour off and come back',
		calm => 1,
		fault => \&set_wall_clocks);

	row(
		$cluster, 37,
		'the boot clock of the leader goes at half and at double rate',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			foreach my $rate (0.5, 2)
			{
				lie_to($round->{leader}, rate => $rate);
				wait_for_proofs($round->{leader}, 3);
			}
		},
		heal => sub { lie_to($_[0]->{leader}, rate => 1); });

	# Without standbys that confirm, the fence alone keeps the two reigns apart.
	$cluster->configure({ synchronous_mode => JSON::PP::false });
	row(
		$cluster, 37,
		'the boot clock of the leader is slow within the margin, and it is cut off',
		over => \&another_leads,
		fault => sub {
			my ($round) = @_;
			lie_to($round->{leader}, rate => 0.93);
			wait_for_proofs($round->{leader}, 2);
			$cluster->cut_from_etcd($round->{leader}, 'blackhole');
		},
		heal => sub {
			my ($round) = @_;
			$cluster->heal($round->{leader});
			lie_to($round->{leader}, rate => 1);
		});

	$cluster->configure({ synchronous_mode => JSON::PP::true });
	row(
		$cluster, 38,
		'the machine of the leader was suspended for a minute',
		over => \&another_leads,
		frozen => ['sync'],
		fault => \&suspend,
		heal => sub { $cluster->heal($_[0]->{leader}); },
		check => \&check_suspended);
	return;
}

# ---------------------------------------------------------------------------

sub write_lie
{
	my ($node) = @_;
	my $lie = $lie{ $node->name };

	open my $fh, '+>>', $lie->{file} or die "could not open $lie->{file}: $!";
	close $fh;
	open $fh, '+<', $lie->{file} or die "could not open $lie->{file}: $!";
	binmode $fh;
	print $fh pack('q<q<q<d<', (map { $_ * NS } @$lie{qw(off from shown)}),
		$lie->{rate});
	close $fh or die "could not write $lie->{file}: $!";
	return;
}

# Nobody looks at the clock while it is being set.  The boot clock goes on from what
# it shows, plus "jump" seconds.
sub lie_to
{
	my ($node, %new) = @_;
	my $lie = $lie{ $node->name };

	$node->freeze_node;
	my $now = clock_gettime(CLOCK_BOOTTIME);
	$lie->{shown} += ($now - $lie->{from}) * $lie->{rate} + ($new{jump} // 0);
	$lie->{from} = $now;
	$lie->{rate} = $new{rate} // $lie->{rate};
	$lie->{off} = $new{off} // $lie->{off};
	write_lie($node);
	$node->thaw;
	return;
}

sub another_leads
{
	my ($round) = @_;
	my $now = $cluster->leader or return;
	return $now != $round->{leader};
}

# Forwards on some nodes and backwards on the others; then all come back.
sub set_wall_clocks
{
	my ($round) = @_;

	foreach my $off (HOUR, 0)
	{
		foreach my $node ($cluster->nodes)
		{
			my $sign = $node == $round->{leader} ? 1 : -1;
			lie_to($node, off => $sign * $off);
			my $shown = $node->safe_psql('SELECT extract(epoch FROM clock_timestamp())');
			cmp_ok(abs($shown - time() - $sign * $off),
				'<', HOUR / 2, 'the wall clock of ' . $node->name . ' is off')
		}
		wait_for_proofs($round->{leader}, 3);
		$round->{writer}->wait_for_acks(50, since => HaCluster::now());
	}
	return;
}

# The store is out of reach, so nothing can be proven anew.  The true time from the
# freezing to the thawing is much shorter than the deadline.
sub suspend
{
	my ($round) = @_;

	$cluster->cut_from_etcd($round->{leader}, 'blackhole');
	lie_to($round->{leader}, jump => 60);
	$round->{resumed_at} = HaCluster::now();
	return;
}

sub check_suspended
{
	my ($round) = @_;
	my $port = $round->{leader}->port;
	my @late =
	  grep { $_->{port} == $port && $_->{begun} > $round->{resumed_at} }
	  acks_between($round, $round->{resumed_at}, $round->{resumed_at} + 60);
	my @begun = grep { $_->{port} == $port && $_->{at} > $round->{resumed_at} }
	  $round->{writer}->acks;

	is(scalar @late, 0, 'no commit that was begun after that was acknowledged');
	note scalar @begun, ' acknowledgements were under way';
	return;
}
