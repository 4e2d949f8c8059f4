// KeyStore: policy, records, versions, audit; the one place that decides whether a key is made or handed out.
//
// Every decision, granted or refused, is an entry in the audit chain, committed before the call returns; if
// it cannot be written the call fails with kStorage and hands out nothing. Every row read is checked by its
// MAC first (kIntegrity, reported in the log with the row's name). TS 33.434 5.3; DESIGN: key hierarchy in
// docs/.
//
// Thread-safe. Owns the database; borrows the CryptoModule and the Clock, which must outlive it. One process
// at a time owns a database, or several that share it (StoreOptions::shared).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "hsm/crypto_module.h"
#include "keystore/decision.h"
#include "keystore/directory_entries.h"
#include "keystore/key_store_values.h"
#include "keystore/store_figures.h"

namespace skms {
struct DeliveryReceipt;
}

namespace skms::keystore {

class Approvals;
struct BackupContents;
struct BackupMade;
struct BackupOrder;
struct DatabaseCheck;
struct RowCheck;

struct StoreOptions {
  std::string path;                    ///< SQLite file, or with `url` what this server keeps is beside this
  std::size_t answer_cache_bytes = 0;  ///< at most kept of what the token answered (AnswerCache); 0: nothing
  std::string url{};                   ///< PostgreSQL database (database_url.h); empty: SQLite
  bool shared = false;                 ///< with `url`: other servers use the database at the same time
  std::string server{};                ///< this one's name among them

  StoreLocation location() const { return {path, url, shared}; }
};

class KeyStore {
 public:
  /// Makes the file and tables if there are none. Errors: kStorage, kIo.
  static Status Initialise(const StoreOptions& options, hsm::CryptoModule& module, const Clock& clock);
  /// Opens, migrates forward, checks every directory row's MAC. Errors: kStorage (missing or unreadable: run
  /// `skmsctl init`), kNewerSchema, kIntegrity (names the row).
  static Result<std::unique_ptr<KeyStore>> Open(const StoreOptions& options, hsm::CryptoModule& module,
                                                const Clock& clock);
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;
  ~KeyStore();

  /// Key material for one selector; for a user or UE also that of his groups within the service. Errors:
  /// kNotFound (service unknown, or requester is not one of its readers: the two look alike on purpose; or no
  /// key and none may be made), kPermissionDenied (selector kind outside the service's scopes; no usable
  /// recipient), kRecipientNotTrusted (the service has TRUSTED recipients alone, and this is none),
  /// kIntegrity, kStorage, and the token's errors.
  Result<DeliveryAnswer> Deliver(const Requester& requester, const Selector& selector);

  /// As Deliver, for a UE, where the service's policy lets its token's issuer vouch for UEs. Its keys are
  /// wrapped to the key it asks for, else to the recipient enrolled for its user or UE, else to the
  /// certificate its token is bound to; in plaintext only by `delivery: tls`. Errors: kNotFound (service
  /// unknown, not in the token, or not for UEs of this issuer: all alike; no key), kPermissionDenied
  /// (another's identity; the service's own key where policy keeps it; scope; no usable recipient),
  /// kIntegrity, kStorage, and the token's.
  Result<DeliveryAnswer> DeliverToUe(const UeRequester& ue, const Selector& selector);

  /// Stores a payload as the next version of (selector, payload id), in one transaction with its audit entry;
  /// what was there stays current until then. The same bytes again change nothing. Errors: kNotFound (service
  /// unknown or not for this requester), kPermissionDenied (not a provisioner, not granted by the token,
  /// scope, too many), kInvalidArgument (does not decrypt, empty), kUnsupported (the token has no AES-GCM),
  /// kIntegrity, kStorage, and the token's.
  Result<Provisioned> Provision(const Requester& by, const ProvisionOrder& order);
  /// Newest versions without key and ciphertext, in order of their ids; `service` may be empty.
  Result<std::vector<Payload>> ListPayloads(const std::string& service, const std::string& after,
                                            std::uint32_t limit);
  /// With all its former versions. kNotFound.
  Status RemovePayload(const Requester& by, const std::string& id);

  /// The next version (the one made ahead where there is one) becomes active; the former ends after the
  /// service's overlap; one transaction. Makes version 1 if there is none. Errors: kNotFound (service),
  /// kPermissionDenied (scope), kStorage, token errors.
  Result<KeyVersion> Rotate(const Requester& requester, const Selector& selector);
  /// What Rotate would do; changes nothing. Errors: kNotFound, kPermissionDenied
  /// (scope), kIntegrity, kStorage; the limit of records is seen only by Rotate.
  Result<RotationPreview> PreviewRotation(const Selector& selector);

