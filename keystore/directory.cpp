#include "keystore/directory.h"

#include <soci/soci.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "keystore/directory_rows.h"
#include "keystore/key_records.h"
#include "keystore/subscriptions.h"

namespace skms::keystore {
namespace {

Status CheckProfile(const TokenProfile& profile) {
  for (const auto& [what, claim] :
       {std::pair("the services claim", profile.services_claim),
        std::pair("the user claim", profile.user_claim), std::pair("the UE claim", profile.ue_claim),
        std::pair("the client claim", profile.client_claim),
        std::pair("the provisioning claim", profile.provisioning_claim)}) {
    if (!claim.empty()) SKMS_TRYV(CheckIdentifier(what, claim));
  }
  for (const std::string& value : profile.provisioning_values) {
    if (value != "true" && value != "list" && value != "string")
      return InvalidArgument("'" + value +
                             "' is no form of the provisioning claim; known: true, list, string");
  }
  return Ok();
}

bool Names(const std::vector<PrincipalId>& principals, const std::string& principal) {
  return std::any_of(principals.begin(), principals.end(),
                     [&](const PrincipalId& one) { return one.value() == principal; });
}

}  // namespace

AuditEntry Directory::EntryFor(const Requester& by, const char* action, const std::string& what,
                               const std::string& service) {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = action;
  entry.outcome = "granted";
  entry.service = service;
  entry.reason = what;
  entry.request_id = by.request_id;
  return entry;
}

Directory::Directory(Database& database, hsm::CryptoModule& module, const Clock& clock)
    : database_(database), module_(module), clock_(clock) {}

Result<std::unique_ptr<Directory>> Directory::Load(Database& database, hsm::CryptoModule& module,
                                                   const Clock& clock) {
  std::unique_ptr<Directory> directory(new Directory(database, module, clock));
  SKMS_TRYV(directory->Reload());
  return directory;
}

std::shared_ptr<const DirectorySnapshot> Directory::snapshot() const {
  const std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

std::unique_lock<std::mutex> Directory::BeginChange() {
  std::unique_lock lock(change_mutex_);
  decided_on_ = snapshot()->version;
  return lock;
}

Status Directory::Change(AuditEntry entry, const DatabaseWork& row, const Edit& edit) {
  SKMS_TRYV(database_.Write([&](soci::session& session) -> Status {
    // On this thread it is loaded anew, so that nothing comes between.
    if (snapshot()->version != decided_on_)
      return ChangedMeanwhile("the directory was read anew meanwhile; try again");
    SKMS_TRYV(row(session));
    return AppendAudit(session, clock_, entry);
  }));
  decided_on_ = Publish(edit);
  return Ok();
}

std::uint64_t Directory::Publish(const Edit& edit) {
  const auto former = snapshot();
  auto next = std::make_shared<DirectorySnapshot>(*former);
  edit(*next);
  ++next->version;
  const std::lock_guard lock(snapshot_mutex_);
  // Read anew since the commit it holds the change, and perhaps what came after it.
  if (snapshot_->version == decided_on_) snapshot_ = std::move(next);
  return snapshot_->version;
}

Status Directory::AddPrincipal(const Requester& by, const Principal& principal) {
  const auto lock = BeginChange();
  SKMS_TRYV(CheckName("a principal id", principal.id.value()));
  SKMS_TRYV(CheckIdentifier("a client id", principal.client_id));
  if (principal.role != "val-server" && principal.role != kGroupServerRole) {
    return InvalidArgument("'" + principal.role + "' is no role; known: val-server, group-server");
  }
  if (principal.certificate_spki.empty()) return InvalidArgument("a principal needs a certificate");
  const auto now = snapshot();
  if (now->principals.count(principal.id.value()) > 0) {
    return AlreadyExists("there is a principal '" + principal.id.value() + "' already");
  }
  const auto same_key = now->principal_by_spki.find(Sha256(principal.certificate_spki));
  if (same_key != now->principal_by_spki.end()) {
    return AlreadyExists("principal '" + same_key->second + "' has this certificate's key already");
  }
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(principal)));
  return Change(
      EntryFor(by, "principal.add", principal.id.value()),
      [&](soci::session& session) -> Status {
        InsertRow(session, principal, mac);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.Add(principal); });
}

