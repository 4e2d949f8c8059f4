#!/usr/bin/env bash
# Measures the daemon beside the raw token in one run and prints ratios. ./bench/run.sh [--quick] [--json FILE] [--only raw|cached|memory|overload|servers|pools|life|kek|growth|edge] [--records N]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
for list in tests/packages.txt bench/packages.txt; do "$root/provisioning/install_packages.sh" "$root/$list"; done
only=()
[ -f "$root/build/release/CMakeCache.txt" ] || only=(-DSKMS_BUILD_TESTS=OFF)
cmake -S "$root" --preset release -DSKMS_BUILD_BENCHMARKS=ON "${only[@]}" >/dev/null
cmake --build "$root/build/release" -j"$(nproc)" --target skmsd skmsctl skmc skms_bench >/dev/null
exec /usr/bin/python3 "$root/bench/run.py" --bin "$root/build/release/bin" "$@"
