#
# What has something done over HTTP: it does what the same SQL would, refuses what that
# would with Patroni's codes and texts, and is open to nobody who has no right to it.
# However many requests come, however slow, large or broken, no renewal of the lease is
# late for them.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

# All that needs a right.
my @unsafe = (
	[ 'PATCH', '/config', { ttl => 6 } ], [ 'PUT', '/config', { ttl => 6 } ],
	[ 'POST', '/switchover', { leader => 'n1', candidate => 'n2' } ],
	[ 'POST', '/failover', { candidate => 'n2' } ], [ 'DELETE', '/switchover' ],
	[ 'POST', '/restart' ], [ 'DELETE', '/restart' ], [ 'POST', '/reload' ],
	[ 'POST', '/reinitialize' ], [ 'POST', '/sigterm' ], [ 'POST', '/citus' ],
	[ 'POST', '/mpp' ]);

my $cluster = HaCluster->new(nodes => 2, config => { ttl => 4 });
my ($n1, $n2) = $cluster->nodes;

$cluster->start_led_by('n1');
HaCluster::wait_until('the standby has the functions',
	sub { ($n2->psql('SELECT pg_ha_get_config()'))[0] == 0 });

subtest 'PATCH and PUT /config' => \&config;
subtest 'a bad configuration' => \&bad_config;
subtest 'switchover' => \&switchover;
subtest 'switchovers that are refused' => \&refused_switchover;
subtest 'a switchover that is scheduled' => \&scheduled;
subtest 'failover' => \&failover;
subtest 'restart' => \&restart;
subtest 'restarts that are refused' => \&refused_restart;
subtest 'a restart that is scheduled' => \&scheduled_restart;
subtest 'reload' => \&reload;
subtest 'reinitialize' => \&reinitialize;
subtest 'what pg_ha has not' => \&others;
subtest 'requests that are broken' => \&broken;
subtest 'a flood does not delay the lease' => \&flood;
subtest 'without a server' => \&without_server;
subtest 'who may' => \&access;
subtest 'TLS and certificates' => \&tls;
done_testing();

sub stored { return decode_json($cluster->etcd_get('config')); }

# "200 text"
sub say_of
{
	my ($node, $method, $path, $body, %args) = @_;
	my ($status, $text) = $node->http($method, $path, $body, %args);

	return "$status $text";
}

sub config
{
	foreach my $node ($n2, $n1)
	{
		my $ttl = $node == $n1 ? 4 : 5;
		my ($status, $body) =
		  $node->http('PATCH', '/config', { ttl => $ttl, loop_wait => undef,
				postgresql => { parameters => { work_mem => '3MB', temp_buffers => '2MB' } } });
		is($status, 200, 'PATCH on ' . $node->name);
		is_deeply(decode_json($body), stored(), 'tells what is stored now');
		is(stored()->{ttl}, $ttl, 'with the change');
		ok(!exists stored()->{loop_wait}, 'without what was null');
		is_deeply(decode_json(($node->rest('/config'))[1]),
			stored(), 'and GET tells the same at once');
	}
	HaCluster::wait_until('it is in force',
		sub { $n2->safe_psql('SHOW work_mem') eq '3MB' });

	my $new = { ttl => 4, loop_wait => 1, retry_timeout => 1, postgresql => { parameters => { work_mem => '2MB' } } };
	my ($status, $body) = $n1->http('PUT', '/config', $new);
	is($status, 200, 'PUT');
	is_deeply(stored(), $new, 'leaves nothing of what was there');
	HaCluster::wait_until('it is in force',
		sub { $n2->safe_psql('SHOW work_mem') eq '2MB' });
	like(say_of($n2, 'PATCH', '/config', { pause => JSON::PP::true }), qr/^200/, 'a pause');
	HaCluster::wait_until('all have seen it',
		sub { 2 == grep { $cluster->etcd_get("members/$_") =~ /"pause":true/ } qw(n1 n2) });
	like(($n1->rest('/cluster'))[1], qr/"pause":true/, '/cluster tells it');
	like(say_of($n1, 'PATCH', '/config', { pause => undef }), qr/^200/, 'its end');
	HaCluster::wait_until('it is over',
		sub { 2 == grep { $cluster->etcd_get("members/$_") !~ /"pause"/ } qw(n1 n2) });
	return;
}

