
=pod

=head1 NAME

HaRoot - what a test needs root for: a network of its own, and cgroups

=head1 SYNOPSIS

  # Before any other module of the tests
  use HaRoot hosts => [qw(etcd n1 n2 n3)], cgroups => ['freezer'];
  use HaCluster;

  my $cluster = HaCluster->new(nodes => 3, machine => $HaRoot::machine);
  $HaRoot::machine->cut('n1', 'etcd');

=head1 DESCRIPTION

Tests named t/2*.pl use this module.  They are started as root and are skipped, with
the reason, as anybody else or where the machine can't make a network.  What needs a
cgroup asks lacks() first.

The process that was started stays root, and is only the keeper: it makes the
namespaces and cgroups, runs the test as user postgres, and removes everything
again, however the test has ended.  The test itself has kept as much of root as it
takes to change a network and to enter one; the servers it starts have nothing of it.

The test is in a namespace that stands for the clients' place.  In it is a bridge,
the switch, to which each host is wired by a veth pair; so the faults are in the
network, and no host can tell them from a broken cable.  Addresses are those of
namespaces, which nothing else on the machine sees: tests may run side by side.

All names begin with "pg_ha_" and the keeper's pid.

=cut

package HaRoot;

use strict;
use warnings FATAL => 'all';

use Carp;
use Test::More;

use constant PREFIX => 'pg_ha';
use constant USER => 'postgres';
use constant SUBNET => '10.66.0';

# What the test keeps: entering a namespace, changing one, moving a process from one
# cgroup to another.
use constant CAPABILITIES => '+sys_admin,+net_admin,+dac_override';

use constant BRIDGE_TABLE =>
  'add table bridge cuts; add chain bridge cuts wires { type filter hook forward priority 0; }';

our $machine;

$ENV{PATH} .= ':/usr/sbin:/sbin';

