#!/usr/bin/perl
#
# hostile_etcd.pl LISTEN_PORT TARGET_PORT MODE_FILE
#
# An etcd that lies on command: it carries requests on 127.0.0.1:LISTEN_PORT to the
# real etcd on 127.0.0.1:TARGET_PORT, and spoils the answers.  The word in MODE_FILE,
# which is looked at for each answer and on SIGHUP, says how:
#
#	open			not at all
#	no_ttl, ttl_huge, ttl_negative, ttl_text, wrong_lease
#					answers about leases only; all others are right
#	truncated, garbage_chunks, big, drip, redirect, redirect_loop, wrong_types,
#	deep, html, nothing, no_answer, error, bad_length, endless_header, nul
#					each answer
#
# Lines are printed as by tcp_proxy.pl, and "spoiled MODE" for each answer that was.

use strict;
use warnings FATAL => 'all';

use IO::Handle;
use IO::Socket::INET;
use Time::HiRes qw(usleep);

my ($listen_port, $target_port, $mode_file) = @ARGV;
die "usage: hostile_etcd.pl LISTEN_PORT TARGET_PORT MODE_FILE\n"
  unless defined $mode_file;

my %lease_faults = (
	no_ttl => sub { $_[0] =~ s/,?"TTL":"-?\d+"//; },
	ttl_huge => sub { $_[0] =~ s/"TTL":"-?\d+"/"TTL":"9223372036854775807"/; },
	ttl_negative => sub { $_[0] =~ s/"TTL":"-?\d+"/"TTL":"-3"/; },
	ttl_text => sub { $_[0] =~ s/"TTL":"-?\d+"/"TTL":"3 "/; },
	wrong_lease => sub { $_[0] =~ s/"ID":"(\d+)"/'"ID":"' . ($1 ^ 1) . '"'/e; },
);
my %faults = (
	truncated => sub {
		my ($client, $body) = @_;
		return head('Content-Length: ' . length $body)
		  . substr($body, 0, length($body) / 2);
	},
	garbage_chunks => sub {
		return head('Transfer-Encoding: chunked') . "5\r\n{\"a\":xyz\r\n-7\r\n";
	},
	big => sub {
		return answer('{"header":"' . 'x' x 10_000_000 . '"}');
	},
	drip => \&drip,
	redirect => sub {
		return "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
		  . "Content-Length: 0\r\n\r\n";
	},
	redirect_loop => sub {
		my ($client, $body, $path) = @_;
		return "HTTP/1.1 307 Temporary Redirect\r\n"
		  . "Location: http://127.0.0.1:$listen_port$path\r\n"
		  . "Content-Length: 0\r\n\r\n";
	},
	wrong_types => sub {
		my ($client, $body) = @_;
		$body =~ s/:"\d+"/:{"a":[null]}/g;
		$body =~ s/:true/:"yes"/g;
		return answer($body);
	},
	deep => sub { return answer('[{"a":' x 100_000); },
	html => sub { return answer('<html><body>Welcome!</body></html>'); },
	nothing => sub { return answer(''); },
	no_answer => sub { return ''; },
	error => sub {
		return "HTTP/1.1 500 \x01\x02%s%n\r\nContent-Length: 6\r\n\r\n%s%n%s";
	},
	bad_length => sub {
		my ($client, $body) = @_;
		return head("Content-Length: -1\r\nContent-Length: 7") . $body;
	},
	endless_header => sub {
		return head(join "\r\n", map { "X-$_: " . 'y' x 1000 } 1 .. 2000);
	},
	nul => sub {
		my ($client, $body) = @_;
		$body =~ s/"header"/"header\0"/;
		return answer($body . "\0\0");
	},
);

STDOUT->autoflush(1);
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
$SIG{TERM} = sub { exit 0; };
my $mode_changed = 1;

sub read_mode
{
	open my $fh, '<', $mode_file or return 'open';
	my $word = <$fh> // 'open';
	close $fh;
	chomp $word;
	return $word;
}

sub head
{
	my ($fields) = @_;
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n$fields\r\n\r\n";
}

sub answer
{
	my ($body) = @_;
	return head('Content-Length: ' . length $body) . $body;
}

# Slower than anybody would wait for.
sub drip
{
	my ($client, $body) = @_;

	foreach my $byte (split //, answer($body))
	{
		syswrite($client, $byte) or last;
		usleep(200_000);
	}
	return '';
}

# One request: path and body, or nothing at the end of the connection.
sub read_request
{
	my ($client) = @_;
	my $text = '';

	while ($text !~ /\r\n\r\n/)
	{
		sysread($client, $text, 65536, length $text) or return;
	}
	my ($head, $body) = split /\r\n\r\n/, $text, 2;
	my ($length) = $head =~ /^Content-Length: (\d+)/mi;
	while (length $body < ($length // 0))
	{
		sysread($client, $body, 65536, length $body) or return;
	}
	my ($path) = $head =~ /^POST (\S+)/ or return;
	my ($authorization) = $head =~ /^(Authorization: .*?)\r?$/mi;
	return ($path, $body, $authorization);
}

# Let the real etcd answer; with HTTP 1.0 the end of its answer is that of the
# connection.
sub ask_etcd
{
	my ($path, $body, $authorization) = @_;
	my $etcd = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $target_port,
		Proto => 'tcp') or return;

	syswrite($etcd,
			"POST $path HTTP/1.0\r\nContent-Type: application/json\r\n"
		  . ($authorization ? "$authorization\r\n" : '')
		  . 'Content-Length: '
		  . length($body)
		  . "\r\n\r\n$body");
	return $etcd;
}

sub spoil
{
	my ($client, $mode, $path, $status, $body) = @_;
	my $about_lease = $path =~ m{^/v3/lease/};

	$lease_faults{$mode}->($body) if $lease_faults{$mode} && $about_lease;

	print STDOUT "spoiled $mode\n"
	  if $faults{$mode}
	  || ($lease_faults{$mode} && $about_lease);
	return $faults{$mode}->($client, $body, $path) if $faults{$mode};
	return "HTTP/1.1 $status X\r\nContent-Type: application/json\r\n"
	  . 'Content-Length: '
	  . length($body)
	  . "\r\n\r\n$body";
}

# A watch goes on and on; its events are spoiled one read at a time.
sub carry_watch
{
	my ($client, $etcd, $path, $rest) = @_;

	syswrite($client, head('Transfer-Encoding: chunked'));
	while (1)
	{
		my $mode = read_mode();

		if ($faults{$mode} && $mode ne 'drip')
		{
			print STDOUT "spoiled $mode\n";
			syswrite($client, $faults{$mode}->($client, $rest, $path));
			return;
		}
		if ($rest ne '')
		{
			syswrite($client, sprintf("%x\r\n%s\r\n", length $rest, $rest))
			  or return;
		}
		sysread($etcd, $rest, 65536) or return;
	}
	return;
}

sub serve
{
	my ($client) = @_;

	while (my ($path, $body, $authorization) = read_request($client))
	{
		my $etcd = ask_etcd($path, $body, $authorization) or return;
		my $text = '';

		while ($text !~ /\r\n\r\n/)
		{
			sysread($etcd, $text, 65536, length $text) or return;
		}
		my ($head, $rest) = split /\r\n\r\n/, $text, 2;
		my ($status) = $head =~ m{^HTTP/1\.\d (\d+)};
		return carry_watch($client, $etcd, $path, $rest)
		  if $path eq '/v3/watch' && $status == 200;
		1 while sysread $etcd, $rest, 65536, length $rest;

		my $mode = read_mode();
		my $answer = spoil($client, $mode, $path, $status, $rest);
		syswrite($client, $answer) if $answer ne '';
		return if $faults{$mode};
	}
	return;
}

my $listener = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1',
	LocalPort => $listen_port,
	Proto => 'tcp',
	Listen => 128,
	ReuseAddr => 1) or die "could not listen on port $listen_port: $!\n";
print STDOUT "listening\n";

# The selected handle may be a socket that is just being made.
$SIG{HUP} = sub { print STDOUT read_mode(), "\n"; };
print STDOUT read_mode(), "\n";

while (1)
{
	my $client = $listener->accept or next;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		$SIG{HUP} = 'IGNORE';
		close $listener;
		serve($client);
		exit 0;
	}
	close $client;
}
