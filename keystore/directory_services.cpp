// Services: what a policy may say, and its changes.
#include <set>
#include <utility>

#include "base/api_root.h"
#include "keystore/directory.h"
#include "keystore/directory_rows.h"
#include "keystore/key_records.h"
#include "keystore/payload_rows.h"

namespace skms::keystore {
namespace {

/// A policy as the audit chain keeps it.
std::string PolicyText(const Service& service) {
  const auto list = [](const auto& ids) {
    std::string text;
    for (const auto& one : ids) text += (text.empty() ? "" : ",") + one.value();
    return text;
  };
  const RotationPolicy& rotation = service.rotation;
  return "profile=" + service.profile + " delivery=" + std::string(Name(service.delivery)) +
         " readers=" + list(service.readers) + " group-servers=" + list(service.group_servers) +
         " period=" + std::to_string(rotation.crypto_period) +
         " overlap=" + std::to_string(rotation.overlap) + " ahead=" + std::to_string(rotation.make_ahead) +
         " kept=" + std::to_string(rotation.versions_kept) +
         " provisioners=" + list(service.access.provisioners) +
         " ue-issuers=" + list(service.access.ue_issuers) +
         " ue-service-key=" + (service.access.ue_service_key ? "yes" : "no") +
         (service.access.home.empty() ? "" : " home=" + service.access.home) +
         (service.access.home_ue.empty() ? "" : " home-ue=" + service.access.home_ue) +
         " records=" + std::to_string(service.max_records) + " join=" + std::string(Name(service.join)) +
         (service.recipients == Recipients::kAny ? ""
                                                 : " recipients=" + std::string(Name(service.recipients)));
}

/// A century: beyond it a typing error is more likely than a wish, and no sum of times overflows.
constexpr std::int64_t kLongestSeconds = std::int64_t{100} * 366 * 86400;

Status CheckRotation(const RotationPolicy& rotation) {
  for (const auto& [what, seconds] :
       {std::pair("the crypto-period", rotation.crypto_period), std::pair("the overlap", rotation.overlap),
        std::pair("the time to make ahead", rotation.make_ahead)}) {
    if (seconds < 0 || seconds > kLongestSeconds)
      return InvalidArgument(std::string(what) + " must be 0 to 36600 days");
  }
  if (rotation.versions_kept == 1 || rotation.versions_kept == 2)
    return InvalidArgument("at least 3 versions must be kept: the former, the current and the next");
  if (rotation.crypto_period == 0) {
    if (rotation.make_ahead > 0) return InvalidArgument("a time to make ahead needs a crypto-period");
    return Ok();
  }
  if (rotation.overlap >= rotation.crypto_period) {
    return InvalidArgument(
        "the overlap must be shorter than the crypto-period, or three versions would be active");
  }
  if (rotation.make_ahead >= rotation.crypto_period) {
    return InvalidArgument("the time to make ahead must be shorter than the crypto-period");
  }
  return Ok();
}

Status CheckUeAccess(const Service& service, const DirectorySnapshot& now) {
  for (const IssuerId& issuer : service.access.ue_issuers) {
    if (issuer.value() == kAssertedIdentity) continue;
    const auto found = now.issuers.find(issuer.value());
    if (found == now.issuers.end())
      return InvalidArgument("there is no issuer '" + issuer.value() + "'; add it first");
    if (found->second.profile.services_claim.empty()) {
      return InvalidArgument("issuer '" + issuer.value() +
                             "' says no VAL services in its tokens; add it again with --services-claim");
    }
  }
  return Ok();
}

/// What the token lets a strict service be.
Status CheckRecipients(const Service& service) {
  if (service.recipients == Recipients::kAny) return Ok();
  if (service.delivery == Delivery::kTls)
    return InvalidArgument(
        "recipients 'trusted' and delivery 'tls' exclude each other: a process is no TRUSTED key");
  SKMS_TRY(const KeyProfile profile, FindKeyProfile(service.profile));
  if (profile.spec.kind == hsm::KeyKind::kEcPrivate) {
    return InvalidArgument(
        "recipients 'trusted' is for secret keys: a private key goes out under a fresh AES key, "
        "which is not TRUSTED");
  }
  return Ok();
}

Status CheckHome(const AccessPolicy& access) {
  for (const auto& [what, home] :
       {std::pair("a home", access.home), std::pair("a home for UEs", access.home_ue)}) {
    if (home.empty()) continue;
    SKMS_TRYV(CheckIdentifier(what, home));
    if (!IsApiRoot(home)) return InvalidArgument(std::string(what) + " is an apiRoot: " + kApiRootForm);
  }
  if (access.home.empty() && !access.home_ue.empty())
    return InvalidArgument("a home for UEs needs a home: the server that has the service for VAL servers");
  return Ok();
}

}  // namespace

Status Directory::CheckService(const Service& service) const {
  SKMS_TRYV(CheckIdentifier("a service id", service.id.value()));
  SKMS_TRYV(FindKeyProfile(service.profile));
  const std::set<TargetKind> distinct(service.scopes.begin(), service.scopes.end());
  if (service.scopes.empty() || distinct.size() != service.scopes.size()) {
    return InvalidArgument("a service needs at least one scope, each once: " + TargetKindNames());
  }
  SKMS_TRYV(CheckRotation(service.rotation));
  if (service.max_records < 0) return InvalidArgument("the limit of records must not be negative");
  if (!service.user_uri.empty()) SKMS_TRYV(CheckIdentifier("a user URI", service.user_uri));
  const auto now = snapshot();
  for (const PrincipalId& reader : service.readers) {
    if (now->principals.count(reader.value()) == 0) {
      return InvalidArgument("there is no principal '" + reader.value() + "'; add it first");
    }
  }
  for (const PrincipalId& server : service.group_servers) {
    const auto found = now->principals.find(server.value());
    if (found == now->principals.end())
      return InvalidArgument("there is no principal '" + server.value() + "'; add it first");
    if (found->second.role != kGroupServerRole) {
      return InvalidArgument("principal '" + server.value() + "' is a " + found->second.role +
                             ", and groups are managed by a group-server");
    }
  }
  for (const PrincipalId& provisioner : service.access.provisioners) {
    if (now->principals.count(provisioner.value()) == 0)
      return InvalidArgument("there is no principal '" + provisioner.value() + "'; add it first");
  }
  SKMS_TRYV(CheckUeAccess(service, *now));
  SKMS_TRYV(CheckHome(service.access));
  SKMS_TRYV(CheckRecipients(service));
  if (!service.group_servers.empty() && !service.HasScope(TargetKind::kGroup))
    return InvalidArgument("a service with group servers needs the scope 'group'");
  return Ok();
}

Status Directory::PutService(const Requester& by, const Service& service, const Service* former) {
  SKMS_TRYV(CheckService(service));
  const bool becomes_strict = service.recipients == Recipients::kTrusted &&
                              (former == nullptr || former->recipients == Recipients::kAny);
  // Never less than was asked for: a token that does not enforce it gets no such service.
  if (becomes_strict) SKMS_TRYV(module_.CheckStrict());
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(service)));
  return Change(
      EntryFor(by, former == nullptr ? "service.add" : "service.set", PolicyText(service),
               service.id.value()),
      [&](soci::session& session) -> Status {
        if (former == nullptr) {
          InsertRow(session, service, mac);
          return Ok();
        }
        // Looked at here, where no other request can make the service's first key meanwhile.
        if (former->profile != service.profile && HasVersions(session, service.id)) {
          return Conflict("the profile of a service that has keys cannot change; make another service");
        }
        if (former->recipients != service.recipients &&
            (HasVersions(session, service.id) || CountPayloadSelectors(session, service.id) > 0)) {
          return Conflict(
              "the recipients of a service that has keys or payloads cannot change, for those were made for "
              "the "
              "former ones; make another service");
        }
        UpdateRow(session, service, mac);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.services.insert_or_assign(service.id.value(), service); });
}

