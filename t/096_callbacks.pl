#
# Callbacks are told what becomes of the server, as Patroni calls them, without a shell.
# None that hangs or fails is in the way of the lease, a stop or another leader.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = HaCluster->new(nodes => 3);
my $base = $cluster->{base};
my $odd = qq{\$(touch $base/oops); touch $base/oops | "y" *};
my $program = "$base/callback";
my @names = qw(on_start on_stop on_restart on_reload on_role_change pre_promote
  before_stop);
my $word = $odd =~ s/'/''/gr;

write_program();
$_->add_settings(join "\n",
	"pg_ha.callback_timeout = '4s'",
	map { "pg_ha.$_ = '$program ''$word'' \"two words\"'" } @names)
  foreach $cluster->nodes;
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);

subtest 'how they are called' => \&check_call;
subtest 'restart and reload' => \&check_restart;
subtest 'one that hangs is ended' => \&check_hanging;
subtest 'a newer one ends it' => \&check_newer;
subtest 'a change of roles' => \&check_roles;
subtest 'pre_promote says no' => sub { check_refusal('fail', 'exit code'); };
subtest 'pre_promote hangs' => sub { check_refusal('hang', 'has not ended'); };
subtest 'before_stop is waited for, and hangs' => \&check_before_stop;
subtest 'what before_stop was run for is off by then' => \&check_off;
subtest 'pre_promote is asked though pg_ha_boot was away' => \&check_away;
subtest 'one that nothing ends' => \&check_stuck;
subtest 'what the node file refuses' => \&check_faults;
done_testing();

# It notes its call, and hangs, flees or fails if a file of that name tells it to.  To flee
# it leaves its process group, so that no signal to the group reaches it.
sub write_program
{
	append_to_file($program, <<"END_OF_PROGRAM");
#!$^X
use strict;
use JSON::PP;
my \$base = '$base';
my (\$action, \$role, \$cluster) = \@ARGV[-3 .. -1];
my \$call = { argv => \\\@ARGV, pid => \$\$,
	map { \$_ => \$ENV{\$_} } qw(PG_HA_NAME PGDATA PGPORT NOTIFY_SOCKET) };
print "said by \$action\\n";
if (-e "\$base/hang.\$action.\$ENV{PG_HA_NAME}")
{
	\$call->{child} = fork();
	exec 'sleep', 600 if !\$call->{child};
}
open my \$out, '>>', "\$base/calls.\$ENV{PG_HA_NAME}" or die;
syswrite \$out, encode_json(\$call) . "\\n";
close \$out;
\$SIG{TERM} = 'IGNORE';
if (-e "\$base/flee.\$action.\$ENV{PG_HA_NAME}")
{
	setpgrp(0, getpgrp(getppid()));
	sleep 600;
}
sleep 600 if \$call->{child};
exit(-e "\$base/fail.\$action.\$ENV{PG_HA_NAME}" ? 3 : 0);
END_OF_PROGRAM
	chmod 0755, $program;
	return;
}

# Its calls so far, or those of some action.
sub calls
{
	my ($node, $action) = @_;
	my $file = "$base/calls." . $node->name;
	my @calls = -e $file ? map { JSON::PP::decode_json($_) }
	  split /\n/, slurp_file($file) : ();

	return grep { !defined $action || $_->{argv}[-3] eq $action } @calls;
}