  /// One step of a version's life (keystore/key_life.h). With `rotate`, a compromise also makes the next
  /// version, active at once, in the same transaction. A destroyed version's wrapped bytes are gone from the
  /// database file and its log before the call returns. Errors: kNotFound, kInvalidArgument (no such action,
  /// no reason), kConflict (names the allowed actions), kIntegrity, kStorage, token errors.
  Result<KeyVersion> ChangeKey(const Requester& by, const Kid& kid, const KeyChange& change);

  // Groups (SEAL-X1). A group is a group server's who manages every one of its services; others' are
  // kNotFound. Every refusal is in the audit chain. Errors of all: kNotFound, kIntegrity, kStorage, token
  // errors, kChangedMeanwhile (others came first again and again). Looking without a change is audited only
  // when it hands out keys.
  /// Makes the group or changes it to what `document` says, in one transaction with its keys. Whoever is
  /// removed never sees the keys that protect from then on: every service's key is made anew before this
  /// returns. New members see what the service's join policy says. A document that says what is there already
  /// changes nothing. Errors: kInvalidArgument, kPreconditionRequired, kPreconditionFailed.
  Result<GroupChanged> PutGroup(const Requester& by, const GroupDocument& document,
                                const GroupPrecondition& precondition);
  /// Leaves a tombstone without members; the keys are made anew and nobody gets them. Errors: as PutGroup.
  Result<GroupChanged> DeleteGroup(const Requester& by, const GroupId& id,
                                   const GroupPrecondition& precondition, bool dry_run = false);
  /// New keys for every service; `precondition` may be empty. Errors: kInvalidArgument (no reason),
  /// kPreconditionFailed.
  Result<GroupChanged> RekeyGroup(const Requester& by, const GroupId& id, const std::string& reason,
                                  const GroupPrecondition& precondition);
  Result<GroupView> ShowGroup(const Requester& by, const GroupId& id);
  Result<std::vector<GroupRecord>> ListGroups(const std::string& after,
                                              std::uint32_t limit);  ///< tombstones too
  /// The group's keys, one answer a service, wrapped for the group server.
  Result<std::vector<DeliveryAnswer>> DeliverGroup(const Requester& by, const GroupId& id);

  /// Rotation by time: makes versions ahead, activates, ends and wipes what is due now, for at most `most`
  /// keys, in one transaction. A run that finds nothing due writes nothing; one that was cut off at any point
  /// is finished by the next. For one scheduler thread. Errors: kStorage, kTokenUnavailable (nothing was
  /// changed).
  Result<RotationRun> RunRotation(std::size_t most);

  Result<std::vector<KeyVersion>> ListKeys(const KeyListQuery& query);  ///< wrapped bytes cleared
  Result<KeyVersion> ShowKey(const Kid& kid);                           ///< kNotFound

  /// Looks at the token for what its security officer made for strict recipients, and audits what there is
  /// now. Errors: kStorage, the token's.
  Result<hsm::CryptoModule::StrictView> RefreshStrict(const Requester& by);

  /// What administrators asked for and others approve; lives as long as this.
  Approvals& approvals();
  Status RecordRefusal(const RefusedRequest& refusal);
  /// An administrator gave the PIN of the token of that label.
  Status RecordUnlock(const Requester& by, const std::string& label);
  /// The same of a UE's request that was refused before DeliverToUe.
  Status RecordUeRefusal(const UeRequester& ue, const Selector& selector, const std::string& reason);
  // Whether rotation is held: audited, and outlives a restart. Nothing but the scheduler heeds it.
  Status HoldRotation(const PrincipalId& by, const RotationHold& hold);
  Status ResumeRotation(const PrincipalId& by, const std::string& reason);
  Result<std::optional<RotationHold>> HeldRotation();  ///< kStorage, kIntegrity

  // Directory. Add: kAlreadyExists, kInvalidArgument. Set: kNotFound. Remove: kNotFound, kConflict (still in
  // use).
  Status AddService(const Requester& by, const Service& service);
  Status SetService(const Requester& by, const Service& service);
  Status RemoveService(const Requester& by, const ValServiceId& id);
  std::vector<Service> Services() const;
  Result<Service> FindService(const ValServiceId& id) const;

