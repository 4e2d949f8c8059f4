// Rotate and ChangeKey: how versions come to be and move through their life.
#include <utility>

#include "base/encoding.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

/// Sets the time that the new state begins, and drops what it ends.
void Enter(KeyVersion& version, KeyState to, std::int64_t now) {
  switch (to) {
    case KeyState::kActive:
      if (version.state == KeyState::kPreActive) version.not_before = std::min(version.not_before, now);
      version.suspended.reset();
      break;
    case KeyState::kSuspended:
      version.suspended = now;
      break;
    case KeyState::kDeactivated:
      version.deactivated = now;
      break;
    case KeyState::kCompromised:
      version.compromised = now;
      break;
    case KeyState::kDestroyed:
      version.destroyed = now;
      version.wrapped.bytes.clear();
      break;
    case KeyState::kPreActive:
      break;
  }
  version.state = to;
}

/// 128 random bits as base64url. One that begins with '-' would look like an option on a command line, and is
/// drawn again.
Result<Kid> FreshKid(hsm::CryptoModule& module) {
  for (;;) {
    SKMS_TRY(const Bytes random, module.Random(16));
    std::string text = ToBase64Url(random);
    if (text.front() != '-') return Kid(std::move(text));
  }
}

}  // namespace

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

Result<StoredKeyVersion> KeyStore::State::PrepareVersion(const Service& service, const Selector& selector,
                                                         std::uint32_t number) {
  SKMS_TRY(const KeyProfile profile, FindKeyProfile(service.profile));
  SKMS_TRY(const Kid kid, FreshKid(module));
  SKMS_TRY(hsm::GeneratedKey generated, module.GenerateWrapped(profile.spec));
  StoredKeyVersion made;
  made.version.kid = kid;
  made.version.selector = selector;
  made.version.version = number;
  made.version.profile = service.profile;
  made.version.state = KeyState::kActive;
  made.version.created = clock.NowSeconds();
  made.version.not_before = made.version.created;
  made.version.wrapped = std::move(generated.wrapped);
  made.version.public_key = std::move(generated.public_key);
  SKMS_TRY(made.mac, MakeRowMac(module, FieldsOf(made.version)));
  return made;
}

Result<StoredKeyVersion> KeyStore::State::Changed(KeyVersion version, const Requester& by,
                                                  const KeyChange& change) {
  if (change.action == "release" || change.action == "withhold") {
    if (version.state != KeyState::kCompromised) {
      return Conflict("only a compromised key is released or withheld; this one is " +
                      std::string(Name(version.state)) + "; allowed: " + AllowedActions(version.state));
    }
    version.released = change.action == "release";
  } else {
    SKMS_TRY(const KeyState to, NextState(version.state, change.action));
    Enter(version, to, clock.NowSeconds());
  }
  version.changed_by = by.principal.value();
  version.reason = change.reason;
  StoredKeyVersion changed{std::move(version), {}};
  SKMS_TRY(changed.mac, MakeRowMac(module, FieldsOf(changed.version)));
  return changed;
}

Result<KeyVersion> KeyStore::State::MakeVersion(const Requester& by, const Service& service,
                                                const Selector& selector, const KeyVersion* current) {
  SKMS_TRY(StoredKeyVersion next,
           PrepareVersion(service, selector, current == nullptr ? 1 : current->version + 1));
  std::optional<StoredKeyVersion> former;
  if (current != nullptr && current->state == KeyState::kActive) {
    SKMS_TRY(former, Changed(*current, by,
                             {"deactivate", "replaced by version " + std::to_string(next.version.version)}));
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

Result<KeyVersion> KeyStore::Rotate(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  SKMS_TRY(const Service service, FindService(selector.service));
  if (!service.HasScope(selector.kind)) {
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

Status KeyStore::State::CheckNoneActive(const Selector& selector) {
  SKMS_TRY(const std::vector<KeyVersion> versions, Versions(selector));
  for (const KeyVersion& other : versions) {
    if (other.state == KeyState::kActive) {
      return Conflict("version " + std::to_string(other.version) + " (" + other.kid.value() +
                      ") is active; there can be one only: deactivate it first, or deactivate this one");
    }
  }
  return Ok();
}

Status KeyStore::State::CheckNewest(const KeyVersion& version) {
  SKMS_TRY(const std::optional<KeyVersion> newest, Newest(version.selector));
  if (newest && newest->kid == version.kid) return Ok();
  return Conflict("there is a newer version already; compromise this one without rotating");
}

Result<KeyVersion> KeyStore::ChangeKey(const Requester& by, const Kid& kid, const KeyChange& change) {
  State& state = *state_;
  SKMS_TRYV(CheckIdentifier("a reason", change.reason));
  if (change.rotate && change.action != "compromise") {
    return InvalidArgument("'rotate' goes with 'compromise' only");
  }
  SKMS_TRY(const KeyVersion found, ShowKey(kid));
  const Selector& selector = found.selector;
  const std::lock_guard lock(state.LockFor(selector));
  SKMS_TRY(std::optional<StoredKeyVersion> stored, ReadByKid(*state.database, kid));
  if (!stored) return NotFound("there is no key '" + kid.value() + "'");
  SKMS_TRYV(CheckRowMac(state.module, FieldsOf(stored->version), stored->mac, RowName(stored->version)));
  if (change.action == "resume" || change.action == "activate") SKMS_TRYV(state.CheckNoneActive(selector));
  if (change.rotate) SKMS_TRYV(state.CheckNewest(stored->version));
  const std::uint32_t number = stored->version.version;
  SKMS_TRY(StoredKeyVersion changed, state.Changed(std::move(stored->version), by, change));
  if (!change.dry_run) SKMS_TRYV(state.CommitChange(by, changed, change, number));
  changed.version.wrapped.bytes.clear();
  return std::move(changed.version);
}

Status KeyStore::State::CommitChange(const Requester& by, const StoredKeyVersion& changed,
                                     const KeyChange& change, std::uint32_t number) {
  const Selector& selector = changed.version.selector;
  std::vector<AuditEntry> entries{EntryFor(by, ("key." + change.action).c_str(), selector)};
  entries.front().kid = changed.version.kid.value();
  entries.front().reason = change.reason;
  std::optional<StoredKeyVersion> next;
  if (change.rotate) {
    const auto now = directory->snapshot();
    const auto service = now->services.find(selector.service.value());
    if (service == now->services.end()) return NotFound("the key's service is gone");
    SKMS_TRY(next, PrepareVersion(service->second, selector, number + 1));
    entries.push_back(EntryFor(by, "rotate", selector));
    entries.back().kid = next->version.kid.value();
    entries.back().reason = "after the compromise of " + changed.version.kid.value();
  }
  SKMS_TRYV(database->Write([&](soci::session& session) -> Status {
    UpdateState(session, changed);
    if (next) InsertVersion(session, *next);
    for (const AuditEntry& entry : entries) SKMS_TRYV(AppendAudit(session, clock, entry));
    return Ok();
  }));
  return changed.version.state == KeyState::kDestroyed ? database->EmptyLog() : Ok();
}

}  // namespace skms::keystore
