#
# kill -9 of the leader's pg_ha_boot and postmaster, as if the machine was gone:
# another node leads, and the old one rejoins when a service manager starts its
# pg_ha_boot again.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => 1,
	fault => sub {
		my ($round) = @_;
		$round->{leader}->kill_node;
	},
	heal => sub {
		my ($round) = @_;
		$round->{leader}->start;
	});
