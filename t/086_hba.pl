#
# Access rules: pg_hba.conf has the rules of one source as a whole, on each node of the
# first source that has any; rules that no server would load, or that would cut off a
# standby or the caller, change nothing anywhere; what somebody edits by hand is noticed.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaDocs;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my @members = (
	'local all all peer',
	'host replication ha_repl samenet scram-sha-256',
	'host postgres ha_repl samenet scram-sha-256');
my $page = HaDocs->new('hba.md');

with_bootstrap_rules();
with_cluster_rules();
$page->check_all_were_run;
done_testing();

# A cluster that was created with --hba
sub with_bootstrap_rules
{
	my $cluster = HaCluster->new(nodes => 2);
	my ($n1, $n2) = $cluster->nodes;
	my $given = "$cluster->{base}/clients.conf";

	HaCluster::rewrite($given, text_of('boot'));
	subtest 'G1: rules that a cluster is created with' =>
	  sub { create($cluster, $given) };
	subtest 'G0: rules of the cluster, set on a standby' => sub { set_rules($cluster) };
	subtest 'G6: which line decides' => sub { dry_runs($cluster) };
	subtest 'G0: no lock-out' => sub { guards($cluster) };
	subtest 'G0: bad rules in etcd' => sub { bad_rules_in_etcd($cluster) };
	subtest 'G3: rules of one node' => sub { local_rules($cluster) };
	subtest 'G4: hba_file' => sub { own_file($cluster) };
	subtest 'G5: the matrix, with bootstrap rules' => sub { matrix($n2, 1) };
	subtest 'pg_ident.conf' => sub { ident($cluster) };
	subtest 'O7, O8: the page' => sub { run_page($cluster) };
	$cluster->stop_all;
	return;
}

# A cluster whose configuration has rules from its beginning
sub with_cluster_rules
{
	my $cluster = HaCluster->new(nodes => 2);
	my ($n1, $n2) = $cluster->nodes;

	subtest 'G2: rules in the first configuration' => sub { configure($cluster) };
	subtest 'G5: the matrix, without bootstrap rules' => sub { matrix($n2, 0) };
	$cluster->stop_all;
	return;
}

#
# What is asked and waited for
#

sub rules_of { return (@members, "host all $_[0] 127.0.0.1/32 reject"); }
sub text_of { return join '', map { "$_\n" } rules_of(@_); }

sub array_of { return 'ARRAY[' . join(',', map { "'$_'" } @_) . ']'; }

# The rules that the server would load now: who is rejected tells whose they are
sub rejected
{
	my ($node) = @_;
	return $node->safe_psql(
		q{SELECT string_agg(user_name[1], ',' ORDER BY line_number)
		  FROM pg_hba_file_rules WHERE auth_method = 'reject'});
}

sub source { return $_[0]->safe_psql('SELECT pg_ha_hba_source()'); }

sub row
{
	my ($node, $source, $columns) = @_;
	return $node->safe_psql(
		"SELECT $columns FROM pg_ha_hba_sources() WHERE source = '$source'");
}

sub wait_for_rules
{
	my ($node, $who, $source) = @_;

	HaCluster::wait_until($node->name . " has the rules of $source",
		sub { rejected($node) eq $who && source($node) eq $source });
	return;
}

# Does the server let somebody in over TCP, up to the password?
sub attempt
{
	my ($node, $user) = @_;
	my ($rc, $out, $err) = HaCluster::capture(20, 'psql', '-XAtqw', '-d',
		"host=127.0.0.1 port=$node->{port} dbname=postgres user=$user",
		'-c', 'SELECT 1');
	return $err;
}

sub reload { $_[0]->safe_psql('SELECT pg_reload_conf()'); return; }

# Take it out of the node file
sub without_setting
{
	my ($node, $name) = @_;
	my $text = slurp_file($node->{file});

	$text =~ s/^$name = .*\n//mg;
	HaCluster::rewrite($node->{file}, $text);
	return;
}

sub set_local
{
	my ($node, $path) = @_;

	without_setting($node, 'pg_ha\.local_hba_file');
	$node->add_settings("pg_ha.local_hba_file = '$path'") if $path;
	reload($node);
	return;
}

sub restart
{
	my ($node) = @_;
	$node->stop;
	$node->start;
	HaCluster::wait_until('it is up', sub { ($node->psql('SELECT 1'))[0] == 0 });
	return;
}

