
=pod

=head1 NAME

HaCluster - a cluster of real nodes over a real etcd, and faults to inject

=head1 SYNOPSIS

  my $cluster = HaCluster->new(nodes => 3, config => { ttl => 3 });
  $cluster->start_all;
  my $leader = $cluster->wait_for_leader;
  $cluster->wait_streaming(2);
  my $writer = $cluster->start_writer;
  $writer->wait_for_acks(100);
  $leader->kill_node;
  ...
  my $verdict = $cluster->check_history($writer);

=head1 DESCRIPTION

Every node is run by pg_ha_boot as a service manager would run it, with a node
file of its own, and reaches etcd through a wire of its own (tcp_proxy.pl) that
can be cut.  Everything is on the loopback interface, on ports locked for this
process.  Nothing here sleeps to let something happen: waits are on conditions,
with one generous limit.

What goes wrong kills the test with a message and leaves the logs.  At the end
every process that this module started, and their descendants, are ended.

=cut

package HaCluster;

use strict;
use warnings FATAL => 'all';

use Carp;
use Fcntl qw(:flock :mode);
use File::Basename;
use File::Path qw(make_path);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 ();
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep clock_gettime);

use constant CLOCK_BOOTTIME => 7;

our @clusters;

my $here = dirname(__FILE__);
my @port_locks;
my $ports_tried = 0;
my $count = 0;

=pod

=head1 FUNCTIONS

=over

=item now()

CLOCK_BOOTTIME in seconds: the clock of pg_ha and of the writer's log.

=cut

sub now
{
	return clock_gettime(CLOCK_BOOTTIME);
}

=item wait_until(what, sub, limit)

Call sub until it returns something true, and return that.  Dies after "limit"
seconds (default: PG_TEST_TIMEOUT_DEFAULT), saying "what" did not happen.

=cut

sub wait_until
{
	my ($what, $condition, $limit) = @_;
	my $end = now() + ($limit // $PostgreSQL::Test::Utils::timeout_default);

	while (1)
	{
		my $result = $condition->();
		return $result if $result;
		croak "timed out waiting until $what" if now() > $end;
		usleep(30_000);
	}
	return;
}

=item get_free_port()

A TCP port on 127.0.0.1 below the ephemeral range.  It is locked against other
tests for as long as this process lives, since the kernel drops a lock with its
holder, however that ended.

=cut

sub get_free_port
{
	my $dir = $ENV{PG_HA_PORT_DIR} // "/tmp/pg_ha_ports.$>";
	make_path($dir);

	for (1 .. 1000)
	{
		my $port = 20000 + ($$ * 97 + ++$ports_tried * 131) % 10000;
		open my $lock, '>>', "$dir/$port" or next;
		next unless flock($lock, LOCK_EX | LOCK_NB);
		my $probe = IO::Socket::INET->new(
			LocalAddr => '127.0.0.1',
			LocalPort => $port,
			Proto => 'tcp',
			Listen => 1) or next;
		close $probe;
		push @port_locks, $lock;
		return $port;
	}
	croak 'found no free port';
}

=item start_time(pid), is_alive(pid, start_time)

A process is named by its pid and start time: pids come again.

=cut

sub start_time
{
	my ($pid) = @_;

	open my $fh, '<', "/proc/$pid/stat" or return 0;
	my $stat = <$fh>;
	close $fh;
	return 0 unless defined $stat;
	$stat =~ s/^.*\) //s;
	my @fields = split ' ', $stat;
	return 0 if $fields[0] eq 'Z' || $fields[0] eq 'X';
	return $fields[19];
}

sub is_alive
{
	my ($pid, $start) = @_;
	my $found = $pid ? start_time($pid) : 0;

	return $found && (!$start || $found == $start) ? 1 : 0;
}

=item process_tree(pids)

The processes and all their descendants, as { pid => start_time }.

=cut

sub process_tree
{
	my @pids = @_;
	my (%parent_of, %tree);

	foreach my $path (glob '/proc/[0-9]*')
	{
		my ($pid) = $path =~ /(\d+)$/;
		open my $fh, '<', "$path/stat" or next;
		my $stat = <$fh> // '';
		close $fh;
		push @{ $parent_of{$1} }, $pid if $stat =~ /\) [A-Za-z] (\d+)/;
	}
	while (defined(my $pid = shift @pids))
	{
		next if exists $tree{$pid};
		my $start = start_time($pid) or next;
		$tree{$pid} = $start;
		push @pids, @{ $parent_of{$pid} // [] };
	}
	return \%tree;
}

sub command_line
{
	my ($pid) = @_;

	open my $fh, '<', "/proc/$pid/cmdline" or return '';
	local $/ = undef;
	my $line = <$fh> // '';
	close $fh;
	$line =~ s/\0+/ /g;
	$line =~ s/\s+$//;
	return $line;
}

# Run a program in the background with its output in a file.  The child has
# none of our descriptors (port locks are close-on-exec) and default signals.
sub spawn
{
	my ($log, @command) = @_;

	append_to_file($log, '');
	my $pid = fork() // croak "could not fork: $!";

	if ($pid == 0)
	{
		$SIG{PIPE} = 'DEFAULT';
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		{
			no warnings 'exec';
			exec { $command[0] } @command;
		}
		print STDERR "could not execute $command[0]: $!\n";
		POSIX::_exit(127);
	}
	return $pid;
}

# Give a file that content, and no other.
sub rewrite
{
	my ($path, $content) = @_;

	open my $fh, '>', $path or croak "could not write $path: $!";
	print $fh $content;
	close $fh or croak "could not write $path: $!";
	return;
}

# Has this child of ours ended?  Reaps it.
sub has_ended
{
	my ($pid) = @_;

	return 1 unless $pid;
	return waitpid($pid, WNOHANG) != 0;
}

sub capture
{
	my ($limit, @command) = @_;
	my ($out, $err) = ('', '');
	my $rc;

	my $done = eval {
		IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err,
			IPC::Run::timeout($limit));
		$rc = $?;
		1;
	};
	if (!$done)
	{
		$rc = -1;
		$err .= $@;
	}
	chomp($out, $err);
	return ($rc, $out, $err);
}

=back

=head1 METHODS OF A CLUSTER

=over

=item HaCluster->new(nodes => 3, etcd => 1, config => {...}, settings => '...',
bin_dir => ..., faults => 0, etcd_args => [...], wire => 'tcp_proxy.pl',
machine => ..., etcd_hosts => [...], scope => 'test1')

Lay out a cluster: etcd is started and holds the configuration, the nodes are
not started.  "config" is merged over ttl 3, loop_wait 1, retry_timeout 1;
With "faults" the disks of nodes can break (see break_disk).
"settings" are lines for every node file, "bin_dir" is where pg_ha_boot finds the
server's programs, if not where it was built for.  "etcd_args" go to every etcd;
"wire" is the program between a node and etcd, which takes the same arguments as
tcp_proxy.pl.  With a "machine" (HaRoot.pm) etcd and each node are on a
host of their own, named "etcd" and as the node, and there are no wires: the network
itself can be cut.  "etcd_hosts" names another host for each member of etcd.

