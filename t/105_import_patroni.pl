#
# Patroni's configuration becomes a node file and a configuration of the cluster: each
# key is mapped, approximated or dropped with a reason, and what nobody knows is told
# with its line.  A node runs straight from it.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Path qw(make_path);
use HaCluster;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use constant {
	EXIT_OK => 0,
	EXIT_CONFIGURATION => 10,
	EXIT_REFUSED => 12,
};

my $place = PostgreSQL::Test::Utils::tempdir();
my $count = 0;

# Every key of Patroni's documentation (yaml_configuration, dynamic_configuration,
# version 4.1, and what 3.0's has beside them).
my @libpq = map { "authentication.$_" }
  qw(username password sslmode sslkey sslpassword sslcert sslrootcert sslcrl sslcrldir
  sslnegotiation gssencmode channel_binding);
my @etcd = qw(host hosts use_proxies url proxy srv srv_suffix protocol username password
  cacert cert key);
my @server = qw(pg_hba pg_hba_primary pg_hba_replica pg_hba_standby_leader pg_ident
  pg_ident_primary pg_ident_replica pg_ident_standby_leader parameters.work_mem
  parameters_primary parameters_replica parameters_standby_leader use_pg_rewind use_slots
  recovery_conf.restore_command);
my %documented = (
	'' => [qw(name scope namespace thread_pool_size thread_stack_size)],
	log => [qw(type level traceback_level format dateformat static_fields max_queue_size
		  dir mode file_num file_size loggers deduplicate_heartbeat_logs)],
	bootstrap => [qw(method initdb pg_hba post_bootstrap post_init users)],
	'bootstrap.dcs' => [qw(loop_wait ttl retry_timeout primary_race_backoff
		  maximum_lag_on_failover maximum_lag_on_syncnode max_timelines_history
		  primary_start_timeout master_start_timeout primary_stop_timeout
		  master_stop_timeout synchronous_mode synchronous_mode_strict
		  synchronous_node_count failsafe_mode check_timeline pause member_slots_ttl
		  slots ignore_slots standby_cluster)],
	'bootstrap.dcs.postgresql' => \@server,
	citus => [qw(group database)],
	consul => [qw(host url port scheme token verify cacert cert key dc consistency checks
		  register_service service_tags service_check_interval
		  service_check_tls_server_name)],
	etcd => \@etcd,
	etcd3 => \@etcd,
	zookeeper => [qw(hosts use_ssl cacert cert key key_password verify set_acls auth_data)],
	exhibitor => [qw(hosts poll_interval port)],
	kubernetes => [qw(bypass_api_service namespace labels scope_label bootstrap_labels
		  role_label leader_label_value follower_label_value standby_leader_label_value
		  tmp_role_label use_endpoints pod_ip ports cacert retriable_http_codes)],
	raft => [qw(self_addr bind_addr partner_addrs data_dir password min_timeout max_timeout
		  connection_timeout append_entries_period connection_retry_time
		  leader_fallback_timeout)],
	postgresql => [
		@server,
		(map { my $role = $_; map { s/authentication/authentication.$role/r } @libpq }
			  qw(superuser replication rewind)),
		(map { "callbacks.on_$_" } qw(reload restart role_change start stop)),
		(map { "bin_name.$_" }
			  qw(pg_ctl initdb pg_controldata pg_basebackup postgres pg_isready pg_rewind)),
		qw(connect_address proxy_address create_replica_methods data_dir config_dir bin_dir
		  listen pgpass custom_conf krbsrvname pg_ctl_timeout rewind basebackup
		  remove_data_directory_on_rewind_failure
		  remove_data_directory_on_diverged_timelines pre_promote before_stop)
	],
	restapi => [qw(thread_pool_size connect_address listen authentication.username
		  authentication.password certfile keyfile keyfile_password cafile ciphers
		  verify_client allowlist allowlist_include_members http_extra_headers
		  https_extra_headers request_queue_size server_tokens)],
	ctl => [qw(authentication.username authentication.password insecure cacert certfile
		  keyfile keyfile_password)],
	watchdog => [qw(mode device safety_margin)],
	tags => [qw(clonefrom noloadbalance replicatefrom nosync sync_priority nofailover
		  failover_priority nostream key1)],
);