Status Directory::RemovePrincipal(const Requester& by, const PrincipalId& id) {
  const auto lock = BeginChange();
  const auto now = snapshot();
  const auto present = now->principals.find(id.value());
  if (present == now->principals.end()) return NotFound("there is no principal '" + id.value() + "'");
  for (const auto& [name, service] : now->services) {
    if (Names(service.readers, id.value())) {
      return Conflict("principal '" + id.value() + "' is a reader of service '" + name +
                      "'; first: skmsctl service set " + name + " --remove-reader " + id.value());
    }
    if (Names(service.group_servers, id.value())) {
      return Conflict("principal '" + id.value() + "' is a group server of service '" + name +
                      "'; first: skmsctl service set " + name + " --remove-group-server " + id.value());
    }
  }
  for (const auto& [name, service] : now->services) {
    if (!Names(service.access.provisioners, id.value())) continue;
    return Conflict("principal '" + id.value() + "' provisions service '" + name +
                    "'; first: skmsctl service set " + name + " --remove-provisioner " + id.value());
  }
  if (const auto own = now->recipient_by_principal.find(id.value());
      own != now->recipient_by_principal.end()) {
    return Conflict("principal '" + id.value() + "' has the recipient '" + own->second +
                    "'; first: skmsctl recipient remove " + own->second);
  }
  const Sha256Digest spki = Sha256(present->second.certificate_spki);
  std::vector<SubscriptionId> own_subscriptions;
  for (const auto& [name, subscription] : now->subscriptions) {
    if (subscription.principal == id) own_subscriptions.push_back(subscription.id);
  }
  return Change(
      EntryFor(by, "principal.remove", id.value()),
      [&](soci::session& session) -> Status {
        for (const SubscriptionId& one : own_subscriptions) {
          DeleteRow(session, "subscriptions", one.value());
          DropPosition(session, one);
        }
        DeleteRow(session, "principals", id.value());
        return Ok();
      },
      [&](DirectorySnapshot& next) {
        next.principals.erase(id.value());
        next.principal_by_spki.erase(spki);
        for (const SubscriptionId& one : own_subscriptions) next.subscriptions.erase(one.value());
      });
}

Status Directory::AddRecipient(const Requester& by, const RecipientEntry& recipient) {
  const auto lock = BeginChange();
  SKMS_TRYV(CheckName("a recipient id", recipient.id.value()));
  const auto now = snapshot();
  if (recipient.ue) {
    SKMS_TRYV(CheckIdentifier("the identity of a user or UE", recipient.ue->id));
    if (!recipient.principal.value().empty())
      return InvalidArgument("a recipient is a principal's, a user's or a UE's");
  } else if (now->principals.count(recipient.principal.value()) == 0) {
    return InvalidArgument("there is no principal '" + recipient.principal.value() + "'; add it first");
  }
  if (now->recipients.count(recipient.id.value()) > 0) {
    return AlreadyExists("there is a recipient '" + recipient.id.value() + "' already");
  }
  if (const auto other = now->recipient_by_principal.find(recipient.principal.value());
      other != now->recipient_by_principal.end()) {
    return AlreadyExists("principal '" + recipient.principal.value() + "' has the recipient '" +
                         other->second + "' already; first: skmsctl recipient remove " + other->second);
  }
  if (const auto other = recipient.ue ? now->recipient_by_ue.find(*recipient.ue) : now->recipient_by_ue.end();
      other != now->recipient_by_ue.end()) {
    return AlreadyExists("this user or UE has the recipient '" + other->second +
                         "' already; first: skmsctl recipient remove " + other->second);
  }
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(recipient)));
  return Change(
      EntryFor(
          by, "recipient.add",
          recipient.id.value() + " for " +
              (recipient.ue ? "a " + std::string(Name(recipient.ue->kind)) : recipient.principal.value())),
      [&](soci::session& session) -> Status {
        InsertRow(session, recipient, mac);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.Add(recipient); });
}

Status Directory::RemoveRecipient(const Requester& by, const RecipientId& id) {
  const auto lock = BeginChange();
  const auto now = snapshot();
  const auto present = now->recipients.find(id.value());
  if (present == now->recipients.end()) return NotFound("there is no recipient '" + id.value() + "'");
  const RecipientEntry former = present->second;
  return Change(
      EntryFor(by, "recipient.remove", id.value()),
      [&](soci::session& session) -> Status {
        DeleteRow(session, "recipients", id.value());
        return Ok();
      },
      [&](DirectorySnapshot& next) {
        next.recipients.erase(id.value());
        if (former.ue) {
          next.recipient_by_ue.erase(*former.ue);
        } else {
          next.recipient_by_principal.erase(former.principal.value());
        }
      });
}

