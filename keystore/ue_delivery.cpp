// DeliverToUe: what KM-UU's clients get, by what their access token says and the service's policy allows.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

/// Is it the identity that the token vouches for?
bool IsOwn(const UeRequester& ue, const Selector& selector) {
  switch (selector.kind) {
    case TargetKind::kUser:
      return !ue.user.empty() && selector.target == ue.user;
    case TargetKind::kUe:
      return !ue.ue.empty() && selector.target == ue.ue;
    case TargetKind::kClient:
      return !ue.client.empty() && selector.target == ue.client;
    case TargetKind::kService:
    case TargetKind::kGroup:
      return false;
  }
  return false;
}

}  // namespace

PrincipalId KeyStore::State::ActorOf(const UeRequester& ue) const {
  Bytes fields;
  for (const std::string& field : {ue.issuer.value(), ue.user, ue.ue, ue.client}) AppendField(fields, field);
  return PrincipalId("ue:" + Pseudonym(fields));
}

Result<KeyStore::State::Destination> KeyStore::State::DestinationOf(const UeRequester& ue,
                                                                    const Service& service) const {
  if (ue.key) return Destination{ue.key_id, *ue.key};
  if (ue.bound_to_key) {
    return PermissionDenied(
        "the access token is bound to a key (cnf.jkt): the request must carry it as recipientKey");
  }
  if (service.delivery == Delivery::kTls) return Destination{};
  const auto now = directory->snapshot();
  for (const UeIdentity& identity :
       {UeIdentity{TargetKind::kUe, ue.ue}, UeIdentity{TargetKind::kUser, ue.user}}) {
    const auto enrolled =
        identity.id.empty() ? now->recipient_by_ue.end() : now->recipient_by_ue.find(identity);
    if (enrolled != now->recipient_by_ue.end())
      return Destination{enrolled->second, now->recipients.at(enrolled->second).key};
  }
  if (!ue.certificate_spki.empty())
    return Destination{"spki-sha256:" + ToBase64Url(Sha256(ue.certificate_spki)),
                       hsm::PublicKeyRecipient(ue.certificate_spki)};
  return PermissionDenied(
      "no recipient for this UE: neither a recipientKey bound to its token, nor an enrolled one (skmsctl "
      "recipient "
      "add --ue or --user), nor a certificate, and the service's delivery is not tls");
}

Status KeyStore::RecordUeRefusal(const UeRequester& ue, const Selector& selector, const std::string& reason) {
  const Requester by{state_->ActorOf(ue), {}, ue.request_id};
  AuditEntry entry = state_->EntryFor(by, "deliver", selector);
  entry.outcome = "refused";
  entry.reason = reason;
  return state_->Record({&entry, 1});
}

Result<DeliveryAnswer> KeyStore::DeliverToUe(const UeRequester& ue, const Selector& selector) {
  State& state = *state_;
  const Requester by{state.ActorOf(ue), ue.certificate_spki, ue.request_id};
  AuditEntry entry = state.EntryFor(by, "deliver", selector);
  const State::ServiceThen of = state.ServiceNow(selector.service);
  if (ue.services && !Holds(*ue.services, selector.service.value()))
    return state.Refuse(entry, "service-not-in-token", NoSuchKey());
  if (of.service == nullptr) return state.Refuse(entry, "service-unknown", NoSuchKey());
  const Service& service = *of.service;
  if (!Holds(service.access.ue_issuers, ue.issuer))
    return state.Refuse(entry, "issuer-not-for-ues", NoSuchKey());
  if (selector.kind == TargetKind::kService ? !service.access.ue_service_key : !IsOwn(ue, selector)) {
    return state.Refuse(
        entry, selector.kind == TargetKind::kService ? "service-key-not-for-ues" : "identity-mismatch",
        PermissionDenied("the access token does not give this UE this selector"));
  }
  const std::string& home = service.access.home_for_ues();
  if (!home.empty()) return state.SendHome(entry, service, home);
  const auto to = state.DestinationOf(ue, service);
  if (to.has_error()) return state.Refuse(entry, "no-recipient", to.error());
  return state.DeliverSelected(by, of, selector, to.value());
}

}  // namespace skms::keystore