sub bad_config
{
	my $before = $cluster->etcd_get('config');
	my @bad = (
		[ { ttl => 'x' }, qr/^400 .*ttl/ ],
		[ { ttl => 1 }, qr/^400 .*ttl/ ],
		[ { tll => 10 }, qr/^400 unknown configuration key "tll"/ ],
		[ { postgresql => { parameters => { work_mem => 'much' } } }, qr/^400 .*work_mem/ ],
		[ { postgresql => { parameters => { archive_command => 'rm' } } },
			qr/^400 .*archive_command/ ],
		[ '[1]', qr/^400 the body is not a JSON object/ ],
		[ '{"ttl":', qr/^400 the body is not a JSON object/ ],
		[ '{"ttl":10} {}', qr/^400 the body is not a JSON object/ ],
		[ '{"ttl":10,"ttl":20}', qr/^400 the body is not a JSON object/ ],
		[ '[' x 5000, qr/^400 the body is not a JSON object/ ],
		[ '', qr/^4(00|11) a body is needed/ ],
		[ '{"x":"' . 'x' x 70_000 . '"}', qr/^413/ ]);

	foreach my $method (qw(PATCH PUT))
	{
		foreach my $case (@bad)
		{
			my ($body, $expected) = @$case;
			my $shown = substr(ref $body ? encode_json($body) : $body, 0, 40);
			like(say_of($n1, $method, '/config', $body), $expected, "$method $shown");
		}
	}
	is($cluster->etcd_get('config'), $before, 'nothing was changed');
	return;
}

sub switchover
{
	my $timeline = $n1->timeline;

	is(say_of($n1, 'POST', '/switchover', { leader => 'n1', candidate => 'n2' }),
		'200 Successfully switched over to "n2"', 'to a certain member');
	$cluster->wait_until_leads('n2');
	$cluster->wait_streaming(1);
	like(($n1->rest('/history'))[1], qr/^\[\[$timeline,\d+,".*","[-0-9T:.+]+","n2"\]\]$/,
		'/history tells of it');

	# As patronictl sends it, to a standby
	is(say_of($n1, 'POST', '/switchover', '{"leader": "n2", "candidate": null}'),
		'200 Successfully switched over to "n1"', 'to anybody');
	$cluster->wait_until_leads('n1');
	$cluster->wait_streaming(1);
	return;
}

