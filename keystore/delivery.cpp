// Deliver: who gets which versions, wrapped how.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

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

Status KeyStore::State::Record(std::span<const AuditEntry> entries) {
  return database->Write([&](soci::session& session) -> Status {
    for (const AuditEntry& entry : entries) SKMS_TRYV(AppendAudit(session, clock, entry));
    return Ok();
  });
}

Error KeyStore::State::Refuse(AuditEntry entry, std::string reason, const Error& error) {
  entry.outcome = "refused";
  entry.reason = std::move(reason);
  const Status recorded = Record({&entry, 1});
  return recorded.has_error() ? recorded.error() : error;
}

Result<std::vector<KeyVersion>> KeyStore::State::Deliverable(const Requester& by, const Service& service,
                                                             const Selector& selector) {
  SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
  Versions versions;
  if (stored.empty() && service.generate_on_request) {
    const std::lock_guard lock(LockFor(selector));
    SKMS_TRY(stored, CheckedVersions(selector));  // another request may have made it while this one waited
    if (stored.empty()) {
      SKMS_TRY(KeyVersion made, MakeFirst(by, service, selector));
      versions.push_back(std::move(made));
    }
  }
  for (StoredKeyVersion& one : stored) versions.push_back(std::move(one.version));
  std::erase_if(versions, [](const KeyVersion& version) { return UseOf(version) == KeyUse::kNone; });
  if (versions.empty()) return NoSuchKey();
  // What protects now comes first, then what will, then what did; newest first within each.
  const auto rank = [](const KeyVersion& version) {
    switch (UseOf(version)) {
      case KeyUse::kFull:
        return 0;
      case KeyUse::kFuture:
        return 1;
      default:
        return 2;
    }
  };
  std::stable_sort(versions.begin(), versions.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return versions;
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
  if (!service->second.HasScope(selector.kind)) {
    return state.Refuse(entry, "scope-not-allowed", PermissionDenied("the service has no keys of this kind"));
  }
  auto versions = state.Deliverable(requester, service->second, selector);
  if (versions.has_error()) {
    return state.Refuse(entry, std::string(Name(versions.error().code)), versions.error());
  }
  DeliveryAnswer answer;
  answer.service = service->second;
  std::vector<AuditEntry> entries;
  for (KeyVersion& version : versions.value()) {
    entry.kid = version.kid.value();
    auto delivered = state.Wrap(requester, service->second, std::move(version));
    if (delivered.has_error()) {
      return state.Refuse(entry, std::string(Name(delivered.error().code)), delivered.error());
    }
    const std::string& recipient = delivered.value().recipient;
    entry.reason = "delivery=" + std::string(Name(service->second.delivery)) +
                   " state=" + std::string(Name(delivered.value().version.state)) +
                   (recipient.empty() ? "" : " recipient=" + recipient);
    entries.push_back(entry);
    answer.keys.push_back(std::move(delivered).value());
  }
  SKMS_TRYV(state.Record(entries));
  return answer;
}

}  // namespace skms::keystore
