# suites.sh
#	  Debian packages of another suite than the machine's; sourced by test/matrix and
#	  test/aside.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The machine's own sources of Debian packages, for another suite; its mirror
# may be the only one that can be reached from here.
machine_sources()				# SUITE
{
	local here

	here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ -n "$here" ] || return
	cat /dev/null /etc/apt/sources.list.d/*.sources |
		awk -v RS= -v ORS='\n\n' -v keyring="$keyring" -v here="$here" \
			'index($0, keyring) && $0 ~ "Suites:[^\n]*" here' |
		sed "/^Suites:/s/\<$here\>/$1/g"
}

default_sources()				# SUITE
{
	printf '%s\n' 'Types: deb' 'URIs: http://deb.debian.org/debian' \
		"Suites: $1" 'Components: main' "Signed-By: $keyring"
}

suite_sources()					# SUITE
{
	machine_sources "$1" | grep '^URIs:' >/dev/null &&
		machine_sources "$1" || default_sources "$1"
}
