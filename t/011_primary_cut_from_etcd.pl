#
# The leader alone can't reach etcd any more, whether its connections are refused
# or hang, while its clients and standbys still reach it: it acknowledges nothing
# after its deadline, another node leads, and it rejoins when it is healed.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => { async => 20, sync => 16 },
	fault => sub {
		my ($round) = @_;
		$round->{cluster}->cut_from_etcd($round->{leader},
			$round->{mode} eq 'async' ? 'blackhole' : 'refuse');
	},
	heal => sub {
		my ($round) = @_;
		$round->{cluster}->heal($round->{leader});
	});