sub import_patroni
{
	my (@arguments) = @_;
	my ($rc, $out, $err) = HaCluster::capture(60, 'pg_ha_boot', 'import-patroni', @arguments);

	note "import-patroni @arguments: " . ($rc >> 8) . "\n$out\n$err";
	return ($rc >> 8, $out, $err);
}

sub yaml
{
	my ($text) = @_;
	my $file = "$place/" . ++$count . '.yml';

	HaCluster::rewrite($file, $text);
	return $file;
}

# What is needed at least; more lines come behind it.
sub minimal
{
	my ($more) = @_;

	return yaml(<<"END_OF_YAML" . ($more // ''));
scope: batman
name: n1
etcd3:
  host: 127.0.0.1:2379
postgresql:
  data_dir: $place/data
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  authentication:
    replication:
      username: replicator
      password: 'rep:p\\ass'
END_OF_YAML
}

sub mode_of { return sprintf '%04o', (stat shift)[2] & 07777; }

my ($rc, $keys) = import_patroni('--keys');
my %fate = $keys =~ /^\| `([^`]+)` \| (\w+) \|/mg;

subtest 'every key of the documentation is in the table' => sub {
	my @missing;

	foreach my $section (sort keys %documented)
	{
		foreach my $key (@{ $documented{$section} })
		{
			my $path = $section eq '' ? $key : "$section.$key";

			push @missing, $path
			  unless $fate{$path} || $fate{ $path =~ s/\.[^.]+$/.*/r };
		}
	}
	is("@missing", '', 'none is missing');
	cmp_ok(scalar(keys %fate), '>', 200, 'it is not short');
	unlike($keys, qr/^\| `[^`]+` \| \w+ \| *\|$/m, 'each has a note');

	my $page = slurp_file("$FindBin::RealBin/../docs/import-patroni.md");
	my $table = join "\n", $page =~ /^(\| `[a-z0-9_.*]+` \| (?:mapped|approximated|dropped) \| .*)$/mg;

	is($table, $keys, 'the documentation has the same table');
};

# With the keys of Patroni's samples: postgres0.yml, with etcd; postgres2.yml with
# credentials; Debian's config.yml.in.
my %samples = (
	etcd => <<'END_OF_YAML',
scope: batman
namespace: /service/
name: postgresql0
restapi:
  listen: 127.0.0.1:8008
  connect_address: 127.0.0.1:8008
etcd:
  host: 127.0.0.1:2379
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
      pg_hba:
      - host replication replicator 127.0.0.1/32 md5
      - host all all 0.0.0.0/0 md5
      parameters:
  initdb:
  - encoding: UTF8
  - data-checksums
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: data/postgresql0
  pgpass: /tmp/pgpass0
  authentication:
    replication:
      username: replicator
      password: one-secret
    superuser:
      username: postgres
      password: two-secret
    rewind:
      username: rewind_user
      password: three-secret
  parameters:
    unix_socket_directories: '..'
tags:
    noloadbalance: false
    clonefrom: false
    nostream: false
END_OF_YAML
	credentials => <<'END_OF_YAML',
scope: batman
name: postgresql2
restapi:
  listen: 127.0.0.1:8010
  connect_address: 127.0.0.1:8010
  authentication:
    username: rest
    password: four-secret
etcd3:
  hosts:
  - 127.0.0.1:2379
  - 127.0.0.1:22379
  username: patroni
  password: five-secret
bootstrap:
  dcs:
    synchronous_mode: on
    postgresql:
      parameters:
        wal_level: replica
        max_connections: 100
        archive_mode: "on"
        archive_timeout: 1800s
        archive_command: mkdir -p ../wal_archive && cp %p ../wal_archive/%f
        wal_log_hints: "on"
        pg_stat_statements.max: 5000
      recovery_conf:
        restore_command: cp ../wal_archive/%f %p
  post_init: /usr/local/bin/setup_cluster.sh
postgresql:
  listen: 127.0.0.1,127.0.0.2:5434
  connect_address: 127.0.0.1:5434
  data_dir: /srv/postgresql2
  authentication:
    replication: {username: replicator, password: one-secret}
    superuser: {username: postgres, password: two-secret}
  callbacks:
    on_role_change: /usr/local/bin/role
  create_replica_methods: [restore, basebackup]
  restore:
    command: /usr/local/bin/restore
    no_leader: 1
  basebackup:
  - max-rate: 100M
  - verbose
watchdog:
  mode: automatic
  device: /dev/watchdog
  safety_margin: 5
tags:
    nofailover: true
    site: berlin
END_OF_YAML
	debian => <<'END_OF_YAML',
scope: "15-main"
namespace: "/postgresql-common/"
name: db1
etcd3:
  hosts: 10.0.0.1:2379,10.0.0.2:2379
restapi:
  listen: 10.0.0.1:8008
  connect_address: 10.0.0.1:8008
bootstrap:
  method: pg_createcluster
  pg_createcluster:
    command: /usr/share/patroni/pg_createcluster_patroni
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    check_timeline: true
    postgresql:
      use_pg_rewind: true
      remove_data_directory_on_rewind_failure: true
      remove_data_directory_on_diverged_timelines: true
      use_slots: true
      parameters:
      pg_hba:
      - local   all             all                                     peer
      - host    replication     all             10.0.0.0/24             md5
postgresql:
  create_replica_method:
    - pg_clonecluster
  pg_clonecluster:
    command: /usr/share/patroni/pg_clonecluster_patroni
  listen: "*:5432"
  connect_address: 10.0.0.1:5432
  use_unix_socket: true
  data_dir: /var/lib/postgresql/15/main
  bin_dir: /usr/lib/postgresql/15/bin
  config_dir: /etc/postgresql/15/main
  pgpass: /var/lib/postgresql/15-main.pgpass
  authentication:
    replication:
      username: "replicator"
      password: "one-secret"
    superuser:
      username: "postgres"
      password:
  parameters:
    unix_socket_directories: '/var/run/postgresql/'
    logging_collector: 'on'
    log_directory: '/var/log/postgresql'
    log_filename: 'postgresql-15-main.log'
    max_connections: 7
END_OF_YAML
);

