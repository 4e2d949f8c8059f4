// Directory: services, principals, recipients and issuers, held as one immutable snapshot that changes
// replace.
//
// Readers take the snapshot without waiting for writers. Rows are MAC-checked when they are loaded, so later
// edits of the file have no effect on a running daemon and are refused at its next start. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "keystore/audit_log.h"
#include "keystore/database.h"
#include "keystore/directory_entries.h"
#include "keystore/key_store_values.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

struct DirectorySnapshot {
  std::map<std::string, Service> services;
  std::map<std::string, Principal> principals;
  std::map<std::string, RecipientEntry> recipients;
  std::map<std::string, Issuer> issuers;
  std::map<std::string, Subscription> subscriptions;
  std::map<Sha256Digest, std::string> principal_by_spki;
  std::map<std::string, std::string> recipient_by_principal;
  std::map<UeIdentity, std::string> recipient_by_ue;
  std::uint64_t version = 0;

  // With what they are found by.
  void Add(const Principal& principal);
  void Add(const RecipientEntry& recipient);
};

class Directory {
 public:
  /// Loads and checks every row. Errors: kIntegrity (names the row), kStorage.
  static Result<std::unique_ptr<Directory>> Load(Database& database, hsm::CryptoModule& module,
                                                 const Clock& clock);

  std::shared_ptr<const DirectorySnapshot> snapshot() const;
  /// What the database holds by now, whoever wrote it. Errors: as Load; the former snapshot stays.
  Status Reload();

  // Each change: checked against the snapshot, written with its audit entry in one transaction, then shown.
  Status AddService(const Requester& by, const Service& service);
  Status SetService(const Requester& by, const Service& service);
  Status RemoveService(const Requester& by, const ValServiceId& id);
  Status AddPrincipal(const Requester& by, const Principal& principal);
  Status RemovePrincipal(const Requester& by, const PrincipalId& id);
  Status AddRecipient(const Requester& by, const RecipientEntry& recipient);
  Status RemoveRecipient(const Requester& by, const RecipientId& id);
  Status AddIssuer(const Requester& by, const Issuer& issuer);
  /// Keys that were fetched; the same again changes nothing. kChangedMeanwhile: the issuer is another by now.
  Status SetIssuerKeys(const Requester& by, const Issuer& fetched_for, const std::string& jwks);
  Status RemoveIssuer(const Requester& by, const IssuerId& id);
  Status AddSubscription(const Requester& by, const Subscription& subscription);
  Status RemoveSubscription(const Requester& by, const SubscriptionId& id);

  /// Brings every row under the token keys `use`: how many were not. Errors: kIntegrity (names a row; nothing
  /// was written), kStorage, the token's.
  Result<std::int64_t> Rewrap(const hsm::TokenKeyGenerations& use);

 private:
  static AuditEntry EntryFor(const Requester& by, const char* action, const std::string& what,
                             const std::string& service = "");
  /// Held while a change is decided and made.
  std::unique_lock<std::mutex> BeginChange();
  using Edit = std::function<void(DirectorySnapshot&)>;
  Directory(Database& database, hsm::CryptoModule& module, const Clock& clock);
  /// Writes `row` and the audit entry, then publishes the snapshot that `edit` makes. Called with
  /// change_mutex_ held.
  Status Change(AuditEntry entry, const DatabaseWork& row, const Edit& edit);
  /// The next snapshot, with what `edit` makes of the present one, unless all was read anew since it was
  /// written. The version that counts now.
  std::uint64_t Publish(const Edit& edit);
  Status CheckService(const Service& service) const;
  /// `former` is nullptr for a new one.
  Status PutService(const Requester& by, const Service& service, const Service* former);

  Database& database_;
  hsm::CryptoModule& module_;
  const Clock& clock_;
  std::mutex change_mutex_;         ///< one change at a time
  std::set<Sha256Digest> checked_;  ///< rows of the last Reload, which one thread at a time does
  std::uint64_t decided_on_ = 0;    ///< version of the snapshot, of the change that is being made
  mutable std::mutex snapshot_mutex_;
  std::shared_ptr<const DirectorySnapshot> snapshot_;
};

}  // namespace skms::keystore
