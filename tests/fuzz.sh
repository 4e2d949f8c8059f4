#!/usr/bin/env bash
# Fuzzes everything that takes input from others, each target for SECONDS. Ends with "N passed, N failed".
#
#   ./tests/fuzz.sh SECONDS [TARGET …]
#   ./tests/fuzz.sh --build                no runs
#
# Builds the preset `fuzz` (Clang, libFuzzer, address and undefined-behaviour sanitizers). What was found is kept in
# build/fuzz/found; new inputs of interest in build/fuzz/corpora, which later runs begin with, too.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
  '' | -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit $(( $# == 0 ? 2 : 0 )) ;;
  --build) ;;
  *[!0-9]*) echo "fuzz.sh: SECONDS is a number; see --help" >&2; exit 2 ;;
esac
seconds=$1
shift

for list in packages.txt packages-fuzz.txt; do "$root/provisioning/install_packages.sh" "$root/tests/$list"; done
build=$root/build/fuzz
found=$build/found
mkdir -p "$build" "$found"
cmake -S "$root" --preset fuzz >"$root/build/configure-fuzz.log" 2>&1 || { tail -20 "$root/build/configure-fuzz.log" >&2; exit 1; }
NINJA_STATUS='  %f of %t ' cmake --build "$build" --target fuzz -- -j"$(nproc)"
[ "$seconds" != --build ] || exit 0
if [ $# -gt 0 ]; then
  targets=("$@")
else
  targets=()
  for corpus in "$root"/tests/fuzz/corpora/*/; do targets+=("$(basename "$corpus")"); done
fi

# Databases and tokens in memory: a disk would be what is measured.
TMPDIR=$(mktemp -d -p /dev/shm skms-fuzz-XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$TMPDIR"' EXIT
export TMPDIR root build found seconds

run() {
  local target=$1 log=$found/$1.log status=0 began=$SECONDS dictionary=$root/tests/fuzz/dictionaries/$1.dict
  local corpus=$build/corpora/$target options=()
  mkdir -p "$corpus"
  [ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
  # The run that looks for leaks is that of the corpora (ctest -L fuzz in the preset asan): what a target keeps for
  # its next input would be looked through again and again.
  "$build/bin/fuzz_$target" "$corpus" "$root/tests/fuzz/corpora/$target" "${options[@]}" -max_total_time="$seconds" -max_len=4096 \
    -timeout=10 -rss_limit_mb=2048 -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$found/$target-" >"$log" 2>&1 || status=$?
  local cov runs files
  cov=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  files=$(find "$corpus" -type f | wc -l)
  if [ "$status" -eq 0 ]; then
    printf 'ok: %-14s %9s runs, cov %5s, corpus %5s, %3s s\n' "$target" "${runs:-?}" "${cov:-?}" "$files" "$((SECONDS - began))"
    return
  fi
  printf 'FAILED: %-10s %9s runs, cov %5s, exit code %s\n' "$target" "${runs:-?}" "${cov:-?}" "$status"
  grep -E -m 6 'broken property|  seen:|ERROR: |runtime error|SUMMARY' "$log" | cut -c1-300 || true
  sed -n "s|.*Test unit written to \(.*\)|  again: $build/bin/fuzz_$target \1|p" "$log"
}
export -f run

results=$build/results
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {}' | tee "$results"
passed=$(grep -c '^ok: ' "$results" || true)
failed=$((${#targets[@]} - passed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
