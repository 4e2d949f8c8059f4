// Deliver: who gets which versions, wrapped how.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <mutex>
#include <utility>

#include "base/encoding.h"
#include "base/outside_call.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

constexpr std::chrono::seconds kMakingTakes{2};

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

/// When its state is to change by the clock, or was to; what processes only has come to its end already.
std::int64_t Ends(const KeyVersion& version) {
  return UseOf(version) == KeyUse::kProcess ? kNever : version.not_after.value_or(kNever);
}

bool IsMember(const Service& service, TargetKind kind) {
  return (kind == TargetKind::kUser || kind == TargetKind::kUe) && service.HasScope(TargetKind::kGroup);
}

}  // namespace

Sha256Digest KeyStore::State::NameOf(const Requester& by, const Selector& selector, const Destination& to) {
  Bytes octets;
  octets.reserve(1024);
  AppendField(octets, by.principal.value());
  AppendField(octets, selector.service.value());
  AppendField(octets, Name(selector.kind));
  AppendField(octets, selector.target);
  AppendField(octets, to.id);
  if (to.recipient) AppendRecipient(octets, *to.recipient);
  return Sha256(octets);
}

KeyStore::State::ServiceThen KeyStore::State::ServiceNow(const ValServiceId& id) const {
  ServiceThen out;
  out.moment = deliveries.Now();
  out.moment.database_changes = database->changes();
  out.directory = directory->snapshot();
  out.moment.directory_version = out.directory->version;
  const auto found = out.directory->services.find(id.value());
  if (found != out.directory->services.end()) out.service = &found->second;
  return out;
}

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
  return RecordWhere([] { return true; }, entries, place);
}

Status KeyStore::State::RecordWhere(const std::function<bool()>& stands, std::span<const AuditEntry> entries,
                                    AuditSummary* place) {
  const DatabaseWork append = [&](soci::session& session) -> Status {
    if (!stands()) return ChangedMeanwhile("it was changed meanwhile");
    for (const AuditEntry& entry : entries) SKMS_TRYV(AppendAudit(session, clock, entry, place));
    return Ok();
  };
  return database->AppendEntries(append);
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
  answer.service = std::make_shared<const Service>(service);
  return answer;
}

/// Who makes a key holds the selector's lock until it is committed, and may hang in a token that another
/// could do without: then one of those who wait makes it as well, and the database takes the first.
Result<Versions> KeyStore::State::MakeOrAwaitFirst(const Requester& by, const Service& service,
                                                   const Selector& selector, FirstDelivery& first) {
  std::unique_lock maker(LockFor(selector), std::defer_lock);
  std::unique_lock second_maker(SecondLockFor(selector), std::defer_lock);
  // A second run knows that the first one hangs.
  const bool waits = PlaceToAvoid() == nullptr;
  if (!(waits ? maker.try_lock_for(kMakingTakes) : maker.try_lock()) &&
      !second_maker.try_lock_for(kMakingTakes)) {
    return Error{ErrorCode::kResourceExhausted, "the key is being made, which takes long or hangs"};
  }
  // Another request may have made it while this one waited.
  SKMS_TRY(std::vector<StoredKeyVersion> there, CheckedVersions(selector));
  Versions versions;
  for (StoredKeyVersion& one : there) versions.push_back(std::move(one.version));
  if (!versions.empty()) return versions;
  SKMS_TRY(KeyChangeSet set, MakeFirst(by, service, selector, first));
  versions.push_back(set.inserts.front().row.version);
  first.Keep(std::move(maker.owns_lock() ? maker : second_maker), std::move(set));
  return versions;
}

