#!/usr/bin/env bash
# From nothing to a key fetched over KM-S and opened, on a SoftHSM2 token with a test PKI; KM-UU and key provisioning are ready.
#
#   ./provisioning/quickstart.sh                     everything; a second run is quick
#   ./provisioning/quickstart.sh --installed DIR     with the programs of the Debian packages, all its files in DIR
#   ./provisioning/quickstart.sh [--installed DIR] --stop   ends the daemon that it started
#
# Leaves build/quickstart/env (DIR/env) to source. Root is needed only where Debian packages are missing.
set -euo pipefail
umask 077

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
home=$root/build/quickstart
path=$root/build/release/bin
installed=
steps=8
step() { printf '\n[%d/%d] %s\n' "$1" "$steps" "$2"; }
say() { printf '      %s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

# The pid in our file, if that process is still our daemon.
running_pid() {
  local pid
  [ -f "$home/skmsd.pid" ] || return 1
  pid=$(cat "$home/skmsd.pid")
  [ -d "/proc/$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--config $home/skms.yaml" && echo "$pid"
}

stop() {
  local pid
  if ! pid=$(running_pid); then
    rm -f "$home/skmsd.pid"
    echo "no skmsd of the quick start is running"
    return
  fi
  kill -TERM "$pid"
  timeout 30 tail --pid="$pid" -f /dev/null || fail "skmsd ($pid) does not stop; see $home/skmsd.log"
  rm -f "$home/skmsd.pid"
  echo "stopped skmsd ($pid)"
}

if [ "${1:-}" = --installed ]; then
  case ${2:-} in '' | -*) fail "--installed needs a directory" ;; esac
  installed=1
  path=/usr/sbin:/usr/bin
  mkdir -p "$2"
  home=$(cd "$2" && pwd)
  shift 2
fi
PATH=$path:$PATH
case ${1:-} in
  --stop) stop; exit ;;
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit ;;
  '') ;;
  *) fail "unknown argument '$1'; see --help" ;;
esac

step 1 "Debian packages"
# softhsm2-util reads PINs from a terminal only; a bare chroot has none to give.
script -qec true /dev/null >/dev/null 2>&1 ||
  fail "no pseudo-terminal can be opened; in a chroot: mount -t devpts devpts /dev/pts"
if [ -n "$installed" ]; then
  for program in skmsd skmsctl skmc softhsm2-util openssl curl; do
    command -v "$program" >/dev/null || fail "$program is missing; install skms-server, skms-client, softhsm2, openssl and curl"
  done
else
  "$here/install_packages.sh" "$here/packages.txt"
fi
say "all there"

if [ -n "$installed" ]; then
  step 2 "No build: the installed programs"
  say "$(skmsd --version)"
else
  step 2 "Build (about five minutes on two cores the first time)"
  mkdir -p "$root/build"
  only=()
  [ -f "$root/build/release/CMakeCache.txt" ] || only=(-DSKMS_BUILD_TESTS=OFF -DSKMS_BUILD_BENCHMARKS=OFF)
  cmake -S "$root" --preset release "${only[@]}" >"$root/build/configure.log" 2>&1 ||
    { tail -20 "$root/build/configure.log" >&2; fail "configuring failed: build/configure.log"; }
  NINJA_STATUS='      built %f of %t  ' cmake --build "$root/build/release" --target skmsd skmsctl skmc -- -j"$(nproc)"
fi
mkdir -p "$home"
chmod 0700 "$home"
# shellcheck source=provisioning/test_pki.sh
. "$here/test_pki.sh"

step 3 "SoftHSM2 token, PIN file, test PKI"
export SOFTHSM2_CONF=$home/softhsm2.conf
if [ ! -f "$home/pin" ]; then
  rm -rf "$home/tokens"
  mkdir -p "$home/tokens"
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$home/tokens" >"$SOFTHSM2_CONF"
  openssl rand -hex 8 >"$home/pin.new"
  openssl rand -hex 8 >"$home/so-pin"
  # softhsm2-util asks for PINs on its terminal when none is on its command line, where everybody could read them.
  { cat "$home/so-pin" "$home/so-pin" "$home/pin.new" "$home/pin.new"; } |
    script -qec "stty -echo; softhsm2-util --init-token --free --label skms-quickstart" /dev/null >"$home/token.log" 2>&1 ||
    { cat "$home/token.log" >&2; fail "the token cannot be made"; }
  softhsm2-util --show-slots | grep -q 'skms-quickstart' || fail "the token cannot be made: $home/token.log"
  chmod 0400 "$home/pin.new" "$home/so-pin"
  mv "$home/pin.new" "$home/pin"
