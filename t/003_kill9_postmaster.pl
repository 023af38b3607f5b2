#
# kill -9 of the leader's postmaster: pg_ha_boot starts it again in place, or
# another node takes over; in asynchronous mode it is in place, since that loses
# nothing, unless it keeps crashing: the third time within minutes another node
# shall have a try.  The acknowledgements of two timelines never overlap.
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
		$round->{leader}->kill9($round->{postmaster});
	},
	over => sub {
		my ($round) = @_;
		my $leader = $round->{cluster}->leader or return 0;
		return $leader != $round->{leader}
		  || $leader->postmaster_pid != $round->{postmaster};
	},
	same_timeline => ['async'],
	nothing_lost => ['async'],
	in_place => 2);
