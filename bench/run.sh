#!/usr/bin/env bash
# Measures the daemon beside the raw token in one run and prints ratios. ./bench/run.sh [--quick] [--json FILE]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/provisioning/install_packages.sh" "$root/tests/packages.txt"
cmake -S "$root" --preset release -DSKMS_BUILD_TESTS=OFF -DSKMS_BUILD_BENCHMARKS=ON >/dev/null
cmake --build "$root/build/release" -j"$(nproc)" >/dev/null
exec /usr/bin/python3 "$root/bench/run.py" --bin "$root/build/release/bin" --lib "$root/build/release" "$@"