subtest 'samples: all of them convert' => sub {
	foreach my $name (sort keys %samples)
	{
		my $file = yaml($samples{$name});
		my $dir = "$place/$name";
		my ($code, $out, $err) = import_patroni($file, "--output=$dir");

		is($code, EXIT_OK, "$name converts");
		like($out, qr/ 0 unknown, 0 fault$/m, 'all of its keys are known');
		unlike("$out$err", qr/secret/, 'no password is printed');
		is(join(' ', map { mode_of($_) } grep { mode_of($_) ne '0600' } glob "$dir/*"),
			'', 'all files are for their owner alone');
		is(mode_of($dir), '0700', 'and so is the directory');
		unlike(slurp_file("$dir/node.conf") . slurp_file("$dir/cluster.json"),
			qr/secret/, 'passwords are in files of their own');
		ok(eval { JSON::PP::decode_json(slurp_file("$dir/cluster.json")) },
			'the configuration is JSON');
	}
};

subtest 'samples: what becomes of them' => sub {
	my $node = slurp_file("$place/credentials/node.conf");
	my $config = JSON::PP::decode_json(slurp_file("$place/credentials/cluster.json"));

	like($node, qr/^pg_ha\.etcd_endpoints = 'http:\/\/127\.0\.0\.1:2379,http:\/\/127\.0\.0\.1:22379'$/m, 'endpoints');
	like($node, qr/^listen_addresses = '127\.0\.0\.1,127\.0\.0\.2'$/m, 'addresses');
	like($node, qr/^port = '5434'$/m, 'the port');
	like($node, qr/^pg_ha\.tags = 'nofailover=true, site=berlin'$/m, 'tags');
	like($node, qr/^pg_ha\.clone_methods = '\/usr\/local\/bin\/restore no_leader, basebackup'$/m, 'methods');
	like($node, qr/^pg_ha\.clone_max_rate = '100M'$/m, 'an option of pg_basebackup');
	like($node, qr/^archive_command = 'mkdir/m, 'what names a program is the node\'s');
	like($node, qr/^restore_command = 'cp /m, 'of recovery_conf, too');
	unlike($node, qr/wal_log_hints|superuser/, 'what pg_ha sets is not there');
	is(slurp_file("$place/credentials/passfile"), "*:*:*:replicator:one-secret\n", 'the passfile');
	is(slurp_file("$place/credentials/rest_auth"), "rest:four-secret\n", 'credentials for HTTP');
	is(slurp_file("$place/credentials/etcd_password"), "five-secret\n", 'the password for etcd');
	is_deeply(
		$config,
		{
			ttl => 30,
			loop_wait => 10,
			retry_timeout => 10,
			synchronous_mode => JSON::PP::true,
			postgresql => {
				parameters => {
					wal_level => 'replica',
					max_connections => 100,
					archive_mode => 'on',
					archive_timeout => '1800s',
					'pg_stat_statements.max' => 5000
				}
			}
		},
		'the configuration, with Patroni\'s defaults of the times');

	my (undef, $out) = import_patroni(yaml($samples{credentials}), '--check');
	like($out, qr/^\S+:47: watchdog\.mode: dropped: .*no watchdog is needed$/m, 'a reason, with the line');
	like($out, qr/^\S+:41: postgresql\.restore\.command: approximated: /m, 'a key of a method');
	like($out, qr/: postgresql\.basebackup\.verbose: dropped: /m, 'an option that is not passed on');

	$node = slurp_file("$place/debian/node.conf");
	like($node, qr/^pg_ha\.namespace = 'postgresql-common'$/m, 'Debian: the namespace');
	like($node, qr/^pg_ha\.rebuild_on_divergence = 'on'$/m, 'Debian: the policy');
	unlike($node, qr/max_connections/, 'what Patroni takes from the cluster alone is not the node\'s');
	(undef, $out) = import_patroni(yaml($samples{debian}), '--check');
	like($out, qr/postgresql\.parameters\.max_connections: dropped: Patroni takes it from the cluster/, 'and that is told');
};

subtest 'unknown keys, with their lines' => sub {
	my ($code, $out) = import_patroni(minimal(<<'END_OF_YAML'), '--check');
bootstrap:
  dcs:
    tll: 30
    postgresql:
      parametrs: {work_mem: 8MB}
use_pg_rewind: true
frobnicate:
  deep: 1
END_OF_YAML

	is($code, EXIT_OK, 'Patroni takes no notice of them either');
	like($out, qr/^\S+:15: bootstrap\.dcs\.tll: unknown: .*did you mean "bootstrap\.dcs\.ttl"\?$/m, 'a key');
	like($out, qr/^\S+:17: bootstrap\.dcs\.postgresql\.parametrs: unknown: .*"bootstrap\.dcs\.postgresql\.parameters"\?$/m, 'a section');
	like($out, qr/^\S+:18: use_pg_rewind: unknown: .*postgresql\.use_pg_rewind"\?$/m, 'one that belongs elsewhere');
	like($out, qr/^\S+:19: frobnicate: unknown: no version/m, 'one like no other');
	like($out, qr/ 4 unknown, 0 fault$/m, 'that is all');
};

subtest 'variables of the environment stand over the file' => sub {
	local %ENV = (
		%ENV,
		PATRONI_SCOPE => 'gotham',
		PATRONI_ETCD3_HOSTS => "'10.1.0.1:2379','10.1.0.2:2379'",
		PATRONI_ETCD3_PROTOCOL => 'https',
		PATRONI_REPLICATION_USERNAME => 'robin',
		PATRONI_REPLICATION_PASSWORD => 'six-secret',
		PATRONI_POSTGRESQL_CONNECT_ADDRESS => '10.1.0.7:5433',
		PATRONI_POSTGRESQL_BIN_PG_CTL => 'my_pg_ctl',
		PATRONI_RESTAPI_USERNAME => 'r',
		PATRONI_RESTAPI_PASSWORD => 'seven-secret',
		PATRONI_LOGLEVEL => 'DEBUG',
		PATRONI_NAME => '',
		PATRONI_admin_PASSWORD => 'eight-secret',
		PATRONI_TAGS_NOFAILOVER => 'true',
		PATRONI_RESTAPI_LISTNE => '1',
	);
	my $dir = "$place/environment";
	my ($code, $out, $err) = import_patroni(minimal(), "--output=$dir");
	my $node = slurp_file("$dir/node.conf");

	is($code, EXIT_OK, 'it converts');
	like($node, qr/^pg_ha\.scope = 'gotham'$/m, 'the scope');
	like($node, qr/^pg_ha\.name = 'n1'$/m, 'an empty one is as none');
	like($node, qr/^pg_ha\.etcd_endpoints = 'https:\/\/10\.1\.0\.1:2379,https:\/\/10\.1\.0\.2:2379'$/m, 'a list, over what is another key');
	like($node, qr/^pg_ha\.replication_user = 'robin'$/m, 'a user');
	is(slurp_file("$dir/passfile"), "*:*:*:robin:six-secret\n", 'a password');
	is(slurp_file("$dir/rest_auth"), "r:seven-secret\n", 'another');
	unlike("$out$err", qr/secret/, 'none is printed');
	like($out, qr/^PATRONI_SCOPE: scope: mapped/m, 'the variable is named as the place');
	like($out, qr/^PATRONI_LOGLEVEL: log\.level: dropped/m, 'an old name');
	like($out, qr/^PATRONI_admin_PASSWORD: bootstrap\.users: dropped/m, 'a role');
	like($out, qr/^PATRONI_RESTAPI_LISTNE: .*unknown: .*"restapi\.listen"\?/m, 'a typing error');
	like($out, qr/^PATRONI_TAGS_NOFAILOVER: .*unknown/m, 'what Patroni does not read there');
	unlike($node, qr/nofailover/, 'is not read here');

	local $ENV{PATRONI_CONFIGURATION} = slurp_file(minimal());
	($code, $out) = import_patroni('--check');
	is($code, EXIT_OK, 'PATRONI_CONFIGURATION alone');
	unlike($out, qr/PATRONI_SCOPE/, 'then nothing else is looked at');
};

subtest 'a directory of files' => sub {
	my $dir = "$place/conf.d";

	make_path($dir);
	HaCluster::rewrite("$dir/10.yml", slurp_file(minimal("tags: {nosync: true, a: 1}\n")));
	HaCluster::rewrite("$dir/20.yaml", "scope: joker\ntags: {nosync: null, b: 2}\n");
	HaCluster::rewrite("$dir/30.txt", "scope: nobody\n");
	my ($code, $out) = import_patroni($dir, "--output=$place/directory");
	my $node = slurp_file("$place/directory/node.conf");

	is($code, EXIT_OK, 'it converts');
	like($node, qr/^pg_ha\.scope = 'joker'$/m, 'the later file wins');
	like($node, qr/^pg_ha\.tags = 'a=1, b=2'$/m, 'mappings are merged, null removes');
	like($out, qr/20\.yaml:1: scope: mapped/, 'the place names the file');
};

subtest 'passwords, and what is there already' => sub {
	my $dir = "$place/passwords";
	my ($code, undef, $err) = import_patroni(minimal(), "--output=$dir");

	is($code, EXIT_OK, 'it converts');
	is(slurp_file("$dir/passfile"), "*:*:*:replicator:rep\\:p\\\\ass\n", 'escaped as libpq wants it');
	HaCluster::rewrite("$dir/node.conf", "mine\n");
	unlink "$dir/cluster.json";
	($code, undef, $err) = import_patroni(minimal(), "--output=$dir");
	is($code, EXIT_REFUSED, 'refused');
	like($err, qr/node\.conf" exists already/, 'with the name');
	is(slurp_file("$dir/node.conf"), "mine\n", 'it is as it was');
	ok(!-e "$dir/cluster.json", 'and nothing else was written');

	($code, undef, $err) = import_patroni(minimal());
	is($code, EXIT_CONFIGURATION, 'no --output');
	($code) = import_patroni(minimal(), '--check', "--output=$place/none");
	is($code, EXIT_OK, '--check');
	ok(!-e "$place/none", 'writes nothing');

	my ($ok, $out) = import_patroni(
		yaml("scope: s\nname: n\netcd3: {url: 'http://u:nine-secret\@127.0.0.1:2379'}\n"
			  . "postgresql: {data_dir: /d, authentication: {replication: {username: r, password: p}}}\n"),
		"--output=$place/url");
	is($ok, EXIT_OK, 'a password in an URL');
	unlike(slurp_file("$place/url/node.conf") . $out, qr/nine-secret/, 'is taken out of it');
	is(slurp_file("$place/url/etcd_password"), "nine-secret\n", 'and put where it belongs');
};

# What it is called, the document, what must be said.
my $bomb = join '', map { my $n = $_; "a$n: &a$n [" . join(',', ('*a' . ($n - 1)) x 9) . "]\n" } 1 .. 9;
my @hostile = (
	[ 'a bomb of aliases', "a0: &a0 [x,x,x,x,x,x,x,x,x]\n$bomb", qr/:4: there are more than 5000 values, counting what aliases repeat/ ],
	[ 'an alias of itself', "a: &a [*a]\n", qr/:1: alias "a" names nothing that stands before it/ ],
	[ 'depth', 'scope: ' . '[' x 100 . ']' x 100 . "\n", qr/:1: values are nested deeper than 32 levels/ ],
	[ 'size', 'scope: ' . 'x' x 300_000 . "\n", qr/more than 262144 bytes/ ],
	[ 'a key twice', "scope: a\nname: b\nscope: c\n", qr/:3: key "scope" stands in line 1 already/ ],
	[ 'two documents', "scope: a\n---\nscope: b\n", qr/:2: there is more than one document/ ],
	[ 'an object of Python', "scope: !!python/object/apply:os.system ['true']\n", qr/:1: tag "[^"]*python[^"]*" is not supported/ ],
	[ 'a list as a key', "? [a, b]\n: c\n", qr/:1: a key must be a text/ ],
	[ 'no mapping', "- a\n- b\n", qr/a mapping of Patroni's keys was expected/ ],
	[ 'nothing', '', qr/a mapping of Patroni's keys was expected/ ],
	[ 'broken syntax', "scope: [a\nname: b\n", qr/:2: did not find expected ',' or '\]'/ ],
	[ 'a tab', "scope:\n\tname: b\n", qr/:2: found character that cannot start any token/ ],
	[ 'a zero byte', "scope: \"a\\0b\"\n", qr/:1: a value contains a zero byte/ ],
	[ 'no UTF-8', "scope: \"\xff\xfe\"\n", qr/:1: invalid leading UTF-8 octet/ ],
);

subtest 'hostile YAML' => sub {
	foreach my $case (@hostile)
	{
		my ($name, $text, $expected) = @$case;
		my ($code, $out, $err) = import_patroni(yaml($text), "--output=$place/hostile");

		is($code, EXIT_CONFIGURATION, "$name: refused");
		like($err, $expected, "$name: the reason, with its line");
		ok(!-e "$place/hostile", "$name: nothing is written");
	}
};

# The lines that come behind the minimal ones, whose first is 13.
my @wrong = (
	[ 'a list where a text is needed', "restapi:\n  listen: [a, b]\n", qr/:14: restapi\.listen: fault: it must be a single value/ ],
	[ 'a text where a list is needed', "bootstrap:\n  pg_hba: host all\n", qr/:14: bootstrap\.pg_hba: fault: it must be a list/ ],
	[ 'a text where a section is needed', "bootstrap: yes\n", qr/:13: bootstrap: fault: it must be a mapping/ ],
	[ 'a switch that is none', "bootstrap:\n  dcs:\n    postgresql:\n      use_pg_rewind: maybe\n", qr/:16: .*use_pg_rewind: fault: it must be true or false/ ],
	[ 'a value of two lines', "restapi:\n  certfile: \"a\\nb = c\"\n", qr/:14: restapi\.certfile: fault: its value has more than one line/ ],
	[ 'times that do not fit', "bootstrap:\n  dcs:\n    ttl: 20\n", qr/bootstrap\.dcs: fault: .*ttl/ ],
	[ 'a setting that is none', "bootstrap:\n  dcs:\n    postgresql:\n      parameters:\n        'a b': 1\n", qr/fault: .*"a b" is not the name of a parameter/ ],
	[ 'a method without a command', "bootstrap:\n  method: mine\n", qr/:14: bootstrap\.method: fault: this method has no command/ ],
);

subtest 'values that are none' => sub {
	foreach my $case (@wrong)
	{
		my ($name, $text, $expected) = @$case;
		my ($code, $out) = import_patroni(minimal($text), "--output=$place/wrong");

		is($code, EXIT_CONFIGURATION, "$name: refused");
		like($out, $expected, "$name: the reason, with its line");
		ok(!-e "$place/wrong", "$name: nothing is written");
	}
	my ($code, $out, $err) = import_patroni(yaml("scope: s\nname: n\npostgresql: {data_dir: /d}\nconsul: {host: a}\n"), '--check');
	is($code, EXIT_CONFIGURATION, 'no etcd: refused');
	like($out, qr/: etcd: fault: no endpoint of etcd is given/, 'no etcd: the reason');
	($code, undef, $err) = import_patroni(
		yaml("name: n\netcd3: {host: a}\npostgresql: {data_dir: /d, authentication: {replication: {username: r, password: p}}}\n"),
		'--check');
	is($code, EXIT_CONFIGURATION, 'no scope: refused');
	like($err, qr/P01 the node file would have a fault: setting "pg_ha\.scope" is missing/, 'by who reads node files');
};

subtest 'a node runs from it' => sub {
	my $cluster = HaCluster->new(nodes => 1);
	my ($node) = $cluster->nodes;
	my $socket = $cluster->{sockets};
	my $file = "$place/run.yml";
	my $text = <<"END_OF_YAML";
scope: $cluster->{scope}
name: n1
etcd3:
  host: 127.0.0.1:$node->{wires}[0]{port}
restapi:
  listen: 127.0.0.1:$node->{rest_port}
  connect_address: 127.0.0.1:$node->{rest_port}
bootstrap:
  dcs:
    ttl: 4
    loop_wait: 1
    retry_timeout: 1
    postgresql:
      parameters:
        work_mem: 6MB
        max_connections: 110
      pg_hba:
      - local all all peer
      - host replication replicator 127.0.0.1/32 md5
      - host all all 127.0.0.1/32 md5
  initdb:
  - encoding: UTF8
  - locale: C.UTF-8
postgresql:
  listen: 127.0.0.1:$node->{port}
  connect_address: 127.0.0.1:$node->{port}
  data_dir: /nowhere
  authentication:
    replication:
      username: replicator
  parameters:
    unix_socket_directories: $socket
    shared_buffers: 16MB
    min_wal_size: 32MB
    max_wal_size: 128MB
tags:
  nosync: false
tgas: {}
END_OF_YAML

	$cluster->etcd_delete('config');
	HaCluster::rewrite($file, $text);
	$node->{patroni_config} = $file;
	$node->set_environment(PATRONI_REPLICATION_PASSWORD => 'ten-secret');
	$node->start;
	my $leader = $cluster->wait_for_leader;

	is($leader->name, 'n1', 'it leads');
	is($leader->safe_psql('SHOW work_mem'), '6MB', 'with a setting of the cluster');
	is($leader->safe_psql(q{SELECT value FROM pg_ha_parameters() WHERE name = 'max_connections'}),
		'110', 'and one that needs a restart');
	is($leader->safe_psql('SHOW shared_buffers'), '16MB', 'and one of its own');
	my $config = JSON::PP::decode_json($cluster->etcd_get('config'));
	is($config->{ttl}, 4, 'its configuration is the cluster\'s');
	is_deeply([ glob "$node->{dir}.pg_ha/patroni/*" ],
		[ map { "$node->{dir}.pg_ha/patroni/$_" } qw(cluster.json node.conf passfile) ],
		'the files are in the state directory');
	is(join(' ', map { mode_of($_) } glob "$node->{dir}.pg_ha/patroni/*"),
		'0600 0600 0600', 'for their owner alone');
	is($leader->safe_psql(q{SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'replicator'}),
		't', 'the replication role has its password');
	unlike(slurp_file('/proc/' . $node->postmaster_pid . '/environ'),
		qr/secret/, 'which is not in the environment of the server');
	ok(!$node->log_contains(qr/secret/), 'nor in the log');
	ok($node->log_contains(qr/warning: .*run\.yml:\d+: tgas: there is no such key; did you mean "tags"/),
		'an unknown key is told at the start');

	HaCluster::rewrite($file, $text =~ s/nosync: false/nosync: true/r);
	kill 'HUP', $node->boot_pid;
	HaCluster::wait_until('a reload reads Patroni\'s configuration again',
		sub { $cluster->etcd_get('members/n1') =~ /"nosync": *true/ });
	is(slurp_file("$node->{dir}.pg_ha/patroni/passfile"), "*:*:*:replicator:ten-secret\n",
		'with the variables of the start');

	HaCluster::rewrite($file, "$text: broken");
	my $size = $node->log_size;
	kill 'HUP', $node->boot_pid;
	HaCluster::wait_until('a broken one is not applied',
		sub { $node->log_contains(qr/has faults and is not applied/, $size) });
	is($cluster->leader->name, 'n1', 'it leads on');
	$node->stop;
	$node->start;
	is($node->wait_for_exit, EXIT_CONFIGURATION, 'nor does a node start from it');
	HaCluster::rewrite($file, $text);
	$node->start;
	$cluster->wait_for_leader;
	pass('it starts again on the data that is there');
};

done_testing();
