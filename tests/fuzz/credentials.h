// Fixed keys of an issuer and its clients: a token in a corpus is good in every run. They protect nothing.
#pragma once

#include <openssl/evp.h>

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace skms::fuzz {

EVP_PKEY* EcKey();   ///< P-256; of the issuer, kid "e"
EVP_PKEY* RsaKey();  ///< 2048 bits; of the issuer, kid "r", and of each client

Bytes SpkiOf(EVP_PKEY* key);
std::string PrivatePem(EVP_PKEY* key);
/// The issuer's public keys as a JWK Set.
std::string IssuerJwks();
/// JWS compact serialization by the issuer, ES256 or RS256.
std::string Signed(std::string_view header, std::string_view payload, EVP_PKEY* key);
/// A certificate for RsaKey, self-signed, DER, good when the manual clock begins. `serial` tells them apart.
Bytes CertificateOf(EVP_PKEY* key, long serial);

}  // namespace skms::fuzz
