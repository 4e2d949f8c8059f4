// DeliveryReceipt: what this server says of one answer that carried keys: a JWS (base/jws.h) of typ
// "skms-receipt", signed in the token as the audit chain's checkpoints are. It names the answer by its
// digest, the keys by their ids and the entry of the audit chain that was written before the answer went out,
// so that either side can show what was handed to whom.
//
// It holds no key and, beside what the audit chain says of the requester, no identity. Pure functions;
// thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/jws.h"
#include "base/result.h"

namespace skms {

inline constexpr const char* kReceiptType = "skms-receipt";
/// Field of an answer that holds it, and the preference (RFC 7240) that asks for it.
inline constexpr const char* kReceiptField = "SKMS-Receipt";
inline constexpr const char* kReceiptPreference = "skms-receipt";

struct DeliveryReceipt {
  std::string issuer;          ///< apiRoot of the server
  std::int64_t issued_at = 0;  ///< seconds since 1970
  std::string subject;         ///< who asked, as in the audit chain, as one word
  std::string request_id;
  std::string service;     ///< VAL service IDs, a blank between two
  std::string kids;        ///< of keys and payloads, a blank between two
  std::int64_t entry = 0;  ///< the last entry that the audit chain has of this answer
  std::string entry_hash;  ///< hex
  Sha256Digest digest{};   ///< SHA-256 of the answer's body
};

/// `text` as one word of a claim: octets that are no printable ASCII, blanks, quotation marks, backslashes
/// and percent signs are percent-encoded.
std::string ReceiptWord(std::string_view text);

/// Claims in this order: iss, iat, sub, jti, service, kids, seq, hash, digest.
std::string ReceiptPayload(const DeliveryReceipt& receipt);

/// Takes it apart; its signature is in the JWS, not looked at. Errors: kInvalidArgument (no receipt).
Result<DeliveryReceipt> ReadReceipt(const Jws& jws);

}  // namespace skms
