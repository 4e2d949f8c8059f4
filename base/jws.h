// JWS (RFC 7515), compact form, for what this server signs with its token: ES256 or PS256, a header of
// exactly alg, kid and typ in that order (base/plain_json.h). Signing is the token's; verifying is OpenSSL's.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace skms {

struct JwsHeader {
  std::string alg;  ///< "ES256" or "PS256"
  std::string kid;
  std::string typ;  ///< what the payload is: one kind of statement never passes for another
};

struct Jws {
  JwsHeader header;
  std::string payload;
  std::string signed_part;  ///< what the signature is over
  Bytes signature;
};

/// The octets to be signed.
std::string JwsSignedPart(const JwsHeader& header, std::string_view payload);
/// The whole, once they are.
std::string JwsText(const std::string& signed_part, ByteView signature);

/// Takes it apart; says nothing of its truth. Errors: kInvalidArgument.
Result<Jws> ReadJws(std::string_view text);
/// `spki`: SubjectPublicKeyInfo DER of a P-256 key for ES256, of RSA from 2048 bits for PS256. Errors:
/// kIntegrity.
Status VerifyJws(const Jws& jws, ByteView spki);

}  // namespace skms