fi
say "token 'skms-quickstart' in $home/tokens, PIN in $home/pin"
[ -f "$home/pki/val-1.pem" ] || pki_make "$home/pki"
[ -f "$home/pki/jwks.json" ] || issuer_make "$home/pki"
[ -f "$home/pki/alice.key" ] || { openssl genrsa -out "$home/alice.key" 3072 2>/dev/null && mv "$home/alice.key" "$home/pki/"; }
say "CA, server and client certificates, and a key of UE user alice in $home/pki"

# free_port [TAKEN]: one that nobody listens on, and not TAKEN
free_port() {
  local port
  port=$(shuf -i 20000-29999 -n 1)
  while [ "$port" = "${1:-}" ] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}
# port_of SECTION, as skms.yaml has it
port_of() { awk -v section="$1:" '/^[a-z]/ { here = $1 == section } here && $1 == "port:" { print $2 }' "$home/skms.yaml"; }

step 4 "Configuration"
if [ ! -f "$home/skms.yaml" ]; then
  port=$(free_port)
  cat >"$home/skms.yaml" <<YAML
skms:
  id: skms-quickstart
  uri: https://localhost:$port
token:
  module: /usr/lib/softhsm/libsofthsm2.so
  label: skms-quickstart
  pin_file: pin
store:
  path: skms.db
listen:
  mode: direct
  address: 127.0.0.1
  port: $port
  certificate: pki/server.pem
  private_key: pki/server.key
  client_ca: pki/ca.pem
admin:
  socket: admin.sock
YAML
fi
port=$(port_of listen)
if ! grep -q '^listen_ue:' "$home/skms.yaml"; then # a directory from before there was KM-UU has none
  ue_port=$(free_port "$port")
  cp "$home/skms.yaml" "$home/skms.yaml.new"
  cat >>"$home/skms.yaml.new" <<YAML
listen_ue:
  uri: https://localhost:$ue_port
  address: 127.0.0.1
  port: $ue_port
  certificate: pki/server.pem
  private_key: pki/server.key
YAML
  mv "$home/skms.yaml.new" "$home/skms.yaml"
  if running_pid >/dev/null; then stop | sed 's/^/      /'; fi # it is started again below, with KM-UU
fi
ue_port=$(port_of listen_ue)
skmsd --config "$home/skms.yaml" --check-config | sed 's/^/      /'

ctl() { skmsctl --config "$home/skms.yaml" "$@"; }

step 5 "Token keys and database (skmsctl init), daemon"
if pid=$(running_pid); then
  say "skmsd ($pid) is running"
else
  ctl init | sed 's/^/      /'
  skmsd --config "$home/skms.yaml" >>"$home/skmsd.log" 2>&1 </dev/null &
  echo $! >"$home/skmsd.pid"
  disown
  for _ in $(seq 300); do
    ctl status >/dev/null 2>&1 && break
    [ -d "/proc/$(cat "$home/skmsd.pid")" ] || { tail -5 "$home/skmsd.log" >&2; fail "skmsd ended: $home/skmsd.log"; }
    sleep 0.1
  done
  ctl status >/dev/null || fail "skmsd does not answer: $home/skmsd.log"
  say "skmsd ($(cat "$home/skmsd.pid")) listens on https://localhost:$port, and for UEs on https://localhost:$ue_port"
fi

step 6 "Issuer, principal, service and recipient (skmsctl)"
# An issuer from before there was KM-UU vouches for no UE.
issuers=$(ctl issuer list --output json)
if ctl issuer list | grep -q '^sim-s ' && [[ $issuers != *'"val_user_id"'* ]]; then
  ctl issuer remove sim-s | sed 's/^/      /'
fi
ctl issuer list | grep -q '^sim-s ' ||
  ctl issuer add sim-s --issuer https://sim-s.example --audience skms --jwks "$home/pki/jwks.json" \
    --services-claim val_service_ids --user-claim val_user_id | sed 's/^/      /'
ctl principal list | grep -q '^val-1 ' ||
  ctl principal add val-1 --certificate "$home/pki/val-1.pem" --client-id val-1 | sed 's/^/      /'
ctl service list | grep -q '^demo ' ||
  ctl service add demo --profile aes-256 --scope service,user --reader val-1 | sed 's/^/      /'
