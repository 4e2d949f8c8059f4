// Rotate and ChangeKey, and how any change of versions is made ready and committed.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

Versions Bare(const std::vector<StoredKeyVersion>& stored) {
  Versions versions;
  versions.reserve(stored.size());
  for (const StoredKeyVersion& one : stored) versions.push_back(one.version);
  return versions;
}

const StoredKeyVersion* FindKid(const std::vector<StoredKeyVersion>& stored, const Kid& kid) {
  const auto found = std::find_if(stored.begin(), stored.end(),
                                  [&](const StoredKeyVersion& one) { return one.version.kid == kid; });
  return found == stored.end() ? nullptr : &*found;
}

std::int64_t GroupRevisionOf(const std::vector<StoredKeyVersion>& stored) {
  std::int64_t revision = 0;
  for (const StoredKeyVersion& one : stored) revision = std::max(revision, one.version.group_revision);
  return revision;
}

/// `plan`'s versions over `versions`.
Versions After(Versions versions, const RotationPlan& plan) {
  for (KeyVersion& version : versions) {
    for (const ChangedVersion& changed : plan.changed) {
      if (changed.version.kid == version.kid) version = changed.version;
    }
  }
  return versions;
}

}  // namespace

/// 128 random bits as base64url. One that begins with '-' would look like an option on a command line, and is
/// drawn again.
Result<Kid> KeyStore::State::FreshKid() {
  for (;;) {
    SKMS_TRY(const Bytes random, module.Random(16));
    std::string text = ToBase64Url(random);
    if (text.front() != '-') return Kid(std::move(text));
  }
}

std::size_t KeyStore::State::StripeOf(const Selector& selector) {
  return std::hash<std::string>()(selector.service.value() + '\n' + selector.target) % kStripes;
}

std::timed_mutex& KeyStore::State::LockFor(const Selector& selector) { return stripes_[StripeOf(selector)]; }

std::timed_mutex& KeyStore::State::SecondLockFor(const Selector& selector) {
  return second_stripes_[StripeOf(selector)];
}

Result<StoredKeyVersion> KeyStore::State::PrepareVersion(const Planned& planned, const NextVersion& next) {
  const Service& service = planned.service;
  SKMS_TRY(const KeyProfile profile, FindKeyProfile(service.profile));
  SKMS_TRY(const Kid kid, FreshKid());
  SKMS_TRY(hsm::GeneratedKey generated,
           module.GenerateWrapped(profile.spec, service.recipients,
                                  planned.first == nullptr ? nullptr : planned.first->recipient()));
  if (planned.first != nullptr) planned.first->Made(kid, std::move(generated.delivered));
  StoredKeyVersion made;
  made.version.kid = kid;
  made.version.selector = planned.selector;
  made.version.version = next.number;
  made.version.profile = service.profile;
  made.version.state = next.state;
  made.version.created = clock.NowSeconds();
  made.version.not_before = next.not_before;
  made.version.not_after = next.not_after;
  made.version.superseded = next.last;
  made.version.group_revision = std::max(planned.group_revision, GroupRevisionOf(planned.stored));
  made.version.wrapped = std::move(generated.wrapped);
  made.version.public_key = std::move(generated.public_key);
  SKMS_TRY(made.mac, MakeRowMac(module, FieldsOf(made.version)));
  return made;
}

Result<std::vector<StoredKeyVersion>> KeyStore::State::CheckedVersions(const Selector& selector) {
  std::vector<StoredKeyVersion> stored;
  SKMS_TRYV(database->Read([&](soci::session& session) -> Status {
    SKMS_TRY(stored, ReadVersions(session, selector));
    return Ok();
  }));
  for (const StoredKeyVersion& one : stored) {
    SKMS_TRYV(answers.CheckRowMac(module, FieldsOf(one.version), one.mac, RowName(one.version)));
  }
  return stored;
}

