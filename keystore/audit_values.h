// What the audit chain is made of. Plain values.
//
// Entry n's hash covers the entry and the hash of entry n - 1. Checkpoints are statements of the token that
// the chain had a certain hash at a certain entry; they cover everything before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace skms::keystore {

struct AuditEntry {
  std::string actor;
  std::string action;   ///< "deliver", "create", "rotate", "service.add", …
  std::string outcome;  ///< "granted" or "refused"
  std::string service;
  std::string target_kind;
  std::string target_pseudonym;
  std::string kid;
  std::string reason;
  std::string request_id;
};

/// An entry in its place.
struct AuditRecord {
  std::int64_t seq = 0;  ///< from 1, without a gap
  std::int64_t time_ms = 0;
  AuditEntry entry;
  std::string previous;  ///< hex: hash of the entry before; of the first, zeros
  std::string hash;      ///< hex
};

/// A JWS (base/jws.h) of typ "skms-audit" whose payload has the members below, in this order.
struct AuditCheckpoint {
  std::int64_t seq = 0;      ///< the entry that it speaks of
  std::string hash;          ///< hex: of that entry
  std::int64_t time_ms = 0;  ///< when it was signed
  Bytes next_key;            ///< SPKI of the key that signs from now on; empty: the same
  std::string kid;           ///< "skms-sign-<n>", which signed it
  std::string jws;
  std::int64_t number = 0;  ///< of those of one entry the later has the higher one; 0: it is in no database
};

/// How far the chain was sent elsewhere.
struct AuditExported {
  std::int64_t seq = 0;         ///< the last entry that went; 0: none
  std::int64_t checkpoint = 0;  ///< number of the last checkpoint of that entry that went; 0: none
};

struct AuditSummary {
  std::int64_t entries = 0;
  std::string head;  ///< hex of the newest entry's hash
};

/// What a walk over the chain found.
struct AuditVerdict {
  std::int64_t first = 0;  ///< 1, or what follows the entries that were archived; 0: there is none
  std::int64_t last = 0;
  std::string head;               ///< hex: hash of the last entry
  std::int64_t checkpoints = 0;   ///< whose signature was good
  std::int64_t unverified = 0;    ///< signed by keys that are not known
  std::int64_t signed_up_to = 0;  ///< the last entry that a good checkpoint covers
  std::int64_t signed_at_ms = 0;  ///< when that was signed
};

/// Who can verify checkpoints.
struct AuditKey {
  std::string kid;  ///< "skms-sign-<n>"
  Bytes spki;       ///< SubjectPublicKeyInfo DER
};

/// Part of the chain, in its order: checkpoints stand after the entry that they speak of.
struct AuditPage {
  std::vector<AuditRecord> entries;
  std::vector<AuditCheckpoint> checkpoints;
  bool more = false;
};

struct AuditQuery {
  std::int64_t after = 0;  ///< entries after this one
  std::optional<std::int64_t> since_ms;
  std::optional<std::int64_t> before_ms;
  std::string actor;   ///< as it stands in the chain; empty: any, so below
  std::string action;  ///< whole, or a beginning that ends with a dot: "service."
  std::string outcome;
  std::string service;
  std::string kid;
  std::string target_pseudonym;
  std::string request_id;
  std::uint32_t limit = 100;  ///< 1 to 1000
};

}  // namespace skms::keystore
