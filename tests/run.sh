#!/usr/bin/env bash
# Builds everything and runs every test. Ends with the line "N passed, N failed".
#
#   ./tests/run.sh [-L LABEL] [-E REGEX] [--preset release|dev|asan|tsan] [--build]
#
# --build: no tests.
# LABEL is a ctest label: unit, token, fuzz, contract (all modules, or one: contract.softhsm, .nss, .opencryptoki, .p11kit), house,
# e2e, conformance. Root is needed where Debian packages are missing, and for opencryptoki's daemon.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
preset=release # what ships, and what the quick start has built already
label=()
without=()
build_only=
while [ $# -gt 0 ]; do
  case $1 in
    -L) label=(-L "${2:?-L needs a label}"); shift 2 ;;
    -E) without=(-E "${2:?-E needs a regular expression}"); shift 2 ;;
    --preset) preset=${2:?--preset needs a name}; shift 2 ;;
    --build) build_only=1; shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit ;;
    *) echo "run.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
done

"$root/provisioning/install_packages.sh" "$root/tests/packages.txt"
# The OpenID provider of the end-to-end tests. Node from elsewhere will do, and Debian's npm conflicts with some.
command -v npm >/dev/null || "$root/provisioning/install_packages.sh" "$root/tests/packages-node.txt"
mkdir -p "$root/build/sims"
if ! cmp -s "$root/tests/e2e/sims/package-lock.json" "$root/build/sims/package-lock.json"; then
  cp "$root"/tests/e2e/sims/package*.json "$root/build/sims/"
  (cd "$root/build/sims" && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1) ||
    { tail -20 "$root/build/sims/npm.log" >&2; rm -f "$root/build/sims/package-lock.json"; exit 1; }
fi
bench=()
if [ "$preset" = release ]; then
  "$root/provisioning/install_packages.sh" "$root/bench/packages.txt"
  bench=(-DSKMS_BUILD_BENCHMARKS=ON)
fi
echo "building ($preset; several minutes the first time)"
cmake -S "$root" --preset "$preset" -DSKMS_BUILD_TESTS=ON "${bench[@]}" >"$root/build/configure-$preset.log" 2>&1 ||
  { tail -20 "$root/build/configure-$preset.log" >&2; exit 1; }
NINJA_STATUS='  %f of %t ' cmake --build "$root/build/$preset" -- -j"$(nproc)"
[ -z "$build_only" ] || exit 0

log=$root/build/$preset/tests.log
echo "running the tests (log: build/$preset/tests.log)"
status=0
(cd "$root/build/$preset" && ctest --verbose -j"$(nproc)" --no-tests=error "${label[@]}" "${without[@]}") >"$log" 2>&1 || status=$?
grep -E '^ *[0-9]+/[0-9]+ Test' "$log" || true
if [ "$status" -ne 0 ]; then
  grep -E 'ERROR|FAILED|FATAL|Error|error:|assert|AddressSanitizer|runtime error|ThreadSanitizer' "$log" | head -60 || true
fi
exec /usr/bin/python3 "$root/tests/count.py" "$log" "$status"