Status KeyStore::State::AddChanged(KeyChangeSet& set, const Requester& by,
                                   const std::vector<StoredKeyVersion>& stored, ChangedVersion changed,
                                   const std::string& reason) {
  const StoredKeyVersion* former = FindKid(stored, changed.version.kid);
  if (former == nullptr) return InternalError("a plan changes a version that is not stored");
  if (!changed.action.empty()) {
    changed.version.changed_by = by.principal.value();
    changed.version.reason = reason;
    AuditEntry entry = EntryFor(by, ("key." + changed.action).c_str(), changed.version.selector);
    entry.kid = changed.version.kid.value();
    entry.reason = reason;
    set.entries.push_back(std::move(entry));
    set.events.push_back(EventOf(EventFor(changed.action), changed.version));
  }
  KeyChangeSet::Update update{{std::move(changed.version), {}}, former->mac};
  SKMS_TRY(update.row.mac, MakeRowMac(module, FieldsOf(update.row.version)));
  set.updates.push_back(std::move(update));
  return Ok();
}

Status KeyStore::State::AddPlan(KeyChangeSet& set, const Requester& by, const Planned& planned,
                                const RotationPlan& plan) {
  for (const ChangedVersion& changed : plan.changed) {
    SKMS_TRYV(AddChanged(set, by, planned.stored, changed, planned.reason));
  }
  if (!plan.next) return Ok();
  SKMS_TRY(StoredKeyVersion made, PrepareVersion(planned, *plan.next));
  const bool first = plan.next->number == 1;
  const bool ahead = plan.next->state == KeyState::kPreActive;
  AuditEntry entry =
      EntryFor(by, first ? "create" : (ahead ? "make-ahead" : planned.action), planned.selector);
  entry.kid = made.version.kid.value();
  entry.reason = first ? "" : planned.reason;
  set.entries.push_back(std::move(entry));
  if (!first) {
    set.events.push_back(
        EventOf(ahead ? "made-ahead" : (planned.action == std::string("rekey") ? "rekeyed" : "rotated"),
                made.version));
  }
  set.inserts.push_back({std::move(made), planned.service});
  return Ok();
}

Status KeyStore::State::Write(KeyChangeSet set, AuditSummary* place) {
  {
    const DeliveryCache::Change changing(deliveries, set.selectors());
    SKMS_TRYV(
        database->Write([&](soci::session& session) -> Status { return Apply(session, clock, set, place); },
                        Touches::kWhatTheCallerTells, changing.places()));
  }
  if (set.wipes()) log_holds_wiped_ = true;
  // A step by hand may have taken away what the scheduler counted on.
  if (!set.updates.empty()) ++changes_by_hand;
  return Ok();
}

Status KeyStore::State::EmptyLogOfWiped() {
  if (!log_holds_wiped_.exchange(false)) return Ok();
  Status emptied = database->EmptyLog();
  if (emptied.has_error()) log_holds_wiped_ = true;
  return emptied;
}

Result<KeyChangeSet> KeyStore::State::MakeFirst(const Requester& by, const Service& service,
                                                const Selector& selector, FirstDelivery& first) {
  const std::uint64_t asked = answers.era();
  KeyChangeSet set;
  const Planned planned{service, selector, {}, "create", "", 0, &first};
  SKMS_TRYV(AddPlan(set, by, planned, PlanRotateNow(service.rotation, {}, clock.NowSeconds())));
  // What the token has said holds, whether it is committed or not.
  const StoredKeyVersion& made = set.inserts.front().row;
  answers.Learn(FieldsOf(made.version), made.mac, asked);
  if (const hsm::DeliveredKey* delivered = first.delivered()) {
    SKMS_TRY(const KeyProfile profile, FindKeyProfile(made.version.profile));
    answers.Learn(*first.recipient(), made.version.wrapped, profile.spec, made.version.public_key, *delivered,
                  asked);
  }
  return set;
}