ctl service set demo --add-provisioner val-1 --add-ue-issuer sim-s | sed 's/^/      /'
openssl pkey -in "$home/pki/alice.key" -pubout -out "$home/pki/alice.pub"
ctl recipient list | grep -q '^alice ' ||
  ctl recipient add alice --user alice --public-key "$home/pki/alice.pub" | sed 's/^/      /'
ctl service show demo | sed 's/^/      /'

token=$(issuer_token "$home/pki" val-1 3600 '"scope":"ss-kir"')
printf '%s\n' "$token" >"$home/token"
printf 'Authorization: Bearer %s\n' "$token" >"$home/authorization"
issuer_token "$home/pki" val-1 3600 '"scope":"ss-kpp","SKeyProv":true' >"$home/provision-token"
issuer_token "$home/pki" sim-c 3600 '"scope":"skm","val_service_ids":["demo"],"val_user_id":"alice"' >"$home/ue-token"
cat >"$home/env" <<ENV
export SKMS_URL=https://localhost:$port
export SKMS_CA=$home/pki/ca.pem
export SKMS_CERT=$home/pki/val-1.pem
export SKMS_KEY=$home/pki/val-1.key
export SKMS_TOKEN=$token
export SKMS_TOKEN_FILE=$home/token
export SKMS_SERVICE=demo
export SKMS_CONFIG=$home/skms.yaml
export SKMS_RECIPIENT_KEY=$home/pki/val-1.key
export SKMS_PROVISION_TOKEN_FILE=$home/provision-token
export SKMS_UE_URL=https://localhost:$ue_port
export SKMS_UE_TOKEN_FILE=$home/ue-token
export SKMS_UE_RECIPIENT_KEY=$home/pki/alice.key
export SOFTHSM2_CONF=$home/softhsm2.conf
ENV

step 7 "Fetch the key over KM-S with curl, open it with openssl alone"
curl --silent --show-error --fail-with-body --cacert "$home/pki/ca.pem" --cert "$home/pki/val-1.pem" \
  --key "$home/pki/val-1.key" -H "@$home/authorization" \
  "https://localhost:$port/ss-kir/v1/key-records?val-service-id=demo" >"$home/answer.json" || { cat "$home/answer.json" >&2; fail "no key"; }
# keyInfo is a string that holds JSON: take the two members with sed, as a machine without jq would.
inner=$(sed 's/\\"/"/g' "$home/answer.json")
alg=$(printf '%s' "$inner" | sed -n 's/.*"wrapped":{"alg":"\([^"]*\)".*/\1/p')
block=$(printf '%s' "$inner" | sed -n 's/.*"encryptedKey":"\([^"]*\)".*/\1/p')
hash=sha1
[ "$alg" = RSA-OAEP-256 ] && hash=sha256
printf '%s' "$block" | tr -- '-_' '+/' | sed -e 's/$/==/' -e 's/\(\(....\)*\).*/\1/' | openssl base64 -d -A >"$home/block"
openssl pkeyutl -decrypt -inkey "$home/pki/val-1.key" -in "$home/block" -pkeyopt rsa_padding_mode:oaep \
  -pkeyopt rsa_oaep_md:$hash -pkeyopt rsa_mgf1_md:$hash -out "$home/key.openssl"
say "wrapped with $alg inside the token; openssl opened $(wc -c <"$home/key.openssl") bytes"

step 8 "The same with skmc"
skmc get --url "https://localhost:$port" --service demo --ca "$home/pki/ca.pem" --cert "$home/pki/val-1.pem" \
  --key "$home/pki/val-1.key" --token-file "$home/token" --format raw --out "$home/key.skmc"
cmp "$home/key.openssl" "$home/key.skmc" || fail "skmc and openssl opened different bytes"
say "both opened the same $(wc -c <"$home/key.skmc") bytes, SHA-256 $(sha256sum <"$home/key.skmc" | cut -c1-16)…"

cat <<TXT

Done. Try more (the environment holds URLs, certificates and tokens, good for an hour; it is readable by you alone;
docs/recipes.md goes on from there, also as a UE):
  . $home/env; PATH=$path:\$PATH
  curl --cacert \$SKMS_CA --cert \$SKMS_CERT --key \$SKMS_KEY -H @- "\$SKMS_URL/ss-kir/v1/key-records?val-service-id=demo" <<<"Authorization: Bearer \$SKMS_TOKEN"
  skmsctl --config \$SKMS_CONFIG status
  skmsctl --config \$SKMS_CONFIG key list
  skmsctl --config \$SKMS_CONFIG token probe
  $0${installed:+ --installed $home} --stop
TXT