sub stored { return $_[0]->etcd_get('config'); }
sub file { return slurp_file("$_[0]{dir}/pg_hba.conf"); }

#
# The subtests
#

sub create
{
	my ($cluster, $given) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my ($rc, $said) = $n1->boot('init', "--hba=$given");

	is($rc, 0, 'init');
	unlike($said, qr/only used when a cluster is created/, 'which is when it counts');
	HaCluster::rewrite($given, text_of('edited'));
	$_->set_options("--hba=$given") foreach $n1, $n2;
	$n1->start;
	$cluster->wait_for_leader;
	$n2->start;
	$cluster->wait_streaming(1);
	$n1->safe_psql('CREATE ROLE app LOGIN; CREATE ROLE boss LOGIN SUPERUSER');
	foreach my $node ($n1, $n2)
	{
		HaCluster::wait_until('it has looked', sub {
			($node->psql('SELECT pg_ha_hba_source()'))[1] ne ''; });
		is(rejected($node), 'boot', $node->name . ': the rules as they were then');
		is(row($node, 'bootstrap', 'location, present, in_force, rules, error IS NULL'),
			"$given|t|t|6|t", 'whose they are');
		is($node->safe_psql('SELECT count(*) FROM pg_ha_hba_sources() WHERE in_force'),
			1, 'no others are');
		ok($node->log_contains(
				qr/warning: --hba is only used when a cluster is created; use pg_ha_set_hba\(\)/),
			'that --hba does nothing now is said');
		ok(!-e "$node->{dir}/pg_hba.conf.before_pg_ha", 'the file was left alone');
	}
	return;
}

