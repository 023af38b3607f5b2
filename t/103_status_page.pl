#
# The page that a browser gets at "/", in a real one (headless Chromium): who leads, how far the
# others are, the lease, and a change of the leader that is seen without loading it anew.
# What others wrote into the store is shown as text; proxies and tools are answered as before.
#
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use HaCluster;
use HaFault;
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } '/usr/bin/chromium';
plan skip_all => 'chromium is not installed' if !$chromium;

seed_random();
my $cluster = HaCluster->new(nodes => 3);
$cluster->start_all;
my $leader = $cluster->wait_for_leader;
$cluster->wait_streaming(2);
my ($standby, $third) = $cluster->standbys;

subtest 'only a browser gets it' => \&who_gets_it;
subtest 'the leader shows all members and its lease' => \&on_the_leader;
subtest 'what others wrote is text' => \&hostile_text;
subtest 'a standby shows a change of the leader' => \&after_a_change;
done_testing();

sub browse
{
	my ($node, @options) = @_;
	my $home = PostgreSQL::Test::Utils::tempdir_short();

	local $ENV{HOME} = $home;
	my ($rc, $out, $err) = HaCluster::capture(60, $chromium, '--headless=new', '--no-sandbox',
		'--disable-gpu', '--hide-scrollbars', "--user-data-dir=$home/profile",
		'--virtual-time-budget=3000', @options, "http://$node->{address}:$node->{rest_port}/");
	return $out;
}

# What a reader sees of it
sub text_of
{
	my ($dom) = @_;

	$dom =~ s{<(script|style)\b.*?</\1>}{}gs;
	$dom =~ s{<section[^>]* hidden="".*?</section>}{}gs;
	$dom =~ s/<[^>]*>/ /g;
	$dom =~ s/\s+/ /g;
	return $dom;
}

sub page_says
{
	my ($node, $pattern, $what) = @_;
	my $text;

	HaCluster::wait_until($what, sub { $text = text_of(browse($node, '--dump-dom')); $text =~ $pattern });
	like($text, $pattern, $what);
	return $text;
}

sub get
{
	my ($node, $accept) = @_;
	return HTTP::Tiny->new(timeout => 5)->get("http://$node->{address}:$node->{rest_port}/",
		$accept ? { headers => { Accept => $accept } } : {});
}

sub who_gets_it
{
	my $page = get($standby, 'text/html,application/xhtml+xml,*/*;q=0.8');

	is($page->{status}, 200, 'a browser gets it from a standby, too');
	like($page->{headers}{'content-type'}, qr{^text/html}, 'as HTML');
	like($page->{headers}{'content-security-policy'}, qr/default-src 'none'/, 'which may load nothing');
	unlike($page->{content}, qr{(?:src|href)="?(?:https?:)?//}, 'and names nothing from elsewhere');
	foreach my $accept (undef, '*/*', 'application/json')
	{
		my $answer = get($standby, $accept);
		my $who = defined $accept ? "who accepts $accept" : 'a proxy';

		is($answer->{status}, 503, "$who learns that this is no primary");
		is(eval { JSON::PP::decode_json($answer->{content})->{role} }, 'replica', '... as JSON');
	}
	return;
}

sub on_the_leader
{
	my $name = $leader->name;
	my $text = page_says($leader, qr/\b$name leads, all 3 run/, 'it says who leads');

	like($text, qr/Commits are acknowledged for [\d.]+ s more/, 'and for how long at least');
	foreach my $node ($cluster->nodes)
	{
		my ($is, $state) = $node == $leader ? ('leader', 'running') : ('replica', 'streaming');
		my $me = $node->name;
		like($text, qr/\b$me $is $state timeline 1\b/, "$me is a $is and $state");
	}
	browse($leader, '--window-size=1000,900', "--screenshot=$cluster->{log_prefix}_page.png");
	browse($leader, '--window-size=420,900', "--screenshot=$cluster->{log_prefix}_phone.png");
	ok(-s "$cluster->{log_prefix}_$_.png", "a picture of it: $_") foreach qw(page phone);
	return;
}

sub hostile_text
{
	my $member = JSON::PP::decode_json($cluster->etcd_get('members/' . $third->name));

	$member->{tags}{note} = q{<img src=x onerror="document.title='owned'">};
	$cluster->etcd_put('members/stranger', JSON::PP::encode_json($member));
	my $dom;
	HaCluster::wait_until('the page shows the stranger',
		sub { ($dom = browse($standby, '--dump-dom')) =~ /stranger/ });
	unlike($dom, qr/<img/, 'no element of theirs');
	unlike($dom, qr/owned<\/title>/, 'and nothing of it is run');
	like($dom, qr/note &lt;img src=x/, 'what it wrote is text');
	$cluster->etcd_delete('members/stranger');
	return;
}

sub after_a_change
{
	my $name = $standby->name;

	$leader->psql("SELECT pg_ha_switchover('$name')");
	$cluster->wait_for_leader(other_than => $leader);
	$cluster->wait_streaming(2);
	my $text = page_says($third, qr/\b$name leads, all 3 run/, 'another one leads');
	like($text, qr/Last change of the leader\s+switchover from \S+ to $name, \d+ ms/, 'and how long it took');
	like($text, qr/$name took over after timeline 1/, 'which is in the history');
	unlike($text, qr/Commits are acknowledged for/, 'a standby knows nothing of the lease');
	return;
}