# "action role" of each call from the nth on.
sub told
{
	my ($node, $from) = @_;
	my @calls = calls($node);

	return join ', ', map { "$_->{argv}[-3] $_->{argv}[-2]" } @calls[ $from .. $#calls ];
}

sub wait_for_call
{
	my ($node, $from, $what) = @_;

	HaCluster::wait_until($node->name . " is told: $what",
		sub { told($node, $from) =~ /$what/ });
	return;
}

sub order
{
	my ($what, $action, $node) = @_;

	append_to_file("$base/$what.$action." . $node->name, '');
	return sub { unlink "$base/$what.$action." . $node->name; };
}

sub is_gone
{
	my ($call) = @_;

	HaCluster::wait_until("$call->{argv}[-3] and what it began has ended",
		sub { !grep { HaCluster::start_time($_) } $call->{pid}, $call->{child} });
	return;
}

sub check_call
{
	foreach my $node ($cluster->nodes)
	{
		my $role = $node == $leader ? 'primary' : 'replica';
		wait_for_call($node, 0, "^on_start $role\$");
		my ($call) = calls($node, 'on_start');

		is_deeply($call->{argv},
			[ $odd, 'two words', 'on_start', $role, $cluster->{scope} ],
			'each word as it stands there');
		is($call->{PG_HA_NAME}, $node->name, 'the member');
		is($call->{PGPORT}, $node->port, 'its port');
		is($call->{PGDATA}, $node->{dir}, 'its data');
		is($call->{NOTIFY_SOCKET}, undef, 'nothing else of pg_ha_boot');
		ok($node->log_contains(qr/^said by on_start$/m), 'what it says is in the log');
	}
	ok(!-e "$base/oops", 'no shell has seen them');
	return;
}

sub check_restart
{
	my ($standby) = $cluster->standbys;
	my $from = calls($standby);
	my $leaders = calls($leader);

	$leader->safe_psql("SELECT pg_ha_reload('$standby->{name}')");
	wait_for_call($standby, $from, '^on_reload replica$');
	$leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')");
	wait_for_call($standby, $from,
		'^on_reload replica, before_stop replica, on_restart replica$');
	$standby->safe_psql("SELECT pg_ha_restart('$leader->{name}')");
	wait_for_call($leader, $leaders, '^before_stop primary, on_restart primary$');
	is(calls($_, 'on_stop'), 0, 'and no more: ' . $_->name) foreach $cluster->nodes;
	return;
}

# Meanwhile the lease is renewed, and commits are acknowledged.
sub check_hanging
{
	my $undo = order('hang', 'on_reload', $leader);
	my $offset = $leader->log_size;
	my $term = $leader->status('term');
	my $before = $cluster->etcd_version('pg_ha/heartbeat');
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(20);
	kill 'HUP', $leader->boot_pid;
	HaCluster::wait_until('it hangs', sub { scalar calls($leader, 'on_reload') });
	my ($call) = calls($leader, 'on_reload');
	HaCluster::wait_until(
		'it is ended',
		sub {
			$leader->log_contains(
				qr/callback "on_reload" has not ended within callback_timeout \(4000 ms\)/,
				$offset);
		});
	cmp_ok($cluster->etcd_version('pg_ha/heartbeat') - $before,
		'>=', 3, 'the lease was proven all the while');
	is_gone($call);
	$writer->wait_for_acks(20, since => HaCluster::now());
	my $verdict = $cluster->check_history($writer);
	cmp_ok($verdict->{outage}, '<', 1.5, 'nobody had to wait');
	is($leader->status('term'), $term, 'the same reign');
	$undo->();
	return;
}

sub check_newer
{
	my ($standby) = $cluster->standbys;
	my $undo = order('hang', 'on_restart', $standby);
	my $from = calls($standby, 'on_restart');

	$standby->add_settings("pg_ha.callback_timeout = '1h'");
	$leader->safe_psql("SELECT pg_ha_reload('$standby->{name}')");
	$leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')");
	HaCluster::wait_until('it hangs', sub { calls($standby, 'on_restart') > $from });
	my $old = (calls($standby, 'on_restart'))[-1];
	ok(HaCluster::start_time($old->{pid}), 'and is not ended');
	$undo->();
	$leader->safe_psql("SELECT pg_ha_restart('$standby->{name}')");
	HaCluster::wait_until('the newer one is called',
		sub { calls($standby, 'on_restart') > $from + 1 });
	is_gone($old);
	$standby->add_settings("pg_ha.callback_timeout = '4s'");
	$leader->safe_psql("SELECT pg_ha_reload('$standby->{name}')");
	$cluster->wait_streaming(2);
	return;
}

sub check_roles
{
	my ($new) = $cluster->standbys;
	my $from = calls($new);
	my $leaders = calls($leader);

	$new->safe_psql("SELECT pg_ha_switchover('$new->{name}')");
	wait_for_call($new, $from, '^pre_promote replica, on_role_change primary$');
	wait_for_call($leader, $leaders, '^on_stop primary, on_role_change replica$');
	$leader = $cluster->wait_for_leader;
	is($leader, $new, 'it leads');
	$cluster->wait_streaming(2);
	return;
}

# It had the key and was not promoted; another member leads, with all that was
# acknowledged.
sub check_refusal
{
	my ($what, $how) = @_;
	my ($target) = $cluster->standbys;
	my $undo = order($what, 'pre_promote', $target);
	my $from = calls($target);
	my $offset = $target->log_size;
	my $writer = $cluster->start_writer;

	$writer->wait_for_acks(20);
	$target->psql("SELECT pg_ha_switchover('$target->{name}', wait => false)");
	wait_for_call($target, $from, 'pre_promote replica');
	if ($what eq 'hang')
	{
		is($target->safe_psql('SELECT pg_is_in_recovery()'), 't', 'not promoted yet');
		is($cluster->etcd_get('leader'), $target->name, 'though it has the key');
		ok(!$cluster->leader, 'and nobody leads');
	}
	HaCluster::wait_until(
		'the promotion is given up',
		sub {
			$target->log_contains(qr/callback "pre_promote".*$how/, $offset)
			  && $target->log_contains(
				qr/this server is not promoted: pre_promote failed/, $offset);
		});
	my $new = $cluster->wait_for_leader(other_than => $target);
	$writer->wait_for_acks(20, since => HaCluster::now());
	isnt($new, $target, 'another member leads: ' . $new->name);
	unlike(told($target, $from), qr/primary/, 'the target was never a primary');
	is_gone((calls($target, 'pre_promote'))[-1]) if $what eq 'hang';
	$undo->();
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'no acknowledged row is lost');
	is($verdict->{dual_ms}, 0, 'and none was acknowledged by two');
	$leader = $cluster->wait_for_leader;
	return;
}