Result<Versions> KeyStore::State::OwnVersions(const Requester& by, const Service& service,
                                              const Selector& selector, FirstDelivery& first) {
  SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
  Versions versions;
  if (stored.empty() && service.generate_on_request) {
    return MakeOrAwaitFirst(by, service, selector, first);
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

Result<std::vector<DeliveredVersion>> KeyStore::State::WrapAll(const Requester& by, const Service& service,
                                                               const Destination& to, Versions versions,
                                                               std::vector<AuditEntry>& entries,
                                                               FirstDelivery* first) {
  std::vector<DeliveredVersion> wrapped;
  wrapped.reserve(versions.size());
  for (KeyVersion& version : versions) {
    AuditEntry entry = EntryFor(by, "deliver", version.selector);
    entry.kid = version.kid.value();
    SKMS_TRYV(CheckMadeFor(service, version.wrapped, version.kid.value()));
    auto at_once = first == nullptr ? std::nullopt : first->Take(to, version.kid);
    SKMS_TRY(DeliveredVersion delivered, Wrap(to, std::move(version), std::move(at_once)));
    entry.reason = std::string("delivery=") + (to.recipient ? "wrapped" : "tls") +
                   " state=" + std::string(Name(delivered.version.state)) +
                   (to.id.empty() ? "" : " recipient=" + to.id);
    entries.push_back(std::move(entry));
    wrapped.push_back(std::move(delivered));
  }
  return wrapped;
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

Result<DeliveredVersion> KeyStore::State::Wrap(const Destination& to, KeyVersion version,
                                               std::optional<hsm::DeliveredKey> at_once) {
  DeliveredVersion out;
  SKMS_TRY(out.profile, FindKeyProfile(version.profile));
  out.recipient = to.id;
  if (!to.recipient) {
    SKMS_TRY(out.plaintext, module.Reveal(version.wrapped, out.profile.spec, version.public_key));
  } else if (at_once && clock.NowSeconds() < Ends(version)) {
    out.wrapped = std::move(at_once);
  } else {
    // Its state is changed by who has the token; until that is done, nobody goes by what was said before.
    const bool over = Ends(version) <= clock.NowSeconds();
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

Status KeyStore::State::MakeDelivery(const Requester& by, const Service& service, const Selector& selector,
                                     const Destination& to, FirstDelivery& first, DeliveryCache::Kept& made) {
  const bool own = service.HasScope(selector.kind);
  const bool member = IsMember(service, selector.kind);
  // Before a key is made that nobody could have.
  SKMS_TRYV(CheckDestination(service, to));
  Versions versions;
  // Whoever comes into a group is told by his own selector, which has keys of its own or not.
  if (own || member) made.selectors.push_back(selector);
  if (own) {
    SKMS_TRY(versions, OwnVersions(by, service, selector, first));
  }
  versions = Ranked(std::move(versions));
  Versions of_groups;
  if (member) {
    SKMS_TRY(of_groups, GroupVersionsOf(service, {selector.kind, selector.target}, made.selectors));
  }
  of_groups = Ranked(std::move(of_groups));
  std::move(of_groups.begin(), of_groups.end(), std::back_inserter(versions));
  std::vector<StoredPayload> stored_payloads;
  if (own) {
    SKMS_TRY(stored_payloads, CurrentPayloads(selector));
  }
  if (versions.empty() && stored_payloads.empty()) return NoSuchKey();
  SKMS_TRY(std::vector<DeliveredVersion> keys,
           WrapAll(by, service, to, std::move(versions), made.entries, &first));
  std::vector<DeliveredPayload> payloads;
  for (StoredPayload& stored : stored_payloads) {
    AuditEntry granted = EntryFor(by, "deliver", selector);
    granted.kid = stored.payload.id;
    granted.reason = std::string("delivery=") + (to.recipient ? "jwe" : "tls") + " payload" +
                     (to.id.empty() ? "" : " recipient=" + to.id);
    SKMS_TRY(DeliveredPayload delivered, Readdress(service, to, std::move(stored.payload)));
    made.entries.push_back(std::move(granted));
    payloads.push_back(std::move(delivered));
  }
  made.answer.service = std::make_shared<const Service>(service);
  made.answer.actor = by.principal.value();
  made.answer.keys = std::move(keys);
  made.answer.payloads = std::move(payloads);
  return Ok();
}

/// Whether the same may be given again without a look at anything but the clock: wrapped, to somebody whom no
/// token has to say that he is still TRUSTED.
bool KeyStore::State::SetUntil(const Service& service, const Destination& to,
                               DeliveryCache::Kept& made) const {
  if (!to.recipient || service.recipients != Recipients::kAny || !made.answer.payloads.empty()) return false;
  made.until = kNever;
  for (const DeliveredVersion& key : made.answer.keys) {
    if (key.version.wrapped.format == hsm::kFormatTrusted) return false;
    made.until = std::min(made.until, Ends(key.version));
  }
  return clock.NowSeconds() < made.until;
}

Status KeyStore::State::MakeAndRecord(const Requester& by, const Service& service, const Selector& selector,
                                      const Destination& to, DeliveryCache::Kept& made) {
  Status done = Ok();
  // Where another one has made the first key meanwhile, it is that one which is given.
  for (bool again = false;; again = true) {
    made = {};
    FirstDelivery first(to);
    done = MakeDelivery(by, service, selector, to, first, made);
    if (done.has_error()) break;
    KeyChangeSet* const set = first.set();
    if (set == nullptr) return Record(made.entries, &made.answer.recorded);
    set->entries.insert(set->entries.end(), made.entries.begin(), made.entries.end());
    done = Write(std::move(*set), &made.answer.recorded);
    if (done.has_value()) return done;
    if (again || done.error().code != ErrorCode::kChangedMeanwhile) break;
    SKMS_TRY(const std::vector<StoredKeyVersion> there, CheckedVersions(selector));
    if (there.empty()) break;
  }
  return Refuse(EntryFor(by, "deliver", selector), std::string(Name(done.error().code)), done.error());
}

Result<DeliveryAnswer> KeyStore::State::DeliverSelected(const Requester& by, const ServiceThen& of,
                                                        const Selector& selector, const Destination& to) {
  const Service& service = *of.service;
  const bool reachable = service.HasScope(selector.kind) || IsMember(service, selector.kind);
  // A group's key goes to its group server (SEAL-X1) and, with their own, to its members.
  if (!reachable || selector.kind == TargetKind::kGroup)
    return Refuse(EntryFor(by, "deliver", selector), "scope-not-allowed",
                  PermissionDenied("the service has no keys of this kind"));
  // While something is being changed, nothing is known of it.
  const bool keeps = deliveries.keeps() && of.moment.database_changes % 2 == 0;
  const Sha256Digest name = keeps ? NameOf(by, selector, to) : Sha256Digest{};
  if (const auto kept = keeps ? deliveries.Find(name, of.moment, clock.NowSeconds()) : nullptr) {
    std::vector<AuditEntry> entries = kept->entries;
    for (AuditEntry& entry : entries) entry.request_id = by.request_id;
    DeliveryAnswer answer = kept->answer;
    const Status recorded = RecordWhere(
        [&] {
          return !database->is_shared() ||
                 deliveries.StillStands(*kept, ServiceNow(selector.service).moment, clock.NowSeconds());
        },
        entries, &answer.recorded);
    if (recorded.has_value()) return answer;
    if (recorded.error().code != ErrorCode::kChangedMeanwhile) return recorded.error();
  }
  DeliveryCache::Kept made;
  SKMS_TRYV(MakeAndRecord(by, service, selector, to, made));
  DeliveryAnswer answer = made.answer;
  if (!keeps || !SetUntil(service, to, made)) return answer;
  made.made = of.moment;
  made.answer.recorded = {};
  made.answer.form = answer.form = std::make_shared<AnswerFormPlace>();
  deliveries.Keep(name, std::move(made));
  return answer;
}

Result<DeliveryAnswer> KeyStore::Deliver(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  const auto refuse = [&](const char* reason) {
    return state.Refuse(state.EntryFor(requester, "deliver", selector), reason, NoSuchKey());
  };
  const State::ServiceThen of = state.ServiceNow(selector.service);
  if (of.service == nullptr) return refuse("service-unknown");
  if (!Holds(of.service->readers, requester.principal)) return refuse("not-a-reader");
  if (requester.token_services && !Holds(*requester.token_services, selector.service.value()))
    return refuse("service-not-in-token");
  const std::string& home = of.service->access.home;
  if (!home.empty()) return state.SendHome(state.EntryFor(requester, "deliver", selector), *of.service, home);
  return state.DeliverSelected(requester, of, selector, state.DestinationOf(requester, *of.service));
}

}  // namespace skms::keystore
