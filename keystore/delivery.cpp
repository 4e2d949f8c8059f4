// Deliver: who gets which versions, wrapped how.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/encoding.h"
#include "base/outside_call.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

constexpr std::chrono::seconds kMakingTakes{2};

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
    entry.target_pseudonym = Pseudonym(fields);
  }
  return entry;
}

std::string KeyStore::State::Pseudonym(ByteView fields) const {
  return ToHex(ByteView(HmacSha256(lasting_key_.ExposeSecret(), fields)).first(8));
}

Status KeyStore::State::Record(std::span<const AuditEntry> entries, AuditSummary* place) {
  return database->Write([&](soci::session& session) -> Status {
    for (const AuditEntry& entry : entries) SKMS_TRYV(AppendAudit(session, clock, entry, place));
    return Ok();
  });
}

Error KeyStore::State::Refuse(AuditEntry entry, std::string reason, const Error& error) {
  // While the token is lost nothing is decided about anybody, and the tries of all clients would fill the
  // disk.
  if (error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kStoreUnavailable) return error;
  entry.outcome = "refused";
  entry.reason = std::move(reason);
  const Status recorded = Record({&entry, 1});
  return recorded.has_error() ? recorded.error() : error;
}

Result<DeliveryAnswer> KeyStore::State::SendHome(AuditEntry entry, const Service& service,
                                                 const std::string& home) {
  entry.reason = "redirected to " + home;
  SKMS_TRYV(Record({&entry, 1}));
  DeliveryAnswer answer;
  answer.service = service;
  return answer;
}

/// Who makes a key holds the selector's lock, and may hang in a token that another could do without: then one
/// of those who wait makes it as well, and the database takes the first.
Result<Versions> KeyStore::State::MakeOrAwaitFirst(const Requester& by, const Service& service,
                                                   const Selector& selector) {
  std::unique_lock maker(LockFor(selector), std::defer_lock);
  std::unique_lock second_maker(SecondLockFor(selector), std::defer_lock);
  // A second run knows that the first one hangs.
  const bool waits = PlaceToAvoid() == nullptr;
  if (!(waits ? maker.try_lock_for(kMakingTakes) : maker.try_lock()) &&
      !second_maker.try_lock_for(kMakingTakes)) {
    return Error{ErrorCode::kResourceExhausted, "the key is being made, which takes long or hangs"};
  }
  const auto stored_ones = [&]() -> Result<Versions> {
    SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
    Versions versions;
    for (StoredKeyVersion& one : stored) versions.push_back(std::move(one.version));
    return versions;
  };
  SKMS_TRY(Versions there, stored_ones());  // another request may have made it while this one waited
  if (!there.empty()) return there;
  auto made = MakeFirst(by, service, selector);
  if (made.has_value()) {
    Versions versions;
    versions.push_back(std::move(made).value());
    return versions;
  }
  if (made.error().code != ErrorCode::kChangedMeanwhile) return std::move(made).error();
  SKMS_TRY(there, stored_ones());
  if (there.empty()) return std::move(made).error();
  return there;
}

Result<Versions> KeyStore::State::OwnVersions(const Requester& by, const Service& service,
                                              const Selector& selector) {
  SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
  Versions versions;
  if (stored.empty() && service.generate_on_request) {
    return MakeOrAwaitFirst(by, service, selector);
  }
  for (StoredKeyVersion& one : stored) versions.push_back(std::move(one.version));
  return versions;
}