sub refused_switchover
{
	my @bad = (
		[ switchover => { candidate => 'n2' },
			'400 Switchover could be performed only from a specific leader' ],
		[ switchover => { leader => 'n1', candidate => 'n1' },
			'400 Switchover target and source are the same' ],
		[ switchover => { leader => 'n2', candidate => 'n1' },
			'412 leader name does not match' ],
		[ switchover => { leader => 'n1', candidate => 'n9' },
			'412 candidate does not exists' ],
		[ switchover => { leader => 'n1', scheduled_at => 'tomorrow' },
			'422 Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601' ],
		[ switchover => { leader => 'n1', scheduled_at => '2030-01-01T00:00:00' },
			'400 Timezone information is mandatory for the scheduled switchover' ],
		[ switchover => { leader => 'n1', scheduled_at => '2020-01-01T00:00:00Z' },
			'422 Cannot schedule switchover in the past' ],
		[ failover => {}, '400 Failover could be performed only to a specific candidate' ],
		[ failover => { candidate => 'n2', scheduled_at => '2030-01-01T00:00:00Z' },
			"400 Failover can't be scheduled" ],
		[ failover => { candidate => "n2'; DROP TABLE acked; --" },
			'412 candidate does not exists' ]);

	foreach my $case (@bad)
	{
		my ($path, $body, $expected) = @$case;
		is(say_of($n1, 'POST', "/$path", $body), $expected,
			"$path " . encode_json($body));
	}
	ok(($cluster->etcd_get('failover') // '{}') eq '{}', 'nothing was asked for');

	like(say_of($n1, 'PATCH', '/config', { pause => JSON::PP::true }), qr/^200/, 'paused');
	HaCluster::wait_until('the server has seen the pause',
		sub { $n1->status('paused') eq 't' });
	HaCluster::wait_until('pg_ha_boot, too', sub {
			say_of($n1, 'POST', '/switchover', { leader => 'n1' }) eq
			  '400 Switchover is possible only to a specific candidate in a paused state';
		});
	is(say_of($n1, 'POST', '/switchover',
			{ leader => 'n1', candidate => 'n2', scheduled_at => '2030-01-01T00:00:00Z' }),
		"400 Can't schedule switchover in the paused state", 'nor for later');
	like(say_of($n1, 'PATCH', '/config', { pause => undef }), qr/^200/, 'resumed');
	HaCluster::wait_until('that is seen', sub { $n1->status('paused') eq 'f' });
	is($cluster->leader->name, 'n1', 'n1 has led on');
	return;
}

sub scheduled
{
	my $at = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(time + 3600));

	is(say_of($n1, 'DELETE', '/switchover'), '404 no switchover is scheduled', 'none is there');
	is(say_of($n1, 'POST', '/switchover',
			{ leader => 'n1', candidate => 'n2', scheduled_at => $at }),
		'202 Switchover scheduled', 'for later');
	my $wish = decode_json($cluster->etcd_get('failover'));
	is("$wish->{leader} $wish->{member}", 'n1 n2', 'it stands in the store');
	my $json = decode_json(($n2->rest('/cluster'))[1]);
	is("$json->{scheduled_switchover}{from} $json->{scheduled_switchover}{to}",
		'n1 n2', '/cluster tells it');
	like(say_of($n1, 'POST', '/switchover', { leader => 'n1', candidate => 'n2' }),
		qr/^503 a switchover is scheduled already/, 'a second one is refused');
	is(say_of($n2, 'DELETE', '/switchover'), '200 scheduled switchover deleted', 'taken back');
	is($cluster->etcd_get('failover'), '{}', 'it is gone');
	return;
}

# With a leader it is a switchover, as in Patroni
sub failover
{
	is(say_of($n1, 'POST', '/failover', { candidate => 'n2' }),
		'200 Successfully failed over to "n2"', 'to a member');
	$cluster->wait_until_leads('n2');
	$cluster->wait_streaming(1);
	is(say_of($n2, 'POST', '/failover', { leader => 'n2', candidate => 'n1' }),
		'200 Successfully switched over to "n1"', 'from a certain one');
	$cluster->wait_streaming(1);
	return;
}

sub restart
{
	foreach my $node ($n2, $n1)
	{
		my $before = $node->postmaster_pid;
		is(say_of($node, 'POST', '/restart', undef, timeout => 60),
			'200 restarted successfully', 'of ' . $node->name);
		isnt($node->postmaster_pid, $before, 'it was');
	}
	$cluster->wait_until_leads('n1');
	$cluster->wait_streaming(1);
	is(say_of($n1, 'POST', '/restart', { role => 'primary', timeout => 60 }, timeout => 60),
		'200 restarted successfully', 'with conditions that are met');
	$cluster->wait_streaming(1);
	return;
}

sub refused_restart
{
	my @pids = map { $_->postmaster_pid } $n1, $n2;
	my @bad = (
		[ { role => 'chief' },
			'400 PostgreSQL role should be either primary, standby_leader, or replica' ],
		[ { postgres_version => 'new' },
			'400 Invalid PostgreSQL version: new' ],
		[ { timeout => -1 }, '400 Timeout should be a positive number of seconds' ],
		[ { what => 1 }, '400 Unknown filter for the scheduled restart: what' ],
		[ { schedule => '2020-01-01T00:00:00Z' }, '422 Cannot schedule restart in the past' ],
		[ { schedule => '2030-01-01T00:00:00' },
			'400 Timezone information is mandatory for the scheduled restart' ],
		[ { schedule => 1 }, '422 Unable to parse scheduled timestamp.' ],
		[ { role => 'replica' }, '503 restart conditions are not satisfied' ],
		[ { role => 'standby_leader' }, '503 restart conditions are not satisfied' ],
		[ { postgres_version => '9.6.24' }, '503 restart conditions are not satisfied' ],
		[ { restart_pending => JSON::PP::true }, '503 restart conditions are not satisfied' ]);

	is(say_of($n1, 'POST', '/restart', $_->[0]), $_->[1], encode_json($_->[0]))
	  foreach @bad;
	is(say_of($n1, 'DELETE', '/restart'), '404 no restarts are scheduled', 'DELETE');
	is(join(' ', map { $_->postmaster_pid } $n1, $n2), "@pids", 'none was restarted');
	return;
}

sub scheduled_restart
{
	my $pid = $n2->postmaster_pid;
	my $at = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(time + 3600));

	is(say_of($n2, 'POST', '/restart', { schedule => $at, role => 'replica' }),
		'202 Restart scheduled', 'for later');
	my $request = decode_json($cluster->etcd_get('pg_ha/requests/n2'));
	is("$request->{kind} $request->{role}", 'restart standby', 'it stands in the store');
	is(say_of($n2, 'POST', '/restart', { schedule => $at }),
		'409 Another restart is already scheduled', 'a second one is refused');
	is(say_of($n1, 'DELETE', '/restart'), '404 no restarts are scheduled', 'of another member');
	is(say_of($n2, 'DELETE', '/restart'), '200 scheduled restart deleted', 'taken back');
	is(say_of($n2, 'DELETE', '/restart'), '404 no restarts are scheduled', 'and gone');
	is($n2->postmaster_pid, $pid, 'it was not restarted');
	return;
}

