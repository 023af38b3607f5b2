#
# A failover with every server under valgrind: no invalid access, no use of what
# was never written, by our code in any of its processes.
#
# The server itself is full of reports when it is run like this, harmless ones
# without its own annotations, so only those count that have a function of ours
# on the stack.
#
use strict;
use warnings FATAL => 'all';

use Cwd ();
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'valgrind is not installed' if !grep { -x "$_/valgrind" } split /:/, $ENV{PATH};

my $tree = Cwd::realpath("$FindBin::RealBin/..");
my $dir = "$PostgreSQL::Test::Utils::tmp_check/valgrind";
my $bin_dir = "$dir/bin";
my ($real_dir) = capture_line('pg_config', '--bindir');

sub capture_line
{
	my (@command) = @_;
	my ($rc, $out) = HaCluster::capture(60, @command);
	die "$command[0] failed" if $rc != 0;
	return $out;
}

# The server's programs, with "postgres" replaced by one that runs it under
# valgrind.
make_path($bin_dir, "$dir/reports");
foreach my $program (glob "$real_dir/*")
{
	my ($name) = $program =~ m{([^/]+)$};
	symlink $program, "$bin_dir/$name" or die "could not link $name: $!"
	  if $name ne 'postgres';
}
append_to_file("$bin_dir/postgres", <<"END_OF_FILE");
#!/bin/sh
# What only prints something needs no watching
case "\$1" in
	-V|--version|-C|--single|--boot|--check)
		exec "$real_dir/postgres" "\$@"
		;;
esac
exec valgrind --quiet --error-limit=no --fullpath-after= \\
	--log-file="$dir/reports/%p" "$real_dir/postgres" "\$@"
END_OF_FILE
chmod 0755, "$bin_dir/postgres" or die "could not chmod: $!";

my $cluster = HaCluster->new(
	nodes => 2,
	bin_dir => $bin_dir,
	config => { ttl => 10, loop_wait => 2, retry_timeout => 3 });
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(1);
$leader->safe_psql('CREATE TABLE before_it (i int); INSERT INTO before_it VALUES (1)');

$leader->kill_node;
my $new_leader = $cluster->wait_for_leader(other_than => $leader);
is($new_leader->safe_psql('SELECT count(*) FROM before_it'),
	'1', 'the standby leads and has what was written');
$leader->start;
$cluster->wait_streaming(1);
pass('the old leader has rejoined');
$cluster->stop_all;

my @reports = glob "$dir/reports/*";
cmp_ok(scalar(@reports), '>', 10, 'valgrind has watched many processes');
my @ours;
foreach my $report (@reports)
{
	my $text = slurp_file($report);

	# A report ends with a line that holds only the pid
	push @ours, grep { /\Q$tree\E/ } split /^==\d+== \n/m, $text;
}
is(scalar(@ours), 0, 'none of the reports is about our code');
diag($_) foreach @ours[ 0 .. ($#ours < 4 ? $#ours : 4) ];

done_testing();
