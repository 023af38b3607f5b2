
=pod

=head1 NAME

HaPatroni - a node of HaCluster that Patroni runs, now or for the time being

=head1 SYNOPSIS

  my $program = HaPatroni::program() or plan skip_all => 'there is no Patroni 4';
  my $cluster = HaCluster->new(nodes => 0, config => { ttl => 20 });
  HaPatroni::lay_out($cluster, $program, qw(n1 n2));
  $cluster->start_all;
  HaPatroni::wait_for_leader($cluster);
  ...
  $node->stop;
  HaPatroni::give_to_pg_ha($node);
  $node->start;

=head1 DESCRIPTION

The same server with the same settings over the same wire to the same etcd, but the
agent is Patroni.  One file, Patroni's, configures the node for either of them.  No
watchdog.  Authentication is by trust, since only the loopback interface is
listened to.

=cut

package HaPatroni;

use strict;
use warnings FATAL => 'all';

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;

our @ISA = qw(HaCluster::Node);

=head1 FUNCTIONS

=over

=item program(name)

The command line of a Patroni that may share a scope with pg_ha, or of another program of its
package ("patronictl"); undef if it is not there, or does not run.  Debian 12 has an older one, so
"test/aside forky patroni" gets this.  What it needs of Python is Debian 12's.

=item debian_program()

Debian 12's own, which is too old for that.

=cut