sub reload
{
	$n2->add_settings("log_min_duration_statement = '77s'");
	is(say_of($n2, 'POST', '/reload'), '202 reload scheduled', 'reload');
	HaCluster::wait_until('the node file was read',
		sub { $n2->safe_psql('SHOW log_min_duration_statement') eq '77s' });
	return;
}

sub reinitialize
{
	my $inode = (stat $n2->{dir})[1];

	is(say_of($n1, 'POST', '/reinitialize'),
		'503 I am the leader, can not reinitialize', 'not the leader');
	is(say_of($n2, 'POST', '/reinitialize', { force => JSON::PP::false }),
		'200 reinitialize started', 'a standby');
	like(say_of($n2, 'POST', '/reinitialize'),
		qr/^503 reinitialize already in progress$/, 'once at a time');
	HaCluster::wait_until('it is through with it', sub {
			($cluster->etcd_get('members/n2') // '') =~ /"state":"done"/
			  && !defined $cluster->etcd_get('pg_ha/requests/n2');
		});
	isnt((stat $n2->{dir})[1], $inode, 'its data was made anew');
	$cluster->wait_streaming(1);
	return;
}

sub others
{
	is(say_of($n1, 'POST', '/sigterm'),
		'501 pg_ha_boot is stopped by its service manager', '/sigterm');
	is(say_of($n1, 'POST', "/$_", {}), '404 Citus is not supported', "/$_")
	  foreach qw(citus mpp);
	ok($n1->is_running, 'it runs on');
	return;
}

sub connection
{
	my ($node, $from) = @_;
	return IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $node->{rest_port},
		LocalAddr => $from // '127.0.0.1');
}

# What each connection gets, until its end: all at the same time, since some are only
# ended after a while.
sub broken
{
	my $before = join ' ', $cluster->etcd_get('config'), $n1->boot_pid;
	my @bad = (
		"\0" x 100,
		"GET\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		'GET /' . 'x' x 40_000 . " HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" . "X: y\r\n" x 10_000 . "\r\n",
		"POST /config HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
		"PATCH /config HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}",
		"PATCH /config HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"PATCH /config HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"ttl\":");
	my $begin = HaCluster::now();
	my @sockets = map { connection($n1) } @bad;

	local $SIG{PIPE} = 'IGNORE';
	$sockets[$_]->syswrite($bad[$_]) foreach 0 .. $#bad;
	foreach my $i (0 .. $#bad)
	{
		my $answer = '';
		while (IO::Select->new($sockets[$i])->can_read(10)
			&& $sockets[$i]->sysread(my $part, 4096))
		{
			$answer .= $part;
		}
		unlike($answer, qr{^HTTP/1\.\d 2}, 'no good answer to '
			  . substr($bad[$i] =~ s/[^ -~]/./gr, 0, 40));
	}
	cmp_ok(HaCluster::now() - $begin, '<', 8, 'and an end to each');
	is(join(' ', $cluster->etcd_get('config'), $n1->boot_pid), $before,
		'nothing was changed, and pg_ha_boot lives');
	return;
}

# A process that asks on and on.  What it says at its end is how often, and how often it
# was answered well.
sub flood_with
{
	my ($until, $path) = @_;
	my $pid = open(my $pipe, '-|') // die "could not fork: $!";

	return $pipe if $pid;
	my ($asked, $answered, @open) = (0, 0);
	while (HaCluster::now() < $until)
	{
		# and some hang, with half a request
		push @open, grep { defined } connection($n1, '127.0.0.2') if @open < 8;
		$asked++;
		$answered++ if $n1->rest($path) == 200;
	}
	syswrite STDOUT, "$asked $answered\n";
	POSIX::_exit(0);
}

# How often the leader proved itself meanwhile: each time it puts the heartbeat.
sub count_heartbeats
{
	my ($seconds, @paths) = @_;
	my $count = sub { scalar $cluster->etcd_events('pg_ha/heartbeat') };
	my $before = $count->();
	my $until = HaCluster::now() + $seconds;
	my ($asked, $answered) = (0, 0);

	foreach my $pipe (map { flood_with($until, $_) } @paths)
	{
		my ($a, $b) = split ' ', scalar <$pipe>;
		$asked += $a;
		$answered += $b;
		close $pipe;
	}
	HaCluster::wait_until('the time is over', sub { HaCluster::now() >= $until });
	return ($count->() - $before, $asked, $answered);
}

sub flood
{
	my $seconds = 4;
	my $key = $cluster->etcd_version('leader');
	my ($quiet) = count_heartbeats($seconds);
	my ($busy, $asked, $answered) =
	  count_heartbeats($seconds, qw(/patroni /metrics /cluster /config));
	my ($worst) = ($n1->rest('/metrics'))[1] =~ /^pg_ha_renewal_worst_seconds\S+ (\S+)$/m;

	note "$quiet heartbeats in $seconds s without and $busy with $asked requests,"
	  . " the slowest proof took $worst s";
	cmp_ok($asked, '>', 500, 'it was a flood');
	cmp_ok($answered, '>', 0.9 * $asked, 'whose requests were answered');
	cmp_ok($busy, '>=', $quiet - 1, 'as many heartbeats as before');
	cmp_ok($worst, '<', 2, 'and none near the end of the lease');
	is($cluster->etcd_version('leader'), $key, 'the leader key was not put anew');
	is($cluster->leader->name, 'n1', 'n1 leads');
	return;
}

# What needs a server says so, and what does not is done.
sub without_server
{
	$n2->stop;
	$n2->add_settings("shared_preload_libraries = 'pg_ha, there_is_no_such_thing'");
	$n2->start;
	HaCluster::wait_until('its server does not start',
		sub { ($n2->rest('/patroni'))[1] =~ /"start failed"/ });
	my $before = $cluster->etcd_get('config');
	like(say_of($n2, 'PATCH', '/config', { ttl => 6 }), qr/^503 /, 'no configuration');
	is($cluster->etcd_get('config'), $before, 'nothing was changed');
	like(say_of($n2, 'POST', '/switchover', { leader => 'n1', candidate => 'n2' }),
		qr/^503 /, 'no switchover');
	is(say_of($n2, 'POST', '/restart'), '503 postgres is start failed', 'no restart');
	is(say_of($n2, 'POST', '/reload'), '202 reload scheduled', 'but a reload');
	is(say_of($n2, 'POST', '/reinitialize'), '200 reinitialize started', 'and a reinit');
	$n2->stop;
	$n2->add_settings("shared_preload_libraries = 'pg_ha'");
	$n2->start;
	$cluster->wait_streaming(1);
	return;
}

# An address of this machine that is not loopback; undef if it has none.
sub find_address
{
	my $socket = IO::Socket::INET->new(
		Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9) or return;
	return $socket->sockhost;
}

sub again
{
	my ($node, $lines) = @_;

	$node->stop;
	$node->add_settings($lines);
	$node->start;
	HaCluster::wait_until($node->name . ' runs', sub { $node->rest('/health') == 200 });
	return;
}

sub all_refused
{
	my ($node, $why, $expected, %args) = @_;

	foreach my $request (@unsafe)
	{
		is(say_of($node, @$request[ 0 .. 2 ], %args), $expected, "$why: $request->[0] $request->[1]");
	}
	return;
}

sub access
{
	my $address = find_address();
	my $auth = "$cluster->{base}/auth";
	my $config = $cluster->etcd_get('config');
	my %basic = (headers => { Authorization => 'Basic ' . encode_base64('ha:secret', '') });

	all_refused($n2, 'a page in a browser', '403 Access is denied to pages in browsers',
		headers => { Origin => 'http://evil.example' });
	again($n2, "pg_ha.rest_listen = '0.0.0.0:$n2->{rest_port}'");
	all_refused($n2, 'no proof',
		'403 Access is denied, neither pg_ha.rest_auth_file nor pg_ha.rest_cafile is set here',
		defined $address ? (host => $address) : ());

	append_to_file($auth, "ha:secret\n");
	chmod 0600, $auth;
	again($n2, "pg_ha.rest_auth_file = '$auth'");
	all_refused($n2, 'no credentials', '401 no auth header received');
	all_refused($n2, 'wrong ones', '401 not authenticated',
		headers => { Authorization => 'Basic ' . encode_base64('ha:secre', '') });
	like((join ' ', %{ ($n2->http('POST', '/reload'))[2] }),
		qr/Basic realm="Patroni"/, 'it is told which are wanted');
	is(say_of($n2, 'POST', '/reload', undef, %basic), '202 reload scheduled', 'the right ones');
	is(scalar $n2->rest('/replica'), 200, 'reading is open to anybody');

	again($n2, "pg_ha.rest_allow = '10.255.255.0/24, ::1, 127.0.0.9'");
	all_refused($n2, 'another address', '403 Access is denied', %basic);
	again($n2, "pg_ha.rest_allow = '10.255.255.0/24, 127.0.0.0/30'");
	is(say_of($n2, 'POST', '/reload', undef, %basic), '202 reload scheduled',
		'an address that may');
	is($cluster->etcd_get('config'), $config, 'nothing was changed');
	is($cluster->leader->name, 'n1', 'n1 leads');
	return;
}

sub openssl
{
	my ($rc, $out, $err) = HaCluster::capture(20, 'openssl', @_);
	die "openssl @_: $err" if $rc != 0;
	return;
}

# A certificate for "name", by the CA of that name.
sub certificate
{
	my ($dir, $ca, $name, @more) = @_;

	openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/$name.key",
		'-out', "$dir/$name.csr", '-subj', "/CN=$name");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/$ca.crt", '-CAkey',
		"$dir/$ca.key", '-CAcreateserial', '-days', '2', '-out', "$dir/$name.crt", @more);
	return;
}

