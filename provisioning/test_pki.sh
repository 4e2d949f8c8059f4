# shellcheck shell=bash
# Functions that make a PKI, an issuer of access tokens and tokens with openssl alone, for a try-out: never for service.
# Sourced by quickstart.sh; everything goes into $1, private keys with mode 0600.

b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# pki_certificate DIR NAME SUBJECT EXTENSIONS: an RSA-3072 key and a certificate under DIR/ca
pki_certificate() {
  local dir=$1 name=$2 subject=$3 extensions=$4
  openssl genrsa -out "$dir/$name.key" 3072 2>/dev/null
  openssl req -new -key "$dir/$name.key" -subj "$subject" -out "$dir/$name.csr"
  openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 365 \
    -extfile <(printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature,keyEncipherment" \
      "$extensions") -out "$dir/$name.pem" 2>/dev/null
  rm -f "$dir/$name.csr"
}

# pki_make DIR: CA, server certificate for localhost and 127.0.0.1, client certificate "val-1"
pki_make() {
  local dir=$1
  mkdir -p "$dir"
  openssl req -x509 -newkey rsa:3072 -nodes -keyout "$dir/ca.key" -out "$dir/ca.pem" -days 365 \
    -subj "/CN=quickstart CA" -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
  pki_certificate "$dir" server "/CN=localhost" $'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1'
  pki_certificate "$dir" val-1 "/CN=val-1" "extendedKeyUsage=clientAuth"
}

# issuer_make DIR: an RSA key and its public half as DIR/jwks.json
issuer_make() {
  local dir=$1 modulus
  openssl genrsa -out "$dir/issuer.key" 2048 2>/dev/null
  modulus=$(openssl rsa -in "$dir/issuer.key" -noout -modulus | cut -d= -f2 | xxd_reverse | b64url)
  printf '{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"quickstart-1","n":"%s","e":"AQAB"}]}\n' "$modulus" >"$dir/jwks.json"
}

# hex digits on standard input to octets, without xxd
# shellcheck disable=SC2059  # the digits are the format
xxd_reverse() { local hex; read -r hex; printf "$(printf '%s' "$hex" | sed 's/../\\x&/g')"; }

# issuer_token DIR CLIENT_ID SECONDS CLAIMS: a signed access token on standard output; CLAIMS are members of JSON
issuer_token() {
  local dir=$1 client=$2 seconds=$3 claims=$4 now head body
  now=$(date +%s)
  head=$(printf '{"alg":"RS256","typ":"at+jwt","kid":"quickstart-1"}' | b64url)
  body=$(printf '{"iss":"https://sim-s.example","aud":"skms","client_id":"%s",%s,"iat":%d,"exp":%d}' \
    "$client" "$claims" "$now" $((now + seconds)) | b64url)
  printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign "$dir/issuer.key" -binary | b64url)"
}
