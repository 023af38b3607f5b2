#
# What is told over HTTP is what Patroni tells: in each state, to each question, the same
# status, the same fields of the same types, and the same values where these are not of
# the machine.  Patroni's answers were recorded by test/record_patroni.
#
# What differs on purpose is in a table here with its reason, and docs/rest.md names it.  A
# line of the table that nothing needs any more fails, too.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaRecorded;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

# [question, field, what, reason]: patterns of "state: member METHOD /path body", of the
# field's path, and of what is different there.
my @accepted = (
	# names that only one of them has
	[ qr/GET/, qr/^answer\.replication\[\]\.(usename|client_addr)$/, qr/^missing/,
		'who reads without a password is not told of users and addresses' ],
	[ qr{GET /metrics}, qr/^answer\.pg_ha_/, qr/^extra/, 'our own' ],
	[ qr{GET /metrics}, qr/^answer\.patroni_(failover_priority|failsafe_mode_enabled)$/, qr/^extra/,
		'of a later Patroni' ],
	[ qr{created: n2 GET /metrics}, qr/^answer\.patroni_postgres_(streaming|in_archive_recovery)$/,
		qr/^extra .*"value":0/, 'told without a server, too' ],
	[ qr/^a restart is pending: /, qr/\.pending_restart_reason$/, qr/^missing/,
		'a server does not tell what value it will have; the names are in pg_ha_members()' ],
	[ qr/^a restart is scheduled: /, qr/\.scheduled_restart\.(timeout|postmaster_start_time)$/,
		qr/^missing/, 'a restart has no timeout of its own, and is known by an id' ],

	# codes and texts
	[ qr/./, qr/^(answer|type)$/, qr{instead of "(a page|text/html)"$},
		'text is text/plain, and a code has a line of text or nothing, no page' ],
	[ qr{broken: n1 (POST|PUT|PATCH|DELETE) /}, qr/^status$/, qr/^405 instead of 501$/,
		'the method is known, but not served there' ],
	[ qr{POST /(sigterm|citus|mpp) }, qr/^(status|answer)$/, qr/./, 'pg_ha has no such thing' ],
	[ qr{PATCH /config .*mine}, qr/^(status|answer|type)$/, qr/^(400|"unknown config|"text)/,
		'a key that nobody knows is refused as a typing mistake' ],
	[ qr{n1 POST /failsafe}, qr/^status$/, qr/^500 instead of 502$/,
		'who leads says so, also if the mode is off' ],
	[ qr{POST /(switchover|failover) }, qr/^answer$/, qr/^"(member|candidate|Switchover failed: )/,
		'with the same code it is told why' ],

	[ qr{HEAD /liveness}, qr/^status$/, qr/^200 instead of 503$/, 'HEAD answers what GET does' ],

	# states
	[ qr/^quorum: n1 GET/, qr/\.sync_state$/, qr/^"quorum" instead of "sync"$/,
		'of a single standby: we write ANY into synchronous_standby_names, also then' ],
	[ qr/etcd is away: n2 GET \/async /, qr/^status$/, qr/^200 instead of 503$/,
		'as the configuration was when etcd was seen last' ],
	[ qr/^etcd is away: n1 GET/, qr/^answer\.(xlog|timeline|replication)$/, qr/^missing/,
		'a primary without a lease is suspended, not restarted as a standby; it tells of no position' ],
	[ qr{^etcd is away: n1 GET /(replica|read-only|metrics) },
		qr/^(status|answer\.patroni_replica\.value)$/, qr/^(503|0) instead of (200|1)$/, 'and it is none' ],
	[ qr/^etcd is away: n[12] /, qr/^(status|answer|type)$/, qr/instead of (0|null)$/,
		'where Patroni gives no answer, ours is what was seen last, or that etcd is not reachable' ],
);

my $recorded = HaRecorded::of_text(slurp_file("$FindBin::RealBin/../test/recorded/patroni-4.1.5.json"));
my $cluster = HaCluster->new(nodes => 3, config => HaRecorded::config());
my $password = "$cluster->{base}/password";

