#!/usr/bin/env bash
# Builds the Debian packages from the files that git knows, in a folder of its own, where nothing else gets in.
#
#   debian/build.sh [DIRECTORY [OPTIONS of dpkg-buildpackage]]     default: build/package -us -uc -b
#
# Leaves the .debs in DIRECTORY. Root is needed only where Debian packages are missing.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-$root/build/package}
mkdir -p "$target"
target=$(cd "$target" && pwd)
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- -us -uc -b
"$root/provisioning/install_packages.sh" "$root/provisioning/packages.txt"
"$root/provisioning/install_packages.sh" "$root/tests/package/packages.txt"

version=$(dpkg-parsechangelog -l "$root/debian/changelog" -S Version)
tree=$target/skms-$version
rm -rf "$tree"
mkdir -p "$tree"
(cd "$root" && git ls-files -z | tar --null --verbatim-files-from -T - -cf -) | tar -xf - -C "$tree"
cd "$tree"
if ! dpkg-buildpackage "$@" </dev/null >"$target/build.log" 2>&1; then
  tail -40 "$target/build.log" >&2
  echo "build.sh: the packages cannot be built: $target/build.log" >&2
  exit 1
fi
rm -rf "$tree"
find "$target" -maxdepth 1 -name '*.deb' | sort