# The server lives and leads until before_stop has ended; pg_ha_boot waits for on_stop.
sub check_before_stop
{
	my $undo = order('hang', 'before_stop', $leader);
	my $from = calls($leader);
	my $offset = $leader->log_size;
	my $term = $leader->status('term');

	kill 'TERM', $leader->boot_pid;
	wait_for_call($leader, $from, '^before_stop primary$');
	my $before = $cluster->etcd_version('pg_ha/heartbeat');
	is($leader->safe_psql('CREATE TABLE still_leads(); SELECT 1'),
		1, 'commits are acknowledged meanwhile');
	HaCluster::wait_until('and the lease is renewed',
		sub { $cluster->etcd_version('pg_ha/heartbeat') > $before });
	is($leader->status('term'), $term, 'in the same reign');
	HaCluster::wait_until('the stop begins',
		sub { $leader->log_contains(qr/stopping the server: pg_ha_boot was told to stop/, $offset) });
	ok( $leader->log_contains(
			qr/callback "before_stop" has not ended.*stopping the server/s, $offset),
		'when before_stop has been ended');
	$leader->wait_for_exit;
	is(told($leader, $from), 'before_stop primary, on_stop primary',
		'on_stop was called, and has ended');
	$undo->();
	my $new = $cluster->wait_for_leader(other_than => $leader);
	isnt($new, $leader, 'another leads');
	return;
}

sub wait_for_request
{
	my ($seen_on, $member, $state) = @_;

	HaCluster::wait_until(
		"restart of $member->{name}: $state",
		sub {
			$seen_on->safe_psql(
				"SELECT kind, state FROM pg_ha_requests() WHERE member = '$member->{name}'")
			  eq "restart|$state";
		});
	return;
}

# Begin a restart that before_stop keeps waiting; how to end that.
sub hang_restart
{
	my ($node, $terms) = @_;
	my $undo = order('hang', 'before_stop', $node);
	my $from = calls($node, 'before_stop');

	$node->apply_settings("pg_ha.callback_timeout = '1h'");
	$node->psql("SELECT pg_ha_restart('$node->{name}', $terms)");
	HaCluster::wait_until('before_stop hangs',
		sub { calls($node, 'before_stop') > $from });
	$undo->();
	my $call = (calls($node, 'before_stop'))[-1];
	return sub { kill 'KILL', $call->{pid}; };
}

