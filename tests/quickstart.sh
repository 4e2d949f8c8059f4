#!/usr/bin/env bash
# The quick start as a newcomer runs it: twice, its environment sourced, a key fetched with it, and stopped.
# Ends with "N passed, N failed". Builds the release preset where it is not built yet.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
passed=0
failed=0
log=$(mktemp)

check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    tail -20 "$log"
  fi
}

first_run() { ./provisioning/quickstart.sh && ./provisioning/quickstart.sh --stop; }
again() {
  local begun=$SECONDS
  ./provisioning/quickstart.sh | tee "$log.run" && echo "took $((SECONDS - begun)) s" && [ $((SECONDS - begun)) -lt 60 ]
}
says_both_opened() { grep -q 'both opened the same 32 bytes' "$log.run" && cmp build/quickstart/key.openssl build/quickstart/key.skmc; }
private() { [ "$(stat -c %a build/quickstart/env build/quickstart/pin build/quickstart/token | tr '\n' ' ')" = "600 400 600 " ]; }
names_all() {
  local name
  for name in URL CA CERT KEY TOKEN SERVICE CONFIG RECIPIENT_KEY; do
    grep -q "^export SKMS_$name=." build/quickstart/env || { echo "SKMS_$name is missing"; return 1; }
  done
}
curl_answers() {
  # shellcheck disable=SC1091
  . build/quickstart/env
  curl --silent --fail-with-body --cacert "$SKMS_CA" --cert "$SKMS_CERT" --key "$SKMS_KEY" -H @- \
    "$SKMS_URL/ss-kir/v1/key-records?val-service-id=$SKMS_SERVICE" <<<"Authorization: Bearer $SKMS_TOKEN" |
    grep -q '"keyInfo"'
}
skmc_answers() {
  # shellcheck disable=SC1091
  . build/quickstart/env
  build/release/bin/skmc get --url "$SKMS_URL" --service "$SKMS_SERVICE" --ca "$SKMS_CA" --cert "$SKMS_CERT" \
    --key "$SKMS_KEY" --token-file "$SKMS_TOKEN_FILE" --recipient-key "$SKMS_RECIPIENT_KEY" --format hex |
    grep -qE '^[0-9a-f]{64}$'
}
stops_only_its_own() {
  # Another process of the same program name, which is none of the quick start's business.
  bash -c 'exec -a "skmsd --config other.yaml" sleep 300' &
  local other=$! pid
  pid=$(cat build/quickstart/skmsd.pid)
  ./provisioning/quickstart.sh --stop && ! kill -0 "$pid" 2>/dev/null && kill -0 "$other"
  local status=$?
  kill "$other"
  return "$status"
}
stop_again() { ./provisioning/quickstart.sh --stop | grep -q 'no skmsd of the quick start is running'; }

check "the first run fetches and opens a key, and stops" first_run
check "a second run is quick" again
check "openssl and skmc opened the same bytes, and it says so" says_both_opened
check "what it leaves is private" private
check "the environment names everything" names_all
check "the README's curl works with it" curl_answers
check "the README's skmc works with it" skmc_answers
check "--stop ends its daemon and no other process" stops_only_its_own
check "--stop twice is harmless" stop_again
rm -f "$log" "$log.run"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
