#
# kill -9 of one backend: the server recovers as PostgreSQL does, the leader stays
# the leader, and nothing acknowledged is lost; but the third time within a minute
# another node leads.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaFault;

fault_test(
	row => 2,
	roam => 0,
	fault => sub {
		my ($round) = @_;
		my @pids = $round->{leader}->writer_pids;
		$round->{leader}->kill9($pids[ rand @pids ]);
	},
	over => sub {
		my ($round) = @_;
		my $worker = $round->{leader}->worker_pid;
		return $worker && $worker != $round->{worker};
	},
	same_timeline => [ 'async', 'sync' ],
	nothing_lost => ['async'],
	crashes => 1);