# A switchover meanwhile: neither does the old leader hold the key for its restart, nor
# is the new one restarted, which was to be as a standby only.  And what is taken back.
sub check_off
{
	$cluster->wait_streaming(1);
	my $old = $cluster->wait_for_leader;
	my ($new) = grep { $_->is_running } $cluster->standbys;
	my $pid = $new->postmaster_pid;
	my $offset = $old->log_size;
	my $end_new = hang_restart($new, q{role => 'standby', timeout => 1});
	my $end_old = hang_restart($old, q{timeout => 1});

	$new->safe_psql("SELECT pg_ha_switchover('$new->{name}')");
	is($cluster->wait_for_leader, $new, 'it leads');
	wait_for_request($new, $old, 'failed');
	$end_new->();
	wait_for_request($new, $new, 'failed');
	ok($new->log_contains(qr/the server is not restarted: it is no standby/), 'says why');
	$cluster->wait_streaming(1);
	is(() = slurp_file($old->{log}, $offset) =~ /stopping the server/g,
		1, 'the old leader was stopped once');

	my $end = hang_restart($new, q{at => now() + interval '1 s'});
	$new->safe_psql("SELECT pg_ha_cancel_restart('$new->{name}')");
	$end->();
	wait_for_request($new, $new, 'failed');
	ok($new->log_contains(qr/the server is not restarted: the request was withdrawn/),
		'taken back');
	is($new->postmaster_pid, $pid, 'the new leader was never restarted');
	$end_old->();
	return;
}

sub check_away
{
	my $old = $cluster->wait_for_leader;
	my ($standby) = grep { $_->is_running } $cluster->standbys;
	my $from = calls($standby, 'pre_promote');
	my $offset = $standby->log_size;

	$standby->kill9($standby->boot_pid);
	$old->kill9($old->boot_pid, $old->postmaster_pid);
	HaCluster::wait_until('it waits',
		sub { $standby->log_contains(qr/waiting for pre_promote before the promotion/, $offset) });
	is($standby->safe_psql('SELECT pg_is_in_recovery()'), 't', 'not promoted unasked');
	$standby->start;
	is($cluster->wait_for_leader(other_than => $old), $standby, 'promoted');
	is(calls($standby, 'pre_promote'), $from + 1, 'and asked before');
	ok($standby->log_contains(qr/running callback: pre_promote.*promoted/s, $offset), 'in this order');
	return;
}

# In another process group no signal reaches it, as if it waited for a disk for ever.
sub check_stuck
{
	my $node = $cluster->wait_for_leader;
	my $offset = $node->log_size;

	order('flee', 'before_stop', $node);
	$node->apply_settings("pg_ha.callback_timeout = '1s'");
	kill 'TERM', $node->boot_pid;
	$node->wait_for_exit;
	ok( $node->log_contains(
			qr/callback "before_stop" can't be killed.*stopping the server: pg_ha_boot was told to stop/s,
			$offset),
		'the stop began without it');
	is(kill('KILL', (calls($node, 'before_stop'))[-1]{pid}), 1, 'it is there all the time');
	return;
}

sub check_faults
{
	my $node = $leader;
	my @faults = (
		[ "pg_ha.on_start = 'x.sh'",         qr/"pg_ha.on_start" does not begin with an absolute path: "x.sh"/ ],
		[ "pg_ha.on_stop = '/bin/a | b'",    qr/"pg_ha.on_stop": command contains shell syntax "\|"/ ],
		[ "pg_ha.pre_promote = '/bin/a \"b'", qr/"pg_ha.pre_promote": command contains a quote that is not closed/ ],
		[ "pg_ha.callback_timeout = 'soon'", qr/"pg_ha.callback_timeout" is no such time: "soon"/ ],
		[ "pg_ha.callback_timeout = '0'",    qr/"pg_ha.callback_timeout" is no such time: "0"/ ]);

	$node->add_settings(join "\n", map { $_->[0] } @faults[ 0 .. 3 ]);
	my ($code, $said) = $node->boot('check');
	like($said, $_->[1], $_->[0]) foreach @faults[ 0 .. 3 ];
	$node->add_settings($faults[4][0]);
	($code, $said) = $node->boot('check');
	like($said, $faults[4][1], $faults[4][0]);
	return;
}
