// KeyAnswer: what a key management server answered, decoded and checked against what was asked.
//
// docs/wire-format.md; TS 29.549 7.6.1.4.2.2 (ValKeyInfo), TS 33.434 table 5.3.3-1 (KM Response). Plain
// values; thread-safe functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::client {

/// What is asked for: a VAL service's own key, or that of one user, UE or client within it.
struct KeyQuery {
  std::string service;
  std::string user = {};  ///< at most one of user, ue and client
  std::string ue = {};
  std::string group =
      {};  ///< of the keys that come with the user's or UE's: this group's only; empty: his own
  std::string client = {};  ///< KM-UU only: KM-S cannot name a VAL client
  bool receipt =
      false;  ///< ask for a signed receipt (client/receipt.h) to come along; a server may pass it over
};

/// A point that the server sent, as in a JWK (RFC 7518 6.2.1); unchecked.
struct EphemeralKey {
  std::string curve;  ///< "P-256" or "P-384"
  Bytes x, y;
};

/// One key as it came, still closed.
struct ReceivedKey {
  std::string kid;
  std::string group;  ///< the VAL group whose key it is; empty: what was asked for itself
  std::string alg;    ///< "A256GCM", "ES256", …
  std::string state;
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;  ///< 0: no planned end
  std::uint64_t version = 0;
  std::string wrap_alg;  ///< "RSA-OAEP", …; empty for plaintext
  std::string recipient;
  Bytes encrypted_key;
  Bytes wrapped_key;
  EphemeralKey ephemeral;  ///< ECDH-ES+A256KWP only
  SecretBytes plaintext;   ///< delivery: tls
};

/// One payload that a VAL server provisioned (TS 33.434 5.8), still closed: a flattened JWE (RFC 7516 7.2.2),
/// or plaintext.
struct ReceivedPayload {
  std::string kid;
  std::string payload_id;  ///< empty: the selector's one payload without an id
  std::int64_t not_before = 0;
  std::uint64_t version = 0;
  std::string alg;  ///< "RSA-OAEP", "RSA-OAEP-256", "A256KW"; empty for plaintext
  std::string recipient;
  std::string protected_header;  ///< as it came, base64url: it is the additional authenticated data
  Bytes encrypted_key, iv, ciphertext, tag;
  SecretBytes plaintext;  ///< delivery: tls
};

struct KeyAnswer {
  std::string skms;      ///< id of the server
  std::string user_uri;  ///< for whom the answer is
  std::vector<ReceivedKey> keys;
  std::vector<ReceivedPayload> payloads;
  std::string receipt;         ///< JWS that came with it; empty: none
  Sha256Digest body_sha256{};  ///< of the answer as it came, which a receipt names
};

/// The keys and payloads that were asked for, in the order they came, out of a ValKeyInfo. A user's answer
/// also holds the keys of his groups. Errors: kIntegrity: not a ValKeyInfo, or for another service or target
/// than asked; kNotFound: it holds no key of the group, or groups' keys alone.
Result<KeyAnswer> DecodeAnswer(const std::string& body, const KeyQuery& query);

/// The same out of a KM Response, which must name `skms_uri` as its sender and echo what was asked. Errors:
/// as DecodeAnswer.
Result<KeyAnswer> DecodeKmResponse(const std::string& body, const KeyQuery& query,
                                   const std::string& skms_uri);

}  // namespace skms::client
