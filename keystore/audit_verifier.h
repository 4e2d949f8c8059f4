// AuditVerifier: takes the entries and checkpoints of an audit chain in their order and names the first thing
// that does not fit: an entry changed, dropped, put in or moved, a chain that was made anew, a cut tail.
//
// It needs the public keys alone: those it is given, and those that a checkpoint of a known key names as the
// next. A checkpoint of an unknown key is counted and proves nothing. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/audit_checkpoint.h"
#include "keystore/audit_values.h"

namespace skms::keystore {

class AuditVerifier {
 public:
  /// `keys`: SubjectPublicKeyInfo DER.
  explicit AuditVerifier(std::vector<Bytes> keys) : keys_(std::move(keys)) {}

  /// The chain must reach what this checkpoint says, which was kept elsewhere: else its tail was cut, or it
  /// was made anew. Before the first Take. Errors: kInvalidArgument, kIntegrity (no known key signed it).
  Status MustReach(std::string_view jws);

  /// Errors of both: kIntegrity.
  Status Take(const AuditRecord& record);
  /// Of the entry that was taken last; or of the one before the first, which was archived.
  Status TakeCheckpoint(std::string_view jws);
  /// After the last. Errors: kIntegrity.
  Status Finish() const;

  const AuditVerdict& verdict() const { return verdict_; }

 private:
  /// False: no key that is known signed it.
  bool IsSigned(const Jws& jws) const;
  Status CheckReached(std::int64_t seq, const std::string& hash) const;

  std::vector<Bytes> keys_;
  std::optional<AuditCheckpoint> must_reach_;
  bool anchored_ = false;  ///< the place before the next entry is known
  std::int64_t seq_ = 0;   ///< of the last entry
  std::string hash_ = kAuditGenesis;
  std::string unknown_kid_;  ///< of the last checkpoint that proved nothing
  std::int64_t unknown_up_to_ = 0;
  AuditVerdict verdict_;
};

}  // namespace skms::keystore