Result<KeyVersion> KeyStore::Rotate(const Requester& requester, const Selector& selector) {
  // The scheduler, or a change of the group, may come between the look and the commit.
  return State::WithRetries([&] { return RotateOnce(requester, selector); });
}

Result<KeyStore::State::PlannedRotation> KeyStore::State::PlanRotation(const Selector& selector) {
  const auto known = directory->snapshot();
  const auto found = known->services.find(selector.service.value());
  if (found == known->services.end())
    return NotFound("there is no service '" + selector.service.value() + "'");
  const Service& service = found->second;
  if (!service.HasScope(selector.kind)) {
    return PermissionDenied("service '" + service.id.value() + "' has no keys of scope '" +
                            std::string(Name(selector.kind)) + "'; allow it with: skmsctl service set " +
                            service.id.value() + " --scope");
  }
  SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
  if (selector.kind == TargetKind::kGroup && stored.empty()) {
    return NotFound("there is no group '" + selector.target + "' with keys of service '" +
                    service.id.value() + "'; group servers make groups over SEAL-X1");
  }
  RotationPlan plan = PlanRotateNow(service.rotation, Bare(stored), clock.NowSeconds());
  return PlannedRotation{{service, selector, std::move(stored), "rotate", "rotated by hand", 0},
                         std::move(plan)};
}

Result<RotationPreview> KeyStore::PreviewRotation(const Selector& selector) {
  SKMS_TRY(const State::PlannedRotation rotation, state_->PlanRotation(selector));
  RotationPreview preview;
  preview.made = rotation.plan.next.has_value();
  if (preview.made) preview.version = rotation.plan.next->number;
  for (const ChangedVersion& changed : rotation.plan.changed) {
    preview.changed.push_back(changed.version);
    KeyVersion& version = preview.changed.back();
    version.wrapped.bytes.clear();
    version.changed_by.clear();
    version.reason.clear();
    if (version.state == KeyState::kActive && !version.superseded) preview.version = version.version;
  }
  const std::uint32_t most = rotation.from.service.rotation.versions_kept;
  std::uint32_t kept = preview.made ? 1 : 0;
  for (const KeyVersion& version : After(Bare(rotation.from.stored), rotation.plan)) {
    if (most == 0 || version.state == KeyState::kDestroyed || ++kept <= most) continue;
    if (version.state == KeyState::kActive) preview.lost_later.push_back(version.version);
  }
  return preview;
}

Result<KeyVersion> KeyStore::RotateOnce(const Requester& requester, const Selector& selector) {
  State& state = *state_;
  const std::lock_guard lock(state.LockFor(selector));
  SKMS_TRY(const State::PlannedRotation rotation, state.PlanRotation(selector));
  KeyChangeSet set;
  SKMS_TRYV(state.AddPlan(set, requester, rotation.from, rotation.plan));
  SKMS_TRYV(state.Write(set));
  SKMS_TRYV(state.EmptyLogOfWiped());
  const auto activated = std::find_if(set.updates.begin(), set.updates.end(), [](const auto& update) {
    return update.row.version.state == KeyState::kActive && !update.row.version.superseded;
  });
  KeyVersion current =
      set.inserts.empty() ? std::move(activated->row.version) : std::move(set.inserts.front().row.version);
  current.wrapped.bytes.clear();
  return current;
}

