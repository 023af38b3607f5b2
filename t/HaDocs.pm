
=pod

=head1 NAME

HaDocs - what the documentation says is run, and looked for

=head1 SYNOPSIS

  my $page = HaDocs->new('bootstrap.md');
  my ($rc, $out) = $page->run('init', PGDATA => $dir, NODEFILE => $file);
  $page->check_messages;
  $page->check_all_were_run;

=head1 DESCRIPTION

A block of commands on a page is fenced and has a name: "```sh init".  It is run as it
stands, by a shell; what differs from one reader to the next are variables in it, which
come from the environment.

"```sql pg_ha_pause" is an example of that function, run as it stands by psql.  Words behind
the name are for the test that runs it: "last" (it leaves no cluster to go on with) and
"fails" (the example shows an error).

=cut

package HaDocs;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(__FILE__) . '/..';

=pod

=over

=item HaDocs->new(page)

=cut

sub new
{
	my ($class, $page) = @_;
	my $text = slurp_file("$top/docs/$page");
	my (%blocks, @examples);

	while ($text =~ /^```(sh|sql) (\w+)([ \w]*)\n(.*?)^```$/msg)
	{
		my ($kind, $name, $words, $block) = ($1, $2, $3, $4);

		push @examples, $name if $kind eq 'sql';
		$blocks{$name} =
		  { text => $block, words => { map { $_ => 1 } split ' ', $words } };
	}
	croak "$page has no blocks" unless %blocks;
	return bless {
		page => $page,
		text => $text,
		blocks => \%blocks,
		examples => \@examples,
		run => {}
	}, $class;
}

=item block(name), run(name, variable => value, ...)

The text of a block; run it to its end.  Returns (exit code, all that it said).

=cut

sub block
{
	my ($self, $name) = @_;

	$self->{run}{$name} = 1;
	croak "$self->{page} has no block \"$name\"" if !$self->{blocks}{$name};
	return $self->{blocks}{$name}{text};
}

sub run
{
	my ($self, $name, %variables) = @_;
	my $block = $self->block($name);

	local @ENV{ keys %variables } = values %variables;
	my ($rc, $out, $err) = HaCluster::capture(
		$PostgreSQL::Test::Utils::timeout_default,
		'sh', '-eu', '-c', $block);
	note "$self->{page}, $name: $rc\n$out\n$err";
	return ($rc >> 8, "$out\n$err");
}

=item examples(), run_example(name, node)

The names of the SQL examples, in the order in which they can be run.  Returns (exit
code, output, errors) of psql.

=cut

sub examples
{
	my ($self) = @_;
	my $is_last = sub { return $self->{blocks}{ $_[0] }{words}{last} };

	return ((grep { !$is_last->($_) } @{ $self->{examples} }),
		grep { $is_last->($_) } @{ $self->{examples} });
}

sub run_example
{
	my ($self, $name, $node) = @_;
	my ($rc, $out, $err) = $node->psql($self->block($name), timeout => 90);

	note "$self->{page}, $name: $rc\n$out\n$err";
	return ($rc, $out, $err);
}

sub shows_error
{
	my ($self, $name) = @_;
	return $self->{blocks}{$name}{words}{fails} ? 1 : 0;
}

# Of the functions that a heading is about
sub sections
{
	my ($self) = @_;
	return map { /\b(pg_ha_\w+)\(/g } $self->{text} =~ /^##+ (.*)$/mg;
}

=item check_messages()

Each message that the page quotes, `B05 ...`, is in the source in these words.

=cut

sub check_messages
{
	my ($self) = @_;
	my $source = join '', map { slurp_file($_) } glob "$top/boot/*.c";

	foreach my $message ($self->{text} =~ /`([A-Z]\d\d[a-z]?\b[^`]*)`/g)
	{
		ok(index($source, $message) >= 0, "$self->{page}: \"$message\"");
	}
	return;
}

=item check_all_were_run()

=cut

sub check_all_were_run
{
	my ($self) = @_;

	is_deeply([ grep { !$self->{run}{$_} } sort keys %{ $self->{blocks} } ],
		[], "$self->{page}: every block was run");
	return;
}

=back

=cut

1;