Status Directory::AddService(const Requester& by, const Service& service) {
  const auto lock = BeginChange();
  if (snapshot()->services.count(service.id.value()) > 0) {
    return AlreadyExists("there is a service '" + service.id.value() +
                         "' already; change it with: skmsctl service set");
  }
  return PutService(by, service, nullptr);
}

Status Directory::SetService(const Requester& by, const Service& service) {
  const auto lock = BeginChange();
  const auto now = snapshot();
  const auto present = now->services.find(service.id.value());
  if (present == now->services.end()) return NotFound("there is no service '" + service.id.value() + "'");
  return PutService(by, service, &present->second);
}

Status Directory::RemoveService(const Requester& by, const ValServiceId& id) {
  const auto lock = BeginChange();
  if (snapshot()->services.count(id.value()) == 0)
    return NotFound("there is no service '" + id.value() + "'");
  return Change(
      EntryFor(by, "service.remove", "", id.value()),
      [&](soci::session& session) -> Status {
        if (CountPayloadSelectors(session, id) > 0) {
          return Conflict("service '" + id.value() +
                          "' has payloads; see: skmsctl payload list --service, and skmsctl payload remove");
        }
        if (HasVersions(session, id)) {
          return Conflict("service '" + id.value() +
                          "' has keys; to stop delivery, take its readers away: skmsctl service set " +
                          id.value() + " --remove-reader PRINCIPAL");
        }
        DeleteRow(session, "services", id.value());
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.services.erase(id.value()); });
}

}  // namespace skms::keystore
