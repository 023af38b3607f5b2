#
# The leader's worker is stopped for longer than its lease while its backends run
# on: they acknowledge nothing after the deadline, another node leads, and the
# old primary rejoins after the thaw.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => 4,
	fault => sub {
		my ($round) = @_;
		$round->{leader}->freeze($round->{worker});
	},
	heal => sub {
		my ($round) = @_;
		$round->{leader}->thaw;
	});