sub import
{
	my ($class, %args) = @_;
	my $self = bless {
		keeper => $ENV{PG_HA_KEEPER} // $$,
		hosts => $args{hosts} // [],
		cgroups => [ grep { _hierarchy($_) } @{ $args{cgroups} // [] } ],
	}, $class;

	if ($ENV{PG_HA_KEEPER})
	{
		$machine = $self;
		return;
	}
	my $lack = $self->_what_is_missing;
	plan skip_all => $lack if $lack;
	exit $self->_keep;
}

sub _what_is_missing
{
	my ($self) = @_;

	return 'only root can make network namespaces and cgroups' if $> != 0;
	return 'there is no user ' . USER if !defined getpwnam(USER);
	foreach my $program (qw(ip nft nsenter setpriv))
	{
		return "$program is not installed"
		  if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
	}
	return _what_the_kernel_lacks();
}

# Tried once here, so that a failure later on is one and not a reason to skip.
sub _what_the_kernel_lacks
{
	my $name = PREFIX . "_${$}_probe";
	my $can = eval {
		run('ip', 'netns', 'add', $name);
		run('ip', '-n', $name, qw(link add name switch type bridge));
		run('ip', '-n', $name, qw(link add name a type veth peer name b));
		run('nsenter', "--net=/run/netns/$name", 'nft', BRIDGE_TABLE);
		1;
	};
	my $why = $@;

	system 'ip', 'netns', 'del', $name if -e "/run/netns/$name";
	return if $can;
	$why =~ s/\n.*//s;
	return "no network can be made here: $why";
}

# ---------------------------------------------------------------------------
# The keeper
# ---------------------------------------------------------------------------

# Returns the test's exit status.
sub _keep
{
	my ($self) = @_;
	my $status = 255 << 8;

	if (eval { _remove_leftovers(); $self->_make; 1 })
	{
		_give_away_directories();
		my $pid = fork() // die "could not fork: $!";
		$self->_become_the_test if $pid == 0;
		$SIG{$_} = sub { kill 'TERM', $pid; }
		  foreach qw(INT TERM HUP);
		1 while waitpid($pid, 0) < 0 && $!{EINTR};
		$status = $?;
	}
	else
	{
		print STDERR $@;
	}
	$self->_remove;
	return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

sub _become_the_test
{
	my ($self) = @_;
	my @perl = ($^X, map { "-I$_" } grep { !ref } @INC);

	$ENV{PG_HA_KEEPER} = $self->{keeper};
	exec 'nsenter', '--net=' . $self->_namespace('clients'),
	  'setpriv', '--reuid=' . USER, '--regid=' . USER, '--init-groups',
	  '--inh-caps=' . CAPABILITIES, '--ambient-caps=' . CAPABILITIES,
	  '--pdeathsig=TERM', @perl, $0, @ARGV;
	die "could not execute nsenter: $!";
}

# As root, make has made them, and the test will write there.
sub _give_away_directories
{
	my $dir = ($ENV{TESTDIR} // '.') . '/tmp_check';
	my ($uid, $gid) = (getpwnam USER)[ 2, 3 ];

	mkdir $_ foreach $dir, "$dir/log";
	chown $uid, $gid, $dir, "$dir/log";
	return;
}

sub _make
{
	my ($self) = @_;
	my @ip = ('ip', '-n', $self->_name('clients'));
	my $uid = getpwnam USER;

	foreach my $host ('clients', @{ $self->{hosts} })
	{
		run('ip', 'netns', 'add', $self->_name($host));
		run('ip', '-n', $self->_name($host), 'link', 'set', 'lo', 'up');
	}
	run(@ip, qw(link add name switch type bridge));
	run(@ip, qw(addr add), SUBNET . '.1/24', qw(dev switch));
	run(@ip, qw(link set dev switch up));
	foreach my $host (@{ $self->{hosts} })
	{
		my $name = $self->_name($host);

		run(@ip, qw(link add name), $host, qw(type veth peer name eth0 netns), $name);
		run(@ip, qw(link set dev), $host, qw(master switch up));
		run('ip', '-n', $name, qw(addr add), $self->address($host) . '/24',
			qw(dev eth0));
		run('ip', '-n', $name, qw(link set eth0 up));
	}
	run('nsenter', '--net=' . $self->_namespace('clients'),
		'nft', BRIDGE_TABLE);

	foreach my $host (@{ $self->{hosts} })
	{
		foreach my $dir ($self->_cgroup_dirs($host, @{ $self->{cgroups} }))
		{
			mkdir $dir or die "could not create $dir: $!\n";
			chown $uid, -1, glob "$dir/*";
		}
	}
	return;
}

# Also ends what a test that was killed has left running there.
sub _remove
{
	my ($self) = @_;
	my @names = map { $self->_name($_) } @{ $self->{hosts} }, 'clients';

	foreach my $host (@{ $self->{hosts} })
	{
		$self->_set_frozen($host, 0)
		  if grep { $_ eq 'freezer' && -d $self->_cgroup($_, $host) }
		  @{ $self->{cgroups} };
	}
	foreach my $name (@names)
	{
		next unless -e "/run/netns/$name";
		kill 'KILL', split ' ', `ip netns pids $name`;
		system 'ip', 'netns', 'del', $name;
	}
	foreach my $dir (
		map { $self->_cgroup_dirs($_, @{ $self->{cgroups} }) }
		@{ $self->{hosts} })
	{
		# It can go when the last process in it has been reaped.
		for (1 .. 50)
		{
			last if !-d $dir || rmdir $dir;
			select undef, undef, undef, 0.1;
		}
	}
	return;
}

# Those of keepers that were killed themselves
sub _remove_leftovers
{
	my $prefix = PREFIX;

	foreach my $path (glob "/run/netns/${prefix}_*")
	{
		my ($name, $pid) = $path =~ m{/(${prefix}_(\d+)_\w+)$} or next;
		system 'ip', 'netns', 'del', $name if !kill 0, $pid;
	}
	return;
}

sub run
{
	my (@command) = @_;
	my $pid = open(my $pipe, '-|') // die "could not fork: $!\n";

	if ($pid == 0)
	{
		open STDERR, '>&', \*STDOUT;
		{
			no warnings 'exec';
			exec @command;
		}
		print "could not execute $command[0]: $!\n";
		require POSIX;
		POSIX::_exit(127);
	}
	local $/ = undef;
	my $output = <$pipe> // '';
	close $pipe or die "\"@command\" failed: $output\n";
	return $output;
}

sub _name
{
	my ($self, $host) = @_;
	return PREFIX . "_$self->{keeper}_$host";
}

sub _namespace
{
	my ($self, $host) = @_;
	return '/run/netns/' . $self->_name($host);
}

# ---------------------------------------------------------------------------
# cgroups
# ---------------------------------------------------------------------------

# Where the hierarchy with this controller is mounted, and its version.  Freezing is
# in every cgroup of version 2; other controllers must have been handed down.
sub _hierarchy
{
	my ($controller) = @_;
	my @found;

	open my $mounts, '<', '/proc/mounts' or return;
	while (my $line = <$mounts>)
	{
		my (undef, $dir, $type, $options) = split ' ', $line;

		if ($type eq 'cgroup' && ",$options," =~ /,$controller,/)
		{
			@found = ($dir, 1);
		}
		elsif ($type eq 'cgroup2'
			&& !@found
			&& ($controller eq 'freezer' || _has_word("$dir/cgroup.subtree_control", $controller)))
		{
			@found = ($dir, 2);
		}
	}
	close $mounts;
	return wantarray ? @found : $found[0];
}

sub _has_word
{
	my ($path, $word) = @_;

	open my $fh, '<', $path or return 0;
	my $line = <$fh> // '';
	close $fh;
	return " $line " =~ /\s$word\s/ ? 1 : 0;
}

sub _cgroup
{
	my ($self, $controller, $host) = @_;
	my ($dir) = _hierarchy($controller);

	# It is for one process, and starts empty
	return "$dir/" . $self->_name($host) . ($controller eq 'memory' ? '_one' : '');
}

# Version 2 has one directory for all controllers.
sub _cgroup_dirs
{
	my ($self, $host, @controllers) = @_;
	my %dirs = map { $self->_cgroup($_, $host) => 1 } @controllers;
	return sort keys %dirs;
}

sub _write
{
	my ($path, $text) = @_;

	open my $fh, '>', $path or croak "could not open $path: $!";
	syswrite($fh, $text) // croak "could not write $path: $!";
	close $fh;
	return;
}

sub _set_frozen
{
	my ($self, $host, $frozen) = @_;
	my (undef, $version) = _hierarchy('freezer');
	my $dir = $self->_cgroup('freezer', $host);

	_write($version == 2 ? "$dir/cgroup.freeze" : "$dir/freezer.state",
		$version == 2 ? $frozen : $frozen ? 'FROZEN' : 'THAWED');
	return;
}

=head1 METHODS

=over

=item address(host)

=cut

sub address
{
	my ($self, $host) = @_;
	my @hosts = @{ $self->{hosts} };
	my ($n) = grep { $hosts[$_] eq $host } 0 .. $#hosts;

	croak "there is no host \"$host\"" unless defined $n;
	return SUBNET . '.' . (10 + $n);
}

=item enter(host)

The beginning of a command line that runs the rest on that host, in its cgroups,
without any privilege.

=cut

sub enter
{
	my ($self, $host) = @_;
	my $join = join ' ',
	  map { "echo \$\$ >$_/cgroup.procs;" }
	  $self->_cgroup_dirs($host, grep { $_ ne 'memory' } @{ $self->{cgroups} });

	return (
		'nsenter', '--net=' . $self->_namespace($host),
		'sh', '-c', "$join exec \"\$@\"", 'sh',
		'setpriv', '--inh-caps=-all', '--ambient-caps=-all');
}

=item cut(from, to...), cut_one_way(from, to...), forget_connections(from, to),
slow_down(from, to, rate), lose(from, to, percent), heal()

Nothing passes between the host "from" and the hosts "to"; nothing that "from" sends
passes; nothing passes that belongs to a connection which "from" has open now; what
"from" sends passes at no more than "rate", in the words of nft(8); that many of a
hundred packets between the two are lost, at random.  Nobody is told.
All these add up until heal().  Clients are never cut off.

=cut

sub cut
{
	my ($self, $from, @to) = @_;

	$self->cut_one_way($from, @to);
	$self->cut_one_way($_, $from) foreach @to;
	return;
}

sub cut_one_way
{
	my ($self, $from, @to) = @_;
	$self->_drop($from, $_, '') foreach @to;
	return;
}

sub forget_connections
{
	my ($self, $from, $to) = @_;
	my $sockets = run('nsenter', '--net=' . $self->_namespace($from),
		'ss', '-Htn', 'state', 'established', 'dst', $self->address($to));
	my @ports = $sockets =~ /^\d+\s+\d+\s+\S+:(\d+)\s/mg;
	my $ports = join ', ', @ports;

	croak "$from has no connection to $to" unless @ports;
	$self->_drop($from, $to, "tcp sport { $ports }");
	$self->_drop($to, $from, "tcp dport { $ports }");
	return;
}

sub slow_down
{
	my ($self, $from, $to, $rate) = @_;

	$self->_drop($from, $to, "limit rate over $rate");
	return;
}

sub lose
{
	my ($self, $from, $to, $percent) = @_;

	$self->_drop(@$_, "numgen random mod 100 < $percent") foreach [ $from, $to ], [ $to, $from ];
	return;
}

sub _drop
{
	my ($self, $from, $to, $which) = @_;

	run('nft', 'add rule bridge cuts wires ip saddr ' . $self->address($from)
		  . ' ip daddr ' . $self->address($to) . " $which counter drop");
	return;
}

sub heal
{
	run('nft', 'flush chain bridge cuts wires');
	return;
}

=item dropped()

How many packets the present cuts have dropped: a fault that nothing ran into has
tested nothing.

=cut

sub dropped
{
	my $rules = run('nft', 'list chain bridge cuts wires');
	my $sum = 0;

	$sum += $_ foreach $rules =~ /counter packets (\d+)/g;
	return $sum;
}

=item lacks(controllers)

Why there is no cgroup with one of these controllers here, or undef.

=cut

sub lacks
{
	my ($self, @controllers) = @_;

	foreach my $controller (@controllers)
	{
		return "there is no cgroup hierarchy with \"$controller\""
		  if !grep { $_ eq $controller } @{ $self->{cgroups} };
	}
	return;
}

=item freeze(host), thaw(host)

All processes of a host at once, by its freezer cgroup.

=cut

sub freeze
{
	my ($self, $host) = @_;
	my (undef, $version) = _hierarchy('freezer');
	my $dir = $self->_cgroup('freezer', $host);
	my ($file, $frozen) =
	  $version == 2
	  ? ("$dir/cgroup.events", qr/^frozen 1$/m)
	  : ("$dir/freezer.state", qr/^FROZEN$/);

	$self->_set_frozen($host, 1);
	HaCluster::wait_until("$host is frozen",
		sub { PostgreSQL::Test::Utils::slurp_file($file) =~ $frozen });
	return;
}

sub thaw
{
	my ($self, $host) = @_;

	$self->_set_frozen($host, 0);
	return;
}

=item limit_cpu(host, percent)

Of one processor, together; 0 for no limit.

=cut

sub limit_cpu
{
	my ($self, $host, $percent) = @_;
	my (undef, $version) = _hierarchy('cpu');
	my $dir = $self->_cgroup('cpu', $host);
	my $period = 100_000;
	my $quota = $percent * $period / 100;

	if ($version == 2)
	{
		_write("$dir/cpu.max", ($quota || 'max') . " $period");
	}
	else
	{
		_write("$dir/cpu.cfs_period_us", $period);
		_write("$dir/cpu.cfs_quota_us", $quota || -1);
	}
	return;
}

=item limit_memory(host, bytes, pid)

Move one process of the host into a cgroup of its own that may use so much memory.

=back

=cut

sub limit_memory
{
	my ($self, $host, $bytes, $pid) = @_;
	my ($root, $version) = _hierarchy('memory');
	my $dir = $self->_cgroup('memory', $host);

	_write($version == 2 ? "$dir/memory.max" : "$dir/memory.limit_in_bytes", $bytes);
	_write("$dir/memory.swap.max", 0) if $version == 2 && -e "$dir/memory.swap.max";
	_write("$dir/cgroup.procs", $pid);
	return;
}

1;
