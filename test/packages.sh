# packages.sh
#	  Install Debian packages that are missing; sourced by ./check and
#	  ./quickstart.
#
# PostgreSQL and etcd come as services on Debian, but what is wanted here are
# their programs: no service is started and no cluster "main" is made, and what
# was set up to have it so is taken back afterwards.

PG_VERSION=${PG_VERSION:-15}
PG_BINDIR=/usr/lib/postgresql/$PG_VERSION/bin

PACKAGES_BUILD="gcc make libc6-dev postgresql-$PG_VERSION
	postgresql-server-dev-$PG_VERSION libpq-dev libkrb5-dev
	libcurl4-openssl-dev libjansson-dev libmicrohttpd-dev libyaml-dev etcd-server
	etcd-client procps"
PACKAGES_TAP="chromium haproxy pgbouncer perl libipc-run-perl valgrind iproute2 nftables strace openssl
	pgbackrest systemd patroni python3-etcd curl"

# Do not start services from here on; see invoke-rc.d(8).
packages_hold_services()
{
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
		packages_policy=ours
	fi
	if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' \
			>/etc/postgresql-common/createcluster.conf
		packages_createcluster=ours
	fi
}

packages_release_services()
{
	if [ "${packages_policy:-}" = ours ]; then
		rm -f /usr/sbin/policy-rc.d
	fi
	if [ "${packages_createcluster:-}" = ours ]; then
		rm -f /etc/postgresql-common/createcluster.conf
		if [ -e /usr/share/postgresql-common/createcluster.conf ]; then
			cp /usr/share/postgresql-common/createcluster.conf \
				/etc/postgresql-common/createcluster.conf
		fi
	fi
	packages_policy=
	packages_createcluster=
}

packages_missing()
{
	local package

	for package; do
		dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null |
			grep -q ' installed$' || echo "$package"
	done
}

# Install those of the packages that are missing.
packages_install()
{
	local missing

	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "missing packages, and only root can install them:" $missing >&2
		return 1
	fi
	echo "installing" $missing
	trap packages_release_services EXIT
	packages_hold_services
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq &&
		apt-get install -qq -y --no-install-recommends $missing \
			>/dev/null </dev/null
	local result=$?
	packages_release_services
	trap - EXIT
	return $result
}
