// Provision, and what of it is delivered, listed and removed.
#include "keystore/payloads.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "keystore/key_store_state.h"
#include "keystore/payload_rows.h"

namespace skms::keystore {
namespace {

/// {"enc":"A256GCM"} (RFC 7516): `alg` and `kid` stand with the recipient, for the ciphertext is
/// re-addressed.
const std::string& ProtectedHeader() {
  static const std::string header = ToBase64Url(AsBytes(R"({"enc":"A256GCM"})"));
  return header;
}

Error NoSuchTarget() { return NotFound("no such service, client, UE or user for this requester"); }

}  // namespace

Result<std::vector<StoredPayload>> KeyStore::State::CurrentPayloads(const Selector& selector) {
  std::vector<StoredPayload> stored;
  if (!payloads_exist) return stored;
  SKMS_TRYV(database->Read([&](soci::session& session) -> Status {
    SKMS_TRY(stored, ReadCurrentPayloads(session, selector));
    return Ok();
  }));
  for (const StoredPayload& one : stored)
    SKMS_TRYV(answers.CheckRowMac(module, FieldsOf(one.payload), one.mac, RowName(one.payload)));
  return stored;
}

Result<DeliveredPayload> KeyStore::State::Readdress(const Service& service, const Destination& to,
                                                    Payload payload) {
  SKMS_TRYV(CheckMadeFor(service, payload.sealed.key, payload.id));
  DeliveredPayload out;
  out.recipient = to.id;
  if (!to.recipient) {
    SKMS_TRY(out.plaintext, module.Unseal(payload.sealed, AsBytes(payload.protected_header)));
  } else {
    auto key = module.RewrapContentKey(*to.recipient, payload.sealed.key);
    if (key.has_error()) return Unusable(to, " for a payload", key.error());
    out.content_key = std::move(key).value();
  }
  payload.sealed.key.bytes.clear();
  out.payload = std::move(payload);
  return out;
}

/// Who may provision, and for what.
Result<Service> KeyStore::State::MayProvision(const Requester& by, const ProvisionOrder& order,
                                              const AuditEntry& entry) {
  const Selector& selector = order.selector;
  const auto now = directory->snapshot();
  const auto found = now->services.find(selector.service.value());
  if (found == now->services.end()) return Refuse(entry, "service-unknown", NoSuchTarget());
  const Service& service = found->second;
  if (by.token_services && !Holds(*by.token_services, selector.service.value()))
    return Refuse(entry, "service-not-in-token", NoSuchTarget());
  if (!Holds(service.access.provisioners, by.principal)) {
    // Who may read it knows of it.
    if (!Holds(service.readers, by.principal)) return Refuse(entry, "not-a-provisioner", NoSuchTarget());
    return Refuse(entry, "not-a-provisioner",
                  PermissionDenied("this principal may not provision this service"));
  }
  if (!order.granted)
    return Refuse(entry, "not-granted-by-token",
                  PermissionDenied("the token's SKeyProv is not for this service"));
  if (!service.HasScope(selector.kind) || selector.kind == TargetKind::kGroup)
    return Refuse(entry, "scope-not-allowed", PermissionDenied("the service has no keys of this kind"));
  return service;
}

Result<std::string> KeyStore::State::DigestOf(const ProvisionOrder& order) {
  Bytes fields;
  AppendField(fields, "skms payload v1");
  AppendField(fields, order.selector.service.value());
  AppendField(fields, Name(order.selector.kind));
  AppendField(fields, order.selector.target);
  AppendField(fields, order.payload_id);
  const Sha256Digest sent = Sha256(order.sent.ExposeSecret());
  fields.insert(fields.end(), sent.begin(), sent.end());
  if (lasting) {
    const Sha256Digest key = HmacSha256(lasting_key_.ExposeSecret(), AsBytes("skms payload digest v1"));
    return ToBase64Url(HmacSha256(key, fields));
  }
  SKMS_TRY(const hsm::Mac mac, module.ComputeMac(1, fields));
  return ToBase64Url(mac);
}

Result<StoredPayload> KeyStore::State::SealPayload(const Requester& by, const Service& service,
                                                   const ProvisionOrder& order, std::uint32_t version,
                                                   std::string digest) {
  StoredPayload made;
  Payload& payload = made.payload;
  SKMS_TRY(const Kid id, FreshKid());
  payload.id = id.value();
  payload.selector = order.selector;
  payload.payload_id = order.payload_id;
  payload.version = version;
  payload.created = clock.NowSeconds();
  payload.provisioned_by = by.principal;
  payload.digest = std::move(digest);
  payload.protected_header = ProtectedHeader();
  const ByteView aad = AsBytes(payload.protected_header);
  if (order.encrypted) {
    SKMS_TRY(const SecretBytes plain, module.OpenForTransfer(*order.encrypted));
    if (plain.empty()) return InvalidArgument("the payload is empty");
    SKMS_TRY(payload.sealed, module.Seal(plain.ExposeSecret(), aad, service.recipients));
  } else {
    SKMS_TRY(payload.sealed, module.Seal(order.sent.ExposeSecret(), aad, service.recipients));
  }
  SKMS_TRY(made.mac, MakeRowMac(module, FieldsOf(payload)));
  return made;
}

Result<Provisioned> KeyStore::State::StorePayload(const Requester& by, const Service& service,
                                                  const ProvisionOrder& order, AuditEntry entry) {
  SKMS_TRY(std::string digest, DigestOf(order));
  SKMS_TRY(const std::vector<StoredPayload> current, CurrentPayloads(order.selector));
  const auto former = std::find_if(current.begin(), current.end(), [&](const StoredPayload& one) {
    return one.payload.payload_id == order.payload_id;
  });
  if (former != current.end() && ConstantTimeEqual(AsBytes(former->payload.digest), AsBytes(digest))) {
    entry.kid = former->payload.id;
    entry.reason = "the same payload again, version=" + std::to_string(former->payload.version);
    SKMS_TRYV(Record({&entry, 1}));
    return Provisioned{service, former->payload.id, former->payload.version, false};
  }
  if (former == current.end() && current.size() >= kMostPayloadsOfSelector) {
    return PermissionDenied("a service, client, UE or user has at most " +
                            std::to_string(kMostPayloadsOfSelector) + " payloads");
  }
  const std::uint32_t version = former == current.end() ? 1 : former->payload.version + 1;
  SKMS_TRY(const StoredPayload made, SealPayload(by, service, order, version, std::move(digest)));
  entry.kid = made.payload.id;
  entry.reason = "version=" + std::to_string(version) + " bytes=" + std::to_string(order.sent.size()) +
                 (order.encrypted ? " encrypted to the transfer key" : "");
  const std::uint32_t kept =
      service.rotation.versions_kept == 0 ? kPayloadVersionsKept : service.rotation.versions_kept;
  const DeliveryCache::Change changing(deliveries, {&order.selector, 1});
  const DatabaseWork store = [&](soci::session& session) -> Status {
    if (!ServiceStands(session, service)) return NoSuchTarget();
    // On another server the lock is another.
    if (NewestPayloadVersion(session, made.payload) + 1 != version)
      return ChangedMeanwhile("the payload was provisioned by another server meanwhile; try again");
    const bool limited = service.max_records > 0 && current.empty();
    if (limited && CountPayloadSelectors(session, service.id) >= service.max_records)
      return PermissionDenied("the service has as many records as it may have");
    InsertPayload(session, made);
    if (version > kept) DropPayloads(session, made.payload, version - kept);
    return AppendAudit(session, clock, entry);
  };
  SKMS_TRYV(database->Write(store, Touches::kWhatTheCallerTells, changing.places()));
  payloads_exist = true;
  return Provisioned{service, made.payload.id, version, true};
}

Result<Provisioned> KeyStore::Provision(const Requester& by, const ProvisionOrder& order) {
  State& state = *state_;
  AuditEntry entry = state.EntryFor(by, "provision", order.selector);
  SKMS_TRY(const Service service, state.MayProvision(by, order, entry));
  if (!service.access.home.empty()) {
    entry.reason = "redirected to " + service.access.home;
    SKMS_TRYV(state.Record({&entry, 1}));
    return Provisioned{service, "", 0, false};
  }
  const std::lock_guard lock(state.LockFor(order.selector));
  auto stored = State::WithRetries([&] { return state.StorePayload(by, service, order, entry); });
  if (stored.has_error()) return state.Refuse(entry, std::string(Name(stored.error().code)), stored.error());
  return stored;
}

Result<std::vector<Payload>> KeyStore::ListPayloads(const std::string& service, const std::string& after,
                                                    std::uint32_t limit) {
  if (limit < 1 || limit > 1000) return InvalidArgument("limit must be 1 to 1000");
  SKMS_TRY(const std::vector<std::string> ids,
           ReadPayloadIds(*state_->database, service, after, static_cast<int>(limit)));
  std::vector<Payload> out;
  // One at a time: a page of whole payloads may be larger than the machine.
  for (const std::string& id : ids) {
    SKMS_TRY(std::optional<StoredPayload> stored, ReadPayload(*state_->database, id));
    if (!stored) continue;  // removed meanwhile
    SKMS_TRYV(CheckRowMac(state_->module, FieldsOf(stored->payload), stored->mac, RowName(stored->payload)));
    stored->payload.sealed = {};
    out.push_back(std::move(stored->payload));
  }
  return out;
}

Status KeyStore::RemovePayload(const Requester& by, const std::string& id) {
  SKMS_TRY(const std::optional<StoredPayload> stored, ReadPayload(*state_->database, id));
  if (!stored) return NotFound("there is no payload '" + id + "'");
  const Payload& payload = stored->payload;
  SKMS_TRYV(CheckRowMac(state_->module, FieldsOf(payload), stored->mac, RowName(payload)));
  AuditEntry entry = state_->EntryFor(by, "payload.remove", payload.selector);
  entry.kid = payload.id;
  const DeliveryCache::Change changing(state_->deliveries, {&payload.selector, 1});
  const DatabaseWork remove = [&](soci::session& session) -> Status {
    // Every version: else the former one would go out.
    DropPayloads(session, payload, UINT32_MAX);
    return AppendAudit(session, state_->clock, entry);
  };
  SKMS_TRYV(state_->database->Write(remove, Touches::kWhatTheCallerTells, changing.places()));
  return state_->database->EmptyLog();
}

}  // namespace skms::keystore
