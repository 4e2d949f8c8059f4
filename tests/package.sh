#!/usr/bin/env bash
# Builds the Debian packages twice and compares them, has lintian read them, and tries them in a Debian 12 made by debootstrap:
# install, first key, upgrade, ways back, remove, purge. As root. Ends with "N passed, N failed".
#
#   ./tests/package.sh [--built DIRECTORY] [--base DIRECTORY]
#
# --built: packages that debian/build.sh left there, in place of two builds; --base: a debootstrapped folder, in place of making one.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
work=$root/build/package-test
built=
base=
while [ $# -gt 0 ]; do
  case $1 in
    --built) built=$(cd "${2:?--built needs a directory}" && pwd); shift 2 ;;
    --base) base=$(cd "${2:?--base needs a directory}" && pwd); shift 2 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit ;;
    *) echo "package.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo "package.sh: debootstrap and namespaces need root" >&2; exit 1; }
provisioning/install_packages.sh tests/packages.txt && provisioning/install_packages.sh tests/package/packages.txt || exit 1
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
finish() {
  echo "$passed passed, $failed failed"
  exit "$((failed > 0))"
}

first_build() { debian/build.sh "$work/first" -us -uc; }
# Another path, time, umask, time zone, language, home and number of jobs; and no object of a former build.
second_build() {
  local elsewhere=$work/another/place
  mkdir -p "$elsewhere" &&
    (umask 027 && env TZ=Pacific/Kiritimati LC_ALL=C HOME="$elsewhere" CCACHE_DISABLE=1 DEB_BUILD_OPTIONS=parallel=3 \
      debian/build.sh "$elsewhere" -us -uc -b)
}
the_same() {
  local deb names=0
  for deb in "$work"/first/*.deb; do
    names=$((names + 1))
    cmp "$deb" "$work/another/place/$(basename "$deb")" ||
      { echo "diffoscope $deb $work/another/place/$(basename "$deb") shows where"; return 1; }
  done
  [ "$names" -eq 4 ] && [ "$(find "$work/another/place" -maxdepth 1 -name '*.deb' | wc -l)" -eq 4 ] # programs and symbols of two packages
}
lint() { lintian --fail-on error,warning --allow-root --tag-display-limit 0 "$(find "$built" -name '*.changes')"; }
hardened() {
  local programs=$work/programs deb
  rm -rf "$programs" && mkdir -p "$programs/bin" || return 1
  for deb in "$built"/skms-server_*.deb "$built"/skms-client_*.deb; do dpkg-deb -x "$deb" "$programs" || return 1; done
  cp "$programs"/usr/sbin/skmsd "$programs"/usr/sbin/skmsctl "$programs"/usr/bin/skmc "$programs/bin/" &&
    SKMS_BIN=$programs/bin /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/e2e/test_hardening.py
}
one_version() {
  [ "$(dpkg-parsechangelog -l debian/changelog -S Version)" = "$(sed -n 's/^project(skms VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)" ]
}
question_is_translatable() { (cd debian/po && cp templates.pot "$log.pot" && debconf-updatepo && cmp <(sed /POT-Creation-Date/d templates.pot) <(sed /POT-Creation-Date/d "$log.pot"); s=$?; cp "$log.pot" templates.pot; rm -f "$log.pot"; exit $s); }
# From where this host's own packages come.
debian12() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
  [ -n "$mirror" ] || { echo "no source of bookworm main in apt's sources"; return 1; }
  debootstrap --variant=minbase bookworm "$work/base" "$mirror"
}

rm -rf "$work"
mkdir -p "$work"
check "changelog and CMakeLists.txt name one version" one_version
check "the question's template is what translators have" question_is_translatable
if [ -z "$built" ]; then
  check "the packages are built" first_build
  [ "$failed" -eq 0 ] || finish
  built=$work/first
  check "they are built again, elsewhere and otherwise" second_build
  check "both builds are the same to the bit" the_same
fi
check "lintian finds nothing" lint
check "the packaged programs are hardened" hardened
if [ -z "$base" ]; then
  check "debootstrap makes a Debian 12" debian12
  [ -x "$work/base/usr/bin/dpkg" ] || finish
else
  cp -a "$base" "$work/base"
fi
unshare --mount --pid --fork --kill-child tests/package/chroot.sh "$built" "$work/base" | tee "$log.chroot"
if [[ $(tail -1 "$log.chroot") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
  passed=$((passed + BASH_REMATCH[1]))
  failed=$((failed + BASH_REMATCH[2]))
else
  echo "FAILED: the tests in the chroot did not come to their end"
  failed=$((failed + 1))
fi
rm -f "$log.chroot"
[ "$failed" -gt 0 ] || rm -rf "$work"
finish
