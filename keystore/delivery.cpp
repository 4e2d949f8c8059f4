// Deliver and Rotate: the decisions.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

bool InScope(const Service& service, TargetKind kind) {
  return std::find(service.scopes.begin(), service.scopes.end(), kind) != service.scopes.end();
}

Error NoSuchKey() { return NotFound("no key for this service, user or UE, or none for this requester"); }

}  // namespace

AuditEntry KeyStore::State::EntryFor(const Requester& by, const char* action,
                                     const Selector& selector) const {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = action;
  entry.outcome = "granted";
  entry.service = selector.service.value();
  entry.target_kind = Name(selector.kind);
  entry.request_id = by.request_id;
  if (selector.kind != TargetKind::kService) {
    Bytes fields;
    AppendField(fields, Name(selector.kind));
    AppendField(fields, selector.target);
    entry.target_pseudonym = ToHex(ByteView(HmacSha256(pseudonym_key_.ExposeSecret(), fields)).first(8));
  }
  return entry;
}

Status KeyStore::State::Record(const AuditEntry& entry) {
  return database->Write([&](soci::session& session) { return AppendAudit(session, clock, entry); });
}

Error KeyStore::State::Refuse(AuditEntry entry, std::string reason, const Error& error) {
  entry.outcome = "refused";
  entry.reason = std::move(reason);
  const Status recorded = Record(entry);
  return recorded.has_error() ? recorded.error() : error;
}

std::mutex& KeyStore::State::LockFor(const Selector& selector) {
  const std::size_t hash = std::hash<std::string>()(selector.service.value() + '\n' + selector.target);
  return stripes_[hash % kStripes];
}

Result<std::optional<KeyVersion>> KeyStore::State::Newest(const Selector& selector) {
  SKMS_TRY(std::optional<StoredKeyVersion> stored, ReadNewest(*database, selector));
  if (!stored) return std::optional<KeyVersion>();
  SKMS_TRYV(CheckRowMac(module, FieldsOf(stored->version), stored->mac, RowName(stored->version)));
  return std::optional<KeyVersion>(std::move(stored->version));
}

Result<KeyVersion> KeyStore::State::MakeVersion(const Requester& by, const Service& service,
                                                const Selector& selector, const KeyVersion* current) {
  SKMS_TRY(const KeyProfile profile, FindKeyProfile(service.profile));
  SKMS_TRY(const Bytes random, module.Random(16));
  SKMS_TRY(hsm::GeneratedKey generated, module.GenerateWrapped(profile.spec));
  StoredKeyVersion next;
  next.version.kid = Kid(ToBase64Url(random));
  next.version.selector = selector;
  next.version.version = current == nullptr ? 1 : current->version + 1;
  next.version.profile = service.profile;
  next.version.state = KeyState::kActive;
  next.version.created = clock.NowSeconds();
  next.version.not_before = next.version.created;
  next.version.wrapped = std::move(generated.wrapped);
  next.version.public_key = std::move(generated.public_key);
  SKMS_TRY(next.mac, MakeRowMac(module, FieldsOf(next.version)));

  std::optional<StoredKeyVersion> former;
  if (current != nullptr && current->state == KeyState::kActive) {
    former = StoredKeyVersion{*current, {}};
    former->version.state = KeyState::kDeactivated;
    former->version.deactivated = next.version.created;
    SKMS_TRY(former->mac, MakeRowMac(module, FieldsOf(former->version)));
  }
  AuditEntry entry = EntryFor(by, current == nullptr ? "create" : "rotate", selector);
  entry.kid = next.version.kid.value();
  SKMS_TRYV(database->Write([&](soci::session& session) -> Status {
    const int newest = NewestNumber(session, selector);
    if (newest + 1 != static_cast<int>(next.version.version))
      return Conflict("the key changed meanwhile; try again");
    if (former) UpdateState(session, *former);
    InsertVersion(session, next);
    return AppendAudit(session, clock, entry);
  }));
  return std::move(next.version);
}

