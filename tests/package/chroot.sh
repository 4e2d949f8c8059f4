#!/usr/bin/env bash
# The packages' life in a Debian 12 of their own: chroot.sh DEBS BASE. DEBS: the folder with the packages of this version; BASE: a
# debootstrapped folder that is theirs to spoil. In a mount and process namespace of its own (package.sh makes it), so that nothing
# it mounts or starts is left. Ends with "N passed, N failed".
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root_of_house=$(cd "$here/../.." && pwd)
debs=$1
base=$2
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    tail -25 "$log"
  fi
}

inside() {
  chroot "$base" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
apt() { inside apt-get -q -o Dpkg::Use-Pty=0 "$@"; }
state() { inside dpkg-query -W -f='${db:Status-Abbrev}${Version}' skms-server; }
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

# repack VERSION: the packages of this version under another number, as /root/skms-*_VERSION.deb
repack() {
  local package
  for package in skms-server skms-client; do
    rm -rf "$base/tmp/repack"
    dpkg-deb -R "$debs/${package}_${version}_$arch.deb" "$base/tmp/repack"
    sed -i "s/^Version: .*/Version: $1/" "$base/tmp/repack/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$base/tmp/repack" "$base/root/${package}_$1.deb" >/dev/null
  done
  rm -rf "$base/tmp/repack"
}

version=$(dpkg-deb -f "$(find "$debs" -name 'skms-server_*.deb')" Version)
arch=$(dpkg-deb -f "$(find "$debs" -name 'skms-server_*.deb')" Architecture)
older=0.0.9
schema=$(sed -n 's/.*kSchemaVersion = \([0-9]*\);.*/\1/p' "$root_of_house/keystore/schema.h")
key= # as the first delivery opened it
mount --make-rprivate /
mount -t proc proc /proc
mount -t proc proc "$base/proc"
mkdir -p "$base/dev/pts"
mount -t devpts devpts "$base/dev/pts" -o newinstance,ptmxmode=0666
mount --bind "$base/dev/pts/ptmx" "$base/dev/ptmx"
cp "$debs"/skms-server_"${version}_$arch".deb "$base/root/skms-server_$version.deb"
cp "$debs"/skms-client_"${version}_$arch".deb "$base/root/skms-client_$version.deb"
repack "$older"

# --- installation, without systemd running
installs() {
  apt update && apt install -y --no-install-recommends "/root/skms-server_$older.deb" "/root/skms-client_$older.deb" \
    softhsm2 haproxy openssl curl ca-certificates sqlite3 2>&1 | tee "$base/root/install.log" && is "$(state)" "ii $older"
}
starts_nothing() {
  grep -q 'installed, not started' "$base/root/install.log" && ! pgrep -x skmsd && [ ! -e "$base/run/skms/admin.sock" ] &&
    ! find "$base/etc/systemd/system" -lname '*skms*' | grep .
}
owners() {
  is "$(inside stat -c '%U:%G %a' /var/lib/skms /run/skms /etc/skms /etc/skms/tls /etc/skms/skms.yaml | tr '\n' ' ')" \
    "skms:skms 700 skms:skms 755 root:root 755 root:root 755 root:root 644 " &&
    is "$(inside id -nG skms-edge)" "skms-edge" && is "$(inside id -nG skms)" "skms skms-edge" &&
    inside dpkg-query -W -f='${Conffiles}' skms-server | grep -q '^ /etc/skms/skms.yaml '
}
no_compiler() { ! inside sh -c 'command -v cc || command -v c++ || command -v cmake || command -v make'; }
configuration_is_read() { inside skmsd --check-config | grep -q 'configuration OK'; }
pages_and_completions() {
  local page
  for page in man8/skmsd.8 man8/skmsctl.8 man1/skmc.1; do
    gzip -dc "$base/usr/share/man/$page.gz" | mandoc -T ascii >"$log.page" && [ "$(wc -l <"$log.page")" -gt 50 ] || return 1
  done
  rm -f "$log.page"
  for page in skmsd skmsctl skmc; do
    inside bash -c ". /usr/share/bash-completion/completions/$page && complete -p $page" || return 1
    head -1 "$base/usr/share/zsh/vendor-completions/_$page" | grep -qx "#compdef $page" || return 1
  done
}
documents_name_files_that_are_there() {
  local path
  grep -rhoE '/usr/share/doc/skms-[a-z]+/[A-Za-z0-9./_-]+[A-Za-z]' "$base"/usr/share/doc/skms-*/ "$base/etc/skms" "$base/lib/systemd/system"/skms* |
    sort -u >"$log.paths"
  [ -s "$log.paths" ] || return 1
  while read -r path; do [ -e "$base$path" ] || { echo "$path is not there"; return 1; }; done <"$log.paths"
  rm -f "$log.paths"
}

# --- from here on without the network, on a loopback of its own
quickstart() {
  inside useradd -m tester &&
    inside setpriv --reuid tester --regid tester --clear-groups env HOME=/home/tester \
      /usr/share/doc/skms-server/examples/quickstart.sh --installed /home/tester/skms | tee "$log.run" &&
    grep -q 'both opened the same 32 bytes' "$log.run" &&
    inside setpriv --reuid tester --regid tester --clear-groups \
      /usr/share/doc/skms-server/examples/quickstart.sh --installed /home/tester/skms --stop | grep -q 'stopped skmsd'
}
blocks() { awk -v section="## $1" '/^## / { here = $0 == section; code = 0 } here && /^```/ { code = !code && /sh$/; next } here && code' \
  "$root_of_house/docs/package.md"; }
answer() { /usr/bin/python3 "$here/answer.py" "$@"; }
at_a_terminal() { chroot "$base" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb "$@"; }
first_key() {
  # The unit's LimitNOFILE is systemd's to raise; here HAProxy has what this process has.
  printf 'edge:\n  max_connections: %d\n' $((($(ulimit -Hn) - 200) / 4)) >>"$base/etc/skms/skms.yaml"
  { echo 'set -e; export DEBIAN_FRONTEND=noninteractive'; blocks "The first key"; } >"$base/root/first-key.sh"
  export -f at_a_terminal
  base=$base answer "enter SO PIN" 87654321 "reenter SO PIN" 87654321 "enter user PIN" 12345678 "reenter user PIN" 12345678 \
    "PIN of the token" 12345678 -- bash -c 'at_a_terminal bash /root/first-key.sh' | tee "$log.run"
  [ "${PIPESTATUS[0]}" -eq 0 ] && key=$(tail -1 "$log.run" | tr -d '\r') && [[ $key =~ ^[0-9a-f]{64}$ ]]
}
same_key() {
  is "$(inside skmc get --url https://localhost:8443 --service uav.c2 --ca /root/pki/ca.pem --cert /root/pki/val-1.pem \
    --key /root/pki/val-1.key --token-file /root/pki/token)" "$key"
}
secrets_are_secret() {
  is "$(inside stat -c '%U %a' /var/lib/skms/skms.db /var/lib/skms/tokens /etc/skms/tls/server.key | tr '\n' ' ')" \
    "skms 600 skms 700 skms-edge 400 "
}
users_of_processes() {
  is "$(ps -o uid= -p "$(pgrep -x skmsd)" | tr -d ' ')" "$(inside id -u skms)" &&
    is "$(ps -o uid= -p "$(pgrep -xo haproxy)" | tr -d ' ')" "$(inside id -u skms-edge)"
}
asked_since() { tail -n "+$(($1 + 1))" "$base/run/stand-in/asked"; }
asked() { wc -l <"$base/run/stand-in/asked"; }
upgrade() {
  local before mark now
  before=$(pgrep -x skmsd) && mark=$(asked)
  echo '# of the administrator' >>"$base/etc/skms/skms.yaml"
  apt install -y "/root/skms-server_$version.deb" "/root/skms-client_$version.deb" || return 1
  asked_since "$mark"
  now=$(pgrep -x skmsd) && [ "$now" != "$before" ] && is "$(state)" "ii $version" && same_key &&
    is "$(asked_since "$mark" | grep -c 'try-restart skmsd.service')" 1 && ! asked_since "$mark" | grep -E 'stop|socket|edge' &&
    tail -1 "$base/etc/skms/skms.yaml" | grep -q administrator
}
downgrade_refused() {
  local sum
  sum=$(sha256sum "$base/usr/sbin/skmsd")
  ! apt install -y --allow-downgrades "/root/skms-server_$older.deb" >"$log.run" 2>&1 || return 1
  cat "$log.run"
  grep -q "is not replaced by the older $older" "$log.run" && is "$(state)" "ii $version" && pgrep -x skmsd &&
    is "$(sha256sum "$base/usr/sbin/skmsd")" "$sum" && same_key
}
database() { inside setpriv --reuid skms --regid skms --clear-groups sqlite3 /var/lib/skms/skms.db "$@"; }
migrates() {
  inside systemctl stop skmsd && database "DROP TABLE audit_checkpoints; ALTER TABLE services DROP COLUMN recipients; UPDATE meta SET value = '5' WHERE name = 'schema_version'" &&
    inside systemctl start skmsd && same_key && is "$(database "SELECT value FROM meta WHERE name = 'schema_version'")" "$schema" &&
    is "$(inside stat -c '%U %a' /var/lib/skms/skms.db.schema-5)" "skms 600"
}
newer_database_refused() {
  inside systemctl stop skmsd && database "UPDATE meta SET value = '$((schema + 1))' WHERE name = 'schema_version'"
  ! inside systemctl start skmsd >"$log.run" 2>&1 || return 1
  cat "$log.run"
  database "UPDATE meta SET value = '$schema' WHERE name = 'schema_version'"
  grep -q "schema version $((schema + 1)), made by a newer skms" "$log.run" && inside systemctl start skmsd && same_key
}
way_back() {
  { echo 'set -ex'; blocks "Going back" | sed "s/schema-N/schema-5/; s/OLDER/$older/"; } >"$base/root/back.sh"
  inside bash /root/back.sh && is "$(state)" "ii $older" && same_key && apt install -y "/root/skms-server_$version.deb" && is "$(state)" "ii $version"
}
removes() {
  local mark
  mark=$(asked)
  apt remove -y skms-server && ! pgrep -x skmsd && ! pgrep -x haproxy && [ ! -e "$base/usr/sbin/skmsd" ] && [ -f "$base/var/lib/skms/skms.db" ] &&
    [ -f "$base/etc/skms/skms.yaml" ] && asked_since "$mark" | grep -q 'stop skmsd-admin.socket skmsd-edge.socket'
}
serves_again() {
  apt install -y "/root/skms-server_$version.deb" && inside systemctl enable --now skmsd-admin.socket skmsd-edge.socket skmsd skms-edge && same_key
}
purges_and_keeps() {
  cp "$base/etc/skms/skms.yaml" "$base/root/skms.yaml"
  apt purge -y skms-server 2>&1 | tee "$log.run" && grep -q 'kept in /var/lib/skms' "$log.run" && [ -f "$base/var/lib/skms/skms.db" ] &&
    [ ! -e "$base/etc/skms/skms.yaml" ] && [ ! -e "$base/etc/skms/edge" ] && [ -f "$base/etc/skms/tls/server.key" ]
}
serves_after_purge() {
  apt install -y "/root/skms-server_$version.deb" && cp "$base/root/skms.yaml" "$base/etc/skms/skms.yaml" && inside skmsctl edge config &&
    inside systemctl enable --now skmsd-admin.socket skmsd-edge.socket skmsd skms-edge && same_key
}
purge_at_a_terminal() {
  export -f at_a_terminal
  base=$base answer "Destroy the keys of this key management server?" "$1" -- \
    bash -c 'at_a_terminal DEBIAN_FRONTEND=readline dpkg --purge skms-server'
}
asks_and_keeps() { purge_at_a_terminal no && [ -f "$base/var/lib/skms/skms.db" ]; }
asks_and_destroys() {
  purge_at_a_terminal yes && [ ! -e "$base/var/lib/skms" ] && [ -f "$base/etc/skms/tls/server.key" ] &&
    [ -f "$base/etc/credstore.encrypted/skms-pin" ] && ! inside debconf-show skms-server | grep . && ! inside dpkg -s skms-server
}
said_beforehand() {
  apt install -y "/root/skms-server_$version.deb" && touch "$base/var/lib/skms/skms.db" &&
    echo 'skms-server skms-server/purge-keys boolean true' | inside debconf-set-selections && apt purge -y skms-server && [ ! -e "$base/var/lib/skms" ]
}
client_stays() { inside skmc --version && apt purge -y skms-client && [ ! -e "$base/usr/bin/skmc" ]; }

alone() {
  ip link set lo up
  mkdir -p "$base/run/systemd/system"
  check "the quick start runs with the installed programs, for a user who is not root" quickstart
  for name in systemctl systemd-run; do mount --bind "$here/stand_in.sh" "$base/usr/bin/$name" || exit 1; done
  check "the first key comes as docs/package.md says" first_key
  check "token, database and private key are for their users alone" secrets_are_secret
  check "daemon and edge run as their users" users_of_processes
  check "an upgrade restarts the daemon, leaves sockets, edge and configuration, and keeps the keys" upgrade
  check "an older package is refused before a file is changed, and the daemon goes on" downgrade_refused
  check "a database of the former schema is copied and brought forward, and its keys open" migrates
  check "a newer database is refused by the daemon" newer_database_refused
  check "the way back is as docs/package.md says" way_back
  check "remove stops everything and keeps keys and configuration" removes
  check "what was kept serves again" serves_again
  check "purge keeps the keys where nobody can be asked" purges_and_keeps
  check "what a purge kept serves again" serves_after_purge
  check "purge asks, and keeps the keys on no" asks_and_keeps
  check "they serve after that, too" serves_after_purge
  check "purge asks, and destroys the keys on yes, and only those" asks_and_destroys
  check "a script may say yes beforehand" said_beforehand
  check "the client is untouched by that, and goes by itself" client_stays
  rm -f "$log".*
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

check "apt installs both packages" installs
check "nothing is started, and it is said what to do" starts_nothing
check "users, directories and modes are right" owners
check "no compiler is there" no_compiler
check "the shipped configuration is read" configuration_is_read
check "man pages and completions are in place" pages_and_completions
check "documents name files that are there" documents_name_files_that_are_there
export -f check inside apt state is quickstart blocks answer at_a_terminal first_key same_key secrets_are_secret users_of_processes asked_since asked upgrade \
  downgrade_refused database migrates newer_database_refused way_back removes serves_again purges_and_keeps serves_after_purge purge_at_a_terminal \
  asks_and_keeps asks_and_destroys said_beforehand client_stays alone
export here root_of_house debs base log passed failed version arch older schema key
unshare --net bash -uc 'set -o pipefail; alone'
