#include "keystore/key_store.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "keystore/key_search.h"
#include "keystore/key_store_state.h"
#include "keystore/schema.h"
#include "keystore/store_move.h"
#include "keystore/token_key_use.h"

namespace skms::keystore {

namespace {

/// A new database: it says from the start which token keys are in use.
Status BeginTokenKeys(Database& database, hsm::CryptoModule& module) {
  constexpr std::size_t kLastingKeyBytes = 32;
  SKMS_TRY(Bytes random, module.Random(kLastingKeyBytes));
  const SecretBytes lasting_key = SecretBytes::TakeFrom(random);
  SKMS_TRY(const TokenKeyUseRows rows, EncodeTokenKeyUse(module, module.generations(), lasting_key));
  return database.Write([&](soci::session& session) -> Status {
    WriteTokenKeyUse(session, rows);
    return Ok();
  });
}

/// Of a database that was made before it said which token keys are in use.
Result<SecretBytes> FirstLastingKey(hsm::CryptoModule& module) {
  SKMS_TRY(hsm::Mac key, module.ComputeMac(1, AsBytes("skms pseudonym v1")));
  SecretBytes out = SecretBytes::CopyOf(key);
  Wipe(key);
  return out;
}

/// Brought forward, if it is of an older schema version: by one server that has it for himself.
Result<std::unique_ptr<Database>> OpenAsOfToday(const StoreOptions& options) {
  SKMS_TRY(std::unique_ptr<Database> database, Database::Open(options.location()));
  SKMS_TRY(const int version, ReadSchemaVersion(*database));
  if (version == 0) return StorageError(database->Name() + " is empty; make the database with: skmsctl init");
  if (!options.shared || version == kSchemaVersion) {
    SKMS_TRYV(MigrateWithCopy(*database, options.path));
    return database;
  }
  database.reset();
  StoreOptions alone = options;
  alone.shared = false;
  SKMS_TRY(database, Database::Open(alone.location()));
  SKMS_TRYV(MigrateWithCopy(*database, options.path));
  database.reset();
  return Database::Open(options.location());
}

}  // namespace

Status KeyStore::Initialise(const StoreOptions& options, hsm::CryptoModule& module, const Clock& clock) {
  if (options.url.empty()) SKMS_TRYV(Database::CreateFile(options.path));
  {
    SKMS_TRY(const std::unique_ptr<Database> database, Database::Open({options.path, options.url}));
    SKMS_TRY(const int former, ReadSchemaVersion(*database));
    SKMS_TRYV(MigrateWithCopy(*database, options.path));
    if (former == 0) SKMS_TRYV(BeginTokenKeys(*database, module));
  }
  // Opened whole, so that a database of another token is told at once and not at the first start of the
  // daemon.
  SKMS_TRYV(Open(options, module, clock));
  return Ok();
}

Result<std::unique_ptr<KeyStore>> KeyStore::Open(const StoreOptions& options, hsm::CryptoModule& module,
                                                 const Clock& clock) {
  SKMS_TRY(std::unique_ptr<Database> database, OpenAsOfToday(options));
  SKMS_TRYV(CheckNotMoved(*database));
  // Without it nothing could be decided: told at once and not to the first who asks.
  SKMS_TRYV(ReadAuditHead(*database));
  // A process that was killed may have left octets there that it had wiped.
  SKMS_TRYV(database->EmptyLog());
  SKMS_TRY(std::optional<TokenKeyUse> use, ReadTokenKeyUse(*database, module));
  // Without it generation 1 alone: what else lies in the token a ceremony left that was cut off.
  SKMS_TRYV(module.UseGenerations(use ? use->generations : hsm::TokenKeyGenerations{1, 1, 1, 1}));
  SKMS_TRY(std::unique_ptr<Directory> directory, Directory::Load(*database, module, clock));
  // Of generation 1, and kept when that goes, so that a user has one pseudonym in the whole chain.
  const bool lasting = use.has_value();
  Result<SecretBytes> kept =
      lasting ? Result<SecretBytes>(std::move(use->lasting_key)) : FirstLastingKey(module);
  SKMS_TRY(SecretBytes lasting_key, std::move(kept));
  SKMS_TRY(const bool payloads, HasPayloads(*database));
  auto state = std::make_unique<State>(module, clock, std::move(database), std::move(directory),
                                       std::move(lasting_key), lasting, options.answer_cache_bytes);
  state->payloads_exist = payloads;
  state->server = options.server;
  SKMS_TRY(state->token_key_use_text, ReadTokenKeyUseText(*state->database));
  state->HearOfOthers();
  return std::unique_ptr<KeyStore>(new KeyStore(std::move(state)));
}

KeyStore::KeyStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyStore::~KeyStore() = default;

Result<std::vector<KeyVersion>> KeyStore::ListKeys(const KeyListQuery& query) {
  if (query.limit < 1 || query.limit > 1000) return InvalidArgument("limit must be 1 to 1000");
  SKMS_TRY(std::vector<StoredKeyVersion> page, ReadPage(*state_->database, query));
  std::vector<KeyVersion> out;
  for (StoredKeyVersion& stored : page) {
    SKMS_TRYV(CheckRowMac(state_->module, FieldsOf(stored.version), stored.mac, RowName(stored.version)));
    stored.version.wrapped.bytes.clear();
    out.push_back(std::move(stored.version));
  }
  return out;
}

Result<KeyVersion> KeyStore::ShowKey(const Kid& kid) {
  SKMS_TRY(std::optional<StoredKeyVersion> stored, ReadByKid(*state_->database, kid));
  if (!stored) return NotFound("there is no key '" + kid.value() + "'");
  SKMS_TRYV(CheckRowMac(state_->module, FieldsOf(stored->version), stored->mac, RowName(stored->version)));
  stored->version.wrapped.bytes.clear();
  return std::move(stored->version);
}

std::string KeyStore::StoreTrouble() const { return state_->database->trouble(); }
Result<std::int64_t> KeyStore::StoredBytes() { return state_->database->Size(); }

Approvals& KeyStore::approvals() { return state_->approvals; }

Status KeyStore::RecordRefusal(const RefusedRequest& refusal) {
  AuditEntry entry;
  entry.actor = refusal.actor;
  entry.action = refusal.action;
  entry.outcome = "refused";
  entry.reason = refusal.reason;
  entry.request_id = refusal.request_id;
  return state_->Record({&entry, 1});
}

Status KeyStore::RecordUnlock(const Requester& by, const std::string& label) {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "unlock";
  entry.outcome = "granted";
  entry.reason = "token=" + label;
  entry.request_id = by.request_id;
  return state_->Record({&entry, 1});
}

Result<hsm::CryptoModule::StrictView> KeyStore::RefreshStrict(const Requester& by) {
  SKMS_TRY(const hsm::CryptoModule::StrictView view, state_->module.RefreshStrict());
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "token.strict";
  entry.outcome = "granted";
  entry.reason =
      "strict-kek=" + std::to_string(view.kek) + " trusted-recipients=" + std::to_string(view.recipients);
  entry.request_id = by.request_id;
  SKMS_TRYV(state_->Record({&entry, 1}));
  return view;
}

Status KeyStore::AddService(const Requester& by, const Service& service) {
  return state_->directory->AddService(by, service);
}
Status KeyStore::SetService(const Requester& by, const Service& service) {
  return state_->directory->SetService(by, service);
}
Status KeyStore::RemoveService(const Requester& by, const ValServiceId& id) {
  return state_->directory->RemoveService(by, id);
}
Status KeyStore::AddPrincipal(const Requester& by, const Principal& principal) {
  return state_->directory->AddPrincipal(by, principal);
}
Status KeyStore::RemovePrincipal(const Requester& by, const PrincipalId& id) {
  return state_->directory->RemovePrincipal(by, id);
}
Status KeyStore::AddRecipient(const Requester& by, const RecipientEntry& recipient) {
  return state_->directory->AddRecipient(by, recipient);
}
Status KeyStore::RemoveRecipient(const Requester& by, const RecipientId& id) {
  return state_->directory->RemoveRecipient(by, id);
}
Status KeyStore::AddIssuer(const Requester& by, const Issuer& issuer) {
  return state_->directory->AddIssuer(by, issuer);
}
Status KeyStore::SetIssuerKeys(const Requester& by, const Issuer& fetched_for, const std::string& jwks) {
  return state_->directory->SetIssuerKeys(by, fetched_for, jwks);
}
Status KeyStore::RemoveIssuer(const Requester& by, const IssuerId& id) {
  return state_->directory->RemoveIssuer(by, id);
}

namespace {

template <class Entry>
std::vector<Entry> Values(const std::map<std::string, Entry>& entries) {
  std::vector<Entry> values;
  values.reserve(entries.size());
  for (const auto& [id, entry] : entries) values.push_back(entry);
  return values;
}

}  // namespace

std::vector<Service> KeyStore::Services() const { return Values(state_->directory->snapshot()->services); }
std::vector<Principal> KeyStore::Principals() const {
  return Values(state_->directory->snapshot()->principals);
}
std::vector<RecipientEntry> KeyStore::Recipients() const {
  return Values(state_->directory->snapshot()->recipients);
}
std::vector<Issuer> KeyStore::Issuers() const { return Values(state_->directory->snapshot()->issuers); }
std::uint64_t KeyStore::directory_version() const { return state_->directory->snapshot()->version; }

Result<Service> KeyStore::FindService(const ValServiceId& id) const {
  const auto now = state_->directory->snapshot();
  const auto found = now->services.find(id.value());
  if (found == now->services.end()) return NotFound("there is no service '" + id.value() + "'");
  return found->second;
}

std::optional<Principal> KeyStore::FindPrincipalBySpkiHash(ByteView spki_sha256) const {
  Sha256Digest digest{};
  if (spki_sha256.size() != digest.size()) return std::nullopt;
  std::copy(spki_sha256.begin(), spki_sha256.end(), digest.begin());
  const auto now = state_->directory->snapshot();
  const auto found = now->principal_by_spki.find(digest);
  if (found == now->principal_by_spki.end()) return std::nullopt;
  return now->principals.at(found->second);
}

Result<std::int64_t> KeyStore::CountKeyVersions() {
  SKMS_TRY(const StateCounts counts, CountKeyStates());
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& one) { return sum + one.second; });
}
StoreFigures KeyStore::figures() const { return state_->database->figures(); }
Result<StateCounts> KeyStore::CountKeyStates() { return CountStates(*state_->database); }

Result<RotationBacklog> KeyStore::ReadRotationBacklog() {
  const std::int64_t now = state_->clock.NowSeconds();
  SKMS_TRY(DueVersions due, CountToActivateOrEnd(*state_->database, now, RotationBacklog::kMost));
  const auto directory = state_->directory->snapshot();
  for (const auto& [id, service] : directory->services) {
    if (service.rotation.crypto_period == 0) continue;
    SKMS_TRY(const DueVersions more,
             CountToFollow(*state_->database, service, now, RotationBacklog::kMost - due.count));
    due.count += more.count;
    if (more.first) due.first = std::min(due.first.value_or(*more.first), *more.first);
    if (due.count >= RotationBacklog::kMost) break;
  }
  return RotationBacklog{due.count, due.first ? std::max<std::int64_t>(0, now - *due.first) : 0};
}
int KeyStore::schema_version() const { return kSchemaVersion; }

}  // namespace skms::keystore