append_to_file($password, HaRecorded::USER . ':' . HaRecorded::PASSWORD . "\n");
chmod 0600, $password;
$_->add_settings("pg_ha.rest_auth_file = '$password'") foreach $cluster->nodes;
$cluster->node('n2')->add_settings(
	"pg_ha.clone_methods = '" . HaRecorded::slow_clone($cluster) . ", basebackup'");
$cluster->node('n3')->add_settings("pg_ha.tags = '" . tags() . "'");
$cluster->start_led_by('n1')->safe_psql('CREATE TABLE t AS SELECT 1');

my $began = HaCluster::now();
my $ours = HaRecorded::run($cluster, sub { note sprintf '%4.1f s  %s', HaCluster::now() - $began, @_ });
my %needed;

is(join("\n", map { question($_) } @$ours), join("\n", map { question($_) } @$recorded),
	'the questions are those that were recorded');
compare($ours->[$_], $recorded->[$_]) foreach 0 .. $#$recorded;
ok($needed{$_}, "still differs: $accepted[$_][3]") foreach 0 .. $#accepted;
done_testing();

sub tags
{
	my $tags = HaRecorded::tags();
	return join ', ', map { ref $tags->{$_} ? $_ : "$_ = $tags->{$_}" } sort keys %$tags;
}

sub question
{
	my ($record) = @_;
	my $body = $record->{body} // '';

	$body = JSON::PP->new->canonical->encode($body) if ref $body;
	return "$record->{state}: $record->{member} $record->{method} $record->{path} $body";
}

sub compare
{
	my ($our, $their) = @_;
	my $question = question($their);
	my %compared = map { $_ => 1 } qw(status answer type www-authenticate lsn);
	my @differences = map { differences($our->{$_}, $their->{$_}, $_) } sort keys %compared;
	my @bad = grep { !is_accepted($question, $_) } @differences;

	ok(!@bad, $question) or diag(join "\n", "$question:", map { "    $_->{field}: $_->{what}" } @bad);
	return;
}

sub is_accepted
{
	my ($question, $difference) = @_;

	foreach my $i (0 .. $#accepted)
	{
		my ($questions, $fields, $what) = @{ $accepted[$i] };

		next if $question !~ $questions || $difference->{field} !~ $fields || $difference->{what} !~ $what;
		return $needed{$i} = 1;
	}
	return 0;
}

# As { field, what } each
sub differences
{
	my ($our, $their, $field) = @_;

	return is_hash($our, $their) ? in_hash($our, $their, $field)
	  : ref $our eq 'ARRAY' && ref $their eq 'ARRAY' ? in_array($our, $their, $field)
	  : HaRecorded::kind($our) ne HaRecorded::kind($their) || say_of($our) ne say_of($their)
	  ? { field => $field, what => say_of($our) . ' instead of ' . say_of($their) }
	  : ();
}

sub is_hash { return !grep { ref $_ ne 'HASH' } @_; }

sub say_of
{
	my ($value) = @_;
	return JSON::PP->new->allow_nonref->canonical->encode($value);
}

sub in_hash
{
	my ($our, $their, $field) = @_;
	my @found;

	foreach my $key (sort keys %{ { %$our, %$their } })
	{
		my $name = "$field.$key";

		push @found,
		    !exists $our->{$key} ? { field => $name, what => 'missing ' . say_of($their->{$key}) }
		  : !exists $their->{$key} ? { field => $name, what => 'extra ' . say_of($our->{$key}) }
		  : differences($our->{$key}, $their->{$key}, $name);
	}
	return @found;
}

sub in_array
{
	my ($our, $their, $field) = @_;

	return { field => $field, what => scalar(@$our) . ' elements instead of ' . scalar(@$their) }
	  if @$our != @$their;
	return map { differences($our->[$_], $their->[$_], $field . '[]') } 0 .. $#$our;
}
