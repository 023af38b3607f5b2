#
# In each synchronous mode no way to commit loses an acknowledged row when the node
# that leads is killed, and one of the members in /sync is the one that leads then.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use JSON::PP ();
use Test::More;

seed_random();
my %config_of = (
	on => { synchronous_mode => JSON::PP::true },
	quorum => { synchronous_mode => 'quorum' },
	strict => {
		synchronous_mode => JSON::PP::true,
		synchronous_mode_strict => JSON::PP::true
	});
my %names_like = (
	on => qr/^1 \("n\d"\)$/,
	quorum => qr/^ANY 1 \("n\d", "n\d"\)$/,
	strict => qr/^1 \("n\d"\)$/);

my $cluster = HaCluster->new(nodes => 3, config => $config_of{on});
$cluster->start_all;
$cluster->wait_for_leader;

foreach my $mode (qw(on quorum strict))
{
	$cluster->configure(
		{ synchronous_mode_strict => JSON::PP::false, %{ $config_of{$mode} } });
	foreach my $round (1 .. $ENV{HA_ROUNDS} // 1)
	{
		subtest "$mode, round $round" => sub { run_round($mode); };
	}
}
done_testing();

# The names are as the mode wants them, and /sync has caught up with them.
sub wait_for_mode
{
	my ($node, $mode) = @_;
	my $voters = $mode eq 'quorum' ? 2 : 1;

	HaCluster::wait_until(
		"the mode is $mode",
		sub {
			my $sync = $cluster->etcd_get('sync');
			my $json = $sync ? JSON::PP::decode_json($sync) : {};

			return $node->safe_psql('SHOW synchronous_standby_names') =~
			  $names_like{$mode}
			  && ($json->{quorum} // -1) == $voters - 1
			  && split(/,/, $json->{sync_standby} // '') == $voters;
		});
	return;
}

sub run_round
{
	my ($mode) = @_;
	my $old = $cluster->wait_for_leader;

	$cluster->wait_streaming(2);
	wait_for_mode($old, $mode);

	my $writer = $cluster->start_writer(
		clients => 5,
		modes => 'simple,extended,copy,2pc,plpgsql');
	$writer->wait_for_acks(100 + int(rand(300)));

	is( $old->status('synchronous_mode'),
		$mode eq 'quorum' ? 'quorum' : 'on',
		'the leader knows the mode');
	my %may_lead = map { $_ => 1 } $cluster->sync_standbys($old);
	note 'in /sync: ' . join(', ', sort keys %may_lead);

	$old->kill_node;
	my $new = $cluster->wait_for_leader(other_than => $old);
	ok($may_lead{ $new->name }, 'a synchronous standby leads');
	$writer->wait_for_acks(100, since => HaCluster::now());

	$old->start;
	$cluster->wait_streaming(2);
	my $verdict = $cluster->check_history($writer);
	is($verdict->{lost}, 0, 'every acknowledged row is there');
	is($verdict->{phantoms}, 0, 'no row is there whose failure was certain');
	is($verdict->{duplicates}, 0, 'no row is there twice');
	is(join("\n", @{ $verdict->{overlaps} }),
		'', 'no timeline acknowledged after a later one did');
	diag sprintf 'outage %.3f s', $verdict->{outage};
	return;
}
