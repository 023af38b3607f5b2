#!/usr/bin/perl
#
# etcd demands a password: tokens that expire, or that a restarted member does not know
# any more, are renewed unnoticed.  While the password is wrong everybody is fenced and
# nobody is deposed, and writes resume when it is right again.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HaRow;
use PostgreSQL::Test::Utils;
use Test::More;

use constant TOKEN_TTL => 4;

seed_random();
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $password_file = "$dir/etcd_password";
append_to_file($password_file, "Ozelot-1\n");
chmod 0600, $password_file;

# etcd's simple tokens live as long as they are used; only these have an end.
system_or_bail('openssl', 'genrsa', '-out', "$dir/token.key", '2048');
system_or_bail('openssl', 'rsa', '-in', "$dir/token.key", '-pubout', '-out',
	"$dir/token.pub");
my $signed = "jwt,pub-key=$dir/token.pub,priv-key=$dir/token.key,"
  . "sign-method=RS256,ttl=${\TOKEN_TTL}s";

my $cluster = HaCluster->new(
	nodes => 3,
	etcd => 3,
	etcd_args => [ '--bcrypt-cost' => 4, '--auth-token' => $signed ],
	config => { synchronous_mode => JSON::PP::true },
	settings => "pg_ha.etcd_user = 'ha'\n"
	  . "pg_ha.etcd_password_file = '$password_file'");

enable_authentication();
$cluster->start_all;
$cluster->wait_for_leader;
rounds(\&rows);

sub rows
{
	row(
		$cluster, 34,
		'tokens expire',
		calm => 1,
		fault => sub {
			my ($round) = @_;
			my $from = HaCluster::now();

			HaCluster::wait_until('every token has expired twice',
				sub { HaCluster::now() > $from + 2 * TOKEN_TTL + 2 });
			$round->{writer}->wait_for_acks(10, since => HaCluster::now());
			cmp_ok($round->{writer}->outage, '<', $cluster->ttl,
				'writing went on meanwhile');
		});

	row(
		$cluster, 34,
		'members that are restarted forget their tokens',
		calm => 1,
		fault => sub {
			restart_members($_) foreach 'simple', 'simple', $signed;
		});

	row(
		$cluster, 34,
		'the password is wrong for a while',
		calm => 1,
		fault => \&wrong_password);
	return;
}

sub etcdctl
{
	my @command = @_;
	my ($rc, $out, $err) = $cluster->etcdctl(@command);

	die "etcdctl @command failed: $err" if $rc != 0;
	return;
}

# One role that can do all that a cluster needs, and no more
sub enable_authentication
{
	etcdctl('user', 'add', 'root:master');
	etcdctl('user', 'grant-role', 'root', 'root');
	etcdctl('role', 'add', 'ha');
	etcdctl('role', 'grant-permission', '--prefix', 'ha', 'readwrite',
		$cluster->key(''));
	etcdctl('user', 'add', 'ha:Ozelot-1');
	etcdctl('user', 'grant-role', 'ha', 'ha');
	etcdctl('auth', 'enable');
	$cluster->etcd_user('root:master');
	return;
}

# One after the other, with another kind of tokens.  A simple one is known only to the
# member that gave it, for as long as that runs.
sub restart_members
{
	my ($kind) = @_;

	foreach my $number (1 .. 3)
	{
		my $command = $cluster->{etcds}[ $number - 1 ]{command};

		$cluster->etcd_kill($number);
		$command->[-1] = $kind;
		$cluster->etcd_start($number);
	}
	return;
}

sub set_password
{
	my ($password) = @_;

	etcdctl('user', 'delete', 'ha');
	etcdctl('user', 'add', "ha:$password");
	etcdctl('user', 'grant-role', 'ha', 'ha');
	return;
}

# No token of before is good for the user with the new password.
sub wrong_password
{
	my ($round) = @_;

	set_password('Ozelot-2');
	my $wrong_at = HaCluster::now();
	expect_fenced($round->{leader});
	expect_25006($round->{leader});
	HaCluster::wait_until(
		'pg_ha_health() says why',
		sub {
			return $round->{leader}->safe_psql(
				"SELECT detail FROM pg_ha_health() WHERE check_name = 'store'") =~
			  /could not authenticate.*authentication failed/;
		});
	pass('pg_ha_health() says why');

	# Longer than anybody else would wait before an election
	HaCluster::wait_until('two TTLs have passed',
		sub { HaCluster::now() > $wrong_at + 2 * $cluster->ttl });
	my $right_at = HaCluster::now();
	set_password('Ozelot-1');
	$round->{writer}->wait_for_acks(10, since => $right_at);
	is(acks_between($round, $wrong_at + $cluster->ttl, $right_at),
		0, 'nothing was acknowledged meanwhile');
	my ($first) = grep { $_->{at} > $right_at } $round->{writer}->acks;
	diag sprintf 'writes resumed %.3f s after the password was right',
	  $first->{at} - $right_at;

	foreach my $node ($cluster->nodes)
	{
		ok(!$node->log_contains(qr{Ozelot}),
			'no password in the log of ' . $node->name);
	}
	return;
}
