#
# Everything of the leader's node is stopped for longer than its lease, then
# thawed: another node leads meanwhile, commits that were under way are not
# acknowledged after the thaw, and the old primary rejoins.
#
# Without synchronous replication one acknowledgement of each frozen backend may
# have been on its way already: those are counted apart.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => 5,
	fault => sub {
		my ($round) = @_;
		$round->{leader}->freeze_node;
	},
	heal => sub {
		my ($round) = @_;
		$round->{leader}->thaw;
	},
	frozen => ['async']);
