// Approvals: what one administrator asked for, and others approve before it is done (docs/administrators.md).
//
// A request names exactly what would be done, by a digest that approvers repeat. It is used once, by who
// asked, and ends by itself. Rows carry a MAC by the token; what is put back behind the store's back is told
// by the audit chain, in which every step is an entry of the same transaction. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/seldom.h"
#include "hsm/crypto_module.h"
#include "keystore/audit_values.h"
#include "keystore/database.h"
#include "keystore/key_store_values.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

enum class ApprovalState { kOpen, kRefused, kWithdrawn, kExpired, kUsed };
std::string_view Name(ApprovalState state);  ///< "open", "refused", …

/// What would be done, word for word. No secret, and no user's identity but in `body`.
struct ApprovalOrder {
  std::string kind;       ///< "destroy", "kek", …: of the configuration's list
  std::string operation;  ///< method and path
  std::string body;       ///< JSON in one form: members in order, no blanks
  std::string summary;    ///< for people; what it depends on, so that it is another order where that changes
};

struct ApprovalRules {
  std::uint32_t quorum = 2;         ///< persons, who asks among them
  std::int64_t lifetime_s = 86400;  ///< from the request, used or not
};

/// Whether a person may decide on orders of a kind, now.
using MayDecide = std::function<bool(const PrincipalId& person, const std::string& kind)>;

struct Approval {
  std::string id;  ///< "apr-" and 16 hex digits; in the chain's column of kids
  ApprovalOrder order;
  std::string digest;  ///< hex: SHA-256 over kind, operation, body and summary
  PrincipalId requester;
  std::vector<PrincipalId> approvers;  ///< others than the requester, each once
  PrincipalId refused_by;
  ApprovalState state = ApprovalState::kOpen;
  std::uint32_t quorum = 2;  ///< when it was asked for; a larger one of today counts instead
  std::int64_t created = 0;  ///< seconds since 1970, as below
  std::int64_t expires = 0;
  std::int64_t changed = 0;
  std::int64_t after_entry = 0;  ///< of the audit chain: its own entries are later ones

  std::uint32_t Needed(std::uint32_t quorum_now) const { return quorum > quorum_now ? quorum : quorum_now; }
  bool Approved(std::uint32_t quorum_now) const {
    return state == ApprovalState::kOpen && approvers.size() + 1 >= Needed(quorum_now);
  }
};

std::string DigestOf(const ApprovalOrder& order);

class Approvals {
 public:
  static constexpr std::size_t kMostOpen = 100;
  static constexpr std::size_t kMostOpenOfOne = 16;

  /// All are borrowed and must outlive it.
  Approvals(Database& database, hsm::CryptoModule& module, const Clock& clock)
      : database_(database), module_(module), clock_(clock) {}

  // Errors of all: kIntegrity (names a row that was changed or put back outside skms), kStorage, the token's.

  /// A new request, or the open one of the same person for the same. kConflict: too many are open.
  Result<Approval> Request(const Requester& by, const ApprovalOrder& order, const ApprovalRules& rules);
  /// Newest first; those that ended stay for 30 days, a hundred at most. Rows that were changed outside skms
  /// count for nothing, and are left out here and told in the log.
  Result<std::vector<Approval>> List();
  Result<Approval> Show(const std::string& id);  ///< kNotFound
  /// `digest` is what the approver saw. kNotFound, kPermissionDenied (his own), kPreconditionFailed (another
  /// digest), kConflict (it has ended; he has approved already).
  Result<Approval> Approve(const Requester& by, const std::string& id, const std::string& digest);
  /// Errors: as Approve.
  Result<Approval> Refuse(const Requester& by, const std::string& id, const std::string& digest);
  /// By who asked. kNotFound, kPermissionDenied, kConflict.
  Result<Approval> Withdraw(const Requester& by, const std::string& id);

  /// Uses up the requester's approved request for exactly this; nullopt: there is none. Approvers count who
  /// may still decide.
  Result<std::optional<Approval>> Use(const Requester& by, const ApprovalOrder& order,
                                      const ApprovalRules& rules, const MayDecide& may_decide);
  /// What it was used for was refused or failed: it may be used again.
  Status GiveBack(const Requester& by, const Approval& used);

  /// Ends what has run out, with its entry, so that the chain tells it also where nobody looks.
  Status EndExpired();

  /// Brings every row under the token keys `use`: how many were not. One that was changed outside skms goes,
  /// with an entry.
  Result<std::int64_t> Rewrap(const hsm::TokenKeyGenerations& use);

 private:
  struct Stored {
    Approval approval;
    RowMac mac;
  };
  Result<std::vector<Stored>> ReadChecked(const std::string& conditions);
  /// Without those that were changed.
  Result<std::vector<Stored>> ReadGood(const std::string& conditions);
  /// Those that have not ended; what has run out ends first.
  Result<std::vector<Stored>> Open();
  Result<Stored> Find(const std::string& id);
  /// One that somebody decides on: open, and not put back.
  Result<Stored> FindOpen(const std::string& id);
  Status Sweep();
  Status CheckNotPutBack(const Approval& approval);
  /// Writes `next` in the place of `stored`, with its entry.
  Status Replace(const Stored& stored, Approval next, AuditEntry entry);

  Database& database_;
  hsm::CryptoModule& module_;
  const Clock& clock_;
  std::mutex mutex_;  ///< one change at a time
  Seldom tells_;
};

}  // namespace skms::keystore
