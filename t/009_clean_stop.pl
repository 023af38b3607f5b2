#
# SIGTERM to the leader's pg_ha_boot: another node leads and nothing acknowledged
# is lost, whatever the mode of replication; started again, the node rejoins.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	fault => sub {
		my ($round) = @_;
		$round->{leader}->stop;
	},
	heal => sub {
		my ($round) = @_;
		$round->{leader}->start;
	},
	nothing_lost => ['async']);