sub curl
{
	my ($dir, $with, @args) = @_;
	my ($rc, $out) = HaCluster::capture(20, 'curl', '-sS', '--cacert', "$dir/ca.crt",
		$with ? ('--cert', "$dir/$with.crt", '--key', "$dir/$with.key") : (),
		'-w', '%{http_code}', @args);

	return $rc == 0 ? $out : "rc $rc";
}

sub tls
{
	my $dir = "$cluster->{base}/tls";
	my $url = "https://127.0.0.1:$n2->{rest_port}";

	mkdir $dir;
	append_to_file("$dir/san", "subjectAltName=IP:127.0.0.1\n");
	foreach my $ca (qw(ca other))
	{
		openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/$ca.key",
			'-out', "$dir/$ca.crt", '-days', '2', '-subj', "/CN=$ca");
	}
	certificate($dir, 'ca', 'server', '-extfile', "$dir/san");
	certificate($dir, 'ca', 'client');
	certificate($dir, 'other', 'stranger');

	$n2->stop;
	$n2->add_settings(<<"END_OF_FILE");
pg_ha.rest_cert = '$dir/server.crt'
pg_ha.rest_key = '$dir/server.key'
pg_ha.rest_cafile = '$dir/ca.crt'
pg_ha.rest_auth_file = ''
END_OF_FILE
	$n2->start;
	HaCluster::wait_until('it answers over TLS',
		sub { curl($dir, '', "$url/replica", '-o', '/dev/null') eq '200' });
	HaCluster::wait_until('it says so in its member key',
		sub { $cluster->etcd_get('members/n2') =~ m{"api_url":"https://} });
	isnt(scalar $n2->rest('/replica'), 200, 'and not without');
	my @reload = ('-X', 'POST', "$url/reload");
	is(curl($dir, '', @reload), 'client certificate required403', 'no certificate');
	like(curl($dir, 'stranger', @reload), qr/^(rc \d+|client certificate required403)$/,
		'one of another CA');
	is(curl($dir, 'client', @reload), 'reload scheduled202', 'the right one');

	# Members show each other theirs.
	$n1->stop;
	$n1->add_settings(<<"END_OF_FILE");
pg_ha.rest_cert = '$dir/server.crt'
pg_ha.rest_key = '$dir/server.key'
pg_ha.rest_cafile = '$dir/ca.crt'
END_OF_FILE
	$n1->start;
	HaCluster::wait_until('n1 streams',
		sub { curl($dir, '', "https://127.0.0.1:$n1->{rest_port}/readiness") eq '200' });
	HaCluster::wait_until('n2 leads', sub { $n2->status('leader') eq 'n2' });
	$cluster->configure({ failsafe_mode => JSON::PP::true });
	HaCluster::wait_until('the mode is on', sub { $n2->status('failsafe') eq 'on' });
	HaCluster::wait_until('both are listed',
		sub { 2 == (() = ($cluster->etcd_get('failsafe') // '') =~ m{"n[12]":"https}g) });
	# What is in the store counts as soon as a later proof has told so.
	my $proofs = $cluster->etcd_version('pg_ha/heartbeat');
	HaCluster::wait_until('n2 has proven its lease again',
		sub { $cluster->etcd_version('pg_ha/heartbeat') > $proofs + 2 });
	$cluster->etcd_kill;
	HaCluster::wait_until('n2 leads by the promise of n1',
		sub { $n2->status('failsafe') eq 'active' });
	is(curl($dir, '', "$url/primary", '-o', '/dev/null'), '200', 'over TLS');
	$cluster->etcd_start;
	return;
}
