#!/bin/bash
# In the place of systemctl and systemd-run where no systemd runs: starts what a unit says, as the user it says and with its
# credentials, and writes down what it was asked. It knows neither sandbox nor sockets: docs/package.md, Tried.
set -euo pipefail
state=/run/stand-in
mkdir -p "$state"
cd /
echo "$(basename "$0") $*" >>"$state/asked"

# setting UNIT KEY: its values, those of drop-ins too
shopt -s nullglob
setting() { cat "/lib/systemd/system/$1" /etc/systemd/system/"$1".d/*.conf | sed -n "s/^$2=//p"; }

# run USER ENVIRONMENT CREDENTIALS COMMAND…
run() {
  local user=$1 environment=$2 names=$3 name directory
  shift 3
  directory=$(mktemp -d "$state/credentials.XXXXXX")
  for name in $names; do
    [ -f "/etc/credstore.encrypted/$name" ] || continue
    systemd-creds decrypt --name="$name" "/etc/credstore.encrypted/$name" "$directory/$name"
  done
  chown -R "$user:$user" "$directory"
  chmod -R u=rX,go= "$directory"
  # shellcheck disable=SC2086  # words of their own
  exec setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all \
    env -i PATH=/usr/sbin:/usr/bin CREDENTIALS_DIRECTORY="$directory" $environment "$@"
}

pid_of() { [ -f "$state/$1.pid" ] && cat "$state/$1.pid"; }
active() {
  case $1 in
    *.socket) [ -f "$state/$1.listening" ] ;;
    *) local pid; pid=$(pid_of "$1") && [ -d "/proc/$pid" ] ;;
  esac
}
ready() {
  case $1 in
    skmsd.service) skmsctl status >/dev/null 2>&1 ;;
    skms-edge.service) (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null ;;
  esac
}

start() {
  active "$1" && return
  case $1 in *.socket) touch "$state/$1.listening"; return ;; esac
  local user environment credentials before
  user=$(setting "$1" User)
  environment=$(setting "$1" Environment)
  credentials=$(setting "$1" LoadCredentialEncrypted)
  while read -r before; do
    # shellcheck disable=SC2086
    [ -z "$before" ] || (run "$user" "$environment" "" $before) || { echo "$1: $before failed" >&2; return 1; }
  done <<<"$(setting "$1" ExecStartPre)"
  # shellcheck disable=SC2046
  (run "$user" "$environment" "$credentials" setsid $(setting "$1" ExecStart) </dev/null >>"$state/$1.log" 2>&1) &
  echo $! >"$state/$1.pid"
  for _ in $(seq 300); do
    if ready "$1"; then return; fi
    active "$1" || { echo "$1 ended at its start:" >&2; tail -5 "$state/$1.log" >&2; return 1; }
    sleep 0.1
  done
  echo "$1 does not get ready" >&2
  return 1
}

stop() {
  active "$1" || return 0
  case $1 in *.socket) rm "$state/$1.listening"; return ;; esac
  kill -TERM "$(pid_of "$1")"
  timeout 60 tail --pid="$(pid_of "$1")" -f /dev/null
  rm "$state/$1.pid"
}

as_systemd_run() {
  local user=root environment="" credentials=""
  while [ $# -gt 0 ]; do
    case $1 in
      -p)
        case $2 in
          User=*) user=${2#*=} ;;
          Environment=*) environment+=" ${2#*=}" ;;
          LoadCredentialEncrypted=*) credentials+=" ${2#*=}" ;;
          StateDirectory=*) ;;
          *) echo "stand-in: systemd-run $2?" >&2; exit 1 ;;
        esac
        shift 2 ;;
      --pipe | --wait) shift ;;
      *) break ;;
    esac
  done
  run "$user" "$environment" "$credentials" "$@"
}

as_systemctl() {
  local now="" verb="" unit
  local units=()
  for word in "$@"; do
    case $word in
      --now) now=1 ;;
      -*) ;;
      *) if [ -z "$verb" ]; then verb=$word; else case $word in *.*) units+=("$word") ;; *) units+=("$word.service") ;; esac; fi ;;
    esac
  done
  for unit in "${units[@]}"; do
    case $verb in
      start) start "$unit" ;;
      stop) stop "$unit" ;;
      restart) stop "$unit"; start "$unit" ;;
      try-restart) if active "$unit"; then stop "$unit"; start "$unit"; fi ;;
      enable) touch "$state/$unit.enabled"; if [ -n "$now" ]; then start "$unit"; fi ;;
      is-enabled) if [ -f "$state/$unit.enabled" ]; then echo enabled; else echo disabled; exit 1; fi ;;
      is-active) active "$unit" || exit 3 ;;
      *) echo "stand-in: systemctl $verb?" >&2; exit 1 ;;
    esac
  done
  [ ${#units[@]} -gt 0 ] || [ "$verb" = daemon-reload ] || { echo "stand-in: systemctl $*?" >&2; exit 1; }
}

case $(basename "$0") in
  systemd-run) as_systemd_run "$@" ;;
  *) as_systemctl "$@" ;;
esac