=cut

sub new
{
	my ($class, %args) = @_;
	my $n = ++$count;
	my $base = "$PostgreSQL::Test::Utils::tmp_check/t_"
	  . basename($0, '.pl') . "_$n";
	my $self = bless {
		scope => $args{scope} // "test$n",
		base => $base,
		sockets => PostgreSQL::Test::Utils::tempdir_short(),
		log_prefix => $PostgreSQL::Test::Utils::log_path . '/'
		  . basename($0, '.pl')
		  . "_$n",
		settings => $args{settings} // '',
		bin_dir => $args{bin_dir},
		faults => $args{faults} // 0,
		etcd_args => $args{etcd_args} // [],
		wire => $args{wire} // 'tcp_proxy.pl',
		machine => $args{machine},
		owner => $$,
		etcds => [],
		nodes => [],
		proxies => [],
		writers => 0,
	}, $class;

	# What an earlier run of the same test left behind.
	File::Path::rmtree($base);
	unlink glob "$self->{log_prefix}_*";

	make_path($base);
	push @clusters, $self;

	my $members = $args{etcd} // 1;
	$self->_lay_out_etcd($args{etcd_hosts} // [ ('etcd') x $members ]);
	$self->etcd_start;
	$self->configure(
		{
			ttl => 3,
			loop_wait => 1,
			retry_timeout => 1,
			%{ $args{config} // {} },
		});
	$self->_add_node("n$_") foreach 1 .. ($args{nodes} // 3);
	return $self;
}

=item configure(hash)

Merge into the cluster's configuration as an operator would, through etcd.

=cut

sub configure
{
	my ($self, $change) = @_;

	$self->{config} = { %{ $self->{config} // {} }, %$change };
	$self->etcd_put('config', JSON::PP->new->canonical->encode($self->{config}));
	return;
}

sub ttl
{
	my ($self) = @_;
	return $self->{config}{ttl};
}

# Where a host is reached, and what a command line that runs there begins with
sub _address
{
	my ($self, $host) = @_;
	return $self->{machine} ? $self->{machine}->address($host) : '127.0.0.1';
}

sub _enter
{
	my ($self, $host) = @_;
	return $self->{machine} ? $self->{machine}->enter($host) : ();
}

sub nodes
{
	my ($self) = @_;
	return @{ $self->{nodes} };
}

sub node
{
	my ($self, $name) = @_;
	my ($node) = grep { $_->name eq $name } $self->nodes;
	return $node // croak "there is no node \"$name\"";
}

sub _add_node
{
	my ($self, $name) = @_;
	push @{ $self->{nodes} }, HaCluster::Node->new($self, $name);
	return;
}

=item start_all(names)

Start pg_ha_boot of all nodes (in the order of "names", if given).

=cut

sub start_all
{
	my ($self, @names) = @_;

	$_->start foreach @names ? map { $self->node($_) } @names : $self->nodes;
	return;
}

sub stop_all
{
	my ($self) = @_;

	my ($leader) = grep { $_->rest('/leader') == 200 } $self->nodes;
	$_->stop foreach grep { !$leader || $_ != $leader } $self->nodes;
	$leader->stop if $leader;
	return;
}

=item leader()

The node that answers as leader over HTTP now, or undef.

=cut

sub leader
{
	my ($self) = @_;

	foreach my $node ($self->nodes)
	{
		return $node if $node->is_running && $node->rest('/leader') == 200;
	}
	return;
}

=item wait_for_leader(other_than => node)

Wait for a node that answers as leader and commits a transaction; the first time
that also creates the extension and the writer's table.  Returns the node.

=cut

sub wait_for_leader
{
	my ($self, %args) = @_;
	my $other = $args{other_than};
	my $leader = wait_until(
		'a leader is there and writes'
		  . ($other ? ' (other than ' . $other->name . ')' : ''),
		sub {
			my $node = $self->leader or return;
			return if $other && $node == $other;
			my ($rc) = $node->psql('SELECT pg_current_xact_id()', timeout => 3);
			return $rc == 0 ? $node : undef;
		});

	if (!$self->{prepared})
	{
		$leader->safe_psql('CREATE EXTENSION IF NOT EXISTS pg_ha;'
			  . ' CREATE TABLE IF NOT EXISTS acked (client int, n bigint);'
			  . ' CREATE INDEX IF NOT EXISTS acked_key ON acked (client, n)');
		$self->{prepared} = 1;
	}
	return $leader;
}

=item start_led_by(name)

Start that node, and the others when it leads; wait until they stream.  Returns it.

=cut

sub start_led_by
{
	my ($self, $name) = @_;
	my @others = grep { $_->name ne $name } $self->nodes;

	$self->node($name)->start;
	my $leader = $self->wait_for_leader;
	$_->start foreach @others;
	$self->wait_streaming(scalar @others);
	return $leader;
}

=item wait_until_leads(name)

Wait until that node's gate is open, which is a moment after the store knows that it
leads, and check that no other one answers as leader.

=cut

sub wait_until_leads
{
	my ($self, $name) = @_;

	wait_until("$name leads", sub { $self->node($name)->rest('/primary') == 200 });
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($self->leader->name, $name, "$name leads");
	return;
}

=item standbys()

The running nodes other than the leader.

=cut

sub standbys
{
	my ($self) = @_;
	my $leader = $self->leader;

	return grep { $_->is_running && (!$leader || $_ != $leader) } $self->nodes;
}

=item wait_streaming(n)

Wait until n standbys stream from the leader, on its timeline, have all it has flushed
now, which is all that they can get, and are known to run, so that they may be
candidates.  In a synchronous mode also until the leader waits for one of them and says
so in /sync, so that it may be elected.  Returns how many seconds that took.

=cut

sub wait_streaming
{
	my ($self, $n) = @_;
	my $sync = $self->{config}{synchronous_mode} ? 1 : 0;
	my $begin = now();

	wait_until(
		"$n standbys stream",
		sub {
			my $leader = $self->leader or return;
			my ($rc, $out) = $leader->psql(
				q{SELECT count(*) FILTER (WHERE state = 'streaming'),
						 count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
						 pg_current_wal_flush_lsn(),
						 substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
						 (SELECT count(*) FROM pg_ha_members()
						  WHERE state = 'running' AND NOT is_leader)
				  FROM pg_stat_replication
				  WHERE application_name <> 'pg_basebackup'},
				timeout => 5);
			return if $rc != 0;
			my ($streaming, $synchronous, $lsn, $timeline, $known) =
			  split /\|/, $out;
			return if $streaming != $n || $known < $n;
			return if $sync && !($synchronous && $self->sync_standbys($leader));

			my @others = grep { $_ != $leader && $_->is_running } $self->nodes;
			my $caught_up = grep {
				my ($rc2, $ok) = $_->psql(
					"SELECT received_tli = x'$timeline'::int
							AND pg_last_wal_replay_lsn() >= '$lsn'
					 FROM pg_stat_wal_receiver WHERE status = 'streaming'",
					timeout => 5);
				$rc2 == 0 && $ok eq 't';
			} @others;
			return $caught_up == $n;
		});
	return now() - $begin;
}

=item sync_standbys(leader)

The names in /sync, if it is that leader's.

=cut

sub sync_standbys
{
	my ($self, $leader) = @_;
	my $value = $self->etcd_get('sync') // return;
	my $sync = eval { JSON::PP::decode_json($value) } // return;

	return if ($sync->{leader} // '') ne $leader->name;
	return split /,/, $sync->{sync_standby} // '';
}

=item end()

End all processes of this cluster, which is not needed any more.

=cut

sub end
{
	my ($self) = @_;

	$_->stop foreach @{ $self->{running_writers} // [] };
	$self->_end_all;
	$_->{pid} = 0 foreach @{ $self->{etcds} }, @{ $self->{proxies} };
	$_->{boot_pid} = 0 foreach $self->nodes;
	return;
}

=item start_plain(bin, dir, options...), stop_plain(server)

A server that no pg_ha_boot runs, as if somebody had started it by hand; options are the
postmaster's.

=cut

sub start_plain
{
	my ($self, $bin, $dir, @options) = @_;
	my $port = HaCluster::get_free_port();
	my $server = {
		port => $port,
		pid => HaCluster::spawn("$self->{log_prefix}_plain.log",
			"$bin/postgres", '-D', $dir, '-p', $port,
			'-c', "unix_socket_directories=$self->{sockets}", @options)
	};

	push @{ $self->{proxies} }, $server;	# ended with the cluster
	HaCluster::wait_until('the plain server is ready',
		sub { -e "$dir/postmaster.pid" && slurp_file("$dir/postmaster.pid") =~ /^ready/m });
	return $server;
}

sub stop_plain
{
	my ($self, $server) = @_;

	kill 'INT', $server->{pid};
	waitpid $server->{pid}, 0;
	$server->{pid} = 0;
	return;
}

# ---------------------------------------------------------------------------
# etcd
# ---------------------------------------------------------------------------

sub _lay_out_etcd
{
	my ($self, $hosts) = @_;
	my @members = map {
		{
			name => "e$_",
			host => $hosts->[ $_ - 1 ],
			address => $self->_address($hosts->[ $_ - 1 ]),
			port => get_free_port(),
			peer => get_free_port(),
			dir => "$self->{base}/etcd$_",
			log => "$self->{log_prefix}_etcd$_.log",
			pid => 0,
		}
	} 1 .. @$hosts;
	my $list = join ',',
	  map { "$_->{name}=http://$_->{address}:$_->{peer}" } @members;

	foreach my $member (@members)
	{
		my $url = "http://$member->{address}:$member->{port}";
		my $peer = "http://$member->{address}:$member->{peer}";
		$member->{command} = [
			$self->_enter($member->{host}),
			'etcd',
			'--name' => $member->{name},
			'--data-dir' => $member->{dir},
			'--listen-client-urls' => $url,
			'--advertise-client-urls' => $url,
			'--listen-peer-urls' => $peer,
			'--initial-advertise-peer-urls' => $peer,
			'--initial-cluster' => $list,
			'--initial-cluster-token' => "$self->{scope}-$$",
			'--initial-cluster-state' => 'new',
			'--log-level' => 'warn',
			@{ $self->{etcd_args} },
		];
	}
	$self->{etcds} = \@members;
	return;
}

sub _etcds
{
	my ($self, @which) = @_;
	return @which ? map { $self->{etcds}[ $_ - 1 ] } @which
	  : @{ $self->{etcds} };
}

=item etcd_start(numbers), etcd_stop, etcd_kill, etcd_pause, etcd_resume

All members, or those numbered from 1.  Starting waits until etcd answers if a
majority can.

=cut

sub etcd_start
{
	my ($self, @which) = @_;

	foreach my $member ($self->_etcds(@which))
	{
		next if $member->{pid};
		$member->{pid} = spawn($member->{log}, @{ $member->{command} });
		$member->{start} = start_time($member->{pid});
	}
	my $running = grep { $_->{pid} } $self->_etcds;
	return if 2 * $running <= $self->_etcds;
	wait_until('etcd answers',
		sub { ($self->etcdctl('get', '/none', '--command-timeout=1s'))[0] == 0 }
	);
	return;
}

sub _etcd_end
{
	my ($self, $signal, @which) = @_;

	foreach my $member ($self->_etcds(@which))
	{
		next unless $member->{pid};
		kill $signal, $member->{pid};
		kill 'CONT', $member->{pid};
		waitpid $member->{pid}, 0;
		$member->{pid} = 0;
	}
	return;
}

sub etcd_stop
{
	my ($self, @which) = @_;
	return $self->_etcd_end('TERM', @which);
}

sub etcd_kill
{
	my ($self, @which) = @_;
	return $self->_etcd_end('KILL', @which);
}

sub etcd_pause
{
	my ($self, @which) = @_;
	kill 'STOP', map { $_->{pid} || () } $self->_etcds(@which);
	return;
}

sub etcd_resume
{
	my ($self, @which) = @_;
	kill 'CONT', map { $_->{pid} || () } $self->_etcds(@which);
	return;
}

=item etcdctl(arguments), etcdctl_at(number, arguments)

etcdctl against all members, or that one.  Returns (status, output, errors).

=cut

sub etcdctl
{
	my ($self, @args) = @_;
	return $self->_etcdctl([ $self->_etcds ], @args);
}

sub etcdctl_at
{
	my ($self, $number, @args) = @_;
	return $self->_etcdctl([ $self->_etcds($number) ], @args);
}

# Who may do everything, once etcd has authentication switched on.
sub etcd_user
{
	my ($self, $user_and_password) = @_;
	$self->{etcd_user} = $user_and_password;
	return;
}

sub _etcdctl
{
	my ($self, $members, @args) = @_;
	my $endpoints = join ',',
	  map { "http://$_->{address}:$_->{port}" } @$members;
	my @user = $self->{etcd_user} ? ("--user=$self->{etcd_user}") : ();

	local $ENV{ETCDCTL_API} = '3';
	return capture(30, 'etcdctl', "--endpoints=$endpoints", @user, @args);
}

=item etcd_leader(), etcd_lead(number)

The number of the member that leads etcd, 0 if none does; make that one lead.

=cut

sub etcd_leader
{
	my ($self) = @_;

	foreach my $number (1 .. $self->_etcds)
	{
		my ($member) = $self->_etcds($number);
		next unless $member->{pid};
		my ($rc, $out) = $self->etcdctl_at($number, 'endpoint', 'status', '-w',
			'json', '--command-timeout=1s');
		next if $rc != 0;
		my $status = eval { JSON::PP::decode_json($out)->[0]{Status} } or next;
		return $number
		  if $status->{leader}
		  && $status->{leader} == $status->{header}{member_id};
	}
	return 0;
}

sub etcd_lead
{
	my ($self, $number) = @_;
	my ($rc, $out, $err) = $self->etcdctl_at($number, 'endpoint', 'status',
		'-w', 'json');
	croak "etcd $number does not answer: $err" if $rc != 0;
	my $id = sprintf '%x',
	  JSON::PP::decode_json($out)->[0]{Status}{header}{member_id};

	wait_until(
		"etcd $number leads etcd",
		sub {
			my $leader = $self->etcd_leader or return;
			return 1 if $leader == $number;
			$self->etcdctl_at($leader, 'move-leader', $id);
			return;
		});
	return;
}

=item etcd_pid(number)

=cut

sub etcd_pid
{
	my ($self, $number) = @_;
	return ($self->_etcds($number))[0]{pid};
}

=item key(name)

A key's full name; all methods below take names relative to the cluster.

=cut

sub key
{
	my ($self, $name) = @_;
	return "/service/$self->{scope}/$name";
}

sub etcd_put
{
	my ($self, $name, $value) = @_;
	my ($rc, $out, $err) = $self->etcdctl('put', $self->key($name), $value);
	croak "could not put $name: $err" if $rc != 0;
	return;
}

sub etcd_delete
{
	my ($self, $name) = @_;
	my ($rc, $out, $err) = $self->etcdctl('del', $self->key($name));
	croak "could not delete $name: $err" if $rc != 0;
	return;
}

# undef if the key does not exist.
sub etcd_get
{
	my ($self, $name) = @_;
	my ($rc, $out, $err) = $self->etcdctl('get', $self->key($name), '-w',
		'json');
	croak "could not get $name: $err" if $rc != 0;
	my $kvs = JSON::PP::decode_json($out)->{kvs} or return;
	return MIME::Base64::decode_base64($kvs->[0]{value} // '');
}

=item etcd_version(name)

How often that key has been written since it was created; 0 if it is not there.

=cut

sub etcd_version
{
	my ($self, $name) = @_;
	my ($rc, $out, $err) = $self->etcdctl('get', $self->key($name), '-w',
		'json');
	croak "could not get $name: $err" if $rc != 0;
	my $kvs = JSON::PP::decode_json($out)->{kvs} or return 0;
	return $kvs->[0]{version};
}

=item etcd_events(name)

Everything that ever happened to a key, oldest first, as [PUT or DELETE, value].

=cut

sub etcd_events
{
	my ($self, $name) = @_;

	return map { [ $_->[0], $_->[2] ] }
	  grep { $_->[1] eq $name } $self->etcd_history;
}

=item etcd_history()

Everything that ever happened to any key of the cluster, oldest first, as [PUT or
DELETE, name, value].

=cut

sub etcd_history
{
	my ($self) = @_;
	my $log = "$self->{base}/watch." . ++$self->{watches};
	my $mark = $self->key("watch_end.$self->{watches}");
	my ($rc, $out, $err) = $self->etcdctl('put', $mark, '');
	croak "could not put a mark: $err" if $rc != 0;

	# Watch the whole cluster: when the mark is seen, all before it was.
	my ($etcd) = $self->_etcds;
	my $endpoint = "http://$etcd->{address}:$etcd->{port}";
	my $pid;
	{
		local $ENV{ETCDCTL_API} = '3';
		$pid = spawn($log, 'etcdctl', "--endpoints=$endpoint", 'watch',
			'--prefix', '--rev=1', '-w', 'fields', $self->key(''));
	}
	wait_until('the watch has seen all',
		sub { slurp_file($log) =~ /"Key" : "\Q$mark\E"/ });
	kill 'TERM', $pid;
	waitpid $pid, 0;

	my @events;
	my $json = JSON::PP->new->allow_nonref;
	my $text = slurp_file($log);
	while ($text =~
		/"Type" : (\w+)\n"Key" : "([^"]*)"\n(?:"\w+" : \d+\n)*"Value" : (".*")\n/g
	  )
	{
		my ($type, $key, $value) = ($1, $2, $3);
		next if $key !~ s/^\Q${\$self->key('')}\E//;
		push @events, [ $type, $key, $json->decode($value) ]
		  if $key !~ /^watch_end\./;
	}
	return @events;
}

=item cut_from_etcd(node, mode, numbers), heal(node)

Cut a node's wires to etcd, or those to some of its members: "refuse" resets what
is open and refuses what is new, "blackhole" lets everything hang.  tcp_proxy.pl has all modes.

=cut

sub cut_from_etcd
{
	my ($self, $node, $mode, @which) = @_;
	$node->_set_wires($mode // 'refuse', @which);
	return;
}

sub heal
{
	my ($self, $node) = @_;
	$node->_set_wires('open');
	return;
}

# ---------------------------------------------------------------------------
# The writer and the judgement of its log
# ---------------------------------------------------------------------------

=item start_writer(clients => 4, modes => 'simple', patience => 500, pause => 2,
retry => 5, roam => 0, readers => 0, on => node, through => connstr)

Start test/writer against all nodes, against one, or through a proxy.  Its clients have numbers
that no other writer of this cluster has.  "roam" lets every
other client move on to the next node after so many milliseconds: without, nobody
would notice a second primary while the first goes on.  "readers" beside them read through
sessions with pg_ha.fence = 'all' on any node that answers such a session, so a
read that misses what was acknowledged before is a broken promise.

=cut

sub start_writer
{
	my ($self, %args) = @_;
	my $clients = $args{clients} // 4;
	my $first = 1 + 100 * $self->{writers}++;
	my $log = "$self->{log_prefix}_writer$self->{writers}";
	my @nodes = $args{on} ? ($args{on}) : $self->nodes;

	my $pid = spawn(
		"$log.out", _writer_program(),
		'-o' => "$log.log",
		'-c' => $clients,
		'-b' => $first,
		'-m' => $args{modes} // 'simple',
		'-p' => $args{patience} // 500,
		'-d' => $args{pause} // 2,
		'-r' => $args{retry} // 5,
		'-w' => $args{roam} // 0,
		'-R' => $args{readers} // 0,
		'-x' => 'application_name=reader target_session_attrs=any'
		  . " options='-c pg_ha.fence=all -c pg_ha.fence_wait=0'",
		map { "$_ application_name=writer target_session_attrs=read-write" }
		  $args{through} // map { $_->connstr } @nodes);
	my $writer = bless {
		pid => $pid,
		log => "$log.log",
		out => "$log.out",
		first => $first,
		clients => $clients,
	}, 'HaCluster::Writer';
	push @{ $self->{running_writers} }, $writer;
	return $writer;
}

sub _writer_program
{
	my $program = "$here/../test/writer";
	croak 'test/writer is not built: run "make test/writer"'
	  unless -x $program;
	return $program;
}

=item check_history(writer, frozen_backends => 0, lossy => 0)

Stop the writer and let test/history compare what it was told with what the leader
has.  Returns the verdict, whose numbers are explained there:

  ok          no promise is broken; with "lossy", lost rows break none
  acks, failed, unknown, lost, phantoms, duplicates, late, reads, stale, dual_ms
  overlaps    acknowledgements that one reign gave after a later one had begun to, as
              texts; must be empty
  split       timelines on which two nodes acknowledged, as texts
  outage      longest time without any acknowledgement, seconds
  timelines   "TIMELINE:PORT,..."
  line        all of it in one line

=cut

sub check_history
{
	my ($self, $writer, %args) = @_;
	my $rows = "$writer->{log}.rows";

	$writer->stop;
	$self->dump_rows($writer, $rows);
	my ($rc, $out, $err) = capture(
		300, $^X, "$here/../test/history",
		($args{lossy} ? '--lossy' : ()),
		'--frozen' => $args{frozen_backends} // 0,
		'--rows' => $rows,
		$writer->{log});
	croak "could not judge the history: $err" unless $out =~ /^(verdict=.*)\z/m;

	note $out;
	my $verdict = { line => $1, map { split /=/ } split / /, $1 };
	$verdict->{ok} = $verdict->{verdict} eq 'ok';
	$verdict->{outage} = $verdict->{outage_ms} / 1000;
	$verdict->{$_} = [ $out =~ /^\Q$_\E: (.*)$/mg ] foreach qw(overlaps split);
	return $verdict;
}

=item record_row(row => n, mode => 'async', verdict => verdict, rejoin => seconds)

Write down for bench/fault_table how a row of the fault matrix went: one line in
$HA_ROWS (tmp_rows.tsv in the top of the tree, which outlives the run).  To be called
after the last assertion of the round, since a failed one marks the line.  "verdict" is
check_history()'s, or a hash with those of its numbers that were measured; "rejoin" is
the time from the end of the fault until all nodes were in place.

=cut

my @row_columns = qw(acks failed unknown lost phantoms duplicates dual_ms late reads
  stale outage_ms);

sub record_row
{
	my ($self, %args) = @_;
	my $verdict = $args{verdict} // {};
	my $file = $ENV{HA_ROWS} // "$here/../tmp_rows.tsv";

	open my $fh, '>>', $file or croak "could not open $file: $!";
	flock $fh, LOCK_EX;
	print $fh join("\t",
		"row=$args{row}",
		'test=' . basename($0, '.pl'),
		'mode=' . ($args{mode} // 'async'),
		'seed=' . ($ENV{HA_SEED} // '-'),
		'result=' . (Test::More->builder->is_passing ? 'ok' : 'failed'),
		'rejoin_ms='
		  . (defined $args{rejoin} ? int(1000 * $args{rejoin}) : '-'),
		map { "$_=" . ($verdict->{$_} // '-') } @row_columns),
	  "\n";
	close $fh;
	return;
}

=item dump_rows(writer, file)

Write the rows of that writer's clients that the leader has to a file, for
test/history.

=cut

sub dump_rows
{
	my ($self, $writer, $file) = @_;
	my $last = $writer->{first} + $writer->{clients} - 1;

	unlink $file;
	$self->wait_for_leader->safe_psql(
		"\\copy (SELECT client || '|' || n FROM acked"
		  . " WHERE client BETWEEN $writer->{first} AND $last) TO '$file'",
		timeout => 300);
	return;
}

# ---------------------------------------------------------------------------
# The end
# ---------------------------------------------------------------------------

=item dump_logs()

Print the ends of all logs of this cluster into the test's log.

=cut

sub dump_logs
{
	my ($self) = @_;

	foreach my $log (glob "$self->{log_prefix}_*")
	{
		next if $log =~ /_writer\d+\.log$/;
		my @lines = split /\n/, slurp_file($log);
		splice @lines, 0, @lines - 60 if @lines > 60;
		print "---- $log\n", map { "$_\n" } @lines;
	}
	return;
}

# End all processes of this cluster: those we started and their descendants.
# First pg_ha_boot, which would start a server again; then the servers, who shall
# remove their shared memory; then whatever is left.
sub _end_all
{
	my ($self) = @_;
	my @postmasters = grep { $_ } map { $_->postmaster_pid } $self->nodes;
	my @boots = grep { $_ } map { $_->{boot_pid} } $self->nodes;
	my $tree = process_tree(
		grep { $_ } @boots,
		@postmasters,
		(map { keys %{ $_->{frozen} // {} } } $self->nodes),
		(map { $_->{pid} } @{ $self->{etcds} }, @{ $self->{proxies} }));
	my $alive = sub { return grep { is_alive($_, $tree->{$_}) } @_ };

	kill 'KILL', $alive->(@boots);
	kill 'CONT', $alive->(keys %$tree);
	kill 'QUIT', $alive->(@postmasters);
	eval {
		wait_until('the servers have ended', sub { !$alive->(@postmasters) }, 6);
	};
	kill 'KILL', $alive->(keys %$tree);
	eval {
		wait_until(
			'all processes have ended',
			sub {
				1 while waitpid(-1, WNOHANG) > 0;
				return !$alive->(keys %$tree);
			},
			10);
	};
	return;
}

END
{
	my $status = $?;

	foreach my $cluster (@clusters)
	{
		next if $cluster->{owner} != $$;
		my $failed = $status != 0 || !Test::More->builder->is_passing;
		eval { $cluster->dump_logs } if $failed;
		$_->_kill foreach @{ $cluster->{running_writers} // [] };
		$cluster->_end_all;
		if (!$failed && !$ENV{PG_TEST_NOCLEAN})
		{
			File::Path::rmtree($cluster->{base});
		}
	}
	$? = $status;
}

=back

=head1 METHODS OF A NODE

=over

=cut

package HaCluster::Node;

use strict;
use warnings FATAL => 'all';

use Carp;
use Cwd ();
use PostgreSQL::Test::Utils;
use Test::More;

sub new
{
	my ($class, $cluster, $name) = @_;
	my $self = bless {
		cluster => $cluster,
		name => $name,
		dir => "$cluster->{base}/$name",
		file => "$cluster->{base}/$name.conf",
		log => "$cluster->{log_prefix}_$name.log",
		port => HaCluster::get_free_port(),
		rest_port => HaCluster::get_free_port(),
		address => $cluster->_address($name),
		boot_pid => 0,
		wires => [],
		environment => {},
	}, $class;

	$self->_lay_wires unless $cluster->{machine};
	$self->_write_files;
	return $self;
}

sub name { my ($self) = @_; return $self->{name}; }
sub port { my ($self) = @_; return $self->{port}; }

sub _lay_wires
{
	my ($self) = @_;
	my $cluster = $self->{cluster};

	foreach my $etcd (@{ $cluster->{etcds} })
	{
		my $wire = {
			port => HaCluster::get_free_port(),
			mode_file => "$cluster->{base}/$self->{name}_$etcd->{name}.mode",
			log => "$cluster->{log_prefix}_$self->{name}_$etcd->{name}.proxy",
		};
		append_to_file($wire->{mode_file}, "open\n");
		$wire->{pid} = HaCluster::spawn($wire->{log}, $^X,
			"$here/$cluster->{wire}", $wire->{port}, $etcd->{port},
			$wire->{mode_file});
		push @{ $self->{wires} }, $wire;
		push @{ $cluster->{proxies} }, $wire;
	}
	foreach my $wire (@{ $self->{wires} })
	{
		HaCluster::wait_until('the proxy listens',
			sub { slurp_file($wire->{log}) =~ /^open$/m });
	}
	return;
}

sub _set_wires
{
	my ($self, $mode, @which) = @_;
	my @wires = @{ $self->{wires} };

	@wires = map { $wires[ $_ - 1 ] } @which if @which;
	foreach my $wire (@wires)
	{
		my $before = () = slurp_file($wire->{log}) =~ /^\w+$/mg;

		open my $fh, '>', $wire->{mode_file} or croak "could not cut: $!";
		print $fh "$mode\n";
		close $fh;
		kill 'HUP', $wire->{pid};
		HaCluster::wait_until(
			"the wire is in mode $mode",
			sub {
				my $after = () = slurp_file($wire->{log}) =~ /^\w+$/mg;
				return $after > $before;
			});
	}
	return;
}

sub _write_files
{
	my ($self) = @_;
	my $cluster = $self->{cluster};
	my $passfile = "$cluster->{base}/$self->{name}.passfile";
	my $address = $self->{address};
	my $endpoints = join ',',
	  $cluster->{machine}
	  ? map { "http://$_->{address}:$_->{port}" } $cluster->_etcds
	  : map { "http://127.0.0.1:$_->{port}" } @{ $self->{wires} };

	append_to_file($passfile, "*:*:*:*:secret\n");
	chmod 0600, $passfile or croak "could not chmod: $!";
	append_to_file($self->{file}, <<"END_OF_FILE");
pg_ha.scope = '$cluster->{scope}'
pg_ha.name = '$self->{name}'
pg_ha.etcd_endpoints = '$endpoints'
pg_ha.connect_address = '$address:$self->{port}'
pg_ha.rest_listen = '$address:$self->{rest_port}'
pg_ha.replication_passfile = '$passfile'
port = $self->{port}
listen_addresses = '$address'
unix_socket_directories = '$cluster->{sockets}'
log_line_prefix = '%m [%p] %b '
log_statement = none
max_connections = 60
max_prepared_transactions = 60
shared_buffers = 16MB
min_wal_size = 32MB
max_wal_size = 128MB
autovacuum_naptime = 1h
$cluster->{settings}
END_OF_FILE
	return;
}

=item etcd_in_use(pid)

The number of the etcd member that a process of this node has sent something to
last; 0 if it has no connection.

=cut

sub etcd_in_use
{
	my ($self, $pid) = @_;
	my ($rc, $out) = HaCluster::capture(10, 'ss', '-tinpH', 'state',
		'established');
	my %wires;
	my ($number, $least) = (0);

	$wires{ $self->{wires}[ $_ - 1 ]{port} } = $_
	  foreach 1 .. @{ $self->{wires} };
	while ($out =~ /:(\d+) +users:\(\([^\n]*pid=$pid,[^\n]*\n[^\n]*lastsnd:(\d+)/g)
	{
		next if !$wires{$1} || (defined $least && $least <= $2);
		($number, $least) = ($wires{$1}, $2);
	}
	return $number;
}

=item add_settings(lines)

Append to the node file; "HUP" to pg_ha_boot or a restart applies it.

=cut

sub add_settings
{
	my ($self, $lines) = @_;
	append_to_file($self->{file}, "$lines\n");
	return;
}

=item apply_settings(lines)

Append to the node file, and wait until pg_ha_boot has read it again.

=cut

sub apply_settings
{
	my ($self, $lines) = @_;
	my $offset = $self->log_size;

	$self->add_settings($lines);
	kill 'HUP', $self->boot_pid;
	HaCluster::wait_until("$self->{name} has read its node file",
		sub { $self->log_contains(qr/the node file was read again/, $offset) });
	return;
}

=item start(), stop(), is_running()

pg_ha_boot, as a service manager starts and stops it.

=item set_options(options)

More options for "pg_ha_boot run", from the next start on.

=cut

sub set_options
{
	my ($self, @options) = @_;
	$self->{options} = [@options];
	return;
}

=item set_programs(bin_dir)

This node has an installation of its own: pg_ha_boot, from its next start on, and the
server's programs are those in that directory.

=cut

sub set_programs
{
	my ($self, $bin_dir) = @_;
	$self->{bin_dir} = $bin_dir;
	return;
}

sub _program
{
	my ($self) = @_;
	return $self->{bin_dir} ? "$self->{bin_dir}/pg_ha_boot" : 'pg_ha_boot';
}

=item boot(command, arguments)

Run another command of pg_ha_boot for this node to its end.  Returns (exit code,
all that it said).

=cut

sub boot
{
	my ($self, $command, @arguments) = @_;
	my ($rc, $out, $err) = HaCluster::capture(
		$PostgreSQL::Test::Utils::timeout_default,
		$self->_program, $command, '-D', $self->{dir}, '-c', $self->{file},
		@arguments);

	note "pg_ha_boot $command: $rc\n$out$err";
	return ($rc >> 8, "$out$err");
}

=item set_environment(name => value, ...)

Variables for pg_ha_boot and its server, from the next start on.

=cut

sub set_environment
{
	my ($self, %variables) = @_;
	$self->{environment} = {%variables};
	return;
}

sub start
{
	my ($self) = @_;

	croak "$self->{name} runs already" if $self->is_running;
	my @command = ($self->{cluster}->_enter($self->{name}),
		$self->_program, 'run', '-D', $self->{dir},
		$self->{patroni_config} ? "--patroni-config=$self->{patroni_config}"
		: ('-c', $self->{file}));
	my $bin_dir = $self->{bin_dir} // $self->{cluster}->{bin_dir};

	push @command, '-b', $bin_dir if $bin_dir;
	push @command, @{ $self->{options} // [] };

	local $ENV{HA_FAULTS} = "$self->{cluster}{base}/$self->{name}.faults";
	local $ENV{LD_PRELOAD} = Cwd::realpath("$here/../test/faultlib.so")
	  if $self->{cluster}{faults};
	local @ENV{ keys %{ $self->{environment} } } =
	  values %{ $self->{environment} };
	$self->{boot_pid} = HaCluster::spawn($self->{log}, @command);
	$self->{boot_start} = HaCluster::start_time($self->{boot_pid});
	return;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{boot_pid};
	kill 'TERM', $self->{boot_pid};
	HaCluster::wait_until("pg_ha_boot of $self->{name} has ended",
		sub { HaCluster::has_ended($self->{boot_pid}) });
	$self->{boot_pid} = 0;
	return;
}

=item wait_for_exit()

Wait until pg_ha_boot ends by itself, and return its exit code.

=cut

sub wait_for_exit
{
	my ($self) = @_;
	my $status;

	HaCluster::wait_until(
		"pg_ha_boot of $self->{name} ends by itself",
		sub {
			return if waitpid($self->{boot_pid}, POSIX::WNOHANG()) != $self->{boot_pid};
			$status = $?;
			return 1;
		});
	$self->{boot_pid} = 0;
	return $status & 0xff ? "signal $status" : $status >> 8;
}

sub is_running
{
	my ($self) = @_;

	return 0 unless $self->{boot_pid};
	return 1 unless HaCluster::has_ended($self->{boot_pid});
	$self->{boot_pid} = 0;
	return 0;
}

=item program_pid(program)

Of pg_ha_boot, of postgres (the postmaster), or of a program that pg_ha_boot runs; 0 if
it is not there now.

=cut

sub program_pid
{
	my ($self, $program) = @_;

	return $self->boot_pid if $program eq 'pg_ha_boot';
	return $self->postmaster_pid if $program eq 'postgres';
	my $tree = HaCluster::process_tree($self->boot_pid || return 0);
	my ($pid) = grep { HaCluster::command_line($_) =~ m{/$program } } keys %$tree;
	return $pid // 0;
}

=item break_disk(fault, path, fault, path, ...), mend_disk()

Let what is under some paths of the data directory be broken from now on, and
nothing else: "stall", "eio", "enospc" or "erofs", as test/faultlib.c has them.  In
place at once, also for processes that run.

=cut

sub break_disk
{
	my ($self, @faults) = @_;
	my $file = "$self->{cluster}{base}/$self->{name}.faults";
	my $dir = Cwd::realpath($self->{dir});

	croak 'this cluster was made without "faults"'
	  unless $self->{cluster}{faults};
	open my $fh, '>', "$file.new" or croak "could not write $file: $!";
	while (my ($fault, $path) = splice @faults, 0, 2)
	{
		print $fh "$fault $dir/$path\n";
	}
	close $fh;
	rename "$file.new", $file or croak "could not rename $file.new: $!";
	return;
}

sub mend_disk
{
	my ($self) = @_;
	unlink "$self->{cluster}{base}/$self->{name}.faults";
	return;
}

=item boot_pid(), postmaster_pid(), worker_pid(), walreceiver_pid(),
backend_pids(), writer_pids()

0 or an empty list if there is none (any more).

=cut

sub boot_pid
{
	my ($self) = @_;
	return $self->is_running ? $self->{boot_pid} : 0;
}

sub postmaster_pid
{
	my ($self) = @_;

	open my $fh, '<', "$self->{dir}/postmaster.pid" or return 0;
	my $pid = <$fh> // '';
	my $dir = <$fh> // '';
	close $fh;
	return 0 unless $pid =~ /^(\d+)$/;
	$pid = $1;
	return HaCluster::command_line($pid) =~ m{postgres} ? $pid : 0;
}

sub _children
{
	my ($self, $title) = @_;
	my $postmaster = $self->postmaster_pid or return;
	my $tree = HaCluster::process_tree($postmaster);

	# Where cluster_name is set, as Patroni does, it comes first.
	return grep { HaCluster::command_line($_) =~ /^postgres: (?:\S+: )?$title/ } keys %$tree;
}

sub worker_pid
{
	my ($self) = @_;
	my ($pid) = $self->_children(qr/pg_ha worker/);
	return $pid // 0;
}

sub walreceiver_pid
{
	my ($self) = @_;
	my ($pid) = $self->_children(qr/walreceiver/);
	return $pid // 0;
}

sub backend_pids
{
	my ($self) = @_;
	return $self->_children(qr/\S+ postgres \[local\]/);
}

sub writer_pids
{
	my ($self) = @_;
	return split /\n/, $self->safe_psql(
		"SELECT pid FROM pg_stat_activity WHERE application_name = 'writer'");
}

=item kill9(pids)

SIGKILL, and wait until they are gone.

=cut

sub kill9
{
	my ($self, @pids) = @_;
	my %start = map { $_ => HaCluster::start_time($_) } grep { $_ } @pids;

	# In this order: who dies first can't act on the others' death.
	kill 'KILL', grep { $_ } @pids;
	HaCluster::wait_until(
		'the killed processes are gone',
		sub {
			$self->is_running;
			return !grep { HaCluster::is_alive($_, $start{$_}) } keys %start;
		});
	return;
}

=item kill_node()

SIGKILL to pg_ha_boot, then to the postmaster.

=cut

sub kill_node
{
	my ($self) = @_;
	my $postmaster = $self->postmaster_pid;

	$self->kill9($self->boot_pid, $postmaster);
	return;
}

=item freeze(pids), freeze_node(), thaw()

SIGSTOP to some processes or to all of the node; SIGCONT to those stopped.

=cut

sub freeze
{
	my ($self, @pids) = @_;

	foreach my $pid (grep { $_ } @pids)
	{
		$self->{frozen}{$pid} = HaCluster::start_time($pid);
		kill 'STOP', $pid;
	}
	return;
}

sub freeze_node
{
	my ($self) = @_;
	my @roots = ($self->boot_pid, $self->postmaster_pid);

	# Parents first, and again, since they may have forked meanwhile.
	for (1 .. 3)
	{
		my $tree = HaCluster::process_tree(grep { $_ } @roots);
		$self->freeze(@roots, grep { !$self->{frozen}{$_} } keys %$tree);
	}
	return;
}

sub thaw
{
	my ($self) = @_;
	my $frozen = delete $self->{frozen} // {};

	kill 'CONT', grep { HaCluster::is_alive($_, $frozen->{$_}) } keys %$frozen;
	return;
}

=item connstr()

By Unix socket, as the user who runs the test.

=cut

sub connstr
{
	my ($self) = @_;
	return "host=$self->{cluster}{sockets} port=$self->{port} dbname=postgres";
}

=item psql(sql, timeout => 30), safe_psql(sql, ...)

psql returns (status, output, errors) and never hangs; safe_psql returns the
output and dies of any error.

=cut

sub psql
{
	my ($self, $sql, %args) = @_;
	my $limit = $args{timeout} // 30;

	local $ENV{PGCONNECT_TIMEOUT} = $limit < 2 ? 2 : $limit;
	return HaCluster::capture($limit, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
		'-v', 'VERBOSITY=verbose', '-d', $self->connstr, '-c', $sql);
}

sub safe_psql
{
	my ($self, $sql, %args) = @_;
	my ($rc, $out, $err) = $self->psql($sql, %args);

	croak "psql on $self->{name} failed: $err\nquery: $sql" if $rc != 0;
	return $out;
}

sub timeline
{
	my ($self) = @_;
	return hex $self->safe_psql(
		'SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)');
}

sub status
{
	my ($self, $column) = @_;
	return $self->safe_psql("SELECT $column FROM pg_ha_status()");
}

=item session()

A psql that stays connected; see HaCluster::Session, whose new() takes another way to the
server, too.

=cut

sub session
{
	my ($self) = @_;
	return HaCluster::Session->new($self);
}

=item rest(path)

GET; returns the status code, in list context also the body.  599 if there was
no answer.

=cut

sub rest
{
	my ($self, $path) = @_;
	my $answer = HTTP::Tiny->new(timeout => 2)
	  ->get("http://$self->{address}:$self->{rest_port}$path");

	return wantarray ? ($answer->{status}, $answer->{content})
	  : $answer->{status};
}

=item http(method, path, body, %args)

Any other request; returns (status, body, headers).  The body is text, or a structure that
is sent as JSON.  args: headers, timeout (30), host.

=cut

sub http
{
	my ($self, $method, $path, $body, %args) = @_;
	my $host = $args{host} // $self->{address};
	my $content = ref $body ? JSON::PP->new->canonical->encode($body) : $body;
	my $answer = HTTP::Tiny->new(timeout => $args{timeout} // 30)->request(
		$method,
		"http://$host:$self->{rest_port}$path",
		{
			headers => $args{headers} // {},
			defined $content ? (content => $content) : ()
		});

	return ($answer->{status}, $answer->{content} // '', $answer->{headers});
}

=item log_contains(regex, offset), log_size()

=cut

sub log_contains
{
	my ($self, $regex, $offset) = @_;
	return slurp_file($self->{log}, $offset // 0) =~ $regex;
}

sub log_size
{
	my ($self) = @_;
	return -s $self->{log} // 0;
}

=back

=head1 METHODS OF A SESSION

query(sql, timeout) returns (ok, output, errors): ok is 1, 0 after an error, and
undef if no answer came in time or the connection is gone.  send(sql) and
result(timeout) are its halves.

=cut

package HaCluster::Session;

use strict;
use warnings FATAL => 'all';

use Test::More;

sub new
{
	my ($class, $node, $connstr) = @_;
	my $self = bless { in => '', out => '', err => '', n => 0 }, $class;

	$self->{psql} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v',
			'ON_ERROR_STOP=0', '-d', $connstr // $node->connstr, '-f', '-'
		],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
	($self->{backend}) = ($self->query('SELECT pg_backend_pid()'))[1];
	return $self;
}

sub backend_pid { my ($self) = @_; return $self->{backend}; }

sub send
{
	my ($self, $sql) = @_;

	$self->{n}++;
	$self->{out} = $self->{err} = '';
	$self->{in} .= "$sql;\n\\echo end $self->{n} :SQLSTATE\n";
	eval { $self->{psql}->pump_nb };
	return;
}

sub result
{
	my ($self, $limit) = @_;
	my $end = HaCluster::now() + ($limit // 30);

	while ($self->{out} !~ /^end $self->{n} (\w+)$/m)
	{
		return (undef, $self->{out}, $self->{err})
		  if HaCluster::now() > $end;
		my $running = eval {
			$self->{psql}->pump_nb;
			$self->{psql}->pumpable;
		};
		if (!$running && $self->{out} !~ /^end $self->{n} /m)
		{
			return (undef, $self->{out}, $self->{err});
		}
		Time::HiRes::usleep(2_000);
	}
	my ($sqlstate) = $self->{out} =~ /^end $self->{n} (\w+)$/m;
	my $out = $self->{out};
	$out =~ s/\n?^end $self->{n} \w+\n//m;
	return ($sqlstate eq '00000' ? 1 : 0, $out, $self->{err});
}

sub query
{
	my ($self, $sql, $limit) = @_;

	$self->send($sql);
	return $self->result($limit);
}

sub quit
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";

	# Its server may be dead and its backend, left alone, wait for a lock that a
	# killed process held: nobody would ever close the connection.
	my $end = HaCluster::now() + 5;
	while ($self->{psql}->pumpable && HaCluster::now() < $end)
	{
		eval { $self->{psql}->pump_nb; };
		Time::HiRes::usleep(2_000);
	}
	eval { $self->{psql}->kill_kill; };
	return;
}

=head1 METHODS OF A WRITER

=over

=cut

package HaCluster::Writer;

use strict;
use warnings FATAL => 'all';

use Carp;
use PostgreSQL::Test::Utils;
use Test::More;

=item events()

All lines of the log so far as hashes: at, earliest, begun (seconds), client, id,
event, port, timeline, mode, sqlstate, line.

=cut

sub events
{
	my ($self) = @_;

	if (!$self->{fh})
	{
		open my $fh, '<', $self->{log} or return [];
		$self->{fh} = $fh;
		$self->{events} = [];
		$self->{partial} = '';
	}

	# Only what has been added since the last time
	seek $self->{fh}, 0, 1;
	while (my $line = readline $self->{fh})
	{
		$line = $self->{partial} . $line;
		$self->{partial} = '';
		if ($line !~ /\n$/)
		{
			$self->{partial} = $line;
			last;
		}
		chomp $line;
		push @{ $self->{events} }, $self->_parse($line);
	}
	return $self->{events};
}

sub _parse
{
	my ($self, $line) = @_;
	my ($at, $earliest, $client, $n, $event, $port, $timeline, $mode,
		$sqlstate) = split / /, $line;
	my $id = "$client.$n";

	$self->{begun}{$id} = $at / 1e9 if $event eq 'invoke';
	return {
		at => $at / 1e9,
		earliest => $earliest / 1e9,
		begun => $self->{begun}{$id},
		client => $client,
		id => $id,
		event => $event,
		port => $port,
		timeline => $timeline,
		mode => $mode,
		sqlstate => $sqlstate // '',
		line => $line,
	};
}

=item acks(since => time, port => port)

The acknowledgements of rows begun after "since", by one node or any.

=cut

sub acks
{
	my ($self, %args) = @_;
	my $since = $args{since} // 0;

	return grep {
			 $_->{event} eq 'ok'
		  && $_->{begun} > $since
		  && (!$args{port} || $_->{port} == $args{port})
	} @{ $self->events };
}

=item wait_for_acks(n, since => time, port => port)

=cut

sub wait_for_acks
{
	my ($self, $n, %args) = @_;

	HaCluster::wait_until(
		"the writer has $n acknowledgements",
		sub {
			croak 'the writer has ended: ' . slurp_file($self->{out})
			  if HaCluster::has_ended($self->{pid});
			return $self->acks(%args) >= $n;
		});
	return;
}

=item outage()

The longest time between two acknowledgements, in seconds.

=cut

sub outage
{
	my ($self) = @_;
	my ($longest, $last) = (0);

	foreach my $event (@{ $self->events })
	{
		next if $event->{event} ne 'ok';
		$longest = $event->{at} - $last
		  if defined $last && $event->{at} - $last > $longest;
		$last = $event->{at};
	}
	return $longest;
}

sub stop
{
	my ($self) = @_;

	return $self unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = 0;
	note 'writer: ' . slurp_file($self->{out});
	return $self;
}

sub _kill
{
	my ($self) = @_;

	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = 0;
	return;
}

=back

=cut

1;