  Status AddPrincipal(const Requester& by, const Principal& principal);
  Status RemovePrincipal(const Requester& by, const PrincipalId& id);
  std::vector<Principal> Principals() const;
  std::optional<Principal> FindPrincipalBySpkiHash(ByteView spki_sha256) const;

  Status AddRecipient(const Requester& by, const RecipientEntry& recipient);
  Status RemoveRecipient(const Requester& by, const RecipientId& id);
  std::vector<RecipientEntry> Recipients() const;

  Status AddIssuer(const Requester& by, const Issuer& issuer);
  /// Keys that were fetched from the URI of `fetched_for`. kNotFound; kChangedMeanwhile: it has another URI
  /// by now.
  Status SetIssuerKeys(const Requester& by, const Issuer& fetched_for, const std::string& jwks);
  Status RemoveIssuer(const Requester& by, const IssuerId& id);
  std::vector<Issuer> Issuers() const;
  std::uint64_t directory_version() const;  ///< grows with every change

  // Subscriptions to key events. Add: kAlreadyExists, kInvalidArgument, kConflict (too many of this
  // principal's). Remove: kNotFound.
  Status AddSubscription(const Requester& by, const Subscription& subscription);
  Status RemoveSubscription(const Requester& by, const SubscriptionId& id);
  std::vector<Subscription> Subscriptions() const;
  /// At most `most` events that are next; those older than `dropped_before` (seconds since 1970) are passed
  /// over and counted.
  Result<EventBatch> NextEvents(const Subscription& subscription, std::int64_t dropped_before,
                                std::uint32_t most);
  Result<std::int64_t> NewestEventNumber();  ///< 0: there was none yet
  /// Number of the last event that it was told or passed over.
  Result<std::int64_t> PositionOf(const Subscription& subscription);
  /// They were taken (or are given up): the subscription goes on after them. What was dropped is audited.
  Status ConfirmEvents(const Subscription& subscription, const EventBatch& batch);

  // Token keys (KEK, MAC key, and where a token joins the signing and transfer key): generations of them, and
  // the rows that are under them. docs/key-hierarchy.md.
  /// Makes the next generation in every token, and uses it from then on. What there is stays under the old
  /// one until RewrapRows has been over it. Errors: kConflict (rows are still under another generation: one
  /// change at a time), kStorage, those of hsm::TokenCeremony.
  Result<hsm::TokenKeyGenerations> RotateTokenKeys(const Requester& by);
  /// A token joins by the next generation. Errors: as RotateTokenKeys; those of hsm::TokenCeremony::Join.
  Result<hsm::TokenKeyGenerations> JoinToken(const Requester& by, const std::string& label,
                                             const std::string& fingerprint);
  /// The next step of a walk: at most `most` rows, each checked, wrapped anew, opened again and written where
  /// nobody changed it meanwhile. `cursor` moves on. `after_row` is called after each (after the directory
  /// once), and may take its time. `run` says what was done, also beside an error. For one thread; any walk
  /// may be left or begun again. Errors: kStorage, kTokenUnavailable (nothing is lost; the cursor stays).
  Status RewrapRows(RewrapCursor& cursor, std::size_t most, const std::function<void()>& after_row,
                    RewrapRun& run);
  /// Counted one by one.
  Result<TokenKeyRows> CountTokenKeyRows();
  /// Destroys the generations that are not in use, in every token. Nothing may be under them, and nobody may
  /// hold rows that were read before that was so: the caller answers for the latter. Backups that were made
  /// before cannot be read any more. Errors: kConflict (rows are under them; there are none), kStorage, those
  /// of hsm::TokenCeremony.
  Result<hsm::HeldGenerations> RetireTokenKeys(const Requester& by);

  /// From now on, for good: what was not exported is not archived.
  void KeepUntilExported();
  /// Errors: kStorage, kIntegrity (somebody else has written it).
  Result<AuditExported> ExportedAudit();
  Status SetExportedAudit(const AuditExported& exported);
  /// While `why` is not empty, everything that would need an entry in the audit chain fails with it, as
  /// kStorage.
  void RefuseDecisions(std::string why);