sub set_rules
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $before = stored($cluster);
	my @files = map { file($_) } $n1, $n2;

	my ($rc, $out, $err) = $n2->psql(
		'SELECT pg_ha_set_hba(' . array_of($members[0], 'host all all 0.0.0.0/0 scram') . ')');
	like($err, qr/ERROR:  F0000: pg_hba line 2: invalid authentication method "scram"/,
		'a bad line');
	is(stored($cluster), $before, 'nothing was stored');
	is_deeply([ map { file($_) } $n1, $n2 ], \@files, 'no file was changed');

	like(attempt($n1, 'app'), qr/no pg_hba\.conf entry/, 'before: there is no line');
	($rc, $out, $err) = $n2->psql('SELECT pg_ha_set_hba(' . array_of(rules_of('app')) . ')');
	is("$rc$err", '0', 'set on the standby');
	wait_for_rules($_, 'app', 'cluster') foreach $n1, $n2;
	is($n1->safe_psql(q{SELECT string_agg(l, '|') FROM pg_ha_get_hba() l}),
		join('|', rules_of('app')), 'shown on the leader');
	foreach my $i (0, 1)
	{
		my $node = ($n1, $n2)[$i];
		like(file($node),
			qr{\A\# managed by pg_ha \(source: cluster, /service/test1/config\); edits are overwritten\n},
			$node->name . ': the file says whose it is');
		is(slurp_file("$node->{dir}/pg_hba.conf.before_pg_ha"),
			$files[$i], 'what was there before is kept');
		like(attempt($node, 'app'), qr/pg_hba.conf rejects connection/,
			'they are in force');
		is(row($node, 'cluster', 'rules, applied_at > now() - interval \'1 min\''),
			'4|t', 'since when');
	}
	my $config = JSON::PP::decode_json(stored($cluster));
	is_deeply($config->{postgresql}{pg_hba}, [ rules_of('app') ], q{in Patroni's place});
	is($config->{ttl}, $cluster->ttl, 'and nothing else was changed');
	$cluster->wait_streaming(1);
	HaCluster::wait_until('members tell it', sub {
		$n1->safe_psql(q{SELECT string_agg(hba_source || ' ' || hba_differs, ',')
			FROM pg_ha_members()}) eq 'cluster false,cluster false' });
	pass('pg_ha_members() tells it');
	return;
}

sub dry_run
{
	my ($node, $lines, @connection) = @_;
	return $node->safe_psql('SELECT line, method, detail FROM pg_ha_hba_check('
		  . array_of(@$lines) . ', ' . join(', ', map { "'$_'" } @connection) . ')');
}

sub dry_runs
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my @lines = ('host all all 10.0.0.0/8 reject', @members);
	my @repl = ('host replication all 10.0.0.0/8 reject', @members);

	is(dry_run($n2, \@repl, 'ha_repl', 'replication', '10.0.0.6'),
		'1|reject|', 'a reject before the line that allows it');
	is(dry_run($n2, \@lines, 'ha_repl', 'replication', '10.0.0.6'),
		'|reject|no line matches', '"all" is not replication');
	is(dry_run($n2, \@lines, 'app', 'postgres', '10.0.0.6'), '1|reject|', 'but others');
	is(dry_run($n2, \@lines, 'app', 'postgres', 'local'), '2|peer|', 'a socket');
	is(dry_run($n2, \@lines, 'ha_repl', 'replication', '127.0.0.1'),
		'3|scram-sha-256|by the network interfaces of this node', 'samenet');
	is(dry_run($n2, ['host all all db.example.com md5', 'host all all ::/0 trust'],
			'app', 'x', '::1'),
		"1|md5|needs DNS: only if the address is that of \"db.example.com\"\n2|trust|",
		'a name');
	is(dry_run($n2, [ 'hostssl all all all md5', 'hostnossl all all all trust' ],
			'app', 'x', '10.0.0.6'), '2|trust|', 'this server has no TLS');
	is(dry_run($n2, [ 'hostssl all all all md5', 'hostnossl all all all trust' ],
			'app', 'x', '10.0.0.6', 'true'), '1|md5|', 'if it had');
	is(dry_run($n2, ['host sameuser +pg_monitor all trust'], 'app', 'app', '10.0.0.6'),
		'|reject|no line matches', 'not a member of the role');
	$n1->safe_psql('GRANT pg_monitor TO app');
	HaCluster::wait_until('it is one', sub {
		dry_run($n2, ['host sameuser +pg_monitor all trust'], 'app', 'app',
			'10.0.0.6') eq '1|trust|' });
	pass('a member of the role');

	# The judge is the server: what is said is what happens
	foreach my $user ('app', 'ha_repl', 'boss')
	{
		my $method = dry_run($n1, [ rules_of('app'), 'host all boss samehost trust' ],
			$user, 'postgres', '127.0.0.1');
		$n1->psql('SELECT pg_ha_set_hba('
			  . array_of(rules_of('app'), 'host all boss samehost trust') . ')')
		  if $user eq 'app';
		HaCluster::wait_until('they are in force',
			sub { $n1->safe_psql('SELECT count(*) FROM pg_hba_file_rules') == 5 });
		like(attempt($n1, $user), $method =~ /reject/ ? qr/rejects connection/ :
			$method =~ /scram/ ? qr/no password/ : qr/^$/, "$user: $method");
	}
	return;
}

sub guards
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $before = stored($cluster);

	foreach my $lines (
		[ 'host replication all all reject', @members ],
		[ 'local all all peer', 'host all all all scram-sha-256' ])
	{
		my ($rc, $out, $err) =
		  $n2->psql('SELECT pg_ha_set_hba(' . array_of(@$lines) . ')');
		like($err,
			qr/ERROR:  55000: these rules would not let replication user "ha_repl" connect from member n1 \(127\.0\.0\.1\)/,
			'replication');
		like($err, qr/HINT: .*force => true/, 'what could be done');
	}
	my ($rc, $out, $err) =
	  $n2->psql('SELECT pg_ha_set_hba(' . array_of(@members[ 1, 2 ]) . ')');
	like($err,
		qr/ERROR:  55000: these rules would not let user "\w+" connect to database "postgres" as this session does/,
		'the caller');
	($rc, $out, $err) = $n1->psql(
		q{SELECT pg_ha_set_config('{"postgresql": {"pg_hba": ["local all all reject"]}}')});
	like($err, qr/would not let replication user/, 'nor by pg_ha_set_config');
	($rc, $out, $err) = $n1->psql(
		q{SELECT pg_ha_set_config('{"postgresql": {"pg_ident": ["a b"]}}')});
	like($err, qr/pg_ident line 1: missing entry at end of line/, 'nor a bad pg_ident');
	is(stored($cluster), $before, 'nothing was stored');
	is(source($n1), 'cluster', 'the rules are those of before');

	($rc, $out, $err) = $n2->psql('SELECT pg_ha_set_hba('
		  . array_of(@members[ 0, 1 ], 'host all forced 127.0.0.1/32 reject') . ')');
	like($err, qr/WARNING:  01000: these rules do not let replication user "ha_repl" connect to database "postgres" from member n1/,
		'pg_rewind');
	is($rc, 0, 'which does not keep from it');
	($rc, $out, $err) = $n2->psql('SELECT pg_ha_set_hba('
		  . array_of($members[0], 'host all forced 127.0.0.1/32 reject') . ', force => true)');
	is($rc, 0, 'by force');
	wait_for_rules($n1, 'forced', 'cluster');
	$n1->safe_psql('SELECT pg_ha_set_hba(' . array_of(rules_of('app')) . ')');
	wait_for_rules($_, 'app', 'cluster') foreach $n1, $n2;
	return;
}

