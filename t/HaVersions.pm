#
# Installations of PostgreSQL with pg_ha that a test may do with as it likes: copies of the
# one that is tested, and such with the next version of this very tree.
#
package HaVersions;

use strict;
use warnings FATAL => 'all';

use Carp;
use Cwd ();
use File::Basename;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;

my $top = Cwd::realpath(dirname(__FILE__) . '/..');

sub run
{
	my ($what, @command) = @_;
	my ($rc, $out, $err) = HaCluster::capture(300, @command);

	croak "could not $what: $out\n$err" if $rc != 0;
	return $out;
}

sub pg_config
{
	my ($what) = @_;
	return run('ask pg_config', $ENV{PG_CONFIG} // 'pg_config', "--$what");
}

sub bin_dir { return pg_config('bindir'); }

# PostgreSQL finds its files relative to its programs, so a copy of its directories, at
# the same places below another one, is an installation.  Returns its bin directory.
sub copy_installation
{
	my ($into) = @_;
	my ($bin, $share) = map { pg_config($_) } qw(bindir sharedir);
	my $common = dirname($bin);

	$common = dirname($common) while index($share, "$common/") != 0;
	foreach my $dir (dirname($bin), $share)
	{
		my $below = substr($dir, length $common);
		make_path("$into$below");
		run('copy PostgreSQL', 'cp', '-a', "$dir/.", "$into$below/");
	}
	symlink "$common/include", "$into/include" or croak "could not link include: $!"
	  if -d "$common/include";
	return $into . substr($bin, length $common);
}

# The next version of this tree, in an installation of its own below that directory:
# nothing else is new but a function in SQL.  Returns its bin directory.  What does not
# name the version need not be built again.
sub build_next
{
	my ($into, $from, $to) = @_;
	my $tree = "$into/tree";
	my $bin = copy_installation("$into/root");

	make_path("$tree/test");
	run('copy the tree', 'cp', '-a',
		(map { "$top/$_" } qw(Makefile boot pg_ha.control)),
		glob("$top/*.[cho] $top/*.sql $top/pg_ha_boot"), $tree);
	my $built = (stat "$tree/cluster.h")[9];
	edit("$tree/cluster.h", qr/(HA_VERSION\s+)"\Q$from\E"/, qq("$to"));
	utime $built, $built, "$tree/cluster.h";
	edit("$tree/pg_ha.control", qr/(default_version = )'\Q$from\E'/, "'$to'");
	my $made = (stat "$tree/Makefile")[9];
	edit("$tree/Makefile", qr/(DATA = pg_ha--1.0.sql)/, " pg_ha--$from--$to.sql");
	utime $made, $made, "$tree/Makefile";
	append_to_file("$tree/pg_ha--$from--$to.sql", <<"END_OF_FILE");
\\echo Use "ALTER EXTENSION pg_ha UPDATE" to load this file. \\quit
CREATE FUNCTION pg_ha_new() RETURNS pg_catalog.text LANGUAGE sql AS \$\$ SELECT 'new' \$\$;
END_OF_FILE
	foreach my $file (glob "$tree/*.c $tree/boot/*.c")
	{
		utime undef, undef, $file if slurp_file($file) =~ /\bHA_VERSION\b/;
	}
	run('build the next version', 'make', '-s', '-C', $tree, "PG_CONFIG=$bin/pg_config",
		'install');
	return $bin;
}

sub edit
{
	my ($file, $find, $put) = @_;
	my $text = slurp_file($file);

	$text =~ s/$find/$1$put/ or croak "$file does not have $find";
	HaCluster::rewrite($file, $text);
	return;
}

1;
