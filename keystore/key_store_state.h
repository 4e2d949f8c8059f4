// What a KeyStore is made of; shared by the files that implement it.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "keystore/audit_log.h"
#include "keystore/database.h"
#include "keystore/directory.h"
#include "keystore/key_records.h"
#include "keystore/key_store.h"

namespace skms::keystore {

class KeyStore::State {
 public:
  State(hsm::CryptoModule& crypto, const Clock& time, std::unique_ptr<Database> opened,
        std::unique_ptr<Directory> loaded, SecretBytes pseudonym_key)
      : module(crypto),
        clock(time),
        database(std::move(opened)),
        directory(std::move(loaded)),
        pseudonym_key_(std::move(pseudonym_key)) {}

  /// An entry about one selector, its target as a pseudonym.
  AuditEntry EntryFor(const Requester& by, const char* action, const Selector& selector) const;
  /// Writes the refusal, then returns `error` — or kStorage if the entry could not be written.
  Error Refuse(AuditEntry entry, std::string reason, const Error& error);
  Status Record(std::span<const AuditEntry> entries);

  /// Every version of a selector, newest first, MACs checked.
  Result<std::vector<KeyVersion>> Versions(const Selector& selector);
  /// The versions that may go out, what protects now first; version 1 is made if the policy says so.
  Result<std::vector<KeyVersion>> Deliverable(const Requester& by, const Service& service,
                                              const Selector& selector);
  /// Next version after `current` (nullptr: the first), committed with its audit entry. Under the selector's
  /// lock.
  Result<KeyVersion> MakeVersion(const Requester& by, const Service& service, const Selector& selector,
                                 const KeyVersion* current);
  /// A version generated and wrapped, not yet committed.
  Result<StoredKeyVersion> PrepareVersion(const Service& service, const Selector& selector,
                                          std::uint32_t number);
  /// Newest version with its MAC checked; nullopt: none.
  Result<std::optional<KeyVersion>> Newest(const Selector& selector);
  /// Takes `version` along `action`, its times and its MAC with it. Errors: kConflict, kInvalidArgument.
  Result<StoredKeyVersion> Changed(KeyVersion version, const Requester& by, const KeyChange& change);
  /// Writes a changed version with its audit entry, and the version after it where the change asks for one.
  Status CommitChange(const Requester& by, const StoredKeyVersion& changed, const KeyChange& change,
                      std::uint32_t number);
  Status CheckNoneActive(const Selector& selector);  ///< kConflict naming the active version
  Status CheckNewest(const KeyVersion& version);     ///< kConflict when there is a newer one
  Result<DeliveredVersion> Wrap(const Requester& by, const Service& service, KeyVersion version);

  std::mutex& LockFor(const Selector& selector);

  hsm::CryptoModule& module;
  const Clock& clock;
  const std::unique_ptr<Database> database;
  const std::unique_ptr<Directory> directory;

 private:
  static constexpr std::size_t kStripes = 64;
  const SecretBytes pseudonym_key_;
  std::array<std::mutex, kStripes> stripes_;
};

}  // namespace skms::keystore