sub bad_rules_in_etcd
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my @files = map { file($_) } $n1, $n2;
	my $good = stored($cluster);

	foreach my $case (
		[ [ @members, 'host all all 1.2.3.4/99 md5' ],
			qr/^pg_hba line 4: invalid CIDR mask/ ],
		[ [ "local all all peer\nlocal all all trust" ],
			qr/^pg_hba line 1: it is more than one line/ ],
		[ 'local all all trust', qr/^pg_hba: it is not an array/ ],
		[ [ $members[0], 7 ], qr/^pg_hba line 2: it is not a text/ ])
	{
		my $config = JSON::PP::decode_json($good);
		$config->{postgresql}{pg_hba} = $case->[0];
		$cluster->etcd_put('config', JSON::PP->new->canonical->encode($config));
		foreach my $node ($n1, $n2)
		{
			HaCluster::wait_until($node->name . " says $case->[1]",
				sub { $node->status('config_error') =~ $case->[1] });
		}
		is_deeply([ map { file($_) } $n1, $n2 ], \@files, "no file was changed: $case->[1]");
		is(source($n1) . ' ' . rejected($n1), 'cluster app', 'the rules stay');
		is(row($n1, 'cluster', 'in_force, error IS NULL, rules'), 't|f|4',
			'it is said beside the source');
	}
	ok($n2->log_contains(
			qr{WARNING:  the rules of the cluster in "/service/test1/config": line 4: invalid CIDR mask .*; previous rules stay in force}),
		'and in the log');
	$cluster->etcd_put('config', $good);
	HaCluster::wait_until('all is well', sub {
		$n1->status(q{coalesce(config_error, '')}) eq '' });
	is_deeply([ map { file($_) } $n1, $n2 ], \@files, 'no file was ever changed');
	return;
}

