
=pod

=head1 NAME

HaRecorded - the states and questions in which Patroni's HTTP and ours are compared

=head1 SYNOPSIS

  my $records = HaRecorded::run($cluster);	# of Patroni's nodes, or of ours

=head1 DESCRIPTION

test/record_patroni asks a cluster that Patroni runs and keeps what it says in
test/recorded; t/112_as_patroni.pl asks one of ours.  Both have three members: n1
leads, n2 is a plain standby, and n3 has tags.  Who has something done gives a password.
They are brought into one state after the other by what the table here says, which knows
nothing of either system but HTTP, the servers and etcd.

What is of the machine or the moment (ports, times, positions) is replaced by a mark
of its form, so that what remains must be equal.

=cut

package HaRecorded;

use strict;
use warnings FATAL => 'all';

use HaCluster;
use JSON::PP;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;

use constant {
	TRUE => JSON::PP::true,
	USER => 'ha',
	PASSWORD => 'secret',
};

my @health = qw(/ /primary /master /leader /read-write /replica /read-only /sync
  /synchronous /quorum /async /asynchronous /read-only-sync /read-only-synchronous
  /read-only-quorum /standby-leader /standby_leader /health /liveness /readiness
  /patroni /nothing);
my @all = qw(n1 n2 n3);
my $later = 'tomorrow';		# a time, when it is asked

=head1 FUNCTIONS

=over

=item config()

What both clusters are configured with, besides the times; both systems know each of
these settings.

=cut

sub config
{
	return {
		maximum_lag_on_failover => 1048576,
		postgresql => {
			use_pg_rewind => TRUE,
			use_slots => TRUE,
			parameters => { work_mem => '3MB' },
		},
	};
}

=item tags()

Those of n3.

=cut

sub tags
{
	return { nofailover => TRUE, noloadbalance => TRUE, nosync => TRUE, zone => 'east' };
}

=item slow_clone(cluster)

A program by which members are to be cloned first: it waits until the file "go" is there,
and fails.  Returns its path; the file is there at first.

=cut

sub slow_clone
{
	my ($cluster) = @_;
	my $program = "$cluster->{base}/slow_clone";

	append_to_file($program,
		"#!/bin/sh\nwhile [ ! -e $cluster->{base}/go ]; do sleep 0.05; done\nexit 1\n");
	chmod 0755, $program;
	append_to_file("$cluster->{base}/go", '');
	return $program;
}

# The same question to several members; a question is [member, method, path, body, user],
# where '' is nobody, and who may is the default.
sub _each
{
	my ($members, @questions) = @_;

	return map { my $member = $_; map { [ $member, @$_ ] } @questions } @$members;
}

sub _get { return map { [ 'GET', $_ ] } @_; }

# Where a switchover or a restart is asked for and is not to happen.
sub _wishes
{
	return map { [ 'n1', 'POST', '/switchover', $_ ] } @_;
}

=back

=cut