Status Directory::AddIssuer(const Requester& by, const Issuer& issuer) {
  const auto lock = BeginChange();
  SKMS_TRYV(CheckName("an issuer id", issuer.id.value()));
  if (issuer.id.value() == kAssertedIdentity)
    return InvalidArgument(std::string("'") + kAssertedIdentity +
                           "' stands for what a trusted proxy asserts; give the issuer another id");
  SKMS_TRYV(CheckIdentifier("an issuer", issuer.issuer));
  SKMS_TRYV(CheckIdentifier("an audience", issuer.audience));
  SKMS_TRYV(CheckProfile(issuer.profile));
  if (issuer.jwks.empty() && issuer.jwks_uri.empty())
    return InvalidArgument("an issuer needs its keys: a JWK Set, or the URI of one");
  if (snapshot()->issuers.count(issuer.id.value()) > 0) {
    return AlreadyExists("there is an issuer '" + issuer.id.value() +
                         "' already; remove it first to change its keys");
  }
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(issuer)));
  return Change(
      EntryFor(by, "issuer.add", issuer.id.value()),
      [&](soci::session& session) -> Status {
        InsertRow(session, issuer, mac);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.issuers.insert_or_assign(issuer.id.value(), issuer); });
}

Status Directory::SetIssuerKeys(const Requester& by, const Issuer& fetched_for, const std::string& jwks) {
  const IssuerId& id = fetched_for.id;
  const auto lock = BeginChange();
  const auto now = snapshot();
  const auto present = now->issuers.find(id.value());
  if (present == now->issuers.end()) return NotFound("there is no issuer '" + id.value() + "'");
  // Another server may have fetched later ones, while these were on their way.
  if (present->second.jwks_uri != fetched_for.jwks_uri || present->second.jwks_ca != fetched_for.jwks_ca ||
      (present->second.jwks != fetched_for.jwks && present->second.jwks != jwks))
    return ChangedMeanwhile("issuer '" + id.value() + "' was changed while its keys were fetched");
  if (present->second.jwks == jwks) return Ok();
  Issuer issuer = present->second;
  issuer.jwks = jwks;
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(issuer)));
  return Change(
      EntryFor(by, "issuer.keys",
               id.value() + " jwks-sha256=" + ToHex(ByteView(Sha256(AsBytes(jwks))).first(8))),
      [&](soci::session& session) -> Status {
        UpdateRow(session, issuer, mac);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.issuers.insert_or_assign(id.value(), issuer); });
}

Status Directory::RemoveIssuer(const Requester& by, const IssuerId& id) {
  const auto lock = BeginChange();
  if (snapshot()->issuers.count(id.value()) == 0) return NotFound("there is no issuer '" + id.value() + "'");
  for (const auto& [name, service] : snapshot()->services) {
    const auto& vouching = service.access.ue_issuers;
    if (std::find(vouching.begin(), vouching.end(), id) != vouching.end()) {
      return Conflict("issuer '" + id.value() + "' vouches for UEs of service '" + name +
                      "'; first: skmsctl service set " + name + " --remove-ue-issuer " + id.value());
    }
  }
  return Change(
      EntryFor(by, "issuer.remove", id.value()),
      [&](soci::session& session) -> Status {
        DeleteRow(session, "issuers", id.value());
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.issuers.erase(id.value()); });
}

Status Directory::AddSubscription(const Requester& by, const Subscription& subscription) {
  const auto lock = BeginChange();
  const auto now = snapshot();
  SKMS_TRYV(CheckName("a subscription id", subscription.id.value()));
  if (now->principals.count(subscription.principal.value()) == 0)
    return InvalidArgument("there is no principal '" + subscription.principal.value() + "'");
  if (now->subscriptions.count(subscription.id.value()) > 0)
    return AlreadyExists("there is a subscription '" + subscription.id.value() + "' already");
  const auto own =
      std::count_if(now->subscriptions.begin(), now->subscriptions.end(),
                    [&](const auto& entry) { return entry.second.principal == subscription.principal; });
  if (static_cast<std::size_t>(own) >= kMostSubscriptions) {
    return Conflict("a principal has at most " + std::to_string(kMostSubscriptions) +
                    " subscriptions; remove one first");
  }
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(subscription)));
  return Change(
      EntryFor(by, "subscription.add", subscription.id.value() + " for " + subscription.principal.value()),
      [&](soci::session& session) -> Status {
        InsertRow(session, subscription, mac);
        // It is told what comes from now on.
        WritePosition(session, subscription.id, NewestEventIn(session));
        return Ok();
      },
      [&](DirectorySnapshot& next) {
        next.subscriptions.insert_or_assign(subscription.id.value(), subscription);
      });
}

Status Directory::RemoveSubscription(const Requester& by, const SubscriptionId& id) {
  const auto lock = BeginChange();
  if (snapshot()->subscriptions.count(id.value()) == 0)
    return NotFound("there is no subscription '" + id.value() + "'");
  return Change(
      EntryFor(by, "subscription.remove", id.value()),
      [&](soci::session& session) -> Status {
        DeleteRow(session, "subscriptions", id.value());
        DropPosition(session, id);
        return Ok();
      },
      [&](DirectorySnapshot& next) { next.subscriptions.erase(id.value()); });
}

}  // namespace skms::keystore
