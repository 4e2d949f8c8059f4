// KeyAnswer: what a key management server answered, decoded and checked against what was asked.
//
// docs/wire-format.md; TS 29.549 7.6.1.4.2.2 (ValKeyInfo). Plain values; thread-safe functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::client {

struct KeyQuery {
  std::string service;
  std::string user = {};  ///< at most one of user and ue
  std::string ue = {};
  std::string group =
      {};  ///< of the keys that come with the user's or UE's: this group's only; empty: his own
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
  SecretBytes plaintext;  ///< delivery: tls
};

struct KeyAnswer {
  std::string skms;
  std::string user_uri;
  std::vector<ReceivedKey> keys;
};

/// The keys that were asked for, in the order they came. A user's answer also holds the keys of his groups.
/// Errors: kIntegrity: not a ValKeyInfo, or for another service or target than asked; kNotFound: it holds no
/// key of the group, or groups' keys alone.
Result<KeyAnswer> DecodeAnswer(const std::string& body, const KeyQuery& query);

/// The sentence a problem+json body says, or `fallback`.
std::string ProblemText(const std::string& body, const std::string& fallback);

}  // namespace skms::client
