// AuditVerifier: takes the entries and checkpoints of an audit chain in their order and names the first thing
// that does not fit: an entry changed, dropped, put in or moved, a chain that was made anew, a cut tail.
//
// It needs the public keys alone: those it is given, until a checkpoint of one of them names the next, which
// alone counts from then on. A checkpoint of an unknown key is counted and proves nothing. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/delivery_receipt.h"
#include "base/result.h"
#include "keystore/audit_checkpoint.h"
#include "keystore/audit_values.h"

namespace skms::keystore {

class AuditVerifier {
 public:
  /// `keys`: SubjectPublicKeyInfo DER.
  explicit AuditVerifier(std::vector<Bytes> keys) : keys_(std::move(keys)), ever_known_(keys_) {}

  /// The chain must hold what this checkpoint says, which was kept elsewhere: else its tail was cut, or it
  /// was made anew. Before the first Take. Errors: kInvalidArgument.
  Status MustReach(std::string_view jws);
  /// The chain must hold the entry that a receipt of a delivery (base/delivery_receipt.h) names. Before the
  /// first Take. Errors: kInvalidArgument.
  Status MustHoldReceipt(std::string_view jws);

  /// Errors of both: kIntegrity.
  Status Take(const AuditRecord& record);
  /// Of the entry that was taken last; or, before the first, of what was archived.
  Status TakeCheckpoint(std::string_view jws);

  struct Strictness {
    bool unsigned_tail = false;  ///< entries after the last checkpoint are no error
    bool part = false;           ///< what was before the first entry is elsewhere, whoever says so
  };
  /// After the last. Where the first entry is not 1, an entry must say that those before were archived.
  /// Errors: kIntegrity.
  Status Finish(Strictness strictness) const;

  const AuditVerdict& verdict() const { return verdict_; }

 private:
  /// What somebody kept elsewhere says of an entry.
  struct Kept {
    std::string what;  ///< "the kept checkpoint"
    Jws jws;
    std::int64_t seq = 0;
    std::string hash;
    std::optional<DeliveryReceipt> receipt{};
    bool reached = false;
  };
  Status CheckReceipts(const AuditRecord& record) const;
  Status CheckReached(std::int64_t seq, const std::string& hash);
  Status CheckKept(const Kept& kept) const;
  Status Misplaced(const AuditCheckpoint& checkpoint) const;

  std::vector<Bytes> keys_;
  std::vector<Bytes> ever_known_;
  std::vector<Kept> kept_;
  std::string anchor_;         ///< hash before the first entry, where that is not entry 1
  bool archive_told_ = false;  ///< an entry says that those before the first were archived
  bool anchored_ = false;      ///< the place before the next entry is known
  std::int64_t seq_ = 0;       ///< of the last entry
  std::string hash_ = kAuditGenesis;
  std::string unknown_kid_;  ///< of the last checkpoint that proved nothing
  std::int64_t unknown_up_to_ = 0;
  AuditVerdict verdict_;
};

}  // namespace skms::keystore
