
=pod

=head1 NAME

PatroniNode - a node of HaCluster that Patroni runs

=head1 DESCRIPTION

The same server with the same settings over the same wire to the same etcd, but
the agent is Patroni.  No watchdog.  Authentication is by trust, since only the
loopback interface is listened to.

=cut

package PatroniNode;

use strict;
use warnings FATAL => 'all';

use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;

our @ISA = qw(HaCluster::Node);

=head1 FUNCTIONS

=over

=item lay_out(cluster, names)

Give the cluster, made with no nodes, these.  Its configuration is what Patroni
bootstraps with; what it says of PostgreSQL replaces what is said here.  The sections of
$cluster->{patroni}{NAME} are added to that node's file.

=cut

sub lay_out
{
	my ($cluster, @names) = @_;

	$cluster->etcd_delete('config');
	$cluster->{nodes} = [ map { PatroniNode->new($cluster, $_) } @names ];
	return;
}

# JSON is YAML.
sub _write_files
{
	my ($self) = @_;
	my $cluster = $self->{cluster};
	my $user = getpwuid $>;
	my %settings = (
		max_connections => 60,
		max_prepared_transactions => 60,
		shared_buffers => '16MB',
		min_wal_size => '32MB',
		max_wal_size => '128MB',
		autovacuum_naptime => '1h');
	my %file = (
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
					parameters => \%settings,
				},
				%{ $cluster->{config} },
			},
			initdb => [ { encoding => 'UTF8' }, 'data-checksums' ],
		},
		postgresql => {
			listen => "127.0.0.1:$self->{port}",
			connect_address => "127.0.0.1:$self->{port}",
			data_dir => $self->{dir},
			bin_dir => _bin_dir(),
			pgpass => "$cluster->{base}/$self->{name}.pgpass",
			authentication => {
				superuser => { username => $user },
				replication => { username => 'replicator' },
			},
			pg_hba => [
				'local all all trust',
				'host all all 127.0.0.1/32 trust',
				'host replication all 127.0.0.1/32 trust',
			],
			parameters => { unix_socket_directories => $cluster->{sockets} },
		},
		watchdog => { mode => 'off' },
	);
	my $more = $cluster->{patroni}{ $self->{name} } // {};

	$file{$_} = { %{ $file{$_} // {} }, %{ $more->{$_} } } foreach keys %$more;
	append_to_file($self->{file},
		JSON::PP->new->canonical->pretty->encode(\%file));
	return;
}

sub _bin_dir
{
	my ($dir) = grep { -x "$_/pg_ctl" } split /:/, $ENV{PATH};
	return $dir;
}

sub start
{
	my ($self) = @_;

	$self->{boot_pid} = HaCluster::spawn($self->{log}, 'patroni', $self->{file});
	$self->{boot_start} = HaCluster::start_time($self->{boot_pid});
	return;
}

=item agent_pid()

The process that holds the lease.

=back

=cut

sub agent_pid { my ($self) = @_; return $self->boot_pid; }

1;