sub local_rules
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $path = "$cluster->{base}/n1_hba.conf";
	my $other = file($n2);

	HaCluster::rewrite($path, text_of('here'));
	set_local($n1, $path);
	wait_for_rules($n1, 'here', 'local');
	like(file($n1),
		qr{\A\# managed by pg_ha \(source: local, \Q$path\E\); edits are overwritten\n},
		'the header');
	is(row($n1, 'local', 'priority, location, present, in_force, rules, error IS NULL'),
		"2|$path|t|t|4|t", 'the source');
	HaCluster::wait_until('members tell it', sub {
		$n2->safe_psql(q{SELECT string_agg(hba_source || ' ' || hba_differs, ',' ORDER BY name)
			FROM pg_ha_members()}) eq 'local false,cluster true' });
	pass('pg_ha_members() tells that the leader has others');

	my $offset = $n1->log_size;
	append_to_file("$n1->{dir}/pg_hba.conf", "host all byhand 127.0.0.1/32 reject\n");
	reload($n1);
	wait_for_rules($n1, 'here', 'local');
	HaCluster::wait_until('it is said', sub {
		$n1->log_contains(
			qr/LOG:  pg_hba\.conf was changed outside pg_ha; rewriting from source "local"/,
			$offset) });
	pass('a line that was added by hand is gone, which is said');
	HaCluster::rewrite("$n1->{dir}/pg_hba.conf", "local all all peer\n");
	wait_for_rules($n1, 'here', 'local');
	unlink "$n1->{dir}/pg_hba.conf";
	HaCluster::wait_until('it is there again', sub { -e "$n1->{dir}/pg_hba.conf" });
	pass('also a file that was replaced or removed as a whole');

	my ($rc, $out, $err) = $n2->psql('SELECT pg_ha_set_hba(' . array_of(rules_of('news')) . ')');
	like($err, qr/WARNING:  01000: stored, but not in force on n1 \(local\)/,
		'where rules of the cluster do nothing is said');
	wait_for_rules($n2, 'news', 'cluster');
	is(rejected($n1), 'here', 'and they do nothing there');

	foreach my $case ([ text_of('bad') . "host all all all magic\n",
			'line 5: invalid authentication method "magic"' ],
		[ "# nothing\n", 'there is no rule in it' ],
		[ undef, 'could not read file: No such file or directory' ])
	{
		$offset = $n1->log_size;
		$case->[0] ? HaCluster::rewrite($path, $case->[0]) : unlink($path);
		HaCluster::wait_until("it says $case->[1]", sub {
			row($n1, 'local', 'error') eq $case->[1] });
		is(rejected($n1), 'here', "$case->[1]: the old rules stay");
		ok($n1->log_contains(
				qr{WARNING:  pg_ha\.local_hba_file "\Q$path\E": \Q$case->[1]\E; previous rules stay in force},
				$offset), 'it is in the log');
	}
	my $leader_is = $cluster->leader;
	POSIX::mkfifo($path, 0600) or BAIL_OUT("mkfifo: $!");
	HaCluster::wait_until('a pipe without an end', sub {
		row($n1, 'local', 'error') eq 'there is no rule in it' });
	unlink $path;
	is($cluster->leader, $leader_is, 'the leader waits for no file');

	set_local($n1, '');
	wait_for_rules($n1, 'news', 'cluster');
	$n1->safe_psql('SELECT pg_ha_set_hba(ARRAY[]::text[])');
	wait_for_rules($_, 'boot', 'bootstrap') foreach $n1, $n2;
	ok(!-e "$n1->{dir}/pg_hba.conf.before_pg_ha", 'the file of before is back in its place');
	append_to_file("$n2->{dir}/pg_hba.conf", "host all mine 127.0.0.1/32 reject\n");
	reload($n2);
	$n2->safe_psql('SELECT pg_ha_set_hba(' . array_of(rules_of('again')) . ')');
	wait_for_rules($_, 'again', 'cluster') foreach $n1, $n2;
	$n2->safe_psql(q{SELECT pg_ha_set_hba('{}')});
	wait_for_rules($n2, 'boot,mine', 'bootstrap');
	pass('where the file is nobody else\'s, what is edited there stays');
	wait_for_rules($n1, 'boot', 'bootstrap');
	HaCluster::rewrite("$n2->{dir}/pg_hba.conf", file($n1));
	return;
}

sub own_file
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $path = "$cluster->{base}/own_hba.conf";
	my $before = file($n2);

	HaCluster::rewrite($path, text_of('own'));
	$n2->add_settings("hba_file = '$path'");
	restart($n2);
	wait_for_rules($n2, 'own', 'hba_file');
	$cluster->wait_streaming(1);
	HaCluster::wait_until('members know', sub {
		$n1->safe_psql(q{SELECT hba_source FROM pg_ha_members() WHERE name = 'n2'}) eq
		  'hba_file' });
	my ($rc, $out, $err) = $n1->psql('SELECT pg_ha_set_hba(' . array_of(rules_of('all4')) . ')');
	like($err, qr/WARNING:  01000: stored, but not in force on n2 \(hba_file\)/, 'it is named');
	wait_for_rules($n1, 'all4', 'cluster');
	HaCluster::wait_until('n2 has seen it', sub { row($n2, 'cluster', 'rules') eq '4' });
	is(rejected($n2) . ' ' . source($n2), 'own hba_file', 'its rules are its own');
	is(slurp_file($path), text_of('own'), 'the file is the same');
	is(file($n2), $before, 'and so is the other one');

	my $offset = $n2->log_size;
	$n2->stop;
	unlink $path;
	$n2->start;
	is($n2->wait_for_exit, 10, 'without the file: exit code');
	ok($n2->log_contains(
			qr/P20 hba_file "\Q$path\E" cannot be read: No such file or directory/, $offset),
		'the reason');
	ok(!$n2->log_contains(qr/starting PostgreSQL/, $offset), 'no server was started');
	without_setting($n2, 'hba_file');
	$n2->start;
	$cluster->wait_streaming(1);
	wait_for_rules($n2, 'all4', 'cluster');
	$n1->safe_psql(q{SELECT pg_ha_set_hba('{}')});
	wait_for_rules($n2, 'boot', 'bootstrap');
	return;
}