sub program
{
	my ($name) = @_;
	my $aside = ($ENV{ASIDE_DIR} // '/var/tmp/pg_ha_aside') . '/forky/usr';
	my @python = (
		'env', "PYTHONPATH=$aside/lib/python3/dist-packages",
		'PYTHONDONTWRITEBYTECODE=1', '/usr/bin/python3');

	return if !-e "$aside/bin/patroni" || !-x '/usr/bin/python3';
	my ($rc) = HaCluster::capture(30, @python, "$aside/bin/patroni", '--version');
	return $rc == 0 ? [ @python, "$aside/bin/" . ($name // 'patroni') ] : undef;
}

sub debian_program
{
	return -x '/usr/bin/patroni' ? ['/usr/bin/patroni'] : undef;
}

=item lay_out(cluster, program, names)

Give the cluster, made with no nodes, these, run by that program.  Its configuration is
what Patroni bootstraps with; what it says of PostgreSQL replaces what is said here.  The
sections of $cluster->{patroni}{NAME} are added to that node's file.

=cut

sub lay_out
{
	my ($cluster, $program, @names) = @_;

	$cluster->etcd_delete('config');
	$cluster->{nodes} = [ map { HaPatroni->new($cluster, $_) } @names ];
	$_->{program} = $program foreach $cluster->nodes;
	$cluster->{prepared} = 1;	# the extension is not there
	return;
}

=item give_to_pg_ha(node), give_to_patroni(node, program)

Who runs the node from its next start on, over the same data directory.

=cut

sub give_to_pg_ha
{
	my ($node) = @_;

	$node->{patroni_config} = $node->{file};
	bless $node, 'HaCluster::Node';
	return;
}

sub give_to_patroni
{
	my ($node, $program) = @_;

	$node->{program} = $program if $program;
	bless $node, 'HaPatroni';
	return;
}

=item is_patroni(node)

=cut

sub is_patroni
{
	my ($node) = @_;
	return $node->isa('HaPatroni');
}

=item wait_for_leader(cluster, other_than => node)

Wait for a node, whoever runs it, that answers as leader and writes, with the writer's table in it.

=cut

sub wait_for_leader
{
	my ($cluster, @args) = @_;
	my $leader = $cluster->wait_for_leader(@args);

	$leader->safe_psql('CREATE TABLE IF NOT EXISTS acked (client int, n bigint);'
		  . ' CREATE INDEX IF NOT EXISTS acked_key ON acked (client, n)');
	return $leader;
}

=item wait_streaming(cluster, names)

Wait until these are the standbys which stream from the leader, have nearly all that it has
flushed, and say in the store that they run on its timeline; in a synchronous mode also until the leader
waits for one of them and says so in /sync.

=item wait_all_streaming(cluster)

... until all others do; returns the leader.

=cut

sub wait_streaming
{
	my ($cluster, @names) = @_;

	HaCluster::wait_until(
		join(',', @names) . ' stream',
		sub { are_streaming($cluster, $cluster->leader, @names); });
	return;
}

sub wait_all_streaming
{
	my ($cluster) = @_;
	my $leader;

	HaCluster::wait_until(
		'all others stream',
		sub {
			$leader = $cluster->leader or return;
			are_streaming($cluster, $leader,
				map { $_->name } grep { $_ != $leader } $cluster->nodes);
		});
	return $leader;
}

sub are_streaming
{
	my ($cluster, $leader, @names) = @_;
	my $wanted = join ',', sort @names;

	return if !$leader;
	my ($rc, $out) = $leader->psql(
		q{SELECT string_agg(application_name, ',' ORDER BY application_name),
				 bool_and(flush_lsn >= pg_current_wal_flush_lsn() - 100000),
				 ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
		  FROM pg_stat_replication
		  WHERE state = 'streaming' AND application_name NOT LIKE 'pg_basebackup%'},
		timeout => 5);
	return if $rc != 0;
	my ($streaming, $caught_up, $timeline) = split /\|/, $out;
	return if $streaming ne $wanted || $caught_up ne 't';
	foreach my $name (@names)
	{
		my $member = member($cluster, $name);
		return
		  if ($member->{state} // '') !~ /^(?:running|streaming)$/
		  || ($member->{timeline} // 0) != $timeline;
	}
	return 1 if !$cluster->{config}{synchronous_mode};
	my %wanted = map { $_ => 1 } @names;
	return grep { $wanted{$_} } $cluster->sync_standbys($leader);
}

=item bin_dir()

Where the programs of the server are.

=item member(cluster, name)

What the member's key says.

=back

=cut

sub member
{
	my ($cluster, $name) = @_;
	return JSON::PP::decode_json($cluster->etcd_get("members/$name") // '{}');
}

# JSON is YAML.
sub _write_files
{
	my ($self) = @_;

	my $file = $self->_configuration;
	my $more = $self->{cluster}{patroni}{ $self->{name} } // {};

	$file->{$_} = { %{ $file->{$_} // {} }, %{ $more->{$_} } } foreach keys %$more;
	append_to_file($self->{file}, JSON::PP->new->canonical->pretty->encode($file));
	return;
}

sub _configuration
{
	my ($self) = @_;
	my $cluster = $self->{cluster};

	return {
		scope => $cluster->{scope},
		namespace => '/service/',
		name => $self->{name},
		restapi => {
			listen => "127.0.0.1:$self->{rest_port}",
			connect_address => "127.0.0.1:$self->{rest_port}",
		},
		etcd3 =>
		  { hosts => [ map { "127.0.0.1:$_->{port}" } @{ $self->{wires} } ] },
		bootstrap => {
			dcs => {
				postgresql => {
					use_pg_rewind => JSON::PP::true,
					use_slots => JSON::PP::true,
					parameters => {
						max_connections => 60,
						max_prepared_transactions => 60,
					},
				},
				%{ $cluster->{config} },
			},
			initdb => [ { encoding => 'UTF8' }, 'data-checksums' ],
		},
		postgresql => $self->_postgresql,
		watchdog => { mode => 'off' },
	};
}

sub _postgresql
{
	my ($self) = @_;
	my $user = getpwuid $>;

	return {
		listen => "127.0.0.1:$self->{port}",
		connect_address => "127.0.0.1:$self->{port}",
		data_dir => $self->{dir},
		bin_dir => bin_dir(),
		pgpass => "$self->{cluster}{base}/$self->{name}.pgpass",
		authentication => {
			superuser => { username => $user },
			replication => { username => 'replicator', password => 'secret' },
		},
		pg_hba => [
			'local all all trust',
			'host all all 127.0.0.1/32 trust',
			'host replication all 127.0.0.1/32 trust',
		],
		parameters => {
			unix_socket_directories => $self->{cluster}{sockets},
			shared_buffers => '16MB',
			min_wal_size => '32MB',
			max_wal_size => '128MB',
			autovacuum_naptime => '1h',
		},
	};
}

sub bin_dir
{
	my ($dir) = grep { -x "$_/pg_ctl" } split /:/, $ENV{PATH};
	return $dir;
}

=head1 METHODS OF A NODE

As HaCluster::Node has them.

=over

=cut

sub start
{
	my ($self) = @_;

	$self->{boot_pid} =
	  HaCluster::spawn($self->{log}, @{ $self->{program} }, $self->{file});
	$self->{boot_start} = HaCluster::start_time($self->{boot_pid});
	return;
}

=item agent_pid()

The process that holds the lease.

=back

=cut

sub agent_pid { my ($self) = @_; return $self->boot_pid; }

1;
