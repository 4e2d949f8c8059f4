#!/usr/bin/env bash
# Faults of all kinds at random under load, for MINUTES: every key that goes out is opened and compared.
#
#   ./tests/soak.sh MINUTES [SEED]
#
# Needs what ./tests/run.sh has built. Prints the seed; the same seed gives the same faults.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
  '' | -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit $(( $# == 0 ? 2 : 0 )) ;;
esac
export SKMS_SOAK_MINUTES=$1 SKMS_BIN=${SKMS_BIN:-$root/build/release/bin}
[ $# -lt 2 ] || export SKMS_SOAK_SEED=$2
[ -x "$SKMS_BIN/skmsd" ] || { echo "soak.sh: no $SKMS_BIN/skmsd; run ./tests/run.sh first" >&2; exit 1; }
exec /usr/bin/python3 -m pytest -q -s -p no:cacheprovider "$root/tests/e2e/test_soak.py"