# All combinations of the three other sources, on a standby
sub matrix
{
	my ($node, $bootstrap) = @_;
	my $cluster = $node->{cluster};
	my $base = $bootstrap ? 'bootstrap' : 'initdb';
	my $untouched = $bootstrap ? 'boot' : '';
	my $own = "$cluster->{base}/matrix_own.conf";
	my $local = "$cluster->{base}/matrix_local.conf";

	HaCluster::rewrite($own, text_of('m_own'));
	HaCluster::rewrite($local, text_of('m_local'));
	foreach my $hba_file (0, 1)
	{
		if ($hba_file)
		{
			$node->add_settings("hba_file = '$own'");
			restart($node);
		}
		foreach my $with_local (0, 1)
		{
			set_local($node, $with_local ? $local : '');
			foreach my $with_cluster ($with_local ? (1, 0) : (0, 1))
			{
				my $source =
					$hba_file ? 'hba_file'
				  : $with_local ? 'local'
				  : $with_cluster ? 'cluster'
				  :                 $base;
				my %who = (
					hba_file => 'm_own',
					local => 'm_local',
					cluster => 'm_cluster',
					$base => $untouched);
				$node->psql('SELECT pg_ha_set_hba('
					  . ($with_cluster ? array_of(rules_of('m_cluster')) : q{'{}'})
					  . ')');
				HaCluster::wait_until(
					'the sources are known',
					sub {
						$node->safe_psql(
							q{SELECT string_agg(present::int::text, '' ORDER BY priority)
							  FROM pg_ha_hba_sources()}) eq
						  join('', $hba_file, $with_local, $with_cluster, $bootstrap,
							1 - $bootstrap);
					});
				HaCluster::wait_until(
					"the rules are those of $source",
					sub { rejected($node) eq $who{$source} });
				is( $node->safe_psql(
						q{SELECT string_agg(source, ',') FROM pg_ha_hba_sources() WHERE in_force}),
					$source,
					"hba_file $hba_file, local $with_local, cluster $with_cluster, bootstrap $bootstrap: $source"
				);
			}
		}
	}
	without_setting($node, $_) foreach 'hba_file', 'pg_ha\.local_hba_file';
	restart($node);
	return;
}

sub ident
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $mappings = q{SELECT string_agg(map_name || ' ' || sys_name || ' ' || pg_username, ',')
		FROM pg_ident_file_mappings};
	my $path = "$cluster->{base}/ident.conf";

	$n1->safe_psql(
		q{SELECT pg_ha_set_config('{"postgresql": {"pg_ident": ["m root app", "m /^a(.*)$ \\\\1"]}}')});
	HaCluster::wait_until($_->name . ' has them',
		sub { $_->safe_psql($mappings) eq 'm root app,m /^a(.*)$ \1' })
	  foreach $n1, $n2;
	HaCluster::rewrite($path, "m me boss\n");
	$n2->add_settings("pg_ha.local_ident_file = '$path'");
	reload($n2);
	HaCluster::wait_until('the node has its own', sub { $n2->safe_psql($mappings) eq 'm me boss' });
	HaCluster::wait_until(
		'its sources are shown',
		sub {
			$n2->safe_psql(
				q{SELECT source, in_force, rules FROM pg_ha_ident_sources() WHERE present ORDER BY priority}
			) eq "local|t|1\ncluster|f|2\ninitdb|f|0";
		});
	is($n1->safe_psql($mappings), 'm root app,m /^a(.*)$ \1', 'only there');
	return;
}