Versions KeyStore::State::Ranked(Versions versions) {
  std::erase_if(versions, [](const KeyVersion& version) { return UseOf(version) == KeyUse::kNone; });
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

Result<DeliveryAnswer> KeyStore::State::WrapAll(const Requester& by, const Service& service,
                                                const Destination& to, Versions versions,
                                                std::vector<AuditEntry>& entries) {
  DeliveryAnswer answer;
  answer.service = service;
  answer.actor = by.principal.value();
  for (KeyVersion& version : versions) {
    AuditEntry entry = EntryFor(by, "deliver", version.selector);
    entry.kid = version.kid.value();
    SKMS_TRYV(CheckMadeFor(service, version.wrapped, version.kid.value()));
    SKMS_TRY(DeliveredVersion delivered, Wrap(to, std::move(version)));
    entry.reason = std::string("delivery=") + (to.recipient ? "wrapped" : "tls") +
                   " state=" + std::string(Name(delivered.version.state)) +
                   (to.id.empty() ? "" : " recipient=" + to.id);
    entries.push_back(std::move(entry));
    answer.keys.push_back(std::move(delivered));
  }
  return answer;
}

Status KeyStore::State::NamingRecipient(const Destination& to, Status checked) {
  if (checked.has_value() || checked.error().code != ErrorCode::kRecipientNotTrusted) return checked;
  Error error = checked.error();
  error.detail = "recipient '" + to.id + "': " + error.detail;
  return error;
}

Status KeyStore::State::CheckDestination(const Service& service, const Destination& to) {
  if (service.recipients == Recipients::kAny || !to.recipient) return Ok();
  return NamingRecipient(to, module.CheckTrusted(*to.recipient));
}

Status KeyStore::State::CheckMadeFor(const Service& service, const hsm::WrappedKey& key,
                                     const std::string& id) {
  if (service.recipients == Recipients::kAny || key.format == hsm::kFormatTrusted) return Ok();
  return IntegrityError("'" + id + "' of service '" + service.id.value() +
                        "' was not made for TRUSTED recipients, which are all that the service has");
}

KeyStore::State::Destination KeyStore::State::DestinationOf(const Requester& by,
                                                            const Service& service) const {
  if (service.delivery == Delivery::kTls) return {};
  const auto now = directory->snapshot();
  const auto enrolled = now->recipient_by_principal.find(by.principal.value());
  if (enrolled != now->recipient_by_principal.end())
    return {enrolled->second, now->recipients.at(enrolled->second).key};
  return {"spki-sha256:" + ToBase64Url(Sha256(by.certificate_spki)),
          hsm::PublicKeyRecipient(by.certificate_spki)};
}

Error KeyStore::State::Unusable(const Destination& to, const char* what_for, const Error& error) {
  // An EC key is refused as a whole where the token lacks the KDF, and for payloads everywhere.
  const bool token_cannot = error.code == ErrorCode::kUnsupported && to.recipient &&
                            std::holds_alternative<hsm::EcRecipient>(*to.recipient);
  if (error.code != ErrorCode::kInvalidArgument && !token_cannot) return error;
  return {ErrorCode::kRecipientUnusable, "recipient '" + to.id + "' cannot be used" + what_for + ": " +
                                             error.detail + "; enrol one with: skmsctl recipient add"};
}

Result<DeliveredVersion> KeyStore::State::Wrap(const Destination& to, KeyVersion version) {
  DeliveredVersion out;
  SKMS_TRY(out.profile, FindKeyProfile(version.profile));
  out.recipient = to.id;
  if (!to.recipient) {
    SKMS_TRY(out.plaintext, module.Reveal(version.wrapped, out.profile.spec, version.public_key));
  } else {
    // Its state is changed by who has the token; once its time is over nobody goes by what was said before.
    const bool over = version.not_after && *version.not_after <= clock.NowSeconds();
    auto wrapped =
        over
            ? module.RewrapFor(*to.recipient, version.wrapped, out.profile.spec, version.public_key)
            : answers.RewrapFor(module, *to.recipient, version.wrapped, out.profile.spec, version.public_key);
    if (wrapped.has_error()) return NamingRecipient(to, Status(Unusable(to, "", wrapped.error()))).error();
    out.wrapped = std::move(wrapped).value();
  }
  version.wrapped.bytes.clear();
  out.version = std::move(version);
  return out;
}

Result<DeliveryAnswer> KeyStore::State::DeliverSelected(const Requester& by, const Service& service,
                                                        const Selector& selector, const Destination& to) {
  const bool own = service.HasScope(selector.kind);
  const bool member = (selector.kind == TargetKind::kUser || selector.kind == TargetKind::kUe) &&
                      service.HasScope(TargetKind::kGroup);
  // A group's key goes to its group server (SEAL-X1) and, with their own, to its members.
  AuditEntry entry = EntryFor(by, "deliver", selector);
  if ((!own && !member) || selector.kind == TargetKind::kGroup)
    return Refuse(entry, "scope-not-allowed", PermissionDenied("the service has no keys of this kind"));
  std::vector<AuditEntry> entries;
  auto answer = [&]() -> Result<DeliveryAnswer> {
    // Before a key is made that nobody could have.
    SKMS_TRYV(CheckDestination(service, to));
    Versions versions;
    if (own) {
      SKMS_TRY(versions, OwnVersions(by, service, selector));
    }
    versions = Ranked(std::move(versions));
    Versions of_groups;
    if (member) {
      SKMS_TRY(of_groups, GroupVersionsOf(service, {selector.kind, selector.target}));
    }
    of_groups = Ranked(std::move(of_groups));
    std::move(of_groups.begin(), of_groups.end(), std::back_inserter(versions));
    std::vector<StoredPayload> payloads;
    if (own) {
      SKMS_TRY(payloads, CurrentPayloads(selector));
    }
    if (versions.empty() && payloads.empty()) return NoSuchKey();
    SKMS_TRY(DeliveryAnswer all, WrapAll(by, service, to, std::move(versions), entries));
    for (StoredPayload& stored : payloads) {
      AuditEntry granted = EntryFor(by, "deliver", selector);
      granted.kid = stored.payload.id;
      granted.reason = std::string("delivery=") + (to.recipient ? "jwe" : "tls") + " payload" +
                       (to.id.empty() ? "" : " recipient=" + to.id);
      SKMS_TRY(DeliveredPayload delivered, Readdress(service, to, std::move(stored.payload)));
      entries.push_back(std::move(granted));
      all.payloads.push_back(std::move(delivered));
    }
    return all;
  }();
  if (answer.has_error()) return Refuse(entry, std::string(Name(answer.error().code)), answer.error());
  SKMS_TRYV(Record(entries, &answer.value().recorded));
  return answer;
}

Result<DeliveryAnswer> KeyStore::Deliver(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  AuditEntry entry = state.EntryFor(requester, "deliver", selector);
  const auto now = state.directory->snapshot();
  const auto service = now->services.find(selector.service.value());
  if (service == now->services.end()) return state.Refuse(entry, "service-unknown", NoSuchKey());
  if (!Holds(service->second.readers, requester.principal))
    return state.Refuse(entry, "not-a-reader", NoSuchKey());
  if (requester.token_services && !Holds(*requester.token_services, selector.service.value()))
    return state.Refuse(entry, "service-not-in-token", NoSuchKey());
  const std::string& home = service->second.access.home;
  if (!home.empty()) return state.SendHome(entry, service->second, home);
  return state.DeliverSelected(requester, service->second, selector,
                               state.DestinationOf(requester, service->second));
}

}  // namespace skms::keystore
