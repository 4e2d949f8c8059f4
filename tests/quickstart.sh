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
private() { [ "$(stat -c %a build/quickstart/env build/quickstart/pin build/quickstart/token build/quickstart/ue-token \
  build/quickstart/provision-token build/quickstart/pki/alice.key | tr '\n' ' ')" = "600 400 600 600 600 600 " ]; }
names_all() {
  local name
  for name in URL CA CERT KEY TOKEN SERVICE CONFIG RECIPIENT_KEY PROVISION_TOKEN_FILE UE_URL UE_TOKEN_FILE UE_RECIPIENT_KEY; do
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
# The key of user alice, as her UE: "wrapped" to her own key, which opens it.
ue_answers() {
  # shellcheck disable=SC1091
  . build/quickstart/env
  printf '{"version":"1.0.0","skmsUri":"%s","serviceId":"%s","userId":"alice","dateTime":%d}' "$SKMS_UE_URL" "$SKMS_SERVICE" \
    "$(date +%s)" >"$log.request"
  curl --silent --fail-with-body --cacert "$SKMS_CA" -H @- -H 'Content-Type: application/json' --data-binary "@$log.request" \
    "$SKMS_UE_URL/skm/v1/key-request" <<<"Authorization: Bearer $(cat "$SKMS_UE_TOKEN_FILE")" >"$log.answer" || { cat "$log.answer"; return 1; }
  grep -q '"recipient":"alice"' "$log.answer" &&
    [ "$(sed 's/.*"encryptedKey":"\([^"]*\)".*/\1/' "$log.answer" | tr -- '-_' '+/' | openssl base64 -d -A |
      openssl pkeyutl -decrypt -inkey "$SKMS_UE_RECIPIENT_KEY" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 |
      wc -c)" -eq 32 ]
}
provisions() {
  # shellcheck disable=SC1091
  . build/quickstart/env
  printf '{"skmcUri":"https://val-1.example/skmc","valServiceId":"%s","payloadId":"quickstart","payload":"aGVsbG8="}' "$SKMS_SERVICE" |
    curl --silent --fail-with-body --cacert "$SKMS_CA" --cert "$SKMS_CERT" --key "$SKMS_KEY" \
      -H @<(printf 'Authorization: Bearer %s\n' "$(cat "$SKMS_PROVISION_TOKEN_FILE")") -H 'Content-Type: application/json' \
      --data-binary @- "$SKMS_URL/ss-kpp/v1/request" | grep -q '"payloadId":"quickstart"'
}
# As a version that knew no KM-UU left it: without the section, the recipient, and claims of users; its daemon running.
over_an_older_directory() {
  local home=build/quickstart
  # shellcheck disable=SC1091
  . build/quickstart/env
  ctl() { build/release/bin/skmsctl --config "$SKMS_CONFIG" "$@"; }
  ctl recipient remove alice && ctl service set demo --remove-provisioner val-1 --remove-ue-issuer sim-s && ctl issuer remove sim-s &&
    ctl issuer add sim-s --issuer https://sim-s.example --audience skms --jwks "$home/pki/jwks.json" || return 1
  sed -i '/^listen_ue:/,/^[a-z]*:/{/^listen_ue:/d;/^  /d}' "$SKMS_CONFIG"
  rm -f "$home/pki/alice.key" "$home/env" "$home/ue-token" "$home/provision-token"
  ! grep -q listen_ue "$SKMS_CONFIG" && ./provisioning/quickstart.sh && names_all && ue_answers && curl_answers
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
check "a UE gets its user's key over KM-UU with it" ue_answers
check "a payload is provisioned with it" provisions
check "it runs over a directory that an older version made" over_an_older_directory
check "--stop ends its daemon and no other process" stops_only_its_own
check "--stop twice is harmless" stop_again
rm -f "$log" "$log".*
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
