#
# kill -9 of the leader's worker: another worker comes within the lease and goes
# on leading; nobody is promoted and nothing acknowledged is lost.  But the third time
# within a minute another node leads.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => 3,
	fault => sub {
		my ($round) = @_;
		$round->{leader}->kill9($round->{worker});
	},
	over => sub {
		my ($round) = @_;
		my $worker = $round->{leader}->worker_pid;
		return $worker && $worker != $round->{worker};
	},
	same_timeline => [ 'async', 'sync' ],
	nothing_lost => ['async'],
	crashes => 1);