Result<KeyVersion> KeyStore::State::ActiveVersion(const Requester& by, const Service& service,
                                                  const Selector& selector) {
  SKMS_TRY(std::optional<KeyVersion> newest, Newest(selector));
  if (!newest && service.generate_on_request) {
    const std::lock_guard lock(LockFor(selector));
    SKMS_TRY(newest, Newest(selector));  // another request may have made it while this one waited
    if (!newest) return MakeVersion(by, service, selector, nullptr);
  }
  if (!newest || newest->state != KeyState::kActive) return NoSuchKey();
  return std::move(*newest);
}

Result<DeliveredVersion> KeyStore::State::Wrap(const Requester& by, const Service& service,
                                               KeyVersion version) {
  DeliveredVersion out;
  SKMS_TRY(out.profile, FindKeyProfile(version.profile));
  if (service.delivery == Delivery::kTls) {
    SKMS_TRY(out.plaintext, module.Reveal(version.wrapped, out.profile.spec));
  } else {
    const auto now = directory->snapshot();
    const auto enrolled = now->recipient_by_principal.find(by.principal.value());
    hsm::Recipient recipient = hsm::RsaRecipient{by.certificate_spki};
    if (enrolled != now->recipient_by_principal.end()) {
      out.recipient = enrolled->second;
      recipient = now->recipients.at(enrolled->second).key;
    } else {
      out.recipient = "spki-sha256:" + ToBase64Url(Sha256(by.certificate_spki));
    }
    auto wrapped = module.RewrapFor(recipient, version.wrapped, out.profile.spec);
    if (wrapped.has_error() && wrapped.error().code == ErrorCode::kInvalidArgument) {
      return PermissionDenied("no usable recipient for principal '" + by.principal.value() +
                              "': " + wrapped.error().detail + "; enrol one with: skmsctl recipient add");
    }
    SKMS_TRY(out.wrapped, std::move(wrapped));
  }
  version.wrapped.bytes.clear();
  out.version = std::move(version);
  return out;
}

Result<DeliveryAnswer> KeyStore::Deliver(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  AuditEntry entry = state.EntryFor(requester, "deliver", selector);
  const auto now = state.directory->snapshot();
  const auto service = now->services.find(selector.service.value());
  if (service == now->services.end()) return state.Refuse(entry, "service-unknown", NoSuchKey());
  const auto& readers = service->second.readers;
  if (std::find(readers.begin(), readers.end(), requester.principal) == readers.end()) {
    return state.Refuse(entry, "not-a-reader", NoSuchKey());
  }
  if (!InScope(service->second, selector.kind)) {
    return state.Refuse(entry, "scope-not-allowed", PermissionDenied("the service has no keys of this kind"));
  }
  auto version = state.ActiveVersion(requester, service->second, selector);
  if (version.has_error()) {
    return state.Refuse(entry, std::string(Name(version.error().code)), version.error());
  }
  entry.kid = version.value().kid.value();
  auto delivered = state.Wrap(requester, service->second, std::move(version).value());
  if (delivered.has_error()) {
    return state.Refuse(entry, std::string(Name(delivered.error().code)), delivered.error());
  }
  entry.reason = std::string("delivery=") + std::string(Name(service->second.delivery)) +
                 (delivered.value().recipient.empty() ? "" : " recipient=" + delivered.value().recipient);
  SKMS_TRYV(state.Record(entry));
  DeliveryAnswer answer;
  answer.service = service->second;
  answer.keys.push_back(std::move(delivered).value());
  return answer;
}

Result<KeyVersion> KeyStore::Rotate(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  SKMS_TRY(const Service service, FindService(selector.service));
  if (!InScope(service, selector.kind)) {
    return PermissionDenied("service '" + service.id.value() + "' has no keys of scope '" +
                            std::string(Name(selector.kind)) +
                            "'; allow it with: skmsctl service set --scope");
  }
  const std::lock_guard lock(state.LockFor(selector));
  SKMS_TRY(const std::optional<KeyVersion> newest, state.Newest(selector));
  SKMS_TRY(KeyVersion made, state.MakeVersion(requester, service, selector, newest ? &*newest : nullptr));
  made.wrapped.bytes.clear();
  return made;
}

}  // namespace skms::keystore
