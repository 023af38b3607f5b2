
=pod

=head1 NAME

HaProgram - HaCluster in a program that prove does not run

=head1 SYNOPSIS

  use FindBin;
  use lib "$FindBin::RealBin/../t";
  use HaProgram 'tmp_storm';
  use HaCluster;

=head1 DESCRIPTION

To be used before HaCluster.  It goes to the top of the tree, runs the program anew
as user postgres if root started it, finds the servers' programs and PostgreSQL's
Perl modules as PG_CONFIG (pg_config) tells, and gives the process a directory of its
own in the one that is named, $ENV{TESTDIR}.  The harness sends what it says to a
log there; say() speaks to whoever started the program.  A program that exits with 0
leaves nothing.

=cut

package HaProgram;

use strict;
use warnings FATAL => 'all';

use Cwd qw(getcwd);
use Exporter ();
use File::Basename;
use File::Path qw(make_path rmtree);
use FindBin;
use IO::Handle;
use Test::More ();

our @ISA = qw(Exporter);
our @EXPORT = qw(say);

my ($terminal, $owner);

sub import
{
	my ($class, $dir) = @_;
	my $pg_config = $ENV{PG_CONFIG} // 'pg_config';

	chdir "$FindBin::RealBin/.." or die "could not change directory: $!\n";
	make_path($dir);
	_become_postgres($dir, $pg_config) if $> == 0;

	chomp(my $bin = `$pg_config --bindir`);
	chomp(my $pgxs = `$pg_config --pgxs`);
	$ENV{PATH} = "$bin:$ENV{PATH}";
	$ENV{TESTDIR} = getcwd() . "/$dir/$$";
	make_path($ENV{TESTDIR});
	$owner = $$;
	unshift @INC, dirname($pgxs) . '/../test/perl';

	open $terminal, '>&', \*STDOUT or die "could not keep the output: $!\n";
	$terminal->autoflush(1);
	# Where the test library would print what it also has in its log
	open STDOUT, '>', '/dev/null' or die "could not open /dev/null: $!\n";
	Test::More->builder->no_ending(1);
	$SIG{INT} = $SIG{TERM} = sub { exit 1 };	# END ends the servers
	$class->export_to_level(1, $class);
	return;
}

sub _become_postgres
{
	my ($dir, $pg_config) = @_;

	system('chown', 'postgres', $dir) == 0 or exit 1;
	exec('runuser', '-u', 'postgres', '--', 'env', "PG_CONFIG=$pg_config",
		$^X, "$FindBin::RealBin/$FindBin::RealScript", @ARGV);
	die "could not execute runuser: $!\n";
}

=head1 FUNCTIONS

say(text) prints a line to the program's output.

=cut

sub say
{
	print $terminal "@_\n";
	return;
}

# After the harness has ended the servers, as it was loaded later
END
{
	my $status = $?;

	rmtree($ENV{TESTDIR}) if $status == 0 && defined $owner && $owner == $$;
	$? = $status;
}

1;
