#!/usr/bin/env bash
# Installs the Debian packages named in a file, one a line, that are not there yet. install_packages.sh FILE
set -euo pipefail
missing=()
while read -r package; do
  [ -n "$package" ] || continue
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done <"$1"
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "these packages are missing; install them as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "installing ${#missing[@]} Debian packages (only the first time)"
apt-get update -qq
# Packages of tests hold servers (haproxy, prometheus): none is started by being installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null |
  grep --line-buffered '^Setting up' | awk '{ printf "\r  %d set up: %-40s", NR, $3; fflush() } END { print "" }'