# The states, in their order.  One is entered by questions, too ("enter"), or by a sub;
# "until" and "then" are [member, path, what is to be seen there], each of which is waited
# for, before and after that.  A number is a status, a sub is given the JSON.
my @states = (
	{
		name => 'running',
		until => [
			map({ [ $_, '/readiness', 200 ] } @all),
			[ 'n1', '/patroni', sub { @{ $_[0]{replication} // [] } == 2 } ],
			[ 'n1', '/cluster', \&_all_stream ],
			map({ [ $_, '/patroni', sub { $_[0]{xlog}{replayed_timestamp} } ] } qw(n2 n3)),
		],
		ask => [
			_each(\@all, _get(@health)),
			_each([ 'n1', 'n2' ], _get('/cluster', '/history', '/config', '/failsafe', '/metrics')),
			_each(
				[ 'n1', 'n2' ],
				map({ [ 'HEAD', $_ ] } qw(/primary /replica /liveness /cluster)),
				map({ [ 'OPTIONS', $_ ] } qw(/primary /replica /health /metrics))),
			_each(
				[ 'n2', 'n3' ],
				_get(qw(/replica?lag=1GB /replica?lag=nonsense /replica?unknown=1
					  /replica?replication_state=streaming /replica?tag_zone=east
					  /async?lag=10MB /read-only?lag=1GB /read-only?tag_zone=east
					  /async?tag_zone=west /health?tag_zone=east /readiness?lag=1GB
					  /readiness?lag=1GB&mode=write /readiness?mode=apply))),
			_each(['n1'], _get(qw(/primary?tag_zone=a /leader?lag=0 /read-write?tag_zone=a
					  /standby-leader?tag_zone=a /read-only?tag_zone=a))),
		],
	},
	{
		name => 'requests that are broken',
		ask => [
			_each(
				['n1'],
				map({ my $path = $_; map { [ @$_[0], $path, $$_[1] ] } ([ 'POST', '{"leader":' ],
							[ 'POST', '[]' ], [ 'POST', '' ]) } qw(/switchover /failover)),
				[ 'PATCH', '/config', '{"ttl":' ], [ 'PATCH', '/config', '[]' ],
				[ 'PATCH', '/config', '' ], [ 'PUT', '/config', 'nonsense' ],
				[ 'POST', '/restart', '{"role":' ], [ 'POST', '/restart', '[]' ],
				map({ [ $_, '/patroni' ] } qw(POST PUT PATCH DELETE)),
				[ 'DELETE', '/config' ], [ 'PUT', '/switchover', '{}' ],
				[ 'POST', '/nothing', '{}' ], [ 'POST', '/cluster', '{}' ], [ 'BREW', '/' ]),
		],
	},
	{
		name => 'refusals',
		ask => [
			_wishes(
				{ candidate => 'n2' },
				{ leader => 'n2', candidate => 'n1' },
				{ leader => 'n1', candidate => 'n1' },
				{ leader => 'n1', candidate => 'n9' },
				{ leader => 'n1', candidate => 'n3' },
				{ leader => 'n1', candidate => 'n2', scheduled_at => '2099-01-01T00:00:00' },
				{ leader => 'n1', candidate => 'n2', scheduled_at => '2001-01-01T00:00:00+00:00' },
				{ leader => 'n1', candidate => 'n2', scheduled_at => 'nonsense' }),
			map({ [ 'n1', 'POST', '/failover', $_ ] } ({ leader => undef },
					{ candidate => 'n9' }, { candidate => 'n3' },
					{ candidate => 'n2', scheduled_at => $later },
					{ leader => 'n2', candidate => 'n1' })),
			_each(
				['n1'],
				[ 'DELETE', '/switchover' ], [ 'DELETE', '/restart' ],
				map({ [ 'POST', '/restart', $_ ] } (
						{ role => 'replica' }, { role => 'nonsense' },
						{ restart_pending => TRUE }, { postgres_version => '9.5.0' },
						{ postgres_version => 'nonsense' }, { timeout => 0 },
						{ timeout => 'nonsense' }, { unknown => 1 },
						{ schedule => '2099-01-01T00:00:00' },
						{ schedule => '2001-01-01T00:00:00+00:00' },
						{ schedule => 'nonsense' })),
				[ 'POST', '/reinitialize', {} ], [ 'POST', '/failsafe', { name => 'n1' } ]),
			[ 'n2', 'POST', '/restart', { role => 'primary' } ],
			[ 'n2', 'POST', '/restart', { role => 'standby_leader' } ],
		],
	},
	{
		name => 'a password is wanted',
		ask => [
			map({ [ 'n3', 'POST', '/reload', undef, $_ ] } ('', 'nobody', USER)),
			[ 'n3', 'PATCH', '/config', {}, '' ],
			[ 'n3', 'DELETE', '/switchover', undef, '' ],
			[ 'n3', 'GET', '/config', undef, '' ],
		],
	},
	{
		name => 'configured',
		ask => [
			[ 'n2', 'PATCH', '/config', { postgresql => { parameters => { work_mem => '5MB' } } } ],
			[ 'n1', 'GET', '/config' ],
			[ 'n2', 'PATCH', '/config', { mine => { of => [ 1, 'two' ] } } ],
			[ 'n2', 'PATCH', '/config', { mine => undef } ],
			[ 'n1', 'PATCH', '/config', { postgresql => { parameters => { work_mem => '3MB' } } } ],
		],
	},
	{
		name => 'a restart is pending',
		enter => [
			[ 'n1', 'PATCH', '/config', { postgresql => { parameters => { max_files_per_process => 900 } } } ],
		],
		then => [
			map({ [ $_, '/patroni', sub { $_[0]{pending_restart} } ] } 'n1', 'n2'),
			[ 'n1', '/cluster', sub { !grep { !$_->{pending_restart} } @{ $_[0]{members} } } ],
		],
		ask => [
			_each([ 'n1', 'n2' ], _get('/patroni', '/cluster', '/metrics')),
			[ 'n2', 'POST', '/restart', { restart_pending => TRUE, role => 'primary' } ],
			[ 'n1', 'POST', '/restart', { restart_pending => TRUE, role => 'primary', timeout => 60 } ],
		],
	},
	{
		name => 'no restart is pending there any more',
		until => [
			[ 'n1', '/primary', 200 ],
			[ 'n1', '/cluster', \&_all_stream ],
			[ 'n1', '/cluster', sub { !$_[0]{members}[0]{pending_restart} } ],
			[ 'n1', '/patroni', sub { !$_[0]{pending_restart} } ],
		],
		ask => [
			[ 'n1', 'GET', '/patroni' ],
			[ 'n2', 'POST', '/restart', {} ],
			[ 'n3', 'POST', '/restart', { restart_pending => TRUE } ],
		],
	},
	{
		name => 'a restart is scheduled',
		until => [
			[ 'n1', '/cluster', \&_all_stream ],
			[ 'n2', '/patroni', sub { $_[0]{state} eq 'running' && !$_[0]{pending_restart} } ],
		],
		enter => [
			[ 'n2', 'POST', '/restart',
				{
					schedule => $later,
					restart_pending => TRUE,
					role => 'replica',
					postgres_version => '99.0',
					timeout => 30,
				} ],
		],
		then => [
			[ 'n2', '/patroni', sub { $_[0]{scheduled_restart} } ],
			[ 'n1', '/cluster', sub { $_[0]{members}[1]{scheduled_restart} } ],
		],
		ask => [
			[ 'n2', 'GET', '/patroni' ],
			_each([ 'n1', 'n2' ], _get('/cluster')),
			[ 'n2', 'POST', '/restart', { schedule => $later } ],
			[ 'n2', 'DELETE', '/restart' ],
			[ 'n2', 'DELETE', '/restart' ],
		],
	},
	{
		name => 'a switchover is scheduled',
		enter => [
			[ 'n1', 'POST', '/switchover', { leader => 'n1', candidate => 'n2', scheduled_at => $later } ],
		],
		ask => [
			[ 'n1', 'GET', '/cluster' ],
			[ 'n2', 'DELETE', '/switchover' ],
			[ 'n2', 'DELETE', '/switchover' ],
			[ 'n2', 'POST', '/switchover', { leader => 'n1', candidate => undef, scheduled_at => $later } ],
			[ 'n2', 'GET', '/cluster' ],
			[ 'n1', 'DELETE', '/switchover' ],
		],
	},
	{
		name => 'synchronous',
		enter => [ [ 'n1', 'PATCH', '/config', { synchronous_mode => TRUE } ] ],
		then => [
			[ 'n2', '/sync', 200 ],
			[ 'n1', '/cluster', sub { $_[0]{members}[1]{role} eq 'sync_standby' && _all_stream($_[0]) } ],
			[ 'n1', '/patroni', sub { grep { $_->{sync_state} eq 'sync' } @{ $_[0]{replication} // [] } } ],
		],
		ask => [
			_each(\@all, _get(@health)),
			_each([ 'n1', 'n2' ], _get('/cluster', '/metrics')),
			_wishes({ leader => 'n1', candidate => 'n3' }, { leader => 'n1', candidate => 'n9' }),
		],
	},
	{
		name => 'quorum',
		enter => [ [ 'n1', 'PATCH', '/config', { synchronous_mode => 'quorum' } ] ],
		then => [
			[ 'n2', '/quorum', 200 ],
			[ 'n1', '/cluster', sub { $_[0]{members}[1]{role} eq 'quorum_standby' && _all_stream($_[0]) } ],
		],
		ask => [
			_each(\@all, _get(@health)),
			_each([ 'n1', 'n2' ], _get('/cluster', '/metrics')),
		],
	},
	{
		name => 'asynchronous again',
		enter => [ [ 'n1', 'PATCH', '/config', { synchronous_mode => undef } ] ],
		then => [
			[ 'n2', '/async', 200 ],
			[ 'n1', '/patroni', sub { !grep { $_->{sync_state} ne 'async' } @{ $_[0]{replication} // [ {} ] } } ],
		],
		ask => [],
	},
	{
		name => 'paused',
		enter => [ [ 'n1', 'PATCH', '/config', { pause => TRUE } ] ],
		then => [
			map({ [ $_, '/patroni', sub { $_[0]{pause} } ] } @all),
			[ 'n1', '/cluster', \&_all_stream ],
		],
		ask => [
			_each(\@all, _get(@health)),
			_each([ 'n1', 'n2' ], _get('/cluster', '/metrics')),
			_wishes(
				{ leader => 'n1' },
				{ leader => 'n1', candidate => 'n2', scheduled_at => $later }),
			[ 'n2', 'POST', '/restart', { schedule => $later } ],
		],
	},
	{
		name => 'resumed',
		enter => [ [ 'n1', 'PATCH', '/config', { pause => undef } ] ],
		then => [
			map({ [ $_, '/patroni', sub { !$_[0]{pause} } ] } @all),
			[ 'n1', '/cluster', \&_all_stream ],
			[ 'n1', '/patroni', sub { @{ $_[0]{replication} // [] } == 2 } ],
		],
		ask => [
			_each(['n2'], _get('/patroni', '/replica')),
		],
	},
	{
		name => 'switched over',
		ask => [
			[ 'n1', 'POST', '/switchover', { leader => 'n1', candidate => 'n2' } ],
		],
		then => [ ],
	},
	{
		name => 'failed over by hand',
		until => [
			[ 'n2', '/primary', 200 ],
			[ 'n2', '/cluster', sub { _all_stream($_[0], 'n2') } ],
			[ 'n2', '/history', sub { @{ $_[0] } && @{ $_[0][-1] } == 5 } ],
		],
		ask => [
			_each([ 'n1', 'n2' ], _get('/history', '/patroni', '/cluster')),
			[ 'n1', 'POST', '/failover', { candidate => 'n1' } ],
		],
	},
	{
		name => 'to be made anew',
		until => [
			[ 'n1', '/primary', 200 ],
			[ 'n1', '/cluster', \&_all_stream ],
		],
		enter => sub { my ($cluster) = @_; unlink "$cluster->{base}/go" },
		ask => [
			[ 'n1', 'POST', '/reinitialize', {} ],
			[ 'n2', 'POST', '/reinitialize', {} ],
		],
	},
	{
		name => 'a replica is being created',
		until => [
			[ 'n2', '/patroni', sub { $_[0]{state} eq 'creating replica' } ],
			[ 'n1', '/cluster', sub { $_[0]{members}[1]{state} eq 'creating replica' } ],
			[ 'n1', '/patroni', sub { @{ $_[0]{replication} // [] } == 1 } ],
		],
		ask => [
			_each(['n2'], _get(@health, '/cluster', '/history', '/config', '/failsafe', '/metrics')),
			[ 'n1', 'GET', '/cluster' ],
			[ 'n2', 'HEAD', '/replica' ],
			[ 'n2', 'POST', '/reinitialize', {} ],
			[ 'n2', 'POST', '/restart', {} ],
			_wishes({ leader => 'n1', candidate => 'n2' }),
		],
	},
	{
		name => 'it is there',
		enter => sub { my ($cluster) = @_; append_to_file("$cluster->{base}/go", '') },
		then => [
			[ 'n1', '/cluster', \&_all_stream ],
			[ 'n2', '/patroni', sub { $_[0]{state} eq 'running' && $_[0]{replication_state} } ],
		],
		ask => [
			[ 'n2', 'GET', '/patroni' ],
			[ 'n2', 'POST', '/reload', {} ],
			[ 'n2', 'POST', '/sigterm', {} ],
			[ 'n2', 'POST', '/citus', {} ],
			[ 'n2', 'POST', '/mpp', {} ],
		],
	},
	{
		name => 'alone',
		until => [ [ 'n1', '/cluster', \&_all_stream ] ],
		enter => sub { my ($cluster) = @_; $cluster->node($_)->stop foreach qw(n2 n3) },
		then => [
			[ 'n1', '/cluster', sub { @{ $_[0]{members} } == 1 } ],
			[ 'n1', '/patroni', sub { !$_[0]{replication} } ],
		],
		ask => [
			_each(['n1'], _get('/patroni', '/cluster')),
			_wishes({ leader => 'n1' }),
		],
	},
	{
		name => 'failsafe',
		enter => sub {
			my ($cluster) = @_;
			$cluster->node($_)->start foreach qw(n2 n3);
			_patch($cluster, { failsafe_mode => TRUE });
		},
		then => [
			[ 'n1', '/cluster', \&_all_stream ],
			[ 'n1', '/failsafe', sub { keys %{ $_[0] } == 3 } ],
			map({ [ $_, '/failsafe', sub { keys %{ $_[0] } == 3 } ] } 'n1', 'n2'),
		],
		ask => [
			_each([ 'n1', 'n2' ], _get('/failsafe', '/metrics')),
			[ 'n1', 'POST', '/failsafe', { name => 'n1' } ],
			[ 'n2', 'POST', '/failsafe', '{"name":' ],
			[ 'n2', 'POST', '/failsafe', 
				{
					name => 'n1',
					conn_url => 'postgres://127.0.0.1:1/postgres',
					api_url => 'http://127.0.0.1:1/patroni',
				} ],
			[ 'n2', 'GET', '/patroni' ],
		],
	},
	{
		name => 'failsafe, and etcd is away',
		enter => sub { my ($cluster) = @_; $cluster->etcd_kill },
		then => [
			[ 'n1', '/patroni', sub { $_[0]{failsafe_mode_is_active} && $_[0]{role} eq 'primary' } ],
			[ 'n2', '/patroni', sub { $_[0]{failsafe_mode_is_active} } ],
			map({ [ $_, '/patroni', sub { $_[0]{cluster_unlocked} } ] } 'n1', 'n2'),
		],
		ask => [
			_each([ 'n1', 'n2' ], _get(qw(/ /primary /leader /replica /read-only /sync
						  /async /health /liveness /patroni /metrics))),
		],
	},
	{
		name => 'etcd is away',
		enter => sub {
			my ($cluster) = @_;
			$cluster->etcd_start;
			HaCluster::wait_until('etcd is back', sub {
					!_ask($cluster, [ 'n1', 'GET', '/patroni' ])->{answer}{failsafe_mode_is_active} });
			_patch($cluster, { failsafe_mode => undef });
			_wait_for($cluster, [ 'n1', '/cluster', \&_all_stream ]);
			HaCluster::wait_until('the mode is off', sub {
					_ask($cluster, [ 'n2', 'POST', '/failsafe', { name => 'n1' } ])->{status} == 502 });
			_wait_for($cluster, [ $_, '/patroni', sub { !$_[0]{failsafe_mode_is_active} } ]) foreach @all;
			$cluster->etcd_kill;
		},
		then => [
			[ 'n1', '/primary', 503 ],
			[ 'n1', '/patroni', sub { $_[0]{role} eq 'replica' && $_[0]{state} eq 'running' } ],
			map({ [ $_, '/patroni', sub { $_[0]{cluster_unlocked} } ] } 'n1', 'n2'),
		],
		ask => [
			_each([ 'n1', 'n2' ], _get(qw(/ /primary /leader /replica /read-only /sync
						  /async /health /liveness /readiness /patroni /cluster /history
						  /config /failsafe /metrics))),
			_wishes({ leader => 'n1', candidate => 'n2' }),
			[ 'n1', 'DELETE', '/switchover' ],
			[ 'n1', 'PATCH', '/config', { ttl => 30 } ],
		],
	},
);

sub _all_stream
{
	my ($json, $leader) = @_;
	my @members = @{ $json->{members} // [] };

	$leader //= 'n1';
	return @members == 3 && !grep {
		my $leads = $_->{name} eq $leader;
		$_->{state} ne ($leads ? 'running' : 'streaming') || ($_->{role} eq 'leader') != $leads
	} @members;
}

# ---------------------------------------------------------------------------
# Asking
# ---------------------------------------------------------------------------

sub _headers
{
	my ($user) = @_;

	$user //= USER;
	return {} if $user eq '';
	return { Authorization => 'Basic ' . MIME::Base64::encode_base64("$user:" . PASSWORD, '') };
}

sub _timely
{
	my ($body) = @_;

	return $body unless ref $body;
	my $tomorrow = strftime('%Y-%m-%dT%H:%M:%S+00:00', gmtime(time + 86400));
	return { map { $_ => ($body->{$_} // '') eq $later ? $tomorrow : $body->{$_} } keys %$body };
}

# Put a question; the answer with what it was.
sub _ask
{
	my ($cluster, $question) = @_;
	my ($name, $method, $path, $body, $user) = @$question;
	my ($status, $text, $headers) = $cluster->node($name)->http($method, $path, _timely($body),
		timeout => 120, headers => _headers($user));
	my ($type) = ($headers->{'content-type'} // '') =~ m{^([a-z]+/[a-z]+)};
	my %record = (member => $name, method => $method, path => $path, status => 0 + $status);

	$record{body} = $body if defined $body;
	$record{user} = $user if defined $user;
	$record{type} = $type if defined $type && $text ne '';
	$record{$_} = $headers->{$_} foreach grep { defined $headers->{$_} } qw(www-authenticate lsn);
	$record{answer} = _answer($path, $type // '', $text) if $text ne '';
	if ($status == 599)
	{
		delete @record{ 'answer', 'type' };
		$record{status} = 0;	# none
	}
	return \%record;
}

# Others may be writing, or nobody lead yet.
sub _patch
{
	my ($cluster, $change) = @_;

	HaCluster::wait_until('the configuration is changed',
		sub { _ask($cluster, [ 'n1', 'PATCH', '/config', $change ])->{status} == 200 });
	return;
}

sub _answer
{
	my ($path, $type, $text) = @_;

	return decode_json($text) if $type eq 'application/json';
	return _metrics($text) if $path eq '/metrics';
	return 'a page' if $text =~ /^\s*</;
	return $text;
}

sub _metrics
{
	my ($text) = @_;
	my %metric;

	foreach (split /\n/, $text)
	{
		$metric{$1}{type} = $2 if /^# TYPE (\w+) (\w+)$/;
		next unless /^(\w+)\{([^}]*)\} (\S+)$/;
		my ($name, $labels, $value) = ($1, $2, $3);
		$metric{$name}{labels} = [ $labels =~ /(\w+)=/g ];
		$metric{$name}{value} = 0 + $value;
	}
	return \%metric;
}

sub _wait_for
{
	my ($cluster, $condition) = @_;
	my ($name, $path, $wanted) = @$condition;
	my $last;

	return if eval {
		HaCluster::wait_until("$path of $name is as wanted", sub {
				$last = _ask($cluster, [ $name, 'GET', $path ]);
				return $last->{status} == $wanted if !ref $wanted;
				return $last->{status} == 200 && $wanted->($last->{answer});
			});
		1;
	};
	die $@ . JSON::PP->new->canonical->encode($last);
}

=over

=item run(cluster, tell)

Bring the cluster into each state and ask; all that was answered, in the form that is
recorded.  "tell" is called with the name of each state.

=cut

sub run
{
	my ($cluster, $tell) = @_;
	my @records;

	foreach my $state (@states)
	{
		$tell->($state->{name});
		_wait_for($cluster, $_) foreach @{ $state->{until} // [] };
		my $enter = $state->{enter} // [];
		if (ref $enter eq 'CODE')
		{
			$enter->($cluster);
		}
		else
		{
			push @records, _record($cluster, $state, $_) foreach @$enter;
		}
		_wait_for($cluster, $_) foreach @{ $state->{then} // [] };
		push @records, _record($cluster, $state, $_) foreach @{ $state->{ask} };
	}
	return \@records;
}

sub _record
{
	my ($cluster, $state, $question) = @_;
	my $record = _ask($cluster, $question);

	$record->{state} = $state->{name};
	$record->{answer} = normalise($record->{answer}, $record->{path}) if exists $record->{answer};
	$record->{lsn} = 'N' if exists $record->{lsn};
	return $record;
}

# ---------------------------------------------------------------------------
# What is of the machine or the moment
# ---------------------------------------------------------------------------

# Numbers whose value tells nothing.
my %number = map { $_ => 1 } qw(port timeline lag receive_lag replay_lag location
  received_location replayed_location server_version dcs_last_seen ttl loop_wait
  retry_timeout);
my %metric = map { +"patroni_$_" => 1 } qw(version postmaster_start_time xlog_location
  xlog_received_location xlog_replayed_location xlog_replayed_timestamp
  postgres_server_version postgres_timeline dcs_last_seen);

=item normalise(answer)

=cut

sub normalise
{
	my ($value, $key) = @_;

	if (ref $value eq 'HASH')
	{
		$value->{value} = 1 if defined $key && $metric{$key};
		my %fields = map { $_ => normalise($value->{$_}, $_) } keys %$value;

		delete $fields{replication} if ref $fields{replication} && !@{ $fields{replication} };
		return \%fields;
	}
	if (ref $value eq 'ARRAY')
	{
		my @elements = map { normalise($_) } @$value;

		$_->[1] = 1 foreach defined $key && $key eq '/history' ? @elements : ();
		@elements = _standbys(@elements) if defined $key && $key eq 'replication';
		return \@elements;
	}
	return 'null or a time' if defined $key && $key eq 'replayed_timestamp' && !ref $value;
	return $value if ref $value || !defined $value;
	return _mark($value, $key // '') if kind($value) eq 'string';
	return defined $key && $number{$key} ? 1 : $value;
}

=item as_text(records), of_text(text)

One answer a line, so that a difference is easy to read.  What was answered before stands
there once: "as" is the number of the question, from 0.

=cut

sub as_text
{
	my ($records) = @_;
	my $json = JSON::PP->new->canonical;
	my (%first, @lines);

	foreach my $i (0 .. $#$records)
	{
		my %record = %{ $records->[$i] };

		if (ref $record{answer})
		{
			my $first = $first{ $json->encode($record{answer}) } //= $i;
			$record{as} = $first if $first != $i;
			delete $record{answer} if $first != $i;
		}
		push @lines, $json->encode(\%record);
	}
	return "[\n" . join(",\n", @lines) . "\n]";
}

sub of_text
{
	my $records = decode_json($_[0]);

	foreach my $record (grep { defined $_->{as} } @$records)
	{
		$record->{answer} = $records->[ delete $record->{as} ]{answer};
	}
	return $records;
}

=item kind(value)

The type that it has in JSON.

=cut

sub kind
{
	my ($value) = @_;

	return !defined $value ? 'null' : JSON::PP::is_bool($value) ? 'boolean'
	  : ref $value ? lc ref $value
	  : JSON::PP->new->allow_nonref->encode($value) =~ /^"/ ? 'string' : 'number';
}

# Without the connections of a moment: of a base backup, or of Patroni itself
sub _standbys
{
	my @standbys = grep { $_->{application_name} =~ /^n\d$/ } @_;

	return sort { $a->{application_name} cmp $b->{application_name} } @standbys;
}

sub _mark
{
	my ($text, $key) = @_;

	return 'YYYY-MM-DD HH:MM:SS.ffffff+00:00' if $text =~ /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00$/;
	return 'YYYY-MM-DDTHH:MM:SS+00:00' if $text =~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00$/;
	return 'VERSION' if $key eq 'version';
	return 'N' if $key eq 'database_system_identifier' && $text =~ /^\d+$/;
	return 'X/X' if $text =~ m{^[0-9A-F]+/[0-9A-F]+$};
	$text =~ s{127\.0\.0\.1:\d+}{127.0.0.1:PORT}g if $text =~ m{^https?://};
	return $text;
}

=back

=cut

1;