sub configure
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my $file = "$cluster->{base}/config.json";
	my %config = (%{ $cluster->{config} }, postgresql => { pg_hba => [@members] });
	my $json = JSON::PP->new->canonical;
	my ($rc, $said);

	$cluster->etcd_delete('config');
	$config{postgresql}{pg_hba}[1] = 'host replication ha_repl samenet scram';
	HaCluster::rewrite($file, $json->encode(\%config));
	($rc, $said) = $n1->boot('init', "--cluster-config=$file");
	is($rc, 10, 'a bad line: exit code');
	like($said, qr/B04 config\.pg_hba line 2: invalid authentication method "scram"/, 'why');
	is($cluster->etcd_get('initialize'), undef, 'no initialize key');
	$config{postgresql}{pg_hba}[1] = [];
	HaCluster::rewrite($file, $json->encode(\%config));
	($rc, $said) = $n1->boot('init', "--cluster-config=$file");
	is($rc, 10, 'no text: exit code');
	like($said, qr/B04 config\.pg_hba line 2: it is not a text/, 'why');
	$config{postgresql}{pg_hba}[1] = $members[1];
	HaCluster::rewrite($file, $json->encode(\%config));
	($rc, $said) = $n1->boot('init', "--cluster-config=$file");
	is($rc, 0, 'three lines');

	# What the first node has of its own is not for those who clone it
	HaCluster::rewrite("$cluster->{base}/one.conf", text_of('one'));
	$n1->add_settings("pg_ha.local_hba_file = '$cluster->{base}/one.conf'");
	$n1->start;
	$cluster->wait_for_leader;
	wait_for_rules($n1, 'one', 'local');
	$n2->start;
	$cluster->wait_streaming(1);
	wait_for_rules($n2, '', 'cluster');
	set_local($n1, '');
	wait_for_rules($n1, '', 'cluster');
	foreach my $node ($n1, $n2)
	{
		is($node->safe_psql(
				'SELECT count(*), count(error) FROM pg_hba_file_rules'),
			'3|0', $node->name . ': these three');
		is($node->safe_psql(q{SELECT string_agg(l, '|') FROM pg_ha_get_hba() l}),
			join('|', @members), 'as they were given');
	}
	return;
}

sub run_page
{
	my ($cluster) = @_;
	my ($n1, $n2) = $cluster->nodes;
	my %place = (
		PGHOST => $cluster->{sockets},
		PGPORT => $n1->port,
		PGDATABASE => 'postgres',
		PGDATA => $n2->{dir},
		NODEFILE => $n2->{file},
		HBA => "$cluster->{base}/page_hba.conf");
	my ($rc, $out);

	($rc, $out) = $page->run('sources', %place);
	like($out, qr/ 4 \| bootstrap .* t +\| t /, 'sources');
	($rc, $out) = $page->run('dry_run', %place);
	is($rc, 0, 'dry_run');
	like($out, qr/^ +2 \| scram-sha-256 \|/m, 'the line that decides');
	($rc, $out) = $page->run('set', %place);
	is($rc, 0, 'set');
	HaCluster::wait_until('it is in force everywhere', sub {
		($rc, $out) = $page->run('everywhere', %place);
		return $out =~ /n1 +\| cluster +\| f\n +n2 +\| cluster +\| f\n/; });
	pass('everywhere');
	($rc, $out) = $page->run('unset', %place);
	is($rc, 0, 'unset');
	wait_for_rules($n2, 'boot', 'bootstrap');

	HaCluster::rewrite($place{HBA}, text_of('page'));
	($rc, $out) = $page->run('node', %place, PGPORT => $n2->port);
	is($rc, 0, 'node');
	wait_for_rules($n2, 'page', 'local');
	set_local($n2, '');
	wait_for_rules($n2, 'boot', 'bootstrap');
	$n2->stop;
	HaCluster::rewrite("$cluster->{base}/bad.conf", text_of('bad') . "host all\n");
	$n2->add_settings("pg_ha.local_hba_file = '$cluster->{base}/bad.conf'");
	($rc, $out) = $n2->boot('check');
	is($rc, 0, 'bad rules of its own keep a node from nothing');
	like($out, qr/warning: P20 pg_ha\.local_hba_file "[^"]*bad\.conf": line 5: end-of-line before role/,
		'but are told of');
	without_setting($n2, 'pg_ha\.local_hba_file');
	($rc, $out) = $page->run('hba_file', %place);
	is($rc, 0, 'hba_file');
	unlike($out, qr/P20/, 'it is there, and good');
	$n2->start;
	$cluster->wait_streaming(1);
	wait_for_rules($n2, 'page', 'hba_file');
	return;
}