  Result<std::int64_t> CountKeyVersions();
  // For those who watch; none of it reads row by row.
  StoreFigures figures() const;
  Result<StateCounts> CountKeyStates();
  Result<RotationBacklog> ReadRotationBacklog();
  Result<AuditSummary> Audit();
  /// A JWS by the token's key that signs the audit chain. Errors: the token's.
  Result<std::string> SignReceipt(const DeliveryReceipt& receipt);
  /// Walks the whole chain that is here, and its checkpoints by the token's keys. kIntegrity names the first
  /// entry that does not fit.
  Result<AuditVerdict> VerifyAudit();
  /// Has the token sign the chain as it is now; nullopt: all of it is signed. Errors: kStorage, the token's.
  Result<std::optional<AuditCheckpoint>> SignAudit();
  Result<std::optional<AuditCheckpoint>> LastCheckpoint();
  /// Public keys of the signing keys that the token holds.
  Result<std::vector<AuditKey>> AuditKeys();
  /// `limit` 1 to 1000 entries after `after`, to be kept elsewhere.
  Result<AuditPage> ReadAudit(std::int64_t after, std::uint32_t limit);
  Result<std::vector<AuditRecord>> SearchAudit(const AuditQuery& query);
  /// How the chain names the target of this selector.
  std::string AuditPseudonym(const Selector& selector) const;
  /// What is up to entry `seq` is kept elsewhere: it goes, and the checkpoint that speaks of `seq` stays in
  /// its place. Errors: kConflict (no such checkpoint), kIntegrity (it is not the token's).
  Status ArchiveAudit(const Requester& by, std::int64_t seq, const std::string& hash);
  /// Some of the entries that were archived are deleted; how many, 0: all are. Errors: kStorage.
  Result<std::int64_t> DeleteArchivedAudit(std::uint32_t most);
  int schema_version() const;
  /// Why the database cannot be reached; empty: nothing is known to be wrong.
  std::string StoreTrouble() const;

  // Several servers on one database (`StoreOptions::shared`).
  bool is_shared() const;
  /// What a thread decides from now on, while it lives.
  Decision Decide() const;
  /// Whether what is in memory was learnt anew since it began.
  bool HasLearntSince(const Decision& decision) const;
  /// Learns what other servers have changed. Whoever writes learns as much before. Errors:
  /// kStoreUnavailable, kStorage.
  Status LookAround();
  /// Leads from now on, if no other server does, and tells it in the audit chain; no more, where no token
  /// serves. Errors: as LookAround.
  Status SeekLead();
  /// How often it has taken the lead.
  std::uint64_t term() const;
  /// Whether this server does what one alone must do: rotation, re-wrapping, notifications, signing and
  /// sending the audit chain. Not shared: always.
  bool leads() const;
  /// Name of the server that has led last; empty: not shared. Errors: as LookAround.
  Result<std::string> Leader();
  /// Octets on disk of all that is kept. Errors: kStorage, kStoreUnavailable.
  Result<std::int64_t> StoredBytes();

  // Backups (keystore/backup.h).
  /// Has the token sign the chain, writes all that is committed then into `order.path`, encrypted and signed
  /// (backup_file.h), and an entry of it. Takes as long as it takes; requests go on, and only what empties
  /// the write-ahead log may be refused meanwhile. Errors: kIntegrity (the chain or the directory was
  /// changed, and the order does not say that this is to be kept all the same), kResourceExhausted (it was
  /// stopped), kStorage, kIo (no room), the token's. Nothing is left then.
  Result<BackupMade> MakeBackup(const Requester& by, const BackupOrder& order);
  /// Somebody shows what the token signed of a backup, or the report of a drill: it becomes an entry, which
  /// says no more than that. Errors: kInvalidArgument: no token of ours signed it, it speaks of something
  /// else, or it is a report of more than some minutes ago; kAlreadyExists: this report is recorded.
  Status RecordBackupCheck(const Requester& by, const std::string& statement);
  /// In a database that came from a backup: the chain goes on with an entry that says so, by whose `approval`
  /// (words for the chain), and what `found` says is damaged; signed where the chain is whole. Requests for
  /// approval are no more. Errors: kIntegrity (the chain ends otherwise than the backup's header says),
  /// kStorage, the token's.
  Status RecordRestore(const Requester& by, const BackupContents& from, const DatabaseCheck& found,
                       const std::string& approval);
  /// Every row's MAC, and up to `sample` keys of each state opened in the token. Those that do not fit are
  /// counted and named, and so are those that cannot even be read. Errors: kStorage, kTokenUnavailable.
  Result<RowCheck> CheckRows(std::size_t sample);

 private:
  class State;
  explicit KeyStore(std::unique_ptr<State> state);
  Result<KeyVersion> RotateOnce(const Requester& requester, const Selector& selector);
  Result<KeyVersion> ChangeKeyOnce(const Requester& by, const Kid& kid, const KeyChange& change);
  std::unique_ptr<State> state_;
};

}  // namespace skms::keystore
