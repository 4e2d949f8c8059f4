// What a KeyStore is made of; shared by the files that implement it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "keystore/answer_cache.h"
#include "keystore/approvals.h"
#include "keystore/audit_log.h"
#include "keystore/database.h"
#include "keystore/delivery_cache.h"
#include "keystore/directory.h"
#include "keystore/directory_rows.h"
#include "keystore/key_change_set.h"
#include "keystore/key_records.h"
#include "keystore/key_store.h"
#include "keystore/payload_rows.h"
#include "keystore/rotation.h"
#include "keystore/rotation_run.h"

namespace skms::keystore {

template <class Value>
bool Holds(const std::vector<Value>& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

/// One text for what is not there and what is not for this requester.
inline Error NoSuchKey() {
  return NotFound("no key for this service, user or UE, or none for this requester");
}

class KeyStore::State {
 public:
  State(hsm::CryptoModule& crypto, const Clock& time, std::unique_ptr<Database> opened,
        std::unique_ptr<Directory> loaded, SecretBytes lasting_key, bool was_lasting,
        std::size_t answer_cache_bytes)
      : module(crypto),
        clock(time),
        database(std::move(opened)),
        directory(std::move(loaded)),
        approvals(*database, module, clock),
        answers(answer_cache_bytes / 2),
        deliveries(answer_cache_bytes / 2),
        lasting(was_lasting),
        lasting_key_(std::move(lasting_key)) {}

  State(const State&) = delete;
  State& operator=(const State&) = delete;
  /// Before the members go that it looks at.
  ~State() {
    database->OnReconnected({});
    database->OnChangedElsewhere({});
  }

  /// An entry about one selector, its target as a pseudonym.
  AuditEntry EntryFor(const Requester& by, const char* action, const Selector& selector) const;
  /// 16 hex digits that stand for identities.
  std::string Pseudonym(ByteView fields) const;
  /// As the database has it, with a tag by the lasting key.
  std::string ExportedText(const AuditExported& exported) const;
  /// Writes the refusal, then returns `error` — or kStorage if the entry could not be written.
  Error Refuse(AuditEntry entry, std::string reason, const Error& error);
  /// `place`, where given, is that of the last of them.
  Status Record(std::span<const AuditEntry> entries, AuditSummary* place = nullptr);
  /// The same, once what other servers have changed until then is known and `stands` says true; else
  /// kChangedMeanwhile.
  Status RecordWhere(const std::function<bool()>& stands, std::span<const AuditEntry> entries,
                     AuditSummary* place);

  /// Where keys go: to a recipient, or as plaintext by the service's policy.
  struct Destination {
    std::string id;                           ///< for "recipient" in keyInfo
    std::optional<hsm::Recipient> recipient;  ///< nullopt: plaintext
  };
  /// What a key is made for: the token wraps it to this destination while it has it, and to no other; and it
  /// is committed with the entries of its delivery, so that one without the other is never there.
  class FirstDelivery {
   public:
    /// Borrows `to`.
    explicit FirstDelivery(const Destination& to) : to_(to) {}
    /// nullptr: nothing is wrapped.
    const hsm::Recipient* recipient() const { return to_.recipient ? &*to_.recipient : nullptr; }
    void Made(const Kid& kid, std::optional<hsm::DeliveredKey> delivered) {
      kid_ = kid;
      delivered_ = std::move(delivered);
    }
    /// What is to be committed, and the selector's lock until then.
    void Keep(std::unique_lock<std::timed_mutex> alone, KeyChangeSet set) {
      alone_ = std::move(alone);
      set_ = std::move(set);
    }
    /// nullptr: no key was made.
    KeyChangeSet* set() { return set_ ? &*set_ : nullptr; }
    /// nullptr: no key was made, or it could not be wrapped at once.
    const hsm::DeliveredKey* delivered() const { return delivered_ ? &*delivered_ : nullptr; }
    /// Once, and for the very destination that this was made with. nullopt: RewrapFor has to be asked.
    std::optional<hsm::DeliveredKey> Take(const Destination& to, const Kid& kid) {
      if (&to != &to_ || kid != kid_) return std::nullopt;
      return std::exchange(delivered_, std::nullopt);
    }

   private:
    const Destination& to_;
    Kid kid_;
    std::optional<hsm::DeliveredKey> delivered_;
    std::unique_lock<std::timed_mutex> alone_;
    std::optional<KeyChangeSet> set_;
  };
  /// Every version of the selector; version 1 is made, and left in `first`, if the policy says so.
  Result<Versions> OwnVersions(const Requester& by, const Service& service, const Selector& selector,
                               FirstDelivery& first);
  /// What a change is made from and for.
  struct Planned {
    Service service;
    Selector selector;
    std::vector<StoredKeyVersion> stored;  ///< every version, newest first, MACs checked
    const char* action = "rotate";         ///< in the audit chain, of a version that is made
    std::string reason;
    std::int64_t group_revision = 0;
    FirstDelivery* first = nullptr;  ///< of the version that is made, where somebody waits for it
  };
  /// A rotation by hand, and what it starts from. Under the selector's lock where it is to be committed.
  struct PlannedRotation {
    Planned from;
    RotationPlan plan;
  };
  Result<PlannedRotation> PlanRotation(const Selector& selector);
  /// Every version of a selector with its MAC, newest first. kIntegrity names the row.
  Result<std::vector<StoredKeyVersion>> CheckedVersions(const Selector& selector);
  /// Adds what `plan` does to `set`, its new version generated and wrapped. Errors: the token's.
  Status AddPlan(KeyChangeSet& set, const Requester& by, const Planned& planned, const RotationPlan& plan);
  Status AddChanged(KeyChangeSet& set, const Requester& by, const std::vector<StoredKeyVersion>& stored,
                    ChangedVersion changed, const std::string& reason);
  /// Commits; `place`, where given, is that of the last entry. Errors: those of Apply, kStorage.
  Status Write(KeyChangeSet set, AuditSummary* place = nullptr);
  /// Empties the write-ahead log if it may hold octets that were wiped since it last was.
  Status EmptyLogOfWiped();
  /// Version 1 with its audit entry, not yet committed. Under the selector's lock.
  Result<KeyChangeSet> MakeFirst(const Requester& by, const Service& service, const Selector& selector,
                                 FirstDelivery& first);
  /// A version generated and wrapped, not yet committed.
  Result<StoredKeyVersion> PrepareVersion(const Planned& planned, const NextVersion& next);
  Destination DestinationOf(const Requester& by, const Service& service) const;
  /// kPermissionDenied: there is none.
  Result<Destination> DestinationOf(const UeRequester& ue, const Service& service) const;
  /// `at_once`: what the token wrapped to `to` when it made this version; nullopt: it is asked now.
  Result<DeliveredVersion> Wrap(const Destination& to, KeyVersion version,
                                std::optional<hsm::DeliveredKey> at_once);
  /// `error` of a wrap to `to`; kRecipientUnusable, with what to do, where another recipient would not meet
  /// it.
  static Error Unusable(const Destination& to, const char* what_for, const Error& error);
  /// A refusal of kRecipientNotTrusted, with the recipient's id.
  static Status NamingRecipient(const Destination& to, Status checked);
  /// kRecipientNotTrusted: the service has TRUSTED recipients alone.
  Status CheckDestination(const Service& service, const Destination& to);
  /// kIntegrity: a key that could go to anybody lies in a service with TRUSTED recipients.
  static Status CheckMadeFor(const Service& service, const hsm::WrappedKey& key, const std::string& id);
  /// Another server has this service, at `home`.
  Result<DeliveryAnswer> SendHome(AuditEntry entry, const Service& service, const std::string& home);
  /// A service, and as of when it is so.
  struct ServiceThen {
    std::shared_ptr<const DirectorySnapshot> directory;
    const Service* service = nullptr;  ///< of that; nullptr: there is none
    DeliveryCache::Moment moment;
  };
  ServiceThen ServiceNow(const ValServiceId& id) const;
  /// What of the service a selector gets, wrapped and audited. kNotFound, kPermissionDenied (scope).
  Result<DeliveryAnswer> DeliverSelected(const Requester& by, const ServiceThen& of, const Selector& selector,
                                         const Destination& to);
  /// The same made anew, with its audit entries, which are not written yet, and perhaps a key in `first`.
  Status MakeDelivery(const Requester& by, const Service& service, const Selector& selector,
                      const Destination& to, FirstDelivery& first, DeliveryCache::Kept& made);
  /// MakeDelivery, and all of it committed. Errors are told to the chain already.
  Status MakeAndRecord(const Requester& by, const Service& service, const Selector& selector,
                       const Destination& to, DeliveryCache::Kept& made);
  /// Of a delivery in DeliveryCache.
  static Sha256Digest NameOf(const Requester& by, const Selector& selector, const Destination& to);
  bool SetUntil(const Service& service, const Destination& to, DeliveryCache::Kept& made) const;
  /// Names who asks on KM-UU in the chain, as a pseudonym.
  PrincipalId ActorOf(const UeRequester& ue) const;

  Result<Kid> FreshKid();
  /// The newest version of each payload of a selector, MACs checked.
  Result<std::vector<StoredPayload>> CurrentPayloads(const Selector& selector);
  Result<DeliveredPayload> Readdress(const Service& service, const Destination& to, Payload payload);
  /// The service; audits what it refuses, by `entry`.
  Result<Service> MayProvision(const Requester& by, const ProvisionOrder& order, const AuditEntry& entry);
  Result<std::string> DigestOf(const ProvisionOrder& order);
  Result<StoredPayload> SealPayload(const Requester& by, const Service& service, const ProvisionOrder& order,
                                    std::uint32_t version, std::string digest);
  /// Under the selector's lock.
  Result<Provisioned> StorePayload(const Requester& by, const Service& service, const ProvisionOrder& order,
                                   AuditEntry entry);

  class GroupChange;
  /// kIntegrity: a version was made at a later revision of its group than the one that is stored.
  static Status CheckNotRolledBack(const std::vector<StoredKeyVersion>& stored, std::int64_t revision,
                                   const GroupId& group);
  /// Again while others overtake it (kChangedMeanwhile), a few times.
  template <class Attempt>
  static auto WithRetries(const Attempt& attempt) -> decltype(attempt()) {
    for (int i = 1;; ++i) {
      auto outcome = attempt();
      if (i == kTries || outcome.has_value() || outcome.error().code != ErrorCode::kChangedMeanwhile)
        return outcome;
    }
  }
  Error RefuseGroup(const Requester& by, const char* action, const GroupId& id, const Error& error);
  /// What a member sees of the keys of his groups within the service, all states.
  /// `looked_at` gets the selectors of those groups.
  Result<Versions> GroupVersionsOf(const Service& service, const GroupMember& member,
                                   std::vector<Selector>& looked_at);
  /// Those that may go out: what protects now, will, and did; newest first within each.
  static Versions Ranked(Versions versions);
  /// Each version wrapped for the requester, and an audit entry for each.
  Result<std::vector<DeliveredVersion>> WrapAll(const Requester& by, const Service& service,
                                                const Destination& to, Versions versions,
                                                std::vector<AuditEntry>& entries,
                                                FirstDelivery* first = nullptr);

  class DueKeys;
  Result<KeyChangeSet> PlanOne(const Requester& by, const Service& service, const Selector& selector,
                               std::int64_t now);
  Status CommitRotation(std::vector<std::pair<Selector, KeyChangeSet>>& sets, RotationRun& run);

  /// After a commit whose outcome nobody told, or on another server: what is kept in memory of what the
  /// database holds. kIntegrity: what was signed is not in it. Does not write.
  Status LearnAnew();
  /// From now on what others change is learnt.
  void HearOfOthers();
  /// kConflict: another server leads; names it.
  Status CheckLeads();
  Status LearnTokenKeys();

  std::timed_mutex& LockFor(const Selector& selector);
  /// Of those who do not wait any longer for the first one's holder.
  std::timed_mutex& SecondLockFor(const Selector& selector);
  Result<Versions> MakeOrAwaitFirst(const Requester& by, const Service& service, const Selector& selector,
                                    FirstDelivery& first);

  hsm::CryptoModule& module;
  const Clock& clock;
  const std::unique_ptr<Database> database;
  const std::unique_ptr<Directory> directory;
  Approvals approvals;
  AnswerCache answers;
  DeliveryCache deliveries;
  std::atomic<bool> exports{false};               ///< the audit chain is sent elsewhere before it is archived
  std::atomic<bool> payloads_exist{false};        ///< there may be some: a delivery looks for them
  std::atomic<std::uint64_t> changes_by_hand{0};  ///< grows with every change that is not the scheduler's
  std::mutex rotation_mutex;
  RotationMemory rotation_memory;
  std::uint64_t told_term = 0;     ///< of SeekLead's thread
  std::string token_key_use_text;  ///< of LearnAnew's thread: what was read last
  std::string server;              ///< this one's name, where several share the database
  std::atomic<bool> lasting;       ///< the database has the lasting key: the MAC key it came from may be gone
  Result<std::optional<AuditCheckpoint>> GoodLastCheckpoint(const AuditSummary& head);
  /// The checkpoint that stands for what was archived, by the key in use, before the one that made it goes.
  Status CountersignArchived();
  std::atomic<std::int64_t> signed_up_to{0};  ///< by this process
  std::mutex checkpoint_mutex;                ///< one signs the chain at a time
  std::mutex backup_check_mutex;              ///< a report is recorded once
  std::mutex token_keys_mutex;                ///< one change of token keys at a time; before rotation_mutex

  class Rewrap;
  /// kConflict: rows are under token keys that are not in use.
  Status CheckAllRewrapped();
  /// Makes the next token keys, says so in the database, and uses them.
  Result<hsm::TokenKeyGenerations> UseNewTokenKeys(
      const Requester& by, const char* action, const std::string& what,
      const std::function<Result<hsm::TokenKeyGenerations>(std::uint32_t above)>& make);

 private:
  static constexpr std::size_t kStripes = 64;
  static std::size_t StripeOf(const Selector& selector);
  /// A change that others overtake so often is given back to the caller.
  static constexpr int kTries = 8;
  const SecretBytes lasting_key_;  ///< of pseudonyms, and of digests once `lasting`
  std::array<std::timed_mutex, kStripes> stripes_;
  std::array<std::timed_mutex, kStripes> second_stripes_;
  std::atomic<bool> log_holds_wiped_{false};
};

}  // namespace skms::keystore