namespace {

Error OtherIsActive(const KeyVersion& other) {
  return Conflict("version " + std::to_string(other.version) + " (" + other.kid.value() +
                  ") is newer and active; deactivate it first, or deactivate this one");
}

/// What `change` makes of the version at `index`.
Result<RotationPlan> PlanChange(const Service* service, const Versions& versions, std::size_t index,
                                const KeyChange& change, std::int64_t now) {
  const KeyVersion& version = versions[index];
  if (change.action == "release" || change.action == "withhold") {
    if (version.state != KeyState::kCompromised) {
      return Conflict("only a compromised key is released or withheld; this one is " +
                      std::string(Name(version.state)) + "; allowed: " + AllowedActions(version.state));
    }
    RotationPlan plan;
    plan.changed.push_back({version, change.action});
    plan.changed.front().version.released = change.action == "release";
    return plan;
  }
  SKMS_TRY(const KeyState to, NextState(version.state, change.action));
  const KeyVersion* current = CurrentVersion(versions);
  const bool newer_is_active = current != nullptr && current->version > version.version;
  if (to == KeyState::kActive && newer_is_active) return OtherIsActive(*current);
  if (version.state == KeyState::kPreActive && to == KeyState::kActive) {
    return PlanRotateNow(service == nullptr ? RotationPolicy{} : service->rotation, versions, now);
  }
  return PlanStep(versions, index, to, change.action, now);
}

/// Two plans after each other as one: a version that both change is changed once.
RotationPlan Merged(RotationPlan first, const RotationPlan& second) {
  for (const ChangedVersion& later : second.changed) {
    const auto same =
        std::find_if(first.changed.begin(), first.changed.end(),
                     [&](const ChangedVersion& one) { return one.version.kid == later.version.kid; });
    if (same == first.changed.end()) {
      first.changed.push_back(later);
    } else {
      same->version = later.version;
      if (!later.action.empty()) same->action = later.action;
    }
  }
  first.next = second.next;
  return first;
}

}  // namespace

Result<KeyVersion> KeyStore::ChangeKey(const Requester& by, const Kid& kid, const KeyChange& change) {
  return State::WithRetries([&] { return ChangeKeyOnce(by, kid, change); });
}

Result<KeyVersion> KeyStore::ChangeKeyOnce(const Requester& by, const Kid& kid, const KeyChange& change) {
  State& state = *state_;
  SKMS_TRYV(CheckIdentifier("a reason", change.reason));
  if (change.rotate && change.action != "compromise") {
    return InvalidArgument("'rotate' goes with 'compromise' only");
  }
  SKMS_TRY(const KeyVersion found, ShowKey(kid));
  const Selector selector = found.selector;
  const std::lock_guard lock(state.LockFor(selector));
  SKMS_TRY(const std::vector<StoredKeyVersion> stored, state.CheckedVersions(selector));
  const StoredKeyVersion* target = FindKid(stored, kid);
  if (target == nullptr) return NotFound("there is no key '" + kid.value() + "'");
  const auto index = static_cast<std::size_t>(target - stored.data());
  const auto now_known = state.directory->snapshot();
  const auto service = now_known->services.find(selector.service.value());
  const Service* policy = service == now_known->services.end() ? nullptr : &service->second;
  const std::int64_t now = state.clock.NowSeconds();
  const Versions versions = Bare(stored);

  SKMS_TRY(RotationPlan plan, PlanChange(policy, versions, index, change, now));
  if (change.rotate) {
    if (policy == nullptr) return NotFound("the key's service is gone");
    const KeyVersion* current = CurrentVersion(versions);
    if (current != nullptr && current->version > target->version.version) {
      return Conflict("there is a newer version already; compromise this one without rotating");
    }
    // Whoever knows this version may know the one made ahead, too.
    const RotationPlan rekey = PlanRekey(policy->rotation, After(versions, plan), now);
    plan = Merged(std::move(plan), rekey);
  }
  KeyVersion result = After(versions, plan)[index];
  if (!change.dry_run) {
    KeyChangeSet set;
    const State::Planned planned{
        policy == nullptr ? Service{} : *policy, selector, stored, "rotate", change.reason, 0};
    SKMS_TRYV(state.AddPlan(set, by, planned, plan));
    SKMS_TRYV(state.Write(set));
    SKMS_TRYV(state.EmptyLogOfWiped());
  }
  result.changed_by = by.principal.value();
  result.reason = change.reason;
  result.wrapped.bytes.clear();
  return result;
}

}  // namespace skms::keystore
