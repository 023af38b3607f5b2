#!/usr/bin/perl
#
# tcp_proxy.pl LISTEN_PORT TARGET_PORT MODE_FILE
#
# A wire between 127.0.0.1:LISTEN_PORT and 127.0.0.1:TARGET_PORT that can be cut.
# The word in MODE_FILE, which is looked at on SIGHUP, says how it is now:
#
#	open		bytes pass
#	refuse		existing connections are reset, new ones are refused
#	blackhole	nothing passes and nothing is told: existing connections stall, new
#				ones are accepted and then hear nothing
#	to_client	bytes pass only from the target back to the client
#	to_target	bytes pass only from the client to the target
#	delay		what the target says passes two seconds late
#
# Stalled bytes are not lost: they arrive when the wire is open again, late, as
# on a real network.  A line is printed when the proxy listens, and one for each
# change of mode, so that the caller can wait for it.

use strict;
use warnings FATAL => 'all';

use Errno qw(EINPROGRESS EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use constant DELAY => 2;

my ($listen_port, $target_port, $mode_file) = @ARGV;
die "usage: tcp_proxy.pl LISTEN_PORT TARGET_PORT MODE_FILE\n"
  unless defined $mode_file;

$| = 1;
$SIG{PIPE} = 'IGNORE';

my $listener;
my $mode = 'open';
my $mode_changed = 1;
$SIG{HUP} = sub { $mode_changed = 1; };
$SIG{TERM} = sub { exit 0; };

# fileno => { sock, peer (fileno), out (bytes to write), late ([ time, bytes ] that
# are to be written then), from_client, eof }
my %ends;

sub listen_again
{
	$listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => $listen_port,
		Proto => 'tcp',
		Listen => 128,
		ReuseAddr => 1) or die "could not listen on port $listen_port: $!\n";
	$listener->blocking(0);
	return;
}

sub drop
{
	my ($no, $reset) = @_;
	my $end = delete $ends{$no} or return;

	# With a linger of zero, close() sends RST and not FIN.
	setsockopt($end->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
	  if $reset;
	close $end->{sock};
	drop($end->{peer}, $reset);
	return;
}

sub read_mode
{
	open my $fh, '<', $mode_file or return;
	my $word = <$fh>;
	close $fh;
	chomp($word //= 'open');
	$mode = $word;

	if ($mode eq 'refuse')
	{
		close $listener if $listener;
		undef $listener;
		drop($_, 1) foreach keys %ends;
	}
	elsif (!$listener)
	{
		listen_again();
	}
	print "$mode\n";
	return;
}

sub accept_one
{
	my $client = $listener->accept or return;
	my $target = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $target_port,
		Proto => 'tcp');

	if (!$target)
	{
		setsockopt($client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
		close $client;
		return;
	}
	foreach ($client, $target)
	{
		$_->blocking(0);

		# or what comes in two pieces waits for a delayed acknowledgement
		setsockopt($_, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	my ($c, $t) = (fileno $client, fileno $target);
	$ends{$c} =
	  { sock => $client, peer => $t, out => '', late => [], from_client => 1, eof => 0 };
	$ends{$t} =
	  { sock => $target, peer => $c, out => '', late => [], from_client => 0, eof => 0 };
	return;
}

# May bytes that this end sends go on to its peer?
sub passes
{
	my ($end) = @_;

	return 1 if $mode eq 'open' || $mode eq 'delay';
	return $end->{from_client} if $mode eq 'to_target';
	return !$end->{from_client} if $mode eq 'to_client';
	return 0;
}

sub read_end
{
	my ($no) = @_;
	my $end = $ends{$no} or return;
	my $peer = $ends{ $end->{peer} };
	my $got = sysread($end->{sock}, my $bytes, 65536);

	if (!defined $got)
	{
		drop($no, 1) unless $! == EAGAIN || $! == EINTR;
	}
	elsif ($got == 0)
	{
		# Pass a half-close on only when all before it has been.
		$end->{eof} = 1;
	}
	elsif (@{ $peer->{late} } || ($mode eq 'delay' && !$end->{from_client}))
	{
		# Behind what is late already, whatever the mode is now
		my $late = $mode eq 'delay' ? DELAY : 0;
		push @{ $peer->{late} }, [ clock_gettime(CLOCK_MONOTONIC) + $late, $bytes ];
	}
	else
	{
		$peer->{out} .= $bytes;
	}
	return;
}

# Move what is late enough; returns the seconds until the next is.
sub move_late
{
	my ($end) = @_;
	my $now = clock_gettime(CLOCK_MONOTONIC);

	while (my $next = $end->{late}[0])
	{
		return $next->[0] - $now if $next->[0] > $now;
		$end->{out} .= $next->[1];
		shift @{ $end->{late} };
	}
	return 1;
}

sub write_end
{
	my ($no) = @_;
	my $end = $ends{$no} or return;
	my $put = syswrite($end->{sock}, $end->{out});

	if (!defined $put)
	{
		drop($no, 1) unless $! == EAGAIN || $! == EINTR;
		return;
	}
	substr($end->{out}, 0, $put, '');
	return;
}

listen_again();
print "listening\n";

while (1)
{
	if ($mode_changed)
	{
		$mode_changed = 0;
		read_mode();
	}

	my ($read, $write, $pause) = (IO::Select->new, IO::Select->new, 1);
	$read->add($listener) if $listener;
	foreach my $no (keys %ends)
	{
		my $end = $ends{$no} or next;
		next unless passes($end);
		my $peer = $ends{ $end->{peer} };
		my $until_next = move_late($peer);
		$pause = $until_next if $until_next < $pause;
		if ($end->{eof} && $peer->{out} eq '' && !@{ $peer->{late} })
		{
			drop($no, 0);
			next;
		}
		# Read only what can be passed on soon.
		$read->add($end->{sock})
		  if !$end->{eof} && length($peer->{out}) < 1_000_000;
		$write->add($peer->{sock}) if $peer->{out} ne '';
	}

	my ($readable, $writable) = IO::Select->select($read, $write, undef, $pause);
	next unless defined $readable;
	foreach my $sock (@$readable)
	{
		if ($listener && $sock == $listener)
		{
			accept_one();
		}
		elsif (defined fileno $sock)
		{
			read_end(fileno $sock);
		}
	}
	foreach my $sock (@$writable)
	{
		write_end(fileno $sock) if defined fileno $sock;
	}
}
